# ---------------------------------------------------------------- the driver

cdef inline bint have_own_weights(const Job *job, bint in_taus) noexcept nogil:
    # Return whether class weights or ignored labels change the weights of rows.
    return job.options.ignores or (job.class_weights != NULL and not in_taus)


cdef inline real own_weight(const Job *job, bint in_taus, int64_t label, real unused) noexcept nogil:
    # Return 0 if the row is ignored, else the class weight of its label, or 1 if the taus hold the class weights.
    if label == IGNORED:
        return 0
    if job.class_weights != NULL and not in_taus and label >= 0:
        return <real>job.class_weights[label]
    return 1


cdef const real *weight_rows(
    Job *job, Py_ssize_t n, bint in_taus, const int64_t *labels, const real *w, real *own, real *factors
) noexcept nogil:
    # The weights and factors of rows
    cdef real weight, product, factor
    cdef Py_ssize_t i
    if not have_own_weights(job, in_taus):
        return w
    for i in range(padded(n)):
        own[i] = w[i]
    for i in range(n):
        weight = own_weight(job, in_taus, labels[i], <real>0)
        if weight == 1:
            continue
        product = own[i] * weight
        factor = factors[i] * weight
        if weight != 0 and (product - product != 0 or factor - factor != 0):
            job.noticed |= OVERFLOWING
        own[i] = 0 if weight == 0 else product
        factors[i] = 0 if own[i] == 0 else factor
    return own


cdef void loss_weights(
    const Job *job, Py_ssize_t n, bint in_taus, const int64_t *labels, const real *w, double *out
) noexcept nogil:
    # The weights by which the losses of rows are multiplied: of float, a product may lie beyond its range.
    cdef double weight
    cdef Py_ssize_t i
    for i in range(padded(n)):
        out[i] = w[i]
    for i in range(n if have_own_weights(job, in_taus) else 0):
        weight = own_weight(job, in_taus, labels[i], <real>0)
        out[i] = 0 if weight == 0 else out[i] * weight


cdef const real *mask_rows(
    Py_ssize_t n, const bint *general, const real *w, real *own, real *factors
) noexcept nogil:
    # Weights of 0 for the rows that have gone the general way
    cdef Py_ssize_t i
    for i in range(padded(n)):
        own[i] = w[i]
    for i in range(n):
        if general[i]:
            own[i] = factors[i] = 0
    return own


cdef bint valid_weights(const real *w, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not (w[i] >= 0 and w[i] - w[i] == 0):
            return False
    return True


cdef void run_rows(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    if job.options.logits:
        run_logit_rows(job, first, last, unused)
    else:
        run_probability_rows(job, first, last, unused)


cdef void run_logit_rows(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    cdef int64_t labels[BLOCK]
    cdef bint has_targets[BLOCK]
    cdef real w_scratch[BLOCK]
    cdef real own_w[BLOCK]
    cdef real factors[BLOCK]
    cdef double wide_w[BLOCK]
    cdef double wide_factors[BLOCK]
    cdef double losses[BLOCK]
    cdef double row_w[BLOCK]
    cdef const real *w
    cdef RowInputs rows
    cdef Py_ssize_t block, start, n, i
    cdef bint all_have = job.options.smoothing != 0 and (job.class_weights != NULL or job.options.gamma != 0)
    cdef bint in_taus = job.options.smoothing != 0 and job.class_weights != NULL
    cdef char *memory = <char *>malloc(arena_size(job.classes, unused))
    rows.labels = &labels[0]
    rows.has_targets = &has_targets[0]
    rows.w = &row_w[0]
    rows.factors = &wide_factors[0]
    rows.losses = &losses[0]
    for block in range(first, last):
        start = block * job.block
        n = min(job.n - start, job.block)
        w = weight_block(job, start, n, True, w_scratch, factors)
        job.bad = start
        if (job.weights.data != NULL and not valid_weights(w, n)) or not find_labels(job, start, n, w, labels):
            break
        loss_weights(job, n, in_taus, labels, w, wide_w)
        w = weight_rows(job, n, in_taus, labels, w, own_w, factors)
        for i in range(n):
            has_targets[i] = all_have | (labels[i] == NOT_ONE_HOT)
            labels[i] = 0 if labels[i] == IGNORED else labels[i]
            row_w[i] = w[i]
            wide_factors[i] = factors[i]
        memset(losses, 0, padded(n) * sizeof(double))
        if logit_rows(job, memory, &rows, start, n, unused) == BAD:
            break
        job.bad = -1
        for i in range(n):
            losses[i] = 0 if wide_w[i] == 0 else wide_w[i] * losses[i]
        if job.wanted_sum:
            accumulator_add(&job.sum, lane_sum(n, &losses[0]))
        store(&job.value, start, n, &losses[0])
    free(memory)


cdef void run_probability_rows(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    cdef int64_t labels[BLOCK]
    cdef bint general[BLOCK]
    cdef real w_scratch[BLOCK]
    cdef real own_w[BLOCK]
    cdef real factors[BLOCK]
    cdef double wide_w[BLOCK]
    cdef double wide_factors[BLOCK]
    cdef double losses[BLOCK]
    cdef const real *w
    cdef Py_ssize_t block, start, n, i
    cdef int others
    cdef bint in_taus = job.options.smoothing != 0 or job.options.gamma != 0
    cdef bint any_general, any_label, weighted
    # Whether every row with a label weighs 1
    cdef bint even = job.weights.data == NULL and not have_own_weights(job, in_taus)
    for block in range(first, last):
        start = block * job.block
        n = min(job.n - start, job.block)
        w = weight_block(job, start, n, True, w_scratch, factors)
        job.bad = start
        if (job.weights.data != NULL and not valid_weights(w, n)) or not find_labels(job, start, n, w, labels):
            return
        if not even:
            loss_weights(job, n, in_taus, labels, w, wide_w)
        w = weight_rows(job, n, in_taus, labels, w, own_w, factors)
        others = 0
        for i in range(n):
            general[i] = in_taus | (labels[i] == NOT_ONE_HOT)
            others += general[i]
            labels[i] = 0 if labels[i] == IGNORED else labels[i]
        any_general = others > 0
        any_label = others < n
        for i in range(n, padded(n)):
            labels[i] = 0
        memset(losses, 0, padded(n) * sizeof(double))
        if any_general:  # before the labels' rows are stored: an output may be the predictions
            if even:
                convert(w, wide_w, padded(n))
            convert(&factors[0], wide_factors, padded(n))
            if distribution_block(job, start, n, labels, general, wide_w, wide_factors, losses) == BAD:
                return
            if job.wanted_sum:
                accumulator_add(&job.sum, lane_sum(n, &losses[0]))
            w = mask_rows(n, general, w, own_w, factors)
        if any_label:
            for i in range(n if any_general else 0):
                labels[i] = 0 if general[i] else labels[i]
            weighted = w == &own_w[0] or job.weights.data != NULL
            if label_block(job, start, n, labels, general, weighted, w, &factors[0], losses) == BAD:
                return
        job.bad = -1
        store(&job.value, start, n, &losses[0])


# ---------------------------------------------------------------- softmax and its derivative

cdef void run_activation(Job *job, Py_ssize_t start, Py_ssize_t stop, real unused) noexcept nogil:
    # The rows from start to stop; start is a multiple of the block
    cdef RowInputs rows
    cdef char *memory = <char *>malloc(arena_size(job.classes, unused))
    memset(&rows, 0, sizeof(RowInputs))
    logit_rows(job, memory, &rows, start, stop - start, unused)
    free(memory)


cdef inline void softmax_slopes(
    double *s, const double *u, const Sums *sums, bint one_row, Py_ssize_t n
) noexcept nogil:
    cdef double total, lost, value
    cdef double single = sums.total[0]
    cdef double single_lost = sums.lost[0]
    cdef Py_ssize_t i
    for i in range(n):
        total = single if one_row else sums.total[i]
        lost = single_lost if one_row else sums.lost[i]
        value = s[i] * ((u[i] - total) - lost)
        s[i] = 0 if s[i] == 0 else value


cdef void run_softmax_backward(Job *job, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    # s (u - sum of s u), s = job.x, u = job.targets; a class with s = 0 is 0 whatever u holds there
    cdef double s[FEW_BOTH * WIDTH]
    cdef double u[FEW_BOTH * WIDTH]
    cdef double terms[BLOCK]
    cdef double value
    cdef Sums sums
    cdef Py_ssize_t classes = job.classes
    cdef bint one_row = classes > FEW_BOTH
    cdef Py_ssize_t width = 1 if one_row else WIDTH
    cdef Py_ssize_t pieces = blocks(classes) if one_row else classes
    cdef Py_ssize_t step = 0 if one_row else WIDTH
    cdef Py_ssize_t n = WIDTH
    cdef Py_ssize_t panel, first, rows, piece, place, i
    for panel in range((stop - start + width - 1) // width):
        first = start + panel * width
        rows = min(stop - first, width)
        if not one_row:
            load_tile(&job.x, first, rows, WIDTH, classes, &s[0])
            load_tile(&job.targets, first, rows, WIDTH, classes, &u[0])
        sums_clear(&sums)
        for piece in range(pieces):
            if halted_at(job, piece):
                break
            place = piece * step
            if one_row:
                n = load_piece(job, &job.x, first, rows, True, piece, &s[0])
                load_piece(job, &job.targets, first, rows, True, piece, &u[0])
            for i in range(n):
                value = s[place + i] * u[place + i]
                terms[i] = 0 if s[place + i] == 0 else value
            sums_add(&sums, &terms[0], n)
            ask_for(&job.gradient, first * classes + place, n, True)
        if one_row:
            sums_join(&sums)
        for piece in range(pieces):
            if halted_at(job, piece):
                break
            place = piece * step
            if pieces > 1 and one_row:  # else they are there
                n = load_piece(job, &job.x, first, rows, True, piece, &s[0])
                load_piece(job, &job.targets, first, rows, True, piece, &u[0])
            if one_row:
                softmax_slopes(&s[0], &u[0], &sums, True, n)
                store(&job.gradient, first * classes + piece * BLOCK, n, &s[0])
            else:
                softmax_slopes(&s[place], &u[place], &sums, False, WIDTH)
        if not one_row:
            store_tile(&job.gradient, first, rows, classes, &s[0], NULL)
