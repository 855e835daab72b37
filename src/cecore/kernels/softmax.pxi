# Rows of logits, in panels: of few classes WIDTH rows side by side, a piece of the panel for each class; of many
# classes one row, in pieces of BLOCK classes. In either the loops run over lanes of a piece, and what belongs to a row
# is a number for each lane, or one number (one_row).

cdef struct Softmax:  # what the exponentials of rows sum up to, by a common power of two for each row
    double largest[WIDTH]
    double largest_lost[WIDTH]  # by rounding
    double rest[WIDTH]  # without one of the largest
    double rest_lost[WIDTH]
    double total[WIDTH]
    double lost[WIDTH]
    double log_total[WIDTH]  # of the total over the largest


cdef inline real difference(real z, real top, real *low) noexcept nogil:
    # z - top = the result + low; 0 also where both are infinite. Far below the exponentials' range, low may be NaN or
    # large, and is dropped.
    cdef real result = z - top
    cdef real rest = subtraction_lost(z, top, result)
    low[0] = rest if result > -1000 else 0
    return 0 if z == top else result


cdef inline void exponentials(
    const real *z, const real *top, bint one_row, bint with_lost, Py_ssize_t n, real *restrict e, real *lost
) noexcept nogil:
    cdef real m, d, low, rest
    cdef real single = top[0]
    cdef Py_ssize_t i
    for i in range(n):
        m = single if one_row else top[i]
        d = difference(z[i], m, &low)
        e[i] = exp_parts(d, low, &rest)
        if with_lost:
            lost[i] = rest


cdef void row_exponentials(const real *z, const real *top, Py_ssize_t n, real *restrict e) noexcept nogil:
    exponentials(z, top, True, False, n, e, <real *>NULL)


cdef void exponential_parts(
    const double *z, const double *top, bint one_row, Py_ssize_t n, double *restrict e, double *restrict lost
) noexcept nogil:
    # The exponentials and what their rounding lost
    if one_row:
        exponentials(z, top, True, True, n, e, lost)
    else:
        exponentials(z, top, False, True, WIDTH, e, lost)


cdef void row_extremes(const real *z, Py_ssize_t n, real *restrict least, real *restrict top) noexcept nogil:
    # of the lanes of a register; NaN is passed over
    cdef real small[SUM_LANES]
    cdef real large[SUM_LANES]
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j, first
    for j in range(lanes):
        small[j] = least[j]
        large[j] = top[j]
    for i in range((n + lanes - 1) // lanes if n >= lanes else 0):
        first = min(i * lanes, n - lanes)  # some of the last ones twice
        for j in range(lanes):
            small[j] = z[first + j] if z[first + j] < small[j] else small[j]
            large[j] = z[first + j] if z[first + j] > large[j] else large[j]
    for j in range(n if n < lanes else 0):
        small[j] = z[j] if z[j] < small[j] else small[j]
        large[j] = z[j] if z[j] > large[j] else large[j]
    for j in range(lanes):
        least[j] = small[j]
        top[j] = large[j]


cdef void rows_extremes(const real *z, Py_ssize_t n, real *restrict least, real *restrict top) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(padded_rows(n, <real>0)):
        least[j] = z[j] if z[j] < least[j] else least[j]
        top[j] = z[j] if z[j] > top[j] else top[j]


cdef inline real extreme_lane(real *lanes, bint largest) noexcept nogil:
    cdef Py_ssize_t j
    cdef real other
    for j in range(LANES if real is float else 0):
        other = lanes[j + LANES]
        lanes[j] = other if (other > lanes[j] if largest else other < lanes[j]) else lanes[j]
    for j in range(LANES // 2):
        other = lanes[j + LANES // 2]
        lanes[j] = other if (other > lanes[j] if largest else other < lanes[j]) else lanes[j]
    for j in range(LANES // 4):
        other = lanes[j + LANES // 4]
        lanes[j] = other if (other > lanes[j] if largest else other < lanes[j]) else lanes[j]
    other = lanes[1]
    return other if (other > lanes[0] if largest else other < lanes[0]) else lanes[0]


cdef real largest_lane(real *lanes) noexcept nogil:
    return extreme_lane(lanes, True)


cdef real least_lane(real *lanes) noexcept nogil:
    return extreme_lane(lanes, False)


cdef real settled(const Array *x, Py_ssize_t start, Py_ssize_t classes, real top) noexcept nogil:
    # The largest logit of a row; NaN unless exactly one is infinite or some are finite
    cdef real scratch[BLOCK]
    cdef Py_ssize_t piece, n, i
    cdef Py_ssize_t infinite = 0
    if top - top == 0:
        return top
    for piece in range(blocks(classes)):
        n = min(classes - piece * BLOCK, <Py_ssize_t>BLOCK)
        load(x, start + piece * BLOCK, 1, n, scratch)
        for i in range(n):
            infinite += scratch[i] == top
    return top if top > 0 and infinite == 1 else <real>NAN


cdef struct Exponentials:  # the sums of a panel's rows: those below the largest, and how many are that
    Sums small
    double ones[WIDTH]


cdef void exponentials_add(Exponentials *sums, const real *e, Py_ssize_t n, double largest) noexcept nogil:
    # The largest apart: beside them the sum of small ones would be rounded away
    cdef double one, term
    cdef Py_ssize_t i, j
    for i in range((n + WIDTH - 1) // WIDTH):
        for j in range(min(n - i * WIDTH, <Py_ssize_t>WIDTH)):
            term = e[i * WIDTH + j]
            one = 1 if term == largest else 0
            term = 0 if term == largest else term
            sums.ones[j] += one
            add_exactly(&sums.small.total[j], &sums.small.lost[j], term)


cdef void exponentials_join(Exponentials *sums) noexcept nogil:
    cdef double ones = 0
    cdef Py_ssize_t j
    for j in range(WIDTH):
        ones += sums.ones[j]
    sums.ones[0] = ones
    sums_join(&sums.small)


cdef void softmax_finish(const Exponentials *sums, Py_ssize_t n, Softmax *softmax) noexcept nogil:
    cdef double rest, total, lost
    cdef Py_ssize_t i
    for i in range(n):
        lost = sums.small.lost[i]
        rest = sums.ones[i] - 1
        add_exactly(&rest, &lost, sums.small.total[i])
        softmax.rest[i] = rest + lost
        lost = (rest - softmax.rest[i]) + lost
        softmax.rest_lost[i] = lost
        softmax.largest[i] = 1
        softmax.log_total[i] = cecore_log1p_sum(softmax.rest[i], lost)
        total = 1
        add_exactly(&total, &lost, softmax.rest[i])
        softmax.total[i] = total
        softmax.lost[i] = lost


# ---------------------------------------------------------------- rows of ordinary logits

# Where all logits of a row lie within the ordinary range, the exponentials are taken of the logits themselves, over a
# power of two near the largest one: no difference from the largest logit is needed, which would be inexact. Their sum
# starts at a number of at least their exponent, so that two more operations tell what an addition loses. Logits
# so far below the largest that their exponentials are 0 may be anywhere, also at -inf.

cdef inline bint is_ordinary(real least, real top) noexcept nogil:
    cdef real range_ = ordinary_logit(<real>0)
    return (top <= range_) & (least >= -range_) & (top - least <= range_)


cdef inline real shift_of(real top) noexcept nogil:
    # The integer below top / ln 2, a little less than half below: the largest exponential is from 1 to 2 and a little,
    # so that no weight over the total overflows.
    if real is double:
        return (top * CECORE_LOG2E - 0.501 + CECORE_INTEGERS) - CECORE_INTEGERS
    else:
        return (top * CECORE_LOG2EF - <float>0.501 + CECORE_INTEGERSF) - CECORE_INTEGERSF


cdef inline real far_below(real top) noexcept nogil:
    # Logits up to here have exponentials of 0, as masks do: -inf, -1e9
    if real is double:
        return top - CECORE_VANISHING
    else:
        return top - CECORE_VANISHINGF


cdef void row_least_of_near(const real *z, real top, Py_ssize_t n, real *restrict least) noexcept nogil:
    # of the lanes of a register, the least logits but those far below
    cdef real small[SUM_LANES]
    cdef real value
    cdef real end = far_below(top)
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j, first
    for j in range(lanes):
        small[j] = least[j]
    for i in range((n + lanes - 1) // lanes if n >= lanes else 0):
        first = min(i * lanes, n - lanes)
        for j in range(lanes):
            value = z[first + j] if z[first + j] > end else top
            small[j] = value if value < small[j] else small[j]
    for j in range(n if n < lanes else 0):
        value = z[j] if z[j] > end else top
        small[j] = value if value < small[j] else small[j]
    for j in range(lanes):
        least[j] = small[j]


cdef void rows_least_of_near(const real *z, const real *top, Py_ssize_t n, real *restrict least) noexcept nogil:
    cdef real value
    cdef Py_ssize_t i
    for i in range(padded_rows(n, <real>0)):
        value = z[i] if z[i] > far_below(top[i]) else top[i]
        least[i] = value if value < least[i] else least[i]


cdef void clear_far(const real *z, const real *top, bint one_row, Py_ssize_t n, real *restrict e) noexcept nogil:
    cdef real single = top[0]
    cdef Py_ssize_t i
    for i in range(n):
        e[i] = 0 if z[i] <= far_below(single if one_row else top[i]) else e[i]


cdef void rows_shifted(
    const real *z, const real *shift, const real *top, bint far, Py_ssize_t n, real *restrict e
) noexcept nogil:
    # far: some logits may be
    cdef real lost
    cdef Py_ssize_t i
    for i in range(padded_rows(n, <real>0)):
        e[i] = exp_shifted(z[i], shift[i], &lost)
    if far:
        clear_far(z, top, False, padded_rows(n, <real>0), e)


cdef void row_shifted(
    const real *z, real shift, const real *top, bint far, Py_ssize_t n, real *restrict e
) noexcept nogil:
    # the same of a piece of one row
    cdef real few[SUM_LANES]
    cdef real lost
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t i, j, first
    for i in range((n + lanes - 1) // lanes if n >= lanes else 0):
        first = min(i * lanes, n - lanes)  # some of the last ones twice
        for j in range(lanes):
            e[first + j] = exp_shifted(z[first + j], shift, &lost)
    if n < lanes:
        for j in range(lanes):
            few[j] = top[0]
        memcpy(few, z, n * sizeof(real))
        for j in range(lanes):
            few[j] = exp_shifted(few[j], shift, &lost)
        memcpy(e, few, n * sizeof(real))
    if far:
        clear_far(z, top, True, n, e)


cdef inline void add_below(double *total, double *lost, double term) noexcept nogil:
    # as add_exactly, where the total's exponent is not below the term's
    cdef double after = total[0] + term
    lost[0] += term - (after - total[0])
    total[0] = after


cdef inline void add_exponential(double *total, double *lost, real term) noexcept nogil:
    # sums of floats in double lose nothing that matters
    if real is double:
        add_below(total, lost, term)
    else:
        total[0] += term


cdef void rows_totals(
    const real *e, Py_ssize_t n, Py_ssize_t classes, double *restrict total, double *restrict lost
) noexcept nogil:
    # of rows side by side
    cdef double totals[LANES]
    cdef double losts[LANES]
    cdef double above = 2 if real is double else 0
    cdef Py_ssize_t group, first, j, k
    for group in range(padded_rows(n, <real>0) // LANES):
        first = group * LANES
        for j in range(LANES):
            totals[j] = above
            losts[j] = 0
        for k in range(classes):
            for j in range(LANES):
                add_exponential(&totals[j], &losts[j], e[k * WIDTH + first + j])
        for j in range(LANES):
            total[first + j] = totals[j] - above
            lost[first + j] = losts[j]


cdef void row_total(const real *e, Py_ssize_t n, double *restrict total, double *restrict lost) noexcept nogil:
    # Adds a piece of one row. The lanes start so high that what they hold are multiples of 2^-43; their sum is below
    # 1024, so that joining them loses nothing.
    cdef double totals[SUM_LANES]
    cdef double losts[SUM_LANES]
    cdef double above = 2 * BLOCK if real is double else 0
    cdef real term
    cdef Py_ssize_t lanes = width(<real>0)
    cdef Py_ssize_t rest = n % lanes
    cdef Py_ssize_t i, j
    for j in range(lanes):
        totals[j] = above
        losts[j] = 0
    for i in range(n // lanes):
        for j in range(lanes):
            add_exponential(&totals[j], &losts[j], e[i * lanes + j])
    if rest > 0 and n > lanes:
        for j in range(lanes):  # the last lanes are new
            term = e[n - lanes + j] if j >= lanes - rest else 0
            add_exponential(&totals[j], &losts[j], term)
    else:
        for j in range(rest):
            add_exponential(&totals[j], &losts[j], e[j])
    if real is double:
        for j in range(LANES):
            totals[j] = totals[j] - above
    else:
        for j in range(LANES):
            totals[j] += totals[j + LANES]
    add_exactly(total, lost, join_lanes(&totals[0]))
    if real is double:
        lost[0] += join_lanes(&losts[0])


cdef void rows_largest(const real *top, Py_ssize_t n, real *shift, Softmax *softmax) noexcept nogil:
    cdef real largest[WIDTH]
    cdef real losts[WIDTH]
    cdef Py_ssize_t i
    for i in range(n):
        shift[i] = shift_of(top[i])
        largest[i] = exp_shifted(top[i], shift[i], &losts[i])
    for i in range(n):
        softmax.largest[i] = largest[i]
        softmax.largest_lost[i] = losts[i]


cdef void rows_rest(Py_ssize_t n, Softmax *softmax) noexcept nogil:
    # From the totals; what the largest one lost goes into the total
    cdef double rest, low, total
    cdef Py_ssize_t i
    for i in range(n):
        rest = softmax.total[i] - softmax.largest[i]
        low = ((softmax.total[i] - rest) - softmax.largest[i]) + softmax.lost[i]
        softmax.rest[i] = rest + low
        softmax.rest_lost[i] = (rest - softmax.rest[i]) + low
        low = softmax.lost[i] + softmax.largest_lost[i]
        total = softmax.total[i] + low
        softmax.lost[i] = (softmax.total[i] - total) + low
        softmax.total[i] = total


cdef void rows_log_totals(Py_ssize_t n, Softmax *softmax, real unused) noexcept nogil:
    # For float the quotient in double is exact enough, and its logarithm is one in float.
    cdef double inverse, ratio, product, low
    cdef float head
    cdef Py_ssize_t i
    for i in range(n):
        if real is float:
            ratio = softmax.rest[i] / softmax.largest[i]
            head = <float>ratio
            softmax.log_total[i] = cecore_log1p_sumf(head, <float>(ratio - head))
        else:
            inverse = 1 / softmax.largest[i]
            ratio = softmax.rest[i] * inverse
            product = ratio * softmax.largest[i]
            low = (softmax.rest[i] - product) - cecore_product_lost(ratio, softmax.largest[i], product)
            low = low + (softmax.rest_lost[i] - ratio * softmax.largest_lost[i])
            softmax.log_total[i] = cecore_log1p_sum(ratio, low * inverse)


cdef void rows_over_total(const real *x, const Softmax *softmax, Py_ssize_t n, double *restrict out) noexcept nogil:
    cdef double wide, inverse, result, corrected
    cdef Py_ssize_t i
    for i in range(n):
        wide = x[i]
        if real is float:
            out[i] = wide / softmax.total[i]
        else:
            inverse = 1 / softmax.total[i]
            result = wide * inverse
            corrected = accurate_quotient(wide, 0, softmax.total[i], softmax.lost[i], inverse)
            out[i] = corrected if corrected - corrected == 0 else result


cdef void rows_top_shares(const Softmax *softmax, Py_ssize_t n, real *restrict out) noexcept nogil:
    # The probability of the largest: 1 where the others vanish beside it
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = <real>accurate_quotient(
            softmax.largest[i], softmax.largest_lost[i], softmax.total[i], softmax.lost[i], 1 / softmax.total[i]
        )


cdef inline void softmax_all(
    real *e, const real *scale, const double *largest, const real *top_share, bint one_row, Py_ssize_t n
) noexcept nogil:
    cdef real single = scale[0]
    cdef real single_largest = <real>largest[0]
    cdef real single_share = top_share[0]
    cdef real factor, top, share, value
    cdef Py_ssize_t i
    for i in range(n):
        factor = single if one_row else scale[i]
        top = single_largest if one_row else <real>largest[i]
        share = single_share if one_row else top_share[i]
        value = e[i] * factor
        e[i] = share if e[i] == top else value


cdef void softmax_row(
    real *e, const real *scale, const double *largest, const real *top_share, Py_ssize_t n
) noexcept nogil:
    softmax_all(e, scale, largest, top_share, True, n)


cdef void softmax_rows(
    real *e, const real *scale, const double *largest, const real *top_share, Py_ssize_t n
) noexcept nogil:
    softmax_all(e, scale, largest, top_share, False, padded_rows(n, <real>0))


cdef inline double accurate_quotient(
    double x, double x_low, double total, double lost, double inverse
) noexcept nogil:
    # (x + x_low) / (total + lost), nearly rounded once
    cdef double result = x * inverse
    cdef double product = result * total
    cdef double rest = ((x - product) - cecore_product_lost(result, total, product)) + (x_low - result * lost)
    return result + rest * inverse


# ---------------------------------------------------------------- what is made of the exponentials

cdef inline double over_total(double x, const Softmax *softmax, Py_ssize_t lane) noexcept nogil:
    cdef double lost
    cdef double result = cecore_quotient(x, softmax.total[lane], softmax.lost[lane], &lost)
    return result + lost


cdef inline double others(double e, double total, double lost, double largest, double rest) noexcept nogil:
    # the sum of the exponentials but this one: nothing cancels, since but for a largest e it is that at least
    cdef double difference = total - e
    difference += ((total - difference) - e) + lost
    return rest if e == largest else difference


cdef void rows_scale(real *e, const real *scale, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(padded_rows(n, <real>0)):
        e[i] *= scale[i]


cdef void row_scale(real *e, real scale, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        e[i] *= scale


cdef inline void bend_all(
    const real *e, const real *scale, const real *inverse, const Softmax *softmax, bint one_row, Py_ssize_t lane,
    Py_ssize_t n, real *restrict out
) noexcept nogil:
    # w p (1 - p), from scale = w / total
    cdef real factor, divisor, product
    cdef double total, lost, largest, rest
    cdef real single = scale[0]
    cdef real single_inverse = inverse[0]
    cdef double single_total = softmax.total[lane]
    cdef double single_lost = softmax.lost[lane]
    cdef double single_largest = softmax.largest[lane]
    cdef double single_rest = softmax.rest[lane]
    cdef Py_ssize_t i
    for i in range(n):
        factor = single if one_row else scale[i]
        divisor = single_inverse if one_row else inverse[i]
        total = single_total if one_row else softmax.total[i]
        lost = single_lost if one_row else softmax.lost[i]
        largest = single_largest if one_row else softmax.largest[i]
        rest = single_rest if one_row else softmax.rest[i]
        product = e[i] * factor
        out[i] = product * (<real>others(e[i], total, lost, largest, rest) * divisor)


cdef void rows_bend(
    const real *e, const real *scale, const real *inverse, const Softmax *softmax, Py_ssize_t n, real *restrict out
) noexcept nogil:
    bend_all(e, scale, inverse, softmax, False, 0, padded_rows(n, <real>0), out)


cdef void lane_bend(
    const real *e, const real *scale, const real *inverse, const Softmax *softmax, Py_ssize_t lane, Py_ssize_t n,
    real *restrict out
) noexcept nogil:
    # of one row, which is a lane of the sums
    bend_all(e, scale, inverse, softmax, True, lane, n, out)


cdef inline void log_all(
    const real *z, const real *top, const real *log_total, bint one_row, Py_ssize_t n, real *restrict out
) noexcept nogil:
    cdef real single = top[0]
    cdef real single_log = log_total[0]
    cdef real m, log_of_total, d, low
    cdef Py_ssize_t i
    for i in range(n):
        m = single if one_row else top[i]
        log_of_total = single_log if one_row else log_total[i]
        d = difference(z[i], m, &low)
        out[i] = d - (log_of_total - low)


cdef void rows_log(
    const real *z, const real *top, const real *log_total, Py_ssize_t n, real *restrict out
) noexcept nogil:
    log_all(z, top, log_total, False, padded_rows(n, <real>0), out)


cdef void row_log(
    const real *z, const real *top, const real *log_total, Py_ssize_t n, real *restrict out
) noexcept nogil:
    log_all(z, top, log_total, True, n, out)


cdef void store_tile(
    const Array *out, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t classes, const real *tile, const bint *mine
) noexcept nogil:
    # A panel of few classes back to rows; mine NULL for all of them
    cdef real flat[BLOCK]
    cdef Py_ssize_t group = BLOCK // classes  # rows
    cdef Py_ssize_t start, count, i, r, k
    cdef int missing = 0
    cdef bint all
    if out.data == NULL:
        return
    for r in range(rows if mine != NULL else 0):
        missing += mine[r] == 0
    all = missing == 0
    if all and out.layout != NULL:  # the classes may be anywhere, the rows side by side
        for k in range(classes):
            store_apart(out, first * classes + k, True, rows, tile + k * WIDTH)
        return
    if all and of_computing_type(out, <real>0):
        tile_to_rows(tile, rows, classes, <real *>out.data + first * classes)
        return
    for i in range((rows + group - 1) // group):
        start = i * group
        count = min(rows - start, group)
        tile_to_rows(tile + start, count, classes, &flat[0])
        if all:
            store(out, (first + start) * classes, count * classes, &flat[0])
            continue
        for r in range(count):
            if mine[start + r]:
                store(out, (first + start + r) * classes, classes, &flat[r * classes])


cdef void store_class(
    const Array *out, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t classes, Py_ssize_t class_, const double *block,
    const bint *mine
) noexcept nogil:
    # One class of some rows
    cdef double room[WIDTH]
    cdef Py_ssize_t start = first * classes + class_
    cdef Py_ssize_t r
    cdef bint all = True
    if out.data == NULL:
        return
    for r in range(rows):
        all = all and mine[r]
    if all and out.layout != NULL:
        store_apart(out, start, True, rows, block)
    elif all:
        convert_to(out.type, block, rows, <char *>&room[0])
        move(out.data + start * out.size, classes * out.size, <char *>&room[0], out.size, rows, True)
    else:
        for r in range(rows):
            if mine[r]:
                store(out, start + r * classes, 1, block + r)


# ---------------------------------------------------------------- any target

cdef inline void classes_all(
    const double *z, const double *top, const Softmax *softmax, bint one_row, Py_ssize_t n,
    double *restrict p, double *restrict r, double *restrict minus_log
) noexcept nogil:
    cdef double m, total, total_lost, rest, rest_lost, inverse, log_total, low, lost, d, e, other, other_low, exact
    cdef double single = top[0]
    cdef double single_total = softmax.total[0]
    cdef double single_lost = softmax.lost[0]
    cdef double single_rest = softmax.rest[0]
    cdef double single_rest_lost = softmax.rest_lost[0]
    cdef double single_inverse = 1 / softmax.total[0]
    cdef double single_log = softmax.log_total[0]
    cdef Py_ssize_t i
    for i in range(n):
        m = single if one_row else top[i]
        total = single_total if one_row else softmax.total[i]
        total_lost = single_lost if one_row else softmax.lost[i]
        rest = single_rest if one_row else softmax.rest[i]
        rest_lost = single_rest_lost if one_row else softmax.rest_lost[i]
        inverse = single_inverse if one_row else 1 / softmax.total[i]
        log_total = single_log if one_row else softmax.log_total[i]
        d = difference(z[i], m, &low)
        e = exp_parts(d, low, &lost)
        exact = total - e
        other_low = ((total - exact) - e) + (total_lost - lost)
        other_low = rest_lost if e == 1 else other_low
        other = rest if e == 1 else exact
        p[i] = accurate_quotient(e, lost, total, total_lost, inverse)
        r[i] = accurate_quotient(other, other_low, total, total_lost, inverse)
        minus_log[i] = (log_total - low) - d


cdef void classes_of(
    const double *z, const double *top, const Softmax *softmax, bint one_row, Py_ssize_t n,
    double *restrict p, double *restrict r, double *restrict minus_log
) noexcept nogil:
    # The probabilities p, 1 - p, and -log p, each nearly rounded once
    if one_row:
        classes_all(z, top, softmax, True, n, p, r, minus_log)
    else:
        classes_all(z, top, softmax, False, WIDTH, p, r, minus_log)


cdef void focal_classes(
    const double *p, const double *r, const double *minus_log, double gamma, Py_ssize_t n,
    double *restrict focus, double *restrict slope, double *restrict bend
) noexcept nogil:
    # With psi = r^g l as a function of log p: r^g, -psi' = r^g (1 + g p l / r) and r^2 psi''
    cdef double power, product, ratio
    cdef Py_ssize_t i
    for i in range(n):
        power = cecore_power(r[i], gamma)
        product = p[i] * minus_log[i]
        product = 0 if p[i] == 0 else product
        ratio = product / r[i]
        ratio = 0 if r[i] == 0 else ratio
        focus[i] = power
        slope[i] = power * (1 + gamma * ratio)
        bend[i] = gamma * power * (r[i] * (2 * p[i] - product) + (gamma - 1) * p[i] * product)
