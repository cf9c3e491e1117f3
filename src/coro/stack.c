/* SPDX-License-Identifier: MIT */
/*
 * The guard is made with MADV_GUARD_INSTALL (Linux 6.13), which costs no mapping: a million stacks
 * that lie side by side are a handful of mappings, where PROT_NONE pages between them would be two
 * million, and the kernel allows 65,530. It is believed only once a system call that was given an
 * address inside a guard has answered EFAULT, since there are emulators that say yes to advice they
 * do not know. Where it does not work, as in locked memory, mprotect(2) makes the guard.
 *
 * Stacks of one size, mapped side by side, would have their hot ends in the same few sets of the
 * caches, and evict each other. So each is given a colour, which moves its top down by some lines
 * of its page, few enough that a parked task still needs a single page; and each takes an odd
 * number of pages, so that those at the tops differ in all the bits by which they are cached. It is
 * one page more and not several, since the kernel's own tables are paid for by the address.
 *
 * The pool keeps 256 stacks warm. What is above that goes back to the system in batches, and only
 * what nobody has needed for a while: so neither a burst of tasks nor a steady coming and going of
 * a thousand pays for unmapping and mapping again. And who does pay, pays less: several are mapped
 * by one call, and unmapped by one where they lie side by side.
 */
#include "coro/stack.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/asan.h"
#include "base/flat.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/time.h"
#include "coro/fiber.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { WARM = 256, BATCH = 512, PAGE = 4096, LEAST = 16 * 1024 };
enum { LINES = 32, AT_ONCE = 16 };

#define TRIM_AFTER EVERT_SECOND

/* Whether guards by advice hold on this kernel: 0 not known, 1 yes, -1 no. */
static atomic_int advice_holds;

static int guard_by_advice(char *base)
{
    int known = atomic_load_explicit(&advice_holds, memory_order_relaxed);
    if (known < 0)
        return -ENOSYS;
    int rc = evert__sys_advise(base, EVERT__STACK_GUARD, MADV_GUARD_INSTALL);
    if (rc < 0 || known > 0)
        return rc;
    bool holds = evert__sys_random(base + EVERT__STACK_GUARD / 2, 1) == -EFAULT;
    atomic_store_explicit(&advice_holds, holds ? 1 : -1, memory_order_relaxed);
    return holds ? 0 : -ENOSYS;
}

static int guard(char *base)
{
    if (guard_by_advice(base) == 0)
        return 0;
    int rc = evert__sys_protect(base, EVERT__STACK_GUARD, PROT_NONE);
    if (rc == -ENOMEM)
        evert__log(EVERT_LOG_ERROR, "no guard for another stack: the limit of memory mappings "
                                    "(/proc/sys/vm/max_map_count) is reached");
    return rc;
}

static size_t shift_of(unsigned colour)
{
    return (size_t)(colour % LINES) * EVERT__LINE;
}

static size_t whole_of(size_t size)
{
    return (EVERT__STACK_GUARD + size + PAGE) | PAGE;
}

static char *map_plain(size_t size)
{
    int rc;
    char *base = evert__sys_map(size, &rc);
    if (base != NULL)
        (void)evert__sys_advise(base, size, MADV_NOHUGEPAGE);
    return base;
}

/* The next of several, or where there are no addresses for these, a single one. */
static char *map_usual(struct evert__stack_pool *pool)
{
    const size_t whole = whole_of(EVERT__STACK_USUAL);
    if (pool->fresh_count == 0) {
        pool->fresh = map_plain(AT_ONCE * whole);
        if (pool->fresh == NULL)
            return map_plain(whole);
        pool->fresh_count = AT_ONCE;
    }
    return pool->fresh + --pool->fresh_count * whole;
}

__attribute__((noinline)) static struct evert__stack *map_stack(struct evert__stack_pool *pool,
                                                                size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = size < LEAST ? LEAST : (size + PAGE - 1) & ~(size_t)(PAGE - 1);
    size_t whole = whole_of(size);
    char *base = size == EVERT__STACK_USUAL ? map_usual(pool) : map_plain(whole);
    if (base == NULL)
        return NULL;
    if (guard(base) < 0) {
        (void)evert__sys_unmap(base, whole);
        return NULL;
    }
    char *top = base + whole - shift_of(pool->colour++);
    struct evert__stack *stack = (struct evert__stack *)(void *)(top - sizeof(*stack));
    stack->low = base + EVERT__STACK_GUARD;
    stack->size = size;
    stack->mapped = whole;
#ifdef EVERT_VALGRIND
    stack->valgrind = VALGRIND_STACK_REGISTER(stack->low, top - 1);
#endif
    return stack;
}

static char *base_of(const struct evert__stack *stack)
{
    return stack->low - EVERT__STACK_GUARD;
}

/* From AddressSanitizer, while it is in the pool. */
static void hide(const struct evert__stack *stack)
{
    evert__asan_hide(stack->low, (size_t)((const char *)stack - stack->low));
}

static void show(const struct evert__stack *stack)
{
    evert__asan_show(stack->low, (size_t)((const char *)stack - stack->low));
}

/* Right before it is unmapped. */
static void forget(const struct evert__stack *stack)
{
    show(stack);
#ifdef EVERT_VALGRIND
    VALGRIND_STACK_DEREGISTER(stack->valgrind);
#endif
}

/*
 * In front, since the stack that was used last is the one that is still in the caches. None other
 * is touched: each lies in a page of its own.
 */
static void keep(struct evert__stack_pool *pool, struct evert__stack *stack)
{
    stack->next = pool->first;
    pool->first = stack;
    pool->count++;
    hide(stack);
}

static struct evert__stack *take(struct evert__stack_pool *pool)
{
    struct evert__stack *stack = pool->first;
    pool->first = stack->next;
    pool->count--;
    if (pool->unused > pool->count)
        pool->unused = pool->count;
    show(stack);
    return stack;
}

/* Unmaps the first, and of those behind it that lie beside it as many as may be, by one call. */
static int unmap_some(struct evert__stack_pool *pool, unsigned most)
{
    struct evert__stack *stack = pool->first, *kept = pool->first;
    char *low = base_of(stack), *end = low;
    unsigned count = 0;
    for (; count < most; count++, stack = stack->next) {
        if (base_of(stack) == end)
            end += stack->mapped;
        else if (base_of(stack) + stack->mapped == low)
            low -= stack->mapped;
        else
            break;
        forget(stack);
    }
    int rc = evert__sys_unmap(low, (size_t)(end - low));
    if (rc == 0) {
        pool->first = stack;
        pool->count -= count;
    }
    for (; rc < 0 && kept != stack; kept = kept->next)
        hide(kept);
    return rc;
}

/* Until then it is noted how few there ever were: so many were not needed. */
static void look_later(struct evert__stack_pool *pool)
{
    pool->unused = pool->count;
    if (pool->count > WARM)
        evert__timer_set(pool->loop, &pool->trim, evert__time_add(pool->loop->now, TRIM_AFTER));
}

static void trim(struct evert__ready *ready)
{
    struct evert__stack_pool *pool = EVERT__CONTAINER(ready, struct evert__stack_pool, trim.ready);
    unsigned most = pool->unused < BATCH ? pool->unused : BATCH;
    unsigned least = pool->count - most > WARM ? pool->count - most : WARM;
    while (pool->count > least) {
        if (unmap_some(pool, pool->count - least) < 0)
            return; /* in the midst of a mapping it may fail for want of one */
    }
    look_later(pool);
}

void evert__stack_pool_init(struct evert__stack_pool *pool, evert_loop *loop)
{
    *pool = (struct evert__stack_pool){.loop = loop, .trim.ready.run = trim};
}

void evert__stack_pool_fini(struct evert__stack_pool *pool)
{
    evert__timer_unset(pool->loop, &pool->trim);
    while (pool->count > 0) {
        if (unmap_some(pool, pool->count) < 0)
            (void)take(pool);
    }
    if (pool->fresh_count > 0)
        (void)evert__sys_unmap(pool->fresh, pool->fresh_count * whole_of(EVERT__STACK_USUAL));
}

EVERT__HOT struct evert__stack *evert__stack_get(struct evert__stack_pool *pool, size_t size)
{
    if (size == 0)
        size = EVERT__STACK_USUAL;
    if (size == EVERT__STACK_USUAL && pool->count > 0)
        return take(pool);
    return map_stack(pool, size);
}

EVERT__HOT void evert__stack_put(struct evert__stack_pool *pool, struct evert__stack *stack)
{
    if (!evert__stack_is_usual(stack)) {
        forget(stack);
        (void)evert__sys_unmap(base_of(stack), stack->mapped);
        return;
    }
    keep(pool, stack);
    if (pool->count > WARM && !evert__timer_is_set(&pool->trim))
        look_later(pool);
}
