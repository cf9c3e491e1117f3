/* SPDX-License-Identifier: MIT */
/*
 * The resolver of a test: the library finds these two functions before those of the C library, so
 * that names have the addresses that a test wants, and are slow when it wants that. For one source
 * file of a program.
 */
#ifndef EVERT_TESTS_NET_NAMES_H
#define EVERT_TESTS_NET_NAMES_H

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Names: "both.test" has ::1 and 127.0.0.1, in this order; "many.test" has 20 times 127.0.0.1,
 * "none.test" is not known, and "slow.test" is 127.0.0.1 once names_open() was called.
 */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;       /* slow lookups may go on */
    int inside;      /* slow lookups that wait */
    int most_inside; /* at once */
    int passed;      /* lookups that came to an end */
} names = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct addrinfo *add_address(int family, int port, struct addrinfo *next)
{
    struct addrinfo *a = calloc(1, sizeof(*a) + sizeof(struct sockaddr_in6));
    struct sockaddr *address = (struct sockaddr *)(void *)(a + 1);
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons((in_port_t)port),
                               .sin6_addr = in6addr_loopback};
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((in_port_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};

    a->ai_family = family;
    a->ai_socktype = SOCK_STREAM;
    a->ai_addrlen = family == AF_INET ? sizeof(in) : sizeof(in6);
    memcpy(address, family == AF_INET ? (void *)&in : (void *)&in6, a->ai_addrlen);
    a->ai_addr = address;
    a->ai_next = next;
    return a;
}

static void wait_until_open(void)
{
    names.inside++;
    if (names.inside > names.most_inside)
        names.most_inside = names.inside;
    pthread_cond_broadcast(&names.changed);
    while (!names.open)
        pthread_cond_wait(&names.changed, &names.lock);
    names.inside--;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    int number = atoi(port), count = strcmp(host, "many.test") == 0 ? 20 : 1;
    (void)hints;
    *ret = NULL;
    pthread_mutex_lock(&names.lock);
    if (strcmp(host, "slow.test") == 0)
        wait_until_open();
    names.passed++;
    pthread_mutex_unlock(&names.lock);
    if (strcmp(host, "none.test") == 0)
        return EAI_NONAME;
    while (count-- > 0)
        *ret = add_address(AF_INET, number, *ret);
    if (strcmp(host, "both.test") == 0)
        *ret = add_address(AF_INET6, number, *ret);
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

/* From now on slow lookups wait. */
static inline void names_shut(void)
{
    pthread_mutex_lock(&names.lock);
    names.open = false;
    names.most_inside = names.passed = 0;
    pthread_mutex_unlock(&names.lock);
}

static inline void names_open(void)
{
    pthread_mutex_lock(&names.lock);
    names.open = true;
    pthread_cond_broadcast(&names.changed);
    pthread_mutex_unlock(&names.lock);
}

static inline int names_inside(void)
{
    pthread_mutex_lock(&names.lock);
    int count = names.inside;
    pthread_mutex_unlock(&names.lock);
    return count;
}

/* Blocks until so many slow lookups wait at once. False: they do not come to it. */
static inline bool names_wait(int count)
{
    struct timespec limit;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    pthread_mutex_lock(&names.lock);
    while (rc == 0 && names.inside < count)
        rc = pthread_cond_timedwait(&names.changed, &names.lock, &limit);
    pthread_mutex_unlock(&names.lock);
    return rc == 0;
}

#endif
