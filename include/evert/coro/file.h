/* SPDX-License-Identifier: MIT */
/*
 * Files, without stopping the loop: a disk may make each of these calls wait, and then just the
 * calling task does. Files are plain descriptors, so all else of POSIX works on them, too.
 *
 *     int fd = evert_file_open("guests", O_RDONLY, 0);
 *     if (fd < 0)
 *         return fd;
 *     ssize_t size = evert_file_read(fd, buffer, sizeof(buffer), 0);
 *     evert_file_close(fd);
 *
 * What no disk is needed for does not wait: a read of what the system has in memory is a single
 * call of its, straight into the buffer. Everything else is done by a ring of the kernel's or by
 * threads, and takes some ten microseconds more than it would take by itself.
 *
 * A call returns 0 or more, or what the system call says that it is named after, negated; -ENOMEM;
 * -EAGAIN where no thread can be had; EVERT_ECONTEXT in a callback, EVERT_ECLOSED in a task's copy
 * in the child of a fork. In a cancelled scope it is -ECANCELED. A call that is cancelled while it
 * waits ends so at once if nobody has begun with it. No disk can be interrupted: a read, a write or
 * a sync that has begun ends when the disk has done with it, and what it comes to counts, so the
 * descriptor may be closed and the buffer used as soon as the call has returned. Opening, and
 * what else goes by a path, is given up, as it may hang for long; it may have been done, or still
 * be. A descriptor that comes too late is closed.
 *
 * For regular files, folders and disks. A pipe or a terminal is for streams: reading or writing one
 * here is -ESPIPE, and opening a FIFO does not wait for its other end.
 */
#ifndef EVERT_CORO_FILE_H
#define EVERT_CORO_FILE_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/types.h>

#include <evert/base/bytes.h>

EVERT_BEGIN

struct statx; /* <sys/stat.h> has it, with _GNU_SOURCE; or <linux/stat.h> */

/*
 * Opens a file: open(2). `mode` is for one that is made, and otherwise 0. Returns the descriptor,
 * which a program that is executed does not get (O_CLOEXEC). What is not there yet, a FIFO's other
 * end or somebody's lease on the file, is not waited for: -ENXIO, -EAGAIN.
 */
EVERT_API EVERT_CHECK int evert_file_open(const char *path, int flags, mode_t mode);

/* The same for a path that starts from a folder, a descriptor: openat(2). */
EVERT_API EVERT_CHECK int evert_file_open_at(int folder, const char *path, int flags, mode_t mode);

/*
 * Reads `size` bytes from `offset` on: pread(2). Returns how many; fewer only where the file ends,
 * so 0 at its end. On failure the buffer may hold a part of them.
 */
EVERT_API EVERT_CHECK ssize_t evert_file_read(int fd, void *buffer, size_t size, int64_t offset);

/*
 * Writes all of it at `offset`: pwrite(2); to a file opened with O_APPEND, always at its end.
 * Returns 0. On failure a part may have been written, from the beginning on. That it is on the disk
 * is for evert_file_sync() to say.
 */
EVERT_API EVERT_CHECK int evert_file_write(int fd, const void *data, size_t size, int64_t offset);

/* Waits until all that was written to the file is on the disk: fsync(2). */
EVERT_API EVERT_CHECK int evert_file_sync(int fd);

/* The same of its bytes and its size, but not of its times: fdatasync(2). */
EVERT_API EVERT_CHECK int evert_file_sync_data(int fd);

/* What there is to know of an open file: size, times, kind, owner (statx(2)). */
EVERT_API EVERT_CHECK int evert_file_stat(int fd, struct statx *ret);

/* The same of one by its path; `flags` as of statx(2), such as AT_SYMLINK_NOFOLLOW, or 0. */
EVERT_API EVERT_CHECK int evert_file_stat_at(int folder, const char *path, int flags,
                                             struct statx *ret);

/*
 * Closes a descriptor, always, also in a cancelled scope, and waits for that. An error tells of
 * what was written before: close(2). A negative descriptor is fine. Where a file was only read,
 * close(2) itself does as well, as a rule.
 */
EVERT_API int evert_file_close(int fd);

/* Gives a file another name, which may be another file's, whose place it takes: rename(2). */
EVERT_API EVERT_CHECK int evert_file_rename(const char *from, const char *to);

/* Takes away a name of a file, and the file with its last one: unlink(2). */
EVERT_API EVERT_CHECK int evert_file_unlink(const char *path);

/*
 * Reads a whole file into `buffer`, with a NUL behind it, and returns its length. EVERT_ELIMIT
 * where the file and the NUL need more than `size`.
 */
EVERT_API EVERT_CHECK ssize_t evert_file_load(const char *path, char *buffer, size_t size);

/*
 * Writes a whole file, so that whatever happens, a crash of the machine too, there is the old file
 * or the new one under that name, and never a part: it is written and synced under another name
 * beside it, and renamed. After a failure or a cancel either may be there. The new file has `mode`
 * (as of open(2)), and takes the place of a symbolic link.
 */
EVERT_API EVERT_CHECK int evert_file_save(const char *path, evert_bytes bytes, mode_t mode);

EVERT_END

#endif
