import contextlib
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import ChainBackbone, ColourCatalog, load
from torch import nn
from torchvision.transforms import v2

from vsearch.data.decoding import scan
from vsearch.data.items import boxes
from vsearch.data.photos import open_photo, read_square, to_square
from vsearch.models.backbones.cut import cut
from vsearch.models.embedder import Embedder
from vsearch.models.normalising import normalise
from vsearch.training.trunk import fill as filling
from vsearch.training.trunk.cache import TrunkCache, TrunkMaps
from vsearch.training.trunk.fill import NoRoomError

FLIP = nn.Sequential(v2.RandomHorizontalFlip())


@pytest.fixture
def items(colours: ColourCatalog) -> pd.DataFrame:
    table = colours.items()
    table.index += 100
    table["label_code"] = pd.factorize(table["label"])[0]
    return table.assign(content_hash=scan(table, boxes(table))["content_hash"])


@pytest.fixture
def backbone() -> ChainBackbone:
    torch.manual_seed(0)
    return ChainBackbone().eval()


def maps_of(backbone, tmp_path, augment=None, seed=0, **settings) -> TrunkMaps:
    told = TrunkCache(folder=str(tmp_path / "cache"), **settings)
    return TrunkMaps(
        told,
        cut(backbone),
        backbone.preprocessing,
        augment,
        seed,
        "32-true",
        contextlib.nullcontext,
    )


def test_plain_maps_are_the_trunks_output(backbone, items, tmp_path):
    cached = maps_of(backbone, tmp_path).plain(items, items["content_hash"])
    maps, labels, rows = cached.__getitems__([3, 0])
    photos = torch.stack([load(items["path"].iloc[row], backbone.preprocessing) for row in (3, 0)])
    with torch.no_grad():
        assert torch.allclose(maps.float(), cut(backbone).trunk(photos), rtol=2**-8, atol=1e-6)
    assert labels.tolist() == items["label_code"].iloc[[3, 0]].tolist()
    assert rows.tolist() == [103, 100]
    assert len(cached) == len(items)


def test_the_trunk_is_run_as_frozen_stages_are(backbone, items, tmp_path):
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    backbone.model.train()
    trained = (
        maps_of(backbone, tmp_path / "train")
        .plain(items, items["content_hash"])
        .__getitems__([0])[0]
    )
    evaluated = (
        maps_of(backbone.eval(), tmp_path / "eval")
        .plain(items, items["content_hash"])
        .__getitems__([0])[0]
    )
    assert torch.equal(trained, evaluated)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_a_seed_chooses_among_the_views_and_each_is_an_augmented_photo(backbone, items, tmp_path):
    cached = maps_of(backbone, tmp_path, FLIP, views=3).augmented(items, items["content_hash"])
    square = torch.from_numpy(to_square(open_photo(items["path"].iloc[0]), backbone.preprocessing))
    with torch.no_grad():
        both = [
            cut(backbone).trunk(normalise(one, backbone.preprocessing)[None])[0]
            for one in (square, square.flip(-1))
        ]
    drawn = [cached.__getitems__([(0, seed)])[0][0].float() for seed in range(6)]
    assert all(torch.equal(drawn[seed], drawn[seed + 3]) for seed in range(3))
    assert all(min((one - view).abs().max() for one in both) < 0.02 for view in drawn)


def test_of_equal_views_one_map_is_kept(backbone, items, tmp_path):
    maps_of(backbone, tmp_path, FLIP, views=8).augmented(items, items["content_hash"])
    files = [path.stat().st_size for path in (tmp_path / "cache").rglob("maps.bin")]
    distinct = 2 * items["content_hash"].nunique()
    assert sum(files) <= distinct * maps_of(backbone, tmp_path).store.map_bytes


def test_what_is_there_is_not_computed_again(backbone, items, tmp_path, monkeypatch):
    first = maps_of(backbone, tmp_path, FLIP)
    before = first.augmented(items, items["content_hash"]).__getitems__([(5, 1)])[0]
    again = maps_of(backbone, tmp_path, FLIP)
    monkeypatch.setattr(filling, "_write", None)  # writing would fail
    assert torch.equal(
        again.augmented(items, items["content_hash"]).__getitems__([(5, 1)])[0], before
    )
    plain = again.plain(items, items["content_hash"])  # made beside the views
    assert len(plain) == len(items)


@pytest.mark.parametrize("change", ["weights", "seed", "augment", "photo"])
def test_what_has_changed_is_computed_again(backbone, items, tmp_path, change):
    maps_of(backbone, tmp_path, FLIP).augmented(items, items["content_hash"])
    before = len(list((tmp_path / "cache").rglob("maps.bin")))
    seed, augment = (1, FLIP) if change == "seed" else (0, FLIP)
    if change == "weights":
        with torch.no_grad():
            backbone.model.stem[0].weight[0] += 1
    if change == "augment":
        augment = nn.Sequential(v2.RandomVerticalFlip())
    if change == "photo":
        shutil.copy(items["path"].iloc[-1], items["path"].iloc[0])
        items["content_hash"] = items["content_hash"].replace(
            items["content_hash"].iloc[0], "0" * 64
        )
    maps_of(backbone, tmp_path, augment, seed).augmented(items, items["content_hash"])
    assert len(list((tmp_path / "cache").rglob("maps.bin"))) > before


def test_a_stopped_run_goes_on_where_it_was(backbone, items, tmp_path, monkeypatch):
    monkeypatch.setattr(filling, "CHUNK", 10)
    write, calls = filling._write, []

    def stop_in_the_third(maker, sources, report, shard):
        calls.append(len(sources))
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(maker, sources, report, shard)

    monkeypatch.setattr(filling, "_write", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        maps_of(backbone, tmp_path).plain(items, items["content_hash"])
    calls[:] = [0, 0, 0]
    maps_of(backbone, tmp_path).plain(items, items["content_hash"])
    assert sum(calls) == items["content_hash"].nunique() - 20


@pytest.mark.parametrize(("chunk", "shards"), [(7, 3), (100, 1), (1, 1000)])
def test_chunks_and_shards_change_no_map(backbone, items, tmp_path, monkeypatch, chunk, shards):
    expected = maps_of(backbone, tmp_path / "whole", FLIP).augmented(items, items["content_hash"])
    monkeypatch.setattr(filling, "CHUNK", chunk)
    monkeypatch.setattr(filling, "SHARDS", shards)
    found = maps_of(backbone, tmp_path / "parts", FLIP).augmented(items, items["content_hash"])
    drawn = [(row, row) for row in range(len(items))]
    assert torch.allclose(
        found.__getitems__(drawn)[0].float(), expected.__getitems__(drawn)[0].float(), atol=1e-2
    )
    assert len(list((tmp_path / "parts").rglob("maps.bin"))) <= max(shards, 1)


def test_a_full_disk_is_refused_before_anything_is_written(backbone, items, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(
        NoRoomError, match=r"80 photos takes about 0\.0 GiB.*`data\.trunk_cache\.folder`"
    ):
        maps_of(backbone, tmp_path).plain(items, [f"{row:064d}" for row in range(80)])
    assert not (tmp_path / "cache").exists()


def test_no_views_are_refused():
    with pytest.raises(ValueError, match=r"`data\.trunk_cache\.views` is 0"):
        TrunkCache(views=0)


def test_embedder_takes_maps_as_well_as_photos(backbone, items, tmp_path):
    embedder = Embedder(backbone).eval()
    maps = (
        maps_of(backbone, tmp_path).plain(items, items["content_hash"]).__getitems__([*range(8)])[0]
    )
    paths = items["path"].iloc[:8]
    photos = torch.stack([load(path, backbone.preprocessing) for path in paths])
    squares = torch.from_numpy(
        np.stack([read_square(path, backbone.preprocessing) for path in paths])
    )
    with torch.no_grad():
        cosines = (embedder.embed_maps(maps) * embedder.embed_photos(photos)).sum(dim=1)
        assert torch.equal(embedder.embed_photos(squares), embedder.embed_photos(photos))
    assert np.allclose(cosines, 1, atol=1e-4)


def test_an_embedder_without_a_cut_says_so():
    with pytest.raises(ValueError, match="ChainBackbone has no frozen first layers"):
        Embedder(ChainBackbone(freeze=[])).embed_maps(torch.zeros(2, 8, 8, 8))
