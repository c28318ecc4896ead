import importlib
import json
from functools import cache

import faiss
import numpy as np
import pytest
from indexes.hits import assert_same_hits, best_of_all

from vsearch.indexes import faiss as faiss_index
from vsearch.indexes.faiss import FaissIndex
from vsearch.indexes.faiss_kinds import inverted

LOSSLESS = [
    "Flat",
    "HNSW16",
    "IVF8,Flat",
    "HNSW16,Flat,RFlat",
    "PCA32,HNSW16_SQ8,RFlat",
    "PCA32,IVF8,SQ8,RFlat",
    "PCA32,IVF8,SQ8_direct,RFlat",
    "PQ16x4fs,RFlat",
    "IVF8,PQ16x4fs,RFlat",
]
CODED = [
    "SQ8",
    "SQfp16",
    "PQ16x4",
    "PQ16x4fs",
    "IVF8,PQ16x4fs",
    "IVF8,PQ16x4np",
    "IVF8,SQ8",
    "OPQ4_16,IVF8,PQ4x4fs",
    "RaBitQ",
]
CODED += ["HNSW16,SQ8", "PCA32,Flat", "PCA32,IVF8,Flat", "PQ16x4fs,Refine(SQfp16)", "IVF8,RaBitQ"]
REMOVABLE = [kind for kind in LOSSLESS + CODED if not ("IVF" in kind and "x4fs" in kind)]


def unit(n: int, dim: int = 64, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def built(vectors: np.ndarray, factory: str = "Flat", **settings) -> FaissIndex:
    index = FaissIndex(factory, **settings)
    index.build(vectors)
    return index


@cache  # for tests that only read it
def shared(factory: str) -> FaissIndex:
    return built(unit(1000), factory)


@pytest.mark.parametrize("dim", [2, 64, 2048])
def test_scores_are_cosines_to_1e_6(dim):
    gallery, queries = unit(300, dim), unit(40, dim, seed=1)
    scores, positions = built(gallery).search(queries, 10)
    exact = queries.astype(np.float64) @ gallery.astype(np.float64).T
    assert np.abs(scores - np.take_along_axis(exact, positions, axis=1)).max() < 1e-6


def test_order_against_a_loop():
    gallery, queries = unit(50, 8), unit(5, 8, seed=1)
    _, positions = built(gallery).search(queries, 50)
    for query, found in zip(queries, positions, strict=True):
        cosines = [
            sum(float(a) * float(b) for a, b in zip(query, item, strict=True)) for item in gallery
        ]
        assert found.tolist() == sorted(range(50), key=lambda i: -cosines[i])


def test_by_hand():
    scores, positions = built(np.array([[1, 0], [0, 1], [-1, 0]], np.float32)).search(
        np.array([[1, 0]], np.float32), 3
    )
    assert scores.tolist() == [[1, 0, -1]]
    assert positions.tolist() == [[0, 1, 2]]


def test_k_above_the_size_is_lowered():
    scores, positions = built(unit(3)).search(unit(2), 10)
    assert scores.shape == positions.shape == (2, 3)


@pytest.mark.parametrize("factory", LOSSLESS + CODED)
def test_every_kind_finds_itself_and_opens_again(factory, tmp_path):
    gallery, index = unit(1000), shared(factory)
    scores, positions = index.search(gallery[:50], 1)
    assert np.mean(positions[:, 0] == np.arange(50)) > 0.9
    assert scores.max() <= 1
    assert index.save(tmp_path) == ["index.faiss", "index.json"]
    assert faiss.read_index(str(tmp_path / "index.faiss")).ntotal == 1000
    for mmap in (False, True):
        settings = json.loads((tmp_path / "index.json").read_text())
        (tmp_path / "index.json").write_text(json.dumps({**settings, "mmap": mmap}))
        again = FaissIndex.open(tmp_path)
        assert again.mmap == mmap
        assert len(again) == 1000
        assert again.spec == index.spec
        assert np.array_equal(again.search(gallery[:50], 5)[1], index.search(gallery[:50], 5)[1])


@pytest.mark.parametrize("factory", LOSSLESS)
def test_vectors_come_back_as_they_were(factory):
    assert np.array_equal(shared(factory).vectors(np.array([7, 0, 999])), unit(1000)[[7, 0, 999]])


@pytest.mark.parametrize("factory", REMOVABLE)
def test_after_add_and_remove_rows_are_those_of_the_table(factory, tmp_path):
    shared(factory).save(tmp_path)
    index, gallery, more = FaissIndex.open(tmp_path), unit(1000), unit(100, seed=1)
    before = index.vectors(np.arange(1000))
    index.add(more)
    gone = np.array([3, 1099, 3, 0, 250])
    index.remove(gone)
    kept = np.delete(np.concatenate([gallery, more]), gone, axis=0)
    assert len(index) == len(kept) == 1096
    _, positions = index.search(kept, 1)
    assert np.mean(positions[:, 0] == np.arange(1096)) > 0.9
    assert (
        np.abs(index.vectors(np.arange(997)) - np.delete(before, [3, 0, 250], axis=0)).max() < 1e-5
    )


@pytest.mark.parametrize("few", [0, 200])  # 0: by the index, however few are allowed
@pytest.mark.parametrize("share", [0.005, 0.05, 0.3, 0.6, 0.9, 1])
@pytest.mark.parametrize("factory", LOSSLESS + CODED)
def test_a_filter_leaves_no_place_empty_and_lets_nothing_else_in(factory, share, few, monkeypatch):
    for name in ("FEW", "FEW_WHOLE"):
        monkeypatch.setattr(faiss_index, name, few)
    gallery, queries, index = unit(1000), unit(20, seed=1), shared(factory)
    allowed = np.random.default_rng(2).random(1000) < share
    kept = np.flatnonzero(allowed)
    for k in (1, 10, 1200):
        scores, positions = index.search(queries, k, allowed)
        assert positions.shape == scores.shape == (20, min(k, allowed.sum()))
        assert allowed[positions].all()
        assert all(len(set(row)) == len(row) for row in positions.tolist())
        assert (np.diff(scores, axis=1) <= 1e-6).all()
        compared = k >= len(kept) or len(kept) ** 2 <= few * 1000
        if factory == "Flat" or (factory in LOSSLESS and compared):
            exact = best_of_all(queries, gallery, k, allowed)
            assert_same_hits((scores, positions), exact, atol=1e-5)
        if factory in LOSSLESS:
            assert scores == pytest.approx(
                np.take_along_axis(queries @ gallery.T, positions, axis=1), abs=1e-5
            )
        assert np.array_equal(index.search(queries, k, allowed)[1], positions)
        assert index.search(queries[:2], k, allowed)[0] == pytest.approx(scores[:2], abs=1e-5)


@pytest.mark.parametrize(
    ("factory", "search"),
    [
        ("HNSW32", {"efSearch": 64}),
        ("IVF64,Flat", {"nprobe": 8}),
        ("PCA16,IVF64,SQ8", {"nprobe": 8}),
    ],
)
def test_a_filter_on_what_lies_elsewhere_costs_no_recall(factory, search, monkeypatch):
    monkeypatch.setattr(faiss_index, "FEW_WHOLE", faiss_index.FEW)
    rng = np.random.default_rng(0)
    shops = rng.integers(0, 40, 8000)  # what a shop sells looks alike
    gallery = unit(40, 16)[shops] + 0.25 * rng.standard_normal((8000, 16))
    gallery = (gallery / np.linalg.norm(gallery, axis=1, keepdims=True)).astype(np.float32)
    allowed = shops < 10
    queries, kept = gallery[~allowed][:100], np.flatnonzero(allowed)
    assert len(kept) ** 2 > faiss_index.FEW * 8000  # the index is searched, not each compared
    exact = kept[np.argsort(-(queries @ gallery[kept].T), axis=1)[:, :10]]
    _, found = built(gallery, factory, search=search).search(queries, 10, allowed)
    recall = np.mean(
        [len({*a} & {*b}) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
    )
    assert recall > 0.95  # with the parameters as they are: 0.92 and 0.62


def test_a_filter_after_faiss_has_learned_of_torch():
    """pytorch-metric-learning does so; then FAISS's own `search` takes no parameters."""
    index, allowed = built(unit(400), "HNSW16"), np.arange(400) % 2 == 0
    before = index.search(unit(3), 5, allowed)
    importlib.import_module("faiss.contrib.torch_utils")
    assert np.array_equal(index.search(unit(3), 5, allowed), before)


def test_a_filter_that_allows_nothing():
    scores, positions = built(unit(10)).search(unit(2), 3, np.zeros(10, dtype=bool))
    assert scores.shape == positions.shape == (2, 0)


def test_search_parameters_have_faisss_names_and_survive_saving(tmp_path):
    gallery, queries = unit(2000), unit(50, seed=1)
    exact = built(gallery).search(queries, 10)
    all_lists = built(gallery, "IVF16,Flat", search={"nprobe": 1})
    assert not np.array_equal(all_lists.search(queries, 10)[1], exact[1])
    all_lists.set(nprobe=16)
    assert_same_hits(all_lists.search(queries, 10), exact)
    assert all_lists.spec == "IVF16,Flat, nprobe=16"
    all_lists.save(tmp_path)
    assert_same_hits(FaissIndex.open(tmp_path).search(queries, 10), exact)
    assert all_lists.describe() == {
        "spec": "IVF16,Flat, nprobe=16",
        "vectors": 2000,
        "factory": "IVF16,Flat",
        "search": {"nprobe": 16},
    }


@pytest.mark.parametrize(
    ("factory", "search"),
    [
        ("HNSW16", {"efSearch": 400}),
        ("PQ16x4fs,RFlat", {"k_factor_rf": 100}),
        ("PCA64,IVF4,Flat", {"nprobe": 4}),
        ("IVF16_HNSW8,Flat", {"nprobe": 16, "quantizer_efSearch": 32}),
    ],
)
def test_they_reach_the_parts_inside(factory, search):
    gallery, queries = unit(800), unit(20, seed=1)
    found = built(gallery, factory, search=search).search(queries, 5)[1]
    assert np.mean(found == built(gallery).search(queries, 5)[1]) > 0.95


def test_a_graph_made_more_thoroughly_finds_more(tmp_path):
    vectors, found = unit(3000, 32), {}
    for effort in (8, 200):
        index = FaissIndex("HNSW8", {"efConstruction": effort, "efSearch": 16}, threads=1)
        index.build(vectors)
        index.save(tmp_path)
        found[effort] = FaissIndex.open(tmp_path).search(vectors[:200] * -1, 10)[1]
    exact = FaissIndex()
    exact.build(vectors)
    wanted = exact.search(vectors[:200] * -1, 10)[1]
    right = {
        effort: np.mean([len(set(a) & set(b)) for a, b in zip(hits, wanted, strict=True)])
        for effort, hits in found.items()
    }
    assert right[200] > right[8] + 0.5


def test_same_seed_same_index_another_seed_another(tmp_path):
    answers = [
        built(unit(500), "IVF8,PQ8x4fs", seed=seed).search(unit(20, seed=1), 5)[0]
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


def test_a_sample_to_train_on():
    assert len(built(unit(500), "IVF8,Flat", train_sample=100)) == 500


def test_lists_are_trained_on_64_vectors_each():
    lists = inverted(built(unit(400), "PCA16,IVF4,PQ4,RFlat").built)
    assert lists.cp.max_points_per_centroid == 64
    assert lists.pq.cp.max_points_per_centroid == 256


def test_threads_are_put_back():
    before = faiss.omp_get_max_threads()
    built(unit(50), threads=1).search(unit(2), 1)
    assert faiss.omp_get_max_threads() == before


@pytest.mark.parametrize(
    ("factory", "settings", "message"),
    [
        (
            "IVF1024,Flat",
            {},
            r"IVF1024,Flat trains 1,024 centroids, but there are 300 training vectors"
            r".*39,936 for good centroids.*up to 7 ",
        ),
        ("IVF64,Flat", {"train_sample": 50}, r"64 centroids, but there are 50 training vectors"),
        ("PQ8x10", {}, r"trains 1,024 centroids"),
        (
            "PCA12,Flat",
            {"train_sample": 10},
            r"12 principal components, but 10 training vectors of 64 .* give at most 10",
        ),
        (
            "PCA80,HNSW8,RFlat",
            {},
            r"80 principal components, but 300 training vectors of 64 .* give at most 64",
        ),
        (
            "OPQ4_16,PQ4x4fs",
            {"train_sample": 200},
            r"trains 256 centroids, but there are 200 training vectors",
        ),
        ("IVF8,Falt", {}, r"factory: FAISS can't make 'IVF8,Falt' for 64 dimensions"),
        ("PQ7", {}, r"factory: FAISS can't make 'PQ7' for 64 dimensions"),
        (
            "IVF4,Flat",
            {"search": {"nprobes": 4}},
            r"search: IVF4,Flat doesn't take 'nprobes': could not set",
        ),
        ("Flat", {"search": {"nprobe": 4}}, r"search: Flat doesn't take 'nprobe'"),
        ("LSH", {}, r"LSH counts different bits \(IndexLSH\)"),
        ("ITQ32,LSH", {}, r"ITQ32,LSH counts different bits"),
        ("IVF4,ITQ,SH", {}, r"IVF4,ITQ,SH counts different bits"),
        (
            "IDMap,Flat",
            {},
            r"factory: FAISS can't fill IDMap,Flat: add does not make sense with IndexIDMap",
        ),
        ("IDMap2,Flat", {}, r"factory: FAISS can't fill IDMap2,Flat: add does not"),
        ("no such kind", {}, r"for 64 dimensions: could not parse index string no such kind$"),
    ],
)
def test_what_cannot_be_built_says_why(factory, settings, message):
    with pytest.raises(ValueError, match=message):
        built(unit(300), factory, **settings)


@pytest.mark.parametrize("factory", ["LSH", "ITQ32,LSH"])
def test_distances_that_are_no_l2_are_refused_before_training(factory):
    with pytest.raises(ValueError, match="gives no cosine"):
        FaissIndex(factory).check(1000, 64)


@pytest.mark.parametrize("factory", ["Flat", "IVF8,SQ8", "PQ16x4fs,RFlat", "HNSW16"])
def test_a_mapped_index_can_be_changed(factory, tmp_path):
    vectors, index = unit(400), built(unit(400), factory, mmap=True)
    index.save(tmp_path)
    for change in (
        lambda one: one.add(unit(5, seed=1)),
        lambda one: one.remove(np.array([3, 250])),
    ):
        opened = FaissIndex.open(tmp_path)
        before = opened.vectors(np.array([399]))
        change(opened)
        last = opened.search(before, 1)[1][0, 0]
        assert last == (399 if len(opened) > len(vectors) else 397)
        assert np.array_equal(opened.vectors(np.array([last])), before)


def test_what_cannot_be_added_to_says_so():
    with pytest.raises(
        ValueError, match=r"can't fill NSG16,Flat: NSG does not support incremental addition$"
    ):
        built(unit(300), "NSG16,Flat").add(unit(3))


@pytest.mark.parametrize("data", [b"", b"no index at all", b"IxF2" + bytes(40)])
def test_foreign_bytes_are_refused(data, tmp_path):
    built(unit(3)).save(tmp_path)
    (tmp_path / "index.faiss").write_bytes(data)
    with pytest.raises(ValueError, match="not a FAISS index"):
        FaissIndex.open(tmp_path)


@pytest.mark.parametrize("mmap", [False, True])
def test_tables_may_be_larger_than_the_file(mmap, tmp_path):
    vectors = unit(400, 32)
    index = built(vectors, "IVF128,PQ32np")
    index.save(tmp_path)
    assert 4 * index.built.precomputed_table.size() > (tmp_path / "index.faiss").stat().st_size
    opened = FaissIndex.open(tmp_path, mmap)
    assert opened.built.precomputed_table.size() == index.built.precomputed_table.size()
    assert_same_hits(opened.search(vectors[:9], 5), index.search(vectors[:9], 5))
    opened.add(vectors[:3])
    assert len(opened) == 403


def test_no_hits_among_all():
    vectors = unit(50)
    scores, positions = built(vectors).search(vectors[:3], 0, np.ones(50, dtype=bool))
    assert scores.shape == positions.shape == (3, 0)


def test_lists_in_a_separate_file_are_refused(tmp_path):
    built(unit(3)).save(tmp_path)
    (tmp_path / "index.ivfdata").touch()
    with pytest.raises(ValueError, match=r"no longer read\. Make the index again with `shards`"):
        FaissIndex.open(tmp_path)


def test_foreign_settings_are_refused(tmp_path):
    built(unit(3)).save(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"colour": "red"}))
    with pytest.raises(ValueError, match="not a FAISS index"):
        FaissIndex.open(tmp_path)


def test_a_full_disk_is_an_error(tmp_path):
    (tmp_path / "index.faiss").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        built(unit(5000)).save(tmp_path)


@pytest.mark.parametrize("vectors", [np.zeros((0, 4)), np.ones((3, 4)), np.zeros((2, 4))])
def test_only_unit_vectors(vectors):
    with pytest.raises(ValueError, match="unit vectors"):
        FaissIndex().build(vectors)


def test_an_empty_index_says_so():
    assert len(FaissIndex()) == 0
    with pytest.raises(ValueError, match="build it first"):
        FaissIndex().search(unit(1), 1)


def test_a_kind_that_cannot_decode_says_so():
    with pytest.raises(
        ValueError, match=r"Flat can't return its vectors: reverse transform not implemented$"
    ):
        built(unit(400), "ITQ32,IVF8,Flat").vectors(np.array([0]))


@pytest.mark.parametrize("factory", ["PCA8,SQ8", "PCA8,HNSW16,RFlat", "PCA8,IVF4,Flat"])
def test_components_take_no_more_than_they_need(factory, tmp_path):
    gallery = unit(300, 256)
    index = built(gallery, factory)
    index.save(tmp_path)
    whole = faiss.index_factory(256, factory)
    whole.train(gallery)
    whole.add(gallery)
    saved = (tmp_path / "index.faiss").stat().st_size
    all_axes = 4 * 256 * 256
    assert saved <= len(faiss.serialize_index(whole)) - all_axes
    assert_same_hits(FaissIndex.open(tmp_path).search(gallery, 5), index.search(gallery, 5))
    assert len(index.vectors(np.array([4]))) == 1


NO_BYTES = [
    "SQ8_direct",
    "HNSW8_SQ8_direct",
    "PCA16,SQ8_direct",
    "IVF4,SQ8_direct,RFlat",
    "PCAR16,SQ8_direct,RFlat",
    "PCAW16,SQ8_direct,RFlat",
    "PCA16,SQ8_direct_signed,RFlat",
    "PCA16,SQ8,Refine(SQ8_direct)",
    "PCA16,SQ8_direct,Refine(SQ8_direct)",
    "PCA16,L2norm,SQ8_direct,RFlat",
    "PCA32,RR16,SQ8_direct,RFlat",
    "PCA32,PCA16,SQ8_direct,RFlat",
]
BYTES = ["PCA16,SQ8_direct,RFlat", "PCA16,IVF4,SQ8_direct,RFlat", "PCA16,HNSW8_SQ8_direct,RFlat"]


@pytest.mark.parametrize("factory", BYTES)
def test_components_as_bytes_find_what_8_bit_codes_find(factory, tmp_path):
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((600, 12)) @ unit(12, 64) + 3 * unit(1, 64, 2)
    vectors = flat + 0.05 * rng.standard_normal((600, 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    gallery, queries = vectors[:500], vectors[500:]
    search = {"k_factor_rf": 3} | ({"nprobe": 4} if "IVF" in factory else {})
    index = built(gallery, factory, search=search)
    coded = built(gallery, factory.replace("_direct", ""), search=search)
    _, exact = built(gallery, "Flat").search(queries, 10)

    def recall(found: FaissIndex) -> float:
        _, positions = found.search(queries, 10)
        return np.mean([np.isin(*pair).mean() for pair in zip(positions, exact, strict=True)])

    assert recall(index) > max(0.9, recall(coded) - 0.02)
    index.save(tmp_path)
    distances, positions = faiss.read_index(str(tmp_path / "index.faiss")).search(queries, 5)
    assert_same_hits(index.search(queries, 5), (1 - distances / 2, positions))


@pytest.mark.parametrize("factory", BYTES)
def test_no_unit_vector_has_a_component_outside_the_bytes(factory):
    index = built(unit(500, 32), factory, search={"nprobe": 4} if "IVF" in factory else None)
    base = faiss.downcast_index(index.built.base_index)
    step = faiss.downcast_VectorTransform(base.chain.at(0))
    axes = faiss.vector_to_array(step.A).reshape(16, 32) / 127
    far = np.concatenate([axes, -axes]).astype(np.float32)
    for numbers in (step.apply(far), step.apply(-far)):
        assert numbers.min() >= 0.99
        assert numbers.max() <= 255.01
    index.add(far)
    assert index.search(far, 1)[1][:, 0].tolist() == list(range(500, 532))


@pytest.mark.parametrize("factory", NO_BYTES)
def test_bytes_of_numbers_that_are_none_are_refused(factory):
    with pytest.raises(ValueError, match=r"components as bytes need PCA alone before and RFlat"):
        built(unit(500, 32), factory)


def test_components_are_those_of_faiss():
    """Vectors near a plane of 4 dimensions, off the origin: both find its distances."""
    flat = np.random.default_rng(0).standard_normal((500, 4)) @ unit(4, 64)
    vectors = flat + 3 * unit(1, 64, 2) + 0.01 * unit(500, 64, 3)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    theirs = faiss.index_factory(64, "PCA5,Flat")
    theirs.train(vectors)
    theirs.add(vectors)
    ours = built(vectors, "PCA5,Flat").search(vectors[:20], 5)
    distances, positions = theirs.search(vectors[:20], 5)
    assert_same_hits(ours, (1 - distances / 2, positions), atol=1e-4)
