/* SPDX-License-Identifier: MIT */
/* Coroutines and streams: a server, and its clients in the same loop. */
#include "scenarios.h"

#include <stdio.h>

/* ---- Talks: a client says a flow, and hears the same back ---- */

/* How often the echo has failed. */
static unsigned failures;

struct talk {
    const char *address;
    struct flow flow;
    size_t piece, most; /* how much is written, and read, at once */
    evert_time rest;    /* between reads */
    evert_stream *stream;
};

static int say(void *arg)
{
    struct talk *t = arg;
    return flow_write(&t->flow, t->stream, t->piece);
}

static int say_and_hear(struct talk *t)
{
    evert_scope scope;
    evert_scope_enter(&scope, EVERT_NEVER);
    int rc = evert_spawn(&scope, say, t);
    if (rc == 0 && t->rest > 0)
        rc = evert_sleep(t->rest); /* so that all that can be is under way */
    if (rc == 0)
        rc = flow_read(&t->flow, t->stream, t->most);
    return evert_scope_leave(&scope, rc);
}

static int talk(void *arg)
{
    struct talk *t = arg;
    int rc = evert_connect(&t->stream, t->address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(t->stream, CLOSE_LIMIT);
    rc = say_and_hear(t);
    rc = first_error(rc, evert_close(t->stream));
    if (failures == 0)
        flow_over(&t->flow);
    return rc;
}

static int three_talks(const char *address, void *unused)
{
    struct talk talks[] = {
        {address, {.size = 30}, 7, 4, 0, NULL},
        {address, {.size = 20000}, 3000, 5000, 0, NULL},
        {address, {.size = 100000}, 100000, 65536, 0, NULL},
    };
    evert_scope scope;
    int rc = 0;
    (void)unused;
    evert_scope_enter(&scope, EVERT_NEVER);
    for (size_t i = 0; i < 3 && rc == 0; i++)
        rc = evert_spawn(&scope, talk, &talks[i]);
    return evert_scope_leave(&scope, rc);
}

static int run_echo(void *unused)
{
    (void)unused;
    return with_server(ANY_PORT, echo, &failures, three_talks, NULL);
}

static int echo_run(void)
{
    return evert_run(run_echo, NULL);
}

const struct scenario echo_scenario = {.name = "echo", .run = echo_run};

/* ---- A peer that reads late ---- */

static int large_talks(const char *address, void *unused)
{
    struct talk at_once = {address, {.size = 700000}, 250000, 100000, 5 * EVERT_MILLISECOND, NULL};
    struct talk in_pieces = {address, {.size = 300000}, 1000, 65536, EVERT_MILLISECOND, NULL};
    (void)unused;
    int rc = talk(&at_once);
    return rc < 0 ? rc : talk(&in_pieces);
}

static int run_large(void *unused)
{
    (void)unused;
    return with_server(ANY_PORT, echo, &failures, large_talks, NULL);
}

static int large_run(void)
{
    return evert_run(run_large, NULL);
}

const struct scenario large_scenario = {.name = "large", .run = large_run};

/* ---- Each way to read ---- */

enum { LINES = 5, BLOCK = 9000 };

/* Writes lines, a part ended by a blank, and a counted block. */
static int tell(evert_stream *s, void *unused)
{
    struct flow block = {.size = BLOCK};
    (void)unused;
    evert_set_close_limit(s, CLOSE_LIMIT);
    for (int i = 0; i < LINES; i++)
        evert_printf(s, "line %d%*s\r\n", i, i * 100, "");
    evert_puts(s, "word ");
    evert_put(s, flow_next(&block, BLOCK));
    return evert_flush(s);
}

static int hear_lines(evert_stream *s)
{
    evert_bytes line;
    char begin[16], buffer[600];
    int rc = 0;
    for (int i = 0; i < LINES && rc >= 0; i++) {
        size_t size = (size_t)snprintf(begin, sizeof(begin), "line %d", i);
        if (i % 2 == 0) {
            rc = evert_read_line(s, &line);
        } else {
            rc = (int)evert_read_line_into(s, buffer, sizeof(buffer));
            line = (evert_bytes){buffer, (size_t)rc};
        }
        if (rc >= 0)
            CHECK(line.size == size + (size_t)i * 100 && memcmp(line.data, begin, size) == 0);
    }
    return rc < 0 ? rc : 0;
}

static int hear_the_rest(evert_stream *s)
{
    struct flow block = {.size = BLOCK, .offered = BLOCK};
    evert_bytes bytes;
    char buffer[BLOCK];
    int rc = evert_read_until(s, &bytes, " ");
    if (rc < 0)
        return rc;
    CHECK(evert_bytes_equal(bytes, evert_bytes_of("word")));
    rc = evert_read_exactly(s, &bytes, BLOCK / 2);
    if (rc < 0)
        return rc;
    flow_arrived(&block, bytes);
    rc = (int)evert_read_exactly_into(s, buffer, BLOCK - BLOCK / 2);
    if (rc < 0)
        return rc;
    flow_arrived(&block, (evert_bytes){buffer, (size_t)rc});
    CHECK(block.arrived == BLOCK);
    rc = (int)evert_read(s, &bytes, 1);
    CHECK(rc <= 0);
    return rc;
}

static int hear(const char *address, void *unused)
{
    evert_stream *s;
    (void)unused;
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(s, CLOSE_LIMIT);
    rc = hear_lines(s);
    if (rc == 0)
        rc = hear_the_rest(s);
    return first_error(rc, evert_close(s));
}

static int run_reading(void *unused)
{
    (void)unused;
    return with_server(ANY_PORT, tell, NULL, hear, NULL);
}

static int reading_run(void)
{
    return evert_run(run_reading, NULL);
}

const struct scenario reading_scenario = {.name = "reading", .run = reading_run};

/* ---- Unix sockets ---- */

static int unix_talks(const char *address, void *unused)
{
    struct talk small = {address, {.size = 20000}, 300, 70, 0, NULL};
    struct talk large = {address, {.size = 400000}, 200000, 65536, EVERT_MILLISECOND, NULL};
    (void)unused;
    int rc = talk(&small);
    return rc < 0 ? rc : talk(&large);
}

static int run_unix(void *address)
{
    return with_server(address, echo, &failures, unix_talks, NULL);
}

static int abstract_run(void)
{
    char address[ADDRESS_SIZE];
    snprintf(address, sizeof(address), "unix://@evert-sweep-%d", (int)getpid());
    return evert_run(run_unix, address);
}

const struct scenario abstract_scenario = {
    .name = "abstract", .run = abstract_run, .is_unix = true};

/* A file that a server left which is no more: a socket that was bound, and closed. */
static bool leave_stale(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    bool done = fd >= 0 && bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0;
    close(fd);
    return done;
}

static int path_run(void)
{
    char folder[] = "/tmp/evert-sweep-XXXXXX", path[64], address[ADDRESS_SIZE];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/socket", folder);
    snprintf(address, sizeof(address), "unix://%s", path);
    CHECK(leave_stale(path));
    int rc = evert_run(run_unix, address);
    (void)unlink(path); /* the stale one may be there still */
    CHECK(rmdir(folder) == 0);
    return rc;
}

const struct scenario path_scenario = {
    .name = "path", .run = path_run, .may_be = -EADDRINUSE, .is_unix = true};
