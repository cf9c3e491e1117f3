/* SPDX-License-Identifier: MIT */
/*
 * Load for a greeting or an echo server: one thread, many connections, every byte of every answer
 * checked.
 *
 *     load ADDRESS [--connections N] [--seconds S] [--depth D] [--name-size B] [--echo B]
 *                  [--reconnect] [--rate R] [--busy] [--idle M] [--pid SERVER]
 *     load ADDRESS --idle-only M [--hold SECONDS]
 *
 * Each connection sends a batch of D names in one send, waits for all the answers, and sends the
 * next. Batches and expected answers are made once; from one to the next only the digits of the
 * round change in them. A name tells its connection, its place in the batch and its round, so that
 * an answer to the wrong name is found out. With --echo the request is B bytes, and so is the
 * answer. With --reconnect each batch has a connection of its own.
 *
 * With --rate batches begin when they are due, R requests a second in all, each on the connection
 * whose turn it is, whatever the server does; and latencies count from when they were due.
 *
 * However slow the machine is, at least one request is answered: the time is as long as that takes.
 *
 * With --busy one connection more sends names without an end and without waiting, as fast as the
 * server takes them; only the others are counted.
 *
 * The result is one line of JSON; the latencies in it are of whole batches. Each connection was
 * answered once before the time begins, so that none is still to be accepted. With --pid there is
 * in it what processor time that process used meanwhile, which ought to be the server.
 *
 * With --idle-only, M connections are greeted once, "ready" is printed, and they are held until
 * standard input ends (or for so many seconds), for someone to measure the server meanwhile.
 */
#include "load.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/epoll.h>

enum {
    NAME_LIMIT = 1024,
    ECHO_LIMIT = 1 << 20,
    CONNECTION_DIGITS = 5,
    PLACE_DIGITS = 4,
    ROUND_DIGITS = 7,
    EVENTS = 256,
    GRACE_SECONDS = 5, /* for the last answers */
    BUFFER_SIZE = 256 * 1024,
    BUSY_DEPTH = 512,
    BUSY_PIECE = 4 * 1024, /* of a turn, so that the load has time for the others */
};

struct options {
    const char *address;
    unsigned connections, depth, idle, name_size;
    double seconds, hold, rate;
    pid_t pid;
    bool idle_only, echo, reconnect, busy;
};

/* What stands around a name. */
struct shape {
    const char *before, *request_end, *answer_end;
};

static const struct shape greeting = {"Hello, ", "\r\n", "!\r\n"}, echo = {"", "", ""};

struct client {
    int fd; /* -1 once it has failed, and between its connections */
    bool is_waiting;
    uint64_t began;
    unsigned depth;
    char *batch, *answers;
    size_t batch_size, answers_size, sent, received;
};

struct load {
    const struct options *options;
    struct shape shape;
    struct sockaddr_storage address; /* to reconnect to */
    socklen_t address_size;
    int epoll;
    struct client *clients, busy;
    unsigned waiting, turn; /* whose turn it is, with --rate */
    unsigned unanswered;    /* batches of the busy one */
    double due, interval;   /* nanoseconds */
    bool is_ending;         /* no further batches */
    uint64_t requests, errors;
    struct latencies latencies;
};

static void write_digits(char *at, unsigned width, unsigned value)
{
    for (; width-- > 0; value /= 10)
        at[width] = (char)('0' + value % 10);
}

static void add_one(char *digits, unsigned width)
{
    while (width-- > 0 && ++digits[width] > '9')
        digits[width] = '0';
}

/* A name ends in digits, and begins, if it is long enough, with bytes of every value but CR. */
static void write_name(char *name, unsigned size, unsigned connection, unsigned place)
{
    const unsigned width = CONNECTION_DIGITS + PLACE_DIGITS + ROUND_DIGITS;
    char digits[CONNECTION_DIGITS + PLACE_DIGITS + ROUND_DIGITS];

    write_digits(digits, CONNECTION_DIGITS, connection);
    write_digits(digits + CONNECTION_DIGITS, PLACE_DIGITS, place);
    write_digits(digits + CONNECTION_DIGITS + PLACE_DIGITS, ROUND_DIGITS, 0);
    for (unsigned i = 0; i < size; i++) {
        unsigned left = size - i;
        if (left <= width)
            name[i] = digits[width - left];
        else
            name[i] = (char)((i + connection) % 256 == '\r' ? 'r' : i + connection);
    }
}

static void make_batch(const struct load *load, struct client *c, unsigned connection)
{
    const unsigned size = load->options->name_size;
    const struct shape *s = &load->shape;
    const size_t before = strlen(s->before), request_end = strlen(s->request_end);
    const size_t answer_end = strlen(s->answer_end);
    char *request, *answer;

    c->batch_size = c->depth * (size + request_end);
    c->answers_size = c->depth * (before + size + answer_end);
    request = c->batch = allocate(c->batch_size, 1);
    answer = c->answers = allocate(c->answers_size, 1);
    for (unsigned place = 0; place < c->depth; place++) {
        answer = mempcpy(answer, s->before, before);
        write_name(answer, size, connection, place);
        request = mempcpy(request, answer, size);
        request = mempcpy(request, s->request_end, request_end);
        answer = mempcpy(answer + size, s->answer_end, answer_end);
    }
}

static void turn_to_next_round(const struct load *load, struct client *c)
{
    const unsigned size = load->options->name_size;
    const unsigned width = size < ROUND_DIGITS ? size : ROUND_DIGITS;
    char *request = c->batch + size - width;
    char *answer = c->answers + strlen(load->shape.before) + size - width;

    for (unsigned place = 0; place < c->depth; place++) {
        add_one(request, width);
        add_one(answer, width);
        request += c->batch_size / c->depth;
        answer += c->answers_size / c->depth;
    }
}

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
    ssize_t n = send(c->fd, c->batch + c->sent, c->batch_size - c->sent, MSG_NOSIGNAL);

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
    const struct sockaddr *address = (const struct sockaddr *)&load->address;

    c->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || (connect(c->fd, address, load->address_size) < 0 && errno != EINPROGRESS))
        err(1, "connect");
    watch(load, c, EPOLLIN | EPOLLOUT | EPOLLET);
}

static void begin_batch(struct load *load, struct client *c, uint64_t began)
{
    c->sent = c->received = 0;
    c->began = began;
    c->is_waiting = true;
    load->waiting++;
    if (load->options->reconnect && c->fd < 0)
        reconnect(load, c);
    send_batch(load, c);
}

static void end_batch(struct load *load, struct client *c)
{
    uint64_t now = nanoseconds_now();

    c->is_waiting = false;
    load->waiting--;
    turn_to_next_round(load, c);
    if (load->is_ending)
        return;
    if (load->options->reconnect)
        disconnect(c);
    load->requests += c->depth;
    add_latency(&load->latencies, now - c->began);
    if (load->options->rate == 0)
        begin_batch(load, c, now);
}

/* Takes what has come, and a byte more than is due, so that one too many is seen. */
static bool receive_answers(struct load *load, struct client *c)
{
    static char buffer[BUFFER_SIZE];
    size_t due = c->answers_size - c->received;
    ssize_t n = recv(c->fd, buffer, due < BUFFER_SIZE ? due + 1 : BUFFER_SIZE, 0);

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        fail(load, c, n == 0 ? "the server closed it" : strerror(errno));
    else if ((size_t)n > due || memcmp(buffer, c->answers + c->received, (size_t)n) != 0)
        fail(load, c, "a wrong answer");
    else
        c->received += (size_t)n;
    return c->fd >= 0;
}

static void serve_client(struct load *load, struct client *c)
{
    if (!c->is_waiting)
        return; /* what came unasked will be found before the next answer */
    if (c->sent < c->batch_size)
        send_batch(load, c);
    while (c->fd >= 0 && receive_answers(load, c)) {
        if (c->received == c->answers_size) {
            end_batch(load, c);
            return;
        }
    }
}

/* A piece of a batch that is sent over and over, to the end of one when the load is ending. */
static void send_busy(struct load *load, struct client *c)
{
    size_t left = c->batch_size - c->sent;
    ssize_t n;

    if (c->sent == 0 && load->is_ending)
        return;
    n = send(c->fd, c->batch + c->sent, left < BUSY_PIECE ? left : BUSY_PIECE, MSG_NOSIGNAL);
    if (n > 0)
        c->sent += (size_t)n;
    if (c->sent == c->batch_size) {
        c->sent = 0;
        load->unanswered++;
    }
}

/* A piece each way. */
static void serve_busy(struct load *load, struct client *c)
{
    static char buffer[BUSY_PIECE];
    size_t left = c->answers_size - c->received;
    ssize_t n;

    send_busy(load, c);
    n = recv(c->fd, buffer, left < BUSY_PIECE ? left : BUSY_PIECE, 0);
    if (n > 0 && memcmp(buffer, c->answers + c->received, (size_t)n) == 0)
        c->received += (size_t)n;
    else if (n >= 0 || errno != EAGAIN)
        fail(load, c, n > 0 ? "a wrong answer" : "the busy connection ended");
    if (c->received == c->answers_size) {
        c->received = 0;
        load->unanswered--;
    }
    if (load->is_ending && load->unanswered == 0 && c->sent == 0 && c->is_waiting) {
        c->is_waiting = false;
        load->waiting--;
    }
}

/* With --rate: what is due, unless the connection whose turn it is still waits. */
static void begin_due(struct load *load, uint64_t now)
{
    while (load->due <= (double)now && !load->clients[load->turn].is_waiting) {
        struct client *c = &load->clients[load->turn];
        load->turn = (load->turn + 1) % load->options->connections;
        if (c->fd >= 0 || load->options->reconnect)
            begin_batch(load, c, (uint64_t)load->due);
        load->due += load->interval;
    }
}

/* Until `end`, or until nobody waits for an answer and nothing more is due. */
static void turn_until(struct load *load, uint64_t end)
{
    const bool is_paced = load->options->rate > 0 && !load->is_ending;
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
        connect_and_greet(o->address);
    puts("ready");
    fflush(stdout);
    while (poll(&input, 1, o->hold > 0 ? (int)(o->hold * 1000) : -1) > 0 &&
           read(STDIN_FILENO, dropped, sizeof(dropped)) > 0)
        ;
}

static void open_client(struct load *load, struct client *c, unsigned depth)
{
    c->fd = connect_to(load->options->address);
    c->depth = depth;
    make_batch(load, c, (unsigned)(c - load->clients));
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
        err(1, "fcntl");
}

static void open_clients(struct load *load)
{
    const struct options *o = load->options;

    for (unsigned i = 0; i < o->idle; i++)
        connect_and_greet(o->address);
    load->clients = allocate(o->connections + 1, sizeof(*load->clients));
    for (unsigned i = 0; i < o->connections; i++) {
        struct client *c = &load->clients[i];
        open_client(load, c, o->depth);
        if (!o->reconnect) {
            watch(load, c, EPOLLIN | EPOLLOUT | EPOLLET);
            continue;
        }
        load->address_size = sizeof(load->address);
        if (getpeername(c->fd, (struct sockaddr *)&load->address, &load->address_size) < 0)
            err(1, "getpeername");
        disconnect(c);
    }
    if (o->busy) {
        open_client(load, &load->clients[o->connections], BUSY_DEPTH);
        load->busy = load->clients[o->connections];
    }
}

static void begin(struct load *load, uint64_t now)
{
    const struct options *o = load->options;

    if (o->busy) {
        load->busy.is_waiting = true;
        load->waiting++;
        watch(load, &load->busy, EPOLLIN | EPOLLOUT); /* told again as long as there is more */
    }
    if (o->rate > 0) {
        load->interval = 1e9 * o->depth / o->rate;
        load->due = (double)now;
        return;
    }
    for (unsigned i = 0; i < o->connections; i++)
        if (load->clients[i].fd >= 0 || o->reconnect)
            begin_batch(load, &load->clients[i], nanoseconds_now());
}

/* The last answers, or the first: nothing follows on them, and they do not count. */
static void wait_for_all(struct load *load)
{
    load->is_ending = true;
    turn_until(load, nanoseconds_now() + (uint64_t)GRACE_SECONDS * 1000000000);
    if (load->waiting > 0)
        warnx("%u batches were never answered", load->waiting);
    load->errors += load->waiting;
    load->is_ending = false;
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

static void run(struct load *load)
{
    const struct options *o = load->options;
    uint64_t began, ended, used;
    double seconds;

    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->shape = o->echo ? echo : greeting;
    open_clients(load);
    for (unsigned i = 0; i < o->connections; i++)
        begin_batch(load, &load->clients[i], 0);
    wait_for_all(load);
    used = nanoseconds_used(o->pid);
    began = nanoseconds_now();
    begin(load, began);
    turn_until(load, began + (uint64_t)(o->seconds * 1e9));
    while (load->requests == 0 && load->errors == 0)
        turn_until(load, nanoseconds_now() + 10000000);
    ended = nanoseconds_now();
    used = nanoseconds_used(o->pid) - used;
    wait_for_all(load);
    end_clients(load);
    seconds = (double)(ended - began) / 1e9;
    printf("{\"requests\": %" PRIu64
           ", \"seconds\": %.3f, \"per_second\": %.0f, \"errors\": %" PRIu64
           ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"cpu_ns\": %" PRIu64 "}\n",
           load->requests, seconds, (double)load->requests / seconds, load->errors,
           latency_us(&load->latencies, 0.5), latency_us(&load->latencies, 0.99), used);
}

static struct options read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"connections", required_argument, NULL, 'c'},
        {"depth", required_argument, NULL, 'd'},
        {"seconds", required_argument, NULL, 's'},
        {"idle", required_argument, NULL, 'i'},
        {"name-size", required_argument, NULL, 'n'},
        {"idle-only", required_argument, NULL, 'o'},
        {"hold", required_argument, NULL, 'h'},
        {"rate", required_argument, NULL, 'r'},
        {"echo", required_argument, NULL, 'e'},
        {"reconnect", no_argument, NULL, 'x'},
        {"busy", no_argument, NULL, 'b'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.connections = 64, .depth = 1, .seconds = 2, .name_size = 16};
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (name == 'c')
            o.connections = (unsigned)number(optarg, 1, 99999);
        else if (name == 'd')
            o.depth = (unsigned)number(optarg, 1, 9999);
        else if (name == 's')
            o.seconds = number(optarg, 0.01, 86400);
        else if (name == 'i' || name == 'o')
            o.idle = (unsigned)number(optarg, 0, 99999);
        else if (name == 'n')
            o.name_size = (unsigned)number(optarg, 0, NAME_LIMIT);
        else if (name == 'e')
            o.name_size = (unsigned)number(optarg, 1, ECHO_LIMIT);
        else if (name == 'h')
            o.hold = number(optarg, 0, 86400);
        else if (name == 'r')
            o.rate = number(optarg, 1, 1e9);
        else if (name == 'p')
            o.pid = (pid_t)number(optarg, 1, INT32_MAX);
        else if (name == '?')
            exit(2);
        o.idle_only |= name == 'o';
        o.echo |= name == 'e';
        o.reconnect |= name == 'x';
        o.busy |= name == 'b';
    }
    if (optind != argc - 1)
        errx(2, "one ADDRESS is needed");
    o.address = argv[optind];
    return o;
}

int main(int argc, char **argv)
{
    static struct load load;
    struct options options = read_options(argc, argv);

    load.options = &options;
    if (options.idle_only)
        hold_idle(&options);
    else
        run(&load);
    return load.errors == 0 ? 0 : 1;
}
