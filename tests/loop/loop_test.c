/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdio.h>

/* ---- P1: the turn ---- */

static struct {
    int rounds, other;
} chain;

static void call_again(void *arg)
{
    chain.rounds++;
    assert_int_equal(evert_loop_call_soon(loop, NULL, call_again, arg), 0);
}

static int chain_setup(void **state)
{
    memset(&chain, 0, sizeof(chain));
    return record_setup(state);
}

#define CHAIN_CASE(name) cmocka_unit_test_setup_teardown(name, chain_setup, loop_teardown)

/* P1, BR-013 */
static void test_what_is_added_in_a_turn_runs_in_the_next(void **state)
{
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, call_again, NULL), 0);
    for (int i = 1; i <= 5; i++) {
        turn(0);
        assert_int_equal(chain.rounds, i);
    }
}

static void set_again(void *handle)
{
    chain.rounds++;
    assert_int_equal(evert_loop_call_at(loop, handle, evert_now(), set_again, handle), 0);
}

/* P1, BR-013 */
static void test_timer_set_for_now_in_a_turn_runs_in_the_next(void **state)
{
    evert_handle handle = {0};
    (void)state;
    assert_int_equal(evert_loop_call_at(loop, &handle, 0, set_again, &handle), 0);
    for (int i = 1; i <= 5; i++) {
        turn(0);
        assert_int_equal(chain.rounds, i);
    }
    evert_handle_cancel(&handle);
}

/* P1 */
static void test_due_timers_join_the_queue_behind_earlier_calls(void **state)
{
    evert_handle timer = {0};
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, note, "a"), 0);
    assert_int_equal(evert_loop_call_at(loop, &timer, 0, note, "t"), 0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, note, "b"), 0);
    turn(0);
    assert_string_equal(record, "abt");
}

static void test_calls_run_in_the_order_of_the_asking(void **state)
{
    static char letters[] = "abcdefghijklmnopqrstuvwxyz";
    evert_handle handles[26] = {0};
    (void)state;
    for (int i = 0; i < 26; i++) /* with and without a handle, all the same */
        assert_int_equal(evert_loop_call_soon(loop, i % 2 ? &handles[i] : NULL, note, &letters[i]),
                         0);
    turn(0);
    assert_string_equal(record, letters);
}

static void stop_when_read(struct evert__source *source)
{
    struct receiver *r = EVERT__CONTAINER(source, struct receiver, source);
    receiver_take(r);
    if (r->size > 0)
        evert_loop_stop(loop);
    else
        r->told++;
}

/* P1, BR-013, C12: the same with a timer for now and with a call, each for ever. */
static void test_endless_calls_starve_no_descriptor(void **state)
{
    evert_handle handle = {0};
    struct receiver r;
    int fds[2];
    (void)state;
    unix_pair(fds);
    receiver_init(&r, fds[0], false);
    r.source.ready = stop_when_read;
    receiver_take(&r);
    assert_int_equal(evert_loop_call_soon(loop, NULL, call_again, NULL), 0);
    assert_int_equal(evert_loop_call_at(loop, &handle, 0, set_again, &handle), 0);
    plain_send(fds[1], "x", 1);
    evert_time before = evert__clock();
    assert_int_equal(evert_loop_run(loop), 0);
    assert_true(evert__clock() - before < 2 * EVERT_SECOND);
    assert_true(chain.rounds < 100);
    assert_int_equal(r.size, 1);
    evert_handle_cancel(&handle);
    receiver_close(&r);
    turn(0);
    close(fds[1]);
}

static void test_turn_waits_until_its_deadline(void **state)
{
    (void)state;
    turns(5);
    evert_time deadline = evert_after(20 * EVERT_MILLISECOND);
    while (evert__clock() < deadline)
        assert_int_equal(evert_loop_turn(loop, deadline), 0);
    evert_time late = evert__clock() - deadline;
    assert_true(late < 5 * EVERT_SECOND);
}

static void test_turn_with_a_deadline_in_the_past_does_not_wait(void **state)
{
    static const evert_time past[] = {0, -1, INT64_MIN, 1};
    evert_time before = evert__clock();
    (void)state;
    for (size_t i = 0; i < COUNT_OF(past); i++)
        assert_int_equal(evert_loop_turn(loop, past[i]), 0);
    assert_true(evert__clock() - before < 5 * EVERT_SECOND);
}

static void look_at_the_time(void *arg)
{
    evert_time *times = arg, began = evert__clock();
    times[0] = evert_now();
    while (evert__clock() < began + EVERT_MILLISECOND)
        ;
    times[1] = evert_now();
}

static void test_time_stands_still_in_a_turn(void **state)
{
    evert_time times[2] = {0}, before = evert__clock();
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, look_at_the_time, times), 0);
    turn(0);
    assert_true(times[0] == times[1]);
    assert_true(before <= times[0] && times[0] <= evert__clock());
    before = evert_now();
    assert_true(times[0] < before && before <= evert__clock());
}

/* ---- P3: stopping, and what may not be ---- */

/* P3 */
static void test_stop_finishes_the_turn(void **state)
{
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, stop_loop, NULL), 0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, note, "a"), 0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, note, "b"), 0);
    assert_int_equal(evert_loop_run(loop), 0);
    assert_string_equal(record, "ab");
}

static void add_and_stop(void *arg)
{
    assert_int_equal(evert_loop_call_soon(loop, NULL, note, arg), 0);
    evert_loop_stop(loop);
}

/* P3, P1 */
static void test_what_the_last_turn_added_waits_for_the_next_run(void **state)
{
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, add_and_stop, "n"), 0);
    assert_int_equal(evert_loop_run(loop), 0);
    assert_string_equal(record, "");
    evert_loop_stop(loop);
    assert_int_equal(evert_loop_run(loop), 0);
    assert_string_equal(record, "n");
}

/* P3 */
static void test_stop_before_the_run_ends_it_after_one_turn(void **state)
{
    (void)state;
    evert_loop_stop(loop);
    evert_loop_stop(loop);
    assert_int_equal(evert_loop_call_soon(loop, NULL, note, "a"), 0);
    assert_int_equal(evert_loop_run(loop), 0);
    assert_string_equal(record, "a");
}

/* P3 */
static void test_loop_runs_again_after_a_stop(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(evert_loop_call_at(loop, NULL, evert_after(1), stop_loop, NULL), 0);
        assert_int_equal(evert_loop_run(loop), 0);
    }
}

static void run_inside(void *arg)
{
    evert_loop *other = arg;
    assert_int_equal(evert_loop_run(loop), EVERT_ECONTEXT);
    assert_int_equal(evert_loop_turn(loop, 0), EVERT_ECONTEXT);
    assert_int_equal(evert_loop_run(other), EVERT_ECONTEXT);
    assert_int_equal(evert_loop_turn(other, 0), EVERT_ECONTEXT);
    note("r");
}

/* P3 */
static void test_no_loop_runs_inside_a_loop(void **state)
{
    evert_loop *other;
    (void)state;
    assert_int_equal(evert_loop_new(&other), 0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, run_inside, other), 0);
    turn(0);
    assert_string_equal(record, "r");
    assert_int_equal(evert_loop_turn(other, 0), 0);
    turn(0);
    evert_loop_free(other);
}

static void look_at_current(void *arg)
{
    *(evert_loop **)arg = evert_loop_current();
}

static void test_current_is_the_loop_that_runs(void **state)
{
    evert_loop *seen = NULL;
    (void)state;
    assert_null(evert_loop_current());
    assert_int_equal(evert_loop_call_soon(loop, NULL, look_at_current, &seen), 0);
    turn(0);
    assert_ptr_equal(seen, loop);
    assert_null(evert_loop_current());
}

/* ---- Making and freeing ---- */

static void test_free_of_null_is_fine(void **state)
{
    (void)state;
    evert_loop_free(NULL);
}

/* The leak checker of the sanitizer builds sees what is not freed; so does the count here. */
static void test_free_forgets_calls_that_were_not_made(void **state)
{
    evert_loop *other;
    evert_handle handles[2] = {0};
    (void)state;
    limit_memory(1000);
    assert_int_equal(evert_loop_new(&other), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(evert_loop_call_soon(other, NULL, note, "x"), 0);
        assert_int_equal(evert_loop_call_at(other, NULL, evert_after(i), note, "x"), 0);
        assert_int_equal(evert_loop_call_at(other, NULL, EVERT_NEVER, note, "x"), 0);
        assert_int_equal(evert_loop_call_threadsafe(other, note, "x"), 0);
    }
    assert_int_equal(evert_loop_call_soon(other, &handles[0], note, "x"), 0);
    assert_int_equal(evert_loop_call_at(other, &handles[1], 0, note, "x"), 0);
    evert_loop_free(other);
    assert_int_equal(memory.out, 0);
    assert_string_equal(record, "");
}

/* P3: the handle is its owner's, and may outlive the loop. */
static void test_handle_outlives_the_loop(void **state)
{
    evert_handle handles[3] = {0};
    evert_loop *other;
    (void)state;
    assert_int_equal(evert_loop_new(&other), 0);
    assert_int_equal(evert_loop_call_soon(other, &handles[0], note, "x"), 0);
    assert_int_equal(evert_loop_call_at(other, &handles[1], 0, note, "x"), 0);
    assert_int_equal(evert_loop_call_at(other, &handles[2], EVERT_NEVER, note, "x"), 0);
    evert_loop_free(other);
    for (int i = 0; i < 3; i++)
        evert_handle_cancel(&handles[i]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(evert_loop_call_soon(loop, &handles[i], note, "y"), 0);
    turn(0);
    assert_string_equal(record, "yyy");
}

static void test_freeing_gives_the_descriptors_back(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) { /* nothing is left of one: descriptors would run out */
        evert_loop *other;
        assert_int_equal(evert_loop_new(&other), 0);
        assert_true(other->wake_fd.number < 100);
        evert_loop_free(other);
    }
}

static void say_nothing(evert_log_level level, const char *message, void *arg)
{
    (void)message;
    (void)arg;
    assert_int_equal(level, EVERT_LOG_ERROR);
}

static void test_unknown_back_end_is_an_error(void **state)
{
    const char *before = getenv("EVERT_BACKEND");
    evert_loop *other = loop;
    char copy[20] = "";
    (void)state;
    if (before != NULL)
        snprintf(copy, sizeof(copy), "%s", before);
    evert_log_set_sink(say_nothing, NULL);
    setenv("EVERT_BACKEND", "abacus", 1);
    assert_int_equal(evert_loop_new(&other), -EINVAL);
    assert_ptr_equal(other, loop);
    setenv("EVERT_BACKEND", "", 1);
    assert_int_equal(evert_loop_new(&other), 0);
    assert_string_equal(other->backend->name, "epoll");
    evert_loop_free(other);
    setenv("EVERT_BACKEND", copy, 1);
}

/* F45: each allocation fails in turn. */
static void test_no_memory_for_a_loop_is_ENOMEM(void **state)
{
    evert_loop *other = NULL;
    int rc = -ENOMEM;
    (void)state;
    for (int left = 0; rc != 0; left++) {
        assert_true(left < 20);
        limit_memory(left);
        rc = evert_loop_new(&other);
        if (rc == 0)
            break;
        assert_int_equal(rc, -ENOMEM);
        assert_null(other);
        assert_int_equal(memory.out, 0);
    }
    evert_loop_free(other);
    assert_int_equal(memory.out, 0);
}

static enum evert__sys_call failing;

static bool fail_one(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    *result = -EMFILE;
    return call == failing;
}

static void test_no_descriptors_for_a_loop_is_an_error(void **state)
{
    static const enum evert__sys_call calls[] = {EVERT__SYS_EVENTFD, EVERT__SYS_EPOLL_CREATE,
                                                 EVERT__SYS_EPOLL_CTL, EVERT__SYS_URING_SETUP,
                                                 EVERT__SYS_URING_REGISTER};
    evert_loop *other = NULL;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        bool of_epoll = calls[i] == EVERT__SYS_EPOLL_CREATE || calls[i] == EVERT__SYS_EPOLL_CTL;
        if (calls[i] != EVERT__SYS_EVENTFD && of_epoll == on_uring())
            continue;
        if (calls[i] != EVERT__SYS_EVENTFD && strcmp(loop->backend->name, "poll") == 0)
            continue;
        if (calls[i] == EVERT__SYS_EPOLL_CTL && loop->adverse != NULL)
            continue; /* may be made later, in a turn */
        failing = calls[i];
        limit_memory(1000);
        evert__sys_set_hook(fail_one);
        assert_int_equal(evert_loop_new(&other), -EMFILE);
        evert__sys_set_hook(NULL);
        assert_null(other);
        assert_int_equal(memory.out, 0);
    }
}

static void free_self(void *arg)
{
    evert_loop_free(loop);
    ++*(int *)arg;
}

static int misuses;

static void count_misuse(evert_log_level level, const char *message, void *arg)
{
    (void)message;
    (void)arg;
    misuses += level == EVERT_LOG_ERROR;
}

static void test_freeing_a_loop_that_runs_is_misuse(void **state)
{
    int freed = 0;
    (void)state;
    evert_log_set_sink(count_misuse, NULL);
#ifdef EVERT_DEBUG
    int status;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        loop = NULL; /* the parent's; the child makes its own */
        if (evert_loop_new(&loop) == 0 && evert_loop_call_soon(loop, NULL, free_self, &freed) == 0)
            (void)!evert_loop_turn(loop, 0);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#else
    assert_int_equal(evert_loop_call_soon(loop, NULL, free_self, &freed), 0);
    turn(0);
    assert_int_equal(freed, 1);
    assert_int_equal(misuses, 1);
    turn(0);
#endif
}

/* ---- What is flushed ---- */

static int flushed;

static void flush_one(struct evert__ready *ready)
{
    (void)ready;
    flushed++;
}

static struct evert__ready to_flush = {.run = flush_one};

static void ask_for_flush(void *arg)
{
    (void)arg;
    if (!evert__link_used(&to_flush.link))
        evert__list_append(&loop->flush, &to_flush.link);
    assert_int_equal(flushed, 0);
}

static void test_what_was_written_is_flushed_at_the_end_of_the_turn(void **state)
{
    (void)state;
    flushed = 0;
    assert_int_equal(evert_loop_call_soon(loop, NULL, ask_for_flush, NULL), 0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, ask_for_flush, NULL), 0);
    turn(0);
    assert_int_equal(flushed, 1);
    turn(0);
    assert_int_equal(flushed, 1);
}

/* Written or closed outside of a turn: the next one sees to it, and does not sleep first. */
static void test_what_was_written_outside_of_a_turn_does_not_wait(void **state)
{
    (void)state;
    turns(20);
    flushed = 0;
    evert__list_append(&loop->flush, &to_flush.link);
    evert_time before = evert__clock();
    turn(PATIENCE);
    assert_int_equal(flushed, 1);
    assert_true(evert__clock() - before < PATIENCE / 2);
}

static void note_closed(struct evert__fd *fd)
{
    assert_int_equal(fd->number, -1);
    note("c");
}

static void test_what_was_closed_outside_of_a_turn_does_not_wait(void **state)
{
    struct evert__fd fd;
    int fds[2];
    (void)state;
    turns(20);
    unix_pair(fds);
    evert__fd_init(&fd, loop, fds[0]);
    evert__fd_close(&fd, note_closed);
    evert_time before = evert__clock();
    turn(PATIENCE);
    assert_string_equal(record, "c");
    assert_true(evert__clock() - before < PATIENCE / 2);
    close(fds[1]);
}

static void test_freeing_the_loop_tells_the_closed(void **state)
{
    struct evert__fd fd;
    evert_loop *other;
    int fds[2];
    (void)state;
    assert_int_equal(evert_loop_new(&other), 0);
    unix_pair(fds);
    evert__fd_init(&fd, other, fds[0]);
    evert__fd_close(&fd, note_closed);
    evert_loop_free(other);
    assert_string_equal(record, "c");
    close(fds[1]);
}

static void push_twice(struct evert__ready *ready)
{
    (void)ready;
    note("p");
}

static void test_pushing_what_is_on_the_queue_has_no_effect(void **state)
{
    struct evert__ready ready = {.run = push_twice};
    (void)state;
    evert__ready_push(loop, &ready);
    evert__ready_push(loop, &ready);
    turns(2);
    assert_string_equal(record, "p");
    evert__ready_push(loop, &ready);
    turn(0);
    assert_string_equal(record, "pp");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CHAIN_CASE(test_what_is_added_in_a_turn_runs_in_the_next),
        CHAIN_CASE(test_timer_set_for_now_in_a_turn_runs_in_the_next),
        RECORD_CASE(test_due_timers_join_the_queue_behind_earlier_calls),
        RECORD_CASE(test_calls_run_in_the_order_of_the_asking),
        CHAIN_CASE(test_endless_calls_starve_no_descriptor),
        LOOP_CASE(test_turn_waits_until_its_deadline),
        LOOP_CASE(test_turn_with_a_deadline_in_the_past_does_not_wait),
        LOOP_CASE(test_time_stands_still_in_a_turn),
        RECORD_CASE(test_stop_finishes_the_turn),
        RECORD_CASE(test_what_the_last_turn_added_waits_for_the_next_run),
        RECORD_CASE(test_stop_before_the_run_ends_it_after_one_turn),
        LOOP_CASE(test_loop_runs_again_after_a_stop),
        RECORD_CASE(test_no_loop_runs_inside_a_loop),
        LOOP_CASE(test_current_is_the_loop_that_runs),
        LOOP_CASE(test_free_of_null_is_fine),
        RECORD_CASE(test_free_forgets_calls_that_were_not_made),
        RECORD_CASE(test_handle_outlives_the_loop),
        LOOP_CASE(test_freeing_gives_the_descriptors_back),
        LOOP_CASE(test_unknown_back_end_is_an_error),
        LOOP_CASE(test_no_memory_for_a_loop_is_ENOMEM),
        LOOP_CASE(test_no_descriptors_for_a_loop_is_an_error),
        LOOP_CASE(test_freeing_a_loop_that_runs_is_misuse),
        LOOP_CASE(test_what_was_written_is_flushed_at_the_end_of_the_turn),
        LOOP_CASE(test_what_was_written_outside_of_a_turn_does_not_wait),
        RECORD_CASE(test_what_was_closed_outside_of_a_turn_does_not_wait),
        RECORD_CASE(test_freeing_the_loop_tells_the_closed),
        RECORD_CASE(test_pushing_what_is_on_the_queue_has_no_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
