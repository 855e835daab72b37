# What becomes of the targets of rows: labels, one-hot rows, smoothing, weights.

cdef enum:
    INVALID = -1  # no class
    IGNORED = -2
    NOT_ONE_HOT = -3


ctypedef fused any_label:
    double
    longdouble


cdef void convert_labels(
    const any_label *data, any_label ignored, Py_ssize_t n, int64_t *restrict out
) noexcept nogil:
    # Above 9e15 the integers may be rounded ones. NaN ignores nothing.
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = <int64_t>data[i] if 0 <= data[i] < 9e15 else INVALID
        out[i] = out[i] if <any_label>out[i] == data[i] else INVALID
        out[i] = IGNORED if data[i] == ignored else out[i]


cdef void load_labels(
    const Array *array, const Options *options, Py_ssize_t start, Py_ssize_t n, int64_t *out
) noexcept nogil:
    # Labels >= 0, IGNORED, or INVALID: what is negative, not a whole number, or beyond 64 bits
    cdef uint32_t word
    cdef longdouble room[BLOCK]
    cdef double number[BLOCK]
    cdef longdouble long_ignored = NAN
    cdef const char *data = fetch(array, start, False, n, <char *>&room[0])
    cdef int type = array.type
    cdef int kind
    cdef int64_t ignored = options.ignore_index
    cdef int64_t label, special
    cdef Py_ssize_t i
    if array.size == 8 and cnp.NPY_LONG <= type <= cnp.NPY_ULONGLONG:
        memcpy(out, data, 8 * n)
        # The upper half of the unsigned numbers arrives as negative ones.
        kind = UNSIGNED if ignored < 0 and (type == cnp.NPY_ULONG or type == cnp.NPY_ULONGLONG) else SIGNED
        if options.ignores == kind:
            special = IGNORED
        else:
            special = INVALID if ignored < 0 else ignored
        for i in range(n):
            label = INVALID if out[i] < 0 else out[i]
            out[i] = special if out[i] == ignored else label
    elif type == cnp.NPY_LONGDOUBLE and sizeof(longdouble) > sizeof(double):
        word = cecore_enter_long()
        if options.ignores == SIGNED:
            long_ignored = <longdouble>options.ignore_index
        elif options.ignores == UNSIGNED:
            long_ignored = <longdouble><uint64_t>options.ignore_index
        convert_labels(<const longdouble *>data, long_ignored, n, out)
        cecore_leave_long(word)
    else:
        convert_from(type, data, n, number)
        convert_labels(<const double *>&number[0], options.ignored_number, n, out)


cdef int64_t one_hot_label(const State *state, Py_ssize_t row, real of_type) noexcept nogil:
    # The label of a row that holds one 1 and is 0 elsewhere, or NOT_ONE_HOT.
    cdef real scratch[BLOCK]
    cdef const real *t
    cdef Py_ssize_t piece, first, k, n
    cdef int64_t ones = 0
    cdef int64_t others = 0
    cdef int64_t place = 0
    cdef const Array *targets = &state.call.targets
    cdef Py_ssize_t classes = state.call.classes
    cdef Py_ssize_t start = row * classes
    for piece in range(blocks(classes)):
        if halted_at(state, piece):
            break
        first = piece * BLOCK
        n = min(classes - first, <Py_ssize_t>BLOCK)
        t = numbers_of(targets, start + first, n, scratch)
        for k in range(n):  # without branches: where the 1 is, nothing foresees
            ones += t[k] == 1
            others += t[k] != 0
            place += first + k if t[k] == 1 else 0
        if ones != others or ones > 1:
            return NOT_ONE_HOT
    return place if ones == 1 and place < classes else <int64_t>NOT_ONE_HOT  # another thread may write there


cdef void one_hot_labels(
    const Array *targets, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t classes, int64_t *labels, real of_type
) noexcept nogil:
    # The same of rows of few classes, side by side
    cdef real tile[MAX_TILE_CLASSES * WIDTH]
    cdef real ones[WIDTH]
    cdef real others[WIDTH]
    cdef real place[WIDTH]
    cdef real t
    cdef Py_ssize_t r, k
    load_tile(targets, first, rows, WIDTH, classes, tile)
    memset(ones, 0, sizeof(ones))
    memset(others, 0, sizeof(others))
    memset(place, 0, sizeof(place))
    for k in range(classes):
        for r in range(WIDTH):
            t = tile[k * WIDTH + r]
            ones[r] += 1 if t == 1 else 0
            others[r] += 0 if t == 0 else 1
            place[r] = <real>k if t == 1 else place[r]
    for r in range(rows):
        labels[r] = <int64_t>place[r] if ones[r] == 1 and others[r] == 1 else <int64_t>NOT_ONE_HOT


cdef bint any_one(const State *state, Py_ssize_t start, Py_ssize_t n, real of_type) noexcept nogil:
    # Return whether any target of these rows equals 1. Every one-hot row has such a target.
    cdef real scratch[4 * BLOCK]
    cdef const real *t
    cdef int ones = 0
    cdef Py_ssize_t first = start * state.call.classes
    cdef Py_ssize_t left = n * state.call.classes
    cdef Py_ssize_t piece = 0
    cdef Py_ssize_t k, count
    while left > 0 and ones == 0 and not halted_at(state, piece):
        count = min(left, <Py_ssize_t>(4 * BLOCK))
        t = numbers_of(&state.call.targets, first, count, scratch)
        for k in range(count):
            ones += t[k] == 1
        first += count
        left -= count
        piece += 1
    return ones != 0


cdef void labels_of_rows(
    const State *state, Py_ssize_t start, Py_ssize_t n, const real *w, int64_t *labels
) noexcept nogil:
    # The labels of all rows of a block that are one-hot; 0 where the weight is 0
    cdef const Call *call = state.call
    cdef Py_ssize_t i, first
    cdef bint some = any_one(state, start, n, <real>0)
    cdef bint few = call.classes <= MAX_TILE_CLASSES
    for i in range((n + WIDTH - 1) // WIDTH if some and few else 0):
        first = i * WIDTH
        one_hot_labels(
            &call.targets, start + first, min(n - first, <Py_ssize_t>WIDTH), call.classes, labels + first, <real>0
        )
    for i in range(n if not (some and few) else 0):
        labels[i] = NOT_ONE_HOT
    for i in range(n if some and not few else 0):
        if w[i] != 0:
            labels[i] = one_hot_label(state, start + i, <real>0)
    for i in range(n):
        labels[i] = 0 if w[i] == 0 else labels[i]


cdef bint find_labels(
    const State *state, Py_ssize_t start, Py_ssize_t n, const real *w, int64_t *labels
) noexcept nogil:
    # A label for each row, of what weighs nothing too; IGNORED and NOT_ONE_HOT stay. False if there is an invalid one.
    cdef const Call *call = state.call
    cdef int64_t outside = 0
    cdef Py_ssize_t i
    cdef bint fine = True
    if not call.labels:
        labels_of_rows(state, start, n, w, labels)
        return True
    load_labels(&call.targets, &call.options, start, n, labels)
    for i in range(n):
        outside += (labels[i] < 0) | (labels[i] >= call.classes)
    if outside == 0:
        return True
    for i in range(n):
        if labels[i] != IGNORED and not 0 <= labels[i] < call.classes:
            labels[i] = 0  # whatever is read of the weight, which another thread may change
            fine = fine and w[i] == 0
    return fine


cdef bint in_domain(const real *t, Py_ssize_t n) noexcept nogil:
    # Return whether all numbers are from 0 to 1 or NaN.
    cdef int outside = 0
    cdef Py_ssize_t i
    for i in range(n):
        outside += (t[i] < 0) | (t[i] > 1)
    return outside == 0


cdef inline double weighted_target(double t, double weight, double smoothing, double uniform) noexcept nogil:
    # class weight * smoothed target, by the form that rounds less; 0 where the weight is, whatever the target holds
    cdef double little = t + (uniform - smoothing * t)
    cdef double much = t * (1 - smoothing) + uniform
    cdef double value = weight * (little if smoothing <= 0.5 else much)
    return 0 if weight == 0 else value


cdef inline bint are_weighted_targets(const Call *call) noexcept nogil:
    # Return whether the targets as they are given are the weighted targets, but for rows of weight 0.
    return not call.labels and not call.given & CLASS_WEIGHTS and call.options.smoothing == 0


cdef bint weighted_targets_of_row(
    const Call *call, Py_ssize_t row, int64_t label, Py_ssize_t first, Py_ssize_t n, real *t
) noexcept nogil:
    # n classes of a row from first on. False if a target is out of its domain.
    cdef double smoothing = call.options.smoothing
    cdef double uniform = smoothing / call.classes
    cdef Py_ssize_t k
    if call.labels:
        memset(t, 0, n * sizeof(real))
        if first <= label < first + n:
            t[label - first] = 1
    else:
        load_all(&call.targets, row * call.classes + first, n, t)
        if not in_domain(<const real *>t, n):
            return False
    if call.given & CLASS_WEIGHTS:
        for k in range(n):
            t[k] = <real>weighted_target(t[k], call.class_weights[first + k], smoothing, uniform)
    elif smoothing != 0:
        for k in range(n):
            t[k] = <real>weighted_target(t[k], 1, smoothing, uniform)
    return True


cdef bint weighted_targets_tile(
    const Call *call, Py_ssize_t row, Py_ssize_t rows, const int64_t *labels, const bint *row_mask, const double *w,
    real *t
) noexcept nogil:
    # The same of all classes, for rows of few classes side by side. Rows outside the mask or with weight 0 are not
    # read.
    cdef double smoothing = call.options.smoothing
    cdef double uniform = smoothing / call.classes
    cdef double weight
    cdef Py_ssize_t classes = call.classes
    cdef Py_ssize_t r, k
    if call.labels:
        memset(t, 0, classes * WIDTH * sizeof(real))
        for r in range(rows):
            t[labels[r] * WIDTH + r] = 1
    else:
        load_tile(&call.targets, row, rows, WIDTH, classes, t)
        for r in range(rows):
            for k in range(0 if row_mask[r] and w[r] != 0 else classes):
                t[k * WIDTH + r] = 0
        if not in_domain(<const real *>t, classes * WIDTH):
            return False
    for k in range(0 if are_weighted_targets(call) else classes):
        weight = call.class_weights[k] if call.given & CLASS_WEIGHTS else 1
        for r in range(WIDTH):
            t[k * WIDTH + r] = <real>weighted_target(t[k * WIDTH + r], weight, smoothing, uniform)
    return True


cdef double target_weight(const State *state, Py_ssize_t row, int64_t label) noexcept nogil:
    # The sum of class weight * target of a row, before smoothing
    cdef const Call *call = state.call
    cdef double t[BLOCK]
    cdef Sums sums
    cdef Py_ssize_t piece, first, n, k
    if label != NOT_ONE_HOT:
        return call.class_weights[label]
    memset(&sums, 0, sizeof(Sums))
    for piece in range(blocks(call.classes)):
        if halted_at(state, piece):
            break
        first = piece * BLOCK
        n = min(call.classes - first, <Py_ssize_t>BLOCK)
        load(&call.targets, row * call.classes + first, False, n, t)
        for k in range(n):
            t[k] = weighted_target(t[k], call.class_weights[first + k], 0, 0)
        sums_add(&sums, &t[0], n)
    sums_join(&sums)
    return sums_round(&sums, 0)


cdef inline bint change_weights(const Call *call, bint in_targets) noexcept nogil:
    # Return whether class weights or ignored labels change the weights of rows.
    return call.options.ignores or (call.given & CLASS_WEIGHTS and not in_targets)


cdef inline real label_weight(const Call *call, bint in_targets, int64_t label, real of_type) noexcept nogil:
    # Return 0 if the row is ignored, else the class weight of its label, or 1 if the targets hold the class weights.
    if label == IGNORED:
        return 0
    if call.given & CLASS_WEIGHTS and not in_targets and label >= 0:
        return <real>call.class_weights[label]
    return 1


cdef const real *weight_rows(
    State *state, Py_ssize_t n, bint in_targets, const int64_t *labels, const real *w, real *out, real *factors
) noexcept nogil:
    # The weights and factors of rows
    cdef real weight, product, factor
    cdef Py_ssize_t i
    if not change_weights(state.call, in_targets):
        return w
    for i in range(padded(n)):
        out[i] = w[i]
    for i in range(n):
        weight = label_weight(state.call, in_targets, labels[i], <real>0)
        if weight == 1:
            continue
        product = out[i] * weight
        factor = factors[i] * weight
        if weight != 0 and (product - product != 0 or factor - factor != 0):
            state.noticed |= OVERFLOWING
        out[i] = 0 if weight == 0 else product
        factors[i] = 0 if out[i] == 0 else factor
    return out


cdef void loss_weights(
    const Call *call, Py_ssize_t n, bint in_targets, const int64_t *labels, const real *w, double *out
) noexcept nogil:
    # The weights by which the losses of rows are multiplied: of float, a product may lie beyond its range.
    cdef double weight
    cdef Py_ssize_t i
    for i in range(padded(n)):
        out[i] = w[i]
    for i in range(n if change_weights(call, in_targets) else 0):
        weight = label_weight(call, in_targets, labels[i], <real>0)
        out[i] = 0 if weight == 0 else out[i] * weight


cdef const real *mask_rows(
    Py_ssize_t n, const bint *row_mask, const real *w, real *out, real *factors
) noexcept nogil:
    # Weights of 0 for the rows of the mask
    cdef Py_ssize_t i
    for i in range(padded(n)):
        out[i] = w[i]
    for i in range(n):
        if row_mask[i]:
            out[i] = factors[i] = 0
    return out


cdef bint valid_weights(const real *w, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        if not (w[i] >= 0 and w[i] - w[i] == 0):
            return False
    return True
