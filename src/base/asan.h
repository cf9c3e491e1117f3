/* SPDX-License-Identifier: MIT */
/*
 * What AddressSanitizer has to be told of memory that a pool keeps: that nobody may look at it
 * until it is taken again. Without that, a use of what was given back would not be seen.
 */
#ifndef EVERT_SRC_BASE_ASAN_H
#define EVERT_SRC_BASE_ASAN_H

#include <stddef.h>

#include "base/sanitizer.h"

#ifdef EVERT__ASAN
#include <sanitizer/asan_interface.h>
#endif

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
