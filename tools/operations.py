"""Print what limits the kernels on one thread: operations and bytes of each element, bounds, and measured times.

    python tools/operations.py                                  both levels, both dtypes (two minutes)
    python tools/operations.py --levels x86_v4 --loops          also print each loop that was counted

The tool prints a Markdown table. It compiles each instruction-set level as tools/disassembly.py does. CALLS names the
functions that a call runs. In each function the leanest vector loop that matches is the hot loop; the others handle
weights or subnormal numbers. CALLS must be changed together with the kernels: a missing loop is an error, but a new
loop goes unnoticed. The tool needs objdump. The columns are:

bytes           bytes of memory for each element, read + written. A label counts as 8 / classes. Memory that is written
                is not counted as read.
mul, add, ...   vector instructions for each element, whatever their width. mul: multiplications and fused ones. add:
                additions, comparisons, minima and maxima. div: divisions. other: all others, such as blends with a
                masked load. Plain loads, stores, register copies and broadcasts from memory are not counted.
arithmetic      a lower bound on the time on Zen 4, from MULTIPLIERS, ADDERS and DIVIDER. It assumes that no instruction
                waits for a result, a load or a store. The loops of a call run one after the other, so their bounds are
                added.
memory          a lower bound on the time: what NumPy takes for as many bytes, in the same run, at 10,000,000 elements.
                np.dot of two arrays stands for calls that only read, np.add(out=) for calls that write a third of
                their bytes, np.negative(out=) for calls that write half.
in cache, 1e7   the shortest measured time of many calls that write to reused arrays. In cache: 20,000 elements,
                including the overhead of the call. 1e7: 10,000,000 elements, in CPU time of the thread.

Three things are not counted: code that is not vector code (the one addition to the exact sum for each block, and
reading the logits of the labels if there are more than 8 classes), the work of the drivers for each row, and the ends
of rows that do not fill a register. The clock is measured with a chain of dependent multiplications, which take 3
cycles each on Zen 3 to 5. --ghz sets the clock instead (/proc/cpuinfo can show a nominal clock).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # for np.dot

import numpy as np
from disassembly import ARITHMETIC, functions, objects, short

import cecore
from cecore import _dispatch

LEVELS = {"x86_v3": "AVX2", "x86_v4": "AVX-512"}
DTYPES = ("float64", "float32")
CACHED, LARGE = 20_000, 10_000_000
ROWS, GROUP = 64, 16  # rows side by side (WIDTH); elements that share a logarithm (FACTORS, BLOCK / SUM_LANES)
FEW, PICKED = 48, 8  # limits of the number of classes, as in kernels.pxi
SECONDS = {CACHED: 0.2, LARGE: 1.0}  # how long each measurement takes

KINDS = ("mul", "add", "div", "other")
KIND = {
    "mul": re.compile(r"v(mul|fn?m(add|sub)\d+)p[sd]$"),
    "add": re.compile(r"v(add|sub|min|max|cmp\w*)p[sd]$"),
    "div": re.compile(r"vdivp[sd]$"),
}
# Zen 4 has four 256-bit pipes. The instructions of MULTIPLIERS go to pipes 0 and 1, those of ADDERS to pipes 2 and 3,
# and all others to any of the four. A 512-bit instruction occupies a pipe for two cycles. This was found by timing each
# instruction together with additions and multiplications.
MULTIPLIERS = re.compile(r"v(mul|fn?m(add|sub)\d+|div)p[sd]$|v(blendv|pcmp)|vcmp\w*:k")
ADDERS = re.compile(r"v(add|sub|min|max)p[sd]$|v(cvt|ps[lr]l)|vcmp\w*:y")
DIVIDER = {("ymm", "d"): 5, ("zmm", "d"): 9, ("ymm", "s"): 3, ("zmm", "s"): 6}  # cycles that a division takes
MULTIPLICATION = 3  # cycles until a dependent multiplication can start

Instruction = tuple[int, str, str]


@dataclass(frozen=True)
class Loops:
    """The hot loop of a function: the leanest loop that has some instructions and lacks others."""

    function: str  # its type follows from the call, unless the name includes it
    needs: str
    lacks: str = ""
    per: float = 1  # elements of the loop for each element of the call
    unrolled: int = 0  # elements, if the compiler may unroll the loop completely
    optional: bool = False  # a separate loop only if there are few registers
    writes: int = 0  # number of arrays it writes, if this tells loops apart
    elements: int = 0  # elements in one iteration, if no pointer shows the number
    dtype: str = ""  # the only dtype that needs the loop


@dataclass(frozen=True)
class Operations:
    """Vector instructions for each element, and their lower bound in cycles."""

    mul: float = 0
    add: float = 0
    div: float = 0
    other: float = 0
    cycles: float = 0

    def __add__(self, more: Operations) -> Operations:
        return Operations(*(getattr(self, name) + getattr(more, name) for name in (*KINDS, "cycles")))

    def cost(self) -> tuple[float, float]:
        return self.cycles, sum(getattr(self, kind) for kind in KINDS)

    def times(self, factor: float) -> Operations:
        return Operations(*(getattr(self, name) * factor for name in (*KINDS, "cycles")))


@dataclass(frozen=True)
class Call:
    """A call to measure, the loops it runs, and the numbers it reads and writes for each element."""

    name: str
    bind: Callable[[int, str], Callable[[], object]]
    loops: tuple[Loops, ...]
    read: int
    written: int = 0
    classes: int = 0

    def bytes(self, itemsize: int) -> tuple[float, float]:
        return self.read * itemsize + (8 / self.classes if self.classes > 1 else 0), self.written * itemsize


@dataclass
class Region:
    """A loop, or a piece of straight code."""

    lines: list[Instruction]
    loop: bool

    def has(self, pattern: str) -> bool:
        return any(re.match(f"v.*{pattern}", mnemonic) for _, mnemonic, _ in self.counted())

    def usable(self) -> bool:
        scalar = any((match := ARITHMETIC.match(mnemonic)) and match[1] == "s" for _, mnemonic, _ in self.lines)
        return any(True for _ in self.counted()) and not (self.loop and scalar)

    def counted(self) -> Iterator[Instruction]:
        for line in self.lines:
            _, mnemonic, operands = line
            # the instructions that transpose float32 four by four use half a register
            if re.match(r"k(x?n?or|and|not|shift)|v(unpck|movlh|movhl)", mnemonic):
                yield line
            elif mnemonic.startswith("v") and ("ymm" in operands or "zmm" in operands):
                moves = re.match(r"v(mov[au]p|movdq|broadcast|zero)", mnemonic)
                if not moves or ("{%k" in operands and not re.search(r"\)(\{|$)", operands)):
                    yield line

    def writes(self) -> int:
        """Return how many arrays the region writes."""
        stores = (re.search(r"\((%\w+(?:,%\w+)?)[^()]*\)$", o) for _, m, o in self.lines if m.startswith("vmov"))
        return len({match[1] for match in stores if match and match[1] != "%rsp"})

    def elements(self, size: int) -> int:
        """Return how many elements the region handles in one iteration.

        This is the distance that the pointers move, or the number of bytes read or written if that is smaller. If no
        pointer moves, it is the number of bytes read or written: the compiler can recompute an index, or shift a copy.
        """
        moved: dict[str, int] = {}  # bytes that each register has moved so far
        touched: dict[tuple[str, str, int, int], set[int]] = {}
        for _, mnemonic, operands in self.lines:
            if mnemonic in ("add", "sub") and (match := re.match(r"\$(-?0x[0-9a-f]+),(%\w+)$", operands)):
                step = int(match[1], 16)
                step -= (1 << 64) * (step >> 63)
                moved[match[2]] = moved.get(match[2], 0) + (step if mnemonic == "add" else -step)
            match = re.search(r"(-?0x[0-9a-f]+)?\((%\w+)?(?:,(%\w+),(\d))?\)", operands)
            if not mnemonic.startswith("v") or "broadcast" in mnemonic or not match:
                continue
            own = 4 if re.search("ps$|ps2pd$", mnemonic) else 8 if mnemonic.endswith("pd") else size
            if match[2] in ("%rsp", "%rip"):
                continue
            stream = (match[2] or "", match[3] or "", int(match[4] or 1), own)
            start = int(match[1] or "0", 16) + moved.get(stream[0], 0) + moved.get(stream[1], 0) * stream[2]
            width = (64 if "zmm" in operands else 32 if "ymm" in operands else 16) >> (mnemonic == "vcvtps2pd")
            touched.setdefault(stream, set()).update(range(start, start + width))
        steps = {s: abs(moved.get(s[0], 0) + moved.get(s[1], 0) * s[2]) for s in touched}
        moving = max((min(steps[stream], len(seen)) // stream[3] for stream, seen in touched.items()), default=0)
        return moving or max((len(seen) // stream[3] for stream, seen in touched.items()), default=0)

    def operations(self, elements: int) -> Operations:
        counts = dict.fromkeys(KINDS, 0)
        slots = {"mul": 0, "add": 0, "all": 0}
        divider = 0
        for _, mnemonic, operands in self.counted():
            kind = next((kind for kind, pattern in KIND.items() if pattern.match(mnemonic)), "other")
            counts[kind] += 1
            wide = 2 if "zmm" in operands else 1
            slots["all"] += wide
            result = "k" if re.search(r",%k\d(\{.*)?$", operands) else "y"
            typed = f"{mnemonic}:{result}" if mnemonic.startswith("vcmp") else mnemonic
            slots["mul"] += wide if MULTIPLIERS.match(typed) else 0
            slots["add"] += wide if ADDERS.match(typed) else 0
            if kind == "div":
                divider += DIVIDER["zmm" if wide == 2 else "ymm", mnemonic[-1]]
        cycles = max(slots["mul"] / 2, slots["add"] / 2, slots["all"] / 4, divider)
        return Operations(**{kind: counts[kind] / elements for kind in KINDS}, cycles=cycles / elements)


def regions(lines: list[Instruction]) -> list[Region]:
    """Return the innermost loops, and the straight pieces of code between jumps and their targets."""
    first = lines[0][0]
    returns = [address for address, mnemonic, _ in lines if mnemonic == "ret"]
    targets = {}
    for address, mnemonic, operands in lines:
        if mnemonic.startswith("j") and (target := re.match(r"([0-9a-f]+)\b", operands)):
            targets[address] = int(target[1], 16)
    spans = {(target, address) for address, target in targets.items() if first <= target <= address}
    # a jump back to the end of the function is not a loop
    spans = {s for s in spans if not any(s[0] <= address <= s[1] for address in returns)}
    inner = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    found = [Region([line for line in lines if start <= line[0] <= end], True) for start, end in sorted(inner)]
    piece: list[Instruction] = []
    for line in lines:
        if line[0] in targets.values() or any(start <= line[0] <= end for start, end in inner):
            found.append(Region(piece, False))
            piece = []
        if not any(start <= line[0] <= end for start, end in inner):
            piece.append(line)
            if line[0] in targets:
                found.append(Region(piece, False))
                piece = []
    return [region for region in [*found, Region(piece, False)] if region.usable()]


def fits(region: Region, loops: Loops) -> bool:
    if loops.writes and region.writes() != loops.writes:
        return False
    return region.has(loops.needs) and not (loops.lacks and region.has(loops.lacks))


def count(code: dict[str, list[Region]], loops: Loops, dtype: str) -> tuple[Operations, str]:
    """Return the operations of a loop for each element of the call, and a line of text about them."""
    real = "double" if dtype == "float64" else "float"
    name = next(n for n in (loops.function, f"{loops.function}<{real}>") if n in code)
    size = 4 if name.endswith("<float>") else 8
    fitting = [region for region in code[name] if fits(region, loops)]
    choice = [(region, loops.elements or region.elements(size)) for region in fitting if region.loop]
    choice = [(region, elements) for region, elements in choice if elements > 1]
    if not choice and loops.unrolled:
        straight = [region for region in fitting if not region.loop]
        choice = [(region, loops.unrolled) for region in sorted(straight, key=lambda r: -len([*r.counted()]))[:1]]
    if not choice and not loops.optional:
        raise LookupError(f"{name}: no loop with {loops.needs}")
    choice.sort(key=lambda c: (*(round(x, 6) for x in c[0].operations(c[1]).cost()), -c[1]))
    total = sum((region.operations(elements) for region, elements in choice[:1]), Operations()).times(loops.per)
    where = "".join(f"{region.lines[0][0]:x}: {elements} elements" for region, elements in choice[:1])
    return total, f"{name} ({where}) {', '.join(f'{getattr(total, k):.3f}' for k in (*KINDS, 'cycles'))}"


# ---------------------------------------------------------------- the calls

WIDENED = Loops("convert_from<double>", "cvtps2pd", per=2, dtype="float32")  # for the predictions and the targets
PRODUCTS = (WIDENED, Loops("hard_sum", "mul"), Loops("take_logarithms", "fn?m", per=1 / GROUP))
QUOTIENTS = (Loops("quick_hard_derivatives", "div", "mul", writes=1),)
DERIVATIVES = (Loops("quick_hard_derivatives", "div", "mul", writes=2),)
CHECKS = (Loops("inspect", "cmp"),)
ARGUMENTS = partial(Loops, needs="ps[lr]l", lacks="fn?m", optional=True)  # the arguments of logarithms
SOFT_VALUES = (
    *(ARGUMENTS("block_logarithms", per=2), Loops("block_logarithms", "fn?m", per=2)),
    *(Loops("soft_value", "sub", "mul"), Loops("soft_value", "mul"), Loops("lane_sum", "add")),
)
WEIGHTED = (
    *(Loops("all_ones", "cmp"), Loops("add_all", "add")),
    *(Loops("weighted_hard_sum", "cmp", "mul"), ARGUMENTS("block_logarithms<double>")),
    *(Loops("block_logarithms<double>", "fn?m"), Loops("weighted_hard_sum", "mul"), Loops("lane_sum<double>", "add")),
)
LOGIT_EXPONENTIALS = (*CHECKS, Loops("all_in_range", "max"), Loops("block_exponentials", "fn?m"))
LOGARITHMS = Loops("logit_sum", "psr", per=1 / GROUP, unrolled=8)  # on AVX-512 its end lies behind other loops
LOGIT_SUM = (*LOGIT_EXPONENTIALS, Loops("logit_sum", "fn?m", "div"), LOGARITHMS)
LOGIT_BOTH = (*LOGIT_EXPONENTIALS, Loops("logit_sum", "div", "psr"), LOGARITHMS)
LOGIT_DERIVATIVES = (*LOGIT_EXPONENTIALS, Loops("logit_derivatives", "div"))


def pairs() -> tuple[Loops, ...]:
    """Return the loops for two classes, which take one exponential for each row."""
    half = partial(Loops, per=1 / 2)
    moved = partial(Loops, needs="(perm|shuf|unpck)", lacks="(mul|cmp)", unrolled=2 * ROWS)
    return (
        moved("pair_tile"),
        *(half("pair_terms", "cmp", "mul"), half("pair_terms", "fn?m", writes=2), half("pair_terms", "fn?m", writes=1)),
        *(half("pair_terms", "div", "fn?m"), half("pair_derivatives", "mul"), moved("store_pairs")),
    )


def sums_of_rows(classes: int) -> tuple[Loops, ...]:
    """Return the loops that compute the exponentials and their sums."""
    once = partial(Loops, per=1 / classes, unrolled=ROWS)
    widened = once("rows_largest", "cvt", "mul", optional=True)  # only in float32
    per_row = (once("rows_largest", "fn?m"), widened, once("rows_rest", "sub"))
    if classes > FEW:
        return (Loops("row_extremes", "min"), Loops("row_shifted", "fn?m"), Loops("row_total", "add"), *per_row)
    return (
        *(turning("rows_to_tile", classes), Loops("rows_extremes", "min"), Loops("rows_shifted", "fn?m")),
        *(Loops("rows_totals", "add"), once("all_ordinary", "cmp"), once("any_small", "cmp"), *per_row),
    )


def turning(function: str, classes: int) -> Loops:
    """Return the loop that transposes four classes at a time. The last four overlap the ones before them."""
    return Loops(function, "(unpck|movlh)", per=-(-classes // 4) * 4 / classes, elements=16)


def of_rows(classes: int) -> tuple[Loops, ...]:
    if classes == 2:
        return pairs()
    once = partial(Loops, per=1 / classes, unrolled=ROWS)
    per_row = (
        *(once("rows_log_totals", "div"), once("rows_losses", "mul")),
        *(once("rows_over_total", "div"), once("rows_own_gradients", "mul")),
    )
    if classes > FEW:
        return (*sums_of_rows(classes), *per_row, Loops("row_scale", "mul"))
    own = (Loops("pick_own", "cmp", per=1 - 1 / classes), Loops("place_own", "(cmp|blend)"))
    few = (*sums_of_rows(classes), *per_row, Loops("rows_scale", "mul"), turning("tile_to_rows", classes))
    return few + own if classes <= PICKED else few


def softmax_of_rows(classes: int) -> tuple[Loops, ...]:
    once = partial(Loops, needs="div", per=1 / classes, unrolled=ROWS)
    each = (*sums_of_rows(classes), once("rows_top_shares"))
    if classes > FEW:
        return (*each, Loops("softmax_row", "mul"))
    return (*each, once("rows_over_total"), Loops("softmax_rows", "mul"), turning("tile_to_rows", classes))


OUTPUTS: dict[str, tuple[str, ...]] = {
    "forward": (),
    "backward": ("out",),
    "forward_backward": ("gradient_out",),
    "gradient_hessian": ("gradient_out", "hessian_out"),
}


def binary(
    loss: type, method: str, n: int, dtype: str, *, soft: bool = False, weighted: bool = False, reduction: str = "mean"
) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    logits = loss is cecore.BinaryCrossEntropyWithLogits
    x = (rng.normal(0, 3, n) if logits else rng.uniform(0.001, 0.999, n)).astype(dtype)
    targets = (rng.uniform(0.01, 0.99, n) if soft else rng.integers(0, 2, n)).astype(dtype)
    weights = rng.random(n).astype(dtype) if weighted else None
    names = ("out",) if reduction == "none" else OUTPUTS[method]
    results = {name: np.ones_like(x) for name in names}
    return partial(getattr(loss(reduction=reduction), method), x, targets, sample_weight=weights, **results)


def of_classes(classes: int, n: int, dtype: str) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, (n // classes, classes)).astype(dtype)
    labels = rng.integers(0, classes, len(x))
    return partial(cecore.CrossEntropyWithLogits().forward_backward, x, labels, gradient_out=np.ones_like(x))


def softmax(classes: int, n: int, dtype: str) -> Callable[[], object]:
    x = np.random.default_rng(0).normal(0, 3, (n // classes, classes)).astype(dtype)
    return partial(cecore.softmax, x, out=np.ones_like(x))


BCE = partial(partial, binary, cecore.BinaryCrossEntropy)
BCE_LOGITS = partial(partial, binary, cecore.BinaryCrossEntropyWithLogits)
CALLS = (
    Call("BCE forward, hard", BCE("forward"), PRODUCTS, 2),
    Call("BCE backward, hard", BCE("backward"), QUOTIENTS, 2, 1),
    Call("BCE forward_backward, hard", BCE("forward_backward"), PRODUCTS + QUOTIENTS, 2, 1),
    Call("BCE gradient_hessian, hard", BCE("gradient_hessian"), DERIVATIVES, 2, 2),
    Call("BCE none, hard", BCE("forward", reduction="none"), (Loops("quick_hard_value", "fn?m"),), 2, 1),
    Call("BCE forward, soft", BCE("forward", soft=True), CHECKS + SOFT_VALUES, 2),
    Call("BCE forward, weighted", BCE("forward", weighted=True), WEIGHTED, 4),  # weights are added up first
    Call("BCE logits forward", BCE_LOGITS("forward"), LOGIT_SUM, 2),
    Call("BCE logits forward_backward", BCE_LOGITS("forward_backward"), LOGIT_BOTH, 2, 1),
    Call("BCE logits gradient_hessian", BCE_LOGITS("gradient_hessian"), LOGIT_DERIVATIVES, 2, 2),
    *(
        Call(f"CE logits forward_backward, {k:,} classes", partial(of_classes, k), of_rows(k), 1, 1, k)
        for k in (2, 3, 10, 32, 100, 1000)
    ),
    *(Call(f"softmax, {k:,} classes", partial(softmax, k), softmax_of_rows(k), 1, 1) for k in (10, 1000)),
)

# ---------------------------------------------------------------- times


def best(call: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of a call. Long calls count CPU time of the thread, which excludes other processes."""
    start = time.perf_counter()
    call()
    now = time.thread_time if time.perf_counter() - start > 0.001 else time.perf_counter
    found, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = now()
        call()
        found = min(found, now() - start)
    return found


def clock() -> float:
    """Return the clock in GHz, from two lengths of np.multiply.reduce, where each product waits for the last."""
    ones = np.ones(40_000)
    times = [best(partial(np.multiply.reduce, ones[:n]), 0.2) for n in (10_000, 40_000)]
    return MULTIPLICATION * 30_000 / (times[1] - times[0]) / 1e9


def memory() -> dict[float, float]:
    """Return ns per byte for each share of written bytes."""
    a, b, c = (np.ones(LARGE) for _ in range(3))
    passes = {0.0: (lambda: np.dot(a, b), 16), 1 / 3: (lambda: np.add(a, b, out=c), 24)}
    passes[1 / 2] = (lambda: np.negative(a, out=c), 16)
    return {share: best(run, SECONDS[LARGE]) / (LARGE * size) * 1e9 for share, (run, size) in passes.items()}


def measured(call: Call, n: int, dtype: str) -> float:
    whole = n // max(call.classes, 1) * max(call.classes, 1)
    return best(call.bind(whole, dtype), SECONDS[n]) / whole * 1e9


# ---------------------------------------------------------------- the table


def row(call: Call, level: str, dtype: str, total: Operations, ghz: float, floor: dict[float, float]) -> str:
    read, written = call.bytes(np.dtype(dtype).itemsize)
    share = min(floor, key=lambda share: abs(share - written / (read + written)))
    moved = f"{read:.4g} + {written:.4g}" if written else f"{read:.4g}"
    bounds = [total.cycles / ghz, (read + written) * floor[share]]
    times = [measured(call, n, dtype) for n in SECONDS]
    figures = [f"{x:.2f}" for x in (*(getattr(total, kind) for kind in KINDS), *bounds, *times)]
    return f"| {' | '.join([call.name, dtype, LEVELS[level], moved, *figures])} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=[x for x in LEVELS if x in _dispatch.usable])
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--ghz", type=float, help="clock in GHz (default: measured)")
    parser.add_argument("--loops", action="store_true", help="print the loops that were counted")
    options = parser.parse_args()
    cecore.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        compiled = objects(Path(folder))
        code = {level: read_code(compiled[level]) for level in options.levels}
    ghz = options.ghz or clock()
    floor = memory()
    shares = ", ".join(f"{1 / ns:.1f} GB/s with {share:.0%} written" for share, ns in floor.items())
    print(f"Clock: {ghz:.2f} GHz. NumPy moves {shares}.\n")
    names = [f"{kind}" for kind in KINDS]
    columns = ["call", "dtype", "level", "bytes", *names, "arithmetic, ns", "memory, ns", "in cache, ns", "1e7, ns"]
    print("|", " | ".join(columns), "|\n|", " | ".join(["---"] * 3 + ["---:"] * (len(columns) - 3)), "|")
    for call in CALLS:
        for level in options.levels:
            _dispatch.kernels = _dispatch.usable[level]
            for dtype in options.dtypes:
                counts = [count(code[level], loops, dtype) for loops in call.loops if loops.dtype in ("", dtype)]
                total = sum((operations for operations, _ in counts), Operations())
                print(row(call, level, dtype, total, ghz, floor), flush=True)
                for _, line in counts if options.loops else ():
                    print("   ", line)
    return 0


def read_code(path: Path) -> dict[str, list[Region]]:
    wanted = {loops.function.partition("<")[0] for call in CALLS for loops in call.loops}
    found: dict[str, list[Region]] = {}
    for name, lines in functions(path):
        if "kernels_" in name and short(name).partition("<")[0] in wanted:
            found.setdefault(short(name), []).extend(regions(lines))
    return found


if __name__ == "__main__":
    sys.exit(main())
