/* SPDX-License-Identifier: MIT */
/* Addresses as people write them: what is one, what is none, and that their words are one again. */
#include "support.h"

/* Good ones, and what they come to. */
static void test_good_addresses_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *host;
        int port;
    } rows[] = {
        {"tcp://localhost:9999", "localhost", 9999},
        {"tcp://127.0.0.1:0", "127.0.0.1", 0},
        {"tcp://127.0.0.1:65535", "127.0.0.1", 65535},
        {"tcp://127.0.0.1:00080", "127.0.0.1", 80},
        {"tcp://[::1]:80", "::1", 80},
        {"tcp://[::]:80", "::", 80},
        {"tcp://[fe80::1%lo]:80", "fe80::1%lo", 80},
        {"tcp://:80", "", 80},
        {"tcp://*:80", "", 80},
        {"tcp://a.b-c_d.example:1", "a.b-c_d.example", 1},
        {"tcp://*a:1", "*a", 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct evert__endpoint e = {.kind = EVERT__ENDPOINT_UNIX};
        check_rc(evert__endpoint_parse(rows[i].text, &e), 0);
        assert_int_equal(e.kind, EVERT__ENDPOINT_TCP);
        assert_string_equal(e.host, rows[i].host);
        assert_int_equal(e.port, rows[i].port);
    }
}

static void test_bad_addresses_are_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "tcp",
        "tcp:/",
        "tcp://",
        "tcp://localhost",
        "tcp://localhost:",
        "tcp://localhost:65536",
        "tcp://localhost:99999",
        "tcp://localhost:000080", /* more digits than any port has */
        "tcp://localhost:4294967376",
        "tcp://localhost:-1",
        "tcp://localhost:+1",
        "tcp://localhost: 1",
        "tcp://localhost:1 ",
        "tcp://localhost:0x50",
        "tcp://localhost:http",
        "tcp://localhost:80/",
        "tcp://local/host:80",
        "tcp://::1:80", /* which of the colons? */
        "tcp://[::1]",
        "tcp://[::1]80",
        "tcp://[::1:80",
        "tcp://::1]:80",
        "tcp://[:80",
        "tcp://[]:80",
        "tcp://[*]:80",
        "tcp://[localhost]:80",
        "TCP://localhost:80",
        "http://localhost:80",
        " tcp://localhost:80",
        "localhost:80",
        "unix:/tmp/socket",
        "unix://",
        "unix://socket",
        "unix://./socket",
    };
    struct evert__endpoint untouched;
    (void)state;
    memset(&untouched, 'u', sizeof(untouched));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct evert__endpoint e;
        memset(&e, 'u', sizeof(e));
        if (evert__endpoint_parse(rows[i], &e) != EVERT_EADDRESS)
            print_error("%s\n", rows[i]);
        check_rc(evert__endpoint_parse(rows[i], &e), EVERT_EADDRESS);
        assert_memory_equal(&e, &untouched, sizeof(e));
    }
}

/* F87: a name that is too long is refused, never cut. */
static void test_long_names_are_refused_and_not_cut(void **state)
{
    char text[600], name[300];
    struct evert__endpoint e;

    (void)state;
    memset(name, 'a', sizeof(name));
    snprintf(text, sizeof(text), "tcp://%.253s:80", name);
    check_rc(evert__endpoint_parse(text, &e), 0);
    assert_int_equal(strlen(e.host), 253);
    snprintf(text, sizeof(text), "tcp://%.254s:80", name);
    check_rc(evert__endpoint_parse(text, &e), EVERT_EADDRESS);
    snprintf(text, sizeof(text), "tcp://%.299s:80", name);
    check_rc(evert__endpoint_parse(text, &e), EVERT_EADDRESS);
}

/* F14: 107 bytes are the longest path of a socket. */
static void test_a_path_has_107_bytes_at_the_most(void **state)
{
    char text[300], name[200];
    struct evert__endpoint e;
    struct evert__address a;
    char words[EVERT__ADDRESS_WORDS];

    (void)state;
    memset(name, 'p', sizeof(name));
    snprintf(text, sizeof(text), "unix:///%.106s", name);
    check_rc(evert__endpoint_parse(text, &e), 0);
    assert_int_equal(e.kind, EVERT__ENDPOINT_UNIX);
    assert_string_equal(e.path, text + strlen("unix://"));
    assert_true(evert__endpoint_numeric(&e, &a));
    assert_int_equal(a.size, sizeof(struct sockaddr_un));
    evert__address_words((struct sockaddr *)&a.storage, a.size, words);
    assert_string_equal(words, text);

    snprintf(text, sizeof(text), "unix:///%.107s", name);
    check_rc(evert__endpoint_parse(text, &e), -ENAMETOOLONG);
    snprintf(text, sizeof(text), "unix:///%.199s", name);
    check_rc(evert__endpoint_parse(text, &e), -ENAMETOOLONG);
}

static void test_names_are_told_from_numbers(void **state)
{
    static const struct {
        const char *text;
        int family; /* 0: it has to be looked up */
    } rows[] = {
        {"tcp://127.0.0.1:80", AF_INET},
        {"tcp://[::1]:80", AF_INET6},
        {"tcp://localhost:80", 0},
        {"tcp://127.1:80", 0},
        {"tcp://127.0.0.256:80", 0},
        {"tcp://127.0.0.1.:80", 0},
        {"tcp://[fe80::1%lo]:80", 0},
        {"tcp://[::1::]:80", 0},
        {"tcp://[::ffff:1.2.3.4]:80", AF_INET6},
        {"unix:///tmp/socket", AF_UNIX},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct evert__endpoint e = {0};
        struct evert__address a;
        check_rc(evert__endpoint_parse(rows[i].text, &e), 0);
        assert_int_equal(evert__endpoint_numeric(&e, &a), rows[i].family != 0);
        if (rows[i].family != 0)
            assert_int_equal(a.storage.ss_family, rows[i].family);
    }
}

/* What evert_connect() takes comes back from an address in words. */
static void test_words_of_an_address_are_an_address(void **state)
{
    static const char *const rows[] = {
        "tcp://127.0.0.1:1",    "tcp://255.255.255.255:65535",
        "tcp://0.0.0.0:0",      "tcp://[::1]:80",
        "tcp://[::]:65535",     "tcp://[2001:db8::a:b]:443",
        "unix:///tmp/socket",   "unix:///",
        "unix:///with space\n", "tcp://[1:2:3:4:5:6:7:8]:9",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct evert__endpoint e = {0};
        struct evert__address a;
        char words[EVERT__ADDRESS_WORDS];
        check_rc(evert__endpoint_parse(rows[i], &e), 0);
        assert_true(evert__endpoint_numeric(&e, &a));
        evert__address_words((struct sockaddr *)&a.storage, a.size, words);
        assert_string_equal(words, rows[i]);
    }
}

static void test_words_of_sockets_without_a_name(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr other = {.sa_family = AF_UNSPEC};
    char words[EVERT__ADDRESS_WORDS] = "?";

    (void)state;
    /* A socket that was not bound: the kernel gives the family alone. */
    memset(un.sun_path, 'x', sizeof(un.sun_path));
    evert__address_words((struct sockaddr *)&un, sizeof(un.sun_family), words);
    assert_string_equal(words, "unix://");
    /* A path that fills its place has no NUL. */
    evert__address_words((struct sockaddr *)&un, sizeof(un), words);
    assert_int_equal(strlen(words), strlen("unix://") + sizeof(un.sun_path));
    evert__address_words(&other, sizeof(other), words);
    assert_string_equal(words, "");
}

/* Messages have room for the reason, whatever the address. */
static void test_long_addresses_are_cut_in_messages(void **state)
{
    char text[400], cut[EVERT__SHOWN];
    (void)state;
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    const char *shown = evert__address_shown(text, cut);
    assert_int_equal(strlen(shown), EVERT__SHOWN - 1);
    assert_string_equal(shown + strlen(shown) - 4, "a...");
    text[EVERT__SHOWN - 1] = '\0';
    assert_ptr_equal(evert__address_shown(text, cut), text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_addresses_are_taken_apart),
        cmocka_unit_test(test_bad_addresses_are_refused),
        cmocka_unit_test(test_long_names_are_refused_and_not_cut),
        cmocka_unit_test(test_a_path_has_107_bytes_at_the_most),
        cmocka_unit_test(test_names_are_told_from_numbers),
        cmocka_unit_test(test_words_of_an_address_are_an_address),
        cmocka_unit_test(test_words_of_sockets_without_a_name),
        cmocka_unit_test(test_long_addresses_are_cut_in_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
