/* SPDX-License-Identifier: MIT */
/* What the servers with a thread of the kernel's for each connection share. */
#ifndef PEERS_THREAD_SERVE_H
#define PEERS_THREAD_SERVE_H

#include "../../../examples/greeting/plain_address.h"

#include <pthread.h>
#include <stdint.h>

typedef void guest_fn(int fd);

static guest_fn *serve_guest;

static inline void *run_guest(void *fd)
{
    serve_guest((int)(intptr_t)fd);
    close((int)(intptr_t)fd);
    return NULL;
}

static inline void start_guest(int fd, const pthread_attr_t *attributes)
{
    pthread_t thread;
    int rc = pthread_create(&thread, attributes, run_guest, (void *)(intptr_t)fd);

    if (rc != 0) {
        warnx("pthread_create: %s", strerror(rc));
        close(fd);
    }
}

static inline void serve(const char *address, guest_fn *served_by)
{
    int listener = listen_on(address), fd;
    pthread_attr_t attributes;

    serve_guest = served_by;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 512 * 1024);
    print_listening(listener, address);
    for (;;) { /* until SIGTERM ends the process */
        fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            start_guest(fd, &attributes);
        } else {
            warn("accept");
            usleep(100000);
        }
    }
}

static inline bool send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

#endif
