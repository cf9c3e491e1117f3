/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the net and stream layers share. The peer of a stream is often a plain socket
 * that the test drives itself, so that it can cut, reset and half-close at will; whatever waits for
 * such a peer lets the loop run meanwhile, and looks for the event, never for the clock.
 */
#ifndef EVERT_TESTS_STREAM_SUPPORT_H
#define EVERT_TESTS_STREAM_SUPPORT_H

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <evert/stream/listener.h>
#include <evert/stream/stream.h>

#include "base/alloc.h"
#include "stream/connection.h"
#include "stream/spare.h"

#include "../base/seed.h"
#include "../coro/support.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* How long a test waits for what must happen, before it fails. */
#define PATIENCE (20 * EVERT_SECOND)

enum kind { TCP, UNIX };

/* ---- Checks ---- */

#define check_count(call, wanted) check_count_at((call), (wanted), #call, __FILE__, __LINE__)

static inline void check_count_at(ssize_t count, ssize_t wanted, const char *call, const char *file,
                                  int line)
{
    if (count == wanted)
        return;
    print_error("%s gave %zd (%s), not %zd (%s)\n", call, count, evert_error_name((int)count),
                wanted, evert_error_name((int)wanted));
    _fail(file, line);
}

#define check_bytes(bytes, wanted) check_bytes_at((bytes), (wanted), __FILE__, __LINE__)

static inline void check_bytes_at(evert_bytes bytes, const char *wanted, const char *file, int line)
{
    if (evert_bytes_equal(bytes, evert_bytes_of(wanted)))
        return;
    print_error("%zu bytes \"%.*s\", not \"%s\"\n", bytes.size, (int)bytes.size, bytes.data,
                wanted);
    _fail(file, line);
}

/* ---- A test's own loop, which keeps nothing yet ---- */

static inline int new_loop(void **state)
{
    return evert_loop_new((evert_loop **)state);
}

static inline int free_loop(void **state)
{
    evert_loop_free((evert_loop *)*state);
    return 0;
}

#define with_own_loop(test) cmocka_unit_test_setup_teardown(test, new_loop, free_loop)

/* ---- Memory ---- */

/* So that each new connection needs some: what is kept of those that ended is given back. */
static inline void free_spares(const evert_loop *loop)
{
    evert_stream *spare;
    take_memory_away();
    while ((spare = evert__spare_get(loop)) != NULL)
        evert__free(spare);
    give_memory_back();
}

/* ---- Waiting for what must happen ---- */

static inline bool over_at(evert_time limit)
{
    return evert__clock() > limit;
}

/* Waits, while others run, until `condition` holds. For tests inside a loop and outside. */
#define wait_until(condition)                          \
    do {                                               \
        evert_time wait_limit = evert_after(PATIENCE); \
        while (!(condition)) {                         \
            assert_false(over_at(wait_limit));         \
            let_run();                                 \
        }                                              \
    } while (0)

/* Lets others run, and other processes as well; also in a cancelled scope. */
static inline void let_run(void)
{
    evert_scope shield;
    evert_shield_enter(&shield, EVERT_NEVER);
    check_rc(evert_sleep(50 * EVERT_MICROSECOND), 0);
    check_rc(evert_scope_leave(&shield, 0), 0);
}

/* Lets the tasks that are ready run some turns; also in a cancelled scope. */
static inline void turns(int count)
{
    evert_scope shield;
    evert_shield_enter(&shield, EVERT_NEVER);
    while (count-- > 0)
        check_rc(evert_yield(), 0);
    check_rc(evert_scope_leave(&shield, 0), 0);
}

/* ---- Plain sockets ---- */

static inline void set_size(int fd, int which, int size)
{
    assert_int_equal(setsockopt(fd, SOL_SOCKET, which, &size, sizeof(size)), 0);
}

static inline int plain_socket(enum kind kind)
{
    int family = kind == TCP ? AF_INET : AF_UNIX;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    return fd;
}

static inline bool has_events(int fd, short events)
{
    struct pollfd asked = {.fd = fd, .events = events};
    return poll(&asked, 1, 0) == 1 && (asked.revents & events) != 0;
}

/* A listening socket on a port that the kernel chose; with an address for evert_connect(). */
static inline int plain_listener(int backlog, char address[64])
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(in);
    int fd = plain_socket(TCP);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    assert_int_equal(listen(fd, backlog), 0);
    snprintf(address, 64, "tcp://127.0.0.1:%d", ntohs(in.sin_port));
    return fd;
}

static inline int port_of(const char *address)
{
    return atoi(strrchr(address, ':') + 1);
}

static inline struct sockaddr_un unix_address(const char *address)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", address + strlen("unix://"));
    return un;
}

/* Connects a plain socket to an address of Evert's; it is there, or about to be. */
static inline int plain_connect(const char *address)
{
    int rc, fd = plain_socket(strncmp(address, "unix", 4) == 0 ? UNIX : TCP);
    if (strncmp(address, "unix", 4) == 0) {
        struct sockaddr_un un = unix_address(address);
        rc = connect(fd, (struct sockaddr *)&un, sizeof(un));
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_addr = {htonl(INADDR_LOOPBACK)},
                                 .sin_port = htons((uint16_t)port_of(address))};
        rc = connect(fd, (struct sockaddr *)&in, sizeof(in));
    }
    assert_true(rc == 0 || errno == EINPROGRESS);
    return fd;
}

static inline int plain_accept(int listener)
{
    int fd;
    wait_until((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
    return fd;
}

static inline void plain_pair(enum kind kind, int ret[2])
{
    char address[64];
    if (kind == UNIX) {
        int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
        assert_int_equal(socketpair(AF_UNIX, type, 0, ret), 0);
        return;
    }
    int one = 1, listener = plain_listener(1, address);
    ret[0] = plain_connect(address);
    ret[1] = plain_accept(listener);
    wait_until(has_events(ret[0], POLLOUT));
    for (int i = 0; i < 2; i++)
        assert_int_equal(setsockopt(ret[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    close(listener);
}

/* Sends all of it, waiting for room. False: the other end is gone. */
static inline bool peer_send(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t count = send(fd, at, size, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN)
            return false;
        if (count < 0) {
            wait_until(has_events(fd, POLLOUT | POLLERR | POLLHUP));
            continue;
        }
        at += count;
        size -= (size_t)count;
    }
    return true;
}

static inline void peer_say(int fd, const char *words)
{
    assert_true(peer_send(fd, words, strlen(words)));
}

/* Receives until `size` bytes are there. Fewer: the end came, or an error (told negated alone). */
static inline ssize_t peer_receive(int fd, void *buffer, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t count = recv(fd, (char *)buffer + got, size - got, 0);
        if (count == 0)
            break;
        if (count > 0)
            got += (size_t)count;
        else if (errno == EAGAIN)
            wait_until(has_events(fd, POLLIN));
        else
            return got > 0 ? (ssize_t)got : -errno;
    }
    return (ssize_t)got;
}

/* What comes next is this, and nothing else so far. */
#define peer_hears(fd, words) peer_hears_at((fd), (words), __FILE__, __LINE__)

static inline void peer_hears_at(int fd, const char *words, const char *file, int line)
{
    char heard[4096];
    size_t size = strlen(words);
    assert_true(size < sizeof(heard));
    check_count_at(peer_receive(fd, heard, size), (ssize_t)size, words, file, line);
    check_bytes_at((evert_bytes){heard, size}, words, file, line);
}

/* Nothing more comes but the end. */
static inline void peer_hears_end(int fd)
{
    char byte;
    check_count(peer_receive(fd, &byte, 1), 0);
}

/* Closes with a reset. */
static inline void peer_reset(int fd)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(fd);
}

/* How many bytes the kernel has for whoever reads this descriptor. */
static inline size_t arrived(int fd)
{
    int count = 0;
    assert_int_equal(ioctl(fd, FIONREAD, &count), 0);
    return (size_t)count;
}

/* Waits until the kernel has all that was sent before, and the end or the reset behind it. */
static inline void wait_arrived(int fd, size_t size)
{
    wait_until(arrived(fd) >= size);
}

static inline void wait_ended(int fd)
{
    wait_until(has_events(fd, POLLRDHUP | POLLHUP | POLLERR));
}

/* An address that never answers: its queue of newcomers is full, and nobody accepts. */
struct silence {
    int listener, first;
    char address[64];
};

static inline struct silence silence_open(void)
{
    struct silence s;
    s.listener = plain_listener(0, s.address);
    s.first = plain_connect(s.address);
    wait_until(has_events(s.first, POLLOUT) && has_events(s.listener, POLLIN));
    return s;
}

static inline void silence_close(struct silence *s)
{
    close(s->first);
    close(s->listener);
}

/* ---- Streams ---- */

/* Makes a stream of a connected socket, which it takes. */
static inline evert_stream *stream_on(int fd, enum kind kind)
{
    evert_stream *s;
    check_rc(evert__connection_accepted(self()->loop, fd, kind == TCP, &s), 0);
    return s;
}

/* A stream, and the plain socket at its other end. */
struct ends {
    evert_stream *s;
    int peer;
};

static inline struct ends make_ends(enum kind kind)
{
    int fds[2];
    plain_pair(kind, fds);
    return (struct ends){stream_on(fds[0], kind), fds[1]};
}

/*
 * The same with small buffers in the kernel, so that a peer that does not read is soon felt. Not
 * too small for TCP, where a window that many tiny segments have closed is opened by timers only.
 */
static inline struct ends make_narrow_ends(enum kind kind)
{
    struct ends e = make_ends(kind);
    int size = kind == TCP ? 65536 : 8192;
    set_size(e.s->fd.number, SO_SNDBUF, size);
    set_size(e.peer, SO_RCVBUF, size);
    return e;
}

/* Writes words, which the peer gets: nothing waits to be sent. */
static inline void say_and_hear(struct ends e, const char *words)
{
    check_rc(evert_puts(e.s, words), 0);
    check_rc(evert_flush(e.s), 0);
    peer_hears(e.peer, words);
}

/* Closes both: the peer first, so that the farewell need not be waited for. */
static inline int drop_ends(struct ends e)
{
    close(e.peer);
    return evert_close(e.s);
}

/* Two streams, joined. */
static inline void make_streams(enum kind kind, evert_stream *ret[2])
{
    int fds[2];
    plain_pair(kind, fds);
    for (int i = 0; i < 2; i++)
        ret[i] = stream_on(fds[i], kind);
}

/* Closes both at once: the second is closed by a task, as each waits for the other's end. */
static inline int close_it(void *s)
{
    return evert_close(s);
}

static inline void close_streams(evert_stream *s[2])
{
    evert_scope scope;
    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, close_it, s[1]), 0);
    check_rc(evert_close(s[0]), 0);
    check_rc(evert_scope_leave(&scope, 0), 0);
}

/* ---- Hooks ---- */

/* A plan for what the system answers: `call` is answered with `result`, `times` times. */
static struct {
    enum evert__sys_call call;
    int64_t result;
    int skip, times;
    int asked; /* how often that call was made */
} plan;

static inline bool follow_plan(enum evert__sys_call call, const void *site, size_t *size,
                               int64_t *result)
{
    (void)site;
    (void)size;
    if (call != plan.call)
        return false;
    plan.asked++;
    if (plan.skip > 0) {
        plan.skip--;
        return false;
    }
    if (plan.times == 0)
        return false;
    plan.times--;
    *result = plan.result;
    return true;
}

/* From now on the next `times` of the call are answered so; 0 just counts them. */
static inline void answer(enum evert__sys_call call, int64_t result, int times)
{
    memset(&plan, 0, sizeof(plan));
    plan.call = call;
    plan.result = result;
    plan.times = times;
    evert__sys_set_hook(follow_plan);
}

static inline void answer_no_more(void)
{
    evert__sys_set_hook(NULL);
}

/* ---- Tests ---- */

/* Runs a test, and sees to it that it leaves no connection and no descriptor behind. */
static inline int run_clean(void *arg)
{
    void *nothing = NULL;
    const evert_loop *loop = self()->loop;
    int before = open_descriptors();

    ((const struct body *)arg)->test(&nothing);
    answer_no_more();
    wait_until(evert__list_empty(&loop->farewells));
    turns(2);
    assert_int_equal(open_descriptors(), before);
    return 0;
}

static inline void run_clean_everywhere(void **state)
{
    check_rc(in_task(run_clean, *state), 0);
    (void)run_clean(*state);
    assert_null(self()->scope);
    check_no_tasks(self()->loop);
}

static inline void run_clean_blocking(void **state)
{
    (void)run_clean(*state);
}

/* As of the layer below: run as a task, and then as plain blocking code; or only as the latter. */
#undef everywhere
#define everywhere(test)                                        \
    {                                                           \
#test, run_clean_everywhere, NULL, NULL, &(struct body) \
        {                                                       \
            test                                                \
        }                                                       \
    }

#define in_blocking_mode(test)                                \
    {                                                         \
#test, run_clean_blocking, NULL, NULL, &(struct body) \
        {                                                     \
            test                                              \
        }                                                     \
    }

/* ---- Other ---- */

/* A task that counts its turns. */
struct bystander {
    int turns;
    bool stop;
};

static inline int stand_by(void *arg)
{
    struct bystander *bystander = (struct bystander *)arg;
    for (; !bystander->stop; bystander->turns++)
        check_rc(evert_yield(), 0);
    return 0;
}

/* Whether the loop is on epoll, and not on one that is adverse. */
static inline bool on_epoll(void)
{
    return strcmp(evert_loop_backend(self()->loop), "epoll") == 0;
}

/* Whether the loop is on a ring, also on one that is adverse. */
static inline bool on_uring(void)
{
    return strstr(evert_loop_backend(self()->loop), "uring") != NULL;
}

static inline bool is_adverse(void)
{
    return self()->loop->adverse != NULL;
}

/* Whether what is asked for may be done some turns later, as by a ring, or by chance. */
static inline bool is_late(void)
{
    const char *name = getenv("EVERT_BACKEND");
    return name != NULL && (strstr(name, "adverse") != NULL || strstr(name, "uring") != NULL);
}

/* A folder for sockets, gone with remove_folder(). */
static inline const char *make_folder(void)
{
    static char folder[64];
    strcpy(folder, "/tmp/evert-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return folder;
}

static inline void remove_folder(const char *folder)
{
    assert_int_equal(rmdir(folder), 0); /* so nothing was left in it */
}

/* A pattern by which lost, doubled and swapped bytes are seen. */
static inline char pattern_at(size_t at)
{
    return (char)((at * 2654435761U) >> 13);
}

static inline void fill_pattern(char *memory, size_t from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        memory[i] = pattern_at(from + i);
}

static inline bool is_pattern(const char *memory, size_t from, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (memory[i] != pattern_at(from + i))
            return false;
    }
    return true;
}

static inline char *make_pattern(size_t size)
{
    char *memory = malloc(size);
    assert_non_null(memory);
    fill_pattern(memory, 0, size);
    return memory;
}

/* ---- Chunks ---- */

/* All that the loop has lying ready. Without memory there are then no more. */
static inline struct evert__chunk *take_chunks(evert_loop *loop)
{
    struct evert__chunk *all = NULL, *chunk;
    while ((chunk = evert__chunk_get(loop)) != NULL) {
        chunk->next = all;
        all = chunk;
    }
    return all;
}

static inline void give_chunks_back(evert_loop *loop, struct evert__chunk *all)
{
    struct evert__chunk *chunk;
    while ((chunk = all) != NULL) {
        all = chunk->next;
        evert__chunk_put(loop, chunk);
    }
}

#endif
