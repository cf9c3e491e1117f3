/* SPDX-License-Identifier: MIT */
/*
 * Load for a greeting server: one thread, many connections, and every byte of every answer checked.
 *
 *     load ADDRESS [--connections N] [--depth D] [--seconds S] [--idle M] [--name-size B]
 *     load ADDRESS --idle-only M [--hold SECONDS]
 *
 * Each connection sends a batch of D names in one send, waits for all the answers, and sends the
 * next. Batches and expected answers are made once; from one to the next only the digits of the
 * round change in them. A name tells its connection, its place in the batch and its round, so that
 * an answer to the wrong name is found out. The result is one line of JSON; the latencies in it
 * are of whole batches.
 *
 * With --idle-only, M connections are greeted once, "ready" is printed, and they are held until
 * standard input ends (or for so many seconds), for someone to measure the server meanwhile.
 */
#include "../examples/greeting/plain_address.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

enum {
    NAME_LIMIT = 1024,
    CONNECTION_DIGITS = 5,
    PLACE_DIGITS = 4,
    ROUND_DIGITS = 7,
    EVENTS = 256,
    GRACE_SECONDS = 5, /* for the last answers */
    BUFFER_SIZE = 256 * 1024,
};

struct options {
    const char *address;
    unsigned connections, depth, idle, name_size;
    double seconds, hold;
    bool idle_only;
};

struct client {
    int fd; /* -1 once it has failed */
    bool is_waiting;
    uint64_t began;
    char *batch, *answers;
    size_t sent, received;
};

/* Of batches: 64 steps for each power of two nanoseconds, so within 1.6 %. */
struct latencies {
    uint64_t count, steps[64 * 64];
};

struct load {
    const struct options *options;
    struct client *clients;
    size_t batch_size, answers_size;
    unsigned waiting;
    bool is_ending; /* no further batches */
    uint64_t requests, errors;
    struct latencies latencies;
};

static uint64_t nanoseconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);

    if (memory == NULL)
        err(1, "memory");
    return memory;
}

static unsigned exponent_of(uint64_t value)
{
    return 63 - (unsigned)__builtin_clzll(value);
}

static void add_latency(struct latencies *l, uint64_t ns)
{
    unsigned exponent = exponent_of(ns | 64);

    l->steps[(size_t)exponent * 64 + (ns >> (exponent - 6) & 63)]++;
    l->count++;
}

static double latency_us(const struct latencies *l, double share)
{
    uint64_t left = (uint64_t)((double)l->count * share);
    unsigned step = 0, exponent;

    while (step < 64 * 64 - 1 && l->steps[step] <= left)
        left -= l->steps[step++];
    exponent = step / 64;
    return exponent < 6 ? 0 : (double)((64 + (uint64_t)step % 64) << (exponent - 6)) / 1000;
}

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
    char *request, *answer;

    request = c->batch = allocate(load->batch_size, 1);
    answer = c->answers = allocate(load->answers_size, 1);
    for (unsigned place = 0; place < load->options->depth; place++) {
        answer = mempcpy(answer, "Hello, ", 7);
        write_name(answer, size, connection, place);
        request = mempcpy(request, answer, size);
        request = mempcpy(request, "\r\n", 2);
        answer = mempcpy(answer + size, "!\r\n", 3);
    }
}

static void turn_to_next_round(const struct load *load, struct client *c)
{
    const unsigned size = load->options->name_size;
    const unsigned width = size < ROUND_DIGITS ? size : ROUND_DIGITS;
    char *request = c->batch + size - width, *answer = c->answers + 7 + size - width;

    for (unsigned place = 0; place < load->options->depth; place++) {
        add_one(request + (size_t)place * (size + 2), width);
        add_one(answer + (size_t)place * (size + 10), width);
    }
}

static void fail(struct load *load, struct client *c, const char *why)
{
    if (load->errors++ < 5)
        warnx("connection %td: %s", c - load->clients, why);
    close(c->fd);
    c->fd = -1;
    load->waiting -= c->is_waiting;
    c->is_waiting = false;
}

static void send_batch(struct load *load, struct client *c)
{
    ssize_t n = send(c->fd, c->batch + c->sent, load->batch_size - c->sent, MSG_NOSIGNAL);

    if (n >= 0)
        c->sent += (size_t)n;
    else if (errno != EAGAIN)
        fail(load, c, strerror(errno));
}

static void begin_batch(struct load *load, struct client *c, uint64_t now)
{
    c->sent = c->received = 0;
    c->began = now;
    c->is_waiting = true;
    load->waiting++;
    send_batch(load, c);
}

static void end_batch(struct load *load, struct client *c)
{
    uint64_t now = nanoseconds_now();

    c->is_waiting = false;
    load->waiting--;
    if (load->is_ending)
        return;
    load->requests += load->options->depth;
    add_latency(&load->latencies, now - c->began);
    turn_to_next_round(load, c);
    begin_batch(load, c, now);
}

/* Takes what has come, and a byte more than is due, so that one too many is seen. */
static bool receive_answers(struct load *load, struct client *c)
{
    static char buffer[BUFFER_SIZE];
    size_t due = load->answers_size - c->received;
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
    if (c->fd >= 0 && c->sent < load->batch_size)
        send_batch(load, c);
    while (c->fd >= 0 && receive_answers(load, c)) {
        if (c->received == load->answers_size) {
            end_batch(load, c);
            return;
        }
    }
}

/* Until `end`, or until nobody waits for an answer. */
static void turn_until(struct load *load, int epoll, uint64_t end)
{
    struct epoll_event events[EVENTS];
    uint64_t now;
    int count;

    while ((now = nanoseconds_now()) < end && load->waiting > 0) {
        count = epoll_wait(epoll, events, EVENTS, (int)((end - now) / 1000000) + 1);
        for (int i = 0; i < count; i++)
            serve_client(load, events[i].data.ptr);
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

static void open_clients(struct load *load, int epoll)
{
    const struct options *o = load->options;

    for (unsigned i = 0; i < o->idle; i++)
        connect_and_greet(o->address);
    load->clients = allocate(o->connections, sizeof(*load->clients));
    for (unsigned i = 0; i < o->connections; i++) {
        struct client *c = &load->clients[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};

        c->fd = connect_to(o->address);
        make_batch(load, c, i);
        if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
            err(1, "epoll");
    }
}

static void run(struct load *load)
{
    const struct options *o = load->options;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t began, ended;
    double seconds;

    load->batch_size = (size_t)o->depth * (o->name_size + 2);
    load->answers_size = (size_t)o->depth * (o->name_size + 10);
    open_clients(load, epoll);
    began = nanoseconds_now();
    for (unsigned i = 0; i < o->connections; i++)
        begin_batch(load, &load->clients[i], nanoseconds_now());
    turn_until(load, epoll, began + (uint64_t)(o->seconds * 1e9));
    ended = nanoseconds_now();
    load->is_ending = true;
    turn_until(load, epoll, ended + (uint64_t)GRACE_SECONDS * 1000000000);
    if (load->waiting > 0)
        warnx("%u batches were never answered", load->waiting);
    load->errors += load->waiting;
    seconds = (double)(ended - began) / 1e9;
    printf("{\"requests\": %" PRIu64
           ", \"seconds\": %.3f, \"per_second\": %.0f, \"errors\": %" PRIu64
           ", \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           load->requests, seconds, (double)load->requests / seconds, load->errors,
           latency_us(&load->latencies, 0.5), latency_us(&load->latencies, 0.99));
}

static double number(const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= least && value <= most))
        errx(2, "%s: not a number from %g to %g", text, least, most);
    return value;
}

static struct options read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"connections", required_argument, NULL, 'c'}, {"depth", required_argument, NULL, 'd'},
        {"seconds", required_argument, NULL, 's'},     {"idle", required_argument, NULL, 'i'},
        {"name-size", required_argument, NULL, 'n'},   {"idle-only", required_argument, NULL, 'o'},
        {"hold", required_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
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
        else if (name == 'h')
            o.hold = number(optarg, 0, 86400);
        else
            exit(2);
        o.idle_only |= name == 'o';
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
