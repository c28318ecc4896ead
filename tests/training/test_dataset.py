import numpy as np
import pandas as pd
import pytest
import torch
from tiny import ColourCatalog, TinyBackbone
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from vsearch.data.photos import open_photo, to_square
from vsearch.training.dataset import PhotoDataset, as_it_is, augmented, augmented_batch

PREPROCESSING = TinyBackbone().preprocessing
FLIP = nn.Sequential(v2.RandomHorizontalFlip())


@pytest.fixture
def items(colours: ColourCatalog) -> pd.DataFrame:
    table = colours.items()
    table.index += 10
    return table.assign(label_code=pd.factorize(table["label"])[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_has_the_pixels_that_images_gives(items, workers):
    loader = DataLoader(
        PhotoDataset(items, PREPROCESSING), 30, collate_fn=as_it_is, num_workers=workers
    )
    batches = [tuple(map(torch.clone, batch)) for batch in loader]
    photos, labels, rows = (torch.cat(side) for side in zip(*batches, strict=True))
    assert np.array_equal(
        photos, np.stack([to_square(open_photo(path), PREPROCESSING) for path in items["path"]])
    )
    assert labels.tolist() == items["label_code"].tolist()
    assert rows.tolist() == items.index.tolist()


def test_a_photo_of_a_batch_is_the_photo_alone_augmented_by_its_seed(items):
    dataset = PhotoDataset(items, PREPROCESSING, FLIP)
    pairs = [(position, seed) for position in (3, 1) for seed in range(8)]
    photos = dataset.__getitems__(pairs)[0]
    assert all(
        torch.equal(photo, dataset[pair][0]) for photo, pair in zip(photos, pairs, strict=True)
    )
    plain = dataset[3][0]
    kinds = {torch.equal(photo, plain) for photo in photos[:8]}
    assert kinds == {True, False}
    assert all(
        torch.equal(photo, plain) or torch.equal(photo, plain.flip(-1)) for photo in photos[:8]
    )


def test_augmenting_leaves_the_generator_alone():
    square = torch.arange(3 * 4 * 4, dtype=torch.uint8).reshape(3, 4, 4)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    drawn = [augmented(square, FLIP, seed) for seed in range(10)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one, augmented(square, FLIP, seed)) for seed, one in enumerate(drawn))
    assert augmented(square, None, 1) is square
    assert augmented(square, FLIP, None) is square


class Fade(nn.Module):
    """Each photo darker by a share of its own, and one too bright."""

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        made = photos * torch.rand(len(photos), 1, 1, 1, device=photos.device)
        made[-1] = 7
        return made


def test_a_batch_is_augmented_as_its_seed_decides():
    photos = torch.full((6, 3, 4, 4), 200, dtype=torch.uint8)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    made = augmented_batch(photos, Fade(), (1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert made.dtype == torch.uint8
    assert len(made[:-1].unique()) == 5
    assert (made[-1] == 255).all()
    assert torch.equal(made, augmented_batch(photos, Fade(), (1, 2)))
    assert not torch.equal(made, augmented_batch(photos, Fade(), (1, 3)))
    assert torch.equal(augmented_batch(photos, nn.Identity(), (0, 0)), photos)
