/* SPDX-License-Identifier: MIT */
/*
 * A listener: how it survives what accept can say (T11), where it may bind, and which file it
 * removes when it goes.
 */
#include "support.h"

static int told; /* how often a listener said that there may be something */

static void count_ready(struct evert_listener *listener)
{
    (void)listener;
    told++;
}

static int try_open(const char *name, struct evert_listener **ret)
{
    struct evert__endpoint endpoint = {0};
    struct evert__address address;
    check_rc(evert__endpoint_parse(name, &endpoint), 0);
    assert_true(evert__endpoint_numeric(&endpoint, &address));
    struct evert_listener *l = evert__alloc_zero(sizeof(*l));
    assert_non_null(l);
    l->ready = count_ready;
    int rc = evert__listener_open(l, loop, &address);
    *ret = l;
    if (rc < 0)
        evert__free(l);
    return rc;
}

static struct evert_listener *open_at(const char *name)
{
    struct evert_listener *l;
    told = 0;
    check_rc(try_open(name, &l), 0);
    return l;
}

static void close_it(struct evert_listener *l)
{
    evert__listener_close(l);
    turns(1);
}

static int client_of(const struct evert_listener *l)
{
    int port = atoi(strrchr(l->address, ':') + 1);
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)},
                             .sin_port = htons((in_port_t)port)};
    int fd = tcp_client(&in);
    wait_for(fd, POLLOUT);
    return fd;
}

/* Waits for a connection, as the layer above does. */
static int take(struct evert_listener *l)
{
    evert_time limit = evert_after(PATIENCE);
    for (;;) {
        int got = evert__listener_take(l);
        if (got != -EAGAIN)
            return got;
        if (evert__listener_arm(l))
            continue;
        for (int before = told; told == before;) {
            assert_true(evert__clock() < limit);
            turn(PATIENCE);
        }
    }
}

static int accepts;

static bool count_accepts(enum evert__sys_call call, const void *site, size_t *size,
                          int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    accepts += call == EVERT__SYS_ACCEPT;
    return false;
}

/* The peer closed this one. */
static void check_turned_away(int fd)
{
    char byte;
    wait_for(fd, POLLIN);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static bool is_cloexec(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    assert_true(flags >= 0);
    return (flags & FD_CLOEXEC) != 0;
}

/* ---- Opening ---- */

/* F53 */
static void test_it_has_its_real_port_and_hands_out_connections(void **state)
{
    static const char *const names[] = {"tcp://127.0.0.1:0", "tcp://0.0.0.0:0"};
    int before = open_descriptors();
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct evert_listener *l = open_at(names[i]);
        struct evert__endpoint e = {0};
        check_rc(evert__endpoint_parse(l->address, &e), 0);
        assert_true(e.port != 0);
        assert_int_equal(strncmp(l->address, names[i], strlen(names[i]) - 1), 0);
        check_rc(evert__listener_take(l), -EAGAIN);
        assert_int_equal(told, 0);
        int client = client_of(l), got = take(l), on = 0;
        socklen_t size = sizeof(on);
        assert_true(got >= 0);
        assert_true(is_cloexec(got) && is_cloexec(l->fd.number) && is_cloexec(l->reserve));
        assert_true(fcntl(got, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(l->fd.number, F_GETFL) & O_NONBLOCK);
        assert_int_equal(getsockopt(got, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
        assert_int_equal(on, 1);
        close(got);
        close(client);
        close_it(l);
        check_descriptors(before);
    }
}

/* F11 */
static void test_an_address_in_use_is_told(void **state)
{
    struct evert_listener *l = open_at("tcp://127.0.0.1:0"), *other;
    int before = open_descriptors();
    (void)state;
    check_rc(try_open(l->address, &other), -EADDRINUSE);
    check_descriptors(before);
    close_it(l);
}

/* One that was just closed, with a connection that lingers, can be opened again at once. */
static void test_an_address_used_just_now_can_be_used_again(void **state)
{
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    char address[EVERT__ADDRESS_WORDS];
    (void)state;
    int client = client_of(l), got = take(l);
    snprintf(address, sizeof(address), "%s", l->address);
    close(got); /* first: this side has to remember the connection */
    close(client);
    close_it(l);
    close_it(open_at(address));
}

static void test_each_failure_to_open_leaves_nothing(void **state)
{
    static const struct {
        enum evert__sys_call call;
        int error;
    } rows[] = {{EVERT__SYS_SOCKET, -EMFILE},
                {EVERT__SYS_BIND, -EACCES},
                {EVERT__SYS_BIND, -EADDRNOTAVAIL},
                {EVERT__SYS_LISTEN, -EADDRINUSE},
                {EVERT__SYS_GETSOCKNAME, -ENOBUFS}};
    (void)state;
    make_folder();
    int before = open_descriptors();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct evert_listener *l;
        answer(rows[i].call, rows[i].error, 1);
        check_rc(try_open("tcp://127.0.0.1:0", &l), rows[i].error);
        answer(rows[i].call, rows[i].error, 1);
        check_rc(try_open(unix_name, &l), rows[i].error);
        assert_int_equal(access(path, F_OK), -1);
        check_descriptors(before);
    }
    remove_folder();
}

static void test_it_works_without_a_reserve(void **state)
{
    (void)state;
    answer(EVERT__SYS_OPEN, -EMFILE, 1);
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    assert_int_equal(l->reserve, -EMFILE);
    int client = client_of(l);
    start_logging();
    answer(EVERT__SYS_ACCEPT, -EMFILE, 1);
    int got = take(l);
    assert_true(got >= 0); /* nobody was turned away */
    close(got);
    close(client);
    close_it(l);
}

/* ---- What accept may say ---- */

/* F2, F4: a connection that is gone already is no concern of the listener. */
static void test_connections_that_are_gone_are_passed_over(void **state)
{
    static const int errors[] = {ECONNABORTED, EPROTO, ENETDOWN,    ENOPROTOOPT, EHOSTDOWN, ENONET,
                                 EHOSTUNREACH, EPERM,  ENETUNREACH, EOPNOTSUPP,  ETIMEDOUT, EINTR};
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    (void)state;
    start_logging();
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        int client = client_of(l);
        answer(EVERT__SYS_ACCEPT, -errors[i], 3);
        int got = take(l);
        assert_true(got >= 0);
        assert_true(plan.asked >= 4);
        close(got);
        close(client);
    }
    assert_int_equal(logged.count, 0);
    close_it(l);
}

static void test_what_says_that_the_listener_is_broken_is_told(void **state)
{
    static const int errors[] = {EINVAL, EBADF, ENOTSOCK};
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    int client = client_of(l);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        answer(EVERT__SYS_ACCEPT, -errors[i], 1);
        check_rc(take(l), -errors[i]);
    }
    close(client);
    close_it(l);
}

/* T11, F2: where one after the other is gone, without an end, it pauses in between. */
static void test_endlessly_many_that_are_gone_do_not_make_it_spin(void **state)
{
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    int client = client_of(l);
    (void)state;
    start_logging();
    answer(EVERT__SYS_ACCEPT, -ECONNABORTED, 250);
    evert_time before = evert__clock();
    int got = take(l);
    assert_true(got >= 0);
    assert_int_equal(plan.asked, 251);
    if (l->loop->adverse == NULL) { /* that one says in between that there are none for now */
        assert_true(evert__clock() - before >= 2 * 50 * MS);
        assert_int_equal(logged.count, 1);
    }
    close(got);
    close(client);
    close_it(l);
}

/*
 * F3, T11, BR-015: short of memory, or of something that nobody has heard of, it pauses, says so
 * once, and takes the client when it is better.
 */
static void test_short_of_memory_it_pauses_and_goes_on(void **state)
{
    static const int errors[] = {ENOBUFS, ENOMEM, ENOSPC, ENOSR, ESOCKTNOSUPPORT, EACCES};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct evert_listener *l = open_at("tcp://127.0.0.1:0");
        int client = client_of(l);
        start_logging();
        answer(EVERT__SYS_ACCEPT, -errors[i], 3);
        evert_time before = evert__clock();
        int got = take(l);
        assert_true(got >= 0);
        assert_true(evert__clock() - before >= 2 * 50 * MS); /* it does not spin */
        assert_int_equal(plan.asked, 4);
        assert_int_equal(logged.count, 1);
        check_words(logged.text, l->address);
        check_words(logged.text, evert_strerror(-errors[i]));
        close(got);
        close(client);
        close_it(l);
    }
}

/* F1, T11: out of descriptors it turns one client away, and then pauses. */
static void test_out_of_descriptors_it_turns_one_away(void **state)
{
    static const int errors[] = {EMFILE, ENFILE};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct evert_listener *l = open_at("tcp://127.0.0.1:0");
        int before = open_descriptors(), first = client_of(l), second = client_of(l);
        start_logging();
        answer(EVERT__SYS_ACCEPT, -errors[i], 1);
        int got = take(l);
        assert_true(got >= 0);
        assert_true(l->reserve >= 0); /* there is one again */
        assert_false(l->paused);
        check_turned_away(first);
        plain_send(got, "x", 1);
        wait_for(second, POLLIN);
        assert_int_equal(logged.count, 1);
        check_words(logged.text, evert_strerror(-errors[i]));
        close(got);
        close(second);
        check_descriptors(before);
        close_it(l);
    }
}

/* T11: a long shortage turns one away, not one at each try, and is spoken of once. */
static void test_a_long_shortage_is_told_once(void **state)
{
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    int clients[4];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(clients); i++)
        clients[i] = client_of(l);
    start_logging();
    answer(EVERT__SYS_ACCEPT, -EMFILE, 5); /* the reserve is of no use then */
    int got = take(l);
    assert_true(got >= 0);
    assert_int_equal(logged.count, 1);
    assert_int_equal(plan.asked, 6);
    close(got);
    answer(EVERT__SYS_ACCEPT, -EMFILE, 1); /* a shortage of its own, but soon after */
    got = take(l);
    assert_true(got >= 0);
    assert_int_equal(logged.count, 1);
    check_turned_away(clients[1]);
    close(got);
    close(clients[0]);
    close(clients[2]);
    close(clients[3]);
    close_it(l);
}

static void test_it_can_be_closed_while_it_pauses(void **state)
{
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    int client = client_of(l);
    (void)state;
    start_logging();
    answer(EVERT__SYS_ACCEPT, -ENOMEM, 100);
    while (!evert__timer_is_set(&l->again))
        check_rc(evert__listener_take(l), -EAGAIN);
    check_rc(evert__listener_take(l), -EAGAIN);
    assert_false(evert__listener_arm(l));
    assert_int_equal(plan.asked, 1); /* none while it pauses */
    close_it(l);
    turn(100 * MS);
    assert_int_equal(told, 0);
    close(client);
}

static void test_disarmed_it_tells_nothing_and_loses_nothing(void **state)
{
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    (void)state;
    do
        check_rc(evert__listener_take(l), -EAGAIN);
    while (evert__listener_arm(l));
    int client = client_of(l);
    evert__listener_disarm(l);
    turns(10);
    assert_int_equal(told, 0);
    int got = take(l);
    assert_true(got >= 0);
    close(got);
    close(client);
    close_it(l);
}

/* F1 for real, BR-015: little time, few tries, and a client is served after the relief. */
static evert_time cpu_time(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * EVERT_SECOND +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * EVERT_MICROSECOND;
}

static int suffer_shortage(void)
{
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    struct rlimit limit;
    int clients[10], got[3];
    for (size_t i = 0; i < COUNT_OF(clients); i++)
        clients[i] = client_of(l);
    start_logging();
    getrlimit(RLIMIT_NOFILE, &limit);
    int next = dup(0);
    close(next);
    limit.rlim_cur = (rlim_t)next + 3; /* three more fit */
    setrlimit(RLIMIT_NOFILE, &limit);
    for (size_t i = 0; i < COUNT_OF(got); i++) {
        got[i] = take(l);
        if (got[i] < 0)
            return 1;
    }

    answer(EVERT__SYS_ACCEPT, 0, 0);
    evert_time before = cpu_time(), until = evert_after(400 * MS);
    for (evert_time left; (left = until - evert__clock()) > 0;) {
        if (evert__listener_take(l) != -EAGAIN)
            return 2;
        if (!evert__listener_arm(l)) {
            turn(left);
            evert__listener_disarm(l);
        }
    }
    if (plan.asked < 2 || plan.asked > 20 || logged.count != 1)
        return 3;
    if (cpu_time() - before > 200 * MS)
        return 4;
    close(got[0]);
    return take(l) >= 0 && clients[0] >= 0 ? 0 : 5; /* the shortage is over */
}

static void test_a_real_shortage_costs_little_and_ends(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(60);
        _exit(evert_loop_new(&loop) < 0 ? 9 : suffer_shortage());
    }
    assert_int_equal(exit_of(child), 0);
}

/* ---- The file of a Unix socket ---- */

/* F14, BR-023 */
static void test_the_file_goes_with_the_listener(void **state)
{
    (void)state;
    make_folder();
    struct evert_listener *l = open_at(unix_name);
    assert_string_equal(l->address, unix_name);
    assert_false(l->is_tcp);
    int client = unix_client(), got = take(l);
    assert_true(client >= 0 && got >= 0);
    close(got);
    close(client);
    close_it(l);
    remove_folder();
}

/* accept(2) is costly where it finds nobody. A ring is not asked by it at all. */
static void test_who_comes_alone_costs_one_accept(void **state)
{
    enum { CLIENTS = 20 };
    struct evert_listener *l = open_at("tcp://127.0.0.1:0");
    (void)state;
    check_rc(evert__listener_take(l), -EAGAIN);
    accepts = 0;
    evert__sys_set_hook(count_accepts);
    for (int i = 0; i < CLIENTS; i++) {
        int client = client_of(l), got = take(l);
        assert_true(got >= 0);
        check_rc(evert__listener_take(l), -EAGAIN);
        close(got);
        close(client);
    }
    assert_in_range(accepts, 0, CLIENTS);
    close_it(l);
}

/* Those who come at once wait for their turn, as many as the system lets, and not just 128. */
static void test_many_may_wait_to_be_accepted(void **state)
{
    enum { MANY = 300 };
    int clients[MANY], most = 0;
    FILE *limit = fopen("/proc/sys/net/core/somaxconn", "re");
    (void)state;
    assert_non_null(limit);
    assert_int_equal(fscanf(limit, "%d", &most), 1);
    (void)fclose(limit);
    most = most < MANY ? most : MANY;
    make_folder();
    struct evert_listener *l = open_at(unix_name);
    for (int i = 0; i < most; i++) {
        clients[i] = unix_client();
        assert_true(clients[i] >= 0);
    }
    for (int i = 0; i < most; i++)
        close(clients[i]);
    close_it(l);
    remove_folder();
}

/* F14, BR-023 (b): a server that died left its file. */
static void test_a_stale_socket_is_replaced(void **state)
{
    (void)state;
    make_folder();
    close(unix_listener(1));
    assert_int_equal(access(path, F_OK), 0);
    struct evert_listener *l = open_at(unix_name);
    int client = unix_client();
    assert_true(client >= 0);
    close(client);
    close_it(l);
    remove_folder();
}

/* F14, BR-023 (a): also where it does not accept and its backlog is full. */
static void test_a_live_socket_is_left_alone(void **state)
{
    struct evert_listener *l;
    struct stat was, is;
    int clients[3];
    (void)state;
    make_folder();
    int listener = unix_listener(0);
    assert_int_equal(stat(path, &was), 0);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        int before = open_descriptors();
        check_rc(try_open(unix_name, &l), -EADDRINUSE);
        check_descriptors(before);
        assert_true(i > 0 || accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0); /* saw nothing */
        clients[i] = unix_client(); /* until it is full */
    }
    assert_int_equal(clients[2], -1);
    assert_int_equal(stat(path, &is), 0);
    assert_true(is.st_ino == was.st_ino && is.st_dev == was.st_dev);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        if (clients[i] >= 0)
            close(clients[i]);
    }
    close(listener);
    unlink(path);
    remove_folder();
}

/* F14, BR-023 (a): nor is one taken whose server is just about to listen. */
static void test_a_socket_that_is_only_bound_is_left_alone(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct evert_listener *l;
    (void)state;
    make_folder();
    memcpy(un.sun_path, path, sizeof(un.sun_path));
    int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(other, (struct sockaddr *)&un, sizeof(un)), 0);
    check_rc(try_open(unix_name, &l), -EADDRINUSE);
    assert_int_equal(listen(other, 1), 0);
    int client = unix_client();
    assert_true(client >= 0);
    close(client);
    close(other);
    unlink(path);
    remove_folder();
}

/* F14, BR-023 (c): whatever is no stale socket is not ours to remove. */
static void test_other_files_are_left_alone(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct evert_listener *l;
    char text[8] = "";
    (void)state;
    make_folder();
    int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(file, "mine", 4), 4);
    check_rc(try_open(unix_name, &l), -EADDRINUSE);
    assert_int_equal(pread(file, text, sizeof(text), 0), 4);
    close(file);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(symlink("/nowhere/at/all", path), 0); /* not followed either */
    check_rc(try_open(unix_name, &l), -EADDRINUSE);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkdir(path, 0700), 0);
    check_rc(try_open(unix_name, &l), -EADDRINUSE);
    assert_int_equal(rmdir(path), 0);

    int datagrams = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* another kind of socket */
    memcpy(un.sun_path, path, sizeof(un.sun_path));
    assert_int_equal(bind(datagrams, (struct sockaddr *)&un, sizeof(un)), 0);
    check_rc(try_open(unix_name, &l), -EADDRINUSE);
    close(datagrams);
    assert_int_equal(unlink(path), 0);
    remove_folder();
}

/* F14, BR-023 (d): the file of whoever came later stays. */
static void test_the_file_of_a_later_server_stays(void **state)
{
    (void)state;
    make_folder();
    struct evert_listener *l = open_at(unix_name);
    assert_int_equal(unlink(path), 0);
    int other = unix_listener(1);
    close_it(l);
    int client = unix_client();
    assert_true(client >= 0);
    close(client);
    close(other);
    assert_int_equal(unlink(path), 0);

    l = open_at(unix_name);
    assert_int_equal(unlink(path), 0);
    close_it(l); /* nothing to remove is fine */
    remove_folder();
}

static void test_where_the_folder_is_missing_it_says_so(void **state)
{
    struct evert_listener *l;
    (void)state;
    make_folder();
    remove_folder();
    check_rc(try_open(unix_name, &l), -ENOENT);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_CASE(test_it_has_its_real_port_and_hands_out_connections),
        LOOP_CASE(test_an_address_in_use_is_told),
        LOOP_CASE(test_an_address_used_just_now_can_be_used_again),
        LOOP_CASE(test_each_failure_to_open_leaves_nothing),
        LOOP_CASE(test_it_works_without_a_reserve),
        LOOP_CASE(test_connections_that_are_gone_are_passed_over),
        LOOP_CASE(test_what_says_that_the_listener_is_broken_is_told),
        LOOP_CASE(test_endlessly_many_that_are_gone_do_not_make_it_spin),
        LOOP_CASE(test_short_of_memory_it_pauses_and_goes_on),
        LOOP_CASE(test_out_of_descriptors_it_turns_one_away),
        LOOP_CASE(test_a_long_shortage_is_told_once),
        LOOP_CASE(test_it_can_be_closed_while_it_pauses),
        LOOP_CASE(test_disarmed_it_tells_nothing_and_loses_nothing),
        LOOP_CASE(test_a_real_shortage_costs_little_and_ends),
        LOOP_CASE(test_the_file_goes_with_the_listener),
        LOOP_CASE(test_who_comes_alone_costs_one_accept),
        LOOP_CASE(test_many_may_wait_to_be_accepted),
        LOOP_CASE(test_a_stale_socket_is_replaced),
        LOOP_CASE(test_a_live_socket_is_left_alone),
        LOOP_CASE(test_a_socket_that_is_only_bound_is_left_alone),
        LOOP_CASE(test_other_files_are_left_alone),
        LOOP_CASE(test_the_file_of_a_later_server_stays),
        LOOP_CASE(test_where_the_folder_is_missing_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
