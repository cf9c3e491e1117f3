/* SPDX-License-Identifier: MIT */
/*
 * What the loop's tests share: a loop for each case, waiting for what must happen (never sleeping
 * for luck), sockets of the loopback, an allocator that fails, and a receiver that takes all that a
 * source has, as a connection would.
 */
#ifndef EVERT_TESTS_LOOP_SUPPORT_H
#define EVERT_TESTS_LOOP_SUPPORT_H

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <evert/base/alloc.h>
#include <evert/base/error.h>
#include <evert/base/log.h>
#include <evert/loop/loop.h>

#include "base/sys.h"
#include "base/time.h"
#include "loop/loop.h"

#include "../base/seed.h"
#include "../support.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* How long a test waits for what must happen, before it fails. */
#define PATIENCE (20 * EVERT_SECOND)

static evert_loop *loop;

static inline int loop_setup(void **state)
{
    (void)state;
    return evert_loop_new(&loop);
}

static inline int loop_teardown(void **state)
{
    (void)state;
    evert__sys_set_hook(NULL);
    evert_set_allocator(NULL);
    evert_log_set_sink(NULL, NULL);
    evert_loop_free(loop);
    loop = NULL;
    return 0;
}

#define LOOP_CASE(name) cmocka_unit_test_setup_teardown(name, loop_setup, loop_teardown)

static inline void turn(evert_time span)
{
    assert_int_equal(evert_loop_turn(loop, span == 0 ? 0 : evert_after(span)), 0);
}

static inline void turns(int count)
{
    while (count-- > 0)
        turn(0);
}

/* Whether it is on epoll, and not on one that is adverse. */
static inline bool on_epoll(void)
{
    return strcmp(evert_loop_backend(loop), "epoll") == 0;
}

/* Whether the loop is on a ring, also on one that is adverse. */
static inline bool on_uring(void)
{
    return strstr(evert_loop_backend(loop), "uring") != NULL;
}

/* Runs turns until *what is at least `least`. */
static inline void run_until(const int *what, int least)
{
    evert_time limit = evert_after(PATIENCE);
    while (*what < least) {
        assert_true(evert__clock() < limit);
        turn(PATIENCE);
    }
}

/* ---- Callbacks ---- */

static inline void count_up(void *arg)
{
    ++*(int *)arg;
}

static inline void stop_loop(void *arg)
{
    (void)arg;
    evert_loop_stop(evert_loop_current());
}

/* A record of what was called, in order, a letter each. */
static char record[100];

static inline void note(void *letter)
{
    size_t size = strlen(record);
    assert_true(size + 1 < sizeof(record));
    record[size] = *(const char *)letter;
    record[size + 1] = '\0';
}

static inline int record_setup(void **state)
{
    record[0] = '\0';
    return loop_setup(state);
}

#define RECORD_CASE(name) cmocka_unit_test_setup_teardown(name, record_setup, loop_teardown)

/* ---- Memory ---- */

/* How many allocations succeed before the next fails; and which are out. Workers allocate, too. */
static struct {
    atomic_int left, out;
} memory;

static inline void *memory_reallocate(void *old, size_t size, void *arg)
{
    (void)arg;
    if (memory.left-- <= 0)
        return NULL;
    memory.out += old == NULL;
    return realloc(old, size);
}

static inline void memory_release(void *old, void *arg)
{
    (void)arg;
    memory.out--;
    free(old);
}

/* From now on `left` allocations succeed, and all after them fail. */
static inline void limit_memory(int left)
{
    static const evert_allocator limited = {memory_reallocate, memory_release, NULL};
    memory.left = left;
    memory.out = 0;
    evert_set_allocator(&limited);
}

/* ---- Sockets ---- */

static inline void unix_pair(int ret[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret), 0);
}

static inline int tcp_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    return fd;
}

/* A port that the kernel chose, bound; listened to where `backlog` is not 0. */
static inline int tcp_bound(int backlog, struct sockaddr_in *ret)
{
    int fd = tcp_socket();
    socklen_t size = sizeof(*ret);
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)ret, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &size), 0);
    if (backlog > 0)
        assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static inline void wait_for(int fd, short events)
{
    struct pollfd asked = {.fd = fd, .events = events};
    assert_int_equal(poll(&asked, 1, (int)(PATIENCE / EVERT_MILLISECOND)), 1);
}

/* A client that is connected, or about to be. */
static inline int tcp_client(const struct sockaddr_in *address)
{
    int fd = tcp_socket();
    int rc = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    assert_true(rc == 0 || errno == EINPROGRESS);
    return fd;
}

static inline void tcp_pair(int ret[2])
{
    struct sockaddr_in address;
    int one = 1, listener = tcp_bound(1, &address);
    ret[0] = tcp_client(&address);
    wait_for(listener, POLLIN);
    ret[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(ret[1] >= 0);
    wait_for(ret[0], POLLOUT);
    for (int i = 0; i < 2; i++)
        assert_int_equal(setsockopt(ret[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    close(listener);
}

/* Sends all of it from a test's own, plain end. */
static inline void plain_send(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            wait_for(fd, POLLOUT);
        assert_true(sent > 0 || errno == EAGAIN);
        if (sent > 0) {
            at += sent;
            size -= (size_t)sent;
        }
    }
}

/* ---- A receiver ---- */

struct receiver {
    struct evert__fd fd;
    struct evert__source source;
    size_t piece; /* asks for this many bytes at a time */
    char data[4096];
    size_t size;
    char (*expected)(size_t place); /* compares with this instead of keeping; counts in `size` */
    int wrong;                      /* bytes that were not as expected */
    int told;                       /* how often the source told */
    bool stays_new; /* in a ring: what comes is received into buffers, however much it is */
    int ended;      /* 1 after the end or an error */
    int closed;
    ssize_t result; /* what the last take gave: 0 or an error, once ended */
};

static inline void receiver_keep(struct receiver *r, const char *data, size_t size)
{
    if (r->expected == NULL) {
        assert_true(size <= sizeof(r->data) - r->size);
        memcpy(r->data + r->size, data, size);
    }
    for (size_t i = 0; r->expected != NULL && i < size; i++)
        r->wrong += data[i] != r->expected(r->size + i);
    r->size += size;
}

/* Takes until there is nothing more for now. */
static inline void receiver_take(struct receiver *r)
{
    do {
        for (;;) {
            char buffer[4096];
            if (r->stays_new)
                r->fd.ringed.takes = 0;
            ssize_t count = evert__source_take(&r->source, buffer, r->piece);
            if (count == -EAGAIN)
                break;
            if (count <= 0) {
                r->result = count;
                r->ended = 1;
                return;
            }
            assert_true((size_t)count <= r->piece);
            receiver_keep(r, buffer, (size_t)count);
        }
    } while (evert__source_arm(&r->source));
}

static inline void receiver_ready(struct evert__source *source)
{
    struct receiver *r = EVERT__CONTAINER(source, struct receiver, source);
    r->told++;
    assert_int_equal(r->closed, 0);
    receiver_take(r);
}

static inline void receiver_closed(struct evert__fd *fd)
{
    EVERT__CONTAINER(fd, struct receiver, fd)->closed++;
}

/* Takes the descriptor; `tcp` as the layer above would say it. */
static inline void receiver_init(struct receiver *r, int number, bool tcp)
{
    *r = (struct receiver){.piece = 4096};
    evert__fd_init(&r->fd, loop, number);
    r->fd.drained_by_short_read = tcp;
    evert__source_init(&r->source, &r->fd, EVERT__SOURCE_RECEIVE, receiver_ready);
}

static inline void receiver_close(struct receiver *r)
{
    evert__source_disarm(&r->source);
    evert__fd_close(&r->fd, receiver_closed);
    if (!loop->running &&
        !evert__loop_forked(loop)) /* else it stays until the test has seen that */
        run_until(&r->closed, 1);
}

/* Waits until so many bytes are there. */
static inline void receiver_wait(const struct receiver *r, size_t size)
{
    evert_time limit = evert_after(PATIENCE);
    while (r->size < size && !r->ended) {
        assert_true(evert__clock() < limit);
        turn(PATIENCE);
    }
    assert_int_equal(r->size, size);
}

/* ---- Processes ---- */

/* Waits for a child and gives its exit status; fails on one that a signal ended. */
static inline int exit_of(pid_t child)
{
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        print_error("the child was ended by signal %d\n", WTERMSIG(status));
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* In a child, where cmocka's assertions would jump into the parent's test. */
#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            (void)fprintf(stderr, "%s:%d: in the child: not so: %s\n", __FILE__, __LINE__, #what); \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#endif
