/* SPDX-License-Identifier: MIT */
/*
 * Field reports about closing, for transports (close_test.c has streams): what was written arrives
 * (BR-016), and so does an answer that was given early (BR-017); numbers come again (BR-018); all
 * happens at once (BR-019); and who is called changes who else is (BR-020).
 */
#include <signal.h>

#include <evert/coro/await.h>

#include "reports.h"

enum { MUCH = 1024 * 1024 };

/* ---- BR-016: closing with much unsent ---- */

/* A peer that takes little at a time; see make_narrow_ends() for how little it may be. */
static struct ends make_reading_ends(enum kind kind)
{
    struct ends e = make_ends(kind);
    set_size(e.peer, SO_RCVBUF, kind == TCP ? 65536 : 4096);
    evert_set_close_limit(e.s, PATIENCE);
    return e;
}

static void check_all_and_end(int peer)
{
    char *got = malloc(MUCH);
    assert_non_null(got);
    check_count(peer_receive(peer, got, MUCH), MUCH);
    assert_true(is_pattern(got, 0, MUCH));
    peer_hears_end(peer);
    free(got);
}

static void write_pattern(evert_transport *t)
{
    char *data = make_pattern(MUCH);
    check_rc(evert_transport_write(t, data, MUCH), 0);
    free(data);
}

/* When the loss is told, the peer has had all of it, and has ended as well. */
static void check_peer_is_done(struct hearer *h)
{
    assert_true(*(const bool *)h->arg);
}

/* BR-016 */
static void test_all_that_was_written_is_sent_before_a_transport_is_lost(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_reading_ends((enum kind)kind);
        struct hearer h = new_hearer();
        bool done = false;
        evert_transport *t = hear(&h, e.s);
        h.end = check_peer_is_done;
        h.arg = &done;
        write_pattern(t);
        evert_transport_lose_connection(t);
        assert_true(evert_transport_is_closing(t));
        turns(20);
        assert_int_equal(h.lost, 0);
        check_all_and_end(e.peer);
        done = true;
        close(e.peer);
        check_rc(hear_loss(&h), 0);
        assert_int_equal(h.lost, 1);
    }
}

struct stream_closer {
    evert_stream *s;
    bool peer_is_done;
};

static int write_and_close(void *arg)
{
    struct stream_closer *c = arg;
    char *data = make_pattern(MUCH);
    check_rc(evert_write(c->s, data, MUCH), 0);
    free(data);
    check_rc(evert_close(c->s), 0);
    assert_true(c->peer_is_done);
    return 0;
}

/* BR-016 */
static void test_all_that_was_written_is_sent_before_a_close_returns(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_reading_ends((enum kind)kind);
        struct stream_closer c = {.s = e.s};
        evert_scope scope;
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, write_and_close, &c), 0);
        turns(20);
        check_all_and_end(e.peer);
        c.peer_is_done = true;
        close(e.peer);
        check_rc(evert_scope_leave(&scope, 0), 0);
    }
}

/* Evert has no filters yet. Here one connection stands on another: its loss closes that. */
static int pass_down(struct hearer *upper, evert_bytes data)
{
    const struct hearer *lower = upper->arg;
    return evert_transport_put(lower->protocol.transport, data);
}

static void close_lower(struct hearer *upper)
{
    const struct hearer *lower = upper->arg;
    evert_transport_lose_connection(lower->protocol.transport);
}

/* BR-016 */
static void test_closing_the_upper_of_two_loses_nothing_in_the_lower(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends above = make_ends(UNIX), below = make_reading_ends((enum kind)kind);
        struct hearer upper = new_hearer(), lower = new_hearer();
        bool done = false;
        char *data = make_pattern(MUCH);
        (void)hear(&upper, above.s);
        (void)hear(&lower, below.s);
        upper.hear = pass_down;
        upper.end = close_lower;
        upper.arg = &lower;
        lower.end = check_peer_is_done;
        lower.arg = &done;
        assert_true(peer_send(above.peer, data, MUCH));
        close(above.peer);
        check_rc(hear_loss(&upper), 0);
        assert_int_equal(upper.size, MUCH);
        assert_int_equal(lower.lost, 0);
        check_all_and_end(below.peer);
        done = true;
        close(below.peer);
        check_rc(hear_loss(&lower), 0);
        free(data);
    }
}

/* BR-016: the second run. */
static void test_an_abort_with_much_unsent_ends_at_once_and_says_so(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct ends e = make_reading_ends(i % 2 ? UNIX : TCP);
        struct hearer h = new_hearer();
        char *got = malloc(MUCH);
        evert_transport *t = hear(&h, e.s);
        write_pattern(t);
        turns(i);
        if (i >= 4)
            evert_transport_lose_connection(t); /* it may be in the midst of a close, too */
        evert_transport_abort_connection(t);
        evert_transport_abort_connection(t);
        assert_int_equal(h.lost, 0); /* never inside */
        check_rc(hear_loss(&h), -ECONNABORTED);
        assert_true(peer_receive(e.peer, got, MUCH) < MUCH);
        close(e.peer);
        free(got);
    }
}

/* BR-016 */
static void test_a_close_limit_bounds_the_wait_and_is_told(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_reading_ends((enum kind)kind);
        struct hearer h = new_hearer();
        evert_transport *t = hear(&h, e.s);
        set_size(e.s->fd.number, SO_SNDBUF, 8192);
        write_pattern(t);
        evert_transport_set_close_limit(t, 10 * MS);
        evert_transport_lose_connection(t);
        check_rc(hear_loss(&h), -ETIMEDOUT);
        close(e.peer);
    }
}

/* ---- BR-017: an early answer to an upload ---- */

static const char request[] = "POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n";
static const char answer_words[] = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 7\r\n"
                                   "Connection: close\r\n\r\ntoo big";

/* Closes a stream in a task of its own, as a handler that returns does. */
static int answer_and_close(void *s)
{
    check_rc(evert_puts(s, answer_words), 0);
    return evert_close(s);
}

/* The client sends on after the answer was given and the connection closed, and reads only then. */
static void upload_and_read(int peer, const char *body)
{
    assert_true(peer_send(peer, body, 150000));
    turns(3);
    assert_true(peer_send(peer, body, 100000));
    peer_hears(peer, answer_words);
    peer_hears_end(peer);
    close(peer);
}

/* BR-017 */
static void test_an_early_answer_arrives_though_the_client_uploads(void **state)
{
    char *body = calloc(1, 150000);
    assert_non_null(body);
    (void)state;
    for (int i = 0; i < 100; i++) { /* half of them on each face */
        struct ends e = make_ends(i % 4 < 2 ? TCP : UNIX);
        struct hearer h = new_hearer();
        evert_scope scope;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        if (i % 2 == 0)
            evert_transport_pause_reading(hear(&h, e.s)); /* it does not read any of it */
        peer_say(e.peer, request);
        assert_true(peer_send(e.peer, body, 50000));
        if (i % 2 == 0) {
            check_rc(evert_transport_puts(h.protocol.transport, answer_words), 0);
            evert_transport_lose_connection(h.protocol.transport);
        } else {
            check_rc(evert_spawn(&scope, answer_and_close, e.s), 0);
        }
        upload_and_read(e.peer, body);
        check_rc(evert_scope_leave(&scope, 0), 0);
        if (i % 2 == 0)
            check_rc(hear_loss(&h), 0);
        assert_int_equal(h.size, 0);
    }
    free(body);
}

/* BR-017: reading and dropping is bounded in time alone, not in bytes (S7). */
static void test_who_uploads_to_a_transport_without_end_is_cut_off(void **state)
{
    static char body[10000];
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        struct hearer h = new_hearer();
        evert_transport *t = hear(&h, e.s);
        peer_say(e.peer, request);
        wait_until(h.size > 0);
        check_rc(evert_transport_puts(t, answer_words), 0);
        evert_transport_set_close_limit(t, 20 * MS);
        evert_transport_lose_connection(t);
        size_t heard = h.size;
        while (peer_send(e.peer, body, sizeof(body)))
            let_run();
        check_rc(hear_loss(&h), 0);
        assert_int_equal(h.size, heard); /* none of it was given to the protocol */
        close(e.peer);
    }
}

/* ---- BR-018: two are told in one batch, and the first closes the second ---- */

struct twins {
    struct hearer hearers[2];
    struct ends ends[2];
    struct hearer newcomer;
    int newcomer_peer;
    struct hearer *first; /* that was told */
};

/* Whichever is told first ends the other, whose number goes to a newcomer. */
static int replace_the_other(struct hearer *h, evert_bytes data)
{
    struct twins *twins = h->arg;
    int other = h == &twins->hearers[0], fds[2];
    evert_stream *s;
    check_bytes(data, "x");
    assert_null(twins->first);
    twins->first = h;
    evert_loop *loop = evert_transport_loop(h->protocol.transport);
    int number = twins->ends[other].s->fd.number;
    evert_transport_abort_connection(twins->hearers[other].protocol.transport);
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    assert_int_equal(socketpair(AF_UNIX, type, 0, fds), 0);
    if (!is_late())
        assert_int_equal(fds[0], number);
    twins->newcomer = new_hearer();
    twins->newcomer_peer = fds[1];
    check_rc(evert__connection_accepted(loop, fds[0], false, &s), 0);
    check_rc(evert_stream_transport(s, &twins->newcomer.protocol), 0);
    return 0;
}

static int waits;

static bool count_waits(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    waits +=
        call == EVERT__SYS_EPOLL_WAIT || call == EVERT__SYS_POLL || call == EVERT__SYS_URING_ENTER;
    return false;
}

/* Nothing makes the loop wake while nothing happens. */
static void check_no_spin(void)
{
    if (is_late())
        return; /* it does not sleep while it holds something back */
    waits = 0;
    evert__sys_set_hook(count_waits);
    check_rc(evert_sleep(3 * MS), 0);
    evert__sys_set_hook(NULL);
    assert_in_range(waits, 1, 5);
}

/* BR-018 */
static void test_what_was_told_of_a_closed_transport_does_not_reach_its_successor(void **state)
{
    (void)state;
    for (int order = 0; order < 4; order++) {
        struct twins twins = {.first = NULL};
        for (int i = 0; i < 2; i++) {
            twins.ends[i] = make_ends(UNIX);
            twins.hearers[i] = new_hearer();
            (void)hear(&twins.hearers[i], twins.ends[i].s);
            twins.hearers[i].hear = replace_the_other;
            twins.hearers[i].arg = &twins;
        }
        for (int i = 0; i < 2; i++)
            assert_true(peer_send(twins.ends[i != order % 2].peer, "x", 1));
        wait_until(twins.first != NULL);
        struct hearer *other = &twins.hearers[twins.first == &twins.hearers[0]];
        check_rc(hear_loss(other), -ECONNABORTED);
        wait_until(twins.newcomer.made == 1);
        turns(20);
        assert_int_equal(other->times, 0);
        assert_int_equal(twins.first->times, 1);
        assert_int_equal(twins.newcomer.times + twins.newcomer.ended + twins.newcomer.lost, 0);
        check_no_spin();
        peer_say(twins.newcomer_peer, "for me");
        wait_until(twins.newcomer.size == 6);
        close(twins.newcomer_peer);
        for (int i = 0; i < 2; i++)
            close(twins.ends[i].peer);
        check_rc(hear_loss(&twins.newcomer), 0);
        check_rc(hear_loss(twins.first), 0);
    }
}

/* ---- BR-019: readable, writable and ended at once ---- */

/* What the test keeps of a connection whose object is gone. */
struct traces {
    size_t size; /* of what was heard */
    int lost, fired, reason;
    int way; /* of closing */
    bool closed;
};

/* An object that goes with its connection, and owns a timer. */
struct owner {
    evert_protocol protocol;
    evert_handle timer;
    struct traces *traces;
};

static int owner_data(evert_protocol *protocol, evert_bytes data)
{
    struct owner *o = (struct owner *)protocol;
    assert_false(o->traces->closed);
    for (size_t i = 0; i < data.size; i++)
        assert_int_equal(data.data[i], "BYE\n"[o->traces->size++]);
    if (o->traces->size < 4)
        return 0; /* it was cut on its way */
    o->traces->closed = true;
    evert_handle_cancel(&o->timer);
    if (o->traces->way == 0)
        evert_transport_abort_connection(protocol->transport);
    else if (o->traces->way == 1)
        evert_transport_lose_connection(protocol->transport);
    return o->traces->way == 2 ? -EPROTO : 0;
}

static int owner_eof(evert_protocol *protocol)
{
    assert_false(((struct owner *)protocol)->traces->closed);
    return EVERT_KEEP_OPEN;
}

static void owner_writing(evert_protocol *protocol)
{
    assert_false(((struct owner *)protocol)->traces->closed);
}

static void owner_lost(evert_protocol *protocol, int reason)
{
    struct owner *o = (struct owner *)protocol;
    o->traces->lost++;
    o->traces->reason = reason;
    evert_handle_cancel(&o->timer);
    memset(o, 0xdd, sizeof(*o)); /* so that a use is seen without an address checker, too */
    free(o);
}

static const evert_protocol_ops owner_ops = {
    .data_received = owner_data,
    .eof_received = owner_eof,
    .connection_lost = owner_lost,
    .pause_writing = owner_writing,
    .resume_writing = owner_writing,
};

static void owner_fired(void *arg)
{
    struct owner *o = arg;
    assert_false(o->traces->closed);
    o->traces->fired++;
}

/* An owner whose peer does not read, so that both directions are waited for. */
static struct owner *make_owner(struct ends *e, enum kind kind, struct traces *traces)
{
    struct owner *o = calloc(1, sizeof(*o));
    assert_non_null(o);
    *e = make_narrow_ends(kind);
    o->protocol.ops = &owner_ops;
    o->traces = traces;
    check_rc(evert_stream_transport(e->s, &o->protocol), 0);
    write_pattern(o->protocol.transport);
    wait_until(e->s->sending);
    turns(3);
    return o;
}

/* BR-019 */
static void test_a_protocol_may_close_and_go_when_all_happens_to_it_at_once(void **state)
{
    (void)state;
    start_logging(); /* of the protocols that fail */
    for (int i = 0; i < 18; i++) {
        struct traces traces = {.way = i % 3};
        enum kind kind = i / 3 % 2 ? UNIX : TCP;
        struct ends e;
        struct owner *o = make_owner(&e, kind, &traces);
        peer_say(e.peer, "BYE\n");
        if (i < 12)
            close(e.peer); /* with much unread: a reset, on TCP */
        if (i >= 6)
            check_rc(evert_loop_call_at(self()->loop, &o->timer, LONG_AGO, owner_fired, o), 0);
        if (i >= 12) {
            static char got[65536];
            while (recv(e.peer, got, sizeof(got), 0) > 0)
                continue; /* so that there is room to write, and no error */
            assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
        }
        wait_until(traces.lost == 1 || traces.closed);
        if (i >= 12)
            close(e.peer);
        wait_until(traces.lost == 1);
        turns(20);
        assert_int_equal(traces.lost, 1);
        assert_int_equal(traces.size, 4);
        assert_in_range(traces.fired, 0, i >= 6 ? 1 : 0);
        if (traces.way == 0)
            check_rc(traces.reason, -ECONNABORTED);
        else if (traces.way == 2)
            check_rc(traces.reason, -EPROTO);
    }
    stop_logging();
}

/* ---- BR-020: who is called changes who else is called ---- */

struct observers {
    evert_loop *loop;
    struct hearer hearers[3], fourth;
    int peers[3], fourth_peer;
    struct hearer *first, *second;
    evert_handle next_turn;
    bool next, stops;
};

static void note_next_turn(void *arg)
{
    ((struct observers *)arg)->next = true;
}

static void attach(evert_loop *loop, struct hearer *h, int *ret_peer)
{
    int fds[2], type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    evert_stream *s;
    assert_int_equal(socketpair(AF_UNIX, type, 0, fds), 0);
    check_rc(evert__connection_accepted(loop, fds[0], false, &s), 0);
    *h = new_hearer();
    check_rc(evert_stream_transport(s, &h->protocol), 0);
    *ret_peer = fds[1];
}

static int observe_fourth(struct hearer *h, evert_bytes data)
{
    const struct observers *all = h->arg;
    check_bytes(data, "x");
    assert_true(all->next);
    return 0;
}

/* The first removes the next one and itself, and adds another, who has something to hear. */
static int observe(struct hearer *h, evert_bytes data)
{
    struct observers *all = h->arg;
    check_bytes(data, "x");
    if (all->first != NULL) {
        assert_ptr_not_equal(h, all->second);
        if (!is_late())
            assert_false(all->next);
        return 0;
    }
    all->first = h;
    for (int i = 0; i < 3 && all->second == NULL; i++) {
        if (h != &all->hearers[i] && all->hearers[i].times == 0)
            all->second = &all->hearers[i];
    }
    check_rc(evert_loop_call_soon(all->loop, &all->next_turn, note_next_turn, all), 0);
    evert_transport_abort_connection(all->second->protocol.transport);
    attach(all->loop, &all->fourth, &all->fourth_peer);
    all->fourth.hear = observe_fourth;
    all->fourth.arg = all;
    assert_int_equal(send(all->fourth_peer, "x", 1, MSG_NOSIGNAL), 1);
    evert_transport_abort_connection(h->protocol.transport);
    if (all->stops)
        evert_loop_stop(all->loop);
    return 0;
}

static void run_turns(evert_loop *loop, int count)
{
    while (count-- > 0)
        check_rc(evert_loop_turn(loop, evert_after(MS)), 0);
}

/* BR-020: in turns by hand, so that a stop of the loop can be seen. */
static void test_a_protocol_may_remove_others_and_itself_and_add_one(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct observers all = {.stops = i % 2};
        check_rc(evert_loop_new(&all.loop), 0);
        for (int k = 0; k < 3; k++) {
            attach(all.loop, &all.hearers[k], &all.peers[k]);
            all.hearers[k].hear = observe;
            all.hearers[k].arg = &all;
        }
        run_turns(all.loop, 20);
        for (int k = 0; k < 3; k++)
            assert_int_equal(send(all.peers[k], "x", 1, MSG_NOSIGNAL), 1);
        while (all.first == NULL)
            check_rc(evert_loop_turn(all.loop, EVERT_NEVER), 0);
        assert_int_equal(all.fourth.times, 0); /* the turn has ended, and it was not in it */
        struct hearer *third = &all.hearers[0];
        while (third == all.first || third == all.second)
            third++;
        if (!is_late())
            assert_int_equal(third->times, 1); /* a stop lets the turn finish */
        run_turns(all.loop, 30);
        assert_int_equal(all.first->times, 1);
        assert_int_equal(all.second->times, 0);
        assert_int_equal(third->times, 1);
        assert_int_equal(all.fourth.times, 1);
        assert_int_equal(all.first->lost + all.second->lost, 2);
        evert_loop_free(all.loop);
        assert_int_equal(third->lost + all.fourth.lost, 2);
        for (int k = 0; k < 3; k++)
            close(all.peers[k]);
        close(all.fourth_peer);
    }
}

/*
 * The waiters on one event: tasks that await one Deferred. Each was told its result when that
 * fired, and a cancel that comes later does not change it (C3); the second meets it at its next
 * wait. The fourth starts in the next turn.
 */
struct waiters {
    evert_deferred *event;
    evert_scope *scope;
    evert_task *second;
    evert_handle next_turn;
    bool next;
    int woken, again, third_turn, fourth;
};

static void note_waiters_turn(void *arg)
{
    ((struct waiters *)arg)->next = true;
}

static int wait_as_fourth(void *arg)
{
    struct waiters *w = arg;
    assert_true(w->next);
    check_rc(evert_await(w->event).error, 0);
    w->fourth++;
    return 0;
}

static int wait_as_first(void *arg)
{
    struct waiters *w = arg;
    check_rc(evert_await(w->event).error, 0);
    w->woken++;
    evert_task_cancel(w->second);
    check_rc(evert_loop_call_soon(self()->loop, &w->next_turn, note_waiters_turn, w), 0);
    check_rc(evert_spawn(w->scope, wait_as_fourth, w), 0);
    return 0;
}

static int wait_as_second(void *arg)
{
    struct waiters *w = arg;
    check_rc(evert_await(w->event).error, 0);
    assert_int_equal(w->woken, 1);
    w->woken++;
    w->again = evert_sleep(0);
    return w->again;
}

static int wait_as_third(void *arg)
{
    struct waiters *w = arg;
    check_rc(evert_await(w->event).error, 0);
    assert_int_equal(w->woken, 2);
    assert_false(w->next); /* in the same pass */
    w->third_turn++;
    return 0;
}

/* BR-020 */
static void test_a_waiter_may_cancel_others_and_start_one(void **state)
{
    struct waiters w = {.again = 1};
    evert_scope scope;
    (void)state;
    check_rc(evert_deferred_new(&w.event), 0);
    w.scope = &scope;
    evert_scope_enter(&scope, evert_after(PATIENCE));
    evert_spawn_options options = evert_spawn_defaults();
    options.ret_task = &w.second;
    check_rc(evert_spawn(&scope, wait_as_first, &w), 0);
    check_rc(evert_spawn_with(&scope, &options, wait_as_second, &w), 0);
    check_rc(evert_spawn(&scope, wait_as_third, &w), 0);
    turns(5);
    check_rc(evert_deferred_callback(w.event, NULL, NULL), 0);
    check_rc(evert_scope_leave(&scope, 0), 0);
    assert_int_equal(w.woken, 2);
    check_rc(w.again, -ECANCELED);
    assert_int_equal(w.third_turn, 1);
    assert_int_equal(w.fourth, 1);
    evert_deferred_free(w.event);
}

/* A signal has one watcher in Evert, so here are three signals that came together. */
static struct {
    evert_loop *loop;
    int told[4];
    bool stops;
} signals;

static void on_first_signal(void *arg);

static void on_other_signal(void *told)
{
    ++*(int *)told;
}

static void on_first_signal(void *told)
{
    ++*(int *)told;
    evert_loop_unwatch_signal(signals.loop, SIGUSR2);
    check_rc(evert_loop_watch_signal(signals.loop, SIGCONT, on_other_signal, &signals.told[3]), 0);
    raise(SIGCONT);
    evert_loop_unwatch_signal(signals.loop, SIGUSR1);
    if (signals.stops)
        evert_loop_stop(signals.loop);
}

/* BR-020 */
static void test_a_signals_watcher_may_remove_others_and_itself_and_add_one(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        memset(&signals, 0, sizeof(signals));
        signals.stops = i == 1;
        check_rc(evert_loop_new(&signals.loop), 0);
        check_rc(evert_loop_watch_signal(signals.loop, SIGUSR1, on_first_signal, &signals.told[0]),
                 0);
        check_rc(evert_loop_watch_signal(signals.loop, SIGUSR2, on_other_signal, &signals.told[1]),
                 0);
        check_rc(evert_loop_watch_signal(signals.loop, SIGURG, on_other_signal, &signals.told[2]),
                 0);
        raise(SIGURG);
        raise(SIGUSR2);
        raise(SIGUSR1);
        while (signals.told[0] == 0)
            check_rc(evert_loop_turn(signals.loop, EVERT_NEVER), 0);
        assert_int_equal(signals.told[2], 1);
        assert_int_equal(signals.told[3], 0);
        run_turns(signals.loop, 20);
        assert_int_equal(signals.told[0], 1);
        assert_int_equal(signals.told[1], 0);
        assert_int_equal(signals.told[2], 1);
        assert_int_equal(signals.told[3], 1);
        evert_loop_free(signals.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_all_that_was_written_is_sent_before_a_transport_is_lost),
        everywhere(test_all_that_was_written_is_sent_before_a_close_returns),
        everywhere(test_closing_the_upper_of_two_loses_nothing_in_the_lower),
        everywhere(test_an_abort_with_much_unsent_ends_at_once_and_says_so),
        everywhere(test_a_close_limit_bounds_the_wait_and_is_told),
        everywhere(test_an_early_answer_arrives_though_the_client_uploads),
        everywhere(test_who_uploads_to_a_transport_without_end_is_cut_off),
        everywhere(test_what_was_told_of_a_closed_transport_does_not_reach_its_successor),
        everywhere(test_a_protocol_may_close_and_go_when_all_happens_to_it_at_once),
        cmocka_unit_test(test_a_protocol_may_remove_others_and_itself_and_add_one),
        everywhere(test_a_waiter_may_cancel_others_and_start_one),
        cmocka_unit_test(test_a_signals_watcher_may_remove_others_and_itself_and_add_one),
    };
    return run_table(tests);
}
