/* SPDX-License-Identifier: MIT */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>

#include <evert/base/error.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/time.h"

/* How long a shortage is waited out before the next try. */
#define PAUSE (50 * EVERT_MILLISECOND)

/* So many connections in a row that are gone: that is no chance any more, and waited out, too. */
enum { GONE = 100 };

EVERT__HOT static void may_take(struct evert__source *source)
{
    struct evert_listener *l = EVERT__CONTAINER(source, struct evert_listener, source);
    l->ready(l);
}

static void pause_is_over(struct evert__ready *ready)
{
    struct evert_listener *l = EVERT__CONTAINER(ready, struct evert_listener, again.ready);
    l->ready(l);
}

static const char *path_of(const struct evert__address *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    return address->storage.ss_family == AF_UNIX ? un->sun_path : NULL;
}

/*
 * Whether there is nobody behind a socket's file: a server that died left it. Asked with a socket
 * of another type, which the kernel refuses to connect to a stream's (EPROTOTYPE) before the server
 * could see anything of it: a connection of the right type would stand in its backlog, and be
 * refused by a server that is just about to listen.
 */
static bool is_stale(const struct evert__address *address)
{
    struct stat file;
    if (evert__sys_stat(path_of(address), &file) < 0 || !S_ISSOCK(file.st_mode))
        return false;
    int number = evert__sys_socket(AF_UNIX, SOCK_DGRAM);
    if (number < 0)
        return false;
    int rc = evert__sys_connect(number, (const struct sockaddr *)&address->storage, address->size);
    evert__sys_close(number);
    return rc == -ECONNREFUSED;
}

static void set(int number, int level, int name, int value)
{
    (void)evert__sys_setsockopt(number, level, name, &value, sizeof(value));
}

static int bind_to(const evert_loop *loop, int number, const struct evert__address *address)
{
    const struct sockaddr *at = (const struct sockaddr *)&address->storage;
    if (path_of(address) == NULL) {
        set(number, SOL_SOCKET, SO_REUSEADDR, 1);
        if (loop->shares_ports)
            set(number, SOL_SOCKET, SO_REUSEPORT, 1);
        if (loop->steers)
            set(number, SOL_SOCKET, SO_INCOMING_CPU, loop->cpu);
        set(number, IPPROTO_TCP, TCP_NODELAY, 1); /* those that it accepts have it from there */
        return evert__sys_bind(number, at, address->size);
    }
    int rc = evert__sys_bind(number, at, address->size);
    if (rc == -EADDRINUSE && is_stale(address) && evert__sys_unlink(path_of(address)) == 0)
        rc = evert__sys_bind(number, at, address->size);
    return rc;
}

/* Remembers the file that bind made, so that no other one is removed in its place. */
static void remember_file(struct evert_listener *l, const char *path)
{
    struct stat file;
    if (path != NULL && evert__sys_stat(path, &file) == 0) {
        l->device = file.st_dev;
        l->inode = file.st_ino;
    }
}

static void remove_file(const struct evert_listener *l, const char *path)
{
    struct stat file;
    if (path == NULL || l->inode == 0 || evert__sys_stat(path, &file) < 0)
        return;
    if (file.st_dev == l->device && file.st_ino == l->inode)
        (void)evert__sys_unlink(path);
}

static int listen_at(struct evert_listener *l, const evert_loop *loop, int number,
                     const struct evert__address *address)
{
    struct evert__address real = {.size = sizeof(real.storage)};
    int rc = bind_to(loop, number, address);
    if (rc < 0)
        return rc;
    remember_file(l, path_of(address));
    rc = evert__sys_listen(number, INT_MAX); /* as many as the system lets: SOMAXCONN may be 128 */
    if (rc == 0)
        rc = evert__sys_getsockname(number, (struct sockaddr *)&real.storage, &real.size);
    if (rc == 0)
        evert__address_words((struct sockaddr *)&real.storage, real.size, l->address);
    return rc;
}

int evert__listener_open(struct evert_listener *l, evert_loop *loop,
                         const struct evert__address *address)
{
    int number = evert__sys_socket(address->storage.ss_family, SOCK_STREAM);
    if (number < 0)
        return number;
    l->is_tcp = path_of(address) == NULL;
    int rc = listen_at(l, loop, number, address);
    if (rc < 0) {
        remove_file(l, path_of(address));
        evert__sys_close(number);
        return rc;
    }
    l->loop = loop;
    l->again.ready.run = pause_is_over;
    l->told = INT64_MIN;
    l->reserve = evert__sys_open("/dev/null", O_RDONLY);
    evert__fd_init(&l->fd, loop, number);
    evert__source_init(&l->source, &l->fd, EVERT__SOURCE_ACCEPT, may_take);
    return 0;
}

/* Out of descriptors: the reserve is spent to tell one client, by a close, that it is so. */
static void refuse_one(struct evert_listener *l)
{
    if (l->reserve < 0)
        return;
    evert__sys_close(l->reserve);
    int number = evert__sys_accept(l->fd.number);
    if (number >= 0)
        evert__sys_close(number);
    l->reserve = evert__sys_open("/dev/null", O_RDONLY);
}

bool evert__listener_may_tell(struct evert_listener *l)
{
    return evert__loop_may_tell(l->loop, &l->told);
}

static void back_off(struct evert_listener *l, int error)
{
    if (!l->paused && (error == -EMFILE || error == -ENFILE))
        refuse_one(l);
    if (evert__listener_may_tell(l))
        evert__log(EVERT_LOG_WARNING, "accept on %s: %s; trying again until it is better",
                   l->address, evert_strerror(error));
    l->paused = true;
    evert__timer_set(l->loop, &l->again, evert_after(PAUSE));
}

enum trouble { OF_THE_CONNECTION, OF_THE_LISTENER, OF_THE_SYSTEM };

/*
 * Whom an error of accept(2) concerns. What the man page knows nothing of is taken for a shortage
 * of the system's, which is waited out: that neither spins nor ends a listener that is whole.
 */
static enum trouble trouble_of(int error)
{
    switch (error) {
    case -ECONNABORTED:
    case -EPROTO:
    case -ENETDOWN:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -EOPNOTSUPP:
    case -ENETUNREACH:
    case -ETIMEDOUT:
    case -EPERM: /* a firewall's word */
        return OF_THE_CONNECTION;
    case -EBADF:
    case -EINVAL:
    case -ENOTSOCK:
    case EVERT_ECLOSED: /* a child's copy */
        return OF_THE_LISTENER;
    default:
        return OF_THE_SYSTEM;
    }
}

EVERT__COLD int evert__listener_take_again(struct evert_listener *l, int error)
{
    for (int i = 1; i < GONE && trouble_of(error) == OF_THE_CONNECTION; i++) {
        error = (int)evert__source_take(&l->source, NULL, 0);
        if (error >= 0 || error == -EAGAIN)
            return error;
    }
    if (trouble_of(error) == OF_THE_LISTENER)
        return error;
    back_off(l, error);
    return -EAGAIN;
}

EVERT__HOT bool evert__listener_arm(struct evert_listener *l)
{
    return !evert__timer_is_set(&l->again) && evert__source_arm(&l->source);
}

EVERT__HOT void evert__listener_disarm(struct evert_listener *l)
{
    evert__source_disarm(&l->source);
}

static void closed(struct evert__fd *fd)
{
    evert__free(EVERT__CONTAINER(fd, struct evert_listener, fd));
}

static void shut(struct evert__fd *fd)
{
    EVERT__CONTAINER(fd, struct evert_listener, fd)->let_go = true; /* it is still its owner's */
}

void evert__listener_shut(struct evert_listener *l)
{
    if (l->fd.number < 0)
        return;
    evert__timer_unset(l->loop, &l->again);
    if (!evert__loop_forked(l->loop)) /* the file is the parent's */
        remove_file(l, l->is_tcp ? NULL : l->address + strlen("unix://"));
    if (l->reserve >= 0)
        evert__sys_close(l->reserve);
    evert__source_disarm(&l->source);
    evert__fd_close(&l->fd, shut);
}

void evert__listener_close(struct evert_listener *l)
{
    evert__listener_shut(l);
    if (l->let_go)
        closed(&l->fd);
    else
        l->fd.closed = closed;
}
