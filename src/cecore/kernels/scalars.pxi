# The scalar functions of scalar_math.h for the fused type `real`: Cython does not choose between C functions by type.

cdef inline real fma(real x, real y, real z) noexcept nogil:
    if real is double:
        return CECORE_FMA(x, y, z)
    else:
        return CECORE_FMAF(x, y, z)


cdef inline real pair_log(real a, real b) noexcept nogil:
    if real is double:
        return cecore_pair_log(a, b)
    else:
        return cecore_pair_logf(a, b)


cdef inline real any_pair_log(real a, real b) noexcept nogil:
    if real is double:
        return cecore_any_pair_log(a, b)
    else:
        return cecore_any_pair_logf(a, b)


cdef inline real log_ratio(real a, real b) noexcept nogil:
    if real is double:
        return cecore_log_ratio(a, b)
    else:
        return cecore_log_ratiof(a, b)


cdef inline real exp_of_product(double g, real x, real y) noexcept nogil:
    if real is double:
        return cecore_exp_of_product(g, x, y)
    else:
        return cecore_exp_of_productf(g, x, y)


cdef inline real exp_fraction(real x, real *n) noexcept nogil:
    if real is double:
        return cecore_exp_fraction(x, n)
    else:
        return cecore_exp_fractionf(x, n)


cdef inline real exp_short_fraction(real x, real *n) noexcept nogil:
    if real is double:
        return cecore_exp_short_fraction(x, n)
    else:
        return cecore_exp_short_fractionf(x, n)


cdef inline real any_exp_fraction(real x, bint short_form, real *n, real *scale) noexcept nogil:
    if real is double:
        return cecore_any_exp_fraction(x, short_form, n, scale)
    else:
        return cecore_any_exp_fractionf(x, short_form, n, scale)


cdef inline real sigmoids(real n, real e, real scale, real *smaller) noexcept nogil:
    if real is double:
        return cecore_sigmoids(n, e, scale, smaller)
    else:
        return cecore_sigmoidsf(n, e, scale, smaller)


cdef inline real log1p_fraction(real n, real e) noexcept nogil:
    if real is double:
        return cecore_log1p_fraction(n, e)
    else:
        return cecore_log1p_fractionf(n, e)


cdef inline real ordinary_logit(real of_type) noexcept nogil:
    if real is double:
        return CECORE_ORDINARY
    else:
        return CECORE_ORDINARYF


cdef inline real least_normal(real of_type) noexcept nogil:
    if real is double:
        return CECORE_LEAST_NORMAL
    else:
        return CECORE_LEAST_NORMALF


cdef inline double largest_number(real of_type) noexcept nogil:
    return DBL_MAX if real is double else FLT_MAX


cdef inline real root(real x) noexcept nogil:
    if real is double:
        return sqrt(x)
    else:
        return sqrtf(x)


cdef inline real log1p_unit(real e, real low) noexcept nogil:
    if real is double:
        return cecore_log1p_unit(e, low)
    else:
        return cecore_log1p_unitf(e, low)


cdef inline real log1p_row(real ratio, real low) noexcept nogil:
    if real is double:
        return cecore_log1p_row(ratio, low)
    else:
        return cecore_log1p_rowf(ratio, low)
