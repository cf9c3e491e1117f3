/* SPDX-License-Identifier: MIT */
/*
 * Serves the files of one folder. Who asks for a name in a line gets the file's size in a line, and
 * then its bytes; or a line that begins with "error:".
 *
 *     file_server [FOLDER [ADDRESS]]
 */
#include <evert/evert.h>

#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *address = "tcp://127.0.0.1:9999";
static int folder;

/* Opens a plain file of the folder. A name with a slash, or a link, could lead out of it. */
static int open_file(const char *name, struct stat *status)
{
    if (strchr(name, '/') != NULL)
        return -1;
    int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file >= 0 && (fstat(file, status) < 0 || !S_ISREG(status->st_mode))) {
        close(file);
        file = -1;
    }
    return file;
}

static int serve_files(evert_stream *s, void *unused)
{
    char name[NAME_MAX + 1];
    struct stat status;
    ssize_t length;

    (void)unused;
    while ((length = evert_read_line_into(s, name, sizeof(name))) >= 0) {
        int file = strlen(name) == (size_t)length ? open_file(name, &status) : -1;
        if (file < 0) {
            evert_puts(s, "error: no such file\r\n");
            continue;
        }
        evert_printf(s, "%lld\r\n", (long long)status.st_size);
        evert_send_file(s, file, 0, status.st_size); /* a failure comes back from the read */
        close(file);
    }
    return (int)length;
}

static int serve(void *unused)
{
    evert_listener *listener;
    int rc = evert_listen(&listener, address);

    (void)unused;
    if (rc < 0)
        return rc;
    printf("listening on %s\n", evert_listener_address(listener));
    fflush(stdout);
    return evert_serve(listener, serve_files, NULL);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : ".";
    if (argc > 2)
        address = argv[2];
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        err(1, "%s", path);
    return evert_main(serve, NULL);
}
