"""A real process, real sockets."""

import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from adversarial.damage import Flip
from adversarial.photos import BOMB
from adversarial.requests import FORM, LYING_LENGTHS, PART
from process import ROOT, Process, read, serving
from refusals import refusal
from small_service import encoded, picture, served_bundle

from vsearch.serving.api.served_bundle import open_checked

PHOTO = {"photo": ("a.png", encoded(picture(3)))}
KEY = {"X-API-Key": "key"}
UPLOAD = "/v1/search/upload"
HEAD = b"POST /v1/search/upload HTTP/1.1\r\nHost: x\r\n" + FORM


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    for number in (1, 2):
        served_bundle(folder / str(number) / "bundle", seed=number)
    (folder / "current").symlink_to(folder / "1" / "bundle")
    with serving(
        folder / "current", "--max-body-bytes", "200000", "--body-s", "1", VSEARCH_API_KEY="key"
    ) as started:
        yield started


def alive(process: Process) -> bool:
    return process.client.post(UPLOAD, files=PHOTO, headers=KEY).status_code == 200


@pytest.mark.parametrize(("length", "body", "expected"), LYING_LENGTHS)
def test_lengths_that_lie(process, length, body, expected):
    with process.connect(
        HEAD + b"X-API-Key: key\r\nConnection: close\r\n" + length + b"\r\n" + body
    ) as connection:
        answer = read(connection)
    assert int(answer.split()[1]) in expected, answer
    assert alive(process)


def test_many_bombs_at_once(process):
    def send(number: int) -> int:
        photo = {"photo": ("a.png", BOMB)} if number % 8 else PHOTO
        return process.client.post(UPLOAD, files=photo, headers=KEY).status_code

    with ThreadPoolExecutor(16) as threads:
        codes = list(threads.map(send, range(64)))
    assert (codes.count(422), codes.count(200)) == (56, 8)


def test_a_bundle_is_swapped_while_uploads_run(process):
    done, link = threading.Event(), process.bundle
    found: dict[str, set[tuple[float, ...]]] = {}

    def upload(_: int) -> int:
        reply = process.client.post(UPLOAD, files=PHOTO, headers=KEY)
        if reply.status_code == 200:
            scores = tuple(round(hit["score"], 4) for hit in reply.json()["hits"])
            found.setdefault(reply.headers["X-Vsearch-Fingerprint"], set()).add(scores)
        return reply.status_code

    def swap() -> list[int]:
        codes = []
        for number in range(10):
            link.unlink()
            link.symlink_to(link.parent / "21"[number % 2] / "bundle")
            if number == 5:
                process.running.send_signal(signal.SIGHUP)
            codes.append(process.client.post("/v1/admin/reload", headers=KEY).status_code)
        done.set()
        return codes

    with ThreadPoolExecutor(9) as threads:
        swaps = threads.submit(swap)
        codes = list(threads.map(upload, range(200)))
        while not done.is_set():
            codes += threads.map(upload, range(8))
    assert {*codes} == {200}
    assert swaps.result() == [200] * 10
    assert len(found) == 2
    assert [len(scores) for scores in found.values()] == [
        1,
        1,
    ]  # a fingerprint's replies are all of its model


def test_sigterm_answers_what_was_taken_in(tmp_path):
    bundle = served_bundle(tmp_path / "bundle")
    body = PART + PHOTO["photo"][1] + b"\r\n--x--\r\n"
    begun = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:-9]
    with serving(bundle, "--grace-s", "4", "--body-s", "60") as process:
        stuck, uploads = ([process.connect(begun) for _ in range(count)] for count in (5, 20))
        while "vsearch_requests_in_flight 26.0" not in process.client.get("/metrics").text:
            assert process.running.poll() is None
        with ThreadPoolExecutor(1) as thread:
            stopping = thread.submit(process.stop)
            while process.listens():
                time.sleep(0.05)
            for connection in uploads:
                connection.sendall(body[-9:])
            assert [read(connection).split()[1] for connection in uploads] == [b"200"] * 20
            assert 3 < stopping.result() < 4 + 30
        assert [read(connection).split()[1] for connection in stuck] == [b"503"] * 5


SLEEPERS = """
import itertools
import time

import vsearch.serving.api.steps as steps
from vsearch.serving.api.batching import Batcher
from vsearch.serving.api.service import Service

decode, photos = steps.decode, itertools.count()
steps.decode = lambda *given: decode(*given) if next(photos) < 3 else time.sleep(60)
Batcher._embed = lambda *_: time.sleep(60)
Service.reload = lambda self: self.opening.run(time.sleep, 60)
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_work_that_goes_on_and_on_does_not_keep_the_process_from_its_end(tmp_path, ending):
    """Three photos are embedded, three are decoded and a bundle is opened three times for a minute.

    After SIGINT the interpreter itself comes to its end, as a container's first process does
    after SIGTERM.
    """
    (tmp_path / "sitecustomize.py").write_text(SLEEPERS)
    paths = os.pathsep.join([str(tmp_path), str(ROOT), str(ROOT / "tests")])
    bundle = served_bundle(tmp_path / "bundle", 12)
    settings = {"PYTHONPATH": paths, "VSEARCH_API_KEY": "key"}
    with serving(bundle, "--grace-s", "3", **settings) as process:

        def work(number: int) -> int:
            path = UPLOAD if number < 6 else "/v1/admin/reload"
            return process.client.post(path, files=PHOTO, headers=KEY).status_code

        with ThreadPoolExecutor(9) as threads:
            codes = threads.map(work, range(9))
            while "vsearch_requests_in_flight 10.0" not in process.client.get("/metrics").text:
                assert process.running.poll() is None
            assert process.stop(ending) < 3 + 30  # the interpreter itself takes seconds
            assert [*codes] == [503] * 9


def test_a_service_killed_amid_uploads_leaves_the_bundle_as_it_was(tmp_path):
    bundle = served_bundle(tmp_path / "bundle")
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    with serving(bundle) as process:
        half = [process.connect(HEAD + b"Content-Length: 5000\r\n\r\n" + PART) for _ in range(10)]
        process.running.kill()
        assert [read(connection) for connection in half] == [b""] * 10
    open_checked(bundle)
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before


def ignores_sighup(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = re.findall(r"^SigIgn:\s*(\w+)$", status, re.M)
    return bool(int(mask, 16) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_sighup_before_the_start_is_through_ends_nothing(tmp_path):
    process = Process(served_bundle(tmp_path / "bundle"))
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end and not ignores_sighup(process.running.pid):
            time.sleep(0.01)
        assert not process.listens()
        process.running.send_signal(signal.SIGHUP)
        process.ready()
    finally:
        process.running.kill()
        process.running.wait()


def ending(capsys, *words: object) -> str:
    return refusal(capsys, "serve", "--port", "0", *words)


def test_what_can_not_be_served_is_refused(tmp_path, capsys, monkeypatch):
    bundle = served_bundle(tmp_path / "bundle", 12)
    assert "no manifest.json" in ending(capsys, tmp_path)
    assert "name the BUNDLE" in ending(capsys)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"can't listen at port {port}" in ending(capsys, tmp_path, "--port", port)
    assert "can be reached from outside" in ending(capsys, bundle, "--host", "0.0.0.0")
    assert "no such settings file" in ending(capsys, bundle, "--settings", tmp_path / "none.yaml")
    assert "max_batch" in ending(capsys, bundle, "--max-batch", "0")
    for name in ("model.safetensors", "index.faiss", "items.parquet", "canaries.npz"):
        kept = (bundle / name).read_bytes()
        (bundle / name).write_bytes(Flip(len(kept) - 1).of(kept))
        assert name in ending(capsys, bundle)
        (bundle / name).write_bytes(kept)
    from tiny import TinyBackbone

    forward = TinyBackbone.forward
    monkeypatch.setattr(TinyBackbone, "forward", lambda self, photos: forward(self, photos) + 0.5)
    assert "embeddings have changed" in ending(capsys, bundle)
