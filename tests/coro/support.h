/* SPDX-License-Identifier: MIT */
/*
 * What the tests of this layer share.
 *
 * A failed check ends the program, with its words: a check fails on a task's stack, from where
 * cmocka could not go on with the next test. Most tests run twice, as a task of a loop and as plain
 * blocking code (`everywhere`), since both must behave alike.
 */
#ifndef EVERT_TESTS_CORO_SUPPORT_H
#define EVERT_TESTS_CORO_SUPPORT_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <evert/base/alloc.h>
#include <evert/base/log.h>
#include <evert/coro/run.h>
#include <evert/coro/task.h>

#include "base/log.h"
#include "base/msan.h"
#include "base/sys.h"
#include "base/time.h"
#include "coro/describe.h"
#include "coro/wait.h"

#include "../support.h"

#if defined(EVERT__ASAN) || defined(EVERT__TSAN) || defined(EVERT__MSAN)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define MS EVERT_MILLISECOND

/* A point in time that has been for long, and one that a test never sees. */
#define LONG_AGO ((evert_time)1)
#define IN_A_MINUTE evert_after(60 * EVERT_SECOND)

/* More than half of all addresses, or where there is room for such, than any machine has. */
#define TOO_LARGE (UINTPTR_MAX > UINT32_MAX ? SIZE_MAX / 32 : SIZE_MAX / 2 + 1)

enum { LITTLE_STACK = SANITIZED ? 128 * 1024 : 16 * 1024 };

/* ---- Checks ---- */

#define check_rc(call, wanted) check_rc_at((call), (wanted), #call, __FILE__, __LINE__)

static inline void check_rc_at(int rc, int wanted, const char *call, const char *file, int line)
{
    if (rc == wanted)
        return;
    print_error("%s gave %d (%s), not %d (%s)\n", call, rc, evert_error_name(rc), wanted,
                evert_error_name(wanted));
    _fail(file, line);
}

/* ---- The log ---- */

static struct {
    int count;
    evert_log_level level; /* of the last */
    char text[4096];       /* a line each */
} logged;

static inline void keep_message(evert_log_level level, const char *message, void *arg)
{
    size_t size = strlen(logged.text);
    (void)arg;
    logged.count++;
    logged.level = level;
    snprintf(logged.text + size, sizeof(logged.text) - size, "%s\n", message);
}

/* Takes the log until stop_logging(); what was said is in `logged`. */
static inline void start_logging(void)
{
    memset(&logged, 0, sizeof(logged));
    evert_log_set_sink(keep_message, NULL);
}

static inline void stop_logging(void)
{
    evert_log_set_sink(NULL, NULL);
}

/* ---- Children of a fork ---- */

struct child {
    int status;      /* waitpid(2) */
    char said[8192]; /* on standard error */
};

/* Runs fn(arg) in a forked child; its result is the child's exit status. */
static inline struct child in_child(int (*fn)(void *arg), void *arg)
{
    static const int standard[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTERM, SIGINT};
    struct child child = {0};
    size_t size = 0;
    ssize_t more;
    int ends[2];

    assert_return_code(pipe(ends), errno);
    pid_t pid = fork();
    assert_return_code(pid, errno);
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++)
            signal(standard[i], SIG_DFL);
        alarm(100); /* so that one that hangs is not left behind */
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        _exit(fn(arg));
    }
    close(ends[1]);
    while ((more = read(ends[0], child.said + size, sizeof(child.said) - 1 - size)) > 0)
        size += (size_t)more;
    close(ends[0]);
    while (waitpid(pid, &child.status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return child;
}

static inline void check_said(const struct child *child, const char *words)
{
    if (strstr(child->said, words) != NULL)
        return;
    print_error("not said: %s\nbut:\n%s\n", words, child->said);
    fail();
}

static inline void check_exit(const struct child *child, int status)
{
    if (WIFEXITED(child->status) && WEXITSTATUS(child->status) == status)
        return;
    print_error("wanted exit %d; it was status %#x, and said:\n%s\n", status,
                (unsigned)child->status, child->said);
    fail();
}

static inline void check_killed(const struct child *child, int number)
{
    if (WIFSIGNALED(child->status) && WTERMSIG(child->status) == number)
        return;
    print_error("wanted signal %d; it was status %#x, and said:\n%s\n", number,
                (unsigned)child->status, child->said);
    fail();
}

/*
 * Bad use of the library: with checks built in, `fn` ends in an abort that explains itself with
 * `words`; without, it returns `rc`, and the log has the words.
 */
static inline void check_misuse(int (*fn)(void *arg), int rc, const char *words)
{
#ifdef EVERT_DEBUG
    struct child child = in_child(fn, NULL);
    (void)rc;
    check_killed(&child, SIGABRT);
    check_said(&child, words);
#else
    start_logging();
    check_rc(fn(NULL), rc);
    stop_logging();
    if (words == NULL)
        return;
    assert_non_null(strstr(logged.text, words));
    assert_int_equal(logged.level, EVERT_LOG_ERROR);
#endif
}

/* ---- Want of memory ---- */

static inline void *no_memory(void *memory, size_t size, void *arg)
{
    (void)memory;
    (void)size;
    (void)arg;
    return NULL;
}

static inline void release_memory(void *memory, void *arg)
{
    (void)arg;
    free(memory);
}

/* Between the two the library finds no memory at all. */
static inline void take_memory_away(void)
{
    static const evert_allocator none = {no_memory, release_memory, NULL};
    evert_set_allocator(&none);
}

static inline void give_memory_back(void)
{
    evert_set_allocator(NULL);
}

/* Memory for `left` more requests; `hit` when one was refused. */
static struct {
    int left;
    bool hit;
} memory_limit;

static inline void *limited(void *memory, size_t size, void *arg)
{
    (void)arg;
    if (memory_limit.left-- > 0)
        return realloc(memory, size);
    memory_limit.hit = true;
    return NULL;
}

static const evert_allocator limited_memory = {limited, release_memory, NULL};

/* ---- Where code runs ---- */

/* The control block of the task that runs. */
static inline struct evert__task *self(void)
{
    struct evert__task *task;
    check_rc(evert__self(&task), 0);
    return task;
}

/* The tasks of the loop that the caller runs in, and its pool of stacks. */
static inline struct evert__tasks *all_tasks(void)
{
    return evert__tasks_get(self()->loop);
}

static inline void check_no_tasks(const evert_loop *loop)
{
    const struct evert__tasks *tasks = evert__tasks_get(loop);
    assert_true(tasks == NULL || evert__list_empty(&tasks->all));
}

/* Runs fn(arg) as the main task of a loop made for it; returns its result. */
#define in_task(fn, arg) in_task_at((fn), (arg), #fn, EVERT_PLACE)

static inline int in_task_at(evert_fn *fn, void *arg, const char *name, const char *place)
{
    evert_loop *loop;
    evert_coro *coro;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_coro_new_at(&coro, fn, arg, name, place), 0);
    int rc = evert_loop_run_until_complete(loop, coro);
    check_no_tasks(loop);
    evert_loop_free(loop);
    return rc;
}

struct callback_call {
    evert_fn *fn;
    void *arg;
    int rc;
};

static inline void make_callback_call(void *arg)
{
    struct callback_call *call = (struct callback_call *)arg;
    call->rc = call->fn(call->arg);
}

/* Runs fn(arg) as a callback of a loop made for it; returns its result. */
static inline int in_callback(evert_fn *fn, void *arg)
{
    struct callback_call call = {fn, arg, 12345};
    evert_loop *loop;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_loop_call_soon(loop, NULL, make_callback_call, &call), 0);
    check_rc(evert_loop_turn(loop, 0), 0);
    evert_loop_free(loop);
    return call.rc;
}

struct body {
    void (*test)(void **state);
};

static inline int run_body(void *arg)
{
    void *nothing = NULL;
    ((const struct body *)arg)->test(&nothing);
    return 0;
}

static inline void run_everywhere(void **state)
{
    check_rc(in_task(run_body, *state), 0);
    (void)run_body(*state);
    assert_null(self()->scope);
    check_no_tasks(self()->loop);
}

/* A row of a table of tests: one that is run as a task, and then as plain blocking code. */
/* clang-format off */
#define everywhere(test) {#test, run_everywhere, NULL, NULL, &(struct body){test}}
/* clang-format on */

/* Runs a table of tests, for main() to return. */
#define run_table(tests) \
    (setenv("CMOCKA_TEST_ABORT", "1", 1), cmocka_run_group_tests((tests), NULL, NULL))

/* ---- Something to wait for ---- */

/* A store of items, which waiting tasks are handed in the order of their coming. */
struct store {
    int items;
    struct evert__link takers;
};

struct taker {
    struct evert__waiter waiter;
    struct evert__link link;
};

static inline void store_init(struct store *store)
{
    store->items = 0;
    evert__list_init(&store->takers);
}

static inline bool store_stop_taking(struct evert__waiter *waiter)
{
    evert__link_remove(&EVERT__CONTAINER(waiter, struct taker, waiter)->link);
    return true;
}

/* Waits for an item. 1 when there is one, or what waiting calls fail with. */
static inline int store_take(struct store *store)
{
    struct evert__task *task;
    int rc = evert__checkpoint(&task);
    if (rc < 0)
        return rc;
    if (store->items > 0) {
        store->items--;
        evert__completed(task);
        return 1;
    }
    struct taker taker = {.waiter.cancel = store_stop_taking};
    evert__list_append(&store->takers, &taker.link);
    evert__wait(task, &taker.waiter);
    return (int)taker.waiter.result;
}

/* The same, as a task. */
static inline int take_from(void *store)
{
    return store_take((struct store *)store);
}

/* Puts an item; does not wait. */
static inline void store_put(struct store *store)
{
    struct evert__link *link = evert__list_shift(&store->takers);
    if (link != NULL)
        evert__wake(&EVERT__CONTAINER(link, struct taker, link)->waiter, 1);
    else
        store->items++;
}

/* ---- Tasks that many tests start ---- */

/* Waits until it is cancelled; its result is that of the wait. */
static inline int wait_for_ever(void *unused)
{
    (void)unused;
    return evert_sleep_until(EVERT_NEVER);
}

/* Does not wait; returns the int that it is given. */
static inline int give(void *result)
{
    return *(const int *)result;
}

#endif
