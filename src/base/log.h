/* SPDX-License-Identifier: MIT */
#ifndef EVERT_SRC_BASE_LOG_H
#define EVERT_SRC_BASE_LOG_H

#include <evert/base/log.h>

/* One message, formatted as evert_printf() does it; cut at about 400 bytes. */
void evert__log(evert_log_level level, const char *format, ...) EVERT_PRINTF(2, 3);

/*
 * Bad use by the program: aborts with the explanation in builds with checks, and is a warning in
 * others, where the caller then returns an error code.
 */
void evert__misuse(const char *format, ...) EVERT_PRINTF(1, 2);

#endif
