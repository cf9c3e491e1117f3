/* SPDX-License-Identifier: MIT */
/* The seam: that a hook can answer any call, and how the real ones behave around errors. */
#include "base/sys_file.h"
#include "base/sys_flat.h"
#ifdef EVERT_URING
#include "base/sys_uring.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- A hook that counts one call, and answers it ---- */

static struct {
    enum evert__sys_call call;
    int asked, answers; /* answers: how many times it answers with `result` */
    int64_t result;
    size_t most; /* 0: does not lower the size */
    const void *site;
} hook;

static bool ask(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    if (call != hook.call)
        return false;
    hook.asked++;
    hook.site = site;
    if (hook.most > 0 && size != NULL && *size > hook.most)
        *size = hook.most;
    if (hook.answers == 0)
        return false;
    hook.answers--;
    *result = hook.result;
    return true;
}

static void answer(enum evert__sys_call call, int answers, int64_t result)
{
    memset(&hook, 0, sizeof(hook));
    hook.call = call;
    hook.answers = answers;
    hook.result = result;
    evert__sys_set_hook(ask);
}

static int end(void **state)
{
    (void)state;
    evert__sys_set_hook(NULL);
    return 0;
}

static void pair(int ret[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret), 0);
}

/* ---- Each call by its name ---- */

static int64_t make(enum evert__sys_call call)
{
    static char buffer[8];
    static struct iovec piece = {buffer, sizeof(buffer)};
    static struct sockaddr_storage address;
    static struct stat status;
    static struct statfs file_system;
    static const cpu_set_t no_cores;
    static struct addrinfo *names;
    struct sockaddr *any = (struct sockaddr *)&address;
    socklen_t size = sizeof(address);
    struct epoll_event event;
    struct pollfd polled = {.fd = -1};
    pthread_t thread;
    int error = 0;
#ifdef EVERT_URING
    struct io_uring ring = {.ring_fd = -1};
    struct io_uring_params params = {0};
#endif

    switch (call) {
    case EVERT__SYS_RECV:
        return evert__sys_recv(-1, buffer, sizeof(buffer), 0);
    case EVERT__SYS_SEND:
        return evert__sys_send(-1, &piece, 1);
    case EVERT__SYS_ACCEPT:
        return evert__sys_accept(-1);
    case EVERT__SYS_CONNECT:
        return evert__sys_connect(-1, any, size);
    case EVERT__SYS_SOCKET:
        return evert__sys_socket(-1, -1);
    case EVERT__SYS_BIND:
        return evert__sys_bind(-1, any, size);
    case EVERT__SYS_LISTEN:
        return evert__sys_listen(-1, 1);
    case EVERT__SYS_SHUTDOWN:
        return evert__sys_shutdown(-1, SHUT_WR);
    case EVERT__SYS_SETSOCKOPT:
        return evert__sys_setsockopt(-1, 0, 0, buffer, 4);
    case EVERT__SYS_GETSOCKOPT:
        return evert__sys_getsockopt(-1, 0, 0, buffer, &size);
    case EVERT__SYS_GETSOCKNAME:
        return evert__sys_getsockname(-1, any, &size);
    case EVERT__SYS_GETPEERNAME:
        return evert__sys_getpeername(-1, any, &size);
    case EVERT__SYS_AFFINITY:
        return evert__sys_set_affinity(&no_cores);
    case EVERT__SYS_OPEN:
        return evert__sys_open("/nowhere/at/all", O_RDONLY);
    case EVERT__SYS_READ:
        return evert__sys_read(-1, buffer, sizeof(buffer));
    case EVERT__SYS_WRITE:
        return evert__sys_write(-1, buffer, sizeof(buffer));
    case EVERT__SYS_DUP:
        return evert__sys_dup(-1);
    case EVERT__SYS_SENDFILE:
        return evert__sys_sendfile(-1, -1, 0, 1);
    case EVERT__SYS_SPLICE:
        return evert__sys_splice_in(-1, -1, 1);
    case EVERT__SYS_PIPE:
        return evert__sys_pipe(NULL);
    case EVERT__SYS_FADVISE:
        return evert__sys_will_need(-1, 0, 1);
    case EVERT__SYS_FSTAT:
        return evert__sys_fstat(-1, &status);
    case EVERT__SYS_FSTATFS:
        return evert__sys_fstatfs(-1, &file_system);
    case EVERT__SYS_STAT:
        return evert__sys_stat("/nowhere/at/all", &status);
    case EVERT__SYS_UNLINK:
        return evert__sys_unlink("/nowhere/at/all");
    case EVERT__SYS_PREAD:
        return evert__sys_pread(-1, buffer, sizeof(buffer), 0);
    case EVERT__SYS_PREAD_NOW:
        return evert__sys_pread_now(-1, buffer, sizeof(buffer), 0);
    case EVERT__SYS_PWRITE:
        return evert__sys_pwrite(-1, buffer, sizeof(buffer), 0);
    case EVERT__SYS_SYNC:
        return evert__sys_sync(-1, false);
    case EVERT__SYS_STATX:
        return evert__sys_statx(-1, "", AT_EMPTY_PATH, &status);
    case EVERT__SYS_RENAME:
        return evert__sys_rename("/nowhere/at/all", "/nowhere/else");
    case EVERT__SYS_FCNTL:
        return evert__sys_set_file_flags(-1, O_APPEND);
    case EVERT__SYS_SEEK:
        return evert__sys_has_offsets(-1);
    case EVERT__SYS_EVENTFD:
        return evert__sys_eventfd();
    case EVERT__SYS_TIMERFD_CREATE:
        return evert__sys_timerfd();
    case EVERT__SYS_TIMERFD_SETTIME:
        return evert__sys_timerfd_set(-1, EVERT_SECOND);
    case EVERT__SYS_EPOLL_CREATE:
        return evert__sys_epoll_create();
    case EVERT__SYS_EPOLL_CTL:
        return evert__sys_epoll_ctl(-1, EPOLL_CTL_ADD, -1, 0, 0);
    case EVERT__SYS_EPOLL_WAIT:
        return evert__sys_epoll_wait(-1, &event, 1, 0);
    case EVERT__SYS_POLL:
        return evert__sys_poll(&polled, 1, 0);
#ifdef EVERT_URING
    case EVERT__SYS_URING_SETUP:
        return evert__sys_uring_setup(&ring, 1, &params);
    case EVERT__SYS_URING_REGISTER:
        return evert__sys_uring_enable(&ring);
    case EVERT__SYS_URING_ENTER:
        return evert__sys_uring_enter(&ring, 1, 0);
#else
    case EVERT__SYS_URING_SETUP:
    case EVERT__SYS_URING_REGISTER:
    case EVERT__SYS_URING_ENTER:
        break;
#endif
    case EVERT__SYS_CLOCK:
        return evert__sys_clock();
    case EVERT__SYS_MAP:
        return evert__sys_map(4096, &error) == NULL ? error : 0;
    case EVERT__SYS_UNMAP:
        return evert__sys_unmap((void *)1, 1);
    case EVERT__SYS_PROTECT:
        return evert__sys_protect((void *)1, 1, PROT_READ);
    case EVERT__SYS_ADVISE:
        return evert__sys_advise((void *)1, 1, MADV_NORMAL);
    case EVERT__SYS_RANDOM:
        return evert__sys_random(buffer, sizeof(buffer));
    case EVERT__SYS_SIGACTION:
        return evert__sys_sigaction(-1, NULL, NULL);
    case EVERT__SYS_SIGALTSTACK:
        return evert__sys_sigaltstack(NULL, NULL);
    case EVERT__SYS_THREAD_KILL:
        return evert__sys_thread_kill(pthread_self(), 0);
    case EVERT__SYS_THREAD:
        return evert__sys_thread(&thread, NULL, NULL);
    case EVERT__SYS_ADDRINFO:
        return evert__sys_getaddrinfo("nowhere.invalid", "0", NULL, &names);
    case EVERT__SYS_CLOSE:
        return evert__sys_file_close(-1);
    case EVERT__SYS_COUNT:
        break;
    }
    return hook.result;
}

/* Built without io_uring, the library makes none of its calls. */
static bool has_call(enum evert__sys_call call)
{
#ifdef EVERT_URING
    (void)call;
    return true;
#else
    return call != EVERT__SYS_URING_SETUP && call != EVERT__SYS_URING_REGISTER &&
           call != EVERT__SYS_URING_ENTER;
#endif
}

static void test_hook_answers_each_call(void **state)
{
    (void)state;
    for (int call = 0; call < EVERT__SYS_COUNT; call++) {
        if (!has_call((enum evert__sys_call)call))
            continue;
        answer((enum evert__sys_call)call, 1, -EXDEV);
        assert_int_equal(make((enum evert__sys_call)call), -EXDEV);
        assert_int_equal(hook.asked, 1);
        assert_non_null(hook.site);
    }
}

/* F4 */
static void test_calls_begin_again_after_EINTR(void **state)
{
    static const enum evert__sys_call calls[] = {
        EVERT__SYS_RECV,        EVERT__SYS_SEND,   EVERT__SYS_ACCEPT,      EVERT__SYS_SOCKET,
        EVERT__SYS_BIND,        EVERT__SYS_LISTEN, EVERT__SYS_SHUTDOWN,    EVERT__SYS_SETSOCKOPT,
        EVERT__SYS_GETSOCKOPT,  EVERT__SYS_OPEN,   EVERT__SYS_READ,        EVERT__SYS_WRITE,
        EVERT__SYS_GETSOCKNAME, EVERT__SYS_STAT,   EVERT__SYS_GETPEERNAME, EVERT__SYS_UNLINK,
        EVERT__SYS_EPOLL_CTL,   EVERT__SYS_PREAD,  EVERT__SYS_PREAD_NOW,   EVERT__SYS_SENDFILE,
        EVERT__SYS_SPLICE,      EVERT__SYS_FSTAT,  EVERT__SYS_PWRITE,      EVERT__SYS_SYNC,
        EVERT__SYS_STATX,       EVERT__SYS_RENAME, EVERT__SYS_FCNTL,       EVERT__SYS_SEEK,
    };
    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        answer(calls[i], 3, -EINTR);
        int64_t result = make(calls[i]);
        assert_true(result < 0 && result != -EINTR);
        assert_int_equal(hook.asked, 4);
    }
}

/* F4: connect(2) says that the attempt then goes on by itself. */
static void test_connect_interrupted_counts_as_begun(void **state)
{
    (void)state;
    answer(EVERT__SYS_CONNECT, 1, -EINTR);
    assert_int_equal(make(EVERT__SYS_CONNECT), -EINPROGRESS);
    assert_int_equal(hook.asked, 1);
}

/* F4: the number is gone already, so a second close could hit somebody else's. */
static void test_close_interrupted_is_not_repeated(void **state)
{
    int fds[2];
    (void)state;
    pair(fds);
    answer(EVERT__SYS_CLOSE, 1, -EINTR);
    evert__sys_close(fds[0]);
    assert_int_equal(hook.asked, 1);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    close(fds[1]);
}

/* What the close of a file says is about what was written to it; the number is gone. */
static void test_close_of_a_file_is_told_and_not_repeated(void **state)
{
    int fds[2];
    (void)state;
    pair(fds);
    answer(EVERT__SYS_CLOSE, 1, -EINTR);
    assert_int_equal(evert__sys_file_close(fds[0]), 0);
    assert_int_equal(hook.asked, 1);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    answer(EVERT__SYS_CLOSE, 1, -ENOSPC);
    assert_int_equal(evert__sys_file_close(fds[1]), -ENOSPC);
    assert_int_equal(fcntl(fds[1], F_GETFD), -1);
    answer(EVERT__SYS_CLOSE, 0, 0);
    assert_int_equal(evert__sys_file_close(fds[1]), -EBADF);
}

/* F4 */
static void test_waits_tell_EINTR(void **state)
{
    (void)state;
    answer(EVERT__SYS_EPOLL_WAIT, 1, -EINTR);
    assert_int_equal(make(EVERT__SYS_EPOLL_WAIT), -EINTR);
    answer(EVERT__SYS_POLL, 1, -EINTR);
    assert_int_equal(make(EVERT__SYS_POLL), -EINTR);
}

static void test_errors_come_back_negated(void **state)
{
    (void)state;
    assert_int_equal(make(EVERT__SYS_RECV), -EBADF);
    assert_int_equal(make(EVERT__SYS_WRITE), -EBADF);
    assert_int_equal(make(EVERT__SYS_STAT), -ENOENT);
    assert_int_equal(make(EVERT__SYS_SIGACTION), -EINVAL);
    assert_int_equal(make(EVERT__SYS_UNMAP), -EINVAL);
}

/* F15: a hook can make any transfer short. */
static void test_hook_makes_transfers_short(void **state)
{
    int fds[2];
    char buffer[10];
    struct iovec pieces[2] = {{(char[]){"abcd"}, 4}, {(char[]){"efgh"}, 4}};
    (void)state;
    pair(fds);
    answer(EVERT__SYS_SEND, 0, 0);
    hook.most = 3;
    assert_int_equal(evert__sys_send(fds[0], pieces, 2), 3);
    hook.most = 0;
    assert_int_equal(evert__sys_send(fds[0], pieces, 2), 8);
    answer(EVERT__SYS_RECV, 0, 0);
    hook.most = 2;
    assert_int_equal(evert__sys_recv(fds[1], buffer, sizeof(buffer), 0), 2);
    hook.most = 0;
    assert_int_equal(evert__sys_recv(fds[1], buffer, sizeof(buffer), 0), 9);
    assert_memory_equal(buffer, "cabcdefgh", 9);
    close(fds[0]);
    close(fds[1]);
}

/* F18: SIGPIPE has its default action here, and would end the test. */
static void test_send_to_a_peer_that_is_gone_raises_no_signal(void **state)
{
    int fds[2];
    struct iovec pieces[2] = {{(char[]){"x"}, 1}, {(char[]){"y"}, 1}};
    (void)state;
    pair(fds);
    close(fds[1]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(evert__sys_send(fds[0], pieces, 1), -EPIPE);
        assert_int_equal(evert__sys_send(fds[0], pieces, 2), -EPIPE);
    }
    close(fds[0]);
}

/* F18: the same of a pipe, which knows no flag for it; and else as any write. */
static void test_quiet_write_raises_no_signal(void **state)
{
    int fds[2];
    char got[4];
    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    answer(EVERT__SYS_WRITE, 2, -EINTR);
    hook.most = 2;
    assert_int_equal(evert__sys_write_quietly(fds[1], "abcd", 4), 2);
    assert_int_equal(hook.asked, 3);
    assert_non_null(hook.site);
    evert__sys_set_hook(NULL);
    assert_int_equal(evert__sys_read(fds[0], got, sizeof(got)), 2);
    assert_memory_equal(got, "ab", 2);
    close(fds[0]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(evert__sys_write_quietly(fds[1], "abcd", 4), -EPIPE);
    close(fds[1]);
    assert_int_equal(evert__sys_write_quietly(-1, "abcd", 4), -EBADF);
}

/* F18: nor do the calls that send from elsewhere. What waited before stays. */
static void test_sending_from_elsewhere_raises_no_signal(void **state)
{
    int fds[2], pipe_fds[2], file = memfd_create("file", MFD_CLOEXEC);
    sigset_t broken_pipe, waiting;
    (void)state;
    pair(fds);
    assert_int_equal(evert__sys_pipe(pipe_fds), 0);
    assert_int_equal(write(file, "abcd", 4), 4);
    assert_int_equal(write(pipe_fds[1], "abcd", 4), 4);
    close(fds[1]);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(evert__sys_sendfile(fds[0], file, 0, 4), -EPIPE);
        assert_int_equal(evert__sys_splice_out(pipe_fds[0], fds[0], 4), -EPIPE);
    }
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL), 0);
    pthread_kill(pthread_self(), SIGPIPE);
    assert_int_equal(evert__sys_sendfile(fds[0], file, 0, 4), -EPIPE);
    assert_int_equal(sigpending(&waiting), 0);
    assert_true(sigismember(&waiting, SIGPIPE));
    assert_int_equal(sigwaitinfo(&broken_pipe, NULL), SIGPIPE);
    assert_int_equal(evert__sys_sendfile(fds[0], file, 0, 4), -EPIPE);
    assert_int_equal(sigpending(&waiting), 0);
    assert_false(sigismember(&waiting, SIGPIPE));
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &broken_pipe, NULL), 0);
    close(fds[0]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close(file);
}

static void assert_flags(int fd, bool nonblocking)
{
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, nonblocking);
}

/* F53, for our own: nothing leaks into what the program executes. */
static void test_new_descriptors_are_closed_on_exec_and_do_not_block(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    struct sockaddr *a = (struct sockaddr *)&address;
    int listener = evert__sys_socket(AF_INET, SOCK_STREAM);
    int client = evert__sys_socket(AF_INET, SOCK_STREAM);
    (void)state;
    assert_int_equal(evert__sys_bind(listener, a, size), 0);
    assert_int_equal(evert__sys_listen(listener, 1), 0);
    assert_int_equal(evert__sys_getsockname(listener, a, &size), 0);
    int rc = evert__sys_connect(client, a, size);
    assert_true(rc == 0 || rc == -EINPROGRESS);
    struct pollfd wait_for = {.fd = listener, .events = POLLIN};
    assert_int_equal(evert__sys_poll(&wait_for, 1, 10 * EVERT_SECOND), 1);
    int fds[] = {evert__sys_accept(listener), listener, client, evert__sys_eventfd()};
    for (int i = 0; i < 4; i++) {
        assert_flags(fds[i], true);
        evert__sys_close(fds[i]);
    }
    int other[] = {evert__sys_epoll_create(), evert__sys_open("/dev/null", O_RDONLY)};
    for (int i = 0; i < 2; i++) {
        assert_flags(other[i], false);
        evert__sys_close(other[i]);
    }
}

static evert_time clock_now(void)
{
    return evert__sys_clock();
}

typedef int epoll_wait_fn(int epoll, struct epoll_event *events, int count, evert_time timeout);
static epoll_wait_fn *const epoll_waits[] = {evert__sys_epoll_wait, evert__sys_epoll_wait_flat};

/* P2: a wait for part of a millisecond is not cut to none. */
static void test_waits_are_never_short(void **state)
{
    static const evert_time spans[] = {
        1, 999, 1000, 700000, EVERT_MILLISECOND + 1, 2 * EVERT_MILLISECOND};
    int epoll = evert__sys_epoll_create();
    struct epoll_event event;
    (void)state;
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        evert_time before;
        for (int j = 0; j < 2; j++) {
            before = clock_now();
            assert_int_equal(epoll_waits[j](epoll, &event, 1, spans[i]), 0);
            assert_true(clock_now() - before >= spans[i]);
        }
        before = clock_now();
        assert_int_equal(evert__sys_poll(NULL, 0, spans[i]), 0);
        assert_true(clock_now() - before >= spans[i]);
    }
    evert__sys_close(epoll);
}

/* Has this be the answer to epoll_pwait2(2). */
static bool refuse_precise_wait(int error)
{
    if (syscall(SYS_epoll_pwait2, -1, NULL, 1, NULL, NULL, (size_t)0) < 0 && errno == ENOSYS)
        return true;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* How the child ended: 0 when no wait was short, and the last was the coarse one. */
static int wait_coarsely(epoll_wait_fn *wait, int error)
{
    int epoll = evert__sys_epoll_create();
    struct epoll_event event;
    if (!refuse_precise_wait(error))
        return 2;
    for (evert_time span = 100000; span < 3 * EVERT_MILLISECOND; span += 300001) {
        evert_time before = clock_now();
        if (wait(epoll, &event, 1, span) != 0)
            return 3;
        if (clock_now() - before < span)
            return 4;
    }
    return 0;
}

/* P2: on older kernels and in emulators, and where a filter of calls does not know this one. */
static void test_waits_are_not_short_without_the_precise_call(void **state)
{
    static const int errors[] = {ENOSYS, EPERM};
    (void)state;
    for (int i = 0; i < 4; i++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            _exit(wait_coarsely(epoll_waits[i % 2], errors[i / 2]));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

static void test_wait_of_no_time_looks_and_returns(void **state)
{
    int epoll = evert__sys_epoll_create(), counter = evert__sys_eventfd();
    struct epoll_event event;
    uint64_t one = 1;
    (void)state;
    assert_int_equal(evert__sys_epoll_ctl(epoll, EPOLL_CTL_ADD, counter, EPOLLIN, 1234567890123),
                     0);
    assert_int_equal(evert__sys_epoll_wait(epoll, &event, 1, 0), 0);
    assert_int_equal(evert__sys_write(counter, &one, sizeof(one)), sizeof(one));
    assert_int_equal(evert__sys_epoll_wait(epoll, &event, 1, 0), 1);
    assert_int_equal(event.data.u64, 1234567890123);
    assert_int_equal(evert__sys_epoll_wait(epoll, &event, 1, EVERT_NEVER), 1);
    assert_int_equal(evert__sys_epoll_wait(epoll, &event, 1, EVERT_NEVER - 1), 1);
    evert__sys_close(epoll);
    evert__sys_close(counter);
}

static void test_map_gives_memory_or_says_why_not(void **state)
{
    int error = 0;
    char *memory = evert__sys_map(8192, &error);
    (void)state;
    assert_non_null(memory);
    memory[0] = memory[8191] = 1;
    assert_int_equal(evert__sys_protect(memory, 4096, PROT_NONE), 0);
    assert_int_equal(evert__sys_unmap(memory, 8192), 0);
    assert_null(evert__sys_map(SIZE_MAX - 8191, &error)); /* no machine has that much room */
    assert_int_equal(error, -ENOMEM);
}

static void *signals_of_this_thread(void *arg)
{
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, arg), 0);
    return NULL;
}

static void test_thread_takes_no_signals_but_faults(void **state)
{
    sigset_t mask, before, after;
    pthread_t thread;
    (void)state;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(evert__sys_thread(&thread, signals_of_this_thread, &mask), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (int i = 1; i < 32; i++) {
        bool fault = i == SIGSEGV || i == SIGBUS || i == SIGFPE || i == SIGILL || i == SIGTRAP ||
                     i == SIGABRT;
        if (i != SIGKILL && i != SIGSTOP)
            assert_int_equal(sigismember(&mask, i), !fault);
    }
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (int i = 1; i < 32; i++)
        assert_int_equal(sigismember(&before, i), sigismember(&after, i));
}

/* ---- The hook is set while another thread makes calls ---- */

static struct {
    int told; /* plain: setting the hook hands it to whoever finds the hook */
    atomic_int heard;
    atomic_bool end;
} other;

static bool hear(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)call;
    (void)site;
    (void)size;
    *result = -EXDEV;
    atomic_store(&other.heard, other.told);
    return true;
}

static void *make_calls(void *arg)
{
    (void)arg;
    while (!atomic_load(&other.end)) {
        socklen_t size = 0;
        int rc = evert__sys_getsockname(-1, NULL, &size);
        assert_true(rc == -EBADF || rc == -EXDEV);
    }
    return NULL;
}

static void test_hook_may_be_set_while_a_thread_makes_calls(void **state)
{
    pthread_t thread;
    (void)state;
    atomic_store(&other.end, false);
    assert_int_equal(pthread_create(&thread, NULL, make_calls, NULL), 0);
    other.told = 7;
    evert__sys_set_hook(hear);
    while (atomic_load(&other.heard) != 7)
        sched_yield();
    evert__sys_set_hook(NULL);
    atomic_store(&other.end, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

#define CASE(name) cmocka_unit_test_teardown(name, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_hook_answers_each_call),
        CASE(test_calls_begin_again_after_EINTR),
        CASE(test_connect_interrupted_counts_as_begun),
        CASE(test_close_interrupted_is_not_repeated),
        CASE(test_close_of_a_file_is_told_and_not_repeated),
        CASE(test_waits_tell_EINTR),
        CASE(test_errors_come_back_negated),
        CASE(test_hook_makes_transfers_short),
        CASE(test_send_to_a_peer_that_is_gone_raises_no_signal),
        CASE(test_quiet_write_raises_no_signal),
        CASE(test_sending_from_elsewhere_raises_no_signal),
        CASE(test_new_descriptors_are_closed_on_exec_and_do_not_block),
        CASE(test_waits_are_never_short),
        CASE(test_waits_are_not_short_without_the_precise_call),
        CASE(test_wait_of_no_time_looks_and_returns),
        CASE(test_map_gives_memory_or_says_why_not),
        CASE(test_thread_takes_no_signals_but_faults),
        CASE(test_hook_may_be_set_while_a_thread_makes_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
