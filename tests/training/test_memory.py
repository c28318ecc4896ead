import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss, TripletMarginLoss
from tiny import TinyBackbone
from torch import nn

from vsearch.models.embedder import Embedder
from vsearch.models.heads.linear import LinearHead
from vsearch.training.memory import expected_bytes


def tiny(head: LinearHead | None = None, **arguments) -> Embedder:
    return Embedder(TinyBackbone(**arguments), head)


def expected(embedder: Embedder, batch_size: int, loss: nn.Module | None = None) -> int:
    return expected_bytes(embedder, loss or TripletMarginLoss(), batch_size)


@pytest.mark.parametrize(
    ("frozen", "head", "loss", "trained"),
    [  # stem: 240 parameters, the rest of the backbone: 280
        (False, None, None, 520),
        (True, None, None, 280),
        (False, LinearHead(3), None, 520 + 8 * 3 + 3),
        (False, None, ArcFaceLoss(num_classes=10, embedding_size=8), 520 + 80),
    ],
)
def test_without_photos_it_is_weights_gradients_and_adams_two_states(frozen, head, loss, trained):
    embedder = tiny(head, frozen=frozen)
    statistics = sum(buffer.nbytes for buffer in embedder.buffers())
    assert expected(embedder, 0, loss) == 4 * (4 * trained + (240 if frozen else 0)) + statistics


def test_it_grows_with_the_batch_and_with_what_is_trained():
    embedder, frozen = tiny(), tiny(frozen=True)
    assert expected(embedder, 128) > expected(embedder, 64) > expected(embedder, 0)
    assert expected(frozen, 64) - expected(frozen, 0) < expected(embedder, 64) - expected(
        embedder, 0
    )


def test_saved_tensors_are_about_what_a_real_batch_saves():
    embedder, saved = tiny(LinearHead(64)).eval(), {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = embedder(torch.zeros(64, 3, 16, 16))
    estimate = expected(embedder, 64) - expected(embedder, 0)
    assert output.requires_grad
    assert 0.7 < estimate / sum(saved.values()) < 1.5


def test_the_network_is_left_as_it_was():
    embedder = tiny(frozen=True).train()
    before = {name: value.clone() for name, value in embedder.state_dict().items()}
    expected(embedder, 8)
    assert embedder.training
    assert not embedder.backbone.stem.training
    assert all(torch.equal(value, before[name]) for name, value in embedder.state_dict().items())
