/* SPDX-License-Identifier: MIT */
#include "stream/chunk.h"

#include "base/alloc.h"

enum { KEPT = 256 };

struct pool {
    struct evert__part part;
    struct evert__chunk *free;
    unsigned count;
};

static void pool_fini(struct evert__part *part, evert_loop *loop)
{
    struct pool *pool = EVERT__CONTAINER(part, struct pool, part);
    (void)loop;
    while (pool->free != NULL) {
        struct evert__chunk *chunk = pool->free;
        pool->free = chunk->next;
        evert__free(chunk);
    }
    evert__free(pool);
}

static struct pool *pool_of(evert_loop *loop)
{
    struct pool *pool = (struct pool *)loop->parts[EVERT__PART_CHUNKS];
    if (pool == NULL) {
        pool = evert__alloc_zero(sizeof(*pool));
        if (pool == NULL)
            return NULL;
        pool->part.fini = pool_fini;
        loop->parts[EVERT__PART_CHUNKS] = &pool->part;
    }
    return pool;
}

struct evert__chunk *evert__chunk_get(evert_loop *loop)
{
    struct pool *pool = pool_of(loop);
    struct evert__chunk *chunk = pool != NULL ? pool->free : NULL;
    if (chunk != NULL) {
        pool->free = chunk->next;
        pool->count--;
    } else {
        chunk = evert__alloc(EVERT__CHUNK);
        if (chunk == NULL)
            return NULL;
    }
    chunk->next = NULL;
    chunk->start = chunk->end = 0;
    return chunk;
}

void evert__chunk_put(evert_loop *loop, struct evert__chunk *chunk)
{
    struct pool *pool = pool_of(loop);
    if (pool == NULL || pool->count >= KEPT) {
        evert__free(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->count++;
}
