/* SPDX-License-Identifier: MIT */
/*
 * The input buffer. It is as small as one chunk until a line, or a counted read, needs more, and is
 * given back as soon as a read waits with nothing in it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "stream/connection.h"

/* Room for what the largest of the usual reads wants, in one take. */
enum { LARGEST_USUAL = 65536 };

void evert__input_free(evert_stream *s)
{
    if (s->in.capacity == EVERT__CHUNK)
        evert__chunk_put(s->loop, (struct evert__chunk *)(void *)s->in.data);
    else
        evert__free(s->in.data);
    s->in = (struct evert__input){0};
}

int evert__input_make_room(evert_stream *s, size_t size)
{
    struct evert__input *in = &s->in;
    size_t used = evert__input_size(in), capacity = (size_t)2 * EVERT__CHUNK;

    if (in->data != NULL && in->capacity >= size) {
        memmove(in->data, in->data + in->start, used);
    } else {
        if (size > SIZE_MAX / 2)
            return -ENOMEM;
        while (capacity < size)
            capacity *= 2;
        char *data = evert__alloc(capacity);
        if (data == NULL)
            return -ENOMEM;
        if (in->data != NULL) {
            memcpy(data, in->data + in->start, used);
            evert__input_free(s);
        }
        in->data = data;
        in->capacity = capacity;
    }
    in->start = 0;
    in->end = used;
    return 0;
}

void evert__input_fini(evert_stream *s)
{
    if (s->in.data != NULL)
        evert__input_free(s);
#ifdef EVERT_DEBUG
    evert__free(s->view);
    s->view = NULL;
#endif
}
