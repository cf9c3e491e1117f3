/* SPDX-License-Identifier: MIT */
/*
 * Field reports about Unix sockets, on both faces of listening: whose file it is (BR-023), and how
 * long a name is (BR-024).
 */
#include <evert/coro/await.h>

#include "base/alloc.h"
#include "net/endpoint.h"
#include "net/listener.h"

#include "reports.h"

static evert_factory factory = {evert_build_protocol, &hearer_ops};

enum face { STREAMS, PROTOCOLS };

static int listen_on(enum face face, const char *address, evert_listener **ret)
{
    return face == STREAMS ? evert_listen(ret, address)
                           : evert_listen_protocol(ret, self()->loop, address, &factory);
}

/* A folder, and the name of a socket in it. */
struct place {
    const char *folder;
    char address[100];
    const char *path; /* in the address */
};

static void make_place(struct place *p)
{
    p->folder = make_folder();
    snprintf(p->address, sizeof(p->address), "unix://%s/socket", p->folder);
    p->path = p->address + strlen("unix://");
}

static struct stat file_at(const char *path)
{
    struct stat file;
    assert_int_equal(evert__sys_stat(path, &file), 0);
    return file;
}

static bool same_file(struct stat a, struct stat b)
{
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_mode == b.st_mode;
}

static bool is_there(const char *path)
{
    struct stat file;
    return evert__sys_stat(path, &file) == 0;
}

/* Another program's socket there. */
static int plain_listener_at(const char *address)
{
    struct sockaddr_un un = unix_address(address);
    int fd = plain_socket(UNIX);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

/* A client reaches the one who listens: it is taken in, and hung up on in the end. */
static void check_served(enum face face, evert_listener *listener, const char *address)
{
    int client = plain_connect(address);
    evert_stream *s;
    if (face == STREAMS) {
        check_rc(evert_accept(listener, &s), 0);
        peer_say(client, "x");
        assert_int_equal(shutdown(client, SHUT_WR), 0);
        check_rc(evert_close(s), 0);
    } else {
        assert_int_equal(shutdown(client, SHUT_WR), 0);
    }
    peer_hears_end(client);
    close(client);
}

/* ---- BR-023: whose file it is ---- */

/* BR-023 (a), and the ordinary close: until then the first server goes on, with its file. */
static void test_a_second_server_does_not_take_the_path_of_a_live_one(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        enum face first = i % 2 ? PROTOCOLS : STREAMS, second = i / 2 ? PROTOCOLS : STREAMS;
        evert_listener *listener, *other = NULL;
        struct place p;
        make_place(&p);
        check_rc(listen_on(first, p.address, &listener), 0);
        struct stat was = file_at(p.path);
        for (int tries = 0; tries < 3; tries++) {
            int before = open_descriptors();
            check_rc(listen_on(second, p.address, &other), -EADDRINUSE);
            assert_null(other);
            assert_int_equal(open_descriptors(), before);
            assert_true(same_file(file_at(p.path), was));
        }
        check_served(first, listener, p.address);
        evert_listener_close(listener);
        assert_false(is_there(p.path));
        remove_folder(p.folder);
    }
}

/* BR-023 (b) */
static void test_the_path_of_a_server_that_was_killed_is_taken(void **state)
{
    (void)state;
    for (int face = STREAMS; face <= PROTOCOLS; face++) {
        evert_listener *listener;
        struct place p;
        make_place(&p);
        pid_t child = fork();
        assert_return_code(child, errno);
        if (child == 0) {
            plain_listener_at(p.address);
            raise(SIGKILL);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_true(is_there(p.path));
        check_rc(listen_on((enum face)face, p.address, &listener), 0);
        check_served((enum face)face, listener, p.address);
        evert_listener_close(listener);
        assert_false(is_there(p.path));
        remove_folder(p.folder);
    }
}

/* BR-023 (c) */
static void test_a_regular_file_is_not_touched(void **state)
{
    (void)state;
    for (int face = STREAMS; face <= PROTOCOLS; face++) {
        evert_listener *listener = NULL;
        char text[10] = "";
        struct place p;
        make_place(&p);
        int file = open(p.path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        assert_int_equal(write(file, "precious", 8), 8);
        struct stat was = file_at(p.path);
        check_rc(listen_on((enum face)face, p.address, &listener), -EADDRINUSE);
        assert_null(listener);
        assert_true(same_file(file_at(p.path), was));
        assert_int_equal(pread(file, text, sizeof(text), 0), 8);
        assert_string_equal(text, "precious");
        close(file);
        assert_int_equal(unlink(p.path), 0);
        remove_folder(p.folder);
    }
}

/* BR-023 (d) */
static void test_the_socket_of_who_took_the_path_over_stays(void **state)
{
    (void)state;
    for (int face = STREAMS; face <= PROTOCOLS; face++) {
        evert_listener *listener;
        struct place p;
        make_place(&p);
        check_rc(listen_on((enum face)face, p.address, &listener), 0);
        assert_int_equal(unlink(p.path), 0);
        int other = plain_listener_at(p.address);
        struct stat was = file_at(p.path);
        evert_listener_close(listener);
        assert_true(same_file(file_at(p.path), was));
        int client = plain_connect(p.address);
        close(plain_accept(other));
        close(client);
        close(other);
        assert_int_equal(unlink(p.path), 0);
        remove_folder(p.folder);
    }
}

/* ---- BR-024: how long a name is ---- */

enum { NAME = offsetof(struct sockaddr_un, sun_path) };

/* Where the kernel's list has a socket of this name, what stands there to the end of the line. */
static void check_listed(const char *name)
{
    FILE *list = fopen("/proc/net/unix", "r");
    char line[300];
    bool found = false;
    assert_non_null(list);
    while (fgets(line, sizeof(line), list) != NULL) {
        const char *at = strstr(line, name);
        if (at == NULL)
            continue;
        found = true;
        assert_int_equal(at[-1], ' ');
        assert_int_equal(at[strlen(name)], '\n');
    }
    fclose(list);
    assert_true(found);
}

/* A name of eight bytes, the first of them NUL, that no other test has. */
static socklen_t abstract_name(struct sockaddr_un *ret)
{
    char digits[16];
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    snprintf(digits, sizeof(digits), "%07d", (int)getpid() % 10000000);
    memcpy(ret->sun_path + 1, digits, 7);
    return NAME + 8;
}

static int bound_to(const struct sockaddr_un *name, socklen_t size)
{
    int fd = plain_socket(UNIX);
    assert_int_equal(bind(fd, (const struct sockaddr *)name, size), 0);
    return fd;
}

/*
 * BR-024: an abstract name is passed with its own size, so that others find it by that; it is given
 * back as it was given, and there is no file of it.
 */
static void test_an_abstract_name_is_listened_on_by_just_its_size(void **state)
{
    (void)state;
    for (int face = STREAMS; face <= PROTOCOLS; face++) {
        struct sockaddr_un name, real;
        socklen_t size = abstract_name(&name), got = sizeof(real);
        char address[32];
        evert_listener *listener;
        snprintf(address, sizeof(address), "unix://@%.7s", name.sun_path + 1);
        check_rc(listen_on((enum face)face, address, &listener), 0);
        assert_int_equal(getsockname(listener->fd.number, (struct sockaddr *)&real, &got), 0);
        assert_int_equal(got, size);
        check_listed(address + strlen("unix://"));
        assert_string_equal(evert_listener_address(listener), address);
        assert_false(is_there(address + strlen("unix://")));

        int client = plain_socket(UNIX);
        assert_int_equal(connect(client, (struct sockaddr *)&name, size), 0);
        close(client);
        evert_listener_close(listener);
    }
}

/* BR-024: the other direction; and a name that is no name is refused, by all who take one. */
static void test_an_abstract_name_is_connected_to_by_just_its_size(void **state)
{
    struct sockaddr_un name;
    socklen_t size = abstract_name(&name);
    char address[32];
    evert_listener *listener = NULL;
    evert_stream *s = NULL;
    (void)state;
    snprintf(address, sizeof(address), "unix://@%.7s", name.sun_path + 1);
    int plain = bound_to(&name, size);
    assert_int_equal(listen(plain, 1), 0);
    check_rc(evert_connect(&s, address), 0);
    int peer = plain_accept(plain);
    check_rc(evert_puts(s, "x"), 0);
    check_rc(evert_flush(s), 0);
    peer_hears(peer, "x");
    assert_string_equal(evert_peer_address(s), address);
    close(peer);
    check_rc(evert_close(s), 0);
    close(plain);
    check_rc(listen_on(STREAMS, "unix://@", &listener), EVERT_EADDRESS);
    check_rc(listen_on(PROTOCOLS, "unix:@x", &listener), EVERT_EADDRESS);
    check_rc(evert_connect(&s, "unix://x"), EVERT_EADDRESS);
}

/* BR-024: a client may have one, which is what its server sees. */
static void test_a_client_with_an_abstract_name_is_served(void **state)
{
    struct sockaddr_un name;
    socklen_t size = abstract_name(&name);
    (void)state;
    struct place p;
    evert_listener *listener;
    evert_stream *s;
    evert_bytes bytes;
    char shown[32];
    make_place(&p);
    check_rc(evert_listen(&listener, p.address), 0);
    int client = bound_to(&name, size);
    struct sockaddr_un at = unix_address(p.address);
    assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof(at)), 0);
    check_rc(evert_accept(listener, &s), 0);
    peer_say(client, "x");
    check_count(evert_read(s, &bytes, 10), 1);
    check_bytes(bytes, "x");
    snprintf(shown, sizeof(shown), "unix://@%.7s", name.sun_path + 1);
    assert_string_equal(evert_peer_address(s), shown);
    assert_string_equal(evert_local_address(s), p.address);
    close(client);
    check_rc(evert_close(s), 0);
    evert_listener_close(listener);
    remove_folder(p.folder);
}

/* BR-024: where a size is given, as below the addresses in words, just that is the name. */
static void test_a_listener_has_a_name_of_just_the_size_that_it_was_given(void **state)
{
    struct evert__address address = {.size = 0};
    struct sockaddr_un name, real;
    char listed[16];
    evert_stream *s;
    evert_bytes bytes;
    socklen_t size = abstract_name(&name), got = sizeof(real);
    (void)state;
    memcpy(&address.storage, &name, sizeof(name));
    address.size = size;
    evert_listener *listener = evert__alloc_zero(sizeof(*listener));
    assert_non_null(listener);
    check_rc(evert__listener_open(listener, self()->loop, &address), 0);
    assert_int_equal(getsockname(listener->fd.number, (struct sockaddr *)&real, &got), 0);
    assert_int_equal(got, size);
    snprintf(listed, sizeof(listed), "@%.7s", name.sun_path + 1);
    check_listed(listed);

    int client = plain_socket(UNIX), number = -1;
    assert_int_equal(connect(client, (struct sockaddr *)&name, NAME + 8), 0);
    wait_until((number = evert__listener_take(listener)) >= 0);
    check_rc(evert__connection_accepted(self()->loop, number, false, &s), 0);
    peer_say(client, "x");
    check_count(evert_read(s, &bytes, 10), 1);
    check_bytes(bytes, "x");
    close(client);
    check_rc(evert_close(s), 0);
    evert__listener_close(listener);
}

/* BR-024: the same mistake with a path, which may be made in either direction. */
static void test_a_path_is_passed_with_nothing_behind_it(void **state)
{
    (void)state;
    for (int face = STREAMS; face <= PROTOCOLS; face++) {
        struct sockaddr_un real;
        socklen_t size = sizeof(real);
        evert_listener *listener;
        evert_stream *s;
        struct place p;
        make_place(&p);
        check_rc(listen_on((enum face)face, p.address, &listener), 0);
        assert_int_equal(getsockname(listener->fd.number, (struct sockaddr *)&real, &size), 0);
        assert_int_equal(size, NAME + strlen(p.path) + 1);
        check_listed(p.path);
        assert_string_equal(evert_listener_address(listener), p.address);
        evert_listener_close(listener);

        int plain = plain_socket(UNIX); /* bound with no NUL, as others do */
        real = unix_address(p.address);
        size = (socklen_t)(NAME + strlen(p.path));
        assert_int_equal(bind(plain, (struct sockaddr *)&real, size), 0);
        assert_int_equal(listen(plain, 1), 0);
        check_rc(evert_connect(&s, p.address), 0);
        int peer = plain_accept(plain);
        check_rc(evert_puts(s, "x"), 0);
        check_rc(evert_flush(s), 0);
        peer_hears(peer, "x");
        assert_string_equal(evert_peer_address(s), p.address);
        close(peer);
        check_rc(evert_close(s), 0);
        close(plain);
        assert_int_equal(unlink(p.path), 0);
        remove_folder(p.folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_second_server_does_not_take_the_path_of_a_live_one),
        everywhere(test_the_path_of_a_server_that_was_killed_is_taken),
        everywhere(test_a_regular_file_is_not_touched),
        everywhere(test_the_socket_of_who_took_the_path_over_stays),
        everywhere(test_an_abstract_name_is_listened_on_by_just_its_size),
        everywhere(test_an_abstract_name_is_connected_to_by_just_its_size),
        everywhere(test_a_client_with_an_abstract_name_is_served),
        everywhere(test_a_listener_has_a_name_of_just_the_size_that_it_was_given),
        everywhere(test_a_path_is_passed_with_nothing_behind_it),
    };
    return run_table(tests);
}
