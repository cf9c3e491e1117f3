/* SPDX-License-Identifier: MIT */
#include <evert/coro/file.h>

#include <limits.h>
#include <string.h>

#include "base/sys_file.h"
#include "coro/describe.h"
#include "coro/wait.h"
#include "loop/file.h"

/* Behind so much that was read or written, by however many calls, others have a turn. */
enum { PIECE = 256 * 1024 };

struct file_wait {
    struct evert__waiter waiter;
    struct evert__file *file;
    bool complete;
};

static void file_done(struct evert__file *file)
{
    struct file_wait *wait = file->owner;
    wait->complete = true;
    evert__wake(&wait->waiter, 0);
}

/* A file is closed in any case. */
static bool stop_file(struct evert__waiter *waiter)
{
    struct evert__file *file = EVERT__CONTAINER(waiter, struct file_wait, waiter)->file;
    return file->kind != EVERT__FILE_CLOSE && evert__file_cancel(file);
}

static int begin(struct evert__task **ret)
{
    int rc = evert__checkpoint(ret);
    return rc == 0 && evert__loop_forked((*ret)->loop) ? EVERT_ECLOSED : rc;
}

/*
 * Has it done, and waits for that. False: it was given up, or this is a child's copy; then it is
 * not the caller's any more, and *ret_error says why.
 */
static bool carry_out(struct evert__task *self, struct evert__file *file, int *ret_error)
{
    struct file_wait wait = {.waiter.cancel = stop_file, .file = file};
    file->done = file_done;
    file->owner = &wait;
    if (evert__file_start(file)) {
        evert__completed(self);
        return true;
    }
    evert__wait(self, &wait.waiter);
    *ret_error = wait.waiter.result;
    return wait.complete;
}

/* The same, where nothing but its result is wanted of it. */
static ssize_t result_of(struct evert__task *self, struct evert__file *file)
{
    int error;
    if (!carry_out(self, file, &error))
        return error;
    ssize_t result = file->result;
    file->result = -1; /* taken */
    evert__file_free(file);
    return result;
}

/* Keeps words for a failure, of what was asked of which file. */
static int tell(struct evert__task *self, int rc, const char *call, const char *path, int fd)
{
    if (rc >= 0 || rc == -ECANCELED || rc == EVERT_ECLOSED)
        return rc;
    if (path != NULL && *path != '\0')
        return evert__fail(self, rc, "%s %s: %s", call, path, evert_strerror(rc));
    return evert__fail(self, rc, "%s descriptor %d: %s", call, fd, evert_strerror(rc));
}

/* ---- By a path ---- */

/* It was opened without waiting; whether its reads and writes wait is as the caller asked for. */
static void set_flags(int fd, int flags)
{
    if (fd >= 0 && (flags & O_NONBLOCK) == 0)
        (void)evert__sys_set_file_flags(fd, flags);
}

int evert_file_open_at(int folder, const char *path, int flags, mode_t mode)
{
    struct evert__task *self;
    int rc = begin(&self);
    if (rc < 0)
        return rc;
    struct evert__file *file = evert__file_new(self->loop, EVERT__FILE_OPEN, path, NULL);
    if (file == NULL)
        return -ENOMEM;
    file->fd = folder;
    file->flags = flags | O_NONBLOCK;
    file->mode = mode;
    rc = (int)result_of(self, file);
    set_flags(rc, flags);
    return tell(self, rc, "open", path, folder);
}

int evert_file_open(const char *path, int flags, mode_t mode)
{
    return evert_file_open_at(AT_FDCWD, path, flags, mode);
}

int evert_file_stat_at(int folder, const char *path, int flags, struct statx *ret)
{
    struct evert__task *self;
    int rc = begin(&self);
    if (rc < 0)
        return rc;
    struct evert__file *file = evert__file_new(self->loop, EVERT__FILE_STAT, path, NULL);
    if (file == NULL)
        return -ENOMEM;
    file->fd = folder;
    file->flags = flags;
    if (!carry_out(self, file, &rc))
        return rc;
    rc = (int)file->result;
    if (rc == 0)
        memcpy(ret, file->memory, file->size);
    evert__file_free(file);
    return tell(self, rc, "stat", path, folder);
}

int evert_file_rename(const char *from, const char *to)
{
    struct evert__task *self;
    int rc = begin(&self);
    if (rc < 0)
        return rc;
    struct evert__file *file = evert__file_new(self->loop, EVERT__FILE_RENAME, from, to);
    if (file == NULL)
        return -ENOMEM;
    return tell(self, (int)result_of(self, file), "rename", from, -1);
}

int evert_file_unlink(const char *path)
{
    struct evert__task *self;
    int rc = begin(&self);
    if (rc < 0)
        return rc;
    struct evert__file *file = evert__file_new(self->loop, EVERT__FILE_UNLINK, path, NULL);
    if (file == NULL)
        return -ENOMEM;
    return tell(self, (int)result_of(self, file), "unlink", path, -1);
}

/* ---- On an open file ---- */

/* What is asked for, or what is left of that. */
struct request {
    enum evert__file_kind kind;
    int fd, flags;
    char *memory;
    size_t size;
    int64_t offset;
    size_t left; /* of a piece, before others run */
};

static size_t piece_of(const struct request *r)
{
    return r->size < r->left ? r->size : r->left;
}

static ssize_t ask(struct evert__task *self, const struct request *r)
{
    struct evert__file *file = evert__file_new(self->loop, r->kind, NULL, NULL);
    if (file == NULL)
        return -ENOMEM;
    file->fd = r->fd;
    file->flags = r->flags;
    file->memory = r->memory;
    file->size = piece_of(r);
    file->offset = r->offset;
    return result_of(self, file);
}

/* So much is done. Behind each piece others run, and behind each call it may be cancelled. */
static int go_on(struct evert__task *self, struct request *r, size_t count)
{
    r->memory += count;
    r->size -= count;
    r->offset = (int64_t)((uint64_t)r->offset + count);
    r->left -= count;
    if (r->size == 0)
        return 0;
    if (r->left == 0) {
        r->left = PIECE;
        evert__let_others_run(self);
    }
    return evert__task_cancelled(self) ? -ECANCELED : 0;
}

/* A negative offset would mean, to some of the calls, a place that the descriptor remembers. */
static int begin_at(struct evert__task **ret, int64_t offset)
{
    int rc = begin(ret);
    return rc == 0 && offset < 0 ? -EINVAL : rc;
}

static ssize_t read_piece(struct evert__task *self, const struct request *r)
{
    ssize_t count = evert__file_read_now(self->loop, r->fd, r->memory, piece_of(r), r->offset);
    if (count == -EAGAIN)
        return ask(self, r);
    evert__completed(self);
    return count;
}

ssize_t evert_file_read(int fd, void *buffer, size_t size, int64_t offset)
{
    struct request r = {.kind = EVERT__FILE_READ,
                        .fd = fd,
                        .memory = buffer,
                        .size = size,
                        .offset = offset,
                        .left = PIECE};
    struct evert__task *self;
    int rc = begin_at(&self, offset);
    while (rc == 0 && r.size > 0) {
        ssize_t count = read_piece(self, &r);
        if (count == 0)
            break;
        rc = count > 0 ? go_on(self, &r, (size_t)count) : tell(self, (int)count, "read", NULL, fd);
    }
    return rc < 0 ? rc : (ssize_t)(size - r.size);
}

int evert_file_write(int fd, const void *data, size_t size, int64_t offset)
{
    struct request r = {.kind = EVERT__FILE_WRITE,
                        .fd = fd,
                        .memory = (char *)(uintptr_t)data,
                        .size = size,
                        .offset = offset,
                        .left = PIECE};
    struct evert__task *self;
    int rc = begin_at(&self, offset);
    while (rc == 0 && r.size > 0) {
        ssize_t count = ask(self, &r);
        if (count == 0)
            count = -EIO; /* or it would be asked for ever */
        rc = count > 0 ? go_on(self, &r, (size_t)count) : tell(self, (int)count, "write", NULL, fd);
    }
    return rc;
}

static int sync_file(int fd, bool data_alone)
{
    struct request r = {.kind = EVERT__FILE_SYNC, .fd = fd, .flags = data_alone};
    struct evert__task *self;
    int rc = begin(&self);
    return rc < 0 ? rc : tell(self, (int)ask(self, &r), "sync", NULL, fd);
}

int evert_file_sync(int fd)
{
    return sync_file(fd, false);
}

int evert_file_sync_data(int fd)
{
    return sync_file(fd, true);
}

int evert_file_stat(int fd, struct statx *ret)
{
    return evert_file_stat_at(fd, "", AT_EMPTY_PATH, ret);
}

/* By a thread, where this can wait for it. */
int evert_file_close(int fd)
{
    struct evert__file *file = NULL;
    struct evert__task *self;
    if (fd < 0)
        return 0;
    int rc = begin(&self);
    if (rc == 0 || rc == -ECANCELED)
        file = evert__file_new(self->loop, EVERT__FILE_CLOSE, NULL, NULL);
    if (file == NULL) {
        int closed = evert__sys_file_close(fd);
        return rc == EVERT_ECONTEXT ? rc : closed;
    }
    file->fd = fd;
    return tell(self, (int)result_of(self, file), "close", NULL, fd);
}
