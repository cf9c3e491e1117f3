/* SPDX-License-Identifier: MIT */
/*
 * The steps: parse, look up, and for each address a socket and a connect op. A failed attempt
 * closes its descriptor and goes on to the next address once the loop has let go of it, since until
 * then the kernel may still refer to `fd`, which they all use in turn.
 *
 * A Unix socket whose backlog is full answers EAGAIN and never tells when there is room
 * (connect(2)), so that attempt is made again by timer.
 */
#include "net/connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <evert/base/error.h>

#include "base/alloc.h"
#include "base/format.h"
#include "base/sys.h"
#include "base/time.h"

#define FIRST_PAUSE (2 * EVERT_MILLISECOND)
#define LONGEST_PAUSE (50 * EVERT_MILLISECOND)

static void try_next(struct evert__connector *c);

static struct evert__connector *of_op(struct evert__op *op)
{
    return EVERT__CONTAINER(op, struct evert__connector, op);
}

/* The end, whatever it is. Nothing refers to the connector any more when `done` is called. */
static void finish(struct evert__connector *c, int result)
{
    evert__free(c->addresses);
    c->addresses = NULL;
    c->result = result;
    if (c->starting)
        c->starting = false; /* start() sees that it is over */
    else
        c->done(c);
}

static void add_words(struct evert__connector *c, const char *what, int error)
{
    size_t length = strlen(c->words);
    evert__format_string(c->words + length, sizeof(c->words) - length, "%s%s%s", what,
                         *what != '\0' ? " " : "", evert_strerror(error));
}

/* One address failed; where there are several, the words name each. */
static void note_failure(struct evert__connector *c, int error)
{
    char words[EVERT__ADDRESS_WORDS] = "";
    const struct evert__address *a = &c->addresses->list[c->next - 1];
    size_t length = strlen(c->words);

    if (c->addresses->count > 1)
        evert__address_words((const struct sockaddr *)&a->storage, a->size, words);
    evert__format_string(c->words + length, sizeof(c->words) - length, "%s",
                         c->next == 1 ? "" : "; ");
    add_words(c, words[0] != '\0' ? words + strlen("tcp://") : "", error);
    c->result = error;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                          : ((const struct sockaddr_in *)address)->sin_port;
}

/*
 * Whether a TCP socket is connected to itself. That happens where nobody listens on a port of this
 * machine from which the kernel chooses those of clients: it may choose that very one, and then the
 * socket meets its own SYN as a simultaneous open (RFC 9293, section 3.5).
 */
static bool is_its_own_peer(int number, const struct sockaddr_storage *asked)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_size = sizeof(own), peer_size = sizeof(peer);
    if (evert__sys_getsockname(number, (struct sockaddr *)&own, &own_size) < 0 ||
        port_of(&own) != port_of(asked))
        return false;
    return evert__sys_getpeername(number, (struct sockaddr *)&peer, &peer_size) == 0 &&
           own_size == peer_size && memcmp(&own, &peer, own_size) == 0;
}

static void attempt_closed(struct evert__fd *fd)
{
    struct evert__connector *c = fd->owner;
    if (c->cancelled)
        finish(c, -ECANCELED);
    else
        try_next(c);
}

static void attempt_failed(struct evert__connector *c, int error)
{
    if (!c->cancelled)
        note_failure(c, error);
    c->starting = false;
    evert__fd_close(c->fd, attempt_closed);
    c->fd->owner = c;
}

static void connected(struct evert__connector *c, ssize_t result)
{
    static const int on = 1;
    if (result == 0 && c->endpoint.kind == EVERT__ENDPOINT_TCP &&
        is_its_own_peer(c->fd->number, &c->addresses->list[c->next - 1].storage)) {
        evert__fd_end_by_reset(c->fd); /* an orderly end would keep the port for a minute */
        result = -ECONNREFUSED;        /* as it is when the kernel chooses another port */
    }
    if (c->cancelled) {
        attempt_failed(c, -ECANCELED); /* a success that came too late */
    } else if (result == -EAGAIN) {
        c->starting = false;
        c->pause = c->pause == 0 ? FIRST_PAUSE : c->pause * 2;
        if (c->pause > LONGEST_PAUSE)
            c->pause = LONGEST_PAUSE;
        evert__timer_set(c->loop, &c->again, evert_after(c->pause));
    } else if (result < 0) {
        attempt_failed(c, (int)result);
    } else {
        if (c->endpoint.kind == EVERT__ENDPOINT_TCP) {
            (void)evert__sys_setsockopt(c->fd->number, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            c->fd->drained_by_short_read = true;
        }
        finish(c, 0);
    }
}

static void op_done(struct evert__op *op)
{
    connected(of_op(op), op->result);
}

static void start_op(struct evert__connector *c)
{
    const struct evert__address *a = &c->addresses->list[c->next - 1];
    c->op = (struct evert__op){.kind = EVERT__OP_CONNECT, .fd = c->fd, .done = op_done};
    c->op.connect.address = (const struct sockaddr *)&a->storage;
    c->op.connect.size = a->size;
    if (evert__op_start(&c->op))
        connected(c, c->op.result);
}

static void try_again(struct evert__ready *ready)
{
    start_op(EVERT__CONTAINER(ready, struct evert__connector, again.ready));
}

/* The next address; when there is none left, the last failure is the result. */
static void try_next(struct evert__connector *c)
{
    while (c->next < c->addresses->count) {
        int family = c->addresses->list[c->next++].storage.ss_family;
        int number = evert__sys_socket(family, SOCK_STREAM);
        if (number >= 0) {
            evert__fd_init(c->fd, c->loop, number);
            c->pause = 0;
            start_op(c);
            return;
        }
        note_failure(c, number);
    }
    finish(c, c->result);
}

static void looked_up(struct evert__lookup *lookup)
{
    struct evert__connector *c = EVERT__CONTAINER(lookup, struct evert__connector, lookup);
    if (lookup->result < 0) {
        add_words(c, "", lookup->result);
        finish(c, lookup->result);
        return;
    }
    c->addresses = lookup->addresses;
    try_next(c);
}

bool evert__connector_start(struct evert__connector *c, const char *address)
{
    char shown[EVERT__SHOWN];

    c->starting = true;
    c->again.ready.run = try_again;
    c->lookup.loop = c->loop;
    c->lookup.done = looked_up;
    evert__format_string(c->words, sizeof(c->words),
                         "connect %s: ", evert__address_shown(address, shown));
    int rc = evert__endpoint_parse(address, &c->endpoint);
    if (rc == 0 && c->endpoint.kind == EVERT__ENDPOINT_TCP && c->endpoint.host[0] == '\0')
        memcpy(c->endpoint.host, "localhost", sizeof("localhost"));
    if (rc < 0) {
        add_words(c, "", rc);
        c->result = rc;
        return true;
    }
    if (!evert__lookup_start(&c->lookup, &c->endpoint, false)) {
        c->starting = false;
        return false;
    }
    looked_up(&c->lookup);
    bool complete = c->addresses == NULL;
    c->starting = false;
    return complete;
}

bool evert__connector_cancel(struct evert__connector *c)
{
    c->cancelled = true;
    if (c->lookup.name != NULL) {
        evert__lookup_cancel(&c->lookup);
        return true;
    }
    if (evert__timer_is_set(&c->again)) {
        evert__timer_unset(c->loop, &c->again);
        attempt_failed(c, -ECANCELED);
    } else if (c->fd->number >= 0 && evert__op_cancel(&c->op)) {
        attempt_failed(c, -ECANCELED);
    }
    return false; /* the descriptor has to be let go of first */
}
