/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "../support.h"

#include <pthread.h>
#include <stdatomic.h>

static pthread_t start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fn, arg), 0);
    return thread;
}

static void join(pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* More, where the time is there. */
static int scaled(int count)
{
    return getenv("EVERT_LONG") != NULL ? count * 20 : count;
}

/* ---- Waking ---- */

/* Set once the loop is in, or about to enter, the system's wait. */
static atomic_int waiting;

static bool note_waiting(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    if (call == EVERT__SYS_EPOLL_WAIT || call == EVERT__SYS_POLL || call == EVERT__SYS_URING_ENTER)
        atomic_fetch_add(&waiting, 1);
    return false;
}

static void wait_until_it_sleeps(void)
{
    struct timespec moment = {.tv_nsec = 1000000};
    while (atomic_load(&waiting) == 0)
        nanosleep(&moment, NULL);
    nanosleep(&moment, NULL);
}

static evert_time called_at;

static void note_time_and_stop(void *arg)
{
    *(evert_time *)arg = evert__clock();
    evert_loop_stop(loop);
}

static void *post_one(void *arg)
{
    evert_time *asked_at = arg;
    wait_until_it_sleeps();
    *asked_at = evert__clock();
    assert_int_equal(evert_loop_call_threadsafe(loop, note_time_and_stop, &called_at), 0);
    return NULL;
}

/* P4, BR-053 */
static void test_call_from_another_thread_wakes_the_loop(void **state)
{
    evert_time asked_at = 0;
    (void)state;
    atomic_store(&waiting, 0);
    evert__sys_set_hook(note_waiting);
    pthread_t thread = start(post_one, &asked_at);
    assert_int_equal(evert_loop_run(loop), 0);
    join(thread);
    assert_true(called_at - asked_at < 5 * EVERT_SECOND);
}

static void *stop_it(void *arg)
{
    (void)arg;
    wait_until_it_sleeps();
    evert_loop_stop_threadsafe(loop);
    return NULL;
}

/* P3, P4 */
static void test_stop_from_another_thread_ends_the_run(void **state)
{
    (void)state;
    atomic_store(&waiting, 0);
    evert__sys_set_hook(note_waiting);
    pthread_t thread = start(stop_it, NULL);
    assert_int_equal(evert_loop_run(loop), 0);
    join(thread);
}

static void stop_in_handler(int number)
{
    (void)number;
    evert_loop_stop_threadsafe(loop);
}

static void raise_it(void *arg)
{
    (void)arg;
    raise(SIGUSR1);
}

/* P4: documented as safe there. */
static void test_stop_from_a_signal_handler_ends_the_run(void **state)
{
    struct sigaction action = {.sa_handler = stop_in_handler}, before;
    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, raise_it, NULL), 0);
    assert_int_equal(evert_loop_run(loop), 0);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

/* P4: a burst before the run costs a turn or two, not one for each. */
static void test_calls_before_the_run_are_made_in_it(void **state)
{
    int calls = 0;
    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(evert_loop_call_threadsafe(loop, count_up, &calls), 0);
    run_until(&calls, 1000);
    turns(20); /* adverse tells late */
    assert_int_equal(calls, 1000);
}

/* P4: the eventfd's count cannot overflow into waiting, or into losing calls. */
static void test_wakes_alone_call_nothing_and_do_not_last(void **state)
{
    int calls = 0;
    (void)state;
    for (int i = 0; i < 100000; i++)
        evert__loop_wake(loop);
    turns(20);
    assert_int_equal(evert_loop_call_threadsafe(loop, count_up, &calls), 0);
    run_until(&calls, 1);
    turns(20);
    evert_time before = evert__clock();
    turn(5 * EVERT_MILLISECOND); /* it sleeps: no wake is left */
    assert_true(evert__clock() - before >= 5 * EVERT_MILLISECOND);
}

static int made_late;

static bool post_meanwhile(enum evert__sys_call call, const void *site, size_t *size,
                           int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    if (call == EVERT__SYS_READ) {
        evert__sys_set_hook(NULL);
        assert_int_equal(evert_loop_call_threadsafe(loop, count_up, &made_late), 0);
    }
    return false;
}

/* P4, F54: it comes after the loop was woken, and its own wake is taken together with the first. */
static void test_call_that_comes_while_a_wake_is_taken_is_made(void **state)
{
    int calls = 0;
    (void)state;
    made_late = 0;
    assert_int_equal(evert_loop_call_threadsafe(loop, count_up, &calls), 0);
    evert__sys_set_hook(post_meanwhile);
    turns(20);
    assert_null(evert__sys_hook);
    assert_int_equal(calls, 1);
    assert_int_equal(made_late, 1);
}

/* ---- Stress ---- */

enum { THREADS = 4 };

static struct stress {
    struct poster {
        int posted, seen; /* seen: the loop's thread alone */
        bool out_of_order;
    } posters[THREADS];
    int each, done;
} stress;

struct post {
    struct poster *poster;
    int number;
};

static void take_post(void *arg)
{
    struct post *post = arg;
    if (post->number != post->poster->seen++)
        post->poster->out_of_order = true;
    if (post->poster->seen == stress.each && ++stress.done == THREADS)
        evert_loop_stop(loop);
    free(post);
}

static void *post_many(void *arg)
{
    struct poster *poster = arg;
    for (int i = 0; i < stress.each; i++) {
        struct post *post = malloc(sizeof(*post));
        *post = (struct post){poster, i};
        assert_int_equal(evert_loop_call_threadsafe(loop, take_post, post), 0);
        if (i % 64 == 0)
            sched_yield();
    }
    return NULL;
}

/* P4, F54 */
static void test_many_threads_lose_nothing_and_keep_their_order(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    memset(&stress, 0, sizeof(stress));
    stress.each = scaled(5000);
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(post_many, &stress.posters[i]);
    assert_int_equal(evert_loop_run(loop), 0);
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
        assert_int_equal(stress.posters[i].seen, stress.each);
        assert_false(stress.posters[i].out_of_order);
    }
}

/* Ping and pong: each side sleeps until the other wakes it, so one lost wake hangs for ever. */
static struct pong {
    evert_loop *other;
    int left;
} pong;

static void pong_here(void *arg);

static void pong_there(void *arg)
{
    bool last = --pong.left == 0; /* from now on it is the other side's */
    (void)arg;
    assert_int_equal(evert_loop_call_threadsafe(loop, pong_here, NULL), 0);
    if (last)
        evert_loop_stop(pong.other);
}

static void pong_here(void *arg)
{
    if (arg == NULL && pong.left == 0)
        evert_loop_stop(loop);
    else
        assert_int_equal(evert_loop_call_threadsafe(pong.other, pong_there, NULL), 0);
}

static void *run_other(void *arg)
{
    assert_int_equal(evert_loop_run(arg), 0);
    return NULL;
}

/* P4, F54 */
static void test_two_loops_wake_each_other_without_losing_one(void **state)
{
    (void)state;
    assert_int_equal(evert_loop_new(&pong.other), 0);
    pong.left = scaled(5000);
    pthread_t thread = start(run_other, pong.other);
    pong_here(&pong);
    assert_int_equal(evert_loop_run(loop), 0);
    join(thread);
    evert_loop_free(pong.other);
}

/* BR-051: what was posted is freed by the loop, perhaps before the posting call has returned. */
struct object {
    int *left;
    pthread_mutex_t lock;
};

static void free_object(void *arg)
{
    struct object *object = arg;
    pthread_mutex_lock(&object->lock);
    pthread_mutex_unlock(&object->lock);
    pthread_mutex_destroy(&object->lock);
    if (--*object->left == 0)
        evert_loop_stop(loop);
    free(object);
}

static void *post_objects(void *arg)
{
    int *left = arg, count = scaled(50000);
    for (int i = 0; i < count; i++) {
        struct object *object = malloc(sizeof(*object));
        object->left = left;
        pthread_mutex_init(&object->lock, NULL);
        assert_int_equal(evert_loop_call_threadsafe(loop, free_object, object), 0);
    }
    return NULL;
}

/* BR-051 */
static void test_what_was_posted_may_be_freed_before_posting_returns(void **state)
{
    int left = scaled(50000);
    (void)state;
    pthread_t thread = start(post_objects, &left);
    assert_int_equal(evert_loop_run(loop), 0);
    join(thread);
    assert_int_equal(left, 0);
}

struct last_post {
    evert_loop *loop;
    int calls;
};

static void *post_the_last(void *arg)
{
    struct last_post *p = arg;
    assert_int_equal(evert_loop_call_threadsafe(p->loop, stop_loop, NULL), 0);
    return NULL;
}

/*
 * P4, BR-051: the last thing that is posted ends the loop, which is freed, perhaps before the
 * posting call has returned.
 */
static void test_the_loop_may_be_freed_before_posting_returns(void **state)
{
    int count = scaled(1000);
    (void)state;
    for (int i = 0; i < count; i++) {
        struct last_post p = {0};
        assert_int_equal(evert_loop_new(&p.loop), 0);
        /* Awake already, so that it does not wait to be told. */
        assert_int_equal(evert_loop_call_threadsafe(p.loop, count_up, &p.calls), 0);
        pthread_t thread = start(post_the_last, &p);
        assert_int_equal(evert_loop_run(p.loop), 0);
        evert_loop_free(p.loop);
        join(thread);
    }
}

static void *post_until_closed(void *arg)
{
    struct last_post *p = arg;
    int rc;
    do
        rc = evert_loop_call_threadsafe(p->loop, count_up, &p->calls);
    while (rc == 0);
    assert_int_equal(rc, EVERT_ECLOSED);
    evert_loop_stop_threadsafe(p->loop); /* has no effect, and does no harm */
    assert_int_equal(evert_loop_call_threadsafe(p->loop, count_up, &p->calls), EVERT_ECLOSED);
    evert_loop_release(p->loop);
    return NULL;
}

/* P4, BR-051: a thread that posts until it is told that the loop is closed. */
static void test_posting_to_a_freed_loop_that_is_held_says_closed(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int before = open_descriptors();
        struct last_post p = {0};
        assert_int_equal(evert_loop_new(&p.loop), 0);
        evert_loop_hold(p.loop);
        pthread_t thread = start(post_until_closed, &p);
        for (int j = 0; j < i; j++)
            assert_int_equal(evert_loop_turn(p.loop, 0), 0);
        evert_loop_free(p.loop);
        join(thread);
        assert_int_equal(open_descriptors(), before);
    }
}

static void *post_to_busy_loop(void *arg)
{
    for (int i = 0; i < 20000; i++)
        assert_int_equal(evert_loop_call_threadsafe(loop, count_up, arg), 0);
    return NULL;
}

static void join_inside(void *arg)
{
    join(*(pthread_t *)arg); /* the loop is busy; posting does not wait for it */
}

/* P4, BR-045: the poster is not held up by a loop that does not listen. */
static void test_posting_never_waits_for_the_loop(void **state)
{
    int calls = 0;
    (void)state;
    pthread_t thread = start(post_to_busy_loop, &calls);
    assert_int_equal(evert_loop_call_soon(loop, NULL, join_inside, &thread), 0);
    turn(0);
    run_until(&calls, 20000);
    assert_int_equal(calls, 20000);
}

struct own_thread {
    evert_loop *loop;
    int calls;
};

static void *run_one_of_its_own(void *arg)
{
    struct own_thread *own = arg;
    assert_null(evert_loop_current());
    assert_int_equal(evert_loop_new(&own->loop), 0);
    assert_int_equal(evert_loop_call_soon(own->loop, NULL, count_up, &own->calls), 0);
    assert_int_equal(evert_loop_call_soon(own->loop, NULL, stop_loop, NULL), 0);
    assert_int_equal(evert_loop_run(own->loop), 0);
    evert_loop_free(own->loop);
    return NULL;
}

static void start_inside(void *arg)
{
    join(start(run_one_of_its_own, arg));
}

/* One loop for each thread, sharing nothing. */
static void test_threads_run_loops_of_their_own(void **state)
{
    struct own_thread own = {0};
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, start_inside, &own), 0);
    turn(0);
    assert_int_equal(own.calls, 1);
}

static void *use_implicit_loop(void *arg)
{
    evert_loop *first, *second;
    assert_int_equal(evert__loop_own(&first), 0);
    assert_int_equal(evert__loop_own(&second), 0);
    assert_ptr_equal(first, second);
    assert_int_equal(evert_loop_call_soon(first, NULL, count_up, arg), 0);
    assert_int_equal(evert_loop_turn(first, 0), 0);
    return NULL; /* freed as the thread ends: the leak checker sees to that */
}

static void test_thread_has_one_implicit_loop_that_ends_with_it(void **state)
{
    int calls = 0;
    (void)state;
    for (int i = 0; i < 20; i++)
        join(start(use_implicit_loop, &calls));
    assert_int_equal(calls, 20);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_CASE(test_call_from_another_thread_wakes_the_loop),
        LOOP_CASE(test_stop_from_another_thread_ends_the_run),
        LOOP_CASE(test_stop_from_a_signal_handler_ends_the_run),
        LOOP_CASE(test_calls_before_the_run_are_made_in_it),
        LOOP_CASE(test_wakes_alone_call_nothing_and_do_not_last),
        LOOP_CASE(test_call_that_comes_while_a_wake_is_taken_is_made),
        LOOP_CASE(test_many_threads_lose_nothing_and_keep_their_order),
        LOOP_CASE(test_two_loops_wake_each_other_without_losing_one),
        LOOP_CASE(test_what_was_posted_may_be_freed_before_posting_returns),
        LOOP_CASE(test_the_loop_may_be_freed_before_posting_returns),
        LOOP_CASE(test_posting_to_a_freed_loop_that_is_held_says_closed),
        LOOP_CASE(test_posting_never_waits_for_the_loop),
        LOOP_CASE(test_threads_run_loops_of_their_own),
        LOOP_CASE(test_thread_has_one_implicit_loop_that_ends_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
