/* SPDX-License-Identifier: MIT */
/*
 * A processor guesses where a function returns to by the calls that it has seen. The kernel's own
 * calls, and a switch of stacks, make it forget them, so that after a system call and after a wait
 * each return on the way up is guessed wrong, which costs some twenty cycles, and the first of them
 * up to 170. Measured at a request and its answer, these were most of what the library cost. So
 * what each request goes through has few levels: its functions are written small, and put together
 * by the compiler. And they go back by jumps, as is said below.
 */
#ifndef EVERT_SRC_BASE_FLAT_H
#define EVERT_SRC_BASE_FLAT_H

/* A line of the cache, in bytes. */
enum { EVERT__LINE = 64 };

/*
 * Puts it beside the others that each request goes through, or each connection: all of them lie in
 * few pages. It begins with a line: where in the lines they begin is else for each of them what
 * those before it have left, and with that alone the time of a connection changes by 2 %.
 */
#define EVERT__HOT __attribute__((hot, aligned(EVERT__LINE)))

/* Keeps it, and the way to it, out of their midst: most requests come without. */
#define EVERT__COLD __attribute__((cold, noinline))

/* As EVERT__HOT, and inlines into a function all that it calls in the same file, and so on. */
#define EVERT__FLAT __attribute__((flatten)) EVERT__HOT

/*
 * The library's functions go back by a jump (src/meson.build), of which the processor remembers the
 * last targets. Measured, that is less also where by the order of calls a return would be right.
 * This one goes back by a return all the same: it is called many times between two calls to the
 * kernel, and calls nothing that jumps back, behind which its own return would be guessed wrong.
 */
#if defined(__x86_64__) && defined(__has_attribute)
#if __has_attribute(function_return)
#define EVERT__RETURNS __attribute__((function_return("keep")))
#endif
#endif
#ifndef EVERT__RETURNS
#define EVERT__RETURNS
#endif

#endif
