/* SPDX-License-Identifier: MIT */
/*
 * What the tests of this layer share. The log is taken for the whole of each test, and whatever
 * stands in it at the end has to have been asked for: so no error goes unreported, and none is
 * reported that was seen to.
 */
#ifndef EVERT_TESTS_DEFERRED_SUPPORT_H
#define EVERT_TESTS_DEFERRED_SUPPORT_H

#include <evert/deferred/deferred.h>

#include "deferred/deferred.h"

#include "../coro/support.h"

/* ---- The log ---- */

static inline int begin_test(void **state)
{
    (void)state;
    start_logging();
    return 0;
}

static inline int end_test(void **state)
{
    (void)state;
    stop_logging();
    if (logged.count > 0)
        print_error("not asked for:\n%s", logged.text);
    return logged.count;
}

/* There has been one report since the last look, with these words. */
static inline void check_report(const char *words)
{
    assert_int_equal(logged.count, 1);
    assert_int_equal(logged.level, EVERT_LOG_ERROR);
    check_words(logged.text, words);
    memset(&logged, 0, sizeof(logged));
}

#define quiet(test) cmocka_unit_test_setup_teardown(test, begin_test, end_test)

static inline void run_quietly_everywhere(void **state)
{
    (void)begin_test(NULL);
    run_everywhere(state);
    assert_int_equal(end_test(NULL), 0);
}

/* As a task, and then as plain blocking code. */
/* clang-format off */
#define quiet_everywhere(test) \
    {#test, run_quietly_everywhere, NULL, NULL, &(struct body){test}}
/* clang-format on */

/* Lets what is ready run, and what that makes ready. */
static inline void settle(void)
{
    for (int i = 0; i < 5; i++)
        check_rc(evert_yield(), 0);
}

/* ---- Deferreds and what they come to ---- */

#define new_deferred() new_deferred_at(EVERT_PLACE)

static inline evert_deferred *new_deferred_at(const char *place)
{
    evert_deferred *d = NULL;
    check_rc(evert_deferred_new_at(&d, place), 0);
    return d;
}

/* What it has come to, at the end of its chain; of no kind if to nothing yet. */
static inline evert_result look(const evert_deferred *d)
{
    return evert__deferred_settled(d) ? d->result : (evert_result){0};
}

static inline void check_pending(const evert_deferred *d)
{
    assert_int_equal(look(d).kind, EVERT_RESULT_NONE);
}

static inline void check_value(const evert_deferred *d, const void *value)
{
    assert_int_equal(look(d).kind, EVERT_RESULT_VALUE);
    assert_ptr_equal(look(d).value, value);
    check_rc(look(d).error, 0);
}

static inline evert_result note_error(evert_result *in, void *arg)
{
    *(int *)arg = in->error;
    return evert_ok(NULL);
}

/* It has failed with this error, which is handled by that. */
static inline void check_error(evert_deferred *d, int wanted)
{
    int error = 0;
    assert_int_equal(look(d).kind, EVERT_RESULT_ERROR);
    assert_null(look(d).value);
    check_rc(evert_deferred_add_errback(d, note_error, &error), 0);
    check_rc(error, wanted);
}

/* ---- Callbacks ---- */

/* The names of the steps that were called, in order. */
static char called[64];

/* A callback that notes its calls, does something, and gives a result: by default what it got. */
struct step {
    char name;
    evert_result out; /* of no kind: it passes on what it got */
    void (*act)(void *arg);
    void *arg;
    evert_result in; /* of the last call */
    int calls;
};

static inline evert_result take_step(evert_result *in, void *arg)
{
    struct step *step = (struct step *)arg;
    size_t size = strlen(called);
    assert_true(size + 1 < sizeof(called));
    called[size] = step->name;
    step->in = *in;
    step->calls++;
    if (step->act != NULL)
        step->act(step->arg);
    return step->out.kind != EVERT_RESULT_NONE ? step->out : *in;
}

/* Has them been called, in this order, since the last look? */
static inline void check_called(const char *names)
{
    assert_string_equal(called, names);
    memset(called, 0, sizeof(called));
}

static inline void add_both(evert_deferred *d, struct step *step)
{
    check_rc(evert_deferred_add_both(d, take_step, step), 0);
}

static inline void add_callback(evert_deferred *d, struct step *step)
{
    check_rc(evert_deferred_add_callback(d, take_step, step), 0);
}

static inline void add_errback(evert_deferred *d, struct step *step)
{
    check_rc(evert_deferred_add_errback(d, take_step, step), 0);
}

/* A callback that waits for the Deferred that it is given. */
static inline evert_result wait_for_arg(evert_result *in, void *other)
{
    (void)in;
    return evert_wait_for((evert_deferred *)other);
}

/* ---- Things to do, for callbacks, cancellers and destroy functions ---- */

static inline void free_it(void *deferred)
{
    evert_deferred_free((evert_deferred *)deferred);
}

static inline void release_it(void *deferred)
{
    evert_deferred_release((evert_deferred *)deferred);
}

static inline void cancel_it(void *deferred)
{
    evert_deferred_cancel((evert_deferred *)deferred);
}

static inline void pause_it(void *deferred)
{
    evert_deferred_pause((evert_deferred *)deferred);
}

static inline void fire_it(void *deferred)
{
    check_rc(evert_deferred_callback((evert_deferred *)deferred, NULL, NULL), 0);
}

/* ---- Values and cancellers that count ---- */

static int destroyed;

/* Counts; `value` may be anything. */
static inline void count_destroyed(void *value)
{
    (void)value;
    destroyed++;
}

static inline void check_destroyed(int count)
{
    assert_int_equal(destroyed, count);
    destroyed = 0;
}

static inline void count_cancel(evert_deferred *d, void *count)
{
    (void)d;
    ++*(int *)count;
}

#endif
