/* SPDX-License-Identifier: MIT */
/*
 * Runs a scenario once, in a child process, with one thing going wrong, and judges how it ended: it
 * has to end in time, with 0 or an error that has a name; every check of its own holds; no memory,
 * descriptor, mapping or thread is left over; signals are as before; and it did not spin.
 */
#ifndef EVERT_TESTS_SWEEP_RUNNER_H
#define EVERT_TESTS_SWEEP_RUNNER_H

#include "plan.h"
#include "scenario.h"

/* What a run left behind: shared, so there is one, and each run begins it anew. */
extern struct record *record;

/* Whether it ended well; otherwise it says what was wrong, and how to repeat just this run. */
bool run_once(const struct scenario *scenario, const struct plan *plan);

/* Runs a scenario with nothing going wrong, which has to succeed. */
bool run_well(const struct scenario *scenario, uint64_t seed);

/*
 * What main() returns: sweeps all scenarios, or the one that the command line names, and sees to it
 * that at least `least` places were found, which *places counts. A command line that the runner
 * printed is that one run alone.
 */
int runner_main(int argc, char **argv,
                bool (*sweep)(const struct scenario *scenario, uint64_t seed), const size_t *places,
                size_t least, const char *words);

/* How often something is done, here: less under a sanitizer, which is several times slower. */
unsigned runs_for_check(unsigned count);

/*
 * Whether after so many runs, in `met` of which the fault was met, another is wanted for so many
 * samples. A program that shares its machine does not make the same calls each time.
 */
bool wants_more(unsigned runs, unsigned met, unsigned samples);

/* Whether it was met in half of them at least: of the samples, or of all runs of a long check. */
bool met_enough(unsigned runs, unsigned met, unsigned samples);

/* Whether all of it is to be run (EVERT_LONG). */
bool is_long(void);

#endif
