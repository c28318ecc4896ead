"""PyTorch is imported where it computes; what serves and searches runs without it."""

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_bundle import fitted, photo
from tiny_words import text_bundle

from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.data.views import Flip

ROOT = Path(__file__).parents[1]
TRAINING = {"torch", "torchvision", "lightning", "pytorch_metric_learning"}
# Where they may be imported: folders and files of vsearch/.
COMPUTES = ("models", "training", "evaluation/studies", "cli/trainer.py")
# ... and, among these, where they may not: they compute without PyTorch.
WITHOUT = (
    "models/runtimes/base.py",
    "models/runtimes/onnx.py",
    "models/runtimes/openvino.py",
    "models/score_maps.py",
    "models/text/encoder.py",
    "models/text/tokenizer.py",
)
FILES = sorted((ROOT / "vsearch").rglob("*.py"))

# Runs vsearch in a process in which importing some packages raises.
WALLED = """
import sys

walled = set(sys.argv.pop(1).split(","))


class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in walled:
            raise ImportError(f"{name} is behind the wall")


sys.meta_path.insert(0, Wall())
from vsearch.cli.main import main

main()
"""


def imports(path: Path) -> set[str]:
    """The packages that a file imports anywhere: at its top, in a function, for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pytorch_is_imported_only_where_it_computes(path):
    place = path.relative_to(ROOT / "vsearch").as_posix()
    if place in WITHOUT or not place.startswith(COMPUTES):
        assert not imports(path) & TRAINING


def walled(words: list[object], without: set[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WALLED, ",".join(sorted(without)), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    folder = fitted(tmp_path_factory.mktemp("walls") / "bundle", views=(Flip(),))
    main(["export", str(folder), "--format", "onnx"])
    return folder


def test_the_wall_holds():
    words = [sys.executable, "-c", WALLED, "json", "--help"]
    assert "json is behind the wall" in subprocess.run(words, capture_output=True, text=True).stderr


def test_a_photo_is_searched_without_pytorch_and_pandas(bundle):
    query = photo(bundle.parent / "photos", 3)
    done = walled(["search", bundle, query, "--json"], TRAINING | {"pandas"})
    assert json.loads(done.stdout)[0]["hits"][0]["id"] == "p3"


def test_a_search_imports_neither_pytorch_nor_pandas_though_they_are_there(bundle):
    query = photo(bundle.parent / "photos", 3)
    told = "import sys; from vsearch.cli.main import main; main(); print(*sys.modules)"
    words = [sys.executable, "-c", told, "search", str(bundle), str(query)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {*TRAINING, "pandas"}


def test_examples_and_filters_work_without_pytorch_and_pandas(bundle):
    words = ["search", bundle, "--like", "p3", "--where", "price < 9", "--json"]
    done = walled(words, TRAINING | {"pandas"})
    hits = json.loads(done.stdout)[0]["hits"]
    assert hits
    assert all(hit["metadata"]["price"] < 9 for hit in hits)


@pytest.fixture(scope="module")
def text_bundle_with_export(tmp_path_factory) -> Path:
    pytest.importorskip("transformers")
    folder = text_bundle(tmp_path_factory.mktemp("words") / "bundle")
    main(["export", str(folder), "--format", "onnx"])
    return folder


def test_words_are_searched_with_without_pytorch_and_the_networks_library(text_bundle_with_export):
    words = ["search", text_bundle_with_export, "--text", "a red dress", "--json"]
    done = walled(words, TRAINING | {"pandas", "transformers", "open_clip"})
    (answer,) = json.loads(done.stdout)
    expected = open_bundle(text_bundle_with_export).search_examples([], text="a red dress")
    assert [hit["id"] for hit in answer["hits"]] == expected["id"].to_pylist()


def test_an_index_is_changed_without_pytorch(bundle, tmp_path):
    vectors = np.random.default_rng(1).standard_normal((2, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    paths = [str(photo(tmp_path, number)) for number in range(2)]
    ids = pa.table({"id": ["n0", "n1"], "path": paths, "label": ["l0", "l1"]})
    pq.write_table(
        ids.append_column("embedding", pa.array(list(vectors))), tmp_path / "new.parquet"
    )
    model = json.loads((bundle / "manifest.json").read_text())["fingerprint"]

    given = ["--embeddings", tmp_path / "new.parquet", "--fingerprint", model]
    walled(["index", "add", bundle, *given], TRAINING)
    walled(["index", "remove", bundle, "n0"], TRAINING)
    told = walled(["index", "describe", bundle], TRAINING).stdout

    assert "31" in told


def test_the_service_answers_without_pytorch_and_pandas(bundle):
    with serving(bundle, TRAINING | {"pandas"}) as url:
        body = photo(bundle.parent / "photos", 3).read_bytes()
        assert uploaded(f"{url}/v1/search/upload", body)["hits"][0]["id"] == "p3"


def test_the_service_takes_words_without_pytorch(text_bundle_with_export):
    with serving(text_bundle_with_export, TRAINING | {"transformers", "open_clip"}) as url:
        body = json.dumps({"text": "a red dress"}).encode()
        kind = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{url}/v1/search", body, kind)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert len(json.load(answer)["hits"]) == 10


@contextmanager
def serving(bundle: Path, without: set[str]) -> Iterator[str]:
    pytest.importorskip("fastapi")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", bundle, "--host", "127.0.0.1", "--port", port, "--runtime", "onnx"]
    command = [sys.executable, "-c", WALLED, ",".join(without), *map(str, words)]
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(service, f"{url}/readyz")
        yield url
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(30)


def wait_until_ready(service: subprocess.Popen[str], url: str) -> None:
    for _ in range(600):
        assert service.poll() is None, service.stderr and service.stderr.read()
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the service never got ready")


def uploaded(url: str, photo: bytes) -> dict:
    boundary = "boundary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n'
    body = head.encode() + b"Content-Type: image/png\r\n\r\n" + photo
    body += f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with urllib.request.urlopen(urllib.request.Request(url, body, kind), timeout=30) as answer:
        return json.load(answer)
