# Rows of probabilities. With labels they are binary blocks, else the rows of distributions.pxi.

cdef inline void choose_each(
    const char *place, Py_ssize_t row_stride, Py_ssize_t stride, const int64_t *labels, Py_ssize_t size, Py_ssize_t n,
    char *restrict out
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        memcpy(out + i * size, place + i * row_stride + labels[i] * stride, size)


cdef void choose(
    const char *place, Py_ssize_t row_stride, Py_ssize_t stride, const int64_t *labels, Py_ssize_t size, Py_ssize_t n,
    char *out
) noexcept nogil:
    # Copy the number of each row's label, in the type of the array.
    if size == 8:
        choose_each(place, row_stride, stride, labels, 8, n, out)
    elif size == 4:
        choose_each(place, row_stride, stride, labels, 4, n, out)
    elif size == 2:
        choose_each(place, row_stride, stride, labels, 2, n, out)
    else:
        choose_each(place, row_stride, stride, labels, size, n, out)


cdef void gather(
    const Array *x, Py_ssize_t start, Py_ssize_t classes, Py_ssize_t n, const int64_t *labels, real *out
) noexcept nogil:
    # At most BLOCK probabilities: of each row that of its label
    cdef longdouble room[BLOCK]
    cdef char *chosen = <char *>&room[0]
    cdef Py_ssize_t row_stride = classes * x.size
    cdef Py_ssize_t stride = x.size
    cdef Py_ssize_t i
    if x.layout != NULL and x.layout.ndim > 2:
        for i in range(n):
            load(x, (start + i) * classes + labels[i], False, 1, &out[i])
        return
    if x.layout != NULL:
        row_stride = x.layout.strides[0]
        stride = x.layout.strides[1]
    if holds_computing_type(x, <real>0):
        choose(x.data + start * row_stride, row_stride, stride, labels, sizeof(real), n, <char *>out)
        return
    choose(x.data + start * row_stride, row_stride, stride, labels, x.size, n, chosen)
    if x.swapped:
        swap_bytes(chosen, x.size, n)
    convert_from(x.type, chosen, n, out)
    if x.tolerance > 0:
        round_to_unit(out, n, x.tolerance)


cdef void store_label_rows(
    const State *state, const Array *out, Py_ssize_t start, Py_ssize_t n, const int64_t *labels,
    const bint *is_distribution, const real *values
) noexcept nogil:
    # Rows that are 0 but for their labels
    cdef Py_ssize_t classes = state.call.classes
    cdef real column[BLOCK]
    cdef Py_ssize_t i, k
    cdef bint all = True
    cdef bint together
    for i in range(n):
        all = all and not is_distribution[i]
    together = all and classes <= WIDTH
    if all and lies_apart(out):  # the classes, while the rows may be side by side
        for k in range(classes):
            if halted_at(state, k):
                return
            for i in range(n):
                column[i] = values[i] if labels[i] == k else 0
            store_apart(out, start * classes + k, True, n, &column[0])
        return
    if together:
        store_zeros(out, start * classes, n * classes)
    for i in range(n):
        if is_distribution[i]:
            continue
        if not together:
            clear_numbers(state, out, (start + i) * classes, classes)
        store(out, (start + i) * classes + labels[i], 1, values + i)


cdef bint label_block(
    State *state, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *is_distribution, bint weighted,
    const real *w, const real *factors, double *losses
) noexcept nogil:
    # Rows with labels are a binary block: the probability of each row's label, with target 1. Return False if one is
    # outside its domain.
    cdef const Call *call = state.call
    cdef real p[BLOCK]
    cdef real ones[BLOCK]
    cdef real value[BLOCK]
    cdef real gradient[BLOCK]
    cdef real hessian[BLOCK]
    cdef double wide[BLOCK]
    cdef Binary loss
    cdef Block block
    cdef int wanted = state.plan.wanted
    cdef Py_ssize_t i
    set_loss(state, &loss, <real>0)
    block.is_wide = False
    for i in range(padded(n)):
        ones[i] = 1
        p[i] = 1
    gather(&call.x, start, call.classes, n, labels, p)
    block.n = n
    block.weighted = weighted or call.given & UPSTREAM != 0
    block.x = &p[0]
    block.targets = &ones[0]
    block.pos_weights = &ones[0]
    block.weights = w
    block.factors = factors
    if real is double:
        block.wide_factors = factors
    else:
        convert(factors, wide, padded(n))
        block.wide_factors = &wide[0]
    block.value = &value[0]
    block.gradient = &gradient[0]
    block.hessian = &hessian[0]
    if binary_block(&block, &loss, wanted, <real>0) == BAD:
        return False
    if wanted & VALUE_SUM:
        accumulator_add(&state.sum, block.sum)
    for i in range(n):
        if not is_distribution[i] and wanted & VALUE_EACH:
            losses[i] = value[i]
    if wanted & GRADIENT:
        store_label_rows(state, &call.gradient, start, n, labels, is_distribution, &gradient[0])
    if wanted & HESSIAN:
        store_label_rows(state, &call.hessian, start, n, labels, is_distribution, &hessian[0])
    return True


cdef bint probability_block(
    State *state, Py_ssize_t start, Py_ssize_t n, int64_t *labels, const real *given_w, real *factors
) noexcept nogil:
    # Compute the rows with labels together, and the distributions. With smoothing all rows are distributions. Return
    # False if something is outside its domain.
    cdef const Call *call = state.call
    cdef bint is_distribution[BLOCK]
    cdef real weights_of_rows[BLOCK]
    cdef double losses[BLOCK]
    cdef bint smoothed = call.options.smoothing != 0
    cdef const real *w = weight_rows(state, n, smoothed, labels, given_w, weights_of_rows, factors)
    cdef Segment segment
    cdef bint weighted
    cdef Py_ssize_t distributions = 0
    cdef Py_ssize_t i
    for i in range(n):
        is_distribution[i] = smoothed | (labels[i] == NOT_ONE_HOT)
        distributions += is_distribution[i]
        labels[i] = 0 if labels[i] < 0 else labels[i]
    segment.alike = distributions == n and not call.given & (WEIGHTS | UPSTREAM) and not call.options.ignores
    for i in range(n if 0 < distributions < n else 0):  # rows of weight 0 go with the distributions
        distributions += w[i] == 0 and not is_distribution[i]
        is_distribution[i] = is_distribution[i] or w[i] == 0
    for i in range(n, padded(n)):
        labels[i] = 0
    memset(losses, 0, padded(n) * sizeof(double))
    if distributions > 0:  # before the labels' rows are stored: an output may be the predictions
        segment.labels = labels
        segment.row_mask = is_distribution
        segment.all_rows = distributions == n
        segment.all_ones = segment.all_rows and all_ones(w, n)
        if not distribution_block(state, &segment, start, n, w, factors, losses):
            return False
        if state.plan.wanted & VALUE_SUM:
            accumulator_add(&state.sum, lane_sum(n, &losses[0]))
    if 0 < distributions < n:
        w = mask_rows(n, is_distribution, w, weights_of_rows, factors)
    weighted = w == &weights_of_rows[0] or call.given & WEIGHTS != 0
    if distributions < n and not label_block(
        state, start, n, labels, is_distribution, weighted, w, factors, losses
    ):
        return False
    if state.plan.wanted & VALUE_EACH:
        store(&call.value, start, n, &losses[0])
    return True


cdef void run_probability_rows(State *state, Py_ssize_t first, Py_ssize_t last, real of_type) noexcept nogil:
    cdef const Call *call = state.call
    cdef int64_t labels[BLOCK]
    cdef real scratch[BLOCK]
    cdef real factors[BLOCK]
    cdef double wide_factors[BLOCK]
    cdef const real *w
    cdef Py_ssize_t block, start, n
    for block in range(first, last):
        start = block * state.plan.block
        n = min(call.n - start, state.plan.block)
        w = load_weights(state, start, n, scratch)
        load_factors(state, start, n, w, &factors[0], &wide_factors[0])
        state.bad = start
        if call.given & WEIGHTS and not valid_weights(w, n):
            return
        if call.options.smoothing != 0 and not call.labels:
            memset(labels, 0, n * sizeof(int64_t))
        elif not find_labels(state, start, n, w, labels):
            return
        if not probability_block(state, start, n, labels, w, &factors[0]):
            return
        state.bad = -1
