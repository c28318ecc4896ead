import torch
from conftest import TinyBackbone

from vsearch.memory import expected_bytes


def fixed(backbone: TinyBackbone) -> int:
    """Weights, gradients and Adam's two states."""
    weights = sum(tensor.nbytes for tensor in backbone.state_dict().values())
    return weights + 3 * sum(p.nbytes for p in backbone.parameters() if p.requires_grad)


def test_it_grows_with_the_batch_and_with_what_is_trained():
    backbone, frozen = TinyBackbone(), TinyBackbone(frozen=True)
    assert expected_bytes(backbone, 128) > expected_bytes(backbone, 64) > fixed(backbone)
    assert expected_bytes(frozen, 64) < expected_bytes(backbone, 64)


def test_saved_tensors_are_about_what_a_real_batch_saves():
    backbone, saved = TinyBackbone().eval(), {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = backbone(torch.zeros(64, 3, 16, 16))
    estimate = expected_bytes(backbone, 64) - fixed(backbone)
    assert output.requires_grad
    assert 0.7 < estimate / sum(saved.values()) < 1.5


def test_the_backbone_is_left_as_it_was():
    backbone = TinyBackbone(frozen=True).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    expected_bytes(backbone, 8)
    assert backbone.training
    assert not backbone.stem.training
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
