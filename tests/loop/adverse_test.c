/* SPDX-License-Identifier: MIT */
/*
 * The adverse back ends themselves: that they are adverse, and fair. Where EVERT_BACKEND names none
 * of them it is the one on epoll.
 */
#include "support.h"

#include <inttypes.h>
#include <stdio.h>

enum { SEEDS = 100 };

static void begin(uint64_t seed)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, seed);
    setenv("EVERT_SEED", text, 1);
    assert_int_equal(evert_loop_new(&loop), 0);
    assert_non_null(loop->adverse);
}

static void end(void)
{
    evert_loop_free(loop);
    loop = NULL;
}

static struct receiver r;
static int peer;

static void open_pair(void)
{
    int fds[2];
    unix_pair(fds);
    receiver_init(&r, fds[0], false);
    peer = fds[1];
}

static void close_pair(void)
{
    receiver_close(&r);
    turn(0);
    assert_int_equal(r.closed, 1);
    close(peer);
}

static struct sender {
    struct evert__op op;
    struct iovec piece;
    int done;
} s;

static void sender_done(struct evert__op *op)
{
    (void)op;
    s.done++;
}

static bool start_send(const char *data, size_t size)
{
    s = (struct sender){.op = {.kind = EVERT__OP_SEND, .fd = &r.fd, .done = sender_done},
                        .piece = {(void *)(uintptr_t)data, size}};
    s.op.most = SIZE_MAX;
    s.op.send.pieces = &s.piece;
    s.op.send.count = 1;
    return evert__op_start(&s.op);
}

/* ---- What it does ---- */

/* What happened in a run, as text, so that two runs can be compared. */
static void trace_run(uint64_t seed, char *ret, size_t size)
{
    char data[3000] = {0}, buffer[3000];
    size_t used = 0;
    begin(seed);
    open_pair();
    plain_send(peer, data, sizeof(data));
    for (int i = 0; i < 30; i++) {
        ssize_t taken = evert__source_take(&r.source, buffer, sizeof(buffer));
        bool complete = start_send(data, 100);
        int count = 0;
        while (!complete && s.done == 0) {
            turn(0);
            count++;
        }
        used += (size_t)snprintf(ret + used, size - used, "%zd/%d/%zd ", taken, count, s.op.result);
        assert_true(used < size);
    }
    close_pair();
    end();
}

static void test_a_seed_gives_the_same_run_again_and_another_seed_another(void **state)
{
    char first[2000], again[sizeof(first)], others[sizeof(first)];
    int different = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        trace_run(seed, first, sizeof(first));
        trace_run(seed, again, sizeof(again));
        assert_string_equal(first, again);
        trace_run(seed + 1000, others, sizeof(others));
        different += strcmp(first, others) != 0;
    }
    assert_true(different >= 18);
}

static void test_takes_are_short_or_say_EAGAIN_though_something_is_there(void **state)
{
    int shorter = 0, whole = 0, again = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        char buffer[100] = {0};
        begin(seed);
        open_pair();
        plain_send(peer, buffer, sizeof(buffer));
        ssize_t count = evert__source_take(&r.source, buffer, sizeof(buffer));
        assert_true(count > 0 || count == -EAGAIN);
        again += count == -EAGAIN;
        shorter += count > 0 && count < 100;
        whole += count == 100;
        close_pair();
        end();
    }
    assert_true(shorter > 0 && whole > 0 && again > 0);
}

static void test_sends_are_short_or_late_or_both(void **state)
{
    int at_once = 0, late = 0, shorter = 0, whole = 0;
    bool on_ring = false; /* where none is complete at once, for so little */
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        char data[100] = {0}, got[200];
        begin(seed);
        open_pair();
        bool complete = start_send(data, sizeof(data));
        on_ring = on_uring();
        assert_int_equal(s.done, 0); /* never from inside start */
        if (!complete)
            run_until(&s.done, 1);
        turns(10);
        assert_int_equal(s.done, !complete);
        assert_in_range(s.op.result, 1, 100);
        assert_int_equal(recv(peer, got, sizeof(got), 0), s.op.result);
        at_once += complete;
        late += !complete;
        shorter += s.op.result < 100;
        whole += s.op.result == 100;
        close_pair();
        end();
    }
    assert_true((at_once > 0 || on_ring) && late > 0 && shorter > 0 && whole > 0);
}

/* F32, F51: each of the outcomes of a cancel is met; each op ends once. */
static void test_cancel_wins_loses_or_is_late(void **state)
{
    int won = 0, lost = 0, late = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        char data[100] = {0}, got[200];
        begin(seed);
        open_pair();
        if (!start_send(data, sizeof(data))) {
            bool over = evert__op_cancel(&s.op);
            if (!over)
                run_until(&s.done, 1);
            turns(10);
            assert_int_equal(s.done, !over);
            ssize_t arrived = recv(peer, got, sizeof(got), 0);
            if (over || s.op.result == -ECANCELED)
                assert_int_equal(arrived, -1); /* no effect */
            else
                assert_int_equal(arrived, s.op.result);
            won += over;
            late += !over && s.op.result == -ECANCELED;
            lost += !over && s.op.result > 0;
        }
        close_pair();
        end();
    }
    assert_true(won > 0 && lost > 0 && late > 0);
}

static void test_second_cancel_of_what_is_on_its_way_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        begin(seed);
        open_pair();
        if (!start_send("x", 1) && !evert__op_cancel(&s.op)) {
            bool over = evert__op_cancel(&s.op);
            if (!over)
                run_until(&s.done, 1);
            turns(10);
            assert_int_equal(s.done, !over);
        }
        close_pair();
        end();
    }
}

static char order[8];

static void note_order(struct evert__source *source)
{
    size_t size = strlen(order);
    order[size] = source == &r.source ? '1' : '2';
    order[size + 1] = '\0';
}

static void test_sources_tell_late_and_in_another_order(void **state)
{
    int swapped = 0, kept = 0, late = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct receiver second;
        int fds[2];
        begin(seed);
        open_pair();
        unix_pair(fds);
        receiver_init(&second, fds[0], false);
        receiver_take(&r);
        receiver_take(&second);
        r.source.ready = second.source.ready = note_order;
        turns(10); /* what had nothing to tell may have been told: armed again, below */
        order[0] = '\0';
        evert__source_disarm(&r.source);
        evert__source_disarm(&second.source);
        receiver_take(&r);
        receiver_take(&second);
        plain_send(peer, "x", 1);
        plain_send(fds[1], "x", 1);
        turn(0);
        late += order[0] == '\0';
        turns(10);
        swapped += strcmp(order, "21") == 0;
        kept += strcmp(order, "12") == 0;
        receiver_close(&second);
        close_pair();
        close(fds[1]);
        end();
    }
    assert_true(swapped > 0 && kept > 0 && late > 0);
}

/* ---- What it may not do ---- */

static void test_loop_does_not_sleep_while_something_is_delayed(void **state)
{
    evert_time before = evert__clock();
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        begin(seed);
        open_pair();
        if (!start_send("x", 1)) {
            while (s.done == 0)
                assert_int_equal(evert_loop_turn(loop, EVERT_NEVER), 0);
        }
        close_pair();
        end();
    }
    assert_true(evert__clock() - before < PATIENCE);
}

static void test_loop_sleeps_when_nothing_is_delayed(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        begin(seed);
        turns(10);
        evert_time deadline = evert_after(2 * EVERT_MILLISECOND);
        assert_int_equal(evert_loop_turn(loop, deadline), 0);
        assert_true(evert__clock() >= deadline);
        end();
    }
}

static void must_not_tell(struct evert__source *source)
{
    (void)source;
    fail();
}

/* Its memory may be gone once it was told that it is closed. */
static void free_closed(struct evert__fd *fd)
{
    struct receiver *closed = EVERT__CONTAINER(fd, struct receiver, fd);
    memset(closed, 0xee, sizeof(*closed));
    free(closed);
}

static void test_closed_descriptors_source_is_never_told(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        for (int before = 0; before < 4; before++) {
            struct receiver *closing = malloc(sizeof(*closing));
            int fds[2];
            begin(seed);
            unix_pair(fds);
            receiver_init(closing, fds[0], false);
            receiver_take(closing);
            plain_send(fds[1], "x", 1);
            turns(before);
            closing->source.ready = must_not_tell;
            evert__fd_close(&closing->fd, free_closed);
            turns(10);
            close(fds[1]);
            end();
        }
    }
}

static void test_freeing_the_loop_drops_what_is_delayed(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        int calls = 0;
        begin(seed);
        assert_int_equal(evert_loop_call_threadsafe(loop, count_up, &calls), 0);
        turns((int)seed % 4);
        end();
        assert_in_range(calls, 0, 1);
    }
}

/* ---- Chance ---- */

enum { EXCHANGED = 5000 };

static char byte_at(size_t place)
{
    return (char)(place * 11 + place / 97);
}

/* Sends a stream to the plain end, with cancels, and takes the same one back. */
static const char *exchange(uint64_t seed)
{
    uint64_t random = seed;
    size_t sent = 0, came = 0;
    char data[2000], got[2000];
    begin(seed);
    open_pair();
    r.expected = byte_at;
    receiver_take(&r);
    while (r.size < EXCHANGED) {
        size_t size = EXCHANGED - sent < sizeof(data) ? EXCHANGED - sent : sizeof(data);
        for (size_t i = 0; i < size; i++)
            data[i] = byte_at(sent + i);
        if (size > 0) {
            bool complete = start_send(data, size), over = false;
            if (!complete && random_below(&random, 3) == 0)
                over = evert__op_cancel(&s.op);
            if (!complete && !over)
                run_until(&s.done, 1);
            if (!over && s.op.result != -ECANCELED)
                sent += (size_t)s.op.result;
        }
        ssize_t count = recv(peer, got, sizeof(got), 0);
        for (ssize_t i = 0; i < count; i++) {
            if (got[i] != byte_at(came++))
                return "a wrong byte was sent";
        }
        if (count > 0)
            plain_send(peer, got, (size_t)count);
        turn(0);
    }
    close_pair();
    end();
    return r.wrong > 0 ? "a wrong byte came back" : sent == came ? NULL : "bytes were lost";
}

/* F15, F32 */
static void test_nothing_is_lost_whatever_it_does(void **state)
{
    uint64_t seed = seed_new();
    char text[24];
    (void)state;
    for (uint64_t i = 0; i < 40; i++)
        assert_held(exchange(seed + i), seed + i);
    snprintf(text, sizeof(text), "%" PRIu64, seed);
    setenv("EVERT_SEED", text, 1);
}

static char *given_seed;
static const char *back_end = "adverse";

/* Cases set the seed; each begins with what the program was given. */
static int setup(void **state)
{
    (void)state;
    setenv("EVERT_BACKEND", back_end, 1);
    if (given_seed != NULL)
        setenv("EVERT_SEED", given_seed, 1);
    else
        unsetenv("EVERT_SEED");
    return 0;
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_a_seed_gives_the_same_run_again_and_another_seed_another),
        CASE(test_takes_are_short_or_say_EAGAIN_though_something_is_there),
        CASE(test_sends_are_short_or_late_or_both),
        CASE(test_cancel_wins_loses_or_is_late),
        CASE(test_second_cancel_of_what_is_on_its_way_changes_nothing),
        CASE(test_sources_tell_late_and_in_another_order),
        CASE(test_loop_does_not_sleep_while_something_is_delayed),
        CASE(test_loop_sleeps_when_nothing_is_delayed),
        CASE(test_closed_descriptors_source_is_never_told),
        CASE(test_freeing_the_loop_drops_what_is_delayed),
        CASE(test_nothing_is_lost_whatever_it_does),
    };
    const char *seed = getenv("EVERT_SEED"), *name = getenv("EVERT_BACKEND");
    if (name != NULL && strcmp(name, "adverse-uring") == 0)
        back_end = "adverse-uring";
    given_seed = seed != NULL ? strdup(seed) : NULL;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(given_seed);
    return failed;
}
