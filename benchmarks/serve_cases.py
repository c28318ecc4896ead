"""Send the service many requests made from its own OpenAPI description; none may get a 5xx.

    python -m benchmarks.serve_cases BUNDLE [--cases 2000]

schemathesis makes cases that fit the description and cases that don't, in about equal shares for
each route, in one process; routes that can't make as many leave theirs to the others. Every other
upload has a readable photo. Deliberate refusals (503 of a full queue, 501 of a network that can't
explain) are counted, and aren't failures.
"""

import argparse
import collections
import io
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from vsearch.data.catalogs.demo import draw_item
from vsearch.serving.api.app import create_app
from vsearch.serving.api.settings import Settings

KEY = {"X-API-Key": "key"}
ON_PURPOSE = (501, 503)
CALM = settings(
    deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck]
)


class Sender:
    """Sends cases and counts the answers: by status, and those to uploads of a photo that can be
    read.
    """

    def __init__(self) -> None:
        self.statuses: collections.Counter[int] = collections.Counter()
        self.with_photo: collections.Counter[int] = collections.Counter()
        self.failed: list[str] = []
        self.uploads = 0
        file = io.BytesIO()
        draw_item("boot", 80, np.random.default_rng(0))[1].save(file, "JPEG")
        self.photo = file.getvalue()

    def send(self, case: Any) -> None:
        """Send a case; of uploads, every other one with the photo in place of random bytes."""
        upload = isinstance(case.body, dict) and "photo" in case.body
        self.uploads += upload
        real = upload and self.uploads % 2 == 0
        if real:
            case.body = {**case.body, "photo": self.photo}
        status = case.call(headers=KEY).status_code
        self.statuses[status] += 1
        self.with_photo[status] += real
        if status >= 500 and status not in ON_PURPOSE:
            self.failed.append(f"{status}: {case.as_curl_command()}")

    def some(self, operation: Any, mode: schemathesis.GenerationMode, n: int) -> int:
        """Send up to n cases of a route and return how many it were."""
        before, strategy = self.statuses.total(), operation.as_strategy(generation_mode=mode)
        try:
            settings(CALM, max_examples=n)(given(case=strategy)(self.send))()
        except Unsatisfiable:  # nothing about it can be wrong: it takes no parameters
            print(f"{operation.label}: no {mode.value} cases")
        return self.statuses.total() - before


def share(cases: int, makers: Iterable[Callable[[int], int]]) -> int:
    """Have each of some makers send its share of the cases, and what others can't; return how many
    are missing.
    """
    left, able = cases, [*makers]
    while left > 0 and able:
        each = -(-left // len(able))
        sent = {make: make(each) for make in able}
        left -= sum(sent.values())
        able = [make for make, n in sent.items() if n >= each]
    return max(0, left)


def main() -> None:
    """Send the cases and count the answers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cases", type=int, default=2000)
    args = parser.parse_args()
    app = create_app(args.bundle, Settings(api_key="key"))  # type: ignore[arg-type]  # pydantic makes a secret of it
    described = schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()
    operations = [one.ok() for one in described]  # type: ignore[union-attr]  # what it can't read ends the program
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    sender = Sender()
    missing = share(
        args.cases,
        [partial(sender.some, operation, mode) for operation in operations for mode in modes],
    )
    told = ", ".join(f"{count:,} x {code}" for code, count in sorted(sender.statuses.items()))
    print(f"{sender.statuses.total():,} cases: {told}")
    print(
        f"{sender.with_photo.total():,} with a photo that can be read, {sender.with_photo[200]:,} "
        "of them answered"
    )
    if missing:
        sender.failed.append(f"{missing:,} of {args.cases:,} cases could not be made")
    if sender.failed:
        sys.exit("\n".join(sender.failed[:20]))


if __name__ == "__main__":
    main()
