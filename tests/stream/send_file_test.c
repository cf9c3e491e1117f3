/* SPDX-License-Identifier: MIT */
/*
 * Sending pieces of files: whole and in order, warm and cold, cut, cancelled and closed under it.
 * What the system may say of a file is said by the seam, so that each way is gone wherever the
 * tests run: `cold` makes the kernel say that a file is not in memory.
 */
#include <evert/stream/transfer.h>

#include <sys/mman.h>

#include "support.h"

enum { LARGE = 3 << 20, SMALL = 5000, STEP = 131072 };

/* ---- Files ---- */

/* A file with the pattern, without a name. */
static int make_file(size_t size)
{
    char path[] = "/tmp/evert-test-XXXXXX";
    int file = mkostemp(path, O_CLOEXEC);
    assert_true(file >= 0);
    unlink(path);
    char *data = make_pattern(size);
    for (size_t at = 0; at < size;) {
        ssize_t count = pwrite(file, data + at, size - at, (off_t)at);
        assert_true(count > 0);
        at += (size_t)count;
    }
    free(data);
    return file;
}

/* What the system says of files, if not 0: an error, or of what is cached, that a byte is there. A
 * worker asks, too. */
static struct {
    atomic_int cached, sendfile, pread;
    atomic_int reads, sends; /* how many there were: by workers, and by sendfile(2) */
} says;

static bool say_of_files(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    (void)size;
    *result = 0;
    if (call == EVERT__SYS_PREAD_NOW) {
        *result = says.cached;
    } else if (call == EVERT__SYS_SENDFILE) {
        says.sends++;
        *result = says.sendfile;
    } else if (call == EVERT__SYS_PREAD) {
        says.reads++;
        *result = says.pread;
    }
    return *result != 0;
}

static void let_say(int cached, int sendfile)
{
    says.cached = cached;
    says.sendfile = sendfile;
    says.pread = says.reads = says.sends = 0;
    evert__sys_set_hook(say_of_files);
}

/* A worker that was given up closes what it reads by when it comes back. */
static void wait_for_workers(int descriptors)
{
    wait_until(open_descriptors() == descriptors);
}

/* ---- Sending ---- */

/* A task that sends a piece of a file, and what came of it. */
struct sender {
    evert_stream *s;
    int file;
    int64_t offset, size;
    int rc;
    bool done;
};

static int send_it(void *arg)
{
    struct sender *sender = (struct sender *)arg;
    sender->rc = evert_send_file(sender->s, sender->file, sender->offset, sender->size);
    sender->done = true;
    return 0;
}

/* The same behind a few bytes that were only queued. */
static int send_behind(void *arg)
{
    check_rc(evert_puts(((struct sender *)arg)->s, "before"), 0);
    return send_it(arg);
}

static void check_peer_gets(int peer, size_t from, size_t size)
{
    char *got = malloc(size + 1);
    assert_non_null(got);
    check_count(peer_receive(peer, got, size), (ssize_t)size);
    assert_true(is_pattern(got, from, size));
    free(got);
}

/* Sends it, and sees that the peer gets `wanted` bytes, between others that are written. */
static void check_sent(struct ends e, struct sender sender, size_t wanted)
{
    evert_scope scope;
    sender.s = e.s;
    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, send_behind, &sender), 0);
    peer_hears(e.peer, "before");
    check_peer_gets(e.peer, (size_t)sender.offset, wanted);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(sender.rc, 0);
    check_rc(evert_puts(e.s, "behind"), 0);
    check_rc(evert_flush(e.s), 0);
    peer_hears(e.peer, "behind");
}

/* S10: any piece, on any kind of socket, and in order with what is written. */
static void test_a_piece_goes_between_what_is_written(void **state)
{
    static const struct {
        int64_t offset, size;
        size_t wanted;
    } pieces[] = {
        {0, LARGE, LARGE},
        {0, SMALL, SMALL},
        {1, 1, 1},
        {LARGE - SMALL, SMALL, SMALL},
        {4095, 2, 2},
        {12345, 1000000, 1000000},
        {STEP - 1, STEP + 2, STEP + 2},
        {LARGE - SMALL, EVERT_TO_END, SMALL},
        {0, EVERT_TO_END, LARGE},
        {LARGE, EVERT_TO_END, 0},
        {LARGE + 1, EVERT_TO_END, 0},
        {0, 0, 0},
    };
    (void)state;
    int file = make_file(LARGE);
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        for (size_t i = 0; i < COUNT_OF(pieces); i++)
            check_sent(
                e,
                (struct sender){.file = file, .offset = pieces[i].offset, .size = pieces[i].size},
                pieces[i].wanted);
        check_rc(drop_ends(e), 0);
    }
    assert_int_equal(lseek(file, 0, SEEK_CUR), 0); /* its position is nobody's */
    close(file);
}

/* S10: what is in memory is not copied through the program, and no worker is asked. */
static void test_what_is_in_memory_is_sent_from_there(void **state)
{
    (void)state;
    struct ends e = make_narrow_ends(TCP);
    int file = make_file(LARGE);
    let_say(0, 0);
    check_sent(e, (struct sender){.file = file, .size = LARGE}, LARGE);
    assert_true(says.sends > 0);
    assert_int_equal(says.reads, 0);
    check_sent(e, (struct sender){.file = file, .size = SMALL}, SMALL);
    assert_int_equal(says.reads, 0);
    answer_no_more();
    close(file);
    check_rc(drop_ends(e), 0);
}

/* S10: what is not in memory is read by a worker; what does not tell, and what is no file for it.
 */
static void test_what_is_not_in_memory_is_read_by_a_worker(void **state)
{
    static const struct {
        int cached, sendfile;
    } systems[] = {{-EAGAIN, 0}, {-EOPNOTSUPP, 0}, {-ENOSYS, 0}, {1, -EINVAL}, {1, -ENOSYS}};
    (void)state;
    int file = make_file(LARGE);
    struct ends e = make_narrow_ends(TCP);
    for (size_t i = 0; i < COUNT_OF(systems); i++) {
        let_say(systems[i].cached, systems[i].sendfile);
        check_sent(e, (struct sender){.file = file, .offset = 7, .size = EVERT_TO_END}, LARGE - 7);
        assert_true(says.reads >= (LARGE - 7) / STEP);
        assert_int_equal(says.sends, systems[i].sendfile < 0);
    }
    let_say(-EAGAIN, 0);
    check_sent(e, (struct sender){.file = file, .offset = 7, .size = SMALL}, SMALL);
    assert_true(says.reads > 0);
    answer_no_more();
    close(file);
    check_rc(drop_ends(e), 0);
}

/* S10: a file system of memory has no disk to wait for, though it does not say so. */
static void test_a_file_of_memory_needs_no_worker(void **state)
{
    (void)state;
    struct ends e = make_narrow_ends(TCP);
    char *data = make_pattern(LARGE);
    int file = memfd_create("file", MFD_CLOEXEC);
    assert_int_equal(write(file, data, LARGE), LARGE);
    let_say(-EOPNOTSUPP, 0);
    check_sent(e, (struct sender){.file = file, .size = LARGE}, LARGE);
    assert_int_equal(says.reads, 0);
    answer_no_more();
    close(file);
    free(data);
    check_rc(drop_ends(e), 0);
}

/* S10: a file that says no size, which sendfile(2) cannot take either. */
static void test_a_file_of_proc_is_sent_to_its_end(void **state)
{
    char wanted[256], got[256];
    (void)state;
    struct ends e = make_ends(TCP);
    int file = open("/proc/sys/kernel/ostype", O_RDONLY | O_CLOEXEC);
    ssize_t size = pread(file, wanted, sizeof(wanted), 0);
    assert_true(size > 0);
    check_rc(evert_send_file(e.s, file, 0, EVERT_TO_END), 0);
    check_rc(evert_write_eof(e.s), 0);
    check_count(peer_receive(e.peer, got, sizeof(got)), size);
    assert_memory_equal(got, wanted, (size_t)size);
    close(file);
    check_rc(drop_ends(e), 0);
}

/* S10: many streams send from one descriptor, and a slow one holds nobody up. */
static void test_many_send_from_one_descriptor(void **state)
{
    enum { COUNT = 10 };
    struct ends e[COUNT];
    struct sender senders[COUNT];
    evert_scope scope;
    (void)state;
    int file = make_file(LARGE);
    evert_scope_enter(&scope, evert_after(PATIENCE));
    for (int i = 0; i < COUNT; i++) {
        e[i] = make_narrow_ends(i % 2 ? TCP : UNIX);
        senders[i] = (struct sender){e[i].s, file, i * 1000, 1000000, 0, false};
        check_rc(evert_spawn(&scope, send_it, &senders[i]), 0);
    }
    for (int i = COUNT - 1; i >= 0; i--)
        check_peer_gets(e[i].peer, (size_t)i * 1000, 1000000);
    check_rc(evert_scope_leave(&scope, 0), 0);
    for (int i = 0; i < COUNT; i++) {
        check_rc(senders[i].rc, 0);
        check_rc(drop_ends(e[i]), 0);
    }
    close(file);
}

/* ---- Files that end, and that are none ---- */

/* S10: too short a file is told, and what follows is not taken for its bytes. */
static void test_a_file_that_ends_too_early_is_incomplete(void **state)
{
    (void)state;
    int file = make_file(SMALL);
    for (int i = 0; i < 6; i++) {
        struct ends e = make_ends(TCP);
        int64_t offset = i < 4 ? 1000 : 2 * SMALL;
        int64_t size = i % 2 ? SMALL : LARGE;
        let_say(i / 2 == 1 ? -EAGAIN : 0, 0);
        check_rc(evert_puts(e.s, "size"), 0);
        check_rc(evert_send_file(e.s, file, offset, size), EVERT_EINCOMPLETE);
        answer_no_more();
        check_rc(evert_puts(e.s, "x"), EVERT_EINCOMPLETE);
        check_rc(evert_send_file(e.s, file, 0, 1), EVERT_EINCOMPLETE);
        peer_hears(e.peer, "size");
        if (i < 4)
            check_peer_gets(e.peer, 1000, SMALL - 1000);
        check_rc(drop_ends(e), EVERT_EINCOMPLETE);
    }
    close(file);
}

static bool is_stuck(const struct sender *sender)
{
    return sender->done || sender->s->sending != NULL;
}

/* Spawns a sender, and waits until the peer holds it back. */
static void spawn_sender(evert_scope *scope, struct sender *sender)
{
    check_rc(evert_spawn(scope, send_it, sender), 0);
    for (int still = 0; still < 10; still++) {
        let_run();
        if (!is_stuck(sender) || has_events(sender->s->fd.number, POLLOUT))
            still = 0;
    }
    assert_false(sender->done);
}

/* S10: the same of one that is cut while it is sent; to its end that is no failure. */
static void test_a_file_may_be_cut_while_it_is_sent(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct ends e = make_narrow_ends(UNIX);
        int file = make_file(LARGE);
        struct sender sender = {.s = e.s, .file = file, .size = i % 2 ? EVERT_TO_END : LARGE};
        evert_scope scope;
        char *got = malloc(LARGE);
        bool more;

        assert_non_null(got);
        let_say(i < 2 ? 0 : -EAGAIN, 0);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        spawn_sender(&scope, &sender);
        assert_int_equal(ftruncate(file, 1000000), 0);
        ssize_t size = 0, count;
        do {
            bool done = sender.done;
            count = recv(e.peer, got + size, (size_t)(LARGE - size), 0);
            size += count > 0 ? count : 0;
            if (count < 0 && !done)
                let_run();
            more = count > 0 || !done;
        } while (more);
        check_rc(evert_scope_leave(&scope, 0), 0);
        answer_no_more();
        check_rc(sender.rc, i % 2 ? 0 : EVERT_EINCOMPLETE);
        assert_in_range(size, 1, 1000000);
        assert_true(is_pattern(got, 0, (size_t)size));
        free(got);
        close(file);
        check_rc(drop_ends(e), sender.rc);
    }
}

/* S10: descriptors that are no files, and pieces that are none. */
static void test_what_cannot_be_sent_is_told_and_breaks_the_write_side(void **state)
{
    int pipe_fds[2];
    (void)state;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    int folder = open("/tmp", O_RDONLY | O_CLOEXEC), file = make_file(SMALL);
    const struct {
        int file;
        int64_t offset, size;
        int rc;
    } wrong[] = {
        {-1, 0, 1, -EBADF},
        {-1, 0, LARGE, -EBADF},
        {pipe_fds[0], 0, 1, -ESPIPE},
        {pipe_fds[0], 0, LARGE, -ESPIPE},
        {folder, 0, 1, -EISDIR},
        {folder, 0, EVERT_TO_END, -EISDIR},
        {file, -1, 1, -EINVAL},
        {file, 0, -1, -EINVAL},
        {file, INT64_MAX, 1, -EINVAL},
        {pipe_fds[1], 0, 1, -EBADF},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct ends e = make_ends(i % 2 ? TCP : UNIX);
        if (i + 1 < COUNT_OF(wrong))
            check_rc(evert_send_file(e.s, wrong[i].file, wrong[i].offset, wrong[i].size),
                     wrong[i].rc);
        else
            assert_true(evert_send_file(e.s, wrong[i].file, 0, 1) < 0);
        assert_true(evert_puts(e.s, "x") < 0);
        assert_true(drop_ends(e) < 0);
    }
    close(file);
    close(folder);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* S10: what was written before goes out all the same, unless it is the socket that failed. */
static void test_a_read_that_fails_is_told(void **state)
{
    (void)state;
    int file = make_file(LARGE);
    for (int i = 0; i < 3; i++) {
        struct ends e = make_ends(TCP);
        int rc = i == 0 ? -EIO : -ENOMEM;
        let_say(i < 2 ? -EAGAIN : 0, i < 2 ? 0 : rc);
        says.pread = rc;
        check_rc(evert_puts(e.s, "size"), 0);
        check_rc(evert_send_file(e.s, file, 0, LARGE), rc);
        check_rc(evert_puts(e.s, "x"), rc);
        answer_no_more();
        peer_hears(e.peer, "size");
        check_rc(drop_ends(e), rc);
    }
    close(file);
}

/* F45. */
static void test_without_memory_it_fails(void **state)
{
    (void)state;
    int file = make_file(LARGE);
    struct ends e = make_ends(TCP);
    let_say(-EAGAIN, 0);
    take_memory_away();
    int rc = evert_send_file(e.s, file, 0, LARGE);
    give_memory_back();
    answer_no_more();
    check_rc(rc, -ENOMEM);
    close(file);
    check_rc(drop_ends(e), -ENOMEM);
}

/* F18: and no signal, though sendfile(2) knows no flag against it. */
static void test_a_peer_that_is_gone_is_an_error(void **state)
{
    (void)state;
    int file = make_file(LARGE);
    for (int i = 0; i < 4; i++) {
        struct ends e = make_ends(i % 2 ? TCP : UNIX);
        let_say(i < 2 ? 0 : -EAGAIN, 0);
        peer_reset(e.peer);
        wait_ended(e.s->fd.number);
        int rc = evert_send_file(e.s, file, 0, LARGE);
        assert_true(rc == -EPIPE || rc == -ECONNRESET);
        check_rc(evert_puts(e.s, "x"), rc);
        answer_no_more();
        check_rc(evert_close(e.s), rc);
    }
    close(file);
}

/* F1, F45: a thread, or a descriptor for it, that cannot be had costs the loop a wait. */
static void test_without_a_thread_it_is_read_all_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        struct ends e = make_ends(TCP);
        answer(i == 0 ? EVERT__SYS_THREAD : EVERT__SYS_DUP, i == 0 ? -EAGAIN : -EMFILE, 1000);
        check_rc(evert_send_file(e.s, file, 0, EVERT_TO_END), 0);
        answer_no_more();
        check_rc(evert_flush(e.s), 0);
        peer_hears(e.peer, "Name:");
        close(file);
        close(e.peer);
        check_rc(evert_close(e.s), 0);
    }
}

/* ---- Who else writes ---- */

/* A task that tries to write in each turn. */
static int intrude(void *arg)
{
    const struct sender *sender = (const struct sender *)arg;
    while (!sender->done) {
        if (sender->s->in_steps)
            check_rc(evert_puts(sender->s, "x"), -EBUSY);
        check_rc(evert_yield(), 0);
    }
    return 0;
}

/* S3, S10: from the first step to the last, whatever it waits for. */
static void test_meanwhile_nobody_else_writes(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ends e = make_narrow_ends(UNIX);
        int file = make_file(LARGE);
        struct sender sender = {.s = e.s, .file = file, .size = LARGE};
        evert_scope scope;

        say_and_hear(e, "before");
        let_say(i == 0 ? 0 : -EAGAIN, 0);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, send_it, &sender), 0);
        check_rc(evert_spawn(&scope, intrude, &sender), 0);
        while (e.s->writer == NULL && !sender.done)
            turns(1);
        for (size_t got = 0; got < LARGE; got += 65536) {
            if (e.s->in_steps) {
                check_rc(evert_puts(e.s, "x"), -EBUSY);
                check_rc(evert_flush(e.s), -EBUSY);
                check_rc(evert_write_eof(e.s), -EBUSY);
                check_rc(evert_send_file(e.s, file, 0, 1), -EBUSY);
            }
            check_peer_gets(e.peer, got, 65536);
        }
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(sender.rc, 0);
        answer_no_more();
        close(file);
        check_rc(drop_ends(e), 0);
    }
}

/* S5: a write that fails elsewhere ends the wait, but not under the op that is on its way. */
static void test_a_failed_write_ends_what_waits_for_room(void **state)
{
    int before = open_descriptors();
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct ends e = make_narrow_ends(UNIX);
        int file = make_file(LARGE);
        struct sender sender = {.s = e.s, .file = file, .size = LARGE};
        evert_scope scope;

        let_say(i == 1 ? -EAGAIN : 0, 0);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        spawn_sender(&scope, &sender);
        check_rc(evert_printf(e.s, "%f", 1.0), EVERT_EFORMAT);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(sender.rc, EVERT_EFORMAT);
        answer_no_more();
        close(file);
        check_rc(drop_ends(e), EVERT_EFORMAT);
    }
    wait_for_workers(before);
}

/* C12. */
static void test_others_run_while_a_fast_peer_is_sent_to(void **state)
{
    struct bystander bystander = {0};
    evert_scope scope;
    (void)state;
    struct ends e = make_ends(UNIX);
    int file = make_file(SMALL);
    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, stand_by, &bystander), 0);
    turns(1);
    int before = bystander.turns;
    for (int i = 0; i < 1000; i++) {
        char byte[16];
        check_rc(evert_send_file(e.s, file, 0, 1), 0);
        (void)!recv(e.peer, byte, sizeof(byte), 0);
    }
    assert_true(bystander.turns > before + 10);
    bystander.stop = true;
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(evert_flush(e.s), 0);
    close(file);
    check_rc(drop_ends(e), 0);
}

/* ---- Cancelled, and closed ---- */

/* S5, S10. */
static void test_cancelled_before_it_took_anything_it_has_no_effect(void **state)
{
    int before = open_descriptors();
    (void)state;
    int file = make_file(LARGE);
    for (int i = 0; i < 3; i++) {
        struct ends e = make_ends(TCP);
        struct sender sender = {.s = e.s, .file = file, .size = i == 0 ? SMALL : LARGE};
        evert_scope scope;
        let_say(i < 2 ? 0 : -EAGAIN, 0);
        evert_scope_enter(&scope, EVERT_NEVER);
        if (i < 2) {
            evert_scope_cancel(&scope);
            send_it(&sender);
        } else { /* while a worker reads the first step */
            check_rc(evert_spawn(&scope, send_it, &sender), 0);
            while (e.s->writer == NULL && !sender.done)
                turns(1);
            evert_scope_cancel(&scope);
        }
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(sender.rc, -ECANCELED);
        answer_no_more();
        check_rc(evert_puts(e.s, "x"), 0);
        check_rc(evert_flush(e.s), 0);
        peer_hears(e.peer, "x");
        check_rc(drop_ends(e), 0);
    }
    close(file);
    wait_for_workers(before);
}

/* S5, S10: and the file may be closed at once. */
static void test_cancelled_half_way_it_breaks_the_write_side(void **state)
{
    int before = open_descriptors();
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct ends e = make_narrow_ends(i % 2 ? TCP : UNIX);
        int file = make_file(LARGE);
        struct sender sender = {.s = e.s, .file = file, .size = LARGE};
        evert_scope scope;
        let_say(i < 2 ? 0 : -EAGAIN, 0);
        evert_scope_enter(&scope, EVERT_NEVER);
        spawn_sender(&scope, &sender);
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        close(file);
        check_rc(sender.rc, -ECANCELED);
        answer_no_more();
        check_rc(evert_puts(e.s, "x"), -ECANCELED);
        size_t size = arrived(e.peer);
        assert_in_range(size, 1, LARGE - 1);
        check_peer_gets(e.peer, 0, size);
        check_rc(drop_ends(e), -ECANCELED);
    }
    wait_for_workers(before);
}

/* S7: whatever it waits for when the stream is closed. */
static void test_closing_cuts_it(void **state)
{
    int before = open_descriptors();
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct ends e = make_narrow_ends(TCP);
        int file = make_file(LARGE);
        struct sender sender = {.s = e.s, .file = file, .size = LARGE};
        bool early = i / 4 == 1, aborts = i % 2;
        evert_scope scope;
        let_say(i / 2 % 2 ? -EAGAIN : 0, 0);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        if (!early) {
            spawn_sender(&scope, &sender);
        } else {
            check_rc(evert_spawn(&scope, send_it, &sender), 0);
            while (e.s->writer == NULL && !sender.done)
                turns(1);
        }
        evert_set_close_limit(e.s, 5 * MS);
        if (aborts)
            evert_abort(e.s);
        else
            check_rc(evert_close(e.s), EVERT_ECLOSED);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(sender.rc, EVERT_ECLOSED);
        answer_no_more();
        close(file);
        close(e.peer);
    }
    wait_for_workers(before);
}

/* F51: a cancel that meets it in any state; the peer gets a prefix, or all and no error. */
static void test_a_cancel_at_any_moment_leaves_a_prefix_or_all(void **state)
{
    enum { SIZE = 400000 };
    evert_scope scope;
    int before = open_descriptors();
    (void)state;
    int file = make_file(SIZE);
    for (int i = 0; i < 40; i++) {
        struct ends e = make_narrow_ends(i % 2 ? TCP : UNIX);
        struct sender sender = {.s = e.s, .file = file, .size = SIZE};
        char *got = malloc(SIZE);
        size_t size = 0;
        ssize_t count;

        assert_non_null(got);
        let_say(i % 4 < 2 ? 0 : -EAGAIN, 0);
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, send_it, &sender), 0);
        for (int rest = i; rest > 0; rest--) {
            size_t most = SIZE - size;
            count = recv(e.peer, got + size, most < 16384 ? most : 16384, 0);
            size += count > 0 ? (size_t)count : 0;
            turns(1);
        }
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        assert_true(sender.rc == 0 || sender.rc == -ECANCELED);
        answer_no_more();
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, close_it, e.s), 0);
        count = peer_receive(e.peer, got + size, SIZE - size);
        assert_true(count >= 0);
        size += (size_t)count;
        assert_true(is_pattern(got, 0, size));
        assert_true(sender.rc < 0 || size == SIZE);
        close(e.peer);
        free(got);
        int rc = evert_scope_leave(&scope, 0);
        assert_true(rc == 0 || rc == -ECANCELED);
    }
    close(file);
    wait_for_workers(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_piece_goes_between_what_is_written),
        everywhere(test_what_is_in_memory_is_sent_from_there),
        everywhere(test_what_is_not_in_memory_is_read_by_a_worker),
        everywhere(test_a_file_of_memory_needs_no_worker),
        everywhere(test_a_file_of_proc_is_sent_to_its_end),
        everywhere(test_many_send_from_one_descriptor),
        everywhere(test_a_file_that_ends_too_early_is_incomplete),
        everywhere(test_a_file_may_be_cut_while_it_is_sent),
        everywhere(test_what_cannot_be_sent_is_told_and_breaks_the_write_side),
        everywhere(test_a_read_that_fails_is_told),
        everywhere(test_without_memory_it_fails),
        everywhere(test_a_peer_that_is_gone_is_an_error),
        everywhere(test_without_a_thread_it_is_read_all_the_same),
        everywhere(test_meanwhile_nobody_else_writes),
        everywhere(test_a_failed_write_ends_what_waits_for_room),
        everywhere(test_others_run_while_a_fast_peer_is_sent_to),
        everywhere(test_cancelled_before_it_took_anything_it_has_no_effect),
        everywhere(test_cancelled_half_way_it_breaks_the_write_side),
        everywhere(test_closing_cuts_it),
        everywhere(test_a_cancel_at_any_moment_leaves_a_prefix_or_all),
    };
    return run_table(tests);
}
