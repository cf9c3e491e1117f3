/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/format.h"
#include "base/sys.h"

enum { MESSAGE = 400 };

static const char *const level_names[] = {"debug", "info", "warning", "error"};

/* A line in one write, so that those of several processes do not mix; what fails is dropped. */
static void to_standard_error(evert_log_level level, const char *message, void *arg)
{
    char line[MESSAGE + 32];
    (void)arg;
    if (level < EVERT_LOG_WARNING)
        return;
    size_t size =
        evert__format_string(line, sizeof(line), "evert: %s: %s\n", level_names[level], message);
    (void)evert__sys_write(2, line, size);
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
