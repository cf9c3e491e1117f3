/* SPDX-License-Identifier: MIT */
/* How the wrappers of system calls are made; for these alone. */
#ifndef EVERT_SRC_BASE_SYS_MAKE_H
#define EVERT_SRC_BASE_SYS_MAKE_H

#include "base/sys.h"

bool evert__sys_ask(enum evert__sys_call call, const void *site, size_t *size, int64_t *result);

/*
 * The body of a wrapper: ask the hook, else make the call; again after EINTR where `again` says so.
 * A macro, since the address of the wrapper's caller, which names the site, is only to be had in
 * the wrapper itself.
 */
#define ASK(name, size, result) \
    (evert__sys_hooked() &&     \
     evert__sys_ask(EVERT__SYS_##name, __builtin_return_address(0), size, &(result)))
#define MAKE(type, name, size, call, again)       \
    int64_t result;                               \
    do {                                          \
        if (!ASK(name, size, result)) {           \
            result = (call);                      \
            if (__builtin_expect(result >= 0, 1)) \
                break;                            \
            result = -errno;                      \
        }                                         \
    } while ((again) && result == -EINTR);        \
    return (type)result

/* The same of a call that gives the negated error number itself. */
#define CALL(name, call)              \
    do {                              \
        int64_t result;               \
        if (!ASK(name, NULL, result)) \
            result = (call);          \
        return (int)result;           \
    } while (0)

#endif
