/* SPDX-License-Identifier: MIT */
/* The seam to the system, for files: as sys.h. */
#ifndef EVERT_SRC_BASE_SYS_FILE_H
#define EVERT_SRC_BASE_SYS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The size of a struct statx (statx(2)), which not every C library has. */
enum { EVERT__STATX_SIZE = 256 };

/* What of it is asked for: all that statx(2) calls basic, and when the file was made. */
enum { EVERT__STATX_MASK = 0xfff };

int evert__sys_file_open(int folder, const char *path, int flags, unsigned mode); /* CLOEXEC */
int evert__sys_file_close(int fd); /* what it says is about the file; the number is gone */
ssize_t evert__sys_pread(int fd, void *buffer, size_t size, int64_t offset);

/*
 * Reads what needs no wait for a disk (RWF_NOWAIT in preadv2(2)); -EAGAIN: nothing does not. Where
 * the file system, or the kernel, cannot tell: -EOPNOTSUPP or -ENOSYS.
 */
ssize_t evert__sys_pread_now(int fd, void *buffer, size_t size, int64_t offset);

ssize_t evert__sys_pwrite(int fd, const void *data, size_t size, int64_t offset);
int evert__sys_sync(int fd, bool data_alone);
int evert__sys_statx(int folder, const char *path, int flags, void *ret);
int evert__sys_rename(const char *from, const char *to);

/* Of an open file, without waiting. */
int evert__sys_file_flags(int fd); /* as of open(2) */
int evert__sys_set_file_flags(int fd, int flags);
int evert__sys_has_offsets(int fd); /* 0; -ESPIPE of a pipe, a socket, a terminal */

#endif
