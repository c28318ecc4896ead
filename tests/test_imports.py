import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Imports go up this list only; modules of one line don't import each other. The lines are as fine as needed: the module
# scores each epoch with evaluate, a backbone declares its Preprocessing, and both are above what they use.
LEVELS = [
    {"images", "metrics", "splits", "freezing", "diagnostics"},
    {"catalogs", "backbones", "indexes", "sampling", "scan"},
    {"evaluate", "datamodule", "bundle", "latency", "memory"},
    {"module"},
    {"reports"},
    {"commands", "service", "trainer_cli"},
    {"cli"},
    {"__main__"},
]
WITHIN = {  # a package's own files: everybody may import base.py, and these
    ("reports.files", "reports.tables"),
    ("catalogs.table", "catalogs.csv_repair"),
    ("catalogs.demo", "catalogs.demo_shapes"),
}
FILES = sorted((ROOT / "vsearch").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The vsearch modules that a file imports, without the leading `vsearch.`, and `callbacks`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "vsearch" else [node.module]
            )
        found |= {name.removeprefix("vsearch.") for name in names if name.split(".")[0] in ("vsearch", "callbacks")}
    return found


def level(module: str) -> int:
    return next(number for number, names in enumerate(LEVELS) if module.split(".")[0] in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    own = ".".join(path.relative_to(ROOT / "vsearch").with_suffix("").parts).removesuffix(".__init__")
    for other in imported(path) - {"vsearch"}:
        assert not other.startswith("callbacks"), f"{own} imports {other}: callbacks import vsearch, never the reverse"
        if own.split(".")[0] == other.split(".")[0]:
            assert other.endswith(".base") or (own, other) in WITHIN, f"{own} imports its sibling {other}"
        else:
            assert level(own) > level(other), f"{own} imports {other}, which is not below it"


def test_the_reader_of_imports_sees_what_is_there():
    assert {"evaluate", "metrics", "backbones.base"} <= imported(ROOT / "vsearch" / "module.py")
    assert {"indexes.base", "indexes.flat", "metrics"} <= imported(ROOT / "vsearch" / "evaluate.py")
    assert "commands" in imported(ROOT / "vsearch" / "cli.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small(path):
    assert len(path.read_text().splitlines()) <= 300


def test_no_utils():
    assert not list(ROOT.glob("vsearch/**/utils*"))
