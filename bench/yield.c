/* SPDX-License-Identifier: MIT */
/*
 * What the smallest things cost, each round measuring all of them in turn:
 *
 *     yield [ROUNDS]
 *
 *   bare    a switch to another stack, by nothing but the assembly that it takes: the floor
 *   pair    evert_yield() in a task while there are two of them, so each is a switch
 *   crowd   the same while there are a thousand, who share the cost of a turn of the loop
 *   spawn   a task started and waited for: a thousand in a scope, on stacks that are warm
 *   timer   a timer set and cancelled, while a thousand others wait
 *   timers  the same at random times among a million
 *
 * The result is one line of JSON: the nanoseconds of each round; and what the program had of its
 * core right before or right after (core.h), whichever was less.
 */
#include "core.h"

#include <evert/evert.h>

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MOST_ROUNDS = 99,
    CROWD = 1000,
    BATCHES = 201, /* of spawned tasks; the median is what counts, so that no trimming is in it */
    SWITCHES = 4 * 1000 * 1000,
    YIELDS = 100 * 1000,
    CROWD_YIELDS = 500,
    TIMERS = 1000 * 1000,
    MANY = 1000 * 1000,
};

/* The clock afresh; evert_now() is that of the turn. */
static double now(void)
{
    return (double)evert_after(0);
}

/*
 * The bare switch: `from` is where the stack pointer is left, `to` the one to go on with. It knows
 * nothing of the library's own, so that this stays what it is when that one changes.
 */
#if defined(__x86_64__)
#define HAS_BARE 1
enum { FRAME = 7, FRAME_RETURN = 6 };
__asm__(".text\n"
        ".balign 16\n"
        "bare_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    popq %rcx\n"
        "    jmpq *%rcx\n");
#elif defined(__aarch64__)
#define HAS_BARE 1
enum { FRAME = 20, FRAME_RETURN = 11 };
__asm__(".text\n"
        ".balign 16\n"
        "bare_switch:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x9, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    br x9\n");
#endif

#ifdef HAS_BARE
extern void bare_switch(void **from, void *to) __attribute__((visibility("hidden")));

static void *here, *there;

static void switch_back_for_ever(void)
{
    for (;;)
        bare_switch(&there, here);
}

static double measure_bare(void)
{
    static uintptr_t stack[2048] __attribute__((aligned(16)));
    /* On x86-64 a function begins with the stack 8 below a multiple of 16, as after a call. */
    uintptr_t *frame = stack + 2048 - 2 - FRAME + (FRAME % 2);
    double began;

    frame[FRAME_RETURN] = (uintptr_t)switch_back_for_ever;
    there = frame;
    bare_switch(&here, there);
    began = now();
    for (int i = 0; i < SWITCHES; i++)
        bare_switch(&here, there);
    return (now() - began) / (2.0 * SWITCHES);
}
#endif

static void check(int rc, const char *what)
{
    if (rc < 0)
        errx(1, "%s: %s", what, evert_strerror(rc));
}

static int yield_often(void *times)
{
    int rc = 0;

    for (int i = *(int *)times; rc == 0 && i > 0; i--)
        rc = evert_yield();
    return rc;
}

/* For each yield; the tasks' starting is in it, and nothing beside so many yields. */
static double yield_in(int tasks, int times)
{
    double began = now();
    evert_scope s;

    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < tasks; i++)
        check(evert_spawn(&s, yield_often, &times), "spawn");
    check(evert_scope_leave(&s, 0), "yield");
    return (now() - began) / ((double)tasks * times);
}

static double measure_pair(void)
{
    /* By then the stacks that others have left are unmapped, which is not to fall in here. */
    check(evert_sleep(300 * EVERT_MILLISECOND), "sleep");
    (void)yield_in(2, YIELDS); /* a core that has slept is slow at first */
    return yield_in(2, YIELDS);
}

static double measure_crowd(void)
{
    (void)yield_in(CROWD, 1); /* warms the stacks */
    return yield_in(CROWD, CROWD_YIELDS);
}

static int nothing(void *unused)
{
    (void)unused;
    return 0;
}

static double spawn_crowd(void)
{
    double began = now();
    evert_scope s;

    evert_scope_enter(&s, EVERT_NEVER);
    for (int i = 0; i < CROWD; i++)
        check(evert_spawn(&s, nothing, NULL), "spawn");
    check(evert_scope_leave(&s, 0), "leave");
    return (now() - began) / CROWD;
}

static double measure_spawn(void)
{
    double batches[BATCHES];

    spawn_crowd(); /* warms the stacks */
    for (int i = 0; i < BATCHES; i++)
        batches[i] = spawn_crowd();
    qsort(batches, BATCHES, sizeof(batches[0]), compare_doubles);
    return batches[BATCHES / 2];
}

static void never_called(void *unused)
{
    (void)unused;
}

/* Any moment of an hour that begins in an hour. Knuth's linear congruential generator. */
static evert_time some_time(uint64_t *random)
{
    *random = *random * 6364136223846793005U + 1442695040888963407U;
    return evert_now() + 3600 * EVERT_SECOND + (evert_time)(*random >> 22);
}

static void set_timer(evert_handle *handle, evert_time when)
{
    check(evert_loop_call_at(evert_loop_current(), handle, when, never_called, NULL), "call_at");
}

static double set_and_cancel_among(evert_handle *others, int count)
{
    uint64_t random = 1;
    evert_handle handle = {{0}};
    double began, ended;

    for (int i = 0; i < count; i++)
        set_timer(&others[i], some_time(&random));
    began = now();
    for (int i = 0; i < TIMERS; i++) {
        set_timer(&handle, some_time(&random));
        evert_handle_cancel(&handle);
    }
    ended = now();
    for (int i = 0; i < count; i++)
        evert_handle_cancel(&others[i]);
    return (ended - began) / TIMERS;
}

static double measure_timer(void)
{
    static evert_handle others[CROWD];
    return set_and_cancel_among(others, CROWD);
}

static double measure_timers(void)
{
    static evert_handle others[MANY];
    return set_and_cancel_among(others, MANY);
}

static struct row {
    const char *name;
    double (*measure)(void);
    double rounds[MOST_ROUNDS];
    double additions[MOST_ROUNDS];
} rows[] = {
#ifdef HAS_BARE
    {"bare", measure_bare, {0}, {0}},
#endif
    {"pair", measure_pair, {0}, {0}},     {"crowd", measure_crowd, {0}, {0}},
    {"spawn", measure_spawn, {0}, {0}},   {"timer", measure_timer, {0}, {0}},
    {"timers", measure_timers, {0}, {0}},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void print_list(const char *name, const double *values, int count)
{
    printf("\"%s\": [", name);
    for (int i = 0; i < count; i++)
        printf("%s%.2f", i == 0 ? "" : ", ", values[i]);
    printf("]");
}

static void print_rows(int rounds)
{
    printf("{");
    for (int i = 0; i < ROWS; i++) {
        print_list(rows[i].name, rows[i].rounds, rounds);
        printf(", ");
    }
    printf("\"additions\": {");
    for (int i = 0; i < ROWS; i++) {
        print_list(rows[i].name, rows[i].additions, rounds);
        printf("%s", i < ROWS - 1 ? ", " : "}}\n");
    }
}

static void measure_row(struct row *row, int round)
{
    double before = additions_in_a_cycle(), after;

    row->rounds[round] = row->measure();
    after = additions_in_a_cycle();
    row->additions[round] = before < after ? before : after;
}

static int measure_all(void *arg)
{
    int rounds = *(int *)arg;

    for (int i = 0; i < ROWS; i++)
        rows[i].measure(); /* the first time is not like the others */
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < ROWS; i++)
            measure_row(&rows[i], round);
    }
    print_rows(rounds);
    return 0;
}

int main(int argc, char **argv)
{
    char *end = "";
    long asked = argc > 1 ? strtol(argv[1], &end, 10) : 15;
    int rounds = (int)asked;

    if (*end != '\0' || asked < 1 || asked > MOST_ROUNDS)
        errx(2, "ROUNDS are from 1 to %d", MOST_ROUNDS);
    return evert_main(measure_all, &rounds);
}
