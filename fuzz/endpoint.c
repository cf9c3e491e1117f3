/* SPDX-License-Identifier: MIT */
/*
 * Addresses as people write them, against a grammar written a second time as regular expressions;
 * and socket addresses in words, which have to be read back as what they were.
 *
 * The input: a byte that says which of the two; then the text, or a family, a size and the address.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <regex.h>
#include <sys/un.h>

#include "net/endpoint.h"

#include "input.h"

enum { MOST = 600, FILL = 0xa5 };

static bool matches(const char *text, regmatch_t *groups, const char *expression)
{
    static struct {
        const char *expression;
        regex_t compiled;
    } known[4];
    size_t i = 0;
    while (i < COUNT_OF(known) && known[i].expression != NULL && known[i].expression != expression)
        i++;
    expect(i < COUNT_OF(known), "too many expressions");
    if (known[i].expression == NULL) {
        known[i].expression = expression;
        expect(regcomp(&known[i].compiled, expression, REG_EXTENDED) == 0, "%s", expression);
    }
    return regexec(&known[i].compiled, text, 3, groups, 0) == 0;
}

static size_t length_of(regmatch_t group)
{
    return (size_t)(group.rm_eo - group.rm_so);
}

/* What the grammar says of tcp://host:port. */
static bool is_tcp(const char *text, regmatch_t *groups)
{
    static const char plain[] = "^tcp://(|[^:/[][^:/]*):([0-9]{1,5})$";
    static const char bracketed[] = "^tcp://\\[([^/]*:[^/]*)\\]:([0-9]{1,5})$";
    if (!matches(text, groups, plain) && !matches(text, groups, bracketed))
        return false;
    return length_of(groups[1]) < EVERT__HOST && atoi(text + groups[2].rm_so) <= UINT16_MAX;
}

static void check_tcp(const char *text, const regmatch_t *groups, const struct evert__endpoint *e)
{
    const char *host = text + groups[1].rm_so;
    size_t size = length_of(groups[1]);
    if (size == 1 && *host == '*')
        size = 0;
    expect(e->kind == EVERT__ENDPOINT_TCP, "%s", text);
    expect(strlen(e->host) == size && memcmp(e->host, host, size) == 0, "%s", text);
    expect(e->port == atoi(text + groups[2].rm_so), "%s", text);
}

static int expected(const char *text, regmatch_t *groups)
{
    if (is_tcp(text, groups))
        return 0;
    if (!matches(text, groups, "^unix://(/.*|@.+)$"))
        return EVERT_EADDRESS;
    return length_of(groups[1]) < EVERT__PATH ? 0 : -ENAMETOOLONG;
}

/* Where it has a socket address at once: in words that is the same address. */
static void check_words(const char *text, const struct evert__endpoint *e)
{
    struct evert__address address, again;
    struct evert__endpoint read;
    char words[EVERT__ADDRESS_WORDS];

    if (!evert__endpoint_numeric(e, &address))
        return;
    expect(address.size <= sizeof(address.storage), "%s", text);
    evert__address_words((struct sockaddr *)&address.storage, address.size, words);
    expect(evert__endpoint_parse(words, &read) == 0, "%s as %s", text, words);
    expect(evert__endpoint_numeric(&read, &again), "%s as %s", text, words);
    expect(again.size == address.size, "%s as %s", text, words);
    expect(memcmp(&again.storage, &address.storage, address.size) == 0, "%s as %s", text, words);
}

static void check_text(struct input *in)
{
    char *text = take_string(in, MOST), cut[EVERT__SHOWN];
    struct evert__endpoint e, untouched;
    regmatch_t groups[3];

    memset(&e, FILL, sizeof(e));
    memset(&untouched, FILL, sizeof(untouched));
    int rc = evert__endpoint_parse(text, &e), wanted = expected(text, groups);
    expect(rc == wanted, "%s: %s, not %s", text, evert_error_name(rc), evert_error_name(wanted));
    if (rc < 0) {
        expect(memcmp(&e, &untouched, sizeof(e)) == 0, "%s", text);
    } else if (text[0] == 't') {
        check_tcp(text, groups, &e);
        check_words(text, &e);
    } else {
        expect(e.kind == EVERT__ENDPOINT_UNIX, "%s", text);
        expect(strcmp(e.path, text + strlen("unix://")) == 0, "%s", text);
        check_words(text, &e);
    }
    const char *shown = evert__address_shown(text, cut);
    expect(strlen(shown) < EVERT__SHOWN, "%s", text);
    free(text);
}

/* An address such as a system may give. */
static void check_address(struct input *in)
{
    static const sa_family_t families[] = {AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, AF_PACKET};
    union {
        struct sockaddr any;
        struct sockaddr_un un; /* the largest of them */
        char bytes[sizeof(struct sockaddr_un)];
    } address = {0};
    char words[EVERT__ADDRESS_WORDS];

    sa_family_t family = families[take_byte(in) % COUNT_OF(families)];
    size_t size = take_byte(in) % (sizeof(address) + 1);
    struct input bytes = take_part(in, sizeof(address));
    if (left(&bytes) > 0)
        memcpy(address.bytes, bytes.at, left(&bytes));
    address.any.sa_family = family;
    memset(words, FILL, sizeof(words));
    evert__address_words(&address.any, (socklen_t)size, words);
    expect(memchr(words, '\0', sizeof(words)) != NULL, "%.*s", (int)sizeof(words), words);
    if (family == AF_INET || family == AF_INET6)
        expect(strncmp(words, "tcp://", 6) == 0, "%s", words);
    else if (family == AF_UNIX)
        expect(strncmp(words, "unix://", 7) == 0, "%s", words);
    else
        expect(*words == '\0', "%s", words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    if (take_byte(&in) % 4 == 1)
        check_address(&in);
    else
        check_text(&in);
    return 0;
}
