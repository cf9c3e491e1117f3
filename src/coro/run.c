/* SPDX-License-Identifier: MIT */
#include <evert/coro/run.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/format.h"
#include "base/sys.h"
#include "base/time.h"
#include "coro/describe.h"
#include "coro/overflow.h"
#include "coro/task.h"

struct run {
    evert_loop *loop;
    struct evert__task *main;
    struct evert__signal_watch watches[2];
    struct evert__timer drained;
    struct evert__overflow overflow;
    struct sigaction pipe_before;
    evert_time drain;
    int signal; /* that ended the run, or 0 */
};

static void cancel_main(struct evert__ready *ready)
{
    struct run *run = EVERT__CONTAINER(ready, struct run, drained.ready);
    if (run->main != NULL && !run->main->ended)
        evert__task_cut(run->main);
}

/* Servers stop accepting; when their time to finish is over, the main task is cancelled. */
static void begin_to_end(struct run *run)
{
    evert__loop_end_servers(run->loop);
    if (run->drain > 0)
        evert__timer_set(run->loop, &run->drained, evert__time_add(run->loop->now, run->drain));
    else
        cancel_main(&run->drained.ready);
}

static void told_to_end(struct run *run, int number)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    if (run->signal != 0)
        return;
    run->signal = number;
    for (int i = 0; i < 2; i++) /* a second one, of either, kills */
        (void)evert__sys_sigaction(run->watches[i].number, &standard, NULL);
    begin_to_end(run);
}

static void on_terminate(struct evert__ready *ready)
{
    told_to_end(EVERT__CONTAINER(ready, struct run, watches[0].ready), SIGTERM);
}

static void on_interrupt(struct evert__ready *ready)
{
    told_to_end(EVERT__CONTAINER(ready, struct run, watches[1].ready), SIGINT);
}

static void take_signals(struct run *run)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    run->watches[0] =
        (struct evert__signal_watch){.ready.run = on_terminate, .number = SIGTERM, .once = true};
    run->watches[1] =
        (struct evert__signal_watch){.ready.run = on_interrupt, .number = SIGINT, .once = true};
    for (int i = 0; i < 2; i++)
        (void)evert__signal_watch(run->loop, &run->watches[i]);
    (void)evert__sys_sigaction(SIGPIPE, &ignore, &run->pipe_before);
    evert__overflow_watch(&run->overflow);
}

static void give_signals_back(struct run *run)
{
    evert__overflow_unwatch(&run->overflow);
    (void)evert__sys_sigaction(SIGPIPE, &run->pipe_before, NULL);
    for (int i = 0; i < 2; i++)
        evert__signal_unwatch(&run->watches[i]);
}

/*
 * What goes on without the main task: tasks that are in no scope, which are cancelled now, and
 * connections, which are closed. Each farewell has a limit of its own.
 */
static void wait_for_the_rest(evert_loop *loop)
{
    if (evert__loop_begin(loop) < 0)
        return;
    loop->leaving = true; /* or who connects again whenever it is cut off would keep it going */
    do {
        bool tasks = evert__tasks_cut_homeless(loop);
        evert__run_all(&loop->transports);
        if (!tasks && evert__list_empty(&loop->farewells) && loop->busy == 0)
            break;
    } while (evert__loop_turn(loop, EVERT_NEVER));
    loop->leaving = false;
    evert__loop_end(loop);
}

/* Runs the main task to its end, also where the loop is stopped: then it is cancelled. */
static int run_main(struct run *run, evert_fn *fn, void *arg, const char *name, const char *place)
{
    int rc = evert__main_new(run->loop, fn, arg, name, place, &run->main);
    if (rc < 0)
        return rc;
    rc = evert__main_run(run->main);
    bool stopped = rc == EVERT_ESTOPPED;
    while (rc == EVERT_ESTOPPED) {
        evert__task_cut(run->main);
        rc = evert__main_run(run->main);
    }
    if (rc < 0)
        return rc;
    int result = evert__main_result(run->main);
    return stopped ? EVERT_ESTOPPED : result;
}

int evert_run_at(evert_fn *fn, void *arg, const evert_run_options *options, const char *name,
                 const char *place)
{
    static const evert_run_options usual;
    struct run run = {.drained.ready.run = cancel_main};

    if (options == NULL)
        options = &usual;
    const evert_loop *running = evert__loop_running();
    if (running != NULL && !evert__loop_forked(running)) /* in a child it is the parent's */
        return EVERT_ECONTEXT;
    int rc = evert__loop_own(&run.loop);
    if (rc < 0)
        return rc;
    run.drain = options->drain;
    take_signals(&run);
    rc = run_main(&run, fn, arg, name, place);
    run.main = NULL; /* it is gone, and a signal may still come */
    wait_for_the_rest(run.loop);
    evert__timer_unset(run.loop, &run.drained);
    run.loop->ending = false;
    give_signals_back(&run);

    if (options->ret_signal != NULL)
        *options->ret_signal = run.signal;
    if (evert__loop_forked(run.loop))
        rc = EVERT_ECLOSED; /* this is a child, which came back into its parent's run */
    if (rc == -ECANCELED && run.signal == SIGTERM)
        rc = 0;
    return rc < 0 ? rc : 0;
}

static void tell_failure(int rc)
{
    char text[300];
    size_t size = evert__format_string(text, sizeof(text), "%s: %s\n",
                                       program_invocation_short_name, evert_describe(rc));
    (void)evert__sys_write_quietly(2, text, size);
}

int evert_main_at(evert_fn *fn, void *arg, const char *name, const char *place)
{
    int signal = 0;
    evert_run_options options = {.ret_signal = &signal};
    int rc = evert_run_at(fn, arg, &options, name, place);
    if (signal == SIGINT && (rc == 0 || rc == -ECANCELED))
        return 130;
    if (rc < 0)
        tell_failure(rc);
    return rc < 0 ? 1 : 0;
}
