"""Build cecore with deliberate defects, and check that the tests notice each of them.

    python tools/mutations.py            (half an hour or more)
    python tools/mutations.py --check    only check that each defect can still be inserted (a second)

Each defect is inserted into a copy of the repository. The copy is compiled, and a part of the test suite runs on it.
The tests must fail. The first two runs have no defect, and their tests must pass. The tool exits with 1 if a run ends
otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TESTS = ["tests/test_golden.py", "tests/test_math.py", "tests/test_losses.py", "tests/test_arrays.py"]
TESTS += ["tests/test_options.py", "tests/test_activations.py", "tests/test_halves.py"]
TESTS += ["tests/test_layouts.py", "tests/test_threads.py", "tests/test_streaming.py"]


class Mutation(NamedTuple):
    name: str
    file: str = ""
    before: str = ""
    after: str = ""
    levels: str = "x86_v3"  # the instruction-set level that the tests use


KERNELS = "src/cecore/kernels/kernels.pxi"
ARRAYS = "src/cecore/kernels/arrays.pxi"
SUMS = "src/cecore/kernels/sums.pxi"
PROBABILITIES = "src/cecore/kernels/probabilities.pxi"
LOGITS = "src/cecore/kernels/logits.pxi"
SOFTMAX = "src/cecore/kernels/softmax.pxi"
ROWS = "src/cecore/kernels/rows.pxi"
POOL = "src/cecore/kernels/pool.pxi"
CUT = "value = 0 if b < cut else value\n        if weighted:"
MUTATIONS = [
    Mutation("no defect"),
    Mutation("no defect, on the baseline", levels="baseline"),
    Mutation("contraction", "setup.py", '"-ffp-contract=off"', '"-ffp-contract=fast"'),
    Mutation(
        "two lanes swapped",
        PROBABILITIES,
        "            products[group * LANES + j] = product[j]",
        "            products[group * LANES + j] = product[j ^ 1 if j < 2 else j]",
    ),
    Mutation("tail dropped", PROBABILITIES, "        for j in range(count % LANES):", "        for j in range(0):"),
    Mutation(
        "tail of the elements dropped",
        ARRAYS,
        "    for i in range(n, padded(n)):\n        scratch[i] = padding",
        "    pass",
    ),
    Mutation("blocks of gradients skipped", KERNELS, "        first += count\n", "        first += count + 1\n"),
    Mutation("targets of the first block reused", KERNELS, "array.data + start * array.size", "array.data"),
    Mutation("Hessian rounded differently", PROBABILITIES, "bend = absolute(value) / a", "bend = value * value"),
    Mutation("last block dropped", KERNELS, "    return (n + BLOCK - 1) // BLOCK", "    return n // BLOCK"),
    Mutation("one fallback missed", PROBABILITIES, "fine &= (least[j] >= 0) & (odd[j] == 0)", "fine &= least[j] >= 0"),
    Mutation("small products kept", PROBABILITIES, "fine &= products[j] >= CECORE_LEAST_PRODUCT", "fine &= True"),
    Mutation("weights not checked", PROBABILITIES, "    code = code if w - w == 0 else bad\n", ""),
    Mutation("clip moved by an ULP", PROBABILITIES, CUT, CUT.replace("<", "<=")),
    Mutation("control word of the caller kept", "src/cecore/kernels/scalar_math.h", "    _mm_setcsr(0x1f80);\n", ""),
    Mutation(
        "last coefficient changed",
        "src/cecore/kernels/scalar_math.h",
        "LOG_6 0x1.2f03baed268bdp-3",
        "LOG_6 0x1.2f03baed268b0p-3",
    ),
    Mutation("larger sigmoid branch by subtraction", LOGITS, "above = (<real>1 - t) - part", "above = (1 - part) - t"),
    Mutation("low parts of the logits dropped", SOFTMAX, "low[0] = rest if result > -1000 else 0", "low[0] = 0"),
    Mutation("largest exponentials not counted", SOFTMAX, "one = 1 if term == largest else 0", "one = 0"),
    Mutation("tiny complement from the total", ROWS, "return 9.5367431640625e-07", "return 0"),
    Mutation("rounding errors of sums dropped", SOFTMAX, "lost[0] += term - (after - total[0])", "lost[0] += 0"),
    Mutation(
        "rounding error of the largest dropped",
        SOFTMAX,
        "softmax.largest_lost[i] = losts[i]",
        "softmax.largest_lost[i] = 0",
    ),
    Mutation(
        "slow rows on the fast path", SOFTMAX, "(least >= -range_) & (top - least <= range_)", "(least >= -range_)"
    ),
    Mutation("two +inf taken for one", SOFTMAX, "top > 0 and infinite == 1", "top > 0"),
    Mutation(
        "ignored rows counted",
        KERNELS,
        "if labels[i] == IGNORED:\n                own[i] = 0",
        "if False:\n                    own[i] = 0",
    ),
    Mutation(
        "one-hot rows on the general path",
        ROWS,
        "return place if ones == 1 and place < classes else <int64_t>NOT_ONE_HOT",
        "return NOT_ONE_HOT",
    ),
    Mutation("cross term of products dropped", LOGITS, "CECORE_FMA(curved[j], wide, wide)", "wide"),
    Mutation("labels rounded to float32", KERNELS, "in_float and not job.labels", "in_float"),
    Mutation(
        "only the first class read", ARRAYS, "        place += start % layout.shape[last] * layout.strides[last]\n", ""
    ),
    Mutation("dimensions merged too often", KERNELS, "layout.strides[last] == size * stride", "stride != 0"),
    Mutation(
        "results in the wrong byte order",
        ARRAYS,
        "        if array.swapped:\n            swap_bytes(<char *>&room[0], array.size, count)\n",
        "",
    ),
    Mutation("panels not copied back", KERNELS, "panel_of(parts[i], start * job.classes), True)", "panels[i], False)"),
    Mutation("overlaps not detected", KERNELS, "return a.low < b.low + b.bytes and", "return False and"),
    Mutation("lowest address taken from the first number", KERNELS, "array.low += min(step, <Py_ssize_t>0)", "pass"),
    Mutation("windows taken as outputs", KERNELS, "        if strides[i] < within:\n", "        if strides[i] == 0:\n"),
    Mutation("short rows taken as contiguous", ARRAYS, "place + r * row_stride,", "place + r * n * size,"),
    Mutation("several rows taken for one", ARRAYS, "strides[last - 1] == length * step", "ndim > 1"),
    Mutation("sum of a worker dropped", POOL, "    accumulator_merge(&task.sum, &job.sum)\n", ""),
    Mutation("last error reported instead of the first", POOL, "min(task.bad, job.bad)", "max(task.bad, job.bad)"),
    Mutation("workers not reset after a fork", POOL, "before=retire, after_in_child=forget", "before=retire"),
    Mutation("rounding error of a lane dropped", SUMS, "        lost[j] += lost[j + half]\n", ""),
    Mutation("weights not added up", "src/cecore/streaming.py", "a[2] + b[2]", "a[2]"),
    Mutation("halves truncated", "src/cecore/kernels/scalar_math.h", "+ 0xfff + (magnitude >> 13 & 1)", "+ 0"),
]


def noticed(mutation: Mutation, folder: Path) -> bool:
    """Return whether a test fails in a copy with the defect. Raise an error if the copy does not compile."""
    copy = folder / mutation.name.replace(" ", "-").replace(",", "")
    ignored = shutil.ignore_patterns(".git", "build", "*.so", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    if mutation.file:
        path = copy / mutation.file
        text = path.read_text()
        assert text.count(mutation.before) == 1, (
            f"{mutation.name}: {mutation.file} must contain {mutation.before!r} exactly once"
        )
        path.write_text(text.replace(mutation.before, mutation.after))
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(build, cwd=copy, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "CECORE_SIMD": mutation.levels}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS]
    return subprocess.run(command, cwd=copy, env=environment, stdout=subprocess.DEVNULL, check=False).returncode != 0


def main() -> int:
    failed = False
    for mutation in MUTATIONS:  # check all before the long run
        count = (ROOT / mutation.file).read_text().count(mutation.before) if mutation.file else 1
        if count != 1:
            print(f"{mutation.name}: {mutation.file} contains {mutation.before!r} {count} times, not once")
            failed = True
    if failed or "--check" in sys.argv:
        return int(failed)
    with tempfile.TemporaryDirectory() as folder:
        for mutation in MUTATIONS:
            found = noticed(mutation, Path(folder))
            right = found == bool(mutation.file)
            failed |= not right
            print(f"{mutation.name:42} tests {'fail' if found else 'pass'}{'' if right else '  WRONG'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
