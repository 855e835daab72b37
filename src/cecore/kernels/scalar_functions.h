/* The scalar functions for one type: scalar_math.h includes this file for double and for float, and says what REAL,
 * NAME and the other words mean.
 *
 * x = 2^k m stands for the parts of a normal number, m in [sqrt(1/2), sqrt(2)), and f for m - 1. The exponent k is a
 * floating-point number. Where k = round(x / ln 2) is wanted, it comes as biased = k + BIASED: the low bits of biased are
 * then the exponent of 2^k as it is stored. */

#define BIASED (CONSTANT(INTEGERS) + CONSTANT(BIAS))
#define POLYNOMIAL(x, table) \
    NAME(cecore_polynomial)(x, NAME(cecore_table_##table), (int)(sizeof NAME(cecore_table_##table) / sizeof(REAL)))

/* The polynomial with n coefficients c, by Horner's rule. n is a constant, so that one chain of operations is left. */
CECORE_INLINE REAL NAME(cecore_polynomial)(REAL x, const REAL *c, int n)
{
    REAL p = c[n - 1];
    p = n > 1 ? FMA(x, p, c[n - 2]) : p;
    p = n > 2 ? FMA(x, p, c[n - 3]) : p;
    p = n > 3 ? FMA(x, p, c[n - 4]) : p;
    p = n > 4 ? FMA(x, p, c[n - 5]) : p;
    p = n > 5 ? FMA(x, p, c[n - 6]) : p;
    p = n > 6 ? FMA(x, p, c[n - 7]) : p;
    p = n > 7 ? FMA(x, p, c[n - 8]) : p;
    p = n > 8 ? FMA(x, p, c[n - 9]) : p;
    return n > 9 ? FMA(x, p, c[n - 10]) : p;
}

/* The rounding error of a product: x y = product + error. It is exact with FMA, and in float; else it is rounded. */
CECORE_INLINE REAL NAME(cecore_product_lost)(REAL x, REAL y, REAL product)
{
#if CECORE_HAS_FMA
    return FMA(x, y, -product);
#elif IS_DOUBLE
    double x_upper = cecore_double(cecore_bits(x) & UINT64_C(0xfffffffff8000000));
    double y_upper = cecore_double(cecore_bits(y) & UINT64_C(0xfffffffff8000000));
    double x_rest = x - x_upper;
    double y_rest = y - y_upper;
    return ((x_upper * y_upper - product) + x_upper * y_rest + x_rest * y_upper) + x_rest * y_rest;
#else
    return (float)((double)x * y - product);
#endif
}

/* 2^k, if it is a normal number. */
CECORE_INLINE REAL NAME(cecore_scale)(REAL biased)
{
    return REAL_OF(NAME(cecore_bits)(biased) << CONSTANT(DIGITS));
}

/* ---------------------------------------------------------------- logarithms */

/* The integer n - offset as a number, for n below 2^52 (float: 2^23): the low bits of 2^52 count in ones. AVX2 has no
 * conversion from integers of 64 bits. */
CECORE_INLINE REAL NAME(cecore_integer)(BITS n, REAL offset)
{
    const BITS one = (BITS)1 << CONSTANT(DIGITS);
    return REAL_OF(n | (BITS)(CONSTANT(BIAS) + CONSTANT(DIGITS)) << CONSTANT(DIGITS)) - ((REAL)one + offset);
}

/* The parts k and m of a normal x > 0; then of any x > 0. */
CECORE_INLINE void NAME(cecore_split_normal)(REAL x, REAL *k, REAL *m)
{
    const BITS one = (BITS)1 << CONSTANT(DIGITS);
    const BITS cut = NAME(cecore_bits)(CONSTANT(ROOT_HALF));
    BITS shifted = NAME(cecore_bits)(x) + (one * CONSTANT(BIAS) - cut);
    *k = NAME(cecore_integer)(shifted >> CONSTANT(DIGITS), CONSTANT(BIAS));
    *m = REAL_OF((shifted & (one - 1)) + cut);
}

CECORE_INLINE void NAME(cecore_split)(REAL x, REAL *k, REAL *m)
{
    const REAL lift = (REAL)((BITS)4 << CONSTANT(DIGITS));
    int is_tiny = x < CONSTANT(LEAST_NORMAL);
    NAME(cecore_split_normal)(is_tiny ? x * lift : x, k, m);
    *k -= is_tiny ? CONSTANT(DIGITS) + 2 : 0;
}

/* The curved part f - log(1 + f) of the logarithm, for f in [sqrt(1/2) - 1, sqrt(2) - 1].
 *
 * In double, with s = f / (2 + f) and z = s^2, log(1 + f) = log((1 + s) / (1 - s)) = 2 s + s z P(z), P from the series
 * 2/3 + 2 z / 5 + ... Because 2 s = f - s f = f - f^2 / 2 + s f^2 / 2, the curved part is h - s (h + z P), h = f^2 / 2.
 * In float it is the Taylor form f^2 (1/2 - f P(f)): a division costs more than its two further terms. */
CECORE_INLINE REAL NAME(cecore_log_curve)(REAL f)
{
#if IS_DOUBLE
    double s = f / (2 + f);
    double z = s * s;
    double h = 0.5 * f * f;
    return FMA(-s, FMA(z, POLYNOMIAL(z, log), h), h);
#else
    return f * f * FMA(-f, POLYNOMIAL(f, log), 0.5f);
#endif
}

/* -log(2^k (1 + f)) = -k ln 2 - log(1 + f) as the sum of a head, which is rounded, and of the rest that is returned. The
 * first product is exact and its term is 0 or the larger one, so that the rest has the error of the head. */
CECORE_INLINE REAL NAME(cecore_neg_log_parts)(REAL f, REAL k, REAL *head)
{
    REAL rest = NAME(cecore_log_curve)(f);
    *head = FMA(-k, CONSTANT(LN2_HEAD), -f);
    rest += FMA(-k, CONSTANT(LN2_HEAD), -*head) - f;
    return FMA(-k, CONSTANT(LN2_TAIL), rest);
}

/* -log(a) of a normal probability a = 2^k m whose complement b = 1 - a is given too. NaN stays NaN.
 *
 * -log(a) = -k ln 2 - log(1 + f). For k = 0, f is -b, which has no rounding error: losses near 0 keep their relative
 * accuracy. The sum of the two large terms is rounded, but nothing else that is as large. */
CECORE_INLINE REAL NAME(cecore_pair_log_of)(REAL a, REAL b, REAL k, REAL m)
{
    REAL f = a < CONSTANT(ROOT_HALF) ? m - 1 : -b;
    REAL curve = NAME(cecore_log_curve)(f);
    return FMA(-k, CONSTANT(LN2_TAIL), curve) + FMA(-k, CONSTANT(LN2_HEAD), -f);
}

/* The same from a and b alone. Error: below 1.1 ULP (1.0431), in float below 1.1 (1.0411), of -log(a) if a < sqrt(1/2),
 * else of -log(1 - b). */
CECORE_INLINE REAL NAME(cecore_pair_log)(REAL a, REAL b)
{
    REAL k, m;
    NAME(cecore_split_normal)(a, &k, &m);
    return NAME(cecore_pair_log_of)(a, b, k, m);
}

/* The same bits, and also -log(a) of a subnormal a, and infinity of 0. Error: below 1.1 ULP (1.0431), in float below
 * 1.1 (1.0411). */
CECORE_INLINE REAL NAME(cecore_any_pair_log)(REAL a, REAL b)
{
    REAL k, m, result;
    NAME(cecore_split)(a, &k, &m);
    result = NAME(cecore_pair_log_of)(a, b, k, m);
    return a == 0 ? (REAL)INFINITY : result;
}

/* log(a / b) of numbers in [2^-1000, 1] (float: [2^-120, 1]).
 *
 * The difference of their bits, divided by that of a binade, is nearly the binary logarithm of a / b. Rounded to an
 * integer it is k, and with c = 2^k b the ratio a / c lies between 2/3 and 1.503, so that a - c is exact:
 * log(a / b) = k ln 2 + log((1 + s) / (1 - s)) with s = (a - c) / (a + c), |s| < 0.2005. Adding BIAS + 1 to k keeps the
 * difference positive.
 * Error: below 2.5 ULP (2.2002), in float below 2.5 (1.9948). */
CECORE_INLINE REAL NAME(cecore_log_ratio)(REAL a, REAL b)
{
    const BITS one = (BITS)1 << CONSTANT(DIGITS);
    const BITS offset = one * (CONSTANT(BIAS) + 1);
    BITS difference = NAME(cecore_bits)(a) - NAME(cecore_bits)(b) + (offset + one / 2);
    REAL k = NAME(cecore_integer)(difference >> CONSTANT(DIGITS), CONSTANT(BIAS) + 1);
    REAL c = REAL_OF(NAME(cecore_bits)(b) + ((difference & (0 - one)) - offset));
    REAL s = (a - c) / (a + c);
    REAL z = s * s;
    return FMA(k, CONSTANT(LN2), FMA(s * z, POLYNOMIAL(z, ratio), 2 * s));
}

/* log(1 + e / n) for 0 <= e <= n; in float n is 1.
 *
 * With s = e / (2 n + e), at most 1/3, 1 + e / n = (1 + s) / (1 - s), and the logarithm is 2 s + s^3 P(s^2). In float, s
 * is corrected for the rounding errors of d = 2 + e and of the division, by 1 / d = (1 - s) / 2: sums of float losses that
 * are all alike keep the error of one.
 * Error: below 2.5 ULP (2.0040), in float below 1.25 (0.6880). */
CECORE_INLINE REAL NAME(cecore_log1p_fraction)(REAL n, REAL e)
{
    REAL d = FMA(2, n, e);
    REAL s = e / d;
    REAL z = s * s;
    REAL p = POLYNOMIAL(z, log1p);
#if IS_DOUBLE
    return FMA(s * z, p, 2 * s);
#else
    float error = FMA(-s, (2 - d) + e, FMA(-s, d, e)) * FMA(-0.5f, s, 0.5f);
    return FMA(s * z, p, 2 * error) + 2 * s;
#endif
}

/* log(1 + x + low) for x > -1 and |low| of at most some rounding errors of x, from the parts of 1 + x = 2^k (1 + f) and
 * the correction c of f: log(1 + f + c) = log(1 + f) + c / (1 + f), and 1 - f + f^2 is near enough to 1 / (1 + f). */
CECORE_INLINE REAL NAME(cecore_log1p_of)(REAL f, REAL c, REAL k)
{
    REAL head;
    REAL rest = NAME(cecore_neg_log_parts)(f, k, &head);
    return (c * (1 - f + f * f) - rest) - head;
}

/* log(1 + x + low). u = 1 + x is rounded; its rounding error and low are the correction. If the exponent is 0, f is x.
 * NaN stays NaN, and log1p_row(0, 0) is +0. Error: below 1.1 ULP (0.9935), in float below 1.1 (1.0582). */
CECORE_INLINE REAL NAME(cecore_log1p_row)(REAL x, REAL low)
{
    REAL u = 1 + x;
    REAL back = u - 1;
    REAL error = (1 - (u - back)) + (x - back);
    REAL k, m, scale;
    NAME(cecore_split_normal)(u, &k, &m);
    scale = k > 64 ? 0 : NAME(cecore_scale)(BIASED - k);
    return NAME(cecore_log1p_of)(k == 0 ? x : m - 1, k == 0 ? low : (error + low) * scale, k);
}

/* The same for x in [0, 1], where one selection takes the place of the exponent. Error: below 1.1 ULP (0.9926), in
 * float below 1.1 (1.0358). */
CECORE_INLINE REAL NAME(cecore_log1p_unit)(REAL x, REAL low)
{
    REAL u = 1 + x;
    REAL error = (1 - u) + x;
    int is_large = u > 2 * CONSTANT(ROOT_HALF);
    REAL f = is_large ? (REAL)0.5 * u - 1 : x;
    return NAME(cecore_log1p_of)(f, is_large ? (REAL)0.5 * (error + low) : low, is_large ? 1 : 0);
}

/* ---------------------------------------------------------------- exponentials */

/* 2^k in two halves that are normal numbers for |k| up to 2,000: the product of a number and both is rounded once. */
CECORE_INLINE REAL NAME(cecore_two_scales)(REAL biased, REAL *other)
{
    REAL k = biased - BIASED;
    REAL half = (k * (REAL)0.5 + CONSTANT(INTEGERS)) - CONSTANT(INTEGERS);
    *other = NAME(cecore_scale)((k - half) + BIASED);
    return NAME(cecore_scale)(half + BIASED);
}

/* x - low = k ln 2 + r with |r| at most ln(2) / 2, about: r and biased. x and -x give r and -r if low is 0. */
CECORE_INLINE REAL NAME(cecore_reduced)(REAL x, REAL low, REAL *biased)
{
    REAL k;
    *biased = FMA(x - low, CONSTANT(LOG2E), BIASED);
    k = *biased - BIASED;
    return FMA(-k, CONSTANT(LN2_TAIL), FMA(-k, CONSTANT(LN2_HEAD), x)) - low;
}

/* exp(r) = (K + r) / (K - r) with K = r coth(r / 2) = 2 + r^2 P(r^2), as a fraction e / n. */
CECORE_INLINE REAL NAME(cecore_short_fraction)(REAL r, REAL *n)
{
    REAL square = r * r;
    REAL p = FMA(square, POLYNOMIAL(square, coth), 2);
    *n = p - r;
    return p + r;
}

/* The same in double. In float n is 1, and e the Taylor form 1 + r + r^2 Q(r), because the sums of float losses need e
 * itself; the short form saves two coefficients. */
CECORE_INLINE REAL NAME(cecore_fraction)(REAL r, REAL *n)
{
#if IS_DOUBLE
    return cecore_short_fraction(r, n);
#else
    *n = 1;
    return FMA(r * r, POLYNOMIAL(r, exp), r) + 1;
#endif
}

/* exp(x) as a fraction e / n for |x| up to ORDINARY: the division that every formula needs takes both parts. NaN gives
 * NaN. Error of e / n: below 1.3 ULP (1.1774), in float below 1.1 (1.0128). */
CECORE_INLINE REAL NAME(cecore_exp_fraction)(REAL x, REAL *n)
{
    REAL biased;
    REAL r = NAME(cecore_reduced)(x, 0, &biased);
    REAL e = NAME(cecore_fraction)(r, n);
    return e * NAME(cecore_scale)(biased);
}

/* The same by the short form. Error of e / n: below 1.3 ULP (1.1774), in float below 1.3 (1.1752). */
CECORE_INLINE REAL NAME(cecore_exp_short_fraction)(REAL x, REAL *n)
{
    REAL biased;
    REAL r = NAME(cecore_reduced)(x, 0, &biased);
    REAL e = NAME(cecore_short_fraction)(r, n);
    return e * NAME(cecore_scale)(biased);
}

/* exp(x) as e scale / n for any x <= 0, so that results below the normal numbers are rounded once. In the ordinary range
 * the fraction is the same as above. Error of e scale / n: below 1.3 ULP (1.1781), in float below 1.3 (1.1738), if x is
 * above -VANISHING. */
CECORE_INLINE REAL NAME(cecore_any_exp_fraction)(REAL x, int short_form, REAL *n, REAL *scale)
{
    const REAL lowest = -CONSTANT(VANISHING);
    REAL biased;
    REAL r = NAME(cecore_reduced)(x < lowest ? lowest : x, 0, &biased);
    REAL e = short_form ? NAME(cecore_short_fraction)(r, n) : NAME(cecore_fraction)(r, n);
    return e * NAME(cecore_two_scales)(biased, scale);
}

/* exp(-g (x + y)) for g > 0, x >= 0 and 0 <= y <= ln 2: the power g of a sigmoid whose -log is x + y. For x > 1024 the
 * sigmoid is 0, and so is what the power is multiplied by. The rounding errors of g and of g x are kept.
 * Error: below 2 ULP (1.8142), in float below 2 (1.1592), if the result is a normal number; further 3 g y ULP, for g y is
 * rounded, and g y times the error of y. */
CECORE_INLINE REAL NAME(cecore_exp_of_product)(double g, REAL x, REAL y)
{
    REAL most = x > 1024 ? 1024 : x;
    REAL g_high = (REAL)g;
    REAL g_low = IS_DOUBLE ? 0 : (REAL)(g - g_high);
    REAL high = g_high * most;
    REAL low = FMA(g_high, y, FMA(g_low, most, NAME(cecore_product_lost)(g_high, most, high)));
    REAL n, biased, r, e, scale, other;
    int vanishes = high + low > CONSTANT(VANISHING);
    high = vanishes ? CONSTANT(VANISHING) : high;
    low = vanishes ? 0 : low;
    r = NAME(cecore_reduced)(-high, low, &biased);
    e = NAME(cecore_fraction)(r, &n);
    scale = NAME(cecore_two_scales)(biased, &other);
    return e * scale / n * other;
}

/* The sigmoid of |z| and of -|z| from exp(-|z|) = e scale / n: n / (n + e scale), and the smaller one e scale / (n + e
 * scale). Neither is 1 minus the other, so that both are accurate. scale is 1 in the ordinary range, and then changes no
 * bit. Error of both, with that of the exponential: below 3 ULP (2.9326), in float below 3 (2.8822). */
CECORE_INLINE REAL NAME(cecore_sigmoids)(REAL n, REAL e, REAL scale, REAL *smaller)
{
    REAL quotient = 1 / (n + e * scale);
    *smaller = e * quotient * scale;
    return n * quotient;
}

/* exp(x) / 2^N for a row of logits, from shifter = INTEGERS + BIAS - N, and its rounding error.
 *
 * x = k ln 2 + r with |r| <= ln(2)/2 (1 + 2^-20), and exp(r) = 1 + q with q = r + r^2 Q(r). Adding the shifter rounds
 * x / ln 2 to the integer k, and leaves k + BIAS - N in the low bits of the sum: shifted into the exponent, these bits
 * are the power 2^(k - N). The result is power + power q. k ln2_head is exact for |x| < 2^12 ln 2 (float: 2^9 ln 2),
 * also without fused multiply-add, because ln2_head has 41 (15) bits after the point. The error is the sum of what the
 * last three roundings lost: of r, of q and of 1 + q. A caller that needs no error pays nothing for it.
 *
 * k - N must be from 1 - BIAS to BIAS; outside it, for -inf and for +inf the result means nothing. NaN gives NaN.
 * Error: below 1.1 ULP (1.0078), in float below 1.1 (1.0077). With the error added: below 0.2 ULP (0.1563), in float
 * below 0.2 (0.1680). */
CECORE_INLINE REAL NAME(cecore_row_exp)(REAL x, REAL shifter, REAL *error)
{
    REAL shifted = FMA(x, CONSTANT(LOG2E), shifter);
    REAL k = shifted - shifter;
    REAL head = FMA(-k, CONSTANT(LN2_HEAD), x);
    REAL r = FMA(-k, CONSTANT(LN2_TAIL), head);
    REAL power = NAME(cecore_scale)(shifted);
    REAL p = POLYNOMIAL(r, exp);
    REAL q = FMA(r * r, p, r);
    REAL result = FMA(q, power, power);
    p = FMA(r * r, p, r - q) + FMA(-k, CONSTANT(LN2_TAIL), head - r);
    *error = ((power - result) + power * q) + power * p;
    return result;
}

#undef BIASED
#undef POLYNOMIAL
#undef REAL
#undef BITS
#undef IS_DOUBLE
#undef NAME
#undef CONSTANT
#undef REAL_OF
#undef FMA
