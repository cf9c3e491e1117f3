/* SPDX-License-Identifier: MIT */
/*
 * What is asked of files: to open one, to read from it, and the like. A disk may make these calls
 * wait, and nothing ever tells that they would not. So they are made by threads (file_pool.c), or
 * by the kernel in a ring (uring_file.c).
 *
 * No such call can be interrupted once it has begun. Of those on an open file, the end is waited
 * for also after a cancel, as of a send in a ring: they use the caller's memory, and know the file
 * by a number, which may be another file's as soon as the caller has closed it. Those that go by a
 * path may hang for longer, and own all that they use: they are given up.
 */
#ifndef EVERT_SRC_LOOP_FILE_H
#define EVERT_SRC_LOOP_FILE_H

#include <fcntl.h>

#include "loop/loop.h"
#include "loop/worker.h"

enum evert__file_kind {
    EVERT__FILE_OPEN,
    EVERT__FILE_STAT,
    EVERT__FILE_RENAME,
    EVERT__FILE_UNLINK,
    EVERT__FILE_READ, /* from here on: on an open file */
    EVERT__FILE_WRITE,
    EVERT__FILE_SYNC,
    EVERT__FILE_CLOSE
};

/* On the heap; its waiter's, from done() on and where it has not been started. */
struct evert__file {
    evert_loop *loop;
    enum evert__file_kind kind;
    int fd;         /* or the folder that `path` starts from */
    int flags;      /* OPEN, STAT: of the call; SYNC: whether the data alone */
    unsigned mode;  /* OPEN */
    int64_t offset; /* READ, WRITE */
    void *memory;   /* READ, WRITE: the caller's; STAT: for a struct statx, in `room` */
    size_t size;    /* of it */
    char *path;     /* in `room`, and behind it: */
    char *path_to;  /* RENAME */

    ssize_t result; /* OPEN: a descriptor; READ, WRITE: bytes, which may be fewer; else 0 */
    void (*done)(struct evert__file *file); /* in the loop, and never from inside start; does not
                                             * free it */
    void *owner;                            /* for `done` */

    /* What is on its way: in a ring, or held back; or with a worker. */
    struct evert__held held;
    struct evert__job job;
    bool pooled, told, cancelled, abandoned;

    _Alignas(8) char room[];
};

/* Makes one, with room for copies of these (each may be NULL), or for a struct statx. */
struct evert__file *evert__file_new(evert_loop *loop, enum evert__file_kind kind, const char *path,
                                    const char *path_to);

/* A descriptor that it opened, and that was not taken (its result set to -1), is closed. */
void evert__file_free(struct evert__file *file);

/* True: complete, the result is there. False: `done` will tell. */
bool evert__file_start(struct evert__file *file);

/* True: nobody is told any more, and it is not the caller's. False: `done` will tell. */
bool evert__file_cancel(struct evert__file *file);

/*
 * Reads at once what is there without waiting, straight into the caller's memory: bytes, which may
 * be fewer than there are in the file; 0 at its end; -EAGAIN: it cannot be had so.
 */
ssize_t evert__file_read_now(evert_loop *loop, int fd, void *buffer, size_t size, int64_t offset);

/* ---- For the back ends ---- */

/* Whether it has bytes, of which it may transfer fewer. */
static inline bool evert__file_is_transfer(const struct evert__file *file)
{
    return file->kind == EVERT__FILE_READ || file->kind == EVERT__FILE_WRITE;
}

/*
 * Whether it may go on, and come to its end, when nobody waits any more: it uses nothing of the
 * caller's, and where it goes by a number, does no harm to another file that has that by then.
 */
static inline bool evert__file_may_be_left(const struct evert__file *file)
{
    if (file->kind == EVERT__FILE_OPEN)
        return file->fd == AT_FDCWD;
    return file->kind < EVERT__FILE_READ;
}

/* Makes the call, which may block; its result. */
ssize_t evert__file_perform(const struct evert__file *file);

/* Tells of one that is complete; the adverse back ends may hold it back. */
void evert__tell_file(struct evert__file *file);
void evert__adverse_hold_file(struct evert__file *file);

/* Whether a read may be made at once, and perhaps of less, where the back end is an adverse one. */
bool evert__adverse_may_read(evert_loop *loop, size_t *size);

/* By the loop's own threads. */
bool evert__pool_start(struct evert__file *file);
bool evert__pool_cancel(struct evert__file *file);

/* The loop's threads for files, made when first asked for. */
int evert__file_workers(evert_loop *loop, struct evert__workers **ret);

#endif
