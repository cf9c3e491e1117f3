/* SPDX-License-Identifier: MIT */
/*
 * Bulk data for a server that drops what it reads and, at the end, says how many bytes there were:
 * one thread, which checks that each connection's count is right.
 *
 *     load_bulk ADDRESS [--connections N] [--seconds S] [--rate PIECES] [--pid SERVER]
 *
 * A piece is 64 KiB, and what the results, one line of JSON, count as a request. With --rate pieces
 * are sent when they are due, so many a second in all, on one connection after the other. With
 * --pid there is in the results what processor time that process used meanwhile.
 */
#include "load.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/epoll.h>

enum { PIECE = 64 * 1024, EVENTS = 64, PIECES_IN_TURN = 4 };

struct client {
    int fd;
    bool is_full; /* told when it is not, any more */
    uint64_t sent;
    size_t owed; /* of what is due, with a rate */
};

struct load {
    const char *address;
    unsigned connections, turn;
    double seconds, rate, due, interval;
    int epoll;
    struct client *clients;
    uint64_t errors;
    pid_t pid;
};

static char piece[PIECE];

/* Sends at most `size`; what there is no room for is left. */
static size_t send_some(struct client *c, size_t size)
{
    ssize_t n = send(c->fd, piece, size, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN)
        err(1, "send");
    c->is_full = n < 0 || (size_t)n < size;
    c->sent += n < 0 ? 0 : (size_t)n;
    return n < 0 ? 0 : (size_t)n;
}

static void send_owed(struct client *c)
{
    while (c->owed > 0 && !c->is_full)
        c->owed -= send_some(c, c->owed < PIECE ? c->owed : PIECE);
}

static void send_due(struct load *load, uint64_t now)
{
    while (load->due <= (double)now) {
        struct client *c = &load->clients[load->turn];
        load->turn = (load->turn + 1) % load->connections;
        load->due += load->interval;
        c->owed += PIECE;
        send_owed(c);
    }
}

/* A few pieces for each that has room, in turns. True: nobody has. */
static bool send_to_all(struct load *load)
{
    bool all_full = true;

    for (unsigned i = 0; i < load->connections; i++) {
        struct client *c = &load->clients[i];
        for (int k = 0; k < PIECES_IN_TURN && !c->is_full; k++)
            send_some(c, PIECE);
        all_full &= c->is_full;
    }
    return all_full;
}

static void note_room(struct load *load, int timeout)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(load->epoll, events, EVENTS, timeout);

    for (int i = 0; i < count; i++) {
        struct client *c = events[i].data.ptr;
        c->is_full = false;
        if (load->rate > 0)
            send_owed(c);
    }
}

static void send_until(struct load *load, uint64_t end)
{
    uint64_t now;

    while ((now = nanoseconds_now()) < end) {
        if (load->rate > 0) {
            send_due(load, now);
            note_room(load, 0);
        } else {
            note_room(load, send_to_all(load) ? 100 : 0);
        }
    }
}

static void open_clients(struct load *load)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->clients = allocate(load->connections, sizeof(*load->clients));
    for (unsigned i = 0; i < load->connections; i++) {
        struct client *c = &load->clients[i];
        struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.ptr = c};
        c->fd = connect_to(load->address);
        if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ||
            epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
            err(1, "epoll");
    }
}

/* Ends our side, and compares the count that comes back, blocking. */
static void check_count(struct load *load, struct client *c)
{
    char expected[32], answer[33];
    int size = snprintf(expected, sizeof(expected), "%" PRIu64 "\r\n", c->sent);
    ssize_t got;

    if (shutdown(c->fd, SHUT_WR) < 0 || fcntl(c->fd, F_SETFL, 0) < 0)
        err(1, "shutdown");
    got = recv(c->fd, answer, sizeof(answer), MSG_WAITALL); /* up to the end */
    if (got != size || memcmp(answer, expected, (size_t)size) != 0) {
        warnx("%" PRIu64 " bytes were sent; the server's answer: %.*s", c->sent,
              (int)(got < 0 ? 0 : got), answer);
        load->errors++;
    }
    close(c->fd);
}

static void run(struct load *load)
{
    uint64_t began, used, sent = 0;
    double seconds, count;

    open_clients(load);
    used = nanoseconds_used(load->pid);
    began = nanoseconds_now();
    load->due = (double)began;
    load->interval = load->rate > 0 ? 1e9 / load->rate : 0;
    send_until(load, began + (uint64_t)(load->seconds * 1e9));
    for (unsigned i = 0; i < load->connections; i++) {
        sent += load->clients[i].sent;
        check_count(load, &load->clients[i]);
    }
    seconds = (double)(nanoseconds_now() - began) / 1e9; /* until all was taken */
    used = nanoseconds_used(load->pid) - used;
    count = (double)sent / PIECE;
    printf("{\"requests\": %.3f, \"seconds\": %.3f, \"per_second\": %.3f, \"errors\": %" PRIu64
           ", \"cpu_ns\": %" PRIu64 "}\n",
           count, seconds, count / seconds, load->errors, used);
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"connections", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},
        {"rate", required_argument, NULL, 'r'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    struct load load = {.connections = 8, .seconds = 2};
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (name == 'c')
            load.connections = (unsigned)number(optarg, 1, 9999);
        else if (name == 's')
            load.seconds = number(optarg, 0.01, 86400);
        else if (name == 'r')
            load.rate = number(optarg, 1, 1e9);
        else if (name == 'p')
            load.pid = (pid_t)number(optarg, 1, INT32_MAX);
        else
            exit(2);
    }
    if (optind != argc - 1)
        errx(2, "one ADDRESS is needed");
    load.address = argv[optind];
    run(&load);
    return load.errors == 0 ? 0 : 1;
}
