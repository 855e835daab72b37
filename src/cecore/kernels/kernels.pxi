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
from libc.math cimport INFINITY, NAN, fabs, fabsf, ldexp, sqrt, sqrtf
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
    double cecore_pair_log(double, double) noexcept
    float cecore_pair_logf(float, float) noexcept
    double cecore_any_pair_log(double, double) noexcept
    float cecore_any_pair_logf(float, float) noexcept
    double cecore_log_ratio(double, double) noexcept
    float cecore_log_ratiof(float, float) noexcept
    double cecore_exp_fraction(double, double *) noexcept
    float cecore_exp_fractionf(float, float *) noexcept
    double cecore_exp_short_fraction(double, double *) noexcept
    float cecore_exp_short_fractionf(float, float *) noexcept
    double cecore_any_exp_fraction(double, bint, double *, double *) noexcept
    float cecore_any_exp_fractionf(float, bint, float *, float *) noexcept
    double cecore_exp_of_product(double, double, double) noexcept
    float cecore_exp_of_productf(double, float, float) noexcept
    double cecore_sigmoids(double, double, double, double *) noexcept
    float cecore_sigmoidsf(float, float, float, float *) noexcept
    double cecore_log1p_fraction(double, double) noexcept
    float cecore_log1p_fractionf(float, float) noexcept
    double cecore_24_bits(double) noexcept
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
    LANES = 8
    BLOCK = 256  # rows, or numbers of a row
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

cdef enum:  # why a mean cannot be computed
    TOO_LARGE = 1  # the sum of the weights overflows
    TOO_SMALL = 2  # upstream divided by the sum of the weights does

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


cdef bint all_ones(const real *w, Py_ssize_t n) noexcept nogil:
    cdef int others = 0
    cdef Py_ssize_t i
    for i in range(n):
        others += w[i] != 1
    return others == 0


include "scalars.pxi"
include "elements.pxi"
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
    Py_ssize_t bad  # start of the first block with an input outside its domain, or -1
    int unusable  # why the mean cannot be computed, or 0
    double total  # the reduced loss, if it is wanted
    Accumulator *state  # the exact sums of losses, weights and ones, or NULL if they are not wanted
    Watch *watch
    bint calling  # this is the thread that called: it answers signals


# ---------------------------------------------------------------- elements

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
    # Prefetch what a block reads: there are processors that do not foresee it, float above all.
    if job.n >= UNCACHED and block < last:
        ask_for(&job.x, block * ELEMENTS, <Py_ssize_t>ELEMENTS, True)
        ask_for(&job.targets, block * ELEMENTS, <Py_ssize_t>ELEMENTS, True)
        ask_for(&job.weights, block * ELEMENTS, <Py_ssize_t>ELEMENTS, True)


cdef inline real *destination(
    const Array *out, const Job *job, Py_ssize_t start, Py_ssize_t n, real *scratch
) noexcept nogil:
    # Where a block of results is computed: in its place, unless it is partial, of another type, or still to be read.
    if out.data == NULL or n != padded(n) or job.in_place or not of_computing_type(out, <real>0):
        return scratch
    return <real *>out.data + start


cdef const real *elements_of(
    const Array *array, Py_ssize_t start, Py_ssize_t n, real *scratch, real padding
) noexcept nogil:
    # block_of for ELEMENTS numbers
    cdef Py_ssize_t part, i
    if n == padded(n) and of_computing_type(array, padding):
        return <const real *>array.data + start
    for part in range(blocks(n)):
        i = part * BLOCK
        load(array, start + i, 1, min(n - i, <Py_ssize_t>BLOCK), scratch + i)
    for i in range(n, padded(n)):
        scratch[i] = padding
    return scratch


cdef void load_weights(Job *job, Py_ssize_t start, Block *block, real *scratch) noexcept nogil:
    # The weights of a block, 0 in the padding. Without weights they stay in the scratch from block to block.
    cdef bint narrowed = job.weights.type == cnp.NPY_DOUBLE or job.weights.type == cnp.NPY_LONGDOUBLE
    cdef real zero = 0
    cdef Py_ssize_t part, i
    if job.weights.data == NULL:
        for i in range(block.n, padded(block.n)):
            scratch[i] = 0
        block.weights = scratch
        return
    block.weights = elements_of(&job.weights, start, block.n, scratch, zero)
    if job.weights.narrow and narrowed:
        for part in range(blocks(block.n)):
            i = part * BLOCK
            find_vanishing(job, start + i, min(block.n - i, <Py_ssize_t>BLOCK), scratch + i)


cdef void load_factors(
    const Job *job, Py_ssize_t start, Block *block, real *restrict factors, double *restrict wide
) noexcept nogil:
    # The factors of the gradient: weight * upstream * scale
    cdef real upstream[ELEMENTS]
    cdef const real *w = <const real *>block.weights
    cdef const real *u = &upstream[0]
    cdef double scale = job.scale
    cdef double scale_low = job.scale_low
    cdef double weight, factor, other
    cdef uint64_t differ = 0
    cdef real one = 1
    cdef Py_ssize_t i
    if job.upstream.data != NULL:
        u = elements_of(&job.upstream, start, block.n, &upstream[0], one)
    else:
        for i in range(ELEMENTS):
            upstream[i] = 1
    for i in range(padded(block.n)):
        weight = w[i]
        other = u[i]
        if real is double:
            factor = cecore_product(weight, scale, scale_low) * other
        else:
            factor = cecore_24_bits(weight * scale * other)
        factor = 0 if weight == 0 else factor
        wide[i] = factor
        factors[i] = <real>factor
        if real is float:
            other = <float>factor
            differ |= cecore_bits(other - factor)
    block.is_wide = differ != 0
    block.factors = factors
    block.wide_factors = wide


cdef void load_pos_weights(const Job *job, Py_ssize_t start, Block *block, real *scratch) noexcept nogil:
    cdef Py_ssize_t length = job.options.weights
    cdef Py_ssize_t i, k
    k = start % length
    for i in range(block.n):
        scratch[i] = <real>job.class_weights[k]
        k = k + 1 if k + 1 < length else 0
    for i in range(block.n, padded(block.n)):
        scratch[i] = 1


cdef void set_loss(const Job *job, Binary *loss, real unused) noexcept nogil:
    cdef const Options *options = &job.options
    cdef double factor = cecore_product(1, job.scale, job.scale_low)
    cdef double pos_weight = 1
    cdef int flags = LOGITS if options.logits else 0
    cdef Py_ssize_t i
    if real is float:
        factor = cecore_24_bits(job.scale)
    if options.zero_outside and not options.logits and options.eps > 0:
        flags |= ZERO_OUTSIDE
    for i in range(options.weights if not options.rows else 0):
        pos_weight = job.class_weights[i] if options.weights == 1 else 1
        if job.class_weights[i] == 0:
            flags |= ONLY_GENERAL
        if job.class_weights[i] != 1:
            flags |= POS_WEIGHT if options.weights == 1 else POS_WEIGHTS | STEEP
    if options.rows:
        flags |= KNOWN_WEIGHTS
    set_binary(
        loss, options.eps, pos_weight, 0 if options.rows else options.smoothing, options.gamma, factor, flags, unused
    )


cdef void run_elements(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    cdef real scratch[8][ELEMENTS]
    cdef double wide[ELEMENTS]
    cdef Binary loss
    cdef Block block
    cdef int wanted = VALUE_SUM if job.wanted_sum else 0
    cdef Py_ssize_t i, start
    cdef Py_ssize_t former = 0
    cdef Py_ssize_t number
    set_loss(job, &loss, unused)
    if job.value.data != NULL:
        wanted |= VALUE_EACH
    if job.gradient.data != NULL:
        wanted |= GRADIENT
    if job.hessian.data != NULL:
        wanted |= HESSIAN
    for i in range(ELEMENTS):
        scratch[2][i] = 1
        scratch[3][i] = <real>loss.pos_weight
    block.weighted = job.weights.data != NULL or job.upstream.data != NULL
    block.is_wide = False
    block.factors = &scratch[4][0]
    block.wide_factors = &wide[0]
    block.pos_weights = &scratch[3][0]
    for number in range(first, last):
        start = number * ELEMENTS
        block.n = min(job.n - start, <Py_ssize_t>ELEMENTS)
        ask_for_block(job, number + 1, last)
        block.x = elements_of(&job.x, start, block.n, &scratch[0][0], <real>1)
        block.targets = elements_of(&job.targets, start, block.n, &scratch[1][0], <real>1)
        if block.weighted or block.n != former:
            load_weights(job, start, &block, &scratch[2][0])
            if wanted & GRADIENT:
                load_factors(job, start, &block, &scratch[4][0], &wide[0])
        if job.options.weights > 1:
            load_pos_weights(job, start, &block, &scratch[3][0])
        former = block.n
        block.value = destination(&job.value, job, start, block.n, &scratch[5][0])
        block.gradient = destination(&job.gradient, job, start, block.n, &scratch[6][0])
        block.hessian = destination(&job.hessian, job, start, block.n, &scratch[7][0])
        if binary_block(&block, &loss, wanted, unused) == BAD:
            job.bad = start
            return
        if wanted & VALUE_SUM:
            accumulator_add(&job.sum, block.sum)
        if block.value == &scratch[5][0]:
            store(&job.value, start, block.n, &scratch[5][0])
        if block.gradient == &scratch[6][0]:
            store(&job.gradient, start, block.n, &scratch[6][0])
        if block.hessian == &scratch[7][0]:
            store(&job.hessian, start, block.n, &scratch[7][0])


cdef void run_elementwise(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    # sigmoid, log_sigmoid and sigmoid_backward, whose upstream is in the place of the targets
    cdef real scratch[ELEMENTS]
    cdef real upstream[ELEMENTS]
    cdef real out[ELEMENTS]
    cdef const real *x
    cdef real *place
    cdef Py_ssize_t block, start, n
    for block in range(first, last):
        start = block * ELEMENTS
        n = min(job.n - start, <Py_ssize_t>ELEMENTS)
        ask_for_block(job, block + 1, last)
        place = destination(&job.gradient, job, start, n, &out[0])
        x = elements_of(&job.x, start, n, scratch, <real>0)
        if job.activation == SIGMOID:
            sigmoids_of(n, x, place)
        elif job.activation == LOG_SIGMOID:
            log_sigmoids_of(n, x, place)
        else:
            sigmoid_backward_block(n, x, elements_of(&job.targets, start, n, upstream, <real>0), place)
        if place == &out[0]:
            store(&job.gradient, start, n, place)


include "rows.pxi"


# ---------------------------------------------------------------- passes

cdef void run_divisor(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    # What the mean divides by, added up; what is outside its domain is found by the blocks
    cdef int64_t labels[BLOCK]
    cdef real scratch[BLOCK]
    cdef double own[BLOCK]
    cdef const real *w
    cdef bint by_count = job.options.by_count
    cdef bint weighted = job.options.rows and job.class_weights != NULL and not by_count
    cdef Py_ssize_t stop = min(last * job.block, job.n)
    cdef Py_ssize_t step = min(job.block, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t part, start, n, i
    for part in range((stop - first * job.block + step - 1) // step):
        start = first * job.block + part * step
        n = min(stop - start, step)
        w = weight_block(job, start, n, True, scratch, <real *>NULL)
        if not weighted and not job.options.ignores:
            add_all(n, &job.sum, w)
            continue
        for i in range(padded(n)):
            own[i] = w[i]
        find_labels(job, start, n, w, labels)
        for i in range(n):
            own[i] = 1 if by_count else own[i]
            if labels[i] == IGNORED:
                own[i] = 0
            elif weighted and own[i] != 0:
                own[i] *= target_weight(job, start + i, labels[i])
        add_all(n, &job.sum, &own[0])


cdef void run_loss(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    if job.options.rows:
        run_rows(job, first, last, unused)
    else:
        run_elements(job, first, last, unused)


cdef void run_function(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    cdef Py_ssize_t start = first * job.block
    cdef Py_ssize_t stop = min(last * job.block, job.n)
    if not job.options.rows:
        run_elementwise(job, first, last, unused)
    elif job.activation == SOFTMAX_BACKWARD:
        run_softmax_backward(job, start, stop)
    else:
        run_activation(job, start, stop, unused)


cdef bint lies_apart(const Array *array) noexcept nogil:
    # whether the classes of a row do, farther than rows
    cdef Py_ssize_t classes, rows
    if array.data == NULL or array.layout == NULL:
        return False
    classes = array.layout.strides[array.layout.ndim - 1]
    rows = array.layout.strides[array.layout.ndim - 2]
    return classes != array.size and array.layout.shape[array.layout.ndim - 2] > 1 and llabs(classes) > llabs(rows)


cdef void set_panel(Array *array, char *panel, Py_ssize_t first_number) noexcept nogil:
    # A plain array whose numbers from a flat index on are those of the panel, or lie PANEL_MARGIN bytes later in its
    # memory: where the number 0 would be must not become NULL, which stands for no array.
    cdef uintptr_t offset = <uintptr_t>(first_number * array.size)
    if <uintptr_t>panel == offset:
        panel += PANEL_MARGIN
    array.data = <char *>(<uintptr_t>panel - offset)
    array.layout = NULL
    array.swapped = False


cdef char *panel_of(const Array *array, Py_ssize_t first_number) noexcept nogil:
    return array.data + first_number * array.size


cdef void move_panel(
    const Array *array, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t classes, char *panel, bint back
) noexcept nogil:
    if lies_apart(array):
        turn(array, first, rows, classes, panel, back)
    else:
        move_rows(array, first, rows, classes, panel, back)


cdef void run_within(Job *job, int kind, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    if kind == DIVISOR:
        run_divisor(job, first, last, unused)
    elif kind == LOSS:
        run_loss(job, first, last, unused)
    else:
        run_function(job, first, last, unused)


cdef void run_typed(Job *job, int kind, bint in_float, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    if in_float:
        run_within(job, kind, first, last, <float>0)
    else:
        run_within(job, kind, first, last, <double>0)


cdef bint wants_panel(const Job *job, const Array *array) noexcept nogil:
    # Whether its rows are to be read or written by whole blocks, through a plain panel
    cdef bint logits = job.options.logits or job.activation != NOT_ACTIVATION
    if array.data == NULL or array.layout == NULL or array.tolerance > 0:  # panels are copied as they are
        return False
    if lies_apart(array):  # few classes are read one after the other; of more, a cache line holds those of many rows
        return logits and FEW_BOTH < job.classes <= LONG_BLOCK // 8
    return True


cdef void run_panels(
    Job *job, int kind, bint in_float, Py_ssize_t first, Py_ssize_t last, const Py_ssize_t *sizes
) noexcept nogil:
    # Two inputs and two outputs: those that have a size, in bytes, pass through panels.
    cdef Job part = job[0]
    cdef const Array *wholes[4]
    cdef Array *parts[4]
    cdef char *panels[4]
    cdef bint fine = True
    cdef Py_ssize_t block, start, n, i
    wholes[:] = [&job.x, &job.targets, &job.gradient, &job.hessian]
    parts[:] = [&part.x, &part.targets, &part.gradient, &part.hessian]
    for i in range(4):
        panels[i] = <char *>malloc(sizes[i] + PANEL_MARGIN) if sizes[i] > 0 else NULL
        fine = fine and (sizes[i] == 0 or panels[i] != NULL)
    for block in range(first, last if fine else first):
        start = block * job.block
        n = min(job.n - start, job.block)
        for i in range(4):
            if sizes[i] > 0:
                set_panel(parts[i], panels[i], start * job.classes)
            if sizes[i] > 0 and i < 2:
                move_panel(wholes[i], start, n, job.classes, panel_of(parts[i], start * job.classes), False)
        run_typed(&part, kind, in_float, block, block + 1)
        job.sum = part.sum
        job.bad = part.bad
        job.noticed = part.noticed
        if part.bad >= 0:
            break
        for i in range(2, 4):
            if sizes[i] > 0:
                move_panel(wholes[i], start, n, job.classes, panel_of(parts[i], start * job.classes), True)
    for i in range(4):
        free(panels[i])
    if not fine:
        run_typed(job, kind, in_float, first, last)


cdef void run_blocks(Job *job, int kind, bint in_float, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef const Array *arrays[4]
    cdef Py_ssize_t sizes[4]
    cdef Py_ssize_t rows = min(job.block, job.n)
    cdef Py_ssize_t room = PANELS
    cdef Py_ssize_t i
    if kind == DIVISOR or not job.options.rows:
        run_typed(job, kind, in_float, first, last)
        return
    arrays[:] = [&job.x, &job.targets, &job.gradient, &job.hessian]
    for i in range(4):
        sizes[i] = 0
        if i == 0 and job.labels and not job.options.logits and job.options.smoothing == 0:
            continue  # of each row, the label chooses one number
        if (i == 1 and job.labels) or not wants_panel(job, arrays[i]):
            continue
        if rows == 0 or job.classes > room // (rows * arrays[i].size):
            run_typed(job, kind, in_float, first, last)
            return
        sizes[i] = rows * job.classes * arrays[i].size
        room -= sizes[i]
    if room < PANELS:
        run_panels(job, kind, in_float, first, last, &sizes[0])
    else:
        run_typed(job, kind, in_float, first, last)


cdef void clear_results(Job *job) noexcept nogil:
    accumulator_clear(&job.sum)
    job.bad = -1


include "pool.pxi"


# ---------------------------------------------------------------- suspicious inputs

cdef double NEAR_1 = 1e-3  # the distance from 1 at which the sum of a row is suspicious; ten times that for halves


cdef double machine_epsilon(int type) noexcept nogil:
    # Return 0 for integer types: an integer cannot lie just outside [0, 1].
    if type == cnp.NPY_DOUBLE or type == cnp.NPY_LONGDOUBLE:
        return 2.0 ** -52
    if type == cnp.NPY_FLOAT:
        return 2.0 ** -23
    if type == NPY_HALF:
        return 2.0 ** -10
    return 2.0 ** -7 if type == BFLOAT16 else 0


cdef inline bint first_may_be_hard(const Array *x) noexcept nogil:
    # Return whether the first prediction counts as 0 or 1, or is of a rare type; nearly every call ends here.
    cdef double value = 0.5
    cdef float narrow = 0
    if x.type == cnp.NPY_DOUBLE and not x.swapped:
        memcpy(&value, x.data, sizeof(double))
    elif x.type == cnp.NPY_FLOAT and not x.swapped:
        memcpy(&narrow, x.data, sizeof(float))
        value = narrow
    else:
        return True
    return not 1e-6 < value < 1 - 1e-6


cdef bint looks_swapped(Job *job) noexcept nogil:
    # Return whether the first predictions all count as 0 or 1 while one of their targets lies between.
    cdef double x[BLOCK]
    cdef double t[BLOCK]
    cdef Py_ssize_t n = min(job.n, <Py_ssize_t>BLOCK)
    cdef Py_ssize_t i
    cdef bint any_between = False
    load(&job.x, 0, 1, n, x)
    load(&job.targets, 0, 1, n, t)
    round_to_unit(&x[0], n, TOLERATED * machine_epsilon(job.x.type))
    for i in range(n):
        if x[i] != 0 and x[i] != 1:
            return False
        any_between |= 0 < t[i] < 1
    return any_between


cdef inline double short_sum(const real *x, Py_ssize_t n) noexcept nogil:
    # Two sums, which do not wait for each other
    cdef double even = 0
    cdef double odd = 0
    cdef Py_ssize_t i
    for i in range(0, n - 1, 2):
        even += x[i]
        odd += x[i + 1]
    return even + odd + (x[n - 1] if n % 2 else 0)


cdef inline bint first_row_sums_to_1(const Job *job) noexcept nogil:
    # Return True if a short first row counts and sums to 1; nearly every call ends here.
    cdef double total = 0
    if job.weights.data != NULL or job.options.ignores or job.classes > SUM_LANES:
        return False
    if of_computing_type(&job.x, <double>0):
        total = short_sum(<const double *>job.x.data, job.classes)
    elif of_computing_type(&job.x, <float>0):
        total = short_sum(<const float *>job.x.data, job.classes)
    return fabs(total - 1) <= NEAR_1


cdef double long_sum(const real *x, Py_ssize_t n) noexcept nogil:
    # Two arrays of sums, each small enough for registers
    cdef real even[SUM_LANES]
    cdef real odd[SUM_LANES]
    cdef double total = 0
    cdef Py_ssize_t pairs = n // (2 * SUM_LANES)
    cdef Py_ssize_t i, j
    for j in range(SUM_LANES):
        even[j] = odd[j] = 0
    for i in range(pairs):
        for j in range(SUM_LANES):
            even[j] += x[2 * i * SUM_LANES + j]
        for j in range(SUM_LANES):
            odd[j] += x[(2 * i + 1) * SUM_LANES + j]
    for j in range(SUM_LANES):
        even[j] += odd[j]
    for j in range(SUM_LANES // 2):
        even[j] += even[j + SUM_LANES // 2]
    for j in range(SUM_LANES // 2):
        total += even[j]
    for i in range(2 * pairs * SUM_LANES, n):
        total += x[i]
    return total


cdef double plain_sum(const Job *job, const real *x) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t piece
    for piece in range((job.classes + ALONE - 1) // ALONE):
        total += long_sum(x + piece * ALONE, min(job.classes - piece * ALONE, <Py_ssize_t>ALONE))
        if job.classes > ALONE and halted(job):
            break
    return total


cdef double row_sum(const Job *job, Py_ssize_t row, double near) noexcept nogil:
    # A quick sum, if that is near 1; else one in double, of numbers that count as 0 or 1 just outside [0, 1]
    cdef double scratch[BLOCK]
    cdef double total = 0
    cdef Py_ssize_t start = row * job.classes
    cdef Py_ssize_t piece, n
    if of_computing_type(&job.x, <double>0):
        total = plain_sum(job, <const double *>job.x.data + start)
    elif of_computing_type(&job.x, <float>0):
        total = plain_sum(job, <const float *>job.x.data + start)
    if fabs(total - 1) <= near:
        return total
    total = 0
    for piece in range(blocks(job.classes)):
        if halted_at(job, piece):
            break
        n = min(job.classes - piece * BLOCK, <Py_ssize_t>BLOCK)
        load(&job.x, start + piece * BLOCK, 1, n, scratch)
        round_to_unit(&scratch[0], n, TOLERATED * machine_epsilon(job.x.type))
        total += long_sum(<const double *>&scratch[0], n)
    return total


cdef Py_ssize_t unnormalized_row(Job *job) noexcept nogil:
    # Return the first row that counts and holds no NaN, if it does not sum to 1, else -1. The search gives up after
    # MOST_SEARCHED rows that do not count, or numbers of rows with NaN.
    cdef double w[BLOCK]
    cdef int64_t labels[BLOCK]
    cdef double near = 10 * NEAR_1 if in_halves(job.x.type) and job.x.type != cnp.NPY_FLOAT else NEAR_1
    cdef double total
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t left = MOST_SEARCHED
    cdef Py_ssize_t n = 1  # the first row alone settles nearly every call
    cdef Py_ssize_t i
    if job.labels and job.classes > MOST_SUMMED:
        return -1
    while start < job.n and left > 0:
        if job.weights.data != NULL:
            load(&job.weights, start, 1, n, w)
        if job.options.ignores:
            load_labels(&job.targets, &job.options, start, n, labels)
        for i in range(n):
            if (job.weights.data != NULL and not w[i] > 0) or (job.options.ignores and labels[i] == IGNORED):
                continue
            total = row_sum(job, start + i, near)
            if total == total:
                return -1 if fabs(total - 1) <= near else start + i
            left -= job.classes
            if left <= 0:
                return -1
        start += n
        left -= n
        n = min(job.n - start, <Py_ssize_t>BLOCK)
    return -1


cdef inline Py_ssize_t suspicious_row(Job *job) noexcept nogil:
    # Return the row of legal probabilities that look like a mistake (0 for elements), or -1; _checks words the warning.
    if job.n == 0:
        return -1
    if job.options.rows:
        return -1 if first_row_sums_to_1(job) else unnormalized_row(job)
    return 0 if first_may_be_hard(&job.x) and looks_swapped(job) else -1


# ---------------------------------------------------------------- one call

cdef double divisor_of(Job *job, bint in_float, double *lost) noexcept nogil:
    # As its rounded value and what that lost; the sum stays in the job
    cdef double divisor
    if trivial_divisor(job):
        return <double>job.n
    run_pass(job, DIVISOR, in_float)
    divisor = accumulator_round(&job.sum)
    lost[0] = accumulator_lost(&job.sum, divisor)
    return divisor


cdef inline bint trivial_divisor(const Job *job) noexcept nogil:
    # Whether the mean divides by the number of elements or rows
    if job.options.ignores or (job.options.rows and job.class_weights != NULL and not job.options.by_count):
        return False
    return job.options.by_count or job.weights.data == NULL


cdef void check(Job *job, bint in_float, bint lifted) noexcept nogil:
    # A pass that only looks for inputs outside their domain. If it is lifted, it also looks where weights became 0.
    cdef char *value = job.value.data
    cdef char *gradient = job.gradient.data
    cdef char *hessian = job.hessian.data
    cdef bint wanted_sum = job.wanted_sum
    cdef Accumulator sum = job.sum
    job.value.data = job.gradient.data = job.hessian.data = NULL
    job.wanted_sum = False
    job.lifted = lifted
    run_pass(job, LOSS, in_float)
    job.lifted = False
    job.sum = sum
    job.wanted_sum = wanted_sum
    job.value.data = value
    job.gradient.data = gradient
    job.hessian.data = hessian


cdef inline bint is_over(const Job *job) noexcept nogil:
    # Whether nothing more is to be computed
    return job.bad >= 0 or job.watch.stopped


cdef void add_weights(Job *job, bint by_count, bint in_float, Accumulator *sum) noexcept nogil:
    # What the mean over the weights, or over the count, divides by
    cdef bint former = job.options.by_count
    job.options.by_count = by_count
    if trivial_divisor(job):
        accumulator_clear(sum)
        accumulator_add(sum, <double>job.n)
    else:
        run_pass(job, DIVISOR, in_float)
        sum[0] = job.sum
    job.options.by_count = former


cdef void run_checked(Job *job, int reduction, int wanted, double upstream) noexcept nogil:
    # Everything between entering and leaving the floating-point mode. What it computes must be in the job, in memory,
    # when it returns: the compiler would move arithmetic on other variables to where they are used.
    cdef double divisor = 1
    cdef double lost = 0
    cdef double total_low = 0
    cdef bint nothing = False  # to average
    cdef bint in_float = in_halves(job.x.type)
    job.scale = upstream
    job.scale_low = job.total = 0
    job.targets.narrow = job.weights.narrow = job.upstream.narrow = in_float
    job.bad = job.suspicious = -1
    job.unusable = 0
    job.wanted_sum = job.overwritten = job.lifted = False
    job.noticed = 0
    if not job.options.logits and not wanted & WARNED:
        job.suspicious = suspicious_row(job)
    if job.suspicious >= 0 or job.watch.stopped:
        return
    if reduction == MEAN:
        divisor = divisor_of(job, in_float, &lost)
        nothing = divisor == 0
        if not nothing:
            job.scale = cecore_quotient(upstream, divisor, lost, &job.scale_low)
        if divisor == INFINITY:
            job.unusable = TOO_LARGE
        elif wanted & GRADIENT and fabs(job.scale) == INFINITY and fabs(upstream) < INFINITY:
            job.unusable = TOO_SMALL
    if is_extreme(job.options.eps) or is_awkward(job.scale) or job.options.awkward:
        in_float = False
    if not job.options.rows and (is_extreme(job.options.smoothing) or not (job.options.logits or job.options.eps)):
        in_float = False
    if job.options.rows and job.class_weights != NULL and not job.options.logits:
        in_float = False  # the sums of hard targets are as exact as those of double, and weighted by products
    if not job.options.logits:
        make_clip(&job.wide_clip, job.options.eps, job.options.zero_outside, <double>0)
        job.clip = job.wide_clip
        if in_float:
            make_clip(&job.clip, job.options.eps, job.options.zero_outside, <float>0)
    if job.in_place or nothing or job.unusable:
        check(job, in_float, False)
        if job.noticed & VANISHING and not is_over(job):
            check(job, in_float, True)
    if job.unusable or is_over(job):
        return
    if nothing:
        job.total = NAN
        clear_numbers(job, &job.gradient, 0, job.n * job.classes)
        return
    job.overwritten = job.in_place
    job.wanted_sum = wanted & VALUE and reduction != NONE
    in_float = in_float and not job.noticed & OVERFLOWING
    run_pass(job, LOSS, in_float)
    if in_float and job.noticed & OVERFLOWING and not is_over(job):
        in_float = False
        run_pass(job, LOSS, in_float)
    if job.noticed & VANISHING and not job.in_place and not is_over(job):
        check(job, in_float, True)
    if is_over(job):
        return
    if job.wanted_sum:
        job.total = accumulator_round(&job.sum)
        if reduction == MEAN:
            job.total = cecore_quotient(job.total, divisor, lost, &total_low) + total_low
    if job.state != NULL:
        job.state[0] = job.sum
        add_weights(job, False, in_float, &job.state[1])
        add_weights(job, True, in_float, &job.state[2])


cdef void tolerate(Array *array, object given, bint rows, Layout *layout, double epsilon) noexcept:
    # Load numbers just outside [0, 1] as 0 or 1. An epsilon of 0 means that the type cannot hold such a number.
    if epsilon > 0:
        array.tolerance = TOLERATED * epsilon
        if array.layout == NULL:
            set_layout(layout, given, rows)
            array.layout = layout


cdef bint load_units(Accumulator *sum, object units) except *:
    # An integer number of the smallest float64; False if it is larger than any sum here
    cdef uint32_t limbs[LIMBS]
    cdef int i
    if units >> (32 * LIMBS):
        return False
    data = units.to_bytes(sizeof(limbs), "little")
    memcpy(limbs, <const char *>data, sizeof(limbs))
    order_bytes(limbs)
    accumulator_clear(sum)
    for i in range(LIMBS):
        sum.limb[i] = limbs[i]
    sum.first = 0
    sum.last = LIMBS
    return True


def rounded(units, divisor=None):
    """An exact sum rounded once, or divided by another one as for the mean. Both are in units of 2 ** -1074."""
    cdef Accumulator sum, below
    cdef double result = INFINITY
    cdef double total, low
    cdef uint64_t saved
    if not load_units(&sum, units) or (divisor is not None and not load_units(&below, divisor)):
        return result
    saved = cecore_enter()
    if divisor is None:
        result = accumulator_round(&sum)
    else:
        total = accumulator_round(&below)
        result = cecore_quotient(accumulator_round(&sum), total, accumulator_lost(&below, total), &low) + low
    cecore_settle(&result)
    cecore_leave(saved)
    return result


cdef void run_activations(Job *job) noexcept nogil:
    run_pass(job, FUNCTION, in_halves(job.x.type))


cdef int run(Job *job, int reduction, int wanted, double upstream) except -1:
    # Run the job without the GIL, unless it is short. Raise what a signal handler has raised.
    cdef Watch watch
    watch.thread_state = NULL
    watch.due = 0
    watch.stopped = watch.helped = False
    job.watch = &watch
    job.calling = True
    if job.n * job.cost >= GIL_KEPT_BELOW:
        watch.thread_state = PyEval_SaveThread()
    watch.control = cecore_enter()
    if job.activation == NOT_ACTIVATION:
        run_checked(job, reduction, wanted, upstream)
    else:
        run_activations(job)
    cecore_leave(watch.control)
    if watch.thread_state != NULL:
        PyEval_RestoreThread(watch.thread_state)
    job.watch = NULL
    return -1 if watch.stopped else 0


# ---------------------------------------------------------------- entry points

cdef inline int require_stack() except -1:
    cdef size_t left = cecore_stack_left()
    if left < LEAST_LEFT:
        raise RuntimeError(SMALL_STACK.format(left // 1024, LEAST_LEFT // 1024))
    return 0


cdef bint in_halves(int type) noexcept nogil:
    # whether predictions of a type are computed in float
    return type == cnp.NPY_FLOAT or type == NPY_HALF or type == BFLOAT16


cdef bint is_real(object array) noexcept:
    cdef int type
    if not cnp.PyArray_CheckExact(array):
        return False
    type = cnp.PyArray_TYPE(array)  # bool and the integers come before the floats
    return type <= cnp.NPY_LONGDOUBLE or type == NPY_HALF


cdef bint may_overflow(object upstream, object x) noexcept:
    # Whether a finite number of upstream may become infinite in the computing type. If so, _checks looks for it. This
    # function looks at short plain arrays only.
    cdef int type = cnp.PyArray_TYPE(upstream)
    cdef const double *data = <const double *>cnp.PyArray_DATA(upstream)
    cdef int beyond = 0
    cdef Py_ssize_t i
    if type != cnp.NPY_DOUBLE or not in_halves(cnp.PyArray_TYPE(x)):
        return type == cnp.NPY_LONGDOUBLE
    if not cnp.PyArray_ISCARRAY_RO(upstream) or cnp.PyArray_SIZE(upstream) > GIL_KEPT_BELOW:
        return True
    for i in range(cnp.PyArray_SIZE(upstream)):
        beyond += (data[i] > FLT_MAX) | (data[i] < -FLT_MAX)
    return beyond != 0


cdef bint has_shape(object array, int ndim, const cnp.npy_intp *shape) noexcept:
    cdef int i
    if cnp.PyArray_NDIM(array) != ndim:
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(array, i) != shape[i]:
            return False
    return True


cdef bint is_output(object out, int type, int ndim, const cnp.npy_intp *shape) noexcept:
    # None, or a writeable array of the results' type, no two numbers of which share their memory
    if out is None:
        return True
    return (
        cnp.PyArray_CheckExact(out) and cnp.PyArray_ISWRITEABLE(out)
        and cnp.PyArray_TYPE(out) == type and has_shape(out, ndim, shape) and are_distinct(out)
    )


cdef bint are_distinct(object out) noexcept:
    # The places of its numbers: along each axis, in the order of the strides, a step is beyond what lies within it.
    cdef Py_ssize_t strides[MAX_DIMS]
    cdef Py_ssize_t lengths[MAX_DIMS]
    cdef Py_ssize_t stride, within = cnp.PyArray_ITEMSIZE(out)
    cdef int n = 0
    cdef int i, place
    for i in range(cnp.PyArray_NDIM(out)):
        if cnp.PyArray_DIM(out, i) == 0:
            return True
        if cnp.PyArray_DIM(out, i) == 1:
            continue
        stride = llabs(cnp.PyArray_STRIDE(out, i))
        place = n
        while place > 0 and strides[place - 1] > stride:
            strides[place] = strides[place - 1]
            lengths[place] = lengths[place - 1]
            place -= 1
        strides[place] = stride
        lengths[place] = cnp.PyArray_DIM(out, i)
        n += 1
    for i in range(n):
        if strides[i] < within:
            return False
        within += (lengths[i] - 1) * strides[i]
    return True


cdef inline bint may_overlap(const Array *a, const Array *b) noexcept:
    # or lie between each other, as the columns of a matrix do: NumPy decides
    if a.data == NULL or b.data == NULL:
        return False
    return a.low < b.low + b.bytes and b.low < a.low + a.bytes


cdef bint same(const Array *a, const Array *b) noexcept:
    # The same numbers in the same places. The user's checks take more for the same: axes of length 1 may differ.
    cdef int i
    if a.data != b.data or a.type != b.type or a.swapped != b.swapped or (a.layout == NULL) != (b.layout == NULL):
        return False
    if a.layout == NULL:
        return True
    if a.layout.ndim != b.layout.ndim:
        return False
    for i in range(a.layout.ndim):
        if a.layout.shape[i] != b.layout.shape[i] or a.layout.strides[i] != b.layout.strides[i]:
            return False
    return True


cdef bint apart(const Job *job, const Array *out) noexcept:
    # Whether an output overlaps nothing but x, and x only as a whole
    if may_overlap(out, &job.x) and not same(out, &job.x):
        return False
    return not (may_overlap(out, &job.targets) or may_overlap(out, &job.weights) or may_overlap(out, &job.upstream))


cdef void set_layout(Layout *layout, object array, bint rows) noexcept:
    # The fewest dimensions with the same order; that of the classes stays apart
    cdef int ndim = cnp.PyArray_NDIM(array)
    cdef int i, last
    cdef Py_ssize_t size, stride
    cdef bint apart
    layout.ndim = 0
    for i in range(ndim):
        size = cnp.PyArray_DIM(array, i)
        stride = cnp.PyArray_STRIDE(array, i)
        apart = rows and i == ndim - 1
        last = layout.ndim - 1
        if apart and last < 0:  # one row
            layout.shape[0] = 1
            layout.strides[0] = 0
            layout.ndim = 1
        if size == 1 and not apart:
            continue
        if last >= 0 and not apart and layout.strides[last] == size * stride:
            layout.shape[last] *= size
            layout.strides[last] = stride
            continue
        layout.shape[layout.ndim] = size
        layout.strides[layout.ndim] = stride
        layout.ndim += 1
    if layout.ndim == 0:
        layout.shape[0] = 1
        layout.strides[0] = 0
        layout.ndim = 1


cdef void set_array(Array *array, object given, bint bits, bint rows, Layout *layout) noexcept:
    cdef Py_ssize_t length, step
    cdef int i
    array.narrow = False
    array.tolerance = 0
    array.layout = NULL
    if given is None:
        array.data = NULL
        array.type = cnp.NPY_DOUBLE
        return
    array.data = array.low = cnp.PyArray_BYTES(given)
    array.type = BFLOAT16 if bits else cnp.PyArray_TYPE(given)
    array.size = cnp.PyArray_ITEMSIZE(given)
    array.bytes = array.size
    for i in range(cnp.PyArray_NDIM(given)):
        length = max(cnp.PyArray_DIM(given, i) - 1, <Py_ssize_t>0)
        step = length * cnp.PyArray_STRIDE(given, i)
        array.low += min(step, <Py_ssize_t>0)
        array.bytes += max(step, -step)
    array.swapped = cnp.PyArray_ISBYTESWAPPED(given)
    if not cnp.PyArray_ISCARRAY_RO(given):
        set_layout(layout, given, rows)
        array.layout = layout


cdef void set_size(Job *job, object x) except *:
    cdef int ndim = cnp.PyArray_NDIM(x)
    cdef bint rows = job.options.rows
    cdef bint logits = job.options.logits or job.activation != NOT_ACTIVATION
    cdef Py_ssize_t work, threads
    cdef int i
    job.classes = cnp.PyArray_DIM(x, ndim - 1) if rows else 1
    job.n = 1
    for i in range(ndim - 1 if rows else ndim):
        job.n *= cnp.PyArray_DIM(x, i)
    job.block = BLOCK if rows else ELEMENTS
    if rows and logits:
        job.block = max(min(LONG_BLOCK // job.classes, job.block), <Py_ssize_t>1)
    elif rows:
        job.block = max(min(LONG_PROBS_BLOCK // job.classes, job.block), <Py_ssize_t>LEAST_ROWS)
    job.cost = job.classes
    if (
        rows and not logits and job.labels and job.options.smoothing == 0
        and job.gradient.data == NULL and job.hessian.data == NULL
    ):
        job.cost = 1  # of a row, the label's probability
    job.threads = 1
    work = job.n * job.cost * (2 if logits else 1)
    if work >= threaded_from:
        # Each helper takes time to wake, of the caller and one after the other: n of them are worth n^2 times the work.
        threads = <Py_ssize_t>(2 * sqrt(<double>work / max(threaded_from, <Py_ssize_t>1)))
        job.threads = hire(<int>min(<Py_ssize_t>thread_count(), threads))


cdef bint is_awkward(double x) noexcept nogil:
    # a constant that float holds inexactly or not at all
    return x != 0 and not (1e-30 < abs(x) < 1e30)


cdef bint is_extreme(double x) noexcept nogil:
    # a constant of a binary loss whose quotients and products may leave the range of float
    return x != 0 and not (2.0 ** -60 <= x <= 2.0 ** 60)


cdef void order_bytes(uint32_t *limbs) noexcept:
    # From the machine's order to the least significant byte first, or back
    if sys.byteorder == "big":
        swap_bytes(<char *>limbs, sizeof(uint32_t), LIMBS)


cdef object exact(Accumulator *sum):
    # As an integer, in units of the least number
    cdef uint32_t limbs[LIMBS]
    cdef int i
    accumulator_carry(sum)
    for i in range(LIMBS):
        limbs[i] = <uint32_t>sum.limb[i]
    order_bytes(limbs)
    return int.from_bytes((<const char *>limbs)[:sizeof(limbs)], "little")


cdef object exact_sums(Accumulator *state):
    # Of the losses, of those that are infinite or NaN, of the weights, and of ones. Weights that overflow make a number
    # that does so too.
    weights = <object>1 << EXPONENT_OF_OVERFLOW if state[1].special == INFINITY else exact(&state[1])
    return exact(&state[0]), state[0].special, weights, exact(&state[2]) >> EXPONENT_OF_1


cdef object compute(
    bytes options, object x, object targets, object weights, object upstream, int wanted,
    object value_out, object gradient_out, object hessian_out, Accumulator *state,
):
    # Return the wanted results, in a tuple if there are several. If the arrays are not prepared, return None when
    # they must be, when a value is outside its domain, and when the user should be warned: the prepared call then
    # raises. Only errors and suspicious inputs are thus found again, and everything else once.
    cdef Job job
    cdef Layout layouts[7]
    cdef int ndim, inner, type_, reduction, computing
    cdef cnp.npy_intp *shape
    cdef double factor = 1
    cdef const char *packed = options
    cdef bint rows
    cdef bint prepared = wanted & PREPARED
    if not (is_real(x) and is_real(targets) and (weights is None or is_real(weights))):
        return None
    memcpy(&job.options, packed, sizeof(Options))
    job.class_weights = <const double *>(packed + sizeof(Options)) if job.options.weights else NULL
    job.activation = NOT_ACTIVATION
    job.state = state
    rows = job.options.rows
    reduction = SUM if wanted & (HESSIAN | STATE) else job.options.reduction
    ndim = cnp.PyArray_NDIM(x)
    shape = cnp.PyArray_DIMS(x)
    inner = ndim - 1 if rows else ndim  # dimensions of the losses
    job.labels = rows and cnp.PyArray_NDIM(targets) == inner
    if inner < 0 or (rows and shape[inner] == 0) or not has_shape(targets, inner if job.labels else ndim, shape):
        return None
    if rows and not prepared and job.options.axis != -1 and job.options.axis != inner:
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
    elif not (reduction == NONE and inner and is_real(upstream) and has_shape(upstream, inner, shape)):
        return None
    elif not prepared and may_overflow(upstream, x):
        return None
    set_array(&job.x, x, wanted & BFLOAT16_BITS, rows, &layouts[0])
    type_ = cnp.PyArray_TYPE(x) if job.x.type == BFLOAT16 or in_halves(job.x.type) else <int>cnp.NPY_DOUBLE
    if not prepared and not (
        is_output(value_out, type_, inner, shape)
        and is_output(gradient_out, type_, ndim, shape)
        and is_output(hessian_out, type_, ndim, shape)
    ):
        return None
    if wanted & VALUE and reduction == NONE and value_out is None:
        value_out = cnp.PyArray_EMPTY(inner, shape, type_, False)
    if wanted & GRADIENT and gradient_out is None:
        gradient_out = cnp.PyArray_EMPTY(ndim, shape, type_, False)
    if wanted & HESSIAN and hessian_out is None:
        hessian_out = cnp.PyArray_EMPTY(ndim, shape, type_, False)
    set_array(&job.targets, targets, wanted & TARGETS_BITS, rows and not job.labels, &layouts[1])
    set_array(&job.weights, weights, wanted & WEIGHTS_BITS, False, &layouts[2])
    set_array(&job.upstream, upstream, wanted & UPSTREAM_BITS, False, &layouts[3])
    set_array(&job.value, value_out, wanted & BFLOAT16_BITS, False, &layouts[4])
    set_array(&job.gradient, gradient_out, wanted & BFLOAT16_BITS, rows, &layouts[5])
    set_array(&job.hessian, hessian_out, wanted & BFLOAT16_BITS, rows, &layouts[6])
    job.in_place = wanted & IN_PLACE
    if not prepared:
        if not (apart(&job, &job.value) and apart(&job, &job.gradient) and apart(&job, &job.hessian)):
            return None
        if may_overlap(&job.value, &job.gradient) or may_overlap(&job.gradient, &job.hessian):
            return None
        if rows and may_overlap(&job.value, &job.x):
            return None
        job.in_place = (
            may_overlap(&job.value, &job.x) or may_overlap(&job.gradient, &job.x) or may_overlap(&job.hessian, &job.x)
        )
    set_size(&job, x)
    run(&job, reduction, wanted, factor)
    if job.bad >= 0 and not job.overwritten:  # predictions are tolerated by their dtype, targets by the computing type
        if not job.options.logits:
            tolerate(&job.x, x, rows, &layouts[0], machine_epsilon(job.x.type))
        if not job.labels and machine_epsilon(job.targets.type) > 0:
            computing = cnp.NPY_FLOAT if in_halves(job.x.type) else cnp.NPY_DOUBLE
            tolerate(&job.targets, targets, rows, &layouts[1], machine_epsilon(computing))
        run(&job, reduction, wanted | WARNED, factor)
    if job.suspicious >= 0:
        if not prepared:
            return None
        raise Suspicious(job.suspicious)
    if job.bad >= 0:
        if job.overwritten:  # after a pass that found nothing
            raise ValueError("an array of the call changed during it, which works in place")
        if not prepared:
            return None
        raise BadBlock(job.bad, min(job.bad + job.block, job.n))
    if job.unusable:
        if not prepared:
            return None
        raise ValueError(WEIGHTS_TOO_LARGE if job.unusable == TOO_LARGE else WEIGHTS_TOO_SMALL)
    if state != NULL:
        return exact_sums(state)
    if wanted & VALUE:
        value = value_out if reduction == NONE else job.total
        if wanted & GRADIENT:
            return value, gradient_out
        return value
    if wanted & HESSIAN:
        return gradient_out, hessian_out
    return gradient_out


cdef object sums(bytes options, object x, object targets, object weights, int wanted):
    cdef Accumulator state[3]
    return compute(options, x, targets, weights, 1.0, wanted, None, None, None, state)


def loss(bytes options, x, targets, weights, upstream, int wanted, value_out, gradient_out, hessian_out):
    """Compute the wanted results of a loss, or return None if the arrays must be prepared first.

    Prepared arrays have their classes along the last axis; for them BadBlock or Suspicious is raised instead.
    """
    require_stack()
    if wanted & STATE:
        return sums(options, x, targets, weights, wanted)
    return compute(options, x, targets, weights, upstream, wanted, value_out, gradient_out, hessian_out, NULL)


def activation(int function, int flags, x, upstream, out):
    """Compute softmax and the like along the last axis, or sigmoid and the like; None if an array must be prepared.

    The flags have the same meaning as for `loss`; upstream takes the place of the targets.
    """
    cdef Job job
    cdef Layout layouts[3]
    cdef int ndim, type_
    cdef cnp.npy_intp *shape
    cdef bint rows = function == SOFTMAX or function == LOG_SOFTMAX or function == SOFTMAX_BACKWARD
    cdef bint backward = function == SOFTMAX_BACKWARD or function == SIGMOID_BACKWARD
    cdef bint prepared = flags & PREPARED
    require_stack()
    if (upstream is None) == backward:
        return None
    if not is_real(x) or not (upstream is None or is_real(upstream)):
        return None
    ndim = cnp.PyArray_NDIM(x)
    shape = cnp.PyArray_DIMS(x)
    if rows and (ndim == 0 or shape[ndim - 1] == 0):
        return None
    if upstream is not None and not has_shape(upstream, ndim, shape):
        return None
    if backward and not prepared:
        if cnp.PyArray_TYPE(upstream) == cnp.NPY_LONGDOUBLE:
            return None
        if function == SIGMOID_BACKWARD and may_overflow(upstream, x):  # the other function computes in double
            return None
    memset(&job.options, 0, sizeof(Options))
    job.options.rows = rows
    job.activation = function
    job.labels = False
    job.wanted_sum = False
    job.class_weights = NULL
    set_array(&job.x, x, flags & BFLOAT16_BITS, rows, &layouts[0])
    type_ = cnp.PyArray_TYPE(x) if job.x.type == BFLOAT16 or in_halves(job.x.type) else <int>cnp.NPY_DOUBLE
    if not prepared and not is_output(out, type_, ndim, shape):
        return None
    if out is None:
        out = cnp.PyArray_EMPTY(ndim, shape, type_, False)
    set_array(&job.targets, upstream, flags & UPSTREAM_BITS, rows, &layouts[1])
    set_array(&job.gradient, out, flags & BFLOAT16_BITS, rows, &layouts[2])
    set_array(&job.weights, None, False, False, NULL)
    job.upstream = job.value = job.hessian = job.weights
    job.in_place = flags & IN_PLACE
    job.state = NULL
    if not prepared:
        if may_overlap(&job.gradient, &job.targets) and not same(&job.gradient, &job.targets):
            return None
        if may_overlap(&job.gradient, &job.x) and not same(&job.gradient, &job.x):
            return None
        job.in_place = may_overlap(&job.gradient, &job.x) or may_overlap(&job.gradient, &job.targets)
    set_size(&job, x)
    run(&job, NONE, 0, 1)
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


include "probe.pxi"
