# Blocks of logits: binary ones, and what rows of them share.

# ---------------------------------------------------------------- binary

cdef inline real exp_parts(real x, real low, real *lost) noexcept nogil:
    if real is double:
        return cecore_exp_parts(x, low, lost)
    else:
        return cecore_exp_partsf(x, low, lost)


cdef inline real share(bint larger, real e, real low) noexcept nogil:
    if real is double:
        return cecore_share(larger, e, low)
    else:
        return cecore_sharef(larger, e, low)


cdef inline real exp_shifted(real x, real shift, real *lost) noexcept nogil:
    if real is double:
        return cecore_exp_shifted(x, shift, lost)
    else:
        return cecore_exp_shiftedf(x, shift, lost)


cdef inline real exp_of_minus(real z, bint quick, real *lost) noexcept nogil:
    # exp(-|z|); quick where |z| is in the ordinary range
    cdef real x = -absolute(z)
    return exp_shifted(x, 0, lost) if quick else exp_parts(x, 0, lost)


cdef inline real ordinary_range(real unused) noexcept nogil:
    if real is double:
        return CECORE_ORDINARY
    else:
        return CECORE_ORDINARYF


cdef bint all_in_range(Py_ssize_t n, const real *z) noexcept nogil:
    # NaN is passed over.
    cdef real most[SUM_LANES]
    cdef real size
    cdef bint fine = True
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        most[j] = 0
    for i in range(padded(n) // SUM_LANES):
        for j in range(SUM_LANES):
            size = absolute(z[i * SUM_LANES + j])
            most[j] = size if size > most[j] else most[j]
    for j in range(SUM_LANES):
        fine &= most[j] <= ordinary_range(<real>0)
    return fine


cdef inline void exponentials_of_minus(
    Py_ssize_t n, const real *z, bint quick, real *restrict e, real *restrict low
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(padded(n)):
        e[i] = exp_of_minus(z[i], quick, &low[i])


cdef void block_exponentials(Py_ssize_t n, const real *z, real *restrict e, real *restrict low) noexcept nogil:
    # exp(-|z|) and what it lost, of a block. A loop of its own: with what follows it has too many constants for the
    # registers.
    if all_in_range(n, z):
        exponentials_of_minus(n, z, True, e, low)
    else:
        exponentials_of_minus(n, z, False, e, low)


cdef inline real log1p_unit(real e, real low) noexcept nogil:
    if real is double:
        return cecore_log1p_unit(e, low)
    else:
        return cecore_log1p_unitf(e, low)


cdef inline void logit_values(
    Py_ssize_t n, const real *z, const real *t, const real *u, bint complement, const real *w, bint weighted,
    real *restrict out
) noexcept nogil:
    cdef real e[BLOCK]
    cdef real low[BLOCK]
    cdef real other, negative, positive, one, zero, rest, value
    cdef Py_ssize_t i
    block_exponentials(n, z, &e[0], &low[0])
    for i in range(padded(n)):
        other = <real>1 - t[i] if complement else u[i]
        negative = -z[i] if z[i] < 0 else 0
        positive = z[i] if z[i] > 0 else 0
        one = t[i] * negative
        one = 0 if t[i] == 0 else one
        zero = other * positive
        zero = 0 if other == 0 else zero
        rest = log1p_unit(e[i], low[i])
        if not complement:
            rest = (t[i] + other) * rest
        value = (one + zero) + rest
        if weighted:
            value = w[i] * value
            value = 0 if w[i] == 0 else value
        out[i] = value


cdef void logit_value(
    Py_ssize_t n, const real *z, const real *t, const real *u, const real *w, real *restrict out
) noexcept nogil:
    # w (t softplus(-z) + u softplus(z)), with 0 * inf = 0. If u is NULL, it is 1 - t; this is always so in float. If w
    # is NULL, all weights are 1.
    if u == NULL and w == NULL:
        logit_values(n, z, t, u, True, w, False, out)
    elif u == NULL:
        logit_values(n, z, t, u, True, w, True, out)
    elif real is double:
        logit_values(n, z, t, u, False, w, True, out)


cdef inline real logit_slope(real z, real t, real e, real low) noexcept nogil:
    # p - t; above t = 1/2 as (1 - t) - q, where 1 - t is exact, and q is small when p is rounded to 1
    cdef bint upper = t > 0.5
    cdef real part = share((z > 0) ^ upper, e, low)
    cdef real below = part - t
    cdef real above = (<real>1 - t) - part
    return above if upper else below


cdef inline real hard_slope(real z, real y, real e, real low) noexcept nogil:
    # the same for y of 0 and 1, to the bit
    cdef real part = share((z > 0) ^ (y == 1), e, low)
    cdef real above = 0 - part
    return above if y == 1 else part


cdef inline real hard_bend(real e, real low) noexcept nogil:
    # p q
    cdef real smaller = share(False, e, low)
    return smaller * (1 - smaller)


cdef inline real logit_bend(real t, real e, real low) noexcept nogil:
    # the same; NaN where t is
    cdef real value = hard_bend(e, low)
    return value if t - t == 0 else t


cdef void logit_gradient(
    Py_ssize_t n, const real *z, const real *t, const real *w, const real *factor, real *restrict out
) noexcept nogil:
    cdef real e[BLOCK]
    cdef real low[BLOCK]
    cdef real value
    cdef Py_ssize_t i
    block_exponentials(n, z, &e[0], &low[0])
    for i in range(padded(n)):
        value = factor[i] * logit_slope(z[i], t[i], e[i], low[i])
        out[i] = 0 if w[i] == 0 else value


cdef inline void logit_both(
    Py_ssize_t n, const real *z, const real *t, const real *w, const real *factor, bint hard, bint weighted,
    real *restrict gradient, real *restrict hessian
) noexcept nogil:
    cdef real e[BLOCK]
    cdef real low[BLOCK]
    cdef real slope, value, bend
    cdef real single = factor[0]
    cdef Py_ssize_t i
    block_exponentials(n, z, &e[0], &low[0])
    for i in range(padded(n)):
        if hard:
            slope = hard_slope(z[i], t[i], e[i], low[i])
            bend = hard_bend(e[i], low[i])
        else:
            slope = logit_slope(z[i], t[i], e[i], low[i])
            bend = logit_bend(t[i], e[i], low[i])
        if weighted:
            value = factor[i] * slope
            bend = w[i] * bend
            gradient[i] = 0 if w[i] == 0 else value
            hessian[i] = 0 if w[i] == 0 else bend
        else:
            gradient[i] = single * slope
            hessian[i] = bend


cdef void logit_derivatives(
    Py_ssize_t n, const real *z, const real *t, const real *w, const real *factor, bint hard, real *restrict gradient,
    real *restrict hessian
) noexcept nogil:
    # w NULL: all weights are 1, and all factors are the first
    if hard and w == NULL:
        logit_both(n, z, t, w, factor, True, False, gradient, hessian)
    elif hard:
        logit_both(n, z, t, w, factor, True, True, gradient, hessian)
    elif w == NULL:
        logit_both(n, z, t, w, factor, False, False, gradient, hessian)
    else:
        logit_both(n, z, t, w, factor, False, True, gradient, hessian)


cdef inline void logit_terms(
    const real *z, const real *t, bint hard, const real *factor, bint with_gradient, real *restrict gradient,
    double *restrict curved, double *restrict straight
) noexcept nogil:
    # With S the product of a lane's 1 + e less 1, S = S + e + S e from positive terms alone: one logarithm of 1 + S
    # serves all of them. What is left is t max(-z, 0) + (1 - t) max(z, 0).
    cdef real e[BLOCK]
    cdef real low[BLOCK]
    cdef real negative, positive, own, slope
    cdef double wide
    cdef Py_ssize_t i, j, k
    block_exponentials(<Py_ssize_t>BLOCK, z, &e[0], &low[0])
    for j in range(SUM_LANES):
        curved[j] = 0
        straight[j] = 0
    for i in range(BLOCK // SUM_LANES):
        for j in range(SUM_LANES):
            k = i * SUM_LANES + j
            negative = -z[k] if z[k] < 0 else 0
            positive = z[k] if z[k] > 0 else 0
            if hard:
                own = negative if t[k] == 1 else positive
            else:
                own = t[k] * negative + (<real>1 - t[k]) * positive
            wide = e[k]
            curved[j] += CECORE_FMA(curved[j], wide, wide)
            straight[j] += own
            if with_gradient:
                slope = hard_slope(z[k], t[k], e[k], low[k]) if hard else logit_slope(z[k], t[k], e[k], low[k])
                gradient[k] = factor[k] * slope


cdef double logit_sum(
    const real *z, const real *t, bint hard, const real *factor, real *gradient
) noexcept nogil:
    # The sum of the losses of a whole block without weights, and with it the gradient, if it is wanted; beside soft
    # targets all logits are finite
    cdef double curved[SUM_LANES]
    cdef double straight[SUM_LANES]
    cdef Py_ssize_t j
    if hard and gradient == NULL:
        logit_terms(z, t, True, factor, False, gradient, &curved[0], &straight[0])
    elif hard:
        logit_terms(z, t, True, factor, True, gradient, &curved[0], &straight[0])
    elif gradient == NULL:
        logit_terms(z, t, False, factor, False, gradient, &curved[0], &straight[0])
    else:
        logit_terms(z, t, False, factor, True, gradient, &curved[0], &straight[0])
    for j in range(SUM_LANES):
        curved[j] = cecore_log1p(curved[j]) + straight[j]
    for j in range(8):
        curved[j] += curved[j + 8]
    return join_lanes(&curved[0])


cdef void logit_weighted_gradient(
    Py_ssize_t n, const double *z, const double *t, const double *u, const double *w, const double *factor,
    double *restrict out
) noexcept nogil:
    # u p - t q
    cdef double e, low, p, q, value
    cdef Py_ssize_t i
    for i in range(padded(n)):
        e = exp_of_minus(z[i], False, &low)
        p = share(z[i] > 0, e, low)
        q = share(not z[i] > 0, e, low)
        value = factor[i] * (u[i] * p - t[i] * q)
        out[i] = 0 if w[i] == 0 else value


cdef inline void logit_curvatures(
    Py_ssize_t n, const real *z, const real *t, const real *u, bint complement, const real *w, real *restrict out
) noexcept nogil:
    cdef real e[BLOCK]
    cdef real low[BLOCK]
    cdef real value
    cdef Py_ssize_t i
    block_exponentials(n, z, &e[0], &low[0])
    for i in range(padded(n)):
        value = w[i] * logit_bend(t[i], e[i], low[i])
        if not complement:
            value = value * (t[i] + u[i])
        out[i] = 0 if w[i] == 0 else value


cdef void logit_hessian(
    Py_ssize_t n, const real *z, const real *t, const real *u, const real *w, real *restrict out
) noexcept nogil:
    # (t + u) p q, u NULL for 1 - t
    if u == NULL:
        logit_curvatures(n, z, t, u, True, w, out)
    elif real is double:
        logit_curvatures(n, z, t, u, False, w, out)


cdef inline void focal_terms(
    double p, double r, double l, double gamma, double *value, double *slope, double *bend
) noexcept nogil:
    # r^g l and its derivatives by the own logit: -r^g (r + g p l) and r^g p ((1 + 2g) r - g l (r - g p))
    cdef double power = cecore_power(r, gamma)
    cdef double product = p * l
    product = 0 if p == 0 else product
    value[0] = power * l
    slope[0] = -power * (r + gamma * product)
    bend[0] = power * ((1 + 2 * gamma) * (r * p) - gamma * product * (r - gamma * p))


cdef void logit_focal(
    Py_ssize_t n, const double *z, const double *t, const double *u, double gamma, double *restrict value,
    double *restrict slope, double *restrict bend
) noexcept nogil:
    # t f(z) + u f(-z) and its derivatives, without weights
    cdef double e, low, p, q, rest, value_one, slope_one, bend_one, value_zero, slope_zero, bend_zero
    cdef Py_ssize_t i
    for i in range(padded(n)):
        e = exp_of_minus(z[i], False, &low)
        p = share(z[i] > 0, e, low)
        q = share(not z[i] > 0, e, low)
        rest = cecore_log1p_unit(e, low)
        focal_terms(p, q, (-z[i] if z[i] < 0 else 0) + rest, gamma, &value_one, &slope_one, &bend_one)
        focal_terms(q, p, (z[i] if z[i] > 0 else 0) + rest, gamma, &value_zero, &slope_zero, &bend_zero)
        value_one *= t[i]
        value_one = 0 if t[i] == 0 else value_one
        value_zero *= u[i]
        value_zero = 0 if u[i] == 0 else value_zero
        value[i] = value_one + value_zero
        slope[i] = t[i] * slope_one - u[i] * slope_zero
        bend[i] = t[i] * bend_one + u[i] * bend_zero
