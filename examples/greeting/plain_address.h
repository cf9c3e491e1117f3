/* SPDX-License-Identifier: MIT */
/*
 * Addresses for the programs that do without Evert: tcp://HOST:PORT, tcp://[IPV6]:PORT and
 * unix:///PATH. What cannot be connected to or listened on ends the program with a message.
 */
#ifndef PLAIN_ADDRESS_H
#define PLAIN_ADDRESS_H

#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static inline int open_socket(const struct sockaddr *at, socklen_t size, bool listening)
{
    const int yes = 1;
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -1;
    if (at->sa_family != AF_UNIX) { /* an accepted socket inherits TCP_NODELAY */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    }
    if (listening && bind(fd, at, size) == 0 && listen(fd, 4096) == 0) /* SOMAXCONN may be 128 */
        return fd;
    if (!listening && connect(fd, at, size) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static inline int open_tcp(const char *place, bool listening)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    char host[256], port[6];
    int fd = -1, end = 0, rc;

    if ((sscanf(place, "[%255[^]]]:%5[0-9]%n", host, port, &end) != 2 &&
         sscanf(place, "%255[^][:]:%5[0-9]%n", host, port, &end) != 2) ||
        place[end] != '\0' || atoi(port) > 65535)
        errx(1, "tcp://%s is not tcp://HOST:PORT", place);
    rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0)
        errx(1, "%s: %s", host, gai_strerror(rc));
    for (struct addrinfo *at = found; fd < 0 && at != NULL; at = at->ai_next)
        fd = open_socket(at->ai_addr, at->ai_addrlen, listening);
    freeaddrinfo(found);
    return fd;
}

static inline int open_unix(const char *path, bool listening)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(at.sun_path))
        errx(1, "%s: too long for the path of a socket", path);
    strcpy(at.sun_path, path);
    return open_socket((struct sockaddr *)&at, sizeof(at), listening);
}

static inline int open_address(const char *address, bool listening)
{
    int fd = -1;

    if (strncmp(address, "tcp://", 6) == 0)
        fd = open_tcp(address + 6, listening);
    else if (strncmp(address, "unix://", 7) == 0)
        fd = open_unix(address + 7, listening);
    else
        errx(1, "%s is neither tcp:// nor unix://", address);
    if (fd < 0)
        err(1, "%s %s", listening ? "listen on" : "connect to", address);
    return fd;
}

static inline int connect_to(const char *address)
{
    return open_address(address, false);
}

static inline int listen_on(const char *address)
{
    return open_address(address, true);
}

/* Tells where the listener really is: port 0 stands for one that the system chose. */
static inline void print_listening(int listener, const char *address)
{
    struct sockaddr_storage at = {0};
    socklen_t size = sizeof(at);
    char host[64], port[8];

    if (getsockname(listener, (struct sockaddr *)&at, &size) < 0)
        err(1, "getsockname");
    if (at.ss_family == AF_UNIX) {
        printf("listening on %s\n", address);
    } else {
        getnameinfo((struct sockaddr *)&at, size, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
        printf(at.ss_family == AF_INET6 ? "listening on tcp://[%s]:%s\n"
                                        : "listening on tcp://%s:%s\n",
               host, port);
    }
    fflush(stdout);
}

static inline void remove_socket_file(const char *address)
{
    if (strncmp(address, "unix://", 7) == 0)
        unlink(address + 7);
}

#endif
