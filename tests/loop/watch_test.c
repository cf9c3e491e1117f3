/* SPDX-License-Identifier: MIT */
/* P8, F49: a callback that holds its loop up is named. */
#include "support.h"

#include "../watched.h"
#include "coro/fiber.h"
#include "loop/trace.h"
#include "loop/watch.h"

static int setup(void **state)
{
    watch_loops("300");
    return loop_setup(state);
}

static int teardown(void **state)
{
    evert_loop_free(loop);
    loop = NULL;
    stop_watching();
    return loop_teardown(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Runs it as a callback of the loop. */
static void call(evert_callback *fn, void *arg)
{
    assert_int_equal(evert_loop_call_soon(loop, NULL, fn, arg), 0);
    turn(0);
}

__attribute__((noinline)) static void hold_up(void *reports)
{
    block_until_reported(*(int *)reports);
    block_for(30);
    *(volatile int *)reports = 0; /* so that the call above is not its last */
}

/* P8, F49: named by its function, with the place where it is, and once; and how long it took. */
static void test_a_callback_that_blocks_is_named_with_its_place(void **state)
{
    char words[400], place[300];
    int reports = 1;
    (void)state;
    call(hold_up, &reports);
    snprintf(words, sizeof(words), "callback %s has run for ",
             place_of((void *)(uintptr_t)hold_up, place));
    check_words(heard.text, words);
    check_called_from((void *)(uintptr_t)hold_up);
    snprintf(words, sizeof(words), "callback %s held its loop up for ", place);
    check_words(heard.text, words);
    turns(5);
    assert_int_equal(atomic_load(&heard.reports), 1);
    assert_int_equal(atomic_load(&heard.ends), 1);
}

static void spin(void *reports)
{
    while (atomic_load((atomic_int *)reports) == 0)
        continue;
}

/* Holds the loop up once, and gives whether it was there that it was found first. */
static bool spin_comes_first(void)
{
    call(spin, &heard.reports);
    evert_loop_free(loop); /* with its watchdog, which may still be telling */
    loop = NULL;
#ifndef EVERT__TSAN /* which has a handler run later, where it sees fit */
    char *first = strstr(heard.text, "it is at\n");
    assert_non_null(first);
    *strchr(strchr(first, '\n') + 1, '\n') = '\0';
#endif
    return is_traced((void *)(uintptr_t)spin);
}

/*
 * P8: first of all it is told where it is, and not what the watch does there. On a machine with
 * much to do it may have had no processor before it came there, and be found on its way.
 */
static void test_the_place_comes_first(void **state)
{
    for (int left = 5; !spin_comes_first(); left--) {
        print_message("%s\n", heard.text);
        assert_int_not_equal(left, 0);
        teardown(state);
        setup(state);
    }
}

/* P8: each that blocks is reported, however it was asked for. */
static void test_each_that_blocks_is_reported(void **state)
{
    char words[400], place[300];
    (void)state;
    place_of((void *)(uintptr_t)hold_up, place);
    for (int i = 1; i <= 3; i++) {
        int reports = i;
        evert_handle handle = {0};
        if (i == 1)
            assert_int_equal(evert_loop_call_threadsafe(loop, hold_up, &reports), 0);
        if (i == 2)
            assert_int_equal(evert_loop_call_at(loop, &handle, 1, hold_up, &reports), 0);
        if (i == 3)
            assert_int_equal(evert_loop_call_soon(loop, &handle, hold_up, &reports), 0);
        while (reports != 0)
            turn(PATIENCE);
        assert_int_equal(atomic_load(&heard.reports), i);
        assert_int_equal(atomic_load(&heard.ends), i);
        snprintf(words, sizeof(words), "callback %s held", place);
        check_words(heard.text, words);
        heard.text[0] = '\0';
    }
}

static void be_quick(void *count)
{
    block_for(50);
    ++*(int *)count;
}

/* P8: a turn may be long, if what runs in it is short. */
static void test_many_short_ones_are_not_reported(void **state)
{
    int count = 0;
    (void)state;
    evert_loop_free(loop);
    watch_loops("1000");
    assert_int_equal(evert_loop_new(&loop), 0);
    for (int i = 0; i < 24; i++)
        assert_int_equal(evert_loop_call_soon(loop, NULL, be_quick, &count), 0);
    turn(0);
    assert_int_equal(count, 24);
    assert_string_equal(heard.text, "");
}

/* P8: neither a loop that waits nor the program between two turns holds anything up. */
static void test_waiting_is_not_reported(void **state)
{
    int calls = 0;
    (void)state;
    evert_loop_free(loop);
    watch_loops("300");
    assert_int_equal(evert_loop_new(&loop), 0);
    call(count_up, &calls);
    turns(10);
    turn(700 * EVERT_MILLISECOND);
    call(count_up, &calls);
    block_for(700);
    call(count_up, &calls);
    assert_int_equal(calls, 3);
    assert_string_equal(heard.text, "");
}

/* P8: nor is a process that was stopped; the time does not count. */
static void stop_myself(void *unused)
{
    (void)unused;
    raise(SIGSTOP);
    block_for(50);
}

static void test_a_process_that_was_stopped_is_not_reported(void **state)
{
    int status;
    (void)state;
    evert_loop_free(loop); /* with its thread: the thread sanitizer wants none at a fork */
    loop = NULL;
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        watch_loops("500");
        MUST(evert_loop_new(&loop) == 0);
        MUST(evert_loop_call_soon(loop, NULL, stop_myself, NULL) == 0);
        MUST(evert_loop_turn(loop, 0) == 0);
        evert_loop_free(loop);
        MUST(heard.text[0] == '\0');
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    block_for(1500);
    kill(child, SIGCONT);
    assert_int_equal(exit_of(child), 0);
    assert_int_equal(evert_loop_new(&loop), 0);
}

static void hold_up_and_hear_nothing(void *arg)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    hold_up(arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* P8: it is named all the same. */
static void test_one_that_takes_no_signals_is_reported_without_its_place(void **state)
{
    int reports = 1;
    (void)state;
    call(hold_up_and_hear_nothing, &reports);
    check_words(heard.text, "holds its loop up; where it is cannot be found out");
    assert_int_equal(atomic_load(&heard.ends), 1);
    reports = 2;
    heard.text[0] = '\0';
    call(hold_up, &reports);
    check_words(heard.text, "; it is at");
}

static atomic_bool asked;

static bool lose_the_question(enum evert__sys_call call, const void *site, size_t *size,
                              int64_t *result)
{
    (void)site;
    (void)size;
    if (call != EVERT__SYS_THREAD_KILL)
        return false;
    *result = 0;
    atomic_store(&asked, true);
    return true;
}

static void end_when_asked(void *unused)
{
    (void)unused;
    while (!atomic_load(&asked))
        block_for(1);
}

/* P8: one that ends before its place is known is reported by its loop. */
static void test_one_that_ends_while_its_place_is_asked_for_is_reported(void **state)
{
    (void)state;
    atomic_store(&asked, false);
    evert__sys_set_hook(lose_the_question);
    call(end_when_asked, NULL);
    evert__sys_set_hook(NULL);
    check_words(heard.text, "holds its loop up; where it is cannot be found out");
    assert_int_equal(atomic_load(&heard.reports), 1);
    assert_int_equal(atomic_load(&heard.ends), 1);
}

/*
 * There are so many threads, or fewer: one that was joined, also by the test before, may still be
 * on its way out of there.
 */
static void check_threads(int most)
{
    for (int i = 0; i < 10000 && entries_of("/proc/self/task") > most; i++)
        block_for(1);
    assert_true(entries_of("/proc/self/task") <= most);
}

static void *handler_of_urgent(void)
{
    struct sigaction now;
    assert_int_equal(sigaction(SIGURG, NULL, &now), 0);
    return (void *)(uintptr_t)now.sa_sigaction;
}

/* P8: a loop that is not watched has no thread, and takes no signal. */
static void test_who_does_not_ask_pays_nothing(void **state)
{
    evert_loop *other;
    (void)state;
    int watched = entries_of("/proc/self/task");
    assert_non_null(loop->watch);
    evert_loop_free(loop);
    loop = NULL;
    check_threads(watched - 1);
    assert_null(handler_of_urgent());
    setenv("EVERT_WATCH", "0", 1);
    assert_int_equal(evert_loop_new(&loop), 0);
    assert_null(loop->watch);
    check_threads(watched - 1);
    assert_null(handler_of_urgent());

    setenv("EVERT_WATCH", "", 1); /* as if it was not set */
    assert_int_equal(evert_loop_new(&other), 0);
#ifdef EVERT_DEBUG
    assert_non_null(other->watch);
#else
    assert_null(other->watch);
#endif
    evert_loop_free(other);
}

static void test_what_is_no_number_is_an_error(void **state)
{
    static const char *const wrong[] = {"x",  "-1", "100ms", "2147483648", "99999999999999999999",
                                        "1.5"};
    evert_loop *other;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        setenv("EVERT_WATCH", wrong[i], 1);
        assert_int_equal(evert_loop_new(&other), -EINVAL);
    }
    check_words(heard.text, "EVERT_WATCH is no number of milliseconds");
}

static atomic_int urgent;

static void count_urgent(int number)
{
    (void)number;
    atomic_fetch_add(&urgent, 1);
}

static void count_urgent_in_detail(int number, siginfo_t *info, void *machine)
{
    (void)machine;
    count_urgent(info->si_signo == number ? number : 0);
}

static void with_own_handler(const struct sigaction *own)
{
    int reports = 1;
    atomic_store(&urgent, 0);
    evert_loop_free(loop);
    assert_int_equal(sigaction(SIGURG, own, NULL), 0);
    assert_int_equal(evert_loop_new(&loop), 0);
    raise(SIGURG);
    assert_int_equal(atomic_load(&urgent), 1);
    call(hold_up, &reports);
    check_words(heard.text, "; it is at");
    assert_int_equal(atomic_load(&urgent), 1);
    evert_loop_free(loop);
    assert_ptr_equal(handler_of_urgent(), (void *)(uintptr_t)own->sa_sigaction);
    signal(SIGURG, SIG_DFL);
    assert_int_equal(evert_loop_new(&loop), 0);
}

/* P8: the program has its own use of the signal all the while, and afterwards. */
static void test_the_programs_own_handler_is_still_called(void **state)
{
    const struct sigaction own = {.sa_handler = count_urgent};
    const struct sigaction detailed = {.sa_sigaction = count_urgent_in_detail,
                                       .sa_flags = SA_SIGINFO};
    (void)state;
    with_own_handler(&own);
    atomic_store(&heard.reports, 0);
    with_own_handler(&detailed);
}

static void test_a_place_in_no_file_is_a_number(void **state)
{
    char words[EVERT__FRAME_WORDS];
    (void)state;
    assert_string_equal(evert__trace_words((void *)(uintptr_t)16, words), "0x10");
}

static enum evert__sys_call refused;

static bool refuse(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    if (call != refused)
        return false;
    *result = -EAGAIN;
    return true;
}

/* P8, F45: without what it needs, the loop is just not watched. */
static void test_without_a_thread_or_memory_a_loop_is_not_watched(void **state)
{
    static const enum evert__sys_call calls_needed[] = {EVERT__SYS_THREAD, EVERT__SYS_SIGACTION};
    evert_loop *other;
    int rc = -ENOMEM;
    (void)state;
    evert_loop_free(loop);
    for (size_t i = 0; i < COUNT_OF(calls_needed); i++) {
        int calls = 0;
        heard.text[0] = '\0';
        refused = calls_needed[i];
        evert__sys_set_hook(refuse);
        assert_int_equal(evert_loop_new(&other), 0);
        evert__sys_set_hook(NULL);
        check_words(heard.text, "a loop is not watched: ");
        assert_null(other->watch);
        assert_int_equal(evert_loop_call_soon(other, NULL, count_up, &calls), 0);
        assert_int_equal(evert_loop_turn(other, 0), 0);
        assert_int_equal(calls, 1);
        evert_loop_free(other);
    }
    assert_int_equal(evert_loop_new(&loop), 0);
    for (int left = 0; rc == -ENOMEM; left++) {
        limit_memory(left);
        rc = evert_loop_new(&other);
        if (rc == 0)
            evert_loop_free(other);
        assert_int_equal(memory.out, 0);
        evert_set_allocator(NULL);
    }
    assert_int_equal(rc, 0);
}

static void fork_inside(void *ret_child)
{
    pid_t child = fork();
    if (child == 0)
        alarm(60);
    *(pid_t *)ret_child = child;
    evert_loop_stop(evert_loop_current());
}

/* P8, P9: a child that returns into the loop has no watchdog, and gets out of it. */
static void test_a_child_is_not_held_up_by_its_parents_watch(void **state)
{
    pid_t child = -1;
    int calls = 0;
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, fork_inside, &child), 0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, count_up, &calls), 0);
    int rc = evert_loop_run(loop);
    if (child == 0) {
        MUST(rc == EVERT_ECLOSED && calls == 0);
        evert_loop_free(loop);
        _exit(0);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(exit_of(child), 0);
    turn(0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_a_callback_that_blocks_is_named_with_its_place),
        CASE(test_the_place_comes_first),
        CASE(test_each_that_blocks_is_reported),
        CASE(test_many_short_ones_are_not_reported),
        CASE(test_waiting_is_not_reported),
        CASE(test_a_process_that_was_stopped_is_not_reported),
        CASE(test_one_that_takes_no_signals_is_reported_without_its_place),
        CASE(test_one_that_ends_while_its_place_is_asked_for_is_reported),
        CASE(test_who_does_not_ask_pays_nothing),
        CASE(test_what_is_no_number_is_an_error),
        CASE(test_the_programs_own_handler_is_still_called),
        CASE(test_a_place_in_no_file_is_a_number),
        CASE(test_without_a_thread_or_memory_a_loop_is_not_watched),
        CASE(test_a_child_is_not_held_up_by_its_parents_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
