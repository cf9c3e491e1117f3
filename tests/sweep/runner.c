/* SPDX-License-Identifier: MIT */
#include "runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/seed.h"
#include "scenarios.h"

/* How long a run may take: far more than it does, also on a machine that is busy. */
enum { LIMIT_MS = 30000 };

struct record *record;
static const char *program;

bool is_long(void)
{
    return getenv("EVERT_LONG") != NULL;
}

unsigned runs_for_check(unsigned count)
{
#if defined(__SANITIZE_ADDRESS__)
    return (count + 3) / 4;
#else
    return count;
#endif
}

bool wants_more(unsigned runs, unsigned met, unsigned samples)
{
    return met < samples && runs < 4 * samples;
}

bool met_enough(unsigned runs, unsigned met, unsigned samples)
{
    return met >= (is_long() ? runs : samples) / 2;
}

/* `own_program` is for the words that say how to repeat. */
static void init(const char *own_program)
{
    program = own_program;
    record = mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (record == MAP_FAILED)
        abort();
    setvbuf(stdout, NULL, _IOLBF, 0);
}

/* ---- In the child ---- */

static int count_entries(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* A thread that was joined stands there until the kernel has cleaned up. */
static int threads_left(int before)
{
    int now = count_entries("/proc/self/task");
    for (int i = 0; i < 2000 && now != before; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        now = count_entries("/proc/self/task");
    }
    return now - before;
}

static const int watched[] = {SIGTERM, SIGINT, SIGPIPE, SIGSEGV, SIGBUS, SIGUSR1};
enum { WATCHED = sizeof(watched) / sizeof(watched[0]) };

static void note_signals(void (*handlers[WATCHED])(int))
{
    for (int i = 0; i < WATCHED; i++) {
        struct sigaction now;
        sigaction(watched[i], NULL, &now);
        handlers[i] = now.sa_handler;
    }
}

static void *run_scenario(void *arg)
{
    const struct scenario *scenario = arg;
    record->result = scenario->run();
    record->ended = true;
    return NULL;
}

static int child(const struct scenario *scenario, const struct plan *plan, int output)
{
    void (*before[WATCHED])(int), (*after[WATCHED])(int);
    char seed[24];
    pthread_t thread;

    setpgid(0, 0);
    dup2(output, 1);
    dup2(output, 2);
    snprintf(seed, sizeof(seed), "%" PRIu64, plan->seed);
    setenv("EVERT_SEED", seed, 1);
    int descriptors = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    note_signals(before);
    hooks_arm(plan, record);
    /* On a thread of its own, since the end of a thread ends the loop that it had. */
    int rc = pthread_create(&thread, NULL, run_scenario, (void *)(uintptr_t)scenario);
    if (rc == 0)
        rc = pthread_join(thread, NULL);
    record->threads = threads_left(threads);
    hooks_disarm();
    record->descriptors = count_entries("/proc/self/fd") - descriptors;
    note_signals(after);
    record->signals = memcmp(before, after, sizeof(before)) == 0;
    record->held = all_checks_held();
    return rc;
}

/* ---- In the parent ---- */

/* Waits for the child. False: it did not end, and was killed, with all that it started. */
static bool wait_for(pid_t pid, int *ret_status)
{
    struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    bool in_time = poll(&ended, 1, LIMIT_MS) == 1;
    close(ended.fd);
    kill(-pid, SIGKILL);
    if (!in_time)
        kill(pid, SIGKILL);
    waitpid(pid, ret_status, 0);
    return in_time;
}

/* What a run may come to, whatever went wrong in it: what one side meets when the other fails. */
static bool is_consequence(int rc)
{
    static const int codes[] = {-ECONNRESET,       -EPIPE,    -ECONNREFUSED,
                                -ECANCELED,        -ENOMEM,   -ECONNABORTED,
                                EVERT_EINCOMPLETE, EVERT_EOF, EVERT_ECLOSED};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (rc == codes[i])
            return true;
    }
    return false;
}

static bool may_come_to(const struct scenario *scenario, const struct plan *plan, int rc)
{
    if (rc == 0)
        return true;
    if (plan->fault == FAULT_NONE || rc > 0)
        return false;
    if (is_consequence(rc) || rc == scenario->may_be)
        return true;
    if (plan->fault == FAULT_CALL && plan->call == EVERT__SYS_ADDRINFO)
        return rc == EVERT_ENONAME || rc == EVERT_ERESOLVE;
    return plan->fault == FAULT_CALL && rc == plan->answer && rc != -EINTR; /* that is never told */
}

/* Writes what was wrong; empty if nothing was. */
static void judge(const struct scenario *scenario, const struct plan *plan, bool in_time,
                  int status, char *words, size_t size)
{
    bool of_signals = plan->call == EVERT__SYS_SIGACTION && plan->fault == FAULT_CALL;
    long long mapped =
        record->mapped - sysconf(_SC_PAGESIZE); /* that, which tells of forks, stays */

    words[0] = '\0';
    if (!in_time)
        snprintf(words, size, "it did not end in %d s", LIMIT_MS / 1000);
    else if (record->spun)
        snprintf(words, size, "it spins: more than %u system calls", plan->calls_limit);
    else if (WIFSIGNALED(status))
        snprintf(words, size, "it ended by signal %d", WTERMSIG(status));
    else if (!record->ended)
        snprintf(words, size, "it ended in the midst, with status %d", WEXITSTATUS(status));
    else if (!record->held)
        snprintf(words, size, "a check did not hold");
    else if (!may_come_to(scenario, plan, record->result))
        snprintf(words, size, "it came to %d, %s", record->result,
                 evert_error_name(record->result));
    else if (record->live != 0)
        snprintf(words, size, "%d allocations were not released", record->live);
    else if (record->descriptors != 0)
        snprintf(words, size, "%d descriptors were left open", record->descriptors);
    else if (mapped > 0)
        snprintf(words, size, "%lld bytes were left mapped", mapped);
    else if (record->threads != 0)
        snprintf(words, size, "%d threads were left", record->threads);
    else if (!record->signals && !of_signals)
        snprintf(words, size, "signals are not as before");
    else if (WEXITSTATUS(status) != 0)
        snprintf(words, size, "it ended with status %d", WEXITSTATUS(status));
}

static void print_output(int output)
{
    FILE *said = fdopen(dup(output), "r");
    char line[1000];
    rewind(said);
    for (int i = 0; i < 200 && fgets(line, sizeof(line), said) != NULL; i++)
        printf("#   | %s%s", line, strchr(line, '\n') == NULL ? "\n" : "");
    fclose(said);
}

/* Which site it was is known only where the run has reached it, as it does. */
static void print_site(const struct plan *plan)
{
    char words[2000];
    for (size_t i = 0; i < MOST_SITES; i++) {
        const struct site *site = &record->calls[i];
        if (site->filled && site->call == plan->call && site->place == plan->place) {
            site_words(site, false, words, sizeof(words));
            printf("#   %s\n", words);
        }
    }
}

static void print_fault(const struct plan *plan)
{
    char site[2000];
    if (plan->fault == FAULT_CALL) {
        print_site(plan);
        if (plan->answer != 0)
            printf("#   answers %" PRId64 " (%s)", plan->answer,
                   evert_error_name((int)plan->answer));
        else
            printf("#   takes no more than %zu bytes", plan->most);
    } else {
        site_words(&record->failed_at, true, site, sizeof(site));
        printf("#   %s\n#   has no memory", site);
    }
    printf(", from number %u on, %u times or for %u ms; it was met %u times\n", plan->nth,
           plan->times, plan->span, record->failed);
}

static void explain(const struct scenario *scenario, const struct plan *plan, const char *words,
                    int output)
{
    const char *back_end = getenv("EVERT_BACKEND");
    printf("# %s: %s\n", scenario->name, words);
    if (plan->fault == FAULT_NONE)
        printf("#   though nothing went wrong\n");
    else
        print_fault(plan);
    if (record->ended)
        printf("#   it came to %d (%s)\n", record->result, evert_error_name(record->result));
    print_output(output);
    printf("#   to repeat: EVERT_BACKEND=%s %s %s %d %d %#zx %" PRId64 " %zu %u %u %u %" PRIu64
           " %u\n",
           back_end != NULL ? back_end : "epoll", program, scenario->name, plan->fault, plan->call,
           (size_t)plan->place, plan->answer, plan->most, plan->nth, plan->times, plan->span,
           plan->seed, plan->calls_limit);
}

bool run_once(const struct scenario *scenario, const struct plan *wanted)
{
    struct plan own = *wanted, *plan = &own;
    own.no_advice = scenario->no_advice;
    char words[200];
    int status = 0, output = memfd_create("output", MFD_CLOEXEC);
    memset(record, 0, sizeof(*record));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        exit(child(scenario, plan, output));
    bool in_time = pid > 0 && wait_for(pid, &status);
    judge(scenario, plan, in_time, status, words, sizeof(words));
    if (words[0] != '\0')
        explain(scenario, plan, words, output);
    close(output);
    return words[0] == '\0';
}

bool run_well(const struct scenario *scenario, uint64_t seed)
{
    struct plan plan = {.fault = FAULT_NONE, .seed = seed};
    return run_once(scenario, &plan);
}

/* If the command line is one that was printed: runs that alone, and ends the process. */
static void repeat(int argc, char **argv)
{
    if (argc != 12)
        return;
    struct plan plan = {
        .fault = (enum fault)atoi(argv[2]),
        .call = (enum evert__sys_call)atoi(argv[3]),
        .place = (size_t)strtoull(argv[4], NULL, 0),
        .answer = strtoll(argv[5], NULL, 0),
        .most = (size_t)strtoull(argv[6], NULL, 0),
        .nth = (unsigned)strtoul(argv[7], NULL, 0),
        .times = (unsigned)strtoul(argv[8], NULL, 0),
        .span = (unsigned)strtoul(argv[9], NULL, 0),
        .seed = strtoull(argv[10], NULL, 0),
        .calls_limit = (unsigned)strtoul(argv[11], NULL, 0),
    };
    for (size_t i = 0; i < scenario_count; i++) {
        if (strcmp(scenarios[i]->name, argv[1]) != 0)
            continue;
        bool held = run_once(scenarios[i], &plan);
        printf("%s: came to %s, %u failed\n", held ? "ok" : "not ok",
               evert_error_name(record->result), record->failed);
        exit(held ? 0 : 1);
    }
    exit(2);
}

int runner_main(int argc, char **argv,
                bool (*sweep)(const struct scenario *scenario, uint64_t seed), const size_t *places,
                size_t least, const char *words)
{
    uint64_t seed = seed_new();
    bool all_held = true;

    init(argv[0]);
    repeat(argc, argv);
    printf("1..%zu\n# EVERT_SEED=%" PRIu64 "\n", scenario_count + 1, seed);
    for (size_t i = 0; i < scenario_count; i++) {
        if (argc == 2 && strcmp(argv[1], scenarios[i]->name) != 0)
            continue;
        bool held = sweep(scenarios[i], seed + i);
        printf("%s - %s\n", held ? "ok" : "not ok", scenarios[i]->name);
        all_held = all_held && held;
    }
    bool enough = argc > 1 || *places >= least;
    printf("# %zu places in the library\n", *places);
    printf("%s - %s are reached\n", enough ? "ok" : "not ok", words);
    return all_held && enough ? 0 : 1;
}
