/* SPDX-License-Identifier: MIT */
/*
 * A run of bytes somewhere else: where it begins and how many there are. It owns nothing, may hold
 * any byte, NUL included, and is not NUL-terminated. It is passed by value.
 */
#ifndef EVERT_BASE_BYTES_H
#define EVERT_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <evert/base/api.h>

EVERT_BEGIN

typedef struct evert_bytes {
    const char *data;
    size_t size;
} evert_bytes;

/* The bytes of a string, without its NUL. Borrows the string. */
static inline evert_bytes evert_bytes_of(const char *string)
{
    evert_bytes bytes = {string, strlen(string)};
    return bytes;
}

/* Whether both hold the same bytes. */
static inline bool evert_bytes_equal(evert_bytes a, evert_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

EVERT_END

#endif
