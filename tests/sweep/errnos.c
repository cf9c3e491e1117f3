/* SPDX-License-Identifier: MIT */
#include "errnos.h"

/* A row is ended by 0, which the initialiser leaves. */
struct answers {
    bool first_is_level; /* the first is only for back ends that ask anew */
    int list[MOST_ANSWERS];
};

static const struct answers table[EVERT__SYS_COUNT] = {
    /* recv(2), tcp(7) */
    [EVERT__SYS_RECV] = {true,
                         {-EAGAIN, -EINTR, -ECONNREFUSED, -ECONNRESET, -ENOMEM, -ENOTCONN,
                          -ETIMEDOUT, -EHOSTUNREACH, -ENETDOWN, -ECONNABORTED}},
    /* send(2), tcp(7), unix(7) */
    [EVERT__SYS_SEND] = {true,
                         {-EAGAIN, -EINTR, -EACCES, -ECONNRESET, -EDESTADDRREQ, -EMSGSIZE, -ENOBUFS,
                          -ENOMEM, -ENOTCONN, -EPIPE, -ETIMEDOUT, -EHOSTUNREACH, -ENETDOWN}},
    /* accept(2), also what it says to treat as EAGAIN, and what various kernels return besides */
    [EVERT__SYS_ACCEPT] = {true, {-EAGAIN, -EINTR,           -ECONNABORTED,    -EMFILE,
                                  -ENFILE, -ENOBUFS,         -ENOMEM,          -EPROTO,
                                  -EPERM,  -ENETDOWN,        -ENOPROTOOPT,     -EHOSTDOWN,
                                  -ENONET, -EHOSTUNREACH,    -EOPNOTSUPP,      -ENETUNREACH,
                                  -ENOSR,  -ESOCKTNOSUPPORT, -EPROTONOSUPPORT, -ETIMEDOUT}},
    /* Not EINTR, after which the attempt goes on by itself: it has to have begun. */
    [EVERT__SYS_CONNECT] = {false,
                            {-EAGAIN, -EACCES, -EPERM, -EADDRINUSE, -EADDRNOTAVAIL, -EAFNOSUPPORT,
                             -ECONNREFUSED, -ENETUNREACH, -EHOSTUNREACH, -EPROTOTYPE, -ETIMEDOUT,
                             -ENOENT, -ENOBUFS}},
    [EVERT__SYS_SOCKET] = {false,
                           {-EACCES, -EAFNOSUPPORT, -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM,
                            -EPROTONOSUPPORT}},
    [EVERT__SYS_BIND] = {false,
                         {-EACCES, -EADDRINUSE, -EADDRNOTAVAIL, -ELOOP, -ENAMETOOLONG, -ENOENT,
                          -ENOMEM, -ENOTDIR, -EROFS}},
    [EVERT__SYS_LISTEN] = {false, {-EADDRINUSE, -EOPNOTSUPP}},
    [EVERT__SYS_SHUTDOWN] = {false, {-ENOTCONN, -EINVAL}},
    [EVERT__SYS_SETSOCKOPT] = {false, {-EINVAL, -ENOPROTOOPT, -ENOMEM, -ENOBUFS}},
    [EVERT__SYS_GETSOCKOPT] = {false, {-EINVAL, -ENOPROTOOPT, -ENOBUFS}},
    [EVERT__SYS_GETSOCKNAME] = {false, {-EINVAL, -ENOBUFS}},
    [EVERT__SYS_GETPEERNAME] = {false, {-EINVAL, -ENOBUFS, -ENOTCONN}},
    [EVERT__SYS_CLOSE] = {false, {-EINTR, -EIO, -ENOSPC, -EDQUOT}},
    [EVERT__SYS_OPEN] = {false, {-EINTR, -EACCES, -EMFILE, -ENFILE, -ENOENT, -ENOMEM, -ENXIO}},
    /* Of an eventfd (eventfd(2)); that it is full is never said, since the loop empties it. */
    [EVERT__SYS_READ] = {false, {-EAGAIN, -EINTR}},
    [EVERT__SYS_WRITE] = {false, {-EINTR}},
    /* fcntl(2) */
    [EVERT__SYS_DUP] = {false, {-EMFILE, -EINTR}},
    /* Of a file that is sent: sendfile(2), posix_fadvise(2), fstat(2), fstatfs(2). */
    [EVERT__SYS_SENDFILE] = {true,
                             {-EAGAIN, -EINTR, -EINVAL, -EIO, -ENOMEM, -ENOSYS, -EPIPE, -ECONNRESET,
                              -ENOBUFS}},
    /* splice(2), in both directions, and pipe2(2) */
    [EVERT__SYS_SPLICE] = {true, {-EAGAIN, -EINTR, -EINVAL, -ENOMEM, -ENOSYS, -EPIPE, -ECONNRESET}},
    [EVERT__SYS_PIPE] = {false, {-EMFILE, -ENFILE}},
    [EVERT__SYS_FADVISE] = {false, {-EINVAL}},
    [EVERT__SYS_FSTAT] = {false, {-EACCES, -ENOMEM, -EOVERFLOW}},
    [EVERT__SYS_FSTATFS] = {false, {-EINTR, -EIO, -ENOMEM, -ENOSYS}},
    [EVERT__SYS_STAT] = {false,
                         {-EACCES, -ELOOP, -ENAMETOOLONG, -ENOENT, -ENOMEM, -ENOTDIR, -EOVERFLOW}},
    [EVERT__SYS_UNLINK] = {false,
                           {-EACCES, -EBUSY, -EIO, -ENOENT, -ENOMEM, -ENOTDIR, -EPERM, -EROFS}},
    /* Of files: pread(2), pwrite(2), fsync(2), statx(2), rename(2), close(2), ... */
    [EVERT__SYS_PREAD] = {false, {-EINTR, -EIO, -ENOMEM, -ESTALE}},
    [EVERT__SYS_PREAD_NOW] = {false, {-EAGAIN, -EINTR, -EIO, -ENOSYS, -EOPNOTSUPP}},
    [EVERT__SYS_PWRITE] = {false,
                           {-EINTR, -EIO, -ENOSPC, -EDQUOT, -EFBIG, -ENOMEM, -EPERM, -ESTALE}},
    [EVERT__SYS_SYNC] = {false, {-EINTR, -EIO, -ENOSPC, -EDQUOT, -EROFS, -EINVAL}},
    [EVERT__SYS_STATX] = {false,
                          {-EINTR, -EACCES, -ELOOP, -ENAMETOOLONG, -ENOENT, -ENOMEM, -ENOTDIR}},
    [EVERT__SYS_RENAME] = {false,
                           {-EINTR, -EACCES, -EBUSY, -EDQUOT, -EISDIR, -ENOENT, -ENOMEM, -ENOSPC,
                            -EPERM, -EROFS, -EXDEV}},
    [EVERT__SYS_FCNTL] = {false, {-EINTR, -EPERM}},
    [EVERT__SYS_EVENTFD] = {false, {-EMFILE, -ENFILE, -ENODEV, -ENOMEM}},
    [EVERT__SYS_EPOLL_CREATE] = {false, {-EMFILE, -ENFILE, -ENOMEM}},
    [EVERT__SYS_EPOLL_CTL] = {false, {-EEXIST, -ENOENT, -ENOMEM, -ENOSPC, -EPERM}},
    [EVERT__SYS_EPOLL_WAIT] = {false, {-EINTR}},
    [EVERT__SYS_POLL] = {false, {-EINTR, -ENOMEM}},
    [EVERT__SYS_MAP] = {false, {-EAGAIN, -EINVAL, -ENFILE, -ENOMEM, -EPERM}},
    [EVERT__SYS_UNMAP] = {false, {-EINVAL, -ENOMEM}},
    [EVERT__SYS_PROTECT] = {false, {-EACCES, -EINVAL, -ENOMEM}},
    [EVERT__SYS_ADVISE] = {false, {-EACCES, -EAGAIN, -EINVAL, -ENOMEM, -EPERM}},
    [EVERT__SYS_RANDOM] = {false, {-EINTR, -EAGAIN, -ENOSYS}},
    /* sigaction(2) fails only for what is no signal, so it never does here. */
    [EVERT__SYS_SIGALTSTACK] = {false, {-EINVAL, -ENOMEM, -EPERM}},
    /* pthread_create(3) */
    [EVERT__SYS_THREAD] = {false, {-EAGAIN, -EINVAL, -EPERM}},
    [EVERT__SYS_AFFINITY] = {false, {-EINVAL, -EPERM}},
    [EVERT__SYS_ADDRINFO] = {false,
                             {EAI_AGAIN, EAI_ADDRFAMILY, EAI_BADFLAGS, EAI_FAIL, EAI_FAMILY,
                              EAI_MEMORY, EAI_NODATA, EAI_NONAME, EAI_SERVICE, EAI_SOCKTYPE,
                              EAI_SYSTEM}},
};

/* write(2), to where the log goes. */
static const int of_the_log[] = {-EINTR, -EAGAIN, -EDQUOT, -EFBIG, -EIO, -ENOSPC, -EPIPE, 0};

const int *answers_of(const struct site *site, bool level)
{
    const struct answers *row = &table[site->call];
    if (site->call == EVERT__SYS_WRITE && !site->counter)
        return of_the_log;
    return row->list + (row->first_is_level && !level ? 1 : 0);
}

bool is_shortage(enum evert__sys_call call, int answer)
{
    switch (answer) {
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOSR:
        return true;
    case -ENOMEM:
        return call != EVERT__SYS_POLL; /* a turn in which nothing came, at once */
    case -EAGAIN:
        return call == EVERT__SYS_CONNECT || call == EVERT__SYS_THREAD || call == EVERT__SYS_MAP;
    default:
        return false;
    }
}

bool may_be_short(const struct site *site, bool level, bool is_unix)
{
    switch (site->call) {
    case EVERT__SYS_SEND:
    case EVERT__SYS_SENDFILE:
    case EVERT__SYS_SPLICE:
        return true;
    case EVERT__SYS_WRITE:
        return !site->counter;
    case EVERT__SYS_PREAD:
    case EVERT__SYS_PREAD_NOW:
    case EVERT__SYS_PWRITE:
        return true;
    case EVERT__SYS_RECV:
        return level || is_unix; /* on TCP, a short read says that there is no more: tcp(7) */
    default:
        return false;
    }
}
