/* SPDX-License-Identifier: MIT */
/*
 * Closing: the farewell that does not destroy the last answer (S7), its limits, what a closed
 * stream leaves behind, and abort.
 */
#include "support.h"

/* A task that closes, and what came of it. */
struct closer {
    evert_stream *s;
    int rc;
    bool done;
};

static int close_and_tell(void *arg)
{
    struct closer *c = (struct closer *)arg;
    c->rc = evert_close(c->s);
    c->done = true;
    return 0;
}

static void check_all_and_end(int peer, size_t size)
{
    char *got = malloc(size);
    assert_non_null(got);
    check_count(peer_receive(peer, got, size), (ssize_t)size);
    assert_true(is_pattern(got, 0, size));
    peer_hears_end(peer);
    free(got);
}

/* ---- The answer arrives ---- */

/* S7, F23, BR-017: the client is still sending when the answer is written and the stream closed. */
static void test_with_input_unread_the_peer_still_gets_the_answer(void **state)
{
    char *upload = calloc(1, 200000);
    assert_non_null(upload);
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct ends e = make_ends(i % 2 ? UNIX : TCP);
        struct closer closer = {.s = e.s};
        evert_scope scope;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_puts(e.s, "413 too big\r\n"), 0);
        assert_true(peer_send(e.peer, upload, 50000));
        check_rc(evert_spawn(&scope, close_and_tell, &closer), 0);
        assert_true(peer_send(e.peer, upload, 200000));
        turns(i);
        assert_true(peer_send(e.peer, upload, 100000));
        assert_false(closer.done);
        peer_hears(e.peer, "413 too big\r\n");
        peer_hears_end(e.peer);
        close(e.peer);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(closer.rc, 0);
    }
    free(upload);
}

/* S7, F45: nor does it need memory for what it drops. */
static void test_without_memory_the_peer_still_gets_the_answer(void **state)
{
    char *upload = calloc(1, 100000);
    assert_non_null(upload);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        struct closer closer = {.s = e.s};
        struct evert__chunk *held[64];
        evert_loop *loop = e.s->loop;
        evert_scope scope;
        int count = 0;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_puts(e.s, "413 too big\r\n"), 0);
        check_rc(evert_flush(e.s), 0);
        assert_true(peer_send(e.peer, upload, 100000));
        check_rc(evert_spawn(&scope, close_and_tell, &closer), 0);
        take_memory_away();
        while (count < 64 && (held[count] = evert__chunk_get(loop)) != NULL)
            count++; /* nor are there any that others have given back */
        turns(5);
        assert_false(closer.done);
        peer_hears(e.peer, "413 too big\r\n");
        peer_hears_end(e.peer);
        close(e.peer);
        while (count > 0)
            evert__chunk_put(loop, held[--count]);
        give_memory_back();
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(closer.rc, 0);
    }
    free(upload);
}

/* BR-016: however much it is, and however slowly the peer takes it. */
static void test_close_sends_all_that_was_written(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        char *data = make_pattern(EVERT_HIGH_WATER);
        struct closer closer = {.s = e.s};
        evert_scope scope;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        /* As a part of what the stream holds, so that also a blocking write need not wait. */
        check_rc(evert__output_append(e.s, data, EVERT_HIGH_WATER), 0);
        check_rc(evert_spawn(&scope, close_and_tell, &closer), 0);
        turns(5);
        assert_false(closer.done);
        check_all_and_end(e.peer, EVERT_HIGH_WATER);
        close(e.peer);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(closer.rc, 0);
        free(data);
    }
}

static void test_close_after_write_eof_waits_for_the_peers_end(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    check_rc(evert_puts(e.s, "all"), 0);
    check_rc(evert_write_eof(e.s), 0);
    peer_say(e.peer, "not looked at");
    assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
    check_rc(evert_close(e.s), 0);
    peer_hears(e.peer, "all");
    peer_hears_end(e.peer);
    close(e.peer);
}

/* ---- Its limits ---- */

/* S7: a peer that never ends is waited for no longer than was set. */
static void test_close_waits_for_the_peer_no_longer_than_its_limit(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    evert_time before = evert__clock();
    evert_set_close_limit(e.s, 30 * MS);
    check_rc(evert_puts(e.s, "answer"), 0);
    check_rc(evert_close(e.s), 0);
    assert_true(evert__clock() - before >= 30 * MS);
    assert_true(evert__clock() - before < PATIENCE);
    peer_hears(e.peer, "answer");
    peer_hears_end(e.peer);
    close(e.peer);
}

/* A peer that never reads: what was written has not been sent, and close says so. */
static void test_close_gives_up_a_flush_without_progress_and_says_so(void **state)
{
    (void)state;
    struct ends e = make_narrow_ends(UNIX);
    char *data = make_pattern(EVERT_HIGH_WATER);
    evert_set_close_limit(e.s, 10 * MS);
    check_rc(evert__output_append(e.s, data, EVERT_HIGH_WATER), 0);
    check_rc(evert_close(e.s), -ETIMEDOUT);
    free(data);
    close(e.peer);
}

/* BR-017: who uploads without end is cut off. */
static void test_an_endless_uploader_is_cut_off_at_the_limit(void **state)
{
    static char upload[10000];
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        struct closer closer = {.s = e.s};
        evert_scope scope;

        evert_set_close_limit(e.s, 20 * MS);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, close_and_tell, &closer), 0);
        while (peer_send(e.peer, upload, sizeof(upload)))
            let_run();
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(closer.rc, 0);
        close(e.peer);
    }
}

/* The limit of a flush moves with what was sent, and with nothing else. */
static void check_limit_of_flush(const evert_stream *s, size_t *unsent, evert_time *limit)
{
    if (s->closing != EVERT__FLUSHING)
        return;
    if (s->out.queued == *unsent)
        assert_int_equal(s->timer.when, *limit);
    *unsent = s->out.queued;
    *limit = s->timer.when;
}

/* S7: also one that takes nothing meanwhile: what is dropped of his is no progress of ours. */
static void test_an_uploader_who_never_reads_is_cut_off_and_said_so(void **state)
{
    static char upload[10000];
    (void)state;
    struct ends e = make_narrow_ends(UNIX);
    struct closer closer = {.s = e.s};
    char *data = make_pattern(EVERT_HIGH_WATER);
    evert_scope scope;
    size_t unsent = SIZE_MAX;
    evert_time limit = 0;

    evert_set_close_limit(e.s, 20 * MS);
    check_rc(evert__output_append(e.s, data, EVERT_HIGH_WATER), 0);
    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, close_and_tell, &closer), 0);
    while (peer_send(e.peer, upload, sizeof(upload))) {
        let_run();
        if (!closer.done)
            check_limit_of_flush(e.s, &unsent, &limit);
    }
    assert_true(unsent > 0 && unsent < SIZE_MAX);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(closer.rc, -ETIMEDOUT);
    free(data);
    close(e.peer);
}

/* S7: each drops what the other still sends, so that the other can go on. */
static void test_two_that_close_at_once_do_not_wait_for_each_other(void **state)
{
    enum { UNSENT = 300000 };
    char *data = make_pattern(UNSENT);
    evert_stream *s[2];
    (void)state;
    make_streams(UNIX, s);
    for (int i = 0; i < 2; i++) {
        set_size(s[i]->fd.number, SO_SNDBUF, 8192);
        check_rc(evert__output_append(s[i], data, UNSENT), 0);
    }
    close_streams(s);
    free(data);
}

/* C12: what has to be dropped may come faster than it is dropped. */
static void test_dropping_lets_others_run(void **state)
{
    static char upload[4096];
    (void)state;
    struct ends e = make_ends(UNIX);
    struct closer closer = {.s = e.s};
    evert_scope scope;

    set_size(e.peer, SO_SNDBUF, 1 << 20);
    while (send(e.peer, upload, sizeof(upload), MSG_NOSIGNAL) > 0)
        continue;
    answer(EVERT__SYS_RECV, 0, 0);
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, close_and_tell, &closer), 0);
    while (arrived(e.s->fd.number) > 0) {
        int before = plan.asked;
        turns(1);
        assert_in_range(plan.asked - before, 0, 40); /* adverse may tell it twice */
    }
    answer_no_more();
    close(e.peer);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(closer.rc, 0);
}

/* ---- In a cancelled scope ---- */

/* S7, C4: it does not wait, and the loop finishes it. */
static void test_close_in_a_cancelled_scope_does_not_wait_and_the_loop_finishes(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        char *data = make_pattern(EVERT_HIGH_WATER);
        evert_scope scope;

        check_rc(evert__output_append(e.s, data, EVERT_HIGH_WATER), 0);
        evert_scope_enter(&scope, EVERT_NEVER);
        evert_scope_cancel(&scope);
        check_rc(evert_close(e.s), 0); /* nobody has read a byte of it yet */
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_all_and_end(e.peer, EVERT_HIGH_WATER);
        close(e.peer);
        free(data);
    }
}

/* A close that waits is cancelled: it has taken the stream all the same. */
static void test_a_close_cancelled_while_it_waits_goes_on_without_its_task(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    struct closer closer = {.s = e.s};
    evert_scope scope;

    check_rc(evert_puts(e.s, "answer"), 0);
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, close_and_tell, &closer), 0);
    peer_hears(e.peer, "answer");
    peer_hears_end(e.peer);
    assert_false(closer.done);
    evert_scope_cancel(&scope);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(closer.rc, 0);
    assert_false(evert__list_empty(&self()->loop->farewells));
    close(e.peer); /* run_clean() sees that it ends now */
}

struct late {
    int peer;
    bool said;
};

static int close_while_cancelled(void *arg)
{
    struct ends e = make_ends(TCP);
    evert_scope scope;
    ((struct late *)arg)->peer = e.peer;
    check_rc(evert_puts(e.s, "last words"), 0);
    peer_say(e.peer, "unread");
    assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
    evert_scope_enter(&scope, EVERT_NEVER);
    evert_scope_cancel(&scope);
    check_rc(evert_close(e.s), 0);
    return evert_scope_leave(&scope, 0);
}

/* S7: the drain counts it: a run has not ended while a farewell is going on. */
static void test_a_run_waits_for_farewells(void **state)
{
    struct late late = {.peer = -1};
    (void)state;
    check_rc(evert_run(close_while_cancelled, &late), 0);
    assert_true(evert__list_empty(&self()->loop->farewells));
    peer_hears(late.peer, "last words");
    peer_hears_end(late.peer);
    close(late.peer);
}

static void close_in_callback(void *arg)
{
    struct closer *c = (struct closer *)arg;
    c->rc = evert_close(c->s);
    c->done = true;
}

static void test_close_in_a_callback_does_not_wait(void **state)
{
    (void)state;
    struct ends e = make_ends(UNIX);
    struct closer closer = {.s = e.s};
    check_rc(evert_puts(e.s, "answer"), 0);
    check_rc(evert_loop_call_soon(e.s->loop, NULL, close_in_callback, &closer), 0);
    wait_until(closer.done);
    check_rc(closer.rc, 0);
    peer_hears(e.peer, "answer");
    peer_hears_end(e.peer);
    close(e.peer);
}

/* ---- Abort ---- */

/* S7, BR-016: at once, with a reset, and nothing of what was queued. */
static void test_abort_resets_and_drops_what_was_not_sent(void **state)
{
    char byte;
    (void)state;
    struct ends e = make_ends(TCP);
    check_rc(evert__output_append(e.s, "dropped", 7), 0);
    evert_abort(e.s);
    check_count(peer_receive(e.peer, &byte, 1), -ECONNRESET);
    close(e.peer);
}

/* F33, F34: with a send on its way in the kernel, in any state. */
static void test_abort_with_a_send_on_its_way(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct ends e = make_narrow_ends(i % 2 ? TCP : UNIX);
        char *data = make_pattern(EVERT_HIGH_WATER);
        check_rc(evert__output_append(e.s, data, EVERT_HIGH_WATER), 0);
        evert__output_start(e.s);
        turns(i % 5);
        evert_abort(e.s);
        wait_ended(e.peer);
        close(e.peer);
        free(data);
    }
}

static void test_null_is_fine(void **state)
{
    (void)state;
    check_rc(evert_close(NULL), 0);
    evert_abort(NULL);
}

/* ---- Others in the same turn ---- */

struct pair {
    struct ends a, b;
    int closed_number;
    ssize_t rc;
    char byte;
};

static int read_one(void *arg)
{
    struct pair *p = (struct pair *)arg;
    p->rc = evert_read_into(p->b.s, &p->byte, 1);
    return 0;
}

/* Reads from A, and then ends B, which had become readable in the same batch. */
static int read_and_end_the_other(void *arg)
{
    struct pair *p = (struct pair *)arg;
    char byte;
    check_count(evert_read_into(p->a.s, &byte, 1), 1);
    p->closed_number = p->b.s->fd.number;
    evert_abort(p->b.s);
    return 0;
}

/* BR-018: what was told of the closed one does not reach a newcomer with its number. */
static void test_a_new_stream_with_the_number_of_a_closed_one_hears_nothing_of_it(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct pair p = {.a = make_ends(UNIX), .b = make_ends(UNIX)};
        evert_scope scope;
        char byte;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        if (i % 2)
            check_rc(evert_spawn(&scope, read_one, &p), 0);
        check_rc(evert_spawn(&scope, read_and_end_the_other, &p), 0);
        if (i % 2 == 0)
            check_rc(evert_spawn(&scope, read_one, &p), 0);
        wait_until(p.a.s->reader != NULL && p.b.s->reader != NULL);
        peer_say(p.a.peer, "a");
        if (i < 5)
            peer_say(p.b.peer, "b");
        check_rc(evert_scope_leave(&scope, 0), 0);
        assert_true(p.rc == EVERT_ECLOSED || (p.rc == 1 && p.byte == 'b'));

        struct ends c = make_ends(UNIX);
        if (!is_late())
            assert_true(c.s->fd.number <= p.closed_number || c.peer <= p.closed_number);
        evert_scope_enter(&scope, evert_after(2 * MS));
        check_count(evert_read_into(c.s, &byte, 1), -ECANCELED);
        check_rc(evert_scope_leave(&scope, -ECANCELED), -ETIMEDOUT);
        peer_say(c.peer, "c");
        check_count(evert_read_into(c.s, &byte, 1), 1);
        assert_int_equal(byte, 'c');
        drop_ends(c);
        close(p.b.peer);
        drop_ends(p.a);
    }
}

static int read_bye_and_close(void *arg)
{
    evert_stream *s = (evert_stream *)arg;
    evert_bytes line;
    check_rc(evert_read_until(s, &line, "\n"), 0);
    check_bytes(line, "BYE");
    (void)evert_close(s);
    return 0;
}

/* BR-019: readable, writable and ended at once, with output unsent; its owner closes it. */
static void test_a_stream_may_be_closed_when_all_happens_to_it_at_once(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        char *data = make_pattern(EVERT_HIGH_WATER);
        evert_scope scope;

        check_rc(evert__output_append(e.s, data, EVERT_HIGH_WATER), 0);
        evert__output_start(e.s);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, read_bye_and_close, e.s), 0);
        wait_until(e.s->reader != NULL);
        peer_say(e.peer, "BYE\n");
        while (recv(e.peer, data, EVERT_HIGH_WATER, 0) > 0)
            continue;
        close(e.peer);
        check_rc(evert_scope_leave(&scope, 0), 0);
        free(data);
    }
}

static int abort_later(void *arg)
{
    turns(2);
    evert_abort((evert_stream *)arg);
    return 0;
}

/* S7: memory and descriptors go with the last waiter: see run_clean(). */
static void test_many_streams_leave_nothing_behind(void **state)
{
    enum { STREAMS = 100 };
    evert_scope scope;
    int peers[STREAMS];
    (void)state;
    evert_scope_enter(&scope, evert_after(PATIENCE));
    for (int i = 0; i < STREAMS; i++) {
        struct ends e = make_ends(i % 3 ? UNIX : TCP);
        peers[i] = e.peer;
        check_rc(evert__output_append(e.s, "words", 5), 0);
        check_rc(evert_spawn(&scope, i % 2 ? close_it : abort_later, e.s), 0);
    }
    turns(3);
    for (int i = 0; i < STREAMS; i++)
        close(peers[i]);
    int rc = evert_scope_leave(&scope, 0); /* of the first close whose peer had gone */
    assert_true(rc == 0 || rc == -EPIPE || rc == -ECONNRESET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_with_input_unread_the_peer_still_gets_the_answer),
        everywhere(test_without_memory_the_peer_still_gets_the_answer),
        everywhere(test_close_sends_all_that_was_written),
        everywhere(test_close_after_write_eof_waits_for_the_peers_end),
        everywhere(test_close_waits_for_the_peer_no_longer_than_its_limit),
        everywhere(test_close_gives_up_a_flush_without_progress_and_says_so),
        everywhere(test_an_endless_uploader_is_cut_off_at_the_limit),
        everywhere(test_an_uploader_who_never_reads_is_cut_off_and_said_so),
        everywhere(test_two_that_close_at_once_do_not_wait_for_each_other),
        everywhere(test_dropping_lets_others_run),
        everywhere(test_close_in_a_cancelled_scope_does_not_wait_and_the_loop_finishes),
        everywhere(test_a_close_cancelled_while_it_waits_goes_on_without_its_task),
        in_blocking_mode(test_a_run_waits_for_farewells),
        everywhere(test_close_in_a_callback_does_not_wait),
        everywhere(test_abort_resets_and_drops_what_was_not_sent),
        everywhere(test_abort_with_a_send_on_its_way),
        everywhere(test_null_is_fine),
        everywhere(test_a_new_stream_with_the_number_of_a_closed_one_hears_nothing_of_it),
        everywhere(test_a_stream_may_be_closed_when_all_happens_to_it_at_once),
        everywhere(test_many_streams_leave_nothing_behind),
    };
    return run_table(tests);
}
