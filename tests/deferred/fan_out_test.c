/* SPDX-License-Identifier: MIT */
/* Several that get one result: the fan-out of rule D5. */
#include "support.h"

static char one[] = "one";

static evert_fan_out *new_fan_out(evert_deferred *source)
{
    evert_fan_out *fan_out = NULL;
    check_rc(evert_fan_out_new(&fan_out, source), 0);
    return fan_out;
}

static evert_deferred *new_branch(evert_fan_out *fan_out)
{
    evert_deferred *branch = NULL;
    check_rc(evert_fan_out_branch(fan_out, &branch), 0);
    return branch;
}

static void free_fan_out(void *fan_out)
{
    evert_fan_out_free(fan_out);
}

static void test_every_branch_gets_the_value_and_the_fan_out_owns_it(void **state)
{
    (void)state;
    evert_deferred *source = new_deferred(), *branches[3];
    evert_fan_out *fan_out = new_fan_out(source);
    for (int i = 0; i < 2; i++)
        branches[i] = new_branch(fan_out);
    check_pending(branches[0]);
    check_rc(evert_deferred_callback(source, one, count_destroyed), 0);
    branches[2] = new_branch(fan_out); /* at once, as it is there */
    for (int i = 0; i < 3; i++) {
        check_value(branches[i], one);
        evert_deferred_free(branches[i]);
    }
    check_destroyed(0);
    evert_fan_out_free(fan_out);
    check_destroyed(1);
}

static void test_branches_are_deferreds_like_any_other(void **state)
{
    struct step a = {.name = 'a'}, b = {.name = 'b', .out = evert_ok(NULL)}, c = {.name = 'c'};
    (void)state;
    evert_deferred *source = new_deferred(), *outer = new_deferred();
    add_both(source, &a);
    evert_fan_out *fan_out = new_fan_out(source);
    evert_deferred *first = new_branch(fan_out), *second = new_branch(fan_out);
    add_both(first, &b);
    add_both(first, &b);
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, second), 0);
    add_both(outer, &c);
    check_rc(evert_deferred_callback(source, one, NULL), 0);
    check_called("abbc");
    check_value(outer, one);
    evert_deferred_free(outer);
    evert_deferred_release(first);
    evert_fan_out_free(fan_out);
}

static void test_every_branch_gets_the_error_and_has_to_see_to_it(void **state)
{
    (void)state;
    evert_deferred *source = new_deferred();
    evert_fan_out *fan_out = new_fan_out(source);
    evert_deferred *first = new_branch(fan_out), *second = new_branch(fan_out);
    check_rc(evert_deferred_errback(source, -EPIPE), 0);
    check_error(first, -EPIPE);
    evert_deferred_free(first);
    evert_deferred_free(second);
    check_report("EPIPE");
    evert_fan_out_free(fan_out); /* of which there is nothing more to say */
}

static void test_an_error_that_no_branch_got_is_reported(void **state)
{
    (void)state;
    evert_deferred *source = new_deferred();
    evert_fan_out *fan_out = new_fan_out(source);
    check_rc(evert_deferred_errback(source, -EPIPE), 0);
    evert_fan_out_free(fan_out);
    check_words(logged.text, "fan_out_test.c:");
    check_report("EPIPE");

    source = new_deferred();
    fan_out = new_fan_out(source);
    check_rc(evert_deferred_errback(source, -EPIPE), 0);
    evert_deferred *late = new_branch(fan_out);
    check_error(late, -EPIPE);
    evert_deferred_free(late);
    evert_fan_out_free(fan_out);
}

static void test_cancelling_one_branch_ends_that_alone_and_the_last_one_the_source(void **state)
{
    int cancels = 0;
    (void)state;
    evert_deferred *source = new_deferred(), *branches[3];
    evert_deferred_set_canceller(source, count_cancel, &cancels);
    evert_fan_out *fan_out = new_fan_out(source);
    for (int i = 0; i < 3; i++)
        branches[i] = new_branch(fan_out);
    evert_deferred_cancel(branches[1]);
    check_error(branches[1], -ECANCELED);
    check_pending(branches[0]);
    evert_deferred_free(branches[0]); /* which is as good as a cancel */
    assert_int_equal(cancels, 0);
    evert_deferred_cancel(branches[2]);
    assert_int_equal(cancels, 1);
    check_error(branches[2], -ECANCELED);
    evert_deferred_free(branches[1]);
    evert_deferred_free(branches[2]);
    check_rc(evert_deferred_callback(source, one, NULL), 0); /* late: it is swallowed */
    evert_fan_out_free(fan_out);
}

static void test_freeing_it_cancels_the_source_and_what_has_not_fired(void **state)
{
    int cancels = 0;
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *source = new_deferred();
    evert_deferred_set_canceller(source, count_cancel, &cancels);
    evert_fan_out *fan_out = new_fan_out(source);
    evert_deferred *branch = new_branch(fan_out);
    add_errback(branch, &step);
    evert_fan_out_free(fan_out);
    assert_int_equal(cancels, 1);
    check_called("s");
    check_rc(step.in.error, -ECANCELED);
    evert_deferred_free(branch);
    evert_fan_out_free(NULL);
}

static void test_a_source_that_somebody_waits_for_is_refused(void **state)
{
    evert_fan_out *untouched = (evert_fan_out *)(void *)&state, *ret = untouched;
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_callback(outer, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    check_rc(evert_fan_out_new(&ret, inner), EVERT_EALREADY);
    assert_ptr_equal(ret, untouched);
    check_rc(evert_deferred_callback(inner, one, NULL), 0); /* the outer has it still */
    check_value(outer, one);

    evert_fan_out *fan_out = new_fan_out(outer);
    evert_deferred *second = new_deferred();
    check_rc(evert_deferred_callback(second, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(second, wait_for_arg, outer), 0);
    check_error(second, EVERT_EALREADY); /* nor can one wait for the source of a fan-out */
    check_rc(evert_deferred_add_both(outer, wait_for_arg, NULL), EVERT_EALREADY);
    check_rc(evert_fan_out_new(&ret, outer), EVERT_EALREADY); /* nor can it be fanned out again */
    assert_ptr_equal(ret, untouched);
    evert_deferred *branch = new_branch(fan_out);
    check_value(branch, one);
    evert_deferred_free(branch);
    evert_deferred_free(second);
    evert_fan_out_free(fan_out);
}

/* ---- Callbacks of branches that do what they want ---- */

static void add_branch(void *arg)
{
    evert_fan_out *fan_out = arg;
    evert_deferred *branch = new_branch(fan_out);
    check_value(branch, one);
    evert_deferred_free(branch);
}

static void test_a_branch_may_add_cancel_and_free_others(void **state)
{
    struct step never = {.name = 'n', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *source = new_deferred();
    evert_fan_out *fan_out = new_fan_out(source);
    evert_deferred *b[4];
    for (int i = 0; i < 4; i++)
        b[i] = new_branch(fan_out);
    struct step adds = {.name = 'a', .act = add_branch, .arg = fan_out};
    struct step cancels = {.name = 'c', .act = cancel_it, .arg = b[2]};
    struct step frees = {.name = 'f', .act = free_it, .arg = b[3]};
    add_both(b[0], &adds);
    add_both(b[0], &cancels);
    add_both(b[1], &frees);
    add_both(b[2], &never);
    add_both(b[3], &never);
    check_rc(evert_deferred_callback(source, one, NULL), 0);
    check_called("acnf");
    check_rc(never.in.error, -ECANCELED);
    for (int i = 0; i < 3; i++)
        evert_deferred_free(b[i]);
    evert_fan_out_free(fan_out);
}

static void test_a_branch_may_free_the_fan_out_and_itself(void **state)
{
    struct step other = {.name = 'o', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *source = new_deferred();
    evert_fan_out *fan_out = new_fan_out(source);
    evert_deferred *first = new_branch(fan_out), *second = new_branch(fan_out);
    struct step frees = {.name = 'f', .act = free_fan_out, .arg = fan_out};
    struct step itself = {.name = 'i', .act = free_it, .arg = first};
    add_both(first, &frees);
    add_both(first, &itself);
    add_both(second, &other);
    check_rc(evert_deferred_callback(source, one, count_destroyed), 0);
    check_called("foi");
    check_rc(other.in.error, -ECANCELED);
    assert_ptr_equal(itself.in.value, one);
    check_destroyed(1);
    evert_deferred_free(second);
}

static evert_result free_source(evert_result *in, void *source)
{
    evert_deferred_free(source);
    return *in;
}

static void test_a_source_freed_by_its_own_callback_cancels_the_branches(void **state)
{
    (void)state;
    evert_deferred *source = new_deferred();
    check_rc(evert_deferred_add_both(source, free_source, source), 0);
    evert_fan_out *fan_out = new_fan_out(source);
    evert_deferred *branch = new_branch(fan_out);
    check_rc(evert_deferred_callback(source, one, count_destroyed), 0);
    check_destroyed(1);
    check_error(branch, -ECANCELED);
    evert_deferred *late = new_branch(fan_out);
    check_error(late, -ECANCELED);
    evert_deferred_free(branch);
    evert_deferred_free(late);
    evert_fan_out_free(fan_out);
}

/* A branch of one fan-out is the source of another; the cancel of the last goes all the way. */
static void test_fan_outs_of_fan_outs(void **state)
{
    int cancels = 0;
    (void)state;
    evert_deferred *source = new_deferred();
    evert_deferred_set_canceller(source, count_cancel, &cancels);
    evert_fan_out *first = new_fan_out(source), *second = new_fan_out(new_branch(first));
    evert_deferred *a = new_branch(second), *b = new_branch(second);
    evert_deferred_cancel(a);
    assert_int_equal(cancels, 0);
    evert_deferred_cancel(b);
    assert_int_equal(cancels, 1);
    check_error(a, -ECANCELED);
    check_error(b, -ECANCELED);
    evert_deferred_free(a);
    evert_deferred_free(b);
    evert_fan_out_free(second);
    evert_fan_out_free(first);
}

static evert_result free_twice(evert_result *in, void *fan_out)
{
    evert_fan_out_free(fan_out);
    evert_fan_out_free(fan_out);
    return *in;
}

static int free_twice_in_callback(void *unused)
{
    (void)unused;
    evert_deferred *source = new_deferred();
    evert_fan_out *fan_out = new_fan_out(source);
    evert_deferred *branch = new_branch(fan_out);
    check_rc(evert_deferred_add_both(branch, free_twice, fan_out), 0);
    check_rc(evert_deferred_callback(source, one, NULL), 0);
    evert_deferred_free(branch);
    return 0;
}

static void test_freeing_twice_in_a_callback_is_misuse(void **state)
{
    (void)state;
    check_misuse(free_twice_in_callback, 0, "was freed already");
}

static evert_result fire_arg(evert_result *in, void *source)
{
    (void)in;
    check_rc(evert_deferred_callback(source, one, NULL), 0);
    return evert_ok(NULL);
}

/* Freeing it fails a branch, whose callback fires the source: too late for the other branch. */
static void test_a_branch_may_fire_the_source_when_the_fan_out_is_freed(void **state)
{
    struct step step = {.name = 's', .out = evert_ok(NULL)};
    (void)state;
    evert_deferred *source = new_deferred();
    evert_fan_out *fan_out = new_fan_out(source);
    evert_deferred *first = new_branch(fan_out), *second = new_branch(fan_out);
    check_rc(evert_deferred_add_both(first, fire_arg, source), 0);
    add_both(second, &step);
    evert_fan_out_free(fan_out);
    check_called("s");
    check_rc(step.in.error, -ECANCELED);
    evert_deferred_free(first);
    evert_deferred_free(second);
}

static void free_by_canceller(evert_deferred *branch, void *fan_out)
{
    (void)branch;
    evert_fan_out_free(fan_out);
}

static void test_the_canceller_of_a_branch_may_free_the_fan_out(void **state)
{
    (void)state;
    for (int freed = 0; freed < 2; freed++) {
        evert_fan_out *fan_out = new_fan_out(new_deferred());
        evert_deferred *branch = new_branch(fan_out);
        evert_deferred_set_canceller(branch, free_by_canceller, fan_out);
        if (freed == 0) {
            evert_deferred_cancel(branch);
            check_error(branch, -ECANCELED);
        }
        evert_deferred_free(branch);
    }
}

struct both {
    evert_fan_out *fan_out;
    evert_deferred *branch;
};

static void free_and_cancel_again(evert_deferred *source, void *arg)
{
    const struct both *both = arg;
    (void)source;
    evert_fan_out_free(both->fan_out);
    evert_deferred_cancel(both->branch);
}

static void test_the_canceller_of_the_source_may_free_all_and_cancel_again(void **state)
{
    (void)state;
    evert_deferred *source = new_deferred();
    struct both both;
    evert_deferred_set_canceller(source, free_and_cancel_again, &both);
    both.fan_out = new_fan_out(source);
    both.branch = new_branch(both.fan_out);
    evert_deferred_cancel(both.branch);
    check_error(both.branch, -ECANCELED);
    evert_deferred_free(both.branch);
}

/* ---- Want of memory ---- */

static void test_without_memory_the_source_is_taken_all_the_same(void **state)
{
    int cancels = 0;
    evert_fan_out *fan_out = (evert_fan_out *)(void *)&cancels;
    evert_deferred *branch = (evert_deferred *)(void *)&cancels;
    (void)state;
    evert_deferred *source = new_deferred();
    evert_deferred_set_canceller(source, count_cancel, &cancels);
    take_memory_away();
    int rc = evert_fan_out_new(&fan_out, source);
    give_memory_back();
    check_rc(rc, -ENOMEM);
    assert_int_equal(cancels, 1);
    assert_ptr_equal(fan_out, &cancels);

    source = new_deferred();
    fan_out = new_fan_out(source);
    take_memory_away();
    rc = evert_fan_out_branch(fan_out, &branch);
    give_memory_back();
    check_rc(rc, -ENOMEM);
    assert_ptr_equal(branch, &cancels);
    branch = new_branch(fan_out);
    check_rc(evert_deferred_callback(source, one, NULL), 0);
    check_value(branch, one);
    evert_deferred_free(branch);
    evert_fan_out_free(fan_out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        quiet(test_every_branch_gets_the_value_and_the_fan_out_owns_it),
        quiet(test_branches_are_deferreds_like_any_other),
        quiet(test_every_branch_gets_the_error_and_has_to_see_to_it),
        quiet(test_an_error_that_no_branch_got_is_reported),
        quiet(test_cancelling_one_branch_ends_that_alone_and_the_last_one_the_source),
        quiet(test_freeing_it_cancels_the_source_and_what_has_not_fired),
        quiet(test_a_source_that_somebody_waits_for_is_refused),
        quiet(test_a_branch_may_add_cancel_and_free_others),
        quiet(test_a_branch_may_free_the_fan_out_and_itself),
        quiet(test_a_source_freed_by_its_own_callback_cancels_the_branches),
        quiet(test_fan_outs_of_fan_outs),
        cmocka_unit_test(test_freeing_twice_in_a_callback_is_misuse),
        quiet(test_a_branch_may_fire_the_source_when_the_fan_out_is_freed),
        quiet(test_the_canceller_of_a_branch_may_free_the_fan_out),
        quiet(test_the_canceller_of_the_source_may_free_all_and_cancel_again),
        quiet(test_without_memory_the_source_is_taken_all_the_same),
    };
    return run_table(tests);
}
