/* SPDX-License-Identifier: MIT */
/*
 * Error codes. A function that can fail returns an int or ssize_t: zero or positive is success, a
 * negative number is what went wrong. -1 to -4095 are the system's codes negated (-ECONNREFUSED);
 * Evert's own begin at -4096. errno is never used, and never touched on purpose.
 */
#ifndef EVERT_BASE_ERROR_H
#define EVERT_BASE_ERROR_H

#include <errno.h>

#include <evert/base/api.h>

EVERT_BEGIN

enum {
    EVERT_EOF = -4096,         /* the peer ended its side, cleanly: no more will come */
    EVERT_EINCOMPLETE = -4097, /* the end came in the middle of a line or of a counted read */
    EVERT_ELIMIT = -4098,      /* longer than the limit, or than the buffer given for it */
    EVERT_ECONTEXT = -4099,    /* a call that waits, made where nothing may wait: a callback */
    EVERT_EALREADY = -4100,    /* done once already; once is all there is */
    EVERT_ESTOPPED = -4101,    /* the loop was stopped before the coroutine was complete */
    EVERT_ECLOSED = -4102,     /* the loop or the listener was closed, or is another process's */
    EVERT_ENONAME = -4103,     /* the host name does not exist, or has no address */
    EVERT_ERESOLVE = -4104,    /* the host name could not be looked up now */
    EVERT_EADDRESS = -4105,    /* not an address: neither tcp://host:port nor unix:///path */
    EVERT_ESCOPE = -4106,      /* the scope was left, or scopes were left out of order */
    EVERT_EFORMAT = -4107      /* a conversion that the wire formatter does not know */
};

/*
 * The code in words, for people ("Connection refused"). Never NULL; the text is static. Safe to
 * call from any thread; does not wait.
 */
EVERT_API const char *evert_strerror(int error);

/*
 * The code's name, for logs and programs ("ECONNREFUSED", "EVERT_EOF"); "UNKNOWN" for a code that
 * has none. Never NULL; the text is static. Safe to call from any thread; does not wait.
 */
EVERT_API const char *evert_error_name(int error);

EVERT_END

#endif
