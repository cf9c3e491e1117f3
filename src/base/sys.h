/* SPDX-License-Identifier: MIT */
/*
 * The seam to the system: every system call of the library goes through one of these functions, so
 * that a test can answer any of them with any error, or cut it short. They return the negated error
 * number, so that nobody else looks at errno, and begin again after EINTR, except close and the
 * waits.
 */
#ifndef EVERT_SRC_BASE_SYS_H
#define EVERT_SRC_BASE_SYS_H

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include <evert/base/time.h>

/* X-macro: the calls by name. */
#define EVERT__SYS_CALLS(X) \
    X(RECV)                 \
    X(SEND)                 \
    X(ACCEPT)               \
    X(CONNECT)              \
    X(SOCKET)               \
    X(BIND)                 \
    X(LISTEN)               \
    X(SHUTDOWN)             \
    X(SETSOCKOPT)           \
    X(GETSOCKOPT)           \
    X(GETSOCKNAME)          \
    X(GETPEERNAME)          \
    X(CLOSE)                \
    X(OPEN)                 \
    X(READ)                 \
    X(WRITE)                \
    X(DUP)                  \
    X(SENDFILE)             \
    X(SPLICE)               \
    X(PIPE)                 \
    X(FADVISE)              \
    X(FSTAT)                \
    X(FSTATFS)              \
    X(STAT)                 \
    X(UNLINK)               \
    X(PREAD)                \
    X(PREAD_NOW)            \
    X(PWRITE)               \
    X(SYNC)                 \
    X(STATX)                \
    X(RENAME)               \
    X(FCNTL)                \
    X(SEEK)                 \
    X(EVENTFD)              \
    X(TIMERFD_CREATE)       \
    X(TIMERFD_SETTIME)      \
    X(EPOLL_CREATE)         \
    X(EPOLL_CTL)            \
    X(EPOLL_WAIT)           \
    X(POLL)                 \
    X(URING_SETUP)          \
    X(URING_REGISTER)       \
    X(URING_ENTER)          \
    X(CLOCK)                \
    X(MAP)                  \
    X(UNMAP)                \
    X(PROTECT)              \
    X(ADVISE)               \
    X(RANDOM)               \
    X(SIGACTION)            \
    X(SIGALTSTACK)          \
    X(THREAD_KILL)          \
    X(THREAD)               \
    X(AFFINITY)             \
    X(ADDRINFO)

enum evert__sys_call {
#define EVERT__SYS_ENUM(name) EVERT__SYS_##name,
    EVERT__SYS_CALLS(EVERT__SYS_ENUM)
#undef EVERT__SYS_ENUM
        EVERT__SYS_COUNT
};

/*
 * A test's hook: asked before each call, with the place in the library that makes it. It returns
 * true to answer with *result itself, and may lower *size (NULL where the call has none). It may be
 * set while other threads make calls, which then see all that was done before it was set.
 */
typedef bool evert__sys_hook_fn(enum evert__sys_call call, const void *site, size_t *size,
                                int64_t *result);
void evert__sys_set_hook(evert__sys_hook_fn *hook); /* NULL: none any more */

extern _Atomic(evert__sys_hook_fn *) evert__sys_hook; /* only sys.c and sys.h look at it */

/* Relaxed, so that it costs what reading a plain pointer does. */
static inline bool evert__sys_hooked(void)
{
    return __builtin_expect(atomic_load_explicit(&evert__sys_hook, memory_order_relaxed) != NULL,
                            0);
}

/* sockets */
ssize_t evert__sys_recv(int fd, void *buffer, size_t size, int flags);
ssize_t evert__sys_send(int fd, const struct iovec *pieces, int count); /* never a SIGPIPE */
int evert__sys_accept(int fd);                                          /* CLOEXEC, NONBLOCK */
int evert__sys_connect(int fd, const struct sockaddr *address, socklen_t size);
int evert__sys_socket(int family, int type); /* CLOEXEC, NONBLOCK */
int evert__sys_bind(int fd, const struct sockaddr *address, socklen_t size);
int evert__sys_listen(int fd, int backlog);
int evert__sys_shutdown(int fd, int how);
int evert__sys_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int evert__sys_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int evert__sys_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int evert__sys_getpeername(int fd, struct sockaddr *address, socklen_t *size);

/* files */
void evert__sys_close(int fd); /* whatever it says, the number is gone: close(2) */
int evert__sys_open(const char *path, int flags);
ssize_t evert__sys_read(int fd, void *buffer, size_t size);
ssize_t evert__sys_write(int fd, const void *data, size_t size);
ssize_t evert__sys_write_quietly(int fd, const void *data, size_t size); /* never a SIGPIPE */
int evert__sys_dup(int fd);                                              /* CLOEXEC */
int evert__sys_will_need(int fd, int64_t offset, size_t size);           /* posix_fadvise(2) */
int evert__sys_fstat(int fd, struct stat *ret);
int evert__sys_fstatfs(int fd, struct statfs *ret);

/* From a file to a socket, and from one end of a pipe to a socket; never a SIGPIPE. */
ssize_t evert__sys_sendfile(int fd, int file, int64_t offset, size_t size);
ssize_t evert__sys_splice_out(int pipe, int fd, size_t size);

ssize_t evert__sys_splice_in(int fd, int pipe, size_t size);
int evert__sys_pipe(int ret[2]); /* CLOEXEC, NONBLOCK */
int evert__sys_stat(const char *path, struct stat *ret);
int evert__sys_unlink(const char *path);

/* waiting; -EINTR comes back */
int evert__sys_eventfd(void);
int evert__sys_timerfd(void);
int evert__sys_timerfd_set(int fd, evert_time when); /* the same time as evert__sys_clock() */
int evert__sys_epoll_create(void);
int evert__sys_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t data);
int evert__sys_epoll_wait(int epoll, struct epoll_event *events, int count, evert_time timeout);

/* Set once epoll_pwait2(2) was found to be missing, as on older kernels and in emulators. */
extern atomic_bool evert__sys_waits_in_ms;

/* Whether an error says that there is no such call; a filter that does not know it says EPERM. */
static inline bool evert__sys_is_missing(int error)
{
    return error == ENOSYS || error == EPERM;
}

int evert__sys_poll(struct pollfd *fds, nfds_t count, evert_time timeout);
evert_time evert__sys_clock(void);

/* memory; map returns NULL on failure, with the error in *ret_error */
void *evert__sys_map(size_t size, int *ret_error);
int evert__sys_unmap(void *memory, size_t size);
int evert__sys_protect(void *memory, size_t size, int protection);
int evert__sys_advise(void *memory, size_t size, int advice);
ssize_t evert__sys_random(void *buffer, size_t size); /* getrandom(2) */

/* signals, threads, names */
int evert__sys_sigaction(int number, const struct sigaction *action, struct sigaction *ret_old);
int evert__sys_thread_kill(pthread_t thread, int number);
int evert__sys_sigaltstack(const stack_t *stack, stack_t *ret_old);
int evert__sys_thread(pthread_t *ret, void *(*fn)(void *), void *arg); /* signals blocked */
int evert__sys_get_affinity(cpu_set_t *ret);                           /* of this thread */
int evert__sys_set_affinity(const cpu_set_t *cores);
int evert__sys_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                           struct addrinfo **ret); /* EAI_ codes */

#endif
