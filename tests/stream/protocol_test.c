/* SPDX-License-Identifier: MIT */
/*
 * Protocols: what they are told, in which order, and with which reason (T1, T2); the factories that
 * make them for a listener; and connecting, of which one of two things is told, once (T10).
 */
#include <pthread.h>

#include "protocols.h"

#include "net/listener.h"

#include "../net/names.h"

#define LOOPBACK "tcp://127.0.0.1:0"

/* ---- Factories of the tests ---- */

enum { MANY = 50 };

/* Gives the test's own talkers out, one after the other; none when there is no more. */
struct own_factory {
    evert_factory factory;
    struct talker *talkers;
    int count, given;
};

static evert_protocol *give_own(evert_factory *factory)
{
    struct own_factory *own = EVERT__CONTAINER(factory, struct own_factory, factory);
    return own->given < own->count ? &own->talkers[own->given++].protocol : NULL;
}

static struct own_factory own_factory(struct talker *talkers, int count)
{
    for (int i = 0; i < count; i++)
        talker_init(&talkers[i]);
    return (struct own_factory){{give_own, NULL}, talkers, count, 0};
}

static evert_listener *listen_with(evert_factory *factory)
{
    evert_listener *l;
    check_rc(evert_listen_protocol(&l, self()->loop, LOOPBACK, factory), 0);
    return l;
}

/* A listener of talkers, and a client that the first of them has heard of. */
static evert_listener *listen_and_connect(struct own_factory *own, int *client)
{
    evert_listener *l = listen_with(&own->factory);
    *client = plain_connect(evert_listener_address(l));
    wait_until(own->given == 1);
    return l;
}

/* ---- T1: the order of calls ---- */

static bool is_open(int number)
{
    return fcntl(number, F_GETFD) >= 0;
}

/* As the last call the descriptor is gone, and its number is not another's yet. */
static void look_at_descriptor(struct talker *t, char call)
{
    assert_int_equal(is_open(t->number), call != 'L');
}

/* T1 */
static void test_calls_come_in_order_and_the_loss_is_the_last(void **state)
{
    struct talker t;
    struct own_factory own = own_factory(&t, 1);
    int client;
    (void)state;
    t.act = look_at_descriptor;
    evert_listener *l = listen_and_connect(&own, &client);
    assert_ptr_equal(t.protocol.factory, &own.factory);
    check_told(&t, "M");
    peer_say(client, "one");
    wait_until(t.size == 3);
    peer_say(client, "two");
    close(client);
    check_lost(&t, 0);
    check_told(&t, "MDEL");
    check_heard(&t, "onetwo");
    turns(10);
    check_told(&t, "MDEL");
    talker_fini(&t);
    evert_listener_close(l);
}

/* T1: without any function all goes its way. */
static void test_a_protocol_of_no_functions_takes_all_and_closes_at_the_end(void **state)
{
    static const evert_protocol_ops none = {.size = 0};
    (void)state;
    evert_factory factory = {evert_build_protocol, &none};
    evert_listener *l = listen_with(&factory);
    int client = plain_connect(evert_listener_address(l));
    peer_say(client, "anything");
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    peer_hears_end(client);
    close(client);
    evert_listener_close(l);
}

/* ---- T2: reasons ---- */

static void lose_it(struct talker *t, char call)
{
    if (call == 'D')
        evert_transport_lose_connection(transport_of(t));
}

static void abort_it(struct talker *t, char call)
{
    if (call == 'D')
        evert_transport_abort_connection(transport_of(t));
}

/* T2 */
static void test_the_reason_is_who_ended_it(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;

        talker_init(&t); /* the peer's end */
        int peer = talk(&t, (enum kind)kind);
        assert_int_equal(shutdown(peer, SHUT_WR), 0);
        check_lost(&t, 0);
        peer_hears_end(peer);
        end_talk(&t, peer);

        talker_init(&t); /* our own close */
        t.act = lose_it;
        peer = talk(&t, (enum kind)kind);
        peer_say(peer, "x");
        peer_hears_end(peer);
        close(peer);
        check_lost(&t, 0);
        check_told(&t, "MDL");
        talker_fini(&t);

        talker_init(&t); /* our own abort */
        t.act = abort_it;
        peer = talk(&t, (enum kind)kind);
        peer_say(peer, "x");
        check_lost(&t, -ECONNABORTED);
        check_told(&t, "MDL");
        end_talk(&t, peer);
    }
}

/* T2, F17: what came before a reset is heard first; the end is not, as there was none. */
static void test_a_reset_is_told_by_its_code_behind_the_data(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct talker t;
        talker_init(&t);
        int peer = talk(&t, TCP);
        peer_say(peer, "half a mess");
        wait_arrived(t.number, 11 - t.size);
        if (i % 2)
            turns(i / 2);
        peer_reset(peer);
        check_lost(&t, -ECONNRESET);
        check_told(&t, "MDL");
        check_heard(&t, "half a mess");
        talker_fini(&t);
    }
}

/* T2, case 21: it is logged; and the peer gets what was written, and an end. */
static void test_a_failure_of_data_received_closes_its_connection(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t, other;
        talker_init(&t);
        talker_init(&other);
        t.data_result = -EPROTO;
        int peer = talk(&t, (enum kind)kind), others = talk(&other, (enum kind)kind);
        evert_transport_puts(transport_of(&t), "last words");
        start_logging();
        peer_say(peer, "nonsense");
        peer_hears(peer, "last words");
        peer_hears_end(peer);
        stop_logging();
        assert_int_equal(logged.count, 1);
        check_words(logged.text, "data_received");
        check_words(logged.text, evert_strerror(-EPROTO));
        close(peer);
        check_lost(&t, -EPROTO);
        check_told(&t, "MDL");
        talker_fini(&t);
        peer_say(others, "x");
        wait_until(other.size == 1); /* the other connection has not noticed */
        end_talk(&other, others);
    }
}

/* T2: also where it had begun to close by itself. */
static void test_a_failure_after_an_own_close_is_told_all_the_same(void **state)
{
    (void)state;
    struct talker t;
    talker_init(&t);
    t.act = lose_it;
    t.data_result = -EPROTO;
    int peer = talk(&t, TCP);
    start_logging();
    peer_say(peer, "nonsense");
    peer_hears_end(peer);
    close(peer);
    check_lost(&t, -EPROTO);
    stop_logging();
    assert_int_equal(logged.count, 1);
    talker_fini(&t);
}

/* T2 */
static void test_a_failure_of_eof_received_closes_its_connection(void **state)
{
    (void)state;
    struct talker t;
    talker_init(&t);
    t.eof_result = -EPROTO;
    int peer = talk(&t, TCP);
    start_logging();
    assert_int_equal(shutdown(peer, SHUT_WR), 0);
    peer_hears_end(peer);
    check_lost(&t, -EPROTO);
    stop_logging();
    check_words(logged.text, "eof_received");
    check_told(&t, "MEL");
    end_talk(&t, peer);
}

static void lose_at_once(struct talker *t, char call)
{
    if (call == 'M')
        evert_transport_lose_connection(transport_of(t));
}

/* T2: it is aborted, also where it had begun to close. Nothing is leaked open. */
static void test_a_failure_of_connection_made_aborts(void **state)
{
    (void)state;
    for (int loses = 0; loses < 2; loses++) {
        struct talker t;
        struct own_factory own = own_factory(&t, 1);
        int client;
        char byte;
        t.made_result = -EPROTO;
        t.act = loses ? lose_at_once : NULL;
        start_logging();
        evert_listener *l = listen_and_connect(&own, &client);
        check_lost(&t, -EPROTO);
        stop_logging();
        assert_int_equal(logged.count, 1);
        check_words(logged.text, "connection_made");
        check_told(&t, "ML");
        check_count(peer_receive(client, &byte, 1), loses ? 0 : -ECONNRESET);
        close(client);
        evert_listener_close(l);
    }
}

/* ---- Factories ---- */

/* Case 22, T1: and the next connection gets its protocol. */
static void test_a_factory_that_builds_none_closes(void **state)
{
    struct talker t;
    struct own_factory own = own_factory(&t, 1);
    (void)state;
    own.count = 0;
    evert_listener *l = listen_with(&own.factory);
    int client = plain_connect(evert_listener_address(l));
    peer_say(client, "is anybody there?");
    peer_hears_end(client);
    close(client);
    own.count = 1;
    client = plain_connect(evert_listener_address(l));
    wait_until(t.made == 1);
    end_talk(&t, client);
    evert_listener_close(l);
}

static int built_lost;

static void count_built(struct talker *t, char call)
{
    built_lost += call == 'L';
    if (call == 'L')
        talker_fini(t);
}

static int count_when_made(evert_protocol *protocol)
{
    struct talker *t = talker_of(protocol);
    assert_true(protocol->built);
    assert_null(t->act); /* the struct was zeroed */
    assert_null(t->heard);
    t->act = count_built;
    return talker_made(protocol);
}

/* That they are freed is seen by the address sanitizer. */
static void test_protocols_that_the_library_built_are_freed_by_it(void **state)
{
    evert_protocol_ops ops = talker_ops;
    evert_factory factory = {evert_build_protocol, &ops};
    int clients[MANY];
    (void)state;
    ops.connection_made = count_when_made;
    built_lost = 0;
    evert_listener *l = listen_with(&factory);
    for (int i = 0; i < MANY; i++) {
        clients[i] = plain_connect(evert_listener_address(l));
        peer_say(clients[i], "x");
    }
    for (int i = 0; i < MANY; i++)
        close(clients[i]);
    wait_until(built_lost == MANY);
    evert_listener_close(l);
}

/* Its own ones are the program's, at once. */
static void free_self(struct talker *t, char call)
{
    if (call != 'L')
        return;
    ++*(int *)t->arg;
    talker_fini(t);
    free(t);
}

static evert_protocol *give_allocated(evert_factory *factory)
{
    struct talker *t = malloc(sizeof(*t));
    assert_non_null(t);
    talker_init(t);
    t->act = free_self;
    t->arg = (void *)(uintptr_t)factory->ops;
    return &t->protocol;
}

/* F50, T3: in connection_lost() a protocol may free itself. */
static void test_a_protocol_of_its_own_may_free_itself_when_it_is_lost(void **state)
{
    int gone = 0;
    evert_factory factory = {give_allocated, &gone};
    (void)state;
    evert_listener *l = listen_with(&factory);
    for (int i = 0; i < 10; i++) {
        int client = plain_connect(evert_listener_address(l));
        peer_say(client, "x");
        if (i % 2)
            peer_reset(client);
        else
            close(client);
        wait_until(gone == i + 1);
    }
    evert_listener_close(l);
}

static struct {
    evert_protocol *protocol;
    evert_stream *next;
} kept;

static void take_the_next(struct talker *t, char call)
{
    if (call == 'L' && kept.next != NULL) {
        t->lost = 0;
        check_rc(evert_stream_transport(kept.next, &t->protocol), 0);
        kept.next = NULL;
    }
}

/* F50: one that took another connection when it lost the first is freed when it has lost that. */
static void test_a_built_protocol_may_take_another_connection(void **state)
{
    struct ends e[2] = {make_ends(TCP), make_ends(TCP)};
    evert_factory factory = {evert_build_protocol, &talker_ops};
    (void)state;
    evert_protocol *protocol = evert_build_protocol(&factory);
    assert_non_null(protocol);
    struct talker *t = talker_of(protocol);
    t->act = take_the_next;
    kept.next = e[1].s;
    talk_on(t, e[0].s);
    close(e[0].peer);
    wait_until(t->made == 2);
    t->act = count_built;
    built_lost = 0;
    close(e[1].peer);
    wait_until(built_lost == 1);
}

static evert_protocol *give_kept(evert_factory *factory)
{
    (void)factory;
    return kept.protocol;
}

static int give_a_busy_protocol(void *unused)
{
    struct talker t;
    evert_factory factory = {give_kept, NULL};
    (void)unused;
    talker_init(&t);
    kept.protocol = &t.protocol;
    evert_listener *l = listen_with(&factory);
    int first = plain_connect(evert_listener_address(l));
    wait_until(t.made == 1);
    int second = plain_connect(evert_listener_address(l));
    peer_hears_end(second);
    close(second);
    peer_say(first, "x");
    wait_until(t.size == 1);
    end_talk(&t, first);
    evert_listener_close(l);
    turns(2);
    return 0;
}

static void test_a_factory_that_gives_a_protocol_twice_is_misuse(void **state)
{
    (void)state;
    check_misuse(give_a_busy_protocol, 0, "build_protocol gave a protocol that has a transport");
}

static int free_one_in_use(void *unused)
{
    struct talker t;
    (void)unused;
    talker_init(&t);
    evert_protocol_free(NULL);
    evert_protocol_free(&t.protocol);
    return 0;
}

static void test_freeing_a_protocol_of_ones_own_is_misuse(void **state)
{
    (void)state;
    check_misuse(free_one_in_use, 0, "evert_protocol_free");
}

/* ---- Listening ---- */

static void test_listening_fails_as_evert_listen_does(void **state)
{
    struct own_factory own = own_factory(NULL, 0);
    evert_loop *loop = self()->loop;
    evert_listener *l = listen_with(&own.factory), *other = NULL;
    (void)state;
    check_rc(evert_listen_protocol(&other, loop, "nowhere", &own.factory), EVERT_EADDRESS);
    check_rc(evert_listen_protocol(&other, loop, evert_listener_address(l), &own.factory),
             -EADDRINUSE);
    answer(EVERT__SYS_SOCKET, -EMFILE, 1);
    check_rc(evert_listen_protocol(&other, loop, LOOPBACK, &own.factory), -EMFILE);
    answer_no_more();
    assert_null(other);
    evert_listener_close(l);
}

struct listen_call {
    evert_factory *factory;
    evert_listener *listener;
    int rc;
};

static void listen_by_name(void *arg)
{
    struct listen_call *call = arg;
    call->rc = evert_listen_protocol(&call->listener, NULL, "tcp://both.test:0", call->factory);
}

/* A name is looked up only where something may wait for it: not in a callback. */
static void test_a_name_is_looked_up_in_tasks_and_in_blocking_mode(void **state)
{
    struct talker t;
    struct own_factory own = own_factory(&t, 1);
    struct listen_call call = {.factory = &own.factory, .rc = 1};
    evert_loop *loop = self()->loop;
    evert_listener *l = NULL;
    (void)state;
    check_rc(evert_loop_call_soon(loop, NULL, listen_by_name, &call), 0);
    wait_until(call.rc != 1);
    check_rc(call.rc, EVERT_ECONTEXT);
    assert_null(call.listener);
    check_rc(evert_listen_protocol(&l, NULL, "tcp://none.test:0", &own.factory), EVERT_ENONAME);
    check_words(evert_describe(EVERT_ENONAME), "listen on tcp://none.test:0: ");
    assert_null(l);
    answer(EVERT__SYS_BIND, -EADDRNOTAVAIL, 1);
    check_rc(evert_listen_protocol(&l, loop, "tcp://both.test:0", &own.factory), 0);
    answer_no_more();
    check_words(evert_listener_address(l), "tcp://127.0.0.1:");
    int client = plain_connect(evert_listener_address(l));
    wait_until(t.made == 1);
    end_talk(&t, client);
    evert_listener_close(l);
}

/* Those that are connected stay so, and newcomers are refused. */
static void test_closing_a_listener_ends_accepting_alone(void **state)
{
    struct talker t;
    struct own_factory own = own_factory(&t, 1);
    char address[64];
    int client;
    (void)state;
    evert_listener *l = listen_and_connect(&own, &client);
    snprintf(address, sizeof(address), "%s", evert_listener_address(l));
    evert_listener_close(l);
    turns(2);
    peer_say(client, "x");
    wait_until(t.size == 1);
    evert_stream *s;
    check_rc(evert_connect(&s, address), -ECONNREFUSED);
    end_talk(&t, client);
}

static evert_listener *to_close;

static void close_listener(struct talker *t, char call)
{
    (void)t;
    if (call == 'M')
        evert_listener_close(to_close);
}

static evert_protocol *close_and_give_none(evert_factory *factory)
{
    (void)factory;
    evert_listener_close(to_close);
    return NULL;
}

/* F50: by the protocol that was just made, and by the factory, with others in the queue. */
static void test_a_listener_may_be_closed_while_it_accepts(void **state)
{
    struct talker t;
    struct own_factory own = own_factory(&t, 1);
    evert_factory none = {close_and_give_none, NULL};
    (void)state;
    for (int i = 0; i < 2; i++) {
        int clients[3];
        t.act = close_listener;
        to_close = listen_with(i == 0 ? &own.factory : &none);
        for (int j = 0; j < 3; j++)
            clients[j] = plain_connect(evert_listener_address(to_close));
        wait_until(has_events(clients[2], POLLRDHUP | POLLERR | POLLHUP));
        for (int j = 0; j < 3; j++)
            close(clients[j]);
        if (i == 0)
            check_lost(&t, 0);
        turns(2);
    }
    talker_fini(&t);
}

/* F1, F3, T11: a shortage is waited out. */
static void test_a_shortage_of_descriptors_is_survived(void **state)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct talker t;
        struct own_factory own = own_factory(&t, 1);
        evert_listener *l = listen_with(&own.factory);
        turns(2);
        start_logging();
        answer(EVERT__SYS_ACCEPT, -errors[i], 3);
        int client = plain_connect(evert_listener_address(l));
        wait_until(t.made == 1);
        answer_no_more();
        stop_logging();
        assert_int_equal(logged.count, 1);
        check_words(logged.text, evert_listener_address(l));
        end_talk(&t, client);
        evert_listener_close(l);
    }
}

/* F2, T11 */
static void test_newcomers_that_are_gone_are_passed_over(void **state)
{
    struct talker t;
    struct own_factory own = own_factory(&t, 1);
    (void)state;
    evert_listener *l = listen_with(&own.factory);
    turns(2);
    answer(EVERT__SYS_ACCEPT, -ECONNABORTED, 3);
    int client = plain_connect(evert_listener_address(l));
    wait_until(t.made == 1);
    end_talk(&t, client);
    evert_listener_close(l);
}

/* T11: where the listener itself is broken that is said once, and nothing spins. */
static void test_a_broken_listener_is_logged_and_left_alone(void **state)
{
    struct own_factory own = own_factory(NULL, 0);
    (void)state;
    evert_listener *l = listen_with(&own.factory);
    turns(2);
    start_logging();
    answer(EVERT__SYS_ACCEPT, -EBADF, 1000);
    int client = plain_connect(evert_listener_address(l));
    wait_until(logged.count > 0);
    turns(5);
    answer_no_more();
    stop_logging();
    assert_int_equal(logged.count, 1);
    check_words(logged.text, "accepting no more");
    close(client);
    evert_listener_close(l);
}

static void test_many_are_served_at_once(void **state)
{
    struct talker t[MANY];
    struct own_factory own = own_factory(t, MANY);
    int clients[MANY], done = 0;
    (void)state;
    evert_listener *l = listen_with(&own.factory);
    for (int i = 0; i < MANY; i++) {
        clients[i] = plain_connect(evert_listener_address(l));
        peer_say(clients[i], "hello");
        assert_int_equal(shutdown(clients[i], SHUT_WR), 0);
    }
    for (int i = 0; i < MANY; i++) {
        peer_hears_end(clients[i]);
        close(clients[i]);
    }
    while (done < MANY)
        wait_until(t[done].lost && ++done);
    for (int i = 0; i < MANY; i++) {
        check_told(&t[i], "MDEL");
        check_heard(&t[i], "hello");
        talker_fini(&t[i]);
    }
    evert_listener_close(l);
}

/* ---- Runs and loops that end ---- */

struct run_with_talkers {
    struct talker t[2];
    struct own_factory own;
    evert_listener *listener;
    int clients[2];
    int signal;
};

/* Whether newcomers are turned away at once, and not left in a queue that nobody looks at. */
static bool is_refused(const char *address)
{
    int error = 0, fd = plain_socket(TCP);
    socklen_t size = sizeof(error);
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)},
                             .sin_port = htons((uint16_t)port_of(address))};
    if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
        error = errno;
    if (error == EINPROGRESS) {
        wait_until(has_events(fd, POLLOUT));
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
    }
    close(fd);
    return error == ECONNREFUSED;
}

static int listen_after_being_told_to_end(void *arg)
{
    evert_factory *factory = arg;
    check_rc(raise(SIGTERM), 0);
    wait_until(self()->loop->ending);
    evert_listener *listener = listen_with(factory);
    assert_true(is_refused(evert_listener_address(listener)));
    evert_listener_close(listener);
    return 0;
}

/* P9 */
static void test_listening_in_a_run_that_was_told_to_end_accepts_nobody(void **state)
{
    evert_run_options options = {.drain = PATIENCE};
    struct own_factory own = own_factory(NULL, 0);
    (void)state;
    check_rc(evert_run_with(&options, listen_after_being_told_to_end, &own.factory), 0);
    assert_int_equal(own.given, 0);
}

/* The peers of these do not end their side. */
static void close_soon(struct talker *t, char call)
{
    if (call == 'M')
        evert_transport_set_close_limit(transport_of(t), 10 * MS);
}

static int listen_and_be_told_to_end(void *arg)
{
    struct run_with_talkers *r = arg;
    r->listener = listen_and_connect(&r->own, &r->clients[0]);
    wait_until(r->t[0].made == 1);
    if (r->signal == 0)
        return 0;
    check_rc(raise(r->signal), 0);
    wait_until(self()->loop->ending);
    wait_until(is_refused(evert_listener_address(r->listener)));
    peer_say(r->clients[0], "still served");
    wait_until(r->t[0].size == 12);
    turns(10);
    assert_int_equal(r->own.given, 1);
    return 0;
}

/*
 * T1, P9: when a run ends, its transports are closed, and say so; the peer has what was written. A
 * run that was told to end accepts no more before that.
 */
static void test_a_run_ends_with_all_its_connections_lost(void **state)
{
    static const int signals[] = {0, SIGTERM};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        struct run_with_talkers r = {.signal = signals[i], .clients = {-1, -1}};
        evert_run_options options = {.drain = PATIENCE};
        r.own = own_factory(r.t, 2);
        r.t[0].act = close_soon;
        check_rc(evert_run_with(&options, listen_and_be_told_to_end, &r), 0);
        check_told(&r.t[0], signals[i] == 0 ? "ML" : "MDL");
        check_rc(r.t[0].reason, 0);
        evert_listener_close(r.listener);
        turns(2);
        peer_hears_end(r.clients[0]);
        for (int j = 0; j < 2; j++) {
            if (r.clients[j] >= 0)
                close(r.clients[j]);
        }
        talker_fini(&r.t[0]);
    }
}

/* In which state a connection is when its loop is freed. */
enum moment { IDLE, UNTOLD, PAUSED, FLUSHING, DRAINING, ABORTED, CLOSED, MOMENTS };

static void reach(struct talker *t, enum moment moment, evert_loop *loop)
{
    static char much[400000];
    switch (moment) {
    case PAUSED:
        evert_transport_pause_reading(transport_of(t));
        break;
    case FLUSHING:
        evert_transport_write(transport_of(t), much, sizeof(much));
        evert_transport_lose_connection(transport_of(t));
        check_rc(evert_loop_turn(loop, 0), 0);
        break;
    case DRAINING:
        evert_transport_lose_connection(transport_of(t));
        break;
    case ABORTED:
        evert_transport_abort_connection(transport_of(t));
        break;
    case CLOSED: /* it is on the queue to be told so */
        evert_transport_abort_connection(transport_of(t));
        check_rc(evert_loop_turn(loop, 0), 0);
        break;
    default:
        break;
    }
}

struct under {
    evert_loop *loop;
    struct talker t;
    int fds[2];
    enum moment moment;
};

static void *begin_under(void *arg)
{
    struct under *u = arg;
    while (u->moment != UNTOLD && u->t.made == 0)
        check_rc(evert_loop_turn(u->loop, 0), 0);
    reach(&u->t, u->moment, u->loop);
    return NULL;
}

static void check_loop_freed(enum moment moment, enum kind kind, bool elsewhere)
{
    struct under u = {.moment = moment};
    evert_stream *s;
    int before = open_descriptors();
    check_rc(evert_loop_new(&u.loop), 0);
    plain_pair(kind, u.fds);
    set_size(u.fds[0], SO_SNDBUF, 8192);
    check_rc(evert__connection_accepted(u.loop, u.fds[0], kind == TCP, &s), 0);
    talker_init(&u.t);
    check_rc(evert_stream_transport(s, &u.t.protocol), 0);
    if (elsewhere) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, begin_under, &u), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    } else {
        begin_under(&u);
    }
    evert_loop_free(u.loop);
    assert_int_equal(u.t.lost, 1);
    check_told(&u.t, moment == UNTOLD ? "L" : moment == FLUSHING ? "MPL" : "ML");
    assert_false(is_open(u.fds[0]));
    close(u.fds[1]);
    assert_int_equal(open_descriptors(), before);
}

/*
 * T1: a loop is freed under its connections, in whatever state they are: each says so, once. The
 * thread that ran it may have ended.
 */
static void test_a_loop_is_freed_and_each_connection_is_lost(void **state)
{
    (void)state;
    for (int moment = IDLE; moment < MOMENTS; moment++) {
        for (int i = 0; i < 20; i++)
            check_loop_freed((enum moment)moment, i % 2 ? TCP : UNIX, i % 4 >= 2);
    }
}

enum { CROWD = 300 };

static void *turn_until_all_are_made(void *arg)
{
    struct under *all = arg;
    for (int i = 0; i < CROWD; i++) {
        while (all[i].t.made == 0)
            check_rc(evert_loop_turn(all[i].loop, 0), 0);
    }
    return NULL;
}

/* T1: many at once, each of which waits for its peer. */
static void test_a_loop_of_a_thread_that_ended_is_freed_with_many_connections(void **state)
{
    static struct under all[CROWD];
    evert_loop *loop;
    pthread_t thread;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    for (int i = 0; i < CROWD; i++) {
        evert_stream *s;
        all[i].loop = loop;
        plain_pair(UNIX, all[i].fds);
        check_rc(evert__connection_accepted(loop, all[i].fds[0], false, &s), 0);
        talker_init(&all[i].t);
        check_rc(evert_stream_transport(s, &all[i].t.protocol), 0);
    }
    assert_int_equal(pthread_create(&thread, NULL, turn_until_all_are_made, all), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    evert_loop_free(loop);
    for (int i = 0; i < CROWD; i++) {
        check_told(&all[i].t, "ML");
        close(all[i].fds[1]);
    }
}

/* ---- Connecting ---- */

/* What a Deferred of connecting comes to. */
struct outcome {
    evert_deferred *deferred;
    int told, error;
    void *value;
};

static evert_result note_value(evert_result *in, void *arg)
{
    struct outcome *o = arg;
    o->told++;
    o->value = in->value;
    return evert_ok(NULL);
}

static evert_result note_failure(evert_result *in, void *arg)
{
    struct outcome *o = arg;
    o->told++;
    o->error = in->error;
    return evert_ok(NULL);
}

static void begin_on(evert_loop *loop, struct outcome *o, struct talker *t, const char *address)
{
    *o = (struct outcome){0};
    talker_init(t);
    check_rc(evert_connect_protocol(&o->deferred, loop, address, &t->protocol), 0);
    check_rc(evert_deferred_add_callbacks(o->deferred, note_value, note_failure, o), 0);
    assert_int_equal(o->told, 0); /* never from inside */
}

static void begin(struct outcome *o, struct talker *t, const char *address)
{
    begin_on(self()->loop, o, t, address);
}

/* T10: exactly one of the two, and it stays so. */
static void check_outcome(struct outcome *o, const struct talker *t, int error)
{
    wait_until(o->told > 0);
    turns(5);
    assert_int_equal(o->told, 1);
    check_rc(o->error, error);
    if (error == 0)
        assert_ptr_equal(o->value, &t->protocol);
    else
        assert_int_equal(t->made, 0);
    evert_deferred_free(o->deferred);
}

/* T10: the value comes when the protocol has heard of it, and before any data. */
static void test_connecting_tells_the_protocol_and_then_the_deferred(void **state)
{
    char address[64], by_name[64];
    int listener = plain_listener(10, address);
    const char *const addresses[] = {address, by_name};
    (void)state;
    snprintf(by_name, sizeof(by_name), "tcp://both.test:%d", port_of(address));
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct talker t;
        struct outcome o;
        begin(&o, &t, addresses[i]);
        int peer = plain_accept(listener);
        peer_say(peer, "hello");
        check_outcome(&o, &t, 0);
        wait_until(t.size == 5);
        evert_transport_puts(transport_of(&t), "reply");
        peer_hears(peer, "reply");
        assert_string_equal(evert_transport_peer(transport_of(&t)), address);
        assert_ptr_equal(evert_transport_loop(transport_of(&t)), self()->loop);
        check_told(&t, "MD");
        end_talk(&t, peer);
    }
    close(listener);
}

/* T10, F5 */
static void test_what_fails_is_told_once(void **state)
{
    char address[64];
    struct talker t;
    struct outcome o;
    (void)state;
    close(plain_listener(1, address));
    begin(&o, &t, address);
    check_outcome(&o, &t, -ECONNREFUSED);
    begin(&o, &t, "nowhere");
    check_outcome(&o, &t, EVERT_EADDRESS);
    begin(&o, &t, "tcp://none.test:9");
    check_outcome(&o, &t, EVERT_ENONAME);
    answer(EVERT__SYS_SOCKET, -EMFILE, 1);
    begin(&o, &t, address);
    answer_no_more();
    check_outcome(&o, &t, -EMFILE);
    assert_int_equal(t.lost, 0);
}

/* Cancels it, or frees it; which tells nobody. */
static void stop(struct outcome *o, struct talker *t, bool frees)
{
    if (frees) {
        evert_deferred_free(o->deferred);
        turns(5);
        assert_int_equal(o->told, 0);
        assert_int_equal(t->made, 0);
    } else {
        evert_deferred_cancel(o->deferred);
        check_outcome(o, t, -ECANCELED);
    }
}

/* T10, F51, F85: before the first turn, while a name is looked up, while it connects. */
static void test_connecting_is_cancelled_or_freed_at_each_step(void **state)
{
    struct silence silence = silence_open();
    struct talker t;
    struct outcome o;
    (void)state;
    for (int frees = 0; frees < 2; frees++) {
        const char *const addresses[] = {silence.address, "tcp://slow.test:9", "nowhere"};
        names_shut();
        for (size_t i = 0; i < COUNT_OF(addresses); i++) {
            begin(&o, &t, addresses[i]);
            stop(&o, &t, frees);
        }
        begin(&o, &t, "tcp://slow.test:9");
        wait_until(names_inside() > 0);
        stop(&o, &t, frees);
        names_open();
        begin(&o, &t, silence.address);
        turns(20);
        stop(&o, &t, frees);
    }
    silence_close(&silence);
}

/* T10: a Unix socket whose queue is full is tried again by timer. */
static void test_connecting_is_cancelled_while_it_waits_to_try_again(void **state)
{
    const char *folder = make_folder();
    char address[100];
    (void)state;
    snprintf(address, sizeof(address), "unix://%s/socket", folder);
    struct sockaddr_un un = unix_address(address);
    int listener = plain_socket(UNIX);
    assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(listener, 0), 0);
    int first = plain_connect(address);
    for (int i = 0; i < 12; i++) {
        struct talker t;
        struct outcome o;
        begin(&o, &t, address);
        turns(i / 2);
        stop(&o, &t, i % 2);
    }
    struct talker t; /* and when there is room, it succeeds */
    struct outcome o;
    begin(&o, &t, address);
    turns(5);
    assert_int_equal(o.told, 0);
    close(plain_accept(listener));
    check_outcome(&o, &t, 0);
    end_talk(&t, plain_accept(listener));
    close(first);
    close(listener);
    unlink(un.sun_path);
    remove_folder(folder);
}

/* T10, F51, C5: at any moment; who was connected by then is, and nobody is told twice. */
static void test_a_cancel_at_any_moment_leaves_one_outcome(void **state)
{
    char address[64];
    int listener = plain_listener(100, address);
    (void)state;
    for (int i = 0; i < 60; i++) {
        struct talker t;
        struct outcome o;
        bool frees = i % 3 == 2;
        begin(&o, &t, address);
        turns(i / 6);
        bool connected = o.told > 0;
        if (frees)
            evert_deferred_free(o.deferred);
        else
            evert_deferred_cancel(o.deferred);
        if (connected) {
            turns(3);
            assert_int_equal(o.told, 1);
            check_rc(o.error, 0);
            if (!frees)
                evert_deferred_free(o.deferred);
            end_talk(&t, plain_accept(listener));
            continue;
        }
        turns(10);
        assert_int_equal(o.told, !frees);
        check_rc(o.error, frees ? 0 : -ECANCELED);
        assert_int_equal(t.made, 0);
        if (!frees)
            evert_deferred_free(o.deferred);
        int peer = accept(listener, NULL, NULL);
        if (peer >= 0)
            close(peer);
    }
    close(listener);
}

/* Complete, but nobody has been told: it is on the queue. */
static void test_connected_and_cancelled_before_it_is_told(void **state)
{
    const char *folder = make_folder();
    char address[100];
    (void)state;
    snprintf(address, sizeof(address), "unix://%s/socket", folder);
    struct sockaddr_un un = unix_address(address);
    int listener = plain_socket(UNIX);
    assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(listener, 10), 0);
    for (int frees = 0; frees < 2; frees++) {
        struct talker t;
        struct outcome o;
        begin(&o, &t, address); /* connects at once, but on the adverse back end */
        stop(&o, &t, frees);
        if (is_late())
            continue;
        int peer = plain_accept(listener);
        peer_hears_end(peer);
        close(peer);
    }
    close(listener);
    unlink(un.sun_path);
    remove_folder(folder);
}

static void stop_in_made(struct talker *t, char call)
{
    struct outcome *o = t->arg;
    if (call != 'M')
        return;
    if (t->count == 0)
        evert_deferred_cancel(o->deferred);
    else
        evert_deferred_free(o->deferred);
}

/* F50, C5: too late, it is connected. */
static void test_the_deferred_is_cancelled_or_freed_in_connection_made(void **state)
{
    char address[64];
    int listener = plain_listener(10, address);
    (void)state;
    for (int frees = 0; frees < 2; frees++) {
        struct talker t;
        struct outcome o;
        begin(&o, &t, address);
        t.act = stop_in_made;
        t.arg = &o;
        t.count = frees;
        int peer = plain_accept(listener);
        wait_until(t.made == 1);
        if (frees)
            assert_int_equal(o.told, 0);
        else
            check_outcome(&o, &t, 0);
        peer_say(peer, "x");
        wait_until(t.size == 1);
        end_talk(&t, peer);
        check_told(&t, "MDEL");
    }
    close(listener);
}

static void lose_or_abort_in_made(struct talker *t, char call)
{
    if (call == 'M' && t->count == 0)
        evert_transport_lose_connection(transport_of(t));
    if (call == 'M' && t->count == 1)
        evert_transport_abort_connection(transport_of(t));
}

/* T10, T2: connected is connected, whatever connection_made() makes of it: then it is lost. */
static void test_a_connection_that_ends_in_connection_made_was_connected(void **state)
{
    static const int reasons[] = {0, -ECONNABORTED, -EPROTO};
    char address[64];
    int listener = plain_listener(10, address);
    (void)state;
    start_logging();
    for (int i = 0; i < 3; i++) {
        struct talker t;
        struct outcome o;
        begin(&o, &t, address);
        t.act = lose_or_abort_in_made;
        t.count = i;
        t.made_result = i == 2 ? -EPROTO : 0;
        int peer = plain_accept(listener);
        check_outcome(&o, &t, 0);
        close(peer);
        check_lost(&t, reasons[i]);
        check_told(&t, "ML");
    }
    stop_logging();
    assert_int_equal(logged.count, 1);
    close(listener);
}

static void give_away_in_made(struct talker *t, char call)
{
    if (call != 'M')
        return;
    *(evert_stream **)t->arg = evert_transport_stream(transport_of(t));
    memset(t, 0x55, sizeof(*t)); /* as one that is freed */
}

/* S8, F50: it gave its connection away and may be gone, so it is no value to tell. */
static void test_a_connection_that_is_given_away_in_connection_made(void **state)
{
    char address[64];
    int listener = plain_listener(10, address);
    struct talker t;
    struct outcome o;
    evert_stream *s = NULL;
    (void)state;
    begin(&o, &t, address);
    t.act = give_away_in_made;
    t.arg = &s;
    int peer = plain_accept(listener);
    wait_until(o.told > 0);
    assert_int_equal(o.told, 1);
    check_rc(o.error, -ECONNABORTED);
    evert_deferred_free(o.deferred);
    assert_non_null(s);
    check_rc(evert_puts(s, "from the stream"), 0);
    check_rc(evert_flush(s), 0);
    peer_hears(peer, "from the stream");
    close(peer);
    check_rc(evert_close(s), 0);
    close(listener);
}

/* The timer of connecting: the one that is about 30 seconds away. */
static struct evert__timer *connect_limit(evert_loop *loop)
{
    evert_time now = evert__clock();
    for (uint32_t i = 0; i < loop->timers.count; i++) {
        evert_time left = loop->timers.entries[i].when - now;
        if (left > 25 * EVERT_SECOND && left <= 30 * EVERT_SECOND)
            return EVERT__CONTAINER(loop->timers.entries[i].node, struct evert__timer, node);
    }
    return NULL;
}

/* Its time has come. */
static void bring_limit(evert_loop *loop)
{
    struct evert__timer *timer = connect_limit(loop);
    assert_non_null(timer);
    evert__timer_unset(loop, timer);
    evert__timer_set(loop, timer, LONG_AGO);
}

/* T10: while it looks up, while it connects. */
static void test_connecting_takes_no_longer_than_30_seconds(void **state)
{
    struct silence silence = silence_open();
    evert_loop *loop = self()->loop;
    struct talker t;
    struct outcome o;
    (void)state;
    begin(&o, &t, silence.address);
    turns(5);
    bring_limit(loop);
    check_outcome(&o, &t, -ETIMEDOUT);
    assert_null(connect_limit(loop));
    names_shut();
    begin(&o, &t, "tcp://slow.test:9");
    wait_until(names_inside() > 0);
    bring_limit(loop);
    check_outcome(&o, &t, -ETIMEDOUT);
    names_open();
    for (int turned = 0; turned < 4; turned++) { /* cancelled right after the limit */
        begin(&o, &t, silence.address);
        turns(3);
        bring_limit(loop);
        turns(turned);
        evert_deferred_cancel(o.deferred);
        wait_until(o.told > 0);
        check_outcome(&o, &t, o.error == -ETIMEDOUT ? -ETIMEDOUT : -ECANCELED);
        wait_until(loop->busy == 0);
    }
    silence_close(&silence);
}

/* T10: the limit and the connection at about the same time: one of the two, and nothing open. */
static void test_the_limit_may_come_with_the_connection(void **state)
{
    char address[64];
    int listener = plain_listener(100, address), timed_out = 0;
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct talker t;
        struct outcome o;
        begin(&o, &t, address);
        turns(i / 8);
        struct evert__timer *timer = connect_limit(self()->loop);
        if (timer != NULL && i % 2)
            bring_limit(self()->loop);
        if (timer != NULL && i % 2 == 0) { /* ahead of what comes in this turn */
            evert__timer_unset(self()->loop, timer);
            evert__ready_push(self()->loop, &timer->ready);
        }
        wait_until(o.told > 0);
        turns(5);
        assert_int_equal(o.told, 1);
        evert_deferred_free(o.deferred);
        if (o.error == 0) {
            end_talk(&t, plain_accept(listener));
            continue;
        }
        check_rc(o.error, -ETIMEDOUT);
        assert_int_equal(t.made, 0);
        timed_out++;
        int peer = accept(listener, NULL, NULL);
        if (peer >= 0)
            close(peer);
    }
    assert_true(timed_out > 0);
    close(listener);
}

/* A protocol has one connection at a time. */
static void test_a_protocol_that_has_a_connection_gets_no_other(void **state)
{
    char address[64];
    int listener = plain_listener(10, address);
    struct talker t;
    struct outcome first, second = {0};
    evert_deferred *third = NULL;
    (void)state;
    begin(&first, &t, address);
    check_rc(evert_connect_protocol(&second.deferred, self()->loop, address, &t.protocol), 0);
    check_rc(evert_deferred_add_callbacks(second.deferred, note_value, note_failure, &second), 0);
    int peers[2] = {plain_accept(listener), plain_accept(listener)};
    wait_until(first.told > 0 && second.told > 0);
    assert_true((first.error == 0 && second.error == EVERT_EALREADY) ||
                (second.error == 0 && first.error == EVERT_EALREADY));
    assert_int_equal(t.made, 1);
    check_rc(evert_connect_protocol(&third, self()->loop, address, &t.protocol), EVERT_EALREADY);
    assert_null(third);
    evert_deferred_free(first.deferred);
    evert_deferred_free(second.deferred);
    for (int i = 0; i < 2; i++)
        close(peers[i]);
    wait_until(t.lost);
    talker_fini(&t);
    close(listener);
}

/* ---- Loops and runs that end while it connects ---- */

static int free_other(void *loop)
{
    evert_loop *here = evert_loop_current();
    evert_loop_free(loop);
    assert_ptr_equal(evert_loop_current(), here);
    return 0;
}

/* T10: a loop is freed: that is a cancel. At each step. */
static void test_a_loop_is_freed_while_it_connects(void **state)
{
    char address[64];
    int listener = plain_listener(100, address);
    struct silence silence = silence_open();
    (void)state;
    names_shut();
    for (int i = 0; i < 6; i++) {
        const char *const addresses[] = {silence.address, "tcp://slow.test:9", address};
        for (int turned = 0; turned < 2; turned++) {
            struct talker t;
            struct outcome o;
            evert_loop *loop;
            check_rc(evert_loop_new(&loop), 0);
            begin_on(loop, &o, &t, addresses[i % 3]);
            if (turned)
                check_rc(evert_loop_turn(loop, 0), 0);
            if (i < 3)
                evert_loop_free(loop);
            else
                check_rc(in_task(free_other, loop), 0); /* while another one runs */
            assert_int_equal(o.told, 1);
            if (o.error == 0)
                assert_int_equal(t.lost, 1);
            else
                check_rc(o.error, -ECANCELED);
            evert_deferred_free(o.deferred);
        }
    }
    names_open();
    silence_close(&silence);
    close(listener);
}

struct run_and_connect {
    struct talker t;
    struct outcome o;
    const char *address;
};

static int begin_to_connect(void *arg)
{
    struct run_and_connect *r = arg;
    begin(&r->o, &r->t, r->address);
    return 0;
}

/* T10, P9 */
static void test_a_run_ends_while_it_connects(void **state)
{
    struct silence silence = silence_open();
    struct run_and_connect r = {.address = silence.address};
    (void)state;
    check_rc(evert_run(begin_to_connect, &r), 0);
    assert_int_equal(r.o.told, 1);
    check_rc(r.o.error, -ECANCELED);
    assert_int_equal(r.t.made, 0);
    evert_deferred_free(r.o.deferred);
    silence_close(&silence);
}

/* One that connects again as soon as it has lost its connection. */
struct persistent {
    evert_protocol protocol;
    char address[64];
    int connected, rc;
};

static void connect_again(evert_protocol *protocol, int reason)
{
    struct persistent *p = EVERT__CONTAINER(protocol, struct persistent, protocol);
    evert_deferred *d;
    (void)reason;
    p->rc = evert_connect_protocol(&d, NULL, p->address, protocol);
    if (p->rc == 0)
        evert_deferred_release(d);
}

static int count_connected(evert_protocol *protocol)
{
    EVERT__CONTAINER(protocol, struct persistent, protocol)->connected++;
    return 0;
}

static int connect_and_leave(void *arg)
{
    struct persistent *p = arg;
    connect_again(&p->protocol, 0);
    wait_until(p->connected == 1);
    return p->rc;
}

/* P9: who connects again whenever it is cut off does not keep a run from its end. */
static void test_a_run_ends_though_one_connects_again_and_again(void **state)
{
    static const evert_protocol_ops ops = {.connection_made = count_connected,
                                           .connection_lost = connect_again};
    struct persistent p = {.protocol.ops = &ops};
    int listener = plain_listener(4, p.address);
    (void)state;
    check_rc(evert_run(connect_and_leave, &p), 0);
    check_rc(p.rc, EVERT_ECLOSED);
    assert_int_equal(p.connected, 1);
    close(listener);
}

static int use_the_parents_loop(void *arg)
{
    evert_factory factory = {evert_build_protocol, &talker_ops};
    evert_loop *loop = arg;
    evert_listener *l = NULL;
    evert_deferred *d = NULL;
    struct talker t;
    talker_init(&t);
    check_rc(evert_listen_protocol(&l, loop, LOOPBACK, &factory), EVERT_ECLOSED);
    check_rc(evert_connect_protocol(&d, loop, LOOPBACK, &t.protocol), EVERT_ECLOSED);
    assert_null(l);
    assert_null(d);
    return 0;
}

static void fork_here(void *ret)
{
    *(pid_t *)ret = fork();
}

/* P9, F38: the loop runs meanwhile, and one of its callbacks forks. */
static void test_a_child_made_while_a_name_is_looked_up_is_told(void **state)
{
    evert_factory factory = {evert_build_protocol, &talker_ops};
    evert_listener *l = NULL;
    evert_loop *loop;
    pid_t child = -1;
    int status;
    (void)state;
    check_rc(evert_loop_new(&loop), 0);
    check_rc(evert_loop_call_soon(loop, NULL, fork_here, &child), 0);
    int rc = evert_listen_protocol(&l, loop, "tcp://localhost:0", &factory);
    check_rc(rc, child == 0 ? EVERT_ECLOSED : 0);
    evert_listener_close(l);
    evert_loop_free(loop);
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* P9, F38 */
static void test_a_loop_of_the_parent_is_closed_to_its_child(void **state)
{
    (void)state;
    struct child child = in_child(use_the_parents_loop, self()->loop);
    check_exit(&child, 0);
}

/* ---- Want of memory ---- */

/* F45: with memory for `left` requests, as long as any is refused. */
#define for_each_failing_allocation()             \
    for (int left = (memory_limit.hit = true, 0); \
         memory_limit.hit && (memory_limit.hit = false, memory_limit.left = left, true); left++)

/* F45 */
static void test_connecting_without_memory_fails_and_leaks_nothing(void **state)
{
    char address[64];
    int listener = plain_listener(100, address);
    (void)state;
    for_each_failing_allocation()
    {
        struct talker t;
        struct outcome o = {0};
        int before = open_descriptors(), peer;
        talker_init(&t);
        evert_set_allocator(&limited_memory);
        int rc = evert_connect_protocol(&o.deferred, self()->loop, address, &t.protocol);
        evert_set_allocator(NULL);
        if (rc < 0) {
            check_rc(rc, -ENOMEM);
            assert_null(o.deferred);
        } else {
            check_rc(evert_deferred_add_callbacks(o.deferred, note_value, note_failure, &o), 0);
            evert_set_allocator(&limited_memory);
            for (int i = 0; i < 20; i++)
                check_rc(evert_yield(), 0);
            evert_set_allocator(NULL);
            wait_until(o.told > 0);
            evert_deferred_free(o.deferred);
            if (o.error < 0)
                check_rc(o.error, -ENOMEM);
            else
                evert_transport_abort_connection(transport_of(&t));
            wait_until(o.error < 0 || t.lost);
        }
        turns(5);
        while ((peer = accept(listener, NULL, NULL)) >= 0)
            close(peer);
        assert_int_equal(open_descriptors(), before);
    }
    close(listener);
}

/* F45 */
static void test_listening_without_memory_fails_and_leaks_nothing(void **state)
{
    struct own_factory own = own_factory(NULL, 0);
    (void)state;
    for_each_failing_allocation()
    {
        evert_listener *l = NULL;
        int before = open_descriptors();
        evert_set_allocator(&limited_memory);
        int rc = evert_listen_protocol(&l, self()->loop, LOOPBACK, &own.factory);
        evert_set_allocator(NULL);
        assert_true(rc == 0 || rc == -ENOMEM);
        assert_int_equal(rc == 0, l != NULL);
        evert_listener_close(l);
        turns(2);
        assert_int_equal(open_descriptors(), before);
    }
}

static void *connect_without_memory(void *unused)
{
    struct talker t;
    evert_deferred *d = NULL;
    evert_factory factory = {give_kept, NULL};
    evert_listener *l = NULL;
    (void)unused;
    talker_init(&t);
    take_memory_away();
    check_rc(evert_connect_protocol(&d, NULL, "tcp://127.0.0.1:1", &t.protocol), -ENOMEM);
    check_rc(evert_listen_protocol(&l, NULL, "tcp://127.0.0.1:0", &factory), -ENOMEM);
    give_memory_back();
    assert_null(d);
    assert_null(l);
    return NULL;
}

/* F45: on a thread that has no loop yet. */
static void test_without_memory_for_a_loop_nothing_begins(void **state)
{
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, connect_without_memory, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static int reply_once(evert_protocol *protocol, evert_bytes data)
{
    int rc = evert_transport_printf(protocol->transport, "%200s", "reply");
    (void)data;
    (void)evert_transport_peer(protocol->transport);
    return rc;
}

static evert_protocol *build_without_memory(evert_factory *factory)
{
    take_memory_away();
    evert_protocol *protocol = evert_build_protocol(factory);
    give_memory_back();
    return protocol;
}

/* F45: who is turned away for want of memory is not taken for one who was not wanted. */
static void test_no_memory_for_a_protocol_is_logged(void **state)
{
    static const evert_protocol_ops ops = {.size = 0};
    evert_factory factory = {build_without_memory, &ops};
    (void)state;
    evert_listener *l = listen_with(&factory);
    start_logging();
    int client = plain_connect(evert_listener_address(l));
    peer_hears_end(client);
    stop_logging();
    assert_int_equal(logged.count, 1);
    check_words(logged.text, "no memory for the protocol of a connection");
    close(client);
    evert_listener_close(l);
}

/* F45, T11: a newcomer is served, or it sees an end; and the next one is served. */
static void test_serving_without_memory_ends_the_connection_alone(void **state)
{
    static const evert_protocol_ops ops = {.data_received = reply_once};
    evert_factory factory = {evert_build_protocol, &ops};
    (void)state;
    evert_listener *l = listen_with(&factory);
    char byte;
    start_logging();
    for_each_failing_allocation()
    {
        int client = plain_connect(evert_listener_address(l));
        peer_say(client, "request");
        evert_set_allocator(&limited_memory);
        for (int i = 0; i < 30; i++)
            check_rc(evert_yield(), 0);
        evert_set_allocator(NULL);
        while (peer_receive(client, &byte, 1) == 1 && byte != 'y')
            continue;
        close(client);
        turns(3);
    }
    stop_logging();
    int client = plain_connect(evert_listener_address(l));
    peer_say(client, "request");
    assert_int_equal(peer_receive(client, &byte, 1), 1);
    close(client);
    evert_listener_close(l);
    wait_until(evert__list_empty(&self()->loop->transports));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_calls_come_in_order_and_the_loss_is_the_last),
        everywhere(test_a_protocol_of_no_functions_takes_all_and_closes_at_the_end),
        everywhere(test_the_reason_is_who_ended_it),
        everywhere(test_a_reset_is_told_by_its_code_behind_the_data),
        everywhere(test_a_failure_of_data_received_closes_its_connection),
        everywhere(test_a_failure_after_an_own_close_is_told_all_the_same),
        everywhere(test_a_failure_of_eof_received_closes_its_connection),
        everywhere(test_a_failure_of_connection_made_aborts),
        everywhere(test_a_factory_that_builds_none_closes),
        everywhere(test_protocols_that_the_library_built_are_freed_by_it),
        everywhere(test_a_protocol_of_its_own_may_free_itself_when_it_is_lost),
        everywhere(test_a_built_protocol_may_take_another_connection),
        cmocka_unit_test(test_a_factory_that_gives_a_protocol_twice_is_misuse),
        cmocka_unit_test(test_freeing_a_protocol_of_ones_own_is_misuse),
        everywhere(test_listening_fails_as_evert_listen_does),
        everywhere(test_a_name_is_looked_up_in_tasks_and_in_blocking_mode),
        everywhere(test_closing_a_listener_ends_accepting_alone),
        everywhere(test_a_listener_may_be_closed_while_it_accepts),
        everywhere(test_a_shortage_of_descriptors_is_survived),
        everywhere(test_newcomers_that_are_gone_are_passed_over),
        everywhere(test_a_broken_listener_is_logged_and_left_alone),
        everywhere(test_many_are_served_at_once),
        in_blocking_mode(test_a_run_ends_with_all_its_connections_lost),
        in_blocking_mode(test_listening_in_a_run_that_was_told_to_end_accepts_nobody),
        in_blocking_mode(test_a_loop_is_freed_and_each_connection_is_lost),
        in_blocking_mode(test_a_loop_of_a_thread_that_ended_is_freed_with_many_connections),
        everywhere(test_connecting_tells_the_protocol_and_then_the_deferred),
        everywhere(test_what_fails_is_told_once),
        everywhere(test_connecting_is_cancelled_or_freed_at_each_step),
        everywhere(test_connecting_is_cancelled_while_it_waits_to_try_again),
        everywhere(test_a_cancel_at_any_moment_leaves_one_outcome),
        everywhere(test_connected_and_cancelled_before_it_is_told),
        everywhere(test_the_deferred_is_cancelled_or_freed_in_connection_made),
        everywhere(test_a_connection_that_ends_in_connection_made_was_connected),
        everywhere(test_a_connection_that_is_given_away_in_connection_made),
        everywhere(test_connecting_takes_no_longer_than_30_seconds),
        everywhere(test_the_limit_may_come_with_the_connection),
        everywhere(test_a_protocol_that_has_a_connection_gets_no_other),
        in_blocking_mode(test_a_loop_is_freed_while_it_connects),
        in_blocking_mode(test_a_run_ends_while_it_connects),
        in_blocking_mode(test_a_run_ends_though_one_connects_again_and_again),
        in_blocking_mode(test_a_child_made_while_a_name_is_looked_up_is_told),
        everywhere(test_a_loop_of_the_parent_is_closed_to_its_child),
        everywhere(test_connecting_without_memory_fails_and_leaks_nothing),
        everywhere(test_listening_without_memory_fails_and_leaks_nothing),
        everywhere(test_no_memory_for_a_protocol_is_logged),
        cmocka_unit_test(test_without_memory_for_a_loop_nothing_begins),
        everywhere(test_serving_without_memory_ends_the_connection_alone),
    };
    return run_table(tests);
}
