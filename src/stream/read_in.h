/* SPDX-License-Identifier: MIT */
/* Reading a piece of a file in a worker, as a disk may be slow. */
#ifndef EVERT_SRC_STREAM_READ_IN_H
#define EVERT_SRC_STREAM_READ_IN_H

#include <sys/types.h>

#include "loop/loop.h"

struct evert__piece;

/* Waits for a piece. It is the waiter's, who is told, or gives it up. */
struct evert__read_in {
    evert_loop *loop;
    void (*done)(struct evert__read_in *read_in); /* in the loop; not after it was given up */
    int file;
    int64_t offset;
    size_t size;
    char *memory;   /* what was read, to be freed; NULL on failure */
    ssize_t result; /* how much that is, 0 at the file's end, or an error */
    struct evert__piece *piece;
};

/*
 * Begins. 0: `done` will tell. 1: it was told already, as the loop has read and waited. Or an
 * error.
 */
int evert__read_in_start(struct evert__read_in *read_in);

/* Gives it up. The file may be closed at once. */
void evert__read_in_abandon(struct evert__read_in *read_in);

#endif
