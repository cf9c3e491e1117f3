/* SPDX-License-Identifier: MIT */
/*
 * Field reports about connecting that is cancelled: it is told once and that was it (BR-007), and
 * whoever gets its descriptor's number next notices nothing (BR-011).
 */
#include <evert/deferred/deferred.h>

#include "reports.h"

/* What a Deferred came to. */
struct outcome {
    int values, errors, error;
    int descriptors; /* how many were open when it was told */
};

static evert_result note_outcome(evert_result *in, void *arg)
{
    struct outcome *o = arg;
    o->values += in->error == 0;
    o->errors += in->error < 0;
    o->error = in->error;
    o->descriptors = open_descriptors();
    return evert_ok(NULL);
}

static evert_deferred *connect_hearer(struct hearer *h, const char *address, struct outcome *o)
{
    evert_deferred *d;
    *o = (struct outcome){0};
    *h = new_hearer();
    check_rc(evert_connect_protocol(&d, self()->loop, address, &h->protocol), 0);
    check_rc(evert_deferred_add_both(d, note_outcome, o), 0);
    return d;
}

/*
 * The descriptor is closed by the time the cancel is told, where it can be: a Deferred is told
 * while it is being cancelled, and a system that is still at work on a socket (which the adverse
 * back end plays) gives it back some turns later.
 */
static void check_closed(const struct outcome *o, int before)
{
    if (!is_late())
        assert_int_equal(o->descriptors, before);
    wait_until(open_descriptors() == before);
}

/* ---- BR-007: cancelled once or twice, told once ---- */

/* BR-007: the attempt's own limit passes afterwards, and nobody hears of it. */
static void test_a_cancelled_attempt_is_told_once(void **state)
{
    struct silence silence = silence_open();
    int before = open_descriptors();
    (void)state;
    start_logging();
    for (int i = 0; i < 8; i++) {
        struct hearer h = new_hearer();
        struct outcome o = {0};
        evert_deferred *d;
        evert_time limit = evert_after(5 * MS);
        check_rc(evert_connect_protocol(&d, self()->loop, silence.address, &h.protocol), 0);
        check_rc(evert_deferred_timeout(d, self()->loop, limit), 0);
        check_rc(evert_deferred_add_both(d, note_outcome, &o), 0);
        turns(i / 2);
        if (evert_deferred_has_fired(d)) { /* a machine that is slow: the limit came first */
            check_rc(o.error, -ETIMEDOUT);
        } else {
            evert_deferred_cancel(d);
            check_rc(o.error, -ECANCELED);
        }
        assert_int_equal(o.errors, 1);
        check_closed(&o, before);
        if (i % 2)
            evert_deferred_cancel(d);
        check_rc(evert_sleep_until(limit + MS), 0);
        turns(10);
        assert_int_equal(o.errors, 1);
        assert_int_equal(o.values, 0);
        assert_int_equal(h.made + h.lost, 0);
        evert_deferred_free(d);
    }
    stop_logging();
    assert_int_equal(logged.count, 0);
    silence_close(&silence);
}

/* BR-007: whoever would have fired it may do so once more; a second time is a mistake. */
static void test_after_the_cancel_one_firing_is_ignored(void **state)
{
    struct silence silence = silence_open();
    int before = open_descriptors();
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct hearer h;
        struct outcome o;
        evert_deferred *d = connect_hearer(&h, silence.address, &o);
        turns(i);
        evert_deferred_cancel(d);
        check_rc(o.error, -ECANCELED);
        wait_until(open_descriptors() == before);
        turns(3);
        check_rc(i % 2 ? evert_deferred_errback(d, -ETIMEDOUT)
                       : evert_deferred_callback(d, &h, NULL),
                 0);
        check_rc(evert_deferred_callback(d, &h, NULL), EVERT_EALREADY);
        assert_int_equal(o.errors, 1);
        assert_int_equal(o.values, 0);
        evert_deferred_free(d);
    }
    silence_close(&silence);
}

/* BR-007: freed while it hangs, it is cancelled too, and its callbacks are not called. */
static void test_an_attempt_that_is_freed_is_not_told(void **state)
{
    struct silence silence = silence_open();
    int before = open_descriptors();
    (void)state;
    start_logging();
    for (int i = 0; i < 4; i++) {
        struct hearer h;
        struct outcome o;
        evert_deferred *d = connect_hearer(&h, silence.address, &o);
        turns(i);
        evert_deferred_free(d);
        wait_until(open_descriptors() == before);
        turns(5);
        assert_int_equal(o.errors + o.values + h.made + h.lost, 0);
    }
    stop_logging();
    assert_int_equal(logged.count, 0);
    silence_close(&silence);
}

struct attempt {
    const char *address;
    evert_stream *s;
    int rc, descriptors;
};

static int try_to_connect(void *arg)
{
    struct attempt *a = arg;
    a->rc = evert_connect(&a->s, a->address);
    a->descriptors = open_descriptors();
    return a->rc;
}

/* BR-007: a task, whose scope is cancelled twice, is always told when all is closed. */
static void test_a_cancelled_connect_returns_once_with_its_descriptor_closed(void **state)
{
    struct silence silence = silence_open();
    int before = open_descriptors();
    (void)state;
    start_logging();
    for (int i = 0; i < 8; i++) {
        struct attempt a = {.address = silence.address};
        evert_scope scope;
        evert_scope_enter(&scope, EVERT_NEVER);
        check_rc(evert_spawn(&scope, try_to_connect, &a), 0);
        turns(1 + i);
        evert_scope_cancel(&scope);
        turns(i % 2);
        evert_scope_cancel(&scope);
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(a.rc, -ECANCELED);
        assert_int_equal(a.descriptors, before);
        assert_null(a.s);
        turns(5);
        assert_int_equal(open_descriptors(), before);
    }
    stop_logging();
    assert_int_equal(logged.count, 0);
    silence_close(&silence);
}

/* ---- BR-011: the number of a cancelled attempt comes again ---- */

enum { TIMES = 1000 };

static int echo_back(struct hearer *h, evert_bytes data)
{
    return evert_transport_put(h->protocol.transport, data);
}

static evert_protocol *build_echo(evert_factory *factory)
{
    evert_protocol *protocol = evert_build_protocol(factory);
    struct hearer *h = EVERT__CONTAINER(protocol, struct hearer, protocol);
    h->hear = echo_back;
    return protocol;
}

/* The number that a descriptor opened now would get. */
static int next_number(void)
{
    int number = dup(0);
    assert_true(number >= 0);
    close(number);
    return number;
}

static int note_answer(struct hearer *h, evert_bytes data)
{
    (void)h;
    check_bytes(data, "x");
    return 0;
}

/* One byte to the echo and back, by who connected in the same turn. */
static void exchange(struct hearer *h, evert_deferred *d, const struct outcome *o)
{
    wait_until(o->values + o->errors == 1);
    check_rc(o->error, 0);
    h->hear = note_answer;
    check_rc(evert_transport_puts(h->protocol.transport, "x"), 0);
    wait_until(h->size == 1);
    evert_transport_abort_connection(h->protocol.transport);
    check_rc(hear_loss(h), -ECONNABORTED);
    evert_deferred_free(d);
}

/* BR-011 */
static void test_after_a_cancel_the_next_connection_works(void **state)
{
    static evert_factory factory = {build_echo, &hearer_ops};
    struct silence silence = silence_open();
    evert_listener *listener;
    (void)state;
    check_rc(evert_listen_protocol(&listener, self()->loop, "tcp://127.0.0.1:0", &factory), 0);
    int before = open_descriptors();
    for (int i = 0; i < TIMES; i++) {
        struct hearer hanging, h;
        struct outcome hung, o;
        evert_deferred *d = connect_hearer(&hanging, silence.address, &hung);
        turns(i % 4);
        int number = next_number();
        evert_deferred_cancel(d);
        check_rc(hung.error, -ECANCELED);
        if (!is_late())
            assert_true(next_number() < number); /* it was given back, and comes again */
        exchange(&h, connect_hearer(&h, evert_listener_address(listener), &o), &o);
        assert_int_equal(hung.errors, 1);
        assert_int_equal(hung.values + hanging.made + hanging.lost, 0);
        evert_deferred_free(d);
        wait_until(open_descriptors() == before);
    }
    evert_listener_close(listener);
    silence_close(&silence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_cancelled_attempt_is_told_once),
        everywhere(test_after_the_cancel_one_firing_is_ignored),
        everywhere(test_an_attempt_that_is_freed_is_not_told),
        everywhere(test_a_cancelled_connect_returns_once_with_its_descriptor_closed),
        everywhere(test_after_a_cancel_the_next_connection_works),
    };
    return run_table(tests);
}
