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
    CONSTANTS = 11  # the last three: what rounding a (or f) lost; the label and its result, of a tile
    LOW = 8
    LABEL = 9


cdef struct RowConstants:  # of the results of some rows, in either type
    double gradient[CONSTANTS * WIDTH]
    double hessian[CONSTANTS * WIDTH]
    double label_gradient[WIDTH]  # the gradient at the label
    double label_hessian[WIDTH]
    int kind
    int hessian_kind


cdef inline real scaled(real e, real a, real low) noexcept nogil:
    return fma(e, a, e * low)  # e (a + low)


cdef inline real scaled_less(real e, real a, real low, real b) noexcept nogil:
    return fma(e, a, fma(e, low, 0 - b))


cdef inline void results_of(
    int kind, bint one_row, const real *e, const real *x, Py_ssize_t registers, const real *constants,
    real *restrict out
) noexcept nogil:
    # Registers of one row, or of a strip. x: the logits or the targets, where they are needed. The constants of a row
    # are WIDTH apart. In a strip, the label has its label_result result.
    cdef real a, b, c, d, f, g, h, q, low, label, label_result, rest, value
    cdef bint has_label = not one_row and (kind <= FOCAL or kind == FOCAL_CURVATURE)
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j, k, r
    for i in range(registers):
        for j in range(lanes):
            k = i * (lanes if one_row else <Py_ssize_t>WIDTH) + j
            r = 0 if one_row else j
            a = constants[r]
            b = constants[WIDTH + r]
            c = constants[2 * WIDTH + r]
            d = constants[3 * WIDTH + r]
            f = constants[4 * WIDTH + r]
            g = constants[5 * WIDTH + r]
            h = constants[6 * WIDTH + r]
            q = constants[7 * WIDTH + r]
            low = constants[LOW * WIDTH + r]
            label = constants[LABEL * WIDTH + r]
            label_result = constants[(LABEL + 1) * WIDTH + r]
            if kind == SCALED:
                value = scaled(e[k], a, low)
            elif kind == SHIFTED:
                value = scaled_less(e[k], a, low, b)
            elif kind == FOCAL:
                value = scaled(e[k], a, low) * b
            elif kind == TARGETS:
                value = scaled_less(e[k], a, low, x[k] * b)
                value = d if e[k] == c else value
            elif kind == PROBABILITY:
                value = scaled(e[k], a, low)
                value = c if e[k] == b else value
            elif kind == LOGARITHM:
                value = (x[k] - a) - b
            else:
                rest = d - e[k]
                rest = c if e[k] == b else rest
                value = ((scaled(e[k], f, low) * rest) * a) * g
                if kind == FOCAL_CURVATURE:
                    value = fma((e[k] * h) * (e[k] * h), q, value)
            if has_label:
                value = label_result if label == <real><int>i else value
            out[k] = value


cdef inline void all_results_of(
    int kind, bint one_row, const real *e, const real *x, Py_ssize_t n, Py_ssize_t lanes, const real *constants,
    real *restrict out
) noexcept nogil:
    # n numbers of a row, some of the last ones twice, or n classes of rows side by side. If the registers are whole,
    # the results may take the place of e.
    cdef Py_ssize_t step = width(<real>0)
    cdef Py_ssize_t k
    if one_row:
        results_of(kind, True, e, x, n // step, constants, out)
        k = n - step
        if n % step != 0:
            results_of(kind, True, e + k, x + k, 1, constants, out + k)
    else:
        for k in range(lanes // step):
            results_of(kind, False, e + k * step, x + k * step, n, constants + k * step, out + k * step)


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

cdef inline double least_unboosted(real of_type) noexcept nogil:
    return 1e-150 if real is double else 1e-18


cdef inline double most_unboosted(real of_type) noexcept nogil:
    return 1e150 if real is double else 1e18


cdef inline int64_t count_boosted(
    const double *factor, const double *target_sum, bint has_targets, Py_ssize_t rows, real of_type
) noexcept nogil:
    cdef double least = least_unboosted(of_type)
    cdef double most = most_unboosted(of_type)
    cdef double size, product
    cdef int64_t boosted_rows = 0
    cdef int64_t small, large
    cdef Py_ssize_t r
    for r in range(rows):
        size = fabs(factor[r])
        product = size * target_sum[r] if has_targets else size
        small = (product < least) & (size > 0)
        if has_targets:
            small = small & (target_sum[r] > 0)
        large = product > most
        boosted_rows += small | large
    return boosted_rows


cdef bint any_boosted(const RowBlock *block, Py_ssize_t rows, real of_type) noexcept nogil:
    # Return whether the factor of a row times the sum of its targets is very small or large. The product may underflow
    # to 0, so the two numbers are compared with 0.
    if block.has_targets:
        return count_boosted(block.factor, block.target_sum, True, rows, of_type) > 0
    return count_boosted(block.factor, block.target_sum, False, rows, of_type) > 0


cdef inline double boosted(double factor, double targets, double *unscale, real of_type) noexcept nogil:
    # A factor over unscale, by which the results are to be multiplied where factor times the sum of the targets is very
    # small, large or infinite: so their quotient by the total is a normal number of the type. For an infinite factor,
    # unscale is the largest number, so that results of 0 stay 0; with `up`, all others are infinite.
    cdef double size = fabs(factor) * targets
    cdef double small = least_unboosted(of_type)
    cdef double large = most_unboosted(of_type)
    cdef double most = largest_number(<real>0)
    cdef double up = 3.273390607896142e+150 if real is double else 1.2089258196146292e+24  # 2^500, 2^80
    cdef double down = 3.054936363499605e-151 if real is double else 8.271806125530277e-25
    cdef double boost = up if size < small else 1
    boost = down if size > large else boost
    unscale[0] = down if size < small else 1
    unscale[0] = up if size > large else unscale[0]
    unscale[0] = most if fabs(factor) == INFINITY else unscale[0]
    boost = factor * boost
    boost = up if factor == INFINITY else boost
    return -up if factor == -INFINITY else boost


cdef inline double quotient_by_total(
    double x, double low, const RowBlock *block, Py_ssize_t r, double *lost
) noexcept nogil:
    # (x + low) / total, corrected by one step, and what its rounding lost
    cdef double quotient = x * block.inverse[r]
    cdef double error = cecore_remainder(x, quotient, block.total[r]) - quotient * block.total_error[r]
    cdef double step = (error + low) * block.inverse[r]
    cdef double corrected = quotient + step
    cdef double rest = (quotient - corrected) + step
    lost[0] = rest if corrected - corrected == 0 else 0  # not so where x is infinite
    return corrected if corrected - corrected == 0 else quotient


cdef inline double over_total(double x, double low, const RowBlock *block, Py_ssize_t r) noexcept nogil:
    cdef double lost
    return quotient_by_total(x, low, block, r, &lost)


cdef inline real low_part(double value, double lost, real of_type) noexcept nogil:
    # What a constant loses as a number of the computing type; `lost` is what its rounding to double lost.
    return lost if real is double else <real>(value - <float>value)


cdef void label_losses(RowBlock *block, Py_ssize_t rows, real of_type) noexcept nogil:
    # (maximum - z of the label) + log(total / largest); with smoothing a, the first term is its mean with the gap's
    cdef const real *maximum = <const real *>block.maximum
    cdef const real *label_z = <const real *>block.label_z
    cdef double d
    cdef double a = block.smoothing
    cdef double uniform = a / block.classes
    cdef Py_ssize_t r
    for r in range(rows if a == 0 else 0):
        block.loss[r] = (<double>maximum[r] - <double>label_z[r]) + block.log_total[r]
    for r in range(rows if a != 0 else 0):
        d = <double>maximum[r] - <double>label_z[r]
        d = 0 if d == INFINITY else d
        block.loss[r] = ((1 - a) * d + (16 * uniform) * block.gap[r]) + block.log_total[r]


cdef inline void label_constants_of(
    RowBlock *block, bint smoothed, bint boosts, Py_ssize_t rows, real *restrict constants,
    double *restrict label_gradient
) noexcept nogil:
    cdef const real *label_e = <const real *>block.label_e
    cdef double unscale, factor, scale, lost, value, direct
    cdef double a = block.smoothing
    cdef double uniform = a / block.classes
    cdef double target = (1 - a) + uniform
    cdef double is_direct = 1 if a > 0.5 and block.classes > 1 else 0
    cdef Py_ssize_t r
    for r in range(rows):
        factor = block.factor[r]
        if boosts:
            factor = boosted(factor, 1, &unscale, <real>0)
            block.unscale[r] = unscale
        scale = quotient_by_total(factor, 0, block, r, &lost)
        constants[r] = <real>scale
        constants[LOW * WIDTH + r] = low_part(scale, lost, <real>0)
        value = 0 - fma(block.complement[r], scale, block.complement[r] * lost + block.complement_error[r] * scale)
        if smoothed:
            constants[WIDTH + r] = <real>(factor * uniform)
            value = factor * (a - uniform) + value
            direct = label_e[r] * scale - factor * target
            value = direct if is_direct > 0 else value
        label_gradient[r] = value


cdef void label_constants(
    RowBlock *block, Py_ssize_t rows, real *restrict constants, double *restrict label_gradient
) noexcept nogil:
    # The constants of the gradient, and what it is at the label: minus the sum of the others, never p - 1. With a
    # smoothing above 1/2 it is p minus the target, because the sum of the others is then the larger number.
    if block.smoothing == 0 and not block.boosts:
        label_constants_of(block, False, False, rows, constants, label_gradient)
    else:
        label_constants_of(block, True, True, rows, constants, label_gradient)


cdef void target_constants(RowBlock *block, Py_ssize_t rows, real *restrict constants) noexcept nogil:
    # The gradient is factor (T p_k - t_k), T the sum of the targets. Where the largest p exceeds 1/2, this is
    # factor ((T - t_k) - T (1 - p_k)) there. Rows without targets are 0.
    cdef const real *largest = <const real *>block.largest
    cdef real minus_one = -1
    cdef double unscale, factor, total, exact, low, scale, lost
    cdef Py_ssize_t r
    for r in range(rows):
        total = block.target_sum[r]
        factor = boosted(block.factor[r], total, &unscale, <real>0)
        exact = fma(-total, over_total(block.rest[r], block.rest_error[r], block, r), block.others[r])
        low = factor * block.target_error[r] + cecore_product_lost(factor, total, factor * total)
        scale = quotient_by_total(factor * total, low, block, r, &lost)
        constants[r] = <real>scale
        constants[LOW * WIDTH + r] = low_part(scale, lost, <real>0)
        constants[WIDTH + r] = <real>factor
        constants[2 * WIDTH + r] = largest[r] if block.rest[r] < largest[r] else minus_one
        constants[3 * WIDTH + r] = <real>(factor * exact)
        block.unscale[r] = unscale
        low = fma(block.target_error[r], block.log_total[r], 16 * block.gap[r])
        block.loss[r] = fma(total, block.log_total[r], low)


cdef void curvature_constants(RowBlock *block, Py_ssize_t rows, real *restrict constants) noexcept nogil:
    # A weight above 1 is multiplied first, up to a limit, and what is left of it last: then no product is subnormal or
    # infinite unless the result is.
    cdef const real *largest_error = <const real *>block.largest_error
    cdef double weight, early, late, inverse, lost
    cdef double most = largest_number(<real>0)
    cdef double limit = 3.273390607896142e+150 if real is double else 1.1529215046068470e+18  # 2^500, 2^60
    cdef Py_ssize_t r
    for r in range(rows):
        weight = block.weight[r]
        if block.has_targets:
            weight = weight * block.target_sum[r]
        early = weight if weight > 1 else 1
        early = limit if early > limit else early
        inverse = quotient_by_total(1, 0, block, r, &lost)
        constants[r] = <real>inverse
        constants[WIDTH + r] = (<real *>block.largest)[r]
        # The error of the largest exponential is put on the rest, by which it is multiplied.
        constants[2 * WIDTH + r] = <real>(
            fma(block.curvature_rest[r], largest_error[r] * block.inverse_largest[r], block.curvature_rest[r])
        )
        constants[3 * WIDTH + r] = <real>block.total[r]
        constants[4 * WIDTH + r] = <real>(early * inverse)
        late = weight / early
        constants[5 * WIDTH + r] = <real>(most if late == INFINITY else late)  # 0 stays 0
        if real is double:  # what a and f lost
            lost = cecore_product_lost(early, inverse, early * inverse) + 2 * early * lost
        else:
            lost = early * (inverse - <float>inverse) + (early * inverse - <float>(early * inverse))
        constants[LOW * WIDTH + r] = <real>lost


cdef void activation_constants(RowBlock *block, Py_ssize_t rows, real *restrict constants) noexcept nogil:
    cdef const real *largest = <const real *>block.largest
    cdef const real *largest_error = <const real *>block.largest_error
    cdef double scale, lost
    cdef Py_ssize_t r
    for r in range(rows):
        if block.wanted == LOG_SOFTMAX_BIT:
            constants[r] = (<real *>block.maximum)[r]
            constants[WIDTH + r] = <real>block.log_total[r]
        else:
            scale = quotient_by_total(1, 0, block, r, &lost)
            constants[r] = <real>scale
            constants[LOW * WIDTH + r] = low_part(scale, lost, <real>0)
            constants[WIDTH + r] = largest[r]
            constants[2 * WIDTH + r] = <real>over_total(largest[r], largest_error[r], block, r)


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
    RowBlock *block, Py_ssize_t rows, real *restrict gradient, real *restrict hessian, double *restrict label_gradient,
    double *restrict label_hessian
) noexcept nogil:
    # With p the label's probability, r = 1 - p, l = -log p and w = r^g, the loss is w l. Its derivative with respect to
    # z_k is A p_k, and -A r at the label, with A = w (1 + g p l / r). The second derivatives are
    #     A p_k (1 - p_k) + D (p_k / r)^2    with D = w g (2 p r + p l ((g - 1) p - r))
    #     w p ((2 g + 1) r + g l (g p - r))    at the label.
    # l / r is 1 at r = 0, and p l is 0 at p = 0.
    cdef const real *label_e = <const real *>block.label_e
    cdef double rests[WIDTH]
    cdef double power[WIDTH]
    cdef double p, rest, loss, product, ratio, unscale, factor, scale, derivative, weight, core, lost
    cdef double g = block.gamma
    cdef Py_ssize_t r
    for r in range(rows):
        rests[r] = over_total(block.complement[r], 0, block, r)
    powers(rests, g, rows, power)
    for r in range(rows):
        p = over_total(label_e[r], 0, block, r)
        rest = rests[r]
        loss = block.loss[r]
        product = p * loss
        product = 0 if p == 0 else product
        ratio = product / rest
        ratio = p if rest == 0 else ratio
        derivative = power[r] * (1 + g * ratio)
        factor = boosted(block.factor[r], 1, &unscale, <real>0)
        scale = quotient_by_total(factor, 0, block, r, &lost)
        gradient[r] = <real>scale
        gradient[LOW * WIDTH + r] = low_part(scale, lost, <real>0)
        block.unscale[r] = unscale
        block.loss[r] = power[r] * loss
        gradient[WIDTH + r] = <real>derivative
        label_gradient[r] = (0 - block.complement[r] * scale) * derivative
        weight = block.weight[r]
        hessian[5 * WIDTH + r] = <real>(hessian[5 * WIDTH + r] * derivative)
        hessian[6 * WIDTH + r] = <real>(0 if rest == 0 else 1 / block.complement[r])
        loss = 0 if p == 0 else loss
        hessian[7 * WIDTH + r] = <real>(weight * power[r] * g * p * (2 * rest + loss * ((g - 1) * p - rest)))
        core = power[r] * ((2 * g + 1) * rest + g * loss * (g * p - rest))
        label_hessian[r] = weight * (<double>label_e[r] * core * block.inverse[r])


# ---------------------------------------------------------------- a focal factor and targets

# With r_k = 1 - p_k, l_k = -log p_k and w_k = r_k^g, the loss is the sum of t_k w_k l_k. With
#     s_k = t_k w_k (1 + g p_k l_k / r_k)    S = the sum of all s_k
#     b_k = t_k g w_k p_k (2 r_k + l_k ((g - 1) p_k - r_k))
# the gradient is p_k S - s_k, and the second derivative is p_k r_k S + b_k + p_k^2 times the sum of b_j / r_j^2 over
# the other classes j. If one p exceeds 1/2, its b / r^2 may be beyond all bounds, so b and r are kept apart. Everything
# is in double.

cdef struct FocalSums:
    Sums loss
    Sums derivative  # s
    Sums curvature  # b / r^2 where p <= 1/2
    Sums dominant_curvature  # b where p > 1/2
    Sums dominant_rest  # and r


cdef inline void focal_probabilities(
    const RowBlock *block, bint one_row, const real *e, Py_ssize_t n,
    double *restrict p, double *restrict rest
) noexcept nogil:
    # p and 1 - p of n numbers of a row that comes alone, or of n rows
    cdef double other, quotient
    cdef Py_ssize_t i, r
    for i in range(n):
        r = 0 if one_row else i
        other = block.total[r] - e[i]
        other = block.rest[r] if e[i] == (<real *>block.largest)[r] else other
        p[i] = e[i] * block.inverse[r]
        quotient = over_total(other, 0, block, r)
        # At most one class of a row has p > 1 - p, whatever is rounded.
        rest[i] = p[i] if (quotient < p[i]) & (e[i] <= other) else quotient


cdef inline void focal_terms_of(
    const RowBlock *block, bint one_row, const real *z, const real *e, const real *t, Py_ssize_t n,
    real *s, real *b, FocalSums *sums
) noexcept nogil:
    # At most WIDTH numbers
    cdef double p[WIDTH]
    cdef double rest[WIDTH]
    cdef double power[WIDTH]
    cdef double losses[WIDTH]
    cdef double curvatures[WIDTH]
    cdef double dominant_curvatures[WIDTH]
    cdef double dominant_rests[WIDTH]
    cdef real derivative[WIDTH]
    cdef real curvature[WIDTH]
    cdef double loss, factor, product, ratio, value
    cdef double g = block.gamma
    cdef Py_ssize_t i, r
    focal_probabilities(block, one_row, e, n, p, rest)
    powers(rest, g, n, power)
    for i in range(n):
        r = 0 if one_row else i
        loss = (<double>(<real *>block.maximum)[r] - <double>z[i]) + block.log_total[r]
        product = p[i] * loss
        product = 0 if p[i] == 0 else product
        ratio = product / rest[i]
        ratio = p[i] if rest[i] == 0 else ratio
        factor = t[i] * power[i]
        value = factor * loss
        # A NaN target counts even if the power underflows, but not if 1 - p is 0.
        value = 0 if (factor == 0) | ((power[i] == 0) & ((t[i] == t[i]) | (rest[i] == 0))) else value
        losses[i] = 0 if t[i] == 0 else value
        value = factor * (1 + g * ratio)
        derivative[i] = <real>(0 if t[i] == 0 else value)
        value = factor * g * (2 * p[i] * rest[i] + product * ((g - 1) * p[i] - rest[i]))
        curvature[i] = <real>(0 if t[i] == 0 else value)
    sums_add(&sums.loss, &losses[0], n)
    sums_add(&sums.derivative, &derivative[0], n)
    memcpy(s, derivative, n * sizeof(real))
    memcpy(b, curvature, n * sizeof(real))
    if not block.wanted & HESSIAN:
        return
    for i in range(n):
        dominant_curvatures[i] = <double>curvature[i] if p[i] > rest[i] else 0
        dominant_rests[i] = rest[i] if p[i] > rest[i] else 0
        value = curvature[i] / (rest[i] * rest[i])
        curvatures[i] = 0 if p[i] > rest[i] else value
    sums_add(&sums.curvature, &curvatures[0], n)
    sums_add(&sums.dominant_curvature, &dominant_curvatures[0], n)
    sums_add(&sums.dominant_rest, &dominant_rests[0], n)


cdef inline void focal_results_of(
    const RowBlock *block, bint one_row, const real *e, const real *s, const real *b, Py_ssize_t n,
    real *gradient, real *hessian
) noexcept nogil:
    # Writes the gradient in place of s or elsewhere, and the second derivatives if they are wanted.
    cdef double p[WIDTH]
    cdef double rest[WIDTH]
    cdef real first_derivative[WIDTH]
    cdef real second_derivative[WIDTH]
    cdef double sum, error, value, large, scaled, others, ratio
    cdef Py_ssize_t i, r
    focal_probabilities(block, one_row, e, n, p, rest)
    for i in range(n):
        r = 0 if one_row else i
        sum = block.focal_derivative[r]
        error = block.focal_derivative_error[r]
        value = p[i] * sum - s[i]
        large = ((sum - s[i]) + error) - rest[i] * sum
        large = large if s[i] > 0.5 * sum else value
        first_derivative[i] = <real>(block.factor[r] * (large if p[i] > rest[i] else value))
    for i in range(n if block.wanted & HESSIAN else 0):
        r = 0 if one_row else i
        scaled = b[i] / (rest[i] * rest[i])
        scaled = 0 if p[i] > rest[i] else scaled
        others = p[i] * p[i] * (block.curvature[r] - scaled)
        ratio = p[i] / block.dominant_rest[r]
        value = ratio * ratio * block.dominant_curvature[r]
        value = 0 if p[i] > rest[i] else value
        value = 0 if block.dominant_rest[r] == 0 else value
        value = p[i] * rest[i] * block.focal_derivative[r] + (b[i] + (others + value))
        second_derivative[i] = <real>(block.weight[r] * value)
    if block.wanted & GRADIENT:
        memcpy(gradient, first_derivative, n * sizeof(real))
    if block.wanted & HESSIAN:
        memcpy(hessian, second_derivative, n * sizeof(real))


cdef void keep_focal_sums(RowBlock *block, const FocalSums *sums, Py_ssize_t lane, Py_ssize_t r) noexcept nogil:
    block.loss[r] = sums_round(&sums.loss, lane)
    block.focal_derivative[r] = sums_round(&sums.derivative, lane)
    block.focal_derivative_error[r] = sums.derivative.total[lane] - block.focal_derivative[r]
    block.focal_derivative_error[r] += sums.derivative.lost[lane]
    block.curvature[r] = sums_round(&sums.curvature, lane)
    block.dominant_curvature[r] = sums_round(&sums.dominant_curvature, lane)
    block.dominant_rest[r] = sums_round(&sums.dominant_rest, lane)


cdef void compute_focal_tile(
    RowBlock *block, real *z, const real *e, real *t, Py_ssize_t lanes, real *gradient
) noexcept nogil:
    # s waits in the gradient and b in the targets; the Hessian is left in z
    cdef FocalSums sums
    cdef Py_ssize_t r, k, i
    memset(&sums, 0, sizeof(FocalSums))
    for k in range(block.classes):
        i = k * WIDTH
        focal_terms_of(
            block, False, <const real *>(z + i), e + i, <const real *>(t + i), lanes, gradient + i, t + i, &sums
        )
    for r in range(lanes):
        keep_focal_sums(block, &sums, r, r)
    for k in range(block.classes if block.wanted & (GRADIENT | HESSIAN) else 0):
        i = k * WIDTH
        focal_results_of(
            block, False, e + i, <const real *>(gradient + i), <const real *>(t + i), lanes, gradient + i, z + i
        )


cdef void add_focal_row(
    RowBlock *block, const real *z, const real *e, const real *t, Py_ssize_t n, real *s, real *b, FocalSums *sums
) noexcept nogil:
    # Add a row that comes alone, or a segment of it. After the last segment, keep_focal_row must follow.
    cdef Py_ssize_t i, first
    for i in range((n + WIDTH - 1) // WIDTH):
        first = i * WIDTH
        focal_terms_of(
            block, True, z + first, e + first, t + first, min(n - first, <Py_ssize_t>WIDTH),
            s + first, b + first, sums
        )


cdef void keep_focal_row(RowBlock *block, FocalSums *sums) noexcept nogil:
    sums_join(&sums.loss)
    sums_join(&sums.derivative)
    sums_join(&sums.curvature)
    sums_join(&sums.dominant_curvature)
    sums_join(&sums.dominant_rest)
    keep_focal_sums(block, sums, 0, 0)


cdef void write_focal_row(
    RowBlock *block, const real *e, const real *s, const real *b, Py_ssize_t n, real *gradient, real *hessian
) noexcept nogil:
    cdef Py_ssize_t i, first
    for i in range((n + WIDTH - 1) // WIDTH):
        first = i * WIDTH
        focal_results_of(
            block, True, e + first, s + first, b + first, min(n - first, <Py_ssize_t>WIDTH), gradient + first,
            hessian + first
        )


# ---------------------------------------------------------------- two classes

# Of two classes, one exponential serves: with d = z_1 - z_0 and e = exp(-|d|), the probabilities are 1 / (1 + e) and
# e / (1 + e), the loss is T log(1 + e) + |d| times the target of the smaller logit, and the derivative by z_0 is
# t_1 p_0 - t_0 p_1, which is exact where a target is 0. A label is the targets 1 and 0. e is scaled as in stage one.

cdef void two_class_terms(
    const real *z, Py_ssize_t lanes, real *restrict p, real *restrict distance, real *restrict exponential_of,
    real *restrict errors
) noexcept nogil:
    # p_0 and p_1; d; e, and its error, to which the rounding error of |d| is added
    cdef real d, low, e, error, small, large, inverse
    cdef real zero = 0
    cdef real shifter = (CECORE_INTEGERS + 1423) if real is double else (CECORE_INTEGERSF + 175)
    cdef real lowest = -984 if real is double else -119
    cdef real unit = 2.5822498780869086e+120 if real is double else 281474976710656.0  # 2^400, 2^48
    cdef real scale = 1 / unit
    cdef Py_ssize_t r
    for r in range(lanes):
        d = z[WIDTH + r] - z[r]
        low = subtraction_lost(z[WIDTH + r], z[r], d)
        low = low if absolute(d) < 1000 else zero  # also where something is infinite
        low = low if d > 0 else 0 - low
        e = exponential(0 - absolute(d), zero, shifter, lowest, &error)
        error = (error if e > 0 else zero) - e * low
        inverse = 1 / (unit + (e + error))
        small = (e + error) * inverse
        large = unit * inverse
        p[r] = small if d > 0 else large
        p[WIDTH + r] = large if d > 0 else small
        distance[r] = d
        exponential_of[r] = e * scale
        errors[r] = error * scale


cdef void two_class_logarithms(
    const real *e, const real *errors, Py_ssize_t lanes, real *restrict logarithm
) noexcept nogil:
    # log(1 + e). A loop of its own: the processor overlaps more of these long chains of operations.
    cdef Py_ssize_t r
    for r in range(lanes):
        logarithm[r] = log1p_unit(e[r], errors[r])


cdef void two_class_losses(
    const real *t, const real *distance, const real *logarithm, Py_ssize_t lanes, RowBlock *block
) noexcept nogil:
    cdef double d, target, term
    cdef Py_ssize_t r
    for r in range(lanes):
        d = distance[r]
        target = t[r] if d > 0 else t[WIDTH + r]
        term = target * fabs(d)
        term = 0 if target == 0 else term
        block.loss[r] = (<double>t[r] + <double>t[WIDTH + r]) * logarithm[r] + term


cdef void two_class_activation(
    int wanted, const real *p, const real *distance, const real *logarithm, Py_ssize_t lanes, real *restrict out
) noexcept nogil:
    cdef real zero = 0
    cdef Py_ssize_t r
    if wanted & SOFTMAX_BIT:
        memcpy(out, p, 2 * WIDTH * sizeof(real))
        return
    for r in range(lanes):
        out[r] = (0 - distance[r] if distance[r] > 0 else zero) - logarithm[r]
        out[WIDTH + r] = (zero if distance[r] > 0 else distance[r]) - logarithm[r]


cdef void two_class_derivatives(
    const RowBlock *block, const real *t, const real *p, Py_ssize_t lanes, real *restrict gradient,
    real *restrict hessian
) noexcept nogil:
    cdef real factor, weight, value, both
    cdef Py_ssize_t r
    for r in range(lanes):
        factor = <real>block.factor[r]
        value = fma(t[WIDTH + r], p[r], 0 - t[r] * p[WIDTH + r])
        gradient[r] = factor * value
        gradient[WIDTH + r] = factor * (0 - value)
    for r in range(lanes if block.wanted & HESSIAN else 0):
        weight = <real>block.weight[r]
        both = t[r] + t[WIDTH + r]
        value = weight * (both * (p[r] * p[WIDTH + r]))
        hessian[r] = value
        hessian[WIDTH + r] = value


cdef void compute_two_classes(RowBlock *block, real *z, real *t, real *gradient, Py_ssize_t lanes) noexcept nogil:
    # A tile of two classes without a focal factor, as compute_tile
    cdef real p[2 * WIDTH]
    cdef real distance[WIDTH]
    cdef real e[WIDTH]
    cdef real errors[WIDTH]
    cdef real logarithm[WIDTH]
    cdef real share = <real>(block.smoothing / 2)
    cdef real label = <real>(1 - block.smoothing / 2)
    cdef Py_ssize_t r
    two_class_terms(z, lanes, p, distance, e, errors)
    if block.wanted & (VALUE | LOG_SOFTMAX_BIT):
        two_class_logarithms(e, errors, lanes, logarithm)
    if block.wanted & (SOFTMAX_BIT | LOG_SOFTMAX_BIT):
        two_class_activation(block.wanted, p, distance, logarithm, lanes, gradient)
        return
    for r in range(0 if block.has_targets else lanes):
        t[r] = label if block.label[r] == 0 else share
        t[WIDTH + r] = share if block.label[r] == 0 else label
    for r in range(lanes if block.has_targets else 0):
        block.target_sum[r] = t[r] + t[WIDTH + r]
    if block.wanted & VALUE:
        two_class_losses(t, distance, logarithm, lanes, block)
    if block.wanted & (GRADIENT | HESSIAN):
        two_class_derivatives(block, t, p, lanes, gradient, z)
    clear_tile(block, z, gradient)


# ---------------------------------------------------------------- tiles

cdef inline bint is_general_focal(const RowBlock *block) noexcept nogil:
    return block.gamma != 0 and block.has_targets


cdef void prepare(RowBlock *block) noexcept nogil:
    # What does not depend on the logits
    block.but_largest = block.has_targets or block.wanted & LOG_SOFTMAX_BIT != 0
    if block.wanted & (SOFTMAX_BIT | LOG_SOFTMAX_BIT) or block.has_targets:
        memset(block.label_e, 0, sizeof(block.label_e))


cdef inline bint has_labels(const RowBlock *block) noexcept nogil:
    return block.wanted & (VALUE | GRADIENT | HESSIAN) != 0 and not block.has_targets


cdef inline void take_label(RowBlock *block, Py_ssize_t r, real z, real *e) noexcept nogil:
    # The label's logit and exponential, which the sum leaves out
    (<real *>block.label_z)[r] = z
    (<real *>block.label_e)[r] = e[0]
    e[0] = 0


cdef void finish_rows(RowBlock *block, Py_ssize_t lanes, RowConstants *constants, real of_type) noexcept nogil:
    # Losses, and the constants of the results
    cdef real *gradient = <real *>constants.gradient
    cdef real *hessian = <real *>constants.hessian
    cdef Py_ssize_t r
    finish_sums(block, lanes, of_type)
    if block.wanted & SOFTMAX_BIT:
        constants.kind = PROBABILITY
        activation_constants(block, lanes, gradient)
        return
    if block.wanted & (VALUE | LOG_SOFTMAX_BIT) or block.gamma != 0 or block.has_targets:
        set_log_totals(block, lanes, of_type)
    if block.wanted & LOG_SOFTMAX_BIT:
        constants.kind = LOGARITHM
        activation_constants(block, lanes, gradient)
        return
    block.boosts = block.wanted & GRADIENT and any_boosted(block, lanes, of_type)
    constants.hessian_kind = CURVATURE
    if block.wanted & HESSIAN:
        curvature_constants(block, lanes, hessian)
    if block.has_targets:
        constants.kind = TARGETS
        target_constants(block, lanes, gradient)
        return  # with a focal factor, only what does not depend on it
    if block.wanted & VALUE or block.gamma != 0:
        label_losses(block, lanes, of_type)
    if block.gamma != 0:
        constants.kind = FOCAL
        constants.hessian_kind = FOCAL_CURVATURE
        focal_label_constants(block, lanes, gradient, hessian, constants.label_gradient, constants.label_hessian)
    elif block.wanted & GRADIENT:
        constants.kind = SHIFTED if block.smoothing != 0 else SCALED
        label_constants(block, lanes, gradient, constants.label_gradient)


cdef void number_labels(RowBlock *block, Py_ssize_t lanes, real of_type) noexcept nogil:
    cdef real *number = <real *>block.label_number
    cdef real none = -1
    cdef Py_ssize_t r
    if has_labels(block):
        for r in range(lanes):
            number[r] = <real><int>block.label[r]
    else:
        for r in range(lanes):
            number[r] = none


cdef void compute_tile(
    RowBlock *block, RowConstants *constants, real *z, real *e, real *t, real *gradient, real of_type
) noexcept nogil:
    # The gradient, softmax or log_softmax of a tile; the Hessian is left in z.
    cdef real *maximum = <real *>block.maximum
    cdef const real *largest = <const real *>block.largest
    cdef Py_ssize_t classes = block.classes
    cdef Py_ssize_t lanes = whole_lanes(block.rows)
    if classes == 2 and block.gamma == 0:
        compute_two_classes(block, z, t, gradient, lanes)
        return
    prepare(block)
    tile_maxima(z, classes, lanes, maximum)
    resolve_tile(z, classes, block.rows, maximum)
    set_row_scales(block, lanes, of_type)
    tile_exponentials(
        z, <const real *>block.offset, <const real *>block.shifter, <const real *>block.lowest, classes, lanes,
        block.ahead, e
    )
    if not block.but_largest:
        number_labels(block, lanes, of_type)
        tile_sums(z, <const real *>e, False, lanes, block)
    if block.but_largest or block.wanted & HESSIAN:
        tile_sums(z, <const real *>e, True, lanes, block)
    if block.has_targets:
        tile_targets(z, <const real *>t, e, maximum, largest, lanes, block)
    elif block.smoothing != 0:
        tile_gaps(z, maximum, lanes, block)
    finish_rows(block, lanes, constants, of_type)
    if is_general_focal(block):
        compute_focal_tile(block, z, <const real *>e, t, lanes, gradient)
        clear_tile(block, z, gradient)
        return
    if block.wanted & HESSIAN:
        if constants.hessian_kind == FOCAL_CURVATURE:
            set_label_results(block, constants.label_hessian, lanes, <real *>constants.hessian)
        tile_results(constants.hessian_kind, e, t, classes, lanes, <real *>constants.hessian, z)
    if block.wanted & (GRADIENT | SOFTMAX_BIT | LOG_SOFTMAX_BIT):
        if has_labels(block):
            set_label_results(block, constants.label_gradient, lanes, <real *>constants.gradient)
        tile_results(
            constants.kind, e, <const real *>(z if block.wanted & LOG_SOFTMAX_BIT else t), classes, lanes,
            <real *>constants.gradient, gradient
        )
    if block.wanted & GRADIENT and block.boosts:
        unscale_tile(block, lanes, gradient)
    if block.wanted & (VALUE | GRADIENT | HESSIAN):
        clear_tile(block, z, gradient)


cdef void set_label_results(
    const RowBlock *block, const double *results, Py_ssize_t lanes, real *restrict constants
) noexcept nogil:
    cdef const real *label = <const real *>block.label_number
    cdef Py_ssize_t r
    for r in range(lanes):
        constants[LABEL * WIDTH + r] = label[r]
        constants[(LABEL + 1) * WIDTH + r] = <real>results[r]


cdef inline bint is_zero_row(const RowBlock *block, Py_ssize_t r) noexcept nogil:
    # Rows of weight 0, or without targets, are 0, whatever they hold.
    return block.weight[r] == 0 or (block.has_targets and block.target_sum[r] == 0)


cdef void clear_tile(RowBlock *block, real *hessian, real *gradient) noexcept nogil:
    cdef Py_ssize_t r, k
    cdef int64_t zeros = 0
    for r in range(block.rows):
        zeros |= block.weight[r] == 0
    for r in range(block.rows if block.has_targets else 0):
        zeros |= block.target_sum[r] == 0
    for r in range(block.rows if zeros != 0 else 0):
        if is_zero_row(block, r):
            block.loss[r] = 0
            for k in range(block.classes):
                gradient[k * WIDTH + r] = hessian[k * WIDTH + r] = 0


cdef void unscale_tile(RowBlock *block, Py_ssize_t lanes, real *gradient) noexcept nogil:
    cdef Py_ssize_t r, k
    for k in range(block.classes):
        for r in range(lanes):
            gradient[k * WIDTH + r] *= <real>block.unscale[r]


# ---------------------------------------------------------------- rows of many classes

# A driver takes up to WIDTH rows through these stages; the rows lie where the pointers say. Rows of more than BATCH
# classes come alone, segment by segment: a stage is called for each segment before the next one begins. first is the
# segment's first class, n its length, which is at least SUM_LANES.

cdef void start_rows(RowBlock *block, real of_type) noexcept nogil:
    cdef Py_ssize_t r
    prepare(block)
    for r in range(WIDTH):
        (<real *>block.maximum)[r] = -INFINITY


cdef void add_maxima(RowBlock *block, real **z, Py_ssize_t n) noexcept nogil:
    cdef real *maximum = <real *>block.maximum
    cdef Py_ssize_t r
    for r in range(block.rows):
        maximum[r] = row_maximum(<const real *>z[r], n, maximum[r])


cdef void fill_exponentials(RowBlock *block, real **z, Py_ssize_t n, real *e, Py_ssize_t stride) noexcept nogil:
    cdef const real *offset = <const real *>block.offset
    cdef const real *shifter = <const real *>block.shifter
    cdef const real *lowest = <const real *>block.lowest
    cdef Py_ssize_t r
    for r in range(block.rows):
        if block.ahead != NULL:
            cecore_prefetch(block.ahead + r * n * sizeof(real), n * sizeof(real))
        row_exponentials(z[r], n, offset[r], shifter[r], lowest[r], e + r * stride)


cdef void add_sums(
    RowBlock *block, real **z, real **t, Py_ssize_t first, Py_ssize_t n, real *e, Py_ssize_t stride
) noexcept nogil:
    cdef Py_ssize_t r, k
    for r in range(block.rows if has_labels(block) else 0):
        k = block.label[r] - first
        if 0 <= k < n:
            take_label(block, r, z[r][k], e + r * stride + k)
    for r in range(0 if block.but_largest else block.rows):
        add_row_sum(<const real *>(e + r * stride), n, False, first == 0, r, block)
    for r in range(block.rows if has_labels(block) and block.wanted & HESSIAN else 0):
        k = block.label[r] - first
        if 0 <= k < n:
            e[r * stride + k] = (<real *>block.label_e)[r]
    for r in range(block.rows if block.but_largest or block.wanted & HESSIAN else 0):
        add_row_sum(<const real *>(e + r * stride), n, True, first == 0, r, block)
    if block.has_targets:
        for r in range(block.rows):
            add_row_targets(
                <const real *>z[r], <const real *>t[r], <const real *>(e + r * stride), n, first == 0, r, block
            )
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
            out[r][k] = <real>constants.label_hessian[r]
        if is_zero_row(block, r):
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
        if block.boosts:
            for j in range(n):
                out[r][j] *= <real>block.unscale[r]
        k = block.label[r] - first
        if not block.has_targets and 0 <= k < n:
            out[r][k] = <real>(constants.label_gradient[r] * (block.unscale[r] if block.boosts else 1))
        if is_zero_row(block, r):
            memset(out[r], 0, n * sizeof(real))
