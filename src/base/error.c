/* SPDX-License-Identifier: MIT */
#include <evert/base/error.h>

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

const char *evert_strerror(int error)
{
    if (error >= 0)
        return "Success";
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (own[i].error == error)
            return own[i].words;
    }
    /* Static and thread-safe, unlike strerror(3); NULL for a number that is none. */
    const char *words = error > -4096 ? strerrordesc_np(-error) : NULL;
    return words != NULL ? words : "Unknown error";
}

const char *evert_error_name(int error)
{
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (own[i].error == error)
            return own[i].name;
    }
    const char *name = error <= 0 && error > -4096 ? strerrorname_np(-error) : NULL;
    return name != NULL ? name : "UNKNOWN";
}
