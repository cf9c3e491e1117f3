/* SPDX-License-Identifier: MIT */
/*
 * Changing the face in mid-conversation: from transport to stream and back, wherever the cut falls,
 * no byte is lost or seen twice (S8). And what a protocol does with its connection inside the calls
 * that it gets: anything (F50).
 */
#include "protocols.h"

#include <evert/coro/await.h>

#include "net/listener.h"

enum { MUCH = 400000 };

/* Reads so many bytes, which have to be these. */
static void stream_hears(evert_stream *s, const char *words)
{
    evert_bytes bytes;
    check_rc(evert_read_exactly(s, &bytes, strlen(words)), 0);
    check_bytes(bytes, words);
}

static void stream_says(evert_stream *s, const char *words)
{
    check_rc(evert_puts(s, words), 0);
    check_rc(evert_flush(s), 0);
}

/* ---- S8: there and back ---- */

/* S8: a conversation that goes over to the other face after each exchange. */
static void test_the_face_changes_in_mid_conversation(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        struct talker t;
        talker_init(&t);
        for (int i = 0; i < 5; i++) {
            peer_say(e.peer, "to the stream");
            stream_hears(e.s, "to the stream");
            stream_says(e.s, "from the stream");
            peer_hears(e.peer, "from the stream");
            t.size = 0;
            talk_on(&t, e.s);
            assert_ptr_equal(inside(&t), e.s);
            peer_say(e.peer, "to the transport");
            wait_until(t.size == 16);
            check_heard(&t, "to the transport");
            check_rc(evert_transport_puts(transport_of(&t), "from it"), 0);
            peer_hears(e.peer, "from it");
            assert_ptr_equal(evert_transport_stream(transport_of(&t)), e.s);
            assert_null(transport_of(&t));
        }
        turns(5);
        assert_int_equal(t.lost, 0);
        close(e.peer);
        check_rc(evert_close(e.s), 0);
        turns(5);
        check_told(&t, "MDMDMDMDMD"); /* it hears no more of it */
        talker_fini(&t);
    }
}

/* S8: what a stream has read ahead is heard by the protocol, in front of what comes then. */
static void test_bytes_that_were_read_ahead_go_to_the_protocol(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        for (size_t cut = 0; cut <= 12; cut++) {
            struct ends e = make_ends((enum kind)kind);
            struct talker t;
            evert_bytes bytes;
            char words[13] = "hello\r\nworld";
            talker_init(&t);
            peer_say(e.peer, words);
            wait_arrived(e.s->fd.number, 12);
            if (cut > 0)
                check_rc(evert_read_exactly(e.s, &bytes, cut), 0);
            talk_on(&t, e.s);
            peer_say(e.peer, "!");
            wait_until(t.size == 13 - cut);
            char rest[16];
            snprintf(rest, sizeof(rest), "%s!", words + cut);
            check_heard(&t, rest);
            end_talk(&t, e.peer);
            check_told(&t, "MDEL");
        }
    }
}

static int take_a_line(evert_protocol *protocol, evert_bytes input)
{
    struct talker *t = talker_of(protocol);
    const char *end = memmem(input.data, input.size, "\r\n", 2);
    if (end == NULL)
        return 0;
    evert_transport_consume(transport_of(t), (size_t)(end + 2 - input.data));
    t->count++;
    t->arg = evert_transport_stream(transport_of(t)); /* the next line is the stream's */
    return 0;
}

static const evert_protocol_ops line_takers = {
    .connection_made = talker_made,
    .input_received = take_a_line,
    .eof_received = talker_eof,
    .connection_lost = talker_lost,
};

/* S8, L1: at the very cut between two lines, however these were cut on their way. */
static void test_the_cut_may_fall_between_two_lines(void **state)
{
    static const char words[] = "first\r\nsecond\r\nthird\r\n";
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        for (size_t cut = 0; cut < sizeof(words); cut++) {
            struct ends e = make_ends((enum kind)kind);
            struct talker t;
            evert_bytes line;
            talker_init(&t);
            t.protocol.ops = &line_takers;
            peer_send(e.peer, words, cut);
            wait_arrived(e.s->fd.number, cut);
            talk_on(&t, e.s);
            turns((int)cut % 3);
            peer_say(e.peer, words + cut);
            wait_until(t.arg != NULL);
            assert_ptr_equal(t.arg, e.s);
            check_rc(evert_read_line(e.s, &line), 0);
            check_bytes(line, "second");
            t.arg = NULL; /* and back: it takes the third */
            check_rc(evert_stream_transport(e.s, &t.protocol), 0);
            wait_until(t.arg != NULL);
            peer_say(e.peer, "end\r\n");
            check_rc(evert_read_line(e.s, &line), 0);
            check_bytes(line, "end");
            assert_int_equal(t.count, 2);
            assert_int_equal(t.lost, 0);
            drop_ends(e);
        }
    }
}

static void take_stream(struct talker *t, char call)
{
    if (call == 'D' && t->arg == NULL)
        t->arg = evert_transport_stream(transport_of(t));
}

/* S8: in data_received(): what it was given is its own, and what comes then is the stream's. */
static void test_the_stream_is_taken_in_data_received(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        t.act = take_stream;
        int peer = talk(&t, (enum kind)kind);
        peer_say(peer, "hello");
        wait_until(t.arg != NULL);
        size_t size = t.size;
        peer_say(peer, "world");
        stream_hears(t.arg, &"helloworld"[size]);
        check_told(&t, "MD");
        talker_fini(&t);
        close(peer);
        check_rc(evert_close(t.arg), 0);
    }
}

struct turncoat {
    struct talker t;
    char *all;
    size_t size; /* of all that either of the faces got */
    bool streams;
};

static void change_by_chance(struct talker *t, char call)
{
    struct turncoat *c = EVERT__CONTAINER(t, struct turncoat, t);
    if (call != 'D')
        return;
    memcpy(c->all + c->size, t->heard, t->size);
    c->size += t->size;
    t->size = 0;
    memset(t->told, 0, sizeof(t->told));
    if (t->count-- > 0)
        return;
    evert_stream *s = evert_transport_stream(transport_of(t));
    assert_non_null(s);
    t->arg = s;
}

/* S8: many changes while much arrives, at places of chance. */
static void test_random_changes_lose_and_repeat_no_byte(void **state)
{
    char *data = make_pattern(MUCH);
    uint64_t seed = seed_new(), random = seed;
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        struct turncoat c = {.all = malloc(MUCH)};
        size_t sent = 0;
        assert_non_null(c.all);
        talker_init(&c.t);
        c.t.act = change_by_chance;
        c.t.arg = e.s; /* the stream, when it is one */
        set_size(e.s->fd.number, SO_RCVBUF, 1 << 20);
        set_size(e.peer, SO_SNDBUF, 1 << 20);
        while (c.size < MUCH) {
            size_t part = 1 + random_below(&random, 8000);
            if (part > MUCH - sent)
                part = MUCH - sent;
            assert_true(peer_send(e.peer, data + sent, part));
            sent += part;
            if (c.t.arg == NULL) {
                wait_until(c.t.arg != NULL || c.size == sent);
                continue;
            }
            evert_bytes bytes;
            size_t most = 1 + random_below(&random, 5000);
            while (c.size < sent && random_below(&random, 3)) {
                ssize_t count = evert_read(e.s, &bytes, most);
                assert_true(count > 0);
                memcpy(c.all + c.size, bytes.data, (size_t)count);
                c.size += (size_t)count;
            }
            c.t.arg = NULL;
            c.t.count = (int)random_below(&random, 4);
            check_rc(evert_stream_transport(e.s, &c.t.protocol), 0);
        }
        if (!is_pattern(c.all, 0, MUCH)) {
            print_error("EVERT_SEED=%" PRIu64 "\n", seed);
            fail();
        }
        close(e.peer);
        if (c.t.arg != NULL)
            check_rc(evert_close(e.s), 0);
        else
            wait_until(c.t.lost);
        talker_fini(&c.t);
        free(c.all);
    }
    free(data);
}

/* ---- Output over the change ---- */

/* S8: what was written on one face is sent whole, and what is written on the other follows it. */
static void test_writes_that_are_pending_are_sent_in_order(void **state)
{
    char *data = make_pattern(MUCH), *got = malloc(MUCH);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        struct talker t;
        talker_init(&t);
        check_rc(evert__output_append(e.s, data, 60000), 0);
        talk_on(&t, e.s);
        check_rc(evert_transport_write(transport_of(&t), data + 60000, 200000), 0);
        turns(kind); /* with a send on its way, or not */
        assert_true(evert_transport_unsent(transport_of(&t)) > 0);
        assert_ptr_equal(evert_transport_stream(transport_of(&t)), e.s);
        check_rc(evert__output_append(e.s, data + 260000, 40000), 0);
        check_rc(evert_stream_transport(e.s, &t.protocol), 0);
        check_rc(evert_transport_write(transport_of(&t), data + 300000, MUCH - 300000), 0);
        check_count(peer_receive(e.peer, got, MUCH), MUCH);
        assert_true(is_pattern(got, 0, MUCH));
        end_talk(&t, e.peer);
    }
    free(got);
    free(data);
}

/* S8: also where the protocol was asked to pause, and the stream writes nothing. */
static void test_what_a_protocol_leaves_is_sent_by_the_stream(void **state)
{
    char *data = make_pattern(MUCH), *got = malloc(MUCH);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        struct talker t;
        talker_init(&t);
        talk_on(&t, e.s);
        check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
        wait_until(t.pauses == 1);
        assert_ptr_equal(evert_transport_stream(transport_of(&t)), e.s);
        peer_say(e.peer, "x"); /* for whoever reads the stream, when he does */
        check_count(peer_receive(e.peer, got, MUCH), MUCH);
        assert_true(is_pattern(got, 0, MUCH));
        turns(2);
        assert_int_equal(t.resumes, 0);
        stream_hears(e.s, "x");
        talker_fini(&t);
        check_rc(drop_ends(e), 0);
    }
    free(got);
    free(data);
}

struct waiting {
    evert_stream *s;
    char *data;
    ssize_t rc;
};

static int write_large(void *arg)
{
    struct waiting *w = arg;
    w->rc = evert_write(w->s, w->data, MUCH);
    return 0;
}

static int read_one(void *arg)
{
    struct waiting *w = arg;
    char byte;
    w->rc = evert_read_into(w->s, &byte, 1);
    return 0;
}

/* S8, S3: nobody may be waiting there; the stream stays as it is, and so do they. */
static void test_a_stream_in_which_somebody_waits_is_busy(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ends e = make_narrow_ends(UNIX);
        struct waiting w = {e.s, data, 1234567};
        struct talker t;
        evert_scope scope;
        talker_init(&t);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, i == 0 ? write_large : read_one, &w), 0);
        wait_until(i == 0 ? e.s->writer != NULL : e.s->reader != NULL);
        check_rc(evert_stream_transport(e.s, &t.protocol), -EBUSY);
        assert_null(transport_of(&t));
        if (i == 0) {
            char *got = malloc(MUCH);
            check_count(peer_receive(e.peer, got, MUCH), MUCH);
            assert_true(is_pattern(got, 0, MUCH));
            free(got);
        } else {
            peer_say(e.peer, "x");
        }
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_count(w.rc, i == 0 ? 0 : 1);
        talk_on(&t, e.s);
        end_talk(&t, e.peer);
    }
    free(data);
}

/* ---- Ends and errors over the change ---- */

/* S8: the end that one face has read is told to the other, too. */
static void test_the_end_is_told_to_both(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        struct talker t;
        evert_bytes bytes;
        talker_init(&t);
        t.eof_result = EVERT_KEEP_OPEN;
        assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
        check_count(evert_read(e.s, &bytes, 1), 0);
        talk_on(&t, e.s);
        wait_until(strchr(t.told, 'E') != NULL);
        assert_ptr_equal(evert_transport_stream(transport_of(&t)), e.s);
        check_count(evert_read(e.s, &bytes, 1), 0);
        stream_says(e.s, "still open");
        peer_hears(e.peer, "still open");
        t.eof_result = 0;
        check_rc(evert_stream_transport(e.s, &t.protocol), 0);
        peer_hears_end(e.peer);
        check_lost(&t, 0);
        check_told(&t, "MEMEL");
        end_talk(&t, e.peer);
    }
}

/* S8: our own end, too. */
static void test_our_own_end_stays_over_the_change(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    struct talker t;
    talker_init(&t);
    talk_on(&t, e.s);
    evert_transport_puts(transport_of(&t), "query");
    evert_transport_write_eof(transport_of(&t));
    assert_ptr_equal(evert_transport_stream(transport_of(&t)), e.s);
    check_rc(evert_write_eof(e.s), 0);
    peer_hears(e.peer, "query");
    peer_hears_end(e.peer);
    talk_on(&t, e.s);
    check_rc(evert_transport_puts(transport_of(&t), "more"), -EPIPE);
    peer_say(e.peer, "reply");
    wait_until(t.size == 5);
    end_talk(&t, e.peer);
    check_rc(t.reason, 0);
}

/* S8: an error that the one has met is met by the other; what had arrived comes before it. */
static void test_an_error_is_met_on_the_other_face(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        struct talker t;
        evert_bytes bytes;
        talker_init(&t);
        peer_say(e.peer, "data");
        wait_arrived(e.s->fd.number, 4);
        answer(EVERT__SYS_SEND, -ECONNABORTED, 1);
        check_rc(evert__output_append(e.s, "x", 1), 0);
        evert__output_start(e.s);
        wait_until(e.s->write_error < 0);
        answer_no_more();
        check_rc(evert_stream_transport(e.s, &t.protocol), 0);
        check_lost(&t, -ECONNABORTED);
        check_told(&t, "MDL");
        check_heard(&t, "data");
        end_talk(&t, e.peer);

        e = make_ends((enum kind)kind); /* and the other way */
        talker_init(&t);
        talk_on(&t, e.s);
        evert_transport_pause_reading(transport_of(&t));
        answer(EVERT__SYS_SEND, -ECONNABORTED, 1);
        evert_transport_puts(transport_of(&t), "x");
        evert__output_start(e.s);
        assert_ptr_equal(evert_transport_stream(transport_of(&t)), e.s);
        wait_until(e.s->write_error < 0);
        answer_no_more();
        peer_say(e.peer, "data");
        wait_arrived(e.s->fd.number, 4);
        stream_hears(e.s, "data");
        check_count(evert_read(e.s, &bytes, 1), -ECONNABORTED);
        check_rc(drop_ends(e), -ECONNABORTED);
    }
}

/* NULL while it is being closed, and afterwards. */
static void test_a_connection_that_is_being_closed_is_not_given_away(void **state)
{
    (void)state;
    struct talker t;
    evert_stream *s;
    talker_init(&t);
    int peer = talk(&t, TCP);
    evert_transport_lose_connection(transport_of(&t));
    assert_null(evert_transport_stream(transport_of(&t)));
    end_talk(&t, peer);
    assert_null(evert_transport_stream(transport_of(&t)));
    check_told(&t, "ML");
    struct ends e = make_ends(TCP), other = make_ends(TCP);
    talker_init(&t);
    talk_on(&t, e.s);
    check_rc(evert_stream_transport(other.s, &t.protocol), EVERT_EALREADY);
    drop_ends(other);
    s = evert_transport_stream(transport_of(&t));
    drop_ends((struct ends){s, e.peer});
}

/* A line too long that a stream was dropping, and a view that a read gave out. */
static void test_what_a_stream_was_dropping_is_heard(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    struct talker t;
    evert_bytes line;
    talker_init(&t);
    evert_set_line_limit(e.s, 4);
    peer_say(e.peer, "too long a line");
    check_rc(evert_read_line(e.s, &line), EVERT_ELIMIT);
    talk_on(&t, e.s);
    wait_until(t.size == 15);
    check_heard(&t, "too long a line");
    end_talk(&t, e.peer);
}

/* ---- Handlers ---- */

struct handled {
    struct talker t;
    int count, closes;
    evert_stream *back;
};

static int turn_into_transport(evert_stream *s, void *arg)
{
    struct handled *h = arg;
    evert_bytes line;
    int rc = evert_read_line(s, &line);
    if (rc < 0)
        return rc;
    check_bytes(line, "upgrade");
    rc = evert_stream_transport(s, &h->t.protocol);
    h->count++;
    if (h->closes) { /* and back: it is the program's now, not the server's */
        turns(3);
        h->back = evert_transport_stream(transport_of(&h->t));
        assert_ptr_equal(h->back, s);
    }
    return rc;
}

struct serving {
    struct handled h;
    evert_listener *listener;
};

static int serve(void *arg)
{
    struct serving *s = arg;
    return evert_serve(s->listener, turn_into_transport, &s->h);
}

/* S8, S6: a server closes only what it still has when the handler returns. */
static void test_a_handler_hands_its_connection_over(void **state)
{
    (void)state;
    for (int closes = 0; closes < 2; closes++) {
        struct serving s = {.h.closes = closes};
        evert_scope scope;
        talker_init(&s.h.t);
        check_rc(evert_listen(&s.listener, "tcp://127.0.0.1:0"), 0);
        int peer = plain_connect(evert_listener_address(s.listener));
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, serve, &s), 0);
        peer_say(peer, "upgrade\r\nnew words");
        if (!closes) {
            wait_until(s.h.t.size == 9);
            check_heard(&s.h.t, "new words");
        } else {
            wait_until(s.h.back != NULL);
        }
        turns(5);
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        turns(5);
        assert_int_equal(s.h.count, 1);
        assert_int_equal(s.h.t.lost, 0);
        if (closes) {
            stream_says(s.h.back, "alive");
            peer_hears(peer, "alive");
            close(peer);
            check_rc(evert_close(s.h.back), 0);
            talker_fini(&s.h.t);
        } else {
            evert_transport_puts(transport_of(&s.h.t), "alive");
            peer_hears(peer, "alive");
            end_talk(&s.h.t, peer);
        }
    }
}

static evert_stream *freed_from;

static void give_away_and_free(struct talker *t, char call)
{
    if (call != 'D')
        return;
    freed_from = evert_transport_stream(transport_of(t));
    if (t->protocol.built) {
        talker_fini(t);
        evert_protocol_free(&t->protocol);
    }
}

static int made_to_be_freed(evert_protocol *protocol)
{
    talker_of(protocol)->act = give_away_and_free;
    return talker_made(protocol);
}

/* F50: one that gave its connection away is the program's, at once. */
static void test_a_protocol_is_freed_after_it_gave_its_connection_away(void **state)
{
    evert_protocol_ops ops = talker_ops;
    evert_factory factory = {evert_build_protocol, &ops};
    evert_listener *l;
    (void)state;
    ops.connection_made = made_to_be_freed;
    freed_from = NULL;
    check_rc(evert_listen_protocol(&l, self()->loop, "tcp://127.0.0.1:0", &factory), 0);
    int peer = plain_connect(evert_listener_address(l));
    peer_say(peer, "x");
    wait_until(freed_from != NULL);
    stream_says(freed_from, "from the stream");
    peer_hears(peer, "from the stream");
    close(peer);
    check_rc(evert_close(freed_from), 0);
    evert_listener_close(l);
}

/* ---- S8: to a task that begins in the call ---- */

/* Gives its connection to a task that runs at once, as soon as all of the words are there. */
struct giver {
    struct talker t;
    const char *words, *then; /* what the peer says first, and while the task begins */
    size_t consumes;
    int peer;
    evert_fn *task;
    evert_stream *s;
    evert_deferred *task_done;
    bool goes_on;
};

static int give_to_task(evert_protocol *protocol, evert_bytes input)
{
    struct giver *g = EVERT__CONTAINER(talker_of(protocol), struct giver, t);
    evert_coro *coro;
    if (input.size < strlen(g->words))
        return 0;
    evert_transport_consume(protocol->transport, g->consumes);
    g->s = evert_transport_stream(protocol->transport);
    if (g->then != NULL)
        peer_say(g->peer, g->then);
    check_rc(evert_coro_new(&coro, g->task, g), 0);
    check_rc(evert_deferred_from(&g->task_done, NULL, coro), 0);
    check_bytes(input, g->words); /* it is there for the whole of the call */
    return 0;
}

static const evert_protocol_ops givers = {
    .connection_made = talker_made,
    .input_received = give_to_task,
};

static void giver_begins(struct giver *g, enum kind kind)
{
    talker_init(&g->t);
    g->t.protocol.ops = &givers;
    g->peer = talk(&g->t, kind);
    peer_say(g->peer, g->words);
    wait_until(g->task_done != NULL);
}

static void task_ends(struct giver *g)
{
    evert_result result = evert_await(g->task_done);
    check_rc(result.error, 0);
    evert_deferred_release(g->task_done);
}

static void giver_ends(struct giver *g)
{
    close(g->peer);
    check_rc(evert_close(g->s), 0);
}

static int read_first_and_wait(void *giver)
{
    struct giver *g = giver;
    evert_bytes line;
    check_rc(evert_read_line(g->s, &line), 0);
    check_bytes(line, "first");
    wait_until(g->goes_on);
    check_bytes(line, "first");
    return 0;
}

/* S8: a line that a task has read in the call stays, whoever else reads meanwhile. */
static void test_what_a_task_has_read_in_the_call_stays(void **state)
{
    static const size_t sizes[] = {0, 100, 2 * EVERT__CHUNK};
    (void)state;
    for (size_t i = 0; i < 2 * COUNT_OF(sizes); i++) {
        char words[2 * EVERT__CHUNK + 32] = "to you\r\nfirst\r\n";
        size_t begin = strlen(words);
        memset(words + begin, 'x', sizes[i / 2]);
        struct giver g = {.words = words, .consumes = 8, .task = read_first_and_wait};
        struct talker other;
        giver_begins(&g, i % 2 ? TCP : UNIX);
        talker_init(&other);
        int peer = talk(&other, UNIX);
        peer_say(peer, "what comes to the same memory");
        wait_until(other.size == 29);
        g.goes_on = true;
        task_ends(&g);
        stream_hears(g.s, words + begin);
        end_talk(&other, peer);
        giver_ends(&g);
    }
}

static int read_all(void *giver)
{
    struct giver *g = giver;
    stream_hears(g->s, g->words + g->consumes);
    stream_hears(g->s, g->then);
    return 0;
}

/* S8: what a protocol was given stays for its call, also when a task reads on meanwhile. */
static void test_what_a_protocol_was_given_stays_while_a_task_reads(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        for (size_t left = 0; left < 3; left++) {
            struct giver g = {.words = "first words", .then = "that come then", .task = read_all};
            g.consumes = strlen(g.words) - left;
            giver_begins(&g, (enum kind)kind);
            task_ends(&g);
            giver_ends(&g);
        }
    }
}

static int read_all_once_there_is_memory(void *giver)
{
    struct giver *g = giver;
    evert_bytes bytes;
    take_memory_away();
    check_rc(evert_read_exactly(g->s, &bytes, 1), -ENOMEM);
    give_memory_back();
    return read_all(g);
}

/* S8, F45: without memory the task's read fails; nothing of either side is lost. */
static void test_without_memory_to_read_on_in_the_call_nothing_is_lost(void **state)
{
    char words[EVERT__CHUNK + 16] = "";
    (void)state;
    memset(words, 'x', sizeof(words) - 1);
    struct giver g = {.words = words, .then = "that come then", .consumes = 1};
    g.task = read_all_once_there_is_memory;
    giver_begins(&g, TCP);
    task_ends(&g);
    giver_ends(&g);
}

/* ---- F50: what a protocol does in its calls ---- */

static void do_nothing(struct talker *t)
{
    (void)t;
}

static void lose(struct talker *t)
{
    evert_transport_lose_connection(transport_of(t));
}

static void abort_(struct talker *t)
{
    evert_transport_abort_connection(transport_of(t));
}

static void lose_and_abort(struct talker *t)
{
    lose(t);
    abort_(t);
}

static void end_ours(struct talker *t)
{
    evert_transport_write_eof(transport_of(t));
}

static evert_stream *taken;

static void take(struct talker *t)
{
    evert_stream *s = evert_transport_stream(transport_of(t));
    if (s != NULL)
        taken = s;
}

static void take_and_close(struct talker *t)
{
    evert_stream *s = evert_transport_stream(transport_of(t));
    if (s == NULL)
        return;
    (void)evert_close(s);
    t->count = 1; /* it is gone */
}

static void take_and_abort(struct talker *t)
{
    evert_stream *s = evert_transport_stream(transport_of(t));
    if (s == NULL)
        return;
    evert_abort(s);
    t->count = 1;
}

/* Away and back again, to the same protocol: all begins anew, with connection_made(). */
static void take_and_return(struct talker *t)
{
    evert_stream *s = evert_transport_stream(transport_of(t));
    if (s == NULL)
        return;
    check_rc(evert_stream_transport(s, &t->protocol), 0);
    t->made = 0; /* so that a call before that is seen */
}

static void pause_and_resume(struct talker *t)
{
    evert_transport_pause_reading(transport_of(t));
    evert_transport_resume_reading(transport_of(t));
}

static void write_much(struct talker *t)
{
    static char data[MUCH];
    evert_transport_write(transport_of(t), data, sizeof(data));
}

static void set_marks(struct talker *t)
{
    evert_transport_set_write_limits(transport_of(t), 0, 0);
    evert_transport_set_write_limits(transport_of(t), 100, 50);
}

static void (*const deeds[])(struct talker *t) = {
    do_nothing,     lose,           abort_,          lose_and_abort,   end_ours,   take,
    take_and_close, take_and_abort, take_and_return, pause_and_resume, write_much, set_marks,
};

static struct {
    char when;
    int result;
    void (*deed)(struct talker *t);
} plot;

static void act(struct talker *t, char call)
{
    void (*deed)(struct talker * t) = plot.deed;
    if (call == 'P' && t->lost == 0 && plot.when != 'P' && plot.when != 'R')
        return;
    if (call != plot.when || deed == NULL)
        return;
    plot.deed = NULL; /* once */
    deed(t);
}

static int make_and_act(evert_protocol *protocol)
{
    int rc = plot.when == 'M' && plot.deed != NULL ? plot.result : 0;
    (void)talker_made(protocol);
    return rc;
}

/* Of a protocol that gets lines of input, so that what is unread is there when it acts. */
static const evert_protocol_ops acting = {
    .connection_made = make_and_act,
    .data_received = talker_data,
    .eof_received = talker_eof,
    .connection_lost = talker_lost,
    .pause_writing = talker_pause,
    .resume_writing = talker_resume,
};

static void one_plot(char when, size_t i, int result, enum kind kind)
{
    struct talker t;
    static char data[MUCH];
    talker_init(&t);
    t.protocol.ops = &acting;
    t.act = act;
    t.data_result = when == 'D' ? result : 0;
    t.eof_result = when == 'E' ? result : 0;
    taken = NULL;
    plot.when = when;
    plot.result = result;
    plot.deed = deeds[i];
    struct ends e = make_narrow_ends(kind);
    evert_set_close_limit(e.s, 5 * MS);
    check_rc(evert_stream_transport(e.s, &t.protocol), 0);
    if (when == 'P' || when == 'R') {
        wait_until(t.made > 0);
        evert_transport_write(transport_of(&t), data, sizeof(data));
        for (int j = 0; j < 10 && when == 'R'; j++) {
            drain(e.peer);
            turns(1);
        }
    } else {
        (void)peer_send(e.peer, "some words", 10);
    }
    (void)shutdown(e.peer, SHUT_WR);
    wait_until((drain(e.peer), t.lost || taken != NULL || t.count == 1));
    turns(3);
    close(e.peer);
    if (taken != NULL) {
        assert_null(transport_of(&t));
        assert_int_equal(t.lost, 0);
        (void)evert_close(taken);
    }
    if (t.count == 1)
        assert_int_equal(t.lost, 0);
    turns(2);
    talker_fini(&t);
}

/* F50: in each of its calls, each thing that it may do, whatever it returns. */
static void test_a_protocol_may_do_anything_in_its_calls(void **state)
{
    static const int results[] = {0, 1, -EPROTO};
    (void)state;
    start_logging();
    for (const char *when = "MDEPRL"; *when != '\0'; when++) {
        for (size_t i = 0; i < COUNT_OF(deeds); i++) {
            for (size_t r = 0; r < COUNT_OF(results); r++) {
                if (results[r] == 0 || *when == 'M' || *when == 'D' ||
                    (*when == 'E' && results[r] < 0))
                    one_plot(*when, i, results[r], r % 2 ? TCP : UNIX);
            }
        }
    }
    stop_logging();
}

/* S8, T1: away and back in one call: connection_made() comes again, before any more data. */
static void return_in_data(struct talker *t, char call)
{
    if (call == 'D' && t->count-- > 0)
        take_and_return(t);
}

static void test_taken_and_given_back_in_one_call_it_begins_anew(void **state)
{
    enum { SIZE = EVERT__LARGE + 10000 }; /* more than is given at once */
    char *data = make_pattern(SIZE);
    (void)state;
    struct talker t;
    talker_init(&t);
    t.act = return_in_data;
    t.count = 3;
    int peer = talk(&t, UNIX);
    set_size(peer, SO_SNDBUF, 2 * EVERT__LARGE);
    assert_int_equal(send(peer, data, SIZE, MSG_NOSIGNAL), SIZE);
    wait_until(t.size == SIZE);
    assert_true(is_pattern(t.heard, 0, SIZE));
    check_words(t.told, "MDMD");
    end_talk(&t, peer);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_the_face_changes_in_mid_conversation),
        everywhere(test_bytes_that_were_read_ahead_go_to_the_protocol),
        everywhere(test_the_cut_may_fall_between_two_lines),
        everywhere(test_the_stream_is_taken_in_data_received),
        everywhere(test_random_changes_lose_and_repeat_no_byte),
        everywhere(test_writes_that_are_pending_are_sent_in_order),
        everywhere(test_what_a_protocol_leaves_is_sent_by_the_stream),
        everywhere(test_a_stream_in_which_somebody_waits_is_busy),
        everywhere(test_the_end_is_told_to_both),
        everywhere(test_our_own_end_stays_over_the_change),
        everywhere(test_an_error_is_met_on_the_other_face),
        everywhere(test_a_connection_that_is_being_closed_is_not_given_away),
        everywhere(test_what_a_stream_was_dropping_is_heard),
        everywhere(test_a_handler_hands_its_connection_over),
        everywhere(test_a_protocol_is_freed_after_it_gave_its_connection_away),
        everywhere(test_what_a_task_has_read_in_the_call_stays),
        everywhere(test_what_a_protocol_was_given_stays_while_a_task_reads),
        everywhere(test_without_memory_to_read_on_in_the_call_nothing_is_lost),
        everywhere(test_a_protocol_may_do_anything_in_its_calls),
        everywhere(test_taken_and_given_back_in_one_call_it_begins_anew),
    };
    return run_table(tests);
}
