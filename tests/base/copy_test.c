/* SPDX-License-Identifier: MIT */
#include "base/copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Sources are as large as what is copied, so that a sanitizer sees a look beyond their ends. */
static void test_each_size_is_copied_and_nothing_else_is_touched(void **state)
{
    (void)state;
    for (size_t size = 1; size <= EVERT__FEW; size++) {
        char to[3 * EVERT__FEW], expected[sizeof(to)];
        char *from = malloc(size);
        assert_non_null(from);
        for (size_t i = 0; i < size; i++)
            from[i] = (char)('a' + i);
        memset(to, '.', sizeof(to));
        memset(expected, '.', sizeof(expected));
        memcpy(expected + EVERT__FEW, from, size);
        evert__copy_few(to + EVERT__FEW, from, size);
        assert_memory_equal(to, expected, sizeof(to));
        free(from);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_size_is_copied_and_nothing_else_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
