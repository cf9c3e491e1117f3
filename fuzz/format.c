/* SPDX-License-Identifier: MIT */
/*
 * The formatter of evert_printf(), against snprintf(3).
 *
 * The input: where to cut and where to fail, a length and that much of a format, and what the
 * arguments are made of. The format is taken apart here a second time, to know which arguments it
 * takes and to give each conversion alone, with its arguments in their own types, to snprintf. All
 * of them go to the formatter in slots of one word, which is how a machine of 64 bits passes them.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/types.h>

#include "base/format.h"

#include "input.h"

_Static_assert(sizeof(long) == 8 && sizeof(void *) == 8, "the arguments are passed in words");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "whose first bytes are the least");

enum { SLOTS = 12, TEXT = 4096, COUNT_MOST = 700, STRING = 32 };

struct output {
    char text[TEXT];
    size_t size;
};

static struct {
    struct input in;
    uintptr_t slots[SLOTS];
    int used;
    char *strings[SLOTS];
    struct output wanted;
    int rc;
    bool vague; /* where C leaves it open, or the system: any bytes will do */
} plan;

/* One conversion: where its parts are. */
struct part {
    const char *flags, *end;
    bool star_width, star_precision;
    int width, precision; /* the arguments for them */
    bool has_precision;
    char length[3], kind;
};

static uintptr_t next_slot(uintptr_t value)
{
    if (plan.used < SLOTS)
        plan.slots[plan.used++] = value;
    return value;
}

/* A count in an argument; large ones are for the digits. */
static int next_count(void)
{
    int count = (int16_t)take_number(&plan.in, 2) % COUNT_MOST;
    next_slot((uintptr_t)(intptr_t)count);
    return count;
}

/* A count in the format itself. */
static int read_count(const char **at)
{
    long count = strtol(**at >= '0' && **at <= '9' ? *at : "0", NULL, 10);
    *at += strspn(*at, "0123456789");
    return count < INT_MAX ? (int)count : INT_MAX;
}

/* The same, or a star. */
static int read_any_count(const char **at, bool *ret_star)
{
    *ret_star = **at == '*';
    if (!*ret_star)
        return read_count(at);
    ++*at;
    return next_count();
}

static struct part read_part(const char *at)
{
    struct part p = {.flags = at};
    at += strspn(at, "-+ #0");
    p.width = read_any_count(&at, &p.star_width);
    p.has_precision = *at == '.';
    if (p.has_precision) {
        at++;
        p.precision = read_any_count(&at, &p.star_precision);
    }
    size_t size = strncmp(at, "hh", 2) == 0 || strncmp(at, "ll", 2) == 0 ? 2
                  : *at != '\0' && strchr("hljzt", *at) != NULL          ? 1
                                                                         : 0;
    memcpy(p.length, at, size);
    p.kind = at[size];
    p.end = p.kind != '\0' ? at + size + 1 : at + size;
    return p;
}

/* A string for %s, without a NUL where the precision says that none is looked for; and with one. */
static char *next_string(const struct part *p, char with_nul[STRING + 1])
{
    struct input part = take_part(&plan.in, take_byte(&plan.in) % STRING);
    bool bare = p->has_precision && p->precision >= 0 && (size_t)p->precision <= left(&part);
    char *string = allocate(left(&part) + !bare);
    for (size_t i = 0; i < left(&part); i++)
        with_nul[i] = (char)part.at[i];
    with_nul[left(&part)] = '\0';
    memcpy(string, with_nul, left(&part) + !bare);
    plan.strings[plan.used] = string;
    return string;
}

/* Whether C says what these flags come to. */
static bool is_defined(const struct part *p)
{
    bool with_sign = p->kind == 'd' || p->kind == 'i';
    size_t count = strspn(p->flags, "-+ #0");
    for (size_t i = 0; i < count; i++) {
        char flag = p->flags[i];
        if ((flag == '+' || flag == ' ') && !with_sign)
            return false;
        if (flag == '#' && (p->kind == '\0' || strchr("xXo", p->kind) == NULL))
            return false;
        if (flag == '0' && (p->kind == '\0' || strchr("diuxXo", p->kind) == NULL))
            return false;
    }
    if (p->kind == 'c')
        return !p->has_precision;
    if (p->kind == '%')
        return p->end == p->flags + 1;
    return p->kind != 'p';
}

#pragma clang diagnostic ignored "-Wformat-nonliteral"

/* Gives a conversion to snprintf(3), with the counts that it takes from arguments. */
#define print_as(type, value)                                                    \
    (p->star_width && p->star_precision                                          \
         ? snprintf(to, room, text, p->width, p->precision, (type)(value))       \
     : p->star_width     ? snprintf(to, room, text, p->width, (type)(value))     \
     : p->star_precision ? snprintf(to, room, text, p->precision, (type)(value)) \
                         : snprintf(to, room, text, (type)(value)))

/* A number; all that are longer than an int are of one word. */
#define print_of(sign)                                                        \
    (p->length[0] != '\0' && p->length[0] != 'h' ? print_as(sign long, value) \
                                                 : print_as(sign int, value))

static int print(const struct part *p, const char *text, char *to, size_t room, uintptr_t value)
{
    switch (p->kind) {
    case 'd':
    case 'i':
        return print_of(signed);
    case 'c':
        return print_as(int, value);
    case 's':
        return print_as(char *, value);
    case '%':
        return snprintf(to, room, "%%");
    default:
        return print_of(unsigned);
    }
}

/* What a conversion has to come to. */
static void plan_part(const struct part *p)
{
    char text[64] = "%", string[STRING + 1];
    uintptr_t value = 0;
    bool has_length = p->length[0] != '\0';

    if (p->kind == '\0' || strchr("diuxXoscp%", p->kind) == NULL ||
        (has_length && (p->kind == 's' || p->kind == 'c'))) {
        plan.rc = EVERT_EFORMAT;
        return;
    }
    if (p->kind == 's') {
        next_slot((uintptr_t)next_string(p, string));
        value = (uintptr_t)string; /* some sanitizers want a NUL in each */
    } else if (p->kind != '%') {
        value = next_slot((uintptr_t)take_number(&plan.in, 1 + take_byte(&plan.in) % 8));
    }
    if (p->kind == 'd' && take_byte(&plan.in) % 2 == 1)
        value = plan.slots[plan.used - 1] = (uintptr_t)0 - value;
    if (plan.vague || !is_defined(p) || (size_t)(p->end - p->flags) > sizeof(text) - 2 ||
        p->width > TEXT || p->precision > TEXT) {
        plan.vague = true;
        return;
    }
    memcpy(text + 1, p->flags, (size_t)(p->end - p->flags));
    size_t room = TEXT - plan.wanted.size;
    int size = print(p, text, plan.wanted.text + plan.wanted.size, room, value);
    if (size < 0 || (size_t)size >= room)
        plan.vague = true; /* the system has its own limits */
    else
        plan.wanted.size += (size_t)size;
}

/* Goes over the whole format; cuts it where there would be too many arguments. */
static void make_plan(char *format)
{
    char *at = format;
    plan.used = plan.rc = 0;
    plan.wanted.size = 0;
    plan.vague = false;
    memset(plan.slots, 0, sizeof(plan.slots));
    memset(plan.strings, 0, sizeof(plan.strings));
    while (*at != '\0' && plan.rc == 0) {
        if (*at == '%' && plan.used > SLOTS - 3) {
            *at = '\0';
        } else if (*at == '%') {
            struct part p = read_part(at + 1);
            plan_part(&p);
            at = format + (p.end - format);
        } else if (plan.wanted.size < TEXT) {
            plan.wanted.text[plan.wanted.size++] = *at++;
        } else {
            at++;
            plan.vague = true;
        }
    }
}

/* ---- The calls ---- */

#define ALL_SLOTS                                                                             \
    plan.slots[0], plan.slots[1], plan.slots[2], plan.slots[3], plan.slots[4], plan.slots[5], \
        plan.slots[6], plan.slots[7], plan.slots[8], plan.slots[9], plan.slots[10], plan.slots[11]

static int to_sink(evert__format_sink *sink, void *arg, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = evert__format(sink, arg, format, arguments);
    va_end(arguments);
    return rc;
}

static size_t to_string(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t count = evert__format_vstring(buffer, size, format, arguments);
    va_end(arguments);
    return count;
}

static int to_whole(char *small, evert_bytes *ret, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int rc = evert__format_whole(small, ret, format, arguments);
    va_end(arguments);
    return rc;
}

struct tap {
    struct output got;
    unsigned left; /* pieces until it fails */
    bool failed;
};

/* Takes all that it has room for. Nothing more is to come once it has failed. */
static int take(void *arg, const char *data, size_t size)
{
    struct tap *tap = arg;
    expect(!tap->failed, "a piece after a failure");
    expect(size > 0, "an empty piece");
    if (size > TEXT - tap->got.size || tap->left-- == 0) {
        tap->failed = true;
        return -ENOSPC;
    }
    memcpy(tap->got.text + tap->got.size, data, size);
    tap->got.size += size;
    return 0;
}

static void check_bytes(const char *what, const char *got, size_t size, const struct output *wanted)
{
    expect(size == wanted->size && memcmp(got, wanted->text, size) == 0, "%s: '%.*s', not '%.*s'",
           what, (int)size, got, (int)wanted->size, wanted->text);
}

/* The whole, and cut to a buffer that is too small. */
static void check_copies(const char *format, const struct output *wanted, int rc, size_t cut)
{
    char small[EVERT__FORMATTED];
    evert_bytes whole;
    expect(to_whole(small, &whole, format, ALL_SLOTS) == rc, "%s", format);
    if (rc == 0) {
        check_bytes(format, whole.data, whole.size, wanted);
        evert__format_done(small, whole);
    }
    struct output part = *wanted;
    if (part.size > cut)
        part.size = cut;
    char *buffer = allocate(cut + 1);
    size_t size = to_string(buffer, cut + 1, format, ALL_SLOTS);
    check_bytes(format, buffer, size, &part);
    expect(buffer[size] == '\0', "%s", format);
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tap tap;
    plan.in = (struct input){data, data + size};
    size_t cut = take_byte(&plan.in);
    unsigned fails = take_byte(&plan.in);
    char *format = take_string(&plan.in, take_byte(&plan.in));

    make_plan(format);
    tap = (struct tap){.left = UINT_MAX};
    int rc = to_sink(take, &tap, format, ALL_SLOTS);
    if (!tap.failed) {
        expect(rc == plan.rc, "%s: %d, not %d", format, rc, plan.rc);
        if (!plan.vague)
            check_bytes(format, tap.got.text, tap.got.size, &plan.wanted);
        struct output all = tap.got;
        check_copies(format, &all, rc, cut);
        tap = (struct tap){.left = fails};
        expect(to_sink(take, &tap, format, ALL_SLOTS) == (tap.failed ? -ENOSPC : rc), "%s", format);
        expect(memcmp(tap.got.text, all.text, tap.got.size) == 0, "%s", format);
    } else {
        expect(rc == -ENOSPC, "%s: %d", format, rc);
        expect(plan.vague, "%s: more than snprintf(3)", format);
        expect(to_string(tap.got.text, 1 + cut, format, ALL_SLOTS) == cut, "%s", format);
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(plan.strings[i]);
    free(format);
    return 0;
}
