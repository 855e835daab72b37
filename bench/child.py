"""One process, one number of threads: ``python -m bench.child THREADS PLAN``, started by the command line.

It pins itself to its CPUs before NumPy or any peer is imported. It lists its tasks, and then waits for the number of a
task on each line of stdin. It writes its messages to stdout, one line of JSON each.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import warnings
from dataclasses import asdict
from typing import Any

from .pinning import pin


def say(kind: str, **what: Any) -> None:
    print(json.dumps({"kind": kind, **what}), flush=True)


def main(threads: int, plan: dict[str, Any]) -> None:
    cpus = pin(threads)
    from . import ratios  # after pinning, because it imports NumPy
    from .cells import SIZE
    from .contestants import contestants
    from .results import siblings
    from .run import hopeless, measured, tasks
    from .timing import PAUSE, Effort, Probe

    warnings.simplefilter("ignore")  # scikit-learn warns about float32 rows that do not sum to 1
    field, absent = contestants(plan["levels"], plan["contestants"])
    effort, probe = Effort(**plan["effort"]), Probe()
    cells, groups = tasks(plan), plan.get("ratios", [])
    left_out: dict[tuple[str, ...], dict[str, str]] = {}  # peers and words, by the cell, the dtype and the layout
    say("process", threads=threads, affinity=cpus or None, siblings=[siblings(cpu) for cpu in cpus], absent=absent)
    say("plan", cells=[asdict(task) for task in cells], groups=len(groups))
    for line in sys.stdin:
        number = int(line)
        time.sleep(PAUSE)  # until the threads of the other processes sleep
        if number < len(cells):
            task = cells[number]
            say("task", label=f"{task.cell}, {task.dtype}, {task.size:,}; threads: {threads}")
            kind = task.cell, task.dtype, task.layout
            without = left_out.get(kind, {}) if task.size == SIZE else {}
            taking = [one for one in field if one.name not in without]
            record = measured(task, taking, threads, effort, probe, plan.get("memory", False))
            record["skipped"] |= without
            if plan.get("threaded") is not None:  # the run of all ordinary uses saves time
                left_out[kind] = hopeless(record)
            say("result", cell=record)
        else:
            group = groups[number - len(cells)]
            say("task", label=", ".join(group))
            vectors = [level for level in plan["levels"] if level != "baseline"] or plan["levels"]
            say("result", ratios=[vars(found) for found in ratios.measured(*group, vectors, effort, probe)])
        gc.collect()  # free the arrays before another process measures


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
