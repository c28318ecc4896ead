"""The contract of index engines as a table: engine by case.

uv run python -m benchmarks.index_contract

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
ENGINES = (
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
    engine.
    """
    passed: dict[str, Counter[str]] = defaultdict(Counter)
    ran: dict[str, Counter[str]] = defaultdict(Counter)
    for case in ElementTree.parse(report).iter("testcase"):
        name, _, parameters = case.attrib["name"].partition("[")
        engine = next(
            one for one in sorted(ENGINES, key=len, reverse=True) if parameters.startswith(one)
        )
        if case.find("skipped") is None:
            title = re.sub("_", " ", name.removeprefix("test_"))
            ran[title][engine] += 1
            passed[title][engine] += case.find("failure") is None and case.find("error") is None
    total = [
        f"{sum(row[one] for row in passed.values())} of {sum(row[one] for row in ran.values())}"
        for one in ENGINES
    ]
    return [
        "| case | " + " | ".join(ENGINES) + " |",
        "| --- |" + " --- |" * len(ENGINES),
        *(
            f"| {title} | "
            + " | ".join(_cell(passed[title], ran[title], one) for one in ENGINES)
            + " |"
            for title in ran
        ),
        "| **all** | " + " | ".join(total) + " |",
    ]


def _cell(passed: Counter[str], ran: Counter[str], engine: str) -> str:
    if not ran[engine]:
        return "-"
    return "yes" if passed[engine] == ran[engine] else f"{passed[engine]} of {ran[engine]}"


if __name__ == "__main__":
    main()
