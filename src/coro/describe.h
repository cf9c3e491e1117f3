/* SPDX-License-Identifier: MIT */
/* The last failure of a task in words, for evert_describe(). */
#ifndef EVERT_SRC_CORO_DESCRIBE_H
#define EVERT_SRC_CORO_DESCRIBE_H

#include "coro/task.h"

/* Remembers the words for `rc` in this task, and returns rc. Without memory there are no words. */
int evert__fail(struct evert__task *task, int rc, const char *format, ...) EVERT_PRINTF(3, 4);

/* Moves words from one place to another, if they are for `rc`. */
void evert__description_move(char **to, char **from, int rc);
void evert__description_free(char **description);

/* The words that a task has for rc, else those of evert_strerror(). */
const char *evert__description_of(const struct evert__task *task, int rc);

#endif
