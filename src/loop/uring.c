/* SPDX-License-Identifier: MIT */
/*
 * The back end on io_uring(7). Everything that a turn asks for is queued, and goes to the kernel
 * with the wait, in one system call. The ring belongs to the thread that runs the loop first
 * (IORING_SETUP_SINGLE_ISSUER), and completions are made only while that waits (DEFER_TASKRUN): so
 * between two waits nothing changes, and a plain recv(2) keeps the order. There is never a thread
 * of the kernel that submits (SQPOLL): it would go on with the rights of the one that made it
 * (CVE-2024-22017).
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/flat.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/sys_uring.h"
#include "loop/readiness.h"
#include "loop/uring.h"

enum {
    ENTRIES = 256,
    COMPLETIONS = 4096,
    FEW = 8 /* what came in a turn, so that each send is better made at once */
};

/* ---- Making a ring ---- */

/* Whether the kernel knows the operations: it may have been built without some of them. */
static int look_for_operations(struct io_uring *ring)
{
    static const uint8_t needed[] = {
        IORING_OP_ACCEPT,   IORING_OP_RECV,   IORING_OP_SEND,         IORING_OP_POLL_ADD,
        IORING_OP_SENDMSG,  IORING_OP_OPENAT, IORING_OP_ASYNC_CANCEL, IORING_OP_READ,
        IORING_OP_WRITE,    IORING_OP_STATX,  IORING_OP_FSYNC,        IORING_OP_RENAMEAT,
        IORING_OP_UNLINKAT,
    };
    union {
        struct io_uring_probe probe;
        char
            room[sizeof(struct io_uring_probe) + IORING_OP_LAST * sizeof(struct io_uring_probe_op)];
    } known = {.room = {0}};
    int rc = evert__sys_uring_probe(ring, &known.probe, IORING_OP_LAST);
    for (size_t i = 0; i < sizeof(needed) && rc == 0; i++) {
        if (!io_uring_opcode_supported(&known.probe, needed[i]))
            rc = -EOPNOTSUPP;
    }
    return rc;
}

/*
 * All that is needed must be known now, as nobody can change over from a ring that is in use. Of
 * multishot accept and receive, which cannot be asked for, the flags of the set-up tell: the kernel
 * learnt DEFER_TASKRUN last (6.1). And a sandbox may refuse the calls one by one; that of the ring,
 * which is not enabled yet, says so and no more where it is allowed.
 */
static int look_for_what_is_needed(struct evert__uring *u)
{
    const unsigned features = IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_EXT_ARG;
    if ((u->ring.features & features) != features)
        return -EOPNOTSUPP;
    int rc = evert__sys_uring_submit(&u->ring);
    if (rc != -EBADFD)
        return rc < 0 ? rc : -EOPNOTSUPP;
    return look_for_operations(&u->ring);
}

static int make_ring(struct evert__uring *u)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
                                              IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                                              IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                                     .cq_entries = COMPLETIONS};
    int rc = evert__sys_uring_setup(&u->ring, ENTRIES, &params);
    if (rc < 0)
        return rc;
    rc = look_for_what_is_needed(u);
    if (rc == 0)
        rc = evert__uring_buffers_init(&u->buffers, &u->ring);
    if (rc < 0)
        evert__sys_uring_exit(&u->ring);
    return rc;
}

static int init(evert_loop *loop)
{
    struct evert__uring *u = evert__alloc_zero(sizeof(*u));
    if (u == NULL)
        return -ENOMEM;
    u->messages = evert__alloc((ENTRIES + 1) * sizeof(*u->messages));
    int rc = u->messages != NULL ? make_ring(u) : -ENOMEM;
    if (rc < 0) {
        evert__free(u->messages);
        evert__free(u);
        return rc;
    }
    evert__list_init(&u->ops);
    evert__list_init(&u->leaving);
    evert__list_init(&u->files);
    loop->backend_state = u;
    return 0;
}

static void fini(evert_loop *loop)
{
    struct evert__uring *u = evert__uring_of(loop);
    evert__sys_uring_exit(&u->ring);
    evert__uring_buffers_fini(&u->buffers);
    evert__free(u->messages);
    evert__free(u);
}

/* ---- Submitting ---- */

/*
 * The kernel takes nothing, for want of memory or for whatever reason. It is left alone for a
 * moment: what it did not take is still in the queue.
 */
static void leave_alone(evert_time span)
{
    const evert_time longest = 5 * EVERT_MILLISECOND;
    (void)evert__sys_poll(NULL, 0, span < longest ? span : longest);
}

/* The ring starts disabled, so that it is bound to the thread that runs the loop. */
static int enable(struct evert__uring *u)
{
    if (u->enabled)
        return 0;
    int rc = evert__sys_uring_enable(&u->ring);
    u->enabled = rc == 0;
    return rc;
}

EVERT__HOT struct io_uring_sqe *evert__uring_sqe(struct evert__uring *u)
{
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&u->ring)) == NULL) {
        int rc = enable(u);
        if (rc == 0)
            rc = evert__sys_uring_submit(&u->ring);
        if (rc == -EEXIST)
            return &u->unused; /* see abandon() */
        if (rc < 0 && rc != -EINTR)
            leave_alone(EVERT_MILLISECOND);
    }
    return sqe;
}

void evert__uring_cancel(struct evert__uring *u, uint64_t data)
{
    struct io_uring_sqe *sqe = evert__uring_sqe(u);
    io_uring_prep_cancel64(sqe, data, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, EVERT__URING_NOBODY);
}

/* ---- Ops ---- */

static void prepare_send(struct evert__uring *u, struct io_uring_sqe *sqe, struct evert__op *op)
{
    const struct iovec *first = op->send.pieces;
    if (op->send.count == 1 || op->most < first->iov_len) {
        size_t size = op->most < first->iov_len ? op->most : first->iov_len;
        io_uring_prep_send(sqe, op->fd->number, first->iov_base, size, MSG_NOSIGNAL);
        return;
    }
    /* The kernel reads the message when it is submitted, and the pieces are the op's. */
    size_t place = sqe != &u->unused ? (size_t)(sqe - u->ring.sq.sqes) : ENTRIES;
    struct msghdr *message = &u->messages[place];
    *message = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)first,
                               .msg_iovlen = op->most == SIZE_MAX ? (size_t)op->send.count : 1};
    io_uring_prep_sendmsg(sqe, op->fd->number, message, MSG_NOSIGNAL);
}

EVERT__HOT static void submit(struct evert__op *op)
{
    struct evert__uring *u = evert__uring_of(op->fd->loop);
    struct io_uring_sqe *sqe = evert__uring_sqe(u);
    if (op->kind != EVERT__OP_SEND)
        io_uring_prep_poll_add(sqe, op->fd->number, POLLOUT);
    else
        prepare_send(u, sqe, op);
    io_uring_sqe_set_data(sqe, op);
    evert__list_append(&u->ops, &op->held.link);
}

/*
 * A connect is begun by the call itself and then waited for: the ring's own gave success (on Linux
 * 6.18) where a router had said that the host is unreachable.
 */
static bool start_connect(struct evert__op *op)
{
    op->result = evert__sys_connect(op->fd->number, op->connect.address, op->connect.size);
    if (op->result != -EINPROGRESS)
        return true;
    op->result = 0;
    submit(op);
    return false;
}

static size_t size_of(const struct evert__op *op)
{
    size_t size = 0;
    for (int i = 0; i < op->send.count; i++)
        size += op->send.pieces[i].iov_len;
    return size;
}

/*
 * Sends that are left to the end of the turn go to the kernel in one call, but their completions
 * end its wait, so a turn more follows. That pays where many share it. And much is sent at once in
 * any case: by the end of the turn the bytes would be out of the processor's caches.
 */
static bool start_send(struct evert__op *op)
{
    bool at_once = !op->fd->loop->gathers || size_of(op) >= EVERT__MUCH;
    if (at_once && op->most == SIZE_MAX) {
        op->result = evert__readiness_send(op->fd, op->send.pieces, op->send.count);
        if (op->result != -EAGAIN)
            return true;
    }
    size_t whole = op->send.pieces[0].iov_len, size = whole;
    if (evert__sys_uring_answered(EVERT__SYS_SEND, &size, &op->result) && op->result != -EAGAIN)
        return true;
    if (size < whole)
        op->most = size;
    op->result = 0;
    submit(op);
    return false;
}

static bool start_waiting_for_room(struct evert__op *op)
{
    op->result = 0;
    if (!op->fd->writable)
        submit(op);
    return op->fd->writable;
}

EVERT__HOT static bool start(struct evert__op *op)
{
    switch (op->kind) {
    case EVERT__OP_CONNECT:
        return start_connect(op);
    case EVERT__OP_ROOM:
        return start_waiting_for_room(op);
    default:
        return start_send(op);
    }
}

static bool cancel(struct evert__op *op)
{
    op->result = -ECANCELED; /* so that it is not begun again after EINTR */
    evert__uring_cancel(evert__uring_of(op->fd->loop), (uint64_t)(uintptr_t)op);
    return false;
}

static void op_completed(struct evert__op *op, int result)
{
    bool cancelled = op->result != 0, sends = op->kind == EVERT__OP_SEND;
    evert__link_remove(&op->held.link);
    op->fd->writable = true;
    /* A send that found no room again, after it was told of some, waits for more. */
    bool again = result == -EINTR || (result == -EAGAIN && sends);
    if (again && !cancelled) {
        submit(op);
        return;
    }
    if (again)
        result = -ECANCELED;
    if (!sends && result > 0) /* what the socket is ready for */
        result = op->kind == EVERT__OP_CONNECT ? (int)evert__connect_result(op->fd) : 0;
    op->result = result;
    evert__tell_op(op);
}

/* ---- Waiting ---- */

static struct io_uring_cqe *completion_at(struct evert__uring *u, unsigned place)
{
    return &u->ring.cq.cqes[(*u->ring.cq.khead + place) & u->ring.cq.ring_mask];
}

static struct evert__fd *source_of(const struct io_uring_cqe *cqe)
{
    uint64_t tag = cqe->user_data & EVERT__URING_TAGS;
    if (tag != EVERT__URING_SOURCE && tag != EVERT__URING_LISTENER)
        return NULL;
    return (struct evert__fd *)(uintptr_t)(cqe->user_data - tag);
}

/*
 * What is told may take from the kernel whatever is there. So all that the ring has delivered to
 * sources by then, which is older, is put with them first.
 */
EVERT__HOT void evert__uring_keep_what_came(evert_loop *loop)
{
    struct evert__uring *u = evert__uring_of(loop);
    for (unsigned count = io_uring_cq_ready(&u->ring); u->kept < count; u->kept++) {
        struct io_uring_cqe *cqe = completion_at(u, u->kept);
        struct evert__fd *fd = source_of(cqe);
        if (fd != NULL && !evert__uring_source_keep(fd, cqe))
            cqe->user_data = EVERT__URING_NOBODY;
    }
}

void evert__uring_disown(struct evert__uring *u, const struct evert__fd *fd)
{
    for (unsigned i = 0; i < u->kept; i++) {
        struct io_uring_cqe *cqe = completion_at(u, i);
        if (source_of(cqe) == fd)
            cqe->user_data = EVERT__URING_NOBODY;
    }
}

static void tell_what_came(evert_loop *loop, unsigned count)
{
    struct evert__uring *u = evert__uring_of(loop);
    while (count-- > 0) {
        const struct io_uring_cqe *cqe = completion_at(u, 0);
        uint64_t data = cqe->user_data;
        struct evert__fd *fd = source_of(cqe);
        int result = cqe->res;
        io_uring_cq_advance(&u->ring, 1);
        u->kept--;
        if (fd != NULL)
            evert__uring_source_tell(fd);
        else if ((data & EVERT__URING_TAGS) == EVERT__URING_OP)
            op_completed((struct evert__op *)(uintptr_t)data, result);
        else if ((data & EVERT__URING_TAGS) == EVERT__URING_FILE)
            evert__uring_file_completed(data, result);
    }
}

/* Whether a wait of no length would find something. */
static bool has_work(struct evert__uring *u)
{
    const unsigned told = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    return io_uring_sq_ready(&u->ring) > 0 || io_uring_cq_ready(&u->ring) > 0 ||
           (__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) & told) != 0;
}

/*
 * The ring is of the thread that ran the loop, which is freed by another: the kernel takes nothing
 * from this one, and what was on its way ended with the other. So all of it is over that had not
 * come by then.
 */
static void abandon(evert_loop *loop)
{
    struct evert__uring *u = evert__uring_of(loop);
    struct evert__link *link;
    while ((link = evert__list_shift(&u->ops)) != NULL) {
        struct evert__op *op = EVERT__CONTAINER(link, struct evert__op, held.link);
        op->result = -ECANCELED;
        evert__tell_op(op);
    }
    evert__uring_files_abandon(loop);
    evert__uring_abandon_sources(u);
}

EVERT__HOT static void wait(evert_loop *loop, evert_time timeout)
{
    struct evert__uring *u = evert__uring_of(loop);
    int rc = 0;

    if (timeout > 0 || has_work(u)) {
        rc = enable(u);
        if (rc == 0)
            rc = evert__sys_uring_enter_flat(&u->ring, timeout > 0, timeout);
    }
    unsigned count = io_uring_cq_ready(&u->ring);
    if (count == 0 && rc < 0 && rc != -EINTR && rc != -ETIME && rc != -EEXIST)
        leave_alone(timeout);
    loop->gathers = count > FEW;
    evert__uring_keep_what_came(loop);
    tell_what_came(loop, count);
    if (rc == -EEXIST)
        abandon(loop);
}

const struct evert__backend evert__backend_uring = {
    .name = "uring",
    .init = init,
    .fini = fini,
    .wait = wait,
    .start = start,
    .cancel = cancel,
    .send = evert__readiness_send,
    .room = evert__readiness_room,
    .splice = evert__uring_splice,
    .take = evert__uring_take,
    .arm = evert__uring_arm,
    .disarm = evert__readiness_disarm,
    .look = evert__uring_look,
    .detach = evert__uring_detach,
    .start_file = evert__uring_start_file,
    .cancel_file = evert__uring_cancel_file,
};
