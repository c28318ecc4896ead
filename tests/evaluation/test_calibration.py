import json

import numpy as np
import pytest

from vsearch.bundle.generations.files import measured
from vsearch.errors import BundleError
from vsearch.evaluation.calibration import FILE, Calibration, file_bytes, fit, read


def column(scores: list[float]) -> np.ndarray:
    return np.array(scores, dtype=np.float32)[:, None]


def pooled(scores: list[float], right: list[bool]) -> dict[float, float]:
    """Pool adjacent violators in plain loops: the probability of each score."""
    r, w = sum(right), len(right) - sum(right)
    targets = [(r + 1) / (r + 2) if hit else 1 / (w + 2) for hit in right]
    blocks = []
    for score in sorted(set(scores)):
        own = [target for target, other in zip(targets, scores, strict=True) if other == score]
        blocks.append([sum(own), len(own), [score]])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count, members = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count, blocks[-1][2] + members]
    return {score: total / count for total, count, members in blocks for score in members}


@pytest.mark.parametrize("seed", range(5))
def test_probabilities_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.uniform(-1, 1, (40, 5)), 2)  # rounded: scores come twice
    right = rng.random((40, 5)) < (scores + 1) / 2
    found, expected = fit(scores, right), pooled(scores.ravel().tolist(), right.ravel().tolist())
    assert found.probability(np.array(list(expected))) == pytest.approx(
        np.array(list(expected.values()))
    )


@pytest.mark.parametrize("error_rate", [0.05, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("m", [1, 8, 9, 10, 18, 19, 29, 100])
def test_the_threshold_is_the_highest_that_keeps_the_promise(m, error_rate):
    scores = np.random.default_rng(m).permutation(np.linspace(0.2, 0.9, m)).astype(np.float32)
    found = fit(scores[:, None], np.ones((m, 1), bool), error_rate)
    # a new query is as likely to take any of the m + 1 places; refused are those at or below a
    # candidate
    keeps = [
        score
        for place, score in enumerate(sorted(scores.tolist()), 1)
        if place / (m + 1) <= error_rate + 1e-12
    ]
    assert found.threshold == (max(keeps) if keeps else None)


@pytest.mark.parametrize("error_rate", [0.1, 0.3])
def test_the_promise_holds_in_simulation_whatever_the_wrong_ones_do(error_rate):
    rng, rates = np.random.default_rng(0), []
    for _ in range(1500):
        right = rng.random(60) < 0.7
        scores = np.where(right, rng.beta(5, 2, 60), rng.beta(2, 3, 60))
        found = fit(scores[:30, None], right[:30, None], error_rate)
        others = scores[30:][right[30:]]
        rates.append((others < found.threshold).mean() if found.threshold is not None else 0)
    # k / (m + 1), with m of about 21 right ones, is a little less than the error rate
    assert error_rate * 0.7 < np.mean(rates) < error_rate + 3 * np.std(rates) / np.sqrt(len(rates))


def test_the_promise_is_met_exactly_where_it_can_be():
    rng = np.random.default_rng(1)
    refused = [
        rng.random()
        < fit(rng.random((19, 1)), np.ones((19, 1), bool)).threshold  # k / (m + 1) = 2 / 20
        for _ in range(2000)
    ]
    assert np.mean(refused) == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 2000))


def test_wrong_best_hits_do_not_move_the_threshold():
    scores = np.linspace(0.5, 0.9, 20)
    alone = fit(scores[:, None], np.ones((20, 1), bool))
    mixed = fit(
        np.concatenate([scores, np.linspace(0, 1, 50)])[:, None], (np.arange(70) < 20)[:, None]
    )
    assert alone.threshold == mixed.threshold == pytest.approx(scores[1])
    assert (mixed.queries, mixed.right) == (70, 20)


def test_the_best_hit_decides_and_missing_hits_do_not_count():
    scores = np.array([[0.9, 0.8], [0.7, np.nan], [np.nan, np.nan]])
    right = np.array(
        [[False, True], [True, True], [True, False]]
    )  # NaN is no hit, whatever `right` says
    found = fit(scores, right, 0.5)
    assert (found.queries, found.right, found.threshold) == (3, 1, pytest.approx(0.7))
    assert found.scores[0] == pytest.approx(0.7)
    assert found.scores[-1] == pytest.approx(0.9)


def test_all_right_is_never_certain():
    found = fit(column([0.5, 0.6, 0.7]), np.ones((3, 1), bool))
    assert found.probability(np.array([-1.0, 0.6, 1.0])) == pytest.approx([4 / 5] * 3)
    assert found.threshold is None  # three are too few
    assert fit(column([0.5] * 9), np.ones((9, 1), bool)).threshold == 0.5


def test_all_wrong_promises_nothing():
    found = fit(column(np.linspace(0, 1, 50).tolist()), np.zeros((50, 1), bool))
    assert found.threshold is None
    assert found.good_match(1.0) is None
    assert found.probability(np.array([0.3])) == pytest.approx([1 / 52])
    assert "There is no threshold" in found.describe()["promise"]
    assert "0 of 50" in found.describe()["promise"]


@pytest.mark.parametrize(("error_rate", "needed"), [(0.1, 9), (0.05, 19), (0.3, 3)])
def test_too_few_queries_say_how_many_are_needed(error_rate, needed):
    few, enough = (
        fit(np.full((m, 1), 0.5), np.ones((m, 1), bool), error_rate) for m in (needed - 1, needed)
    )
    assert few.threshold is None
    assert f"needs at least {needed}." in few.describe()["promise"]
    assert enough.threshold == 0.5
    assert f"at most {100 * error_rate:g} %" in enough.describe()["promise"]


def test_a_good_match_reaches_the_threshold():
    found = Calibration(0.5, 0.1, (0.0, 1.0), (0.2, 0.8), 20, 10)
    assert found.good_match(0.5) is True
    assert found.good_match(0.49) is False
    assert found.good_match(None) is False
    assert found.probability(np.array([[-1, 0.5], [0.25, 1]])) == pytest.approx(
        np.array([[0.2, 0.5], [0.35, 0.8]])
    )


@pytest.mark.parametrize("error_rate", [0, 1, -0.1, float("nan")])
def test_error_rates_that_are_none(error_rate):
    with pytest.raises(ValueError, match="error_rate is"):
        fit(column([0.5]), np.ones((1, 1), bool), error_rate)


@pytest.mark.parametrize("queries", [0, 3])
def test_without_a_hit_nothing_is_known(queries):
    found = fit(np.full((queries, 2), np.nan), np.zeros((queries, 2), bool))
    assert (found.threshold, found.queries, found.right) == (None, queries, 0)
    assert found.probability(np.array([-1, 1])).tolist() == [0.5, 0.5]


def test_scores_and_verdicts_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="must be of one shape"):
        fit(np.zeros((3, 2)), np.zeros(3, bool))


@pytest.fixture
def kept(tmp_path):
    rng = np.random.default_rng(0)
    found = fit(rng.random((40, 3)).astype(np.float32), rng.random((40, 3)) < 0.6, source="val")
    (tmp_path / FILE).write_bytes(file_bytes(found))
    return found, tmp_path


def test_what_is_written_comes_back(kept):
    found, folder = kept
    assert read(folder, measured(folder)) == found
    assert json.loads((folder / FILE).read_text())["promise"] == found.describe()["promise"]


def test_bundles_of_before_have_none(tmp_path):
    assert read(tmp_path, {"sha256": {}}) is None


def test_damaged_files_are_refused_by_name(kept):
    _, folder = kept
    manifest, whole = measured(folder), (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(whole[:-1] + b" ")
    with pytest.raises(BundleError, match=f"{FILE} is damaged"):
        read(folder, manifest)
    for data in (b"[]", b"{", b'{"promise": ""}', whole.replace(b"threshold", b"limit")):
        (folder / FILE).write_bytes(data)
        with pytest.raises(BundleError, match=f"{FILE} isn't a calibration"):
            read(folder, measured(folder))
