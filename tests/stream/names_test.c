/* SPDX-License-Identifier: MIT */
/* The addresses of a stream, in words that evert_connect() takes. */
#include "support.h"

struct joined {
    evert_listener *listener;
    evert_stream *client, *server;
};

static void join(struct joined *j, const char *address)
{
    check_rc(evert_listen(&j->listener, address), 0);
    check_rc(evert_connect(&j->client, evert_listener_address(j->listener)), 0);
    check_rc(evert_accept(j->listener, &j->server), 0);
}

static void part(struct joined *j)
{
    evert_stream *both[2] = {j->client, j->server};
    close_streams(both);
    evert_listener_close(j->listener);
}

static void test_tcp_names_both_ends(void **state)
{
    static const char *const addresses[] = {"tcp://127.0.0.1:0", "tcp://[::1]:0"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        struct joined j;
        join(&j, addresses[i]);
        const char *at = evert_listener_address(j.listener);
        assert_string_equal(evert_peer_address(j.client), at);
        assert_string_equal(evert_local_address(j.server), at);
        assert_string_equal(evert_peer_address(j.server), evert_local_address(j.client));
        assert_true(port_of(evert_peer_address(j.server)) != 0);
        assert_string_not_equal(evert_peer_address(j.server), at);
        part(&j);
    }
}

static void test_unix_names_the_path_and_nothing_for_the_client(void **state)
{
    const char *folder = make_folder();
    char address[100];
    struct joined j;
    (void)state;
    snprintf(address, sizeof(address), "unix://%s/socket", folder);
    join(&j, address);
    assert_string_equal(evert_peer_address(j.client), address);
    assert_string_equal(evert_local_address(j.client), "unix://");
    assert_string_equal(evert_peer_address(j.server), "unix://");
    assert_string_equal(evert_local_address(j.server), address);
    part(&j);
    remove_folder(folder);
}

static void test_names_stay_once_asked_for_when_the_peer_is_gone(void **state)
{
    struct ends e = make_ends(TCP);
    (void)state;
    const char *peer = evert_peer_address(e.s), *local = evert_local_address(e.s);
    assert_true(port_of(peer) != 0 && port_of(local) != 0);
    peer_reset(e.peer);
    wait_ended(e.s->fd.number);
    assert_ptr_equal(evert_peer_address(e.s), peer);
    assert_ptr_equal(evert_local_address(e.s), local);
    (void)evert_close(e.s);
}

static void test_what_cannot_be_had_is_empty(void **state)
{
    struct ends e = make_ends(TCP);
    (void)state;
    peer_reset(e.peer);
    wait_ended(e.s->fd.number);
    assert_string_equal(evert_peer_address(e.s), ""); /* ENOTCONN */
    assert_true(port_of(evert_local_address(e.s)) != 0);
    (void)evert_close(e.s);

    e = make_ends(TCP);
    answer(EVERT__SYS_GETSOCKNAME, -ENOBUFS, 1);
    assert_string_equal(evert_local_address(e.s), "");
    assert_true(port_of(evert_peer_address(e.s)) != 0);
    check_rc(drop_ends(e), 0);
}

/* F45 */
static void test_without_memory_they_are_empty(void **state)
{
    struct ends e = make_ends(TCP);
    (void)state;
    take_memory_away();
    assert_string_equal(evert_peer_address(e.s), "");
    assert_string_equal(evert_local_address(e.s), "");
    give_memory_back();
    assert_true(port_of(evert_peer_address(e.s)) != 0);
    check_rc(drop_ends(e), 0);
}

static void test_a_peer_can_be_connected_to_by_its_name(void **state)
{
    struct joined j;
    evert_stream *again, *other;
    (void)state;
    join(&j, "tcp://127.0.0.1:0");
    check_rc(evert_connect(&again, evert_peer_address(j.client)), 0);
    check_rc(evert_accept(j.listener, &other), 0);
    evert_abort(again);
    evert_abort(other);
    part(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_tcp_names_both_ends),
        everywhere(test_unix_names_the_path_and_nothing_for_the_client),
        everywhere(test_names_stay_once_asked_for_when_the_peer_is_gone),
        everywhere(test_what_cannot_be_had_is_empty),
        everywhere(test_without_memory_they_are_empty),
        everywhere(test_a_peer_can_be_connected_to_by_its_name),
    };
    return run_table(tests);
}
