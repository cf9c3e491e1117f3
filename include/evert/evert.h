/* SPDX-License-Identifier: MIT */
/*
 * All of Evert. A program may include this, or just the headers that it needs.
 */
#ifndef EVERT_EVERT_H
#define EVERT_EVERT_H

#include <evert/base/alloc.h>
#include <evert/base/bytes.h>
#include <evert/base/error.h>
#include <evert/base/log.h>
#include <evert/base/time.h>
#include <evert/coro/await.h>
#include <evert/coro/coro.h>
#include <evert/coro/file.h>
#include <evert/coro/run.h>
#include <evert/coro/scope.h>
#include <evert/coro/task.h>
#include <evert/deferred/deferred.h>
#include <evert/loop/loop.h>
#include <evert/stream/line_receiver.h>
#include <evert/stream/listener.h>
#include <evert/stream/protocol.h>
#include <evert/stream/stream.h>
#include <evert/stream/transfer.h>
#include <evert/stream/transport.h>

#endif
