/* SPDX-License-Identifier: MIT */
/*
 * What the tests of this layer share: they drive the connector, the lookup and the listener by a
 * loop of their own, without any task. The other end is a plain socket.
 */
#ifndef EVERT_TESTS_NET_SUPPORT_H
#define EVERT_TESTS_NET_SUPPORT_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../loop/support.h"
#include "../support.h"

#include "base/alloc.h"
#include "net/connect.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "net/resolve.h"

#define MS EVERT_MILLISECOND

#define check_rc(call, wanted) check_rc_at((call), (wanted), #call, __FILE__, __LINE__)

static inline void check_rc_at(int rc, int wanted, const char *call, const char *file, int line)
{
    if (rc == wanted)
        return;
    print_error("%s gave %d (%s), not %d (%s)\n", call, rc, evert_error_name(rc), wanted,
                evert_error_name(wanted));
    _fail(file, line);
}

/* ---- The log ---- */

static struct {
    int count;
    char text[1024]; /* the last */
} logged;

static inline void keep_message(evert_log_level level, const char *message, void *arg)
{
    (void)level;
    (void)arg;
    logged.count++;
    snprintf(logged.text, sizeof(logged.text), "%s", message);
}

static inline void start_logging(void)
{
    memset(&logged, 0, sizeof(logged));
    evert_log_set_sink(keep_message, NULL);
}

/* ---- What the system answers ---- */

/* The next `times` of a call are answered with `result`; all of them are counted. */
static struct {
    enum evert__sys_call call;
    int64_t result;
    int times;
    atomic_int asked;
} plan;

static inline bool follow_plan(enum evert__sys_call call, const void *site, size_t *size,
                               int64_t *result)
{
    (void)site;
    (void)size;
    if (call != plan.call)
        return false;
    plan.asked++;
    if (plan.times == 0)
        return false;
    plan.times--;
    *result = plan.result;
    return true;
}

static inline void answer(enum evert__sys_call call, int64_t result, int times)
{
    plan.call = call;
    plan.result = result;
    plan.times = times;
    plan.asked = 0;
    evert__sys_set_hook(follow_plan);
}

/* ---- Folders for sockets ---- */

static char folder[64], path[108], unix_name[160];

static inline void make_folder(void)
{
    strcpy(folder, "/tmp/evert-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    snprintf(unix_name, sizeof(unix_name), "unix://%s", path);
}

static inline void remove_folder(void)
{
    assert_int_equal(rmdir(folder), 0); /* so nothing was left in it */
}

/* A plain socket that is bound to `path`, and listens there. */
static inline int unix_listener(int backlog)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(un.sun_path, path, sizeof(un.sun_path));
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

/* A plain client of `path`; -1 where it cannot connect at once. */
static inline int unix_client(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(un.sun_path, path, sizeof(un.sun_path));
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* ---- Connecting ---- */

struct attempt {
    struct evert__connector connector;
    struct evert__fd fd;
    int done; /* how often it was told */
};

static inline void attempt_done(struct evert__connector *connector)
{
    EVERT__CONTAINER(connector, struct attempt, connector)->done++;
}

/* Begins to connect. It may be over already, which counts as told. */
static inline void attempt_start(struct attempt *a, const char *address)
{
    memset(a, 0, sizeof(*a));
    a->fd.number = -1;
    a->connector.loop = loop;
    a->connector.fd = &a->fd;
    a->connector.done = attempt_done;
    if (evert__connector_start(&a->connector, address)) {
        assert_int_equal(a->done, 0);
        a->done = 1;
    }
}

/* Waits for the end, which is told once. Where it failed nothing is left open. */
static inline int attempt_end(struct attempt *a)
{
    run_until(&a->done, 1);
    turns(3);
    assert_int_equal(a->done, 1);
    if (a->connector.result < 0)
        assert_int_equal(a->fd.number, -1);
    else
        assert_true(a->fd.number >= 0);
    return a->connector.result;
}

static inline int attempt_all(struct attempt *a, const char *address)
{
    attempt_start(a, address);
    return attempt_end(a);
}

/* As many are open as before; those that were closed may be so some turns later. */
static inline void check_descriptors(int before)
{
    for (int i = 0; i < 100 && open_descriptors() != before; i++)
        turn(0);
    assert_int_equal(open_descriptors(), before);
}

static inline void attempt_close(struct attempt *a)
{
    if (a->fd.number >= 0)
        evert__fd_close(&a->fd, NULL);
}

/* Cancels it; what was told already stays, and what was not ends as cancelled (C5). */
static inline int attempt_cancel(struct attempt *a)
{
    bool told = a->done > 0;
    if (!told && evert__connector_cancel(&a->connector)) {
        assert_int_equal(a->done, 0);
        a->done = 1;
        a->connector.result = -ECANCELED;
    }
    int rc = attempt_end(a);
    assert_true(told || rc == -ECANCELED);
    return rc;
}

#endif
