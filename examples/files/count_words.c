/* SPDX-License-Identifier: MIT */
/* Counts the words of files, as wc -w does one after the other: of all of them at once. */
#include <evert/evert.h>

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct file {
    const char *path;
    size_t words;
};

static size_t count_words(const char *bytes, size_t size, bool *inside)
{
    size_t words = 0;
    for (size_t i = 0; i < size; i++) {
        bool blank = isspace((unsigned char)bytes[i]);
        words += !blank && !*inside;
        *inside = !blank;
    }
    return words;
}

static int count(void *arg)
{
    struct file *file = arg;
    char bytes[32768];
    bool inside = false;
    int64_t offset = 0;
    ssize_t size;

    int fd = evert_file_open(file->path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    while ((size = evert_file_read(fd, bytes, sizeof(bytes), offset)) > 0) {
        file->words += count_words(bytes, (size_t)size, &inside);
        offset += size;
    }
    evert_file_close(fd);
    return (int)size;
}

static int count_all(void *paths)
{
    struct file files[100] = {{0}};
    evert_scope scope;
    int rc = 0, n = 0;

    evert_scope_enter(&scope, EVERT_NEVER);
    for (char **path = paths; *path != NULL && n < 100 && rc == 0; path++) {
        files[n].path = *path;
        rc = evert_spawn(&scope, count, &files[n++]);
    }
    rc = evert_scope_leave(&scope, rc); /* waits for all; the first failure ends the others */
    for (int i = 0; i < n && rc == 0; i++)
        printf("%zu %s\n", files[i].words, files[i].path);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 101) {
        fprintf(stderr, "usage: %s FILE...   (at most 100)\n", argv[0]);
        return 1;
    }
    return evert_main(count_all, argv + 1);
}
