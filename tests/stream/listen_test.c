/* SPDX-License-Identifier: MIT */
/* evert_listen and evert_accept: where it listens, who is taken, and that no newcomer is lost. */
#include "support.h"

#include "net/listener.h"

#include "../net/names.h"

static evert_listener *listen_at(const char *address)
{
    evert_listener *l;
    check_rc(evert_listen(&l, address), 0);
    return l;
}

/* A port of IPv4's loopback that the kernel chose. */
static evert_listener *listen_anywhere(void)
{
    return listen_at("tcp://127.0.0.1:0");
}

/* Takes the newcomer; a byte goes through. */
static void check_accepted(evert_listener *l, int client)
{
    evert_stream *s;
    check_rc(evert_accept(l, &s), 0);
    assert_true(fcntl(s->fd.number, F_GETFD) & FD_CLOEXEC); /* F53 */
    check_rc(evert_puts(s, "x"), 0);
    check_rc(evert_flush(s), 0);
    peer_hears(client, "x");
    close(client);
    check_rc(evert_close(s), 0);
}

/* ---- Where it listens ---- */

static void test_port_0_is_a_free_port_and_is_told(void **state)
{
    evert_listener *l = listen_anywhere(), *other = listen_anywhere();
    const char *address = evert_listener_address(l);
    (void)state;
    check_words(address, "tcp://127.0.0.1:");
    assert_true(port_of(address) > 0);
    assert_int_not_equal(port_of(address), port_of(evert_listener_address(other)));
    check_accepted(l, plain_connect(address));
    check_accepted(other, plain_connect(evert_listener_address(other)));
    evert_listener_close(l);
    evert_listener_close(other);
    evert_listener_close(NULL);
}

static void test_every_address_is_that_of_ipv4_and_ipv6(void **state)
{
    static const char *const addresses[] = {"tcp://*:0", "tcp://:0", "tcp://[::]:0"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        evert_listener *l = listen_at(addresses[i]);
        int port = port_of(evert_listener_address(l));
        char words[64];
        snprintf(words, sizeof(words), "tcp://[::]:%d", port);
        assert_string_equal(evert_listener_address(l), words);
        for (int six = 0; six < 2; six++) {
            evert_stream *client, *s;
            snprintf(words, sizeof(words), "tcp://%s:%d", six ? "[::1]" : "127.0.0.1", port);
            check_rc(evert_connect(&client, words), 0);
            check_rc(evert_accept(l, &s), 0);
            evert_abort(client);
            evert_abort(s);
        }
        evert_listener_close(l);
    }
}

static void test_without_ipv6_every_address_is_that_of_ipv4(void **state)
{
    (void)state;
    answer(EVERT__SYS_SOCKET, -EAFNOSUPPORT, 1);
    evert_listener *l = listen_at("tcp://*:0");
    check_words(evert_listener_address(l), "tcp://0.0.0.0:");
    check_accepted(l, plain_connect(evert_listener_address(l)));
    evert_listener_close(l);
}

static void test_of_a_names_addresses_the_first_that_works_is_taken(void **state)
{
    (void)state;
    evert_listener *l = listen_at("tcp://both.test:0");
    check_words(evert_listener_address(l), "tcp://[::1]:");
    evert_listener_close(l);
    answer(EVERT__SYS_BIND, -EADDRNOTAVAIL, 1);
    l = listen_at("tcp://both.test:0");
    check_words(evert_listener_address(l), "tcp://127.0.0.1:");
    evert_listener_close(l);
}

/* F11, F14: the words name the address. */
static void test_failures_name_the_address(void **state)
{
    const char *folder = make_folder();
    char unix_name[100], words[200], text[300], long_name[150];
    evert_listener *l = listen_anywhere(), *other;
    (void)state;
    check_rc(evert_listen(&other, evert_listener_address(l)), -EADDRINUSE);
    snprintf(words, sizeof(words), "listen on %s: %s", evert_listener_address(l),
             evert_strerror(-EADDRINUSE));
    assert_string_equal(evert_describe(-EADDRINUSE), words);
    evert_listener_close(l);

    snprintf(unix_name, sizeof(unix_name), "unix://%s/socket", folder);
    l = listen_at(unix_name);
    assert_string_equal(evert_listener_address(l), unix_name);
    check_rc(evert_listen(&other, unix_name), -EADDRINUSE);
    check_words(evert_describe(-EADDRINUSE), unix_name);
    check_accepted(l, plain_connect(unix_name)); /* it lives, and is the first that comes */
    evert_listener_close(l);
    remove_folder(folder);

    memset(long_name, 'n', sizeof(long_name));
    snprintf(text, sizeof(text), "unix:///%.107s", long_name);
    check_rc(evert_listen(&l, text), -ENAMETOOLONG);
    snprintf(words, sizeof(words), "...: %s", evert_strerror(-ENAMETOOLONG));
    check_words(evert_describe(-ENAMETOOLONG), words);
    check_rc(evert_listen(&l, "nowhere"), EVERT_EADDRESS);
    check_words(evert_describe(EVERT_EADDRESS), "listen on nowhere: Not an address");
    check_rc(evert_listen(&l, "tcp://none.test:0"), EVERT_ENONAME);
    check_words(evert_describe(EVERT_ENONAME), "listen on tcp://none.test:0: Host name not known");
}

/* F85 */
static void test_a_slow_name_does_not_hold_up_a_deadline(void **state)
{
    evert_listener *l;
    evert_scope scope;
    (void)state;
    names_shut();
    evert_scope_enter(&scope, evert_after(MS));
    int rc = evert_listen(&l, "tcp://slow.test:0");
    check_rc(evert_scope_leave(&scope, rc), -ETIMEDOUT);
    names_open();
}

/* F45 */
static void test_any_allocation_may_fail(void **state)
{
    (void)state;
    memory_limit.hit = true;
    for (int left = 0; memory_limit.hit; left++) {
        evert_listener *l = NULL;
        int before = open_descriptors();
        memory_limit.left = left;
        memory_limit.hit = false;
        evert_set_allocator(&limited_memory);
        int rc = evert_listen(&l, "tcp://127.0.0.1:0");
        evert_set_allocator(NULL);
        assert_true(rc == -ENOMEM || rc == 0);
        if (rc == 0)
            evert_listener_close(l);
        turns(1);
        assert_int_equal(open_descriptors(), before);
    }
}

/* ---- Accepting ---- */

struct accepting {
    evert_listener *listener;
    evert_stream *s;
    int rc; /* 1 until it is known */
};

static int accept_one(void *arg)
{
    struct accepting *a = arg;
    a->rc = 1;
    a->rc = evert_accept(a->listener, &a->s);
    return 0;
}

/* Not only for a moment: adverse wakes who waits for nothing. */
static bool is_waited_for(const evert_listener *l)
{
    const struct evert__waiter *waiter = l->waiter;
    return waiter != NULL && !waiter->done;
}

static void begin(evert_scope *scope, struct accepting *a, evert_listener *l)
{
    *a = (struct accepting){.listener = l, .rc = 1};
    evert_scope_enter(scope, EVERT_NEVER);
    check_rc(evert_spawn(scope, accept_one, a), 0);
    wait_until(is_waited_for(l));
}

/* S3: the second is told, the first does not notice. */
static void test_one_task_accepts_at_a_time(void **state)
{
    evert_listener *l = listen_anywhere();
    struct accepting a;
    evert_scope scope;
    evert_stream *s;
    (void)state;
    begin(&scope, &a, l);
    check_rc(evert_accept(l, &s), -EBUSY);
    check_rc(a.rc, 1);
    int client = plain_connect(evert_listener_address(l));
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(a.rc, 0);
    close(client);
    check_rc(evert_close(a.s), 0);
    evert_listener_close(l);
}

/* C5: the newcomer is for the next who asks. */
static void test_a_cancelled_accept_loses_nobody(void **state)
{
    evert_listener *l = listen_anywhere();
    struct accepting a;
    evert_scope scope;
    (void)state;
    begin(&scope, &a, l);
    int client = plain_connect(evert_listener_address(l));
    evert_scope_cancel(&scope);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(a.rc, -ECANCELED);
    check_accepted(l, client);

    client = plain_connect(evert_listener_address(l));
    evert_scope_enter(&scope, EVERT_NEVER); /* cancelled before */
    evert_scope_cancel(&scope);
    check_rc(accept_one(&a), 0);
    check_rc(a.rc, -ECANCELED);
    check_rc(evert_scope_leave(&scope, -ECANCELED), 0);
    check_accepted(l, client);
    evert_listener_close(l);
}

static void test_a_deadline_around_accept_times_out(void **state)
{
    evert_listener *l = listen_anywhere();
    evert_scope scope;
    evert_stream *s;
    (void)state;
    evert_scope_enter(&scope, evert_after(MS));
    int rc = evert_accept(l, &s);
    check_rc(evert_scope_leave(&scope, rc), -ETIMEDOUT);
    check_accepted(l, plain_connect(evert_listener_address(l)));
    evert_listener_close(l);
}

/* BR-008: arrivals and cancels close together, in any order; each newcomer is taken once. */
static void test_newcomers_are_never_lost_to_cancels(void **state)
{
    enum { MANY = 100 };
    evert_listener *l = listen_anywhere();
    int clients[MANY], taken = 0, came = 0;
    uint64_t random = seed_new();
    (void)state;
    while (taken < MANY) {
        struct accepting a = {.listener = l, .rc = 1};
        evert_scope scope;
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, accept_one, &a), 0);
        turns((int)random_below(&random, 3));
        if (came < MANY)
            clients[came++] = plain_connect(evert_listener_address(l));
        turns((int)random_below(&random, 3));
        if (came < MANY || random_below(&random, 2))
            evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        if (a.rc == 0) {
            taken++;
            evert_abort(a.s);
        } else {
            check_rc(a.rc, -ECANCELED);
        }
    }
    evert_scope scope;
    evert_stream *s;
    evert_scope_enter(&scope, evert_after(MS)); /* nobody came twice */
    int rc = evert_accept(l, &s);
    check_rc(evert_scope_leave(&scope, rc), -ETIMEDOUT);
    for (int i = 0; i < MANY; i++)
        close(clients[i]);
    evert_listener_close(l);
}

/* C12 */
static void test_who_accepts_without_waiting_lets_others_run(void **state)
{
    enum { MANY = 200 };
    evert_listener *l = listen_anywhere();
    struct bystander bystander = {0, false};
    int clients[MANY];
    evert_scope scope;
    (void)state;
    for (int i = 0; i < MANY; i++)
        clients[i] = plain_connect(evert_listener_address(l));
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, stand_by, &bystander), 0);
    for (int i = 0; i < MANY; i++) {
        evert_stream *s;
        check_rc(evert_accept(l, &s), 0);
        evert_abort(s);
        assert_true(bystander.turns >= i / (EVERT__BUDGET + 1) - 1);
    }
    bystander.stop = true;
    check_rc(evert_scope_leave(&scope, 0), 0);
    for (int i = 0; i < MANY; i++)
        close(clients[i]);
    evert_listener_close(l);
}

/* S6 */
static void test_closing_wakes_who_accepts(void **state)
{
    (void)state;
    for (int newcomers = 0; newcomers < 2; newcomers++) {
        evert_listener *l = listen_anywhere();
        struct accepting a;
        evert_scope scope;
        begin(&scope, &a, l);
        int client = newcomers > 0 ? plain_connect(evert_listener_address(l)) : -1;
        evert_listener_close(l);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(a.rc, EVERT_ECLOSED);
        if (client >= 0)
            close(client);
    }
}

/* S6: also who was told just now that somebody came, and has not run yet. */
static void test_closing_wins_over_a_newcomer(void **state)
{
    evert_listener *l = listen_anywhere();
    struct accepting a;
    evert_scope scope;
    (void)state;
    begin(&scope, &a, l);
    l->ready(l);
    evert_listener_close(l);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(a.rc, EVERT_ECLOSED);
}

/* F1, F3: whoever accepts notices nothing but the time it takes. */
static void test_a_shortage_is_waited_out(void **state)
{
    static const int errors[] = {ENOBUFS, ENOMEM, EMFILE, ENFILE};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        evert_listener *l = listen_anywhere();
        int client = plain_connect(evert_listener_address(l));
        start_logging();
        answer(EVERT__SYS_ACCEPT, -errors[i], 2);
        check_accepted(l, client);
        stop_logging();
        assert_int_equal(logged.count, 1);
        check_words(logged.text, evert_listener_address(l));
        evert_listener_close(l);
    }
}

/* F1: it can be cancelled and closed in the pause. */
static void test_the_pause_of_a_shortage_can_be_cut(void **state)
{
    evert_listener *l = listen_anywhere();
    struct accepting a;
    evert_scope scope;
    (void)state;
    start_logging();
    int client = plain_connect(evert_listener_address(l));
    for (int i = 0; i < 2; i++) {
        answer(EVERT__SYS_ACCEPT, -ENOMEM, 1000);
        a = (struct accepting){.listener = l};
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, accept_one, &a), 0);
        wait_until(plan.asked > 0 && l->waiter != NULL);
        if (i == 0)
            evert_scope_cancel(&scope);
        else
            evert_listener_close(l);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(a.rc, i == 0 ? -ECANCELED : EVERT_ECLOSED);
    }
    stop_logging();
    close(client);
}

static void test_a_broken_listener_is_told_in_words(void **state)
{
    evert_listener *l = listen_anywhere();
    evert_stream *s;
    char words[200];
    (void)state;
    answer(EVERT__SYS_ACCEPT, -EINVAL, 1);
    check_rc(evert_accept(l, &s), -EINVAL);
    snprintf(words, sizeof(words), "accept on %s: Invalid argument", evert_listener_address(l));
    assert_string_equal(evert_describe(-EINVAL), words);
    evert_listener_close(l);
}

/* C4: cancelled means no effect. */
static void test_in_a_cancelled_scope_nothing_listens(void **state)
{
    evert_listener *l = NULL;
    evert_scope scope;
    (void)state;
    evert_scope_enter(&scope, EVERT_NEVER);
    evert_scope_cancel(&scope);
    check_rc(evert_listen(&l, "tcp://127.0.0.1:0"), -ECANCELED);
    assert_null(l);
    check_rc(evert_scope_leave(&scope, 0), 0);
}

/* F45: the newcomer for whom there is no memory is turned away. */
static void test_without_memory_for_a_newcomer_it_says_so(void **state)
{
    evert_listener *l = listen_anywhere();
    int client = plain_connect(evert_listener_address(l)), rc;
    evert_stream *s;
    (void)state;
    wait_until(has_events(l->fd.number, POLLIN));
    free_spares(self()->loop);
    take_memory_away();
    rc = evert_accept(l, &s);
    give_memory_back();
    check_rc(rc, -ENOMEM);
    assert_true(peer_receive(client, &rc, 1) <= 0);
    close(client);
    check_accepted(l, plain_connect(evert_listener_address(l)));
    evert_listener_close(l);
}

/* ---- A child of a fork ---- */

static evert_listener *inherited;

static int use_in_child(void *unused)
{
    evert_stream *s = NULL;
    (void)unused;
    if (evert_accept(inherited, &s) != EVERT_ECLOSED || s != NULL)
        return 1;
    evert_listener_close(inherited);
    return 0;
}

/* P9, F53: the child may use it no more, and closing it there leaves the parent's alone. */
static void test_the_child_of_a_fork_leaves_it_to_the_parent(void **state)
{
    const char *folder = make_folder();
    char address[100];
    (void)state;
    snprintf(address, sizeof(address), "unix://%s/socket", folder);
    inherited = listen_at(address);
    int client = plain_connect(address); /* who is not for the child */
    struct child child = in_child(use_in_child, NULL);
    check_exit(&child, 0);
    check_accepted(inherited, client);
    check_accepted(inherited, plain_connect(address));
    evert_listener_close(inherited);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_port_0_is_a_free_port_and_is_told),
        everywhere(test_every_address_is_that_of_ipv4_and_ipv6),
        everywhere(test_without_ipv6_every_address_is_that_of_ipv4),
        everywhere(test_of_a_names_addresses_the_first_that_works_is_taken),
        everywhere(test_failures_name_the_address),
        everywhere(test_a_slow_name_does_not_hold_up_a_deadline),
        everywhere(test_any_allocation_may_fail),
        everywhere(test_one_task_accepts_at_a_time),
        everywhere(test_a_cancelled_accept_loses_nobody),
        everywhere(test_a_deadline_around_accept_times_out),
        everywhere(test_newcomers_are_never_lost_to_cancels),
        everywhere(test_who_accepts_without_waiting_lets_others_run),
        everywhere(test_closing_wakes_who_accepts),
        everywhere(test_closing_wins_over_a_newcomer),
        everywhere(test_a_shortage_is_waited_out),
        everywhere(test_the_pause_of_a_shortage_can_be_cut),
        everywhere(test_a_broken_listener_is_told_in_words),
        everywhere(test_in_a_cancelled_scope_nothing_listens),
        everywhere(test_without_memory_for_a_newcomer_it_says_so),
        everywhere(test_the_child_of_a_fork_leaves_it_to_the_parent),
    };
    return run_table(tests);
}
