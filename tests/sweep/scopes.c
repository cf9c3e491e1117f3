/* SPDX-License-Identifier: MIT */
/* Tasks and scopes: deadlines, cancels, shields, joins, coroutine objects, and very many tasks. */
#include "scenarios.h"

static int wait_for_ever(void *count)
{
    int rc = evert_sleep_until(EVERT_NEVER);
    if (count != NULL)
        ++*(int *)count;
    return rc;
}

static int fail(void *unused)
{
    (void)unused;
    evert_yield();
    return -EDOM;
}

/* A deadline cuts whatever waits inside, and holds without memory, too. */
static int meet_deadline(void)
{
    evert_scope outer, inner;
    int cut = 0;
    evert_scope_enter(&outer, evert_after(60 * EVERT_SECOND));
    evert_scope_enter(&inner, EVERT_NEVER);
    evert_scope_set_deadline(&inner, evert_after(2 * EVERT_MILLISECOND));
    int rc = evert_spawn(&inner, wait_for_ever, &cut);
    if (rc == 0)
        CHECK(evert_sleep(60 * EVERT_SECOND) == -ECANCELED);
    int spawned = rc;
    rc = evert_scope_leave(&inner, rc);
    CHECK(spawned < 0 ? rc == spawned : rc == -ETIMEDOUT && cut == 1);
    rc = evert_scope_leave(&outer, spawned);
    CHECK(rc == spawned);
    return rc;
}

/* A shield keeps a cancel away from the last steps. */
static int say_farewell(void)
{
    evert_scope scope, shield;
    evert_scope_enter(&scope, EVERT_NEVER);
    evert_scope_cancel(&scope);
    CHECK(evert_yield() == -ECANCELED);
    evert_shield_enter(&shield, evert_after(60 * EVERT_SECOND));
    CHECK(evert_sleep(EVERT_MILLISECOND) == 0);
    CHECK(evert_scope_leave(&shield, 0) == 0);
    CHECK(evert_yield() == -ECANCELED);
    int rc = evert_scope_leave(&scope, 0);
    CHECK(rc == 0);
    return rc;
}

/* The first failure cancels the others, and is what leaving comes to. */
static int fail_together(void)
{
    evert_scope scope;
    int cut = 0;
    evert_scope_enter(&scope, EVERT_NEVER);
    int rc = evert_spawn(&scope, wait_for_ever, &cut);
    if (rc == 0)
        rc = evert_spawn(&scope, fail, NULL);
    int spawned = rc;
    rc = evert_scope_leave(&scope, rc);
    CHECK(rc == (spawned < 0 ? spawned : -EDOM));
    if (spawned == 0)
        CHECK(cut == 1 && evert_scope_failures(&scope) == 1);
    return spawned;
}

static int join_and_cancel(void)
{
    evert_scope scope;
    evert_task *failing, *waiting;
    evert_spawn_options options = evert_spawn_defaults();
    evert_scope_enter(&scope, EVERT_NEVER);
    evert_scope_keep_going(&scope);
    options.stack = 64 * 1024;
    options.ret_task = &failing;
    int rc = evert_spawn_with(&scope, &options, fail, NULL);
    if (rc == 0) {
        options.ret_task = &waiting;
        rc = evert_spawn_with(&scope, &options, wait_for_ever, NULL);
    }
    if (rc == 0) {
        CHECK(evert_task_join(failing) == -EDOM);
        evert_task_cancel(waiting);
        CHECK(evert_task_join(waiting) == -ECANCELED);
    }
    int spawned = rc;
    rc = evert_scope_leave(&scope, rc);
    CHECK(rc == spawned);
    return rc;
}

static int add_one(void *count)
{
    ++*(int *)count;
    return evert_yield();
}

static int use_objects(void)
{
    evert_coro *awaited = NULL, *spawned = NULL;
    evert_scope scope;
    int count = 0;
    int rc = evert_coro_new(&awaited, add_one, &count);
    if (rc == 0)
        rc = evert_coro_new(&spawned, add_one, &count);
    if (rc < 0) {
        evert_coro_free(awaited);
        return rc;
    }
    CHECK(count == 0);
    evert_scope_enter(&scope, EVERT_NEVER);
    rc = evert_spawn_coro(&scope, spawned);
    rc = first_error(evert_coro_await(awaited), rc);
    return evert_scope_leave(&scope, rc);
}

static int run_scopes(void *unused)
{
    static int (*const steps[])(void) = {meet_deadline, say_farewell, fail_together,
                                         join_and_cancel, use_objects};
    int rc = 0;
    (void)unused;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && rc == 0; i++)
        rc = steps[i]();
    return rc;
}

static int scopes_run(void)
{
    return evert_run(run_scopes, NULL);
}

const struct scenario scopes_scenario = {.name = "scopes", .run = scopes_run};

/* ---- More tasks at once than stacks are kept warm, and then their trimming ---- */

enum { CROWD = 300 };

static int run_crowd(void *unused)
{
    evert_scope scope;
    int count = 0, rc = 0;
    (void)unused;
    evert_scope_enter(&scope, EVERT_NEVER);
    for (int i = 0; i < CROWD && rc == 0; i++)
        rc = evert_spawn(&scope, add_one, &count);
    rc = evert_scope_leave(&scope, rc);
    CHECK(rc < 0 || count == CROWD);
    return rc < 0 ? rc : evert_sleep(130 * EVERT_MILLISECOND);
}

static int crowd_run(void)
{
    return evert_run(run_crowd, NULL);
}

const struct scenario crowd_scenario = {.name = "crowd", .run = crowd_run, .slow = true};

/* ---- Stacks whose guards mprotect(2) has to make ---- */

static int run_guards(void *unused)
{
    evert_scope scope;
    evert_spawn_options options = evert_spawn_defaults();
    int count = 0;
    (void)unused;
    options.stack = 1 << 20;
    evert_scope_enter(&scope, EVERT_NEVER);
    int rc = evert_spawn_with(&scope, &options, add_one, &count);
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = evert_spawn(&scope, add_one, &count);
    return evert_scope_leave(&scope, rc);
}

static int guards_run(void)
{
    return evert_run(run_guards, NULL);
}

const struct scenario guards_scenario = {.name = "guards", .run = guards_run, .no_advice = true};
