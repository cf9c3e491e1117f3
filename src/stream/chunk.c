/* SPDX-License-Identifier: MIT */
#include "stream/chunk.h"
#include "base/flat.h"

static void pool_fini(struct evert__part *part, evert_loop *loop)
{
    struct evert__chunk_pool *pool = EVERT__CONTAINER(part, struct evert__chunk_pool, part);
    (void)loop;
    while (pool->free != NULL) {
        struct evert__chunk *chunk = pool->free;
        pool->free = chunk->next;
        evert__chunk_show(chunk);
        evert__free_lines(chunk);
    }
    if (pool->large != NULL)
        evert__asan_show(pool->large, EVERT__LARGE);
    evert__free_lines(pool->large);
    evert__free(pool);
}

static void keep_large(struct evert__chunk_pool *pool, char *large)
{
    pool->large = large;
    if (large != NULL)
        evert__asan_hide(large, EVERT__LARGE);
}

/* Without a pool, which is made when there is memory for it, chunks come and go all the same. */
static void make_pool(evert_loop *loop)
{
    struct evert__chunk_pool *pool = evert__alloc_zero(sizeof(*pool));
    if (pool == NULL)
        return;
    pool->part.fini = pool_fini;
    /* It costs nothing until somebody writes there. */
    keep_large(pool, evert__alloc_lines(EVERT__LARGE));
    loop->parts[EVERT__PART_CHUNKS] = &pool->part;
}

EVERT__RETURNS struct evert__chunk *evert__chunk_new(evert_loop *loop)
{
    if (evert__chunk_pool(loop) == NULL)
        make_pool(loop);
    struct evert__chunk *chunk = evert__alloc_lines(EVERT__CHUNK);
    if (chunk != NULL) {
        chunk->next = NULL;
        chunk->start = chunk->end = 0;
    }
    return chunk;
}

EVERT__HOT char *evert__large_get(evert_loop *loop)
{
    struct evert__chunk_pool *pool = evert__chunk_pool(loop);
    if (pool == NULL) {
        make_pool(loop);
        pool = evert__chunk_pool(loop);
    }
    if (pool == NULL || pool->large == NULL)
        return evert__alloc_lines(EVERT__LARGE);
    char *large = pool->large;
    pool->large = NULL;
    evert__asan_show(large, EVERT__LARGE);
    return large;
}

EVERT__HOT void evert__large_put(const evert_loop *loop, char *large)
{
    struct evert__chunk_pool *pool = evert__chunk_pool(loop);
    if (pool == NULL || pool->large != NULL)
        evert__free_lines(large);
    else
        keep_large(pool, large);
}
