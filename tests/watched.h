/* SPDX-License-Identifier: MIT */
/*
 * What the tests of watched loops share (P8, F49): the log, which another thread writes to, and
 * functions that hold a loop up until that is reported.
 */
#ifndef EVERT_TESTS_WATCHED_H
#define EVERT_TESTS_WATCHED_H

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <evert/base/log.h>

#include "support.h"

static struct {
    pthread_mutex_t lock;
    char text[20000]; /* a line each */
    atomic_int reports, ends;
} heard = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* In words that a report has, and no other message. */
static inline void hear(evert_log_level level, const char *message, void *arg)
{
    (void)level;
    (void)arg;
    pthread_mutex_lock(&heard.lock);
    size_t size = strlen(heard.text);
    snprintf(heard.text + size, sizeof(heard.text) - size, "%s\n", message);
    pthread_mutex_unlock(&heard.lock);
    if (strstr(message, "holds its loop up") != NULL)
        atomic_fetch_add(&heard.reports, 1);
    if (strstr(message, "held its loop up") != NULL)
        atomic_fetch_add(&heard.ends, 1);
}

/* Loops that are made from now on are watched, with this limit; the log is listened to. */
static inline void watch_loops(const char *milliseconds)
{
    assert_int_equal(setenv("EVERT_WATCH", milliseconds, 1), 0);
    heard.text[0] = '\0';
    atomic_store(&heard.reports, 0);
    atomic_store(&heard.ends, 0);
    evert_log_set_sink(hear, NULL);
}

static inline void stop_watching(void)
{
    evert_log_set_sink(NULL, NULL);
    assert_int_equal(setenv("EVERT_WATCH", "0", 1), 0);
}

static inline void block_for(int milliseconds)
{
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    while (nanosleep(&left, &left) < 0)
        continue; /* the watchdog's signal */
}

/* Holds the thread up until it was reported so many times. */
static inline void block_until_reported(int times)
{
    for (int i = 0; i < 20000 && atomic_load(&heard.reports) < times; i++)
        block_for(1);
}

/* The file that this program is, and a place in it, as reports have it. */
static inline const char *place_of(const void *address, char words[300])
{
    Dl_info at;
    assert_int_not_equal(dladdr(address, &at), 0);
    const char *slash = strrchr(at.dli_fname, '/');
    snprintf(words, 300, "%s+%#zx", slash != NULL ? slash + 1 : at.dli_fname,
             (size_t)((const char *)address - (const char *)at.dli_fbase));
    return words;
}

/* Whether a line of the trace lies inside the function that begins there, which is a short one. */
static inline bool is_traced(const void *function)
{
    char first[300];
    const char *line = heard.text;
    place_of(function, first);
    char *plus = strrchr(first, '+') + 1;
    size_t begin = strtoul(plus, NULL, 16);
    *plus = '\0';
    while ((line = strstr(line, first)) != NULL) {
        size_t at = strtoul(line + strlen(first), NULL, 16);
        bool frame = strncmp(line - 2, "  ", 2) == 0 || line[-1] == '(';
        if (frame && at >= begin && at < begin + 1000)
            return true;
        line++;
    }
    return false;
}

/* That this function is told as a caller; musl has no backtrace(3), and there only the place is. */
static inline void check_called_from(const void *function)
{
    check_words(heard.text, "without waiting, and holds its loop up; it is at\n  ");
#if __has_include(<execinfo.h>)
    assert_true(is_traced(function));
#else
    (void)function;
#endif
}

#endif
