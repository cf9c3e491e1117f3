/* SPDX-License-Identifier: MIT */
/* What the tests of making loops share: calls that are refused, and what is told then. */
#ifndef EVERT_TESTS_LOOP_REFUSING_H
#define EVERT_TESTS_LOOP_REFUSING_H

#include "forking.h"

#include <stdio.h>

static evert_loop *fresh;

static struct {
    int count;
    evert_log_level level;
    char words[200];
} told;

static inline void keep_words(evert_log_level level, const char *message, void *arg)
{
    (void)arg;
    told.count++;
    told.level = level;
    (void)snprintf(told.words, sizeof(told.words), "%s", message);
}

static inline int make(const char *list)
{
    evert_log_set_sink(keep_words, NULL);
    fresh = NULL;
    MUST(setenv("EVERT_BACKEND", list, 1) == 0);
    return evert_loop_new(&fresh);
}

/* Makes a loop, which is to be on this back end, and works. */
static inline void works_on(const char *list, const char *name)
{
    MUST(make(list) == 0);
    MUST(strcmp(evert_loop_backend(fresh), name) == 0);
    calls_and_timers_work(fresh);
    evert_loop_free(fresh);
}

/* Of which call which one is answered, from 0, and with what. */
static struct {
    enum evert__sys_call call;
    int which, seen;
    int64_t answer;
} refused;

static inline bool refuse(enum evert__sys_call call, const void *site, size_t *size,
                          int64_t *result)
{
    (void)site;
    (void)size;
    if (call != refused.call || refused.seen++ != refused.which)
        return false;
    *result = refused.answer;
    return true;
}

static inline void set_refused(enum evert__sys_call call, int which, int64_t answer)
{
    refused.call = call;
    refused.which = which;
    refused.seen = 0;
    refused.answer = answer;
    told.count = 0;
}

static const int codes[] = {EPERM,  ENOSYS, EOPNOTSUPP, EINVAL, ENOMEM,
                            EACCES, EMFILE, EBUSY,      EFAULT};

#endif
