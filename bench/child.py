"""One process, one number of threads: ``python -m bench.child THREADS PLAN``, started by the command line.

It pins itself to its CPUs before NumPy or any peer is imported. Before each cell it waits for a line on stdin, and it
writes its messages to stdout, one line of JSON each.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import warnings
from typing import Any

from .pinning import pin


def say(kind: str, **what: Any) -> None:
    print(json.dumps({"kind": kind, **what}), flush=True)


def main(threads: int, plan: dict[str, Any]) -> None:
    cpus = pin(threads)
    from .contestants import contestants  # after pinning, because it imports NumPy
    from .results import siblings
    from .run import measured, tasks
    from .timing import PAUSE, Effort, Probe

    warnings.simplefilter("ignore")  # scikit-learn warns about float32 rows that do not sum to 1
    field, absent = contestants(plan["levels"], plan["contestants"])
    effort, every, probe = Effort(**plan["effort"]), tasks(plan), Probe()
    say("process", threads=threads, affinity=cpus or None, siblings=[siblings(cpu) for cpu in cpus], absent=absent)
    say("plan", tasks=len(every))
    for task in every:
        if not sys.stdin.readline():  # the parent process has ended
            return
        say("task", label=f"{task.cell}, {task.dtype}, {task.size:,}; threads: {threads}")
        time.sleep(PAUSE)  # until the threads of the other processes sleep
        say("cell", record=measured(task, field, threads, effort, probe, plan.get("memory", False)))
        gc.collect()  # free the arrays before another process measures


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
