"""The wheel, in an environment of its own, in an empty folder: how one starts without a clone."""

import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SMALLER = {
    "model": {"backbone": {"init_args": {"name": "resnet18", "weights": None, "image_size": 32}}},
    "data": {
        "catalog": {"init_args": {"n_items": 80, "n_labels": 4, "photo_size": 32}},
        "classes_per_batch": 3,
        "photos_per_class": 2,
        "num_workers": 0,
    },
    "trainer": {
        "max_epochs": 1,
        "limit_train_batches": 2,
        "accelerator": "cpu",
        "enable_progress_bar": False,
    },
}


@pytest.fixture(scope="module")
def vsearch(tmp_path_factory) -> Path:
    """The command of an environment that has the wheel, and all else from the tests' own."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    (wheel,) = folder.glob("*.whl")
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True)
    (packages,) = environment.glob("lib/*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"])
    (packages / "pacmap.py").write_text("raise ImportError")  # it takes half a minute to start
    return environment / "bin" / "vsearch"


def answers(folder: Path, vsearch: Path, bundle: Path) -> bool:
    """Whether a service of the bundle gets ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    service = subprocess.Popen([vsearch, "serve", bundle, "--port", port], cwd=folder)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1)
                return True
            except OSError:
                time.sleep(0.1)
        return False
    finally:
        service.terminate()
        service.wait(30)


def run(folder: Path, *words: object) -> str:
    done = subprocess.run([*map(str, words)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_init_fit_search_and_serve_in_an_empty_folder(vsearch, tmp_path):
    assert "vsearch fit --config configs/triplet.yaml" in run(tmp_path, vsearch, "init")
    for path in (ROOT / "configs").rglob("*.yaml"):
        written = tmp_path / "configs" / path.relative_to(ROOT / "configs")
        assert written.read_bytes() == path.read_bytes()

    (tmp_path / "smaller.yaml").write_text(yaml.safe_dump(SMALLER))
    overlays = ["--config", "configs/triplet.yaml", "--config", "smaller.yaml"]
    run(tmp_path, vsearch, "fit", *overlays)
    bundle = tmp_path / "lightning_logs" / "version_0" / "bundle"
    photo = next((tmp_path / "demo_catalog" / "photos").iterdir())
    found = run(tmp_path, vsearch, "search", bundle, photo, "-k", 3)
    assert photo.stem in found
    assert answers(tmp_path, vsearch, bundle)


def test_the_wheel_has_every_file_of_the_package(vsearch):
    (wheel,) = vsearch.parents[2].glob("*.whl")
    held = set(ZipFile(wheel).namelist())
    for folder in ("vsearch", "callbacks"):
        files = [path for path in (ROOT / folder).rglob("*.*") if path.suffix != ".pyc"]
        assert {path.relative_to(ROOT).as_posix() for path in files if path.is_file()} <= held


def test_a_folder_of_configs_is_left_as_it_is(vsearch, tmp_path):
    (tmp_path / "configs").mkdir()
    done = subprocess.run([str(vsearch), "init"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, [*(tmp_path / "configs").iterdir()]) == (2, [])
    assert "exists already" in done.stderr
