import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from product_bundle import product_bundle
from refusals import refusal
from small_bundle import fitted
from test_bundle import write

from vsearch.bundle.opening import open_bundle
from vsearch.bundle.writing import write_bundle
from vsearch.cli.main import main
from vsearch.data.regions import Grid
from vsearch.evaluation.calibration import FILE, Calibration, file_bytes

METADATA = {
    "price": [1.5, 2.5, None, 4.5, 5.5, 6.5],
    "name": ["[new] shoe", "b", "c", "d", "e", "f"],
}


@pytest.fixture
def made(tmp_path) -> Path:
    write(tmp_path / "bundle", split=["train"] * 6, **METADATA)
    return tmp_path / "bundle"


def photo(made: Path, number: int) -> str:
    return str(made.parent / "photos" / f"{number}.png")


def asked(capsys, *words: str | Path) -> list[dict[str, Any]]:
    main(["search", *map(str, words), "--json"])
    return json.loads(capsys.readouterr().out)


def lines(text: str) -> list[list[str]]:
    """Return the cells of the header's line and of each hit's."""
    found = [re.split(r"  +", line) for line in text.splitlines()]
    return [cells for cells in found if cells[0] == "rank" or cells[0].isdigit()]


def test_a_line_for_each_hit_has_rank_percent_label_id_and_the_whole_path(made, capsys):
    main(["search", str(made), photo(made, 0), "-k", "3"])
    text = capsys.readouterr().out
    header, *rows = lines(text)
    hits = open_bundle(made).search([photo(made, 0)], 3)[0].to_pylist()
    assert text.splitlines()[0] == photo(made, 0)
    assert header == ["rank", "similar", "label", "id", "path"]
    assert rows == [
        [
            str(rank),
            f"{100 * hit['score']:.1f} %",
            hit["label"],
            hit["id"],
            hit["path"],
        ]
        for rank, hit in enumerate(hits, start=1)
    ]


def test_metadata_is_shown_on_demand(made, capsys):
    main(["search", str(made), photo(made, 0), "-k", "1", "--metadata"])
    assert lines(capsys.readouterr().out)[1][-1] == "price: 1.5, name: [new] shoe"


def test_metadata_leaves_out_what_is_missing_and_keeps_the_word_none(tmp_path, capsys):
    names = {"name": ["None", None, "c", "d", "e", "f"]}
    write(tmp_path / "bundle", split=["train"] * 6, **names)
    for number, shown in ((0, "name: None"), (1, photo(tmp_path / "bundle", 1))):
        words = [photo(tmp_path / "bundle", number), "-k", "1", "--metadata"]
        main(["search", str(tmp_path / "bundle"), *words])
        assert lines(capsys.readouterr().out)[1][-1] == shown


def test_a_photo_that_is_not_there_is_told_before_the_bundle_is_opened(tmp_path, capsys):
    assert "gone.jpg: no such photo" in refusal(capsys, "search", tmp_path, "gone.jpg")


def test_csv_has_all_hits_of_all_queries(made, capsys):
    main(["search", str(made), photo(made, 0), photo(made, 2), "-k", "2", "--csv"])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["query"] for row in rows] == [photo(made, 0)] * 2 + [photo(made, 2)] * 2
    assert rows[0]["id"] == "0"
    assert rows[0]["name"] == "[new] shoe"
    assert float(rows[0]["similarity_percent"]) == 100


def test_the_page_has_the_query_and_its_hits_as_pictures(made, tmp_path, capsys):
    page = tmp_path / "found.html"
    main(["search", str(made), photo(made, 0), "-k", "3", "--html", str(page)])
    text = page.read_text()
    assert text.count('<img src="data:image/jpeg;base64,') == 4
    assert "[new] shoe" in text
    assert "http" not in text.split("</style>")[1]
    with pytest.raises(SystemExit) as ended:
        main(["search", str(made), photo(made, 0), "--html", str(tmp_path / "none" / "found.html")])
    assert ended.value.code == 2
    assert "there is no folder" in capsys.readouterr().err


def test_json_has_what_a_program_needs(made, capsys):
    (answer,) = asked(capsys, made, photo(made, 2), "-k", "4")
    first, *others = answer["hits"]
    assert answer["query"] == photo(made, 2)
    assert first["metadata"] == {"price": None, "name": "c"}
    assert (first["rank"], first["id"], first["label"], first["path"]) == (
        1,
        "2",
        "b",
        photo(made, 2),
    )
    assert first["score"] == pytest.approx(1, abs=1e-5)
    for rank, hit in enumerate(others, start=2):
        assert set(hit) == {
            "rank",
            "id",
            "label",
            "score",
            "path",
            "similarity_percent",
            "metadata",
            "probability",
            "group_size",
            "region",
            "query_region",
        }
        assert hit["rank"] == rank
        assert hit["similarity_percent"] == pytest.approx(100 * hit["score"], abs=0.051)
        assert hit["score"] <= first["score"]


def test_the_scores_are_the_cosines_of_the_embeddings(made, capsys):
    opened = open_bundle(made)
    vectors = opened.embed([photo(made, number) for number in range(6)])
    cosines = vectors @ vectors[4]
    (answer,) = asked(capsys, made, photo(made, 4), "-k", "6")
    assert [int(hit["id"]) for hit in answer["hits"]] == np.argsort(-cosines).tolist()
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx(
        np.sort(cosines)[::-1].tolist(), abs=1e-5
    )


def test_several_photos_are_answered_in_their_order(made, capsys):
    words = [photo(made, number) for number in (5, 1, 3)]
    answers = asked(capsys, made, *words, "-k", "1")
    assert [answer["query"] for answer in answers] == words
    assert [[hit["id"] for hit in answer["hits"]] for answer in answers] == [["5"], ["1"], ["3"]]
    main(["search", str(made), *words, "-k", "1"])
    assert [row[3] for row in lines(capsys.readouterr().out) if row[0] == "1"] == ["5", "1", "3"]


@pytest.mark.parametrize(("k", "n"), [(["-k", "100"], 6), ([], 6), (["-k", "2"], 2)])
def test_no_more_hits_than_items(made, capsys, k, n):
    (answer,) = asked(capsys, made, photo(made, 0), *k)
    assert [hit["rank"] for hit in answer["hits"]] == list(range(1, n + 1))


@pytest.mark.parametrize(
    ("k", "message"),
    [(k, f"-k: {k!r} is not a whole number of 1 or more, or all") for k in ("0", "-3", "x", "1.5")],
)
def test_a_k_that_asks_for_nothing_is_refused(made, capsys, k, message):
    with pytest.raises(SystemExit) as ended:
        main(["search", str(made), photo(made, 0), "-k", k])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_metadata_called_like_a_columns_of_the_answer_is_kept(tmp_path, capsys):
    write(tmp_path / "bundle", rank=list("uvwxyz"), score=[10, 20, 30, 40, 50, 60])
    (answer,) = asked(capsys, tmp_path / "bundle", tmp_path / "photos" / "1.png", "-k", "1")
    (hit,) = answer["hits"]
    assert (hit["rank"], hit["score"]) == (1, pytest.approx(1, abs=1e-5))
    assert hit["metadata"] == {"rank_original": "v", "score_original": 20}


def test_a_folder_that_is_no_bundle_ends_with_a_message(made, capsys):
    message = refusal(capsys, "search", made.parent, photo(made, 0))
    assert "isn't a bundle: it has no manifest.json" in message


@pytest.mark.parametrize("name", ["index.faiss", "manifest.json"])
def test_a_cut_file_ends_with_its_name(made, name, capsys):
    whole = (made / name).read_bytes()
    (made / name).write_bytes(whole[: len(whole) // 2])
    assert name in refusal(capsys, "search", made, photo(made, 0))


def test_a_photo_that_is_missing_or_broken_ends_with_its_name(made, capsys):
    assert "nowhere.jpg" in refusal(capsys, "search", made, photo(made, 0), made / "nowhere.jpg")
    (made.parent / "text.jpg").write_text("no photo")
    assert "text.jpg" in refusal(capsys, "search", made, made.parent / "text.jpg")


def test_the_catalogs_photos_are_not_needed(made, capsys):
    shutil.copy(photo(made, 3), made.parent / "query.png")
    shutil.rmtree(made.parent / "photos")
    (answer,) = asked(capsys, made, made.parent / "query.png", "-k", "1")
    assert answer["hits"][0]["id"] == "3"


def test_photos_that_were_moved_are_asked_for_in_one_line_and_found_below_the_named_folder(
    made, capsys
):
    was = made.parent / "photos"
    now = made.parent / "moved"
    was.rename(now)
    main(["search", str(made), str(now / "3.png"), "-k", "2", "--json"])
    ended = capsys.readouterr()
    assert json.loads(ended.out)[0]["hits"][0]["path"] == str(was / "3.png")
    assert ended.err.count("\n") == 1
    assert f"such as {was / '3.png'}. If they were moved" in ended.err
    assert f"from {was}, name their new folder with --photos-root" in ended.err

    main(["search", str(made), str(now / "3.png"), "-k", "1", "--photos-root", str(now), "--json"])
    ended = capsys.readouterr()
    assert json.loads(ended.out)[0]["hits"][0]["path"] == str(now / "3.png")
    assert ended.err == ""


def found(capsys, *words: str | Path) -> list[str]:
    (answer,) = asked(capsys, *words)
    return [hit["id"] for hit in answer["hits"]]


def test_where_leaves_the_items_that_meet_it(made, capsys):
    assert set(
        found(capsys, made, photo(made, 0), "--where", "price > 2 and not name in (d, f)")
    ) == {"1", "4"}
    assert found(capsys, made, photo(made, 0), "--where", 'name = "[new] shoe"') == ["0"]
    assert found(capsys, made, "--where", "price is missing", photo(made, 0)) == ["2"]


def test_a_filter_that_nothing_meets_says_why_beside_the_answer(made, capsys):
    for words in ([], ["--json"]):
        main(["search", str(made), photo(made, 0), "--where", "label = d", *words])
        printed = capsys.readouterr()
        assert printed.err == "vsearch search: no item has label = d; it has a, b, c\n"
    (answer,) = json.loads(printed.out)
    assert answer["hits"] == []


def test_all_hits_from_a_score_on(made, capsys):
    (everything,) = asked(capsys, made, photo(made, 0), "-k", "all")
    limit = everything["hits"][3]["score"]
    assert found(capsys, made, photo(made, 0), "-k", "all", "--min-score", limit) == [
        hit["id"] for hit in everything["hits"] if hit["score"] >= limit
    ]
    assert len(found(capsys, made, photo(made, 0), "--min-score", "-1", "-k", "2")) == 2


def test_examples_make_one_query(made, capsys):
    opened = open_bundle(made)
    words = [
        made,
        photo(made, 0),
        photo(made, 1),
        "--like",
        "2",
        "--unlike",
        "3",
        photo(made, 4),
        "--like",
        "5",
    ]
    (answer,) = asked(capsys, *words)
    expected = opened.search_examples(
        [photo(made, 0), photo(made, 1), "2", "5"], ["3", photo(made, 4)]
    )
    assert [hit["id"] for hit in answer["hits"]] == expected["id"].to_pylist()
    assert (
        answer["query"] == f"{photo(made, 0)}, {photo(made, 1)}, 2, 5, not 3, not {photo(made, 4)}"
    )
    assert (
        found(capsys, made, "--like", "0", "-k", "2")
        == opened.search_examples(["0"], k=2)["id"].to_pylist()
    )


def test_an_expanded_query_searches_again(made, capsys):
    (hits,) = open_bundle(made).search([photo(made, 0)], expand=3)
    (answer,) = asked(capsys, made, photo(made, 0), "--expand", "3")
    (plain,) = asked(capsys, made, photo(made, 0))
    assert [hit["score"] for hit in answer["hits"]] == hits["score"].to_pylist()
    assert [hit["score"] for hit in plain["hits"]] != hits["score"].to_pylist()


def test_of_a_group_only_the_best_is_shown(made, capsys):
    (answer,) = asked(capsys, made, photo(made, 0), "--group-by", "label")
    assert sorted(hit["label"] for hit in answer["hits"]) == ["a", "b", "c"]
    assert answer["hits"][0]["id"] == "0"


def test_of_a_group_only_the_best_is_shown_for_examples_too(made, capsys):
    for words, n in (
        (["--like", "0"], 3),
        (["--like", "0", "--unlike", "5"], 3),
        (["--like", "4", "5"], 2),
    ):
        query = [made, *words, "--group-by", "label"]
        everything = {hit["id"]: hit["label"] for hit in asked(capsys, made, *words)[0]["hits"]}
        firsts = [
            id
            for i, id in enumerate(everything)
            if everything[id] not in [*everything.values()][:i]
        ]
        assert found(capsys, *query) == firsts
        assert len(firsts) == n
        assert found(capsys, *query, "-k", "1") == firsts[:1]
        assert found(capsys, *query, "--where", "label != a") == [
            id for id in firsts if everything[id] != "a"
        ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--like", "99"], "'99' is neither an item's id nor a photo file"),
        (["--unlike", "0"], "at least one positive example is needed"),
        (
            ["--like", "0", "--where", "price <"],
            "filter, character 8: expected a value; found the end",
        ),
        (["--like", "0", "--where", ""], "filter, character 1: expected a column"),
        (
            ["--like", "0", "--where", "__import__('os')"],
            "filter, character 11: expected an operator",
        ),
        (
            ["--like", "0", "--group-by", "colour"],
            "no column 'colour'; the columns are id, path, label, split, price, name",
        ),
        (["--like", "0", "--min-score", "80"], "--min-score 80: scores are cosines, -1..1"),
        ([], "nothing to search with: name a PHOTO, or an item's id with --like"),
        (["-k", "3"], "nothing to search with"),
    ],
)
def test_mistakes_end_in_one_line(made, words, message, capsys):
    ended = refusal(capsys, "search", made, *words)
    assert ended.startswith(message)
    assert "\n" not in ended


def test_a_photo_may_stand_before_and_after_the_options(made, capsys):
    for words in (
        [made, photo(made, 1), "-k", "1"],
        [made, "-k", "1", photo(made, 1)],
        ["-k", "1", made, photo(made, 1)],
    ):
        assert found(capsys, *words) == ["1"]


def test_the_help_has_the_grammar(capsys):
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    text = capsys.readouterr().out
    assert "gender = Women and price < 30" in text
    assert "season is missing" in text


@pytest.fixture
def calibrated(made) -> Path:
    """The bundle again, with a calibration whose threshold nothing but a photo itself reaches."""
    opened = open_bundle(made)
    found = Calibration(0.9999, 0.1, (-1.0, 1.0), (0.25, 0.75), 20, 15)
    extra, kept = {FILE: file_bytes(found)}, opened.manifest
    write_bundle(
        made.parent / "calibrated",
        opened.runtime.network,
        opened.index,
        opened.items,
        {"note": kept["note"]},
        extra,
    )
    return made.parent / "calibrated"


def test_each_hit_has_its_probability(calibrated, capsys):
    (answer,) = asked(capsys, calibrated, photo(calibrated, 0), "-k", "3")
    assert (answer["good_match"], answer["threshold"]) == (True, 0.9999)
    for hit in answer["hits"]:
        assert hit["probability"] == pytest.approx(0.5 + hit["score"] / 4)
    main(["search", str(calibrated), photo(calibrated, 0)])
    text = capsys.readouterr().out
    assert lines(text)[0] == ["rank", "similar", "right", "label", "id", "path"]
    assert lines(text)[1][1:3] == ["100.0 %", "75 %"]
    assert "No good match" not in text


def test_no_good_match_is_said(calibrated, capsys):
    other = calibrated.parent / "other.png"
    Image.linear_gradient("L").convert("RGB").save(other)
    (answer,) = asked(capsys, calibrated, other)
    assert answer["good_match"] is False
    main(["search", str(calibrated), str(other)])
    assert (
        "No good match: no hit reaches 100.0 %, the calibrated threshold."
        in capsys.readouterr().out
    )


def test_of_several_examples_behind_a_filter_and_without_a_calibration_nothing_is_said(
    calibrated, made, capsys
):
    for words in (
        [calibrated, "--like", "0"],
        [calibrated, photo(made, 0), "--where", "id != 9"],
        [calibrated, photo(made, 0), "--expand", "3"],
        [made, photo(made, 0)],
    ):
        (answer,) = asked(capsys, *words)
        assert (answer["good_match"], answer["threshold"]) == (None, None)
        assert {hit["probability"] for hit in answer["hits"]} == {None}
        main(["search", *map(str, words)])
        text = capsys.readouterr().out
        assert "right" not in text
        assert "No good match" not in text


def test_a_damaged_calibration_ends_with_its_name(calibrated, capsys):
    (calibrated / FILE).write_text("{}")
    assert FILE in refusal(capsys, "search", calibrated, photo(calibrated, 0))


def test_products_have_their_number_of_photos(tmp_path, capsys):
    bundle = product_bundle(tmp_path / "bundle")
    main(["search", str(bundle), photo(bundle, 4), "-k", "2"])
    text = capsys.readouterr().out
    header, first, _ = lines(text)
    assert header == ["rank", "similar", "photos", "label", "id", "path"]
    assert first[:5] == ["1", "100.0 %", "3", "l1", "p4"]
    assert "photos: how many the hit's product, or other group, has." in text

    (answer,) = asked(capsys, bundle, photo(bundle, 4), "-k", "all")
    assert len(answer["hits"]) == 6
    assert answer["hits"][0]["group_size"] == 3
    (answer,) = asked(capsys, bundle, photo(bundle, 4), "-k", "all", "--each-photo")
    assert len(answer["hits"]) == 12
    assert answer["hits"][0]["group_size"] is None

    main(["search", str(bundle), photo(bundle, 4), "--csv"])
    row = next(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert (row["id"], row["group_size"]) == ("p4", "3")
    both = ["--each-photo", "--group-by", "label"]
    assert "not allowed with" in refusal(capsys, "search", bundle, photo(bundle, 4), *both)


def test_a_hit_says_which_part_of_its_photo_matched(tmp_path, capsys):
    bundle = fitted(tmp_path / "bundle", n=6, index_views=Grid(2))
    with Image.open(photo(bundle, 4)) as whole:
        whole.crop((7, 10, 14, 20)).save(tmp_path / "part.png")
    page = tmp_path / "found.html"
    main(["search", str(bundle), str(tmp_path / "part.png"), "--html", str(page)])
    text = capsys.readouterr().out
    header, first, *_ = lines(text)
    assert header == ["rank", "similar", "part", "label", "id", "path"]
    assert (first[2], first[4]) == ("50-100 % x 50-100 %", "p4")
    assert "\npart: the part of the hit's photo that matched; in percent, across x down." in text
    assert "100.0 % similar, part 50-100 % x 50-100 %" in page.read_text()

    (answer,) = asked(capsys, bundle, tmp_path / "part.png")
    assert answer["hits"][0]["region"] == [0.5, 0.5, 1, 1]
    assert answer["hits"][0]["query_region"] is None
    assert answer["hits"][0]["metadata"] == {"price": 4}
    main(["search", str(bundle), str(tmp_path / "part.png"), "--csv"])
    row = next(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert json.loads(row["region"]) == [0.5, 0.5, 1, 1]
    assert [*row][-3:] == ["path", "region", "price"]
    assert "query_region" not in row


def test_a_whole_photo_matches_a_whole_photo(tmp_path, capsys):
    bundle = fitted(tmp_path / "bundle", n=6, index_views=Grid(2))
    main(["search", str(bundle), photo(bundle, 4)])
    _, first, *_ = lines(capsys.readouterr().out)
    assert (first[2], first[4]) == ("whole", "p4")


def test_parts_of_a_photo_are_searched_with_too(calibrated, capsys):
    pair = Image.new("RGB", (60, 20), "white")
    pair.paste(Image.open(photo(calibrated, 1)), (0, 0))
    pair.save(calibrated.parent / "pair.png")
    words = [calibrated, calibrated.parent / "pair.png", "--parts"]
    (answer,) = asked(capsys, *words)
    (hits,) = open_bundle(calibrated).search([words[1]], parts=True)
    assert [hit["id"] for hit in answer["hits"]] == hits["id"].to_pylist()
    regions = [hit["query_region"] for hit in answer["hits"]]
    assert regions == hits["query_region"].to_pylist()
    assert any(regions)
    assert (answer["good_match"], answer["threshold"]) == (None, None)
    assert {hit["probability"] for hit in answer["hits"]} == {None}
    main(["search", *map(str, words)])
    text = capsys.readouterr().out
    header, *_ = lines(text)
    assert header == ["rank", "similar", "of query", "label", "id", "path"]
    assert "\nof query: the part of your photo that matched; in percent, across x down." in text


@pytest.mark.parametrize("words", [["--like", "0"], ["--text", "red"]])
def test_parts_of_nothing_are_refused(made, words, capsys):
    assert refusal(capsys, "search", made, *words, "--parts").startswith("--parts needs a PHOTO")


def test_metadata_called_region_stays_metadata_where_no_part_is_told(tmp_path, capsys):
    write(tmp_path / "bundle", region=list("uvwxyz"))
    (answer,) = asked(capsys, tmp_path / "bundle", tmp_path / "photos" / "1.png", "-k", "1")
    (hit,) = answer["hits"]
    assert hit["region"] is None
    assert hit["metadata"] == {"region": "v"}
