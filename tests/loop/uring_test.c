/* SPDX-License-Identifier: MIT */
/*
 * What only a ring has: uring.c, uring_source.c, uring_buffers.c. The order of what it delivers,
 * what it may be short of, and who it acts for.
 */
#include "loop/uring.h"

#include "forking.h"
#include "loop/op_flat.h"

#include <limits.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

static struct evert__uring *ring(void)
{
    return evert__uring_of(loop);
}

/* ---- One connection ---- */

static struct receiver r;
static int peer;
static size_t fed;

static char byte_at(size_t place)
{
    return (char)(place * 7 + place / 251);
}

static void open_pair_of(bool tcp)
{
    int fds[2];
    if (tcp)
        tcp_pair(fds);
    else
        unix_pair(fds);
    receiver_init(&r, fds[0], tcp);
    r.stays_new = true;
    r.piece = 1000;
    r.expected = byte_at;
    peer = fds[1];
    fed = 0;
}

/* What a Unix socket was sent is in it at once. */
static void open_pair(void)
{
    open_pair_of(false);
}

static void close_pair(void)
{
    assert_int_equal(r.wrong, 0);
    receiver_close(&r);
    close(peer);
}

/* The next bytes of a long stream, from the plain end. */
static void feed(size_t size)
{
    static char data[65536];
    assert_true(size <= sizeof(data));
    for (size_t i = 0; i < size; i++)
        data[i] = byte_at(fed + i);
    plain_send(peer, data, size);
    fed += size;
}

static void only_count(struct evert__source *source)
{
    EVERT__CONTAINER(source, struct receiver, source)->told++;
}

/* Arms it, with nothing there yet, so that a receive is in the kernel when bytes come. */
static void arm_in_the_kernel(void)
{
    receiver_take(&r);
    turn(0);
    r.told = 0;
}

/* Whether bytes are still there: if not, the ring has taken them into a buffer. */
static bool in_the_socket(int number)
{
    char byte;
    return recv(number, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/* In small takes where it is to stay new. */
static void take(size_t size)
{
    static char buffer[65536];
    for (size_t part; size > 0; size -= part) {
        part = r.stays_new && size > r.piece ? r.piece : size;
        if (r.stays_new)
            r.fd.ringed.takes = 0;
        assert_int_equal(evert__source_take(&r.source, buffer, part), part);
        receiver_keep(&r, buffer, part);
    }
}

/* A receive stands in the kernel and takes what comes into a buffer. */
static void check_that_the_ring_receives(void)
{
    r.told = 0;
    r.source.ready = only_count;
    feed(100);
    run_until(&r.told, 1);
    assert_false(in_the_socket(r.fd.number));
    r.source.ready = receiver_ready;
    receiver_take(&r);
    receiver_wait(&r, fed);
    assert_int_equal(r.wrong, 0);
}

/* ---- Sends ---- */

struct sender {
    struct evert__op op;
    struct iovec piece;
    char byte;
};

static bool sender_start(struct sender *s, struct evert__fd *fd, char byte,
                         void (*done)(struct evert__op *op))
{
    s->byte = byte;
    s->piece = (struct iovec){&s->byte, 1};
    s->op = (struct evert__op){.kind = EVERT__OP_SEND, .fd = fd, .done = done, .most = SIZE_MAX};
    s->op.send.pieces = &s->piece;
    s->op.send.count = 1;
    return evert__op_start(&s->op);
}

/* ---- Many sends at once ---- */

static struct {
    struct evert__fd fd;
    int peer, count, done, failed;
    struct sender *senders;
} burst;

static void burst_done(struct evert__op *op)
{
    burst.done++;
    burst.failed += op->result != 1;
}

/* Leaves so many sends of a byte to the ring; a socket of TCP's has room for all. */
static void start_burst(int count)
{
    int fds[2];
    loop->gathers = true;
    tcp_pair(fds);
    burst.peer = fds[1];
    burst.count = count;
    burst.done = burst.failed = 0;
    burst.senders = calloc((size_t)count, sizeof(*burst.senders));
    assert_non_null(burst.senders);
    evert__fd_init(&burst.fd, loop, fds[0]);
    for (int i = 0; i < count; i++)
        assert_false(sender_start(&burst.senders[i], &burst.fd, byte_at((size_t)i), burst_done));
    assert_int_equal(burst.done, 0);
}

static void free_burst(void)
{
    evert__fd_close(&burst.fd, NULL);
    close(burst.peer);
    free(burst.senders);
}

/* All bytes of those that were done are at the peer, in order, and no more. */
static void check_that_the_peer_has(int count)
{
    char byte;
    for (int i = 0; i < count; i++) {
        wait_for(burst.peer, POLLIN);
        assert_int_equal(recv(burst.peer, &byte, 1, 0), 1);
        assert_int_equal(byte, byte_at((size_t)i));
    }
    assert_int_equal(recv(burst.peer, &byte, 1, 0), -1);
}

static void end_burst(void)
{
    run_until(&burst.done, burst.count);
    turns(5);
    assert_int_equal(burst.done, burst.count);
    assert_int_equal(burst.failed, 0);
    check_that_the_peer_has(burst.count);
    free_burst();
}

/* ---- Answers to what came in one turn ---- */

enum { FEW = 8, MANY = 9 };

static struct answerer {
    struct receiver r;
    struct sender answer;
    int peer;
} answerers[MANY];

static int answered, left_to_the_ring;

static void answer_done(struct evert__op *op)
{
    assert_int_equal(op->result, 1);
    answered++;
}

static void answer(struct evert__source *source)
{
    struct answerer *a = EVERT__CONTAINER(source, struct answerer, r.source);
    bool at_once = sender_start(&a->answer, &a->r.fd, '!', answer_done);
    a->r.told++;
    left_to_the_ring += !at_once;
    answered += at_once;
}

/* So many ask at once; all are answered. Gives for how many of them the ring did it. */
static int answer_in_one_turn(int count)
{
    char byte;
    answered = left_to_the_ring = 0;
    for (int i = 0; i < count; i++) {
        int fds[2];
        tcp_pair(fds);
        answerers[i].peer = fds[1];
        receiver_init(&answerers[i].r, fds[0], true);
        receiver_take(&answerers[i].r);
        answerers[i].r.source.ready = answer;
    }
    turn(0);
    for (int i = 0; i < count; i++)
        plain_send(answerers[i].peer, "?", 1);
    for (int i = 0; i < count; i++)
        wait_for(answerers[i].r.fd.number, POLLIN);
    turn(PATIENCE);
    for (int i = 0; i < count; i++)
        assert_int_equal(answerers[i].r.told, 1);
    run_until(&answered, count);
    for (int i = 0; i < count; i++) {
        wait_for(answerers[i].peer, POLLIN);
        assert_int_equal(recv(answerers[i].peer, &byte, 1, 0), 1);
        assert_int_equal(byte, '!');
        receiver_close(&answerers[i].r);
        close(answerers[i].peer);
    }
    return left_to_the_ring;
}

/* A completion of the ring's ends its wait, which is too dear for a few. */
static void test_answers_to_few_are_sent_at_once_and_to_many_in_one_call(void **state)
{
    (void)state;
    assert_int_equal(answer_in_one_turn(1), 0);
    assert_int_equal(answer_in_one_turn(FEW), 0);
    assert_int_equal(answer_in_one_turn(MANY), MANY);
    assert_int_equal(answer_in_one_turn(FEW), 0);
}

/* ---- Order ---- */

static void take_while_more_comes(struct evert__source *source)
{
    (void)source;
    r.told++;
    r.source.ready = receiver_ready;
    take(4096);
    take(4096);
    feed(100);
    receiver_take(&r);
}

/* F15: the second buffer of two that came together is taken before what came later. */
static void test_what_came_together_is_taken_before_what_comes_meanwhile(void **state)
{
    (void)state;
    open_pair();
    arm_in_the_kernel();
    r.source.ready = take_while_more_comes;
    feed(EVERT__URING_BUFFER + 100);
    run_until(&r.told, 1);
    receiver_wait(&r, fed);
    close_pair();
}

static void wait_until_there(int number, int size)
{
    int there = 0;
    do {
        wait_for(number, POLLIN);
        assert_int_equal(ioctl(number, FIONREAD, &there), 0);
    } while (there < size);
}

/* A large piece came, so that the ring only tells when more does. */
static void open_polled_pair(void)
{
    open_pair_of(true);
    r.stays_new = false;
    feed(20000);
    wait_until_there(r.fd.number, 20000);
    take(20000);
    arm_in_the_kernel();
    r.source.ready = only_count;
}

enum { SHUT, CLOSED, CLOSED_UNREAD, ENDS };

static void end_peer(int how)
{
    if (how == SHUT) {
        assert_int_equal(shutdown(peer, SHUT_WR), 0);
        return;
    }
    if (how == CLOSED_UNREAD)
        plain_send(r.fd.number, "x", 1);
    close(peer);
    peer = dup(0);
}

/* F20: of a Unix socket, whatever the ring says of it. */
static void test_an_end_that_comes_together_with_bytes_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 8 * ENDS; i++) {
        open_pair();
        arm_in_the_kernel();
        r.piece = i % 2 ? 1000 : 4096;
        if (i % 4 < 2)
            r.source.ready = only_count;
        feed(i % 8 < 4 ? 500 : EVERT__URING_BUFFER + 500);
        end_peer(i / 8);
        run_until(&r.told, 1);
        receiver_take(&r);
        r.source.ready = receiver_ready;
        run_until(&r.ended, 1);
        assert_true(r.result == 0 || (i / 8 == CLOSED_UNREAD && r.result == -ECONNRESET));
        assert_int_equal(r.size, fed);
        close_pair();
    }
}

/* Of large pieces the ring tells when some come, and not of each thing that came with them. */
static void test_an_end_that_comes_together_with_bytes_behind_large_ones_is_told(void **state)
{
    (void)state;
    for (int how = SHUT; how <= CLOSED; how++) {
        open_polled_pair();
        feed(500);
        end_peer(how);
        wait_for(r.fd.number, POLLRDHUP);
        run_until(&r.told, 1);
        assert_true(in_the_socket(r.fd.number));
        r.source.ready = receiver_ready;
        receiver_take(&r);
        run_until(&r.ended, 1);
        assert_int_equal(r.result, 0);
        assert_int_equal(r.size, fed);
        close_pair();
    }
}

/* F15: submitting in mid-turn, for a full queue, completes nothing that waited in the kernel. */
static void test_a_full_queue_changes_no_order(void **state)
{
    (void)state;
    open_pair();
    arm_in_the_kernel();
    r.source.ready = only_count;
    feed(EVERT__URING_BUFFER);
    run_until(&r.told, 1);
    take(4096);
    take(4096);
    feed(100);
    start_burst(600);
    feed(100);
    r.source.ready = receiver_ready;
    receiver_take(&r);
    receiver_wait(&r, fed);
    end_burst();
    close_pair();
}

/* ---- F28: the kernel takes nothing ---- */

static struct {
    int error, left, seen;
} enters;

static bool fail_enters(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    if (call != EVERT__SYS_URING_ENTER)
        return false;
    enters.seen++;
    if (enters.left == 0)
        return false;
    enters.left--;
    *result = -enters.error;
    return true;
}

static void watch_enters(int error, int left)
{
    enters.error = error;
    enters.left = left;
    enters.seen = 0;
    evert__sys_set_hook(fail_enters);
}

static const int refusals[] = {EAGAIN, EBUSY, EINTR, ENOMEM};

/* F28 */
static void test_nothing_is_lost_when_the_kernel_takes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        open_pair();
        receiver_take(&r);
        watch_enters(refusals[i], 20);
        feed(1000);
        start_burst(600); /* some of it in mid-turn */
        receiver_wait(&r, fed);
        assert_int_equal(enters.left, 0);
        end_burst();
        evert__sys_set_hook(NULL);
        close_pair();
    }
}

/* F28: not tried again and again without a pause, either. */
static void test_a_kernel_that_takes_nothing_is_not_pressed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        if (refusals[i] == EINTR)
            continue;
        open_pair();
        arm_in_the_kernel();
        watch_enters(refusals[i], INT_MAX);
        evert_time limit = evert_after(100 * EVERT_MILLISECOND);
        while (evert__clock() < limit)
            turn(PATIENCE);
        assert_in_range(enters.seen, 1, 60);
        evert__sys_set_hook(NULL);
        check_that_the_ring_receives();
        close_pair();
    }
}

/* ---- F29: more completions than there is room for ---- */

static bool has_overflown(void)
{
    return (*ring()->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW) != 0;
}

/* F29, F31: a receive ends by that, too. */
static void test_completions_without_room_are_not_lost(void **state)
{
    (void)state;
    open_pair();
    arm_in_the_kernel();
    feed(3 * EVERT__URING_BUFFER);
    start_burst((int)ring()->ring.cq.ring_entries + 1000);
    assert_true(has_overflown());
    turns(10); /* which do not wait, and so need not ask */
    assert_int_equal(burst.done, burst.count);
    end_burst();
    assert_false(has_overflown());
    receiver_wait(&r, fed);
    check_that_the_ring_receives();
    close_pair();
}

/* What is there of a connection that is polled, in the way of a stream; arms it. */
static void receive_flat(void)
{
    static char buffer[1000];
    do {
        ssize_t size;
        while ((size = evert__receive_flat(&r.source, buffer, sizeof(buffer))) > 0)
            receiver_keep(&r, buffer, (size_t)size);
        assert_int_equal(size, -EAGAIN);
    } while (evert__arm_flat(&r.source));
}

/* F29, F31: a poll ends by that, too. */
static void test_a_poll_without_room_for_its_completion_is_asked_for_again(void **state)
{
    (void)state;
    open_polled_pair();
    assert_true(r.fd.by_readiness);
    start_burst((int)ring()->ring.cq.ring_entries + 1000);
    feed(100);
    end_burst();
    assert_false(r.fd.by_readiness);
    for (int i = 0; i < 3; i++) {
        run_until(&r.told, i + 1);
        receive_flat();
        assert_int_equal(r.size, fed);
        turn(0);
        feed(100);
    }
    r.source.ready = receiver_ready;
    receiver_wait(&r, fed);
    close_pair();
}

/* F34: of a descriptor that is closed only the number is looked at; the rest is its owner's. */
static void test_what_comes_for_a_closed_descriptor_is_nobodys(void **state)
{
    (void)state;
    struct evert__fd fd = {.loop = loop, .number = -1};
    struct io_uring_cqe cqe = {
        .user_data = (uint64_t)(uintptr_t)&fd | EVERT__URING_SOURCE,
        .res = POLLIN,
        .flags = IORING_CQE_F_MORE,
    };
    fd.owner = (void *)~(uintptr_t)0;
    assert_false(evert__uring_source_keep(&fd, &cqe));
    assert_ptr_equal(fd.owner, (void *)~(uintptr_t)0);
}

/* ---- F32: a cancel that lost ---- */

/* F32: those that were done by then are told as done, and the others did nothing. */
static void test_cancels_of_what_is_done_already_change_nothing(void **state)
{
    (void)state;
    start_burst(600); /* some of it was submitted in mid-turn, and is done */
    for (int i = 0; i < burst.count; i++)
        assert_false(evert__op_cancel(&burst.senders[i].op));
    run_until(&burst.done, burst.count);
    turns(5);
    assert_int_equal(burst.done, burst.count);
    int sent = 0;
    for (int i = 0; i < burst.count; i++)
        sent += burst.senders[i].op.result == 1;
    assert_in_range(sent, 1, burst.count);
    assert_int_equal(burst.failed, burst.count - sent);
    check_that_the_peer_has(sent);
    free_burst();
}

static void let_the_loop_end(struct evert__op *op)
{
    burst_done(op);
    if (burst.done == burst.count)
        loop->busy--;
}

/* Goes without a last wait, in which it would hear of what was done. */
static void *start_and_go(void *unused)
{
    (void)unused;
    turn(0);
    start_burst(600);
    return NULL;
}

/* F32: in a ring that is left to another thread, too. */
static void test_what_was_done_when_its_thread_ended_is_told_as_done(void **state)
{
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, start_and_go, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    loop->busy++;
    for (int i = 0; i < burst.count; i++)
        burst.senders[i].op.done = let_the_loop_end;
    evert_loop_free(loop);
    loop = NULL;
    assert_int_equal(burst.done, burst.count);
    assert_in_range(burst.failed, 1, burst.count - 1);
    check_that_the_peer_has(burst.count - burst.failed);
    close(burst.fd.number);
    close(burst.peer);
    free(burst.senders);
}

/* ---- F30: no buffer is left ---- */

enum { CROWD = EVERT__URING_BUFFERS + 72 };

static struct {
    struct receiver receiver;
    int peer;
} crowd[CROWD];

static void open_crowd(void)
{
    for (int i = 0; i < CROWD; i++) {
        int fds[2];
        unix_pair(fds);
        receiver_init(&crowd[i].receiver, fds[0], false);
        crowd[i].peer = fds[1];
        receiver_take(&crowd[i].receiver);
    }
    turn(0);
}

static void close_crowd(void)
{
    for (int i = 0; i < CROWD; i++) {
        receiver_close(&crowd[i].receiver);
        close(crowd[i].peer);
    }
}

/* Four bytes to each, which nobody takes. */
static void feed_crowd(const char *words)
{
    for (int i = 0; i < CROWD; i++) {
        crowd[i].receiver.told = 0;
        crowd[i].receiver.source.ready = only_count;
        plain_send(crowd[i].peer, words, 4);
    }
    for (int i = 0; i < CROWD; i++)
        run_until(&crowd[i].receiver.told, 1);
}

static int crowd_in_sockets(void)
{
    int count = 0;
    for (int i = 0; i < CROWD; i++)
        count += in_the_socket(crowd[i].receiver.fd.number);
    return count;
}

static void crowd_takes(const char *whole)
{
    for (int i = 0; i < CROWD; i++) {
        crowd[i].receiver.source.ready = receiver_ready;
        receiver_take(&crowd[i].receiver);
        receiver_wait(&crowd[i].receiver, strlen(whole));
        assert_memory_equal(crowd[i].receiver.data, whole, strlen(whole));
    }
    turn(0);
}

/* F30, F31: those without a buffer are told as well, once; and so again, the next time. */
static void test_without_a_buffer_every_byte_arrives(void **state)
{
    (void)state;
    open_crowd();
    feed_crowd("one,");
    assert_int_equal(crowd_in_sockets(), CROWD - EVERT__URING_BUFFERS);
    crowd_takes("one,");
    feed_crowd("two,");
    assert_int_equal(crowd_in_sockets(), CROWD - EVERT__URING_BUFFERS);
    crowd_takes("one,two,");
    close_crowd();
}

/* F30 */
static void test_without_a_buffer_the_loop_sleeps(void **state)
{
    (void)state;
    open_crowd();
    feed_crowd("hold");
    turns(5);
    watch_enters(0, 0);
    turns(50);
    assert_int_equal(enters.seen, 0);
    evert_time deadline = evert_after(10 * EVERT_MILLISECOND);
    while (evert__clock() < deadline)
        assert_int_equal(evert_loop_turn(loop, deadline), 0);
    assert_in_range(enters.seen, 1, 5);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(crowd[i].receiver.told, 1);
    crowd_takes("hold");
    close_crowd();
}

/* F30: while others keep all of the buffers, one that takes what comes is served as ever. */
static void test_who_takes_is_served_while_others_keep_the_buffers(void **state)
{
    (void)state;
    open_crowd();
    feed_crowd("hold");
    open_pair();
    receiver_take(&r);
    watch_enters(0, 0);
    for (int i = 0; i < 100; i++) {
        feed(1000);
        receiver_wait(&r, fed);
    }
    assert_true(enters.seen <= 300);
    evert__sys_set_hook(NULL);
    crowd_takes("hold");
    check_that_the_ring_receives();
    close_pair();
    close_crowd();
}

/* ---- F31: a receive, or an accept, that has ended is begun again ---- */

/* Has so many pieces come one by one, while nobody takes. */
static void feed_untaken(int count)
{
    r.source.ready = only_count;
    while (count-- > 0) {
        feed(100);
        turns(2);
    }
}

/* F31: ended since enough was kept of it. */
static void test_a_receive_goes_on_after_nobody_took(void **state)
{
    (void)state;
    open_pair();
    for (int i = 0; i < 3; i++) {
        arm_in_the_kernel();
        feed_untaken(12);
        assert_int_equal(r.told, 1);
        assert_true(in_the_socket(r.fd.number));
        r.source.ready = receiver_ready;
        receiver_take(&r);
        receiver_wait(&r, fed);
        check_that_the_ring_receives();
    }
    close_pair();
}

/* Whether what comes next is received into a buffer. */
static bool is_received(size_t size)
{
    r.source.ready = only_count;
    r.told = 0;
    receiver_take(&r);
    turn(0); /* what is asked for is in the kernel */
    feed(size);
    run_until(&r.told, 1);
    bool received = !in_the_socket(r.fd.number);
    take(size);
    return received;
}

/* F31: then the receive is ended, and the connection polled. */
static void test_of_what_goes_on_the_ring_only_tells(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair_of(tcp);
        r.stays_new = false;
        for (int i = 0; i < 7; i++)
            assert_true(is_received(10));
        for (int i = 0; i < 20; i++)
            assert_false(is_received(10));
        close_pair();
    }
}

/* F31 */
static void test_of_what_comes_in_a_large_piece_the_ring_only_tells(void **state)
{
    (void)state;
    open_pair_of(true);
    r.stays_new = false;
    assert_true(is_received(4095));
    assert_true(is_received(4096));
    assert_false(is_received(10));
    close_pair();
}

/* F31: given up and asked for again, before or after the kernel knew. */
static void test_a_receive_goes_on_after_it_was_given_up(void **state)
{
    (void)state;
    open_pair();
    for (int i = 0; i < 4; i++) {
        receiver_take(&r);
        turns(i % 2);
        evert__source_disarm(&r.source);
        turns(i / 2);
        receiver_take(&r);
        check_that_the_ring_receives();
    }
    close_pair();
}

static struct {
    struct evert__fd fd;
    struct evert__source source;
    struct sockaddr_in address;
    int told, clients[200], count;
} listener;

static void listener_ready(struct evert__source *source)
{
    (void)source;
    listener.told++;
}

/* Takes newcomers until there are no more; gives their number. Arms it. */
static int accept_all(void)
{
    int count = 0;
    do {
        ssize_t fd;
        for (; (fd = evert__source_take(&listener.source, NULL, 0)) >= 0; count++)
            close((int)fd);
        assert_int_equal(fd, -EAGAIN);
    } while (evert__source_arm(&listener.source));
    return count;
}

static void start_to_listen(void)
{
    listener.told = listener.count = 0;
    evert__fd_init(&listener.fd, loop, tcp_bound(200, &listener.address));
    evert__source_init(&listener.source, &listener.fd, EVERT__SOURCE_ACCEPT, listener_ready);
}

static void accept_in_the_kernel(void)
{
    assert_int_equal(accept_all(), 0);
    turn(0);
}

/* Clients that are connected as far as they know. */
static void come(int count)
{
    while (count-- > 0) {
        int fd = tcp_client(&listener.address);
        wait_for(fd, POLLOUT);
        listener.clients[listener.count++] = fd;
    }
}

static void stop_listening(void)
{
    while (listener.count > 0)
        close(listener.clients[--listener.count]);
    evert__fd_close(&listener.fd, NULL);
    turn(0);
}

static void check_that_the_ring_accepts(void)
{
    listener.told = 0;
    come(1);
    run_until(&listener.told, 1);
    assert_int_equal(accept(listener.fd.number, NULL, NULL), -1); /* the ring has it already */
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(accept_all(), 1);
    turn(0);
}

/* F31, F1: it ended by an error, which is told. The limit is that of when it was asked for. */
static void test_an_accept_goes_on_after_a_shortage(void **state)
{
    struct rlimit before, tight;
    (void)state;
    turn(0);
    start_to_listen();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    close(next);
    tight = (struct rlimit){(rlim_t)next + 3, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    accept_in_the_kernel();
    come(3);
    for (int i = 0; i < 3; i++) { /* asked for again while nothing is better */
        run_until(&listener.told, 1);
        assert_int_equal(evert__source_take(&listener.source, NULL, 0), -EMFILE);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(accept_all(), 3);
    turn(0);
    check_that_the_ring_accepts();
    stop_listening();
}

/* F31: it ended since enough was kept of it. */
static void test_an_accept_goes_on_after_nobody_took(void **state)
{
    (void)state;
    start_to_listen();
    accept_in_the_kernel();
    for (int i = 0; i < 150; i++) {
        come(1);
        turn(0);
    }
    turns(5);
    assert_int_equal(listener.told, 1);
    assert_int_equal(accept_all(), 150);
    turn(0);
    check_that_the_ring_accepts();
    stop_listening();
}

/* F34: those that the ring accepted in mid-turn, and has not told of, when it is closed. */
static void test_newcomers_of_a_closed_listener_are_closed(void **state)
{
    char byte;
    (void)state;
    turn(0);
    int before = open_descriptors();
    start_to_listen();
    assert_int_equal(accept_all(),
                     0); /* asked for, which the kernel knows when the queue is full */
    come(3);
    start_burst(600);
    assert_int_equal(accept(listener.fd.number, NULL, NULL), -1); /* the ring has them */
    evert__fd_close(&listener.fd, NULL);
    end_burst();
    assert_int_equal(listener.told, 0);
    while (listener.count > 0) {
        int client = listener.clients[--listener.count];
        wait_for(client, POLLIN);
        assert_int_equal(recv(client, &byte, 1, 0), 0);
        close(client);
    }
    assert_int_equal(open_descriptors(), before);
}

/* ---- F37: who it acts for ---- */

/* F37, CVE-2024-22017: the kernel's own word. */
static void test_no_thread_of_the_kernel_submits(void **state)
{
    char path[50], words[2000] = "";
    (void)state;
    turn(0);
    assert_false(ring()->ring.flags & IORING_SETUP_SQPOLL);
    (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ring()->ring.ring_fd);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(words, 1, sizeof(words) - 1, file) > 0);
    (void)fclose(file);
    check_words(words, "SqThread:\t-1\n");
}

/* Who sent what comes next. */
static uid_t sender_of_next(int fd)
{
    char byte, room[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    struct ucred who;
    MUST(recvmsg(fd, &message, 0) == 1);
    MUST(CMSG_FIRSTHDR(&message) != NULL);
    memcpy(&who, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(who));
    return who.uid;
}

static void sends_as_who_it_is_now(void)
{
    struct sender s[2];
    struct evert__fd fd;
    int fds[2], one = 1;
    MUST(evert_loop_new(&loop) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    MUST(setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) == 0);
    evert__fd_init(&fd, loop, fds[0]);
    burst.done = 0;
    MUST(evert_loop_turn(loop, 0) == 0);
    loop->gathers = true;
    MUST(!sender_start(&s[0], &fd, '0', burst_done)); /* prepared before, handed over after it */
    MUST(geteuid() != 0 || setuid(65534) == 0);
    MUST(!sender_start(&s[1], &fd, '1', burst_done));
    while (burst.done < 2)
        MUST(evert_loop_turn(loop, evert_after(PATIENCE)) == 0);
    MUST(sender_of_next(fds[1]) == geteuid());
    MUST(sender_of_next(fds[1]) == geteuid());
    evert__fd_close(&fd, NULL);
    evert_loop_free(loop);
}

/* F37: whoever made the ring, the process that enters the kernel is who sends. */
static void test_after_setuid_nothing_is_done_with_the_rights_of_before(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(sends_as_who_it_is_now)), 0);
}

/* ---- F38: a fork ---- */

static int tell_child[2];
static struct sender theirs; /* a send of the parent's, which the child would cancel */

/* Whatever the child asks for: its queue is the parent's, in shared memory. */
static void use_what_was_inherited(void)
{
    char byte;
    MUST(read(tell_child[0], &byte, 1) == 1);
    MUST(evert__op_cancel(&theirs.op));
    MUST(evert__source_arm(&r.source));
    MUST(evert__source_take(&r.source, &byte, 1) == EVERT_ECLOSED);
    evert__fd_close(&r.fd, NULL);
    evert_loop_free(loop);
    MUST(evert_loop_new(&loop) == 0);
    MUST(on_uring());
    calls_and_timers_work(loop);
    evert_loop_free(loop);
}

/* F38: the parent queues something where the child would; it is the parent's that is done. */
static void test_what_a_child_asks_for_does_not_reach_the_parents_ring(void **state)
{
    (void)state;
    open_pair();
    arm_in_the_kernel();
    assert_int_equal(pipe2(tell_child, O_CLOEXEC), 0);
    theirs = (struct sender){.byte = '?'};
    theirs.op = (struct evert__op){.kind = EVERT__OP_SEND, .fd = &r.fd};
    pid_t child = fork_child(use_what_was_inherited);
    start_burst(10);
    assert_int_equal(write(tell_child[1], "!", 1), 1);
    assert_int_equal(exit_of(child), 0);
    end_burst();
    for (int i = 0; i < 2 * EVERT__URING_BUFFERS; i++) /* each of the buffers, and again */
        check_that_the_ring_receives();
    close(tell_child[0]);
    close(tell_child[1]);
    close_pair();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_CASE(test_answers_to_few_are_sent_at_once_and_to_many_in_one_call),
        LOOP_CASE(test_what_came_together_is_taken_before_what_comes_meanwhile),
        LOOP_CASE(test_an_end_that_comes_together_with_bytes_is_told),
        LOOP_CASE(test_an_end_that_comes_together_with_bytes_behind_large_ones_is_told),
        LOOP_CASE(test_a_full_queue_changes_no_order),
        LOOP_CASE(test_nothing_is_lost_when_the_kernel_takes_nothing),
        LOOP_CASE(test_a_kernel_that_takes_nothing_is_not_pressed),
        LOOP_CASE(test_completions_without_room_are_not_lost),
        LOOP_CASE(test_a_poll_without_room_for_its_completion_is_asked_for_again),
        LOOP_CASE(test_what_comes_for_a_closed_descriptor_is_nobodys),
        LOOP_CASE(test_cancels_of_what_is_done_already_change_nothing),
        LOOP_CASE(test_what_was_done_when_its_thread_ended_is_told_as_done),
        LOOP_CASE(test_without_a_buffer_every_byte_arrives),
        LOOP_CASE(test_without_a_buffer_the_loop_sleeps),
        LOOP_CASE(test_who_takes_is_served_while_others_keep_the_buffers),
        LOOP_CASE(test_a_receive_goes_on_after_nobody_took),
        LOOP_CASE(test_of_what_goes_on_the_ring_only_tells),
        LOOP_CASE(test_of_what_comes_in_a_large_piece_the_ring_only_tells),
        LOOP_CASE(test_a_receive_goes_on_after_it_was_given_up),
        LOOP_CASE(test_an_accept_goes_on_after_a_shortage),
        LOOP_CASE(test_an_accept_goes_on_after_nobody_took),
        LOOP_CASE(test_newcomers_of_a_closed_listener_are_closed),
        LOOP_CASE(test_no_thread_of_the_kernel_submits),
        LOOP_CASE(test_after_setuid_nothing_is_done_with_the_rights_of_before),
        LOOP_CASE(test_what_a_child_asks_for_does_not_reach_the_parents_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
