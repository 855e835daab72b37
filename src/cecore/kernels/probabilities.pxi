# Blocks of probabilities: the product method, and the formulas for any element.

cdef struct Clip:  # eps and what follows from it, rounded to the computing type
    double eps
    double floor  # the least number of the computing type that is not below eps
    double below  # the one before it, or 0
    double head  # eps = head + tail
    double tail
    double top  # 1 - eps = top + top_tail
    double top_tail
    double low_value  # -log(eps)
    double high_value  # -log(1 - eps)
    bint zero_outside

cdef void make_clip(Clip *clip, double eps, bint zero_outside, real unused) noexcept nogil:
    cdef real head = <real>eps
    clip.eps = eps
    clip.head = head
    clip.tail = eps - head
    clip.floor = head
    if head < eps:  # in float only
        clip.floor = neighbour(head, 1)
    clip.below = neighbour(<real>clip.floor, -1) if eps > 0 else 0
    clip.top = <real>(1 - eps)
    clip.top_tail = (1 - clip.top) - eps
    clip.low_value = <real>cecore_neg_log(eps, 1 - eps)
    clip.high_value = <real>cecore_neg_log(1 - eps, eps)
    clip.zero_outside = zero_outside


# ---------------------------------------------------------------- any element

cdef inline real log_argument(real a, real b, real *exponent) noexcept nogil:
    if real is double:
        return cecore_neg_log_argument(a, b, exponent)
    else:
        return cecore_neg_log_argumentf(a, b, exponent)


cdef inline real limited(
    real value, real a, real b, real floor, real low_value, real high_value
) noexcept nogil:
    # -log a, within the limits of the clip; b is the complement of a
    value = low_value if a < floor else value
    return high_value if b < floor else value


cdef inline real limited_log(
    real f, real exponent, real a, real b, real floor, real low_value, real high_value
) noexcept nogil:
    # -log of the clipped probability a, b its complement, from the reduced argument
    cdef real value
    if real is double:
        value = cecore_neg_log_reduced(f, exponent)
    else:
        value = cecore_neg_log_reducedf(f, exponent)
    return limited(value, a, b, floor, low_value, high_value)


cdef inline real neg_log(
    real a, real b, bint normal, real floor, real low_value, real high_value
) noexcept nogil:
    # The same at once; normal where the floor is a normal number
    cdef real exponent, value
    cdef real f = log_argument(a, b, &exponent)
    if normal:
        return limited_log(f, exponent, a, b, floor, low_value, high_value)
    if real is double:
        value = cecore_neg_log(a, b)
    else:
        value = cecore_neg_logf(a, b)
    return limited(value, a, b, floor, low_value, high_value)


cdef inline void logarithms(
    Py_ssize_t n, const real *a, const real *b, bint normal, real floor, real low_value, real high_value,
    real *restrict out
) noexcept nogil:
    cdef real f[BLOCK]
    cdef real exponent[BLOCK]
    cdef Py_ssize_t i
    if normal and CECORE_FEW_REGISTERS:
        for i in range(padded(n)):
            f[i] = log_argument(a[i], b[i], &exponent[i])
        for i in range(padded(n)):
            out[i] = limited_log(f[i], exponent[i], a[i], b[i], floor, low_value, high_value)
    else:
        for i in range(padded(n)):
            out[i] = neg_log(a[i], b[i], normal, floor, low_value, high_value)


cdef inline real clipped(real a, real b, real below, real head, real top) noexcept nogil:
    # the probability a, b its complement; NaN stays, -0 becomes 0
    cdef real value = head if a <= below else a
    return top if b <= below else value


cdef inline real by_target(real t, real one, real zero, real between) noexcept nogil:
    cdef real value = one if t == 1 else between
    return zero if t == 0 else value


cdef inline bint looks_hard(const real *t) noexcept nogil:
    return t[0] == 0 or t[0] == 1


cdef inline bint is_normal(const Clip *clip, real unused) noexcept nogil:
    if real is double:
        return clip.floor >= 2.2250738585072014e-308
    else:
        return clip.floor >= 1.1754943508222875e-38


cdef inline int verdict(uint64_t bits) noexcept nogil:
    # Of codes that are 0 (hard), 1 (soft) and 2 (bad), whose floating-point bits have nothing in common: these combined
    if bits >> 62:
        return BAD
    return SOFT if bits else HARD


cdef inline real checked_weight(real code, real w, real bad) noexcept nogil:
    # what has weight 0 is not looked at
    code = 0 if w == 0 else code
    code = code if w - w == 0 else bad
    return code if w >= 0 else bad


cdef inline real hard_code(real p, real q, real y, real exact) noexcept nogil:
    # 0 for a probability p, q its complement, and a hard target, else 1; exact is 1 where the target is, else 0
    cdef real smaller = p if p < q else q
    cdef real code = 1 if smaller < 0 else 0
    return code if y == exact else 1


cdef inline uint64_t combined(uint64_t wide, uint32_t narrow) noexcept nogil:
    return wide | <uint64_t>narrow << 32


cdef inline uint64_t encoded(
    Py_ssize_t n, const real *p, bint predicted, const real *t, const real *w, bint weighted
) noexcept nogil:
    cdef real q, u, outside, between, code
    cdef uint64_t wide = 0
    cdef uint32_t narrow = 0
    cdef Py_ssize_t i
    for i in range(padded(n)):
        u = <real>1 - t[i]
        between = t[i] if t[i] < u else u
        code = 0 if between == 0 else 1
        code = 2 if between < 0 else code
        if predicted:
            q = <real>1 - p[i]
            outside = p[i] if p[i] < q else q
            code = 2 if outside < 0 else code
        if weighted:
            code = checked_weight(code, w[i], 2)
        if real is double:
            wide |= cecore_bits(code)
        else:
            narrow |= cecore_bitsf(code)
    return combined(wide, narrow)


cdef int inspect(Py_ssize_t n, const real *p, const real *t, const real *w) noexcept nogil:
    # NaN is in no domain's way, but in a weight's. What has weight 0 is not looked at. w may be NULL, for all 1, and p,
    # for predictions of any size.
    if p == NULL and w == NULL:
        return verdict(encoded(n, p, False, t, w, False))
    if p == NULL:
        return verdict(encoded(n, p, False, t, w, True))
    if w == NULL:
        return verdict(encoded(n, p, True, t, w, False))
    return verdict(encoded(n, p, True, t, w, True))


cdef void block_logarithms(
    Py_ssize_t n, const real *a, const real *b, const Clip *clip, real *restrict out
) noexcept nogil:
    # -log of the clipped probabilities a of a block, b their complements
    if is_normal(clip, <real>0):
        logarithms(n, a, b, True, <real>clip.floor, <real>clip.low_value, <real>clip.high_value, out)
    else:
        logarithms(n, a, b, False, <real>clip.floor, <real>clip.low_value, <real>clip.high_value, out)


cdef inline uint64_t hard_values(
    Py_ssize_t n, const real *p, const real *y, bint normal, bint checked, const Clip *clip, real *restrict out
) noexcept nogil:
    # checked: the combined codes, 0 if all is in its domain and hard
    cdef real q, a, b, exact, code
    cdef uint64_t wide = 0
    cdef uint32_t narrow = 0
    cdef real floor = <real>clip.floor
    cdef real low_value = <real>clip.low_value
    cdef real high_value = <real>clip.high_value
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = <real>1 - p[i]
        a = p[i] if y[i] == 1 else q
        b = q if y[i] == 1 else p[i]
        if checked:
            exact = 1 if y[i] == 1 else 0
            code = hard_code(p[i], q, y[i], exact)
            if real is double:
                wide |= cecore_bits(code)
            else:
                narrow |= cecore_bitsf(code)
        out[i] = neg_log(a, b, normal, floor, low_value, high_value)
    return combined(wide, narrow)


cdef void hard_value(
    Py_ssize_t n, const real *p, const real *y, const real *mask, const real *w, const Clip *clip, real *restrict out
) noexcept nogil:
    # The mask is NULL if all weights are 1.
    cdef real value
    cdef Py_ssize_t i
    if is_normal(clip, <real>0):
        hard_values(n, p, y, True, False, clip, out)
    else:
        hard_values(n, p, y, False, False, clip, out)
    if mask != NULL:
        for i in range(padded(n)):
            value = w[i] * out[i]
            out[i] = 0 if w[i] == 0 else value


cdef inline void mix(
    Py_ssize_t n, const real *one, const real *zero, const real *t, const real *u, bint complement, const real *w,
    bint weighted, real *restrict out
) noexcept nogil:
    # w (t one + u zero) with 0 * inf = 0; u is 1 - t, or given
    cdef real first, second, value_one, value_zero
    cdef Py_ssize_t i
    for i in range(padded(n)):
        first = t[i]
        second = <real>1 - t[i] if complement else u[i]
        if weighted:
            first = w[i] * t[i]
            first = 0 if w[i] == 0 else first
            second = w[i] * second
            second = 0 if w[i] == 0 else second
        value_one = first * one[i]
        value_one = 0 if first == 0 else value_one
        value_zero = second * zero[i]
        value_zero = 0 if second == 0 else value_zero
        out[i] = value_one + value_zero


cdef void soft_value(
    Py_ssize_t n, const real *p, const real *t, const real *u, const real *mask, const real *w, const Clip *clip,
    real *restrict out
) noexcept nogil:
    # w (t L1 + u L0), u NULL for 1 - t, the mask NULL if all weights are 1
    cdef real q[BLOCK]
    cdef real log_one[BLOCK]
    cdef real log_zero[BLOCK]
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q[i] = <real>1 - p[i]
    block_logarithms(n, p, &q[0], clip, &log_one[0])
    block_logarithms(n, &q[0], p, clip, &log_zero[0])
    if u == NULL and mask == NULL:
        mix(n, &log_one[0], &log_zero[0], t, u, True, w, False, out)
    elif u == NULL:
        mix(n, &log_one[0], &log_zero[0], t, u, True, w, True, out)
    elif real is double:
        mix(n, &log_one[0], &log_zero[0], t, u, False, w, True, out)


cdef inline void quotients(
    Py_ssize_t n, const real *p, const real *y, const real *w, bint weighted, const real *factor, const Clip *clip,
    real *restrict out
) noexcept nogil:
    cdef real q, a, b, exact, value
    cdef real floor = <real>clip.floor
    cdef real below = <real>clip.below
    cdef real head = <real>clip.head
    cdef real top = <real>clip.top
    cdef real cut = floor if clip.zero_outside else -1
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = <real>1 - p[i]
        a = p[i] if y[i] == 1 else q
        b = q if y[i] == 1 else p[i]
        exact = 1 if y[i] == 1 else 0
        value = factor[i] * (<real>1 - <real>2 * exact) / clipped(a, b, below, head, top)
        b = a if a < b else b
        value = 0 if b < cut else value
        if weighted:
            value = 0 if w[i] == 0 else value
        out[i] = value


cdef void hard_gradient(
    Py_ssize_t n, const real *p, const real *y, const real *w, const real *factor, const Clip *clip, real *restrict out
) noexcept nogil:
    # -1/a or 1/a; see soft_gradient. w may be NULL, for all 1.
    if w == NULL:
        quotients(n, p, y, w, False, factor, clip, out)
    else:
        quotients(n, p, y, w, True, factor, clip, out)


cdef void soft_gradient(
    Py_ssize_t n, const real *p, const real *t, const real *w, const real *factor, const Clip *clip, real *restrict out
) noexcept nogil:
    # (p - t) / (p q), which is -1/p for t = 1 and 1/q for t = 0. Where p is clipped, p - t is eps - t or
    # 1 - eps - t, from the exact eps.
    cdef real q, a, b, at_low, at_high, numerator, denominator, value
    cdef real tail = <real>clip.tail
    cdef real top_tail = <real>clip.top_tail
    cdef real floor = <real>clip.floor
    cdef real below = <real>clip.below
    cdef real head = <real>clip.head
    cdef real top = <real>clip.top
    cdef real cut = floor if clip.zero_outside else -1
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = <real>1 - p[i]
        a = clipped(p[i], q, below, head, top)
        b = clipped(q, p[i], below, head, top)
        at_low = (head - t[i]) + tail
        at_high = (top - t[i]) + top_tail
        numerator = p[i] - t[i]
        numerator = at_low if p[i] < floor else numerator
        numerator = at_high if q < floor else numerator
        numerator = by_target(t[i], -1, 1, numerator)
        denominator = by_target(t[i], a, b, a * b)
        value = factor[i] * numerator / denominator
        b = q if q < p[i] else p[i]
        value = 0 if b < cut else value
        out[i] = 0 if w[i] == 0 else value


cdef void hard_hessian(
    Py_ssize_t n, const real *p, const real *y, const real *w, const Clip *clip, real *restrict out
) noexcept nogil:
    # 1 / a^2, to the bit what curvatures gives
    cdef real q, a, b, value
    cdef real floor = <real>clip.floor
    cdef real below = <real>clip.below
    cdef real head = <real>clip.head
    cdef real top = <real>clip.top
    cdef real cut = floor if clip.zero_outside else -1
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = <real>1 - p[i]
        a = p[i] if y[i] == 1 else q
        b = q if y[i] == 1 else p[i]
        value = clipped(a, b, below, head, top)
        value = w[i] / value / value
        value = 0 if w[i] == 0 else value
        b = a if a < b else b
        out[i] = 0 if b < cut else value


cdef inline void curvatures(
    Py_ssize_t n, const real *p, const real *t, const real *u, bint complement, const real *w, const Clip *clip,
    real *restrict out
) noexcept nogil:
    cdef real q, a, b, one, zero, value, other
    cdef real floor = <real>clip.floor
    cdef real below = <real>clip.below
    cdef real head = <real>clip.head
    cdef real top = <real>clip.top
    cdef real cut = floor if clip.zero_outside else -1
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = <real>1 - p[i]
        a = clipped(p[i], q, below, head, top)
        b = clipped(q, p[i], below, head, top)
        one = w[i] * t[i]
        one = 0 if w[i] == 0 else one
        zero = <real>1 - t[i] if complement else u[i]
        zero = w[i] * zero
        zero = 0 if w[i] == 0 else zero
        value = one / a / a
        value = 0 if one == 0 else value
        other = zero / b / b
        other = 0 if zero == 0 else other
        value += other
        b = q if q < p[i] else p[i]
        value = 0 if b < cut else value
        out[i] = value


cdef void hessian_block(
    Py_ssize_t n, const real *p, const real *t, const real *u, const real *w, const Clip *clip, real *restrict out
) noexcept nogil:
    # t / p^2 + u / q^2, u NULL for 1 - t; divided twice, since p^2 may underflow
    if u == NULL:
        curvatures(n, p, t, u, True, w, clip, out)
    elif real is double:
        curvatures(n, p, t, u, False, w, clip, out)
