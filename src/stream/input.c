/* SPDX-License-Identifier: MIT */
/*
 * The input buffer. It is as small as one chunk until a line, or a counted read, needs more, and is
 * given back as soon as a read waits with nothing in it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "stream/connection.h"

EVERT__HOT void evert__input_free_large(const evert_loop *loop, const struct evert__input *in)
{
    if (in->capacity == EVERT__LARGE)
        evert__large_put(loop, in->data);
    else
        evert__free_lines(in->data);
}

/* Which size a buffer for so much has: that of a chunk, or a power of two. */
static size_t capacity_for(size_t size)
{
    size_t capacity = 8192;
    if (size <= EVERT__CHUNK)
        return EVERT__CHUNK;
    while (capacity < size)
        capacity *= 2;
    return capacity;
}

static char *new_buffer(evert_stream *s, size_t capacity)
{
    if (capacity == EVERT__CHUNK)
        return (char *)evert__chunk_get(s->loop);
    if (capacity == EVERT__LARGE)
        return evert__large_get(s->loop);
    return evert__alloc_lines(capacity);
}

/* Another buffer, with what there is, for which it has to be large enough. */
EVERT__HOT static int copy(evert_stream *s, size_t capacity, struct evert__input *ret)
{
    size_t used = evert__input_size(&s->in);
    char *data = new_buffer(s, capacity);
    if (data == NULL)
        return -ENOMEM;
    if (s->in.data != NULL)
        memcpy(data, s->in.data + s->in.start, used);
    *ret = (struct evert__input){.data = data, .end = used, .capacity = capacity};
    return 0;
}

EVERT__HOT static int move(evert_stream *s, size_t capacity)
{
    struct evert__input moved;
    int rc = copy(s, capacity, &moved);
    if (rc < 0)
        return rc;
    if (s->in.data != NULL)
        evert__input_free(s);
    s->in = moved;
    return 0;
}

EVERT__HOT int evert__input_make_room(evert_stream *s, size_t size)
{
    struct evert__input *in = &s->in;
    size_t used = evert__input_size(in);

    if (in->data != NULL && in->capacity >= size) {
        memmove(in->data, in->data + in->start, used);
        in->start = 0;
        in->end = used;
        return 0;
    }
    if (size > SIZE_MAX / 2)
        return -ENOMEM;
    size_t capacity = capacity_for(size);
    if (used == 0 && capacity < EVERT__LARGE && evert__large_is_free(s->loop))
        capacity = EVERT__LARGE;
    return move(s, capacity);
}

EVERT__HOT void evert__input_shrink(evert_stream *s)
{
    const struct evert__input *in = &s->in;
    evert__input_release(s);
    if (in->data == NULL || in->capacity != EVERT__LARGE)
        return;
    size_t capacity = capacity_for(evert__input_size(in));
    if (capacity < EVERT__LARGE)
        (void)move(s, capacity); /* or it stays where it is */
}

int evert__input_leave(evert_stream *s)
{
    struct evert__input rest = {0};
    size_t size = evert__input_size(&s->in);
    int rc = size > 0 ? copy(s, capacity_for(size), &rest) : 0;
    if (rc < 0)
        return rc;
    s->in = rest;
    s->in_call = false;
    return 0;
}
