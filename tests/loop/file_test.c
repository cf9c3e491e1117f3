/* SPDX-License-Identifier: MIT */
/*
 * What is asked of files and does not end: opening a FIFO that has no other end, which hangs in a
 * thread and in a ring alike.
 */
#include "loop/file.h"

#include "forking.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys_file.h"

static char folder[40], fifo[64];

static int make_fifo(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/evert-file-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    return mkfifo(fifo, 0600);
}

static int remove_fifo(void **state)
{
    (void)state;
    return unlink(fifo) < 0 ? -1 : rmdir(folder);
}

static int told;

static void note_file(struct evert__file *file)
{
    (void)file;
    told++;
}

/* Asks for it to be opened for reading, by a path from there. */
static struct evert__file *ask_to_open_at(int from, const char *path)
{
    struct evert__file *file = evert__file_new(loop, EVERT__FILE_OPEN, path, NULL);
    assert_non_null(file);
    told = 0;
    file->fd = from;
    file->flags = O_RDONLY | O_CREAT; /* or a ring would try without waiting, which goes well */
    file->done = note_file;
    assert_false(evert__file_start(file));
    return file;
}

static struct evert__file *ask_to_open(void)
{
    return ask_to_open_at(AT_FDCWD, fifo);
}

/* And has the loop take that up. */
static struct evert__file *begin_to_open(void)
{
    struct evert__file *file = ask_to_open();
    turns(5);
    assert_int_equal(told, 0);
    return file;
}

static void test_the_loop_goes_on_while_a_file_is_opened(void **state)
{
    int other, before = open_descriptors();
    (void)state;
    struct evert__file *file = begin_to_open();
    while ((other = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) {
        assert_int_equal(errno, ENXIO); /* nobody opens it yet */
        turn(EVERT_MILLISECOND);
    }
    run_until(&told, 1);
    assert_true(file->result >= 0);
    assert_int_equal(fcntl((int)file->result, F_GETFD), FD_CLOEXEC);
    evert__file_free(file);
    close(other);
    assert_int_equal(open_descriptors(), before);
}

/* Lets the threads go that hang, and waits until they have cleaned up. */
static void let_go_and_wait(int descriptors, int threads)
{
    int other = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    assert_true(other >= 0);
    while (entries_of("/proc/self/task") > threads)
        (void)evert__sys_poll(NULL, 0, EVERT_MILLISECOND);
    close(other);
    assert_int_equal(open_descriptors(), descriptors);
}

static void free_loop(void)
{
    evert_loop_free(loop);
    loop = NULL;
}

/* F51, and with a loop that is gone before it. */
static void test_an_open_that_hangs_is_given_up_and_never_told(void **state)
{
    (void)state;
    free_loop();
    int descriptors = open_descriptors(), threads = entries_of("/proc/self/task");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(evert_loop_new(&loop), 0);
        assert_true(evert__file_cancel(begin_to_open()));
        for (int j = 0; j < i; j++)
            turn(0);
        free_loop();
        let_go_and_wait(descriptors, threads);
        assert_int_equal(told, 0);
    }
}

/* As many hang as there are threads, and more; so nobody has begun with what comes behind them. */
static void test_what_has_not_begun_ends_at_once_without_effect(void **state)
{
    enum { MANY = 20 };
    struct evert__file *hanging[MANY];
    char byte = 'x';
    (void)state;
    if (strcmp(evert_loop_backend(loop), "epoll") != 0 &&
        strcmp(evert_loop_backend(loop), "poll") != 0)
        return; /* a ring takes it up at once; an adverse one may, or may not even begin to hang */
    for (int i = 0; i < MANY; i++)
        hanging[i] = begin_to_open();
    struct evert__file *read = evert__file_new(loop, EVERT__FILE_READ, NULL, NULL);
    assert_non_null(read);
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    read->fd = zero;
    read->memory = &byte;
    read->size = 1;
    read->done = note_file;
    assert_false(evert__file_start(read));
    assert_true(evert__file_cancel(read));
    for (int i = 0; i < MANY; i++)
        assert_true(evert__file_cancel(hanging[i]));
    close(zero);
    int other = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    free_loop();
    close(other);
    assert_int_equal(byte, 'x');
    assert_int_equal(told, 0);
}

static void *begin_in_thread(void *ret)
{
    turn(0); /* so the loop is this thread's */
    *(struct evert__file **)ret = ask_to_open();
    return NULL;
}

/* A ring takes nothing from the thread that frees the loop; what it had, it has no more. */
static void test_what_a_thread_that_has_ended_had_asked_for_is_given_up(void **state)
{
    struct evert__file *file;
    pthread_t thread;
    (void)state;
    int descriptors = open_descriptors();
    int threads = on_uring() ? INT_MAX : entries_of("/proc/self/task"); /* those are not ours */
    assert_int_equal(pthread_create(&thread, NULL, begin_in_thread, &file), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(evert__file_cancel(file));
    evert_loop *ended = loop;
    assert_int_equal(evert_loop_new(&loop), 0); /* so that there are as many descriptors */
    evert_loop_free(ended);
    let_go_and_wait(descriptors, threads);
    assert_int_equal(told, 0);
}

static struct evert__file *inherited;

static void cancel_in_child(void)
{
    MUST(!evert__file_cancel(inherited));
}

/* P9: what is on its way is the parent's. */
static void test_a_child_cancels_nothing(void **state)
{
    (void)state;
    inherited = begin_to_open();
    assert_int_equal(exit_of(fork_child(cancel_in_child)), 0);
    int other = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    run_until(&told, 1);
    assert_true(inherited->result >= 0);
    evert__file_free(inherited);
    close(other);
}

static void begin_in_child(void)
{
    MUST(evert__file_start(inherited));
    MUST(inherited->result == EVERT_ECLOSED);
}

/* P9, F38: nor does it ask for anything; the threads, or the ring, are the parent's. */
static void test_a_child_begins_nothing(void **state)
{
    (void)state;
    inherited = evert__file_new(loop, EVERT__FILE_OPEN, "/dev/null", NULL);
    assert_non_null(inherited);
    assert_int_equal(exit_of(fork_child(begin_in_child)), 0);
    evert__file_free(inherited);
}

/* Where a thread of ours stands in the kernel: proc(5) on wchan. */
static bool stands_in(const char *thread, const char *where)
{
    char path[300], name[64] = "";
    (void)snprintf(path, sizeof(path), "/proc/self/task/%s/wchan", thread);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        (void)fread(name, 1, sizeof(name) - 1, file);
        (void)fclose(file);
    }
    return strcmp(name, where) == 0;
}

/* Whether one of the ring's threads waits for the other end of a FIFO that it opens. */
static bool opens_a_fifo(void)
{
    DIR *threads = opendir("/proc/self/task");
    const struct dirent *entry;
    bool found = false;
    assert_non_null(threads);
    while (!found && (entry = readdir(threads)) != NULL)
        found = stands_in(entry->d_name, "wait_for_partner");
    closedir(threads);
    return found;
}

/* F51: from a folder, whose number must stay, so it is waited for; the kernel says 512 of it. */
static void test_an_open_in_a_ring_that_is_cut_is_told_as_cancelled(void **state)
{
    (void)state;
    if (strcmp(evert_loop_backend(loop), "uring") != 0)
        return; /* a thread's cannot be cut */
    int from = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 10; i++) {
        struct evert__file *file = ask_to_open_at(from, "fifo");
        evert_time limit = evert_after(100 * EVERT_MILLISECOND); /* not every kernel tells */
        while (i % 2 && !opens_a_fifo() && evert__clock() < limit)
            turn(0);
        turns(i); /* else it has not begun, or has just */
        assert_false(evert__file_cancel(file));
        run_until(&told, 1);
        assert_int_equal(file->result, -ECANCELED);
        evert__file_free(file);
    }
    close(from);
}

static atomic_bool refused;

/* As an older kernel's ring does, of what would have to wait; the thread's call hangs then. */
static bool refuse_first_open(enum evert__sys_call call, const void *site, size_t *size,
                              int64_t *result)
{
    (void)site;
    (void)size;
    *result = -EAGAIN;
    return call == EVERT__SYS_OPEN && !atomic_exchange(&refused, true);
}

/* F51 */
static void test_what_a_thread_does_for_a_ring_is_given_up(void **state)
{
    (void)state;
    if (strcmp(evert_loop_backend(loop), "uring") != 0)
        return; /* elsewhere no other is asked after an EAGAIN */
    free_loop();
    int descriptors = open_descriptors(), threads = entries_of("/proc/self/task");
    assert_int_equal(evert_loop_new(&loop), 0);
    atomic_store(&refused, false);
    evert__sys_set_hook(refuse_first_open);
    struct evert__file *file = begin_to_open();
    assert_true(file->pooled);
    assert_true(evert__file_cancel(file));
    turns(5);
    evert__sys_set_hook(NULL);
    free_loop();
    let_go_and_wait(descriptors, threads);
    assert_int_equal(told, 0);
}

/* The ring has it, and is asked once to end it; it is told once, whatever becomes of it. */
static void test_a_second_cancel_has_no_effect(void **state)
{
    char byte = 'x';
    (void)state;
    if (strcmp(evert_loop_backend(loop), "uring") != 0)
        return; /* elsewhere the first one may have ended it */
    struct evert__file *read = evert__file_new(loop, EVERT__FILE_READ, NULL, NULL);
    assert_non_null(read);
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    told = 0;
    read->fd = zero;
    read->memory = &byte;
    read->size = 1;
    read->done = note_file;
    assert_false(evert__file_start(read));
    assert_false(evert__file_cancel(read));
    assert_false(evert__file_cancel(read));
    run_until(&told, 1);
    turns(3);
    assert_int_equal(told, 1);
    assert_true(read->result == 1 || read->result == -ECANCELED);
    assert_int_equal(byte, read->result == 1 ? 0 : 'x');
    evert__file_free(read);
    close(zero);
}

/* Not the common one: that sets the allocator, which threads that were left have just used. */
static int teardown(void **state)
{
    (void)state;
    free_loop();
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, loop_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_loop_goes_on_while_a_file_is_opened),
        CASE(test_an_open_that_hangs_is_given_up_and_never_told),
        CASE(test_what_has_not_begun_ends_at_once_without_effect),
        CASE(test_what_a_thread_that_has_ended_had_asked_for_is_given_up),
        CASE(test_a_child_cancels_nothing),
        CASE(test_a_child_begins_nothing),
        CASE(test_an_open_in_a_ring_that_is_cut_is_told_as_cancelled),
        CASE(test_what_a_thread_does_for_a_ring_is_given_up),
        CASE(test_a_second_cancel_has_no_effect),
    };
    return cmocka_run_group_tests(tests, make_fifo, remove_fifo);
}
