/* SPDX-License-Identifier: MIT */
/*
 * Producers: pushed ones are paused and resumed by the water marks, pulled ones are asked whenever
 * all was sent (T6); a close waits for them, for as long as its limit (T5); and whatever they do in
 * their functions is allowed (F50).
 */
#include "protocols.h"

enum { PIECE = 1000, MUCH = 400000 };

/* A producer that writes down what it is told: R resume, P pause, S stop. */
struct maker {
    evert_producer producer;
    struct talker *t;
    char told[200];
    int asked, stopped, steps; /* to make, when it is asked */
    bool unregisters;          /* behind the last */
    size_t piece;
    void (*act)(struct maker *m, char call);
};

static struct maker *maker_of(evert_producer *producer)
{
    return EVERT__CONTAINER(producer, struct maker, producer);
}

static void note_maker(struct maker *m, char call)
{
    size_t size = strlen(m->told);
    assert_int_equal(m->stopped, 0); /* nothing after it */
    assert_true(size + 1 < sizeof(m->told));
    m->told[size] = call;
    m->stopped += call == 'S';
    if (m->act != NULL)
        m->act(m, call);
}

/* Makes one more piece. */
static void resume(evert_producer *producer)
{
    struct maker *m = maker_of(producer);
    static char piece[MUCH];
    m->asked++;
    note_maker(m, 'R');
    if (m->steps <= 0)
        return;
    snprintf(piece, sizeof(piece), "%*d,", (int)m->piece - 1, m->asked);
    check_rc(evert_transport_write(transport_of(m->t), piece, m->piece), 0);
    if (--m->steps == 0 && m->unregisters)
        evert_transport_unregister_producer(transport_of(m->t));
}

static void pause_(evert_producer *producer)
{
    note_maker(maker_of(producer), 'P');
}

static void stop(evert_producer *producer)
{
    note_maker(maker_of(producer), 'S');
}

static const evert_producer_ops pulled = {resume, NULL, stop}, pushed = {resume, pause_, stop};

static void maker_init(struct maker *m, struct talker *t, const evert_producer_ops *ops)
{
    *m = (struct maker){.producer = {ops}, .t = t, .piece = 4, .unregisters = true};
}

/* A connection, and a producer that is registered there. */
static int begin(struct talker *t, struct maker *m, const evert_producer_ops *ops, int steps)
{
    talker_init(t);
    int peer = talk_narrow(t, UNIX);
    maker_init(m, t, ops);
    m->steps = steps;
    check_rc(evert_transport_register_producer(transport_of(t), &m->producer), 0);
    return peer;
}

#define check_maker(m, letters) assert_string_equal((m)->told, (letters))

/* ---- T6: pulled ---- */

/* Case 19: three asks for three steps, in order, each when all before it was sent. */
static void note_that_all_is_sent(struct maker *m, char call)
{
    if (call == 'R')
        assert_int_equal(evert_transport_unsent(transport_of(m->t)), 0);
}

static void test_a_pulled_producer_of_three_steps_is_asked_three_times(void **state)
{
    struct talker t;
    struct maker m;
    (void)state;
    int peer = begin(&t, &m, &pulled, 3);
    m.act = note_that_all_is_sent;
    assert_int_equal(m.asked, 0); /* not from inside */
    peer_hears(peer, "  1,  2,  3,");
    turns(5);
    check_maker(&m, "RRR");
    evert_transport_lose_connection(transport_of(&t));
    peer_hears_end(peer);
    end_talk(&t, peer);
    check_maker(&m, "RRR");
}

/* T6: what the kernel takes at once, without its being queued, was sent as well. */
static void test_a_pulled_producer_of_large_pieces_is_asked_for_each(void **state)
{
    enum { STEPS = 5 };
    static char got[STEPS * EVERT__MUCH];
    struct talker t;
    struct maker m;
    (void)state;
    talker_init(&t);
    int peer = talk(&t, UNIX);
    maker_init(&m, &t, &pulled);
    m.piece = EVERT__MUCH;
    m.steps = STEPS;
    m.act = note_that_all_is_sent;
    check_rc(evert_transport_register_producer(transport_of(&t), &m.producer), 0);
    check_count(peer_receive(peer, got, sizeof(got)), sizeof(got));
    turns(5);
    check_maker(&m, "RRRRR");
    end_talk(&t, peer);
}

/* T6: one that has nothing yet writes later, and is not asked for it until something was sent. */
static void test_a_pulled_producer_that_writes_later_is_not_asked_meanwhile(void **state)
{
    struct talker t;
    struct maker m;
    (void)state;
    int peer = begin(&t, &m, &pulled, 0);
    wait_until(m.asked == 1);
    peer_say(peer, "x");
    wait_until(t.size == 1);
    evert_transport_set_write_limits(transport_of(&t), 100, 10);
    turns(3);
    check_maker(&m, "R");
    check_rc(evert_transport_puts(transport_of(&t), "later"), 0);
    peer_hears(peer, "later");
    wait_until(m.asked == 2);
    turns(3);
    check_maker(&m, "RR");
    end_talk(&t, peer);
    check_maker(&m, "RRS");
}

/* T6: to a slow peer it is not asked ahead. */
static void test_a_pulled_producer_is_as_fast_as_the_peer(void **state)
{
    enum { STEPS = 20, LARGE = 100000 };
    struct talker t;
    struct maker m;
    (void)state;
    int peer = begin(&t, &m, &pulled, STEPS);
    m.piece = LARGE;
    m.act = note_that_all_is_sent;
    turns(50);
    assert_in_range(m.asked, 1, 3);
    char *got = calloc(1, STEPS * LARGE + 1); /* a NUL at the end, for atoi */
    assert_non_null(got);
    check_count(peer_receive(peer, got, STEPS * LARGE), STEPS * LARGE);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(atoi(got + (size_t)i * LARGE), i + 1);
    free(got);
    assert_int_equal(m.asked, STEPS);
    end_talk(&t, peer);
}

/* ---- T6: pushed ---- */

/* T6: paused above the high mark, resumed at the low one, each behind its protocol. */
static void test_a_pushed_producer_is_paused_and_resumed(void **state)
{
    char *data = make_pattern(MUCH), *got = malloc(MUCH);
    struct talker t;
    struct maker m;
    (void)state;
    int peer = begin(&t, &m, &pushed, 0);
    turns(5);
    check_maker(&m, "");
    check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
    check_maker(&m, "P");
    check_told(&t, "MP");
    turns(5);
    check_maker(&m, "P");
    check_count(peer_receive(peer, got, MUCH), MUCH);
    wait_until(m.asked == 1);
    check_maker(&m, "PR");
    check_told(&t, "MPR");
    turns(5);
    check_maker(&m, "PR");
    evert_transport_unregister_producer(transport_of(&t));
    check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
    check_maker(&m, "PR");
    end_talk(&t, peer);
    check_maker(&m, "PR");
    free(got);
    free(data);
}

/* T6: registered while too much is unsent, it hears so at once. */
static void test_a_pushed_producer_that_comes_late_is_paused_at_once(void **state)
{
    char *data = make_pattern(MUCH);
    struct talker t;
    struct maker m;
    (void)state;
    talker_init(&t);
    int peer = talk_narrow(&t, UNIX);
    maker_init(&m, &t, &pushed);
    check_rc(evert_transport_write(transport_of(&t), data, MUCH), 0);
    assert_int_equal(t.pauses, 1);
    check_rc(evert_transport_register_producer(transport_of(&t), &m.producer), 0);
    check_maker(&m, "P");
    wait_until((drain(peer), m.asked == 1));
    end_talk(&t, peer);
    check_maker(&m, "PRS");
    free(data);
}

/* ---- T6: registering ---- */

/* T6: the second is an error, and the first goes on. */
static void test_a_second_producer_is_refused(void **state)
{
    struct talker t;
    struct maker m, second;
    (void)state;
    int peer = begin(&t, &m, &pulled, 2);
    maker_init(&second, &t, &pushed);
    check_rc(evert_transport_register_producer(transport_of(&t), &second.producer), EVERT_EALREADY);
    peer_hears(peer, "  1,  2,");
    check_rc(evert_transport_register_producer(transport_of(&t), &second.producer), 0);
    check_maker(&second, "");
    evert_transport_set_close_limit(transport_of(&t), 10 * MS);
    end_talk(&t, peer);
    check_maker(&second, "S");
    check_maker(&m, "RR");
}

/* Case 20: after a loss, and while it is being closed, it is stopped at once. */
static void test_a_producer_that_comes_after_the_loss_is_stopped(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct talker t;
        struct maker m;
        talker_init(&t);
        int peer = talk(&t, TCP);
        maker_init(&m, &t, i % 2 ? &pushed : &pulled);
        evert_transport_lose_connection(transport_of(&t));
        if (i >= 2) {
            close(peer);
            wait_until(t.lost);
        }
        check_rc(evert_transport_register_producer(transport_of(&t), &m.producer), 0);
        check_maker(&m, "S");
        evert_transport_unregister_producer(transport_of(&t));
        if (i < 2)
            close(peer);
        wait_until(t.lost);
        check_maker(&m, "S");
    }
}

/* T6: each way to lose the connection stops it, once. */
static void test_the_loss_stops_the_producer(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct talker t;
        struct maker m;
        int peer = begin(&t, &m, i % 2 ? &pushed : &pulled, 0);
        evert_transport_set_close_limit(transport_of(&t), 5 * MS);
        wait_until(i % 2 || m.asked == 1);
        memset(m.told, 0, sizeof(m.told));
        switch (i / 2) {
        case 0:
            evert_transport_abort_connection(transport_of(&t));
            check_maker(&m, "S");
            break;
        case 1:
            answer(EVERT__SYS_RECV, -ECONNRESET, 1);
            peer_say(peer, "x");
            break;
        default:
            t.data_result = -EPROTO;
            start_logging();
            peer_say(peer, "x");
            break;
        }
        wait_until(t.lost);
        stop_logging();
        answer_no_more();
        check_maker(&m, "S");
        end_talk(&t, peer);
    }
}

/* ---- T5: closing waits ---- */

/* T5: what it still makes is sent, and then the end. */
static void test_a_close_waits_for_the_producer(void **state)
{
    struct talker t;
    struct maker m;
    (void)state;
    int peer = begin(&t, &m, &pulled, 5);
    evert_transport_lose_connection(transport_of(&t));
    evert_transport_lose_connection(transport_of(&t));
    assert_true(evert_transport_is_closing(transport_of(&t)));
    assert_null(evert_transport_stream(transport_of(&t)));
    peer_say(peer, "not heard");
    peer_hears(peer, "  1,  2,  3,  4,  5,");
    peer_hears_end(peer);
    check_maker(&m, "RRRRR");
    end_talk(&t, peer);
    check_told(&t, "ML");
    check_rc(t.reason, 0);
}

/* T5: of a pushed one it is the unregistering that lets it go on, from wherever. */
static void test_a_close_goes_on_when_the_producer_is_unregistered(void **state)
{
    struct talker t;
    struct maker m;
    char byte;
    (void)state;
    int peer = begin(&t, &m, &pushed, 0);
    check_rc(evert_transport_puts(transport_of(&t), "first"), 0);
    evert_transport_lose_connection(transport_of(&t));
    peer_hears(peer, "first");
    turns(5);
    assert_int_equal(recv(peer, &byte, 1, 0), -1); /* no end yet */
    check_rc(evert_transport_puts(transport_of(&t), "last"), 0);
    evert_transport_unregister_producer(transport_of(&t));
    start_logging(); /* a build with checks warns of it */
    check_rc(evert_transport_puts(transport_of(&t), "dropped"), 0);
    stop_logging();
    peer_hears(peer, "last");
    peer_hears_end(peer);
    end_talk(&t, peer);
    check_maker(&m, "");
}

/* T5: but no longer than the limit; then it is stopped, and what it made is sent. */
static void test_a_close_waits_for_the_producer_no_longer_than_its_limit(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct talker t;
        struct maker m;
        int peer = begin(&t, &m, i ? &pushed : &pulled, 0);
        evert_transport_set_close_limit(transport_of(&t), 10 * MS);
        check_rc(evert_transport_puts(transport_of(&t), "all"), 0);
        evert_transport_lose_connection(transport_of(&t));
        wait_until(m.stopped == 1);
        peer_hears(peer, "all");
        peer_hears_end(peer);
        end_talk(&t, peer);
        check_rc(t.reason, 0);
    }
}

/* T5, T7: the peer's end closes, and that waits, too. */
static void test_the_peers_end_waits_for_the_producer(void **state)
{
    struct talker t;
    struct maker m;
    (void)state;
    int peer = begin(&t, &m, &pulled, 5);
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    peer_hears(peer, "  1,  2,  3,  4,  5,");
    peer_hears_end(peer);
    end_talk(&t, peer);
    check_maker(&m, "RRRRR");
    check_told(&t, "MEL");
}

/* T3: an abort does not wait, also where a close does. */
static void test_an_abort_ends_a_close_that_waits_for_the_producer(void **state)
{
    struct talker t;
    struct maker m;
    (void)state;
    int peer = begin(&t, &m, &pushed, 0);
    evert_transport_lose_connection(transport_of(&t));
    evert_transport_abort_connection(transport_of(&t));
    check_maker(&m, "S");
    check_lost(&t, -ECONNABORTED);
    end_talk(&t, peer);
}

/* ---- F50: what it does in its functions ---- */

static void abort_it(struct maker *m)
{
    evert_transport_abort_connection(transport_of(m->t));
}

static void lose_it(struct maker *m)
{
    evert_transport_lose_connection(transport_of(m->t));
}

static void lose_and_abort(struct maker *m)
{
    lose_it(m);
    abort_it(m);
}

static void unregister_it(struct maker *m)
{
    evert_transport_unregister_producer(transport_of(m->t));
}

static void register_again(struct maker *m)
{
    unregister_it(m);
    if (m->stopped == 0)
        check_rc(evert_transport_register_producer(transport_of(m->t), &m->producer), 0);
}

static evert_stream *taken;

static void take_it(struct maker *m)
{
    evert_stream *s = evert_transport_stream(transport_of(m->t));
    if (s != NULL)
        taken = s;
}

static void write_it(struct maker *m)
{
    static char data[MUCH];
    evert_transport_write(transport_of(m->t), data, sizeof(data));
}

static void (*const deeds[])(struct maker *m) = {
    abort_it, lose_it, lose_and_abort, unregister_it, register_again, take_it, write_it};

static struct {
    char when;
    void (*deed)(struct maker *m);
} plot;

static void act(struct maker *m, char call)
{
    void (*deed)(struct maker * m) = plot.deed;
    if (call != plot.when || deed == NULL)
        return;
    plot.deed = NULL; /* once */
    deed(m);
}

/* How a connection is ended under its producer. */
enum ending { LOSE, ABORT, RESET, FAIL, TAKE, ENDINGS };

static void end_by(struct talker *t, int peer, enum ending ending)
{
    switch (ending) {
    case LOSE:
        evert_transport_lose_connection(transport_of(t));
        break;
    case ABORT:
        evert_transport_abort_connection(transport_of(t));
        break;
    case RESET:
        answer(EVERT__SYS_RECV, -ECONNRESET, 1);
        (void)peer_send(peer, "x", 1);
        wait_until(plan.times == 0 || evert_transport_is_closing(transport_of(t)) || taken != NULL);
        answer_no_more();
        break;
    case FAIL:
        t->data_result = -EPROTO;
        (void)peer_send(peer, "x", 1);
        break;
    default:
        if (transport_of(t) != NULL && taken == NULL)
            taken = evert_transport_stream(transport_of(t));
    }
}

static void finish(struct talker *t, int peer)
{
    wait_until(t->lost || taken != NULL);
    turns(2);
    close(peer);
    if (taken != NULL) {
        assert_int_equal(t->lost, 0);
        assert_null(transport_of(t));
        (void)evert_close(taken);
    }
    talker_fini(t);
}

/* F50: in each of its functions, each thing that it may do, on each way to the end. */
static void test_a_producer_may_do_anything_in_its_functions(void **state)
{
    char *data = make_pattern(MUCH);
    (void)state;
    start_logging();
    for (const char *when = "RPS"; *when != '\0'; when++) {
        for (size_t i = 0; i < COUNT_OF(deeds); i++) {
            for (int ending = 0; ending < ENDINGS; ending++) {
                struct talker t;
                struct maker m;
                taken = NULL;
                plot.when = *when;
                plot.deed = deeds[i];
                int peer = begin(&t, &m, *when == 'P' ? &pushed : &pulled, 0);
                m.act = act;
                evert_transport_set_close_limit(transport_of(&t), MS);
                if (*when == 'P')
                    evert_transport_write(transport_of(&t), data, MUCH);
                turns(4);
                if (transport_of(&t) != NULL)
                    end_by(&t, peer, (enum ending)ending);
                finish(&t, peer);
            }
        }
    }
    stop_logging();
    free(data);
}

static void stop_and_free(evert_producer *producer)
{
    ++*maker_of(producer)->told;
    free(maker_of(producer));
}

/* F50: stopped, it may free itself. */
static void test_a_producer_may_free_itself_when_it_is_stopped(void **state)
{
    static const evert_producer_ops ops = {resume, NULL, stop_and_free};
    (void)state;
    start_logging();
    for (int ending = 0; ending < ENDINGS; ending++) {
        struct talker t;
        struct maker *m = malloc(sizeof(*m));
        assert_non_null(m);
        talker_init(&t);
        taken = NULL;
        int peer = talk(&t, TCP);
        maker_init(m, &t, &ops);
        check_rc(evert_transport_register_producer(transport_of(&t), &m->producer), 0);
        evert_transport_set_close_limit(transport_of(&t), MS);
        turns(1);
        end_by(&t, peer, (enum ending)ending);
        finish(&t, peer);
    }
    stop_logging();
}

/* One without stop_producing() is let go of in silence. */
static void test_a_producer_need_not_hear_of_its_end(void **state)
{
    static const evert_producer_ops ops = {resume, NULL, NULL};
    struct talker t;
    struct maker m;
    (void)state;
    int peer = begin(&t, &m, &ops, 0);
    evert_transport_abort_connection(transport_of(&t));
    check_rc(evert_transport_register_producer(transport_of(&t), &m.producer), 0);
    check_lost(&t, -ECONNABORTED);
    end_talk(&t, peer);
}

/* A loop that is freed stops it, and whatever it does then. */
static void test_a_loop_is_freed_under_a_producer(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(deeds); i++) {
        struct talker t;
        struct maker m;
        evert_loop *loop;
        evert_stream *s;
        int fds[2];
        plain_pair(UNIX, fds);
        check_rc(evert_loop_new(&loop), 0);
        check_rc(evert__connection_accepted(loop, fds[0], false, &s), 0);
        talker_init(&t);
        check_rc(evert_stream_transport(s, &t.protocol), 0);
        maker_init(&m, &t, &pulled);
        check_rc(evert_transport_register_producer(transport_of(&t), &m.producer), 0);
        while (m.asked == 0)
            check_rc(evert_loop_turn(loop, 0), 0);
        m.act = act;
        plot.when = 'S';
        plot.deed = deeds[i];
        start_logging();
        evert_loop_free(loop);
        stop_logging();
        assert_int_equal(t.lost, 1);
        assert_int_equal(m.stopped, 1);
        close(fds[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_pulled_producer_of_three_steps_is_asked_three_times),
        everywhere(test_a_pulled_producer_of_large_pieces_is_asked_for_each),
        everywhere(test_a_pulled_producer_that_writes_later_is_not_asked_meanwhile),
        everywhere(test_a_pulled_producer_is_as_fast_as_the_peer),
        everywhere(test_a_pushed_producer_is_paused_and_resumed),
        everywhere(test_a_pushed_producer_that_comes_late_is_paused_at_once),
        everywhere(test_a_second_producer_is_refused),
        everywhere(test_a_producer_that_comes_after_the_loss_is_stopped),
        everywhere(test_the_loss_stops_the_producer),
        everywhere(test_a_close_waits_for_the_producer),
        everywhere(test_a_close_goes_on_when_the_producer_is_unregistered),
        everywhere(test_a_close_waits_for_the_producer_no_longer_than_its_limit),
        everywhere(test_the_peers_end_waits_for_the_producer),
        everywhere(test_an_abort_ends_a_close_that_waits_for_the_producer),
        everywhere(test_a_producer_may_do_anything_in_its_functions),
        everywhere(test_a_producer_may_free_itself_when_it_is_stopped),
        everywhere(test_a_producer_need_not_hear_of_its_end),
        in_blocking_mode(test_a_loop_is_freed_under_a_producer),
    };
    return run_table(tests);
}
