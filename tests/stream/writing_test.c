/* SPDX-License-Identifier: MIT */
/*
 * How writes wait and end: held back by a peer that does not read, cancelled before and behind the
 * first byte, closed under them. What writes promise otherwise is in write_test.c.
 */
#include <linux/sockios.h>

#include "support.h"

enum { PIECE = 1000, LARGE = 1 << 20 };

/* A task that writes, and what came of it. */
struct writer {
    evert_stream *s;
    const char *data;
    size_t size;
    int writes; /* that were done */
    int rc;
    bool done;
};

/* Writes in small pieces until one fails or all is written. */
static int write_pieces(void *arg)
{
    struct writer *w = (struct writer *)arg;
    for (size_t at = 0; w->rc == 0 && at < w->size; at += PIECE) {
        size_t size = w->size - at < PIECE ? w->size - at : PIECE;
        w->rc = evert_write(w->s, w->data + at, size);
        if (w->rc == 0)
            w->writes++;
        if (w->rc == 0)
            assert_in_range(w->s->out.queued, 0, EVERT_HIGH_WATER);
    }
    w->done = true;
    return 0;
}

static int write_whole(void *arg)
{
    struct writer *w = (struct writer *)arg;
    w->rc = evert_write(w->s, w->data, w->size);
    w->done = true;
    return 0;
}

static int flush_it(void *arg)
{
    struct writer *w = (struct writer *)arg;
    w->rc = evert_flush(w->s);
    w->done = true;
    return 0;
}

static bool is_stuck(const struct writer *w)
{
    return w->done || (w->s->writer != NULL && w->s->sending);
}

/* Whether TCP is still carrying bytes over, which makes room without the peer's reading. */
static bool in_flight(int fd)
{
    int unacknowledged = 0, unsent = 0;
    if (ioctl(fd, SIOCOUTQ, &unacknowledged) < 0 || ioctl(fd, SIOCOUTQNSD, &unsent) < 0)
        return false; /* a Unix socket has nothing under way */
    return unacknowledged != unsent;
}

/*
 * Spawns a writer and waits until it waits for the peer. What TCP had to drop for want of memory
 * stays under way, so that is not waited for without end.
 */
static void spawn_writer(evert_scope *scope, evert_fn *fn, struct writer *w)
{
    evert_time patience = evert_after(50 * MS);
    check_rc(evert_spawn(scope, fn, w), 0);
    for (int still = 0; still < 10; still++) {
        let_run();
        int fd = w->s->fd.number;
        if (!is_stuck(w) || has_events(fd, POLLOUT) || (in_flight(fd) && !over_at(patience)))
            still = 0;
    }
    assert_false(w->done);
}

/*
 * Fills the kernel and the queue, so that a small write has to wait. Gives how much it is. More
 * than once, since a slow back end may have sent much of the queue while the first writer waited.
 * For Unix sockets: that a TCP connection is full holds only until a timer of the kernel's sends
 * what the window still has room for.
 */
static size_t stuff(struct ends e, const char *data)
{
    struct writer w = {.s = e.s, .data = data, .size = LARGE};
    size_t size = 0;
    evert_scope scope;
    do {
        evert_scope_enter(&scope, EVERT_NEVER);
        spawn_writer(&scope, write_pieces, &w);
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(w.rc, -ECANCELED);
        size += (size_t)w.writes * PIECE;
        w = (struct writer){.s = e.s, .data = data + size, .size = LARGE - size};
    } while (e.s->out.queued + PIECE <= EVERT_HIGH_WATER);
    return size;
}

static void check_peer_gets(int peer, size_t size)
{
    char *got = malloc(size);
    assert_non_null(got);
    check_count(peer_receive(peer, got, size), (ssize_t)size);
    assert_true(is_pattern(got, 0, size));
    free(got);
}

/* ---- Held back ---- */

/* S5: above the mark a write waits; it goes on when the peer has read. */
static void test_writes_wait_while_the_peer_does_not_read(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        char *data = make_pattern(LARGE);
        struct writer w = {.s = e.s, .data = data, .size = LARGE};
        evert_scope scope;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        spawn_writer(&scope, write_pieces, &w);
        assert_in_range(w.s->out.queued, EVERT__LOW_WATER + 1, EVERT_HIGH_WATER);
        int before = w.writes;
        turns(5);
        assert_int_equal(w.writes, before);
        check_peer_gets(e.peer, LARGE);
        check_rc(evert_scope_leave(&scope, 0), 0);
        assert_int_equal(w.writes, (LARGE + PIECE - 1) / PIECE);
        check_rc(w.rc, 0);
        free(data);
        drop_ends(e);
    }
}

static int write_a_piece(void *arg)
{
    struct writer *w = (struct writer *)arg;
    w->rc = evert_write(w->s, w->data, PIECE);
    w->size = w->s->out.queued;
    w->done = true;
    return 0;
}

/* S5: neither sooner, which would be a wait for each write, nor only when all was sent. */
static void test_a_waiting_write_goes_on_at_the_low_mark(void **state)
{
    char *data = make_pattern(EVERT_HIGH_WATER + PIECE), got[PIECE];
    size_t heard = 0;
    evert_scope scope;
    (void)state;
    struct ends e = make_narrow_ends(UNIX);
    struct writer w = {.s = e.s, .data = data + EVERT_HIGH_WATER};
    check_rc(evert__output_append(e.s, data, EVERT_HIGH_WATER), 0);
    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, write_a_piece, &w), 0);
    for (; !w.done; heard += sizeof(got)) {
        check_count(peer_receive(e.peer, got, sizeof(got)), sizeof(got));
        turns(1);
    }
    check_rc(w.rc, 0);
    /* Between its wake and its turn the adverse back end may send the rest. */
    assert_in_range(w.size, PIECE + !is_late(), EVERT__LOW_WATER + PIECE);
    for (; heard < EVERT_HIGH_WATER + PIECE - sizeof(got); heard += sizeof(got))
        check_count(peer_receive(e.peer, got, sizeof(got)), sizeof(got));
    check_rc(evert_scope_leave(&scope, 0), 0);
    free(data);
    drop_ends(e);
}

/* S5: it is sent from the caller's memory, and not queued. */
static void test_a_write_larger_than_the_mark_waits_until_it_is_sent(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        char *data = make_pattern(LARGE);
        struct writer w = {.s = e.s, .data = data, .size = LARGE};
        evert_scope scope;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        spawn_writer(&scope, write_whole, &w);
        assert_int_equal(e.s->out.queued, 0);
        check_peer_gets(e.peer, LARGE);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(w.rc, 0);
        free(data);
        drop_ends(e);
    }
}

static int write_pieces_and_large(void *arg)
{
    struct writer *w = (struct writer *)arg;
    struct writer first = {.s = w->s, .data = w->data, .size = 50000};
    check_rc(write_pieces(&first), 0);
    check_rc(first.rc, 0);
    w->rc = evert_write(w->s, w->data + 50000, w->size - 50000);
    w->done = true;
    return 0;
}

static void test_a_large_write_goes_behind_what_was_queued(void **state)
{
    (void)state;
    struct ends e = make_narrow_ends(UNIX);
    char *data = make_pattern(LARGE);
    struct writer w = {.s = e.s, .data = data, .size = LARGE};
    evert_scope scope;

    evert_scope_enter(&scope, evert_after(PATIENCE));
    spawn_writer(&scope, write_pieces_and_large, &w);
    check_peer_gets(e.peer, LARGE);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(w.rc, 0);
    free(data);
    drop_ends(e);
}

/* F21: a peer that never reads: held back, and then the deadline. */
static void test_a_deadline_ends_writing_to_a_peer_that_never_reads(void **state)
{
    char block[10000] = {0};
    evert_scope scope;
    (void)state;
    struct ends e = make_narrow_ends(TCP);
    int rc = 0;

    evert_scope_enter(&scope, evert_after(20 * MS));
    while (rc == 0)
        rc = evert_write(e.s, block, sizeof(block));
    check_rc(rc, -ECANCELED);
    check_rc(evert_scope_leave(&scope, rc), -ETIMEDOUT);
    assert_in_range(e.s->out.queued, 0, EVERT_HIGH_WATER);
    evert_abort(e.s);
    close(e.peer);
}

/* S3. */
static void test_a_second_writer_is_refused(void **state)
{
    (void)state;
    struct ends e = make_narrow_ends(TCP);
    char *data = make_pattern(LARGE);
    struct writer w = {.s = e.s, .data = data, .size = LARGE};
    evert_scope scope;

    say_and_hear(e, "before");
    evert_scope_enter(&scope, evert_after(PATIENCE));
    spawn_writer(&scope, write_whole, &w);
    check_rc(evert_puts(e.s, "x"), -EBUSY);
    check_rc(evert_write(e.s, data, LARGE), -EBUSY);
    check_rc(evert_flush(e.s), -EBUSY);
    check_rc(evert_write_eof(e.s), -EBUSY);
    check_peer_gets(e.peer, LARGE);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(w.rc, 0); /* and it does not stick */
    check_rc(evert_puts(e.s, "x"), 0);
    peer_hears(e.peer, "x");
    free(data);
    drop_ends(e);
}

/*
 * S5: a format that is not known breaks the write side under a write that waits for its own send,
 * which ends before the write returns.
 */
static void test_a_failure_ends_a_large_write_that_waits(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        char *data = make_pattern(LARGE);
        struct writer w = {.s = e.s, .data = data, .size = LARGE};
        evert_scope scope;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        spawn_writer(&scope, write_whole, &w);
        check_rc(evert_printf(e.s, "%f", 1.0), EVERT_EFORMAT);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(w.rc, EVERT_EFORMAT);
        assert_null(e.s->sending);
        free(data);
        check_rc(drop_ends(e), EVERT_EFORMAT);
    }
}

/* ---- Cancelled ---- */

/* S5: nothing was taken, nothing has happened. */
static void test_a_write_cancelled_before_it_took_anything_has_no_effect(void **state)
{
    evert_scope scope;
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct ends e = make_narrow_ends(i < 3 ? UNIX : TCP);
        char *data = make_pattern(LARGE);
        char *other = calloc(1, LARGE);
        assert_non_null(other);
        size_t size = i < 2 ? stuff(e, data) : 0;

        struct writer w = {.s = e.s, .data = other, .size = i < 1 ? PIECE : LARGE};
        evert_scope_enter(&scope, EVERT_NEVER);
        if (i < 2) { /* it waits for what is before it */
            spawn_writer(&scope, write_whole, &w);
            evert_scope_cancel(&scope);
        } else { /* it is made in a scope that is cancelled already */
            evert_scope_cancel(&scope);
            write_whole(&w);
        }
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(w.rc, -ECANCELED);
        free(other);

        w = (struct writer){.s = e.s, .data = data + size, .size = 20 * PIECE};
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, write_pieces, &w), 0);
        check_peer_gets(e.peer, size + 20 * PIECE);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(w.rc, 0);
        free(data);
        check_rc(drop_ends(e), 0);
    }
}

struct canceller {
    struct ends e;
    evert_scope *scope;
    char *got;
    size_t size;
};

/* Reads until the writer has been told that there is room; cancels it before it runs. */
static int make_room_and_cancel(void *arg)
{
    struct canceller *c = (struct canceller *)arg;
    while (!c->e.s->writer->done) {
        ssize_t count = recv(c->e.peer, c->got + c->size, LARGE - c->size, 0);
        c->size += count > 0 ? (size_t)count : 0;
        check_rc(evert_yield(), 0);
    }
    evert_scope_cancel(c->scope);
    return 0;
}

/* C3: woken for its turn, and cancelled before it has begun, a large write takes nothing. */
static void test_a_cancel_that_comes_behind_the_wake_stops_a_large_write(void **state)
{
    evert_scope scope;
    (void)state;
    struct ends e = make_narrow_ends(UNIX);
    char *data = make_pattern(LARGE), *other = calloc(1, LARGE);
    struct canceller canceller = {.e = e, .scope = &scope, .got = malloc(LARGE)};
    struct writer w = {.s = e.s, .data = other, .size = LARGE};
    size_t size = stuff(e, data);

    assert_true(other != NULL && canceller.got != NULL);
    evert_scope_enter(&scope, EVERT_NEVER);
    spawn_writer(&scope, write_whole, &w);
    check_rc(evert_spawn(&scope, make_room_and_cancel, &canceller), 0);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(w.rc, -ECANCELED);
    check_count(peer_receive(e.peer, canceller.got + canceller.size, size - canceller.size),
                (ssize_t)(size - canceller.size));
    assert_true(is_pattern(canceller.got, 0, size));
    check_rc(evert_puts(e.s, "x"), 0);
    peer_hears(e.peer, "x");
    free(canceller.got);
    free(data);
    free(other);
    check_rc(drop_ends(e), 0);
}

/* S5, F33: and the memory is the caller's again, whatever the kernel still does. */
static void test_a_write_cancelled_half_way_breaks_the_write_side(void **state)
{
    evert_scope scope;
    evert_bytes bytes;
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        char *data = make_pattern(LARGE);
        struct writer w = {.s = e.s, .data = data, .size = LARGE};

        evert_scope_enter(&scope, EVERT_NEVER);
        spawn_writer(&scope, write_whole, &w);
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(w.rc, -ECANCELED);
        memset(data, 0, LARGE);
        free(data);
        turns(5);

        check_rc(evert_puts(e.s, "x"), -ECANCELED);
        check_rc(evert_flush(e.s), -ECANCELED);
        check_rc(evert_write_eof(e.s), -ECANCELED);
        peer_say(e.peer, "line\r\n");
        check_rc(evert_read_line(e.s, &bytes), 0); /* what arrives is still read */
        check_rc(evert_read_line(e.s, &bytes), -ECANCELED);
        size_t size = arrived(e.peer);
        assert_in_range(size, 1, LARGE - 1);
        check_peer_gets(e.peer, size);
        check_rc(drop_ends(e), -ECANCELED);
    }
}

/* In blocking mode a small write has been taken when it waits, so a cancel breaks it. */
static void test_a_blocking_write_cancelled_behind_the_queue_breaks_the_write_side(void **state)
{
    char block[10000] = {0};
    evert_scope scope;
    (void)state;
    struct ends e = make_narrow_ends(UNIX);
    int rc = 0;

    evert_scope_enter(&scope, evert_after(20 * MS));
    while (rc == 0)
        rc = evert_write(e.s, block, sizeof(block));
    check_rc(evert_scope_leave(&scope, rc), -ETIMEDOUT);
    check_rc(evert_puts(e.s, "x"), -ECANCELED);
    check_rc(drop_ends(e), -ECANCELED);
}

static void test_a_cancelled_flush_loses_nothing(void **state)
{
    evert_scope scope;
    (void)state;
    struct ends e = make_narrow_ends(UNIX);
    char *data = make_pattern(LARGE);
    size_t size = stuff(e, data);
    struct writer w = {.s = e.s};

    evert_scope_enter(&scope, EVERT_NEVER);
    spawn_writer(&scope, flush_it, &w);
    evert_scope_cancel(&scope);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(w.rc, -ECANCELED);
    check_peer_gets(e.peer, size);
    check_rc(evert_flush(e.s), 0);
    free(data);
    check_rc(drop_ends(e), 0);
}

/* F51: a cancel that meets the send in any state; the peer gets a prefix, or all and no error. */
static void test_a_cancel_at_any_moment_leaves_a_prefix_or_all(void **state)
{
    enum { SIZE = 200000 };
    evert_scope scope;
    (void)state;
    for (int i = 0; i < 40; i++) {
        struct ends e = make_narrow_ends(i % 2 ? TCP : UNIX);
        char *data = make_pattern(SIZE), *got = malloc(SIZE);
        struct writer w = {.s = e.s, .data = data, .size = SIZE};
        size_t size = 0;
        ssize_t count = 1;

        assert_non_null(got);
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, write_whole, &w), 0);
        for (int rest = i; rest > 0 && count > 0; rest--) {
            count = recv(e.peer, got + size, 8192, 0);
            size += count > 0 ? (size_t)count : 0;
            count = 1;
            turns(1);
        }
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        assert_true(w.rc == 0 || w.rc == -ECANCELED);
        free(data);
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, close_it, e.s), 0);
        count = peer_receive(e.peer, got + size, SIZE - size);
        assert_true(count >= 0);
        size += (size_t)count;
        assert_true(is_pattern(got, 0, size));
        assert_true(w.rc < 0 || size == SIZE);
        if (size == SIZE)
            peer_hears_end(e.peer);
        close(e.peer);
        free(got);
        int rc = evert_scope_leave(&scope, 0);
        assert_true(rc == 0 || rc == -ECANCELED);
    }
}

/* ---- Closed meanwhile ---- */

static void check_closing_wakes(evert_fn *fn, bool cancels, bool aborts)
{
    for (int kind = fn == flush_it ? UNIX : TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        char *data = make_pattern(LARGE);
        struct writer w = {.s = e.s, .data = data, .size = LARGE};
        evert_scope scope;

        if (fn == flush_it)
            (void)stuff(e, data);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        spawn_writer(&scope, fn, &w);
        if (cancels)
            evert_scope_cancel(&scope);
        evert_set_close_limit(e.s, 5 * MS);
        if (aborts)
            evert_abort(e.s);
        else
            (void)evert_close(e.s);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(w.rc, cancels ? -ECANCELED : EVERT_ECLOSED);
        free(data);
        close(e.peer);
    }
}

/* S3, for writers. */
static void test_closing_wakes_a_waiting_writer(void **state)
{
    (void)state;
    for (int aborts = 0; aborts < 2; aborts++) {
        check_closing_wakes(write_pieces, false, aborts);
        check_closing_wakes(write_whole, false, aborts);
        check_closing_wakes(flush_it, false, aborts);
    }
}

/* The memory stays until the cancelled writer has left it, too. */
static void test_a_stream_may_be_closed_right_after_its_writer_was_cancelled(void **state)
{
    (void)state;
    for (int aborts = 0; aborts < 2; aborts++) {
        check_closing_wakes(write_pieces, true, aborts);
        check_closing_wakes(write_whole, true, aborts);
        check_closing_wakes(flush_it, true, aborts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_writes_wait_while_the_peer_does_not_read),
        everywhere(test_a_waiting_write_goes_on_at_the_low_mark),
        everywhere(test_a_write_larger_than_the_mark_waits_until_it_is_sent),
        everywhere(test_a_large_write_goes_behind_what_was_queued),
        everywhere(test_a_deadline_ends_writing_to_a_peer_that_never_reads),
        everywhere(test_a_second_writer_is_refused),
        everywhere(test_a_failure_ends_a_large_write_that_waits),
        everywhere(test_a_write_cancelled_before_it_took_anything_has_no_effect),
        everywhere(test_a_cancel_that_comes_behind_the_wake_stops_a_large_write),
        everywhere(test_a_write_cancelled_half_way_breaks_the_write_side),
        in_blocking_mode(test_a_blocking_write_cancelled_behind_the_queue_breaks_the_write_side),
        everywhere(test_a_cancelled_flush_loses_nothing),
        everywhere(test_a_cancel_at_any_moment_leaves_a_prefix_or_all),
        everywhere(test_closing_wakes_a_waiting_writer),
        everywhere(test_a_stream_may_be_closed_right_after_its_writer_was_cancelled),
    };
    return run_table(tests);
}
