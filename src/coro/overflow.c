/* SPDX-License-Identifier: MIT */
/*
 * The handler for SIGSEGV and SIGBUS. A fault inside the guard of the task that runs is an
 * overflow, and is explained; then, and after any other fault, whoever handled the signal before
 * has it. The handler is the process's, so its users are counted.
 */
#include "coro/overflow.h"

#include <stdint.h>
#include <sys/auxv.h>

#include "base/alloc.h"
#include "base/format.h"
#include "base/sys.h"
#include "coro/task.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

enum { SIGNALS = 2, HANDLER_NEEDS = 16 * 1024 };

static const int numbers[SIGNALS] = {SIGSEGV, SIGBUS};
static struct sigaction before[SIGNALS];
static unsigned users;

static void explain(const struct evert__task *task)
{
    char text[400];
    size_t size = evert__format_string(
        text, sizeof(text),
        "evert: stack overflow in task %s, spawned at %s: all of its %zu KiB are used. Keep large "
        "arrays off the stack, or give the task more with evert_spawn_with().\n",
        task->name, task->place, task->stack->size / 1024);
    (void)evert__sys_write(2, text, size);
}

static void pass_on(int number, siginfo_t *info, void *machine)
{
    const struct sigaction *old = &before[number == SIGSEGV ? 0 : 1];
    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(number, info, machine);
    else /* the instruction is made again when this returns, and so is the fault */
        (void)evert__sys_sigaction(number, old, NULL);
}

static void handler(int number, siginfo_t *info, void *machine)
{
    evert_loop *loop = evert__loop_running();
    const struct evert__task *task = loop != NULL ? loop->current : NULL;
    if (task != NULL) {
        uintptr_t at = (uintptr_t)info->si_addr, low = (uintptr_t)task->stack->low;
        if (at < low && at >= low - EVERT__STACK_GUARD)
            explain(task);
    }
    pass_on(number, info, machine);
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < SIGNALS; i++)
        (void)evert__sys_sigaction(numbers[i], &action, &before[i]);
}

static void uninstall(void)
{
    for (int i = 0; i < SIGNALS; i++)
        (void)evert__sys_sigaction(numbers[i], &before[i], NULL);
}

void evert__overflow_watch(struct evert__overflow *overflow)
{
    stack_t stack, old;
    *overflow = (struct evert__overflow){0};
    if (evert__sys_sigaltstack(NULL, &old) < 0)
        return;
    if (old.ss_flags & SS_DISABLE) {
        size_t size = (size_t)getauxval(AT_MINSIGSTKSZ) + HANDLER_NEEDS;
        overflow->stack = evert__alloc(size);
        if (overflow->stack == NULL)
            return;
        stack = (stack_t){.ss_sp = overflow->stack, .ss_size = size};
        (void)evert__sys_sigaltstack(&stack, NULL);
    }
    evert__process_lock();
    if (users++ == 0)
        install();
    evert__process_unlock();
    overflow->counted = true;
}

void evert__overflow_unwatch(struct evert__overflow *overflow)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    if (!overflow->counted)
        return; /* there was no memory for the stack either */
    evert__process_lock();
    if (--users == 0)
        uninstall();
    evert__process_unlock();
    if (overflow->stack != NULL) {
        (void)evert__sys_sigaltstack(&none, NULL);
        evert__free(overflow->stack);
    }
}
