"""Check in the machine code that the hot loops of the kernels are vector code of full width.

    python tools/disassembly.py        (a minute)

The tool compiles each instruction-set level into a temporary folder, with the flags of setup.py. It reads every
innermost loop with floating-point arithmetic. A loop has full width if all its arithmetic instructions work on whole
registers of the level. KERNELS says how many other loops are allowed, and why. The tool needs objdump. It exits with 1
if a kernel has too few loops of full width, or too many others.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
REGISTER = {"baseline": "xmm", "x86_v3": "ymm", "x86_v4": "zmm"}
ARITHMETIC = re.compile(r"^v?(?:add|sub|mul|div|min|max|fn?m(?:add|sub)(?:132|213|231))([ps])([sd])$")
# For each kernel: how many loops of full width it must have at least, and how many others are allowed.
KERNELS = {
    **dict.fromkeys(("lane_sum", "sigmoid_backward_block"), (1, 0)),
    **dict.fromkeys(("sigmoids_of", "log_sigmoids_of"), (2, 0)),
    "scalar_loop": (1, 0),
    # The others join lanes, or are the last vectors
    "sum_by_products": (14, 2),
    "sum_of_logs": (1, 3),
    "weigh": (2, 1),
    # The others are scalar copies for arrays that overlap, which blocks do not; the baseline has no vectors for some
    "run_form": (23, 15),
    # The others are the ends of a block, by shorter vectors
    "entropy_terms": (2, 5),
    "entropy_gradients": (2, 8),
    "flat_sum": (1, 2),
    **dict.fromkeys(("tile_maxima", "tile_exponentials", "row_exponentials"), (1, 1)),
    **dict.fromkeys(("tile_results", "row_results"), (8, 0)),
    **dict.fromkeys(("tile_sums", "tile_targets"), (2, 0)),
    "row_maximum": (1, 1),
    # The others handle the end of a row or of a tile, which does not fill a register
    "add_row_sum": (4, 5),
    **dict.fromkeys(("finish_sums", "label_losses"), (2, 2)),
    "set_scales": (1, 2),
    "set_log_totals": (2, 3),
    "label_constants": (2, 7),
    "two_class_terms": (1, 3),
    "two_class_logarithms": (1, 3),
}


class Loop(NamedTuple):
    function: str
    start: int
    packed: int  # instructions on whole registers
    narrow: int  # instructions on parts of registers
    scalar: int  # instructions on single numbers

    @property
    def full(self) -> bool:
        return self.packed > 0 and self.narrow == 0 and self.scalar == 0


def objects(folder: Path) -> dict[str, Path]:
    """Compile every level, and return the object file of each."""
    command = [sys.executable, "setup.py", "-q", "build_ext", "--force", "--build-temp", folder, "--build-lib", folder]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {level: path for level in REGISTER for path in folder.rglob(f"{level}.o")}


def functions(path: Path):
    """Yield (name, [(address, mnemonic, operands)]) for each function."""
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True
    ).stdout
    for name, body in re.findall(r"^[0-9a-f]+ <(\S+)>:\n((?:.+\n)+)", text, re.MULTILINE):
        lines = []
        for line in body.splitlines():
            if match := re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)", line):
                lines.append((int(match[1], 16), match[2], match[3]))
        yield name, lines


def loops(name: str, lines: list[tuple[int, str, str]], register: str) -> list[Loop]:
    spans = set()
    for address, mnemonic, operands in lines:
        if (
            mnemonic.startswith("j")
            and (target := re.match(r"([0-9a-f]+)\b", operands))
            and int(target[1], 16) <= address
        ):
            spans.add((int(target[1], 16), address))
    innermost = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    found = []
    for start, end in sorted(innermost):
        counts = {"packed": 0, "narrow": 0, "scalar": 0}
        for address, mnemonic, operands in lines:
            if start <= address <= end and (match := ARITHMETIC.match(mnemonic)):
                kind = "scalar" if match[1] == "s" else "packed" if register in operands else "narrow"
                counts[kind] += 1
        if any(counts.values()):
            found.append(Loop(short(name), start, **counts))
    return found


def short(name: str) -> str:
    """Return the name of the kernel and its type, such as element_block<double>."""
    kind = {"0": "<float>", "1": "<double>"}.get((re.findall(r"__pyx_fuse_(\d)", name) or [""])[0], "")
    return re.sub(r"^.*?_\d?(?:baseline|x86_v\d)_|\.\w+(\.\d+)?$", "", name) + kind


def main() -> int:
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for level, path in objects(Path(folder)).items():
            register = REGISTER[level]
            found = [
                loop for name, lines in functions(path) if "kernels_" in name for loop in loops(name, lines, register)
            ]
            print(f"{level}: loops with floating-point arithmetic, full width = {register}")
            for function in sorted({loop.function for loop in found}):
                here = [loop for loop in found if loop.function == function]
                full = sum(loop.full for loop in here)
                needed, allowed = KERNELS.get(function, KERNELS.get(function.partition("<")[0], (0, len(here))))
                fine = full >= needed and len(here) - full <= allowed
                failed |= not fine
                print(f"  {function:28} full width {full}, others {len(here) - full}{'' if fine else '  FAIL'}")
            names = {name.partition("<")[0] for name in KERNELS}
            missing = names - {loop.function.partition("<")[0] for loop in found} - {"lane_sum"}
            failed |= bool(missing)
            if missing:
                print(f"  no loops found in {', '.join(sorted(missing))}  FAIL")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
