/* SPDX-License-Identifier: MIT */
#include "base/format.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include <evert/base/bytes.h>
#include <evert/base/error.h>

#include "base/alloc.h"

struct sink {
    evert__format_sink *put;
    void *arg;
};

enum length { INT, CHAR, SHORT, LONG, LONG_LONG, MAX, SIZE, POINTER_DIFFERENCE };

struct conversion {
    bool left, zero, plus, space, alternate;
    int width, precision; /* precision is -1 where there is none */
    enum length length;
    char kind;
};

/* A va_list as a member, so that it can be passed along by pointer on every machine. */
struct arguments {
    va_list list;
};

static int put(const struct sink *s, const char *data, size_t size)
{
    return size > 0 ? s->put(s->arg, data, size) : 0;
}

static int pad(const struct sink *s, char with, size_t count)
{
    static const char blanks[] = "                ", zeros[] = "0000000000000000";
    const char *from = with == '0' ? zeros : blanks;
    while (count > 0) {
        size_t part = count < sizeof(blanks) - 1 ? count : sizeof(blanks) - 1;
        int rc = put(s, from, part);
        if (rc < 0)
            return rc;
        count -= part;
    }
    return 0;
}

/* A prefix ("-", "0x"), zeros and the body, padded to the width. */
static int put_field(const struct sink *s, const struct conversion *c, evert_bytes prefix,
                     size_t zeros, evert_bytes body)
{
    size_t length = prefix.size + zeros + body.size;
    size_t width = (size_t)c->width;
    size_t blanks = width > length ? width - length : 0;
    int rc = 0;

    if (c->zero && !c->left) {
        zeros += blanks;
        blanks = 0;
    }
    if (!c->left)
        rc = pad(s, ' ', blanks);
    if (rc == 0)
        rc = put(s, prefix.data, prefix.size);
    if (rc == 0)
        rc = pad(s, '0', zeros);
    if (rc == 0)
        rc = put(s, body.data, body.size);
    if (rc == 0 && c->left)
        rc = pad(s, ' ', blanks);
    return rc;
}

/* The digits of a number, written from the end of the buffer backwards. */
static evert_bytes digits_of(uintmax_t number, unsigned base, bool capital, char *end)
{
    const char *digits = capital ? "0123456789ABCDEF" : "0123456789abcdef";
    char *at = end;
    while (number > 0) {
        *--at = digits[number % base];
        number /= base;
    }
    return (evert_bytes){at, (size_t)(end - at)};
}

static int put_number(const struct sink *s, struct conversion *c, evert_bytes sign,
                      uintmax_t number)
{
    char buffer[sizeof(number) * CHAR_BIT / 3 + 1];
    unsigned base = c->kind == 'o' ? 8 : c->kind == 'x' || c->kind == 'X' ? 16 : 10;
    evert_bytes digits = digits_of(number, base, c->kind == 'X', buffer + sizeof(buffer));
    size_t least = c->precision < 0 ? 1 : (size_t)c->precision;

    if (c->precision >= 0)
        c->zero = false;
    if (c->alternate && base == 16 && number != 0)
        sign = evert_bytes_of(c->kind == 'X' ? "0X" : "0x");
    if (c->alternate && base == 8 && least <= digits.size)
        least = digits.size + 1;
    return put_field(s, c, sign, least > digits.size ? least - digits.size : 0, digits);
}

static intmax_t next_signed(struct arguments *a, enum length length)
{
    switch (length) {
    case CHAR:
        return (signed char)va_arg(a->list, int);
    case SHORT:
        return (short)va_arg(a->list, int);
    case LONG:
        return va_arg(a->list, long);
    case LONG_LONG:
        return va_arg(a->list, long long);
    case MAX:
        return va_arg(a->list, intmax_t);
    case SIZE:
        return va_arg(a->list, ssize_t);
    case POINTER_DIFFERENCE:
        return va_arg(a->list, ptrdiff_t);
    default:
        return va_arg(a->list, int);
    }
}

static uintmax_t next_unsigned(struct arguments *a, enum length length)
{
    switch (length) {
    case CHAR:
        return (unsigned char)va_arg(a->list, unsigned);
    case SHORT:
        return (unsigned short)va_arg(a->list, unsigned);
    case LONG:
        return va_arg(a->list, unsigned long);
    case LONG_LONG:
        return va_arg(a->list, unsigned long long);
    case MAX:
        return va_arg(a->list, uintmax_t);
    case SIZE:
        return va_arg(a->list, size_t);
    case POINTER_DIFFERENCE:
        return (size_t)va_arg(a->list, ptrdiff_t); /* the unsigned type of that size */
    default:
        return va_arg(a->list, unsigned);
    }
}

static int put_signed(const struct sink *s, struct conversion *c, struct arguments *a)
{
    intmax_t number = next_signed(a, c->length);
    const char *sign = number < 0 ? "-" : c->plus ? "+" : c->space ? " " : "";
    uintmax_t size = number < 0 ? 0 - (uintmax_t)number : (uintmax_t)number;
    return put_number(s, c, evert_bytes_of(sign), size);
}

static int put_text(const struct sink *s, struct conversion *c, struct arguments *a)
{
    const char *text = va_arg(a->list, const char *);
    if (text == NULL)
        text = "(null)";
    size_t size = c->precision < 0 ? strlen(text) : strnlen(text, (size_t)c->precision);
    c->zero = false;
    return put_field(s, c, evert_bytes_of(""), 0, (evert_bytes){text, size});
}

static int put_character(const struct sink *s, struct conversion *c, struct arguments *a)
{
    char character = (char)va_arg(a->list, int);
    c->zero = false;
    return put_field(s, c, evert_bytes_of(""), 0, (evert_bytes){&character, 1});
}

static int put_pointer(const struct sink *s, struct conversion *c, struct arguments *a)
{
    uintptr_t pointer = (uintptr_t)va_arg(a->list, void *);
    c->kind = 'x';
    c->alternate = true;
    return put_number(s, c, evert_bytes_of(pointer == 0 ? "0x" : ""), pointer);
}

static int convert(const struct sink *s, struct conversion *c, struct arguments *a)
{
    switch (c->kind) {
    case 'd':
    case 'i':
        return put_signed(s, c, a);
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        return put_number(s, c, evert_bytes_of(""), next_unsigned(a, c->length));
    case 's':
        return c->length == INT ? put_text(s, c, a) : EVERT_EFORMAT;
    case 'c':
        return c->length == INT ? put_character(s, c, a) : EVERT_EFORMAT;
    case 'p':
        return put_pointer(s, c, a);
    case '%':
        return put(s, "%", 1);
    default:
        return EVERT_EFORMAT;
    }
}

/* A width or a precision: digits, or `*` for the next argument. */
static const char *parse_count(const char *at, int *ret, struct arguments *a)
{
    if (*at == '*') {
        *ret = va_arg(a->list, int);
        return at + 1;
    }
    *ret = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (*ret < INT_MAX / 10 - 1)
            *ret = *ret * 10 + (*at - '0');
    }
    return at;
}

static const char *parse_flags(const char *at, struct conversion *c)
{
    for (;; at++) {
        if (*at == '-')
            c->left = true;
        else if (*at == '0')
            c->zero = true;
        else if (*at == '+')
            c->plus = true;
        else if (*at == ' ')
            c->space = true;
        else if (*at == '#')
            c->alternate = true;
        else
            return at;
    }
}

static const char *parse_length(const char *at, enum length *ret)
{
    static const struct {
        char letters[3];
        enum length length;
    } lengths[] = {
        {"hh", CHAR}, {"h", SHORT}, {"ll", LONG_LONG},         {"l", LONG},
        {"j", MAX},   {"z", SIZE},  {"t", POINTER_DIFFERENCE},
    };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t size = strlen(lengths[i].letters);
        if (strncmp(at, lengths[i].letters, size) == 0) {
            *ret = lengths[i].length;
            return at + size;
        }
    }
    return at;
}

/* What stands after a %, up to and with its letter. */
static const char *parse(const char *at, struct conversion *c, struct arguments *a)
{
    *c = (struct conversion){.precision = -1};
    at = parse_flags(at, c);
    at = parse_count(at, &c->width, a);
    if (c->width < 0) {
        c->left = true;
        c->width = c->width == INT_MIN ? INT_MAX : -c->width;
    }
    if (*at == '.')
        at = parse_count(at + 1, &c->precision, a);
    if (c->precision < 0)
        c->precision = -1;
    at = parse_length(at, &c->length);
    c->kind = *at;
    return *at != '\0' ? at + 1 : at;
}

int evert__format(evert__format_sink *sink, void *arg, const char *format, va_list arguments)
{
    struct sink s = {sink, arg};
    struct arguments a;
    int rc = 0;

    va_copy(a.list, arguments);
    while (rc == 0 && *format != '\0') {
        size_t plain = strcspn(format, "%");
        rc = put(&s, format, plain);
        format += plain;
        if (rc == 0 && *format == '%') {
            struct conversion c;
            format = parse(format + 1, &c, &a);
            rc = convert(&s, &c, &a);
        }
    }
    va_end(a.list);
    return rc;
}

struct room {
    char *at;
    size_t left;
};

/* Ends the formatting when the room is full: what follows may be gigabytes of blanks. */
static int put_in_room(void *arg, const char *data, size_t size)
{
    struct room *room = arg;
    size_t part = size < room->left ? size : room->left;
    memcpy(room->at, data, part);
    room->at += part;
    room->left -= part;
    return part == size ? 0 : -ENOSPC;
}

size_t evert__format_vstring(char *buffer, size_t size, const char *format, va_list arguments)
{
    struct room room = {buffer, size - 1};
    (void)evert__format(put_in_room, &room, format, arguments);
    *room.at = '\0';
    return (size_t)(room.at - buffer);
}

size_t evert__format_string(char *buffer, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t count = evert__format_vstring(buffer, size, format, arguments);
    va_end(arguments);
    return count;
}

static int measure(void *arg, const char *data, size_t size)
{
    size_t *sum = arg;
    (void)data;
    return __builtin_add_overflow(*sum, size, sum) ? -ENOMEM : 0;
}

static int copy(void *arg, const char *data, size_t size)
{
    char **at = arg;
    memcpy(*at, data, size);
    *at += size;
    return 0;
}

int evert__format_whole(char *small, evert_bytes *ret, const char *format, va_list arguments)
{
    char *text = small;
    size_t size = 0;
    int rc = evert__format(measure, &size, format, arguments);
    if (rc < 0)
        return rc;
    if (size > EVERT__FORMATTED)
        text = evert__alloc(size);
    if (text == NULL)
        return -ENOMEM;
    *ret = (evert_bytes){text, size};
    (void)evert__format(copy, &text, format, arguments);
    return 0;
}

void evert__format_done(const char *small, evert_bytes text)
{
    if (text.data != small)
        evert__free((void *)(uintptr_t)text.data);
}
