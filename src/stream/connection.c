/* SPDX-License-Identifier: MIT */
#include "stream/connection.h"

#include <string.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/sys.h"
#include "stream/spare.h"

/*
 * The frames of a task that waits are in a page of its own, and of a thousand tasks no cache has
 * them, nor knows where the page is. So the processor is told here to fetch them, from the
 * registers that were saved below to the control block above, which is as near as this where the
 * frames between are small, and they come while the loop asks the kernel for the bytes: which
 * therefore looks at none of them before. Right before the switch it would be too late. They go to
 * the first level of the caches: with the second named, on an AMD processor each was fetched from
 * memory once more.
 */
static void fetch_frames(const struct evert__waiter *reader)
{
    enum { BELOW = 2 * EVERT__LINE, ABOVE = 5 * EVERT__LINE };
    const char *at = (const char *)reader;
#pragma GCC unroll 8 /* the jumps would cost as much as the fetches */
    for (int i = -BELOW; i <= ABOVE; i += EVERT__LINE)
        __builtin_prefetch(at + i);
}

static void tell_reader(evert_stream *s)
{
    if (s->awaited == 0) {
        evert__wake(s->reader, EVERT__INPUT_CAME);
        return;
    }
    fetch_frames(s->reader);
    evert__ready_push(s->loop, &s->step);
}

/* The same for what a protocol knows of its connection. */
static void tell_protocol(evert_stream *s)
{
    const char *at = (const char *)s->protocol;
    __builtin_prefetch(at);
    __builtin_prefetch(at + EVERT__LINE);
    evert__ready_push(s->loop, &s->step);
}

/* A stream that somebody reads has no protocol, and the line where that stands is not looked at. */
EVERT__HOT static void may_read(struct evert__source *source)
{
    evert_stream *s = EVERT__CONTAINER(source, evert_stream, source);
    if (s->closing != EVERT__OPEN)
        evert__close_step(s);
    else if (s->reader != NULL)
        tell_reader(s);
    else if (s->protocol != NULL)
        tell_protocol(s);
}

/* When the task that wrote waits; in the midst of closing, a turn later. */
EVERT__HOT static void flush(struct evert__ready *ready)
{
    evert_stream *s = EVERT__CONTAINER(ready, evert_stream, flush);
    if (s->closing != EVERT__OPEN)
        evert__close_step(s);
    else
        evert__output_start(s);
}

int evert__connection_new(evert_loop *loop, evert_stream **ret)
{
    evert_stream *s = evert__spare_get(loop);
    if (s == NULL)
        return -ENOMEM;
    memset(s, 0, sizeof(*s));
    s->loop = loop;
    s->fd.number = -1;
    evert__source_init(&s->source, &s->fd, EVERT__SOURCE_RECEIVE, may_read);
    s->flush.run = flush;
    s->step.run = evert__take_for_reader;
    s->open = EVERT__OPEN_WHOLE;
    s->line_limit = EVERT_LINE_LIMIT;
    s->close_limit = 2000;
    s->high = EVERT_HIGH_WATER;
    s->low = EVERT__LOW_WATER;
    *ret = s;
    return 0;
}

EVERT__HOT int evert__connection_accepted(evert_loop *loop, int number, bool is_tcp,
                                          evert_stream **ret)
{
    int rc = evert__connection_new(loop, ret);
    if (rc < 0) {
        evert__sys_close(number);
        return rc;
    }
    evert__fd_init(&(*ret)->fd, loop, number);
    (*ret)->fd.drained_by_short_read = is_tcp;
    return 0;
}

EVERT__HOT void evert__connection_free(evert_stream *s)
{
    evert__input_fini(s);
    evert__free(s->names);
    evert__spare_put(s->loop, s);
}

EVERT__HOT void evert_set_line_limit(evert_stream *s, size_t limit)
{
    s->line_limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
}

void evert_set_close_limit(evert_stream *s, evert_time span)
{
    const evert_time most = UINT32_MAX * EVERT_MILLISECOND;
    if (span > most - EVERT_MILLISECOND)
        s->close_limit = UINT32_MAX; /* which stands for none */
    else
        s->close_limit = span > 0 ? (uint32_t)((span - 1) / EVERT_MILLISECOND + 1) : 0;
}

evert_time evert__close_limit(const evert_stream *s)
{
    if (s->close_limit == UINT32_MAX)
        return EVERT_NEVER;
    return evert_after(s->close_limit * EVERT_MILLISECOND);
}
