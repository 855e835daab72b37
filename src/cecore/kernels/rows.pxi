# Rows of classes. A row with a label, or with one 1 among zeros, takes the label's way; any other row, and every row
# under label smoothing or with a focal factor, one for any target. Either has a quick way for ordinary logits; the
# slow one for any target computes in double. Which way a row takes depends on the row alone.

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
        if not looks_hard(t):
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
    cdef real tile[FEW * WIDTH]
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
    cdef bint few = job.classes <= FEW
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
    # Of each row the number of its label, as it is
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
    cdef int wanted = VALUE_SUM if job.wanted_sum else 0
    cdef Py_ssize_t i
    set_loss(job, &loss, <real>0)
    if job.value.data != NULL:
        wanted |= VALUE_EACH
    if job.gradient.data != NULL:
        wanted |= GRADIENT
    if job.hessian.data != NULL:
        wanted |= HESSIAN
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
    return HARD


cdef bint inspect_terms(Py_ssize_t n, const double *p, const double *t, const double *w) noexcept nogil:
    # As inspect, for terms that read p where t is not 0; targets and weights are checked before.
    cdef double q, outside, code
    cdef uint64_t codes = 0
    cdef Py_ssize_t i
    for i in range(padded(n)):
        q = 1 - p[i]
        outside = p[i] if p[i] < q else q
        code = 2 if outside < 0 else 0
        code = 0 if t[i] == 0 else code
        code = 0 if w[i] == 0 else code
        codes |= cecore_bits(code)
    return codes == 0


cdef void store_rows(
    const Array *out, Py_ssize_t classes, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t class_, Py_ssize_t n,
    const bint *mine, const double *block
) noexcept nogil:
    # Whole rows one after another, or n classes of one row
    cdef Py_ssize_t r
    for r in range(rows):
        if mine[r]:
            store(out, (first + r) * classes + class_, n, block + r * n)


cdef int distribution_block(
    Job *job, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *mine, const double *w,
    const double *row_factors, double *losses
) noexcept nogil:
    # Pieces of at most BLOCK terms, of several short rows or of one long one. A term is a one-sided hard one: the
    # probability p_k, target 1, weight tau_k.
    cdef double p_scratch[BLOCK]
    cdef double tau[BLOCK]
    cdef double ones[BLOCK]
    cdef double weights[BLOCK]
    cdef double factors[BLOCK]
    cdef double out[BLOCK]
    cdef double bends[BLOCK]
    cdef double class_weights[BLOCK]
    cdef double term
    cdef const double *p
    cdef const double *weighing
    cdef Sums sums
    cdef Py_ssize_t classes = job.classes
    cdef bint one_row = classes > BLOCK // 2
    cdef Py_ssize_t rows_in_piece = 1 if one_row else BLOCK // classes
    cdef Py_ssize_t tile, piece, r, first, rows, per_row, flat, count, i, k
    cdef double weight
    for i in range(BLOCK):
        ones[i] = 1
        if job.class_weights != NULL and not one_row:
            class_weights[i] = job.class_weights[i % classes]
    for tile in range((n + rows_in_piece - 1) // rows_in_piece):
        r = tile * rows_in_piece
        rows = min(n - r, rows_in_piece)
        if one_row and not mine[r]:
            continue
        sums_clear(&sums)
        for piece in range(blocks(classes) if one_row else 1):
            if halted_at(job, piece):
                return SOFT
            first = piece * BLOCK
            per_row = min(classes - first, <Py_ssize_t>BLOCK)
            count = rows * per_row
            flat = (start + r) * classes + first
            weighing = NULL
            if job.class_weights != NULL:
                weighing = job.class_weights + first if one_row else &class_weights[0]
            p = block_of(&job.x, flat, count, p_scratch, <double>1)
            if not taus_of_rows(job, start + r, rows, labels + r, mine + r, w + r, first, per_row, weighing, tau):
                return BAD
            for i in range(rows):
                weight = w[r + i] if mine[r + i] else 0
                for k in range(i * per_row, (i + 1) * per_row):
                    weights[k] = weight
                    factors[k] = row_factors[r + i]
            for k in range(count, padded(count)):
                weights[k] = 0
                factors[k] = 0
                tau[k] = 0
            if not inspect_terms(count, p, &tau[0], &weights[0]):
                return BAD
            if job.value.data != NULL or job.wanted_sum:
                hard_value(count, p, &ones[0], &tau[0], &tau[0], &job.wide_clip, &out[0])
                if one_row:
                    sums_add(&sums, &out[0], per_row)
                for i in range(rows):
                    if not one_row and mine[r + i]:
                        losses[r + i] = few_sum(&out[i * per_row], per_row)
            for k in range(padded(count)):
                term = factors[k] * tau[k]
                factors[k] = 0 if tau[k] == 0 else term
                term = weights[k] * tau[k]
                weights[k] = 0 if tau[k] == 0 else term
            if job.gradient.data != NULL:
                hard_gradient(count, p, &ones[0], &weights[0], &factors[0], &job.wide_clip, &out[0])
            if job.hessian.data != NULL:
                hard_hessian(count, p, &ones[0], &weights[0], &job.wide_clip, &bends[0])
            # not before: p may lie in either
            store_rows(&job.gradient, classes, start + r, rows, first, per_row, mine + r, &out[0])
            store_rows(&job.hessian, classes, start + r, rows, first, per_row, mine + r, &bends[0])
        if one_row:
            sums_join(&sums)
            losses[r] = sums_round(&sums, 0)
    for i in range(n):
        if mine[i]:
            losses[i] = 0 if w[i] == 0 else w[i] * losses[i]
    return SOFT


# ---------------------------------------------------------------- logits with a label

cdef inline double label_loss(double z, double top, double log_total) noexcept nogil:
    cdef double low
    cdef double d = difference(z, top, &low)
    return (log_total - low) - d


cdef void clear_rows(const real *w, Py_ssize_t rows, Py_ssize_t classes, real *tile) noexcept nogil:
    # Rows of weight 0 are 0, also where they are NaN
    cdef int zeros = 0
    cdef Py_ssize_t r, k
    for r in range(rows):
        zeros += w[r] == 0
    if zeros == 0:
        return
    for r in range(rows):
        if w[r] == 0:
            for k in range(classes):
                tile[k * WIDTH + r] = 0


cdef struct Own:  # of the labels of a panel's rows
    double z[WIDTH]
    double e[WIDTH]


cdef void pick_own(
    const real *z, const real *e, Py_ssize_t classes, Py_ssize_t rows, const int64_t *labels, Own *own
) noexcept nogil:
    # Class by class while they are few: a gather is scalar code
    cdef double own_z[WIDTH]
    cdef double own_e[WIDTH]
    cdef Py_ssize_t r, k
    if classes > PICKED:
        for r in range(rows):
            k = labels[r] * WIDTH + r
            own.z[r] = z[k]
            own.e[r] = e[k]
        return
    for r in range(padded_rows(rows, <real>0)):
        own_z[r] = z[r]
        own_e[r] = e[r]
    for k in range(1, classes):
        for r in range(padded_rows(rows, <real>0)):
            own_z[r] = <double>z[k * WIDTH + r] if labels[r] == k else own_z[r]
            own_e[r] = <double>e[k * WIDTH + r] if labels[r] == k else own_e[r]
    memcpy(own.z, own_z, rows * sizeof(double))
    memcpy(own.e, own_e, rows * sizeof(double))


cdef void place_own(
    const double *values, Py_ssize_t classes, Py_ssize_t rows, const int64_t *labels, real *tile
) noexcept nogil:
    cdef real narrow[WIDTH]
    cdef Py_ssize_t r, k
    if classes > PICKED:
        for r in range(rows):
            tile[labels[r] * WIDTH + r] = <real>values[r]
        return
    for r in range(padded_rows(rows, <real>0)):
        narrow[r] = <real>values[r]
    for k in range(classes):
        for r in range(padded_rows(rows, <real>0)):
            tile[k * WIDTH + r] = narrow[r] if labels[r] == k else tile[k * WIDTH + r]


cdef void rows_losses(
    const real *top, const Own *own, const Softmax *softmax, Py_ssize_t n, double *restrict losses
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        losses[i] = label_loss(own.z[i], top[i], softmax.log_total[i])


cdef void rows_own_gradients(
    const Own *own, const double *scale, const Softmax *softmax, Py_ssize_t n, double *restrict out
) noexcept nogil:
    cdef double value
    cdef Py_ssize_t i
    for i in range(n):
        value = others(own.e[i], softmax.total[i], softmax.lost[i], softmax.largest[i], softmax.rest[i])
        out[i] = 0 - value * scale[i]


cdef inline double small_rest() noexcept nogil:
    # below which the rest is added up anew, without the largest
    return 9.5367431640625e-07


cdef void set_rest(Softmax *softmax, Py_ssize_t lane, double rest, double lost) noexcept nogil:
    cdef double total
    softmax.rest[lane] = rest + lost
    softmax.rest_lost[lane] = lost = (rest - softmax.rest[lane]) + lost
    total = softmax.largest[lane] + softmax.rest[lane]
    lost = ((softmax.largest[lane] - total) + softmax.rest[lane]) + (lost + softmax.largest_lost[lane])
    softmax.total[lane] = total + lost  # of float, what the largest one lost is no rounding error in double
    softmax.lost[lane] = (total - softmax.total[lane]) + lost


cdef bint any_small(const double *rest, Py_ssize_t n) noexcept nogil:
    cdef int count = 0
    cdef double limit = small_rest()
    cdef Py_ssize_t i
    for i in range(n):
        count += rest[i] < limit
    return count > 0


cdef void kept_rest(
    const real *e, const real *lost_e, Py_ssize_t stride, Py_ssize_t classes, Py_ssize_t lane, Softmax *softmax
) noexcept nogil:
    # From the exponentials, and what they lost unless that is NULL
    cdef double total = 0
    cdef double lost = 0
    cdef double term
    cdef bint first = True
    cdef Py_ssize_t k
    for k in range(classes):
        term = e[k * stride]
        if first and term == softmax.largest[lane]:
            first = False
            continue
        add_exactly(&total, &lost, term)
        if lost_e != NULL:
            lost += lost_e[k * stride]
    set_rest(softmax, lane, total, lost)


cdef const real *piece_of(const Array *x, Py_ssize_t start, Py_ssize_t n, real *scratch) noexcept nogil:
    if of_computing_type(x, <real>0):
        return <const real *>x.data + start
    load(x, start, 1, n, scratch)
    return scratch


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
        data = piece_of(x, (first + start) * classes, count * classes, scratch)
        rows_to_tile(data, count, classes, tile + start)
    for k in range(classes if x.layout != NULL else 0):
        load(x, first * classes + k, classes, rows, tile + k * WIDTH)
    for k in range(classes if rows < lanes else 0):
        for r in range(rows, lanes):
            tile[k * WIDTH + r] = 0


cdef void ask_for_results(const Job *job, Py_ssize_t start, Py_ssize_t n, bint near) noexcept nogil:
    ask_for(&job.gradient, start, n, near)
    ask_for(&job.hessian, start, n, near)


cdef bint all_ordinary(const real *least, const real *top, Py_ssize_t n) noexcept nogil:
    cdef int count = 0
    cdef Py_ssize_t i
    for i in range(n):
        count += is_ordinary(least[i], top[i])
    return count == n


cdef void label_tile(
    Job *job, Py_ssize_t first, Py_ssize_t rows, const int64_t *labels, const bint *general, const real *w,
    const real *factors, double *losses, bint *unusual
) noexcept nogil:
    # A panel of few classes. Rows that are unusual are left to the caller: the panel takes most of the stack.
    cdef real z[FEW * WIDTH]
    cdef real e[FEW * WIDTH]
    cdef bint mine[WIDTH]
    cdef real least[WIDTH]
    cdef real top[WIDTH]
    cdef real shift[WIDTH]
    cdef real scale[WIDTH]
    cdef real inverse[WIDTH]
    cdef double scales[WIDTH]
    cdef double own_gradients[WIDTH]
    cdef Own own
    cdef Softmax softmax
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t lanes = padded_rows(rows, <real>0)
    cdef bint is_loss = job.activation == NOT_ACTIVATION
    cdef bint near = classes * WIDTH <= NEAR
    cdef bint far
    cdef Py_ssize_t r, k
    for r in range(lanes):
        top[r] = -INFINITY
        least[r] = INFINITY
        scale[r] = inverse[r] = 0
        own_gradients[r] = 0
    load_tile(&job.x, first, rows, lanes, classes, z)
    for k in range(classes):
        rows_extremes(&z[k * WIDTH], lanes, least, top)
    for r in range(rows):
        mine[r] = 1
    for r in range(rows if is_loss else 0):
        mine[r] = general[r] == 0
    far = not all_ordinary(least, top, rows)
    if far:
        for r in range(lanes):
            least[r] = top[r]
        for k in range(classes):
            rows_least_of_near(&z[k * WIDTH], top, lanes, least)
        for r in range(rows):
            if is_ordinary(least[r], top[r]):
                continue
            unusual[r] = mine[r]
            mine[r] = False
            top[r] = 0
    rows_largest(top, lanes, shift, &softmax)
    for k in range(classes):
        rows_shifted(&z[k * WIDTH], shift, top, far, lanes, &e[k * WIDTH])
        if rows == WIDTH:
            ask_for(&job.x, (first + WIDTH) * classes + k * WIDTH, WIDTH, near)
            ask_for_results(job, first * classes + k * WIDTH, WIDTH, near)
    rows_totals(e, lanes, classes, softmax.total, softmax.lost)
    rows_rest(lanes, &softmax)
    if any_small(softmax.rest, rows):
        for r in range(rows):
            if softmax.rest[r] < small_rest():
                kept_rest(&e[r], <const real *>NULL, WIDTH, classes, r, &softmax)
    if job.activation != SOFTMAX and (not is_loss or job.value.data != NULL or job.wanted_sum):
        rows_log_totals(lanes, &softmax, <real>0)
    if job.activation == LOG_SOFTMAX:
        for r in range(lanes):
            scale[r] = <real>softmax.log_total[r]
        for k in range(classes):
            rows_log(&z[k * WIDTH], top, scale, lanes, &e[k * WIDTH])
        store_tile(&job.gradient, first, rows, classes, e, mine)
        return
    if job.activation == SOFTMAX:
        for r in range(lanes):
            inverse[r] = 1
        rows_over_total(inverse, &softmax, lanes, scales)
        for r in range(lanes):
            scale[r] = <real>scales[r]
        rows_top_shares(&softmax, lanes, inverse)
        for k in range(classes):
            softmax_rows(&e[k * WIDTH], scale, softmax.largest, inverse, lanes)
        store_tile(&job.gradient, first, rows, classes, e, mine)
        return
    pick_own(z, e, classes, rows, labels, &own)
    if job.value.data != NULL or job.wanted_sum:
        rows_losses(top, &own, &softmax, rows, own_gradients)
        for r in range(rows):
            losses[r] = own_gradients[r] if mine[r] else losses[r]
    if job.hessian.data != NULL:
        rows_over_total(w, &softmax, rows, scales)
        for r in range(rows):
            scale[r] = <real>scales[r]
            inverse[r] = <real>over_total(1, &softmax, r)
        for k in range(classes):
            rows_bend(&e[k * WIDTH], scale, inverse, &softmax, lanes, &z[k * WIDTH])
        clear_rows(w, rows, classes, z)
        store_tile(&job.hessian, first, rows, classes, z, mine)
    if job.gradient.data != NULL:
        rows_over_total(factors, &softmax, rows, scales)
        rows_own_gradients(&own, scales, &softmax, rows, own_gradients)
        for r in range(rows):
            scale[r] = <real>scales[r]
        for k in range(classes):
            rows_scale(&e[k * WIDTH], scale, lanes)
        place_own(own_gradients, classes, rows, labels, e)
        clear_rows(w, rows, classes, e)
        store_tile(&job.gradient, first, rows, classes, e, mine)


cdef void label_row(
    Job *job, Py_ssize_t row, int64_t label, real w, real factor, double *loss
) noexcept nogil:
    # One row of any logits. The exponentials wait in the gradient's place, if it is of the computing type.
    cdef real scratch[BLOCK]
    cdef real e[BLOCK]
    cdef real out[BLOCK]
    cdef real small[SUM_LANES]
    cdef real large[SUM_LANES]
    cdef real top, scale, bend_scale, inverse, own_z, own_e, lost, own_low
    cdef double own
    cdef const real *z
    cdef Exponentials sums
    cdef Softmax softmax
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t start = row * classes
    cdef Py_ssize_t pieces = blocks(classes)
    cdef Py_ssize_t piece, first, n, k
    cdef bint kept = (
        job.gradient.data != NULL and of_computing_type(&job.gradient, <real>0) and job.activation != LOG_SOFTMAX
    )
    for k in range(SUM_LANES):
        small[k] = INFINITY
        large[k] = -INFINITY
    for piece in range(pieces):
        if halted_at(job, piece):
            break
        first = piece * BLOCK
        n = min(classes - first, <Py_ssize_t>BLOCK)
        row_extremes(piece_of(&job.x, start + first, n, scratch), n, small, large)
    top = settled(&job.x, start, classes, largest_lane(large))
    load(&job.x, start + label, 1, 1, &own_z)
    memset(&sums, 0, sizeof(Exponentials))
    for piece in range(pieces):
        if halted_at(job, piece):
            break
        first = piece * BLOCK
        n = min(classes - first, <Py_ssize_t>BLOCK)
        row_exponentials(piece_of(&job.x, start + first, n, scratch), &top, n, e)
        exponentials_add(&sums, &e[0], n, 1)
        if kept:
            store(&job.gradient, start + first, n, &e[0])
    exponentials_join(&sums)
    softmax_finish(&sums, 1, &softmax)
    if job.activation == NOT_ACTIVATION:
        loss[0] = label_loss(own_z, top, softmax.log_total[0])
    if job.gradient.data == NULL and job.hessian.data == NULL:
        return
    own_z = difference(own_z, top, &own_low)
    own_e = exp_parts(own_z, own_low, &lost)
    inverse = <real>over_total(1, &softmax, 0)
    scale = <real>(softmax.log_total[0] if job.activation == LOG_SOFTMAX else over_total(factor, &softmax, 0))
    bend_scale = <real>over_total(w, &softmax, 0)
    for piece in range(pieces):
        if halted_at(job, piece):
            break
        first = piece * BLOCK
        n = min(classes - first, <Py_ssize_t>BLOCK)
        if kept:
            memcpy(e, <real *>job.gradient.data + start + first, n * sizeof(real))
        else:
            z = piece_of(&job.x, start + first, n, scratch)
            if job.activation == LOG_SOFTMAX:
                row_log(z, &top, &scale, n, e)
                store(&job.gradient, start + first, n, &e[0])
                continue
            row_exponentials(z, &top, n, e)
        if job.hessian.data != NULL:
            lane_bend(&e[0], &bend_scale, &inverse, &softmax, 0, n, out)
            if w == 0:
                memset(out, 0, n * sizeof(real))
            store(&job.hessian, start + first, n, &out[0])
        if job.gradient.data != NULL:
            row_scale(&e[0], scale, n)
            if w == 0:
                memset(e, 0, n * sizeof(real))
            elif job.activation == NOT_ACTIVATION and first <= label < first + n:
                own = over_total(factor, &softmax, 0)
                own *= others(own_e, softmax.total[0], softmax.lost[0], 1, softmax.rest[0])
                e[label - first] = <real>(0 - own)
            store(&job.gradient, start + first, n, &e[0])


cdef void unusual_row(
    Job *job, Py_ssize_t first, Py_ssize_t r, const int64_t *labels, const real *w, const real *factors, double *losses
) noexcept nogil:
    # Row r of those from the first on; of an activation the labels and what belongs to them are NULL
    cdef double loss
    if labels == NULL:
        label_row(job, first + r, 0, <real>1, <real>1, &loss)
    else:
        label_row(job, first + r, labels[r], w[r], factors[r], losses + r)


cdef inline void split_pairs(const real *x, real *first, real *second) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(WIDTH):
        first[r] = x[2 * r]
        second[r] = x[2 * r + 1]


cdef inline void join_pairs(const real *first, const real *second, real *out) noexcept nogil:
    cdef Py_ssize_t r
    for r in range(WIDTH):
        out[2 * r] = first[r]
        out[2 * r + 1] = second[r]


cdef void pair_terms(
    const real *first, const real *second, const int64_t *labels, Py_ssize_t n,
    real *restrict loss, real *restrict slope, real *restrict bend
) noexcept nogil:
    # With d the other logit minus the label's: softplus(d), its derivative and the second one, as for one logit
    cdef real d[WIDTH]
    cdef real low[WIDTH]
    cdef real e[WIDTH]
    cdef real lost[WIDTH]
    cdef real own, other, value, rest
    cdef Py_ssize_t r
    for r in range(padded_rows(n, <real>0)):
        own = first[r] if labels[r] == 0 else second[r]
        other = second[r] if labels[r] == 0 else first[r]
        d[r] = other - own
        value = subtraction_lost(other, own, d[r])
        low[r] = value if absolute(d[r]) < 1000 else 0  # also where something is infinite
    for r in range(padded_rows(n, <real>0)):
        e[r] = exp_parts(-absolute(d[r]), -low[r] if d[r] > 0 else low[r], &lost[r])
    for r in range(padded_rows(n, <real>0)):
        rest = log1p_unit(e[r], lost[r])
        rest += low[r] if d[r] > 0 else 0
        loss[r] = (d[r] if d[r] > 0 else 0) + rest
    for r in range(padded_rows(n, <real>0)):
        slope[r] = share(d[r] > 0, e[r], lost[r])
        bend[r] = logit_bend(<real>0, e[r], lost[r])


cdef void pair_derivatives(
    const real *slope, const real *factor, const real *w, const int64_t *labels, bint alike, Py_ssize_t n,
    real *restrict first, real *restrict second
) noexcept nogil:
    # factor * slope, of the label with a minus unless both are alike; of rows of weight 0, zero
    cdef real value, minus
    cdef Py_ssize_t r
    for r in range(padded_rows(n, <real>0)):
        value = factor[r] * slope[r]
        value = 0 if w[r] == 0 else value
        minus = 0 - value
        minus = value if alike else minus
        first[r] = minus if labels[r] == 0 else value
        second[r] = value if labels[r] == 0 else minus


cdef void store_pairs(
    const Array *out, Py_ssize_t row, Py_ssize_t rows, real *tile, const bint *mine, bint all_mine
) noexcept nogil:
    if all_mine and rows == WIDTH and of_computing_type(out, <real>0):
        join_pairs(tile, tile + WIDTH, <real *>out.data + 2 * row)
    else:
        store_tile(out, row, rows, 2, tile, mine)


cdef void pair_activation(
    const real *first, const real *second, int activation, Py_ssize_t n, real *restrict one, real *restrict two
) noexcept nogil:
    # The probabilities of two classes, or their logarithms: a label's loss with a minus, the derivative of the other's
    cdef int64_t labels[WIDTH]
    cdef real loss[WIDTH]
    cdef real slope[WIDTH]
    cdef real bend[WIDTH]
    cdef real *out
    cdef Py_ssize_t class_, r
    for class_ in range(2):
        for r in range(padded_rows(n, <real>0)):
            labels[r] = class_
        pair_terms(first, second, labels, n, loss, slope, bend)
        out = one if (class_ == 0) == (activation == LOG_SOFTMAX) else two
        for r in range(padded_rows(n, <real>0)):
            out[r] = 0 - loss[r] if activation == LOG_SOFTMAX else slope[r]


cdef void pair_tile(
    Job *job, Py_ssize_t first, Py_ssize_t rows, const int64_t *labels, const bint *general, const real *w,
    const real *factors, double *losses
) noexcept nogil:
    # A panel of two classes: one exponential for each row
    cdef real z[2 * WIDTH]
    cdef real out[2 * WIDTH]
    cdef real loss[WIDTH]
    cdef real slope[WIDTH]
    cdef real bend[WIDTH]
    cdef bint mine[WIDTH]
    cdef bint all_mine = True
    cdef bint is_loss = job.activation == NOT_ACTIVATION
    cdef Py_ssize_t r
    if rows == WIDTH:
        ask_for(&job.x, 2 * (first + WIDTH), 2 * WIDTH, True)
        ask_for_results(job, 2 * first, 2 * WIDTH, True)
    if rows == WIDTH and of_computing_type(&job.x, <real>0):
        split_pairs(<const real *>job.x.data + 2 * first, z, &z[WIDTH])
    else:
        load_tile(&job.x, first, rows, padded_rows(rows, <real>0), 2, z)
    for r in range(rows):
        mine[r] = not (is_loss and general[r])
        all_mine = all_mine and mine[r]
    if not is_loss:
        pair_activation(z, &z[WIDTH], job.activation, rows, out, &out[WIDTH])
        store_pairs(&job.gradient, first, rows, out, mine, all_mine)
        return
    pair_terms(z, &z[WIDTH], labels, rows, loss, slope, bend)
    for r in range(rows):
        if mine[r]:
            losses[r] = loss[r]
    if job.gradient.data != NULL:
        pair_derivatives(slope, factors, w, labels, False, rows, out, &out[WIDTH])
        store_pairs(&job.gradient, first, rows, out, mine, all_mine)
    if job.hessian.data != NULL:
        pair_derivatives(bend, w, w, labels, True, rows, out, &out[WIDTH])
        store_pairs(&job.hessian, first, rows, out, mine, all_mine)


cdef bint is_ordinary_row(Job *job, Py_ssize_t row, real *top, bint *far) noexcept nogil:
    # and its largest logit, and whether some may be far below
    cdef real scratch[BLOCK]
    cdef real small[SUM_LANES]
    cdef real large[SUM_LANES]
    cdef Py_ssize_t start = row * job.classes
    cdef Py_ssize_t pieces = blocks(job.classes)
    cdef Py_ssize_t piece, first, n, j
    for j in range(SUM_LANES):
        small[j] = INFINITY
        large[j] = -INFINITY
    for piece in range(pieces):
        if halted_at(job, piece):
            break
        first = piece * BLOCK
        n = min(job.classes - first, <Py_ssize_t>BLOCK)
        row_extremes(piece_of(&job.x, start + first, n, scratch), n, small, large)
    top[0] = largest_lane(large)
    far[0] = not is_ordinary(least_lane(small), top[0])
    if far[0]:
        for j in range(SUM_LANES):
            small[j] = top[0]
        for piece in range(pieces):
            if halted_at(job, piece):
                break
            first = piece * BLOCK
            n = min(job.classes - first, <Py_ssize_t>BLOCK)
            row_least_of_near(piece_of(&job.x, start + first, n, scratch), top[0], n, small)
        return is_ordinary(least_lane(small), top[0])
    return True


cdef void add_row(
    Job *job, Py_ssize_t row, Py_ssize_t ahead, bint kept, const real *top, bint far,
    double *restrict total, double *restrict lost
) noexcept nogil:
    # The sum of the exponentials of an ordinary row; the row so far ahead is asked for
    cdef real scratch[BLOCK]
    cdef real buffer[BLOCK]
    cdef real shift = shift_of(top[0])
    cdef const real *z
    cdef real *e = &buffer[0]
    cdef Py_ssize_t start = row * job.classes
    cdef Py_ssize_t piece, first, n
    total[0] = lost[0] = 0
    for piece in range(blocks(job.classes)):
        if halted_at(job, piece):
            break
        first = piece * BLOCK
        n = min(job.classes - first, <Py_ssize_t>BLOCK)
        z = piece_of(&job.x, start + first, n, scratch)
        if job.classes <= CACHED:
            ask_for(&job.x, start + ahead * job.classes + first, n, False)
        if kept:
            ask_for(&job.gradient, start + first, n, True)
            if not job.in_place:
                e = <real *>job.gradient.data + start + first
        row_shifted(z, shift, top, far, n, e)
        row_total(e, n, total, lost)
        if kept and job.in_place:
            memcpy(<real *>job.gradient.data + start + first, e, n * sizeof(real))


cdef real *row_piece(
    Job *job, Py_ssize_t start, Py_ssize_t n, bint kept, real top, bint far, real shift, real *scratch, real *e
) noexcept nogil:
    # The exponentials of a piece once more
    if kept:
        return <real *>job.gradient.data + start
    row_shifted(piece_of(&job.x, start, n, scratch), shift, &top, far, n, e)
    return e


cdef void row_rest(
    Job *job, Py_ssize_t row, Py_ssize_t lane, bint kept, real top, bint far, real shift, Softmax *softmax
) noexcept nogil:
    cdef real scratch[BLOCK]
    cdef real e[BLOCK]
    cdef Exponentials sums
    cdef Py_ssize_t piece, n
    cdef double largest = softmax.largest[lane]
    memset(&sums, 0, sizeof(Exponentials))
    for piece in range(blocks(job.classes)):
        if halted_at(job, piece):
            break
        n = min(job.classes - piece * BLOCK, <Py_ssize_t>BLOCK)
        exponentials_add(
            &sums, row_piece(job, row * job.classes + piece * BLOCK, n, kept, top, far, shift, scratch, e), n, largest
        )
    exponentials_join(&sums)
    add_exactly(&sums.small.total[0], &sums.small.lost[0], (sums.ones[0] - 1) * largest)
    set_rest(softmax, lane, sums.small.total[0], sums.small.lost[0])


cdef void label_batch(
    Job *job, Py_ssize_t first_row, Py_ssize_t rows, const int64_t *labels, const bint *general, const real *w,
    const real *factors, double *losses
) noexcept nogil:
    # Rows of many classes, at most WIDTH. The exponentials wait in the gradient's place if it is of the computing type.
    cdef real scratch[BLOCK]
    cdef real buffer[BLOCK]
    cdef real out[BLOCK]
    cdef real top[WIDTH]
    cdef real shift[WIDTH]
    cdef real own_z[WIDTH]
    cdef real scale, lost
    cdef real inverse = 0
    cdef real bend_scale = 0
    cdef real top_share[WIDTH]
    cdef bint far[WIDTH]
    cdef bint mine[WIDTH]
    cdef double scales[WIDTH]
    cdef double own_gradients[WIDTH]
    cdef real *e
    cdef Own own
    cdef Softmax softmax
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t pieces = blocks(classes)
    cdef bint is_loss = job.activation == NOT_ACTIVATION
    cdef bint kept = (
        job.gradient.data != NULL and of_computing_type(&job.gradient, <real>0) and job.activation != LOG_SOFTMAX
    )
    cdef Py_ssize_t r, row, start, piece, first, n
    for r in range(rows):
        row = first_row + r
        top[r] = own_z[r] = 0
        softmax.total[r] = softmax.lost[r] = 1
        mine[r] = not (is_loss and general[r])
        if not mine[r]:
            continue
        if is_loss:
            load(&job.x, row * classes + labels[r], 1, 1, &own_z[r])
        mine[r] = is_ordinary_row(job, row, &top[r], &far[r])
        if not mine[r]:
            top[r] = own_z[r] = 0
            unusual_row(job, first_row, r, labels, w, factors, losses)
    for r in range(rows):
        if mine[r]:
            add_row(job, first_row + r, rows, kept, &top[r], far[r], &softmax.total[r], &softmax.lost[r])
    rows_largest(top, rows, shift, &softmax)
    rows_rest(rows, &softmax)
    for r in range(rows):
        if mine[r] and softmax.rest[r] < small_rest():
            row_rest(job, first_row + r, r, kept, top[r], far[r], shift[r], &softmax)
    if job.activation != SOFTMAX and (not is_loss or job.value.data != NULL or job.wanted_sum):
        rows_log_totals(rows, &softmax, <real>0)
    if is_loss:
        for r in range(rows):
            own.z[r] = own_z[r]
            own.e[r] = exp_shifted(own_z[r], shift[r], &lost) if own_z[r] > far_below(top[r]) else 0
        if job.value.data != NULL or job.wanted_sum:
            rows_losses(top, &own, &softmax, rows, scales)
            for r in range(rows):
                if mine[r]:
                    losses[r] = scales[r]
    if job.gradient.data == NULL and job.hessian.data == NULL:
        return
    if job.activation == SOFTMAX:
        rows_top_shares(&softmax, rows, top_share)
    if is_loss:
        rows_over_total(factors, &softmax, rows, scales)
        rows_own_gradients(&own, scales, &softmax, rows, own_gradients)
    for r in range(rows):
        if not mine[r]:
            continue
        start = (first_row + r) * classes
        if job.activation == LOG_SOFTMAX:
            scale = <real>softmax.log_total[r]
        elif job.activation == SOFTMAX:
            scale = <real>over_total(1, &softmax, r)
        else:
            scale = <real>scales[r]
        if job.hessian.data != NULL:
            inverse = <real>over_total(1, &softmax, r)
            bend_scale = <real>over_total(w[r], &softmax, r)
        for piece in range(pieces):
            if halted_at(job, piece):
                break
            first = piece * BLOCK
            n = min(classes - first, <Py_ssize_t>BLOCK)
            if job.activation == LOG_SOFTMAX:
                row_log(piece_of(&job.x, start + first, n, scratch), &top[r], &scale, n, out)
                store(&job.gradient, start + first, n, &out[0])
                continue
            e = row_piece(job, start + first, n, kept, top[r], far[r], shift[r], scratch, buffer)
            if job.hessian.data != NULL:
                lane_bend(e, &bend_scale, &inverse, &softmax, r, n, out)
                if w[r] == 0:
                    memset(out, 0, n * sizeof(real))
                store(&job.hessian, start + first, n, &out[0])
            if job.activation == SOFTMAX:
                softmax_row(e, &scale, &softmax.largest[r], &top_share[r], n)
            elif job.gradient.data != NULL:
                row_scale(e, scale, n)
                if w[r] == 0:
                    memset(e, 0, n * sizeof(real))
                elif first <= labels[r] < first + n:
                    e[labels[r] - first] = <real>own_gradients[r]
            if not kept:
                store(&job.gradient, start + first, n, e)


cdef void label_rows(
    Job *job, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *general, const real *w,
    const real *factors, double *losses
) noexcept nogil:
    # Panels of rows; of activations labels, weights, factors and losses are NULL
    cdef bint few = job.classes <= FEW
    cdef bint unusual[WIDTH]
    cdef Py_ssize_t height = WIDTH if few else min(max(CACHED // job.classes, <Py_ssize_t>1), <Py_ssize_t>WIDTH)
    cdef Py_ssize_t i, k, r, first, rows
    for i in range((n + height - 1) // height):
        first = start + i * height
        rows = min(n - i * height, height)
        r = 0 if labels == NULL else i * height
        if job.classes == 2:
            pair_tile(job, first, rows, labels + r, general + r, w + r, factors + r, losses + r)
        elif few:
            memset(unusual, 0, sizeof(unusual))
            label_tile(job, first, rows, labels + r, general + r, w + r, factors + r, losses + r, unusual)
            for k in range(rows):
                if unusual[k]:
                    unusual_row(job, first, k, labels + r, w + r, factors + r, losses + r)
        else:
            label_batch(job, first, rows, labels + r, general + r, w + r, factors + r, losses + r)


# ---------------------------------------------------------------- logits with any target

cdef Py_ssize_t load_piece(
    const Job *job, const Array *x, Py_ssize_t first_row, Py_ssize_t rows, bint one_row, Py_ssize_t piece, real *z
) noexcept nogil:
    # The lanes of a piece, and how many there are
    cdef Py_ssize_t n = min(job.classes - piece * BLOCK, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t r
    if one_row:
        load(x, first_row * job.classes + piece * BLOCK, 1, n, z)
        return n
    load(x, first_row * job.classes + piece, job.classes, rows, z)
    for r in range(rows, WIDTH):
        z[r] = 0
    return WIDTH


cdef bint load_taus(
    const Job *job, Py_ssize_t row, Py_ssize_t rows, bint one_row, const int64_t *labels, const bint *mine,
    const double *w, Py_ssize_t piece, Py_ssize_t n, double *tau
) noexcept nogil:
    # The taus of a piece; False if a target is out of its domain
    cdef const double *weights = NULL
    if not one_row:
        return taus_of_class(job, row, rows, labels, mine, w, piece, tau)
    if job.class_weights != NULL:
        weights = job.class_weights + piece * BLOCK
    return taus_of_rows(job, row, 1, labels, mine, w, piece * BLOCK, n, weights, tau)


cdef struct Terms:  # sums over the classes, of a row for each lane
    Sums loss
    Sums slope  # tau times the focal slope, which is 1 without a focal factor
    Sums bend  # tau bend / r^2 of the classes with p <= 1/2
    Sums big_bend  # tau bend of the class with p > 1/2, and its r
    Sums big_rest


cdef void plain_terms(
    const double *tau, const double *minus_log, Py_ssize_t n, Terms *terms
) noexcept nogil:
    cdef double losses[BLOCK]
    cdef double value
    cdef Py_ssize_t i
    for i in range(n):
        value = tau[i] * minus_log[i]
        losses[i] = 0 if tau[i] == 0 else value
    sums_add(&terms.loss, &losses[0], n)
    sums_add(&terms.slope, tau, n)


cdef void focal_terms_of(
    const double *tau, const double *p, const double *r, const double *minus_log, const double *focus,
    const double *slope, const double *bend, Py_ssize_t n, Terms *terms
) noexcept nogil:
    cdef double losses[BLOCK]
    cdef double slopes[BLOCK]
    cdef double bends[BLOCK]
    cdef double big_bends[BLOCK]
    cdef double big_rests[BLOCK]
    cdef double value
    cdef Py_ssize_t i
    for i in range(n):
        value = tau[i] * focus[i] * minus_log[i]
        value = 0 if focus[i] == 0 else value
        losses[i] = 0 if tau[i] == 0 else value
        value = tau[i] * slope[i]
        slopes[i] = 0 if tau[i] == 0 else value
        value = tau[i] * bend[i]
        value = 0 if tau[i] == 0 else value
        big_bends[i] = value if p[i] > 0.5 else 0
        big_rests[i] = r[i] if p[i] > 0.5 else 0
        value = value / (r[i] * r[i])
        bends[i] = 0 if p[i] > 0.5 else value
    sums_add(&terms.loss, &losses[0], n)
    sums_add(&terms.slope, &slopes[0], n)
    sums_add(&terms.bend, &bends[0], n)
    sums_add(&terms.big_bend, &big_bends[0], n)
    sums_add(&terms.big_rest, &big_rests[0], n)


cdef inline void plain_all(
    const double *own, const double *p, const double *r, const Sums *slope, bint one_row, Py_ssize_t n,
    double *restrict gradient, double *restrict hessian
) noexcept nogil:
    # With the own slopes summed to s: p s - own, which is (s - own) - r s where both are large; and p r s
    cdef double total, lost, sum, sum_lost, product, rest, near, value
    cdef double single = slope.total[0]
    cdef double single_lost = slope.lost[0]
    cdef Py_ssize_t i
    for i in range(n):
        total = single if one_row else slope.total[i]
        lost = single_lost if one_row else slope.lost[i]
        sum = total + lost
        sum_lost = (total - sum) + lost
        product = p[i] * sum
        rest = cecore_product_lost(p[i], sum, product) + p[i] * sum_lost
        value = product - own[i]
        rest += subtraction_lost(product, own[i], value)
        value += rest if rest - rest == 0 else 0  # rounded once, unless something overflows
        near = ((total - own[i]) + lost) - cecore_product(r[i], sum, sum_lost)
        near = near if own[i] > 0.5 * sum else value
        gradient[i] = near if p[i] > 0.5 else value
        hessian[i] = p[i] * r[i] * sum


cdef inline void focal_all(
    const double *tau, const double *p, const double *r, const double *bend, const Terms *terms, bint one_row,
    Py_ssize_t n, double *restrict hessian
) noexcept nogil:
    # What the focal factor adds: the own bend, and p^2 times those of the others. Near p = 1 theirs alone, as the own
    # one would drown them.
    cdef double bends, big_bend, big_rest, own, value, ratio, far
    cdef double single = terms.bend.total[0]
    cdef double single_bend = terms.big_bend.total[0]
    cdef double single_rest = terms.big_rest.total[0]
    cdef Py_ssize_t i
    for i in range(n):
        bends = single if one_row else terms.bend.total[i]
        big_bend = single_bend if one_row else terms.big_bend.total[i]
        big_rest = single_rest if one_row else terms.big_rest.total[i]
        value = tau[i] * bend[i]
        own = 0 if tau[i] == 0 else value
        value = own / (r[i] * r[i])
        value = 0 if p[i] > 0.5 else value
        far = p[i] * p[i] * (bends - value)
        ratio = p[i] / big_rest
        value = ratio * ratio * big_bend
        value = 0 if p[i] > 0.5 else value
        value = 0 if big_rest == 0 else value
        hessian[i] += own + (far + value)


cdef inline void weigh_all(
    const double *w, const double *factor, const Sums *slope, bint one_row, Py_ssize_t n,
    double *restrict gradient, double *restrict hessian
) noexcept nogil:
    # Rows of weight 0, or whose taus are all 0, are 0 whatever they hold.
    cdef double weight, scale, total, value
    cdef Py_ssize_t i
    for i in range(n):
        weight = w[0] if one_row else w[i]
        scale = factor[0] if one_row else factor[i]
        total = slope.total[0] if one_row else slope.total[i]
        weight = 0 if total == 0 else weight
        value = gradient[i] * scale
        gradient[i] = 0 if weight == 0 else value
        value = hessian[i] * weight
        hessian[i] = 0 if weight == 0 else value


cdef int general_panel(
    Job *job, Py_ssize_t first_row, Py_ssize_t rows, bint one_row, const int64_t *labels, const bint *mine,
    const double *w, const double *factors, double *losses
) noexcept nogil:
    cdef double z[BLOCK]
    cdef double e[BLOCK]
    cdef double p[BLOCK]
    cdef double r[BLOCK]
    cdef double minus_log[BLOCK]
    cdef double focus[BLOCK]
    cdef double slope[BLOCK]
    cdef double bend[BLOCK]
    cdef double tau[BLOCK]
    cdef double gradient[BLOCK]
    cdef double hessian[BLOCK]
    cdef double least[WIDTH]
    cdef double top[WIDTH]
    cdef Exponentials sums
    cdef Softmax softmax
    cdef Terms terms
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t pieces = blocks(classes) if one_row else classes
    cdef Py_ssize_t piece, n, i
    cdef double gamma = job.options.gamma
    memset(&terms, 0, sizeof(Terms))
    memset(&sums, 0, sizeof(Exponentials))
    for i in range(WIDTH):
        least[i] = INFINITY
        top[i] = -INFINITY
    for piece in range(pieces):
        if halted_at(job, piece):
            break
        n = load_piece(job, &job.x, first_row, rows, one_row, piece, z)
        if one_row:
            row_extremes(&z[0], n, &least[0], &top[0])
        else:
            rows_extremes(&z[0], WIDTH, &least[0], &top[0])
        if not load_taus(job, first_row, rows, one_row, labels, mine, w, piece, n, tau):
            return BAD
    if job.value.data == NULL and job.gradient.data == NULL and job.hessian.data == NULL and not job.wanted_sum:
        return SOFT  # this was to check
    if one_row:
        top[0] = largest_lane(&top[0])
    for i in range(rows):
        top[i] = settled(&job.x, (first_row + i) * classes, classes, top[i])
    for piece in range(pieces):
        if halted_at(job, piece):
            break
        n = load_piece(job, &job.x, first_row, rows, one_row, piece, z)
        exponential_parts(z, top, one_row, n, e, p)
        exponentials_add(&sums, &e[0], n, 1)
        sums_add(&sums.small, &p[0], n)
    if one_row:
        exponentials_join(&sums)
    softmax_finish(&sums, 1 if one_row else WIDTH, &softmax)
    for piece in range(pieces):
        if halted_at(job, piece):
            break
        n = load_piece(job, &job.x, first_row, rows, one_row, piece, z)
        load_taus(job, first_row, rows, one_row, labels, mine, w, piece, n, tau)
        classes_of(z, top, &softmax, one_row, n, p, r, minus_log)
        if gamma == 0:
            plain_terms(tau, minus_log, n, &terms)
        else:
            focal_classes(p, r, minus_log, gamma, n, focus, slope, bend)
            focal_terms_of(tau, p, r, minus_log, focus, slope, bend, n, &terms)
    if one_row:
        sums_join(&terms.loss)
        sums_join(&terms.slope)
        if gamma != 0:
            sums_join(&terms.bend)
            sums_join(&terms.big_bend)
            sums_join(&terms.big_rest)
    for i in range(rows):
        if mine[i]:
            losses[i] = 0 if w[i] == 0 else w[i] * sums_round(&terms.loss, i)
    if job.gradient.data == NULL and job.hessian.data == NULL:
        return SOFT
    for piece in range(pieces):
        if halted_at(job, piece):
            break
        n = load_piece(job, &job.x, first_row, rows, one_row, piece, z)
        load_taus(job, first_row, rows, one_row, labels, mine, w, piece, n, tau)
        classes_of(z, top, &softmax, one_row, n, p, r, minus_log)
        if gamma == 0:
            memcpy(slope, tau, n * sizeof(double))
        else:
            focal_classes(p, r, minus_log, gamma, n, focus, slope, bend)
            for i in range(n):
                slope[i] = 0 if tau[i] == 0 else tau[i] * slope[i]
        if one_row:
            plain_all(slope, p, r, &terms.slope, True, n, gradient, hessian)
            if gamma != 0:
                focal_all(tau, p, r, bend, &terms, True, n, hessian)
            weigh_all(w, factors, &terms.slope, True, n, gradient, hessian)
            store(&job.gradient, first_row * classes + piece * BLOCK, n, &gradient[0])
            store(&job.hessian, first_row * classes + piece * BLOCK, n, &hessian[0])
        else:
            plain_all(slope, p, r, &terms.slope, False, WIDTH, gradient, hessian)
            if gamma != 0:
                focal_all(tau, p, r, bend, &terms, False, WIDTH, hessian)
            weigh_all(w, factors, &terms.slope, False, WIDTH, gradient, hessian)
            # this class's predictions are not read again, in case they lie there
            store_class(&job.gradient, first_row, rows, classes, piece, &gradient[0], mine)
            store_class(&job.hessian, first_row, rows, classes, piece, &hessian[0], mine)
    return SOFT


# ---------------------------------------------------------------- ordinary logits with any target

# Without a focal factor the loss is T L + sum of tau_k (m - z_k), T the sum of the taus, m the largest logit and L that
# of its softmax: positive terms alone. The gradient is p T - tau, with what rounding took from the exponentials.

cdef inline void soft_terms_of(
    const real *z, const real *top, const real *tau, bint one_row, Py_ssize_t n, Sums *loss_sums, Sums *tau_sums
) noexcept nogil:
    cdef double losses[BLOCK]
    cdef double d
    cdef double single = top[0]
    cdef Py_ssize_t i
    for i in range(n):
        d = tau[i] * ((single if one_row else <double>top[i]) - <double>z[i])
        losses[i] = 0 if tau[i] == 0 else d
    sums_add(loss_sums, &losses[0], n)
    sums_add(tau_sums, tau, n)


cdef inline void exponentials_and_lost(
    const real *z, const real *shift, bint one_row, Py_ssize_t n, real *restrict e, real *restrict lost
) noexcept nogil:
    cdef real s
    cdef real single = shift[0]
    cdef Py_ssize_t i
    for i in range(n):
        s = single if one_row else shift[i]
        e[i] = exp_shifted(z[i], s, &lost[i])


cdef void exponentials_with_lost(
    const real *z, const real *shift, const real *top, bint far, bint one_row, Py_ssize_t n,
    real *restrict e, real *restrict lost
) noexcept nogil:
    # far: some logits may be
    if one_row:
        exponentials_and_lost(z, shift, True, n, e, lost)
    else:
        exponentials_and_lost(z, shift, False, WIDTH, e, lost)
    if far:
        clear_far(z, top, one_row, n, e)
        clear_far(z, top, one_row, n, lost)


cdef void add_piece(
    real *z, const real *shift, real top, bint far, Py_ssize_t n, real *restrict e, real *restrict low, Softmax *softmax
) noexcept nogil:
    # The exponentials of a piece of a row, and they to its sum; z has room for whole registers
    cdef double losts[LANES]
    cdef Py_ssize_t whole = padded_rows(n, <real>0)
    cdef Py_ssize_t i, j
    for i in range(n, whole):
        z[i] = top
    exponentials_with_lost(z, shift, &top, far, True, whole, e, low)
    for i in range(n, whole):
        e[i] = low[i] = 0
    row_total(e, whole, &softmax.total[0], &softmax.lost[0])
    for j in range(LANES):
        losts[j] = 0
    for i in range(whole // LANES):
        for j in range(LANES):
            losts[j] += low[i * LANES + j]
    softmax.lost[0] += join_lanes(&losts[0])


cdef inline void rows_add(const real *e, const real *low, double *restrict total, double *restrict lost) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(WIDTH):
        add_exponential(&total[j], &lost[j], e[j])
        lost[j] += low[j]


cdef struct Near:  # classes whose probability is nearly 1
    bint any
    Py_ssize_t classes[WIDTH]  # -1 for none


cdef struct Scale:  # of rows: T / total, in two numbers, the factor, w T / total and 1 / total
    double high[WIDTH]
    double low[WIDTH]
    double factor[WIDTH]
    double bend[WIDTH]
    double inverse[WIDTH]
    bint cleared  # some row is 0 whatever it holds: its weight is 0, or all its taus are


cdef void soft_scales(
    const double *w, const double *factors, const Softmax *softmax, const Sums *slope, Py_ssize_t n, Scale *scale
) noexcept nogil:
    cdef double total, inverse, quotient, rest
    cdef int64_t zeros = 0
    cdef Py_ssize_t i
    for i in range(n):
        total = slope.total[i] + slope.lost[i]
        inverse = 1 / softmax.total[i]
        scale.inverse[i] = accurate_quotient(1, 0, softmax.total[i], softmax.lost[i], inverse)
        scale.factor[i] = factors[i]
        quotient = cecore_quotient(total, softmax.total[i], softmax.lost[i], &rest)
        rest += ((slope.total[i] - total) + slope.lost[i]) * inverse
        scale.high[i] = quotient
        scale.low[i] = rest
        scale.bend[i] = cecore_product(w[i], quotient, rest)
        zeros += (w[i] == 0) | (slope.total[i] == 0)
    scale.cleared = zeros > 0


cdef inline real product_lost(real x, real y, real product) noexcept nogil:
    if real is double:
        return cecore_product_lost(x, y, product)
    else:
        return cecore_product_lostf(x, y, product)


cdef inline void soft_gradients(
    const real *e, const real *lost, const real *tau, const real *high, const real *low, const real *factor,
    bint one_row, Py_ssize_t n, real *out
) noexcept nogil:
    cdef real top, bottom, f, product, rest
    cdef real single_high = high[0]
    cdef real single_low = low[0]
    cdef real single_factor = factor[0]
    cdef real outs[BLOCK]
    cdef Py_ssize_t i
    for i in range(n):
        top = single_high if one_row else high[i]
        bottom = single_low if one_row else low[i]
        f = single_factor if one_row else factor[i]
        product = e[i] * top
        rest = product_lost(e[i], top, product) + (e[i] * bottom + lost[i] * top)
        outs[i] = f * ((product - tau[i]) + rest)
    memcpy(out, outs, n * sizeof(real))


cdef inline void soft_bends(
    const real *e, const real *lost_e, const Softmax *softmax, const Scale *scale, bint one_row, Py_ssize_t lane,
    Py_ssize_t n, real *restrict out
) noexcept nogil:
    # w T p (1 - p)
    cdef double bend, inverse, total, lost, largest, rest
    cdef double single_bend = scale.bend[lane]
    cdef double single_inverse = scale.inverse[lane]
    cdef double single_total = softmax.total[lane]
    cdef double single_lost = softmax.lost[lane]
    cdef double single_largest = softmax.largest[lane]
    cdef double single_rest = softmax.rest[lane]
    cdef Py_ssize_t i
    for i in range(n):
        bend = single_bend if one_row else scale.bend[i]
        inverse = single_inverse if one_row else scale.inverse[i]
        total = single_total if one_row else softmax.total[i]
        lost = single_lost if one_row else softmax.lost[i]
        largest = single_largest if one_row else softmax.largest[i]
        rest = single_rest if one_row else softmax.rest[i]
        out[i] = <real>(cecore_product(bend, e[i], lost_e[i]) * (others(e[i], total, lost, largest, rest) * inverse))


cdef void clear_lanes(const double *w, const Sums *slope, Py_ssize_t n, real *restrict out) noexcept nogil:
    # Rows of weight 0, or whose taus are all 0, are 0 whatever they hold.
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = 0 if w[i] == 0 or slope.total[i] == 0 else out[i]


cdef inline bint are_taus(const Job *job) noexcept nogil:
    # whether the targets as they are given are the taus, but of rows of weight 0
    return not job.labels and job.class_weights == NULL and job.options.smoothing == 0


cdef inline bint tau_lies_there(const Job *job, double w, real unused) noexcept nogil:
    return are_taus(job) and w != 0 and of_computing_type(&job.targets, unused)


cdef const real *row_taus(
    const Job *job, Py_ssize_t row, int64_t label, double w, Py_ssize_t piece, Py_ssize_t n, real *scratch, bint *fine
) noexcept nogil:
    # The taus of a piece of one row; those of a plain distribution lie there
    cdef double wide[BLOCK]
    cdef const real *plain
    cdef bint mine = True
    if tau_lies_there(job, w, <real>0):
        plain = <const real *>job.targets.data + row * job.classes + piece * BLOCK
        fine[0] &= in_domain(plain, n)
        return plain
    fine[0] &= load_taus(job, row, 1, True, &label, &mine, &w, piece, n, wide)
    convert(&wide[0], scratch, n)
    return scratch


cdef void find_near(
    const Job *job, Py_ssize_t row, Py_ssize_t rows, bint one_row, const real *e, const real *top, const bint *done,
    const Softmax *softmax, Near *near, real *scratch
) noexcept nogil:
    # The classes of the largest logits, where the others' exponentials nearly vanish; e is a tile
    cdef Py_ssize_t i, k, n, piece
    near.any = False
    for i in range(rows):
        near.classes[i] = -1
        if not done[i] or not softmax.rest[i] < small_rest():
            continue
        near.any = True
        if not one_row:
            for k in range(job.classes):
                if e[k * WIDTH + i] == softmax.largest[i]:
                    near.classes[i] = k
            continue
        for piece in range(blocks(job.classes)):
            if halted_at(job, piece):
                break
            n = load_piece(job, &job.x, row, 1, True, piece, scratch)
            for k in range(n):
                if scratch[k] == top[0]:
                    near.classes[0] = piece * BLOCK + k


cdef inline double near_gradient(
    double tau, const Sums *slope, const Softmax *softmax, const Scale *scale, Py_ssize_t lane, double otherwise
) noexcept nogil:
    # (T - tau) - T (1 - p), where p T - tau would cancel
    cdef double total = slope.total[lane]
    if not tau > 0.5 * total:
        return otherwise
    return scale.factor[lane] * (((total - tau) + slope.lost[lane]) - softmax.rest[lane] * scale.high[lane])


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


cdef int soft_panel(
    Job *job, Py_ssize_t first_row, Py_ssize_t rows, bint one_row, const int64_t *labels, bint *mine,
    const double *w, const double *factors, double *losses, real unused
) noexcept nogil:
    # Takes from `mine` the rows that it does: those of ordinary logits. The exponentials take the logits' places, but
    # for a row that has more than there are: of that they are computed twice.
    cdef real z[SOFT_FEW * WIDTH]
    cdef real low[SOFT_FEW * WIDTH]
    cdef real t[SOFT_FEW * WIDTH]
    cdef real e[BLOCK]
    cdef real out[BLOCK]
    cdef real least[WIDTH]
    cdef real top[WIDTH]
    cdef real shift[WIDTH]
    cdef real high[WIDTH]
    cdef real rest[WIDTH]
    cdef real factor[WIDTH]
    cdef double totals[WIDTH]
    cdef double losts[WIDTH]
    cdef double nearly[WIDTH]
    cdef bint done[WIDTH]
    cdef bint fine = True
    cdef bint any_done = False
    cdef bint far
    cdef bint kept = not one_row or job.classes <= SOFT_FEW * WIDTH
    cdef double above = 2 if real is double else 0
    cdef double loss
    cdef Softmax softmax
    cdef Sums loss_sums
    cdef Sums tau_sums
    cdef Scale scale
    cdef Near near
    cdef const real *tau
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t pieces = blocks(classes) if one_row else classes
    cdef Py_ssize_t lanes = 1 if one_row else <Py_ssize_t>WIDTH
    cdef Py_ssize_t step = 0 if not kept else (<Py_ssize_t>BLOCK if one_row else <Py_ssize_t>WIDTH)
    cdef Py_ssize_t piece, place, first, n, i
    for i in range(WIDTH):
        least[i] = INFINITY
        top[i] = -INFINITY
    if one_row:
        for piece in range(pieces):
            if halted_at(job, piece):
                break
            n = load_piece(job, &job.x, first_row, rows, one_row, piece, &z[piece * step])
            row_extremes(&z[piece * step], n, &least[0], &top[0])
        top[0] = largest_lane(&top[0])
        least[0] = least_lane(&least[0])
    else:
        load_tile(&job.x, first_row, rows, WIDTH, classes, &z[0])
        if not taus_tile(job, first_row, rows, labels, mine, w, &t[0]):
            return BAD
        for piece in range(pieces):
            if halted_at(job, piece):
                break
            rows_extremes(&z[piece * WIDTH], WIDTH, &least[0], &top[0])
    far = not all_ordinary(&least[0], &top[0], rows)
    if far:
        for i in range(WIDTH):
            least[i] = top[0] if one_row else top[i]
        for piece in range(pieces):
            if halted_at(job, piece):
                break
            if one_row:
                n = load_piece(job, &job.x, first_row, rows, one_row, piece, &z[piece * step])
                row_least_of_near(&z[piece * step], top[0], n, &least[0])
            else:
                rows_least_of_near(&z[piece * WIDTH], &top[0], WIDTH, &least[0])
        if one_row:
            least[0] = least_lane(&least[0])
    for i in range(rows):
        done[i] = mine[i] and is_ordinary(least[i], top[i])
        any_done = any_done or done[i]
        if not done[i]:
            top[i] = 0
    if not any_done:
        return SOFT
    sums_clear(&loss_sums)
    sums_clear(&tau_sums)
    rows_largest(&top[0], lanes, &shift[0], &softmax)
    softmax.total[0] = softmax.lost[0] = 0
    for i in range(WIDTH):
        totals[i] = above
        losts[i] = 0
    for piece in range(pieces):
        if halted_at(job, piece):
            break
        place = piece * step
        if one_row:
            n = min(classes - piece * BLOCK, <Py_ssize_t>BLOCK)
            if not kept:
                load_piece(job, &job.x, first_row, rows, one_row, piece, &z[0])
            tau = row_taus(job, first_row, labels[0], w[0], piece, n, &t[place], &fine)
            if not fine:
                return BAD
            soft_terms_of(&z[place], &top[0], tau, True, n, &loss_sums, &tau_sums)
            add_piece(&z[place], &shift[0], top[0], far, n, &e[0], &low[place], &softmax)
            memcpy(&z[place], e, n * sizeof(real))
        else:
            soft_terms_of(&z[place], &top[0], &t[place], False, WIDTH, &loss_sums, &tau_sums)
            exponentials_with_lost(&z[place], &shift[0], &top[0], far, False, WIDTH, &e[0], &low[place])
            ask_for(&job.x, (first_row + WIDTH) * classes + place, WIDTH, True)
            if not job.labels:
                ask_for(&job.targets, (first_row + WIDTH) * classes + place, WIDTH, True)
            ask_for_results(job, first_row * classes + place, WIDTH, True)
            memcpy(&z[place], e, WIDTH * sizeof(real))
            rows_add(&z[place], &low[place], &totals[0], &losts[0])
    for i in range(0 if one_row else WIDTH):
        softmax.total[i] = totals[i] - above
        softmax.lost[i] = losts[i]
    for i in range(lanes):
        softmax.lost[i] -= softmax.largest_lost[i]  # rows_rest adds it
    rows_rest(lanes, &softmax)
    for i in range(rows if any_small(softmax.rest, rows) else 0):
        if done[i] and softmax.rest[i] < small_rest():
            if kept:
                kept_rest(&z[i], &low[i], 1 if one_row else <Py_ssize_t>WIDTH, classes, i, &softmax)
            else:
                row_rest(job, first_row, 0, False, top[0], far, shift[0], &softmax)
    rows_log_totals(lanes, &softmax, unused)
    if one_row:
        sums_join(&loss_sums)
        sums_join(&tau_sums)
    for i in range(rows):
        done[i] = done[i] and tau_sums.total[i] - tau_sums.total[i] == 0  # else their sum overflows
        if done[i]:
            loss = cecore_product(softmax.log_total[i], tau_sums.total[i], tau_sums.lost[i])
            loss = loss + sums_round(&loss_sums, i)
            losses[i] = 0 if w[i] == 0 or tau_sums.total[i] == 0 else w[i] * loss
    if job.gradient.data != NULL or job.hessian.data != NULL:
        soft_scales(w, factors, &softmax, &tau_sums, lanes, &scale)
        for i in range(lanes):
            high[i] = <real>scale.high[i]
            rest[i] = <real>((scale.high[i] - high[i]) + scale.low[i])
            factor[i] = <real>scale.factor[i]
        find_near(job, first_row, rows, one_row, &z[0], &top[0], done, &softmax, &near, &e[0])
        for i in range(rows if near.any and not one_row else 0):
            if near.classes[i] >= 0:
                nearly[i] = t[near.classes[i] * WIDTH + i]
        for piece in range(pieces):
            if halted_at(job, piece):
                break
            place = piece * step
            first = first_row * classes + piece * BLOCK
            if not one_row:
                if job.hessian.data != NULL:
                    soft_bends(&z[place], &low[place], &softmax, &scale, False, 0, WIDTH, &out[0])
                soft_gradients(
                    &z[place], &low[place], &t[place], &high[0], &rest[0], &factor[0], False, WIDTH, &z[place]
                )
                if job.hessian.data != NULL:
                    memcpy(&t[place], out, WIDTH * sizeof(real))
                if scale.cleared:
                    clear_lanes(w, &tau_sums, WIDTH, &z[place])
                    clear_lanes(w, &tau_sums, WIDTH, &t[place])
                continue
            n = min(classes - piece * BLOCK, <Py_ssize_t>BLOCK)
            tau = &t[place]
            if tau_lies_there(job, w[0], unused):
                tau = <const real *>job.targets.data + first
            elif not kept:
                tau = row_taus(job, first_row, labels[0], w[0], piece, n, &t[0], &fine)
            if not kept:
                load_piece(job, &job.x, first_row, rows, one_row, piece, &out[0])
                exponentials_with_lost(&out[0], &shift[0], &top[0], far, True, n, &z[0], &low[0])
            if job.hessian.data != NULL:
                soft_bends(&z[place], &low[place], &softmax, &scale, True, 0, n, &out[0])
                if scale.cleared:
                    memset(out, 0, n * sizeof(real))
                store(&job.hessian, first, n, &out[0])
            if job.gradient.data != NULL:
                soft_gradients(&z[place], &low[place], tau, &high[0], &rest[0], &factor[0], True, n, &out[0])
                i = near.classes[0] - piece * BLOCK
                if near.any and 0 <= i < n:
                    out[i] = <real>near_gradient(tau[i], &tau_sums, &softmax, &scale, 0, out[i])
                if scale.cleared:
                    memset(out, 0, n * sizeof(real))
                store(&job.gradient, first, n, &out[0])
        for i in range(rows if near.any and not one_row and job.gradient.data != NULL else 0):
            if near.classes[i] >= 0 and w[i] != 0 and tau_sums.total[i] != 0:
                place = near.classes[i] * WIDTH + i
                z[place] = <real>near_gradient(nearly[i], &tau_sums, &softmax, &scale, i, z[place])
        if not one_row:
            store_tile(&job.gradient, first_row, rows, classes, &z[0], done)
            store_tile(&job.hessian, first_row, rows, classes, &t[0], done)
    for i in range(rows):
        mine[i] = mine[i] and not done[i]
    return SOFT


cdef int general_rows(
    Job *job, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *mine, const double *w,
    const double *factors, double *losses, real unused
) noexcept nogil:
    cdef double panel_w[WIDTH]
    cdef double panel_factors[WIDTH]
    cdef bint left[WIDTH]
    cdef bint single = job.classes > FEW_BOTH
    cdef bint soft_single = job.classes > SOFT_FEW
    cdef bint wanted = (
        job.value.data != NULL or job.gradient.data != NULL or job.hessian.data != NULL or job.wanted_sum
    )
    cdef bint soft = job.options.gamma == 0 and wanted and job.classes > 1  # else this is to check, or p is 1
    cdef Py_ssize_t r, i, k, rows, height
    cdef bint any_left
    for i in range((n + WIDTH - 1) // WIDTH):
        r = i * WIDTH
        rows = min(n - r, <Py_ssize_t>WIDTH)
        memset(panel_w, 0, sizeof(panel_w))
        memset(panel_factors, 0, sizeof(panel_factors))
        memcpy(panel_w, w + r, rows * sizeof(double))
        memcpy(panel_factors, factors + r, rows * sizeof(double))
        memcpy(left, mine + r, rows * sizeof(bint))
        height = 1 if soft_single else rows
        for k in range(0 if not soft else 1 if not soft_single else rows):
            if (left[k] or not soft_single) and soft_panel(
                job, start + r + k, height, soft_single, labels + r + k, left + k, panel_w + k, panel_factors + k,
                losses + r + k, unused
            ) == BAD:
                return BAD
        any_left = False
        for k in range(rows):
            any_left = any_left or left[k]
        height = 1 if single else rows
        for k in range(0 if not any_left else 1 if not single else rows):
            if (left[k] or not single) and general_panel(
                job, start + r + k, height, single, labels + r + k, left + k, panel_w + k, panel_factors + k,
                losses + r + k
            ) == BAD:
                return BAD
    return SOFT


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
            if job.options.logits:
                if general_rows(job, start, n, labels, general, wide_w, wide_factors, losses, unused) == BAD:
                    return
            elif distribution_block(job, start, n, labels, general, wide_w, wide_factors, losses) == BAD:
                return
            if job.wanted_sum:
                accumulator_add(&job.sum, lane_sum(n, &losses[0]))
            w = mask_rows(n, general, w, own_w, factors)
        if any_label:
            for i in range(n if any_general else 0):
                labels[i] = 0 if general[i] else labels[i]
            if not job.options.logits:
                weighted = w == &own_w[0] or job.weights.data != NULL
                if label_block(job, start, n, labels, general, weighted, w, &factors[0], losses) == BAD:
                    return
            elif job.value.data != NULL or job.gradient.data != NULL or job.hessian.data != NULL or job.wanted_sum:
                label_rows(job, start, n, labels, general, w, &factors[0], losses)
                for i in range(0 if even else n):
                    if not general[i]:
                        losses[i] = 0 if wide_w[i] == 0 else wide_w[i] * losses[i]
        job.bad = -1
        if job.options.logits and job.wanted_sum and any_label:
            memcpy(wide_w, losses, padded(n) * sizeof(double))
            for i in range(n if any_general else 0):
                wide_w[i] = 0 if general[i] else wide_w[i]
            accumulator_add(&job.sum, lane_sum(n, &wide_w[0]))
        store(&job.value, start, n, &losses[0])


# ---------------------------------------------------------------- softmax and its derivative

cdef void run_activation(Job *job, Py_ssize_t start, Py_ssize_t stop, real unused) noexcept nogil:
    # The rows from start to stop; start is a multiple of the block
    label_rows(job, start, stop - start, NULL, NULL, <const real *>NULL, <const real *>NULL, NULL)


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
