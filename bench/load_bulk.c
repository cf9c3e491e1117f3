/* SPDX-License-Identifier: MIT */
/*
 * Bulk data for servers that drop what they read and, at the end, say how many bytes there were:
 * one thread, which checks that each connection's count is right.
 *
 *     load_bulk ADDRESS... [--pid SERVER]... [--sets N] [--paced-sets N] [--seconds S]
 *                          [--rate PIECES] [--connections N]
 *
 * A piece is 64 KiB, and what the results count as a request. With --rate pieces are sent when they
 * are due, so many a second in all, on one connection after the other. Of slices, sets and results
 * see load_slices.h. What the kernel holds when a slice ends is read while nothing is sent: the
 * next one begins when the server's clock stands still.
 */
#include "load_slices.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

enum { PIECE = 64 * 1024, EVENTS = 64, PIECES_IN_TURN = 4 };

struct client {
    int fd;
    bool is_full; /* told when it is not, any more */
    uint64_t sent;
    size_t owed; /* of what is due, with a rate */
};

/* For one server. */
struct load {
    unsigned connections, turn;
    double due, interval; /* nanoseconds; 0: without a rate */
    int epoll;
    struct client *clients;
    uint64_t errors;
    pid_t pid;
};

static int piece; /* in memory: sendfile(2) copies nothing, so that the server is who has to work */

static void make_piece(void)
{
    piece = memfd_create("piece", MFD_CLOEXEC);
    if (piece < 0 || ftruncate(piece, PIECE) < 0)
        err(1, "memfd");
    signal(SIGPIPE, SIG_IGN);
}

/* Sends at most `size`; what there is no room for is left. */
static size_t send_some(struct client *c, size_t size)
{
    off_t from = 0;
    ssize_t n = sendfile(c->fd, piece, &from, size);

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
        if (load->interval > 0)
            send_owed(c);
    }
}

static bool send_until(void *at, uint64_t end)
{
    struct load *load = at;
    uint64_t now;

    while ((now = nanoseconds_now()) < end) {
        if (load->interval > 0) {
            send_due(load, now);
            note_room(load, 0);
        } else {
            send_to_all(load);
            note_room(load, 0);
        }
    }
    return true; /* what is wrong is seen in the end */
}

static void begin(void *at, double rate)
{
    struct load *load = at;

    load->interval = rate > 0 ? 1e9 / rate : 0;
    load->due = (double)nanoseconds_now();
}

static double count_pieces(void *at)
{
    const struct load *load = at;
    double sent = 0;

    for (unsigned i = 0; i < load->connections; i++)
        sent += (double)load->clients[i].sent;
    return sent / PIECE;
}

/* What is still owed is dropped: it is part of no slice. */
static void rest(void *at)
{
    struct load *load = at;

    for (unsigned i = 0; i < load->connections; i++)
        load->clients[i].owed = 0;
    wait_until_idle(load->pid);
}

static void open_clients(struct load *load, const char *address)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->clients = allocate(load->connections, sizeof(*load->clients));
    for (unsigned i = 0; i < load->connections; i++) {
        struct client *c = &load->clients[i];
        struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.ptr = c};
        c->fd = connect_to(address);
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

static struct subject open_load(struct load *load, unsigned connections, const char *address,
                                pid_t pid)
{
    load->connections = connections;
    load->pid = pid;
    open_clients(load, address);
    return (struct subject){.load = load,
                            .pid = pid,
                            .begin = begin,
                            .go_on = send_until,
                            .rest = rest,
                            .requests = count_pieces,
                            .cycle = connections};
}

static uint64_t run(const struct slicing *s, unsigned connections)
{
    static struct load loads[MOST_SERVERS];
    static struct subject subjects[MOST_SERVERS];
    uint64_t errors = 0;

    make_piece();
    for (unsigned i = 0; i < s->servers; i++)
        subjects[i] = open_load(&loads[i], connections, s->addresses[i], s->pids[i]);
    run_slices(subjects, s->servers, s);
    for (unsigned i = 0; i < s->servers; i++) {
        for (unsigned k = 0; k < connections; k++)
            check_count(&loads[i], &loads[i].clients[k]);
        errors += loads[i].errors;
    }
    print_end(subjects, s->servers, errors);
    return errors;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"connections", required_argument, NULL, 'c'},
        {"sets", required_argument, NULL, 'S'},
        {"paced-sets", required_argument, NULL, 'P'},
        {"seconds", required_argument, NULL, 's'},
        {"rate", required_argument, NULL, 'r'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    struct slicing slicing = {.seconds = 2};
    unsigned connections = 8;
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (name == 'c')
            connections = (unsigned)number(optarg, 1, 9999);
        else
            read_slicing(&slicing, name);
    }
    read_addresses(&slicing, argc - optind, argv + optind);
    return run(&slicing, connections) == 0 ? 0 : 1;
}
