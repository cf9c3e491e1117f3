/* SPDX-License-Identifier: MIT */
/* Files: what each call does and says, in a task and in blocking mode. */
#include "files.h"

/* ---- Opening, closing, knowing ---- */

static void test_a_file_is_made_written_read_and_known(void **state)
{
    char read[6] = "";
    struct statx known;
    (void)state;
    int fd = open_file("new", O_RDWR | O_CREAT | O_EXCL);
    check_rc(evert_file_write(fd, "hello", 5, 0), 0);
    check_rc(evert_file_write(fd, "p!", 2, 3), 0);
    check_rc((int)evert_file_read(fd, read, sizeof(read), 0), 5);
    assert_string_equal(read, "help!");
    check_rc(evert_file_sync(fd), 0);
    check_rc(evert_file_sync_data(fd), 0);
    check_rc(evert_file_stat(fd, &known), 0);
    assert_int_equal(known.stx_size, 5);
    assert_true(S_ISREG(known.stx_mode));
    assert_int_equal(known.stx_mode & 0777, 0600);
    check_rc(evert_file_close(fd), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    check_rc(evert_file_unlink(in_folder("new")), 0);
    assert_int_equal(files_in_folder(), 0);
}

static void test_paths_start_from_a_folder(void **state)
{
    struct statx known;
    (void)state;
    put_file(in_folder("one"), 10);
    assert_int_equal(symlink("one", in_folder("link")), 0);
    int start = evert_file_open(folder, O_RDONLY | O_DIRECTORY, 0);
    assert_true(start >= 0);
    int fd = evert_file_open_at(start, "one", O_RDONLY, 0);
    assert_true(fd >= 0);
    check_rc(evert_file_stat_at(start, "link", 0, &known), 0);
    assert_true(S_ISREG(known.stx_mode));
    check_rc(evert_file_stat_at(start, "link", AT_SYMLINK_NOFOLLOW, &known), 0);
    assert_true(S_ISLNK(known.stx_mode));
    check_rc(evert_file_close(fd), 0);
    check_rc(evert_file_close(start), 0);
    check_rc(evert_file_rename(in_folder("one"), in_folder("link")), 0); /* in its place */
    assert_int_equal(files_in_folder(), 1);
    check_rc(evert_file_stat_at(AT_FDCWD, in_folder("link"), AT_SYMLINK_NOFOLLOW, &known), 0);
    assert_int_equal(known.stx_size, 10);
    check_rc(evert_file_unlink(in_folder("link")), 0);
}

/* F53 */
static void test_no_program_that_is_executed_gets_a_descriptor(void **state)
{
    (void)state;
    int fd = open_file("one", O_RDWR | O_CREAT);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    check_rc(evert_file_close(fd), 0);
    check_rc(evert_file_unlink(in_folder("one")), 0);
}

static void test_flags_are_those_that_were_asked_for(void **state)
{
    static const int asked[] = {O_RDWR, O_RDWR | O_APPEND, O_RDWR | O_NONBLOCK, O_WRONLY | O_SYNC};
    (void)state;
    put_file(in_folder("one"), 10);
    for (size_t i = 0; i < LENGTH_OF(asked); i++) {
        int fd = open_file("one", asked[i]);
        int wanted = O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC;
        assert_int_equal(fcntl(fd, F_GETFL) & wanted, asked[i]);
        check_rc(evert_file_close(fd), 0);
    }
    check_rc(evert_file_unlink(in_folder("one")), 0);
}

static void test_appending_is_at_the_end_whatever_the_offset(void **state)
{
    (void)state;
    int fd = open_file("log", O_WRONLY | O_CREAT | O_APPEND);
    check_rc(evert_file_write(fd, "one ", 4, 0), 0);
    check_rc(evert_file_write(fd, "two", 3, 0), 0);
    check_rc(evert_file_close(fd), 0);
    check_file(in_folder("log"), "one two");
    check_rc(evert_file_unlink(in_folder("log")), 0);
}

static void check_told(int rc, int wanted, const char *words)
{
    check_rc(rc, wanted);
    check_words(evert_describe(rc), words);
    check_words(evert_describe(rc), evert_strerror(rc));
}

static void test_failures_say_what_was_asked_of_which_file(void **state)
{
    char byte;
    struct statx known;
    (void)state;
    check_told(evert_file_open(in_folder("none"), O_RDONLY, 0), -ENOENT, "open /tmp/evert-file-");
    check_told(evert_file_stat_at(AT_FDCWD, in_folder("none"), 0, &known), -ENOENT, "stat /tmp/");
    check_told(evert_file_rename(in_folder("none"), in_folder("x")), -ENOENT, "rename /tmp/");
    check_told(evert_file_unlink(in_folder("none")), -ENOENT, "unlink /tmp/");
    check_told((int)evert_file_read(999, &byte, 1, 0), -EBADF, "read descriptor 999: ");
    check_told(evert_file_write(999, "", 1, 0), -EBADF, "write descriptor 999: ");
    check_told(evert_file_sync(999), -EBADF, "sync descriptor 999: ");
    check_told(evert_file_stat(999, &known), -EBADF, "stat descriptor 999: ");
    check_told(evert_file_close(999), -EBADF, "close descriptor 999: ");
    check_rc(evert_file_close(-1), 0);
    int fd = evert_file_open(folder, O_RDONLY, 0);
    check_told((int)evert_file_read(fd, &byte, 1, 0), -EISDIR, "read descriptor ");
    check_rc(evert_file_close(fd), 0);
}

/* ---- Reading and writing ---- */

static void test_a_read_is_short_only_where_the_file_ends(void **state)
{
    char read[100];
    (void)state;
    put_file(in_folder("one"), 150);
    int fd = open_file("one", O_RDONLY);
    check_rc((int)evert_file_read(fd, read, 100, 0), 100);
    check_bytes(read, 0, 100);
    check_rc((int)evert_file_read(fd, read, 100, 100), 50);
    check_bytes(read, 100, 50);
    check_rc((int)evert_file_read(fd, read, 100, 150), 0);
    check_rc((int)evert_file_read(fd, read, 100, 1000), 0);
    check_rc((int)evert_file_read(fd, read, 0, 0), 0);
    check_rc((int)evert_file_read(fd, NULL, 0, 0), 0);
    check_rc(evert_file_close(fd), 0);
    check_rc(evert_file_unlink(in_folder("one")), 0);
}

/* To preadv2(2) and to a ring -1 is where the descriptor stands. */
static void test_offsets_are_not_negative_and_the_descriptor_stands_still(void **state)
{
    char read[10];
    (void)state;
    put_file(in_folder("one"), 150);
    int fd = open_file("one", O_RDWR);
    assert_int_equal(lseek(fd, 20, SEEK_SET), 20);
    check_rc((int)evert_file_read(fd, read, 10, -1), -EINVAL);
    check_rc((int)evert_file_read(fd, read, 10, INT64_MIN), -EINVAL);
    check_rc(evert_file_write(fd, read, 10, -1), -EINVAL);
    check_rc((int)evert_file_read(fd, read, 10, 0), 10);
    check_rc(evert_file_write(fd, read, 10, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 20);
    check_rc(evert_file_write(fd, NULL, 0, 0), 0);
    check_rc(evert_file_close(fd), 0);
    check_rc(evert_file_unlink(in_folder("one")), 0);
}

/* F15, and what the system has not in memory. */
static void test_much_is_read_and_written_whole(void **state)
{
    const size_t size = 700001, place = 13;
    char *bytes = bytes_at(0, size), *read = malloc(size);
    (void)state;
    int fd = open_file("much", O_RDWR | O_CREAT);
    check_rc(evert_file_write(fd, bytes, size, (int64_t)place), 0);
    for (int round = 0; round < 3; round++) {
        memset(read, 0, size);
        assert_int_equal(evert_file_read(fd, read, size, (int64_t)place), size);
        assert_memory_equal(read, bytes, size);
        check_rc(evert_file_sync(fd), 0);
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    }
    check_rc(evert_file_close(fd), 0);
    check_rc(evert_file_unlink(in_folder("much")), 0);
    free(bytes);
    free(read);
}

static void test_offsets_go_beyond_4_gib(void **state)
{
    const int64_t far = ((int64_t)5 << 30) + 123;
    char read[9] = "";
    struct statx known;
    (void)state;
    int fd = open_file("far", O_RDWR | O_CREAT);
    check_rc(evert_file_write(fd, "far away", 8, far), 0);
    check_rc((int)evert_file_read(fd, read, 100, far), 8);
    assert_string_equal(read, "far away");
    check_rc((int)evert_file_read(fd, read, 8, far - ((int64_t)4 << 30)), 8);
    assert_int_equal(read[0], 0); /* a hole */
    check_rc(evert_file_stat(fd, &known), 0);
    assert_true(known.stx_size == (uint64_t)far + 8);
    check_rc((int)evert_file_read(fd, read, 8, INT64_MAX - 100), 0);
    assert_true(evert_file_write(fd, read, 8, INT64_MAX - 3) < 0);
    check_rc(evert_file_close(fd), 0);
    check_rc(evert_file_unlink(in_folder("far")), 0);
}

/* Which cannot be read without waiting, and comes in pieces. */
static void test_what_the_kernel_makes_up_is_read_whole(void **state)
{
    static char read[256 * 1024];
    (void)state;
    int fd = evert_file_open("/proc/self/smaps", O_RDONLY, 0);
    assert_true(fd >= 0);
    ssize_t count = evert_file_read(fd, read, sizeof(read) - 1, 0);
    assert_true(count > 8192);
    assert_int_equal(read[count - 1], '\n');
    check_rc(evert_file_close(fd), 0);
}

static void test_a_full_disk_is_told(void **state)
{
    char zeros[100] = {1};
    (void)state;
    int fd = evert_file_open("/dev/full", O_RDWR, 0);
    assert_true(fd >= 0);
    check_told(evert_file_write(fd, zeros, sizeof(zeros), 0), -ENOSPC, "write descriptor ");
    check_rc((int)evert_file_read(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
    assert_int_equal(zeros[0], 0);
    check_rc(evert_file_close(fd), 0);
}

/* ---- What is no file ---- */

static void check_turned_down(int fd)
{
    char byte;
    check_rc((int)evert_file_read(fd, &byte, 1, 0), -ESPIPE);
    check_rc(evert_file_write(fd, "x", 1, 0), -ESPIPE);
}

/* None of them would ever give anything. */
static void test_pipes_sockets_and_terminals_are_turned_down(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    check_turned_down(ends[0]);
    check_turned_down(ends[1]);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    check_turned_down(ends[0]);
    close(ends[0]);
    close(ends[1]);
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    check_turned_down(terminal);
    close(terminal);
}

static void test_opening_a_fifo_waits_for_nobody(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    check_rc(evert_file_open(in_folder("fifo"), O_WRONLY, 0), -ENXIO);
    int fd = open_file("fifo", O_RDONLY);
    check_turned_down(fd);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    check_rc(evert_file_close(fd), 0);
    check_rc(evert_file_unlink(in_folder("fifo")), 0);
}

/* Which a ring tells as what it would have had to wait for, and so a thread is asked. */
static void test_a_file_that_another_has_a_lease_on_is_not_waited_for(void **state)
{
    (void)state;
    put_file(in_folder("one"), 10);
    int held = open(in_folder("one"), O_RDONLY | O_CLOEXEC);
    assert_true(held >= 0);
    signal(SIGIO, SIG_IGN);
    assert_int_equal(fcntl(held, F_SETLEASE, F_RDLCK), 0);
    check_rc(evert_file_open(in_folder("one"), O_WRONLY, 0), -EAGAIN);
    close(held);
    signal(SIGIO, SIG_DFL);
    check_rc(evert_file_unlink(in_folder("one")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_file_is_made_written_read_and_known),
        everywhere(test_paths_start_from_a_folder),
        everywhere(test_no_program_that_is_executed_gets_a_descriptor),
        everywhere(test_flags_are_those_that_were_asked_for),
        everywhere(test_appending_is_at_the_end_whatever_the_offset),
        everywhere(test_failures_say_what_was_asked_of_which_file),
        everywhere(test_a_read_is_short_only_where_the_file_ends),
        everywhere(test_offsets_are_not_negative_and_the_descriptor_stands_still),
        everywhere(test_much_is_read_and_written_whole),
        everywhere(test_offsets_go_beyond_4_gib),
        everywhere(test_what_the_kernel_makes_up_is_read_whole),
        everywhere(test_a_full_disk_is_told),
        everywhere(test_pipes_sockets_and_terminals_are_turned_down),
        everywhere(test_opening_a_fifo_waits_for_nobody),
        everywhere(test_a_file_that_another_has_a_lease_on_is_not_waited_for),
    };
    return run_in_folder(tests);
}
