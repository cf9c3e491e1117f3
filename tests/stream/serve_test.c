/* SPDX-License-Identifier: MIT */
/*
 * evert_serve (S6): a task for each connection, whose failure is its own; how serving ends, by a
 * cancel, a deadline, a signal (P9) or a broken listener; and how it survives shortages.
 */
#include <evert/stream/protocol.h>

#include "support.h"

#include "net/listener.h"

/* ---- A server ---- */

struct server {
    evert_scope scope;
    evert_listener *listener;
    evert_handler *handler;
    void *arg;
    int rc; /* 1 until it has ended */
    char address[100];
};

static int serve_it(void *arg)
{
    struct server *server = arg;
    server->rc =
        evert_serve_at(server->listener, server->handler, server->arg, "greet", EVERT_PLACE);
    return 0;
}

static void listen_at(struct server *server, const char *address, evert_handler *handler, void *arg)
{
    server->handler = handler;
    server->arg = arg;
    server->rc = 1;
    check_rc(evert_listen(&server->listener, address), 0);
    snprintf(server->address, sizeof(server->address), "%s",
             evert_listener_address(server->listener));
}

static void start_at(struct server *server, const char *address, evert_handler *handler, void *arg)
{
    listen_at(server, address, handler, arg);
    evert_scope_enter(&server->scope, EVERT_NEVER);
    check_rc(evert_spawn(&server->scope, serve_it, server), 0);
}

static void start(struct server *server, evert_handler *handler, void *arg)
{
    start_at(server, "tcp://127.0.0.1:0", handler, arg);
}

static bool is_refused(const char *address)
{
    evert_stream *s;
    evert_scope shield;
    evert_shield_enter(&shield, EVERT_NEVER);
    int rc = evert_connect(&s, address);
    check_rc(evert_scope_leave(&shield, 0), 0);
    if (rc == 0)
        evert_abort(s);
    return rc == -ECONNREFUSED || rc == -ENOENT;
}

/* Serving ends with `rc`, and the listener is closed. */
static void ended(struct server *server, int rc)
{
    check_rc(evert_scope_leave(&server->scope, 0), 0);
    check_rc(server->rc, rc);
    assert_true(is_refused(server->address));
}

static void stop(struct server *server)
{
    evert_scope_cancel(&server->scope);
    ended(server, -ECANCELED);
}

/* ---- Handlers ---- */

/* What a handler got that closed its stream twice, in each of the ways. */
static struct {
    bool abort_first, abort_then;
    int rc;
} twice;

static int close_twice(evert_stream *s, void *unused)
{
    (void)unused;
    if (twice.abort_first)
        evert_abort(s);
    else
        check_rc(evert_close(s), 0);
    if (twice.abort_then)
        evert_abort(s);
    else
        twice.rc = evert_close(s);
    evert_protocol protocol = {0};
    check_rc(evert_stream_transport(s, &protocol), EVERT_ECLOSED);
    return 0;
}

/* Says each line again. "fail" fails, "end" returns, "abort" aborts and "close" closes. */
static int echo(evert_stream *s, void *unused)
{
    evert_bytes line;
    int rc;
    (void)unused;
    while ((rc = evert_read_line(s, &line)) == 0) {
        if (evert_bytes_equal(line, evert_bytes_of("fail")))
            return -EIO;
        if (evert_bytes_equal(line, evert_bytes_of("end"))) {
            evert_set_close_limit(s, 60 * EVERT_SECOND);
            return 7;
        }
        if (evert_bytes_equal(line, evert_bytes_of("cancelled")))
            return -ECANCELED;
        if (evert_bytes_equal(line, evert_bytes_of("nowhere")))
            return evert_connect(&s, "nowhere");
        if (evert_bytes_equal(line, evert_bytes_of("abort"))) {
            evert_abort(s);
            return -EIO;
        }
        if (evert_bytes_equal(line, evert_bytes_of("close"))) {
            evert_puts(s, "bye\r\n");
            return evert_close(s);
        }
        evert_put(s, line);
        evert_puts(s, "\r\n");
    }
    return rc;
}

static int client_of(const struct server *server)
{
    return plain_connect(server->address);
}

/* Somebody who is being served. */
static int served_client(const struct server *server)
{
    int client = client_of(server);
    wait_until(has_events(client, POLLOUT));
    peer_say(client, "hello\r\n");
    peer_hears(client, "hello\r\n");
    return client;
}

static void check_served(int client)
{
    peer_say(client, "still\r\n");
    peer_hears(client, "still\r\n");
}

/* ---- What comes of handlers ---- */

/* S6: all but EVERT_EOF is logged, with the words of the failure; the others live on. */
static void test_a_failure_is_logged_and_ends_its_connection_alone(void **state)
{
    const struct {
        const char *says, *words;
    } rows[] = {{"fail\r\n", evert_strerror(-EIO)},
                {"nowhere\r\n", "connect nowhere: Not an address"},
                {"cancelled\r\n", evert_strerror(-ECANCELED)},
                {"half a line", "The stream ended too early"}};
    struct server server;
    (void)state;
    start(&server, echo, NULL);
    int other = served_client(&server);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char words[300];
        start_logging();
        int client = served_client(&server);
        peer_say(client, rows[i].says);
        assert_int_equal(shutdown(client, SHUT_WR), 0);
        peer_hears_end(client);
        wait_until(logged.count > 0);
        stop_logging();
        snprintf(words, sizeof(words), "greet on %s: %s\n", server.address, rows[i].words);
        assert_string_equal(logged.text, words);
        assert_int_equal(logged.level, EVERT_LOG_WARNING);
        close(client);
        check_served(other);
    }
    close(other);
    stop(&server);
}

/* S6 */
static void test_an_end_and_a_success_are_not_logged(void **state)
{
    struct server server;
    (void)state;
    start_logging();
    start(&server, echo, NULL);
    int client = served_client(&server);
    assert_int_equal(shutdown(client, SHUT_WR), 0); /* EVERT_EOF */
    peer_hears_end(client);
    close(client);
    client = served_client(&server);
    peer_say(client, "end\r\n"); /* a positive result */
    peer_hears_end(client);
    close(client);
    stop(&server);
    stop_logging();
    assert_int_equal(logged.count, 0);
}

static int say_bye(evert_stream *s, void *unused)
{
    (void)unused;
    return evert_puts(s, "bye\r\n");
}

/* S6, S5: a handler that has returned cannot be told that its last words were lost. */
static void test_last_words_that_cannot_be_sent_are_logged(void **state)
{
    struct server server;
    char words[300];
    (void)state;
    start_logging();
    start(&server, say_bye, NULL);
    answer(EVERT__SYS_SEND, -ENOBUFS, 1);
    int client = client_of(&server);
    peer_hears_end(client);
    answer_no_more();
    wait_until(logged.count > 0);
    close(client);
    stop(&server);
    stop_logging();
    snprintf(words, sizeof(words), "greet on %s: No buffer space available\n", server.address);
    assert_string_equal(logged.text, words);
}

static size_t tasks_there(void)
{
    const struct evert__link *all = &evert__tasks_get(self()->loop)->all;
    size_t count = 0;
    for (const struct evert__link *l = all->next; l != all; l = l->next)
        count++;
    return count;
}

/* Says farewell to a client, who does not say it. */
static int left_client(const struct server *server)
{
    int client = served_client(server);
    peer_say(client, "end\r\n");
    peer_hears_end(client);
    return client;
}

/* While the peer may still be waited for, the stack is another's already. */
static void test_a_farewell_takes_no_task(void **state)
{
    struct server server;
    (void)state;
    start(&server, echo, NULL);
    turns(3);
    size_t before = tasks_there();
    int client = left_client(&server);
    wait_until(tasks_there() == before);
    assert_false(evert__list_empty(&self()->loop->farewells));
    close(client);
    stop(&server);
}

/* As much as goes without waiting, and some more. */
static int say_much(evert_stream *s, void *unused)
{
    static char much[EVERT_HIGH_WATER / 2];
    int rc;
    (void)unused;
    do
        rc = evert_write(s, much, sizeof(much));
    while (rc == 0 && s->out.queued == 0);
    return rc;
}

/* S6: who was cut waits for no farewell, and does not hear how it ended. */
static void test_a_cancel_leaves_farewells_to_the_loop(void **state)
{
    struct server server;
    (void)state;
    start_logging();
    start(&server, say_much, NULL);
    int client = client_of(&server);
    wait_until(!evert__list_empty(&self()->loop->farewells));
    stop(&server);
    assert_false(evert__list_empty(&self()->loop->farewells));
    peer_reset(client);
    wait_until(evert__list_empty(&self()->loop->farewells));
    stop_logging();
    assert_int_equal(logged.count, 0);
}

/* S6 */
static void test_a_handler_may_close_or_abort_its_stream(void **state)
{
    struct server server;
    char byte;
    (void)state;
    start(&server, echo, NULL);
    int client = served_client(&server);
    peer_say(client, "close\r\n");
    peer_hears(client, "bye\r\n");
    peer_hears_end(client);
    close(client);

    start_logging();
    client = served_client(&server);
    peer_say(client, "abort\r\n");
    check_count(peer_receive(client, &byte, 1), -ECONNRESET);
    wait_until(logged.count > 0); /* what it returned is told all the same */
    stop_logging();
    check_words(logged.text, evert_strerror(-EIO));
    close(client);
    stop(&server);
}

/* F18: also without evert_run(), which ignores SIGPIPE. */
static int write_on(evert_stream *s, void *rc)
{
    int *result = rc;
    do
        *result = evert_puts(s, "and on");
    while (*result == 0 && (*result = evert_flush(s)) == 0 && evert_yield() == 0);
    return *result;
}

static void test_a_peer_that_resets_kills_nobody(void **state)
{
    struct server server;
    int rc = 0;
    (void)state;
    start_logging();
    start(&server, write_on, &rc);
    int client = client_of(&server);
    peer_hears(client, "and on");
    peer_reset(client);
    wait_until(logged.count > 0);
    stop_logging();
    assert_true(rc == -ECONNRESET || rc == -EPIPE);
    stop(&server);
}

static void test_300_are_served_at_once(void **state)
{
    enum { MANY = 300 };
    struct server server;
    int clients[MANY];
    (void)state;
    start(&server, echo, NULL);
    for (int i = 0; i < MANY; i++) {
        clients[i] = client_of(&server);
        wait_until(has_events(clients[i], POLLOUT));
        peer_say(clients[i], "hello\r\n");
    }
    for (int i = 0; i < MANY; i++)
        peer_hears(clients[i], "hello\r\n");
    for (int i = 0; i < MANY; i++)
        check_served(clients[i]);
    for (int i = 0; i < MANY; i++)
        close(clients[i]);
    stop(&server);
}

/* ---- How it ends ---- */

/* S6, C6 */
static void test_a_cancel_cuts_the_handlers_and_closes_the_listener(void **state)
{
    struct server server;
    (void)state;
    start_logging();
    start(&server, echo, NULL);
    int first = served_client(&server), second = served_client(&server);
    stop(&server);
    peer_hears_end(first);
    peer_hears_end(second);
    close(first);
    close(second);
    stop_logging();
    assert_int_equal(logged.count, 0); /* being cut is no failure */
}

static int end_the_time(evert_stream *s, void *scope)
{
    evert_bytes line;
    evert_scope_set_deadline(scope, LONG_AGO);
    return evert_read_line(s, &line);
}

/* C6 */
static void test_a_deadline_around_it_times_out(void **state)
{
    struct server server;
    (void)state;
    listen_at(&server, "tcp://127.0.0.1:0", end_the_time, &server.scope);
    int client = client_of(&server);
    evert_scope_enter(&server.scope, EVERT_NEVER);
    (void)serve_it(&server);
    check_rc(server.rc, -ECANCELED);
    check_rc(evert_scope_leave(&server.scope, server.rc), -ETIMEDOUT);
    assert_true(is_refused(server.address));
    peer_hears_end(client);
    close(client);
}

static void test_in_a_cancelled_scope_it_takes_the_listener_too(void **state)
{
    struct server server;
    (void)state;
    listen_at(&server, "tcp://127.0.0.1:0", echo, NULL);
    evert_scope_enter(&server.scope, EVERT_NEVER);
    evert_scope_cancel(&server.scope);
    (void)serve_it(&server);
    ended(&server, -ECANCELED);
}

static void test_a_broken_listener_ends_it_with_all_handlers(void **state)
{
    struct server server;
    (void)state;
    start(&server, echo, NULL);
    int served = served_client(&server);
    answer(EVERT__SYS_ACCEPT, -EINVAL, 1);
    int client = client_of(&server);
    ended(&server, -EINVAL);
    peer_hears_end(served);
    close(served);
    close(client);
}

/* ---- Told to end by a signal ---- */

struct run {
    struct server server;
    void (*drive)(struct run *run);
};

static int drive_it(void *arg)
{
    struct run *run = arg;
    run->drive(run);
    return 0;
}

/* The main task: serves, while another one drives. */
static int serve_and_drive(void *arg)
{
    struct run *run = arg;
    evert_scope scope;
    listen_at(&run->server, "tcp://127.0.0.1:0", echo, NULL);
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, drive_it, run), 0);
    (void)serve_it(&run->server);
    return evert_scope_leave(&scope, run->server.rc);
}

static void terminate_and_finish(struct run *run)
{
    int client = served_client(&run->server);
    raise(SIGTERM);
    start_logging();
    wait_until(is_refused(run->server.address)); /* newcomers are not kept waiting */
    stop_logging();
    check_served(client);
    check_rc(run->server.rc, 1);
    close(client);
}

/* P9, case 32: the time to drain is for those who are served; it waits for the last of them. */
static void test_told_to_end_it_lets_handlers_finish(void **state)
{
    static const evert_run_options patient = {.drain = 60 * EVERT_SECOND};
    struct run run = {.drive = terminate_and_finish};
    (void)state;
    check_rc(evert_run_with(&patient, serve_and_drive, &run), 0);
    check_rc(run.server.rc, 0);
}

static void terminate_and_stay(struct run *run)
{
    int client = served_client(&run->server);
    raise(SIGTERM);
    peer_hears_end(client);
    close(client);
}

/* P9, S6: and serving says that it was cut short. */
static void test_when_the_time_to_drain_is_over_handlers_are_cut(void **state)
{
    static const evert_run_options options[] = {{.drain = 20 * MS}, {.drain = 0}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        struct run run = {.drive = terminate_and_stay};
        check_rc(evert_run_with(&options[i], serve_and_drive, &run), 0);
        check_rc(run.server.rc, -ECANCELED);
    }
}

static void terminate_with_a_farewell(struct run *run)
{
    int client = left_client(&run->server);
    raise(SIGTERM);
    start_logging();
    wait_until(is_refused(run->server.address));
    stop_logging();
    turns(3);
    check_rc(run->server.rc, 1);
    close(client);
}

/* P9, S6, case 32: it waits until no connection is left. */
static void test_told_to_end_it_waits_for_farewells(void **state)
{
    static const evert_run_options patient = {.drain = 60 * EVERT_SECOND};
    struct run run = {.drive = terminate_with_a_farewell};
    (void)state;
    check_rc(evert_run_with(&patient, serve_and_drive, &run), 0);
    check_rc(run.server.rc, 0);
}

static void terminate_and_dawdle(struct run *run)
{
    int client = left_client(&run->server);
    raise(SIGTERM);
    wait_until(run->server.rc != 1);
    close(client);
}

/* P9: then farewells are the run's; nothing of what handlers did was cut short. */
static void test_when_the_time_to_drain_is_over_farewells_go_on(void **state)
{
    static const evert_run_options options[] = {{.drain = 20 * MS}, {.drain = 0}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        struct run run = {.drive = terminate_and_dawdle};
        check_rc(evert_run_with(&options[i], serve_and_drive, &run), 0);
        check_rc(run.server.rc, 0);
    }
}

static int raise_when_it_accepts(void *listener)
{
    wait_until(((evert_listener *)listener)->waiter != NULL);
    raise(SIGTERM);
    return 0;
}

static int accept_until_told(void *unused)
{
    evert_scope scope;
    evert_listener *l;
    evert_stream *s;
    (void)unused;
    check_rc(evert_listen(&l, "tcp://127.0.0.1:0"), 0);
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, raise_when_it_accepts, l), 0);
    check_rc(evert_accept(l, &s), EVERT_ECLOSED);
    check_rc(evert_accept(l, &s), EVERT_ECLOSED); /* from now on */
    check_rc(evert_serve(l, echo, NULL), 0);      /* nor does it serve anybody */
    return evert_scope_leave(&scope, 0);
}

/* P9: so is a server that accepts by itself. */
static void test_told_to_end_a_waiting_accept_says_closed(void **state)
{
    static const evert_run_options patient = {.drain = 60 * EVERT_SECOND};
    (void)state;
    check_rc(evert_run_with(&patient, accept_until_told, NULL), 0);
}

/* ---- Shortages ---- */

/* F48, T11: one for whom there is no stack is turned away, and serving goes on. */
static void test_without_a_stack_serving_goes_on(void **state)
{
    struct server server;
    char byte;
    (void)state;
    start(&server, echo, NULL);
    int other = served_client(&server);
    evert_scope idle;
    evert_scope_enter(&idle, EVERT_NEVER);
    const struct evert__stack_pool *stacks = &all_tasks()->stacks;
    while (stacks->count + stacks->fresh_count > 0) /* so that the next has to be mapped */
        check_rc(evert_spawn(&idle, wait_for_ever, NULL), 0);
    start_logging();
    answer(EVERT__SYS_MAP, -ENOMEM, 2); /* for several, and for one */
    int client = client_of(&server);
    assert_true(peer_receive(client, &byte, 1) <= 0);
    close(client);
    check_served(other);
    client = served_client(&server);
    stop_logging();
    assert_int_equal(logged.count, 1);
    check_words(logged.text, "no memory for a connection");
    evert_scope_cancel(&idle);
    check_rc(evert_scope_leave(&idle, 0), 0);
    close(client);
    close(other);
    stop(&server);
}

/* F1, F3: a shortage at accept delays newcomers, and nobody else. */
static void test_out_of_descriptors_serving_goes_on(void **state)
{
    struct server server;
    (void)state;
    start(&server, echo, NULL);
    int other = served_client(&server);
    start_logging();
    answer(EVERT__SYS_ACCEPT, -EMFILE, 2);
    int client = client_of(&server);
    check_served(other);
    wait_until(has_events(client, POLLOUT));
    peer_say(client, "hello\r\n");
    peer_hears(client, "hello\r\n");
    stop_logging();
    assert_int_equal(logged.count, 1);
    close(client);
    close(other);
    stop(&server);
}

/* ---- A handler that forks ---- */

static int children; /* that have ended well */

static int fork_in_handler(evert_stream *s, void *arg)
{
    evert_listener *listener = ((struct server *)arg)->listener;
    evert_stream *other;
    evert_bytes bytes;
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (evert_accept(listener, &other) != EVERT_ECLOSED)
            _exit(1);
        if (evert_read(s, &bytes, 1) != EVERT_ECLOSED)
            _exit(2);
        if (evert_close(s) != 0)
            _exit(3);
        evert_listener_close(listener);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    children++;
    return echo(s, NULL);
}

/* P9: whatever the child does, connection, listener and file are its parent's. */
static void test_a_child_made_in_a_handler_disturbs_nothing(void **state)
{
    const char *folder = make_folder();
    struct server server;
    char address[100];
    (void)state;
    snprintf(address, sizeof(address), "unix://%s/socket", folder);
    start_at(&server, address, fork_in_handler, &server);
    children = 0;
    int first = client_of(&server), second = client_of(&server);
    wait_until(children == 2);
    check_served(first);
    check_served(second);
    close(first);
    close(second);
    stop(&server);
    remove_folder(folder);
}

/* The server holds the stream's memory until its handler has ended, so this can be told. */
static int serve_one_that_closes_twice(void *unused)
{
    struct server server;
    (void)unused;
    start(&server, close_twice, NULL);
    twice.rc = EVERT_ECLOSED;
    int fd = client_of(&server);
    shutdown(fd, SHUT_WR);
    wait_ended(fd);
    turns(3);
    stop(&server);
    close(fd);
    return twice.rc;
}

static int serve_in_a_task(void *unused)
{
    return in_task(serve_one_that_closes_twice, unused);
}

static void test_a_handler_that_closes_twice_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        twice.abort_first = i & 1;
        twice.abort_then = i & 2;
        check_misuse(serve_in_a_task, EVERT_ECLOSED, "closed for the second time");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_failure_is_logged_and_ends_its_connection_alone),
        everywhere(test_an_end_and_a_success_are_not_logged),
        everywhere(test_last_words_that_cannot_be_sent_are_logged),
        everywhere(test_a_farewell_takes_no_task),
        everywhere(test_a_cancel_leaves_farewells_to_the_loop),
        everywhere(test_a_handler_may_close_or_abort_its_stream),
        cmocka_unit_test(test_a_handler_that_closes_twice_is_told),
        everywhere(test_a_peer_that_resets_kills_nobody),
        everywhere(test_300_are_served_at_once),
        everywhere(test_a_cancel_cuts_the_handlers_and_closes_the_listener),
        everywhere(test_a_deadline_around_it_times_out),
        everywhere(test_in_a_cancelled_scope_it_takes_the_listener_too),
        everywhere(test_a_broken_listener_ends_it_with_all_handlers),
        cmocka_unit_test(test_told_to_end_it_lets_handlers_finish),
        cmocka_unit_test(test_when_the_time_to_drain_is_over_handlers_are_cut),
        cmocka_unit_test(test_told_to_end_it_waits_for_farewells),
        cmocka_unit_test(test_when_the_time_to_drain_is_over_farewells_go_on),
        cmocka_unit_test(test_told_to_end_a_waiting_accept_says_closed),
        everywhere(test_without_a_stack_serving_goes_on),
        everywhere(test_out_of_descriptors_serving_goes_on),
        everywhere(test_a_child_made_in_a_handler_disturbs_nothing),
    };
    return run_table(tests);
}
