/* SPDX-License-Identifier: MIT */
/*
 * Files in the ring. The kernel does at once what it can, and has threads of its own for the rest.
 * Closing is not for it: it would leave to the loop's thread what there is to do for the last close
 * of a file, such as giving back the blocks of one that was deleted.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/msan.h"
#include "base/sys.h"
#include "base/sys_file.h"
#include "base/sys_uring.h"
#include "loop/file.h"
#include "loop/uring.h"

static uint64_t data_of(const struct evert__file *file)
{
    return (uint64_t)(uintptr_t)file | EVERT__URING_FILE;
}

static void prepare(struct io_uring_sqe *sqe, const struct evert__file *file)
{
    unsigned size = (unsigned)file->size;
    switch (file->kind) {
    case EVERT__FILE_OPEN:
        io_uring_prep_openat(sqe, file->fd, file->path, file->flags | O_CLOEXEC, file->mode);
        break;
    case EVERT__FILE_STAT:
        io_uring_prep_statx(sqe, file->fd, file->path, file->flags, EVERT__STATX_MASK,
                            file->memory);
        break;
    case EVERT__FILE_RENAME:
        io_uring_prep_renameat(sqe, AT_FDCWD, file->path, AT_FDCWD, file->path_to, 0);
        break;
    case EVERT__FILE_UNLINK:
        io_uring_prep_unlinkat(sqe, AT_FDCWD, file->path, 0);
        break;
    case EVERT__FILE_READ:
        io_uring_prep_read(sqe, file->fd, file->memory, size, (uint64_t)file->offset);
        break;
    case EVERT__FILE_WRITE:
        io_uring_prep_write(sqe, file->fd, file->memory, size, (uint64_t)file->offset);
        break;
    default:
        io_uring_prep_fsync(sqe, file->fd, file->flags != 0 ? IORING_FSYNC_DATASYNC : 0);
    }
}

static void submit(struct evert__file *file)
{
    struct evert__uring *u = evert__uring_of(file->loop);
    struct io_uring_sqe *sqe = evert__uring_sqe(u);
    prepare(sqe, file);
    io_uring_sqe_set_data64(sqe, data_of(file));
    evert__list_append(&u->files, &file->held.link);
}

/* Whether a test answers instead of the kernel. */
static bool is_answered(struct evert__file *file)
{
    static const enum evert__sys_call calls[] = {
        [EVERT__FILE_OPEN] = EVERT__SYS_OPEN,     [EVERT__FILE_STAT] = EVERT__SYS_STATX,
        [EVERT__FILE_RENAME] = EVERT__SYS_RENAME, [EVERT__FILE_UNLINK] = EVERT__SYS_UNLINK,
        [EVERT__FILE_READ] = EVERT__SYS_PREAD,    [EVERT__FILE_WRITE] = EVERT__SYS_PWRITE,
        [EVERT__FILE_SYNC] = EVERT__SYS_SYNC,
    };
    size_t *size = evert__file_is_transfer(file) ? &file->size : NULL;
    return evert__sys_uring_answered(calls[file->kind], size, &file->result);
}

/* A ring would take from a pipe, and wait for it, as if no offset had been given. */
static int may_begin(const struct evert__file *file)
{
    return evert__file_is_transfer(file) ? evert__sys_has_offsets(file->fd) : 0;
}

bool evert__uring_start_file(struct evert__file *file)
{
    if (file->kind == EVERT__FILE_CLOSE)
        return evert__pool_start(file);
    file->result = may_begin(file);
    if (file->result < 0)
        return true;
    if (is_answered(file))
        return file->result != -EAGAIN || evert__pool_start(file);
    submit(file);
    return false;
}

bool evert__uring_cancel_file(struct evert__file *file)
{
    if (file->pooled)
        return evert__pool_cancel(file);
    if (file->cancelled)
        return false; /* once is enough */
    file->cancelled = true;
    evert__uring_cancel(evert__uring_of(file->loop), data_of(file));
    if (!evert__file_may_be_left(file))
        return false;
    file->abandoned = true;
    file->loop->busy++; /* the kernel has its memory */
    return true;
}

static void note_what_was_written(const struct evert__file *file)
{
    if (file->kind == EVERT__FILE_READ && file->result > 0)
        evert__msan_written(file->memory, (size_t)file->result);
    if (file->kind == EVERT__FILE_STAT && file->result == 0)
        evert__msan_written(file->memory, EVERT__STATX_SIZE);
}

/* ERESTARTSYS: no program should ever see it, but a cancel of an open lets it out (Linux 6.18). */
enum { RESTART = 512 };

/*
 * Interrupted; or EAGAIN, which older kernels say of a file that is O_NONBLOCK. A thread, which is
 * not told that, takes it over, unless it was cancelled.
 */
static bool is_unfinished(int result)
{
    return result == -EINTR || result == -RESTART || result == -EAGAIN;
}

static void completed(struct evert__file *file, int result)
{
    evert__link_remove(&file->held.link);
    if (!is_unfinished(result))
        file->result = result;
    else if (file->cancelled)
        file->result = -ECANCELED;
    else if (!evert__pool_start(file))
        return;
    note_what_was_written(file);
    if (file->abandoned) {
        file->loop->busy--;
        evert__file_free(file);
    } else {
        evert__tell_file(file);
    }
}

void evert__uring_file_completed(uint64_t data, int result)
{
    completed((struct evert__file *)(uintptr_t)(data & ~(uint64_t)EVERT__URING_TAGS), result);
}

void evert__uring_files_abandon(evert_loop *loop)
{
    struct evert__uring *u = evert__uring_of(loop);
    while (!evert__list_empty(&u->files))
        completed(EVERT__CONTAINER(u->files.next, struct evert__file, held.link), -ECANCELED);
}
