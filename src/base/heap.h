/* SPDX-License-Identifier: MIT */
/*
 * The timers' queue: a heap of four children a node, which is shallower than a binary one and reads
 * a cache line a level. An entry carries its key, so that sifting touches the array alone; a node
 * knows its place in the array, so that taking it out needs no search. Equal times leave in the
 * order in which they came.
 */
#ifndef EVERT_SRC_BASE_HEAP_H
#define EVERT_SRC_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include <evert/base/time.h>

/* Zeroed when it is in no heap. */
struct evert__heap_node {
    uint32_t place; /* index in the array, plus 1 */
};

struct evert__heap_entry {
    evert_time when;
    uint64_t order;
    struct evert__heap_node *node;
};

struct evert__heap {
    struct evert__heap_entry *entries;
    uint32_t count, capacity;
    uint64_t next_order;
};

/* -ENOMEM leaves all as it was. The node must be in no heap. */
int evert__heap_insert(struct evert__heap *heap, struct evert__heap_node *node, evert_time when);

/* Without effect on a node that is in no heap. */
void evert__heap_remove(struct evert__heap *heap, struct evert__heap_node *node);

static inline bool evert__heap_has(const struct evert__heap_node *node)
{
    return node->place != 0;
}

/* The first to come, or NULL. */
static inline const struct evert__heap_entry *evert__heap_first(const struct evert__heap *heap)
{
    return heap->count > 0 ? &heap->entries[0] : (const struct evert__heap_entry *)0;
}

/* Frees the array; what was in it is forgotten. */
void evert__heap_fini(struct evert__heap *heap);

#endif
