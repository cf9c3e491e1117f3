/* SPDX-License-Identifier: MIT */
/* P9, BR-048: a child's loop is unusable, a new one works, and the parent's is not disturbed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "forking.h"

/* ---- The child ---- */

static int calls_of_the_parent;

static void inherited_calls_nothing(void)
{
    int before = calls_of_the_parent;
    inherited_is_closed();
    MUST(calls_of_the_parent == before);
}

/* P9 */
static void test_inherited_loop_is_closed(void **state)
{
    (void)state;
    calls_of_the_parent = 0;
    assert_int_equal(evert_loop_call_soon(loop, NULL, count_up, &calls_of_the_parent), 0);
    assert_int_equal(exit_of(fork_child(inherited_calls_nothing)), 0);
    assert_false(evert__loop_forked(loop));
    turn(0);
    assert_int_equal(calls_of_the_parent, 1);
}

static void use_of_inherited_is_no_misuse(void)
{
    evert_loop_stop(loop);
    MUST(evert_loop_call_soon(loop, NULL, count_up, &calls_of_the_parent) == 0);
    inherited_calls_nothing();
}

static void *fork_on_this_thread(void *unused)
{
    (void)unused;
    assert_int_equal(exit_of(fork_child(use_of_inherited_is_no_misuse)), 0);
    return NULL;
}

/* P9, P8: in the child the thread that forked is the only one, and the loop is nobody's. */
static void test_inherited_loop_is_closed_to_the_child_of_another_thread(void **state)
{
    pthread_t thread;
    (void)state;
    turn(0); /* so that it is this thread's */
    assert_int_equal(pthread_create(&thread, NULL, fork_on_this_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    turn(0);
}

/* P9 */
static void test_new_loop_works_in_the_child(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(new_loop_works)), 0);
    turn(0);
}

static void free_then_new(void)
{
    evert_loop_free(loop);
    evert_loop *fresh;
    MUST(evert_loop_new(&fresh) == 0);
    calls_and_timers_work(fresh);
    evert_loop_free(fresh);
}

/* P9 */
static void test_child_may_free_the_inherited_loop_first(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(free_then_new)), 0);
    turn(0);
}

static void grandchild(void)
{
    evert_loop *fresh;
    MUST(evert_loop_new(&fresh) == 0);
    calls_and_timers_work(fresh);
    pid_t child = fork();
    if (child == 0) {
        evert_loop *freshest;
        MUST(evert_loop_run(fresh) == EVERT_ECLOSED);
        MUST(evert_loop_run(loop) == EVERT_ECLOSED);
        MUST(evert_loop_new(&freshest) == 0);
        calls_and_timers_work(freshest);
        _exit(0);
    }
    int status = -1;
    MUST(waitpid(child, &status, 0) == child && status == 0);
    calls_and_timers_work(fresh);
}

/* P9 */
static void test_childs_child_is_told_too(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(grandchild)), 0);
    turn(0);
}

/* P9: a bare fork, which runs no handlers of pthread_atfork(3). */
static void test_fork_without_handlers_is_noticed(void **state)
{
    (void)state;
    pid_t child = _Fork();
    assert_true(child >= 0);
    if (child == 0) {
        inherited_is_closed();
        _exit(0);
    }
    assert_int_equal(exit_of(child), 0);
}

static void own_loop_is_new(void)
{
    evert_loop *own = NULL;
    MUST(evert__loop_own(&own) == 0);
    MUST(!evert__loop_forked(own));
    calls_and_timers_work(own);
}

/* P9 */
static void test_implicit_loop_is_made_anew_in_the_child(void **state)
{
    evert_loop *own;
    (void)state;
    assert_int_equal(evert__loop_own(&own), 0);
    assert_int_equal(exit_of(fork_child(own_loop_is_new)), 0);
    assert_int_equal(evert_loop_turn(own, 0), 0);
    evert_loop_free(own);
}

/* ---- From inside a callback ---- */

static void new_loop_inside(void)
{
    evert_loop *fresh;
    MUST(evert_loop_run(loop) == EVERT_ECLOSED);
    MUST(evert_loop_new(&fresh) == 0);
    calls_and_timers_work(fresh);
    evert_loop_free(fresh);
}

static void fork_in_callback(void *arg)
{
    assert_int_equal(exit_of(fork_child(new_loop_inside)), 0);
    ++*(int *)arg;
}

/* P9: a process for each connection, made by a callback. */
static void test_child_made_in_a_callback_may_run_a_new_loop(void **state)
{
    int forked = 0;
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, fork_in_callback, &forked), 0);
    turn(0);
    assert_int_equal(forked, 1);
    turn(0);
}

static bool in_child;

static void fork_and_return(void *arg)
{
    pid_t *child = arg;
    *child = fork();
    assert_true(*child >= 0);
    in_child = *child == 0;
    if (!in_child)
        evert_loop_stop(loop);
}

static void count_call(void *arg)
{
    ++*(int *)arg;
}

/* P9: a child that returns into the parent's loop gets out of it, and runs nothing more of it. */
static void test_run_ends_in_a_child_that_returns_into_it(void **state)
{
    pid_t child = -1;
    int later = 0;
    (void)state;
    assert_int_equal(evert_loop_call_soon(loop, NULL, fork_and_return, &child), 0);
    assert_int_equal(evert_loop_call_soon(loop, NULL, count_call, &later), 0);
    int rc = evert_loop_run(loop);
    if (in_child) {
        MUST(rc == EVERT_ECLOSED);
        MUST(evert_loop_current() == NULL);
        MUST(later == 0); /* the same turn's, and the parent's */
        evert_loop_free(loop);
        _exit(0);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(later, 1);
    assert_int_equal(exit_of(child), 0);
}

/* ---- The parent ---- */

static struct receiver watched;

static void close_what_was_inherited(void)
{
    receiver_close(&watched);
    evert_loop_free(loop);
}

/* P9: closing in the child takes nothing out of the parent's poll set. */
static void test_child_that_closes_disturbs_no_registration(void **state)
{
    int fds[2];
    (void)state;
    unix_pair(fds);
    receiver_init(&watched, fds[0], false);
    receiver_take(&watched);
    turns(5);
    assert_int_equal(exit_of(fork_child(close_what_was_inherited)), 0);
    plain_send(fds[1], "still here", 10);
    receiver_wait(&watched, 10);
    receiver_close(&watched);
    turn(0);
    close(fds[1]);
}

static struct {
    int file, ends[2]; /* what bytes may come from or go to: a file, a pipe */
} elsewhere;

static void nothing_is_sent_or_taken(void)
{
    char bytes[] = "twice";
    struct iovec piece = {bytes, 5};
    MUST(evert__fd_send(&watched.fd, &piece, 1) == EVERT_ECLOSED);
    MUST(evert__fd_send_file(&watched.fd, elsewhere.file, 0, 5) == EVERT_ECLOSED);
    MUST(evert__fd_send_pipe(&watched.fd, elsewhere.ends[0], 5) == EVERT_ECLOSED);
    MUST(evert__source_splice(&watched.source, elsewhere.ends[1], 5) == EVERT_ECLOSED);
    MUST(evert__source_take(&watched.source, bytes, 5) == EVERT_ECLOSED);
}

/* P9, F38: whichever way bytes go; what the parent is to send and to take stays its own. */
static void test_a_child_moves_no_bytes_of_its_parents(void **state)
{
    char byte;
    int fds[2];
    (void)state;
    elsewhere.file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(elsewhere.file >= 0);
    assert_int_equal(pipe2(elsewhere.ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(write(elsewhere.ends[1], "piped", 5), 5);
    unix_pair(fds);
    receiver_init(&watched, fds[0], false);
    plain_send(fds[1], "taken", 5);
    assert_int_equal(exit_of(fork_child(nothing_is_sent_or_taken)), 0);
    assert_int_equal(recv(fds[1], &byte, 1, 0), -1);
    receiver_take(&watched);
    receiver_wait(&watched, 5);
    receiver_close(&watched);
    close(fds[1]);
    close(elsewhere.file);
    close(elsewhere.ends[0]);
    close(elsewhere.ends[1]);
}

static int hold[2]; /* the child lives until the parent closes its end */

static void live_until_told(void)
{
    char byte;
    close(hold[1]);
    MUST(read(hold[0], &byte, 1) == 0);
}

/*
 * P9, F34: the kernel keeps a registration for as long as anybody has the descriptor, so the
 * child's copy must not bring events for what the parent closed, and whose memory another has.
 */
static void test_childs_copies_bring_no_events_to_the_parent(void **state)
{
    struct receiver r;
    int fds[2], others[2];
    (void)state;
    unix_pair(fds);
    unix_pair(others);
    receiver_init(&r, fds[0], false);
    receiver_take(&r);
    turns(5);
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    pid_t child = fork_child(live_until_told);
    receiver_close(&r);
    turn(0);
    receiver_init(&r, others[0], false);
    receiver_take(&r);
    turns(5);
    plain_send(fds[1], "to the child's copy", 19);
    turns(10);
    if (loop->adverse == NULL) { /* which tells of nothing, now and then */
        assert_int_equal(r.told, 0);
        assert_false(r.fd.readable);
    }
    close(hold[0]);
    close(hold[1]);
    assert_int_equal(exit_of(child), 0);
    receiver_close(&r);
    turn(0);
    close(fds[1]);
    close(others[1]);
}

static void use_a_new_loop_and_signals(void)
{
    evert_loop *fresh;
    int told = 0;
    MUST(evert_loop_new(&fresh) == 0);
    MUST(evert_loop_watch_signal(fresh, SIGUSR1, count_up, &told) == 0);
    raise(SIGUSR1);
    while (told == 0)
        MUST(evert_loop_turn(fresh, evert_after(PATIENCE)) == 0);
    evert_loop_free(fresh);
}

/* P9, P5 */
static void test_signals_watched_in_the_child_are_not_told_to_the_parent(void **state)
{
    int told = 0;
    (void)state;
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR1, count_up, &told), 0);
    assert_int_equal(exit_of(fork_child(use_a_new_loop_and_signals)), 0);
    turns(20);
    assert_int_equal(told, 0);
    raise(SIGUSR1);
    run_until(&told, 1);
}

static void raise_SIGTERM(void)
{
    raise(SIGTERM);
}

static void raise_SIGUSR2(void)
{
    raise(SIGUSR2);
}

static void own_handler(int number)
{
    MUST(number == SIGUSR2);
    _exit(7);
}

/*
 * P5, P9: to a child that has no loop, a signal that its parent watches is what it was before the
 * parent did; the parent does not hear of it.
 */
static void test_signals_of_a_child_are_its_own(void **state)
{
    int counts[2] = {0}, status;
    (void)state;
    struct sigaction action = {.sa_handler = own_handler};
    assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
    assert_int_equal(evert_loop_watch_signal(loop, SIGTERM, count_up, &counts[0]), 0);
    assert_int_equal(evert_loop_watch_signal(loop, SIGUSR2, count_up, &counts[1]), 0);
    turns(20);

    pid_t child = fork_child(raise_SIGTERM);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(exit_of(fork_child(raise_SIGUSR2)), 7);

    turns(20);
    assert_int_equal(counts[0] + counts[1], 0);
    raise(SIGTERM);
    raise(SIGUSR2);
    run_until(&counts[0], 1);
    run_until(&counts[1], 1);
    evert_loop_unwatch_signal(loop, SIGUSR2);
    signal(SIGUSR2, SIG_DFL);
}

static void watch_anew_and_give_back(void)
{
    evert_loop *fresh;
    int told = 0;
    MUST(evert_loop_new(&fresh) == 0);
    MUST(evert_loop_watch_signal(fresh, SIGTERM, count_up, &told) == 0);
    raise(SIGTERM);
    while (told == 0)
        MUST(evert_loop_turn(fresh, evert_after(PATIENCE)) == 0);
    evert_loop_unwatch_signal(fresh, SIGTERM);
    raise(SIGTERM);
}

/* P5, P9: what its own watch gives back is what was before the parent's. */
static void test_a_childs_own_watch_gives_back_what_was_first(void **state)
{
    int told = 0, status;
    (void)state;
    assert_int_equal(evert_loop_watch_signal(loop, SIGTERM, count_up, &told), 0);
    pid_t child = fork_child(watch_anew_and_give_back);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    turns(20);
    assert_int_equal(told, 0);
}

/* BR-048: a listener, a repeating timer, a pending call, three kinds of child, 100 clients. */
static struct {
    struct evert__fd fd;
    struct evert__source source;
    int accepted;
} listener;

static void accept_all(struct evert__source *source)
{
    do {
        ssize_t fd;
        while ((fd = evert__source_take(source, NULL, 0)) >= 0) {
            close((int)fd);
            listener.accepted++;
        }
        assert_int_equal(fd, -EAGAIN);
    } while (evert__source_arm(source));
}

static void only_exit(void)
{
}

static int ticks;

static void tick(void *handle)
{
    ticks++;
    assert_int_equal(evert_loop_call_at(loop, handle, evert_after(EVERT_MILLISECOND), tick, handle),
                     0);
}

/* P9, BR-048 */
static void test_parent_serves_on_whatever_its_child_does(void **state)
{
    static void (*const bodies[])(void) = {only_exit, new_loop_works, free_then_new};
    struct sockaddr_in address;
    evert_handle timer = {0};
    (void)state;
    memset(&listener, 0, sizeof(listener));
    evert__fd_init(&listener.fd, loop, tcp_bound(128, &address));
    evert__source_init(&listener.source, &listener.fd, EVERT__SOURCE_ACCEPT, accept_all);
    accept_all(&listener.source);
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        int calls = 0;
        listener.accepted = ticks = 0;
        tick(&timer);
        assert_int_equal(evert_loop_call_threadsafe(loop, count_up, &calls), 0);
        assert_int_equal(exit_of(fork_child(bodies[i])), 0);
        for (int client = 1; client <= 100; client++) {
            int fd = tcp_client(&address);
            run_until(&listener.accepted, client);
            close(fd);
        }
        run_until(&calls, 1);
        run_until(&ticks, 3);
        assert_int_equal(calls, 1);
        evert_handle_cancel(&timer);
    }
    evert__source_disarm(&listener.source);
    evert__fd_close(&listener.fd, NULL);
    turn(0);
}

/* ---- A fork while another thread has the process's lock ---- */

static atomic_bool over;

static void *make_loops(void *unused)
{
    (void)unused;
    while (!atomic_load(&over)) {
        evert__process_lock(); /* as making a loop does, only that it would seldom be met there */
        evert__process_unlock();
    }
    return NULL;
}

static void a_new_loop_can_be_made(void)
{
    evert_loop *fresh;
    alarm(5);
    MUST(evert_loop_new(&fresh) == 0);
    evert_loop_free(fresh);
}

static void test_a_fork_finds_no_lock_of_another_thread_taken(void **state)
{
    pthread_t maker;
    (void)state;
    atomic_store(&over, false);
    assert_int_equal(pthread_create(&maker, NULL, make_loops, NULL), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(exit_of(fork_child(a_new_loop_can_be_made)), 0);
    atomic_store(&over, true);
    pthread_join(maker, NULL);
}

/* Answers as a kernel does that does not know the advice. */
static bool refuse_advice(enum evert__sys_call call, const void *site, size_t *size,
                          int64_t *result)
{
    (void)site;
    (void)size;
    *result = -EINVAL;
    return call == EVERT__SYS_ADVISE;
}

static void fork_is_noticed_without_advice(void)
{
    evert__sys_set_hook(refuse_advice);
    MUST(evert_loop_new(&loop) == 0);
    evert__sys_set_hook(NULL);
    MUST(exit_of(fork_child(inherited_is_closed)) == 0);
    MUST(exit_of(fork_child(new_loop_works)) == 0);
    MUST(evert_loop_turn(loop, 0) == 0);
    evert_loop_free(loop);
}

/* P9: the first of all, since the advice is asked for once in a process, with its first loop. */
static void test_fork_is_noticed_where_the_kernel_does_not_help(void **state)
{
    (void)state;
    assert_int_equal(exit_of(fork_child(fork_is_noticed_without_advice)), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_is_noticed_where_the_kernel_does_not_help),
        LOOP_CASE(test_inherited_loop_is_closed),
        LOOP_CASE(test_inherited_loop_is_closed_to_the_child_of_another_thread),
        LOOP_CASE(test_new_loop_works_in_the_child),
        LOOP_CASE(test_child_may_free_the_inherited_loop_first),
        LOOP_CASE(test_childs_child_is_told_too),
        LOOP_CASE(test_fork_without_handlers_is_noticed),
        LOOP_CASE(test_implicit_loop_is_made_anew_in_the_child),
        LOOP_CASE(test_child_made_in_a_callback_may_run_a_new_loop),
        LOOP_CASE(test_run_ends_in_a_child_that_returns_into_it),
        LOOP_CASE(test_child_that_closes_disturbs_no_registration),
        LOOP_CASE(test_a_child_moves_no_bytes_of_its_parents),
        LOOP_CASE(test_childs_copies_bring_no_events_to_the_parent),
        LOOP_CASE(test_signals_watched_in_the_child_are_not_told_to_the_parent),
        LOOP_CASE(test_signals_of_a_child_are_its_own),
        LOOP_CASE(test_a_childs_own_watch_gives_back_what_was_first),
        LOOP_CASE(test_parent_serves_on_whatever_its_child_does),
        LOOP_CASE(test_a_fork_finds_no_lock_of_another_thread_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
