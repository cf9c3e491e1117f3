/* SPDX-License-Identifier: MIT */
/*
 * The line receiver: what it is told, of the same bytes, whole and cut, against a model of them
 * (rules L1 to L4). What the receiver does in its calls depends on the bytes alone: a line that
 * begins with certain letters goes over to raw bytes, pauses, closes, fails, gives the connection
 * to a stream, or sets the limit.
 *
 * The input: the delimiter, the limit, what is done about a line that is too long; how the wire
 * ends, and where it is cut; the bytes.
 */
#include <errno.h>

#include <evert/coro/task.h>
#include <evert/loop/loop.h>
#include <evert/stream/line_receiver.h>
#include <evert/stream/stream.h>
#include <evert/stream/transport.h>

#include "loop/loop.h"
#include "stream/face.h"

#include "wire.h"

static const char *const delimiters[] = {NULL, "", "\n", ";", "aab", "abab", "\r\n", "aa"};

/* What is done about a line that is too long. */
enum too_long { NO_FUNCTION, DROP, GO_RAW, LOSE, ABORT, FAIL, GIVE_AWAY, DROP_AND_SET, WAYS };

static struct {
    const char *delimiter;
    size_t limit;
    enum too_long too_long;
} config;

/* What the receiver was told, or is to be told: letters, with what goes with them. */
struct events {
    uint8_t *data;
    size_t size, capacity;
};

static void add(struct events *e, char letter, const void *data, size_t size)
{
    if (e->size + size + 1 > e->capacity) {
        e->capacity = 2 * (e->size + size + 1);
        e->data = realloc(e->data, e->capacity);
        expect(e->data != NULL, "no memory");
    }
    e->data[e->size++] = (uint8_t)letter;
    if (size > 0)
        memcpy(e->data + e->size, data, size);
    e->size += size;
}

/* A line, with its length; of raw bytes, each one, since they come in any pieces. */
static void add_line(struct events *e, evert_bytes line)
{
    add(e, 'l', &line.size, sizeof(line.size));
    add(e, '=', line.data, line.size);
}

static void add_raw(struct events *e, char letter, evert_bytes data)
{
    for (size_t i = 0; i < data.size; i++)
        add(e, letter, data.data + i, 1);
}

static void add_end(struct events *e, char letter, int reason)
{
    add(e, letter, &reason, sizeof(reason));
}

/* How many raw bytes follow a line, before lines follow again. */
static size_t raw_after(evert_bytes line)
{
    return line.size < 2 ? 1 : (uint8_t)line.data[1];
}

enum { RAW_AFTER_LONG = 7 };

/* ---- The model ---- */

static struct {
    evert_bytes bytes;
    size_t limit, raw;
    bool dropping;
    struct events *events;
} model;

static void skip(size_t size)
{
    model.bytes.data += size;
    model.bytes.size -= size;
}

static void end_model(int reason)
{
    add_end(model.events, 'c', reason);
    model.bytes.size = 0;
}

/* The rest is a stream's. */
static void model_give_away(void)
{
    add_raw(model.events, 's', model.bytes);
    add_end(model.events, 'S', wire.error);
    model.bytes.size = 0;
}

/* False: nothing follows any more. */
static bool model_too_long(void)
{
    model.dropping = true;
    if (config.too_long != NO_FUNCTION)
        add(model.events, 'x', NULL, 0);
    switch (config.too_long) {
    case DROP_AND_SET:
        model.limit = model.limit * 2 + 1;
        return true;
    case DROP:
        return true;
    case GO_RAW:
        model.dropping = false;
        model.raw = RAW_AFTER_LONG;
        return true;
    case GIVE_AWAY:
        model_give_away();
        return false;
    case ABORT:
        end_model(-ECONNABORTED);
        return false;
    case FAIL:
        end_model(-EPROTO);
        return false;
    default:
        end_model(0);
        return false;
    }
}

static bool model_line(evert_bytes line)
{
    add_line(model.events, line);
    switch (line.size > 0 ? line.data[0] : '\0') {
    case 'R':
        model.raw = raw_after(line);
        return true;
    case 'N':
        model.limit = raw_after(line);
        return true;
    case 'L':
        end_model(0);
        return false;
    case 'A':
        end_model(-ECONNABORTED);
        return false;
    case 'E':
        end_model(-EPROTO);
        return false;
    case 'S':
        model_give_away();
        return false;
    default:
        return true;
    }
}

/* How many of the last bytes may be the beginning of a delimiter. */
static size_t begun(const char *delimiter)
{
    size_t n = strlen(delimiter) - 1;
    if (n > model.bytes.size)
        n = model.bytes.size;
    while (n > 0 && memcmp(model.bytes.data + model.bytes.size - n, delimiter, n) != 0)
        n--;
    return n;
}

/* The next thing that the bytes say. False: nothing follows any more. */
static bool model_next(void)
{
    bool unset = config.delimiter == NULL || *config.delimiter == '\0';
    const char *delimiter = unset ? "\r\n" : config.delimiter;
    evert_bytes next = model.bytes;

    if (model.raw > 0) {
        if (next.size > model.raw)
            next.size = model.raw;
        add_raw(model.events, 'r', next);
        model.raw -= next.size;
        skip(next.size);
        return true;
    }
    const char *at = memmem(next.data, next.size, delimiter, strlen(delimiter));
    next.size = at != NULL ? (size_t)(at - next.data) : next.size - begun(delimiter);
    if (next.size > model.limit && !model.dropping)
        return model_too_long();
    if (at == NULL) {
        skip(model.bytes.size); /* no line */
        return true;
    }
    skip(next.size + strlen(delimiter));
    if (!model.dropping)
        return model_line(next);
    model.dropping = false;
    return true;
}

static void run_model(struct events *events)
{
    model.bytes = (evert_bytes){(char *)wire.bytes, wire.size};
    model.limit = config.limit;
    model.raw = 0;
    model.dropping = false;
    model.events = events;
    while (model.bytes.size > 0) {
        if (!model_next())
            return;
    }
    if (wire.error == 0)
        add(events, 'e', NULL, 0);
    end_model(wire.error);
}

/* ---- The receiver ---- */

struct receiver {
    evert_line_receiver lines;
    struct events *events;
    size_t raw;
    unsigned paused_for; /* turns */
    evert_handle handle;
    evert_loop *loop;
};

/* What the connection of the run that is under way came to. */
static struct {
    evert_stream *stream; /* that it was given to */
    bool over;
} run;

static struct receiver *receiver_of(evert_line_receiver *lines)
{
    return (struct receiver *)lines;
}

static void resume(void *arg)
{
    struct receiver *r = arg;
    if (--r->paused_for == 0)
        evert_transport_resume_reading(r->lines.protocol.transport);
    else
        expect(evert_loop_call_soon(r->loop, &r->handle, resume, r) == 0, "no call");
}

static void pause_for(struct receiver *r, unsigned turns)
{
    if (turns == 0) { /* twice is once */
        evert_transport_pause_reading(r->lines.protocol.transport);
        evert_transport_resume_reading(r->lines.protocol.transport);
        return;
    }
    r->paused_for = turns;
    evert_transport_pause_reading(r->lines.protocol.transport);
    expect(evert_loop_call_soon(r->loop, &r->handle, resume, r) == 0, "no call");
}

static void free_receiver(struct receiver *r)
{
    evert_handle_cancel(&r->handle);
    free(r);
    run.over = true;
}

/* The receiver is freed in its own call, which it may be as it has no connection any more. */
static int give_away(struct receiver *r)
{
    run.stream = evert_transport_stream(r->lines.protocol.transport);
    expect(run.stream != NULL, "no stream");
    free_receiver(r);
    return 0;
}

static void go_raw(struct receiver *r, size_t raw)
{
    r->raw = raw;
    evert_line_receiver_set_raw(&r->lines);
}

static int line_received(evert_line_receiver *lines, evert_bytes line)
{
    struct receiver *r = receiver_of(lines);
    add_line(r->events, line);
    switch (line.size > 0 ? line.data[0] : '\0') {
    case 'R':
        go_raw(r, raw_after(line));
        break;
    case 'N':
        evert_line_receiver_set_limit(lines, raw_after(line));
        break;
    case 'P':
        pause_for(r, (unsigned)(raw_after(line) % 4));
        break;
    case 'L':
        evert_transport_lose_connection(lines->protocol.transport);
        break;
    case 'A':
        evert_transport_abort_connection(lines->protocol.transport);
        break;
    case 'E':
        return -EPROTO;
    case 'S':
        return give_away(r);
    default:
        break;
    }
    return 0;
}

static int raw_received(evert_line_receiver *lines, evert_bytes data)
{
    struct receiver *r = receiver_of(lines);
    evert_bytes part = {data.data, data.size < r->raw ? data.size : r->raw};
    expect(data.size > 0, "raw bytes that are none");
    add_raw(r->events, 'r', part);
    r->raw -= part.size;
    if (r->raw == 0)
        evert_line_receiver_set_lines(lines, data.size - part.size);
    return 0;
}

static int line_length_exceeded(evert_line_receiver *lines)
{
    struct receiver *r = receiver_of(lines);
    add(r->events, 'x', NULL, 0);
    switch (config.too_long) {
    case DROP_AND_SET:
        evert_line_receiver_set_limit(lines, lines->line_limit * 2 + 1);
        return 0;
    case GO_RAW:
        go_raw(r, RAW_AFTER_LONG);
        return 0;
    case LOSE:
        evert_transport_lose_connection(lines->protocol.transport);
        return 0;
    case ABORT:
        evert_transport_abort_connection(lines->protocol.transport);
        return 0;
    case FAIL:
        return -EPROTO;
    case GIVE_AWAY:
        return give_away(r);
    default:
        return 0;
    }
}

static int eof_received(evert_line_receiver *lines)
{
    add(receiver_of(lines)->events, 'e', NULL, 0);
    return 0;
}

static void connection_lost(evert_line_receiver *lines, int reason)
{
    struct receiver *r = receiver_of(lines);
    add_end(r->events, 'c', reason);
    free_receiver(r);
}

/* ---- The runs ---- */

static void read_rest(evert_stream *s, struct events *events)
{
    evert_bytes bytes;
    ssize_t count;
    while ((count = evert_read(s, &bytes, 1000)) > 0)
        add_raw(events, 's', bytes);
    add_end(events, 'S', (int)count);
    evert_abort(s);
}

static void run_once(evert_loop *loop, struct events *events)
{
    static evert_line_receiver_ops ops;
    struct receiver *r = calloc(1, sizeof(*r));
    expect(r != NULL, "no memory");
    ops = (evert_line_receiver_ops){
        .delimiter = config.delimiter,
        .line_limit = config.limit,
        .line_received = line_received,
        .raw_received = raw_received,
        .line_length_exceeded = config.too_long != NO_FUNCTION ? line_length_exceeded : NULL,
        .eof_received = eof_received,
        .connection_lost = connection_lost,
    };
    evert_line_receiver_init(&r->lines, &ops);
    r->events = events;
    r->loop = loop;
    run.stream = NULL;
    run.over = false;
    evert_stream *s = open_wire(loop);
    expect(evert_stream_transport(s, &r->lines.protocol) == 0, "no transport");
    while (!run.over)
        expect(evert_loop_turn(loop, EVERT_NEVER) == 0, "no turn");
    if (run.stream != NULL)
        read_rest(run.stream, events);
    close_wire();
    expect(evert_yield() == 0, "no turn"); /* lets the descriptor go */
}

static void expect_same(const char *what, const struct events *got, const struct events *wanted)
{
    size_t least = got->size < wanted->size ? got->size : wanted->size, at = 0;
    while (at < least && got->data[at] == wanted->data[at])
        at++;
    expect(at == got->size && at == wanted->size, "%s: told otherwise from byte %zu on, after %.*s",
           what, at, (int)(at < 100 ? at : 100), wanted->data + (at < 100 ? 0 : at - 100));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    struct events wanted = {0}, whole = {0}, cut = {0};
    evert_loop *loop = NULL;

    expect(evert__loop_or_here(&loop) == 0, "no loop");
    config.delimiter = delimiters[take_byte(&in) % COUNT_OF(delimiters)];
    uint8_t limit = take_byte(&in);
    config.limit = limit < 200 ? 1 + limit : (limit - 199U) * 1000;
    config.too_long = (enum too_long)(take_byte(&in) % WAYS);
    load_wire(&in);
    struct input cuts = wire.cuts;

    run_model(&wanted);
    wire.cuts = (struct input){0};
    run_once(loop, &whole);
    expect_same("whole", &whole, &wanted);
    wire.cuts = cuts;
    run_once(loop, &cut);
    expect_same("cut", &cut, &wanted);

    free(wanted.data);
    free(whole.data);
    free(cut.data);
    free(wire.bytes);
    return 0;
}
