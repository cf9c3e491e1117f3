/* SPDX-License-Identifier: MIT */
/*
 * Inside the back end on io_uring(7): the ring itself (uring.c), what it delivers again and again
 * (uring_source.c), the buffers that it puts received bytes in (uring_buffers.c), and what is asked
 * of files (uring_file.c).
 */
#ifndef EVERT_SRC_LOOP_URING_H
#define EVERT_SRC_LOOP_URING_H

#include <liburing.h>

#include "loop/readiness.h"

/* ---- Buffers ---- */

enum { EVERT__URING_BUFFERS = 128, EVERT__URING_BUFFER = 8192 };

struct evert__uring_buffers {
    struct io_uring_buf_ring *offered;
    char *memory;
    struct {
        uint16_t start, end;
        uint8_t next; /* of the same descriptor; 0: none */
    } filled[EVERT__URING_BUFFERS];
};

int evert__uring_buffers_init(struct evert__uring_buffers *buffers, struct io_uring *ring);
void evert__uring_buffers_fini(struct evert__uring_buffers *buffers);

/* Gives a buffer to the kernel. */
void evert__uring_buffers_offer(struct evert__uring_buffers *buffers, unsigned buffer);

/* Received bytes that wait to be taken: a list of buffers, the oldest first. */

/* The kernel has put `size` bytes into a buffer. */
void evert__uring_input_add(struct evert__uring_buffers *buffers, struct evert__ringed *in,
                            unsigned buffer, unsigned size);

/* Copies out what there is, at most `size` bytes, and offers what is empty to the kernel again. */
size_t evert__uring_input_take(struct evert__uring_buffers *buffers, struct evert__ringed *in,
                               char *memory, size_t size);

/* Drops all. */
void evert__uring_input_clear(struct evert__uring_buffers *buffers, struct evert__ringed *in);

/* ---- The ring ---- */

struct evert__uring {
    struct io_uring ring;
    bool enabled;               /* for the thread that runs the loop first */
    struct io_uring_sqe unused; /* to be filled in where nothing can be submitted any more */
    struct evert__link ops;     /* that are on their way */
    struct evert__link files;   /* the same of what is asked of files */
    unsigned kept;              /* completions that are with their sources, and not told of yet */
    struct msghdr *messages;    /* of sends that were not submitted yet, by place in the queue */
    struct evert__uring_buffers buffers;
    struct evert__link leaving; /* descriptors to be closed with their last completion */
    bool over;                  /* no completion comes any more */
};

static inline struct evert__uring *evert__uring_of(const evert_loop *loop)
{
    return loop->backend_state;
}

/*
 * Whose a completion is stands in its user data: the address of an op, a descriptor, or what is
 * asked of a file, and one of these.
 */
enum {
    EVERT__URING_OP,
    EVERT__URING_SOURCE,
    EVERT__URING_LISTENER,
    EVERT__URING_FILE,
    EVERT__URING_NOBODY,
    EVERT__URING_TAGS = 7
};

/* Room in the submission queue. What is queued is submitted with the next wait. */
struct io_uring_sqe *evert__uring_sqe(struct evert__uring *u);

/* Asks for what has this user data to be cancelled. Its own completion comes all the same. */
void evert__uring_cancel(struct evert__uring *u, uint64_t data);

/* Puts what the ring has delivered by now with the descriptors that it is for. */
void evert__uring_keep_what_came(evert_loop *loop);

/* Of what was kept and not told of, nothing is this descriptor's any more. */
void evert__uring_disown(struct evert__uring *u, const struct evert__fd *fd);

/* ---- Sources ---- */

/*
 * Keeps what a completion brought. True: it is to be told of with this completion, when all that
 * came together has been kept. False: nothing of the descriptor's is in it any more.
 */
bool evert__uring_source_completed(struct evert__fd *fd, const struct io_uring_cqe *cqe);

/* There is something, which is to be told of. True: not yet told of with another completion. */
static inline bool evert__uring_source_came(struct evert__fd *fd)
{
    bool first = !fd->ringed.to_tell;
    fd->readable = true;
    fd->ringed.to_tell = true;
    return first;
}

/* What a poll said: the end, or an error, lies behind the bytes. */
static inline void evert__uring_note_events(struct evert__fd *fd, int events)
{
    if (events > 0 && (events & ~(POLLIN | POLLRDNORM)) != 0)
        fd->drained_by_short_read = false;
}

/* The same as evert__uring_source_completed(), where a poll goes on: most completions are such. */
static inline bool evert__uring_source_keep(struct evert__fd *fd, const struct io_uring_cqe *cqe)
{
    if (fd->number < 0 || !fd->by_readiness || !(cqe->flags & IORING_CQE_F_MORE))
        return evert__uring_source_completed(fd, cqe);
    evert__uring_note_events(fd, cqe->res);
    return evert__uring_source_came(fd);
}

/* Where several things came for a source, the first of them finds it told of all. */
static inline void evert__uring_source_tell(struct evert__fd *fd)
{
    fd->ringed.to_tell = false;
    struct evert__source *source = fd->source;
    if (source == NULL || !fd->readable)
        return; /* nobody waits, or it was taken before it could be told of */
    fd->source = NULL;
    evert__tell_source(source);
}

/* No completion comes any more: what waits for its last is closed. */
void evert__uring_abandon_sources(struct evert__uring *u);

ssize_t evert__uring_take(struct evert__source *source, void *buffer, size_t size);
ssize_t evert__uring_splice(struct evert__source *source, int pipe, size_t size);
bool evert__uring_arm(struct evert__source *source);
bool evert__uring_look(struct evert__source *source);
bool evert__uring_detach(struct evert__fd *fd);

/* ---- Files ---- */

bool evert__uring_start_file(struct evert__file *file);
bool evert__uring_cancel_file(struct evert__file *file);
void evert__uring_file_completed(uint64_t data, int result);
void evert__uring_files_abandon(evert_loop *loop); /* no completion comes any more */

#endif
