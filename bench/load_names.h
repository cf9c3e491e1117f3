/* SPDX-License-Identifier: MIT */
/*
 * Batches of requests, and the answers that are expected. They are made once; from one round to
 * the next only the digits of the round change in them. A name tells its connection, its place in
 * the batch and its round, so that an answer to the wrong name is found out.
 */
#ifndef BENCH_LOAD_NAMES_H
#define BENCH_LOAD_NAMES_H

#include "load.h"

enum { CONNECTION_DIGITS = 5, PLACE_DIGITS = 4, ROUND_DIGITS = 7 };

/* What stands around a name. */
struct shape {
    const char *before, *request_end, *answer_end;
};

static const struct shape greeting = {"Hello, ", "\r\n", "!\r\n"}, echo = {"", "", ""};

struct batch {
    const struct shape *shape;
    unsigned depth, name_size;
    char *requests, *answers;
    size_t requests_size, answers_size;
};

static inline void write_digits(char *at, unsigned width, unsigned value)
{
    for (; width-- > 0; value /= 10)
        at[width] = (char)('0' + value % 10);
}

static inline void add_one(char *digits, unsigned width)
{
    while (width-- > 0 && ++digits[width] > '9')
        digits[width] = '0';
}

/* A name ends in digits, and begins, if it is long enough, with bytes of every value but CR. */
static inline void write_name(char *name, unsigned size, unsigned connection, unsigned place)
{
    const unsigned width = CONNECTION_DIGITS + PLACE_DIGITS + ROUND_DIGITS;
    char digits[CONNECTION_DIGITS + PLACE_DIGITS + ROUND_DIGITS];

    write_digits(digits, CONNECTION_DIGITS, connection);
    write_digits(digits + CONNECTION_DIGITS, PLACE_DIGITS, place);
    write_digits(digits + CONNECTION_DIGITS + PLACE_DIGITS, ROUND_DIGITS, 0);
    for (unsigned i = 0; i < size; i++) {
        unsigned left = size - i;
        if (left <= width)
            name[i] = digits[width - left];
        else
            name[i] = (char)((i + connection) % 256 == '\r' ? 'r' : i + connection);
    }
}

/* Of a batch whose shape, depth and size of names are set. */
static inline void make_batch(struct batch *b, unsigned connection)
{
    const size_t before = strlen(b->shape->before), request_end = strlen(b->shape->request_end);
    const size_t answer_end = strlen(b->shape->answer_end);
    char *request, *answer;

    b->requests_size = b->depth * (b->name_size + request_end);
    b->answers_size = b->depth * (before + b->name_size + answer_end);
    request = b->requests = allocate(b->requests_size, 1);
    answer = b->answers = allocate(b->answers_size, 1);
    for (unsigned place = 0; place < b->depth; place++) {
        answer = mempcpy(answer, b->shape->before, before);
        write_name(answer, b->name_size, connection, place);
        request = mempcpy(request, answer, b->name_size);
        request = mempcpy(request, b->shape->request_end, request_end);
        answer = mempcpy(answer + b->name_size, b->shape->answer_end, answer_end);
    }
}

static inline void turn_to_next_round(struct batch *b)
{
    const unsigned width = b->name_size < ROUND_DIGITS ? b->name_size : ROUND_DIGITS;
    char *request = b->requests + b->name_size - width;
    char *answer = b->answers + strlen(b->shape->before) + b->name_size - width;

    for (unsigned place = 0; place < b->depth; place++) {
        add_one(request, width);
        add_one(answer, width);
        request += b->requests_size / b->depth;
        answer += b->answers_size / b->depth;
    }
}

#endif
