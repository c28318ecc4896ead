import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from adversarial.damage import Flip
from made_up_report import made_up_report
from PIL import Image

from vsearch.bundle.generations.files import measured
from vsearch.bundle.generations.manifest import SCHEMA
from vsearch.bundle.generations.state import State, state_bytes
from vsearch.data.io.atomic import sha256
from vsearch.data.items import table_bytes
from vsearch.errors import BundleError, VsearchError
from vsearch.evaluation.comparing.runs import Run, RunError, open_runs, query_table
from vsearch.evaluation.scoring import Scores

LABELS = list("aaabbc")
COLOURS = {"a": (200, 0, 0), "b": (0, 200, 0), "c": (0, 0, 200)}
COST = {
    "trained_parameters": 1_234_567,
    "parameters": 2_345_678,
    "epoch_s": 12.25,
    "embed_photos_per_s": 345.6,
    "bytes_per_vector": 8192.0,
}


def photo(folder: Path, name: str, label: str) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.png"
    if not path.exists():
        Image.new("RGB", (12, 12), COLOURS[label]).save(path)
    return str(path)


def made(
    folder: Path,
    values: dict[str, Sequence[float]],
    labels: Sequence[str] = LABELS,
    gallery: Sequence[str] = LABELS,
    hits: Sequence[Sequence[int]] | None = None,
    settings: dict[str, Any] | None = None,
    train: Sequence[str] | None = LABELS,
    axes: dict[str, dict[str, float]] | None = None,
    **manifest: Any,
) -> Path:
    """Write a run by hand: queries q0, q1, ... and items i0, i1, ... of these labels, with a photo
    each.

    It was trained on t0, t1, ... of these labels, and measured these further axes.
    """
    photos, bundle = folder.parent / "photos", folder / "bundle"
    bundle.mkdir(parents=True)
    queries = pd.DataFrame({"id": [f"q{i}" for i in range(len(labels))], "label": labels})
    queries["path"] = [photo(photos, *row) for row in queries.itertuples(index=False)]
    found = (
        [list(range(len(gallery))) for _ in labels] if hits is None else [list(row) for row in hits]
    )
    queries.assign(
        **{name: np.array(value, dtype=float) for name, value in values.items()}, hits=found
    ).to_parquet(bundle / "queries.parquet")
    items = pd.DataFrame({"id": [f"i{i}" for i in range(len(gallery))], "label": gallery})
    items["path"] = [photo(photos, *row) for row in items.itertuples(index=False)]
    items.to_parquet(bundle / "items.parquet")
    content = {"cost": COST, "index": {"latency": {"single_p50_ms": 0.25}}, **manifest}
    (bundle / "manifest.json").write_text(
        json.dumps({k: v for k, v in content.items() if v is not None})
    )
    if settings is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    if train is not None:
        rows = [f"t{i},{label},train" for i, label in enumerate(train)] + ["v0,a,val"]
        (folder / "split.csv").write_text("\n".join(["id,label,split", *rows]))
    if axes is not None:
        (bundle / "report.json").write_text(json.dumps(report(axes)))
    sealed(folder)
    return folder


def report(axes: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What a bundle's report says of further axes with these values, the last of them the graded
    relevance.
    """

    def sides(value: float) -> dict[str, Any]:
        return {"trained": {"value": value, "low": value - 0.1, "high": value + 0.1}, "chance": 0.1}

    found = {
        name: {metric: sides(value) for metric, value in axis.items()}
        for name, axis in axes.items()
    }
    graded = found.pop("(graded)", {})
    counts = {"queries": 6, "unanswerable": 0}
    content = made_up_report().to_json()
    content["axes"] = {
        name: {**counts, "values": 3, "missing": 0, "metrics": axis} for name, axis in found.items()
    }
    if graded:
        content["graded"] = {**counts, "attributes": ["label"], **graded}
    return content


def opened(folder: Path, *arguments: Any, **more: Any) -> Run:
    (run,) = open_runs([made(folder, *arguments, **more)])
    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    return made(tmp_path / "version_0", {"precision_at_1": [1, 0, 1, 1, 0, 1]})


def change(folder: Path, name: str, table: pd.DataFrame) -> None:
    table.to_parquet(folder / "bundle" / name)


def test_a_run_opens_by_its_folder_or_its_bundle(folder):
    for place in (folder, folder / "bundle"):
        (run,) = open_runs([place])
        assert (run.name, run.folder) == ("version_0", folder)
        assert run.metrics == ["precision_at_1"]
        assert run.queries["precision_at_1"].tolist() == [1, 0, 1, 1, 0, 1]
        assert run.queries["hits"].iloc[0].tolist() == [0, 1, 2, 3, 4, 5]
        assert run.items["label"].tolist() == LABELS


def test_a_bundle_that_was_moved_is_its_own_folder(folder, tmp_path):
    (folder / "bundle").rename(tmp_path / "served")
    (run,) = open_runs([tmp_path / "served"])
    assert (run.name, run.folder) == ("served", tmp_path / "served")


def test_names_are_as_short_as_tells_runs_apart(tmp_path):
    values = {"precision_at_1": [1] * 6}
    folders = [
        made(tmp_path / name, values)
        for name in ("one/version_0", "two/version_0", "two/version_1")
    ]
    assert [run.name for run in open_runs(folders[1:])] == ["version_0", "version_1"]
    assert [run.name for run in open_runs(folders)] == [
        "one/version_0",
        "two/version_0",
        "two/version_1",
    ]
    assert [run.name for run in open_runs([folders[0], folders[0] / "bundle"])] == [
        "version_0",
        "version_0",
    ]


def test_the_settings_are_flat_and_all_text(tmp_path):
    settings = {
        "model": {"loss": {"margin": 0.3, "miner": None}},
        "data": {"augment": [{"p": 1}, 2], "axes": []},
    }
    run = opened(tmp_path / "run", {"map_at_r": [1] * 6}, settings=settings)
    assert run.settings == {
        "model.loss.margin": "0.3",
        "model.loss.miner": "null",
        "data.augment.0.p": "1",
        "data.augment.1": "2",
        "data.axes": "[]",
    }


def test_the_cost_is_the_manifests_and_none_where_there_is_none(tmp_path):
    values = {"map_at_r": [1] * 6}
    assert opened(tmp_path / "new", values).cost == {**COST, "search_p50_ms": 0.25}
    assert set(opened(tmp_path / "old", values, cost=None, index=None).cost.values()) == {None}


def test_what_it_was_trained_on_is_the_splits_train_part(folder, tmp_path):
    (run,) = open_runs([folder])
    assert run.train.to_dict("list") == {"id": [f"t{i}" for i in range(6)], "label": LABELS}
    (folder / "split.csv").write_text("id,label,split\n007,NA,train\n08,b,test\n")
    assert open_runs([folder])[0].train.to_dict("list") == {"id": ["007"], "label": ["NA"]}
    assert opened(tmp_path / "old", {"map_at_r": [1] * 6}, train=None).train is None


def test_axes_are_those_of_the_trained_model(tmp_path):
    axes = {
        "colour": {"precision_at_1": 0.5, "cmc_at_5": 0.7},
        "size": {},
        "(graded)": {"ndcg_at_10": 0.6},
    }
    run = opened(tmp_path / "run", {"map_at_r": [1] * 6}, axes=axes)
    assert {name: list(axis) for name, axis in run.axes.items()} == {
        name: list(axis) for name, axis in axes.items()
    }
    assert run.axes["colour"]["cmc_at_5"] == pytest.approx({"value": 0.7, "low": 0.6, "high": 0.8})
    assert run.axes["(graded)"]["ndcg_at_10"]["value"] == 0.6
    assert opened(tmp_path / "none", {"map_at_r": [1] * 6}).axes == {}
    assert opened(tmp_path / "no axes", {"map_at_r": [1] * 6}, axes={}).axes == {}


def refusal(*folders: Path) -> str:
    with pytest.raises(RunError) as refused:
        open_runs(list(folders))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_is_no_run_is_refused_by_its_name(folder, tmp_path):
    assert f"{tmp_path / 'nowhere'} isn't a finished run" in refusal(folder, tmp_path / "nowhere")
    (folder / "bundle" / "queries.parquet").unlink()
    assert "has no queries.parquet: its run is older than `compare`. Fit it again." in refusal(
        folder
    )


@pytest.mark.parametrize("name", ["manifest.json", "queries.parquet", "items.parquet"])
def test_a_damaged_file_is_refused_by_its_name(folder, name):
    path = folder / "bundle" / name
    path.write_bytes(path.read_bytes()[:20])
    if name != "manifest.json":
        sealed(folder)
    assert f"{path} can't be read" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "model: [1,"),
        ("split.csv", ""),
        ("split.csv", "id,label\nt0,a\n"),
        ("bundle/report.json", "{"),
        ("bundle/report.json", '{"axes": {"colour": {}}}'),
        ("bundle/report.json", "[]"),
    ],
)
def test_a_damaged_file_that_is_not_needed_is_refused_too(folder, name, content):
    (folder / name).write_text(content)
    sealed(folder)
    assert f"{folder / name} can't be read" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "queries.parquet",
            lambda table: table.drop(columns=["hits", "label"]),
            r"lacks the columns ['label', 'hits']",
        ),
        ("queries.parquet", lambda table: table.iloc[:0], "is empty"),
        ("queries.parquet", lambda table: table.assign(id="x"), "an id comes twice"),
        (
            "queries.parquet",
            lambda table: table.assign(precision_at_1=[1, np.nan] * 3),
            "values are missing",
        ),
        (
            "queries.parquet",
            lambda table: table.drop(columns="precision_at_1"),
            "it has no metrics",
        ),
        ("items.parquet", lambda table: table.drop(columns="path"), "lacks the columns ['path']"),
        ("items.parquet", lambda table: table.assign(id="x"), "an id comes twice"),
    ],
)
def test_a_table_that_can_not_be_right_is_refused(folder, name, damage, message):
    change(folder, name, damage(pd.read_parquet(folder / "bundle" / name)))
    sealed(folder)
    assert message in refusal(folder)


def test_metadata_of_the_gallery_may_be_missing(folder):
    items = pd.read_parquet(folder / "bundle" / "items.parquet")
    change(folder, "items.parquet", items.assign(price=np.nan))
    sealed(folder)
    assert len(open_runs([folder])[0].items) == 6


def test_the_table_has_the_answered_queries_and_the_hits_that_are_there(tmp_path):
    asked = pd.DataFrame(
        {"id": list("wxyz"), "path": ["p"] * 4, "label": list("abca"), "price": range(4)}
    )
    asked = asked.assign(x_1=0.0, y_1=0.0, x_2=[5.0, 6, 7, 8], y_2=9.0)
    scores = Scores(
        {"map_at_r": np.array([0.5, 0.25])}, {}, np.array([0, 2]), np.array([0, 2]), unanswerable=2
    )
    hits = np.array([[4, 2, -1], [9, 9, 9], [1, -1, -1], [9, 9, 9]])
    cosines = np.where(hits < 0, np.nan, [[0.75, 0.5, 0.25]])
    (tmp_path / "queries.parquet").write_bytes(
        table_bytes(query_table(asked, scores, cosines, hits))
    )
    table = pd.read_parquet(tmp_path / "queries.parquet")
    assert set(table) == {
        "id",
        "label",
        "path",
        "x_1",
        "y_1",
        "x_2",
        "y_2",
        "map_at_r",
        "hits",
        "scores",
    }
    assert table["id"].tolist() == ["w", "y"]
    assert table["x_2"].tolist() == [5, 7]
    assert table["map_at_r"].tolist() == [0.5, 0.25]
    assert [row.tolist() for row in table["hits"]] == [[4, 2], [1]]
    assert [row.tolist() for row in table["scores"]] == [[0.75, 0.5], [0.75]]


def sealed(folder: Path) -> None:
    """Give a run that was written by hand what a fit writes: SHA-256 of the files and manifest."""
    bundle = folder / "bundle"
    path = bundle / "manifest.json"
    content = json.loads(path.read_text())
    path.unlink()
    (bundle / "CURRENT").unlink(missing_ok=True)
    path.write_text(json.dumps({**content, "schema": SCHEMA, **measured(bundle)}))
    (bundle / "CURRENT").write_bytes(state_bytes(State(0, sha256(path)), []))


@pytest.mark.parametrize(
    "name", ["manifest.json", "queries.parquet", "items.parquet", "report.json", "CURRENT"]
)
def test_no_flipped_bit_is_compared(tmp_path, name):
    values = {"precision_at_1": [1, 0, 1, 1, 0, 1]}
    axes = {"colour": {"precision_at_1": 0.5}}
    bundle = made(tmp_path / "version_0", values, axes=axes) / "bundle"
    assert open_runs([bundle])[0].metrics == ["precision_at_1"]
    whole = (bundle / name).read_bytes()
    for place in np.linspace(0, len(whole) - 1, 40).astype(int):
        (bundle / name).write_bytes(Flip(place, place % 8).of(whole))
        with pytest.raises(VsearchError):
            open_runs([bundle])


def test_numbers_that_nothing_proves_are_not_compared(folder):
    bundle = folder / "bundle"
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(
        json.dumps({name: value for name, value in manifest.items() if name != "sha256"})
    )
    (bundle / "CURRENT").unlink()
    with pytest.raises(VsearchError, match="no CURRENT, so its numbers can't be verified"):
        open_runs([bundle])


@pytest.mark.parametrize("name", ["queries.parquet", "report.json"])
def test_what_the_manifest_does_not_name_is_not_compared(folder, name):
    bundle = folder / "bundle"
    content = json.loads((bundle / "manifest.json").read_text())
    content["sha256"].pop(name, None)
    (bundle / "manifest.json").write_text(json.dumps(content))
    state = State(0, sha256(bundle / "manifest.json"))
    (bundle / "CURRENT").write_bytes(state_bytes(state, []))
    (bundle / name).touch()
    with pytest.raises(BundleError, match=name):
        open_runs([bundle])
