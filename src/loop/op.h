/* SPDX-License-Identifier: MIT */
/*
 * The one interface to the kernel.
 *
 * An *op* is one thing asked of the kernel, such as a send: it is started, and completes exactly
 * once with a result, at once or later. Its memory, and all that it points to, stays valid until
 * then, also after a cancel. It belongs to its one waiter.
 *
 * A *source* is what the kernel delivers many times: received bytes, accepted connections. It
 * belongs to a connection or a listener. Whoever wants something *takes* it; where nothing is
 * there, the source is *armed*, and tells once when there is. What was delivered stays with the
 * source (in the kernel, or in buffers that the back end has) until it is taken, so giving up
 * waiting loses nothing.
 *
 * A descriptor's memory (evert__fd) and its sources and ops lie in the struct of their owner, who
 * keeps it until `closed` has been called: what is on its way in the kernel may still refer to it.
 */
#ifndef EVERT_SRC_LOOP_OP_H
#define EVERT_SRC_LOOP_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <evert/loop/loop.h>

#include "base/list.h"

struct evert__file;

/* What a ring has of a descriptor: see uring_source.c. */
struct evert__ringed {
    uint8_t first, last; /* of the buffers with what came and was not taken, from 1; 0: none */
    uint8_t buffers;     /* how many these are */
    uint8_t mode : 2;
    uint8_t ending : 1;  /* a cancel was asked for */
    uint8_t to_tell : 1; /* something came, and the completion that tells of it is still to come */
    uint8_t full : 1;    /* the newest buffer was filled, so there may be more in the socket */
    uint8_t takes : 3;   /* that gave something, the first seven */
};

enum evert__source_kind {
    EVERT__SOURCE_RECEIVE, /* bytes of a socket */
    EVERT__SOURCE_ACCEPT,  /* connections of a listening socket */
    EVERT__SOURCE_COUNTER  /* the count of an eventfd */
};

struct evert__fd {
    evert_loop *loop;
    int number; /* -1 once closed */
    int error;  /* it cannot be waited for: the next take says so */
    union {
        struct {
            bool readable;  /* reading is worth a try: it has not said that it would block */
            bool writable;  /* the same of writing */
            bool ended : 1; /* an event carried RDHUP, HUP or ERR; in a ring: the end has come */
            bool drained_by_short_read : 1; /* it is TCP, where a short read has emptied it */
            bool taken_from : 1;            /* a listening socket, since it last had nothing */
            bool tells_of_room : 1; /* on epoll: the kernel is asked about room to send, too */
            bool by_readiness : 1;  /* all of it is in the kernel: see op_flat.h */
            uint8_t kind;           /* what its source delivers: one of enum evert__source_kind */
            union {
                uint32_t slot; /* the back end's, where it is registered; 0 if it is not */
                struct evert__ringed ringed;
            };
        };
        void *owner; /* once closed: for `closed`, to be set after evert__fd_close() */
    };
    union {
        struct {
            struct evert__source *source; /* armed, waiting for this to be readable */
            union {
                struct evert__op *op;                   /* started, waiting for it to be writable */
                struct evert__uring_accepted *accepted; /* of a listening socket in a ring */
            };
        };
        struct evert__link link; /* once closed: on the loop's list of these */
    };
    void (*closed)(struct evert__fd *fd);
};

/* What a back end that delays things keeps with an op that it delays. */
struct evert__held {
    struct evert__link link;
    uint8_t turns, state;
};

enum evert__op_kind {
    EVERT__OP_CONNECT,
    EVERT__OP_SEND,
    EVERT__OP_ROOM /* waits until a socket takes bytes again, after one of the calls below said that
                    * it does not */
};

struct evert__op {
    enum evert__op_kind kind;
    struct evert__fd *fd;
    void (*done)(struct evert__op *op); /* never from inside start */
    ssize_t result; /* SEND: bytes sent, which may be fewer; else 0; or an error */
    size_t most;    /* SEND: no more bytes than this; SIZE_MAX for all */
    union {
        struct {
            const struct sockaddr *address;
            socklen_t size;
        } connect;
        struct {
            const struct iovec *pieces; /* at least one, the first not empty */
            int count;
        } send;
    };
    struct evert__held held;
};

struct evert__source {
    struct evert__fd *fd;
    void (*ready)(struct evert__source *source); /* never from inside take or arm */
};

/* How a loop speaks to the kernel: a constant table, chosen when the loop is made. */
struct evert__backend {
    const char *name;
    const struct evert__backend *inner; /* of an adverse one: what it wraps */
    int (*init)(evert_loop *loop);
    void (*fini)(evert_loop *loop);
    void (*wait)(evert_loop *loop, evert_time timeout); /* tells what has happened by then */
    bool (*start)(struct evert__op *op);
    bool (*cancel)(struct evert__op *op);
    ssize_t (*send)(struct evert__fd *fd, const struct iovec *pieces, int count);
    size_t (*room)(struct evert__fd *fd, size_t size);
    ssize_t (*splice)(struct evert__source *source, int pipe, size_t size);
    ssize_t (*take)(struct evert__source *source, void *buffer, size_t size);
    bool (*arm)(struct evert__source *source);
    void (*disarm)(struct evert__source *source);
    bool (*look)(struct evert__source *source);
    /* Forgets the descriptor, which is about to be closed. True: it closes it itself, later. */
    bool (*detach)(struct evert__fd *fd);
    bool (*start_file)(struct evert__file *file); /* of files: see file.h */
    bool (*cancel_file)(struct evert__file *file);
};

extern const struct evert__backend evert__backend_epoll, evert__backend_poll, evert__backend_uring,
    evert__backend_adverse, evert__backend_adverse_uring;

/* Gives the loop the first back end of those that EVERT_BACKEND names that can be made here. */
int evert__backend_init(evert_loop *loop);

/* Makes `fd` stand for the descriptor `number`, which it takes. Does not touch the descriptor. */
void evert__fd_init(struct evert__fd *fd, evert_loop *loop, int number);

/*
 * Closes the descriptor; `closed` is called in a later step of this turn or in a later turn, once
 * nothing refers to `fd` any more. NULL: nobody is told; then its memory stays as long as the loop.
 * No op may be on its way; an armed source is disarmed.
 */
void evert__fd_close(struct evert__fd *fd, void (*closed)(struct evert__fd *fd));

/* Has the close of a socket end its connection by a reset, what is unsent dropped. */
void evert__fd_end_by_reset(const struct evert__fd *fd);

/* For a back end that closes later: nothing refers to `fd` any more. */
void evert__fd_closed(struct evert__fd *fd);

/* Starts an op. True: it is complete, the result is there. False: `done` will tell. */
bool evert__op_start(struct evert__op *op);

/*
 * Cancels an op on its way. True: it has ended without effect, and `done` is not called. False:
 * `done` will tell what became of it, which may be a success.
 */
bool evert__op_cancel(struct evert__op *op);

/*
 * Sends at once as much as goes without waiting: bytes sent, which may be fewer; -EAGAIN: none; or
 * another error. No send op may be on its way. For what is much (EVERT__MUCH): it goes from where
 * it lies, while it is in the processor's caches.
 */
ssize_t evert__fd_send(struct evert__fd *fd, const struct iovec *pieces, int count);
enum { EVERT__MUCH = 16384 };

/*
 * The same from a file, or from a pipe, without copying: the kernel hands over what it has. 0: the
 * file ends there. After -EAGAIN an op waits for room.
 */
ssize_t evert__fd_send_file(struct evert__fd *fd, int file, int64_t offset, size_t size);
ssize_t evert__fd_send_pipe(struct evert__fd *fd, int pipe, size_t size);

/* What this descriptor delivers, of which `ready` tells. */
static inline void evert__source_init(struct evert__source *source, struct evert__fd *fd,
                                      enum evert__source_kind kind,
                                      void (*ready)(struct evert__source *source))
{
    fd->kind = (uint8_t)kind;
    *source = (struct evert__source){.fd = fd, .ready = ready};
}

/*
 * Takes what a source has. RECEIVE, COUNTER: the count of bytes, 0 at the end. ACCEPT: a descriptor
 * (buffer and size are not looked at). -EAGAIN: nothing is there; then arm. Or another error.
 */
ssize_t evert__source_take(struct evert__source *source, void *buffer, size_t size);

/*
 * Takes from a RECEIVE source into an empty pipe, without copying. As above, and -ENOTEMPTY: the
 * back end holds bytes that came before, or the end; these are to be taken first.
 */
ssize_t evert__source_splice(struct evert__source *source, int pipe, size_t size);

/* Whether taking is worth a try; if not, a take would say -EAGAIN. */
static inline bool evert__source_may_have(const struct evert__source *source)
{
    return source->fd->readable || source->fd->error < 0;
}

/*
 * Whether a RECEIVE source has something, the kernel itself being asked. A back end may answer a
 * take with -EAGAIN without asking, as long as it tells later; where something else is to be told
 * instead, that is not good enough.
 */
bool evert__source_look(struct evert__source *source);

/* True: there may be something already, take again. False: `ready` will tell, once. */
bool evert__source_arm(struct evert__source *source);

/* `ready` does not tell any more. Without effect on a source that is not armed. */
void evert__source_disarm(struct evert__source *source);

#endif
