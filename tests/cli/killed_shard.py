import os
import signal
from pathlib import Path

from vsearch.bundle.bulk import shards as sharding
from vsearch.data.embedding_parts import Parts


def make_or_die(work: Path, folder: Path, parts: Parts, run: range, threads: int) -> None:
    """Make a shard, except the second one: its process dies, as it does when memory runs out."""
    if folder.name == "0001":
        os.kill(os.getpid(), signal.SIGKILL)
    sharding.make_shard(work, folder, parts, run, threads)
