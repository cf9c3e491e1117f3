/* SPDX-License-Identifier: MIT */
/*
 * Protocols and factories, for programs in callbacks. A protocol is what knows how to talk on one
 * connection: a struct of functions, embedded first in a struct of yours, that the loop calls when
 * something happens there. A factory makes one for each connection:
 *
 *     static int echo(evert_protocol *protocol, evert_bytes data)
 *     {
 *         return evert_transport_put(protocol->transport, data);
 *     }
 *
 *     static const evert_protocol_ops echo_ops = {.data_received = echo};
 *     static evert_factory factory = {evert_build_protocol, &echo_ops};
 *
 *     rc = evert_listen_protocol(&listener, loop, "tcp://127.0.0.1:7", &factory);
 *
 * Nothing in these functions may wait. They are called from the loop, never from inside a call that
 * the protocol makes, except pause_writing(). An error that one of them returns is logged, and ends
 * its connection, and no other.
 */
#ifndef EVERT_STREAM_PROTOCOL_H
#define EVERT_STREAM_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

#include <evert/base/api.h>
#include <evert/base/bytes.h>
#include <evert/deferred/deferred.h>
#include <evert/loop/loop.h>
#include <evert/stream/listener.h>
#include <evert/stream/transport.h>

EVERT_BEGIN

typedef struct evert_factory evert_factory;

/* Any of these may be NULL, for nothing to be done. */
typedef struct evert_protocol_ops {
    size_t size; /* of your struct, for evert_build_protocol(); 0 for a bare evert_protocol */

    /* There is a connection: protocol->transport is set. A negative result aborts it. */
    int (*connection_made)(evert_protocol *protocol);

    /*
     * Bytes arrived, cut as they happened to come; they are borrowed for the call. A negative
     * result closes the connection.
     */
    int (*data_received)(evert_protocol *protocol, evert_bytes data);

    /*
     * Instead of data_received(), for who takes input apart: gets all that arrived and was not
     * consumed (evert_transport_consume()) yet, and what it leaves it gets again, once there is
     * more. So it needs no buffer of its own. One that leaves a megabyte loses the connection.
     */
    int (*input_received)(evert_protocol *protocol, evert_bytes input);

    /*
     * The peer has ended its side. With EVERT_KEEP_OPEN writing goes on; with 0, or without this
     * function, the connection is closed once all that was written has been sent.
     */
    int (*eof_received)(evert_protocol *protocol);

    /*
     * The connection is gone: protocol->transport is NULL. Called exactly once, and nothing after
     * it. `reason` is 0 for a clean end or an own close, -ECONNABORTED for an own abort, else the
     * error that ended it. From here on the protocol is yours to free, unless
     * evert_build_protocol() made it: then the library frees it afterwards, if it has not been
     * given another connection.
     */
    void (*connection_lost)(evert_protocol *protocol, int reason);

    /* More than the high-water mark is unsent, or no more than the low one any more. */
    void (*pause_writing)(evert_protocol *protocol);
    void (*resume_writing)(evert_protocol *protocol);
} evert_protocol_ops;

enum { EVERT_KEEP_OPEN = 1 };

struct evert_protocol {
    const evert_protocol_ops *ops;
    evert_transport *transport; /* NULL while it has none */
    evert_factory *factory;     /* that built it, or NULL */
    bool built;                 /* by the library, which frees it when it has lost its connection */
};

/*
 * Makes protocols. Embed it first in a struct of yours to share something among them; it has to
 * stay until the listener is closed and its last protocol has lost its connection.
 */
struct evert_factory {
    /* Makes a protocol, which has no connection, for a new one; NULL closes that. */
    evert_protocol *(*build_protocol)(evert_factory *factory);
    const void *ops; /* for the function above: what its protocols do */
};

/* For factories: makes a zeroed struct of ops->size bytes that begins with a protocol. */
EVERT_API evert_protocol *evert_build_protocol(evert_factory *factory);

/*
 * Frees a protocol that evert_build_protocol() made, which has no transport; needed only where that
 * was taken from it, by evert_transport_stream(), or where it never had one. NULL is fine.
 */
EVERT_API void evert_protocol_free(evert_protocol *protocol);

/*
 * Listens on `address`, as evert_listen(), and gives each connection to a protocol of `factory`,
 * which is borrowed until the listener is closed (evert_listener_close()). What can go wrong with
 * accepting is seen to (docs/rules.md, T11). NULL stands for the loop that runs on this thread, or
 * in blocking mode for the thread's own. Waits only to look up a name, so in a callback a name can
 * not be given: EVERT_ECONTEXT. Other errors as of evert_listen(). When the run is told to end it
 * accepts no more; it is yours to close all the same.
 */
EVERT_API EVERT_CHECK int evert_listen_protocol(evert_listener **ret, evert_loop *loop,
                                                const char *address, evert_factory *factory);

/*
 * Connects to `address`, as evert_connect(), and gives the connection to `protocol`, which is
 * borrowed until it has lost that, or the Deferred has failed. Returns the Deferred at once, yours
 * to free: its value is the evert_protocol, after that has heard connection_made(), whatever came
 * of it there. It fails with the errors of evert_connect(), with -ETIMEDOUT after 30 seconds, or
 * with -ECANCELED if it is cancelled or the run or the loop comes to its end; and then the protocol
 * hears nothing. Once connection_made() is called a cancel comes too late; if that gives the
 * connection away (evert_transport_stream()), the Deferred fails with -ECONNABORTED. Does not wait.
 * Fails with -ENOMEM, with EVERT_EALREADY for a protocol that has a transport (as does the
 * Deferred, if it got one meanwhile), and with EVERT_ECLOSED for a loop of the parent process,
 * and where the run, or the loop, has come to its end. NULL stands for a loop as above.
 */
EVERT_API EVERT_CHECK int evert_connect_protocol(evert_deferred **ret, evert_loop *loop,
                                                 const char *address, evert_protocol *protocol);

EVERT_END

#endif
