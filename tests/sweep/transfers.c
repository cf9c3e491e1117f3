/* SPDX-License-Identifier: MIT */
/* Bytes that the program does not look at: files that are sent, and streams that are forwarded. */
#include "scenarios.h"

/* ---- Files ---- */

enum { FILE_SIZE = 500000, SMALL_PIECE = 5000 };

/* A file with the bytes of a flow, that has no name. */
static int make_file(void)
{
    struct flow flow = {.size = FILE_SIZE};
    char path[] = "/tmp/evert-sweep-XXXXXX";
    int file = mkostemp(path, O_CLOEXEC);
    CHECK(file >= 0);
    unlink(path);
    while (flow.offered < flow.size) {
        evert_bytes bytes = flow_next(&flow, FILE_SIZE);
        CHECK(write(file, bytes.data, bytes.size) == (ssize_t)bytes.size);
    }
    return file;
}

struct files {
    int file, proc;
    char words[64]; /* of the file of /proc */
    size_t size;
    bool sent_all; /* by the server; it may also have turned the client away */
};

/* In pieces small and large, and behind them a file that only a worker can read. */
static int send_files(evert_stream *s, void *arg)
{
    struct files *files = arg;
    evert_set_close_limit(s, CLOSE_LIMIT);
    evert_send_file(s, files->file, 0, SMALL_PIECE);
    evert_send_file(s, files->file, SMALL_PIECE, FILE_SIZE / 2);
    evert_send_file(s, files->file, SMALL_PIECE + FILE_SIZE / 2, EVERT_TO_END);
    evert_send_file(s, files->proc, 0, EVERT_TO_END);
    int rc = evert_flush(s);
    files->sent_all = rc == 0;
    return rc;
}

static int hear_files(const char *address, void *arg)
{
    struct files *files = arg;
    struct flow flow = {.size = FILE_SIZE, .offered = FILE_SIZE};
    evert_stream *s;
    evert_bytes bytes;
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(s, CLOSE_LIMIT);
    while (rc >= 0 && flow.arrived < FILE_SIZE) {
        rc = (int)evert_read(s, &bytes, FILE_SIZE - flow.arrived);
        if (rc > 0)
            flow_arrived(&flow, bytes);
        if (rc == 0)
            rc = EVERT_EOF;
    }
    if (rc >= 0)
        rc = evert_read_exactly(s, &bytes, files->size);
    if (rc == 0)
        CHECK(memcmp(bytes.data, files->words, files->size) == 0);
    CHECK(!files->sent_all || (rc != EVERT_EOF && rc != EVERT_EINCOMPLETE));
    return first_error(rc, evert_close(s));
}

static int run_files(void *arg)
{
    return with_server(ANY_PORT, send_files, arg, hear_files, arg);
}

static int files_run(void)
{
    struct files files = {.file = make_file(),
                          .proc = open("/proc/sys/kernel/ostype", O_RDONLY | O_CLOEXEC)};
    ssize_t size = pread(files.proc, files.words, sizeof(files.words), 0);
    CHECK(size > 0);
    files.size = (size_t)size;
    int rc = evert_run(run_files, &files);
    close(files.file);
    close(files.proc);
    return rc;
}

const struct scenario transfers_scenario = {.name = "transfers", .run = files_run};

/* ---- A relay ---- */

enum { RELAYED = 700000 };

struct relayed {
    const char *server; /* the echo behind the relay */
    unsigned failures;  /* of the echo, and of the relay */
    struct flow flow;
    evert_stream *stream;
};

static int relay(evert_stream *client, void *arg)
{
    struct relayed *r = arg;
    evert_stream *server;
    evert_set_close_limit(client, CLOSE_LIMIT);
    int rc = evert_connect(&server, r->server);
    if (rc == 0) {
        evert_set_close_limit(server, CLOSE_LIMIT);
        rc = evert_relay(client, server);
        rc = first_error(rc, evert_close(server));
    }
    if (rc < 0)
        r->failures++;
    return rc;
}

static int say_relayed(void *arg)
{
    struct relayed *r = arg;
    return flow_write(&r->flow, r->stream, 100000);
}

static int talk_over_the_relay(const char *address, void *arg)
{
    struct relayed *r = arg;
    evert_scope scope;
    int rc = evert_connect(&r->stream, address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(r->stream, CLOSE_LIMIT);
    evert_scope_enter(&scope, EVERT_NEVER);
    rc = evert_spawn(&scope, say_relayed, r);
    if (rc == 0)
        rc = flow_read(&r->flow, r->stream, 65536);
    rc = evert_scope_leave(&scope, rc);
    rc = first_error(rc, evert_close(r->stream));
    if (r->failures == 0 && r->flow.arrived > 0)
        flow_over(&r->flow);
    return rc;
}

static int with_relay(const char *server, void *arg)
{
    struct relayed *r = arg;
    r->server = server;
    return with_server(ANY_PORT, relay, r, talk_over_the_relay, r);
}

static int run_relay(void *arg)
{
    struct relayed *r = arg;
    return with_server(ANY_PORT, echo, &r->failures, with_relay, r);
}

static int relay_run(void)
{
    struct relayed relayed = {.flow = {.size = RELAYED}};
    return evert_run(run_relay, &relayed);
}

const struct scenario relay_scenario = {.name = "relay", .run = relay_run};
