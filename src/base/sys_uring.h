/* SPDX-License-Identifier: MIT */
/*
 * The seam to the system, for io_uring(7): as sys.h, over liburing. The queues themselves are
 * shared memory; what enters the kernel goes through here.
 */
#ifndef EVERT_SRC_BASE_SYS_URING_H
#define EVERT_SRC_BASE_SYS_URING_H

#include <liburing.h>

#include <evert/base/time.h>

#include "base/sys.h"

int evert__sys_uring_setup(struct io_uring *ring, unsigned entries, struct io_uring_params *params);
void evert__sys_uring_exit(struct io_uring *ring);
int evert__sys_uring_enable(struct io_uring *ring); /* for the thread that calls it */
int evert__sys_uring_probe(struct io_uring *ring, struct io_uring_probe *probe, unsigned count);
int evert__sys_uring_register_buffers(struct io_uring *ring, struct io_uring_buf_reg *buffers);

/* Submits what was prepared. Unlike a wait it has nothing completed that was submitted before. */
int evert__sys_uring_submit(struct io_uring *ring);

/* Submits what was prepared and waits for `count` completions; -ETIME when the time is over. */
int evert__sys_uring_enter(struct io_uring *ring, unsigned count, evert_time timeout);

/*
 * What the kernel does by itself for what stands in the ring, a test answers here: before it is
 * submitted, or handed on. Size is as in evert__sys_hook_fn.
 */
bool evert__sys_uring_answered(enum evert__sys_call call, size_t *size, ssize_t *result);

#endif
