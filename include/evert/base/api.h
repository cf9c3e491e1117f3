/* SPDX-License-Identifier: MIT */
/*
 * How Evert's functions are declared: what is exported, what must not be ignored, what the compiler
 * can check. Nothing here is of interest to a reader of the other headers.
 */
#ifndef EVERT_BASE_API_H
#define EVERT_BASE_API_H

#ifdef __cplusplus
#define EVERT_BEGIN extern "C" {
#define EVERT_END }
#else
#define EVERT_BEGIN
#define EVERT_END
#endif

#if defined(__GNUC__)
#define EVERT_API __attribute__((visibility("default")))
#define EVERT_CHECK __attribute__((warn_unused_result))
#define EVERT_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define EVERT_API
#define EVERT_CHECK
#define EVERT_PRINTF(text, first)
#endif

#define EVERT_STRING_(x) #x
#define EVERT_STRING(x) EVERT_STRING_(x)

/* "file.c:12", where this stands: so that each task can say where it was spawned. */
#define EVERT_PLACE __FILE__ ":" EVERT_STRING(__LINE__)

#endif
