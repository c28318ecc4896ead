import numpy as np
import pytest
import torch

from vsearch.data.photos import Preprocessing
from vsearch.models.normalising import normalise

PREPROCESSING = Preprocessing(size=8, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def test_normalise_against_loops() -> None:
    batch = torch.randint(
        0, 256, (2, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    wanted = torch.zeros(2, 3, 4, 4)
    for i, c, y, x in np.ndindex(2, 3, 4, 4):
        wanted[i, c, y, x] = (
            batch[i, c, y, x].item() / 255 - PREPROCESSING.mean[c]
        ) / PREPROCESSING.std[c]
    got = normalise(batch, PREPROCESSING)
    torch.testing.assert_close(got, wanted)
    assert got.dtype == torch.float32
    assert torch.equal(got[1], normalise(batch[1], PREPROCESSING))


def test_normalise_by_hand_and_twice() -> None:
    preprocessing = Preprocessing(1, (0.5, 0.0, 1.0), (0.5, 1.0, 2.0))
    once = normalise(torch.tensor([255, 51, 0], dtype=torch.uint8).view(3, 1, 1), preprocessing)
    torch.testing.assert_close(once.flatten(), torch.tensor([1.0, 0.2, -0.5]))
    with pytest.raises(ValueError, match="already normalised"):
        normalise(once, preprocessing)
