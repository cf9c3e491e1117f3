/* SPDX-License-Identifier: MIT */
/* Looking for the end of a line, or for another separator, in the input buffer. */
#ifndef EVERT_SRC_STREAM_FIND_H
#define EVERT_SRC_STREAM_FIND_H

#include <string.h>

#include "stream/connection.h"

/* Finds a separator in the buffer, from `from` on. */
static inline const char *evert__find(const struct evert__input *in, size_t from,
                                      evert_bytes separator)
{
    if (in->data == NULL)
        return NULL;
    const char *at = in->data + in->start + from, *end = in->data + in->end;
    if (separator.size != 2 || separator.data[1] != '\n')
        return memmem(at, (size_t)(end - at), separator.data, separator.size);
    /* The common case: look for the last byte, which is rarer than what may stand before it. */
    while (at < end) {
        const char *last = memchr(at, '\n', (size_t)(end - at));
        if (last == NULL)
            return NULL;
        if (last > in->data + in->start && last[-1] == separator.data[0])
            return last - 1;
        at = last + 1;
    }
    return NULL;
}

/* How many of the last bytes may be the beginning of a separator. */
static inline size_t evert__begun(const struct evert__input *in, evert_bytes separator)
{
    size_t size = evert__input_size(in), most = separator.size - 1;
    for (size_t n = size < most ? size : most; n > 0; n--) {
        if (memcmp(in->data + in->end - n, separator.data, n) == 0)
            return n;
    }
    return 0;
}

#endif
