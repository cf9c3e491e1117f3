/* SPDX-License-Identifier: MIT */
/* Serving on many cores (evert_run_on): one address, shared by listeners of a loop each. */
#include <evert/coro/run.h>

#include <stdatomic.h>

#include "support.h"

enum { CORES = 3, CLIENTS = 60 };

struct cores {
    char address[64];
    atomic_int up, served[CORES];
};

static int say_core(evert_stream *s, void *arg)
{
    struct cores *c = (struct cores *)arg;
    c->served[evert_core()]++;
    return evert_printf(s, "core %u\r\n", evert_core());
}

/* Each is answered by one of the cores. */
static void ask_often(struct cores *c)
{
    for (int i = 0; i < CLIENTS; i++) {
        evert_stream *s;
        evert_bytes line;
        check_rc(evert_connect(&s, c->address), 0);
        check_rc(evert_read_line(s, &line), 0);
        assert_int_equal(line.size, strlen("core N"));
        assert_memory_equal(line.data, "core ", 5);
        assert_in_range(line.data[5], '0', '0' + CORES - 1);
        check_rc(evert_close(s), 0);
    }
}

static int ask_and_end(void *arg)
{
    struct cores *c = (struct cores *)arg;
    wait_until(c->up == CORES);
    ask_often(c);
    return -EDOM; /* which ends all */
}

static int serve_on_core(void *arg)
{
    struct cores *c = (struct cores *)arg;
    evert_listener *listener;
    evert_scope scope;
    check_rc(evert_listen(&listener, c->address), 0);
    c->up++;
    evert_scope_enter(&scope, EVERT_NEVER);
    if (evert_core() == 0)
        check_rc(evert_spawn(&scope, ask_and_end, c), 0);
    return evert_scope_leave(&scope, evert_serve(listener, say_core, c));
}

/* A port that nobody else gets, and which those that share it may have. */
static int hold_port(char address[64])
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(in);
    int fd = plain_socket(TCP);
    set_size(fd, SO_REUSEPORT, 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    snprintf(address, 64, "tcp://127.0.0.1:%d", ntohs(in.sin_port));
    return fd;
}

static void serve_on_cores(bool steer)
{
    struct cores c = {{0}, 0, {0}};
    evert_run_options options = {.steer = steer};
    int held = hold_port(c.address), all = 0, most = 0;
    check_rc(evert_run_on_with(CORES, &options, serve_on_core, &c), -EDOM);
    for (int i = 0; i < CORES; i++) {
        all += c.served[i];
        most = c.served[i] > most ? c.served[i] : most;
    }
    assert_int_equal(all, CLIENTS);
    if (!steer)
        assert_in_range(most, 1, CLIENTS - 1); /* one core was not given all */
    close(held);
}

static void test_cores_share_an_address(void **state)
{
    (void)state;
    serve_on_cores(false);
}

static void test_connections_may_be_steered(void **state)
{
    (void)state;
    serve_on_cores(true);
}

/* What is not run on many cores shares nothing, before and afterwards. */
static void test_others_do_not_share_it(void **state)
{
    struct cores c = {{0}, 0, {0}};
    evert_listener *first, *second;
    (void)state;
    serve_on_cores(false);
    int held = hold_port(c.address);
    check_rc(evert_listen(&first, c.address), -EADDRINUSE);
    close(held);
    check_rc(evert_listen(&first, "tcp://127.0.0.1:0"), 0);
    check_rc(evert_listen(&second, evert_listener_address(first)), -EADDRINUSE);
    evert_listener_close(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cores_share_an_address),
        cmocka_unit_test(test_connections_may_be_steered),
        cmocka_unit_test(test_others_do_not_share_it),
    };
    return run_table(tests);
}
