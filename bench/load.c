/* SPDX-License-Identifier: MIT */
/*
 * Load for greeting or echo servers: one thread, many connections, every byte of every answer
 * checked.
 *
 *     load ADDRESS... [--pid SERVER]... [--sets N] [--paced-sets N] [--seconds S] [--rate R]
 *                     [--connections N] [--depth D] [--name-size B] [--echo B] [--reconnect]
 *                     [--mixed] [--busy] [--idle M]
 *     load ADDRESS --idle-only M [--hold SECONDS]
 *
 * Each connection sends a batch of D names in one send, waits for all the answers, and sends the
 * next. With --echo the request is B bytes, and so is the answer. With --reconnect each batch has a
 * connection of its own. With --mixed nine of ten connections send a name at a time, and of the
 * others some send sixteen, some sixteen that are long, and some connect anew for each.
 *
 * With --rate batches begin when they are due, R of their requests a second in all, on one
 * connection after the other, whatever the server does; what is due on a connection that still
 * waits begins when that has its answer. Latencies, which are of whole batches, count from when
 * they were due, and so do those that are answered after the time.
 *
 * Several servers are asked in turn, in slices of S seconds (load_slices.h): N sets as fast as they
 * can, then as many at the rate. Without sets it is a single slice. For each slice a line of JSON
 * is printed, and one at the end with the errors. With --pid, in the order of the addresses, there
 * is in it what processor time that process used meanwhile, which ought to be the server. Each
 * connection was answered once before the time begins, so that none is still to be accepted.
 *
 * With --busy one connection more sends names without an end and without waiting, as fast as the
 * server takes them; only the others are counted. With sets it does so in every other slice, and
 * the results call those of a server without it 0, and with it 1.
 *
 * With --idle-only, M connections are greeted once, "ready" is printed, and they are held until
 * standard input ends (or for so many seconds), for someone to measure the server meanwhile.
 */
#include "load_names.h"
#include "load_slices.h"

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sys/epoll.h>

enum {
    NAME_LIMIT = 1024,
    ECHO_LIMIT = 1 << 20,
    EVENTS = 256,
    BUFFER_SIZE = 256 * 1024,
    BUSY_DEPTH = 512,
    MIXED_LONG = 1000,
    BUSY_PIECE = 4 * 1024, /* of a turn, so that the load has time for the others */
};

struct options {
    unsigned connections, depth, idle, name_size;
    double hold;
    struct slicing slicing;
    bool idle_only, echo, reconnect, mixed, busy;
};

struct client {
    int fd; /* -1 once it has failed, and between its connections */
    bool is_waiting, reconnects;
    uint64_t began;
    double due;    /* of the first that it owes, with a rate */
    unsigned owed; /* batches that are due and have not begun */
    struct batch batch;
    size_t sent, received;
};

/* For one server. */
struct load {
    const struct options *options;
    const char *address;
    struct sockaddr_storage peer; /* to reconnect to */
    socklen_t peer_size;
    int epoll;
    struct client *clients, busy;
    unsigned depths;        /* of all clients */
    unsigned waiting, turn; /* whose turn it is, with a rate */
    unsigned unanswered;    /* batches of the busy one */
    double due, interval;   /* nanoseconds; 0: without a rate */
    bool is_ending;         /* no further batches */
    uint64_t requests, errors;
    struct latencies latencies;
};

static void fail(struct load *load, struct client *c, const char *why)
{
    if (load->errors++ < 5)
        warnx("connection %td: %s", c == &load->busy ? -1 : c - load->clients, why);
    close(c->fd);
    c->fd = -1;
    load->waiting -= c->is_waiting;
    c->is_waiting = false;
}

static void send_batch(struct load *load, struct client *c)
{
    const struct batch *b = &c->batch;
    ssize_t n = send(c->fd, b->requests + c->sent, b->requests_size - c->sent, MSG_NOSIGNAL);

    if (n >= 0)
        c->sent += (size_t)n;
    else if (errno != EAGAIN)
        fail(load, c, strerror(errno));
}

static void watch(const struct load *load, struct client *c, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, c->fd, &event) < 0)
        err(1, "epoll");
}

static void disconnect(struct client *c)
{
    close(c->fd);
    c->fd = -1;
}

/* By the time that connect(2) returns, a connection within the machine is there. */
static void reconnect(struct load *load, struct client *c)
{
    const struct sockaddr *address = (const struct sockaddr *)&load->peer;

    c->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || (connect(c->fd, address, load->peer_size) < 0 && errno != EINPROGRESS))
        err(1, "connect");
    watch(load, c, EPOLLIN | EPOLLOUT | EPOLLET);
}

static void begin_batch(struct load *load, struct client *c, uint64_t began)
{
    c->sent = c->received = 0;
    c->began = began;
    c->is_waiting = true;
    load->waiting++;
    if (c->reconnects && c->fd < 0)
        reconnect(load, c);
    send_batch(load, c);
}

/* Gives whether there is one; the next is due when all the connections have had their turn. */
static bool begin_owed(struct load *load, struct client *c)
{
    double due = c->due;

    if (c->owed == 0)
        return false;
    c->owed--;
    c->due += load->interval * load->options->connections;
    begin_batch(load, c, (uint64_t)due);
    return true;
}

static void end_batch(struct load *load, struct client *c)
{
    uint64_t now = nanoseconds_now();

    c->is_waiting = false;
    load->waiting--;
    turn_to_next_round(&c->batch);
    load->requests += c->batch.depth;
    add_latency(&load->latencies, now - c->began);
    if (load->is_ending && c->owed == 0)
        return;
    if (c->reconnects)
        disconnect(c);
    if (load->interval == 0)
        begin_batch(load, c, now);
    else
        begin_owed(load, c);
}

/* Takes what has come, and a byte more than is due, so that one too many is seen. */
static bool receive_answers(struct load *load, struct client *c)
{
    static char buffer[BUFFER_SIZE];
    size_t due = c->batch.answers_size - c->received;
    ssize_t n = recv(c->fd, buffer, due < BUFFER_SIZE ? due + 1 : BUFFER_SIZE, 0);

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        fail(load, c, n == 0 ? "the server closed it" : strerror(errno));
    else if ((size_t)n > due || memcmp(buffer, c->batch.answers + c->received, (size_t)n) != 0)
        fail(load, c, "a wrong answer");
    else
        c->received += (size_t)n;
    return c->fd >= 0;
}

static void serve_client(struct load *load, struct client *c)
{
    if (!c->is_waiting)
        return; /* what came unasked will be found before the next answer */
    if (c->sent < c->batch.requests_size)
        send_batch(load, c);
    while (c->fd >= 0 && receive_answers(load, c)) {
        if (c->received == c->batch.answers_size) {
            end_batch(load, c);
            return;
        }
    }
}

/* A piece of a batch that is sent over and over, to the end of one when the load is ending. */
static void send_busy(struct load *load, struct client *c)
{
    size_t left = c->batch.requests_size - c->sent;
    ssize_t n;

    if (c->sent == 0 && load->is_ending)
        return;
    n = send(c->fd, c->batch.requests + c->sent, left < BUSY_PIECE ? left : BUSY_PIECE,
             MSG_NOSIGNAL);
    if (n > 0)
        c->sent += (size_t)n;
    if (c->sent == c->batch.requests_size) {
        c->sent = 0;
        load->unanswered++;
    }
}

/* A piece each way. */
static void serve_busy(struct load *load, struct client *c)
{
    static char buffer[BUSY_PIECE];
    size_t left = c->batch.answers_size - c->received;
    ssize_t n;

    send_busy(load, c);
    n = recv(c->fd, buffer, left < BUSY_PIECE ? left : BUSY_PIECE, 0);
    if (n > 0 && memcmp(buffer, c->batch.answers + c->received, (size_t)n) == 0)
        c->received += (size_t)n;
    else if (n >= 0 || errno != EAGAIN)
        fail(load, c, n > 0 ? "a wrong answer" : "the busy connection ended");
    if (c->received == c->batch.answers_size) {
        c->received = 0;
        load->unanswered--;
    }
    if (load->is_ending && load->unanswered == 0 && c->sent == 0 && c->is_waiting) {
        c->is_waiting = false;
        load->waiting--;
    }
}

/* What is due is owed by the connection whose turn it is, which begins it unless it waits. */
static void begin_due(struct load *load, uint64_t now)
{
    for (; load->due <= (double)now; load->due += load->interval) {
        struct client *c = &load->clients[load->turn];
        load->turn = (load->turn + 1) % load->options->connections;
        if (c->fd < 0 && !c->reconnects)
            continue;
        if (c->owed++ == 0)
            c->due = load->due;
        if (!c->is_waiting)
            begin_owed(load, c);
    }
}

/* Until `end`, or until nobody waits for an answer and nothing more is due. */
static void turn_until(struct load *load, uint64_t end)
{
    const bool is_paced = load->interval > 0 && !load->is_ending;
    struct epoll_event events[EVENTS];
    uint64_t now;
    int count;

    while ((now = nanoseconds_now()) < end && (load->waiting > 0 || is_paced)) {
        if (is_paced)
            begin_due(load, now);
        /* To wait for less than a millisecond is to look again and again. */
        count = epoll_wait(load->epoll, events, EVENTS,
                           is_paced ? 0 : (int)((end - now) / 1000000) + 1);
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            if (c != &load->busy)
                serve_client(load, c);
            else if (c->fd >= 0)
                serve_busy(load, c);
        }
    }
}

/* Greets once and checks the answer, blocking. */
static int connect_and_greet(const char *address)
{
    static const char expected[] = "Hello, idle!\r\n";
    char answer[sizeof(expected)];
    int fd = connect_to(address);

    if (send(fd, "idle\r\n", 6, MSG_NOSIGNAL) != 6 ||
        recv(fd, answer, sizeof(expected) - 1, MSG_WAITALL) != sizeof(expected) - 1 ||
        memcmp(answer, expected, sizeof(expected) - 1) != 0)
        errx(1, "an idle connection was not greeted");
    return fd;
}

static void hold_idle(const struct options *o)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char dropped[256];

    for (unsigned i = 0; i < o->idle; i++)
        connect_and_greet(o->slicing.addresses[0]);
    puts("ready");
    fflush(stdout);
    while (poll(&input, 1, o->hold > 0 ? (int)(o->hold * 1000) : -1) > 0 &&
           read(STDIN_FILENO, dropped, sizeof(dropped)) > 0)
        ;
}

/* Of fifty, forty-five send a short name at a time, which is what the others are beside. */
static void mix(struct client *c, unsigned number)
{
    unsigned kind = number % 50;

    c->batch.depth = kind % 12 == 11 ? 16 : 1; /* four of them, ... */
    if (kind % 24 == 23)
        c->batch.name_size = MIXED_LONG; /* ... two of which are long */
    c->reconnects = kind == 49;
}

static void open_client(struct load *load, struct client *c, unsigned depth)
{
    const struct options *o = load->options;
    unsigned number = (unsigned)(c - load->clients);

    c->fd = connect_to(load->address);
    c->batch.shape = o->echo ? &echo : &greeting;
    c->batch.depth = depth;
    c->batch.name_size = o->name_size;
    c->reconnects = o->reconnect;
    if (o->mixed)
        mix(c, number);
    make_batch(&c->batch, number);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
        err(1, "fcntl");
}

static void open_clients(struct load *load)
{
    const struct options *o = load->options;

    for (unsigned i = 0; i < o->idle; i++)
        connect_and_greet(load->address);
    load->clients = allocate(o->connections + 1, sizeof(*load->clients));
    for (unsigned i = 0; i < o->connections; i++) {
        struct client *c = &load->clients[i];
        open_client(load, c, o->depth);
        load->depths += c->batch.depth;
        if (!c->reconnects) {
            watch(load, c, EPOLLIN | EPOLLOUT | EPOLLET);
            continue;
        }
        load->peer_size = sizeof(load->peer);
        if (getpeername(c->fd, (struct sockaddr *)&load->peer, &load->peer_size) < 0)
            err(1, "getpeername");
        disconnect(c);
    }
    if (o->busy) {
        open_client(load, &load->clients[o->connections], BUSY_DEPTH);
        load->busy = load->clients[o->connections];
    }
}

static void begin(void *at, double rate)
{
    struct load *load = at;

    load->due = (double)nanoseconds_now();
    load->interval = rate > 0 ? 1e9 * load->depths / load->options->connections / rate : 0;
    for (unsigned i = 0; i < load->options->connections; i++) {
        struct client *c = &load->clients[i];
        c->owed = 0;
        if (rate == 0 && (c->fd >= 0 || c->reconnects))
            begin_batch(load, c, nanoseconds_now());
    }
}

static void begin_with_busy(void *at, double rate)
{
    struct load *load = at;

    load->busy.is_waiting = true;
    load->waiting++;
    watch(load, &load->busy, EPOLLIN | EPOLLOUT); /* told again as long as there is more */
    begin(load, rate);
}

static bool go_on(void *at, uint64_t end)
{
    struct load *load = at;

    turn_until(load, end);
    return load->errors == 0;
}

/* The last answers, or the first: nothing follows on them but what is owed. */
static void wait_for_all(void *at)
{
    struct load *load = at;

    load->is_ending = true;
    turn_until(load, nanoseconds_now() + (uint64_t)GRACE_SECONDS * 1000000000);
    if (load->waiting > 0)
        warnx("%u batches were never answered", load->waiting);
    load->errors += load->waiting;
    load->is_ending = false;
}

static void wait_for_all_and_busy(void *at)
{
    struct load *load = at;

    wait_for_all(load);
    if (load->busy.fd >= 0 && epoll_ctl(load->epoll, EPOLL_CTL_DEL, load->busy.fd, NULL) < 0)
        err(1, "epoll");
}

static double count_requests(void *at)
{
    return (double)((struct load *)at)->requests;
}

/* When this program ends, the server has seen the end of each connection. */
static void end_clients(struct load *load)
{
    char byte;

    for (unsigned i = 0; i < load->options->connections; i++) {
        struct client *c = &load->clients[i];
        if (c->fd >= 0 && (shutdown(c->fd, SHUT_WR) < 0 || fcntl(c->fd, F_SETFL, 0) < 0))
            err(1, "shutdown");
    }
    for (unsigned i = 0; i < load->options->connections; i++) {
        struct client *c = &load->clients[i];
        if (c->fd >= 0 && recv(c->fd, &byte, 1, 0) != 0)
            fail(load, c, "more than the answer");
    }
}

static struct subject open_load(struct load *load, const struct options *o, unsigned which)
{
    load->options = o;
    load->address = o->slicing.addresses[which];
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    open_clients(load);
    for (unsigned i = 0; i < o->connections; i++)
        begin_batch(load, &load->clients[i], 0);
    wait_for_all(load);
    return (struct subject){.load = load,
                            .pid = o->slicing.pids[which],
                            .begin = begin,
                            .go_on = go_on,
                            .rest = wait_for_all,
                            .requests = count_requests,
                            .cycle = load->depths,
                            .latencies = &load->latencies};
}

static struct subject with_busy(struct subject subject)
{
    subject.begin = begin_with_busy;
    subject.rest = wait_for_all_and_busy;
    return subject;
}

static uint64_t run(const struct options *o)
{
    static struct load loads[MOST_SERVERS];
    static struct subject subjects[MOST_SERVERS];
    unsigned count = o->slicing.servers;
    uint64_t errors = 0;

    for (unsigned i = 0; i < count; i++)
        subjects[i] = open_load(&loads[i], o, i);
    if (o->busy) {
        count = o->slicing.sets + o->slicing.paced_sets > 0 ? 2 : 1;
        subjects[count - 1] = with_busy(subjects[0]);
    }
    run_slices(subjects, count, &o->slicing);
    for (unsigned i = 0; i < o->slicing.servers; i++) {
        end_clients(&loads[i]);
        errors += loads[i].errors;
    }
    print_end(subjects, count, errors);
    return errors;
}

static struct options read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"connections", required_argument, NULL, 'c'},
        {"depth", required_argument, NULL, 'd'},
        {"idle", required_argument, NULL, 'i'},
        {"name-size", required_argument, NULL, 'n'},
        {"idle-only", required_argument, NULL, 'o'},
        {"hold", required_argument, NULL, 'h'},
        {"echo", required_argument, NULL, 'e'},
        {"reconnect", no_argument, NULL, 'x'},
        {"mixed", no_argument, NULL, 'm'},
        {"busy", no_argument, NULL, 'b'},
        {"sets", required_argument, NULL, 'S'},
        {"paced-sets", required_argument, NULL, 'P'},
        {"seconds", required_argument, NULL, 's'},
        {"rate", required_argument, NULL, 'r'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.connections = 64, .depth = 1, .name_size = 16, .slicing = {.seconds = 2}};
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (name == 'c')
            o.connections = (unsigned)number(optarg, 1, 99999);
        else if (name == 'd')
            o.depth = (unsigned)number(optarg, 1, 9999);
        else if (name == 'i' || name == 'o')
            o.idle = (unsigned)number(optarg, 0, 99999);
        else if (name == 'n')
            o.name_size = (unsigned)number(optarg, 0, NAME_LIMIT);
        else if (name == 'e')
            o.name_size = (unsigned)number(optarg, 1, ECHO_LIMIT);
        else if (name == 'h')
            o.hold = number(optarg, 0, 86400);
        else
            read_slicing(&o.slicing, name);
        o.idle_only |= name == 'o';
        o.echo |= name == 'e';
        o.reconnect |= name == 'x';
        o.mixed |= name == 'm';
        o.busy |= name == 'b';
    }
    read_addresses(&o.slicing, argc - optind, argv + optind);
    if (o.busy && o.slicing.servers > 1)
        errx(2, "a busy connection is for one server");
    return o;
}

int main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);

    if (options.idle_only)
        hold_idle(&options);
    else
        return run(&options) == 0 ? 0 : 1;
    return 0;
}
