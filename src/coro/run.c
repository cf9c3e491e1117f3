/* SPDX-License-Identifier: MIT */
#include "coro/run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/format.h"
#include "base/sys.h"
#include "base/time.h"
#include "coro/describe.h"
#include "coro/overflow.h"

/* ---- A run ---- */

static void cancel_main(struct evert__ready *ready)
{
    struct evert__run *run = EVERT__CONTAINER(ready, struct evert__run, drained.ready);
    if (run->main != NULL && !run->main->ended)
        evert__task_cut(run->main);
}

void evert__run_init(struct evert__run *run, evert_time drain)
{
    *run = (struct evert__run){.drained.ready.run = cancel_main, .drain = drain};
}

void evert__run_end(struct evert__run *run)
{
    evert__loop_end_servers(run->loop);
    if (run->drain > 0)
        evert__timer_set(run->loop, &run->drained, evert__time_add(run->loop->now, run->drain));
    else
        cancel_main(&run->drained.ready);
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
static int run_main(struct evert__run *run, evert_fn *fn, void *arg, const char *name,
                    const char *place)
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

int evert__run_here(struct evert__run *run, evert_fn *fn, void *arg, const char *name,
                    const char *place)
{
    struct evert__overflow overflow;
    evert__overflow_watch(&overflow);
    int rc = run_main(run, fn, arg, name, place);
    run->main = NULL; /* it is gone, and it may still be told to end */
    wait_for_the_rest(run->loop);
    evert__timer_unset(run->loop, &run->drained);
    run->loop->ending = false;
    evert__overflow_unwatch(&overflow);
    return evert__loop_forked(run->loop) ? EVERT_ECLOSED : rc; /* a child came back into it */
}

/* ---- A program ---- */

/* What the whole process does meanwhile on signals. */
struct program {
    struct evert__run run;
    struct evert__cores *cores; /* or NULL: on this thread alone */
    struct evert__signal_watch watches[2];
    struct sigaction pipe_before;
    int signal; /* that ended the run, or 0 */
};

static void told_to_end(struct program *program, int number)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    if (program->signal != 0)
        return;
    program->signal = number;
    for (int i = 0; i < 2; i++) /* a second one, of either, kills */
        (void)evert__sys_sigaction(program->watches[i].number, &standard, NULL);
    if (program->cores != NULL)
        evert__cores_end(program->cores);
    else
        evert__run_end(&program->run);
}

static void on_terminate(struct evert__ready *ready)
{
    told_to_end(EVERT__CONTAINER(ready, struct program, watches[0].ready), SIGTERM);
}

static void on_interrupt(struct evert__ready *ready)
{
    told_to_end(EVERT__CONTAINER(ready, struct program, watches[1].ready), SIGINT);
}

static void take_signals(struct program *program)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    program->watches[0] =
        (struct evert__signal_watch){.ready.run = on_terminate, .number = SIGTERM, .once = true};
    program->watches[1] =
        (struct evert__signal_watch){.ready.run = on_interrupt, .number = SIGINT, .once = true};
    for (int i = 0; i < 2; i++)
        (void)evert__signal_watch(program->run.loop, &program->watches[i]);
    (void)evert__sys_sigaction(SIGPIPE, &ignore, &program->pipe_before);
}

static void give_signals_back(struct program *program)
{
    (void)evert__sys_sigaction(SIGPIPE, &program->pipe_before, NULL);
    for (int i = 0; i < 2; i++)
        evert__signal_unwatch(&program->watches[i]);
}

int evert_run_on_at(unsigned cores, evert_fn *fn, void *arg, const evert_run_options *options,
                    const char *name, const char *place)
{
    static const evert_run_options usual;
    struct program program = {0};

    if (options == NULL)
        options = &usual;
    const evert_loop *running = evert__loop_running();
    if (running != NULL && !evert__loop_forked(running)) /* in a child it is the parent's */
        return EVERT_ECONTEXT;
    evert__run_init(&program.run, options->drain);
    int rc = evert__loop_own(&program.run.loop);
    if (rc == 0 && cores > 1)
        rc = evert__cores_new(&program.cores, cores, options);
    if (rc < 0)
        return rc;
    take_signals(&program);
    rc = program.cores == NULL
             ? evert__run_here(&program.run, fn, arg, name, place)
             : evert__cores_run(program.cores, program.run.loop, fn, arg, name, place);
    give_signals_back(&program);
    if (program.cores != NULL && !evert__loop_forked(program.run.loop))
        evert__cores_free(program.cores);

    if (options->ret_signal != NULL)
        *options->ret_signal = program.signal;
    if (rc == -ECANCELED && program.signal == SIGTERM)
        rc = 0;
    return rc < 0 ? rc : 0;
}

int evert_run_at(evert_fn *fn, void *arg, const evert_run_options *options, const char *name,
                 const char *place)
{
    return evert_run_on_at(1, fn, arg, options, name, place);
}

static void tell_failure(int rc)
{
    char text[300];
    size_t size = evert__format_string(text, sizeof(text), "%s: %s\n",
                                       program_invocation_short_name, evert_describe(rc));
    (void)evert__sys_write_quietly(2, text, size);
}

int evert_main_on_at(unsigned cores, evert_fn *fn, void *arg, const char *name, const char *place)
{
    int signal = 0;
    evert_run_options options = {.ret_signal = &signal};
    int rc = evert_run_on_at(cores, fn, arg, &options, name, place);
    if (signal == SIGINT && (rc == 0 || rc == -ECANCELED))
        return 130;
    if (rc < 0)
        tell_failure(rc);
    return rc < 0 ? 1 : 0;
}

int evert_main_at(evert_fn *fn, void *arg, const char *name, const char *place)
{
    return evert_main_on_at(1, fn, arg, name, place);
}
