/* SPDX-License-Identifier: MIT */
/*
 * Forwarding from one stream to another: whole and in order however it comes, nothing lost when it
 * is cut, and who else may use the two meanwhile.
 */
#include <evert/stream/transfer.h>

#include "stream/pipe.h"

#include "support.h"

enum { LARGE = 3 << 20, SMALL = 3000 };

/* Two connections with a plain peer each, and the task that forwards between them. */
struct bridge {
    struct ends in, out;
    evert_scope scope;
    int rc;
    bool done;
};

static int forward_it(void *arg)
{
    struct bridge *b = (struct bridge *)arg;
    b->rc = evert_forward(b->in.s, b->out.s);
    b->done = true;
    return 0;
}

static void build(struct bridge *b, enum kind in, enum kind out)
{
    memset(b, 0, sizeof(*b));
    b->in = make_narrow_ends(in);
    b->out = make_narrow_ends(out);
    set_size(b->in.s->fd.number, SO_RCVBUF, in == TCP ? 65536 : 8192);
    set_size(b->in.peer, SO_SNDBUF, in == TCP ? 65536 : 8192);
}

static void start(struct bridge *b)
{
    b->done = false;
    evert_scope_enter(&b->scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&b->scope, forward_it, b), 0);
}

static void end(struct bridge *b, int wanted)
{
    check_rc(evert_scope_leave(&b->scope, 0), 0);
    check_rc(b->rc, wanted);
}

static void tear_down(struct bridge *b)
{
    drop_ends(b->in);
    drop_ends(b->out);
    evert__pipes_close(self()->loop);
}

/* A task that sends the pattern as a plain peer, at most `piece` bytes at once. */
struct source {
    int fd;
    size_t from, size, piece;
    bool ends;
};

static int pour(void *arg)
{
    const struct source *p = (const struct source *)arg;
    char *data = malloc(p->size);
    assert_non_null(data);
    fill_pattern(data, p->from, p->size);
    for (size_t at = 0; at < p->size; at += p->piece) {
        size_t size = p->size - at < p->piece ? p->size - at : p->piece;
        if (!peer_send(p->fd, data + at, size))
            break;
    }
    free(data);
    if (p->ends)
        shutdown(p->fd, SHUT_WR);
    return 0;
}

static void check_peer_gets(int peer, size_t from, size_t size)
{
    char *got = malloc(size + 1);
    assert_non_null(got);
    check_count(peer_receive(peer, got, size), (ssize_t)size);
    assert_true(is_pattern(got, from, size));
    free(got);
}

/* Forwards `size` bytes that come in such pieces, to the end. */
static void check_forwarded(enum kind in, enum kind out, size_t size, size_t piece)
{
    struct bridge b;
    build(&b, in, out);
    struct source source = {b.in.peer, 0, size, piece, false};
    start(&b);
    check_rc(evert_spawn(&b.scope, pour, &source), 0);
    check_peer_gets(b.out.peer, 0, size);
    assert_false(b.done);
    shutdown(b.in.peer, SHUT_WR);
    end(&b, 0);
    check_rc(evert_puts(b.out.s, "behind"), 0);
    check_rc(evert_flush(b.out.s), 0);
    peer_hears(b.out.peer, "behind");
    tear_down(&b);
}

/* S11: however it comes; and the second stream is not ended. */
static void test_all_is_forwarded_to_the_end(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        enum kind in = i % 2 ? TCP : UNIX, out = i / 2 ? TCP : UNIX;
        check_forwarded(in, out, LARGE, LARGE);
        check_forwarded(in, out, 300000, 1000);
        check_forwarded(in, out, 1, 1);
    }
}

/* How often bytes are spliced, and what splicing says. */
static struct {
    enum evert__sys_call call;
    int answer, skip, spliced;
} says;

static bool say(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    says.spliced += call == EVERT__SYS_SPLICE;
    if (call != says.call || says.answer == 0 || says.skip-- > 0)
        return false;
    *result = says.answer;
    return true;
}

static void let_say(enum evert__sys_call call, int answer, int skip)
{
    memset(&says, 0, sizeof(says));
    says.call = call;
    says.answer = answer;
    says.skip = skip;
    evert__sys_set_hook(say);
}

/* S11: large pieces are not copied, small ones are. */
static void test_large_pieces_go_through_a_pipe(void **state)
{
    (void)state;
    struct bridge b;
    build(&b, TCP, TCP);
    let_say(EVERT__SYS_SPLICE, 0, 0);
    start(&b);
    for (int i = 0; i < 30; i++) {
        peer_say(b.in.peer, "small");
        peer_hears(b.out.peer, "small");
    }
    assert_int_equal(says.spliced, 0);
    shutdown(b.in.peer, SHUT_WR);
    end(&b, 0);
    tear_down(&b);
    check_forwarded(TCP, TCP, LARGE, LARGE);
    assert_true(says.spliced > 0);
    answer_no_more();
}

/* S11: without a pipe, and where the system cannot splice, they are copied. */
static void test_what_cannot_be_spliced_is_copied(void **state)
{
    static const struct {
        enum evert__sys_call call;
        int answer, skip;
    } systems[] = {
        {EVERT__SYS_PIPE, -EMFILE, 0},   {EVERT__SYS_SPLICE, -EINVAL, 0},
        {EVERT__SYS_SPLICE, -ENOSYS, 0}, {EVERT__SYS_SPLICE, -EINVAL, 1},
        {EVERT__SYS_SPLICE, -ENOSYS, 5},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(systems); i++) {
        evert__pipes_close(self()->loop);
        let_say(systems[i].call, systems[i].answer, systems[i].skip);
        check_forwarded(TCP, TCP, LARGE, LARGE);
        answer_no_more();
    }
}

/* S11: what was read ahead goes first; and the rest of a line that was too long is dropped. */
static void test_what_was_read_ahead_goes_first(void **state)
{
    evert_bytes line;
    (void)state;
    struct bridge b;
    build(&b, TCP, TCP);
    peer_say(b.in.peer, "CONNECT\r\nfirst");
    check_rc(evert_read_line(b.in.s, &line), 0);
    check_rc(evert_puts(b.out.s, "before "), 0);
    start(&b);
    peer_hears(b.out.peer, "before first");
    peer_say(b.in.peer, " and more");
    peer_hears(b.out.peer, " and more");
    shutdown(b.in.peer, SHUT_WR);
    end(&b, 0);
    tear_down(&b);

    build(&b, TCP, TCP);
    evert_set_line_limit(b.in.s, 3);
    peer_say(b.in.peer, "too long");
    check_rc(evert_read_line(b.in.s, &line), EVERT_ELIMIT);
    start(&b);
    peer_say(b.in.peer, "\r\nrest");
    peer_hears(b.out.peer, "rest");
    evert_scope_cancel(&b.scope);
    end(&b, -ECANCELED);
    tear_down(&b);
}

static int read_more_than_comes(void *stream)
{
    evert_bytes bytes;
    return evert_read_exactly(stream, &bytes, LARGE);
}

/* S11: also where it is more than is given to the second at once. */
static void test_much_that_was_read_ahead_goes_first(void **state)
{
    enum { MUCH = 3 * EVERT_HIGH_WATER };
    (void)state;
    struct bridge b;
    build(&b, TCP, UNIX);
    struct source source = {b.in.peer, 0, MUCH, MUCH, false};
    evert_scope_enter(&b.scope, EVERT_NEVER);
    check_rc(evert_spawn(&b.scope, read_more_than_comes, b.in.s), 0);
    check_rc(evert_spawn(&b.scope, pour, &source), 0);
    wait_until(evert__input_size(&b.in.s->in) == MUCH);
    evert_scope_cancel(&b.scope);
    check_rc(evert_scope_leave(&b.scope, 0), 0);
    shutdown(b.in.peer, SHUT_WR);
    start(&b);
    turns(5);
    assert_in_range(b.out.s->out.queued, 1, EVERT_HIGH_WATER);
    check_peer_gets(b.out.peer, 0, MUCH);
    end(&b, 0);
    tear_down(&b);
}

/* S5: as each write of blocking mode, it has sent what it took when it returns. */
static void test_in_blocking_mode_all_is_sent_when_it_returns(void **state)
{
    char heard[10];
    (void)state;
    struct bridge b;
    build(&b, UNIX, UNIX);
    peer_say(b.in.peer, "all of it");
    shutdown(b.in.peer, SHUT_WR);
    check_rc(evert_forward(b.in.s, b.out.s), 0);
    if (self()->root)
        assert_int_equal(recv(b.out.peer, heard, sizeof(heard), 0), 9);
    else
        peer_hears(b.out.peer, "all of it");
    tear_down(&b);
}

/* S11: both ends may be the same stream. */
static void test_a_stream_forwarded_to_itself_is_an_echo(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        struct bridge b = {.in = e, .out = e};
        struct source source = {e.peer, 0, LARGE, 100000, false};
        start(&b);
        check_rc(evert_spawn(&b.scope, pour, &source), 0);
        check_peer_gets(e.peer, 0, LARGE);
        shutdown(e.peer, SHUT_WR);
        end(&b, 0);
        check_rc(drop_ends(e), 0);
        evert__pipes_close(self()->loop);
    }
}

/* S4, S11: a slow reader is felt by the sender; little is on its way here. */
static void test_a_slow_reader_holds_back_the_sender(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct bridge b;
        build(&b, (enum kind)kind, (enum kind)kind);
        char *data = make_pattern(LARGE);
        size_t sent = 0;
        start(&b);
        for (int still = 0; still < 10; still++) {
            ssize_t count = send(b.in.peer, data + sent, LARGE - sent, MSG_NOSIGNAL);
            if (count > 0) {
                sent += (size_t)count;
                still = 0;
            }
            let_run();
            assert_in_range(b.out.s->out.queued, 0, EVERT_HIGH_WATER);
            assert_in_range(evert__input_size(&b.in.s->in), 0, EVERT_HIGH_WATER);
        }
        assert_true(sent < LARGE);
        free(data);
        check_peer_gets(b.out.peer, 0, sent);
        evert_scope_cancel(&b.scope);
        end(&b, -ECANCELED);
        tear_down(&b);
    }
}

/* ---- Cut ---- */

/* S11: whenever it is cut, what the second has not got, the first still gives. */
static void test_a_cancel_at_any_moment_loses_nothing(void **state)
{
    enum { SIZE = 400000 };
    (void)state;
    for (int i = 0; i < 40; i++) {
        struct bridge b;
        build(&b, i % 2 ? TCP : UNIX, i % 4 < 2 ? TCP : UNIX);
        char *got = malloc(SIZE), *data = make_pattern(SIZE);
        size_t size = 0, sent = 0;
        ssize_t count;

        assert_non_null(got);
        start(&b);
        for (int rest = i; rest > 0; rest--) {
            count = send(b.in.peer, data + sent, SIZE - sent, MSG_NOSIGNAL);
            sent += count > 0 ? (size_t)count : 0;
            size_t most = rest % 3 ? 16384 : 1;
            count = recv(b.out.peer, got + size, most < SIZE - size ? most : SIZE - size, 0);
            size += count > 0 ? (size_t)count : 0;
            turns(1);
        }
        evert_scope_cancel(&b.scope);
        end(&b, -ECANCELED);
        shutdown(b.in.peer, SHUT_WR);
        evert_scope_enter(&b.scope, EVERT_NEVER); /* what was accepted is sent */
        check_rc(evert_spawn(&b.scope, close_it, b.out.s), 0);
        count = peer_receive(b.out.peer, got + size, SIZE - size);
        assert_true(count >= 0);
        size += (size_t)count;
        close(b.out.peer);
        check_rc(evert_scope_leave(&b.scope, 0), 0);
        while ((count = evert_read_into(b.in.s, got + size, SIZE - size)) > 0)
            size += (size_t)count;
        check_count(count, 0);
        assert_int_equal(size, sent);
        assert_true(is_pattern(got, 0, size));
        free(got);
        free(data);
        drop_ends(b.in);
        evert__pipes_close(self()->loop);
    }
}

/* S11: the second's failure is told, also while there is nothing to forward; the first is whole. */
static void test_a_failure_of_the_second_stream(void **state)
{
    evert_bytes bytes;
    (void)state;
    struct bridge b;
    build(&b, TCP, TCP);
    start(&b);
    peer_say(b.in.peer, "x");
    peer_hears(b.out.peer, "x");
    peer_reset(b.out.peer);
    wait_ended(b.out.s->fd.number);
    peer_say(b.in.peer, "y");
    check_rc(evert_scope_leave(&b.scope, 0), 0);
    assert_true(b.rc == -EPIPE || b.rc == -ECONNRESET);
    check_rc(evert_flush(b.out.s), b.rc);
    peer_say(b.in.peer, "z\r\n");
    check_rc(evert_read_line(b.in.s, &bytes), 0);
    drop_ends(b.in);
    evert_close(b.out.s);

    build(&b, TCP, TCP); /* as from elsewhere, while it waits for input */
    start(&b);
    wait_until(b.in.s->reader != NULL && b.out.s->writer != NULL);
    turns(3);
    check_rc(evert_printf(b.out.s, "%f", 1.0), EVERT_EFORMAT);
    end(&b, EVERT_EFORMAT);
    tear_down(&b);
    evert__pipes_close(self()->loop);
}

/* A task that reads as a plain peer, to the end, and counts. */
struct drain {
    int fd;
    size_t size;
};

static int drain_it(void *arg)
{
    struct drain *d = (struct drain *)arg;
    char got[16384];
    ssize_t count;
    while ((count = peer_receive(d->fd, got, sizeof(got))) > 0) {
        assert_true(is_pattern(got, d->size, (size_t)count));
        d->size += (size_t)count;
    }
    return 0;
}

/* S11: in mid-flood, what the pipe held goes back to the first. */
static void test_a_failure_in_the_middle_loses_nothing_of_the_first(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct bridge b = {.in = make_ends(TCP), .out = make_ends(TCP)};
        struct source source = {b.in.peer, 0, LARGE, LARGE, true};
        struct drain drain = {b.out.peer, 0};
        char got[1000];

        let_say(EVERT__SYS_SPLICE, -ECONNRESET, i);
        start(&b);
        check_rc(evert_spawn(&b.scope, pour, &source), 0);
        check_rc(evert_spawn(&b.scope, drain_it, &drain), 0);
        wait_until(b.done);
        answer_no_more();
        if (!is_adverse() || b.rc < 0) /* there, pieces may have been small by chance */
            check_rc(b.rc, -ECONNRESET);
        bool second = evert_flush(b.out.s) < 0; /* else it was the first that failed */
        shutdown(b.out.s->fd.number, SHUT_WR);
        ssize_t count = evert_read_into(b.in.s, got, sizeof(got));
        peer_reset(b.in.peer);
        check_rc(evert_scope_leave(&b.scope, 0), 0);
        if (second)
            assert_true(count > 0 && is_pattern(got, drain.size, (size_t)count));
        else
            check_count(count, b.rc);
        evert_close(b.in.s);
        drop_ends(b.out);
        evert__pipes_close(self()->loop);
    }
}

/* The pipe is filled with a little, and can then be emptied neither way. */
static bool close_the_pipe(enum evert__sys_call call, const void *site, size_t *size,
                           int64_t *result)
{
    (void)site;
    if (call == EVERT__SYS_SPLICE && *size == EVERT__PIPE_SIZE) {
        *size /= 2;
        return false;
    }
    *result = call == EVERT__SYS_SPLICE ? -EINVAL : -EIO;
    return call == EVERT__SYS_SPLICE || call == EVERT__SYS_READ;
}

/* S5, S11: bytes that can neither go on nor back leave a gap, and nothing goes behind it. */
static void test_a_gap_breaks_the_second_stream(void **state)
{
    (void)state;
    if (is_adverse())
        return; /* it fills the pipe with less, which looks like emptying it */
    struct bridge b = {.in = make_ends(TCP), .out = make_ends(TCP)};
    struct source source = {b.in.peer, 0, LARGE, LARGE, false};
    evert__sys_set_hook(close_the_pipe);
    start(&b);
    check_rc(evert_spawn(&b.scope, pour, &source), 0);
    wait_until(b.done);
    answer_no_more();
    check_rc(b.rc, -EIO);
    check_rc(evert_puts(b.out.s, "behind it"), -EIO);
    peer_reset(b.in.peer);
    check_rc(evert_scope_leave(&b.scope, 0), 0);
    evert_close(b.in.s);
    drop_ends(b.out);
    evert__pipes_close(self()->loop);
}

/* S11: the first's error is told behind what had come, and the second is whole. */
static void test_a_failure_of_the_first_stream(void **state)
{
    (void)state;
    struct bridge b;
    build(&b, TCP, TCP);
    start(&b);
    peer_say(b.in.peer, "last words");
    peer_hears(b.out.peer, "last words");
    peer_reset(b.in.peer);
    end(&b, -ECONNRESET);
    check_rc(evert_puts(b.out.s, "sorry"), 0);
    check_rc(evert_flush(b.out.s), 0);
    peer_hears(b.out.peer, "sorry");
    check_rc(evert_close(b.in.s), 0);
    drop_ends(b.out);
    evert__pipes_close(self()->loop);
}

/* S3, S7: closing either ends it, whatever it waits for. */
static void test_closing_either_ends_it(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct bridge b;
        bool first = i % 2, aborts = i / 2 % 2, flood = i / 4;
        build(&b, TCP, TCP);
        start(&b);
        char *data = make_pattern(LARGE);
        size_t sent = 0;
        for (int still = 0; still < 10 && !b.done; still++) {
            ssize_t count = flood ? send(b.in.peer, data + sent, LARGE - sent, MSG_NOSIGNAL) : -1;
            if (count > 0) {
                sent += (size_t)count;
                still = 0;
            }
            let_run();
        }
        evert_stream *closed = first ? b.in.s : b.out.s, *other = first ? b.out.s : b.in.s;
        evert_set_close_limit(closed, 5 * MS);
        evert_set_close_limit(other, 5 * MS);
        if (aborts)
            evert_abort(closed);
        else
            (void)evert_close(closed);
        if (first && flood) /* it finds out when it gets on */
            close(b.out.peer);
        check_rc(evert_scope_leave(&b.scope, 0), 0);
        assert_true(b.rc == EVERT_ECLOSED || (first && flood && b.rc < 0));
        close(b.in.peer);
        if (!first || !flood)
            close(b.out.peer);
        free(data);
        evert_close(other);
        evert__pipes_close(self()->loop);
    }
}

/* ---- Who else is there ---- */

/* S3, S11. */
static void test_meanwhile_both_are_busy(void **state)
{
    evert_bytes bytes;
    (void)state;
    struct bridge b;
    build(&b, TCP, TCP);
    say_and_hear(b.out, "before");
    start(&b);
    turns(2);
    assert_int_equal(evert_read(b.in.s, &bytes, 1), -EBUSY);
    check_rc(evert_puts(b.out.s, "x"), -EBUSY);
    check_rc(evert_forward(b.in.s, b.out.s), -EBUSY);
    check_rc(evert_forward(b.in.s, b.in.s), -EBUSY);
    peer_say(b.in.peer, "on"); /* and who was first does not notice */
    peer_hears(b.out.peer, "on");
    check_rc(evert_puts(b.in.s, "back"), 0); /* the other ways are free */
    check_rc(evert_flush(b.in.s), 0);
    peer_hears(b.in.peer, "back");
    check_rc(evert_puts(b.in.s, "again"), 0); /* and are so after an -EBUSY */
    peer_say(b.out.peer, "there");
    check_rc(evert_read_exactly(b.out.s, &bytes, 5), 0);
    evert_scope_cancel(&b.scope);
    end(&b, -ECANCELED);
    check_rc(evert_flush(b.in.s), 0);
    peer_hears(b.in.peer, "again");
    peer_say(b.in.peer, "free");
    check_rc(evert_read_exactly(b.in.s, &bytes, 4), 0);
    check_rc(evert_puts(b.out.s, "free"), 0);
    check_rc(evert_flush(b.out.s), 0);
    peer_hears(b.out.peer, "free");
    tear_down(&b);
}

/* S5: to where nothing may be written, nothing is taken from the first. */
static void test_nothing_goes_to_a_stream_that_was_ended(void **state)
{
    evert_bytes bytes;
    (void)state;
    struct bridge b;
    build(&b, TCP, TCP);
    check_rc(evert_write_eof(b.out.s), 0);
    peer_say(b.in.peer, "abc");
    check_rc(evert_forward(b.in.s, b.out.s), -EPIPE);
    check_rc(evert_read_exactly(b.in.s, &bytes, 3), 0);
    tear_down(&b);
}

/* C12: a fast sender and a fast reader do not hold up the others. */
static void test_others_run_meanwhile(void **state)
{
    struct bystander bystander = {0};
    (void)state;
    struct bridge b;
    build(&b, UNIX, UNIX);
    struct source source = {b.in.peer, 0, LARGE, LARGE, false};
    start(&b);
    check_rc(evert_spawn(&b.scope, stand_by, &bystander), 0);
    check_rc(evert_spawn(&b.scope, pour, &source), 0);
    check_peer_gets(b.out.peer, 0, LARGE);
    assert_true(bystander.turns > 10);
    bystander.stop = true;
    shutdown(b.in.peer, SHUT_WR);
    end(&b, 0);
    tear_down(&b);
}

/* S11: who waits for input holds no pipe, and no buffer. */
static void test_who_waits_holds_nothing(void **state)
{
    enum { COUNT = 20, KEPT = 4 };
    struct bridge b[COUNT];
    (void)state;
    for (int i = 0; i < COUNT; i++)
        build(&b[i], TCP, TCP);
    int before = open_descriptors();
    for (int i = 0; i < COUNT; i++) {
        struct source source = {b[i].in.peer, 0, 300000, 300000, false};
        start(&b[i]);
        check_rc(evert_spawn(&b[i].scope, pour, &source), 0);
        check_peer_gets(b[i].out.peer, 0, 300000);
        turns(5);
        assert_int_equal(b[i].out.s->out.queued, 0);
    }
    assert_in_range(open_descriptors(), before, before + 2 * KEPT);
    for (int i = COUNT - 1; i >= 0; i--) {
        shutdown(b[i].in.peer, SHUT_WR);
        end(&b[i], 0);
        tear_down(&b[i]);
    }
}

/* ---- Both directions ---- */

static int relay_it(void *arg)
{
    struct bridge *b = (struct bridge *)arg;
    b->rc = evert_relay(b->in.s, b->out.s);
    b->done = true;
    return 0;
}

/* S12: each end is passed on, and the way back stays open. */
static void test_a_relay_passes_half_closes_on(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct bridge b;
        build(&b, (enum kind)kind, TCP);
        evert_scope_enter(&b.scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&b.scope, relay_it, &b), 0);
        peer_say(b.in.peer, "question");
        shutdown(b.in.peer, SHUT_WR);
        peer_hears(b.out.peer, "question");
        peer_hears_end(b.out.peer);
        struct source source = {b.out.peer, 0, LARGE, LARGE, false};
        check_rc(evert_spawn(&b.scope, pour, &source), 0);
        check_peer_gets(b.in.peer, 0, LARGE);
        assert_false(b.done);
        shutdown(b.out.peer, SHUT_WR);
        peer_hears_end(b.in.peer);
        end(&b, 0);
        tear_down(&b);
    }
}

/* S12: a failure of one direction ends the other, and so does a cancel. */
static void test_a_relay_ends_whole(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct bridge b;
        build(&b, TCP, TCP);
        evert_scope_enter(&b.scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&b.scope, relay_it, &b), 0);
        peer_say(b.in.peer, "x");
        peer_hears(b.out.peer, "x");
        if (i == 0)
            peer_reset(b.out.peer);
        else
            evert_scope_cancel(&b.scope);
        end(&b, i == 0 ? -ECONNRESET : -ECANCELED);
        if (i == 1)
            close(b.out.peer);
        evert_close(b.out.s);
        check_rc(drop_ends(b.in), 0);
        evert__pipes_close(self()->loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_all_is_forwarded_to_the_end),
        everywhere(test_large_pieces_go_through_a_pipe),
        everywhere(test_what_cannot_be_spliced_is_copied),
        everywhere(test_what_was_read_ahead_goes_first),
        everywhere(test_much_that_was_read_ahead_goes_first),
        everywhere(test_in_blocking_mode_all_is_sent_when_it_returns),
        everywhere(test_a_stream_forwarded_to_itself_is_an_echo),
        everywhere(test_a_slow_reader_holds_back_the_sender),
        everywhere(test_a_cancel_at_any_moment_loses_nothing),
        everywhere(test_a_failure_of_the_second_stream),
        everywhere(test_a_failure_in_the_middle_loses_nothing_of_the_first),
        everywhere(test_a_gap_breaks_the_second_stream),
        everywhere(test_a_failure_of_the_first_stream),
        everywhere(test_closing_either_ends_it),
        everywhere(test_meanwhile_both_are_busy),
        everywhere(test_nothing_goes_to_a_stream_that_was_ended),
        everywhere(test_others_run_meanwhile),
        everywhere(test_who_waits_holds_nothing),
        everywhere(test_a_relay_passes_half_closes_on),
        everywhere(test_a_relay_ends_whole),
    };
    return run_table(tests);
}
