/* SPDX-License-Identifier: MIT */
/* Ops and sources through real sockets: op.c, readiness.c, epoll.c, poll.c. */
#include "support.h"

#include <sys/un.h>

static bool adverse(void)
{
    return loop->adverse != NULL;
}

/* ---- Sources ---- */

static struct receiver r;

static int plain_end; /* the test's own end of the pair */

static bool cancels_at_once(void)
{
    return !adverse() && !on_uring();
}

static void open_pair(bool tcp)
{
    int fds[2];
    if (tcp)
        tcp_pair(fds);
    else
        unix_pair(fds);
    receiver_init(&r, fds[0], tcp);
    plain_end = fds[1];
}

static void close_pair(void)
{
    receiver_close(&r);
    run_until(&r.closed, 1);
    if (plain_end >= 0)
        close(plain_end);
    plain_end = -1;
}

static void test_armed_source_tells_when_bytes_come(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair(tcp);
        receiver_take(&r);
        turns(5);
        if (!adverse()) /* which may tell for nothing */
            assert_int_equal(r.told, 0);
        for (int i = 1; i <= 5; i++) {
            plain_send(plain_end, "abcd", 4);
            receiver_wait(&r, (size_t)i * 4);
        }
        assert_memory_equal(r.data, "abcdabcdabcdabcdabcd", 20);
        close_pair();
    }
}

static void test_bytes_that_came_before_it_was_armed_are_found(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair(tcp);
        plain_send(plain_end, "early", 5);
        wait_for(r.fd.number, POLLIN);
        receiver_take(&r);
        receiver_wait(&r, 5);
        close_pair();
    }
}

static void only_count(struct evert__source *source)
{
    EVERT__CONTAINER(source, struct receiver, source)->told++;
}

/* Empties the source and arms it; what tells it later is the test's matter. */
static void arm_empty(void)
{
    receiver_take(&r);
    assert_false(r.ended);
}

/* Where a back end has taken it out of the kernel already, looking finds it all the same. */
static void test_looking_finds_what_was_told_and_not_taken(void **state)
{
    char byte;
    (void)state;
    open_pair(true);
    arm_empty();
    r.source.ready = only_count;
    plain_send(plain_end, "x", 1);
    run_until(&r.told, 1);
    assert_true(evert__source_look(&r.source));
    while (evert__source_take(&r.source, &byte, 1) != 1)
        turn(0);
    assert_int_equal(byte, 'x');
    assert_false(evert__source_look(&r.source));
    close_pair();
}

static void test_source_tells_once_for_each_arming(void **state)
{
    (void)state;
    open_pair(false);
    arm_empty();
    for (int i = 1; i <= 5; i++) {
        r.told = 0;
        r.source.ready = only_count;
        plain_send(plain_end, "x", 1);
        run_until(&r.told, 1);
        plain_send(plain_end, "y", 1);
        turns(10);
        assert_int_equal(r.told, 1);
        r.source.ready = receiver_ready;
        receiver_take(&r); /* which arms again */
        receiver_wait(&r, (size_t)i * 2);
    }
    close_pair();
}

/* Giving up waiting loses nothing. */
static void test_disarmed_source_does_not_tell_and_keeps_the_bytes(void **state)
{
    (void)state;
    open_pair(true);
    arm_empty();
    evert__source_disarm(&r.source);
    evert__source_disarm(&r.source);
    plain_send(plain_end, "kept", 4);
    wait_for(r.fd.number, POLLIN);
    int told = r.told;
    turns(10);
    assert_int_equal(r.told, told);
    receiver_take(&r);
    receiver_wait(&r, 4);
    close_pair();
}

/* Nobody heard the event, which does not come again: arming finds what it was about. */
static void test_arming_after_an_event_that_nobody_heard(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair(tcp);
        arm_empty();
        evert__source_disarm(&r.source);
        plain_send(plain_end, "found", 5);
        wait_for(r.fd.number, POLLIN);
        turns(5);
        if (evert__source_arm(&r.source))
            receiver_take(&r);
        receiver_wait(&r, 5);
        close_pair();
    }
}

static void test_source_disarmed_after_the_event_does_not_tell(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) { /* in adverse it may be on its way, for some turns */
        open_pair(false);
        arm_empty();
        plain_send(plain_end, "kept", 4);
        turns(i);
        int told = r.told;
        evert__source_disarm(&r.source);
        turns(10);
        assert_int_equal(r.told, told);
        receiver_take(&r);
        receiver_wait(&r, 4);
        close_pair();
    }
}

static enum evert__sys_call counted;
static int count_of_calls;

static bool note_call(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    count_of_calls += call == counted;
    return false;
}

/* Counts the calls of a kind from now on. */
static void count_calls(enum evert__sys_call call)
{
    counted = call;
    count_of_calls = 0;
    evert__sys_set_hook(note_call);
}

/* Takes until it says EAGAIN; gives the number of calls that this cost. */
static int calls_to_empty(size_t size)
{
    char buffer[64];
    ssize_t count;
    count_calls(EVERT__SYS_RECV);
    while ((count = evert__source_take(&r.source, buffer, size)) > 0)
        r.size += (size_t)count;
    evert__sys_set_hook(NULL);
    assert_int_equal(count, -EAGAIN);
    return count_of_calls;
}

static void test_short_read_on_tcp_saves_the_call_that_would_say_EAGAIN(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair(tcp);
        plain_send(plain_end, "12345", 5);
        wait_for(r.fd.number, POLLIN);
        int calls = calls_to_empty(64);
        if (!adverse()) {
            assert_int_equal(calls, tcp || on_uring() ? 1 : 2);
            plain_send(plain_end, "12345", 5);
            assert_false(evert__source_arm(&r.source));
            run_until(&r.told, 1);
            close_pair();
            open_pair(tcp);
            plain_send(plain_end, "12345", 5);
            wait_for(r.fd.number, POLLIN);
            assert_int_equal(calls_to_empty(5), 2); /* a full read says nothing */
        }
        close_pair();
    }
}

/* ---- S9, F17: data and the end in one edge ---- */

enum ending { CLOSED, HALF_CLOSED, RESET };

static void end_plain(enum ending how)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (how == HALF_CLOSED) {
        assert_int_equal(shutdown(plain_end, SHUT_WR), 0);
        return;
    }
    if (how == RESET)
        assert_int_equal(setsockopt(plain_end, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(plain_end);
    plain_end = -1;
}

static void data_and_end(bool tcp, bool armed_before, enum ending how, size_t piece)
{
    open_pair(tcp);
    r.piece = piece;
    if (armed_before)
        arm_empty();
    plain_send(plain_end, "BYE\n", 4);
    end_plain(how);
    wait_for(r.fd.number, POLLRDHUP);
    if (!armed_before)
        receiver_take(&r);
    run_until(&r.ended, 1);
    assert_int_equal(r.size, 4);
    assert_memory_equal(r.data, "BYE\n", 4);
    assert_int_equal(r.result, how == RESET ? -ECONNRESET : 0);
    close_pair();
}

/* S9: the data, then the end; never a hang. */
static void test_data_and_the_end_in_one_edge(void **state)
{
    static const size_t pieces[] = {1, 2, 3, 4, 5, 4096};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        for (int variant = 0; variant < 8; variant++)
            data_and_end(variant & 1, variant & 2, variant & 4 ? CLOSED : HALF_CLOSED, pieces[i]);
    }
}

/* S9, F17: the data, then the reset. */
static void test_data_and_a_reset_in_one_edge(void **state)
{
    static const size_t pieces[] = {1, 3, 4, 5, 4096};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        data_and_end(true, false, RESET, pieces[i]);
        data_and_end(true, true, RESET, pieces[i]);
    }
}

/* S9: the end comes while the reader is between its short read and its arming. */
static void test_end_between_a_short_read_and_arming(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        open_pair(true);
        if (known) { /* the kernel knows the descriptor already */
            arm_empty();
            r.told = 0;
            r.source.ready = only_count;
        }
        plain_send(plain_end, "last", 4);
        wait_for(r.fd.number, POLLIN);
        if (known)
            run_until(&r.told, 1);
        char buffer[64];
        ssize_t count;
        do
            count = evert__source_take(&r.source, buffer, sizeof(buffer));
        while (count == -EAGAIN && adverse());
        assert_in_range(count, 1, 4);
        end_plain(CLOSED);
        wait_for(r.fd.number, POLLRDHUP);
        r.source.ready = receiver_ready;
        receiver_take(&r);
        run_until(&r.ended, 1);
        assert_int_equal(r.result, 0);
        assert_int_equal((size_t)count + r.size, 4);
        close_pair();
    }
}

/* The end does not go away. */
static void test_end_can_be_taken_again(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair(tcp);
        end_plain(CLOSED);
        receiver_take(&r);
        run_until(&r.ended, 1);
        for (int i = 0; i < 3; i++) {
            r.ended = 0;
            receiver_take(&r);
            run_until(&r.ended, 1);
            assert_int_equal(r.result, 0);
        }
        close_pair();
    }
}

/* ---- Sending ---- */

struct sender {
    struct evert__op op;
    struct iovec pieces[3];
    int done;
};

static struct sender s;

static void sender_done(struct evert__op *op)
{
    EVERT__CONTAINER(op, struct sender, op)->done++;
}

/* Starts a send on the receiver's descriptor. */
static bool start_send(const void *data, size_t size)
{
    s = (struct sender){.op = {.kind = EVERT__OP_SEND, .fd = &r.fd, .done = sender_done}};
    s.pieces[0] = (struct iovec){(void *)(uintptr_t)data, size};
    s.op.most = SIZE_MAX;
    s.op.send.pieces = s.pieces;
    s.op.send.count = 1;
    return evert__op_start(&s.op);
}

/* Its result, waited for if need be. */
static ssize_t sent(bool complete)
{
    if (complete)
        assert_int_equal(s.done, 0);
    else
        run_until(&s.done, 1);
    return s.op.result;
}

/* The byte that stands at a place of a long stream. */
static char byte_at(size_t place)
{
    return (char)(place * 7 + place / 251);
}

static size_t plain_taken;

/* Takes what the test's own end has by now; each byte must be the right one. */
static void plain_take(void)
{
    char buffer[8192];
    ssize_t count;
    while ((count = recv(plain_end, buffer, sizeof(buffer), 0)) > 0) {
        for (ssize_t i = 0; i < count; i++)
            assert_int_equal(buffer[i], byte_at(plain_taken++));
    }
}

/* Sends until the socket takes no more, so that an op waits. Gives how many bytes were sent. */
static size_t fill(void)
{
    static char data[32768];
    size_t total = 0;
    plain_taken = 0;
    for (;;) {
        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = byte_at(total + i);
        bool complete = start_send(data, sizeof(data));
        for (int i = 0; !complete && s.done == 0 && i < 20; i++)
            turn(0);
        if (!complete && s.done == 0)
            return total;
        assert_true(s.op.result > 0);
        total += (size_t)s.op.result;
    }
}

/* The peer reads, whatever it is, until the op that waits is done. */
static void drop_until_sent(void)
{
    char buffer[8192];
    while (s.done == 0) {
        while (recv(plain_end, buffer, sizeof(buffer), 0) > 0)
            ;
        turn(EVERT_MILLISECOND);
    }
    assert_true(s.op.result > 0);
}

static void test_send_of_several_pieces(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair(tcp);
        size_t size = 0;
        char got[20];
        while (size < 9) {
            s = (struct sender){.op = {.kind = EVERT__OP_SEND, .fd = &r.fd, .done = sender_done}};
            char text[] = "abcdefghi";
            s.pieces[0] = (struct iovec){text + size, size < 3 ? 3 - size : 9 - size};
            s.pieces[1] = (struct iovec){text + 3, 3};
            s.pieces[2] = (struct iovec){text + 6, 3};
            s.op.most = SIZE_MAX;
            s.op.send.pieces = s.pieces;
            s.op.send.count = size < 3 ? 3 : 1;
            ssize_t result = sent(evert__op_start(&s.op));
            assert_in_range(result, 1, 9);
            size += (size_t)result;
        }
        assert_int_equal(size, 9);
        wait_for(plain_end, POLLIN);
        assert_int_equal(recv(plain_end, got, sizeof(got), 0), 9);
        assert_memory_equal(got, "abcdefghi", 9);
        close_pair();
    }
}

static void test_send_of_no_more_than_most(void **state)
{
    (void)state;
    open_pair(false);
    s = (struct sender){.op = {.kind = EVERT__OP_SEND, .fd = &r.fd, .done = sender_done}};
    s.pieces[0] = (struct iovec){(char[]){"abcdef"}, 6};
    s.pieces[1] = (struct iovec){(char[]){"ghi"}, 3};
    s.op.most = 2;
    s.op.send.pieces = s.pieces;
    s.op.send.count = 2;
    ssize_t result = sent(evert__op_start(&s.op));
    assert_true(adverse() ? result > 0 && result < 9 : result == 2);
    close_pair();
}

/* F15, F21 */
static void test_send_waits_while_the_peer_does_not_read(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair(tcp);
        size_t total = fill();
        turns(20);
        assert_int_equal(s.done, 0);
        while (s.done == 0) {
            plain_take();
            turn(EVERT_MILLISECOND);
        }
        assert_true(s.op.result > 0);
        total += (size_t)s.op.result;
        while (plain_taken < total) {
            wait_for(plain_end, POLLIN);
            plain_take();
        }
        assert_int_equal(plain_taken, total);
        close_pair();
    }
}

/* F51: cancelled is told, or is over at once; never both, and never twice. */
static void test_cancelled_send_ends_without_effect(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair(tcp);
        size_t total = fill();
        bool over = evert__op_cancel(&s.op);
        if (cancels_at_once())
            assert_true(over);
        if (!over) {
            run_until(&s.done, 1);
            assert_int_equal(s.op.result, -ECANCELED);
        }
        while (plain_taken < total) {
            wait_for(plain_end, POLLIN);
            plain_take();
        }
        turns(20);
        assert_int_equal(s.done, !over);
        plain_take();
        assert_int_equal(plain_taken, total); /* nothing of the cancelled one */
        close_pair();
    }
}

/* Room comes after the cancel, or came before it: the next send finds it. */
static void test_send_after_a_cancelled_one_goes_on(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        open_pair(true);
        size_t total = fill();
        if (!evert__op_cancel(&s.op))
            run_until(&s.done, 1);
        if (late)
            turns(10);
        while (plain_taken < total) {
            wait_for(plain_end, POLLIN);
            plain_take();
        }
        char next[100];
        for (size_t i = 0; i < sizeof(next); i++)
            next[i] = byte_at(total + i);
        ssize_t count = sent(start_send(next, sizeof(next)));
        assert_true(count > 0);
        wait_for(plain_end, POLLIN);
        plain_take();
        assert_int_equal(plain_taken, total + (size_t)count);
        close_pair();
    }
}

/* F18 */
static void test_send_to_a_peer_that_is_gone_raises_no_signal(void **state)
{
    (void)state;
    open_pair(false);
    end_plain(CLOSED);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sent(start_send("x", 1)), -EPIPE);
    close_pair();
    open_pair(true);
    end_plain(RESET);
    wait_for(r.fd.number, POLLERR);
    ssize_t first = sent(start_send("x", 1));
    assert_true(first == -ECONNRESET || first == -EPIPE);
    assert_int_equal(sent(start_send("x", 1)), -EPIPE);
    close_pair();
}

/* F17, F21: a send that waits hears of it. */
static void test_waiting_send_fails_when_the_peer_goes(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_pair(tcp);
        (void)fill();
        end_plain(tcp ? RESET : CLOSED);
        run_until(&s.done, 1);
        assert_true(s.op.result == -EPIPE || s.op.result == -ECONNRESET);
        close_pair();
    }
}

/* F20: the peer's end of file ends nothing on our side. */
static void test_sending_goes_on_after_the_peers_half_close(void **state)
{
    char got[10];
    (void)state;
    open_pair(true);
    arm_empty();
    end_plain(HALF_CLOSED);
    run_until(&r.ended, 1);
    assert_int_equal(r.result, 0);
    assert_int_equal(sent(start_send("!", 1)), 1);
    wait_for(plain_end, POLLIN);
    assert_int_equal(recv(plain_end, got, sizeof(got), 0), 1);
    close_pair();
}

static void test_source_and_op_of_one_descriptor_wait_together(void **state)
{
    (void)state;
    open_pair(true);
    arm_empty();
    (void)fill();
    plain_send(plain_end, "in", 2);
    receiver_wait(&r, 2);
    assert_int_equal(s.done, 0);
    while (s.done == 0) {
        plain_take();
        turn(EVERT_MILLISECOND);
    }
    close_pair();
}

/*
 * A reader is often faster than the kernel's word of what it read. No wait ends with that word: of
 * a socket that has room to send the kernel would say so instead, had it been asked.
 */
static void test_bytes_taken_before_they_are_told_of_end_no_wait(void **state)
{
    char bytes[4];
    (void)state;
    if (!on_epoll())
        return; /* poll is asked for what is waited for, and a ring looks itself */
    open_pair(true);
    arm_empty();
    turns(3);
    r.fd.writable = false; /* any word of it would change that */
    plain_send(plain_end, "abcd", 4);
    wait_for(r.fd.number, POLLIN);
    assert_int_equal(recv(r.fd.number, bytes, 4, 0), 4);
    turns(5);
    assert_false(r.fd.writable);
    assert_int_equal(r.told, 0);
    plain_send(plain_end, "more", 4);
    receiver_wait(&r, 4);
    assert_memory_equal(r.data, "more", 4);
    close_pair();
}

/* It may have come before the kernel was asked; and it does not come again. */
static void test_room_that_is_there_already_is_told_of(void **state)
{
    (void)state;
    for (int armed = 0; armed < 2; armed++) {
        open_pair(true);
        if (armed)
            arm_empty();
        turns(3);
        r.fd.writable = false;
        assert_int_equal(sent(start_send("x", 1)), 1);
        close_pair();
    }
}

/* One call more for the first send that waits, and none for those behind it. */
static void test_epoll_is_asked_for_room_once(void **state)
{
    (void)state;
    if (!on_epoll())
        return;
    open_pair(true);
    arm_empty();
    count_calls(EVERT__SYS_EPOLL_CTL);
    for (int i = 0; i < 3; i++) {
        (void)fill();
        drop_until_sent();
    }
    evert__sys_set_hook(NULL);
    assert_int_equal(count_of_calls, 1);
    close_pair();
}

/* ---- Connecting ---- */

static struct connector {
    struct evert__fd fd;
    struct evert__op op;
    int done, closed;
} c;

static void connector_done(struct evert__op *op)
{
    EVERT__CONTAINER(op, struct connector, op)->done++;
}

static void connector_closed(struct evert__fd *fd)
{
    EVERT__CONTAINER(fd, struct connector, fd)->closed++;
}

static bool start_connect(int number, const void *address, size_t size)
{
    c = (struct connector){.op = {.kind = EVERT__OP_CONNECT, .done = connector_done}};
    evert__fd_init(&c.fd, loop, number);
    c.op.fd = &c.fd;
    c.op.connect.address = address;
    c.op.connect.size = (socklen_t)size;
    return evert__op_start(&c.op);
}

static ssize_t connected(bool complete)
{
    if (!complete)
        run_until(&c.done, 1);
    assert_int_equal(c.done, !complete);
    return c.op.result;
}

static void close_connector(void)
{
    evert__fd_close(&c.fd, connector_closed);
    run_until(&c.closed, 1);
}

static void test_connect_succeeds_and_data_flows(void **state)
{
    struct sockaddr_in address;
    int listener = tcp_bound(1, &address);
    (void)state;
    assert_int_equal(connected(start_connect(tcp_socket(), &address, sizeof(address))), 0);
    plain_end = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(plain_end >= 0);
    assert_int_equal(send(c.fd.number, "hello", 5, MSG_NOSIGNAL), 5);
    wait_for(plain_end, POLLIN);
    close_connector();
    close(plain_end);
    close(listener);
}

/* F5 */
static void test_connect_refused(void **state)
{
    struct sockaddr_in address;
    int bound = tcp_bound(0, &address); /* nobody listens, and nobody else gets the port */
    (void)state;
    assert_int_equal(connected(start_connect(tcp_socket(), &address, sizeof(address))),
                     -ECONNREFUSED);
    close_connector();
    close(bound);
}

static void test_connect_to_a_unix_socket(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(address);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    /* An abstract name of the kernel's choice. */
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(listener, 0), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connected(start_connect(fd, &address, size)), 0);
    close_connector();
    /* The one place in the backlog is still taken: no event will ever tell, so it must not wait. */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connected(start_connect(fd, &address, size)), -EAGAIN);
    close_connector();
    close(listener);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connected(start_connect(fd, &address, size)), -ECONNREFUSED);
    close_connector();
}

static enum evert__sys_call failing;
static int64_t failure;
static int failures;

static bool fail_calls(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    if (call != failing || failures == 0)
        return false;
    failures--;
    *result = failure;
    return true;
}

static void fail_with(enum evert__sys_call call, int count, int64_t error)
{
    failing = call;
    failures = count;
    failure = error;
    evert__sys_set_hook(fail_calls);
}

/* F7, F8, F9, F10: each by its own code. */
static void test_connect_fails_with_the_systems_code(void **state)
{
    static const int errors[] = {-EADDRNOTAVAIL, -ENETUNREACH, -EHOSTUNREACH, -EACCES, -EINVAL};
    struct sockaddr_in address;
    int listener = tcp_bound(1, &address);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        fail_with(EVERT__SYS_CONNECT, 1, errors[i]);
        assert_int_equal(connected(start_connect(tcp_socket(), &address, sizeof(address))),
                         errors[i]);
        close_connector();
    }
    close(listener);
}

/* A connect that nobody answers: the listener's backlog is full, so its SYN is dropped. */
static int start_endless_connect(const struct sockaddr_in *address, int fillers[8])
{
    int count = 0;
    for (;;) {
        assert_true(count < 8);
        bool complete = start_connect(tcp_socket(), address, sizeof(*address));
        for (int i = 0; !complete && c.done == 0 && i < 50; i++)
            turn(EVERT_MILLISECOND);
        if (!complete && c.done == 0)
            return count;
        assert_int_equal(c.op.result, 0);
        fillers[count++] = dup(c.fd.number);
        close_connector();
    }
}

/* F6, F51 */
static void test_connect_is_cancelled(void **state)
{
    struct sockaddr_in address;
    int fillers[8], listener = tcp_socket();
    socklen_t size = sizeof(address);
    (void)state;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(listener, 0), 0);
    int count = start_endless_connect(&address, fillers);
    bool over = evert__op_cancel(&c.op);
    if (cancels_at_once())
        assert_true(over);
    if (!over) {
        run_until(&c.done, 1);
        assert_int_equal(c.op.result, -ECANCELED);
    }
    turns(20);
    assert_int_equal(c.done, !over);
    close_connector();
    while (count-- > 0)
        close(fillers[count]);
    close(listener);
}

/* ---- Accepting ---- */

static struct acceptor {
    struct evert__fd fd;
    struct evert__source source;
    int accepted, told, error;
} a;

static void accept_some(struct evert__source *source)
{
    a.told++;
    do {
        ssize_t fd;
        while ((fd = evert__source_take(source, NULL, 0)) >= 0) {
            assert_true(fcntl((int)fd, F_GETFD) & FD_CLOEXEC);
            assert_true(fcntl((int)fd, F_GETFL) & O_NONBLOCK);
            close((int)fd);
            a.accepted++;
        }
        if (fd != -EAGAIN) {
            a.error = (int)fd;
            return;
        }
    } while (evert__source_arm(source));
}

static struct sockaddr_in open_acceptor(void)
{
    struct sockaddr_in address;
    memset(&a, 0, sizeof(a));
    evert__fd_init(&a.fd, loop, tcp_bound(64, &address));
    evert__source_init(&a.source, &a.fd, EVERT__SOURCE_ACCEPT, accept_some);
    return address;
}

static void close_acceptor(void)
{
    evert__source_disarm(&a.source);
    evert__fd_close(&a.fd, NULL);
    turn(0);
}

static void test_every_connection_is_accepted(void **state)
{
    int clients[40];
    struct sockaddr_in address = open_acceptor();
    (void)state;
    accept_some(&a.source);
    for (int i = 0; i < 40; i++) {
        clients[i] = tcp_client(&address);
        if (i % 8 == 7)
            run_until(&a.accepted, i + 1);
    }
    run_until(&a.accepted, 40);
    turns(20);
    assert_int_equal(a.accepted, 40);
    assert_int_equal(a.error, 0);
    for (int i = 0; i < 40; i++)
        close(clients[i]);
    close_acceptor();
}

/* F1, F2, F3: the error comes back; the source is as it was, and goes on when taken again. */
static void test_errors_at_accept_leave_the_listener_alive(void **state)
{
    static const int errors[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM, -ECONNABORTED, -EPROTO};
    struct sockaddr_in address = open_acceptor();
    (void)state;
    accept_some(&a.source);
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        fail_with(EVERT__SYS_ACCEPT, 1, errors[i]);
        int client = tcp_client(&address);
        while (a.error == 0)
            turn(PATIENCE);
        assert_int_equal(a.error, errors[i]);
        assert_int_equal(a.accepted, i);
        a.error = 0;
        accept_some(&a.source);
        run_until(&a.accepted, (int)i + 1);
        close(client);
    }
    close_acceptor();
}

/* F4 */
static void test_interrupted_calls_are_made_again(void **state)
{
    struct sockaddr_in address = open_acceptor();
    (void)state;
    fail_with(EVERT__SYS_ACCEPT, 3, -EINTR);
    int client = tcp_client(&address);
    accept_some(&a.source);
    run_until(&a.accepted, 1);
    close(client);
    close_acceptor();
    open_pair(true);
    plain_send(plain_end, "abc", 3);
    wait_for(r.fd.number, POLLIN);
    fail_with(EVERT__SYS_RECV, 3, -EINTR);
    receiver_take(&r);
    receiver_wait(&r, 3);
    assert_int_equal(failures, 0);
    fail_with(EVERT__SYS_SEND, 3, -EINTR);
    assert_int_equal(sent(start_send("x", 1)), 1);
    assert_int_equal(failures, 0);
    close_pair();
}

/* F16: an event, but then EAGAIN after all. */
static void test_EAGAIN_after_ready_waits_again(void **state)
{
    (void)state;
    open_pair(true);
    arm_empty();
    fail_with(EVERT__SYS_RECV, 1, -EAGAIN);
    plain_send(plain_end, "abc", 3);
    while (failures > 0)
        turn(PATIENCE);
    plain_send(plain_end, "def", 3); /* the edge that epoll needs: the other was spent on a lie */
    receiver_wait(&r, 6);
    close_pair();
}

/* F15: receives cut short by the system. */
static size_t most;

static bool shorten(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)result;
    if ((call == EVERT__SYS_SEND || call == EVERT__SYS_RECV) && *size > most)
        *size = most;
    return false;
}

static void test_short_sends_are_told_as_such(void **state)
{
    (void)state;
    open_pair(false);
    most = 3;
    evert__sys_set_hook(shorten);
    ssize_t count = sent(start_send("abcdef", 6));
    assert_in_range(count, 1, 3);
    close_pair();
}

/* ---- Closing ---- */

static void test_closed_is_told_later_and_once(void **state)
{
    (void)state;
    open_pair(false);
    arm_empty();
    evert__source_disarm(&r.source);
    evert__fd_close(&r.fd, receiver_closed);
    assert_int_equal(r.fd.number, -1);
    assert_int_equal(r.closed, 0);
    turns(20);
    assert_int_equal(r.closed, 1);
    close(plain_end);
}

static void close_in_a_call(void *arg)
{
    receiver_close(arg);
    assert_int_equal(r.closed, 0);
}

static void test_closed_comes_after_the_calls_of_the_turn(void **state)
{
    (void)state;
    open_pair(false);
    assert_int_equal(evert_loop_call_soon(loop, NULL, close_in_a_call, &r), 0);
    run_until(&r.closed, 1);
    close(plain_end);
}

static bool note_looks(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    if (call == EVERT__SYS_EPOLL_WAIT || call == EVERT__SYS_POLL || call == EVERT__SYS_URING_ENTER)
        note("k");
    return false;
}

static void note_told(struct evert__ready *ready)
{
    (void)ready;
    note("t");
}

static struct evert__ready end_told = {.run = note_told};

static void closed_and_told(struct evert__fd *fd)
{
    (void)fd;
    evert__ready_push(loop, &end_told);
}

static void note_other(void *arg)
{
    (void)arg;
    note("o");
    evert_loop_stop(loop);
}

static void close_beside_another(void *arg)
{
    (void)arg;
    assert_int_equal(evert_loop_call_soon(loop, NULL, note_other, NULL), 0);
    evert__fd_close(&r.fd, closed_and_told);
    evert__sys_set_hook(note_looks);
}

/* F50: who is told of the end needs no look at the kernel for it; the others wait for one (P1). */
static void test_the_end_of_what_is_closed_is_told_before_a_look(void **state)
{
    (void)state;
    open_pair(false);
    assert_int_equal(evert_loop_call_soon(loop, NULL, close_beside_another, NULL), 0);
    assert_int_equal(evert_loop_run(loop), 0);
    if (adverse()) { /* which closes late */
        while (strchr(record, 't') == NULL)
            turn(PATIENCE);
    } else if (on_uring()) { /* where not each look is a call */
        assert_true(strcmp(record, "to") == 0 || strcmp(record, "tko") == 0);
    } else {
        assert_string_equal(record, "tko");
    }
    close(plain_end);
}

/* A turn that is asked for by itself has nothing behind it. */
static void test_the_end_of_what_is_closed_is_not_told_in_a_single_turn(void **state)
{
    (void)state;
    open_pair(false);
    assert_int_equal(evert_loop_call_soon(loop, NULL, close_beside_another, NULL), 0);
    turn(0);
    assert_null(strpbrk(record, "to"));
    while (strchr(record, 't') == NULL || strchr(record, 'o') == NULL)
        turn(PATIENCE);
    close(plain_end);
}

/* Closing disarms, also when the event is on its way. */
static void test_closing_an_armed_source_silences_it(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        open_pair(false);
        r.source.ready = only_count;
        char byte;
        do
            while (evert__source_take(&r.source, &byte, 1) != -EAGAIN)
                ;
        while (evert__source_arm(&r.source));
        plain_send(plain_end, "x", 1);
        turns(i);
        int told = r.told;
        evert__fd_close(&r.fd, receiver_closed);
        turns(10);
        assert_int_equal(r.told, told);
        assert_int_equal(r.closed, 1);
        close(plain_end);
    }
}

static void close_self(struct evert__source *source)
{
    struct receiver *self = EVERT__CONTAINER(source, struct receiver, source);
    self->told++;
    receiver_close(self);
}

/* F50, BR-019: readable, writable and ended at once, and the first that is told closes. */
static void test_closing_from_inside_what_was_told(void **state)
{
    (void)state;
    open_pair(true);
    arm_empty();
    (void)fill();
    if (!evert__op_cancel(&s.op))
        run_until(&s.done, 1);
    int done = s.done, told = r.told;
    r.source.ready = close_self;
    plain_send(plain_end, "BYE\n", 4);
    end_plain(RESET);
    run_until(&r.closed, 1);
    turns(20);
    assert_int_equal(r.told, told + 1);
    assert_int_equal(r.closed, 1);
    assert_int_equal(s.done, done);
}

static void close_when_done(struct evert__op *op)
{
    struct sender *self = EVERT__CONTAINER(op, struct sender, op);
    self->done++;
    evert__source_disarm(&r.source);
    evert__fd_close(&r.fd, receiver_closed);
}

/* BR-019: the op is told first, closes, and the source is not told of the same event. */
static void test_op_that_closes_silences_its_source(void **state)
{
    (void)state;
    open_pair(true);
    arm_empty();
    (void)fill();
    r.source.ready = only_count;
    s.op.done = close_when_done;
    plain_send(plain_end, "x", 1);
    end_plain(RESET);
    run_until(&r.closed, 1);
    int told = r.told; /* adverse may tell the source first */
    turns(20);
    assert_int_equal(s.done, 1);
    assert_int_equal(r.told, told);
    if (!adverse() && !on_uring()) /* a ring may tell the source first, too */
        assert_int_equal(told, 0);
}

/* ---- F34, BR-018: numbers that come back ---- */

enum { TWINS = 2 };

static struct receiver twins[TWINS], newcomer;
static int twin_peers[TWINS], newcomer_peer, first_told;

/* The one that is told first closes the other, and opens a new one with its number. */
static void replace_the_other(struct evert__source *source)
{
    struct receiver *self = EVERT__CONTAINER(source, struct receiver, source);
    struct receiver *other = &twins[self == &twins[0]];
    int fds[2];
    self->told++;
    first_told = (int)(self - twins);
    int number = other->fd.number;
    receiver_close(other);
    unix_pair(fds);
    if (on_uring())
        number = fds[0]; /* the old one is closed later, when nothing is told of it any more */
    newcomer_peer = fds[fds[0] == number];
    receiver_init(&newcomer, fds[fds[0] != number], false);
    assert_int_equal(newcomer.fd.number, number);
    receiver_take(&newcomer);
}

static void meet_twins(void)
{
    for (int i = 0; i < TWINS; i++) {
        int fds[2];
        unix_pair(fds);
        receiver_init(&twins[i], fds[0], false);
        twin_peers[i] = fds[1];
        receiver_take(&twins[i]);
        twins[i].source.ready = replace_the_other;
    }
}

/* F34, BR-018 */
static void test_left_over_event_spares_who_got_the_number(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        meet_twins();
        first_told = -1;
        plain_send(twin_peers[order], "x", 1);
        plain_send(twin_peers[!order], "x", 1);
        while (first_told < 0)
            turn(PATIENCE);
        turns(20);
        struct receiver *left = &twins[first_told], *gone = &twins[!first_told];
        assert_int_equal(gone->told, 0);
        assert_int_equal(gone->closed, 1);
        assert_int_equal(left->told, 1);
        assert_int_equal(newcomer.size + (size_t)newcomer.ended, 0);
        if (!adverse())
            assert_int_equal(newcomer.told, 0);
        plain_send(newcomer_peer, "for me", 6);
        while (newcomer.size < 6)
            turn(PATIENCE);
        receiver_close(left);
        receiver_close(&newcomer);
        turn(0);
        close(newcomer_peer);
        for (int i = 0; i < TWINS; i++)
            close(twin_peers[i]);
    }
}

/*
 * The same with a connect, which a stray event would take for a success. The one that is told first
 * closes them all, and begins to connect with the number of the one that stands first.
 */
enum { GROUP = 5 };

static struct receiver group[GROUP];
static int group_peers[GROUP];
static const struct sockaddr_in *endless;
static int replaced;
static bool last_first; /* in which order they are closed */

static void open_group(int count)
{
    for (int i = 0; i < count; i++) {
        int fds[2];
        unix_pair(fds);
        receiver_init(&group[i], fds[0], false);
        group_peers[i] = fds[1];
        receiver_take(&group[i]);
    }
}

static void replace_all(struct evert__source *source)
{
    int first = group[0].fd.number, fd = tcp_socket();
    (void)source;
    replaced++;
    for (int i = 0; i < GROUP; i++)
        receiver_close(&group[last_first ? GROUP - 1 - i : i]);
    if (on_uring()) {
        first = fd; /* as the old one is closed later */
    } else {
        assert_int_equal(dup3(fd, first, O_CLOEXEC), first);
        close(fd);
    }
    bool complete = start_connect(first, endless, sizeof(*endless));
    assert_false(complete);
}

/* All are told at once, and one connects instead: nothing comes of what was left over. */
static void replace_group(void)
{
    replaced = 0;
    open_group(GROUP);
    for (int i = 0; i < GROUP; i++)
        group[i].source.ready = replace_all;
    for (int i = 0; i < GROUP; i++)
        close(group_peers[i]); /* a hang-up for each */
    while (replaced == 0)
        turn(PATIENCE);
    turns(30);
    assert_int_equal(c.done, 0);
    if (!evert__op_cancel(&c.op)) {
        run_until(&c.done, 1);
        assert_int_equal(c.op.result, -ECANCELED);
    }
    close_connector();
    assert_int_equal(replaced, 1);
}

/* F34 */
static void test_left_over_event_completes_no_connect(void **state)
{
    struct sockaddr_in address;
    int fillers[8], listener = tcp_bound(0, &address);
    (void)state;
    assert_int_equal(listen(listener, 0), 0);
    int count = start_endless_connect(&address, fillers);
    if (!evert__op_cancel(&c.op))
        run_until(&c.done, 1);
    close_connector();
    endless = &address;
    for (int order = 0; order < 2; order++) {
        last_first = order == 1;
        replace_group();
    }
    while (count-- > 0)
        close(fillers[count]);
    close(listener);
}

/*
 * In poll's table the last moves into the place of one that is closed. There it must neither be
 * told what was meant for the other, nor again what it was told already.
 */
static void close_first(struct evert__source *source)
{
    struct receiver *self = EVERT__CONTAINER(source, struct receiver, source);
    self->told++;
    if (!group[0].closed && group[0].fd.number >= 0 && self != &group[0])
        receiver_close(&group[0]);
}

static void close_group(int count)
{
    for (int i = 0; i < count; i++) {
        if (group[i].fd.number >= 0)
            receiver_close(&group[i]);
        close(group_peers[i]);
    }
    turn(0);
}

/* F34 */
static void test_left_over_event_spares_who_moved_to_the_place(void **state)
{
    struct sockaddr_in address;
    int fillers[8], listener = tcp_bound(0, &address);
    (void)state;
    assert_int_equal(listen(listener, 0), 0);
    int count = start_endless_connect(&address, fillers);
    if (!evert__op_cancel(&c.op))
        run_until(&c.done, 1);
    close_connector();
    open_group(2);
    assert_false(start_connect(tcp_socket(), &address, sizeof(address)));
    turns(10);
    group[1].source.ready = close_first;
    for (int i = 0; i < 2; i++)
        assert_int_equal(shutdown(group_peers[i], SHUT_RDWR), 0);
    while (group[0].fd.number >= 0 && group[1].told == 0)
        turn(PATIENCE);
    turns(30);
    assert_int_equal(c.done, 0);
    if (!evert__op_cancel(&c.op))
        run_until(&c.done, 1);
    close_connector();
    close_group(2);
    while (count-- > 0)
        close(fillers[count]);
    close(listener);
}

static void test_who_moved_to_the_place_is_not_told_again(void **state)
{
    (void)state;
    open_group(3);
    group[1].source.ready = close_first;
    for (int i = 0; i < 3; i++)
        plain_send(group_peers[i], "x", 1);
    while (group[2].size == 0 || group[1].told == 0)
        turn(PATIENCE);
    turns(10);
    assert_int_equal(group[2].size, 1);
    if (!adverse())
        assert_int_equal(group[2].told, 1);
    close_group(3);
}

/* Whoever is told first closes all, and gives each to an owner, as may be done once it is closed.
 */
static void close_everyone(struct evert__source *source)
{
    static const char owner[] = "anything";
    EVERT__CONTAINER(source, struct receiver, source)->told++;
    for (int i = 0; i < 3; i++) {
        receiver_close(&group[i]);
        group[i].fd.owner = (void *)(uintptr_t)(owner + 1);
    }
}

/* F34 */
static void test_nothing_is_told_of_who_was_closed_with_events_to_come(void **state)
{
    (void)state;
    open_group(3);
    for (int i = 0; i < 3; i++) {
        group[i].source.ready = close_everyone;
        plain_send(group_peers[i], "x", 1);
    }
    while (group[0].fd.number >= 0)
        turn(PATIENCE);
    turns(10);
    assert_int_equal(group[0].told + group[1].told + group[2].told, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(group[i].closed, 1);
    close_group(3);
}

/* ---- Shortages ---- */

/* F45: where there is no room to wait with, the source says so, and goes on once there is. */
static void test_source_that_cannot_be_waited_for_is_an_error(void **state)
{
    enum { MANY = 40 };
    static struct receiver many[MANY];
    int peers[MANY], errors = 0;
    (void)state;
    turns(10); /* adverse may still have the loop's own to register */
    limit_memory(0);
    fail_with(EVERT__SYS_EPOLL_CTL, 1000000, -ENOMEM);
    for (int i = 0; i < MANY; i++) {
        int fds[2];
        unix_pair(fds);
        receiver_init(&many[i], fds[0], false);
        peers[i] = fds[1];
        receiver_take(&many[i]);
    }
    turns(20);
    evert__sys_set_hook(NULL);
    evert_set_allocator(NULL);
    for (int i = 0; i < MANY; i++) {
        if (many[i].ended) {
            assert_int_equal(many[i].result, -ENOMEM);
            many[i].ended = 0;
            errors++;
            receiver_take(&many[i]);
        }
        plain_send(peers[i], "abc", 3);
        receiver_wait(&many[i], 3);
        receiver_close(&many[i]);
        close(peers[i]);
    }
    /* A ring needs none; poll has room for 16 without asking. */
    if (on_uring())
        assert_int_equal(errors, 0);
    else
        assert_in_range(errors, MANY - 16, MANY);
    turn(0);
}

/* F45: nothing is spliced past an error that is still to be taken. */
static void test_an_error_is_taken_before_anything_is_spliced(void **state)
{
    int ends[2];
    char bytes[3];
    (void)state;
    if (!on_epoll())
        return; /* the others need not ask for room, or ask later */
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    open_pair(true);
    assert_int_equal(evert__source_take(&r.source, bytes, 3), -EAGAIN);
    fail_with(EVERT__SYS_EPOLL_CTL, 1, -ENOMEM);
    assert_true(evert__source_arm(&r.source));
    evert__sys_set_hook(NULL);
    plain_send(plain_end, "abc", 3);
    assert_int_equal(evert__source_splice(&r.source, ends[1], 3), -ENOTEMPTY);
    assert_int_equal(evert__source_take(&r.source, bytes, 3), -ENOMEM);
    receiver_take(&r);
    receiver_wait(&r, 3);
    close_pair();
    close(ends[0]);
    close(ends[1]);
}

/* F45: also where the socket is known to the kernel, as somebody reads from it; and it goes on. */
static void test_send_that_cannot_be_waited_for_is_an_error(void **state)
{
    char data[1000] = {0};
    bool complete;
    (void)state;
    if (on_uring() || strcmp(loop->backend->name, "poll") == 0)
        return; /* which need not ask for room */
    for (int armed = 0; armed < 2; armed++) {
        open_pair(false);
        if (armed) {
            arm_empty();
            turns(10); /* adverse arms it when it likes */
        }
        limit_memory(0);
        fail_with(EVERT__SYS_EPOLL_CTL, 1000000, -ENOMEM);
        do
            complete = start_send(data, sizeof(data));
        while (sent(complete) > 0);
        assert_int_equal(s.op.result, -ENOMEM);
        evert__sys_set_hook(NULL);
        evert_set_allocator(NULL);
        complete = start_send(data, sizeof(data));
        assert_false(complete);
        drop_until_sent();
        close_pair();
    }
}

/* ---- Chance ---- */

enum { EXCHANGED = 200000 };

/* Bytes in random pieces, taken in random pieces, with the end behind them. */
static const char *exchange(uint64_t seed, bool tcp)
{
    uint64_t random = seed;
    size_t given = 0;
    char data[5000];
    open_pair(tcp);
    r.piece = 1 + random_below(&random, 4096);
    r.expected = byte_at;
    receiver_take(&r);
    while (!r.ended) {
        if (given < EXCHANGED) {
            size_t size = 1 + random_below(&random, sizeof(data));
            for (size_t i = 0; i < size; i++)
                data[i] = byte_at(given + i);
            ssize_t count = send(plain_end, data, size, MSG_NOSIGNAL);
            given += count > 0 ? (size_t)count : 0;
        } else if (plain_end >= 0) {
            end_plain(CLOSED);
        }
        turn(given < EXCHANGED ? 0 : PATIENCE);
        if (!r.ended && random_below(&random, 50) == 0) {
            evert__source_disarm(&r.source);
            receiver_take(&r);
        }
    }
    close_pair();
    return r.wrong > 0       ? "a wrong byte came"
           : r.size != given ? "not all bytes came"
           : r.result != 0   ? "the end was not clean"
                             : NULL;
}

/* F15, S9 */
static void test_random_pieces_arrive_whole_and_in_order(void **state)
{
    uint64_t seed = seed_new();
    (void)state;
    assert_held(exchange(seed, true), seed);
    assert_held(exchange(seed, false), seed);
}

/*
 * F35: somebody else closed the descriptor, so what the library knows of it is not so any more. The
 * kernel says EBADF, or ENOENT where another one has the number; neither is the program's end.
 */
static void test_a_descriptor_closed_by_others_aborts_nothing(void **state)
{
    (void)state;
    for (int taken_over = 0; taken_over < 2; taken_over++) {
        struct receiver known, unknown;
        int fds[2], other[2];
        unix_pair(fds);
        unix_pair(other);
        receiver_init(&known, fds[0], false);
        receiver_take(&known); /* registered, and waiting */
        turns(5);
        close(fds[0]);
        if (taken_over)
            assert_int_equal(dup2(other[0], fds[0]), fds[0]);
        turns(5);
        assert_true(!known.ended || known.result == -EBADF); /* poll(2) tells, epoll(7) does not */
        receiver_close(&known);
        turns(2);
        assert_int_equal(known.closed, 1);

        receiver_init(&unknown, fds[0], false); /* nobody has the number now */
        receiver_take(&unknown);
        turns(5);
        assert_int_equal(unknown.ended, 1);
        assert_int_equal(unknown.result, -EBADF);
        receiver_close(&unknown);
        turns(2);
        close(fds[1]);
        close(other[0]);
        close(other[1]);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_CASE(test_armed_source_tells_when_bytes_come),
        LOOP_CASE(test_looking_finds_what_was_told_and_not_taken),
        LOOP_CASE(test_bytes_that_came_before_it_was_armed_are_found),
        LOOP_CASE(test_source_tells_once_for_each_arming),
        LOOP_CASE(test_disarmed_source_does_not_tell_and_keeps_the_bytes),
        LOOP_CASE(test_arming_after_an_event_that_nobody_heard),
        LOOP_CASE(test_source_disarmed_after_the_event_does_not_tell),
        LOOP_CASE(test_short_read_on_tcp_saves_the_call_that_would_say_EAGAIN),
        LOOP_CASE(test_data_and_the_end_in_one_edge),
        LOOP_CASE(test_data_and_a_reset_in_one_edge),
        LOOP_CASE(test_end_between_a_short_read_and_arming),
        LOOP_CASE(test_end_can_be_taken_again),
        LOOP_CASE(test_send_of_several_pieces),
        LOOP_CASE(test_send_of_no_more_than_most),
        LOOP_CASE(test_send_waits_while_the_peer_does_not_read),
        LOOP_CASE(test_cancelled_send_ends_without_effect),
        LOOP_CASE(test_send_after_a_cancelled_one_goes_on),
        LOOP_CASE(test_send_to_a_peer_that_is_gone_raises_no_signal),
        LOOP_CASE(test_waiting_send_fails_when_the_peer_goes),
        LOOP_CASE(test_sending_goes_on_after_the_peers_half_close),
        LOOP_CASE(test_source_and_op_of_one_descriptor_wait_together),
        LOOP_CASE(test_bytes_taken_before_they_are_told_of_end_no_wait),
        LOOP_CASE(test_room_that_is_there_already_is_told_of),
        LOOP_CASE(test_epoll_is_asked_for_room_once),
        LOOP_CASE(test_connect_succeeds_and_data_flows),
        LOOP_CASE(test_connect_refused),
        LOOP_CASE(test_connect_to_a_unix_socket),
        LOOP_CASE(test_connect_fails_with_the_systems_code),
        LOOP_CASE(test_connect_is_cancelled),
        LOOP_CASE(test_every_connection_is_accepted),
        LOOP_CASE(test_errors_at_accept_leave_the_listener_alive),
        LOOP_CASE(test_interrupted_calls_are_made_again),
        LOOP_CASE(test_EAGAIN_after_ready_waits_again),
        LOOP_CASE(test_short_sends_are_told_as_such),
        LOOP_CASE(test_closed_is_told_later_and_once),
        LOOP_CASE(test_closed_comes_after_the_calls_of_the_turn),
        RECORD_CASE(test_the_end_of_what_is_closed_is_told_before_a_look),
        RECORD_CASE(test_the_end_of_what_is_closed_is_not_told_in_a_single_turn),
        LOOP_CASE(test_closing_an_armed_source_silences_it),
        LOOP_CASE(test_closing_from_inside_what_was_told),
        LOOP_CASE(test_op_that_closes_silences_its_source),
        LOOP_CASE(test_left_over_event_spares_who_got_the_number),
        LOOP_CASE(test_left_over_event_completes_no_connect),
        LOOP_CASE(test_left_over_event_spares_who_moved_to_the_place),
        LOOP_CASE(test_who_moved_to_the_place_is_not_told_again),
        LOOP_CASE(test_nothing_is_told_of_who_was_closed_with_events_to_come),
        LOOP_CASE(test_source_that_cannot_be_waited_for_is_an_error),
        LOOP_CASE(test_an_error_is_taken_before_anything_is_spliced),
        LOOP_CASE(test_send_that_cannot_be_waited_for_is_an_error),
        LOOP_CASE(test_random_pieces_arrive_whole_and_in_order),
        LOOP_CASE(test_a_descriptor_closed_by_others_aborts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
