/* SPDX-License-Identifier: MIT */
/*
 * The one way to memory inside the library. Each call can fail, and says so with NULL.
 */
#ifndef EVERT_SRC_BASE_ALLOC_H
#define EVERT_SRC_BASE_ALLOC_H

#include <evert/base/alloc.h>

void *evert__alloc(size_t size);                 /* not cleared */
void *evert__alloc_zero(size_t size);            /* cleared */
void *evert__realloc(void *memory, size_t size); /* on NULL the old memory is as it was */
char *evert__strdup(const char *string);
void evert__free(void *memory); /* NULL is fine */

/*
 * Memory that begins with a line of the cache, for bytes that the kernel is to copy there. Such as
 * begins 16 bytes into a page, as malloc(3) gives a large piece, takes a tenth longer: on x86 a
 * load waits for a store before it that is in the same place of another page.
 */
void *evert__alloc_lines(size_t size);
void evert__free_lines(void *memory); /* NULL is fine */

#endif
