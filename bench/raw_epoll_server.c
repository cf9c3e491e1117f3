/* SPDX-License-Identifier: MIT */
/*
 * The greeting server straight on epoll, as fast as one thread can be made without giving up any
 * of the contract: the baseline that Evert is measured against.
 *
 *     raw_epoll_server [ADDRESS]
 *
 * All connections share one input and one output buffer: a batch of pipelined names costs one recv
 * and one send, and an idle connection holds nothing but its entry in the table. Only the beginning
 * of a name whose end has not come, and answers that the kernel did not take, are kept in memory of
 * their own; while there are such answers nothing is read, so a peer that does not listen is not
 * listened to.
 *
 * Of connections that are made and closed 64 at a time, other forms were tried, and are alike
 * within 2 %: one accept or up to 16 for each event of a listener that tells level-triggered,
 * accepting after all that was ready was served, and asking for EPOLLOUT from the beginning. Of
 * those that come one by one, the listener must not be asked for one more than there are: that took
 * 7 % of the processor time.
 */
#include "raw.h"
#include "raw_greeting.h"

enum { INPUT_SIZE = 32 * 1024 };

struct connection {
    struct name name;
    struct unsent *unsent; /* answers that the kernel did not take, or NULL */
    TAILQ_ENTRY(connection) link;
    uint32_t deadline; /* of the farewell: milliseconds, wrapping */
    bool in_farewell;  /* the last answer is given, the rest of the input is dropped */
};

static struct connection connections[CONNECTION_LIMIT]; /* by descriptor; unused pages are free */
static TAILQ_HEAD(, connection) farewells = TAILQ_HEAD_INITIALIZER(farewells); /* by deadline */

static char input[INPUT_SIZE];
static char output[WORST * INPUT_SIZE];

static int descriptor(const struct connection *c)
{
    return (int)(c - connections);
}

static void end_connection(int fd)
{
    struct connection *c = &connections[fd];

    free(c->name.data);
    free(c->unsent);
    if (c->in_farewell)
        TAILQ_REMOVE(&farewells, c, link);
    *c = (struct connection){0};
    close_connection(fd);
}

/*
 * To close with input unread is to reset the connection, and a reset destroys answers on their
 * way. So the input is read and dropped until the peer ends or the deadline has come.
 */
static void begin_farewell(struct connection *c)
{
    c->in_farewell = true;
    c->deadline = milliseconds_now() + FAREWELL_MS;
    TAILQ_INSERT_TAIL(&farewells, c, link);
    if (c->unsent == NULL)
        shutdown(descriptor(c), SHUT_WR);
}

static enum progress answer(struct connection *c, size_t size)
{
    bool too_long;
    char *out = answer_names(&c->name, input, size, output, &too_long);

    if (out == NULL)
        return IS_OVER;
    if (out > output && !send_or_keep(descriptor(c), &c->unsent, output, (size_t)(out - output)))
        return IS_OVER;
    if (too_long)
        begin_farewell(c);
    return c->unsent != NULL && !c->in_farewell ? MUST_WAIT : GOES_ON;
}

static enum progress receive(struct connection *c, uint32_t events)
{
    size_t kept = c->name.size, room = INPUT_SIZE - kept;
    enum progress progress = GOES_ON;
    ssize_t n = raw_recv(descriptor(c), input + kept, room);

    if (n <= 0)
        return n < 0 && errno == EAGAIN ? MUST_WAIT : IS_OVER;
    if (!c->in_farewell) {
        if (kept > 0)
            memcpy(input, c->name.data, kept);
        progress = answer(c, kept + (size_t)n);
    }
    if (progress == GOES_ON && short_is_all(events) && (size_t)n < room)
        return MUST_WAIT;
    return progress;
}

static enum progress send_rest(struct connection *c)
{
    enum progress progress = send_unsent(descriptor(c), &c->unsent);

    if (progress == GOES_ON && c->in_farewell)
        shutdown(descriptor(c), SHUT_WR);
    return progress;
}

static void serve_connection(int fd, uint32_t events)
{
    struct connection *c = &connections[fd];
    enum progress progress = c->unsent != NULL ? send_rest(c) : GOES_ON;

    if (progress == MUST_WAIT && c->in_farewell)
        progress = GOES_ON; /* the input need not wait for the output any more */
    for (int round = 0; round < ROUNDS && progress == GOES_ON; round++)
        progress = receive(c, events);
    if (progress == GOES_ON && !watch_for(fd, c->unsent != NULL ? edges | EPOLLOUT : edges))
        progress = IS_OVER;
    if (progress == IS_OVER)
        end_connection(fd);
}

/* Ends the farewells that have lasted long enough; returns the milliseconds to the next, or -1. */
static int end_farewells(void)
{
    struct connection *c;
    int32_t left;

    while ((c = TAILQ_FIRST(&farewells)) != NULL) {
        left = (int32_t)(c->deadline - milliseconds_now());
        if (left > 0)
            return left;
        end_connection(descriptor(c));
    }
    return -1;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "tcp://127.0.0.1:9999";

    open_server(address);
    serve(end_farewells);
    remove_socket_file(address);
    return 0;
}
