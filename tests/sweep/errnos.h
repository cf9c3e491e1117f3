/* SPDX-License-Identifier: MIT */
/*
 * What each call may answer, by its man page: the errors that a right program can meet. Left out
 * are those of a wrong one (EFAULT, ENOTSOCK), and EAGAIN where the kernel would have to lie: to a
 * back end that is told of edges alone it would be a promise of an event that never comes.
 */
#ifndef EVERT_TESTS_SWEEP_ERRNOS_H
#define EVERT_TESTS_SWEEP_ERRNOS_H

#include "plan.h"

enum { MOST_ANSWERS = 24 };

/* The answers for a site, ended by 0, in a static table. `level`: the back end asks anew. */
const int *answers_of(const struct site *site, bool level);

/* Whether an answer means that something is short, so that it may go on for a while. */
bool is_shortage(enum evert__sys_call call, int answer);

/* Whether a call at this site may transfer less than it was asked to. */
bool may_be_short(const struct site *site, bool level, bool is_unix);

#endif
