/* SPDX-License-Identifier: MIT */
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/flat.h"
#include "base/msan.h"
#include "base/sys_flat.h"
#include "base/sys_make.h"
#include "base/time.h"

_Atomic(evert__sys_hook_fn *) evert__sys_hook;

void evert__sys_set_hook(evert__sys_hook_fn *hook)
{
    atomic_store_explicit(&evert__sys_hook, hook, memory_order_release);
}

bool evert__sys_ask(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    evert__sys_hook_fn *hook = atomic_load_explicit(&evert__sys_hook, memory_order_acquire);
    return hook != NULL && hook(call, site, size, result);
}

ssize_t evert__sys_recv(int fd, void *buffer, size_t size, int flags)
{
    MAKE(ssize_t, RECV, &size, recv(fd, buffer, size, flags), true);
}

static ssize_t send_pieces(int fd, const struct iovec *pieces, int count, size_t size)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces,
                             .msg_iovlen = (size_t)count};
    if (count == 1 || size < pieces[0].iov_len)
        return send(fd, pieces[0].iov_base, size, MSG_NOSIGNAL);
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

ssize_t evert__sys_send(int fd, const struct iovec *pieces, int count)
{
    size_t size = pieces[0].iov_len; /* a hook that lowers it sends part of the first piece */
    MAKE(ssize_t, SEND, &size, send_pieces(fd, pieces, count, size), true);
}

EVERT__HOT int evert__sys_accept(int fd)
{
    MAKE(int, ACCEPT, NULL, accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), true);
}

int evert__sys_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    /* After EINTR the attempt goes on by itself (connect(2)), so it counts as begun. */
    int64_t result;
    if (!ASK(CONNECT, NULL, result))
        result = connect(fd, address, size) < 0 ? -errno : 0;
    return result == -EINTR ? -EINPROGRESS : (int)result;
}

int evert__sys_socket(int family, int type)
{
    MAKE(int, SOCKET, NULL, socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), true);
}

int evert__sys_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    MAKE(int, BIND, NULL, bind(fd, address, size), true);
}

int evert__sys_listen(int fd, int backlog)
{
    MAKE(int, LISTEN, NULL, listen(fd, backlog), true);
}

int evert__sys_shutdown(int fd, int how)
{
    MAKE(int, SHUTDOWN, NULL, shutdown(fd, how), true);
}

int evert__sys_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    MAKE(int, SETSOCKOPT, NULL, setsockopt(fd, level, name, value, size), true);
}

int evert__sys_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    MAKE(int, GETSOCKOPT, NULL, getsockopt(fd, level, name, value, size), true);
}

int evert__sys_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    MAKE(int, GETSOCKNAME, NULL, getsockname(fd, address, size), true);
}

int evert__sys_getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    MAKE(int, GETPEERNAME, NULL, getpeername(fd, address, size), true);
}

EVERT__HOT void evert__sys_close(int fd)
{
    int64_t ignored;
    (void)ASK(CLOSE, NULL, ignored);
    (void)close(fd);
}

int evert__sys_open(const char *path, int flags)
{
    MAKE(int, OPEN, NULL, open(path, flags | O_CLOEXEC), true);
}

ssize_t evert__sys_read(int fd, void *buffer, size_t size)
{
    MAKE(ssize_t, READ, &size, read(fd, buffer, size), true);
}

ssize_t evert__sys_write(int fd, const void *data, size_t size)
{
    MAKE(ssize_t, WRITE, &size, write(fd, data, size), true);
}

/*
 * What has no MSG_NOSIGNAL, such as write(2), is made with the signal blocked in this thread, which
 * is nobody else's business, and the one that the call raised is taken away; not so one that waited
 * before, as it can only where it was blocked before.
 */
struct quiet {
    sigset_t old;
    bool waited;
};

static void begin_quietly(struct quiet *q)
{
    sigset_t broken_pipe, waiting;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, &q->old);
    q->waited = sigismember(&q->old, SIGPIPE) && sigpending(&waiting) == 0 &&
                sigismember(&waiting, SIGPIPE);
}

/* Gives `result` back, and leaves errno. */
static ssize_t end_quietly(const struct quiet *q, ssize_t result)
{
    static const struct timespec at_once;
    int error = errno;
    sigset_t broken_pipe;

    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    if (result < 0 && error == EPIPE && !q->waited) {
        while (sigtimedwait(&broken_pipe, NULL, &at_once) < 0 && errno == EINTR)
            continue;
    }
    pthread_sigmask(SIG_SETMASK, &q->old, NULL);
    errno = error;
    return result;
}

static ssize_t write_quietly(int fd, const void *data, size_t size)
{
    struct quiet quiet;
    begin_quietly(&quiet);
    return end_quietly(&quiet, write(fd, data, size));
}

ssize_t evert__sys_write_quietly(int fd, const void *data, size_t size)
{
    MAKE(ssize_t, WRITE, &size, write_quietly(fd, data, size), true);
}

int evert__sys_dup(int fd)
{
    MAKE(int, DUP, NULL, fcntl(fd, F_DUPFD_CLOEXEC, 0), true);
}

int evert__sys_will_need(int fd, int64_t offset, size_t size)
{
    int64_t result;
    if (ASK(FADVISE, NULL, result))
        return (int)result;
    return -posix_fadvise(fd, offset, (off_t)size, POSIX_FADV_WILLNEED);
}

static ssize_t send_file(int fd, int file, int64_t offset, size_t size)
{
    struct quiet quiet;
    off_t from = offset;
    begin_quietly(&quiet);
    return end_quietly(&quiet, sendfile(fd, file, &from, size));
}

ssize_t evert__sys_sendfile(int fd, int file, int64_t offset, size_t size)
{
    MAKE(ssize_t, SENDFILE, &size, send_file(fd, file, offset, size), true);
}

static ssize_t splice_out(int pipe, int fd, size_t size)
{
    struct quiet quiet;
    begin_quietly(&quiet);
    return end_quietly(&quiet, splice(pipe, NULL, fd, NULL, size, SPLICE_F_NONBLOCK));
}

ssize_t evert__sys_splice_out(int pipe, int fd, size_t size)
{
    MAKE(ssize_t, SPLICE, &size, splice_out(pipe, fd, size), true);
}

ssize_t evert__sys_splice_in(int fd, int pipe, size_t size)
{
    MAKE(ssize_t, SPLICE, &size, splice(fd, NULL, pipe, NULL, size, SPLICE_F_NONBLOCK), true);
}

int evert__sys_pipe(int ret[2])
{
    MAKE(int, PIPE, NULL, pipe2(ret, O_CLOEXEC | O_NONBLOCK), true);
}

int evert__sys_fstat(int fd, struct stat *ret)
{
    MAKE(int, FSTAT, NULL, evert__msan_filled(fstat(fd, ret), ret, sizeof(*ret)), true);
}

int evert__sys_fstatfs(int fd, struct statfs *ret)
{
    MAKE(int, FSTATFS, NULL, evert__msan_filled(fstatfs(fd, ret), ret, sizeof(*ret)), true);
}

int evert__sys_stat(const char *path, struct stat *ret)
{
    MAKE(int, STAT, NULL, evert__msan_filled(lstat(path, ret), ret, sizeof(*ret)), true);
}

int evert__sys_unlink(const char *path)
{
    MAKE(int, UNLINK, NULL, unlink(path), true);
}

int evert__sys_eventfd(void)
{
    MAKE(int, EVENTFD, NULL, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), true);
}

int evert__sys_timerfd(void)
{
    MAKE(int, TIMERFD_CREATE, NULL, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
         true);
}

/* A time of 0 would take it back, and there is no such time left. */
int evert__sys_timerfd_set(int fd, evert_time when)
{
    const struct itimerspec setting = {.it_value = {.tv_sec = (time_t)(when / EVERT_SECOND),
                                                    .tv_nsec = (long)(when % EVERT_SECOND)}};
    MAKE(int, TIMERFD_SETTIME, NULL, timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, NULL), true);
}

int evert__sys_epoll_create(void)
{
    MAKE(int, EPOLL_CREATE, NULL, epoll_create1(EPOLL_CLOEXEC), true);
}

EVERT__HOT int evert__sys_epoll_ctl(int epoll, int operation, int fd, uint32_t events,
                                    uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    MAKE(int, EPOLL_CTL, NULL, epoll_ctl(epoll, operation, fd, &event), true);
}

/* In whole milliseconds, rounded up: a timer must not be early. */
static int milliseconds_of(evert_time span)
{
    if (span == EVERT_NEVER)
        return -1;
    evert_time whole = span / EVERT_MILLISECOND + (span % EVERT_MILLISECOND > 0);
    return whole < INT_MAX ? (int)whole : INT_MAX;
}

/*
 * Not every C library that runs on a kernel with this call has it, and the struct timespec of some
 * is not the kernel's.
 */
static int epoll_wait_precisely(int epoll, struct epoll_event *events, int count,
                                evert_time timeout)
{
#ifdef SYS_epoll_pwait2
    const struct {
        int64_t seconds, nanoseconds;
    } limit = {timeout / EVERT_SECOND, timeout % EVERT_SECOND};
    return (int)syscall(SYS_epoll_pwait2, epoll, events, count, &limit, NULL, (size_t)0);
#else
    (void)epoll, (void)events, (void)count, (void)timeout;
    errno = ENOSYS;
    return -1;
#endif
}

atomic_bool evert__sys_waits_in_ms;

static int epoll_wait_exactly(int epoll, struct epoll_event *events, int count, evert_time timeout)
{
    if (timeout > 0 && timeout != EVERT_NEVER &&
        !atomic_load_explicit(&evert__sys_waits_in_ms, memory_order_relaxed)) {
        int rc = epoll_wait_precisely(epoll, events, count, timeout);
        if (rc > 0)
            evert__msan_written(events, (size_t)rc * sizeof(*events));
        if (rc >= 0 || !evert__sys_is_missing(errno))
            return rc;
        atomic_store_explicit(&evert__sys_waits_in_ms, true, memory_order_relaxed);
    }
    return epoll_wait(epoll, events, count, milliseconds_of(timeout));
}

EVERT__HOT int evert__sys_epoll_wait(int epoll, struct epoll_event *events, int count,
                                     evert_time timeout)
{
    MAKE(int, EPOLL_WAIT, NULL, epoll_wait_exactly(epoll, events, count, timeout), false);
}

EVERT__HOT int evert__sys_poll(struct pollfd *fds, nfds_t count, evert_time timeout)
{
    struct timespec limit = evert__timespec(timeout);
    MAKE(int, POLL, NULL, ppoll(fds, count, timeout == EVERT_NEVER ? NULL : &limit, NULL), false);
}

EVERT__HOT evert_time evert__sys_clock(void)
{
    int64_t result;
    return ASK(CLOCK, NULL, result) ? result : evert__sys_read_clock();
}

void *evert__sys_map(size_t size, int *ret_error)
{
    int64_t result = 0;
    if (ASK(MAP, &size, result)) {
        *ret_error = (int)result;
        return NULL;
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory != MAP_FAILED)
        return memory;
    *ret_error = -errno;
    return NULL;
}

int evert__sys_unmap(void *memory, size_t size)
{
    size_t told = size; /* it is never less */
    MAKE(int, UNMAP, &told, munmap(memory, size), true);
}

int evert__sys_protect(void *memory, size_t size, int protection)
{
    MAKE(int, PROTECT, NULL, mprotect(memory, size, protection), true);
}

int evert__sys_advise(void *memory, size_t size, int advice)
{
    MAKE(int, ADVISE, NULL, madvise(memory, size, advice), true);
}

ssize_t evert__sys_random(void *buffer, size_t size)
{
    MAKE(ssize_t, RANDOM, &size, getrandom(buffer, size, 0), true);
}

int evert__sys_sigaction(int number, const struct sigaction *action, struct sigaction *ret_old)
{
    MAKE(int, SIGACTION, NULL, sigaction(number, action, ret_old), true);
}

int evert__sys_thread_kill(pthread_t thread, int number)
{
    int64_t result;
    return ASK(THREAD_KILL, NULL, result) ? (int)result : -pthread_kill(thread, number);
}

int evert__sys_sigaltstack(const stack_t *stack, stack_t *ret_old)
{
    MAKE(int, SIGALTSTACK, NULL, sigaltstack(stack, ret_old), true);
}

int evert__sys_thread(pthread_t *ret, void *(*fn)(void *), void *arg)
{
    int64_t result;
    if (ASK(THREAD, NULL, result))
        return (int)result;

    /* A thread of ours takes no signals but those that its own faults raise. */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t block, old;
    sigfillset(&block);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&block, faults[i]);
    pthread_sigmask(SIG_SETMASK, &block, &old);
    int rc = pthread_create(ret, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -rc;
}

int evert__sys_get_affinity(cpu_set_t *ret)
{
    MAKE(int, AFFINITY, NULL, sched_getaffinity(0, sizeof(*ret), ret), false);
}

int evert__sys_set_affinity(const cpu_set_t *cores)
{
    MAKE(int, AFFINITY, NULL, sched_setaffinity(0, sizeof(*cores), cores), false);
}

int evert__sys_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                           struct addrinfo **ret)
{
    int64_t result;
    if (ASK(ADDRINFO, NULL, result))
        return (int)result;
    return getaddrinfo(host, port, hints, ret);
}
