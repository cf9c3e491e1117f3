/* SPDX-License-Identifier: MIT */
/*
 * Files by threads: where there is no ring, and for what is no better off in one. They share
 * nothing with the threads that look names up, which may hang for longer than any disk.
 */
#include "loop/file.h"

enum { THREADS = 8 };

int evert__file_workers(evert_loop *loop, struct evert__workers **ret)
{
    return evert__workers_of(loop, EVERT__PART_FILES, THREADS, ret);
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
