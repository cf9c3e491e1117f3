/* SPDX-License-Identifier: MIT */
#include "net/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include <evert/base/error.h>

#include "base/format.h"

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == EVERT__PATH, "sun_path");

/* A path, or a name without a file (unix(7), abstract), whose first byte, a NUL, is written @. */
static int parse_unix(const char *path, struct evert__endpoint *ret)
{
    size_t size = strlen(path);
    if (*path != '/' && (*path != '@' || size == 1))
        return EVERT_EADDRESS;
    if (size >= EVERT__PATH)
        return -ENAMETOOLONG;
    ret->kind = EVERT__ENDPOINT_UNIX;
    memcpy(ret->path, path, size + 1);
    return 0;
}

static int parse_port(const char *text, uint16_t *ret)
{
    unsigned long port = 0;
    if (*text == '\0' || strlen(text) > 5)
        return EVERT_EADDRESS;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return EVERT_EADDRESS;
        port = port * 10 + (unsigned long)(*text - '0');
    }
    if (port > UINT16_MAX)
        return EVERT_EADDRESS;
    *ret = (uint16_t)port;
    return 0;
}

/* host:port, where an IPv6 host stands in brackets, since it has colons of its own. */
static int parse_tcp(const char *text, struct evert__endpoint *ret)
{
    const char *colon = strrchr(text, ':'), *host = text;
    if (colon == NULL)
        return EVERT_EADDRESS;
    size_t size = (size_t)(colon - text);
    if (*host == '[') {
        if (size < 2 || text[size - 1] != ']')
            return EVERT_EADDRESS;
        host++;
        size -= 2;
        if (memchr(host, ':', size) == NULL)
            return EVERT_EADDRESS;
    } else if (memchr(text, ':', size) != NULL) {
        return EVERT_EADDRESS;
    }
    if (size >= EVERT__HOST || memchr(host, '/', size) != NULL)
        return EVERT_EADDRESS;
    if (size == 1 && *host == '*')
        size = 0;
    int rc = parse_port(colon + 1, &ret->port);
    if (rc < 0)
        return rc;
    ret->kind = EVERT__ENDPOINT_TCP;
    memcpy(ret->host, host, size);
    ret->host[size] = '\0';
    return 0;
}

int evert__endpoint_parse(const char *text, struct evert__endpoint *ret)
{
    if (strncmp(text, "tcp://", 6) == 0)
        return parse_tcp(text + 6, ret);
    if (strncmp(text, "unix://", 7) == 0)
        return parse_unix(text + 7, ret);
    return EVERT_EADDRESS;
}

bool evert__endpoint_numeric(const struct evert__endpoint *endpoint, struct evert__address *ret)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret->storage;
    struct sockaddr_in *in = (struct sockaddr_in *)&ret->storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->storage;

    memset(ret, 0, sizeof(*ret));
    if (endpoint->kind == EVERT__ENDPOINT_UNIX) {
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, endpoint->path, sizeof(un->sun_path));
        ret->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(un->sun_path));
        if (un->sun_path[0] == '@')
            un->sun_path[0] = '\0'; /* the length says where it ends */
        else
            ret->size++;
        return true;
    }
    if (inet_pton(AF_INET, endpoint->host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(endpoint->port);
        ret->size = sizeof(*in);
        return true;
    }
    if (inet_pton(AF_INET6, endpoint->host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(endpoint->port);
        ret->size = sizeof(*in6);
        return true;
    }
    return false;
}

static void unix_words(const struct sockaddr_un *un, socklen_t size, char *words)
{
    size_t length = size > offsetof(struct sockaddr_un, sun_path)
                        ? size - offsetof(struct sockaddr_un, sun_path)
                        : 0;
    bool is_abstract = length > 0 && un->sun_path[0] == '\0';
    evert__format_string(words, EVERT__ADDRESS_WORDS, "unix://%s%.*s", is_abstract ? "@" : "",
                         (int)length - is_abstract, un->sun_path + is_abstract);
}

void evert__address_words(const struct sockaddr *address, socklen_t size,
                          char words[EVERT__ADDRESS_WORDS])
{
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;

    words[0] = '\0';
    if (address->sa_family == AF_UNIX) {
        unix_words((const struct sockaddr_un *)(const void *)address, size, words);
    } else if (address->sa_family == AF_INET) {
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        evert__format_string(words, EVERT__ADDRESS_WORDS, "tcp://%s:%u", host,
                             (unsigned)ntohs(in->sin_port));
    } else if (address->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        evert__format_string(words, EVERT__ADDRESS_WORDS, "tcp://[%s]:%u", host,
                             (unsigned)ntohs(in6->sin6_port));
    }
}

const char *evert__address_shown(const char *address, char cut[EVERT__SHOWN])
{
    if (strlen(address) < EVERT__SHOWN)
        return address;
    evert__format_string(cut, EVERT__SHOWN, "%.*s...", EVERT__SHOWN - 4, address);
    return cut;
}
