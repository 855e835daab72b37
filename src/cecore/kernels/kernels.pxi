# The typed loops, compiled once for each instruction-set level.
#
# A call takes the array's way: the entry point (elements or rows, at the end) accepts plain arrays, fills a Job and
# runs its driver; the driver walks blocks of BLOCK elements or rows at fixed positions; for each block the functions
# below compute what is wanted; block sums go to the exact accumulator; full buffers go to the results.
#
# Every function works on a whole block: a tail is copied to a local one, whose padding is dropped. The order of every
# sum is fixed by the positions alone. LANES, FACTORS, BLOCK, SUM_LANES and ROW_LANES are part of the bits that a
# release promises.
#
# For a loop to become vector code, a selection takes numbers that were computed before it (a load or a call in one of
# its arms would be a branch), and constants come from local variables.

cimport numpy as cnp
from libc.math cimport NAN, fabs, ldexp
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from cecore._checks import BadBlock

cnp.import_array()

cdef extern from "scalar_math.h" nogil:
    const bint CECORE_HAS_FMA
    const double CECORE_LEAST_PRODUCT
    const char *CECORE_COMPILER
    const char *CECORE_FLAGS
    uint64_t cecore_bits(double) noexcept
    uint32_t cecore_bitsf(float) noexcept
    double cecore_double(uint64_t) noexcept
    float cecore_float(uint32_t) noexcept
    double cecore_neg_log(double, double) noexcept
    float cecore_neg_logf(float, float) noexcept
    double cecore_log(double) noexcept
    float cecore_logf(float) noexcept
    double cecore_log1p(double) noexcept
    float cecore_log1pf(float) noexcept
    double cecore_exp(double) noexcept
    float cecore_expf(float) noexcept
    uint64_t cecore_enter() noexcept
    void cecore_leave(uint64_t) noexcept

include "accumulator.pxi"

cdef enum:
    LANES = 8  # of the product method: 16 spill registers on AVX2
    FACTORS = 16  # per lane and logarithm
    PAIRS = 16  # products per block
    PENDING_BLOCKS = 4
    BLOCK = LANES * FACTORS * 2
    SUM_LANES = 16  # of a block's sum
    ROW_LANES = 8  # of a row's sum
    GIL_KEPT_BELOW = 4096  # elements: handing the GIL over costs more than they do

cdef enum:
    MEAN = 0
    SUM = 1
    NONE = 2

cdef enum:
    VALUE = 1
    GRADIENT = 2
    HESSIAN = 4

cdef enum:
    BAD = 0  # something outside its domain
    HARD = 1  # every target 0 or 1
    SOFT = 2

ctypedef fused real:
    float
    double

ctypedef fused source:
    cnp.npy_bool
    signed char
    short
    int
    long
    long long
    unsigned short
    unsigned int
    unsigned long
    unsigned long long
    float
    double

cdef struct Clip:  # eps and what follows from it, rounded to the computing type
    double eps
    double floor  # the least number of the computing type that is not below eps
    double below  # the one before it, or 0
    double head  # eps = head + tail
    double tail
    double top  # 1 - eps = top + top_tail
    double top_tail
    double low_value  # -log(eps)
    double high_value  # -log(1 - eps)
    bint zero_outside

cdef struct Array:
    const char *data
    int type  # NumPy's type number
    bint narrow  # round to float on the way to a double

cdef struct Pending:  # products whose logarithms are taken together: one block's alone would wait for each other
    double products[PENDING_BLOCKS * PAIRS]
    double complements[PENDING_BLOCKS * PAIRS]
    Py_ssize_t blocks

cdef struct Job:
    Py_ssize_t n  # elements or rows
    Py_ssize_t classes  # of a row
    Array x
    Array targets
    bint labels  # targets are class labels
    Array weights  # data NULL: all 1
    double weight_scale  # a power of two that cancels in the mean
    Array upstream  # data NULL: none
    Py_ssize_t size  # of x's numbers, in bytes
    bint in_place  # an output is x itself
    char *value  # outputs of x's type, or NULL
    char *gradient
    char *hessian
    double scale  # of the gradient: upstream / divisor
    Clip clip  # in the computing type
    Clip wide_clip  # in double
    bint wanted_sum
    Accumulator sum
    Pending pending
    Py_ssize_t bad  # start of the first block with an input outside its domain, or -1


cdef inline Py_ssize_t blocks(Py_ssize_t n) noexcept nogil:
    return (n + BLOCK - 1) // BLOCK


# ---------------------------------------------------------------- load and store

cdef inline void convert(const source *data, real *out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        out[i] = <real>data[i]


cdef void load(const Array *array, Py_ssize_t start, Py_ssize_t n, real *out, real padding) noexcept nogil:
    # n numbers from a contiguous array of any real type, and padding up to a whole block
    cdef Py_ssize_t i
    cdef int type = array.type
    cdef const char *data = array.data
    if type == cnp.NPY_DOUBLE:
        convert(<const double *>data + start, out, n)
    elif type == cnp.NPY_FLOAT:
        convert(<const float *>data + start, out, n)
    elif type == cnp.NPY_BOOL or type == cnp.NPY_UBYTE:
        convert(<const cnp.npy_bool *>data + start, out, n)
    elif type == cnp.NPY_BYTE:
        convert(<const signed char *>data + start, out, n)
    elif type == cnp.NPY_SHORT:
        convert(<const short *>data + start, out, n)
    elif type == cnp.NPY_USHORT:
        convert(<const unsigned short *>data + start, out, n)
    elif type == cnp.NPY_INT:
        convert(<const int *>data + start, out, n)
    elif type == cnp.NPY_UINT:
        convert(<const unsigned int *>data + start, out, n)
    elif type == cnp.NPY_LONG:
        convert(<const long *>data + start, out, n)
    elif type == cnp.NPY_ULONG:
        convert(<const unsigned long *>data + start, out, n)
    elif type == cnp.NPY_LONGLONG:
        convert(<const long long *>data + start, out, n)
    else:
        convert(<const unsigned long long *>data + start, out, n)
    if array.narrow:
        for i in range(n):
            out[i] = <real><float>out[i]
    for i in range(n, BLOCK):
        out[i] = padding


cdef inline bint of_computing_type(const Array *array, real unused) noexcept nogil:
    if real is double:
        return array.type == cnp.NPY_DOUBLE and not array.narrow
    else:
        return array.type == cnp.NPY_FLOAT


cdef inline const real *block_of(
    const Array *array, Py_ssize_t start, Py_ssize_t n, real *scratch, real padding
) noexcept nogil:
    # A whole block of the computing type is read where it lies.
    if n == BLOCK and of_computing_type(array, padding):
        return <const real *>array.data + start
    load(array, start, n, scratch, padding)
    return scratch


cdef inline real *destination(
    char *data, const Job *job, Py_ssize_t start, Py_ssize_t n, real *scratch
) noexcept nogil:
    # Where a block of results is computed: in its place, unless it is partial, of another type, or still to be read.
    if data == NULL or n != BLOCK or job.in_place or sizeof(real) != job.size:
        return scratch
    return <real *>data + start


cdef void store(char *data, int type, Py_ssize_t start, Py_ssize_t n, const real *block) noexcept nogil:
    if data == NULL:
        return
    if type == cnp.NPY_DOUBLE:
        convert(block, <double *>data + start, n)
    else:
        convert(block, <float *>data + start, n)


cdef void load_labels(const Array *array, Py_ssize_t start, Py_ssize_t n, int64_t *out) noexcept nogil:
    # What is not a whole number, or above the range, becomes a negative label.
    cdef double number[BLOCK]
    cdef Py_ssize_t i
    cdef int type = array.type
    if type == cnp.NPY_LONG or type == cnp.NPY_LONGLONG or type == cnp.NPY_ULONG or type == cnp.NPY_ULONGLONG:
        if sizeof(long) == 8 or type == cnp.NPY_LONGLONG or type == cnp.NPY_ULONGLONG:
            memcpy(out, array.data + 8 * start, 8 * n)
            return
    load(array, start, n, number, <double>0)
    for i in range(n):
        out[i] = <int64_t>number[i] if 0 <= number[i] < 9e15 else -1
        out[i] = out[i] if <double>out[i] == number[i] else -1


# ---------------------------------------------------------------- blocks: sums

cdef inline double join_lanes(double *lanes) noexcept nogil:
    # the one tree in which eight lanes are added
    cdef Py_ssize_t j
    for j in range(4):
        lanes[j] += lanes[j + 4]
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])


cdef double lane_sum(const real *terms) noexcept nogil:
    cdef double lanes[SUM_LANES]
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        lanes[j] = terms[j]
    for i in range(1, BLOCK // SUM_LANES):
        for j in range(SUM_LANES):
            lanes[j] += terms[i * SUM_LANES + j]
    for j in range(8):
        lanes[j] += lanes[j + 8]
    return join_lanes(&lanes[0])


cdef struct RowSum:  # class k goes to lane k mod ROW_LANES; each lane keeps what its additions lose
    double total[ROW_LANES]
    double lost[ROW_LANES]


cdef inline void row_sum_step(RowSum *row, Py_ssize_t lane, double term) noexcept nogil:
    cdef double before = row.total[lane]
    cdef double after = before + term
    cdef double part = after - before
    row.total[lane] = after
    row.lost[lane] += (before - (after - part)) + (term - part)


cdef void row_sum_add(RowSum *row, const real *terms, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(n // ROW_LANES):
        for j in range(ROW_LANES):
            row_sum_step(row, j, terms[i * ROW_LANES + j])
    i = n // ROW_LANES * ROW_LANES
    for j in range(n - i):
        row_sum_step(row, j, terms[i + j])


cdef double row_sum_join(const RowSum *row) noexcept nogil:
    cdef double lanes[ROW_LANES]
    cdef Py_ssize_t j
    for j in range(ROW_LANES):  # beside an infinite total, what was lost is NaN and means nothing
        lanes[j] = row.total[j] + (row.lost[j] if row.total[j] - row.total[j] == 0 else 0)
    return join_lanes(&lanes[0])


# ---------------------------------------------------------------- blocks: the product method

cdef inline void hard_factor(
    double p, double y, double eps, double top,
    double *product, double *complement, double *least, double *odd
) noexcept nogil:
    cdef double q = 1 - p
    cdef double a = p if y == 1 else q  # the probability of the true class
    cdef double b = q if y == 1 else p
    cdef double exact = 1 if y == 1 else 0
    cdef double smaller = a if a < b else b
    least[0] = smaller if smaller < least[0] else least[0]
    odd[0] += fabs(y - exact)
    a = eps if a < eps else a  # these keep NaN
    a = top if a > top else a
    b = eps if b < eps else b
    complement[0] += b * product[0]
    product[0] *= a


cdef bint hard_sum(
    const double *p, const double *y, Py_ssize_t n, const Clip *clip, Pending *pending
) noexcept nogil:
    # The sum of -log(a) over a block of hard targets: with P the product of a lane's probabilities a, and S the sum of
    # their complements b, each times the product before it, S = 1 - P. Both come from positive terms alone, so that
    # both keep their relative accuracy, and one logarithm serves FACTORS elements:
    # (2 * FACTORS - 1) / ln 2 = 44.7 half-ULPs at most, with 2 of the logarithm, 4 of the joined lanes, and one each of
    # the sum's rounding and the division 52.7, or 5.9e-15. The pairs wait for take_logarithms. False, and nothing left
    # there, if a target is soft, something is outside its domain or NaN, or a product may have left the normal numbers.
    cdef double product[LANES]
    cdef double complement[LANES]
    cdef double least[LANES]
    cdef double odd[LANES]
    cdef double *products = pending.products + pending.blocks * PAIRS
    cdef double *complements = pending.complements + pending.blocks * PAIRS
    cdef double eps = clip.eps
    cdef double top = clip.top
    cdef Py_ssize_t group, i, j, first, count
    cdef bint fine = True
    for j in range(LANES):
        least[j] = 0
        odd[j] = 0
    for group in range(PAIRS // LANES):
        first = group * LANES * FACTORS
        count = max(min(n - first, <Py_ssize_t>(LANES * FACTORS)), <Py_ssize_t>0)
        for j in range(LANES):
            product[j] = 1
            complement[j] = 0
        for i in range(count // LANES):
            for j in range(LANES):
                hard_factor(
                    p[first + i * LANES + j], y[first + i * LANES + j], eps, top,
                    &product[j], &complement[j], &least[j], &odd[j],
                )
        first += count // LANES * LANES
        for j in range(count % LANES):
            hard_factor(p[first + j], y[first + j], eps, top, &product[j], &complement[j], &least[j], &odd[j])
        for j in range(LANES):
            products[group * LANES + j] = product[j]
            complements[group * LANES + j] = complement[j]
    for j in range(LANES):
        fine &= (least[j] >= 0) & (odd[j] == 0)
    for j in range(PAIRS):
        fine &= products[j] >= CECORE_LEAST_PRODUCT
    if fine:
        pending.blocks += 1
    return fine


cdef void take_logarithms(Pending *pending, Accumulator *sum) noexcept nogil:
    cdef double logs[PENDING_BLOCKS * PAIRS]
    cdef double *block
    cdef Py_ssize_t i, j
    for i in range(pending.blocks * PAIRS):
        logs[i] = cecore_neg_log(pending.products[i], pending.complements[i])
    for i in range(pending.blocks):
        block = &logs[i * PAIRS]
        for j in range(8):
            block[j] += block[j + 8]
        accumulator_add(sum, join_lanes(block))
    pending.blocks = 0


# ---------------------------------------------------------------- blocks: elements

cdef inline real neg_log(real a, real b, real floor, real low_value, real high_value) noexcept nogil:
    # -log of the clipped probability a, b its complement
    cdef real value
    if real is double:
        value = cecore_neg_log(a, b)
    else:
        value = cecore_neg_logf(a, b)
    value = low_value if a < floor else value
    return high_value if b < floor else value


cdef inline real clipped(real a, real b, real below, real head, real top) noexcept nogil:
    # the probability a, b its complement; NaN stays, -0 becomes 0
    cdef real value = head if a <= below else a
    return top if b <= below else value


cdef int verdict(const real *codes) noexcept nogil:
    # The codes are 0 (hard), 1 (soft) and 2 (bad), whose floating-point bits have nothing in common.
    cdef uint64_t wide = 0
    cdef uint32_t narrow = 0
    cdef Py_ssize_t i
    for i in range(BLOCK):
        if real is double:
            wide |= cecore_bits(codes[i])
        else:
            narrow |= cecore_bitsf(codes[i])
    if real is float:
        wide = <uint64_t>narrow << 32
    if wide >> 62:
        return BAD
    return SOFT if wide else HARD


cdef inline void encode(const real *p, const real *t, const real *w, bint weighted, real *codes) noexcept nogil:
    cdef real q, u, outside, between, code
    cdef Py_ssize_t i
    for i in range(BLOCK):
        q = <real>1 - p[i]
        u = <real>1 - t[i]
        outside = p[i] if p[i] < q else q
        between = t[i] if t[i] < u else u
        code = 0 if between == 0 else 1
        code = 2 if between < 0 else code
        code = 2 if outside < 0 else code
        if weighted:
            code = code if w[i] > 0 else 2
            code = code if w[i] - w[i] == 0 else 2
            code = 0 if w[i] == 0 else code
        codes[i] = code


cdef int inspect(const real *p, const real *t, const real *w) noexcept nogil:
    # NaN is in no domain's way, but in a weight's. What has weight 0 is not looked at. w may be NULL, for all 1.
    cdef real codes[BLOCK]
    if w == NULL:
        encode(p, t, w, False, &codes[0])
    else:
        encode(p, t, w, True, &codes[0])
    return verdict(&codes[0])


cdef void hard_value(const real *p, const real *y, const real *w, const Clip *clip, real *out) noexcept nogil:
    cdef real q, a, b, value
    cdef real floor = <real>clip.floor
    cdef real low_value = <real>clip.low_value
    cdef real high_value = <real>clip.high_value
    cdef Py_ssize_t i
    for i in range(BLOCK):
        q = <real>1 - p[i]
        a = p[i] if y[i] == 1 else q
        b = q if y[i] == 1 else p[i]
        value = w[i] * neg_log(a, b, floor, low_value, high_value)
        out[i] = 0 if w[i] == 0 else value


cdef void soft_value(const real *p, const real *t, const real *w, const Clip *clip, real *out) noexcept nogil:
    # w (t L1 + (1 - t) L0); a loop for each logarithm, since both together have too many constants for the registers
    cdef real log_one[BLOCK]
    cdef real log_zero[BLOCK]
    cdef real one, zero, value_one, value_zero
    cdef real floor = <real>clip.floor
    cdef real low_value = <real>clip.low_value
    cdef real high_value = <real>clip.high_value
    cdef Py_ssize_t i
    for i in range(BLOCK):
        log_one[i] = neg_log(p[i], <real>1 - p[i], floor, low_value, high_value)
    for i in range(BLOCK):
        log_zero[i] = neg_log(<real>1 - p[i], p[i], floor, low_value, high_value)
    for i in range(BLOCK):
        one = w[i] * t[i]
        one = 0 if w[i] == 0 else one
        zero = w[i] * (<real>1 - t[i])
        zero = 0 if w[i] == 0 else zero
        value_one = one * log_one[i]
        value_one = 0 if one == 0 else value_one
        value_zero = zero * log_zero[i]
        value_zero = 0 if zero == 0 else value_zero
        out[i] = value_one + value_zero


cdef inline void quotients(
    const real *p, const real *y, const real *w, bint weighted, const real *factor, const Clip *clip, real *out
) noexcept nogil:
    cdef real q, a, b, value
    cdef real floor = <real>clip.floor
    cdef real below = <real>clip.below
    cdef real head = <real>clip.head
    cdef real top = <real>clip.top
    cdef real cut = floor if clip.zero_outside else -1
    cdef Py_ssize_t i
    for i in range(BLOCK):
        q = <real>1 - p[i]
        a = p[i] if y[i] == 1 else q
        b = q if y[i] == 1 else p[i]
        value = factor[i] / clipped(a, b, below, head, top)
        value = -value if y[i] == 1 else value
        b = a if a < b else b
        value = 0 if b < cut else value
        if weighted:
            value = 0 if w[i] == 0 else value
        out[i] = value


cdef void hard_gradient(
    const real *p, const real *y, const real *w, const real *factor, const Clip *clip, real *out
) noexcept nogil:
    # -1/a or 1/a; see soft_gradient. w may be NULL, for all 1.
    if w == NULL:
        quotients(p, y, w, False, factor, clip, out)
    else:
        quotients(p, y, w, True, factor, clip, out)


cdef void soft_gradient(
    const real *p, const real *t, const real *w, const real *factor, const Clip *clip, real *out
) noexcept nogil:
    # (p - t) / (p q), which is -1/p for t = 1 and 1/q for t = 0. Where p is clipped, p - t is eps - t or
    # 1 - eps - t, from the exact eps.
    cdef real q, a, b, at_low, at_high, numerator, denominator, value
    cdef real tail = <real>clip.tail
    cdef real top_tail = <real>clip.top_tail
    cdef real floor = <real>clip.floor
    cdef real below = <real>clip.below
    cdef real head = <real>clip.head
    cdef real top = <real>clip.top
    cdef real cut = floor if clip.zero_outside else -1
    cdef Py_ssize_t i
    for i in range(BLOCK):
        q = <real>1 - p[i]
        a = clipped(p[i], q, below, head, top)
        b = clipped(q, p[i], below, head, top)
        at_low = (head - t[i]) + tail
        at_high = (top - t[i]) + top_tail
        numerator = p[i] - t[i]
        numerator = at_low if p[i] < floor else numerator
        numerator = at_high if q < floor else numerator
        numerator = -1 if t[i] == 1 else numerator
        numerator = 1 if t[i] == 0 else numerator
        denominator = a * b
        denominator = a if t[i] == 1 else denominator
        denominator = b if t[i] == 0 else denominator
        value = factor[i] * numerator / denominator
        b = q if q < p[i] else p[i]
        value = 0 if b < cut else value
        out[i] = 0 if w[i] == 0 else value


cdef void hessian_block(const real *p, const real *t, const real *w, const Clip *clip, real *out) noexcept nogil:
    # t / p^2 + (1 - t) / q^2; divided twice, since p^2 may underflow
    cdef real q, a, b, one, zero, value, other
    cdef real floor = <real>clip.floor
    cdef real below = <real>clip.below
    cdef real head = <real>clip.head
    cdef real top = <real>clip.top
    cdef real cut = floor if clip.zero_outside else -1
    cdef Py_ssize_t i
    for i in range(BLOCK):
        q = <real>1 - p[i]
        a = clipped(p[i], q, below, head, top)
        b = clipped(q, p[i], below, head, top)
        one = w[i] * t[i]
        one = 0 if w[i] == 0 else one
        zero = w[i] * (<real>1 - t[i])
        zero = 0 if w[i] == 0 else zero
        value = one / a / a
        value = 0 if one == 0 else value
        other = zero / b / b
        other = 0 if zero == 0 else other
        value += other
        b = q if q < p[i] else p[i]
        value = 0 if b < cut else value
        out[i] = value


cdef bint all_ones(const real *w, Py_ssize_t n) noexcept nogil:
    cdef real codes[BLOCK]
    cdef Py_ssize_t i
    for i in range(BLOCK):
        codes[i] = 0 if w[i] == 1 else 1
    for i in range(n, BLOCK):
        codes[i] = 0
    return verdict(&codes[0]) == HARD


cdef int element_block(
    Job *job, Py_ssize_t n, const real *p, const real *t, const real *w, const real *factors,
    real *value, real *gradient, real *hessian
) noexcept nogil:
    # One block of binary targets; n of BLOCK elements count, the others are padding with weight 0 and p = t = 1.
    # Fills the buffers and adds the sum, as the job wants them, or returns BAD.
    cdef real terms[BLOCK]
    cdef double wide_p[BLOCK]
    cdef double wide_t[BLOCK]
    cdef double wide_w[BLOCK]
    cdef double wide_terms[BLOCK]
    cdef const real *mask = w if job.weights.data != NULL else <const real *>NULL
    cdef bint summed = False
    cdef int state
    if job.wanted_sum and (t[0] == 0 or t[0] == 1) and (job.weights.data == NULL or all_ones(w, n)):
        if real is double:
            summed = hard_sum(p, t, n, &job.wide_clip, &job.pending)
        else:
            convert(p, wide_p, BLOCK)
            convert(t, wide_t, BLOCK)
            summed = hard_sum(&wide_p[0], &wide_t[0], n, &job.wide_clip, &job.pending)
        if job.pending.blocks == PENDING_BLOCKS:
            take_logarithms(&job.pending, &job.sum)
    state = HARD if summed else inspect(p, t, mask)
    if state == BAD:
        return BAD
    if job.wanted_sum and not summed:
        if state == HARD and real is float:  # in double, whatever the computing type
            convert(p, wide_p, BLOCK)
            convert(t, wide_t, BLOCK)
            convert(w, wide_w, BLOCK)
            hard_value(&wide_p[0], &wide_t[0], &wide_w[0], &job.wide_clip, &wide_terms[0])
            accumulator_add(&job.sum, lane_sum(&wide_terms[0]))
        else:
            if state == HARD:
                hard_value(p, t, w, &job.clip, &terms[0])
            else:
                soft_value(p, t, w, &job.clip, &terms[0])
            accumulator_add(&job.sum, lane_sum(&terms[0]))
    if job.value != NULL:
        if state == HARD:
            hard_value(p, t, w, &job.clip, value)
        else:
            soft_value(p, t, w, &job.clip, value)
    if job.gradient != NULL:
        if state == HARD:
            hard_gradient(p, t, mask, factors, &job.clip, gradient)
        else:
            soft_gradient(p, t, w, factors, &job.clip, gradient)
    if job.hessian != NULL:
        hessian_block(p, t, w, &job.clip, hessian)
    return state


cdef const real *weight_block(
    const Job *job, Py_ssize_t start, Py_ssize_t n, real *scratch, real *factors
) noexcept nogil:
    # A block of weights, 0 in the padding, and of the gradient's factors: weight * scale (* upstream), exactly 0
    # where the weight is. Without weights both stay in the scratch from block to block.
    cdef const real *w = scratch
    cdef real scale = <real>job.scale
    cdef real zero = 0
    cdef real factor
    cdef Py_ssize_t i
    if job.weights.data != NULL:
        w = block_of(&job.weights, start, n, scratch, zero)
        if job.weight_scale != 1:
            for i in range(BLOCK):
                scratch[i] = w[i] * <real>job.weight_scale
            w = scratch
    elif start == 0 or n != BLOCK:
        for i in range(BLOCK):
            scratch[i] = 1 if i < n else 0
    if job.upstream.data != NULL:
        load(&job.upstream, start, n, factors, zero)
        for i in range(BLOCK):
            factor = w[i] * scale * factors[i]
            factors[i] = 0 if w[i] == 0 else factor
    elif job.weights.data != NULL or start == 0 or n != BLOCK:
        for i in range(BLOCK):
            factor = w[i] * scale
            factors[i] = 0 if w[i] == 0 else factor
    return w


cdef void run_elements(Job *job, real unused) noexcept nogil:
    cdef real p_scratch[BLOCK]
    cdef real t_scratch[BLOCK]
    cdef real w_scratch[BLOCK]
    cdef real factors[BLOCK]
    cdef real value[BLOCK]
    cdef real gradient[BLOCK]
    cdef real hessian[BLOCK]
    cdef const real *p
    cdef const real *t
    cdef const real *w
    cdef Py_ssize_t block, start, n
    for block in range(blocks(job.n)):
        start = block * BLOCK
        n = min(job.n - start, <Py_ssize_t>BLOCK)
        p = block_of(&job.x, start, n, p_scratch, <real>1)
        t = block_of(&job.targets, start, n, t_scratch, <real>1)
        w = weight_block(job, start, n, w_scratch, factors)
        if element_block(
            job, n, p, t, w, &factors[0],
            destination(job.value, job, start, n, &value[0]),
            destination(job.gradient, job, start, n, &gradient[0]),
            destination(job.hessian, job, start, n, &hessian[0]),
        ) == BAD:
            job.bad = start
            return
        if n != BLOCK or job.in_place or sizeof(real) != job.size:
            store(job.value, job.x.type, start, n, &value[0])
            store(job.gradient, job.x.type, start, n, &gradient[0])
            store(job.hessian, job.x.type, start, n, &hessian[0])


# ---------------------------------------------------------------- rows

cdef int64_t one_hot_label(const Array *targets, Py_ssize_t start, Py_ssize_t classes, real unused) noexcept nogil:
    # The label of a row that holds one 1 and is 0 elsewhere, or -1.
    cdef real scratch[BLOCK]
    cdef const real *t
    cdef Py_ssize_t piece, first, k, n
    cdef int64_t label = -1
    for piece in range(blocks(classes)):
        first = piece * BLOCK
        n = min(classes - first, <Py_ssize_t>BLOCK)
        if of_computing_type(targets, unused):  # a short row too: what lies behind it is not read
            t = <const real *>targets.data + start + first
        else:
            load(targets, start + first, n, scratch, <real>0)
            t = scratch
        for k in range(n):
            if t[k] == 1:
                if label >= 0:
                    return -1
                label = first + k
            elif t[k] != 0:
                return -1
    return label


cdef void store_label_row(
    char *data, int type, Py_ssize_t row, Py_ssize_t classes, int64_t label, real value
) noexcept nogil:
    cdef Py_ssize_t size = 8 if type == cnp.NPY_DOUBLE else 4
    memset(data + row * classes * size, 0, classes * size)
    store(data, type, row * classes + label, 1, &value)


cdef int label_block(
    Job *job, Py_ssize_t start, Py_ssize_t n, const int64_t *labels, const real *w, const real *factors, real *value
) noexcept nogil:
    # Rows with labels are a binary block: the probability of each row's label, with target 1.
    cdef real p[BLOCK]
    cdef real ones[BLOCK]
    cdef real gradient[BLOCK]
    cdef real hessian[BLOCK]
    cdef Py_ssize_t i
    for i in range(BLOCK):
        ones[i] = 1
        p[i] = 1
    for i in range(n):
        if real is float or job.x.type == cnp.NPY_DOUBLE:
            p[i] = (<const real *>job.x.data)[(start + i) * job.classes + labels[i]]
        else:
            p[i] = (<const float *>job.x.data)[(start + i) * job.classes + labels[i]]
    if element_block(
        job, n, &p[0], &ones[0], w, factors, value, &gradient[0], &hessian[0]
    ) == BAD:
        return BAD
    if job.gradient != NULL:
        for i in range(n):
            store_label_row(job.gradient, job.x.type, start + i, job.classes, labels[i], gradient[i])
    if job.hessian != NULL:
        for i in range(n):
            store_label_row(job.hessian, job.x.type, start + i, job.classes, labels[i], hessian[i])
    return HARD


cdef bint inspect_terms(const real *p, const real *t, const real *w) noexcept nogil:
    # As inspect, for terms that read p where t is not 0; weights are checked by the row.
    cdef real codes[BLOCK]
    cdef real q, u, outside, between, code
    cdef Py_ssize_t i
    for i in range(BLOCK):
        q = <real>1 - p[i]
        u = <real>1 - t[i]
        outside = p[i] if p[i] < q else q
        between = t[i] if t[i] < u else u
        code = 2 if outside < 0 else 0
        code = 0 if t[i] == 0 else code
        code = 2 if between < 0 else code
        codes[i] = 0 if w[i] == 0 else code
    return verdict(&codes[0]) != BAD


cdef int distribution_block(
    Job *job, Py_ssize_t start, Py_ssize_t n, const real *w, const real *row_factors, real *value
) noexcept nogil:
    # Rows with a distribution each: pieces of at most BLOCK terms, of several short rows or of one long one.
    # A term is a one-sided hard one: the probability p_k, target 1, weight t_k.
    cdef real p_scratch[BLOCK]
    cdef real t_scratch[BLOCK]
    cdef real ones[BLOCK]
    cdef real weights[BLOCK]
    cdef real factors[BLOCK]
    cdef real out[BLOCK]
    cdef real bends[BLOCK]
    cdef double losses[BLOCK]
    cdef real term
    cdef const real *p
    cdef const real *t
    cdef RowSum row
    cdef Py_ssize_t classes = job.classes
    cdef Py_ssize_t rows_in_piece = max(BLOCK // classes, <Py_ssize_t>1)
    cdef Py_ssize_t tile, piece, r, first, rows, flat, count, i, k
    for i in range(BLOCK):
        ones[i] = 1
        losses[i] = 0
    for i in range(n):
        if not (w[i] >= 0 and w[i] - w[i] == 0):
            return BAD
    for tile in range((n + rows_in_piece - 1) // rows_in_piece):
        r = tile * rows_in_piece
        rows = min(n - r, rows_in_piece)
        memset(&row, 0, sizeof(RowSum))
        for piece in range(blocks(classes)):
            first = piece * BLOCK
            count = min(classes - first, <Py_ssize_t>BLOCK) if rows_in_piece == 1 else rows * classes
            flat = (start + r) * classes + first
            p = block_of(&job.x, flat, count, p_scratch, <real>1)
            t = block_of(&job.targets, flat, count, t_scratch, <real>0)
            if rows_in_piece == 1:
                for k in range(BLOCK):
                    weights[k] = w[r]
                    factors[k] = row_factors[r]
            else:
                for i in range(rows):
                    for k in range(classes):
                        weights[i * classes + k] = w[r + i]
                        factors[i * classes + k] = row_factors[r + i]
                for k in range(count, BLOCK):
                    weights[k] = 0
                    factors[k] = 0
            if not inspect_terms(p, t, &weights[0]):
                return BAD
            if job.value != NULL or job.wanted_sum:
                hard_value(p, &ones[0], t, &job.clip, &out[0])
                if rows_in_piece == 1:
                    row_sum_add(&row, &out[0], count)
                else:
                    for i in range(rows):
                        memset(&row, 0, sizeof(RowSum))
                        row_sum_add(&row, &out[0] + i * classes, classes)
                        losses[r + i] = row_sum_join(&row)
            for k in range(BLOCK):
                factors[k] *= t[k]
                term = weights[k] * t[k]
                weights[k] = 0 if weights[k] == 0 else term
            if job.gradient != NULL:
                hard_gradient(p, &ones[0], &weights[0], &factors[0], &job.clip, &out[0])
            if job.hessian != NULL:
                hessian_block(p, &ones[0], &weights[0], &job.clip, &bends[0])
            store(job.gradient, job.x.type, flat, count, &out[0])  # not before: p may lie in either
            store(job.hessian, job.x.type, flat, count, &bends[0])
        if rows_in_piece == 1:
            losses[r] = row_sum_join(&row)
    for i in range(n):
        losses[i] = 0 if w[i] == 0 else w[i] * losses[i]
    if job.value != NULL:
        for i in range(BLOCK):
            value[i] = <real>losses[i]
    if job.wanted_sum:
        accumulator_add(&job.sum, lane_sum(&losses[0]))
    return SOFT


cdef void run_rows(Job *job, real unused) noexcept nogil:
    cdef int64_t labels[BLOCK]
    cdef real w_scratch[BLOCK]
    cdef real factors[BLOCK]
    cdef real value[BLOCK]
    cdef const real *w
    cdef Py_ssize_t block, start, n, i
    cdef int state
    for block in range(blocks(job.n)):
        start = block * BLOCK
        n = min(job.n - start, <Py_ssize_t>BLOCK)
        w = weight_block(job, start, n, w_scratch, factors)
        state = HARD
        if job.labels:
            load_labels(&job.targets, start, n, labels)
            for i in range(n):
                labels[i] = 0 if w[i] == 0 else labels[i]
                if labels[i] < 0 or labels[i] >= job.classes:
                    state = BAD
        else:
            for i in range(n):
                if w[i] == 0:
                    labels[i] = 0
                    continue
                labels[i] = one_hot_label(&job.targets, (start + i) * job.classes, job.classes, <real>0)
                if labels[i] < 0:
                    state = SOFT
                    break
        if state == HARD:
            state = label_block(job, start, n, labels, w, &factors[0], &value[0])
        elif state == SOFT:
            state = distribution_block(job, start, n, w, &factors[0], &value[0])
        if state == BAD:
            job.bad = start
            return
        if job.value != NULL:
            store(job.value, job.x.type, start, n, &value[0])


# ---------------------------------------------------------------- entry points

cdef double weight_total(const Job *job, real unused) noexcept nogil:
    # The exact sum of the weights. Weights outside their domain are found later, by the blocks.
    cdef Accumulator sum
    cdef real scratch[BLOCK]
    cdef real factors[BLOCK]
    cdef Py_ssize_t block, start
    accumulator_clear(&sum)
    for block in range(blocks(job.n)):
        start = block * BLOCK
        accumulator_add(
            &sum, lane_sum(weight_block(job, start, min(job.n - start, <Py_ssize_t>BLOCK), scratch, factors))
        )
    return accumulator_round(&sum)


cdef inline real neighbour(real x, int step) noexcept nogil:
    # the next number after (step 1) or before (-1) a positive one
    if real is double:
        return cecore_double(cecore_bits(x) + step)
    else:
        return cecore_float(cecore_bitsf(x) + step)


cdef void make_clip(Clip *clip, double eps, bint zero_outside, real unused) noexcept nogil:
    cdef real head = <real>eps
    clip.eps = eps
    clip.head = head
    clip.tail = eps - head
    clip.floor = head
    if head < eps:  # in float only
        clip.floor = neighbour(head, 1)
    clip.below = neighbour(<real>clip.floor, -1) if eps > 0 else 0
    clip.top = <real>(1 - eps)
    clip.top_tail = (1 - clip.top) - eps
    clip.low_value = <real>cecore_neg_log(eps, 1 - eps)
    clip.high_value = <real>cecore_neg_log(1 - eps, eps)
    clip.zero_outside = zero_outside


cdef inline bint is_plain(object array) noexcept:
    return cnp.PyArray_CheckExact(array) and cnp.PyArray_ISCARRAY_RO(array)


cdef inline bint is_computing(object array) noexcept:
    return is_plain(array) and (
        cnp.PyArray_TYPE(array) == cnp.NPY_DOUBLE or cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT
    )


cdef inline bint is_real(object array) noexcept:
    return is_plain(array) and (
        cnp.PyArray_TYPE(array) <= cnp.NPY_DOUBLE  # bool and the integers come before the floats
    )


cdef inline bint has_shape(object array, int ndim, const cnp.npy_intp *shape) noexcept:
    cdef int i
    if cnp.PyArray_NDIM(array) != ndim:
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(array, i) != shape[i]:
            return False
    return True


cdef inline bint overlap(object a, object b) noexcept:
    if a is None or b is None:
        return False
    cdef char *start = cnp.PyArray_BYTES(a)
    cdef char *other = cnp.PyArray_BYTES(b)
    return start < other + cnp.PyArray_NBYTES(b) and other < start + cnp.PyArray_NBYTES(a)


cdef inline bint same(object a, object b) noexcept:
    return cnp.PyArray_BYTES(a) == cnp.PyArray_BYTES(b) and cnp.PyArray_NBYTES(a) == cnp.PyArray_NBYTES(b)


cdef bint is_output(object out, object x, object targets, object weights, object upstream,
                    int ndim, const cnp.npy_intp *shape) noexcept:
    # None, or a plain writeable array of x's type that overlaps nothing but x, and x only as a whole
    if out is None:
        return True
    if not (
        cnp.PyArray_CheckExact(out) and cnp.PyArray_ISCARRAY(out)
        and cnp.PyArray_TYPE(out) == cnp.PyArray_TYPE(x) and has_shape(out, ndim, shape)
    ):
        return False
    if overlap(out, x) and not (same(out, x) and ndim == cnp.PyArray_NDIM(x)):
        return False
    return not (overlap(out, targets) or overlap(out, weights) or overlap(out, upstream))


cdef inline void set_array(Array *array, object source_array) noexcept:
    array.data = NULL if source_array is None else cnp.PyArray_BYTES(source_array)
    array.type = cnp.NPY_DOUBLE if source_array is None else cnp.PyArray_TYPE(source_array)
    array.narrow = False


cdef bint is_awkward(double x) noexcept nogil:
    # a constant that float holds inexactly or not at all
    return x != 0 and not (1e-30 < abs(x) < 1e30)


cdef void run(Job *job, bint rows, bint in_float) noexcept nogil:
    if rows:
        if in_float:
            run_rows(job, <float>0)
        else:
            run_rows(job, <double>0)
    elif in_float:
        run_elements(job, <float>0)
    else:
        run_elements(job, <double>0)


cdef double run_checked(
    Job *job, bint rows, double eps, bint zero_outside, int reduction, int wanted, double upstream
) noexcept nogil:
    # Everything between entering and leaving the floating-point mode; the reduced loss, if it is wanted.
    cdef double divisor = <double>job.n
    cdef double total = 0
    cdef bint in_float = job.x.type == cnp.NPY_FLOAT
    cdef uint64_t saved = cecore_enter()
    cdef char *value = job.value
    cdef char *gradient = job.gradient
    cdef char *hessian = job.hessian
    job.weight_scale = 1
    job.scale = upstream
    if reduction == MEAN and job.weights.data != NULL:
        divisor = weight_total(job, <float>0) if in_float else weight_total(job, <double>0)
        if divisor != 0 and not (1e-200 < divisor < 1e200):  # in double only: float weights are in between
            job.weight_scale = ldexp(1, -600 if divisor > 1 else 600)
            divisor = weight_total(job, <double>0)
    if reduction == MEAN:
        job.scale = upstream / divisor if divisor != 0 else 0
    if in_float and (is_awkward(eps) or is_awkward(job.scale)):
        in_float = False
        job.targets.narrow = job.weights.narrow = job.upstream.narrow = True
    make_clip(&job.wide_clip, eps, zero_outside, <double>0)
    job.clip = job.wide_clip
    if in_float:
        make_clip(&job.clip, eps, zero_outside, <float>0)
    job.bad = -1
    if job.in_place:
        job.value = job.gradient = job.hessian = NULL
        job.wanted_sum = False
        run(job, rows, in_float)
        job.value = value
        job.gradient = gradient
        job.hessian = hessian
    if job.bad < 0:
        job.wanted_sum = wanted & VALUE and reduction != NONE
        if job.wanted_sum:
            accumulator_clear(&job.sum)
            job.pending.blocks = 0
        run(job, rows, in_float)
        if job.wanted_sum and job.bad < 0:
            take_logarithms(&job.pending, &job.sum)
            total = accumulator_round(&job.sum)
            if reduction == MEAN:
                total = total / divisor if divisor != 0 else NAN
    cecore_leave(saved)
    return total


cdef object compute(
    bint rows, double eps, bint zero_outside, int reduction, object x, object targets, object weights,
    object upstream, int wanted, object value_out, object gradient_out, object hessian_out,
):
    # What is wanted, one after the other in a tuple if there are several; None where an array is not plain.
    cdef Job job
    cdef int ndim, inner
    cdef cnp.npy_intp *shape
    cdef Py_ssize_t i
    cdef double factor = 1, total
    if not (is_computing(x) and is_real(targets) and (weights is None or is_real(weights))):
        return None
    ndim = cnp.PyArray_NDIM(x)
    shape = cnp.PyArray_DIMS(x)
    inner = ndim - 1 if rows else ndim  # dimensions of the losses
    job.labels = rows and cnp.PyArray_NDIM(targets) == inner
    if inner < 0 or (rows and shape[inner] == 0) or not has_shape(targets, inner if job.labels else ndim, shape):
        return None
    if weights is not None and not has_shape(weights, inner, shape):
        return None
    if type(upstream) is float:
        factor = upstream
        upstream = None
    elif not (reduction == NONE and is_real(upstream) and has_shape(upstream, inner, shape)):
        return None
    if not (
        is_output(value_out, x, targets, weights, upstream, inner, shape)
        and is_output(gradient_out, x, targets, weights, upstream, ndim, shape)
        and is_output(hessian_out, x, targets, weights, upstream, ndim, shape)
    ):
        return None
    if overlap(value_out, gradient_out) or overlap(gradient_out, hessian_out):
        return None
    job.in_place = overlap(value_out, x) or overlap(gradient_out, x) or overlap(hessian_out, x)

    job.size = cnp.PyArray_ITEMSIZE(x)
    job.classes = shape[ndim - 1] if rows else 1
    job.n = 1
    for i in range(inner):
        job.n *= shape[i]
    set_array(&job.x, x)
    set_array(&job.targets, targets)
    set_array(&job.weights, weights)
    set_array(&job.upstream, upstream)
    if wanted & VALUE and reduction == NONE and value_out is None:
        value_out = cnp.PyArray_EMPTY(inner, shape, job.x.type, False)
    if wanted & GRADIENT and gradient_out is None:
        gradient_out = cnp.PyArray_EMPTY(ndim, shape, job.x.type, False)
    if wanted & HESSIAN and hessian_out is None:
        hessian_out = cnp.PyArray_EMPTY(ndim, shape, job.x.type, False)
    job.value = cnp.PyArray_BYTES(value_out) if value_out is not None else NULL
    job.gradient = cnp.PyArray_BYTES(gradient_out) if gradient_out is not None else NULL
    job.hessian = cnp.PyArray_BYTES(hessian_out) if hessian_out is not None else NULL
    if job.n * max(job.classes, 1) < GIL_KEPT_BELOW:
        total = run_checked(&job, rows, eps, zero_outside, reduction, wanted, factor)
    else:
        with nogil:
            total = run_checked(&job, rows, eps, zero_outside, reduction, wanted, factor)
    if job.bad >= 0:
        raise BadBlock(job.bad, min(job.bad + BLOCK, job.n))
    if wanted & VALUE:
        value = value_out if reduction == NONE else total
        if wanted & GRADIENT:
            return value, gradient_out
        return value
    if wanted & HESSIAN:
        return gradient_out, hessian_out
    return gradient_out


def elements(
    double eps, bint zero_outside, int reduction, probs, targets, weights, upstream, int wanted,
    value_out, gradient_out, hessian_out,
):
    """Binary cross-entropy on probabilities; None unless every array is plain."""
    return compute(
        False, eps, zero_outside, reduction, probs, targets, weights, upstream, wanted,
        value_out, gradient_out, hessian_out,
    )


def rows(
    double eps, bint zero_outside, int reduction, probs, targets, weights, upstream, int wanted,
    value_out, gradient_out, hessian_out,
):
    """Categorical cross-entropy on probabilities along the last axis; None unless every array is plain."""
    return compute(
        True, eps, zero_outside, reduction, probs, targets, weights, upstream, wanted,
        value_out, gradient_out, hessian_out,
    )


# ---------------------------------------------------------------- for the tests and tools

has_fma = bool(CECORE_HAS_FMA)
compiler = CECORE_COMPILER.decode()
flags = CECORE_FLAGS.decode()


cdef void evaluate_loop(int function, const real *x, const real *y, real *out, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    if function == 0:
        for i in range(n):
            out[i] = cecore_neg_log(x[i], y[i]) if real is double else cecore_neg_logf(x[i], y[i])
    elif function == 1:
        for i in range(n):
            out[i] = cecore_log(x[i]) if real is double else cecore_logf(x[i])
    elif function == 2:
        for i in range(n):
            out[i] = cecore_log1p(x[i]) if real is double else cecore_log1pf(x[i])
    else:
        for i in range(n):
            out[i] = cecore_exp(x[i]) if real is double else cecore_expf(x[i])


def evaluate(str function, cnp.ndarray x, cnp.ndarray y, cnp.ndarray out):
    """One scalar function over plain arrays of one type (``neg_log`` takes y, the complement of x)."""
    cdef int number = ("neg_log", "log", "log1p", "exp").index(function)
    cdef uint64_t saved = cecore_enter()
    if cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE:
        evaluate_loop(number, <double *>x.data, <double *>y.data, <double *>out.data, x.size)
    else:
        evaluate_loop(number, <float *>x.data, <float *>y.data, <float *>out.data, x.size)
    cecore_leave(saved)


def exact_sum(cnp.ndarray terms):
    """The sum of float64 numbers >= 0, rounded once."""
    cdef Accumulator sum
    cdef Py_ssize_t i
    accumulator_clear(&sum)
    for i in range(terms.size):
        accumulator_add(&sum, (<double *>terms.data)[i])
    return accumulator_round(&sum)
