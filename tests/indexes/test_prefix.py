import faiss
import numpy as np
import pytest
from indexes.test_faiss import unit
from indexes.test_prefix_bound import long, low_rank, near_copies, true

from vsearch.indexes import prefix as prefix_module
from vsearch.indexes.prefix import Prefix
from vsearch.indexes.prefix_bound import Grid, principal_axes, turned


def made(vectors: np.ndarray, p: int) -> Prefix:
    return Prefix.of(vectors, turned(principal_axes(vectors, p)))


def lists_of(prefix: Prefix) -> list[list[int]]:
    """The positions in each list."""
    lists = faiss.downcast_InvertedLists(prefix.index.invlists)
    return [
        faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)).tolist()
        if lists.list_size(number)
        else []
        for number in range(prefix.index.nlist)
    ]


def centroids_of(prefix: Prefix) -> np.ndarray:
    return prefix.index.quantizer.reconstruct_batch(np.arange(prefix.index.nlist))


@pytest.mark.parametrize("make", [unit, low_rank, near_copies, long])
@pytest.mark.parametrize(("dim", "p"), [(2, 1), (16, 16), (300, 32), (600, 256)])
def test_nothing_within_a_distance_is_ruled_out(make, dim, p):
    vectors = make(300, dim)
    queries = np.concatenate([make(5, dim, seed=1), vectors[:5], -vectors[:5], 2 * vectors[:2]])
    prefix = made(vectors, p)
    distances = true(queries, vectors)
    for place in (0, 9, 299):
        limits = np.sort(distances, axis=1)[:, place]
        asked = prefix.query_codes(queries, 1)
        for row, left in enumerate(prefix.remaining(asked, limits)):
            assert set(np.flatnonzero(distances[row] <= limits[row])) <= set(left.tolist())
            assert (np.diff(left) > 0).all()


def test_what_is_left_is_what_codes_and_lists_allow_for():
    """Against loops: a code is left if it is as near, unless its list can't hold such a one."""
    vectors, queries = unit(400, 32), unit(6, 32, seed=1)
    prefix = made(vectors, 8)
    codes = prefix.grid.coded(vectors).numbers.astype(int)
    lists = lists_of(prefix)
    centroids = centroids_of(prefix).astype(int)
    asked = prefix.query_codes(queries, 1)
    limits = np.full(6, 0.5)
    apart = prefix.grid.code_distance(limits, asked.errors)
    near = prefix.near_lists(asked, apart)
    assert 0 < near.sum() < near.size
    for row, left in enumerate(prefix.remaining(asked, limits)):
        query = asked.numbers[row].astype(int)
        wanted = []
        for number, members in enumerate(lists):
            as_near = [x for x in members if ((query - codes[x]) ** 2).sum() <= apart[row] ** 2]
            if near[row, number]:
                wanted += as_near
            assert near[row, number] or not as_near
            own = ((codes[members] - centroids[number]) ** 2).sum(axis=1)
            assert prefix.radii[number] == pytest.approx(max(own, default=0) ** 0.5)
        assert left.tolist() == sorted(wanted)


def test_both_bounds_on_lists_rule_some_out(monkeypatch):
    vectors, queries = unit(2000, 64), unit(20, 64, seed=1)
    prefix = made(vectors, 4)
    asked = prefix.query_codes(queries, 1)
    apart = prefix.grid.code_distance(np.full(20, 0.2), asked.errors)
    both = prefix.near_lists(asked, apart)
    radii = prefix.radii
    prefix.radii = np.full_like(radii, 1e4)
    by_others = prefix.near_lists(asked, apart)
    prefix.radii = radii
    prefix._slopes = np.full_like(prefix._slopes, 1e4)
    by_radii = prefix.near_lists(asked, apart)
    assert np.array_equal(both, by_others & by_radii)
    assert both.sum() < min(by_others.sum(), by_radii.sum()) < both.size


def test_codes_are_in_the_list_of_the_nearest_centroid():
    vectors = unit(500, 32)
    prefix = made(vectors, 8)
    codes = prefix.grid.coded(vectors).numbers
    centroids = centroids_of(prefix)
    squares = ((codes[:, None].astype(int) - centroids.astype(int)) ** 2).sum(axis=2)
    assert np.array_equal(prefix._squares(codes), squares)
    for number, members in enumerate(lists_of(prefix)):
        assert (squares[members, number] == squares[members].min(axis=1)).all()


def test_the_largest_distances_are_exact():
    edge = np.array([[-1.0] * 256, [1.0] * 256], np.float32)
    prefix = Prefix.of(edge, np.eye(256, dtype=np.float32))
    asked = prefix.query_codes(edge, 1)
    centroids = centroids_of(prefix)
    wide = asked.numbers.astype(int)[:, None] - centroids.astype(int)
    assert asked.squares.tolist() == (wide**2).sum(axis=2).tolist()
    assert asked.squares.max() == 256 * 255**2
    assert [left.tolist() for left in prefix.remaining(asked, np.array([1.0, 31.9]))] == [[0], [1]]
    assert [left.tolist() for left in prefix.remaining(asked, np.full(2, np.inf))] == [[0, 1]] * 2


def test_by_hand():
    """Two lists of two vectors; another list is ruled out by its radius."""
    vectors = np.array([[0, 0], [10, 0], [245, 0], [255, 0]], np.float32)
    prefix = Prefix.of(vectors, np.eye(2, dtype=np.float32))
    assert prefix.index.nlist == 2
    assert sorted(lists_of(prefix)) == [[0, 1], [2, 3]]
    assert prefix.radii.tolist() == [5, 5]
    asked = prefix.query_codes(np.array([[30, 0]], np.float32), 1)
    assert sorted(asked.squares[0].tolist()) == [25**2, 220**2]
    for distance, wanted in ((19, []), (21, [1]), (31, [0, 1]), (300, [0, 1, 2, 3])):
        (left,) = prefix.remaining(asked, np.array([distance]))
        assert left.tolist() == wanted
    assert prefix.near_lists(asked, np.array([21.0])).sum() == 1


def test_the_first_are_near_and_let_through():
    vectors = unit(1000, 32)
    prefix = made(vectors, 32)
    asked = prefix.query_codes(vectors[:5], 3)
    assert prefix.first(asked, 3)[:, 0].tolist() == [0, 1, 2, 3, 4]
    allowed = np.arange(1000) % 10 == 9
    selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    found = prefix.first(prefix.query_codes(vectors[:5], 3, allowed.mean()), 3, selector)
    assert (found % 10 == 9).all()
    (left, *_) = prefix.remaining(asked, np.full(5, 2.1), selector)
    assert left.tolist() == np.flatnonzero(allowed).tolist()


def test_added_and_removed_are_as_if_made_so(monkeypatch):
    monkeypatch.setattr(prefix_module, "CHUNK", 7)
    vectors, more = unit(30, 16), unit(10, 16, seed=1)
    prefix = made(vectors, 8)
    before = prefix.error
    prefix.add(more)
    assert prefix.error >= before
    prefix.remove(np.array([1, 3, 3]))
    kept = np.delete(np.concatenate([vectors, more]), [1, 3], axis=0)
    assert len(prefix) == 38
    assert prefix.holds(kept, np.arange(38))
    assert not prefix.holds(kept[::-1], np.arange(38))
    everything = prefix.remaining(prefix.query_codes(more, 1), np.full(10, np.inf))
    assert all(left.tolist() == [*range(38)] for left in everything)


def test_packed_it_is_the_same():
    vectors = unit(300, 16)
    prefix = made(vectors, 8)
    again = Prefix.unpacked(prefix.packed())
    asked = prefix.query_codes(vectors[:4], 1)
    for one, other in zip(
        prefix.remaining(asked, np.full(4, 0.7)),
        again.remaining(asked, np.full(4, 0.7)),
        strict=True,
    ):
        assert one.tolist() == other.tolist() != []


@pytest.mark.parametrize("spoil", ["foreign", "short", "graph", "radii", "error"])
def test_other_lists_are_refused(spoil):
    packed = made(unit(50, 16), 8).packed()
    if spoil == "foreign":
        packed["lists"] = np.zeros(40, np.uint8)
    elif spoil == "short":
        packed["lists"] = packed["lists"][:100]
    elif spoil == "radii":
        packed["radii"] = packed["radii"][1:]
    elif spoil == "error":
        packed["error"] = np.float64(np.nan)
    else:
        packed["lists"] = faiss.serialize_index(faiss.IndexHNSWFlat(8, 4))
    with pytest.raises(ValueError, match="lists"):
        Prefix.unpacked(packed)


def test_the_grid_covers_the_vectors():
    vectors = unit(100, 16)
    basis = turned(principal_axes(vectors, 4))
    assert Prefix.of(vectors, basis).grid.step == Grid.over(vectors, basis).step
