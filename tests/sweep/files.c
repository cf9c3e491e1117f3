/* SPDX-License-Identifier: MIT */
/* Files: saved and loaded whole, written and read in part by many tasks, and given up. */
#include "scenarios.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

enum { SIZE = 3000, PIECES = 6, PIECE = SIZE / PIECES };

struct place {
    char folder[32], book[64], parts[64];
    char bytes[SIZE];
    int fd;
};

struct part {
    struct place *place;
    int number;
};

/* Whatever fails, the file is the old one or the new one, and nothing is beside it. */
static int keep_book(struct place *p)
{
    static const char *const contents[] = {"first", "second"};
    char found[16];
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++)
        rc = evert_file_save(p->book, evert_bytes_of(contents[i]), 0600);
    ssize_t size = evert_file_load(p->book, found, sizeof(found));
    if (size < 0)
        return first_error(rc, (int)size);
    CHECK(strcmp(found, contents[1]) == 0 || (rc < 0 && strcmp(found, contents[0]) == 0));
    return rc;
}

static int write_and_read_part(void *arg)
{
    struct part *part = arg;
    char found[PIECE];
    const char *bytes = part->place->bytes + part->number * PIECE;
    int64_t offset = part->number * PIECE;
    int rc = evert_file_write(part->place->fd, bytes, PIECE, offset);
    if (rc < 0)
        return rc;
    ssize_t count = evert_file_read(part->place->fd, found, PIECE, offset);
    if (count < 0)
        return (int)count;
    CHECK(count == PIECE && memcmp(found, bytes, PIECE) == 0);
    return 0;
}

static int write_parts(struct place *p)
{
    struct part parts[PIECES];
    evert_scope scope;
    int rc = 0;
    evert_scope_enter(&scope, EVERT_NEVER);
    for (int i = 0; i < PIECES && rc == 0; i++) {
        parts[i] = (struct part){p, i};
        rc = evert_spawn(&scope, write_and_read_part, &parts[i]);
    }
    return evert_scope_leave(&scope, rc);
}

static int look_at_parts(struct place *p)
{
    static char found[SIZE + 1];
    struct statx known;
    int rc = evert_file_sync_data(p->fd);
    if (rc == 0)
        rc = evert_file_stat(p->fd, &known);
    if (rc < 0)
        return rc;
    CHECK(known.stx_size == SIZE);
    ssize_t count = evert_file_read(p->fd, found, sizeof(found), 0);
    CHECK(count < 0 || (count == SIZE && memcmp(found, p->bytes, SIZE) == 0));
    return count < 0 ? (int)count : 0;
}

static int use_parts(struct place *p)
{
    p->fd = evert_file_open(p->parts, O_RDWR | O_CREAT, 0600);
    if (p->fd < 0)
        return p->fd;
    int rc = write_parts(p);
    if (rc == 0)
        rc = look_at_parts(p);
    return first_error(rc, evert_file_close(p->fd));
}

static int open_and_close(void *path)
{
    int fd = evert_file_open(path, O_RDONLY, 0);
    return fd < 0 ? fd : evert_file_close(fd);
}

static int give_up(struct place *p)
{
    evert_scope scope;
    int rc = 0;
    evert_scope_enter(&scope, EVERT_NEVER);
    for (int i = 0; i < 3 && rc == 0; i++)
        rc = evert_spawn(&scope, open_and_close, p->parts);
    if (rc == 0)
        rc = evert_yield();
    evert_scope_cancel(&scope);
    return evert_scope_leave(&scope, rc);
}

static int run_files(void *place)
{
    int rc = keep_book(place);
    if (rc == 0)
        rc = use_parts(place);
    return rc < 0 ? rc : give_up(place);
}

/* How many files there still were in it. */
static int remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0;
    CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL)
        count += unlinkat(dirfd(folder), entry->d_name, 0) == 0;
    closedir(folder);
    CHECK(rmdir(path) == 0);
    return count;
}

static int files_run(void)
{
    static struct place p;
    strcpy(p.folder, "/tmp/evert-sweep-XXXXXX");
    CHECK(mkdtemp(p.folder) != NULL);
    snprintf(p.book, sizeof(p.book), "%s/book", p.folder);
    snprintf(p.parts, sizeof(p.parts), "%s/parts", p.folder);
    for (int i = 0; i < SIZE; i++)
        p.bytes[i] = (char)(i * 7 + i / 251);
    int rc = evert_run(run_files, &p);
    unlink(p.book);
    unlink(p.parts);
    CHECK(remove_folder(p.folder) == 0 || rc < 0); /* with no memory to remove it by, either */
    return rc;
}

const struct scenario files_scenario = {.name = "files", .run = files_run};
