/* SPDX-License-Identifier: MIT */
/*
 * Where the library's memory comes from: malloc, unless a program sets an allocator of its own.
 * Coroutine stacks are not part of it; they are mapped from the system.
 */
#ifndef EVERT_BASE_ALLOC_H
#define EVERT_BASE_ALLOC_H

#include <stddef.h>

#include <evert/base/api.h>

EVERT_BEGIN

typedef struct evert_allocator {
    /*
     * As realloc(3): NULL memory allocates. The size is never 0. NULL says that there is no memory;
     * what was there is then as it was.
     */
    void *(*reallocate)(void *memory, size_t size, void *arg);
    void (*release)(void *memory, void *arg); /* never called with NULL */
    void *arg;
} evert_allocator;

/*
 * Uses `allocator` (copied) from now on, for the whole process; NULL goes back to malloc. Must be
 * called before anything else of the library is in use. Does not wait.
 */
EVERT_API void evert_set_allocator(const evert_allocator *allocator);

EVERT_END

#endif
