/* SPDX-License-Identifier: MIT */
/* evert_run_on (P9): a loop on each of many cores, which end together, and speak by posts (P4). */
#include <evert/coro/await.h>
#include <evert/coro/run.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "coro/run.h"

#include "support.h"

enum { CORES = 4 };

struct cores {
    atomic_int runs[CORES]; /* of each by its number */
    atomic_int up, cut, failing, result;
    evert_loop *loops[CORES];
    pthread_t threads[CORES];
    int signal;
};

static void come_up(struct cores *c)
{
    unsigned here = evert_core();
    assert_in_range(here, 0, CORES - 1);
    c->loops[here] = evert_loop_current();
    c->threads[here] = pthread_self();
    c->runs[here]++;
    c->up++;
}

static void check_each_ran_once(struct cores *c)
{
    for (int i = 0; i < CORES; i++) {
        assert_int_equal(c->runs[i], 1);
        for (int k = 0; k < i; k++) {
            assert_ptr_not_equal(c->loops[i], c->loops[k]);
            assert_false(pthread_equal(c->threads[i], c->threads[k]));
        }
    }
}

static void await_all(struct cores *c)
{
    while (c->up < CORES)
        check_rc(evert_sleep(50 * EVERT_MICROSECOND), 0);
}

static int wait_to_be_cut(void *arg)
{
    struct cores *c = arg;
    int rc = evert_sleep_until(EVERT_NEVER);
    c->cut++;
    return rc;
}

/* ---- Results ---- */

static int note_and_give(void *arg)
{
    struct cores *c = arg;
    come_up(c);
    await_all(c);
    check_rc(evert_yield(), 0);
    return (int)evert_core() + c->result;
}

static void test_each_core_runs_it_once(void **state)
{
    struct cores c = {0};
    (void)state;
    assert_int_equal(evert_core(), 0);
    check_rc(evert_run_on(CORES, note_and_give, &c), 0);
    check_each_ran_once(&c);
    assert_true(pthread_equal(c.threads[0], pthread_self()));
    assert_int_equal(evert_core(), 0);
    check_rc(evert_sleep(1), 0); /* this thread's loop is as it was */
    check_no_tasks(self()->loop);
}

static void test_one_core_is_this_thread(void **state)
{
    int result = -EPIPE;
    (void)state;
    check_rc(evert_run_on(1, give, &result), -EPIPE);
    check_rc(evert_run_on(0, give, &result), -EPIPE);
}

static int fail_or_wait(void *arg)
{
    struct cores *c = arg;
    come_up(c);
    if ((int)evert_core() != c->failing) {
        int rc = evert_sleep_until(EVERT_NEVER);
        check_rc(rc, -ECANCELED);
        c->cut++;
        return rc;
    }
    await_all(c);
    return evert__fail(self(), c->result, "core %u went wrong", evert_core());
}

static void test_the_first_failure_ends_all_and_is_what_it_gives(void **state)
{
    static const int failures[] = {-EIO, EVERT_EOF, -ECANCELED};
    char words[40];
    (void)state;
    for (int i = 0; i < CORES; i++) {
        struct cores c = {.failing = i, .result = failures[i % 3]};
        check_rc(evert_run_on(CORES, fail_or_wait, &c), c.result);
        assert_int_equal(c.cut, CORES - 1);
        check_each_ran_once(&c);
        snprintf(words, sizeof(words), "core %d went wrong", i);
        assert_string_equal(evert_describe(c.result), words);
    }
}

static int stop_or_wait(void *arg)
{
    struct cores *c = arg;
    come_up(c);
    if (evert_core() == 2) {
        await_all(c);
        evert_loop_stop(evert_loop_current());
    }
    return evert_sleep_until(EVERT_NEVER);
}

static void test_a_stop_of_one_ends_all(void **state)
{
    struct cores c = {0};
    (void)state;
    check_rc(evert_run_on(CORES, stop_or_wait, &c), EVERT_ESTOPPED);
    check_each_ran_once(&c);
}

/* ---- One that is on its way out when it is told ---- */

static struct {
    struct cores c;
    atomic_bool first_leaves;
} leaving;

/* The first core's run is over, all but this call, when a failure of another ends all. */
static bool hold_up_the_first(enum evert__sys_call call, const void *site, size_t *size,
                              int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    if (call != EVERT__SYS_SIGALTSTACK || evert_core() != 0 || leaving.c.up < CORES)
        return false;
    leaving.first_leaves = true;
    while (leaving.c.cut < CORES - 2) /* they are told behind it */
        sched_yield();
    return false;
}

static int leave_first_or_fail_then(void *unused)
{
    (void)unused;
    come_up(&leaving.c);
    if (evert_core() > 1)
        return wait_to_be_cut(&leaving.c);
    await_all(&leaving.c);
    if (evert_core() == 0)
        return 0;
    while (!leaving.first_leaves)
        check_rc(evert_sleep(50 * EVERT_MICROSECOND), 0);
    return -EIO;
}

/* What is posted to its loop then would refer to what is freed. */
static void test_nothing_is_left_in_the_loop_of_who_is_told_late(void **state)
{
    (void)state;
    if (SANITIZED)
        return; /* which has set that stack itself, so the call is not made */
    check_rc(evert_sleep(1), 0);
    evert__sys_set_hook(hold_up_the_first);
    check_rc(evert_run_on(CORES, leave_first_or_fail_then, NULL), -EIO);
    evert__sys_set_hook(NULL);
    assert_int_equal(leaving.c.cut, CORES - 2);
    assert_true(evert__list_empty(&self()->loop->calls));
    check_rc(evert_sleep(1), 0);
}

/* ---- Signals ---- */

static int signal_or_wait(void *arg)
{
    struct cores *c = arg;
    come_up(c);
    if ((int)evert_core() == c->failing) {
        await_all(c);
        assert_int_equal(kill(getpid(), c->signal), 0);
    }
    int rc = evert_sleep_until(EVERT_NEVER);
    check_rc(rc, -ECANCELED);
    c->cut++;
    return rc;
}

static void test_a_signal_ends_all(void **state)
{
    static const int pairs[][2] = {{SIGTERM, 0}, {SIGINT, -ECANCELED}};
    (void)state;
    for (int i = 0; i < 2 * CORES; i++) {
        struct cores c = {.failing = i / 2, .signal = pairs[i % 2][0]};
        int told = 0;
        evert_run_options options = {.ret_signal = &told};
        check_rc(evert_run_on_with(CORES, &options, signal_or_wait, &c), pairs[i % 2][1]);
        assert_int_equal(told, c.signal);
        assert_int_equal(c.cut, CORES);
    }
}

/* ---- What each thread needs ---- */

static atomic_int threads_left;

static bool few_threads(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    *result = -EAGAIN;
    return call == EVERT__SYS_THREAD && threads_left-- <= 0;
}

static void test_a_thread_that_cannot_be_started_ends_all(void **state)
{
    (void)state;
    for (int started = 0; started < CORES - 1; started++) {
        struct cores c = {0};
        threads_left = started;
        evert__sys_set_hook(few_threads);
        check_rc(evert_run_on(CORES, wait_to_be_cut, &c), -EAGAIN);
        evert__sys_set_hook(NULL);
        assert_int_equal(c.cut, started + 1);
    }
}

/* Not in the first thread, which has its loop already. */
static bool no_eventfd(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    *result = -EMFILE;
    return call == EVERT__SYS_EVENTFD;
}

static void test_a_loop_that_cannot_be_made_ends_all(void **state)
{
    struct cores c = {0};
    (void)state;
    check_rc(evert_sleep(1), 0);
    evert__sys_set_hook(no_eventfd);
    check_rc(evert_run_on(CORES, wait_to_be_cut, &c), -EMFILE);
    evert__sys_set_hook(NULL);
    assert_int_equal(c.cut, 1);
}

/* F45 */
static void test_without_memory_there_are_no_cores(void **state)
{
    struct cores c = {0};
    (void)state;
    check_rc(evert_sleep(1), 0); /* this thread has its loop by now */
    take_memory_away();
    check_rc(evert_run_on(CORES, wait_to_be_cut, &c), -ENOMEM);
    give_memory_back();
    assert_int_equal(c.cut, 0);
}

static void test_too_many_cores_are_an_error(void **state)
{
    int result = 0;
    (void)state;
    check_rc(evert_run_on(100000, give, &result), -EINVAL);
}

static int run_on_more(void *unused)
{
    int result = 0;
    (void)unused;
    return evert_run_on(CORES, give, &result);
}

static void test_inside_a_loop_it_is_an_error(void **state)
{
    (void)state;
    check_rc(in_task(run_on_more, NULL), EVERT_ECONTEXT);
    check_rc(in_callback(run_on_more, NULL), EVERT_ECONTEXT);
}

/* ---- Cores ---- */

static struct {
    atomic_int pinned;
    atomic_bool taken[CPU_SETSIZE];
} seats;

static int note_seat(void *unused)
{
    cpu_set_t allowed;
    size_t cpu = 0;
    (void)unused;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    if (CPU_COUNT(&allowed) != 1)
        return 0;
    while (!CPU_ISSET(cpu, &allowed))
        cpu++;
    assert_false(atomic_exchange(&seats.taken[cpu], true));
    seats.pinned++;
    return 0;
}

static void test_with_a_thread_for_each_core_each_stays_on_its_own(void **state)
{
    cpu_set_t before, after;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    int count = CPU_COUNT(&before);
    check_rc(evert_run_on(EVERT_ALL_CORES, note_seat, NULL), 0);
    assert_int_equal(seats.pinned, count);
    assert_int_equal(sched_getaffinity(0, sizeof(after), &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

static int compare_cores(void *before)
{
    cpu_set_t here;
    assert_int_equal(sched_getaffinity(0, sizeof(here), &here), 0);
    assert_true(CPU_EQUAL(&here, (cpu_set_t *)before));
    return 0;
}

/* Three of two cores would be too many, so it is one thread that leaves another core free. */
static void test_with_cores_to_spare_no_thread_is_tied_to_one(void **state)
{
    static const evert_run_options usual;
    struct evert__cores *cores;
    cpu_set_t before;
    (void)state;
    check_rc(evert_sleep(1), 0);
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    if (CPU_COUNT(&before) == 1)
        return; /* there are none to spare */
    check_rc(evert__cores_new(&cores, 1, &usual), 0);
    check_rc(evert__cores_run(cores, self()->loop, compare_cores, &before, "", ""), 0);
    evert__cores_free(cores);
}

static bool no_affinity(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    *result = -EPERM;
    return call == EVERT__SYS_AFFINITY;
}

static void test_cores_that_may_not_be_chosen_do_not_matter(void **state)
{
    struct cores c = {0};
    evert_run_options options = {.steer = true};
    (void)state;
    evert__sys_set_hook(no_affinity);
    check_rc(evert_run_on_with(CORES, &options, note_and_give, &c), 0);
    evert__sys_set_hook(NULL);
    check_each_ran_once(&c);
}

/* ---- From loop to loop ---- */

enum { LAPS = 1000 };

static struct {
    struct cores c;
    int laps; /* of the one that goes round; whose turn it is has it */
} ring;

static void pass_on(void *unused);

static void pass(unsigned to)
{
    check_rc(evert_loop_call_threadsafe(ring.c.loops[to], pass_on, NULL), 0);
}

static void pass_on(void *unused)
{
    unsigned here = evert_core();
    (void)unused;
    assert_ptr_equal(evert_loop_current(), ring.c.loops[here]);
    ring.laps += here == 0;
    if (ring.laps < LAPS)
        pass((here + 1) % CORES);
    else
        evert_loop_stop(evert_loop_current());
}

static int stand_in_the_ring(void *unused)
{
    (void)unused;
    come_up(&ring.c);
    await_all(&ring.c);
    if (evert_core() == 0)
        pass(1);
    return evert_sleep_until(EVERT_NEVER);
}

static void test_a_message_goes_round(void **state)
{
    (void)state;
    check_rc(evert_run_on(CORES, stand_in_the_ring, NULL), EVERT_ESTOPPED);
    assert_int_equal(ring.laps, LAPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_core_runs_it_once),
        cmocka_unit_test(test_one_core_is_this_thread),
        cmocka_unit_test(test_the_first_failure_ends_all_and_is_what_it_gives),
        cmocka_unit_test(test_a_stop_of_one_ends_all),
        cmocka_unit_test(test_nothing_is_left_in_the_loop_of_who_is_told_late),
        cmocka_unit_test(test_a_signal_ends_all),
        cmocka_unit_test(test_a_thread_that_cannot_be_started_ends_all),
        cmocka_unit_test(test_a_loop_that_cannot_be_made_ends_all),
        cmocka_unit_test(test_without_memory_there_are_no_cores),
        cmocka_unit_test(test_too_many_cores_are_an_error),
        cmocka_unit_test(test_inside_a_loop_it_is_an_error),
        cmocka_unit_test(test_with_a_thread_for_each_core_each_stays_on_its_own),
        cmocka_unit_test(test_with_cores_to_spare_no_thread_is_tied_to_one),
        cmocka_unit_test(test_cores_that_may_not_be_chosen_do_not_matter),
        cmocka_unit_test(test_a_message_goes_round),
    };
    return run_table(tests);
}
