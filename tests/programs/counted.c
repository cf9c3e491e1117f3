/* SPDX-License-Identifier: MIT */
/*
 * Put before a program (LD_PRELOAD), it counts what the library in it has allocated, in the file
 * that EVERT_COUNTED names, where another process can read it at any time.
 */
#include <evert/base/alloc.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream/chunk.h"
#include "stream/connection.h"

/*
 * Of chunks and connections each loop keeps some: they are counted apart. Tables that grow may come
 * to the same size.
 */

/* Stands in front of the memory, which stays aligned for anything. */
struct head {
    size_t size;
    size_t kind; /* enum kind */
};

enum kind { OTHER, CHUNK, CONNECTION };

static struct counts {
    int64_t blocks, bytes, chunks, connections;
} nowhere, *counts = &nowhere;

static void count(struct head head, int by)
{
    if (head.kind == CHUNK) {
        __atomic_add_fetch(&counts->chunks, by, __ATOMIC_RELAXED);
    } else if (head.kind == CONNECTION) {
        __atomic_add_fetch(&counts->connections, by, __ATOMIC_RELAXED);
    } else {
        __atomic_add_fetch(&counts->blocks, by, __ATOMIC_RELAXED);
        __atomic_add_fetch(&counts->bytes, by * (int64_t)head.size, __ATOMIC_RELAXED);
    }
}

/* A chunk is asked for as evert__alloc_lines() does it. */
static enum kind kind_of(size_t size)
{
    if (size == EVERT__CHUNK + EVERT__LINE)
        return CHUNK;
    return size == sizeof(evert_stream) ? CONNECTION : OTHER;
}

static void *reallocate(void *memory, size_t size, void *unused)
{
    struct head *block = memory != NULL ? (struct head *)memory - 1 : NULL;
    struct head before = block != NULL ? *block : (struct head){0, 0};
    (void)unused;
    block = realloc(block, size + sizeof(*block));
    if (block == NULL)
        return NULL;
    *block = (struct head){size, memory == NULL ? kind_of(size) : OTHER};
    if (memory != NULL)
        count(before, -1);
    count(*block, 1);
    return block + 1;
}

static void release(void *memory, void *unused)
{
    struct head *block = (struct head *)memory - 1;
    (void)unused;
    count(*block, -1);
    free(block);
}

__attribute__((constructor)) static void begin(void)
{
    static const evert_allocator counting = {reallocate, release, NULL};
    const char *name = getenv("EVERT_COUNTED");
    int fd = name != NULL ? open(name, O_RDWR | O_CLOEXEC) : -1;
    void *memory = fd < 0 ? MAP_FAILED
                          : mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (memory == MAP_FAILED)
        return;
    counts = memory;
    evert_set_allocator(&counting);
}
