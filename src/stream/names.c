/* SPDX-License-Identifier: MIT */
/* The addresses of a stream in words, kept with it once somebody has asked. */
#include "base/alloc.h"
#include "base/sys.h"
#include "net/endpoint.h"
#include "stream/connection.h"

struct evert__names {
    char peer[EVERT__ADDRESS_WORDS], local[EVERT__ADDRESS_WORDS];
};

static const struct evert__names *names_of(evert_stream *s)
{
    struct evert__address a = {.size = sizeof(a.storage)};
    struct sockaddr *address = (struct sockaddr *)&a.storage;

    if (s->names != NULL)
        return s->names;
    struct evert__names *names = evert__alloc_zero(sizeof(*names));
    if (names == NULL)
        return NULL;
    if (evert__sys_getpeername(s->fd.number, address, &a.size) == 0)
        evert__address_words(address, a.size, names->peer);
    a.size = sizeof(a.storage);
    if (evert__sys_getsockname(s->fd.number, address, &a.size) == 0)
        evert__address_words(address, a.size, names->local);
    return s->names = names;
}

const char *evert_peer_address(evert_stream *s)
{
    const struct evert__names *names = names_of(s);
    return names != NULL ? names->peer : "";
}

const char *evert_local_address(evert_stream *s)
{
    const struct evert__names *names = names_of(s);
    return names != NULL ? names->local : "";
}
