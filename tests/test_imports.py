import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A room imports only rooms of the lines above its own. Two rooms in one line never import each
# other.
ROOMS = [
    {"errors"},
    {"class_paths", "optional_packages", "plain_text"},
    {"data"},
    {"models", "indexes"},
    {"search"},
    {"bundle"},
    {"evaluation"},
    {"training", "reports"},
    {"serving"},
    {"cli"},
    {"__main__"},
]
PACKAGE = "vsearch"
FILES = sorted((ROOT / PACKAGE).rglob("*.py"))


def module_of(path: Path) -> str:
    """The name by which others import a file: `vsearch.data.photos`."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(path) for path in FILES}


def imported(path: Path) -> set[str]:
    """The modules of vsearch and callbacks that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in MODULES else str(node.module))
    return {name for name in found if name.split(".")[0] in (PACKAGE, "callbacks")}


def room_of(module: str) -> str:
    return module.split(".")[1]


def line_of(room: str) -> int:
    return next(number for number, rooms in enumerate(ROOMS) if room in rooms)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_rooms_above_it(path):
    own = module_of(path)
    for other in imported(path) - {PACKAGE}:
        assert not other.startswith("callbacks"), f"{own} imports {other}: never the reverse"
        if room_of(own) != room_of(other):
            above = line_of(room_of(other)) < line_of(room_of(own))
            assert above, f"{own} imports {other}, whose room is not above it"


def test_no_imports_run_in_a_circle():
    graph = {module_of(path): imported(path) - {module_of(path)} for path in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_room_is_in_the_list_and_the_list_has_no_other():
    here = {path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert here - {"__init__"} == set().union(*ROOMS)


def test_the_reader_of_imports_sees_what_is_there():
    read = imported(ROOT / "vsearch" / "training" / "module.py")
    assert {"vsearch.evaluation.metrics", "vsearch.models.backbones.base"} <= read
    assert "vsearch.cli.commands" in imported(ROOT / "vsearch" / "cli" / "main.py")


def test_no_utils():
    assert not list(ROOT.glob("vsearch/**/utils*"))
