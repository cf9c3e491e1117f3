/* SPDX-License-Identifier: MIT */
/* What the servers on State Threads share: a thread of the library's for each connection. */
#ifndef PEERS_ST_SERVE_H
#define PEERS_ST_SERVE_H

#include "../../../examples/greeting/plain_address.h"

#include <st.h>

typedef void *thread_fn(void *fd);

static inline void start_guest(st_netfd_t fd, thread_fn *serve_guest)
{
    if (st_thread_create(serve_guest, fd, 0, 0) == NULL) {
        warn("a thread");
        st_netfd_close(fd);
    }
}

/*
 * By epoll, where State Threads was built with it; Debian's was not. By default it would wait by
 * select(2) then, which takes a thousand connections at the most.
 */
static inline bool choose_waiting(void)
{
    return st_set_eventsys(ST_EVENTSYS_ALT) == 0 &&
           (st_get_eventsys() == ST_EVENTSYS_ALT || st_set_eventsys(ST_EVENTSYS_POLL) == 0);
}

/* All of them in one thread of the kernel's. */
static inline void serve(const char *address, thread_fn *serve_guest)
{
    int listener = listen_on(address); /* with TCP_NODELAY, which what it accepts inherits */
    st_netfd_t fd, from;

    if (!choose_waiting() || st_init() < 0 || (from = st_netfd_open_socket(listener)) == NULL)
        err(1, "State Threads does not listen on %s", address);
    print_listening(listener, address);
    for (;;) { /* until SIGTERM ends the process */
        fd = st_accept(from, NULL, NULL, ST_UTIME_NO_TIMEOUT);
        if (fd != NULL) {
            start_guest(fd, serve_guest);
        } else {
            warn("accept");
            st_usleep(100000);
        }
    }
}

/* Blocks the thread until the kernel has taken all of it. */
static inline bool send_all(st_netfd_t fd, const char *data, size_t size)
{
    return st_write(fd, data, size, ST_UTIME_NO_TIMEOUT) == (ssize_t)size;
}

#endif
