import pytest
import torch
from tiny import TinyBackbone

from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead
from vsearch.models.heads.mlp import MLPHead
from vsearch.models.normalising import normalise

HEADS = [(None, 8), (LinearHead(3), 3), (MLPHead(5), 5), (MLPHead(5, hidden=2), 5)]


@pytest.mark.parametrize(("head", "dim"), HEADS, ids=["none", "linear", "mlp", "narrow mlp"])
def test_embeddings_are_unit_vectors_of_the_heads_length(head, dim):
    embedder = Embedder(TinyBackbone(), head).eval()
    embeddings = embedder(torch.randn(4, 3, 16, 16))
    assert (embedder.dim, embeddings.shape) == (dim, (4, dim))
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(4), atol=1e-6)


def test_the_linear_head_is_a_product_by_hand():
    embedder = Embedder(TinyBackbone(dim=2), LinearHead(2)).eval()
    embedder.backbone.forward = lambda photos: torch.tensor([[3.0, 4.0]])  # type: ignore[method-assign]
    with torch.no_grad():
        embedder.head.layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        embedder.head.layer.bias.copy_(torch.tensor([0.0, 4.0]))
    assert torch.allclose(embedder(torch.empty(0)), torch.tensor([[0.6, 0.8]]))


def test_unit_length_in_float32_under_bfloat16():
    embedder = Embedder(TinyBackbone(), LinearHead(64)).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings = embedder(torch.randn(50, 3, 16, 16))
    assert embeddings.dtype == torch.float32
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(50), atol=1e-6)


def test_preprocessing_is_the_backbones():
    embedder = Embedder(TinyBackbone(size=24))
    assert embedder.preprocessing is embedder.backbone.preprocessing


def test_photos_may_be_normalised_already():
    embedder = Embedder(TinyBackbone()).eval()
    photos = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    normalised = normalise(photos, embedder.preprocessing)
    assert torch.equal(embedder.embed_photos(photos), embedder(normalised))
    assert torch.equal(embedder.embed_photos(normalised), embedder(normalised))
