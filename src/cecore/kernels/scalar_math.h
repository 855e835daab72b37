/* The scalar functions of the kernels: logarithms and exponentials, and what is built from them, in double and float.
 *
 * Every function is branch-free, so that a compiler turns a loop over it into vector code, and uses only operations
 * that IEEE 754 defines to the bit. With a fused multiply-add (CECORE_FMA) the results are the same on every machine.
 * Without one they have bits of their own and keep the error bounds. The bounds hold for round-to-nearest and gradual
 * underflow, which the kernels set on entry (modes.h).
 *
 * This file holds the constants, the bits of numbers, the half types, and what only double needs. scalar_functions.h,
 * which is included for each type, holds the functions that both types have; the name of a function or constant of float
 * ends with f or F. tests/test_math.py holds every function to the bound above it; tools/accuracy.py searches for the
 * largest error, which is the number in brackets. */
#ifndef CECORE_SCALAR_MATH_H
#define CECORE_SCALAR_MATH_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "compiler.h"

/* ---------------------------------------------------------------- constants */

/* ln 2 in two parts: the first has so few bits that its product with an exponent is exact. */
#define CECORE_LN2_HEAD 0x1.62e42fefa4p-1
#define CECORE_LN2_TAIL -0x1.8432a1b0e2634p-43
#define CECORE_LN2 0x1.62e42fefa39efp-1
#define CECORE_LOG2E 0x1.71547652b82fep+0
#define CECORE_LN2_HEADF 0x1.62e4p-1f
#define CECORE_LN2_TAILF 0x1.7f7d1cp-20f
#define CECORE_LN2F 0x1.62e43p-1f
#define CECORE_LOG2EF 0x1.715476p+0f

/* Polynomials, lowest degree first. tools/coefficients.py derives them, together with the constants above. */
static const double cecore_table_log[] = {
    0x1.5555555555592p-1, 0x1.999999997ff18p-2, 0x1.24924941e1633p-2, 0x1.c71c521448784p-3, 0x1.74663ceeb6049p-3,
    0x1.39a1e8b088b5ep-3, 0x1.2f03baed268bdp-3
};
static const float cecore_table_logf[] = {
    0x1.555554p-2f, -0x1.000228p-2f, 0x1.99a034p-3f, -0x1.547238p-3f, 0x1.22d69cp-3f, -0x1.0d81ep-3f, 0x1.05700ep-3f,
    -0x1.38f868p-4f
};
static const double cecore_table_ratio[] = {
    0x1.555555555578ap-1, 0x1.99999998eb665p-2, 0x1.249249b5e17acp-2, 0x1.c71bff01e354cp-3, 0x1.7475442992527p-3,
    0x1.384b3df9c532ap-3, 0x1.3af91edf6781bp-3
};
static const float cecore_table_ratiof[] = {
    0x1.5555b4p-1f, 0x1.992a6cp-2f, 0x1.36f472p-2f
};
static const double cecore_table_log1p[] = {
    0x1.5555555555535p-1, 0x1.99999999a0787p-2, 0x1.2492492089ff8p-2, 0x1.c71c741db382dp-3, 0x1.745cb3d3e8363p-3,
    0x1.3b1ddef6f5e11p-3, 0x1.10679a2571a8ep-3, 0x1.efdab5ce7a895p-4, 0x1.55a7a18dbd182p-4, 0x1.5c80908eb3453p-3
};
static const float cecore_table_log1pf[] = {
    0x1.5555p-1f, 0x1.99d29ep-2f, 0x1.1eb3a2p-2f, 0x1.1f0578p-2f
};
static const double cecore_table_coth[] = {
    0x1.555555555552dp-3, -0x1.6c16c16bd9ddbp-9, 0x1.1566aac01b8a1p-14, -0x1.bbd3a9a6508ebp-20, 0x1.63487cb727667p-25
};
static const float cecore_table_cothf[] = {
    0x1.555514p-3f, -0x1.6a8cp-9f
};
static const double cecore_table_exp[] = {
    0x1.000000000000bp-1, 0x1.555555555551ap-3, 0x1.555555555007ap-5, 0x1.111111111db54p-7, 0x1.6c16c185e51b2p-10,
    0x1.a01a016aeacd5p-13, 0x1.a019956278e66p-16, 0x1.71de7fd11d4b2p-19, 0x1.28b1bc7ebd716p-22, 0x1.aea4860bbd8b1p-26
};
static const float cecore_table_expf[] = {
    0x1.fffffcp-2f, 0x1.55548cp-3f, 0x1.555858p-5f, 0x1.123de4p-7f, 0x1.6ac7bp-10f
};
static const double cecore_table_power[] = {
    0x1p-1, 0x1.555555555555dp-3, 0x1.555555555556cp-5, 0x1.111111110e54bp-7, 0x1.6c16c16c0a42ap-10,
    0x1.a01a01b5f39f8p-13, 0x1.a01a01e8a2f1ap-16, 0x1.71ddeaaf6e31bp-19, 0x1.27e44a80e3bfbp-22, 0x1.af7443ad5b78bp-26,
    0x1.2050b3c123038p-29
};

#define CECORE_DIGITS 52 /* bits of the significand that are stored */
#define CECORE_DIGITSF 23
#define CECORE_BIAS 1023 /* what the exponent is stored with */
#define CECORE_BIASF 127
#define CECORE_LEAST_NORMAL DBL_MIN
#define CECORE_LEAST_NORMALF FLT_MIN
#define CECORE_ROOT_HALF 0x1.6a09e667f3bcdp-1 /* sqrt(1/2) */
#define CECORE_ROOT_HALFF 0x1.6a09e6p-1f
#define CECORE_INTEGERS 0x1.8p52 /* the sum of it and a number is rounded to an integer, which its low bits hold */
#define CECORE_INTEGERSF 0x1.8p23f
#define CECORE_ORDINARY 700 /* exp(x) and exp(-x) are normal numbers for |x| up to here */
#define CECORE_ORDINARYF 80
#define CECORE_VANISHING 800 /* exp(-x) rounds to 0 from here on */
#define CECORE_VANISHINGF 120
#define CECORE_LEAST_PRODUCT 0x1p-960 /* if a product of some probabilities is not below, each of them was normal */

/* ---------------------------------------------------------------- bits, and the half types */

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

/* ---------------------------------------------------------------- what both types have
 *
 * REAL is the type and BITS the integer of its size, NAME(f) is f or ff, CONSTANT(C) is CECORE_C or CECORE_CF, REAL_OF
 * gives the number that has some bits, and FMA is the fused multiply-add of the type. */

#define REAL double
#define BITS uint64_t
#define IS_DOUBLE 1
#define NAME(function) function
#define CONSTANT(name) CECORE_##name
#define REAL_OF cecore_double
#define FMA CECORE_FMA
#include "scalar_functions.h"
#define REAL float
#define BITS uint32_t
#define IS_DOUBLE 0
#define NAME(function) function##f
#define CONSTANT(name) CECORE_##name##F
#define REAL_OF cecore_float
#define FMA CECORE_FMAF
#include "scalar_functions.h"

/* ---------------------------------------------------------------- what only double needs */

/* x rounded to the significand of float, but not to its range: to nearest even. Infinities and NaN stay. */
CECORE_INLINE double cecore_24_bits(double x)
{
    uint64_t bits = cecore_bits(x);
    bits += UINT64_C(0x0fffffff) + (bits >> 29 & 1);
    return cecore_double(bits & UINT64_C(0xffffffffe0000000));
}

/* x - q d, where q is x / d but for rounding errors: the remainder of a division. With FMA it is rounded once. */
CECORE_INLINE double cecore_remainder(double x, double q, double d)
{
#if CECORE_HAS_FMA
    return CECORE_FMA(-q, d, x);
#else
    double product = q * d;
    return (x - product) - cecore_product_lost(q, d, product);
#endif
}

/* x (y + low) for |low| of at most some rounding errors of y; x y, where something overflows.
 * Error: below 0.51 ULP (0.5000). */
CECORE_INLINE double cecore_product(double x, double y, double low)
{
    double product = x * y;
    double error = cecore_product_lost(x, y, product) + x * low;
    return error - error == 0 ? product + error : product;
}

/* x / (d + low) for such a low, as a quotient and its error, which is to be added; x / d and 0, where something
 * overflows. Error of the sum: below 0.51 ULP (0.5000). */
CECORE_INLINE double cecore_quotient(double x, double d, double low, double *error)
{
    double quotient = x / d;
    double product = quotient * d;
    double rest = (((x - product) - cecore_product_lost(quotient, d, product)) - quotient * low) / d;
    *error = rest - rest == 0 ? rest : 0;
    return quotient;
}

/* The upper half of the significand: the product of two such numbers is exact. */
CECORE_INLINE double cecore_upper(double x) { return cecore_double(cecore_bits(x) & UINT64_C(0xfffffffff8000000)); }

/* x^y = exp(y log x) for 0 <= x <= 1 and y > 0; 0^y is 0, NaN gives NaN.
 *
 * The logarithm is the sum high + rest, and its product with y the sum high + low, because exp multiplies their errors
 * by up to 745. The product of the upper halves is exact. Then y log x = k ln 2 + r + low, with a new low that has what
 * was lost of r, and exp(r + low) = 1 + r + (r^2 Q(r) + low). The even and the odd powers of Q are summed side by side:
 * one chain of operations would be longer than a processor looks ahead.
 * Error: below 1.6 ULP (1.4804), if y is at most 5 and x^y a normal number; the error of the logarithm grows with y. */
CECORE_INLINE double cecore_power(double x, double y)
{
    const double *q = cecore_table_power;
    double exponent, significand, head, rest, high, low, upper, biased, k, tail, r, z, even, odd, scale, other, result;
    cecore_split(x, &exponent, &significand);
    rest = -cecore_neg_log_parts(significand - 1, exponent, &head);
    high = rest - head;
    rest = (-head - high) + rest;
    upper = cecore_upper(y) * cecore_upper(high);
    low = cecore_upper(y) * ((high - cecore_upper(high)) + rest) + (y - cecore_upper(y)) * high;
    high = upper + low;
    low = high < -760 ? 0 : (upper - high) + low;
    high = high < -760 ? -760 : high;
    biased = CECORE_FMA(high, CECORE_LOG2E, CECORE_INTEGERS + CECORE_BIAS);
    k = biased - (CECORE_INTEGERS + CECORE_BIAS);
    head = CECORE_FMA(-k, CECORE_LN2_HEAD, high);
    tail = CECORE_FMA(k, CECORE_LN2_TAIL, -low);
    r = head - tail;
    low = (head - r) - tail;
    z = r * r;
    even = CECORE_FMA(z, CECORE_FMA(z, CECORE_FMA(z, CECORE_FMA(z, q[10], q[8]), q[6]), q[4]), q[2]);
    odd = CECORE_FMA(z, CECORE_FMA(z, CECORE_FMA(z, CECORE_FMA(z, q[9], q[7]), q[5]), q[3]), q[1]);
    scale = cecore_two_scales(biased, &other);
    result = (1 + (r + CECORE_FMA(z, CECORE_FMA(r, CECORE_FMA(r, even, odd), q[0]), low))) * scale * other;
    result = x == 0 ? 0 : result;
    return x - x == 0 ? result : x;
}

#endif
