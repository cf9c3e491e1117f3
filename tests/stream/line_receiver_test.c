/* SPDX-License-Identifier: MIT */
/*
 * Lines in callbacks. Most of it is a table: what is fed, and what has to be heard of it, written
 * as one text. Some lines are orders to the receiver, to do something while it is called. Each case
 * is fed whole, byte by byte and cut at every position (L1), over a Unix socket; over TCP, where
 * each connection takes a port for a minute, in fewer ways.
 */
#include <evert/stream/line_receiver.h>

#include "support.h"

/* ---- The receiver ---- */

/*
 * What was heard: [a line], {raw bytes}, <bytes read from the stream that it became>, ! for a line
 * that is too long, $ for the end. It outlives the receiver, which may be freed in any call.
 */
static struct {
    char text[32768];
    size_t size;
    bool paused; /* and nothing is to be heard */
    int patience;
    int made, lost, reason;
    evert_stream *stream; /* that it became */
} heard;

struct receiver {
    evert_line_receiver lines; /* first */
    size_t raw_left;
    bool keeps_open;
};

static struct receiver *receiver_of(evert_line_receiver *lines)
{
    return EVERT__CONTAINER(lines, struct receiver, lines);
}

static void hear(const char *before, evert_bytes bytes, const char *after)
{
    assert_false(heard.paused);
    assert_int_equal(heard.made, 1);
    assert_int_equal(heard.lost, 0);
    assert_true(heard.size + bytes.size + 2 < sizeof(heard.text));
    for (; *before != '\0'; before++)
        heard.text[heard.size++] = *before;
    memcpy(heard.text + heard.size, bytes.data, bytes.size);
    heard.size += bytes.size;
    for (; *after != '\0'; after++)
        heard.text[heard.size++] = *after;
}

static void hear_mark(const char *mark)
{
    hear(mark, evert_bytes_of(""), "");
}

static bool is_order(evert_bytes line, const char *order, size_t *ret_number)
{
    size_t size = strlen(order);
    if (line.size < size || memcmp(line.data, order, size) != 0)
        return false;
    *ret_number = line.size > size ? (size_t)(line.data[size] - '0') : 0;
    return true;
}

/* The receiver is gone afterwards, while its caller is still at work. */
static void give_away(struct receiver *r)
{
    heard.stream = evert_transport_stream(r->lines.protocol.transport);
    assert_non_null(heard.stream);
    assert_null(r->lines.protocol.transport);
    free(r);
}

static int obey(struct receiver *r, evert_bytes line)
{
    evert_transport *t = r->lines.protocol.transport;
    size_t number;
    if (is_order(line, "RAW", &number)) {
        r->raw_left = number;
        evert_line_receiver_set_raw(&r->lines);
        hear_mark("{");
    } else if (is_order(line, "LIMIT", &number)) {
        evert_line_receiver_set_limit(&r->lines, number);
    } else if (is_order(line, "PAUSE", &number)) {
        evert_transport_pause_reading(t);
        heard.paused = true;
    } else if (is_order(line, "BLINK", &number)) {
        evert_transport_pause_reading(t);
        evert_transport_resume_reading(t);
    } else if (is_order(line, "LOSE", &number)) {
        evert_transport_lose_connection(t);
    } else if (is_order(line, "ABORT", &number)) {
        evert_transport_abort_connection(t);
    } else if (is_order(line, "FAIL", &number)) {
        return -EPROTO;
    } else if (is_order(line, "STREAM", &number)) {
        give_away(r);
    } else if (is_order(line, "SAY", &number)) {
        return evert_transport_puts(t, "said"); /* writing has nothing to do with what is read */
    }
    return 0;
}

static int line_received(evert_line_receiver *lines, evert_bytes line)
{
    hear("[", line, "]");
    return obey(receiver_of(lines), line);
}

/* Takes as many bytes as it was told to, and goes back to lines. */
static int raw_received(evert_line_receiver *lines, evert_bytes data)
{
    struct receiver *r = receiver_of(lines);
    size_t size = data.size < r->raw_left ? data.size : r->raw_left;
    assert_true(data.size > 0);
    hear("", (evert_bytes){data.data, size}, "");
    r->raw_left -= size;
    if (r->raw_left > 0)
        return 0;
    evert_line_receiver_set_lines(lines, data.size - size);
    hear_mark("}");
    return 0;
}

static int go_on(evert_line_receiver *lines)
{
    (void)lines;
    hear_mark("!");
    return 0;
}

static int fail_at_once(evert_line_receiver *lines)
{
    (void)lines;
    hear_mark("!");
    return -EMSGSIZE;
}

/* What is too long for a line is taken as raw bytes. */
static int take_raw(evert_line_receiver *lines)
{
    hear_mark("!{");
    receiver_of(lines)->raw_left = SIZE_MAX;
    evert_line_receiver_set_raw(lines);
    return 0;
}

static int become_a_stream(evert_line_receiver *lines)
{
    hear_mark("!");
    give_away(receiver_of(lines));
    return 0;
}

static int connection_made(evert_line_receiver *lines)
{
    assert_non_null(lines->protocol.transport);
    heard.made++;
    return 0;
}

static int eof_received(evert_line_receiver *lines)
{
    (void)lines;
    hear_mark("$");
    return 0;
}

static void connection_lost(evert_line_receiver *lines, int reason)
{
    assert_null(lines->protocol.transport);
    assert_int_equal(heard.lost++, 0);
    heard.reason = reason;
    free(receiver_of(lines));
}

static const evert_line_receiver_ops usual = {
    .size = sizeof(struct receiver),
    .line_received = line_received,
    .raw_received = raw_received,
    .connection_made = connection_made,
    .eof_received = eof_received,
    .connection_lost = connection_lost,
};

static struct receiver *new_receiver(const evert_line_receiver_ops *ops)
{
    struct receiver *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    evert_line_receiver_init(&r->lines, ops);
    memset(&heard, 0, sizeof(heard));
    return r;
}

/* ---- Feeding ---- */

struct feeding {
    int fd;
    evert_bytes data;
    size_t first, piece; /* the first piece, and each of the others */
};

/* Feeds piece by piece, giving the receiver the time to take each, and ends. It may be reset. */
static int feed(void *arg)
{
    const struct feeding *f = (const struct feeding *)arg;
    size_t piece = f->first;
    for (size_t at = 0; at < f->data.size; at += piece, piece = f->piece) {
        if (piece > f->data.size - at)
            piece = f->data.size - at;
        if (!peer_send(f->fd, f->data.data + at, piece))
            return 0;
        turns(4);
    }
    assert_true(shutdown(f->fd, SHUT_WR) == 0 || errno == ENOTCONN);
    return 0;
}

/* Goes on reading some turns after it was paused, of which it must have heard nothing. */
static bool is_over(const struct receiver *r)
{
    if (heard.paused && ++heard.patience > 6) {
        heard.paused = false;
        heard.patience = 0;
        evert_transport_resume_reading(r->lines.protocol.transport);
    }
    return heard.lost > 0 || heard.stream != NULL;
}

/* What the receiver left is the stream's. */
static void read_stream(void)
{
    evert_bytes bytes;
    ssize_t count;
    hear_mark("<");
    while ((count = evert_read(heard.stream, &bytes, 100)) > 0)
        hear("", bytes, "");
    check_count(count, 0);
    hear_mark(">");
    check_rc(evert_close(heard.stream), 0);
}

static void run_fed(const evert_line_receiver_ops *ops, enum kind kind, evert_bytes data,
                    size_t first, size_t piece)
{
    struct ends e = make_ends(kind);
    struct receiver *r = new_receiver(ops);
    struct feeding feeding = {e.peer, data, first, piece};
    evert_scope scope;

    check_rc(evert_stream_transport(e.s, &r->lines.protocol), 0);
    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, feed, &feeding), 0);
    while (!is_over(r))
        check_rc(evert_yield(), 0);
    if (heard.stream != NULL)
        read_stream();
    check_rc(evert_scope_leave(&scope, 0), 0);
    close(e.peer);
}

struct wanted {
    evert_bytes heard;
    int reason;
    int logged;
};

static void run_cut(const evert_line_receiver_ops *ops, enum kind kind, evert_bytes data,
                    size_t first, size_t piece, const struct wanted *wanted)
{
    start_logging();
    run_fed(ops, kind, data, first, piece);
    stop_logging();
    evert_bytes text = {heard.text, heard.size};
    if (!evert_bytes_equal(text, wanted->heard) || heard.reason != wanted->reason ||
        logged.count != wanted->logged) {
        print_error("\"%.*s\" cut at %zu, and then by %zu: heard \"%.*s\", not \"%.*s\", %s, and "
                    "said:\n%s",
                    (int)data.size, data.data, first, piece, (int)text.size, text.data,
                    (int)wanted->heard.size, wanted->heard.data, evert_error_name(heard.reason),
                    logged.text);
        fail();
    }
}

static void run_in_all_cuts(const evert_line_receiver_ops *ops, evert_bytes data,
                            const struct wanted *wanted)
{
    for (int kind = TCP; kind <= UNIX; kind++) {
        run_cut(ops, (enum kind)kind, data, data.size, data.size, wanted);
        run_cut(ops, (enum kind)kind, data, 1, 1, wanted);
        for (size_t cut = 1; cut < data.size; cut += kind == UNIX ? 1 : data.size / 2 + 1)
            run_cut(ops, (enum kind)kind, data, cut, data.size, wanted);
    }
}

/* A row of a table: strings, in which NUL is a byte. */
struct row {
    evert_bytes data, heard;
    const char *delimiter;
    size_t limit;
    int (*exceeded)(evert_line_receiver *lines);
    int reason, logged;
};

/* clang-format off */
#define BYTES(string) {(string), sizeof(string) - 1}
#define FED(fed, wanted) .data = BYTES(fed), .heard = BYTES(wanted)
/* clang-format on */

static void run_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        evert_line_receiver_ops ops = usual;
        struct wanted wanted = {rows[i].heard, rows[i].reason, rows[i].logged};
        ops.delimiter = rows[i].delimiter;
        ops.line_limit = rows[i].limit;
        ops.line_length_exceeded = rows[i].exceeded;
        run_in_all_cuts(&ops, rows[i].data, &wanted);
    }
}

/* ---- Lines and their delimiters ---- */

/* L1, L2, case 23: empty lines are lines, a lone CR or LF is a byte, and so is NUL. */
static void test_lines_are_the_same_however_they_were_cut(void **state)
{
    static const struct row rows[] = {
        {FED("one\r\ntwo\r\n", "[one][two]$")},
        {FED("\r\n\r\na\r\n\r\n", "[][][a][]$")},
        {FED("a\rb\nc\r\r\n\n\r\n\n\r\r\n", "[a\rb\nc\r][\n][\n\r]$")},
        {FED("a\0b\r\n\0\r\n", "[a\0b][\0]$")},
        {FED("SAY\r\nagain\r\n", "[SAY][again]$")},
        {FED("x", "$")},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* The end in the middle of a line, or of a delimiter: what there is of it is no line. */
static void test_an_end_in_mid_line_delivers_no_line(void **state)
{
    static const struct row rows[] = {
        {FED("whole\r\npart", "[whole]$")},
        {FED("whole\r\npart\r", "[whole]$")},
        {FED("1234\r\n123456", "[1234]!$"), .limit = 4, .exceeded = go_on},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* L2: of one and of three bytes, such as may overlap themselves, and what is taken for unset. */
static void test_a_delimiter_may_be_any_bytes(void **state)
{
    static const struct row rows[] = {
        {FED("a\r\nb\n\nc\n", "[a\r][b][][c]$"), .delimiter = "\n"},
        {FED("a;b;;", "[a][b][]$"), .delimiter = ";"},
        {FED("aaab;aab;xaab", "[a][;][;x]$"), .delimiter = "aab"},
        {FED("aaaabaabab", "[aa][]$"), .delimiter = "aab"},
        {FED("aaaaa", "[][]$"), .delimiter = "aa"},
        {FED("-----", "[]$"), .delimiter = "---"},
        {FED("ababac", "[ab]$"), .delimiter = "abac"},
        {FED("aa\n\n\nb\n\n", "[aa][\nb]$"), .delimiter = "\n\n"},
        {FED("x\n\nx\n", "[][\n]$"), .delimiter = "x\n"},
        {FED("a\r\nb\r\n", "[a][b]$"), .delimiter = ""},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* ---- Limits ---- */

/* L2, cases 24 and 27: one cut falls between CR and LF. */
static void test_a_line_of_the_limit_is_fine_and_one_more_byte_is_told_once(void **state)
{
    static const struct row rows[] = {
        {FED("12345678\r\nnext\r\n", "[12345678][next]$"), .limit = 8, .exceeded = go_on},
        {FED("123456789\r\nnext\r\n", "![next]$"), .limit = 8, .exceeded = go_on},
        {FED("1234567\r\r\n1234567\r8\r\nok\r\n", "[1234567\r]![ok]$"), .limit = 8,
         .exceeded = go_on},
        {FED("123456789012345678901234567890\r\n\r\n12345\r\n1\r\n", "![]![1]$"), .limit = 4,
         .exceeded = go_on},
        {FED("12345\r6\n7\r\r\nok\r\n", "![ok]$"), .limit = 4, .exceeded = go_on},
        {FED("aaaaab;aab12345aabaab", "![;]![]$"), .limit = 2, .exceeded = go_on,
         .delimiter = "aab"},
        {FED("123;12;1234;", "[123][12]!$"), .limit = 3, .exceeded = go_on, .delimiter = ";"},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* L2: without the function the connection is closed, and L3: then no line comes any more. */
static void test_a_line_too_long_closes_the_connection_by_default(void **state)
{
    static const struct row rows[] = {
        {FED("1234\r\n12345\r\nnext\r\n", "[1234]"), .limit = 4},
        {FED("1234\r\n123456789", "[1234]"), .limit = 4},
        {FED("1234\r\n12345\r\nnext\r\n", "[1234]!"), .limit = 4, .exceeded = fail_at_once,
         .reason = -EMSGSIZE, .logged = 1},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* In the function: no byte of the line is gone, whether its end has come or not. */
static void test_a_line_too_long_may_be_taken_in_another_way(void **state)
{
    static const struct row rows[] = {
        {FED("1234\r\n12345\r\nnext\r\n", "[1234]!{12345\r\nnext\r\n$"), .limit = 4,
         .exceeded = take_raw},
        {FED("1234\r\n12345\r\nnext\r\n", "[1234]!<12345\r\nnext\r\n>"), .limit = 4,
         .exceeded = become_a_stream},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

static void test_the_limit_may_be_changed_on_the_way(void **state)
{
    static const struct row rows[] = {
        {FED("1234567\r\nLIMIT3\r\n123\r\n1234\r\n1\r\n", "[1234567][LIMIT3][123]![1]$"),
         .exceeded = go_on},
        {FED("LIMIT0\r\n\r\n1\r\n\r\n", "[LIMIT0][]![]$"), .limit = 7, .exceeded = go_on},
        {FED("LIMIT9\r\n123456789\r\n0123456789\r\n1\r\n", "[LIMIT9][123456789]![1]$"), .limit = 6,
         .exceeded = go_on},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* Case 24 to the letter: the usual limit, and a line that is larger than any buffer. */
static void test_the_usual_limit_counts_the_bytes_before_the_delimiter(void **state)
{
    enum { LIMIT = EVERT_LINE_LIMIT };
    evert_line_receiver_ops ops = usual;
    char *line = malloc(LIMIT + 4);
    (void)state;
    assert_non_null(line);
    memset(line, 'x', LIMIT);
    memcpy(line + LIMIT, "\r\nz", 3);
    ops.line_length_exceeded = go_on;

    for (size_t cut = LIMIT - 1; cut <= LIMIT + 2; cut++) {
        run_fed(&usual, cut % 2 ? TCP : UNIX, (evert_bytes){line, LIMIT + 2}, cut, 1);
        assert_int_equal(heard.size, LIMIT + 3);
    }
    memcpy(line + LIMIT, "x\r\n", 3);
    for (size_t cut = LIMIT - 1; cut <= LIMIT + 3; cut++) {
        struct wanted by_default = {BYTES(""), 0, 0}, once = {BYTES("!$"), 0, 0};
        run_cut(&usual, cut % 2 ? TCP : UNIX, (evert_bytes){line, LIMIT + 3}, cut, 1, &by_default);
        run_cut(&ops, cut % 2 ? TCP : UNIX, (evert_bytes){line, LIMIT + 3}, cut, 1, &once);
    }
    free(line);
}

/* L2: whatever the limit; and the bytes may be fed faster than a step takes them. */
static void test_a_megabyte_without_an_end_loses_the_connection(void **state)
{
    enum { MUCH = 3 << 20 };
    evert_line_receiver_ops ops = usual;
    char *line = malloc(MUCH);
    (void)state;
    assert_non_null(line);
    memset(line, 'x', MUCH);
    ops.line_limit = SIZE_MAX;
    run_fed(&ops, UNIX, (evert_bytes){line, MUCH}, MUCH, 1);
    check_rc(heard.reason, EVERT_ELIMIT);
    assert_int_equal(heard.size, 0);
    free(line);
}

/* ---- In the middle of a buffer ---- */

/* L3 */
static void test_no_line_is_delivered_after_the_connection_was_closed(void **state)
{
    static const struct row rows[] = {
        {FED("a\r\nLOSE\r\nb\r\n", "[a][LOSE]")},
        {FED("LOSE\r\n", "[LOSE]")},
        {FED("a\r\nABORT\r\nb\r\n", "[a][ABORT]"), .reason = -ECONNABORTED},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* L3; also with nothing behind it, and with the end. */
static void test_pausing_stops_between_two_lines_and_resuming_goes_on(void **state)
{
    static const struct row rows[] = {
        {FED("a\r\nPAUSE\r\nb\r\nc\r\n", "[a][PAUSE][b][c]$")},
        {FED("PAUSE\r\nPAUSE\r\n\r\nb", "[PAUSE][PAUSE][]$")},
        {FED("BLINK\r\nBLINK\r\nb\r\n", "[BLINK][BLINK][b]$")},
        {FED("PAUSE\r\nRAW2\r\nxy\r\n", "[PAUSE][RAW2]{xy}[]$")},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

static struct {
    size_t bytes;
    bool paused;
} counted;

static int count_line(evert_line_receiver *lines, evert_bytes line)
{
    assert_false(counted.paused);
    if (counted.bytes == 0) {
        evert_transport_pause_reading(lines->protocol.transport);
        counted.paused = true;
    }
    counted.bytes += line.size + 2;
    return 0;
}

/* A reader that takes all that is fed, and is cancelled when it is there. */
static int read_too_much(void *s)
{
    evert_bytes bytes;
    check_rc(evert_read_exactly((evert_stream *)s, &bytes, 4 << 20), -ECANCELED);
    return 0;
}

/* L3: what a stream had read ahead may be much, and is not lost by pausing in the midst of it. */
static void test_pausing_holds_back_more_than_a_protocol_may_leave(void **state)
{
    enum { MUCH = 2 << 20 };
    evert_line_receiver_ops ops = {.line_received = count_line};
    evert_line_receiver lines;
    evert_scope scope;
    (void)state;
    struct ends e = make_ends(UNIX);
    char *data = malloc(MUCH);
    assert_non_null(data);
    memset(data, 'x', MUCH);
    for (size_t i = 0; i < MUCH; i += 1024)
        memcpy(data + i + 1022, "\r\n", 2);
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, read_too_much, e.s), 0);
    assert_true(peer_send(e.peer, data, MUCH));
    wait_until(evert__input_size(&e.s->in) == MUCH);
    evert_scope_cancel(&scope);
    check_rc(evert_scope_leave(&scope, 0), 0);

    memset(&counted, 0, sizeof(counted));
    evert_line_receiver_init(&lines, &ops);
    check_rc(evert_stream_transport(e.s, &lines.protocol), 0);
    wait_until(counted.paused);
    turns(4);
    assert_int_equal(counted.bytes, 1024);
    counted.paused = false;
    evert_transport_resume_reading(lines.protocol.transport);
    wait_until(counted.bytes == MUCH);
    close(e.peer);
    wait_until(lines.protocol.transport == NULL);
    free(data);
}

/* What a function returns ends its connection, and is logged. */
static void test_an_error_returned_ends_the_connection(void **state)
{
    static const struct row rows[] = {
        {FED("a\r\nFAIL\r\nb\r\n", "[a][FAIL]"), .reason = -EPROTO, .logged = 1},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* L4, case 25. */
static void test_raw_bytes_between_lines_are_split_exactly(void **state)
{
    static const struct row rows[] = {
        {FED("line\r\nRAW5\r\n12\r\n5six\r\nseven\r\n", "[line][RAW5]{12\r\n5}[six][seven]$")},
        {FED("RAW3\r\nabc", "[RAW3]{abc}$")},
        {FED("RAW9\r\nabc", "[RAW9]{abc$")},
        {FED("RAW0\r\nx\r\n", "[RAW0]{}[x]$")},
        {FED("RAW2\r\n\r\n\r\nRAW1\r\nxRAW1\r\nyRAW3\r\nRAW\r\n",
             "[RAW2]{\r\n}[][RAW1]{x}[RAW1]{y}[RAW3]{RAW}[]$")},
        {FED("aaabRAW2aabaabaab", "[a][RAW2]{aa}[b]$"), .delimiter = "aab"},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* Back and forth so often that a recursion would be felt; all in one buffer. */
static void test_many_changes_between_raw_and_lines_in_one_buffer(void **state)
{
    enum { TIMES = 400 };
    static const char piece[] = "RAW2\r\n\r\n";
    static const char wanted[] = "[RAW2]{\r\n}";
    size_t size = sizeof(piece) - 1, wanted_size = sizeof(wanted) - 1;
    char data[TIMES * sizeof(piece)];
    (void)state;
    for (size_t i = 0; i < TIMES; i++)
        memcpy(data + i * size, piece, size);
    for (size_t cut = 1; cut <= TIMES * size; cut += 311) {
        run_fed(&usual, UNIX, (evert_bytes){data, TIMES * size}, cut, TIMES * size);
        assert_int_equal(heard.size, TIMES * wanted_size + 1);
        for (size_t i = 0; i < TIMES; i++)
            assert_memory_equal(heard.text + i * wanted_size, wanted, wanted_size);
    }
}

/* S8: the next line is the stream's; the receiver is freed in its own call. */
static void test_a_receiver_may_give_its_connection_to_a_stream_and_be_freed(void **state)
{
    static const struct row rows[] = {
        {FED("a\r\nSTREAM\r\nb\r\nc\r", "[a][STREAM]<b\r\nc\r>")},
        {FED("STREAM\r\n", "[STREAM]<>")},
    };
    (void)state;
    run_rows(rows, COUNT_OF(rows));
}

/* ---- What does not depend on cuts ---- */

static int begin_raw(evert_line_receiver *lines)
{
    heard.made++;
    receiver_of(lines)->raw_left = 3;
    evert_line_receiver_set_raw(lines);
    hear_mark("{");
    return 0;
}

static void test_a_connection_may_begin_with_raw_bytes(void **state)
{
    evert_line_receiver_ops ops = usual;
    struct wanted wanted = {BYTES("{a\r\n}[b]$"), 0, 0};
    (void)state;
    ops.connection_made = begin_raw;
    run_in_all_cuts(&ops, evert_bytes_of("a\r\nb\r\n"), &wanted);
}

/* A receiver without any function takes everything, and closes at the end. */
static void test_every_function_may_be_left_out(void **state)
{
    static const evert_line_receiver_ops none = {.line_limit = 4};
    evert_line_receiver lines;
    (void)state;
    for (int raw = 0; raw < 2; raw++) {
        struct ends e = make_ends(UNIX);
        evert_line_receiver_init(&lines, &none);
        lines.raw = raw;
        check_rc(evert_stream_transport(e.s, &lines.protocol), 0);
        peer_say(e.peer, "line\r\n\r\n");
        assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
        wait_until(lines.protocol.transport == NULL);
        close(e.peer);
    }
}

static struct {
    int pauses, resumes, ends;
} told;

static void count_pause(evert_line_receiver *lines)
{
    (void)lines;
    told.pauses++;
}

static void count_resume(evert_line_receiver *lines)
{
    (void)lines;
    told.resumes++;
}

static int keep_open(evert_line_receiver *lines)
{
    (void)lines;
    told.ends++;
    return EVERT_KEEP_OPEN;
}

/* The functions that it shares with a protocol are called as a protocol's are. */
static void test_water_marks_and_the_end_are_told_to_the_receiver(void **state)
{
    evert_line_receiver_ops ops = usual;
    char byte;
    (void)state;
    ops.pause_writing = count_pause;
    ops.resume_writing = count_resume;
    ops.eof_received = keep_open;
    memset(&told, 0, sizeof(told));
    struct ends e = make_narrow_ends(UNIX);
    struct receiver *r = new_receiver(&ops);
    char *much = make_pattern(1 << 20);
    check_rc(evert_stream_transport(e.s, &r->lines.protocol), 0);
    evert_transport *t = r->lines.protocol.transport;
    wait_until(heard.made == 1);
    check_rc(evert_transport_write(t, much, 1 << 20), 0);
    assert_int_equal(told.pauses, 1);
    assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
    wait_until(told.ends == 1);
    assert_int_equal(told.resumes, 0);
    assert_int_equal(peer_receive(e.peer, much, 1 << 20), 1 << 20);
    wait_until(told.resumes == 1);
    assert_true(is_pattern(much, 0, 1 << 20));
    evert_transport_write_eof(t);
    check_count(peer_receive(e.peer, &byte, 1), 0);
    wait_until(heard.lost == 1);
    check_rc(heard.reason, 0);
    assert_int_equal(told.pauses, 1);
    free(much);
    close(e.peer);
}

static int refuse(evert_line_receiver *lines)
{
    (void)lines;
    heard.made++;
    return -EACCES;
}

/* T2 */
static void test_an_error_of_connection_made_aborts(void **state)
{
    evert_line_receiver_ops ops = usual;
    struct wanted wanted = {BYTES(""), -EACCES, 1};
    (void)state;
    ops.connection_made = refuse;
    run_cut(&ops, TCP, evert_bytes_of("a\r\n"), 3, 3, &wanted);
}

/* A second connection of the same receiver begins with a new line, also in the middle of one. */
static void test_a_receiver_that_lost_its_connection_may_have_another(void **state)
{
    (void)state;
    struct receiver *r = new_receiver(&usual);
    for (int i = 0; i < 3; i++) {
        struct ends e = make_ends(UNIX);
        heard.made = 0;
        check_rc(evert_stream_transport(e.s, &r->lines.protocol), 0);
        peer_say(e.peer, i == 1 ? "ab\r\ncccc" : "a\r\nbb\r");
        wait_until(heard.size == (size_t)(i == 1 ? 7 : i == 0 ? 3 : 10));
        wait_until(r->lines.searched > 0);
        evert_stream *s = evert_transport_stream(r->lines.protocol.transport);
        evert_bytes bytes;
        check_rc(evert_read_exactly(s, &bytes, i == 1 ? 4 : 3), 0);
        check_bytes(bytes, i == 1 ? "cccc" : "bb\r");
        e.s = s;
        drop_ends(e);
    }
    check_bytes(((evert_bytes){heard.text, heard.size}), "[a][ab][a]");
    free(r);
}

/* Turned into a stream and back in its own call: all begins anew, in a later turn. */
static int go_round(evert_line_receiver *lines, evert_bytes line)
{
    hear("[", line, "]");
    if (line.size == 0 || line.data[0] != 'x')
        return 0;
    heard.made = 0;
    evert_stream *s = evert_transport_stream(lines->protocol.transport);
    check_rc(evert_stream_transport(s, &lines->protocol), 0);
    return 0;
}

static void test_a_receiver_may_take_its_connection_back_in_its_own_call(void **state)
{
    evert_line_receiver_ops ops = usual;
    struct wanted wanted = {BYTES("[a][x][x][b][x1][]$"), 0, 0};
    (void)state;
    ops.line_received = go_round;
    run_in_all_cuts(&ops, evert_bytes_of("a\r\nx\r\nx\r\nb\r\nx1\r\n\r\n"), &wanted);
}

/* ---- Of factories ---- */

static evert_protocol *build_and_look(evert_factory *factory)
{
    evert_protocol *protocol = evert_build_line_receiver(factory);
    assert_non_null(protocol);
    const struct receiver *r = EVERT__CONTAINER(protocol, struct receiver, lines.protocol);
    assert_int_equal(r->raw_left, 0);
    assert_int_equal(r->lines.line_limit, EVERT_LINE_LIMIT);
    return protocol;
}

static int echo(evert_line_receiver *lines, evert_bytes line)
{
    check_rc(evert_transport_put(lines->protocol.transport, line), 0);
    return evert_transport_puts(lines->protocol.transport, "\n");
}

/* The library frees what it built: the sanitizers would say if not. */
static void test_a_factory_builds_receivers_that_the_library_frees(void **state)
{
    static const evert_line_receiver_ops ops = {.size = sizeof(struct receiver),
                                                .line_received = echo};
    evert_factory factory = {build_and_look, &ops};
    evert_listener *listener;
    int fds[3];
    (void)state;
    check_rc(evert_listen_protocol(&listener, self()->loop, "tcp://127.0.0.1:0", &factory), 0);
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = plain_connect(evert_listener_address(listener));
        wait_until(has_events(fds[i], POLLOUT));
        peer_say(fds[i], "one\r\ntwo\r\n");
    }
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        peer_hears(fds[i], "one\ntwo\n");
        assert_int_equal(shutdown(fds[i], SHUT_WR), 0);
        peer_hears_end(fds[i]);
        close(fds[i]);
    }
    evert_listener_close(listener);
}

static void test_without_memory_a_factory_builds_none(void **state)
{
    static const evert_line_receiver_ops ops = {0};
    evert_factory factory = {evert_build_line_receiver, &ops};
    (void)state;
    take_memory_away();
    assert_null(evert_build_line_receiver(&factory));
    give_memory_back();
    evert_protocol *protocol = evert_build_line_receiver(&factory);
    assert_non_null(protocol);
    evert_protocol_free(protocol);
}

/* ---- Misuse ---- */

static int put_back_too_much(evert_line_receiver *lines, evert_bytes data)
{
    evert_line_receiver_set_lines(lines, data.size + 1); /* the end of a line that was delivered */
    evert_transport_lose_connection(lines->protocol.transport);
    return 0;
}

static int put_back_twice(evert_line_receiver *lines, evert_bytes data)
{
    evert_line_receiver_set_lines(lines, data.size);
    evert_line_receiver_set_lines(lines, 1);
    evert_transport_lose_connection(lines->protocol.transport);
    return 0;
}

static int put_back_a_line(evert_line_receiver *lines, evert_bytes line)
{
    evert_line_receiver_set_lines(lines, line.size);
    evert_transport_lose_connection(lines->protocol.transport);
    return 0;
}

static int run_misuse(void *arg)
{
    struct ends e = make_ends(UNIX);
    struct receiver *r = new_receiver((const evert_line_receiver_ops *)arg);
    check_rc(evert_stream_transport(e.s, &r->lines.protocol), 0);
    peer_say(e.peer, "RAW9\r\nraw");
    assert_int_equal(shutdown(e.peer, SHUT_WR), 0);
    wait_until(heard.lost == 1);
    close(e.peer);
    return heard.reason;
}

static int misuse(const evert_line_receiver_ops *ops)
{
    evert_line_receiver_ops copy = *ops;
    return in_task(run_misuse, &copy);
}

static int misuse_too_much(void *unused)
{
    evert_line_receiver_ops ops = usual;
    (void)unused;
    ops.raw_received = put_back_too_much;
    return misuse(&ops);
}

static int misuse_twice(void *unused)
{
    evert_line_receiver_ops ops = usual;
    (void)unused;
    ops.raw_received = put_back_twice;
    return misuse(&ops);
}

static int misuse_of_a_line(void *unused)
{
    evert_line_receiver_ops ops = usual;
    (void)unused;
    ops.line_received = put_back_a_line;
    return misuse(&ops);
}

/* L4: no byte can be delivered for a second time. */
static void test_no_more_is_put_back_than_was_given(void **state)
{
    (void)state;
    check_misuse(misuse_too_much, 0, "more bytes than were received");
    check_misuse(misuse_twice, 0, "more bytes than were received");
    check_misuse(misuse_of_a_line, 0, "more bytes than were received");
}

/* ---- Fairness ---- */

struct counter {
    evert_line_receiver lines; /* first */
    int count;
    const struct counter *busy;
    int busy_count; /* when it heard its own line */
};

static int note_line(evert_line_receiver *lines, evert_bytes line)
{
    struct counter *c = EVERT__CONTAINER(lines, struct counter, lines);
    (void)line;
    c->count++;
    if (c->busy != NULL)
        c->busy_count = c->busy->count;
    return 0;
}

static const evert_line_receiver_ops counting = {.line_received = note_line};

static int count_on(struct counter *c)
{
    struct ends e = make_ends(UNIX);
    evert_line_receiver_init(&c->lines, &counting);
    check_rc(evert_stream_transport(e.s, &c->lines.protocol), 0);
    turns(3);
    return e.peer;
}

/* C12: of a peer with many lines some are delivered, then those of the others, and so on. */
static void test_many_lines_of_one_do_not_hold_up_the_others(void **state)
{
    enum { MANY = 20000 };
    static char data[2 * MANY];
    struct counter busy = {.count = 0}, other = {.busy = &busy};
    (void)state;
    int busy_peer = count_on(&busy), other_peer = count_on(&other);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = "\r\n"[i % 2];
    assert_int_equal(send(busy_peer, data, sizeof(data), MSG_NOSIGNAL), sizeof(data));
    peer_say(other_peer, "\r\n");
    wait_until(other.count == 1);
    assert_in_range(other.busy_count, 0, 1000);
    wait_until(busy.count == MANY);
    close(busy_peer);
    close(other_peer);
    wait_until(busy.lines.protocol.transport == NULL && other.lines.protocol.transport == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_lines_are_the_same_however_they_were_cut),
        everywhere(test_an_end_in_mid_line_delivers_no_line),
        everywhere(test_a_delimiter_may_be_any_bytes),
        everywhere(test_a_line_of_the_limit_is_fine_and_one_more_byte_is_told_once),
        everywhere(test_a_line_too_long_closes_the_connection_by_default),
        everywhere(test_a_line_too_long_may_be_taken_in_another_way),
        everywhere(test_the_limit_may_be_changed_on_the_way),
        everywhere(test_the_usual_limit_counts_the_bytes_before_the_delimiter),
        everywhere(test_a_megabyte_without_an_end_loses_the_connection),
        everywhere(test_pausing_holds_back_more_than_a_protocol_may_leave),
        everywhere(test_no_line_is_delivered_after_the_connection_was_closed),
        everywhere(test_pausing_stops_between_two_lines_and_resuming_goes_on),
        everywhere(test_an_error_returned_ends_the_connection),
        everywhere(test_raw_bytes_between_lines_are_split_exactly),
        everywhere(test_many_changes_between_raw_and_lines_in_one_buffer),
        everywhere(test_a_receiver_may_give_its_connection_to_a_stream_and_be_freed),
        everywhere(test_a_connection_may_begin_with_raw_bytes),
        everywhere(test_every_function_may_be_left_out),
        everywhere(test_water_marks_and_the_end_are_told_to_the_receiver),
        everywhere(test_an_error_of_connection_made_aborts),
        everywhere(test_many_lines_of_one_do_not_hold_up_the_others),
        everywhere(test_a_receiver_that_lost_its_connection_may_have_another),
        everywhere(test_a_receiver_may_take_its_connection_back_in_its_own_call),
        everywhere(test_without_memory_a_factory_builds_none),
        in_blocking_mode(test_a_factory_builds_receivers_that_the_library_frees),
        cmocka_unit_test(test_no_more_is_put_back_than_was_given),
    };
    return run_table(tests);
}
