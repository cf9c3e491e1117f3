/* SPDX-License-Identifier: MIT */
/*
 * Addresses as people write them, tcp://host:port, unix:///path and unix://@name, and as sockets
 * take them.
 */
#ifndef EVERT_SRC_NET_ENDPOINT_H
#define EVERT_SRC_NET_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { EVERT__HOST = 254, EVERT__PATH = 108 };

/* Enough for any address in words: unix:// and a path, or tcp:// and a numeric host and port. */
enum { EVERT__ADDRESS_WORDS = 128 };

/* What messages show of an address: with "listen on " before it and the longest error behind. */
enum { EVERT__SHOWN = 69 };

enum evert__endpoint_kind { EVERT__ENDPOINT_TCP, EVERT__ENDPOINT_UNIX };

struct evert__endpoint {
    enum evert__endpoint_kind kind;
    uint16_t port;
    char host[EVERT__HOST]; /* without brackets; empty for every address of this machine */
    char path[EVERT__PATH];
};

/* An address for a socket. */
struct evert__address {
    socklen_t size;
    struct sockaddr_storage storage;
};

/* EVERT_EADDRESS, or -ENAMETOOLONG for a path that does not fit into a socket's address. */
int evert__endpoint_parse(const char *text, struct evert__endpoint *ret);

/* The address of an endpoint that needs no lookup: a path, or a numeric host. False for a name. */
bool evert__endpoint_numeric(const struct evert__endpoint *endpoint, struct evert__address *ret);

/* An address in words, as evert_connect() takes it; empty for a family that it does not know. */
void evert__address_words(const struct sockaddr *address, socklen_t size,
                          char words[EVERT__ADDRESS_WORDS]);

/* An address for a message: cut where it would leave no room for the reason. May return `cut`. */
const char *evert__address_shown(const char *address, char cut[EVERT__SHOWN]);

#endif
