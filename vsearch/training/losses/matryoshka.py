from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


class MatryoshkaLoss(nn.Module):
    """One loss over several prefixes of the embedding, so that a short prefix can be searched too.

    Each prefix is normalised to unit length. Kusupati et al. 2022, "Matryoshka Representation
    Learning". The paper adds the prefixes' losses up; the weighted mean, used here, keeps the scale
    of a single loss.

    Args:
        loss: takes (embeddings, labels, mined indices). Every prefix uses the indices mined on the
            whole embedding.
        dims: lengths of the prefixes; the longest must be the whole embedding, since values beyond
            it are never trained.
        weights: the weight of each prefix, above 0; null for equal weights.
        embedding_size: length of the embedding; filled in from the model. Without it `dims` are
            checked at the first batch.
    """

    def __init__(
        self,
        loss: nn.Module,
        dims: list[int],
        weights: list[float] | None = None,
        embedding_size: int | None = None,
    ) -> None:
        super().__init__()
        if not dims or min(dims) < 1 or len(set(dims)) < len(dims):
            raise ValueError(f"dims: they must be different lengths from 1 on, not {dims}.")
        if weights is not None and (len(weights) != len(dims) or min(weights) <= 0):
            raise ValueError(
                f"weights: {weights} must be a weight above 0 for each of the dims {dims}."
            )
        if embedding_size is not None:
            _check_longest(dims, embedding_size)
        _check_sizes(loss)
        self.loss = loss
        self.dims = list(dims)
        self.weights = [1.0] * len(dims) if weights is None else list(weights)

    def forward(self, embeddings: Tensor, labels: Tensor, mined: Any = None) -> Tensor:
        """Return the weighted mean loss of embeddings (B, dim) with label codes (B,)."""
        _check_longest(self.dims, embeddings.shape[1])
        prefixes = (nn.functional.normalize(embeddings[:, :dim], dim=1) for dim in self.dims)
        losses = torch.stack([self.loss(prefix, labels, mined) for prefix in prefixes])
        weights = losses.new_tensor(self.weights)
        return (weights * losses).sum() / weights.sum()


def _check_longest(dims: list[int], embedding_size: int) -> None:
    if max(dims) != embedding_size:
        raise ValueError(
            f"dims: the longest of {dims} must be the embedding's own {embedding_size}. Change "
            f"them, or give the model a head of {max(dims)} (`head`)."
        )


def _check_sizes(loss: nn.Module) -> None:
    """Refuse proxies, class weights and memories: a matrix fits embeddings of one length."""
    for name, value in chain(loss.named_parameters(), loss.named_buffers()):
        if value.ndim > 1:
            raise ValueError(
                f"loss: {type(loss).__name__} has its own weights ({name}, {tuple(value.shape)}), "
                "which fit only one length. Use a loss over pairs or triplets, such as "
                "TripletMarginLoss or MultiSimilarityLoss."
            )
