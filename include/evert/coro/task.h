/* SPDX-License-Identifier: MIT */
/*
 * Tasks: coroutines that run, each in the scope it was spawned into (scope.h). These are the calls
 * that a task makes about itself and about others.
 */
#ifndef EVERT_CORO_TASK_H
#define EVERT_CORO_TASK_H

#include <evert/base/time.h>
#include <evert/coro/scope.h>

EVERT_BEGIN

/*
 * Waits for `span` nanoseconds; other tasks run meanwhile. 0 or less just lets the others run.
 * Returns 0, or -ECANCELED, or EVERT_ECONTEXT in a callback.
 */
EVERT_API int evert_sleep(evert_time span);

/* Waits until `when` has come; else as evert_sleep(). */
EVERT_API int evert_sleep_until(evert_time when);

/* Lets everything else that is ready run first. Results as of evert_sleep(). */
EVERT_API int evert_yield(void);

/*
 * Waits for a task to end and returns its result, negative if it failed. The handle is used up. A
 * cancelled join returns -ECANCELED and leaves the handle as it was.
 */
EVERT_API EVERT_CHECK int evert_task_join(evert_task *task);

/*
 * Cancels one task and all that it spawned, as if a scope around it had been cancelled. Its scope
 * takes its -ECANCELED for an end, not for a failure. Without effect on a task that has ended.
 */
EVERT_API void evert_task_cancel(evert_task *task);

/* The task's name: by default that of the function it runs. Borrowed. */
EVERT_API const char *evert_task_name(const evert_task *task);

/*
 * Says in words what the last failure in this task was, if its code is `rc`: "connect
 * tcp://localhost:9999: Connection refused". Otherwise what evert_strerror() says. The text is
 * borrowed until the next failure in this task. A failure in a task is handed to the task that
 * leaves its scope.
 */
EVERT_API const char *evert_describe(int rc);

EVERT_END

#endif
