# Rows of classes. A row with a label, or with one 1 among zeros, takes the label's way; any other row, and every row
# under label smoothing or with a focal factor, the general one, which computes in double. Which way a row takes depends
# on the row alone.

# ---------------------------------------------------------------- labels

cdef int64_t one_hot_label(const Array *targets, Py_ssize_t start, Py_ssize_t classes, real unused) noexcept nogil:
    # The label of a row that holds one 1 and is 0 elsewhere, or NOT_ONE_HOT.
    cdef real scratch[BLOCK]
    cdef const real *t
    cdef Py_ssize_t piece, first, k, n
    cdef int64_t label = NOT_ONE_HOT
    for piece in range(blocks(classes)):
        first = piece * BLOCK
        n = min(classes - first, <Py_ssize_t>BLOCK)
        if of_computing_type(targets, unused):  # a short row too: what lies behind it is not read
            t = <const real *>targets.data + start + first
        else:
            load(targets, start + first, 1, n, scratch)
            t = scratch
        for k in range(n):
            if t[k] == 1:
                if label >= 0:
                    return NOT_ONE_HOT
                label = first + k
            elif t[k] != 0:
                return NOT_ONE_HOT
    return label


cdef bint find_labels(const Job *job, Py_ssize_t start, Py_ssize_t n, const real *w, int64_t *labels) noexcept nogil:
    # A label for each row, of what weighs nothing too; IGNORED and NOT_ONE_HOT stay. False if there is an invalid one.
    cdef Py_ssize_t i
    cdef bint fine = True
    if job.labels:
        load_labels(&job.targets, &job.options, start, n, labels)
    for i in range(n):
        if w[i] == 0:
            labels[i] = IGNORED if job.labels and labels[i] == IGNORED else 0
        elif not job.labels:
            labels[i] = one_hot_label(&job.targets, (start + i) * job.classes, job.classes, <real>0)
        elif labels[i] != IGNORED and not 0 <= labels[i] < job.classes:
            fine = False
    return fine


cdef bint in_domain(const double *t, Py_ssize_t n) noexcept nogil:
    # 0 <= t <= 1, or NaN
    cdef double least[8]
    cdef double u, smaller
    cdef Py_ssize_t i, j
    for j in range(8):
        least[j] = 0
    for i in range(n // 8):
        for j in range(8):
            u = 1 - t[i * 8 + j]
            smaller = t[i * 8 + j] if t[i * 8 + j] < u else u
            least[j] = smaller if smaller < least[j] else least[j]
    for j in range(n // 8 * 8, n):
        u = 1 - t[j]
        smaller = t[j] if t[j] < u else u
        least[0] = smaller if smaller < least[0] else least[0]
    u = 0
    for j in range(8):
        u += least[j]
    return u == 0


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
        first = piece * BLOCK
        n = min(job.classes - first, <Py_ssize_t>BLOCK)
        load(&job.targets, row * job.classes + first, 1, n, t)
        for k in range(n):
            t[k] = tau_of(t[k], job.class_weights[first + k], 0, 0)
        sums_add(&sums, &t[0], n)
    sums_join(&sums)
    return sums_round(&sums, 0)


# ---------------------------------------------------------------- probabilities

cdef void gather(
    const Array *x, Py_ssize_t start, Py_ssize_t classes, Py_ssize_t n, const int64_t *labels, real *out
) noexcept nogil:
    cdef Py_ssize_t i
    if x.layout == NULL and x.type == cnp.NPY_DOUBLE:
        for i in range(n):
            out[i] = <real>(<const double *>x.data)[(start + i) * classes + labels[i]]
    elif x.layout == NULL and x.type == cnp.NPY_FLOAT:
        for i in range(n):
            out[i] = (<const float *>x.data)[(start + i) * classes + labels[i]]
    else:
        for i in range(n):
            load(x, (start + i) * classes + labels[i], 1, 1, &out[i])


cdef void store_label_rows(
    const Array *out, Py_ssize_t classes, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *general,
    const real *values
) noexcept nogil:
    # Rows that are 0 but for their labels
    cdef real column[BLOCK]
    cdef Py_ssize_t i, k
    cdef bint all = True
    if out.data == NULL:
        return
    for i in range(n):
        all = all and not general[i]
    if out.layout != NULL and all:  # the classes may be anywhere, the rows side by side
        for k in range(classes):
            for i in range(n):
                column[i] = values[i] if labels[i] == k else 0
            store_apart(out, start * classes + k, True, n, &column[0])
        return
    for i in range(n):
        if not general[i]:
            store_zeros(out, (start + i) * classes, classes)
            store(out, (start + i) * classes + labels[i], 1, values + i)


cdef int label_block(
    Job *job, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *general, bint weighted,
    const real *w, const real *factors, double *losses
) noexcept nogil:
    # Rows with labels are a binary block: the probability of each row's label, with target 1.
    cdef real p[BLOCK]
    cdef real ones[BLOCK]
    cdef real known[BLOCK]
    cdef const real *mask = NULL
    cdef real value[BLOCK]
    cdef real gradient[BLOCK]
    cdef real hessian[BLOCK]
    cdef Py_ssize_t i
    for i in range(BLOCK):
        ones[i] = 1
        p[i] = 1
        known[i] = 0 if w[i] == 0 else 1  # the weights are valid; their products may be infinite
    gather(&job.x, start, job.classes, n, labels, p)
    if weighted:
        mask = &known[0]
    if element_block(
        job, n, &p[0], &ones[0], mask, w, factors, &value[0], &gradient[0], &hessian[0]
    ) == BAD:
        return BAD
    for i in range(n):
        if not general[i] and job.value.data != NULL:
            losses[i] = value[i]
    store_label_rows(&job.gradient, job.classes, start, n, labels, general, &gradient[0])
    store_label_rows(&job.hessian, job.classes, start, n, labels, general, &hessian[0])
    return HARD


cdef bint inspect_terms(const double *p, const double *t, const double *w) noexcept nogil:
    # As inspect, for terms that read p where t is not 0; targets and weights are checked before.
    cdef double codes[BLOCK]
    cdef double q, outside, code
    cdef Py_ssize_t i
    for i in range(BLOCK):
        q = 1 - p[i]
        outside = p[i] if p[i] < q else q
        code = 2 if outside < 0 else 0
        code = 0 if t[i] == 0 else code
        codes[i] = 0 if w[i] == 0 else code
    return verdict(&codes[0]) != BAD


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
            for k in range(count, BLOCK):
                weights[k] = 0
                factors[k] = 0
                tau[k] = 0
            if not inspect_terms(p, &tau[0], &weights[0]):
                return BAD
            if job.value.data != NULL or job.wanted_sum:
                hard_value(p, &ones[0], &tau[0], &job.wide_clip, &out[0])
                if one_row:
                    sums_add(&sums, &out[0], per_row)
                for i in range(rows):
                    if not one_row and mine[r + i]:
                        losses[r + i] = few_sum(&out[i * per_row], per_row)
            for k in range(BLOCK):
                term = factors[k] * tau[k]
                factors[k] = 0 if tau[k] == 0 else term
                term = weights[k] * tau[k]
                weights[k] = 0 if tau[k] == 0 else term
            if job.gradient.data != NULL:
                hard_gradient(p, &ones[0], &weights[0], &factors[0], &job.wide_clip, &out[0])
            if job.hessian.data != NULL:
                hessian_block(p, &ones[0], <const double *>NULL, &weights[0], &job.wide_clip, &bends[0])
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

cdef double label_loss(double z, double top, const Softmax *softmax, Py_ssize_t lane, double w) noexcept nogil:
    cdef double low
    cdef double d = difference(z, top, &low)
    return 0 if w == 0 else w * ((softmax.log_total[lane] - low) - d)


cdef void clear_rows(const real *w, Py_ssize_t rows, Py_ssize_t classes, real *tile) noexcept nogil:
    # Rows of weight 0 are 0, also where they are NaN
    cdef Py_ssize_t r, k
    for r in range(rows):
        if w[r] == 0:
            for k in range(classes):
                tile[k * WIDTH + r] = 0


cdef void label_tile(
    Job *job, Py_ssize_t first, Py_ssize_t rows, const int64_t *labels, const bint *general, const real *w,
    const real *factors, double *losses
) noexcept nogil:
    # A panel of few classes
    cdef real z[FEW * WIDTH]
    cdef real e[FEW * WIDTH]
    cdef bint mine[WIDTH]
    cdef real top[WIDTH]
    cdef real scale[WIDTH]
    cdef real bend_scale[WIDTH]
    cdef real inverse[WIDTH]
    cdef Exponentials sums
    cdef Softmax softmax
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t r, k
    cdef double own
    for r in range(WIDTH):
        top[r] = -INFINITY
    for k in range(classes):
        load(&job.x, first * classes + k, classes, rows, &z[k * WIDTH])
        for r in range(rows, WIDTH):
            z[k * WIDTH + r] = 0
        maxima(&z[k * WIDTH], WIDTH, top)
    memset(&sums, 0, sizeof(Exponentials))
    for r in range(rows):
        top[r] = settled(&job.x, (first + r) * classes, classes, top[r])
    for k in range(classes):
        rows_exponentials(&z[k * WIDTH], &top[0], &e[k * WIDTH])
        exponentials_add(&sums, &e[k * WIDTH], WIDTH)
    softmax_finish(&sums, WIDTH, &softmax)
    if job.activation == LOG_SOFTMAX:
        for r in range(WIDTH):
            scale[r] = <real>softmax.log_total[r]
        for k in range(classes):
            rows_log(&z[k * WIDTH], &top[0], &scale[0], &e[k * WIDTH])
        store_tile(&job.gradient, first, rows, classes, &e[0], NULL)
        return
    if job.activation == SOFTMAX:
        for r in range(WIDTH):
            scale[r] = <real>over_total(1, &softmax, r)
        for k in range(classes):
            rows_scale(&e[k * WIDTH], &scale[0], &z[k * WIDTH])
        store_tile(&job.gradient, first, rows, classes, &z[0], NULL)
        return
    for r in range(rows):
        mine[r] = not general[r]
        if mine[r]:
            losses[r] = label_loss(z[labels[r] * WIDTH + r], top[r], &softmax, r, w[r])
    if job.gradient.data != NULL:
        for r in range(rows):
            scale[r] = <real>over_total(factors[r], &softmax, r)
        for k in range(classes):
            rows_scale(&e[k * WIDTH], &scale[0], &z[k * WIDTH])
        for r in range(rows):
            k = labels[r] * WIDTH + r
            own = over_total(factors[r], &softmax, r)
            z[k] = <real>(0 - others(e[k], softmax.total[r], softmax.lost[r], softmax.rest[r]) * own)
        clear_rows(w, rows, classes, z)
        store_tile(&job.gradient, first, rows, classes, &z[0], &mine[0])
    if job.hessian.data != NULL:
        for r in range(rows):
            bend_scale[r] = <real>over_total(w[r], &softmax, r)
            inverse[r] = <real>over_total(1, &softmax, r)
        for k in range(classes):
            rows_bend(&e[k * WIDTH], &bend_scale[0], &inverse[0], &softmax, &z[k * WIDTH])
        clear_rows(w, rows, classes, z)
        store_tile(&job.hessian, first, rows, classes, &z[0], &mine[0])


cdef const real *piece_of(const Array *x, Py_ssize_t start, Py_ssize_t n, real *scratch) noexcept nogil:
    if of_computing_type(x, <real>0):
        return <const real *>x.data + start
    load(x, start, 1, n, scratch)
    return scratch


cdef void label_row(
    Job *job, Py_ssize_t row, int64_t label, real w, real factor, double *loss
) noexcept nogil:
    # One row of many classes. The exponentials wait in the gradient's place, if it is of the computing type.
    cdef real scratch[BLOCK]
    cdef real e[BLOCK]
    cdef real out[BLOCK]
    cdef real best[WIDTH]
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
    for k in range(WIDTH):
        best[k] = -INFINITY
    for piece in range(pieces):
        first = piece * BLOCK
        n = min(classes - first, <Py_ssize_t>BLOCK)
        maxima(piece_of(&job.x, start + first, n, scratch), n, best)
    top = settled(&job.x, start, classes, join_maxima(best))
    load(&job.x, start + label, 1, 1, &own_z)
    memset(&sums, 0, sizeof(Exponentials))
    for piece in range(pieces):
        first = piece * BLOCK
        n = min(classes - first, <Py_ssize_t>BLOCK)
        row_exponentials(piece_of(&job.x, start + first, n, scratch), &top, n, e)
        exponentials_add(&sums, &e[0], n)
        if kept:
            store(&job.gradient, start + first, n, &e[0])
    exponentials_join(&sums)
    softmax_finish(&sums, 1, &softmax)
    if job.activation == NOT_ACTIVATION:
        loss[0] = label_loss(own_z, top, &softmax, 0, w)
    if job.gradient.data == NULL and job.hessian.data == NULL:
        return
    own_z = difference(own_z, top, &own_low)
    own_e = exp_parts(own_z, own_low, &lost)
    inverse = <real>over_total(1, &softmax, 0)
    scale = <real>(softmax.log_total[0] if job.activation == LOG_SOFTMAX else over_total(factor, &softmax, 0))
    bend_scale = <real>over_total(w, &softmax, 0)
    for piece in range(pieces):
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
            row_bend(&e[0], &bend_scale, &inverse, &softmax, n, out)
            if w == 0:
                memset(out, 0, n * sizeof(real))
            store(&job.hessian, start + first, n, &out[0])
        if job.gradient.data != NULL:
            row_scale(&e[0], &scale, n, out)
            if w == 0:
                memset(out, 0, n * sizeof(real))
            elif job.activation == NOT_ACTIVATION and first <= label < first + n:
                own = over_total(factor, &softmax, 0)
                out[label - first] = <real>(0 - others(own_e, softmax.total[0], softmax.lost[0], softmax.rest[0]) * own)
            store(&job.gradient, start + first, n, &out[0])


cdef void label_rows(
    Job *job, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *general, const real *w,
    const real *factors, double *losses
) noexcept nogil:
    cdef Py_ssize_t i, r
    if job.classes > FEW:
        for i in range(n):
            if not general[i]:
                label_row(job, start + i, labels[i], w[i], factors[i], losses + i)
        return
    for i in range((n + WIDTH - 1) // WIDTH):
        r = i * WIDTH
        label_tile(
            job, start + r, min(n - r, <Py_ssize_t>WIDTH), labels + r, general + r, w + r, factors + r, losses + r
        )


# ---------------------------------------------------------------- logits with any target

cdef Py_ssize_t load_piece(
    const Job *job, const Array *x, Py_ssize_t first_row, Py_ssize_t rows, bint one_row, Py_ssize_t piece, double *z
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
    double *gradient, double *hessian
) noexcept nogil:
    # With the own slopes summed to s: p s - own, which is (s - own) - r s where both are large; and p r s
    cdef double gradients[BLOCK]
    cdef double hessians[BLOCK]
    cdef double total, lost, sum, sum_lost, near, value
    cdef double single = slope.total[0]
    cdef double single_lost = slope.lost[0]
    cdef Py_ssize_t i
    for i in range(n):
        total = single if one_row else slope.total[i]
        lost = single_lost if one_row else slope.lost[i]
        sum = total + lost
        sum_lost = (total - sum) + lost
        value = cecore_product(p[i], sum, sum_lost) - own[i]
        near = ((total - own[i]) + lost) - cecore_product(r[i], sum, sum_lost)
        near = near if own[i] > 0.5 * sum else value
        gradients[i] = near if p[i] > 0.5 else value
        hessians[i] = p[i] * r[i] * sum
    memcpy(gradient, gradients, n * sizeof(double))
    memcpy(hessian, hessians, n * sizeof(double))


cdef inline void focal_all(
    const double *tau, const double *p, const double *r, const double *bend, const Terms *terms, bint one_row,
    Py_ssize_t n, double *hessian
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
    double *gradient, double *hessian
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
        top[i] = -INFINITY
    for piece in range(pieces):
        n = load_piece(job, &job.x, first_row, rows, one_row, piece, z)
        maxima(&z[0], n, top)
        if not load_taus(job, first_row, rows, one_row, labels, mine, w, piece, n, tau):
            return BAD
    if job.value.data == NULL and job.gradient.data == NULL and job.hessian.data == NULL and not job.wanted_sum:
        return SOFT  # this was to check
    if one_row:
        top[0] = join_maxima(top)
    for i in range(rows):
        top[i] = settled(&job.x, (first_row + i) * classes, classes, top[i])
    for piece in range(pieces):
        n = load_piece(job, &job.x, first_row, rows, one_row, piece, z)
        exponential_parts(z, top, one_row, n, e, p)
        exponentials_add(&sums, &e[0], n)
        sums_add(&sums.small, &p[0], n)
    if one_row:
        exponentials_join(&sums)
    softmax_finish(&sums, 1 if one_row else WIDTH, &softmax)
    for piece in range(pieces):
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


cdef int general_rows(
    Job *job, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const bint *mine, const double *w,
    const double *factors, double *losses
) noexcept nogil:
    cdef double panel_w[WIDTH]
    cdef double panel_factors[WIDTH]
    cdef bint one_row = job.classes > FEW
    cdef Py_ssize_t r, rows, i
    cdef Py_ssize_t width = 1 if one_row else WIDTH
    for i in range((n + width - 1) // width):
        r = i * width
        rows = min(n - r, width)
        if one_row and not mine[r]:
            continue
        memset(panel_w, 0, sizeof(panel_w))
        memset(panel_factors, 0, sizeof(panel_factors))
        memcpy(panel_w, w + r, rows * sizeof(double))
        memcpy(panel_factors, factors + r, rows * sizeof(double))
        if general_panel(
            job, start + r, rows, one_row, labels + r, mine + r, panel_w, panel_factors, losses + r
        ) == BAD:
            return BAD
    return SOFT


# ---------------------------------------------------------------- the driver

cdef const real *weight_rows(
    const Job *job, Py_ssize_t n, bint in_taus, const int64_t *labels, const real *w, real *own, real *factors
) noexcept nogil:
    # The weights and factors of rows, 0 where a row is ignored, and with the label's weight unless it is in the taus
    cdef real weight, product
    cdef Py_ssize_t i
    if (job.class_weights == NULL or in_taus) and not job.options.ignores:
        return w
    for i in range(BLOCK):
        own[i] = w[i]
    for i in range(n):
        weight = 0 if labels[i] == IGNORED else 1
        if job.class_weights != NULL and not in_taus and labels[i] >= 0:
            weight = <real>job.class_weights[labels[i]]
        if weight == 1:
            continue
        product = own[i] * weight
        own[i] = 0 if weight == 0 else product
        product = factors[i] * weight
        factors[i] = 0 if own[i] == 0 else product
    return own


cdef const real *mask_rows(
    Py_ssize_t n, const bint *general, const real *w, real *own, real *factors
) noexcept nogil:
    # Weights of 0 for the rows that have gone the general way
    cdef Py_ssize_t i
    for i in range(BLOCK):
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
    cdef bint in_taus = job.options.smoothing != 0 or job.options.gamma != 0
    cdef bint any_general, any_label, weighted
    for block in range(first, last):
        start = block * job.block
        n = min(job.n - start, job.block)
        w = weight_block(job, start, n, True, w_scratch, factors)
        job.bad = start
        if (job.weights.data != NULL and not valid_weights(w, n)) or not find_labels(job, start, n, w, labels):
            return
        w = weight_rows(job, n, in_taus, labels, w, own_w, factors)
        any_general = any_label = False
        for i in range(n):
            general[i] = in_taus or labels[i] == NOT_ONE_HOT
            any_general |= general[i]
            any_label |= not general[i]
            labels[i] = 0 if labels[i] == IGNORED else labels[i]
        memset(losses, 0, sizeof(losses))
        if any_general:  # before the labels' rows are stored: an output may be the predictions
            convert(w, wide_w, BLOCK)
            convert(&factors[0], wide_factors, BLOCK)
            if job.options.logits:
                if general_rows(job, start, n, labels, general, wide_w, wide_factors, losses) == BAD:
                    return
            elif distribution_block(job, start, n, labels, general, wide_w, wide_factors, losses) == BAD:
                return
            if job.wanted_sum:
                accumulator_add(&job.sum, lane_sum(&losses[0]))
            w = mask_rows(n, general, w, own_w, factors)
        if any_label:
            for i in range(n):
                labels[i] = 0 if general[i] else labels[i]
            if not job.options.logits:
                weighted = w == &own_w[0] or job.weights.data != NULL
                if label_block(job, start, n, labels, general, weighted, w, &factors[0], losses) == BAD:
                    return
            elif job.value.data != NULL or job.gradient.data != NULL or job.hessian.data != NULL or job.wanted_sum:
                label_rows(job, start, n, labels, general, w, &factors[0], losses)
        job.bad = -1
        if job.options.logits and job.wanted_sum and any_label:
            for i in range(n):
                wide_w[i] = 0 if general[i] else losses[i]
            for i in range(n, BLOCK):
                wide_w[i] = 0
            accumulator_add(&job.sum, lane_sum(&wide_w[0]))
        store(&job.value, start, n, &losses[0])


# ---------------------------------------------------------------- softmax and its derivative

cdef void run_activation(Job *job, Py_ssize_t start, Py_ssize_t stop, real unused) noexcept nogil:
    # The rows from start to stop; start is a multiple of the block
    cdef double loss
    cdef Py_ssize_t row, panel
    if job.classes > FEW:
        for row in range(start, stop):
            label_row(job, row, 0, <real>1, <real>1, &loss)
        return
    for panel in range((stop - start + WIDTH - 1) // WIDTH):
        row = start + panel * WIDTH
        label_tile(
            job, row, min(stop - row, <Py_ssize_t>WIDTH), NULL, NULL, <const real *>NULL, <const real *>NULL, NULL
        )


cdef void run_softmax_backward(Job *job, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    # s (u - sum of s u), s = job.x, u = job.targets; a class with s = 0 is 0 whatever u holds there
    cdef double s[BLOCK]
    cdef double u[BLOCK]
    cdef double out[FEW * WIDTH]
    cdef Sums sums
    cdef Py_ssize_t classes = job.classes
    cdef bint one_row = classes > FEW
    cdef Py_ssize_t width = 1 if one_row else WIDTH
    cdef Py_ssize_t pieces = blocks(classes) if one_row else classes
    cdef Py_ssize_t panel, first, rows, piece, n, i
    cdef double value
    for panel in range((stop - start + width - 1) // width):
        first = start + panel * width
        rows = min(stop - first, width)
        sums_clear(&sums)
        for piece in range(pieces):
            n = load_piece(job, &job.x, first, rows, one_row, piece, s)
            load_piece(job, &job.targets, first, rows, one_row, piece, u)
            for i in range(n):
                value = s[i] * u[i]
                u[i] = 0 if s[i] == 0 else value
            sums_add(&sums, &u[0], n)
        if one_row:
            sums_join(&sums)
        for piece in range(pieces):
            n = load_piece(job, &job.x, first, rows, one_row, piece, s)
            load_piece(job, &job.targets, first, rows, one_row, piece, u)
            for i in range(n):
                value = s[i] * ((u[i] - sums.total[0 if one_row else i]) - sums.lost[0 if one_row else i])
                s[i] = 0 if s[i] == 0 else value
            if one_row:
                store(&job.gradient, first * classes + piece * BLOCK, n, &s[0])
            else:
                memcpy(&out[piece * WIDTH], s, sizeof(double) * WIDTH)
        if not one_row:
            store_tile(&job.gradient, first, rows, classes, &out[0], NULL)
