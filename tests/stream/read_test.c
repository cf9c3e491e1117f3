/* SPDX-License-Identifier: MIT */
/*
 * What reads give: their values, ends and limits. Each case is fed whole, byte by byte and cut at
 * every position (L1), over TCP and over a Unix socket. How reads wait is in reading_test.c.
 */
#include "support.h"

/* Reads what was fed, to its end, and checks it. */
typedef void script_fn(evert_stream *s);

struct feeding {
    int fd;
    const char *data;
    size_t size, first, piece; /* the first piece, and each of the others */
};

/* Feeds piece by piece, giving the reader the time to take each, and ends. */
static int feed(void *arg)
{
    const struct feeding *f = (const struct feeding *)arg;
    size_t piece = f->first;
    for (size_t at = 0; at < f->size; at += piece, piece = f->piece) {
        if (piece > f->size - at)
            piece = f->size - at;
        assert_true(peer_send(f->fd, f->data + at, piece));
        turns(4);
    }
    assert_int_equal(shutdown(f->fd, SHUT_WR), 0);
    return 0;
}

static void run_fed(script_fn *script, enum kind kind, const char *data, size_t first, size_t piece)
{
    struct ends e = make_ends(kind);
    struct feeding feeding = {e.peer, data, strlen(data), first, piece};
    evert_scope scope;

    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, feed, &feeding), 0);
    script(e.s);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(drop_ends(e), 0);
}

/* All of it, and the end, is there before the first read: one edge tells both (S9). */
static void run_with_all_there(script_fn *script, enum kind kind, const char *data)
{
    struct ends e = make_ends(kind);
    peer_say(e.peer, data);
    assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
    wait_arrived(e.s->fd.number, strlen(data));
    wait_ended(e.s->fd.number);
    script(e.s);
    check_rc(drop_ends(e), 0);
}

static void run_in_all_cuts(script_fn *script, const char *data)
{
    size_t size = strlen(data);
    for (int kind = TCP; kind <= UNIX; kind++) {
        run_with_all_there(script, (enum kind)kind, data);
        run_fed(script, (enum kind)kind, data, size, size);
        run_fed(script, (enum kind)kind, data, 1, 1);
        for (size_t cut = 1; cut < size; cut += kind == UNIX ? 1 : 5)
            run_fed(script, (enum kind)kind, data, cut, size);
    }
}

static void check_line(evert_stream *s, const char *wanted)
{
    evert_bytes line;
    check_rc(evert_read_line(s, &line), 0);
    check_bytes(line, wanted);
}

/* At the end every kind of read says so, as often as it is asked. */
static void check_end(evert_stream *s)
{
    char buffer[8];
    evert_bytes bytes;
    for (int i = 0; i < 2; i++) {
        check_count(evert_read(s, &bytes, 10), 0);
        check_count(evert_read_into(s, buffer, sizeof(buffer)), 0);
        check_rc(evert_read_exactly(s, &bytes, 1), EVERT_EOF);
        check_count(evert_read_exactly_into(s, buffer, 1), EVERT_EOF);
        check_rc(evert_read_line(s, &bytes), EVERT_EOF);
        check_count(evert_read_line_into(s, buffer, sizeof(buffer)), EVERT_EOF);
        check_rc(evert_read_until(s, &bytes, ";"), EVERT_EOF);
        check_count(evert_read_until_into(s, buffer, sizeof(buffer), ";"), EVERT_EOF);
    }
}

/* ---- Lines ---- */

static void read_lines(evert_stream *s)
{
    evert_bytes rest;
    check_line(s, "GET /");
    check_line(s, "");
    check_line(s, "a\rb\nc\r");
    check_line(s, "\n");
    check_rc(evert_read_line(s, &rest), EVERT_EINCOMPLETE);
    check_bytes(rest, "last\r");
    check_end(s);
}

/* S1: empty lines are lines; a lone CR or LF is a byte. */
static void test_a_line_ends_at_cr_lf_only(void **state)
{
    (void)state;
    run_in_all_cuts(read_lines, "GET /\r\n\r\na\rb\nc\r\r\n\n\r\nlast\r");
}

static void read_lines_into(evert_stream *s)
{
    char buffer[9] = "xxxxxxxx";
    check_count(evert_read_line_into(s, buffer, 8), 3);
    assert_string_equal(buffer, "abc");
    check_count(evert_read_line_into(s, buffer, 8), EVERT_ELIMIT); /* no room for its NUL */
    assert_string_equal(buffer, "abc");
    check_count(evert_read_line_into(s, buffer, 8), 7);
    assert_string_equal(buffer, "1234567");
    check_count(evert_read_line_into(s, buffer, 1), 0);
    assert_string_equal(buffer, "");
    check_count(evert_read_line_into(s, NULL, 0), EVERT_ELIMIT);
    check_count(evert_read_line_into(s, buffer, 4), EVERT_EINCOMPLETE);
    assert_string_equal(buffer, "las");
    check_end(s);
}

static void test_a_line_is_copied_with_a_nul_and_dropped_if_too_long_for_the_buffer(void **state)
{
    (void)state;
    run_in_all_cuts(read_lines_into, "abc\r\n12345678\r\n1234567\r\n\r\nx\r\nlast");
}

static void test_a_line_may_hold_nul_bytes(void **state)
{
    char buffer[8];
    evert_bytes line;
    (void)state;
    struct ends e = make_ends(TCP);
    assert_true(peer_send(e.peer, "a\0b\r\nc\0\r\n", 9));
    check_rc(evert_read_line(e.s, &line), 0);
    assert_int_equal(line.size, 3);
    assert_memory_equal(line.data, "a\0b", 3);
    check_count(evert_read_line_into(e.s, buffer, sizeof(buffer)), 2);
    assert_memory_equal(buffer, "c\0\0", 3);
    drop_ends(e);
}

static void test_lines_longer_than_a_buffer_are_read(void **state)
{
    enum { LENGTH = 16384 };
    evert_bytes line;
    (void)state;
    struct ends e = make_ends(UNIX);
    char *data = malloc(LENGTH + 1);
    assert_non_null(data);
    memset(data, 'x', LENGTH);
    data[LENGTH] = '\0';
    peer_say(e.peer, data); /* the usual limit, exactly */
    peer_say(e.peer, "\r\nnext\r\n");
    check_rc(evert_read_line(e.s, &line), 0);
    assert_int_equal(line.size, EVERT_LINE_LIMIT);
    assert_memory_equal(line.data, data, LENGTH);
    check_line(e.s, "next");
    free(data);
    drop_ends(e);
}

/* ---- Limits ---- */

static void read_limited_lines(evert_stream *s)
{
    char buffer[20];
    evert_bytes bytes;
    evert_set_line_limit(s, 8);
    check_line(s, "12345678");
    check_rc(evert_read_line(s, &bytes), EVERT_ELIMIT);
    check_line(s, "next");
    check_count(evert_read_line_into(s, buffer, sizeof(buffer)), EVERT_ELIMIT);
    check_rc(evert_read_line(s, &bytes), EVERT_ELIMIT);
    check_rc(evert_read_exactly(s, &bytes, 2), 0);
    check_bytes(bytes, "ok");
    check_end(s);
}

/* S2, case 27. The limit falls between CR and LF in one of the cuts. */
static void test_a_line_of_the_limit_is_fine_and_the_rest_of_a_longer_one_is_dropped(void **state)
{
    (void)state;
    run_in_all_cuts(read_limited_lines, "12345678\r\n123456789\r\nnext\r\n12345678\r90\r\n"
                                        "1234567\n9\r\nok");
}

static void read_cut_off_line(evert_stream *s)
{
    evert_bytes bytes;
    evert_set_line_limit(s, 4);
    check_rc(evert_read_line(s, &bytes), EVERT_ELIMIT);
    check_rc(evert_read_exactly(s, &bytes, 1), EVERT_EOF);
    check_end(s);
}

/* Nothing of a line that was too long is ever returned, not even what may have been its end. */
static void test_a_too_long_line_that_is_cut_off_is_dropped_to_the_end(void **state)
{
    (void)state;
    run_in_all_cuts(read_cut_off_line, "123456\r");
    run_in_all_cuts(read_cut_off_line, "12345");
}

/* S2, BR-002: the first run. */
static void test_a_line_over_the_limit_is_told_at_once(void **state)
{
    evert_bytes bytes;
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        evert_set_line_limit(e.s, 64);
        for (int i = 0; i < 65; i++)
            peer_say(e.peer, "A");
        check_rc(evert_read_line(e.s, &bytes), EVERT_ELIMIT); /* its end has not come */
        check_count(evert_read(e.s, &bytes, 0), 0);           /* nor is it waited for */
        peer_say(e.peer, "AAAA\r\nok\r\n");
        check_line(e.s, "ok");
        drop_ends(e);
    }
}

static void test_a_limit_of_nothing_lets_empty_lines_pass(void **state)
{
    evert_bytes bytes;
    (void)state;
    struct ends e = make_ends(TCP);
    evert_set_line_limit(e.s, 0);
    peer_say(e.peer, "\r\nx\r\n\r\n");
    check_line(e.s, "");
    check_rc(evert_read_line(e.s, &bytes), EVERT_ELIMIT);
    check_line(e.s, "");
    drop_ends(e);
}

/* ---- Up to a separator ---- */

static void check_until(evert_stream *s, const char *separator, const char *wanted)
{
    evert_bytes bytes;
    check_rc(evert_read_until(s, &bytes, separator), 0);
    check_bytes(bytes, wanted);
}

static void read_until_separators(evert_stream *s)
{
    evert_bytes rest;
    check_until(s, "::", "a");
    check_until(s, ";", "b");
    check_until(s, "::", "c");
    check_until(s, ";", ":d");
    check_until(s, ";", "");
    check_until(s, "aab", "a"); /* which begins anew in itself */
    check_until(s, "\n", "x\r");
    check_until(s, "\n\n", "y\n z");
    check_rc(evert_read_until(s, &rest, "end"), EVERT_EINCOMPLETE);
    check_bytes(rest, "en");
    check_end(s);
}

static void test_any_separator_can_be_read_up_to(void **state)
{
    (void)state;
    run_in_all_cuts(read_until_separators, "a::b;c:::d;;aaabx\r\ny\n z\n\nen");
}

static void read_until_into(evert_stream *s)
{
    char buffer[8] = "xxxxxxx";
    check_count(evert_read_until_into(s, buffer, 4, ";"), 3);
    assert_string_equal(buffer, "abc");
    check_count(evert_read_until_into(s, buffer, 4, ";"), EVERT_ELIMIT);
    check_count(evert_read_until_into(s, buffer, 4, ";"), EVERT_EINCOMPLETE);
    assert_string_equal(buffer, "las");
    check_end(s);
}

static void test_what_was_read_up_to_a_separator_is_copied_with_a_nul(void **state)
{
    (void)state;
    run_in_all_cuts(read_until_into, "abc;1234;last");
}

static void read_until_limit(evert_stream *s)
{
    evert_bytes bytes;
    evert_set_line_limit(s, 4);
    check_until(s, "--", "1234");
    check_rc(evert_read_until(s, &bytes, "--"), EVERT_ELIMIT);
    check_rc(evert_read_until(s, &bytes, "--"), EVERT_ELIMIT);
    evert_set_line_limit(s, 5);
    check_until(s, "--", "12345");
    check_rc(evert_read_until(s, &bytes, "--"), EVERT_ELIMIT);
    check_rc(evert_read_exactly(s, &bytes, 6), 0);
    check_bytes(bytes, "123456");
    check_end(s);
}

/* S2: the bytes stay, to be read in another way. */
static void test_over_the_limit_read_until_keeps_the_bytes(void **state)
{
    (void)state;
    run_in_all_cuts(read_until_limit, "1234--12345--123456");
}

static void test_an_empty_separator_is_refused(void **state)
{
    char buffer[8];
    evert_bytes bytes;
    (void)state;
    struct ends e = make_ends(UNIX);
    check_rc(evert_read_until(e.s, &bytes, ""), -EINVAL);
    check_count(evert_read_until_into(e.s, buffer, sizeof(buffer), ""), -EINVAL);
    drop_ends(e);
}

/* ---- Counted ---- */

static void read_exactly(evert_stream *s)
{
    char buffer[8] = "xxxxxxx";
    evert_bytes bytes;
    check_rc(evert_read_exactly(s, &bytes, 3), 0);
    check_bytes(bytes, "abc");
    check_rc(evert_read_exactly(s, &bytes, 0), 0);
    check_bytes(bytes, "");
    check_count(evert_read_exactly_into(s, buffer, 4), 4);
    assert_string_equal(buffer, "defgxxx"); /* no NUL here */
    check_count(evert_read_exactly_into(s, buffer, 0), 0);
    check_rc(evert_read_exactly(s, &bytes, 5), EVERT_EINCOMPLETE);
    check_bytes(bytes, "hij");
    check_end(s);
}

/* S1, case 28. */
static void test_counted_reads_give_all_or_say_that_it_is_incomplete(void **state)
{
    (void)state;
    run_in_all_cuts(read_exactly, "abcdefghij");
}

static void read_exactly_into(evert_stream *s)
{
    char buffer[8] = "xxxxxxx";
    check_count(evert_read_exactly_into(s, buffer, 5), EVERT_EINCOMPLETE);
    assert_string_equal(buffer, "abcxxxx");
    check_end(s);
}

static void test_an_incomplete_counted_read_leaves_the_bytes_in_the_buffer(void **state)
{
    (void)state;
    run_in_all_cuts(read_exactly_into, "abc");
}

/* ---- What there is ---- */

static void read_some(evert_stream *s)
{
    static const char wanted[] = "abcdefghijklmnop";
    char all[32];
    size_t size = 0;
    ssize_t count = 1;
    while (count > 0) {
        evert_bytes bytes = {NULL, 0};
        size_t most = size % 3 == 0 ? 1 : 5;
        bool copies = size % 2 == 1;
        count = copies ? evert_read_into(s, all + size, most) : evert_read(s, &bytes, most);
        assert_in_range(count, 0, most);
        if (count > 0 && !copies) {
            assert_int_equal(bytes.size, count);
            memcpy(all + size, bytes.data, bytes.size);
        }
        size += (size_t)count;
    }
    assert_int_equal(size, strlen(wanted));
    assert_memory_equal(all, wanted, size);
    check_end(s);
}

static void test_read_gives_from_one_to_the_most_asked_for_and_0_at_the_end(void **state)
{
    (void)state;
    run_in_all_cuts(read_some, "abcdefghijklmnop");
}

static void test_read_of_no_bytes_returns_at_once(void **state)
{
    char buffer[1];
    evert_bytes bytes;
    (void)state;
    struct ends e = make_ends(TCP);
    check_count(evert_read(e.s, &bytes, 0), 0);
    check_bytes(bytes, "");
    check_count(evert_read_into(e.s, buffer, 0), 0);
    drop_ends(e);
}

static void test_kinds_of_reads_can_follow_each_other(void **state)
{
    char buffer[4096];
    evert_bytes bytes;
    (void)state;
    struct ends e = make_ends(TCP);
    peer_say(e.peer, "one\r\ntwo;threefour");
    check_line(e.s, "one");
    check_until(e.s, ";", "two");
    check_rc(evert_read_exactly(e.s, &bytes, 5), 0);
    check_bytes(bytes, "three");
    size_t size = 0;
    while (size < 4) {
        ssize_t count = evert_read_into(e.s, buffer + size, sizeof(buffer) - size);
        assert_true(count > 0);
        size += (size_t)count;
    }
    assert_memory_equal(buffer, "four", 4);
    drop_ends(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_line_ends_at_cr_lf_only),
        everywhere(test_a_line_is_copied_with_a_nul_and_dropped_if_too_long_for_the_buffer),
        everywhere(test_a_line_may_hold_nul_bytes),
        everywhere(test_lines_longer_than_a_buffer_are_read),
        everywhere(test_a_line_of_the_limit_is_fine_and_the_rest_of_a_longer_one_is_dropped),
        everywhere(test_a_too_long_line_that_is_cut_off_is_dropped_to_the_end),
        everywhere(test_a_line_over_the_limit_is_told_at_once),
        everywhere(test_a_limit_of_nothing_lets_empty_lines_pass),
        everywhere(test_any_separator_can_be_read_up_to),
        everywhere(test_what_was_read_up_to_a_separator_is_copied_with_a_nul),
        everywhere(test_over_the_limit_read_until_keeps_the_bytes),
        everywhere(test_an_empty_separator_is_refused),
        everywhere(test_counted_reads_give_all_or_say_that_it_is_incomplete),
        everywhere(test_an_incomplete_counted_read_leaves_the_bytes_in_the_buffer),
        everywhere(test_read_gives_from_one_to_the_most_asked_for_and_0_at_the_end),
        everywhere(test_read_of_no_bytes_returns_at_once),
        everywhere(test_kinds_of_reads_can_follow_each_other),
    };
    return run_table(tests);
}
