/* SPDX-License-Identifier: MIT */
/*
 * Files by threads: where there is no ring, and for what is no better off in one. They share
 * nothing with the threads that look names up, which may hang for longer than any disk.
 */
#include <errno.h>

#include "base/alloc.h"
#include "loop/file.h"

enum { THREADS = 8 };

/* How long a thread without work stays. */
#define IDLE (5 * EVERT_SECOND)

/* How long freeing a loop waits for what was given up and is still under way. */
#define PATIENCE (100 * EVERT_MILLISECOND)

struct pool {
    struct evert__part part;
    struct evert__workers *workers;
};

static void pool_fini(struct evert__part *part, evert_loop *loop)
{
    struct pool *pool = EVERT__CONTAINER(part, struct pool, part);
    (void)loop;
    evert__workers_free(pool->workers, PATIENCE);
    evert__free(pool);
}

int evert__file_workers(evert_loop *loop, struct evert__workers **ret)
{
    struct pool *pool = (struct pool *)loop->parts[EVERT__PART_FILES];
    if (pool == NULL) {
        pool = evert__alloc_zero(sizeof(*pool));
        if (pool == NULL)
            return -ENOMEM;
        pool->part.fini = pool_fini;
        int rc = evert__workers_new(loop, THREADS, IDLE, &pool->workers);
        if (rc < 0) {
            evert__free(pool);
            return rc;
        }
        loop->parts[EVERT__PART_FILES] = &pool->part;
    }
    *ret = pool->workers;
    return 0;
}

static struct evert__file *file_of(struct evert__job *job)
{
    return EVERT__CONTAINER(job, struct evert__file, job);
}

static void work(struct evert__job *job)
{
    struct evert__file *file = file_of(job);
    file->result = evert__file_perform(file);
}

static void worked(struct evert__job *job)
{
    struct evert__file *file = file_of(job);
    file->told = true;
    evert__tell_file(file);
}

/* What was told is its waiter's. */
static void discard(struct evert__job *job)
{
    if (!file_of(job)->told)
        evert__file_free(file_of(job));
}

bool evert__pool_start(struct evert__file *file)
{
    struct evert__workers *workers;
    int rc = evert__file_workers(file->loop, &workers);
    file->pooled = true;
    file->job = (struct evert__job){.work = work, .done = worked, .discard = discard};
    if (rc == 0)
        rc = evert__job_start(workers, &file->job);
    if (rc == 0)
        return false;
    /* A file has to be closed, if need be by who must not be held up. */
    file->result = file->kind == EVERT__FILE_CLOSE ? evert__file_perform(file) : rc;
    return true;
}

bool evert__pool_cancel(struct evert__file *file)
{
    if (evert__file_may_be_left(file)) {
        evert__job_abandon(&file->job);
        return true;
    }
    if (!evert__job_take_back(&file->job))
        return false;
    evert__file_free(file);
    return true;
}
