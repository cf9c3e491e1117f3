/* SPDX-License-Identifier: MIT */
/*
 * What a protocol does with its transport: closing and aborting (T3), writing (T4), half-close and
 * pausing (T7), water marks (T8), and what the peer and the kernel may do meanwhile.
 */
#include "protocols.h"

enum { MUCH = 400000 };

/* ---- What it is given ---- */

static void count_pieces(struct talker *t, char call)
{
    t->count += call == 'D';
}

/*
 * C12: all that one call to the kernel can take, also in the turn after one in which it had much.
 * Of a newcomer a ring has something in buffers; not of one that has brought 4 KiB.
 */
static void test_much_is_given_in_few_pieces(void **state)
{
    enum { ROOM = 400000, FIRST = 4096 };
    (void)state;
    struct ends e = make_ends(UNIX);
    struct talker t;
    set_size(e.peer, SO_SNDBUF, ROOM);
    talker_init(&t);
    t.act = count_pieces;
    talk_on(&t, e.s);
    char *data = make_pattern(FIRST + ROOM);
    assert_int_equal(send(e.peer, data, FIRST, 0), FIRST);
    wait_until(t.size == FIRST);
    evert_transport_pause_reading(transport_of(&t));
    t.count = 0;
    ssize_t size = send(e.peer, data + FIRST, ROOM, 0);
    assert_in_range(size, EVERT__LARGE + EVERT__CHUNK + 1, ROOM);
    evert_transport_resume_reading(transport_of(&t));
    wait_until(t.size == FIRST + (size_t)size);
    assert_true(is_pattern(t.heard, 0, t.size));
    if (!is_adverse()) /* there, each take is cut by chance */
        assert_int_equal(t.count, 2);
    free(data);
    end_talk(&t, e.peer);
}

/* ---- T3: lose and abort ---- */

/* Case 14: the peer gets what was written, and the end; each side is lost once. */
static void test_what_was_written_is_sent_before_a_close(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        evert_stream *s[2];
        struct talker t, other;
        talker_init(&t);
        talker_init(&other);
        make_streams((enum kind)kind, s);
        talk_on(&t, s[0]);
        talk_on(&other, s[1]);
        evert_transport_puts(transport_of(&t), "0123456789");
        evert_transport_lose_connection(transport_of(&t));
        assert_int_equal(t.lost, 0);
        check_lost(&t, 0);
        check_lost(&other, 0);
        check_heard(&other, "0123456789");
        check_told(&t, "ML");
        check_told(&other, "MDEL");
        talker_fini(&other);
    }
}

/* T3: however much it is, and however slowly the peer takes it. */
static void test_much_is_sent_before_a_close(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        int peer = talk_narrow(&t, (enum kind)kind);
        check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
        evert_transport_lose_connection(transport_of(&t));
        turns(5);
        peer_hears_pattern_and_end(peer, MUCH);
        assert_int_equal(t.lost, 0); /* the peer has not ended its side */
        close(peer);
        check_lost(&t, 0);
        check_told(&t, "MPL"); /* nobody is asked to write again */
    }
    free(data);
}

/* Case 16, T3: the second has no effect, whenever it comes; nothing more is heard. */
static void test_losing_twice_loses_once(void **state)
{
    (void)state;
    for (int later = 0; later < 4; later++) {
        struct talker t;
        talker_init(&t);
        int peer = talk(&t, TCP);
        evert_transport_lose_connection(transport_of(&t));
        turns(later);
        assert_true(evert_transport_is_closing(transport_of(&t)));
        evert_transport_lose_connection(transport_of(&t));
        peer_say(peer, "not heard");
        peer_hears_end(peer);
        assert_int_equal(t.lost, 0);
        evert_transport_lose_connection(transport_of(&t));
        close(peer);
        check_lost(&t, 0);
        evert_transport_lose_connection(transport_of(&t));
        check_told(&t, "ML");
    }
}

/* Case 15, T3: nothing more comes, and TCP is reset. Not inside the call; the second does nothing.
 */
static void test_an_abort_drops_what_was_not_sent(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        int peer = talk_narrow(&t, (enum kind)kind);
        evert_transport_write(transport_of(&t), data, MUCH);
        assert_true(evert_transport_unsent(transport_of(&t)) > 0);
        turns(kind); /* a send is on its way */
        evert_transport_abort_connection(transport_of(&t));
        assert_int_equal(t.lost, 0);
        assert_true(evert_transport_is_closing(transport_of(&t)));
        evert_transport_abort_connection(transport_of(&t));
        check_lost(&t, -ECONNABORTED);
        evert_transport_abort_connection(transport_of(&t));
        check_told(&t, "MPL");
        assert_true(drain_to_end(peer) < MUCH);
        close(peer);
    }
    free(data);
}

static void test_an_abort_of_tcp_is_a_reset(void **state)
{
    struct talker t;
    char byte;
    (void)state;
    talker_init(&t);
    int peer = talk(&t, TCP);
    evert_transport_puts(transport_of(&t), "dropped");
    evert_transport_abort_connection(transport_of(&t));
    check_count(peer_receive(peer, &byte, 1), -ECONNRESET);
    check_lost(&t, -ECONNABORTED);
    close(peer);
}

/* T3: an abort ends a close, in each of its states, and says so. */
static void test_an_abort_while_it_is_being_closed(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct talker t;
        talker_init(&t);
        int peer = talk_narrow(&t, TCP);
        if (i % 2)
            evert_transport_write(transport_of(&t), data, MUCH);
        evert_transport_lose_connection(transport_of(&t));
        turns(i / 2);
        evert_transport_abort_connection(transport_of(&t));
        evert_transport_lose_connection(transport_of(&t));
        check_lost(&t, -ECONNABORTED);
        close(peer);
    }
    free(data);
}

/* T3, F21: a peer that never reads is given up at the limit, and what was not sent is told. */
static void test_a_close_has_a_limit_in_time(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        int peer = talk_narrow(&t, (enum kind)kind);
        evert_transport_set_close_limit(transport_of(&t), 10 * MS);
        evert_transport_write(transport_of(&t), data, MUCH);
        evert_transport_lose_connection(transport_of(&t));
        check_lost(&t, -ETIMEDOUT);
        close(peer);

        talker_init(&t); /* one that never ends its side, but has all */
        peer = talk(&t, (enum kind)kind);
        evert_transport_set_close_limit(transport_of(&t), 10 * MS);
        evert_transport_puts(transport_of(&t), "all");
        evert_transport_lose_connection(transport_of(&t));
        check_lost(&t, 0);
        peer_hears(peer, "all");
        close(peer);
    }
    free(data);
}

/* T3: losing stops reading at once, in the middle of what arrived. */
static void lose_at_first_data(struct talker *t, char call)
{
    if (call != 'D')
        return;
    t->count++;
    evert_transport_lose_connection(transport_of(t));
    assert_int_equal(t->lost, 0);
}

static void test_nothing_is_heard_after_losing(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    struct talker t;
    talker_init(&t);
    t.act = lose_at_first_data;
    int peer = talk(&t, TCP);
    peer_send(peer, data, 100000);
    peer_hears_end(peer);
    close(peer);
    check_lost(&t, 0);
    assert_int_equal(t.count, 1);
    check_told(&t, "MDL");
    talker_fini(&t);
    free(data);
}

/* T3: also where more has arrived than a close drops at once. */
static void test_what_had_arrived_is_not_heard_after_losing(void **state)
{
    enum { ARRIVED = 150000 };
    char *data = make_pattern(ARRIVED);
    (void)state;
    struct talker t;
    talker_init(&t);
    int peer = talk(&t, UNIX);
    evert_transport_pause_reading(transport_of(&t));
    set_size(peer, SO_SNDBUF, 2 * ARRIVED);
    check_count(send(peer, data, ARRIVED, MSG_NOSIGNAL), ARRIVED);
    evert_transport_resume_reading(transport_of(&t));
    evert_transport_lose_connection(transport_of(&t));
    peer_hears_end(peer);
    close(peer);
    check_lost(&t, 0);
    check_told(&t, "ML");
    talker_fini(&t);
    free(data);
}

/* ---- T4: writing ---- */

/* T4: dropped on each kind alike, while it is being closed and after an abort. */
static void test_a_write_after_the_close_is_dropped(void **state)
{
    (void)state;
    start_logging();
    for (int kind = TCP; kind <= UNIX; kind++) {
        for (int aborts = 0; aborts < 2; aborts++) {
            struct talker t;
            char byte;
            talker_init(&t);
            int peer = talk(&t, (enum kind)kind);
            check_rc(evert_transport_puts(transport_of(&t), "before"), 0);
            if (aborts)
                evert_transport_abort_connection(transport_of(&t));
            else
                evert_transport_lose_connection(transport_of(&t));
            for (int i = 0; i < 3; i++) {
                check_rc(evert_transport_puts(transport_of(&t), "after"), 0);
                check_rc(evert_transport_printf(transport_of(&t), "%s", "after"), 0);
                turns(1);
            }
            if (!aborts) {
                peer_hears(peer, "before");
                peer_hears_end(peer);
            } else {
                assert_true(peer_receive(peer, &byte, 1) <= 0);
            }
            close(peer);
            check_lost(&t, aborts ? -ECONNABORTED : 0);
        }
    }
    stop_logging();
#ifdef EVERT_DEBUG
    check_words(logged.text, "dropped");
#else
    assert_int_equal(logged.count, 0);
#endif
}

/* Also where all was sent before, so that a small write needs to look at little. */
static void write_after(enum kind kind, void (*end)(evert_transport *transport), int reason)
{
    struct talker t;
    talker_init(&t);
    int peer = talk(&t, kind);
    check_rc(evert_transport_puts(transport_of(&t), "sent"), 0);
    peer_hears(peer, "sent");
    end(transport_of(&t));
    size_t unsent = inside(&t)->out.queued; /* of what the kernel has not said yet that it went */
    check_rc(evert_transport_puts(transport_of(&t), "after"), 0);
    assert_int_equal(inside(&t)->out.queued, unsent);
    close(peer);
    check_lost(&t, reason);
    talker_fini(&t);
}

static void test_a_write_after_the_end_is_kept_nowhere(void **state)
{
    (void)state;
    start_logging(); /* builds with checks warn */
    for (int kind = TCP; kind <= UNIX; kind++) {
        write_after((enum kind)kind, evert_transport_lose_connection, 0);
        write_after((enum kind)kind, evert_transport_abort_connection, -ECONNABORTED);
    }
    stop_logging();
}

/* T4: a connection that was lost is NULL, and takes everything. */
/* T4: also while what was written before is still being sent. */
static void test_a_write_while_much_is_flushed_is_dropped(void **state)
{
    char *data = make_pattern(MUCH), *got = malloc(MUCH);
    (void)state;
    assert_non_null(got);
    start_logging(); /* builds with checks warn */
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        int peer = talk_narrow(&t, (enum kind)kind);
        check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
        evert_transport_lose_connection(transport_of(&t));
        check_rc(evert_transport_puts(transport_of(&t), "after"), 0);
        turns(2);
        check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
        check_count(peer_receive(peer, got, MUCH), MUCH);
        assert_true(is_pattern(got, 0, MUCH));
        peer_hears_end(peer);
        close(peer);
        check_lost(&t, 0);
    }
    stop_logging();
    free(got);
    free(data);
}

static void test_every_call_takes_null(void **state)
{
    static const evert_bytes pieces[] = {{"x", 1}};
    (void)state;
    start_logging();
    check_rc(evert_transport_write(NULL, "x", 1), 0);
    check_rc(evert_transport_writev(NULL, pieces, 1), 0);
    check_rc(evert_transport_put(NULL, pieces[0]), 0);
    check_rc(evert_transport_puts(NULL, "x"), 0);
    check_rc(evert_transport_printf(NULL, "%d", 1), 0);
    evert_transport_write_eof(NULL);
    evert_transport_lose_connection(NULL);
    evert_transport_abort_connection(NULL);
    assert_true(evert_transport_is_closing(NULL));
    evert_transport_set_close_limit(NULL, MS);
    evert_transport_pause_reading(NULL);
    evert_transport_resume_reading(NULL);
    evert_transport_consume(NULL, 0);
    evert_transport_set_write_limits(NULL, 0, 0);
    assert_int_equal(evert_transport_unsent(NULL), 0);
    assert_string_equal(evert_transport_peer(NULL), "");
    assert_string_equal(evert_transport_host(NULL), "");
    assert_null(evert_transport_loop(NULL));
    evert_transport_unregister_producer(NULL);
    assert_null(evert_transport_stream(NULL));
    stop_logging();
}

/* T4 */
static void test_a_write_after_our_own_end_is_an_error(void **state)
{
    (void)state;
    struct talker t;
    talker_init(&t);
    int peer = talk(&t, TCP);
    evert_transport_puts(transport_of(&t), "query");
    evert_transport_write_eof(transport_of(&t));
    evert_transport_write_eof(transport_of(&t));
    check_rc(evert_transport_puts(transport_of(&t), "more"), -EPIPE);
    check_rc(evert_transport_printf(transport_of(&t), "more"), -EPIPE);
    peer_hears(peer, "query");
    peer_hears_end(peer);
    check_rc(evert_transport_puts(transport_of(&t), "more"), -EPIPE);
    end_talk(&t, peer);
}

/* Nothing is something that can be written, alone and among others. */
static void test_writing_nothing_is_fine(void **state)
{
    static const evert_bytes pieces[] = {{NULL, 0}, {"a", 1}, {NULL, 0}, {"bc", 2}, {"", 0}};
    (void)state;
    struct talker t;
    talker_init(&t);
    int peer = talk(&t, TCP);
    for (int i = 0; i < 2; i++) { /* the second time there is something in front of it */
        check_rc(evert_transport_write(transport_of(&t), NULL, 0), 0);
        check_rc(evert_transport_puts(transport_of(&t), ""), 0);
        check_rc(evert_transport_writev(transport_of(&t), NULL, 0), 0);
        check_rc(evert_transport_writev(transport_of(&t), pieces, 1), 0);
        check_rc(evert_transport_writev(transport_of(&t), pieces, COUNT_OF(pieces)), 0);
        check_rc(evert_transport_printf(transport_of(&t), "%s", ""), 0);
    }
    peer_hears(peer, "abcabc");
    evert_transport_lose_connection(transport_of(&t));
    peer_hears_end(peer);
    end_talk(&t, peer);
}

/* What is written in one turn goes out in one send. */
static void write_many(struct talker *t, char call)
{
    if (call != 'D')
        return;
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%03d,", i);
        evert_bytes pieces[] = {{text, 3}, {text + 3, 1}};
        if (i % 2)
            check_rc(evert_transport_writev(transport_of(t), pieces, COUNT_OF(pieces)), 0);
        else
            check_rc(evert_transport_printf(transport_of(t), "%s", text), 0);
    }
}

static void test_writes_of_a_turn_are_gathered_in_one_send(void **state)
{
    (void)state;
    struct talker t;
    char got[400];
    talker_init(&t);
    t.act = write_many;
    int peer = talk(&t, TCP);
    answer(EVERT__SYS_SEND, 0, 0);
    peer_say(peer, "go");
    check_count(peer_receive(peer, got, sizeof(got)), sizeof(got));
    assert_memory_equal(got, "000,001,002,", 12);
    if (!is_late() && t.size == 2)
        assert_int_equal(plan.asked, 1);
    answer_no_more();
    end_talk(&t, peer);
}

/* Much is sent before the turn ends, all that may be below the high-water mark in one send. */
static void write_much(struct talker *t, char call)
{
    static const char much[EVERT_HIGH_WATER];
    if (call != 'D')
        return;
    check_rc(evert_transport_write(transport_of(t), much, sizeof(much)), 0);
    t->count = plan.asked;
}

static void test_much_is_sent_at_once(void **state)
{
    static char got[EVERT_HIGH_WATER];
    (void)state;
    struct talker t;
    talker_init(&t);
    t.act = write_much;
    int peer = talk(&t, UNIX);
    answer(EVERT__SYS_SEND, 0, 0);
    peer_say(peer, "go");
    check_count(peer_receive(peer, got, sizeof(got)), sizeof(got));
    if (!is_late()) {
        assert_int_equal(t.count, 1);
        assert_int_equal(plan.asked, 1);
    }
    answer_no_more();
    end_talk(&t, peer);
}

/* BR-001: one write of many pieces, to a peer that begins to read late. */
static void test_a_large_write_of_many_pieces_arrives_in_order(void **state)
{
    enum { PIECES = 200, SIZE = 8192, ALL = PIECES * SIZE + 6 };
    static char data[PIECES][SIZE], got[ALL + 1];
    evert_bytes pieces[PIECES + 1];
    (void)state;
    for (int i = 0; i < PIECES; i++) {
        memset(data[i], i % 251, SIZE);
        pieces[i] = (evert_bytes){data[i], SIZE};
    }
    pieces[PIECES] = evert_bytes_of("FINISH");
    for (int narrow = 0; narrow < 2; narrow++) {
        for (int kind = TCP; kind <= UNIX; kind++) {
            struct talker t;
            talker_init(&t);
            struct ends e = make_ends((enum kind)kind);
            if (narrow)
                set_size(e.s->fd.number, SO_SNDBUF, 4096);
            talk_on(&t, e.s);
            check_rc(evert_transport_writev(transport_of(&t), pieces, PIECES + 1), 0);
            assert_true(t.pauses == (evert_transport_unsent(transport_of(&t)) > EVERT_HIGH_WATER));
            turns(20);
            evert_transport_lose_connection(transport_of(&t));
            check_count(peer_receive(e.peer, got, ALL), ALL);
            for (int i = 0; i < PIECES; i++)
                assert_memory_equal(got + (size_t)i * SIZE, data[i], SIZE);
            assert_memory_equal(got + PIECES * SIZE, "FINISH", 6);
            peer_hears_end(e.peer);
            end_talk(&t, e.peer);
        }
    }
}

/* Writes of a pausing protocol come behind the whole of the write that made it pause. */
static void write_when_paused(struct talker *t, char call)
{
    if (call == 'P')
        check_rc(evert_transport_puts(transport_of(t), "behind"), 0);
}

static void test_a_write_of_several_pieces_is_not_torn(void **state)
{
    enum { SIZE = 100000 };
    static char data[3][SIZE], got[3 * SIZE];
    evert_bytes pieces[3];
    (void)state;
    struct talker t;
    talker_init(&t);
    t.act = write_when_paused;
    for (int i = 0; i < 3; i++) {
        memset(data[i], 'a' + i, SIZE);
        pieces[i] = (evert_bytes){data[i], SIZE};
    }
    int peer = talk_narrow(&t, UNIX);
    check_rc(evert_transport_writev(transport_of(&t), pieces, 3), 0);
    assert_int_equal(t.pauses, 1);
    check_count(peer_receive(peer, got, sizeof(got)), sizeof(got));
    assert_memory_equal(got, data, sizeof(got));
    peer_hears(peer, "behind");
    end_talk(&t, peer);
}

/* F45, S5: nothing is sent behind a gap: what cannot be written loses the connection. */
static void test_a_write_that_fails_loses_the_connection(void **state)
{
    enum { LARGE = 4 << 20 }; /* more than the loop keeps, and the kernel takes */
    char *data = make_pattern(LARGE);
    char *got = malloc(LARGE);
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct talker t;
        talker_init(&t);
        int peer = talk_narrow(&t, TCP);
        check_rc(evert_transport_puts(transport_of(&t), "some"), 0);
        take_memory_away();
        int rc = i == 0   ? evert_transport_write(transport_of(&t), data, LARGE)
                 : i == 1 ? evert_transport_printf(transport_of(&t), "%100000s", "much")
                          : evert_transport_printf(transport_of(&t), "%f", 1.0);
        give_memory_back();
        check_rc(rc, i == 2 ? EVERT_EFORMAT : -ENOMEM);
        assert_int_equal(t.lost, 0);
        check_rc(evert_transport_puts(transport_of(&t), "behind"), 0);
        check_lost(&t, rc);
        ssize_t count = peer_receive(peer, got, i == 0 ? LARGE : 5);
        assert_true(count <= 4 || memcmp(got + 4, data, (size_t)count - 4) == 0);
        close(peer);
    }
    free(got);
    free(data);
}

/* ---- T7: half-close and pausing ---- */

/* Case 17: the query is ended, and the reply arrives all the same. */
static void test_after_our_end_the_reply_arrives(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        int peer = talk(&t, (enum kind)kind);
        evert_transport_puts(transport_of(&t), "query");
        evert_transport_write_eof(transport_of(&t));
        assert_false(evert_transport_is_closing(transport_of(&t)));
        peer_hears(peer, "query");
        peer_hears_end(peer);
        turns(5);
        check_told(&t, "M");
        peer_say(peer, "reply");
        wait_until(t.size == 5);
        assert_int_equal(shutdown(peer, SHUT_WR), 0);
        check_lost(&t, 0); /* both have ended */
        check_told(&t, "MDEL");
        end_talk(&t, peer);
    }
}

/* T7: our end comes behind all that was written. */
static void test_our_end_is_sent_behind_all_that_was_written(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        int peer = talk_narrow(&t, (enum kind)kind);
        evert_transport_write(transport_of(&t), data, MUCH);
        evert_transport_write_eof(transport_of(&t));
        check_rc(evert_transport_puts(transport_of(&t), "x"), -EPIPE);
        turns(3);
        peer_hears_pattern_and_end(peer, MUCH);
        peer_say(peer, "still heard");
        wait_until(t.size == 11);
        assert_int_equal(t.lost, 0);
        close(peer);
        check_lost(&t, 0);
        talker_fini(&t);
    }
    free(data);
}

/* F20, T7: with EVERT_KEEP_OPEN writing goes on, until we close. */
static void test_after_the_peers_end_writing_goes_on(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        for (int ends = 0; ends < 2; ends++) {
            struct talker t;
            talker_init(&t);
            t.eof_result = EVERT_KEEP_OPEN;
            int peer = talk(&t, (enum kind)kind);
            peer_say(peer, "query");
            assert_int_equal(shutdown(peer, SHUT_WR), 0);
            wait_until(strchr(t.told, 'E') != NULL);
            turns(5);
            check_rc(evert_transport_puts(transport_of(&t), "reply"), 0);
            peer_hears(peer, "reply");
            check_told(&t, "MDE");
            if (ends)
                evert_transport_write_eof(transport_of(&t)); /* both have ended */
            else
                evert_transport_lose_connection(transport_of(&t));
            peer_hears_end(peer);
            check_lost(&t, 0);
            end_talk(&t, peer);
        }
    }
}

/* T7: without it, the connection is closed once all was sent. */
static void write_at_end(struct talker *t, char call)
{
    if (call == 'E')
        check_rc(evert_transport_write(transport_of(t), t->arg, MUCH), 0);
}

static void test_at_the_peers_end_all_is_sent_and_it_closes(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        t.act = write_at_end;
        t.arg = data;
        int peer = talk_narrow(&t, (enum kind)kind);
        assert_int_equal(shutdown(peer, SHUT_WR), 0);
        wait_until(strchr(t.told, 'E') != NULL);
        peer_hears_pattern_and_end(peer, MUCH);
        check_lost(&t, 0);
        end_talk(&t, peer);
    }
    free(data);
}

/* Our end is due but not yet sent when the peer's comes. */
static void test_both_ends_meet_while_much_is_unsent(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        t.eof_result = EVERT_KEEP_OPEN;
        int peer = talk_narrow(&t, (enum kind)kind);
        evert_transport_write(transport_of(&t), data, MUCH);
        evert_transport_write_eof(transport_of(&t));
        assert_int_equal(shutdown(peer, SHUT_WR), 0);
        wait_until(strchr(t.told, 'E') != NULL);
        assert_int_equal(t.lost, 0);
        peer_hears_pattern_and_end(peer, MUCH);
        check_lost(&t, 0);
        end_talk(&t, peer);
    }
    free(data);
}

/* Case 18: a paused reader sees neither the data nor the end, until it is resumed. */
static void test_paused_it_hears_nothing_and_resumed_all(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        int peer = talk(&t, (enum kind)kind);
        if (kind == UNIX)
            turns(3); /* it waits already */
        evert_transport_pause_reading(transport_of(&t));
        evert_transport_pause_reading(transport_of(&t));
        peer_say(peer, "data");
        close(peer);
        wait_ended(t.number);
        turns(10);
        check_told(&t, "M");
        evert_transport_resume_reading(transport_of(&t));
        check_told(&t, "M"); /* not from inside */
        evert_transport_resume_reading(transport_of(&t));
        check_lost(&t, 0);
        check_told(&t, "MDEL");
        check_heard(&t, "data");
        talker_fini(&t);
    }
}

static void pause_it(struct talker *t, char call)
{
    if (call == 'D' || call == 'M')
        evert_transport_pause_reading(transport_of(t));
}

/* T7: paused in each call, it is given a piece at a time; the end waits, too. */
static void test_it_pauses_in_the_middle_of_what_arrived(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    struct talker t;
    talker_init(&t);
    t.act = pause_it;
    int peer = talk(&t, UNIX);
    size_t size = 0;
    assert_int_equal(send(peer, data, 30000, MSG_NOSIGNAL), 30000);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    turns(5);
    assert_int_equal(t.size, 0);
    while (!t.lost) {
        assert_true(t.size >= size);
        size = t.size;
        evert_transport_resume_reading(transport_of(&t));
        wait_until(t.size > size || t.lost);
        size = t.size;
        turns(3);
        assert_true(t.size == size);
    }
    assert_int_equal(t.size, 30000);
    assert_true(is_pattern(t.heard, 0, 30000));
    check_told(&t, "MDEL");
    end_talk(&t, peer);
    free(data);
}

/* Held back while it is paused: what it does not read stays with the peer. */
static void test_a_paused_reader_holds_its_peer_back(void **state)
{
    static char data[65536];
    (void)state;
    struct talker t;
    talker_init(&t);
    int peer = talk_narrow(&t, UNIX);
    evert_transport_pause_reading(transport_of(&t));
    size_t sent = 0;
    for (int i = 0; i < 200; i++) {
        ssize_t count = send(peer, data, sizeof(data), MSG_NOSIGNAL);
        sent += count > 0 ? (size_t)count : 0;
        turns(1);
    }
    assert_true(sent < 200 * sizeof(data));
    assert_int_equal(t.size, 0);
    evert_transport_resume_reading(transport_of(&t));
    wait_until(t.size == sent);
    end_talk(&t, peer);
}

/* ---- Input that is taken apart by the protocol itself ---- */

static int take_threes(evert_protocol *protocol, evert_bytes input)
{
    struct talker *t = talker_of(protocol);
    t->count++;
    while (input.size >= 3 && t->size < t->room) {
        memcpy(t->heard + t->size, input.data, 3);
        t->size += 3;
        input.data += 3;
        input.size -= 3;
        evert_transport_consume(transport_of(t), 3);
    }
    return 0;
}

static const evert_protocol_ops threes = {
    .connection_made = talker_made,
    .input_received = take_threes,
    .eof_received = talker_eof,
    .connection_lost = talker_lost,
};

/* What it leaves it gets again with what follows; what came behind the last piece is not lost. */
static void test_input_that_is_not_consumed_is_given_again(void **state)
{
    (void)state;
    struct talker t;
    talker_init(&t);
    t.protocol.ops = &threes;
    t.heard = malloc(100);
    t.room = 100;
    int peer = talk(&t, TCP);
    const char *words = "abcdefghijk";
    for (size_t i = 0; i < strlen(words); i++) {
        peer_send(peer, words + i, 1);
        wait_until(t.size == (i + 1) / 3 * 3 && t.count >= (int)i / 2);
    }
    check_heard(&t, "abcdefghi");
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    check_lost(&t, 0);
    check_heard(&t, "abcdefghi");
    check_told(&t, "MEL");
    end_talk(&t, peer);
}

static void count_data(struct talker *t, char call)
{
    t->count += call == 'D';
}

/* What has arrived is given at once, up to 64 KiB; and an idle connection holds no buffer. */
static void test_what_arrived_is_given_in_one_piece(void **state)
{
    static const int sizes[] = {1, 4096, 4097, 60000};
    char *data = make_pattern(60000);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct talker t;
        talker_init(&t);
        t.act = count_data;
        int peer = talk(&t, UNIX);
        assert_int_equal(send(peer, data, (size_t)sizes[i], MSG_NOSIGNAL), sizes[i]);
        wait_until(t.size == (size_t)sizes[i]);
        wait_until(inside(&t)->in.data == NULL);
        if (!is_late())
            assert_int_equal(t.count, 1);
        end_talk(&t, peer);
    }
    free(data);
}

/* The same without memory for so much: it comes in smaller pieces. */
static void test_without_memory_for_a_large_buffer_small_ones_do(void **state)
{
    char *data = make_pattern(60000);
    (void)state;
    struct talker t;
    talker_init(&t);
    t.act = count_data;
    t.heard = malloc(60000);
    t.room = 60000;
    int peer = talk(&t, UNIX);
    evert_loop *loop = evert_transport_loop(transport_of(&t));
    char *large = evert__large_get(loop); /* nobody else has it now */
    evert__chunk_put(loop, evert__chunk_get(loop));
    assert_int_equal(send(peer, data, 4000, MSG_NOSIGNAL), 4000);
    take_memory_away();
    wait_until(t.size == 4000);
    give_memory_back();
    assert_true(is_pattern(t.heard, 0, 4000));
    assert_int_equal(t.lost, 0);
    evert__large_put(loop, large);
    end_talk(&t, peer);
    free(data);
}

/* F45: its protocol is told, and also who looks after the program; but that once for many. */
static void test_input_without_memory_loses_the_connection(void **state)
{
    struct talker t[3];
    int peers[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        talker_init(&t[i]);
        peers[i] = talk(&t[i], TCP);
    }
    evert_loop *loop = evert_transport_loop(transport_of(&t[0]));
    loop->memory_told = INT64_MIN; /* as if nothing was ever said */
    char *large = evert__large_get(loop);
    start_logging();
    take_memory_away();
    struct evert__chunk *all = take_chunks(loop);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send(peers[i], "Ann", 3, MSG_NOSIGNAL), 3);
    for (int i = 0; i < 3; i++)
        wait_until(t[i].lost == 1);
    give_memory_back();
    stop_logging();
    give_chunks_back(loop, all);
    evert__large_put(loop, large);
    for (int i = 0; i < 3; i++) {
        check_lost(&t[i], -ENOMEM);
        close(peers[i]);
    }
    assert_int_equal(logged.count, 1);
    assert_non_null(strstr(logged.text, "no memory to read from a peer"));
}

/* The little that is left of much is not held in a large buffer, which others need. */
static void test_what_is_left_is_held_in_little_memory(void **state)
{
    char *data = make_pattern(60000);
    (void)state;
    struct talker t;
    talker_init(&t);
    t.protocol.ops = &threes;
    t.heard = malloc(60003);
    t.room = 60003;
    int peer = talk(&t, UNIX);
    assert_int_equal(send(peer, data, 50000, MSG_NOSIGNAL), 50000);
    wait_until(t.size == 49998);
    wait_until(inside(&t)->in.capacity == EVERT__CHUNK);
    assert_int_equal(evert__input_size(&inside(&t)->in), 2);
    assert_int_equal(send(peer, data + 50000, 10000, MSG_NOSIGNAL), 10000);
    wait_until(t.size == 60000);
    assert_true(is_pattern(t.heard, 0, 60000));
    end_talk(&t, peer);
    free(data);
}

/* Sends what there is room for just now: how much that was. */
static size_t send_now(int fd, const void *data, size_t size)
{
    ssize_t count = send(fd, data, size, MSG_NOSIGNAL);
    return count > 0 ? (size_t)count : 0;
}

/* One that never consumes cannot have all the memory. */
static void test_one_that_leaves_a_megabyte_is_lost(void **state)
{
    char *data = make_pattern(100000);
    (void)state;
    struct talker t;
    talker_init(&t);
    t.protocol.ops = &threes;
    int peer = talk(&t, UNIX);
    size_t sent = 0;
    wait_until((sent += send_now(peer, data, 100000), t.lost));
    assert_in_range(sent, 1 << 20, 3 << 19); /* some of it was in the kernel still */
    check_lost(&t, EVERT_ELIMIT);
    check_told(&t, "ML");
    end_talk(&t, peer);
    free(data);
}

static int consume_too_much(evert_protocol *protocol, evert_bytes input)
{
    evert_transport_consume(protocol->transport, input.size + 1);
    evert_transport_consume(protocol->transport, input.size);
    talker_of(protocol)->count++;
    return 0;
}

static int consume_more_than_there_is(void *unused)
{
    static const evert_protocol_ops ops = {.connection_made = talker_made,
                                           .input_received = consume_too_much,
                                           .connection_lost = talker_lost};
    struct talker t;
    (void)unused;
    talker_init(&t);
    t.protocol.ops = &ops;
    int peer = talk(&t, TCP);
    peer_say(peer, "abc");
    wait_until(t.count == 1);
    end_talk(&t, peer);
    return 0;
}

static void test_consuming_more_than_there_is_is_misuse(void **state)
{
    (void)state;
    check_misuse(consume_more_than_there_is, 0, "more bytes than there are");
}

/* ---- T8: water marks ---- */

static void note_unsent(struct talker *t, char call)
{
    if (call == 'R')
        t->count = (int)evert_transport_unsent(transport_of(t));
}

/* Case 31: high 1,000 and low 250: one pause, and one resume at or below the low mark. */
static void test_of_a_slow_peer_there_is_one_pause_and_one_resume(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        char *data = make_pattern(MUCH);
        size_t size = 0;
        talker_init(&t);
        t.act = note_unsent;
        t.count = -1;
        int peer = talk_narrow(&t, (enum kind)kind);
        evert_transport_set_write_limits(transport_of(&t), 1000, 250);
        while (t.pauses == 0) {
            assert_true(size + 100 <= MUCH);
            check_rc(evert_transport_write(transport_of(&t), data + size, 100), 0);
            size += 100;
        }
        assert_true(evert_transport_unsent(transport_of(&t)) > 1000);
        for (int i = 0; i < 10; i++) { /* who does not heed it is not told again */
            check_rc(evert_transport_write(transport_of(&t), data + size, 100), 0);
            size += 100;
        }
        char *got = malloc(size);
        assert_non_null(got);
        check_count(peer_receive(peer, got, size), (ssize_t)size);
        assert_true(is_pattern(got, 0, size));
        wait_until(t.resumes == 1);
        assert_in_range(t.count, 0, 250);
        turns(5);
        check_told(&t, "MPR");
        free(got);
        free(data);
        end_talk(&t, peer);
    }
}

/* T8: it is resumed at the low mark, and not again when still less is unsent. */
static void test_below_the_low_mark_it_is_not_resumed_again(void **state)
{
    enum { PIECE = 2000, PIECES = 100 };
    char *data = make_pattern(PIECE * PIECES), got[PIECE];
    (void)state;
    struct talker t;
    talker_init(&t);
    t.act = note_unsent;
    int peer = talk_narrow(&t, UNIX);
    evert_transport_set_write_limits(transport_of(&t), 100000, 50000);
    check_rc(evert_transport_write(transport_of(&t), data, PIECE * PIECES), 0);
    for (int i = 0; i < PIECES; i++) {
        check_count(peer_receive(peer, got, PIECE), PIECE);
        turns(1);
    }
    turns(5);
    assert_in_range(t.count, 30000, 50000);
    check_told(&t, "MPR");
    free(data);
    end_talk(&t, peer);
}

/* So that it takes nothing more from anybody. */
static size_t fill_kernel(int fd)
{
    static const char junk[4096];
    size_t sum = 0;
    ssize_t count;
    for (size_t size = sizeof(junk); size > 0; size /= 2) {
        while ((count = send(fd, junk, size, MSG_NOSIGNAL)) > 0)
            sum += (size_t)count;
    }
    return sum;
}

/* T8: 64 KiB and 16 KiB unless set. */
static void test_the_usual_marks(void **state)
{
    char *data = make_pattern(MUCH);
    static char got[MUCH];
    (void)state;
    struct talker t;
    talker_init(&t);
    int peer = talk(&t, UNIX);
    size_t size = 0, before = fill_kernel(t.number);
    while (evert_transport_unsent(transport_of(&t)) + 1000 <= EVERT_HIGH_WATER) {
        check_rc(evert_transport_write(transport_of(&t), data + size, 1000), 0);
        size += 1000;
    }
    size_t rest = EVERT_HIGH_WATER - size;
    check_rc(evert_transport_write(transport_of(&t), data + size, rest), 0);
    assert_int_equal(evert_transport_unsent(transport_of(&t)), EVERT_HIGH_WATER);
    assert_int_equal(t.pauses, 0);
    check_rc(evert_transport_write(transport_of(&t), data + EVERT_HIGH_WATER, 1), 0);
    assert_int_equal(t.pauses, 1);
    t.act = note_unsent;
    while (before > 0) {
        size_t part = before < MUCH ? before : MUCH;
        check_count(peer_receive(peer, got, part), (ssize_t)part);
        before -= part;
    }
    check_count(peer_receive(peer, got, EVERT_HIGH_WATER + 1), EVERT_HIGH_WATER + 1);
    assert_true(is_pattern(got, 0, EVERT_HIGH_WATER + 1));
    wait_until(t.resumes == 1);
    assert_in_range(t.count, 0, 16384);
    end_talk(&t, peer);
    free(data);
}

/* T8: zero is legal: it pauses when anything is unsent, and resumes when nothing is. */
static void test_marks_of_zero(void **state)
{
    char *data = make_pattern(MUCH);
    static char got[MUCH];
    (void)state;
    struct talker t;
    talker_init(&t);
    t.act = note_unsent;
    int peer = talk_narrow(&t, UNIX);
    evert_transport_set_write_limits(transport_of(&t), 0, 5);
    check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
    assert_int_equal(t.pauses, 1);
    check_count(peer_receive(peer, got, MUCH), MUCH);
    wait_until(t.resumes == 1);
    assert_int_equal(t.count, 0);
    assert_true(is_pattern(got, 0, MUCH));
    end_talk(&t, peer);
    free(data);
}

/* T8: setting them looks at what is unsent by then. */
static void test_marks_are_moved_while_something_is_unsent(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    struct talker t;
    talker_init(&t);
    int peer = talk_narrow(&t, UNIX);
    evert_transport_set_write_limits(transport_of(&t), MUCH, MUCH);
    check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
    turns(2);
    assert_int_equal(t.pauses, 0);
    evert_transport_set_write_limits(transport_of(&t), 1000, 0);
    check_told(&t, "MP");
    evert_transport_set_write_limits(transport_of(&t), 1000, 1000);
    turns(2);
    check_told(&t, "MP");
    evert_transport_set_write_limits(transport_of(&t), SIZE_MAX, SIZE_MAX);
    wait_until(t.resumes == 1);
    peer_hears_pattern_and_end((evert_transport_lose_connection(transport_of(&t)), peer), MUCH);
    end_talk(&t, peer);
    check_told(&t, "MPRL");
    free(data);
}

/* T1, T8: what was written before connection_made() may be too much; that is heard after it. */
static void test_it_is_asked_to_pause_only_once_it_was_made(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    for (int streams = 0; streams < 2; streams++) {
        struct talker t;
        talker_init(&t);
        struct ends e = make_narrow_ends(UNIX);
        if (streams) /* what a stream left unsent counts, too */
            check_rc(evert__output_append(e.s, data, MUCH), 0);
        check_rc(evert_stream_transport(e.s, &t.protocol), 0);
        if (!streams)
            check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
        check_told(&t, "");
        wait_until(t.pauses == 1);
        check_told(&t, "MP");
        evert_transport_lose_connection(transport_of(&t));
        peer_hears_pattern_and_end(e.peer, MUCH);
        end_talk(&t, e.peer);
    }
    free(data);
}

/* ---- Faults ---- */

/* Fails one send. From Unix sockets it takes little at a time, so that much is unread for long. */
static bool fail_a_send(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    if (call == EVERT__SYS_RECV && plan.skip && *size > 1000)
        *size = 1000;
    if (call != EVERT__SYS_SEND || plan.times == 0)
        return false;
    plan.times--;
    *result = -ECONNRESET;
    return true;
}

/* F17, S9: a write fails with much unread: all of it is heard first, then the loss, once. */
static void test_what_had_arrived_is_heard_before_a_failed_write_is_told(void **state)
{
    enum { UNREAD = 50000 };
    char *data = make_pattern(UNREAD);
    (void)state;
    for (int i = 0; i < 40; i++) {
        enum kind kind = i % 2 ? TCP : UNIX;
        struct talker t;
        talker_init(&t);
        int peer = talk(&t, kind);
        evert_transport_set_write_limits(transport_of(&t), 0, 0); /* it is sent at once */
        turns(i / 2 % 4);
        plan.times = 1;
        plan.skip = kind == UNIX; /* a short count from TCP would say that there is no more */
        evert__sys_set_hook(fail_a_send);
        assert_int_equal(send(peer, data, UNREAD, MSG_NOSIGNAL), UNREAD);
        check_rc(evert_transport_puts(transport_of(&t), "x"), 0);
        check_lost(&t, -ECONNRESET);
        answer_no_more();
        assert_int_equal(t.size, UNREAD);
        assert_true(is_pattern(t.heard, 0, UNREAD));
        assert_null(strchr(t.told, 'E'));
        end_talk(&t, peer);
    }
    free(data);
}

/* F17: the kernel tells the reset to a write, and to the reader an end. It was no end. */
static void test_a_reset_that_a_write_was_told_is_no_end(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct talker t;
        talker_init(&t);
        t.eof_result = i % 2;
        int peer = talk(&t, TCP);
        evert_transport_pause_reading(transport_of(&t));
        peer_say(peer, "data");
        peer_reset(peer);
        wait_ended(t.number);
        evert_transport_resume_reading(transport_of(&t));
        evert_transport_set_write_limits(transport_of(&t), 0, 0); /* it is sent at once */
        evert_transport_puts(transport_of(&t), "x");
        wait_until(t.lost);
        assert_true(t.reason == -ECONNRESET || t.reason == -EPIPE);
        if (!is_late()) /* where the write may not know yet what it was told */
            assert_null(strchr(t.told, 'E'));
        talker_fini(&t);
    }
}

static int signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* F18: whatever is written to a peer that is gone. */
static void test_no_write_raises_sigpipe(void **state)
{
    struct sigaction count = {.sa_handler = count_signal}, before;
    char *data = make_pattern(MUCH);
    (void)state;
    signals = 0;
    start_logging(); /* in a debug build of each write that was dropped */
    assert_int_equal(sigaction(SIGPIPE, &count, &before), 0);
    for (int kind = TCP; kind <= UNIX; kind++) {
        for (int i = 0; i < 4; i++) {
            struct talker t;
            talker_init(&t);
            t.eof_result = EVERT_KEEP_OPEN;
            int peer = talk(&t, (enum kind)kind);
            if (i % 2)
                peer_reset(peer);
            else
                close(peer);
            while (!t.lost) {
                check_rc(evert_transport_write(transport_of(&t), data, i < 2 ? 10 : MUCH), 0);
                if (i == 3)
                    evert_transport_write_eof(transport_of(&t));
                turns(1);
                if (i == 3)
                    break;
            }
            wait_until(t.lost);
            assert_true(t.reason == -EPIPE || t.reason == -ECONNRESET || i == 3);
            talker_fini(&t);
        }
    }
    assert_int_equal(sigaction(SIGPIPE, &before, NULL), 0);
    stop_logging();
    assert_int_equal(signals, 0);
    free(data);
}

/* F23, case 21: with input unread the answer arrives all the same. */
static void test_a_close_with_input_unread_does_not_destroy_the_answer(void **state)
{
    char *upload = calloc(1, 200000);
    assert_non_null(upload);
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct talker t;
        talker_init(&t);
        int peer = talk(&t, i % 2 ? UNIX : TCP);
        evert_transport_pause_reading(transport_of(&t));
        assert_true(peer_send(peer, upload, 50000));
        turns(i / 2);
        evert_transport_puts(transport_of(&t), "413 too big\r\n");
        evert_transport_lose_connection(transport_of(&t));
        assert_true(peer_send(peer, upload, 200000));
        peer_hears(peer, "413 too big\r\n");
        peer_hears_end(peer);
        end_talk(&t, peer);
        check_told(&t, "ML");
    }
    free(upload);
}

/* F34: a new connection with the number of one that is gone hears nothing of that. */
static void test_a_new_connection_with_the_number_of_an_old_one(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct talker old, young;
        talker_init(&old);
        talker_init(&young);
        int peer = talk(&old, TCP);
        turns(i % 3);
        peer_say(peer, "for the old one");
        evert_transport_abort_connection(transport_of(&old));
        wait_until(fcntl(old.number, F_GETFD) < 0);
        struct ends e = make_ends(TCP);
        talk_on(&young, e.s);
        close(peer);
        turns(5);
        check_told(&young, "M");
        peer_say(e.peer, "young");
        wait_until(young.size == 5);
        check_heard(&young, "young");
        check_lost(&old, -ECONNABORTED);
        talker_fini(&old);
        end_talk(&young, e.peer);
    }
}

static int end_in_child(void *arg)
{
    struct talker *t = arg;
    evert_transport *transport = transport_of(t);
    evert_transport_puts(transport, "from the child");
    if (t->count == 0)
        evert_transport_abort_connection(transport);
    else
        evert_transport_lose_connection(transport);
    if (t->lost || transport_of(t) != NULL)
        return 1;
    return fcntl(t->number, F_GETFD) >= 0 ? 2 : 0;
}

/* F38, P9: a child has a copy, and closes only that. */
static void test_in_a_child_only_its_copy_is_closed(void **state)
{
    (void)state;
    for (int loses = 0; loses < 2; loses++) {
        struct talker t;
        talker_init(&t);
        int peer = talk(&t, TCP);
        t.count = loses;
        struct child child = in_child(end_in_child, &t);
        check_exit(&child, 0);
        evert_transport_puts(transport_of(&t), "parent");
        peer_hears(peer, "parent");
        peer_say(peer, "x");
        wait_until(t.size == 1);
        end_talk(&t, peer);
    }
}

/* A reader that is fast and a peer that is faster: others get their turn, and nothing is lost. */
static void test_much_is_read_in_order(void **state)
{
    enum { ALL = 3000000 };
    char *data = make_pattern(ALL);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        talker_init(&t);
        int peer = talk(&t, (enum kind)kind);
        assert_true(peer_send(peer, data, ALL));
        close(peer);
        check_lost(&t, 0);
        assert_int_equal(t.size, ALL);
        assert_true(is_pattern(t.heard, 0, ALL));
        talker_fini(&t);
    }
    free(data);
}

/* Addresses, as streams have them. */
static void test_a_transport_tells_its_addresses(void **state)
{
    (void)state;
    struct talker t;
    talker_init(&t);
    int peer = talk(&t, TCP);
    check_words(evert_transport_peer(transport_of(&t)), "tcp://127.0.0.1:");
    check_words(evert_transport_host(transport_of(&t)), "tcp://127.0.0.1:");
    assert_ptr_equal(evert_transport_loop(transport_of(&t)), self()->loop);
    end_talk(&t, peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_much_is_given_in_few_pieces),
        everywhere(test_what_was_written_is_sent_before_a_close),
        everywhere(test_much_is_sent_before_a_close),
        everywhere(test_losing_twice_loses_once),
        everywhere(test_an_abort_drops_what_was_not_sent),
        everywhere(test_an_abort_of_tcp_is_a_reset),
        everywhere(test_an_abort_while_it_is_being_closed),
        everywhere(test_a_close_has_a_limit_in_time),
        everywhere(test_nothing_is_heard_after_losing),
        everywhere(test_what_had_arrived_is_not_heard_after_losing),
        everywhere(test_a_write_after_the_close_is_dropped),
        everywhere(test_a_write_after_the_end_is_kept_nowhere),
        everywhere(test_a_write_while_much_is_flushed_is_dropped),
        everywhere(test_every_call_takes_null),
        everywhere(test_a_write_after_our_own_end_is_an_error),
        everywhere(test_writing_nothing_is_fine),
        everywhere(test_writes_of_a_turn_are_gathered_in_one_send),
        everywhere(test_much_is_sent_at_once),
        everywhere(test_a_large_write_of_many_pieces_arrives_in_order),
        everywhere(test_a_write_of_several_pieces_is_not_torn),
        everywhere(test_a_write_that_fails_loses_the_connection),
        everywhere(test_after_our_end_the_reply_arrives),
        everywhere(test_our_end_is_sent_behind_all_that_was_written),
        everywhere(test_after_the_peers_end_writing_goes_on),
        everywhere(test_at_the_peers_end_all_is_sent_and_it_closes),
        everywhere(test_both_ends_meet_while_much_is_unsent),
        everywhere(test_paused_it_hears_nothing_and_resumed_all),
        everywhere(test_it_pauses_in_the_middle_of_what_arrived),
        everywhere(test_a_paused_reader_holds_its_peer_back),
        everywhere(test_input_that_is_not_consumed_is_given_again),
        everywhere(test_what_arrived_is_given_in_one_piece),
        everywhere(test_without_memory_for_a_large_buffer_small_ones_do),
        everywhere(test_what_is_left_is_held_in_little_memory),
        everywhere(test_input_without_memory_loses_the_connection),
        everywhere(test_one_that_leaves_a_megabyte_is_lost),
        cmocka_unit_test(test_consuming_more_than_there_is_is_misuse),
        everywhere(test_of_a_slow_peer_there_is_one_pause_and_one_resume),
        everywhere(test_below_the_low_mark_it_is_not_resumed_again),
        everywhere(test_the_usual_marks),
        everywhere(test_marks_of_zero),
        everywhere(test_marks_are_moved_while_something_is_unsent),
        everywhere(test_it_is_asked_to_pause_only_once_it_was_made),
        everywhere(test_what_had_arrived_is_heard_before_a_failed_write_is_told),
        everywhere(test_a_reset_that_a_write_was_told_is_no_end),
        everywhere(test_no_write_raises_sigpipe),
        everywhere(test_a_close_with_input_unread_does_not_destroy_the_answer),
        everywhere(test_a_new_connection_with_the_number_of_an_old_one),
        everywhere(test_in_a_child_only_its_copy_is_closed),
        everywhere(test_much_is_read_in_order),
        everywhere(test_a_transport_tells_its_addresses),
    };
    return run_table(tests);
}
