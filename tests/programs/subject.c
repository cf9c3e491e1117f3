/* SPDX-License-Identifier: MIT */
/*
 * A program for real_faults.py to do things to. It is told what to do, and says what came of it, a
 * line each: the name of the code, and its words.
 *
 *     subject block|task connect ADDRESS MILLISECONDS
 *     subject block|task write ADDRESS BYTES MILLISECONDS
 *     subject block|task read ADDRESS MILLISECONDS
 *     subject block|task ticks COUNT
 *     subject block|task spawn COUNT BYTES
 *     subject block|task clock
 *
 * It does so in blocking mode, with the program's own disposition of signals, or as a task of
 * evert_run(). Each call that connects has the deadline that it is given.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <evert/evert.h>

static int argument_count;
static char **arguments;

static evert_time milliseconds(const char *text)
{
    return evert_after(atoll(text) * EVERT_MILLISECOND);
}

static int say(const char *what, int rc)
{
    printf("%s %s %s\n", what, rc < 0 ? evert_error_name(rc) : "OK",
           rc < 0 ? evert_describe(rc) : "");
    (void)fflush(stdout);
    return 0;
}

static int connect_only(void)
{
    evert_scope scope;
    evert_stream *s = NULL;
    evert_scope_enter(&scope, milliseconds(arguments[1]));
    int rc = evert_connect(&s, arguments[0]);
    say("connect", evert_scope_leave(&scope, rc));
    evert_abort(s);
    return 0;
}

static int connected(evert_stream **ret, const char *address)
{
    int rc = evert_connect(ret, address);
    say("connect", rc);
    return rc;
}

/* Writes so many bytes, and says what the first failure was, and whether it comes again. */
static int write_much(void)
{
    static char piece[8192];
    evert_scope scope;
    evert_stream *s;
    long long left = atoll(arguments[1]);
    int rc = connected(&s, arguments[0]);
    if (rc < 0)
        return rc;
    memset(piece, 'w', sizeof(piece));
    evert_scope_enter(&scope, milliseconds(arguments[2]));
    while (rc == 0 && left > 0) {
        rc = evert_write(s, piece, sizeof(piece));
        left -= (long long)sizeof(piece);
        if (rc == 0)
            rc = evert_sleep(0); /* so that it is sent, and its failure is seen */
    }
    if (rc == 0)
        rc = evert_flush(s);
    rc = evert_scope_leave(&scope, rc);
    say("write", rc);
    if (rc == 0)
        return say("close", evert_close(s));
    evert_scope_enter(&scope, milliseconds("1000"));
    rc = evert_write(s, "x", 1);
    say("again", evert_scope_leave(&scope, rc));
    evert_abort(s);
    return 0;
}

/* Reads to the end or an error, and says how much came before it. */
static int read_all(void)
{
    evert_scope scope;
    evert_stream *s;
    evert_bytes bytes;
    size_t came = 0;
    ssize_t rc = connected(&s, arguments[0]);
    if (rc < 0)
        return (int)rc;
    evert_scope_enter(&scope, milliseconds(arguments[1]));
    while ((rc = evert_read(s, &bytes, 65536)) > 0)
        came += bytes.size;
    rc = evert_scope_leave(&scope, (int)rc);
    printf("came %zu\n", came);
    say("read", (int)rc);
    if (rc != -ETIMEDOUT)
        say("again", (int)evert_read(s, &bytes, 1));
    evert_abort(s);
    return 0;
}

struct ticker {
    evert_handle timer;
    int left;
};

/* Says so each ten milliseconds, and with it the time, in milliseconds. */
static void tick(void *arg)
{
    struct ticker *t = arg;
    printf("tick %lld\n", (long long)(evert_now() / EVERT_MILLISECOND));
    (void)fflush(stdout);
    if (--t->left > 0)
        (void)evert_loop_call_at(evert_loop_current(), &t->timer,
                                 evert_after(10 * EVERT_MILLISECOND), tick, t);
}

static int ticks(void)
{
    struct ticker t = {.left = atoi(arguments[0])};
    int rc = 0;
    evert_loop *loop = evert_loop_current();
    bool own = loop == NULL;
    if (own)
        rc = evert_loop_new(&loop);
    if (rc == 0)
        rc = evert_loop_call_soon(loop, &t.timer, tick, &t);
    while (rc == 0 && t.left > 0)
        rc = own ? evert_loop_turn(loop, EVERT_NEVER) : evert_sleep(EVERT_MILLISECOND);
    if (own)
        evert_loop_free(loop);
    return say("ticks", rc);
}

static int sleep_a_little(void *unused)
{
    (void)unused;
    return evert_sleep(100 * EVERT_MILLISECOND);
}

/* Starts tasks with stacks of so many bytes, until one cannot be; those that could end well, and
 * then it can be again. */
static int spawn_many(void)
{
    evert_scope scope;
    evert_spawn_options options = evert_spawn_defaults();
    int started = 0, rc = 0;
    options.stack = (size_t)atoi(arguments[1]);
    evert_scope_enter(&scope, EVERT_NEVER);
    while (rc == 0 && started < atoi(arguments[0])) {
        rc = evert_spawn_with(&scope, &options, sleep_a_little, NULL);
        started += rc == 0;
    }
    printf("started %d\n", started);
    say("spawn", rc);
    say("leave", evert_scope_leave(&scope, 0));
    evert_scope_enter(&scope, EVERT_NEVER);
    rc = evert_spawn(&scope, sleep_a_little, NULL);
    return say("again", evert_scope_leave(&scope, rc));
}

/* Looks at the wall clock twice, and says whether years lie between. */
static int look_at_the_clock(void)
{
    time_t first = time(NULL), second = time(NULL);
    printf("clock %s\n", llabs((long long)second - first) > 100000000 ? "leaps" : "goes");
    return 0;
}

static int act(void *name)
{
    static const struct {
        const char *name;
        int (*act)(void);
        int arguments;
    } acts[] = {{"connect", connect_only, 2}, {"write", write_much, 3},
                {"read", read_all, 2},        {"ticks", ticks, 1},
                {"spawn", spawn_many, 2},     {"clock", look_at_the_clock, 0}};
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        if (strcmp(acts[i].name, name) == 0 && acts[i].arguments == argument_count)
            return acts[i].act();
    }
    return -EINVAL;
}

int main(int count, char **values)
{
    if (count < 3)
        return 2;
    arguments = values + 3;
    argument_count = count - 3;
    int rc = strcmp(values[1], "task") == 0 ? evert_run(act, values[2]) : act(values[2]);
    return rc < 0 ? 1 : 0;
}
