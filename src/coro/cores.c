/* SPDX-License-Identifier: MIT */
/*
 * Many cores: a thread for each, and on it a run of its own. They know of each other only that they
 * are to end: then each is told by a post to its loop.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "coro/describe.h"
#include "coro/run.h"

struct core {
    struct evert__cores *all;
    unsigned number;
    pthread_t thread;
    struct evert__run run;
    struct evert__ready end; /* posted to the loop, once: come to your end */
    bool up, told, ended;    /* all but `ended` under the lock */
};

struct evert__cores {
    pthread_mutex_t lock;
    unsigned count;
    evert_fn *fn;
    void *arg;
    const char *name, *place;
    bool pinned, steered;
    bool ending;
    int cut;           /* -ECANCELED: some were cancelled because of that */
    int failure;       /* the first */
    char *description; /* of it */
    cpu_set_t allowed; /* cores that this process may use */
    struct core of[];
};

static _Thread_local unsigned number __attribute__((tls_model("initial-exec")));

__attribute__((noinline)) unsigned evert_core(void)
{
    return number;
}

/* ---- Ending ---- */

static void end_here(struct evert__ready *ready)
{
    struct core *core = EVERT__CONTAINER(ready, struct core, end);
    core->ended = true;
    evert__run_end(&core->run);
}

/* Under the lock: each that runs is told, once; those that have not begun see it when they do. */
static void tell_all(struct evert__cores *cores)
{
    cores->ending = true;
    for (unsigned i = 0; i < cores->count; i++) {
        struct core *core = &cores->of[i];
        if (core->up && !core->told)
            core->told = evert__loop_post(core->run.loop, &core->end) == 0;
    }
}

void evert__cores_end(struct evert__cores *cores)
{
    pthread_mutex_lock(&cores->lock);
    tell_all(cores);
    pthread_mutex_unlock(&cores->lock);
}

/* ---- One core ---- */

static void come_up(struct core *core)
{
    pthread_mutex_lock(&core->all->lock);
    core->up = true;
    if (core->all->ending)
        tell_all(core->all);
    pthread_mutex_unlock(&core->all->lock);
}

/* From what a loop's main task has left, if there was a loop. */
static void move_words(char **to, const evert_loop *loop, int rc)
{
    struct evert__tasks *tasks = loop != NULL ? evert__tasks_get(loop) : NULL;
    if (tasks != NULL)
        evert__description_move(to, &tasks->root.description, rc);
}

/* A failure ends all. That one was cancelled because all are to end is none. */
static void go_down(struct core *core, int rc)
{
    struct evert__cores *cores = core->all;
    pthread_mutex_lock(&cores->lock);
    core->up = false;
    if (rc == -ECANCELED && cores->ending) {
        cores->cut = rc;
    } else if (rc < 0 && cores->failure == 0) {
        cores->failure = rc;
        move_words(&cores->description, core->run.loop, rc);
        tell_all(cores);
    }
    pthread_mutex_unlock(&cores->lock);
}

/* A post that is still to be taken refers to what is about to be freed. */
static void take_post(struct core *core)
{
    if (!core->told || core->ended || evert__loop_begin(core->run.loop) < 0)
        return;
    while (!core->ended && evert__loop_turn(core->run.loop, EVERT_NEVER))
        ;
    evert__loop_end(core->run.loop);
}

/* The core with this number among those that may be used, which are used in turn. */
static size_t cpu_of(const struct evert__cores *cores)
{
    unsigned left = number % (unsigned)CPU_COUNT(&cores->allowed);
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &cores->allowed) || left-- > 0)
        cpu++;
    return cpu;
}

static void take_place(const struct core *core)
{
    const struct evert__cores *cores = core->all;
    cpu_set_t here;
    size_t cpu = cpu_of(cores);
    core->run.loop->shares_ports = true;
    if (!cores->pinned)
        return;
    CPU_ZERO(&here);
    CPU_SET(cpu, &here);
    core->run.loop->cpu = (int)cpu;
    core->run.loop->steers = evert__sys_set_affinity(&here) == 0 && cores->steered;
}

static void run_core(struct core *core)
{
    struct evert__cores *cores = core->all;
    number = core->number;
    take_place(core);
    come_up(core);
    int rc = evert__run_here(&core->run, cores->fn, cores->arg, cores->name, cores->place);
    if (!evert__loop_forked(core->run.loop)) { /* else this is a child, without the others */
        go_down(core, rc);
        take_post(core);
    }
    number = 0;
}

static void *run_thread(void *arg)
{
    struct core *core = (struct core *)arg;
    int rc = evert__loop_own(&core->run.loop);
    if (rc == 0)
        run_core(core);
    else
        go_down(core, rc);
    return NULL;
}

/* ---- All of them ---- */

int evert__cores_new(struct evert__cores **ret, unsigned count, const evert_run_options *options)
{
    cpu_set_t allowed;
    if (evert__sys_get_affinity(&allowed) < 0) {
        CPU_ZERO(&allowed);
        CPU_SET(0, &allowed);
    }
    unsigned usable = (unsigned)CPU_COUNT(&allowed);
    if (count == EVERT_ALL_CORES)
        count = usable;
    if (count > EVERT__MOST_CORES)
        return -EINVAL;
    struct evert__cores *cores = evert__alloc_zero(sizeof(*cores) + count * sizeof(cores->of[0]));
    if (cores == NULL)
        return -ENOMEM;
    (void)pthread_mutex_init(&cores->lock, NULL);
    cores->count = count;
    cores->allowed = allowed;
    cores->steered = options->steer;
    cores->pinned = options->steer || count >= usable;
    for (unsigned i = 0; i < count; i++) {
        cores->of[i].all = cores;
        cores->of[i].number = i;
        cores->of[i].end.run = end_here;
        evert__run_init(&cores->of[i].run, options->drain);
    }
    *ret = cores;
    return 0;
}

void evert__cores_free(struct evert__cores *cores)
{
    evert__description_free(&cores->description);
    (void)pthread_mutex_destroy(&cores->lock);
    evert__free(cores);
}

/* Starts the threads of all but the first. Where one cannot be started, the others are to end. */
static unsigned start_others(struct evert__cores *cores)
{
    for (unsigned i = 1; i < cores->count; i++) {
        int rc = evert__sys_thread(&cores->of[i].thread, run_thread, &cores->of[i]);
        if (rc < 0) {
            go_down(&cores->of[i], rc);
            return i;
        }
    }
    return cores->count;
}

int evert__cores_run(struct evert__cores *cores, evert_loop *loop, evert_fn *fn, void *arg,
                     const char *name, const char *place)
{
    struct core *first = &cores->of[0];
    bool shared = loop->shares_ports;
    cores->fn = fn;
    cores->arg = arg;
    cores->name = name;
    cores->place = place;
    first->run.loop = loop;
    unsigned started = start_others(cores);
    run_core(first);
    if (evert__loop_forked(loop))
        return EVERT_ECLOSED;
    for (unsigned i = 1; i < started; i++)
        (void)pthread_join(cores->of[i].thread, NULL);
    loop->shares_ports = shared;
    loop->steers = false;
    if (cores->pinned)
        (void)evert__sys_set_affinity(&cores->allowed);
    struct evert__tasks *tasks = evert__tasks_get(loop);
    if (tasks != NULL)
        evert__description_move(&tasks->root.description, &cores->description, cores->failure);
    return cores->failure < 0 ? cores->failure : cores->cut;
}
