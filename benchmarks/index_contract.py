"""The contract of every kind of index, as a table: kind by case.

uv run --group dev python -m benchmarks.index_contract

Runs tests/indexes/test_contract.py and prints Markdown. A real Milvus is a column too if
TEST_MILVUS names one; see benchmarks/milvus_server.py.
"""

import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

TESTS = Path(__file__).parent.parent / "tests" / "indexes" / "test_contract.py"
KINDS = (
    "faiss-flat",
    "faiss-exact",
    "faiss-hnsw",
    "pgvector",
    "pgvector-hnsw",
    "milvus-lite",
    "milvus",
)


def main() -> None:
    """Run the suite and print the table; the exit status is pytest's."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", str(TESTS), "-n", "0", "-q", f"--junitxml={report}"]
        )
        print("\n".join(table(report)))
    sys.exit(done.returncode)


def table(report: Path) -> list[str]:
    """Return the lines of a Markdown table of pytest's JUnit report: passed of run, by case and
    kind.
    """
    passed: dict[str, Counter[str]] = defaultdict(Counter)
    ran: dict[str, Counter[str]] = defaultdict(Counter)
    for case in ElementTree.parse(report).iter("testcase"):
        name, _, parameters = case.attrib["name"].partition("[")
        kind = next(
            one for one in sorted(KINDS, key=len, reverse=True) if parameters.startswith(one)
        )
        if case.find("skipped") is None:
            title = re.sub("_", " ", name.removeprefix("test_"))
            ran[title][kind] += 1
            passed[title][kind] += case.find("failure") is None and case.find("error") is None
    total = [
        f"{sum(row[one] for row in passed.values())} of {sum(row[one] for row in ran.values())}"
        for one in KINDS
    ]
    return [
        "| case | " + " | ".join(KINDS) + " |",
        "| --- |" + " --- |" * len(KINDS),
        *(
            f"| {title} | "
            + " | ".join(_cell(passed[title], ran[title], one) for one in KINDS)
            + " |"
            for title in ran
        ),
        "| **all** | " + " | ".join(total) + " |",
    ]


def _cell(passed: Counter[str], ran: Counter[str], kind: str) -> str:
    if not ran[kind]:
        return "-"
    return "yes" if passed[kind] == ran[kind] else f"{passed[kind]} of {ran[kind]}"


if __name__ == "__main__":
    main()
