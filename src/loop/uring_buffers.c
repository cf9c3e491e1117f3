/* SPDX-License-Identifier: MIT */
/*
 * Provided buffers: the kernel takes one when bytes come, so a connection that waits holds none.
 * They lie in one piece of memory of which a page is used when it is first written to.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/msan.h"
#include "base/sys.h"
#include "base/sys_uring.h"
#include "loop/uring.h"

enum { GROUP = 0, OFFERED_SIZE = EVERT__URING_BUFFERS * sizeof(struct io_uring_buf) };

static char *address_of(const struct evert__uring_buffers *b, uint16_t buffer)
{
    return b->memory + (size_t)buffer * EVERT__URING_BUFFER;
}

static void offer(struct evert__uring_buffers *b, uint16_t buffer)
{
    io_uring_buf_ring_add(b->offered, address_of(b, buffer), EVERT__URING_BUFFER, buffer,
                          io_uring_buf_ring_mask(EVERT__URING_BUFFERS), 0);
    io_uring_buf_ring_advance(b->offered, 1);
}

int evert__uring_buffers_init(struct evert__uring_buffers *b, struct io_uring *ring)
{
    int error;
    /* Both are aligned to pages, as the kernel wants the first to be. */
    b->offered = evert__sys_map(OFFERED_SIZE, &error);
    if (b->offered == NULL)
        return error;
    b->memory = evert__sys_map((size_t)EVERT__URING_BUFFERS * EVERT__URING_BUFFER, &error);
    if (b->memory == NULL) {
        evert__sys_unmap(b->offered, OFFERED_SIZE);
        return error;
    }
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)b->offered,
                                   .ring_entries = EVERT__URING_BUFFERS,
                                   .bgid = GROUP};
    int rc = evert__sys_uring_register_buffers(ring, &reg);
    if (rc < 0) {
        evert__uring_buffers_fini(b);
        return rc;
    }
    io_uring_buf_ring_init(b->offered);
    for (unsigned i = 0; i < EVERT__URING_BUFFERS; i++)
        offer(b, (uint16_t)i);
    return 0;
}

void evert__uring_buffers_fini(struct evert__uring_buffers *b)
{
    evert__sys_unmap(b->offered, OFFERED_SIZE);
    evert__sys_unmap(b->memory, (size_t)EVERT__URING_BUFFERS * EVERT__URING_BUFFER);
}

void evert__uring_input_init(struct evert__uring_input *in)
{
    *in = (struct evert__uring_input){.head = EVERT__URING_NONE, .tail = EVERT__URING_NONE};
}

void evert__uring_input_add(struct evert__uring_buffers *b, struct evert__uring_input *in,
                            uint16_t buffer, uint32_t size)
{
    evert__msan_written(address_of(b, buffer), size);
    b->filled[buffer].start = 0;
    b->filled[buffer].end = size;
    b->filled[buffer].next = EVERT__URING_NONE;
    if (in->head == EVERT__URING_NONE)
        in->head = buffer;
    else
        b->filled[in->tail].next = buffer;
    in->tail = buffer;
    in->count++;
    in->full = size == EVERT__URING_BUFFER;
}

static void drop_first(struct evert__uring_buffers *b, struct evert__uring_input *in)
{
    uint16_t buffer = in->head;
    in->head = b->filled[buffer].next;
    in->count--;
    offer(b, buffer);
}

size_t evert__uring_input_take(struct evert__uring_buffers *b, struct evert__uring_input *in,
                               char *memory, size_t size)
{
    size_t taken = 0;
    while (in->head != EVERT__URING_NONE && taken < size) {
        uint16_t first = in->head;
        size_t part = b->filled[first].end - b->filled[first].start;
        if (part > size - taken)
            part = size - taken;
        memcpy(memory + taken, address_of(b, first) + b->filled[first].start, part);
        taken += part;
        b->filled[first].start += (uint32_t)part;
        if (b->filled[first].start == b->filled[first].end)
            drop_first(b, in);
    }
    return taken;
}

void evert__uring_input_clear(struct evert__uring_buffers *b, struct evert__uring_input *in)
{
    while (in->head != EVERT__URING_NONE)
        drop_first(b, in);
}
