/* SPDX-License-Identifier: MIT */
/*
 * What Debian's cmocka and libgcc, which were built with another C library, call there and musl
 * does not have. The variants that check sizes do the plain call. The object of an address is not
 * found, so nothing can be unwound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

int _dl_find_object(void *address, void *ret);
int __printf_chk(int flag, const char *format, ...);
int __fprintf_chk(FILE *file, int flag, const char *format, ...);
int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, ...);
int __vsnprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, va_list list);
_Noreturn void __longjmp_chk(jmp_buf place, int value);

int __printf_chk(int flag, const char *format, ...)
{
    va_list list;
    (void)flag;
    va_start(list, format);
    int rc = vprintf(format, list);
    va_end(list);
    return rc;
}

int __fprintf_chk(FILE *file, int flag, const char *format, ...)
{
    va_list list;
    (void)flag;
    va_start(list, format);
    int rc = vfprintf(file, format, list);
    va_end(list);
    return rc;
}

int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, ...)
{
    va_list list;
    (void)flag, (void)room;
    va_start(list, format);
    int rc = vsnprintf(to, size, format, list);
    va_end(list);
    return rc;
}

int __vsnprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, va_list list)
{
    (void)flag, (void)room;
    return vsnprintf(to, size, format, list);
}

void __longjmp_chk(jmp_buf place, int value)
{
    longjmp(place, value);
}

int _dl_find_object(void *address, void *ret)
{
    (void)address, (void)ret;
    return -1;
}
