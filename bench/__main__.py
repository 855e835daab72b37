"""The command line: ``python -m bench --help``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import ROOT
from .pinning import available, pin

if TYPE_CHECKING:
    from .results import Run

DESCRIPTION = """\
Check that cecore and other libraries (its peers) compute the right results, then time them. A cell is one combination
of loss, method and kind of targets, for example "bce forward, hard"."""
QUICK = ("bce forward, hard", "bce backward, hard, out=", "bce forward_backward, hard, out=")
QUICK += ("bce logits forward_backward, hard, out=", "bce logits gradient_hessian, hard, out=")
QUICK += tuple(f"ce logits forward_backward, {classes} classes, out=" for classes in ("10", "1,000"))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=DESCRIPTION)
    run = parser.add_argument_group("what to measure (default: all ordinary uses, and the tables of --ratios)")
    run.add_argument("--quick", action="store_true", help="measure a few cells with a million elements (two minutes)")
    run.add_argument("--full", action="store_true", help="measure every cell, size and layout (hours)")
    run.add_argument("--cells", metavar="PATTERN", help="measure all cells with this text in their name")
    run.add_argument("--sizes", nargs="+", type=lambda text: int(float(text)), help="numbers of elements")
    run.add_argument("--dtypes", nargs="+", choices=("float64", "float32"), help="dtypes of the predictions")
    run.add_argument(
        "--levels", nargs="+", help="instruction sets that cecore uses: baseline, x86_v3 (AVX2), x86_v4 (AVX-512)"
    )
    run.add_argument("--threads", nargs="+", type=int, help="numbers of threads (default: 1 and 2)")
    run.add_argument(
        "--layouts",
        nargs="+",
        choices=("contiguous", "strided"),
        help="memory layouts of the arrays; a strided array uses every second number of a larger array",
    )
    run.add_argument(
        "--contestants",
        nargs="+",
        metavar="PATTERN",
        default=[],
        help="time only peers with this text in their name (torch.compile is timed only if named, or with --full)",
    )
    run.add_argument("--rounds", type=int, help="the largest number of timings for each library in each cell")
    run.add_argument("--json", metavar="PATH", type=Path, help="store the results in this file, after every cell")
    run.add_argument(
        "--compare",
        metavar="OLD.json",
        type=Path,
        help="list the timings of cecore that are slower than in this stored run; the exit status is 1 if there are "
        "any, or if nothing can be compared",
    )
    other = parser.add_argument_group("what to do instead")
    other.add_argument(
        "--ratios",
        nargs="*",
        choices=("rows", "options"),
        help="measure two tables only: unusual rows of logits compared with ordinary rows, and options compared with "
        "the plain loss (two minutes)",
    )
    other.add_argument("--report", metavar="FILE.json", type=Path, help="print all tables of a stored run")
    other.add_argument("--draw", metavar="FILE.json", type=Path, help="write the charts and docs/results.md")
    other.add_argument(
        "--readme",
        metavar="FILE.json",
        type=Path,
        nargs="?",
        const=False,
        help="measure the cells of the README's table and write the table (two minutes); with FILE.json, write the "
        "table from this stored run without measuring",
    )
    other.add_argument("--memory", action="store_true", help="measure the peak memory of every method")
    other.add_argument(
        "--busy",
        action="store_true",
        help="check that several threads never slow down a call, even while another thread keeps a CPU busy",
    )
    return parser.parse_args()


def plan(given: argparse.Namespace) -> dict[str, Any]:
    """Return what the processes have to measure."""
    from cecore import _dispatch

    from . import ratios
    from .cells import CELLS, DTYPES, LAYOUTS, ORDINARY, ORDINARY_SIZES, SIZES
    from .goals import SMALL, THREADED

    cells, sizes, layouts, more = list(ORDINARY), list(ORDINARY_SIZES), list(LAYOUTS[:1]), []
    if given.quick:
        cells, sizes = list(QUICK), [1_000_000]
    if given.full:
        cells, sizes, layouts = list(CELLS), list(SIZES), list(LAYOUTS)
    whole = not (given.quick or given.full or given.cells or given.sizes or given.threads)
    if given.ratios is not None:
        cells = []
    if given.cells is not None:
        cells = [name for name in CELLS if given.cells in name]
        if not cells:
            raise SystemExit(f"no cell has {given.cells!r} in its name: {'; '.join(CELLS)}")
    elif not (given.full or given.sizes or given.ratios is not None):
        more = [(cell, dtype, size, "contiguous") for cell in SMALL for dtype in DTYPES for size in (16, 1000)]
    levels = given.levels or [level for level in _dispatch.usable if level != "baseline" or not whole]
    levels = levels or list(_dispatch.usable)
    if not set(levels) <= set(_dispatch.usable):
        raise SystemExit(f"--levels: this machine can use {', '.join(_dispatch.usable)}")
    dtypes = given.dtypes or list(DTYPES)
    return {
        "cells": cells,
        "dtypes": dtypes,
        "sizes": given.sizes or sizes,
        "layouts": given.layouts or layouts,
        "more": [task for task in more if task[1] in dtypes],
        "threaded": list(THREADED) if whole else None,
        "ratios": ratios.plan(given.ratios or list(ratios.TABLES), dtypes) if whole or given.ratios is not None else [],
        "levels": [level for level in _dispatch.usable if level in levels],
        "contestants": given.contestants or ([""] if given.full else []),
        "effort": {
            "rounds": given.rounds or (9 if given.quick else 25),
            "seconds": 0.05 if given.quick else 0.25 if given.full else 0.1,
            "patience": 1 if given.quick else 3,
        },
    }


def measure(given: argparse.Namespace) -> int:
    from cecore import _dispatch

    from .compare import compared
    from .report import report
    from .results import Run, machine

    wanted, cpus = plan(given), available()
    old = Run.load(given.compare) if given.compare else None
    counts = (
        [1]
        if given.ratios is not None
        else given.threads or ([1, 2] if len(cpus or range(os.cpu_count() or 1)) > 1 else [1])
    )
    if not cpus:
        print("this system cannot pin processes: they may move from one CPU to another", file=sys.stderr)
    run = Run(machine())
    for count in counts:
        if cpus and count > len(cpus):
            raise SystemExit(f"--threads {count}: this process can use only {len(cpus)} CPUs")
    by_turns(counts, wanted, run, given.json)
    if not given.cells and given.ratios is None:
        from . import imports

        run.imports = imports.measure()
    if given.json:
        run.save(given.json)
    print(report(run))
    if old is None:
        return 0
    text, fine = compared(old, run, list(_dispatch.usable))
    print(f"\n{text}")
    return 0 if fine else 1


def by_turns(counts: list[int], wanted: dict[str, Any], run: Run, path: Path | None) -> None:
    """Run one process for each number of threads.

    They take turns at each cell, so that a slow hour of the machine affects all of them alike.
    """
    from .progress import bar
    from .results import Ratios, Record

    with ExitStack() as stack:
        children = []
        for threads in counts:  # one after the other, because importing keeps a CPU busy
            child = stack.enter_context(Child(threads, wanted))
            children.append(child)
            run.processes.append(child.heard("process"))
            plan = child.heard("plan")
        turns = [
            (number, child)
            for number, task in enumerate(plan["cells"])
            for child in children[:: -1 if number % 2 else 1]
            if child.threads == 1 or takes_several(task, wanted.get("threaded"))
        ]
        groups = range(len(plan["cells"]), len(plan["cells"]) + plan["groups"])
        turns += [(number, child) for number in groups for child in children if child.threads == 1]
        shown = bar(len(turns))
        stack.callback(shown.close)
        for number, child in turns:
            child.go(number)
            shown.set_postfix_str(child.heard("task")["label"])
            found = child.heard("result")
            if "cell" in found:
                run.cells.append(Record(**found["cell"]))
            run.ratios += [Ratios(**one) for one in found.get("ratios", [])]
            shown.update()
            if path:
                run.save(path)


def takes_several(task: dict[str, Any], threaded: list[str] | None) -> bool:
    """Return whether a task is measured with several threads, too: all tasks, or the large ones of some cells."""
    from .cells import SIZE

    return threaded is None or (task["cell"] in threaded and task["size"] == SIZE)


class Child:
    """A process of the bench, which waits for its turn."""

    def __init__(self, threads: int, wanted: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "bench.child", str(threads), json.dumps(wanted)]
        self.threads = threads
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=ROOT)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, error: Any, *_: Any) -> None:
        if error:
            self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.wait() and not error:
            self.fail(f"ended with status {self.process.returncode}")

    def go(self, number: int) -> None:
        """Start a task."""
        with suppress(BrokenPipeError):  # `heard` reports it
            self.process.stdin.write(b"%d\n" % number)

    def heard(self, kind: str) -> dict[str, Any]:
        """Return the next message of the process."""
        line = self.process.stdout.readline()
        if not line:
            self.fail(f"ended with status {self.process.wait()}")
        said: dict[str, Any] = json.loads(line)
        if said.pop("kind") != kind:
            self.fail(f"sent {line!r} instead of a message of the kind {kind!r}")
        return said

    def fail(self, what: str) -> NoReturn:
        raise SystemExit(f"the process with {self.threads} threads {what}")


def measure_readme(rounds: int | None) -> Run:
    """Measure the short table of the README, print the timings and store the run."""
    from cecore import _dispatch

    from . import readme
    from .report import heading, timings, words
    from .results import Run, machine

    run = Run(machine())
    by_turns([1], readme.plan(list(_dispatch.usable)[-1], rounds), run, None)
    print("\n\n".join(filter(None, (heading(run), *timings(run), words(run)))))
    run.save(readme.STORED)
    return run


def main() -> int:
    given = options()
    if given.report:
        from .report import report
        from .results import Run

        print(report(Run.load(given.report)))
        return 0
    if given.draw:
        from .draw import draw
        from .results import Run

        draw(Run.load(given.draw))
        return 0
    if given.readme is not None:
        from . import readme
        from .results import Run

        readme.write(Run.load(given.readme) if given.readme else measure_readme(given.rounds))
        return 0
    if given.memory:
        pin(1)
        from . import memory

        return 0 if memory.report(given.cells or "") else 1
    if given.busy:
        from . import busy

        return 0 if busy.report() else 1
    return measure(given)


if __name__ == "__main__":
    raise SystemExit(main())
