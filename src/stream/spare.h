/* SPDX-License-Identifier: MIT */
/*
 * Memory of connections that ended, which each loop keeps for those to come: a turn may end and
 * begin dozens, and malloc(3) has only a few of a size at hand.
 */
#ifndef EVERT_SRC_STREAM_SPARE_H
#define EVERT_SRC_STREAM_SPARE_H

#include "stream/connection.h"

/* Memory for one, not cleared, or NULL. */
evert_stream *evert__spare_get(const evert_loop *loop);
void evert__spare_put(evert_loop *loop, evert_stream *stream);

#endif
