/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/format.h"
#include "base/sys.h"

enum { MESSAGE = 400 };

static const char *const level_names[] = {"debug", "info", "warning", "error"};

/* Lines that standard error did not take, and were not told of yet. */
static atomic_ulong lost;

/* Whether it took the beginning of a line and not its end, as a disk does that is just full. */
static atomic_bool cut;

/* A line in one write, so that those of several processes do not mix. False: it is lost. */
static bool write_line(evert_log_level level, const char *message)
{
    char line[MESSAGE + 32];
    bool was_cut = atomic_exchange(&cut, false);
    size_t size = evert__format_string(line, sizeof(line), "%severt: %s: %s\n", was_cut ? "\n" : "",
                                       level_names[level], message);
    ssize_t count = evert__sys_write_quietly(2, line, size);
    if (count > 0 ? (size_t)count < size : was_cut)
        atomic_store(&cut, true);
    return count == (ssize_t)size;
}

static bool tell_lost(unsigned long count)
{
    char words[64];
    (void)evert__format_string(words, sizeof(words), "%lu line%s of the log %s lost", count,
                               count == 1 ? "" : "s", count == 1 ? "was" : "were");
    return write_line(EVERT_LOG_WARNING, words);
}

/*
 * A line that fails is dropped: neither is there anybody to tell, nor may what the program does
 * depend on its log. But a log with a gap is not to look like one without, so the next line that
 * gets through follows one that says how many are missing.
 */
static void to_standard_error(evert_log_level level, const char *message, void *arg)
{
    (void)arg;
    if (level < EVERT_LOG_WARNING)
        return;
    unsigned long before = atomic_exchange(&lost, 0);
    if (before > 0 && !tell_lost(before))
        atomic_fetch_add(&lost, before + 1);
    else if (!write_line(level, message))
        atomic_fetch_add(&lost, 1);
}

static evert_log_sink *sink = to_standard_error;
static void *sink_arg;

void evert_log_set_sink(evert_log_sink *chosen, void *arg)
{
    sink = chosen != NULL ? chosen : to_standard_error;
    sink_arg = arg;
}

void evert__log(evert_log_level level, const char *format, ...)
{
    char message[MESSAGE];
    va_list arguments;
    va_start(arguments, format);
    evert__format_vstring(message, sizeof(message), format, arguments);
    va_end(arguments);
    sink(level, message, sink_arg);
}

void evert__misuse(const char *format, ...)
{
    char message[MESSAGE];
    va_list arguments;
    va_start(arguments, format);
    evert__format_vstring(message, sizeof(message), format, arguments);
    va_end(arguments);
    sink(EVERT_LOG_ERROR, message, sink_arg);
#ifdef EVERT_DEBUG
    abort();
#endif
}
