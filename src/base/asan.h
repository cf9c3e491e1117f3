/* SPDX-License-Identifier: MIT */
/*
 * What AddressSanitizer has to be told of memory that a pool keeps: that nobody may look at it
 * until it is taken again. Without that, a use of what was given back would not be seen. And
 * whether a pool had better keep none.
 */
#ifndef EVERT_SRC_BASE_ASAN_H
#define EVERT_SRC_BASE_ASAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/sanitizer.h"

#ifdef EVERT_VALGRIND
#include <valgrind/valgrind.h>
#endif

#ifdef EVERT__ASAN
#include <sanitizer/asan_interface.h>
#endif

/*
 * Whether a tool runs that, of a use after the end, says where the memory was freed: it has to be,
 * for that.
 */
static inline bool evert__frees_are_watched(void)
{
#ifdef EVERT__ASAN
    return true;
#elif defined(EVERT_VALGRIND)
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

static inline void evert__asan_hide(const void *begin, size_t size)
{
    (void)begin;
    (void)size;
#ifdef EVERT__ASAN
    __asan_poison_memory_region(begin, size);
#endif
}

static inline void evert__asan_show(const void *begin, size_t size)
{
    (void)begin;
    (void)size;
#ifdef EVERT__ASAN
    __asan_unpoison_memory_region(begin, size);
#endif
}

#endif
