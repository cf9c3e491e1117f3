/* SPDX-License-Identifier: MIT */
/*
 * The greeting on libevent, with bufferevents: an evbuffer finds the lines, and what is put into
 * the output is gathered, and written when the loop says that the socket takes it.
 */
#include "serve.h"

enum { NAME_LIMIT = 1024, FAREWELL_SECONDS = 2 };

static void drop(struct bufferevent *guest, void *unused)
{
    struct evbuffer *in = bufferevent_get_input(guest);

    (void)unused;
    evbuffer_drain(in, evbuffer_get_length(in));
}

static void end_output(struct bufferevent *guest, void *unused)
{
    (void)unused;
    shutdown(bufferevent_getfd(guest), SHUT_WR);
}

/*
 * To close with input unread would reset the connection, and destroy the last answer. The time is
 * of a silent peer, as libevent counts it.
 */
static void refuse(struct bufferevent *guest)
{
    const struct timeval limit = {.tv_sec = FAREWELL_SECONDS};

    evbuffer_add_printf(bufferevent_get_output(guest), "error: name too long\r\n");
    bufferevent_setcb(guest, drop, end_output, end_guest, NULL);
    bufferevent_set_timeouts(guest, &limit, NULL);
    drop(guest, NULL);
}

/* Without its end, a name can still be short enough if its CR has come and its LF has not. */
static bool is_too_long(struct evbuffer *in)
{
    size_t size = evbuffer_get_length(in);

    return size > NAME_LIMIT + 1 ||
           (size == NAME_LIMIT + 1 && evbuffer_pullup(in, -1)[NAME_LIMIT] != '\r');
}

static bool put_greeting(struct bufferevent *guest, const char *name, size_t size)
{
    struct evbuffer *out = bufferevent_get_output(guest);

    if (size > NAME_LIMIT)
        return false;
    evbuffer_add(out, "Hello, ", 7);
    evbuffer_add(out, name, size);
    evbuffer_add(out, "!\r\n", 3);
    return true;
}

static void greet(struct bufferevent *guest, void *unused)
{
    struct evbuffer *in = bufferevent_get_input(guest);
    bool fits = true;
    size_t size;
    char *name;

    (void)unused;
    while (fits && (name = evbuffer_readln(in, &size, EVBUFFER_EOL_CRLF_STRICT)) != NULL) {
        fits = put_greeting(guest, name, size);
        free(name);
    }
    if (!fits || is_too_long(in))
        refuse(guest);
    else
        hold_back(guest);
}

static void welcome(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                    int size, void *unused)
{
    struct bufferevent *guest = new_guest(listener, fd);

    (void)from, (void)size, (void)unused;
    bufferevent_setcb(guest, greet, go_on, end_guest, NULL);
    bufferevent_enable(guest, EV_READ);
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", welcome);
}
