/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share: taking an input apart, and saying what is wrong. An input that ends
 * too early is as if zeros stood behind it, so that each input means something.
 */
#ifndef EVERT_FUZZ_INPUT_H
#define EVERT_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <evert/base/error.h>
#include <evert/base/log.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Ends the program, which makes the input a finding, with what was expected. */
#define expect(condition, ...)                                                      \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                           \
            fputc('\n', stderr);                                                    \
            abort();                                                                \
        }                                                                           \
    } while (0)

struct input {
    const uint8_t *at, *end;
};

static inline size_t left(const struct input *in)
{
    return (size_t)(in->end - in->at);
}

static inline uint8_t take_byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static inline uint64_t take_number(struct input *in, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t)take_byte(in) << 8 * i;
    return number;
}

/* A part of the input, at most `most` bytes of it. */
static inline struct input take_part(struct input *in, size_t most)
{
    size_t size = most < left(in) ? most : left(in);
    struct input part = {in->at, in->at + size};
    in->at += size;
    return part;
}

static inline void *allocate(size_t size)
{
    void *memory = malloc(size);
    expect(memory != NULL || size == 0, "no memory");
    return memory;
}

/* A string in memory of just its size, so that reading on behind it is seen. */
static inline char *take_string(struct input *in, size_t most)
{
    struct input part = take_part(in, most);
    const uint8_t *nul = left(&part) > 0 ? memchr(part.at, 0, left(&part)) : NULL;
    size_t size = nul != NULL ? (size_t)(nul - part.at) : left(&part);
    char *string = allocate(size + 1);
    if (size > 0)
        memcpy(string, part.at, size);
    string[size] = '\0';
    return string;
}

/* Misuse is logged as an error: no input may lead the library there. */
static inline void refuse_errors(evert_log_level level, const char *message, void *arg)
{
    (void)arg;
    expect(level != EVERT_LOG_ERROR, "%s", message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
