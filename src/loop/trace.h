/* SPDX-License-Identifier: MIT */
/*
 * Where another thread is: it is sent a signal, SIGURG, which no program needs and which does
 * nothing by default, so one that comes late does no harm. Its handler notes the return addresses
 * in memory that is there already.
 */
#ifndef EVERT_SRC_LOOP_TRACE_H
#define EVERT_SRC_LOOP_TRACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

enum { EVERT__FRAMES = 40, EVERT__FRAME_WORDS = 160 };

struct evert__trace {
    atomic_bool wanted, there;
    void *frames[EVERT__FRAMES]; /* from the innermost on */
    int count;
};

/* Takes the signal, for as long as there is a user. */
int evert__trace_init(void);
void evert__trace_fini(void);

/* Asks for the trace of a thread that runs a watched loop; `there` when it has come. */
void evert__trace_ask(struct evert__trace *trace, pthread_t thread);

/* An address in words: "function+0x1f (program+0x123f)", or the second of these alone. */
const char *evert__trace_words(const void *address, char words[EVERT__FRAME_WORDS]);

#endif
