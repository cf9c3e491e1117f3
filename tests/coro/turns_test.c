/* SPDX-License-Identifier: MIT */
/*
 * Short turns: tasks that let each other run do so without a look at the kernel each time, and yet
 * in order (P1), and not for so long that anything else would wait for them (C12).
 */
#include <evert/loop/loop.h>

#include <unistd.h>

#include "support.h"

/* Looks at the kernel, by whatever back end. */
static int looks;

static bool count_looks(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    looks +=
        call == EVERT__SYS_EPOLL_WAIT || call == EVERT__SYS_POLL || call == EVERT__SYS_URING_ENTER;
    return false;
}

/* A ring shows its memory, so that not each look at it is a call. */
static bool tells_of_looks(void)
{
    return strstr(evert_loop_backend(self()->loop), "uring") == NULL;
}

struct worker {
    int left; /* yields; -1: until `stop` */
    int done;
    bool *stop;
    evert_loop *stops; /* this loop, at its end */
};

static int yield_often(void *arg)
{
    struct worker *w = arg;
    for (; w->left != 0 && (w->stop == NULL || !*w->stop); w->left--, w->done++)
        check_rc(evert_yield(), 0);
    if (w->stops != NULL)
        evert_loop_stop(w->stops);
    return 0;
}

static void test_tasks_that_yield_to_each_other_seldom_look_at_the_kernel(void **state)
{
    enum { TASKS = 3, YIELDS = 1000 };
    struct worker workers[TASKS];
    evert_scope s;
    (void)state;
    looks = 0;
    evert__sys_set_hook(count_looks);
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < TASKS; i++) {
        workers[i] = (struct worker){.left = YIELDS};
        check_rc(evert_spawn(&s, yield_often, &workers[i]), 0);
    }
    check_rc(evert_scope_leave(&s, 0), 0);
    evert__sys_set_hook(NULL);
    if (self()->loop->watch == NULL)
        assert_in_range(looks, 0, TASKS * YIELDS / EVERT__RUNS + 10);
}

static evert_time slow_clock, clock_step;

/* A clock by which each look at it takes as long as that. */
static bool pass_time(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)count_looks(call, site, size, result);
    if (call != EVERT__SYS_CLOCK)
        return false;
    *result = slow_clock += clock_step;
    return true;
}

/* EVERT__SHORT: each takes longer than all short turns may together; 0: time stands still. */
static void begin_looking(evert_time step)
{
    looks = 0;
    slow_clock = evert__clock();
    clock_step = step;
    evert__sys_set_hook(pass_time);
}

/* C12 */
static void test_tasks_that_take_their_time_are_followed_by_a_look(void **state)
{
    enum { YIELDS = 50 * EVERT__RUNS };
    struct worker workers[2] = {{.left = YIELDS}, {.left = YIELDS}};
    evert_scope s;
    (void)state;
    begin_looking(EVERT__SHORT);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, yield_often, &workers[0]), 0);
    check_rc(evert_spawn(&s, yield_often, &workers[1]), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert__sys_set_hook(NULL);
    if (tells_of_looks())
        assert_true(looks >= 2 * YIELDS / EVERT__RUNS);
}

/* A task that never waits: what it takes is there. */
static int take_often(void *count)
{
    struct store store;
    store_init(&store);
    for (int i = *(int *)count; i > 0; i--) {
        store_put(&store);
        check_rc(store_take(&store), 1);
    }
    return 0;
}

/* Gives the looks at the kernel meanwhile. */
static int take_alone(int count, evert_time step)
{
    evert_scope s;
    begin_looking(step);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, take_often, &count), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    evert__sys_set_hook(NULL);
    return looks;
}

/* C12: there are no others that it would have to let run, as far as is known. */
static void test_a_task_that_is_alone_and_never_waits_seldom_looks_at_the_kernel(void **state)
{
    (void)state;
    int seen = take_alone(100 * (EVERT__BUDGET + 1), 0);
    assert_in_range(seen, 0, 10);
}

/* C12 */
static void test_a_task_that_is_alone_and_takes_its_time_looks_after_64_calls(void **state)
{
    enum { LOOKS = 100 };
    (void)state;
    int seen = take_alone(LOOKS * (EVERT__BUDGET + 1), EVERT__SHORT);
    if (tells_of_looks())
        assert_true(seen >= LOOKS);
}

/* C12: at any moment. */
static void test_a_task_that_never_waits_lets_those_run_that_are_ready(void **state)
{
    enum { ROUNDS = 10 };
    bool stop = false;
    struct worker other = {.left = -1, .stop = &stop};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, yield_often, &other), 0);
    (void)take_alone(ROUNDS * (EVERT__BUDGET + 1), 0);
    stop = true;
    assert_true(other.done >= ROUNDS - 1);
    check_rc(evert_scope_leave(&s, 0), 0);
}

/* Those that are ready by then run once each, in order, before the one that yields again. */
struct place {
    int *order, *count, number;
};

static int note_thrice(void *arg)
{
    struct place *place = arg;
    for (int i = 0; i < 3; i++) {
        place->order[(*place->count)++] = place->number;
        check_rc(evert_yield(), 0);
    }
    return 0;
}

static void test_short_turns_keep_the_order(void **state)
{
    enum { TASKS = 50 };
    static int order[3 * TASKS];
    struct place places[TASKS];
    int count = 0;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < TASKS; i++) {
        places[i] = (struct place){order, &count, i};
        check_rc(evert_spawn(&s, note_thrice, &places[i]), 0);
    }
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(count, 3 * TASKS);
    for (int i = 0; i < count; i++)
        assert_int_equal(order[i], i % TASKS);
}

/* C12: for a timer, and for a callback that asks to be called again and again. */
struct again {
    evert_loop *loop;
    int left;
    bool over;
};

static void call_again(void *arg)
{
    struct again *again = arg;
    again->over = --again->left == 0;
    if (!again->over)
        check_rc(evert_loop_call_soon(again->loop, NULL, call_again, again), 0);
}

static void set_true(void *arg)
{
    *(bool *)arg = true;
}

static void test_tasks_that_yield_to_each_other_keep_nothing_waiting(void **state)
{
    (void)state;
    for (int callbacks = 0; callbacks < 2; callbacks++) {
        bool timer_came = false;
        struct worker workers[2] = {{.left = -1, .stop = &timer_came},
                                    {.left = -1, .stop = &timer_came}};
        struct again again = {self()->loop, 1000, false};
        evert_scope s;
        evert_scope_enter(&s, EVERT_NEVER);
        check_rc(evert_spawn(&s, yield_often, &workers[0]), 0);
        check_rc(evert_spawn(&s, yield_often, &workers[1]), 0);
        if (callbacks)
            call_again(&again);
        check_rc(evert_loop_call_at(self()->loop, NULL, evert_after(1), set_true, &timer_came), 0);
        check_rc(evert_scope_leave(&s, 0), 0);
        while (callbacks && !again.over)
            check_rc(evert_yield(), 0);
    }
}

/* Nothing refers to it any more, so its memory is its owner's again at the end of the turn. */
struct closing {
    struct evert__fd fd;
    bool told;
};

static void note_closed(struct evert__fd *fd)
{
    EVERT__CONTAINER(fd, struct closing, fd)->told = true;
}

static void test_what_is_closed_is_told_of_before_many_short_turns(void **state)
{
    struct closing closing = {.told = false};
    struct worker workers[2] = {{.left = -1, .stop = &closing.told},
                                {.left = -1, .stop = &closing.told}};
    evert_scope s;
    (void)state;
    evert__fd_init(&closing.fd, self()->loop, dup(0));
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, yield_often, &workers[0]), 0);
    check_rc(evert_spawn(&s, yield_often, &workers[1]), 0);
    check_rc(evert_yield(), 0);
    evert__fd_close(&closing.fd, note_closed);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_in_range(workers[0].done, 1, 3);
}

/* P3: a stop is obeyed at the end of the turn, and a single turn is one. */
static void test_a_stop_ends_short_turns(void **state)
{
    bool stop = false;
    struct worker workers[3] = {
        {.left = -1, .stop = &stop}, {.left = -1, .stop = &stop}, {.left = 100}};
    evert_loop *loop;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    workers[2].stops = loop;
    for (int i = 0; i < 3; i++) {
        evert_coro *coro;
        struct evert__task *task;
        check_rc(evert_coro_new(&coro, yield_often, &workers[i]), 0);
        check_rc(evert__coro_task(loop, coro, &task), 0);
    }
    check_rc(evert_loop_turn(loop, 0), 0);
    assert_int_equal(workers[2].done, 0);
    check_rc(evert_loop_turn(loop, 0), 0);
    assert_int_equal(workers[2].done, 1);
    check_rc(evert_loop_run(loop), 0);
    assert_int_equal(workers[2].done, 100);
    assert_in_range(workers[0].done, 100, 101);
    stop = true;
    evert_loop_free(loop);
}

/* A task that ends goes straight to the next one, and its end is told as any other. */
static int nothing(void *unused)
{
    (void)unused;
    return 0;
}

static int fails(void *unused)
{
    (void)unused;
    return -EIO;
}

static void test_tasks_that_end_one_after_the_other_are_counted(void **state)
{
    enum { TASKS = 300 };
    (void)state;
    for (int failing = -1; failing < TASKS; failing += 100) {
        evert_task *kept;
        evert_scope s;
        evert_scope_enter(&s, EVERT_NEVER);
        for (int i = 0; i < TASKS; i++) {
            evert_spawn_options options = evert_spawn_defaults();
            options.ret_task = i == TASKS / 2 ? &kept : NULL;
            options.stack = i % 7 == 0 ? (size_t)2 * LITTLE_STACK : 0;
            check_rc(evert_spawn_with(&s, &options, i == failing ? fails : nothing, NULL), 0);
        }
        int rc = evert_task_join(kept);
        assert_true(rc == 0 || rc == -ECANCELED);
        check_rc(evert_scope_leave(&s, 0), failing < 0 ? 0 : -EIO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_tasks_that_yield_to_each_other_seldom_look_at_the_kernel),
        everywhere(test_tasks_that_take_their_time_are_followed_by_a_look),
        everywhere(test_a_task_that_is_alone_and_never_waits_seldom_looks_at_the_kernel),
        everywhere(test_a_task_that_is_alone_and_takes_its_time_looks_after_64_calls),
        everywhere(test_a_task_that_never_waits_lets_those_run_that_are_ready),
        everywhere(test_short_turns_keep_the_order),
        everywhere(test_tasks_that_yield_to_each_other_keep_nothing_waiting),
        everywhere(test_what_is_closed_is_told_of_before_many_short_turns),
        cmocka_unit_test(test_a_stop_ends_short_turns),
        everywhere(test_tasks_that_end_one_after_the_other_are_counted),
    };
    return run_table(tests);
}
