/* SPDX-License-Identifier: MIT */
/* What the files of scenarios include, and where each scenario stands. */
#ifndef EVERT_TESTS_SWEEP_SCENARIOS_H
#define EVERT_TESTS_SWEEP_SCENARIOS_H

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "scenario.h"

/* streams.c */
extern const struct scenario echo_scenario, large_scenario, reading_scenario, abstract_scenario,
    path_scenario;

/* callbacks.c, deferreds.c, faces.c, scopes.c */
extern const struct scenario callbacks_scenario, producers_scenario, deferreds_scenario,
    faces_scenario, scopes_scenario, crowd_scenario, guards_scenario;

/* transfers.c */
extern const struct scenario transfers_scenario, relay_scenario;

/* closes.c, files.c, limits.c, loops.c, names.c, programs.c, threads.c */
extern const struct scenario closes_scenario, files_scenario, shortage_scenario, loops_scenario,
    fork_scenario, names_scenario, many_scenario, threads_scenario;

#endif
