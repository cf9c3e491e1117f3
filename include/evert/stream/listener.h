/* SPDX-License-Identifier: MIT */
/*
 * Listening, and serving each connection in a task of its own:
 *
 *     evert_listener *listener;
 *     int rc = evert_listen(&listener, "tcp://127.0.0.1:9999");
 *     if (rc < 0)
 *         return rc;
 *     return evert_serve(listener, greet, NULL);
 */
#ifndef EVERT_STREAM_LISTENER_H
#define EVERT_STREAM_LISTENER_H

#include <evert/base/api.h>
#include <evert/stream/stream.h>

EVERT_BEGIN

typedef struct evert_listener evert_listener;

/*
 * Listens on `address`: tcp://host:port (port 0 takes a free one; an empty host, or *, means every
 * address of this machine), unix:///path (a stale socket there is replaced), or unix://@name, an
 * abstract socket, which has no file (unix(7)). Waits only to look up a name. The listener is yours
 * to close. Errors: EVERT_EADDRESS, those of a lookup, and those of bind(2) and listen(2), such as
 * -EADDRINUSE.
 */
EVERT_API EVERT_CHECK int evert_listen(evert_listener **ret, const char *address);

/* The address it listens on, with its real port. Borrowed until close. */
EVERT_API const char *evert_listener_address(const evert_listener *listener);

/*
 * Waits for a connection; the stream is yours to close. When the process is out of descriptors it
 * goes on waiting, and tries again. EVERT_ECLOSED when the listener is closed meanwhile or the
 * program is ending, -EBUSY when another task is in here, -ECANCELED.
 */
EVERT_API EVERT_CHECK int evert_accept(evert_listener *listener, evert_stream **ret);

/* Stops listening and takes the listener; a Unix socket's file goes. NULL is fine. Never waits. */
EVERT_API void evert_listener_close(evert_listener *listener);

/*
 * Serves one connection: reads and writes, and returns. The stream is closed then, unless the
 * handler closed it, and the farewell takes no task. A negative result is logged, except EVERT_EOF,
 * which is how most end; so is what it wrote and could not be sent.
 */
typedef int evert_handler(evert_stream *stream, void *arg);

/*
 * Accepts connections for ever and runs `handler(stream, arg)` for each in a task of its own. Takes
 * the listener, also on failure. A handler's failure ends its connection only. Returns when its
 * scope is cancelled (-ECANCELED) or the listener fails, after all handlers have ended; they are
 * cancelled then. When evert_run() is told to end, it accepts no more, and lets handlers finish and
 * connections close for as long as the run's drain time allows: 0 if all handlers did, -ECANCELED
 * if that cut one short.
 */
#define evert_serve(listener, handler, arg) \
    evert_serve_at((listener), (handler), (arg), #handler, EVERT_PLACE)
EVERT_API EVERT_CHECK int evert_serve_at(evert_listener *listener, evert_handler *handler,
                                         void *arg, const char *name, const char *place);

EVERT_END

#endif
