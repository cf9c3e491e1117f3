/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/flat.h"

EVERT__RETURNS EVERT__HOT static void *system_reallocate(void *memory, size_t size, void *arg)
{
    (void)arg;
    return realloc(memory, size);
}

EVERT__RETURNS EVERT__HOT static void system_release(void *memory, void *arg)
{
    (void)arg;
    free(memory);
}

static const evert_allocator system_allocator = {system_reallocate, system_release, NULL};
static evert_allocator allocator = {system_reallocate, system_release, NULL};

void evert_set_allocator(const evert_allocator *chosen)
{
    allocator = chosen != NULL ? *chosen : system_allocator;
}

EVERT__RETURNS void *evert__alloc(size_t size)
{
    return allocator.reallocate(NULL, size, allocator.arg);
}

EVERT__RETURNS EVERT__HOT void *evert__alloc_zero(size_t size)
{
    void *memory = evert__alloc(size);
    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

void *evert__realloc(void *memory, size_t size)
{
    return allocator.reallocate(memory, size, allocator.arg);
}

char *evert__strdup(const char *string)
{
    size_t size = strlen(string) + 1;
    char *copy = evert__alloc(size);
    if (copy != NULL)
        memcpy(copy, string, size);
    return copy;
}

EVERT__RETURNS EVERT__HOT void evert__free(void *memory)
{
    if (memory != NULL)
        allocator.release(memory, allocator.arg);
}

/* Where the allocation begins stands right before what is given out. */
EVERT__RETURNS void *evert__alloc_lines(size_t size)
{
    char *whole = size < SIZE_MAX - EVERT__LINE ? evert__alloc(size + EVERT__LINE) : NULL;
    if (whole == NULL)
        return NULL;
    void **memory = (void **)(void *)(whole + EVERT__LINE - (uintptr_t)whole % EVERT__LINE);
    memory[-1] = whole;
    return memory;
}

EVERT__RETURNS void evert__free_lines(void *memory)
{
    if (memory != NULL)
        evert__free(((void **)memory)[-1]);
}
