/* SPDX-License-Identifier: MIT */
/*
 * The greeting in plain memory, for the servers in C: what has come of names goes in, answers come
 * out. It is the same for all of them, so that what differs is how they read and write.
 */
#ifndef PEERS_GREETING_H
#define PEERS_GREETING_H

#include <stdbool.h>
#include <string.h>

enum {
    NAME_LIMIT = 1024,
    INPUT_SIZE = 4096,
    FAREWELL_SECONDS = 2,
};

/* The worst are empty names, 10 bytes out for 2 bytes in; and there may be the last answer. */
#define ANSWERS_SIZE(input_size) (5 * (input_size) + 32)

/* Without its end, a name can still be short enough if its CR has come and its LF has not. */
static inline bool is_too_long(const char *name, size_t size)
{
    return size > NAME_LIMIT + 1 || (size == NAME_LIMIT + 1 && name[NAME_LIMIT] != '\r');
}

/*
 * Answers every whole line in `in` and leaves there the beginning of the next one. True: the next
 * name is too long, and was told so. `out` moves to the end of the answers.
 */
static inline bool answer_lines(char *in, size_t *used, char **out)
{
    char *name = in, *end = in + *used, *to = *out, *stop;
    bool too_long;

    while ((stop = memmem(name, (size_t)(end - name), "\r\n", 2)) != NULL &&
           stop - name <= NAME_LIMIT) {
        to = stpcpy(to, "Hello, ");
        to = mempcpy(to, name, (size_t)(stop - name));
        to = stpcpy(to, "!\r\n");
        name = stop + 2;
    }
    too_long = stop != NULL || is_too_long(name, (size_t)(end - name));
    if (too_long)
        to = stpcpy(to, "error: name too long\r\n");
    *used = (size_t)(end - name);
    memmove(in, name, *used);
    *out = to;
    return too_long;
}

#endif
