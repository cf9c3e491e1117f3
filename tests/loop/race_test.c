/* SPDX-License-Identifier: MIT */
/*
 * Cancels against completions, at every moment, and numbers of descriptors that are used again at
 * once: through op.c, on each back end.
 */
#include "support.h"

#include <unistd.h>

static char byte_at(size_t place)
{
    return (char)(place * 7 + place / 251);
}

/* ---- A connection whose sends own what they send ---- */

static struct receiver r;
static int peer;
static size_t sent, came;

/* Lives on the heap until it is done: what still looks at it later is found by the sanitizer. */
struct send {
    struct evert__op op;
    struct iovec piece;
};

static struct send *last;
static int done;
static ssize_t result;

/* It is over: nobody else may have it, or what it pointed to, any more. */
static void let_go(void)
{
    result = last->op.result;
    memset(last->piece.iov_base, 0xee, last->piece.iov_len);
    free(last->piece.iov_base);
    free(last);
    last = NULL;
    if (result > 0)
        sent += (size_t)result;
}

static void send_done(struct evert__op *op)
{
    assert_ptr_equal(op, &last->op);
    done++;
    let_go();
}

/* Starts a send of the bytes that are next. */
static bool start_send(size_t size)
{
    char *data = malloc(size);
    last = calloc(1, sizeof(*last));
    assert_true(data != NULL && last != NULL);
    for (size_t i = 0; i < size; i++)
        data[i] = byte_at(sent + i);
    last->piece = (struct iovec){data, size};
    last->op = (struct evert__op){
        .kind = EVERT__OP_SEND, .fd = &r.fd, .done = send_done, .most = SIZE_MAX};
    last->op.send.pieces = &last->piece;
    last->op.send.count = 1;
    done = 0;
    return evert__op_start(&last->op);
}

/* Sends until the socket takes no more, so that one waits. */
static void fill(void)
{
    for (;;) {
        if (start_send(32768)) {
            let_go();
            continue;
        }
        for (int i = 0; done == 0 && i < 20; i++)
            turn(0);
        if (done == 0)
            return;
    }
}

/* Takes what has come to the other end; each byte must be the right one. */
static void drain(void)
{
    static char buffer[65536];
    ssize_t count;
    while ((count = recv(peer, buffer, sizeof(buffer), 0)) > 0) {
        for (ssize_t i = 0; i < count; i++)
            assert_int_equal(buffer[i], byte_at(came++));
    }
}

/* Sends and takes so many more. */
static void send_all(size_t size)
{
    size_t end = sent + size;
    while (sent < end) {
        bool complete = start_send(end - sent);
        for (evert_time limit = evert_after(PATIENCE); !complete && done == 0; drain()) {
            assert_true(evert__clock() < limit);
            turn(EVERT_MILLISECOND);
        }
        if (complete)
            let_go();
        assert_true(result > 0);
    }
    drain();
}

static void open_pair(void)
{
    int fds[2], least = 1; /* less than the system has it be: so there is little to fill */
    unix_pair(fds);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    receiver_init(&r, fds[0], false);
    peer = fds[1];
    sent = came = 0;
}

static void close_pair(void)
{
    receiver_close(&r);
    run_until(&r.closed, 1);
    close(peer);
}

/* ---- Cancels ---- */

/* Cancels, unless it is done by now; nothing is told from inside of it. */
static bool cancel_if_on_its_way(void)
{
    int before = done;
    if (last == NULL)
        return false;
    bool over = evert__op_cancel(&last->op);
    assert_int_equal(done, before);
    if (over) {
        last->op.result = -ECANCELED;
        let_go();
    }
    return over;
}

/* A send waits; in the steps that follow there is room, and there are cancels. */
static void race(int room_at, int cancel_at, int cancel_again_at)
{
    bool over = false;
    open_pair();
    fill();
    for (int step = 0; step < 8; step++) {
        if (step == room_at)
            drain();
        if (step == cancel_at || step == cancel_again_at)
            over = cancel_if_on_its_way() || over;
        turn(0);
    }
    if (!over)
        run_until(&done, 1);
    turns(10);
    assert_int_equal(done + over, 1); /* one end, and no more */
    assert_true(result > 0 || result == -ECANCELED);
    drain();
    assert_int_equal(came, sent); /* what was told is what happened */
    close_pair();
}

/* F32, F33, F51 */
static void test_a_cancelled_send_ends_once_whenever_there_is_room(void **state)
{
    (void)state;
    for (int room_at = 0; room_at < 5; room_at++) {
        for (int cancel_at = 0; cancel_at < 6; cancel_at++) {
            for (int again_at = cancel_at; again_at < 7; again_at++)
                race(room_at, cancel_at, again_at);
        }
    }
}

/* F32: cancelled in the turn in which it was started, with room for it, so before the kernel knew.
 */
static void test_a_send_cancelled_at_once_ends_once(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        open_pair();
        bool complete = start_send(100), over = false;
        if (complete)
            let_go();
        else
            over = cancel_if_on_its_way();
        if (!complete && !over)
            run_until(&done, 1);
        turns(i % 4);
        assert_int_equal(done + over + complete, 1);
        drain();
        assert_int_equal(came, sent);
        close_pair();
    }
}

/*
 * F32, F35: the next one, which may have the memory of the one before, is not reached by the late
 * cancel of that one.
 */
static void test_a_late_cancel_spares_the_next_send(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        open_pair();
        fill();
        drain();
        turns(i % 3);
        bool over = cancel_if_on_its_way();
        if (!over)
            run_until(&done, 1);
        drain();
        send_all(50);
        assert_int_equal(came, sent);
        close_pair();
    }
}

/* ---- Numbers that are used again ---- */

/* A pair with a receive that waits, and where it is asked for, a send that waits. */
static void open_and_wait(bool with_send)
{
    open_pair();
    receiver_take(&r);
    if (with_send)
        fill();
}

/* Closes it, as a connection would: what is on its way is over first. */
static void close_at_once(void)
{
    if (last != NULL && !cancel_if_on_its_way())
        run_until(&done, 1);
    evert__fd_close(&r.fd, receiver_closed);
    close(peer);
    run_until(&r.closed, 1);
}

static void reuse(int rounds, bool with_send)
{
    int same = 0, number = -1;
    for (int round = 0; round < rounds; round++) {
        open_and_wait(with_send);
        if (round % 2 == 0)
            turn(0); /* the kernel knows of it, in every other round */
        number = r.fd.number;
        size_t told = r.size;
        close_at_once();
        assert_int_equal(r.size, told); /* nothing came, and nothing was told */

        open_pair();
        same += r.fd.number == number;
        receiver_take(&r);
        plain_send(peer, "B1", 2);
        receiver_wait(&r, 2);
        assert_memory_equal(r.data, "B1", 2);
        send_all(2);
        assert_int_equal(came, 2);
        close_pair();
    }
    assert_int_equal(same, rounds); /* or this test is about nothing */
}

/* BR-054, F34, F33, F35 */
static void test_a_number_used_again_has_its_own_bytes_alone(void **state)
{
    (void)state;
    reuse(10000, false);
}

/* BR-054, F34, F33, F35 */
static void test_a_number_used_again_after_a_pending_send_has_its_own_bytes_alone(void **state)
{
    (void)state;
    reuse(getenv("EVERT_LONG") != NULL ? 10000 : 1000, true); /* a socket is filled in each */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_CASE(test_a_cancelled_send_ends_once_whenever_there_is_room),
        LOOP_CASE(test_a_send_cancelled_at_once_ends_once),
        LOOP_CASE(test_a_late_cancel_spares_the_next_send),
        LOOP_CASE(test_a_number_used_again_has_its_own_bytes_alone),
        LOOP_CASE(test_a_number_used_again_after_a_pending_send_has_its_own_bytes_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
