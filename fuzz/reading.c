/* SPDX-License-Identifier: MIT */
/*
 * The reads of a stream, against a model that has all the bytes before it and knows nothing of how
 * they were cut (rules S1, S2, S8, L1). A read may be cancelled while it waits; it has taken
 * nothing then (S3).
 *
 * The input: a count of reads and what these are (a kind, with what goes with it, and a size); how
 * the wire ends, and where it is cut; the bytes.
 */
#include <errno.h>

#include <evert/coro/scope.h>
#include <evert/coro/task.h>
#include <evert/loop/loop.h>
#include <evert/stream/stream.h>

#include "loop/loop.h"

#include "wire.h"

enum { FILL = 0x5a };
enum kind { READ, READ_INTO, EXACTLY, EXACTLY_INTO, LINE, LINE_INTO, UNTIL, UNTIL_INTO };

static const char *const separators[] = {"\r\n", "\n", ";", "aab", "abab", "\n\n", "", "aaaa"};

/* What a read is asked for. */
struct ask {
    enum kind kind;
    size_t size; /* or the room for what is read */
    const char *separator;
    unsigned cancel_after; /* turns of the loop; 0: never */
    bool yields;           /* looks at the view again after a turn */
    bool sets_limit;       /* first */
    size_t limit;
};

/* What it came to. */
struct answer {
    ssize_t rc;
    evert_bytes bytes;
    char *buffer; /* of `size` bytes, for the twins */
};

/* ---- The model ---- */

static struct {
    const char *bytes;
    size_t size, at, limit;
    bool dropping;
    int error;         /* behind the bytes; 0: the end */
    const char *given; /* by the last read */
} model;

static size_t rest(void)
{
    return model.size - model.at;
}

/* How many bytes stand before the next separator; SIZE_MAX if there is none. */
static size_t before(const char *separator)
{
    const char *from = model.bytes + model.at;
    const char *at = memmem(from, rest(), separator, strlen(separator));
    return at != NULL ? (size_t)(at - from) : SIZE_MAX;
}

/* How many bytes are certain to stand before a separator that may still come. */
static size_t certain(const char *separator)
{
    size_t tail = strlen(separator) - 1;
    if (tail > rest())
        tail = rest();
    while (tail > 0 && memcmp(model.bytes + model.size - tail, separator, tail) != 0)
        tail--;
    return rest() - tail;
}

/* Drops what is left of a line that was too long: 0, or why nothing follows. */
static int drop(void)
{
    if (!model.dropping)
        return 0;
    size_t size = before("\r\n");
    if (size != SIZE_MAX)
        model.at += size + 2;
    else if (model.error < 0)
        return model.error;
    else
        model.at = model.size;
    model.dropping = false;
    return size != SIZE_MAX ? 0 : EVERT_EOF;
}

/* The end, or an error, before there was enough: *ret_size bytes are all that came. */
static int fall_short(size_t *ret_size)
{
    if (model.error < 0)
        return model.error;
    *ret_size = rest();
    return rest() > 0 ? EVERT_EINCOMPLETE : EVERT_EOF;
}

/* *ret_size: of what is given out; *ret_skip: of what goes with it. */
static int model_piece(const struct ask *ask, size_t *ret_size, size_t *ret_skip)
{
    if (*ask->separator == '\0')
        return -EINVAL;
    int rc = drop();
    if (rc < 0)
        return rc;
    size_t size = before(ask->separator);
    if ((size != SIZE_MAX ? size : certain(ask->separator)) > model.limit) {
        model.dropping = ask->kind == LINE || ask->kind == LINE_INTO;
        return EVERT_ELIMIT;
    }
    if (size == SIZE_MAX)
        return fall_short(ret_size);
    *ret_size = size;
    *ret_skip = strlen(ask->separator);
    return 0;
}

static int model_exactly(const struct ask *ask, size_t *ret_size)
{
    int rc = ask->size > 0 ? drop() : 0;
    if (rc < 0)
        return rc;
    if (rest() < ask->size)
        return fall_short(ret_size);
    *ret_size = ask->size;
    return 0;
}

/* ---- The reads ---- */

static ssize_t do_read(evert_stream *s, const struct ask *ask, struct answer *a)
{
    switch (ask->kind) {
    case READ:
        return evert_read(s, &a->bytes, ask->size);
    case READ_INTO:
        return evert_read_into(s, a->buffer, ask->size);
    case EXACTLY:
        return evert_read_exactly(s, &a->bytes, ask->size);
    case EXACTLY_INTO:
        return evert_read_exactly_into(s, a->buffer, ask->size);
    case LINE:
        return evert_read_line(s, &a->bytes);
    case LINE_INTO:
        return evert_read_line_into(s, a->buffer, ask->size);
    case UNTIL:
        return evert_read_until(s, &a->bytes, ask->separator);
    default:
        return evert_read_until_into(s, a->buffer, ask->size, ask->separator);
    }
}

static bool is_twin(const struct ask *ask)
{
    return ask->kind % 2 == 1;
}

/* Cancels a scope after some turns of the loop. */
struct countdown {
    evert_scope scope;
    evert_handle handle;
    evert_loop *loop;
    unsigned turns;
};

static void count_down(void *arg)
{
    struct countdown *c = arg;
    if (--c->turns == 0)
        evert_scope_cancel(&c->scope);
    else
        expect(evert_loop_call_soon(c->loop, &c->handle, count_down, c) == 0, "no call");
}

static void read_cancelled(evert_stream *s, const struct ask *ask, struct answer *a)
{
    struct countdown c = {.loop = s->loop, .turns = ask->cancel_after};
    evert_scope_enter(&c.scope, EVERT_NEVER);
    expect(evert_loop_call_soon(c.loop, &c.handle, count_down, &c) == 0, "no call");
    a->rc = do_read(s, ask, a);
    evert_handle_cancel(&c.handle);
    expect(evert_scope_leave(&c.scope, 0) == 0, "the scope");
}

/* ---- The two compared ---- */

#define expect_rc(a, wanted)                                                                       \
    expect((a)->rc == (wanted), "%zd (%s), not %zd (%s)", (a)->rc, evert_error_name((int)(a)->rc), \
           (ssize_t)(wanted), evert_error_name((int)(wanted)))

static void expect_same(const char *got, size_t size)
{
    model.given = model.bytes + model.at;
    expect(size <= rest() && memcmp(got, model.given, size) == 0, "other bytes");
}

static void expect_untouched(const struct ask *ask, const struct answer *a)
{
    if (!is_twin(ask) || ask->size == 0)
        return;
    expect(a->buffer[0] == FILL && memcmp(a->buffer, a->buffer + 1, ask->size - 1) == 0,
           "bytes in the buffer");
}

static void check_some(const struct ask *ask, const struct answer *a)
{
    int rc = ask->size > 0 ? drop() : 0;
    if (rc == 0 && ask->size > 0 && rest() == 0)
        rc = model.error;
    if (rc < 0 || rest() == 0 || ask->size == 0) {
        expect_rc(a, rc == EVERT_EOF ? 0 : rc);
        return;
    }
    size_t most = ask->size < rest() ? ask->size : rest();
    expect(a->rc >= 1 && (size_t)a->rc <= most, "%zd, not 1 to %zu", a->rc, most);
    expect_same(is_twin(ask) ? a->buffer : a->bytes.data, (size_t)a->rc);
    model.at += (size_t)a->rc;
}

static void check_counted(const struct ask *ask, const struct answer *a)
{
    size_t size = 0;
    int rc = model_exactly(ask, &size);
    expect_rc(a, rc == 0 && is_twin(ask) ? (ssize_t)size : rc);
    if (!is_twin(ask) && (rc == 0 || rc == EVERT_EINCOMPLETE))
        expect(a->bytes.size == size, "%zu bytes, not %zu", a->bytes.size, size);
    expect_same(is_twin(ask) ? a->buffer : a->bytes.data, size);
    model.at += size;
}

/* A piece that its reader has no room for is gone. */
static void check_piece(const struct ask *ask, const struct answer *a)
{
    size_t size = 0, skip = 0;
    int rc = model_piece(ask, &size, &skip);
    if (!is_twin(ask)) {
        expect_rc(a, rc);
        if (rc == 0 || rc == EVERT_EINCOMPLETE)
            expect(a->bytes.size == size, "%zu bytes, not %zu", a->bytes.size, size);
        expect_same(a->bytes.data, size);
    } else if (rc == 0 && size >= ask->size) {
        expect_rc(a, EVERT_ELIMIT);
        expect_untouched(ask, a);
    } else {
        expect_rc(a, rc == 0 ? (ssize_t)size : rc);
        size_t part = size < ask->size ? size : ask->size - 1;
        if ((rc == 0 || rc == EVERT_EINCOMPLETE) && ask->size > 0) {
            expect_same(a->buffer, part);
            expect(a->buffer[part] == '\0', "no NUL");
        } else {
            expect_untouched(ask, a);
        }
    }
    model.at += size + skip;
}

static void check_cancelled(const struct ask *ask, const evert_stream *s)
{
    expect(ask->cancel_after > 0, "nobody cancelled");
    if (!s->dropping)
        expect(drop() == 0, "the end of a line that did not come");
}

static void check(const struct ask *ask, const struct answer *a, const evert_stream *s)
{
    if (a->rc == -ECANCELED)
        check_cancelled(ask, s);
    else if (ask->kind == READ || ask->kind == READ_INTO)
        check_some(ask, a);
    else if (ask->kind == EXACTLY || ask->kind == EXACTLY_INTO)
        check_counted(ask, a);
    else
        check_piece(ask, a);
}

static void read_once(evert_stream *s, const struct ask *ask)
{
    struct answer a = {.bytes = {"", 0}};
    if (is_twin(ask)) {
        a.buffer = allocate(ask->size);
        memset(a.buffer, FILL, ask->size);
    }
    if (ask->sets_limit) {
        evert_set_line_limit(s, ask->limit);
        model.limit = ask->limit;
    }
    if (ask->cancel_after > 0)
        read_cancelled(s, ask, &a);
    else
        a.rc = do_read(s, ask, &a);
    check(ask, &a, s);
    if (ask->yields && a.bytes.size > 0) {
        expect(evert_yield() == 0, "a turn");
        expect(memcmp(a.bytes.data, model.given, a.bytes.size) == 0, "the view has changed");
    }
    free(a.buffer);
}

/* Small ones for the most part, and some that go straight to the reader's memory. */
static size_t take_size(struct input *in)
{
    uint8_t size = take_byte(in);
    return size < 200 ? size : (size - 199U) * 1500;
}

static struct ask take_ask(struct input *in)
{
    uint8_t what = take_byte(in), how = what & 128 ? take_byte(in) : 0;
    struct ask ask = {.kind = (enum kind)(what & 7), .yields = how & 1, .sets_limit = how & 2};
    bool is_line = ask.kind == LINE || ask.kind == LINE_INTO;
    ask.separator = is_line ? "\r\n" : separators[what >> 3 & 7];
    if (what & 64)
        ask.cancel_after = 1 + take_byte(in) % 8;
    if (ask.sets_limit)
        ask.limit = take_size(in);
    ask.size = take_size(in);
    return ask;
}

static int read_all(void *arg)
{
    struct input *asks = arg;
    evert_loop *loop = NULL;
    expect(evert__loop_or_here(&loop) == 0, "no loop");
    evert_stream *s = open_wire(loop);
    while (left(asks) > 0) {
        struct ask ask = take_ask(asks);
        read_once(s, &ask);
    }
    close_wire();
    evert_abort(s);
    return evert_yield(); /* lets the descriptor go */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    bool in_task = take_byte(&in) & 1;
    struct input asks = take_part(&in, take_byte(&in));

    load_wire(&in);
    model.bytes = (const char *)wire.bytes;
    model.size = wire.size;
    model.at = 0;
    model.limit = EVERT_LINE_LIMIT;
    model.dropping = false;
    model.error = wire.error;
    if (in_task) {
        evert_scope scope;
        evert_scope_enter(&scope, EVERT_NEVER);
        expect(evert_spawn(&scope, read_all, &asks) == 0, "no task");
        expect(evert_scope_leave(&scope, 0) == 0, "the scope");
    } else {
        expect(read_all(&asks) == 0, "a turn");
    }
    free(wire.bytes);
    return 0;
}
