/* SPDX-License-Identifier: MIT */
/* evert_run and evert_main (P9): results, signals, draining, what is left as it was. */
#include <pthread.h>
#include <sys/wait.h>

#include <evert/coro/await.h>

#include "../base/seed.h"
#include "support.h"

/* ---- Results ---- */

static void test_a_positive_result_gives_zero_and_a_negative_itself(void **state)
{
    static const int pairs[][2] = {
        {0, 0}, {7, 0}, {-EPIPE, -EPIPE}, {EVERT_EOF, EVERT_EOF}, {-ECANCELED, -ECANCELED}};
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        int result = pairs[i][0];
        check_rc(evert_run(give, &result), pairs[i][1]);
    }
}

static int check_main_task(void *loop)
{
    assert_ptr_equal(evert_loop_current(), loop);
    assert_string_equal(self()->name, "check_main_task");
    assert_non_null(strstr(self()->place, "run_test.c:"));
    return evert_yield();
}

static void test_it_uses_the_loop_that_the_threads_blocking_calls_use(void **state)
{
    (void)state;
    check_rc(evert_sleep(1), 0);
    check_rc(evert_run(check_main_task, self()->loop), 0);
    check_rc(evert_sleep(1), 0);
    check_rc(evert_run(check_main_task, self()->loop), 0); /* as often as one likes */
}

static int nested(void *unused)
{
    int result = 0;
    (void)unused;
    return evert_run(give, &result);
}

static void test_a_run_inside_a_run_is_an_error(void **state)
{
    (void)state;
    check_rc(evert_run(nested, NULL), EVERT_ECONTEXT);
    check_rc(in_task(nested, NULL), EVERT_ECONTEXT);
    check_rc(in_callback(nested, NULL), EVERT_ECONTEXT);
}

/* How the child ended: 0 when what it ran came to what it should. */
static int run_in_child(void *unused)
{
    int status = -1, result = -EDOM;
    pid_t pid = fork();
    (void)unused;
    if (pid == 0)
        _exit(evert_run(give, &result) == -EDOM ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* P9: a process for each task, or for each callback, in which a program begins anew. */
static void test_a_child_made_in_a_run_may_run_anew(void **state)
{
    (void)state;
    check_rc(evert_run(run_in_child, NULL), 0);
    check_rc(in_task(run_in_child, NULL), 0);
    check_rc(in_callback(run_in_child, NULL), 0);
}

static int stop_myself(void *first)
{
    evert_loop_stop(evert_loop_current());
    *(int *)first = evert_sleep_until(EVERT_NEVER);
    evert_loop_stop(evert_loop_current()); /* also from its farewells */
    return evert_yield() == 0 ? 1 : 0;
}

static void test_a_stopped_run_cancels_main_and_says_so(void **state)
{
    int first = 1;
    (void)state;
    check_rc(evert_run(stop_myself, &first), EVERT_ESTOPPED);
    check_rc(first, -ECANCELED);
    check_no_tasks(self()->loop);
    check_rc(evert_yield(), 0);
}

static bool no_eventfd(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    *result = -EMFILE;
    return call == EVERT__SYS_EVENTFD;
}

static void *run_without_descriptors(void *unused)
{
    int result = 0;
    (void)unused;
    evert__sys_set_hook(no_eventfd);
    check_rc(evert_run(give, &result), -EMFILE);
    evert__sys_set_hook(NULL);
    check_rc(evert_run(give, &result), 0);
    return NULL;
}

static void test_without_descriptors_it_fails_and_works_later(void **state)
{
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, run_without_descriptors, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static bool no_stack(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    *result = -ENOMEM;
    return call == EVERT__SYS_MAP;
}

static void *run_without_stack(void *unused)
{
    int result = 0;
    (void)unused;
    check_rc(evert_sleep(1), 0); /* its loop is there; its pool of stacks is empty */
    evert__sys_set_hook(no_stack);
    check_rc(evert_run(give, &result), -ENOMEM);
    evert__sys_set_hook(NULL);
    check_rc(evert_run(give, &result), 0);
    return NULL;
}

static void test_without_memory_for_a_stack_it_fails_and_works_later(void **state)
{
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, run_without_stack, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- The first signal ---- */

struct ended_by {
    int signal;
    int first, result; /* of the main task's wait; of the main task, if not 0 */
    bool ended;
};

static int wait_for_signal(void *arg)
{
    struct ended_by *by = arg;
    kill(getpid(), by->signal);
    by->first = evert_sleep_until(EVERT_NEVER);
    by->ended = true;
    return by->result != 0 ? by->result : by->first;
}

static void check_end(int number, int result, int wanted)
{
    struct ended_by by = {.signal = number, .result = result};
    int told = -1;
    evert_run_options options = {.ret_signal = &told};
    check_rc(evert_run_with(&options, wait_for_signal, &by), wanted);
    check_rc(by.first, -ECANCELED);
    assert_int_equal(told, number);
}

static void test_sigterm_cancels_main_and_that_is_success(void **state)
{
    (void)state;
    check_end(SIGTERM, 0, 0);
}

static void test_sigint_cancels_main_and_that_is_told(void **state)
{
    (void)state;
    check_end(SIGINT, 0, -ECANCELED);
}

static void test_another_error_after_a_signal_is_told(void **state)
{
    (void)state;
    check_end(SIGTERM, -EPIPE, -EPIPE);
    check_end(SIGINT, -EPIPE, -EPIPE);
}

static void test_a_main_that_swallows_the_cancel_ends_as_it_says(void **state)
{
    (void)state;
    check_end(SIGTERM, 3, 0);
    check_end(SIGINT, 3, 0);
}

static void test_without_a_signal_none_is_told(void **state)
{
    int told = -1, result = 0;
    evert_run_options options = {.ret_signal = &told};
    (void)state;
    check_rc(evert_run_with(&options, give, &result), 0);
    assert_int_equal(told, 0);
}

static int family(void *arg)
{
    struct ended_by *by = arg;
    evert_scope s;
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn(&s, wait_for_signal, by);
    if (rc == 0)
        rc = evert_spawn(&s, wait_for_ever, NULL);
    return evert_scope_leave(&s, rc);
}

static void test_a_signal_cancels_all_tasks_of_main(void **state)
{
    struct ended_by by = {.signal = SIGTERM};
    (void)state;
    check_rc(evert_run(family, &by), 0);
    assert_true(by.ended);
}

static int say_farewell(void *arg)
{
    struct ended_by *by = arg;
    evert_scope shield;
    kill(getpid(), SIGTERM);
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    evert_shield_enter(&shield, IN_A_MINUTE);
    by->first = evert_sleep(1 * MS);
    return evert_scope_leave(&shield, by->first);
}

/* BR-046: clean-ups run. */
static void test_main_can_say_its_farewells_after_a_signal(void **state)
{
    struct ended_by by = {.first = 1};
    (void)state;
    check_rc(evert_run(say_farewell, &by), 0);
    check_rc(by.first, 0);
}

struct interrupted {
    evert_time work, farewell, moment; /* how long these take, and when the signal comes */
    int farewells;
};

static void *interrupt_after(void *moment)
{
    evert_time span = *(const evert_time *)moment;
    nanosleep(&(struct timespec){.tv_nsec = (long)span}, NULL);
    kill(getpid(), SIGINT);
    return NULL;
}

static int say_one_farewell(struct interrupted *i)
{
    evert_scope shield;
    evert_shield_enter(&shield, IN_A_MINUTE);
    int rc = evert_sleep(i->farewell);
    i->farewells += rc == 0;
    return evert_scope_leave(&shield, rc);
}

static int work_and_say_two_farewells(void *arg)
{
    struct interrupted *i = arg;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupt_after, &i->moment), 0);
    evert_time end = evert_after(i->work);
    while (evert_after(0) < end && evert_yield() == 0)
        ;
    check_rc(say_one_farewell(i), 0);
    check_rc(say_one_farewell(i), 0);
    int rc = evert_sleep_until(EVERT_NEVER); /* it may still be to come */
    assert_int_equal(pthread_join(thread, NULL), 0);
    return rc;
}

/* BR-046: before the first wait, while it works, and while it cleans up. */
static void test_interrupted_at_any_moment_both_farewells_are_said(void **state)
{
    bool all = getenv("EVERT_LONG") != NULL;
    uint64_t random = seed_new();
    struct sigaction before, after;
    (void)state;
    sigaction(SIGINT, NULL, &before);
    for (int n = 0; n < (all ? 500 : 50); n++) {
        int told = 0;
        evert_run_options options = {.ret_signal = &told};
        struct interrupted i = {.work = 1 * MS, .farewell = (all ? 50 : 1) * MS};
        evert_time most = i.work + 2 * i.farewell;
        i.moment = (evert_time)random_below(&random, (uint32_t)most) * (n % 5 > 0);
        check_rc(evert_run_with(&options, work_and_say_two_farewells, &i), -ECANCELED);
        assert_int_equal(told, SIGINT);
        assert_int_equal(i.farewells, 2);
        sigaction(SIGINT, NULL, &after);
        assert_true(after.sa_handler == before.sa_handler);
    }
}

/* ---- Draining ---- */

struct drain {
    struct evert__ready server; /* what serving puts on the loop's list of servers */
    struct store told;
    bool ended_in_time;
    int order; /* 1 when the server was told, 2 when main was cancelled after that */
};

static void stop_serving(struct evert__ready *ready)
{
    struct drain *drain = EVERT__CONTAINER(ready, struct drain, server);
    assert_int_equal(drain->order, 0);
    drain->order = 1;
    store_put(&drain->told);
}

static void begin_serving(struct drain *drain)
{
    *drain = (struct drain){.server.run = stop_serving};
    store_init(&drain->told);
    evert__list_append(&self()->loop->servers, &drain->server.link);
    kill(getpid(), SIGTERM);
}

static int serve_until_told(void *arg)
{
    struct drain *drain = arg;
    begin_serving(drain);
    int rc = store_take(&drain->told);
    assert_true(self()->loop->ending);
    if (rc == 1)
        rc = evert_sleep(1 * MS); /* what is under way is finished */
    drain->ended_in_time = rc == 0;
    return rc;
}

static void test_in_the_time_to_drain_main_ends_by_itself(void **state)
{
    struct drain drain;
    evert_run_options options = {.drain = 60 * EVERT_SECOND};
    (void)state;
    check_rc(evert_run_with(&options, serve_until_told, &drain), 0);
    assert_true(drain.ended_in_time);
    assert_false(self()->loop->ending);
    assert_null(evert__heap_first(&self()->loop->timers));
}

static int serve_for_ever(void *arg)
{
    struct drain *drain = arg;
    begin_serving(drain);
    int rc = evert_sleep_until(EVERT_NEVER);
    assert_int_equal(drain->order, 1);
    drain->order = 2;
    return rc;
}

static void test_when_the_time_to_drain_is_over_main_is_cancelled(void **state)
{
    static const evert_time times[] = {0, 2 * MS};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct drain drain;
        evert_run_options options = {.drain = times[i]};
        evert_time end = evert_after(times[i]);
        check_rc(evert_run_with(&options, serve_for_ever, &drain), 0);
        assert_int_equal(drain.order, 2);
        assert_true(evert_after(0) >= end);
    }
}

/* What a connection that is being closed has with its loop. */
struct farewell {
    struct evert__ready ready;
    evert_handle handle;
    evert_loop *loop;
    bool done, raise;
};

static void say_farewell_later(void *arg)
{
    struct farewell *farewell = arg;
    if (farewell->raise) {
        farewell->raise = false;
        kill(getpid(), SIGTERM);
        check_rc(evert_loop_call_at(farewell->loop, &farewell->handle, evert_after(2 * MS),
                                    say_farewell_later, farewell),
                 0);
        return;
    }
    farewell->done = true;
    evert__link_remove(&farewell->ready.link);
}

static int leave_work(void *arg)
{
    struct farewell *farewell = arg;
    farewell->loop = self()->loop;
    evert__list_append(&farewell->loop->farewells, &farewell->ready.link);
    return evert_loop_call_at(farewell->loop, &farewell->handle, evert_after(1 * MS),
                              say_farewell_later, farewell);
}

static void test_it_waits_for_connections_that_are_being_closed(void **state)
{
    struct farewell farewell = {.done = false};
    (void)state;
    check_rc(evert_run(leave_work, &farewell), 0);
    assert_true(farewell.done);
}

/* The main task is gone by then, and its time to drain must not outlive the run either. */
static void test_a_signal_among_the_farewells_is_harmless(void **state)
{
    static const evert_time drains[] = {0, 60 * EVERT_SECOND};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct farewell farewell = {.raise = true};
        int told = 0;
        evert_run_options options = {.drain = drains[i], .ret_signal = &told};
        check_rc(evert_run_with(&options, leave_work, &farewell), 0);
        assert_true(farewell.done);
        assert_int_equal(told, SIGTERM);
        assert_null(evert__heap_first(&self()->loop->timers));
    }
}

/* ---- The second signal ---- */

struct twice {
    int first, second;
};

static int ignore_first(void *arg)
{
    struct twice *twice = arg;
    evert_scope shield;
    kill(getpid(), twice->first);
    (void)evert_sleep_until(EVERT_NEVER);
    evert_shield_enter(&shield, IN_A_MINUTE);
    kill(getpid(), twice->second);
    int rc = evert_sleep_until(EVERT_NEVER);
    return evert_scope_leave(&shield, rc);
}

static int run_ignoring_first(void *arg)
{
    return evert_run(ignore_first, arg) < 0 ? 1 : 0;
}

static int raise_twice_without_waiting(void *arg)
{
    struct twice *twice = arg;
    kill(getpid(), twice->first);
    kill(getpid(), twice->second);
    return 0;
}

static int run_raising_twice(void *arg)
{
    return evert_run(raise_twice_without_waiting, arg) < 0 ? 1 : 0;
}

static void test_a_second_signal_kills(void **state)
{
    static struct twice all[] = {
        {SIGTERM, SIGTERM}, {SIGTERM, SIGINT}, {SIGINT, SIGTERM}, {SIGINT, SIGINT}};
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct child child = in_child(run_ignoring_first, &all[i]);
        check_killed(&child, all[i].second);
    }
}

/* BR-046, the variant: a task that computes and never waits. */
static void test_the_same_signal_again_kills_who_never_waits(void **state)
{
    static struct twice all[] = {{SIGTERM, SIGTERM}, {SIGINT, SIGINT}};
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct child child = in_child(run_raising_twice, &all[i]);
        check_killed(&child, all[i].second);
    }
}

static int raise_both_at_once(void *rc)
{
    raise(SIGTERM);
    raise(SIGINT);
    *(int *)rc = evert_sleep_until(EVERT_NEVER);
    return *(int *)rc;
}

static void test_two_before_the_loop_hears_count_as_one(void **state)
{
    int signal = 0, first = 1;
    evert_run_options options = {.ret_signal = &signal};
    (void)state;
    int rc = evert_run_with(&options, raise_both_at_once, &first);
    check_rc(first, -ECANCELED);
    assert_true(signal == SIGTERM || signal == SIGINT);
    check_rc(rc, signal == SIGTERM ? 0 : -ECANCELED);
}

/* ---- A child that comes back into its parent's run ---- */

static int fork_and_return(void *child)
{
    *(pid_t *)child = fork();
    return 0;
}

static void test_a_child_that_returns_into_the_run_is_told(void **state)
{
    pid_t child = -1;
    int status;
    (void)state;
    int rc = evert_run(fork_and_return, &child);
    if (child == 0)
        _exit(rc == EVERT_ECLOSED && evert_yield() == 0 ? 0 : 1);
    check_rc(rc, 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- Tasks that nobody waits for ---- */

static struct {
    int child, parent;
} homeless;

static int wait_and_tell(void *rc)
{
    *(int *)rc = evert_sleep_until(EVERT_NEVER);
    return *(int *)rc;
}

static int keep_a_child(void *unused)
{
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn(&s, wait_and_tell, &homeless.child);
    homeless.parent = evert_scope_leave(&s, rc);
    return homeless.parent;
}

static int leave_it_behind(void *unused)
{
    evert_deferred *d;
    evert_coro *coro;
    (void)unused;
    check_rc(evert_coro_new(&coro, keep_a_child, NULL), 0);
    check_rc(evert_deferred_from(&d, NULL, coro), 0);
    evert_deferred_release(d);
    return 0;
}

static void test_what_main_left_behind_ends_with_its_children(void **state)
{
    (void)state;
    homeless.child = homeless.parent = 1;
    start_logging();
    check_rc(evert_run(leave_it_behind, NULL), 0);
    stop_logging();
    check_rc(homeless.child, -ECANCELED);
    check_rc(homeless.parent, -ECANCELED);
    check_no_tasks(self()->loop);
}

/* ---- What is left as it was ---- */

static const int touched[] = {SIGTERM, SIGINT, SIGPIPE, SIGSEGV, SIGBUS};
enum { TOUCHED = sizeof(touched) / sizeof(touched[0]) };

static void on_signal(int number)
{
    (void)number;
}

static int check_touched(void *before)
{
    for (int i = 0; i < TOUCHED; i++) {
        struct sigaction now;
        assert_return_code(sigaction(touched[i], NULL, &now), errno);
        assert_ptr_not_equal(now.sa_handler, ((struct sigaction *)before)[i].sa_handler);
    }
    return 0;
}

static void check_restored(evert_fn *fn, void *arg, int wanted)
{
    struct sigaction original[TOUCHED], before[TOUCHED], after;
    stack_t stack_before, stack_after;

    for (int i = 0; i < TOUCHED; i++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
        sigemptyset(&action.sa_mask);
        sigaddset(&action.sa_mask, SIGUSR1);
        assert_return_code(sigaction(touched[i], &action, &original[i]), errno);
        assert_return_code(sigaction(touched[i], NULL, &before[i]), errno);
    }
    sigaltstack(NULL, &stack_before);
    check_rc(evert_run(fn, arg != NULL ? arg : before), wanted);
    sigaltstack(NULL, &stack_after);
    for (int i = 0; i < TOUCHED; i++) {
        assert_return_code(sigaction(touched[i], NULL, &after), errno);
        assert_ptr_equal(after.sa_handler, before[i].sa_handler);
        assert_int_equal(after.sa_flags, before[i].sa_flags);
        assert_true(sigismember(&after.sa_mask, SIGUSR1));
        sigaction(touched[i], &original[i], NULL);
    }
    assert_ptr_equal(stack_after.ss_sp, stack_before.ss_sp);
    assert_int_equal(stack_after.ss_flags, stack_before.ss_flags);
}

static void test_signals_are_as_before_afterwards(void **state)
{
    struct ended_by by = {.signal = SIGTERM}, by_interrupt = {.signal = SIGINT};
    (void)state;
    check_restored(check_touched, NULL, 0);
    check_restored(wait_for_signal, &by, 0);
    check_restored(wait_for_signal, &by_interrupt, -ECANCELED);
}

static int write_to_nobody(void *unused)
{
    int ends[2];
    (void)unused;
    assert_return_code(pipe(ends), errno);
    close(ends[0]);
    ssize_t rc = write(ends[1], "x", 1);
    int error = errno;
    close(ends[1]);
    return rc < 0 ? -error : 0;
}

static int run_writing_to_nobody(void *unused)
{
    signal(SIGPIPE, SIG_DFL);
    if (evert_run(write_to_nobody, unused) != -EPIPE)
        return 1;
    (void)write_to_nobody(NULL); /* as before again: it kills */
    return 2;
}

/* F18 */
static void test_sigpipe_is_ignored_during_a_run_alone(void **state)
{
    (void)state;
    struct child child = in_child(run_writing_to_nobody, NULL);
    check_killed(&child, SIGPIPE);
}

static int check_untouched(void *unused)
{
    struct sigaction before[TOUCHED], now;
    evert_scope s;
    (void)unused;
    for (int i = 0; i < TOUCHED; i++)
        assert_return_code(sigaction(touched[i], NULL, &before[i]), errno);
    evert_scope_enter(&s, evert_after(1 * MS));
    check_rc(evert_spawn(&s, wait_for_ever, NULL), 0);
    (void)evert_sleep(1);
    for (int i = 0; i < TOUCHED; i++) {
        assert_return_code(sigaction(touched[i], NULL, &now), errno);
        assert_ptr_equal(now.sa_handler, before[i].sa_handler);
    }
    return evert_scope_leave(&s, 0);
}

static void test_nothing_but_a_run_touches_signals(void **state)
{
    (void)state;
    check_rc(check_untouched(NULL), -ETIMEDOUT);
    check_rc(in_task(check_untouched, NULL), -ETIMEDOUT);
}

/* ---- evert_main ---- */

static int main_giving(void *result)
{
    return evert_main(give, result);
}

static void check_main(int result, int wanted, const char *said)
{
    struct child child = in_child(main_giving, &result);
    check_exit(&child, wanted);
    check_said(&child, said);
    if (said[0] == '\0')
        assert_string_equal(child.said, "");
}

static void test_main_gives_an_exit_status_and_tells_failures(void **state)
{
    (void)state;
    check_main(0, 0, "");
    check_main(5, 0, "");
    check_main(-ECONNREFUSED, 1, ": Connection refused\n");
    check_main(-ECONNREFUSED, 1, program_invocation_short_name);
    check_main(EVERT_EOF, 1, evert_strerror(EVERT_EOF));
}

static int main_signalled(void *by)
{
    return evert_main(wait_for_signal, by);
}

static void test_main_gives_0_after_sigterm_and_130_after_sigint(void **state)
{
    static struct ended_by terminate = {.signal = SIGTERM}, interrupt = {.signal = SIGINT},
                           swallowed = {.signal = SIGINT, .result = 2},
                           failed = {.signal = SIGINT, .result = -EPIPE};
    (void)state;
    struct child child = in_child(main_signalled, &terminate);
    check_exit(&child, 0);
    child = in_child(main_signalled, &interrupt);
    check_exit(&child, 130);
    assert_string_equal(child.said, "");
    child = in_child(main_signalled, &swallowed);
    check_exit(&child, 130);
    child = in_child(main_signalled, &failed);
    check_exit(&child, 1);
    check_said(&child, ": Broken pipe\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_positive_result_gives_zero_and_a_negative_itself),
        cmocka_unit_test(test_it_uses_the_loop_that_the_threads_blocking_calls_use),
        cmocka_unit_test(test_a_run_inside_a_run_is_an_error),
        cmocka_unit_test(test_a_child_made_in_a_run_may_run_anew),
        cmocka_unit_test(test_a_stopped_run_cancels_main_and_says_so),
        cmocka_unit_test(test_without_descriptors_it_fails_and_works_later),
        cmocka_unit_test(test_without_memory_for_a_stack_it_fails_and_works_later),
        cmocka_unit_test(test_sigterm_cancels_main_and_that_is_success),
        cmocka_unit_test(test_sigint_cancels_main_and_that_is_told),
        cmocka_unit_test(test_another_error_after_a_signal_is_told),
        cmocka_unit_test(test_a_main_that_swallows_the_cancel_ends_as_it_says),
        cmocka_unit_test(test_without_a_signal_none_is_told),
        cmocka_unit_test(test_a_signal_cancels_all_tasks_of_main),
        cmocka_unit_test(test_main_can_say_its_farewells_after_a_signal),
        cmocka_unit_test(test_interrupted_at_any_moment_both_farewells_are_said),
        cmocka_unit_test(test_in_the_time_to_drain_main_ends_by_itself),
        cmocka_unit_test(test_when_the_time_to_drain_is_over_main_is_cancelled),
        cmocka_unit_test(test_it_waits_for_connections_that_are_being_closed),
        cmocka_unit_test(test_a_signal_among_the_farewells_is_harmless),
        cmocka_unit_test(test_a_second_signal_kills),
        cmocka_unit_test(test_the_same_signal_again_kills_who_never_waits),
        cmocka_unit_test(test_two_before_the_loop_hears_count_as_one),
        cmocka_unit_test(test_a_child_that_returns_into_the_run_is_told),
        cmocka_unit_test(test_what_main_left_behind_ends_with_its_children),
        cmocka_unit_test(test_signals_are_as_before_afterwards),
        cmocka_unit_test(test_sigpipe_is_ignored_during_a_run_alone),
        cmocka_unit_test(test_nothing_but_a_run_touches_signals),
        cmocka_unit_test(test_main_gives_an_exit_status_and_tells_failures),
        cmocka_unit_test(test_main_gives_0_after_sigterm_and_130_after_sigint),
    };
    return run_table(tests);
}
