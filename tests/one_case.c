/* SPDX-License-Identifier: MIT */
/* Is a part of each unit test: EVERT_CASE names the one case to run; * and ? stand for any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void choose_case(void)
{
    const char *name = getenv("EVERT_CASE");
    if (name != NULL)
        cmocka_set_test_filter(name);
}
