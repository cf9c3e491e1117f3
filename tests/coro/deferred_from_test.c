/* SPDX-License-Identifier: MIT */
/* Deferreds made of coroutines: rules D15 and D17. */
#include <evert/coro/await.h>

#include <pthread.h>

#include "../deferred/support.h"

static char one[] = "one";

static evert_coro *new_coro(evert_fn *fn, void *arg)
{
    evert_coro *coro;
    check_rc(evert_coro_new_at(&coro, fn, arg, "a coroutine", EVERT_PLACE), 0);
    return coro;
}

/* On the loop that runs here, or in blocking mode this thread's own. */
static evert_deferred *from(evert_fn *fn, void *arg)
{
    evert_deferred *d = NULL;
    check_rc(evert_deferred_from(&d, NULL, new_coro(fn, arg)), 0);
    return d;
}

/* A coroutine that awaits a Deferred, and after that ends with what it is told. */
struct work {
    evert_deferred *awaited;
    int steps, rc, ends_with; /* if that is not 0, and else with rc */
    struct evert__task *task;
};

static int work(void *arg)
{
    struct work *w = arg;
    w->steps++;
    w->task = self();
    w->rc = evert_await(w->awaited).error;
    w->steps++;
    return w->ends_with != 0 ? w->ends_with : w->rc;
}

static struct work new_work(void)
{
    return (struct work){.awaited = new_deferred()};
}

static void fire(evert_deferred *d)
{
    check_rc(evert_deferred_callback(d, one, NULL), 0);
}

/* ---- It runs at once ---- */

static void test_it_runs_up_to_its_first_wait_before_it_is_returned(void **state)
{
    (void)state;
    struct work w = new_work();
    struct evert__task *before = self();
    evert_deferred *d = from(work, &w);
    assert_int_equal(w.steps, 1);
    assert_ptr_equal(self(), before); /* who asked goes on as before */
    assert_ptr_not_equal(w.task, before);
    assert_string_equal(w.task->name, "a coroutine");
    check_pending(d);
    settle();
    assert_int_equal(w.steps, 1);
    fire(w.awaited);
    settle();
    assert_int_equal(w.steps, 2);
    check_value(d, &w);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

static void test_one_that_never_waits_has_fired_already(void **state)
{
    int results[] = {0, 5, -EPIPE};
    (void)state;
    evert_deferred *d[3];
    for (int i = 0; i < 3; i++)
        d[i] = from(give, &results[i]);
    check_value(d[0], &results[0]);
    check_value(d[1], &results[1]);
    check_error(d[2], -EPIPE);
    for (int i = 0; i < 3; i++)
        evert_deferred_free(d[i]);
}

static void test_awaiting_fired_ones_it_runs_through(void **state)
{
    (void)state;
    struct work w = new_work();
    fire(w.awaited);
    evert_deferred *d = from(work, &w);
    assert_int_equal(w.steps, 2);
    check_value(d, &w);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

static void test_its_error_is_the_deferreds_and_is_reported_with_its_place(void **state)
{
    (void)state;
    struct work w = new_work();
    w.ends_with = -EPROTO;
    evert_deferred *d = from(work, &w);
    fire(w.awaited);
    settle();
    evert_deferred_free(d);
    check_words(logged.text, "deferred_from_test.c:");
    check_report("EPROTO");
    evert_deferred_free(w.awaited);
}

static void test_it_is_awaited_like_any_other(void **state)
{
    struct work *w[2];
    evert_deferred *d[2];
    (void)state;
    struct work a = new_work(), b = {0};
    w[0] = &a;
    w[1] = &b;
    d[0] = from(work, &a);
    b.awaited = d[0];
    d[1] = from(work, &b);
    fire(a.awaited);
    evert_result result = evert_await(d[1]);
    assert_ptr_equal(result.value, w[1]);
    check_rc(b.rc, 0);
    for (int i = 0; i < 2; i++)
        evert_deferred_free(d[i]);
    evert_deferred_free(a.awaited);
}

struct nest {
    int depth;
    struct work *work;
    evert_deferred *made;
};

static int nest(void *arg)
{
    struct nest *n = arg;
    struct evert__task *me = self();
    struct nest inner = {n->depth - 1, n->work, NULL};
    n->made = n->depth == 0 ? from(work, n->work) : from(nest, &inner);
    assert_ptr_equal(self(), me);
    int rc = evert_await(n->made).error;
    assert_ptr_equal(self(), me);
    evert_deferred_free(n->made);
    return rc;
}

struct asking {
    struct work *work;
    evert_deferred *made;
    bool other_ran, other_ran_first;
};

static int ask_for_it(void *arg)
{
    struct asking *asking = arg;
    asking->made = from(work, asking->work);
    asking->other_ran_first = asking->other_ran;
    return 0;
}

static int note_that_other_ran(void *arg)
{
    ((struct asking *)arg)->other_ran = true;
    return 0;
}

/* Its first wait leads back to who asked, though other tasks are ready in that turn. */
static void test_nobody_else_runs_before_it_is_returned(void **state)
{
    evert_scope s;
    (void)state;
    struct work w = new_work();
    struct asking asking = {.work = &w};
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, ask_for_it, &asking), 0);
    check_rc(evert_spawn(&s, note_that_other_ran, &asking), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_true(asking.other_ran);
    assert_false(asking.other_ran_first);
    fire(w.awaited);
    check_rc(evert_await(asking.made).error, 0);
    evert_deferred_free(asking.made);
    evert_deferred_free(w.awaited);
}

static void test_started_within_each_other_each_comes_back_to_who_asked(void **state)
{
    (void)state;
    struct work w = new_work();
    struct nest n = {40, &w, NULL};
    evert_deferred *d = from(nest, &n);
    check_pending(d);
    assert_int_equal(w.steps, 1);
    settle();
    fire(w.awaited);
    check_rc(evert_await(d).error, 0);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

/* ---- Where it is started ---- */

static int start_in_callback(void *arg)
{
    struct work *w = arg;
    evert_deferred *d = NULL;
    evert_loop *loop = evert_loop_current();
    check_rc(evert_deferred_from(&d, loop, new_coro(work, w)), 0);
    assert_int_equal(w->steps, 1);
    assert_null(loop->current);
    fire(w->awaited);
    evert_deferred_release(d);
    return 0;
}

static void test_it_is_started_in_a_callback_of_the_loop(void **state)
{
    (void)state;
    struct work w = new_work();
    check_rc(in_callback(start_in_callback, &w), 0); /* the loop's end lets it end */
    assert_int_equal(w.steps, 2);
    check_rc(w.rc, 0);
    evert_deferred_free(w.awaited);
}

static evert_result start_in_deferred(evert_result *in, void *arg)
{
    (void)in;
    return evert_wait_for(from(work, arg));
}

static void test_it_is_started_by_the_callback_of_another(void **state)
{
    (void)state;
    struct work w = new_work();
    evert_deferred *d = new_deferred();
    check_rc(evert_deferred_add_callback(d, start_in_deferred, &w), 0);
    fire(d);
    assert_int_equal(w.steps, 1);
    fire(w.awaited);
    check_rc(evert_await(d).error, 0);
    assert_ptr_equal(evert_await(d).value, &w);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

static void test_it_is_started_on_a_loop_that_does_not_run(void **state)
{
    evert_loop *loop;
    evert_deferred *d = NULL;
    (void)state;
    struct work w = new_work();
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_deferred_from(&d, loop, new_coro(work, &w)), 0);
    assert_int_equal(w.steps, 1);
    assert_ptr_equal(w.task->loop, loop);
    assert_null(evert_loop_current());
    fire(w.awaited);
    check_pending(d);
    check_rc(evert_loop_turn(loop, 0), 0);
    check_value(d, &w);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
    evert_loop_free(loop);
}

static int never(void *unused)
{
    (void)unused;
    fail();
    return 0;
}

static int start_on_another(void *other)
{
    evert_deferred *d = other;
    int rc = evert_deferred_from(&d, other, new_coro(never, NULL));
    assert_ptr_equal(d, other); /* untouched */
    return rc;
}

static void test_where_another_loop_runs_it_is_refused(void **state)
{
    evert_loop *other;
    (void)state;
    check_rc(evert_loop_new(&other), 0);
    check_rc(in_task(start_on_another, other), EVERT_ECONTEXT);
    check_rc(in_callback(start_on_another, other), EVERT_ECONTEXT);
    check_no_tasks(other);
    evert_loop_free(other);
}

static int start_on_parents(void *loop)
{
    check_rc(start_on_another(loop), EVERT_ECLOSED);
    return 0;
}

static void test_on_the_loop_of_a_parent_it_is_refused(void **state)
{
    evert_loop *loop;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    struct child child = in_child(start_on_parents, loop);
    check_exit(&child, 0);
    evert_loop_free(loop);
}

static int use_twice(void *unused)
{
    int result = 0;
    (void)unused;
    evert_coro *coro = new_coro(give, &result);
    evert_deferred *d = NULL;
    check_rc(evert_deferred_from(&d, NULL, coro), 0);
    evert_deferred_free(d);
    return evert_deferred_from(&d, NULL, coro);
}

static void test_a_coroutine_used_twice_is_misuse(void **state)
{
    (void)state;
    check_misuse(use_twice, EVERT_EALREADY, "is used for the second time");
}

/* ---- It fires on the loop's side ---- */

static evert_result note_context(evert_result *in, void *arg)
{
    struct work *w = arg;
    w->task = evert_loop_current()->current;
    return *in;
}

static void test_its_callbacks_are_no_part_of_a_task(void **state)
{
    (void)state;
    struct work w = new_work();
    evert_deferred *d = from(work, &w);
    check_rc(evert_deferred_add_both(d, note_context, &w), 0);
    fire(w.awaited);
    assert_non_null(w.task);
    settle();
    assert_null(w.task);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

static void test_its_stack_is_given_back_before_it_fires(void **state)
{
    (void)state;
    struct work w = new_work();
    evert_deferred *d = from(work, &w);
    unsigned before = all_tasks()->stacks.count;
    fire(w.awaited);
    settle();
    assert_int_equal(all_tasks()->stacks.count, before + 1);
    check_value(d, &w);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

/* ---- D17: cancelling it ---- */

static void test_cancelling_it_cancels_the_wait_and_what_is_waited_for(void **state)
{
    int cancels = 0;
    (void)state;
    struct work w = new_work();
    evert_deferred_set_canceller(w.awaited, count_cancel, &cancels);
    evert_deferred *d = from(work, &w);
    evert_deferred_cancel(d);
    assert_int_equal(cancels, 1);
    check_pending(d); /* until the coroutine has ended */
    evert_deferred_cancel(d);
    settle();
    check_rc(w.rc, -ECANCELED);
    check_error(d, -ECANCELED);
    check_rc(evert_deferred_callback(d, NULL, NULL), EVERT_EALREADY);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

/* Case 13. */
static void test_what_a_cancelled_coroutine_returns_counts(void **state)
{
    (void)state;
    struct work w = new_work();
    w.ends_with = 7;
    evert_deferred *d = from(work, &w);
    evert_deferred_cancel(d);
    settle();
    check_rc(w.rc, -ECANCELED);
    check_value(d, &w);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

struct farewell {
    evert_deferred *first, *second;
    int rcs[3], ends_with;
};

/* Goes on after its cancel, and waits in a shield. */
static int say_farewell(void *arg)
{
    struct farewell *f = arg;
    evert_scope shield;
    f->rcs[0] = evert_await(f->first).error;
    f->rcs[1] = evert_sleep(1);
    evert_shield_enter(&shield, IN_A_MINUTE);
    f->rcs[2] = evert_await(f->second).error;
    check_rc(evert_scope_leave(&shield, 0), 0);
    return f->ends_with;
}

static void test_a_swallowed_cancel_lets_it_go_on_and_wait_in_a_shield(void **state)
{
    (void)state;
    struct farewell f = {new_deferred(), new_deferred(), {1, 1, 1}, 0};
    evert_deferred *d = from(say_farewell, &f);
    evert_deferred_cancel(d);
    settle();
    check_rc(f.rcs[0], -ECANCELED);
    check_rc(f.rcs[1], -ECANCELED);
    check_pending(d);
    fire(f.second);
    settle();
    check_rc(f.rcs[2], 0);
    check_value(d, &f);
    evert_deferred_free(d);
    evert_deferred_free(f.first);
    evert_deferred_free(f.second);
}

static void test_a_scope_that_awaits_it_cancels_it(void **state)
{
    evert_scope s;
    (void)state;
    struct work w = new_work();
    evert_deferred *d = from(work, &w);
    evert_scope_enter(&s, evert_after(1 * MS));
    check_rc(evert_await(d).error, -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    settle();
    check_rc(w.rc, -ECANCELED);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

static void test_a_timeout_on_it_says_so(void **state)
{
    (void)state;
    struct work w = new_work();
    evert_deferred *d = from(work, &w);
    check_rc(evert_deferred_timeout(d, NULL, evert_after(1 * MS)), 0);
    check_rc(evert_await(d).error, -ETIMEDOUT);
    evert_deferred_free(d);

    /* But a cancel that came before, and that it did not end at, was not the timer's. */
    struct farewell f = {new_deferred(), new_deferred(), {1, 1, 1}, -ECANCELED};
    d = from(say_farewell, &f);
    check_rc(evert_deferred_timeout(d, NULL, evert_after(1 * MS)), 0);
    evert_deferred_cancel(d);
    check_rc(evert_sleep(2 * MS), 0);
    fire(f.second);
    check_rc(evert_await(d).error, -ECANCELED);
    evert_deferred_free(d);
    evert_deferred_free(f.first);
    evert_deferred_free(f.second);
    evert_deferred_free(w.awaited);
}

static void test_with_a_canceller_of_the_programs_own_both_are_told(void **state)
{
    int cancels = 0;
    (void)state;
    struct work w = new_work();
    evert_deferred *d = from(work, &w);
    evert_deferred_set_canceller(d, count_cancel, &cancels);
    evert_deferred_cancel(d);
    settle();
    assert_int_equal(cancels, 1);
    check_rc(w.rc, -ECANCELED);
    check_error(d, -ECANCELED);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
}

static void test_fired_by_somebody_else_it_forgets_the_coroutine(void **state)
{
    (void)state;
    struct work w = new_work();
    evert_deferred *d = from(work, &w);
    fire(d);
    evert_deferred_free(d);
    fire(w.awaited);
    settle();
    assert_int_equal(w.steps, 2);
    evert_deferred_free(w.awaited);
}

/* ---- Freeing it ---- */

static void test_freeing_it_cancels_the_coroutine_and_nobody_hears(void **state)
{
    int cancels = 0;
    struct step step = {.name = 's'};
    (void)state;
    struct work w = new_work();
    w.ends_with = -EPROTO;
    evert_deferred_set_canceller(w.awaited, count_cancel, &cancels);
    evert_deferred *d = from(work, &w);
    add_both(d, &step);
    evert_deferred_free(d);
    assert_int_equal(cancels, 1);
    settle();
    assert_int_equal(w.steps, 2);
    check_rc(w.rc, -ECANCELED);
    check_called("");
    evert_deferred_free(w.awaited);
}

static void test_freed_with_the_one_that_waits_for_it(void **state)
{
    (void)state;
    struct work w = new_work();
    evert_deferred *outer = new_deferred();
    check_rc(evert_deferred_add_both(outer, wait_for_arg, from(work, &w)), 0);
    fire(outer);
    evert_deferred_free(outer);
    settle();
    check_rc(w.rc, -ECANCELED);
    evert_deferred_free(w.awaited);
}

struct own {
    evert_deferred *mine, *first;
    int rc;
};

static int free_mine(void *arg)
{
    struct own *own = arg;
    check_rc(evert_await(own->first).error, 0);
    evert_deferred_free(own->mine);
    own->rc = evert_sleep(1);
    return 0;
}

static int cancel_mine(void *arg)
{
    struct own *own = arg;
    check_rc(evert_await(own->first).error, 0);
    evert_deferred_cancel(own->mine);
    own->rc = evert_sleep(1);
    return 0;
}

static void test_a_coroutine_may_free_or_cancel_its_own_deferred(void **state)
{
    evert_fn *const fns[] = {free_mine, cancel_mine};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct own own = {NULL, new_deferred(), 1};
        own.mine = from(fns[i], &own);
        fire(own.first);
        settle();
        check_rc(own.rc, -ECANCELED);
        if (i == 1) {
            check_value(own.mine, &own);
            evert_deferred_free(own.mine);
        }
        evert_deferred_free(own.first);
    }
}

static evert_result free_both(evert_result *in, void *arg)
{
    struct own *own = arg;
    evert_deferred_free(own->mine);
    evert_deferred_free(own->first);
    return *in;
}

static void test_it_may_be_freed_in_its_own_callback(void **state)
{
    (void)state;
    struct own own = {NULL, new_deferred(), 1};
    struct work w = {.awaited = own.first};
    own.mine = from(work, &w);
    check_rc(evert_deferred_add_both(own.mine, free_both, &own), 0);
    fire(own.first);
    settle();
    assert_int_equal(w.steps, 2);
}

/* ---- When the loop goes ---- */

static void test_a_loop_that_is_freed_ends_it_and_it_fires_with_what_that_came_to(void **state)
{
    evert_loop *loop;
    evert_deferred *d[2] = {NULL, NULL};
    (void)state;
    struct work w = new_work(), other = new_work();
    other.ends_with = 3;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_deferred_from(&d[0], loop, new_coro(work, &w)), 0);
    check_rc(evert_deferred_from(&d[1], loop, new_coro(work, &other)), 0);
    evert_loop_free(loop);
    check_rc(w.rc, -ECANCELED);
    check_error(d[0], -ECANCELED);
    check_value(d[1], &other);
    for (int i = 0; i < 2; i++)
        evert_deferred_free(d[i]);
    evert_deferred_free(w.awaited);
    evert_deferred_free(other.awaited);
}

static void test_freed_before_its_loop_it_ends_with_that(void **state)
{
    evert_loop *loop;
    evert_deferred *d = NULL;
    (void)state;
    struct work w = new_work();
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_deferred_from(&d, loop, new_coro(work, &w)), 0);
    evert_deferred_free(d);
    assert_int_equal(w.steps, 1);
    evert_loop_free(loop);
    assert_int_equal(w.steps, 2);
    evert_deferred_free(w.awaited);
}

static evert_result start_another(evert_result *in, void *arg)
{
    struct work *w = arg;
    (void)in;
    evert_deferred_release(from(work, w));
    return evert_ok(NULL);
}

static void test_started_by_a_callback_of_a_loop_that_ends_it_ends_too(void **state)
{
    evert_loop *loop;
    evert_deferred *d = NULL;
    (void)state;
    struct work w = new_work(), late = new_work();
    late.ends_with = 1;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_deferred_from(&d, loop, new_coro(work, &w)), 0);
    check_rc(evert_deferred_add_both(d, start_another, &late), 0);
    evert_loop_free(loop);
    assert_int_equal(late.steps, 2);
    evert_deferred_free(d);
    evert_deferred_free(w.awaited);
    evert_deferred_free(late.awaited);
}

struct left {
    struct work kept, released;
    evert_deferred *deferred;
};

static int leave_running(void *arg)
{
    struct left *left = arg;
    left->deferred = from(work, &left->kept);
    evert_deferred_release(from(work, &left->released));
    return 0;
}

static void test_a_run_ends_what_its_main_task_left_running(void **state)
{
    (void)state;
    struct left left = {new_work(), new_work(), NULL};
    left.released.ends_with = 1;
    check_rc(evert_run(leave_running, &left), 0);
    check_rc(left.kept.rc, -ECANCELED);
    check_rc(left.released.rc, -ECANCELED);
    check_error(left.deferred, -ECANCELED);
    memset(&logged, 0, sizeof(logged)); /* that it was cancelled is worth a word */
    evert_deferred_free(left.deferred);
    evert_deferred_free(left.kept.awaited);
    evert_deferred_free(left.released.awaited);
}

/* ---- F45: each allocation failed in turn ---- */

static int sleep_a_little(void *unused)
{
    (void)unused;
    return evert_sleep(1);
}

static int make_and_await(void)
{
    evert_coro *coro;
    evert_deferred *d;
    int rc = evert_coro_new(&coro, sleep_a_little, one);
    if (rc == 0)
        rc = evert_deferred_from(&d, NULL, coro);
    if (rc < 0)
        return rc;
    rc = evert_await(d).error;
    evert_deferred_free(d);
    return rc;
}

/* A thread of its own, which has no loop yet. */
static void *make_in_thread(void *rc)
{
    *(int *)rc = make_and_await();
    return NULL;
}

static void test_any_allocation_may_fail(void **state)
{
    int refused = 0, before = open_descriptors();
    (void)state;
    for (int n = 0;; n++) {
        pthread_t thread;
        int rc = 1;
        memory_limit.left = n;
        memory_limit.hit = false;
        evert_set_allocator(&limited_memory);
        assert_int_equal(pthread_create(&thread, NULL, make_in_thread, &rc), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        evert_set_allocator(NULL);
        assert_int_equal(open_descriptors(), before);
        if (rc == 0 && !memory_limit.hit)
            break;
        assert_true(rc == 0 || rc == -ENOMEM);
        refused += rc == -ENOMEM;
    }
    assert_true(refused >= 5); /* the coroutine, the loop, its back end, its tasks, the Deferred */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        quiet_everywhere(test_it_runs_up_to_its_first_wait_before_it_is_returned),
        quiet_everywhere(test_one_that_never_waits_has_fired_already),
        quiet_everywhere(test_awaiting_fired_ones_it_runs_through),
        quiet_everywhere(test_its_error_is_the_deferreds_and_is_reported_with_its_place),
        quiet_everywhere(test_it_is_awaited_like_any_other),
        quiet_everywhere(test_nobody_else_runs_before_it_is_returned),
        quiet_everywhere(test_started_within_each_other_each_comes_back_to_who_asked),
        quiet(test_it_is_started_in_a_callback_of_the_loop),
        quiet_everywhere(test_it_is_started_by_the_callback_of_another),
        quiet(test_it_is_started_on_a_loop_that_does_not_run),
        quiet(test_where_another_loop_runs_it_is_refused),
        quiet(test_on_the_loop_of_a_parent_it_is_refused),
        cmocka_unit_test(test_a_coroutine_used_twice_is_misuse),
        quiet_everywhere(test_its_callbacks_are_no_part_of_a_task),
        quiet_everywhere(test_its_stack_is_given_back_before_it_fires),
        quiet_everywhere(test_cancelling_it_cancels_the_wait_and_what_is_waited_for),
        quiet_everywhere(test_what_a_cancelled_coroutine_returns_counts),
        quiet_everywhere(test_a_swallowed_cancel_lets_it_go_on_and_wait_in_a_shield),
        quiet_everywhere(test_a_scope_that_awaits_it_cancels_it),
        quiet_everywhere(test_a_timeout_on_it_says_so),
        quiet_everywhere(test_with_a_canceller_of_the_programs_own_both_are_told),
        quiet_everywhere(test_fired_by_somebody_else_it_forgets_the_coroutine),
        quiet_everywhere(test_freeing_it_cancels_the_coroutine_and_nobody_hears),
        quiet_everywhere(test_freed_with_the_one_that_waits_for_it),
        quiet_everywhere(test_a_coroutine_may_free_or_cancel_its_own_deferred),
        quiet_everywhere(test_it_may_be_freed_in_its_own_callback),
        quiet(test_a_loop_that_is_freed_ends_it_and_it_fires_with_what_that_came_to),
        quiet(test_freed_before_its_loop_it_ends_with_that),
        quiet(test_started_by_a_callback_of_a_loop_that_ends_it_ends_too),
        quiet(test_a_run_ends_what_its_main_task_left_running),
        quiet(test_any_allocation_may_fail),
    };
    return run_table(tests);
}
