import numpy as np
import pytest
import torch
from small_service import encoded, picture, served_bundle, upload
from tiny import TinyBackbone
from torch import Tensor

from vsearch.bundle.exports import choice
from vsearch.bundle.generations.manifest import read_fitted
from vsearch.cli.main import main
from vsearch.data.io.atomic import sha256
from vsearch.errors import BundleError
from vsearch.serving.api.served_bundle import open_checked


class Picky(TinyBackbone):
    """A network that can't compute in bfloat16."""

    def forward(self, photos: Tensor) -> Tensor:
        if photos.dtype != torch.float32:
            raise TypeError("float32 alone")
        return super().forward(photos)


class Far(TinyBackbone):
    """A network that embeds otherwise in bfloat16."""

    def forward(self, photos: Tensor) -> Tensor:
        return super().forward(photos if photos.dtype == torch.float32 else photos.flip(3) ** 2)


@pytest.fixture(params=[True, False])
def cpu(request, monkeypatch):
    monkeypatch.setattr(choice, "cpu_has_bfloat16", lambda: request.param)
    return request.param


def test_auto_takes_bfloat16_where_the_cpu_has_it(tmp_path, cpu):
    opened, checked = open_checked(served_bundle(tmp_path / "bundle"), precision="auto")
    assert opened.precision.startswith("bfloat16: 0.99") is cpu
    assert (opened.runtime.precision == "bfloat16") is cpu
    assert f"runtime: torch; precision: {opened.precision}" in checked


def test_float32_stays(tmp_path, cpu):
    opened, _ = open_checked(served_bundle(tmp_path / "bundle"), precision="float32")
    assert (opened.precision, opened.runtime.says) == ("float32", "torch float32")


@pytest.mark.parametrize(
    ("backbone", "why"), [(Picky(), "float32 alone"), (Far(), "0.999 is needed")]
)
def test_a_network_that_cannot_stays_in_float32_or_is_refused(tmp_path, monkeypatch, backbone, why):
    monkeypatch.setattr(choice, "cpu_has_bfloat16", lambda: True)
    folder = served_bundle(tmp_path / "bundle", backbone=backbone)
    opened, _ = open_checked(folder, precision="auto")
    assert opened.runtime.says == "torch float32"
    assert why in opened.precision
    with pytest.raises(BundleError, match=f"bfloat16 isn't available: .*{why}"):
        open_checked(folder, precision="bfloat16")


def test_without_stored_photos_nothing_is_tried(tmp_path):
    folder = served_bundle(tmp_path / "bundle")
    without = {
        **read_fitted(folder),
        "sha256": {"model.safetensors": sha256(folder / "model.safetensors")},
    }
    with pytest.raises(BundleError, match="keeps no photos"):
        choice.choose(folder, without, "torch", "bfloat16")


def test_the_service_answers_in_it_and_says_so(served, tmp_path):
    folder = served_bundle(tmp_path / "bundle")
    replies, infos = [], []
    for wanted in ("float32", "bfloat16"):
        client = served(folder, precision=wanted)
        replies.append(upload(client, encoded(picture(3)), path="/v1/embed").json()["embedding"])
        infos.append(client.get("/v1/info").json()["precision"])
    assert infos[0] == "float32"
    assert infos[1].startswith("bfloat16")
    assert 0.999 < np.dot(*replies) < 1 - 1e-7


def test_the_service_answers_with_an_export_and_says_so(served, tmp_path):
    pytest.importorskip("onnxscript")
    folder, photo = served_bundle(tmp_path / "bundle"), encoded(picture(3))
    main(["export", str(folder), "--format", "onnx"])
    clients = [served(folder, runtime=name) for name in ("torch", "onnx")]
    assert [client.get("/v1/info").json()["runtime"] for client in clients] == ["torch", "onnx"]
    ours, theirs = (
        upload(client, photo, path="/v1/embed").json()["embedding"] for client in clients
    )
    assert np.allclose(ours, theirs, atol=1e-5)
    hits = [upload(client, photo).json()["hits"] for client in clients]
    assert [hit["id"] for hit in hits[0]] == [hit["id"] for hit in hits[1]]


def test_a_damaged_export_stops_the_start_and_a_reload(served, tmp_path):
    folder = served_bundle(tmp_path / "bundle")
    client = served(folder, api_key="secret")
    (folder / "exports" / "onnx").mkdir(parents=True)
    reply = client.post("/v1/admin/reload", headers={"X-API-Key": "secret"})
    assert reply.status_code == 409
    assert "onnx isn't an export" in reply.json()["detail"]
    with pytest.raises(BundleError, match="onnx isn't an export"):
        served(folder)
    assert client.get("/readyz").status_code == 200
