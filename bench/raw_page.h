/* SPDX-License-Identifier: MIT */
/*
 * What a coroutine with a stack of its own needs at the least, for raw C, which has none: a page
 * for each connection, as far from the next as the stacks of Evert's tasks are. One line of it is
 * fetched before each receive, as Evert fetches the frames of the task that waits, and written
 * behind it. Only the programs called `page` do so (BENCH_PAGE), and beside those without they tell
 * what the way to such a page takes, whosever it is.
 */
#ifndef BENCH_RAW_PAGE_H
#define BENCH_RAW_PAGE_H

#ifdef BENCH_PAGE
#include <err.h>
#include <stddef.h>
#include <sys/mman.h>

enum { PAGES = 1 << 14, PAGE_DISTANCE = 188 * 1024 }; /* see src/coro/stack.c */
enum { LINE = 64, LINES = 32 };                       /* not the same line of all pages */

static inline char *line_of(int fd)
{
    static char *pages;

    if (pages == NULL)
        pages = mmap(NULL, (size_t)PAGES * PAGE_DISTANCE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        err(1, "mmap");
    return pages + (size_t)fd % PAGES * PAGE_DISTANCE + (size_t)fd % LINES * LINE;
}

static inline void fetch_page(int fd)
{
    __builtin_prefetch(line_of(fd), 1);
}

static inline void touch_page(int fd)
{
    *(volatile char *)line_of(fd) = 1;
}
#else
static inline void fetch_page(int fd)
{
    (void)fd;
}

static inline void touch_page(int fd)
{
    (void)fd;
}
#endif

#endif
