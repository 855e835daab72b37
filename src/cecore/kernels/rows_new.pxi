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
    UNSCALED = 8  # a e, of a result that was scaled
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


cdef inline void strip_results_of(
    int kind, const real *e, const real *x, Py_ssize_t step, Py_ssize_t count, const real *constants,
    real *restrict out
) noexcept nogil:
    # x: the logits or the targets, where they are needed. The constants are WIDTH apart, one for each lane.
    cdef real a, b, c, d, f, g, h, q, rest, value
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j, k
    for i in range(count):
        for j in range(lanes):
            k = i * step + j
            a = constants[j]
            b = constants[WIDTH + j]
            c = constants[2 * WIDTH + j]
            d = constants[3 * WIDTH + j]
            f = constants[4 * WIDTH + j]
            g = constants[5 * WIDTH + j]
            h = constants[6 * WIDTH + j]
            q = constants[7 * WIDTH + j]
            if kind == SCALED or kind == UNSCALED:
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


cdef void strip_results(
    int kind, const real *e, const real *x, Py_ssize_t step, Py_ssize_t count, const real *constants,
    real *restrict out
) noexcept nogil:
    if kind == SCALED:
        strip_results_of(SCALED, e, x, step, count, constants, out)
    elif kind == SHIFTED:
        strip_results_of(SHIFTED, e, x, step, count, constants, out)
    elif kind == FOCAL:
        strip_results_of(FOCAL, e, x, step, count, constants, out)
    elif kind == TARGETS:
        strip_results_of(TARGETS, e, x, step, count, constants, out)
    elif kind == PROBABILITY:
        strip_results_of(PROBABILITY, e, x, step, count, constants, out)
    elif kind == LOGARITHM:
        strip_results_of(LOGARITHM, e, x, step, count, constants, out)
    elif kind == CURVATURE:
        strip_results_of(CURVATURE, e, x, step, count, constants, out)
    else:
        strip_results_of(FOCAL_CURVATURE, e, x, step, count, constants, out)


cdef void tile_results(
    int kind, const real *e, const real *x, Py_ssize_t classes, Py_ssize_t lanes, const real *constants, real *out
) noexcept nogil:
    cdef Py_ssize_t step = width(<real>0)
    cdef Py_ssize_t i
    for i in range(lanes // step):
        strip_results(kind, e + i * step, x + i * step, WIDTH, classes, constants + i * step, out + i * step)


cdef void row_results(
    int kind, const real *e, const real *x, Py_ssize_t n, Py_ssize_t r, const real *constants, real *out
) noexcept nogil:
    # At least SUM_LANES numbers, some of the last ones twice
    cdef real lane_constants[CONSTANTS * WIDTH]
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j
    for i in range(CONSTANTS):
        for j in range(lanes):
            lane_constants[i * WIDTH + j] = constants[i * WIDTH + r]
    strip_results(kind, e, x, lanes, n // lanes, lane_constants, out)
    if n % lanes != 0:
        strip_results(kind, e + n - lanes, x + n - lanes, lanes, 1, lane_constants, out + n - lanes)


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
        rests[r] = block.complement[r] * block.inverse[r]
    powers(rests, g, rows, power)
    for r in range(rows):
        p = block.label_e[r] * block.inverse[r]
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
        return
    if block.wanted & VALUE or block.gamma != 0:
        label_losses(block, lanes)
    if block.gamma != 0:
        constants.kind = FOCAL
        constants.hessian_kind = FOCAL_CURVATURE
        focal_label_constants(block, lanes, gradient, hessian, constants.own, constants.own_hessian)
    elif block.wanted & GRADIENT:
        constants.kind = SHIFTED if block.smoothing != 0 else SCALED
        label_constants(block, lanes, gradient, constants.own)


cdef void compute_tile(RowBlock *block, real *z, real *e, const real *t, real *gradient, real unused) noexcept nogil:
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
    set_scales(maximum, lanes, offset, shifter, lowest, largest)
    for r in range(lanes):
        block.maximum[r] = maximum[r]
        block.largest[r] = largest[r]
    tile_exponentials(z, offset, shifter, lowest, classes, lanes, e)
    if block.wanted & (VALUE | GRADIENT | HESSIAN) and not block.has_targets:
        for r in range(block.rows):
            take_label(block, r, z[block.label[r] * WIDTH + r], e + block.label[r] * WIDTH + r)
    tile_sums(e, largest, block.but_largest, classes, lanes, block.sum, block.sum_error, offset)
    for r in range(lanes):
        block.ties[r] = offset[r]
    if block.has_targets:
        tile_targets(z, t, e, maximum, largest, lanes, block)
    elif block.smoothing != 0:
        tile_gaps(z, maximum, classes, lanes, block.gap)
    finish_rows(block, lanes, &constants, unused)
    if block.wanted & HESSIAN:
        tile_results(constants.hessian_kind, e, t, classes, lanes, <real *>constants.hessian, z)
        for r in range(block.rows if constants.hessian_kind == FOCAL_CURVATURE else 0):
            z[block.label[r] * WIDTH + r] = <real>constants.own_hessian[r]
    if block.wanted & ~(VALUE | HESSIAN):
        tile_results(
            constants.kind, e, <const real *>z if block.wanted & LOG_SOFTMAX_BIT else t, classes, lanes,
            <real *>constants.gradient, gradient
        )
        if block.wanted & GRADIENT:
            finish_gradient_tile(block, &constants, lanes, gradient)


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
    memset(block.gap, 0, sizeof(block.gap))
    memset(block.gap_error, 0, sizeof(block.gap_error))
    memset(block.sum, 0, sizeof(block.sum))
    memset(block.sum_error, 0, sizeof(block.sum_error))
    memset(block.ties, 0, sizeof(block.ties))
    memset(block.others, 0, sizeof(block.others))
    memset(block.others_error, 0, sizeof(block.others_error))
    memset(block.of_largest, 0, sizeof(block.of_largest))
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
    set_scales(maximum, block.rows, offset, shifter, lowest, largest)
    for r in range(block.rows):
        block.offset[r] = offset[r]
        block.shifter[r] = shifter[r]
        block.lowest[r] = lowest[r]
        block.largest[r] = largest[r]


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
        row_sum(e + r * stride, n, <real>block.largest[r], block.but_largest, r, block)
    if block.has_targets:
        for r in range(block.rows):
            row_targets(<const real *>z[r], <const real *>t[r], <const real *>(e + r * stride), n, r, block)
    elif block.smoothing != 0:
        for r in range(block.rows):
            row_gap(<const real *>z[r], n, <real>block.maximum[r], r, block)


cdef void write_hessian(
    RowBlock *block, const RowConstants *constants, Py_ssize_t first, Py_ssize_t n, const real *e, Py_ssize_t stride,
    real **out
) noexcept nogil:
    cdef Py_ssize_t r, k
    for r in range(block.rows):
        row_results(
            constants.hessian_kind, e + r * stride, e + r * stride, n, r, <const real *>constants.hessian, out[r]
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
        row_results(constants.kind, e + r * stride, <const real *>x[r], n, r, <const real *>constants.gradient, out[r])
    for r in range(block.rows if block.wanted & GRADIENT else 0):
        if block.unscale[r] != 1:
            for j in range(n):
                out[r][j] *= <real>block.unscale[r]
        k = block.label[r] - first
        if not block.has_targets and 0 <= k < n:
            out[r][k] = <real>constants.own[r]
        if block.weight[r] == 0:
            memset(out[r], 0, n * sizeof(real))
