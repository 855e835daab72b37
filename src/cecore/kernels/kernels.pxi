# The typed loops, compiled once for each instruction-set level.
#
# A call takes the array's way: the entry point (loss, at the end) accepts arrays of numbers, fills a Job and runs its
# driver; the driver walks blocks of BLOCK elements or rows at fixed positions; for each block the functions below
# compute what is wanted; block sums go to the exact accumulator; full buffers go to the results. Arrays that are not
# plain pass through buffers: of a block of elements, or of a block of rows (run_blocks).
#
# Functions of elements work on whole vectors of a block: a tail is copied to a local one, padded. Those of rows
# take a number of lanes. The order of every sum is fixed by the positions alone. LANES, FACTORS, BLOCK, SUM_LANES,
# WIDTH, MAX_TILE_CLASSES and BATCH, and the ranges of scalar_math.h are part of the bits that a release
# promises.
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
from libc.string cimport memcpy, memmove, memset

from cecore._checks import SMALL_STACK, WEIGHTS_TOO_LARGE, WEIGHTS_TOO_SMALL, BadBlock, Suspicious
from cecore._threads import thread_count

cnp.import_array()

cdef extern from "scalar_math.h" nogil:
    const bint CECORE_HAS_FMA
    const double CECORE_LEAST_PRODUCT
    const double CECORE_ORDINARY
    const float CECORE_ORDINARYF
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
    double cecore_row_exp(double, double, double *) noexcept
    float cecore_row_expf(float, float, float *) noexcept
    double cecore_log1p_row(double, double) noexcept
    float cecore_log1p_rowf(float, float) noexcept
    float cecore_from_half(unsigned short) noexcept
    unsigned short cecore_to_half(float) noexcept
    float cecore_from_bfloat16(unsigned short) noexcept
    unsigned short cecore_to_bfloat16(float) noexcept
    double cecore_product_lost(double, double, double) noexcept
    double cecore_remainder(double, double, double) noexcept
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
    void cecore_stream(char *, const char *, Py_ssize_t) noexcept
    void cecore_stream_end() noexcept
    void cecore_turn(const double *, Py_ssize_t, double *, Py_ssize_t) noexcept
    void cecore_turnf(const float *, Py_ssize_t, float *, Py_ssize_t) noexcept

cdef enum:
    LANES = 8
    BLOCK = 256  # rows, or numbers of a row
    SUM_LANES = 16  # of a block's sum
    WIDTH = 64  # lanes of a row's sum; rows that are computed side by side
    PANEL_CLASSES = 32  # strided rows of logits with more classes pass through panels
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

cdef enum:  # of a block
    BAD = 0  # something is outside its domain
    SOFT = 1

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


cdef bint all_ones(const real *w, Py_ssize_t n) noexcept nogil:
    cdef int others = 0
    cdef Py_ssize_t i
    for i in range(n):
        others += w[i] != 1
    return others == 0


include "scalars.pxi"
include "elements.pxi"
include "softmax.pxi"

cdef struct Clip:  # of probabilities to [eps, 1 - eps], in numbers of the computing type
    double eps
    double floor  # the least number that is not below eps
    double below  # the one before it, or 0
    double top  # 1 - eps
    bint zero_outside  # derivatives are 0 where a probability is clipped

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
    Clip clip
    bint wanted_sum
    Accumulator sum
    Py_ssize_t bad  # start of the first block with an input outside its domain, or -1
    int unusable  # why a result cannot be computed, or 0
    Py_ssize_t room_size  # bytes of scratch for each thread
    char *room  # of this thread
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
    block.weights = block_of(&job.weights, start, block.n, scratch, zero)
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
        u = block_of(&job.upstream, start, block.n, &upstream[0], one)
    else:
        for i in range(padded(block.n)):
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


cdef int wanted_results(const Job *job) noexcept nogil:
    cdef int wanted = VALUE_SUM if job.wanted_sum else 0
    wanted |= VALUE_EACH if job.value.data != NULL else 0
    wanted |= GRADIENT if job.gradient.data != NULL else 0
    wanted |= HESSIAN if job.hessian.data != NULL else 0
    return wanted


cdef void run_elements(Job *job, Py_ssize_t first, Py_ssize_t last, real unused) noexcept nogil:
    cdef real scratch[8][ELEMENTS]
    cdef double wide[ELEMENTS]
    cdef Binary loss
    cdef Block block
    cdef int wanted = wanted_results(job)
    cdef Py_ssize_t i, start
    cdef Py_ssize_t former = 0
    cdef Py_ssize_t number
    set_loss(job, &loss, unused)
    for i in range(min(padded(job.n - first * ELEMENTS), <Py_ssize_t>ELEMENTS)):
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
        block.x = block_of(&job.x, start, block.n, &scratch[0][0], <real>1)
        block.targets = block_of(&job.targets, start, block.n, &scratch[1][0], <real>1)
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
        x = block_of(&job.x, start, n, scratch, <real>0)
        if job.activation == SIGMOID:
            sigmoids_of(n, x, place)
        elif job.activation == LOG_SIGMOID:
            log_sigmoids_of(n, x, place)
        else:
            sigmoid_backward_block(n, x, block_of(&job.targets, start, n, upstream, <real>0), place)
        if place == &out[0]:
            store(&job.gradient, start, n, place)


include "rows_rest.pxi"
include "rows.pxi"
include "rows_driver.pxi"

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


include "probe.pxi"
