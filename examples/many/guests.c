/* SPDX-License-Identifier: MIT */
/*
 * Two guests of the chat, in callbacks: Bob comes by the Unix socket, then Ann by TCP; she asks, he
 * answers, and both go. Each step is a callback of one Deferred, and waits for what is heard next.
 */
#include "many.h"

static int line_received(evert_line_receiver *lines, evert_bytes line)
{
    struct guest *guest = (struct guest *)lines;
    evert_deferred *heard = guest->heard;
    if (heard == NULL || !evert_bytes_equal(line, evert_bytes_of(guest->expected)))
        return 0; /* others may be in the room, too */
    guest->heard = NULL;
    evert_deferred_callback(heard, NULL, NULL);
    return 0;
}

static void connection_lost(evert_line_receiver *lines, int reason)
{
    struct guest *guest = (struct guest *)lines;
    evert_deferred *heard = guest->heard;
    guest->heard = NULL;
    if (heard != NULL)
        evert_deferred_errback(heard, reason < 0 ? reason : EVERT_EOF);
}

static void give_up(evert_deferred *heard, void *guest)
{
    (void)heard;
    ((struct guest *)guest)->heard = NULL;
}

static void guest_init(struct guest *guest)
{
    static const evert_line_receiver_ops ops = {
        .line_received = line_received,
        .connection_lost = connection_lost,
    };
    evert_line_receiver_init(&guest->lines, &ops);
    guest->heard = NULL;
}

static evert_result come(struct meeting *m, const char *address, struct guest *guest)
{
    evert_deferred *connected;
    int rc = evert_connect_protocol(&connected, m->loop, address, &guest->lines.protocol);
    return rc < 0 ? evert_fail(rc) : evert_wait_for(connected);
}

/* One says a line, and another hears one. */
static evert_result talk(struct guest *speaker, const char *words, struct guest *listener,
                         const char *expected)
{
    int rc = evert_deferred_new(&listener->heard);
    if (rc < 0)
        return evert_fail(rc);
    evert_deferred_set_canceller(listener->heard, give_up, listener);
    listener->expected = expected;
    evert_transport_printf(speaker->lines.protocol.transport, "%s\r\n", words);
    return evert_wait_for(listener->heard);
}

static evert_result bob_comes(evert_result *in, void *meeting)
{
    struct meeting *m = meeting;
    (void)in;
    return come(m, m->unix_address, &m->bob);
}

static evert_result bob_joins(evert_result *in, void *meeting)
{
    struct meeting *m = meeting;
    (void)in;
    return talk(&m->bob, "Bob", &m->bob, "Bob joins");
}

static evert_result ann_comes(evert_result *in, void *meeting)
{
    struct meeting *m = meeting;
    (void)in;
    m->heard++;
    return come(m, m->tcp_address, &m->ann);
}

static evert_result ann_joins(evert_result *in, void *meeting)
{
    struct meeting *m = meeting;
    (void)in;
    return talk(&m->ann, "Ann", &m->bob, "Ann joins");
}

static evert_result ann_asks(evert_result *in, void *meeting)
{
    struct meeting *m = meeting;
    (void)in;
    m->heard++;
    return talk(&m->ann, "is anybody here?", &m->bob, "Ann: is anybody here?");
}

static evert_result bob_answers(evert_result *in, void *meeting)
{
    struct meeting *m = meeting;
    (void)in;
    m->heard++;
    return talk(&m->bob, "I am", &m->ann, "Bob: I am");
}

/* The end, good or bad. */
static evert_result part(evert_result *in, void *meeting)
{
    struct meeting *m = meeting;
    m->heard += in->error == 0;
    evert_transport_lose_connection(m->ann.lines.protocol.transport);
    evert_transport_lose_connection(m->bob.lines.protocol.transport);
    return *in;
}

int meet(struct meeting *m, evert_deferred **ret)
{
    evert_deferred_fn *const steps[] = {bob_comes, bob_joins, ann_comes,
                                        ann_joins, ann_asks,  bob_answers};
    evert_deferred *d;
    int rc = evert_deferred_new(&d);
    if (rc < 0)
        return rc;
    guest_init(&m->ann);
    guest_init(&m->bob);
    m->heard = 0;
    evert_deferred_callback(d, NULL, NULL); /* so the first step is taken at once */
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && rc == 0; i++)
        rc = evert_deferred_add_callback(d, steps[i], m);
    if (rc == 0)
        rc = evert_deferred_add_both(d, part, m);
    if (rc < 0) {
        evert_deferred_free(d);
        return rc;
    }
    *ret = d;
    return 0;
}
