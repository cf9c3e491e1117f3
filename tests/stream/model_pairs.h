/* SPDX-License-Identifier: MIT */
/*
 * Pairs of streams in the world of the model test. Each belongs to a scope, and any task inside it
 * reads and writes at either end. What was written is a pattern, so that a byte that is lost, seen
 * twice or in another place shows at once; and when the scope has been left all that was written
 * and not read is still there, and nothing else.
 */
#ifndef EVERT_TESTS_STREAM_MODEL_PAIRS_H
#define EVERT_TESTS_STREAM_MODEL_PAIRS_H

#include "model_world.h"

enum {
    PERIOD = 65521, /* of the pattern: a prime */
    LARGEST = 160000,
    MOST_UNREAD = 300000,
};

#define CLOSE_LIMIT (5 * EVERT_MILLISECOND)

/* One direction. */
struct way {
    size_t base;    /* where in the pattern it begins */
    size_t written; /* was accepted: has to arrive */
    size_t offered; /* that, and what a write is at work on */
    size_t read;
    bool broken; /* by a write that was cancelled in the middle */
};

struct end {
    evert_stream *stream;
    struct way *out, *in;
    struct end *peer;
    struct member *reader, *writer;
    int last_writer; /* the number of the task */
    bool failed;     /* it is of no more use, but to be closed */
    bool closed, aborted;
    evert_time closed_at;
};

struct pair {
    struct evert__link link;
    struct way ways[2];
    struct end ends[2];
};

static char *pattern; /* PERIOD + LARGEST bytes */

static void make_pattern_of_pairs(void)
{
    pattern = malloc(PERIOD + LARGEST);
    assert_non_null(pattern);
    for (size_t i = 0; i < PERIOD + LARGEST; i++)
        pattern[i] = pattern_at(i % PERIOD);
}

static const char *bytes_at(const struct way *way, size_t at)
{
    return pattern + (way->base + at) % PERIOD;
}

static void open_pair(struct record *r)
{
    struct pair *p = calloc(1, sizeof(*p));
    enum kind kind = chance(40) ? TCP : UNIX; /* each of TCP may take a port for a minute */
    int fds[2];
    assert_non_null(p);
    plain_pair(kind, fds);
    for (int i = 0; i < 2; i++) {
        if (kind == UNIX && chance(2))
            set_size(fds[i], SO_SNDBUF, 8192);
        p->ways[i].base = draw(PERIOD);
        p->ends[i] = (struct end){.stream = stream_on(fds[i], kind),
                                  .out = &p->ways[i],
                                  .in = &p->ways[1 - i],
                                  .peer = &p->ends[1 - i]};
        evert_set_close_limit(p->ends[i].stream, CLOSE_LIMIT);
    }
    evert__list_append(&r->pairs, &p->link);
    world.pairs++;
}

/* An end of a pair that the task may use, or NULL. */
static struct end *any_end(const struct member *m)
{
    for (struct record *r = where(m); r != NULL; r = around(r)) {
        for (struct evert__link *l = r->pairs.next; l != &r->pairs; l = l->next) {
            struct end *e = &EVERT__CONTAINER(l, struct pair, link)->ends[draw(2)];
            if (chance(2) && !e->closed && !e->failed)
                return e;
        }
    }
    return NULL;
}

/* ---- What has come, or may have ---- */

static bool end_may_be_done(const struct m_wait *wait)
{
    const struct end *e = wait->way;
    if (wait->kind == M_WRITE)
        return true;
    return e->in->offered > e->in->read || e->closed || e->peer->closed || e->out->broken;
}

/* It has come, so that the call has to return soon. */
static bool end_is_done(const struct m_wait *wait)
{
    const struct end *e = wait->way;
    const struct way *out = e->out;
    if (e->closed)
        return true;
    if (wait->kind == M_READ)
        return e->in->written > e->in->read && !e->in->broken;
    return out->read == out->offered ||
           (out->read == out->written && out->offered - out->written <= EVERT_HIGH_WATER);
}

static void took(const struct end *e, const char *data, size_t size)
{
    struct way *way = e->in;
    assert_in_range(size, 0, way->offered - way->read);
    if (!e->closed) /* else it may have been a view, which ended with that */
        assert_memory_equal(data, bytes_at(way, way->read), size);
    way->read += size;
    world.bytes += (long)size;
}

/* The peer may have given up before all had arrived: it was aborted, or out of patience. */
static bool may_be_lost(const struct end *peer)
{
    return peer->aborted || peer->failed || world.now >= peer->closed_at + CLOSE_LIMIT;
}

/* The end was told, or an error. */
static void see_end(struct end *e, int rc)
{
    e->failed = true;
    if (rc == EVERT_ECLOSED) {
        assert_true(e->closed);
        return;
    }
    assert_true(e->peer->closed);
    if (rc == 0 && !e->in->broken && !may_be_lost(e->peer))
        assert_in_range(e->in->read, e->in->written, e->in->offered);
}

/* ---- What tasks do there ---- */

/* What a call came to; one that was cancelled in the middle of a write has broken the stream. */
static int end_io(struct member *m, struct end *e, int rc)
{
    if (rc == -ECANCELED && e->out->broken && !m->says.wait.cut) {
        e->failed = true;
        (void)end_wait(m, 0);
        return 0;
    }
    (void)end_wait(m, rc == -ECANCELED ? rc : 0);
    return rc;
}

/* S3: another waits there; it is not to notice. */
static int check_busy(struct member *m, struct end *e, bool reads)
{
    char byte;
    const struct evert__waiter *waits = reads ? e->stream->reader : e->stream->writer;
    if (waits == NULL || waits->done || e->stream->write_error < 0)
        return 0;
    begin_wait(m, (struct m_wait){.kind = M_YIELD});
    int rc = reads ? (int)evert_read_into(e->stream, &byte, 1) : evert_flush(e->stream);
    assert_true(rc == -EBUSY || rc == -ECANCELED);
    return end_wait(m, rc == -ECANCELED ? rc : 0);
}

/* Bytes, 0 at the end, or an error. */
static ssize_t read_somehow(const struct end *e, char *buffer, size_t size)
{
    evert_bytes bytes = {buffer, 0};
    ssize_t count;
    if (chance(3)) {
        count = evert_read_exactly_into(e->stream, buffer, size);
        if (count == EVERT_EINCOMPLETE)
            e->in->read = e->in->written; /* how much it was is not told */
        if (count == EVERT_EINCOMPLETE || count == EVERT_EOF)
            count = 0;
    } else if (chance(2)) {
        count = evert_read_into(e->stream, buffer, size);
    } else {
        count = evert_read(e->stream, &bytes, size);
    }
    if (count > 0)
        took(e, bytes.data, (size_t)count);
    return count;
}

static int read_there(struct member *m, struct end *e)
{
    size_t size = 1 + draw(1U << (1 + draw(15)));
    if (e->reader != NULL)
        return check_busy(m, e, true);
    char *buffer = malloc(size);
    assert_non_null(buffer);
    e->reader = m;
    begin_wait(m, (struct m_wait){.kind = M_READ, .way = e});
    ssize_t count = read_somehow(e, buffer, size);
    e->reader = NULL;
    int rc = end_io(m, e, count < 0 ? (int)count : 0);
    if (count <= 0 && count != -ECANCELED)
        see_end(e, rc);
    free(buffer);
    return rc == -ECANCELED ? rc : 0;
}

/* S5: a cancelled write has had no effect, or broke the write side. */
static void see_cancelled_write(const struct member *m, const struct end *e, size_t size)
{
    if (e->stream->write_error != -ECANCELED) { /* that the peer is gone may be known already */
        e->out->offered = e->out->written;
        return;
    }
    assert_true(size > EVERT_HIGH_WATER || m->root);
    e->out->broken = true;
}

static int write_there(struct member *m, struct end *e)
{
    size_t size = chance(30) ? 1 + draw(LARGEST) : 1 + draw(1U << (1 + draw(13)));
    struct way *way = e->out;
    bool broken = way->broken;
    if (e->writer != NULL)
        return check_busy(m, e, false);
    if (way->offered - way->read > MOST_UNREAD)
        return 0;
    way->offered += broken ? 0 : size;
    e->writer = m;
    begin_wait(m, (struct m_wait){.kind = M_WRITE, .way = e});
    int rc = evert_write(e->stream, bytes_at(way, way->written), size);
    e->writer = NULL;
    if (rc == -ECANCELED && !e->closed && !broken)
        see_cancelled_write(m, e, size);
    rc = end_io(m, e, rc);
    e->last_writer = m->number;
    if (rc == 0 && !broken && !way->broken)
        way->written = way->offered;
    else if (rc < 0 && rc != -ECANCELED)
        see_end(e, rc);
    return rc == -ECANCELED ? rc : 0;
}

static int flush_there(struct member *m, struct end *e)
{
    if (e->writer != NULL)
        return check_busy(m, e, false);
    e->writer = m;
    begin_wait(m, (struct m_wait){.kind = M_WRITE, .way = e});
    int rc = evert_flush(e->stream);
    e->writer = NULL;
    rc = end_io(m, e, rc);
    if (rc < 0 && rc != -ECANCELED)
        see_end(e, rc);
    return rc == -ECANCELED ? rc : 0;
}

/* C12: one who never has to wait lets the others have their turn all the same. */
static int keep_busy(struct member *m, struct end *e)
{
    long turn = m_turn;
    int rc = 0;
    for (int i = 0; i < 70 && rc == 0 && e->writer == NULL && !e->closed && !e->failed; i++)
        rc = flush_there(m, e);
    if (rc == 0 && e->writer == NULL && !e->closed && !e->failed)
        assert_true(m_turn > turn);
    return rc;
}

/* C4: closing always does its work. Who waits there is told. */
static int close_there(struct end *e)
{
    e->closed = true;
    e->closed_at = world.now;
    e->aborted = chance(3);
    if (e->aborted)
        evert_abort(e->stream);
    else
        (void)evert_close(e->stream);
    return 0;
}

/* S5: one who wrote and then waited, or ended, has sent it before others run. */
static void check_sent(const struct member *m, const struct end *e)
{
    if (!e->closed && e->last_writer != m->number)
        assert_true(e->stream->out.queued == 0 || e->stream->sending);
}

static int use_pair(struct member *m)
{
    struct end *e = any_end(m);
    if (e == NULL)
        return 0;
    check_sent(m, e);
    check_sent(m, e->peer);
    switch (draw(20)) {
    case 0:
        return chance(2) ? flush_there(m, e) : keep_busy(m, e);
    case 1:
        return chance(4) ? close_there(e) : 0;
    default:
        return chance(2) ? read_there(m, e) : write_there(m, e);
    }
}

/* ---- The end of a pair ---- */

/* All that was written is there. */
static void read_the_rest(struct end *e)
{
    size_t size = e->in->written - e->in->read;
    while (size > 0) {
        size_t part = size < LARGEST ? size : LARGEST;
        char *buffer = malloc(part);
        assert_non_null(buffer);
        check_count(evert_read_exactly_into(e->stream, buffer, part), (ssize_t)part);
        took(e, buffer, part);
        free(buffer);
        size -= part;
    }
}

/* And nothing else is. */
static void check_rest(struct pair *p)
{
    char byte;
    world.sure++;
    for (int i = 0; i < 2; i++)
        read_the_rest(&p->ends[i]);
    for (int i = 0; i < 2; i++)
        check_rc(evert_write_eof(p->ends[i].stream), 0);
    for (int i = 0; i < 2; i++)
        check_count(evert_read_into(p->ends[i].stream, &byte, 1), 0);
    world.sure--;
}

/* Nobody uses it any more. */
static void end_pair(struct pair *p)
{
    bool whole = true;
    evert_scope shield;
    evert_shield_enter(&shield, evert_after(3600 * EVERT_SECOND));
    for (int i = 0; i < 2; i++)
        whole = whole && !p->ends[i].closed && !p->ends[i].failed && !p->ways[i].broken;
    if (whole && !chance(8))
        check_rest(p);
    for (int i = 0; i < 2; i++) {
        if (!p->ends[i].closed)
            (void)close_there(&p->ends[i]);
    }
    check_rc(evert_scope_leave(&shield, 0), 0);
    evert__link_remove(&p->link);
    free(p);
}

#endif
