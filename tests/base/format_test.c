/* SPDX-License-Identifier: MIT */
/* The formatter against snprintf(3): a table, and arguments at random. */
#include "base/format.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <evert/base/error.h>

#include "seed.h"

/* Formats come out of tables and are put together here. Clang knows the word GCC too. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

static char problem[2000];

/* Formats with both; NULL when they agree. */
static const char *EVERT_PRINTF(1, 2) differs(const char *format, ...)
{
    static char ours[1500], theirs[sizeof(ours)];
    va_list arguments;
    va_start(arguments, format);
    size_t size = evert__format_vstring(ours, sizeof(ours), format, arguments);
    va_end(arguments);
    va_start(arguments, format);
    int expected = vsnprintf(theirs, sizeof(theirs), format, arguments);
    va_end(arguments);
    if (size == (size_t)expected && strcmp(ours, theirs) == 0)
        return NULL;
    snprintf(problem, sizeof(problem), "%s: \"%.800s\" instead of \"%.800s\"", format, ours,
             theirs);
    return problem;
}

#define SAME(...) assert_held(differs(__VA_ARGS__), 0)

static void test_text_without_conversions(void **state)
{
    static const char *const texts[] = {"", "plain", "with\nlines\r\n", "\x80\xff bytes"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        SAME(texts[i]);
    SAME("%%");
    SAME("100%% sure%%");
}

static void test_strings(void **state)
{
    static const char *const formats[] = {"%s",   "<%s>",   "%10s",    "%-10s|", "%.2s",   "%.0s|",
                                          "%.s|", "%10.3s", "%-5.1s|", "%1s",    "%.100s", "%300s"};
    static const char *const texts[] = {"", "a", "abc", "a rather longer text"};
    (void)state;
    for (size_t f = 0; f < sizeof(formats) / sizeof(formats[0]); f++) {
        for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++)
            SAME(formats[f], texts[t]);
    }
}

static void test_string_of_known_size_needs_no_nul(void **state)
{
    static const char bytes[3] = {'a', 'b', 'c'};
    (void)state;
    SAME("%.3s", bytes);
    SAME("%.*s|", 2, bytes);
}

static void test_null_string_is_said(void **state)
{
    const char *volatile nothing = NULL;
    char got[20];
    (void)state;
    assert_int_equal(evert__format_string(got, sizeof(got), "<%s>", nothing), 8);
    assert_string_equal(got, "<(null)>");
}

static void test_characters(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        SAME("<%c>", c);
        SAME("%5c|%-5c|", c, c);
    }
}

static void test_nul_character_is_a_byte(void **state)
{
    char got[10];
    (void)state;
    assert_int_equal(evert__format_string(got, sizeof(got), "a%cb", 0), 3);
    assert_memory_equal(got, "a\0b", 4);
}

static void test_widths_and_precisions_from_arguments(void **state)
{
    (void)state;
    for (int width = -9; width < 9; width++) {
        SAME("%*d|", width, 42);
        SAME("%0*d|", width, -42);
        SAME("%*s|", width, "ab");
        for (int precision = -3; precision < 5; precision++) {
            SAME("%*.*d|", width, precision, 42);
            SAME("%-*.*x|", width, precision, 42U);
            SAME("%*.*s|", width, precision, "abc");
        }
    }
}

static void test_pointers(void **state)
{
    int here;
    char got[20];
    (void)state;
    SAME("%p", (void *)&here);
    SAME("%30p|%-30p|", (void *)&here, (void *)&here);
    SAME("%p", (void *)UINTPTR_MAX);
    (void)evert__format_string(got, sizeof(got), "%p", NULL);
    assert_string_equal(got, "0x0");
}

static void test_all_arguments_in_their_order(void **state)
{
    (void)state;
    SAME("%s=%d %c%%%lld %s%u %zx %s\r\n", "a", -1, 'x', LLONG_MIN, "", UINT_MAX, SIZE_MAX, "end");
}

/* ---- Numbers: all lengths, all flags ---- */

static const char *const lengths[] = {"hh", "h", "", "l", "ll", "j", "z", "t"};

static const char *number_differs(const char *format, int length, uint64_t number)
{
    switch (length) {
    case 3:
        return differs(format, (unsigned long)number);
    case 4:
        return differs(format, (unsigned long long)number);
    case 5:
        return differs(format, (uintmax_t)number);
    case 6:
        return differs(format, (size_t)number);
    case 7:
        return differs(format, (ptrdiff_t)number);
    default:
        return differs(format, (int)number); /* hh and h too: cut by the formatter */
    }
}

/* Each subset of the flags, as five bits. */
static void put_flags(char *at, unsigned flags)
{
    for (int i = 0; i < 5; i++) {
        if (flags & 1U << i)
            *at++ = "-0+ #"[i];
    }
    *at = '\0';
}

static void test_numbers_with_each_flag_and_length(void **state)
{
    static const uint64_t numbers[] = {0,        1,          42,        127,        128,
                                       255,      256,        INT16_MAX, UINT16_MAX, INT32_MAX,
                                       1U << 31, UINT32_MAX, INT64_MAX, 1ULL << 63, UINT64_MAX};
    static const char *const sizes[] = {"", "1", "8", "40", ".", ".0", ".1", ".7", "12.5", "3.30"};
    char flags[8], format[40];
    (void)state;
    for (unsigned f = 0; f < 32; f++) {
        put_flags(flags, f);
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            for (int l = 0; l < 8; l++) {
                for (const char *kind = "diuxXo"; *kind != '\0'; kind++) {
                    snprintf(format, sizeof(format), "%%%s%s%s%c|", flags, sizes[s], lengths[l],
                             *kind);
                    for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
                        assert_held(number_differs(format, l, numbers[n]), 0);
                }
            }
        }
    }
}

static void test_numbers_at_random(void **state)
{
    uint64_t seed = seed_new(), random = seed;
    char flags[8], width[8] = "", precision[8] = "", format[40];
    const char *wrong = NULL;
    (void)state;
    for (int i = 0; i < 100000 && wrong == NULL; i++) {
        int length = (int)random_below(&random, 8);
        put_flags(flags, random_below(&random, 32));
        width[0] = precision[0] = '\0';
        if (random_below(&random, 2))
            snprintf(width, sizeof(width), "%u", 1 + random_below(&random, 60));
        if (random_below(&random, 2))
            snprintf(precision, sizeof(precision), ".%u", random_below(&random, 60));
        snprintf(format, sizeof(format), "<%%%s%s%s%s%c>", flags, width, precision, lengths[length],
                 "diuxXo"[random_below(&random, 6)]);
        wrong = number_differs(format, length, random_next(&random) >> random_below(&random, 64));
    }
    assert_held(wrong, seed);
}

/* ---- Room and sinks ---- */

static void test_what_does_not_fit_is_cut(void **state)
{
    char got[8];
    (void)state;
    for (size_t size = 1; size <= sizeof(got); size++) {
        memset(got, 'X', sizeof(got));
        assert_int_equal(evert__format_string(got, size, "%s%d", "abc", 12345), size - 1);
        assert_memory_equal(got, "abc12345", size - 1);
        assert_int_equal(got[size - 1], '\0');
        for (size_t i = size; i < sizeof(got); i++)
            assert_int_equal(got[i], 'X');
    }
}

/* So a width of two gigabytes costs no time either. */
static void test_what_comes_after_the_cut_is_not_formatted(void **state)
{
    const char *nowhere = (const char *)(uintptr_t)1; /* reading there ends the program */
    char got[4];
    (void)state;
    assert_int_equal(evert__format_string(got, sizeof(got), "%s%s", "abcd", nowhere), 3);
    assert_string_equal(got, "abc");
    assert_int_equal(evert__format_string(got, sizeof(got), "%*d%s", INT_MAX, 7, nowhere), 3);
    assert_string_equal(got, "   ");
}

struct sink {
    int calls, fails_at;
    char text[100];
    size_t size;
};

static int put(void *arg, const char *data, size_t size)
{
    struct sink *sink = arg;
    assert_true(size > 0);
    if (++sink->calls == sink->fails_at)
        return -EPIPE;
    assert_true(sink->size + size < sizeof(sink->text));
    memcpy(sink->text + sink->size, data, size);
    sink->size += size;
    return 0;
}

static int EVERT_PRINTF(2, 3) to_sink(struct sink *sink, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = evert__format(put, sink, format, arguments);
    va_end(arguments);
    return rc;
}

static void test_sink_gets_all_the_pieces(void **state)
{
    struct sink sink = {0};
    (void)state;
    assert_int_equal(to_sink(&sink, "%s: %5d%%\r\n", "load", 99), 0);
    assert_int_equal(sink.size, 14);
    assert_memory_equal(sink.text, "load:    99%\r\n", 14);
}

static void test_nothing_to_say_never_calls_the_sink(void **state)
{
    struct sink sink = {0};
    const char *format = "";
    (void)state;
    assert_int_equal(to_sink(&sink, format), 0);
    assert_int_equal(to_sink(&sink, "%s%.0d", "", 0), 0);
    assert_int_equal(sink.calls, 0);
}

static void test_failing_sink_ends_it_with_its_code(void **state)
{
    struct sink all = {0};
    (void)state;
    assert_int_equal(to_sink(&all, "a%20s%-9d|%+030d%s", "b", 7, 8, "c"), 0);
    for (int at = 1; at <= all.calls; at++) {
        struct sink sink = {.fails_at = at};
        assert_int_equal(to_sink(&sink, "a%20s%-9d|%+030d%s", "b", 7, 8, "c"), -EPIPE);
        assert_int_equal(sink.calls, at);
        assert_memory_equal(sink.text, all.text, sink.size);
    }
}

static void test_unknown_conversion_is_an_error(void **state)
{
    static const char *const formats[] = {"%f",  "%e", "%g",  "%a", "%Lf", "%n",   "%m", "%ls",
                                          "%lc", "%y", "%",   "%5", "%-",  "%.",   "%l", "%hhs",
                                          "%k",  "%q", "%\n", "%!", "%F",  "%5.2f"};
    (void)state;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        char format[20];
        struct sink sink = {0};
        snprintf(format, sizeof(format), "ab%s", formats[i]);
        assert_int_equal(to_sink(&sink, format, 1.0), EVERT_EFORMAT);
        assert_int_equal(sink.size, 2);
    }
}

/* F46: cut short by a sink that fails, as 2 GiB of blanks would take their time. */
static void test_the_largest_widths_and_precisions_do_not_overflow(void **state)
{
    static const struct {
        const char *format;
        int count;
        const char *begins;
    } cases[] = {
        {"%*d", INT_MAX, "                "}, {"%0*d", INT_MAX, "-0000000000"},
        {"%*d", -INT_MAX, "-7          "},    {"%*d", INT_MIN, "-7          "},
        {"%.*d", INT_MAX, "-0000000000"},     {"%.*d", INT_MIN, "-7"}, /* as if there were none */
    };
    static const char *const written_out[] = {"%2147483647d", "%2147483648d", "%4294967297d",
                                              "%18446744073709551617d",
                                              "%99999999999999999999999999999d"};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sink sink = {.fails_at = 4};
        int rc = to_sink(&sink, cases[i].format, cases[i].count, -7);
        assert_int_equal(rc, sink.calls < 4 ? 0 : -EPIPE);
        assert_memory_equal(sink.text, cases[i].begins, strlen(cases[i].begins));
    }
    for (size_t i = 0; i < sizeof(written_out) / sizeof(written_out[0]); i++) {
        struct sink sink = {.fails_at = 4};
        assert_int_equal(to_sink(&sink, written_out[i], -7), -EPIPE);
        assert_memory_equal(sink.text, "                ", 16);
    }
}

static void test_arguments_of_the_caller_are_not_used_up(void **state)
{
    (void)state;
    SAME("%d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8);
}

/* ---- The stack ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

enum { STACK = 256 * 1024, PAINT = 0xa5 };

static int swallow(void *arg, const char *data, size_t size)
{
    (void)data;
    *(size_t *)arg += size;
    return 0;
}

static int EVERT_PRINTF(2, 3) count_bytes(size_t *size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = evert__format(swallow, size, format, arguments);
    va_end(arguments);
    return rc;
}

static uintptr_t stack_before;

static void *format_much(void *arg)
{
    size_t size = 0;
    stack_before = (uintptr_t)&size;
    for (int i = 0; i < 2; i++)
        (void)count_bytes(&size, "%s %300d %-*.*llx %#o %p %c %.3s%%", "text", -1, 20, 50, 1ULL,
                          077U, arg, 'c', "abcdef");
    return NULL;
}

/* So that it can be used on a task's stack, where printf(3) takes kilobytes. */
static void test_formatting_uses_less_than_1_KiB_of_stack(void **state)
{
#ifdef __s390x__ /* where each call takes 160 bytes for registers, used or not */
    enum { MOST = 2048 };
#else
    enum { MOST = 1024 };
#endif
    pthread_attr_t attributes;
    pthread_t thread;
    unsigned char *stack = aligned_alloc(4096, STACK);
    (void)state;
    memset(stack, PAINT, STACK);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attributes, format_much, stack), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
#ifndef SANITIZED /* which makes frames larger, and runs code of its own in the thread */
    size_t lowest = 0;
    while (stack[lowest] == PAINT)
        lowest++;
    size_t used = stack_before - (uintptr_t)(stack + lowest);
    print_message("used %zu bytes of stack\n", used);
    assert_in_range(used, 100, MOST - 1);
#endif
    free(stack);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_without_conversions),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_string_of_known_size_needs_no_nul),
        cmocka_unit_test(test_null_string_is_said),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_nul_character_is_a_byte),
        cmocka_unit_test(test_widths_and_precisions_from_arguments),
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_all_arguments_in_their_order),
        cmocka_unit_test(test_numbers_with_each_flag_and_length),
        cmocka_unit_test(test_numbers_at_random),
        cmocka_unit_test(test_what_does_not_fit_is_cut),
        cmocka_unit_test(test_what_comes_after_the_cut_is_not_formatted),
        cmocka_unit_test(test_sink_gets_all_the_pieces),
        cmocka_unit_test(test_nothing_to_say_never_calls_the_sink),
        cmocka_unit_test(test_failing_sink_ends_it_with_its_code),
        cmocka_unit_test(test_unknown_conversion_is_an_error),
        cmocka_unit_test(test_the_largest_widths_and_precisions_do_not_overflow),
        cmocka_unit_test(test_arguments_of_the_caller_are_not_used_up),
        cmocka_unit_test(test_formatting_uses_less_than_1_KiB_of_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
