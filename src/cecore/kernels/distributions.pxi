# Rows of probabilities with a distribution for each row: H(P, Q) = -sum of t_k log q_k, and its derivatives.
#
# A row's weighted targets t_k are class weights times smoothed targets. The numbers of a block of rows are taken in
# their flat order, one row after another, so that one loop computes all terms; a second loop adds up the terms of each
# row. A row of more than TERMS classes is cut into segments.
#
# The loops take numbers from 0 to 1. A block that holds anything else (a number outside, NaN or -0) is first cleaned:
# terms whose weighted target is 0 are not checked and count nothing, whatever their probability is, and any other
# number outside is an error. A cleaned block goes through the same loops, with selections for terms that are infinite
# (`general`). So does every block if nothing is clipped.

cdef enum:
    TERMS = 1024  # numbers of a flat block
    DISTRIBUTION_ROOM = 7 * TERMS * 8  # bytes of scratch of distribution_block


cdef void make_clip(Clip *clip, double eps, bint zero_outside, real of_type) noexcept nogil:
    clip.eps = <real>eps
    clip.floor = clip.eps
    if clip.eps < eps:  # in float only
        clip.floor = neighbour(<real>clip.eps, 1)
    clip.below = neighbour(<real>clip.floor, -1) if eps > 0 else 0
    clip.top = <real>(1 - eps)
    clip.zero_outside = zero_outside


cdef inline real clipped(real p, real b, real below, real eps, real top) noexcept nogil:
    # The probability p with the complement b, clipped. NaN stays, and -0 becomes 0.
    cdef real value = eps if p <= below else p
    return top if b <= below else value


cdef inline bint is_normal(const Clip *clip, real of_type) noexcept nogil:
    return clip.floor >= least_normal(of_type)


cdef inline void note_outside(real x, real most, uint64_t *wide, uint32_t *narrow) noexcept nogil:
    # Set the upper bit unless x is from +0 to a positive limit. Bit patterns have the order of positive numbers.
    if real is double:
        wide[0] |= cecore_bits(x) | (cecore_bits(most) - cecore_bits(x))
    else:
        narrow[0] |= cecore_bitsf(x) | (cecore_bitsf(most) - cecore_bitsf(x))


cdef inline bint none_outside(uint64_t wide, uint32_t narrow) noexcept nogil:
    return (wide >> 63 == 0) & (narrow >> 31 == 0)


cdef bint all_in_unit(const real *x, Py_ssize_t n) noexcept nogil:
    # Return whether all numbers are +0, 1 or between.
    cdef uint64_t wide = 0
    cdef uint32_t narrow = 0
    cdef Py_ssize_t i
    for i in range(n):
        note_outside(x[i], 1, &wide, &narrow)
    return none_outside(wide, narrow)


cdef inline bint entropy_loop(
    const real *p, const real *t, Py_ssize_t n, const Clip *clip, real most, bint general, real *restrict terms
) noexcept nogil:
    cdef real b, q, c, term
    cdef real eps = <real>clip.eps
    cdef real top = <real>clip.top
    cdef uint64_t wide = 0
    cdef uint32_t narrow = 0
    cdef Py_ssize_t i
    for i in range(n):
        b = 1 - p[i]
        q = eps if p[i] < eps else p[i]
        q = top if b < eps else q
        c = eps if b < eps else b
        term = t[i] * (any_pair_log(q, c) if general else pair_log(q, c))
        if general:
            term = 0 if t[i] == 0 else term
        else:
            note_outside(p[i], 1, &wide, &narrow)
            note_outside(t[i], most, &wide, &narrow)
        terms[i] = term
    return none_outside(wide, narrow)


cdef bint entropy_terms(
    const real *p, const real *t, Py_ssize_t n, const Clip *clip, real most, bint general, real *restrict terms
) noexcept nogil:
    # t (-log q) with p clipped to q. Unless general, return False if a probability is not from 0 to 1, or a target not
    # from 0 to the most that it can be; the terms then mean nothing.
    if general:
        return entropy_loop(p, t, n, clip, most, True, terms)
    return entropy_loop(p, t, n, clip, most, False, terms)


cdef inline bint entropy_gradient_loop(
    const real *p, const real *t, const real *factor, bint one_factor, Py_ssize_t n, const Clip *clip, real most,
    bint second, bint general, real *restrict out
) noexcept nogil:
    # The first derivative is -factor t / q, the second one factor t / q^2. The division is done twice, as q^2 may
    # underflow. Outside the clip both are 0 if the user wants so. Return as entropy_terms.
    cdef real b, q, value
    cdef real single = factor[0]
    cdef real below = <real>clip.below
    cdef real eps = <real>clip.eps
    cdef real top = <real>clip.top
    cdef real cut = <real>clip.floor if clip.zero_outside else -1
    cdef uint64_t wide = 0
    cdef uint32_t narrow = 0
    cdef Py_ssize_t i
    for i in range(n):
        b = 1 - p[i]
        q = clipped(p[i], b, below, eps, top)
        value = t[i] * (single if one_factor else factor[i]) / q
        value = value / q if second else 0 - value
        b = p[i] if p[i] < b else b
        value = 0 if b < cut else value
        if general:
            value = 0 if t[i] == 0 else value
        else:
            note_outside(p[i], 1, &wide, &narrow)
            note_outside(t[i], most, &wide, &narrow)
        out[i] = value
    return none_outside(wide, narrow)


cdef bint entropy_gradients(
    const real *p, const real *t, const real *factor, bint one_factor, Py_ssize_t n, const Clip *clip, real most,
    bint second, bint general, real *restrict out
) noexcept nogil:
    if general and second:
        return entropy_gradient_loop(p, t, factor, one_factor, n, clip, most, True, True, out)
    if general:
        return entropy_gradient_loop(p, t, factor, one_factor, n, clip, most, False, True, out)
    if second:
        return entropy_gradient_loop(p, t, factor, one_factor, n, clip, most, True, False, out)
    if one_factor:
        return entropy_gradient_loop(p, t, factor, True, n, clip, most, False, False, out)
    return entropy_gradient_loop(p, t, factor, False, n, clip, most, False, False, out)


# ---------------------------------------------------------------- sums

# Sums are in double, whatever the type. In float64 TwoSum keeps the rounding errors; in float32, which rounds its terms
# to 24 bits, those of double do not matter.

cdef double long_row_sum(const real *x, Py_ssize_t n) noexcept nogil:
    cdef double total[SUM_LANES]
    cdef double error[SUM_LANES]
    cdef Py_ssize_t pairs = n // (2 * SUM_LANES)
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        total[j] = error[j] = 0
    for i in range(pairs):
        for j in range(SUM_LANES):
            add_term(&total[j], &error[j], x[2 * i * SUM_LANES + j] + x[(2 * i + 1) * SUM_LANES + j])
    for i in range(2 * pairs * SUM_LANES, n):
        add_term(&total[i % SUM_LANES], &error[i % SUM_LANES], x[i])
    join_exactly(&total[0], &error[0])
    return finite_sum(total[0], error[0])


cdef double flat_sum(const real *x, Py_ssize_t n) noexcept nogil:
    # The sum of a whole block, for which the bound is wider: four registers are added at a time.
    cdef double total[SUM_LANES]
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t whole = n // (4 * lanes)
    cdef const real *four
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        total[j] = 0
    for i in range(whole):
        four = x + 4 * i * lanes
        for j in range(width(<real>0)):
            total[j] += (four[j] + four[j + lanes]) + (four[j + 2 * lanes] + four[j + 3 * lanes])
    for i in range(4 * whole * lanes, n):
        total[i % LANES] += x[i]
    for j in range(LANES if real is float else 0):
        total[j] += total[j + LANES]
    return join_lanes(total)


cdef inline void short_row_sums(
    const real *x, Py_ssize_t rows, Py_ssize_t classes, double *restrict out
) noexcept nogil:
    # LANES rows at a time
    cdef double total[LANES]
    cdef double error[LANES]
    cdef Py_ssize_t group, first, count, j, k
    for group in range((rows + LANES - 1) // LANES):
        first = group * LANES
        count = min(rows - first, <Py_ssize_t>LANES)
        for j in range(LANES):
            total[j] = error[j] = 0
        for k in range(classes if count == LANES else 0):
            for j in range(LANES):
                add_term(&total[j], &error[j], x[(first + j) * classes + k])
        for k in range(classes if count < LANES else 0):
            for j in range(count):
                add_term(&total[j], &error[j], x[(first + j) * classes + k])
        for j in range(count):
            out[first + j] = finite_sum(total[j], error[j])


cdef inline void few_sums(const real *x, Py_ssize_t rows, Py_ssize_t classes, double *restrict out) noexcept nogil:
    # At most two additions, whose rounding errors may stay
    cdef double total
    cdef Py_ssize_t r, k
    for r in range(rows):
        total = x[r * classes]
        for k in range(1, classes):
            total += x[r * classes + k]
        out[r] = total


cdef void row_sums(const real *x, Py_ssize_t rows, Py_ssize_t classes, double *restrict out) noexcept nogil:
    cdef Py_ssize_t r
    if classes == 2:
        few_sums(x, rows, 2, out)
    elif classes == 3:
        few_sums(x, rows, 3, out)
    elif classes < 2 * SUM_LANES:
        short_row_sums(x, rows, classes, out)
    else:
        for r in range(rows):
            out[r] = long_row_sum(x + r * classes, classes)


# ---------------------------------------------------------------- blocks of rows

cdef struct Segment:  # some whole rows, or some classes of one row
    Py_ssize_t row
    Py_ssize_t rows
    Py_ssize_t first  # class
    Py_ssize_t classes
    const int64_t *labels  # of the rows, if the targets are labels
    const bint *row_mask  # rows that are computed and written
    const double *class_weights  # of all numbers of the segment; NULL: all 1
    bint all_rows  # the mask holds all of them
    bint all_ones  # and their weights are 1
    bint alike  # the rows have the same weight and the same factor
    bint general
    double error  # of the sum of the segments of a long row


cdef const real *given_targets(const Call *call, const Segment *segment, real *scratch) noexcept nogil:
    # The targets of a segment as they are given, or the one-hot rows of its labels
    cdef Py_ssize_t start = segment.row * call.classes + segment.first
    cdef Py_ssize_t i, k
    if not call.labels:
        return numbers_of(&call.targets, start, segment.rows * segment.classes, scratch)
    memset(scratch, 0, segment.rows * segment.classes * sizeof(real))
    for i in range(segment.rows):
        k = segment.labels[i] - segment.first
        if 0 <= k < segment.classes:
            scratch[i * segment.classes + k] = 1
    return scratch


cdef void weight_targets(
    const Call *call, const Segment *segment, const real *t, Py_ssize_t n, real *restrict out
) noexcept nogil:
    cdef double smoothing = call.options.smoothing
    cdef double uniform = smoothing / call.classes
    cdef Py_ssize_t i
    if segment.class_weights != NULL:
        for i in range(n):
            out[i] = <real>weighted_target(t[i], segment.class_weights[i], smoothing, uniform)
    else:
        for i in range(n):
            out[i] = <real>weighted_target(t[i], 1, smoothing, uniform)


cdef inline bint is_outside(real x) noexcept nogil:
    return x < 0 or 1 - x < 0  # NaN is not outside


cdef bint clean(const Segment *segment, const real *w, const real *given, real *p, real *t) noexcept nogil:
    # Replace terms that do not count by terms of 0. Return False if another one is outside its domain.
    cdef bint counts, valid = True
    cdef Py_ssize_t i, k
    for i in range(segment.rows):
        counts = (segment.all_rows or segment.row_mask[i]) and w[i] != 0
        for k in range(i * segment.classes, (i + 1) * segment.classes):
            if counts and is_outside(given[k]):
                valid = False
            if not counts or t[k] == 0:
                t[k] = 0  # not -0
                p[k] = 0.5
            if is_outside(p[k]):
                valid = False
            p[k] = p[k] if p[k] != 0 else 0
    return valid


cdef const real *rows_factors(
    const Segment *segment, const real *each, real *restrict expanded
) noexcept nogil:
    # The number of each row for each of its classes, or one number if all rows are alike
    cdef Py_ssize_t i, k
    if segment.alike:
        return each
    for i in range(segment.rows):
        for k in range(segment.classes):
            expanded[i * segment.classes + k] = each[i]
    return expanded


cdef void store_segment(
    const Array *out, const Segment *segment, Py_ssize_t classes, const real *block
) noexcept nogil:
    cdef Py_ssize_t start = segment.row * classes + segment.first
    cdef Py_ssize_t i
    if segment.all_rows:
        store(out, start, segment.rows * segment.classes, block)
        return
    for i in range(segment.rows):
        if segment.row_mask[i]:
            store(out, start + i * classes, segment.classes, block + i * segment.classes)


cdef bint segment_derivatives(
    const State *state, const Segment *segment, const real *p, const real *t, const real *each, real most, bint second,
    real *room
) noexcept nogil:
    # Compute and store the gradient or the Hessian; each is a factor or a weight for each row.
    cdef const Call *call = state.call
    cdef const Array *out = &call.hessian if second else &call.gradient
    cdef Py_ssize_t start = segment.row * call.classes + segment.first
    cdef Py_ssize_t n = segment.rows * segment.classes
    cdef const real *factors
    cdef real *dest = room + 3 * TERMS
    if not state.plan.wanted & (HESSIAN if second else GRADIENT):
        return True
    factors = rows_factors(segment, each, room + 4 * TERMS)
    if segment.all_rows and of_computing_type(out, <real>0):
        dest = <real *>out.data + start
    if not entropy_gradients(p, t, factors, segment.alike, n, &state.plan.clip, most, second, segment.general, dest):
        return False
    if dest == room + 3 * TERMS:
        store_segment(out, segment, call.classes, dest)
    return True


cdef bint segment_losses(
    const State *state, Segment *segment, const real *p, const real *t, real most, real *terms, double *losses
) noexcept nogil:
    cdef Py_ssize_t n = segment.rows * segment.classes
    if not entropy_terms(p, t, n, &state.plan.clip, most, segment.general, terms):
        return False
    if state.call.classes > segment.classes:
        add_exactly(losses, &segment.error, long_row_sum(terms, n))
    elif segment.all_ones and not state.plan.wanted & VALUE_EACH:  # in one number
        memset(losses, 0, segment.rows * sizeof(double))
        losses[0] = flat_sum(terms, n)
    else:
        row_sums(terms, segment.rows, segment.classes, losses)
    return True


cdef bint all_finite(const real *x, Py_ssize_t n) noexcept nogil:
    cdef int others = 0
    cdef Py_ssize_t i
    for i in range(n):
        others += x[i] - x[i] != 0
    return others == 0


cdef bint segment_results(
    const State *state, Segment *segment, const real *w, const real *factors, const real *p, const real *t, real most,
    real *room, double *losses
) noexcept nogil:
    # What is wanted of a segment. Return as entropy_terms.
    if state.plan.wanted & (VALUE_EACH | VALUE_SUM) and not segment_losses(
        state, segment, p, t, most, room + 3 * TERMS, losses
    ):
        return False
    return segment_derivatives(state, segment, p, t, factors, most, False, room) and (
        segment_derivatives(state, segment, p, t, w, most, True, room)
    )


cdef bint distribution_segment(
    const State *state, Segment *segment, const real *w, const real *factors, real *room, double *losses
) noexcept nogil:
    # Compute a segment. Return False if something is outside its domain. A segment that is not fit for the fast loops
    # is computed once more.
    cdef const Plan *plan = state.plan
    cdef const Call *call = state.call
    cdef Py_ssize_t n = segment.rows * segment.classes
    cdef Py_ssize_t start = segment.row * call.classes + segment.first
    cdef const real *given = given_targets(call, segment, room)
    cdef const real *p = numbers_of(&call.x, start, n, room + TERMS)
    cdef const real *t = given
    cdef real *clean_p = room + TERMS
    cdef real *clean_t = room + 2 * TERMS
    cdef bint plain = segment.class_weights == NULL and call.options.smoothing == 0
    cdef bint fit = is_normal(&plan.clip, <real>0) and all_finite(factors, segment.rows)  # inf * 0 is not 0
    cdef real most = 1
    if not plain:
        weight_targets(call, segment, given, n, clean_t)
        t = clean_t
        most = INFINITY
        fit = fit and all_in_unit(given, n)
    if call.in_place and p != clean_p:  # a gradient may be written before the segment is found not to be fit
        memcpy(clean_p, p, n * sizeof(real))
        p = clean_p
    if fit and plan.wanted == 0:
        fit = all_in_unit(p, n) and all_in_unit(t, n)
    segment.general = False
    if fit and segment_results(state, segment, w, factors, p, t, most, room, losses):
        return True
    segment.general = True
    if p != clean_p:
        memcpy(clean_p, p, n * sizeof(real))
    if plain:
        memcpy(clean_t, t, n * sizeof(real))
    if not clean(segment, w, given, clean_p, clean_t):
        return False
    return segment_results(
        state, segment, w, factors, <const real *>clean_p, <const real *>clean_t, most, room, losses
    )


cdef void weigh_losses(
    const Segment *segment, const real *w, const double *losses, double *restrict out
) noexcept nogil:
    cdef double weight, value
    cdef Py_ssize_t i
    for i in range(segment.rows if segment.all_rows else 0):
        weight = w[i]
        value = weight * losses[i]
        out[i] = 0 if weight == 0 else value
    for i in range(0 if segment.all_rows else segment.rows):
        if segment.row_mask[i]:
            out[i] = 0 if w[i] == 0 else <double>w[i] * losses[i]


cdef bint distribution_block(
    const State *state, Segment *segment, Py_ssize_t start, Py_ssize_t n, const real *w, const real *factors,
    double *losses
) noexcept nogil:
    # The masked rows of a block that starts at some row; the losses of other rows stay. Return False if something is
    # outside its domain.
    cdef const Call *call = state.call
    cdef double *class_weights = <double *>state.room
    cdef double *loss = class_weights + TERMS
    cdef real *room = <real *>(loss + TERMS)
    cdef Py_ssize_t classes = call.classes
    cdef Py_ssize_t rows = max(TERMS // classes, <Py_ssize_t>1)
    cdef Py_ssize_t pieces = (classes + TERMS - 1) // TERMS
    cdef bint wants_losses = state.plan.wanted & (VALUE_EACH | VALUE_SUM)
    cdef Py_ssize_t group, r, i
    if rows >= 16:
        rows &= -16
    segment.class_weights = NULL
    if call.given & CLASS_WEIGHTS and pieces == 1:
        for i in range(rows * classes):
            class_weights[i] = call.class_weights[i % classes]
        segment.class_weights = class_weights
    for group in range((n + rows - 1) // rows):
        r = group * rows
        segment.rows = min(n - r, rows)
        segment.row = start + r
        segment.error = 0
        loss[0] = 0
        for i in range(pieces if segment.all_rows or rows > 1 or segment.row_mask[0] else 0):
            if halted_at(state, i):
                return True
            segment.first = i * TERMS
            segment.classes = min(classes - segment.first, <Py_ssize_t>TERMS)
            if call.given & CLASS_WEIGHTS and pieces > 1:
                segment.class_weights = call.class_weights + segment.first
            if not distribution_segment(state, segment, w + r, factors + r, room, loss):
                return False
        loss[0] = finite_sum(loss[0], segment.error)
        if wants_losses:
            weigh_losses(segment, w + r, loss, losses + r)
        segment.labels += rows
        if not segment.all_rows:
            segment.row_mask += rows
    return True
