/* SPDX-License-Identifier: MIT */
#include "base/sys_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/msan.h"
#include "base/sys_make.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

int evert__sys_file_open(int folder, const char *path, int flags, unsigned mode)
{
    MAKE(int, OPEN, NULL, openat(folder, path, flags | O_CLOEXEC, (mode_t)mode), true);
}

/* It closes also where a test has an answer, which stands for what the kernel would say of it. */
int evert__sys_file_close(int fd)
{
    int64_t answer = 0;
    bool answered = ASK(CLOSE, NULL, answer);
    int64_t result = close(fd) < 0 ? -errno : 0;
    if (answered)
        result = answer;
    return result == -EINTR ? 0 : (int)result;
}

ssize_t evert__sys_pread(int fd, void *buffer, size_t size, int64_t offset)
{
    MAKE(ssize_t, PREAD, &size, pread(fd, buffer, size, offset), true);
}

/* Not every C library that runs on a kernel with this call has it. */
static ssize_t read_without_waiting(int fd, void *buffer, size_t size, int64_t offset)
{
#ifdef SYS_preadv2
    struct iovec piece = {buffer, size};
    uint64_t place = (uint64_t)offset;
    ssize_t count = syscall(SYS_preadv2, fd, &piece, 1UL, (unsigned long)place,
                            (unsigned long)(place >> 32), RWF_NOWAIT);
    if (count > 0)
        evert__msan_written(buffer, (size_t)count);
    return count;
#else
    (void)fd, (void)buffer, (void)size, (void)offset;
    errno = ENOSYS;
    return -1;
#endif
}

ssize_t evert__sys_pread_now(int fd, void *buffer, size_t size, int64_t offset)
{
    MAKE(ssize_t, PREAD_NOW, &size, read_without_waiting(fd, buffer, size, offset), true);
}

ssize_t evert__sys_pwrite(int fd, const void *data, size_t size, int64_t offset)
{
    MAKE(ssize_t, PWRITE, &size, pwrite(fd, data, size, offset), true);
}

int evert__sys_sync(int fd, bool data_alone)
{
    MAKE(int, SYNC, NULL, data_alone ? fdatasync(fd) : fsync(fd), true);
}

static int get_status(int folder, const char *path, int flags, void *ret)
{
    int rc = (int)syscall(SYS_statx, folder, path, flags, (unsigned)EVERT__STATX_MASK, ret);
    return evert__msan_filled(rc, ret, EVERT__STATX_SIZE);
}

int evert__sys_statx(int folder, const char *path, int flags, void *ret)
{
    MAKE(int, STATX, NULL, get_status(folder, path, flags, ret), true);
}

int evert__sys_rename(const char *from, const char *to)
{
    MAKE(int, RENAME, NULL, rename(from, to), true);
}

int evert__sys_file_flags(int fd)
{
    MAKE(int, FCNTL, NULL, fcntl(fd, F_GETFL), true);
}

int evert__sys_set_file_flags(int fd, int flags)
{
    MAKE(int, FCNTL, NULL, fcntl(fd, F_SETFL, flags), true);
}

int evert__sys_has_offsets(int fd)
{
    MAKE(int, SEEK, NULL, lseek(fd, 0, SEEK_CUR) < 0 ? -1 : 0, true);
}
