/* SPDX-License-Identifier: MIT */
/* Callbacks: protocols and factories on both sides, in a loop that the program runs itself. */
#include "scenarios.h"

#include <stdio.h>

/* A program: it ends when all its talkers have come to their end. */
struct program {
    evert_loop *loop;
    int waiting, rc;
};

static void note_end(struct program *program, int rc)
{
    program->rc = first_error(program->rc, rc);
    if (--program->waiting == 0)
        evert_loop_stop(program->loop);
}

/* ---- The server: sends back what comes, as fast as it is taken ---- */

static unsigned servers_made, servers_lost, server_failures;

static int echo_made(evert_protocol *protocol)
{
    servers_made++;
    evert_transport_set_close_limit(protocol->transport, CLOSE_LIMIT);
    return 0;
}

static int echo_data(evert_protocol *protocol, evert_bytes data)
{
    return evert_transport_put(protocol->transport, data);
}

static int echo_end(evert_protocol *protocol)
{
    evert_transport_write_eof(protocol->transport);
    return EVERT_KEEP_OPEN; /* both have ended, so it is closed all the same */
}

static void echo_lost(evert_protocol *protocol, int reason)
{
    CHECK(protocol->transport == NULL);
    servers_lost++;
    server_failures += reason < 0;
}

static void echo_pause(evert_protocol *protocol)
{
    evert_transport_pause_reading(protocol->transport);
}

static void echo_resume(evert_protocol *protocol)
{
    evert_transport_resume_reading(protocol->transport);
}

static const evert_protocol_ops echo_ops = {
    .connection_made = echo_made,
    .data_received = echo_data,
    .eof_received = echo_end,
    .connection_lost = echo_lost,
    .pause_writing = echo_pause,
    .resume_writing = echo_resume,
};

/* Counts a connection that is turned away. */
static evert_protocol *build_echo(evert_factory *factory)
{
    evert_protocol *protocol = evert_build_protocol(factory);
    server_failures += protocol == NULL;
    return protocol;
}

/* ---- The client: says a flow, and hears it ---- */

struct talker {
    evert_protocol protocol;
    struct program *program;
    struct flow flow;
    bool made, full, rests;
    evert_handle go_on;
};

static void say(struct talker *t)
{
    evert_transport *transport = t->protocol.transport;
    while (!t->full && t->flow.offered < t->flow.size) {
        if (evert_transport_put(transport, flow_next(&t->flow, 5000)) < 0)
            return; /* the connection is being lost */
    }
    if (t->flow.offered == t->flow.size && !t->flow.sent_all) {
        t->flow.sent_all = true;
        evert_transport_write_eof(transport);
    }
}

static int talker_made(evert_protocol *protocol)
{
    struct talker *t = (struct talker *)protocol;
    CHECK(!t->made && protocol->transport != NULL);
    t->made = true;
    evert_transport_set_close_limit(protocol->transport, CLOSE_LIMIT);
    evert_transport_set_write_limits(protocol->transport, 20000, 5000);
    CHECK(evert_transport_peer(protocol->transport) != NULL);
    say(t);
    return 0;
}

static void end_rest(void *arg)
{
    struct talker *t = arg;
    t->rests = false;
    evert_transport_resume_reading(t->protocol.transport);
}

/* Rests after the first bytes, so that the other side has to wait for it. */
static int talker_data(evert_protocol *protocol, evert_bytes data)
{
    struct talker *t = (struct talker *)protocol;
    CHECK(!t->rests);
    bool first = t->flow.arrived == 0;
    flow_arrived(&t->flow, data);
    if (!first)
        return 0;
    t->rests = true;
    evert_transport_pause_reading(protocol->transport);
    return evert_loop_call_at(t->program->loop, &t->go_on, evert_after(EVERT_MILLISECOND), end_rest,
                              t);
}

static int talker_end(evert_protocol *protocol)
{
    ((struct talker *)protocol)->flow.end_arrived = true;
    return 0;
}

static void talker_lost(evert_protocol *protocol, int reason)
{
    struct talker *t = (struct talker *)protocol;
    CHECK(protocol->transport == NULL);
    evert_handle_cancel(&t->go_on);
    if (reason == 0 && server_failures == 0)
        flow_over(&t->flow);
    note_end(t->program, reason);
}

static void talker_pause(evert_protocol *protocol)
{
    struct talker *t = (struct talker *)protocol;
    CHECK(!t->full);
    t->full = true;
}

static void talker_resume(evert_protocol *protocol)
{
    struct talker *t = (struct talker *)protocol;
    CHECK(t->full);
    t->full = false;
    say(t);
}

static const evert_protocol_ops talker_ops = {
    .connection_made = talker_made,
    .data_received = talker_data,
    .eof_received = talker_end,
    .connection_lost = talker_lost,
    .pause_writing = talker_pause,
    .resume_writing = talker_resume,
};

/* The end of connecting: if that failed the protocol hears nothing. */
static evert_result connected(evert_result *in, void *arg)
{
    struct talker *t = arg;
    if (in->error < 0) {
        CHECK(!t->made);
        note_end(t->program, in->error);
    }
    return evert_ok(NULL);
}

static int start_talker(struct talker *t, struct program *program, const char *address, size_t size)
{
    evert_deferred *d;
    *t = (struct talker){.protocol.ops = &talker_ops, .program = program, .flow.size = size};
    int rc = evert_connect_protocol(&d, program->loop, address, &t->protocol);
    if (rc < 0)
        return rc;
    rc = evert_deferred_timeout(d, program->loop, evert_after(60 * EVERT_SECOND));
    if (rc == 0)
        rc = evert_deferred_add_both(d, connected, t);
    if (rc < 0) {
        evert_deferred_free(d); /* which cancels it */
        return rc;
    }
    program->waiting++;
    evert_deferred_release(d);
    return 0;
}

/* ---- The program ---- */

static int run_talkers(struct program *program, const char *address)
{
    static struct talker talkers[3];
    int rc = start_talker(&talkers[0], program, address, 100);
    if (rc == 0)
        rc = start_talker(&talkers[1], program, address, 30000);
    if (rc == 0)
        rc = start_talker(&talkers[2], program, address, 400000);
    program->rc = first_error(program->rc, rc);
    return program->waiting > 0 ? evert_loop_run(program->loop) : rc;
}

static int callbacks_run(void)
{
    static evert_factory factory = {build_echo, &echo_ops};
    struct program program = {0};
    evert_listener *listener = NULL;
    int rc = evert_loop_new(&program.loop);
    if (rc < 0)
        return rc;
    rc = evert_listen_protocol(&listener, program.loop, ANY_PORT, &factory);
    if (rc == 0)
        rc = run_talkers(&program, evert_listener_address(listener));
    evert_listener_close(listener);
    evert_loop_free(program.loop);
    CHECK(servers_made == servers_lost);
    return first_error(rc, program.rc);
}

const struct scenario callbacks_scenario = {.name = "callbacks", .run = callbacks_run};

/* ---- Producers: one is pushed, one is pulled; a stream reads them slowly ---- */

struct source {
    evert_protocol protocol;
    evert_producer producer;
    struct flow *flow;
    bool paused, stopped;
};

/* The flow that the next connection is for. */
static struct flow *next_flow;

static struct source *source_of(evert_producer *producer)
{
    return (struct source *)(void *)((char *)producer - offsetof(struct source, producer));
}

static void produce(struct source *source, size_t pieces)
{
    evert_transport *transport = source->protocol.transport;
    struct flow *flow = source->flow;
    while (pieces-- > 0 && !source->paused && !source->stopped && flow->offered < flow->size) {
        if (evert_transport_put(transport, flow_next(flow, 7000)) < 0)
            return;
    }
    if (flow->offered == flow->size && !source->stopped && !flow->sent_all) {
        flow->sent_all = true;
        evert_transport_unregister_producer(transport);
    }
}

static void pushed_resume(evert_producer *producer)
{
    source_of(producer)->paused = false;
    produce(source_of(producer), SIZE_MAX);
}

static void pushed_pause(evert_producer *producer)
{
    source_of(producer)->paused = true;
}

static void pulled_resume(evert_producer *producer)
{
    produce(source_of(producer), 1);
}

static void stop(evert_producer *producer)
{
    source_of(producer)->stopped = true;
}

static const evert_producer_ops pushed_ops = {pushed_resume, pushed_pause, stop};
static const evert_producer_ops pulled_ops = {pulled_resume, NULL, stop};

/* Closes at once: that waits for the producer. */
static int begin_to_produce(evert_protocol *protocol, const evert_producer_ops *ops)
{
    struct source *source = (struct source *)protocol;
    source->flow = next_flow;
    source->producer.ops = ops;
    evert_transport_set_close_limit(protocol->transport, 10 * EVERT_SECOND);
    int rc = evert_transport_register_producer(protocol->transport, &source->producer);
    CHECK(rc == 0);
    if (ops == &pushed_ops)
        produce(source, SIZE_MAX);
    evert_transport_lose_connection(protocol->transport);
    return rc;
}

static int made_pushed(evert_protocol *protocol)
{
    return begin_to_produce(protocol, &pushed_ops);
}

static int made_pulled(evert_protocol *protocol)
{
    return begin_to_produce(protocol, &pulled_ops);
}

static void source_lost(evert_protocol *protocol, int reason)
{
    struct source *source = (struct source *)protocol;
    if (reason < 0)
        source->flow->sent_all = false;
    CHECK(source->stopped || source->flow->offered == source->flow->size);
}

static const evert_protocol_ops pushed_source = {
    .size = sizeof(struct source), .connection_made = made_pushed, .connection_lost = source_lost};
static const evert_protocol_ops pulled_source = {
    .size = sizeof(struct source), .connection_made = made_pulled, .connection_lost = source_lost};

static int hear(const char *address, struct flow *flow)
{
    evert_stream *s;
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(s, CLOSE_LIMIT);
    rc = evert_sleep(2 * EVERT_MILLISECOND);
    if (rc == 0)
        rc = flow_read(flow, s, 20000);
    return first_error(rc, evert_close(s));
}

static int hear_producer(evert_factory *factory, struct flow *flow)
{
    evert_listener *listener;
    int rc = evert_listen_protocol(&listener, NULL, ANY_PORT, factory);
    if (rc < 0)
        return rc;
    next_flow = flow;
    rc = hear(evert_listener_address(listener), flow);
    evert_listener_close(listener);
    return rc;
}

static evert_factory pushed_factory = {evert_build_protocol, &pushed_source};
static evert_factory pulled_factory = {evert_build_protocol, &pulled_source};
static struct flow pushed_flow = {.size = 300000}, pulled_flow = {.size = 100000};

static int run_producers(void *unused)
{
    (void)unused;
    int rc = hear_producer(&pushed_factory, &pushed_flow);
    return rc < 0 ? rc : hear_producer(&pulled_factory, &pulled_flow);
}

static int producers_run(void)
{
    int rc = evert_run(run_producers, NULL);
    flow_over(&pushed_flow); /* only now all is lost that can be */
    flow_over(&pulled_flow);
    return rc;
}

const struct scenario producers_scenario = {.name = "producers", .run = producers_run};
