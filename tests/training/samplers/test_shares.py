import pytest

from vsearch.training.samplers.rank_batches import Shares


@pytest.mark.parametrize(
    ("n", "size", "world"), [(3, 4, 3), (9, 2, 4), (65, 32, 2), (48, 4, 3), (7, 1, 1)]
)
def test_each_position_comes_once_in_order_and_no_rank_has_more_batches(n, size, world):
    ranks = [Shares(n, size, rank, world) for rank in range(world)]
    steps = list(zip(*map(list, ranks), strict=True))
    assert [position for step in steps for share in step for position in share] == list(range(n))
    assert all(0 < len(share) <= size for step in steps for share in step)
    assert {len(rank) for rank in ranks} == {len(steps)}


def test_fewer_positions_than_ranks_are_refused():
    with pytest.raises(ValueError, match="2 photos can't be shared among 3 devices"):
        Shares(2, 64, 0, 3)
