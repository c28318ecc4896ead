import numpy as np
import pytest
import torch
from small_service import encoded, picture, upload, write_bundle
from tiny import TinyBackbone
from torch import Tensor

from vsearch.embedder import Embedder
from vsearch.generations.base import BundleError
from vsearch.service import precision
from vsearch.service.opened import open_checked


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
    monkeypatch.setattr(precision, "has_bfloat16", lambda: request.param)
    return request.param


def test_a_copy_in_bfloat16_embeds_nearly_the_same_and_leaves_the_first_as_it_was():
    torch.manual_seed(0)
    embedder, photos = Embedder(TinyBackbone()).eval(), torch.randn(16, 3, 16, 16)
    before = {name: value.clone() for name, value in embedder.state_dict().items()}
    with torch.inference_mode():
        ours, theirs = embedder(photos), precision.in_bfloat16(embedder)(photos)
    assert theirs.dtype == torch.float32
    assert torch.allclose(theirs.norm(dim=1), torch.ones(16), atol=1e-6)
    assert 0.999 < float((ours * theirs).sum(1).min()) < 1 - 1e-7
    assert all(torch.equal(value, before[name]) for name, value in embedder.state_dict().items())


def test_auto_takes_bfloat16_where_the_cpu_has_it(tmp_path, cpu):
    opened, checked = open_checked(write_bundle(tmp_path / "bundle"), precision="auto")
    assert opened.precision.startswith("bfloat16: 0.99") is cpu
    assert (opened.network is opened.bundle.embedder) is not cpu
    assert f"precision: {opened.precision}" in checked


def test_float32_stays(tmp_path, cpu):
    opened, _ = open_checked(write_bundle(tmp_path / "bundle"), precision="float32")
    assert (opened.precision, opened.network) == ("float32", opened.bundle.embedder)


@pytest.mark.parametrize(("backbone", "why"), [(Picky(), "float32 alone"), (Far(), "0.999 is needed")])
def test_a_network_that_cannot_stays_in_float32_or_is_refused(tmp_path, monkeypatch, backbone, why):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    folder = write_bundle(tmp_path / "bundle", backbone=backbone)
    opened, _ = open_checked(folder, precision="auto")
    assert opened.network is opened.bundle.embedder
    assert why in opened.precision
    with pytest.raises(BundleError, match=f"bfloat16 can't be had: .*{why}"):
        open_checked(folder, precision="bfloat16")


def test_without_stored_photos_nothing_is_tried(tmp_path):
    opened, _ = open_checked(write_bundle(tmp_path / "bundle"))
    with pytest.raises(BundleError, match="keeps no photos"):
        precision.network(tmp_path, opened.bundle.embedder, {"sha256": {}}, "bfloat16")


def test_the_service_answers_in_it_and_says_so(served, tmp_path):
    folder = write_bundle(tmp_path / "bundle")
    replies, infos = [], []
    for wanted in ("float32", "bfloat16"):
        client = served(folder, precision=wanted)
        replies.append(upload(client, encoded(picture(3)), path="/v1/embed").json()["embedding"])
        infos.append(client.get("/v1/info").json()["precision"])
    assert infos[0] == "float32"
    assert infos[1].startswith("bfloat16")
    assert 0.999 < np.dot(*replies) < 1 - 1e-7
