/* SPDX-License-Identifier: MIT */
#include "stream/face.h"

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"

enum {
    SHARE = 1 << 18,     /* of input in one step, until the others get their turn */
    TAKES = 4,           /* each counts as a part of the share, also where it gave little */
    LEAST_TAKE = 2048,   /* room that a take should have behind what was left */
    MOST_LEFT = 1 << 20, /* input that a protocol may leave unconsumed */
};

EVERT__HOT static void run_step(struct evert__ready *ready)
{
    evert__transport_step(EVERT__CONTAINER(ready, evert_stream, step));
}

/* The run, or the loop, comes to its end. */
static void leave_loop(struct evert__ready *ready)
{
    evert_stream *s = EVERT__CONTAINER(ready, evert_stream, farewell);
    evert__transport_end(s, EVERT__BY_FAREWELL, 0);
}

EVERT__HOT void evert__transport_attach(evert_stream *s, evert_protocol *protocol)
{
    s->protocol = protocol;
    protocol->transport = (evert_transport *)s;
    s->step.run = run_step;
    s->made = s->paused = s->above = s->losing = s->eof_told = false;
    s->leaves = protocol->ops->input_received != NULL;
    s->offer = true;
    s->farewell.run = leave_loop;
    evert__list_append(&s->loop->transports, &s->farewell.link);
    evert__connection_hold(s);
}

EVERT__HOT static evert_protocol *detach(evert_stream *s)
{
    evert_protocol *protocol = s->protocol;
    protocol->transport = NULL;
    s->protocol = NULL;
    s->made = false;
    evert__link_remove(&s->step.link);
    s->step.run = evert__take_for_reader;
    return protocol;
}

/* The end of it all. Afterwards neither the connection nor the protocol is touched again. */
EVERT__HOT static void tell_lost(evert_stream *s)
{
    int reason = s->reason < 0 ? s->reason : s->write_error;
    evert_protocol *protocol = detach(s);
    bool built = protocol->built;

    evert__connection_release(s);
    if (protocol->ops->connection_lost != NULL)
        protocol->ops->connection_lost(protocol, reason);
    if (built && protocol->transport == NULL) /* else it took another connection */
        evert__free(protocol);
}

void evert__transport_forget(evert_stream *s)
{
    if (s->protocol == NULL)
        return;
    (void)detach(s);
    evert__link_remove(&s->farewell.link);
    s->users--; /* what attaching held; its caller has it still */
}

EVERT__HOT void evert__transport_closed(evert_stream *s)
{
    if (s->loop->running) {
        s->loop->busy++; /* a run does not end before it is told */
        evert__ready_push(s->loop, &s->step);
    } else {
        tell_lost(s); /* the loop is being freed: there is no later turn */
    }
}

EVERT__HOT void evert__transport_end(evert_stream *s, enum evert__ending_by by, int reason)
{
    evert_producer *producer = s->producer;
    s->producer = NULL;
    s->losing = false;
    if (reason < 0)
        s->reason = reason;
    if (by != EVERT__BY_FAREWELL)
        evert__close_now(s, by == EVERT__BY_RESET);
    else if (s->closing == EVERT__OPEN)
        evert__close_begin(s);
    evert__producer_stop(producer);
}

/*
 * A function of the protocol returned an error, which ends its connection and no other; also where
 * it has begun to close that by itself.
 */
static void failed(evert_stream *s, const char *what, int error, enum evert__ending_by by)
{
    evert__log(EVERT_LOG_WARNING, "%s on the connection with %s: %s", what, evert_peer_address(s),
               evert_strerror(error));
    evert__transport_end(s, by, s->reason == 0 ? error : 0);
}

EVERT__HOT void evert__transport_make(evert_stream *s)
{
    evert_protocol *protocol = s->protocol;
    s->made = true;
    if (protocol->ops->connection_made == NULL)
        return;
    int rc = protocol->ops->connection_made(protocol);
    if (rc < 0 && s->protocol == protocol && s->made)
        failed(s, "connection_made", rc, EVERT__BY_RESET);
}

/* Gives the protocol what there is. */
static void give(evert_stream *s)
{
    evert_protocol *protocol = s->protocol;
    const evert_protocol_ops *ops = protocol->ops;
    struct evert__input given = s->in;
    evert_bytes input = {given.data + given.start, evert__input_size(&given)};
    int rc = 0;

    s->offer = false;
    s->in_call = true;
    if (ops->input_received != NULL) {
        rc = ops->input_received(protocol, input);
    } else {
        s->in.start = s->in.end;
        if (ops->data_received != NULL)
            rc = ops->data_received(protocol, input);
    }
    if (!s->in_call)
        evert__input_free_memory(s->loop, &given); /* it was left to this call */
    s->in_call = false;
    if (s->closing != EVERT__OPEN)
        evert__input_fini(s);
    if (rc < 0 && s->protocol == protocol && s->made)
        failed(s, "data_received", rc, EVERT__BY_FAREWELL);
    else if (evert__transport_reads(s, protocol) && !s->offer &&
             evert__input_size(&s->in) > MOST_LEFT)
        evert__transport_end(s, EVERT__BY_CLOSE, EVERT_ELIMIT);
}

/* The peer has ended its side. */
static void give_end(evert_stream *s)
{
    evert_protocol *protocol = s->protocol;
    int rc = 0;
    if (s->eof_told)
        return;
    s->eof_told = true;
    if (protocol->ops->eof_received != NULL)
        rc = protocol->ops->eof_received(protocol);
    if (rc < 0 && s->protocol == protocol && s->made)
        failed(s, "eof_received", rc, EVERT__BY_FAREWELL);
    else if (evert__transport_is(s, protocol) &&
             (rc != EVERT_KEEP_OPEN || (s->eof_sent && !s->eof_due)))
        evert_transport_lose_connection(protocol->transport);
}

/*
 * Room for a take. It goes to the large buffer, which all share, so that one call empties a socket
 * also of much; without memory for that, or behind something that was left, to as much as there is.
 */
static int make_room(evert_stream *s)
{
    size_t used = evert__input_size(&s->in), size = used + LEAST_TAKE;
    bool was_full = s->in.data != NULL && s->in.end == s->in.capacity;
    if (s->in.data == NULL && evert__input_get_large(s) == 0)
        return 0;
    return evert__input_reserve(s, was_full && size < EVERT__LARGE ? EVERT__LARGE : size);
}

/* Takes once. Positive: there is more; 0: the end; -EAGAIN: it waits for more; or an error. */
static ssize_t take(evert_stream *s)
{
    int rc = make_room(s);
    if (rc < 0)
        return rc;
    ssize_t count = evert__input_fill(s, s->leaves ? EVERT__AHEAD : SIZE_MAX); /* it may pause */
    if (count > 0)
        s->offer = true;
    return count;
}

/* A protocol need not look at the reason of its loss; who runs the program has to know of this. */
static void cut_off(evert_stream *s, int error)
{
    if (error == -ENOMEM && evert__loop_may_tell(s->loop, &s->loop->memory_told))
        evert__log(EVERT_LOG_WARNING, "no memory to read from a peer: it is cut off");
    evert__transport_end(s, EVERT__BY_CLOSE, error);
}

/* Gives input until there is none, the protocol wants none, or others have to get their turn. */
static void deliver(evert_stream *s)
{
    const evert_protocol *protocol = s->protocol;
    ssize_t count = 1;
    for (size_t taken = 0; evert__transport_reads(s, protocol);) {
        if (s->offer && evert__input_size(&s->in) > 0) {
            give(s);
            if (evert__link_used(&s->step.link))
                break; /* the rest waits for that step */
            continue;
        }
        if (taken >= SHARE) {
            evert__ready_push(s->loop, &s->step);
            break;
        }
        count = evert__source_may_have(&s->source) ? take(s) : -EAGAIN;
        taken += count > SHARE / TAKES ? (size_t)count : SHARE / TAKES;
        if (count > 0)
            continue;
        evert__input_release(s);
        if (count == -EAGAIN && evert__input_arm(s))
            continue;
        break;
    }
    if (s->protocol != NULL) /* else a task that began in a call may look at a line of it */
        evert__input_shrink(s);
    if (!evert__transport_reads(s, protocol) || count == -EAGAIN)
        return;
    if (count < 0)
        cut_off(s, (int)count);
    else if (count == 0 && s->write_error == 0) /* else the error was told, as an end follows it */
        give_end(s);
}

/* What was sent lets the protocol, or its producer, write again. */
static void tell_writing(evert_stream *s)
{
    evert_protocol *protocol = s->protocol;
    if (s->write_error < 0)
        return; /* nothing can be written any more; soon the loss is told */
    if (s->out.queued > s->high && !s->above) /* it was so when the protocol came */
        evert__transport_too_much(s);
    if (evert__transport_is(s, protocol) && s->above && s->out.queued <= s->low) {
        s->above = false;
        if (protocol->ops->resume_writing != NULL)
            protocol->ops->resume_writing(protocol);
        if (evert__transport_is(s, protocol) && s->producer != NULL && !s->above &&
            s->producer->ops->pause_producing != NULL)
            s->producer->ops->resume_producing(s->producer);
    }
    if (evert__transport_is(s, protocol))
        evert__producer_step(s);
    /* Both sides have ended. */
    if (evert__transport_is(s, protocol) && s->eof_told && s->eof_sent && !s->eof_due)
        evert_transport_lose_connection(protocol->transport);
}

EVERT__HOT void evert__transport_step(evert_stream *s)
{
    const evert_protocol *protocol = s->protocol;
    if (s->closing == EVERT__CLOSED) {
        s->loop->busy--;
        tell_lost(s);
        return;
    }
    evert__connection_hold(s);
    evert__link_remove(&s->step.link);
    if (!s->made && s->closing == EVERT__OPEN)
        evert__transport_make(s);
    if (evert__transport_is(s, protocol))
        tell_writing(s);
    if (evert__transport_reads(s, protocol))
        deliver(s);
    /* With the step due again there may be more to deliver before this is told. */
    if (evert__transport_is(s, protocol) && s->write_error < 0 && !evert__link_used(&s->step.link))
        evert__transport_end(s, EVERT__BY_CLOSE, s->write_error);
    evert__connection_release(s);
}

void evert__transport_again(evert_stream *s)
{
    s->offer = true;
    evert__ready_push(s->loop, &s->step);
}

EVERT__HOT void evert__transport_sent(evert_stream *s)
{
    if (s->out.queued == 0)
        s->hungry = true;
    if ((s->above && s->out.queued <= s->low) ||
        (s->out.queued == 0 && (s->producer != NULL || s->eof_due)))
        evert__ready_push(s->loop, &s->step);
}

evert_stream *evert_transport_stream(evert_transport *transport)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL || s->closing != EVERT__OPEN || s->losing)
        return NULL;
    evert_producer *producer = s->producer;
    s->producer = NULL;
    evert__source_disarm(&s->source);
    evert__transport_forget(s);
    evert__producer_stop(producer);
    return s;
}

int evert_stream_transport(evert_stream *s, evert_protocol *protocol)
{
    if (evert__loop_forked(s->loop) || s->closing != EVERT__OPEN)
        return EVERT_ECLOSED;
    if (s->reader != NULL || s->writer != NULL)
        return -EBUSY;
    if (protocol->transport != NULL)
        return EVERT_EALREADY;
    evert__end_view(s);
    s->served = false;
    s->dropping = false;
    evert__transport_attach(s, protocol);
    evert__ready_push(s->loop, &s->step);
    return 0;
}
