/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sys.h"

static struct {
    int count;
    evert_log_level level;
    char message[1000];
} got;

static void keep(evert_log_level level, const char *message, void *arg)
{
    assert_ptr_equal(arg, &got);
    got.count++;
    got.level = level;
    snprintf(got.message, sizeof(got.message), "%s", message);
}

static int begin(void **state)
{
    (void)state;
    memset(&got, 0, sizeof(got));
    evert_log_set_sink(keep, &got);
    return 0;
}

static int end(void **state)
{
    (void)state;
    evert_log_set_sink(NULL, NULL);
    evert__sys_hook = NULL;
    return 0;
}

static void test_sink_gets_level_and_message(void **state)
{
    (void)state;
    for (int level = EVERT_LOG_DEBUG; level <= EVERT_LOG_ERROR; level++) {
        evert__log((evert_log_level)level, "%s failed: %d", "it", level);
        char expected[30];
        snprintf(expected, sizeof(expected), "it failed: %d", level);
        assert_int_equal(got.level, level);
        assert_string_equal(got.message, expected);
    }
    assert_int_equal(got.count, 4);
}

static void test_long_message_is_cut(void **state)
{
    (void)state;
    evert__log(EVERT_LOG_INFO, "%s%5000d", "begins", 1);
    assert_memory_equal(got.message, "begins", 6);
    assert_in_range(strlen(got.message), 300, 400);
}

/* What `say` writes to standard error. */
static void catch_standard_error(void (*say)(void), char *ret, size_t size)
{
    int pipes[2], before = dup(2);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_true(dup2(pipes[1], 2) == 2);
    say();
    assert_true(dup2(before, 2) == 2);
    close(before);
    close(pipes[1]);
    ssize_t count = read(pipes[0], ret, size - 1);
    assert_true(count >= 0);
    ret[count] = '\0';
    close(pipes[0]);
}

static void say_each(void)
{
    evert__log(EVERT_LOG_DEBUG, "one");
    evert__log(EVERT_LOG_INFO, "two");
    evert__log(EVERT_LOG_WARNING, "three %d", 3);
    evert__log(EVERT_LOG_ERROR, "four");
}

static void test_without_a_sink_warnings_and_errors_go_to_standard_error(void **state)
{
    char text[1000];
    (void)state;
    evert_log_set_sink(NULL, NULL);
    catch_standard_error(say_each, text, sizeof(text));
    assert_string_equal(text, "evert: warning: three 3\nevert: error: four\n");
    assert_int_equal(got.count, 0);
}

static void say_much(void)
{
    evert__log(EVERT_LOG_ERROR, "%2000d", 1);
}

static void test_line_that_was_cut_still_ends(void **state)
{
    char text[3000];
    (void)state;
    evert_log_set_sink(NULL, NULL);
    catch_standard_error(say_much, text, sizeof(text));
    assert_in_range(strlen(text), 300, 450);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static int writes;

static bool disk_is_full(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    if (call != EVERT__SYS_WRITE)
        return false;
    writes++;
    *result = -ENOSPC;
    return true;
}

/* F52, in part: it is dropped. */
static void test_what_cannot_be_written_is_dropped(void **state)
{
    (void)state;
    evert_log_set_sink(NULL, NULL);
    evert__sys_hook = disk_is_full;
    writes = 0;
    evert__log(EVERT_LOG_ERROR, "nobody hears");
    assert_int_equal(writes, 1);
}

static void test_misuse_aborts_with_words_in_checked_builds(void **state)
{
    (void)state;
#ifdef EVERT_DEBUG
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        evert_log_set_sink(NULL, NULL);
        signal(SIGABRT, SIG_DFL);
        close(2);
        evert__misuse("bad use of %s", "it");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
#else
    evert__misuse("bad use of %s", "it");
    assert_int_equal(got.level, EVERT_LOG_ERROR);
    assert_string_equal(got.message, "bad use of it");
#endif
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_sink_gets_level_and_message),
        CASE(test_long_message_is_cut),
        CASE(test_without_a_sink_warnings_and_errors_go_to_standard_error),
        CASE(test_line_that_was_cut_still_ends),
        CASE(test_what_cannot_be_written_is_dropped),
        CASE(test_misuse_aborts_with_words_in_checked_builds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
