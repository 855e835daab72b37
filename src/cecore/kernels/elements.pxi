# Fused loops over blocks of elements: the two binary losses, sigmoid and its relatives.
#
# One loop does everything for its block: it checks the inputs, clips, computes the losses and their derivatives, and
# adds the losses up. A fast loop checks by collecting bits, which are read once, when the block is done: if they say
# that the loop does not fit the block, its results are void, and the general loop computes the block again. The general
# loop has the same formulas, so that an element's results have the same bits in every loop.
#
# Every loss is tau_1 L_1 + tau_0 L_0, where L_1 is the loss of the label 1, L_0 that of the label 0, and the weighted
# targets are
#     tau_1 = pos_weight (keep t + spread)    tau_0 = keep (1 - t) + spread
# with keep = 1 - smoothing and spread = smoothing / 2. Without options they are t and 1 - t.
#
# Inputs are padded to whole vectors of SUM_LANES elements: t = 1, the prediction is legal, and weight and factor are 0.
# A factor of the gradient is a product of weight, upstream and scale, computed in double and rounded to the significand of
# the computing type, not to its range. If the type holds it, the product with a derivative is rounded once; if float
# does not hold one, the block takes the general loop, which multiplies in double: the same bits where both serve, and
# no overflow on the way to a result that has none. Weighted float losses are products in double for the same reason.

cdef enum:
    ELEMENTS = 512  # in a block, at most
    PRODUCTS = ELEMENTS // 16  # of each kind in a block
    LANES_MOST = 16
    SHORT_SUM = 4  # vectors whose terms are added in float

cdef enum:  # what is wanted of a block; GRADIENT and HESSIAN come with them
    VALUE_SUM = 1
    VALUE_EACH = 8

cdef enum:  # properties of a binary loss that choose the loop
    SMOOTHED = 1
    POS_WEIGHT = 2  # one number
    POS_WEIGHTS = 4  # one for each element
    ZERO_OUTSIDE = 8  # the gradient is 0 where the probability is clipped
    ONLY_GENERAL = 16  # eps is above 1/4, or a pos_weight is 0
    NO_PRODUCTS = 32  # eps is too small for products of probabilities in float
    SUBNORMAL = 512  # eps is 0 or subnormal, and so may be the arguments of logarithms
    LOGITS = 64
    KNOWN_WEIGHTS = 256  # weights are valid, though a product of two of them may be infinite
    STEEP = 128  # second derivatives take two divisions in double, because p^2 may leave the range of the type

cdef struct Binary:  # the constants of a binary loss
    double eps  # probabilities are clipped to [eps, top]
    double top  # 1 - eps
    double floor  # the least number of the computing type that is not below eps
    double pos_weight
    double tau_1[2]  # of the labels 0 and 1, in the computing type
    double tau_0[2]
    double keep
    double spread
    double gamma
    double factor  # of the gradient, if there are no weights: a number of the computing type
    int flags

cdef struct Block:  # the arrays of a block; all but the wide factors are of the computing type
    Py_ssize_t n
    bint weighted  # weights or factors differ
    bint is_wide  # the computing type does not hold a factor
    const void *x
    const void *targets
    const void *pos_weights  # for each element; read if POS_WEIGHT or POS_WEIGHTS is set
    const void *weights  # 1 if there are none, 0 in the padding
    const void *factors  # of the gradient
    const double *wide_factors  # the same; read by the general loop
    void *value
    void *gradient
    void *hessian
    double sum


# ---------------------------------------------------------------- small parts

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


cdef inline real ordinary_logit(real unused) noexcept nogil:
    if real is double:
        return CECORE_ORDINARY
    else:
        return CECORE_ORDINARYF


cdef struct Checks:  # bits that a loop collects, of double and of float
    uint64_t signs  # of numbers that must not be negative; the sign bit alone counts
    uint32_t short_signs
    uint64_t zeros  # of numbers that must be 0
    uint32_t short_zeros


cdef inline void no_negative(real x, Checks *checks) noexcept nogil:
    # Note a number that must not be negative, nor -0. NaN is noted only if its sign bit is set.
    if real is double:
        checks.signs |= cecore_bits(x)
    else:
        checks.short_signs |= cecore_bitsf(x)


cdef inline void only_zero(real x, Checks *checks) noexcept nogil:
    if real is double:
        checks.zeros |= cecore_bits(x)
    else:
        checks.short_zeros |= cecore_bitsf(x)


cdef inline void in_unit(real x, real complement, Checks *checks) noexcept nogil:
    no_negative(x, checks)
    no_negative(complement, checks)


cdef inline void only_label(real y, Checks *checks) noexcept nogil:
    # y^2 - y is 0 for the labels 0 and 1 alone.
    only_zero(fma(y, y, -y), checks)


cdef inline void only_weight(real w, Checks *checks) noexcept nogil:
    # w - w is 0 for a finite number, else NaN.
    no_negative(w, checks)
    only_zero(w - w, checks)


cdef inline void only_ordinary(real z, Checks *checks) noexcept nogil:
    # Logits whose exponentials are normal numbers; NaN passes.
    no_negative(ordinary_logit(<real>0) - absolute(z), checks)


cdef inline void clear(Checks *checks) noexcept nogil:
    checks.signs = checks.zeros = 0
    checks.short_signs = checks.short_zeros = 0


cdef inline bint are_met(const Checks *checks) noexcept nogil:
    return (checks.signs >> 63 | checks.short_signs >> 31 | checks.zeros | checks.short_zeros) == 0


cdef inline real least_normal(real unused) noexcept nogil:
    if real is double:
        return 2.2250738585072014e-308
    else:
        return 1.1754943508222875e-38


cdef inline real root(real x) noexcept nogil:
    if real is double:
        return sqrt(x)
    else:
        return sqrtf(x)


cdef inline real weighted_target(real t, real pos_weight, const Binary *loss) noexcept nogil:
    return pos_weight * fma(<real>loss.keep, t, <real>loss.spread)


cdef inline real clip_to(real p, const Binary *loss) noexcept nogil:
    # The two selections keep NaN.
    cdef real low = <real>loss.eps
    cdef real high = <real>loss.top
    p = low if p < low else p
    return high if p > high else p


# ---------------------------------------------------------------- products of probabilities
#
# A product P of probabilities a replaces the sum of their logarithms. Next to it its complement S = 1 - P is kept:
# S grows by b P, b = 1 - a, so that it is a sum of positive terms and keeps its relative accuracy if P is nearly 1.
# 16 factors and their logarithm have an error of (2 * 16 - 1) / ln 2 + 6 half-ULPs, 5.7e-15.

cdef enum:  # kinds of products of hard labels
    LABEL = 0  # of the probability of the label; with pos_weight, of the elements with label 1
    LABEL_0 = 1  # of the elements with label 0
    OTHER = 2  # smoothed: of both probabilities; with pos_weight, of that of the other label, of elements with label 1
    OTHER_0 = 3
    KINDS = 4

cdef struct Lanes:  # what a group of vectors collects
    double product[KINDS][LANES_MOST]
    double complement[KINDS][LANES_MOST]
    double straight[LANES_MOST]  # sums of terms that are no logarithms
    float short_straight[LANES_MOST]  # the same of up to SHORT_SUM floats
    float joined[2][LANES_MOST]  # complements of products of up to SHORT_SUM floats 1 + e
    uint64_t signs[LANES_MOST]  # as in Checks
    uint32_t short_signs[LANES_MOST]
    uint64_t zeros[LANES_MOST]
    uint32_t short_zeros[LANES_MOST]

cdef struct Collected:  # the same of a block
    double product[KINDS][PRODUCTS]
    double complement[KINDS][PRODUCTS]
    Py_ssize_t count  # of products of each kind
    Checks checks


cdef inline Py_ssize_t product_lanes(real unused) noexcept nogil:
    # a register of double, two registers for a register of float
    if real is double:
        return 8
    else:
        return 16


cdef inline void multiply(Lanes *lanes, int kind, Py_ssize_t j, double a, double b) noexcept nogil:
    lanes.complement[kind][j] = CECORE_FMA(b, lanes.product[kind][j], lanes.complement[kind][j])
    lanes.product[kind][j] *= a


cdef inline void multiply_by_label(
    Lanes *lanes, int kind, Py_ssize_t j, bint is_one, double a, double b
) noexcept nogil:
    # Multiply the product of the element's label alone.
    cdef double complement_1 = CECORE_FMA(b, lanes.product[kind][j], lanes.complement[kind][j])
    cdef double complement_0 = CECORE_FMA(b, lanes.product[kind + 1][j], lanes.complement[kind + 1][j])
    cdef double product_1 = lanes.product[kind][j] * a
    cdef double product_0 = lanes.product[kind + 1][j] * a
    lanes.complement[kind][j] = complement_1 if is_one else lanes.complement[kind][j]
    lanes.product[kind][j] = product_1 if is_one else lanes.product[kind][j]
    lanes.complement[kind + 1][j] = lanes.complement[kind + 1][j] if is_one else complement_0
    lanes.product[kind + 1][j] = lanes.product[kind + 1][j] if is_one else product_0


cdef inline void clear_kind(Lanes *lanes, int kind, real unused) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(product_lanes(unused)):
        lanes.product[kind][j] = 1
        lanes.complement[kind][j] = 0


cdef inline void collect_kind(Collected *block, const Lanes *lanes, int kind, real unused) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(product_lanes(unused)):
        block.product[kind][block.count + j] = lanes.product[kind][j]
        block.complement[kind][block.count + j] = lanes.complement[kind][j]


cdef inline void lane_no_negative(real x, Lanes *lanes, Py_ssize_t j) noexcept nogil:
    if real is double:
        lanes.signs[j] |= cecore_bits(x)
    else:
        lanes.short_signs[j] |= cecore_bitsf(x)


cdef inline void lane_only_zero(real x, Lanes *lanes, Py_ssize_t j) noexcept nogil:
    if real is double:
        lanes.zeros[j] |= cecore_bits(x)
    else:
        lanes.short_zeros[j] |= cecore_bitsf(x)


cdef inline void clear_checks(Lanes *lanes, real unused) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(product_lanes(unused)):
        lanes.signs[j] = lanes.zeros[j] = 0
        lanes.short_signs[j] = lanes.short_zeros[j] = 0


cdef inline void collect_checks(Collected *block, const Lanes *lanes, real unused) noexcept nogil:
    cdef Checks checks
    cdef Py_ssize_t j
    clear(&checks)
    for j in range(product_lanes(unused)):
        if real is double:
            checks.signs |= lanes.signs[j]
            checks.zeros |= lanes.zeros[j]
        else:
            checks.short_signs |= lanes.short_signs[j]
            checks.short_zeros |= lanes.short_zeros[j]
    block.checks.signs |= checks.signs
    block.checks.zeros |= checks.zeros
    block.checks.short_signs |= checks.short_signs
    block.checks.short_zeros |= checks.short_zeros
    block.count += product_lanes(unused)


cdef double pair_logs(Collected *block, int kind) noexcept nogil:
    # The sum of -log of the products of a kind. A product that may have left the normal numbers on its way voids it.
    cdef double lanes[8]
    cdef double product
    cdef uint64_t zeros = 0
    cdef Py_ssize_t i, j
    for j in range(8):
        lanes[j] = 0
    for i in range(block.count // 8):
        for j in range(8):
            lanes[j] += cecore_pair_log(block.product[kind][8 * i + j], block.complement[kind][8 * i + j])
    for i in range(block.count):
        product = block.product[kind][i]
        product = 1 if product < CECORE_LEAST_PRODUCT else 0
        zeros |= cecore_bits(product)
    block.checks.zeros |= zeros
    return join_lanes(&lanes[0])


# ---------------------------------------------------------------- the loss of probabilities

cdef inline real pair_derivative(
    real p, real q, real tau_1, real tau_0, bint options, bint near_1
) noexcept nogil:
    # The derivative tau_0 / q - tau_1 / p of a loss with respect to its clipped probability p, q the complement, in
    # one division: (tau_0 p - tau_1 q) / (p q). Without options the numerator is p - t, which is exact if it is small;
    # if p is clipped near 1, and t too, it is u - q, u = 1 - t, because q is exact then. If a weighted target is 0, its probability
    # counts as 1, and the numerator is the other target: the derivative of a hard label is -tau_1 / p or tau_0 / q.
    # Error below 2 ULP of the larger term.
    cdef real numerator, other
    p = 1 if tau_1 == 0 else p
    q = 1 if tau_0 == 0 else q
    if options:
        numerator = fma(tau_0, p, -(tau_1 * q))
    else:
        numerator = 0 if tau_0 == 0 else p
        numerator = numerator - tau_1
        other = tau_0 - q
        numerator = other if near_1 & (tau_1 > 0.5) else numerator
    return numerator / (p * q)


cdef inline real label_derivative(real p, real q, bint is_one, bint smoothed, const Binary *loss) noexcept nogil:
    # The same, to the bit, for a hard label. p and q are clipped; if not smoothed, both are the label's probability.
    cdef real tau_1, tau_0
    if smoothed:
        tau_1 = <real>loss.tau_1[1] if is_one else <real>loss.tau_1[0]
        tau_0 = <real>loss.tau_0[1] if is_one else <real>loss.tau_0[0]
        return fma(tau_0, p, -(tau_1 * q)) / (p * q)
    tau_1 = -<real>loss.tau_1[1] if is_one else 1
    return tau_1 / p


cdef inline void label_vector(
    const real *p, const real *y, const Binary *loss, bint by_label, bint smoothed, bint with_gradient,
    Lanes *lanes, real *restrict gradient
) noexcept nogil:
    # For float, a is exact in double, and eps is at least 2^-28. Then 32 factors lose less than 2^-48 of losses above
    # 2^-23, without a complement.
    cdef double eps = loss.eps
    cdef double top = loss.top
    cdef double a, b, one, zero
    cdef real q, clipped_p, clipped_q
    cdef Py_ssize_t j
    for j in range(product_lanes(<real>0)):
        q = <real>1 - p[j]
        lane_no_negative(p[j], lanes, j)
        lane_no_negative(q, lanes, j)
        lane_only_zero(fma(y[j], y[j], -y[j]), lanes, j)
        one = p[j]
        zero = 1 - one
        a = one if y[j] == 1 else zero
        b = zero if y[j] == 1 else one
        a = eps if a < eps else a
        a = top if a > top else a
        b = eps if b < eps else b
        if smoothed:
            b = top if b > top else b
        if by_label:
            multiply_by_label(lanes, LABEL, j, y[j] == 1, a, b)
        elif smoothed or real is double:
            multiply(lanes, LABEL, j, a, b)
        else:
            lanes.product[LABEL][j] *= a
        if smoothed and by_label:
            multiply_by_label(lanes, OTHER, j, y[j] == 1, b, a)
        elif smoothed:
            lanes.product[OTHER][j] *= a * b
        if with_gradient:
            if real is double:
                clipped_p = b if smoothed and y[j] != 1 else a
                clipped_q = b if y[j] == 1 else a
            elif smoothed:
                clipped_p = clip_to(p[j], loss)
                clipped_q = clip_to(q, loss)
            else:
                clipped_p = p[j] if y[j] == 1 else q
                clipped_p = clipped_q = clip_to(clipped_p, loss)
            gradient[j] = label_derivative(clipped_p, clipped_q, y[j] == 1, smoothed, loss) * <real>loss.factor


cdef inline bint label_products(
    Py_ssize_t n, const real *p, const real *y, const Binary *given, bint by_label, bint smoothed, bint with_gradient,
    double *sum, real *restrict gradient
) noexcept nogil:
    # The sum of the losses of a block of hard labels, and its gradient. Return False if the block takes another loop.
    # Each loss is tau (-log a) + tau' (-log b), a the probability of the label and b that of the other label.
    cdef Collected block
    cdef Lanes lanes
    cdef Binary loss = given[0]
    cdef Py_ssize_t width = product_lanes(<real>0)
    cdef Py_ssize_t size = 2 * width * width
    cdef Py_ssize_t group, start, i, j
    cdef double own = loss.keep + loss.spread
    block.count = 0
    clear(&block.checks)
    for group in range((n + size - 1) // size):
        start = group * size
        clear_checks(&lanes, <real>0)
        clear_kind(&lanes, LABEL, <real>0)
        if by_label:
            clear_kind(&lanes, LABEL_0, <real>0)
        if smoothed:
            clear_kind(&lanes, OTHER, <real>0)
        if by_label and smoothed:
            clear_kind(&lanes, OTHER_0, <real>0)
        for i in range(min(n - start, size) // width):
            j = start + i * width
            label_vector(p + j, y + j, &loss, by_label, smoothed, with_gradient, &lanes, gradient + j)
        if real is float and not (by_label or smoothed):
            for j in range(width):
                lanes.complement[LABEL][j] = 1 - lanes.product[LABEL][j]
        collect_kind(&block, &lanes, LABEL, <real>0)
        if by_label:
            collect_kind(&block, &lanes, LABEL_0, <real>0)
        if smoothed:
            collect_kind(&block, &lanes, OTHER, <real>0)
        if by_label and smoothed:
            collect_kind(&block, &lanes, OTHER_0, <real>0)
        collect_checks(&block, &lanes, <real>0)
    if by_label:
        sum[0] = loss.pos_weight * own * pair_logs(&block, LABEL) + own * pair_logs(&block, LABEL_0)
        if smoothed:
            sum[0] += loss.spread * (pair_logs(&block, OTHER) + loss.pos_weight * pair_logs(&block, OTHER_0))
    else:
        sum[0] = pair_logs(&block, LABEL)
        if smoothed:
            sum[0] = loss.keep * sum[0] + loss.spread * pair_logs(&block, OTHER)
    return are_met(&block.checks)


cdef inline void soft_vector(
    const real *p, const real *t, const Binary *loss, bint smoothed, bint with_gradient, Lanes *lanes,
    real *restrict gradient
) noexcept nogil:
    # With a the probability of the likelier label, b that of the other, and m <= 1/2 the weighted target of the other,
    # the loss is -log a + m log(a / b). Nothing cancels below the larger term.
    cdef double eps = loss.eps
    cdef double top = loss.top
    cdef double wide
    cdef real q, u, a, b, m, tau_1, tau_0
    cdef bint outside
    cdef Py_ssize_t j
    for j in range(product_lanes(<real>0)):
        q = <real>1 - p[j]
        u = <real>1 - t[j]
        lane_no_negative(p[j], lanes, j)
        lane_no_negative(q, lanes, j)
        lane_no_negative(t[j], lanes, j)
        lane_no_negative(u, lanes, j)
        a = p[j] if t[j] > 0.5 else q
        b = q if t[j] > 0.5 else p[j]
        m = u if t[j] > 0.5 else t[j]
        m = fma(<real>loss.keep, m, <real>loss.spread)
        a = clip_to(a, loss)
        b = clip_to(b, loss)
        if real is double:
            multiply(lanes, LABEL, j, a, b)
            lanes.straight[j] = CECORE_FMA(m, cecore_log_ratio(a, b), lanes.straight[j])
        else:
            wide = p[j]
            wide = wide if t[j] > 0.5 else 1 - wide
            wide = eps if wide < eps else wide
            wide = top if wide > top else wide
            lanes.product[LABEL][j] *= wide
            lanes.short_straight[j] = CECORE_FMAF(m, cecore_log_ratiof(a, b), lanes.short_straight[j])
        if with_gradient:
            tau_1 = fma(<real>loss.keep, t[j], <real>loss.spread) if smoothed else t[j]
            tau_0 = fma(<real>loss.keep, u, <real>loss.spread) if smoothed else u
            outside = q < <real>loss.eps
            q = b if t[j] > 0.5 else a
            a = a if t[j] > 0.5 else b
            gradient[j] = pair_derivative(a, q, tau_1, tau_0, smoothed, outside) * <real>loss.factor


cdef inline void clear_straight(Lanes *lanes, real unused) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(product_lanes(unused)):
        lanes.straight[j] = 0


cdef inline void clear_short(Lanes *lanes) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(LANES_MOST):
        lanes.short_straight[j] = 0


cdef inline void add_short(Lanes *lanes) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(LANES_MOST):
        lanes.straight[j] += lanes.short_straight[j]


cdef inline double straight_sum(Lanes *lanes, real unused) noexcept nogil:
    cdef Py_ssize_t j
    if real is float:
        for j in range(8):
            lanes.straight[j] += lanes.straight[j + 8]
    return join_lanes(&lanes.straight[0])


cdef inline bint soft_products(
    Py_ssize_t n, const real *p, const real *t, const Binary *given, bint smoothed, bint with_gradient, double *sum,
    real *restrict gradient
) noexcept nogil:
    # The same for any labels, smoothed or not, without pos_weight.
    cdef Collected block
    cdef Lanes lanes
    cdef Binary loss = given[0]
    cdef Py_ssize_t width = product_lanes(<real>0)
    cdef Py_ssize_t size = 2 * width * width
    cdef Py_ssize_t group, part, start, count, i, j
    block.count = 0
    clear(&block.checks)
    clear_straight(&lanes, <real>0)
    for group in range((n + size - 1) // size):
        start = group * size
        count = min(n - start, size) // width
        clear_checks(&lanes, <real>0)
        clear_kind(&lanes, LABEL, <real>0)
        for part in range((count + SHORT_SUM - 1) // SHORT_SUM):
            if real is float:
                clear_short(&lanes)
            for i in range(min(count - part * SHORT_SUM, <Py_ssize_t>SHORT_SUM)):
                j = start + (part * SHORT_SUM + i) * width
                soft_vector(p + j, t + j, &loss, smoothed, with_gradient, &lanes, gradient + j)
            if real is float:
                add_short(&lanes)
        if real is float:
            for j in range(width):
                lanes.complement[LABEL][j] = 1 - lanes.product[LABEL][j]
        collect_kind(&block, &lanes, LABEL, <real>0)
        collect_checks(&block, &lanes, <real>0)
    sum[0] = pair_logs(&block, LABEL) + straight_sum(&lanes, <real>0)
    return are_met(&block.checks)


# ---------------------------------------------------------------- losses one by one, and derivatives alone

cdef inline real times(real value, real w, real factor) noexcept nogil:
    # The product with a weight or factor; 0 if the element counts for nothing, even if it is NaN
    value *= factor
    return 0 if w == 0 else value


cdef inline double wide_times(real value, real w) noexcept nogil:
    # The product with a weight in double
    cdef double product = <double>value * <double>w
    return 0 if w == 0 else product


cdef inline real wide_factor_times(real value, real w, double factor) noexcept nogil:
    cdef double product = <double>value * factor
    return <real>(0 if w == 0 else product)


cdef inline double steep_second_derivative(real p, real q, real tau_1, real tau_0) noexcept nogil:
    # The same in double, for any p and q: 0 gives infinity
    cdef double p_part = <double>tau_1 / <double>p / <double>p
    cdef double q_part = <double>tau_0 / <double>q / <double>q
    p_part = 0 if tau_1 == 0 else p_part
    q_part = 0 if tau_0 == 0 else q_part
    return p_part + q_part


cdef inline real second_derivative(real p, real q, real tau_1, real tau_0) noexcept nogil:
    # tau_1 / p^2 + tau_0 / q^2, with one division. Error below 5 ULP. A term whose weighted target is 0 is 0.
    cdef real inverse
    p = 1 if tau_1 == 0 else p
    q = 1 if tau_0 == 0 else q
    inverse = <real>1 / (p * q)
    q *= inverse  # 1 / p
    p *= inverse  # 1 / q
    return tau_1 * q * q + tau_0 * p * p


cdef inline bint probability_terms(
    Py_ssize_t n, const real *p, const real *t, const real *pos_weights, const real *w, const real *factors,
    const Binary *given, bint hard, bint options, bint summed, bint with_gradient,
    real *restrict value, double *restrict terms, real *restrict gradient
) noexcept nogil:
    # The weighted loss of each element: in terms, as doubles to be summed, or in value. One logarithm for a hard label
    # that is not smoothed, else two.
    cdef Binary loss = given[0]
    cdef real low = <real>loss.eps
    cdef real q, u, a, b, own, other, tau_1, tau_0, each, slope
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(n)):
        q = <real>1 - p[i]
        u = <real>1 - t[i]
        in_unit(p[i], q, &checks)
        only_weight(w[i], &checks)
        a = low if p[i] < low else p[i]
        b = low if q < low else q
        tau_1 = t[i]
        tau_0 = u
        if hard:
            only_label(t[i], &checks)
            own = a if t[i] == 1 else b
            other = b if t[i] == 1 else a
            each = pair_log(own, other)
            if options:
                own = pos_weights[i] if t[i] == 1 else 1
                each *= own
                tau_1 *= pos_weights[i]
        else:
            in_unit(t[i], u, &checks)
            if options:
                tau_1 = weighted_target(t[i], pos_weights[i], &loss)
                tau_0 = weighted_target(u, <real>1, &loss)
            each = tau_1 * pair_log(a, b) + tau_0 * pair_log(b, a)
        if summed:
            terms[i] = wide_times(each, w[i])
        else:
            value[i] = times(each, w[i], w[i])
        if with_gradient:
            slope = pair_derivative(clip_to(a, &loss), clip_to(b, &loss), tau_1, tau_0, options, q < low)
            gradient[i] = times(slope, w[i], factors[i])
    return are_met(&checks)


cdef inline bint probability_derivatives(
    Py_ssize_t n, const real *p, const real *t, const real *pos_weights, const real *w, const real *factors,
    const Binary *given, bint hard, bint options, bint weighted, bint with_hessian,
    real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # The first derivative, and the second one if it is wanted. Probabilities of hard labels may be clipped; a block of
    # any labels with a clipped probability takes the general loop.
    cdef Binary loss = given[0]
    cdef real floor = <real>loss.floor
    cdef real q, u, a, tau_1, tau_0, slope, curvature
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(n)):
        q = <real>1 - p[i]
        u = <real>1 - t[i]
        if hard:
            in_unit(p[i], q, &checks)
            only_label(t[i], &checks)
            a = p[i] if t[i] == 1 else q
            slope = -1 if t[i] == 1 else 1
            slope = slope / clip_to(a, &loss)
            curvature = slope * slope
        else:
            in_unit(p[i] - floor, q - floor, &checks)
            in_unit(t[i], u, &checks)
            tau_1 = weighted_target(t[i], pos_weights[i], &loss) if options else t[i]
            tau_0 = weighted_target(u, <real>1, &loss) if options else u
            slope = pair_derivative(p[i], q, tau_1, tau_0, options, False)
            if with_hessian:
                curvature = second_derivative(p[i], q, tau_1, tau_0)
        if weighted:
            only_weight(w[i], &checks)
            gradient[i] = times(slope, w[i], factors[i])
            if with_hessian:
                hessian[i] = times(curvature, w[i], w[i])
        else:
            gradient[i] = slope * <real>loss.factor
            if with_hessian:
                hessian[i] = curvature
    return are_met(&checks)


cdef bint is_valid(
    Py_ssize_t n, const real *x, const real *t, const real *pos_weights, const real *w, const Binary *loss
) noexcept nogil:
    # Whether all predictions that are probabilities, all targets and all weights are in their domains. NaN is a legal
    # prediction or target. An element of weight 0 is not checked, nor is a prediction whose weighted targets are 0.
    cdef bint probabilities = not loss.flags & LOGITS
    cdef bint checked = not loss.flags & KNOWN_WEIGHTS
    cdef real least, other, weight
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(n)):
        other = <real>1 - x[i]
        least = x[i] if x[i] < other else other
        weight = pos_weights[i] if t[i] == 1 else 1
        weight = weight if probabilities else 0
        least = 0 if weight == 0 else least
        least = t[i] if t[i] < least else least
        other = <real>1 - t[i]
        least = other if other < least else least
        least = 0 if w[i] == 0 else least
        weight = w[i] if w[i] - w[i] == 0 else -1  # NaN and infinity
        weight = weight if checked else 0
        least = weight if weight < least else least
        least = 1 if least < 0 else 0
        only_zero(least, &checks)
    return are_met(&checks)


cdef void any_probability_values(
    Py_ssize_t n, const real *p, const real *t, const real *pos_weights, const real *w, const Binary *given,
    double *restrict terms
) noexcept nogil:
    # The weighted losses of every block: of probabilities at or outside the clip, -0, NaN, eps = 0, weights 0
    cdef Binary loss = given[0]
    cdef real low = <real>loss.eps
    cdef real q, a, b, tau_1, tau_0, loss_1, loss_0
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = <real>1 - p[i]
        tau_1 = weighted_target(t[i], pos_weights[i], &loss)
        tau_0 = weighted_target(<real>1 - t[i], <real>1, &loss)
        a = low if p[i] <= low else p[i]  # these make 0 of -0, and keep NaN
        b = low if q <= low else q
        a = clip_to(a, &loss)
        b = clip_to(b, &loss)
        loss_1 = tau_1 * any_pair_log(a, b)
        loss_1 = 0 if tau_1 == 0 else loss_1
        loss_0 = tau_0 * any_pair_log(b, a)
        loss_0 = 0 if tau_0 == 0 else loss_0
        terms[i] = wide_times(loss_1 + loss_0, w[i])


cdef inline void any_probability_derivatives(
    Py_ssize_t n, const real *p, const real *t, const real *pos_weights, const real *w, const double *factors,
    const Binary *given, bint options, bint with_hessian, bint steep, real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # The same for the derivatives. steep: the second one is computed by two divisions in double.
    cdef Binary loss = given[0]
    cdef real low = <real>loss.eps
    cdef real floor = <real>loss.floor if loss.flags & ZERO_OUTSIDE else -1
    cdef real q, a, b, tau_1, tau_0, slope, outside, weight
    cdef double curvature
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = <real>1 - p[i]
        tau_1 = weighted_target(t[i], pos_weights[i], &loss)
        tau_0 = weighted_target(<real>1 - t[i], <real>1, &loss)
        a = low if p[i] <= low else p[i]
        b = low if q <= low else q
        a = clip_to(a, &loss)
        b = clip_to(b, &loss)
        outside = p[i] if p[i] < q else q
        weight = 0 if outside < floor else w[i]
        slope = pair_derivative(a, b, tau_1, tau_0, options, q < low)
        gradient[i] = wide_factor_times(slope, weight, factors[i])
        if with_hessian and steep:
            curvature = steep_second_derivative(a, b, tau_1, tau_0)
            hessian[i] = wide_factor_times(<real>1, weight, curvature * w[i])
        elif with_hessian:
            hessian[i] = times(second_derivative(a, b, tau_1, tau_0), weight, w[i])


# ---------------------------------------------------------------- the loss of logits
#
# With e / n = exp(-|z|), the sigmoid of z and that of -z are n / (n + e) and e / (n + e), in this order if z > 0. Then
#     loss = (tau_1 + tau_0) log(1 + e / n) + (tau_0 if z > 0 else tau_1) |z|
#     first derivative = tau_0 sigmoid(z) - tau_1 sigmoid(-z)
#     second derivative = (tau_1 + tau_0) sigmoid(z) sigmoid(-z)
# The first term of the loss is -log of the larger sigmoid, which is multiplied as probabilities are. For float, products
# of 1 + e need no division: c = product - 1 grows by e + c e.

cdef inline void both_sigmoids(real z, bint short_form, real *p, real *q) noexcept nogil:
    # The sigmoids of z and -z in the ordinary range
    cdef real n, e, larger, smaller
    if real is double or short_form:  # the same bits as from |z|: both parts of the fraction change places exactly
        e = exp_short_fraction(-z, &n)
        p[0] = sigmoids(n, e, <real>1, q)
    else:
        e = exp_fraction(-absolute(z), &n)
        larger = sigmoids(n, e, <real>1, &smaller)
        p[0] = larger if z > 0 else smaller
        q[0] = smaller if z > 0 else larger


cdef inline void logit_vector(
    const real *z, const real *t, const Binary *loss, bint by_label, bint options, bint with_gradient,
    Lanes *lanes, real *restrict gradient
) noexcept nogil:
    cdef real x, u, n, e, tau_1, tau_0, straight, larger, smaller, p, q
    cdef float joined
    cdef Py_ssize_t j
    for j in range(product_lanes(<real>0)):
        x = absolute(z[j])
        u = <real>1 - t[j]
        lane_no_negative(ordinary_logit(<real>0) - x, lanes, j)
        lane_no_negative(t[j], lanes, j)
        lane_no_negative(u, lanes, j)
        if by_label:
            lane_only_zero(fma(t[j], t[j], -t[j]), lanes, j)
        tau_1 = weighted_target(t[j], <real>loss.pos_weight, loss) if options else t[j]
        tau_0 = weighted_target(u, <real>1, loss) if options else u
        straight = tau_0 if z[j] > 0 else tau_1
        e = exp_fraction(-x, &n)
        larger = sigmoids(n, e, <real>1, &smaller)
        if real is double:
            lanes.straight[j] = CECORE_FMA(straight, x, lanes.straight[j])
            if by_label:
                multiply_by_label(lanes, LABEL, j, t[j] == 1, larger, smaller)
            else:
                multiply(lanes, LABEL, j, larger, smaller)
        else:
            lanes.short_straight[j] = CECORE_FMAF(straight, x, lanes.short_straight[j])
            joined = CECORE_FMAF(lanes.joined[0][j], e, e) + lanes.joined[0][j]
            if by_label:
                lanes.joined[0][j] = joined if t[j] == 1 else lanes.joined[0][j]
                joined = CECORE_FMAF(lanes.joined[1][j], e, e) + lanes.joined[1][j]
                lanes.joined[1][j] = lanes.joined[1][j] if t[j] == 1 else joined
            else:
                lanes.joined[0][j] = joined
        if with_gradient:
            p = larger if z[j] > 0 else smaller
            q = smaller if z[j] > 0 else larger
            gradient[j] = fma(tau_0, p, -(tau_1 * q)) * <real>loss.factor


cdef inline void clear_joined(Lanes *lanes, int kind) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(LANES_MOST):
        lanes.joined[kind][j] = 0


cdef inline void join_product(Lanes *lanes, int kind) noexcept nogil:
    # The complement of a lane's product, which is 1 + it here, grows by that of SHORT_SUM floats.
    cdef double c
    cdef Py_ssize_t j
    for j in range(LANES_MOST):
        c = lanes.joined[kind][j]
        lanes.complement[kind][j] = CECORE_FMA(lanes.complement[kind][j], c, c) + lanes.complement[kind][j]


cdef inline void invert_product(Lanes *lanes, int kind) noexcept nogil:
    # From 1 + c to the product of the larger sigmoids, 1 / (1 + c), and its complement
    cdef double inverse
    cdef Py_ssize_t j
    for j in range(LANES_MOST):
        inverse = 1 / (1 + lanes.complement[kind][j])
        lanes.product[kind][j] = inverse
        lanes.complement[kind][j] *= inverse


cdef inline bint logit_products(
    Py_ssize_t n, const real *z, const real *t, const Binary *given, bint by_label, bint options, bint with_gradient,
    double *sum, real *restrict gradient
) noexcept nogil:
    # The sum of the losses of a block, and its gradient; by label for hard labels with pos_weight. Return False if the
    # block takes another loop.
    cdef Collected block
    cdef Lanes lanes
    cdef Binary loss = given[0]
    cdef Py_ssize_t width = product_lanes(<real>0)
    cdef Py_ssize_t size = 2 * width * width
    cdef Py_ssize_t group, part, start, count, i, j
    cdef double own = loss.keep + loss.spread
    block.count = 0
    clear(&block.checks)
    clear_straight(&lanes, <real>0)
    for group in range((n + size - 1) // size):
        start = group * size
        count = min(n - start, size) // width
        clear_checks(&lanes, <real>0)
        clear_kind(&lanes, LABEL, <real>0)
        if by_label:
            clear_kind(&lanes, LABEL_0, <real>0)
        for part in range((count + SHORT_SUM - 1) // SHORT_SUM):
            if real is float:
                clear_short(&lanes)
                clear_joined(&lanes, LABEL)
                if by_label:
                    clear_joined(&lanes, LABEL_0)
            for i in range(min(count - part * SHORT_SUM, <Py_ssize_t>SHORT_SUM)):
                j = start + (part * SHORT_SUM + i) * width
                logit_vector(z + j, t + j, &loss, by_label, options, with_gradient, &lanes, gradient + j)
            if real is float:
                add_short(&lanes)
                join_product(&lanes, LABEL)
                if by_label:
                    join_product(&lanes, LABEL_0)
        if real is float:
            invert_product(&lanes, LABEL)
            if by_label:
                invert_product(&lanes, LABEL_0)
        collect_kind(&block, &lanes, LABEL, <real>0)
        if by_label:
            collect_kind(&block, &lanes, LABEL_0, <real>0)
        collect_checks(&block, &lanes, <real>0)
    sum[0] = pair_logs(&block, LABEL)
    if by_label:
        sum[0] *= loss.pos_weight * own + loss.spread
        sum[0] += (own + loss.pos_weight * loss.spread) * pair_logs(&block, LABEL_0)
    sum[0] += straight_sum(&lanes, <real>0)
    return are_met(&block.checks)


cdef inline bint logit_terms(
    Py_ssize_t n, const real *z, const real *t, const real *pos_weights, const real *w, const real *factors,
    const Binary *given, bint options, bint summed, bint with_gradient,
    real *restrict value, double *restrict terms, real *restrict gradient
) noexcept nogil:
    # The weighted loss of each element: in terms, as doubles to be summed, or in value
    cdef Binary loss = given[0]
    cdef real x, u, m, e, tau_1, tau_0, straight, each, larger, smaller, p, q, slope
    cdef double weighted_loss
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(n)):
        x = absolute(z[i])
        u = <real>1 - t[i]
        only_ordinary(x, &checks)
        in_unit(t[i], u, &checks)
        tau_1 = weighted_target(t[i], pos_weights[i], &loss) if options else t[i]
        tau_0 = weighted_target(u, <real>1, &loss) if options else u
        straight = tau_0 if z[i] > 0 else tau_1
        e = exp_fraction(-x, &m)
        each = log1p_fraction(m, e)
        if options:
            each *= tau_1 + tau_0
        each = fma(straight, x, each)
        only_weight(w[i], &checks)
        if summed:
            terms[i] = wide_times(each, w[i])
        else:
            value[i] = times(each, w[i], w[i])
        if with_gradient:
            larger = sigmoids(m, e, <real>1, &smaller)
            p = larger if z[i] > 0 else smaller
            q = smaller if z[i] > 0 else larger
            slope = fma(tau_0, p, -(tau_1 * q))
            gradient[i] = times(slope, w[i], factors[i])
    return are_met(&checks)


cdef inline bint logit_derivatives(
    Py_ssize_t n, const real *z, const real *t, const real *pos_weights, const real *w, const real *factors,
    const Binary *given, bint options, bint weighted, bint with_hessian,
    real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # The first derivative, and the second one, if it is wanted. For float this takes the short form of exp then, so that
    # the first derivative's bits may differ.
    cdef Binary loss = given[0]
    cdef real u, tau_1, tau_0, p, q, slope, curvature
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(n)):
        u = <real>1 - t[i]
        only_ordinary(z[i], &checks)
        in_unit(t[i], u, &checks)
        tau_1 = weighted_target(t[i], pos_weights[i], &loss) if options else t[i]
        tau_0 = weighted_target(u, <real>1, &loss) if options else u
        both_sigmoids(z[i], with_hessian, &p, &q)
        slope = fma(tau_0, p, -(tau_1 * q))
        curvature = q * ((tau_1 + tau_0) * p)
        if weighted:
            only_weight(w[i], &checks)
            gradient[i] = times(slope, w[i], factors[i])
            if with_hessian:
                hessian[i] = times(curvature, w[i], w[i])
        else:
            gradient[i] = slope * <real>loss.factor
            if with_hessian:
                hessian[i] = curvature
    return are_met(&checks)


cdef inline void any_logit(
    Py_ssize_t n, const real *z, const real *t, const real *pos_weights, const real *w, const double *factors,
    const Binary *given, bint valued, double *restrict terms, real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # The formulas above for every block: of large and infinite logits, NaN, weights 0. Beyond 2^60 the loss is a product
    # in double, because it may exceed the range of float although its product with a weight does not.
    cdef Binary loss = given[0]
    cdef real x, u, m, e, scale, tau_1, tau_0, straight, each, larger, smaller, p, q, weight, slope, curvature
    cdef double wide, large
    cdef Py_ssize_t i
    for i in range(padded(n)):
        x = absolute(z[i])
        u = <real>1 - t[i]
        tau_1 = weighted_target(t[i], pos_weights[i], &loss)
        tau_0 = weighted_target(u, <real>1, &loss)
        weight = 0 if (tau_1 == 0) & (tau_0 == 0) else w[i]
        straight = tau_0 if z[i] > 0 else tau_1
        e = any_exp_fraction(-x, not valued, &m, &scale)
        larger = sigmoids(m, e, scale, &smaller)
        p = larger if z[i] > 0 else smaller
        q = smaller if z[i] > 0 else larger
        if valued:
            each = log1p_fraction(m, e * scale) * (tau_1 + tau_0)
            wide = fma(straight, x, each)
            large = <double>straight * <double>x
            large = 0 if straight == 0 else large
            wide = large if x > <real>1152921504606846976.0 else wide
            wide = wide * <double>weight
            terms[i] = 0 if weight == 0 else wide
        slope = fma(tau_0, p, -(tau_1 * q))
        curvature = q * ((tau_1 + tau_0) * p)
        gradient[i] = wide_factor_times(slope, weight, factors[i])
        hessian[i] = times(curvature, weight, weight)


# ---------------------------------------------------------------- the focal loss of logits
#
# For a class with the probability q, r = 1 - q, l = -log q and R = r^gamma, the loss is R l, its derivative with respect
# to the class's own logit -R (gamma q l + r), and its second derivative R ((2 gamma + 1) r q + gamma q l (gamma q - r)).
# All terms but the last have one sign, so that nothing cancels but there. R comes from r by multiplications and a square
# root, if gamma is a multiple of 1/2 below 8, else from log r = -(l + z) by an exponential.

cdef inline real focal_factor(real r, real straight, real curved, double gamma, bint by_powers) noexcept nogil:
    # r^gamma, for -log r = straight + curved
    cdef real value, square
    cdef int halves
    if not by_powers:
        if real is double:
            return cecore_exp_of_product(gamma, straight, curved)
        else:
            return cecore_exp_of_productf(gamma, straight, curved)
    halves = <int>(2 * gamma)
    value = root(r)
    value = value if halves & 1 else 1
    value *= r if halves & 2 else 1
    square = r * r
    value *= square if halves & 4 else 1
    square = square * square
    value *= square if halves & 8 else 1
    return value


cdef inline real class_focal(
    real q, real r, real l, real power, double gamma, real *slope, real *curvature
) noexcept nogil:
    # Return the loss of a class; minus its derivative and its second derivative go to slope and curvature.
    cdef real g = <real>gamma
    cdef real product = q * l
    product = 0 if q == 0 else product
    slope[0] = power * fma(g, product, r)
    curvature[0] = power * fma(<real>(2 * gamma + 1), r * q, (g * product) * fma(g, q, -r))
    return power * l


cdef inline bint focal(
    Py_ssize_t n, const real *z, const real *t, const real *pos_weights, const real *w, const real *factors,
    const double *wide_factors, const Binary *given, bint by_powers, bint hard, bint every, bint valued,
    double *restrict terms, real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # Losses and first derivatives (valued), or both derivatives. Hard labels need the terms of one class. every: for every
    # block, else return False if it takes another loop.
    cdef Binary loss = given[0]
    cdef double gamma = loss.gamma
    cdef real x, u, m, e, scale, curved, larger, smaller, p, q, up, down, tau_1, tau_0, weight
    cdef real value, slope, curvature, other, other_slope, other_curvature, probability, rest
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(n)):
        x = absolute(z[i])
        u = <real>1 - t[i]
        if every:
            e = any_exp_fraction(-x, False, &m, &scale)
        else:
            e = exp_fraction(-x, &m)
            scale = 1
            only_ordinary(x, &checks)
            in_unit(t[i], u, &checks)
            only_weight(w[i], &checks)
            if hard:
                only_label(t[i], &checks)
        curved = log1p_fraction(m, e * scale)
        larger = sigmoids(m, e, scale, &smaller)
        p = larger if z[i] > 0 else smaller
        q = smaller if z[i] > 0 else larger
        up = z[i] if z[i] > 0 else 0  # -log q = up + curved, -log p = down + curved
        down = -z[i] if z[i] < 0 else 0
        tau_1 = weighted_target(t[i], pos_weights[i], &loss)
        tau_0 = weighted_target(u, <real>1, &loss)
        weight = 0 if (tau_1 == 0) & (tau_0 == 0) else w[i]
        if hard:
            probability = p if t[i] == 1 else q
            rest = q if t[i] == 1 else p
            other = up if t[i] == 1 else down
            down = down if t[i] == 1 else up
            value = focal_factor(rest, other, curved, gamma, by_powers)
            value = class_focal(probability, rest, down + curved, value, gamma, &slope, &curvature)
            slope = -slope if t[i] == 1 else slope
            other = tau_1 if t[i] == 1 else tau_0
            value *= other
            slope *= other
            curvature *= other
        else:
            value = focal_factor(q, up, curved, gamma, by_powers)
            value = class_focal(p, q, down + curved, value, gamma, &slope, &curvature)
            other = focal_factor(p, down, curved, gamma, by_powers)
            other = class_focal(q, p, up + curved, other, gamma, &other_slope, &other_curvature)
            value *= tau_1
            value = 0 if tau_1 == 0 else value
            other *= tau_0
            other = 0 if tau_0 == 0 else other
            value += other
            slope = tau_0 * other_slope - tau_1 * slope
            curvature = tau_1 * curvature + tau_0 * other_curvature
        if valued:
            terms[i] = wide_times(value, weight)
        else:
            hessian[i] = times(curvature, weight, weight)
        if every:
            gradient[i] = wide_factor_times(slope, weight, wide_factors[i])
        else:
            gradient[i] = times(slope, weight, factors[i])
    return are_met(&checks)


# ---------------------------------------------------------------- which loop a block takes

cdef bint starts_hard(const real *t) noexcept nogil:
    # Whether the first vector of targets has labels 0 and 1 alone: then the loops for hard labels are tried.
    cdef int others = 0
    cdef Py_ssize_t i
    for i in range(SUM_LANES):
        others += (t[i] != 0) & (t[i] != 1)
    return others == 0


# The inline functions here turn what is known at run time into constants of the loops, one question each.

cdef inline bint label_sums(
    Py_ssize_t n, const real *p, const real *y, const Binary *loss, bint with_gradient, double *sum, real *gradient
) noexcept nogil:
    if loss.flags & POS_WEIGHT and loss.flags & SMOOTHED:
        return label_products(n, p, y, loss, True, True, with_gradient, sum, gradient)
    if loss.flags & POS_WEIGHT:
        return label_products(n, p, y, loss, True, False, with_gradient, sum, gradient)
    if loss.flags & SMOOTHED:
        return label_products(n, p, y, loss, False, True, with_gradient, sum, gradient)
    return label_products(n, p, y, loss, False, False, with_gradient, sum, gradient)


cdef bint probability_sums(
    Py_ssize_t n, const real *p, const real *t, const Binary *loss, bint hard, bint with_gradient, double *sum,
    real *gradient
) noexcept nogil:
    if hard:
        if with_gradient:
            return label_sums(n, p, t, loss, True, sum, gradient)
        return label_sums(n, p, t, loss, False, sum, gradient)
    if loss.flags & (POS_WEIGHT | SUBNORMAL):
        return False
    if not with_gradient:
        return soft_products(n, p, t, loss, False, False, sum, gradient)
    if loss.flags & SMOOTHED:
        return soft_products(n, p, t, loss, True, True, sum, gradient)
    return soft_products(n, p, t, loss, False, True, sum, gradient)


cdef inline bint logit_sums_of(
    Py_ssize_t n, const real *z, const real *t, const Binary *loss, bint with_gradient, double *sum, real *gradient
) noexcept nogil:
    if loss.flags & POS_WEIGHT:
        return logit_products(n, z, t, loss, True, True, with_gradient, sum, gradient)
    if loss.flags & SMOOTHED:
        return logit_products(n, z, t, loss, False, True, with_gradient, sum, gradient)
    return logit_products(n, z, t, loss, False, False, with_gradient, sum, gradient)


cdef bint logit_sums(
    Py_ssize_t n, const real *z, const real *t, const Binary *loss, bint hard, bint with_gradient, double *sum,
    real *gradient
) noexcept nogil:
    if loss.flags & POS_WEIGHT and not hard:
        return False
    if with_gradient:
        return logit_sums_of(n, z, t, loss, True, sum, gradient)
    return logit_sums_of(n, z, t, loss, False, sum, gradient)


cdef inline bint has_options(const Binary *loss) noexcept nogil:
    return loss.flags & (SMOOTHED | POS_WEIGHT | POS_WEIGHTS) != 0


cdef inline bint probability_values_of(
    Py_ssize_t n, const real *p, const real *t, const real *pw, const real *w, const real *f, const Binary *loss,
    bint hard, bint summed, bint with_gradient, real *value, double *terms, real *gradient
) noexcept nogil:
    if has_options(loss) and hard:
        return probability_terms(
            n, p, t, pw, w, f, loss, True, True, summed, with_gradient, value, terms, gradient)
    if has_options(loss):
        return probability_terms(
            n, p, t, pw, w, f, loss, False, True, summed, with_gradient, value, terms, gradient)
    if hard:
        return probability_terms(
            n, p, t, pw, w, f, loss, True, False, summed, with_gradient, value, terms, gradient)
    return probability_terms(n, p, t, pw, w, f, loss, False, False, summed, with_gradient, value, terms, gradient)


cdef inline bint values_of(
    Py_ssize_t n, Py_ssize_t first, const Block *block, const Binary *loss, bint hard, bint summed, bint with_gradient,
    double *terms, real unused
) noexcept nogil:
    cdef const real *x = <const real *>block.x + first
    cdef const real *t = <const real *>block.targets + first
    cdef const real *pw = <const real *>block.pos_weights + first
    cdef const real *w = <const real *>block.weights + first
    cdef const real *f = <const real *>block.factors + first
    cdef real *value = <real *>block.value + first
    cdef real *g = <real *>block.gradient + first
    if not loss.flags & LOGITS:
        return probability_values_of(n, x, t, pw, w, f, loss, hard, summed, with_gradient, value, terms, g)
    if has_options(loss):
        return logit_terms(n, x, t, pw, w, f, loss, True, summed, with_gradient, value, terms, g)
    return logit_terms(n, x, t, pw, w, f, loss, False, summed, with_gradient, value, terms, g)


cdef bint values(
    Py_ssize_t n, Py_ssize_t first, const Block *block, const Binary *loss, bint hard, int wanted, double *terms,
    real unused
) noexcept nogil:
    # The weighted losses of n elements of a block from the first one on
    if wanted & VALUE_SUM:
        if wanted & GRADIENT:
            return values_of(n, first, block, loss, hard, True, True, terms, unused)
        return values_of(n, first, block, loss, hard, True, False, terms, unused)
    if wanted & GRADIENT:
        return values_of(n, first, block, loss, hard, False, True, terms, unused)
    return values_of(n, first, block, loss, hard, False, False, terms, unused)


cdef inline bint derivatives_of(
    const Block *block, const Binary *loss, bint hard, bint with_hessian, real unused
) noexcept nogil:
    cdef Py_ssize_t n = padded(block.n)
    cdef const real *x = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pw = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const real *f = <const real *>block.factors
    cdef real *g = <real *>block.gradient
    cdef real *h = <real *>block.hessian
    if loss.flags & LOGITS:
        if has_options(loss):
            return logit_derivatives(n, x, t, pw, w, f, loss, True, True, with_hessian, g, h)
        if block.weighted:
            return logit_derivatives(n, x, t, pw, w, f, loss, False, True, with_hessian, g, h)
        return logit_derivatives(n, x, t, pw, w, f, loss, False, False, with_hessian, g, h)
    if has_options(loss):
        return probability_derivatives(n, x, t, pw, w, f, loss, False, True, True, with_hessian, g, h)
    if block.weighted:
        return probability_derivatives(n, x, t, pw, w, f, loss, False, False, True, with_hessian, g, h)
    if hard and not loss.flags & ZERO_OUTSIDE:
        return probability_derivatives(n, x, t, pw, w, f, loss, True, False, False, with_hessian, g, h)
    return probability_derivatives(n, x, t, pw, w, f, loss, False, False, False, with_hessian, g, h)


cdef bint derivatives(const Block *block, const Binary *loss, bint hard, bint with_hessian, real unused) noexcept nogil:
    if with_hessian:
        return derivatives_of(block, loss, hard, True, unused)
    return derivatives_of(block, loss, hard, False, unused)


cdef inline bint focal_of(
    const Block *block, const Binary *loss, bint hard, bint every, bint valued, double *terms, real *gradient,
    real *hessian
) noexcept nogil:
    cdef Py_ssize_t n = padded(block.n)
    cdef const real *z = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pw = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const real *f = <const real *>block.factors
    cdef const double *wide = block.wide_factors
    if loss.gamma < 8 and 2 * loss.gamma == <int>(2 * loss.gamma):
        return focal(n, z, t, pw, w, f, wide, loss, True, hard, every, valued, terms, gradient, hessian)
    return focal(n, z, t, pw, w, f, wide, loss, False, hard, every, valued, terms, gradient, hessian)


cdef inline bint focal_valued(
    const Block *block, const Binary *loss, bint hard, bint every, bint valued, double *terms, real *gradient,
    real *hessian
) noexcept nogil:
    if valued:
        return focal_of(block, loss, hard, every, True, terms, gradient, hessian)
    return focal_of(block, loss, hard, every, False, terms, gradient, hessian)


cdef bint focal_kind(
    const Block *block, const Binary *loss, bint hard, bint every, bint valued, double *terms, real *gradient,
    real *hessian
) noexcept nogil:
    if every:
        return focal_valued(block, loss, False, True, valued, terms, gradient, hessian)
    if hard:
        return focal_valued(block, loss, True, False, valued, terms, gradient, hessian)
    return focal_valued(block, loss, False, False, valued, terms, gradient, hessian)


cdef void finish_values(Block *block, int wanted, const double *terms, real unused) noexcept nogil:
    cdef real *value = <real *>block.value
    cdef Py_ssize_t i
    if wanted & VALUE_SUM:
        block.sum = lane_sum(padded(block.n), terms)
    elif wanted & VALUE_EACH:
        for i in range(padded(block.n)):
            value[i] = <real>terms[i]


cdef bint focal_block(Block *block, const Binary *loss, bint every, int wanted, real unused) noexcept nogil:
    cdef double terms[ELEMENTS]
    cdef real unwanted[ELEMENTS]
    cdef real *gradient = <real *>block.gradient if wanted & GRADIENT else &unwanted[0]
    cdef real *hessian = <real *>block.hessian if wanted & HESSIAN else &unwanted[0]
    cdef bint valued = wanted & (VALUE_SUM | VALUE_EACH)
    cdef bint fine = False
    if not every and not loss.flags & SMOOTHED and starts_hard(<const real *>block.targets):
        fine = focal_kind(block, loss, True, False, valued, terms, gradient, hessian)
    if not fine:
        fine = focal_kind(block, loss, False, every, valued, terms, gradient, hessian)
    finish_values(block, wanted, &terms[0], unused)
    return fine


cdef bint fast_sum(Block *block, const Binary *loss, bint hard, int wanted, real unused) noexcept nogil:
    # The sum of a block without weights, by products over whole vectors. The last elements, which do not fill a vector,
    # are added as weighted losses: the weights of the padding are 0.
    cdef double terms[SUM_LANES]
    cdef Py_ssize_t whole = block.n & -SUM_LANES
    cdef const real *x = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef real *gradient = <real *>block.gradient
    cdef bint fine = whole == block.n or not loss.flags & SUBNORMAL
    block.sum = 0
    if not fine:
        return False
    if whole > 0 and loss.flags & LOGITS:
        fine = logit_sums(whole, x, t, loss, hard, wanted & GRADIENT, &block.sum, gradient)
    elif whole > 0:
        fine = probability_sums(whole, x, t, loss, hard, wanted & GRADIENT, &block.sum, gradient)
    if fine and whole < block.n:
        fine = values(SUM_LANES, whole, block, loss, False, wanted, terms, unused)
        block.sum += lane_sum(SUM_LANES, &terms[0])
    return fine


cdef bint fast_block(Block *block, const Binary *loss, int wanted, real unused) noexcept nogil:
    # Compute what is wanted by a fast loop; return False if the block needs the general one.
    cdef double terms[ELEMENTS]
    cdef Py_ssize_t n = padded(block.n)
    cdef bint logits = loss.flags & LOGITS
    cdef bint hard = starts_hard(<const real *>block.targets)
    cdef bint single = hard and not logits and not loss.flags & SMOOTHED  # one logarithm for each label
    if loss.gamma != 0:
        return focal_block(block, loss, False, wanted, unused)
    if not wanted & (VALUE_SUM | VALUE_EACH):
        return (single and derivatives(block, loss, True, wanted & HESSIAN, unused)) or (
            derivatives(block, loss, False, wanted & HESSIAN, unused)
        )
    if (
        wanted & VALUE_SUM and not loss.flags & (NO_PRODUCTS | POS_WEIGHTS)
        and (not block.weighted or all_ones(<const real *>block.weights, block.n))
    ):
        if hard and fast_sum(block, loss, True, wanted, unused):
            return True
        if fast_sum(block, loss, False, wanted, unused):
            return True
    if loss.flags & SUBNORMAL:
        return False
    if not (single and values(n, 0, block, loss, True, wanted, terms, unused)) and (
        not values(n, 0, block, loss, False, wanted, terms, unused)
    ):
        return False
    if wanted & VALUE_SUM:
        block.sum = lane_sum(n, &terms[0])
    return True


cdef inline void any_derivatives_of(
    const Block *block, const Binary *loss, bint options, int wanted, real *gradient, real *hessian
) noexcept nogil:
    cdef Py_ssize_t n = padded(block.n)
    cdef const real *p = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pw = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const double *f = block.wide_factors
    if wanted & HESSIAN and loss.flags & STEEP:
        any_probability_derivatives(n, p, t, pw, w, f, loss, options, True, True, gradient, hessian)
    elif wanted & HESSIAN:
        any_probability_derivatives(n, p, t, pw, w, f, loss, options, True, False, gradient, hessian)
    elif wanted & GRADIENT:
        any_probability_derivatives(n, p, t, pw, w, f, loss, options, False, False, gradient, hessian)


cdef void general_block(Block *block, const Binary *loss, int wanted, real unused) noexcept nogil:
    cdef double terms[ELEMENTS]
    cdef real unwanted[2][ELEMENTS]
    cdef Py_ssize_t n = padded(block.n)
    cdef const real *x = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pw = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const double *f = block.wide_factors
    cdef real *gradient = <real *>block.gradient if wanted & GRADIENT else &unwanted[0][0]
    cdef real *hessian = <real *>block.hessian if wanted & HESSIAN else &unwanted[1][0]
    if loss.gamma != 0:
        focal_block(block, loss, True, wanted, unused)
        return
    if loss.flags & LOGITS:
        if wanted & HESSIAN:
            any_logit(n, x, t, pw, w, f, loss, False, terms, gradient, hessian)
        else:
            any_logit(n, x, t, pw, w, f, loss, True, terms, gradient, hessian)
    elif has_options(loss):
        any_derivatives_of(block, loss, True, wanted, gradient, hessian)
    else:
        any_derivatives_of(block, loss, False, wanted, gradient, hessian)
    if wanted & (VALUE_SUM | VALUE_EACH) and not loss.flags & LOGITS:
        any_probability_values(n, x, t, pw, w, loss, terms)
    finish_values(block, wanted, &terms[0], unused)


cdef int binary_block(Block *block, const Binary *loss, int wanted, real unused) noexcept nogil:
    # One block of a binary loss: its sum, and what else is wanted. Return BAD if an input is outside its domain.
    cdef int valued = wanted & (VALUE_SUM | VALUE_EACH)
    cdef bint general = block.is_wide or loss.flags & ONLY_GENERAL
    if loss.flags & ZERO_OUTSIDE and valued and wanted != valued:
        if binary_block(block, loss, valued, unused) == BAD:
            return BAD
        return binary_block(block, loss, wanted ^ valued, unused)
    if loss.flags & STEEP and wanted & HESSIAN:
        general = True
    if wanted and not general and fast_block(block, loss, wanted, unused):
        return SOFT
    if not is_valid(
        padded(block.n), <const real *>block.x, <const real *>block.targets, <const real *>block.pos_weights,
        <const real *>block.weights, loss,
    ):
        return BAD
    if wanted:
        general_block(block, loss, wanted, unused)
    return SOFT


cdef void set_binary(
    Binary *loss, double eps, double pos_weight, double smoothing, double gamma, double factor, int flags, real unused
) noexcept nogil:
    # The constants of a loss. flags: LOGITS, ZERO_OUTSIDE, POS_WEIGHT or POS_WEIGHTS, ONLY_GENERAL if a pos_weight is 0,
    # STEEP if a pos_weight is above 1 for each element. For float, eps, pos_weight and smoothing must be in
    # [2^-60, 2^60], if they are not 0; eps of logits is not read.
    cdef real head = <real>eps
    loss.eps = eps
    loss.top = 1 - eps
    loss.floor = head
    if head < eps:  # in float only
        loss.floor = neighbour(head, 1)
    loss.keep = 1 - smoothing
    loss.spread = smoothing / 2
    loss.pos_weight = pos_weight
    loss.gamma = gamma
    loss.factor = <real>factor
    loss.flags = flags
    if smoothing != 0:
        loss.flags |= SMOOTHED
    if not flags & LOGITS:
        if eps > 0.25:
            loss.flags |= ONLY_GENERAL
        if eps < least_normal(unused):
            loss.flags |= SUBNORMAL | STEEP
        if real is float:
            if eps < 2.0 ** -28:
                loss.flags |= NO_PRODUCTS
            if pos_weight > 2.0 ** 126 * eps * eps or eps < 2.0 ** -33:
                loss.flags |= STEEP
    loss.tau_1[0] = weighted_target(<real>0, <real>pos_weight, loss)
    loss.tau_1[1] = weighted_target(<real>1, <real>pos_weight, loss)
    loss.tau_0[0] = weighted_target(<real>1, <real>1, loss)
    loss.tau_0[1] = weighted_target(<real>0, <real>1, loss)


# ---------------------------------------------------------------- sigmoid, log_sigmoid, sigmoid_backward

cdef inline bint sigmoid_loop(Py_ssize_t n, const real *x, bint every, real *restrict out) noexcept nogil:
    cdef real m, e, scale, p, q, larger, smaller
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(n)):
        if every:
            e = any_exp_fraction(-absolute(x[i]), True, &m, &scale)
            larger = sigmoids(m, e, scale, &smaller)
            p = larger if x[i] > 0 else smaller
        else:
            only_ordinary(x[i], &checks)
            both_sigmoids(x[i], True, &p, &q)
        out[i] = p
    return are_met(&checks)


cdef inline bint log_sigmoid_loop(Py_ssize_t n, const real *x, bint every, real *restrict out) noexcept nogil:
    # -(max(-x, 0) + log(1 + exp(-|x|)))
    cdef real m, e, scale, straight
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(n)):
        if every:
            e = any_exp_fraction(-absolute(x[i]), False, &m, &scale)
            e = e * scale
        else:
            only_ordinary(x[i], &checks)
            e = exp_fraction(-absolute(x[i]), &m)
        straight = x[i] if x[i] < 0 else 0
        out[i] = straight - log1p_fraction(m, e)
    return are_met(&checks)


cdef void sigmoids_of(Py_ssize_t n, const real *x, real *out) noexcept nogil:
    if not sigmoid_loop(n, x, False, out):
        sigmoid_loop(n, x, True, out)


cdef void log_sigmoids_of(Py_ssize_t n, const real *x, real *out) noexcept nogil:
    if not log_sigmoid_loop(n, x, False, out):
        log_sigmoid_loop(n, x, True, out)


cdef void sigmoid_backward_block(Py_ssize_t n, const real *s, const real *u, real *restrict out) noexcept nogil:
    # In double, whatever the type, so that a float result is rounded once.
    cdef double p, value
    cdef Py_ssize_t i
    for i in range(padded(n)):
        p = s[i]
        value = p * (1 - p) * u[i]
        out[i] = <real>(0 if (p == 0) | (p == 1) else value)
