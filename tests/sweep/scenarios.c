/* SPDX-License-Identifier: MIT */
#include "scenarios.h"

const struct scenario *const scenarios[] = {
    &echo_scenario,      &large_scenario,     &reading_scenario,   &abstract_scenario,
    &path_scenario,      &callbacks_scenario, &producers_scenario, &deferreds_scenario,
    &faces_scenario,     &scopes_scenario,    &crowd_scenario,     &guards_scenario,
    &closes_scenario,    &shortage_scenario,  &loops_scenario,     &fork_scenario,
    &names_scenario,     &many_scenario,      &threads_scenario,   &files_scenario,
    &transfers_scenario, &relay_scenario,
};

const size_t scenario_count = sizeof(scenarios) / sizeof(scenarios[0]);
