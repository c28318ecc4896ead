from pathlib import Path


def kib(name: str, process_id: int | str = "self") -> int:
    """Return a figure of a process's memory by its name in Linux's /proc: VmRSS, VmHWM, RssAnon."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ValueError(f"process {process_id} has no {name}")
