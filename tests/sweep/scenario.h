/* SPDX-License-Identifier: MIT */
/*
 * A scenario: a whole program, client and server in one process, that uses the public headers only.
 * It is run many times, each time with something else going wrong, and has to end by itself,
 * whatever that is: with 0, or with the error that it met. It frees all that it made. The runner
 * (runner.h) looks for leaks; the scenario sees to it that bytes are the right ones.
 */
#ifndef EVERT_TESTS_SWEEP_SCENARIO_H
#define EVERT_TESTS_SWEEP_SCENARIO_H

#include <evert/evert.h>

#include <stdbool.h>
#include <stddef.h>

struct scenario {
    const char *name;
    int (*run)(void); /* on a thread of its own, so that the thread's own loop ends with it */
    int may_be;       /* an error that only this one may come to, or 0 */
    bool slow;        /* takes so long that fewer samples of it are taken */
    bool no_advice;   /* the kernel refuses each madvise(2), as an older one does */
    bool is_unix;     /* all its sockets are Unix ones, of which a read may be short at any time */
};

extern const struct scenario *const scenarios[];
extern const size_t scenario_count;

/* Fails the run, with these words, unless it holds. The run goes on, and has to end. */
#define CHECK(condition) check_at((condition), #condition, __FILE__, __LINE__)
void check_at(bool holds, const char *words, const char *file, int line);
bool all_checks_held(void);

/* Of two results the first that is an error. */
static inline int first_error(int rc, int other)
{
    return rc < 0 ? rc : other < 0 ? other : 0;
}

/* For all streams and transports, so that no fault makes a run long; nor is a busy machine one. */
#define CLOSE_LIMIT (400 * EVERT_MILLISECOND)

#define ANY_PORT "tcp://127.0.0.1:0"

enum { ADDRESS_SIZE = 160 };

/*
 * A flow: bytes that one side is to send and another to receive, each known by its place, so that
 * none can be missing, double, or another's.
 */
struct flow {
    size_t size;    /* of all of it */
    size_t offered; /* to a write, whatever that said */
    size_t arrived;
    bool sent_all, end_arrived; /* all was accepted, and then the end; the end was seen */
};

/* The next bytes to offer, at most `most`, and of them no more than are left. */
evert_bytes flow_next(struct flow *flow, size_t most);

/* These have arrived: they are checked. */
void flow_arrived(struct flow *flow, evert_bytes bytes);

/* Nothing more will happen. What was sent whole, and seen to its end, has arrived whole. */
void flow_over(const struct flow *flow);

/* Writes all that is left, in pieces, and then the end; reads to the end, at most `most` at once.
 */
int flow_write(struct flow *flow, evert_stream *stream, size_t piece);
int flow_read(struct flow *flow, evert_stream *stream, size_t most);

/*
 * Listens on `address`, serves there in a task, runs `body` meanwhile, and ends the server. `body`
 * is given the address with its port.
 */
int with_server(const char *address, evert_handler *handler, void *arg,
                int (*body)(const char *address, void *arg), void *body_arg);

/*
 * A handler: sends back what comes, to its end. Counts in `*failures`, an unsigned, how often that
 * failed: then what the client hears may end too early.
 */
int echo(evert_stream *stream, void *failures);

#endif
