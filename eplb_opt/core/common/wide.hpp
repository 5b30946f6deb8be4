// Copies of a function for wider vectors, of which the loader takes the best that the CPU has.
//
// All copies give the same bytes: they hold integers, comparisons and single additions alone. Where
// the system has no such choice, and under sanitizers, whose start-up it would precede, there is
// one copy.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define EPLB_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define EPLB_SANITIZED 1
#endif
#endif

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    __GNUC__ >= 12 && !defined(EPLB_SANITIZED)
#define EPLB_WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EPLB_WIDE
#endif
