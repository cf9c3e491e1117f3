/* SPDX-License-Identifier: MIT */
/*
 * The example that is many servers and clients at once, as it is: its main() runs here, and when it
 * has said that it talked to itself, it is told to end by a signal.
 */
#include "scenarios.h"

#include <signal.h>
#include <stdio.h>

int many_main(int argc, char **argv); /* main() of examples/many/many.c, by another name */

/* Reads what the program says: until it is ready, and then to the end. */
static void *tell_to_end(void *pipe)
{
    char line[200];
    FILE *said = pipe;
    while (fgets(line, sizeof(line), said) != NULL) {
        if (strncmp(line, "talked to itself", 16) == 0) {
            CHECK(strcmp(line, "talked to itself: 24 answers right\n") == 0);
            kill(getpid(), SIGTERM);
        }
    }
    return NULL;
}

static int many_run(void)
{
    char *argv[] = {(char[]){"many"}, (char[]){ANY_PORT}, NULL};
    int ends[2], output = dup(1);
    char path[32];
    pthread_t thread;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -EMFILE;
    FILE *said = fdopen(ends[0], "r");
    fflush(stdout);
    dup2(ends[1], 1);
    close(ends[1]);
    CHECK(pthread_create(&thread, NULL, tell_to_end, said) == 0);
    int status = many_main(2, argv);
    fflush(stdout);
    dup2(output, 1);
    close(output);
    pthread_join(thread, NULL);
    fclose(said);
    snprintf(path, sizeof(path), "/tmp/many.%d", (int)getpid());
    (void)unlink(path); /* its socket, should the call that removes it have failed */
    return status == 0 ? 0 : -ECANCELED; /* it has said itself which error it was */
}

const struct scenario many_scenario = {.name = "many", .run = many_run, .slow = true};
