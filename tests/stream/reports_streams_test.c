/* SPDX-License-Identifier: MIT */
/*
 * Field reports about streams, on both faces: much that is written at once (BR-001), lines that are
 * too long (BR-002), relays (BR-003), writers whose client has gone (BR-004), peers that flood
 * (BR-005).
 */
#include <pthread.h>
#include <stdatomic.h>

#include <evert/stream/line_receiver.h>

#include "reports.h"

/* ---- BR-001: many buffers, more than the kernel takes at once ---- */

enum { BUFFERS = 200, BUFFER = 8192, MUCH = BUFFERS * BUFFER + 6 };

struct much {
    char *data;
    evert_bytes pieces[BUFFERS + 1];
};

static void make_much(struct much *m)
{
    m->data = malloc(MUCH);
    assert_non_null(m->data);
    for (int i = 0; i < BUFFERS; i++) {
        m->pieces[i] = (evert_bytes){m->data + (size_t)i * BUFFER, BUFFER};
        memset(m->data + (size_t)i * BUFFER, i % 251, BUFFER);
    }
    memcpy(m->data + (size_t)BUFFERS * BUFFER, "FINISH", 6);
    m->pieces[BUFFERS] = (evert_bytes){m->data + (size_t)BUFFERS * BUFFER, 6};
}

/* The peer begins to read only now; what it gets is all of it, and then the end. */
static void check_much(const struct much *m, int peer)
{
    char *got = malloc(MUCH);
    assert_non_null(got);
    check_count(peer_receive(peer, got, MUCH), MUCH);
    assert_memory_equal(got, m->data, MUCH);
    peer_hears_end(peer);
    free(got);
}

/* The same with the send buffer of the report. */
static struct ends make_sending_ends(enum kind kind, bool small)
{
    struct ends e = make_ends(kind);
    if (small)
        set_size(e.s->fd.number, SO_SNDBUF, 4096);
    return e;
}

struct writing_much {
    const struct much *much;
    evert_stream *s;
};

/* A stream has no call for several buffers: what is written in a row is sent as if it had. */
static int write_much_and_close(void *arg)
{
    const struct writing_much *w = arg;
    for (int i = 0; i <= BUFFERS; i++)
        check_rc(evert_put(w->s, w->much->pieces[i]), 0);
    check_rc(evert_flush(w->s), 0);
    assert_int_equal(w->s->out.queued, 0);
    return evert_close(w->s);
}

/* BR-001 */
static void test_much_in_many_buffers_is_sent_whole_by_a_stream(void **state)
{
    struct much much;
    (void)state;
    make_much(&much);
    for (int i = 0; i < 4; i++) {
        struct ends e = make_sending_ends(i % 2 ? UNIX : TCP, i >= 2);
        struct writing_much w = {&much, e.s};
        evert_scope scope;
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, write_much_and_close, &w), 0);
        turns(10);
        check_much(&much, e.peer);
        close(e.peer);
        check_rc(evert_scope_leave(&scope, 0), 0);
    }
    free(much.data);
}

/* Draining, as a protocol sees it: writing may go on. */
static void close_when_drained(struct hearer *h)
{
    assert_in_range(evert_transport_unsent(h->protocol.transport), 0, EVERT__LOW_WATER);
    evert_transport_lose_connection(h->protocol.transport);
}

/* BR-001 */
static void test_much_in_one_write_of_many_buffers_is_sent_whole_by_a_transport(void **state)
{
    struct much much;
    (void)state;
    make_much(&much);
    for (int i = 0; i < 4; i++) {
        struct ends e = make_sending_ends(i % 2 ? UNIX : TCP, i >= 2);
        struct hearer h = new_hearer();
        evert_transport *t = hear(&h, e.s);
        h.go_on = close_when_drained;
        check_rc(evert_transport_writev(t, much.pieces, BUFFERS + 1), 0);
        if (i >= 2) {
            assert_int_equal(h.paused, 1);
            turns(10);
            assert_int_equal(h.resumed, 0); /* the peer has not read yet */
        }
        if (h.paused == 0)
            evert_transport_lose_connection(t); /* the kernel took it at once */
        check_much(&much, e.peer);
        close(e.peer);
        check_rc(hear_loss(&h), 0);
        assert_int_equal(h.resumed, h.paused);
    }
    free(much.data);
}

/* ---- BR-002: a line that is too long ---- */

enum { LIMIT = 64, ENDLESS = 10 * 1024 * 1024 };

/* BR-002: as in the report, but that lines end at CR LF here. The recovery is the next read. */
static void test_after_a_line_that_is_too_long_a_stream_reads_the_next(void **state)
{
    char line[100];
    evert_bytes bytes;
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        evert_set_line_limit(e.s, LIMIT);
        memset(line, 'A', sizeof(line));
        assert_true(peer_send(e.peer, line, sizeof(line)));
        peer_say(e.peer, "\r\nok\r\n");
        assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
        check_rc(evert_read_line(e.s, &bytes), EVERT_ELIMIT);
        check_rc(evert_read_line(e.s, &bytes), 0);
        check_bytes(bytes, "ok");
        check_rc(evert_read_line(e.s, &bytes), EVERT_EOF);
        drop_ends(e);
    }
}

/* Receives lines, and notes what came. */
struct lines {
    evert_line_receiver receiver;
    bool hold; /* pauses at a line that is too long */
    int made, lines, exceeded, lost, reason;
    char last[LIMIT + 1];
};

static int lines_made(evert_line_receiver *receiver)
{
    ((struct lines *)receiver)->made++;
    return 0;
}

static int lines_line(evert_line_receiver *receiver, evert_bytes line)
{
    struct lines *l = (struct lines *)receiver;
    assert_in_range(line.size, 0, LIMIT);
    snprintf(l->last, sizeof(l->last), "%.*s", (int)line.size, line.data);
    l->lines++;
    return 0;
}

static int lines_exceeded(evert_line_receiver *receiver)
{
    struct lines *l = (struct lines *)receiver;
    l->exceeded++;
    if (l->hold)
        evert_transport_pause_reading(receiver->protocol.transport);
    return 0;
}

static void lines_lost(evert_line_receiver *receiver, int reason)
{
    struct lines *l = (struct lines *)receiver;
    l->lost++;
    l->reason = reason;
}

static const evert_line_receiver_ops going_on = {
    .size = sizeof(struct lines),
    .line_limit = LIMIT,
    .connection_made = lines_made,
    .line_received = lines_line,
    .line_length_exceeded = lines_exceeded,
    .connection_lost = lines_lost,
};

/* The same without the function that may recover. */
static const evert_line_receiver_ops giving_up = {
    .size = sizeof(struct lines),
    .line_limit = LIMIT,
    .connection_made = lines_made,
    .line_received = lines_line,
    .connection_lost = lines_lost,
};

static void receive_lines(struct lines *l, evert_stream *s, const evert_line_receiver_ops *ops)
{
    memset(l, 0, sizeof(*l));
    evert_line_receiver_init(&l->receiver, ops);
    check_rc(evert_stream_transport(s, &l->receiver.protocol), 0);
    wait_until(l->made == 1);
}

/* BR-002 */
static void test_after_a_line_that_is_too_long_a_protocol_receives_the_next(void **state)
{
    struct lines l;
    char line[100];
    (void)state;
    memset(line, 'A', sizeof(line));
    for (int i = 0; i < 4; i++) {
        struct ends e = make_ends(i % 2 ? UNIX : TCP);
        receive_lines(&l, e.s, i < 2 ? &going_on : &giving_up);
        assert_true(peer_send(e.peer, line, sizeof(line)));
        if (i < 2)
            wait_until(l.exceeded == 1); /* before its end has come */
        (void)peer_send(e.peer, "\r\nok\r\n", 6);
        if (i < 2) {
            wait_until(l.lines == 1);
            assert_string_equal(l.last, "ok");
            assert_int_equal(l.lost, 0);
        } else {
            peer_hears_end(e.peer); /* who says nothing about it loses the connection */
        }
        close(e.peer);
        wait_until(l.lost == 1);
        assert_int_equal(l.lines, i < 2 ? 1 : 0);
        assert_int_equal(l.exceeded, i < 2 ? 1 : 0);
    }
}

/* What a stream or a line receiver may hold of a line: its limit, and one read block. */
static void check_held(const evert_stream *s)
{
    assert_in_range(s->in.capacity, 0, LIMIT + 65536);
}

/* Sends until the kernel takes no more, though others run. How much that was. */
static size_t send_until_held_back(const struct ends *e)
{
    static char block[65536];
    size_t sent = 0;
    memset(block, 'A', sizeof(block));
    for (int refused = 0; refused < 5;) {
        ssize_t count = send(e->peer, block, sizeof(block), MSG_NOSIGNAL);
        assert_true(count > 0 || errno == EAGAIN);
        refused = count > 0 ? 0 : refused + 1;
        sent += count > 0 ? (size_t)count : 0;
        turns(3);
        check_held(e->s);
        assert_in_range(sent, 0, ENDLESS);
    }
    return sent;
}

static void send_all_of_a_line(const struct ends *e, size_t size)
{
    static char block[65536];
    memset(block, 'A', sizeof(block));
    for (; size > sizeof(block); size -= sizeof(block)) {
        assert_true(peer_send(e->peer, block, sizeof(block)));
        check_held(e->s);
    }
    peer_say(e->peer, "\r\nok\r\n");
}

static int read_two_lines(void *arg)
{
    evert_stream *s = arg;
    evert_bytes bytes;
    check_rc(evert_read_line(s, &bytes), 0);
    check_bytes(bytes, "ok");
    check_rc(evert_read_line(s, &bytes), EVERT_EOF);
    return 0;
}

/* BR-002: the second run. Between two reads the peer is held back; then the rest is dropped. */
static void test_a_line_without_end_is_held_back_by_a_stream(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        evert_bytes bytes;
        evert_scope scope;
        evert_set_line_limit(e.s, LIMIT);
        size_t sent = send_until_held_back(&e);
        check_rc(evert_read_line(e.s, &bytes), EVERT_ELIMIT);
        sent += send_until_held_back(&e);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, read_two_lines, e.s), 0);
        send_all_of_a_line(&e, ENDLESS - sent);
        assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
        check_rc(evert_scope_leave(&scope, 0), 0);
        drop_ends(e);
    }
}

/* BR-002: a protocol is called for it, and may hold the peer back there. */
static void test_a_line_without_end_is_held_back_by_a_protocol(void **state)
{
    struct lines l;
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        receive_lines(&l, e.s, &going_on);
        l.hold = true;
        size_t sent = send_until_held_back(&e);
        wait_until(l.exceeded == 1);
        sent += send_until_held_back(&e);
        evert_transport_resume_reading(l.receiver.protocol.transport);
        send_all_of_a_line(&e, ENDLESS - sent);
        wait_until(l.lines == 1);
        assert_string_equal(l.last, "ok");
        assert_int_equal(l.exceeded, 1);
        close(e.peer);
        wait_until(l.lost == 1);
        check_rc(l.reason, 0);
    }
}

/* ---- BR-003: a relay ---- */

enum { REPLY = 1024 * 1024 };

/* The relay stands in the middle of two connections, and the test at the outer ends of both. */
struct middle {
    struct ends client, server;
};

static struct middle make_middle(enum kind kind)
{
    struct middle m = {make_ends(kind), make_ends(kind)};
    return m;
}

/* Evert has no call that relays: here are two tasks, each of which passes on one direction. */
struct direction {
    evert_stream *from, *to;
    size_t count;
};

static int pass_on(void *arg)
{
    struct direction *d = arg;
    evert_bytes bytes;
    ssize_t got;
    while ((got = evert_read(d->from, &bytes, 65536)) > 0) {
        int rc = evert_put(d->to, bytes);
        if (rc < 0)
            return rc;
        d->count += (size_t)got;
    }
    return got < 0 ? (int)got : evert_write_eof(d->to);
}

struct relay {
    struct direction up, down;
    bool done;
    int rc;
};

/* Returns when both directions have ended, or one has failed. */
static int relay_streams(void *arg)
{
    struct relay *r = arg;
    evert_scope scope;
    evert_scope_enter(&scope, EVERT_NEVER);
    int rc = evert_spawn(&scope, pass_on, &r->up);
    if (rc == 0)
        rc = pass_on(&r->down);
    r->rc = evert_scope_leave(&scope, rc);
    for (int i = 0; i < 2; i++) {
        evert_stream *s = i == 0 ? r->up.from : r->up.to;
        if (r->rc < 0)
            evert_abort(s);
        else
            check_rc(evert_close(s), 0);
    }
    r->done = true;
    return 0;
}

/* The same by two protocols, each of which passes on what it hears. */
static struct hearer *other_of(const struct hearer *h)
{
    return h->arg;
}

static int pass_to_other(struct hearer *h, evert_bytes data)
{
    return evert_transport_put(other_of(h)->protocol.transport, data);
}

static void relay_pause(evert_protocol *protocol)
{
    evert_transport_pause_reading(other_of(hearer_of(protocol))->protocol.transport);
}

static void relay_resume(evert_protocol *protocol)
{
    evert_transport_resume_reading(other_of(hearer_of(protocol))->protocol.transport);
}

static int relay_eof(evert_protocol *protocol)
{
    struct hearer *h = hearer_of(protocol);
    h->ended++;
    evert_transport_write_eof(other_of(h)->protocol.transport);
    return EVERT_KEEP_OPEN;
}

static void pass_loss_on(struct hearer *h)
{
    if (h->reason < 0)
        evert_transport_abort_connection(other_of(h)->protocol.transport);
    else
        evert_transport_lose_connection(other_of(h)->protocol.transport);
}

static const evert_protocol_ops relay_ops = {
    .connection_made = hearer_made,
    .data_received = hearer_data,
    .eof_received = relay_eof,
    .connection_lost = hearer_lost,
    .pause_writing = relay_pause,
    .resume_writing = relay_resume,
};

static void relay_transports(struct hearer *both, const struct middle *m)
{
    for (int i = 0; i < 2; i++) {
        both[i] = (struct hearer){.protocol.ops = &relay_ops, .hear = pass_to_other};
        both[i].end = pass_loss_on;
        both[i].arg = &both[!i];
        check_rc(evert_stream_transport(i == 0 ? m->client.s : m->server.s, &both[i].protocol), 0);
    }
    wait_until(both[0].made == 1 && both[1].made == 1);
}

/* Whether the kernel has a TCP socket left with one of these ports that is neither free nor dead.
 */
static bool any_half_closed(const int ports[2])
{
    enum { TIME_WAIT = 6, LISTENING = 10 };
    FILE *table = fopen("/proc/net/tcp", "r");
    char line[300];
    bool found = false;
    assert_non_null(table);
    while (fgets(line, sizeof(line), table) != NULL) {
        unsigned local, remote, state;
        if (sscanf(line, " %*d: %*8x:%4x %*8x:%4x %2x", &local, &remote, &state) != 3)
            continue;
        for (int i = 0; i < 2; i++) {
            if (((int)local == ports[i] || (int)remote == ports[i]) && state != TIME_WAIT &&
                state != LISTENING)
                found = true;
        }
    }
    fclose(table);
    return found;
}

struct outer_ends {
    int client, server;
};

/* The server reads to the end, sees that the client can still be spoken to, and answers much. */
static int answer_request(void *arg)
{
    const struct outer_ends *outer = arg;
    char *reply = make_pattern(REPLY);
    peer_hears(outer->server, "req");
    peer_hears_end(outer->server);
    turns(20);
    assert_false(has_events(outer->client, POLLIN | POLLRDHUP | POLLHUP | POLLERR));
    assert_true(peer_send(outer->server, reply, REPLY));
    close(outer->server);
    free(reply);
    return 0;
}

/* The client's part; afterwards nothing is left of either connection. */
static void request(enum kind kind, const struct middle *m)
{
    struct outer_ends outer = {m->client.peer, m->server.peer};
    int ports[2] = {0, 0};
    char *got = malloc(REPLY);
    evert_scope scope;

    assert_non_null(got);
    if (kind == TCP) {
        ports[0] = port_at(outer.client, getsockname);
        ports[1] = port_at(outer.server, getsockname);
    }
    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, answer_request, &outer), 0);
    peer_say(outer.client, "req");
    assert_int_equal(shutdown(outer.client, SHUT_WR), 0);
    check_count(peer_receive(outer.client, got, REPLY), REPLY);
    assert_true(is_pattern(got, 0, REPLY));
    peer_hears_end(outer.client);
    close(outer.client);
    check_rc(evert_scope_leave(&scope, 0), 0);
    if (kind == TCP)
        wait_until(!any_half_closed(ports));
    free(got);
}

/* BR-003 */
static void test_a_relay_of_streams_passes_the_end_on(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct middle m = make_middle((enum kind)kind);
        struct relay r = {.up = {m.client.s, m.server.s, 0}, .down = {m.server.s, m.client.s, 0}};
        evert_scope scope;
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, relay_streams, &r), 0);
        request((enum kind)kind, &m);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(r.rc, 0);
        assert_int_equal(r.up.count, 3);
        assert_int_equal(r.down.count, REPLY);
    }
}

/* BR-003 */
static void test_a_relay_of_transports_passes_the_end_on(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct middle m = make_middle((enum kind)kind);
        struct hearer both[2];
        relay_transports(both, &m);
        request((enum kind)kind, &m);
        for (int i = 0; i < 2; i++) {
            check_rc(hear_loss(&both[i]), 0);
            assert_int_equal(both[i].ended, 1);
            assert_int_equal(both[i].size, i == 0 ? 3 : REPLY);
        }
    }
}

/* The second run: the server goes first, and the client sends until it is told that it fails. */
static void send_to_a_server_that_goes(const struct middle *m)
{
    static char block[10000];
    char *got = malloc(sizeof(block));
    assert_non_null(got);
    assert_true(peer_send(m->client.peer, block, sizeof(block)));
    check_count(peer_receive(m->server.peer, got, sizeof(block)), sizeof(block));
    close(m->server.peer);
    while (peer_send(m->client.peer, block, sizeof(block)))
        let_run();
    close(m->client.peer);
    free(got);
}

/* BR-003 */
static void test_a_relay_of_streams_ends_when_the_server_goes_first(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct middle m = make_middle((enum kind)kind);
        struct relay r = {.up = {m.client.s, m.server.s, 0}, .down = {m.server.s, m.client.s, 0}};
        evert_scope scope;
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, relay_streams, &r), 0);
        send_to_a_server_that_goes(&m);
        check_rc(evert_scope_leave(&scope, 0), 0);
        assert_true(r.rc == -EPIPE || r.rc == -ECONNRESET);
    }
}

/* BR-003 */
static void test_a_relay_of_transports_ends_when_the_server_goes_first(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct middle m = make_middle((enum kind)kind);
        struct hearer both[2];
        relay_transports(both, &m);
        send_to_a_server_that_goes(&m);
        int rc = hear_loss(&both[1]);
        assert_true(rc == -EPIPE || rc == -ECONNRESET);
        check_rc(hear_loss(&both[0]), -ECONNABORTED);
    }
}

/* ---- BR-004: a writer whose client has gone ---- */

enum { BLOCK = 65536, ROUNDS = 10000 };

/* Reads a little, and resets; a Unix socket knows no reset of its own, and says one all the same.
 */
static void read_little_and_reset(int peer)
{
    char got[1024];
    check_count(peer_receive(peer, got, sizeof(got)), sizeof(got));
    peer_reset(peer);
}

struct file {
    evert_stream *s;
    int rounds, rc;
};

static int send_file(void *arg)
{
    static char block[BLOCK];
    struct file *f = arg;
    while (f->rc == 0 && f->rounds++ < ROUNDS) {
        f->rc = evert_write(f->s, block, sizeof(block));
        if (f->rc == 0)
            f->rc = evert_flush(f->s);
    }
    return 0;
}

/* BR-004 */
static void test_a_stream_tells_each_later_write_that_its_client_has_gone(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        struct file f = {.s = e.s};
        evert_scope scope;
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, send_file, &f), 0);
        read_little_and_reset(e.peer);
        check_rc(evert_scope_leave(&scope, 0), 0);
        assert_in_range(f.rounds, 1, 200);
        assert_true(f.rc == -EPIPE || f.rc == -ECONNRESET);
        assert_int_equal(e.s->out.queued, 0);
        check_rc(evert_puts(e.s, "more"), f.rc);
        check_rc(evert_flush(e.s), f.rc);
        check_rc(evert_close(e.s), f.rc);
    }
}

/* Writes block after block; as a producer it is asked for the next when the last was sent. */
struct file_producer {
    evert_producer producer;
    struct hearer hearer;
    int rounds, stops;
};

static void produce_block(evert_producer *producer)
{
    static char block[BLOCK];
    struct file_producer *f = (struct file_producer *)producer;
    evert_transport *t = f->hearer.protocol.transport;
    assert_int_equal(f->hearer.lost, 0);
    assert_false(evert_transport_is_closing(t));
    assert_in_range(f->rounds++, 0, ROUNDS);
    check_rc(evert_transport_write(t, block, sizeof(block)), 0);
}

static void stop_producing(evert_producer *producer)
{
    ((struct file_producer *)producer)->stops++;
}

/* BR-004: here a write to what is lost is dropped; the loss is told once, and can be asked. */
static void test_a_transport_tells_its_protocol_once_that_its_client_has_gone(void **state)
{
    static const evert_producer_ops pulled = {.resume_producing = produce_block,
                                              .stop_producing = stop_producing};
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        struct file_producer f = {.producer.ops = &pulled, .hearer = new_hearer()};
        evert_transport *t = hear(&f.hearer, e.s);
        check_rc(evert_transport_register_producer(t, &f.producer), 0);
        read_little_and_reset(e.peer);
        int rc = hear_loss(&f.hearer);
        assert_true(rc == -EPIPE || rc == -ECONNRESET);
        assert_in_range(f.rounds, 1, 200);
        assert_int_equal(f.stops, 1);
        assert_int_equal(evert_transport_unsent(f.hearer.protocol.transport), 0);
        assert_true(evert_transport_is_closing(f.hearer.protocol.transport));
        check_rc(evert_transport_puts(f.hearer.protocol.transport, "more"), 0);
        turns(5);
        assert_int_equal(f.hearer.lost, 1);
    }
}

/* Between the failure of the socket and its being told: unsent is nothing, and it is closing. */
static void write_blocks_until_closing(struct hearer *h)
{
    static char block[BLOCK];
    evert_transport *t = h->protocol.transport;
    int *rounds = h->arg;
    while (!evert_transport_is_closing(t) && (*rounds)++ < ROUNDS && h->paused == h->resumed)
        check_rc(evert_transport_write(t, block, sizeof(block)), 0);
    if (evert_transport_is_closing(t))
        assert_int_equal(evert_transport_unsent(t), 0);
}

/* BR-004 */
static void test_a_protocol_that_writes_when_it_may_does_not_go_on_for_long(void **state)
{
    int rounds = 0;
    (void)state;
    struct ends e = make_narrow_ends(TCP);
    struct hearer h = new_hearer();
    (void)hear(&h, e.s);
    h.go_on = write_blocks_until_closing;
    h.arg = &rounds;
    write_blocks_until_closing(&h);
    read_little_and_reset(e.peer);
    int rc = hear_loss(&h);
    assert_true(rc == -EPIPE || rc == -ECONNRESET);
    assert_in_range(rounds, 1, 200);
}

/* ---- BR-005: peers that flood ---- */

/* Another thread keeps both buffers of an echo ready, without pause. */
struct flood {
    int fd;
    pthread_t thread;
    atomic_bool stop;
};

static void *flood_echo(void *arg)
{
    struct flood *f = arg;
    char block[65536];
    memset(block, 'f', sizeof(block));
    while (!atomic_load(&f->stop)) {
        struct pollfd wait = {.fd = f->fd, .events = POLLIN | POLLOUT};
        (void)poll(&wait, 1, 100);
        (void)!send(f->fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)!recv(f->fd, block, sizeof(block), MSG_DONTWAIT);
    }
    return NULL;
}

static void flood_start(struct flood *f, int fd)
{
    f->fd = fd;
    atomic_init(&f->stop, false);
    assert_int_equal(pthread_create(&f->thread, NULL, flood_echo, f), 0);
}

static void flood_stop(struct flood *f)
{
    atomic_store(&f->stop, true);
    assert_int_equal(pthread_join(f->thread, NULL), 0);
}

/* Ticks in each turn, and notes how much the echo that is flooded did between two ticks. */
struct ticking {
    evert_loop *loop;
    evert_handle handle;
    const size_t *done; /* by the echo */
    size_t before, largest;
    int ticks;
};

static void tick(void *arg)
{
    struct ticking *t = arg;
    size_t since = *t->done - t->before;
    t->before = *t->done;
    if (since > t->largest)
        t->largest = since;
    t->ticks++;
    check_rc(evert_loop_call_soon(t->loop, &t->handle, tick, t), 0);
}

static void tick_start(struct ticking *t, const size_t *done)
{
    *t = (struct ticking){.loop = self()->loop, .done = done};
    tick(t);
}

/* While the flood goes on, a second client is answered, time after time, and others tick. */
static void ping_in_the_flood(int peer, const struct ticking *t)
{
    for (int i = 0; i < 20; i++) {
        size_t done = *t->done;
        int ticks = t->ticks;
        peer_say(peer, "ping\n");
        peer_hears(peer, "ping\n");
        wait_until(*t->done > done && t->ticks > ticks);
    }
    wait_until(t->ticks >= 100);
}

struct echoing {
    evert_stream *s;
    size_t calls;
};

static int echo(void *arg)
{
    struct echoing *e = arg;
    evert_bytes bytes;
    ssize_t rc;
    while ((rc = evert_read(e->s, &bytes, 1000)) > 0) {
        e->calls += 2;
        rc = evert_put(e->s, bytes);
        if (rc < 0)
            break;
    }
    return (int)rc;
}

/* BR-005, C12: the others have a turn after 64 calls. */
static void test_an_echo_of_streams_that_is_flooded_lets_others_run(void **state)
{
    struct flood flood;
    struct ticking ticking;
    evert_scope scope;
    (void)state;
    struct ends flooded = make_ends(TCP), other = make_ends(TCP);
    struct echoing first = {flooded.s, 0}, second = {other.s, 0};

    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, echo, &first), 0);
    check_rc(evert_spawn(&scope, echo, &second), 0);
    flood_start(&flood, flooded.peer);
    tick_start(&ticking, &first.calls);
    ping_in_the_flood(other.peer, &ticking);
    flood_stop(&flood);
    evert_handle_cancel(&ticking.handle);
    assert_in_range(ticking.largest, 1, 2 * EVERT__BUDGET + 2);
    evert_scope_cancel(&scope);
    check_rc(evert_scope_leave(&scope, 0), 0);
    evert_abort(flooded.s);
    close(flooded.peer);
    drop_ends(other);
}

static int echo_back(struct hearer *h, evert_bytes data)
{
    return evert_transport_put(h->protocol.transport, data);
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
    .connection_made = hearer_made,
    .data_received = hearer_data,
    .connection_lost = hearer_lost,
    .pause_writing = echo_pause,
    .resume_writing = echo_resume,
};

/* BR-005: in a turn a protocol is given what sixteen takes bring, each 64 KiB at most. */
static void test_an_echo_of_transports_that_is_flooded_lets_others_run(void **state)
{
    struct flood flood;
    struct ticking ticking;
    (void)state;
    struct ends flooded = make_ends(TCP), other = make_ends(TCP);
    struct hearer first = {.protocol.ops = &echo_ops, .hear = echo_back}, second = first;

    evert_transport *t = hear(&first, flooded.s);
    (void)hear(&second, other.s);
    flood_start(&flood, flooded.peer);
    tick_start(&ticking, &first.size);
    ping_in_the_flood(other.peer, &ticking);
    flood_stop(&flood);
    evert_handle_cancel(&ticking.handle);
    assert_in_range(ticking.largest, 1, 16 * (65536 + 4096));
    evert_transport_abort_connection(t);
    check_rc(hear_loss(&first), -ECONNABORTED);
    close(flooded.peer);
    close(other.peer);
    check_rc(hear_loss(&second), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_much_in_many_buffers_is_sent_whole_by_a_stream),
        everywhere(test_much_in_one_write_of_many_buffers_is_sent_whole_by_a_transport),
        everywhere(test_after_a_line_that_is_too_long_a_stream_reads_the_next),
        everywhere(test_after_a_line_that_is_too_long_a_protocol_receives_the_next),
        everywhere(test_a_line_without_end_is_held_back_by_a_stream),
        everywhere(test_a_line_without_end_is_held_back_by_a_protocol),
        everywhere(test_a_relay_of_streams_passes_the_end_on),
        everywhere(test_a_relay_of_transports_passes_the_end_on),
        everywhere(test_a_relay_of_streams_ends_when_the_server_goes_first),
        everywhere(test_a_relay_of_transports_ends_when_the_server_goes_first),
        everywhere(test_a_stream_tells_each_later_write_that_its_client_has_gone),
        everywhere(test_a_transport_tells_its_protocol_once_that_its_client_has_gone),
        everywhere(test_a_protocol_that_writes_when_it_may_does_not_go_on_for_long),
        everywhere(test_an_echo_of_streams_that_is_flooded_lets_others_run),
        everywhere(test_an_echo_of_transports_that_is_flooded_lets_others_run),
    };
    return run_table(tests);
}
