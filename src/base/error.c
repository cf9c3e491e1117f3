/* SPDX-License-Identifier: MIT */
#include <evert/base/error.h>

#include <stdbool.h>
#include <string.h>

static const struct {
    int error;
    const char *name, *words;
} own[] = {
    {EVERT_EOF, "EVERT_EOF", "End of stream"},
    {EVERT_EINCOMPLETE, "EVERT_EINCOMPLETE", "The stream ended too early"},
    {EVERT_ELIMIT, "EVERT_ELIMIT", "Longer than the limit"},
    {EVERT_ECONTEXT, "EVERT_ECONTEXT", "Waiting is not possible here"},
    {EVERT_EALREADY, "EVERT_EALREADY", "Done once already"},
    {EVERT_ESTOPPED, "EVERT_ESTOPPED", "The loop was stopped first"},
    {EVERT_ECLOSED, "EVERT_ECLOSED", "Closed"},
    {EVERT_ENONAME, "EVERT_ENONAME", "Host name not known"},
    {EVERT_ERESOLVE, "EVERT_ERESOLVE", "Host name cannot be looked up now"},
    {EVERT_EADDRESS, "EVERT_EADDRESS", "Not an address"},
    {EVERT_ESCOPE, "EVERT_ESCOPE", "The scope was left already"},
    {EVERT_EFORMAT, "EVERT_EFORMAT", "Unknown conversion in a format"},
};

#define NAME(error) [error] = #error

/* clang-format off */
/* strerrorname_np(3) is the GNU library's alone. */
static const char *const names[] = {
    [0] = "0", NAME(EPERM), NAME(ENOENT), NAME(ESRCH), NAME(EINTR), NAME(EIO), NAME(ENXIO),
    NAME(E2BIG), NAME(ENOEXEC), NAME(EBADF), NAME(ECHILD), NAME(EAGAIN), NAME(ENOMEM),
    NAME(EACCES), NAME(EFAULT), NAME(ENOTBLK), NAME(EBUSY), NAME(EEXIST), NAME(EXDEV),
    NAME(ENODEV), NAME(ENOTDIR), NAME(EISDIR), NAME(EINVAL), NAME(ENFILE), NAME(EMFILE),
    NAME(ENOTTY), NAME(ETXTBSY), NAME(EFBIG), NAME(ENOSPC), NAME(ESPIPE), NAME(EROFS),
    NAME(EMLINK), NAME(EPIPE), NAME(EDOM), NAME(ERANGE), NAME(EDEADLK), NAME(ENAMETOOLONG),
    NAME(ENOLCK), NAME(ENOSYS), NAME(ENOTEMPTY), NAME(ELOOP), NAME(ENOMSG), NAME(EIDRM),
    NAME(ECHRNG), NAME(EL2NSYNC), NAME(EL3HLT), NAME(EL3RST), NAME(ELNRNG), NAME(EUNATCH),
    NAME(ENOCSI), NAME(EL2HLT), NAME(EBADE), NAME(EBADR), NAME(EXFULL), NAME(ENOANO),
    NAME(EBADRQC), NAME(EBADSLT), NAME(EBFONT), NAME(ENOSTR), NAME(ENODATA), NAME(ETIME),
    NAME(ENOSR), NAME(ENONET), NAME(ENOPKG), NAME(EREMOTE), NAME(ENOLINK), NAME(EADV),
    NAME(ESRMNT), NAME(ECOMM), NAME(EPROTO), NAME(EMULTIHOP), NAME(EDOTDOT), NAME(EBADMSG),
    NAME(EOVERFLOW), NAME(ENOTUNIQ), NAME(EBADFD), NAME(EREMCHG), NAME(ELIBACC), NAME(ELIBBAD),
    NAME(ELIBSCN), NAME(ELIBMAX), NAME(ELIBEXEC), NAME(EILSEQ), NAME(ERESTART), NAME(ESTRPIPE),
    NAME(EUSERS), NAME(ENOTSOCK), NAME(EDESTADDRREQ), NAME(EMSGSIZE), NAME(EPROTOTYPE),
    NAME(ENOPROTOOPT), NAME(EPROTONOSUPPORT), NAME(ESOCKTNOSUPPORT), NAME(EOPNOTSUPP),
    NAME(EPFNOSUPPORT), NAME(EAFNOSUPPORT), NAME(EADDRINUSE), NAME(EADDRNOTAVAIL),
    NAME(ENETDOWN), NAME(ENETUNREACH), NAME(ENETRESET), NAME(ECONNABORTED), NAME(ECONNRESET),
    NAME(ENOBUFS), NAME(EISCONN), NAME(ENOTCONN), NAME(ESHUTDOWN), NAME(ETOOMANYREFS),
    NAME(ETIMEDOUT), NAME(ECONNREFUSED), NAME(EHOSTDOWN), NAME(EHOSTUNREACH), NAME(EALREADY),
    NAME(EINPROGRESS), NAME(ESTALE), NAME(EUCLEAN), NAME(ENOTNAM), NAME(ENAVAIL), NAME(EISNAM),
    NAME(EREMOTEIO), NAME(EDQUOT), NAME(ENOMEDIUM), NAME(EMEDIUMTYPE), NAME(ECANCELED),
    NAME(ENOKEY), NAME(EKEYEXPIRED), NAME(EKEYREVOKED), NAME(EKEYREJECTED), NAME(EOWNERDEAD),
    NAME(ENOTRECOVERABLE), NAME(ERFKILL), NAME(EHWPOISON),
};

#undef NAME
/* clang-format on */

/* NULL for a number that no error of the system has. */
static const char *system_name(int error)
{
    bool known = error <= 0 && error > -(int)(sizeof(names) / sizeof(names[0]));
    return known ? names[-error] : NULL;
}

/* Static, and safe with threads: strerror(3) is neither in the GNU library, but is in others. */
static const char *system_words(int error)
{
    if (system_name(error) == NULL)
        return "Unknown error";
#ifdef __GLIBC__
    return strerrordesc_np(-error);
#else
    return strerror(-error);
#endif
}

const char *evert_strerror(int error)
{
    if (error >= 0)
        return "Success";
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (own[i].error == error)
            return own[i].words;
    }
    return system_words(error);
}

const char *evert_error_name(int error)
{
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (own[i].error == error)
            return own[i].name;
    }
    const char *name = system_name(error);
    return name != NULL ? name : "UNKNOWN";
}
