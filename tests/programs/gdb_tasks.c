/* SPDX-License-Identifier: MIT */
/*
 * Tasks in every state, for gdb to look at:
 *
 *     gdb_tasks stop       calls all_is_set(), where a breakpoint can be
 *     gdb_tasks crash      the same, and then dies in a task
 *     gdb_tasks overflow   dies of a stack overflow in a task
 *     gdb_tasks files      waits for files, where there may be a breakpoint in what tells of them
 *
 * Another thread has a loop of its own, and waits in blocking mode.
 */
#include <evert/evert.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void all_is_set(const char *how); /* not static, so that its name is there for a breakpoint */

static const char *how;
static const char *address;
static evert_deferred *never;
static evert_scope all;
static sem_t other_is_set;

static int check(int rc, const char *what)
{
    if (rc < 0) {
        (void)fprintf(stderr, "%s: %s\n", what, evert_describe(rc));
        exit(1);
    }
    return rc;
}

static int sleeps(void *unused)
{
    (void)unused;
    return evert_sleep(3600 * EVERT_SECOND);
}

static int served;

/* Neither reads nor writes. */
static int holds(evert_stream *s, void *unused)
{
    (void)s;
    (void)unused;
    served++;
    return evert_sleep(3600 * EVERT_SECOND);
}

static int serves(void *listener)
{
    return evert_serve(listener, holds, NULL);
}

static int reads(void *unused)
{
    int marker = 4242; /* for gdb to find */
    evert_stream *s;
    evert_bytes line;
    (void)unused;
    check(evert_connect(&s, address), "connect");
    int rc = evert_read_line(s, &line);
    evert_close(s);
    return rc < 0 ? rc : marker;
}

static int written;

static int writes(void *unused)
{
    static char much[128 * 1024];
    evert_stream *s;
    (void)unused;
    check(evert_connect(&s, address), "connect");
    while (evert_write(s, much, sizeof(much)) == 0)
        written++;
    return evert_close(s);
}

static int joins(void *task)
{
    return evert_task_join(task);
}

static int awaits(void *unused)
{
    (void)unused;
    return evert_await(never).error;
}

static int leaves(void *unused)
{
    evert_scope s;
    (void)unused;
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = evert_spawn(&s, sleeps, NULL);
    if (rc == 0)
        rc = evert_spawn(&s, sleeps, NULL);
    return evert_scope_leave(&s, rc);
}

static int deep(int level)
{
    volatile char room[256];
    room[0] = (char)level;
    int rc = level > 0 ? deep(level - 1) : evert_sleep(3600 * EVERT_SECOND);
    return rc + room[0] - (char)level;
}

static int sleeps_deep(void *unused)
{
    (void)unused;
    return deep(100);
}

static int yields(void *unused)
{
    int rc = 0;
    (void)unused;
    while (rc == 0)
        rc = evert_yield();
    return rc;
}

static int too_deep(int level)
{
    volatile char room[1024];
    room[0] = (char)level;
    return level < 1 << 30 ? too_deep(level + 1) + room[0] : 0;
}

__attribute__((noinline)) void all_is_set(const char *what)
{
    printf("all is set: %s\n", what);
    fflush(stdout);
    if (strcmp(what, "crash") == 0)
        abort();
    if (strcmp(what, "overflow") == 0)
        exit(too_deep(0));
}

/* Started inside another task, which stands still meanwhile. */
static int looks(void *unused)
{
    (void)unused;
    check(evert_spawn(&all, sleeps, NULL), "spawn"); /* it has not begun when gdb looks */
    all_is_set(how);
    return 0;
}

static int starts_another(void *unused)
{
    evert_deferred *done;
    evert_coro *coro;
    (void)unused;
    check(evert_coro_new(&coro, looks, NULL), "coroutine");
    check(evert_deferred_from(&done, NULL, coro), "start");
    evert_deferred_free(done);
    evert_scope_cancel(&all);
    return 0;
}

static void spawn(const char *name, evert_fn *fn, void *arg, evert_task **ret_task)
{
    evert_spawn_options options = evert_spawn_defaults();
    options.name = name;
    options.ret_task = ret_task;
    check(evert_spawn_with(&all, &options, fn, arg), name);
}

static int parent(void *unused)
{
    evert_listener *listener;
    evert_task *sleeper;
    (void)unused;
    check(evert_listen(&listener, "tcp://127.0.0.1:0"), "listen");
    address = evert_listener_address(listener);
    check(evert_deferred_new(&never), "deferred");
    evert_scope_enter(&all, EVERT_NEVER);
    spawn("sleeper", sleeps, NULL, &sleeper);
    spawn("server", serves, listener, NULL);
    spawn("reader", reads, NULL, NULL);
    spawn("writer", writes, NULL, NULL);
    spawn("joiner", joins, sleeper, NULL);
    spawn("awaiter", awaits, NULL, NULL);
    spawn("leaver", leaves, NULL, NULL);
    spawn("deep", sleeps_deep, NULL, NULL);
    spawn("yielder", yields, NULL, NULL);
    for (int before = 0; served < 2 || written == 0 || written > before;) {
        before = written;
        evert_sleep(EVERT_MILLISECOND); /* a writer that does not wait writes meanwhile */
    }
    spawn("starter", starts_another, NULL, NULL);
    int rc = evert_scope_leave(&all, 0);
    evert_deferred_free(never);
    return rc;
}

static int tells(void *unused)
{
    (void)unused;
    sem_post(&other_is_set);
    return 0;
}

static int uses_files(void *unused)
{
    (void)unused;
    int fd = check(evert_file_open("/dev/null", O_WRONLY, 0), "open");
    check(evert_file_write(fd, "x", 1, 0), "write");
    return evert_file_close(fd);
}

static void *blocks(void *unused)
{
    evert_scope s;
    evert_scope_enter(&s, EVERT_NEVER);
    check(evert_spawn(&s, sleeps, NULL), "spawn");
    check(evert_spawn(&s, tells, NULL), "spawn"); /* when the other one sleeps */
    check(evert_scope_leave(&s, 0), "leave");
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t other;
    how = argc > 1 ? argv[1] : "stop";
    if (strcmp(how, "files") == 0)
        return evert_run(uses_files, NULL) < 0 ? 1 : 0;
    sem_init(&other_is_set, 0, 0);
    if (pthread_create(&other, NULL, blocks, NULL) != 0)
        return 1;
    sem_wait(&other_is_set);
    return evert_run(parent, NULL) < 0 ? 1 : 0;
}
