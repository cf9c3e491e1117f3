/* SPDX-License-Identifier: MIT */
/*
 * The output queue: bytes in chunks, of which one send at a time is on its way while more is
 * appended behind it.
 */
#include "protocols.h"

static size_t queued_in_chunks(const evert_stream *s)
{
    size_t size = 0;
    for (const struct evert__chunk *c = s->out.first; c != NULL; c = c->next) {
        assert_true(c->start < c->end); /* none is empty */
        assert_true(c->next != NULL || c == s->out.last);
        size += c->end - c->start;
    }
    return size;
}

static void append_pattern(evert_stream *s, size_t *at, size_t size)
{
    char *data = malloc(size + 1);
    assert_non_null(data);
    fill_pattern(data, *at, size);
    check_rc(evert__output_append(s, data, size), 0);
    free(data);
    *at += size;
}

static void check_peer_gets(int peer, size_t from, size_t size)
{
    char *got = malloc(size + 1);
    assert_non_null(got);
    check_count(peer_receive(peer, got, size), (ssize_t)size);
    assert_true(is_pattern(got, from, size));
    free(got);
}

/* At and around the borders of a chunk. */
static void test_pieces_of_all_sizes_fill_chunks_to_the_brim(void **state)
{
    static const size_t sizes[] = {
        1, EVERT__CHUNK_ROOM - 1, EVERT__CHUNK_ROOM,        EVERT__CHUNK_ROOM + 1,
        7, 3 * EVERT__CHUNK_ROOM, 2 * EVERT__CHUNK_ROOM - 8};
    size_t total = 0;
    (void)state;
    struct ends e = make_ends(UNIX);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        append_pattern(e.s, &total, sizes[i]);
        assert_int_equal(e.s->out.queued, total);
        assert_int_equal(queued_in_chunks(e.s), total);
    }
    const struct evert__chunk *c = e.s->out.first;
    for (; c->next != NULL; c = c->next)
        assert_int_equal(c->end - c->start, EVERT__CHUNK_ROOM);
    evert__output_start(e.s);
    check_peer_gets(e.peer, 0, total);
    wait_until(e.s->out.queued == 0);
    assert_null(e.s->out.first);
    assert_null(e.s->out.last);
    drop_ends(e);
}

static void test_an_append_without_memory_leaves_the_queue_as_it_was(void **state)
{
    char large[5 * EVERT__CHUNK] = {0};
    evert_loop *loop = self()->loop;
    size_t total = 0;
    (void)state;
    struct ends e = make_ends(UNIX);

    append_pattern(e.s, &total, 10);
    take_memory_away();
    struct evert__chunk *all = take_chunks(loop);
    check_rc(evert__output_append(e.s, large, sizeof(large)), -ENOMEM);
    assert_int_equal(queued_in_chunks(e.s), 10);
    append_pattern(e.s, &total, 10); /* which still fits */
    give_memory_back();
    give_chunks_back(loop, all);
    evert__output_start(e.s);
    check_peer_gets(e.peer, 0, total);
    wait_until(e.s->out.queued == 0);
    drop_ends(e);
}

/* The kernel takes them where they are, and they stay there; what is appended goes behind. */
static void test_more_is_appended_while_a_send_is_on_its_way(void **state)
{
    size_t total = 0;
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        uint64_t random = seed_new();
        total = 0;
        while (total < 500000) {
            append_pattern(e.s, &total, 1 + random_below(&random, 9000));
            evert__output_start(e.s);
        }
        assert_true(e.s->sending);
        check_peer_gets(e.peer, 0, total);
        wait_until(e.s->out.queued == 0);
        assert_false(e.s->sending);
        drop_ends(e);
    }
}

/* Else each small write that follows would have the whole connection looked at. */
static void test_a_queue_that_was_sent_takes_small_writes_with_no_look(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        size_t total = 0;
        assert_int_equal(e.s->open, EVERT__OPEN_WHOLE);
        append_pattern(e.s, &total, 500000);
        evert__output_start(e.s);
        assert_true(e.s->sending);
        assert_int_equal(e.s->open, 0);
        check_peer_gets(e.peer, 0, total);
        wait_until(e.s->out.queued == 0);
        assert_int_equal(e.s->open, EVERT__OPEN_WHOLE);
        drop_ends(e);
    }
}

/* Writes in pieces of these sizes. */
struct writer {
    evert_stream *s;
    const char *data;
    size_t size, sizes[4000];
};

static int write_sizes(void *arg)
{
    struct writer *w = (struct writer *)arg;
    size_t at = 0;
    for (size_t i = 0; at < w->size; at += w->sizes[i++])
        check_rc(evert_write(w->s, w->data + at, w->sizes[i]), 0);
    return 0;
}

/* BR-001: more buffers than the kernel takes at once, to a peer that begins to read late. */
static int write_much_and_close(void *arg)
{
    evert_stream *s = (evert_stream *)arg;
    char buffer[8192];
    for (int i = 0; i < 200; i++) {
        memset(buffer, i % 251, sizeof(buffer));
        check_rc(evert_write(s, buffer, sizeof(buffer)), 0);
    }
    check_rc(evert_puts(s, "FINISH"), 0);
    check_rc(evert_flush(s), 0);
    assert_int_equal(s->out.queued, 0);
    return evert_close(s);
}

static void test_much_is_sent_whole_to_a_peer_that_begins_to_read_late(void **state)
{
    enum { SIZE = 200 * 8192 };
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct ends e =
            i < 2 ? make_ends(i % 2 ? UNIX : TCP) : make_narrow_ends(i % 2 ? UNIX : TCP);
        char *got = malloc(SIZE), wanted[8192];
        evert_scope scope;

        assert_non_null(got);
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, write_much_and_close, e.s), 0);
        if (i >= 2)
            wait_until(e.s->writer != NULL && e.s->sending);
        check_count(peer_receive(e.peer, got, SIZE), SIZE);
        for (int k = 0; k < 200; k++) {
            memset(wanted, k % 251, sizeof(wanted));
            assert_memory_equal(got + (size_t)k * 8192, wanted, sizeof(wanted));
        }
        peer_hears(e.peer, "FINISH");
        peer_hears_end(e.peer);
        close(e.peer);
        check_rc(evert_scope_leave(&scope, 0), 0);
        free(got);
    }
}

/* ---- Much at once ---- */

/* What is much goes from where it lies, with what was queued before it, before anybody waits. */
static void test_much_is_sent_at_once_with_what_is_queued(void **state)
{
    enum { FEW = 100 };
    (void)state;
    for (int few = 0; few <= FEW; few += FEW) {
        struct ends e = make_ends(UNIX);
        char *data = make_pattern(FEW + EVERT__MUCH);
        check_rc(evert_write(e.s, data, (size_t)few), 0);
        answer(EVERT__SYS_SEND, 0, 0);
        check_rc(evert_write(e.s, data + few, EVERT__MUCH), 0);
        if (!is_adverse()) {
            assert_int_equal(plan.asked, 1);
            assert_int_equal(e.s->out.queued, 0);
            assert_null(e.s->out.first);
        }
        answer_no_more();
        check_peer_gets(e.peer, 0, (size_t)few + EVERT__MUCH);
        check_rc(evert_puts(e.s, "more"), 0);
        check_rc(evert_flush(e.s), 0);
        peer_hears(e.peer, "more");
        free(data);
        drop_ends(e);
    }
}

/* However much the kernel takes of it: all arrives once, in order. */
static void test_writes_of_all_sizes_arrive_in_order(void **state)
{
    enum { ALL = 1000000 };
    static const uint32_t most[] = {10, 4000, EVERT__MUCH + 10, EVERT_HIGH_WATER};
    char *data = make_pattern(ALL);
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        uint64_t random = seed_new();
        struct writer w = {.s = e.s, .data = data};
        evert_scope scope;
        evert_scope_enter(&scope, evert_after(PATIENCE));
        for (size_t i = 0; w.size < ALL && i < COUNT_OF(w.sizes); i++) {
            size_t size = 1 + random_below(&random, most[random_below(&random, COUNT_OF(most))]);
            w.sizes[i] = size < ALL - w.size ? size : ALL - w.size;
            w.size += w.sizes[i];
        }
        check_rc(evert_spawn(&scope, write_sizes, &w), 0);
        check_peer_gets(e.peer, 0, w.size);
        check_rc(evert_scope_leave(&scope, 0), 0);
        drop_ends(e);
    }
    free(data);
}

/* An error breaks the write side, and is what the write says. */
static void test_an_error_of_much_at_once_breaks_the_write_side(void **state)
{
    char *data = make_pattern(EVERT__MUCH);
    (void)state;
    struct ends e = make_ends(UNIX);
    check_rc(evert_puts(e.s, "few"), 0);
    answer(EVERT__SYS_SEND, -EPIPE, 1);
    int rc = evert_write(e.s, data, EVERT__MUCH);
    if (!is_adverse())
        check_rc(rc, -EPIPE);
    check_rc(evert_flush(e.s), -EPIPE);
    answer_no_more();
    assert_int_equal(e.s->out.queued, 0);
    check_rc(evert_puts(e.s, "x"), -EPIPE);
    check_rc(drop_ends(e), -EPIPE);
    free(data);
}

/* S5: a part went, and for the rest there is no memory: then nothing goes behind the gap. */
static void test_much_of_which_the_rest_finds_no_memory_breaks_the_write_side(void **state)
{
    char *data = make_pattern(EVERT_HIGH_WATER), got[EVERT_HIGH_WATER];
    evert_loop *loop = self()->loop;
    (void)state;
    struct ends e = make_narrow_ends(UNIX);
    take_memory_away();
    struct evert__chunk *chunks = take_chunks(loop);
    check_rc(evert_write(e.s, data, EVERT_HIGH_WATER), -ENOMEM);
    give_chunks_back(loop, chunks);
    give_memory_back();
    check_rc(evert_puts(e.s, "behind"), -ENOMEM);
    check_rc(evert_close(e.s), -ENOMEM);
    ssize_t count = peer_receive(e.peer, got, sizeof(got));
    assert_true(count >= 0 && count < EVERT_HIGH_WATER);
    assert_true(is_pattern(got, 0, (size_t)count));
    close(e.peer);
    free(data);
}

/* Takes the room that the socket had, so that the send that was about to use it finds none. */
static struct {
    evert_stream *s;
    size_t total;    /* of the stream's bytes */
    size_t at, size; /* where among them the filling stands, and how much it is */
} filling;

static bool fill_before_send(enum evert__sys_call call, const void *site, size_t *size,
                             int64_t *result)
{
    static const char filler[1000];
    ssize_t count;
    (void)site;
    (void)size;
    (void)result;
    if (call != EVERT__SYS_SEND || filling.size > 0)
        return false;
    filling.at = filling.total - filling.s->out.queued;
    while ((count = send(filling.s->fd.number, filler, sizeof(filler), MSG_NOSIGNAL)) > 0)
        filling.size += (size_t)count;
    return false;
}

/* One round: every byte has to arrive, whether or not there was room to take away. */
static void lose_the_room(enum kind kind)
{
    enum { SIZE = 60000 };
    struct ends e = make_narrow_ends(kind);
    size_t total = 0, got = 0;
    char *all = malloc(20 * SIZE);
    assert_non_null(all);
    while (!e.s->sending || has_events(e.s->fd.number, POLLOUT)) {
        while (e.s->out.queued < 3 * SIZE) /* more than the one send that may be on its way */
            append_pattern(e.s, &total, SIZE);
        evert__output_start(e.s);
        turns(4);
    }
    filling.s = e.s;
    filling.total = total;
    filling.size = 0;
    evert__sys_set_hook(fill_before_send);
    while (got < total + filling.size) {
        size_t part = total + filling.size - got < 1000 ? total + filling.size - got : 1000;
        assert_true(got + part <= 20 * SIZE);
        check_count(peer_receive(e.peer, all + got, part), (ssize_t)part);
        got += part;
    }
    answer_no_more();
    assert_true(is_pattern(all, 0, filling.at));
    assert_true(is_pattern(all + filling.at + filling.size, filling.at, total - filling.at));
    wait_until(e.s->out.queued == 0);
    free(all);
    drop_ends(e);
}

/*
 * F16: told of room, and there is none. On the adverse back end the send may come when the socket
 * is full anyway, so that nothing can be taken from it; then it is done again until it was.
 */
static void test_a_send_that_finds_no_room_after_an_event_waits_on(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        int rounds = 0;
        do
            lose_the_room((enum kind)kind);
        while (filling.size == 0 && ++rounds < 20);
        if (!on_uring()) /* where the kernel itself sends, as soon as there is room */
            assert_true(filling.size > 0);
    }
}

static void test_an_error_of_the_socket_drops_the_queue_and_tells_the_writer(void **state)
{
    (void)state;
    struct ends e = make_ends(UNIX);
    size_t total = 0;
    append_pattern(e.s, &total, 10000);
    answer(EVERT__SYS_SEND, -EHOSTUNREACH, 1);
    check_rc(evert_flush(e.s), -EHOSTUNREACH);
    answer_no_more();
    assert_int_equal(e.s->out.queued, 0);
    assert_null(e.s->out.first);
    check_rc(evert_puts(e.s, "x"), -EHOSTUNREACH);
    check_rc(drop_ends(e), -EHOSTUNREACH);
}

/* ---- A newcomer, of whom the kernel is to tell ---- */

/* The calls that were made since then, in order: S for a send, R for one that registers. */
static char calls[64];

static bool note_order(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    size_t count = strlen(calls);
    (void)site;
    (void)size;
    (void)result;
    if (count + 1 < sizeof(calls) && (call == EVERT__SYS_SEND || call == EVERT__SYS_EPOLL_CTL))
        calls[count] = call == EVERT__SYS_SEND ? 'S' : 'R';
    return false;
}

static void note_calls(void)
{
    memset(calls, 0, sizeof(calls));
    evert__sys_set_hook(note_order);
}

static int hear_and_end(void *arg)
{
    const int *peer = arg;
    peer_hears(*peer, "Hello\r\n");
    assert_int_equal(shutdown(*peer, SHUT_WR), 0);
    return 0;
}

/* S5. To have the kernel tell of him takes a while, for which he would wait. */
static void test_a_newcomer_has_his_answer_before_he_is_registered(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        evert_scope scope;
        evert_bytes name;
        struct ends e = make_ends((enum kind)kind);
        peer_say(e.peer, "Ann\r\n");
        wait_arrived(e.s->fd.number, 5);
        check_rc(evert_read_line(e.s, &name), 0);
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, hear_and_end, &e.peer), 0);
        note_calls();
        check_rc(evert_puts(e.s, "Hello\r\n"), 0);
        check_rc(evert_read_line(e.s, &name), EVERT_EOF);
        answer_no_more();
        if (on_epoll())
            assert_memory_equal(calls, "SR", 2);
        check_rc(evert_scope_leave(&scope, 0), 0);
        drop_ends(e);
    }
}

static void answer_and_note(struct talker *t, char call)
{
    if (call != 'D')
        return;
    note_calls();
    evert_transport_puts(transport_of(t), "Hello\r\n");
}

/* S5: the same. */
static void test_a_protocols_newcomer_has_it_before_that_too(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct talker t;
        struct ends e = make_ends((enum kind)kind);
        talker_init(&t);
        t.act = answer_and_note;
        peer_say(e.peer, "Ann\r\n");
        wait_arrived(e.s->fd.number, 5);
        talk_on(&t, e.s);
        peer_hears(e.peer, "Hello\r\n");
        answer_no_more();
        check_heard(&t, "Ann\r\n");
        if (on_epoll())
            assert_memory_equal(calls, "SR", 2);
        end_talk(&t, e.peer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_pieces_of_all_sizes_fill_chunks_to_the_brim),
        everywhere(test_an_append_without_memory_leaves_the_queue_as_it_was),
        everywhere(test_more_is_appended_while_a_send_is_on_its_way),
        everywhere(test_a_queue_that_was_sent_takes_small_writes_with_no_look),
        everywhere(test_much_is_sent_whole_to_a_peer_that_begins_to_read_late),
        everywhere(test_much_is_sent_at_once_with_what_is_queued),
        everywhere(test_writes_of_all_sizes_arrive_in_order),
        everywhere(test_an_error_of_much_at_once_breaks_the_write_side),
        everywhere(test_much_of_which_the_rest_finds_no_memory_breaks_the_write_side),
        everywhere(test_a_send_that_finds_no_room_after_an_event_waits_on),
        everywhere(test_an_error_of_the_socket_drops_the_queue_and_tells_the_writer),
        everywhere(test_a_newcomer_has_his_answer_before_he_is_registered),
        everywhere(test_a_protocols_newcomer_has_it_before_that_too),
    };
    return run_table(tests);
}
