# Stage two of rows of logits: losses, first and second derivatives, softmax and log_softmax, from the exponentials and
# the sums of stage one (softmax.pxi). p_k = e_k / total, and 1 - p_k = (total - e_k) / total, where the numerator of
# the largest is the rest, so that nothing cancels.

cdef enum:  # what a pass over the exponentials writes, and its constants (a, b, ...) of a row
    SCALED = 0  # a e, the gradient with a label
    SHIFTED = 1  # a e - b, the same with smoothing
    FOCAL = 2  # b (a e), the same with a focal factor
    TARGETS = 3  # a e - b t, the gradient with targets; d if e = c
    PROBABILITY = 4  # a e; c if e = b, the largest
    LOGARITHM = 5  # (z - a) - b
    CURVATURE = 6  # f g e (1 - a e) with the largest e = b, the rest c and the total d
    FOCAL_CURVATURE = 7  # f g e (1 - a e) + q (h e)^2
    CONSTANTS = 8


cdef struct RowConstants:  # of the results of some rows, in either type
    int kind
    int hessian_kind
    double gradient[CONSTANTS * WIDTH]
    double hessian[CONSTANTS * WIDTH]
    double own[WIDTH]  # the gradient at the label
    double own_hessian[WIDTH]


cdef inline real fused(real x, real y, real z) noexcept nogil:
    if real is double:
        return CECORE_FMA(x, y, z)
    else:
        return CECORE_FMAF(x, y, z)


cdef inline void results_of(
    int kind, bint one_row, const real *e, const real *x, Py_ssize_t registers, const real *constants,
    real *restrict out
) noexcept nogil:
    # Registers one after another, of one row, or of a class of rows side by side. x: the logits or the targets, where
    # they are needed. The constants of a row are WIDTH apart.
    cdef real a, b, c, d, f, g, h, q, rest, value
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j, k, r
    for i in range(registers):
        for j in range(lanes):
            k = i * lanes + j
            r = 0 if one_row else k
            a = constants[r]
            b = constants[WIDTH + r]
            c = constants[2 * WIDTH + r]
            d = constants[3 * WIDTH + r]
            f = constants[4 * WIDTH + r]
            g = constants[5 * WIDTH + r]
            h = constants[6 * WIDTH + r]
            q = constants[7 * WIDTH + r]
            if kind == SCALED:
                out[k] = e[k] * a
            elif kind == SHIFTED:
                out[k] = fused(e[k], a, 0 - b)
            elif kind == FOCAL:
                out[k] = (e[k] * a) * b
            elif kind == TARGETS:
                value = fused(e[k], a, 0 - x[k] * b)
                out[k] = d if e[k] == c else value
            elif kind == PROBABILITY:
                value = e[k] * a
                out[k] = c if e[k] == b else value
            elif kind == LOGARITHM:
                out[k] = (x[k] - a) - b
            else:
                rest = d - e[k]
                rest = c if e[k] == b else rest
                value = (((e[k] * f) * rest) * a) * g
                if kind == FOCAL_CURVATURE:
                    value = fused((e[k] * h) * (e[k] * h), q, value)
                out[k] = value


cdef inline void all_results_of(
    int kind, bint one_row, const real *e, const real *x, Py_ssize_t n, Py_ssize_t lanes, const real *constants,
    real *restrict out
) noexcept nogil:
    # n numbers of a row, some of the last ones twice; or n classes of so many rows side by side
    cdef Py_ssize_t step = width(<real>0)
    cdef Py_ssize_t k
    if one_row:
        results_of(kind, True, e, x, n // step, constants, out)
        k = n - step
        results_of(kind, True, e + k, x + k, 1, constants, out + k)
    else:
        for k in range(n):
            results_of(kind, False, e + k * WIDTH, x + k * WIDTH, lanes // step, constants, out + k * WIDTH)


cdef inline void all_results(
    int kind, bint one_row, const real *e, const real *x, Py_ssize_t n, Py_ssize_t lanes, const real *constants,
    real *restrict out
) noexcept nogil:
    if kind == SCALED:
        all_results_of(SCALED, one_row, e, x, n, lanes, constants, out)
    elif kind == SHIFTED:
        all_results_of(SHIFTED, one_row, e, x, n, lanes, constants, out)
    elif kind == FOCAL:
        all_results_of(FOCAL, one_row, e, x, n, lanes, constants, out)
    elif kind == TARGETS:
        all_results_of(TARGETS, one_row, e, x, n, lanes, constants, out)
    elif kind == PROBABILITY:
        all_results_of(PROBABILITY, one_row, e, x, n, lanes, constants, out)
    elif kind == LOGARITHM:
        all_results_of(LOGARITHM, one_row, e, x, n, lanes, constants, out)
    elif kind == CURVATURE:
        all_results_of(CURVATURE, one_row, e, x, n, lanes, constants, out)
    else:
        all_results_of(FOCAL_CURVATURE, one_row, e, x, n, lanes, constants, out)


cdef void tile_results(
    int kind, const real *e, const real *x, Py_ssize_t classes, Py_ssize_t lanes, const real *constants,
    real *restrict out
) noexcept nogil:
    all_results(kind, False, e, x, classes, lanes, constants, out)


cdef void row_results(
    int kind, const real *e, const real *x, Py_ssize_t n, const real *constants, real *restrict out
) noexcept nogil:
    all_results(kind, True, e, x, n, 1, constants, out)


# ---------------------------------------------------------------- row ends

cdef inline double boosted(double factor, double *unscale, real unused) noexcept nogil:
    # A very small or large factor, times a power of two, so that factor / total is a normal number of the type; the
    # results are to be multiplied by unscale.
    cdef double size = fabs(factor)
    cdef double small = 1e-150 if real is double else 1e-18
    cdef double large = 1e150 if real is double else 1e18
    cdef double up = 3.273390607896142e+150 if real is double else 1.2089258196146292e+24  # 2^500, 2^80
    cdef double down = 3.054936363499605e-151 if real is double else 8.271806125530277e-25
    cdef double boost = up if size < small else 1
    boost = down if size > large else boost
    unscale[0] = down if size < small else 1
    unscale[0] = up if size > large else unscale[0]
    return factor * boost


cdef inline double over_total(double x, double low, const RowBlock *block, Py_ssize_t r) noexcept nogil:
    # (x + low) / total, corrected by one step
    cdef double quotient = x * block.inverse[r]
    cdef double error = CECORE_FMA(0 - quotient, block.total[r], x) - quotient * block.total_error[r]
    return quotient + (error + low) * block.inverse[r]


cdef void label_losses(RowBlock *block, Py_ssize_t rows) noexcept nogil:
    # (maximum - z of the label) + log(total / largest); with smoothing a, the first term is its mean with the gap's
    cdef double d
    cdef double a = block.smoothing
    cdef double uniform = a / block.classes
    cdef Py_ssize_t r
    for r in range(rows if a == 0 else 0):
        block.loss[r] = (block.maximum[r] - block.label_z[r]) + block.log_total[r]
    for r in range(rows if a != 0 else 0):
        d = block.maximum[r] - block.label_z[r]
        d = 0 if d == INFINITY else d
        block.loss[r] = ((1 - a) * d + uniform * block.gap[r]) + block.log_total[r]


cdef void label_constants(RowBlock *block, Py_ssize_t rows, real *restrict constants, double *restrict own) noexcept nogil:
    # The constants of the gradient, and what it is at the label: minus the sum of the others, never p - 1
    cdef double unscale, factor, scale, shared
    cdef double a = block.smoothing
    cdef double uniform = a / block.classes
    cdef Py_ssize_t r
    for r in range(rows):
        factor = boosted(block.factor[r], &unscale, <real>0)
        scale = over_total(factor, 0, block, r)
        constants[r] = <real>scale
        constants[WIDTH + r] = <real>(factor * uniform)
        own[r] = (factor * (a - uniform) - block.complement[r] * scale) * unscale
        block.unscale[r] = unscale


cdef void target_constants(RowBlock *block, Py_ssize_t rows, real *restrict constants) noexcept nogil:
    # The gradient is factor (T p_k - t_k), T the sum of the targets. Where the largest p exceeds 1/2, this is
    # factor ((T - t_k) - T (1 - p_k)) there. Rows without targets are 0.
    cdef double unscale, factor, total, exact, low
    cdef Py_ssize_t r
    for r in range(rows):
        factor = boosted(block.factor[r], &unscale, <real>0)
        total = block.of_largest[r] + block.others[r]
        exact = block.others[r] - total * (block.rest[r] * block.inverse[r])
        low = (max(block.of_largest[r], block.others[r]) - total) + min(block.of_largest[r], block.others[r])
        low = factor * low + cecore_product_lost(factor, total, factor * total)
        constants[r] = <real>over_total(factor * total, low, block, r)
        constants[WIDTH + r] = <real>factor
        constants[2 * WIDTH + r] = <real>(block.largest[r] if block.rest[r] < block.largest[r] else -1)
        constants[3 * WIDTH + r] = <real>(factor * exact)
        block.unscale[r] = unscale
        block.loss[r] = total * block.log_total[r] + block.gap[r]
        block.weight[r] = 0 if total == 0 else block.weight[r]


cdef void curvature_constants(RowBlock *block, Py_ssize_t rows, real *restrict constants) noexcept nogil:
    # A weight above 1 is multiplied first, up to a limit, and what is left of it last: then no product is subnormal or
    # infinite unless the result is.
    cdef double weight, early
    cdef double limit = 3.273390607896142e+150 if real is double else 1.1529215046068470e+18  # 2^500, 2^60
    cdef Py_ssize_t r
    for r in range(rows):
        weight = block.of_largest[r] + block.others[r]
        weight = block.weight[r] * (weight if block.has_targets else 1)
        early = weight if weight > 1 else 1
        early = limit if early > limit else early
        constants[r] = <real>block.inverse[r]
        constants[WIDTH + r] = <real>block.largest[r]
        constants[2 * WIDTH + r] = <real>block.rest[r]
        constants[3 * WIDTH + r] = <real>block.total[r]
        constants[4 * WIDTH + r] = <real>(early * block.inverse[r])
        constants[5 * WIDTH + r] = <real>(weight / early)


cdef void activation_constants(RowBlock *block, Py_ssize_t rows, real *restrict constants) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(rows):
        if block.wanted == LOG_SOFTMAX_BIT:
            constants[r] = <real>block.maximum[r]
            constants[WIDTH + r] = <real>block.log_total[r]
        else:
            constants[r] = <real>over_total(1, 0, block, r)
            constants[WIDTH + r] = <real>block.largest[r]
            constants[2 * WIDTH + r] = <real>over_total(block.largest[r], 0, block, r)


cdef void powers(const double *x, double gamma, Py_ssize_t n, double *restrict out) noexcept nogil:
    # x^gamma for x in [0, 1]
    cdef Py_ssize_t i
    if gamma == 1:
        for i in range(n):
            out[i] = x[i]
    elif gamma == 2:
        for i in range(n):
            out[i] = x[i] * x[i]
    elif gamma == 3:
        for i in range(n):
            out[i] = x[i] * x[i] * x[i]
    else:
        for i in range(n):
            out[i] = cecore_power(x[i], gamma)


cdef void focal_label_constants(
    RowBlock *block, Py_ssize_t rows, real *restrict gradient, real *restrict hessian, double *restrict own,
    double *restrict own_hessian
) noexcept nogil:
    # With p the label's probability, r = 1 - p, l = -log p and w = r^g, the loss is w l. Its derivative by z_k is A p_k,
    # and -A r at the label, with A = w (1 + g p l / r). The second derivatives are A p_k (1 - p_k) + D (p_k / r)^2 with
    # D = w g (2 p r + p l ((g - 1) p - r)), and w p ((2 g + 1) r + g l (g p - r)) at the label. l / r is 1 at r = 0, and
    # p l is 0 at p = 0.
    cdef double rests[WIDTH]
    cdef double power[WIDTH]
    cdef double p, rest, loss, product, ratio, unscale, factor, scale, slope, weight, core
    cdef double g = block.gamma
    cdef Py_ssize_t r
    for r in range(rows):
        rests[r] = over_total(block.complement[r], 0, block, r)
    powers(rests, g, rows, power)
    for r in range(rows):
        p = over_total(block.label_e[r], 0, block, r)
        rest = rests[r]
        loss = block.loss[r]
        product = p * loss
        product = 0 if p == 0 else product
        ratio = product / rest
        ratio = p if rest == 0 else ratio
        slope = power[r] * (1 + g * ratio)
        factor = boosted(block.factor[r], &unscale, <real>0)
        scale = over_total(factor, 0, block, r)
        block.unscale[r] = unscale
        block.loss[r] = power[r] * loss
        gradient[r] = <real>scale
        gradient[WIDTH + r] = <real>slope
        own[r] = (0 - block.complement[r] * scale) * slope * unscale
        weight = block.weight[r]
        hessian[5 * WIDTH + r] = <real>(hessian[5 * WIDTH + r] * slope)
        hessian[6 * WIDTH + r] = <real>(0 if rest == 0 else 1 / block.complement[r])
        loss = 0 if p == 0 else loss
        hessian[7 * WIDTH + r] = <real>(weight * power[r] * g * p * (2 * rest + loss * ((g - 1) * p - rest)))
        core = power[r] * ((2 * g + 1) * rest + g * loss * (g * p - rest))
        own_hessian[r] = weight * (block.label_e[r] * core * block.inverse[r])


# ---------------------------------------------------------------- a focal factor and targets

# The loss is the sum of t_k w_k l_k with r_k = 1 - p_k, l_k = -log p_k and w_k = r_k^g. With s_k = t_k w_k (1 + g p_k l_k
# / r_k) and S the sum of all s_k, the gradient is p_k S - s_k. With b_k = t_k g w_k p_k (2 r_k + l_k ((g - 1) p_k -
# r_k)), the second derivative is p_k r_k S + b_k + p_k^2 times the sum of b_j / r_j^2 over the other classes j. Where
# one p exceeds 1/2, its b / r^2 may be beyond all bounds: it is kept apart, as b and r. Everything is in double.

cdef struct FocalSums:
    Sums loss
    Sums slope  # s
    Sums bend  # b / r^2 where p <= 1/2
    Sums large_bend  # b where p > 1/2
    Sums large_rest  # and r


cdef inline void focal_probabilities(
    const RowBlock *block, bint one_row, Py_ssize_t first, const real *e, Py_ssize_t n,
    double *restrict p, double *restrict rest
) noexcept nogil:
    # p and 1 - p of n numbers of row first, or of n rows
    cdef double inverse, other
    cdef Py_ssize_t i, r
    for i in range(n):
        r = first if one_row else i
        inverse = block.inverse[r]
        other = block.total[r] - e[i]
        other = block.rest[r] if e[i] == block.largest[r] else other
        p[i] = e[i] * inverse
        rest[i] = other * inverse


cdef inline void focal_terms_of(
    const RowBlock *block, bint one_row, Py_ssize_t first, const real *z, const real *e, const real *t, Py_ssize_t n,
    real *s, real *b, FocalSums *sums
) noexcept nogil:
    # At most WIDTH numbers
    cdef double p[WIDTH]
    cdef double rest[WIDTH]
    cdef double power[WIDTH]
    cdef double losses[WIDTH]
    cdef double bends[WIDTH]
    cdef double large_bends[WIDTH]
    cdef double large_rests[WIDTH]
    cdef real slope[WIDTH]
    cdef real bend[WIDTH]
    cdef double loss, factor, product, ratio, value
    cdef double g = block.gamma
    cdef Py_ssize_t i, r
    focal_probabilities(block, one_row, first, e, n, p, rest)
    powers(rest, g, n, power)
    for i in range(n):
        r = first if one_row else i
        loss = (block.maximum[r] - z[i]) + block.log_total[r]
        product = p[i] * loss
        product = 0 if p[i] == 0 else product
        ratio = product / rest[i]
        ratio = p[i] if rest[i] == 0 else ratio
        factor = t[i] * power[i]
        value = factor * loss
        value = 0 if factor == 0 else value
        losses[i] = 0 if t[i] == 0 else value
        value = factor * (1 + g * ratio)
        slope[i] = <real>(0 if t[i] == 0 else value)
        value = factor * g * (2 * p[i] * rest[i] + product * ((g - 1) * p[i] - rest[i]))
        bend[i] = <real>(0 if t[i] == 0 else value)
    sums_add(&sums.loss, &losses[0], n)
    sums_add(&sums.slope, &slope[0], n)
    memcpy(s, slope, n * sizeof(real))
    memcpy(b, bend, n * sizeof(real))
    if not block.wanted & HESSIAN:
        return
    for i in range(n):
        large_bends[i] = <double>bend[i] if p[i] > 0.5 else 0
        large_rests[i] = rest[i] if p[i] > 0.5 else 0
        value = bend[i] / (rest[i] * rest[i])
        bends[i] = 0 if p[i] > 0.5 else value
    sums_add(&sums.bend, &bends[0], n)
    sums_add(&sums.large_bend, &large_bends[0], n)
    sums_add(&sums.large_rest, &large_rests[0], n)


cdef inline void focal_results_of(
    const RowBlock *block, bint one_row, Py_ssize_t first, const real *e, const real *s, const real *b, Py_ssize_t n,
    real *gradient, real *hessian
) noexcept nogil:
    # Writes the gradient in place of s or elsewhere, and the second derivatives if they are wanted.
    cdef double p[WIDTH]
    cdef double rest[WIDTH]
    cdef real first_derivative[WIDTH]
    cdef real second_derivative[WIDTH]
    cdef double sum, error, value, near, own, far, ratio
    cdef Py_ssize_t i, r
    focal_probabilities(block, one_row, first, e, n, p, rest)
    for i in range(n):
        r = first if one_row else i
        sum = block.slope[r]
        error = block.slope_error[r]
        value = p[i] * sum - s[i]
        near = ((sum - s[i]) + error) - rest[i] * sum
        near = near if s[i] > 0.5 * sum else value
        first_derivative[i] = <real>(block.factor[r] * (near if p[i] > 0.5 else value))
    for i in range(n if block.wanted & HESSIAN else 0):
        r = first if one_row else i
        own = b[i] / (rest[i] * rest[i])
        own = 0 if p[i] > 0.5 else own
        far = p[i] * p[i] * (block.bend[r] - own)
        ratio = p[i] / block.large_rest[r]
        value = ratio * ratio * block.large_bend[r]
        value = 0 if p[i] > 0.5 else value
        value = 0 if block.large_rest[r] == 0 else value
        value = p[i] * rest[i] * block.slope[r] + (b[i] + (far + value))
        second_derivative[i] = <real>(block.weight[r] * value)
    if block.wanted & GRADIENT:
        memcpy(gradient, first_derivative, n * sizeof(real))
    if block.wanted & HESSIAN:
        memcpy(hessian, second_derivative, n * sizeof(real))


cdef void keep_focal_sums(RowBlock *block, const FocalSums *sums, Py_ssize_t lane, Py_ssize_t r) noexcept nogil:
    block.loss[r] = sums_round(&sums.loss, lane)
    block.slope[r] = sums_round(&sums.slope, lane)
    block.slope_error[r] = (sums.slope.total[lane] - block.slope[r]) + sums.slope.lost[lane]
    block.bend[r] = sums_round(&sums.bend, lane)
    block.large_bend[r] = sums_round(&sums.large_bend, lane)
    block.large_rest[r] = sums_round(&sums.large_rest, lane)


cdef void compute_focal_tile(
    RowBlock *block, real *z, const real *e, real *t, Py_ssize_t lanes, real *gradient
) noexcept nogil:
    # s waits in the gradient and b in the targets; the Hessian is left in z
    cdef FocalSums sums
    cdef Py_ssize_t r, k, i
    memset(&sums, 0, sizeof(FocalSums))
    for k in range(block.classes):
        i = k * WIDTH
        focal_terms_of(block, False, 0, <const real *>(z + i), e + i, <const real *>(t + i), lanes, gradient + i, t + i, &sums)
    for r in range(lanes):
        keep_focal_sums(block, &sums, r, r)
    for k in range(block.classes if block.wanted & (GRADIENT | HESSIAN) else 0):
        i = k * WIDTH
        focal_results_of(
            block, False, 0, e + i, <const real *>(gradient + i), <const real *>(t + i), lanes, gradient + i, z + i
        )


cdef void add_focal_row(
    RowBlock *block, const real *z, const real *e, const real *t, Py_ssize_t n, Py_ssize_t r, real *s, real *b,
    FocalSums *sums
) noexcept nogil:
    # A row, or a segment of it; then keep_focal_row
    cdef Py_ssize_t i, first
    for i in range((n + WIDTH - 1) // WIDTH):
        first = i * WIDTH
        focal_terms_of(
            block, True, r, z + first, e + first, t + first, min(n - first, <Py_ssize_t>WIDTH), s + first, b + first, sums
        )


cdef void keep_focal_row(RowBlock *block, Py_ssize_t r, FocalSums *sums) noexcept nogil:
    sums_join(&sums.loss)
    sums_join(&sums.slope)
    sums_join(&sums.bend)
    sums_join(&sums.large_bend)
    sums_join(&sums.large_rest)
    keep_focal_sums(block, sums, 0, r)


cdef void write_focal_row(
    RowBlock *block, const real *e, const real *s, const real *b, Py_ssize_t n, Py_ssize_t r, real *gradient,
    real *hessian
) noexcept nogil:
    cdef Py_ssize_t i, first
    for i in range((n + WIDTH - 1) // WIDTH):
        first = i * WIDTH
        focal_results_of(
            block, True, r, e + first, s + first, b + first, min(n - first, <Py_ssize_t>WIDTH), gradient + first,
            hessian + first
        )


# ---------------------------------------------------------------- tiles

cdef inline bint is_general_focal(const RowBlock *block) noexcept nogil:
    return block.gamma != 0 and block.has_targets


cdef void prepare(RowBlock *block) noexcept nogil:
    # What does not depend on the logits
    block.but_largest = block.has_targets or block.wanted & (HESSIAN | LOG_SOFTMAX_BIT) != 0
    if block.wanted & (SOFTMAX_BIT | LOG_SOFTMAX_BIT) or block.has_targets:
        memset(block.label_e, 0, sizeof(block.label_e))


cdef void take_label(RowBlock *block, Py_ssize_t r, real z, real *e) noexcept nogil:
    # The label's logit and exponential; the sums leave it out unless they leave out the largest
    block.label_z[r] = z
    block.label_e[r] = e[0]
    e[0] = e[0] if block.but_largest else 0


cdef void finish_rows(RowBlock *block, Py_ssize_t lanes, RowConstants *constants, real unused) noexcept nogil:
    # Losses, and the constants of the results
    cdef real *gradient = <real *>constants.gradient
    cdef real *hessian = <real *>constants.hessian
    finish_sums(block, lanes)
    if block.wanted & SOFTMAX_BIT:
        constants.kind = PROBABILITY
        activation_constants(block, lanes, gradient)
        return
    if block.wanted & (VALUE | LOG_SOFTMAX_BIT) or block.gamma != 0 or block.has_targets:
        set_log_totals(block, lanes, unused)
    if block.wanted & LOG_SOFTMAX_BIT:
        constants.kind = LOGARITHM
        activation_constants(block, lanes, gradient)
        return
    constants.hessian_kind = CURVATURE
    if block.wanted & HESSIAN:
        curvature_constants(block, lanes, hessian)
    if block.has_targets:
        constants.kind = TARGETS
        target_constants(block, lanes, gradient)
        return  # with a focal factor, only what does not depend on it
    if block.wanted & VALUE or block.gamma != 0:
        label_losses(block, lanes)
    if block.gamma != 0:
        constants.kind = FOCAL
        constants.hessian_kind = FOCAL_CURVATURE
        focal_label_constants(block, lanes, gradient, hessian, constants.own, constants.own_hessian)
    elif block.wanted & GRADIENT:
        constants.kind = SHIFTED if block.smoothing != 0 else SCALED
        label_constants(block, lanes, gradient, constants.own)


cdef void compute_tile(RowBlock *block, real *z, real *e, real *t, real *gradient, real unused) noexcept nogil:
    # The gradient, softmax or log_softmax of a tile; the Hessian is left in z.
    cdef real maximum[WIDTH]
    cdef real offset[WIDTH]
    cdef real shifter[WIDTH]
    cdef real lowest[WIDTH]
    cdef real largest[WIDTH]
    cdef RowConstants constants
    cdef Py_ssize_t classes = block.classes
    cdef Py_ssize_t lanes = whole_lanes(block.rows)
    cdef Py_ssize_t r
    prepare(block)
    tile_maxima(z, classes, lanes, maximum)
    resolve_tile(z, classes, block.rows, maximum)
    set_scales(maximum, lanes, offset, shifter, lowest, largest, block)
    tile_exponentials(z, offset, shifter, lowest, classes, lanes, e)
    if block.wanted & (VALUE | GRADIENT | HESSIAN) and not block.has_targets:
        for r in range(block.rows):
            take_label(block, r, z[block.label[r] * WIDTH + r], e + block.label[r] * WIDTH + r)
    tile_sums(e, largest, lanes, block)
    if block.has_targets:
        tile_targets(z, <const real *>t, e, maximum, largest, lanes, block)
    elif block.smoothing != 0:
        tile_gaps(z, maximum, lanes, block)
    finish_rows(block, lanes, &constants, unused)
    if is_general_focal(block):
        compute_focal_tile(block, z, <const real *>e, t, lanes, gradient)
        clear_tile(block, z, gradient)
        return
    if block.wanted & HESSIAN:
        tile_results(constants.hessian_kind, e, t, classes, lanes, <real *>constants.hessian, z)
        for r in range(block.rows if constants.hessian_kind == FOCAL_CURVATURE else 0):
            z[block.label[r] * WIDTH + r] = <real>constants.own_hessian[r]
    if block.wanted & (GRADIENT | SOFTMAX_BIT | LOG_SOFTMAX_BIT):
        tile_results(
            constants.kind, e, <const real *>(z if block.wanted & LOG_SOFTMAX_BIT else t), classes, lanes,
            <real *>constants.gradient, gradient
        )
    if block.wanted & GRADIENT:
        finish_gradient_tile(block, &constants, lanes, gradient)
    clear_tile(block, z, gradient)


cdef void clear_tile(RowBlock *block, real *hessian, real *gradient) noexcept nogil:
    # Rows of weight 0 are 0, whatever they hold.
    cdef Py_ssize_t r, k
    cdef Py_ssize_t zeros = 0
    for r in range(block.rows):
        zeros += block.weight[r] == 0
    for r in range(block.rows if zeros > 0 and block.wanted & (VALUE | GRADIENT | HESSIAN) else 0):
        if block.weight[r] == 0:
            block.loss[r] = 0
            for k in range(block.classes):
                gradient[k * WIDTH + r] = hessian[k * WIDTH + r] = 0


cdef void finish_gradient_tile(
    RowBlock *block, const RowConstants *constants, Py_ssize_t lanes, real *gradient
) noexcept nogil:
    # What is no matter of every number: boosted rows, and the labels
    cdef Py_ssize_t r, k
    cdef Py_ssize_t others = 0
    for r in range(lanes):
        others += block.unscale[r] != 1
    for k in range(block.classes if others > 0 else 0):
        for r in range(lanes):
            gradient[k * WIDTH + r] *= <real>block.unscale[r]
    for r in range(0 if block.has_targets else block.rows):
        gradient[block.label[r] * WIDTH + r] = <real>constants.own[r]


# ---------------------------------------------------------------- rows of many classes

# A driver takes up to WIDTH rows through these stages; the rows lie where the pointers say. Rows of more than BATCH
# classes come alone, segment by segment: a stage is called for each segment before the next one begins. first is the
# segment's first class, n its length, which is at least SUM_LANES.

cdef void start_rows(RowBlock *block) noexcept nogil:
    cdef Py_ssize_t r
    prepare(block)
    for r in range(WIDTH):
        block.maximum[r] = -INFINITY


cdef void add_maxima(RowBlock *block, real **z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(block.rows):
        block.maximum[r] = row_maximum(<const real *>z[r], n, <real>block.maximum[r])


cdef void set_row_scales(RowBlock *block, real unused) noexcept nogil:
    # After the maxima, in which +inf has been replaced by 0 (resolve_infinite)
    cdef real maximum[WIDTH]
    cdef real offset[WIDTH]
    cdef real shifter[WIDTH]
    cdef real lowest[WIDTH]
    cdef real largest[WIDTH]
    cdef Py_ssize_t r
    for r in range(WIDTH):
        maximum[r] = <real>block.maximum[r]
    set_scales(maximum, block.rows, offset, shifter, lowest, largest, block)
    for r in range(block.rows):
        block.offset[r] = offset[r]
        block.shifter[r] = shifter[r]
        block.lowest[r] = lowest[r]


cdef void fill_exponentials(RowBlock *block, real **z, Py_ssize_t n, real *e, Py_ssize_t stride) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(block.rows):
        row_exponentials(
            z[r], n, <real>block.offset[r], <real>block.shifter[r], <real>block.lowest[r], e + r * stride
        )


cdef void add_sums(
    RowBlock *block, real **z, real **t, Py_ssize_t first, Py_ssize_t n, real *e, Py_ssize_t stride
) noexcept nogil:
    cdef Py_ssize_t r, k
    if block.wanted & (VALUE | GRADIENT | HESSIAN) and not block.has_targets:
        for r in range(block.rows):
            k = block.label[r] - first
            if 0 <= k < n:
                take_label(block, r, z[r][k], e + r * stride + k)
    for r in range(block.rows):
        add_row_sum(<const real *>(e + r * stride), n, first == 0, r, block)
    if block.has_targets:
        for r in range(block.rows):
            add_row_targets(<const real *>z[r], <const real *>t[r], <const real *>(e + r * stride), n, first == 0, r, block)
    elif block.smoothing != 0:
        for r in range(block.rows):
            add_row_gap(<const real *>z[r], n, first == 0, r, block)


cdef void write_hessian(
    RowBlock *block, const RowConstants *constants, Py_ssize_t first, Py_ssize_t n, const real *e, Py_ssize_t stride,
    real **out
) noexcept nogil:
    cdef Py_ssize_t r, k
    for r in range(block.rows):
        row_results(
            constants.hessian_kind, e + r * stride, e + r * stride, n, <const real *>constants.hessian + r, out[r]
        )
        k = block.label[r] - first
        if constants.hessian_kind == FOCAL_CURVATURE and 0 <= k < n:
            out[r][k] = <real>constants.own_hessian[r]
        if block.weight[r] == 0:
            memset(out[r], 0, n * sizeof(real))


cdef void write_results(
    RowBlock *block, const RowConstants *constants, Py_ssize_t first, Py_ssize_t n, const real *e, Py_ssize_t stride,
    real **x, real **out
) noexcept nogil:
    # The gradient, softmax or log_softmax. x: the targets or the logits
    cdef Py_ssize_t r, k, j
    for r in range(block.rows):
        row_results(constants.kind, e + r * stride, <const real *>x[r], n, <const real *>constants.gradient + r, out[r])
    for r in range(block.rows if block.wanted & GRADIENT else 0):
        if block.unscale[r] != 1:
            for j in range(n):
                out[r][j] *= <real>block.unscale[r]
        k = block.label[r] - first
        if not block.has_targets and 0 <= k < n:
            out[r][k] = <real>constants.own[r]
        if block.weight[r] == 0:
            memset(out[r], 0, n * sizeof(real))


# ---------------------------------------------------------------- the driver

cdef enum:
    KEPT_BYTES = 1 << 18  # of the exponentials of a row that wait in the arena for its sum
    ROW_BUFFER = BATCH + 2 * SUM_LANES * WIDTH  # numbers: of rows of many classes, padded

cdef struct Arena:  # where the numbers of some rows are while they are computed
    RowBlock *block
    RowConstants *constants
    FocalSums *focal
    char *z
    char *e
    char *t
    char *first  # results, or what waits for them
    char *second


cdef inline Py_ssize_t tile_size(Py_ssize_t classes, real unused) noexcept nogil:
    return (classes * WIDTH + SUM_LANES) * sizeof(real)


cdef inline Py_ssize_t kept_classes(Py_ssize_t classes, real unused) noexcept nogil:
    # How many exponentials of a row the arena holds
    return min(classes, <Py_ssize_t>KEPT_BYTES // <Py_ssize_t>sizeof(real)) + ROW_BUFFER


cdef Py_ssize_t arena_size(Py_ssize_t classes, real unused) noexcept nogil:
    cdef Py_ssize_t size = sizeof(RowBlock) + sizeof(RowConstants) + sizeof(FocalSums) + 8 * 64
    if classes <= MAX_TILE_CLASSES:
        return size + 4 * tile_size(classes, unused)
    return size + (4 * ROW_BUFFER + kept_classes(classes, unused)) * sizeof(real)


cdef char *take(char **place, Py_ssize_t size) noexcept nogil:
    cdef char *taken = place[0]
    place[0] += (size + 63) & -64
    return taken


cdef void lay_out(Arena *arena, char *memory, Py_ssize_t classes, real unused) noexcept nogil:
    cdef char *place = <char *>((<uintptr_t>memory + 63) & ~<uintptr_t>63)
    cdef Py_ssize_t size = ROW_BUFFER * sizeof(real)
    cdef Py_ssize_t e_size = kept_classes(classes, unused) * sizeof(real)
    if classes <= MAX_TILE_CLASSES:
        size = e_size = tile_size(classes, unused)
    arena.block = <RowBlock *>take(&place, sizeof(RowBlock))
    arena.constants = <RowConstants *>take(&place, sizeof(RowConstants))
    arena.focal = <FocalSums *>take(&place, sizeof(FocalSums))
    arena.z = take(&place, size)
    arena.e = take(&place, e_size)
    arena.t = take(&place, size)
    arena.first = take(&place, size)
    arena.second = take(&place, size) if classes > MAX_TILE_CLASSES else arena.z


cdef void set_block(RowBlock *block, const Job *job, bint has_targets) noexcept nogil:
    block.classes = job.classes
    block.has_targets = has_targets
    block.smoothing = 0 if has_targets else job.options.smoothing
    block.gamma = job.options.gamma
    block.wanted = 0
    if job.activation != NOT_ACTIVATION:
        block.wanted = SOFTMAX_BIT if job.activation == SOFTMAX else LOG_SOFTMAX_BIT
        block.smoothing = block.gamma = 0
        return
    if job.value.data != NULL or job.wanted_sum:
        block.wanted |= VALUE
    if job.gradient.data != NULL:
        block.wanted |= GRADIENT
    if job.hessian.data != NULL:
        block.wanted |= HESSIAN


cdef struct RowInputs:  # of a block of rows, in double; of activations, nothing
    const int64_t *labels
    const bint *has_targets
    const double *w
    const double *factors
    double *losses


cdef int run_tile(
    Job *job, Arena *arena, const RowInputs *rows, Py_ssize_t start, Py_ssize_t first, Py_ssize_t n, bint has_targets,
    real unused
) noexcept nogil:
    # The rows of a tile that have targets, or those that have labels
    cdef bint mine[WIDTH]
    cdef int64_t labels[WIDTH]
    cdef RowBlock *block = arena.block
    cdef real *z = <real *>arena.z
    cdef real *t = <real *>arena.t
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t r
    set_block(block, job, has_targets)
    for r in range(WIDTH):
        block.label[r] = 0
        block.weight[r] = 1
        block.factor[r] = 0
    for r in range(n):
        mine[r] = rows.labels == NULL or rows.has_targets[first + r] == has_targets
        count += mine[r]
        if mine[r] and rows.labels != NULL:
            labels[r] = rows.labels[first + r]
            block.label[r] = 0 if has_targets else labels[r]
            block.weight[r] = rows.w[first + r]
            block.factor[r] = rows.factors[first + r]
    if count == 0:
        return SOFT
    block.rows = n
    if has_targets and not taus_tile(job, start + first, n, labels, mine, block.weight, t):
        return BAD
    if block.wanted == 0:
        return SOFT
    load_tile(&job.x, start + first, n, whole_lanes(n), classes, z)
    compute_tile(block, z, <real *>arena.e, t, <real *>arena.first, unused)
    for r in range(n if rows.labels != NULL else 0):
        if mine[r]:
            rows.losses[first + r] = block.loss[r]
    if job.hessian.data != NULL:
        store_tile(&job.hessian, start + first, n, classes, z, mine)
    if job.gradient.data != NULL:
        store_tile(&job.gradient, start + first, n, classes, <real *>arena.first, mine)
    return SOFT


cdef real *load_row(const Array *array, Py_ssize_t start, Py_ssize_t n, real *buffer) noexcept nogil:
    # Any number of numbers where they lie, or in the buffer
    cdef Py_ssize_t i
    if of_computing_type(array, <real>0):
        return <real *>array.data + start
    for i in range(blocks(n)):
        load(array, start + i * BLOCK, 1, min(n - i * BLOCK, <Py_ssize_t>BLOCK), buffer + i * BLOCK)
    return buffer


cdef bint load_row_targets(
    const Job *job, Py_ssize_t row, int64_t label, double w, Py_ssize_t first, Py_ssize_t n, real *buffer, real **t
) noexcept nogil:
    # The weighted targets of a segment, in t; False if one is out of its domain
    cdef double wide[BLOCK]
    cdef bint mine = True
    cdef const double *weights = NULL
    cdef Py_ssize_t i, k, count
    t[0] = buffer
    if tau_lies_there(job, w, <real>0):
        t[0] = <real *>job.targets.data + row * job.classes + first
        return in_domain(<const real *>t[0], n)
    for i in range(blocks(n)):
        k = i * BLOCK
        count = min(n - k, <Py_ssize_t>BLOCK)
        if job.class_weights != NULL:
            weights = job.class_weights + first + k
        if not taus_of_rows(job, row, 1, &label, &mine, &w, first + k, count, weights, wide):
            return False
        convert(&wide[0], buffer + k, count)
    return True


cdef struct Batch:  # some rows of many classes: their places
    Py_ssize_t row[WIDTH]
    int64_t label[WIDTH]
    Py_ssize_t stride  # from one row to the next one in the arena, in numbers
    Py_ssize_t segments
    bint kept  # all exponentials stay in the arena
    bint in_gradient  # they wait where the gradient will be


cdef inline Py_ssize_t segments_of(Py_ssize_t classes) noexcept nogil:
    # All of BATCH classes but the last one, which has at least SUM_LANES
    return max((classes - SUM_LANES) // BATCH + 1, <Py_ssize_t>1)


cdef inline Py_ssize_t segment_length(const Batch *batch, Py_ssize_t classes, Py_ssize_t segment) noexcept nogil:
    return classes - segment * BATCH if segment + 1 == batch.segments else <Py_ssize_t>BATCH


cdef bint load_segment(
    const Job *job, const Arena *arena, const Batch *batch, Py_ssize_t segment, bint copied, real **z
) noexcept nogil:
    # The logits of a segment of each row; a row that has +inf is rewritten
    cdef RowBlock *block = arena.block
    cdef real *buffer = <real *>arena.z
    cdef Py_ssize_t n = segment_length(batch, job.classes, segment)
    cdef Py_ssize_t r
    for r in range(block.rows):
        z[r] = load_row(&job.x, batch.row[r] * job.classes + segment * BATCH, n, buffer + r * batch.stride)
        if block.infinite[r] > 0:
            resolve_infinite(<const real *>z[r], n, block.infinite[r], buffer + r * batch.stride)
            z[r] = buffer + r * batch.stride
        elif copied and z[r] != buffer + r * batch.stride:
            memcpy(buffer + r * batch.stride, z[r], n * sizeof(real))
            z[r] = buffer + r * batch.stride
    return True


cdef void find_maxima(const Job *job, const Arena *arena, const Batch *batch, real **z) noexcept nogil:
    # Leaves the first segment loaded, if it is the only one.
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t segment, n, r
    cdef Py_ssize_t infinite = 0
    memset(block.infinite, 0, sizeof(block.infinite))
    for segment in range(batch.segments):
        if halted_at(job, segment):
            return
        load_segment(job, arena, batch, segment, False, z)
        add_maxima(block, z, segment_length(batch, job.classes, segment))
    for r in range(block.rows):
        infinite += block.maximum[r] == INFINITY
    if infinite == 0:
        return
    for segment in range(batch.segments):
        if halted_at(job, segment):
            return
        n = segment_length(batch, job.classes, segment)
        load_segment(job, arena, batch, segment, False, z)
        for r in range(block.rows):
            if block.maximum[r] == INFINITY:
                block.new_infinite[r] = count_infinite(<const real *>z[r], n) + (0 if segment == 0 else block.new_infinite[r])
    for r in range(block.rows):
        if block.maximum[r] == INFINITY:
            block.infinite[r] = block.new_infinite[r]
            block.maximum[r] = 0
    if batch.segments == 1:
        load_segment(job, arena, batch, 0, False, z)


cdef bint load_targets(
    const Job *job, const Arena *arena, const Batch *batch, Py_ssize_t segment, real **t
) noexcept nogil:
    # The weighted targets of a segment of each row, if there are some; False if one is out of its domain
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t n = segment_length(batch, job.classes, segment)
    cdef Py_ssize_t r
    for r in range(block.rows if block.has_targets else 0):
        if not load_row_targets(
            job, batch.row[r], batch.label[r], block.weight[r], segment * BATCH, n,
            <real *>arena.t + r * batch.stride, &t[r]
        ):
            return False
    return True


cdef int fill_sums(Job *job, Arena *arena, const Batch *batch, real **z, real **t) noexcept nogil:
    # Stage one of some rows
    cdef RowBlock *block = arena.block
    cdef real *e = <real *>arena.e
    cdef Py_ssize_t segment, n
    find_maxima(job, arena, batch, z)
    set_row_scales(block, <real>0)
    for segment in range(batch.segments):
        if halted_at(job, segment):
            return SOFT
        n = segment_length(batch, job.classes, segment)
        if batch.segments > 1:
            load_segment(job, arena, batch, segment, False, z)
        if not load_targets(job, arena, batch, segment, t):
            return BAD
        e = <real *>arena.e + (segment * BATCH if batch.kept else 0)
        fill_exponentials(block, z, n, e, batch.stride)
        add_sums(block, z, t, segment * BATCH, n, e, batch.stride)
        if batch.in_gradient:
            memcpy(<real *>job.gradient.data + batch.row[0] * job.classes + segment * BATCH, e, n * sizeof(real))
    join_sums(block, <real>0)
    return SOFT


cdef real *reload(
    Job *job, Arena *arena, const Batch *batch, Py_ssize_t segment, real **z, real **t
) noexcept nogil:
    # What stage two needs of a segment: the exponentials, and logits and targets
    cdef RowBlock *block = arena.block
    cdef real *e = <real *>arena.e + (segment * BATCH if batch.kept else 0)
    cdef Py_ssize_t n = segment_length(batch, job.classes, segment)
    cdef bint copied = block.wanted & LOG_SOFTMAX_BIT != 0 and job.in_place
    cdef bint again = not batch.kept and not batch.in_gradient
    cdef bint needed = block.wanted & LOG_SOFTMAX_BIT != 0 or is_general_focal(block)
    cdef Py_ssize_t r
    if batch.segments > 1 and (needed or again) or copied:
        load_segment(job, arena, batch, segment, copied, z)
    if batch.segments > 1:
        load_targets(job, arena, batch, segment, t)
    if batch.in_gradient:
        memcpy(e, <real *>job.gradient.data + batch.row[0] * job.classes + segment * BATCH, n * sizeof(real))
    elif again and not block.wanted & LOG_SOFTMAX_BIT:
        fill_exponentials(block, z, n, e, batch.stride)
    return e


cdef int run_batch(Job *job, Arena *arena, const Batch *batch, real unused) noexcept nogil:
    cdef real *z[WIDTH]
    cdef real *t[WIDTH]
    cdef real *gradient[WIDTH]
    cdef real *hessian[WIDTH]
    cdef real *e
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t segment, first, n
    start_rows(block)
    if fill_sums(job, arena, batch, &z[0], &t[0]) == BAD:
        return BAD
    finish_rows(block, block.rows, arena.constants, unused)
    if is_general_focal(block):
        add_focal_segments(job, arena, batch, &z[0], &t[0])
    for segment in range(batch.segments if block.wanted & ~VALUE else 0):
        if halted_at(job, segment):
            return SOFT
        first = segment * BATCH
        n = segment_length(batch, job.classes, segment)
        e = reload(job, arena, batch, segment, &z[0], &t[0])
        set_places(job, &job.gradient, batch, block.rows, first, <real *>arena.first, &gradient[0])
        set_places(job, &job.hessian, batch, block.rows, first, <real *>arena.second, &hessian[0])
        if is_general_focal(block):
            write_focal(arena, batch, segment, n, &z[0], <const real *>e, &t[0], &gradient[0], &hessian[0])
        else:
            write_all(block, arena.constants, first, n, e, batch.stride, &z[0], &t[0], &gradient[0], &hessian[0])
        if block.wanted & HESSIAN:
            store_places(&job.hessian, batch, block.rows, job.classes, first, n, &hessian[0])
        if block.wanted & ~(VALUE | HESSIAN):
            store_places(&job.gradient, batch, block.rows, job.classes, first, n, &gradient[0])
    return SOFT


cdef void write_all(
    RowBlock *block, const RowConstants *constants, Py_ssize_t first, Py_ssize_t n, real *e, Py_ssize_t stride,
    real **z, real **t, real **gradient, real **hessian
) noexcept nogil:
    cdef Py_ssize_t r
    if block.wanted & HESSIAN:
        write_hessian(block, constants, first, n, <const real *>e, stride, hessian)
    for r in range(0 if block.has_targets else block.rows):
        t[r] = z[r] if block.wanted & LOG_SOFTMAX_BIT else e + r * stride  # or what is not read
    if block.wanted & ~(VALUE | HESSIAN):
        write_results(block, constants, first, n, <const real *>e, stride, t, gradient)


cdef void add_focal_segments(
    Job *job, Arena *arena, const Batch *batch, real **z, real **t
) noexcept nogil:
    # Of one row
    cdef real *first = <real *>arena.first
    cdef real *second = <real *>arena.second
    cdef real *e
    cdef Py_ssize_t segment
    memset(arena.focal, 0, sizeof(FocalSums))
    for segment in range(batch.segments):
        if halted_at(job, segment):
            return
        e = reload(job, arena, batch, segment, z, t)
        add_focal_row(
            arena.block, <const real *>z[0], <const real *>e, <const real *>t[0],
            segment_length(batch, job.classes, segment), 0, first, second, arena.focal
        )
    keep_focal_row(arena.block, 0, arena.focal)


cdef void write_focal(
    Arena *arena, const Batch *batch, Py_ssize_t segment, Py_ssize_t n, real **z, const real *e, real **t,
    real **gradient, real **hessian
) noexcept nogil:
    # Of a segment of one row; of several segments, what waited is computed again
    cdef real *first = <real *>arena.first
    cdef real *second = <real *>arena.second
    if batch.segments > 1:
        add_focal_row(arena.block, <const real *>z[0], e, <const real *>t[0], n, 0, first, second, arena.focal)
    write_focal_row(arena.block, e, <const real *>first, <const real *>second, n, 0, gradient[0], hessian[0])
    if arena.block.weight[0] == 0:
        clear_row(arena.block, n, gradient[0], hessian[0])


cdef void clear_row(const RowBlock *block, Py_ssize_t n, real *gradient, real *hessian) noexcept nogil:
    if block.wanted & GRADIENT:
        memset(gradient, 0, n * sizeof(real))
    if block.wanted & HESSIAN:
        memset(hessian, 0, n * sizeof(real))


cdef void set_places(
    const Job *job, const Array *out, const Batch *batch, Py_ssize_t rows, Py_ssize_t first, real *buffer, real **places
) noexcept nogil:
    # Where the results of a segment go: to their place, or through the buffer
    cdef Py_ssize_t r
    cdef bint direct = of_computing_type(out, <real>0)
    for r in range(rows):
        places[r] = buffer + r * batch.stride
        if direct:
            places[r] = <real *>out.data + batch.row[r] * job.classes + first


cdef void store_places(
    const Array *out, const Batch *batch, Py_ssize_t rows, Py_ssize_t classes, Py_ssize_t first, Py_ssize_t n,
    real **places
) noexcept nogil:
    cdef Py_ssize_t r
    if of_computing_type(out, <real>0):
        return
    for r in range(rows):
        store(out, batch.row[r] * classes + first, n, places[r])


cdef bint check_targets(
    const Job *job, Py_ssize_t row, int64_t label, double w, real *buffer
) noexcept nogil:
    # Of a row, without computing anything
    cdef real *t
    cdef Py_ssize_t segment, first
    for segment in range((job.classes + BATCH - 1) // BATCH):
        if halted_at(job, segment):
            return True
        first = segment * BATCH
        if not load_row_targets(job, row, label, w, first, min(job.classes - first, <Py_ssize_t>BATCH), buffer, &t):
            return False
    return True


cdef int run_batches(
    Job *job, Arena *arena, const RowInputs *rows, Py_ssize_t start, Py_ssize_t n, bint has_targets, real unused
) noexcept nogil:
    # The rows of many classes that have targets, or those that have labels; those of weight 0 are not read
    cdef Batch batch
    cdef RowBlock *block = arena.block
    cdef Py_ssize_t lanes = width(unused)
    cdef Py_ssize_t height = max(min(BATCH // job.classes, <Py_ssize_t>WIDTH), <Py_ssize_t>1)
    cdef Py_ssize_t i, r
    cdef Py_ssize_t count = 0
    set_block(block, job, has_targets)
    if is_general_focal(block):
        height = 1
    batch.segments = segments_of(job.classes)
    batch.stride = job.classes // lanes * lanes + lanes if batch.segments == 1 else <Py_ssize_t>ROW_BUFFER
    batch.kept = batch.segments == 1 or job.classes <= KEPT_BYTES // <Py_ssize_t>sizeof(real)
    batch.in_gradient = (
        not batch.kept and of_computing_type(&job.gradient, unused) and job.gradient.data != NULL
        and not is_general_focal(block) and not block.wanted & LOG_SOFTMAX_BIT
    )
    for i in range(n):
        if rows.labels != NULL:
            if rows.has_targets[i] != has_targets:
                continue
            if rows.w[i] == 0:
                rows.losses[i] = 0
                clear_numbers(job, &job.gradient, (start + i) * job.classes, job.classes)
                clear_numbers(job, &job.hessian, (start + i) * job.classes, job.classes)
                continue
            if block.wanted == 0:
                if has_targets and not check_targets(job, start + i, rows.labels[i], rows.w[i], <real *>arena.t):
                    return BAD
                continue
        batch.row[count] = start + i
        if rows.labels != NULL:
            batch.label[count] = rows.labels[i]
            block.label[count] = -1 if has_targets else rows.labels[i]
            block.weight[count] = rows.w[i]
            block.factor[count] = rows.factors[i]
        count += 1
        if count == height:
            block.rows = count
            if run_batch(job, arena, &batch, unused) == BAD:
                return BAD
            keep_losses(block, &batch, rows, start)
            count = 0
    if count > 0:
        block.rows = count
        if run_batch(job, arena, &batch, unused) == BAD:
            return BAD
        keep_losses(block, &batch, rows, start)
    return SOFT


cdef void keep_losses(const RowBlock *block, const Batch *batch, const RowInputs *rows, Py_ssize_t start) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(block.rows if rows.labels != NULL and block.wanted & VALUE else 0):
        rows.losses[batch.row[r] - start] = 0 if block.weight[r] == 0 else block.loss[r]


cdef int logit_rows(Job *job, char *memory, const RowInputs *rows, Py_ssize_t start, Py_ssize_t n, real unused) noexcept nogil:
    # A block of rows, or of an activation any number
    cdef Arena arena
    cdef Py_ssize_t first, r
    cdef Py_ssize_t targets = 0
    cdef bint kind
    lay_out(&arena, memory, job.classes, unused)
    for r in range(n if rows.labels != NULL else 0):
        targets += rows.has_targets[r]
    for kind in range(2):
        if (targets == 0 and kind) or (targets == n and n > 0 and not kind):
            continue
        if job.classes > MAX_TILE_CLASSES:
            if run_batches(job, &arena, rows, start, n, kind, unused) == BAD:
                return BAD
            continue
        for first in range(0, n, 64):
            if run_tile(job, &arena, rows, start, first, min(n - first, <Py_ssize_t>WIDTH), kind, unused) == BAD:
                return BAD
    return SOFT
