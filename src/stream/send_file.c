/* SPDX-License-Identifier: MIT */
/*
 * Sending a piece of a file, in steps.
 *
 * sendfile(2) hands pages of the kernel's memory to the socket. What is not in memory it reads from
 * the disk first, and the whole loop stands still meanwhile. So before each step the kernel is
 * asked whether the first byte and the last are there (RWF_NOWAIT), which costs a hundredth of the
 * step. If not, a worker reads the step, and it is sent from what that read: so there is no doubt
 * that it is there, and files that sendfile(2) cannot take need no other way. The worker has the
 * kernel read ahead besides, so that the steps that follow are found in memory.
 *
 * A small piece is read into the queue, where it is in memory. That is one call of the system in
 * the place of four, and what was written before it goes out in the same send.
 */
#include <evert/stream/transfer.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "base/sys_file.h"
#include "stream/read_in.h"
#include "stream/write.h"

enum {
    STEP = 131072,
    PAGE_BITS = 12, /* the smallest that there are */
};

struct sending {
    struct evert__waiter waiter; /* holds the write side, and waits for a worker */
    evert_stream *stream;
    struct evert__task *self;
    int file;
    bool to_end;
    bool by_reading; /* the kernel cannot tell what is in memory, or not send from there */
    bool in_memory;  /* all of it is: it is a file system of memory */
    int64_t offset, left, sent;
    struct evert__read_in read_in;
};

/* ---- In memory, or not ---- */

/* The numbers are in statfs(2); the header with their names does not come with every C library. */
static const uint32_t TMPFS = 0x01021994, RAMFS = 0x858458f6;

static bool is_in_memory(int file)
{
    struct statfs fs;
    if (evert__sys_fstatfs(file, &fs) < 0)
        return false;
    uint32_t type = (uint32_t)fs.f_type; /* signed, and of the size of a word */
    return type == TMPFS || type == RAMFS;
}

/* The kernel cannot tell whether it would have to wait. */
static bool is_untold(ssize_t count)
{
    return count == -EOPNOTSUPP || count == -ENOSYS;
}

/* Whether sending this would wait for no disk. What else is wrong with the file, sending says. */
static bool is_there(struct sending *f, size_t size)
{
    char byte;
    int64_t last = f->offset + (int64_t)size - 1;
    if (f->in_memory || f->by_reading)
        return f->in_memory && !f->by_reading;
    ssize_t count = evert__sys_pread_now(f->file, &byte, 1, f->offset);
    if (count > 0 && last >> PAGE_BITS != f->offset >> PAGE_BITS)
        count = evert__sys_pread_now(f->file, &byte, 1, last);
    if (!is_untold(count))
        return count != -EAGAIN;
    f->in_memory = is_in_memory(f->file);
    f->by_reading = !f->in_memory;
    return f->in_memory;
}

/* ---- A step ---- */

/* So many bytes were handed over; none: the file ends here. */
static int took(struct sending *f, int64_t count)
{
    f->offset += count;
    f->left -= count;
    f->sent += count;
    if (count > 0)
        return 0;
    f->left = 0;
    return f->to_end ? 0 : EVERT_EINCOMPLETE;
}

static int send_from_cache(struct sending *f, size_t size)
{
    ssize_t count = evert__fd_send_file(&f->stream->fd, f->file, f->offset, size);
    if (count == -EAGAIN)
        return evert__write_await_room(f->stream, f->self);
    if (count == -EINVAL || count == -ENOSYS) {
        f->by_reading = true;
        return 0;
    }
    return count < 0 ? (int)count : took(f, count);
}

static void was_read_in(struct evert__read_in *read_in)
{
    evert__wake(&EVERT__CONTAINER(read_in, struct sending, read_in)->waiter, 0);
}

static bool stop_reading_in(struct evert__waiter *waiter)
{
    evert__read_in_abandon(&EVERT__CONTAINER(waiter, struct sending, waiter)->read_in);
    return true;
}

/* Has a worker read it: into memory that is the caller's, if that is not NULL. */
static int read_in(struct sending *f, size_t size)
{
    evert_stream *s = f->stream;
    f->waiter = (struct evert__waiter){0};
    f->waiter.cancel = stop_reading_in;
    f->read_in = (struct evert__read_in){
        .loop = s->loop, .done = was_read_in, .file = f->file, .offset = f->offset, .size = size};
    int rc = evert__read_in_start(&f->read_in);
    if (rc < 0)
        f->waiter.done = true; /* so that nobody ends a wait that is none */
    if (rc != 0)
        return rc < 0 ? rc : 0;
    s->writer = &f->waiter;
    evert__connection_hold(s);
    evert__wait(f->self, &f->waiter);
    return evert__write_after_wait(s, f->self, &f->waiter);
}

static int send_by_reading(struct sending *f, size_t size)
{
    size_t sent = 0;
    int rc = read_in(f, size);
    ssize_t count = f->read_in.result;
    evert__write_hold(f->stream, &f->waiter);
    if (rc == 0 && count > 0)
        rc = evert__write_memory(f->stream, f->self, f->read_in.memory, (size_t)count, &sent);
    else if (rc == 0)
        rc = count < 0 ? (int)count : took(f, 0);
    if (sent > 0)
        (void)took(f, (int64_t)sent);
    evert__free(f->read_in.memory);
    f->read_in.memory = NULL;
    return rc;
}

/* ---- The whole ---- */

static int send_in_steps(struct sending *f)
{
    evert_stream *s = f->stream;
    f->waiter.done = true;
    int rc = evert__write_await(s, f->self, 0);
    s->in_steps = true;
    while (rc == 0 && f->left > 0) {
        evert__write_hold(s, &f->waiter);
        size_t size = f->left < STEP ? (size_t)f->left : STEP;
        rc = is_there(f, size) ? send_from_cache(f, size) : send_by_reading(f, size);
        if (rc == 0 && f->left > 0)
            rc = evert__write_go_on(s, f->self, size);
    }
    s->in_steps = false;
    s->writer = NULL;
    if (rc == -ECANCELED && f->sent > 0 && s->closing == EVERT__OPEN)
        evert__output_break(s, rc); /* half a message is worse than none */
    return rc;
}

/* A piece that is in memory, as a small write. 1: it was not to be had so. */
static int send_small(struct sending *f)
{
    evert_stream *s = f->stream;
    char *memory = evert__large_get(s->loop);
    int rc = 1;
    if (memory == NULL)
        return 1;
    ssize_t count = evert__sys_pread_now(f->file, memory, (size_t)f->left, f->offset);
    if (count == f->left)
        rc = evert__write_small(s, f->self, memory, (size_t)count);
    evert__large_put(s->loop, memory);
    return rc;
}

/* How much there is to its end, as far as that can be known. */
static void find_end(struct sending *f)
{
    struct stat status;
    f->to_end = true;
    f->left = INT64_MAX - f->offset;
    if (evert__sys_fstat(f->file, &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_size > f->offset)
        f->left = status.st_size - f->offset;
}

static int send_piece(struct sending *f)
{
    int rc = 1;
    if (f->left == EVERT_TO_END)
        find_end(f);
    if (f->left <= EVERT__MUCH)
        rc = send_small(f);
    return rc > 0 ? send_in_steps(f) : rc;
}

/* Whether there may be such a piece in any file. */
static bool is_piece(int64_t offset, int64_t size)
{
    return offset >= 0 && size >= 0 && (size == EVERT_TO_END || size <= INT64_MAX - offset);
}

int evert_send_file(evert_stream *s, int file, int64_t offset, int64_t size)
{
    struct sending sending = {.stream = s, .file = file, .offset = offset, .left = size};
    int rc = evert__write_begin(s, &sending.self);
    if (rc == 0 && !is_piece(offset, size))
        rc = -EINVAL;
    if (rc < 0)
        return evert__write_failed(s, rc);
    if (size > 0) {
        evert__connection_hold(s); /* it may be closed meanwhile */
        rc = send_piece(&sending);
        if (rc < 0)
            rc = evert__write_failed(s, rc);
        evert__connection_release(s);
    }
    if (rc == 0)
        evert__completed(sending.self);
    return rc;
}
