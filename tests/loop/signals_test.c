/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- What a disposition is, before and after ---- */

static atomic_int handled;

static void own_handler(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

static void set_own_handler(int number)
{
    struct sigaction action = {.sa_handler = own_handler};
    atomic_store(&handled, 0);
    assert_int_equal(sigaction(number, &action, NULL), 0);
}

static void (*handler_of(int number))(int)
{
    struct sigaction action;
    assert_int_equal(sigaction(number, NULL, &action), 0);
    return action.sa_handler;
}

static int teardown(void **state)
{
    loop_teardown(state);
    for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
        signal(i, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, record_setup, teardown)

/* ---- P5 ---- */

static int told;

static void tell(void *arg)
{
    assert_ptr_equal(evert_loop_current(), arg);
    told++;
}

/* P5 */
static void test_signal_is_told_in_the_loop(void **state)
{
    (void)state;
    told = 0;
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, tell, loop), 0);
    raise(SIGUSR1);
    assert_int_equal(told, 0);
    run_until(&told, 1);
    for (int i = 0; i < 3; i++) {
        raise(SIGUSR1);
        run_until(&told, i + 2);
    }
    turns(20);
    assert_int_equal(told, 4);
}

/* P5, BR-045: also one that came before the loop ran for the first time. */
static void test_each_signal_before_the_run_is_told(void **state)
{
    static const int numbers[] = {SIGTERM, SIGHUP, SIGCHLD, SIGUSR1, SIGINT};
    int counts[COUNT_OF(numbers)] = {0};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        assert_int_equal(evert_loop_watch_signal(loop, numbers[i], count_up, &counts[i]), 0);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        raise(numbers[i]);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        run_until(&counts[i], 1);
    turns(20);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        assert_int_equal(counts[i], 1);
}

/* P5: many that come together may be told once, but are told. */
static void test_burst_is_told_at_least_once(void **state)
{
    (void)state;
    told = 0;
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, tell, loop), 0);
    for (int i = 0; i < 1000; i++)
        raise(SIGUSR1);
    run_until(&told, 1);
    turns(20);
    assert_in_range(told, 1, 1000);
}

/* P5: the count stands apart from the wake. With a wake that cannot be written it is told too. */
static void test_full_wake_channel_loses_no_signal(void **state)
{
    uint64_t most = UINT64_MAX - 1;
    (void)state;
    told = 0;
    turns(10);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, tell, loop), 0);
    assert_int_equal(write(loop->wake_fd.number, &most, sizeof(most)), sizeof(most));
    raise(SIGUSR1);
    run_until(&told, 1);
}

/* P5 */
static void test_unwatch_gives_back_the_disposition(void **state)
{
    (void)state;
    set_own_handler(SIGUSR1);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "x"), 0);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR2, note, "x"), 0);
    assert_ptr_not_equal(handler_of(SIGUSR1), own_handler);
    evert_loop_unwatch_signal(loop, SIGUSR1);
    evert_loop_unwatch_signal(loop, SIGUSR2);
    assert_ptr_equal(handler_of(SIGUSR1), own_handler);
    assert_ptr_equal(handler_of(SIGUSR2), SIG_DFL);
    raise(SIGUSR1);
    assert_int_equal(atomic_load(&handled), 1);
    turns(10);
    assert_string_equal(record, "");
}

/* P5 */
static void test_freeing_the_loop_gives_back_the_dispositions(void **state)
{
    evert_loop *other;
    (void)state;
    assert_int_equal(evert_loop_new(&other), 0);
    set_own_handler(SIGUSR1);
    assert_int_equal(evert_loop_watch_signal(other, SIGUSR1, note, "x"), 0);
    raise(SIGUSR1);
    evert_loop_free(other);
    assert_ptr_equal(handler_of(SIGUSR1), own_handler);
}

/* P5 */
static void test_unwatched_signal_that_waits_is_not_told(void **state)
{
    (void)state;
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "x"), 0);
    raise(SIGUSR1);
    evert_loop_unwatch_signal(loop, SIGUSR1);
    turns(10);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "y"), 0);
    turns(10);
    assert_string_equal(record, "");
}

static void unwatch_myself(void *arg)
{
    note(arg);
    evert_loop_unwatch_signal(loop, SIGUSR1);
}

/* F50 */
static void test_callback_may_unwatch_its_own_signal(void **state)
{
    (void)state;
    set_own_handler(SIGUSR1);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, unwatch_myself, "u"), 0);
    raise(SIGUSR1);
    turns(20);
    assert_string_equal(record, "u");
    raise(SIGUSR1);
    assert_int_equal(atomic_load(&handled), 1);
}

/* P5 */
static void test_last_watch_of_a_loop_counts(void **state)
{
    (void)state;
    set_own_handler(SIGUSR1);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "a"), 0);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "b"), 0);
    raise(SIGUSR1);
    turns(20);
    assert_string_equal(record, "b");
    evert_loop_unwatch_signal(loop, SIGUSR1);
    assert_ptr_equal(handler_of(SIGUSR1), own_handler);
}

/* P5: one that came just before the change is told to the new watch. */
static void test_signal_that_waits_is_told_to_the_new_watch(void **state)
{
    (void)state;
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "a"), 0);
    raise(SIGUSR1);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "b"), 0);
    turns(20);
    assert_string_equal(record, "b");
}

/* P5: "the loop that asks last gets it". */
static void test_last_loop_that_asks_gets_the_signal(void **state)
{
    evert_loop *other;
    (void)state;
    set_own_handler(SIGUSR1);
    limit_memory(1000);
    assert_int_equal(evert_loop_new(&other), 0);
    assert_int_equal(evert_loop_watch_signal(other, SIGUSR1, note, "o"), 0);
    raise(SIGUSR1);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "l"), 0);
    evert_loop_unwatch_signal(other, SIGUSR1); /* has it no more: no effect */
    raise(SIGUSR1);
    turns(20);
    for (int i = 0; i < 20; i++)
        assert_int_equal(evert_loop_turn(other, 0), 0);
    assert_string_equal(record, "l");
    evert_loop_unwatch_signal(loop, SIGUSR1);
    evert_loop_free(other);
    assert_int_equal(memory.out, 0);
    assert_ptr_equal(handler_of(SIGUSR1), own_handler);
}

struct taker {
    evert_loop *loop;
    int told, rounds;
};

static void note_in_own_thread(void *arg)
{
    struct taker *t = arg;
    assert_ptr_equal(evert_loop_current(), t->loop);
    t->told++;
}

static void *take_again_and_again(void *arg)
{
    struct taker *t = arg;
    assert_int_equal(evert_loop_new(&t->loop), 0);
    for (int i = 0; i < t->rounds; i++) {
        assert_int_equal(evert_loop_watch_signal(t->loop, SIGUSR1, note_in_own_thread, t), 0);
        raise(SIGUSR1);
        assert_int_equal(evert_loop_turn(t->loop, 0), 0);
        if (i % 3 == 0)
            evert_loop_unwatch_signal(t->loop, SIGUSR1);
        if (i % 10 == 0) {
            evert_loop_free(t->loop);
            assert_int_equal(evert_loop_new(&t->loop), 0);
        }
    }
    evert_loop_free(t->loop);
    return NULL;
}

/* P5: each is told in its own loop alone, and the disposition of the beginning comes back. */
static void test_loops_of_two_threads_take_a_signal_from_each_other(void **state)
{
    struct taker takers[2] = {{.rounds = 2000}, {.rounds = 2000}};
    pthread_t thread;
    (void)state;
    set_own_handler(SIGUSR1);
    assert_int_equal(pthread_create(&thread, NULL, take_again_and_again, &takers[1]), 0);
    (void)take_again_and_again(&takers[0]);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(takers[0].told + takers[1].told > 0);
    assert_ptr_equal(handler_of(SIGUSR1), own_handler);
}

/* P5: the signal came when the other loop had it, which was woken for it. */
static void test_who_takes_a_signal_over_looks_for_those_that_wait(void **state)
{
    evert_loop *other;
    (void)state;
    told = 0;
    assert_int_equal(evert_loop_new(&other), 0);
    turns(20); /* nothing is left that would wake it */
    assert_int_equal(evert_loop_watch_signal(other, SIGUSR1, note, "o"), 0);
    raise(SIGUSR1);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, tell, loop), 0);
    run_until(&told, 1);
    evert_loop_free(other);
    assert_string_equal(record, "");
}

static void test_numbers_that_cannot_be_watched_are_errors(void **state)
{
    static const int numbers[] = {0, -1, INT32_MIN, 65, 1000, INT32_MAX, SIGKILL, SIGSTOP};
    (void)state;
    limit_memory(1000);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        assert_int_equal(evert_loop_watch_signal(loop, numbers[i], note, "x"), -EINVAL);
        evert_loop_unwatch_signal(loop, numbers[i]);
    }
    assert_int_equal(memory.out, 0);
}

static void test_real_time_signals_can_be_watched(void **state)
{
    (void)state;
    assert_int_equal(evert_loop_watch_signal(loop, SIGRTMIN, note, "a"), 0);
    assert_int_equal(evert_loop_watch_signal(loop, SIGRTMAX, note, "b"), 0);
    raise(SIGRTMAX);
    turns(20);
    raise(SIGRTMIN);
    turns(20);
    assert_string_equal(record, "ba");
}

/* F45: the watch that was there stays. */
static void test_no_memory_for_a_watch_leaves_the_old_one(void **state)
{
    (void)state;
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "a"), 0);
    limit_memory(0);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "b"), -ENOMEM);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR2, note, "c"), -ENOMEM);
    evert_set_allocator(NULL);
    assert_ptr_equal(handler_of(SIGUSR2), SIG_DFL);
    assert_ptr_not_equal(handler_of(SIGUSR1), SIG_DFL);
    raise(SIGUSR1);
    turns(20);
    assert_string_equal(record, "a");
}

static void test_handler_leaves_errno_alone(void **state)
{
    uint64_t most = UINT64_MAX - 1;
    (void)state;
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, note, "x"), 0);
    assert_int_equal(write(loop->wake_fd.number, &most, sizeof(most)), sizeof(most));
    errno = ENOTTY;
    raise(SIGUSR1); /* its write fails with EAGAIN */
    assert_int_equal(errno, ENOTTY);
}

static int once_told;

static void tell_once(struct evert__ready *ready)
{
    struct evert__signal_watch *watch = EVERT__CONTAINER(ready, struct evert__signal_watch, ready);
    assert_int_equal(watch->number, SIGUSR1);
    once_told++;
}

/* P9: the second one has its default action. */
static void test_watch_for_once_lets_the_next_signal_through(void **state)
{
    struct evert__signal_watch watch = {.ready.run = tell_once, .number = SIGUSR1, .once = true};
    (void)state;
    once_told = 0;
    set_own_handler(SIGUSR1);
    assert_int_equal(evert__signal_watch(loop, &watch), 0);
    raise(SIGUSR1);
    assert_ptr_equal(handler_of(SIGUSR1), SIG_DFL);
    run_until(&once_told, 1);
    evert__signal_unwatch(&watch);
    evert__signal_unwatch(&watch);
    assert_ptr_equal(handler_of(SIGUSR1), own_handler);
}

static void test_public_unwatch_leaves_the_librarys_own_watch(void **state)
{
    struct evert__signal_watch watch = {.ready.run = tell_once, .number = SIGUSR1};
    (void)state;
    once_told = 0;
    assert_int_equal(evert__signal_watch(loop, &watch), 0);
    evert_loop_unwatch_signal(loop, SIGUSR1);
    raise(SIGUSR1);
    run_until(&once_told, 1);
    evert__signal_unwatch(&watch);
}

/* ---- F42, BR-045: signals in the middle of other things ---- */

static int waits_to_interrupt;

static bool interrupt_waits(enum evert__sys_call call, const void *site, size_t *size,
                            int64_t *result)
{
    (void)site;
    (void)size;
    if ((call != EVERT__SYS_EPOLL_WAIT && call != EVERT__SYS_POLL &&
         call != EVERT__SYS_URING_ENTER) ||
        waits_to_interrupt == 0)
        return false;
    waits_to_interrupt--;
    *result = -EINTR;
    return true;
}

/* F42, F4 */
static void test_interrupted_wait_is_a_turn_in_which_nothing_came(void **state)
{
    int fired = 0;
    (void)state;
    waits_to_interrupt = 50;
    evert__sys_set_hook(interrupt_waits);
    evert_time when = evert_after(EVERT_MILLISECOND);
    assert_int_equal(evert_loop_call_at(loop, NULL, when, count_up, &fired), 0);
    run_until(&fired, 1);
    assert_true(evert__clock() >= when);
}

static struct {
    pthread_t loop_thread;
    atomic_bool over;
    int write_end, sent;
} storm;

static void *send_signals_and_bytes(void *arg)
{
    uint64_t random = seed_new();
    (void)arg;
    for (storm.sent = 0; storm.sent < 300; storm.sent++) {
        unsigned char byte = (unsigned char)storm.sent;
        struct timespec moment = {.tv_nsec = (long)random_below(&random, 50000)};
        pthread_kill(storm.loop_thread, storm.sent % 3 == 0 ? SIGUSR2 : SIGUSR1);
        plain_send(storm.write_end, &byte, 1);
        nanosleep(&moment, NULL);
    }
    pthread_kill(storm.loop_thread, SIGUSR1);
    return NULL;
}

/*
 * F42: SIGUSR1 is watched; SIGUSR2 is the program's own, and interrupts every system call.
 *
 * ThreadSanitizer (14) holds signals back, and where one comes while it hands out others it may
 * leave all of them blocked: what it puts back then is the mask that it had set itself.
 */
static void test_signals_at_any_moment_lose_no_bytes_and_no_timers(void **state)
{
    struct receiver r;
    pthread_t thread;
    sigset_t mask;
    int fds[2], fired = 0;
    (void)state;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    told = 0;
    unix_pair(fds);
    receiver_init(&r, fds[0], false);
    set_own_handler(SIGUSR2);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, tell, loop), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(evert_loop_call_at(loop, NULL, evert_after(i * 100000), count_up, &fired),
                         0);
    storm.loop_thread = pthread_self();
    storm.write_end = fds[1];
    assert_int_equal(pthread_create(&thread, NULL, send_signals_and_bytes, NULL), 0);
    receiver_take(&r);
    receiver_wait(&r, 300);
    for (int i = 0; i < 300; i++)
        assert_int_equal((unsigned char)r.data[i], i % 256);
    assert_int_equal(pthread_join(thread, NULL), 0);
    run_until(&fired, 50);
    run_until(&told, 1);
    receiver_close(&r);
    turn(0);
    close(fds[1]);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
}

static struct {
    int count, seen, wrong;
} posts;

static void take_number(void *arg)
{
    posts.wrong += (int)(intptr_t)arg != posts.seen++;
}

static void *post_then_signal(void *arg)
{
    sigset_t all;
    (void)arg;
    sigfillset(&all); /* so that the loop's thread gets them */
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
    for (intptr_t i = 0; i < posts.count; i++)
        assert_int_equal(evert_loop_call_threadsafe(loop, take_number, (void *)i), 0);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGCHLD);
    return NULL;
}

static void block_while_posted(void *arg)
{
    pthread_t thread;
    (void)arg;
    assert_int_equal(pthread_create(&thread, NULL, post_then_signal, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* P5, BR-045 */
static void test_signals_behind_many_posts_are_told(void **state)
{
    static const int numbers[] = {SIGTERM, SIGHUP, SIGCHLD};
    int counts[3] = {0};
    (void)state;
    memset(&posts, 0, sizeof(posts));
    posts.count = getenv("EVERT_LONG") != NULL ? 200000 : 20000;
    for (int i = 0; i < 3; i++)
        assert_int_equal(evert_loop_watch_signal(loop, numbers[i], count_up, &counts[i]), 0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, block_while_posted, NULL), 0);
    run_until(&posts.seen, posts.count);
    for (int i = 0; i < 3; i++)
        run_until(&counts[i], 1);
    assert_int_equal(posts.seen, posts.count);
    assert_int_equal(posts.wrong, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_signal_is_told_in_the_loop),
        CASE(test_each_signal_before_the_run_is_told),
        CASE(test_burst_is_told_at_least_once),
        CASE(test_full_wake_channel_loses_no_signal),
        CASE(test_unwatch_gives_back_the_disposition),
        CASE(test_freeing_the_loop_gives_back_the_dispositions),
        CASE(test_unwatched_signal_that_waits_is_not_told),
        CASE(test_callback_may_unwatch_its_own_signal),
        CASE(test_last_watch_of_a_loop_counts),
        CASE(test_signal_that_waits_is_told_to_the_new_watch),
        CASE(test_last_loop_that_asks_gets_the_signal),
        CASE(test_loops_of_two_threads_take_a_signal_from_each_other),
        CASE(test_who_takes_a_signal_over_looks_for_those_that_wait),
        CASE(test_numbers_that_cannot_be_watched_are_errors),
        CASE(test_real_time_signals_can_be_watched),
        CASE(test_no_memory_for_a_watch_leaves_the_old_one),
        CASE(test_handler_leaves_errno_alone),
        CASE(test_watch_for_once_lets_the_next_signal_through),
        CASE(test_public_unwatch_leaves_the_librarys_own_watch),
        CASE(test_interrupted_wait_is_a_turn_in_which_nothing_came),
        CASE(test_signals_at_any_moment_lose_no_bytes_and_no_timers),
        CASE(test_signals_behind_many_posts_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
