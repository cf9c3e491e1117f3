/* SPDX-License-Identifier: MIT */
/*
 * A chat of lines, in callbacks. The first line is the name; what is said then goes to all others.
 * The factory is what the members share: it is the room.
 */
#include "many.h"

/*
 * What may wait for a member that does not read. Beyond this it is thrown out: the others neither
 * wait for it, nor does what they say pile up in memory.
 */
enum { MOST_UNSENT = 256 * 1024 };

enum { NAME_SIZE = 32 };

struct member {
    evert_line_receiver lines;
    struct member *next;      /* in the room */
    char name[NAME_SIZE + 1]; /* empty until it was told */
};

static struct room *room_of(const struct member *m)
{
    return (struct room *)m->lines.protocol.factory;
}

/* Tells everybody in the room but one. Who hangs up, or is thrown out, leaves in a later turn. */
static void tell(const struct member *except, const struct member *who, const char *does,
                 evert_bytes text)
{
    evert_bytes pieces[] = {evert_bytes_of(who->name), evert_bytes_of(does), text, {"\r\n", 2}};
    for (struct member *m = room_of(who)->members; m != NULL; m = m->next) {
        evert_transport *t = m->lines.protocol.transport;
        if (m == except || evert_transport_is_closing(t))
            continue;
        evert_transport_writev(t, pieces, 4);
        if (evert_transport_unsent(t) > MOST_UNSENT)
            evert_transport_abort_connection(t);
    }
}

static int join(struct member *m, evert_bytes name)
{
    if (name.size == 0 || name.size > NAME_SIZE || memchr(name.data, '\0', name.size) != NULL) {
        evert_transport_printf(m->lines.protocol.transport, "error: a name has 1 to %d bytes\r\n",
                               NAME_SIZE);
        evert_transport_lose_connection(m->lines.protocol.transport);
        return 0;
    }
    memcpy(m->name, name.data, name.size);
    m->next = room_of(m)->members;
    room_of(m)->members = m;
    tell(NULL, m, " joins", evert_bytes_of(""));
    return 0;
}

static int line_received(evert_line_receiver *lines, evert_bytes line)
{
    struct member *m = (struct member *)lines;
    if (m->name[0] == '\0')
        return join(m, line);
    tell(m, m, ": ", line);
    return 0;
}

static void leave(evert_line_receiver *lines, int reason)
{
    struct member *m = (struct member *)lines;
    struct member **at = &room_of(m)->members;
    (void)reason;
    if (m->name[0] == '\0')
        return;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    tell(NULL, m, " leaves", evert_bytes_of(""));
}

void room_init(struct room *room)
{
    static const evert_line_receiver_ops ops = {
        .size = sizeof(struct member),
        .line_limit = 1024,
        .line_received = line_received,
        .connection_lost = leave,
    };
    *room = (struct room){.factory = {evert_build_line_receiver, &ops}};
}
