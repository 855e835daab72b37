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


cdef void logit_gradient(
    const real *z, const real *t, const real *w, const real *factor, real *out
) noexcept nogil:
    # p - t; above t = 1/2 as (1 - t) - q, where 1 - t is exact, and q is small when p is rounded to 1
    cdef real e, low, part, below, above, value
    cdef bint upper
    cdef Py_ssize_t i
    for i in range(BLOCK):
        upper = t[i] > 0.5
        e = exp_parts(-z[i] if z[i] > 0 else z[i], 0, &low)
        part = share((z[i] > 0) ^ upper, e, low)
        below = part - t[i]
        above = (<real>1 - t[i]) - part
        value = factor[i] * (above if upper else below)
        out[i] = 0 if w[i] == 0 else value


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
    cdef real e, low, smaller, value
    cdef Py_ssize_t i
    for i in range(BLOCK):
        e = exp_parts(-z[i] if z[i] > 0 else z[i], 0, &low)
        smaller = share(False, e, low)
        value = w[i] * (smaller * (1 - smaller))
        if not complement:
            value = value * (t[i] + u[i])
        else:
            value = value if t[i] - t[i] == 0 else t[i]
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
