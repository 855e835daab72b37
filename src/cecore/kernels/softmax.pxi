# Stage one of rows of logits: the maximum of each row, the exponentials, their sums, and the numbers that stage two
# (rows.pxi) needs of each row.
#
# Up to MAX_TILE_CLASSES classes, WIDTH rows lie side by side in a tile: number r of class k is tile[k * WIDTH + r].
# Rows of more classes lie one after another. Either way the innermost loops are the same: they walk along a strip,
# which is a column of registers. A register has 64 bytes on every level; its numbers are the lanes. A strip of a tile
# has one row in each lane, and the next register is the next class. A strip of a long row is the row itself.
#
# The exponentials of a row are e_k = exp(z_k - offset) / 2^N: stage two divides by their sum, so that neither the
# offset nor 2^N matters. The offset is the maximum if that is large (then every difference that counts is exact, by
# Sterbenz), and else 0 (then there is no difference to round). N makes the largest e about 2^400 (float: 2^48), so
# that e is a normal number down to 2^-1420 (2^-172) of the largest; what is still smaller becomes 0. Masks of -inf are
# exact zeros, and NaN gives NaN. Only rows with +inf are rewritten first (limit_of).

cdef enum:
    MAX_TILE_CLASSES = 48
    BATCH = 1 << 12  # logits of the rows that are computed together: their exponentials stay in the first cache

cdef enum:  # what is wanted of rows, besides VALUE, GRADIENT and HESSIAN
    SOFTMAX_BIT = 8
    LOG_SOFTMAX_BIT = 16

cdef struct RowLanes:  # sums of rows of many classes, eight lanes for each row, and their errors
    double sum[LANES * WIDTH]
    double error[LANES * WIDTH]

cdef struct RowBlock:  # some rows: what is asked, where they lie, and what is known of each of them
    Py_ssize_t infinite[WIDTH]  # how many logits are +inf. The arrays come first: no register crosses a cache line.
    double maximum[WIDTH]  # From here to label_e the numbers are of the computing type.
    double offset[WIDTH]  # the constants of the exponentials
    double shifter[WIDTH]
    double lowest[WIDTH]
    double largest[WIDTH]  # the exponential of the maximum, and its rounding error
    double largest_error[WIDTH]
    double label_number[WIDTH]  # the label as a number, -1 for none; set for tiles alone
    double label_z[WIDTH]
    double label_e[WIDTH]
    double sum[WIDTH]  # of the exponentials but the label's, and its rounding error
    double sum_error[WIDTH]
    double ties[WIDTH]  # how many exponentials equal the largest
    double rest[WIDTH]  # the sum without the largest, and its error
    double rest_error[WIDTH]
    double curvature_rest[WIDTH]  # the same, added up without the largest, if second derivatives are wanted
    double complement[WIDTH]  # the sum without the label, and its error
    double complement_error[WIDTH]
    double total[WIDTH]
    double total_error[WIDTH]
    double inverse[WIDTH]  # 1 / total, and nearly 1 / largest
    double inverse_largest[WIDTH]
    double log_total[WIDTH]  # log(total / largest)
    double others[WIDTH]  # the sum of the targets of all but the largest
    double gap[WIDTH]  # the sum of target * (maximum - logit) / 16; with labels the targets are 1
    double target_sum[WIDTH]  # of all targets, and its error; rows without targets are 0
    double target_error[WIDTH]
    double unscale[WIDTH]  # by which the gradient is still to be multiplied, if some rows are boosted
    double focal_derivative[WIDTH]  # with a focal factor and targets: the sums of FocalSums
    double focal_derivative_error[WIDTH]
    double curvature[WIDTH]
    double dominant_curvature[WIDTH]
    double dominant_rest[WIDTH]
    double loss[WIDTH]  # not weighted
    double lanes_of_ties[LANES * WIDTH]
    RowLanes lanes_of_sum
    RowLanes lanes_of_rest
    RowLanes lanes_of_others
    RowLanes lanes_of_largest
    RowLanes lanes_of_gap
    const int64_t *label
    const double *weight  # of the second derivatives
    const double *factor  # of the gradient
    Py_ssize_t rows  # at most WIDTH
    Py_ssize_t classes
    int wanted  # bits: VALUE, GRADIENT, HESSIAN, or SOFTMAX_BIT or LOG_SOFTMAX_BIT alone
    bint has_targets  # the rows have weighted targets; else labels, or nothing
    const char *ahead  # the logits of the next rows, to be prefetched; NULL: none
    double smoothing  # of the labels
    double gamma  # of the focal factor, or 0
    bint boosts  # see boosted
    bint but_largest  # the sum leaves out the largest exponential, otherwise the label's exponential


cdef inline Py_ssize_t whole_lanes(Py_ssize_t rows) noexcept nogil:
    # The lanes of a tile that are computed: whole registers of either type.
    return (rows + SUM_LANES - 1) & -SUM_LANES


cdef inline real exponential(real z, real offset, real shifter, real lowest, real *error) noexcept nogil:
    # The exponential of a logit; its rounding error is wanted for the largest alone
    cdef real x = z - offset
    cdef real e
    if real is double:
        e = cecore_row_exp(x, shifter, error)
    else:
        e = cecore_row_expf(x, shifter, error)
    return 0 if x < lowest else e


cdef inline void set_scale(real maximum, real *offset, real *shifter, real *lowest) noexcept nogil:
    # The constants of a row's exponentials: the offset; the shifter, which stands for N (cecore_row_exp); and the
    # argument below which an exponential would be subnormal. N + 400 is the integer below maximum / ln 2, a little less
    # than half below.
    cdef real n
    if real is double:
        offset[0] = maximum if fabs(maximum) > 2048 else 0
        n = (maximum - offset[0]) * CECORE_LOG2E - 0.501
        n = ((n + CECORE_INTEGERS) - CECORE_INTEGERS) - 400
        shifter[0] = CECORE_INTEGERS + (1023 - n)
        lowest[0] = (n - 1020) * 0.6931471805599453
    else:
        offset[0] = maximum if fabsf(maximum) > 256 else 0
        n = (maximum - offset[0]) * CECORE_LOG2EF - <float>0.501
        n = ((n + CECORE_INTEGERSF) - CECORE_INTEGERSF) - 48
        shifter[0] = CECORE_INTEGERSF + (127 - n)
        lowest[0] = (n - 124) * <float>0.6931471805599453


cdef void set_scales(
    const real *maximum, Py_ssize_t rows, real *restrict offset, real *restrict shifter, real *restrict lowest,
    real *restrict largest, real *restrict errors
) noexcept nogil:
    # The constants of the exponentials of rows, and the largest exponentials with their rounding errors
    cdef real error
    cdef Py_ssize_t r
    for r in range(rows):
        set_scale(maximum[r], &offset[r], &shifter[r], &lowest[r])
        largest[r] = exponential(maximum[r], offset[r], shifter[r], lowest[r], &error)
        errors[r] = error


cdef void set_row_scales(RowBlock *block, Py_ssize_t rows, real of_type) noexcept nogil:
    # After the maxima, in which +inf has been replaced by 0 (resolve_infinite)
    set_scales(
        <const real *>block.maximum, rows, <real *>block.offset, <real *>block.shifter, <real *>block.lowest,
        <real *>block.largest, <real *>block.largest_error
    )


# ---------------------------------------------------------------- sums of strips

cdef inline void strip_maximum(const real *z, Py_ssize_t step, Py_ssize_t count, real *maximum) noexcept nogil:
    # The maximum of each lane, and of what is there; NaN is passed over.
    cdef real m[SUM_LANES]
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j
    for j in range(lanes):
        m[j] = maximum[j]
    for i in range(count):
        for j in range(lanes):
            m[j] = z[i * step + j] if z[i * step + j] > m[j] else m[j]
    for j in range(lanes):
        maximum[j] = m[j]


cdef inline void strip_sum(
    const real *e, Py_ssize_t step, Py_ssize_t count, bint but_largest, const real *largest,
    double *sum, double *error, double *ties
) noexcept nogil:
    # Sum the lanes; four registers are added as they are. but_largest leaves out what equals the largest, and
    # counts it.
    cdef double sums[SUM_LANES]
    cdef double errors[SUM_LANES]
    cdef real counts[SUM_LANES]
    cdef real a, b, c, d, u, v
    cdef real zero = 0
    cdef real one = 1
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j
    cdef const real *x
    for j in range(lanes):
        sums[j] = errors[j] = counts[j] = 0
    for i in range(count // 4):
        x = e + 4 * i * step
        for j in range(lanes):
            a = x[j]
            b = x[step + j]
            c = x[2 * step + j]
            d = x[3 * step + j]
            if but_largest:
                u = one if a == largest[j] else zero
                v = one if b == largest[j] else zero
                u += one if c == largest[j] else zero
                v += one if d == largest[j] else zero
                counts[j] += u + v
                a = 0 if a == largest[j] else a
                b = 0 if b == largest[j] else b
                c = 0 if c == largest[j] else c
                d = 0 if d == largest[j] else d
                add_two(&sums[j], &errors[j], a + b, c + d)
            else:
                add_term(&sums[j], &errors[j], (a + b) + (c + d))
    for i in range(count & -4, count):
        x = e + i * step
        for j in range(lanes):
            a = x[j]
            if but_largest:
                counts[j] += one if a == largest[j] else zero
                a = 0 if a == largest[j] else a
            add_term(&sums[j], &errors[j], a)
    for j in range(lanes):
        sum[j] = sums[j]
        error[j] = errors[j]
        if but_largest:
            ties[j] = counts[j]


cdef inline real pick_label(bint is_label, real z, real e, real *label_z, real *label_e) noexcept nogil:
    # Keep the logit and the exponential if they are the label's. Return the exponential, or 0 for the label's.
    label_z[0] = z if is_label else label_z[0]
    label_e[0] = e if is_label else label_e[0]
    return 0 if is_label else e


cdef inline void strip_label_sum(
    const real *z, const real *e, Py_ssize_t classes, const real *label, double *sum, double *error, real *label_z,
    real *label_e
) noexcept nogil:
    # Sum the lanes of a strip of a tile as strip_sum, but for the label's exponentials, which are picked.
    cdef double sums[SUM_LANES]
    cdef double errors[SUM_LANES]
    cdef real picked_z[SUM_LANES]
    cdef real picked_e[SUM_LANES]
    cdef real a, b, c, d, k
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j
    cdef const real *x
    cdef const real *y
    for j in range(lanes):
        sums[j] = errors[j] = picked_z[j] = picked_e[j] = 0
    for i in range(0, classes & -4, 4):
        x = z + i * WIDTH
        y = e + i * WIDTH
        for j in range(lanes):
            k = label[j] - <real><int>i
            a = pick_label(k == 0, x[j], y[j], &picked_z[j], &picked_e[j])
            b = pick_label(k == 1, x[WIDTH + j], y[WIDTH + j], &picked_z[j], &picked_e[j])
            c = pick_label(k == 2, x[2 * WIDTH + j], y[2 * WIDTH + j], &picked_z[j], &picked_e[j])
            d = pick_label(k == 3, x[3 * WIDTH + j], y[3 * WIDTH + j], &picked_z[j], &picked_e[j])
            add_term(&sums[j], &errors[j], (a + b) + (c + d))
    for i in range(classes & -4, classes):
        for j in range(lanes):
            a = pick_label(label[j] == <real><int>i, z[i * WIDTH + j], e[i * WIDTH + j], &picked_z[j], &picked_e[j])
            add_term(&sums[j], &errors[j], a)
    for j in range(lanes):
        sum[j] = sums[j]
        error[j] = errors[j]
        label_z[j] = picked_z[j]
        label_e[j] = picked_e[j]


cdef inline real gap_scale(real of_type) noexcept nogil:
    # Gaps are added in sixteenths, so that four of the largest floats do not overflow.
    return 0.0625


cdef inline real scaled_gap(real z, real scaled_maximum) noexcept nogil:
    # (maximum - z) / 16
    return fma(-gap_scale(<real>0), z, scaled_maximum)


cdef inline real target_gap(real t, real z, real scaled_maximum) noexcept nogil:
    # t * (maximum - z) / 16, and 0 where t is 0, whatever z holds
    cdef real term = t * scaled_gap(z, scaled_maximum)
    return 0 if t == 0 else term


cdef struct TargetSums:  # of lanes, each with its error
    double others[SUM_LANES]  # targets of all but the largest
    double others_error[SUM_LANES]
    double largest[SUM_LANES]  # and of the largest
    double largest_error[SUM_LANES]
    double gap[SUM_LANES]  # target * (maximum - logit)
    double gap_error[SUM_LANES]


cdef inline real add_targets(
    real x, real y, bint x_is_largest, bint y_is_largest, double *others, double *error
) noexcept nogil:
    # Add two targets, but for that of the largest, and return what is left out.
    cdef real zero = 0
    cdef real a = zero if x_is_largest else x
    cdef real b = zero if y_is_largest else y
    add_term(others, error, a + b)
    return (x - a) + (y - b)


cdef inline void strip_targets(
    const real *z, const real *t, const real *e, Py_ssize_t step, Py_ssize_t count, const real *maximum,
    const real *largest, TargetSums *sums
) noexcept nogil:
    # Adds to the sums of the lanes. The targets of the largest are added apart, so that nothing cancels when they are
    # nearly all; see target_constants. The others are added in pairs, since the gradients of all classes hold their
    # sum.
    cdef real m[SUM_LANES]
    cdef real a, b, c, d
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j, k
    cdef const real *x
    cdef const real *y
    cdef const real *w
    for j in range(lanes):
        m[j] = gap_scale(<real>0) * maximum[j]
    for i in range(count // 4):
        k = 4 * i * step
        x = z + k
        y = t + k
        w = e + k
        for j in range(lanes):
            a = target_gap(y[j], x[j], m[j])
            b = target_gap(y[step + j], x[step + j], m[j])
            c = target_gap(y[2 * step + j], x[2 * step + j], m[j])
            d = target_gap(y[3 * step + j], x[3 * step + j], m[j])
            add_term(&sums.gap[j], &sums.gap_error[j], (a + b) + (c + d))
            a = add_targets(
                y[j], y[step + j], w[j] == largest[j], w[step + j] == largest[j], &sums.others[j], &sums.others_error[j]
            )
            b = add_targets(
                y[2 * step + j], y[3 * step + j], w[2 * step + j] == largest[j], w[3 * step + j] == largest[j],
                &sums.others[j], &sums.others_error[j]
            )
            add_term(&sums.largest[j], &sums.largest_error[j], a + b)
    for i in range(count & -4, count):
        for j in range(lanes):
            a = t[i * step + j]
            add_term(&sums.gap[j], &sums.gap_error[j], target_gap(a, z[i * step + j], m[j]))
            b = 0 if e[i * step + j] == largest[j] else a
            add_term(&sums.others[j], &sums.others_error[j], b)
            add_term(&sums.largest[j], &sums.largest_error[j], a - b)


cdef inline void keep_target_sums(
    RowBlock *block, Py_ssize_t r, double others, double others_error, double largest, double largest_error
) noexcept nogil:
    cdef double sum = others
    cdef double error = others_error + largest_error
    add_exactly(&sum, &error, largest)
    block.others[r] = finite_sum(others, others_error)
    block.target_sum[r] = finite_sum(sum, error)
    block.target_error[r] = (sum - block.target_sum[r]) + error


cdef inline void strip_gap(
    const real *z, Py_ssize_t step, Py_ssize_t count, const real *maximum, double *gap, double *error
) noexcept nogil:
    # Adds (maximum - logit) / 16 to the sums of the lanes.
    cdef double gaps[SUM_LANES]
    cdef double errors[SUM_LANES]
    cdef real m[SUM_LANES]
    cdef real a, b
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j
    cdef const real *x
    for j in range(lanes):
        gaps[j] = gap[j]
        errors[j] = error[j]
        m[j] = gap_scale(<real>0) * maximum[j]
    for i in range(count // 4):
        x = z + 4 * i * step
        for j in range(lanes):
            a = scaled_gap(x[j], m[j]) + scaled_gap(x[step + j], m[j])
            b = scaled_gap(x[2 * step + j], m[j]) + scaled_gap(x[3 * step + j], m[j])
            add_term(&gaps[j], &errors[j], a + b)
    for i in range(count & -4, count):
        for j in range(lanes):
            add_term(&gaps[j], &errors[j], scaled_gap(z[i * step + j], m[j]))
    for j in range(lanes):
        gap[j] = gaps[j]
        error[j] = errors[j]


# ---------------------------------------------------------------- tiles

cdef void tile_maxima(const real *z, Py_ssize_t classes, Py_ssize_t lanes, real *restrict maximum) noexcept nogil:
    cdef Py_ssize_t step = width(<real>0)
    cdef Py_ssize_t i, r
    for r in range(lanes):
        maximum[r] = -INFINITY
    for i in range(lanes // step):
        strip_maximum(z + i * step, WIDTH, classes, maximum + i * step)


cdef inline real limit_of(real z, Py_ssize_t infinite) noexcept nogil:
    # A logit of a row in which so many are +inf, such that the row has ordinary numbers of the same meaning: p = 1 for
    # a single +inf; NaN for several, and for NaN.
    if z == INFINITY:
        return <real>0 if infinite == 1 else <real>NAN
    return <real>-INFINITY if z == z else z


cdef void resolve_tile(real *z, Py_ssize_t classes, Py_ssize_t rows, real *maximum) noexcept nogil:
    # Rewrite the rows whose maximum is +inf as their limit.
    cdef Py_ssize_t r, k
    cdef Py_ssize_t infinite = 0
    for r in range(rows):
        infinite += maximum[r] == INFINITY
    for r in range(rows if infinite > 0 else 0):
        if not maximum[r] == INFINITY:
            continue
        infinite = 0
        for k in range(classes):
            infinite += z[k * WIDTH + r] == INFINITY
        for k in range(classes):
            z[k * WIDTH + r] = limit_of(z[k * WIDTH + r], infinite)
        maximum[r] = 0


cdef void tile_exponentials(
    const real *z, const real *offset, const real *shifter, const real *lowest, Py_ssize_t classes, Py_ssize_t lanes,
    const char *ahead, real *restrict e
) noexcept nogil:
    cdef real error
    cdef Py_ssize_t k, r
    for k in range(classes):
        if ahead != NULL:
            cecore_prefetch(ahead + k * WIDTH * sizeof(real), WIDTH * sizeof(real))
        for r in range(lanes):
            e[k * WIDTH + r] = exponential(z[k * WIDTH + r], offset[r], shifter[r], lowest[r], &error)


cdef void tile_sums(const real *z, const real *e, bint but_largest, Py_ssize_t lanes, RowBlock *block) noexcept nogil:
    # The sums without the label (if there is one), or without the largest
    cdef Py_ssize_t step = width(<real>0)
    cdef Py_ssize_t i, k
    for i in range(lanes // step):
        k = i * step
        if but_largest:
            strip_sum(
                e + k, WIDTH, block.classes, True, <const real *>block.largest + k, block.rest + k,
                block.rest_error + k, block.ties + k
            )
        else:
            strip_label_sum(
                z + k, e + k, block.classes, <const real *>block.label_number + k, block.sum + k,
                block.sum_error + k, <real *>block.label_z + k, <real *>block.label_e + k
            )


cdef void tile_gaps(const real *z, const real *maximum, Py_ssize_t lanes, RowBlock *block) noexcept nogil:
    cdef double error[WIDTH]
    cdef Py_ssize_t step = width(<real>0)
    cdef Py_ssize_t i, k
    for k in range(lanes):
        block.gap[k] = error[k] = 0
    for i in range(lanes // step):
        k = i * step
        strip_gap(z + k, WIDTH, block.classes, maximum + k, block.gap + k, error + k)
    for k in range(lanes):
        block.gap[k] = finite_sum(block.gap[k], error[k])


cdef void tile_targets(
    const real *z, const real *t, const real *e, const real *maximum, const real *largest, Py_ssize_t lanes,
    RowBlock *block
) noexcept nogil:
    cdef TargetSums sums
    cdef Py_ssize_t step = width(<real>0)
    cdef Py_ssize_t i, j, k
    for i in range(lanes // step):
        k = i * step
        memset(&sums, 0, sizeof(TargetSums))
        strip_targets(z + k, t + k, e + k, WIDTH, block.classes, maximum + k, largest + k, &sums)
        for j in range(step):
            keep_target_sums(
                block, k + j, sums.others[j], sums.others_error[j], sums.largest[j], sums.largest_error[j]
            )
            block.gap[k + j] = finite_sum(sums.gap[j], sums.gap_error[j])


# ---------------------------------------------------------------- rows

cdef Py_ssize_t count_infinite(const real *z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t infinite = 0
    for i in range(n):
        infinite += z[i] == INFINITY
    return infinite


cdef void resolve_infinite(const real *z, Py_ssize_t n, Py_ssize_t infinite, real *restrict out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = limit_of(z[i], infinite)


cdef real row_maximum(const real *z, Py_ssize_t n, real before) noexcept nogil:
    # The maximum of at least SUM_LANES numbers and of `before`. Four registers are compared at once; some of the last
    # numbers are compared twice.
    cdef real a[SUM_LANES]
    cdef real b[SUM_LANES]
    cdef real c[SUM_LANES]
    cdef real d[SUM_LANES]
    cdef const real *x
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t step = 4 * lanes
    cdef Py_ssize_t i, j
    for j in range(lanes):
        a[j] = b[j] = c[j] = d[j] = before
    for i in range(n // step):
        x = z + i * step
        for j in range(lanes):
            a[j] = x[j] if x[j] > a[j] else a[j]
            b[j] = x[lanes + j] if x[lanes + j] > b[j] else b[j]
            c[j] = x[2 * lanes + j] if x[2 * lanes + j] > c[j] else c[j]
            d[j] = x[3 * lanes + j] if x[3 * lanes + j] > d[j] else d[j]
    for i in range(n // step * 4, (n + lanes - 1) // lanes):
        x = z + min(i * lanes, n - lanes)
        for j in range(lanes):
            a[j] = x[j] if x[j] > a[j] else a[j]
    for j in range(lanes):
        a[j] = b[j] if b[j] > a[j] else a[j]
        c[j] = d[j] if d[j] > c[j] else c[j]
        a[j] = c[j] if c[j] > a[j] else a[j]
    for j in range(LANES if real is float else 0):
        a[j] = a[j + LANES] if a[j + LANES] > a[j] else a[j]
    for j in range(4):
        a[j] = a[j + 4] if a[j + 4] > a[j] else a[j]
    for j in range(2):
        a[j] = a[j + 2] if a[j + 2] > a[j] else a[j]
    return a[1] if a[1] > a[0] else a[0]


cdef void row_exponentials(
    const real *z, Py_ssize_t n, real offset, real shifter, real lowest, real *restrict e
) noexcept nogil:
    # At least SUM_LANES numbers, some of the last ones twice; behind them zeros, up to a whole register. Of whole
    # registers, e may be z.
    cdef real error
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t whole = n // lanes
    cdef Py_ssize_t i, j
    for j in range(lanes if whole * lanes < n else 0):
        e[whole * lanes + j] = 0
    for i in range(whole):
        for j in range(lanes):
            e[i * lanes + j] = exponential(z[i * lanes + j], offset, shifter, lowest, &error)
    for j in range(lanes if whole * lanes < n else 0):
        e[n - lanes + j] = exponential(z[n - lanes + j], offset, shifter, lowest, &error)


cdef inline void keep_lanes(
    const double *sums, const double *errors, bint begins, Py_ssize_t r, RowLanes *kept, real of_type
) noexcept nogil:
    # Store the lanes of the first segment of row r, or add those of another one: 8 of them, whatever the type.
    cdef Py_ssize_t j
    cdef double *sum = kept.sum + r * LANES
    cdef double *error = kept.error + r * LANES
    if begins:
        for j in range(LANES):
            sum[j] = sums[j] if real is double else sums[j] + sums[j + LANES]
            error[j] = errors[j]  # float has none
        return
    for j in range(LANES):
        if real is double:
            add_exactly(&sum[j], &error[j], sums[j])
            error[j] += errors[j]
        else:
            sum[j] = (sum[j] + sums[j]) + sums[j + LANES]


cdef void add_row_sum(
    const real *e, Py_ssize_t n, bint but_largest, bint begins, Py_ssize_t r, RowBlock *block
) noexcept nogil:
    # Adds the exponentials of a row, or of a segment of it, as tile_sums.
    cdef double sum[SUM_LANES]
    cdef double error[SUM_LANES]
    cdef double ties[SUM_LANES]
    cdef double tie
    cdef real largest[SUM_LANES]
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t j
    if but_largest:
        for j in range(SUM_LANES):
            largest[j] = (<real *>block.largest)[r]
        strip_sum(e, lanes, (n + lanes - 1) // lanes, True, largest, sum, error, ties)
        for j in range(LANES):
            tie = ties[j] if real is double else ties[j] + ties[j + LANES]
            block.lanes_of_ties[r * LANES + j] = tie if begins else block.lanes_of_ties[r * LANES + j] + tie
        keep_lanes(sum, error, begins, r, &block.lanes_of_rest, <real>0)
    else:
        strip_sum(e, lanes, (n + lanes - 1) // lanes, False, largest, sum, error, ties)
        keep_lanes(sum, error, begins, r, &block.lanes_of_sum, <real>0)


cdef void add_row_gap(const real *z, Py_ssize_t n, bint begins, Py_ssize_t r, RowBlock *block) noexcept nogil:
    # Adds the gaps of a row, or of a segment of it. Of the last register, what is not new has no gap.
    cdef double gap[SUM_LANES]
    cdef double error[SUM_LANES]
    cdef real maximum[SUM_LANES]
    cdef real tail[SUM_LANES]
    cdef real row_maximum = (<real *>block.maximum)[r]
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t old = lanes - n % lanes
    cdef Py_ssize_t j
    for j in range(lanes):
        gap[j] = error[j] = 0
        maximum[j] = row_maximum
        tail[j] = z[n - lanes + j] if j >= old else maximum[j]
    strip_gap(z, lanes, n // lanes, maximum, gap, error)
    strip_gap(tail, lanes, 1, maximum, gap, error)
    keep_lanes(gap, error, begins, r, &block.lanes_of_gap, <real>0)


cdef void add_row_targets(
    const real *z, const real *t, const real *e, Py_ssize_t n, bint begins, Py_ssize_t r, RowBlock *block
) noexcept nogil:
    # Adds the targets and gaps of a row, or of a segment of it. Of the last register, what is not new has targets of 0.
    cdef TargetSums sums
    cdef real maximum[SUM_LANES]
    cdef real largest[SUM_LANES]
    cdef real tail[SUM_LANES]
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t last = n - lanes
    cdef Py_ssize_t old = lanes - n % lanes
    cdef Py_ssize_t j
    memset(&sums, 0, sizeof(TargetSums))
    for j in range(lanes):
        maximum[j] = (<real *>block.maximum)[r]
        largest[j] = (<real *>block.largest)[r]
        tail[j] = t[last + j] if j >= old else 0
    strip_targets(z, t, e, lanes, n // lanes, maximum, largest, &sums)
    strip_targets(z + last, tail, e + last, lanes, 1, maximum, largest, &sums)
    keep_lanes(sums.others, sums.others_error, begins, r, &block.lanes_of_others, <real>0)
    keep_lanes(sums.largest, sums.largest_error, begins, r, &block.lanes_of_largest, <real>0)
    keep_lanes(sums.gap, sums.gap_error, begins, r, &block.lanes_of_gap, <real>0)


cdef inline void join_half_lanes(RowLanes *lanes, Py_ssize_t rows, Py_ssize_t half, real of_type) noexcept nogil:
    cdef Py_ssize_t r, j, k
    for r in range(rows):
        for j in range(half):
            k = r * LANES + j
            if real is double:
                lanes.error[k] += lanes.error[k + half]
            add_term_of(&lanes.sum[k], &lanes.error[k], lanes.sum[k + half], of_type)


cdef void join_rows(RowLanes *lanes, Py_ssize_t rows, double *restrict sum, real of_type) noexcept nogil:
    # The sums of the lanes of each row, by one tree; the errors stay in the first lanes
    cdef Py_ssize_t r
    join_half_lanes(lanes, rows, 4, of_type)
    join_half_lanes(lanes, rows, 2, of_type)
    for r in range(rows):
        if real is double:
            lanes.error[r * LANES] += lanes.error[r * LANES + 1]
            sum[r] = lanes.sum[r * LANES]
            add_exactly(&sum[r], &lanes.error[r * LANES], lanes.sum[r * LANES + 1])
        else:
            sum[r] = lanes.sum[r * LANES] + lanes.sum[r * LANES + 1]


cdef void join_and_round(RowLanes *lanes, Py_ssize_t rows, double *restrict sum, real of_type) noexcept nogil:
    cdef Py_ssize_t r
    join_rows(lanes, rows, sum, of_type)
    for r in range(rows if real is double else 0):
        sum[r] = finite_sum(sum[r], lanes.error[r * LANES])


# ---------------------------------------------------------------- what stage two needs of each row

cdef void join_sums(RowBlock *block, real of_type) noexcept nogil:
    # After the last segment of rows of many classes
    cdef double error, largest_error
    cdef Py_ssize_t r
    if not block.but_largest:
        join_rows(&block.lanes_of_sum, block.rows, block.sum, of_type)
        for r in range(block.rows):
            block.sum_error[r] = block.lanes_of_sum.error[r * LANES] if real is double else 0
    if block.but_largest or block.wanted & HESSIAN:
        join_rows(&block.lanes_of_rest, block.rows, block.rest, of_type)
        for r in range(block.rows):
            block.rest_error[r] = block.lanes_of_rest.error[r * LANES] if real is double else 0
            block.ties[r] = join_lanes(block.lanes_of_ties + r * LANES)
    if block.has_targets:
        join_rows(&block.lanes_of_others, block.rows, block.others, of_type)
        join_rows(&block.lanes_of_largest, block.rows, block.target_sum, of_type)
        for r in range(block.rows):
            error = block.lanes_of_others.error[r * LANES] if real is double else 0
            largest_error = block.lanes_of_largest.error[r * LANES] if real is double else 0
            keep_target_sums(block, r, block.others[r], error, block.target_sum[r], largest_error)
    if block.has_targets or block.smoothing != 0:
        join_and_round(&block.lanes_of_gap, block.rows, block.gap, of_type)


cdef void finish_rests(RowBlock *block, Py_ssize_t rows, real of_type) noexcept nogil:
    # The sum without one of the largest, where it is added up
    cdef const real *largest = <const real *>block.largest
    cdef double sum, error
    cdef Py_ssize_t r
    for r in range(rows):
        sum = block.rest[r]
        error = block.rest_error[r]
        add_exactly(&sum, &error, (block.ties[r] - 1) * largest[r])
        block.rest[r] = sum + error
        block.rest_error[r] = (sum - block.rest[r]) + error
        block.curvature_rest[r] = block.rest[r]


cdef inline void finish_sums_of(RowBlock *block, bint but_largest, Py_ssize_t rows, real of_type) noexcept nogil:
    cdef const real *largest = <const real *>block.largest
    cdef const real *largest_error = <const real *>block.largest_error
    cdef const real *label_e = <const real *>block.label_e
    cdef double sum, error, most, label, rest, total, inverse
    cdef Py_ssize_t r
    for r in range(rows):
        most = largest[r]
        label = label_e[r]
        if but_largest:  # total = rest + largest
            sum = block.rest[r]
            error = block.rest_error[r]
            add_exactly(&sum, &error, most)
        else:  # total = complement + label
            sum = block.sum[r]
            error = block.sum_error[r]
            block.complement[r] = sum + error
            block.complement_error[r] = (sum - block.complement[r]) + error
            rest = (sum - most) + (label + error)
            block.rest[r] = sum if label == most else rest
            block.rest_error[r] = error if label == most else 0
            add_exactly(&sum, &error, label)
        error += largest_error[r]
        total = sum + error
        block.total[r] = total
        block.total_error[r] = (sum - total) + error
        inverse = 1 / (total * most)  # one division for two quotients
        block.inverse_largest[r] = total * inverse
        inverse *= most
        block.inverse[r] = inverse + inverse * cecore_remainder(1, inverse, total)


cdef void finish_sums(RowBlock *block, Py_ssize_t rows, real of_type) noexcept nogil:
    # From the sums: the total, the rest without the largest, and the complement without the label. No difference
    # cancels: nothing is subtracted but what is smaller than another term of the sum.
    if block.but_largest or block.wanted & HESSIAN:
        finish_rests(block, rows, of_type)
    if block.but_largest:
        finish_sums_of(block, True, rows, of_type)
    else:
        finish_sums_of(block, False, rows, of_type)


cdef void set_log_totals(RowBlock *block, Py_ssize_t rows, real of_type) noexcept nogil:
    # log(total / largest) = log(1 + rest / largest), relative also where it is tiny. For float, a logarithm in float of
    # a quotient in double.
    cdef const real *largest = <const real *>block.largest
    cdef const real *largest_error = <const real *>block.largest_error
    cdef real ratios[WIDTH]
    cdef real lows[WIDTH]
    cdef double ratio, low, inverse, most, error
    cdef Py_ssize_t r
    for r in range(rows):
        inverse = block.inverse_largest[r]
        ratio = block.rest[r] * inverse
        error = ratio * largest_error[r]
        if real is float:
            ratio -= error * inverse
            ratios[r] = <real>ratio
            lows[r] = <real>(ratio - <float>ratio)
        else:
            most = largest[r]
            low = 0 - cecore_product_lost(ratio, most, ratio * most)
            ratios[r] = ratio
            lows[r] = (((block.rest[r] - ratio * most) + low) + (block.rest_error[r] - error)) * inverse
    for r in range(rows):
        block.log_total[r] = log1p_row(ratios[r], lows[r])
