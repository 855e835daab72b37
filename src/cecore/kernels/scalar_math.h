/* The scalar functions of the kernels: logarithms and the exponential, in double and float.
 *
 * Every function is branch-free, so that a compiler turns a loop over it into vector code, and uses only
 * operations that IEEE 754 defines to the bit. With a fused multiply-add (CECORE_FMA) the results are the same
 * on every machine; without one they keep the error bounds and have bits of their own. The bounds hold for
 * round-to-nearest and gradual underflow, which the kernels set on entry.
 *
 * The constants come from tools/coefficients.py.
 *
 * Errors: the bound, and the largest found with fused multiply-add, by exhaustion in float and a directed search in
 * double (tools/accuracy.py repeats both, tests/test_math.py holds the functions to this table):
 *
 *   cecore_neg_log: below 1 ULP; 0.8880 at 0x1.6961b0f0bfc6bp-1
 *   cecore_neg_logf: below 1 ULP; 0.9229 at 0x1.69b14c0000000p-1
 *   cecore_log: below 1 ULP; 0.8999 at 0x1.69553b3f378efp-1
 *   cecore_logf: below 1 ULP; 0.9229 at 0x1.69b14c0000000p-1
 *   cecore_log1p: below 1.1 ULP; 0.9225 at -0x1.2bf39e703638dp-2
 *   cecore_log1pf: below 1.1 ULP; 0.9857 at -0x1.2cdafa0000000p-2
 *   cecore_exp: below 0.95 ULP; 0.8485 at 0x1.2ee896d6551dcp+7
 *   cecore_expf: below 0.95 ULP; 0.8763 at -0x1.b582520000000p+4
 *   cecore_sigmoid: below 1.3 ULP; 1.1402 at -0x1.9f9f703b86febp+4
 *   cecore_sigmoidf: below 1.3 ULP; 1.1404 at -0x1.03a9900000000p+4
 *   cecore_softplus_rest: below 1.1 ULP; 0.9388 at 0x1.c9d265d2c0e08p-1
 *   cecore_softplus_restf: below 1.1 ULP; 1.0188 at 0x1.d1f6e80000000p-1
 *
 * cecore_power is below 1 ULP too: 0.91 found, for exponents from 0.1 to 5.
 */
#ifndef CECORE_SCALAR_MATH_H
#define CECORE_SCALAR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

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

/* Whether the constants of a logarithm in two steps do not fit into the registers at once. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define CECORE_FEW_REGISTERS 0
#else
#define CECORE_FEW_REGISTERS 1
#endif

/* What a product of probabilities must not fall below, for none of its factors or partial products to be subnormal. */
#define CECORE_LEAST_PRODUCT 0x1p-960

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

#define CECORE_LN2_HEAD 0x1.62e42fefa4000p-1
#define CECORE_LN2_TAIL -0x1.8432a1b0e2634p-43
#define CECORE_LOG2E 0x1.71547652b82fep+0
#define CECORE_LN2 0x1.62e42fefa39efp-1
#define CECORE_LN2F_HEAD 0x1.62e4000000000p-1f
#define CECORE_LN2F_TAIL 0x1.7f7d1c0000000p-20f
#define CECORE_LN2F 0x1.62e4300000000p-1f
#define CECORE_LOG2EF 0x1.7154760000000p+0f
#define CECORE_LOG_0 0x1.5555555555592p-1
#define CECORE_LOG_1 0x1.999999997ff18p-2
#define CECORE_LOG_2 0x1.24924941e1633p-2
#define CECORE_LOG_3 0x1.c71c521448784p-3
#define CECORE_LOG_4 0x1.74663ceeb6049p-3
#define CECORE_LOG_5 0x1.39a1e8b088b5ep-3
#define CECORE_LOG_6 0x1.2f03baed268bdp-3
#define CECORE_LOGF_0 0x1.5555540000000p-2f
#define CECORE_LOGF_1 -0x1.0002280000000p-2f
#define CECORE_LOGF_2 0x1.99a0340000000p-3f
#define CECORE_LOGF_3 -0x1.5472380000000p-3f
#define CECORE_LOGF_4 0x1.22d69c0000000p-3f
#define CECORE_LOGF_5 -0x1.0d81e00000000p-3f
#define CECORE_LOGF_6 0x1.05700e0000000p-3f
#define CECORE_LOGF_7 -0x1.38f8680000000p-4f
#define CECORE_EXP_0 0x1.0000000000000p-1
#define CECORE_EXP_1 0x1.555555555555dp-3
#define CECORE_EXP_2 0x1.555555555556cp-5
#define CECORE_EXP_3 0x1.111111110e54bp-7
#define CECORE_EXP_4 0x1.6c16c16c0a42ap-10
#define CECORE_EXP_5 0x1.a01a01b5f39f8p-13
#define CECORE_EXP_6 0x1.a01a01e8a2f1ap-16
#define CECORE_EXP_7 0x1.71ddeaaf6e31bp-19
#define CECORE_EXP_8 0x1.27e44a80e3bfbp-22
#define CECORE_EXP_9 0x1.af7443ad5b78bp-26
#define CECORE_EXP_10 0x1.2050b3c123038p-29
#define CECORE_EXPF_0 0x1.fffffc0000000p-2f
#define CECORE_EXPF_1 0x1.55548c0000000p-3f
#define CECORE_EXPF_2 0x1.5558580000000p-5f
#define CECORE_EXPF_3 0x1.123de40000000p-7f
#define CECORE_EXPF_4 0x1.6ac7b00000000p-10f
#define CECORE_COTH_0 0x1.555555555552dp-3
#define CECORE_COTH_1 -0x1.6c16c16bd9ddbp-9
#define CECORE_COTH_2 0x1.1566aac01b8a1p-14
#define CECORE_COTH_3 -0x1.bbd3a9a6508ebp-20
#define CECORE_COTH_4 0x1.63487cb727667p-25
#define CECORE_COTHF_0 0x1.5555140000000p-3f
#define CECORE_COTHF_1 -0x1.6a8c000000000p-9f
#define CECORE_ATANH_0 0x1.5555555555535p-1
#define CECORE_ATANH_1 0x1.99999999a0787p-2
#define CECORE_ATANH_2 0x1.2492492089ff8p-2
#define CECORE_ATANH_3 0x1.c71c741db382dp-3
#define CECORE_ATANH_4 0x1.745cb3d3e8363p-3
#define CECORE_ATANH_5 0x1.3b1ddef6f5e11p-3
#define CECORE_ATANH_6 0x1.10679a2571a8ep-3
#define CECORE_ATANH_7 0x1.efdab5ce7a895p-4
#define CECORE_ATANH_8 0x1.55a7a18dbd182p-4
#define CECORE_ATANH_9 0x1.5c80908eb3453p-3
#define CECORE_ATANHF_0 0x1.5555000000000p-1f
#define CECORE_ATANHF_1 0x1.99d29e0000000p-2f
#define CECORE_ATANHF_2 0x1.1eb3a20000000p-2f
#define CECORE_ATANHF_3 0x1.1f05780000000p-2f
#define CECORE_RATIO_0 0x1.555555555578ap-1
#define CECORE_RATIO_1 0x1.99999998eb665p-2
#define CECORE_RATIO_2 0x1.249249b5e17acp-2
#define CECORE_RATIO_3 0x1.c71bff01e354cp-3
#define CECORE_RATIO_4 0x1.7475442992527p-3
#define CECORE_RATIO_5 0x1.384b3df9c532ap-3
#define CECORE_RATIO_6 0x1.3af91edf6781bp-3
#define CECORE_RATIOF_0 0x1.5555b40000000p-1f
#define CECORE_RATIOF_1 0x1.992a6c0000000p-2f
#define CECORE_RATIOF_2 0x1.36f4720000000p-2f
#define CECORE_ROW_EXP_0 0x1.000000000000bp-1
#define CECORE_ROW_EXP_1 0x1.555555555551ap-3
#define CECORE_ROW_EXP_2 0x1.555555555007ap-5
#define CECORE_ROW_EXP_3 0x1.111111111db54p-7
#define CECORE_ROW_EXP_4 0x1.6c16c185e51b2p-10
#define CECORE_ROW_EXP_5 0x1.a01a016aeacd5p-13
#define CECORE_ROW_EXP_6 0x1.a019956278e66p-16
#define CECORE_ROW_EXP_7 0x1.71de7fd11d4b2p-19
#define CECORE_ROW_EXP_8 0x1.28b1bc7ebd716p-22
#define CECORE_ROW_EXP_9 0x1.aea4860bbd8b1p-26

/* sqrt(1/2), where the reduction to a significand in [sqrt(1/2), sqrt(2)) cuts */
#define CECORE_ROOT_HALF 0x1.6a09e667f3bcdp-1
#define CECORE_ROOT_HALF_BITS UINT64_C(0x3fe6a09e667f3bcd)
#define CECORE_ROOT_HALFF 0x1.6a09e6p-1f
#define CECORE_ROOT_HALFF_BITS UINT32_C(0x3f3504f3)

CECORE_INLINE uint64_t cecore_bits(double x) { uint64_t u; memcpy(&u, &x, sizeof u); return u; }
CECORE_INLINE double cecore_double(uint64_t u) { double x; memcpy(&x, &u, sizeof x); return x; }
CECORE_INLINE uint32_t cecore_bitsf(float x) { uint32_t u; memcpy(&u, &x, sizeof u); return u; }
CECORE_INLINE float cecore_float(uint32_t u) { float x; memcpy(&x, &u, sizeof x); return x; }

/* IEEE half precision, by its bits. Below 2^-14 a half has the spacing 2^-24 of floats in [1/2, 1): multiplying by
 * 2^112 and adding 1/2 do what else would need branches. Rounding is to nearest even, NaN stays. */
CECORE_INLINE float cecore_from_half(uint16_t x)
{
    uint32_t magnitude = (uint32_t)(x & 0x7fff) << 13;
    uint32_t bits = cecore_bitsf(cecore_float(magnitude) * 0x1p112f);
    bits = magnitude >= UINT32_C(0x0f800000) ? magnitude | UINT32_C(0x7f800000) : bits;
    return cecore_float(bits | (uint32_t)(x & 0x8000) << 16);
}

CECORE_INLINE uint16_t cecore_to_half(float x)
{
    uint32_t bits = cecore_bitsf(x);
    uint32_t magnitude = bits & UINT32_C(0x7fffffff);
    uint32_t small = cecore_bitsf(cecore_float(magnitude) + 0.5f) - UINT32_C(0x3f000000);
    uint32_t result = (magnitude - UINT32_C(0x38000000) + 0xfff + (magnitude >> 13 & 1)) >> 13;
    result = magnitude < UINT32_C(0x38800000) ? small : result;
    result = magnitude >= UINT32_C(0x477ff000) ? 0x7c00 : result;
    result = magnitude > UINT32_C(0x7f800000) ? 0x7e00 : result;
    return (uint16_t)(result | (bits >> 16 & 0x8000));
}

/* bfloat16: the upper half of a float. */
CECORE_INLINE float cecore_from_bfloat16(uint16_t x) { return cecore_float((uint32_t)x << 16); }

CECORE_INLINE uint16_t cecore_to_bfloat16(float x)
{
    uint32_t bits = cecore_bitsf(x);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & UINT32_C(0x7fffffff)) > UINT32_C(0x7f800000) ? bits >> 16 | 0x40 : rounded);
}

/* x = 2^exponent * significand for x > 0, the significand in [sqrt(1/2), sqrt(2)). The exponent becomes a
 * floating-point number by the low bits of 2^52: AVX2 has no conversion from 64-bit integers. */
CECORE_INLINE void cecore_split_normal(double x, double *exponent, double *significand)
{
    uint64_t shifted = cecore_bits(x) + (UINT64_C(0x3ff0000000000000) - CECORE_ROOT_HALF_BITS);
    *exponent = cecore_double((shifted >> 52) | UINT64_C(0x4330000000000000)) - (0x1p52 + 1023);
    *significand = cecore_double((shifted & UINT64_C(0x000fffffffffffff)) + CECORE_ROOT_HALF_BITS);
}

CECORE_INLINE void cecore_split(double x, double *exponent, double *significand)
{
    int tiny = x < 0x1p-1022;
    cecore_split_normal(tiny ? x * 0x1p54 : x, exponent, significand);
    *exponent -= tiny ? 54 : 0;
}

CECORE_INLINE void cecore_split_normalf(float x, float *exponent, float *significand)
{
    uint32_t shifted = cecore_bitsf(x) + (UINT32_C(0x3f800000) - CECORE_ROOT_HALFF_BITS);
    *exponent = cecore_float((shifted >> 23) | UINT32_C(0x4b000000)) - (0x1p23f + 127);
    *significand = cecore_float((shifted & UINT32_C(0x007fffff)) + CECORE_ROOT_HALFF_BITS);
}

CECORE_INLINE void cecore_splitf(float x, float *exponent, float *significand)
{
    int tiny = x < 0x1p-126f;
    cecore_split_normalf(tiny ? x * 0x1p25f : x, exponent, significand);
    *exponent -= tiny ? 25 : 0;
}

/* -exponent * ln 2 - log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1].
 *
 * With s = f / (2 + f) and z = s^2, log(1 + f) = log((1 + s) / (1 - s)) = 2s + s z P(z), P from the series
 * 2/3 + 2z/5 + ...; and since 2s = f - s f = f - f^2/2 + s f^2/2, log(1 + f) = f - (h - s (h + z P)), h = f^2/2.
 * The two large terms are added with their rounding error kept (the first is exact, and larger or zero): the result
 * is the head and the rest that is returned. */
CECORE_INLINE double cecore_neg_log_parts(double f, double exponent, double *head)
{
    double s = f / (2 + f);
    double z = s * s;
    double half_square = 0.5 * f * f;
    double p = CECORE_FMA(z, CECORE_LOG_6, CECORE_LOG_5);
    double rest;
    p = CECORE_FMA(z, p, CECORE_LOG_4);
    p = CECORE_FMA(z, p, CECORE_LOG_3);
    p = CECORE_FMA(z, p, CECORE_LOG_2);
    p = CECORE_FMA(z, p, CECORE_LOG_1);
    p = CECORE_FMA(z, p, CECORE_LOG_0);
    rest = CECORE_FMA(-s, CECORE_FMA(z, p, half_square), half_square);
    *head = CECORE_FMA(-exponent, CECORE_LN2_HEAD, -f);
    rest += CECORE_FMA(-exponent, CECORE_LN2_HEAD, -*head) - f;
    return CECORE_FMA(-exponent, CECORE_LN2_TAIL, rest);
}

CECORE_INLINE double cecore_neg_log_reduced(double f, double exponent)
{
    double head;
    double rest = cecore_neg_log_parts(f, exponent, &head);
    return head + rest;
}

/* The same in float, by the Taylor form log(1 + f) = f - f^2/2 + f^3 P(f): a division costs more than its
 * two further terms. */
CECORE_INLINE float cecore_neg_log_partsf(float f, float exponent, float *head)
{
    float square = f * f;
    float p = CECORE_FMAF(f, CECORE_LOGF_7, CECORE_LOGF_6);
    float rest;
    p = CECORE_FMAF(f, p, CECORE_LOGF_5);
    p = CECORE_FMAF(f, p, CECORE_LOGF_4);
    p = CECORE_FMAF(f, p, CECORE_LOGF_3);
    p = CECORE_FMAF(f, p, CECORE_LOGF_2);
    p = CECORE_FMAF(f, p, CECORE_LOGF_1);
    p = CECORE_FMAF(f, p, CECORE_LOGF_0);
    rest = square * CECORE_FMAF(-f, p, 0.5f);
    *head = CECORE_FMAF(-exponent, CECORE_LN2F_HEAD, -f);
    rest += CECORE_FMAF(-exponent, CECORE_LN2F_HEAD, -*head) - f;
    return CECORE_FMAF(-exponent, CECORE_LN2F_TAIL, rest);
}

CECORE_INLINE float cecore_neg_log_reducedf(float f, float exponent)
{
    float head;
    float rest = cecore_neg_log_partsf(f, exponent, &head);
    return head + rest;
}

/* -log(a) of a probability a in [0, 1] whose complement b = 1 - a is given too.
 *
 * Whichever of the two is below 1/2 is taken as exact and the other as its rounded complement: near a = 1 the
 * result is -log1p(-b), and for a in [1/2, sqrt(1/2)) the reduced argument 2a - 1 is 1 - 2b. neg_log(1, 0) is
 * +0, neg_log(0, 1) is +inf, NaN stays NaN. */
CECORE_INLINE double cecore_neg_log_from(double a, double b, double significand, double exponent)
{
    double f = a < CECORE_ROOT_HALF ? 1 - 2 * b : -b;
    return cecore_neg_log_reduced(a < 0.5 ? significand - 1 : f, exponent);
}

CECORE_INLINE float cecore_neg_log_fromf(float a, float b, float significand, float exponent)
{
    float f = a < CECORE_ROOT_HALFF ? 1 - 2 * b : -b;
    return cecore_neg_log_reducedf(a < 0.5f ? significand - 1 : f, exponent);
}

CECORE_INLINE double cecore_neg_log(double a, double b)
{
    double exponent, significand, result;
    cecore_split(a, &exponent, &significand);
    result = cecore_neg_log_from(a, b, significand, exponent);
    return a == 0 ? (double)INFINITY : result;
}

CECORE_INLINE float cecore_neg_logf(float a, float b)
{
    float exponent, significand, result;
    cecore_splitf(a, &exponent, &significand);
    result = cecore_neg_log_fromf(a, b, significand, exponent);
    return a == 0 ? (float)INFINITY : result;
}

/* The same, to the bit, in two steps: the reduced argument, then cecore_neg_log_reduced. Where a is a normal number or
 * NaN; of another a what means nothing. */
CECORE_INLINE double cecore_neg_log_argument(double a, double b, double *exponent)
{
    double significand;
    double f = a < CECORE_ROOT_HALF ? 1 - 2 * b : -b;
    cecore_split_normal(a, exponent, &significand);
    return a < 0.5 ? significand - 1 : f;
}

CECORE_INLINE float cecore_neg_log_argumentf(float a, float b, float *exponent)
{
    float significand;
    float f = a < CECORE_ROOT_HALFF ? 1 - 2 * b : -b;
    cecore_split_normalf(a, exponent, &significand);
    return a < 0.5f ? significand - 1 : f;
}

/* log(x). -0 and +0 give -inf, x < 0 NaN. */
CECORE_INLINE double cecore_log(double x)
{
    double exponent, significand, result;
    cecore_split(x, &exponent, &significand);
    result = 0 - cecore_neg_log_reduced(significand - 1, exponent);
    result = x > 0x1.fffffffffffffp1023 ? x : result;
    result = x >= 0 ? result : (double)NAN;
    return x == 0 ? -(double)INFINITY : result;
}

CECORE_INLINE float cecore_logf(float x)
{
    float exponent, significand, result;
    cecore_splitf(x, &exponent, &significand);
    result = 0 - cecore_neg_log_reducedf(significand - 1, exponent);
    result = x > 0x1.fffffep127f ? x : result;
    result = x >= 0 ? result : (float)NAN;
    return x == 0 ? -(float)INFINITY : result;
}

/* log(1 + e + low) for e in [0, 1]: as cecore_log1p_row, but one selection takes the place of the exponent. */
CECORE_INLINE double cecore_log1p_unit(double e, double low)
{
    double u = 1 + e;
    double lost = (1 - u) + e;
    int large = u > 2 * CECORE_ROOT_HALF;
    double f = large ? 0.5 * u - 1 : e;
    double c = large ? 0.5 * (lost + low) : low;
    double head;
    double rest = cecore_neg_log_parts(f, large ? 1 : 0, &head);
    return (c * (1 - f + f * f) - rest) - head;
}

CECORE_INLINE float cecore_log1p_unitf(float e, float low)
{
    float u = 1 + e;
    float lost = (1 - u) + e;
    int large = u > 2 * CECORE_ROOT_HALFF;
    float f = large ? 0.5f * u - 1 : e;
    float c = large ? 0.5f * (lost + low) : low;
    float head;
    float rest = cecore_neg_log_partsf(f, large ? 1 : 0, &head);
    return (c * (1 - f + f * f) - rest) - head;
}


/* exp(x + low) for |low| of at most some rounding errors of x, as a number and what its rounding lost:
 * 2^k exp(r), k the integer nearest x / ln 2, exp(r) = 1 + r + r^2 Q(r).
 *
 * Adding 3 * 2^51 rounds to an integer and leaves it in the low bits; with the bias of the exponents added too, these
 * are the upper bits of 2^k. k ln2_head is exact; what rounding takes from r goes back into the sum. The result is
 * exp(r), and what it lost, to be multiplied by 2^k. In double the even and the odd powers of Q are summed side by side:
 * one chain of operations is longer than what a processor looks ahead. The first, the largest, is still rounded once. */
#define CECORE_INTEGERS 0x1.8p52
#define CECORE_INTEGERSF 0x1.8p23f
#define CECORE_BIASED (CECORE_INTEGERS + 1023)
#define CECORE_BIASEDF (CECORE_INTEGERSF + 127)

CECORE_INLINE double cecore_exp_reduced(double x, double low, double *biased, double *lost)
{
    double k, r, square, head, p, q, tail;
    *biased = CECORE_FMA(x, CECORE_LOG2E, CECORE_BIASED);
    k = *biased - CECORE_BIASED;
    head = CECORE_FMA(-k, CECORE_LN2_HEAD, x);
    tail = CECORE_FMA(k, CECORE_LN2_TAIL, -low);
    r = head - tail;
    low = (head - r) - tail;
    square = r * r;
    p = CECORE_FMA(square, CECORE_EXP_10, CECORE_EXP_8);
    q = CECORE_FMA(square, CECORE_EXP_9, CECORE_EXP_7);
    p = CECORE_FMA(square, p, CECORE_EXP_6);
    q = CECORE_FMA(square, q, CECORE_EXP_5);
    p = CECORE_FMA(square, p, CECORE_EXP_4);
    q = CECORE_FMA(square, q, CECORE_EXP_3);
    p = CECORE_FMA(square, p, CECORE_EXP_2);
    q = CECORE_FMA(square, q, CECORE_EXP_1);
    p = CECORE_FMA(r, CECORE_FMA(r, p, q), CECORE_EXP_0);
    p = CECORE_FMA(square, p, low);
    q = r + p;
    head = 1 + q;
    *lost = ((1 - head) + q) + ((r - q) + p);
    return head;
}

CECORE_INLINE float cecore_exp_reducedf(float x, float low, float *biased, float *lost)
{
    float k, r, head, p, q, tail;
    *biased = CECORE_FMAF(x, CECORE_LOG2EF, CECORE_BIASEDF);
    k = *biased - CECORE_BIASEDF;
    head = CECORE_FMAF(-k, CECORE_LN2F_HEAD, x);
    tail = CECORE_FMAF(k, CECORE_LN2F_TAIL, -low);
    r = head - tail;
    low = (head - r) - tail;
    p = CECORE_FMAF(r, CECORE_EXPF_4, CECORE_EXPF_3);
    p = CECORE_FMAF(r, p, CECORE_EXPF_2);
    p = CECORE_FMAF(r, p, CECORE_EXPF_1);
    p = CECORE_FMAF(r, p, CECORE_EXPF_0);
    p = CECORE_FMAF(r * r, p, low);
    q = r + p;
    head = 1 + q;
    *lost = ((1 - head) + q) + ((r - q) + p);
    return head;
}

/* For any x. 2^k is applied in two halves, each a normal number, so that overflow and gradual underflow come from the
 * last multiplication alone. */
CECORE_INLINE double cecore_exp_parts(double x, double low, double *lost)
{
    double biased, k, half, scale, last, result;
    double clamped = x > 720 ? 720 : x;
    clamped = clamped < -760 ? -760 : clamped;
    result = cecore_exp_reduced(clamped, low, &biased, lost);
    k = biased - CECORE_BIASED;
    half = (k * 0.5 + CECORE_INTEGERS) - CECORE_INTEGERS;
    scale = cecore_double(cecore_bits(half + CECORE_BIASED) << 52);
    last = cecore_double(cecore_bits((k - half) + CECORE_BIASED) << 52);
    *lost = *lost * scale * last;
    return result * scale * last;
}

CECORE_INLINE float cecore_exp_partsf(float x, float low, float *lost)
{
    float biased, k, half, scale, last, result;
    float clamped = x > 100 ? 100 : x;
    clamped = clamped < -120 ? -120 : clamped;
    result = cecore_exp_reducedf(clamped, low, &biased, lost);
    k = biased - CECORE_BIASEDF;
    half = (k * 0.5f + CECORE_INTEGERSF) - CECORE_INTEGERSF;
    scale = cecore_float(cecore_bitsf(half + CECORE_BIASEDF) << 23);
    last = cecore_float(cecore_bitsf((k - half) + CECORE_BIASEDF) << 23);
    *lost = *lost * scale * last;
    return result * scale * last;
}

/* exp(x) / 2^shift, where the result is a normal number, and |x| at most CECORE_ORDINARY; of NaN NaN. Where both
 * serve, the bits are those of cecore_exp_parts. */
#define CECORE_ORDINARY 700
#define CECORE_ORDINARYF 80
/* exp(-x) is 0 beside 1, and rounded to 0 */
#define CECORE_VANISHING 760
#define CECORE_VANISHINGF 110

CECORE_INLINE double cecore_exp_shifted(double x, double shift, double *lost)
{
    double biased;
    double result = cecore_exp_reduced(x, 0, &biased, lost);
    double scale = cecore_double(cecore_bits(biased - shift) << 52);
    *lost = *lost * scale;
    return result * scale;
}

CECORE_INLINE float cecore_exp_shiftedf(float x, float shift, float *lost)
{
    float biased;
    float result = cecore_exp_reducedf(x, 0, &biased, lost);
    float scale = cecore_float(cecore_bitsf(biased - shift) << 23);
    *lost = *lost * scale;
    return result * scale;
}

CECORE_INLINE double cecore_exp(double x) { double lost; return cecore_exp_parts(x, 0, &lost); }
CECORE_INLINE float cecore_expf(float x) { float lost; return cecore_exp_partsf(x, 0, &lost); }

/* exp(x) / 2^N for a row of logits, from shifter = CECORE_INTEGERS + bias - N, where bias is 1023 (float: 127), and its
 * rounding error.
 *
 * x = k ln 2 + r with |r| <= ln(2)/2 (1 + 2^-20), and exp(r) = 1 + q with q = r + r^2 Q(r). Adding the shifter rounds
 * x / ln 2 to the integer k, and leaves k + bias - N in the low bits of the sum: shifted into the exponent, these bits
 * are the power 2^(k - N). The result is power + power q. k ln2_head is exact for |x| < 2^12 ln 2 (float: 2^9 ln 2),
 * also without fused multiply-add, because ln2_head has 41 (15) bits after the point. The error is then the sum of what
 * the last three roundings lost: of r, of q and of 1 + q. A caller that needs no error pays nothing for it.
 *
 * Domain: k - N is from 1 - bias to bias; outside it, for -inf and for +inf the result means nothing. NaN gives NaN.
 * Bound: 1.1 ULP (found: 1.00, float 1.01); with the error added, 0.2 ULP (0.15, float 0.16). */
CECORE_INLINE double cecore_row_exp(double x, double shifter, double *error)
{
    double shifted = CECORE_FMA(x, CECORE_LOG2E, shifter);
    double k = shifted - shifter;
    double head = CECORE_FMA(-k, CECORE_LN2_HEAD, x);
    double r = CECORE_FMA(-k, CECORE_LN2_TAIL, head);
    double power = cecore_double(cecore_bits(shifted) << 52);
    double p = CECORE_FMA(r, CECORE_ROW_EXP_9, CECORE_ROW_EXP_8);
    double q, result;
    p = CECORE_FMA(r, p, CECORE_ROW_EXP_7);
    p = CECORE_FMA(r, p, CECORE_ROW_EXP_6);
    p = CECORE_FMA(r, p, CECORE_ROW_EXP_5);
    p = CECORE_FMA(r, p, CECORE_ROW_EXP_4);
    p = CECORE_FMA(r, p, CECORE_ROW_EXP_3);
    p = CECORE_FMA(r, p, CECORE_ROW_EXP_2);
    p = CECORE_FMA(r, p, CECORE_ROW_EXP_1);
    p = CECORE_FMA(r, p, CECORE_ROW_EXP_0);
    q = CECORE_FMA(r * r, p, r);
    result = CECORE_FMA(q, power, power);
    p = CECORE_FMA(r * r, p, r - q) + CECORE_FMA(-k, CECORE_LN2_TAIL, head - r);
    *error = ((power - result) + power * q) + power * p;
    return result;
}

CECORE_INLINE float cecore_row_expf(float x, float shifter, float *error)
{
    float shifted = CECORE_FMAF(x, CECORE_LOG2EF, shifter);
    float k = shifted - shifter;
    float head = CECORE_FMAF(-k, CECORE_LN2F_HEAD, x);
    float r = CECORE_FMAF(-k, CECORE_LN2F_TAIL, head);
    float power = cecore_float(cecore_bitsf(shifted) << 23);
    float p = CECORE_FMAF(r, CECORE_EXPF_4, CECORE_EXPF_3);
    float q, result;
    p = CECORE_FMAF(r, p, CECORE_EXPF_2);
    p = CECORE_FMAF(r, p, CECORE_EXPF_1);
    p = CECORE_FMAF(r, p, CECORE_EXPF_0);
    q = CECORE_FMAF(r * r, p, r);
    result = CECORE_FMAF(q, power, power);
    p = CECORE_FMAF(r * r, p, r - q) + CECORE_FMAF(-k, CECORE_LN2F_TAIL, head - r);
    *error = ((power - result) + power * q) + power * p;
    return result;
}

/* x^y for 0 <= x <= 1 and y > 0: exp(y log x), with the logarithm in two parts and its product with y too (both are
 * cut after 26 bits, so that the product of the upper parts is exact). 0^y is 0. */
CECORE_INLINE double cecore_power(double x, double y)
{
    double exponent, significand, head, rest, high, log_top, log_rest, y_top, product, low, lost, result;
    cecore_split(x, &exponent, &significand);
    rest = -cecore_neg_log_parts(significand - 1, exponent, &head);
    high = rest - head;
    rest = (-head - high) + rest;
    log_top = cecore_double(cecore_bits(high) & UINT64_C(0xfffffffff8000000));
    log_rest = (high - log_top) + rest;
    y_top = cecore_double(cecore_bits(y) & UINT64_C(0xfffffffff8000000));
    product = y_top * log_top;
    low = y_top * log_rest + (y - y_top) * high;
    high = product + low;
    low = (product - high) + low;
    result = cecore_exp_parts(high, high < -760 ? 0 : low, &lost);
    result = x == 0 ? 0 : result;
    return x - x == 0 ? result : x;
}

/* What rounding x * y lost. */
CECORE_INLINE double cecore_product_lost(double x, double y, double product)
{
#if CECORE_HAS_FMA
    return CECORE_FMA(x, y, -product);
#else
    double x_top = cecore_double(cecore_bits(x) & UINT64_C(0xfffffffff8000000));
    double y_top = cecore_double(cecore_bits(y) & UINT64_C(0xfffffffff8000000));
    double x_rest = x - x_top;
    double y_rest = y - y_top;
    return ((x_top * y_top - product) + x_top * y_rest + x_rest * y_top) + x_rest * y_rest;
#endif
}

CECORE_INLINE float cecore_product_lostf(float x, float y, float product)
{
#if CECORE_HAS_FMA
    return CECORE_FMAF(x, y, -product);
#else
    return (float)((double)x * y - product);
#endif
}

/* x - q d where q is nearly x / d: what is left of x, rounded once. */
CECORE_INLINE double cecore_remainder(double x, double q, double d)
{
#if CECORE_HAS_FMA
    return CECORE_FMA(-q, d, x);
#else
    double product = q * d;
    return (x - product) - cecore_product_lost(q, d, product);
#endif
}

/* 1 / (1 + e) or e / (1 + e) for e + low in [0, 1]: a share of the logistic function. The smaller quotient is corrected
 * for low and for what 1 + e lost; the larger one is 1 less it, which halves its error and adds a rounding. */
CECORE_INLINE double cecore_share(int larger, double e, double low)
{
    double sum = 1 + e;
    double sum_low = ((1 - sum) + e) + low;
    double quotient = e / sum;
    double smaller = quotient + (low - quotient * sum_low) * (1 - quotient);
    return larger ? 1 - smaller : smaller;
}

CECORE_INLINE float cecore_sharef(int larger, float e, float low)
{
    float sum = 1 + e;
    float sum_low = ((1 - sum) + e) + low;
    float quotient = e / sum;
    float smaller = quotient + (low - quotient * sum_low) * (1 - quotient);
    return larger ? 1 - smaller : smaller;
}

/* 1 / (1 + exp(-x)) */
CECORE_INLINE double cecore_sigmoid(double x)
{
    double low;
    double e = cecore_exp_parts(x > 0 ? -x : x, 0, &low);
    return cecore_share(x > 0, e, low);
}

CECORE_INLINE float cecore_sigmoidf(float x)
{
    float low;
    float e = cecore_exp_partsf(x > 0 ? -x : x, 0, &low);
    return cecore_sharef(x > 0, e, low);
}

/* log(1 + exp(-|x|)), the curved part of softplus(x) = max(x, 0) + log(1 + exp(-|x|)) */
CECORE_INLINE double cecore_softplus_rest(double x)
{
    double low;
    double e = cecore_exp_parts(x > 0 ? -x : x, 0, &low);
    return cecore_log1p_unit(e, low);
}

CECORE_INLINE float cecore_softplus_restf(float x)
{
    float low;
    float e = cecore_exp_partsf(x > 0 ? -x : x, 0, &low);
    return cecore_log1p_unitf(e, low);
}

/* x rounded to the significand of float, not to its range: to nearest even. Infinities and NaN stay. */
CECORE_INLINE double cecore_24_bits(double x)
{
    uint64_t bits = cecore_bits(x);
    bits += UINT64_C(0x0fffffff) + (bits >> 29 & 1);
    return cecore_double(bits & UINT64_C(0xffffffffe0000000));
}

/* x * (y + low), rounded about once; where something overflows, x * y. */
CECORE_INLINE double cecore_product(double x, double y, double low)
{
    double product = x * y;
    double lost = cecore_product_lost(x, y, product) + x * low;
    return lost - lost == 0 ? product + lost : product;
}

/* x / (d + low) as a number and what it lost; where something overflows, x / d and 0. */
CECORE_INLINE double cecore_quotient(double x, double d, double low, double *lost)
{
    double quotient = x / d;
    double product = quotient * d;
    double rest = (((x - product) - cecore_product_lost(quotient, d, product)) - quotient * low) / d;
    *lost = rest - rest == 0 ? rest : 0;
    return quotient;
}

/* ---------------------------------------------------------------- for the fused loops
 *
 * The functions from here on are shorter than the ones above: their errors are up to 3 ULP, where those above keep
 * below 1.1. What differs between double and float is here, the rest in scalar_functions.h. */

/* -log(a) of a probability a = 2^k m, m in [sqrt(1/2), sqrt(2)), whose complement b = 1 - a is given too. Error below
 * 2 ULP, relative.
 *
 * -log(a) = -k ln 2 - log(1 + f) with f = m - 1. For k = 0, f is -b, which has no rounding error: losses near 0 keep
 * their relative accuracy. In double log(1 + f) = f - (h - s (h + s^2 P)) as above, with s = f / (2 + f) and
 * h = f^2 / 2; in float it is the Taylor form f - f^2 (1/2 - f P). The sum of the two large terms is rounded, but nothing
 * else that is as large. NaN stays NaN. */
CECORE_INLINE double cecore_pair_log_from(double a, double b, double k, double m)
{
    double f = a < CECORE_ROOT_HALF ? m - 1 : -b;
    double s = f / (2 + f);
    double z = s * s;
    double h = 0.5 * f * f;
    double p = CECORE_FMA(z, CECORE_LOG_6, CECORE_LOG_5);
    p = CECORE_FMA(z, p, CECORE_LOG_4);
    p = CECORE_FMA(z, p, CECORE_LOG_3);
    p = CECORE_FMA(z, p, CECORE_LOG_2);
    p = CECORE_FMA(z, p, CECORE_LOG_1);
    p = CECORE_FMA(z, p, CECORE_LOG_0);
    p = CECORE_FMA(-s, CECORE_FMA(z, p, h), h);
    return CECORE_FMA(-k, CECORE_LN2_TAIL, p) + CECORE_FMA(-k, CECORE_LN2_HEAD, -f);
}

CECORE_INLINE float cecore_pair_log_fromf(float a, float b, float k, float m)
{
    float f = a < CECORE_ROOT_HALFF ? m - 1 : -b;
    float p = CECORE_FMAF(f, CECORE_LOGF_7, CECORE_LOGF_6);
    p = CECORE_FMAF(f, p, CECORE_LOGF_5);
    p = CECORE_FMAF(f, p, CECORE_LOGF_4);
    p = CECORE_FMAF(f, p, CECORE_LOGF_3);
    p = CECORE_FMAF(f, p, CECORE_LOGF_2);
    p = CECORE_FMAF(f, p, CECORE_LOGF_1);
    p = CECORE_FMAF(f, p, CECORE_LOGF_0);
    p = f * f * CECORE_FMAF(-f, p, 0.5f);
    return CECORE_FMAF(-k, CECORE_LN2F_TAIL, p) + CECORE_FMAF(-k, CECORE_LN2F_HEAD, -f);
}

/* log(a / b) of normal numbers in [2^-1000, 1] (float: [2^-120, 1]). Error below 3 ULP.
 *
 * The difference of their bits, divided by that of a binade, is nearly the binary logarithm of a / b. Rounded to an
 * integer it is k, and with c = 2^k b the ratio a / c lies between 2/3 and 1.503, so that a - c is exact:
 * log(a / b) = k ln 2 + log((1 + s) / (1 - s)) with s = (a - c) / (a + c), |s| < 0.2005. Adding 1024 to k (float: 128)
 * keeps the difference positive. */
CECORE_INLINE double cecore_log_ratio(double a, double b)
{
    uint64_t difference = cecore_bits(a) - cecore_bits(b) + UINT64_C(0x4008000000000000);
    double k = cecore_double((difference >> 52) | UINT64_C(0x4330000000000000)) - (0x1p52 + 1024);
    uint64_t scale = (difference & UINT64_C(0xfff0000000000000)) - UINT64_C(0x4000000000000000);
    double c = cecore_double(cecore_bits(b) + scale);
    double s = (a - c) / (a + c);
    double z = s * s;
    double p = CECORE_FMA(z, CECORE_RATIO_6, CECORE_RATIO_5);
    p = CECORE_FMA(z, p, CECORE_RATIO_4);
    p = CECORE_FMA(z, p, CECORE_RATIO_3);
    p = CECORE_FMA(z, p, CECORE_RATIO_2);
    p = CECORE_FMA(z, p, CECORE_RATIO_1);
    p = CECORE_FMA(z, p, CECORE_RATIO_0);
    return CECORE_FMA(k, CECORE_LN2, CECORE_FMA(s * z, p, 2 * s));
}

CECORE_INLINE float cecore_log_ratiof(float a, float b)
{
    uint32_t difference = cecore_bitsf(a) - cecore_bitsf(b) + UINT32_C(0x40400000);
    float k = cecore_float((difference >> 23) | UINT32_C(0x4b000000)) - (0x1p23f + 128);
    uint32_t scale = (difference & UINT32_C(0xff800000)) - UINT32_C(0x40000000);
    float c = cecore_float(cecore_bitsf(b) + scale);
    float s = (a - c) / (a + c);
    float z = s * s;
    float p = CECORE_FMAF(z, CECORE_RATIOF_2, CECORE_RATIOF_1);
    p = CECORE_FMAF(z, p, CECORE_RATIOF_0);
    return CECORE_FMAF(k, CECORE_LN2F, CECORE_FMAF(s * z, p, 2 * s));
}

/* x - low = k ln 2 + r with |r| at most ln(2) / 2, about: r, and k as biased = k + CECORE_BIASED, whose last bits are
 * the exponent of 2^k. x and -x give r and -r if low is 0. */
CECORE_INLINE double cecore_reduced(double x, double low, double *biased)
{
    double k;
    *biased = CECORE_FMA(x - low, CECORE_LOG2E, CECORE_BIASED);
    k = *biased - CECORE_BIASED;
    return CECORE_FMA(-k, CECORE_LN2_TAIL, CECORE_FMA(-k, CECORE_LN2_HEAD, x)) - low;
}

CECORE_INLINE float cecore_reducedf(float x, float low, float *biased)
{
    float k;
    *biased = CECORE_FMAF(x - low, CECORE_LOG2EF, CECORE_BIASEDF);
    k = *biased - CECORE_BIASEDF;
    return CECORE_FMAF(-k, CECORE_LN2F_TAIL, CECORE_FMAF(-k, CECORE_LN2F_HEAD, x)) - low;
}

/* 2^k, where it is a normal number */
CECORE_INLINE double cecore_scale(double biased) { return cecore_double(cecore_bits(biased) << 52); }
CECORE_INLINE float cecore_scalef(float biased) { return cecore_float(cecore_bitsf(biased) << 23); }

/* exp(r) as a fraction e / n for a reduced r; the division that every formula needs takes both parts. Error below
 * 1 ULP before the division.
 *
 * exp(r) = (K + r) / (K - r) with K = r coth(r / 2) = 2 + r^2 P(r^2). In float n is 1, and e is the Taylor form
 * 1 + r + r^2 Q(r), because the sums of float losses need e itself. */
CECORE_INLINE double cecore_fraction(double r, double *n)
{
    double square = r * r;
    double p = CECORE_FMA(square, CECORE_COTH_4, CECORE_COTH_3);
    p = CECORE_FMA(square, p, CECORE_COTH_2);
    p = CECORE_FMA(square, p, CECORE_COTH_1);
    p = CECORE_FMA(square, p, CECORE_COTH_0);
    p = CECORE_FMA(square, p, 2);
    *n = p - r;
    return p + r;
}

CECORE_INLINE float cecore_fractionf(float r, float *n)
{
    float p = CECORE_FMAF(r, CECORE_EXPF_4, CECORE_EXPF_3);
    p = CECORE_FMAF(r, p, CECORE_EXPF_2);
    p = CECORE_FMAF(r, p, CECORE_EXPF_1);
    p = CECORE_FMAF(r, p, CECORE_EXPF_0);
    *n = 1;
    return CECORE_FMAF(r * r, p, r) + 1;
}

/* The same as a true fraction in float too, which saves two coefficients. */
CECORE_INLINE double cecore_short_fraction(double r, double *n) { return cecore_fraction(r, n); }

CECORE_INLINE float cecore_short_fractionf(float r, float *n)
{
    float square = r * r;
    float p = CECORE_FMAF(square, CECORE_FMAF(square, CECORE_COTHF_1, CECORE_COTHF_0), 2);
    *n = p - r;
    return p + r;
}

/* log(1 + e / n) for 0 <= e <= n. Error below 3 ULP; in float below 2.5 half-ULPs, because sums of float losses that
 * are all alike keep the error of one.
 *
 * With s = e / (2 n + e), at most 1/3, 1 + e / n = (1 + s) / (1 - s), and the logarithm is 2 s + s^3 P(s^2). In float
 * n is 1, and s is corrected for the rounding errors of d = 2 + e and of the division: 1 / d = (1 - s) / 2. */
CECORE_INLINE double cecore_log1p_fraction(double n, double e)
{
    double s = e / CECORE_FMA(2, n, e);
    double z = s * s;
    double p = CECORE_FMA(z, CECORE_ATANH_9, CECORE_ATANH_8);
    p = CECORE_FMA(z, p, CECORE_ATANH_7);
    p = CECORE_FMA(z, p, CECORE_ATANH_6);
    p = CECORE_FMA(z, p, CECORE_ATANH_5);
    p = CECORE_FMA(z, p, CECORE_ATANH_4);
    p = CECORE_FMA(z, p, CECORE_ATANH_3);
    p = CECORE_FMA(z, p, CECORE_ATANH_2);
    p = CECORE_FMA(z, p, CECORE_ATANH_1);
    p = CECORE_FMA(z, p, CECORE_ATANH_0);
    return CECORE_FMA(s * z, p, 2 * s);
}

CECORE_INLINE float cecore_log1p_fractionf(float n, float e)
{
    float d = 2 * n + e;
    float s = e / d;
    float error = CECORE_FMAF(-s, (2 - d) + e, CECORE_FMAF(-s, d, e)) * CECORE_FMAF(-0.5f, s, 0.5f);
    float z = s * s;
    float p = CECORE_FMAF(z, CECORE_ATANHF_3, CECORE_ATANHF_2);
    p = CECORE_FMAF(z, p, CECORE_ATANHF_1);
    p = CECORE_FMAF(z, p, CECORE_ATANHF_0);
    return CECORE_FMAF(s * z, p, 2 * error) + 2 * s;
}

/* The functions that are the same for double and float stand once, in scalar_functions.h. It is included for each type:
 * REAL is the type, NAME(f) is f or ff, FMA is the fused multiply-add of the type, and the constants are its own. */
#define REAL double
#define NAME(function) function
#define FMA CECORE_FMA
#define INTEGERS CECORE_INTEGERS
#define BIASED CECORE_BIASED
#define VANISHING 800 /* exp(-x) rounds to 0 */
#include "scalar_functions.h"
#undef REAL
#undef NAME
#undef FMA
#undef INTEGERS
#undef BIASED
#undef VANISHING
#define REAL float
#define NAME(function) function##f
#define FMA CECORE_FMAF
#define INTEGERS CECORE_INTEGERSF
#define BIASED CECORE_BIASEDF
#define VANISHING 120
#include "scalar_functions.h"
#undef REAL
#undef NAME
#undef FMA
#undef INTEGERS
#undef BIASED
#undef VANISHING

/* Round to nearest, gradual underflow, no traps while a kernel runs; the caller's modes and flags come back. Compilers
 * do not know that arithmetic depends on the control word, but they leave memory alone across CECORE_BARRIER: what is
 * computed between entering and leaving must be read from memory and written to it. */
#if defined(__GNUC__)
#define CECORE_BARRIER() __asm__ volatile("" : : : "memory")
#else
#define CECORE_BARRIER() ((void)0)
#endif

CECORE_INLINE uint64_t cecore_enter(void)
{
    uint64_t saved = 0;
#if defined(CECORE_X86)
    saved = _mm_getcsr();
    _mm_setcsr(0x1f80);
#elif defined(__aarch64__) && !defined(_MSC_VER)
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved) : : "memory");
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
#endif
    CECORE_BARRIER();
    return saved;
}

CECORE_INLINE void cecore_leave(uint64_t saved)
{
    CECORE_BARRIER();
#if defined(CECORE_X86)
    _mm_setcsr((unsigned int)saved);
#elif defined(__aarch64__) && !defined(_MSC_VER)
    __asm__ volatile("msr fpcr, %0" : : "r"(saved) : "memory");
#else
    (void)saved;
#endif
    CECORE_BARRIER();
}

/* The same for the conversion of long double: on x86 that is the work of the x87 unit, which has a control word of its
 * own. */
CECORE_INLINE uint32_t cecore_enter_long(void)
{
    unsigned short saved = 0;
#if defined(CECORE_X86) && defined(__GNUC__)
    const unsigned short usual = 0x37f;
    __asm__ volatile("fnstcw %0" : "=m"(saved));
    if (saved != usual)
        __asm__ volatile("fldcw %0" : : "m"(usual) : "memory");
#endif
    return saved;
}

CECORE_INLINE void cecore_leave_long(uint32_t word)
{
#if defined(CECORE_X86) && defined(__GNUC__)
    const unsigned short saved = (unsigned short)word;
    if (saved != 0x37f)
        __asm__ volatile("fldcw %0" : : "m"(saved) : "memory");
#else
    (void)word;
#endif
}

/* Have a local variable computed before what follows, as cecore_leave. */
CECORE_INLINE void cecore_settle(double *result)
{
#if defined(__GNUC__)
    __asm__ volatile("" : "+m"(*result));
#else
    *(volatile double *)result = *result;
#endif
}

/* In a loop that looks for something another thread does: the other thread of the core may have its resources. */
CECORE_INLINE void cecore_pause(void)
{
#if defined(CECORE_X86)
    _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
    __asm__ volatile("yield");
#endif
}

#endif
