/* SPDX-License-Identifier: MIT */
/*
 * The bytes that were read ahead: how long a view lives (S8), how little is read ahead so that a
 * peer is held back (S4), that buffers go when they are empty, and that a reader that never has to
 * wait lets others run (BR-005).
 */
#include "support.h"

/* ---- Views ---- */

/* S8: a view stays as it is while more arrives. */
static void test_a_view_stays_while_other_input_arrives(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const char *rest = i < 2 ? "and " : ""; /* without it the buffer is empty */
        struct ends e = make_ends(i % 2 ? UNIX : TCP);
        char *data = make_pattern(20000), got[20000];
        evert_bytes view;

        peer_say(e.peer, "the line\r\n");
        peer_say(e.peer, rest);
        wait_arrived(e.s->fd.number, strlen("the line\r\n") + strlen(rest));
        check_rc(evert_read_line(e.s, &view), 0);
        assert_true(peer_send(e.peer, data, 20000));
        wait_arrived(e.s->fd.number, 1000);
        check_rc(evert_puts(e.s, "a write"), 0); /* does not end it */
        check_rc(evert_flush(e.s), 0);
        turns(5);
        check_bytes(view, "the line");
        check_rc(evert_read_exactly(e.s, &view, strlen(rest)), 0);
        check_bytes(view, rest);
        check_count(evert_read_exactly_into(e.s, got, 20000), 20000);
        assert_true(is_pattern(got, 0, 20000));
        free(data);
        drop_ends(e);
    }
}

/* New ends, where the first of two lines was read. */
static struct ends read_one_of_two(evert_bytes *view)
{
    struct ends e = make_ends(UNIX);
    peer_say(e.peer, "one\r\ntwo\r\n");
    check_rc(evert_read_line(e.s, view), 0);
    return e;
}

#ifdef EVERT_DEBUG
/* As a fault of the library's own would: other input comes to where a line is still looked at. */
static int overwrite_a_view(void *unused)
{
    evert_bytes view, next;
    struct ends e = read_one_of_two(&view);
    (void)unused;
    memset(e.s->in.data, '?', e.s->in.start);
    return evert_read_line(e.s, &next);
}
#endif

/* S8: builds with checks see to it that the library keeps its side, too. */
static void test_a_view_that_is_overwritten_is_noticed(void **state)
{
    (void)state;
#ifdef EVERT_DEBUG
    struct child child = in_child(overwrite_a_view, NULL);
    check_killed(&child, SIGABRT);
    check_said(&child, "what a read gave was overwritten before its end");
#endif
}

#if defined(EVERT_DEBUG) && defined(EVERT__ASAN)

static int use_a_view_after_the_next_read(void *unused)
{
    evert_bytes view, next;
    struct ends e = read_one_of_two(&view);
    (void)unused;
    check_rc(evert_read_line(e.s, &next), 0);
    return *(volatile const char *)view.data;
}

static int use_a_view_after_close(void *unused)
{
    evert_bytes view;
    struct ends e = make_ends(UNIX);
    (void)unused;
    peer_say(e.peer, "one\r\n");
    check_rc(evert_read_line(e.s, &view), 0);
    close(e.peer);
    check_rc(evert_close(e.s), 0);
    return *(volatile const char *)view.data;
}

/* S8: in builds with checks the address sanitizer points at it. */
static void test_use_of_a_view_after_its_end_is_caught(void **state)
{
    static evert_fn *const uses[] = {use_a_view_after_the_next_read, use_a_view_after_close};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(uses); i++) {
        struct child child = in_child(uses[i], NULL);
        assert_false(WIFEXITED(child.status) && WEXITSTATUS(child.status) == 'o');
        check_said(&child, "heap-use-after-free");
        check_said(&child, uses[i] == use_a_view_after_close ? "use_a_view_after_close"
                                                             : "use_a_view_after_the_next_read");
    }
}

#else

/* Without the checks, views lie in the buffer itself, which costs no copy. */
static void test_use_of_a_view_after_its_end_is_caught(void **state)
{
#ifndef EVERT_DEBUG
    evert_bytes view;
    struct ends e = read_one_of_two(&view);
    assert_in_range((uintptr_t)view.data, (uintptr_t)e.s->in.data,
                    (uintptr_t)e.s->in.data + e.s->in.capacity);
    drop_ends(e);
#endif
    (void)state;
}

#endif

/* ---- How much is read ahead ---- */

/* Sends without end, until the kernel takes no more; gives how much it took. */
static size_t flood(int fd)
{
    static char data[65536];
    size_t size = 0;
    ssize_t count;
    int full = 0;
    while (full < 20) { /* what a TCP peer acknowledges makes room, a little later */
        count = send(fd, data, sizeof(data), MSG_NOSIGNAL);
        if (count > 0)
            size += (size_t)count;
        full = count > 0 ? 0 : full + 1;
        let_run();
    }
    assert_int_equal(errno, EAGAIN);
    return size;
}

/* S4: nobody reads, so nothing is read, and the peer cannot go on. */
static void test_a_peer_that_floods_is_held_back(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        set_size(e.peer, SO_SNDBUF, 8192);
        set_size(e.s->fd.number, SO_RCVBUF, 8192);
        char byte;

        assert_in_range(flood(e.peer), 1, 1000000);
        assert_null(e.s->in.data);
        check_count(evert_read_into(e.s, &byte, 1), 1);
        assert_in_range(evert__input_size(&e.s->in), 0, EVERT__CHUNK);
        assert_in_range(flood(e.peer), 0, 1000000);
        assert_in_range(evert__input_size(&e.s->in), 0, EVERT__CHUNK);
        evert_abort(e.s);
        close(e.peer);
    }
}

enum { ENDLESS = 10 * 1024 * 1024 };

/* Sends a line that does not end for long, and looks at what the stream keeps of it. */
static int send_endless_line(void *arg)
{
    static char data[65536];
    const struct ends *e = (const struct ends *)arg;
    memset(data, 'A', sizeof(data));
    for (size_t sent = 0; sent < ENDLESS; sent += sizeof(data)) {
        assert_true(peer_send(e->peer, data, sizeof(data)));
        assert_in_range(e->s->in.capacity, 0, EVERT__CHUNK);
    }
    peer_say(e->peer, "\r\nok\r\n");
    return 0;
}

/* It holds more than is needed, which is no failure. */
static void test_without_memory_a_large_buffer_stays(void **state)
{
    evert_loop *loop = self()->loop;
    (void)state;
    struct ends e = make_ends(UNIX);
    check_rc(evert__input_reserve(e.s, EVERT__LARGE), 0);
    memcpy(e.s->in.data, "kept", 4);
    e.s->in.end = 4;

    take_memory_away();
    struct evert__chunk *all = take_chunks(loop);
    evert__input_shrink(e.s);
    give_memory_back();
    assert_int_equal(e.s->in.capacity, EVERT__LARGE);
    give_chunks_back(loop, all);

    evert__input_shrink(e.s);
    assert_int_equal(e.s->in.capacity, EVERT__CHUNK);
    assert_memory_equal(e.s->in.data, "kept", 4);
    drop_ends(e);
}

/* Who waits holds no more than twice what is there. */
static void test_what_is_left_in_a_large_buffer_goes_to_one_of_its_size(void **state)
{
    static const size_t sizes[][2] = {
        {0, 0},
        {1, EVERT__CHUNK},
        {EVERT__CHUNK + 1, 8192},
        {8193, 16384},
        {EVERT__LARGE / 2, EVERT__LARGE / 2},
        {EVERT__LARGE / 2 + 1, EVERT__LARGE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t left = sizes[i][0];
        struct ends e = make_ends(UNIX);
        char *data = make_pattern(left + 1);
        check_rc(evert__input_reserve(e.s, EVERT__LARGE), 0);
        e.s->in.start = 100;
        e.s->in.end = left + 100;
        memcpy(e.s->in.data + 100, data, left);
        evert__input_shrink(e.s);
        assert_int_equal(e.s->in.capacity, sizes[i][1]);
        assert_int_equal(evert__input_size(&e.s->in), left);
        assert_true(is_pattern(e.s->in.data + e.s->in.start, 0, left));
        free(data);
        drop_ends(e);
    }
}

/*
 * The loop's large buffer goes to whoever reads much, one at a time; to others one of their size.
 * It may be larger than what was asked for, and no more is taken from the kernel for that.
 */
static void test_a_read_of_much_has_the_large_buffer_where_it_is_there(void **state)
{
    enum { SENT = 60000, MOST = 10000 };
    char *data = make_pattern(SENT);
    evert_loop *loop = self()->loop;
    evert_bytes bytes;
    (void)state;
    evert__chunk_put(loop, evert__chunk_get(loop));
    evert__large_put(loop, evert__large_get(loop));
    for (int lent = 0; lent < 2; lent++) {
        struct ends e = make_ends(UNIX);
        char *large = lent ? evert__large_get(loop) : NULL;
        assert_int_equal(send(e.peer, data, SENT, MSG_NOSIGNAL), SENT);
        for (size_t got = 0; got < SENT; got += bytes.size) {
            assert_in_range(evert_read(e.s, &bytes, MOST), 1, MOST);
            assert_true(is_pattern(bytes.data, got, bytes.size));
            assert_int_equal(e.s->in.capacity, lent ? 16384 : EVERT__LARGE);
            assert_in_range(e.s->in.end, 1, MOST); /* and each begins where the last one did */
        }
        if (lent)
            evert__large_put(loop, large);
        drop_ends(e);
    }
    free(data);
}

/* Also where nothing that comes in small pieces was ever read or written. */
static void test_the_first_read_of_a_loop_has_it_if_it_is_of_much(void **state)
{
    evert_bytes bytes;
    (void)state;
    struct ends e = make_ends(UNIX);
    struct evert__part **pool = &e.s->loop->parts[EVERT__PART_CHUNKS];
    if (*pool != NULL)
        (*pool)->fini(*pool, e.s->loop); /* other cases had this loop before */
    *pool = NULL;
    assert_int_equal(send(e.peer, "much", 4, MSG_NOSIGNAL), 4);
    for (size_t got = 0; got < 4; got += bytes.size) {
        assert_in_range(evert_read(e.s, &bytes, 65536), 1, 4);
        assert_int_equal(e.s->in.capacity, EVERT__LARGE);
    }
    drop_ends(e);
}

/* BR-002, the second run: the rest of the line is dropped as it comes, and takes no memory. */
static void test_a_line_without_end_takes_no_memory(void **state)
{
    evert_scope scope;
    evert_bytes bytes;
    (void)state;
    struct ends e = make_ends(TCP);

    evert_set_line_limit(e.s, 64);
    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, send_endless_line, &e), 0);
    check_rc(evert_read_line(e.s, &bytes), EVERT_ELIMIT);
    assert_in_range(e.s->in.capacity, 65, EVERT__CHUNK);
    assert_in_range(flood(e.peer), 0, ENDLESS); /* the peer is held back */
    check_rc(evert_read_line(e.s, &bytes), 0);
    check_bytes(bytes, "ok");
    check_rc(evert_scope_leave(&scope, 0), 0);
    drop_ends(e);
}

struct sender {
    int fd;
    const char *data;
    size_t size;
};

static int send_all(void *arg)
{
    const struct sender *sender = (const struct sender *)arg;
    assert_true(peer_send(sender->fd, sender->data, sender->size));
    return 0;
}

/* S4: however small the buffers of the kernel, and the limits, are. */
static void test_counted_reads_of_more_than_any_limit_work(void **state)
{
    enum { SIZE = 1 << 20 };
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct ends e = make_narrow_ends(i % 2 ? TCP : UNIX);
        char *data = make_pattern(SIZE), *got = malloc(SIZE);
        struct sender sender = {e.peer, data, SIZE};
        evert_bytes view = {NULL, 0};
        evert_scope scope;

        assert_non_null(got);
        evert_set_line_limit(e.s, 1);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, send_all, &sender), 0);
        if (i < 2) {
            check_rc(evert_read_exactly(e.s, &view, SIZE), 0);
            assert_int_equal(view.size, SIZE);
        } else {
            check_count(evert_read_exactly_into(e.s, got, SIZE), SIZE);
        }
        assert_true(is_pattern(i < 2 ? view.data : got, 0, SIZE));
        check_rc(evert_scope_leave(&scope, 0), 0);
        free(data);
        free(got);
        drop_ends(e);
    }
}

/* A connection that is idle holds no buffer. */
static void test_a_read_that_waits_with_nothing_holds_no_buffer(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    evert_scope scope;
    evert_bytes bytes;

    peer_say(e.peer, "line\r\n");
    check_rc(evert_read_line(e.s, &bytes), 0);
    assert_non_null(e.s->in.data);
    evert_scope_enter(&scope, evert_after(MS));
    check_rc(evert_read_line(e.s, &bytes), -ECANCELED);
    check_rc(evert_scope_leave(&scope, -ECANCELED), -ETIMEDOUT);
    assert_null(e.s->in.data);
    drop_ends(e);
}

/* ---- The buffer itself ---- */

static void test_room_is_made_without_losing_what_is_there(void **state)
{
    evert_bytes bytes;
    (void)state;
    struct ends e = make_ends(UNIX);
    struct evert__input *in = &e.s->in;

    peer_say(e.peer, "0123456789");
    check_rc(evert_read_exactly(e.s, &bytes, 6), 0);
    while (evert__input_size(in) < 4) /* the adverse back end may have taken less */
        (void)evert__input_fill(e.s, SIZE_MAX);
    evert__end_view(e.s); /* as each read does first */
    check_rc(evert__input_reserve(e.s, 4), 0);
    assert_int_equal(in->capacity, EVERT__CHUNK);
    check_rc(evert__input_reserve(e.s, EVERT__CHUNK), 0); /* moves them to the front */
    assert_int_equal(in->start, 0);
    assert_memory_equal(in->data, "6789", 4);
    check_rc(evert__input_reserve(e.s, EVERT__CHUNK + 1), 0); /* takes a larger one */
    assert_int_equal(in->capacity, 8192);
    assert_memory_equal(in->data + in->start, "6789", 4);
    take_memory_away();
    check_rc(evert__input_reserve(e.s, 1000000), -ENOMEM);
    check_rc(evert__input_reserve(e.s, SIZE_MAX), -ENOMEM);
    give_memory_back();
    assert_memory_equal(in->data + in->start, "6789", 4);
    evert__input_release(e.s); /* not empty: without effect */
    check_rc(evert_read_exactly(e.s, &bytes, 4), 0);
    check_bytes(bytes, "6789");
    evert__input_release(e.s);
    assert_null(in->data);
    drop_ends(e);
}

/* ---- In turns with others ---- */

/* Each call that reads, by number: of "x\r\n" it gives what has one byte. */
static ssize_t read_little(evert_stream *s, int call)
{
    evert_bytes bytes = {"", 0};
    char buffer[8];
    int rc = 0;
    switch (call) {
    case 0:
        return evert_read(s, &bytes, 1);
    case 1:
        return evert_read_into(s, buffer, 1);
    case 2:
        return evert_read_exactly_into(s, buffer, 1);
    case 3:
        return evert_read_line_into(s, buffer, sizeof(buffer));
    case 4:
        return evert_read_until_into(s, buffer, sizeof(buffer), "\r\n");
    case 5:
        rc = evert_read_exactly(s, &bytes, 1);
        break;
    case 6:
        rc = evert_read_line(s, &bytes);
        break;
    default:
        rc = evert_read_until(s, &bytes, "\r\n");
        break;
    }
    return rc < 0 ? rc : (ssize_t)bytes.size;
}

/* BR-005: also where each read is served from the buffer. */
static void test_a_reader_that_never_waits_lets_others_run(void **state)
{
    enum { READS = 1000, CALLS = 8 };
    static char lines[3 * READS];
    (void)state;
    for (int i = 0; i < READS; i++)
        memcpy(lines + 3 * i, "x\r\n", 3);
    for (int call = 0; call < CALLS; call++) {
        struct bystander bystander = {0, false};
        evert_scope scope;
        struct ends e = make_ends(UNIX);
        assert_true(peer_send(e.peer, lines, sizeof(lines)));
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, stand_by, &bystander), 0);
        for (int i = 0; i < READS; i++) {
            check_count(read_little(e.s, call), 1);
            assert_true(bystander.turns >= i / (EVERT__BUDGET + 1) - 1);
        }
        bystander.stop = true;
        check_rc(evert_scope_leave(&scope, 0), 0);
        drop_ends(e);
    }
}

struct echoing {
    evert_stream *s;
    bool stop;
};

static int echo(void *arg)
{
    struct echoing *echoing = (struct echoing *)arg;
    evert_bytes bytes;
    ssize_t rc = 0;
    while (!echoing->stop && rc >= 0) {
        rc = evert_read(echoing->s, &bytes, 1000);
        if (rc > 0)
            rc = evert_put(echoing->s, bytes);
    }
    return (int)rc; /* of the one that is flooded: -ECANCELED, at last */
}

/* Keeps an echo's buffers ready at both ends, in every turn. */
static int keep_busy(void *arg)
{
    static char data[65536];
    int fd = *(const int *)arg;
    for (;;) {
        (void)!send(fd, data, sizeof(data), MSG_NOSIGNAL);
        (void)!recv(fd, data, sizeof(data), 0);
        int rc = evert_yield();
        if (rc < 0)
            return rc;
    }
}

/* BR-005: an echo that is flooded, and another client who comes in between. */
static void test_a_flooded_echo_does_not_starve_others(void **state)
{
    struct bystander bystander = {0, false};
    evert_scope scope;
    (void)state;
    struct ends flooded = make_ends(TCP), other = make_ends(TCP);
    struct echoing first = {flooded.s, false}, second = {other.s, false};

    evert_scope_enter(&scope, evert_after(PATIENCE));
    check_rc(evert_spawn(&scope, keep_busy, &flooded.peer), 0);
    check_rc(evert_spawn(&scope, echo, &first), 0);
    check_rc(evert_spawn(&scope, echo, &second), 0);
    check_rc(evert_spawn(&scope, stand_by, &bystander), 0);
    wait_until(bystander.turns > 0); /* its first turn counts for nothing */
    for (int i = 0; i < 20; i++) {
        int before = bystander.turns;
        peer_say(other.peer, "ping\n");
        peer_hears(other.peer, "ping\n");
        assert_true(bystander.turns > before);
    }
    first.stop = bystander.stop = true;
    evert_scope_cancel(&scope);
    check_rc(evert_scope_leave(&scope, 0), 0);
    evert_abort(flooded.s);
    close(flooded.peer);
    drop_ends(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_view_stays_while_other_input_arrives),
        cmocka_unit_test(test_use_of_a_view_after_its_end_is_caught),
        cmocka_unit_test(test_a_view_that_is_overwritten_is_noticed),
        everywhere(test_a_peer_that_floods_is_held_back),
        everywhere(test_without_memory_a_large_buffer_stays),
        everywhere(test_what_is_left_in_a_large_buffer_goes_to_one_of_its_size),
        everywhere(test_a_read_of_much_has_the_large_buffer_where_it_is_there),
        everywhere(test_the_first_read_of_a_loop_has_it_if_it_is_of_much),
        everywhere(test_a_line_without_end_takes_no_memory),
        everywhere(test_counted_reads_of_more_than_any_limit_work),
        everywhere(test_a_read_that_waits_with_nothing_holds_no_buffer),
        everywhere(test_room_is_made_without_losing_what_is_there),
        everywhere(test_a_reader_that_never_waits_lets_others_run),
        everywhere(test_a_flooded_echo_does_not_starve_others),
    };
    return run_table(tests);
}
