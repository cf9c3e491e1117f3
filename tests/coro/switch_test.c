/* SPDX-License-Identifier: MIT */
/* Switching stacks: what survives it, and how a new stack begins. */
#include <unwind.h>

#include "support.h"

/* ---- Without tasks: two stacks ---- */

enum { STACK = 128 * 1024 };

struct routine {
    struct evert__context context, caller;
    struct evert__fiber fiber, callers_fiber;
    void (*fn)(struct routine *routine);
    bool done;
    int value;
    uintptr_t frame, aligned;
    _Alignas(16) char stack[STACK];
};

static void leave(struct routine *routine, bool last)
{
    evert__fiber_leave(&routine->fiber, &routine->callers_fiber, last);
    assert_int_equal(evert__context_switch(&routine->context, &routine->caller), 0);
    evert__fiber_arrive(&routine->fiber);
}

static void entry(void *arg)
{
    struct routine *routine = arg;
    evert__fiber_arrive(&routine->fiber);
    routine->fn(routine);
    routine->done = true;
    leave(routine, true);
}

static struct routine *routine_new(void (*fn)(struct routine *routine), size_t unused_at_top)
{
    struct routine *routine = calloc(1, sizeof(*routine));
    assert_non_null(routine);
    routine->fn = fn;
    size_t size = STACK - unused_at_top;
    evert__fiber_init(&routine->fiber, routine->stack, size);
    evert__context_make(&routine->context, routine->stack, routine->stack + size, entry, routine);
    return routine;
}

static void go_on(struct routine *routine)
{
    assert_false(routine->done);
    evert__fiber_is_here(&routine->callers_fiber);
    evert__fiber_leave(&routine->callers_fiber, &routine->fiber, false);
    assert_int_equal(evert__context_switch(&routine->caller, &routine->context), 0);
    evert__fiber_arrive(&routine->callers_fiber);
}

static void routine_free(struct routine *routine)
{
    assert_true(routine->done);
    evert__fiber_fini(&routine->fiber);
    free(routine);
}

static void count_to_thousand(struct routine *routine)
{
    for (int i = 1; i <= 1000; i++) {
        routine->value = i;
        leave(routine, false);
    }
}

static void test_two_stacks_take_turns(void **state)
{
    struct routine *routine = routine_new(count_to_thousand, 0);
    (void)state;
    for (int i = 1; i <= 1000; i++) {
        go_on(routine);
        assert_int_equal(routine->value, i);
    }
    go_on(routine);
    routine_free(routine);
}

static void test_many_stacks_are_independent(void **state)
{
    enum { COUNT = 10 };
    struct routine *routines[COUNT];
    (void)state;
    for (int i = 0; i < COUNT; i++)
        routines[i] = routine_new(count_to_thousand, 0);
    for (int step = 0; step < 1000; step++) {
        for (int i = 0; i < COUNT; i++) {
            if ((step + i) % 3 != 0 && !routines[i]->done) {
                int before = routines[i]->value;
                go_on(routines[i]);
                assert_true(routines[i]->done || routines[i]->value == before + 1);
            }
        }
    }
    for (int i = 0; i < COUNT; i++) {
        while (!routines[i]->done)
            go_on(routines[i]);
        assert_int_equal(routines[i]->value, 1000);
        routine_free(routines[i]);
    }
}

static void note_frame(struct routine *routine)
{
    _Alignas(16) volatile char here = 0;
    routine->frame = (uintptr_t)__builtin_frame_address(0);
    routine->aligned = (uintptr_t)&here;
}

/* What must lie at a multiple of 16 does so, whatever the top of the stack was. */
static void test_a_new_stack_is_aligned_and_lies_where_it_was_given(void **state)
{
    (void)state;
    for (size_t unused_at_top = 0; unused_at_top < 64; unused_at_top += 8) {
        struct routine *routine = routine_new(note_frame, unused_at_top);
        go_on(routine);
        assert_int_equal(routine->aligned % 16, 0);
        assert_true(routine->frame > (uintptr_t)routine->stack);
        assert_true(routine->frame <= (uintptr_t)routine->stack + STACK - unused_at_top);
        routine_free(routine);
    }
}

/* ---- With tasks: what a function must find as it left it ---- */

struct numbers {
    uint64_t seed;
    uint64_t result;
};

/* More live values than there are registers to be saved, kept over each wait. */
static int keep_values(void *arg)
{
    struct numbers *numbers = arg;
    uint64_t a = numbers->seed, b = a * 3, c = a * 5, d = a * 7, e = a * 11, f = a * 13, g = a * 17,
             h = a * 19, i = a * 23, j = a * 29;
    double x = (double)a, y = (double)b / 7, z = (double)c / 3;
    float v = (float)a / 3;
    for (int turn = 0; turn < 200; turn++) {
        check_rc(evert_yield(), 0);
        a += b ^ j;
        b += c ^ a;
        c += d ^ b;
        d += e ^ c;
        e += f ^ d;
        f += g ^ e;
        g += h ^ f;
        h += i ^ g;
        i += j ^ h;
        j += a ^ i;
        x = x / 2 + y;
        y = y / 3 + z;
        z = z / 5 + x;
        v = v / 2 + (float)turn;
    }
    double all = x + y + z + (double)v;
    uint64_t bits;
    memcpy(&bits, &all, sizeof(bits));
    numbers->result = a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ bits;
    return 0;
}

static void test_a_tasks_values_survive_its_waits(void **state)
{
    enum { COUNT = 20 };
    struct numbers alone[COUNT], together[COUNT];
    evert_scope s;
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        alone[i] = together[i] = (struct numbers){.seed = (uint64_t)i * 7919 + 1};
        evert_scope_enter(&s, EVERT_NEVER);
        check_rc(evert_spawn(&s, keep_values, &alone[i]), 0);
        check_rc(evert_scope_leave(&s, 0), 0);
    }
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < COUNT; i++)
        check_rc(evert_spawn(&s, keep_values, &together[i]), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    for (int i = 0; i < COUNT; i++)
        assert_true(alone[i].result == together[i].result);
}

static int print_doubles(void *text)
{
    snprintf(text, 64, "%.3f %.3Lf", 1.0 / 3, 2.0L / 3);
    return evert_yield();
}

/* Code that uses aligned vector instructions crashes on a stack that is not aligned. */
static void test_a_task_can_print_floating_point(void **state)
{
    char texts[8][64];
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < 8; i++)
        check_rc(evert_spawn(&s, print_doubles, texts[i]), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    for (int i = 0; i < 8; i++)
        assert_string_equal(texts[i], "0.333 0.667");
}

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *frames)
{
    (void)context;
    return ++*(int *)frames < 200 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static int unwind(void *frames)
{
    (void)_Unwind_Backtrace(count_frame, frames);
    return evert_yield();
}

static void test_unwinding_ends_where_the_task_began(void **state)
{
    int frames = 0;
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, unwind, &frames), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_true(frames >= 3);
    assert_true(frames < 20);
}

static int longjmp_inside(void *arg)
{
    jmp_buf back;
    volatile int *count = arg;
    *count = 0;
    if (setjmp(back) < 5) {
        ++*count;
        check_rc(evert_yield(), 0);
        longjmp(back, *count);
    }
    return *count;
}

static void test_longjmp_works_within_a_task(void **state)
{
    int counts[2];
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, longjmp_inside, &counts[0]), 0);
    check_rc(evert_spawn(&s, longjmp_inside, &counts[1]), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(counts[0], 5);
    assert_int_equal(counts[1], 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_stacks_take_turns),
        cmocka_unit_test(test_many_stacks_are_independent),
        cmocka_unit_test(test_a_new_stack_is_aligned_and_lies_where_it_was_given),
        everywhere(test_a_tasks_values_survive_its_waits),
        everywhere(test_a_task_can_print_floating_point),
        everywhere(test_unwinding_ends_where_the_task_began),
        everywhere(test_longjmp_works_within_a_task),
    };
    return run_table(tests);
}
