import torch
from torch import nn

from vsearch.models.embedder import Embedder


def expected_bytes(embedder: Embedder, loss: nn.Module, batch_size: int) -> int:
    """Estimate the bytes that training holds at its peak for batches of so many photos.

    They are weights, gradients, Adam's two tensors for each trained parameter, and what backward
    needs. That is measured: the tensors that autograd saves in a forward pass of two photos, scaled
    to the batch. What the loss computes is left out.
    """
    parameters = [*embedder.parameters(), *loss.parameters()]
    weights = sum(tensor.nbytes for tensor in (*parameters, *embedder.buffers(), *loss.buffers()))
    trained = sum(parameter.nbytes for parameter in parameters if parameter.requires_grad)
    return weights + 3 * trained + _saved_bytes(embedder) * batch_size // 2


def _saved_bytes(embedder: Embedder) -> int:
    own = {parameter.data_ptr() for parameter in embedder.parameters()}
    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    size = embedder.preprocessing.size
    device = next(embedder.parameters()).device
    was_training = embedder.training
    embedder.eval()  # BatchNorm's statistics must not see this pass
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        embedder(torch.zeros(2, 3, size, size, device=device))
    embedder.train(was_training)
    return sum(storages.values())
