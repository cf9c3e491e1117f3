/* SPDX-License-Identifier: MIT */
/*
 * F34: descriptors that were closed, and of which somebody has a copy. The kernel keeps what was
 * asked for them, so events may come that are for nobody; their numbers are others' by then.
 */
#include <limits.h>

#include "forking.h"

/* A receiver that waits, and the peer's end of its socket. */
struct pair {
    struct receiver r;
    int peer;
};

static void pair_open(struct pair *p)
{
    int fds[2];
    unix_pair(fds);
    p->peer = fds[1];
    receiver_init(&p->r, fds[0], false);
    receiver_take(&p->r);
    turns(3); /* what the kernel tells at once, as that there is room to send */
}

static void pair_close(struct pair *p)
{
    receiver_close(&p->r);
    turn(0);
    close(p->peer);
}

/* Closes it, but for a copy, and the peer's end, which is given too. */
static int close_but_for_a_copy(struct pair *p, int *ret_peer)
{
    int copy = fcntl(p->r.fd.number, F_DUPFD_CLOEXEC, 500);
    assert_true(copy >= 0);
    *ret_peer = p->peer;
    receiver_close(&p->r);
    turn(0);
    return copy;
}

/* What the library asked of the kernel, and what it is answered: after `passed` of them, an error.
 */
static struct {
    enum evert__sys_call call;
    int seen, passed, error;
} watched;

static bool watch_calls(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    if (call != watched.call || watched.seen++ < watched.passed || watched.error == 0)
        return false;
    *result = watched.error;
    return true;
}

static void watch_call(enum evert__sys_call call, int passed, int error)
{
    watched.call = call;
    watched.seen = 0;
    watched.passed = passed;
    watched.error = error;
    evert__sys_set_hook(watch_calls);
}

/* F34 */
static void test_an_event_for_the_one_before_does_not_reach_its_successor(void **state)
{
    struct pair first, second;
    int peer;
    (void)state;
    pair_open(&first);
    int number = first.r.fd.number;
    int copy = close_but_for_a_copy(&first, &peer);
    pair_open(&second);
    if (loop->adverse == NULL) /* there, a new set may have come between, and have that number */
        assert_int_equal(second.r.fd.number, number);
    turns(5);
    int told = second.r.told; /* on a ring, and by chance, it may have been told of nothing */
    second.r.fd.readable = false;
    plain_send(peer, "for the one before", 18);
    turns(5);
    if (loop->adverse == NULL) {
        assert_int_equal(second.r.told, told);
        assert_false(second.r.fd.readable);
    }
    plain_send(second.peer, "for this one", 12);
    receiver_wait(&second.r, 12);
    assert_memory_equal(second.r.data, "for this one", 12);
    pair_close(&second);
    close(copy);
    close(peer);
}

enum { MANY = 200 };

static struct pair many[MANY];

/* Each is told of what comes for it, and the loop of calls from elsewhere. */
static void all_are_served(void)
{
    int called = 0;
    for (int i = 0; i < MANY; i++)
        plain_send(many[i].peer, "some", 4);
    for (int i = 0; i < MANY; i++) {
        receiver_wait(&many[i].r, 4);
        many[i].r.size = 0;
    }
    assert_int_equal(evert_loop_call_threadsafe(loop, count_up, &called), 0);
    run_until(&called, 1);
}

/* F34: also those that were registered long ago, and whichever call fails on the way. */
static void test_an_event_for_nobody_leaves_all_others_served(void **state)
{
    static const struct {
        enum evert__sys_call call;
        int passed;
    } fails[] = {
        {EVERT__SYS_EPOLL_CREATE, INT_MAX}, {EVERT__SYS_EPOLL_CREATE, 0},
        {EVERT__SYS_EPOLL_CTL, 0},          {EVERT__SYS_EPOLL_CTL, 1},
        {EVERT__SYS_EPOLL_CTL, MANY / 2},   {EVERT__SYS_EPOLL_CTL, MANY},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fails); i++) {
        struct pair gone;
        int peer;
        evert_loop_free(loop); /* one that knows of no copies yet */
        assert_int_equal(evert_loop_new(&loop), 0);
        for (int j = 0; j < MANY; j++)
            pair_open(&many[j]);
        all_are_served();
        pair_open(&gone);
        int copy = close_but_for_a_copy(&gone, &peer);
        watch_call(fails[i].call, fails[i].passed, -ENOMEM);
        plain_send(peer, "for nobody", 10);
        turns(5);
        evert__sys_set_hook(NULL);
        all_are_served();
        plain_send(peer, "and again", 9);
        turns(5);
        all_are_served();
        for (int j = 0; j < MANY; j++)
            pair_close(&many[j]);
        close(copy);
        close(peer);
    }
}

static void count_done(struct evert__op *op)
{
    assert_int_equal(op->result, 1);
    op->fd = NULL;
}

/* F34: who waits for room to send waits in the new set, too. */
static void test_an_event_for_nobody_leaves_a_send_waiting(void **state)
{
    static const char bytes[4096];
    char dropped[sizeof(bytes)];
    struct pair gone, full;
    struct iovec piece = {(void *)(uintptr_t)bytes, 1};
    struct evert__op op = {.kind = EVERT__OP_SEND,
                           .fd = &full.r.fd,
                           .done = count_done,
                           .most = SIZE_MAX,
                           .send = {.pieces = &piece, .count = 1}};
    int peer;
    (void)state;
    pair_open(&full);
    while (send(full.r.fd.number, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
    assert_false(evert__op_start(&op));
    turns(5);
    pair_open(&gone);
    int copy = close_but_for_a_copy(&gone, &peer);
    plain_send(peer, "for nobody", 10);
    turns(5);
    assert_non_null(op.fd);
    while (op.fd != NULL) {
        while (recv(full.peer, dropped, sizeof(dropped), MSG_DONTWAIT) > 0)
            ;
        turn(EVERT_MILLISECOND);
    }
    pair_close(&full);
    close(copy);
    close(peer);
}

/* As the kernel takes out what is closed, nothing else is asked of it for that; but see below. */
static void test_a_close_asks_nothing_of_the_kernel_until_there_are_copies(void **state)
{
    struct pair p;
    int peers[2], copies[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        pair_open(&p);
        watch_call(EVERT__SYS_EPOLL_CTL, 0, 0);
        copies[i] = close_but_for_a_copy(&p, &peers[i]);
        if (on_epoll())
            assert_int_equal(watched.seen, i);
        watch_call(EVERT__SYS_EPOLL_CREATE, 0, 0);
        plain_send(peers[i], "for nobody", 10);
        turns(5);
        if (on_epoll()) /* the second was taken out, so no event came of it */
            assert_int_equal(watched.seen, 1 - i);
    }
    for (int i = 0; i < 2; i++) {
        close(copies[i]);
        close(peers[i]);
    }
}

static struct pair inherited;

static void close_inherited(void)
{
    receiver_close(&inherited.r);
}

/* P9, F34: the set is the parent's, whose own copy is open still. */
static void test_a_child_takes_nothing_out_of_its_parents_set(void **state)
{
    struct pair gone;
    int peer;
    (void)state;
    pair_open(&gone);
    int copy = close_but_for_a_copy(&gone, &peer);
    plain_send(peer, "for nobody", 10);
    turns(5);
    pair_open(&inherited);
    assert_int_equal(exit_of(fork_child(close_inherited)), 0);
    plain_send(inherited.peer, "still here", 10);
    receiver_wait(&inherited.r, 10);
    pair_close(&inherited);
    close(copy);
    close(peer);
}

static struct pair closers[2];

static void close_the_other(struct evert__source *source)
{
    struct pair *other = source == &closers[0].r.source ? &closers[1] : &closers[0];
    receiver_ready(source);
    if (other->r.closed == 0 && other->r.fd.number >= 0) {
        evert__source_disarm(&other->r.source);
        evert__fd_close(&other->r.fd, receiver_closed);
    }
}

/* An event that came together with the one whose callback closed its descriptor is no sign. */
static void test_what_an_event_closes_is_no_copy(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        pair_open(&closers[i]);
        closers[i].r.source.ready = close_the_other;
    }
    for (int i = 0; i < 2; i++)
        plain_send(closers[i].peer, "both at once", 12);
    watch_call(EVERT__SYS_EPOLL_CREATE, 0, 0);
    turns(5);
    assert_int_equal(watched.seen, 0);
    for (int i = 0; i < 2; i++) {
        if (closers[i].r.fd.number >= 0)
            receiver_close(&closers[i].r);
        close(closers[i].peer);
    }
    turn(0);
}

/* Registering is all or nothing: without memory a wait is refused, and later there is another. */
static void test_without_memory_for_its_place_none_is_registered(void **state)
{
    struct pair p;
    int fds[2];
    (void)state;
    unix_pair(fds);
    int high = fcntl(fds[0], F_DUPFD_CLOEXEC, 800);
    close(fds[0]);
    receiver_init(&p.r, high, false);
    p.peer = fds[1];
    limit_memory(0);
    receiver_take(&p.r);
    evert_set_allocator(NULL);
    if (on_epoll()) {
        assert_int_equal(p.r.result, -ENOMEM);
        assert_int_equal(p.r.fd.slot, 0);
    }
    receiver_close(&p.r);
    turn(0);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_CASE(test_an_event_for_the_one_before_does_not_reach_its_successor),
        LOOP_CASE(test_an_event_for_nobody_leaves_all_others_served),
        LOOP_CASE(test_an_event_for_nobody_leaves_a_send_waiting),
        LOOP_CASE(test_a_close_asks_nothing_of_the_kernel_until_there_are_copies),
        LOOP_CASE(test_a_child_takes_nothing_out_of_its_parents_set),
        LOOP_CASE(test_what_an_event_closes_is_no_copy),
        LOOP_CASE(test_without_memory_for_its_place_none_is_registered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
