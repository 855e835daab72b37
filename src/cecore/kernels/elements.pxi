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
# A float loss or derivative is multiplied by its weight or factor in double, so that nothing overflows or vanishes on
# the way to a result that does not.

cdef enum:
    ELEMENTS = 512  # in a block, at most
    PRODUCTS = ELEMENTS // 16  # of each kind in a block
    LANES_MOST = 16

cdef enum:  # what is wanted of a block; GRADIENT and HESSIAN come with them
    VALUE_SUM = 1
    VALUE_EACH = 8

cdef enum:  # properties of a binary loss that choose the loop
    SMOOTHED = 1
    POS_WEIGHT = 2  # one number
    POS_WEIGHTS = 4  # one for each element
    ZERO_OUTSIDE = 8  # the gradient is 0 where the probability is clipped
    ONLY_GENERAL = 16  # eps is 0 or subnormal, or a pos_weight is 0
    NO_PRODUCTS = 32  # eps is too small for products of probabilities

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

cdef struct Block:  # the arrays of a block; all but the factors are of the computing type
    Py_ssize_t n
    bint weighted  # weights or factors differ
    const void *x
    const void *targets
    const void *pos_weights  # for each element; read if POS_WEIGHT or POS_WEIGHTS is set
    const void *weights  # 1 if there are none, 0 in the padding
    const double *factors  # of the gradient, with 24 bits for float
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


cdef inline real log_ratio(real a, real b) noexcept nogil:
    if real is double:
        return cecore_log_ratio(a, b)
    else:
        return cecore_log_ratiof(a, b)


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


cdef inline real any_exp_fraction(real x, real *n, real *scale) noexcept nogil:
    if real is double:
        return cecore_any_exp_fraction(x, n, scale)
    else:
        return cecore_any_exp_fractionf(x, n, scale)


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


cdef inline void note(real x, uint64_t *wide, uint32_t *narrow) noexcept nogil:
    # Collect the bits of a number: the sign bit tells later that one of the numbers was negative, or -0.
    if real is double:
        wide[0] |= cecore_bits(x)
    else:
        narrow[0] |= cecore_bitsf(x)


cdef inline real ordinary_logit(real unused) noexcept nogil:
    if real is double:
        return CECORE_ORDINARY
    else:
        return CECORE_ORDINARYF


cdef inline real weighted_target(real t, real pos_weight, const Binary *loss) noexcept nogil:
    return pos_weight * fma(<real>loss.keep, t, <real>loss.spread)


cdef inline real clipped(real p, const Binary *loss) noexcept nogil:
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
    uint64_t wide_signs[LANES_MOST]  # bits of numbers that must not be negative
    uint32_t narrow_signs[LANES_MOST]
    uint64_t wide_zeros[LANES_MOST]  # bits of numbers that must be 0
    uint32_t narrow_zeros[LANES_MOST]

cdef struct Collected:  # the same of a block
    double product[KINDS][PRODUCTS]
    double complement[KINDS][PRODUCTS]
    double straight[LANES_MOST]
    Py_ssize_t count  # of products of each kind
    uint64_t signs
    uint64_t zeros


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


cdef inline void clear_checks(Lanes *lanes, real unused) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(product_lanes(unused)):
        lanes.wide_signs[j] = lanes.wide_zeros[j] = 0
        lanes.narrow_signs[j] = lanes.narrow_zeros[j] = 0


cdef inline void collect_checks(Collected *block, const Lanes *lanes, real unused) noexcept nogil:
    cdef uint64_t signs = 0
    cdef uint64_t zeros = 0
    cdef uint32_t narrow_signs = 0
    cdef uint32_t narrow_zeros = 0
    cdef Py_ssize_t j
    for j in range(product_lanes(unused)):
        if real is double:
            signs |= lanes.wide_signs[j]
            zeros |= lanes.wide_zeros[j]
        else:
            narrow_signs |= lanes.narrow_signs[j]
            narrow_zeros |= lanes.narrow_zeros[j]
    block.signs |= signs | <uint64_t>narrow_signs << 32
    block.zeros |= zeros | narrow_zeros
    block.count += product_lanes(unused)


cdef double pair_logs(const Collected *block, int kind) noexcept nogil:
    # The sum of -log of the products of a kind
    cdef double lanes[8]
    cdef Py_ssize_t i, j
    for j in range(8):
        lanes[j] = 0
    for i in range(block.count // 8):
        for j in range(8):
            lanes[j] += cecore_pair_log(block.product[kind][8 * i + j], block.complement[kind][8 * i + j])
    return join_lanes(&lanes[0])


# ---------------------------------------------------------------- the loss of probabilities

cdef inline real pair_derivative(
    real p, real q, real tau_1, real tau_0, real *p_inverse, real *q_inverse
) noexcept nogil:
    # The derivative tau_0 / q - tau_1 / p of a loss with respect to its clipped probability p, q the complement, in
    # one division: (tau_0 p - tau_1 q) / (p q). If a weighted target is 0, its probability counts as 1. The derivative
    # of a hard label is then -tau_1 / p or tau_0 / q. Error below 2.5 ULP of the larger term.
    cdef real inverse
    p = 1 if tau_1 == 0 else p
    q = 1 if tau_0 == 0 else q
    inverse = <real>1 / (p * q)
    p_inverse[0] = q * inverse
    q_inverse[0] = p * inverse
    return fma(tau_0, p, -(tau_1 * q)) * inverse


cdef inline real label_derivative(real p, real q, bint is_one, bint smoothed, const Binary *loss) noexcept nogil:
    # The same, to the bit, for a hard label. p and q are clipped; if not smoothed, both are the label's probability.
    cdef real tau_1, tau_0
    if smoothed:
        tau_1 = <real>loss.tau_1[1] if is_one else <real>loss.tau_1[0]
        tau_0 = <real>loss.tau_0[1] if is_one else <real>loss.tau_0[0]
        return fma(tau_0, p, -(tau_1 * q)) * (<real>1 / (p * q))
    tau_1 = -<real>loss.tau_1[1] if is_one else 1
    return tau_1 * (<real>1 / p)


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
        note(p[j], &lanes.wide_signs[j], &lanes.narrow_signs[j])
        note(q, &lanes.wide_signs[j], &lanes.narrow_signs[j])
        note(fma(y[j], y[j], -y[j]), &lanes.wide_zeros[j], &lanes.narrow_zeros[j])
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
                clipped_p = clipped(p[j], loss)
                clipped_q = clipped(q, loss)
            else:
                clipped_p = p[j] if y[j] == 1 else q
                clipped_p = clipped_q = clipped(clipped_p, loss)
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
    block.signs = block.zeros = 0
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
    return block.signs >> 63 == 0 and block.zeros == 0
