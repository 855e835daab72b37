"""The cells of one process: each checked, then timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from .cells import CELLS, Cell, Problem
from .checks import ELEMENTS, agree, attempted, check, expected, parts
from .contestants import Contestant
from .peers import Skip
from .timing import Call, Effort, Gauge, interleaved

FUNCTION_SIZE = 1000  # a function makes an object each time: at most so many elements


@dataclass(frozen=True)
class Task:
    """One cell on one kind of data."""

    cell: str
    dtype: str
    size: int
    layout: str


def tasks(plan: dict[str, Any]) -> list[Task]:
    """Those that a plan asks for."""
    chosen = [Task(*task) for task in product(plan["cells"], plan["dtypes"], plan["sizes"], plan["layouts"])]
    return [task for task in [*chosen, *(Task(*task) for task in plan["more"])] if fits(task)]


def fits(task: Task) -> bool:
    """Whether there is a whole row of classes, and, of a function, whether its overhead shows."""
    cell = CELLS[task.cell]
    return task.size >= cell.classes and (cell.method != "function" or task.size <= FUNCTION_SIZE)


def measured(task: Task, field: Sequence[Contestant], threads: int, effort: Effort, gauge: Gauge) -> dict[str, Any]:
    """A record of one cell: the timings, and a word on each contestant that has none."""
    cell = CELLS[task.cell]
    problem = cell.problem(task.size, task.dtype, task.layout)
    calls, skipped = admitted(cell, problem, task, field, threads)
    select = {one.name: one.select for one in field}
    timings = interleaved(calls, select, effort, threads > 1, gauge)
    return {
        **asdict(task),
        "elements": problem.x.size,
        "threads": threads,
        "timings": {one.name: asdict(timings[one.name]) for one in field if one.name in timings},
        "skipped": skipped,
    }


def admitted(
    cell: Cell, problem: Problem, task: Task, field: Sequence[Contestant], threads: int
) -> tuple[dict[str, Call], dict[str, str]]:
    """The calls of the contestants that are right, and a word on each other."""
    calls, skipped, differing, ours = {}, {}, [], None
    wanted = expected(cell, cell.head(problem, ELEMENTS, task.layout))
    fresh = restorer(cell, problem)
    for one in field:
        try:
            one.select()
            fresh()
            if one.tolerance is not None:
                check(cell, cell.head(problem, ELEMENTS, task.layout), wanted, one, threads)
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
    if len(differing) > len(agreeing):  # who was right on the first elements is so on all
        raise SystemExit(f"{task}: cecore differs from {', '.join(differing)} on the whole array")
    return calls, skipped


def restorer(cell: Cell, problem: Problem) -> Callable[[], None]:
    """Brings back the logits that a call in place has overwritten."""
    if cell.results != "in place":
        return lambda: None
    saved = problem.x.copy()
    return lambda: np.copyto(problem.x, saved)
