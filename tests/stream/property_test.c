/* SPDX-License-Identifier: MIT */
/*
 * The connection with both of its faces, by chance: two ends, each a stream or a transport and
 * often turned into the other, against a model of two queues of bytes. A failure says the seed that
 * repeats it.
 *
 * Each direction has a log of all that was written. Whatever an end gives out, by whatever kind of
 * read or to whatever kind of protocol, has to be the next bytes of the log, cut where it ought to
 * be cut; after a clean close it has to be all of them, and then the end; after an abort a
 * beginning of them. Reads and writes of a stream are tasks, so they wait for each other as they do
 * in a program, are cancelled in the middle, and found waiting by a close. From time to time
 * everything is settled: all that was written has to arrive, so that nothing can get stuck.
 */
#include <evert/stream/line_receiver.h>
#include <evert/stream/protocol.h>
#include <evert/stream/transport.h>

#include "support.h"

enum {
    STEPS = 100000,    /* as a task, and as many in blocking mode */
    CAPACITY = 900000, /* of a log; less than what a protocol may leave */
    LARGEST = 200 * 1024,
    MOST_UNREAD = 300000,
    TEXT = 1 << 20,
};

/* One of the two directions. */
struct way {
    char *log;      /* all that was offered */
    size_t written; /* how much of it was accepted: all that has to arrive */
    size_t offered; /* that, and what a write is at work on */
    size_t read;    /* how much was given out at the other end */
    bool ended;     /* the end is to follow */
    bool cut;       /* a write was stopped in the middle: the end may come anywhere in it */
    bool broken;    /* by an abort: the end, or an error, may come anywhere */
};

/* What a task is to do with a stream. */
struct op {
    struct end *end;
    void (*run)(struct op *op);
    evert_scope scope;
    bool active, begun, cancelled;
    int kind;
    size_t size;
    const char *separator;
    char *buffer; /* of LARGEST + 1 bytes */
};

struct end {
    evert_stream *stream;  /* while it is one */
    struct member *member; /* while it is a transport: its protocol */
    struct way *in, *out;
    struct end *other;
    struct op reading, writing;
    size_t limit;           /* of lines */
    bool dropping;          /* the stream is to drop the rest of a line */
    bool vague;             /* and may have begun to */
    bool eof_seen, failed;  /* reading has come to an end, or to an error */
    bool stuck;             /* a cancelled write broke it: it is of no more use */
    bool gone, was_aborted; /* by this side */
    int reason;             /* that connection_lost() is to hear */
    bool late;              /* it was being closed already, so it may hear another */
    bool finished;          /* nothing is left of it */
};

/* A protocol of some kind. */
enum { DATA, INPUT, LINES, KINDS };

struct member {
    evert_line_receiver lines; /* first; of the others only its protocol is used */
    struct end *end;
    int kind;
    const char *delimiter;
    evert_line_receiver_ops ops;
    size_t left;   /* of its input, by the last call */
    bool dropping; /* the rest of a line */
    bool raw, made, paused, above, eof_told;
};

static struct {
    uint64_t random;
    struct way ways[2];
    struct end ends[2];
    char *text; /* TEXT bytes to write pieces of */
    evert_scope tasks;
    bool calm; /* protocols do nothing but take what comes */
    enum kind kind;
    long steps, reads, writes, pairs, changes, given, lines, settled;
} world;

static uint32_t draw(uint32_t below)
{
    return random_below(&world.random, below);
}

static bool chance(uint32_t in)
{
    return draw(in) == 0;
}

static bool is_long(void)
{
    return getenv("EVERT_LONG") != NULL;
}

/* Sizes of all orders of magnitude. */
static size_t draw_size(uint32_t bits)
{
    return draw(1 + (1U << draw(bits + 1)));
}

static const char *draw_separator(void)
{
    static const char *const separators[] = {"\r\n", ";", "aab", "\n", "abab"};
    return separators[draw(COUNT_OF(separators))];
}

static size_t draw_limit(void)
{
    return chance(2) ? 20 + draw_size(12) : CAPACITY;
}

/* Letters with separators among them, here many and there few. */
static void make_text(void)
{
    static const char *const pieces[] = {"\r\n", "\r\n", ";", "aab", "aaab", "ababab", "\r", "\n"};
    char *bytes = malloc(TEXT);
    assert_non_null(bytes);
    world.text = bytes;
    for (size_t i = 0; i < TEXT; i++)
        bytes[i] = (char)('a' + draw(26));
    for (size_t i = 0; i + 8 < TEXT;) {
        const char *piece = pieces[draw(COUNT_OF(pieces))];
        memcpy(bytes + i, piece, strlen(piece));
        i += strlen(piece) + draw(1U << (3 + (i >> 13) % 8));
    }
}

/* Waits until `condition` holds; nothing but this program is waited for. */
#define run_until(condition)                                    \
    do {                                                        \
        evert_time run_limit = evert_after(PATIENCE);           \
        for (int run = 1; !(condition); run++) {                \
            assert_false(run % 256 == 0 && over_at(run_limit)); \
            check_rc(evert_yield(), 0);                         \
        }                                                       \
    } while (0)

/*
 * Short counts and interruptions wherever they are legal. From TCP they are not when reading, where
 * a short count says that there is no more.
 */
static bool cut_short(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    if (call != EVERT__SYS_RECV && call != EVERT__SYS_SEND)
        return false;
    if (draw(2) && *size > 1 && (call == EVERT__SYS_SEND || world.kind == UNIX))
        *size = 1 + draw((uint32_t)(*size < 9000 ? *size : 9000));
    *result = -EINTR;
    return draw(8) == 0;
}

/* ---- The model ---- */

static size_t unread(const struct way *way)
{
    return way->offered - way->read;
}

/* How many bytes stand before the next separator; SIZE_MAX if it has not been written. */
static size_t before(const struct way *way, const char *separator)
{
    const char *at = way->log + way->read;
    const char *found = memmem(at, unread(way), separator, strlen(separator));
    return found != NULL ? (size_t)(found - at) : SIZE_MAX;
}

/* A limit, often such that what comes next is exactly as long as it. */
static size_t draw_limit_of(const struct way *way, const char *separator)
{
    size_t size = chance(4) ? SIZE_MAX : before(way, separator);
    return size != SIZE_MAX ? size : draw_limit();
}

/* What an end gave out is what comes next. */
static void took(struct way *way, const char *data, size_t size)
{
    assert_in_range(size, 0, unread(way));
    if (size > 0)
        assert_memory_equal(data, way->log + way->read, size);
    way->read += size;
    world.given++;
}

/* And so is a line, or what stands before a separator. */
static void took_line(struct way *way, evert_bytes line, const char *separator, size_t limit)
{
    assert_int_equal(before(way, separator), line.size);
    assert_in_range(line.size, 0, limit);
    took(way, line.data, line.size);
    way->read += strlen(separator);
    world.lines++;
}

/* More than the limit stands before the separator. */
static void check_over(const struct way *way, const char *separator, size_t limit)
{
    assert_true(unread(way) > limit && before(way, separator) > limit);
}

/* The rest of a line was dropped, and its end. */
static void drop_line(struct way *way, const char *separator)
{
    size_t rest = before(way, separator);
    assert_true(rest != SIZE_MAX);
    way->read += rest + strlen(separator);
}

/* The end was told; `left` bytes may be left, that were part of something that is not complete. */
static void check_end_told(const struct end *e, size_t left)
{
    const struct way *way = e->in;
    assert_true(way->ended || way->broken);
    if (way->broken)
        return;
    assert_in_range(way->read + left, way->written, way->cut ? way->offered : way->written);
}

/* Only a peer that aborted makes for an error; shutdown(2) has its own for that. */
static void check_error(const struct end *e, int rc)
{
    if (!e->other->was_aborted)
        print_error("%s without an abort\n", evert_error_name(rc));
    assert_true(e->other->was_aborted);
    assert_true(rc == -ECONNRESET || rc == -EPIPE || rc == -ENOTCONN);
}

/* This side has ended it. A write that is on its way is stopped somewhere. */
static void mark_gone(struct end *e, bool aborted, int reason)
{
    assert_false(e->gone);
    e->gone = true;
    e->was_aborted = aborted;
    e->reason = reason;
    e->late = e->member != NULL && evert_transport_is_closing(e->member->lines.protocol.transport);
    e->out->broken = e->out->broken || aborted;
    e->out->ended = true;
    e->out->cut = e->out->cut || e->writing.active;
}

/* Puts bytes into the log, which are to be written. NULL: there is no room. */
static const char *offer(struct way *way, size_t size)
{
    char *to = way->log + way->offered;
    if (way->offered + size > CAPACITY)
        return NULL;
    memcpy(to, world.text + draw((uint32_t)(TEXT - size)), size);
    way->offered += size;
    world.writes++;
    return to;
}

static size_t draw_write(void)
{
    return chance(60) ? 1 + draw(LARGEST) : 1 + draw_size(11);
}

/* ---- Streams ---- */

static int run_op(void *arg)
{
    struct op *op = (struct op *)arg;
    evert_scope_enter(&op->scope, EVERT_NEVER);
    op->begun = true;
    if (!op->end->gone)
        op->run(op);
    check_rc(evert_scope_leave(&op->scope, 0), 0);
    op->active = op->begun = false;
    return 0;
}

static void start_op(struct op *op, struct end *e, void (*run)(struct op *op))
{
    op->end = e;
    op->run = run;
    op->active = true;
    op->cancelled = false;
    check_rc(evert_spawn(&world.tasks, run_op, op), 0);
    if (chance(2))
        check_rc(evert_yield(), 0);
}

static void cancel_op(struct op *op)
{
    if (!op->begun || op->cancelled)
        return;
    op->cancelled = true;
    evert_scope_cancel(&op->scope);
}

enum { READ, EXACTLY, LINE, UNTIL, READ_KINDS };

/* An error: 0, or what the caller has to look at itself. */
static int check_read_error(const struct op *op, int rc)
{
    if (rc == -ECANCELED)
        assert_true(op->cancelled || op->end->stuck);
    else if (rc != EVERT_EOF && rc != EVERT_EINCOMPLETE && rc != EVERT_ELIMIT) {
        check_error(op->end, rc);
        op->end->failed = true;
    } else
        return rc;
    return 0;
}

/* What a read did about the rest of a line that was too long. */
static void see_dropping(struct end *e, ssize_t rc)
{
    struct way *way = e->in;
    if (!e->dropping)
        return;
    e->vague = true;
    if (e->stream->dropping && rc == -ECANCELED)
        return;
    if (rc >= 0 || rc == EVERT_ELIMIT || rc == EVERT_EINCOMPLETE)
        drop_line(way, "\r\n");
    else if (rc != EVERT_EOF && before(way, "\r\n") != SIZE_MAX)
        drop_line(way, "\r\n");
    else
        way->read = way->cut || way->broken ? way->offered : way->written;
    e->dropping = e->vague = false;
}

static void read_some(struct op *op, bool copies)
{
    struct end *e = op->end;
    evert_bytes bytes = {op->buffer, 0};
    ssize_t count = copies ? evert_read_into(e->stream, op->buffer, op->size)
                           : evert_read(e->stream, &bytes, op->size);
    if (e->gone || op->size == 0)
        return;
    see_dropping(e, count == 0 ? EVERT_EOF : count);
    if (count < 0) {
        assert_int_equal(check_read_error(op, (int)count), 0);
    } else if (count == 0) {
        check_end_told(e, 0);
        e->eof_seen = true;
    } else {
        assert_in_range(count, 1, op->size);
        took(e->in, bytes.data, (size_t)count);
    }
}

/* The end came too early. A twin does not say how much there was: it was all of it. */
static void see_incomplete(struct end *e, evert_bytes bytes, const char *copy, size_t room)
{
    struct way *way = e->in;
    if (copy == NULL) {
        assert_true(bytes.size > 0);
        took(way, bytes.data, bytes.size);
    } else if (way->broken || way->cut) {
        way->read = way->offered;
    } else {
        size_t size = way->written - way->read;
        took(way, copy, size < room ? size : room);
        way->read = way->written;
    }
    check_end_told(e, 0);
    e->eof_seen = true;
}

static void see_end(struct end *e, int rc, evert_bytes bytes, const char *copy, size_t room)
{
    if (rc == EVERT_EINCOMPLETE) {
        see_incomplete(e, bytes, copy, room);
    } else if (rc == EVERT_EOF) {
        check_end_told(e, 0);
        e->eof_seen = true;
    } else {
        assert_int_equal(rc, 0);
    }
}

static void read_exactly(struct op *op, bool copies)
{
    struct end *e = op->end;
    evert_bytes bytes = {op->buffer, op->size};
    ssize_t rc = copies ? evert_read_exactly_into(e->stream, op->buffer, op->size)
                        : evert_read_exactly(e->stream, &bytes, op->size);
    if (e->gone || (op->size == 0 && rc == 0))
        return;
    see_dropping(e, rc);
    if (rc >= 0) {
        assert_int_equal(bytes.size, op->size);
        took(e->in, bytes.data, bytes.size);
    } else {
        see_end(e, check_read_error(op, (int)rc), bytes, copies ? op->buffer : NULL, op->size);
    }
}

/* A line or another piece that is over the limit, or, in a twin, has no room. */
static void see_too_long(struct op *op, bool copies)
{
    struct end *e = op->end;
    size_t size = before(e->in, op->separator);
    if (copies && size <= e->limit) {
        assert_true(size >= op->size);
        e->in->read += size + strlen(op->separator);
        return;
    }
    check_over(e->in, op->separator, e->limit);
    e->dropping = op->kind == LINE;
}

static ssize_t read_piece(struct op *op, bool copies, evert_bytes *ret)
{
    evert_stream *s = op->end->stream;
    if (copies)
        return op->kind == LINE ? evert_read_line_into(s, op->buffer, op->size)
                                : evert_read_until_into(s, op->buffer, op->size, op->separator);
    return op->kind == LINE ? evert_read_line(s, ret) : evert_read_until(s, ret, op->separator);
}

static void read_up_to(struct op *op, bool copies)
{
    struct end *e = op->end;
    evert_bytes bytes = {"", 0};
    ssize_t rc = read_piece(op, copies, &bytes);
    if (e->gone)
        return;
    see_dropping(e, rc);
    if (rc >= 0) {
        if (copies)
            bytes = (evert_bytes){op->buffer, (size_t)rc};
        if (copies)
            assert_int_equal(op->buffer[rc], '\0');
        took_line(e->in, bytes, op->separator, e->limit);
    } else if (rc == EVERT_ELIMIT) {
        see_too_long(op, copies);
    } else {
        size_t room = op->size > 0 ? op->size - 1 : 0;
        see_end(e, check_read_error(op, (int)rc), bytes, copies ? op->buffer : NULL, room);
    }
}

static void run_read(struct op *op)
{
    bool copies = chance(2);
    world.reads++;
    if (op->kind == READ)
        read_some(op, copies);
    else if (op->kind == EXACTLY)
        read_exactly(op, copies);
    else
        read_up_to(op, copies);
}

static void start_read(struct end *e)
{
    struct op *op = &e->reading;
    op->kind = (int)draw(READ_KINDS);
    op->size = chance(20) ? draw(LARGEST) : draw_size(13);
    op->separator = op->kind == LINE ? "\r\n" : draw_separator();
    if (op->kind >= LINE && chance(3)) {
        e->limit = draw_limit_of(e->in, op->separator);
        evert_set_line_limit(e->stream, e->limit);
    }
    start_op(op, e, run_read);
}

enum { WRITE, FLUSH, WRITE_EOF };

/* A write that was cancelled has had no effect, or broke the write side, where no abort did. */
static void see_cancelled_write(struct end *e)
{
    if (e->stream->write_error == 0) {
        e->out->offered = e->out->written;
        return;
    }
    if (e->stream->write_error != -ECANCELED)
        check_error(e, e->stream->write_error);
    e->out->cut = e->stuck = true;
}

static void run_write(struct op *op)
{
    struct end *e = op->end;
    struct way *way = e->out;
    int rc;
    if (op->kind == WRITE)
        rc = evert_write(e->stream, way->log + way->written, way->offered - way->written);
    else if (op->kind == FLUSH)
        rc = evert_flush(e->stream);
    else
        rc = evert_write_eof(e->stream);
    if (e->gone) {
        return;
    } else if (rc == 0) {
        way->written = way->offered;
    } else if (rc == -ECANCELED) {
        assert_true(op->cancelled);
        way->ended = way->ended && op->kind != WRITE_EOF;
        if (op->kind == WRITE)
            see_cancelled_write(e);
    } else {
        check_error(e, rc);
    }
}

/* What is about to be ended is so already for who reads. */
static void start_write(struct end *e, int kind)
{
    e->writing.kind = kind;
    if (kind == WRITE && offer(e->out, draw_write()) == NULL)
        return;
    if (kind == WRITE_EOF)
        e->out->ended = true;
    start_op(&e->writing, e, run_write);
}

static int run_close(void *arg)
{
    struct end *e = (struct end *)arg;
    int rc = evert_close(e->stream);
    assert_true(rc == 0 || e->other->was_aborted || e->out->cut || e->stuck);
    e->finished = true;
    return 0;
}

/* ---- Protocols ---- */

static struct member *member_of(evert_protocol *protocol)
{
    return EVERT__CONTAINER(protocol, struct member, lines.protocol);
}

static evert_transport *transport_of(const struct end *e)
{
    return e->member->lines.protocol.transport;
}

static void turn_into_transport(struct end *e);

/* Whether the rest of a line is being dropped, so that nobody can tell where it stands. */
static bool is_vague(const struct end *e)
{
    const struct member *m = e->member;
    return m != NULL ? m->dropping && m->lines.dropping : e->vague;
}

static void forget_line(struct member *m)
{
    if (m->dropping)
        drop_line(m->end->in, m->delimiter);
    m->dropping = false;
}

/* False: it is closing by itself, as both sides have ended. */
static bool turn_into_stream(struct end *e)
{
    struct member *m = e->member;
    evert_stream *s = evert_transport_stream(transport_of(e));
    if (s == NULL) {
        assert_true((m->eof_told && e->out->ended) || e->other->was_aborted);
        return false;
    }
    assert_null(m->lines.protocol.transport);
    forget_line(m);
    free(m);
    e->member = NULL;
    e->stream = s;
    e->dropping = e->vague = false;
    e->limit = draw_limit();
    evert_set_line_limit(s, e->limit);
    world.changes++;
    return true;
}

static void write_as_transport(struct end *e)
{
    size_t size = draw_write(), written = e->out->written;
    evert_bytes pieces[2];
    if (e->out->ended || evert_transport_unsent(transport_of(e)) > MOST_UNREAD)
        return;
    const char *data = offer(e->out, size);
    if (data == NULL)
        return;
    e->out->written = e->out->offered;
    pieces[0] = (evert_bytes){data, draw((uint32_t)size)};
    pieces[1] = (evert_bytes){data + pieces[0].size, size - pieces[0].size};
    int rc = chance(2) ? evert_transport_write(transport_of(e), data, size)
                       : evert_transport_writev(transport_of(e), pieces, 2);
    check_rc(rc, 0);
    assert_true(e->out->written > written);
}

/* What protocols do in the middle of their calls; afterwards it may be another, or gone. */
static void act(struct member *m)
{
    struct end *e = m->end;
    uint32_t what = world.calm ? 1000 : draw(500);
    evert_transport *t = transport_of(e);
    if (what < 10) {
        evert_transport_pause_reading(t);
        m->paused = true;
    } else if (what < 15) {
        evert_transport_pause_reading(t);
        evert_transport_resume_reading(t);
        m->paused = false;
    } else if (what < 35) {
        write_as_transport(e);
    } else if (what < 50 && !is_vague(e)) {
        if (turn_into_stream(e) && chance(2))
            turn_into_transport(e);
    } else if (what == 50) {
        mark_gone(e, false, 0);
        evert_transport_lose_connection(t);
    } else if (what == 51) {
        mark_gone(e, true, -ECONNABORTED);
        evert_transport_abort_connection(t);
    }
}

/* The same where an error may be returned. */
static int act_or_fail(struct member *m)
{
    struct end *e = m->end;
    if (world.calm || !chance(1000)) {
        act(m);
        return 0;
    }
    mark_gone(e, false, -EPROTO);
    return -EPROTO;
}

/* Whether this may be told now. */
static void check_call(const struct member *m)
{
    assert_ptr_equal(m->end->member, m);
    assert_true(m->made);
    assert_false(m->end->gone || m->end->finished);
    assert_non_null(m->lines.protocol.transport);
}

static void check_input(const struct member *m)
{
    check_call(m);
    assert_false(m->paused || m->eof_told);
}

static int made(struct member *m)
{
    assert_ptr_equal(m->end->member, m);
    assert_false(m->made);
    m->made = true;
    check_call(m);
    return 0;
}

static int data_received(evert_protocol *protocol, evert_bytes data)
{
    struct member *m = member_of(protocol);
    check_input(m);
    assert_true(data.size > 0);
    took(m->end->in, data.data, data.size);
    return act_or_fail(m);
}

static int input_received(evert_protocol *protocol, evert_bytes input)
{
    struct member *m = member_of(protocol);
    struct way *way = m->end->in;
    size_t size = world.calm || chance(2) ? input.size : draw((uint32_t)input.size + 1);
    check_input(m);
    assert_true(input.size > 0 && input.size >= m->left);
    assert_in_range(input.size, 1, unread(way));
    assert_memory_equal(input.data, way->log + way->read, input.size);
    m->left = input.size - size;
    evert_transport_consume(protocol->transport, size / 2);
    evert_transport_consume(protocol->transport, size - size / 2);
    took(way, input.data, size);
    return act_or_fail(m);
}

static int end_told(struct member *m)
{
    struct end *e = m->end;
    bool keeps_open = chance(2);
    size_t left = 0;
    check_input(m);
    if (m->kind == INPUT)
        left = m->left;
    else if (m->kind == LINES && !m->raw && !e->in->broken && !e->in->cut) {
        if (m->dropping && !m->lines.dropping)
            forget_line(m);
        assert_true(m->dropping || before(e->in, m->delimiter) == SIZE_MAX);
        left = e->in->written - e->in->read;
    }
    check_end_told(e, m->kind == LINES && e->in->cut ? e->in->written - e->in->read : left);
    m->eof_told = e->eof_seen = true;
    long changes = world.changes;
    int rc = act_or_fail(m);
    if (rc < 0 || keeps_open || world.changes != changes || e->gone)
        return rc < 0 ? rc : keeps_open ? EVERT_KEEP_OPEN : 0;
    mark_gone(e, false, 0);
    return 0;
}

static void lost(struct member *m, int reason)
{
    struct end *e = m->end;
    assert_ptr_equal(e->member, m);
    assert_null(m->lines.protocol.transport);
    assert_false(e->finished);
    if (e->gone && e->reason < 0 && (!e->late || reason == e->reason))
        check_rc(reason, e->reason);
    else if (reason < 0)
        check_error(e, reason);
    else
        assert_true(e->gone || (m->eof_told && (e->out->ended || e->other->was_aborted)));
    if (!e->gone)
        mark_gone(e, false, 0);
    e->finished = true;
    e->member = NULL;
    free(m);
}

static void pause_told(struct member *m)
{
    check_call(m);
    assert_false(m->above);
    m->above = true;
    assert_true(evert_transport_unsent(m->lines.protocol.transport) > 0);
}

static void resume_told(struct member *m)
{
    check_call(m);
    assert_true(m->above);
    m->above = false;
    act(m);
}

static void connection_lost(evert_protocol *protocol, int reason)
{
    lost(member_of(protocol), reason);
}

static void lines_lost(evert_line_receiver *lines, int reason)
{
    lost(member_of(&lines->protocol), reason);
}

static int connection_made(evert_protocol *protocol)
{
    return made(member_of(protocol));
}

static int lines_made(evert_line_receiver *lines)
{
    return made(member_of(&lines->protocol));
}

static int eof_received(evert_protocol *protocol)
{
    return end_told(member_of(protocol));
}

static int lines_eof(evert_line_receiver *lines)
{
    return end_told(member_of(&lines->protocol));
}

static void pause_writing(evert_protocol *protocol)
{
    pause_told(member_of(protocol));
}

static void lines_pause(evert_line_receiver *lines)
{
    pause_told(member_of(&lines->protocol));
}

static void resume_writing(evert_protocol *protocol)
{
    resume_told(member_of(protocol));
}

static void lines_resume(evert_line_receiver *lines)
{
    resume_told(member_of(&lines->protocol));
}

static int line_received(evert_line_receiver *lines, evert_bytes line)
{
    struct member *m = member_of(&lines->protocol);
    check_input(m);
    assert_false(m->raw);
    forget_line(m);
    took_line(m->end->in, line, m->delimiter, lines->line_limit);
    if (chance(16)) {
        evert_line_receiver_set_raw(lines);
        m->raw = true;
    } else if (chance(6)) {
        evert_line_receiver_set_limit(lines, draw_limit_of(m->end->in, m->delimiter));
    }
    return act_or_fail(m);
}

static int raw_received(evert_line_receiver *lines, evert_bytes data)
{
    struct member *m = member_of(&lines->protocol);
    size_t size = chance(2) ? data.size : draw((uint32_t)data.size + 1);
    check_input(m);
    assert_true(m->raw && data.size > 0);
    took(m->end->in, data.data, size);
    if (size == data.size && chance(2))
        return act_or_fail(m);
    evert_line_receiver_set_lines(lines, data.size - size);
    m->raw = false;
    return act_or_fail(m);
}

static int too_long(evert_line_receiver *lines)
{
    struct member *m = member_of(&lines->protocol);
    check_input(m);
    assert_false(m->raw);
    forget_line(m);
    check_over(m->end->in, m->delimiter, lines->line_limit);
    if (chance(3)) {
        evert_line_receiver_set_raw(lines);
        m->raw = true;
    } else if (chance(3) && !world.calm) {
        (void)turn_into_stream(m->end); /* the whole line is the stream's */
    } else {
        m->dropping = true;
    }
    return 0;
}

static const evert_protocol_ops protocol_ops[] = {
    [DATA] = {.connection_made = connection_made,
              .data_received = data_received,
              .eof_received = eof_received,
              .connection_lost = connection_lost,
              .pause_writing = pause_writing,
              .resume_writing = resume_writing},
    [INPUT] = {.connection_made = connection_made,
               .input_received = input_received,
               .eof_received = eof_received,
               .connection_lost = connection_lost,
               .pause_writing = pause_writing,
               .resume_writing = resume_writing},
};

static const evert_line_receiver_ops line_ops = {
    .line_received = line_received,
    .raw_received = raw_received,
    .line_length_exceeded = too_long,
    .connection_made = lines_made,
    .eof_received = lines_eof,
    .connection_lost = lines_lost,
    .pause_writing = lines_pause,
    .resume_writing = lines_resume,
};

static struct member *new_member(struct end *e)
{
    struct member *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->end = e;
    m->kind = (int)draw(KINDS);
    if (m->kind != LINES) {
        m->lines.protocol.ops = &protocol_ops[m->kind];
        return m;
    }
    m->ops = line_ops;
    m->delimiter = m->ops.delimiter = draw_separator();
    m->ops.line_limit = draw_limit();
    evert_line_receiver_init(&m->lines, &m->ops);
    return m;
}

/* Not while somebody waits there; nor while a call that is about to return still holds a view. */
static void turn_into_transport(struct end *e)
{
    evert_stream *s = e->stream;
    struct member *m = new_member(e);
    if (s->reader != NULL || s->writer != NULL)
        check_rc(evert_stream_transport(s, &m->lines.protocol), -EBUSY);
    if (e->reading.active || e->writing.active || e->vague) {
        free(m);
        return;
    }
    e->stream = NULL;
    e->member = m;
    check_rc(evert_stream_transport(s, &m->lines.protocol), 0);
    world.changes++;
}

static void turn_round(struct end *e)
{
    if (is_vague(e))
        return;
    if (e->member == NULL)
        turn_into_transport(e);
    else if (turn_into_stream(e) && chance(8))
        turn_into_transport(e);
}

static void resume(struct end *e)
{
    struct member *m = e->member;
    m->paused = false;
    evert_transport_resume_reading(m->lines.protocol.transport);
}

/* ---- Pairs ---- */

static void new_end(struct end *e, int which, int fd)
{
    char *buffers[2] = {e->reading.buffer, e->writing.buffer};
    *e = (struct end){.stream = stream_on(fd, world.kind),
                      .in = &world.ways[1 - which],
                      .out = &world.ways[which],
                      .other = &world.ends[1 - which],
                      .limit = EVERT_LINE_LIMIT};
    e->reading.buffer = buffers[0];
    e->writing.buffer = buffers[1];
    evert_set_close_limit(e->stream, PATIENCE);
    char *log = e->out->log;
    *e->out = (struct way){.log = log};
}

/* Small buffers in the kernel are soon full; those of TCP would be opened again by timers only. */
static void new_pair(void)
{
    int fds[2];
    /* Each of TCP takes a port for a minute. */
    world.kind = chance(is_long() ? 16 : 4) ? TCP : UNIX;
    plain_pair(world.kind, fds);
    bool narrow = world.kind == UNIX && chance(2);
    for (int i = 0; i < 2; i++) {
        set_size(fds[i], SO_SNDBUF, narrow ? 8192 : 4 << 20);
        set_size(fds[i], SO_RCVBUF, narrow ? 8192 : 4 << 20);
        new_end(&world.ends[i], i, fds[i]);
    }
    evert__sys_set_hook(chance(2) ? cut_short : NULL);
    world.calm = false;
    world.pairs++;
}

static void end_by_close(struct end *e)
{
    mark_gone(e, false, 0);
    if (e->member != NULL)
        evert_transport_lose_connection(transport_of(e));
    else
        check_rc(evert_spawn(&world.tasks, run_close, e), 0);
}

static void end_by_abort(struct end *e)
{
    mark_gone(e, true, -ECONNABORTED);
    if (e->member != NULL) {
        evert_transport_abort_connection(transport_of(e));
    } else {
        evert_abort(e->stream);
        e->finished = true;
    }
}

static void end_somehow(struct end *e)
{
    if (chance(3))
        end_by_abort(e);
    else
        end_by_close(e);
}

/* Has it take what comes; a protocol that has left something gets it again. */
static void take_in(struct end *e, void (*read)(struct end *e))
{
    if (e->gone || e->finished)
        return;
    if (e->member == NULL) {
        if (!e->reading.active)
            read(e);
    } else {
        if (!e->member->paused)
            evert_transport_pause_reading(transport_of(e));
        resume(e);
    }
}

/* The other side has ended: reads all of it, to its end. */
static void read_to_the_end(struct end *e)
{
    run_until((take_in(e, start_read), e->eof_seen || e->failed || e->stuck || e->gone));
    if (!e->gone && !e->stuck && !e->in->broken)
        assert_true(e->eof_seen);
}

static bool is_over(const struct end *e)
{
    return e->finished && !e->reading.active && !e->writing.active;
}

/* One side ended, or both did: looks at what the other gets of it, and begins anew. */
static void end_pair(void)
{
    world.calm = true;
    for (int i = 0; i < 2; i++) {
        if (world.ends[i].stuck && !world.ends[i].gone)
            end_somehow(&world.ends[i]);
    }
    for (int i = 0; i < 2; i++) {
        struct end *e = &world.ends[i];
        if (e->gone)
            continue;
        if (!chance(4))
            read_to_the_end(e);
        if (!e->gone)
            end_somehow(e);
    }
    run_until(is_over(&world.ends[0]) && is_over(&world.ends[1]));
    new_pair();
}

/* What a read of bytes gets without waiting for another write, or the rest of one. */
static size_t readable(const struct end *e)
{
    size_t size = e->in->written > e->in->read ? e->in->written - e->in->read : 0;
    if (!e->dropping)
        return size;
    size_t drops = before(e->in, "\r\n");
    return drops < size && drops + 2 < size ? size - drops - 2 : 0;
}

/* One that need not wait for another write. */
static void start_sure_read(struct end *e)
{
    size_t most = readable(e);
    e->reading.kind = chance(2) || most == 0 ? READ : EXACTLY;
    e->reading.size =
        1 + draw(e->reading.kind == READ || most > LARGEST ? LARGEST : (uint32_t)most);
    start_op(&e->reading, e, run_read);
}

/* Whether an end has given out all that it can. */
static bool has_all(const struct end *e)
{
    const struct member *m = e->member;
    const struct way *way = e->in;
    if (m != NULL && m->eof_told)
        return true;
    if (way->written != way->offered)
        return false;
    if (m == NULL)
        return readable(e) == 0;
    if (m != NULL && m->kind == LINES && !m->raw)
        return before(way, m->delimiter) == SIZE_MAX || (m->dropping && !m->lines.dropping);
    return way->read == way->written;
}

/* Nothing gets stuck: all that was written arrives. Not so after somebody has ended it. */
static void settle(void)
{
    struct end *a = &world.ends[0], *b = &world.ends[1];
    world.calm = true;
    world.settled++;
    for (int i = 0; i < 2; i++)
        run_until((cancel_op(&world.ends[i].reading), !world.ends[i].reading.active));
    evert_time limit = evert_after(PATIENCE);
    for (;;) {
        if (a->gone || b->gone || a->stuck || b->stuck)
            return;
        bool all = true;
        for (int i = 0; i < 2; i++) {
            struct end *e = &world.ends[i];
            if (!has_all(e)) {
                all = false;
                take_in(e, start_sure_read);
            }
            if (e->reading.active && has_all(e))
                cancel_op(&e->reading);
        }
        if (all)
            break;
        assert_false(over_at(limit));
        check_rc(evert_yield(), 0);
    }
    world.calm = false;
}

/* ---- Steps ---- */

static void step_stream(struct end *e, uint32_t what)
{
    bool writes = !e->writing.active && !e->out->ended;
    if (what < 350) {
        if (writes && unread(e->out) < MOST_UNREAD)
            start_write(e, WRITE);
    } else if (what < 780) {
        if (!e->reading.active)
            start_read(e);
        else if (chance(4))
            cancel_op(&e->reading);
    } else if (what < 800) {
        if (writes)
            start_write(e, FLUSH);
    } else if (what < 805) {
        if (writes)
            start_write(e, WRITE_EOF);
    } else if (what < 815) {
        if (e->writing.active)
            cancel_op(&e->writing);
    }
}

static void step_transport(struct end *e, uint32_t what)
{
    evert_transport *t = transport_of(e);
    if (what < 400) {
        if (unread(e->out) < MOST_UNREAD)
            write_as_transport(e);
    } else if (what < 550) {
        evert_transport_pause_reading(t);
        e->member->paused = true;
    } else if (what < 780) {
        resume(e);
    } else if (what < 800) {
        evert_transport_set_write_limits(t, draw_size(17), draw_size(15));
    } else if (what < 803) {
        evert_transport_write_eof(t);
        e->out->ended = true;
    }
}

static void step(void)
{
    struct end *e = &world.ends[draw(2)];
    uint32_t what = draw(1000);
    if (world.ends[0].gone || world.ends[1].gone || world.ends[0].stuck || world.ends[1].stuck) {
        end_pair();
        return;
    }
    if (what < 820) {
        if (e->member != NULL)
            step_transport(e, what);
        else
            step_stream(e, what);
    } else if (what < 930) {
        turn_round(e);
    } else if (what < 990) {
        for (uint32_t turns = 1 + draw(4); turns > 0; turns--)
            check_rc(evert_yield(), 0);
    } else if (what < 994) {
        settle();
    } else if (what < 997 || e->out->offered + LARGEST > CAPACITY) {
        end_somehow(e);
    }
    if (chance(2))
        check_rc(evert_yield(), 0);
}

static void begin(uint64_t seed)
{
    world.random = seed;
    make_text();
    world.steps = world.reads = world.writes = world.pairs = world.changes = 0;
    world.given = world.lines = world.settled = 0;
    for (int i = 0; i < 2; i++) {
        world.ways[i].log = malloc(CAPACITY);
        world.ends[i].reading.buffer = malloc(LARGEST + 1);
        assert_true(world.ways[i].log != NULL && world.ends[i].reading.buffer != NULL);
    }
}

static void finish(void)
{
    for (int i = 0; i < 2; i++) {
        free(world.ways[i].log);
        free(world.ends[i].reading.buffer);
    }
    free(world.text);
}

/* S1 to S5, S7 to S9, T1, T3, T8, L2 to L4, and the change of face (S8) at any moment. */
static void test_a_connection_of_two_faces_behaves_as_two_queues_of_bytes(void **state)
{
    static uint64_t runs;
    long steps = is_long() ? 20L * STEPS : SANITIZED ? STEPS / 5 : STEPS;
    (void)state;
    begin(strtoull(getenv("EVERT_SEED"), NULL, 0) + runs++);
    start_logging(); /* of protocols that fail */
    evert_scope_enter(&world.tasks, EVERT_NEVER);
    new_pair();
    for (; world.steps < steps; world.steps++)
        step();
    if (!world.ends[0].gone && !world.ends[1].gone)
        end_somehow(&world.ends[0]);
    end_pair();
    for (int i = 0; i < 2; i++)
        end_by_abort(&world.ends[i]);
    check_rc(evert_scope_leave(&world.tasks, 0), 0);
    stop_logging();
    print_message("%ld steps, %ld pairs: %ld writes, %ld reads, %ld pieces, %ld lines, %ld changes "
                  "of face, settled %ld times\n",
                  world.steps, world.pairs, world.writes, world.reads, world.given, world.lines,
                  world.changes, world.settled);
    assert_true(world.reads > steps / 20 && world.writes > steps / 20 &&
                world.pairs > steps / 1000);
    assert_true(world.changes > steps / 100 && world.lines > steps / 100);
    finish();
}

/* A failed check ends the program at once, so what repeats it is said before. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_connection_of_two_faces_behaves_as_two_queues_of_bytes),
    };
    const char *backend = getenv("EVERT_BACKEND");
    char seed[24];
    snprintf(seed, sizeof(seed), "%" PRIu64, seed_new());
    setenv("EVERT_SEED", seed, 1); /* the adverse back end takes its own from there */
    print_message("to repeat: EVERT_SEED=%s EVERT_BACKEND=%s %s\n", seed,
                  backend != NULL ? backend : "", program_invocation_name);
    fflush(stdout);
    return run_table(tests);
}
