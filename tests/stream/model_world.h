/* SPDX-License-Identifier: MIT */
/*
 * The world of the model test: what lives in it, its clock, and how a wait is held against the
 * model.
 *
 * Time is the test's own: it passes when the ticker, a callback of each turn, says so, and jumps to
 * the next timer when nothing else can happen. So nothing is waited for in real time, and the same
 * seed does the same again. Each deadline has a second timer right before it, which tells the model
 * that it has come, so the model knows the order of all that is cancelled.
 */
#ifndef EVERT_TESTS_STREAM_MODEL_WORLD_H
#define EVERT_TESTS_STREAM_MODEL_WORLD_H

#include <time.h>

#include <evert/coro/await.h>

#include "model.h"
#include "support.h"

enum { MOST = 512, LINES = 40 };

/* Something that is in a table, to be drawn from it; the first member of what it is. */
struct row {
    unsigned place;
};

struct table {
    struct row *rows[MOST];
    unsigned count;
};

/* A scope, and what the model says of it. */
struct record {
    struct row row;
    evert_scope scope;
    struct m_scope says;
    evert_handle came;                        /* called when the deadline has */
    struct evert__link pairs, items, handles; /* that end with it */
};

/* A task. */
struct member {
    struct row row;
    struct m_task says;
    int number, depth;
    int awaited; /* what the last coroutine object that it awaited came to */
    long moves;  /* when its wait began */
    bool root;   /* the one of blocking mode */
};

/* A Deferred: of nothing, to be fired by anybody, or of a coroutine. */
struct item {
    struct row row;
    struct evert__link link;
    evert_deferred *deferred;
    struct m_deferred says;
    void *value;
    bool freeing, by_program; /* being freed, or cancelled, by a call on it */
};

struct handle {
    struct row row;
    struct evert__link link;
    evert_task *task;
    struct m_handle says;
};

static struct {
    uint64_t seed, random;
    evert_loop *loop;
    evert_time now;
    evert_handle ticker;
    struct table records, members, items, handles;
    unsigned most; /* tasks at a time */
    long steps, limit, stacks;
    long moves; /* of tasks: to see who ran */
    long seen;  /* moves, by the ticker */
    int idle;   /* turns without any, and since when, in real time */
    evert_time idle_since;
    int sure; /* waits, apart from the model, for what must come */
    bool draining;
    int trees, numbers;
    long tasks, waits, cuts, leaves[4], pairs, bytes;
    unsigned most_failures; /* of a scope */
    char lines[LINES][96];  /* the last that happened */
    unsigned line;
    char said[400]; /* the last in the log */
} world;

static uint32_t draw(uint32_t below)
{
    return random_below(&world.random, below);
}

static bool chance(uint32_t in)
{
    return draw(in) == 0;
}

static void table_add(struct table *table, struct row *row)
{
    assert_true(table->count < MOST);
    row->place = table->count;
    table->rows[table->count++] = row;
}

static void table_remove(struct table *table, const struct row *row)
{
    struct row *last = table->rows[--table->count];
    table->rows[row->place] = last;
    last->place = row->place;
}

/* Any of them, or NULL. */
static void *any_of(const struct table *table)
{
    return table->count > 0 ? table->rows[draw(table->count)] : NULL;
}

static struct member *member_of(struct m_task *says)
{
    return EVERT__CONTAINER(says, struct member, says);
}

static struct record *record_of(struct m_scope *says)
{
    return says != NULL ? EVERT__CONTAINER(says, struct record, says) : NULL;
}

/* The one around it, in its task or in another. */
static struct record *around(const struct record *r)
{
    return record_of(r->says.parent != NULL ? r->says.parent : r->says.owner->home);
}

/* The innermost that the task is in. */
static struct record *where(const struct member *m)
{
    return record_of(m->says.innermost != NULL ? m->says.innermost : m->says.home);
}

/* ---- Telling what went wrong ---- */

static void note(const struct member *m, const char *what, long result)
{
    snprintf(world.lines[world.line++ % LINES], sizeof(world.lines[0]), "%ld: %d %s %ld",
             world.steps, m != NULL ? m->number : 0, what, result);
}

/* A step of the world. */
static void did(const struct member *m, const char *what, long which)
{
    world.steps++;
    note(m, what, which);
}

static void keep_last(evert_log_level level, const char *message, void *arg)
{
    (void)level;
    (void)arg;
    snprintf(world.said, sizeof(world.said), "%s", message);
}

/* Everything that fails comes here, checks of the library and the alarm included. */
static void tell_where(int number)
{
    const char *backend = getenv("EVERT_BACKEND");
    for (unsigned i = 0; i < LINES; i++) {
        const char *line = world.lines[(world.line + i) % LINES];
        if (line[0] != '\0')
            print_error("  %s\n", line);
    }
    print_error("last in the log: %s\n", world.said);
    print_error("signal %d at step %ld, of tree %d\nto repeat: EVERT_SEED=%" PRIu64
                " EVERT_BACKEND=%s %s\n",
                number, world.steps, world.trees, world.seed, backend != NULL ? backend : "",
                program_invocation_name);
    signal(SIGABRT, SIG_DFL);
    abort();
}

/* ---- Time ---- */

/* It also counts the bytes of stacks. */
static bool answer_clock(enum evert__sys_call call, const void *site, size_t *size, int64_t *result)
{
    (void)site;
    if (call == EVERT__SYS_MAP)
        world.stacks += (long)*size;
    if (call == EVERT__SYS_UNMAP)
        world.stacks -= (long)*size;
    *result = world.now;
    return call == EVERT__SYS_CLOCK;
}

static evert_time real_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (evert_time)now.tv_sec * EVERT_SECOND + now.tv_nsec;
}

/* ---- Memory ---- */

static long allocations;

static void *count_allocation(void *memory, size_t size, void *arg)
{
    void *result = realloc(memory, size);
    (void)arg;
    allocations += memory == NULL && result != NULL;
    return result;
}

static void count_release(void *memory, void *arg)
{
    (void)arg;
    allocations--;
    free(memory);
}

static const evert_allocator counting = {count_allocation, count_release, NULL};

/* ---- Waits ---- */

static void begin_wait(struct member *m, struct m_wait wait)
{
    static const char *const kinds[] = {"runs",   "yields", "sleeps", "joins",
                                        "awaits", "reads",  "writes", "waits for its tasks"};
    m->moves = ++world.moves;
    m_wait_begin(&m->says, wait);
    did(m, kinds[wait.kind], m->says.wait.begun_cut);
}

/* C3: it persists, whatever is asked. */
static void check_persists(const struct member *m)
{
    assert_true(m_task_is_cut(&m->says));
    long moves = world.moves;
    check_rc(chance(2) ? evert_yield() : evert_sleep(1), -ECANCELED);
    assert_true(moves == world.moves);
}

/*
 * A reader may be woken for nothing ("try"), and cancelled before it has run; what arrives then in
 * the same turn, it may still take.
 */
static bool came_behind(const struct m_wait *wait)
{
    return wait->kind == M_READ && m_turn <= wait->turn + 1;
}

/* Holds what a waiting call returned against the model. Returns it. */
static int end_wait(struct member *m, int rc)
{
    bool at_once = m->moves == world.moves;
    struct m_wait wait = m_wait_end(&m->says);
    world.moves++;
    world.waits++;
    world.cuts += wait.cut;
    note(m, "waited:", rc);
    if (wait.begun_cut) {
        check_rc(rc, -ECANCELED);
        assert_true(at_once);
    } else if (wait.done) {
        check_rc(rc, wait.result);
    } else if (rc == -ECANCELED) {
        assert_true(wait.cut);
    } else {
        assert_true(!wait.cut || wait.either || came_behind(&wait));
    }
    if (wait.cut && rc == -ECANCELED && chance(4))
        check_persists(m);
    return rc;
}

#endif
