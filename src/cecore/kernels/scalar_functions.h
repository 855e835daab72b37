/* The scalar functions that are the same for double and float: scalar_math.h includes this file once for each type.
 * REAL is the type, NAME(f) is f for double and ff for float, CONSTANT(C) is C or CF, and FMA is the fused multiply-add
 * of the type. */

/* -log(q) of a normal probability q with the complement c, within 2 ULP. Both are clipped, so c can be larger than 1 - q.
 *
 * Below sqrt(1/2) q is taken as exact: q = 2^exponent (1 + f). Above, the exponent is 0 and f = -c, so that the result
 * keeps its digits where it is tiny. NaN stays. */
CECORE_INLINE REAL NAME(cecore_clipped_neg_log)(REAL q, REAL c)
{
    REAL exponent, significand;
    NAME(cecore_split_normal)(q, &exponent, &significand);
    return NAME(cecore_neg_log_quick)(q < CONSTANT(CECORE_ROOT_HALF) ? significand - 1 : -c, exponent);
}

/* The same for any probability, with the same result where q is normal; 0 gives +inf. */
CECORE_INLINE REAL NAME(cecore_any_neg_log)(REAL q, REAL c)
{
    REAL exponent, significand, result;
    NAME(cecore_split)(q, &exponent, &significand);
    result = NAME(cecore_neg_log_quick)(q < CONSTANT(CECORE_ROOT_HALF) ? significand - 1 : -c, exponent);
    return q == 0 ? (REAL)INFINITY : result;
}
