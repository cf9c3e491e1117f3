/* SPDX-License-Identifier: MIT */
/*
 * A processor guesses where a function returns to by the calls that it has seen. The kernel's own
 * calls, and a switch of stacks, make it forget them, so that after a system call and after a wait
 * each return on the way up is guessed wrong, which costs some twenty cycles. Measured at a request
 * and its answer, these were most of what the library cost. So what each request goes through has
 * few levels: its functions are written small, and put together by the compiler.
 */
#ifndef EVERT_SRC_BASE_FLAT_H
#define EVERT_SRC_BASE_FLAT_H

/* A line of the cache, in bytes. */
enum { EVERT__LINE = 64 };

/*
 * Puts it beside the others that each request goes through, or each connection: all of them lie in
 * few pages.
 */
#define EVERT__HOT __attribute__((hot))

/* Keeps it, and the way to it, out of their midst: most requests come without. */
#define EVERT__COLD __attribute__((cold, noinline))

/* As EVERT__HOT, and inlines into a function all that it calls in the same file, and so on. */
#define EVERT__FLAT __attribute__((flatten, hot))

#endif
