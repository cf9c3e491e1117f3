/* SPDX-License-Identifier: MIT */
/* What the tests of files share: a folder, bytes that are known, and faults of the system's. */
#ifndef EVERT_TESTS_CORO_FILES_H
#define EVERT_TESTS_CORO_FILES_H

#include <evert/coro/file.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "support.h"

enum { MOST = 1 << 20 }; /* bytes in a file of a test */

#ifndef STATX_SIZE
/* Not every C library has it: the beginning of the kernel's (statx(2)), and as much as it has. */
struct statx {
    uint32_t stx_mask, stx_blksize;
    uint64_t stx_attributes;
    uint32_t stx_nlink, stx_uid, stx_gid;
    uint16_t stx_mode, stx_spare;
    uint64_t stx_ino, stx_size, stx_rest[26];
};
_Static_assert(sizeof(struct statx) == 256, "as large as the kernel's");
#endif

#define LENGTH_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- A folder, which each case finds empty ---- */

static char folder[64];

/* A path in it; the last four are good. */
static inline const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static inline int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/evert-file-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Runs a table of tests, each of which leaves the folder empty. */
#define run_in_folder(tests)              \
    (setenv("CMOCKA_TEST_ABORT", "1", 1), \
     cmocka_run_group_tests((tests), make_folder, remove_folder))

/* How many files there are. */
static inline int files_in_folder(void)
{
    return entries_of(folder) - 2;
}

static inline bool is_on(const char *part)
{
    const char *name = getenv("EVERT_BACKEND");
    return name != NULL && strstr(name, part) != NULL;
}

/* ---- Bytes ---- */

/* As many as asked for, from a place on; different at each place that matters. */
static inline char *bytes_at(size_t place, size_t size)
{
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)((place + i) * 7 + (place + i) / 251);
    return bytes;
}

static inline void check_bytes(const char *bytes, size_t place, size_t size)
{
    char *wanted = bytes_at(place, size);
    assert_memory_equal(bytes, wanted, size);
    free(wanted);
}

/* Makes a file of so many, without the library. */
static inline void put_file(const char *path, size_t size)
{
    char *bytes = bytes_at(0, size);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    free(bytes);
}

static inline void check_file(const char *path, const char *content)
{
    char found[256] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, found, sizeof(found) - 1), strlen(content));
    assert_string_equal(found, content);
    close(fd);
}

static inline int open_file(const char *name, int flags)
{
    int fd = evert_file_open(in_folder(name), flags, 0600);
    if (fd < 0)
        check_rc(fd, 0);
    return fd;
}

/* Makes one of so many bytes, and opens it. */
static inline int open_with(const char *name, size_t size)
{
    put_file(in_folder(name), size);
    return open_file(name, O_RDWR);
}

static inline void close_and_remove(int fd, const char *name)
{
    check_rc(evert_file_close(fd), 0);
    check_rc(evert_file_unlink(in_folder(name)), 0);
}

/* ---- Faults: what the system says, in whichever thread it is asked ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int asked[EVERT__SYS_COUNT];
    enum evert__sys_call call;
    int skip, times; /* the call is answered so many times after so many */
    int64_t answer;
    size_t most; /* and besides is made of no more than this; 0: of all */
    bool cold;   /* nothing can be read without waiting */
    bool closed; /* a thread that makes the call waits until this is false */
    int waiting;
} script = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* The lock is held. */
static inline void wait_at_the_gate(void)
{
    script.waiting++;
    pthread_cond_broadcast(&script.changed);
    while (script.closed)
        pthread_cond_wait(&script.changed, &script.lock);
    script.waiting--;
}

static inline bool follow_script(enum evert__sys_call call, const void *site, size_t *size,
                                 int64_t *result)
{
    bool answered = false;
    (void)site;
    pthread_mutex_lock(&script.lock);
    script.asked[call]++;
    if (call == script.call) {
        if (script.closed)
            wait_at_the_gate();
        if (script.most > 0 && size != NULL && *size > script.most)
            *size = script.most;
        answered = script.skip-- <= 0 && script.times-- > 0;
        *result = script.answer;
    }
    if (call == EVERT__SYS_PREAD_NOW && script.cold) {
        *result = -EAGAIN;
        answered = true;
    }
    pthread_mutex_unlock(&script.lock);
    return answered;
}

static inline void begin_script(enum evert__sys_call call, int skip, int times, int64_t answer)
{
    pthread_mutex_lock(&script.lock);
    memset(script.asked, 0, sizeof(script.asked));
    script.call = call;
    script.skip = skip;
    script.times = times;
    script.answer = answer;
    script.most = 0;
    script.cold = false;
    pthread_mutex_unlock(&script.lock);
    evert__sys_set_hook(follow_script);
}

/* The same, of no more than `most` bytes each time. */
static inline void begin_short_script(enum evert__sys_call call, size_t most)
{
    begin_script(call, 0, 0, 0);
    pthread_mutex_lock(&script.lock);
    script.most = most;
    pthread_mutex_unlock(&script.lock);
}

/* And from now on nothing can be read without waiting. */
static inline void make_cold(void)
{
    pthread_mutex_lock(&script.lock);
    script.cold = true;
    pthread_mutex_unlock(&script.lock);
}

static inline void end_script(void)
{
    evert__sys_set_hook(NULL);
}

static inline int asked_for(enum evert__sys_call call)
{
    pthread_mutex_lock(&script.lock);
    int count = script.asked[call];
    pthread_mutex_unlock(&script.lock);
    return count;
}

/* Threads that make the call wait from now on; until the gate is opened. */
static inline void close_gate(enum evert__sys_call call)
{
    begin_script(call, 0, 0, 0);
    pthread_mutex_lock(&script.lock);
    script.closed = true;
    pthread_mutex_unlock(&script.lock);
}

static inline void open_gate(void)
{
    pthread_mutex_lock(&script.lock);
    script.closed = false;
    pthread_cond_broadcast(&script.changed);
    pthread_mutex_unlock(&script.lock);
}

static inline int waiting_at_the_gate(void)
{
    pthread_mutex_lock(&script.lock);
    int count = script.waiting;
    pthread_mutex_unlock(&script.lock);
    return count;
}

#endif
