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
            load(x, (start + i) * classes + labels[i], 1, 1, &out[i])
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
    const State *state, const Array *out, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *general,
    const real *values
) noexcept nogil:
    # Rows that are 0 but for their labels
    cdef Py_ssize_t classes = state.call.classes
    cdef real column[BLOCK]
    cdef Py_ssize_t i, k
    cdef bint all = True
    cdef bint together
    for i in range(n):
        all = all and not general[i]
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
        if general[i]:
            continue
        if not together:
            clear_numbers(state, out, (start + i) * classes, classes)
        store(out, (start + i) * classes + labels[i], 1, values + i)


cdef bint label_block(
    State *state, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *general, bint weighted,
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
        if not general[i] and wanted & VALUE_EACH:
            losses[i] = value[i]
    if wanted & GRADIENT:
        store_label_rows(state, &call.gradient, start, n, labels, general, &gradient[0])
    if wanted & HESSIAN:
        store_label_rows(state, &call.hessian, start, n, labels, general, &hessian[0])
    return True


cdef Py_ssize_t run_distributions(
    State *state, Py_ssize_t start, Py_ssize_t n, bint all_rows, const int64_t *labels, const real *w,
    const real *factors
) noexcept nogil:
    # Compute the rows of a block up to the first part of it that may hold a one-hot row, or all of them. Return how
    # many there were, or -1 if something is outside its domain. A part stays in the cache between its two readings.
    cdef Py_ssize_t part = n if all_rows else max(LONG_BLOCK // state.call.classes, <Py_ssize_t>1)
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t rows
    while done < n:
        rows = min(n - done, part)
        if not all_rows and any_one(state, start + done, rows, <real>0):
            break
        if not run_distribution_block(state, start + done, rows, labels, w + done, factors + done):
            return -1
        done += rows
    return done


cdef bint run_labels(
    State *state, Py_ssize_t start, Py_ssize_t n, int64_t *labels, const real *given_w, real *factors
) noexcept nogil:
    # Compute rows with a label, and the distributions between them. Return False if something is outside its domain.
    cdef bint general[BLOCK]
    cdef real own_w[BLOCK]
    cdef double losses[BLOCK]
    cdef const real *w = weight_rows(state, n, False, labels, given_w, own_w, factors)
    cdef Segment segment
    cdef Py_ssize_t distributions = 0
    cdef Py_ssize_t i
    for i in range(n):
        general[i] = labels[i] == NOT_ONE_HOT
        distributions += general[i]
        labels[i] = 0 if labels[i] < 0 else labels[i]  # ignored rows and distributions have no label
    for i in range(n, padded(n)):
        labels[i] = 0
    memset(losses, 0, padded(n) * sizeof(double))
    if distributions > 0:  # before the labels' rows are stored: an output may be the predictions
        segment.labels = labels
        segment.row_mask = general
        segment.all_rows = distributions == n
        segment.all_ones = segment.alike = False
        if not distribution_block(state, &segment, start, n, w, factors, losses):
            return False
        if state.plan.wanted & VALUE_SUM:
            accumulator_add(&state.sum, lane_sum(n, &losses[0]))
        w = mask_rows(n, general, w, own_w, factors)
    if distributions < n and not label_block(
        state, start, n, labels, general, w == &own_w[0] or state.call.given & WEIGHTS != 0, w, factors, losses
    ):
        return False
    if state.plan.wanted & VALUE_EACH:
        store(&state.call.value, start, n, &losses[0])
    return True


cdef bint run_smoothed_labels(
    State *state, Py_ssize_t start, Py_ssize_t n, int64_t *labels, const real *given_w, real *factors
) noexcept nogil:
    # With smoothing, labels are distributions.
    cdef real own_w[BLOCK]
    cdef const real *w = weight_rows(state, n, True, labels, given_w, own_w, factors)
    cdef Py_ssize_t i
    for i in range(n):
        labels[i] = 0 if labels[i] == IGNORED else labels[i]
    return run_distribution_block(state, start, n, labels, w, factors)


cdef void run_probability_rows(State *state, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    cdef const Call *call = state.call
    cdef int64_t labels[BLOCK]
    cdef real scratch[BLOCK]
    cdef real factors[BLOCK]
    cdef double wide_factors[BLOCK]
    cdef const real *w
    cdef bint smoothed = call.options.smoothing != 0
    cdef bint valid
    cdef Py_ssize_t block, start, n, i, done
    for block in range(first, last):
        start = block * state.plan.block
        n = min(call.n - start, state.plan.block)
        w = load_weights(state, start, n, scratch)
        load_factors(state, start, n, w, &factors[0], &wide_factors[0])
        state.bad = start
        if call.given & WEIGHTS and not valid_weights(w, n):
            return
        done = 0 if call.labels else run_distributions(state, start, n, smoothed, labels, w, &factors[0])
        if done < 0:
            return
        if done == n:
            state.bad = -1
            continue
        if done > 0:  # the other rows
            start += done
            n -= done
            memmove(scratch, w + done, n * sizeof(real))
            memmove(factors, &factors[done], n * sizeof(real))
            w = &scratch[0]
            for i in range(n, padded(n)):
                scratch[i] = factors[i] = 0
        valid = find_labels(state, start, n, w, labels)
        if valid and smoothed:
            valid = run_smoothed_labels(state, start, n, labels, w, &factors[0])
        elif valid:
            valid = run_labels(state, start, n, labels, w, &factors[0])
        if not valid:
            return
        state.bad = -1
