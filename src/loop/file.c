/* SPDX-License-Identifier: MIT */
#include "loop/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <evert/base/error.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "base/sys_file.h"

/* ---- One ---- */

static size_t size_of(const char *path)
{
    return path != NULL ? strlen(path) + 1 : 0;
}

static char *copy(char *to, const char *path, size_t size)
{
    return path != NULL ? memcpy(to, path, size) : NULL;
}

struct evert__file *evert__file_new(evert_loop *loop, enum evert__file_kind kind, const char *path,
                                    const char *path_to)
{
    size_t size = kind == EVERT__FILE_STAT ? EVERT__STATX_SIZE : 0;
    size_t path_size = size_of(path), path_to_size = size_of(path_to);
    struct evert__file *file = evert__alloc(sizeof(*file) + size + path_size + path_to_size);
    if (file == NULL)
        return NULL;
    *file = (struct evert__file){
        .loop = loop, .kind = kind, .memory = file->room, .size = size, .result = -ECANCELED};
    file->path = copy(file->room + size, path, path_size);
    file->path_to = copy(file->room + size + path_size, path_to, path_to_size);
    return file;
}

void evert__file_free(struct evert__file *file)
{
    if (file != NULL && file->kind == EVERT__FILE_OPEN && file->result >= 0)
        evert__sys_close((int)file->result);
    evert__free(file);
}

bool evert__file_start(struct evert__file *file)
{
    if (evert__loop_forked(file->loop)) {
        file->result = EVERT_ECLOSED;
        return true;
    }
    return file->loop->backend->start_file(file);
}

bool evert__file_cancel(struct evert__file *file)
{
    if (evert__loop_forked(file->loop))
        return false; /* a child's copy: what is on its way is the parent's */
    return file->loop->backend->cancel_file(file);
}

void evert__tell_file(struct evert__file *file)
{
    if (file->loop->adverse != NULL)
        evert__adverse_hold_file(file);
    else
        file->done(file);
}

ssize_t evert__file_perform(const struct evert__file *file)
{
    switch (file->kind) {
    case EVERT__FILE_OPEN:
        return evert__sys_file_open(file->fd, file->path, file->flags, file->mode);
    case EVERT__FILE_STAT:
        return evert__sys_statx(file->fd, file->path, file->flags, file->memory);
    case EVERT__FILE_RENAME:
        return evert__sys_rename(file->path, file->path_to);
    case EVERT__FILE_UNLINK:
        return evert__sys_unlink(file->path);
    case EVERT__FILE_READ:
        return evert__sys_pread(file->fd, file->memory, file->size, file->offset);
    case EVERT__FILE_WRITE:
        return evert__sys_pwrite(file->fd, file->memory, file->size, file->offset);
    case EVERT__FILE_SYNC:
        return evert__sys_sync(file->fd, file->flags != 0);
    default:
        return evert__sys_file_close(file->fd);
    }
}

/* ---- Reading at once ---- */

/*
 * With O_DIRECT a read waits for the disk, whatever it was told. It works for whole sectors alone,
 * so others need not be asked.
 */
static bool is_direct(int fd, const void *buffer, size_t size, int64_t offset)
{
    const uint64_t sector = 512;
    if (((uintptr_t)buffer | size | (uint64_t)offset) % sector != 0)
        return false;
    int flags = evert__sys_file_flags(fd);
    return flags < 0 || (flags & O_DIRECT);
}

/* Linux 5.9 and 5.10 say 0 also where a read would have to wait: BUGS in preadv2(2). */
static bool is_at_end(int fd, int64_t offset)
{
    struct stat status;
    return evert__sys_fstat(fd, &status) == 0 && offset >= status.st_size;
}

ssize_t evert__file_read_now(evert_loop *loop, int fd, void *buffer, size_t size, int64_t offset)
{
    if (loop->adverse != NULL && !evert__adverse_may_read(loop, &size))
        return -EAGAIN;
    if (is_direct(fd, buffer, size, offset))
        return -EAGAIN;
    ssize_t count = evert__sys_pread_now(fd, buffer, size, offset);
    if (count < 0 || (count == 0 && !is_at_end(fd, offset)))
        return -EAGAIN; /* what cannot be had at once, for whatever reason, is asked for in earnest
                         */
    return count;
}
