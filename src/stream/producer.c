/* SPDX-License-Identifier: MIT */
/* Producers: what writes much, and is told when it may. */
#include "base/flat.h"
#include "base/time.h"
#include "stream/face.h"

static bool is_pulled(const evert_producer *producer)
{
    return producer->ops->pause_producing == NULL;
}

/* A close that waited for the producer has waited long enough. */
static void waited_too_long(struct evert__ready *ready)
{
    evert_stream *s = EVERT__CONTAINER(ready, evert_stream, timer.ready);
    evert__transport_end(s, EVERT__BY_FAREWELL, 0);
}

EVERT__HOT void evert_transport_lose_connection(evert_transport *transport)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL || s->closing != EVERT__OPEN || s->losing)
        return;
    if (s->producer == NULL || s->write_error < 0) {
        evert__transport_end(s, EVERT__BY_FAREWELL, 0);
        return;
    }
    s->losing = true;
    s->open = 0;
    s->timer.ready.run = waited_too_long;
    evert__timer_set(s->loop, &s->timer, evert__close_limit(s));
}

int evert_transport_register_producer(evert_transport *transport, evert_producer *producer)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL || s->closing != EVERT__OPEN || s->losing) {
        evert__producer_stop(producer);
        return 0;
    }
    if (s->producer != NULL)
        return EVERT_EALREADY;
    s->producer = producer;
    s->hungry = s->out.queued == 0;
    if (is_pulled(producer))
        evert__ready_push(s->loop, &s->step);
    else if (s->above)
        producer->ops->pause_producing(producer);
    return 0;
}

void evert_transport_unregister_producer(evert_transport *transport)
{
    evert_stream *s = evert__stream_of(transport);
    if (s == NULL || s->producer == NULL)
        return;
    s->producer = NULL;
    if (s->losing)
        evert__transport_end(s, EVERT__BY_FAREWELL, 0);
}

EVERT__HOT void evert__producer_stop(evert_producer *producer)
{
    if (producer != NULL && producer->ops->stop_producing != NULL)
        producer->ops->stop_producing(producer);
}

EVERT__HOT void evert__producer_step(evert_stream *s)
{
    if (s->producer == NULL || !is_pulled(s->producer) || !s->hungry || s->out.queued > 0 ||
        s->write_error < 0)
        return;
    s->hungry = false; /* once, until something more was sent: it may write later */
    s->producer->ops->resume_producing(s->producer);
}
