/* SPDX-License-Identifier: MIT */
/*
 * A formatter for what goes on the wire: printf's strings, characters and integers, handed piece by
 * piece to a sink. It keeps no buffer but the digits of one number, so it fits on a small stack,
 * where printf(3) does not.
 */
#ifndef EVERT_SRC_BASE_FORMAT_H
#define EVERT_SRC_BASE_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

#include <evert/base/api.h>
#include <evert/base/bytes.h>

/* Takes a piece; a negative result ends the formatting and is its result. */
typedef int evert__format_sink(void *arg, const char *data, size_t size);

/* Formats to a sink. 0, what the sink failed with, or EVERT_EFORMAT for an unknown conversion. */
int evert__format(evert__format_sink *sink, void *arg, const char *format, va_list arguments);

/*
 * Formats into a buffer of `size` bytes, at least 1, always NUL-terminated; what does not fit is
 * cut. Returns the number of bytes put there, the NUL not counted.
 */
size_t evert__format_string(char *buffer, size_t size, const char *format, ...) EVERT_PRINTF(3, 4);
size_t evert__format_vstring(char *buffer, size_t size, const char *format, va_list arguments);

/* Room for what is usually formatted. */
enum { EVERT__FORMATTED = 256 };

/*
 * Formats the whole text, into `small` (of EVERT__FORMATTED bytes) or, where that is too small,
 * into memory of its own. -ENOMEM, EVERT_EFORMAT; else the text is to be given to
 * evert__format_done().
 */
int evert__format_whole(char *small, evert_bytes *ret, const char *format, va_list arguments);
void evert__format_done(const char *small, evert_bytes text);

#endif
