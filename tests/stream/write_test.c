/* SPDX-License-Identifier: MIT */
/*
 * What writes promise: all or an error, in order, gathered (S5); how they fail, and where a failure
 * is told; half a close. How writes wait is in writing_test.c.
 */
#include "support.h"

/* The program is to be as one that knows nothing of Evert: SIGPIPE kills. */
static void let_sigpipe_kill(void)
{
    signal(SIGPIPE, SIG_DFL);
}

/* ---- Gathered ---- */

/* S5: in a task, what is written before it waits goes out in one call. */
static void test_small_writes_are_sent_together_when_the_task_waits(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        answer(EVERT__SYS_SEND, 0, 0);
        for (int i = 0; i < 10; i++)
            check_rc(evert_puts(e.s, "a few words "), 0);
        if (!self()->root)
            assert_int_equal(plan.asked, 0);
        turns(1);
        if (!self()->root && !is_late())
            assert_int_equal(plan.asked, 1);
        answer_no_more();
        for (int i = 0; i < 10; i++)
            peer_hears(e.peer, "a few words ");
        drop_ends(e);
    }
}

static int sends;

/* Counts sends, in a moment that lasts. */
static bool count_sends(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    static const evert_time moment = EVERT_SECOND;
    (void)site;
    (void)size;
    sends += call == EVERT__SYS_SEND;
    if (call == EVERT__SYS_CLOCK)
        *result = moment;
    return call == EVERT__SYS_CLOCK;
}

static int answer_at_length(void *stream)
{
    for (int i = 0; i < 20 * EVERT__BUDGET; i++)
        check_rc(evert_puts(stream, "and so on "), 0);
    assert_int_equal(sends, 0);
    return 0;
}

/* S5: also where they are more than a task may do without letting others run, if there are none. */
static void test_many_small_writes_of_a_task_alone_are_sent_together(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        evert_scope scope;
        turns(2); /* what others have left to do is done */
        sends = 0;
        evert__sys_set_hook(count_sends);
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, answer_at_length, e.s), 0);
        check_rc(evert_scope_leave(&scope, 0), 0);
        evert__sys_set_hook(NULL);
        for (int i = 0; i < 20 * EVERT__BUDGET; i++)
            peer_hears(e.peer, "and so on ");
        drop_ends(e);
    }
}

/* C12: as long as there is room, nothing makes it wait. */
static void test_a_writer_that_never_waits_lets_others_run(void **state)
{
    enum { WRITES = 1000 };
    char heard[100];
    (void)state;
    for (int flushes = 0; flushes < 2; flushes++) {
        struct bystander bystander = {0, false};
        evert_scope scope;
        struct ends e = make_ends(UNIX);
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, stand_by, &bystander), 0);
        for (int i = 0; i < WRITES; i++) {
            check_rc(flushes ? evert_flush(e.s) : evert_puts(e.s, "x"), 0);
            assert_true(bystander.turns >= i / (EVERT__BUDGET + 1) - 1);
            (void)recv(e.peer, heard, sizeof(heard), 0); /* so that there is always room */
        }
        bystander.stop = true;
        check_rc(evert_scope_leave(&scope, 0), 0);
        drop_ends(e);
    }
}

static int write_and_end(void *arg)
{
    evert_stream *s = (evert_stream *)arg;
    check_rc(evert_puts(s, "last "), 0);
    check_rc(evert_puts(s, "words"), 0);
    return 0;
}

/* S5: at the end of the turn, also when the task waits no more at all. */
static void test_what_a_task_wrote_is_sent_when_it_has_ended(void **state)
{
    evert_scope scope;
    (void)state;
    struct ends e = make_ends(TCP);
    answer(EVERT__SYS_SEND, 0, 0);
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, write_and_end, e.s), 0);
    check_rc(evert_scope_leave(&scope, 0), 0);
    peer_hears(e.peer, "last words");
    if (!is_late())
        assert_int_equal(plan.asked, 1);
    drop_ends(e);
}

/* S5: outside of a loop a write has been sent when it returns. */
static void test_in_blocking_mode_a_write_is_sent_before_it_returns(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    for (int i = 0; i < 3; i++) {
        check_rc(evert_puts(e.s, "words"), 0);
        assert_int_equal(e.s->out.queued, 0);
        assert_false(e.s->sending);
        peer_hears(e.peer, "words");
    }
    drop_ends(e);
}

static void test_flush_sends_at_once(void **state)
{
    (void)state;
    struct ends e = make_ends(UNIX);
    check_rc(evert_flush(e.s), 0); /* nothing to do */
    check_rc(evert_puts(e.s, "words"), 0);
    check_rc(evert_flush(e.s), 0);
    assert_int_equal(e.s->out.queued, 0);
    assert_int_equal(arrived(e.peer), 5);
    drop_ends(e);
}

/* ---- In order ---- */

static void test_writes_of_all_sizes_arrive_in_order(void **state)
{
    static const size_t sizes[] = {0, 1, 3, 100, 4000, 4096, 5000, 20000, 65536, 65537, 200000};
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        evert_stream *s[2];
        size_t total = 0, at = 0;
        make_streams((enum kind)kind, s);
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            char *data = malloc(sizes[i] + 1), *got = malloc(sizes[i] + 1);
            assert_true(data != NULL && got != NULL);
            fill_pattern(data, total, sizes[i]);
            total += sizes[i];
            set_size(s[0]->fd.number, SO_SNDBUF, 400000);
            set_size(s[1]->fd.number, SO_RCVBUF, 400000);
            check_rc(evert_write(s[0], data, sizes[i]), 0);
            check_count(evert_read_exactly_into(s[1], got, sizes[i]), (ssize_t)sizes[i]);
            assert_true(is_pattern(got, at, sizes[i]));
            at += sizes[i];
            free(data);
            free(got);
        }
        close_streams(s);
    }
}

static void test_formatted_writes(void **state)
{
    char much[1000];
    (void)state;
    struct ends e = make_ends(TCP);
    memset(much, 'm', sizeof(much));
    much[999] = '\0';
    check_rc(evert_printf(e.s, "%s is %d%% of %#x, %zu\r\n", "this", -7, 255U, (size_t)3), 0);
    check_rc(evert_printf(e.s, "<%s>", much), 0);
    check_rc(evert_put(e.s, evert_bytes_of("put")), 0);
    check_rc(evert_flush(e.s), 0);
    peer_hears(e.peer, "this is -7% of 0xff, 3\r\n<");
    peer_hears(e.peer, much);
    peer_hears(e.peer, ">put");
    drop_ends(e);
}

/* F15, F4, F16. */
static bool short_and_interrupted(enum evert__sys_call call, const void *site, size_t *size,
                                  int64_t *result)
{
    static int calls;
    (void)site;
    if (call != EVERT__SYS_SEND)
        return false;
    if (*size > 3)
        *size = 3;
    *result = -EINTR;
    return calls++ % 2 == 0;
}

static void test_short_and_interrupted_sends_are_put_together(void **state)
{
    char *data = make_pattern(5000), got[5000];
    (void)state;
    struct ends e = make_ends(TCP);
    evert__sys_set_hook(short_and_interrupted);
    check_rc(evert_write(e.s, data, 5000), 0);
    check_rc(evert_flush(e.s), 0);
    answer_no_more();
    check_count(peer_receive(e.peer, got, 5000), 5000);
    assert_true(is_pattern(got, 0, 5000));
    free(data);
    drop_ends(e);
}

/* ---- Failures ---- */

/* Writes until the failure is known. */
static int fail_by_reset(evert_stream *s)
{
    int rc = 0;
    wait_ended(s->fd.number);
    for (int i = 0; rc == 0 && i < 3; i++) {
        rc = evert_puts(s, "x");
        if (rc == 0)
            rc = evert_flush(s);
    }
    assert_true(rc == -ECONNRESET || rc == -EPIPE);
    return rc;
}

/* S5, F18: an error, never a signal, and the same one from then on. */
static void test_a_write_after_the_peer_is_gone_fails_and_so_does_all_that_follows(void **state)
{
    char large[EVERT_HIGH_WATER + 1] = {0};
    evert_bytes bytes;
    (void)state;
    let_sigpipe_kill();
    for (int i = 0; i < 3; i++) {
        struct ends e = make_ends(i == 2 ? UNIX : TCP);
        if (i == 1)
            peer_reset(e.peer);
        else
            close(e.peer);
        int rc = fail_by_reset(e.s);
        check_rc(evert_puts(e.s, "more"), rc);
        check_rc(evert_printf(e.s, "%s", "more"), rc);
        check_rc(evert_write(e.s, large, sizeof(large)), rc);
        check_rc(evert_write(e.s, "", 0), rc);
        check_rc(evert_flush(e.s), rc);
        check_rc(evert_write_eof(e.s), rc);
        check_count(evert_read(e.s, &bytes, 10), rc);
        check_rc(evert_read_line(e.s, &bytes), rc);
        check_rc(evert_close(e.s), rc);
    }
}

static int write_to_a_closed_peer(void *kind)
{
    struct ends e = make_ends(*(const enum kind *)kind);
    close(e.peer);
    check_rc(evert_close(e.s), 0);
    e = make_ends(*(const enum kind *)kind);
    close(e.peer);
    int rc = fail_by_reset(e.s);
    check_rc(evert_close(e.s), rc);
    return 0;
}

/* F18, BR-047: in evert_run() and outside, small and large. */
static void test_no_write_raises_sigpipe(void **state)
{
    sigset_t only_sigpipe, pending;
    (void)state;
    let_sigpipe_kill();
    sigemptyset(&only_sigpipe);
    sigaddset(&only_sigpipe, SIGPIPE);
    sigprocmask(SIG_BLOCK, &only_sigpipe, NULL); /* so that none is missed */
    for (enum kind kind = TCP; kind <= UNIX; kind++) {
        write_to_a_closed_peer(&kind);
        check_rc(evert_run(write_to_a_closed_peer, &kind), 0);
    }
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    sigprocmask(SIG_UNBLOCK, &only_sigpipe, NULL);
}

/* S5: told by the read that follows, but behind what had arrived. */
static void test_a_read_tells_a_failed_write_behind_the_bytes_that_arrived(void **state)
{
    evert_bytes bytes;
    evert_scope scope;
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct ends e = make_ends(UNIX);
        if (i % 2) { /* the stream has found nothing, and nobody has told it of what comes now */
            evert_scope_enter(&scope, evert_after(MS));
            check_rc(evert_read_line(e.s, &bytes), -ECANCELED);
            check_rc(evert_scope_leave(&scope, -ECANCELED), -ETIMEDOUT);
        }
        peer_say(e.peer, "refused\r\nbye");
        close(e.peer);
        (void)evert_puts(e.s, "question"); /* nobody looks */
        if (i % 4 < 2)
            check_rc(evert_flush(e.s), -EPIPE);
        check_rc(evert_read_line(e.s, &bytes), 0);
        check_bytes(bytes, "refused");
        if (i < 4) {
            check_rc(evert_read_line(e.s, &bytes), EVERT_EINCOMPLETE);
        } else {
            check_count(evert_read(e.s, &bytes, 1), 1);
            check_rc(evert_read_exactly(e.s, &bytes, 2), 0);
        }
        if (i % 4 < 2) {
            check_rc(evert_read_line(e.s, &bytes), -EPIPE);
            check_count(evert_read(e.s, &bytes, 1), -EPIPE);
        } else {
            (void)evert_flush(e.s);
            check_count(evert_read(e.s, &bytes, 1), -EPIPE);
        }
        check_rc(evert_close(e.s), -EPIPE);
    }
}

/* S5: and by one that waits already. */
static int read_and_see_failure(void *arg)
{
    evert_bytes bytes;
    check_rc(evert_read_line((evert_stream *)arg, &bytes), EVERT_EFORMAT);
    return 0;
}

static void test_a_failed_write_wakes_the_reader_who_waits(void **state)
{
    evert_scope scope;
    (void)state;
    struct ends e = make_ends(TCP);
    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, read_and_see_failure, e.s), 0);
    wait_until(e.s->reader != NULL);
    const char *unknown = "%e";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    check_rc(evert_printf(e.s, unknown, 1.5), EVERT_EFORMAT);
#pragma GCC diagnostic pop
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(evert_puts(e.s, "x"), EVERT_EFORMAT);
    close(e.peer);
    check_rc(evert_close(e.s), EVERT_EFORMAT);
}

/* What was accepted before a failure of another kind is still sent. */
static void test_what_was_accepted_before_a_failure_is_sent(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    const char *unknown = "%e";
    check_rc(evert_puts(e.s, "accepted"), 0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    check_rc(evert_printf(e.s, unknown, 1.5), EVERT_EFORMAT);
#pragma GCC diagnostic pop
    check_rc(evert_flush(e.s), EVERT_EFORMAT);
    check_rc(evert_puts(e.s, "not"), EVERT_EFORMAT);
    peer_hears(e.peer, "accepted");
    check_rc(drop_ends(e), EVERT_EFORMAT);
}

/* S5, F45: not a byte of it was taken, nor is anything after it. */
static void test_a_write_without_memory_fails_whole_and_breaks_the_write_side(void **state)
{
    char data[EVERT__MUCH - 1] = {0}, much[300];
    evert_loop *loop = self()->loop;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ends e = make_ends(UNIX);
        memset(much, 'm', sizeof(much));
        check_rc(evert_puts(e.s, "before"), 0);
        take_memory_away();
        struct evert__chunk *chunks = take_chunks(loop);
        int rc = i == 0 ? evert_write(e.s, data, sizeof(data))
                        : evert_printf(e.s, "%.*s", (int)sizeof(much), much);
        check_rc(rc, -ENOMEM);
        give_chunks_back(loop, chunks);
        give_memory_back();
        check_rc(evert_puts(e.s, "after"), -ENOMEM);
        check_rc(evert_flush(e.s), -ENOMEM);
        peer_hears(e.peer, "before");
        assert_int_equal(arrived(e.peer), 0);
        check_rc(drop_ends(e), -ENOMEM);
    }
}

/* BR-004: a server that sends a large file learns that its client has gone. */
static void test_a_writer_whose_client_resets_soon_fails(void **state)
{
    static char block[65536];
    char got[1024];
    int rounds = 0, rc = 0;
    (void)state;
    struct ends e = make_narrow_ends(TCP);
    check_rc(evert_write(e.s, block, sizeof(got)), 0);
    check_count(peer_receive(e.peer, got, sizeof(got)), sizeof(got));
    peer_reset(e.peer);
    for (; rc == 0 && rounds < 10000; rounds++) {
        rc = evert_write(e.s, block, sizeof(block));
        if (rc == 0)
            rc = evert_flush(e.s);
    }
    assert_in_range(rounds, 1, 200);
    assert_true(rc == -ECONNRESET || rc == -EPIPE);
    assert_int_equal(e.s->out.queued, 0);
    check_rc(evert_close(e.s), rc);
}

/* F17: the reason is that of the loss, by its own code, on either side. */
static void test_a_reset_is_told_by_its_code(void **state)
{
    evert_bytes bytes;
    (void)state;
    struct ends e = make_ends(TCP);
    peer_reset(e.peer);
    wait_ended(e.s->fd.number);
    check_rc(evert_read_line(e.s, &bytes), -ECONNRESET);
    check_rc(evert_read_line(e.s, &bytes), -ECONNRESET);
    evert_abort(e.s);
}

/* ---- Half a close ---- */

/* S5, F20: the reply still arrives. */
static void test_after_write_eof_the_peer_has_all_and_its_reply_arrives(void **state)
{
    evert_bytes line;
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        check_rc(evert_puts(e.s, "question"), 0);
        check_rc(evert_write_eof(e.s), 0);
        check_rc(evert_write_eof(e.s), 0);
        peer_hears(e.peer, "question");
        peer_hears_end(e.peer);
        peer_say(e.peer, "answer\r\n");
        check_rc(evert_read_line(e.s, &line), 0);
        check_bytes(line, "answer");
        drop_ends(e);
    }
}

/* S5: as a write does. It is told again where a read would wait, behind the bytes that arrived. */
static void test_write_eof_after_a_reset_is_a_broken_pipe(void **state)
{
    struct ends e = make_ends(TCP);
    evert_bytes bytes;
    (void)state;
    peer_say(e.peer, "last");
    wait_until(has_events(e.s->fd.number, POLLIN));
    peer_reset(e.peer);
    wait_until(has_events(e.s->fd.number, POLLHUP));
    check_rc(evert_write_eof(e.s), -EPIPE);
    check_count(evert_read(e.s, &bytes, 9), 4);
    check_bytes(bytes, "last");
    check_count(evert_read(e.s, &bytes, 9), -EPIPE);
    check_rc(evert_close(e.s), -EPIPE);
}

/* Also where something was sent before, so that a small write needs to look at little. */
static void test_a_write_after_write_eof_fails(void **state)
{
    (void)state;
    let_sigpipe_kill();
    for (int i = 0; i < 2; i++) {
        struct ends e = make_ends(TCP);
        if (i > 0)
            say_and_hear(e, "before");
        check_rc(evert_write_eof(e.s), 0);
        check_rc(evert_flush(e.s), 0);
        check_rc(evert_puts(e.s, "more"), -EPIPE);
        peer_hears_end(e.peer);
        check_rc(drop_ends(e), -EPIPE);
    }
}

/* F20: and the other way round. */
static void test_after_the_peers_end_writing_goes_on(void **state)
{
    evert_bytes bytes;
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        peer_say(e.peer, "question");
        assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
        check_rc(evert_read_line(e.s, &bytes), EVERT_EINCOMPLETE);
        check_bytes(bytes, "question");
        check_rc(evert_read_line(e.s, &bytes), EVERT_EOF);
        for (int i = 0; i < 3; i++) {
            check_rc(evert_puts(e.s, "answer"), 0);
            peer_hears(e.peer, "answer");
        }
        check_rc(evert_close(e.s), 0);
        peer_hears_end(e.peer);
        close(e.peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_small_writes_are_sent_together_when_the_task_waits),
        everywhere(test_many_small_writes_of_a_task_alone_are_sent_together),
        everywhere(test_a_writer_that_never_waits_lets_others_run),
        everywhere(test_what_a_task_wrote_is_sent_when_it_has_ended),
        in_blocking_mode(test_in_blocking_mode_a_write_is_sent_before_it_returns),
        everywhere(test_flush_sends_at_once),
        everywhere(test_writes_of_all_sizes_arrive_in_order),
        everywhere(test_formatted_writes),
        everywhere(test_short_and_interrupted_sends_are_put_together),
        everywhere(test_a_write_after_the_peer_is_gone_fails_and_so_does_all_that_follows),
        in_blocking_mode(test_no_write_raises_sigpipe),
        everywhere(test_a_read_tells_a_failed_write_behind_the_bytes_that_arrived),
        everywhere(test_a_failed_write_wakes_the_reader_who_waits),
        everywhere(test_what_was_accepted_before_a_failure_is_sent),
        everywhere(test_a_write_without_memory_fails_whole_and_breaks_the_write_side),
        everywhere(test_a_writer_whose_client_resets_soon_fails),
        everywhere(test_a_reset_is_told_by_its_code),
        everywhere(test_after_write_eof_the_peer_has_all_and_its_reply_arrives),
        everywhere(test_write_eof_after_a_reset_is_a_broken_pipe),
        everywhere(test_a_write_after_write_eof_fails),
        everywhere(test_after_the_peers_end_writing_goes_on),
    };
    return run_table(tests);
}
