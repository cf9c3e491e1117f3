/* SPDX-License-Identifier: MIT */
#include <evert/base/error.h>

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { LAST = EVERT_EFORMAT };

static void test_every_own_code_has_a_name_and_words(void **state)
{
    (void)state;
    for (int code = EVERT_EOF; code >= LAST; code--) {
        assert_memory_equal(evert_error_name(code), "EVERT_E", 7);
        assert_string_not_equal(evert_strerror(code), "Unknown error");
        assert_true(strlen(evert_strerror(code)) > 0);
    }
}

static void test_no_two_codes_share_a_name_or_words(void **state)
{
    (void)state;
    for (int a = EVERT_EOF; a >= LAST; a--) {
        for (int b = a - 1; b >= LAST; b--) {
            assert_string_not_equal(evert_error_name(a), evert_error_name(b));
            assert_string_not_equal(evert_strerror(a), evert_strerror(b));
        }
    }
}

#define NAMED(code) assert_string_equal(evert_error_name(code), #code)

static void test_names_are_those_of_the_header(void **state)
{
    (void)state;
    NAMED(EVERT_EOF);
    NAMED(EVERT_EINCOMPLETE);
    NAMED(EVERT_ELIMIT);
    NAMED(EVERT_ECONTEXT);
    NAMED(EVERT_EALREADY);
    NAMED(EVERT_ESTOPPED);
    NAMED(EVERT_ECLOSED);
    NAMED(EVERT_ENONAME);
    NAMED(EVERT_ERESOLVE);
    NAMED(EVERT_EADDRESS);
    NAMED(EVERT_ESCOPE);
    NAMED(EVERT_EFORMAT);
}

/* Whether it is the name that the C library has for it, or it has none. */
static bool is_right_name(const char *name, int code)
{
#ifdef __GLIBC__
    const char *theirs = strerrorname_np(code);
    return strcmp(name, theirs != NULL ? theirs : "UNKNOWN") == 0;
#else /* which has words only; not for all that are known to the kernel */
    return strcmp(name, "UNKNOWN") != 0 || strcmp(strerror(code), strerror(4095)) == 0;
#endif
}

static void test_system_codes_have_the_systems_names_and_words(void **state)
{
    (void)state;
    assert_string_equal(evert_error_name(-ECONNREFUSED), "ECONNREFUSED");
    assert_string_equal(evert_strerror(-ECONNREFUSED), "Connection refused");
    for (int code = 1; code < 4096; code++) {
        const char *name = evert_error_name(-code);
        assert_true(is_right_name(name, code));
        if (strcmp(name, "UNKNOWN") != 0)
            assert_string_equal(evert_strerror(-code), strerror(code));
        else
            assert_string_equal(evert_strerror(-code), "Unknown error");
    }
}

static void test_success_has_words(void **state)
{
    (void)state;
    assert_string_equal(evert_strerror(0), "Success");
    assert_string_equal(evert_strerror(12), "Success");
    assert_string_equal(evert_strerror(INT_MAX), "Success");
}

static void test_other_numbers_are_unknown(void **state)
{
    static const int numbers[] = {LAST - 1, -4095, -100000, INT_MIN, INT_MIN + 1};
    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_string_equal(evert_error_name(numbers[i]), "UNKNOWN");
        assert_string_equal(evert_strerror(numbers[i]), "Unknown error");
    }
    assert_string_equal(evert_error_name(ECONNREFUSED), "UNKNOWN");
    assert_string_equal(evert_error_name(INT_MAX), "UNKNOWN");
}

static void test_asking_leaves_errno_alone(void **state)
{
    (void)state;
    errno = ENOTTY;
    (void)evert_strerror(-EPIPE);
    (void)evert_error_name(-4095);
    (void)evert_strerror(INT_MIN);
    assert_int_equal(errno, ENOTTY);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_own_code_has_a_name_and_words),
        cmocka_unit_test(test_no_two_codes_share_a_name_or_words),
        cmocka_unit_test(test_names_are_those_of_the_header),
        cmocka_unit_test(test_system_codes_have_the_systems_names_and_words),
        cmocka_unit_test(test_success_has_words),
        cmocka_unit_test(test_other_numbers_are_unknown),
        cmocka_unit_test(test_asking_leaves_errno_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
