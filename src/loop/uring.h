/* SPDX-License-Identifier: MIT */
/*
 * Inside the back end on io_uring(7): the ring itself (uring.c), what it delivers again and again
 * (uring_source.c), and the buffers that it puts received bytes in (uring_buffers.c).
 */
#ifndef EVERT_SRC_LOOP_URING_H
#define EVERT_SRC_LOOP_URING_H

#include <liburing.h>

#include "loop/loop.h"

/* ---- Buffers ---- */

enum { EVERT__URING_BUFFERS = 128, EVERT__URING_BUFFER = 8192, EVERT__URING_NONE = UINT16_MAX };

/* Received bytes that wait to be taken: a list of buffers, the oldest first. */
struct evert__uring_input {
    uint16_t head, tail, count;
    bool full; /* the newest was filled to its end, so there may be more in the socket */
};

struct evert__uring_buffers {
    struct io_uring_buf_ring *offered;
    char *memory;
    struct {
        uint32_t start, end;
        uint16_t next;
    } filled[EVERT__URING_BUFFERS];
};

int evert__uring_buffers_init(struct evert__uring_buffers *buffers, struct io_uring *ring);
void evert__uring_buffers_fini(struct evert__uring_buffers *buffers);

void evert__uring_input_init(struct evert__uring_input *in);

/* The kernel has put `size` bytes into a buffer. */
void evert__uring_input_add(struct evert__uring_buffers *buffers, struct evert__uring_input *in,
                            uint16_t buffer, uint32_t size);

/* Copies out what there is, at most `size` bytes, and offers what is empty to the kernel again. */
size_t evert__uring_input_take(struct evert__uring_buffers *buffers, struct evert__uring_input *in,
                               char *memory, size_t size);

/* Drops all. */
void evert__uring_input_clear(struct evert__uring_buffers *buffers, struct evert__uring_input *in);

static inline bool evert__uring_input_empty(const struct evert__uring_input *in)
{
    return in->head == EVERT__URING_NONE;
}

/* ---- The ring ---- */

struct evert__uring {
    struct io_uring ring;
    bool enabled;               /* for the thread that runs the loop first */
    struct io_uring_sqe unused; /* to be filled in where nothing can be submitted any more */
    struct evert__link ops;     /* that are on their way */
    unsigned kept;              /* completions that are with their sources, and not told of yet */
    struct msghdr *messages;    /* of sends that were not submitted yet, by place in the queue */
    struct evert__uring_buffers buffers;
    struct evert__uring_slot *slots; /* see uring_source.c */
    uint32_t slot_count, free_slot;
};

static inline struct evert__uring *evert__uring_of(const evert_loop *loop)
{
    return loop->backend_state;
}

/* What a completion belongs to is in its user data: an op, by its address; or one of these. */
enum { EVERT__URING_OP, EVERT__URING_SOURCE, EVERT__URING_NOBODY, EVERT__URING_TAGS = 7 };

/* Room in the submission queue. What is queued is submitted with the next wait. */
struct io_uring_sqe *evert__uring_sqe(struct evert__uring *u);

/* Asks for what has this user data to be cancelled. Its own completion comes all the same. */
void evert__uring_cancel(struct evert__uring *u, uint64_t data);

/* Puts what the ring has delivered by now with the sources that it is for. */
void evert__uring_keep_what_came(evert_loop *loop);

/* ---- Sources ---- */

void evert__uring_slots_init(struct evert__uring *u);
void evert__uring_slots_fini(struct evert__uring *u);
void evert__uring_slots_abandon(evert_loop *loop); /* no completion comes any more */

/* Keeps what a completion brought, to be told of when all that came together has been kept. */
void evert__uring_source_completed(evert_loop *loop, uint32_t slot, int result, uint32_t flags);
void evert__uring_source_tell(evert_loop *loop, uint32_t slot);

ssize_t evert__uring_take(struct evert__source *source, void *buffer, size_t size);
bool evert__uring_arm(struct evert__source *source);
bool evert__uring_look(struct evert__source *source);
bool evert__uring_detach(struct evert__fd *fd);

#endif
