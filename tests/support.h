/* SPDX-License-Identifier: MIT */
/* What the tests of several layers share. */
#ifndef EVERT_TESTS_SUPPORT_H
#define EVERT_TESTS_SUPPORT_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The case, if any, that cannot hold on this machine: tests/tools/machines.py says which and why.
 */
__attribute__((constructor)) static void leave_out_a_case(void)
{
    cmocka_set_skip_filter(getenv("EVERT_LEAVE_OUT"));
}

/* Fails, with both in its words, unless `part` stands in `text`. */
#define check_words(text, part) check_words_at((text), (part), __FILE__, __LINE__)

static inline void check_words_at(const char *text, const char *part, const char *file, int line)
{
    if (strstr(text, part) != NULL)
        return;
    print_error("\"%s\" does not say \"%s\"\n", text, part);
    _fail(file, line);
}

/* How many entries it has: to be compared with how many there were. */
static inline int entries_of(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static inline int open_descriptors(void)
{
    return entries_of("/proc/self/fd");
}

#endif
