/* SPDX-License-Identifier: MIT */
/*
 * evert_connect: whom it reaches, how it fails, and that a cancel at any moment leaves either a
 * stream or nothing (F51, BR-007, BR-008, BR-011).
 */
#include "support.h"

#include "../net/names.h"

/* That both ends are one connection; then they are closed. */
static void exchange(evert_stream *s, int listener)
{
    int peer = plain_accept(listener);
    char byte = '?';
    check_rc(evert_puts(s, "x"), 0);
    check_rc(evert_flush(s), 0);
    peer_hears(peer, "x");
    peer_say(peer, "y");
    check_count(evert_read_into(s, &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(peer);
    check_rc(evert_close(s), 0);
}

/* ---- Success and failure ---- */

/* F53 */
static void test_it_connects_by_number_and_by_name(void **state)
{
    char address[64], by_name[64];
    int listener = plain_listener(10, address);
    const char *const addresses[] = {address, by_name};
    (void)state;
    snprintf(by_name, sizeof(by_name), "tcp://localhost:%d", port_of(address));
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        evert_stream *s;
        check_rc(evert_connect(&s, addresses[i]), 0);
        assert_true(fcntl(s->fd.number, F_GETFD) & FD_CLOEXEC);
        exchange(s, listener);
    }
    close(listener);
}

/* F5: ::1 refuses, 127.0.0.1 answers. */
static void test_it_goes_on_with_the_next_address(void **state)
{
    char address[64], both[64];
    int listener = plain_listener(10, address);
    evert_stream *s;
    (void)state;
    snprintf(both, sizeof(both), "tcp://both.test:%d", port_of(address));
    answer(EVERT__SYS_CONNECT, -ECONNREFUSED, 1);
    check_rc(evert_connect(&s, both), 0);
    assert_int_equal(plan.asked, 2);
    exchange(s, listener);
    close(listener);
}

/* F5, F7 to F10: the code is that of the last address; the words tell all. */
static void test_the_words_name_each_address(void **state)
{
    static const int errors[] = {ECONNREFUSED, EADDRNOTAVAIL, ENETUNREACH,
                                 EHOSTUNREACH, EACCES,        EINVAL};
    evert_stream *s;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        char words[200];
        const char *why = evert_strerror(-errors[i]);
        answer(EVERT__SYS_CONNECT, -errors[i], 2);
        check_rc(evert_connect(&s, "tcp://both.test:9"), -errors[i]);
        snprintf(words, sizeof(words), "connect tcp://both.test:9: [::1]:9 %s; 127.0.0.1:9 %s", why,
                 why);
        words[120] = '\0'; /* as much as is kept */
        assert_string_equal(evert_describe(-errors[i]), words);
    }
}

static void test_other_failures_have_words_too(void **state)
{
    evert_stream *s;
    (void)state;
    check_rc(evert_connect(&s, "localhost:80"), EVERT_EADDRESS);
    check_words(evert_describe(EVERT_EADDRESS), "connect localhost:80: Not an address");
    check_rc(evert_connect(&s, "tcp://none.test:80"), EVERT_ENONAME);
    check_words(evert_describe(EVERT_ENONAME), "connect tcp://none.test:80: Host name not known");
    answer(EVERT__SYS_SOCKET, -EMFILE, 1);
    check_rc(evert_connect(&s, "tcp://127.0.0.1:9"), -EMFILE);
    check_words(evert_describe(-EMFILE), "connect tcp://127.0.0.1:9: ");
    check_words(evert_describe(-EMFILE), evert_strerror(-EMFILE));
}

/* F45: any allocation may fail; it comes to -ENOMEM, and to nothing else. */
static void test_any_allocation_may_fail(void **state)
{
    char address[64];
    int listener = plain_listener(100, address);
    (void)state;
    memory_limit.hit = true;
    for (int left = 0; memory_limit.hit; left++) {
        evert_stream *s = NULL;
        int before = open_descriptors();
        memory_limit.left = left;
        memory_limit.hit = false;
        evert_set_allocator(&limited_memory);
        int rc = evert_connect(&s, address);
        evert_set_allocator(NULL);
        if (rc == 0) {
            evert_abort(s);
        } else {
            check_rc(rc, -ENOMEM);
            assert_true(memory_limit.hit);
        }
        turns(3);
        assert_int_equal(open_descriptors(), before);
    }
    close(listener);
}

static int connect_and_exchange(void *address)
{
    evert_stream *s;
    char heard[8] = "";
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    check_count(evert_read_exactly_into(s, heard, 5), 5);
    assert_string_equal(heard, "hello");
    return evert_close(s);
}

static void test_many_connect_at_once(void **state)
{
    enum { MANY = 50 };
    char address[64];
    int listener = plain_listener(MANY, address), peers[MANY];
    evert_scope scope;
    (void)state;
    evert_scope_enter(&scope, evert_after(PATIENCE));
    for (int i = 0; i < MANY; i++)
        check_rc(evert_spawn(&scope, connect_and_exchange, address), 0);
    for (int i = 0; i < MANY; i++) {
        peers[i] = plain_accept(listener);
        peer_say(peers[i], "hello");
    }
    for (int i = 0; i < MANY; i++)
        close(peers[i]);
    check_rc(evert_scope_leave(&scope, 0), 0);
    close(listener);
}

static void test_a_full_unix_socket_is_waited_for(void **state)
{
    const char *folder = make_folder();
    char address[100];
    struct sockaddr_un un;
    int listener = plain_socket(UNIX);
    evert_stream *s[2];
    evert_scope scope;
    (void)state;
    snprintf(address, sizeof(address), "unix://%s/socket", folder);
    un = unix_address(address);
    assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(listener, 0), 0);
    check_rc(evert_connect(&s[0], address), 0); /* there is room for one */

    evert_scope_enter(&scope, evert_after(20 * MS)); /* F6 */
    int rc = evert_connect(&s[1], address);
    check_rc(evert_scope_leave(&scope, rc), -ETIMEDOUT);

    close(plain_accept(listener));
    check_rc(evert_connect(&s[1], address), 0);
    exchange(s[1], listener);
    check_rc(evert_close(s[0]), 0);
    close(listener);
    unlink(un.sun_path);
    remove_folder(folder);
}

/* ---- Deadlines and cancels ---- */

/* F6, BR-007, T10: the descriptor is closed by the time it is told. */
static void test_without_an_answer_the_deadline_ends_it(void **state)
{
    struct silence silence = silence_open();
    int before = open_descriptors();
    (void)state;
    start_logging();
    for (int i = 0; i < 5; i++) {
        evert_stream *s = NULL;
        evert_scope scope;
        evert_scope_enter(&scope, evert_after(i * MS));
        int rc = evert_connect(&s, silence.address);
        check_rc(rc, -ECANCELED);
        assert_int_equal(open_descriptors(), before);
        assert_null(s);
        check_rc(evert_scope_leave(&scope, rc), -ETIMEDOUT);
        turns(5);
    }
    stop_logging();
    assert_int_equal(logged.count, 0);
    silence_close(&silence);
}

/* F85: also where it is the name that has no answer. */
static void test_a_slow_name_does_not_hold_up_the_deadline(void **state)
{
    evert_stream *s;
    evert_scope scope;
    (void)state;
    names_shut();
    evert_scope_enter(&scope, evert_after(MS));
    int rc = evert_connect(&s, "tcp://slow.test:9");
    check_rc(evert_scope_leave(&scope, rc), -ETIMEDOUT);
    names_open();
}

/* F51 */
static void test_cancelled_before_it_asks_for_nothing(void **state)
{
    char address[64];
    int listener = plain_listener(1, address);
    evert_stream *s;
    evert_scope scope;
    (void)state;
    answer(EVERT__SYS_SOCKET, 0, 0);
    evert_scope_enter(&scope, EVERT_NEVER);
    evert_scope_cancel(&scope);
    check_rc(evert_connect(&s, address), -ECANCELED);
    assert_int_equal(plan.asked, 0);
    check_rc(evert_scope_leave(&scope, -ECANCELED), 0);
    close(listener);
}

/* F51, C5 */
static void test_cancelled_afterwards_the_stream_stays(void **state)
{
    char address[64];
    int listener = plain_listener(1, address);
    evert_stream *s;
    evert_scope scope;
    (void)state;
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_connect(&s, address), 0);
    evert_scope_cancel(&scope);
    check_rc(evert_puts(s, "x"), -ECANCELED);
    check_rc(evert_scope_leave(&scope, -ECANCELED), 0);
    exchange(s, listener);
    close(listener);
}

struct attempt {
    const char *address;
    evert_stream *s;
    int rc; /* 1 until it is known */
};

static int try_to_connect(void *arg)
{
    struct attempt *a = arg;
    a->rc = 1;
    a->rc = evert_connect(&a->s, a->address);
    return 0;
}

/* F51, BR-008: cancel and completion come close together, in either order. */
static void test_cancelled_meanwhile_nothing_is_left(void **state)
{
    char address[64], both[64];
    int listener = plain_listener(500, address), before = open_descriptors();
    (void)state;
    snprintf(both, sizeof(both), "tcp://both.test:%d", port_of(address));
    for (int i = 0; i < 60; i++) {
        struct attempt a = {.address = i % 2 ? both : address};
        evert_scope scope;
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, try_to_connect, &a), 0);
        turns(i / 2 % 8);
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        if (a.rc == 0)
            evert_abort(a.s);
        else
            check_rc(a.rc, -ECANCELED);
        turns(2);
        assert_int_equal(open_descriptors(), before);
    }
    close(listener);
}

/* BR-011: the number of a cancelled one comes again at once, and works. */
static void test_after_a_cancel_the_same_number_works(void **state)
{
    struct silence silence = silence_open();
    char address[64];
    int listener = plain_listener(10, address), before = open_descriptors();
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct attempt a = {.address = silence.address};
        evert_stream *s;
        evert_scope scope;
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, try_to_connect, &a), 0);
        turns(2 + i % 3);
        assert_int_equal(a.rc, 1);
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(evert_connect(&s, address), 0);
        check_rc(a.rc, -ECANCELED);
        exchange(s, listener);
        assert_int_equal(open_descriptors(), before);
    }
    close(listener);
    silence_close(&silence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_it_connects_by_number_and_by_name),
        everywhere(test_it_goes_on_with_the_next_address),
        everywhere(test_the_words_name_each_address),
        everywhere(test_other_failures_have_words_too),
        everywhere(test_any_allocation_may_fail),
        everywhere(test_many_connect_at_once),
        everywhere(test_a_full_unix_socket_is_waited_for),
        everywhere(test_without_an_answer_the_deadline_ends_it),
        everywhere(test_a_slow_name_does_not_hold_up_the_deadline),
        everywhere(test_cancelled_before_it_asks_for_nothing),
        everywhere(test_cancelled_afterwards_the_stream_stays),
        everywhere(test_cancelled_meanwhile_nothing_is_left),
        everywhere(test_after_a_cancel_the_same_number_works),
    };
    return run_table(tests);
}
