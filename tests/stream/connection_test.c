/* SPDX-License-Identifier: MIT */
/*
 * The connection as a whole: two joined streams against a model of two byte queues, by chance. A
 * failure says the seed that repeats it.
 *
 * The model knows what was written and what was read of it, so it knows what each read has to give,
 * and whether it would wait: one that would is cancelled after some turns, and must lose nothing.
 */
#include <pthread.h>

#include "net/listener.h"

#include "support.h"

enum { STEPS = 20000, MOST_WRITTEN = 400000, MOST_UNREAD = 20000, LARGEST = 150000 };

/* One of the two directions. */
struct way {
    evert_stream *from, *to;
    char *log;            /* all that was written */
    size_t written, read; /* how much of it */
    size_t limit;         /* for lines */
    bool ended;           /* the write side was ended */
    bool dropping;        /* the rest of a line that was too long is to be dropped */
};

static struct {
    uint64_t random;
    struct way ways[2];
    char *buffer; /* of LARGEST bytes */
    long steps, reads, writes, pairs;
    enum kind kind; /* of this pair */
} world;

static uint32_t draw(uint32_t below)
{
    return random_below(&world.random, below);
}

/*
 * Short counts and interruptions wherever they are legal. From TCP they are not when reading, where
 * a short count says that there is no more.
 */
static bool cut(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    if (call != EVERT__SYS_RECV && call != EVERT__SYS_SEND)
        return false;
    if (draw(2) && *size > 1 && (call == EVERT__SYS_SEND || world.kind == UNIX))
        *size = 1 + draw((uint32_t)(*size < 5000 ? *size : 5000));
    *result = -EINTR;
    return draw(8) == 0;
}

static void new_pair(void)
{
    evert_stream *s[2];
    world.kind = draw(2) ? TCP : UNIX;
    make_streams(world.kind, s);
    world.pairs++;
    for (int i = 0; i < 2; i++) {
        struct way *way = &world.ways[i];
        char *log = way->log;
        *way = (struct way){.from = s[i], .to = s[1 - i], .log = log};
        way->limit = draw(2) ? 100 + draw(2000) : LARGEST * 2;
        evert_set_line_limit(way->to, way->limit);
        set_size(s[i]->fd.number, SO_SNDBUF, 4 << 20); /* so that nothing has to wait for reads */
        set_size(s[i]->fd.number, SO_RCVBUF, 4 << 20);
    }
    evert__sys_set_hook(draw(2) ? cut : NULL);
}

/* ---- The model ---- */

static size_t unread(const struct way *way)
{
    return way->written - way->read;
}

/* How many bytes stand before a separator; SIZE_MAX if it has not been written. */
static size_t before(const struct way *way, const char *separator)
{
    const char *at = way->log + way->read;
    const char *found = memmem(at, unread(way), separator, strlen(separator));
    return found != NULL ? (size_t)(found - at) : SIZE_MAX;
}

/* Whether more than the limit has come, and the last byte cannot begin the separator. */
static bool is_over(const struct way *way, const char *separator)
{
    size_t size = unread(way);
    if (size > 0 && strlen(separator) > 1 && way->log[way->written - 1] == separator[0])
        size--;
    return size > way->limit;
}

/* Drops as the stream would. False: the end of what is dropped has not come. */
static bool drop(struct way *way)
{
    size_t rest;
    if (!way->dropping)
        return true;
    rest = before(way, "\r\n");
    if (rest == SIZE_MAX && !way->ended)
        return false;
    way->read = rest != SIZE_MAX ? way->read + rest + 2 : way->written;
    way->dropping = false;
    return true;
}

static void took(struct way *way, const char *data, size_t size)
{
    assert_in_range(size, 0, unread(way));
    assert_memory_equal(data, way->log + way->read, size);
    way->read += size;
}

/* ---- Steps ---- */

static void write_some(struct way *way)
{
    char *data = way->log + way->written;
    size_t size = draw(40) == 0 && unread(way) == 0 ? EVERT_HIGH_WATER + draw(LARGEST / 2)
                                                    : draw(1 + (1U << draw(12)));
    if (way->ended || way->written + size > MOST_WRITTEN || unread(way) > MOST_UNREAD)
        return;
    for (size_t i = 0; i < size; i++)
        data[i] = "abcdefghijklmnopqrstuvwxyz\r\n;\r\n\n"[draw(32)];
    for (size_t i = 0; i + 1 < size; i += 50 + draw(500))
        memcpy(data + i, "\r\n", 2);
    check_rc(evert_write(way->from, data, size), 0);
    way->written += size;
    world.writes++;
}

struct waiting {
    evert_stream *s;
    int kind, rc;
};

static int wait_for_input(void *arg)
{
    struct waiting *w = (struct waiting *)arg;
    evert_bytes bytes;
    switch (w->kind) {
    case 0:
        w->rc = evert_read_line(w->s, &bytes);
        break;
    case 1:
        w->rc = evert_read_until(w->s, &bytes, ";");
        break;
    case 2:
        w->rc = evert_read_exactly(w->s, &bytes, LARGEST);
        break;
    default:
        w->rc = (int)evert_read_exactly_into(w->s, world.buffer, LARGEST);
        break;
    }
    return 0;
}

/* A read of a kind that cannot be satisfied. */
static void wait_and_cancel(const struct way *way, int kind)
{
    struct waiting w = {way->to, kind, 0};
    evert_scope scope;
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, wait_for_input, &w), 0);
    turns((int)draw(6));
    evert_scope_cancel(&scope);
    check_rc(evert_scope_leave(&scope, 0), 0);
    check_rc(w.rc, -ECANCELED);
}

/* What a read up to a separator comes to: its own code, and how much it gives. */
static int expect(const struct way *way, const char *separator, size_t *ret_size)
{
    size_t size = before(way, separator);
    *ret_size = 0;
    if (size != SIZE_MAX) {
        *ret_size = size;
        return size > way->limit ? EVERT_ELIMIT : 0;
    }
    if (is_over(way, separator))
        return EVERT_ELIMIT;
    if (!way->ended)
        return -EAGAIN;
    *ret_size = unread(way);
    return unread(way) == 0 ? EVERT_EOF : EVERT_EINCOMPLETE;
}

static void read_up_to(struct way *way, bool line, bool copies)
{
    const char *separator = line ? "\r\n" : ";";
    size_t size, room = draw(2) ? LARGEST : draw(300);
    evert_bytes bytes = {"", 0};
    int wanted = expect(way, separator, &size);

    if (wanted == -EAGAIN) {
        wait_and_cancel(way, line ? 0 : 1);
        return;
    }
    if (copies) {
        ssize_t rc = line ? evert_read_line_into(way->to, world.buffer, room)
                          : evert_read_until_into(way->to, world.buffer, room, separator);
        bytes = (evert_bytes){world.buffer, size};
        if (wanted == 0)
            check_count(rc, size < room ? (ssize_t)size : EVERT_ELIMIT);
        else
            check_count(rc, wanted);
        if (wanted == 0 && size < room)
            assert_int_equal(world.buffer[size], 0);
        if (wanted != EVERT_ELIMIT && size >= room)
            bytes.data = way->log + way->read; /* dropped, or as much of it as there was room */
    } else {
        int rc =
            line ? evert_read_line(way->to, &bytes) : evert_read_until(way->to, &bytes, separator);
        check_rc(rc, wanted);
    }
    if (wanted == EVERT_ELIMIT) {
        way->dropping = line;
        return;
    }
    took(way, bytes.data, size);
    way->read += wanted == 0 ? strlen(separator) : 0;
}

static void read_exactly(struct way *way, bool copies)
{
    size_t size = draw(1 + (1U << draw(17)));
    evert_bytes bytes = {"", 0};
    int wanted = 0;

    if (size > unread(way) && !way->ended) {
        wait_and_cancel(way, copies ? 3 : 2);
        return;
    }
    if (size > unread(way))
        wanted = unread(way) > 0 ? EVERT_EINCOMPLETE : EVERT_EOF;
    if (copies) {
        check_count(evert_read_exactly_into(way->to, world.buffer, size),
                    wanted == 0 ? (ssize_t)size : wanted);
        bytes = (evert_bytes){world.buffer, wanted == 0 ? size : unread(way)};
    } else {
        check_rc(evert_read_exactly(way->to, &bytes, size), wanted);
    }
    took(way, bytes.data, bytes.size);
}

static void read_some(struct way *way, bool copies)
{
    size_t most = 1 + draw(1U << draw(16));
    evert_bytes bytes = {world.buffer, 0};
    if (unread(way) == 0 && !way->ended)
        return;
    ssize_t count =
        copies ? evert_read_into(way->to, world.buffer, most) : evert_read(way->to, &bytes, most);
    assert_in_range(count, unread(way) > 0, most);
    if (count > 0)
        took(way, bytes.data, (size_t)count);
}

static void read_in_some_way(struct way *way)
{
    bool copies = draw(2);
    world.reads++;
    if (!drop(way))
        return; /* all reads would wait */
    switch (draw(4)) {
    case 0:
        read_up_to(way, true, copies);
        break;
    case 1:
        read_up_to(way, false, copies);
        break;
    case 2:
        read_exactly(way, copies);
        break;
    default:
        read_some(way, copies);
        break;
    }
}

/* ---- Ends ---- */

/* Reads to the end what was written; an abort may have cut it short, and have reset. */
static void read_rest(struct way *way, bool aborted)
{
    ssize_t count;
    evert_bytes bytes;
    if (way->dropping) {
        way->dropping = false; /* where it stops is the stream's to say */
        evert_abort(way->to);
        return;
    }
    while ((count = evert_read(way->to, &bytes, 1 + draw(5000))) > 0)
        took(way, bytes.data, bytes.size);
    if (aborted) {
        assert_true(count == 0 || count == -ECONNRESET || count == -EPIPE);
    } else {
        check_count(count, 0);
        assert_int_equal(unread(way), 0);
    }
    int rc = evert_close(way->to);
    assert_true(rc == 0 || rc == -EPIPE || rc == -ECONNRESET);
}

static int close_one(void *s)
{
    (void)evert_close((evert_stream *)s); /* its peer may have aborted */
    return 0;
}

/* Ends one stream, looks at what the other gets of it, and begins anew. */
static void end_pair(struct way *way)
{
    bool aborts = draw(3) == 0;
    evert_scope scope;
    evert_scope_enter(&scope, evert_after(PATIENCE));
    if (aborts)
        evert_abort(way->from);
    else
        check_rc(evert_spawn(&scope, close_one, way->from), 0);
    turns((int)draw(3));
    read_rest(way, aborts);
    check_rc(evert_scope_leave(&scope, 0), 0);
    new_pair();
}

static void step(void)
{
    struct way *way = &world.ways[draw(2)];
    uint32_t what = draw(1000);
    if (what < 450)
        write_some(way);
    else if (what < 950)
        read_in_some_way(way);
    else if (what < 970)
        turns((int)draw(4));
    else if (what < 980)
        check_rc(evert_flush(way->from), 0);
    else if (what < 983) {
        check_rc(evert_write_eof(way->from), 0);
        way->ended = true;
    } else if (what < 986)
        end_pair(way);
    if (way->written + LARGEST > MOST_WRITTEN)
        end_pair(way);
}

static void test_two_streams_behave_as_two_queues_of_bytes(void **state)
{
    uint64_t seed = seed_new();
    long steps = getenv("EVERT_LONG") != NULL ? 10L * STEPS : STEPS;
    (void)state;
    world.random = seed;
    world.steps = world.reads = world.writes = world.pairs = 0;
    world.buffer = malloc(LARGEST + 1);
    assert_non_null(world.buffer);
    for (int i = 0; i < 2; i++) {
        world.ways[i].log = malloc(MOST_WRITTEN + LARGEST);
        assert_non_null(world.ways[i].log);
    }
    /* A failed check ends the program at once, so the seed is said before. */
    print_message("to repeat: EVERT_SEED=%" PRIu64 "\n", seed);
    new_pair();
    for (; world.steps < steps; world.steps++)
        step();
    answer_no_more();
    evert_abort(world.ways[0].from);
    evert_abort(world.ways[1].from);
    assert_true(world.reads > steps / 4 && world.writes > steps / 10 && world.pairs > 10);
    free(world.buffer);
    for (int i = 0; i < 2; i++)
        free(world.ways[i].log);
}

/* ---- New connections ---- */

static void test_a_new_connection_has_the_usual_limits_and_no_buffers(void **state)
{
    (void)state;
    struct ends e = make_ends(TCP);
    assert_int_equal(e.s->line_limit, EVERT_LINE_LIMIT);
    assert_int_equal(e.s->close_limit, 2000);
    assert_null(e.s->in.data);
    assert_null(e.s->out.first);
    assert_true(e.s->fd.drained_by_short_read);
    drop_ends(e);
}

static void test_the_limit_of_closing_is_rounded_up_to_milliseconds(void **state)
{
    static const struct {
        evert_time given, kept;
    } limits[] = {
        {-EVERT_SECOND, 0},
        {0, 0},
        {1, EVERT_MILLISECOND},
        {EVERT_MILLISECOND, EVERT_MILLISECOND},
        {EVERT_MILLISECOND + 1, 2 * EVERT_MILLISECOND},
        {3600 * EVERT_SECOND, 3600 * EVERT_SECOND},
        {UINT32_MAX * EVERT_MILLISECOND - EVERT_MILLISECOND,
         UINT32_MAX * EVERT_MILLISECOND - EVERT_MILLISECOND},
    };
    (void)state;
    struct ends e = make_ends(TCP);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        evert_set_close_limit(e.s, limits[i].given);
        evert_time before = evert_after(limits[i].kept), limit = evert__close_limit(e.s);
        assert_true(limit >= before && limit <= evert_after(limits[i].kept));
    }
    evert_set_close_limit(e.s, EVERT_NEVER);
    assert_true(evert__close_limit(e.s) == EVERT_NEVER);
    evert_set_close_limit(e.s, UINT32_MAX * EVERT_MILLISECOND);
    assert_true(evert__close_limit(e.s) == EVERT_NEVER);
    drop_ends(e);
}

/* The descriptor is taken, also on failure: run_clean() would miss it. */
static void test_without_memory_a_connected_descriptor_is_closed(void **state)
{
    evert_stream *s;
    int fds[2];
    (void)state;
    plain_pair(UNIX, fds);
    free_spares(self()->loop);
    take_memory_away();
    check_rc(evert__connection_accepted(self()->loop, fds[0], false, &s), -ENOMEM);
    give_memory_back();
    peer_hears_end(fds[1]);
    close(fds[1]);
}

struct accepting {
    evert_listener *listener;
    evert_scope *scope;
    int rc;
    evert_stream *accepted;
};

static int accept_one(void *arg)
{
    struct accepting *a = (struct accepting *)arg;
    a->rc = evert_accept(a->listener, &a->accepted);
    return 0;
}

static int cancel_between_wake_and_run(void *arg)
{
    const struct accepting *a = (const struct accepting *)arg;
    while (!((const struct evert__waiter *)a->listener->waiter)->done)
        check_rc(evert_yield(), 0);
    evert_scope_cancel(a->scope);
    return 0;
}

/* C3: the connection that woke it is gone again, and it must not wait for another. */
static void test_a_cancel_that_comes_behind_the_wake_ends_accepting(void **state)
{
    evert_scope scope;
    struct accepting accepting = {.scope = &scope};
    (void)state;
    check_rc(evert_listen(&accepting.listener, "tcp://127.0.0.1:0"), 0);
    evert_scope_enter(&scope, EVERT_NEVER);
    check_rc(evert_spawn(&scope, accept_one, &accepting), 0);
    wait_until(accepting.listener->waiter != NULL);
    answer(EVERT__SYS_ACCEPT, -EAGAIN, 1000);
    int client = plain_connect(evert_listener_address(accepting.listener));
    check_rc(evert_spawn(&scope, cancel_between_wake_and_run, &accepting), 0);
    check_rc(evert_scope_leave(&scope, 0), 0);
    if (accepting.rc == 0) /* a ring has taken it out of the listener already */
        evert_abort(accepting.accepted);
    else
        check_rc(accepting.rc, -ECANCELED);
    answer_no_more();
    evert_listener_close(accepting.listener);
    close(client);
}

/* ---- A child of a fork ---- */

static evert_stream *inherited;

static int take_and_end(void *unused)
{
    evert_bytes bytes;
    (void)unused;
    if (evert_read(inherited, &bytes, 9) != EVERT_ECLOSED)
        return 1;
    if (evert_write_eof(inherited) != EVERT_ECLOSED)
        return 2;
    return evert_close(inherited) == 0 ? 0 : 3;
}

static int send_queued(void *unused)
{
    (void)unused;
    return evert_flush(inherited) == EVERT_ECLOSED ? 0 : 1;
}

/* P9, F38: what has come is the parent's to take, and what was written the parent's to send. */
static void test_a_child_takes_nothing_and_sends_nothing(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        evert_bytes bytes;
        inherited = e.s;
        peer_say(e.peer, "old");
        check_count(evert_read(e.s, &bytes, 9), 3);
        struct child child = in_child(take_and_end, NULL); /* with nothing to be had */
        check_exit(&child, 0);
        peer_say(e.peer, "come");
        wait_until(has_events(e.s->fd.number, POLLIN));
        child = in_child(take_and_end, NULL);
        check_exit(&child, 0);
        check_rc(evert_puts(e.s, "once"), 0);
        child = in_child(send_queued, NULL);
        check_exit(&child, 0);
        check_count(evert_read(e.s, &bytes, 9), 4);
        check_bytes(bytes, "come");
        check_rc(evert_write_eof(e.s), 0);
        peer_hears(e.peer, "once");
        peer_hears_end(e.peer);
        close(e.peer);
        check_rc(evert_close(e.s), 0);
    }
}

static int wait_for_the_sending(void *unused)
{
    (void)unused;
    if (evert_flush(inherited) != EVERT_ECLOSED)
        return 1;
    return evert_close(inherited) == 0 ? 0 : 2;
}

static int fork_while_sending(void *unused)
{
    static const char much[16 << 10];
    const int little = 1;
    struct ends e = make_ends(UNIX);
    (void)unused;
    setsockopt(e.s->fd.number, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
    check_rc(evert_write(e.s, much, sizeof(much)), 0);
    check_rc(evert_yield(), 0); /* now it is on its way, and the peer does not read */
    inherited = e.s;
    struct child child = in_child(wait_for_the_sending, NULL);
    check_exit(&child, 0);
    evert_abort(e.s);
    close(e.peer);
    return 0;
}

/* P9, F38: what is being sent is sent once, and a child does not wait for that. */
static void test_a_child_does_not_wait_for_what_the_parent_sends(void **state)
{
    (void)state;
    check_rc(evert_run(fork_while_sending, NULL), 0);
}

/* ---- Another thread ---- */

struct elsewhere {
    evert_stream *s;
    int rc;
};

static void *read_elsewhere(void *arg)
{
    struct elsewhere *e = (struct elsewhere *)arg;
    evert_bytes bytes;
    e->rc = (int)evert_read(e->s, &bytes, 1);
    return NULL;
}

static int use_on_another_thread(void *unused)
{
    pthread_t thread;
    struct ends ends = make_ends(UNIX);
    struct elsewhere e = {.s = ends.s};
    (void)unused;
    assert_int_equal(pthread_create(&thread, NULL, read_elsewhere, &e), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    check_rc(drop_ends(ends), 0);
    return e.rc;
}

/* P8 */
static void test_a_stream_on_another_thread_is_misuse(void **state)
{
    (void)state;
    check_misuse(use_on_another_thread, EVERT_ECONTEXT, "was used on another thread");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_two_streams_behave_as_two_queues_of_bytes),
        everywhere(test_a_new_connection_has_the_usual_limits_and_no_buffers),
        everywhere(test_the_limit_of_closing_is_rounded_up_to_milliseconds),
        everywhere(test_a_cancel_that_comes_behind_the_wake_ends_accepting),
        everywhere(test_without_memory_a_connected_descriptor_is_closed),
        everywhere(test_a_child_takes_nothing_and_sends_nothing),
        cmocka_unit_test(test_a_child_does_not_wait_for_what_the_parent_sends),
        cmocka_unit_test(test_a_stream_on_another_thread_is_misuse),
    };
    return run_table(tests);
}
