/* SPDX-License-Identifier: MIT */
/*
 * The hooks that count and answer. They are called in all threads, and in signal handlers, so they
 * take no locks: sites stand in a table with open addressing, and a place is taken by its key.
 */
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <evert/base/alloc.h>

#include "plan.h"

static const struct plan *plan;
static struct record *record;
static uintptr_t bias;        /* where the program lies, against its file */
static _Atomic int64_t begun; /* when the fault began, in milliseconds */
static atomic_bool counts;    /* false in the child of a fork, which has no faults */

enum { SKIPPED = 3 }; /* frames of a backtrace that are of this file */

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Sites ---- */

/* The site with this key, and whether it is new. NULL: the table is full. */
static struct site *site_of(struct site *table, uint64_t key, bool *ret_new)
{
    for (size_t i = 0; i < MOST_SITES; i++) {
        struct site *site = &table[(key + i) % MOST_SITES];
        uint64_t there = 0;
        *ret_new = atomic_compare_exchange_strong(&site->key, &there, key);
        if (*ret_new || there == key)
            return site;
    }
    return NULL;
}

/* Whether the fault is to happen at what is reached for the nth time. */
static bool is_time(unsigned nth)
{
    if (nth < plan->nth)
        return false;
    if (plan->span == 0)
        return nth < plan->nth + plan->times;
    int64_t now = milliseconds(), none = 0;
    atomic_compare_exchange_strong(&begun, &none, now);
    return now - atomic_load(&begun) < plan->span;
}

static void look_for_spin(void)
{
    if (atomic_fetch_add(&record->asked, 1) + 1 != plan->calls_limit)
        return;
    atomic_store(&record->spun, true);
    _exit(1);
}

/* ---- System calls ---- */

static bool is_counter(enum evert__sys_call call, const size_t *size)
{
    return (call == EVERT__SYS_READ || call == EVERT__SYS_WRITE) && *size == sizeof(uint64_t);
}

static void note_mapping(enum evert__sys_call call, const size_t *size)
{
    if (call == EVERT__SYS_MAP)
        atomic_fetch_add(&record->mapped, (long long)*size);
    if (call == EVERT__SYS_UNMAP)
        atomic_fetch_sub(&record->mapped, (long long)*size);
}

static bool at_call(enum evert__sys_call call, const void *address, size_t *size, int64_t *result)
{
    uintptr_t place = (uintptr_t)address - bias;
    bool is_new;
    if (!atomic_load(&counts))
        return false;
    look_for_spin();
    struct site *site =
        site_of(record->calls, (uint64_t)place << 8 | (unsigned)call << 1 | 1, &is_new);
    if (site == NULL)
        abort();
    if (is_new) {
        site->call = call;
        site->place = place;
        atomic_store(&site->counter, is_counter(call, size));
        atomic_store(&site->filled, true);
    }
    unsigned nth = atomic_fetch_add(&site->reached, 1) + 1;
    if (plan->fault == FAULT_CALL && plan->call == call && plan->place == place && is_time(nth)) {
        atomic_fetch_add(&record->failed, 1);
        if (plan->answer != 0) {
            if (call == EVERT__SYS_UNMAP)
                note_mapping(call, size);
            *result = plan->answer;
            return true;
        }
        if (*size > plan->most)
            *size = plan->most;
    }
    if (call == EVERT__SYS_ADVISE && plan->no_advice) {
        *result = -EINVAL;
        return true;
    }
    note_mapping(call, size);
    return false;
}

/* ---- Allocations ---- */

/* Who asked. The first few frames are of this file. */
static __attribute__((noinline)) uint64_t find_frames(uintptr_t ret[FRAMES])
{
    void *frames[FRAMES + SKIPPED];
    int count = backtrace(frames, FRAMES + SKIPPED);
    uint64_t key = 0xcbf29ce484222325U;
    memset(ret, 0, FRAMES * sizeof(ret[0]));
    for (int i = SKIPPED; i < count; i++) {
        ret[i - SKIPPED] = (uintptr_t)frames[i] - bias;
        key = (key ^ ret[i - SKIPPED]) * 0x100000001b3U;
    }
    return key | 1;
}

static __attribute__((noinline)) void note_allocation(unsigned nth, bool fails)
{
    uintptr_t frames[FRAMES];
    bool is_new;
    uint64_t key = find_frames(frames);
    struct site *site = site_of(record->allocations, key, &is_new);
    if (fails && atomic_fetch_add(&record->failed, 1) == 0)
        memcpy(record->failed_at.frames, frames, sizeof(frames));
    if (site == NULL)
        return; /* more sites than are counted */
    atomic_fetch_add(&site->reached, 1);
    if (!is_new)
        return;
    memcpy(site->frames, frames, sizeof(frames));
    atomic_store(&site->first, nth);
    atomic_store(&site->filled, true);
}

static void *reallocate(void *memory, size_t size, void *unused)
{
    (void)unused;
    if (!atomic_load(&counts))
        return realloc(memory, size);
    unsigned nth = atomic_fetch_add(&record->allocated, 1) + 1;
    bool fails = plan->fault == FAULT_ALLOCATION && is_time(nth);
    note_allocation(nth, fails);
    if (fails)
        return NULL;
    void *got = realloc(memory, size);
    if (memory == NULL && got != NULL)
        atomic_fetch_add(&record->live, 1);
    return got;
}

static void release(void *memory, void *unused)
{
    (void)unused;
    if (atomic_load(&counts))
        atomic_fetch_sub(&record->live, 1);
    free(memory);
}

/* ---- Arming ---- */

static int find_bias(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    bias = info->dlpi_addr;
    return 1; /* the program itself is the first */
}

static void stop_counting(void)
{
    atomic_store(&counts, false);
}

void hooks_arm(const struct plan *wanted, struct record *shared)
{
    static const evert_allocator allocator = {reallocate, release, NULL};
    void *frame[1];
    plan = wanted;
    record = shared;
    dl_iterate_phdr(find_bias, NULL);
    (void)backtrace(frame, 1); /* the first time it loads what it needs */
    pthread_atfork(NULL, NULL, stop_counting);
    atomic_store(&counts, true);
    evert_set_allocator(&allocator);
    evert__sys_set_hook(at_call);
}

void hooks_disarm(void)
{
    atomic_store(&counts, false);
    evert__sys_set_hook(NULL);
}

/* ---- Words ---- */

static void cut_line(char *line)
{
    line[strcspn(line, "\n")] = '\0';
}

/* What addr2line(1) makes of the place of a call: the function, and file and line. */
static void place_words(uintptr_t place, char *words, size_t size)
{
    char command[200], function[200] = "", line[400] = "";
    snprintf(command, sizeof(command), "addr2line -fs -e /proc/%d/exe %#zx 2>&1", (int)getpid(),
             (size_t)place - 1);
    FILE *told = popen(command, "re");
    if (told != NULL) {
        if (fgets(function, sizeof(function), told) != NULL)
            (void)!fgets(line, sizeof(line), told);
        pclose(told);
    }
    cut_line(function);
    cut_line(line);
    snprintf(words, size, "%s (%s, %#zx)", function, line, (size_t)place);
}

void site_words(const struct site *site, bool allocation, char *words, size_t size)
{
    static const char *const names[] = {
#define NAME(name) #name,
        EVERT__SYS_CALLS(NAME)
#undef NAME
    };
    char at[400];
    size_t length = 0;
    if (!allocation) {
        place_words(site->place, at, sizeof(at));
        snprintf(words, size, "%s in %s", names[site->call], at);
        return;
    }
    for (int i = 0; i < FRAMES && site->frames[i] != 0 && length < size; i++) {
        place_words(site->frames[i], at, sizeof(at));
        length += (size_t)snprintf(words + length, size - length, "%s%s", i == 0 ? "" : " < ", at);
    }
}
