import os
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {"amx_bf16", "avx512_bf16", "bf16"}
SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@cache
def cpu_has_bfloat16() -> bool:
    """Return whether the processor has bfloat16 instructions; False if Linux doesn't say."""
    if not CPUINFO.is_file():
        return False

    for line in CPUINFO.read_text().splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features"):  # x86, ARM
            return not BFLOAT16.isdisjoint(flags.split())
    return False


def usual_threads() -> int:
    """Return how many threads PyTorch uses: OMP_NUM_THREADS, or the cores this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)

    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1

    # two hardware threads of one core are siblings: they share its arithmetic units
    cores = {_siblings(cpu) for cpu in os.sched_getaffinity(0)}
    return len(cores)


def _siblings(cpu: int) -> str:
    path = Path(SIBLINGS.format(cpu))
    return path.read_text() if path.is_file() else str(cpu)
