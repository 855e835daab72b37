"""Test forks, threads and exits at the worst moments, in random rounds.

    python tools/processes.py                 for 100 seconds
    python tools/processes.py SECONDS         for another time
    python tools/processes.py --round SEED    repeat one round

Each round is a new process. It starts threads that compute with worker threads, and forks while they compute. The
children compute, fork again, and end in different ways. Some calls raise errors in worker threads. In the end the
process exits while all of this still runs. Every result must be bit for bit the result of one thread. If a process
returns a wrong result, crashes or does not end in time, the run fails and prints the seed of the round.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import cecore
from cecore import _dispatch

LIMIT = 30  # seconds that a round may take on a busy machine
CALLS = 6  # calls of each thread


def cases() -> list[tuple]:
    """Return (function, arguments, bytes of the result) for each case."""
    rng = np.random.default_rng(0)
    found = []
    for size in (1_000, 70_000, 300_000):
        p, y = rng.random(size), rng.integers(0, 2, size)
        z, t = rng.normal(0, 3, (size // 100, 100)), rng.integers(0, 100, size // 100)
        found += [
            (cecore.BinaryCrossEntropy().forward_backward, (p, y)),
            (cecore.BinaryCrossEntropyWithLogits().gradient_hessian, (p[::-1], y)),
            (cecore.CrossEntropyWithLogits().forward_backward, (z, t)),
            (cecore.CrossEntropyWithLogits(axis=0).forward_backward, (z.T, t)),
            (cecore.softmax, (z,)),
        ]
    return [(function, arguments, frozen(function(*arguments))) for function, arguments in found]


def frozen(result) -> list[bytes]:
    return [np.asarray(part).tobytes() for part in (result if isinstance(result, tuple) else (result,))]


class Wrong(Exception):
    pass


def compute(known: list[tuple], seed: int, calls: int = CALLS) -> None:
    """Make random calls with random numbers of threads. After one in four, make a call that must raise."""
    rng = random.Random(seed)
    for _ in range(calls):
        cecore.set_num_threads(rng.choice([1, 2, 3, 16]))
        function, arguments, want = rng.choice(known)
        if frozen(function(*arguments)) != want:
            raise Wrong(f"{function} returned another result with {cecore.get_num_threads()} threads")
        if rng.random() < 0.25:
            p = np.full(300_000, 0.5)
            p[rng.randrange(p.size)] = 2
            try:
                cecore.binary_cross_entropy(p, np.ones(p.size))
            except ValueError:
                continue
            raise Wrong("a call with an invalid probability raised no error")


def fork(known: list[tuple], rng: random.Random, depth: int = 0) -> int:
    """Fork a child that computes, and that may fork and start threads. Return its process number."""
    seed = rng.randrange(1 << 30)
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        rng = random.Random(seed)
        compute(known, seed, 2)
        if depth < 2 and rng.random() < 0.4:
            wait(fork(known, rng, depth + 1))
        if rng.random() < 0.5:
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(lambda i: compute(known, seed + i, 2), range(3)))
    except Exception:  # this must not catch the exit of a grandchild
        traceback.print_exc()
        code = 1
    if rng.random() < 0.5:
        os._exit(code)
    sys.exit(code)  # finalize Python while a pool still runs


def wait(child: int) -> None:
    status = os.waitpid(child, 0)[1]
    if status:
        raise Wrong(f"a forked child ended with status {status}")


def one_round(seed: int) -> None:
    rng = random.Random(seed)
    former = _dispatch.kernels.set_threading(rng.choice([1, 50_000, 1 << 16]), rng.choice([1, 1_000, 1 << 16]))
    cecore.set_num_threads(1)
    known = cases()
    failures: list[BaseException] = []

    def guarded(i: int, calls: int) -> None:
        try:
            compute(known, seed + i, calls)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(i, CALLS)) for i in range(rng.choice([0, 2, 16]))]
    endless = [threading.Thread(target=guarded, args=(i, 1 << 30), daemon=True) for i in range(rng.choice([0, 0, 2]))]
    for thread in (*threads, *endless):
        thread.start()
    children = []
    for _ in range(rng.randrange(5)):
        children.append(fork(known, rng))
        compute(known, rng.randrange(1 << 30), 1)
    for child in children:
        wait(child)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    if rng.random() < 0.5:
        _dispatch.kernels.set_threading(*former)
        cecore.set_num_threads("auto")
        compute(known, seed, 2)
    print(len(children), flush=True)  # then exit, whatever still runs


def main() -> int:
    if sys.argv[1:2] == ["--round"]:
        one_round(int(sys.argv[2]))
        return 0
    seconds = float(sys.argv[1]) if sys.argv[1:] else 100
    start, rounds, forks, slowest = time.monotonic(), 0, 0, 0.0
    first = random.SystemRandom().randrange(1 << 30)
    while time.monotonic() - start < seconds:
        command = [sys.executable, "-W", "ignore", __file__, "--round", str(first + rounds)]
        before = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"round {first + rounds} failed: {error}\n{error.stderr}")
            return 1
        slowest = max(slowest, time.monotonic() - before)
        forks += int(done.stdout)
        rounds += 1
    print(f"{rounds} rounds with {forks} forks passed; the slowest round took {slowest:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
