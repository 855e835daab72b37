/* Memory: prefetching, stores past the caches, and transposing small matrices. */
#ifndef CECORE_MEMORY_H
#define CECORE_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "compiler.h"

/* Prefetch into the second cache: the hardware foresees an array that is read from end to end, but not a batch of rows
 * that is read in a burst. An address where there is nothing does no harm. */
CECORE_INLINE void cecore_prefetch(const char *data, ptrdiff_t size)
{
    ptrdiff_t i;
    for (i = 0; i < size; i += 64) {
#if defined(__GNUC__)
        __builtin_prefetch(data + i, 0, 2);
        __asm__ volatile(""); /* GCC drops calls of a function that only prefetches */
#elif defined(CECORE_X86)
        _mm_prefetch(data + i, _MM_HINT_T1);
#endif
    }
}

/* Copy bytes past the caches: whole cache lines by non-temporal stores, which do not read the line from memory first.
 * cecore_stream_end must follow before another thread may read them. */
CECORE_INLINE void cecore_stream(char *restrict to, const char *restrict from, ptrdiff_t size)
{
#if defined(__AVX__)
    ptrdiff_t head = (ptrdiff_t)(-(uintptr_t)to & 63);
    ptrdiff_t i;
    head = head < size ? head : size;
    memcpy(to, from, (size_t)head);
    for (i = head; i + 64 <= size; i += 64) {
#if defined(__AVX512F__)
        _mm512_stream_si512((void *)(to + i), _mm512_loadu_si512((const void *)(from + i)));
#else
        _mm256_stream_si256((__m256i *)(to + i), _mm256_loadu_si256((const __m256i *)(from + i)));
        _mm256_stream_si256((__m256i *)(to + i + 32), _mm256_loadu_si256((const __m256i *)(from + i + 32)));
#endif
    }
    memcpy(to + i, from + i, (size_t)(size - i));
#else
    memcpy(to, from, (size_t)size);
#endif
}

CECORE_INLINE void cecore_stream_end(void)
{
#if defined(CECORE_X86)
    _mm_sfence();
#endif
}

/* By single numbers, of any type */
#define CECORE_TURN(from, stride, to, to_stride) \
    do { \
        ptrdiff_t i, j; \
        for (j = 0; j < 4; j++) \
            for (i = 0; i < 4; i++) \
                (to)[j * (to_stride) + i] = (from)[i * (stride) + j]; \
    } while (0)

/* Four rows of four numbers, each a stride after the one before, become four columns, which are written in their
 * order. */
CECORE_INLINE void cecore_transpose(const double *from, ptrdiff_t stride, double *to, ptrdiff_t to_stride)
{
#if defined(CECORE_X86)
    __m128d a = _mm_loadu_pd(from), b = _mm_loadu_pd(from + stride);
    __m128d c = _mm_loadu_pd(from + 2 * stride), d = _mm_loadu_pd(from + 3 * stride);
    __m128d e = _mm_loadu_pd(from + 2), f = _mm_loadu_pd(from + stride + 2);
    __m128d g = _mm_loadu_pd(from + 2 * stride + 2), h = _mm_loadu_pd(from + 3 * stride + 2);
    _mm_storeu_pd(to, _mm_unpacklo_pd(a, b));
    _mm_storeu_pd(to + 2, _mm_unpacklo_pd(c, d));
    _mm_storeu_pd(to + to_stride, _mm_unpackhi_pd(a, b));
    _mm_storeu_pd(to + to_stride + 2, _mm_unpackhi_pd(c, d));
    _mm_storeu_pd(to + 2 * to_stride, _mm_unpacklo_pd(e, f));
    _mm_storeu_pd(to + 2 * to_stride + 2, _mm_unpacklo_pd(g, h));
    _mm_storeu_pd(to + 3 * to_stride, _mm_unpackhi_pd(e, f));
    _mm_storeu_pd(to + 3 * to_stride + 2, _mm_unpackhi_pd(g, h));
#else
    CECORE_TURN(from, stride, to, to_stride);
#endif
}

CECORE_INLINE void cecore_transposef(const float *from, ptrdiff_t stride, float *to, ptrdiff_t to_stride)
{
#if defined(CECORE_X86)
    __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + stride);
    __m128 c = _mm_loadu_ps(from + 2 * stride), d = _mm_loadu_ps(from + 3 * stride);
    __m128 ab = _mm_unpacklo_ps(a, b), cd = _mm_unpacklo_ps(c, d);
    __m128 ab_high = _mm_unpackhi_ps(a, b), cd_high = _mm_unpackhi_ps(c, d);
    _mm_storeu_ps(to, _mm_movelh_ps(ab, cd));
    _mm_storeu_ps(to + to_stride, _mm_movehl_ps(cd, ab));
    _mm_storeu_ps(to + 2 * to_stride, _mm_movelh_ps(ab_high, cd_high));
    _mm_storeu_ps(to + 3 * to_stride, _mm_movehl_ps(cd_high, ab_high));
#else
    CECORE_TURN(from, stride, to, to_stride);
#endif
}

#endif
