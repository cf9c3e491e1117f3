/* SPDX-License-Identifier: MIT */
#include "net/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

#include <evert/base/error.h>

#include "base/alloc.h"
#include "base/format.h"
#include "base/sys.h"
#include "loop/worker.h"

enum { THREADS = 4, MOST_ADDRESSES = 16 };

struct evert__name {
    struct evert__job job;
    struct evert__lookup *lookup; /* NULL when it is not waited for */
    struct evert__endpoint endpoint;
    bool passive;
    int result;
    struct evert__addresses *addresses;
};

static struct evert__addresses *new_addresses(unsigned count)
{
    struct evert__addresses *a =
        evert__alloc_zero(sizeof(*a) + count * sizeof(struct evert__address));
    if (a != NULL)
        a->count = count;
    return a;
}

static int copy_addresses(const struct addrinfo *found, struct evert__addresses **ret)
{
    unsigned count = 0;
    for (const struct addrinfo *i = found; i != NULL && count < MOST_ADDRESSES; i = i->ai_next)
        count++;
    if (count == 0)
        return EVERT_ENONAME;
    struct evert__addresses *a = new_addresses(count);
    if (a == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++, found = found->ai_next) {
        a->list[i].size = found->ai_addrlen;
        memcpy(&a->list[i].storage, found->ai_addr, found->ai_addrlen);
    }
    *ret = a;
    return 0;
}

static int error_of(int code)
{
    switch (code) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return EVERT_ENONAME;
    case EAI_MEMORY:
        return -ENOMEM;
    default:
        return EVERT_ERESOLVE;
    }
}

static void look_up(struct evert__job *job)
{
    struct evert__name *name = EVERT__CONTAINER(job, struct evert__name, job);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];

    hints.ai_flags = AI_NUMERICSERV | (name->passive ? AI_PASSIVE : 0);
    evert__format_string(port, sizeof(port), "%u", (unsigned)name->endpoint.port);
    int code = evert__sys_getaddrinfo(name->endpoint.host, port, &hints, &found);
    name->result = code != 0 ? error_of(code) : copy_addresses(found, &name->addresses);
    if (code == 0)
        freeaddrinfo(found);
}

static void looked_up(struct evert__job *job)
{
    struct evert__name *name = EVERT__CONTAINER(job, struct evert__name, job);
    struct evert__lookup *lookup = name->lookup;
    lookup->result = name->result;
    lookup->addresses = name->addresses;
    lookup->name = NULL;
    name->addresses = NULL;
    lookup->done(lookup);
}

static void discard(struct evert__job *job)
{
    struct evert__name *name = EVERT__CONTAINER(job, struct evert__name, job);
    evert__free(name->addresses);
    evert__free(name);
}

static int start_job(struct evert__lookup *lookup, const struct evert__endpoint *endpoint,
                     bool passive)
{
    struct evert__workers *workers;
    int rc = evert__workers_of(lookup->loop, EVERT__PART_NAMES, THREADS, &workers);
    if (rc < 0)
        return rc;
    struct evert__name *name = evert__alloc_zero(sizeof(*name));
    if (name == NULL)
        return -ENOMEM;
    name->job = (struct evert__job){.work = look_up, .done = looked_up, .discard = discard};
    name->lookup = lookup;
    name->endpoint = *endpoint;
    name->passive = passive;
    rc = evert__job_start(workers, &name->job);
    if (rc < 0)
        evert__free(name);
    else
        lookup->name = name;
    return rc;
}

/* All addresses of this machine: those of IPv6, which take IPv4 as well, or those of IPv4 alone. */
static int every_address(uint16_t port, struct evert__addresses **ret)
{
    static const char *const hosts[] = {"::", "0.0.0.0"};
    struct evert__endpoint every = {.kind = EVERT__ENDPOINT_TCP, .port = port};
    struct evert__addresses *a = new_addresses(2);
    if (a == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < 2; i++) {
        memcpy(every.host, hosts[i], strlen(hosts[i]) + 1);
        (void)evert__endpoint_numeric(&every, &a->list[i]);
    }
    *ret = a;
    return 0;
}

bool evert__lookup_start(struct evert__lookup *lookup, const struct evert__endpoint *endpoint,
                         bool passive)
{
    struct evert__address address;
    lookup->addresses = NULL;
    lookup->name = NULL;
    if (passive && endpoint->kind == EVERT__ENDPOINT_TCP && endpoint->host[0] == '\0') {
        lookup->result = every_address(endpoint->port, &lookup->addresses);
        return true;
    }
    if (!evert__endpoint_numeric(endpoint, &address)) {
        lookup->result = start_job(lookup, endpoint, passive);
        return lookup->result < 0;
    }
    lookup->addresses = new_addresses(1);
    lookup->result = lookup->addresses != NULL ? 0 : -ENOMEM;
    if (lookup->addresses != NULL)
        lookup->addresses->list[0] = address;
    return true;
}

void evert__lookup_cancel(struct evert__lookup *lookup)
{
    if (lookup->name != NULL)
        evert__job_abandon(&lookup->name->job);
    lookup->name = NULL;
}
