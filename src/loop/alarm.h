/* SPDX-License-Identifier: MIT */
/*
 * A clock of the kernel's that ends a wait (timerfd_create(2)). A limit to a wait has the kernel
 * set a timer and take it back each time, which is a sixteenth of what a request costs. So where
 * waits end again and again before any timer is due, as in a busy server, the alarm is set for the
 * first timer, and they have no limit. It may ring too early: a timer that is put off with each
 * request has it set anew only then.
 */
#ifndef EVERT_SRC_LOOP_ALARM_H
#define EVERT_SRC_LOOP_ALARM_H

#include <stdbool.h>

#include "loop/op.h"

struct evert__alarm {
    evert_time when; /* when it will ring; EVERT_NEVER: it is not set */
    unsigned waits;  /* with a limit, since a timer was due, or it was set */
    bool heard;      /* the back end listens to it */
    bool off;        /* there is none to be had */
    struct evert__fd fd;
    struct evert__source source;
};

void evert__alarm_init(evert_loop *loop);

/* Whether it is worth more than a limit to this wait; then it has been set. */
bool evert__alarm_is_better(evert_loop *loop, evert_time when);

/* Before the loop's back end ends, and behind it. */
void evert__alarm_stop(evert_loop *loop);
void evert__alarm_fini(evert_loop *loop);

#endif
