"""Let clients use the service for minutes and watch its memory: it must stay flat, and nothing may
fail.

    python -m benchmarks.serve_soak BUNDLE PHOTO [PHOTO ...] [--minutes 10] [--clients 4] [--flags
    "--max-batch 8"]

Each client searches by photo and by two examples, and asks for a hit's thumbnail and for similar
items. Memory is the resident set of the service's process, from Linux's /proc: its median over the
second minute and the last. Ends with status 1 if an answer is not 200 or memory grew by 5 % or
more.
"""

import argparse
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from statistics import median

import httpx

from benchmarks.serve_load import running

WARM_S, WINDOW_S, MOST_GROWTH = 60, 60, 0.05


def resident_mib(pid: int) -> float:
    """Return the resident set of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def use(url: str, photos: list[bytes], ends: threading.Event) -> list[int]:
    """Search as a user does until it is over; return each answer's status."""
    statuses: list[int] = []
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        for photo in cycle(photos):
            if ends.is_set():
                return statuses
            found = http.post("/v1/search/upload", files={"photo": ("a", photo)}, data={"k": 10})
            hits = found.json().get("hits", [])
            two = [{"id": hit["id"]} for hit in hits[:2]]
            answers = [found, http.post("/v1/search", json={"positive": two, "k": 10})]
            for hit in hits[:1]:
                path = hit["thumbnail_url"] or "/healthz"
                answers += [http.get(path), http.get(path.removesuffix("image") + "similar")]
            statuses += [answer.status_code for answer in answers]
    return statuses


def main() -> None:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--flags", default="", help="of `vsearch serve`")
    args = parser.parse_args()
    if args.minutes < 3:
        parser.error("--minutes: 3 at least, since the first is to warm up")
    photos, ends, sizes = (
        [path.read_bytes() for path in args.photos],
        threading.Event(),
        list[tuple[float, float]](),
    )
    with (
        running(args.bundle, args.flags.split()) as (url, pid),
        ThreadPoolExecutor(args.clients) as threads,
    ):
        users = [
            threads.submit(use, url, photos[i % len(photos) :] or photos, ends)
            for i in range(args.clients)
        ]
        start = time.monotonic()
        while (past := time.monotonic() - start) < 60 * args.minutes:
            sizes.append((past, resident_mib(pid)))
            time.sleep(1)
        ends.set()
        statuses = [status for user in users for status in user.result()]
    warm = median(size for past, size in sizes if WARM_S <= past < WARM_S + WINDOW_S)
    last = median(size for past, size in sizes if past >= 60 * args.minutes - WINDOW_S)
    failed = sum(status != 200 for status in statuses)
    print(
        f"{len(statuses):,} answers in {args.minutes:g} minutes, {failed} not 200; memory "
        f"{warm:.0f} MiB in the second minute, {last:.0f} in the last ({last / warm - 1:+.1%}), "
        f"{max(size for _, size in sizes):.0f} at most"
    )
    sys.exit(1 if failed or last / warm - 1 >= MOST_GROWTH else 0)


if __name__ == "__main__":
    main()
