# The typed loops, compiled once for each instruction-set level.
#
# A call takes the array's way: the entry point (elements or rows, at the end) accepts plain arrays, fills a Job and
# runs its driver; the driver walks blocks of BLOCK elements or rows at fixed positions; for each block the functions
# below compute what is wanted; block sums go to the exact accumulator; full buffers go to the results.
#
# Functions of elements work on a whole block: a tail is copied to a local one, whose padding is dropped. Those of rows
# take a number of lanes. The order of every sum is fixed by the positions alone. LANES, FACTORS, BLOCK, SUM_LANES,
# WIDTH and FEW are part of the bits that a release promises.
#
# For a loop to become vector code, a selection takes numbers that were computed before it (a load or a call in one of
# its arms would be a branch), and constants come from local variables.

cimport numpy as cnp
from libc.math cimport INFINITY, NAN, fabs, ldexp
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
    double cecore_sigmoid(double) noexcept
    float cecore_sigmoidf(float) noexcept
    double cecore_softplus_rest(double) noexcept
    float cecore_softplus_restf(float) noexcept
    double cecore_power(double, double) noexcept
    double cecore_log1p_sum(double, double) noexcept
    float cecore_log1p_sumf(float, float) noexcept
    double cecore_exp_parts(double, double, double *) noexcept
    float cecore_exp_partsf(float, float, float *) noexcept
    double cecore_share(bint, double, double) noexcept
    float cecore_sharef(bint, float, float) noexcept
    float cecore_from_half(unsigned short) noexcept
    unsigned short cecore_to_half(float) noexcept
    float cecore_from_bfloat16(unsigned short) noexcept
    unsigned short cecore_to_bfloat16(float) noexcept
    double cecore_product_lost(double, double, double) noexcept
    double cecore_product(double, double, double) noexcept
    double cecore_quotient(double, double, double, double *) noexcept
    uint64_t cecore_enter() noexcept
    void cecore_leave(uint64_t) noexcept

cdef enum:
    LANES = 8  # of the product method: 16 spill registers on AVX2
    FACTORS = 16  # per lane and logarithm
    PAIRS = 16  # products per block
    PENDING_BLOCKS = 4
    BLOCK = LANES * FACTORS * 2
    SUM_LANES = 16  # of a block's sum
    WIDTH = 64  # lanes of a row's sum; rows that are computed side by side
    FEW = 32  # classes: rows of more are computed one at a time
    GIL_KEPT_BELOW = 4096  # elements: handing the GIL over costs more than they do

cdef enum:
    MEAN = 0
    SUM = 1
    NONE = 2

cdef enum:
    VALUE = 1
    GRADIENT = 2
    HESSIAN = 4
    BFLOAT16_BITS = 8  # the predictions, and so the results, are those of bfloat16

cdef enum:
    SIGNED = 1  # an index to ignore, as a signed number of 64 bits
    UNSIGNED = 2  # above those: the same bits as an unsigned number

cdef enum:
    BAD = 0  # something outside its domain
    HARD = 1  # every target 0 or 1
    SOFT = 2

cdef enum:
    NOT_ACTIVATION = 0
    SIGMOID = 1
    SOFTMAX = 2
    LOG_SOFTMAX = 3
    SOFTMAX_BACKWARD = 4

ctypedef fused real:
    float
    double

cdef struct Options:  # of a loss; behind it lie its pos_weight or class_weight
    double eps
    double smoothing
    double gamma
    int64_t ignore_index
    int ignores  # 0, SIGNED or UNSIGNED
    int axis
    bint logits
    bint zero_outside
    bint by_count
    bint awkward  # a weight that float does not hold
    Py_ssize_t length  # that the last axis or the classes must have, or 0
    Py_ssize_t weights  # how many follow; 0: all are 1


cdef inline Py_ssize_t blocks(Py_ssize_t n) noexcept nogil:
    return (n + BLOCK - 1) // BLOCK


include "accumulator.pxi"
include "arrays.pxi"
include "sums.pxi"
include "probabilities.pxi"
include "logits.pxi"
include "softmax.pxi"

cdef struct Job:
    Options options
    const double *class_weights  # pos_weight for elements; NULL: all 1
    Py_ssize_t n  # elements or rows
    Py_ssize_t classes  # of a row
    Array x
    Array targets
    bint labels  # targets are class labels
    int activation
    Array weights  # data NULL: all 1
    double weight_scale  # a power of two that cancels in the mean
    Array upstream  # data NULL: none
    Py_ssize_t size  # of x's numbers, in bytes
    bint in_place  # an output is x itself
    char *value  # outputs of x's type, or NULL
    char *gradient
    char *hessian
    double scale  # of the gradient: upstream / divisor = scale + scale_low
    double scale_low
    Clip clip  # in the computing type
    Clip wide_clip  # in double
    bint wanted_sum
    Accumulator sum
    Pending pending
    Py_ssize_t bad  # start of the first block with an input outside its domain, or -1


# ---------------------------------------------------------------- elements

cdef bint all_ones(const real *w, Py_ssize_t n) noexcept nogil:
    cdef real codes[BLOCK]
    cdef Py_ssize_t i
    for i in range(BLOCK):
        codes[i] = 0 if w[i] == 1 else 1
    for i in range(n, BLOCK):
        codes[i] = 0
    return verdict(&codes[0]) == HARD


cdef int element_block(
    Job *job, Py_ssize_t n, const real *p, const real *t, bint weighted, const real *w, const real *factors,
    real *value, real *gradient, real *hessian
) noexcept nogil:
    # One block of binary targets; n of BLOCK elements count, the others are padding with weight 0 and p = t = 1.
    # Fills the buffers and adds the sum, as the job wants them, or returns BAD.
    cdef real terms[BLOCK]
    cdef double wide_p[BLOCK]
    cdef double wide_t[BLOCK]
    cdef double wide_w[BLOCK]
    cdef double wide_terms[BLOCK]
    cdef const real *mask = w if weighted else <const real *>NULL
    cdef bint summed = False
    cdef int state
    if job.wanted_sum and (t[0] == 0 or t[0] == 1) and (not weighted or all_ones(w, n)):
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
                soft_value(p, t, <const real *>NULL, w, &job.clip, &terms[0])
            accumulator_add(&job.sum, lane_sum(&terms[0]))
    if job.value != NULL:
        if state == HARD:
            hard_value(p, t, w, &job.clip, value)
        else:
            soft_value(p, t, <const real *>NULL, w, &job.clip, value)
    if job.gradient != NULL:
        if state == HARD:
            hard_gradient(p, t, mask, factors, &job.clip, gradient)
        else:
            soft_gradient(p, t, w, factors, &job.clip, gradient)
    if job.hessian != NULL:
        hessian_block(p, t, <const real *>NULL, w, &job.clip, hessian)
    return state


cdef int logit_block(
    Job *job, Py_ssize_t n, const real *z, const real *t, const real *w, const real *factors,
    real *value, real *gradient, real *hessian
) noexcept nogil:
    # As element_block, for logits
    cdef real terms[BLOCK]
    cdef const real *none = NULL
    cdef bint weighted = job.weights.data != NULL
    cdef bint summed = False
    cdef int state = inspect(t, t, w if weighted else none)
    if state == BAD:
        return BAD
    if job.wanted_sum:
        summed = state == HARD and n == BLOCK and (not weighted or all_ones(w, n))
        if summed:
            accumulator_add(&job.sum, hard_logit_sum(z, t, factors, gradient if job.gradient != NULL else <real *>NULL))
        else:
            logit_value(z, t, none, w, &terms[0])
            accumulator_add(&job.sum, lane_sum(&terms[0]))
    if job.value != NULL:
        logit_value(z, t, none, w, value)
    if job.gradient != NULL and job.hessian != NULL:
        logit_derivatives(z, t, w, factors, gradient, hessian)
    elif job.gradient != NULL and not summed:
        logit_gradient(z, t, w, factors, gradient)
    elif job.hessian != NULL:
        logit_hessian(z, t, none, w, hessian)
    return SOFT


cdef int weighted_block(
    Job *job, Py_ssize_t start, Py_ssize_t n, const double *x, const double *t, const double *given_w,
    const double *given_factors, double *value, double *gradient, double *hessian
) noexcept nogil:
    # A block with pos_weight, smoothing or a focal factor: targets that need not sum to 1, in double
    cdef double one[BLOCK]
    cdef double zero[BLOCK]
    cdef double w[BLOCK]
    cdef double factors[BLOCK]
    cdef double weights[BLOCK]
    cdef double smoothing = job.options.smoothing
    cdef double uniform = smoothing / 2
    cdef double scalar = job.class_weights[0] if job.class_weights != NULL else 1
    cdef double first, second, weight, factor
    cdef Py_ssize_t i, k
    if inspect(t, t, given_w) == BAD:
        return BAD
    for i in range(BLOCK):
        weights[i] = scalar
    if job.options.weights > 1:
        k = start % job.options.weights
        for i in range(n):
            weights[i] = job.class_weights[k]
            k = k + 1 if k + 1 < job.options.weights else 0
    for i in range(BLOCK):
        first = tau_of(t[i], weights[i], smoothing, uniform)
        second = tau_of(1 - t[i], 1, smoothing, uniform)
        weight = given_w[i]
        factor = given_factors[i]
        one[i] = first
        zero[i] = second
        w[i] = 0 if first + second == 0 else weight
        factors[i] = 0 if first + second == 0 else factor
    if not job.options.logits:
        if inspect(x, x, &w[0]) == BAD:
            return BAD
        if job.value != NULL or job.wanted_sum:
            soft_value(x, &one[0], &zero[0], &w[0], &job.wide_clip, value)
        if job.gradient != NULL:
            weighted_gradient(x, &one[0], &zero[0], &w[0], &factors[0], &job.wide_clip, gradient)
        if job.hessian != NULL:
            hessian_block(x, &one[0], &zero[0], &w[0], &job.wide_clip, hessian)
    elif job.options.gamma != 0:
        logit_focal(x, &one[0], &zero[0], job.options.gamma, value, gradient, hessian)
        for i in range(BLOCK):
            value[i] = 0 if w[i] == 0 else w[i] * value[i]
            gradient[i] = 0 if w[i] == 0 else factors[i] * gradient[i]
            hessian[i] = 0 if w[i] == 0 else w[i] * hessian[i]
    else:
        if job.value != NULL or job.wanted_sum:
            logit_value(x, &one[0], &zero[0], &w[0], value)
        if job.gradient != NULL:
            logit_weighted_gradient(x, &one[0], &zero[0], &w[0], &factors[0], gradient)
        if job.hessian != NULL:
            logit_hessian(x, &one[0], &zero[0], &w[0], hessian)
    if job.wanted_sum:
        accumulator_add(&job.sum, lane_sum(value))
    return SOFT


cdef const real *weight_block(
    const Job *job, Py_ssize_t start, Py_ssize_t n, bint fresh, real *scratch, real *factors
) noexcept nogil:
    # A block of weights, 0 in the padding, and of the gradient's factors: weight * scale (* upstream), exactly 0
    # where the weight is. Without weights both stay in the scratch from block to block, unless filled afresh.
    cdef const real *w = scratch
    cdef real scale = <real>job.scale
    cdef double wide_scale = job.scale
    cdef double scale_low = job.scale_low
    cdef real unit = <real>job.weight_scale
    cdef real zero = 0
    cdef real factor
    cdef Py_ssize_t i
    if job.weights.data != NULL:
        w = block_of(&job.weights, start, n, scratch, zero)
        if job.weight_scale != 1:
            for i in range(BLOCK):
                scratch[i] = w[i] * <real>job.weight_scale
            w = scratch
    elif fresh or start == 0 or n != BLOCK:
        for i in range(BLOCK):
            scratch[i] = unit if i < n else 0
    if job.upstream.data != NULL:
        load(&job.upstream, start, 1, n, factors)
        for i in range(n, BLOCK):
            factors[i] = 0
        for i in range(BLOCK):
            factor = w[i] * scale * factors[i]
            factors[i] = 0 if w[i] == 0 else factor
    elif job.weights.data != NULL:
        for i in range(BLOCK):
            factor = <real>cecore_product(w[i], wide_scale, scale_low)
            factors[i] = 0 if w[i] == 0 else factor
    elif fresh or start == 0 or n != BLOCK:
        for i in range(BLOCK):
            factors[i] = w[i] * scale
    return w


cdef inline real *destination(
    char *data, const Job *job, Py_ssize_t start, Py_ssize_t n, real *scratch
) noexcept nogil:
    # Where a block of results is computed: in its place, unless it is partial, of another type, or still to be read.
    if data == NULL or n != BLOCK or job.in_place or sizeof(real) != job.size:
        return scratch
    return <real *>data + start


cdef void run_weighted_elements(Job *job, real unused) noexcept nogil:
    cdef double x_scratch[BLOCK]
    cdef double t_scratch[BLOCK]
    cdef real w_scratch[BLOCK]
    cdef real factors[BLOCK]
    cdef double wide_w[BLOCK]
    cdef double wide_factors[BLOCK]
    cdef double value[BLOCK]
    cdef double gradient[BLOCK]
    cdef double hessian[BLOCK]
    cdef const double *x
    cdef const double *t
    cdef Py_ssize_t block, start, n
    for block in range(blocks(job.n)):
        start = block * BLOCK
        n = min(job.n - start, <Py_ssize_t>BLOCK)
        x = block_of(&job.x, start, n, x_scratch, <double>1)
        t = block_of(&job.targets, start, n, t_scratch, <double>1)
        convert(weight_block(job, start, n, False, w_scratch, factors), wide_w, BLOCK)
        convert(&factors[0], wide_factors, BLOCK)
        if weighted_block(job, start, n, x, t, wide_w, wide_factors, value, gradient, hessian) == BAD:
            job.bad = start
            return
        store(job.value, job.x.type, start, n, &value[0])
        store(job.gradient, job.x.type, start, n, &gradient[0])
        store(job.hessian, job.x.type, start, n, &hessian[0])


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
    cdef real *value_place
    cdef real *gradient_place
    cdef real *hessian_place
    cdef Py_ssize_t block, start, n
    cdef int state
    for block in range(blocks(job.n)):
        start = block * BLOCK
        n = min(job.n - start, <Py_ssize_t>BLOCK)
        p = block_of(&job.x, start, n, p_scratch, <real>1)
        t = block_of(&job.targets, start, n, t_scratch, <real>1)
        w = weight_block(job, start, n, False, w_scratch, factors)
        value_place = destination(job.value, job, start, n, &value[0])
        gradient_place = destination(job.gradient, job, start, n, &gradient[0])
        hessian_place = destination(job.hessian, job, start, n, &hessian[0])
        if job.options.logits:
            state = logit_block(job, n, p, t, w, &factors[0], value_place, gradient_place, hessian_place)
        else:
            state = element_block(
                job, n, p, t, job.weights.data != NULL, w, &factors[0], value_place, gradient_place, hessian_place
            )
        if state == BAD:
            job.bad = start
            return
        if n != BLOCK or job.in_place or sizeof(real) != job.size:
            store(job.value, job.x.type, start, n, &value[0])
            store(job.gradient, job.x.type, start, n, &gradient[0])
            store(job.hessian, job.x.type, start, n, &hessian[0])


include "rows.pxi"


# ---------------------------------------------------------------- entry points

cdef double divisor_of(const Job *job, bint rows, double *lost, real unused) noexcept nogil:
    # What the mean divides by: an exact sum, as its rounded value and what that lost. What is outside its domain is
    # found later, by the blocks.
    cdef Accumulator sum
    cdef int64_t labels[BLOCK]
    cdef real scratch[BLOCK]
    cdef real factors[BLOCK]
    cdef double own[BLOCK]
    cdef double divisor
    cdef const real *w
    cdef bint by_count = job.options.by_count
    cdef bint weighted = rows and job.class_weights != NULL and not by_count
    cdef Py_ssize_t block, start, n, i
    if (by_count or job.weights.data == NULL) and not weighted and not job.options.ignores:
        return <double>job.n
    accumulator_clear(&sum)
    for block in range(blocks(job.n)):
        start = block * BLOCK
        n = min(job.n - start, <Py_ssize_t>BLOCK)
        w = weight_block(job, start, n, True, scratch, factors)
        for i in range(BLOCK):
            own[i] = w[i]
        if weighted or job.options.ignores:
            find_labels(job, start, n, w, labels)
            for i in range(n):
                own[i] = 1 if by_count else own[i]
                if labels[i] == IGNORED:
                    own[i] = 0
                elif weighted and own[i] != 0 and labels[i] < job.classes and labels[i] != INVALID:
                    own[i] *= target_weight(job, start + i, labels[i])
        accumulator_add(&sum, lane_sum(&own[0]))
    divisor = accumulator_round(&sum)
    lost[0] = accumulator_lost(&sum, divisor)
    return divisor


cdef bint is_plain(object array) noexcept:
    return cnp.PyArray_CheckExact(array) and cnp.PyArray_ISCARRAY_RO(array)


cdef bint is_computing(object array, bint bits) noexcept:
    # what predictions may be
    cdef int type
    if not is_plain(array):
        return False
    type = cnp.PyArray_TYPE(array)
    if bits:
        return type == cnp.NPY_USHORT
    return type == cnp.NPY_DOUBLE or type == cnp.NPY_FLOAT or type == NPY_HALF


cdef bint is_real(object array) noexcept:
    return is_plain(array) and (  # bool and the integers come before the floats
        cnp.PyArray_TYPE(array) <= cnp.NPY_DOUBLE or cnp.PyArray_TYPE(array) == NPY_HALF
    )


cdef bint has_shape(object array, int ndim, const cnp.npy_intp *shape) noexcept:
    cdef int i
    if cnp.PyArray_NDIM(array) != ndim:
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(array, i) != shape[i]:
            return False
    return True


cdef bint overlap(object a, object b) noexcept:
    if a is None or b is None:
        return False
    cdef char *start = cnp.PyArray_BYTES(a)
    cdef char *other = cnp.PyArray_BYTES(b)
    return start < other + cnp.PyArray_NBYTES(b) and other < start + cnp.PyArray_NBYTES(a)


cdef bint same(object a, object b) noexcept:
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


cdef void set_array(Array *array, object source_array) noexcept:
    array.data = NULL if source_array is None else cnp.PyArray_BYTES(source_array)
    array.type = cnp.NPY_DOUBLE if source_array is None else cnp.PyArray_TYPE(source_array)
    array.narrow = False


cdef void set_predictions(Job *job, object x, bint rows) noexcept:
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef int i
    set_array(&job.x, x)
    if job.x.type == cnp.NPY_USHORT:
        job.x.type = BFLOAT16
    job.size = cnp.PyArray_ITEMSIZE(x)
    job.classes = cnp.PyArray_DIM(x, ndim - 1) if rows else 1
    job.n = 1
    for i in range(ndim - 1 if rows else ndim):
        job.n *= cnp.PyArray_DIM(x, i)


cdef bint is_awkward(double x) noexcept nogil:
    # a constant that float holds inexactly or not at all
    return x != 0 and not (1e-30 < abs(x) < 1e30)


cdef void run(Job *job, bint rows, real in_type) noexcept nogil:
    if rows:
        run_rows(job, in_type)
    elif job.class_weights != NULL or job.options.smoothing != 0 or job.options.gamma != 0:
        run_weighted_elements(job, in_type)
    else:
        run_elements(job, in_type)


cdef double run_checked(Job *job, bint rows, int reduction, int wanted, double upstream) noexcept nogil:
    # Everything between entering and leaving the floating-point mode; the reduced loss, if it is wanted.
    cdef double divisor = 1
    cdef double lost = 0
    cdef double total = 0
    cdef double total_low = 0
    cdef bint nothing = False  # to average
    cdef bint in_float = job.x.type != cnp.NPY_DOUBLE
    cdef uint64_t saved = cecore_enter()
    cdef char *value = job.value
    cdef char *gradient = job.gradient
    cdef char *hessian = job.hessian
    job.weight_scale = 1
    job.scale = upstream
    job.scale_low = 0
    job.targets.narrow = in_float and not job.labels
    job.weights.narrow = job.upstream.narrow = in_float
    if reduction == MEAN:
        if in_float:
            divisor = divisor_of(job, rows, &lost, <float>0)
        else:
            divisor = divisor_of(job, rows, &lost, <double>0)
        if not 1e-200 < divisor < 1e200 and not job.options.by_count and job.n > 0:
            # weights and class weights of any size cancel
            job.weight_scale = ldexp(1, -600 if divisor > 1 else 600)
            divisor = divisor_of(job, rows, &lost, <double>0)
            in_float = False
        nothing = divisor == 0
        if not nothing:
            job.scale = cecore_quotient(upstream, divisor, lost, &job.scale_low)
    if is_awkward(job.options.eps) or is_awkward(job.scale) or job.options.awkward:
        in_float = False
    if rows and job.class_weights != NULL and not job.options.logits:
        in_float = False  # the sums of hard targets are as exact as those of double, and weighted by products
    make_clip(&job.wide_clip, job.options.eps, job.options.zero_outside, <double>0)
    job.clip = job.wide_clip
    if in_float:
        make_clip(&job.clip, job.options.eps, job.options.zero_outside, <float>0)
    job.bad = -1
    if job.in_place or nothing:  # a pass that only checks
        job.value = job.gradient = job.hessian = NULL
        job.wanted_sum = False
        if in_float:
            run(job, rows, <float>0)
        else:
            run(job, rows, <double>0)
        job.value = value
        job.gradient = gradient
        job.hessian = hessian
    if nothing:
        total = NAN
        if gradient != NULL and job.bad < 0:
            memset(gradient, 0, job.n * job.classes * job.size)
        cecore_leave(saved)
        return total
    if job.bad < 0:
        job.wanted_sum = wanted & VALUE and reduction != NONE
        if job.wanted_sum:
            accumulator_clear(&job.sum)
            job.pending.blocks = 0
        if in_float:
            run(job, rows, <float>0)
        else:
            run(job, rows, <double>0)
        if job.wanted_sum and job.bad < 0:
            take_logarithms(&job.pending, &job.sum)
            total = accumulator_round(&job.sum)
            if reduction == MEAN:
                total = cecore_quotient(total, divisor, lost, &total_low) + total_low
    cecore_leave(saved)
    return total


cdef object compute(
    bint rows, bytes options, int reduction, object x, object targets, object weights,
    object upstream, int wanted, object value_out, object gradient_out, object hessian_out,
):
    # What is wanted, one after the other in a tuple if there are several; None where an array is not plain.
    cdef Job job
    cdef int ndim, inner
    cdef cnp.npy_intp *shape
    cdef Py_ssize_t i
    cdef double factor = 1, total
    cdef const char *packed = options
    if not (is_computing(x, wanted & BFLOAT16_BITS) and is_real(targets) and (weights is None or is_real(weights))):
        return None
    memcpy(&job.options, packed, sizeof(Options))
    job.class_weights = <const double *>(packed + sizeof(Options)) if job.options.weights else NULL
    job.activation = NOT_ACTIVATION
    ndim = cnp.PyArray_NDIM(x)
    shape = cnp.PyArray_DIMS(x)
    inner = ndim - 1 if rows else ndim  # dimensions of the losses
    job.labels = rows and cnp.PyArray_NDIM(targets) == inner
    if inner < 0 or (rows and shape[inner] == 0) or not has_shape(targets, inner if job.labels else ndim, shape):
        return None
    if rows and job.options.axis != -1 and job.options.axis != inner:
        return None
    if job.options.length and (ndim == 0 or shape[ndim - 1] != job.options.length):
        return None
    if job.options.ignores and not job.labels:
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

    set_predictions(&job, x, rows)
    set_array(&job.targets, targets)
    set_array(&job.weights, weights)
    set_array(&job.upstream, upstream)
    if wanted & VALUE and reduction == NONE and value_out is None:
        value_out = cnp.PyArray_EMPTY(inner, shape, cnp.PyArray_TYPE(x), False)
    if wanted & GRADIENT and gradient_out is None:
        gradient_out = cnp.PyArray_EMPTY(ndim, shape, cnp.PyArray_TYPE(x), False)
    if wanted & HESSIAN and hessian_out is None:
        hessian_out = cnp.PyArray_EMPTY(ndim, shape, cnp.PyArray_TYPE(x), False)
    job.value = cnp.PyArray_BYTES(value_out) if value_out is not None else NULL
    job.gradient = cnp.PyArray_BYTES(gradient_out) if gradient_out is not None else NULL
    job.hessian = cnp.PyArray_BYTES(hessian_out) if hessian_out is not None else NULL
    if job.n * max(job.classes, 1) < GIL_KEPT_BELOW:
        total = run_checked(&job, rows, reduction, wanted, factor)
    else:
        with nogil:
            total = run_checked(&job, rows, reduction, wanted, factor)
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
    bytes options, int reduction, x, targets, weights, upstream, int wanted, value_out, gradient_out, hessian_out,
):
    """Binary cross-entropy; None unless every array is plain."""
    return compute(
        False, options, reduction, x, targets, weights, upstream, wanted, value_out, gradient_out, hessian_out
    )


def rows(
    bytes options, int reduction, x, targets, weights, upstream, int wanted, value_out, gradient_out, hessian_out,
):
    """Categorical cross-entropy along the last axis; None unless every array is plain."""
    return compute(
        True, options, reduction, x, targets, weights, upstream, wanted, value_out, gradient_out, hessian_out
    )


# ---------------------------------------------------------------- entry points: activations

cdef void sigmoid_block(const real *x, real *out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(BLOCK):
        if real is double:
            out[i] = cecore_sigmoid(x[i])
        else:
            out[i] = cecore_sigmoidf(x[i])


cdef void run_sigmoid(Job *job, real unused) noexcept nogil:
    cdef real scratch[BLOCK]
    cdef real out[BLOCK]
    cdef real *place
    cdef Py_ssize_t block, start, n
    for block in range(blocks(job.n)):
        start = block * BLOCK
        n = min(job.n - start, <Py_ssize_t>BLOCK)
        place = destination(job.gradient, job, start, n, &out[0])
        sigmoid_block(block_of(&job.x, start, n, scratch, <real>0), place)
        if place == &out[0]:
            store(job.gradient, job.x.type, start, n, &out[0])


cdef void run_function(Job *job, int function) noexcept nogil:
    cdef uint64_t saved = cecore_enter()
    cdef bint in_float = job.x.type != cnp.NPY_DOUBLE
    if function == SOFTMAX_BACKWARD:
        run_softmax_backward(job)
    elif function == SIGMOID:
        if in_float:
            run_sigmoid(job, <float>0)
        else:
            run_sigmoid(job, <double>0)
    elif in_float:
        run_activation(job, <float>0)
    else:
        run_activation(job, <double>0)
    cecore_leave(saved)


def activation(int function, bint bits, x, upstream, out):
    """Softmax, log_softmax, softmax_backward along the last axis, or sigmoid; None unless every array is plain."""
    cdef Job job
    cdef int ndim
    cdef cnp.npy_intp *shape
    memset(&job, 0, sizeof(Job))
    if (upstream is None) == (function == SOFTMAX_BACKWARD):
        return None
    if not is_computing(x, bits) or not (upstream is None or is_real(upstream)):
        return None
    ndim = cnp.PyArray_NDIM(x)
    shape = cnp.PyArray_DIMS(x)
    if function != SIGMOID and (ndim == 0 or shape[ndim - 1] == 0):
        return None
    if upstream is not None and not has_shape(upstream, ndim, shape):
        return None
    if not is_output(out, x, None, None, None, ndim, shape):
        return None
    if overlap(out, upstream) and not (same(out, upstream) and cnp.PyArray_TYPE(out) == cnp.PyArray_TYPE(upstream)):
        return None
    if out is None:
        out = cnp.PyArray_EMPTY(ndim, shape, cnp.PyArray_TYPE(x), False)
    set_predictions(&job, x, function != SIGMOID)
    set_array(&job.targets, upstream)
    job.activation = function
    job.in_place = overlap(out, x)
    job.gradient = cnp.PyArray_BYTES(out)
    if job.n * max(job.classes, 1) < GIL_KEPT_BELOW:
        run_function(&job, function)
    else:
        with nogil:
            run_function(&job, function)
    return out


# ---------------------------------------------------------------- for the tests and tools

has_fma = bool(CECORE_HAS_FMA)
compiler = CECORE_COMPILER.decode()
flags = CECORE_FLAGS.decode()


cdef void evaluate_lanes(int function, const real *given_x, const real *given_y, real *given_out) noexcept nogil:
    # Vector code as in the kernels; local arrays and one length keep it short
    cdef real x[SUM_LANES]
    cdef real y[SUM_LANES]
    cdef real out[SUM_LANES]
    cdef Py_ssize_t i
    memcpy(x, given_x, sizeof(x))
    memcpy(y, given_y, sizeof(y))
    if function == 0:
        for i in range(SUM_LANES):
            out[i] = cecore_neg_log(x[i], y[i]) if real is double else cecore_neg_logf(x[i], y[i])
    elif function == 1:
        for i in range(SUM_LANES):
            out[i] = cecore_log(x[i]) if real is double else cecore_logf(x[i])
    elif function == 2:
        for i in range(SUM_LANES):
            out[i] = cecore_log1p(x[i]) if real is double else cecore_log1pf(x[i])
    elif function == 3:
        for i in range(SUM_LANES):
            out[i] = cecore_exp(x[i]) if real is double else cecore_expf(x[i])
    elif function == 4:
        for i in range(SUM_LANES):
            out[i] = cecore_sigmoid(x[i]) if real is double else cecore_sigmoidf(x[i])
    elif function == 5:
        for i in range(SUM_LANES):
            out[i] = cecore_softplus_rest(x[i]) if real is double else cecore_softplus_restf(x[i])
    else:
        for i in range(SUM_LANES):
            out[i] = <real>cecore_power(x[i], y[i])
    memcpy(given_out, out, sizeof(out))


cdef void evaluate_loop(int function, const real *x, const real *y, real *out, Py_ssize_t n) noexcept nogil:
    cdef real x_tail[SUM_LANES]
    cdef real y_tail[SUM_LANES]
    cdef real out_tail[SUM_LANES]
    cdef Py_ssize_t whole = n // SUM_LANES * SUM_LANES
    cdef Py_ssize_t i
    for i in range(n // SUM_LANES):
        evaluate_lanes(function, x + i * SUM_LANES, y + i * SUM_LANES, out + i * SUM_LANES)
    if whole < n:
        memset(x_tail, 0, sizeof(x_tail))
        memset(y_tail, 0, sizeof(y_tail))
        memcpy(x_tail, x + whole, (n - whole) * sizeof(real))
        memcpy(y_tail, y + whole, (n - whole) * sizeof(real))
        evaluate_lanes(function, x_tail, y_tail, out_tail)
        memcpy(out + whole, out_tail, (n - whole) * sizeof(real))


def evaluate(str function, cnp.ndarray x, cnp.ndarray y, cnp.ndarray out):
    """One scalar function over plain arrays of one type (``neg_log`` takes y, the complement of x, ``power`` y too)."""
    cdef int number = (
        "neg_log", "log", "log1p", "exp", "sigmoid", "softplus_rest", "power"
    ).index(function)
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
