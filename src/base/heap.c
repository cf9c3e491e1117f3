/* SPDX-License-Identifier: MIT */
#include "base/heap.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/flat.h"

enum { CHILDREN = 4, FIRST_CAPACITY = 16 };

static bool before(const struct evert__heap_entry *a, const struct evert__heap_entry *b)
{
    return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void place(struct evert__heap *heap, uint32_t index, struct evert__heap_entry entry)
{
    heap->entries[index] = entry;
    entry.node->place = index + 1;
}

/*
 * An entry is handed over in memory, unless this is inlined: written word by word there, and read
 * two at a time, for which the processor has to wait. So who sifts is EVERT__FLAT.
 */
static void sift_up(struct evert__heap *heap, uint32_t index, struct evert__heap_entry entry)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / CHILDREN;
        if (!before(&entry, &heap->entries[parent]))
            break;
        place(heap, index, heap->entries[parent]);
        index = parent;
    }
    place(heap, index, entry);
}

static void sift_down(struct evert__heap *heap, uint32_t index, struct evert__heap_entry entry)
{
    for (;;) {
        uint64_t first = (uint64_t)index * CHILDREN + 1;
        if (first >= heap->count)
            break;
        uint32_t least = (uint32_t)first;
        for (uint32_t i = least + 1; i < heap->count && i < first + CHILDREN; i++) {
            if (before(&heap->entries[i], &heap->entries[least]))
                least = i;
        }
        if (!before(&heap->entries[least], &entry))
            break;
        place(heap, index, heap->entries[least]);
        index = least;
    }
    place(heap, index, entry);
}

static int grow(struct evert__heap *heap)
{
    if (heap->capacity > UINT32_MAX / 4)
        return -ENOMEM;
    uint32_t capacity = heap->capacity > 0 ? heap->capacity * 2 : FIRST_CAPACITY;
    struct evert__heap_entry *entries =
        evert__realloc(heap->entries, (size_t)capacity * sizeof(*entries));
    if (entries == NULL)
        return -ENOMEM;
    heap->entries = entries;
    heap->capacity = capacity;
    return 0;
}

EVERT__RETURNS EVERT__FLAT int evert__heap_insert(struct evert__heap *heap,
                                                  struct evert__heap_node *node, evert_time when)
{
    if (heap->count == heap->capacity) {
        int rc = grow(heap);
        if (rc < 0)
            return rc;
    }
    struct evert__heap_entry entry = {when, heap->next_order++, node};
    sift_up(heap, heap->count++, entry);
    return 0;
}

EVERT__RETURNS EVERT__FLAT void evert__heap_remove(struct evert__heap *heap,
                                                   struct evert__heap_node *node)
{
    if (node->place == 0)
        return;
    uint32_t index = node->place - 1;
    node->place = 0;
    heap->count--;
    if (index == heap->count)
        return;
    struct evert__heap_entry last = heap->entries[heap->count];
    if (index > 0 && before(&last, &heap->entries[(index - 1) / CHILDREN]))
        sift_up(heap, index, last);
    else
        sift_down(heap, index, last);
}

void evert__heap_fini(struct evert__heap *heap)
{
    for (uint32_t i = 0; i < heap->count; i++)
        heap->entries[i].node->place = 0;
    evert__free(heap->entries);
    *heap = (struct evert__heap){0};
}
