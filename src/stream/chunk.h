/* SPDX-License-Identifier: MIT */
/*
 * Memory for bytes on their way, in pieces of one size, which each loop keeps some of. A chunk
 * never moves, so the kernel may be sending from it while more is appended.
 */
#ifndef EVERT_SRC_STREAM_CHUNK_H
#define EVERT_SRC_STREAM_CHUNK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "base/asan.h"
#include "base/flat.h"
#include "base/msan.h"
#include "loop/loop.h"

enum {
    EVERT__CHUNK_ROOM = 4096, /* so that what is read and written in pages is one piece */
    EVERT__PIECES = 18, /* make one send of all that may be queued below the high-water mark */
    /*
     * What is taken at the most, where some of it may have to be kept: more is no faster, and while
     * the kernel copies it nobody else is served.
     */
    EVERT__AHEAD = 1 << 14,
    EVERT__LARGE_BITS = 18,
    EVERT__LARGE = 1 << EVERT__LARGE_BITS, /* and where it is looked at whole */
};

struct evert__chunk {
    struct evert__chunk *next;
    uint32_t start, end;
    /* A send that begins with this chunk, and what it points to, which has to live as long. */
    struct evert__op send;
    struct iovec pieces[EVERT__PIECES];
    _Alignas(EVERT__LINE) char data[];
};

enum { EVERT__CHUNK = sizeof(struct evert__chunk) + EVERT__CHUNK_ROOM };

/* What a loop keeps. */
struct evert__chunk_pool {
    struct evert__part part;
    struct evert__chunk *free;
    unsigned count;
    char *large; /* a buffer of EVERT__LARGE bytes, or NULL */
};

enum { EVERT__CHUNKS_KEPT = 256 };

/* What nobody may look at in a chunk that the pool has. */
static inline void evert__chunk_hide(const struct evert__chunk *chunk)
{
    evert__asan_hide(&chunk->start, EVERT__CHUNK - offsetof(struct evert__chunk, start));
}

static inline void evert__chunk_show(const struct evert__chunk *chunk)
{
    evert__asan_show(&chunk->start, EVERT__CHUNK - offsetof(struct evert__chunk, start));
}

EVERT__COLD struct evert__chunk *evert__chunk_new(evert_loop *loop);

static inline struct evert__chunk_pool *evert__chunk_pool(const evert_loop *loop)
{
    return (struct evert__chunk_pool *)loop->parts[EVERT__PART_CHUNKS];
}

/* An empty chunk, or NULL. */
static inline struct evert__chunk *evert__chunk_get(evert_loop *loop)
{
    struct evert__chunk_pool *pool = evert__chunk_pool(loop);
    if (pool == NULL || pool->free == NULL)
        return evert__chunk_new(loop);
    struct evert__chunk *chunk = pool->free;
    pool->free = chunk->next;
    pool->count--;
    evert__chunk_show(chunk);
    chunk->next = NULL;
    chunk->start = chunk->end = 0;
    evert__msan_forget(chunk->pieces, EVERT__CHUNK - offsetof(struct evert__chunk, pieces));
    return chunk;
}

static inline void evert__chunk_put(evert_loop *loop, struct evert__chunk *chunk)
{
    struct evert__chunk_pool *pool = evert__chunk_pool(loop);
    if (pool == NULL || pool->count >= EVERT__CHUNKS_KEPT) {
        evert__free_lines(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->count++;
    evert__chunk_hide(chunk);
}

/*
 * Memory for what one read takes in at the most. A loop keeps one such buffer: they are needed one
 * after the other, by whatever connection has input, and given back when that was looked at.
 */
char *evert__large_get(evert_loop *loop);
void evert__large_put(const evert_loop *loop, char *large);

/* Whether it is there just now, or as soon as the pool is, so that it is had for nothing. */
static inline bool evert__large_is_free(const evert_loop *loop)
{
    const struct evert__chunk_pool *pool = evert__chunk_pool(loop);
    return pool == NULL || pool->large != NULL;
}

#endif
