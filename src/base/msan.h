/* SPDX-License-Identifier: MIT */
/*
 * What MemorySanitizer has to be told: of memory that the system has written by a function that it
 * does not know, and of memory that is used again and so holds nothing. Of a switch of stacks it
 * need not know: what it remembers goes by the address, and what it hands from a caller to the
 * called function is used up before anything can switch.
 */
#ifndef EVERT_SRC_BASE_MSAN_H
#define EVERT_SRC_BASE_MSAN_H

#include <stddef.h>

#include "base/sanitizer.h"

#ifdef EVERT__MSAN
#include <sanitizer/msan_interface.h>
#endif

/* The system has written here. */
static inline void evert__msan_written(const void *memory, size_t size)
{
    (void)memory;
    (void)size;
#ifdef EVERT__MSAN
    __msan_unpoison(memory, size);
#endif
}

/* The result of a call that has written here if it is 0. */
static inline int evert__msan_filled(int rc, const void *memory, size_t size)
{
    if (rc == 0)
        evert__msan_written(memory, size);
    return rc;
}

/* Whatever was written here means nothing any more. */
static inline void evert__msan_forget(void *memory, size_t size)
{
    (void)memory;
    (void)size;
#ifdef EVERT__MSAN
    __msan_poison(memory, size);
#endif
}

#endif
