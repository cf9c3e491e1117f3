/* SPDX-License-Identifier: MIT */
/* Whole files: loading one, and saving one so that there is always a whole one. */
#include "files.h"

/* ---- Loading ---- */

static void test_a_file_is_loaded_whole_with_a_nul_behind_it(void **state)
{
    char read[101];
    (void)state;
    put_file(in_folder("one"), 100);
    put_file(in_folder("empty"), 0);
    memset(read, 'x', sizeof(read));
    check_rc((int)evert_file_load(in_folder("one"), read, 101), 100);
    check_bytes(read, 0, 100);
    assert_int_equal(read[100], '\0');
    check_rc((int)evert_file_load(in_folder("one"), read, 100), EVERT_ELIMIT);
    check_rc((int)evert_file_load(in_folder("one"), read, 1), EVERT_ELIMIT);
    check_rc((int)evert_file_load(in_folder("one"), read, 0), EVERT_ELIMIT);
    check_rc((int)evert_file_load(in_folder("empty"), read, 1), 0);
    assert_int_equal(read[0], '\0');
    check_rc((int)evert_file_load(in_folder("none"), read, 100), -ENOENT);
    check_words(evert_describe(-ENOENT), "/none: ");
    check_rc((int)evert_file_load(folder, read, 100), -EISDIR);
    check_rc(evert_file_unlink(in_folder("one")), 0);
    check_rc(evert_file_unlink(in_folder("empty")), 0);
}

static void test_loading_leaves_no_descriptor(void **state)
{
    char read[101];
    (void)state;
    put_file(in_folder("one"), 100);
    check_rc((int)evert_file_load(in_folder("one"), read, 101), 100);
    int before = open_descriptors();
    check_rc((int)evert_file_load(in_folder("one"), read, 101), 100);
    check_rc((int)evert_file_load(in_folder("one"), read, 10), EVERT_ELIMIT);
    begin_script(EVERT__SYS_PREAD, 0, 1, -EIO);
    make_cold();
    check_rc((int)evert_file_load(in_folder("one"), read, 101), -EIO);
    end_script();
    assert_int_equal(open_descriptors(), before);
    check_rc(evert_file_unlink(in_folder("one")), 0);
}

/* ---- Saving ---- */

static int save(const char *content)
{
    return evert_file_save(in_folder("book"), evert_bytes_of(content), 0640);
}

static void test_a_file_is_saved_in_the_place_of_another(void **state)
{
    struct stat status;
    (void)state;
    mode_t mask = umask(022);
    check_rc(save("first"), 0);
    check_file(in_folder("book"), "first");
    assert_int_equal(stat(in_folder("book"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    int reader = open(in_folder("book"), O_RDONLY | O_CLOEXEC);
    check_rc(save("the second"), 0);
    check_file(in_folder("book"), "the second");
    assert_int_equal(fstat(reader, &status), 0);
    assert_int_equal(status.st_size, 5); /* who had it open still has all of it */
    close(reader);
    check_rc(save(""), 0);
    check_file(in_folder("book"), "");
    umask(mask);
    assert_int_equal(files_in_folder(), 1);
    check_rc(evert_file_unlink(in_folder("book")), 0);
}

static void test_a_path_without_a_folder_is_of_this_one(void **state)
{
    char here[256];
    (void)state;
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(chdir(folder), 0);
    check_rc(evert_file_save("book", evert_bytes_of("here"), 0600), 0);
    assert_int_equal(chdir(here), 0);
    check_file(in_folder("book"), "here");
    assert_int_equal(files_in_folder(), 1);
    check_rc(evert_file_unlink(in_folder("book")), 0);
}

/* In which order it came to what; each is asked once, by whichever thread. */
static enum evert__sys_call order[16];
static atomic_int order_count;

static bool note_order(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    (void)result;
    if (call == EVERT__SYS_PWRITE || call == EVERT__SYS_SYNC || call == EVERT__SYS_RENAME)
        order[order_count++] = call;
    return false;
}

/* Or a crash could leave a name for nothing. */
static void test_it_is_on_the_disk_before_it_has_the_name_and_so_is_the_name(void **state)
{
    (void)state;
    order_count = 0;
    evert__sys_set_hook(note_order);
    check_rc(save("x"), 0);
    evert__sys_set_hook(NULL);
    assert_int_equal(order_count, 4);
    assert_int_equal(order[0], EVERT__SYS_PWRITE);
    assert_int_equal(order[1], EVERT__SYS_SYNC);
    assert_int_equal(order[2], EVERT__SYS_RENAME);
    assert_int_equal(order[3], EVERT__SYS_SYNC);
    check_rc(evert_file_unlink(in_folder("book")), 0);
}

static void test_a_failure_leaves_the_old_file_and_nothing_else(void **state)
{
    static const struct {
        enum evert__sys_call call;
        int skip; /* how many of these go well before */
        int code;
        const char *content; /* afterwards */
    } rows[] = {
        {EVERT__SYS_OPEN, 0, -EACCES, "old"},  {EVERT__SYS_PWRITE, 0, -ENOSPC, "old"},
        {EVERT__SYS_SYNC, 0, -EIO, "old"},     {EVERT__SYS_CLOSE, 0, -EDQUOT, "old"},
        {EVERT__SYS_RENAME, 0, -EROFS, "old"}, {EVERT__SYS_OPEN, 1, -EMFILE, "new"},
        {EVERT__SYS_SYNC, 1, -EIO, "new"},
    };
    (void)state;
    for (size_t i = 0; i < LENGTH_OF(rows); i++) {
        check_rc(save("old"), 0);
        begin_script(rows[i].call, rows[i].skip, 1, rows[i].code);
        check_rc(save("new"), rows[i].code);
        end_script();
        check_file(in_folder("book"), rows[i].content);
        assert_int_equal(files_in_folder(), 1);
    }
    check_rc(evert_file_unlink(in_folder("book")), 0);
}

/* Some file systems have nothing to sync of a folder, and say so. */
static void test_a_folder_that_cannot_be_synced_need_not_be(void **state)
{
    (void)state;
    begin_script(EVERT__SYS_SYNC, 1, 1, -EINVAL);
    check_rc(save("new"), 0);
    end_script();
    check_rc(evert_file_unlink(in_folder("book")), 0);
}

static int save_new(void *unused)
{
    (void)unused;
    return save("new");
}

/* At each of its steps. */
static void test_a_cancelled_save_leaves_one_whole_file(void **state)
{
    char read[10];
    (void)state;
    check_rc(save("old"), 0);
    for (int turns = 0; turns < 20; turns++) {
        evert_scope s;
        evert_scope_enter(&s, EVERT_NEVER);
        check_rc(evert_spawn(&s, save_new, NULL), 0);
        for (int i = 0; i < turns; i++)
            check_rc(evert_sleep(1), 0);
        evert_scope_cancel(&s);
        check_rc(evert_scope_leave(&s, 0), 0);
        check_rc((int)evert_file_load(in_folder("book"), read, sizeof(read)), 3);
        assert_true(strcmp(read, "old") == 0 || strcmp(read, "new") == 0);
        assert_int_equal(files_in_folder(), 1);
        check_rc(save("old"), 0);
    }
    check_rc(evert_file_unlink(in_folder("book")), 0);
}

static void test_in_a_cancelled_scope_nothing_is_saved(void **state)
{
    char read[10];
    evert_scope s;
    (void)state;
    evert_scope_enter(&s, EVERT_NEVER);
    evert_scope_cancel(&s);
    check_rc(save("new"), -ECANCELED);
    check_rc((int)evert_file_load("/proc/self/comm", read, sizeof(read)), -ECANCELED);
    check_rc(evert_scope_leave(&s, 0), 0);
    assert_int_equal(files_in_folder(), 0);
}

static void test_without_memory_nothing_is_saved(void **state)
{
    char read[10];
    (void)state;
    check_rc(evert_yield(), 0);
    take_memory_away();
    check_rc(evert_file_save("/tmp/none", evert_bytes_of("x"), 0600), -ENOMEM);
    check_rc((int)evert_file_load("/proc/self/comm", read, sizeof(read)), -ENOMEM);
    give_memory_back();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_file_is_loaded_whole_with_a_nul_behind_it),
        everywhere(test_loading_leaves_no_descriptor),
        everywhere(test_a_file_is_saved_in_the_place_of_another),
        everywhere(test_a_path_without_a_folder_is_of_this_one),
        everywhere(test_it_is_on_the_disk_before_it_has_the_name_and_so_is_the_name),
        everywhere(test_a_failure_leaves_the_old_file_and_nothing_else),
        everywhere(test_a_folder_that_cannot_be_synced_need_not_be),
        everywhere(test_a_cancelled_save_leaves_one_whole_file),
        everywhere(test_in_a_cancelled_scope_nothing_is_saved),
        everywhere(test_without_memory_nothing_is_saved),
    };
    return run_in_folder(tests);
}
