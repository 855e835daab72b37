"""Two tables of ratios: unusual rows over ordinary rows, and options over the plain loss.

A group is one plain call and its variants, such as the same call on rows with masked logits. All calls of a group take
turns in one process, with one instruction-set level after the other, so that their ratios are precise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from .cells import CELLS, DTYPES, UNUSUAL, Cell
from .contestants import bind_cecore, cecore_at
from .results import Ratios
from .timing import Effort, Probe, interleaved

SIZE = 100_000  # numbers
CLASSES = (2, 3, 10, 32, 100, 1000)
TABLES = {  # the name of each table, its heading, and what the variants are compared with
    "rows": ("Unusual rows", "ordinary rows (normal logits with standard deviation 3)"),
    "options": ("Options", "the plain loss of the same call"),
}
PLAIN = "plain"


@dataclass(frozen=True)
class Group:
    table: str  # a key of TABLES
    plain: Cell
    variants: dict[str, Cell]

    @property
    def name(self) -> str:
        return self.plain.name.removesuffix(", out=")


def _with(plain: Cell, *options: str) -> dict[str, Cell]:
    return {option: replace(plain, options=(option,)) for option in options}


def _groups() -> list[Group]:
    found = []
    rows = [CELLS[f"ce logits forward_backward, {classes:,} classes, out="] for classes in CLASSES]
    for plain in rows:
        found.append(Group("rows", plain, {kind: replace(plain, unusual=kind) for kind in UNUSUAL}))
    for plain in rows:
        variants = _with(plain, "weights", "class weights", "smoothing")
        variants["distribution"] = replace(plain, targets="soft")
        found.append(Group("options", plain, {**variants, **_with(plain, "gamma 2", "gamma 1.7")}))
    for method in ("forward_backward", "gradient_hessian"):
        plain = CELLS[f"bce logits {method}, hard, out="]
        variants = _with(plain, "weights", "pos_weight", "pos_weight per column", "smoothing", "gamma 2", "gamma 1.7")
        variants["pos_weight, soft"] = replace(plain, targets="soft", options=("pos_weight",))
        found.append(Group("options", plain, variants))
    plain = CELLS["bce forward_backward, hard, out="]
    variants = _with(plain, "weights", "pos_weight", "smoothing")
    variants["soft"] = replace(plain, targets="soft")
    return [*found, Group("options", plain, variants)]


GROUPS = {(group.table, group.name): group for group in _groups()}


def plan(tables: list[str], dtypes: list[str]) -> list[tuple[str, str, str]]:
    """Return the groups to measure: table, name and dtype."""
    return [(table, name, dtype) for table, name in GROUPS if table in tables for dtype in dtypes if dtype in DTYPES]


def measured(
    table: str, name: str, dtype: str, levels: list[str], effort: Effort, probe: Probe, size: int = SIZE
) -> list[Ratios]:
    """Return the timings of one group, for each level."""
    group = GROUPS[table, name]
    cells = {PLAIN: group.plain, **group.variants}
    calls = {variant: bind_cecore(cell, cell.problem(size, dtype), 1) for variant, cell in cells.items()}
    found = []
    for level in levels:
        select = cecore_at(level).select
        select()
        for call in calls.values():
            call()
        timings = interleaved(calls, dict.fromkeys(calls, select), effort, False, probe)
        found.append(Ratios(table, name, dtype, level, size, _asdicts(timings)))
    return found


def _asdicts(timings: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {name: asdict(timing) for name, timing in timings.items()}
