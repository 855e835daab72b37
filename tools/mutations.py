"""Insert deliberate defects into copies of cecore, and check that the tests notice each of them.

    python tools/mutations.py            all defects (an hour or more)
    python tools/mutations.py NAME...    only the defects with these names, such as "tail dropped"
    python tools/mutations.py --check    only check that each defect can still be inserted (a second)

The tool compiles a copy of the repository, and runs a part of the test suite there, without a defect. These tests must
pass. Then it makes a copy for each defect and runs the same tests. A test must fail, and the same test must pass
without the defect. A defect in the kernels needs one level compiled again; a defect in Python code needs no compiler.
The tool exits with 1 if a defect is not noticed or does not compile, or if a test fails without a defect. It needs an
x86-64 processor with AVX2.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TESTS = (
    "golden math losses arrays options activations halves layouts threads streaming objects inputs messages sources "
    "bounds hostile environment"
)
BASELINE, USUAL = "baseline", "x86_v3"  # instruction-set levels
LONGEST = 1200  # seconds that a run of the tests can take; a defect that makes them hang is noticed


class Mutation(NamedTuple):
    name: str
    file: str
    before: str  # occurs exactly once in the file
    after: str
    first: str = ""  # what is run before the other tests: "arrays" or "math::test_power", or several of these


CHECKS = "src/cecore/_checks.py"
LOSSES = "src/cecore/losses.py"
STREAMING = "src/cecore/streaming.py"
ACTIVATIONS = "src/cecore/activations.py"
THREADS = "src/cecore/_threads.py"
DISPATCH = "src/cecore/_dispatch.py"
KERNELS = "src/cecore/kernels/kernels.pxi"
ACCUMULATOR = "src/cecore/kernels/accumulator.pxi"
ARRAYS = "src/cecore/kernels/arrays.pxi"
SUMS = "src/cecore/kernels/sums.pxi"
SOFTMAX = "src/cecore/kernels/softmax.pxi"
PASSES = "src/cecore/kernels/passes.pxi"
ENTRY = "src/cecore/kernels/entry.pxi"
CALLS = "src/cecore/kernels/calls.pxi"
TARGETS = "src/cecore/kernels/targets.pxi"
BLOCKS = "src/cecore/kernels/blocks.pxi"
PROBABILITY_ROWS = "src/cecore/kernels/probability_rows.pxi"
LOGIT_ROWS = "src/cecore/kernels/logit_rows.pxi"
ELEMENTS = "src/cecore/kernels/elements.pxi"
FUNCTIONS = "src/cecore/kernels/scalar_functions.h"
ROWS = "src/cecore/kernels/rows.pxi"
SOFTMAX_BACKWARD = "src/cecore/kernels/softmax_backward.pxi"
DISTRIBUTIONS = "src/cecore/kernels/distributions.pxi"
POOL = "src/cecore/kernels/pool.pxi"
SCALAR = "src/cecore/kernels/scalar_math.h"
MODES = "src/cecore/kernels/modes.h"
MUTATIONS = [
    Mutation("contraction", "setup.py", '"-ffp-contract=off"', '"-ffp-contract=fast"'),
    Mutation(
        "two lanes swapped",
        ELEMENTS,
        "products.product[kind][products.count + j] = product\n",
        "products.product[kind][products.count + (j ^ 1 if j < 2 else j)] = product\n",
    ),
    Mutation(
        "tail of the elements dropped",
        ARRAYS,
        "    for i in range(n, padded(n)):\n        scratch[i] = padding",
        "    pass",
    ),
    Mutation(
        "targets of the first block reused",
        BLOCKS,
        "block_of(&call.targets, start, block.n, &scratch[1][0], <real>1)",
        "block_of(&call.targets, 0, block.n, &scratch[1][0], <real>1)",
    ),
    Mutation("last block dropped", KERNELS, "    return (n + BLOCK - 1) // BLOCK", "    return n // BLOCK"),
    Mutation("one fallback missed", ELEMENTS, "        only_label(y[j], &lanes.checks, j)\n", ""),
    Mutation("small products kept", ELEMENTS, "product = 1 if product < CECORE_LEAST_PRODUCT else 0", "product = 0"),
    Mutation("weights not checked", ELEMENTS, "    only_zero(w - w, checks, j)\n", ""),
    Mutation(
        "clip moved by an ULP", DISTRIBUTIONS, "value = 0 if b < cut else value", "value = 0 if b <= cut else value"
    ),
    Mutation("control word of the caller kept", MODES, "    _mm_setcsr(0x1f80);\n", ""),
    Mutation(
        "last coefficient changed",
        SCALAR,
        "0x1.2f03baed268bdp-3",
        "0x1.2f03baed268b0p-3",
        "math::test_the_constants_are_derived",
    ),
    Mutation(
        "larger sigmoid branch by subtraction", FUNCTIONS, "    return n * quotient;\n", "    return 1 - *smaller;\n"
    ),
    Mutation("low parts of the logits dropped", ROWS, "low = low if absolute(d) < 1000 else zero", "low = zero"),
    Mutation("largest exponentials not counted", SOFTMAX, "(block.ties[r] - 1) * largest[r]", "0 * largest[r]"),
    Mutation(
        "rounding errors of sums dropped",
        SUMS,
        "    cdef double exact = sum + error\n",
        "    cdef double exact = sum\n",
    ),
    Mutation(
        "rounding error of the largest dropped",
        SOFTMAX,
        "        errors[r] = error\n",
        "        errors[r] = 0\n",
    ),
    Mutation(
        "slow rows on the fast path", SOFTMAX, "offset[0] = maximum if fabs(maximum) > 2048 else 0", "offset[0] = 0"
    ),
    Mutation("two +inf taken for one", SOFTMAX, "return <real>0 if infinite == 1 else <real>NAN", "return <real>0"),
    Mutation(
        "ignored rows counted",
        PASSES,
        "if labels[i] == IGNORED:\n                counted[i] = 0",
        "if False:\n                counted[i] = 0",
    ),
    Mutation(
        "one-hot rows on the general path",
        TARGETS,
        "return place if ones == 1 and place < classes else <int64_t>NOT_ONE_HOT",
        "return NOT_ONE_HOT",
    ),
    Mutation(
        "cross term of products dropped",
        ELEMENTS,
        "CECORE_FMA(lanes.complement[kind][j], c, c) + lanes.complement[kind][j]",
        "c + lanes.complement[kind][j]",
    ),
    Mutation("only the first class read", ARRAYS, "        origin += start % length * step\n", ""),
    Mutation("dimensions merged too often", ENTRY, "layout.strides[last] == size * stride", "stride != 0"),
    Mutation(
        "results in the wrong byte order",
        ARRAYS,
        "        if array.swapped:\n            swap_bytes(<char *>&room[0], array.size, count)\n",
        "",
    ),
    Mutation(
        "classes that lie apart read row by row as if side by side",
        LOGIT_ROWS,
        "        load(array, start + k, True, rows, column)\n",
        "        load(array, start + k, False, rows, column)\n",
    ),
    Mutation("overlaps not detected", ENTRY, "return a.low < b.low + b.bytes and", "return False and"),
    Mutation("lowest address taken from the first number", ENTRY, "array.low += min(step, <Py_ssize_t>0)", "pass"),
    Mutation("windows taken as outputs", ENTRY, "if stride < within:", "if stride == 0:"),
    Mutation("short rows taken as contiguous", ARRAYS, "place += row_stride\n", "place += n * size\n"),
    Mutation("several rows taken for one", ARRAYS, "strides[last - 1] == length * step", "ndim > 1"),
    Mutation("sum of a worker dropped", POOL, "    accumulator_merge(&task.sum, &state.sum)\n", ""),
    Mutation("last error reported instead of the first", POOL, "min(task.bad, state.bad)", "max(task.bad, state.bad)"),
    Mutation(
        "workers not reset after a fork",
        POOL,
        "before=retire, after_in_child=forget",
        "before=retire",
        "environment::test_a_signal_handler_may_fork",
    ),
    Mutation("rounding error of a lane dropped", SUMS, "        lost[j] += lost[j + half]\n", ""),
    Mutation("weights not added up", STREAMING, "a[2] + b[2]", "a[2]"),
    Mutation("halves truncated", SCALAR, "+ 0xfff + (magnitude >> 13 & 1)", "+ 0"),
    # -------------------------------------------------------- the accumulator, sums, threads
    Mutation(
        "special of a worker dropped",
        ACCUMULATOR,
        "    sum.special += other.special\n",
        "",
        "threads::test_a_sum_that_is_not_finite",
    ),
    Mutation(
        "last special kept alone", ACCUMULATOR, "sum.special += x", "sum.special = x", "math::test_ties_and_carries"
    ),
    Mutation(
        "carries not passed on",
        ACCUMULATOR,
        "    if sum.pending == ADDITIONS_BETWEEN_CARRIES:\n        accumulator_carry(sum)\n",
        "",
        "math::test_carries_are_passed_on_before_a_limb_overflows",
    ),
    Mutation(
        "carries passed on too late",
        ACCUMULATOR,
        "BETWEEN_CARRIES = 1 << 29",
        "BETWEEN_CARRIES = 1 << 33",
        "math::test_carries_are_passed_on_before_a_limb_overflows",
    ),
    Mutation("ties rounded up", ACCUMULATOR, "(tail != 0 or kept & 1)", "True", "math::test_ties_and_carries"),
    Mutation(
        "negative rounding errors added",
        SUMS,
        "    if lost < 0:",
        "    if False:",
        "losses::test_the_divisor_is_exact",
    ),
    Mutation(
        "rounding error of a block dropped",
        SUMS,
        "    accumulator_add(sum, lost)\n",
        "",
        "losses::test_the_divisor_is_exact",
    ),
    Mutation(
        "tail of a row not summed",
        SUMS,
        "for j in range(n - i):",
        "for j in range(0):",
        "losses::test_long_rows_and_many_classes",
    ),
    Mutation(
        "NaN from the rounding error of an infinite sum",
        SUMS,
        "return exact if sum - sum == 0 else sum",
        "return exact",
        "options::test_an_infinite_term_makes_the_loss_of_its_row_infinite",
    ),
    Mutation(
        "work goes on after an error",
        POOL,
        "first = -1 if state.bad >= 0 or halted(&state) else claim(task, &last)",
        "first = -1 if halted(&state) else claim(task, &last)",
        "threads::test_the_first_error_is_the_one_that_is_raised",
    ),
    Mutation(
        "control word of a worker kept",
        POOL,
        "    saved = cecore_enter()\n    state.calling =",
        "    saved = cecore_enter()\n    cecore_leave(saved)\n    state.calling =",
        "threads::test_workers_have_their_own_control_word",
    ),
    Mutation(
        "errors of workers dropped",
        POOL,
        "    state.bad = task.bad\n",
        "",
        "threads::test_the_first_error_is_the_one_that_is_raised",
    ),
    # -------------------------------------------------------- one call
    Mutation(
        "phase of pos_weight reset in each block",
        BLOCKS,
        "    k = start % length\n",
        "    k = 0\n",
        "options::test_pos_weight_whose_length_does_not_divide_a_block",
    ),
    Mutation(
        "change during a call in place not seen",
        ENTRY,
        "outcome.bad >= 0 and outcome.overwritten:  #",
        "False:  #",
        "arrays::test_an_input_that_a_call_in_place_changes_unseen",
    ),
    Mutation(
        "scale rounded to float32",
        CALLS,
        "is_extreme(options.eps) or is_awkward(plan.scale) or options.awkward",
        "is_extreme(options.eps) or options.awkward",
        "losses::test_upstream_beyond_float32",
    ),
    Mutation(
        "eps rounded to float32",
        CALLS,
        "is_extreme(options.eps) or is_awkward(plan.scale) or options.awkward",
        "is_awkward(plan.scale) or options.awkward",
        "losses::test_eps_below_float32",
    ),
    Mutation(
        "upstream not rounded to float32",
        ENTRY,
        "call.weights.narrow = call.upstream.narrow = in_halves(call.x.type)",
        "call.weights.narrow = in_halves(call.x.type)\n    call.upstream.narrow = False",
        "losses::test_arrays_beside_float32_predictions_are_rounded_to_float32",
    ),
    Mutation(
        "weights not rounded to float32",
        ENTRY,
        "call.weights.narrow = call.upstream.narrow = in_halves(call.x.type)",
        "call.upstream.narrow = in_halves(call.x.type)\n    call.weights.narrow = False",
        "losses::test_arrays_beside_float32_predictions_are_rounded_to_float32",
    ),
    Mutation(
        "touching windows taken as outputs",
        ENTRY,
        "within += (cnp.PyArray_DIM(out, i) - 1) * stride",
        "within += (cnp.PyArray_DIM(out, i) - 2) * stride",
        "arrays::test_windows_that_share_one_number_are_no_output",
    ),
    Mutation(
        "extent of negative strides not counted",
        ENTRY,
        "array.bytes += max(step, -step)",
        "array.bytes += max(step, <Py_ssize_t>0)",
        "layouts::test_views_of_one_matrix",
    ),
    # -------------------------------------------------------- arrays
    Mutation(
        "longdouble labels rounded",
        TARGETS,
        "out[i] if <any_label>out[i] == data[i] else INVALID",
        "out[i]",
        "options::test_longdouble_labels_are_not_rounded",
    ),
    Mutation(
        "unsigned labels taken for negative ones",
        TARGETS,
        "if options.ignores == kind:",
        "if options.ignores:",
        "options::test_large_labels_are_not_the_ignored_one",
    ),
    Mutation(
        "limit of the tolerance moved",
        ARRAYS,
        "(-value <= outside)",
        "(-value < outside)",
        "inputs::test_probabilities_just_outside_count_as_0_or_1",
    ),
    Mutation(
        "carry of an index passed on once",
        ARRAYS,
        "rest //= layout.shape[d]\n",
        "rest //= layout.shape[last - 1]\n",
        "arrays::test_arrays_of_many_dimensions_in_any_layout",
    ),
    Mutation(
        "four rows of three classes at the end",
        ARRAYS,
        "r = min(i, rows - 4)",
        "r = i",
        "bounds::test_losses",
    ),
    Mutation(
        "only the first zeros stored",
        ARRAYS,
        "store_apart(array, start + piece * BLOCK, False, min",
        "store_apart(array, start, False, min",
        "arrays::test_gradients_of_nothing_in_any_layout",
    ),
    Mutation(
        "True taken as its bits",
        ARRAYS,
        "out[i] = 1 if data[i] != 0 else 0",
        "out[i] = <unsigned char>data[i]",
        "arrays::test_what_stands_for_true",
    ),
    # -------------------------------------------------------- rows
    Mutation(
        "labels of long arrays of many dimensions",
        PROBABILITY_ROWS,
        "load(x, (start + i) * classes + labels[i], False, 1, &out[i])",
        "load(x, (start + i) % 1024 * classes + labels[i], False, 1, &out[i])",
        "arrays::test_labels_choose_the_same_in_any_number_of_dimensions",
    ),
    Mutation(
        "a 1 among other targets taken as a label",
        TARGETS,
        "if ones[r] == 1 and others[r] == 1 else",
        "if ones[r] == 1 else",
        "losses::test_values_and_derivatives_at_the_edges",
    ),
    Mutation(
        "NaN targets of classes without weight",
        TARGETS,
        "    return 0 if weight == 0 else value\n",
        "    return value\n",
        "options::test_a_class_of_weight_zero_is_not_looked_at",
    ),
    Mutation(
        "terms without weight checked",
        DISTRIBUTIONS,
        "(segment.all_rows or segment.row_mask[i]) and w[i] != 0",
        "segment.all_rows or segment.row_mask[i]",
        "losses::test_weight_zero_is_never_looked_at_with_smoothed_targets",
    ),
    Mutation("targets above 1", DISTRIBUTIONS, "cdef real most = 1\n", "cdef real most = INFINITY\n"),
    Mutation("terms of the first row in every row", DISTRIBUTIONS, "total += x[r * classes + k]", "total += x[k]"),
    Mutation(
        "last terms of long rows dropped",
        DISTRIBUTIONS,
        "range(2 * pairs * SUM_LANES, n)",
        "range(2 * pairs * SUM_LANES, n - 1)",
    ),
    Mutation("infinite factors on the fast path", DISTRIBUTIONS, " and all_finite(factors, segment.rows)", ""),
    Mutation(
        "losses of rows without weight",
        DISTRIBUTIONS,
        "        value = weight * losses[i]\n        out[i] = 0 if weight == 0 else value",
        "        out[i] = losses[i]",
        "losses::test_weight_zero_is_never_looked_at_with_smoothed_targets",
    ),
    Mutation(
        "infinite weights of rows taken as invalid",
        BLOCKS,
        "        flags |= KNOWN_WEIGHTS\n",
        "        pass\n",
        "arrays::test_weights_whose_product_is_infinite",
    ),
    Mutation(
        "cancellation near a probability of 1",
        ROWS,
        "largest[r] if block.rest[r] < largest[r] else minus_one",
        "-1",
        "options::test_the_gradient_of_a_class_near_1_is_relative",
    ),
    Mutation(
        "upstream of classes of probability 0",
        SOFTMAX_BACKWARD,
        "out[i] = 0 if s[i] == 0 else value",
        "out[i] = value",
        "activations::test_upstream_of_a_probability_of_zero",
    ),
    # -------------------------------------------------------- checks
    Mutation(
        "overlaps too hard to find taken for none",
        CHECKS,
        "TooHardError:  # NumPy 1.25 moved it\n        return True",
        "TooHardError:\n        return False",
        "arrays::test_an_overlap_that_is_too_hard_to_find",
    ),
    Mutation(
        "elements without weight explained",
        CHECKS,
        "        if w is not None and w[index] == 0:",
        "        if False:",
        "arrays::test_the_error_that_is_named_is_one_that_counts",
    ),
    Mutation(
        "touching windows accepted",
        CHECKS,
        "within += (length - 1) * stride",
        "within += (length - 2) * stride",
        "arrays::test_windows_that_share_one_number_are_no_output",
    ),
    Mutation(
        "outputs of another type taken as the same",
        CHECKS,
        "(a.shape, a.dtype) != (b.shape, b.dtype)",
        "a.shape != b.shape",
        "arrays::test_an_output_in_the_memory_of_predictions_of_another_type",
    ),
    Mutation(
        "strides of the same array not compared",
        CHECKS,
        "all(first == second for first, second, length in strides if length > 1)",
        "True",
        "arrays::test_an_output_in_the_memory_of_predictions_of_another_type",
    ),
    Mutation(
        "prepared calls in place not marked",
        CHECKS,
        "            in_place = True\n",
        "",
        "arrays::test_a_call_that_raises_has_changed_no_input",
    ),
    Mutation(
        "NaN of plain columns taken as missing",
        CHECKS,
        "np.asarray(value.isna()) & nullable",
        "np.asarray(value.isna())",
        "sources::test_nan_beside_nullable_columns_is_data",
    ),
    Mutation(
        "columns of frames not compared",
        CHECKS,
        'for labels in ("index", "columns"):',
        'for labels in ("index",):',
        "messages::test_the_message",
    ),
    Mutation(
        "a single weight not checked",
        CHECKS,
        "    if not weight.shape and not is_weight(weight[()].item()):\n",
        "    if False:\n",
        "inputs::test_weights_are_not_aligned_by_a_guess",
    ),
    Mutation(
        "infinite class weights accepted",
        CHECKS,
        "bad = ~((converted >= 0) & np.isfinite(converted))",
        "bad = ~(converted >= 0)",
        "objects::test_bad_options",
    ),
    Mutation(
        "minus zero kept in options", CHECKS, "return abs(result)", "return result", "objects::test_objects_are_values"
    ),
    Mutation(
        "byte order of bfloat16 dropped",
        CHECKS,
        "np.dtype(np.uint16).newbyteorder(array.dtype.byteorder)",
        "np.dtype(np.uint16)",
        "layouts::test_any_call_has_the_bits_of_the_plain_one",
    ),
    Mutation(
        "tolerance of bfloat16 halved",
        CHECKS,
        "return TOLERATED * 2.0**-7",
        "return TOLERATED * 2.0**-8",
        "inputs::test_bfloat16_just_outside",
    ),
    Mutation(
        "smoothed classes not explained",
        CHECKS,
        "used = ~(t <= 0) | (spec.label_smoothing != 0)",
        "used = ~(t <= 0)",
        "arrays::test_bad_calls_with_options",
    ),
    Mutation(
        "class weights not explained",
        CHECKS,
        "used &= np.asarray(spec.class_weight) != 0",
        "pass",
        "arrays::test_the_error_that_is_named_is_one_that_counts_with_options",
    ),
    Mutation(
        "phase of pos_weight not explained",
        CHECKS,
        "[i % np.size(spec.pos_weight)]",
        "[0]",
        "arrays::test_the_error_that_is_named_is_one_that_counts_with_options",
    ),
    Mutation(
        "a warning before the error of its row",
        CHECKS,
        "            _explain(spec, call, row, row + 1)\n",
        "            pass\n",
        "inputs::test_infinities_are_errors_and_not_warnings",
    ),
    Mutation(
        "a warning that holds its numbers",
        CHECKS,
        'text = "a row of probs does not sum to 1. If',
        'text = f"a row {call.x[0]} of probs does not sum to 1. If',
        "inputs::test_rows_that_do_not_sum_to_1",
    ),
    Mutation(
        "overlapping outputs accepted",
        CHECKS,
        "others = inputs | {other: o for other, o in zip(names, views, strict=True) if o is not out}",
        "others = inputs",
        "arrays::test_more_bad_outputs",
    ),
    Mutation(
        "order of weights not checked",
        CHECKS,
        "list(value.index) != list(range(len(value)))",
        "not value.index.is_unique",
        "messages::test_the_message",
    ),
    # -------------------------------------------------------- losses, accumulators, activations
    Mutation(
        "options forgotten by replace",
        LOSSES,
        "return type(self)(**{**self._given(), **options})",
        "return type(self)(**options)",
        "objects::test_objects_are_values",
    ),
    Mutation(
        "losses of subclasses equal",
        LOSSES,
        "return type(self) is type(other) and",
        "return",
        "objects::test_losses_can_be_subclassed",
    ),
    Mutation(
        "True taken for 1 among the options",
        LOSSES,
        "maxsize=64, typed=True",
        "maxsize=64",
        "objects::test_bad_options",
    ),
    Mutation(
        "options that can change remembered",
        LOSSES,
        "if type(weights) in _IMMUTABLE:",
        "if True:",
        "objects::test_the_functions_see_a_change_of_their_options",
    ),
    Mutation(
        "length of the weights not checked",
        LOSSES,
        "length=len(each) if isinstance(weights, tuple) else 0",
        "length=0",
        "messages::test_the_message",
    ),
    Mutation(
        "frames of the library in errors",
        LOSSES,
        "_checks.InputWarning) as error:\n            if not _checks.is_own(error):",
        "_checks.InputWarning) as error:\n            if error:",
        "messages::test_the_message",
    ),
    Mutation(
        "NaN kept back by a divisor of 0",
        STREAMING,
        "        if divisor == 0:\n            return math.nan\n",
        "        if divisor == 0 and not special:\n            return math.nan\n",
        "streaming::test_infinities_with_a_divisor_of_zero",
    ),
    Mutation(
        "special sum not returned",
        STREAMING,
        "return special or _dispatch.kernels.rounded(total, divisor)",
        "return _dispatch.kernels.rounded(total, divisor)",
        "streaming::test_infinities_and_nan",
    ),
    Mutation(
        "rounding error of the divisor dropped",
        CALLS,
        "total, accumulator_lost(&below, total), &low) + low",
        "total, 0, &low) + low",
        "streaming::test_one_update_has_the_bits_of_the_call",
    ),
    Mutation(
        "accumulators changed by a sum",
        STREAMING,
        "        result = _restore(self._loss, self._sums)\n        result.merge(other)",
        "        result = self\n        result.merge(other)",
        "inputs::test_sum_of_accumulators",
    ),
    Mutation(
        "axis of another type accepted",
        ACTIVATIONS,
        "if type(axis) is int and (",
        "if (",
        "activations::test_bad_calls",
    ),
    Mutation(
        "softmax along the last axis alone",
        ACTIVATIONS,
        "axis == x.ndim - 1",
        "axis == 0",
        "activations::test_layouts_outputs_and_axes",
    ),
    Mutation(
        "upstream of bfloat16 as it is",
        ACTIVATIONS,
        "flags, (x, _, _, upstream) = _checks",
        "flags, (x, *_) = _checks",
        "layouts::test_any_activation_has_the_bits_of_the_plain_one",
    ),
    Mutation(
        "upstream of another shape",
        ACTIVATIONS,
        "    if upstream.shape != x.shape:",
        "    if upstream.ndim != x.ndim:",
        "activations::test_bad_calls",
    ),
    # -------------------------------------------------------- threads, levels
    Mutation(
        "part of a CPU not used",
        THREADS,
        "max(1, math.ceil(quota))",
        "max(1, int(quota))",
        "threads::test_a_part_of_a_cpu_counts_as_a_whole_one",
    ),
    Mutation(
        "control groups above not read",
        THREADS,
        "while folder != mount:",
        "while False:",
        "threads::test_quota_of_control_groups",
    ),
    Mutation(
        "more threads than there is room for",
        THREADS,
        "min(cpus or 1, _limit(), MOST)",
        "min(cpus or 1, _limit())",
        "threads::test_no_more_threads_than_the_kernels_have_room_for",
    ),
    Mutation(
        "many threads in every thread",
        THREADS,
        "return usable() if main else 1",
        "return usable()",
        "threads::test_other_threads_have_one_unless_set",
    ),
    Mutation(
        "setting not restored after an error",
        THREADS,
        "    try:\n        yield\n    finally:\n        _setting.number = former",
        "    yield\n    _setting.number = former",
        "threads::test_settings",
    ),
    Mutation(
        "level of the CPU not asked for",
        DISPATCH,
        '    if LEVELS[name] > baseline.cpu_level():\n        return "not supported by this CPU"\n',
        "",
        "objects::test_levels_that_cannot_be_used",
    ),
    Mutation(
        "a level that does not load stops the import",
        DISPATCH,
        "    except ImportError as error:\n",
        "    except ValueError as error:\n",
        "objects::test_levels_that_cannot_be_used",
    ),
    Mutation(
        "lowest level chosen",
        DISPATCH,
        "if LEVELS[name] <= limit][-1]",
        "if LEVELS[name] <= limit][0]",
        "objects::test_the_level_can_be_lowered",
    ),
    Mutation(
        "elements hidden by rounded weights",
        BLOCKS,
        "            w[i] = 1 if state.plan.lifted else 0\n",
        "",
        "losses::test_a_weight_that_float32_rounds_to_0_counts_as_0_but_its_element_is_checked",
    ),
    Mutation(
        "rounded weights of one thread forgotten",
        POOL,
        "    task.noticed |= state.noticed\n",
        "",
        "threads::test_weights_that_vanish_in_one_thread",
    ),
    Mutation(
        "infinite divisors accepted",
        CALLS,
        "    if divisor == INFINITY:\n",
        "    if False:\n",
        "streaming::test_weights_whose_sum_overflows",
    ),
    Mutation(
        "infinite inverses accepted",
        CALLS,
        "elif plan.wanted & GRADIENT and fabs(plan.scale) == INFINITY",
        "elif False and fabs(plan.scale) == INFINITY",
        "losses::test_a_gradient_whose_scale_overflows_is_an_error",
    ),
    Mutation(
        "overflow of two updates accepted",
        STREAMING,
        "if total[2] >= _OVERFLOW and",
        "if False and",
        "streaming::test_weights_whose_sum_overflows",
    ),
    Mutation(
        "weights of rows multiplied in float",
        TARGETS,
        "        out[i] = 0 if weight == 0 else out[i] * weight\n",
        "        out[i] = 0 if weight == 0 else <double>(<real>(out[i] * weight))\n",
        "options::test_products_of_two_weights_may_lie_beyond_float32",
    ),
    Mutation(
        "what the scale lost dropped without weights",
        BLOCKS,
        "    cdef double factor = cecore_product(1, state.plan.scale, state.plan.scale_low)\n",
        "    cdef double factor = state.plan.scale\n",
        "options::test_weights_of_1_are_absence_beside_class_weights",
    ),
    Mutation(
        "signals not answered in long rows",
        POOL,
        "    return piece % PIECES_BETWEEN_LOOKS == PIECES_BETWEEN_LOOKS - 1 and halted(state)",
        "    return False",
        "environment::test_a_long_row_is_ended_too",
    ),
    Mutation(
        "signals not answered without helpers",
        POOL,
        "first = count if state.bad >= 0 or (last < count and halted(state)) else last",
        "first = count if state.bad >= 0 else last",
        "environment::test_an_exception_of_a_signal_handler_ends_a_call",
    ),
    Mutation(
        "interrupted sums added",
        CALLS,
        "    return -1 if watch.stopped else 0\n",
        "    return 0\n",
        "environment::test_signals_at_random_points",
    ),
    Mutation(
        "control word of the x87 unit kept",
        MODES,
        '    if (saved != usual)\n        __asm__ volatile("fldcw %0" : : "m"(usual) : "memory");\n',
        "",
        "environment::test_long_double_is_rounded_to_nearest",
    ),
    Mutation(
        "values rounded in the mode of the caller",
        CALLS,
        "    saved = cecore_enter()\n    if divisor is None:",
        "    saved = cecore_enter()\n    cecore_leave(saved)\n    if divisor is None:",
        "environment::test_an_accumulator_is_rounded_to_nearest",
    ),
    Mutation(
        "stack not measured",
        ENTRY,
        "    if left < LEAST_LEFT:\n",
        "    if left < 1:\n",
        "environment::test_a_thread_with_a_small_stack",
    ),
    Mutation(
        "attributes of subclasses believed",
        CHECKS,
        "    return array if type(array) is np.ndarray else np.ndarray.view(array, np.ndarray)\n",
        "    return array\n",
        "hostile",
    ),
]


def copy_of(source: Path, target: Path) -> Path:
    ignored = [".git", "build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"]
    if source == ROOT:
        ignored += ["*.so", "*.pyd"]
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*ignored))
    return target


BUILD = """
import sys
import setuptools
from distutils.core import run_setup  # the one of setuptools

build = run_setup("setup.py", ["-q", "build_ext", "--inplace"], stop_after="commandline")
build.ext_modules = [module for module in build.ext_modules if module.name.rpartition(".")[2] in sys.argv[1:]]
build.run_commands()
"""


def compile_levels(folder: Path, *levels: str) -> bool:
    """Compile some levels of the kernels in place. Return whether that succeeded."""
    environment = {**os.environ, "CECORE_REQUIRE_SIMD": "1"}
    command = [sys.executable, "-c", BUILD, *levels]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode == 0


def failing_test(folder: Path, level: str, tests: list[str]) -> str | None:
    """Run the tests in a copy up to the first failure. Return the name of the test that failed, or None."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "CECORE_SIMD": level, "PYTHONUNBUFFERED": "1"}
    others = " and ".join(f"not {other}" for other in ("baseline", "x86_v3", "x86_v4") if other != level)
    command = [sys.executable, "-m", "pytest", "-v", "-x", "-p", "no:cacheprovider", "-k", others, *tests]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
        )
        code, printed = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        code, printed = 1, (error.stdout or b"").decode()
    started = re.findall(r"^(tests/\S+?::.+?)(?: [A-Z]+(?: +\(.*\))?(?: +\[ *\d+%\])?)?\s*$", printed, re.MULTILINE)
    return None if code == 0 else started[-1] if started else tests[0]


def verdict(mutation: Mutation, clean: Path, folder: Path) -> tuple[bool, str]:
    """Return whether the tests notice a defect, and the test that fails."""
    copy = copy_of(clean, folder / re.sub(r"\W", "-", mutation.name))
    path = copy / mutation.file
    path.write_text(path.read_text().replace(mutation.before, mutation.after))
    in_python = mutation.file.endswith(".py") and mutation.file != "setup.py"
    if not in_python and not compile_levels(copy, USUAL):
        return False, "does not compile"
    # Two runs, because pytest 9 runs a test in the place of its file, if that is given too.
    failed = failing_test(copy, USUAL, paths(mutation.first)) if mutation.first else None
    failed = failed or failing_test(copy, USUAL, paths(TESTS))
    if failed is None:
        return False, "survived"
    if failing_test(clean, USUAL, [failed]) is not None:
        return False, f"{failed} fails without the defect, too"
    shutil.rmtree(copy)
    return True, failed


def paths(names: str) -> list[str]:
    """Return the paths of test files and the ids of tests, as pytest takes them."""
    parts = [name.partition("::") for name in names.split()]
    return [f"tests/test_{file}.py{colons}{test}" for file, colons, test in parts]


def report(name: str, right: bool, text: str, began: float) -> None:
    print(f"{name:52} {'' if right else 'WRONG: '}{text} ({time.monotonic() - began:.0f} s)", flush=True)


def main() -> int:
    names = [name for name in sys.argv[1:] if name != "--check"]
    unknown = set(names) - {mutation.name for mutation in MUTATIONS}
    wrong = [f"there is no defect with the name {name!r}" for name in unknown]
    for mutation in MUTATIONS:  # check all before the long run
        count = (ROOT / mutation.file).read_text().count(mutation.before)
        if count != 1:
            wrong.append(f"{mutation.name}: {mutation.file} contains {mutation.before!r} {count} times, not once")
        for path in paths(mutation.first):
            file, _, test = path.partition("::")
            if f"def {test}" not in (ROOT / file).read_text():
                wrong.append(f"{mutation.name}: there is no {path}")
    if wrong or "--check" in sys.argv:
        print(*wrong, sep="\n", end="\n" if wrong else "")
        return int(bool(wrong))
    chosen = [mutation for mutation in MUTATIONS if mutation.name in names or not names]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        clean = copy_of(ROOT, folder / "clean")
        if not compile_levels(clean, BASELINE, USUAL):
            print("the kernels do not compile")
            return 1
        failed = False
        for level in () if names else (BASELINE, USUAL):
            began = time.monotonic()
            test = failing_test(clean, level, paths(TESTS))
            failed |= test is not None
            report(f"no defect, {level}", test is None, "all tests pass" if test is None else f"{test} fails", began)
        noticed = 0
        for mutation in chosen:
            began = time.monotonic()
            right, text = verdict(mutation, clean, folder)
            noticed += right
            report(mutation.name, right, text, began)
    print(f"{noticed} of {len(chosen)} defects were noticed")
    return int(failed or noticed < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
