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


cdef inline void logit_values(
    const real *z, const real *t, const real *u, bint complement, const real *w, real *out
) noexcept nogil:
    cdef real other, negative, positive, one, zero, rest, value
    cdef Py_ssize_t i
    for i in range(BLOCK):
        other = <real>1 - t[i] if complement else u[i]
        negative = -z[i] if z[i] < 0 else 0
        positive = z[i] if z[i] > 0 else 0
        one = t[i] * negative
        one = 0 if t[i] == 0 else one
        zero = other * positive
        zero = 0 if other == 0 else zero
        if real is double:
            rest = cecore_softplus_rest(z[i])
        else:
            rest = cecore_softplus_restf(z[i])
        if not complement:
            rest = (t[i] + other) * rest
        value = w[i] * ((one + zero) + rest)
        out[i] = 0 if w[i] == 0 else value


cdef void logit_value(const real *z, const real *t, const real *u, const real *w, real *out) noexcept nogil:
    # w (t softplus(-z) + u softplus(z)), with 0 * inf = 0; u NULL for 1 - t
    if u == NULL:
        logit_values(z, t, u, True, w, out)
    else:
        logit_values(z, t, u, False, w, out)


cdef inline real logit_slope(real z, real t, real e, real low) noexcept nogil:
    # p - t; above t = 1/2 as (1 - t) - q, where 1 - t is exact, and q is small when p is rounded to 1
    cdef bint upper = t > 0.5
    cdef real part = share((z > 0) ^ upper, e, low)
    cdef real below = part - t
    cdef real above = (<real>1 - t) - part
    return above if upper else below


cdef inline real logit_bend(real t, real e, real low) noexcept nogil:
    # p q; NaN where t is
    cdef real smaller = share(False, e, low)
    cdef real value = smaller * (1 - smaller)
    return value if t - t == 0 else t


cdef void logit_gradient(
    const real *z, const real *t, const real *w, const real *factor, real *out
) noexcept nogil:
    cdef real e, low, value
    cdef Py_ssize_t i
    for i in range(BLOCK):
        e = exp_parts(-z[i] if z[i] > 0 else z[i], 0, &low)
        value = factor[i] * logit_slope(z[i], t[i], e, low)
        out[i] = 0 if w[i] == 0 else value


cdef void logit_derivatives(
    const real *z, const real *t, const real *w, const real *factor, real *gradient, real *hessian
) noexcept nogil:
    cdef real e, low, value, bend
    cdef Py_ssize_t i
    for i in range(BLOCK):
        e = exp_parts(-z[i] if z[i] > 0 else z[i], 0, &low)
        value = factor[i] * logit_slope(z[i], t[i], e, low)
        bend = w[i] * logit_bend(t[i], e, low)
        gradient[i] = 0 if w[i] == 0 else value
        hessian[i] = 0 if w[i] == 0 else bend


cdef inline void hard_logits(
    const real *z, const real *y, const real *factor, bint with_gradient, real *gradient,
    double *curved, double *straight
) noexcept nogil:
    # With S the product of a lane's 1 + e less 1, S = S + e + S e from positive terms alone: one logarithm of 1 + S
    # serves all of them
    cdef real e, low, negative, positive, own
    cdef double wide
    cdef Py_ssize_t i, j, k
    for j in range(SUM_LANES):
        curved[j] = 0
        straight[j] = 0
    for i in range(BLOCK // SUM_LANES):
        for j in range(SUM_LANES):
            k = i * SUM_LANES + j
            e = exp_parts(-z[k] if z[k] > 0 else z[k], 0, &low)
            negative = -z[k] if z[k] < 0 else 0
            positive = z[k] if z[k] > 0 else 0
            own = negative if y[k] == 1 else positive
            wide = e
            curved[j] += wide + curved[j] * wide
            straight[j] += own
            if with_gradient:
                gradient[k] = factor[k] * logit_slope(z[k], y[k], e, low)


cdef double hard_logit_sum(const real *z, const real *y, const real *factor, real *gradient) noexcept nogil:
    # The sum of the losses of a whole block of hard targets without weights, and with it the gradient, if it is wanted
    cdef double curved[SUM_LANES]
    cdef double straight[SUM_LANES]
    cdef Py_ssize_t j
    if gradient == NULL:
        hard_logits(z, y, factor, False, gradient, &curved[0], &straight[0])
    else:
        hard_logits(z, y, factor, True, gradient, &curved[0], &straight[0])
    for j in range(SUM_LANES):
        curved[j] = cecore_log1p(curved[j]) + straight[j]
    for j in range(8):
        curved[j] += curved[j + 8]
    return join_lanes(&curved[0])


cdef void logit_weighted_gradient(
    const double *z, const double *t, const double *u, const double *w, const double *factor, double *out
) noexcept nogil:
    # u p - t q
    cdef double e, low, value
    cdef Py_ssize_t i
    for i in range(BLOCK):
        e = exp_parts(-z[i] if z[i] > 0 else z[i], 0, &low)
        value = factor[i] * (u[i] * share(z[i] > 0, e, low) - t[i] * share(not z[i] > 0, e, low))
        out[i] = 0 if w[i] == 0 else value


cdef inline void logit_curvatures(
    const real *z, const real *t, const real *u, bint complement, const real *w, real *out
) noexcept nogil:
    cdef real e, low, value
    cdef Py_ssize_t i
    for i in range(BLOCK):
        e = exp_parts(-z[i] if z[i] > 0 else z[i], 0, &low)
        value = w[i] * logit_bend(t[i], e, low)
        if not complement:
            value = value * (t[i] + u[i])
        out[i] = 0 if w[i] == 0 else value


cdef void logit_hessian(const real *z, const real *t, const real *u, const real *w, real *out) noexcept nogil:
    # (t + u) p q, u NULL for 1 - t
    if u == NULL:
        logit_curvatures(z, t, u, True, w, out)
    else:
        logit_curvatures(z, t, u, False, w, out)


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
    const double *z, const double *t, const double *u, double gamma, double *value, double *slope, double *bend
) noexcept nogil:
    # t f(z) + u f(-z) and its derivatives, without weights
    cdef double values[BLOCK]
    cdef double slopes[BLOCK]
    cdef double bends[BLOCK]
    cdef double e, low, p, q, rest, value_one, slope_one, bend_one, value_zero, slope_zero, bend_zero
    cdef Py_ssize_t i
    for i in range(BLOCK):
        e = exp_parts(-z[i] if z[i] > 0 else z[i], 0, &low)
        p = share(z[i] > 0, e, low)
        q = share(not z[i] > 0, e, low)
        rest = cecore_log1p_sum(e, low)
        focal_terms(p, q, (-z[i] if z[i] < 0 else 0) + rest, gamma, &value_one, &slope_one, &bend_one)
        focal_terms(q, p, (z[i] if z[i] > 0 else 0) + rest, gamma, &value_zero, &slope_zero, &bend_zero)
        value_one *= t[i]
        value_one = 0 if t[i] == 0 else value_one
        value_zero *= u[i]
        value_zero = 0 if u[i] == 0 else value_zero
        values[i] = value_one + value_zero
        slopes[i] = t[i] * slope_one - u[i] * slope_zero
        bends[i] = t[i] * bend_one + u[i] * bend_zero
    memcpy(value, values, sizeof(values))
    memcpy(slope, slopes, sizeof(slopes))
    memcpy(bend, bends, sizeof(bends))
