/* SPDX-License-Identifier: MIT */
/* Cancelling: it persists (C3), it comes at waiting calls (C4), completed work beats it (C5), and
 * shields keep it away (C7). */
#include "support.h"

/* ---- C3: it persists ---- */

static void test_waiting_calls_are_cancelled_until_the_scope_is_left(void **state)
{
    struct store store;
    evert_scope s;
    (void)state;
    store_init(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_cancel(&s);
    for (int i = 0; i < 100; i++) {
        check_rc(evert_yield(), -ECANCELED);
        check_rc(evert_sleep(0), -ECANCELED);
        check_rc(evert_sleep(-1), -ECANCELED);
        check_rc(evert_sleep(60 * EVERT_SECOND), -ECANCELED);
        check_rc(evert_sleep_until(LONG_AGO), -ECANCELED);
        check_rc(store_take(&store), -ECANCELED);
    }
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc(evert_yield(), 0);
    check_rc(evert_sleep(1), 0);
}

static void test_scopes_entered_in_a_cancelled_one_are_cancelled(void **state)
{
    evert_scope outer, inner, innermost;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_scope_cancel(&outer);
    evert_scope_enter(&inner, IN_A_MINUTE);
    evert_scope_enter(&innermost, EVERT_NEVER);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&innermost, 1), 1); /* nothing was cut */
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&inner, 0), 0);
    check_rc(evert_scope_leave(&outer, 0), 0);
}

static void test_scopes_around_a_cancelled_one_are_not_cancelled(void **state)
{
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_scope_enter(&inner, EVERT_NEVER);
    evert_scope_cancel(&inner);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&inner, -ECANCELED), 0);
    check_rc(evert_yield(), 0);
    check_rc(evert_scope_leave(&outer, 0), 0);
}

static void test_cancelling_again_changes_nothing(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_cancel(&s);
    evert_scope_cancel(&s);
    check_rc(evert_yield(), -ECANCELED);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, -ECANCELED), 0);
    evert_scope_cancel(&s); /* it was left: without effect */
    check_rc(evert_yield(), 0);
}

/* A task that takes an item, as a permit, notes its number, and gives it back. */
struct permitted {
    struct store *permits;
    evert_task *task;
    int number, *record;
    int rc;
};

static int take_permit(void *arg)
{
    struct permitted *p = arg;
    p->rc = store_take(p->permits);
    if (p->rc < 0)
        return p->rc;
    if (evert_yield() == 0) /* cancelled after it got it, it does not get to this */
        *p->record = *p->record * 10 + p->number;
    store_put(p->permits);
    return 0;
}

/*
 * C5, BR-010: whoever was chosen and is cancelled before it runs has what it was chosen for, and
 * what it gives back is the next one's; whoever was cancelled before leaves the line. The living
 * get their turn in the order in which they came.
 */
static void test_a_permit_is_never_lost_to_a_cancel(void **state)
{
    enum { WAITERS = 9 };
    (void)state;
    for (int chosen_first = 0; chosen_first < 2; chosen_first++) {
        struct permitted waiters[WAITERS];
        evert_spawn_options options = evert_spawn_defaults();
        struct store permits;
        evert_scope s;
        int record = 0;
        store_init(&permits); /* the one permit is held, by this task */
        evert_scope_enter(&s, EVERT_NEVER);
        for (int i = 0; i < WAITERS; i++) {
            waiters[i] =
                (struct permitted){.permits = &permits, .number = i + 1, .record = &record};
            options.ret_task = &waiters[i].task;
            check_rc(evert_spawn_with(&s, &options, take_permit, &waiters[i]), 0);
        }
        check_rc(evert_yield(), 0);
        if (chosen_first)
            store_put(&permits);
        for (int i = 0; i < WAITERS; i += 2) /* the first among them */
            evert_task_cancel(waiters[i].task);
        if (!chosen_first)
            store_put(&permits);
        check_rc(evert_scope_leave(&s, 0), 0);
        assert_int_equal(record, 2468);
        assert_int_equal(permits.items, 1);
        check_rc(waiters[0].rc, chosen_first ? 1 : -ECANCELED);
    }
}

struct notes {
    struct store *store;
    evert_scope *scope;
    int first, second, third;
    bool started, ended;
};

static int wait_thrice(void *arg)
{
    struct notes *notes = arg;
    notes->started = true;
    notes->first = evert_sleep_until(EVERT_NEVER);
    notes->second = evert_yield();
    notes->third = evert_sleep(60 * EVERT_SECOND);
    notes->ended = true;
    return notes->first;
}

static void test_a_cancel_reaches_waiting_tasks_and_stays(void **state)
{
    struct notes notes = {0};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_thrice, &notes), 0);
    check_rc(evert_yield(), 0);
    assert_true(notes.started);
    evert_scope_cancel(&s);
    assert_false(notes.ended); /* it is woken, but nothing of it runs inside the cancel */
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc(notes.first, -ECANCELED);
    check_rc(notes.second, -ECANCELED);
    check_rc(notes.third, -ECANCELED);
}

/* Forty cases, 33. */
static void test_cancelled_before_start_runs_to_its_first_wait(void **state)
{
    struct notes notes = {0};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, wait_thrice, &notes), 0);
    evert_scope_cancel(&s);
    assert_false(notes.started);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_true(notes.started);
    check_rc(notes.first, -ECANCELED);
}

static int free_it(void *memory)
{
    free(memory);
    return evert_yield();
}

static void test_cancelled_before_start_can_free_its_argument(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, LONG_AGO);
    check_rc(evert_spawn(&s, free_it, malloc(100)), 0); /* the leak detector sees it */
    check_rc(evert_scope_leave(&s, 0), -ETIMEDOUT);
}

static int family(void *arg)
{
    struct notes *notes = arg;
    evert_scope inner;
    evert_scope_enter(&inner, EVERT_NEVER);
    int rc = evert_spawn(&inner, wait_thrice, notes);
    return evert_scope_leave(&inner, rc);
}

static void test_a_cancel_reaches_tasks_of_tasks(void **state)
{
    struct notes notes[3] = {{0}};
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 3; i++)
        check_rc(evert_spawn(&s, family, &notes[i]), 0);
    while (!notes[2].started)
        check_rc(evert_yield(), 0);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 0), 0);
    for (int i = 0; i < 3; i++)
        check_rc(notes[i].first, -ECANCELED);
    assert_int_equal(evert_scope_failures(&s), 0);
}

static int cancel_scope(void *scope)
{
    evert_scope_cancel(scope);
    return 0;
}

static void test_a_task_may_cancel_the_scope_of_another(void **state)
{
    evert_scope outer, inner;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    check_rc(evert_spawn(&outer, cancel_scope, &inner), 0);
    evert_scope_enter(&inner, EVERT_NEVER);
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&inner, -ECANCELED), 0);
    check_rc(evert_scope_leave(&outer, 0), 0);
}

static void cancel_in_callback(void *scope)
{
    evert_scope_cancel(scope);
}

static void test_a_callback_may_cancel_a_scope(void **state)
{
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_loop_call_soon(self()->loop, NULL, cancel_in_callback, &s), 0);
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), 0);
}

/* ---- C4: where it comes ---- */

static void test_a_call_that_need_not_wait_is_cancelled_too(void **state)
{
    struct store store;
    evert_scope s;
    (void)state;
    store_init(&store);
    store_put(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_cancel(&s);
    check_rc(store_take(&store), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), 0);
    assert_int_equal(store.items, 1);
    check_rc(store_take(&store), 1);
}

static int clean_up_slowly(void *arg)
{
    struct notes *notes = arg;
    evert_scope shield;
    notes->first = evert_sleep_until(EVERT_NEVER);
    evert_shield_enter(&shield, IN_A_MINUTE);
    notes->second = evert_sleep(2 * MS);
    int rc = evert_scope_leave(&shield, notes->second);
    notes->ended = true;
    return rc < 0 ? rc : notes->first;
}

static void test_leaving_a_cancelled_scope_waits_for_its_tasks(void **state)
{
    struct notes notes = {0};
    evert_scope outer, s;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, clean_up_slowly, &notes), 0);
    check_rc(evert_yield(), 0);
    evert_scope_cancel(&outer);
    check_rc(evert_scope_leave(&s, 0), -ECANCELED);
    assert_true(notes.ended);
    check_rc(notes.second, 0);
    check_rc(evert_scope_leave(&outer, -ECANCELED), 0);
}

/* ---- C5: completed work beats what comes after it ---- */

static int take_and_note(void *arg)
{
    struct notes *notes = arg;
    notes->started = true;
    notes->first = store_take(notes->store);
    notes->second = evert_yield();
    notes->ended = true;
    return notes->first < 0 ? notes->first : notes->second;
}

/* BR-008 (b): completion and cancel in the same turn. */
static void test_an_item_that_came_before_the_cancel_is_taken(void **state)
{
    struct store store;
    struct notes notes = {.store = &store};
    evert_scope s;
    (void)state;
    store_init(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, take_and_note, &notes), 0);
    check_rc(evert_yield(), 0);
    assert_true(notes.started);
    store_put(&store);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc(notes.first, 1);
    assert_int_equal(store.items, 0);
    check_rc(notes.second, -ECANCELED); /* it was not forgotten */
}

static void test_an_item_that_came_after_the_cancel_stays(void **state)
{
    struct store store;
    struct notes notes = {.store = &store};
    evert_scope s;
    (void)state;
    store_init(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, take_and_note, &notes), 0);
    check_rc(evert_yield(), 0);
    evert_scope_cancel(&s);
    store_put(&store);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc(notes.first, -ECANCELED);
    assert_int_equal(store.items, 1);
}

static void put_in_callback(void *store)
{
    store_put(store);
}

/* Enters a scope whose deadline is still to come when this returns. */
static evert_time enter_briefly(evert_scope *scope, evert_time offset)
{
    for (;;) {
        evert_time when = evert_after(2 * MS);
        evert_scope_enter(scope, when + offset);
        if (!evert__task_cancelled(self()))
            return when;
        check_rc(evert_scope_leave(scope, 0), 0);
    }
}

/* BR-008 (c): completion and deadline in the same turn. */
static void check_put_against_deadline(bool put_first)
{
    struct store store;
    evert_scope s;
    evert_handle put = {{0}};

    store_init(&store);
    evert_time when = enter_briefly(&s, put_first ? 1 : 0);
    check_rc(evert_loop_call_at(self()->loop, &put, put_first ? when : when + 1, put_in_callback,
                                &store),
             0);
    /* Both are due when the loop looks: it is kept busy until then. */
    while (evert_after(0) <= when + 1)
        ;
    check_rc(store_take(&store), put_first ? 1 : -ECANCELED);
    if (put_first) {
        check_rc(evert_yield(), -ECANCELED);
        check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
    } else {
        check_rc(evert_scope_leave(&s, -ECANCELED), -ETIMEDOUT);
        check_rc(evert_yield(), 0);
    }
    assert_int_equal(store.items, put_first ? 0 : 1);
    assert_true(evert__list_empty(&store.takers));
}

static void test_an_item_just_before_the_deadline_is_taken(void **state)
{
    (void)state;
    check_put_against_deadline(true);
}

static void test_an_item_just_after_the_deadline_stays(void **state)
{
    (void)state;
    check_put_against_deadline(false);
}

/* BR-008 (a): complete already, cancelled before it first runs. */
static void test_a_task_cancelled_before_it_runs_takes_nothing(void **state)
{
    struct store store;
    struct notes notes = {.store = &store};
    evert_scope s;
    (void)state;
    store_init(&store);
    store_put(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, take_and_note, &notes), 0);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc(notes.first, -ECANCELED);
    assert_int_equal(store.items, 1);
}

/* BR-008 (d), and BR-009: whatever the moment, the item is taken or kept. */
static void test_items_are_never_lost_to_deadlines(void **state)
{
    struct store store;
    uint32_t random = 12345;
    int taken = 0, put = 0;
    (void)state;
    store_init(&store);
    for (int i = 0; i < 500; i++) {
        evert_handle handle = {{0}};
        evert_scope s;
        random = random * 1664525 + 1013904223;
        evert_time span = (evert_time)(random >> 16) % 50000;
        check_rc(
            evert_loop_call_at(self()->loop, &handle, evert_after(span), put_in_callback, &store),
            0);
        evert_scope_enter(&s, evert_after((evert_time)(random >> 8) % 50000));
        int rc = store_take(&store);
        taken += rc == 1;
        rc = evert_scope_leave(&s, rc);
        assert_true(rc == 1 || rc == -ETIMEDOUT);
        while (taken + store.items == put)
            check_rc(evert_yield(), 0);
        put++;
        assert_int_equal(taken + store.items, put);
        assert_true(evert__list_empty(&store.takers));
    }
}

/* ---- Shields ---- */

/* Forty cases, 37. */
static void test_a_wait_in_clean_up_is_cancelled_unless_shielded(void **state)
{
    evert_scope s, shield;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_cancel(&s);
    check_rc(evert_sleep(1 * MS), -ECANCELED);
    check_rc(evert_sleep(1 * MS), -ECANCELED);
    evert_shield_enter(&shield, IN_A_MINUTE);
    check_rc(evert_sleep(1 * MS), 0);
    check_rc(evert_scope_leave(&shield, 0), 0);
    check_rc(evert_sleep(1 * MS), -ECANCELED);
    check_rc(evert_scope_leave(&s, -ECANCELED), 0);
}

static void test_a_cancel_that_comes_while_shielded_takes_effect_after(void **state)
{
    evert_scope outer, shield;
    (void)state;
    evert_scope_enter(&outer, evert_after(1 * MS));
    evert_shield_enter(&shield, IN_A_MINUTE);
    check_rc(evert_sleep(3 * MS), 0);
    check_rc(evert_scope_leave(&shield, 0), 0);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), -ETIMEDOUT);
}

static void test_a_cancel_from_further_out_reaches_up_to_the_shield(void **state)
{
    evert_scope outer, between, shield;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_scope_enter(&between, EVERT_NEVER);
    evert_shield_enter(&shield, IN_A_MINUTE);
    evert_scope_cancel(&outer);
    check_rc(evert_yield(), 0);
    check_rc(evert_scope_leave(&shield, 0), 0);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&between, -ECANCELED), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), 0);
}

static void test_scopes_and_tasks_inside_a_shield_are_shielded(void **state)
{
    struct notes notes = {0};
    evert_scope outer, shield, inner;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_shield_enter(&shield, IN_A_MINUTE);
    evert_scope_enter(&inner, EVERT_NEVER);
    check_rc(evert_spawn(&inner, wait_thrice, &notes), 0);
    check_rc(evert_yield(), 0);
    evert_scope_cancel(&outer);
    check_rc(evert_sleep(1 * MS), 0);
    assert_false(notes.ended);
    evert_scope_cancel(&inner);
    check_rc(evert_scope_leave(&inner, 0), 0);
    assert_true(notes.ended);
    check_rc(evert_yield(), 0);
    check_rc(evert_scope_leave(&shield, 0), 0);
    check_rc(evert_scope_leave(&outer, -ECANCELED), 0);
}

static void test_a_scope_between_two_shields_is_cut_by_its_own_alone(void **state)
{
    evert_scope outer, shield, between, inner_shield;
    (void)state;
    evert_scope_enter(&outer, EVERT_NEVER);
    evert_shield_enter(&shield, IN_A_MINUTE);
    evert_scope_enter(&between, EVERT_NEVER);
    evert_shield_enter(&inner_shield, IN_A_MINUTE);

    evert_scope_cancel(&outer);
    check_rc(evert_yield(), 0);
    evert_scope_cancel(&between);
    check_rc(evert_yield(), 0);
    evert_scope_cancel(&inner_shield);
    check_rc(evert_yield(), -ECANCELED);

    check_rc(evert_scope_leave(&inner_shield, -ECANCELED), 0);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&between, -ECANCELED), 0);
    check_rc(evert_yield(), 0); /* shielded from the outer */
    check_rc(evert_scope_leave(&shield, 0), 0);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), 0);
}

static void test_a_deadline_of_an_outer_shield_waits_for_the_inner(void **state)
{
    evert_scope outer, inner;
    (void)state;
    evert_shield_enter(&outer, evert_after(1 * MS));
    evert_shield_enter(&inner, IN_A_MINUTE);
    check_rc(evert_sleep(2 * MS), 0);
    evert_scope_set_deadline(&inner, evert_after(1 * MS));
    check_rc(evert_sleep_until(EVERT_NEVER), -ECANCELED);
    check_rc(evert_scope_leave(&inner, -ECANCELED), -ETIMEDOUT);
    check_rc(evert_yield(), -ECANCELED);
    check_rc(evert_scope_leave(&outer, -ECANCELED), -ETIMEDOUT);
}

static int shielded_task(void *arg)
{
    struct notes *notes = arg;
    evert_scope shield;
    evert_shield_enter(&shield, IN_A_MINUTE);
    notes->started = true;
    notes->first = store_take(notes->store);
    check_rc(evert_scope_leave(&shield, 0), 0);
    notes->second = evert_yield();
    return notes->second;
}

static void test_a_task_cancelled_in_its_shield_is_cancelled_after_it(void **state)
{
    struct store store;
    struct notes notes = {.store = &store};
    evert_scope s, waiting;
    (void)state;
    store_init(&store);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, shielded_task, &notes), 0);
    check_rc(evert_yield(), 0);
    assert_true(notes.started);
    evert_scope_cancel(&s);
    evert_shield_enter(&waiting, IN_A_MINUTE);
    check_rc(evert_yield(), 0);
    check_rc(evert_scope_leave(&waiting, 0), 0);
    store_put(&store);
    check_rc(evert_scope_leave(&s, 0), 0);
    check_rc(notes.first, 1);
    check_rc(notes.second, -ECANCELED);
}

/* BR-012, with short spans. */
static int tidy_up(void *arg)
{
    struct notes *notes = arg;
    evert_scope shield;
    int rc = evert_sleep_until(EVERT_NEVER);
    evert_shield_enter(&shield, IN_A_MINUTE);
    notes->first = store_take(notes->store);
    int left = evert_scope_leave(&shield, notes->first);
    return left < 0 ? left : rc;
}

static void check_group(bool outer_expires)
{
    struct store store;
    struct notes notes = {.store = &store};
    evert_handle put = {{0}};
    evert_scope outer, group;

    store_init(&store);
    evert_scope_enter(&outer, outer_expires ? evert_after(2 * MS) : IN_A_MINUTE);
    evert_scope_enter(&group, EVERT_NEVER);
    check_rc(evert_spawn(&group, tidy_up, &notes), 0);
    (void)evert_yield();
    evert_scope_cancel(&group);
    check_rc(evert_loop_call_at(self()->loop, &put, evert_after(4 * MS), put_in_callback, &store),
             0);
    check_rc(evert_scope_leave(&group, 0), outer_expires ? -ECANCELED : 0);
    check_rc(notes.first, 1);
    check_rc(evert_yield(), outer_expires ? -ECANCELED : 0);
    check_rc(evert_scope_leave(&outer, outer_expires ? -ECANCELED : 0),
             outer_expires ? -ETIMEDOUT : 0);
}

static void test_own_cancel_does_not_swallow_the_outer_deadline(void **state)
{
    (void)state;
    check_group(true);
    check_group(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_waiting_calls_are_cancelled_until_the_scope_is_left),
        everywhere(test_scopes_entered_in_a_cancelled_one_are_cancelled),
        everywhere(test_scopes_around_a_cancelled_one_are_not_cancelled),
        everywhere(test_cancelling_again_changes_nothing),
        everywhere(test_a_permit_is_never_lost_to_a_cancel),
        everywhere(test_a_cancel_reaches_waiting_tasks_and_stays),
        everywhere(test_cancelled_before_start_runs_to_its_first_wait),
        everywhere(test_cancelled_before_start_can_free_its_argument),
        everywhere(test_a_cancel_reaches_tasks_of_tasks),
        everywhere(test_a_task_may_cancel_the_scope_of_another),
        everywhere(test_a_callback_may_cancel_a_scope),
        everywhere(test_a_call_that_need_not_wait_is_cancelled_too),
        everywhere(test_leaving_a_cancelled_scope_waits_for_its_tasks),
        everywhere(test_an_item_that_came_before_the_cancel_is_taken),
        everywhere(test_an_item_that_came_after_the_cancel_stays),
        everywhere(test_an_item_just_before_the_deadline_is_taken),
        everywhere(test_an_item_just_after_the_deadline_stays),
        everywhere(test_a_task_cancelled_before_it_runs_takes_nothing),
        everywhere(test_items_are_never_lost_to_deadlines),
        everywhere(test_a_wait_in_clean_up_is_cancelled_unless_shielded),
        everywhere(test_a_cancel_that_comes_while_shielded_takes_effect_after),
        everywhere(test_a_cancel_from_further_out_reaches_up_to_the_shield),
        everywhere(test_scopes_and_tasks_inside_a_shield_are_shielded),
        everywhere(test_a_scope_between_two_shields_is_cut_by_its_own_alone),
        everywhere(test_a_deadline_of_an_outer_shield_waits_for_the_inner),
        everywhere(test_a_task_cancelled_in_its_shield_is_cancelled_after_it),
        everywhere(test_own_cancel_does_not_swallow_the_outer_deadline),
    };
    return run_table(tests);
}
