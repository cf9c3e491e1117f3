/* SPDX-License-Identifier: MIT */
#include "scenario.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_bool broken;

void check_at(bool holds, const char *words, const char *file, int line)
{
    if (holds)
        return;
    atomic_store(&broken, true);
    printf("%s:%d: does not hold: %s\n", file, line, words);
    fflush(stdout);
}

bool all_checks_held(void)
{
    return !atomic_load(&broken);
}

/* ---- Flows ---- */

/* As many different bytes in a row as there are, and no power of two, so that no shift fits. */
enum { PERIOD = 251, MOST_AT_ONCE = 256 * 1024 };

static const char *pattern(void)
{
    static char bytes[MOST_AT_ONCE + PERIOD];
    static atomic_bool made;
    if (!atomic_load(&made)) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)(i % PERIOD);
        atomic_store(&made, true);
    }
    return bytes;
}

evert_bytes flow_next(struct flow *flow, size_t most)
{
    size_t left = flow->size - flow->offered;
    size_t size = most < left ? most : left;
    if (size > MOST_AT_ONCE)
        size = MOST_AT_ONCE;
    evert_bytes bytes = {pattern() + flow->offered % PERIOD, size};
    flow->offered += size;
    return bytes;
}

void flow_arrived(struct flow *flow, evert_bytes bytes)
{
    const char *wanted = pattern();
    CHECK(bytes.size <= flow->offered - flow->arrived);
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] == wanted[(flow->arrived + i) % PERIOD])
            continue;
        printf("byte %zu is %d, not %d\n", flow->arrived + i, bytes.data[i],
               wanted[(flow->arrived + i) % PERIOD]);
        check_at(false, "the bytes are the right ones", __FILE__, __LINE__);
        break;
    }
    flow->arrived += bytes.size;
}

void flow_over(const struct flow *flow)
{
    if (flow->sent_all && flow->end_arrived && flow->arrived != flow->size)
        printf("%zu bytes of %zu arrived\n", flow->arrived, flow->size);
    CHECK(!flow->sent_all || !flow->end_arrived || flow->arrived == flow->size);
}

int flow_write(struct flow *flow, evert_stream *stream, size_t piece)
{
    int rc = 0;
    while (rc == 0 && flow->offered < flow->size)
        rc = evert_put(stream, flow_next(flow, piece));
    if (rc == 0)
        rc = evert_write_eof(stream);
    flow->sent_all = rc == 0;
    return rc;
}

int flow_read(struct flow *flow, evert_stream *stream, size_t most)
{
    int without_memory = 0;
    for (;;) {
        evert_bytes bytes;
        ssize_t count = evert_read(stream, &bytes, most);
        if (count == -ENOMEM && ++without_memory < 4)
            continue; /* it has lost nothing */
        if (count <= 0) {
            flow->end_arrived = count == 0;
            return (int)count;
        }
        CHECK((size_t)count == bytes.size && bytes.size <= most);
        flow_arrived(flow, bytes);
    }
}

/* ---- Servers ---- */

struct server {
    evert_listener *listener;
    evert_handler *handler;
    void *arg;
};

static int serve(void *arg)
{
    struct server *server = arg;
    return evert_serve(server->listener, server->handler, server->arg);
}

int with_server(const char *address, evert_handler *handler, void *arg,
                int (*body)(const char *address, void *arg), void *body_arg)
{
    struct server server = {.handler = handler, .arg = arg};
    char real_address[ADDRESS_SIZE];
    evert_scope scope;
    int rc = evert_listen(&server.listener, address);
    if (rc < 0)
        return rc;
    snprintf(real_address, sizeof(real_address), "%s", evert_listener_address(server.listener));
    evert_scope_enter(&scope, EVERT_NEVER);
    rc = evert_spawn(&scope, serve, &server);
    if (rc < 0)
        evert_listener_close(server.listener);
    else
        rc = body(real_address, body_arg);
    if (rc == 0)
        evert_scope_cancel(&scope);
    return evert_scope_leave(&scope, rc);
}

int echo(evert_stream *stream, void *failures)
{
    evert_bytes bytes;
    ssize_t count;
    evert_set_close_limit(stream, CLOSE_LIMIT);
    while ((count = evert_read(stream, &bytes, 65536)) > 0)
        evert_put(stream, bytes); /* a failure comes back from the read */
    int rc = count < 0 ? (int)count : evert_flush(stream);
    if (rc < 0)
        ++*(unsigned *)failures;
    return rc;
}
