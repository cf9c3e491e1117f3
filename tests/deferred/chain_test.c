/* SPDX-License-Identifier: MIT */
/* Callbacks and the results that they pass on: rules D1 to D7, and chains of any length (BR-006).
 */
#include "support.h"

static char one[] = "one", two[] = "two";

/* ---- D1: pairs, first come first called ---- */

static void test_callbacks_are_called_in_the_order_of_adding(void **state)
{
    struct step a = {.name = 'a', .out = evert_ok(two)}, b = {.name = 'b'}, c = {.name = 'c'},
                d = {.name = 'd'};
    (void)state;
    evert_deferred *deferred = new_deferred();
    add_callback(deferred, &a);
    add_both(deferred, &b);
    add_callback(deferred, &c);
    add_both(deferred, &d);
    check_called("");
    assert_false(evert_deferred_has_fired(deferred));
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    assert_true(evert_deferred_has_fired(deferred));
    check_called("abcd");
    assert_ptr_equal(a.in.value, one);
    assert_ptr_equal(d.in.value, two);
    check_value(deferred, two);
    evert_deferred_free(deferred);
}

static void test_of_a_pair_exactly_one_is_called(void **state)
{
    struct step f = {.name = 'f', .out = evert_fail(-EPIPE)}, g = {.name = 'g'};
    (void)state;
    evert_deferred *deferred = new_deferred();
    check_rc(evert_deferred_add_callbacks(deferred, take_step, NULL, &f), 0);
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    assert_int_equal(f.calls, 1);
    evert_deferred_free(deferred);
    check_report("EPIPE");

    /* Both of the same pair: the errback does not see what its callback failed with. */
    deferred = new_deferred();
    struct step pair = {.name = 'p', .out = evert_fail(-EPIPE)};
    check_rc(evert_deferred_add_callbacks(deferred, take_step, take_step, &pair), 0);
    add_errback(deferred, &g);
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    assert_int_equal(pair.calls, 1);
    assert_int_equal(g.calls, 1);
    check_rc(g.in.error, -EPIPE);
    check_error(deferred, -EPIPE);
    evert_deferred_free(deferred);
    check_called("fpg");
}

static void test_a_callback_alone_passes_errors_on_and_an_errback_values(void **state)
{
    struct step good = {.name = 'g'}, bad = {.name = 'b', .out = evert_ok(two)};
    (void)state;
    evert_deferred *deferred = new_deferred();
    add_callback(deferred, &good);
    add_errback(deferred, &bad);
    add_errback(deferred, &bad); /* it is handled by now */
    add_callback(deferred, &good);
    check_rc(evert_deferred_add_callbacks(deferred, NULL, NULL, NULL), 0);
    check_rc(evert_deferred_errback(deferred, -EPIPE), 0);
    check_called("bg");
    check_rc(bad.in.error, -EPIPE);
    assert_null(bad.in.value);
    assert_ptr_equal(good.in.value, two);
    evert_deferred_free(deferred);
}

/* ---- D2: what a callback returns ---- */

static void test_an_errback_goes_on_with_a_value_only_by_returning_one(void **state)
{
    struct step passes = {.name = 'p'}, other = {.name = 'o', .out = evert_fail(-EPROTO)};
    (void)state;
    evert_deferred *deferred = new_deferred();
    add_errback(deferred, &passes);
    add_errback(deferred, &other);
    check_rc(evert_deferred_errback(deferred, -EPIPE), 0);
    check_called("po");
    check_rc(other.in.error, -EPIPE);
    check_error(deferred, -EPROTO);
    evert_deferred_free(deferred);
}

static void test_what_is_no_error_code_is_invalid(void **state)
{
    (void)state;
    evert_deferred *deferred = new_deferred();
    check_rc(evert_deferred_errback(deferred, 5), 0);
    check_error(deferred, -EINVAL);
    evert_deferred_free(deferred);
    check_rc(evert_fail(0).error, -EINVAL);
}

static evert_result give_result(evert_result *in, void *out)
{
    (void)in;
    return *(const evert_result *)out;
}

static int come_to(evert_result out)
{
    int error = 0;
    evert_deferred *deferred = new_deferred();
    check_rc(evert_deferred_add_both(deferred, give_result, &out), 0);
    check_rc(evert_deferred_add_errback(deferred, note_error, &error), 0);
    check_rc(evert_deferred_callback(deferred, one, count_destroyed), 0);
    evert_deferred_free(deferred);
    check_destroyed(1);
    return error;
}

static int return_nothing(void *unused)
{
    (void)unused;
    return come_to((evert_result){0});
}

static int wait_for_nothing(void *unused)
{
    (void)unused;
    return come_to(evert_wait_for(NULL));
}

static int fail_without_code(void *unused)
{
    (void)unused;
    return come_to((evert_result){.kind = EVERT_RESULT_ERROR});
}

static void test_a_zeroed_result_fails_and_is_explained(void **state)
{
    (void)state;
    check_misuse(return_nothing, -EINVAL, "returned no result");
    check_misuse(return_nothing, -EINVAL, "chain_test.c:");
    check_misuse(wait_for_nothing, -EINVAL, "returned no result");
    check_misuse(fail_without_code, -EINVAL, "returned no result");
}

/* ---- Values: each is destroyed once, by whoever has it last ---- */

static void test_a_value_goes_with_the_deferred(void **state)
{
    struct step passes = {.name = 'p'};
    (void)state;
    evert_deferred *deferred = new_deferred();
    add_both(deferred, &passes);
    check_rc(evert_deferred_callback(deferred, one, count_destroyed), 0);
    check_called("p");
    check_destroyed(0);
    evert_deferred_free(deferred);
    check_destroyed(1);
}

static void test_a_value_that_is_not_passed_on_is_destroyed_behind_the_callback(void **state)
{
    struct step replaces = {.name = 'r', .out = evert_ok(two)};
    struct step fails = {.name = 'f', .out = evert_fail(-EPIPE)};
    (void)state;
    evert_deferred *deferred = new_deferred();
    add_both(deferred, &replaces);
    check_rc(evert_deferred_callback(deferred, one, count_destroyed), 0);
    check_destroyed(1);
    check_value(deferred, two);
    evert_deferred_free(deferred);
    check_destroyed(0);

    deferred = new_deferred();
    add_both(deferred, &fails);
    check_rc(evert_deferred_callback(deferred, one, count_destroyed), 0);
    check_destroyed(1);
    check_error(deferred, -EPIPE);
    evert_deferred_free(deferred);
    check_called("rf");
}

static evert_result take_value(evert_result *in, void *ret_value)
{
    *(void **)ret_value = evert_take(in);
    return evert_ok(NULL);
}

static void test_a_value_that_was_taken_is_not_destroyed(void **state)
{
    void *value = NULL;
    (void)state;
    evert_deferred *deferred = new_deferred();
    check_rc(evert_deferred_add_callback(deferred, take_value, &value), 0);
    check_rc(evert_deferred_callback(deferred, one, count_destroyed), 0);
    evert_deferred_free(deferred);
    check_destroyed(0);
    assert_ptr_equal(value, one);
}

static void test_a_value_passed_on_by_its_address_is_owned_as_before(void **state)
{
    struct step same = {.name = 's', .out = evert_ok(one)};
    (void)state;
    evert_deferred *deferred = new_deferred();
    add_both(deferred, &same);
    check_rc(evert_deferred_callback(deferred, one, count_destroyed), 0);
    check_called("s");
    check_destroyed(0);
    evert_deferred_free(deferred);
    check_destroyed(1);
}

/* ---- D3 (case 4): adding ---- */

static void test_adding_to_a_fired_one_calls_before_it_returns(void **state)
{
    struct step a = {.name = 'a'}, b = {.name = 'b'};
    (void)state;
    evert_deferred *deferred = new_deferred();
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    add_callback(deferred, &a);
    check_called("a");
    add_errback(deferred, &b);
    check_called("");
    add_both(deferred, &b);
    check_called("b");
    evert_deferred_free(deferred);
}

struct addition {
    evert_deferred *to;
    struct step *step;
};

static void add_more(void *arg)
{
    const struct addition *addition = arg;
    add_both(addition->to, addition->step);
    check_called("a"); /* and nothing else before this returns */
}

static void test_adding_inside_a_callback_only_appends(void **state)
{
    struct step last = {.name = 'z'}, b = {.name = 'b'}, c = {.name = 'c'};
    (void)state;
    evert_deferred *deferred = new_deferred();
    struct addition addition = {deferred, &last};
    struct step a = {.name = 'a', .act = add_more, .arg = &addition};
    add_both(deferred, &a);
    add_both(deferred, &b);
    add_both(deferred, &c);
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    check_called("bcz");
    add_both(deferred, &a); /* also where adding itself is what calls */
    check_called("z");
    evert_deferred_free(deferred);
}

/* ---- D4 (case 1): firing twice, and with itself ---- */

static void test_firing_twice_is_an_error(void **state)
{
    (void)state;
    evert_deferred *deferred = new_deferred();
    check_rc(evert_deferred_callback(deferred, one, count_destroyed), 0);
    check_rc(evert_deferred_callback(deferred, two, count_destroyed), EVERT_EALREADY);
    check_destroyed(1); /* the second, which nobody gets */
    check_rc(evert_deferred_errback(deferred, -EPIPE), EVERT_EALREADY);
    check_value(deferred, one);
    evert_deferred_free(deferred);
    check_destroyed(1);
}

static void fire_again(void *deferred)
{
    check_rc(evert_deferred_callback(deferred, two, NULL), EVERT_EALREADY);
}

static void test_firing_in_its_own_callback_is_an_error(void **state)
{
    (void)state;
    evert_deferred *deferred = new_deferred();
    struct step step = {.name = 's', .act = fire_again, .arg = deferred};
    add_both(deferred, &step);
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    check_called("s");
    check_value(deferred, one);
    evert_deferred_free(deferred);
}

static int fire_with_itself(void *unused)
{
    (void)unused;
    evert_deferred *deferred = new_deferred();
    int rc = evert_deferred_callback(deferred, deferred, NULL);
    assert_false(evert_deferred_has_fired(deferred));
    evert_deferred_free(deferred);
    return rc;
}

static void test_firing_with_itself_is_misuse(void **state)
{
    (void)state;
    check_misuse(fire_with_itself, -EINVAL, "was fired with itself");
}

static void test_waiting_for_itself_is_an_error(void **state)
{
    (void)state;
    evert_deferred *deferred = new_deferred();
    check_rc(evert_deferred_add_both(deferred, wait_for_arg, deferred), 0);
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    check_error(deferred, EVERT_EALREADY);
    evert_deferred_free(deferred);
}

/* ---- D5: waiting for another ---- */

static void test_the_result_of_an_inner_one_that_has_it_moves_at_once(void **state)
{
    struct step after = {.name = 'a'};
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_callback(inner, two, count_destroyed), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    add_both(outer, &after);
    check_rc(evert_deferred_callback(outer, one, count_destroyed), 0);
    check_called("a");
    check_destroyed(1); /* its own first value; the inner one is its now */
    check_value(outer, two);
    evert_deferred_free(outer);
    check_destroyed(1);
}

static void test_it_waits_for_an_inner_one_and_goes_on_when_that_fires(void **state)
{
    struct step inside = {.name = 'i'}, after = {.name = 'a'};
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    add_both(outer, &after);
    add_both(inner, &inside);
    check_rc(evert_deferred_callback(outer, one, NULL), 0);
    assert_true(evert_deferred_has_fired(outer));
    add_both(outer, &after);
    check_called("");
    check_pending(outer);
    check_rc(evert_deferred_callback(inner, two, count_destroyed), 0);
    check_called("iaa");
    check_value(outer, two);
    evert_deferred_free(outer);
    check_destroyed(1);
}

static void test_the_error_of_an_inner_one_is_that_of_the_outer(void **state)
{
    struct step good = {.name = 'g'};
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_callback(outer, one, NULL), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    add_callback(outer, &good);
    check_rc(evert_deferred_errback(inner, -EPIPE), 0);
    check_error(outer, -EPIPE);
    check_called("");
    evert_deferred_free(outer); /* and nothing is reported of the inner one */
}

static void test_a_second_chain_on_an_inner_one_is_an_error(void **state)
{
    (void)state;
    evert_deferred *first = new_deferred(), *second = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_callback(first, NULL, NULL), 0);
    check_rc(evert_deferred_callback(second, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(first, wait_for_arg, inner), 0);
    check_rc(evert_deferred_add_both(second, wait_for_arg, inner), 0);
    check_error(second, EVERT_EALREADY);
    check_rc(evert_deferred_callback(inner, one, NULL), 0); /* it was left as it was */
    check_value(first, one);
    evert_deferred_free(first);
    evert_deferred_free(second);
}

static void test_waiting_for_itself_by_a_detour_is_an_error(void **state)
{
    evert_deferred *d[4];
    (void)state;
    for (int i = 0; i < 4; i++)
        d[i] = new_deferred();
    for (int i = 0; i < 4; i++) /* each for the next, and the last for the first */
        check_rc(evert_deferred_add_both(d[i], wait_for_arg, d[(i + 1) % 4]), 0);
    for (int i = 0; i < 4; i++)
        check_rc(evert_deferred_callback(d[i], NULL, NULL), 0);
    check_error(d[0], EVERT_EALREADY); /* the last one's */
    evert_deferred_free(d[0]);
}

/* In the other order, the circle is closed by one in the middle. */
static void test_a_detour_is_found_wherever_it_closes(void **state)
{
    evert_deferred *d[5];
    static const int order[] = {0, 1, 3, 4, 2};
    (void)state;
    for (int i = 0; i < 5; i++)
        d[i] = new_deferred();
    for (int i = 0; i < 5; i++)
        check_rc(evert_deferred_add_both(d[i], wait_for_arg, d[(i + 1) % 5]), 0);
    for (int i = 0; i < 5; i++)
        check_rc(evert_deferred_callback(d[order[i]], NULL, NULL), 0);
    check_error(d[3], EVERT_EALREADY); /* 2 was the last to wait for the next, which is 3 */
    evert_deferred_free(d[3]);
}

static void wait_for_the_running(void *arg)
{
    evert_deferred *second = new_deferred();
    check_rc(evert_deferred_callback(second, NULL, NULL), 0);
    check_rc(evert_deferred_add_both(second, wait_for_arg, arg), 0);
    check_error(second, EVERT_EALREADY);
    evert_deferred_free(second);
}

static void test_waiting_for_one_in_its_own_callback_is_an_error(void **state)
{
    (void)state;
    evert_deferred *deferred = new_deferred();
    struct step step = {.name = 's', .act = wait_for_the_running, .arg = deferred};
    add_both(deferred, &step);
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    check_called("s");
    check_value(deferred, one);
    evert_deferred_free(deferred);
}

/* ---- D7 (case 7): pausing ---- */

static void test_as_often_as_it_was_paused_it_has_to_be_unpaused(void **state)
{
    struct step step = {.name = 's'};
    (void)state;
    evert_deferred *deferred = new_deferred();
    add_both(deferred, &step);
    evert_deferred_pause(deferred);
    evert_deferred_pause(deferred);
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    check_called("");
    evert_deferred_unpause(deferred);
    add_both(deferred, &step);
    check_called("");
    evert_deferred_unpause(deferred);
    check_called("ss");
    evert_deferred_free(deferred);
}

static void test_a_callback_may_pause_what_comes_after_it(void **state)
{
    struct step after = {.name = 'a'};
    (void)state;
    evert_deferred *deferred = new_deferred();
    struct step pauses = {.name = 'p', .act = pause_it, .arg = deferred};
    add_both(deferred, &pauses);
    add_both(deferred, &after);
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    check_called("p");
    evert_deferred_unpause(deferred);
    check_called("a");
    evert_deferred_free(deferred);
}

static void test_a_paused_inner_one_holds_the_outer_too(void **state)
{
    (void)state;
    evert_deferred *outer = new_deferred(), *inner = new_deferred();
    check_rc(evert_deferred_callback(inner, two, NULL), 0);
    evert_deferred_pause(inner);
    check_rc(evert_deferred_callback(outer, one, NULL), 0);
    check_rc(evert_deferred_add_both(outer, wait_for_arg, inner), 0);
    check_pending(outer);
    evert_deferred_pause(outer);
    evert_deferred_unpause(inner);
    check_pending(outer);
    evert_deferred_unpause(outer);
    check_value(outer, two);
    evert_deferred_free(outer);
}

static int unpause_too_often(void *unused)
{
    (void)unused;
    evert_deferred *deferred = new_deferred();
    evert_deferred_unpause(deferred);
    evert_deferred_pause(deferred);
    check_rc(evert_deferred_callback(deferred, one, NULL), 0);
    check_pending(deferred); /* it was not paused by less than nothing */
    evert_deferred_free(deferred);
    return 0;
}

static void test_unpausing_too_often_is_misuse(void **state)
{
    (void)state;
    check_misuse(unpause_too_often, 0, "is not paused");
}

/* ---- Want of memory ---- */

static void test_without_memory_nothing_is_lost(void **state)
{
    struct step step = {.name = 's'};
    evert_deferred *untouched = (evert_deferred *)(void *)&step;
    (void)state;
    evert_deferred *deferred = new_deferred();
    take_memory_away();
    int rc = evert_deferred_new(&untouched);
    check_rc(evert_deferred_add_both(deferred, take_step, &step), 0); /* two have their places */
    check_rc(evert_deferred_add_both(deferred, take_step, &step), 0);
    check_rc(evert_deferred_add_both(deferred, take_step, &step), -ENOMEM);
    give_memory_back();
    check_rc(rc, -ENOMEM);
    assert_ptr_equal(untouched, &step);
    add_both(deferred, &step);
    take_memory_away();
    check_rc(evert_deferred_callback(deferred, one, count_destroyed), 0);
    for (int i = 0; i < 10; i++)
        check_rc(evert_deferred_add_both(deferred, take_step, &step), 0);
    evert_deferred_free(deferred);
    give_memory_back();
    check_called("sssssssssssss");
    check_destroyed(1);
}

/* ---- D6, BR-006, case 5: a hundred thousand, on a stack of 64 KiB ---- */

enum { MANY = 100000, LITTLE = SANITIZED ? 256 * 1024 : 64 * 1024 };

/* How deep on the stack the callbacks were called. */
static struct {
    uintptr_t low, high;
    int calls;
} depth;

static void note_depth(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (depth.calls++ == 0)
        depth.low = depth.high = here;
    depth.low = here < depth.low ? here : depth.low;
    depth.high = here > depth.high ? here : depth.high;
}

static void check_depth(int calls)
{
    assert_int_equal(depth.calls, calls);
    assert_true(depth.high - depth.low < 4096);
    memset(&depth, 0, sizeof(depth));
}

static int on_little_stack(evert_fn *fn)
{
    evert_spawn_options options = evert_spawn_defaults();
    evert_scope s;
    options.stack = LITTLE;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn_with(&s, &options, fn, NULL), 0);
    return evert_scope_leave(&s, 0);
}

/* A number in a pointer. */
static void *number(intptr_t n)
{
    return (void *)n;
}

static evert_result count_on(evert_result *in, void *unused)
{
    (void)unused;
    note_depth();
    evert_deferred *next = new_deferred();
    intptr_t n = (intptr_t)in->value;
    assert_int_equal(n, depth.calls - 1); /* once, and in order */
    check_rc(evert_deferred_callback(next, number(n + 1), NULL), 0);
    return evert_wait_for(next);
}

static int many_callbacks(void *unused)
{
    (void)unused;
    evert_deferred *deferred = new_deferred();
    for (int i = 0; i < MANY; i++)
        check_rc(evert_deferred_add_callback(deferred, count_on, NULL), 0);
    check_rc(evert_deferred_callback(deferred, NULL, NULL), 0);
    check_value(deferred, number(MANY));
    evert_deferred_free(deferred);
    check_depth(MANY);
    return 0;
}

static void test_many_callbacks_that_wait_for_fired_ones_take_no_stack(void **state)
{
    (void)state;
    check_rc(on_little_stack(many_callbacks), 0);
}

static evert_deferred *chain[MANY + 1];

static evert_result wait_for_next(evert_result *in, void *next)
{
    (void)in;
    note_depth();
    return evert_wait_for(next);
}

static evert_result pass(evert_result *in, void *unused)
{
    (void)unused;
    note_depth();
    return *in;
}

/* Each waits for the next, once it has fired, and calls `pass` when that has. */
static void make_chain(void)
{
    chain[MANY] = new_deferred();
    for (int i = 0; i < MANY; i++) {
        chain[i] = new_deferred();
        check_rc(evert_deferred_add_both(chain[i], pass, NULL), 0);
    }
    for (int i = 0; i < MANY; i++) {
        check_rc(evert_deferred_add_callback(chain[i], wait_for_next, chain[i + 1]), 0);
        check_rc(evert_deferred_add_both(chain[i], pass, NULL), 0);
    }
}

static void fire_from_the_outermost(void)
{
    for (int i = 0; i < MANY; i++)
        check_rc(evert_deferred_callback(chain[i], NULL, NULL), 0);
}

static void fire_from_the_innermost(void)
{
    for (int i = MANY; i-- > 0;)
        check_rc(evert_deferred_callback(chain[i], NULL, NULL), 0);
}

/* First those at the even places; so each of the others joins two that wait already. */
static void fire_every_other(void)
{
    for (int i = 0; i < MANY; i += 2)
        check_rc(evert_deferred_callback(chain[i], NULL, NULL), 0);
    for (int i = 1; i < MANY; i += 2)
        check_rc(evert_deferred_callback(chain[i], NULL, NULL), 0);
}

static void (*const nestings[])(void) = {fire_from_the_outermost, fire_from_the_innermost,
                                         fire_every_other};
static void (*nest)(void);

static void in_each_nesting(evert_fn *fn)
{
    for (size_t i = 0; i < sizeof(nestings) / sizeof(nestings[0]); i++) {
        nest = nestings[i];
        check_rc(on_little_stack(fn), 0);
    }
}

static int fire_chain(void *unused)
{
    (void)unused;
    make_chain();
    nest();
    check_pending(chain[0]);
    check_rc(evert_deferred_callback(chain[MANY], number(7), NULL), 0);
    check_value(chain[0], number(7));
    evert_deferred_free(chain[0]);
    check_depth(3 * MANY);
    return 0;
}

static void test_a_long_chain_fires_in_constant_stack(void **state)
{
    (void)state;
    in_each_nesting(fire_chain);
}

static int fail_chain(void *unused)
{
    (void)unused;
    make_chain();
    nest();
    check_rc(evert_deferred_errback(chain[MANY], -EPIPE), 0);
    check_error(chain[0], -EPIPE);
    evert_deferred_free(chain[0]);
    check_depth(3 * MANY);
    return 0;
}

static void test_an_error_travels_a_long_chain_in_constant_stack(void **state)
{
    (void)state;
    in_each_nesting(fail_chain);
}

static int free_chain(void *unused)
{
    int cancels = 0;
    (void)unused;
    make_chain();
    evert_deferred_set_canceller(chain[MANY], count_cancel, &cancels);
    nest();
    evert_deferred_free(chain[0]);
    assert_int_equal(cancels, 1);
    check_depth(2 * MANY); /* no callback is called by that */
    return 0;
}

static void test_a_long_chain_is_freed_in_constant_stack(void **state)
{
    (void)state;
    in_each_nesting(free_chain);
}

static int cancel_chain(void *unused)
{
    int cancels = 0;
    (void)unused;
    make_chain();
    evert_deferred_set_canceller(chain[MANY], count_cancel, &cancels);
    nest();
    evert_deferred_cancel(chain[0]);
    assert_int_equal(cancels, 1);
    check_error(chain[0], -ECANCELED);
    evert_deferred_free(chain[0]);
    check_depth(3 * MANY);
    return 0;
}

static void test_a_long_chain_is_cancelled_in_constant_stack(void **state)
{
    (void)state;
    in_each_nesting(cancel_chain);
}

/* The innermost fires first: then each that fires finds the next with its result. */
static int fired_backwards(void *unused)
{
    (void)unused;
    make_chain();
    check_rc(evert_deferred_callback(chain[MANY], number(7), NULL), 0);
    fire_from_the_innermost();
    check_value(chain[0], number(7));
    evert_deferred_free(chain[0]);
    check_depth(3 * MANY);
    return 0;
}

static void test_a_long_chain_fired_backwards_takes_no_stack(void **state)
{
    (void)state;
    check_rc(on_little_stack(fired_backwards), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        quiet(test_callbacks_are_called_in_the_order_of_adding),
        quiet(test_of_a_pair_exactly_one_is_called),
        quiet(test_a_callback_alone_passes_errors_on_and_an_errback_values),
        quiet(test_an_errback_goes_on_with_a_value_only_by_returning_one),
        quiet(test_what_is_no_error_code_is_invalid),
        cmocka_unit_test(test_a_zeroed_result_fails_and_is_explained),
        quiet(test_a_value_goes_with_the_deferred),
        quiet(test_a_value_that_is_not_passed_on_is_destroyed_behind_the_callback),
        quiet(test_a_value_that_was_taken_is_not_destroyed),
        quiet(test_a_value_passed_on_by_its_address_is_owned_as_before),
        quiet(test_adding_to_a_fired_one_calls_before_it_returns),
        quiet(test_adding_inside_a_callback_only_appends),
        quiet(test_firing_twice_is_an_error),
        quiet(test_firing_in_its_own_callback_is_an_error),
        cmocka_unit_test(test_firing_with_itself_is_misuse),
        quiet(test_waiting_for_itself_is_an_error),
        quiet(test_the_result_of_an_inner_one_that_has_it_moves_at_once),
        quiet(test_it_waits_for_an_inner_one_and_goes_on_when_that_fires),
        quiet(test_the_error_of_an_inner_one_is_that_of_the_outer),
        quiet(test_a_second_chain_on_an_inner_one_is_an_error),
        quiet(test_waiting_for_itself_by_a_detour_is_an_error),
        quiet(test_a_detour_is_found_wherever_it_closes),
        quiet(test_waiting_for_one_in_its_own_callback_is_an_error),
        quiet(test_as_often_as_it_was_paused_it_has_to_be_unpaused),
        quiet(test_a_callback_may_pause_what_comes_after_it),
        quiet(test_a_paused_inner_one_holds_the_outer_too),
        cmocka_unit_test(test_unpausing_too_often_is_misuse),
        quiet(test_without_memory_nothing_is_lost),
        quiet(test_many_callbacks_that_wait_for_fired_ones_take_no_stack),
        quiet(test_a_long_chain_fires_in_constant_stack),
        quiet(test_an_error_travels_a_long_chain_in_constant_stack),
        quiet(test_a_long_chain_is_freed_in_constant_stack),
        quiet(test_a_long_chain_is_cancelled_in_constant_stack),
        quiet(test_a_long_chain_fired_backwards_takes_no_stack),
    };
    return run_table(tests);
}
