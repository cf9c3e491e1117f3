/* SPDX-License-Identifier: MIT */
/* Files when the system fails, does less than it was asked to, or is slow. */
#include "files.h"

#include <sys/wait.h>

/* ---- What the system does ---- */

/* F15 */
static void test_short_reads_and_writes_go_on(void **state)
{
    const size_t size = 1000;
    char *bytes = bytes_at(0, size), read[1000];
    (void)state;
    int fd = open_file("one", O_RDWR | O_CREAT);
    begin_short_script(EVERT__SYS_PWRITE, 7);
    check_rc(evert_file_write(fd, bytes, size, 5), 0);
    assert_true(asked_for(EVERT__SYS_PWRITE) > 1000 / 7);
    begin_short_script(EVERT__SYS_PREAD, 7);
    make_cold();
    assert_int_equal(evert_file_read(fd, read, size, 5), size);
    assert_memory_equal(read, bytes, size);
    begin_short_script(EVERT__SYS_PREAD_NOW, 7);
    assert_int_equal(evert_file_read(fd, read, size, 6), size - 1);
    assert_memory_equal(read, bytes + 1, size - 1);
    end_script();
    close_and_remove(fd, "one");
    free(bytes);
}

/* F4 */
static void test_calls_that_are_interrupted_are_made_again(void **state)
{
    struct statx known;
    char byte;
    (void)state;
    begin_script(EVERT__SYS_OPEN, 0, 3, -EINTR);
    int fd = open_file("one", O_RDWR | O_CREAT);
    begin_script(EVERT__SYS_PWRITE, 0, 3, -EINTR);
    check_rc(evert_file_write(fd, "x", 1, 0), 0);
    begin_script(EVERT__SYS_PREAD, 0, 3, -EINTR);
    make_cold();
    check_rc((int)evert_file_read(fd, &byte, 1, 0), 1);
    begin_script(EVERT__SYS_SYNC, 0, 3, -EINTR);
    check_rc(evert_file_sync(fd), 0);
    begin_script(EVERT__SYS_STATX, 0, 3, -EINTR);
    check_rc(evert_file_stat(fd, &known), 0);
    begin_script(EVERT__SYS_RENAME, 0, 3, -EINTR);
    check_rc(evert_file_rename(in_folder("one"), in_folder("two")), 0);
    begin_script(EVERT__SYS_CLOSE, 0, 1, -EINTR);
    check_rc(evert_file_close(fd), 0);
    begin_script(EVERT__SYS_UNLINK, 0, 3, -EINTR);
    check_rc(evert_file_unlink(in_folder("two")), 0);
    assert_int_equal(asked_for(EVERT__SYS_UNLINK), 4);
    end_script();
}

static void test_each_failure_is_told_as_it_is(void **state)
{
    static const int codes[] = {-EIO, -ENOSPC, -EDQUOT, -EFBIG, -ESTALE, -ENOMEM};
    char byte;
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(codes); i++) {
        int fd = open_with("one", 10);
        begin_script(EVERT__SYS_PWRITE, 0, 1, codes[i]);
        check_rc(evert_file_write(fd, "x", 1, 0), codes[i]);
        begin_script(EVERT__SYS_PREAD, 0, 1, codes[i]);
        make_cold();
        check_rc((int)evert_file_read(fd, &byte, 1, 0), codes[i]);
        begin_script(EVERT__SYS_SYNC, 0, 1, codes[i]);
        check_rc(evert_file_sync(fd), codes[i]);
        begin_script(EVERT__SYS_CLOSE, 0, 1, codes[i]);
        check_rc(evert_file_close(fd), codes[i]);
        assert_int_equal(asked_for(EVERT__SYS_CLOSE), 1);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        end_script();
        check_rc(evert_file_unlink(in_folder("one")), 0);
    }
}

static void test_what_was_written_before_a_failure_stays(void **state)
{
    (void)state;
    int fd = open_file("one", O_RDWR | O_CREAT);
    begin_short_script(EVERT__SYS_PWRITE, 4);
    script.skip = script.times = 1;
    script.answer = -ENOSPC;
    check_rc(evert_file_write(fd, "01234567", 8, 0), -ENOSPC);
    end_script();
    assert_true(lseek(fd, 0, SEEK_END) <= 4); /* less on an adverse back end */
    assert_true(lseek(fd, 0, SEEK_END) >= 1);
    close_and_remove(fd, "one");
}

static void test_a_write_of_nothing_is_not_made_for_ever(void **state)
{
    (void)state;
    int fd = open_with("one", 10);
    begin_script(EVERT__SYS_PWRITE, 0, 1, 0);
    check_rc(evert_file_write(fd, "x", 1, 0), -EIO);
    end_script();
    close_and_remove(fd, "one");
}

/* ---- Without waiting ---- */

static void test_what_is_in_memory_is_read_by_one_call(void **state)
{
    char read[100];
    (void)state;
    if (is_on("adverse"))
        return; /* it does not always try, or tries less */
    int fd = open_with("one", 100);
    begin_script(EVERT__SYS_PREAD_NOW, 0, 1, sizeof(read));
    check_rc((int)evert_file_read(fd, read, sizeof(read), 0), sizeof(read));
    assert_int_equal(asked_for(EVERT__SYS_PREAD_NOW), 1);
    assert_int_equal(asked_for(EVERT__SYS_PREAD) + asked_for(EVERT__SYS_THREAD), 0);
    assert_int_equal(asked_for(EVERT__SYS_URING_ENTER), 0);
    end_script();
    close_and_remove(fd, "one");
}

static void test_what_is_not_in_memory_is_asked_for_in_earnest(void **state)
{
    static const int refusals[] = {-EAGAIN, -EOPNOTSUPP, -ENOSYS, -EPERM};
    char read[1000];
    (void)state;
    int fd = open_with("one", 900);
    for (size_t i = 0; i < LENGTH_OF(refusals); i++) {
        memset(read, 0, sizeof(read));
        begin_script(EVERT__SYS_PREAD_NOW, 0, 1000, refusals[i]);
        assert_int_equal(evert_file_read(fd, read, sizeof(read), 0), 900);
        check_bytes(read, 0, 900);
        end_script();
    }
    close_and_remove(fd, "one");
}

/* Linux 5.9 and 5.10 say 0 in the middle of a file, too. */
static void test_an_end_is_not_believed_where_there_is_none(void **state)
{
    char read[1000];
    (void)state;
    int fd = open_with("one", 900);
    begin_script(EVERT__SYS_PREAD_NOW, 0, 1000, 0);
    assert_int_equal(evert_file_read(fd, read, sizeof(read), 0), 900);
    check_bytes(read, 0, 900);
    end_script();
    close_and_remove(fd, "one");
}

/* With O_DIRECT the kernel would wait in spite of what it was asked for. */
static void test_what_goes_past_the_memory_is_not_read_at_once(void **state)
{
    _Alignas(512) static char read[1024];
    (void)state;
    int fd = open_with("one", sizeof(read));
    for (int i = 0; i < 10; i++) { /* by chance, on an adverse back end */
        begin_script(EVERT__SYS_FCNTL, 0, 1000, O_RDWR | O_DIRECT);
        check_rc((int)evert_file_read(fd, read, 1024, 0), 1024);
        check_bytes(read, 0, 1024);
        if (is_on("adverse"))
            continue;
        assert_int_equal(asked_for(EVERT__SYS_PREAD_NOW), 0);
        check_rc((int)evert_file_read(fd, read, 1000, 0), 1000);
        assert_true(asked_for(EVERT__SYS_PREAD_NOW) > 0); /* not of whole sectors: it is none */
    }
    end_script();
    close_and_remove(fd, "one");
}

/* A ring says so of what it cannot wait for; a thread can. */
static void test_a_read_that_would_wait_in_a_ring_is_made_by_a_thread(void **state)
{
    char read[100];
    (void)state;
    int fd = open_with("one", 100);
    begin_script(EVERT__SYS_PREAD, 0, 1, -EAGAIN);
    make_cold();
    ssize_t count = evert_file_read(fd, read, sizeof(read), 0);
    end_script();
    assert_int_equal(count, is_on("uring") ? 100 : -EAGAIN);
    if (count > 0)
        check_bytes(read, 0, 100);
    close_and_remove(fd, "one");
}

/* ---- Others ---- */

struct counter {
    int turns;
    bool stop;
};

static int count_turns(void *arg)
{
    struct counter *counter = arg;
    int rc = 0;
    while (!counter->stop && rc == 0) {
        counter->turns++;
        rc = evert_yield();
    }
    return rc;
}

/* C12: in calls, and in bytes, also where each call gives few of them. */
static void test_who_reads_from_memory_lets_others_run(void **state)
{
    static char much[MOST];
    struct counter counter = {0};
    evert_scope s;
    (void)state;
    int fd = open_with("one", MOST);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, count_turns, &counter), 0);
    check_rc(evert_yield(), 0);
    int before = counter.turns;
    for (int i = 0; i < 650; i++)
        check_rc((int)evert_file_read(fd, much, 10, i), 10);
    assert_true(counter.turns >= before + 9);
    for (int i = 0; i < 2; i++) {
        before = counter.turns;
        if (i == 1)
            begin_short_script(EVERT__SYS_PREAD_NOW, 100 * 1000);
        check_rc((int)evert_file_read(fd, much, MOST, 0), MOST);
        end_script();
        assert_true(counter.turns >= before + 3);
        check_bytes(much, 0, MOST);
    }
    counter.stop = true;
    check_rc(evert_scope_leave(&s, 0), 0);
    close_and_remove(fd, "one");
}

/* ---- Shortages ---- */

/* F45 */
static void test_without_memory_calls_fail_and_a_file_is_closed_all_the_same(void **state)
{
    struct statx known;
    char byte;
    (void)state;
    int fd = open_with("one", 10);
    const char *path = in_folder("one");
    begin_script(EVERT__SYS_PREAD_NOW, 0, 1000, -EAGAIN);
    take_memory_away();
    check_rc(evert_file_open(path, O_RDONLY, 0), -ENOMEM);
    check_rc(evert_file_stat(fd, &known), -ENOMEM);
    check_rc((int)evert_file_read(fd, &byte, 1, 0), -ENOMEM);
    check_rc(evert_file_write(fd, "x", 1, 0), -ENOMEM);
    check_rc(evert_file_sync(fd), -ENOMEM);
    check_rc(evert_file_rename(path, path), -ENOMEM);
    check_rc(evert_file_unlink(path), -ENOMEM);
    check_rc(evert_file_close(fd), 0);
    give_memory_back();
    end_script();
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    check_rc(evert_file_unlink(path), 0);
}

/* There is memory for a few requests, and then no more. */
static int work_with_little_memory(void *path)
{
    int fd = evert_file_open(path, O_RDWR, 0);
    int rc = fd < 0 ? fd : evert_file_write(fd, "x", 1, 0);
    check_rc(evert_file_close(fd), 0);
    return rc;
}

static void test_want_of_memory_at_any_place_is_told(void **state)
{
    (void)state;
    put_file(in_folder("one"), 10);
    const char *path = in_folder("one");
    memory_limit.hit = true;
    for (int most = 0; memory_limit.hit; most++) {
        evert_loop *loop;
        evert_coro *coro;
        check_rc(evert_loop_new(&loop), 0);
        check_rc(evert_coro_new(&coro, work_with_little_memory, (void *)(uintptr_t)path), 0);
        memory_limit.hit = false;
        memory_limit.left = most;
        int before = open_descriptors();
        evert_set_allocator(&limited_memory);
        int rc = evert_loop_run_until_complete(loop, coro);
        evert_set_allocator(NULL);
        assert_true(rc == 0 || (rc == -ENOMEM && memory_limit.hit)); /* closing needs none */
        assert_int_equal(open_descriptors(), before);
        evert_loop_free(loop);
    }
    check_rc(unlink(path), 0);
}

static int work_without_threads(void *path)
{
    int fd = evert_file_open(path, O_RDWR, 0);
    if (!is_on("uring"))
        check_rc(fd, -EAGAIN);
    fd = fd < 0 ? open(path, O_RDWR | O_CLOEXEC) : fd;
    check_rc(evert_file_sync(fd), is_on("uring") ? 0 : -EAGAIN);
    check_rc(evert_file_close(fd), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    return 0;
}

static void test_where_no_thread_can_be_had_that_is_told_and_files_are_closed(void **state)
{
    (void)state;
    put_file(in_folder("one"), 10);
    const char *path = in_folder("one");
    begin_script(EVERT__SYS_THREAD, 0, 1000, -EAGAIN);
    check_rc(in_task(work_without_threads, (void *)(uintptr_t)path), 0);
    assert_true(asked_for(EVERT__SYS_THREAD) > 0);
    end_script();
    check_rc(unlink(path), 0);
}

/* ---- Where nothing may wait ---- */

static int use_files_in_callback(void *unused)
{
    char byte;
    (void)unused;
    int rc = evert_file_open("/dev/null", O_RDONLY, 0);
    if (rc == EVERT_ECONTEXT)
        rc = (int)evert_file_read(0, &byte, 1, 0);
    if (rc == EVERT_ECONTEXT)
        rc = evert_file_write(1, "", 1, 0);
    if (rc == EVERT_ECONTEXT)
        rc = evert_file_sync(1);
    if (rc == EVERT_ECONTEXT)
        rc = evert_file_unlink("/nowhere/at/all");
    if (rc == EVERT_ECONTEXT)
        rc = evert_file_rename("/nowhere/at/all", "/nowhere/else");
    return rc;
}

static int use_files_in_a_callback(void *unused)
{
    (void)unused;
    return in_callback(use_files_in_callback, NULL);
}

static int close_in_callback(void *fd)
{
    int rc = evert_file_close(*(int *)fd);
    assert_int_equal(fcntl(*(int *)fd, F_GETFD), -1);
    return rc;
}

static int close_in_a_callback(void *unused)
{
    (void)unused;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return in_callback(close_in_callback, &fd);
}

static void test_in_a_callback_nothing_waits(void **state)
{
    (void)state;
    check_misuse(use_files_in_a_callback, EVERT_ECONTEXT, "in a callback of the loop");
    check_misuse(close_in_a_callback, EVERT_ECONTEXT, "in a callback of the loop");
}

/* ---- Children ---- */

static int use_files_in_child(void *arg)
{
    int fd = *(int *)arg;
    char byte;
    check_rc(evert_file_open("/dev/null", O_RDONLY, 0), EVERT_ECLOSED);
    check_rc((int)evert_file_read(fd, &byte, 1, 0), EVERT_ECLOSED);
    check_rc(evert_file_write(fd, "x", 1, 0), EVERT_ECLOSED);
    check_rc(evert_file_sync(fd), EVERT_ECLOSED);
    check_rc(evert_file_unlink("/nowhere/at/all"), EVERT_ECLOSED);
    check_rc(evert_file_close(fd), 0);
    return fcntl(fd, F_GETFD) == -1 ? 0 : 1;
}

static int fork_with_file(void *fd)
{
    check_rc(evert_file_write(*(int *)fd, "abc", 3, 0), 0);
    struct child child = in_child(use_files_in_child, fd);
    check_exit(&child, 0);
    check_rc(evert_file_write(*(int *)fd, "x", 1, 1), 0);
    return evert_file_close(*(int *)fd);
}

/* P9, F38 */
static void test_a_tasks_child_only_closes_its_copies(void **state)
{
    (void)state;
    int fd = open_file("one", O_RDWR | O_CREAT);
    check_rc(in_task(fork_with_file, &fd), 0);
    check_file(in_folder("one"), "axc");
    check_rc(evert_file_unlink(in_folder("one")), 0);
}

static int begin_anew_in_child(void *path)
{
    char read[16];
    begin_script(EVERT__SYS_PREAD_NOW, 0, 1000, -EAGAIN);
    int fd = evert_file_open(path, O_RDONLY, 0);
    ssize_t count = evert_file_read(fd, read, sizeof(read), 0);
    return count == 10 && evert_file_close(fd) == 0 ? 0 : 1;
}

#ifdef EVERT__TSAN
#define IS_TSAN true
#else
#define IS_TSAN false
#endif

static void test_a_child_on_a_plain_thread_has_files_of_its_own(void **state)
{
    if (IS_TSAN)
        return; /* it takes no thread of a child's, where its parent had any */
    (void)state;
    put_file(in_folder("one"), 10);
    char *path = strdup(in_folder("one"));
    check_rc(begin_anew_in_child(path), 0); /* so there are threads, which the child has not */
    end_script();
    struct child child = in_child(begin_anew_in_child, path);
    check_exit(&child, 0);
    check_rc(evert_file_unlink(path), 0);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_short_reads_and_writes_go_on),
        everywhere(test_calls_that_are_interrupted_are_made_again),
        everywhere(test_each_failure_is_told_as_it_is),
        everywhere(test_what_was_written_before_a_failure_stays),
        everywhere(test_a_write_of_nothing_is_not_made_for_ever),
        everywhere(test_what_is_in_memory_is_read_by_one_call),
        everywhere(test_what_is_not_in_memory_is_asked_for_in_earnest),
        everywhere(test_an_end_is_not_believed_where_there_is_none),
        everywhere(test_what_goes_past_the_memory_is_not_read_at_once),
        everywhere(test_a_read_that_would_wait_in_a_ring_is_made_by_a_thread),
        everywhere(test_who_reads_from_memory_lets_others_run),
        everywhere(test_without_memory_calls_fail_and_a_file_is_closed_all_the_same),
        cmocka_unit_test(test_want_of_memory_at_any_place_is_told),
        cmocka_unit_test(test_where_no_thread_can_be_had_that_is_told_and_files_are_closed),
        cmocka_unit_test(test_in_a_callback_nothing_waits),
        cmocka_unit_test(test_a_tasks_child_only_closes_its_copies),
        cmocka_unit_test(test_a_child_on_a_plain_thread_has_files_of_its_own),
    };
    return run_in_folder(tests);
}
