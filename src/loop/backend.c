/* SPDX-License-Identifier: MIT */
/*
 * Choosing a back end. EVERT_BACKEND lists names in order of preference, and the first that can be
 * made here is taken.
 *
 * Any error may mean that one cannot be. What refuses io_uring says so in its own way: EPERM,
 * EACCES or ENOSYS in a sandbox, EINVAL in a kernel that is too old, ENOMEM where too little memory
 * may be locked; who knows only some of these fails on the others. Nor has a shortage of the
 * program's own to be told apart: it meets the next one too, whose error is then the outcome.
 *
 * A name that is none is an error wherever it stands. It would else be found only on the machine
 * where those before it cannot be had.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <evert/base/error.h>

#include "base/log.h"
#include "loop/loop.h"

#ifndef EVERT_URING
/* Evert was built without liburing: as if the kernel had no such call. */
static int is_not_there(evert_loop *loop)
{
    (void)loop;
    return -ENOSYS;
}

const struct evert__backend evert__backend_uring = {.name = "uring", .init = is_not_there};
#endif

static const struct evert__backend *const all[] = {
    &evert__backend_epoll,   &evert__backend_poll,          &evert__backend_uring,
    &evert__backend_adverse, &evert__backend_adverse_uring,
};

enum { COUNT = sizeof(all) / sizeof(all[0]) };

/* Its place in the list of all, or COUNT. */
static size_t find(const char *name, size_t size)
{
    size_t i = 0;
    while (i < COUNT && (strncmp(name, all[i]->name, size) != 0 || all[i]->name[size] != '\0'))
        i++;
    return i;
}

static bool all_are_known(const char *list)
{
    for (;;) {
        size_t size = strcspn(list, ",");
        if (find(list, size) == COUNT) {
            evert__log(EVERT_LOG_ERROR,
                       "EVERT_BACKEND: \"%.*s\" is none of epoll, poll, uring, adverse, "
                       "adverse-uring",
                       (int)size, list);
            return false;
        }
        if (list[size] == '\0')
            return true;
        list += size + 1;
    }
}

static void tell_once(size_t place, int error)
{
    static atomic_bool told[COUNT];
    if (!atomic_exchange(&told[place], true))
        evert__log(EVERT_LOG_WARNING,
                   "EVERT_BACKEND: %s cannot be used here: %s; the next is tried", all[place]->name,
                   evert_strerror(error));
}

int evert__backend_init(evert_loop *loop)
{
    const char *list = secure_getenv("EVERT_BACKEND");
    if (list == NULL || *list == '\0') {
        loop->backend = all[0];
        return loop->backend->init(loop);
    }
    if (!all_are_known(list))
        return -EINVAL;
    for (;;) {
        size_t size = strcspn(list, ","), place = find(list, size);
        loop->backend = all[place];
        int rc = loop->backend->init(loop);
        if (rc == 0 || list[size] == '\0')
            return rc;
        tell_once(place, rc);
        list += size + 1;
    }
}

const char *evert_loop_backend(const evert_loop *loop)
{
    return loop->backend->name;
}
