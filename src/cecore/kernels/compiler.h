/* What the headers know of the compiler: how it inlines a function and multiplies and adds in one rounding. */
#ifndef CECORE_COMPILER_H
#define CECORE_COMPILER_H

#ifdef __FAST_MATH__
#error "cecore relies on NaN, infinities and the order of operations: build it without -ffast-math"
#endif

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__) || defined(_M_IX86)
#define CECORE_X86 1
#include <immintrin.h>
#endif

#if defined(_MSC_VER)
#define CECORE_INLINE static __forceinline
#else
#define CECORE_INLINE static inline __attribute__((always_inline))
#endif

/* One instruction or a multiply and an add, never a call: libm's fma is slow where the instruction is missing. */
#if defined(_MSC_VER) && !defined(__clang__) && defined(__AVX2__)
#define CECORE_HAS_FMA 1
#define CECORE_FMA(x, y, z) _mm_cvtsd_f64(_mm_fmadd_sd(_mm_set_sd(x), _mm_set_sd(y), _mm_set_sd(z)))
#define CECORE_FMAF(x, y, z) _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(x), _mm_set_ss(y), _mm_set_ss(z)))
#elif defined(__FMA__) || defined(__aarch64__)
#define CECORE_HAS_FMA 1
#define CECORE_FMA(x, y, z) __builtin_fma(x, y, z)
#define CECORE_FMAF(x, y, z) __builtin_fmaf(x, y, z)
#else
#define CECORE_HAS_FMA 0
#define CECORE_FMA(x, y, z) ((x) * (y) + (z))
#define CECORE_FMAF(x, y, z) ((x) * (y) + (z))
#endif

#if defined(__clang__)
#define CECORE_COMPILER "Clang " __clang_version__
#elif defined(__GNUC__)
#define CECORE_COMPILER "GCC " __VERSION__
#elif defined(_MSC_VER)
#define CECORE_STRING_OF(x) #x
#define CECORE_STRING(x) CECORE_STRING_OF(x)
#define CECORE_COMPILER "MSVC " CECORE_STRING(_MSC_FULL_VER)
#else
#define CECORE_COMPILER "unknown"
#endif

#ifndef CECORE_FLAGS /* what the build passed, for show_config */
#define CECORE_FLAGS ""
#endif

#endif
