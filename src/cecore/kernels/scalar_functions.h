/* The scalar functions that are the same for double and float: scalar_math.h includes this file once for each type.
 * REAL is the type, NAME(f) is f for double and ff for float, and FMA is the fused multiply-add of the type. */

/* -log(a) of a normal probability a with the complement b; then the same bits, and those of a that is subnormal or 0. */
CECORE_INLINE REAL NAME(cecore_pair_log)(REAL a, REAL b)
{
    REAL exponent, significand;
    NAME(cecore_split_normal)(a, &exponent, &significand);
    return NAME(cecore_pair_log_from)(a, b, exponent, significand);
}

CECORE_INLINE REAL NAME(cecore_any_pair_log)(REAL a, REAL b)
{
    REAL exponent, significand, result;
    NAME(cecore_split)(a, &exponent, &significand);
    result = NAME(cecore_pair_log_from)(a, b, exponent, significand);
    return a == 0 ? (REAL)INFINITY : result;
}

/* exp(x) as a fraction e / n, for |x| in the ordinary range; NaN gives NaN. */
CECORE_INLINE REAL NAME(cecore_exp_fraction)(REAL x, REAL *n)
{
    REAL biased;
    REAL r = NAME(cecore_reduced)(x, &biased);
    REAL e = NAME(cecore_fraction)(r, n);
    return e * NAME(cecore_scale)(biased);
}

CECORE_INLINE REAL NAME(cecore_exp_short_fraction)(REAL x, REAL *n)
{
    REAL biased;
    REAL r = NAME(cecore_reduced)(x, &biased);
    REAL e = NAME(cecore_short_fraction)(r, n);
    return e * NAME(cecore_scale)(biased);
}

/* The same as e * scale / n for any x <= 0: scale is a second power of 2, for results below the normal numbers. */
CECORE_INLINE REAL NAME(cecore_any_exp_fraction)(REAL x, REAL *n, REAL *scale)
{
    REAL biased, e, k, half;
    REAL r = NAME(cecore_reduced)(x < -VANISHING ? -VANISHING : x, &biased);
    e = NAME(cecore_fraction)(r, n);
    k = biased - BIASED;
    half = (k * (REAL)0.5 + INTEGERS) - INTEGERS;
    *scale = NAME(cecore_scale)((k - half) + BIASED);
    return e * NAME(cecore_scale)(half + BIASED);
}

/* The sigmoid of |z| and of -|z| from exp(-|z|) = e * scale / n. Error below 3 ULP each, relative: neither is 1 minus
 * the other. scale is 1 in the ordinary range, and then changes no bit. */
CECORE_INLINE REAL NAME(cecore_sigmoids)(REAL n, REAL e, REAL scale, REAL *smaller)
{
    REAL quotient = 1 / (n + e * scale);
    *smaller = e * quotient * scale;
    return n * quotient;
}
