/* SPDX-License-Identifier: MIT */
#include "stream/spare.h"

#include "base/alloc.h"
#include "base/asan.h"
#include "base/flat.h"

enum { KEPT = 256 };

struct spare {
    struct spare *next;
};

struct spares {
    struct evert__part part;
    struct spare *first;
    unsigned room; /* for how many more */
};

static struct spares *spares_of(const evert_loop *loop)
{
    return (struct spares *)loop->parts[EVERT__PART_SPARES];
}

static void spares_fini(struct evert__part *part, evert_loop *loop)
{
    struct spares *spares = EVERT__CONTAINER(part, struct spares, part);
    (void)loop;
    while (spares->first != NULL) {
        struct spare *spare = spares->first;
        spares->first = spare->next;
        evert__free(spare);
    }
    evert__free(spares);
}

/* NULL without memory: then none is kept. */
EVERT__COLD static struct spares *make_spares(evert_loop *loop)
{
    struct spares *spares = evert__alloc_zero(sizeof(*spares));
    if (spares == NULL)
        return NULL;
    spares->part.fini = spares_fini;
    spares->room = evert__frees_are_watched() ? 0 : KEPT;
    loop->parts[EVERT__PART_SPARES] = &spares->part;
    return spares;
}

EVERT__HOT evert_stream *evert__spare_get(const evert_loop *loop)
{
    struct spares *spares = spares_of(loop);
    if (spares == NULL || spares->first == NULL)
        return evert__alloc(sizeof(evert_stream));
    struct spare *spare = spares->first;
    spares->first = spare->next;
    spares->room++;
    return (evert_stream *)(void *)spare;
}

EVERT__HOT void evert__spare_put(evert_loop *loop, evert_stream *stream)
{
    struct spares *spares = spares_of(loop);
    if (spares == NULL)
        spares = make_spares(loop);
    if (spares == NULL || spares->room == 0) {
        evert__free(stream);
        return;
    }
    struct spare *spare = (struct spare *)(void *)stream;
    spare->next = spares->first;
    spares->first = spare;
    spares->room--;
}
