"""The cells of one process: each is checked, then timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from .cells import CELLS, LISTED, Cell, Problem
from .checks import ELEMENTS, agree, attempted, check, parts
from .contestants import Contestant
from .memory import extra_kib
from .peers import Skip
from .results import BANDWIDTH, FORMULA, OURS
from .timing import Call, Effort, Probe, interleaved

HOPELESS = 3.0  # a peer that takes so many times the time of the fastest can be left out of the largest arrays
FUNCTION_SIZE = 1000  # elements at most: a function makes a loss object in each call, and only small calls show that


@dataclass(frozen=True)
class Task:
    """One cell on data of one dtype, size and layout."""

    cell: str
    dtype: str
    size: int
    layout: str


def tasks(plan: dict[str, Any]) -> list[Task]:
    """Return the tasks that a plan asks for."""
    chosen = [*product(plan["cells"], plan["dtypes"], plan["sizes"], plan["layouts"]), *plan["more"]]
    tasks = (
        Task(cell, own, size, layout) for cell, dtype, size, layout in chosen for own in CELLS[cell].dtypes or (dtype,)
    )
    return [task for task in dict.fromkeys(tasks) if fits(task)]


def fits(task: Task) -> bool:
    """Return whether the data has a whole row of classes and, for functions and lists, whether it is small."""
    cell = CELLS[task.cell]
    most = FUNCTION_SIZE if cell.method == "function" else LISTED if cell.form == "lists" else task.size
    return cell.classes <= task.size <= most


def hopeless(record: dict[str, Any]) -> dict[str, str]:
    """Return the peers that were far from being the fastest, each with a word for larger arrays of the same cell."""
    times = {name: timing["median"] for name, timing in record["timings"].items() if name != BANDWIDTH}
    slow = [name for name, time in times.items() if time > HOPELESS * min(times.values())]
    word = f"more than {HOPELESS:g} times as slow as the fastest at {record['size']:,} elements"
    return {name: word for name in slow if not name.startswith(OURS) and name != FORMULA}


def measured(
    task: Task, field: Sequence[Contestant], threads: int, effort: Effort, probe: Probe, memory: bool = False
) -> dict[str, Any]:
    """Return the record of one cell: the timings, and for each contestant without a timing the reason.

    With `memory`, each timing also has the extra memory of a call, if the system reports it.
    """
    cell = CELLS[task.cell]
    problem = cell.problem(task.size, task.dtype, task.layout)
    calls, skipped = admitted(cell, problem, task, field, threads)
    select = {one.name: one.select for one in field}
    timings = {name: asdict(timing) for name, timing in interleaved(calls, select, effort, threads > 1, probe).items()}
    for name, timing in timings.items() if memory else ():
        select[name]()
        kib = extra_kib(calls[name])
        if kib is not None:
            timing["extra_kib"] = kib
    return {
        **asdict(task),
        "elements": problem.x.size,
        "threads": threads,
        "timings": {one.name: timings[one.name] for one in field if one.name in timings},
        "skipped": skipped,
    }


def admitted(
    cell: Cell, problem: Problem, task: Task, field: Sequence[Contestant], threads: int
) -> tuple[dict[str, Call], dict[str, str]]:
    """Return the calls of the contestants whose results are right, and for each other contestant the reason."""
    calls, skipped, differing, ours = {}, {}, [], None
    small = min(task.size, max(ELEMENTS, cell.classes)), task.dtype, task.layout
    fresh = restorer(cell, problem)
    for one in field:
        try:
            one.select()
            fresh()
            if one.tolerance is not None:
                check(cell, *small, one, threads)
            call = attempted(one.bind, cell, problem, threads)
            result = attempted(call)
            if one.tolerance is not None:
                got = parts(result)
                ours = [part.copy() for part in got] if ours is None else ours
                if not agree(got, ours):
                    differing.append(one.name)
                    raise Skip("differs from cecore on the whole array")
            calls[one.name] = call
        except Skip as word:
            if one.tolerance is not None and one.relative:
                raise SystemExit(f"{task}: {one.name}: {word}") from word
            skipped[one.name] = str(word)
    fresh()
    agreeing = [one.name for one in field if one.name in calls and one.tolerance is not None and not one.relative]
    if len(differing) > len(agreeing):  # peers that were right on the first elements are right on the whole array
        raise SystemExit(f"{task}: cecore differs from {', '.join(differing)} on the whole array")
    return calls, skipped


def restorer(cell: Cell, problem: Problem) -> Callable[[], None]:
    """Return a function that restores the logits that an in-place call has overwritten."""
    if cell.results != "in place":
        return lambda: None
    saved = problem.x.copy()
    return lambda: np.copyto(problem.x, saved)
