/* SPDX-License-Identifier: MIT */
/* What the parts of `many` know of each other. */
#ifndef MANY_H
#define MANY_H

#include <evert/evert.h>

/* The servers: three in callbacks, and one in coroutines. */
extern evert_factory greeting; /* greeting.c */
extern evert_factory daytime;  /* daytime.c */

/* chat.c: who is in the room. Its factory comes first: all members share the room. */
struct room {
    evert_factory factory;
    struct member *members;
};

void room_init(struct room *room);

/* echo.c: serves it until it is cancelled, and takes the listener. */
int serve_echo(void *listener);

/* questions.c: coroutines ask for greetings and echoes. Returns how many answers were right. */
int ask_questions(const char *greeting_address, const char *echo_address);

/* guests.c: two guests meet in the chat, in callbacks. */
struct guest {
    evert_line_receiver lines;
    const char *expected;  /* the line that it waits for */
    evert_deferred *heard; /* fires when that has come; NULL where nobody waits */
};

struct meeting {
    evert_loop *loop;
    const char *tcp_address, *unix_address; /* of the chat */
    struct guest ann, bob;
    int heard; /* lines that were as expected */
};

/* The Deferred, which is the caller's, fires when they have parted. The meeting is borrowed. */
int meet(struct meeting *meeting, evert_deferred **ret);

#endif
