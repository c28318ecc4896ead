import json
from pathlib import Path

import pytest
import yaml

from vsearch.evaluation.studies.study import (
    Study,
    StudyError,
    _top_comment,
    folder_name,
    read_study,
)

CELLS = {
    "plain": [],
    "arc face": ["loss/arcface.yaml"],
    "margin 0.1": [{"model": {"margin": 0.1}}, "loss/arcface.yaml"],
}
WHOLE = {"baseline": "plain", "seeds": [3, 1], "rank_by": "precision_at_1_macro", "cells": CELLS}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "arcface.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(content: object, top: str = "") -> str:
    Path("mine.yaml").write_text(top + yaml.safe_dump(content, sort_keys=False))
    return "mine.yaml"


def read(**changed: object) -> Study:
    content = {**WHOLE, **changed}
    return read_study(
        written({name: value for name, value in content.items() if value is not None})
    )


def test_a_study_is_read_with_the_question_at_its_top(folder):
    study = read_study(written(WHOLE, "# Which loss?\n#   The claim.\n"))
    assert (study.name, study.question) == ("mine", "Which loss?\n  The claim.")
    assert (study.baseline, study.seeds, study.rank_by) == ("plain", (3, 1), "precision_at_1_macro")
    assert list(study.cells) == list(CELLS)


def test_seeds_and_metric_have_defaults(folder):
    study = read(seeds=None, rank_by=None)
    assert (study.question, study.seeds, study.rank_by, study.monitor) == (
        "",
        (0,),
        "map_at_r",
        None,
    )
    assert read(monitor="val/map_at_r_macro").monitor == "val/map_at_r_macro"


@pytest.mark.parametrize(
    "text", ["# One.", "# One.\n\n# Not this.\n", "# One.\nbaseline: a\n# Not this.\n"]
)
def test_the_question_ends_with_the_first_line_that_is_no_comment(text):
    assert _top_comment(text) == "One."


def test_a_fits_words_are_shared_configs_then_overlays_then_overrides(folder):
    words = read().words("margin 0.1", ["a.yaml", "b.yaml"], ["--trainer.max_epochs", "3"])
    assert words[:5] == ["--config", "a.yaml", "--config", "b.yaml", "--config"]
    assert json.loads(words[5]) == {"model": {"margin": 0.1}}
    assert words[6:] == ["--config", "loss/arcface.yaml", "--trainer.max_epochs", "3"]


def test_overlays_are_found_beside_the_study_not_where_one_stands(folder, monkeypatch):
    name = str(folder / written(WHOLE))
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert read_study(name).cells["arc face"] == [str(folder / "loss" / "arcface.yaml")]


def test_a_name_alone_is_one_of_configs_studies(folder):
    place = folder / "configs" / "studies"
    place.mkdir(parents=True)
    (place / "loss.yaml").write_text(yaml.safe_dump({"baseline": "a", "cells": {"a": []}}))
    assert read_study("loss").name == "loss"
    with pytest.raises(StudyError, match=r"no study los: .*configs/studies, which has loss\."):
        read_study("los")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cells": None}, "baseline and cells"),
        ({"sead": [1]}, "baseline and cells, maybe seeds, rank_by, monitor; no others"),
        ({"cells": ["plain"]}, "cells must map names to lists"),
        ({"baseline": "plane"}, "baseline name one of them"),
        ({"cells": {"plain": "a.yaml"}}, "'plain' must be a list of overlays"),
        ({"cells": {"plain": [3]}}, "'plain' must be a list of overlays"),
        ({"cells": {**CELLS, 3: []}}, "3 can't name a cell"),
        ({"cells": {**CELLS, "a,b": []}}, "'a,b' can't name a cell"),
        ({"cells": {**CELLS, "../..": []}}, "can't name a cell"),
        ({"cells": {**CELLS, "Arc-Face": []}}, "'arc face' and 'Arc-Face' would share a folder"),
        (
            {"cells": {**CELLS, "gone": ["loss/gone.yaml", "gone.yaml"]}},
            "there is no gone.yaml, loss/gone.yaml",
        ),
        ({"seeds": []}, "seeds must be"),
        ({"seeds": [1, 1]}, "seeds must be"),
        ({"seeds": [True]}, "seeds must be"),
        ({"seeds": 3}, "seeds must be"),
        ({"rank_by": "map"}, "rank_by is 'map', not one of precision_at_1, .*map_at_r"),
        ({"rank_by": 1}, "rank_by is 1"),
        (
            {"monitor": "val/loss"},
            "monitor is 'val/loss', not a metric of the val part such as val/map_at_r",
        ),
        ({"monitor": "map_at_r"}, "monitor is 'map_at_r'"),
        ({"monitor": 3}, "monitor is 3"),
    ],
)
def test_what_is_no_study_is_refused_with_the_reason(folder, changed, message):
    with pytest.raises(StudyError, match=message):
        read(**changed)


@pytest.mark.parametrize("text", ["a: [", "just text", ""])
def test_a_file_that_holds_something_else_is_refused(folder, text):
    Path("mine.yaml").write_text(text)
    with pytest.raises(StudyError, match=r"mine\.yaml"):
        read_study("mine.yaml")


def test_a_part_of_a_study_keeps_the_baseline_and_the_order(folder):
    study = read()
    assert list(study.narrowed(["margin 0.1"], None).cells) == ["plain", "margin 0.1"]
    assert study.narrowed(None, [5, 2]).seeds == (5, 2)
    assert study.narrowed(None, None) == study


def test_a_part_that_is_not_there_is_refused(folder):
    with pytest.raises(
        StudyError, match=r"mine has no cell arcface; it has plain, arc face, margin 0\.1"
    ):
        read().narrowed(["plain", "arcface"], None)
    with pytest.raises(StudyError, match="seeds must be"):
        read().narrowed(None, [1, 1])


@pytest.mark.parametrize(
    ("cell", "name"),
    [("PK 16x4", "PK-16x4"), ("margin 0.1", "margin-0.1"), ("../a/b", "a-b"), ("ü", "")],
)
def test_folder_names_are_plain(cell, name):
    assert folder_name(cell) == name
