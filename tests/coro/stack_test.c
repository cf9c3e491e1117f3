/* SPDX-License-Identifier: MIT */
/*
 * Stacks: the guard below each, the pool, and what happens when there is no memory. Whether advice
 * makes guards is found out once in a process, with its first stack; so tests that play with that
 * come first, in children.
 */
#include <netdb.h>
#include <regex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "support.h"

enum { PAGE = 4096 };

struct pool {
    evert_loop *loop;
    struct evert__stack_pool stacks;
};

static void pool_init(struct pool *pool)
{
    check_rc(evert_loop_new(&pool->loop), 0);
    evert__stack_pool_init(&pool->stacks, pool->loop);
}

static void pool_fini(struct pool *pool)
{
    evert__stack_pool_fini(&pool->stacks);
    evert_loop_free(pool->loop);
}

static struct evert__stack *get(struct pool *pool, size_t size)
{
    struct evert__stack *stack = evert__stack_get(&pool->stacks, size);
    assert_non_null(stack);
    return stack;
}

/* Whether the kernel can write there: it says EFAULT where a program would get a signal. */
static bool writable(char *at)
{
    return syscall(SYS_getrandom, at, 1, 0) == 1;
}

static void check_guarded(const struct evert__stack *stack)
{
    for (char *page = stack->low - EVERT__STACK_GUARD; page < stack->low; page += PAGE) {
        assert_false(writable(page));
        assert_false(writable(page + PAGE - 1));
    }
    for (char *page = stack->low; page < (char *)stack - PAGE; page += PAGE)
        assert_true(writable(page));
}

/* What each call is answered by the test, 0 for "make it"; and how often each was made. */
static struct {
    int64_t answers[EVERT__SYS_COUNT];
    int calls[EVERT__SYS_COUNT];
    bool says_zero[EVERT__SYS_COUNT], says_so_once[EVERT__SYS_COUNT];
} script;

static bool follow_script(enum evert__sys_call call, const void *site, size_t *size,
                          int64_t *result)
{
    (void)site;
    (void)size;
    script.calls[call]++;
    *result = script.answers[call];
    if (script.says_so_once[call])
        script.answers[call] = 0;
    return *result != 0 || script.says_zero[call];
}

static void start_script(void)
{
    memset(&script, 0, sizeof(script));
    evert__sys_set_hook(follow_script);
}

static void stop_script(void)
{
    evert__sys_set_hook(NULL);
}

/* ---- How the guard is made; each in a child, where nothing is known yet ---- */

static int guard_where_advice_is_unknown(void *unused)
{
    struct pool pool;
    (void)unused;
    pool_init(&pool);
    start_script();
    script.answers[EVERT__SYS_ADVISE] = -EINVAL; /* an older kernel; or locked memory */
    struct evert__stack *stack = get(&pool, 0);
    assert_int_equal(script.calls[EVERT__SYS_PROTECT], 1);
    check_guarded(stack);
    evert__stack_put(&pool.stacks, stack);
    stop_script();
    pool_fini(&pool);
    return 0;
}

static void test_where_advice_is_not_known_protection_makes_the_guard(void **state)
{
    (void)state;
    struct child child = in_child(guard_where_advice_is_unknown, NULL);
    check_exit(&child, 0);
}

static int guard_where_advice_lies(void *unused)
{
    struct pool pool;
    (void)unused;
    pool_init(&pool);
    start_script();
    script.says_zero[EVERT__SYS_ADVISE] = true; /* as qemu's user mode: yes to everything */
    struct evert__stack *first = get(&pool, 0);
    assert_int_equal(script.calls[EVERT__SYS_RANDOM], 1); /* it was put to the test */
    assert_int_equal(script.calls[EVERT__SYS_PROTECT], 1);
    int asked = script.calls[EVERT__SYS_ADVISE];
    struct evert__stack *second = get(&pool, 0);
    assert_int_equal(script.calls[EVERT__SYS_RANDOM], 1); /* and is not asked again */
    assert_int_equal(script.calls[EVERT__SYS_ADVISE], asked);
    assert_int_equal(script.calls[EVERT__SYS_PROTECT], 2);
    check_guarded(first);
    check_guarded(second);
    evert__stack_put(&pool.stacks, first);
    evert__stack_put(&pool.stacks, second);
    stop_script();
    pool_fini(&pool);
    return 0;
}

static void test_where_advice_lies_protection_makes_the_guard(void **state)
{
    (void)state;
    struct child child = in_child(guard_where_advice_lies, NULL);
    check_exit(&child, 0);
}

static int guard_in_locked_memory(void *unused)
{
    struct pool pool;
    (void)unused;
    pool_init(&pool);
    if (mlockall(MCL_FUTURE) < 0)
        return 0; /* this process may not; the two cases above stand for it */
    struct evert__stack *stack = get(&pool, 0);
    check_guarded(stack);
    evert__stack_put(&pool.stacks, stack);
    pool_fini(&pool);
    return 0;
}

static void test_in_locked_memory_there_is_a_guard_too(void **state)
{
    (void)state;
    struct child child = in_child(guard_in_locked_memory, NULL);
    check_exit(&child, 0);
}

static int no_guard_to_be_had(void *unused)
{
    struct pool pool;
    (void)unused;
    pool_init(&pool);
    start_script();
    start_logging();
    script.answers[EVERT__SYS_ADVISE] = -EINVAL;
    script.answers[EVERT__SYS_PROTECT] = -ENOMEM;
    assert_null(evert__stack_get(&pool.stacks, 0));
    stop_logging();
    stop_script();
    assert_int_equal(script.calls[EVERT__SYS_UNMAP], script.calls[EVERT__SYS_MAP]);
    assert_int_equal(logged.level, EVERT_LOG_ERROR);
    assert_non_null(strstr(logged.text, "/proc/sys/vm/max_map_count"));
    check_guarded(get(&pool, 0)); /* and later there is */
    return 0;
}

static void test_the_limit_of_mappings_is_told(void **state)
{
    (void)state;
    struct child child = in_child(no_guard_to_be_had, NULL);
    check_exit(&child, 0);
}

/* ---- Guards ---- */

static void test_each_stack_has_64_kib_of_guard_below_it(void **state)
{
    static const size_t sizes[] = {0, 0, 1, 16 * 1024, 100000, 8 * 1024 * 1024};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    struct evert__stack *stacks[SIZES];
    struct pool pool;
    (void)state;
    pool_init(&pool);
    for (int i = 0; i < SIZES; i++)
        stacks[i] = get(&pool, sizes[i]);
    for (int i = 0; i < SIZES; i++)
        check_guarded(stacks[i]);
    for (int i = 0; i < SIZES; i++)
        evert__stack_put(&pool.stacks, stacks[i]);
    check_guarded(get(&pool, 0)); /* also one that was used before */
    pool_fini(&pool);
}

static int touch_guard(void *at)
{
    *(volatile char *)at = 1;
    return 0;
}

static void test_touching_below_a_stack_kills(void **state)
{
    struct pool pool;
    (void)state;
    pool_init(&pool);
    struct evert__stack *stack = get(&pool, 0);
    char *places[] = {stack->low - 1, stack->low - EVERT__STACK_GUARD};
    for (int i = 0; i < 2; i++) {
        struct child child = in_child(touch_guard, places[i]);
        check_killed(&child, SIGSEGV);
    }
    evert__stack_put(&pool.stacks, stack);
    pool_fini(&pool);
}

/* ---- Sizes ---- */

static void test_a_stack_is_at_least_as_large_as_asked_for(void **state)
{
    static const size_t sizes[] = {1, 16 * 1024, 16 * 1024 + 1, 300000, 1 << 20};
    struct pool pool;
    (void)state;
    pool_init(&pool);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct evert__stack *stack = get(&pool, sizes[i]);
        assert_true(stack->size >= sizes[i]);
        assert_true(stack->size >= (size_t)16 * 1024);
        evert__stack_put(&pool.stacks, stack);
    }
    struct evert__stack *usual = get(&pool, 0);
    assert_int_equal(usual->size, EVERT__STACK_USUAL);
    evert__stack_put(&pool.stacks, usual);
    pool_fini(&pool);
}

/* F46 */
static void test_too_large_a_stack_is_out_of_memory(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - PAGE, SIZE_MAX / 2 + 1, TOO_LARGE};
    struct pool pool;
    (void)state;
    pool_init(&pool);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        assert_null(evert__stack_get(&pool.stacks, sizes[i]));
    pool_fini(&pool);
}

/* ---- The pool ---- */

static void test_the_stack_used_last_is_used_first(void **state)
{
    struct pool pool;
    (void)state;
    pool_init(&pool);
    struct evert__stack *a = get(&pool, 0), *b = get(&pool, 0);
    assert_ptr_not_equal(a, b);
    evert__stack_put(&pool.stacks, a);
    evert__stack_put(&pool.stacks, b);
    assert_int_equal(pool.stacks.count, 2);
    assert_ptr_equal(get(&pool, 0), b);
    assert_ptr_equal(get(&pool, 0), a);
    assert_int_equal(pool.stacks.count, 0);
    evert__stack_put(&pool.stacks, a);
    evert__stack_put(&pool.stacks, b);
    pool_fini(&pool);
}

/* Builds with AddressSanitizer see a use of a task that is gone. */
static void test_a_stack_in_the_pool_is_hidden(void **state)
{
    (void)state;
#ifdef EVERT__ASAN
    struct pool pool;
    pool_init(&pool);
    struct evert__stack *stack = get(&pool, 0);
    evert__stack_put(&pool.stacks, stack);
    assert_true(__asan_address_is_poisoned(stack->low));
    assert_true(__asan_address_is_poisoned((char *)stack - 1));
    assert_ptr_equal(get(&pool, 0), stack);
    assert_null(__asan_region_is_poisoned(stack->low, (size_t)((char *)stack - stack->low)));
    evert__stack_put(&pool.stacks, stack);
    pool_fini(&pool);
#endif
}

/* In whichever order they come back. */
static void test_usual_stacks_are_mapped_and_unmapped_several_at_once(void **state)
{
    enum { COUNT = 40, AT_ONCE = 16 };
    const int steps[] = {1, 3, 7, COUNT - 1}; /* from one that comes back to the next */
    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct evert__stack *stacks[COUNT];
        char *lows[COUNT];
        struct pool pool;
        pool_init(&pool);
        start_script();
        for (int j = 0; j < COUNT; j++) {
            stacks[j] = get(&pool, 0);
            lows[j] = stacks[j]->low;
            check_guarded(stacks[j]);
        }
        assert_int_equal(script.calls[EVERT__SYS_MAP], 3);
        for (int j = 0; j < COUNT; j++)
            evert__stack_put(&pool.stacks, stacks[j * steps[i] % COUNT]);
        assert_int_equal(pool.stacks.count, COUNT);
        char *fresh = pool.stacks.fresh;
        assert_int_equal(pool.stacks.fresh_count, 3 * AT_ONCE - COUNT);
        assert_true(writable(fresh));
        evert__stack_pool_fini(&pool.stacks);
        stop_script();
        if (steps[i] == 1) /* with the fresh ones */
            assert_true(script.calls[EVERT__SYS_UNMAP] <= 3 + 1);
        if (steps[i] == COUNT - 1) /* and the one that came back before its neighbours */
            assert_true(script.calls[EVERT__SYS_UNMAP] <= 3 + 1 + 1);
        for (int j = 0; j < COUNT; j++)
            assert_false(writable(lows[j]));
        assert_false(writable(fresh));
        evert_loop_free(pool.loop);
    }
}

static void test_without_addresses_for_several_a_single_one_is_mapped(void **state)
{
    struct pool pool;
    (void)state;
    pool_init(&pool);
    start_script();
    script.answers[EVERT__SYS_MAP] = -ENOMEM;
    script.says_so_once[EVERT__SYS_MAP] = true;
    struct evert__stack *stack = get(&pool, 0);
    stop_script();
    assert_int_equal(script.calls[EVERT__SYS_MAP], 2);
    assert_int_equal(pool.stacks.fresh_count, 0);
    check_guarded(stack);
    evert__stack_put(&pool.stacks, stack);
    pool_fini(&pool);
}

static void test_stacks_of_other_sizes_go_back_at_once(void **state)
{
    struct pool pool;
    (void)state;
    pool_init(&pool);
    start_script();
    evert__stack_put(&pool.stacks, get(&pool, 1 << 20));
    stop_script();
    assert_int_equal(script.calls[EVERT__SYS_MAP], 1);
    assert_int_equal(script.calls[EVERT__SYS_UNMAP], 1);
    assert_int_equal(pool.stacks.count, 0);
    pool_fini(&pool);
}

static void fill(struct pool *pool, unsigned count)
{
    static struct evert__stack *stacks[1000];
    for (unsigned i = 0; i < count; i++)
        stacks[i] = get(pool, 0);
    for (unsigned i = 0; i < count; i++)
        evert__stack_put(&pool->stacks, stacks[i]);
    assert_int_equal(pool->stacks.count, count);
}

/* As if the time had passed. */
static void look_what_is_needed(struct pool *pool)
{
    assert_true(evert__timer_is_set(&pool->stacks.trim));
    evert__timer_unset(pool->loop, &pool->stacks.trim);
    evert__timer_set(pool->loop, &pool->stacks.trim, 0);
    check_rc(evert_loop_turn(pool->loop, EVERT_NEVER), 0);
}

static void test_the_pool_keeps_256_warm_and_gives_the_rest_back_when_idle(void **state)
{
    struct pool pool;
    (void)state;
    pool_init(&pool);
    fill(&pool, 1000);
    check_rc(evert_loop_turn(pool.loop, 0), 0);
    assert_true(pool.stacks.count > 256); /* not at once, and in batches */
    while (pool.stacks.count > 256)
        look_what_is_needed(&pool);
    assert_int_equal(pool.stacks.count, 256);
    assert_null(evert__heap_first(&pool.loop->timers)); /* no more than 256: nothing to do */
    start_script();
    fill(&pool, 256);
    stop_script();
    assert_int_equal(script.calls[EVERT__SYS_MAP], 0);
    pool_fini(&pool);
}

static void test_stacks_that_are_needed_again_and_again_are_not_given_back(void **state)
{
    struct pool pool;
    (void)state;
    pool_init(&pool);
    fill(&pool, 1000);
    start_script();
    for (int i = 0; i < 3; i++) {
        fill(&pool, 1000);
        look_what_is_needed(&pool);
    }
    stop_script();
    assert_int_equal(script.calls[EVERT__SYS_MAP], 0);
    assert_int_equal(script.calls[EVERT__SYS_UNMAP], 0);
    assert_int_equal(pool.stacks.count, 1000);
    look_what_is_needed(&pool);
    assert_int_equal(pool.stacks.count, 488); /* a batch less, as nobody has needed them */
    pool_fini(&pool);
}

static void test_a_stack_that_cannot_be_unmapped_stays_in_the_pool(void **state)
{
    struct pool pool;
    (void)state;
    pool_init(&pool);
    fill(&pool, 300);
    start_script();
    script.answers[EVERT__SYS_UNMAP] = -ENOMEM;
    look_what_is_needed(&pool);
    stop_script();
    assert_int_equal(pool.stacks.count, 300);
#ifdef EVERT__ASAN
    for (const struct evert__stack *stack = pool.stacks.first; stack != NULL; stack = stack->next)
        assert_true(__asan_address_is_poisoned(stack->low));
#endif
    fill(&pool, 300); /* they are as good as before */
    while (pool.stacks.count > 256)
        look_what_is_needed(&pool);
    pool_fini(&pool);
}

/* ---- F48: no memory for a stack ---- */

static int add_one(void *count)
{
    ++*(int *)count;
    return evert_yield();
}

static void test_without_a_stack_spawning_fails_and_nothing_else(void **state)
{
    evert_spawn_options options = evert_spawn_defaults();
    evert_task *task = (evert_task *)(void *)&options;
    evert_coro *coro;
    evert_scope s;
    int count = 0;
    (void)state;
    options.ret_task = &task;
    options.stack = 1 << 20; /* the pool has none of these */
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, add_one, &count), 0);
    start_script();
    script.answers[EVERT__SYS_MAP] = -EAGAIN; /* too much memory is locked: mmap(2) */
    check_rc(evert_spawn_with(&s, &options, add_one, &count), -ENOMEM);
    script.answers[EVERT__SYS_MAP] = -ENOMEM;
    while (all_tasks()->stacks.count + all_tasks()->stacks.fresh_count > 0)
        check_rc(evert_spawn(&s, add_one, &count), 0);
    check_rc(evert_spawn(&s, add_one, &count), -ENOMEM);
    check_rc(evert_coro_new(&coro, add_one, &count), 0);
    script.answers[EVERT__SYS_MAP] = -EPERM;
    check_rc(evert_spawn_coro(&s, coro), -ENOMEM);
    int tried = script.calls[EVERT__SYS_MAP];
    stop_script();
    assert_int_equal(tried, 5);       /* usual ones: several at once, and then a single one */
    assert_ptr_equal(task, &options); /* untouched */
    int before = count;
    check_rc(evert_spawn(&s, add_one, &count), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_true(count > before + 1); /* those that were spawned before, too */
}

/* ---- BR-057: the usual size is enough for the C library ---- */

static int call_library(void *unused)
{
    char text[1024];
    regex_t regex;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    (void)unused;
    assert_true(snprintf(text, sizeof(text), "%.20f %Lf", 1e300 / 3, 1e300L) > 100);
    assert_int_equal(getaddrinfo("localhost", "80", &hints, &found), 0);
    freeaddrinfo(found);
    assert_int_equal(regcomp(&regex, "^([a-z]+|[0-9]*)*$", REG_EXTENDED), 0);
    assert_int_equal(regexec(&regex, "abc123def", 0, NULL, 0), 0);
    regfree(&regex);
    return 0;
}

static void test_the_usual_size_is_enough_for_the_c_library(void **state)
{
    (void)state;
    check_rc(in_task(call_library, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* These first: see above. */
        cmocka_unit_test(test_where_advice_is_not_known_protection_makes_the_guard),
        cmocka_unit_test(test_where_advice_lies_protection_makes_the_guard),
        cmocka_unit_test(test_in_locked_memory_there_is_a_guard_too),
        cmocka_unit_test(test_the_limit_of_mappings_is_told),
        cmocka_unit_test(test_each_stack_has_64_kib_of_guard_below_it),
        cmocka_unit_test(test_touching_below_a_stack_kills),
        cmocka_unit_test(test_a_stack_is_at_least_as_large_as_asked_for),
        cmocka_unit_test(test_too_large_a_stack_is_out_of_memory),
        cmocka_unit_test(test_the_stack_used_last_is_used_first),
        cmocka_unit_test(test_a_stack_in_the_pool_is_hidden),
        cmocka_unit_test(test_usual_stacks_are_mapped_and_unmapped_several_at_once),
        cmocka_unit_test(test_without_addresses_for_several_a_single_one_is_mapped),
        cmocka_unit_test(test_stacks_of_other_sizes_go_back_at_once),
        cmocka_unit_test(test_the_pool_keeps_256_warm_and_gives_the_rest_back_when_idle),
        cmocka_unit_test(test_stacks_that_are_needed_again_and_again_are_not_given_back),
        cmocka_unit_test(test_a_stack_that_cannot_be_unmapped_stays_in_the_pool),
        everywhere(test_without_a_stack_spawning_fails_and_nothing_else),
        cmocka_unit_test(test_the_usual_size_is_enough_for_the_c_library),
    };
    return run_table(tests);
}
