/* SPDX-License-Identifier: MIT */
/* What the raw greeting servers share: the names in a piece of input, and their answers. */
#ifndef BENCH_RAW_GREETING_H
#define BENCH_RAW_GREETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

enum { NAME_LIMIT = 1024, FAREWELL_MS = 2000 };

/* How much longer than the input its answers may be: of empty names, 2 bytes in, 10 bytes out. */
enum { WORST = 5 };

/* The beginning of a name, whose end has not come. */
struct name {
    char *data; /* or NULL */
    uint16_t size;
};

/* The end of the line's name, or NULL when it has not come. */
static inline char *find_line_end(char *line, char *end)
{
    char *cr = line;

    while (cr < end && (cr = memchr(cr, '\r', (size_t)(end - cr))) != NULL) {
        if (cr + 1 < end && cr[1] == '\n')
            return cr;
        cr++;
    }
    return NULL;
}

/* Without its end, a name can still be short enough if its CR has come and its LF has not. */
static inline bool is_too_long(const char *name, size_t size, bool ended)
{
    if (ended || size <= NAME_LIMIT)
        return size > NAME_LIMIT;
    return size > NAME_LIMIT + 1 || name[NAME_LIMIT] != '\r';
}

static inline bool keep_name(struct name *kept, const char *name, size_t size)
{
    if (size == 0) {
        free(kept->data);
        kept->data = NULL;
    } else {
        if (kept->data == NULL && (kept->data = malloc(NAME_LIMIT + 1)) == NULL)
            return false;
        memcpy(kept->data, name, size);
    }
    kept->size = (uint16_t)size;
    return true;
}

/*
 * Answers the names in the input, which begins with what was kept, and keeps the beginning of the
 * last one. Gives the end of the answers; NULL: there is no memory.
 */
static inline char *answer_names(struct name *kept, char *input, size_t size, char *out,
                                 bool *too_long)
{
    char *name = input, *end = input + size, *stop;

    while ((stop = find_line_end(name, end)) != NULL && stop - name <= NAME_LIMIT) {
        out = mempcpy(out, "Hello, ", 7);
        out = mempcpy(out, name, (size_t)(stop - name));
        out = mempcpy(out, "!\r\n", 3);
        name = stop + 2;
    }
    *too_long = is_too_long(name, (size_t)((stop != NULL ? stop : end) - name), stop != NULL);
    if (*too_long)
        out = stpcpy(out, "error: name too long\r\n");
    return keep_name(kept, name, *too_long ? 0 : (size_t)(end - name)) ? out : NULL;
}

static inline uint32_t milliseconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000 + (uint32_t)(now.tv_nsec / 1000000);
}

#endif
