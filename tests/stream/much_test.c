/* SPDX-License-Identifier: MIT */
/*
 * Much at once, with a peer that is always faster: nothing ever has to wait, and the others have
 * their turn all the same (C12), may find the stream busy, and may end what is in the midst of it.
 */
#include <evert/stream/transfer.h>
#include <sys/mman.h>

#include "stream/pipe.h"
#include "support.h"

#ifdef EVERT__MSAN
#define MAY_READ_WHAT_NOBODY_WROTE false
#else
#define MAY_READ_WHAT_NOBODY_WROTE true
#endif

/*
 * What is received fills whatever there is for it, and after MUCH in all it ends; what is sent goes
 * out whole. Nothing is written into the memory that receives, so where such things are found there
 * is no such peer.
 */
enum { MUCH = 4 * 1024 * 1024, MOST_BETWEEN = 3 * 1024 * 1024 / 2 };

/* FORWARDS: what it receives counts. */
enum what { RECEIVES, SENDS, FORWARDS };

static struct {
    size_t moved, since, most; /* since others ran, and the most of that */
    size_t piped;
    enum what what;
    int turns;
    const struct bystander *bystander;
} fast;

static void begin(const struct bystander *bystander, enum what what)
{
    memset(&fast, 0, sizeof(fast));
    fast.what = what;
    fast.bystander = bystander;
    fast.turns = bystander->turns;
}

static void count(size_t size)
{
    if (fast.turns != fast.bystander->turns)
        fast.since = 0;
    fast.turns = fast.bystander->turns;
    fast.moved += size;
    fast.since += size;
    fast.most = fast.since > fast.most ? fast.since : fast.most;
}

static size_t come(size_t size)
{
    if (fast.moved >= MUCH)
        return 0;
    count(size);
    return size;
}

static bool answer_fast(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    if (size == NULL)
        return false;
    *result = (int64_t)*size;
    if (call == EVERT__SYS_RECV && fast.what != SENDS) {
        *result = (int64_t)come(*size);
    } else if (call == EVERT__SYS_SPLICE) { /* into the pipe, and out of it again */
        if (fast.piped == 0)
            *result = (int64_t)(fast.piped = come(*size));
        else
            fast.piped -= *size;
    } else if (call == EVERT__SYS_SENDFILE || (call == EVERT__SYS_SEND && fast.what == SENDS)) {
        count(*size);
    } else if (call != EVERT__SYS_SEND && call != EVERT__SYS_PREAD_NOW) {
        return false; /* and what is in a file is in memory */
    }
    return true;
}

/* What moves much has one beside it that counts its turns. */
struct beside {
    struct bystander bystander;
    evert_scope scope;
};

static void begin_beside(struct beside *b, enum what what)
{
    b->bystander = (struct bystander){0, false};
    evert_scope_enter(&b->scope, EVERT_NEVER);
    check_rc(evert_spawn(&b->scope, stand_by, &b->bystander), 0);
    check_rc(evert_yield(), 0);
    begin(&b->bystander, what);
    evert__sys_set_hook(answer_fast);
}

static void end_beside(struct beside *b)
{
    evert__sys_set_hook(NULL);
    assert_true(fast.moved >= MUCH);
    assert_in_range(fast.most, 1, MOST_BETWEEN);
    b->bystander.stop = true;
    check_rc(evert_scope_leave(&b->scope, 0), 0);
}

/* ---- Reading ---- */

/* Each call that may take much, by number, until the end. What memory has for bytes has lines. */
static void read_much(evert_stream *s, int call)
{
    static char memory[2 * MUCH];
    evert_bytes bytes;
    ssize_t rc = 1;
    while (rc > 0 && call < 2)
        rc = call == 0 ? evert_read(s, &bytes, SIZE_MAX) : evert_read_into(s, memory, MUCH);
    if (call == 2)
        rc = evert_read_exactly(s, &bytes, sizeof(memory));
    else if (call == 3)
        rc = evert_read_exactly_into(s, memory, sizeof(memory));
    while (call > 3 && rc != EVERT_EOF && rc != EVERT_EINCOMPLETE) {
        rc = evert_read_line(s, &bytes); /* 4: of any length; 5: what is too long is dropped */
        assert_true(rc == 0 || rc == EVERT_ELIMIT || rc == EVERT_EOF || rc == EVERT_EINCOMPLETE);
    }
    assert_true(rc == (call < 2 ? 0 : EVERT_EINCOMPLETE) || (call > 3 && rc == EVERT_EOF));
}

/* C12, BR-005: a single call, too, that finds its bytes there again and again. */
static void test_a_read_of_much_lets_others_run(void **state)
{
    (void)state;
    for (int call = 0; call < 6 && MAY_READ_WHAT_NOBODY_WROTE; call++) {
        struct beside beside;
        struct ends e = make_ends(TCP);
        if (call == 4)
            evert_set_line_limit(e.s, 2 * (size_t)MUCH);
        begin_beside(&beside, RECEIVES);
        read_much(e.s, call);
        end_beside(&beside);
        evert_abort(e.s);
        close(e.peer);
    }
}

/* Who runs in the midst of it. */
struct meddler {
    struct ends e;
    evert_scope *scope; /* of who reads or writes */
    enum { TRIES, CANCELS, ABORTS, CLOSES, HOWS } how;
    bool writes;
};

static int meddle(void *arg)
{
    const struct meddler *m = (const struct meddler *)arg;
    evert_bytes bytes;
    while (fast.moved == 0)
        check_rc(evert_yield(), 0);
    if (m->writes)
        check_rc(evert_puts(m->e.s, "x"), -EBUSY);
    else
        check_rc(evert_read_line(m->e.s, &bytes), -EBUSY);
    if (m->how == CANCELS)
        evert_scope_cancel(m->scope);
    else if (m->how == ABORTS)
        evert_abort(m->e.s);
    else if (m->how == CLOSES && shutdown(m->e.peer, SHUT_WR) == 0) /* it need not wait for that */
        check_rc(evert_close(m->e.s), m->writes ? EVERT_ECLOSED : 0);
    return 0;
}

/*
 * S3, C4: whoever runs in the midst of such a read finds the stream with its reader, and may end
 * the read; what a cancelled one has taken is there for the next.
 */
static void test_a_read_of_much_may_be_ended_by_who_runs_meanwhile(void **state)
{
    static const int rcs[] = {EVERT_EINCOMPLETE, -ECANCELED, EVERT_ECLOSED, EVERT_ECLOSED};
    static char memory[2 * MUCH];
    struct bystander nobody = {0, false};
    (void)state;
    for (unsigned i = 0; i < 2 * HOWS && MAY_READ_WHAT_NOBODY_WROTE; i++) {
        evert_scope others, reading;
        evert_bytes bytes;
        struct ends e = make_ends(TCP);
        struct meddler meddler = {e, &reading, i / 2, false};
        begin(&nobody, RECEIVES);
        evert_scope_enter(&others, EVERT_NEVER);
        check_rc(evert_spawn(&others, meddle, &meddler), 0);
        evert_scope_enter(&reading, EVERT_NEVER);
        evert__sys_set_hook(answer_fast);
        ssize_t rc = i % 2 ? evert_read_exactly_into(e.s, memory, sizeof(memory))
                           : evert_read_exactly(e.s, &bytes, sizeof(memory));
        evert__sys_set_hook(NULL);
        check_rc((int)rc, rcs[meddler.how]);
        if (meddler.how == CANCELS)
            assert_int_equal(evert__input_size(&e.s->in), fast.moved);
        if (meddler.how != TRIES)
            assert_in_range(fast.moved, 1, MOST_BETWEEN);
        check_rc(evert_scope_leave(&reading, 0), 0);
        check_rc(evert_scope_leave(&others, 0), 0);
        if (meddler.how <= CANCELS)
            evert_abort(e.s);
        close(e.peer);
    }
}

/* ---- Writing ---- */

enum { WRITES_ONCE, WRITES_OFTEN, SENDS_A_FILE, FORWARDS_ALL, WAYS };

static int make_file_of_zeros(void)
{
    int file = memfd_create("zeros", MFD_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, MUCH), 0);
    return file;
}

static void write_much(struct ends to, struct ends from, int file, int way)
{
    static const char zeros[MUCH];
    if (way == WRITES_ONCE)
        check_rc(evert_write(to.s, zeros, MUCH), 0);
    else if (way == SENDS_A_FILE)
        check_rc(evert_send_file(to.s, file, 0, MUCH), 0);
    else if (way == FORWARDS_ALL)
        check_rc(evert_forward(from.s, to.s), 0);
    for (size_t done = 0; way == WRITES_OFTEN && done < MUCH; done += EVERT_HIGH_WATER)
        check_rc(evert_write(to.s, zeros, EVERT_HIGH_WATER), 0);
    check_rc(evert_flush(to.s), 0);
}

/* C12, BR-005. */
static void test_a_write_of_much_lets_others_run(void **state)
{
    const int ways = MAY_READ_WHAT_NOBODY_WROTE ? WAYS : FORWARDS_ALL;
    int file = make_file_of_zeros();
    (void)state;
    for (int way = 0; way < ways; way++) {
        struct beside beside;
        struct ends to = make_ends(TCP), from = make_ends(TCP);
        begin_beside(&beside, way == FORWARDS_ALL ? FORWARDS : SENDS);
        write_much(to, from, file, way);
        end_beside(&beside);
        drop_ends(from);
        drop_ends(to);
    }
    close(file);
    evert__pipes_close(self()->loop);
}

/*
 * S5: whoever runs in the midst of such a write finds the stream with its writer, and may end the
 * write; then nothing goes out behind what is half a message.
 */
static void test_a_write_of_much_may_be_ended_by_who_runs_meanwhile(void **state)
{
    static const int rcs[] = {0, -ECANCELED, EVERT_ECLOSED, EVERT_ECLOSED};
    static const char zeros[MUCH];
    struct bystander nobody = {0, false};
    int file = make_file_of_zeros();
    (void)state;
    for (unsigned i = 0; i < 2 * HOWS; i++) {
        evert_scope others, writing;
        struct ends e = make_ends(TCP);
        struct meddler meddler = {e, &writing, i / 2, true};
        begin(&nobody, SENDS);
        evert_scope_enter(&others, EVERT_NEVER);
        check_rc(evert_spawn(&others, meddle, &meddler), 0);
        evert_scope_enter(&writing, EVERT_NEVER);
        evert__sys_set_hook(answer_fast);
        int rc = i % 2 ? evert_send_file(e.s, file, 0, MUCH) : evert_write(e.s, zeros, MUCH);
        check_rc(rc, rcs[meddler.how]);
        check_rc(evert_scope_leave(&writing, 0), 0);
        check_rc(evert_scope_leave(&others, 0), 0);
        evert__sys_set_hook(NULL);
        assert_true(meddler.how == TRIES ? fast.moved >= MUCH : fast.moved <= MOST_BETWEEN);
        if (meddler.how <= CANCELS) {
            check_rc(evert_puts(e.s, "x"), rc);
            evert_abort(e.s);
        }
        close(e.peer);
    }
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_read_of_much_lets_others_run),
        everywhere(test_a_read_of_much_may_be_ended_by_who_runs_meanwhile),
        everywhere(test_a_write_of_much_lets_others_run),
        everywhere(test_a_write_of_much_may_be_ended_by_who_runs_meanwhile),
    };
    return run_table(tests);
}
