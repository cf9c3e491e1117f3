/* SPDX-License-Identifier: MIT */
/* Threads: a server in coroutines, a client that just blocks, and calls from one to the other. */
#include "scenarios.h"

#include <stdio.h>
#include <time.h>

/* The server's thread tells where it listens, or what it failed with. */
struct server {
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool ready;
    int rc;
    char address[ADDRESS_SIZE];
    evert_loop *loop;   /* NULL when it is over */
    evert_scope *scope; /* in its thread: what it serves in, NULL when it does not */
};

static unsigned failures;

static void tell(struct server *server, int rc, const char *address, evert_loop *loop)
{
    pthread_mutex_lock(&server->lock);
    server->loop = loop;
    server->ready = true;
    server->rc = rc;
    snprintf(server->address, sizeof(server->address), "%s", address);
    pthread_cond_broadcast(&server->told);
    pthread_mutex_unlock(&server->lock);
}

static int serve(void *arg)
{
    struct server *server = arg;
    evert_listener *listener;
    evert_scope scope;
    int rc = evert_listen(&listener, ANY_PORT);
    if (rc < 0)
        return rc;
    evert_scope_enter(&scope, EVERT_NEVER);
    server->scope = &scope;
    tell(server, 0, evert_listener_address(listener), evert_loop_current());
    rc = evert_serve(listener, echo, &failures);
    server->scope = NULL;
    return evert_scope_leave(&scope, rc == -ECANCELED ? 0 : rc);
}

static void *server_thread(void *arg)
{
    struct server *server = arg;
    int rc = evert_run(serve, server);
    tell(server, rc, "", NULL);
    return NULL;
}

static void end_serving(void *arg)
{
    struct server *server = arg;
    if (server->scope != NULL)
        evert_scope_cancel(server->scope);
}

/* False: there was no memory to tell it. */
static bool try_to_stop(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    bool done =
        server->loop == NULL || evert_loop_call_threadsafe(server->loop, end_serving, server) == 0;
    pthread_mutex_unlock(&server->lock);
    return done;
}

/* Plain blocking code, each call on its own. */
static int ask(const char *address)
{
    struct flow flow = {.size = 50000};
    evert_stream *s;
    char line[100];
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(s, CLOSE_LIMIT);
    evert_printf(s, "%s %d\r\n", "a line", 1);
    rc = (int)evert_read_line_into(s, line, sizeof(line));
    if (rc >= 0)
        CHECK(strcmp(line, "a line 1") == 0);
    if (rc >= 0)
        rc = flow_write(&flow, s, 9000);
    if (rc == 0)
        rc = flow_read(&flow, s, 9000);
    if (rc == 0 && failures == 0)
        flow_over(&flow);
    rc = first_error(rc, evert_close(s));
    return rc < 0 ? rc : evert_sleep(EVERT_MILLISECOND);
}

static int ask_and_stop(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    while (!server->ready)
        pthread_cond_wait(&server->told, &server->lock);
    pthread_mutex_unlock(&server->lock);
    if (server->rc < 0)
        return server->rc;
    int rc = ask(server->address);
    while (!try_to_stop(server))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return rc;
}

static int threads_run(void)
{
    static struct server server = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                   .told = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, server_thread, &server);
    CHECK(rc == 0);
    rc = ask_and_stop(&server);
    pthread_join(thread, NULL);
    return first_error(rc, server.rc);
}

const struct scenario threads_scenario = {.name = "threads", .run = threads_run};
