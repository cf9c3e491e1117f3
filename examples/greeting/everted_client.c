/* SPDX-License-Identifier: MIT */
/* Plain blocking code, run as it is; and then the very same code, a thousand at once. */
#include <evert/evert.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int get_greeting(const char *address, const char *name, char *greeting, size_t size)
{
    evert_stream *s;
    int rc = evert_connect(&s, address);
    if (rc < 0)
        return rc;
    evert_printf(s, "%s\r\n", name); /* a failure comes back from the read */
    rc = (int)evert_read_line_into(s, greeting, size);
    evert_close(s);
    if (rc >= 0 && strncmp(greeting, "Hello, ", 7) != 0)
        rc = -EPROTO;
    return rc;
}

enum { AT_ONCE = 1000 };

struct client {
    const char *address, *expected;
    char name[1100], greeting[1100];
};

static int one_of_many(void *arg)
{
    struct client *c = arg;
    return get_greeting(c->address, c->name, c->greeting, sizeof(c->greeting));
}

static int many(void *arg)
{
    struct client *clients = arg;
    evert_scope scope;
    int rc = 0;

    evert_scope_enter(&scope, evert_after(30 * EVERT_SECOND));
    evert_scope_keep_going(&scope);
    for (int i = 0; i < AT_ONCE && rc == 0; i++)
        rc = evert_spawn(&scope, one_of_many, &clients[i]);
    return evert_scope_leave(&scope, rc);
}

static int right(const struct client *c)
{
    size_t length = strlen(c->name);
    return strncmp(c->greeting, "Hello, ", 7) == 0 &&
           strncmp(c->greeting + 7, c->name, length) == 0 &&
           strcmp(c->greeting + 7 + length, "!") == 0;
}

int main(int argc, char **argv)
{
    static struct client clients[AT_ONCE];
    char greeting[1100];
    int count = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: %s ADDRESS NAME\n", argv[0]);
        return 1;
    }
    int rc = get_greeting(argv[1], argv[2], greeting, sizeof(greeting)); /* blocks */
    if (rc < 0) {
        fprintf(stderr, "%s\n", evert_describe(rc));
        return 1;
    }
    puts(greeting);

    for (int i = 0; i < AT_ONCE; i++) {
        clients[i].address = argv[1];
        snprintf(clients[i].name, sizeof(clients[i].name), "%.1000s %d", argv[2], i);
    }
    rc = evert_run(many, clients); /* the same, at once */
    for (int i = 0; i < AT_ONCE; i++)
        count += right(&clients[i]);
    printf("%d at once: %d right\n", AT_ONCE, count);
    return rc == 0 && count == AT_ONCE ? 0 : 1;
}
