import torch

from vsearch.backbones.base import Backbone


def expected_bytes(backbone: Backbone, batch_size: int, optimizer_states: int = 2) -> int:
    """Estimate what training holds at its peak: weights, gradients, optimizer state and what backward needs.

    The last is measured: a forward pass of two photos with autograd's saved tensors counted, scaled to the batch.

    Args:
        backbone: in its training state: frozen layers save nothing.
        batch_size: photos in a batch.
        optimizer_states: tensors that the optimizer keeps for each trained parameter (2 for Adam's, 0 for plain SGD).
    """
    weights = sum(tensor.nbytes for tensor in backbone.state_dict().values())
    trained = sum(parameter.nbytes for parameter in backbone.parameters() if parameter.requires_grad)
    return weights + trained * (1 + optimizer_states) + _saved_bytes(backbone) * batch_size // 2


def _saved_bytes(backbone: Backbone) -> int:
    """Return the bytes that autograd keeps for the backward pass of two photos."""
    own = {parameter.data_ptr() for parameter in backbone.parameters()}
    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    size, device = backbone.preprocessing.size, next(backbone.parameters()).device
    was_training = backbone.training
    backbone.eval()  # BatchNorm's statistics must not see this pass
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = backbone(torch.zeros(2, 3, size, size, device=device))
    del output
    backbone.train(was_training)
    return sum(storages.values())
