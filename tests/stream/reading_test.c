/* SPDX-License-Identifier: MIT */
/*
 * How reads wait and end: cancelled, closed under them, reset, in turns with others; and how a
 * reader that is slow holds its peer back. What reads give is in read_test.c.
 */
#include "support.h"

/* ---- All kinds of reads ---- */

enum { LARGE = 100000 };

/* A read that waits in a task, and what came of it. */
struct reader {
    evert_stream *s;
    int kind;
    ssize_t rc;
    evert_bytes bytes;
    char *buffer; /* of LARGE bytes */
    int done;
};

enum { KINDS = 9 };

static int read_in_one_way(void *arg)
{
    struct reader *r = (struct reader *)arg;
    switch (r->kind) {
    case 0:
        r->rc = evert_read(r->s, &r->bytes, 100);
        break;
    case 1:
        r->rc = evert_read_into(r->s, r->buffer, 100);
        break;
    case 2:
        r->rc = evert_read_into(r->s, r->buffer, LARGE);
        break;
    case 3:
        r->rc = evert_read_exactly(r->s, &r->bytes, 10);
        break;
    case 4:
        r->rc = evert_read_exactly_into(r->s, r->buffer, 10);
        break;
    case 5:
        r->rc = evert_read_exactly_into(r->s, r->buffer, LARGE);
        break;
    case 6:
        r->rc = evert_read_line(r->s, &r->bytes);
        break;
    case 7:
        r->rc = evert_read_line_into(r->s, r->buffer, 100);
        break;
    default:
        r->rc = evert_read_until_into(r->s, r->buffer, 100, "\n");
        break;
    }
    r->done = 1;
    return 0;
}

/* Spawns a reader that has begun to wait when this returns. */
static void spawn_reader(evert_scope *scope, struct reader *r)
{
    r->buffer = malloc(LARGE);
    assert_non_null(r->buffer);
    check_rc(evert_spawn(scope, read_in_one_way, r), 0);
    wait_until(r->s->reader != NULL);
}

static void free_reader(const struct reader *r)
{
    free(r->buffer);
}

/* S3, case 30. */
static void test_a_second_reader_is_refused(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct ends e = make_ends(TCP);
        struct reader first = {.s = e.s, .kind = 6}, second = {.s = e.s, .kind = kind};
        evert_scope scope;

        second.buffer = malloc(LARGE);
        assert_non_null(second.buffer);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        spawn_reader(&scope, &first);
        read_in_one_way(&second);
        check_count(second.rc, -EBUSY);
        peer_say(e.peer, "line\r\n");
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_count(first.rc, 0);
        check_bytes(first.bytes, "line");
        free_reader(&first);
        free_reader(&second);
        drop_ends(e);
    }
}

static void test_one_task_reads_while_another_writes(void **state)
{
    (void)state;
    struct ends e = make_ends(UNIX);
    struct reader reader = {.s = e.s, .kind = 6};
    evert_scope scope;

    evert_scope_enter(&scope, evert_after(PATIENCE));
    spawn_reader(&scope, &reader);
    check_rc(evert_puts(e.s, "question"), 0);
    peer_hears(e.peer, "question");
    peer_say(e.peer, "answer\r\n");
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_bytes(reader.bytes, "answer");
    free_reader(&reader);
    drop_ends(e);
}

/* ---- Cancelled ---- */

/* S3, case 29, F51: cancelled in the middle, then the rest comes. */
static void test_a_cancelled_read_loses_nothing(void **state)
{
    (void)state;
    for (int kind = 3; kind < KINDS; kind++) {
        struct ends e = make_ends(kind % 2 ? TCP : UNIX);
        struct reader reader = {.s = e.s, .kind = kind};
        evert_scope scope;
        evert_bytes line;

        peer_say(e.peer, "begun ");
        wait_arrived(e.s->fd.number, 6);
        evert_scope_enter(&scope, EVERT_NEVER);
        spawn_reader(&scope, &reader);
        wait_until(arrived(e.s->fd.number) == 0);
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_count(reader.rc, -ECANCELED);
        peer_say(e.peer, "and ended\r\n");
        check_rc(evert_read_line(e.s, &line), 0);
        check_bytes(line, "begun and ended");
        free_reader(&reader);
        drop_ends(e);
    }
}

static void test_a_large_read_cancelled_half_way_loses_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct ends e = make_ends(i % 2 ? TCP : UNIX);
        struct reader reader = {.s = e.s, .kind = 5};
        char *data = make_pattern(LARGE), *got = malloc(LARGE);
        evert_bytes first = {"", 0};
        evert_scope scope;

        if (i >= 2) { /* a part of it is in the buffer already */
            assert_true(peer_send(e.peer, data, 3000));
            wait_arrived(e.s->fd.number, 3000);
            check_rc(evert_read_exactly(e.s, &first, 1), 0);
        }
        evert_scope_enter(&scope, EVERT_NEVER);
        spawn_reader(&scope, &reader);
        assert_true(peer_send(e.peer, data + (i >= 2 ? 3000 : 0), LARGE / 2));
        wait_until(arrived(e.s->fd.number) == 0);
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_count(reader.rc, -ECANCELED);
        size_t sent = (i >= 2 ? 3000 : 0) + LARGE / 2;
        assert_true(peer_send(e.peer, data + sent, 20000));
        check_count(evert_read_exactly_into(e.s, got, sent - first.size + 20000),
                    (ssize_t)(sent - first.size + 20000));
        assert_true(is_pattern(got, first.size, sent - first.size + 20000));
        free(data);
        free(got);
        free_reader(&reader);
        drop_ends(e);
    }
}

/* In a cancelled scope nothing is taken, even where all is there, and the end as well. */
static void test_a_read_in_a_cancelled_scope_takes_nothing(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct ends e = make_ends(UNIX);
        struct reader reader = {.s = e.s, .kind = kind, .buffer = malloc(LARGE)};
        evert_scope scope;
        evert_bytes bytes;

        assert_non_null(reader.buffer);
        peer_say(e.peer, "xabc\r\n");
        assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
        check_rc(evert_read_exactly(e.s, &bytes, 1), 0);
        while (!e.s->at_end) { /* so that nothing has to be waited for */
            if (evert__input_fill(e.s, SIZE_MAX) == -EAGAIN && !evert__source_arm(&e.s->source))
                turns(1);
        }
        evert_scope_enter(&scope, EVERT_NEVER);
        evert_scope_cancel(&scope);
        read_in_one_way(&reader);
        check_count(reader.rc, -ECANCELED);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(evert_read_line(e.s, &bytes), 0);
        check_bytes(bytes, "abc");
        free_reader(&reader);
        drop_ends(e);
    }
}

/* F51, BR-008: the bytes came first, or the cancel did; nothing is lost either way. */
static void test_bytes_and_a_cancel_in_one_turn_lose_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        struct ends e = make_ends(i % 2 ? TCP : UNIX);
        struct reader reader = {.s = e.s, .kind = 6};
        evert_scope scope;
        evert_bytes line;

        evert_scope_enter(&scope, EVERT_NEVER);
        spawn_reader(&scope, &reader);
        if (i % 4 < 2)
            peer_say(e.peer, "line\r\n");
        turns(i % 5);
        evert_scope_cancel(&scope);
        if (i % 4 >= 2)
            peer_say(e.peer, "line\r\n");
        turns(i % 3);
        check_rc(evert_scope_leave(&scope, 0), 0);
        if (reader.rc == 0) {
            check_bytes(reader.bytes, "line");
        } else {
            check_count(reader.rc, -ECANCELED);
            check_rc(evert_read_line(e.s, &line), 0);
            check_bytes(line, "line");
        }
        free_reader(&reader);
        drop_ends(e);
    }
}

struct canceller {
    const evert_stream *s;
    evert_scope *scope;
};

/*
 * Cancels when the reader has been told of bytes, and has not run since. (On the adverse back end
 * it may have taken them already, unasked.)
 */
static int cancel_between_wake_and_run(void *arg)
{
    const struct canceller *c = (const struct canceller *)arg;
    while (!c->s->reader->done && arrived(c->s->fd.number) > 0)
        check_rc(evert_yield(), 0);
    evert_scope_cancel(c->scope);
    return 0;
}

/* Bytes come, and another task cancels who reads: they are there for the next. */
static void check_cancelled_by(evert_fn *cancel, int kind)
{
    struct ends e = make_ends(kind % 2 ? TCP : UNIX);
    struct reader reader = {.s = e.s, .kind = kind};
    evert_scope outer, inner;
    struct canceller canceller = {e.s, &inner};
    evert_bytes bytes;

    evert_scope_enter(&outer, evert_after(PATIENCE));
    evert_scope_enter(&inner, EVERT_NEVER);
    spawn_reader(&inner, &reader);
    wait_until(!evert__link_used(&e.s->step.link)); /* of nothing that came before */
    peer_say(e.peer, "xy");
    check_rc(evert_spawn(&inner, cancel, &canceller), 0);
    check_rc(evert_scope_leave(&inner, 0), 0);
    check_rc(evert_scope_leave(&outer, 0), 0); /* and not at its deadline */
    check_count(reader.rc, -ECANCELED);
    check_rc(evert_read_exactly(e.s, &bytes, 2), 0);
    check_bytes(bytes, "xy");
    free_reader(&reader);
    drop_ends(e);
}

/* C3: the bytes that woke it are not enough, and it must not wait for more in a cancelled scope. */
static void test_a_cancel_that_comes_behind_the_wake_ends_the_next_wait(void **state)
{
    (void)state;
    for (int kind = 3; kind < KINDS; kind++)
        check_cancelled_by(cancel_between_wake_and_run, kind);
}

/* Cancels when what came is about to be taken for the reader. */
static int cancel_before_the_take(void *arg)
{
    const struct canceller *c = (const struct canceller *)arg;
    while (c->s->reader != NULL && !evert__link_used(&c->s->step.link))
        check_rc(evert_yield(), 0);
    assert_non_null(c->s->reader);
    evert_scope_cancel(c->scope);
    return 0;
}

/* C3: nothing was taken, and nothing is taken for one who does not wait any more. */
static void test_a_cancel_right_before_bytes_are_taken_leaves_them(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        if (kind != 2 && kind != 5) /* these take to their own memory themselves */
            check_cancelled_by(cancel_before_the_take, kind);
    }
}

/* S5: what came is then the reader's to take, who may have left by the time that the loop would. */
static void test_bytes_come_for_a_reader_who_was_woken_already(void **state)
{
    static char more[8000]; /* than he takes at once: it stays for whoever comes next */
    (void)state;
    memset(more, 'm', sizeof(more) - 1);
    for (int kind = 0; kind < KINDS; kind++) {
        struct ends e = make_ends(kind % 2 ? TCP : UNIX);
        struct reader reader = {.s = e.s, .kind = kind};
        evert_scope scope;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        spawn_reader(&scope, &reader);
        peer_say(e.peer, "xy\r\n");
        if (kind < 3)
            peer_say(e.peer, more);
        struct pollfd come = {.fd = e.s->fd.number, .events = POLLIN};
        assert_int_equal(poll(&come, 1, PATIENCE / MS), 1); /* and nobody runs meanwhile */
        evert__output_fail(e.s, -EIO);
        check_rc(evert_scope_leave(&scope, 0), 0);
        turns(3);
        if (kind < 3 || kind > 5)
            assert_true(reader.rc >= 0);
        else
            check_count(reader.rc, -EIO); /* there is not so much */
        free_reader(&reader);
        check_rc(drop_ends(e), -EIO);
    }
}

static void test_a_deadline_ends_a_read(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    evert_scope scope;
    evert_bytes bytes = {NULL, 7};

    evert_scope_enter(&scope, evert_after(2 * MS));
    int rc = evert_read_line(e.s, &bytes);
    check_rc(evert_scope_leave(&scope, rc), -ETIMEDOUT);
    assert_int_equal(bytes.size, 7); /* untouched */
    drop_ends(e);
}

/* ---- Closed meanwhile ---- */

static void check_closing_wakes(bool cancels, bool aborts)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct ends e = make_ends(kind % 2 ? TCP : UNIX);
        struct reader reader = {.s = e.s, .kind = kind};
        evert_scope scope;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        spawn_reader(&scope, &reader);
        peer_say(e.peer, "xy");
        if (kind > 2)
            wait_until(arrived(e.s->fd.number) == 0);
        if (cancels)
            evert_scope_cancel(&scope);
        close(e.peer);
        if (aborts)
            evert_abort(e.s);
        else
            check_rc(evert_close(e.s), 0);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_count(reader.rc, cancels ? -ECANCELED : EVERT_ECLOSED);
        free_reader(&reader);
    }
}

/* S3. */
static void test_closing_wakes_a_waiting_reader(void **state)
{
    (void)state;
    check_closing_wakes(false, false);
    check_closing_wakes(false, true);
}

/* The memory stays until the cancelled reader has left it, too. */
static void test_a_stream_may_be_closed_right_after_its_reader_was_cancelled(void **state)
{
    (void)state;
    check_closing_wakes(true, false);
    check_closing_wakes(true, true);
}

struct eager {
    evert_stream *s;
    bool closed;
};

/* Reads byte by byte what is there until somebody closes the stream between two reads. */
static int read_eagerly(void *arg)
{
    struct eager *eager = (struct eager *)arg;
    char buffer[2];
    for (size_t at = 0; !eager->closed; at++) {
        buffer[0] = 0;
        ssize_t count = at % 2 == 0 ? evert_read_exactly_into(eager->s, buffer, 1)
                                    : evert_read_into(eager->s, buffer, 1);
        if (eager->closed && count == EVERT_ECLOSED)
            break; /* it waited, on the adverse back end */
        check_count(count, 1);
        assert_int_equal(buffer[0], 'x');
    }
    return 0;
}

/* What a twin copies it has copied before it lets others run. */
static void test_a_stream_may_be_closed_when_a_read_has_let_others_run(void **state)
{
    char data[1000];
    evert_scope scope;
    (void)state;
    struct ends e = make_ends(UNIX);
    struct eager eager = {e.s, false};

    memset(data, 'x', sizeof(data));
    assert_true(peer_send(e.peer, data, sizeof(data)));
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, read_eagerly, &eager), 0);
    turns(2);
    evert_abort(e.s);
    eager.closed = true;
    check_rc(evert_scope_leave(&scope, 0), 0);
    close(e.peer);
}

/* ---- Errors and the end ---- */

struct last_words {
    int fd;
    bool resets;
};

/* Words and the end at once, so that one event tells of both. */
static int say_and_end(void *arg)
{
    const struct last_words *words = (const struct last_words *)arg;
    peer_say(words->fd, "one\r\ntwo");
    if (words->resets)
        peer_reset(words->fd);
    else
        close(words->fd);
    return 0;
}

/* S9, S1, F17. */
static void test_data_and_the_end_in_one_event_are_both_told(void **state)
{
    (void)state;
    for (int i = 0; i < 16; i++) {
        enum kind kind = i % 2 ? TCP : UNIX;
        bool resets = i % 4 == 1, waits = i >= 8;
        struct ends e = make_ends(kind);
        struct last_words words = {e.peer, resets};
        evert_scope scope;
        evert_bytes bytes;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, say_and_end, &words), 0);
        if (!waits)
            turns(2);
        check_rc(evert_read_line(e.s, &bytes), 0);
        check_bytes(bytes, "one");
        if (i % 8 < 4) {
            check_rc(evert_read_line(e.s, &bytes), resets ? -ECONNRESET : EVERT_EINCOMPLETE);
            if (!resets)
                check_bytes(bytes, "two");
        }
        if (resets || i % 8 >= 4) {
            check_rc(evert_read_exactly(e.s, &bytes, 3), 0); /* the reset has not eaten it */
            check_bytes(bytes, "two");
        }
        for (int again = 0; again < 3; again++)
            check_count(evert_read(e.s, &bytes, 9), resets ? -ECONNRESET : 0);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(evert_close(e.s), 0);
    }
}

static void test_a_large_read_that_is_reset_keeps_what_came(void **state)
{
    char got[LARGE / 2];
    (void)state;
    struct ends e = make_ends(TCP);
    struct reader reader = {.s = e.s, .kind = 5};
    char *data = make_pattern(sizeof(got));
    evert_scope scope;

    evert_scope_enter(&scope, evert_after(PATIENCE));
    spawn_reader(&scope, &reader);
    assert_true(peer_send(e.peer, data, sizeof(got)));
    wait_until(arrived(e.s->fd.number) == 0);
    peer_reset(e.peer);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_count(reader.rc, -ECONNRESET);
    check_count(evert_read_exactly_into(e.s, got, sizeof(got)), sizeof(got));
    assert_true(is_pattern(got, 0, sizeof(got)));
    check_count(evert_read_into(e.s, got, sizeof(got)), -ECONNRESET);
    free(data);
    free_reader(&reader);
    check_rc(evert_close(e.s), 0);
}

static void test_a_large_read_that_ends_early_is_incomplete(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    struct reader reader = {.s = e.s, .kind = 5};
    char *data = make_pattern(LARGE / 2);
    evert_scope scope;

    evert_scope_enter(&scope, evert_after(PATIENCE));
    spawn_reader(&scope, &reader);
    assert_true(peer_send(e.peer, data, LARGE / 2));
    close(e.peer);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_count(reader.rc, EVERT_EINCOMPLETE);
    assert_true(is_pattern(reader.buffer, 0, LARGE / 2));
    check_count(evert_read_exactly_into(e.s, reader.buffer, LARGE), EVERT_EOF);
    free(data);
    free_reader(&reader);
    check_rc(evert_close(e.s), 0);
}

struct sized {
    evert_stream *s;
    size_t size;
    ssize_t count;
};

static int read_size(void *arg)
{
    struct sized *sized = arg;
    evert_bytes bytes;
    sized->count = evert_read(sized->s, &bytes, sized->size);
    if (sized->count > 0)
        assert_true(is_pattern(bytes.data, 0, bytes.size));
    return 0;
}

/* S1: as much as was asked for, and is there, comes in one piece, also for one who waits. */
static void test_who_waits_gets_as_much_as_he_asked_for(void **state)
{
    static const size_t sizes[] = {1, 100, 4096, 4097, 16384, 65534, 65535, 65536, 100001, 131072};
    enum { BEHIND = 1000 };
    char *data = make_pattern(131072 + BEHIND);
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct ends e = make_ends(UNIX);
        struct sized sized = {.s = e.s, .size = sizes[i]};
        evert_scope scope;
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, read_size, &sized), 0);
        wait_until(e.s->reader != NULL);
        assert_true(peer_send(e.peer, data, sizes[i] + BEHIND));
        check_rc(evert_scope_leave(&scope, 0), 0);
        assert_in_range(sized.count, 1, sizes[i]);
        if (!on_uring() && !is_adverse()) /* where the pieces are cut before */
            assert_int_equal(sized.count, sizes[i]);
        drop_ends(e);
    }
    free(data);
}

/* ---- What the kernel may answer ---- */

static bool one_byte_at_a_time(enum evert__sys_call call, const void *site, size_t *size,
                               int64_t *result)
{
    (void)site;
    (void)result;
    if ((call == EVERT__SYS_RECV || call == EVERT__SYS_SEND) && *size > 1)
        *size = 1;
    return false;
}

/* F15. */
static void test_short_reads_are_put_together(void **state)
{
    evert_bytes line;
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        peer_say(e.peer, "a line in pieces\r\nrest");
        close(e.peer);
        wait_ended(e.s->fd.number); /* else, from TCP, a short count says that there is no more */
        evert__sys_set_hook(one_byte_at_a_time);
        check_rc(evert_read_line(e.s, &line), 0);
        check_bytes(line, "a line in pieces");
        check_rc(evert_read_exactly(e.s, &line, 9), EVERT_EINCOMPLETE);
        check_bytes(line, "rest");
        answer_no_more();
        check_rc(evert_close(e.s), 0);
    }
}

/* F4. */
static void test_an_interrupted_read_begins_again(void **state)
{
    evert_bytes line;
    (void)state;
    struct ends e = make_ends(TCP);
    peer_say(e.peer, "line\r\n");
    answer(EVERT__SYS_RECV, -EINTR, 5);
    check_rc(evert_read_line(e.s, &line), 0);
    answer_no_more();
    check_bytes(line, "line");
    assert_int_equal(plan.times, 0);
    drop_ends(e);
}

/* F16: an event whose bytes are gone again, as after a bad checksum. */
static void test_a_read_that_finds_nothing_after_an_event_waits_on(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    struct reader reader = {.s = e.s, .kind = 6};
    evert_scope scope;

    evert_scope_enter(&scope, evert_after(PATIENCE));
    spawn_reader(&scope, &reader);
    answer(EVERT__SYS_RECV, -EAGAIN, 1);
    peer_say(e.peer, "li");
    wait_until(plan.times == 0);
    answer_no_more();
    turns(3);
    assert_false(reader.done);
    peer_say(e.peer, "ne\r\n");
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_count(reader.rc, 0);
    check_bytes(reader.bytes, "line");
    free_reader(&reader);
    drop_ends(e);
}

static void test_want_of_memory_is_told_and_loses_nothing(void **state)
{
    evert_bytes bytes;
    (void)state;
    struct ends e = make_ends(TCP);
    peer_say(e.peer, "line\r\n");
    take_memory_away();
    check_rc(evert_read_exactly(e.s, &bytes, 10000000), -ENOMEM);
    give_memory_back();
    check_rc(evert_read_exactly(e.s, &bytes, SIZE_MAX), -ENOMEM); /* F46 */
    check_rc(evert_read_exactly(e.s, &bytes, SIZE_MAX / 2 + 2), -ENOMEM);
    check_count(evert_read_exactly_into(e.s, &bytes, SIZE_MAX / 2 + 2), -ENOMEM);
    check_rc(evert_read_line(e.s, &bytes), 0);
    check_bytes(bytes, "line");
    drop_ends(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_second_reader_is_refused),
        everywhere(test_one_task_reads_while_another_writes),
        everywhere(test_a_cancelled_read_loses_nothing),
        everywhere(test_a_large_read_cancelled_half_way_loses_nothing),
        everywhere(test_a_read_in_a_cancelled_scope_takes_nothing),
        everywhere(test_bytes_and_a_cancel_in_one_turn_lose_nothing),
        everywhere(test_a_cancel_that_comes_behind_the_wake_ends_the_next_wait),
        everywhere(test_a_cancel_right_before_bytes_are_taken_leaves_them),
        everywhere(test_bytes_come_for_a_reader_who_was_woken_already),
        everywhere(test_a_deadline_ends_a_read),
        everywhere(test_closing_wakes_a_waiting_reader),
        everywhere(test_a_stream_may_be_closed_right_after_its_reader_was_cancelled),
        everywhere(test_a_stream_may_be_closed_when_a_read_has_let_others_run),
        everywhere(test_data_and_the_end_in_one_event_are_both_told),
        everywhere(test_a_large_read_that_is_reset_keeps_what_came),
        everywhere(test_a_large_read_that_ends_early_is_incomplete),
        everywhere(test_short_reads_are_put_together),
        everywhere(test_who_waits_gets_as_much_as_he_asked_for),
        everywhere(test_an_interrupted_read_begins_again),
        everywhere(test_a_read_that_finds_nothing_after_an_event_waits_on),
        everywhere(test_want_of_memory_is_told_and_loses_nothing),
    };
    return run_table(tests);
}
