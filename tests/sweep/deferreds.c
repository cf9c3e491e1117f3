/* SPDX-License-Identifier: MIT */
/*
 * Deferreds: the examples' client, in callbacks and awaited, against the examples' server; chains,
 * fan-outs, timeouts; and coroutines made Deferreds.
 */
#include "scenarios.h"

#include <stdio.h>

#include "../../examples/greeting/asker.h"
#include "../../examples/many/many.h"

enum { ASKERS = 3 };

static struct asker askers[ASKERS];
static const char *const names[ASKERS] = {"Ada", "Bob", "Cleo"};

static void check_greeting(const struct asker *a)
{
    char wanted[40];
    snprintf(wanted, sizeof(wanted), "Hello, %s!", a->name);
    CHECK(strcmp(a->greeting, wanted) == 0);
}

/* Connects, asks, and awaits each of these. */
static int ask(void *arg)
{
    struct asker *a = arg;
    evert_deferred *connected, *answer;
    const char *address = a->greeting; /* where it stands until the greeting comes */
    int rc = evert_connect_protocol(&connected, NULL, address, &a->lines.protocol);
    if (rc < 0)
        return rc;
    rc = evert_await(connected).error;
    evert_deferred_free(connected);
    if (rc < 0)
        return rc;
    evert_transport_set_close_limit(a->lines.protocol.transport, CLOSE_LIMIT);
    rc = asker_ask(a, &answer);
    if (rc < 0) {
        evert_transport_abort_connection(a->lines.protocol.transport);
        return rc;
    }
    rc = evert_await(answer).error;
    evert_deferred_free(answer);
    if (rc == 0)
        check_greeting(a);
    return rc;
}

/* As a scope's tasks. */
static int ask_in_tasks(const char *address)
{
    evert_scope scope;
    int rc = 0;
    evert_scope_enter(&scope, EVERT_NEVER);
    for (int i = 0; i < ASKERS && rc == 0; i++) {
        asker_init(&askers[i], names[i]);
        snprintf(askers[i].greeting, sizeof(askers[i].greeting), "%s", address);
        rc = evert_spawn(&scope, ask, &askers[i]);
    }
    return evert_scope_leave(&scope, rc);
}

static void count_destroyed(void *destroyed)
{
    ++*(int *)destroyed;
}

static evert_result count(evert_result *in, void *arg)
{
    ++*(int *)arg;
    return *in;
}

static evert_result recover(evert_result *in, void *arg)
{
    (void)in;
    ++*(int *)arg;
    return evert_ok(NULL);
}

/* A value goes through a chain, and is destroyed once, whatever fails. */
static int chain(void)
{
    evert_deferred *d;
    int destroyed = 0, called = 0;
    int rc = evert_deferred_new(&d);
    if (rc < 0)
        return rc;
    rc = evert_deferred_add_callback(d, count, &called);
    if (rc == 0)
        rc = evert_deferred_add_errback(d, recover, &called);
    if (rc == 0)
        rc = evert_deferred_add_both(d, count, &called);
    CHECK(evert_deferred_callback(d, &destroyed, count_destroyed) == 0);
    if (rc == 0) {
        CHECK(called == 2);
        CHECK(evert_await(d).value == &destroyed);
    }
    evert_deferred_free(d);
    CHECK(destroyed == 1);
    return rc;
}

static int fan_out(void)
{
    evert_deferred *source, *branches[2] = {NULL, NULL};
    evert_fan_out *fan = NULL;
    int destroyed = 0;
    int rc = evert_deferred_new(&source);
    if (rc < 0)
        return rc;
    CHECK(evert_deferred_callback(source, &destroyed, count_destroyed) == 0);
    rc = evert_fan_out_new(&fan, source); /* takes it, in any case */
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = evert_fan_out_branch(fan, &branches[i]);
    for (int i = 0; i < 2 && rc == 0; i++)
        CHECK(evert_await(branches[i]).value == &destroyed);
    evert_deferred_free(branches[0]);
    evert_deferred_free(branches[1]);
    evert_fan_out_free(fan);
    CHECK(destroyed == 1);
    return rc;
}

static int time_out(void)
{
    evert_deferred *d;
    int rc = evert_deferred_new(&d);
    if (rc < 0)
        return rc;
    rc = evert_deferred_timeout(d, NULL, evert_after(EVERT_MILLISECOND));
    if (rc == 0)
        CHECK(evert_await(d).error == -ETIMEDOUT);
    evert_deferred_free(d);
    return rc;
}

static int sleep_long(void *unused)
{
    (void)unused;
    return evert_sleep(60 * EVERT_SECOND);
}

static int sleep_a_little(void *unused)
{
    (void)unused;
    return evert_sleep(EVERT_MILLISECOND);
}

/* One coroutine that ends by itself, and one that is cancelled. */
static int from_coroutines(void)
{
    evert_coro *coro;
    evert_deferred *d;
    int rc = evert_coro_new(&coro, sleep_a_little, NULL);
    if (rc == 0)
        rc = evert_deferred_from(&d, NULL, coro);
    if (rc < 0)
        return rc;
    CHECK(evert_await_take(d).error == 0);
    evert_deferred_free(d);
    rc = evert_coro_new(&coro, sleep_long, NULL);
    if (rc == 0)
        rc = evert_deferred_from(&d, NULL, coro);
    if (rc < 0)
        return rc;
    evert_deferred_cancel(d);
    CHECK(evert_await(d).error == -ECANCELED);
    evert_deferred_free(d);
    return 0;
}

static int run_deferreds(void *unused)
{
    evert_listener *listener;
    (void)unused;
    int rc = evert_listen_protocol(&listener, NULL, ANY_PORT, &greeting);
    if (rc < 0)
        return rc;
    rc = ask_in_tasks(evert_listener_address(listener));
    evert_listener_close(listener);
    if (rc == 0)
        rc = chain();
    if (rc == 0)
        rc = fan_out();
    if (rc == 0)
        rc = time_out();
    return rc < 0 ? rc : from_coroutines();
}

static int deferreds_run(void)
{
    return evert_run(run_deferreds, NULL);
}

const struct scenario deferreds_scenario = {.name = "deferreds", .run = deferreds_run};
