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

/*
 * Goes back by a jump, where the processor remembers the last target, and not by a return, which it
 * guesses wrong here: this has called the kernel, or was left for another stack and come back to.
 * Not for what does so only at times, since then the returns above are guessed wrong.
 */
#if defined(__x86_64__) && !defined(EVERT_SWITCH_UCONTEXT) && defined(__has_attribute)
#if __has_attribute(function_return)
#define EVERT__JUMPS_BACK __attribute__((function_return("thunk-extern")))
#endif
#endif
#ifndef EVERT__JUMPS_BACK
#define EVERT__JUMPS_BACK
#endif

#endif
