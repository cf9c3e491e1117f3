/* SPDX-License-Identifier: MIT */
/* The ends of connections: a close with input unread, a close that does not wait, an abort. */
#include "scenarios.h"

enum { ANSWER = 30000, UPLOAD = 10000 };

/* What each server hears or says, looked at when all is over. */
static struct flow answer, upload;
static unsigned failures;

/* ---- An answer before the question was read: it arrives all the same ---- */

static int answer_at_once(evert_stream *s, void *unused)
{
    (void)unused;
    evert_set_close_limit(s, CLOSE_LIMIT);
    int rc = evert_put(s, flow_next(&answer, ANSWER));
    if (rc == 0)
        rc = evert_flush(s);
    answer.sent_all = rc == 0;
    return rc;
}

static int ask_much(const char *address, void *unused)
{
    struct flow question = {.size = UPLOAD};
    evert_stream *s;
    (void)unused;
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(s, CLOSE_LIMIT);
    evert_put(s, flow_next(&question, UPLOAD)); /* a failure comes back from the read */
    rc = flow_read(&answer, s, 4000);
    return first_error(rc, evert_close(s));
}

/* ---- Whoever is cut off closes all the same, and what was written is sent ---- */

static int hear_upload(evert_stream *s, void *unused)
{
    (void)unused;
    evert_set_close_limit(s, CLOSE_LIMIT);
    int rc = flow_read(&upload, s, 3000);
    if (rc < 0)
        failures++;
    return rc;
}

static int upload_and_be_cut(const char *address, void *unused)
{
    evert_scope scope;
    evert_stream *s;
    (void)unused;
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    evert_set_close_limit(s, CLOSE_LIMIT);
    evert_scope_enter(&scope, EVERT_NEVER);
    rc = evert_put(s, flow_next(&upload, UPLOAD));
    evert_scope_cancel(&scope);
    rc = first_error(rc, evert_close(s)); /* does not wait: what comes later is not told here */
    rc = evert_scope_leave(&scope, rc);
    return rc < 0 ? rc : evert_sleep(2 * EVERT_MILLISECOND);
}

/* ---- An abort is a reset, unless something else has ended the connection before ---- */

static int hear_reset(evert_stream *s, void *unused)
{
    evert_bytes bytes;
    (void)unused;
    evert_set_close_limit(s, CLOSE_LIMIT);
    ssize_t count;
    while ((count = evert_read(s, &bytes, 100)) > 0)
        continue;
    return count == -ECONNRESET ? 0 : (int)count;
}

static int abort_it(const char *address, void *unused)
{
    evert_stream *s;
    (void)unused;
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    rc = evert_puts(s, "half a li");
    evert_abort(s);
    return rc < 0 ? rc : evert_sleep(2 * EVERT_MILLISECOND);
}

static int run_closes(void *unused)
{
    (void)unused;
    answer = (struct flow){.size = ANSWER};
    upload = (struct flow){.size = UPLOAD};
    int rc = with_server(ANY_PORT, answer_at_once, NULL, ask_much, NULL);
    if (rc == 0)
        rc = with_server(ANY_PORT, hear_upload, NULL, upload_and_be_cut, NULL);
    return rc < 0 ? rc : with_server(ANY_PORT, hear_reset, NULL, abort_it, NULL);
}

static int closes_run(void)
{
    int rc = evert_run(run_closes, NULL);
    if (rc == 0)
        flow_over(&answer);
    return rc;
}

const struct scenario closes_scenario = {.name = "closes", .run = closes_run};
