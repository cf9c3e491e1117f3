/* SPDX-License-Identifier: MIT */
/*
 * What the library has to say while it runs: a failed handler, a shortage of descriptors, bad use.
 * It goes to standard error, a line each, unless a program takes it over with a sink of its own.
 */
#ifndef EVERT_BASE_LOG_H
#define EVERT_BASE_LOG_H

#include <evert/base/api.h>

EVERT_BEGIN

typedef enum evert_log_level {
    EVERT_LOG_DEBUG,   /* of use to those who look for a fault; not shown by default */
    EVERT_LOG_INFO,    /* a thing worth knowing; not shown by default */
    EVERT_LOG_WARNING, /* something went wrong and was dealt with */
    EVERT_LOG_ERROR    /* something went wrong, and somebody has to deal with it */
} evert_log_level;

/*
 * Takes one message: a line without its newline, which is borrowed for the call. May be called from
 * any thread that runs Evert. Must not wait, and must not call back into the library.
 */
typedef void evert_log_sink(evert_log_level level, const char *message, void *arg);

/*
 * Sends messages to `sink` from now on, `arg` passed along; NULL gives them back to standard error.
 * For the whole process: set it before other threads use the library. Does not wait.
 */
EVERT_API void evert_log_set_sink(evert_log_sink *sink, void *arg);

EVERT_END

#endif
