# Fused loops over blocks of elements: the two binary losses, sigmoid and its relatives.
#
# A loss is weighted_1 L_1 + weighted_0 L_0, where L_1 is the loss of the label 1 and L_0 that of the label 0. The
# weighted targets are
#     weighted_1 = pos_weight (keep t + spread)    weighted_0 = keep (1 - t) + spread
# with keep = 1 - smoothing and spread = smoothing / 2. Without options they are t and 1 - t.
#
# All losses have one loop, `elements`. It checks the inputs of its block, and computes what is wanted: the terms of the
# losses, the first derivatives, the second derivatives. The bits of its parameter `form` are constants, so that each
# form is a loop of its own in machine code. The functions `..._forms` list the forms that exist. A form collects its
# checks as bits, which are read once, when the block is done: if they say that the form does not fit the block, its
# results are void and the next form is tried. The last form, EVERY, fits every block. Between two forms of which a
# neighbour's value decides, an element has the same bits.
#
# A sum of losses without weights has a faster loop, product_sum: there one logarithm serves many elements.
#
# Inputs are padded to whole vectors of SUM_LANES elements: t = 1, the prediction is legal, and weight and factor are 0.
# A loop computes whole vectors; each output has the room.
#
# A factor of the gradient is the product of weight, upstream and scale, computed in double and rounded to the
# significand of the computing type, but not to its range. A derivative times a factor is rounded once. If float does
# not hold a factor, the block takes the form EVERY, which multiplies in double: float products have the same bits
# there, and no product overflows unless the result does. Terms are products in double for the same reason.

cdef enum:
    ELEMENTS = 512  # in a block, at most
    MOST_LANES = 16
    SHORT_SUM = 4  # vectors whose terms are added in float
    PRODUCTS = ELEMENTS // 16  # of each kind in a block

cdef enum:  # bits of a form, next to VALUE, GRADIENT and HESSIAN
    PLAIN = 8  # no weights and no options: the targets are the weighted targets, and all factors are one number
    HARD = 16  # labels 0 and 1 without smoothing: one of the weighted targets is 0
    EVERY = 32
    STEEP_FORM = 64  # for losses that are STEEP
    BY_POWERS = 128  # focal: gamma is a multiple of 1/2 below 8
    LOGIT_FORM = 256
    FOCAL_FORM = 512
    BY_LABEL = 1024  # products: a pos_weight and hard labels
    SMOOTHED = 2048  # products of probabilities with hard labels

cdef enum:  # properties of a binary loss that choose the form
    LOGITS = 1
    POS_WEIGHT = 4  # one number
    POS_WEIGHTS = 8  # one for each element
    ZERO_OUTSIDE = 16  # the gradient is 0 where the probability is clipped
    ONLY_GENERAL = 32  # eps is above 1/4, or a pos_weight is 0: only the form EVERY
    NO_PRODUCTS = 64  # eps is too small for products of float probabilities
    SUBNORMAL = 128  # eps is 0 or subnormal, and so may be the arguments of logarithms
    STEEP = 256  # 1 / p^2 may leave the range of the type: second derivatives take two divisions in double
    KNOWN_WEIGHTS = 512  # weights are valid, though a product of two of them may be infinite

cdef struct Binary:  # the constants of a binary loss
    double eps  # probabilities are clipped to [eps, top]
    double top  # 1 - eps
    double floor  # the least number of the computing type that is not below eps
    double pos_weight  # 1 if there is one for each element
    double label_1[2]  # weighted_1 of the labels 0 and 1, in the computing type
    double label_0[2]
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
    const double *wide_factors  # the same; read by the form EVERY
    void *value  # these three have room for a block, wanted or not
    void *gradient
    void *hessian
    double *terms  # of the form EVERY: losses times weights
    double sum

cdef struct Checks:  # bits that a loop collects in each lane, of double and of float
    uint64_t signs[MOST_LANES]  # of numbers that must not be negative; the sign bit alone counts
    uint32_t short_signs[MOST_LANES]
    uint64_t zeros[MOST_LANES]  # of numbers that must be 0
    uint32_t short_zeros[MOST_LANES]


# ---------------------------------------------------------------- checks

cdef inline void clear(Checks *checks, Py_ssize_t lanes) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(lanes):
        checks.signs[j] = checks.zeros[j] = 0
        checks.short_signs[j] = checks.short_zeros[j] = 0


cdef inline bint are_met(const Checks *checks, Py_ssize_t lanes) noexcept nogil:
    cdef uint64_t signs = 0
    cdef uint64_t zeros = 0
    cdef uint32_t short_signs = 0
    cdef uint32_t short_zeros = 0
    cdef Py_ssize_t j
    for j in range(lanes):
        signs |= checks.signs[j]
        zeros |= checks.zeros[j]
        short_signs |= checks.short_signs[j]
        short_zeros |= checks.short_zeros[j]
    return (signs >> 63 | short_signs >> 31 | zeros | short_zeros) == 0


cdef inline void not_negative(real x, Checks *checks, Py_ssize_t j) noexcept nogil:
    # Note a number that must not be negative, nor -0. NaN is noted only if its sign bit is set.
    if real is double:
        checks.signs[j] |= cecore_bits(x)
    else:
        checks.short_signs[j] |= cecore_bitsf(x)


cdef inline void only_zero(real x, Checks *checks, Py_ssize_t j) noexcept nogil:
    if real is double:
        checks.zeros[j] |= cecore_bits(x)
    else:
        checks.short_zeros[j] |= cecore_bitsf(x)


cdef inline void in_unit(real x, real complement, Checks *checks, Py_ssize_t j) noexcept nogil:
    # A target of -0 is the label 0: callers add 0, which makes it +0.
    not_negative(x, checks, j)
    not_negative(complement, checks, j)


cdef inline void only_label(real y, Checks *checks, Py_ssize_t j) noexcept nogil:
    # y^2 - y is 0 for the labels 0 and 1 alone.
    only_zero(fma(y, y, -y), checks, j)


cdef inline void only_weight(real w, Checks *checks, Py_ssize_t j) noexcept nogil:
    # w - w is 0 for a finite number, else NaN.
    not_negative(w, checks, j)
    only_zero(w - w, checks, j)


cdef inline void only_ordinary(real z, Checks *checks, Py_ssize_t j) noexcept nogil:
    # Logits whose exponentials are normal numbers; NaN passes.
    not_negative(ordinary_logit(<real>0) - absolute(z), checks, j)


cdef inline real lesser(real x, real y) noexcept nogil:
    # x if y is NaN
    return y if y < x else x


cdef bint is_valid(const Block *block, const Binary *loss, real of_type) noexcept nogil:
    # Whether all predictions that are probabilities, all targets and all weights are in their domains. NaN is a legal
    # prediction or target. An element of weight 0 is not checked, nor is a prediction whose weighted targets are 0.
    cdef const real *x = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef real read = 0 if loss.flags & LOGITS else 1
    cdef bint known = loss.flags & KNOWN_WEIGHTS
    cdef double spread = loss.spread
    cdef real p, least, weight
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks, 1)
    for i in range(padded(block.n)):
        weight = pos_weights[i] if (t[i] == 1) & (spread == 0) else 1
        p = 0 if weight * read == 0 else x[i]
        least = lesser(lesser(<real>0, p), <real>1 - p)
        least = lesser(lesser(least, t[i]), <real>1 - t[i])
        least = 0 if w[i] == 0 else least
        weight = w[i] if w[i] - w[i] == 0 else -1  # NaN and infinity
        weight = 0 if known else weight
        least = 1 if lesser(least, weight) < 0 else 0
        only_zero(least, &checks, 0)
    return are_met(&checks, 1)


# ---------------------------------------------------------------- weights and factors

cdef inline real smoothed(real t, const Binary *loss) noexcept nogil:
    return fma(<real>loss.keep, t, <real>loss.spread)


cdef inline real times(real value, real w, real factor) noexcept nogil:
    # The product with a weight or factor; 0 if the element counts for nothing, even if it is NaN
    value *= factor
    return 0 if w == 0 else value


cdef inline double wide_times(double value, real w) noexcept nogil:
    # The product with a weight in double; 0 if either is 0
    cdef double product = value * w
    product = 0 if value == 0 else product
    return 0 if w == 0 else product


cdef inline real times_factor(
    real derivative, real w, real factor, double wide_factor, const Binary *loss, int form
) noexcept nogil:
    # The gradient of an element from its derivative
    if form & PLAIN:
        return derivative * <real>loss.factor
    if form & EVERY:
        return <real>(0 if w == 0 else <double>derivative * wide_factor)
    return times(derivative, w, factor)


# ---------------------------------------------------------------- the loss of probabilities
#
# With the probability p clipped to [eps, 1 - eps], and q = 1 - p, which is clipped apart and so keeps its accuracy,
#     loss = -weighted_1 log p - weighted_0 log q
#     first derivative = weighted_0 / q - weighted_1 / p
#     second derivative = weighted_1 / p^2 + weighted_0 / q^2
# A term whose weighted target is 0 is 0.

cdef inline real clip_to(real p, const Binary *loss) noexcept nogil:
    # The two selections keep NaN.
    cdef real low = <real>loss.eps
    cdef real high = <real>loss.top
    p = low if p < low else p
    return high if p > high else p


cdef inline real pair_loss(real p, real q, real weighted_1, real weighted_0) noexcept nogil:
    # The loss of any probabilities, 0 too
    weighted_1 = times(any_pair_log(p, q), weighted_1, weighted_1)
    return weighted_1 + times(any_pair_log(q, p), weighted_0, weighted_0)


cdef inline real pair_derivative(real p, real q, real weighted_1, real weighted_0) noexcept nogil:
    # The first derivative in one division: (weighted_0 p - weighted_1 q) / (p q). If a weighted target is 0, its
    # probability counts as 1, and the derivative of a hard label is -weighted_1 / p or weighted_0 / q. Error below
    # 3 ULP of the larger term.
    p = 1 if weighted_1 == 0 else p
    q = 1 if weighted_0 == 0 else q
    return fma(weighted_0, p, -(weighted_1 * q)) / (p * q)


cdef inline real pair_curvature(real p, real q, real weighted_1, real weighted_0) noexcept nogil:
    # The second derivative in one division. Error below 5 ULP.
    cdef real inverse
    p = 1 if weighted_1 == 0 else p
    q = 1 if weighted_0 == 0 else q
    inverse = <real>1 / (p * q)
    q *= inverse  # 1 / p
    p *= inverse  # 1 / q
    return weighted_1 * q * q + weighted_0 * p * p


cdef inline real steep_curvature(real p, real q, real weighted_1, real weighted_0, real w) noexcept nogil:
    # The second derivative of a steep loss times the weight, for any p and q: 0 gives infinity
    cdef double p_part = <double>weighted_1 / <double>p / <double>p
    cdef double q_part = <double>weighted_0 / <double>q / <double>q
    p_part = 0 if weighted_1 == 0 else p_part
    q_part = 0 if weighted_0 == 0 else q_part
    return 0 if w == 0 else <real>((p_part + q_part) * w)


cdef inline real overflowed(
    real gradient, real derivative, real p, real q, real weighted_1, real weighted_0, double factor
) noexcept nogil:
    # The gradient of a steep loss: a derivative may overflow, although its product with the factor does not.
    cdef real other = pair_derivative(p, q, <real>(weighted_1 * factor), <real>(weighted_0 * factor))
    return other if (absolute(derivative) == INFINITY) & ((factor != 0) | ((p > 0) & (q > 0))) else gradient


cdef inline real label_terms(
    real p, real q, real pos_weight, bint is_one, const Binary *loss, real *derivative, real *curvature
) noexcept nogil:
    # The loss of a hard label and its derivatives, by one logarithm and one division
    cdef real label = clip_to(p if is_one else q, loss)
    cdef real other = clip_to(q if is_one else p, loss)
    cdef real weighted = pos_weight if is_one else 1
    derivative[0] = (-weighted if is_one else weighted) / label
    curvature[0] = derivative[0] * derivative[0]
    return pair_log(label, other) * weighted


cdef inline real probability_terms(
    real p, real q, real weighted_1, real weighted_0, int form, real *derivative, real *curvature
) noexcept nogil:
    # The loss of an element with clipped probabilities, and its derivatives
    derivative[0] = pair_derivative(p, q, weighted_1, weighted_0)
    curvature[0] = pair_curvature(p, q, weighted_1, weighted_0)
    if form & EVERY:
        return pair_loss(p, q, weighted_1, weighted_0)
    return weighted_1 * pair_log(p, q) + weighted_0 * pair_log(q, p)


# ---------------------------------------------------------------- the loss of logits
#
# With e / n = exp(-|z|), the sigmoid p of z and the sigmoid q of -z are n / (n + e) and e / (n + e), in this order if
# z > 0. Then
#     loss = (weighted_1 + weighted_0) log(1 + e / n) + (weighted_0 if z > 0 else weighted_1) |z|
#     first derivative = weighted_0 p - weighted_1 q
#     second derivative = (weighted_1 + weighted_0) p q
# The first logarithm, `curved`, is -log of the larger sigmoid.

cdef inline void sigmoid_parts(
    real z, bint every, bint short_form, real *p, real *q, real *curved
) noexcept nogil:
    # For float the short form has bits of its own, and it has no logarithm unless it is for every z.
    cdef real n, e, larger, smaller
    cdef real scale = 1
    if short_form and not every:  # from z itself, as for -|z| both parts of the fraction change places exactly
        e = exp_short_fraction(-z, &n)
        p[0] = sigmoids(n, e, scale, q)
        return
    e = any_exp_fraction(-absolute(z), short_form, &n, &scale) if every else exp_fraction(-absolute(z), &n)
    curved[0] = log1p_fraction(n, e * scale)
    larger = sigmoids(n, e, scale, &smaller)
    p[0] = larger if z > 0 else smaller
    q[0] = smaller if z > 0 else larger


cdef inline double wide_loss(real loss, real z, real weighted_1, real weighted_0) noexcept nogil:
    # Beyond 2^60 the loss of a logit is a product in double, because it may exceed the range of float although its
    # product with a weight does not.
    cdef double straight = weighted_0 if z > 0 else weighted_1
    cdef double product = straight * absolute(z)
    product = 0 if straight == 0 else product
    return product if absolute(z) > <real>1152921504606846976.0 else loss


cdef inline real logit_terms(
    real z, real weighted_1, real weighted_0, real both, int form, real *derivative, real *curvature
) noexcept nogil:
    # The loss of an element and its derivatives; `both` is weighted_1 + weighted_0. For float the second derivative
    # comes with the short form of exp, so that the first derivative's bits may differ.
    cdef bint short_form = not form & VALUE if real is double else form & HESSIAN
    cdef real p, q
    cdef real curved = 0
    cdef real straight = weighted_0 if z > 0 else weighted_1
    sigmoid_parts(z, form & EVERY, short_form, &p, &q, &curved)
    derivative[0] = fma(weighted_0, p, -(weighted_1 * q))
    curvature[0] = q * (both * p)
    return fma(straight, absolute(z), curved * both)


# ---------------------------------------------------------------- the focal loss of logits
#
# For a class with the probability q, r = 1 - q, l = -log q and R = r^gamma, the loss and its derivatives with respect
# to the logit of the class are
#     R l    -R (gamma q l + r)    R ((2 gamma + 1) r q + gamma q l (gamma q - r))
# All terms but the last have one sign, so that nothing cancels but there. R comes from r by multiplications and a
# square root, if gamma is a multiple of 1/2 below 8, else from log r by an exponential.

cdef inline real focal_factor(real r, real straight, real curved, double gamma, int form) noexcept nogil:
    # r^gamma, for -log r = straight + curved
    cdef real value, square
    cdef int halves
    if not form & BY_POWERS:
        return exp_of_product(gamma, straight, curved)
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
    real q, real r, real l, real power, double gamma, real *derivative, real *curvature
) noexcept nogil:
    # Return the loss of a class; minus its derivative and its second derivative go to the pointers.
    cdef real g = <real>gamma
    cdef real product = q * l
    product = 0 if q == 0 else product
    derivative[0] = power * fma(g, product, r)
    curvature[0] = power * fma(<real>(2 * gamma + 1), r * q, (g * product) * fma(g, q, -r))
    return power * l


cdef inline real focal_terms(
    real z, real weighted_1, real weighted_0, double gamma, int form, real *derivative, real *curvature
) noexcept nogil:
    # The loss of an element and its derivatives. A hard label needs the terms of its class alone.
    cdef real p, q, curved, other, other_derivative, other_curvature, value
    cdef real up = z if z > 0 else 0  # -log q = up + curved, -log p = down + curved
    cdef real down = -z if z < 0 else 0
    cdef bint is_one = weighted_0 == 0
    sigmoid_parts(z, form & EVERY, False, &p, &q, &curved)
    if form & HARD:  # the label's class takes the place of class 1
        other = q if is_one else p
        p = p if is_one else q
        q = other
        other = up if is_one else down
        down = down if is_one else up
        up = other
        weighted_1 += weighted_0
    value = class_focal(p, q, down + curved, focal_factor(q, up, curved, gamma, form), gamma, derivative, curvature)
    value *= weighted_1
    derivative[0] *= weighted_1
    curvature[0] *= weighted_1
    if form & HARD:
        derivative[0] = -derivative[0] if is_one else derivative[0]
    else:
        other = focal_factor(p, down, curved, gamma, form)
        other = class_focal(q, p, up + curved, other, gamma, &other_derivative, &other_curvature)
        value = 0 if weighted_1 == 0 else value  # 0 * inf = 0
        other *= weighted_0
        value += 0 if weighted_0 == 0 else other
        derivative[0] = weighted_0 * other_derivative - derivative[0]
        curvature[0] += weighted_0 * other_curvature
    derivative[0] += 0  # not -0, in either form
    return value


# ---------------------------------------------------------------- the loop of all losses

cdef inline void check_element(real x, real t, real w, int form, Checks *checks) noexcept nogil:
    if form & LOGIT_FORM:
        only_ordinary(x, checks, 0)
    else:
        in_unit(x, <real>1 - x, checks, 0)
    if form & HARD:
        only_label(t, checks, 0)
    else:
        in_unit(t + 0, <real>1 - t, checks, 0)
    if not form & PLAIN:
        only_weight(w, checks, 0)


cdef inline bint elements(
    const Block *block, const Binary *given, int form,
    double *restrict terms, real *restrict value, real *restrict gradient, real *restrict hessian
) noexcept nogil:
    # Of probabilities, the terms or the derivatives: the gradient may be 0 where the loss is not.
    cdef const real *xs = <const real *>block.x
    cdef const real *ts = <const real *>block.targets
    cdef const real *pos_weights = <const real *>block.pos_weights
    cdef const real *w = <const real *>block.weights
    cdef const real *factors = <const real *>block.factors
    cdef const double *wide_factors = block.wide_factors
    cdef Binary loss = given[0]
    cdef real floor = <real>loss.floor if loss.flags & ZERO_OUTSIDE else -1
    cdef real x, p, q, target, pos_weight, weighted_1, weighted_0, weight, each, derivative, curvature
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks, 1)
    for i in range(padded(block.n)):
        x = xs[i] if form & LOGIT_FORM else xs[i] + 0  # a probability is not -0
        if not form & EVERY:
            check_element(x, ts[i], w[i], form, &checks)
        pos_weight = 1 if form & PLAIN else pos_weights[i]
        target = ts[i] if form & PLAIN else smoothed(ts[i], &loss)
        weighted_0 = <real>1 - ts[i] if form & PLAIN else smoothed(<real>1 - ts[i], &loss)
        weighted_1 = pos_weight * target
        weight = 1 if form & PLAIN else w[i]
        if form & EVERY:
            weight = 0 if (weighted_1 == 0) & (weighted_0 == 0) else weight
        if form & FOCAL_FORM:
            each = focal_terms(x, weighted_1, weighted_0, loss.gamma, form, &derivative, &curvature)
        elif form & LOGIT_FORM:
            curvature = fma(pos_weight, target, weighted_0)
            each = logit_terms(x, weighted_1, weighted_0, curvature, form, &derivative, &curvature)
        else:
            p = clip_to(x, &loss)
            q = clip_to(<real>1 - x, &loss)
            if form & HARD:
                each = label_terms(x, <real>1 - x, pos_weight, ts[i] == 1, &loss, &derivative, &curvature)
            else:
                each = probability_terms(p, q, weighted_1, weighted_0, form, &derivative, &curvature)
            if form & GRADIENT and not form & PLAIN:
                weight = 0 if (x < floor) | (<real>1 - x < floor) else weight
            if form & GRADIENT and not form & EVERY:
                only_zero(derivative - derivative, &checks, 0)  # 1 / p may overflow; NaN takes the form EVERY too
        if form & VALUE and form & EVERY:
            terms[i] = wide_times(wide_loss(each, x, weighted_1, weighted_0), weight)
        elif form & VALUE:
            value[i] = each
        if form & GRADIENT:
            gradient[i] = times_factor(derivative, weight, factors[i], wide_factors[i], &loss, form)
        if form & STEEP_FORM:
            derivative = overflowed(gradient[i], derivative, p, q, weighted_1, weighted_0, wide_factors[i])
            gradient[i] = 0 if weight == 0 else derivative
            hessian[i] = steep_curvature(p, q, weighted_1, weighted_0, weight)
        elif form & HESSIAN:
            hessian[i] = curvature if form & PLAIN else times(curvature, weight, weight)
    return are_met(&checks, 1)


# ---------------------------------------------------------------- sums by products
#
# A product P of probabilities a replaces the sum of their logarithms. Next to it its complement S = 1 - P is kept:
# S grows by b P, b = 1 - a, so that it is a sum of positive terms and keeps its relative accuracy if P is nearly 1.
# 16 factors and their logarithm have an error of (2 * 16 - 1) / ln 2 + 6 half-ULPs, 5.7e-15.
#
# Each lane of a register, 8 of double or 16 of float, has a product of a group of vectors: 16 vectors of double, 32 of
# float. For float, probabilities a are exact in double, and eps is at least 2^-28: 32 factors lose less than 2^-48 of
# losses above 2^-23, so that the complement can come from the product.
#
# Float logits have no probabilities: the product of 1 + e, e = exp(-|z|), needs no division. Its complement c grows by
# e + c e; SHORT_SUM of them are joined in float, and then in double.

cdef enum:  # products
    FIRST = 0
    SECOND = 1  # of the elements with label 0, if pos_weight tells labels apart; of p q, if hard labels are smoothed
    KINDS = 2

cdef struct Lanes:  # what the lanes collect
    double product[KINDS][MOST_LANES]  # of a group
    double complement[KINDS][MOST_LANES]
    double straight[MOST_LANES]  # sums of terms that are no logarithms
    float short_straight[MOST_LANES]  # the same of up to SHORT_SUM floats
    float joined[KINDS][MOST_LANES]  # complements of products of up to SHORT_SUM floats 1 + e
    Checks checks

cdef struct Products:  # of a block
    double product[KINDS][PRODUCTS]
    double complement[KINDS][PRODUCTS]
    Py_ssize_t count  # of each kind
    uint64_t small  # not 0 if a product may have left the normal numbers on its way


cdef inline void multiply(Lanes *lanes, int kind, Py_ssize_t j, double a, double b) noexcept nogil:
    lanes.complement[kind][j] = CECORE_FMA(b, lanes.product[kind][j], lanes.complement[kind][j])
    lanes.product[kind][j] *= a


cdef inline void multiply_by_label(Lanes *lanes, Py_ssize_t j, bint is_one, double a, double b) noexcept nogil:
    # The element is a factor of the product of its label, and 1 in the other product.
    cdef double complement_1 = CECORE_FMA(b, lanes.product[FIRST][j], lanes.complement[FIRST][j])
    cdef double complement_0 = CECORE_FMA(b, lanes.product[SECOND][j], lanes.complement[SECOND][j])
    cdef double product_1 = lanes.product[FIRST][j] * a
    cdef double product_0 = lanes.product[SECOND][j] * a
    lanes.complement[FIRST][j] = complement_1 if is_one else lanes.complement[FIRST][j]
    lanes.product[FIRST][j] = product_1 if is_one else lanes.product[FIRST][j]
    lanes.complement[SECOND][j] = lanes.complement[SECOND][j] if is_one else complement_0
    lanes.product[SECOND][j] = lanes.product[SECOND][j] if is_one else product_0


cdef inline void join_float(Lanes *lanes, int kind, Py_ssize_t j, float e) noexcept nogil:
    lanes.joined[kind][j] = CECORE_FMAF(lanes.joined[kind][j], e, e) + lanes.joined[kind][j]


cdef inline void add_straight(Lanes *lanes, Py_ssize_t j, real x, real y) noexcept nogil:
    if real is double:
        lanes.straight[j] = CECORE_FMA(x, y, lanes.straight[j])
    else:
        lanes.short_straight[j] = CECORE_FMAF(x, y, lanes.short_straight[j])


cdef inline real label_derivative(real p, real q, bint is_one, int form, const Binary *loss) noexcept nogil:
    # The bits of pair_derivative for a hard label, from probabilities that are not clipped yet
    cdef real weighted_1, weighted_0
    if form & SMOOTHED:
        p = clip_to(p, loss)
        q = clip_to(q, loss)
        weighted_1 = <real>loss.label_1[1] if is_one else <real>loss.label_1[0]
        weighted_0 = <real>loss.label_0[1] if is_one else <real>loss.label_0[0]
        return fma(weighted_0, p, -(weighted_1 * q)) / (p * q)
    weighted_1 = -<real>loss.label_1[1] if is_one else 1
    return weighted_1 / clip_to(p if is_one else q, loss)


cdef inline void label_vector(
    const real *p, const real *y, const Binary *loss, int form, Lanes *lanes, real *restrict gradient
) noexcept nogil:
    # The loss is -log a times its weighted target, a the probability of the label. Smoothed, it is
    # keep (-log a) + spread (-log(p q)).
    cdef double a, b, one, zero
    cdef real q
    cdef bint is_one
    cdef Py_ssize_t j
    for j in range(width(<real>0)):
        q = <real>1 - p[j]
        in_unit(p[j], q, &lanes.checks, j)
        only_label(y[j], &lanes.checks, j)
        is_one = y[j] == 1
        one = p[j]
        zero = 1 - one
        a = clip_to(one if is_one else zero, loss)
        b = clip_to(zero if is_one else one, loss)
        if form & BY_LABEL:
            multiply_by_label(lanes, j, is_one, a, b)
        elif real is double or form & SMOOTHED:
            multiply(lanes, FIRST, j, a, b)
        else:
            lanes.product[FIRST][j] *= a
        if form & SMOOTHED:
            lanes.product[SECOND][j] *= a * b
        if form & GRADIENT:
            gradient[j] = label_derivative(p[j], q, is_one, form, loss) * <real>loss.factor


cdef inline void soft_vector(
    const real *p, const real *t, const Binary *loss, int form, Lanes *lanes, real *restrict gradient
) noexcept nogil:
    # With a the probability of the likelier label, b that of the other, and m <= 1/2 the weighted target of the other,
    # the loss is -log a + m log(a / b). Nothing cancels below the larger term.
    cdef double wide
    cdef real q, u, a, b, m, weighted_1, weighted_0
    cdef bint is_one
    cdef Py_ssize_t j
    for j in range(width(<real>0)):
        q = <real>1 - p[j]
        u = <real>1 - t[j]
        in_unit(p[j], q, &lanes.checks, j)
        in_unit(t[j] + 0, u, &lanes.checks, j)
        is_one = t[j] > 0.5
        a = clip_to(p[j] if is_one else q, loss)
        b = clip_to(q if is_one else p[j], loss)
        m = u if is_one else t[j]
        m = fma(<real>loss.keep, m, <real>loss.spread)
        add_straight(lanes, j, m, log_ratio(a, b))
        if real is double:
            multiply(lanes, FIRST, j, a, b)
        else:
            wide = p[j]
            lanes.product[FIRST][j] *= clip_to(wide if is_one else 1 - wide, loss)
        if form & GRADIENT:
            weighted_1 = smoothed(t[j], loss)
            weighted_0 = smoothed(u, loss)
            m = a if is_one else b
            b = b if is_one else a
            gradient[j] = pair_derivative(m, b, weighted_1, weighted_0) * <real>loss.factor


cdef inline void logit_vector(
    const real *z, const real *t, const Binary *loss, int form, Lanes *lanes, real *restrict gradient
) noexcept nogil:
    # The larger sigmoids are multiplied.
    cdef real x, u, n, e, weighted_1, weighted_0, larger, smaller, p, q
    cdef bint is_one
    cdef Py_ssize_t j
    for j in range(width(<real>0)):
        x = absolute(z[j])
        u = <real>1 - t[j]
        only_ordinary(x, &lanes.checks, j)
        in_unit(t[j] + 0, u, &lanes.checks, j)
        if form & BY_LABEL:
            only_label(t[j], &lanes.checks, j)
        is_one = t[j] == 1
        weighted_1 = t[j] if form & PLAIN else <real>loss.pos_weight * smoothed(t[j], loss)
        weighted_0 = u if form & PLAIN else smoothed(u, loss)
        add_straight(lanes, j, weighted_0 if z[j] > 0 else weighted_1, x)
        e = exp_fraction(-x, &n)
        larger = sigmoids(n, e, <real>1, &smaller)
        if real is double and form & BY_LABEL:
            multiply_by_label(lanes, j, is_one, larger, smaller)
        elif real is double:
            multiply(lanes, FIRST, j, larger, smaller)
        elif form & BY_LABEL:
            join_float(lanes, FIRST, j, e if is_one else 0)
            join_float(lanes, SECOND, j, 0 if is_one else e)
        else:
            join_float(lanes, FIRST, j, e)
        if form & GRADIENT:
            p = larger if z[j] > 0 else smaller
            q = smaller if z[j] > 0 else larger
            gradient[j] = fma(weighted_0, p, -(weighted_1 * q)) * <real>loss.factor


cdef inline void start_lanes(Lanes *lanes, int kinds, real of_type) noexcept nogil:
    cdef Py_ssize_t j
    cdef int kind
    clear(&lanes.checks, MOST_LANES)
    for j in range(MOST_LANES):
        lanes.straight[j] = lanes.short_straight[j] = 0
    for kind in range(kinds):
        for j in range(width(of_type)):
            lanes.product[kind][j] = 1
            lanes.complement[kind][j] = lanes.joined[kind][j] = 0


cdef inline void join_kind(Lanes *lanes, int kind) noexcept nogil:
    cdef double c
    cdef Py_ssize_t j
    for j in range(MOST_LANES):
        c = lanes.joined[kind][j]
        lanes.complement[kind][j] = CECORE_FMA(lanes.complement[kind][j], c, c) + lanes.complement[kind][j]
    for j in range(MOST_LANES):
        lanes.joined[kind][j] = 0


cdef inline void join_floats(Lanes *lanes, int kinds) noexcept nogil:
    # Add what up to SHORT_SUM floats have given to the lanes of double. The complement of a lane's product, which is
    # 1 + complement here, grows by theirs.
    cdef Py_ssize_t j
    for j in range(MOST_LANES):
        lanes.straight[j] += lanes.short_straight[j]
        lanes.short_straight[j] = 0
    join_kind(lanes, FIRST)
    if kinds == KINDS:
        join_kind(lanes, SECOND)


cdef inline void finish_group(
    Lanes *lanes, Products *products, int kind, bint by_complement, bint by_product, Py_ssize_t lanes_used
) noexcept nogil:
    # Keep the products of a group with their complements, and start the next group. If only the complement was
    # collected, relative to the product, the product is 1 / (1 + complement).
    cdef double product, complement
    cdef Py_ssize_t j
    for j in range(lanes_used):
        product = lanes.product[kind][j]
        complement = lanes.complement[kind][j]
        if by_complement:
            product = 1 / (1 + complement)
            complement *= product
        elif by_product:
            complement = 1 - product
        products.product[kind][products.count + j] = product
        products.complement[kind][products.count + j] = complement
        lanes.product[kind][j] = 1
        lanes.complement[kind][j] = 0


cdef double sum_of_logs(Products *products, int kind) noexcept nogil:
    # The sum of -log of the products of a kind
    cdef double lanes[8]
    cdef double product
    cdef uint64_t small = 0
    cdef Py_ssize_t i, j
    memset(lanes, 0, sizeof(lanes))
    for i in range(products.count // 8):
        for j in range(8):
            product = products.product[kind][8 * i + j]
            lanes[j] += cecore_pair_log(product, products.complement[kind][8 * i + j])
    for i in range(products.count):
        product = products.product[kind][i]
        product = 1 if product < CECORE_LEAST_PRODUCT else 0
        small |= cecore_bits(product)
    products.small |= small
    return join_lanes(&lanes[0])


cdef inline void multiply_group(
    Py_ssize_t first, Py_ssize_t last, const Block *block, const Binary *loss, int form, Lanes *lanes,
    Products *products, real *restrict gradient
) noexcept nogil:
    # The products of some vectors
    cdef const real *x = <const real *>block.x
    cdef const real *t = <const real *>block.targets
    cdef int kinds = KINDS if form & (BY_LABEL | SMOOTHED) else 1
    cdef bint by_complement = real is float and form & LOGIT_FORM
    cdef bint by_product = real is float and kinds == 1
    cdef Py_ssize_t i, j
    for i in range(first, last):
        j = i * width(<real>0)
        if form & HARD:
            label_vector(x + j, t + j, loss, form, lanes, gradient + j)
        elif form & LOGIT_FORM:
            logit_vector(x + j, t + j, loss, form, lanes, gradient + j)
        else:
            soft_vector(x + j, t + j, loss, form, lanes, gradient + j)
        if real is float and not form & HARD and ((i + 1) % SHORT_SUM == 0 or i + 1 == last):
            join_floats(lanes, kinds)
    finish_group(lanes, products, FIRST, by_complement, by_product, width(<real>0))
    if kinds == KINDS:
        finish_group(lanes, products, SECOND, by_complement, form & SMOOTHED, width(<real>0))
    products.count += width(<real>0)


cdef inline bint product_sum(
    Py_ssize_t n, Block *block, const Binary *given, int form, real *restrict gradient
) noexcept nogil:
    # The sum of the first n losses, whole vectors without weights, and the gradient
    cdef Lanes lanes
    cdef Products products
    cdef Binary loss = given[0]
    cdef Py_ssize_t vectors = n // width(<real>0)
    cdef Py_ssize_t size = 2 * width(<real>0)  # vectors of a group
    cdef int kinds = KINDS if form & (BY_LABEL | SMOOTHED) else 1
    cdef Py_ssize_t i, j
    cdef double sum
    products.count = products.small = 0
    start_lanes(&lanes, kinds, <real>0)
    for i in range((vectors + size - 1) // size):
        multiply_group(i * size, min(i * size + size, vectors), block, &loss, form, &lanes, &products, gradient)
    sum = sum_of_logs(&products, FIRST)
    if form & BY_LABEL:  # the sums of the weighted targets of each label
        sum *= loss.pos_weight * (loss.keep + loss.spread) + (loss.spread if form & LOGIT_FORM else 0)
        sum += (loss.keep + loss.spread + loss.pos_weight * loss.spread) * sum_of_logs(&products, SECOND)
    elif form & SMOOTHED:
        sum = loss.keep * sum + loss.spread * sum_of_logs(&products, SECOND)
    if real is float:
        for j in range(8):
            lanes.straight[j] += lanes.straight[j + 8]
    block.sum = sum if form & HARD else sum + join_lanes(&lanes.straight[0])
    return are_met(&lanes.checks, MOST_LANES) and not products.small


# ---------------------------------------------------------------- which form a block takes
#
# Each call of a loop below is one form, compiled apart.

cdef inline bint run_loop(const Block *block, const Binary *loss, int form, real of_type) noexcept nogil:
    cdef real *value = <real *>block.value
    cdef real *gradient = <real *>block.gradient
    cdef real *hessian = <real *>block.hessian
    return elements(block, loss, form, block.terms, value, gradient, hessian)


cdef inline bint by_targets(
    const Block *block, const Binary *loss, int form, int constant, real of_type
) noexcept nogil:
    if form & HARD:
        return run_loop(block, loss, constant | HARD, of_type)
    if form & EVERY:
        return run_loop(block, loss, constant | EVERY, of_type)
    return run_loop(block, loss, constant, of_type)


cdef inline bint probability_forms(const Block *block, const Binary *loss, int form, real of_type) noexcept nogil:
    if form & VALUE:
        return by_targets(block, loss, form, VALUE, of_type)
    if form & HARD and form & HESSIAN:
        return run_loop(block, loss, GRADIENT | HESSIAN | PLAIN | HARD, of_type)
    if form & HARD:
        return run_loop(block, loss, GRADIENT | PLAIN | HARD, of_type)
    if form & EVERY and loss.flags & STEEP:
        return run_loop(block, loss, GRADIENT | HESSIAN | EVERY | STEEP_FORM, of_type)
    if form & EVERY:
        return run_loop(block, loss, GRADIENT | HESSIAN | EVERY, of_type)
    if form & HESSIAN:
        return run_loop(block, loss, GRADIENT | HESSIAN, of_type)
    return run_loop(block, loss, GRADIENT, of_type)


cdef inline bint logit_forms(const Block *block, const Binary *loss, int form, real of_type) noexcept nogil:
    if form & EVERY and form & HESSIAN:
        return run_loop(block, loss, LOGIT_FORM | GRADIENT | HESSIAN | EVERY, of_type)
    if form & EVERY:
        return run_loop(block, loss, LOGIT_FORM | VALUE | GRADIENT | EVERY, of_type)
    if form & VALUE and form & GRADIENT:
        return run_loop(block, loss, LOGIT_FORM | VALUE | GRADIENT, of_type)
    if form & VALUE:
        return run_loop(block, loss, LOGIT_FORM | VALUE, of_type)
    if form & PLAIN and form & HESSIAN:
        return run_loop(block, loss, LOGIT_FORM | GRADIENT | HESSIAN | PLAIN, of_type)
    if form & PLAIN:
        return run_loop(block, loss, LOGIT_FORM | GRADIENT | PLAIN, of_type)
    if form & HESSIAN:
        return run_loop(block, loss, LOGIT_FORM | GRADIENT | HESSIAN, of_type)
    return run_loop(block, loss, LOGIT_FORM | GRADIENT, of_type)


cdef inline bint focal_forms(
    const Block *block, const Binary *loss, int form, int constant, real of_type
) noexcept nogil:
    if form & HESSIAN:
        return by_targets(block, loss, form, constant | LOGIT_FORM | FOCAL_FORM | GRADIENT | HESSIAN, of_type)
    return by_targets(block, loss, form, constant | LOGIT_FORM | FOCAL_FORM | VALUE | GRADIENT, of_type)


cdef bint run_form(const Block *block, const Binary *loss, int form, real of_type) noexcept nogil:
    # Return False if the block takes another form.
    cdef double halves = 2 * loss.gamma
    if loss.gamma == 0 and loss.flags & LOGITS:
        return logit_forms(block, loss, form, of_type)
    if loss.gamma == 0:
        return probability_forms(block, loss, form, of_type)
    if halves < 16 and halves == <int>halves:
        return focal_forms(block, loss, form, BY_POWERS, of_type)
    return focal_forms(block, loss, form, 0, of_type)


cdef inline bint sum_form(
    Py_ssize_t n, Block *block, const Binary *loss, int form, int wanted, real of_type
) noexcept nogil:
    cdef real *gradient = <real *>block.gradient
    if wanted & GRADIENT:
        return product_sum(n, block, loss, form | GRADIENT, gradient)
    return product_sum(n, block, loss, form, gradient)


cdef bint sum_by_products(
    Py_ssize_t n, Block *block, const Binary *loss, bint hard, int wanted, real of_type
) noexcept nogil:
    cdef bint by_label = loss.flags & POS_WEIGHT
    cdef bint by_logits = loss.flags & LOGITS
    cdef bint with_smoothing = loss.spread != 0
    if by_label and (not hard or with_smoothing and not by_logits):
        return False
    if by_logits and by_label:
        return sum_form(n, block, loss, LOGIT_FORM | BY_LABEL, wanted, of_type)
    if by_logits and with_smoothing:
        return sum_form(n, block, loss, LOGIT_FORM, wanted, of_type)
    if by_logits:
        return sum_form(n, block, loss, LOGIT_FORM | PLAIN, wanted, of_type)
    if by_label:
        return sum_form(n, block, loss, HARD | BY_LABEL, wanted, of_type)
    if hard and with_smoothing:
        return sum_form(n, block, loss, HARD | SMOOTHED, wanted, of_type)
    if hard:
        return sum_form(n, block, loss, HARD, wanted, of_type)
    return not loss.flags & SUBNORMAL and sum_form(n, block, loss, 0, wanted, of_type)


cdef bint starts_hard(const real *t) noexcept nogil:
    # Whether the first vector of targets has labels 0 and 1 alone: then the forms for hard labels are tried.
    cdef int others = 0
    cdef Py_ssize_t i
    for i in range(SUM_LANES):
        others += (t[i] != 0) & (t[i] != 1)
    return others == 0


cdef double weigh(const Block *block, int wanted, real *restrict value) noexcept nogil:
    # Multiply losses by their weights, each in its place or in double for a sum, which is returned.
    cdef const real *w = <const real *>block.weights
    cdef double lanes[SUM_LANES]
    cdef Py_ssize_t i, j
    memset(lanes, 0, sizeof(lanes))
    for i in range(padded(block.n) // SUM_LANES if wanted & VALUE_SUM else 0):
        for j in range(SUM_LANES):
            lanes[j] += wide_times(value[i * SUM_LANES + j], w[i * SUM_LANES + j])
    for i in range(padded(block.n) if wanted & VALUE_EACH and block.weighted else 0):
        value[i] = times(value[i], w[i], w[i])
    for j in range(8):
        lanes[j] += lanes[j + 8]
    return join_lanes(&lanes[0])


cdef bint run_fast(Block *block, const Binary *loss, int form, real of_type) noexcept nogil:
    # Try the forms that are fast. Return False if none fits the block.
    cdef int flags = loss.flags
    cdef bint derived = form & (GRADIENT | HESSIAN) != 0
    cdef bint hard = loss.spread == 0 and (loss.gamma != 0 or not flags & LOGITS and (not derived or form & PLAIN))
    if form == 0 or flags & ONLY_GENERAL or (flags & SUBNORMAL and not derived):
        return False
    if derived and block.is_wide or (flags & STEEP and form & HESSIAN):
        return False
    if hard and starts_hard(<const real *>block.targets) and run_form(block, loss, form | HARD, of_type):
        return True
    if not flags & LOGITS:
        form &= ~PLAIN
    return run_form(block, loss, form, of_type)


cdef int run_forms(Block *block, const Binary *loss, int wanted, real of_type) noexcept nogil:
    # Compute what is wanted, by the first form that fits the block. Return BAD if an input is outside its domain.
    cdef double terms[ELEMENTS]
    cdef real *value = <real *>block.value
    cdef bint options = loss.flags & (POS_WEIGHT | POS_WEIGHTS | ZERO_OUTSIDE) or loss.spread != 0
    cdef int form = wanted & (VALUE | GRADIENT | HESSIAN)
    cdef Py_ssize_t i
    if wanted & VALUE_EACH:
        form |= VALUE
    if not form & VALUE and not options and not block.weighted:
        form |= PLAIN
    if run_fast(block, loss, form, of_type):
        if wanted & (VALUE_SUM | VALUE_EACH):
            block.sum = weigh(block, wanted, value)
        return GOOD
    if not is_valid(block, loss, of_type):
        return BAD
    block.terms = &terms[0]
    run_form(block, loss, form & ~PLAIN | EVERY, of_type)
    if wanted & VALUE_SUM:
        block.sum = lane_sum(padded(block.n), &terms[0])
    for i in range(padded(block.n) if wanted & VALUE_EACH else 0):
        value[i] = <real>terms[i]
    return GOOD


cdef inline void advance(Block *block, Py_ssize_t first, real of_type) noexcept nogil:
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


cdef Py_ssize_t summed(Block *block, const Binary *loss, int wanted, real of_type) noexcept nogil:
    # The sum of a block without weights, by products over whole vectors. Return how many elements are done.
    cdef Py_ssize_t whole = block.n & -SUM_LANES
    if whole == 0 or not wanted & VALUE_SUM or loss.gamma != 0:
        return 0
    if loss.flags & (NO_PRODUCTS | POS_WEIGHTS | ONLY_GENERAL):
        return 0
    if block.weighted and not all_ones(<const real *>block.weights, block.n):
        return 0
    if starts_hard(<const real *>block.targets) and sum_by_products(whole, block, loss, True, wanted, of_type):
        return whole
    return whole if sum_by_products(whole, block, loss, False, wanted, of_type) else 0


cdef int binary_block(Block *block, const Binary *loss, int wanted, real of_type) noexcept nogil:
    # One block of a binary loss: its sum, and what else is wanted. Return BAD if an input is outside its domain.
    # `wanted` is 0 for a check alone; a value and a Hessian are not wanted together. Losses and derivatives of
    # probabilities choose their forms apart, so that a sum has the same bits whatever else is wanted.
    cdef Block tail
    cdef Py_ssize_t done
    cdef int state
    cdef int derived = wanted & (GRADIENT | HESSIAN)
    cdef bint both = derived != 0 and derived != wanted
    if both and (block.is_wide or loss.flags & ZERO_OUTSIDE):
        state = binary_block(block, loss, wanted ^ derived, of_type)
        return BAD if state == BAD else run_forms(block, loss, derived, of_type)
    done = summed(block, loss, wanted, of_type)
    if done == block.n:
        return GOOD
    if done > 0:  # the last elements do not fill a vector: the weights of the padding are 0
        tail = block[0]
        advance(&tail, done, of_type)
        tail.weighted = True
        state = binary_block(&tail, loss, wanted, of_type)
        block.sum += tail.sum
        return state
    if both and not loss.flags & LOGITS:
        state = run_forms(block, loss, wanted ^ derived, of_type)
        return BAD if state == BAD else run_forms(block, loss, derived, of_type)
    return run_forms(block, loss, wanted, of_type)


cdef void set_binary(
    Binary *loss, double eps, double pos_weight, double smoothing, double gamma, double factor, int flags, real of_type
) noexcept nogil:
    # The constants of a loss. The caller sets these flags: LOGITS, ZERO_OUTSIDE, POS_WEIGHT, POS_WEIGHTS and with it
    # STEEP, ONLY_GENERAL if a pos_weight is 0, KNOWN_WEIGHTS. For float, eps, pos_weight and smoothing must be in
    # [2^-60, 2^60] or, but for eps, 0. eps of logits is not read.
    loss.eps = eps
    loss.top = 1 - eps
    loss.floor = <real>eps
    if loss.floor < eps:  # in float only
        loss.floor = neighbour(<real>eps, 1)
    loss.keep = 1 - smoothing
    loss.spread = smoothing / 2
    loss.pos_weight = pos_weight
    loss.gamma = gamma
    loss.factor = <real>factor
    loss.label_1[0] = <real>pos_weight * smoothed(<real>0, loss)
    loss.label_1[1] = <real>pos_weight * smoothed(<real>1, loss)
    loss.label_0[0] = smoothed(<real>1, loss)
    loss.label_0[1] = smoothed(<real>0, loss)
    loss.flags = flags
    if flags & LOGITS:
        return
    if eps > 0.25:
        loss.flags |= ONLY_GENERAL
    if eps < least_normal(of_type):
        loss.flags |= SUBNORMAL | STEEP
    if real is float:
        if eps < 2.0 ** -28:
            loss.flags |= NO_PRODUCTS
        if pos_weight > 2.0 ** 126 * eps * eps or eps < 2.0 ** -33:
            loss.flags |= STEEP


# ---------------------------------------------------------------- sigmoid, log_sigmoid, sigmoid_backward

cdef inline bint sigmoid_loop(
    Py_ssize_t n, const real *x, bint every, bint logarithm, real *restrict out
) noexcept nogil:
    # The logarithm is -(max(-x, 0) + log(1 + exp(-|x|))).
    cdef real p, q, straight
    cdef real curved = 0
    cdef Checks checks
    cdef Py_ssize_t i
    clear(&checks, 1)
    for i in range(padded(n)):
        if not every:
            only_ordinary(x[i], &checks, 0)
        sigmoid_parts(x[i], every, not logarithm, &p, &q, &curved)
        straight = x[i] if x[i] < 0 else 0
        out[i] = straight - curved if logarithm else p
    return are_met(&checks, 1)


cdef void sigmoids_of(Py_ssize_t n, const real *x, real *out) noexcept nogil:
    if not sigmoid_loop(n, x, False, False, out):
        sigmoid_loop(n, x, True, False, out)


cdef void log_sigmoids_of(Py_ssize_t n, const real *x, real *out) noexcept nogil:
    if not sigmoid_loop(n, x, False, True, out):
        sigmoid_loop(n, x, True, True, out)


cdef void sigmoid_backward_block(Py_ssize_t n, const real *s, const real *u, real *restrict out) noexcept nogil:
    # In double, whatever the type, so that a float result is rounded once.
    cdef double p, value
    cdef Py_ssize_t i
    for i in range(padded(n)):
        p = s[i]
        value = p * (1 - p) * u[i]
        out[i] = <real>(0 if (p == 0) | (p == 1) else value)
