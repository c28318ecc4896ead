"""Send the service many requests made from its own OpenAPI description; none may get a 5xx.

    python -m benchmarks.serve_cases BUNDLE [--cases 2000]

Cases that fit the description and cases that don't, in about equal shares for each route, by schemathesis, in one
process. Refusals on purpose (503 of a full queue, 501 of a network that can't explain) are counted, and are no failure.
"""

import argparse
import collections
import sys
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from vsearch.service.app import create_app
from vsearch.service.settings import Settings

KEY = {"X-API-Key": "key"}
ON_PURPOSE = (501, 503)
CALM = settings(deadline=None, database=None, suppress_health_check=[*HealthCheck])


def main() -> None:
    """Send the cases and count the answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cases", type=int, default=2000)
    args = parser.parse_args()
    app = create_app(args.bundle, Settings(api_key="key"))  # type: ignore[arg-type]  # pydantic makes a secret of it
    described = schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()
    operations = [one.ok() for one in described]  # type: ignore[union-attr]  # what it can't read ends the program
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    each = -(-args.cases // (len(operations) * len(modes)))
    statuses: collections.Counter[int] = collections.Counter()
    failed: list[str] = []

    def send(case: Any) -> None:
        reply = case.call(headers=KEY)
        statuses[reply.status_code] += 1
        if reply.status_code >= 500 and reply.status_code not in ON_PURPOSE:
            failed.append(f"{reply.status_code}: {case.as_curl_command()}")

    for operation in operations:
        for mode in modes:
            strategy = operation.as_strategy(generation_mode=mode)
            try:
                settings(CALM, max_examples=each)(given(case=strategy)(send))()
            except Unsatisfiable:  # nothing about it can be wrong: it takes no parameters
                print(f"{operation.label}: no {mode.value} cases")
    told = ", ".join(f"{count:,} x {code}" for code, count in sorted(statuses.items()))
    print(f"{sum(statuses.values()):,} cases: {told}")
    if failed:
        sys.exit("\n".join(failed[:20]))


if __name__ == "__main__":
    main()
