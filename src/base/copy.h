/* SPDX-License-Identifier: MIT */
/*
 * Copies of a few bytes. A call of memcpy(3) costs as much as all the rest of a small write; here
 * they go in two pieces, which may share bytes in the middle.
 */
#ifndef EVERT_SRC_BASE_COPY_H
#define EVERT_SRC_BASE_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { EVERT__FEW = 2 * sizeof(uint64_t) };

/* 1 to EVERT__FEW bytes. */
static inline void evert__copy_few(char *to, const char *from, size_t size)
{
    if (size >= sizeof(uint64_t)) {
        uint64_t first, last;
        memcpy(&first, from, sizeof(first));
        memcpy(&last, from + size - sizeof(last), sizeof(last));
        memcpy(to, &first, sizeof(first));
        memcpy(to + size - sizeof(last), &last, sizeof(last));
    } else if (size >= sizeof(uint32_t)) {
        uint32_t first, last;
        memcpy(&first, from, sizeof(first));
        memcpy(&last, from + size - sizeof(last), sizeof(last));
        memcpy(to, &first, sizeof(first));
        memcpy(to + size - sizeof(last), &last, sizeof(last));
    } else {
        char first = from[0], middle = from[size / 2], last = from[size - 1];
        to[0] = first;
        to[size / 2] = middle;
        to[size - 1] = last;
    }
}

#endif
