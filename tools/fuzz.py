"""Call the losses with random arrays and options, and compare results that must agree.

    python tools/fuzz.py                          for a minute, with a seed that is the date
    python tools/fuzz.py --seconds 3600           for another time
    python tools/fuzz.py --seed SEED --case CASE  print one case, and repeat it

Each case draws one call from its seed and its number: a loss with options, arrays of some dtype and shape, ordinary and
special values, now and then an invalid value. The properties below then compare results of this call. Results must be
equal bit for bit, except where a property says that it compares with a tolerance; every NaN equals every other NaN. An
error counts as a result: all ways to compute must raise the same error with the same message. No call may raise
anything but a ValueError or a TypeError, or warn of anything but a cecore.InputWarning.

At the first failure the tool removes rows from the case as long as it still fails, prints it, and exits with 1.
"""

from __future__ import annotations

import argparse
import datetime
import faulthandler
import multiprocessing
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import numpy as np
from fuzz_cases import Case, draw
from fuzz_properties import PROPERTIES, check

from cecore import _dispatch, _threads

BATCH = 25  # cases that a process computes at once


def one_case(seed: int, number: int) -> Case:
    with np.errstate(all="ignore"):
        return draw(np.random.default_rng([seed, number]))


def checked(case: Case, seed: int, number: int, compared: Counter) -> str:
    with np.errstate(all="ignore"):  # of this tool; the calls of cecore have another state
        return check(case, np.random.default_rng([seed, number, 1]), compared)


def batch(seed: int, first: int) -> tuple[Counter, int | None]:
    """Check some cases. Return how many comparisons each property made, and the number of the first failure."""
    faulthandler.enable()
    compared: Counter = Counter()
    for number in range(first, first + BATCH):
        if checked(one_case(seed, number), seed, number, compared):
            return compared, number
        compared["cases"] += 1
    return compared, None


def shrunk(case: Case, seed: int, number: int) -> Case:
    """Remove losses, ever fewer at once, as long as the same property fails."""
    name = checked(case, seed, number, Counter()).partition(":")[0]
    if not case.shape or case.vector or case.wrong:
        return case
    step, until = (case.shape[0] + 1) // 2, time.monotonic() + 20
    while step and time.monotonic() < until:
        for start in range(0, case.shape[0], step):
            smaller = case.take(np.delete(np.arange(case.shape[0]), slice(start, start + step)))
            if checked(smaller, seed, number, Counter()).partition(":")[0] == name:
                case = smaller
                break
        else:
            step //= 2
    return case


def show(seed: int, number: int) -> int:
    """Print a case, and the property that fails, with the arrays that shrinking leaves."""
    case, compared = one_case(seed, number), Counter[str]()
    text = checked(case, seed, number, compared)
    if text:
        case = shrunk(case, seed, number)
        text = checked(case, seed, number, Counter())
    print(f"case {number} of seed {seed}: python tools/fuzz.py --seed {seed} --case {number}")
    print(f"{case}\n{text or f'holds: {compared.total()} comparisons'}")
    return 1 if text else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long to run (default: 60)")
    parser.add_argument("--seed", type=int, default=int(f"{datetime.date.today():%Y%m%d}"), help="default: the date")
    parser.add_argument("--case", type=int, help="repeat this case alone")
    parser.add_argument("--processes", type=int, default=_threads.usable(), help="default: the CPUs that may be used")
    given = parser.parse_args()
    if given.case is not None:
        return show(given.seed, given.case)
    print(f"seed {given.seed}, {given.processes} processes, levels {', '.join(_dispatch.usable)}", flush=True)
    compared, failed, end, first = Counter[str](), None, time.monotonic() + given.seconds, 0
    running: dict[Future[tuple[Counter, int | None]], int] = {}
    with ProcessPoolExecutor(given.processes, multiprocessing.get_context("spawn")) as pool:
        while failed is None and (running or time.monotonic() < end):
            while len(running) < 2 * given.processes and time.monotonic() < end:
                running[pool.submit(batch, given.seed, first)] = first
                first += BATCH
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                try:
                    found, failed = future.result()
                except BrokenProcessPool:
                    print(f"a process died in one of the {BATCH} cases from {sorted(running.values())}")
                    return 1
                del running[future]
                compared += found
                if failed is not None:
                    break
        pool.shutdown(cancel_futures=True)
    print(f"{compared.pop('cases', 0)} cases; comparisons: ", end="")
    print(", ".join(f"{name} {compared[name]}" for name in (prop.__name__ for prop in PROPERTIES)))
    return 0 if failed is None else show(given.seed, failed)


if __name__ == "__main__":
    sys.exit(main())
