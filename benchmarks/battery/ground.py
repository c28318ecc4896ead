import io
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tests.adversarial import tables
from vsearch.cli.main import main

ROOT = Path(__file__).parents[2]
FIT = "import sys; from pathlib import Path; from tests.cli.project import Project; "
FIT += "Project(Path(sys.argv[1])).run('fit')"


@dataclass(frozen=True)
class Tried:
    """The result of one try; `fault`: in one line, what is wrong and how to reproduce it."""

    outcome: str
    fault: str | None = None


@dataclass(frozen=True)
class Ground:
    """What every kind starts from: a run, of which each takes a copy, and a folder to work in."""

    run: Path
    folder: Path

    @property
    def photos(self) -> list[Path]:
        """Photos of the catalog."""
        return sorted((self.folder / "colours").iterdir())

    def copy(self, name: str) -> Path:
        """Return a copy of the run."""
        return shutil.copytree(self.run, self.folder / name / "run")


def settle() -> None:
    """Have this process, and those that it starts, know the tests' network."""
    paths = [str(ROOT), str(ROOT / "tests")]
    sys.path[:] = [*paths, *sys.path]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["VSEARCH_PLUGINS"] = "tiny"
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def fit(folder: Path) -> Path:
    """Fit the tests' tiny project; return its run."""
    done = subprocess.run(
        [sys.executable, "-c", FIT, str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"the fit failed: {done.stderr[-2000:]}")
    (run,) = (folder / "lightning_logs").iterdir()
    return run


def grow(ground: Ground) -> None:
    """Give the bundle items with hostile labels, a second generation, and changes on top of it."""
    photo = ground.photos[0]
    rows = [(f"t{number}", photo, text) for number, text in enumerate(tables.texts())]
    table = ground.folder / "hostile.csv"
    table.write_bytes(tables.csv_table(["id", "path", "label"], rows))
    bundle = str(ground.run / "bundle")
    with redirect_stdout(io.StringIO()):
        main(["index", "add", bundle, "--table", str(table)])
        main(["index", "optimize", bundle])
        main(["index", "remove", bundle, "t0", "t1"])
