import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import drawn
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import load_file
from test_module import data_of, learner, trainer
from tiny import COLOURS, ColourCatalog, TinyBackbone

from callbacks.build_index import BuildIndex
from vsearch.bundle.exports.export import export
from vsearch.bundle.network import fingerprint
from vsearch.bundle.opening import open_bundle
from vsearch.data.catalogs.base import Catalog
from vsearch.data.photos import Preprocessing
from vsearch.data.splits import LabelDisjointSplit, StratifiedSplit
from vsearch.errors import ConfigError
from vsearch.evaluation import calibration
from vsearch.evaluation.metrics import means
from vsearch.evaluation.scoring import Embedded, half, score
from vsearch.indexes.auto import AutoIndex
from vsearch.indexes.exact import ExactIndex
from vsearch.indexes.faiss import FaissIndex
from vsearch.models.adaptations.lda import LDA
from vsearch.models.heads.linear import LinearHead
from vsearch.models.normalising import normalise
from vsearch.reports.summary import library_versions
from vsearch.training import final_evaluator


class Run:
    """A short fit with BuildIndex; its best epoch, by order, is that of the highest val/loss."""

    def __init__(
        self,
        catalog: Catalog,
        folder: Path,
        epochs: int = 3,
        callback: BuildIndex | None = None,
        model=None,
        **data,
    ) -> None:
        self.folder, self.module, self.data = (
            folder,
            learner(**(model or {})),
            data_of(catalog, **data),
        )
        self.initial = copy.deepcopy(self.module.backbone)
        best = ModelCheckpoint(folder / "checkpoints", "best", monitor="val/loss", mode="max")
        last = ModelCheckpoint(folder / "checkpoints", "last", enable_version_counter=False)
        self.trainer = trainer(folder, epochs, callbacks=[best, last, callback or BuildIndex()])
        self.trainer.fit(self.module, self.data)
        self.bundle = folder / "bundle"

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        saved = torch.load(self.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)[
            "state_dict"
        ]
        return {
            key.removeprefix("embedder.backbone."): value
            for key, value in saved.items()
            if key.startswith("embedder.backbone.")
        }

    def json(self, name: str) -> dict[str, Any]:
        return json.loads((self.bundle / name).read_text())

    def values(self, which: str) -> dict[str, float]:
        return {
            name: kinds["micro"]["value"]
            for name, kinds in self.json("report.json")["metrics"][which].items()
        }

    def scores_of(self, backbone: TinyBackbone) -> dict[str, float]:
        """What test photos find in the gallery: embedded at once, searched exactly."""
        sides = []
        for items in (self.data.queries("test"), self.data.gallery("test")):
            dataset = self.data.loader(items).dataset
            with torch.inference_mode():
                features = backbone.eval()(
                    normalise(
                        torch.stack([photo for photo, _, _ in dataset]), backbone.preprocessing
                    )
                )
            vectors = torch.nn.functional.normalize(features, dim=1).numpy()
            sides.append(Embedded(vectors, items["label_code"].to_numpy(), items.index.to_numpy()))
        index = FaissIndex()
        index.build(sides[1].embeddings)
        found = score(index, *sides)
        return {name: kinds["micro"] for name, kinds in means(found.model, found.labels).items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """One for all tests that only read it."""
    folder = tmp_path_factory.mktemp("run")
    catalog = ColourCatalog(str(folder / "colours"))
    catalog.prepare()
    with drawn():
        return Run(catalog, folder / "fit")


def test_the_bundle_holds_the_best_epoch_and_not_the_last(run):
    stored = {
        name.removeprefix("backbone."): value
        for name, value in load_file(run.bundle / "model.safetensors").items()
    }
    best, last = run.weights("best"), run.weights("last")
    assert set(stored) == set(best)
    assert all(torch.equal(stored[name], best[name]) for name in best)
    assert any(not torch.equal(stored[name], last[name]) for name in last)
    saved = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert run.json("report.json")["model"]["epoch"] == saved["epoch"] < 2


def test_nothing_that_is_drawn_after_the_last_epoch_costs_the_bundle(
    drawing, colours, tmp_path, monkeypatch, caplog
):
    def broken(*_: object, **__: object) -> None:
        raise ValueError("injected")

    monkeypatch.setattr("callbacks.build_index.export", broken)
    monkeypatch.setattr("vsearch.training.final_evaluator.FinalEvaluator.score_untrained", broken)
    for stage in ("example_grid", "show_report", "show", "show_closing"):
        monkeypatch.setattr(f"callbacks.build_index.{stage}", broken)
    for stage in ("files.markdown", "html.report.report_html"):
        monkeypatch.setattr(f"vsearch.reports.{stage}", broken)
    with pytest.warns(UserWarning, match="no ONNX export"):
        bundle = Run(colours, tmp_path, epochs=1).bundle
    assert open_bundle(bundle).search([colours.items()["path"][0]])
    there = {path.name for path in bundle.iterdir()}
    assert {"report.json", "queries.parquet", "items.parquet", "model.safetensors"} <= there
    assert not there & {"report.md", "report.html", "results.png"}
    for what in (
        "network before training",
        "picture of search results",
        "report.md",
        "report.html",
        "TensorBoard",
    ):
        assert what in caplog.text


def test_what_killed_fits_left_is_taken_away_a_day_later(colours, tmp_path):
    left = [
        tmp_path / "version_0" / ".making-bundle-abc" / "bundle",
        tmp_path / "version_0" / "checkpoints" / ".making-best.ckpt",
        tmp_path / "version_1" / ".making-bundle-def" / "bundle",
    ]
    for folder in left:
        folder.mkdir(parents=True)
    yesterday = time.time() - 25 * 3600
    os.utime(left[0].parent, (yesterday, yesterday))
    os.utime(left[1], (yesterday, yesterday))
    Run(colours, tmp_path / "version_2", epochs=1)
    assert not left[0].parent.exists()
    assert not left[1].exists()
    assert left[2].exists()  # another fit may be writing it
    assert not list((tmp_path / "version_2").rglob(".making-*"))


def test_the_index_holds_the_gallery_in_the_order_of_the_items(run):
    opened = open_bundle(run.bundle)
    gallery = run.data.gallery("test")
    assert opened.items["id"].to_pylist() == gallery["id"].tolist()
    assert set(opened.items["split"].to_pylist()) == {"train"}
    assert opened.items.column_names == ["id", "path", "label", "shelf", "split"]
    for item, found in zip(gallery["id"], opened.search(gallery["path"].tolist(), 3), strict=True):
        hits = found.to_pandas()
        assert item in hits.loc[hits["score"] > 1 - 1e-4, "id"].tolist()


def test_the_numbers_are_those_of_the_best_epoch_and_of_the_initial_weights(run):
    best = copy.deepcopy(run.initial)
    best.load_state_dict(run.weights("best"))
    assert run.values("trained") == pytest.approx(run.scores_of(best), abs=1e-6)
    assert run.values("untrained") == pytest.approx(run.scores_of(run.initial), abs=1e-6)
    assert run.values("trained") != pytest.approx(run.values("untrained"), abs=1e-6)


def test_the_module_is_left_with_the_best_weights(run):
    for name, value in run.module.backbone.state_dict().items():
        assert torch.equal(value, run.weights("best")[name]), name


@pytest.mark.parametrize("head", [None, LinearHead(5)])
def test_an_adaptation_of_the_train_part_is_in_the_bundle_and_measured(head, colours, tmp_path):
    run = Run(colours, tmp_path, callback=BuildIndex(adaptation=LDA()), model={"head": head})
    made = open_bundle(run.bundle)
    assert made.manifest["dim"] == len(COLOURS) - 1

    train = run.data.part("train")
    before = learner(head=copy.deepcopy(head))
    final_evaluator.load_best_weights(before, str(run.folder / "checkpoints" / "best.ckpt"))
    photos = torch.stack([photo for photo, _, _ in run.data.loader(train).dataset])
    with torch.inference_mode():
        vectors = before.eval()(photos)
        layer = LDA().fit(vectors.numpy(), train["label_code"].to_numpy())
        wanted = torch.nn.functional.normalize(layer(vectors), dim=1).numpy()

    stored = made.index.vectors(np.arange(len(train)))
    assert stored == pytest.approx(wanted, abs=1e-4)
    found = made.search(train["path"].tolist(), 1)
    assert all(hits["score"][0].as_py() == pytest.approx(1, abs=1e-4) for hits in found)


def test_an_adaptation_that_leaves_one_value_is_warned_of(colours, tmp_path, monkeypatch):
    monkeypatch.setattr(LDA, "width", lambda *_: 1)
    with pytest.warns(UserWarning, match="of 4 labels it leaves embeddings of one value"):
        Run(colours, tmp_path, epochs=1, callback=BuildIndex(adaptation=LDA()))


def test_an_index_that_is_wider_than_an_adaptation_is_refused_before_training(colours, tmp_path):
    index = FaissIndex("PCA4,Flat")
    with pytest.raises(ConfigError, match=r"^index\b"):
        Run(colours, tmp_path, callback=BuildIndex(index, adaptation=LDA()))


def test_the_numbers_are_those_of_the_test_command(run):
    results = run.trainer.test(
        run.module, run.data, ckpt_path=run.folder / "checkpoints" / "best.ckpt", verbose=False
    )
    tested = {
        name.removeprefix("test/"): value
        for name, value in results[0].items()
        if not name.endswith("_macro")
    }
    assert run.values("trained") == pytest.approx(tested, abs=1e-6)


def test_the_manifest_says_what_the_bundle_is_and_how_good(run):
    manifest = run.json("manifest.json")
    preprocessing = Preprocessing(**manifest["preprocessing"])
    assert manifest["fingerprint"] == fingerprint(manifest["sha256"], preprocessing, 8)
    protocol = manifest["protocol"]
    assert protocol["catalog"] == "ColourCatalog"
    assert (protocol["items"], protocol["labels"], protocol["parts"]) == (
        80,
        4,
        {"train": 48, "val": 16, "test": 16},
    )
    assert (protocol["queries"], protocol["gallery"], protocol["synthetic"]) == (16, 48, False)
    assert manifest["model"]["libraries"] == library_versions()
    index = manifest["index"]
    assert (index["spec"], index["recall_at_10"]) == ("Flat", 1)
    assert index["bytes"] == sum((run.bundle / name).stat().st_size for name in index["files"])
    assert 0 < index["latency"]["single_p50_ms"] <= index["latency"]["single_p99_ms"]
    report = run.json("report.json")
    assert {name: report[name] for name in ("protocol", "model")} == {
        name: manifest[name] for name in ("protocol", "model")
    }


def test_the_index_that_was_asked_for_is_built(colours, tmp_path):
    made = Run(colours, tmp_path, epochs=1, callback=BuildIndex(index := FaissIndex("HNSW8")))
    assert len(index) == 48
    assert made.json("manifest.json")["index"]["spec"] == "HNSW8"


def test_an_index_that_the_gallery_cannot_fill_is_refused_before_training(colours, tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"index: factory: IVF64,Flat trains 64 centroids, but there are 48 training vectors",
    ):
        Run(colours, tmp_path, epochs=1, callback=BuildIndex(FaissIndex("IVF64,Flat")))
    assert not list(tmp_path.rglob("*.ckpt"))


def test_an_exact_index_is_not_searched_twice(colours, tmp_path, monkeypatch):
    # Calling it would fail.
    monkeypatch.setattr("vsearch.evaluation.scoring.score_exactly", None)
    index = Run(colours, tmp_path, epochs=1).json("report.json")["index"]
    assert index["exact"]
    for found in index["labels"].values():
        assert found["exact"] == found["served"]
        assert found["difference"] is None


class Misleading(ExactIndex):
    """Serves the worst hits."""

    exact = False

    def search(self, queries, k, allowed=None):
        scores, positions = super().search(queries, len(self), allowed)
        return scores[:, ::-1][:, :k], positions[:, ::-1][:, :k]


def test_the_indexs_errors_are_told_from_the_models(colours, tmp_path):
    made = Run(colours, tmp_path, callback=BuildIndex(Misleading()))
    best, report = copy.deepcopy(made.initial), made.json("report.json")
    best.load_state_dict(made.weights("best"))
    exactly, index = made.scores_of(best), report["index"]
    for name, found in index["labels"].items():
        assert found["exact"]["value"] == pytest.approx(exactly[name], abs=1e-6)
        assert found["served"]["value"] == pytest.approx(made.values("trained")[name])
        assert found["difference"]["value"] == pytest.approx(
            found["served"]["value"] - found["exact"]["value"]
        )
    assert index["labels"]["map_at_r"]["difference"]["high"] < 0
    assert index["recall_at_1"] == index["recall_at_10"] == 0
    assert "| MAP@R |" in (made.bundle / "report.md").read_text()


def test_a_choice_is_explained_and_served(colours, tmp_path):
    made = Run(colours, tmp_path, epochs=1, callback=BuildIndex(AutoIndex(0.5)))
    index, opened = made.json("report.json")["index"], open_bundle(made.bundle)
    assert index["spec"] == opened.index.spec
    assert index["spec"].startswith("auto: ")
    assert sum(row["chosen"] for row in index["frontier"]) == 1
    assert index["why"] in (made.bundle / "report.md").read_text()
    assert (made.bundle / "frontier.png").is_file()
    assert opened.index.describe()["why"] == index["why"]


@pytest.mark.filterwarnings("ignore:BuildIndex")
def test_budgets_that_nothing_meets_do_not_lose_the_model(colours, tmp_path):
    made = Run(colours, tmp_path, epochs=1, callback=BuildIndex(AutoIndex(max_mib=1e-6)))
    index = made.json("report.json")["index"]
    assert made.json("manifest.json")["index"]["class_path"] == "vsearch.indexes.exact.ExactIndex"
    assert index["why"].startswith("Exact search, since no index is within the budgets. Nearest: ")
    assert index["frontier"]
    assert not any(row["chosen"] for row in index["frontier"])
    assert len(open_bundle(made.bundle).index) == 48


def test_label_budgets_are_judged_by_val_photos(colours, tmp_path):
    auto = AutoIndex(None, max_label_loss=0.5, prefer="memory")
    made = Run(colours, tmp_path, epochs=1, callback=BuildIndex(auto))
    index = made.json("report.json")["index"]
    assert index["prefer"] == "memory"
    assert index["trial"]["queries"] == len(made.data.queries("val"))
    losses = index["frontier"][0]["losses"]
    assert list(losses)[:2] == ["precision_at_1", "precision_at_10"]
    assert "label losses of 0.5" in index["why"]
    assert "precision_at_1 lost" in (made.bundle / "report.md").read_text()


def test_chance_is_the_share_of_the_label_in_the_gallery(run):
    chance = run.json("report.json")["metrics"]["chance"]
    assert chance["precision_at_1"]["micro"] == pytest.approx(12 / 48)


def test_the_fit_ends_with_what_to_do_next(colours, tmp_path, capsys):
    made = Run(colours, tmp_path, epochs=1)
    assert f"python -m vsearch search {made.bundle} PHOTO" in capsys.readouterr().out


def test_without_a_baseline_nothing_is_said_of_the_untrained(colours, tmp_path):
    made = Run(colours, tmp_path, epochs=1, callback=BuildIndex(baseline=False))
    assert set(made.json("report.json")["metrics"]) == {"trained", "chance"}


class ProductCatalog(ColourCatalog):
    """Two photos of each product; `alone`: all photos have a product of their own."""

    def __init__(self, folder: str, alone: bool = False) -> None:
        super().__init__(folder)
        self.alone = alone

    def read(self) -> pd.DataFrame:
        items = super().read()
        return items.assign(product=[f"p{n if self.alone else n // 2}" for n in range(len(items))])


def test_products_are_measured_searched_and_told(drawing, colours, tmp_path, capsys):
    catalog = ProductCatalog(str(colours.folder))
    made = Run(catalog, tmp_path, epochs=1, group="product", fuse="mean")
    assert made.json("manifest.json")["products"] == {"group": "product", "fuse": "mean"}
    found = made.json("report.json")["products"]
    assert (found["queries"], found["alone"], found["products"]) == (16, 0, 32)
    first = found["metrics"]["precision_at_1"]
    assert first["best"]["untrained"] is not None
    assert first["mean"]["chance"] == pytest.approx(1 / 32)
    text = (made.bundle / "report.md").read_text()
    assert "## Products" in text
    assert "Products. Each of 16 test photos" in (made.bundle / "report.html").read_text()
    shown = " ".join(capsys.readouterr().out.split())
    assert "Another photo of the same product (product) is found first for" in shown

    (hits,) = open_bundle(made.bundle).search([catalog.items()["path"][0]], None)
    assert hits["group_size"].to_pylist() == [2] * 24


def test_photos_that_are_alone_say_that_products_are_not_measured(colours, tmp_path, capsys):
    catalog = ProductCatalog(str(colours.folder), alone=True)
    made = Run(catalog, tmp_path, epochs=1, group="product")
    found = made.json("report.json")["products"]
    assert (found["queries"], found["alone"], found["metrics"]) == (0, 16, {})
    said = "no test photo has another photo of its product"
    assert said in (made.bundle / "report.md").read_text()
    assert "isn't measured" in capsys.readouterr().out


@pytest.mark.parametrize("baseline", [True, False])
def test_other_axes_are_searched_through_the_same_index(colours, tmp_path, baseline):
    made = Run(colours, tmp_path, epochs=1, callback=BuildIndex(baseline=baseline), axes=["shelf"])
    report, opened = made.json("report.json"), open_bundle(made.bundle)
    shelf, graded = report["axes"]["shelf"], report["graded"]
    assert (shelf["values"], shelf["missing"], shelf["queries"], shelf["unanswerable"]) == (
        3,
        0,
        16,
        0,
    )
    queries = made.data.queries("test")
    right, shares = [], []
    for (_, query), hits in zip(
        queries.iterrows(), opened.search(queries["path"].tolist(), 10), strict=True
    ):
        table = hits.to_pandas()
        equal = table[["label", "shelf"]] == query[["label", "shelf"]]
        right.append(equal["shelf"].mean())
        shares.append((equal.mean(axis=1) / np.log2(table["rank"] + 1)).sum())
    assert shelf["metrics"]["precision_at_10"]["trained"]["value"] == pytest.approx(np.mean(right))
    # 12 items a label, 4 of each shelf: 4 match in both, 8 in the label alone, 12 in the shelf
    # alone.
    counts = made.data.gallery("test").groupby(["label", "shelf"]).size().unstack()
    best = 1 / np.log2(np.arange(2, 12))
    ideal = [
        best[: counts.at[query.label, query.shelf]].sum() / 2 + best.sum() / 2
        for query in queries.itertuples()
    ]
    assert graded["ndcg_at_10"]["trained"]["value"] == pytest.approx(
        np.mean(np.array(shares) / ideal), abs=1e-6
    )
    assert graded["attributes"] == ["label", "shelf"]
    for metric in (*shelf["metrics"].values(), graded["ndcg_at_10"]):
        assert set(metric) == (
            {"trained", "untrained", "chance"} if baseline else {"trained", "chance"}
        )


def asked(made: Run) -> pd.DataFrame:
    return pd.read_parquet(made.bundle / "queries.parquet")


def test_each_query_has_its_values_and_its_best_hits(run):
    table, opened = asked(run), open_bundle(run.bundle)
    queries = run.data.queries("test")
    assert table[["id", "label"]].equals(queries[["id", "label"]].reset_index(drop=True))
    photos_root = Path(run.json("manifest.json")["photos_root"])
    paths = [str(photos_root / path) for path in table["path"]]
    assert paths == queries["path"].tolist()
    assert {name: table[name].mean() for name in run.values("trained")} == pytest.approx(
        run.values("trained")
    )
    labels = opened.items["label"].to_numpy()
    for query, hits in zip(table.itertuples(), opened.search(paths, 10), strict=True):
        assert [opened.items["id"][int(hit)].as_py() for hit in query.hits] == hits[
            "id"
        ].to_pylist()
        right = labels[query.hits] == query.label
        assert (query.precision_at_1, query.precision_at_10) == (
            right[0],
            pytest.approx(right.mean()),
        )


def test_no_query_is_among_its_own_hits(colours, tmp_path):
    split = StratifiedSplit(0.6, 0.2, 0.2)
    split.gallery = "self"
    made = Run(colours, tmp_path, epochs=1, split=split)
    items = open_bundle(made.bundle).items["id"].to_numpy()
    for query in asked(made).itertuples():
        assert len(query.hits) == 10
        assert query.id not in items[query.hits]


class SlowValidation(Callback):
    def on_validation_end(self, trainer, module) -> None:
        time.sleep(0.2)


def test_the_manifest_says_what_the_run_cost(colours, tmp_path, monkeypatch):
    monkeypatch.setattr(BuildIndex, "on_validation_end", SlowValidation.on_validation_end)
    made = Run(colours, tmp_path, epochs=1, model={"backbone": {"frozen": True}})
    manifest = made.json("manifest.json")
    cost, backbone = manifest["cost"], made.module.backbone
    assert cost == made.json("report.json")["cost"]
    assert cost["parameters"] == sum(weight.numel() for weight in backbone.parameters())
    assert cost["trained_parameters"] == sum(
        weight.numel() for weight in backbone.head.parameters()
    )
    assert cost["bytes_per_vector"] == manifest["index"]["bytes"] / 48
    assert 0.2 < cost["epoch_s"] < 20
    assert 1 < cost["embed_photos_per_s"] < 1e6


def test_an_epoch_that_was_cut_short_does_not_count(colours, tmp_path):
    callback = BuildIndex()
    best = ModelCheckpoint(tmp_path / "checkpoints", "best", monitor="val/loss")
    run = trainer(tmp_path, 5, max_steps=4, callbacks=[best, callback])  # an epoch has 3
    run.fit(learner(), data_of(colours))
    assert run.global_step == 4
    assert len(callback._epoch_seconds) == 1


def test_unseen_labels_are_indexed_among_themselves(colours, tmp_path):
    made = Run(
        colours, tmp_path, epochs=1, split=LabelDisjointSplit(0.5, 0.5, 0), classes_per_batch=2
    )
    opened = open_bundle(made.bundle)
    assert set(opened.items["split"].to_pylist()) == {"val"}
    assert made.json("manifest.json")["protocol"]["queries"] == len(opened.items) == 40


def test_without_a_test_part_val_is_measured(colours, tmp_path):
    made = Run(colours, tmp_path, epochs=1, split=StratifiedSplit(0.6, 0.4, 0))
    protocol = made.json("manifest.json")["protocol"]
    assert (protocol["queries"], protocol["gallery"]) == (32, 48)


@pytest.mark.parametrize(
    "arguments",
    [{"enable_checkpointing": False, "callbacks": [BuildIndex()]}, {"fast_dev_run": True}],
)
def test_without_a_checkpoint_there_is_no_bundle(colours, tmp_path, arguments):
    run = trainer(tmp_path / "run", 1, **{"callbacks": [BuildIndex()], **arguments})
    if "enable_checkpointing" in arguments:
        assert run.checkpoint_callback is None
    run.fit(learner(), data_of(colours))
    assert not list(tmp_path.rglob("bundle"))


def test_the_bundles_own_embeddings_are_those_in_the_index(run):
    opened = open_bundle(run.bundle)
    paths = opened.items["path"].to_pylist()
    scores, positions = opened.index.search(opened.embed(paths), 1)
    assert np.allclose(scores[:, 0], 1, atol=1e-5)
    assert pd.Series(positions[:, 0]).between(0, 47).all()


def searched(opened, photos: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Scores of each photo's ten best hits, and whether they have its label."""
    found = opened.search(photos["path"].tolist(), 10)
    scores = np.stack([hits["score"].to_numpy() for hits in found])
    return scores, np.stack(
        [
            hits["label"].to_numpy() == label
            for hits, label in zip(found, photos["label"], strict=True)
        ]
    )


def test_a_random_split_would_have_claimed_as_much_without_copies_and_more_with_them(run):
    found = run.json("report.json")["leakage"]
    hashes = run.data.content_hashes
    copies = hashes.duplicated(keep=False)[run.data.queries("test").index]
    assert found["queries_with_copies"] == copies.sum()
    assert found["queries_with_copies_in_gallery"] == 0
    clean, naive = found["clean_precision_at_1"], found["naive_precision_at_1"]
    assert clean == pytest.approx({side: run.values(side)["precision_at_1"] for side in clean})
    assert all(naive[side] >= clean[side] for side in clean)


def test_scores_are_calibrated_on_val_photos_and_measured_on_test_photos(run):
    opened = open_bundle(run.bundle)
    kept = calibration.read(run.bundle, opened.manifest)
    expected = calibration.fit(*searched(opened, run.data.part("val")), source="val photos")
    assert kept.describe() | {"threshold": 0, "promise": ""} == expected.describe() | {
        "threshold": 0,
        "promise": "",
    }
    assert kept.threshold == pytest.approx(expected.threshold, abs=1e-6)
    scores, right = searched(opened, run.data.part("test"))
    assert kept.probability(scores) == pytest.approx(expected.probability(scores), abs=1e-3)
    report = run.json("report.json")["calibration"]
    tested = report.pop("measured")
    assert report == kept.describe()
    assert (tested["queries"], tested["hits"], tested["right"]) == (16, 160, right[:, 0].sum())
    assert "## Calibration" in (run.bundle / "report.md").read_text()


@pytest.mark.parametrize(
    ("parts", "gallery"), [((0.6, 0.4, 0), "train"), ((0.6, 0.2, 0.2), "self")]
)
def test_where_val_is_measured_or_searches_itself_half_of_the_test_photos_calibrate(
    colours, tmp_path, parts, gallery
):
    split = StratifiedSplit(*parts)
    split.gallery = gallery
    made = Run(colours, tmp_path, epochs=1, split=split, classes_per_batch=2)
    found, queries = made.json("report.json")["calibration"], len(made.data.queries("test"))
    assert found["source"] == "half of the test photos"
    assert found["queries"] == found["measured"]["queries"] == queries / 2


def test_halves_are_drawn_and_keep_those_of_a_key_together():
    keys = np.random.default_rng(0).integers(50, size=200)
    chosen = half(keys, 0)
    assert all(len({*chosen[keys == key]}) == 1 for key in keys)
    assert len({*keys[chosen]}) == 25  # of 49
    assert not np.array_equal(chosen, half(keys, 1))


def test_the_error_rate_is_the_configs(colours, tmp_path):
    made = Run(colours, tmp_path, epochs=1, callback=BuildIndex(error_rate=0.25))
    assert calibration.read(made.bundle, made.json("manifest.json")).error_rate == 0.25
    with pytest.raises(ValueError, match="error_rate is 1"):
        BuildIndex(error_rate=1)


def test_the_report_is_in_the_bundle_with_the_epochs_curves(run):
    page = (run.bundle / "report.html").read_text()
    assert len(page) > 1_000_000
    assert "could not be drawn" not in page
    assert run.json("manifest.json")["fingerprint"] in page
    assert open_bundle(run.bundle).manifest["sha256"]["report.html"]
    training = run.json("report.json")["training"]
    assert training["chosen"] == run.json("report.json")["model"]["epoch"]
    assert [row["epoch"] for row in training["epochs"]] == [0, 1, 2]
    for row in training["epochs"]:
        assert {"train/loss", "val/loss", "val/map_at_r"} <= set(row)
    best = max(training["epochs"], key=lambda row: row["val/loss"])
    assert best["epoch"] == training["chosen"]


def test_the_report_says_what_the_data_was(run):
    data = run.json("report.json")["data"]
    assert (
        data["copies"]
        == run.data.items["path"].map(lambda path: Path(path).read_bytes()).duplicated().sum()
    )
    for row in data["labels"]:
        own = run.data.items[run.data.items["label"] == row["label"]]
        assert row["all"] == len(own) == sum(row[part] for part in ("train", "val", "test"))
        assert row["train"] == (own["split"] == "train").sum()


def test_a_report_that_can_not_be_drawn_costs_no_bundle(
    drawing, colours, tmp_path, monkeypatch, caplog
):
    def fails(*_):
        raise RuntimeError("no room")

    monkeypatch.setattr("vsearch.reports.html.report.report_html", fails)
    made = Run(colours, tmp_path, epochs=1)
    assert not (made.bundle / "report.html").exists()
    assert open_bundle(made.bundle)
    assert "no room" in caplog.text


def test_a_resumed_fit_has_the_curves_of_before(colours, tmp_path):
    first = Run(colours, tmp_path / "first", epochs=2)
    last = ModelCheckpoint(tmp_path / "again" / "checkpoints", "last")
    again = trainer(tmp_path / "again", 3, callbacks=[last, BuildIndex()])
    checkpoint = first.folder / "checkpoints" / "last.ckpt"
    again.fit(learner(), data_of(colours), ckpt_path=str(checkpoint), weights_only=True)
    epochs = json.loads((tmp_path / "again" / "bundle" / "report.json").read_text())["training"][
        "epochs"
    ]
    assert [row["epoch"] for row in epochs] == [0, 1, 2]
    before = first.json("report.json")["training"]["epochs"]
    assert epochs[0] == before[0]
    assert epochs[1]["val/loss"] == before[1]["val/loss"]


def test_a_hits_score_is_in_the_table_of_queries(run):
    table = pd.read_parquet(run.bundle / "queries.parquet")
    opened = open_bundle(run.bundle)
    first = opened.search([run.data.queries("test")["path"].iloc[0]], 5)[0]
    assert table["scores"][0][:5] == pytest.approx(first["score"].to_numpy(), abs=1e-4)
    assert all(len(row.hits) == len(row.scores) for row in table.itertuples())


@pytest.fixture
def exporting(monkeypatch):
    """Fits export their network, as they do outside of tests."""
    monkeypatch.setattr("callbacks.build_index.export", export)


@pytest.mark.parametrize("adaptation", [None, LDA()])
def test_the_network_is_exported_and_finds_the_same(adaptation, exporting, colours, tmp_path):
    run = Run(colours, tmp_path, epochs=1, callback=BuildIndex(adaptation=adaptation))
    exported = open_bundle(run.bundle)
    pytorch = open_bundle(run.bundle, "torch")
    photos = run.data.queries("test")["path"].tolist()
    assert exported.runtime.says == "onnx float32"
    assert np.allclose(exported.embed(photos), pytorch.embed(photos), atol=1e-5)
    assert np.allclose(exported.embed(photos[:1]), pytorch.embed(photos[:1]), atol=1e-5)


def test_a_network_that_can_not_be_exported_is_served_by_pytorch(
    exporting, colours, tmp_path, monkeypatch
):
    def cannot(*_: object, **__: object) -> None:
        raise RuntimeError("no ONNX for this operation")

    monkeypatch.setattr("torch.onnx.export", cannot)
    with pytest.warns(UserWarning, match=r"PyTorch will search and serve this bundle.*no ONNX for"):
        run = Run(colours, tmp_path, epochs=1)
    assert not [*(run.bundle / "exports").iterdir()]
    assert open_bundle(run.bundle).runtime.name == "torch"


def test_an_export_can_be_left_out(exporting, colours, tmp_path):
    run = Run(colours, tmp_path, epochs=1, callback=BuildIndex(export=False))
    assert not (run.bundle / "exports").exists()
