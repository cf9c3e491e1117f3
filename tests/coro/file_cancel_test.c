/* SPDX-License-Identifier: MIT */
/*
 * Files and cancels. What a thread is at can be held up there, at a gate. What a ring is at cannot,
 * so there some cases see only that all comes to one of two ends.
 */
#include "files.h"

enum { THREADS = 8, MANY = 2 * THREADS }; /* of a loop, for files */

/* ---- A scope that is cancelled ---- */

/* C3, C4 */
static void test_in_a_cancelled_scope_nothing_is_done_but_closing(void **state)
{
    struct statx known;
    char byte = 0;
    evert_scope s;
    (void)state;
    int fd = open_with("one", 10);
    const char *path = in_folder("one"), *other = in_folder("other");
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_cancel(&s);
    check_rc(evert_file_open(other, O_WRONLY | O_CREAT, 0600), -ECANCELED);
    check_rc((int)evert_file_read(fd, &byte, 1, 3), -ECANCELED);
    check_rc(evert_file_write(fd, "xxx", 3, 10), -ECANCELED);
    check_rc(evert_file_sync(fd), -ECANCELED);
    check_rc(evert_file_stat(fd, &known), -ECANCELED);
    check_rc(evert_file_rename(path, other), -ECANCELED);
    check_rc(evert_file_unlink(path), -ECANCELED);
    assert_int_equal(byte, 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), 10);
    check_rc(evert_file_close(fd), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(files_in_folder(), 1);
    check_rc(evert_file_unlink(path), 0);
}

/* ---- A call that has begun, and one that has not ---- */

struct reader {
    int fd;
    char read[100];
    ssize_t count; /* 12345 until it has ended */
};

static int read_all(void *arg)
{
    struct reader *reader = arg;
    reader->count = evert_file_read(reader->fd, reader->read, sizeof(reader->read), 0);
    return reader->count < 0 ? (int)reader->count : 0;
}

static struct reader readers[MANY];

static void spawn_readers(evert_scope *s, int fd, int count)
{
    evert_scope_enter(s, EVERT_NEVER);
    for (int i = 0; i < count; i++) {
        readers[i] = (struct reader){.fd = fd, .count = 12345};
        check_rc(evert_spawn(s, read_all, &readers[i]), 0);
    }
}

/* Others run until so many threads are held up. */
static void wait_for_the_gate(int count)
{
    while (waiting_at_the_gate() < count)
        check_rc(evert_sleep(1), 0);
}

static int how_many(ssize_t count)
{
    int found = 0;
    for (int i = 0; i < MANY; i++)
        found += readers[i].count == count;
    return found;
}

static void *open_the_gate(void *unused)
{
    open_gate();
    return unused;
}

/* Cancels, sees what has ended without any end of a read, and lets these end. */
static void cancel_and_open(evert_scope *s)
{
    pthread_t thread;
    evert_scope shield;
    evert_scope_cancel(s);
    evert_shield_enter(&shield, EVERT_NEVER);
    while (how_many(-ECANCELED) < MANY - THREADS)
        check_rc(evert_sleep(1), 0);
    check_rc(evert_scope_leave(&shield, 0), 0);
    assert_int_equal(how_many(12345), MANY - how_many(-ECANCELED));
    assert_int_equal(pthread_create(&thread, NULL, open_the_gate, NULL), 0);
    check_rc(evert_scope_leave(s, 0), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void check_each_is_whole_or_has_no_effect(void)
{
    static const char untouched[100];
    for (int i = 0; i < MANY; i++) {
        if (readers[i].count == -ECANCELED) {
            assert_memory_equal(readers[i].read, untouched, sizeof(untouched));
        } else {
            assert_int_equal(readers[i].count, sizeof(readers[i].read));
            check_bytes(readers[i].read, 0, sizeof(readers[i].read));
        }
    }
}

/* The memory is the caller's again when the call has returned, whatever it returned. */
static void test_a_read_that_has_begun_is_waited_for_and_counts(void **state)
{
    evert_scope s;
    (void)state;
    if (is_on("uring") || is_on("adverse"))
        return; /* nothing can be held up; a read goes in pieces, and is cancelled between them */
    int fd = open_with("one", 100);
    close_gate(EVERT__SYS_PREAD);
    make_cold();
    spawn_readers(&s, fd, MANY);
    wait_for_the_gate(THREADS);
    cancel_and_open(&s);
    end_script();
    assert_int_equal(how_many(100), THREADS);
    assert_int_equal(how_many(-ECANCELED), MANY - THREADS);
    check_each_is_whole_or_has_no_effect();
    close_and_remove(fd, "one");
}

/* On each back end; those that end by a cancel may have some pieces, where it makes pieces. */
static void test_cancelled_reads_come_to_one_end_each(void **state)
{
    (void)state;
    int fd = open_with("one", 100);
    for (int turns = 0; turns < 6; turns++) {
        evert_scope s;
        begin_script(EVERT__SYS_PREAD, 0, 0, 0);
        make_cold();
        spawn_readers(&s, fd, MANY);
        for (int i = 0; i < turns; i++)
            check_rc(evert_yield(), 0);
        evert_scope_cancel(&s);
        check_rc(evert_scope_leave(&s, 0), 0);
        end_script();
        assert_int_equal(how_many(100) + how_many(-ECANCELED), MANY);
        if (!is_on("adverse"))
            check_each_is_whole_or_has_no_effect();
    }
    close_and_remove(fd, "one");
}

/* ---- What goes by a path is given up ---- */

static int open_and_close(void *path)
{
    int fd = evert_file_open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        return fd;
    check_rc(evert_file_close(fd), 0);
    return 0;
}

static void spawn_openers(evert_scope *s, const char *path)
{
    evert_scope_enter(s, EVERT_NEVER);
    for (int i = 0; i < MANY; i++)
        check_rc(evert_spawn(s, open_and_close, (void *)(uintptr_t)path), 0);
}

/* Gives them so many turns, and cancels them. */
static int give_up_after(int turns, const char *path)
{
    evert_scope s;
    spawn_openers(&s, path);
    for (int i = 0; i < turns; i++)
        check_rc(evert_yield(), 0);
    evert_scope_cancel(&s);
    return evert_scope_leave(&s, 0);
}

static int give_up_now_and_then(void *path)
{
    for (int turns = 0; turns < 6; turns++)
        check_rc(give_up_after(turns, path), 0);
    return 0;
}

/* Freeing the loop waits for its threads, and for what the kernel has. */
static void test_a_descriptor_that_comes_too_late_is_closed(void **state)
{
    (void)state;
    put_file(in_folder("one"), 10);
    check_rc(evert_yield(), 0); /* this thread has its own loop by now */
    int before = open_descriptors();
    check_rc(in_task(give_up_now_and_then, (void *)(uintptr_t)in_folder("one")), 0);
    assert_int_equal(open_descriptors(), before);
    check_rc(unlink(in_folder("one")), 0);
}

static int give_up_what_hangs(void *path)
{
    evert_scope s;
    spawn_openers(&s, path);
    wait_for_the_gate(1);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_true(waiting_at_the_gate() > 0);
    open_gate();
    return 0;
}

/* The threads hang, and the tasks go on. */
static void test_an_open_that_hangs_is_given_up(void **state)
{
    (void)state;
    if (is_on("uring"))
        return; /* no thread of ours hangs there */
    put_file(in_folder("one"), 10);
    int before = open_descriptors();
    close_gate(EVERT__SYS_OPEN);
    check_rc(in_task(give_up_what_hangs, (void *)(uintptr_t)in_folder("one")), 0);
    end_script();
    assert_int_equal(open_descriptors(), before);
    check_rc(unlink(in_folder("one")), 0);
}

static int stat_it(void *path)
{
    struct statx known = {.stx_size = 12345};
    int rc = evert_file_stat_at(AT_FDCWD, path, 0, &known);
    assert_int_equal(known.stx_size, 12345);
    return rc;
}

static int give_up_a_stat(void *path)
{
    evert_scope s;
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, stat_it, path), 0);
    wait_for_the_gate(1);
    evert_scope_cancel(&s);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(waiting_at_the_gate(), 1);
    open_gate();
    return 0;
}

/* F51: the memory that it fills is its own. */
static void test_a_stat_that_hangs_is_given_up(void **state)
{
    (void)state;
    if (is_on("uring"))
        return; /* no thread of ours hangs there */
    put_file(in_folder("one"), 10);
    close_gate(EVERT__SYS_STATX);
    check_rc(in_task(give_up_a_stat, (void *)(uintptr_t)in_folder("one")), 0);
    end_script();
    check_rc(unlink(in_folder("one")), 0);
}

static int leave_what_hangs_behind(void *path)
{
    evert_scope s;
    spawn_openers(&s, path);
    if (!is_on("uring"))
        wait_for_the_gate(1);
    evert_scope_cancel(&s);
    return evert_scope_leave(&s, 0);
}

static int threads(void)
{
    return entries_of("/proc/self/task");
}

/* And its loop goes before the threads do, which clean up behind themselves. */
static void test_a_loop_is_freed_with_files_on_their_way(void **state)
{
    (void)state;
    put_file(in_folder("one"), 10);
    int before = open_descriptors(), threads_before = threads();
    if (!is_on("uring"))
        close_gate(EVERT__SYS_OPEN);
    check_rc(in_task(leave_what_hangs_behind, (void *)(uintptr_t)in_folder("one")), 0);
    open_gate();
    while (!is_on("uring") && threads() > threads_before)
        check_rc(evert_sleep(1), 0);
    end_script();
    assert_int_equal(open_descriptors(), before);
    check_rc(unlink(in_folder("one")), 0);
}

/* ---- Closing ---- */

struct closer {
    int fd, rc;
};

static int close_one(void *arg)
{
    struct closer *closer = arg;
    closer->rc = evert_file_close(closer->fd);
    return 0;
}

static void test_a_close_is_waited_for_also_when_it_is_cancelled(void **state)
{
    struct closer closer = {.rc = 12345};
    evert_scope s, shield;
    (void)state;
    closer.fd = open_with("one", 10);
    close_gate(EVERT__SYS_CLOSE);
    evert_scope_enter(&s, EVERT_NEVER);
    check_rc(evert_spawn(&s, close_one, &closer), 0);
    wait_for_the_gate(1);
    evert_scope_cancel(&s);
    evert_shield_enter(&shield, EVERT_NEVER);
    for (int i = 0; i < 10; i++)
        check_rc(evert_yield(), 0);
    check_rc(closer.rc, 12345);
    open_gate();
    check_rc(evert_scope_leave(&shield, 0), 0);
    check_rc(evert_scope_leave(&s, 0), 0);
    end_script();
    check_rc(closer.rc, 0);
    check_rc(evert_file_unlink(in_folder("one")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_in_a_cancelled_scope_nothing_is_done_but_closing),
        everywhere(test_a_read_that_has_begun_is_waited_for_and_counts),
        everywhere(test_cancelled_reads_come_to_one_end_each),
        cmocka_unit_test(test_a_descriptor_that_comes_too_late_is_closed),
        cmocka_unit_test(test_an_open_that_hangs_is_given_up),
        cmocka_unit_test(test_a_stat_that_hangs_is_given_up),
        cmocka_unit_test(test_a_loop_is_freed_with_files_on_their_way),
        everywhere(test_a_close_is_waited_for_also_when_it_is_cancelled),
    };
    return run_in_folder(tests);
}
