/* SPDX-License-Identifier: MIT */
#include "loop/trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#if __has_include(<execinfo.h>)
#include <execinfo.h>
#endif

#include "base/format.h"
#include "base/sys.h"
#include "loop/loop.h"
#include "loop/watch.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;
static struct sigaction before;

static int return_addresses(void **frames, int most)
{
#if __has_include(<execinfo.h>)
    return backtrace(frames, most);
#else
    (void)frames;
    (void)most;
    return 0;
#endif
}

/* Where the signal interrupted the thread; NULL on a machine of which that is not known. */
static void *interrupted_at(const ucontext_t *machine)
{
#if defined(__x86_64__) && defined(REG_RIP)
    return (void *)(uintptr_t)machine->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__) && defined(REG_EIP)
    return (void *)(uintptr_t)machine->uc_mcontext.gregs[REG_EIP];
#elif defined(__aarch64__)
    return (void *)(uintptr_t)machine->uc_mcontext.pc;
#elif defined(__s390x__)
    return (void *)(uintptr_t)machine->uc_mcontext.psw.addr;
#elif defined(__riscv) && defined(REG_PC)
    return (void *)(uintptr_t)machine->uc_mcontext.__gregs[REG_PC];
#else
    (void)machine;
    return NULL;
#endif
}

/* Leaves out the frames of the handler itself, and of what called it. */
static void leave_out_own(struct evert__trace *trace, const void *at)
{
    for (int i = 0; i < trace->count && at != NULL; i++) {
        if (trace->frames[i] != at)
            continue;
        trace->count -= i;
        memmove(trace->frames, trace->frames + i, (size_t)trace->count * sizeof(trace->frames[0]));
        return;
    }
}

/* Where nothing is told of callers, the place itself is known all the same. */
static void note(struct evert__trace *trace, void *at)
{
    trace->count = return_addresses(trace->frames, EVERT__FRAMES);
    leave_out_own(trace, at);
    if (trace->count == 0 && at != NULL)
        trace->frames[trace->count++] = at;
}

/* One that nobody asked for is the program's own. */
static void pass_on(int number, siginfo_t *info, void *machine)
{
    if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(number, info, machine);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
        before.sa_handler(number);
}

static void handler(int number, siginfo_t *info, void *machine)
{
    struct evert__trace *trace = evert__watch_trace(evert__loop_running());
    int error = errno;
    if (trace != NULL && atomic_exchange(&trace->wanted, false)) {
        note(trace, interrupted_at(machine));
        atomic_store(&trace->there, true);
    } else {
        pass_on(number, info, machine);
    }
    errno = error;
}

int evert__trace_init(void)
{
    struct sigaction action = {.sa_sigaction = handler,
                               .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    void *unused[2];
    int rc = 0;
    (void)return_addresses(unused, 2); /* the first time it loads a library */
    sigemptyset(&action.sa_mask);
    pthread_mutex_lock(&lock);
    if (users == 0)
        rc = evert__sys_sigaction(SIGURG, &action, &before);
    if (rc == 0)
        users++;
    pthread_mutex_unlock(&lock);
    return rc;
}

void evert__trace_fini(void)
{
    struct sigaction now;
    pthread_mutex_lock(&lock);
    if (--users == 0 && evert__sys_sigaction(SIGURG, NULL, &now) == 0 &&
        (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == handler)
        (void)evert__sys_sigaction(SIGURG, &before, NULL);
    pthread_mutex_unlock(&lock);
}

void evert__trace_ask(struct evert__trace *trace, pthread_t thread)
{
    trace->count = 0;
    atomic_store(&trace->there, false);
    atomic_store(&trace->wanted, true);
    (void)evert__sys_thread_kill(thread, SIGURG);
}

const char *evert__trace_words(const void *address, char words[EVERT__FRAME_WORDS])
{
    Dl_info at;
    const char *file;
    if (dladdr(address, &at) == 0 || at.dli_fname == NULL) {
        evert__format_string(words, EVERT__FRAME_WORDS, "%p", address);
        return words;
    }
    file = strrchr(at.dli_fname, '/');
    file = file != NULL ? file + 1 : at.dli_fname;
    size_t offset = (size_t)((const char *)address - (const char *)at.dli_fbase);
    if (at.dli_sname != NULL)
        evert__format_string(words, EVERT__FRAME_WORDS, "%s+%#zx (%s+%#zx)", at.dli_sname,
                             (size_t)((const char *)address - (const char *)at.dli_saddr), file,
                             offset);
    else
        evert__format_string(words, EVERT__FRAME_WORDS, "%s+%#zx", file, offset);
    return words;
}
