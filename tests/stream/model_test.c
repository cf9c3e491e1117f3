/* SPDX-License-Identifier: MIT */
/*
 * Scopes by chance: random trees of tasks in scopes, which wait in every way there is, are
 * cancelled from everywhere, have deadlines that move, fail, swallow and clean up, against a simple
 * model of what the rules C3 to C8 say (model.h). Each wait and each leaving has to come to what
 * the model says; nobody may be left waiting for what has come, or for nothing at all; no byte is
 * lost; and at the end of each tree there is nothing left.
 */
#include "model_deeds.h"

enum {
    STEPS = 200000,
    STEPS_OF_TREE = 1000,
    DEPTH = 5,    /* of scopes and coroutines in one task */
    PATIENT = 24, /* turns without anything, until time jumps: more than the adverse ones need */
};

/* What it waits for has come, so that it must go on. */
static bool must_go_on(const struct m_wait *wait)
{
    switch (wait->kind) {
    case M_RUNS:
        return false;
    case M_LEAVE:
        return wait->scope->live == 0;
    case M_READ:
    case M_WRITE:
        return wait->cut || end_is_done(wait);
    default:
        return wait->cut || wait->done || m_may_be_done(wait);
    }
}

/* ---- What tasks do ---- */

static int sleep_some(struct member *m)
{
    evert_time when = world.now + draw(400000);
    if (chance(12))
        when = EVERT_NEVER;
    begin_wait(m, (struct m_wait){.kind = M_SLEEP, .when = when});
    int rc = end_wait(m, evert_sleep_until(when));
    assert_true(rc < 0 || world.now >= when);
    return rc;
}

static int yield_some(struct member *m)
{
    begin_wait(m, (struct m_wait){.kind = M_YIELD});
    return end_wait(m, chance(2) ? evert_yield() : evert_sleep(-(evert_time)draw(2)));
}

/* The handle of a task that has ended is used up by the call, of one that runs when it ends. */
static int join(struct member *m)
{
    struct handle *h = any_of(&world.handles);
    if (h == NULL)
        return 0;
    evert_task *task = h->task;
    begin_wait(m, (struct m_wait){.kind = M_JOIN, .handle = &h->says});
    if (m->says.wait.done && h->says.joiner == NULL)
        drop_handle(h);
    int rc = end_wait(m, evert_task_join(task));
    return rc == -ECANCELED ? rc : 0;
}

static int awaited(void *arg)
{
    struct member *m = arg;
    return m->awaited = act_some(m);
}

/* A coroutine object is run in the middle of the task, or never. */
static int use_coroutine(struct member *m)
{
    evert_coro *coro;
    check_rc(evert_coro_new(&coro, awaited, m), 0);
    if (m->depth >= DEPTH || chance(4)) {
        evert_coro_free(coro);
        return 0;
    }
    int rc = evert_coro_await(coro);
    check_rc(rc, m->awaited);
    return rc;
}

/* What anybody may do, callbacks too. */
static void meddle(void)
{
    struct record *r = any_of(&world.records);
    struct handle *h = any_of(&world.handles);
    struct item *item = any_of(&world.items);
    switch (draw(8)) {
    case 0:
        if (r != NULL && chance(2))
            cancel_record(r);
        break;
    case 1:
        if (h != NULL)
            cancel_task(h);
        break;
    case 2:
        if (r != NULL && chance(3))
            move_deadline(r);
        break;
    case 3:
        if (item != NULL && chance(6))
            cancel_item(item);
        break;
    case 4:
    case 5:
        if (item != NULL)
            fire_item(item);
        break;
    case 6:
        if (r != NULL && may_spawn() && chance(4))
            open_item_of_coroutine(r);
        break;
    default:
        if (r != NULL)
            spawn_into(r);
    }
}

static void open_something(struct member *m)
{
    struct record *r = record_of(m->says.innermost);
    if (r == NULL || world.items.count == MOST)
        return;
    did(m, "opens something", m->depth);
    if (chance(2))
        open_pair(r);
    else if (chance(3) && may_spawn())
        open_item_of_coroutine(r);
    else
        open_item(r);
}

/* An error is one that the body comes to. */
static int act(struct member *m)
{
    struct record *r = record_of(m->says.innermost);
    uint32_t what = draw(100);
    if (what < 1)
        return draw_failure();
    if (what < 3)
        world.now += draw(50000); /* it takes its time */
    else if (what < 13)
        meddle();
    else if (what < 17)
        open_something(m);
    else if (what < 30 && r != NULL)
        spawn_into(r);
    else if (what < 37)
        return yield_some(m);
    else if (what < 44)
        return sleep_some(m);
    else if (what < 51)
        return await_item(m);
    else if (what < 57)
        return join(m);
    else if (what < 60)
        return use_coroutine(m);
    else if (what < 70)
        return m->depth < DEPTH ? live(m) : 0;
    else
        return use_pair(m);
    return 0;
}

/* A body: does a few things, until one fails; or swallows that. */
static int act_some(struct member *m)
{
    int rc = 0;
    m->depth++;
    for (uint32_t i = draw(14); i > 0 && rc >= 0 && !world.draining; i--) {
        rc = act(m);
        if (rc < 0 && chance(4))
            rc = 0;
    }
    m->depth--;
    return rc >= 0 && chance(4) ? (int)draw(3) : rc;
}

/* ---- Scopes ---- */

static void open_record(struct member *m, struct record *r)
{
    bool shield = chance(5);
    evert_time deadline = shield ? evert_after(1 + draw(3000000)) : draw_deadline();
    memset(&r->came, 0, sizeof(r->came));
    evert__list_init(&r->pairs);
    evert__list_init(&r->items);
    evert__list_init(&r->handles);
    m_enter(&r->says, &m->says, shield);
    did(m, shield ? "shields" : "enters", m->depth);
    follow_deadline(r, deadline);
    if (shield)
        evert_shield_enter(&r->scope, deadline);
    else
        evert_scope_enter(&r->scope, deadline);
    r->says.keep_going = chance(5);
    if (r->says.keep_going)
        evert_scope_keep_going(&r->scope);
    table_add(&world.records, &r->row);
}

static void check_failures(const struct record *r)
{
    if (r->says.failures > world.most_failures)
        world.most_failures = r->says.failures;
    assert_int_equal(r->says.live, 0);
    assert_int_equal(evert_scope_failures(&r->scope), r->says.failures);
    for (unsigned i = 0; i < r->says.failures + 1; i++) {
        int rc = i < M_FAILURES_KEPT ? r->says.failed[i] : 0;
        check_rc(evert_scope_failure(&r->scope, i), i < r->says.failures ? rc : 0);
    }
}

static void count_leaving(int rc)
{
    world.leaves[rc >= 0 ? 0 : rc == -ECANCELED ? 1 : rc == -ETIMEDOUT ? 2 : 3]++;
}

/* What the scope's were can be used by nobody any more. */
static void end_what_it_has(struct record *r)
{
    while (!evert__list_empty(&r->handles))
        drop_handle(EVERT__CONTAINER(r->handles.next, struct handle, link));
    while (!evert__list_empty(&r->items))
        close_item(EVERT__CONTAINER(r->items.next, struct item, link));
    while (!evert__list_empty(&r->pairs))
        end_pair(EVERT__CONTAINER(r->pairs.next, struct pair, link));
}

static int close_record(struct member *m, struct record *r, int rc)
{
    did(m, "leaves with", rc);
    m_leave_begin(&r->says, rc);
    begin_wait(m, (struct m_wait){.kind = M_LEAVE, .scope = &r->says});
    int result = evert_scope_leave(&r->scope, rc);
    evert_handle_cancel(&r->came);
    table_remove(&world.records, &r->row);
    (void)m_wait_end(&m->says);
    world.moves++;
    note(m, "left with", result);
    check_failures(r);
    check_rc(result, m_leave_end(&r->says, rc));
    count_leaving(result);
    end_what_it_has(r);
    return result;
}

/* Enters a scope, does something in it, cleans up after a failure, and leaves it. */
static int live(struct member *m)
{
    struct record r;
    open_record(m, &r);
    if (chance(3))
        open_something(m);
    for (uint32_t i = chance(8) ? draw(16) : 0; i > 0; i--)
        spawn_into(&r);
    int rc = act_some(m);
    if (rc < 0 && chance(3))
        (void)act_some(m);
    return close_record(m, &r, rc);
}

/* ---- The ticker ---- */

static void cancel_all(void)
{
    for (unsigned i = world.records.count; i > 0; i--)
        cancel_record((struct record *)(void *)world.records.rows[i - 1]);
}

/* A task that has to go on, or NULL. */
static struct m_task *who_is_due(void)
{
    for (struct evert__link *l = m_tasks.next; l != &m_tasks; l = l->next) {
        struct m_task *task = EVERT__CONTAINER(l, struct m_task, all);
        if (must_go_on(&task->wait))
            return task;
    }
    return NULL;
}

/* Whether one has to go on. If he does not for long, though the kernel had its time, he is stuck.
 */
static bool is_one_due(void)
{
    static const struct timespec moment = {0, 100000};
    struct m_task *task = who_is_due();
    if (task == NULL && world.sure == 0)
        return false;
    if (world.idle > 8 * PATIENT)
        nanosleep(&moment, NULL);
    if (real_time() - world.idle_since > PATIENCE) {
        print_error("task %d is stuck in a wait of kind %d\n",
                    task != NULL ? member_of(task)->number : 0,
                    task != NULL ? (int)task->wait.kind : 0);
        fail();
    }
    return true;
}

/* Nothing goes on by itself: it gets later, or, where nothing waits for that, somebody meddles. */
static void jump(void)
{
    evert_time next = evert__timers_next(world.loop);
    if (world.idle < PATIENT || is_one_due())
        return;
    if (next != EVERT_NEVER) {
        world.now = next > world.now ? next : world.now;
        world.idle = 0;
        return;
    }
    if (world.records.count == 0)
        return; /* wait_for_the_rest() has an eye on what is left */
    if (!world.draining) {
        cancel_record(any_of(&world.records));
        return;
    }
    assert_true(world.idle < 10 * PATIENT); /* all is cancelled, and still they wait */
    cancel_all();
}

static void tick(void *unused)
{
    (void)unused;
    check_rc(evert_loop_call_soon(world.loop, &world.ticker, tick, NULL), 0);
    m_turn++;
    world.idle = world.moves == world.seen ? world.idle + 1 : 0;
    if (world.idle <= 1)
        world.idle_since = real_time();
    world.seen = world.moves;
    world.now += draw(20000);
    if (!world.draining && world.steps >= world.limit) {
        world.draining = true;
        cancel_all();
    } else if (!world.draining && chance(8)) {
        meddle();
    } else {
        jump();
    }
}

/* ---- Trees ---- */

/* All that is on its way comes to its end, in a few virtual moments. */
static void wait_for_the_rest(void)
{
    evert_time limit = real_time() + PATIENCE;
    while (world.members.count > 1 || !evert__list_empty(&world.loop->farewells)) {
        assert_true(real_time() < limit);
        check_rc(evert_yield(), 0);
    }
}

static int grow_tree(void *unused)
{
    struct member *root = new_member(NULL);
    (void)unused;
    world.loop = self()->loop;
    root->root = self()->root;
    memset(&world.ticker, 0, sizeof(world.ticker));
    check_rc(evert_loop_call_soon(world.loop, &world.ticker, tick, NULL), 0);
    while (!world.draining)
        (void)live(root);
    wait_for_the_rest();
    evert_handle_cancel(&world.ticker);
    m_task_end(&root->says, 0);
    table_remove(&world.members, &root->row);
    free(root);
    assert_true(evert__list_empty(&m_tasks) && world.records.count == 0);
    assert_true(world.handles.count == 0 && world.items.count == 0);
    return 0;
}

static int grow_in_blocking_mode(void)
{
    int rc = grow_tree(NULL);
    check_no_tasks(world.loop);
    evert_loop_free(world.loop);
    return rc;
}

/* One tree, with a loop of its own, which leaves nothing behind. */
static void run_tree(bool blocking)
{
    char seed[24];
    alarm(60); /* it takes far less */
    int descriptors = open_descriptors();
    long memory = allocations, stacks = world.stacks;
    world.random = world.seed;
    world.most = 4U << draw(SANITIZED ? 5 : 7);
    world.limit = world.steps + STEPS_OF_TREE;
    world.draining = false;
    world.idle = 0;
    snprintf(seed, sizeof(seed), "%" PRIu64, world.seed);
    setenv("EVERT_SEED", seed, 1); /* the adverse back end takes its own from there */
    check_rc(blocking ? grow_in_blocking_mode() : in_task(grow_tree, NULL), 0);
    assert_int_equal(open_descriptors(), descriptors);
    assert_int_equal(allocations, memory);
    assert_int_equal(world.stacks, stacks);
    world.trees++;
    world.seed++;
}

/* Fewer where each task costs a sanitizer a stack of its own; how many is said at the end. */
static long steps_to_make(void)
{
    long steps = SANITIZED ? STEPS / 4 : STEPS;
    return getenv("EVERT_LONG") != NULL ? 20 * steps : steps;
}

static void run_trees(bool blocking, long steps)
{
    world.steps = world.trees = 0;
    while (world.steps < steps)
        run_tree(blocking);
    print_message("%ld steps in %d trees: %ld tasks; %ld waits, %ld of them cancelled; scopes left "
                  "with a result %ld times, cancelled %ld, timed out %ld, failed %ld; %ld pairs of "
                  "streams, %ld bytes\n",
                  world.steps, world.trees, world.tasks, world.waits, world.cuts, world.leaves[0],
                  world.leaves[1], world.leaves[2], world.leaves[3], world.pairs, world.bytes);
    for (int i = 0; i < 4; i++)
        assert_true(world.leaves[i] > steps / 1000);
    assert_true(world.most_failures > M_FAILURES_KEPT);
}

/* C3 to C8, D16, D17, S3, S5 */
static void test_trees_of_tasks_behave_as_the_rules_say(void **state)
{
    (void)state;
    run_trees(false, steps_to_make() * 3 / 4);
}

static void test_trees_below_blocking_code_behave_as_the_rules_say(void **state)
{
    (void)state;
    run_trees(true, steps_to_make() / 4);
}

static void set_up(void)
{
    evert_loop *loop;
    const char *given = getenv("EVERT_SEED");
    world.seed = given != NULL ? strtoull(given, NULL, 0) : 1;
    world.now = 1000 * EVERT_SECOND;
    world.lines[0][0] = '\0';
    evert__list_init(&m_tasks);
    make_pattern_of_pairs();
    signal(SIGABRT, tell_where);
    signal(SIGALRM, tell_where);
    evert_set_allocator(&counting);
    evert__sys_set_hook(answer_clock);
    evert_log_set_sink(keep_last, NULL);
    check_rc(evert_loop_new(&loop), 0); /* the first maps what all have in common */
    evert_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees_of_tasks_behave_as_the_rules_say),
        cmocka_unit_test(test_trees_below_blocking_code_behave_as_the_rules_say),
    };
    set_up();
    print_message("seed %" PRIu64 ", %ld steps\n", world.seed, steps_to_make());
    fflush(stdout);
    return run_table(tests);
}
