/* SPDX-License-Identifier: MIT */
/*
 * What the raw servers on io_uring share: one thread, one ring, one io_uring_enter(2) a turn. The
 * listener's accept and each connection's receive are multishot; received bytes come in buffers
 * that the ring was given, so that a connection which waits holds none. Where much came in a turn
 * sends are queued and go with the next enter; MSG_WAITALL has the kernel send all of it. A
 * connection is known by its descriptor, which is closed only when nothing of it is in the ring.
 *
 * It is the best of what was tried. A newcomer is received from at once, since mostly its bytes are
 * there: 0 to 2.4 % of the CPU time of connections that come and go, from run to run. 128 buffers
 * of the ring stay in the processor's caches, 1,024 do not: 1.5 % of a request's (± 0.5). Of a
 * connection that brings much, or that goes on, the ring only tells, as bytes that went through its
 * buffers have left the caches by then: a quarter of the CPU time of bulk data and of echoes of
 * 64 KiB, 8 % of those of 4 KiB, 1 to 3 % of requests; but 4 % more of connections that are soon
 * over, where a receive ends by itself, and a poll has to be taken back. And where few things came,
 * each answer is sent at once, as the completion of a send ends the next wait: 2 to 5 % of the CPU
 * time of requests below full load. With many in a turn that is nothing, and a call for each is 2
 * to 4 % more.
 */
#ifndef BENCH_RAW_URING_H
#define BENCH_RAW_URING_H

#include "../examples/greeting/plain_address.h"
#include "raw_calls.h"

#include <liburing.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/signalfd.h>

enum { CONNECTION_LIMIT = 1 << 20, ENTRIES = 1024, COMPLETIONS = 16384 };
enum { MUCH = 4096, LASTS = 7, FEW = 8 };

/* The bytes lie in the service's own room. */
#define NO_BUFFER (~0U)

/* What a server does. It is never told of a connection again once this has ended. */
struct service {
    unsigned buffer_size, buffers; /* of the ring; the count is a power of two */
    char *room;                    /* for what is received straight */
    size_t room_size;
    /* Bytes came, in a buffer that is to be given back, or in the room; false: it is over. */
    bool (*received)(int fd, char *data, size_t size, unsigned buffer);
    void (*sent)(int fd, unsigned mark); /* what was sent with this mark is not needed any more */
    /* These two, and `next`, may be NULL. */
    void (*all_sent)(int fd);
    void (*ended)(int fd); /* the descriptor is about to be closed */
    int (*next)(void);     /* does what is due: milliseconds to the next, or -1 */
};

/* Output behind a send that is on its way, which another must not overtake. */
struct later {
    size_t size;
    char data[];
};

static struct {
    struct later *later, *going; /* `going` is being sent */
    bool is_open, receiving, cancelled, sending;
    unsigned char pieces; /* that came, the first LASTS: then it is polled and received from
                           * straight, once what goes on has ended */
    bool polled;
    bool has_ended; /* the peer has: it is over when all is sent */
    bool is_over;
} states[CONNECTION_LIMIT]; /* by descriptor; unused pages are free */

enum what { NOTHING, SIGNAL, ACCEPT, RECEIVE, SEND };
enum { COPY = 0xffffff }; /* the mark of what is sent from `going` */

static const struct service *service;
static struct io_uring ring;
static struct io_uring_buf_ring *offered;
static char *memory; /* of the buffers */
static int listener, signals;
static bool accepting;
static bool few_came;                                /* in this turn */
static unsigned lent;                                /* buffers that were not given back */
static int starved[CONNECTION_LIMIT], starved_count; /* found no buffer */

static inline uint64_t name_of(enum what what, int fd, unsigned mark)
{
    return (uint64_t)what << 56 | (uint64_t)mark << 32 | (uint32_t)fd;
}

static inline struct io_uring_sqe *submission(void)
{
    struct io_uring_sqe *sqe;

    while ((sqe = io_uring_get_sqe(&ring)) == NULL)
        io_uring_submit(&ring);
    return sqe;
}

static inline void accept_again(void)
{
    struct io_uring_sqe *sqe = submission();

    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    sqe->user_data = name_of(ACCEPT, listener, 0);
    accepting = true;
}

static inline void receive_again(int fd)
{
    struct io_uring_sqe *sqe = submission();

    states[fd].polled = states[fd].pieces >= LASTS;
    if (states[fd].polled) {
        io_uring_prep_poll_multishot(sqe, fd, POLLIN | POLLRDHUP);
    } else {
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
    }
    sqe->user_data = name_of(RECEIVE, fd, 0);
    states[fd].receiving = true;
    states[fd].cancelled = false;
}

static inline void stop_receiving(int fd)
{
    struct io_uring_sqe *sqe;

    if (!states[fd].receiving || states[fd].cancelled)
        return;
    sqe = submission();
    io_uring_prep_cancel64(sqe, name_of(RECEIVE, fd, 0), 0);
    sqe->user_data = name_of(NOTHING, fd, 0);
    states[fd].cancelled = true;
}

static inline char *buffer_memory(unsigned buffer)
{
    return memory + (size_t)buffer * service->buffer_size;
}

static inline void offer(unsigned buffer)
{
    io_uring_buf_ring_add(offered, buffer_memory(buffer), service->buffer_size,
                          (unsigned short)buffer, io_uring_buf_ring_mask(service->buffers), 0);
    io_uring_buf_ring_advance(offered, 1);
}

/* Goes on with a connection, or ends it, after anything of it has completed. */
static inline void settle(int fd)
{
    bool is_held_back = states[fd].later != NULL || states[fd].has_ended;

    if (!states[fd].is_open)
        return;
    states[fd].is_over |= states[fd].has_ended && !states[fd].sending;
    if (is_held_back || states[fd].is_over)
        stop_receiving(fd);
    else if (!states[fd].receiving)
        receive_again(fd);
    if (!states[fd].is_over || states[fd].receiving || states[fd].sending)
        return;
    if (service->ended != NULL)
        service->ended(fd);
    free(states[fd].later);
    states[fd].later = NULL;
    states[fd].is_open = false;
    close(fd);
    if (!accepting) /* perhaps for want of what is free now */
        accept_again();
}

static inline void give_back(unsigned buffer)
{
    if (buffer == NO_BUFFER)
        return;
    offer(buffer);
    lent--;
    while (starved_count > 0)
        settle(starved[--starved_count]);
}

/* The bytes have to stay until `sent`; one send at a time. */
static inline void send_from(int fd, const void *data, size_t size, unsigned mark)
{
    struct io_uring_sqe *sqe = submission();

    io_uring_prep_send(sqe, fd, data, size, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->user_data = name_of(SEND, fd, mark);
    states[fd].sending = true;
}

/* How much of it went without waiting. What does not for good, the ring will say of the rest. */
static inline size_t send_at_once(int fd, const void *data, size_t size)
{
    ssize_t n = states[fd].sending ? 0 : raw_send(fd, data, size);

    return n > 0 ? (size_t)n : 0;
}

static inline void send_later(int fd)
{
    states[fd].going = states[fd].later;
    states[fd].later = NULL;
    send_from(fd, states[fd].going->data, states[fd].going->size, COPY);
}

static inline bool send_copy(int fd, const void *data, size_t size)
{
    struct later *later = states[fd].later;
    size_t before = later != NULL ? later->size : 0;

    later = realloc(later, sizeof(*later) + before + size);
    if (later == NULL)
        return false;
    memcpy(later->data + before, data, size);
    later->size = before + size;
    states[fd].later = later;
    if (!states[fd].sending)
        send_later(fd);
    return true;
}

static inline void sent(int fd, unsigned mark, int result)
{
    states[fd].sending = false;
    states[fd].is_over |= result < 0;
    if (mark == COPY)
        free(states[fd].going);
    else
        service->sent(fd, mark);
    if (states[fd].later != NULL && !states[fd].is_over)
        send_later(fd);
    if (!states[fd].sending && service->all_sent != NULL)
        service->all_sent(fd);
    settle(fd);
}

static inline void note_piece(int fd, size_t size)
{
    if (states[fd].pieces >= LASTS)
        return;
    states[fd].pieces = size < MUCH ? states[fd].pieces + 1 : LASTS;
    if (states[fd].pieces == LASTS)
        stop_receiving(fd);
}

/* Until there is no more, or what is sent has to wait, or others have to get their turn. */
static inline void receive_straight(int fd, uint32_t events)
{
    for (int round = 0; round < ROUNDS && states[fd].later == NULL && !states[fd].is_over;
         round++) {
        ssize_t n = raw_recv(fd, service->room, service->room_size);

        states[fd].has_ended = n == 0;
        states[fd].is_over = (n < 0 && errno != EAGAIN) ||
                             (n > 0 && !service->received(fd, service->room, (size_t)n, NO_BUFFER));
        if (n > 0)
            note_piece(fd, (size_t)n);
        if (n <= 0 || (short_is_all(events) && (size_t)n < service->room_size))
            return;
    }
    stop_receiving(fd); /* and begin again, which tells of what is left */
}

/* Ends a connection whatever is on its way. */
static inline void cut(int fd)
{
    states[fd].is_over = true;
    shutdown(fd, SHUT_RDWR); /* ends a send that waits */
    settle(fd);
}

static inline void accepted(int fd, unsigned flags)
{
    accepting = (flags & IORING_CQE_F_MORE) != 0;
    if (fd >= CONNECTION_LIMIT) {
        close(fd);
    } else if (fd >= 0) {
        memset(&states[fd], 0, sizeof(states[fd]));
        states[fd].is_open = true;
        receive_straight(fd, 0);
        settle(fd);
    }
    if (!accepting && fd != -EMFILE && fd != -ENFILE && fd != -ENOMEM && fd != -ENOBUFS)
        accept_again();
}

static inline void received_into(int fd, unsigned buffer, size_t size)
{
    lent++;
    if (states[fd].is_over) {
        give_back(buffer);
        return;
    }
    states[fd].is_over = !service->received(fd, buffer_memory(buffer), size, buffer);
    note_piece(fd, size);
}

static inline void received(int fd, int result, unsigned flags)
{
    if (!(flags & IORING_CQE_F_MORE))
        states[fd].receiving = false;
    if (result > 0 && !states[fd].polled)
        received_into(fd, flags >> IORING_CQE_BUFFER_SHIFT, (size_t)result);
    else if (result > 0)
        receive_straight(fd, (uint32_t)result);
    else if (result == 0)
        states[fd].has_ended = true;
    else if (result != -ENOBUFS && result != -ECANCELED)
        states[fd].is_over = true;
    /* By now buffers may be there again; where none is, one that is given back goes on with it. */
    if (result == -ENOBUFS && lent == service->buffers)
        starved[starved_count++] = fd;
    else
        settle(fd);
}

static inline void completed(uint64_t data, int result, unsigned flags)
{
    int fd = (int)(uint32_t)data;

    switch ((enum what)(data >> 56)) {
    case ACCEPT:
        accepted(result, flags);
        break;
    case RECEIVE:
        received(fd, result, flags);
        break;
    case SEND:
        sent(fd, (unsigned)(data >> 32) & COPY, result);
        break;
    default:
        break;
    }
}

static inline void open_server(const char *address)
{
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    note_kind(address);
    listener = listen_on(address);
    signals = signalfd(-1, &ends, SFD_CLOEXEC);
    if (signals < 0)
        err(1, "signalfd");
    print_listening(listener, address);
}

static inline void *map(size_t size)
{
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mapped == MAP_FAILED)
        err(1, "mmap");
    return mapped;
}

static inline void open_ring(void)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                                              IORING_SETUP_CQSIZE,
                                     .cq_entries = COMPLETIONS};
    struct io_uring_buf_reg reg = {.ring_entries = service->buffers};
    int rc = io_uring_queue_init_params(ENTRIES, &ring, &params);

    offered = map(service->buffers * sizeof(struct io_uring_buf));
    memory = map((size_t)service->buffers * service->buffer_size);
    reg.ring_addr = (uint64_t)(uintptr_t)offered;
    if (rc == 0)
        rc = io_uring_register_buf_ring(&ring, &reg, 0);
    if (rc < 0) {
        errno = -rc;
        err(1, "io_uring");
    }
    io_uring_buf_ring_init(offered);
    for (unsigned i = 0; i < service->buffers; i++)
        offer(i);
}

/* As io_uring_submit_and_wait_timeout(3), with nothing in it for older kernels: 0.6 % less time. */
static inline void submit_and_wait(const struct __kernel_timespec *limit)
{
    struct io_uring_sq *sq = &ring.sq;
    struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8, .ts = (uint64_t)(uintptr_t)limit};
    unsigned added;

    sq->sqe_head = sq->sqe_tail;
    __atomic_store_n(sq->ktail, sq->sqe_tail, __ATOMIC_RELEASE);
    added = sq->sqe_tail - __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);
#ifdef EVERT__BARE
    evert__bare(SYS_io_uring_enter, ring.ring_fd, added, 1,
                IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (long)&arg, sizeof(arg));
#else
    io_uring_enter2((unsigned)ring.ring_fd, added, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
                    (sigset_t *)&arg, sizeof(arg));
#endif
}

static inline void wait_for_a_signal(void)
{
    struct io_uring_sqe *sqe = submission();

    io_uring_prep_poll_add(sqe, signals, POLLIN);
    sqe->user_data = name_of(SIGNAL, signals, 0);
}

/* Until SIGTERM or SIGINT. */
static inline void serve(const struct service *what)
{
    struct io_uring_cqe *cqe;

    service = what;
    open_ring();
    wait_for_a_signal();
    accept_again();
    for (;;) {
        int wait = service->next != NULL ? service->next() : -1;
        struct __kernel_timespec timeout = {.tv_sec = wait / 1000,
                                            .tv_nsec = wait % 1000 * 1000000L};
        submit_and_wait(wait >= 0 ? &timeout : NULL);
        unsigned left = io_uring_cq_ready(&ring);
        few_came = left <= FEW;
        for (; left > 0; left--) {
            io_uring_peek_cqe(&ring, &cqe);
            uint64_t data = cqe->user_data;
            int result = cqe->res;
            unsigned flags = cqe->flags;
            io_uring_cqe_seen(&ring, cqe);
            if (data >> 56 == SIGNAL)
                return;
            completed(data, result, flags);
        }
    }
}

#endif
