/* SPDX-License-Identifier: MIT */
/*
 * Provided buffers: the kernel takes one when bytes come, so a connection that waits holds none.
 * They lie in one piece of memory of which a page is used when it is first written to.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/msan.h"
#include "base/sys.h"
#include "base/sys_uring.h"
#include "loop/uring.h"

enum { GROUP = 0, OFFERED_SIZE = EVERT__URING_BUFFERS * sizeof(struct io_uring_buf) };

static char *address_of(const struct evert__uring_buffers *b, unsigned buffer)
{
    return b->memory + (size_t)buffer * EVERT__URING_BUFFER;
}

void evert__uring_buffers_offer(struct evert__uring_buffers *b, unsigned buffer)
{
    io_uring_buf_ring_add(b->offered, address_of(b, buffer), EVERT__URING_BUFFER, (uint16_t)buffer,
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
        evert__uring_buffers_offer(b, i);
    return 0;
}

void evert__uring_buffers_fini(struct evert__uring_buffers *b)
{
    evert__sys_unmap(b->offered, OFFERED_SIZE);
    evert__sys_unmap(b->memory, (size_t)EVERT__URING_BUFFERS * EVERT__URING_BUFFER);
}

void evert__uring_input_add(struct evert__uring_buffers *b, struct evert__ringed *in,
                            unsigned buffer, unsigned size)
{
    uint8_t one = (uint8_t)(buffer + 1);
    evert__msan_written(address_of(b, buffer), size);
    b->filled[buffer].start = 0;
    b->filled[buffer].end = (uint16_t)size;
    b->filled[buffer].next = 0;
    if (in->first == 0)
        in->first = one;
    else
        b->filled[in->last - 1].next = one;
    in->last = one;
    in->buffers++;
    in->full = size == EVERT__URING_BUFFER;
}

static void drop_first(struct evert__uring_buffers *b, struct evert__ringed *in)
{
    unsigned buffer = in->first - 1U;
    in->first = b->filled[buffer].next;
    in->buffers--;
    evert__uring_buffers_offer(b, buffer);
}

size_t evert__uring_input_take(struct evert__uring_buffers *b, struct evert__ringed *in,
                               char *memory, size_t size)
{
    size_t taken = 0;
    while (in->first != 0 && taken < size) {
        unsigned first = in->first - 1U;
        size_t part = (size_t)b->filled[first].end - b->filled[first].start;
        if (part > size - taken)
            part = size - taken;
        memcpy(memory + taken, address_of(b, first) + b->filled[first].start, part);
        taken += part;
        b->filled[first].start += (uint16_t)part;
        if (b->filled[first].start == b->filled[first].end)
            drop_first(b, in);
    }
    return taken;
}

EVERT__HOT void evert__uring_input_clear(struct evert__uring_buffers *b, struct evert__ringed *in)
{
    while (in->first != 0)
        drop_first(b, in);
}
