/* SPDX-License-Identifier: MIT */
/* Connecting: each address of a name in turn, each failure with its code, cancelled at any step. */
#include <arpa/inet.h>

#include "names.h"
#include "support.h"

/* A listener at a free port of each family, or one that only keeps the port; with its address. */
struct port {
    int in, in6;
    char both[64], four[64], six[64]; /* by name, and the number of each */
    char port[16];
};

static int bound(int family, const struct sockaddr *address, socklen_t size, bool listens)
{
    static const int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (family == AF_INET6)
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
    if (bind(fd, address, size) < 0) {
        assert_int_equal(errno, EADDRINUSE);
        close(fd);
        return -1;
    }
    if (listens)
        assert_int_equal(listen(fd, 10), 0);
    return fd;
}

static struct port port_open(bool four, bool six)
{
    struct port p;
    do {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
        socklen_t size = sizeof(in);
        p.in = bound(AF_INET, (struct sockaddr *)&in, sizeof(in), four);
        assert_int_equal(getsockname(p.in, (struct sockaddr *)&in, &size), 0);
        in6.sin6_port = in.sin_port;
        p.in6 = bound(AF_INET6, (struct sockaddr *)&in6, sizeof(in6), six);
        if (p.in6 < 0)
            close(p.in);
        snprintf(p.port, sizeof(p.port), "%u", (unsigned)ntohs(in.sin_port));
    } while (p.in6 < 0);
    snprintf(p.both, sizeof(p.both), "tcp://both.test:%s", p.port);
    snprintf(p.four, sizeof(p.four), "tcp://127.0.0.1:%s", p.port);
    snprintf(p.six, sizeof(p.six), "tcp://[::1]:%s", p.port);
    return p;
}

static void port_close(struct port *p)
{
    close(p->in);
    close(p->in6);
}

static int accept_one(int listener)
{
    wait_for(listener, POLLIN);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(fd >= 0);
    return fd;
}

/* That both ends are one connection: a byte goes through. */
static void check_joined(struct attempt *a, int listener)
{
    char byte = '?';
    int peer = accept_one(listener);
    plain_send(a->fd.number, "x", 1);
    wait_for(peer, POLLIN);
    assert_int_equal(recv(peer, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
    close(peer);
}

/* An address that never answers: its queue of newcomers is full, and nobody accepts. */
struct silence {
    int listener, first;
    char address[64];
};

static struct silence silence_open(void)
{
    struct silence s;
    struct sockaddr_in in;
    s.listener = tcp_bound(1, &in);
    assert_int_equal(listen(s.listener, 0), 0);
    s.first = tcp_client(&in);
    wait_for(s.first, POLLOUT);
    wait_for(s.listener, POLLIN);
    snprintf(s.address, sizeof(s.address), "tcp://127.0.0.1:%u", (unsigned)ntohs(in.sin_port));
    return s;
}

static void silence_close(struct silence *s)
{
    close(s->first);
    close(s->listener);
}

/* ---- Success ---- */

/* F53 */
static void test_tcp_connects_over_ipv4_and_ipv6_and_by_name(void **state)
{
    struct port p = port_open(true, true);
    const char *const addresses[] = {p.four, p.six, p.both};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct attempt a;
        int on = 0;
        socklen_t size = sizeof(on);
        check_rc(attempt_all(&a, addresses[i]), 0);
        assert_true(fcntl(a.fd.number, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(a.fd.number, F_GETFL) & O_NONBLOCK);
        assert_int_equal(getsockopt(a.fd.number, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
        assert_int_equal(on, 1);
        assert_true(a.fd.drained_by_short_read);
        assert_null(a.connector.addresses);
        check_joined(&a, i == 0 ? p.in : p.in6); /* the first of a name's addresses */
        attempt_close(&a);
    }
    port_close(&p);
}

static void test_an_empty_host_is_this_machine(void **state)
{
    struct port p = port_open(true, true);
    struct attempt a;
    char address[64];
    (void)state;
    snprintf(address, sizeof(address), "tcp://:%s", p.port);
    check_rc(attempt_all(&a, address), 0);
    attempt_close(&a);
    port_close(&p);
}

static void test_unix_connects_to_a_path(void **state)
{
    struct attempt a;
    (void)state;
    make_folder();
    int listener = unix_listener(1);
    check_rc(attempt_all(&a, unix_name), 0);
    assert_false(a.fd.drained_by_short_read);
    check_joined(&a, listener);
    attempt_close(&a);
    close(listener);
    check_rc(attempt_all(&a, unix_name), -ECONNREFUSED); /* F5 */
    unlink(path);
    check_rc(attempt_all(&a, unix_name), -ENOENT);
    remove_folder();
}

/* ---- Failure ---- */

/* F5: the next address is tried. */
static void test_refused_once_it_goes_on_with_the_next(void **state)
{
    (void)state;
    for (int six = 0; six < 2; six++) {
        struct port p = port_open(!six, six);
        struct attempt a;
        check_rc(attempt_all(&a, p.both), 0);
        check_joined(&a, six ? p.in6 : p.in);
        attempt_close(&a);
        port_close(&p);
    }
}

/* F5: the words name each address and what it said. */
static void test_refused_everywhere_the_words_name_each(void **state)
{
    struct port p = port_open(false, false);
    struct attempt a;
    char words[200];
    (void)state;
    check_rc(attempt_all(&a, p.both), -ECONNREFUSED);
    snprintf(words, sizeof(words),
             "connect %s: [::1]:%s Connection refused; 127.0.0.1:%s Connection refused", p.both,
             p.port, p.port);
    assert_string_equal(a.connector.words, words);

    check_rc(attempt_all(&a, p.four), -ECONNREFUSED);
    snprintf(words, sizeof(words), "connect %s: Connection refused", p.four);
    assert_string_equal(a.connector.words, words);

    snprintf(words, sizeof(words), "tcp://many.test:%s", p.port);
    check_rc(attempt_all(&a, words), -ECONNREFUSED);
    assert_true(strlen(a.connector.words) < sizeof(a.connector.words));
    check_words(a.connector.words, "connect tcp://many.test");
    port_close(&p);
}

static void test_what_is_no_address_and_what_has_none_is_told_in_words(void **state)
{
    static const struct {
        const char *address;
        int error;
        const char *words;
    } rows[] = {
        {"tcp://nowhere", EVERT_EADDRESS, "connect tcp://nowhere: Not an address"},
        {"tcp://none.test:1", EVERT_ENONAME, "connect tcp://none.test:1: Host name not known"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct attempt a;
        check_rc(attempt_all(&a, rows[i].address), rows[i].error);
        assert_string_equal(a.connector.words, rows[i].words);
    }
}

/* F7 to F10: each has its own code and words, and is met once. */
static void test_each_failure_of_connect_has_its_code(void **state)
{
    static const int errors[] = {EADDRNOTAVAIL, ENETUNREACH,  EHOSTUNREACH, EACCES,
                                 EPERM,         EINVAL,       ETIMEDOUT,    ECONNRESET,
                                 ENOBUFS,       EAFNOSUPPORT, EADDRINUSE};
    struct port p = port_open(true, true);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct attempt a;
        int before = open_descriptors();
        answer(EVERT__SYS_CONNECT, -errors[i], 1);
        check_rc(attempt_all(&a, p.four), -errors[i]);
        assert_int_equal(plan.asked, 1);
        check_words(a.connector.words, evert_strerror(-errors[i]));
        check_descriptors(before);

        answer(EVERT__SYS_CONNECT, -errors[i], 1); /* the next address may be better */
        check_rc(attempt_all(&a, p.both), 0);
        assert_int_equal(plan.asked, 2);
        attempt_close(&a);
    }
    port_close(&p);
}

/* The socket that the connector is given next, whatever it asks for. */
static int prepared = -1;

static bool give_prepared(enum evert__sys_call call, const void *site, size_t *size,
                          int64_t *result)
{
    (void)site;
    (void)size;
    if (call != EVERT__SYS_SOCKET || prepared < 0)
        return false;
    *result = prepared;
    prepared = -1;
    return true;
}

/* Has the next socket stand at the port that is connected to, as the kernel may choose it. */
static void prepare_at(const struct port *p, int family)
{
    static const int on = 1;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    const struct sockaddr *at = family == AF_INET ? (void *)&in : (void *)&in6;
    in.sin_port = in6.sin6_port = htons((uint16_t)atoi(p->port));
    prepared = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)setsockopt(prepared, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(prepared, at, family == AF_INET ? sizeof(in) : sizeof(in6)), 0);
    evert__sys_set_hook(give_prepared);
}

/*
 * F13: nobody listens, and the kernel chose that very port for the client: that is no connection.
 * It leaves nothing behind at that port either, so who wants to listen there can.
 */
static void test_a_socket_that_meets_itself_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct port p = port_open(false, false);
        char any[32];
        snprintf(any, sizeof(any), "tcp://0.0.0.0:%s", p.port);
        const char *const addresses[] = {p.four, p.six, any};
        struct attempt a;
        port_close(&p);
        int before = open_descriptors();
        prepare_at(&p, i == 1 ? AF_INET6 : AF_INET);
        check_rc(attempt_all(&a, addresses[i]), -ECONNREFUSED);
        check_words(a.connector.words, "Connection refused");
        assert_int_equal(prepared, -1);
        check_descriptors(before);
        prepare_at(&p, i == 1 ? AF_INET6 : AF_INET);
        assert_int_equal(listen(prepared, 1), 0);
        close(prepared);
        prepared = -1;
    }
}

/* F4: after EINTR the attempt goes on by itself, and is not made again. */
static const struct sockaddr *interrupted_address;
static struct attempt *interrupted;

static bool interrupt_connect(enum evert__sys_call call, const void *site, size_t *size,
                              int64_t *result)
{
    (void)site;
    (void)size;
    if (call != EVERT__SYS_CONNECT)
        return false;
    plan.asked++;
    (void)connect(interrupted->fd.number, interrupted_address, sizeof(struct sockaddr_in));
    *result = -EINTR;
    return true;
}

static void test_an_interrupted_connect_goes_on(void **state)
{
    struct sockaddr_in in;
    struct attempt a;
    char address[64];
    int listener = tcp_bound(1, &in);
    (void)state;
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", (unsigned)ntohs(in.sin_port));
    interrupted = &a;
    interrupted_address = (struct sockaddr *)&in;
    plan.asked = 0;
    evert__sys_set_hook(interrupt_connect);
    check_rc(attempt_all(&a, address), 0);
    assert_int_equal(plan.asked, 1);
    check_joined(&a, listener);
    attempt_close(&a);
    close(listener);
}

static void test_out_of_descriptors_is_told_and_the_next_address_tried(void **state)
{
    struct port p = port_open(true, true);
    struct attempt a;
    (void)state;
    answer(EVERT__SYS_SOCKET, -EMFILE, 2);
    check_rc(attempt_all(&a, p.both), -EMFILE);
    assert_int_equal(plan.asked, 2);
    check_words(a.connector.words, evert_strerror(-EMFILE));
    check_words(a.connector.words, "; 127.0.0.1:");
    answer(EVERT__SYS_SOCKET, -EAFNOSUPPORT, 1); /* a machine without IPv6 */
    check_rc(attempt_all(&a, p.both), 0);
    check_joined(&a, p.in);
    attempt_close(&a);
    port_close(&p);
}

static void test_a_socket_that_cannot_be_waited_for_is_an_error(void **state)
{
    struct port p = port_open(true, true);
    struct attempt a;
    (void)state;
    turns(10); /* so that the loop itself is waiting for what it needs */
    answer(EVERT__SYS_EPOLL_CTL, -ENOSPC, 1);
    attempt_start(&a, p.four);
    int rc = attempt_end(&a);
    assert_true(plan.asked > 0 ? rc == -ENOSPC : rc == 0); /* poll has nothing that could fail */
    attempt_close(&a);
    port_close(&p);
}

/* F45 */
static void test_any_allocation_may_fail(void **state)
{
    struct port p = port_open(true, true);
    const char *const addresses[] = {p.four, p.both};
    int before = open_descriptors();
    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        int rc = -ENOMEM;
        for (int left = 0; rc == -ENOMEM; left++) {
            struct attempt a;
            limit_memory(left);
            rc = attempt_all(&a, addresses[i]);
            assert_true(rc == -ENOMEM || rc == 0);
            if (rc < 0)
                check_words(a.connector.words, evert_strerror(-ENOMEM));
            attempt_close(&a);
            turns(1);
            evert_loop_free(loop); /* so that all is needed again */
            evert_set_allocator(NULL);
            check_rc(evert_loop_new(&loop), 0);
            check_descriptors(before);
        }
        check_rc(rc, 0);
    }
    port_close(&p);
}

/* ---- A Unix socket whose backlog is full ---- */

static void test_a_full_unix_socket_is_tried_again_until_there_is_room(void **state)
{
    struct attempt a;
    int clients[10], count = 0;
    (void)state;
    make_folder();
    int listener = unix_listener(0);
    while ((clients[count] = unix_client()) >= 0)
        assert_true(++count < 10);
    answer(EVERT__SYS_CONNECT, 0, 0);
    attempt_start(&a, unix_name);
    while (plan.asked < 4)
        turn(PATIENCE);
    assert_int_equal(a.done, 0);
    for (int i = 0; i < count; i++)
        close(accept_one(listener));
    check_rc(attempt_end(&a), 0);
    check_joined(&a, listener);
    attempt_close(&a);
    while (count > 0)
        close(clients[--count]);
    close(listener);
    unlink(path);
    remove_folder();
}

static void test_waiting_for_room_can_be_cancelled(void **state)
{
    int clients[10], count = 0;
    (void)state;
    make_folder();
    int listener = unix_listener(0);
    while ((clients[count] = unix_client()) >= 0)
        assert_true(++count < 10);
    int before = open_descriptors();
    for (int tries = 0; tries < 5; tries++) {
        struct attempt a;
        answer(EVERT__SYS_CONNECT, 0, 0);
        attempt_start(&a, unix_name);
        while (plan.asked < tries)
            turn(PATIENCE);
        check_rc(attempt_cancel(&a), -ECANCELED);
        check_descriptors(before);
    }
    while (count > 0)
        close(clients[--count]);
    close(listener);
    unlink(path);
    remove_folder();
}

/* ---- Cancelling ---- */

/* BR-007, F51: cancelled once or twice, it is told once, its descriptor closed, and that was it. */
static void test_an_attempt_that_hangs_is_cancelled_once(void **state)
{
    struct silence s = silence_open();
    int before = open_descriptors();
    (void)state;
    start_logging();
    for (int i = 0; i < 8; i++) {
        struct attempt a;
        attempt_start(&a, s.address);
        turns(i);
        assert_int_equal(a.done, 0);
        if (evert__connector_cancel(&a.connector)) {
            a.done = 1;
        } else {
            if (a.done == 0)
                (void)evert__connector_cancel(&a.connector);
            run_until(&a.done, 1);
            check_rc(a.connector.result, -ECANCELED);
        }
        assert_int_equal(a.fd.number, -1);
        check_descriptors(before);
        turns(10);
        assert_int_equal(a.done, 1);
    }
    assert_int_equal(logged.count, 0);
    silence_close(&s);
}

/* F51: whenever the cancel comes, it ends in one of two ways. */
static void test_cancelled_at_any_step_nothing_is_left(void **state)
{
    struct port p = port_open(true, false);
    const char *const addresses[] = {p.four, p.both, p.six};
    int before = open_descriptors();
    (void)state;
    for (int i = 0; i < 30; i++) {
        struct attempt a;
        const char *address = addresses[i % 3];
        attempt_start(&a, address);
        for (int step = 0; step < i / 3 && a.done == 0; step++)
            turn(MS);
        int rc = attempt_cancel(&a);
        assert_true(rc == -ECANCELED || rc == (address == p.six ? -ECONNREFUSED : 0));
        attempt_close(&a);
        turns(1);
        check_descriptors(before);
        for (int fd; (fd = accept4(p.in, NULL, NULL, SOCK_CLOEXEC)) >= 0;)
            close(fd);
    }
    port_close(&p);
}

/* BR-011: the number comes again in the same turn, and nobody stumbles over it. */
static void test_after_a_cancel_the_same_number_works(void **state)
{
    struct silence s = silence_open();
    struct port p = port_open(true, true);
    int before = open_descriptors();
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct attempt hangs, next;
        attempt_start(&hangs, s.address);
        turns(1 + i % 3);
        int number = hangs.fd.number;
        bool gone = evert__connector_cancel(&hangs.connector);
        bool closed = hangs.fd.number < 0;
        attempt_start(&next, p.four);
        if (closed && loop->adverse == NULL)
            assert_int_equal(next.fd.number, number);
        check_rc(attempt_end(&next), 0);
        if (!gone)
            check_rc(attempt_end(&hangs), -ECANCELED);
        check_joined(&next, p.in);
        attempt_close(&next);
        turns(1);
        check_descriptors(before);
    }
    port_close(&p);
    silence_close(&s);
}

/* F85 */
static void test_cancelled_while_it_looks_up_it_ends_at_once(void **state)
{
    struct attempt a;
    (void)state;
    names_shut();
    attempt_start(&a, "tcp://slow.test:1");
    assert_true(names_wait(1));
    assert_true(evert__connector_cancel(&a.connector));
    turns(3);
    names_open();
    turns(3);
    assert_int_equal(a.done, 0);
    assert_int_equal(a.fd.number, -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_CASE(test_tcp_connects_over_ipv4_and_ipv6_and_by_name),
        LOOP_CASE(test_an_empty_host_is_this_machine),
        LOOP_CASE(test_unix_connects_to_a_path),
        LOOP_CASE(test_refused_once_it_goes_on_with_the_next),
        LOOP_CASE(test_refused_everywhere_the_words_name_each),
        LOOP_CASE(test_what_is_no_address_and_what_has_none_is_told_in_words),
        LOOP_CASE(test_each_failure_of_connect_has_its_code),
        LOOP_CASE(test_a_socket_that_meets_itself_is_refused),
        LOOP_CASE(test_an_interrupted_connect_goes_on),
        LOOP_CASE(test_out_of_descriptors_is_told_and_the_next_address_tried),
        LOOP_CASE(test_a_socket_that_cannot_be_waited_for_is_an_error),
        LOOP_CASE(test_any_allocation_may_fail),
        LOOP_CASE(test_a_full_unix_socket_is_tried_again_until_there_is_room),
        LOOP_CASE(test_waiting_for_room_can_be_cancelled),
        LOOP_CASE(test_an_attempt_that_hangs_is_cancelled_once),
        LOOP_CASE(test_cancelled_at_any_step_nothing_is_left),
        LOOP_CASE(test_after_a_cancel_the_same_number_works),
        LOOP_CASE(test_cancelled_while_it_looks_up_it_ends_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
