import os

import numpy as np
import pytest
import torch

from vsearch.data.io.atomic import MAKING
from vsearch.training.trunk.store import MAPS, Store


def key(number: int) -> bytes:
    return f"{number:032x}".encode()


def add(store: Store, maps: dict[int, torch.Tensor]) -> None:
    def fill(shard):
        shard.write(torch.stack([*maps.values()]))
        shard.name([key(number) for number in maps], [*range(len(maps))])

    store.add(fill)


def some_map(number: int, shape=(4, 2, 3)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(number))


@pytest.mark.parametrize("shape", [(4, 2, 3), (5, 1, 1), (6,)])
def test_maps_come_back_rounded_to_bfloat16(tmp_path, shape):
    store = Store(tmp_path / "s", shape)
    add(store, {7: some_map(7, shape), 3: some_map(3, shape)})
    add(store, {5: some_map(5, shape)})
    for opened in (store, Store(tmp_path / "s", shape)):
        found = opened.take(opened.find([key(3), key(5), key(7), key(3)]))
        expected = torch.stack([some_map(number, shape) for number in (3, 5, 7, 3)])
        assert torch.equal(found, expected.bfloat16())
    assert store.map_bytes == 2 * np.prod(shape)


def test_maps_lie_in_the_layout_that_convolutions_want(tmp_path):
    store = Store(tmp_path, (4, 2, 3))
    add(store, {1: some_map(1), 2: some_map(2)})
    found = store.take(store.find([key(1), key(2)]))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_what_is_not_there_is_not_found(tmp_path):
    store = Store(tmp_path / "s", (4, 2, 3))
    assert store.find([key(1)]).tolist() == [[-1, -1]]
    add(store, {1: some_map(1)})
    assert store.find([key(0), key(1), key(2)])[:, 1].tolist() == [-1, 0, -1]


def test_several_keys_stand_for_one_map_and_the_first_map_of_a_key_stays(tmp_path):
    store = Store(tmp_path, (4, 2, 3))
    store.add(lambda shard: (shard.write(some_map(1)[None]), shard.name([key(1), key(2)], [0, 0])))
    add(store, {2: some_map(9)})
    assert torch.equal(*store.take(store.find([key(1), key(2)])))
    assert torch.equal(store.take(store.find([key(2)]))[0], some_map(1).bfloat16())


def test_an_unfinished_shard_is_not_read_and_leaves_nothing(tmp_path):
    store = Store(tmp_path, (4, 2, 3))

    def fail(shard):
        shard.write(some_map(1)[None])
        shard.name([key(1)], [0])
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        store.add(fail)
    assert not list(tmp_path.iterdir())
    assert store.find([key(1)]).tolist() == [[-1, -1]]


def test_a_killed_runs_leftovers_are_not_read_and_go_after_a_day(tmp_path):
    for name, age_s in (("old", 2 * 24 * 3600), ("young", 60)):
        left = tmp_path / f"{MAKING}{name}"
        left.mkdir()
        os.utime(left, (left.stat().st_mtime - age_s,) * 2)
    store = Store(tmp_path, (4, 2, 3))
    add(store, {1: some_map(1)})
    assert [path.name for path in tmp_path.glob(f"{MAKING}*")] == [f"{MAKING}young"]


def test_a_shard_that_was_cut_off_is_as_if_it_were_not_there(tmp_path):
    add(Store(tmp_path, (4, 2, 3)), {1: some_map(1), 2: some_map(2)})
    maps = next(tmp_path.glob(f"*/{MAPS}"))
    maps.write_bytes(maps.read_bytes()[:-1])
    assert Store(tmp_path, (4, 2, 3)).find([key(1)]).tolist() == [[-1, -1]]


def test_two_writers_see_each_others_shards(tmp_path):
    one, other = Store(tmp_path, (4, 2, 3)), Store(tmp_path, (4, 2, 3))
    add(one, {1: some_map(1)})
    add(other, {2: some_map(2)})
    assert (other.find([key(1), key(2)])[:, 1] >= 0).all()
