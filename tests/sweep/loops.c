/* SPDX-License-Identifier: MIT */
/* The loop alone: calls, timers, signals, other threads; and a fork in the midst of serving. */
#include "scenarios.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

/* ---- Calls ---- */

struct calls {
    evert_loop *loop;
    int made, from_thread, signals;
    bool thread_failed;
    evert_handle soon, timer, never, far;
};

enum { FROM_THREAD = 20 };

static void note(void *made)
{
    ++*(int *)made;
}

static void stop(void *loop)
{
    evert_loop_stop(loop);
}

static void *call_from_thread(void *arg)
{
    struct calls *c = arg;
    for (int i = 0; i < FROM_THREAD; i++) {
        if (evert_loop_call_threadsafe(c->loop, note, &c->from_thread) < 0) {
            c->thread_failed = true;
            break;
        }
    }
    evert_loop_stop_threadsafe(c->loop);
    return NULL;
}

static int make_calls(struct calls *c)
{
    evert_loop *loop = c->loop;
    CHECK(evert_loop_call_soon(loop, &c->soon, note, &c->made) == 0);
    CHECK(evert_loop_call_soon(loop, &c->never, note, &c->made) == 0);
    evert_handle_cancel(&c->never);
    CHECK(evert_loop_call_at(loop, &c->far, EVERT_NEVER, note, &c->made) == 0);
    CHECK(evert_loop_call_at(loop, &c->timer, evert_after(EVERT_MILLISECOND), note, &c->made) == 0);
    int rc = evert_loop_call_soon(loop, NULL, note, &c->made);
    if (rc == 0)
        rc = evert_loop_call_at(loop, NULL, evert_after(2 * EVERT_MILLISECOND), stop, loop);
    if (rc == 0)
        rc = evert_loop_run(loop);
    if (rc == 0)
        CHECK(c->made == 3);
    evert_handle_cancel(&c->soon);
    evert_handle_cancel(&c->timer);
    evert_handle_cancel(&c->far);
    return rc;
}

static int call_across(struct calls *c)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, call_from_thread, c) == 0);
    int rc = evert_loop_run(c->loop);
    pthread_join(thread, NULL);
    /* The stop may have overtaken some of the calls, which come all the same. */
    while (rc == 0 && !c->thread_failed && c->from_thread < FROM_THREAD)
        rc = evert_loop_turn(c->loop, EVERT_NEVER);
    return rc < 0 ? rc : c->thread_failed ? -ENOMEM : 0;
}

static void count_signal(void *arg)
{
    struct calls *c = arg;
    c->signals++;
    evert_loop_stop(c->loop);
}

static int take_signal(struct calls *c)
{
    int rc = evert_loop_watch_signal(c->loop, SIGUSR1, count_signal, c);
    if (rc < 0)
        return rc;
    raise(SIGUSR1);
    rc = evert_loop_run(c->loop);
    CHECK(c->signals == 1);
    evert_loop_unwatch_signal(c->loop, SIGUSR1);
    return rc;
}

static int loops_run(void)
{
    struct calls c = {0};
    int rc = evert_loop_new(&c.loop);
    if (rc < 0)
        return rc;
    rc = make_calls(&c);
    if (rc == 0)
        rc = call_across(&c);
    if (rc == 0)
        rc = take_signal(&c);
    evert_loop_free(c.loop);
    return rc;
}

const struct scenario loops_scenario = {.name = "loops", .run = loops_run};

/* ---- A child, which only closes what it has inherited, and begins anew ---- */

static unsigned failures;

struct family {
    evert_stream *stream;
    struct flow flow;
};

static int nap(void *unused)
{
    (void)unused;
    return evert_sleep(EVERT_MILLISECOND);
}

static int live_as_child(struct family *family)
{
    evert_bytes bytes;
    CHECK(evert_read(family->stream, &bytes, 1) == EVERT_ECLOSED);
    CHECK(evert_close(family->stream) == 0);
    CHECK(evert_run(nap, NULL) == 0);
    return all_checks_held() ? 0 : 1;
}

/* Waits without blocking the others. False: it did not end well. */
static bool outlive(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (evert_sleep(EVERT_MILLISECOND) < 0)
            return waitpid(child, &status, 0) == child;
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int fork_in_the_midst(const char *address, void *arg)
{
    struct family *family = arg;
    int rc = evert_connect(&family->stream, address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(family->stream, CLOSE_LIMIT);
    rc = evert_put(family->stream, flow_next(&family->flow, 1000));
    if (rc == 0)
        rc = evert_flush(family->stream);
    pid_t child = fork();
    if (child == 0)
        _exit(live_as_child(family));
    CHECK(child > 0 && outlive(child));
    if (rc == 0)
        rc = flow_write(&family->flow, family->stream, 1000);
    if (rc == 0)
        rc = flow_read(&family->flow, family->stream, 1000);
    if (rc == 0 && failures == 0)
        flow_over(&family->flow);
    return first_error(rc, evert_close(family->stream));
}

static int run_fork(void *arg)
{
    return with_server(ANY_PORT, echo, &failures, fork_in_the_midst, arg);
}

static int fork_run(void)
{
    struct family family = {.flow = {.size = 5000}};
    return evert_run(run_fork, &family);
}

const struct scenario fork_scenario = {.name = "fork", .run = fork_run};
