"""`search --text`: words as a query, alone or beside photos and examples."""

import json

import pytest
from refusals import refusal
from small_service import served_bundle
from tiny_words import text_bundle

from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.evaluation.calibration import Calibration

pytest.importorskip("transformers", reason="needs the extra transformers")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return text_bundle(tmp_path_factory.mktemp("words") / "bundle")


def asked(capsys, *words):
    main(["search", *map(str, words), "--json"])
    return json.loads(capsys.readouterr().out)


def test_words_alone(bundle, capsys):
    (answer,) = asked(capsys, bundle, "--text", "red dress", "-k", "3", "--where", "label != l0")
    wanted = open_bundle(bundle).search_examples([], k=3, where="label != l0", text="red dress")
    assert answer["query"] == '"red dress"'
    assert [hit["id"] for hit in answer["hits"]] == wanted["id"].to_pylist()
    assert (answer["good_match"], answer["threshold"]) == (None, None)


def test_words_are_mixed_into_each_photo(bundle, capsys):
    photos = [bundle.parent / "photos" / f"{number}.png" for number in (3, 4)]
    answers = asked(capsys, bundle, *photos, "--text", "in red", "--text-weight", "0.2")
    wanted = open_bundle(bundle).search(photos, text="in red", text_weight=0.2)
    assert [answer["query"] for answer in answers] == [f'{photo}, "in red"' for photo in photos]
    for answer, table in zip(answers, wanted, strict=True):
        assert [hit["id"] for hit in answer["hits"]] == table["id"].to_pylist()


def test_words_beside_examples(bundle, capsys):
    given = ["--like", "p3", "--unlike", "p4", "--text", "in red"]
    (answer,) = asked(capsys, bundle, *given)
    wanted = open_bundle(bundle).search_examples(["p3"], ["p4"], text="in red")
    assert answer["query"] == 'p3, not p4, "in red"'
    assert [hit["id"] for hit in answer["hits"]] == wanted["id"].to_pylist()
    (alone,) = asked(capsys, bundle, "--unlike", "p4", "--text", "in red")
    assert "p4" not in [hit["id"] for hit in alone["hits"]]


def test_the_calibration_of_photos_is_not_claimed_for_words(bundle, capsys, monkeypatch):
    known = Calibration(0.9, 0.1, (0.0, 1.0), (0.1, 0.9), 10, 10)
    monkeypatch.setattr("vsearch.evaluation.calibration.read", lambda *_: known)
    photo = bundle.parent / "photos" / "3.png"
    (with_photo,) = asked(capsys, bundle, photo)
    assert with_photo["hits"][0]["probability"] is not None
    for given in (["--text", "red"], [photo, "--text", "red"]):
        (answer,) = asked(capsys, bundle, *given)
        assert all(hit["probability"] is None for hit in answer["hits"])
        assert answer["good_match"] is None


def test_wrong_use_is_refused(bundle, tmp_path, capsys):
    assert "words with --text" in refusal(capsys, "search", bundle)
    wide = refusal(capsys, "search", bundle, "--text", "red", "--text-weight", "2")
    assert "'2' is not a number from 0 to 1" in wide
    weight = refusal(capsys, "search", bundle, "--like", "p3", "--text-weight", "0.2")
    assert "--text-weight needs --text" in weight
    without = served_bundle(tmp_path / "bundle")
    assert "has no text tower" in refusal(capsys, "search", without, "--text", "red")
