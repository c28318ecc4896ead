import torch
from torch import nn

from vsearch.models.embedder import Embedder


def expected_bytes(embedder: Embedder, loss: nn.Module, batch_size: int) -> int:
    """Estimate the peak memory of training, in bytes, for batches of so many photos.

    It is the sum of weights, gradients, Adam's two tensors for each trained parameter, and the
    tensors that backward needs. The last are measured in a forward pass of two photos and scaled to
    the batch. The loss isn't included.
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
