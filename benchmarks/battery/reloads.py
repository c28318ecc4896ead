from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa

from benchmarks.battery.ground import Ground, Tried
from benchmarks.serve_load import running
from vsearch.bundle.generations import edit
from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.rebuild import rebuild
from vsearch.bundle.generations.writer_lock import writing

RELOADS = 50
UPLOADS = 20  # beside each reload
AT_ONCE = 4
REBUILT = 5  # each so-many-th change is a new generation
FLAGS = ["--api-key", "key"]


def tries(ground: Ground, rng: np.random.Generator) -> Iterator[Tried]:
    """Change a bundle and reload it while photos are uploaded; no request may fail, and who opened
    the bundle before keeps what was opened.
    """
    bundle = ground.copy("reloads") / "bundle"
    photos = [photo.read_bytes() for photo in ground.photos]
    reader = open_live(bundle)
    asked = reader.vectors(np.arange(10))
    held = reader.index.search(asked, 5)
    with (
        running(bundle, FLAGS) as (url, _),
        httpx.Client(base_url=url, headers={"X-API-Key": "key"}, timeout=60) as client,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        for number in range(RELOADS):
            sent = [photos[place] for place in rng.integers(len(photos), size=UPLOADS)]
            uploads = [threads.submit(upload, client, photo) for photo in sent]
            items = changed(bundle, number, rng)
            replies = [reload(client, items), *(one.result() for one in uploads)]
            wrong = [reply for reply in replies if reply]
            now = reader.index.search(asked, 5)
            if not all(np.array_equal(*pair) for pair in zip(held, now, strict=True)):
                wrong.append("a reader that was open answers otherwise")
            made = "a generation" if number % REBUILT == 0 else "a change"
            line = f"reload {number}, of {made}: {'; '.join(wrong)}"
            yield Tried(f"{made}, {UPLOADS} uploads", line if wrong else None)


def reload(client: httpx.Client, items: int) -> str | None:
    """Have the bundle opened again, with so many items; tell what went wrong."""
    try:
        reply = client.post("/v1/admin/reload")
    except httpx.HTTPError as error:
        return f"reload: {error!r}"
    right = reply.status_code == 200 and reply.json()["items"] == items
    return None if right else f"reload: {reply.status_code} {reply.text[:300]}, not {items} items"


def upload(client: httpx.Client, photo: bytes) -> str | None:
    """Search with a photo; tell what went wrong."""
    try:
        reply = client.post("/v1/search/upload", files={"photo": photo})
    except httpx.HTTPError as error:
        return f"upload: {error!r}"
    right = reply.status_code == 200 and reply.json()["hits"]
    return None if right else f"upload: {reply.status_code} {reply.text[:300]}"


def changed(bundle: Path, number: int, rng: np.random.Generator) -> int:
    """Rebuild the index, or replace an item by a new one; return the number of items."""
    with writing(bundle):
        live = open_live(bundle)
        if number % REBUILT == 0:
            rebuild(live, live.index, "optimize")
            return len(live.items)
        old = str(rng.choice(live.items["id"].to_pylist()))
        vector = rng.normal(size=(1, live.fitted["dim"]))
        vector /= np.linalg.norm(vector)
        row = pa.table({"id": [f"r{number}"], "path": [""], "label": ["new"]})
        live = edit.add(live, row, vector).live
        return len(edit.remove(live, [old]).live.items)
