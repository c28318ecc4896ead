from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import HUES, Catalog, picture

from vsearch.errors import BundleError
from vsearch.evaluation.catalog_check.embeddings import embeddings_of


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog", per_label=6)


def test_stored_ones_are_taken_and_the_others_computed(catalog):
    made = catalog.bundle(slice(10))
    items = catalog.items.sample(frac=1, random_state=0).reset_index(drop=True)
    vectors, line = embeddings_of(made, items)
    assert line == "10 embeddings from the bundle, 8 computed"
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    for vector, path in zip(vectors, items["path"], strict=True):
        mean = np.asarray(Image.open(path).resize((16, 16)), dtype=float).mean((0, 1)) / 255 - 0.4
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=0.01)


def test_other_photos_under_the_same_ids_are_embedded_anew(catalog):
    made = catalog.bundle(slice(10))
    for path in catalog.items["path"]:
        picture(7, HUES["blue"]).save(path)
    vectors, line = embeddings_of(made, catalog.items)
    assert line == "0 embeddings from the bundle, 18 computed"
    assert vectors == pytest.approx(np.tile(vectors[:1], (18, 1)))


def test_the_same_ids_of_other_files_are_no_match(catalog):
    made = catalog.bundle(slice(10))
    items = catalog.items.iloc[:10].assign(path=catalog.items["path"].iloc[8:].tolist())
    assert embeddings_of(made, items)[1] == "0 embeddings from the bundle, 10 computed"


def test_a_photo_that_went_is_told(catalog):
    made = catalog.bundle(slice(3))
    items = catalog.items
    Path(items["path"].iloc[9]).unlink()
    with pytest.raises(BundleError, match=r"9\.png"):
        embeddings_of(made, items)


def test_no_bundle(tmp_path, catalog):
    with pytest.raises(BundleError):
        embeddings_of(tmp_path / "nothing", catalog.items)
