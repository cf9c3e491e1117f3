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

enum { CHUNK = 4096 }; /* of which each loop keeps some: counted apart */

static struct counts {
    int64_t blocks, bytes, chunks;
} nowhere, *counts = &nowhere;

static void count(size_t size, int by)
{
    if (size == CHUNK) {
        __atomic_add_fetch(&counts->chunks, by, __ATOMIC_RELAXED);
        return;
    }
    __atomic_add_fetch(&counts->blocks, by, __ATOMIC_RELAXED);
    __atomic_add_fetch(&counts->bytes, by * (int64_t)size, __ATOMIC_RELAXED);
}

/* The size stands in front of the memory, which stays aligned for anything. */
static void *reallocate(void *memory, size_t size, void *unused)
{
    size_t *block = memory != NULL ? (size_t *)memory - 2 : NULL;
    size_t before = block != NULL ? *block : 0;
    (void)unused;
    block = realloc(block, size + 2 * sizeof(size_t));
    if (block == NULL)
        return NULL;
    if (memory != NULL)
        count(before, -1);
    count(size, 1);
    *block = size;
    return block + 2;
}

static void release(void *memory, void *unused)
{
    size_t *block = (size_t *)memory - 2;
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
