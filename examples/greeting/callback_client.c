/* SPDX-License-Identifier: MIT */
/* Asks for a greeting for each name, all at once, in callbacks: Deferreds and a protocol. */
#include <evert/evert.h>

#include <stdio.h>
#include <stdlib.h>

#include "asker.h"

struct program {
    evert_loop *loop;
    const char *address;
    struct asker *askers;
    size_t count, waiting;
    int error;
};

/* Connected: what the chain goes on with is the answer. */
static evert_result ask(evert_result *in, void *unused)
{
    evert_deferred *answer;
    int rc = asker_ask(in->value, &answer);
    (void)unused;
    return rc < 0 ? evert_fail(rc) : evert_wait_for(answer);
}

/* The end of each chain, good or bad. */
static evert_result done(evert_result *in, void *arg)
{
    struct program *p = arg;
    if (p->error == 0)
        p->error = in->error;
    if (--p->waiting == 0)
        evert_loop_stop(p->loop);
    return evert_ok(NULL);
}

static int get_greeting(struct program *p, struct asker *asker)
{
    evert_deferred *d;
    int rc = evert_connect_protocol(&d, p->loop, p->address, &asker->lines.protocol);
    if (rc < 0)
        return rc;
    p->waiting++;
    evert_deferred_add_callback(d, ask, NULL);
    rc = evert_deferred_timeout(d, p->loop, evert_after(10 * EVERT_SECOND));
    evert_deferred_add_both(d, done, p);
    evert_deferred_release(d);
    return rc;
}

static int run(struct program *p)
{
    int rc = 0;
    for (size_t i = 0; i < p->count && rc == 0; i++)
        rc = get_greeting(p, &p->askers[i]);
    if (rc == 0)
        rc = evert_loop_run(p->loop);
    evert_loop_free(p->loop); /* also what is still on its way */
    return rc < 0 ? rc : p->error;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s ADDRESS NAME...\n", argv[0]);
        return 1;
    }
    struct program p = {.address = argv[1], .count = (size_t)argc - 2};
    p.askers = calloc(p.count, sizeof(*p.askers));
    int rc = p.askers != NULL ? evert_loop_new(&p.loop) : -ENOMEM;
    for (size_t i = 0; i < p.count && rc == 0; i++)
        asker_init(&p.askers[i], argv[2 + i]);
    if (rc == 0)
        rc = run(&p);
    for (size_t i = 0; i < p.count && rc == 0; i++)
        puts(p.askers[i].greeting);
    if (rc < 0)
        fprintf(stderr, "%s: %s: %s\n", argv[0], p.address, evert_strerror(rc));
    free(p.askers);
    return rc < 0;
}
