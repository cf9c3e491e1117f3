/* SPDX-License-Identifier: MIT */
/*
 * A system call made straight, with no function of the C library around it. That is a return less
 * to be guessed wrong (flat.h), and no errno: measured at a request and its answer, one in sixty of
 * the whole processor time. The conventions: syscall(2), "Architecture calling conventions".
 *
 * Under a sanitizer, which learns of memory and of order from the library's functions, and on other
 * machines, there is no such thing, and EVERT__BARE is not defined.
 */
#ifndef EVERT_SRC_BASE_BARE_H
#define EVERT_SRC_BASE_BARE_H

#include <sys/syscall.h>

#include "sanitizer.h"

#if defined(__LP64__) && (defined(__x86_64__) || defined(__aarch64__)) && !defined(EVERT__ASAN) && \
    !defined(EVERT__MSAN) && !defined(EVERT__TSAN)
#define EVERT__BARE 1

/* What the call gives: an error as its negated number. */
static inline long evert__bare(long number, long a, long b, long c, long d, long e, long f)
{
#ifdef __x86_64__
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
#endif
}
#endif

#endif
