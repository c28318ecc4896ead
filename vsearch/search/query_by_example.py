import numpy as np

from vsearch.errors import VsearchError

TEXT_WEIGHT = 0.5
TINY = 1e-4  # a sum of unit vectors shorter than this has a direction of rounding errors


class ExampleError(VsearchError):
    """Examples can't be searched with; the message says which and why."""


def combine(
    positive: np.ndarray,
    negative: np.ndarray,
    weight: float = 0.5,
    positive_weights: np.ndarray | None = None,
    negative_weights: np.ndarray | None = None,
    text: np.ndarray | None = None,
    text_weight: float = TEXT_WEIGHT,
) -> np.ndarray:
    """Return one query, float32 (dim,) of unit length, near some examples and away from others.

    Rocchio, "Relevance feedback in information retrieval", 1971: mean(positive) - weight *
    mean(negative).

    Args:
        positive: float32 (p, dim), unit length, p 1 or more.
        negative: float32 (m, dim), unit length; m may be 0.
        weight: of the negative examples relative to the positive ones, 0 or more.
        positive_weights: (p,), above 0, for a weighted mean; None: all equal.
        negative_weights: (m,), the same for the negative ones.
        text: float32 (dim,), unit length, mixed into the query of the examples; without positive
            ones it is the only one. None: no text.
        text_weight: of the text in the mixture, 0..1. With 0.5 it is the sum of both, the baseline
            "image + text" of Saito et al., "Pic2Word", 2023.

    Raises:
        ExampleError: there is no positive example, a weight is out of its range, or the examples
            cancel each other out.
    """
    if not 0 <= text_weight <= 1:
        raise ExampleError(f"the text's weight is {text_weight:g}: it must be 0 to 1")
    if text is not None and len(positive):
        examples = combine(positive, negative, weight, positive_weights, negative_weights)
        mixed = (1 - text_weight) * examples.astype(np.float64) + text_weight * text
        return _to_unit_length(mixed)
    if text is not None:
        positive = text[None]
        positive_weights = None
    if len(positive) == 0:
        raise ExampleError("at least one positive example is needed")
    if not 0 <= weight < np.inf:
        raise ExampleError(f"the negative examples' weight is {weight:g}: it must be 0 or more")
    query = np.average(positive.astype(np.float64), axis=0, weights=positive_weights)
    if len(negative):
        query -= weight * np.average(negative.astype(np.float64), axis=0, weights=negative_weights)
    return _to_unit_length(query)


def with_text(queries: np.ndarray, text: np.ndarray, weight: float = TEXT_WEIGHT) -> np.ndarray:
    """Return queries, float32 (..., dim), with a text mixed into each as `combine` does."""
    each = queries.reshape(-1, queries.shape[-1])
    none = each[:0]
    mixed = [combine(one[None], none, text=text, text_weight=weight) for one in each]
    return np.reshape(mixed, queries.shape)


def _to_unit_length(query: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(query)
    if length < TINY:
        raise ExampleError("the examples cancel each other out: no direction is left to search in")
    return (query / length).astype(np.float32)
