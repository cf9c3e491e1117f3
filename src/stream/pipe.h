/* SPDX-License-Identifier: MIT */
/* Pipes, through which bytes go from one socket to another without coming to the program. */
#ifndef EVERT_SRC_STREAM_PIPE_H
#define EVERT_SRC_STREAM_PIPE_H

#include "loop/loop.h"

/* What a pipe holds, if not set otherwise; where it holds less, less is moved at once. */
enum { EVERT__PIPE_SIZE = 65536 };

/* An empty pipe: the end to read from, and the one to write to. Or an error. */
int evert__pipe_get(evert_loop *loop, int ret_ends[2]);

/* Gives it back. One that is not empty is of no more use. */
void evert__pipe_put(evert_loop *loop, const int ends[2], bool empty);

/* Closes those that the loop keeps. */
void evert__pipes_close(const evert_loop *loop);

#endif
