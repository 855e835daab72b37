# The typed loops, compiled once for each instruction-set level.
#
# A call takes one way. The entry point (loss or activation, in entry.pxi) takes arrays of numbers and fills a Call and
# a Plan. calls.pxi makes the passes that the call needs, pool.pxi gives threads their blocks, and passes.pxi calls the
# driver of the kind: blocks.pxi, probability_rows.pxi, logit_rows.pxi or softmax_backward.pxi. A driver loads a block
# of elements or rows at a fixed position, lets elements.pxi, distributions.pxi, or softmax.pxi and rows.pxi compute
# what is wanted, adds the block's sum to the exact one, and stores the results. Arrays of another layout or type pass
# through buffers of one block.
#
# Functions of elements work on whole vectors of a block: a tail is copied to a local one, padded. Those of rows take a
# number of lanes. The order of every sum is fixed by the positions alone. LANES, SUM_LANES, WIDTH, MAX_TILE_CLASSES,
# BATCH, the lengths of blocks and the ranges of scalar_math.h are part of the bits that a release promises.
#
# For a loop to become vector code, a selection takes numbers that were computed before it (a load or a call in one of
# its arms would be a branch), and constants come from local variables.

import os
import threading
from time import sleep

cimport numpy as cnp
from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport INFINITY, NAN, fabs, fabsf, ldexp, sqrt, sqrtf
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, llabs, malloc
from libc.string cimport memcpy, memmove, memset

from cecore._checks import SMALL_STACK, WEIGHTS_TOO_LARGE, WEIGHTS_TOO_SMALL, BadBlock, Suspicious
from cecore._threads import thread_count

cnp.import_array()

cdef extern from "compiler.h" nogil:
    const bint CECORE_HAS_FMA
    const char *CECORE_COMPILER
    const char *CECORE_FLAGS
    double CECORE_FMA(double, double, double) noexcept
    float CECORE_FMAF(float, float, float) noexcept

cdef extern from "scalar_math.h" nogil:
    const double CECORE_LEAST_PRODUCT
    const double CECORE_ORDINARY
    const float CECORE_ORDINARYF
    const double CECORE_LEAST_NORMAL
    const float CECORE_LEAST_NORMALF
    const double CECORE_LOG2E
    const float CECORE_LOG2EF
    const double CECORE_INTEGERS
    const float CECORE_INTEGERSF
    uint64_t cecore_bits(double) noexcept
    uint32_t cecore_bitsf(float) noexcept
    double cecore_double(uint64_t) noexcept
    float cecore_float(uint32_t) noexcept
    double cecore_log1p_unit(double, double) noexcept
    float cecore_log1p_unitf(float, float) noexcept
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

cdef extern from "modes.h" nogil:
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
    void cecore_prefetch(const char *, Py_ssize_t) noexcept
    void cecore_stream(char *, const char *, Py_ssize_t) noexcept
    void cecore_stream_end() noexcept
    void cecore_transpose(const double *, Py_ssize_t, double *, Py_ssize_t) noexcept
    void cecore_transposef(const float *, Py_ssize_t, float *, Py_ssize_t) noexcept

cdef enum:
    LANES = 8
    BLOCK = 256  # rows, or numbers of a row
    SUM_LANES = 16  # of a block's sum
    WIDTH = 64  # lanes of a row's sum; rows that are computed side by side

ctypedef fused real:
    float
    double


cdef inline Py_ssize_t blocks(Py_ssize_t n) noexcept nogil:
    return (n + BLOCK - 1) // BLOCK


cdef inline Py_ssize_t padded(Py_ssize_t n) noexcept nogil:
    # as many as are computed of n elements of a block: whole vectors, so that a loop over them has no end of its own
    return (n + SUM_LANES - 1) & -SUM_LANES


cdef inline Py_ssize_t width(real of_type) noexcept nogil:
    # The lanes of a register of 64 bytes, SUM_LANES or half as many. Here and elsewhere, the value of `of_type` is not
    # read: it only says which type `real` is.
    return 64 // sizeof(real)


include "accumulator.pxi"
include "arrays.pxi"
include "sums.pxi"
include "scalars.pxi"
include "plan.pxi"
include "elements.pxi"
include "softmax.pxi"
include "rows.pxi"

include "blocks.pxi"
include "targets.pxi"
include "distributions.pxi"
include "probability_rows.pxi"
include "logit_rows.pxi"
include "softmax_backward.pxi"

include "passes.pxi"
include "pool.pxi"
include "suspicious.pxi"
include "calls.pxi"
include "entry.pxi"


# ---------------------------------------------------------------- for the tests and tools

has_fma = bool(CECORE_HAS_FMA)
compiler = CECORE_COMPILER.decode()
flags = CECORE_FLAGS.decode()

include "probe.pxi"
