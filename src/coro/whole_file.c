/* SPDX-License-Identifier: MIT */
/*
 * Whole files. To save one is to write another beside it, which then takes its name: rename(2) does
 * that at once, and only what was synced before is sure to be under that name after a crash. The
 * folder is synced as well, so that the name itself is.
 */
#include <evert/coro/file.h>

#include <string.h>

#include <evert/base/error.h>
#include <evert/coro/scope.h>

#include "base/alloc.h"
#include "base/format.h"
#include "base/sys.h"
#include "coro/wait.h"

ssize_t evert_file_load(const char *path, char *buffer, size_t size)
{
    int fd = evert_file_open(path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    ssize_t count = evert_file_read(fd, buffer, size, 0);
    evert__sys_close(fd); /* what was only read has nothing to wait for */
    if (count < 0)
        return count;
    if ((size_t)count == size)
        return EVERT_ELIMIT;
    buffer[count] = '\0';
    return count;
}

/* ---- Saving ---- */

enum { RANDOM_NAME = 32 };

/* Paths of a file's folder, and of a file in it that is nobody else's; NULL: no memory. */
static char *make_paths(const char *path, const char **ret_folder)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash != NULL ? (size_t)(slash - path) + 1 : 0; /* of the folder, with a slash */
    uint64_t number = 0;
    char *paths = evert__alloc(2 * size + RANDOM_NAME + 3);
    if (paths == NULL)
        return NULL;
    (void)evert__sys_random(&number, sizeof(number)); /* a name that is taken is not used */
    evert__format_string(paths, size + RANDOM_NAME, "%.*s.evert-%llx", (int)size, path,
                         (unsigned long long)number);
    char *folder = paths + size + RANDOM_NAME;
    evert__format_string(folder, size + 3, "%.*s.", (int)size, path);
    *ret_folder = folder;
    return paths;
}

/* A shield: an open that was given up might make the file when nobody is there to remove it. */
static int make_new(const char *path, mode_t mode)
{
    evert_scope shield;
    evert_shield_enter(&shield, EVERT_NEVER);
    int fd = evert_file_open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    int rc = evert_scope_leave(&shield, fd < 0 ? fd : 0);
    return rc < 0 ? rc : fd;
}

static int remove_new(const char *path)
{
    evert_scope shield;
    evert_shield_enter(&shield, EVERT_NEVER);
    return evert_scope_leave(&shield, evert_file_unlink(path));
}

static int fill(int fd, evert_bytes bytes)
{
    int rc = evert_file_write(fd, bytes.data, bytes.size, 0);
    if (rc == 0)
        rc = evert_file_sync(fd);
    int closed = evert_file_close(fd);
    return rc < 0 ? rc : closed;
}

static int sync_folder(const char *path)
{
    int fd = evert_file_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int rc = evert_file_sync(fd);
    evert__sys_close(fd);
    return rc == -EINVAL ? 0 : rc; /* a file system on which a folder needs none */
}

static int save(const char *path, const char *new_path, const char *folder, evert_bytes bytes,
                mode_t mode)
{
    int fd = make_new(new_path, mode);
    if (fd < 0)
        return fd;
    int rc = fill(fd, bytes);
    if (rc == 0)
        rc = evert_file_rename(new_path, path);
    if (rc < 0)
        (void)remove_new(new_path); /* a rename that was given up may have done it */
    return rc == 0 ? sync_folder(folder) : rc;
}

int evert_file_save(const char *path, evert_bytes bytes, mode_t mode)
{
    struct evert__task *self;
    const char *folder;
    int rc = evert__checkpoint(&self);
    if (rc < 0)
        return rc;
    char *new_path = make_paths(path, &folder);
    if (new_path == NULL)
        return -ENOMEM;
    rc = save(path, new_path, folder, bytes, mode);
    evert__free(new_path);
    return rc;
}
