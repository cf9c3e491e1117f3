/* SPDX-License-Identifier: MIT */
/*
 * A pipe is two descriptors, of which a program has not too many. So nobody who waits for input has
 * one: it is given back before, and taken again when there is something. The loop keeps a few, so
 * that this costs nothing.
 */
#include "stream/pipe.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/sys.h"

enum { KEPT = 4 };

struct pipes {
    struct evert__part part;
    unsigned count;
    int ends[KEPT][2];
};

static struct pipes *pipes_of(const evert_loop *loop)
{
    return (struct pipes *)loop->parts[EVERT__PART_PIPES];
}

static void close_pipe(const int ends[2])
{
    evert__sys_close(ends[0]);
    evert__sys_close(ends[1]);
}

void evert__pipes_close(const evert_loop *loop)
{
    struct pipes *pipes = pipes_of(loop);
    while (pipes != NULL && pipes->count > 0)
        close_pipe(pipes->ends[--pipes->count]);
}

static void pipes_fini(struct evert__part *part, evert_loop *loop)
{
    evert__pipes_close(loop);
    evert__free(EVERT__CONTAINER(part, struct pipes, part));
}

/* NULL without memory: then none is kept. */
static struct pipes *make_pipes(evert_loop *loop)
{
    struct pipes *pipes = evert__alloc_zero(sizeof(*pipes));
    if (pipes == NULL)
        return NULL;
    pipes->part.fini = pipes_fini;
    loop->parts[EVERT__PART_PIPES] = &pipes->part;
    return pipes;
}

int evert__pipe_get(evert_loop *loop, int ret_ends[2])
{
    struct pipes *pipes = pipes_of(loop);
    if (pipes == NULL || pipes->count == 0)
        return evert__sys_pipe(ret_ends);
    memcpy(ret_ends, pipes->ends[--pipes->count], sizeof(pipes->ends[0]));
    return 0;
}

void evert__pipe_put(evert_loop *loop, const int ends[2], bool empty)
{
    struct pipes *pipes = pipes_of(loop);
    if (pipes == NULL)
        pipes = make_pipes(loop);
    if (pipes == NULL || pipes->count == KEPT || !empty)
        close_pipe(ends);
    else
        memcpy(pipes->ends[pipes->count++], ends, sizeof(pipes->ends[0]));
}
