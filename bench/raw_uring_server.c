/* SPDX-License-Identifier: MIT */
/*
 * The greeting server straight on io_uring: what Evert on io_uring is measured against. It keeps
 * the contract of raw_epoll_server, and like that holds nothing for a connection that is idle.
 *
 *     raw_uring_server [ADDRESS]
 *
 * Answers are written one behind the other into blocks, and a block is used from its start again
 * when all sends from it are done, which mostly is at the next enter.
 */
#include "raw_uring.h"

#include "raw_greeting.h"

enum { BUFFER = 4096, BUFFERS = 128, LARGEST = WORST * (NAME_LIMIT + 1 + BUFFER) };
enum { BLOCK = 1 << 20, BLOCKS = 8 };

struct connection {
    struct name name;
    TAILQ_ENTRY(connection) link;
    uint32_t deadline; /* of the farewell: milliseconds, wrapping */
    bool in_farewell;  /* the last answer is given, the rest of the input is dropped */
};

static struct connection connections[CONNECTION_LIMIT]; /* by descriptor; unused pages are free */
static TAILQ_HEAD(, connection) farewells = TAILQ_HEAD_INITIALIZER(farewells); /* by deadline */

static struct {
    size_t used;
    unsigned sends; /* from it that are on their way */
} blocks[BLOCKS];
static char block_memory[BLOCKS][BLOCK]; /* unused pages are free */
static unsigned block;                   /* the one that is written to */

static char input[NAME_LIMIT + 1 + BUFFER], spare[LARGEST], room[BUFFER];

/* Room for answers: at the end of a block, or where all are full in `spare`, to be copied. */
static char *find_room(void)
{
    for (unsigned tried = 0; tried < BLOCKS; tried++) {
        if (blocks[block].sends == 0)
            blocks[block].used = 0;
        if (blocks[block].used + LARGEST <= BLOCK)
            return block_memory[block] + blocks[block].used;
        block = (block + 1) % BLOCKS;
    }
    return spare;
}

static bool answer_with(int fd, char *out, size_t size)
{
    size_t gone = few_came ? send_at_once(fd, out, size) : 0;

    if (gone == size)
        return true;
    if (out == spare || states[fd].sending)
        return send_copy(fd, out + gone, size - gone);
    blocks[block].used += size;
    blocks[block].sends++;
    send_from(fd, out + gone, size - gone, block);
    return true;
}

static void sent_from_block(int fd, unsigned mark)
{
    (void)fd;
    blocks[mark].sends--;
}

static void all_is_sent(int fd)
{
    if (connections[fd].in_farewell)
        shutdown(fd, SHUT_WR);
}

/* See raw_epoll_server.c. */
static void begin_farewell(struct connection *c)
{
    int fd = (int)(c - connections);

    c->in_farewell = true;
    c->deadline = milliseconds_now() + FAREWELL_MS;
    TAILQ_INSERT_TAIL(&farewells, c, link);
    if (!states[fd].sending)
        all_is_sent(fd);
}

static bool answer(int fd, char *data, size_t size)
{
    struct connection *c = &connections[fd];
    char *out = find_room(), *end;
    bool too_long;

    if (c->name.size > 0) { /* the kept beginning goes before it */
        memcpy(input, c->name.data, c->name.size);
        memcpy(input + c->name.size, data, size);
        size += c->name.size;
        data = input;
    }
    end = answer_names(&c->name, data, size, out, &too_long);
    if (end == NULL || (end > out && !answer_with(fd, out, (size_t)(end - out))))
        return false;
    if (too_long)
        begin_farewell(c);
    return true;
}

static bool received_names(int fd, char *data, size_t size, unsigned buffer)
{
    bool goes_on = connections[fd].in_farewell || answer(fd, data, size);

    give_back(buffer);
    return goes_on;
}

static void end_connection(int fd)
{
    struct connection *c = &connections[fd];

    free(c->name.data);
    if (c->in_farewell)
        TAILQ_REMOVE(&farewells, c, link);
    *c = (struct connection){0};
}

/* Ends the farewells that have lasted long enough; returns the milliseconds to the next, or -1. */
static int end_farewells(void)
{
    struct connection *c;

    while ((c = TAILQ_FIRST(&farewells)) != NULL) {
        int32_t left = (int32_t)(c->deadline - milliseconds_now());
        if (left > 0)
            return left;
        TAILQ_REMOVE(&farewells, c, link);
        c->in_farewell = false;
        cut((int)(c - connections));
    }
    return -1;
}

int main(int argc, char **argv)
{
    static const struct service greeting = {
        .buffer_size = BUFFER,
        .buffers = BUFFERS,
        .room = room,
        .room_size = sizeof(room),
        .received = received_names,
        .sent = sent_from_block,
        .all_sent = all_is_sent,
        .ended = end_connection,
        .next = end_farewells,
    };
    const char *address = argc > 1 ? argv[1] : "tcp://127.0.0.1:9999";

    open_server(address);
    serve(&greeting);
    remove_socket_file(address);
    return 0;
}
