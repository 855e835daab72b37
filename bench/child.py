"""One process, one number of threads: ``python -m bench.child THREADS PLAN``, started by the command line.

It pins itself before NumPy or any peer is imported, waits for a line before each cell, and writes one of JSON for each
thing that it has to say.
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
    from .contestants import contestants  # after pinning: it imports NumPy
    from .results import siblings
    from .run import measured, tasks
    from .timing import PAUSE, Effort, Gauge

    warnings.simplefilter("ignore")  # what the peers have to say of float32 rows that do not sum to 1
    field, absent = contestants(plan["levels"], plan["contestants"])
    effort, every, gauge = Effort(**plan["effort"]), tasks(plan), Gauge()
    say("process", threads=threads, affinity=cpus or None, siblings=[siblings(cpu) for cpu in cpus], absent=absent)
    say("plan", tasks=len(every))
    for task in every:
        if not sys.stdin.readline():  # the command line has gone
            return
        say("task", label=f"{task.cell}, {task.dtype}, {task.size:,}; threads: {threads}")
        time.sleep(PAUSE)  # for the other processes' threads to come to rest
        say("cell", record=measured(task, field, threads, effort, gauge))
        gc.collect()  # while another process measures, this one keeps nothing


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
