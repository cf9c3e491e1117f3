/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

/* Puts another descriptor in the place of standard error; returns the one before. */
static int replace_standard_error(int fd)
{
    int before = fcntl(2, F_DUPFD_CLOEXEC, 3);
    assert_true(before > 2);
    assert_int_equal(dup2(fd, 2), 2);
    return before;
}

static void put_back_standard_error(int before)
{
    assert_int_equal(dup2(before, 2), 2);
    close(before);
}

/* Lets the log tell what earlier tests have lost, where nobody reads it. */
static void forget_what_was_lost(void)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int before = replace_standard_error(nowhere);
    evert_log_set_sink(NULL, NULL);
    evert__log(EVERT_LOG_ERROR, "nobody reads this");
    put_back_standard_error(before);
    close(nowhere);
}

static int begin(void **state)
{
    (void)state;
    memset(&got, 0, sizeof(got));
    forget_what_was_lost();
    evert_log_set_sink(keep, &got);
    return 0;
}

static int end(void **state)
{
    (void)state;
    evert_log_set_sink(NULL, NULL);
    evert__sys_set_hook(NULL);
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
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    int before = replace_standard_error(pipes[1]);
    say();
    put_back_standard_error(before);
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

/* ---- F52: what cannot be written ---- */

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

/* Loses so many lines. */
static void lose(int count)
{
    evert_log_set_sink(NULL, NULL);
    evert__sys_set_hook(disk_is_full);
    for (writes = 0; count > 0; count--)
        evert__log(EVERT_LOG_ERROR, "nobody hears");
    evert__sys_set_hook(NULL);
}

static void say_two(void)
{
    evert__log(EVERT_LOG_ERROR, "heard");
    evert__log(EVERT_LOG_ERROR, "heard, too");
}

/* F52 */
static void test_what_cannot_be_written_is_dropped(void **state)
{
    (void)state;
    lose(1);
    assert_int_equal(writes, 1);
}

/* F52: once, and in front of the line that follows them. */
static void test_how_many_lines_were_lost_is_told_with_the_next(void **state)
{
    char text[1000];
    (void)state;
    lose(3);
    assert_int_equal(writes, 3);
    catch_standard_error(say_two, text, sizeof(text));
    assert_string_equal(text, "evert: warning: 3 lines of the log were lost\n"
                              "evert: error: heard\nevert: error: heard, too\n");
    lose(1);
    catch_standard_error(say_two, text, sizeof(text));
    assert_string_equal(text, "evert: warning: 1 line of the log was lost\n"
                              "evert: error: heard\nevert: error: heard, too\n");
}

/* F52: what is not shown anyhow is not missing. */
static void test_lines_that_are_not_shown_are_not_lost(void **state)
{
    char text[1000];
    (void)state;
    lose(2);
    evert__sys_set_hook(disk_is_full);
    evert__log(EVERT_LOG_INFO, "of no interest");
    evert__sys_set_hook(NULL);
    catch_standard_error(say_two, text, sizeof(text));
    assert_non_null(strstr(text, "warning: 2 lines of the log were lost\n"));
}

static void test_a_full_disk_loses_lines_and_says_so_later(void **state)
{
    char text[1000];
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    (void)state;
    assert_true(full >= 0);
    evert_log_set_sink(NULL, NULL);
    int before = replace_standard_error(full);
    say_each();
    put_back_standard_error(before);
    close(full);
    catch_standard_error(say_two, text, sizeof(text));
    assert_string_equal(text, "evert: warning: 2 lines of the log were lost\n"
                              "evert: error: heard\nevert: error: heard, too\n");
}

/* As a disk that has room for a few bytes. */
static bool disk_is_just_full(enum evert__sys_call call, const void *site, size_t *size,
                              int64_t *result)
{
    (void)site;
    (void)result;
    if (call == EVERT__SYS_WRITE)
        *size = 10;
    return false;
}

static void say_on_a_disk_that_is_just_full(void)
{
    evert__sys_set_hook(disk_is_just_full);
    evert__log(EVERT_LOG_ERROR, "cut");
    lose(1);
    say_two();
}

/* F52: the beginning of a line spoils no other. */
static void test_a_line_that_was_cut_is_lost_and_the_next_stands_alone(void **state)
{
    char text[1000];
    (void)state;
    evert_log_set_sink(NULL, NULL);
    catch_standard_error(say_on_a_disk_that_is_just_full, text, sizeof(text));
    assert_string_equal(text, "evert: err\nevert: warning: 2 lines of the log were lost\n"
                              "evert: error: heard\nevert: error: heard, too\n");
}

/* F52: it would wait for ever here, where nobody reads meanwhile. */
static void test_a_full_pipe_that_does_not_block_is_not_waited_for(void **state)
{
    static char text[1 << 20];
    int pipes[2];
    (void)state;
    assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    memset(text, '.', sizeof(text));
    while (write(pipes[1], text, 4096) > 0)
        continue;
    evert_log_set_sink(NULL, NULL);
    int before = replace_standard_error(pipes[1]);
    say_each();
    while (read(pipes[0], text, sizeof(text)) > 0)
        continue;
    say_two();
    put_back_standard_error(before);
    ssize_t count = read(pipes[0], text, sizeof(text) - 1);
    assert_true(count > 0);
    text[count] = '\0';
    assert_string_equal(text, "evert: warning: 2 lines of the log were lost\n"
                              "evert: error: heard\nevert: error: heard, too\n");
    close(pipes[0]);
    close(pipes[1]);
}

enum { THREADS = 4, LINES = 500 };

static void *say_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < LINES; i++)
        evert__log(EVERT_LOG_ERROR, "nobody hears");
    return NULL;
}

/* F52: the loss of each is counted, also where announcing it fails. */
static void test_lines_lost_by_several_threads_are_all_counted(void **state)
{
    pthread_t threads[THREADS];
    char text[1000];
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    (void)state;
    assert_true(full >= 0);
    evert_log_set_sink(NULL, NULL);
    int before = replace_standard_error(full);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, say_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    put_back_standard_error(before);
    close(full);
    catch_standard_error(say_two, text, sizeof(text));
    assert_non_null(strstr(text, "evert: warning: 2000 lines of the log were lost\n"));
}

/* ---- F18, F52: standard error is a pipe that nobody reads any more ---- */

static void say_into_a_closed_pipe(void)
{
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    close(pipes[0]);
    evert_log_set_sink(NULL, NULL);
    int before = replace_standard_error(pipes[1]);
    say_each();
    put_back_standard_error(before);
    close(pipes[1]);
}

/* SIGPIPE has its default action here, and would end the test. */
static void test_a_closed_pipe_raises_no_signal(void **state)
{
    char text[1000];
    struct sigaction action;
    sigset_t before, after;
    (void)state;
    signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    say_into_a_closed_pipe();
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_int_equal(sigismember(&before, SIGPIPE), 0);
    assert_int_equal(sigismember(&after, SIGPIPE), 0);
    assert_int_equal(sigpending(&after), 0);
    assert_int_equal(sigismember(&after, SIGPIPE), 0);
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
    catch_standard_error(say_two, text, sizeof(text));
    assert_non_null(strstr(text, "evert: warning: 2 lines of the log were lost\n"));
}

static volatile sig_atomic_t told;

static void tell(int number)
{
    (void)number;
    told++;
}

/* A SIGPIPE of the program's own is left to it, and the log's are not added to it. */
static void test_a_signal_that_waited_before_stays(void **state)
{
    sigset_t broken_pipe, pending;
    (void)state;
    told = 0;
    signal(SIGPIPE, tell);
    say_into_a_closed_pipe();
    assert_int_equal(told, 0);
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL);
    say_into_a_closed_pipe(); /* blocked already: none is left behind, and it stays blocked */
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    raise(SIGPIPE);
    say_into_a_closed_pipe();
    sigpending(&pending);
    assert_int_equal(sigismember(&pending, SIGPIPE), 1);
    assert_int_equal(told, 0);
    pthread_sigmask(SIG_UNBLOCK, &broken_pipe, NULL);
    assert_int_equal(told, 1);
    signal(SIGPIPE, SIG_DFL);
}

/* ---- Misuse ---- */

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
        CASE(test_how_many_lines_were_lost_is_told_with_the_next),
        CASE(test_lines_that_are_not_shown_are_not_lost),
        CASE(test_a_full_disk_loses_lines_and_says_so_later),
        CASE(test_a_line_that_was_cut_is_lost_and_the_next_stands_alone),
        CASE(test_a_full_pipe_that_does_not_block_is_not_waited_for),
        CASE(test_lines_lost_by_several_threads_are_all_counted),
        CASE(test_a_closed_pipe_raises_no_signal),
        CASE(test_a_signal_that_waited_before_stays),
        CASE(test_misuse_aborts_with_words_in_checked_builds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
