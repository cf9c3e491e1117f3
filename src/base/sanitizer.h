/* SPDX-License-Identifier: MIT */
/* With which sanitizer this is built: EVERT__ASAN, EVERT__MSAN or EVERT__TSAN, or none of them. */
#ifndef EVERT_SRC_BASE_SANITIZER_H
#define EVERT_SRC_BASE_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EVERT__ASAN 1
#endif
#if __has_feature(memory_sanitizer)
#define EVERT__MSAN 1
#endif
#if __has_feature(thread_sanitizer)
#define EVERT__TSAN 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__) && !defined(EVERT__ASAN)
#define EVERT__ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(EVERT__TSAN)
#define EVERT__TSAN 1
#endif

#endif
