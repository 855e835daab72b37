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

cdef struct Pending:  # products whose logarithms are taken together: one block's alone would wait for each other
    double products[PENDING_BLOCKS * PAIRS]
    double complements[PENDING_BLOCKS * PAIRS]
    Py_ssize_t blocks


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


# ---------------------------------------------------------------- the product method

cdef inline void hard_factor(
    double p, double y, double eps, double top,
    double *product, double *complement, double *least, double *odd
) noexcept nogil:
    cdef double q = 1 - p
    cdef double a = p if y == 1 else q  # the probability of the true class
    cdef double b = q if y == 1 else p
    cdef double exact = 1 if y == 1 else 0
    cdef double smaller = a if a < b else b
    least[0] = smaller if smaller < least[0] else least[0]
    odd[0] += fabs(y - exact)
    a = eps if a < eps else a  # these keep NaN
    a = top if a > top else a
    b = eps if b < eps else b
    complement[0] += b * product[0]
    product[0] *= a


cdef bint sound(const double *least, const double *odd) noexcept nogil:
    # of a block's lanes: nothing is below 0, no target odd
    cdef bint fine = True
    cdef Py_ssize_t j
    for j in range(LANES):
        fine &= (least[j] >= 0) & (odd[j] == 0)
    return fine


cdef int hard_sum(
    const double *p, const double *y, Py_ssize_t n, const Clip *clip, Pending *pending
) noexcept nogil:
    # The sum of -log(a) over a block of hard targets: with P the product of a lane's probabilities a, and S the sum of
    # their complements b, each times the product before it, S = 1 - P. Both come from positive terms alone, so that
    # both keep their relative accuracy, and one logarithm serves FACTORS elements:
    # (2 * FACTORS - 1) / ln 2 = 44.7 half-ULPs at most, with 2 of the logarithm, 4 of the joined lanes, and one each of
    # the sum's rounding and the division 52.7, or 5.9e-15. The pairs wait for take_logarithms: HARD. NOT_A_NUMBER, and
    # nothing left there, if all is fine but for a prediction that is NaN; SOFT if it takes another way to tell: a
    # target is soft, something is outside its domain, or a product may have left the normal numbers.
    cdef double product[LANES]
    cdef double complement[LANES]
    cdef double least[LANES]
    cdef double odd[LANES]
    cdef double *products = pending.products + pending.blocks * PAIRS
    cdef double *complements = pending.complements + pending.blocks * PAIRS
    cdef double eps = clip.eps
    cdef double top = clip.top
    cdef Py_ssize_t group, i, j, first, count
    cdef double sum = 0
    cdef bint fine = True
    for j in range(LANES):
        least[j] = 0
        odd[j] = 0
    for group in range(PAIRS // LANES):
        first = group * LANES * FACTORS
        count = max(min(n - first, <Py_ssize_t>(LANES * FACTORS)), <Py_ssize_t>0)
        for j in range(LANES):
            product[j] = 1
            complement[j] = 0
        for i in range(count // LANES):
            for j in range(LANES):
                hard_factor(
                    p[first + i * LANES + j], y[first + i * LANES + j], eps, top,
                    &product[j], &complement[j], &least[j], &odd[j],
                )
        first += count // LANES * LANES
        for j in range(count % LANES):
            hard_factor(p[first + j], y[first + j], eps, top, &product[j], &complement[j], &least[j], &odd[j])
        for j in range(LANES):
            products[group * LANES + j] = product[j]
            complements[group * LANES + j] = complement[j]
    if not sound(&least[0], &odd[0]):
        return SOFT
    for j in range(PAIRS):
        fine &= products[j] >= CECORE_LEAST_PRODUCT
        sum += products[j]
    if fine:
        pending.blocks += 1
        return HARD
    return SOFT if sum == sum else NOT_A_NUMBER


cdef void take_logarithms(Pending *pending, Accumulator *sum) noexcept nogil:
    cdef double logs[PENDING_BLOCKS * PAIRS]
    cdef double *block
    cdef Py_ssize_t i, j
    for i in range(pending.blocks * PAIRS):
        logs[i] = cecore_neg_log(pending.products[i], pending.complements[i])
    for i in range(pending.blocks):
        block = &logs[i * PAIRS]
        for j in range(8):
            block[j] += block[j + 8]
        accumulator_add(sum, join_lanes(block))
    pending.blocks = 0


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


cdef bint quick_hard_value(
    Py_ssize_t n, const real *p, const real *y, const Clip *clip, real *restrict out
) noexcept nogil:
    # hard_value without weights, and the checks, in one pass; False, and the results mean nothing, if it takes another
    # way
    return is_normal(clip, <real>0) and hard_values(n, p, y, True, True, clip, out) == 0


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


cdef inline bint quick_quotients(
    Py_ssize_t n, const real *p, const real *y, const real *w, bint weighted, const real *factor, bint uniform,
    bint both, const Clip *clip, real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # Limiting a from below and above gives what clipped does, as the complement's rounding keeps the order, unless eps
    # is 0: that would leave -0.
    cdef real q, a, exact, value, bend, code
    cdef uint64_t wide = 0
    cdef uint32_t narrow = 0
    cdef real head = <real>clip.head
    cdef real top = <real>clip.top
    cdef real above = factor[0]
    cdef real below = -factor[0]
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = <real>1 - p[i]
        a = p[i] if y[i] == 1 else q
        exact = 1 if y[i] == 1 else 0
        code = hard_code(p[i], q, y[i], exact)
        a = head if a < head else a  # these keep NaN
        a = top if a > top else a
        value = below if y[i] == 1 else above
        if not uniform:
            value = factor[i] * (<real>1 - <real>2 * exact)
        value = value / a
        bend = absolute(value) / a
        if weighted:
            code = checked_weight(code, w[i], 1)
            value = 0 if w[i] == 0 else value
            bend = 0 if w[i] == 0 else bend
        if real is double:
            wide |= cecore_bits(code)
        else:
            narrow |= cecore_bitsf(code)
        gradient[i] = value
        if both:
            hessian[i] = bend
    return combined(wide, narrow) == 0


cdef bint quick_hard_derivatives(
    Py_ssize_t n, const real *p, const real *y, const real *w, const real *factor, bint uniform, const Clip *clip,
    real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # hard_gradient and the checks in one pass, and hard_hessian too, if it is not NULL; False, and the results mean
    # nothing, if it takes another way. w may be NULL, for all 1; uniform: then the factors are alike too. Beside a
    # Hessian they are the weights.
    if hessian != NULL and w == NULL:
        return quick_quotients(n, p, y, w, False, factor, True, True, clip, gradient, hessian)
    if hessian != NULL:
        return quick_quotients(n, p, y, w, True, factor, False, True, clip, gradient, hessian)
    if w != NULL:
        return quick_quotients(n, p, y, w, True, factor, False, False, clip, gradient, hessian)
    if uniform:
        return quick_quotients(n, p, y, w, False, factor, True, False, clip, gradient, hessian)
    return quick_quotients(n, p, y, w, False, factor, False, False, clip, gradient, hessian)


cdef bint weighted_hard_sum(
    Py_ssize_t n, const real *p, const real *y, const real *w, const Clip *clip, Accumulator *sum
) noexcept nogil:
    # The sum of w (-log a) over a block of hard targets, in double; False, and nothing added, if it takes another way
    cdef double a[BLOCK]
    cdef double b[BLOCK]
    cdef double terms[BLOCK]
    cdef double target, weight, one, q, exact, value, code
    cdef uint64_t codes = 0
    cdef Py_ssize_t i
    for i in range(padded(n)):
        one = p[i]
        target = y[i]
        q = 1 - one
        a[i] = one if target == 1 else q
        b[i] = q if target == 1 else one
        exact = 1 if target == 1 else 0
        code = hard_code(one, q, target, exact)
        codes |= cecore_bits(checked_weight(code, <double>w[i], 1))
    if codes != 0:
        return False
    block_logarithms(n, &a[0], &b[0], clip, &terms[0])
    for i in range(padded(n)):
        weight = w[i]
        value = weight * terms[i]
        terms[i] = 0 if weight == 0 else value
    accumulator_add(sum, lane_sum(n, &terms[0]))
    return True


cdef bint quick_soft_gradient(
    Py_ssize_t n, const real *p, const real *t, const real *factor, const Clip *clip, real *restrict out
) noexcept nogil:
    # As quick_hard_derivatives, the gradient of soft targets where nothing is clipped
    cdef real q, u, smaller, between, numerator, denominator, code
    cdef uint64_t wide = 0
    cdef uint32_t narrow = 0
    cdef real floor = <real>clip.floor
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = <real>1 - p[i]
        u = <real>1 - t[i]
        smaller = p[i] if p[i] < q else q
        between = t[i] if t[i] < u else u
        code = 1 if smaller < floor else 0
        code = 1 if between < 0 else code
        numerator = by_target(t[i], -1, 1, p[i] - t[i])
        denominator = by_target(t[i], p[i], q, p[i] * q)
        if real is double:
            wide |= cecore_bits(code)
        else:
            narrow |= cecore_bitsf(code)
        out[i] = factor[i] * numerator / denominator
    return combined(wide, narrow) == 0


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


cdef void weighted_gradient(
    Py_ssize_t n, const double *p, const double *t, const double *u, const double *w, const double *factor,
    const Clip *clip, double *restrict out
) noexcept nogil:
    # u / q - t / p, for targets whose sum is not 1; see soft_gradient
    cdef double q, a, b, one, zero, value
    cdef double below = clip.below
    cdef double head = clip.head
    cdef double top = clip.top
    cdef double cut = clip.floor if clip.zero_outside else -1
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = 1 - p[i]
        a = clipped(p[i], q, below, head, top)
        b = clipped(q, p[i], below, head, top)
        one = factor[i] * t[i]
        one = 0 if t[i] == 0 else one
        zero = factor[i] * u[i]
        zero = 0 if u[i] == 0 else zero
        value = one / a
        one = 0 if t[i] == 0 else value
        value = zero / b
        zero = 0 if u[i] == 0 else value
        value = zero - one
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


cdef bint quick_derivatives(
    Py_ssize_t n, const real *p, const real *t, const real *w, const real *factor, bint uniform, const Clip *clip,
    real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # Of hard or of soft targets, as the first one is; the latter only without weights, and of whole vectors
    cdef const real *none = NULL
    if clip.zero_outside or clip.floor <= 0:
        return False
    if looks_hard(t):
        return quick_hard_derivatives(n, p, t, w, factor, uniform, clip, gradient, hessian)
    if w != NULL or n != padded(n) or not quick_soft_gradient(n, p, t, factor, clip, gradient):
        return False
    if hessian != NULL:
        hessian_block(n, p, t, none, factor, clip, hessian)
    return True
