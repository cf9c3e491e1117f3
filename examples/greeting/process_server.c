/* SPDX-License-Identifier: MIT */
/*
 * The greeting server with a process for each connection. The code of one connection is plain
 * blocking code; the price is a process, which costs time to start and memory to keep.
 *
 *     process_server [ADDRESS]
 */
#include "plain_address.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

enum {
    NAME_LIMIT = 1024,
    CHILD_LIMIT = 10000, /* further connections wait to be accepted */
};

static pid_t children[CHILD_LIMIT];
static size_t child_count;

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

/*
 * To close with input unread is to reset the connection, and a reset destroys answers on their
 * way. So this reads and drops until the other side ends, or SIGALRM ends this process.
 */
static void say_farewell(int fd)
{
    char dropped[4096];

    shutdown(fd, SHUT_WR);
    alarm(2);
    while (recv(fd, dropped, sizeof(dropped), 0) > 0)
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

static void serve_in_child(int listener, int signals, const sigset_t *blocked)
{
    int fd = accept(listener, NULL, NULL);
    pid_t pid;

    if (fd < 0) {
        warn("accept");
        return;
    }
    pid = fork();
    if (pid == 0) {
        close(listener);
        close(signals);
        sigprocmask(SIG_UNBLOCK, blocked, NULL);
        greet(fd);
        _exit(0);
    }
    if (pid > 0)
        children[child_count++] = pid;
    else
        warn("fork");
    close(fd);
}

static void forget_child(pid_t pid)
{
    for (size_t i = 0; i < child_count; i++) {
        if (children[i] == pid) {
            children[i] = children[--child_count];
            return;
        }
    }
}

static void reap_children(void)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        forget_child(pid);
}

static void end_children(void)
{
    for (size_t i = 0; i < child_count; i++)
        kill(children[i], SIGTERM);
    while (wait(NULL) > 0)
        ;
}

/* Blocks the signals, so that they come out of the descriptor that it returns. */
static int open_signals(sigset_t *ret_blocked)
{
    int fd;

    sigemptyset(ret_blocked);
    sigaddset(ret_blocked, SIGCHLD);
    sigaddset(ret_blocked, SIGINT);
    sigaddset(ret_blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, ret_blocked, NULL);
    fd = signalfd(-1, ret_blocked, SFD_CLOEXEC);
    if (fd < 0)
        err(1, "signalfd");
    return fd;
}

/* Returns when a signal asks for the end. */
static void serve(int listener, int signals, const sigset_t *blocked)
{
    struct pollfd waits[] = {{.fd = listener, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    struct signalfd_siginfo signal;

    for (;;) {
        waits[0].fd = child_count < CHILD_LIMIT ? listener : -1;
        if (poll(waits, 2, -1) < 0)
            err(1, "poll");
        if (waits[0].revents != 0)
            serve_in_child(listener, signals, blocked);
        if (waits[1].revents == 0)
            continue;
        if (read(signals, &signal, sizeof(signal)) < 0)
            err(1, "signalfd");
        if (signal.ssi_signo != SIGCHLD)
            return;
        reap_children();
    }
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "tcp://127.0.0.1:9999";
    int listener = listen_on(address), signals;
    sigset_t blocked;

    signals = open_signals(&blocked);
    print_listening(listener, address);
    serve(listener, signals, &blocked);
    end_children();
    remove_socket_file(address);
    return 0;
}
