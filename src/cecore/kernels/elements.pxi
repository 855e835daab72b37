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
#
# A factor of the gradient is the product of weight, upstream and scale, computed in double and rounded to the
# significand of the computing type, but not to its range. A derivative times a factor is rounded once. If float does
# not hold a factor, the block takes the general loop, which multiplies in double: float products have the same bits
# there, and no product overflows unless the result does. Weighted float losses are added as products in double for the
# same reason.

cdef enum:
    ELEMENTS = 512  # in a block, at most
    PRODUCTS = ELEMENTS // 16  # of each kind in a block
    MOST_LANES = 16
    SHORT_SUM = 4  # vectors whose terms are added in float

cdef enum:  # properties of a binary loss that choose the loop
    LOGITS = 1
    SMOOTHED = 2
    POS_WEIGHT = 4  # one number
    POS_WEIGHTS = 8  # one for each element
    ZERO_OUTSIDE = 16  # the gradient is 0 where the probability is clipped
    ONLY_GENERAL = 32  # eps is above 1/4, or a pos_weight is 0
    NO_PRODUCTS = 64  # eps is too small for products of float probabilities
    SUBNORMAL = 128  # eps is 0 or subnormal, and so may be the arguments of logarithms
    STEEP = 256  # second derivatives take two divisions in double, because p^2 may leave the range of the type
    KNOWN_WEIGHTS = 512  # weights are valid, though a product of two of them may be infinite

cdef struct Binary:  # the constants of a binary loss
    double eps  # probabilities are clipped to [eps, top]
    double top  # 1 - eps
    double floor  # the least number of the computing type that is not below eps
    double pos_weight  # 1 if there is one for each element
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
    const void *pos_weights  # for each element
    const void *weights  # 1 if there are none, 0 in the padding
    const void *factors  # of the gradient
    const double *wide_factors  # the same; read by the general loop
    void *value
    void *gradient
    void *hessian
    double sum
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
    # A target of -0 is the label 0: adding 0 makes it +0 for the checks.
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


cdef inline real weighted_target(real t, real pos_weight, const Binary *loss) noexcept nogil:
    return pos_weight * fma(<real>loss.keep, t, <real>loss.spread)


cdef inline real clip_to(real p, const Binary *loss) noexcept nogil:
    # The two selections keep NaN.
    cdef real low = <real>loss.eps
    cdef real high = <real>loss.top
    p = low if p < low else p
    return high if p > high else p


cdef inline real times(real value, real w, real factor) noexcept nogil:
    # The product with a weight or factor; 0 if the element counts for nothing, even if it is NaN
    value *= factor
    return 0 if w == 0 else value


cdef inline double wide_times(real value, real w) noexcept nogil:
    # The product with a weight in double
    cdef double product = <double>value * <double>w
    return 0 if w == 0 else product


cdef inline real wide_factor_times(real value, real w, double factor) noexcept nogil:
    # The same with a factor that the computing type may not hold
    cdef double product = <double>value * factor
    return <real>(0 if w == 0 else product)


# ---------------------------------------------------------------- the loss of probabilities: derivatives

cdef inline real pair_derivative(real p, real q, real tau_1, real tau_0, bint options, bint near_1) noexcept nogil:
    # The derivative tau_0 / q - tau_1 / p of a loss with respect to its clipped probability p, q the complement, in
    # one division: (tau_0 p - tau_1 q) / (p q). Without options the numerator is p - t, which is exact if it is small;
    # if t and the clipped p are near 1, it is u - q, u = 1 - t, because q is exact then. If a weighted target is 0, its
    # probability counts as 1 in p q, and the numerator is the other target: the derivative of a hard label is
    # -tau_1 / p or tau_0 / q. Error below 2 ULP of the larger term.
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


cdef inline real second_derivative(real p, real q, real tau_1, real tau_0) noexcept nogil:
    # tau_1 / p^2 + tau_0 / q^2, with one division. Error below 5 ULP. A term whose weighted target is 0 is 0.
    cdef real inverse
    p = 1 if tau_1 == 0 else p
    q = 1 if tau_0 == 0 else q
    inverse = <real>1 / (p * q)
    q *= inverse  # 1 / p
    p *= inverse  # 1 / q
    return tau_1 * q * q + tau_0 * p * p


cdef inline double steep_second_derivative(real p, real q, real tau_1, real tau_0) noexcept nogil:
    # The same in double with two divisions, for any p and q: 0 gives infinity
    cdef double p_part = <double>tau_1 / <double>p / <double>p
    cdef double q_part = <double>tau_0 / <double>q / <double>q
    p_part = 0 if tau_1 == 0 else p_part
    q_part = 0 if tau_0 == 0 else q_part
    return p_part + q_part


# ---------------------------------------------------------------- sums by products
#
# A product P of probabilities a replaces the sum of their logarithms. Next to it its complement S = 1 - P is kept:
# S grows by b P, b = 1 - a, so that it is a sum of positive terms and keeps its relative accuracy if P is nearly 1.
# 16 factors and their logarithm have an error of (2 * 16 - 1) / ln 2 + 6 half-ULPs, 5.7e-15.
#
# Lanes of 8 doubles, or 16 floats, each have a product of a group of vectors: 16 vectors of double, 32 of float. For
# float, probabilities a are exact in double, and eps is at least 2^-28: 32 factors lose less than 2^-48 of losses above
# 2^-23, so that the complement can come from the product.

cdef enum:  # the forms of the loss
    LABEL_FORM = 0  # probabilities with hard labels
    SOFT_FORM = 1  # probabilities with any labels
    LOGIT_FORM = 2

cdef enum:  # kinds of products
    FIRST = 0
    SECOND = 1  # of the elements with label 0, if pos_weight tells labels apart; of p q, if hard labels are smoothed
    KINDS = 2

cdef struct Lanes:  # what a group of vectors collects
    double product[KINDS][MOST_LANES]
    double complement[KINDS][MOST_LANES]
    double straight[MOST_LANES]  # sums of terms that are no logarithms
    float short_straight[MOST_LANES]  # the same of up to SHORT_SUM floats
    float joined[KINDS][MOST_LANES]  # complements of products of up to SHORT_SUM floats 1 + e
    uint64_t signs[MOST_LANES]  # as in Checks
    uint32_t short_signs[MOST_LANES]
    uint64_t zeros[MOST_LANES]
    uint32_t short_zeros[MOST_LANES]

cdef struct Collected:  # the products of a block
    double product[KINDS][PRODUCTS]
    double complement[KINDS][PRODUCTS]
    Py_ssize_t count  # of each kind
    Checks checks


cdef inline Py_ssize_t product_lanes(real unused) noexcept nogil:
    # a register of double, two registers for a register of float
    if real is double:
        return 8
    else:
        return 16


cdef inline void lane_no_negative(real x, Lanes *lanes, Py_ssize_t j) noexcept nogil:
    if real is double:
        lanes.signs[j] |= cecore_bits(x)
    else:
        lanes.short_signs[j] |= cecore_bitsf(x)


cdef inline void lane_only_label(real y, Lanes *lanes, Py_ssize_t j) noexcept nogil:
    if real is double:
        lanes.zeros[j] |= cecore_bits(fma(y, y, -y))
    else:
        lanes.short_zeros[j] |= cecore_bitsf(fma(y, y, -y))


cdef inline void multiply(Lanes *lanes, int kind, Py_ssize_t j, double a, double b) noexcept nogil:
    lanes.complement[kind][j] = CECORE_FMA(b, lanes.product[kind][j], lanes.complement[kind][j])
    lanes.product[kind][j] *= a


cdef inline void multiply_by_label(Lanes *lanes, Py_ssize_t j, bint is_one, double a, double b) noexcept nogil:
    # Multiply the product of the element's label alone.
    cdef double complement_1 = CECORE_FMA(b, lanes.product[FIRST][j], lanes.complement[FIRST][j])
    cdef double complement_0 = CECORE_FMA(b, lanes.product[SECOND][j], lanes.complement[SECOND][j])
    cdef double product_1 = lanes.product[FIRST][j] * a
    cdef double product_0 = lanes.product[SECOND][j] * a
    lanes.complement[FIRST][j] = complement_1 if is_one else lanes.complement[FIRST][j]
    lanes.product[FIRST][j] = product_1 if is_one else lanes.product[FIRST][j]
    lanes.complement[SECOND][j] = lanes.complement[SECOND][j] if is_one else complement_0
    lanes.product[SECOND][j] = lanes.product[SECOND][j] if is_one else product_0


cdef inline void label_vector(
    const real *p, const real *y, const Binary *loss, bint by_label, bint smoothed, bint with_gradient,
    Lanes *lanes, real *restrict gradient
) noexcept nogil:
    # The loss is -log a times tau, a the probability of the label. Smoothed, it is keep (-log a) + spread (-log(p q)).
    cdef double eps = loss.eps
    cdef double top = loss.top
    cdef double a, b, one, zero
    cdef real q, clipped_p, clipped_q
    cdef Py_ssize_t j
    for j in range(product_lanes(<real>0)):
        q = <real>1 - p[j]
        lane_no_negative(p[j], lanes, j)
        lane_no_negative(q, lanes, j)
        lane_only_label(y[j], lanes, j)
        one = p[j]
        zero = 1 - one
        a = one if y[j] == 1 else zero
        b = zero if y[j] == 1 else one
        a = eps if a < eps else a  # these keep NaN
        a = top if a > top else a
        b = eps if b < eps else b
        if by_label:
            multiply_by_label(lanes, j, y[j] == 1, a, b)
        elif real is double or smoothed:
            multiply(lanes, FIRST, j, a, b)
        else:
            lanes.product[FIRST][j] *= a
        if smoothed:
            b = top if b > top else b
            lanes.product[SECOND][j] *= a * b
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
    cdef bint near_1
    cdef Py_ssize_t j
    for j in range(product_lanes(<real>0)):
        q = <real>1 - p[j]
        u = <real>1 - t[j]
        lane_no_negative(p[j], lanes, j)
        lane_no_negative(q, lanes, j)
        lane_no_negative(t[j] + 0, lanes, j)
        lane_no_negative(u, lanes, j)
        a = p[j] if t[j] > 0.5 else q
        b = q if t[j] > 0.5 else p[j]
        m = u if t[j] > 0.5 else t[j]
        m = fma(<real>loss.keep, m, <real>loss.spread)
        a = clip_to(a, loss)
        b = clip_to(b, loss)
        if real is double:
            multiply(lanes, FIRST, j, a, b)
            lanes.straight[j] = CECORE_FMA(m, cecore_log_ratio(a, b), lanes.straight[j])
        else:
            wide = p[j]
            wide = wide if t[j] > 0.5 else 1 - wide
            wide = eps if wide < eps else wide
            wide = top if wide > top else wide
            lanes.product[FIRST][j] *= wide
            lanes.short_straight[j] = CECORE_FMAF(m, cecore_log_ratiof(a, b), lanes.short_straight[j])
        if with_gradient:
            tau_1 = fma(<real>loss.keep, t[j], <real>loss.spread) if smoothed else t[j]
            tau_0 = fma(<real>loss.keep, u, <real>loss.spread) if smoothed else u
            near_1 = q < <real>loss.eps
            q = b if t[j] > 0.5 else a
            a = a if t[j] > 0.5 else b
            gradient[j] = pair_derivative(a, q, tau_1, tau_0, smoothed, near_1) * <real>loss.factor


cdef inline void logit_vector(
    const real *z, const real *t, const Binary *loss, bint by_label, bint options, bint with_gradient,
    Lanes *lanes, real *restrict gradient
) noexcept nogil:
    # See the formulas of logits below: the larger sigmoids are multiplied. For float, products of 1 + e need no
    # division: c = product - 1 grows by e + c e.
    cdef real x, u, n, e, tau_1, tau_0, straight, larger, smaller, p, q
    cdef float joined
    cdef Py_ssize_t j
    for j in range(product_lanes(<real>0)):
        x = absolute(z[j])
        u = <real>1 - t[j]
        lane_no_negative(ordinary_logit(<real>0) - x, lanes, j)
        lane_no_negative(t[j] + 0, lanes, j)
        lane_no_negative(u, lanes, j)
        if by_label:
            lane_only_label(t[j], lanes, j)
        tau_1 = weighted_target(t[j], <real>loss.pos_weight, loss) if options else t[j]
        tau_0 = weighted_target(u, <real>1, loss) if options else u
        straight = tau_0 if z[j] > 0 else tau_1
        e = exp_fraction(-x, &n)
        larger = sigmoids(n, e, <real>1, &smaller)
        if real is double:
            lanes.straight[j] = CECORE_FMA(straight, x, lanes.straight[j])
            if by_label:
                multiply_by_label(lanes, j, t[j] == 1, larger, smaller)
            else:
                multiply(lanes, FIRST, j, larger, smaller)
        else:
            lanes.short_straight[j] = CECORE_FMAF(straight, x, lanes.short_straight[j])
            joined = CECORE_FMAF(lanes.joined[FIRST][j], e, e) + lanes.joined[FIRST][j]
            if by_label:
                lanes.joined[FIRST][j] = joined if t[j] == 1 else lanes.joined[FIRST][j]
                joined = CECORE_FMAF(lanes.joined[SECOND][j], e, e) + lanes.joined[SECOND][j]
                lanes.joined[SECOND][j] = lanes.joined[SECOND][j] if t[j] == 1 else joined
            else:
                lanes.joined[FIRST][j] = joined
        if with_gradient:
            p = larger if z[j] > 0 else smaller
            q = smaller if z[j] > 0 else larger
            gradient[j] = fma(tau_0, p, -(tau_1 * q)) * <real>loss.factor


cdef inline void start_group(Lanes *lanes, int kinds, real unused) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(product_lanes(unused)):
        lanes.product[FIRST][j] = 1
        lanes.complement[FIRST][j] = 0
        lanes.signs[j] = lanes.zeros[j] = 0
        lanes.short_signs[j] = lanes.short_zeros[j] = 0
    if kinds == KINDS:
        for j in range(product_lanes(unused)):
            lanes.product[SECOND][j] = 1
            lanes.complement[SECOND][j] = 0


cdef inline void start_short(Lanes *lanes) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(MOST_LANES):
        lanes.short_straight[j] = 0
        lanes.joined[FIRST][j] = lanes.joined[SECOND][j] = 0


cdef inline void join(Lanes *lanes, int kind) noexcept nogil:
    # The complement of a lane's product, which is 1 + it here, grows by that of SHORT_SUM floats.
    cdef double c
    cdef Py_ssize_t j
    for j in range(MOST_LANES):
        c = lanes.joined[kind][j]
        lanes.complement[kind][j] = CECORE_FMA(lanes.complement[kind][j], c, c) + lanes.complement[kind][j]


cdef inline void finish_short(Lanes *lanes, int form, int kinds) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(MOST_LANES):
        lanes.straight[j] += lanes.short_straight[j]
    if form == LOGIT_FORM:
        join(lanes, FIRST)
    if form == LOGIT_FORM and kinds == KINDS:
        join(lanes, SECOND)


cdef inline void collect_kind(
    Collected *block, const Lanes *lanes, int kind, bint from_complement, bint from_product, real unused
) noexcept nogil:
    # from_complement: the product is 1 / (1 + complement), and the complement is relative to that.
    cdef double product, complement
    cdef Py_ssize_t j
    for j in range(product_lanes(unused)):
        product = lanes.product[kind][j]
        complement = lanes.complement[kind][j]
        if from_complement:
            product = 1 / (1 + complement)
            complement *= product
        elif from_product:
            complement = 1 - product
        block.product[kind][block.count + j] = product
        block.complement[kind][block.count + j] = complement


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


cdef inline double straight_sum(Lanes *lanes, real unused) noexcept nogil:
    cdef Py_ssize_t j
    if real is float:
        for j in range(8):
            lanes.straight[j] += lanes.straight[j + 8]
    return join_lanes(&lanes.straight[0])


cdef inline bint product_sum(
    Py_ssize_t n, const Block *given, const Binary *constants, int form, bint by_label, bint smoothed,
    bint with_gradient, double *sum, real *restrict gradient
) noexcept nogil:
    # The sum of n losses without weights, and the gradient. Return False if the block takes another loop. by_label:
    # hard labels with pos_weight. smoothed, for logits: with any option.
    cdef const real *x = <const real *>given.x
    cdef const real *t = <const real *>given.targets
    cdef Collected block
    cdef Lanes lanes
    cdef Binary loss = constants[0]
    cdef bint in_parts = real is float and form != LABEL_FORM
    cdef int kinds = KINDS if by_label or (smoothed and form == LABEL_FORM) else 1
    cdef Py_ssize_t width = product_lanes(<real>0)
    cdef Py_ssize_t size = 2 * width  # vectors of a group
    cdef Py_ssize_t length = SHORT_SUM if in_parts else size
    cdef Py_ssize_t vectors = n // width
    cdef Py_ssize_t group, part, count, i, j
    block.count = 0
    clear(&block.checks)
    for j in range(width):
        lanes.straight[j] = 0
    for group in range((vectors + size - 1) // size):
        count = min(vectors - group * size, size)
        start_group(&lanes, kinds, <real>0)
        for part in range((count + length - 1) // length):
            if in_parts:
                start_short(&lanes)
            for i in range(min(count - part * length, length)):
                j = (group * size + part * length + i) * width
                if form == LABEL_FORM:
                    label_vector(x + j, t + j, &loss, by_label, smoothed, with_gradient, &lanes, gradient + j)
                elif form == SOFT_FORM:
                    soft_vector(x + j, t + j, &loss, smoothed, with_gradient, &lanes, gradient + j)
                else:
                    logit_vector(x + j, t + j, &loss, by_label, smoothed, with_gradient, &lanes, gradient + j)
            if in_parts:
                finish_short(&lanes, form, kinds)
        collect_kind(&block, &lanes, FIRST, real is float and form == LOGIT_FORM, real is float and kinds == 1, <real>0)
        if kinds == KINDS:
            collect_kind(&block, &lanes, SECOND, real is float and form == LOGIT_FORM, not by_label, <real>0)
        collect_checks(&block, &lanes, <real>0)
    sum[0] = pair_logs(&block, FIRST)
    if by_label:  # the sums of the weighted targets of each label
        sum[0] *= loss.pos_weight * (loss.keep + loss.spread) + (loss.spread if form == LOGIT_FORM else 0)
        sum[0] += (loss.keep + loss.spread + loss.pos_weight * loss.spread) * pair_logs(&block, SECOND)
    elif kinds == KINDS:
        sum[0] = loss.keep * sum[0] + loss.spread * pair_logs(&block, SECOND)
    if form != LABEL_FORM:
        sum[0] += straight_sum(&lanes, <real>0)
    return are_met(&block.checks)


# ---------------------------------------------------------------- losses one by one, and derivatives alone

cdef inline bint probability_terms(
    const Block *block, const Binary *given, bint hard, bint summed, double *restrict terms, real *restrict value
) noexcept nogil:
    # The weighted loss of each element: in terms, as doubles to be summed, or in value. One logarithm for a hard label
    # that is not smoothed, else two.
    cdef const real *p = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef Binary loss = given[0]
    cdef real low = <real>loss.eps
    cdef real q, u, a, b, own, other, tau_1, tau_0, each
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(block.n)):
        q = <real>1 - p[i]
        u = <real>1 - t[i]
        in_unit(p[i], q, &checks)
        only_weight(w[i], &checks)
        a = low if p[i] < low else p[i]
        b = low if q < low else q
        if hard:
            only_label(t[i], &checks)
            own = a if t[i] == 1 else b
            other = b if t[i] == 1 else a
            each = pair_log(own, other)
            own = pos_weights[i] if t[i] == 1 else 1
            each *= own
        else:
            in_unit(t[i] + 0, u, &checks)
            tau_1 = weighted_target(t[i], pos_weights[i], &loss)
            tau_0 = weighted_target(u, <real>1, &loss)
            each = tau_1 * pair_log(a, b) + tau_0 * pair_log(b, a)
        if summed:
            terms[i] = wide_times(each, w[i])
        else:
            value[i] = times(each, w[i], w[i])
    return are_met(&checks)


cdef inline bint probability_derivatives(
    const Block *block, const Binary *given, bint hard, bint options, bint weighted, bint with_hessian,
    real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # The first derivative, and the second one if it is wanted. Probabilities of hard labels may be clipped; a block of
    # any labels with a clipped probability takes the general loop.
    cdef const real *p = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const real *factors = <const real *>block.factors
    cdef Binary loss = given[0]
    cdef real floor = <real>loss.floor
    cdef real q, u, a, tau_1, tau_0, slope, curvature
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(block.n)):
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
            in_unit(t[i] + 0, u, &checks)
            tau_1 = weighted_target(t[i], pos_weights[i], &loss) if options else t[i]
            tau_0 = weighted_target(u, <real>1, &loss) if options else u
            slope = pair_derivative(p[i], q, tau_1, tau_0, options, False)
            curvature = second_derivative(p[i], q, tau_1, tau_0)
        only_zero(slope - slope, &checks)  # 1 / p may overflow; NaN takes the general loop too
        if weighted:
            only_weight(w[i], &checks)
        gradient[i] = times(slope, w[i], factors[i]) if weighted else slope * <real>loss.factor
        if with_hessian:
            hessian[i] = times(curvature, w[i], w[i]) if weighted else curvature
    return are_met(&checks)


# ---------------------------------------------------------------- the loss of logits
#
# With e / n = exp(-|z|), the sigmoid of z and that of -z are n / (n + e) and e / (n + e), in this order if z > 0. Then
#     loss = (tau_1 + tau_0) log(1 + e / n) + (tau_0 if z > 0 else tau_1) |z|
#     first derivative = tau_0 sigmoid(z) - tau_1 sigmoid(-z)
#     second derivative = (tau_1 + tau_0) sigmoid(z) sigmoid(-z)
# The first logarithm is -log of the larger sigmoid.

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


cdef inline bint logit_terms(
    const Block *block, const Binary *given, bint options, bint summed, bint with_gradient,
    double *restrict terms, real *restrict value, real *restrict gradient
) noexcept nogil:
    # The weighted loss of each element, as in probability_terms, and the gradient
    cdef const real *z = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const real *factors = <const real *>block.factors
    cdef Binary loss = given[0]
    cdef real x, u, m, e, tau_1, tau_0, straight, each, larger, smaller, p, q
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(block.n)):
        x = absolute(z[i])
        u = <real>1 - t[i]
        only_ordinary(x, &checks)
        in_unit(t[i] + 0, u, &checks)
        only_weight(w[i], &checks)
        tau_1 = weighted_target(t[i], pos_weights[i], &loss) if options else t[i]
        tau_0 = weighted_target(u, <real>1, &loss) if options else u
        straight = tau_0 if z[i] > 0 else tau_1
        e = exp_fraction(-x, &m)
        each = log1p_fraction(m, e)
        each = fma(straight, x, each * (tau_1 + tau_0) if options else each)
        if summed:
            terms[i] = wide_times(each, w[i])
        else:
            value[i] = times(each, w[i], w[i])
        if with_gradient:
            larger = sigmoids(m, e, <real>1, &smaller)
            p = larger if z[i] > 0 else smaller
            q = smaller if z[i] > 0 else larger
            gradient[i] = times(fma(tau_0, p, -(tau_1 * q)), w[i], factors[i])
    return are_met(&checks)


cdef inline bint logit_derivatives(
    const Block *block, const Binary *given, bint options, bint weighted, bint with_hessian,
    real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # The first derivative, and the second one if it is wanted. For float the second one comes with the short form of
    # exp, so that the first derivative's bits may differ.
    cdef const real *z = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const real *factors = <const real *>block.factors
    cdef Binary loss = given[0]
    cdef real u, tau_1, tau_0, p, q, slope, curvature
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(block.n)):
        u = <real>1 - t[i]
        only_ordinary(z[i], &checks)
        in_unit(t[i] + 0, u, &checks)
        tau_1 = weighted_target(t[i], pos_weights[i], &loss) if options else t[i]
        tau_0 = weighted_target(u, <real>1, &loss) if options else u
        both_sigmoids(z[i], with_hessian, &p, &q)
        slope = fma(tau_0, p, -(tau_1 * q))
        curvature = q * ((tau_1 + tau_0) * p)
        if weighted:
            only_weight(w[i], &checks)
        gradient[i] = times(slope, w[i], factors[i]) if weighted else slope * <real>loss.factor
        if with_hessian:
            hessian[i] = times(curvature, w[i], w[i]) if weighted else curvature
    return are_met(&checks)


# ---------------------------------------------------------------- the focal loss of logits
#
# For a class with the probability q, r = 1 - q, l = -log q and R = r^gamma, the loss and its derivatives with respect
# to the logit of the class are
#     R l    -R (gamma q l + r)    R ((2 gamma + 1) r q + gamma q l (gamma q - r))
# All terms but the last have one sign, so that nothing cancels but there. R comes from r by multiplications and a
# square root, if gamma is a multiple of 1/2 below 8, else from log r by an exponential.

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
    const Block *block, const Binary *given, bint by_powers, bint hard, bint every, bint valued,
    double *restrict terms, real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # Weighted losses and first derivatives (valued), or both derivatives. Hard labels that are not smoothed need the
    # terms of one class. every: for every block, else return False if the block takes another loop.
    cdef const real *z = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const real *factors = <const real *>block.factors
    cdef const double *wide_factors = block.wide_factors
    cdef Binary loss = given[0]
    cdef double gamma = loss.gamma
    cdef real u, m, e, scale, curved, larger, smaller, p, q, up, down, tau_1, tau_0, weight
    cdef real value, slope, curvature, other, other_slope, other_curvature
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(block.n)):
        u = <real>1 - t[i]
        e = any_exp_fraction(-absolute(z[i]), False, &m, &scale) if every else exp_fraction(-absolute(z[i]), &m)
        if not every:
            scale = 1
            only_ordinary(z[i], &checks)
            in_unit(t[i] + 0, u, &checks)
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
        if hard:  # the label's class takes the place of class 1
            other = q if t[i] == 1 else p
            p = p if t[i] == 1 else q
            q = other
            other = up if t[i] == 1 else down
            down = down if t[i] == 1 else up
            up = other
            tau_1 = tau_1 if t[i] == 1 else tau_0
        value = focal_factor(q, up, curved, gamma, by_powers)
        value = class_focal(p, q, down + curved, value, gamma, &slope, &curvature)
        value *= tau_1
        slope *= tau_1
        curvature *= tau_1
        if hard:
            slope = -slope if t[i] == 1 else slope
        else:
            value = 0 if tau_1 == 0 else value  # 0 * inf = 0
            other = focal_factor(p, down, curved, gamma, by_powers)
            other = class_focal(q, p, up + curved, other, gamma, &other_slope, &other_curvature)
            other *= tau_0
            value += 0 if tau_0 == 0 else other
            slope = tau_0 * other_slope - slope
            curvature += tau_0 * other_curvature
        slope += 0  # not -0, in either loop
        if every:
            gradient[i] = wide_factor_times(slope, weight, wide_factors[i])
        else:
            gradient[i] = times(slope, weight, factors[i])
        if valued:
            terms[i] = wide_times(value, weight)
        else:
            hessian[i] = times(curvature, weight, weight)
    return are_met(&checks)


# ---------------------------------------------------------------- every block
#
# The same formulas for blocks that the loops above do not take: probabilities at or outside the clip with soft labels,
# -0, eps = 0, large and infinite logits, factors beyond float.

cdef bint is_valid(const Block *block, const Binary *loss, real unused) noexcept nogil:
    # Whether all predictions that are probabilities, all targets and all weights are in their domains. NaN is a legal
    # prediction or target. An element of weight 0 is not checked, nor is a prediction whose weighted targets are 0.
    cdef const real *x = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef bint probabilities = not loss.flags & LOGITS
    cdef bint checked = not loss.flags & KNOWN_WEIGHTS
    cdef double spread = loss.spread
    cdef real least, other, weight
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks)
    for i in range(padded(block.n)):
        least = x[i] if x[i] < 0 else 0  # a selection with NaN keeps the number in `least`
        other = <real>1 - x[i]
        least = other if other < least else least
        weight = pos_weights[i] if (t[i] == 1) & (spread == 0) else 1
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


cdef void any_probability_terms(
    const Block *block, const Binary *given, double *restrict terms, real unused
) noexcept nogil:
    cdef const real *p = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef Binary loss = given[0]
    cdef real low = <real>loss.eps
    cdef real q, a, b, tau_1, tau_0, loss_1, loss_0
    cdef Py_ssize_t i
    for i in range(padded(block.n)):
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
    const Block *block, const Binary *given, bint options, bint with_hessian, bint steep,
    real *restrict gradient, real *restrict hessian
) noexcept nogil:
    cdef const real *p = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const double *factors = block.wide_factors
    cdef Binary loss = given[0]
    cdef real low = <real>loss.eps
    cdef real floor = <real>loss.floor if loss.flags & ZERO_OUTSIDE else -1
    cdef real q, a, b, tau_1, tau_0, nearer, weight, slope, steep_slope
    cdef bint overflows
    cdef Py_ssize_t i
    for i in range(padded(block.n)):
        q = <real>1 - p[i]
        tau_1 = weighted_target(t[i], pos_weights[i], &loss)
        tau_0 = weighted_target(<real>1 - t[i], <real>1, &loss)
        a = low if p[i] <= low else p[i]
        b = low if q <= low else q
        a = clip_to(a, &loss)
        b = clip_to(b, &loss)
        nearer = p[i] if p[i] < q else q
        weight = 0 if (nearer < floor) | ((tau_1 == 0) & (tau_0 == 0)) else w[i]
        slope = pair_derivative(a, b, tau_1, tau_0, options, q < low)
        gradient[i] = wide_factor_times(slope, weight, factors[i])
        if steep:  # 1 / p may overflow, although its product with the factor does not
            steep_slope = pair_derivative(a, b, <real>(tau_1 * factors[i]), <real>(tau_0 * factors[i]), True, False)
            overflows = (absolute(slope) == INFINITY) & ((factors[i] != 0) | ((a > 0) & (b > 0)))
            steep_slope = steep_slope if overflows else gradient[i]
            gradient[i] = 0 if weight == 0 else steep_slope
        if with_hessian and steep:
            hessian[i] = wide_factor_times(<real>1, weight, steep_second_derivative(a, b, tau_1, tau_0) * w[i])
        elif with_hessian:
            hessian[i] = times(second_derivative(a, b, tau_1, tau_0), weight, w[i])


cdef inline void any_logit(
    const Block *block, const Binary *given, bint valued,
    double *restrict terms, real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # Weighted losses and first derivatives (valued), or both derivatives. Beyond 2^60 the loss is a product in double,
    # because it may exceed the range of float although its product with a weight does not.
    cdef const real *z = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const double *wide_factors = block.wide_factors
    cdef Binary loss = given[0]
    cdef real beyond = 1152921504606846976.0
    cdef real x, u, m, e, scale, tau_1, tau_0, straight, larger, smaller, p, q, weight
    cdef double wide, large
    cdef Py_ssize_t i
    for i in range(padded(block.n)):
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
        gradient[i] = wide_factor_times(fma(tau_0, p, -(tau_1 * q)), weight, wide_factors[i])
        if valued:
            wide = fma(straight, x, log1p_fraction(m, e * scale) * (tau_1 + tau_0))
            large = <double>straight * <double>x
            large = 0 if straight == 0 else large
            wide = large if x > beyond else wide
            wide = wide * <double>weight
            terms[i] = 0 if weight == 0 else wide
        else:
            hessian[i] = times(q * ((tau_1 + tau_0) * p), weight, weight)


# ---------------------------------------------------------------- which loop a block takes
#
# The inline functions here turn what is known at run time into constants of the loops, one question each.

cdef bint starts_hard(const real *t) noexcept nogil:
    # Whether the first vector of targets has labels 0 and 1 alone: then the loops for hard labels are tried.
    cdef int others = 0
    cdef Py_ssize_t i
    for i in range(SUM_LANES):
        others += (t[i] != 0) & (t[i] != 1)
    return others == 0


cdef inline bint has_options(const Binary *loss) noexcept nogil:
    return loss.flags & (SMOOTHED | POS_WEIGHT | POS_WEIGHTS) != 0


cdef inline bint sum_of(
    Py_ssize_t n, Block *block, const Binary *loss, int form, bint by_label, bint smoothed, int wanted, real unused
) noexcept nogil:
    cdef real *gradient = <real *>block.gradient
    if wanted & GRADIENT:
        return product_sum(n, block, loss, form, by_label, smoothed, True, &block.sum, gradient)
    return product_sum(n, block, loss, form, by_label, smoothed, False, &block.sum, gradient)


cdef bint sum_by_products(
    Py_ssize_t n, Block *block, const Binary *loss, bint hard, int wanted, real unused
) noexcept nogil:
    cdef bint by_label = loss.flags & POS_WEIGHT
    cdef bint smoothed = loss.flags & SMOOTHED
    if by_label and not hard:
        return False
    if loss.flags & LOGITS:
        if by_label:
            return sum_of(n, block, loss, LOGIT_FORM, True, True, wanted, unused)
        if smoothed:
            return sum_of(n, block, loss, LOGIT_FORM, False, True, wanted, unused)
        return sum_of(n, block, loss, LOGIT_FORM, False, False, wanted, unused)
    if hard and by_label:
        return not smoothed and sum_of(n, block, loss, LABEL_FORM, True, False, wanted, unused)
    if hard and smoothed:
        return sum_of(n, block, loss, LABEL_FORM, False, True, wanted, unused)
    if hard:
        return sum_of(n, block, loss, LABEL_FORM, False, False, wanted, unused)
    if loss.flags & SUBNORMAL:
        return False
    if smoothed:
        return sum_of(n, block, loss, SOFT_FORM, False, True, wanted, unused)
    return sum_of(n, block, loss, SOFT_FORM, False, False, wanted, unused)


cdef inline bint terms_of(
    const Block *block, const Binary *loss, bint hard, bint summed, bint with_gradient, double *terms, real unused
) noexcept nogil:
    cdef real *value = <real *>block.value
    cdef real *gradient = <real *>block.gradient
    if not loss.flags & LOGITS:
        if hard:
            return probability_terms(block, loss, True, summed, terms, value)
        return probability_terms(block, loss, False, summed, terms, value)
    if has_options(loss):
        return logit_terms(block, loss, True, summed, with_gradient, terms, value, gradient)
    return logit_terms(block, loss, False, summed, with_gradient, terms, value, gradient)


cdef inline bint gradient_terms(
    const Block *block, const Binary *loss, bint hard, bint summed, int wanted, double *terms, real unused
) noexcept nogil:
    if wanted & GRADIENT and loss.flags & LOGITS:
        return terms_of(block, loss, hard, summed, True, terms, unused)
    return terms_of(block, loss, hard, summed, False, terms, unused)


cdef bint losses(Block *block, const Binary *loss, bint hard, int wanted, real unused) noexcept nogil:
    # Weighted losses by a logarithm each, and for logits the gradient
    cdef double terms[ELEMENTS]
    cdef bint fine
    if wanted & VALUE_EACH:
        return gradient_terms(block, loss, hard, False, wanted, terms, unused)
    fine = gradient_terms(block, loss, hard, True, wanted, terms, unused)
    block.sum = lane_sum(padded(block.n), &terms[0])
    return fine


cdef inline bint derivatives_of(
    const Block *block, const Binary *loss, bint hard, bint with_hessian, real unused
) noexcept nogil:
    cdef bint options = has_options(loss)
    cdef real *gradient = <real *>block.gradient
    cdef real *hessian = <real *>block.hessian
    if loss.flags & LOGITS:
        if options:
            return logit_derivatives(block, loss, True, True, with_hessian, gradient, hessian)
        if block.weighted:
            return logit_derivatives(block, loss, False, True, with_hessian, gradient, hessian)
        return logit_derivatives(block, loss, False, False, with_hessian, gradient, hessian)
    if options:
        return probability_derivatives(block, loss, False, True, True, with_hessian, gradient, hessian)
    if block.weighted:
        return probability_derivatives(block, loss, False, False, True, with_hessian, gradient, hessian)
    if hard and not loss.flags & ZERO_OUTSIDE:
        return probability_derivatives(block, loss, True, False, False, with_hessian, gradient, hessian)
    return probability_derivatives(block, loss, False, False, False, with_hessian, gradient, hessian)


cdef bint derivatives(const Block *block, const Binary *loss, bint hard, int wanted, real unused) noexcept nogil:
    if wanted & HESSIAN:
        return derivatives_of(block, loss, hard, True, unused)
    return derivatives_of(block, loss, hard, False, unused)


cdef void finish_losses(Block *block, int wanted, const double *terms, real unused) noexcept nogil:
    cdef real *value = <real *>block.value
    cdef Py_ssize_t i
    if wanted & VALUE_SUM:
        block.sum = lane_sum(padded(block.n), terms)
    elif wanted & VALUE_EACH:
        for i in range(padded(block.n)):
            value[i] = <real>terms[i]


cdef inline bint focal_of(
    const Block *block, const Binary *loss, bint hard, bint every, bint valued, double *terms, real *gradient,
    real *hessian
) noexcept nogil:
    if loss.gamma < 8 and 2 * loss.gamma == <int>(2 * loss.gamma):
        return focal(block, loss, True, hard, every, valued, terms, gradient, hessian)
    return focal(block, loss, False, hard, every, valued, terms, gradient, hessian)


cdef inline bint focal_kind(
    const Block *block, const Binary *loss, bint hard, bint every, int wanted, double *terms, real *gradient,
    real *hessian
) noexcept nogil:
    if wanted & HESSIAN:
        return focal_of(block, loss, hard, every, False, terms, gradient, hessian)
    return focal_of(block, loss, hard, every, True, terms, gradient, hessian)


cdef bint focal_block(Block *block, const Binary *loss, bint every, int wanted, real unused) noexcept nogil:
    cdef double terms[ELEMENTS]
    cdef real unwanted[ELEMENTS]
    cdef real *gradient = <real *>block.gradient if wanted & GRADIENT else &unwanted[0]
    cdef real *hessian = <real *>block.hessian
    cdef bint fine = False
    if every:
        fine = focal_kind(block, loss, False, True, wanted, terms, gradient, hessian)
    elif not loss.flags & SMOOTHED and starts_hard(<const real *>block.targets):
        fine = focal_kind(block, loss, True, False, wanted, terms, gradient, hessian)
    if not fine:
        fine = focal_kind(block, loss, False, False, wanted, terms, gradient, hessian)
    finish_losses(block, wanted, &terms[0], unused)
    return fine


cdef inline void any_derivatives(
    const Block *block, const Binary *loss, bint options, int wanted, real *buffer
) noexcept nogil:
    # Steep losses always take the loop for both derivatives. The buffer takes a second derivative that is not wanted.
    cdef real *gradient = <real *>block.gradient
    cdef real *hessian = <real *>block.hessian if wanted & HESSIAN else buffer
    if loss.flags & STEEP:
        any_probability_derivatives(block, loss, options, True, True, gradient, hessian)
    elif wanted & HESSIAN:
        any_probability_derivatives(block, loss, options, True, False, gradient, hessian)
    else:
        any_probability_derivatives(block, loss, options, False, False, gradient, hessian)


cdef void any_block(Block *block, const Binary *loss, int wanted, real unused) noexcept nogil:
    cdef double terms[ELEMENTS]
    cdef real unwanted[ELEMENTS]
    cdef real *gradient = <real *>block.gradient if wanted & GRADIENT else &unwanted[0]
    if loss.gamma != 0:
        focal_block(block, loss, True, wanted, unused)
        return
    if loss.flags & LOGITS:
        if wanted & HESSIAN:
            any_logit(block, loss, False, terms, gradient, <real *>block.hessian)
        else:
            any_logit(block, loss, True, terms, gradient, <real *>NULL)
    elif wanted & (VALUE_SUM | VALUE_EACH):
        any_probability_terms(block, loss, &terms[0], unused)
    elif has_options(loss):
        any_derivatives(block, loss, True, wanted, &unwanted[0])
    else:
        any_derivatives(block, loss, False, wanted, &unwanted[0])
    finish_losses(block, wanted, &terms[0], unused)


cdef inline void advance(Block *block, Py_ssize_t first, real unused) noexcept nogil:
    # Leave out the first elements.
    block.n -= first
    block.x = <const real *>block.x + first
    block.targets = <const real *>block.targets + first
    block.pos_weights = <const real *>block.pos_weights + first
    block.weights = <const real *>block.weights + first
    block.factors = <const real *>block.factors + first
    block.wide_factors += first
    block.value = <real *>block.value + first
    block.gradient = <real *>block.gradient + first
    block.hessian = <real *>block.hessian + first


cdef bint sum_with_tail(Block *block, const Binary *loss, bint hard, int wanted, real unused) noexcept nogil:
    # The sum of a block without weights, by products over whole vectors. The last elements, which do not fill a vector,
    # are added as weighted losses: the weights of the padding are 0.
    cdef Block tail = block[0]
    cdef Py_ssize_t whole = block.n & -SUM_LANES
    cdef bint fine = True
    block.sum = 0
    if whole < block.n and loss.flags & SUBNORMAL:
        return False
    if whole > 0:
        fine = sum_by_products(whole, block, loss, hard, wanted, unused)
    if fine and whole < block.n:
        advance(&tail, whole, unused)
        tail.weighted = True
        fine = losses(&tail, loss, False, wanted, unused)
        block.sum += tail.sum
        if fine and wanted & GRADIENT and not loss.flags & LOGITS and (
            not derivatives(&tail, loss, False, GRADIENT, unused)
        ):
            any_block(&tail, loss, GRADIENT, unused)
    return fine


cdef bint fast_sum(Block *block, const Binary *loss, bint hard, int wanted, real unused) noexcept nogil:
    if not wanted & VALUE_SUM or loss.flags & (NO_PRODUCTS | POS_WEIGHTS):
        return False
    if block.weighted and not all_ones(<const real *>block.weights, block.n):
        return False
    return (hard and sum_with_tail(block, loss, True, wanted, unused)) or (
        sum_with_tail(block, loss, False, wanted, unused)
    )


cdef int logit_block(Block *block, const Binary *loss, int wanted, real unused) noexcept nogil:
    cdef bint hard = starts_hard(<const real *>block.targets)
    cdef bint fine = False
    if wanted and not block.is_wide and not loss.flags & ONLY_GENERAL:
        if loss.gamma != 0:
            fine = focal_block(block, loss, False, wanted, unused)
        elif wanted & (VALUE_SUM | VALUE_EACH):
            fine = fast_sum(block, loss, hard, wanted, unused) or losses(block, loss, False, wanted, unused)
        else:
            fine = derivatives(block, loss, False, wanted, unused)
    if not fine and not is_valid(block, loss, unused):
        return BAD
    if not fine and wanted:
        any_block(block, loss, wanted, unused)
    return SOFT


cdef int probability_block(Block *block, const Binary *loss, int wanted, real unused) noexcept nogil:
    # Losses and derivatives choose their loops apart, so that a sum has the same bits whatever else is wanted.
    cdef bint hard = starts_hard(<const real *>block.targets)
    cdef int valued = wanted & (VALUE_SUM | VALUE_EACH)
    cdef int derived = wanted ^ valued
    cdef bint apart = block.is_wide or loss.flags & ZERO_OUTSIDE
    if valued and not loss.flags & ONLY_GENERAL:
        if fast_sum(block, loss, hard, valued if apart else wanted, unused):
            derived = derived if apart else 0
            valued = 0
        elif not loss.flags & SUBNORMAL and (
            (hard and not loss.flags & SMOOTHED and losses(block, loss, True, valued, unused))
            or losses(block, loss, False, valued, unused)
        ):
            valued = 0
    if derived and not block.is_wide and not loss.flags & ONLY_GENERAL and not (
        derived & HESSIAN and loss.flags & STEEP
    ):
        if (hard and derivatives(block, loss, True, derived, unused)) or (
            derivatives(block, loss, False, derived, unused)
        ):
            derived = 0
    if (valued or derived or not wanted) and not is_valid(block, loss, unused):
        return BAD
    if valued:
        any_block(block, loss, valued, unused)
    if derived:
        any_block(block, loss, derived, unused)
    return SOFT


cdef int binary_block(Block *block, const Binary *loss, int wanted, real unused) noexcept nogil:
    # One block of a binary loss: its sum, and what else is wanted. Return BAD if an input is outside its domain.
    # `wanted` is 0 for a check alone; a value and a Hessian are not wanted together.
    if loss.flags & LOGITS:
        return logit_block(block, loss, wanted, unused)
    return probability_block(block, loss, wanted, unused)


cdef void set_binary(
    Binary *loss, double eps, double pos_weight, double smoothing, double gamma, double factor, int flags, real unused
) noexcept nogil:
    # The constants of a loss. The caller sets these flags: LOGITS, ZERO_OUTSIDE, POS_WEIGHT, POS_WEIGHTS and with it
    # STEEP, ONLY_GENERAL if a pos_weight is 0, KNOWN_WEIGHTS. For float, eps, pos_weight and smoothing must be in
    # [2^-60, 2^60] or, but for eps, 0. eps of logits is not read.
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
