/* SPDX-License-Identifier: MIT */
/*
 * The greeting server with a thread for each connection. Lighter than processes, but every thread
 * is the kernel's to schedule, and what threads share must be locked. (These share nothing.)
 *
 *     thread_server [ADDRESS]
 */
#include "plain_address.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

enum {
    NAME_LIMIT = 1024,
    STACK_SIZE = 64 * 1024, /* greet() needs 11 KiB of it; the default would be 8 MiB */
};

static bool send_all(int fd, const char *data, size_t size)
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

/*
 * Answers every whole line in `in` and leaves there the beginning of the next one. Returns the end
 * of what it wrote to `out`, which is at most five times as much: 10 bytes for an empty name's 2.
 */
static char *answer_lines(char *in, size_t *used, char *out)
{
    char *line = in, *stop;

    while ((stop = memmem(line, *used, "\r\n", 2)) != NULL) {
        out = stpcpy(out, "Hello, ");
        out = mempcpy(out, line, (size_t)(stop - line));
        out = stpcpy(out, "!\r\n");
        *used -= (size_t)(stop + 2 - line);
        line = stop + 2;
    }
    memmove(in, line, *used);
    return out;
}

/* The name can still be short enough if its CR has come and its LF has not. */
static bool is_too_long(const char *name, size_t size)
{
    return size > NAME_LIMIT + 1 || (size == NAME_LIMIT + 1 && name[NAME_LIMIT] != '\r');
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/*
 * To close with input unread is to reset the connection, and a reset destroys answers on their
 * way. So this reads and drops for a second, and waits in the last read for one more at most.
 */
static void say_farewell(int fd)
{
    const struct timeval second = {.tv_sec = 1};
    double end = seconds_now() + 1;
    char dropped[4096];

    shutdown(fd, SHUT_WR);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
    while (seconds_now() < end && recv(fd, dropped, sizeof(dropped), 0) > 0)
        ;
}

static void greet(int fd)
{
    char in[NAME_LIMIT + 2], out[5 * sizeof(in)];
    size_t used = 0;
    ssize_t n;

    while ((n = recv(fd, in + used, sizeof(in) - used, 0)) > 0) {
        used += (size_t)n;
        char *end = answer_lines(in, &used, out);
        bool too_long = is_too_long(in, used);
        if (too_long)
            end = stpcpy(end, "error: name too long\r\n");
        if (!send_all(fd, out, (size_t)(end - out)))
            return;
        if (too_long) {
            say_farewell(fd);
            return;
        }
    }
}

static void *run_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;

    greet(fd);
    close(fd);
    return NULL;
}

static void start_connection(int fd, const pthread_attr_t *attributes)
{
    pthread_t thread;
    int rc = pthread_create(&thread, attributes, run_connection, (void *)(intptr_t)fd);

    if (rc != 0) {
        warnx("pthread_create: %s", strerror(rc));
        close(fd);
    }
}

static void *run_listener(void *arg)
{
    int listener = (int)(intptr_t)arg, fd;
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    for (;;) {
        fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            start_connection(fd, &attributes);
        } else {
            warn("accept");
            usleep(100000); /* out of descriptors or memory: until some connections end */
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "tcp://127.0.0.1:9999";
    int listener = listen_on(address), signal;
    pthread_t thread;
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* in the threads too, which inherit it */
    if (pthread_create(&thread, NULL, run_listener, (void *)(intptr_t)listener) != 0)
        errx(1, "no thread for the listener");
    print_listening(listener, address);
    sigwait(&ends, &signal);
    remove_socket_file(address);
    return 0; /* which ends every thread */
}
