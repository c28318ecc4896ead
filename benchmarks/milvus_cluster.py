"""Kills one of two Milvus query nodes while searches run, with two replicas: does a search fail?

apt-get install etcd-server
uv venv .milvus && uv pip install --python .milvus milvus==2.3.5 confluent-kafka
uv run --group dev python -m benchmarks.milvus_cluster --python .milvus/bin/python

The cluster has 8 processes of the binary in PyPI's package `milvus`, Debian's etcd and the mock
broker of confluent-kafka, in a separate network with only the loopback (`unshare -n`, which needs
root). Takes 2 GB of memory.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from vsearch.indexes.base import IndexUnavailable
from vsearch.indexes.milvus import MilvusIndex

ALONE = 'ip link set lo up && exec "$@"'
ROLES = (
    "rootcoord",
    "datacoord",
    "querycoord",
    "indexnode",
    "datanode",
    "proxy",
    "querynode",
    "querynode",
)
UNPACK = """
import sys
from milvus import MilvusServer, _initialize_data_files
server = MilvusServer()
server.set_base_dir(sys.argv[1])
server.config.resolve()
_initialize_data_files(server.config.base_data_dir)
"""
BROKER = """
import sys
from confluent_kafka import Producer
broker = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused"})
print(next(iter(broker.list_topics(timeout=10).brokers.values())), flush=True)
sys.stdin.read()
"""
N, DIM, THREADS = 5_000, 128, 4


def main() -> None:
    """Start the cluster, fill it, search while one of the query nodes is killed, and say what
    happened.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python", required=True, help="one that has the packages milvus and confluent-kafka"
    )
    parser.add_argument(
        "--seconds", type=float, default=40, help="of searches after the kill (default: 40)"
    )
    args = parser.parse_args()
    if os.environ.get("MILVUS_ALONE") is None:  # again, within the network
        words = [
            "unshare",
            "-n",
            "sh",
            "-c",
            ALONE,
            "sh",
            sys.executable,
            "-m",
            "benchmarks.milvus_cluster",
        ]
        words += ["--python", str(Path(args.python).absolute()), "--seconds", str(args.seconds)]
        sys.exit(subprocess.run(words, env={**os.environ, "MILVUS_ALONE": "1"}).returncode)
    folder, started = Path(mkdtemp(prefix="milvus-")), list[subprocess.Popen[str]]()
    try:
        nodes = _cluster(folder, args.python, started)
        index = _filled()
        failed = _searched(index, nodes[0], args.seconds)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(int(failed > 0))


def _cluster(
    folder: Path, python: str, started: list[subprocess.Popen[str]]
) -> list[subprocess.Popen[str]]:
    """Start everything; return the query nodes."""
    subprocess.run([python, "-c", UNPACK, folder], check=True)
    etcd = ["etcd", "--data-dir", str(folder / "etcd"), "--log-level", "error"]
    started.append(
        subprocess.Popen(etcd, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    broker: subprocess.Popen[str] = subprocess.Popen([python, "-c", BROKER], **pipes)  # type: ignore[call-overload]
    started.append(broker)
    assert broker.stdout is not None
    address = broker.stdout.readline().strip().partition("/")[0]
    _configure(folder / "configs" / "milvus.yaml", address)
    nodes = []
    for number, role in enumerate(ROLES):
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(folder / "bin"),
            "METRICS_PORT": str(9100 + number),
            "QUERYNODE_PORT": str(21_200 + number),
            "MILVUS_RUN_DIR": str(folder / f"run{number}"),
            "LOCALSTORAGE_PATH": str(folder / "data"),
            "GOMEMLIMIT": "500MiB",
        }
        with (folder / f"{number}-{role}.log").open("w") as log:
            command = [str(folder / "bin" / "milvus"), "run", role]
            process = subprocess.Popen(
                command, cwd=folder, env=environment, text=True, stdout=log, stderr=log
            )
        started.append(process)
        nodes += [process] if role == "querynode" else []
    return nodes


def _configure(path: Path, broker: str) -> None:
    text = path.read_text()
    text = re.sub(r"^(  ip:).*$", r"\1 127.0.0.1", text, flags=re.M)
    text = re.sub(r"^(  endpoints: )localhost:2379.*$", r"\g<1>127.0.0.1:2379", text, flags=re.M)
    text = re.sub(r"^(    embed:).*$", r"\1 false", text, flags=re.M)
    text = re.sub(r"^(mq:\n(?:  #.*\n)*  type:).*$", r"\1 kafka", text, flags=re.M)
    path.write_text(f"{text}\nkafka:\n  brokerList: {broker}\n")


def _filled() -> MilvusIndex:
    """Return an index in the cluster, in two replicas, once it is ready."""
    vectors = np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = MilvusIndex("milvus://127.0.0.1:19530/products", replicas=2, timeout_s=10)
    index.bind("f" * 64)
    begun = time.monotonic()
    _until(lambda: index.check(N, DIM), 180)
    print(f"the cluster answers after {time.monotonic() - begun:.0f} s")
    _until(lambda: index.build(vectors), 180)
    print(f"{len(index):,} vectors of {DIM} dimensions, in two replicas")
    return index


def _until(call: Callable[[], object], most_s: float) -> None:
    end = time.monotonic() + most_s
    while True:
        try:
            call()
            return
        except IndexUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(2)


def _searched(index: MilvusIndex, node: subprocess.Popen[str], seconds: float) -> int:
    """Search from several threads, kill a query node, search on; return how many searches failed or
    were wrong.
    """
    vectors = index.vectors(np.arange(100))
    took, failed, ended = list[tuple[float, float]](), list[str](), threading.Event()

    def search() -> None:
        rng = np.random.default_rng()
        while not ended.is_set():
            place, start = int(rng.integers(100)), time.monotonic()
            try:
                _, positions = index.search(vectors[place : place + 1], 10)
                if positions[0, 0] != place or (positions < 0).any():
                    failed.append(f"a wrong answer: {positions[0]}")
            except IndexUnavailable as error:
                failed.append(str(error))
            took.append((start, time.monotonic() - start))

    threads = [threading.Thread(target=search) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(10)
    killed = time.monotonic()
    node.kill()
    time.sleep(seconds)
    ended.set()
    for thread in threads:
        thread.join()
    for name, part in (
        ("before", [s for at, s in took if at < killed]),
        ("after", [s for at, s in took if at >= killed]),
    ):
        times = f"median {1000 * np.median(part):.0f} ms, longest {max(part):.2f} s"
        print(f"{name} the kill: {len(part):,} searches, {times}")
    print(f"failed: {len(failed)}" + "".join(f"\n  {text}" for text in sorted(set(failed))[:5]))
    return len(failed)


if __name__ == "__main__":
    main()
