"""How many threads read the files of a series."""

import os

MOST = 4
"""More gain little: the headers are read by one."""


def reading_threads() -> int:
    """The threads a series may be read with: the processors this process may run on, at most `MOST`.

    Where OMP_NUM_THREADS says fewer, so many. Snakemake sets it for every script to the threads of its rule, so that
    reading keeps to what the job was given; Slurm and taskset limit the processors. What is read never depends on it.
    """
    # macOS has no affinity
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(processors, MOST, max(int(said), 1) if said.isdecimal() else MOST)
