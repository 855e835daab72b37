# Rows of classes: their labels and weighted targets, rows of probabilities, and tiles of any layout. Rows of logits are
# in softmax.pxi and rows.pxi, and their driver in rows_driver.pxi.

# ---------------------------------------------------------------- labels

cdef int64_t one_hot_label(const Job *job, Py_ssize_t row, real unused) noexcept nogil:
    # The label of a row that holds one 1 and is 0 elsewhere, or NOT_ONE_HOT.
    cdef real scratch[BLOCK]
    cdef const real *t
    cdef Py_ssize_t piece, first, k, n
    cdef int64_t ones = 0
    cdef int64_t others = 0
    cdef int64_t place = 0
    cdef const Array *targets = &job.targets
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t start = row * classes
    for piece in range(blocks(classes)):
        if halted_at(job, piece):
            break
        first = piece * BLOCK
        n = min(classes - first, <Py_ssize_t>BLOCK)
        if of_computing_type(targets, unused):  # a short row too: what lies behind it is not read
            t = <const real *>targets.data + start + first
        else:
            load(targets, start + first, 1, n, scratch)
            t = scratch
        if not (t[0] == 0 or t[0] == 1):
            return NOT_ONE_HOT
        for k in range(n):  # without branches: where the 1 is, nothing foresees
            ones += t[k] == 1
            others += t[k] != 0
            place += first + k if t[k] == 1 else 0
        if ones != others or ones > 1:
            return NOT_ONE_HOT
    return place if ones == 1 and place < classes else <int64_t>NOT_ONE_HOT  # another thread may write there


cdef void one_hot_labels(
    const Array *targets, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t classes, int64_t *labels, real unused
) noexcept nogil:
    # The same of rows of few classes, side by side
    cdef real tile[MAX_TILE_CLASSES * WIDTH]
    cdef real ones[WIDTH]
    cdef real others[WIDTH]
    cdef real place[WIDTH]
    cdef real t
    cdef Py_ssize_t r, k
    load_tile(targets, first, rows, padded_rows(rows, <real>0), classes, tile)
    memset(ones, 0, sizeof(ones))
    memset(others, 0, sizeof(others))
    memset(place, 0, sizeof(place))
    for k in range(classes):
        for r in range(padded_rows(rows, <real>0)):
            t = tile[k * WIDTH + r]
            ones[r] += 1 if t == 1 else 0
            others[r] += 0 if t == 0 else 1
            place[r] = <real>k if t == 1 else place[r]
    for r in range(rows):
        labels[r] = <int64_t>place[r] if ones[r] == 1 and others[r] == 1 else <int64_t>NOT_ONE_HOT


cdef void labels_of_rows(
    const Job *job, Py_ssize_t start, Py_ssize_t n, const real *w, int64_t *labels
) noexcept nogil:
    # The labels of all rows of a block that are one-hot; 0 where the weight is 0
    cdef Py_ssize_t i, first, rows
    cdef bint few = job.classes <= MAX_TILE_CLASSES
    # one look tells rows that are not one-hot
    few = few and one_hot_label(job, start, <real>0) >= 0
    for i in range((n + WIDTH - 1) // WIDTH if few else 0):
        first = i * WIDTH
        rows = min(n - first, <Py_ssize_t>WIDTH)
        one_hot_labels(&job.targets, start + first, rows, job.classes, labels + first, <real>0)
    for i in range(n):
        if w[i] == 0:
            labels[i] = 0
        elif not few:
            labels[i] = one_hot_label(job, start + i, <real>0)


cdef bint find_labels(const Job *job, Py_ssize_t start, Py_ssize_t n, const real *w, int64_t *labels) noexcept nogil:
    # A label for each row, of what weighs nothing too; IGNORED and NOT_ONE_HOT stay. False if there is an invalid one.
    cdef int64_t outside = 0
    cdef Py_ssize_t i
    cdef bint fine = True
    if not job.labels:
        labels_of_rows(job, start, n, w, labels)
        return True
    load_labels(&job.targets, &job.options, start, n, labels)
    for i in range(n):
        outside += (labels[i] < 0) | (labels[i] >= job.classes)
    if outside == 0:
        return True
    for i in range(n):
        if labels[i] != IGNORED and not 0 <= labels[i] < job.classes:
            labels[i] = 0  # whatever is read of the weight, which another thread may change
            fine = fine and w[i] == 0
    return fine


cdef bint in_domain(const real *t, Py_ssize_t n) noexcept nogil:
    # 0 <= t <= 1, or NaN
    cdef real least[LANES]
    cdef real u, smaller
    cdef bint fine = True
    cdef Py_ssize_t i, j
    for j in range(LANES):
        least[j] = 0
    for i in range(n // LANES):
        for j in range(LANES):
            u = 1 - t[i * LANES + j]
            smaller = t[i * LANES + j] if t[i * LANES + j] < u else u
            least[j] = smaller if smaller < least[j] else least[j]
    for j in range(n // LANES * LANES, n):
        u = 1 - t[j]
        smaller = t[j] if t[j] < u else u
        least[0] = smaller if smaller < least[0] else least[0]
    for j in range(LANES):
        fine &= least[j] >= 0
    return fine


cdef inline double tau_of(double t, double weight, double smoothing, double uniform) noexcept nogil:
    # class weight * smoothed target, by the form that rounds less; 0 where the weight is, whatever the target holds
    cdef double little = t + (uniform - smoothing * t)
    cdef double much = t * (1 - smoothing) + uniform
    cdef double value = weight * (little if smoothing <= 0.5 else much)
    return 0 if weight == 0 else value


cdef bint taus_of_rows(
    const Job *job, Py_ssize_t row, Py_ssize_t rows, const int64_t *labels, const bint *mine, const double *w,
    Py_ssize_t first, Py_ssize_t n, const double *weights, double *tau
) noexcept nogil:
    # n classes from first on, of some rows one after another (all classes, if there are several). weights has their
    # class weights, as often; NULL for 1. False if a target is out of its domain.
    cdef double smoothing = job.options.smoothing
    cdef double uniform = smoothing / job.classes
    cdef Py_ssize_t i, k
    if job.labels:
        memset(tau, 0, rows * n * sizeof(double))
        for i in range(rows):
            if first <= labels[i] < first + n:
                tau[i * n + labels[i] - first] = 1
    else:
        load(&job.targets, row * job.classes + first, 1, rows * n, tau)
        for i in range(rows):
            if not mine[i] or w[i] == 0:
                memset(tau + i * n, 0, n * sizeof(double))
        if not in_domain(tau, rows * n):
            return False
    if weights != NULL:
        for k in range(rows * n):
            tau[k] = tau_of(tau[k], weights[k], smoothing, uniform)
    elif smoothing != 0:
        for k in range(rows * n):
            tau[k] = tau_of(tau[k], 1, smoothing, uniform)
    return True


cdef bint taus_of_class(
    const Job *job, Py_ssize_t row, Py_ssize_t rows, const int64_t *labels, const bint *mine, const double *w,
    Py_ssize_t class_, double *tau
) noexcept nogil:
    # The same of one class, for rows side by side
    cdef double smoothing = job.options.smoothing
    cdef double uniform = smoothing / job.classes
    cdef double weight = job.class_weights[class_] if job.class_weights != NULL else 1
    cdef Py_ssize_t i
    for i in range(rows, WIDTH):
        tau[i] = 0
    if job.labels:
        for i in range(rows):
            tau[i] = 1 if labels[i] == class_ else 0
    else:
        load(&job.targets, row * job.classes + class_, job.classes, rows, tau)
        for i in range(rows):
            tau[i] = tau[i] if mine[i] and w[i] != 0 else 0
        if not in_domain(tau, WIDTH):
            return False
    for i in range(WIDTH):
        tau[i] = tau_of(tau[i], weight, smoothing, uniform)
    return True


cdef double target_weight(const Job *job, Py_ssize_t row, int64_t label) noexcept nogil:
    # The sum of class weight * target of a row, before smoothing
    cdef double t[BLOCK]
    cdef Sums sums
    cdef Py_ssize_t piece, first, n, k
    if label != NOT_ONE_HOT:
        return job.class_weights[label]
    sums_clear(&sums)
    for piece in range(blocks(job.classes)):
        if halted_at(job, piece):
            break
        first = piece * BLOCK
        n = min(job.classes - first, <Py_ssize_t>BLOCK)
        load(&job.targets, row * job.classes + first, 1, n, t)
        for k in range(n):
            t[k] = tau_of(t[k], job.class_weights[first + k], 0, 0)
        sums_add(&sums, &t[0], n)
    sums_join(&sums)
    return sums_round(&sums, 0)


# ---------------------------------------------------------------- probabilities

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
    const Job *job, const Array *out, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *general,
    const real *values
) noexcept nogil:
    # Rows that are 0 but for their labels
    cdef Py_ssize_t classes = job.classes
    cdef real column[BLOCK]
    cdef Py_ssize_t i, k
    cdef bint all = True
    cdef bint together
    if out.data == NULL:
        return
    for i in range(n):
        all = all and not general[i]
    together = all and classes <= WIDTH
    if all and lies_apart(out):  # the classes, while the rows may be side by side
        for k in range(classes):
            if halted_at(job, k):
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
            clear_numbers(job, out, (start + i) * classes, classes)
        store(out, (start + i) * classes + labels[i], 1, values + i)


cdef int label_block(
    Job *job, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *general, bint weighted,
    const real *w, const real *factors, double *losses
) noexcept nogil:
    # Rows with labels are a binary block: the probability of each row's label, with target 1.
    cdef real p[BLOCK]
    cdef real ones[BLOCK]
    cdef real value[BLOCK]
    cdef real gradient[BLOCK]
    cdef real hessian[BLOCK]
    cdef double wide[BLOCK]
    cdef Binary loss
    cdef Block block
    cdef int wanted = wanted_results(job)
    cdef Py_ssize_t i
    set_loss(job, &loss, <real>0)
    block.is_wide = False
    for i in range(padded(n)):
        ones[i] = 1
        p[i] = 1
    gather(&job.x, start, job.classes, n, labels, p)
    block.n = n
    block.weighted = weighted or job.upstream.data != NULL
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
        return BAD
    if wanted & VALUE_SUM:
        accumulator_add(&job.sum, block.sum)
    for i in range(n):
        if not general[i] and job.value.data != NULL:
            losses[i] = value[i]
    store_label_rows(job, &job.gradient, start, n, labels, general, &gradient[0])
    store_label_rows(job, &job.hessian, start, n, labels, general, &hessian[0])
    return SOFT


include "distributions.pxi"

# ---------------------------------------------------------------- tiles

cdef void load_tile(
    const Array *x, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t lanes, Py_ssize_t classes, real *tile
) noexcept nogil:
    # Rows of few classes, side by side; the other lanes are 0
    cdef real scratch[BLOCK]
    cdef const real *data
    cdef Py_ssize_t group = BLOCK // classes  # rows
    cdef Py_ssize_t i, start, count, r, k
    for i in range((rows + group - 1) // group if x.layout == NULL else 0):  # in the order of the memory
        start = i * group
        count = min(rows - start, group)
        data = numbers_of(x, (first + start) * classes, count * classes, scratch)
        rows_to_tile(data, count, classes, tile + start)
    for k in range(classes if x.layout != NULL else 0):
        load(x, first * classes + k, classes, rows, tile + k * WIDTH)
    for k in range(classes if rows < lanes else 0):
        for r in range(rows, lanes):
            tile[k * WIDTH + r] = 0


cdef inline bint are_taus(const Job *job) noexcept nogil:
    # whether the targets as they are given are the taus, but of rows of weight 0
    return not job.labels and job.class_weights == NULL and job.options.smoothing == 0


cdef inline bint tau_lies_there(const Job *job, double w, real unused) noexcept nogil:
    return are_taus(job) and w != 0 and of_computing_type(&job.targets, unused)


cdef bint taus_tile(
    const Job *job, Py_ssize_t row, Py_ssize_t rows, const int64_t *labels, const bint *mine, const double *w, real *t
) noexcept nogil:
    # The taus of rows of few classes, side by side
    cdef double wide[WIDTH]
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t r, k
    if are_taus(job):
        load_tile(&job.targets, row, rows, WIDTH, classes, t)
        for r in range(rows):
            if not mine[r] or w[r] == 0:
                for k in range(classes):
                    t[k * WIDTH + r] = 0
        return in_domain(t, classes * WIDTH)
    for k in range(classes):
        if not taus_of_class(job, row, rows, labels, mine, w, k, wide):
            return False
        convert(&wide[0], t + k * WIDTH, WIDTH)
    return True
