/* SPDX-License-Identifier: MIT */
/*
 * What is given up may still be read for a while, and the caller may close its descriptor, whose
 * number may then be another's. So a worker reads by a descriptor of its own. Where there is none
 * to be had, or no thread, the loop reads, and waits: better late than not at all.
 */
#include "stream/read_in.h"

#include <errno.h>

#include <evert/base/error.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "base/sys_file.h"
#include "loop/file.h"

/* So many pieces the kernel is asked to have ready behind one that was not there. */
enum { AHEAD = 4 };

struct evert__piece {
    struct evert__job job;
    struct evert__read_in *read_in;
    int file;
    int64_t offset;
    size_t size;
    ssize_t result;
    char *memory;
};

static void read_piece(struct evert__job *job)
{
    struct evert__piece *p = EVERT__CONTAINER(job, struct evert__piece, job);
    p->result = evert__sys_pread(p->file, p->memory, p->size, p->offset);
    if (p->result == (ssize_t)p->size)
        (void)evert__sys_will_need(p->file, p->offset + p->result, AHEAD * p->size);
}

static void piece_read(struct evert__job *job)
{
    struct evert__piece *p = EVERT__CONTAINER(job, struct evert__piece, job);
    struct evert__read_in *r = p->read_in;
    r->piece = NULL;
    r->result = p->result;
    if (p->result >= 0) {
        r->memory = p->memory;
        p->memory = NULL;
    }
    r->done(r);
}

static void discard(struct evert__job *job)
{
    struct evert__piece *p = EVERT__CONTAINER(job, struct evert__piece, job);
    if (p->file >= 0)
        evert__sys_close(p->file);
    evert__free(p->memory);
    evert__free(p);
}

static struct evert__piece *new_piece(struct evert__read_in *r)
{
    struct evert__piece *p = evert__alloc_zero(sizeof(*p));
    if (p == NULL)
        return NULL;
    p->job.work = read_piece;
    p->job.done = piece_read;
    p->job.discard = discard;
    p->read_in = r;
    p->offset = r->offset;
    p->size = r->size;
    p->memory = evert__alloc(p->size);
    if (p->memory != NULL)
        return p;
    evert__free(p);
    return NULL;
}

static int read_here(struct evert__piece *p, struct evert__read_in *r)
{
    p->result = evert__sys_pread(r->file, p->memory, p->size, p->offset);
    piece_read(&p->job);
    return 1;
}

int evert__read_in_start(struct evert__read_in *r)
{
    struct evert__workers *workers;
    int rc = evert__file_workers(r->loop, &workers);
    if (rc < 0)
        return rc;
    struct evert__piece *p = new_piece(r);
    if (p == NULL)
        return -ENOMEM;
    r->piece = p;
    r->memory = NULL;
    p->file = evert__sys_dup(r->file);
    rc = p->file >= 0 ? evert__job_start(workers, &p->job) : p->file;
    if (rc == 0)
        return 0;
    if (rc != EVERT_ECLOSED)
        rc = read_here(p, r);
    discard(&p->job);
    return rc;
}

void evert__read_in_abandon(struct evert__read_in *r)
{
    struct evert__piece *p = r->piece;
    r->piece = NULL;
    evert__job_abandon(&p->job);
}
