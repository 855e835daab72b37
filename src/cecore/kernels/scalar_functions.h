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
    REAL r = NAME(cecore_reduced)(x, 0, &biased);
    REAL e = NAME(cecore_fraction)(r, n);
    return e * NAME(cecore_scale)(biased);
}

CECORE_INLINE REAL NAME(cecore_exp_short_fraction)(REAL x, REAL *n)
{
    REAL biased;
    REAL r = NAME(cecore_reduced)(x, 0, &biased);
    REAL e = NAME(cecore_short_fraction)(r, n);
    return e * NAME(cecore_scale)(biased);
}

/* 2^k in two halves, each a normal number for |k| up to 2,000: the product of a number and both is rounded once. */
CECORE_INLINE REAL NAME(cecore_two_scales)(REAL biased, REAL *other)
{
    REAL k = biased - BIASED;
    REAL half = (k * (REAL)0.5 + INTEGERS) - INTEGERS;
    *other = NAME(cecore_scale)((k - half) + BIASED);
    return NAME(cecore_scale)(half + BIASED);
}

/* exp(x) as e * scale / n for any x <= 0, so that results below the normal numbers are rounded once. */
CECORE_INLINE REAL NAME(cecore_any_exp_fraction)(REAL x, int short_form, REAL *n, REAL *scale)
{
    REAL biased;
    REAL r = NAME(cecore_reduced)(x < -VANISHING ? -VANISHING : x, 0, &biased);
    REAL e = short_form ? NAME(cecore_short_fraction)(r, n) : NAME(cecore_fraction)(r, n);
    return e * NAME(cecore_two_scales)(biased, scale);
}

/* exp(-g (x + y)) for g > 0, x >= 0 and 0 <= y <= ln 2: the power of a sigmoid, -log of which is x + y. The rounding
 * errors of g and of g x are kept, so that the result's error is below 2 ULP and g y times that of y. */
CECORE_INLINE REAL NAME(cecore_exp_of_product)(double g, REAL x, REAL y)
{
    REAL most = x > 1024 ? 1024 : x; /* the sigmoid is 0 there, and so is what the power is multiplied by */
    REAL g_high = (REAL)g;
    REAL g_low = sizeof(REAL) < sizeof(double) ? (REAL)(g - g_high) : 0;
    REAL high = g_high * most;
    REAL low = FMA(g_high, y, FMA(g_low, most, NAME(cecore_product_lost)(g_high, most, high)));
    REAL n, biased, r, e, scale, other;
    int vanishes = high + low > VANISHING;
    high = vanishes ? VANISHING : high;
    low = vanishes ? 0 : low;
    r = NAME(cecore_reduced)(-high, low, &biased);
    e = NAME(cecore_fraction)(r, &n);
    scale = NAME(cecore_two_scales)(biased, &other);
    return e * scale / n * other;
}

/* The sigmoid of |z| and of -|z| from exp(-|z|) = e * scale / n. Error below 3 ULP each, relative: neither is 1 minus
 * the other. scale is 1 in the ordinary range, and then changes no bit. */
CECORE_INLINE REAL NAME(cecore_sigmoids)(REAL n, REAL e, REAL scale, REAL *smaller)
{
    REAL quotient = 1 / (n + e * scale);
    *smaller = e * quotient * scale;
    return n * quotient;
}

/* log(1 + x + low) for x > -1 (or NaN) and |low| of at most some rounding errors of x. u = 1 + x is rounded; the rounding
 * error and low are a correction c of the reduced argument f, scaled by the exponent of u:
 * log(1 + f + c) = log(1 + f) + c / (1 + f), and 1 - f + f^2 is near enough to 1 / (1 + f). If the exponent is 0, x is the
 * reduced argument. log1p_row(0, 0) is +0. */
CECORE_INLINE REAL NAME(cecore_log1p_row)(REAL x, REAL low)
{
    REAL u = 1 + x;
    REAL back = u - 1;
    REAL lost = (1 - (u - back)) + (x - back);
    REAL exponent, significand, scale, f, c, head, rest;
    NAME(cecore_split_normal)(u, &exponent, &significand);
    scale = exponent > 64 ? 0 : NAME(cecore_scale)(BIASED - exponent);
    f = exponent == 0 ? x : significand - 1;
    c = exponent == 0 ? low : (lost + low) * scale;
    rest = NAME(cecore_neg_log_parts)(f, exponent, &head);
    return (c * (1 - f + f * f) - rest) - head;
}

/* log(1 + x). log1p(-1) is -inf, x < -1 gives NaN, -0 stays -0. */
CECORE_INLINE REAL NAME(cecore_log1p)(REAL x)
{
    REAL result = NAME(cecore_log1p_row)(x, 0);
    result = x - x == 0 && x != 0 ? result : x;
    result = x >= -1 ? result : (REAL)NAN;
    return x == -1 ? -(REAL)INFINITY : result;
}
