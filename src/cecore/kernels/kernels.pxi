# The typed loops, compiled once for each instruction-set level.
#
# A call takes the array's way: the entry point (loss, at the end) accepts arrays of numbers, fills a Job and runs its
# driver; the driver walks blocks of BLOCK elements or rows at fixed positions; for each block the functions below
# compute what is wanted; block sums go to the exact accumulator; full buffers go to the results. Arrays that are not
# plain pass through buffers: of a block of elements, or of a block of rows (run_blocks).
#
# Functions of elements work on whole vectors of a block: a tail is copied to a local one, padded. Those of rows
# take a number of lanes. The order of every sum is fixed by the positions alone. LANES, FACTORS, BLOCK, SUM_LANES,
# WIDTH, FEW, FEW_BOTH and SOFT_FEW, the ranges of scalar_math.h and what counts as a small rest are part of the bits
# that a release promises.
#
# For a loop to become vector code, a selection takes numbers that were computed before it (a load or a call in one of
# its arms would be a branch), and constants come from local variables.

import os
import sys
import threading
from time import sleep

cimport numpy as cnp
from libc.float cimport FLT_MAX
from libc.math cimport INFINITY, NAN, fabs, fabsf, ldexp, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, llabs, malloc
from libc.string cimport memcpy, memset

from cecore._checks import SMALL_STACK, WEIGHTS_TOO_LARGE, WEIGHTS_TOO_SMALL, BadBlock, Suspicious
from cecore._threads import thread_count

cnp.import_array()

cdef extern from "scalar_math.h" nogil:
    const bint CECORE_HAS_FMA
    const bint CECORE_FEW_REGISTERS
    const double CECORE_LEAST_PRODUCT
    const double CECORE_ORDINARY
    const float CECORE_ORDINARYF
    const double CECORE_VANISHING
    const float CECORE_VANISHINGF
    const double CECORE_LOG2E
    const float CECORE_LOG2EF
    const double CECORE_INTEGERS
    const float CECORE_INTEGERSF
    const char *CECORE_COMPILER
    const char *CECORE_FLAGS
    uint64_t cecore_bits(double) noexcept
    uint32_t cecore_bitsf(float) noexcept
    double cecore_double(uint64_t) noexcept
    float cecore_float(uint32_t) noexcept
    double cecore_clipped_neg_log(double, double) noexcept
    float cecore_clipped_neg_logf(float, float) noexcept
    double cecore_any_neg_log(double, double) noexcept
    float cecore_any_neg_logf(float, float) noexcept
    double cecore_neg_log(double, double) noexcept
    float cecore_neg_logf(float, float) noexcept
    double cecore_neg_log_argument(double, double, double *) noexcept
    float cecore_neg_log_argumentf(float, float, float *) noexcept
    double cecore_neg_log_reduced(double, double) noexcept
    float cecore_neg_log_reducedf(float, float) noexcept
    double cecore_log1p_unit(double, double) noexcept
    float cecore_log1p_unitf(float, float) noexcept
    double CECORE_FMA(double, double, double) noexcept
    float CECORE_FMAF(float, float, float) noexcept
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
    double cecore_exp_shifted(double, double, double *) noexcept
    float cecore_exp_shiftedf(float, float, float *) noexcept
    double cecore_share(bint, double, double) noexcept
    float cecore_sharef(bint, float, float) noexcept
    float cecore_from_half(unsigned short) noexcept
    unsigned short cecore_to_half(float) noexcept
    float cecore_from_bfloat16(unsigned short) noexcept
    unsigned short cecore_to_bfloat16(float) noexcept
    double cecore_product_lost(double, double, double) noexcept
    float cecore_product_lostf(float, float, float) noexcept
    double cecore_product(double, double, double) noexcept
    double cecore_quotient(double, double, double, double *) noexcept
    uint64_t cecore_enter() noexcept
    void cecore_leave(uint64_t) noexcept
    void cecore_settle(double *) noexcept
    uint32_t cecore_enter_long() noexcept
    void cecore_leave_long(uint32_t) noexcept
    void cecore_pause() noexcept

cdef extern from "system.h" nogil:
    double cecore_seconds() noexcept
    size_t cecore_stack_left() noexcept

cdef extern from "Python.h":
    void *PyEval_SaveThread() noexcept nogil
    void PyEval_RestoreThread(void *) noexcept nogil
    int PyErr_CheckSignals() noexcept nogil
    void PyErr_SetString(void *, const char *) noexcept nogil
    void *PyExc_RuntimeError

cdef extern from "memory.h" nogil:
    void cecore_ask(const char *, Py_ssize_t, bint) noexcept
    void cecore_turn(const double *, Py_ssize_t, double *, Py_ssize_t) noexcept
    void cecore_turnf(const float *, Py_ssize_t, float *, Py_ssize_t) noexcept

cdef enum:
    LANES = 8  # of the product method: 16 spill registers on AVX2
    FACTORS = 16  # per lane and logarithm
    PAIRS = 16  # products per block
    PENDING_BLOCKS = 4
    BLOCK = LANES * FACTORS * 2
    SUM_LANES = 16  # of a block's sum
    WIDTH = 64  # lanes of a row's sum; rows that are computed side by side
    FEW = 48  # classes: rows of more are computed one at a time
    FEW_BOTH = 32  # the same where two arrays are read, or all is computed in double
    SOFT_FEW = 24  # the same for any targets, whose panels take more of the stack
    PICKED = 8  # classes: up to so many, selecting by class is faster than by index
    CACHED = 1 << 14  # exponentials that wait for the sums of their rows
    NEAR = 16 * WIDTH  # numbers of a panel: as many are asked for into the first cache, more into the second
    LONG_BLOCK = 1 << 14  # logits in a block of rows, unless one row has more: threads share short batches too
    LONG_PROBS_BLOCK = 1 << 18  # probabilities, and how many rows at least: with labels a row is one number
    PANELS = 1 << 19  # bytes, at most, of all plain panels through which a block of rows passes
    PANEL_MARGIN = 64  # bytes
    LEAST_ROWS = 32
    GIL_KEPT_BELOW = 4096  # elements: handing the GIL over costs more than they do
    UNCACHED = 1 << 18  # elements: arrays of fewer may lie in the second cache
    SPAN = 4  # blocks of derivatives that are computed at once
    TOLERATED = 4  # machine epsilons outside [0, 1] that count as the user's own rounding
    MOST_SEARCHED = 1 << 16  # rows that do not count, or numbers of rows with NaN, before a row is checked
    MOST_SUMMED = 1024  # classes: with labels, adding up a longer row would cost more than the loss

cdef enum:  # exact sums are integers, in units of 2 ** -1074. These are shifts, which give the sums 1 and 2 ** 1024.
    EXPONENT_OF_1 = 1074
    EXPONENT_OF_OVERFLOW = 2098

cdef enum:
    MEAN = 0
    SUM = 1
    NONE = 2

cdef enum:
    VALUE = 1
    GRADIENT = 2
    HESSIAN = 4
    BFLOAT16_BITS = 8  # the predictions, and so the results, are those of bfloat16
    TARGETS_BITS = 16  # so are the targets, the weights, upstream
    WEIGHTS_BITS = 32
    UPSTREAM_BITS = 64
    PREPARED = 128  # arrays of any layout, which overlap as they may
    IN_PLACE = 256  # an output of a prepared call is x itself
    STATE = 512  # the exact sums instead of a value
    WARNED = 1024  # suspicious inputs are accepted: the user has been warned

cdef enum:
    SIGNED = 1  # an index to ignore, as a signed number of 64 bits
    UNSIGNED = 2  # above those: the same bits as an unsigned number

cdef enum:
    BAD = 0  # something outside its domain
    HARD = 1  # every target 0 or 1
    SOFT = 2
    NOT_A_NUMBER = 3  # hard, and some prediction is NaN

cdef enum:  # what a pass has noticed of the weights, in float
    VANISHING = 1  # a positive one is rounded to 0: its element counts for nothing, but it must be legal
    OVERFLOWING = 2  # the product of two is infinite

cdef enum:  # why a result cannot be computed
    TOO_LARGE = 1  # the sum of the weights overflows
    TOO_SMALL = 2  # upstream divided by the sum of the weights does
    NO_MEMORY = 3

cdef enum:  # what a pass computes
    DIVISOR = 0
    LOSS = 1
    FUNCTION = 2

cdef enum:
    NOT_ACTIVATION = 0
    SIGMOID = 1
    SOFTMAX = 2
    LOG_SOFTMAX = 3
    SOFTMAX_BACKWARD = 4
    LOG_SIGMOID = 5
    SIGMOID_BACKWARD = 6

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
    int reduction
    bint rows  # of classes; else elements
    bint logits
    bint zero_outside
    bint by_count
    bint awkward  # a weight that float does not hold
    Py_ssize_t length  # that the last axis or the classes must have, or 0
    Py_ssize_t weights  # how many follow; 0: all are 1


cdef inline Py_ssize_t blocks(Py_ssize_t n) noexcept nogil:
    return (n + BLOCK - 1) // BLOCK


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    # as many as are computed of n elements of a block: whole vectors, so that a loop over them has no end of its own
    return (n + SUM_LANES - 1) & -SUM_LANES


cdef inline Py_ssize_t width(real unused) noexcept nogil:
    # the lanes of a register of 64 bytes, SUM_LANES or half as many
    return 64 // sizeof(real)


cdef inline Py_ssize_t padded_rows(Py_ssize_t n, real unused) noexcept nogil:
    # as many as are computed of n rows side by side
    return (n + width(unused) - 1) & -width(unused)


include "accumulator.pxi"
include "arrays.pxi"
include "sums.pxi"
include "probabilities.pxi"
include "logits.pxi"
include "softmax.pxi"

cdef struct Watch:  # of a call
    void *thread_state  # of the calling thread, which has given the GIL away, or NULL: it holds the GIL
    uint64_t control  # its floating-point mode
    double due  # when to look for signals again; 0: not known yet
    bint stopped  # a signal handler has raised an exception
    bint helped  # other threads compute too, since the process had this generation
    int generation

cdef struct Job:
    Options options
    const double *class_weights  # pos_weight for elements; NULL: all 1
    Py_ssize_t n  # elements or rows
    Py_ssize_t block  # how many of them make a block: BLOCK at most
    Py_ssize_t classes  # of a row
    Py_ssize_t cost  # of an element or a row: the numbers that are read or written
    int threads
    Array x
    Array targets
    bint labels  # targets are class labels
    int activation
    Array weights  # data NULL: all 1
    int noticed  # VANISHING, OVERFLOWING
    bint lifted  # a pass that checks: weights that were rounded to 0 are 1, so that their elements are looked at
    Array upstream  # data NULL: none
    bint in_place  # an output is x itself
    bint overwritten  # and x is no longer what was given
    Py_ssize_t suspicious  # the row of which the user should be warned before anything is computed, or -1
    Array value  # outputs; data NULL: not wanted
    Array gradient
    Array hessian
    double scale  # of the gradient: upstream / divisor = scale + scale_low
    double scale_low
    Clip clip  # of probabilities, in the computing type
    Clip wide_clip  # in double
    bint wanted_sum
    Accumulator sum
    Pending pending
    Py_ssize_t bad  # start of the first block with an input outside its domain, or -1
    int unusable  # why a result cannot be computed, or 0
    Py_ssize_t room_size  # bytes of scratch for each thread
    char *room  # of this thread
    double total  # the reduced loss, if it is wanted
    Accumulator *state  # the exact sums of losses, weights and ones, or NULL if they are not wanted
    Watch *watch
    bint calling  # this is the thread that called: it answers signals


# ---------------------------------------------------------------- elements

cdef bint all_ones(const real *w, Py_ssize_t n) noexcept nogil:
    cdef int others = 0
    cdef Py_ssize_t i
    for i in range(n):
        others += w[i] != 1
    return others == 0


cdef int element_block(
    Job *job, Py_ssize_t n, const real *p, const real *t, const real *mask, const real *w, const real *factors,
    real *value, real *gradient, real *hessian
) noexcept nogil:
    # One block of binary targets; n elements count, those up to padded(n) have weight 0 and p = t = 1.
    # Fills the buffers and adds the sum, as the job wants them, or returns BAD. The mask is the weights to check, or
    # NULL if all are 1.
    cdef real terms[BLOCK]
    cdef double wide_p[BLOCK]
    cdef double wide_t[BLOCK]
    cdef double wide_w[BLOCK]
    cdef double wide_terms[BLOCK]
    cdef const real *none = NULL
    cdef const real *partial = w if n != padded(n) else mask  # NULL: every weight is 1
    cdef const double *wide_partial = NULL
    cdef bint hard = looks_hard(t)
    cdef bint summed = False
    cdef bint derived = False
    cdef bint valued = False
    cdef int state = SOFT
    if job.wanted_sum and hard and (mask == NULL or all_ones(w, n)):
        if real is double:
            state = hard_sum(p, t, n, &job.wide_clip, &job.pending)
        else:  # loops over both types have vectors of half the width
            convert(p, wide_p, padded(n))
            convert(t, wide_t, padded(n))
            state = hard_sum(&wide_p[0], &wide_t[0], n, &job.wide_clip, &job.pending)
        summed = state != SOFT
        if state == NOT_A_NUMBER:
            accumulator_add(&job.sum, NAN)
        if job.pending.blocks == PENDING_BLOCKS:
            take_logarithms(&job.pending, &job.sum)
    elif job.wanted_sum and hard and is_normal(&job.wide_clip, <double>0):
        summed = weighted_hard_sum(n, p, t, w, &job.wide_clip, &job.sum)
    if not summed and job.gradient.data != NULL:
        derived = quick_derivatives(
            n, p, t, mask, factors, job.upstream.data == NULL, &job.clip, gradient,
            hessian if job.hessian.data != NULL else <real *>NULL,
        )
    if hard and mask == NULL and not summed and not derived and job.value.data != NULL:
        valued = quick_hard_value(n, p, t, &job.clip, value)
    if summed or derived or valued:
        state = HARD if hard else SOFT
    else:
        state = inspect(n, p, t, mask)
    if state == BAD:
        return BAD
    if job.wanted_sum and not summed:
        if state == HARD and real is float:  # in double, whatever the computing type
            convert(p, wide_p, padded(n))
            convert(t, wide_t, padded(n))
            if partial != NULL:
                convert(w, wide_w, padded(n))
                wide_partial = &wide_w[0]
            hard_value(n, &wide_p[0], &wide_t[0], wide_partial, &wide_w[0], &job.wide_clip, &wide_terms[0])
            accumulator_add(&job.sum, lane_sum(n, &wide_terms[0]))
        elif real is float and mask != NULL:  # a weighted loss may lie beyond the range of float
            soft_value(n, p, t, none, none, w, &job.clip, &terms[0])
            accumulator_add(&job.sum, weighted_sum(n, &terms[0], w))
        else:
            if state == HARD:
                hard_value(n, p, t, partial, w, &job.clip, &terms[0])
            else:
                soft_value(n, p, t, none, partial, w, &job.clip, &terms[0])
            accumulator_add(&job.sum, lane_sum(n, &terms[0]))
    if job.value.data != NULL and not valued:
        if state == HARD:
            hard_value(n, p, t, partial, w, &job.clip, value)
        else:
            soft_value(n, p, t, none, partial, w, &job.clip, value)
    if job.gradient.data != NULL and not derived:
        if state == HARD:
            hard_gradient(n, p, t, mask, factors, &job.clip, gradient)
        else:
            soft_gradient(n, p, t, w, factors, &job.clip, gradient)
    if job.hessian.data != NULL and not derived:
        if state == HARD:
            hard_hessian(n, p, t, w, &job.clip, hessian)
        else:
            hessian_block(n, p, t, none, w, &job.clip, hessian)
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
    cdef bint alike
    cdef int state = inspect(n, none, t, w if weighted else none)
    if state == BAD:
        return BAD
    if job.wanted_sum:
        summed = (state == HARD or all_in_range(n, z)) and n == BLOCK and (not weighted or all_ones(w, n))
        if summed:
            accumulator_add(
                &job.sum,
                logit_sum(z, t, state == HARD, factors, gradient if job.gradient.data != NULL else <real *>NULL)
            )
        else:
            if weighted:  # a weighted loss may lie beyond the range of float
                logit_value(n, z, t, none, none, &terms[0])
                accumulator_add(&job.sum, weighted_sum(n, &terms[0], w))
            else:
                logit_value(n, z, t, none, w, &terms[0])
                accumulator_add(&job.sum, lane_sum(n, &terms[0]))
    if job.value.data != NULL:
        logit_value(n, z, t, none, w, value)
    if job.gradient.data != NULL and job.hessian.data != NULL:
        alike = not weighted and n == padded(n) and job.upstream.data == NULL
        logit_derivatives(n, z, t, none if alike else w, factors, state == HARD, gradient, hessian)
    elif job.gradient.data != NULL and not summed:
        logit_gradient(n, z, t, w, factors, gradient)
    elif job.hessian.data != NULL:
        logit_hessian(n, z, t, none, w, hessian)
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
    if inspect(n, <const double *>NULL, t, given_w) == BAD:
        return BAD
    for i in range(padded(n)):
        weights[i] = scalar
    if job.options.weights > 1:
        k = start % job.options.weights
        for i in range(n):
            weights[i] = job.class_weights[k]
            k = k + 1 if k + 1 < job.options.weights else 0
    for i in range(padded(n)):
        first = tau_of(t[i], weights[i], smoothing, uniform)
        second = tau_of(1 - t[i], 1, smoothing, uniform)
        weight = given_w[i]
        factor = given_factors[i]
        one[i] = first
        zero[i] = second
        w[i] = 0 if first + second == 0 else weight
        factors[i] = 0 if first + second == 0 else factor
    if not job.options.logits:
        if inspect(n, <const double *>NULL, x, &w[0]) == BAD:
            return BAD
        if job.value.data != NULL or job.wanted_sum:
            soft_value(n, x, &one[0], &zero[0], &w[0], &w[0], &job.wide_clip, value)
        if job.gradient.data != NULL:
            weighted_gradient(n, x, &one[0], &zero[0], &w[0], &factors[0], &job.wide_clip, gradient)
        if job.hessian.data != NULL:
            hessian_block(n, x, &one[0], &zero[0], &w[0], &job.wide_clip, hessian)
    elif job.options.gamma != 0:
        logit_focal(n, x, &one[0], &zero[0], job.options.gamma, value, gradient, hessian)
        for i in range(padded(n)):
            value[i] = 0 if w[i] == 0 else w[i] * value[i]
            gradient[i] = 0 if w[i] == 0 else factors[i] * gradient[i]
            hessian[i] = 0 if w[i] == 0 else w[i] * hessian[i]
    else:
        if job.value.data != NULL or job.wanted_sum:
            logit_value(n, x, &one[0], &zero[0], &w[0], value)
        if job.gradient.data != NULL:
            logit_weighted_gradient(n, x, &one[0], &zero[0], &w[0], &factors[0], gradient)
        if job.hessian.data != NULL:
            logit_hessian(n, x, &one[0], &zero[0], &w[0], hessian)
    if job.wanted_sum:
        accumulator_add(&job.sum, lane_sum(n, value))
    return SOFT


cdef void find_vanishing(Job *job, Py_ssize_t start, Py_ssize_t n, real *w) noexcept nogil:
    # Note positive weights of a block that float rounds to 0.
    cdef double given[BLOCK]
    cdef Array array
    cdef int zeros = 0
    cdef Py_ssize_t i
    for i in range(n):
        zeros += w[i] == 0
    if zeros == 0:
        return
    array = job.weights
    array.narrow = False
    load(&array, start, 1, n, given)
    for i in range(n):
        if w[i] == 0 and given[i] > 0:
            job.noticed |= VANISHING
            w[i] = 1 if job.lifted else 0


cdef const real *weight_block(
    Job *job, Py_ssize_t start, Py_ssize_t n, bint fresh, real *scratch, real *factors
) noexcept nogil:
    # A block of weights, 0 in the padding, and of the gradient's factors: weight * scale (* upstream), exactly 0
    # where the weight is. Without weights both stay in the scratch from block to block, unless filled afresh. Factors
    # that are NULL are not wanted.
    cdef const real *w = scratch
    cdef real scale = <real>job.scale
    cdef double wide_scale = job.scale
    cdef double scale_low = job.scale_low
    cdef real zero = 0
    cdef real factor
    cdef Py_ssize_t i
    if job.weights.data != NULL:
        w = block_of(&job.weights, start, n, scratch, zero)
        if job.weights.narrow and (job.weights.type == cnp.NPY_DOUBLE or job.weights.type == cnp.NPY_LONGDOUBLE):
            find_vanishing(job, start, n, scratch)
    elif fresh or n != BLOCK:
        for i in range(padded(n)):
            scratch[i] = 1 if i < n else 0
    if factors == NULL:
        return w
    if job.upstream.data != NULL:
        load(&job.upstream, start, 1, n, factors)
        for i in range(n, padded(n)):
            factors[i] = 0
        for i in range(padded(n)):
            factor = w[i] * scale * factors[i]
            factors[i] = 0 if w[i] == 0 else factor
    elif job.weights.data != NULL:
        for i in range(padded(n)):
            factor = <real>cecore_product(w[i], wide_scale, scale_low)
            factors[i] = 0 if w[i] == 0 else factor
    elif fresh or n != BLOCK:
        factor = <real>cecore_product(1, wide_scale, scale_low)  # as of a weight of 1
        for i in range(padded(n)):
            factors[i] = w[i] * factor
    return w


cdef void ask_for_block(const Job *job, Py_ssize_t block, Py_ssize_t last) noexcept nogil:
    # What it reads: there are processors that do not foresee it, float above all. Asking for the place of its results
    # costs double more than it gives, and so does asking in run_derivatives.
    if job.n >= UNCACHED and block < last:
        ask_for(&job.x, block * BLOCK, <Py_ssize_t>BLOCK, True)
        ask_for(&job.targets, block * BLOCK, <Py_ssize_t>BLOCK, True)
        ask_for(&job.weights, block * BLOCK, <Py_ssize_t>BLOCK, True)


cdef inline real *destination(
    const Array *out, const Job *job, Py_ssize_t start, Py_ssize_t n, real *scratch
) noexcept nogil:
    # Where a block of results is computed: in its place, unless it is partial, of another type, or still to be read.
    if out.data == NULL or n != padded(n) or job.in_place or not of_computing_type(out, <real>0):
        return scratch
    return <real *>out.data + start


cdef void run_weighted_elements(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
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
    for block in range(first, last):
        start = block * BLOCK
        n = min(job.n - start, <Py_ssize_t>BLOCK)
        ask_for_block(job, block + 1, last)
        x = block_of(&job.x, start, n, x_scratch, <double>1)
        t = block_of(&job.targets, start, n, t_scratch, <double>1)
        convert(weight_block(job, start, n, block == first, w_scratch, factors), wide_w, padded(n))
        convert(&factors[0], wide_factors, padded(n))
        if weighted_block(job, start, n, x, t, wide_w, wide_factors, value, gradient, hessian) == BAD:
            job.bad = start
            return
        store(&job.value, start, n, &value[0])
        store(&job.gradient, start, n, &gradient[0])
        store(&job.hessian, start, n, &hessian[0])


cdef bint is_plain(const Job *job, real unused) noexcept nogil:
    # Probabilities that are read where they lie, with plain targets and without weights; no losses for each
    if not of_computing_type(&job.x, unused) or job.targets.layout != NULL:
        return False
    return not job.options.logits and job.weights.data == NULL and job.value.data == NULL


cdef const real *plain(const Array *array, Py_ssize_t start, Py_ssize_t n, real *scratch) noexcept nogil:
    # Any number of blocks, for less than block_of takes. Targets that are to be rounded to float first are not, in
    # double: those that this makes hard are left to the loop over any block.
    if of_computing_type(array, <real>0):
        return <const real *>array.data + start
    convert_from(array.type, array.data + start * array.size, n, scratch)
    return scratch


cdef Py_ssize_t run_hard_sums(Job *job, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    # The sum alone, as long as all targets are hard; the first block that is left
    cdef double p_scratch[BLOCK]
    cdef double y_scratch[BLOCK]
    cdef const double *p
    cdef const double *y
    cdef Py_ssize_t whole = min(last, job.n // BLOCK)
    cdef Py_ssize_t block, start
    for block in range(first, whole):
        start = block * BLOCK
        ask_for_block(job, block + 1, last)
        p = plain(&job.x, start, <Py_ssize_t>BLOCK, p_scratch)
        y = plain(&job.targets, start, <Py_ssize_t>BLOCK, y_scratch)
        if hard_sum(p, y, <Py_ssize_t>BLOCK, &job.wide_clip, &job.pending) != HARD:
            return block
        if job.pending.blocks == PENDING_BLOCKS:
            take_logarithms(&job.pending, &job.sum)
    return whole


cdef Py_ssize_t run_derivatives(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    # The derivatives alone, several blocks at a time, as long as these are alike; the first block that is left
    cdef real factors[SPAN * BLOCK]
    cdef real scratch[SPAN * BLOCK]
    cdef const real *none = NULL
    cdef const real *p
    cdef const real *t
    cdef real *gradient
    cdef real *hessian = NULL
    cdef Py_ssize_t whole = min(last, job.n // BLOCK)
    cdef Py_ssize_t i, start, count
    if not of_computing_type(&job.gradient, unused) or job.in_place or job.upstream.data != NULL:
        return first
    if job.hessian.data != NULL and not of_computing_type(&job.hessian, unused):
        return first
    for i in range(min(whole - first, <Py_ssize_t>SPAN) * BLOCK):
        factors[i] = <real>cecore_product(1, job.scale, job.scale_low)
    while first < whole:
        start = first * BLOCK
        count = min(whole - first, <Py_ssize_t>SPAN)
        p = <const real *>job.x.data + start
        t = plain(&job.targets, start, count * BLOCK, scratch)
        gradient = <real *>job.gradient.data + start
        if job.hessian.data != NULL:
            hessian = <real *>job.hessian.data + start
        if not quick_derivatives(count * BLOCK, p, t, none, &factors[0], True, &job.clip, gradient, hessian):
            break
        first += count
    return first


cdef void run_elements(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
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
    cdef real *wanted_factors = &factors[0] if job.gradient.data != NULL else NULL
    cdef Py_ssize_t block, start, n
    cdef int state
    if is_plain(job, unused) and job.wanted_sum != (job.gradient.data != NULL):
        # What a block costs beside its loop is up to a quarter of these.
        if job.wanted_sum:
            first = run_hard_sums(job, first, last)
        else:
            first = run_derivatives(job, first, last, unused)
    for block in range(first, last):
        start = block * BLOCK
        n = min(job.n - start, <Py_ssize_t>BLOCK)
        ask_for_block(job, block + 1, last)
        p = block_of(&job.x, start, n, p_scratch, <real>1)
        t = block_of(&job.targets, start, n, t_scratch, <real>1)
        w = weight_block(job, start, n, block == first, w_scratch, wanted_factors)
        value_place = destination(&job.value, job, start, n, &value[0])
        gradient_place = destination(&job.gradient, job, start, n, &gradient[0])
        hessian_place = destination(&job.hessian, job, start, n, &hessian[0])
        if job.options.logits:
            state = logit_block(job, n, p, t, w, &factors[0], value_place, gradient_place, hessian_place)
        else:
            state = element_block(
                job, n, p, t, w if job.weights.data != NULL else <const real *>NULL, w, &factors[0],
                value_place, gradient_place, hessian_place,
            )
        if state == BAD:
            job.bad = start
            return
        if value_place == &value[0]:
            store(&job.value, start, n, value_place)
        if gradient_place == &gradient[0]:
            store(&job.gradient, start, n, gradient_place)
        if hessian_place == &hessian[0]:
            store(&job.hessian, start, n, hessian_place)


cdef void sigmoid_block(Py_ssize_t n, const real *x, real *restrict out) noexcept nogil:
    cdef real e[BLOCK]
    cdef real low[BLOCK]
    cdef Py_ssize_t i
    block_exponentials(n, x, &e[0], &low[0])
    for i in range(padded(n)):
        out[i] = share(x[i] > 0, e[i], low[i])


cdef void log_sigmoid_block(Py_ssize_t n, const real *x, real *restrict out) noexcept nogil:
    # The logarithm of the sigmoid is minus the loss of the target 1.
    cdef real ones[BLOCK]
    cdef const real *none = NULL
    cdef Py_ssize_t i
    for i in range(padded(n)):
        ones[i] = 1
    logit_value(n, x, &ones[0], none, none, out)
    for i in range(padded(n)):
        out[i] = 0 - out[i]  # not -0


cdef void sigmoid_backward_block(Py_ssize_t n, const real *s, const real *u, real *restrict out) noexcept nogil:
    # In double, whatever the type, so that a float result is rounded once.
    cdef double p, value
    cdef Py_ssize_t i
    for i in range(padded(n)):
        p = s[i]
        value = p * (1 - p) * u[i]
        out[i] = <real>(0 if (p == 0) | (p == 1) else value)


cdef void run_elementwise(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    # sigmoid, log_sigmoid and sigmoid_backward, whose upstream is in the place of the targets
    cdef real scratch[BLOCK]
    cdef real upstream[BLOCK]
    cdef real out[BLOCK]
    cdef const real *x
    cdef real *place
    cdef Py_ssize_t block, start, n
    for block in range(first, last):
        start = block * BLOCK
        n = min(job.n - start, <Py_ssize_t>BLOCK)
        ask_for_block(job, block + 1, last)
        place = destination(&job.gradient, job, start, n, &out[0])
        x = block_of(&job.x, start, n, scratch, <real>0)
        if job.activation == SIGMOID:
            sigmoid_block(n, x, place)
        elif job.activation == LOG_SIGMOID:
            log_sigmoid_block(n, x, place)
        else:
            sigmoid_backward_block(n, x, block_of(&job.targets, start, n, upstream, <real>0), place)
        if place == &out[0]:
            store(&job.gradient, start, n, place)


include "rows.pxi"

include "passes.pxi"
include "pool.pxi"
include "suspicious.pxi"
include "calls.pxi"
include "entry.pxi"


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
    elif real is double:
        for i in range(SUM_LANES):
            out[i] = cecore_power(x[i], y[i])
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


def exact_sum(cnp.ndarray terms, int64_t repeats=1):
    """The sum of float64 numbers >= 0, each added `repeats` times, rounded once.

    All but the last of these additions are one multiplication of the limbs, so that the carries are soon reached.
    """
    cdef Accumulator sum
    cdef Accumulator one
    cdef Py_ssize_t i, j
    cdef double result
    cdef uint64_t saved = cecore_enter()
    accumulator_clear(&sum)
    for i in range(terms.size):
        accumulator_clear(&one)
        accumulator_add(&one, (<double *>terms.data)[i])
        for j in range(LIMBS):
            sum.limb[j] += one.limb[j] * (repeats - 1)
        sum.pending += repeats - 1
        accumulator_add(&sum, (<double *>terms.data)[i])
    result = accumulator_round(&sum)
    cecore_settle(&result)
    cecore_leave(saved)
    return result
