/* SPDX-License-Identifier: MIT */
/*
 * Threads for work that blocks: what is handed to them is done in one of them and told in the loop,
 * and whenever the pool, the loop or the waiting ends, nothing is left behind: no job, no thread.
 *
 * P6 is the rule of a pool for everybody, which is still to come. What these tests hold of it is
 * that pools share no threads, and that ending one has a time limit.
 */
#include "support.h"
#include "../support.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop/worker.h"

#define MS EVERT_MILLISECOND

/* Longer than any test takes: a thread that has no work stays. */
#define STAYS (10 * PATIENCE)

static struct evert__workers *pool;

/* What happened in the threads. A test may do without the lock while none of them works. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;             /* slow work may come to its end */
    bool discarding_opens; /* the first job that is discarded opens it */
    bool slow_end;         /* threads take their time to end, after all that the pool knows */
    bool yielding;         /* threads run when nobody else wants their processor */
    int waking;            /* threads that are about to wake the loop, where that is slow */
    bool may_wake;
    int inside, most_inside;            /* slow work that waits, now and at the most */
    int worked, ended_threads;          /* of those that worked at all */
    int discarded, discarded_elsewhere; /* in all, and those not in the loop's thread */
    bool is_child;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* What became of each job, by its number. What is told is the loop's thread's. */
enum { JOBS = 2000 };
static struct {
    int worked, told, discarded;
    int worked_as, told_as; /* its place in the order of all */
    pthread_t thread;
} fates[JOBS];
static int told_jobs;

static pthread_t loop_thread;
static pthread_key_t at_thread_end;
static int tasks_before;

/* ---- Threads ---- */

static int count_tasks(void)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = MS}, NULL);
}

/* Also a thread that was joined stands there until the kernel has cleaned up. */
static bool no_thread_is_left(void)
{
    evert_time limit = evert_after(PATIENCE);
    while (count_tasks() != tasks_before && evert__clock() < limit)
        moment();
    return count_tasks() == tasks_before;
}

static void change(int *what)
{
    pthread_mutex_lock(&seen.lock);
    ++*what;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static int look(const int *what)
{
    pthread_mutex_lock(&seen.lock);
    int value = *what;
    pthread_mutex_unlock(&seen.lock);
    return value;
}

/* Blocks until *what is at least `least`, without any turn of the loop. */
static void wait_until(const int *what, int least)
{
    struct timespec limit;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += PATIENCE / EVERT_SECOND;
    pthread_mutex_lock(&seen.lock);
    while (rc == 0 && *what < least)
        rc = pthread_cond_timedwait(&seen.changed, &seen.lock, &limit);
    pthread_mutex_unlock(&seen.lock);
    assert_int_equal(rc, 0);
}

static void open_gate(bool *gate)
{
    pthread_mutex_lock(&seen.lock);
    *gate = true;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static void let_go_on(void)
{
    open_gate(&seen.open);
}

static void wait_until_open(void)
{
    pthread_mutex_lock(&seen.lock);
    if (++seen.inside > seen.most_inside)
        seen.most_inside = seen.inside;
    pthread_cond_broadcast(&seen.changed);
    while (!seen.open)
        pthread_cond_wait(&seen.changed, &seen.lock);
    seen.inside--;
    pthread_mutex_unlock(&seen.lock);
}

/* By the C library, when all of the pool's own is done: as what it frees itself, later still. */
static void thread_ends(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&seen.lock);
    bool slow = seen.slow_end;
    pthread_mutex_unlock(&seen.lock);
    for (int i = 0; slow && i < 30; i++)
        moment();
    change(&seen.ended_threads);
}

/* ---- Jobs ---- */

struct item {
    struct evert__job job;
    int number;
    bool slow;
};

static void item_work(struct evert__job *job)
{
    struct item *item = EVERT__CONTAINER(job, struct item, job);
    pthread_setspecific(at_thread_end, item);
    if (seen.yielding)
        pthread_setschedparam(pthread_self(), SCHED_IDLE, &(struct sched_param){0});
    if (item->slow)
        wait_until_open();
    pthread_mutex_lock(&seen.lock);
    fates[item->number].worked++;
    fates[item->number].worked_as = seen.worked;
    fates[item->number].thread = pthread_self();
    pthread_mutex_unlock(&seen.lock);
    change(&seen.worked);
}

static void item_done(struct evert__job *job)
{
    struct item *item = EVERT__CONTAINER(job, struct item, job);
    assert_ptr_equal(evert_loop_current(), loop);
    assert_int_equal(fates[item->number].worked, 1);
    assert_int_equal(fates[item->number].discarded, 0);
    fates[item->number].told_as = told_jobs++;
    fates[item->number].told++;
}

static void item_discard(struct evert__job *job)
{
    struct item *item = EVERT__CONTAINER(job, struct item, job);
    int number = item->number;
    free(item);
    if (seen.is_child) { /* it has nobody to tell, and its condition remembers the parent's */
        fates[number].discarded++;
        seen.discarded++;
        return;
    }
    pthread_mutex_lock(&seen.lock);
    fates[number].discarded++;
    seen.discarded_elsewhere += !pthread_equal(pthread_self(), loop_thread);
    seen.open = seen.open || seen.discarding_opens;
    pthread_mutex_unlock(&seen.lock);
    change(&seen.discarded);
}

static struct item *item_new(int number, bool slow)
{
    struct item *item = calloc(1, sizeof(*item));
    assert_non_null(item);
    assert_true(number < JOBS);
    item->job = (struct evert__job){.work = item_work, .done = item_done, .discard = item_discard};
    item->number = number;
    item->slow = slow;
    return item;
}

static struct item *start_in(struct evert__workers *workers, int number, bool slow)
{
    struct item *item = item_new(number, slow);
    assert_int_equal(evert__job_start(workers, &item->job), 0);
    return item;
}

static void start_then(int number, void (*done)(struct evert__job *job))
{
    struct item *item = item_new(number, false);
    item->job.done = done;
    assert_int_equal(evert__job_start(pool, &item->job), 0);
}

static struct item *start(int number)
{
    return start_in(pool, number, false);
}

static struct item *start_slow(int number)
{
    return start_in(pool, number, true);
}

static void check_fate(int number, int worked, int told, int discarded)
{
    assert_int_equal(fates[number].worked, worked);
    assert_int_equal(fates[number].told, told);
    assert_int_equal(fates[number].discarded, discarded);
}

/* ---- What the system answers ---- */

/* So many of the next threads cannot be made; all that are asked for are counted. */
static struct {
    int fail, asked;
} threads;

static bool count_threads(enum evert__sys_call call, const void *site, size_t *size,
                          int64_t *result)
{
    (void)site;
    (void)size;
    if (call != EVERT__SYS_THREAD)
        return false;
    threads.asked++;
    *result = -EAGAIN;
    return threads.fail-- > 0;
}

static void threads_fail(int count)
{
    threads.fail = count;
    threads.asked = 0;
    evert__sys_set_hook(count_threads);
}

/* ---- Each case ---- */

static char logged[200]; /* the last message */

static void keep_message(evert_log_level level, const char *message, void *arg)
{
    (void)level;
    (void)arg;
    (void)snprintf(logged, sizeof(logged), "%s", message);
}

static int setup(void **state)
{
    logged[0] = '\0';
    evert_log_set_sink(keep_message, NULL);
    memset(fates, 0, sizeof(fates));
    told_jobs = 0;
    seen.open = seen.discarding_opens = seen.slow_end = false;
    seen.yielding = seen.may_wake = false;
    seen.waking = seen.inside = seen.most_inside = seen.worked = seen.ended_threads = 0;
    seen.discarded = seen.discarded_elsewhere = 0;
    loop_thread = pthread_self();
    threads_fail(0);
    return loop_setup(state);
}

static void make_pool(unsigned most, evert_time idle)
{
    assert_int_equal(evert__workers_new(loop, most, idle, &pool), 0);
}

static void free_pool(void)
{
    evert__workers_free(pool, PATIENCE);
    pool = NULL;
}

/* After each case: of its threads none is left. The pool's look at the hook, so they go first. */
static int teardown(void **state)
{
    let_go_on();
    open_gate(&seen.may_wake);
    free_pool();
    int rc = loop_teardown(state);
    return no_thread_is_left() ? rc : -1;
}

#define WORK_CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void *tell_its_name(void *name)
{
    sprintf(name, "/proc/self/task/%d", (int)gettid());
    return NULL;
}

/* A sanitizer may have a thread of its own, which comes with the first. */
static int count_tasks_before(void **state)
{
    pthread_t thread;
    char name[64];
    (void)state;
    assert_int_equal(pthread_key_create(&at_thread_end, thread_ends), 0);
    assert_int_equal(pthread_create(&thread, NULL, tell_its_name, name), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    while (access(name, F_OK) == 0)
        moment();
    tasks_before = count_tasks();
    return 0;
}

/* ---- Working ---- */

static void test_work_is_done_in_a_thread_and_told_in_the_loop(void **state)
{
    (void)state;
    make_pool(4, STAYS);
    assert_int_equal(threads.asked, 0); /* none before there is work */
    start(0);
    wait_until(&seen.worked, 1);
    check_fate(0, 1, 0, 0); /* the loop has not run */
    run_until(&fates[0].told, 1);
    turns(20); /* adverse tells late */
    check_fate(0, 1, 1, 1);
    assert_false(pthread_equal(fates[0].thread, loop_thread));
    assert_int_equal(seen.discarded_elsewhere, 0);
}

static void test_one_thread_does_and_tells_all_in_the_order_in_which_it_came(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    for (int i = 0; i < 100; i++)
        start(i);
    run_until(&told_jobs, 100);
    for (int i = 0; i < 100; i++) {
        check_fate(i, 1, 1, 1);
        assert_int_equal(fates[i].worked_as, i);
        assert_int_equal(fates[i].told_as, i);
    }
    assert_int_equal(threads.asked, 1);
}

static void test_all_of_many_jobs_are_done_and_told_once(void **state)
{
    (void)state;
    make_pool(4, STAYS);
    for (int i = 0; i < JOBS; i++)
        start(i);
    run_until(&told_jobs, JOBS);
    turns(20);
    for (int i = 0; i < JOBS; i++)
        check_fate(i, 1, 1, 1);
    assert_true(threads.asked <= 4);
}

static void test_as_many_work_at_once_as_there_may_be_threads(void **state)
{
    (void)state;
    make_pool(3, STAYS);
    for (int i = 0; i < 10; i++)
        start_slow(i);
    wait_until(&seen.inside, 3);
    assert_int_equal(threads.asked, 3);
    let_go_on();
    run_until(&told_jobs, 10);
    assert_int_equal(seen.most_inside, 3);
    assert_int_equal(threads.asked, 3);
}

static void start_the_next(struct evert__job *job)
{
    struct item *item = EVERT__CONTAINER(job, struct item, job);
    int next = item->number + 1;
    item_done(job);
    if (next < 100)
        start_then(next, start_the_next);
}

/* Also: what is told may start more. */
static void test_a_thread_is_used_again_and_none_made_anew(void **state)
{
    (void)state;
    make_pool(4, STAYS);
    start_then(0, start_the_next);
    run_until(&told_jobs, 100);
    assert_int_equal(threads.asked, 1);
    for (int i = 1; i < 100; i++)
        assert_true(pthread_equal(fates[i].thread, fates[0].thread));
}

static void test_a_thread_without_work_ends_and_another_comes_when_there_is_some(void **state)
{
    (void)state;
    make_pool(4, 0);
    for (int i = 0; i < 20; i++) {
        start(i);
        run_until(&told_jobs, i + 1);
        wait_until(&seen.ended_threads, i + 1);
    }
    assert_int_equal(threads.asked, 20);
}

/* P6: what fills one pool holds up no other. */
static void test_pools_of_one_loop_share_no_threads(void **state)
{
    struct evert__workers *other;
    (void)state;
    make_pool(1, STAYS);
    assert_int_equal(evert__workers_new(loop, 1, STAYS, &other), 0);
    start_slow(0);
    start(1);
    wait_until(&seen.inside, 1);
    start_in(other, 2, false);
    run_until(&told_jobs, 1);
    check_fate(1, 0, 0, 0);
    check_fate(2, 1, 1, 1);
    evert__workers_free(other, PATIENCE);
    let_go_on();
    run_until(&told_jobs, 3);
}

static struct {
    sigset_t mask;
    bool known;
} worker_signals;

static void look_at_mask(struct evert__job *job)
{
    worker_signals.known = pthread_sigmask(SIG_BLOCK, NULL, &worker_signals.mask) == 0;
    item_work(job);
}

static bool is_fault(int number)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        if (faults[i] == number)
            return true;
    }
    return false;
}

/* So that the program's signals come to threads that expect them. */
static void test_a_worker_takes_no_signals_but_those_of_its_own_faults(void **state)
{
    sigset_t before, after;
    (void)state;
    make_pool(1, STAYS);
    struct item *item = item_new(0, false);
    item->job.work = look_at_mask;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(evert__job_start(pool, &item->job), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    run_until(&told_jobs, 1);
    assert_true(worker_signals.known);
    for (int i = 1; i <= SIGRTMAX; i++) {
        assert_int_equal(sigismember(&after, i), sigismember(&before, i));
        if (i == SIGKILL || i == SIGSTOP || (i >= 32 && i < SIGRTMIN))
            continue; /* which nobody can block */
        assert_int_equal(sigismember(&worker_signals.mask, i), !is_fault(i));
    }
}

/* ---- Without threads, or memory ---- */

static void test_where_no_thread_can_be_had_the_job_stays_the_callers(void **state)
{
    (void)state;
    make_pool(4, STAYS);
    threads_fail(1);
    struct item *item = item_new(0, false);
    assert_int_equal(evert__job_start(pool, &item->job), -EAGAIN);
    turns(20);
    check_fate(0, 0, 0, 0);
    assert_int_equal(evert__job_start(pool, &item->job), 0); /* and it can be tried again */
    run_until(&told_jobs, 1);
    check_fate(0, 1, 1, 1);
    assert_int_equal(threads.asked, 2);
}

static void test_where_no_more_threads_can_be_had_those_there_are_do_it(void **state)
{
    (void)state;
    make_pool(4, STAYS);
    start_slow(0);
    wait_until(&seen.inside, 1);
    threads_fail(2);
    start(1);
    start(2);
    assert_int_equal(threads.asked, 2);
    let_go_on();
    run_until(&told_jobs, 3);
    for (int i = 0; i < 3; i++) {
        check_fate(i, 1, 1, 1);
        assert_true(pthread_equal(fates[i].thread, fates[0].thread));
    }
}

/* A thread that has ended is not one that "will come to it". */
static void test_a_thread_that_has_ended_is_not_counted_on(void **state)
{
    (void)state;
    make_pool(4, 0);
    start(0);
    run_until(&told_jobs, 1);
    wait_until(&seen.ended_threads, 1);
    threads_fail(1);
    struct item *item = item_new(1, false);
    assert_int_equal(evert__job_start(pool, &item->job), -EAGAIN);
    free(item);
    start(2);
    run_until(&told_jobs, 2);
    check_fate(1, 0, 0, 0);
}

/* F45 */
static void test_without_memory_there_is_no_pool(void **state)
{
    (void)state;
    limit_memory(0);
    assert_int_equal(evert__workers_new(loop, 1, STAYS, &pool), -ENOMEM);
    assert_null(pool);
}

/* ---- Abandoning ---- */

/* F85 */
static void test_a_job_abandoned_while_it_waits_is_discarded_at_once_and_never_done(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    start_slow(0);
    wait_until(&seen.inside, 1);
    struct item *waits = start(1);
    start(2);
    evert__job_abandon(&waits->job);
    check_fate(1, 0, 0, 1);
    let_go_on();
    run_until(&told_jobs, 2);
    check_fate(1, 0, 0, 1);
    check_fate(2, 1, 1, 1);
}

/* Else a thread would be made for the next one, though there is one without work. */
static void test_a_job_abandoned_while_it_waits_is_not_counted_any_more(void **state)
{
    (void)state;
    make_pool(2, STAYS);
    start_slow(0);
    wait_until(&seen.inside, 1);
    threads_fail(1); /* so that it waits */
    evert__job_abandon(&start(1)->job);
    let_go_on();
    run_until(&told_jobs, 1);
    threads_fail(0);
    start(2);
    run_until(&told_jobs, 2);
    assert_int_equal(threads.asked, 0);
}

/* F85 */
static void test_a_job_abandoned_while_it_works_is_discarded_when_it_ends(void **state)
{
    (void)state;
    make_pool(2, STAYS);
    struct item *works = start_slow(0);
    wait_until(&seen.inside, 1);
    evert__job_abandon(&works->job);
    start(1);
    run_until(&told_jobs, 1); /* others are not held up */
    assert_int_equal(look(&seen.discarded), 1);
    let_go_on();
    wait_until(&seen.discarded, 2);
    turns(20);
    check_fate(0, 1, 0, 1);
    assert_int_equal(seen.discarded_elsewhere, 1);
    start(2); /* its thread goes on */
    run_until(&told_jobs, 2);
}

/* F85, C5: a cancel that comes before the result was told wins, though the result is there. */
static void test_a_job_abandoned_when_it_has_ended_is_not_told(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    struct item *ended = start(0);
    start_slow(1);
    wait_until(&seen.inside, 1); /* by the same thread, so the first was posted */
    evert__job_abandon(&ended->job);
    let_go_on();
    run_until(&told_jobs, 1);
    check_fate(0, 1, 0, 1);
    check_fate(1, 1, 1, 1);
}

static struct item *others[2];

static void abandon_others(struct evert__job *job)
{
    item_done(job);
    for (int i = 0; i < 2; i++)
        evert__job_abandon(&others[i]->job);
}

static void test_what_is_told_may_abandon_others(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    start_then(0, abandon_others);
    others[0] = start(1);
    others[1] = start_slow(2);
    start(3);
    wait_until(&seen.inside, 1);
    run_until(&told_jobs, 1);
    let_go_on();
    run_until(&told_jobs, 2);
    check_fate(0, 1, 1, 1);
    check_fate(1, 1, 0, 1);
    check_fate(2, 1, 0, 1);
    check_fate(3, 1, 1, 1);
}

/* ---- Freeing ---- */

/* One that has ended and was not told, one that is at work, one that waits. */
static void start_one_of_each(void)
{
    start(0);
    start_slow(1);
    start(2);
    wait_until(&seen.inside, 1);
}

static void test_freeing_discards_what_waits_what_works_and_what_was_not_told(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    start_one_of_each();
    seen.discarding_opens = true; /* so it ends while it is waited for */
    free_pool();
    check_fate(0, 1, 0, 1);
    check_fate(1, 1, 0, 1);
    check_fate(2, 0, 0, 1);
    assert_int_equal(seen.discarded_elsewhere, 1);
    turns(20); /* the loop knows nothing of them any more */
    assert_int_equal(told_jobs, 0);
}

static void test_freeing_does_not_discard_again_what_was_abandoned(void **state)
{
    struct item *items[3];
    (void)state;
    make_pool(1, STAYS);
    items[0] = start(0);
    items[1] = start_slow(1);
    items[2] = start(2);
    wait_until(&seen.inside, 1);
    for (int i = 0; i < 3; i++)
        evert__job_abandon(&items[i]->job);
    let_go_on();
    free_pool();
    check_fate(0, 1, 0, 1);
    check_fate(1, 1, 0, 1);
    check_fate(2, 0, 0, 1);
}

static void test_freeing_an_unused_pool_or_none(void **state)
{
    (void)state;
    evert__workers_free(NULL, PATIENCE);
    make_pool(4, STAYS);
    free_pool();
    assert_int_equal(threads.asked, 0);
}

/* Threads that have worked, and wait for more. */
static void make_idle_threads(int count)
{
    make_pool((unsigned)count, STAYS);
    for (int i = 0; i < count; i++)
        start_slow(i);
    wait_until(&seen.inside, count);
    let_go_on();
    run_until(&told_jobs, count);
}

/* No thread is left: they have ended to the last thing that the C library does for them. */
static void test_freeing_joins_the_threads(void **state)
{
    (void)state;
    make_idle_threads(4);
    seen.slow_end = true; /* they have no work, so nobody reads it now */
    free_pool();
    assert_string_equal(logged, "");
    assert_int_equal(seen.ended_threads, 4);
    assert_true(no_thread_is_left());
}

/*
 * P6: the limit is for calls; who is in none may be late on a busy machine, and is waited for. Here
 * they are: they have to share this thread's processor, and come behind it.
 */
static void test_threads_without_work_are_waited_for_beyond_the_limit(void **state)
{
    enum { MANY = 40 };
    cpu_set_t before, here;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&here);
    CPU_SET((size_t)sched_getcpu(), &here);
    assert_int_equal(sched_setaffinity(0, sizeof(here), &here), 0);
    seen.yielding = true;
    make_idle_threads(MANY);
    evert__workers_free(pool, 0);
    pool = NULL;
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_string_equal(logged, "");
    assert_int_equal(look(&seen.ended_threads), MANY);
}

/* P6: the same beside one that hangs, which alone is left. */
static void test_of_many_threads_those_that_hang_are_left(void **state)
{
    (void)state;
    make_idle_threads(4);
    seen.open = false;
    start_slow(4);
    wait_until(&seen.inside, 1);
    evert__workers_free(pool, 0);
    pool = NULL;
    assert_string_equal(logged, "left behind in calls that were given up: 1 of the threads");
    assert_int_equal(look(&seen.ended_threads), 3);
    let_go_on();
    wait_until(&seen.ended_threads, 4);
}

/* The same of those that had ended long before, for want of work. */
static void test_freeing_joins_threads_that_ended_before(void **state)
{
    (void)state;
    make_pool(4, 0);
    seen.slow_end = true;
    for (int i = 0; i < 4; i++)
        start_slow(i);
    wait_until(&seen.inside, 4);
    let_go_on();
    run_until(&told_jobs, 4);
    free_pool();
    assert_int_equal(seen.ended_threads, 4);
    assert_true(no_thread_is_left());
}

/* P6, F85, BR-052 */
static void test_freeing_has_a_time_limit_and_what_hangs_cleans_up_later(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    start_one_of_each();
    evert_time before = evert__clock();
    evert__workers_free(pool, 20 * MS);
    pool = NULL;
    evert_time took = evert__clock() - before;
    assert_true(took >= 20 * MS && took < PATIENCE);
    check_fate(0, 1, 0, 1);
    assert_string_equal(logged, "left behind in calls that were given up: 1 of the threads");
    assert_int_equal(look(&seen.discarded), 2);
    assert_int_equal(look(&seen.inside), 1); /* it hangs still */
    turns(20);
    let_go_on();
    wait_until(&seen.ended_threads, 1);
    check_fate(1, 1, 0, 1);
    assert_int_equal(seen.discarded_elsewhere, 1);
    assert_int_equal(told_jobs, 0);
}

/* P6: and the loop goes before them. */
static void test_of_threads_that_outlive_their_pool_and_loop_the_last_frees_it(void **state)
{
    (void)state;
    make_pool(4, 0);
    for (int i = 0; i < 3; i++)
        start_slow(i);
    wait_until(&seen.inside, 3);
    start(3); /* the thread of this one has ended before */
    run_until(&told_jobs, 1);
    wait_until(&seen.ended_threads, 1);
    evert__workers_free(pool, MS);
    pool = NULL;
    assert_string_equal(logged, "left behind in calls that were given up: 3 of the threads");
    evert_loop_free(loop);
    assert_int_equal(look(&seen.ended_threads), 1);
    let_go_on();
    wait_until(&seen.ended_threads, 4);
    assert_int_equal(look(&seen.discarded), 4);
    assert_true(no_thread_is_left());
    assert_int_equal(evert_loop_new(&loop), 0);
}

/* P6: a limit that is over from the start. */
static void test_freeing_without_waiting(void **state)
{
    (void)state;
    make_pool(2, STAYS);
    start_slow(0);
    wait_until(&seen.inside, 1);
    evert__workers_free(pool, 0);
    pool = NULL;
    assert_int_equal(look(&seen.discarded), 0);
    let_go_on();
    wait_until(&seen.ended_threads, 1);
    check_fate(0, 1, 0, 1);
}

/* ---- Forks ---- */

/* No thread holds what the test itself locks, so that the child can. */
static pid_t fork_child(void (*body)(void))
{
    pthread_mutex_lock(&seen.lock);
    pid_t child = fork();
    seen.is_child = child == 0;
    pthread_mutex_unlock(&seen.lock);
    assert_true(child >= 0);
    if (child == 0) {
        evert__sys_set_hook(NULL);
        alarm(60);
        body();
        _exit(0);
    }
    return child;
}

static void free_inherited(void)
{
    evert_time before = evert__clock();
    evert__workers_free(pool, STAYS);
    evert_loop_free(loop);
    MUST(evert__clock() - before < PATIENCE); /* it waited for no thread */
}

static void child_frees_all_but_what_worked(void)
{
    struct item *item = item_new(3, false);
    MUST(evert__job_start(pool, &item->job) == EVERT_ECLOSED);
    item_discard(&item->job);
    free_inherited();
    MUST(fates[0].discarded == 1); /* it had ended */
    MUST(fates[1].discarded == 0); /* who knows what its thread was at */
    MUST(fates[2].discarded == 1); /* it waited */
    MUST(fates[0].told + fates[1].told + fates[2].told == 0);
}

/* P9, F38 */
static void test_a_child_waits_for_no_thread_and_disturbs_none(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    start_one_of_each();
    assert_int_equal(exit_of(fork_child(child_frees_all_but_what_worked)), 0);
    let_go_on();
    run_until(&told_jobs, 3);
    for (int i = 0; i < 3; i++)
        check_fate(i, 1, 1, 1);
}

/* P9, F38: those that wait for work stand in the pool's condition, in the child for ever. */
static void test_a_child_may_free_a_pool_with_threads_that_had_no_work(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    start(0);
    run_until(&told_jobs, 1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(exit_of(fork_child(free_inherited)), 0);
    start(1);
    run_until(&told_jobs, 2);
    assert_int_equal(threads.asked, 1);
}

static struct item *inherited[3];

static void child_abandons_all(void)
{
    for (int i = 0; i < 3; i++)
        evert__job_abandon(&inherited[i]->job);
    free_inherited();
}

/* P9, F38: as when a task that waits for a name is cancelled there. */
static void test_a_child_may_abandon_what_it_inherited(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    inherited[0] = start(0);
    inherited[1] = start_slow(1);
    inherited[2] = start(2);
    wait_until(&seen.inside, 1);
    assert_int_equal(exit_of(fork_child(child_abandons_all)), 0);
    let_go_on();
    run_until(&told_jobs, 3);
}

/* A worker wakes the loop under the pool's lock; here it keeps that for a while. */
static bool wake_slowly(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    if (call != EVERT__SYS_WRITE || pthread_equal(pthread_self(), loop_thread))
        return false;
    pthread_mutex_lock(&seen.lock);
    seen.waking++;
    pthread_cond_broadcast(&seen.changed);
    while (!seen.may_wake)
        pthread_cond_wait(&seen.changed, &seen.lock);
    pthread_mutex_unlock(&seen.lock);
    return false;
}

/* P9, F38 */
static void test_a_child_does_not_wait_for_a_lock_that_a_thread_held(void **state)
{
    (void)state;
    make_pool(1, STAYS);
    evert__sys_set_hook(wake_slowly);
    inherited[0] = start_slow(0);
    inherited[1] = start(1);
    inherited[2] = start(2);
    let_go_on();
    wait_until(&seen.waking, 1); /* from here on the parent must not ask for the lock */
    pid_t child = fork_child(child_abandons_all);
    open_gate(&seen.may_wake);
    assert_int_equal(exit_of(child), 0);
    run_until(&told_jobs, 3);
}

/* ---- By chance ---- */

/* Starts, abandons and lets the loop run in some order, and frees in the middle of it. */
static const char *some_order(uint64_t *chance)
{
    struct item *items[JOBS];
    int started = 0, abandoned = 0, abandon_at, steps = 50 + (int)random_below(chance, 150);

    make_pool(1 + random_below(chance, 4), random_below(chance, 3) * 50000);
    while (steps-- > 0) {
        switch (random_below(chance, 4)) {
        case 0:
            abandon_at = started - 1 - (int)random_below(chance, 5);
            if (abandon_at >= 0 && items[abandon_at] != NULL && fates[abandon_at].told == 0) {
                evert__job_abandon(&items[abandon_at]->job);
                items[abandon_at] = NULL;
                abandoned++;
            }
            break;
        case 1:
            turn(random_below(chance, 2) * 100000);
            break;
        default:
            items[started] = start(started);
            started++;
        }
    }
    free_pool();
    if (seen.discarded != started)
        return "not each job was discarded once";
    if (told_jobs > started - abandoned)
        return "an abandoned job was told";
    return NULL;
}

static void test_in_any_order_each_job_is_discarded_once_and_no_thread_is_left(void **state)
{
    for (int i = 0; i < 20; i++) {
        uint64_t seed = seed_new(), chance = seed;
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
        evert__sys_set_hook(NULL);
        assert_held(some_order(&chance), seed);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WORK_CASE(test_work_is_done_in_a_thread_and_told_in_the_loop),
        WORK_CASE(test_one_thread_does_and_tells_all_in_the_order_in_which_it_came),
        WORK_CASE(test_all_of_many_jobs_are_done_and_told_once),
        WORK_CASE(test_as_many_work_at_once_as_there_may_be_threads),
        WORK_CASE(test_a_thread_is_used_again_and_none_made_anew),
        WORK_CASE(test_a_thread_without_work_ends_and_another_comes_when_there_is_some),
        WORK_CASE(test_pools_of_one_loop_share_no_threads),
        WORK_CASE(test_a_worker_takes_no_signals_but_those_of_its_own_faults),
        WORK_CASE(test_where_no_thread_can_be_had_the_job_stays_the_callers),
        WORK_CASE(test_where_no_more_threads_can_be_had_those_there_are_do_it),
        WORK_CASE(test_a_thread_that_has_ended_is_not_counted_on),
        WORK_CASE(test_without_memory_there_is_no_pool),
        WORK_CASE(test_a_job_abandoned_while_it_waits_is_discarded_at_once_and_never_done),
        WORK_CASE(test_a_job_abandoned_while_it_waits_is_not_counted_any_more),
        WORK_CASE(test_a_job_abandoned_while_it_works_is_discarded_when_it_ends),
        WORK_CASE(test_a_job_abandoned_when_it_has_ended_is_not_told),
        WORK_CASE(test_what_is_told_may_abandon_others),
        WORK_CASE(test_freeing_discards_what_waits_what_works_and_what_was_not_told),
        WORK_CASE(test_freeing_does_not_discard_again_what_was_abandoned),
        WORK_CASE(test_freeing_an_unused_pool_or_none),
        WORK_CASE(test_freeing_joins_the_threads),
        WORK_CASE(test_threads_without_work_are_waited_for_beyond_the_limit),
        WORK_CASE(test_of_many_threads_those_that_hang_are_left),
        WORK_CASE(test_freeing_joins_threads_that_ended_before),
        WORK_CASE(test_freeing_has_a_time_limit_and_what_hangs_cleans_up_later),
        WORK_CASE(test_of_threads_that_outlive_their_pool_and_loop_the_last_frees_it),
        WORK_CASE(test_freeing_without_waiting),
        WORK_CASE(test_a_child_waits_for_no_thread_and_disturbs_none),
        WORK_CASE(test_a_child_may_free_a_pool_with_threads_that_had_no_work),
        WORK_CASE(test_a_child_may_abandon_what_it_inherited),
        WORK_CASE(test_a_child_does_not_wait_for_a_lock_that_a_thread_held),
        WORK_CASE(test_in_any_order_each_job_is_discarded_once_and_no_thread_is_left),
    };
    return cmocka_run_group_tests(tests, count_tasks_before, NULL);
}
