/* SPDX-License-Identifier: MIT */
/*
 * Many protocols in one process, which is a client of itself: a greeting, the time of day and a
 * chat, served in callbacks; an echo, served in coroutines; and guests of both kinds.
 *
 *     many [ADDRESS]
 *
 * The greeting is served on ADDRESS, the others on ports of their own, which it prints.
 */
#include "many.h"

#include <stdio.h>
#include <unistd.h>

#define ANY_PORT "tcp://127.0.0.1:0"

struct many {
    const char *address;
    struct room room;
    struct meeting meeting;
    evert_listener *greeting, *echo, *daytime, *chat, *chat_unix;
    char echo_address[64]; /* also when its listener is with the task that serves it */
};

static void tell(const char *what, const evert_listener *listener)
{
    printf("%s on %s\n", what, evert_listener_address(listener));
    fflush(stdout);
}

static int listen_for(evert_listener **ret, const char *what, const char *address,
                      evert_factory *factory)
{
    int rc = evert_listen_protocol(ret, NULL, address, factory);
    if (rc == 0)
        tell(what, *ret);
    return rc;
}

static int listen_all(struct many *m)
{
    char unix_address[64];
    int rc = listen_for(&m->greeting, "listening", m->address, &greeting);
    if (rc < 0)
        return rc;
    rc = evert_listen(&m->echo, ANY_PORT);
    if (rc < 0)
        return rc;
    tell("echo", m->echo);
    snprintf(m->echo_address, sizeof(m->echo_address), "%s", evert_listener_address(m->echo));
    rc = listen_for(&m->daytime, "daytime", ANY_PORT, &daytime);
    if (rc < 0)
        return rc;
    room_init(&m->room);
    rc = listen_for(&m->chat, "chat", ANY_PORT, &m->room.factory);
    if (rc < 0)
        return rc;
    snprintf(unix_address, sizeof(unix_address), "unix:///tmp/many.%d", (int)getpid());
    return listen_for(&m->chat_unix, "chat", unix_address, &m->room.factory);
}

/* Two guests chat, in callbacks, while coroutines ask; then it waits for both. */
static int talk(struct many *m)
{
    evert_deferred *parted;
    m->meeting.loop = evert_loop_current();
    m->meeting.tcp_address = evert_listener_address(m->chat);
    m->meeting.unix_address = evert_listener_address(m->chat_unix);
    int rc = meet(&m->meeting, &parted);
    if (rc < 0)
        return rc;
    int right = ask_questions(evert_listener_address(m->greeting), m->echo_address);
    rc = right < 0 ? right : evert_await(parted).error;
    evert_deferred_free(parted);
    return rc < 0 ? rc : right + m->meeting.heard;
}

static int talk_to_itself(struct many *m)
{
    evert_scope scope;
    evert_scope_enter(&scope, evert_after(10 * EVERT_SECOND));
    int rc = evert_scope_leave(&scope, talk(m));
    if (rc >= 0) {
        printf("talked to itself: %d answers right\n", rc);
        fflush(stdout);
    }
    return rc;
}

static int serve(struct many *m)
{
    evert_scope scope;
    evert_scope_enter(&scope, EVERT_NEVER);
    int rc = evert_spawn(&scope, serve_echo, m->echo);
    if (rc == 0) {
        m->echo = NULL; /* the task has it */
        rc = talk_to_itself(m);
    }
    if (rc >= 0)
        rc = evert_sleep_until(EVERT_NEVER); /* the others serve; this only stays */
    return evert_scope_leave(&scope, rc);
}

static int run(void *many)
{
    struct many *m = many;
    int rc = listen_all(m);
    if (rc == 0)
        rc = serve(m);
    evert_listener_close(m->greeting);
    evert_listener_close(m->echo);
    evert_listener_close(m->daytime);
    evert_listener_close(m->chat);
    evert_listener_close(m->chat_unix);
    return rc;
}

int main(int argc, char **argv)
{
    struct many m = {.address = argc > 1 ? argv[1] : "tcp://127.0.0.1:9999"};
    return evert_main(run, &m);
}
