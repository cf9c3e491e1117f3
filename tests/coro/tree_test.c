/* SPDX-License-Identifier: MIT */
/*
 * Many tasks, deep trees of them, and random trees against a model of what leaving may return.
 */
#include "support.h"

#include "../base/seed.h"

/* 4 GiB do not hold as many stacks, and a sanitizer takes a hundred times as long for each. */
enum { MANY = SANITIZED || UINTPTR_MAX == UINT32_MAX ? 1000 : 10000 };

/* ---- Many and deep ---- */

static int sleep_and_count(void *count)
{
    int rc = evert_sleep(1 * MS);
    ++*(int *)count;
    return rc;
}

/* BR-056 */
static void test_10000_tasks_at_once(void **state)
{
    evert_scope s;
    (void)state;
    for (int round = 1; round <= 2; round++) {
        int count = 0;
        evert_scope_enter(&s, EVERT_NEVER);
        for (int i = 0; i < MANY; i++)
            check_rc(evert_spawn(&s, sleep_and_count, &count), 0);
        check_rc(evert_scope_leave(&s, 0), 0);
        assert_int_equal(count, MANY);
    }
}

/* BR-056 to the letter: the limit of mappings is 65,530. */
static void test_as_many_tasks_as_there_is_memory_for(void **state)
{
    int wanted = getenv("EVERT_LONG") != NULL && !SANITIZED ? 100000 : MANY;
    int count = 0, started = 0, rc = 0;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    while (started < wanted && (rc = evert_spawn(&s, sleep_and_count, &count)) == 0)
        started++;
    assert_true(rc == 0 || rc == -ENOMEM);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(count, started);
    while (all_tasks()->stacks.count >= (unsigned)started) /* memory is given back */
        check_rc(evert_sleep(10 * MS), 0);
}

struct chain {
    int left, cancelled;
    bool deepest;
};

static int link_of_chain(void *arg)
{
    struct chain *chain = arg;
    evert_scope s;
    int rc;
    evert_scope_enter(&s, EVERT_NEVER);
    if (--chain->left > 0) {
        rc = evert_spawn(&s, link_of_chain, chain);
    } else {
        chain->deepest = true;
        rc = evert_sleep_until(EVERT_NEVER);
    }
    rc = evert_scope_leave(&s, rc);
    chain->cancelled += rc == -ECANCELED;
    return rc;
}

struct cancel_when_deep {
    struct chain *chain;
    evert_scope *scope;
};

static int cancel_when_deep(void *arg)
{
    struct cancel_when_deep *call = arg;
    while (!call->chain->deepest)
        check_rc(evert_yield(), 0);
    evert_scope_cancel(call->scope); /* if it recursed, this little stack would overflow */
    return 0;
}

static void test_a_chain_of_10000_tasks_is_cancelled_on_a_little_stack(void **state)
{
    struct chain chain = {.left = MANY};
    evert_scope outer, s;
    struct cancel_when_deep call = {&chain, &s};
    evert_spawn_options options = evert_spawn_defaults();
    (void)state;
    options.stack = LITTLE_STACK;
    evert_scope_enter(&outer, EVERT_NEVER);
    check_rc(evert_spawn_with(&outer, &options, cancel_when_deep, &call), 0);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, link_of_chain, &chain), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(chain.cancelled, MANY);
    check_rc(evert_scope_leave(&outer, 0), 0);
}

static int fail_at_the_bottom(void *arg)
{
    struct chain *chain = arg;
    evert_scope s;
    evert_scope_enter(&s, EVERT_NEVER);
    int rc = --chain->left > 0 ? evert_spawn(&s, fail_at_the_bottom, chain) : -EPROTO;
    return evert_scope_leave(&s, rc);
}

static void test_a_failure_goes_up_a_chain_of_10000_tasks(void **state)
{
    struct chain chain = {.left = MANY};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, fail_at_the_bottom, &chain), 0);
    check_rc(evert_scope_leave(&s, 0), -EPROTO);
}

static void test_1000_nested_scopes_are_cancelled_at_once(void **state)
{
    enum { DEEP = 1000 };
    static evert_scope scopes[DEEP];
    (void)state;
    for (int i = 0; i < DEEP; i++)
        evert_scope_enter(&scopes[i], IN_A_MINUTE);
    check_rc(evert_yield(), 0);
    evert_scope_cancel(&scopes[0]);
    check_rc(evert_yield(), -ECANCELED);
    for (int i = DEEP - 1; i > 0; i--)
        check_rc(evert_scope_leave(&scopes[i], -ECANCELED), -ECANCELED);
    check_rc(evert_scope_leave(&scopes[0], -ECANCELED), 0);
}

/* ---- The model ---- */

/*
 * Tasks do random things: they wait, enter scopes and shields, spawn, fail, cancel whatever lives,
 * move deadlines. Each scope has a record beside it, from which the result of leaving it follows:
 * the first failure if there was one; else rc if nothing was cut; else what cut it. And a wait is
 * cancelled only where one of the records around it, up to the nearest shield, gives a reason.
 */
enum { RECORDS = 64, DEPTH = 5 };

struct record {
    evert_scope scope;
    struct record *parent; /* around it, in the same task */
    struct member *owner;
    evert_time earliest; /* of all deadlines that it has ever had */
    int first_failure;   /* that cancels, of the body or of a task; 0 while there is none */
    unsigned failures, live;
    bool shield, keep_going, cancelled, failing, cut_child;
};

/* A task of the model. */
struct member {
    struct model *model;
    struct evert__task *task;
    struct record *home; /* that it was spawned into; NULL for the first */
    struct record *innermost;
    int depth;
    bool cancelled; /* by its handle */
};

struct model {
    uint64_t random;
    struct record *records[RECORDS]; /* that live, and may be cancelled from anywhere */
    struct member *members[RECORDS];
    int tasks, most_tasks, waits, cuts;
};

static uint32_t draw(struct model *model, uint32_t below)
{
    return random_below(&model->random, below);
}

/* Puts `what` into the first free place of a table, or, with NULL, takes `old` out of it. */
static void put(void **table, void *old, void *what)
{
    for (int i = 0; i < RECORDS; i++) {
        if (table[i] == old) {
            table[i] = what;
            return;
        }
    }
}

/* Whether the records give a reason for a wait to be cancelled, deadlines up to `now` included. */
static bool has_reason(const struct member *member, const struct record *record, evert_time now)
{
    for (;;) {
        for (; record != NULL; record = record->parent) {
            if (record->cancelled || record->failing || record->earliest <= now)
                return true;
            if (record->shield)
                return false;
        }
        if (member->cancelled)
            return true;
        if (member->home == NULL)
            return false;
        record = member->home;
        member = record->owner;
    }
}

static bool is_cancelled(void)
{
    return evert__task_cancelled(self());
}

/* A wait has two halves, so that what is known before it can be held against what it returned. */
static bool must_be_cancelled(const struct member *member)
{
    return has_reason(member, member->innermost, INT64_MIN);
}

static int check_wait(struct member *member, bool must, int rc)
{
    member->model->waits++;
    if (rc == -ECANCELED) {
        member->model->cuts++;
        assert_true(has_reason(member, member->innermost, evert_after(0)));
        check_rc(evert_yield(), -ECANCELED); /* it persists */
    } else {
        check_rc(rc, 0);
        assert_false(must);
    }
    return rc;
}

static evert_time random_deadline(struct model *model)
{
    switch (draw(model, 10)) {
    case 0:
        return LONG_AGO;
    case 1:
        return evert_after(draw(model, 2000000));
    default:
        return EVERT_NEVER;
    }
}

static void open_record(struct member *member, struct record *record)
{
    struct model *model = member->model;
    bool shield = draw(model, 5) == 0;
    evert_time deadline = shield ? evert_after(1 + draw(model, 3000000)) : random_deadline(model);
    *record = (struct record){
        .parent = member->innermost, .owner = member, .earliest = deadline, .shield = shield};
    if (shield)
        evert_shield_enter(&record->scope, deadline);
    else
        evert_scope_enter(&record->scope, deadline);
    record->keep_going = draw(model, 6) == 0;
    if (record->keep_going)
        evert_scope_keep_going(&record->scope);
    member->innermost = record;
    put((void **)model->records, NULL, record);
}

/* What leaving with `rc` returned, against what the record says. */
static void check_left(const struct member *member, const struct record *record, int rc, bool cut,
                       int result)
{
    evert_time now = evert_after(0);
    bool outer = !record->shield && is_cancelled();
    assert_int_equal(evert_scope_failures(&record->scope), record->failures);
    assert_int_equal(record->live, 0);
    if (record->first_failure != 0)
        check_rc(result, record->first_failure);
    else if (!cut && !record->cut_child)
        check_rc(result, rc);
    else if (outer)
        check_rc(result, -ECANCELED);
    else if (result == -ETIMEDOUT)
        assert_true(record->earliest <= now);
    else
        assert_true(result == 0 && record->cancelled);
    if (outer)
        assert_true(has_reason(member, record->parent, now));
}

static int close_record(struct member *member, struct record *record, int rc)
{
    bool cut = rc == -ECANCELED && is_cancelled(); /* and not a failure */
    record->failing = record->failing || rc < 0;
    if (rc < 0 && !cut && record->first_failure == 0)
        record->first_failure = rc;
    int result = evert_scope_leave(&record->scope, rc);
    put((void **)member->model->records, record, NULL);
    member->innermost = record->parent;
    check_left(member, record, rc, cut, result);
    return result;
}

static int live(struct member *member);

static int task_of_model(void *arg)
{
    struct member member = *(struct member *)arg;
    struct model *model = member.model;
    free(arg);
    member.task = self();
    model->tasks++;
    put((void **)model->members, NULL, &member);
    int rc = live(&member);
    put((void **)model->members, &member, NULL);

    struct record *home = member.home;
    home->live--;
    if (rc == -ECANCELED && member.task->cut) {
        const struct evert__scope *scope = (const struct evert__scope *)&home->scope;
        home->cut_child = home->cut_child || scope->cancelled;
    } else if (rc < 0) {
        home->failures++;
        if (!home->keep_going) {
            home->failing = true;
            if (home->first_failure == 0)
                home->first_failure = rc;
        }
    }
    return rc;
}

static int spawn_member(struct member *member)
{
    struct model *model = member->model;
    struct record *record = member->innermost;
    if (member->depth >= DEPTH || model->tasks > model->most_tasks)
        return 0;
    struct member *child = malloc(sizeof(*child));
    assert_non_null(child);
    *child = (struct member){.model = model, .home = record, .depth = member->depth};
    record->live++;
    check_rc(evert_spawn(&record->scope, task_of_model, child), 0);
    return 0;
}

static void cancel_something(struct model *model)
{
    uint32_t i = draw(model, RECORDS);
    struct record *record = model->records[i];
    struct member *member = model->members[i];
    switch (draw(model, 3)) {
    case 0:
        if (member != NULL) {
            member->cancelled = true;
            evert_task_cancel((evert_task *)(void *)member->task);
        }
        break;
    case 1:
        if (record != NULL) {
            record->cancelled = true;
            evert_scope_cancel(&record->scope);
        }
        break;
    default:
        if (record != NULL) {
            evert_time deadline = evert_after((evert_time)draw(model, 1000000) - 100000);
            if (deadline < record->earliest)
                record->earliest = deadline;
            evert_scope_set_deadline(&record->scope, deadline);
        }
    }
}

static int act(struct member *member)
{
    struct model *model = member->model;
    bool must = must_be_cancelled(member);
    switch (draw(model, 12)) {
    case 0:
        return draw(model, 12) == 0 ? -EPROTO - (int)draw(model, 5) : 0;
    case 1:
    case 2:
        return check_wait(member, must, evert_yield());
    case 3:
    case 4:
        return check_wait(member, must, evert_sleep(draw(model, 200000)));
    case 5:
    case 6:
        cancel_something(model);
        return 0;
    case 7:
    case 8:
    case 9:
        return spawn_member(member);
    default:
        return live(member);
    }
}

/* Enters a scope, does a few things in it, and leaves it. */
static int live(struct member *member)
{
    struct model *model = member->model;
    struct record record;
    int rc = 0;
    if (member->depth >= DEPTH) {
        bool must = must_be_cancelled(member);
        return check_wait(member, must, evert_yield());
    }
    member->depth++;
    open_record(member, &record);
    for (uint32_t i = draw(model, 12); i > 0 && rc >= 0; i--) {
        rc = act(member);
        if (rc == -ECANCELED && draw(model, 4) == 0)
            rc = 0; /* swallowed */
    }
    if (rc >= 0 && draw(model, 4) == 0)
        rc = 3;
    rc = close_record(member, &record, rc);
    member->depth--;
    return rc;
}

static int model_main(void *arg)
{
    struct member member = {.model = arg};
    for (int i = 0; i < 3; i++)
        (void)live(&member);
    return 0;
}

static void test_random_trees_behave_as_the_model_says(void **state)
{
    uint64_t seed = seed_new();
    int trees = getenv("EVERT_LONG") != NULL ? 3000 : 200;
    int tasks = 0, waits = 0, cuts = 0;
    (void)state;
    print_message("EVERT_SEED=%llu repeats this\n", (unsigned long long)seed);
    fflush(stdout);
    for (int i = 0; i < trees; i++) {
        struct model model = {.random = seed + (uint64_t)i, .most_tasks = 60};
        start_logging(); /* of scopes that keep going */
        check_rc(in_task(model_main, &model), 0);
        stop_logging();
        for (int j = 0; j < RECORDS; j++)
            assert_true(model.records[j] == NULL && model.members[j] == NULL);
        tasks += model.tasks;
        waits += model.waits;
        cuts += model.cuts;
    }
    print_message("%d tasks, %d waits, %d of them cancelled\n", tasks, waits, cuts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_10000_tasks_at_once),
        everywhere(test_as_many_tasks_as_there_is_memory_for),
        everywhere(test_a_chain_of_10000_tasks_is_cancelled_on_a_little_stack),
        everywhere(test_a_failure_goes_up_a_chain_of_10000_tasks),
        everywhere(test_1000_nested_scopes_are_cancelled_at_once),
        cmocka_unit_test(test_random_trees_behave_as_the_model_says),
    };
    return run_table(tests);
}
