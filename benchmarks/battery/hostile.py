import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np

from benchmarks.battery.ground import Ground, Tried
from benchmarks.memory import kib
from benchmarks.serve_load import running
from tests.adversarial.requests import KEY, hostile, hostile_uploads
from tests.serving.process import read

AT_ONCE = 16
LONGEST_S = 60
MOST_MIB = 1000  # several photos of 49 megapixels may be decoded at once
FLAGS = ["--api-key", KEY, "--body-s", "1", "--max-requests", "4"]
FLAGS += ["--log-level", "ERROR"]  # each request that is no HTTP is a warning
Maker = Callable[[], bytes]


def tries(ground: Ground, rng: np.random.Generator) -> Iterator[Tried]:
    """Send hostile requests, some at once; between them the service must answer good uploads."""
    requests = {**hostile(), **hostile_uploads()}
    photo = ground.photos[0]
    with (
        running(ground.copy("hostile") / "bundle", FLAGS) as (url, pid),
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        right = best_score(url, photo)
        while True:
            names = rng.permutation(list(requests)).tolist()
            for start in range(0, len(names), AT_ONCE):
                some = names[start : start + AT_ONCE]
                replies = [threads.submit(answer, url, requests[name]) for name in some]
                for name, reply in zip(some, replies, strict=True):
                    yield judged(name, reply.result())
                if fault := harmed(url, pid, photo, right):
                    yield Tried("fault", f"{fault}, after: {'; '.join(map(again, some))}")
                    return


def answer(url: str, request: Maker) -> bytes | None:
    """Send a request; return all that comes back; None where that takes too long."""
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    sent = request()
    try:
        with socket.create_connection(address, LONGEST_S) as connection:
            with suppress(ConnectionError):  # it may be answered before all was sent
                connection.sendall(sent)
            return read(connection)
    except ConnectionError:
        return b""
    except TimeoutError:
        return None


def judged(name: str, reply: bytes | None) -> Tried:
    """Tell what the answer to a request was, and whether it may be."""
    if reply is None:
        return Tried("no answer", f"no answer in {LONGEST_S} s: {again(name)}")
    head = reply.partition(b"\r\n\r\n")[0].lower()
    if not head:
        return Tried("no answer")
    status = int(head.split()[1])
    full = status == 503 and b"\nretry-after:" in head
    fault = None
    if status >= 500 and not full:
        fault = f"status {status}: {again(name)}"
    elif b"\nx-evil" in head:
        fault = f"a header of the request's making: {again(name)}"
    return Tried(str(status), fault)


def harmed(url: str, pid: int, photo: Path, right: float) -> str | None:
    """Tell what is wrong with a service, by an upload and its memory."""
    try:
        found = best_score(url, photo)
    except (httpx.HTTPError, LookupError) as error:
        return f"a good upload fails: {error!r}"
    if abs(found - right) > 1e-4:
        return f"the best score of a good upload is {found}, not {right}"
    if (most := kib("VmHWM", pid) / 1024) > MOST_MIB:
        return f"the service's memory was {most:.0f} MiB"
    return None


def best_score(url: str, photo: Path) -> float:
    """Return the best hit's score of an upload."""
    files = {"photo": photo.read_bytes()}
    headers = {"X-API-Key": KEY}
    reply = httpx.post(f"{url}/v1/search/upload", files=files, headers=headers, timeout=60)
    return float(reply.raise_for_status().json()["hits"][0]["score"])


def again(name: str) -> str:
    """Return the command that sends a request to a service of any bundle at port 8000."""
    python = "import sys; from tests.adversarial.requests import hostile, hostile_uploads; "
    python += f"sys.stdout.buffer.write((hostile() | hostile_uploads())[{name!r}]())"
    return f'python -c "{python}" | nc 127.0.0.1 8000'
