/* SPDX-License-Identifier: MIT */
#include "coro/describe.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/format.h"

enum { WORDS = 121 };

struct description {
    int rc;
    char words[WORDS];
};

int evert__fail(struct evert__task *task, int rc, const char *format, ...)
{
    struct description *d = (struct description *)(void *)task->description;
    va_list arguments;

    if (d == NULL)
        d = evert__alloc(sizeof(*d));
    if (d == NULL)
        return rc;
    d->rc = rc;
    va_start(arguments, format);
    evert__format_vstring(d->words, sizeof(d->words), format, arguments);
    va_end(arguments);
    task->description = (char *)d;
    return rc;
}

void evert__description_move(char **to, char **from, int rc)
{
    struct description *d = (struct description *)(void *)*from;
    if (d == NULL || d->rc != rc)
        return;
    evert__free(*to);
    *to = *from;
    *from = NULL;
}

EVERT__HOT void evert__description_free(char **description)
{
    evert__free(*description);
    *description = NULL;
}

const char *evert__description_of(const struct evert__task *task, int rc)
{
    const struct description *d = (const struct description *)(const void *)task->description;
    return d != NULL && d->rc == rc ? d->words : evert_strerror(rc);
}

const char *evert_describe(int rc)
{
    struct evert__task *self;
    return evert__self(&self) == 0 ? evert__description_of(self, rc) : evert_strerror(rc);
}
