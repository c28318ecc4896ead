"""A fit whose config names a vector store."""

import re
from pathlib import Path

import pytest
import yaml
from indexes.index_makers import name

from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.indexes.vector_store import VectorStoreIndex

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Fit the recipe, made small, with an index overlay whose URL is another."""
    monkeypatch.chdir(tmp_path)
    catalog = {
        "class_path": "tiny.ColourCatalog",
        "init_args": {"folder": str(tmp_path / "c"), "per_label": 30},
    }

    def fit(overlay: str, url: str) -> Path:
        index = yaml.safe_load((CONFIGS / "index" / f"{overlay}.yaml").read_text())["index"]
        index["init_args"]["url"] = url
        smaller = {
            "model": {"backbone": {"class_path": "tiny.TinyBackbone"}},
            "data": {
                "classes_per_batch": 3,
                "photos_per_class": 2,
                "num_workers": 0,
                "axes": [],
                "catalog": catalog,
            },
            "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
            "index": index,
        }
        (tmp_path / "smaller.yaml").write_text(yaml.safe_dump(smaller))
        main(
            [
                "fit",
                "--config",
                str(CONFIGS / "triplet.yaml"),
                "--config",
                str(tmp_path / "smaller.yaml"),
            ]
        )
        return tmp_path / "lightning_logs" / "version_0" / "bundle"

    return fit


@pytest.mark.parametrize(
    ("overlay", "place"), [("pgvector", "postgres_url"), ("milvus", "lite_url")]
)
def test_a_fit_leaves_a_bundle_whose_vectors_are_in_the_store(
    run, overlay, place, request, tmp_path
):
    url = request.getfixturevalue(place).format(name())
    made = open_bundle(run(overlay, url))
    assert isinstance(made.index, VectorStoreIndex)
    assert len(made.index) == len(made.items) > 0
    photo = made.items["path"][3].as_py()
    assert made.search([photo], 1)[0]["score"][0].as_py() > 0.9999  # another may look the same
    assert made.manifest["index"]["recall_at_10"] > 0.9
    with pytest.raises(SystemExit):  # before it trains: the collection is another bundle's
        run(overlay, url)
    assert not (tmp_path / "lightning_logs" / "version_1" / "bundle").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql://me:s3cret@127.0.0.1:1/db/t",
            "PGPASSWORD",
        ),  # the run would keep a copy of it
        ("postgresql://127.0.0.1:1/db/t", "index: postgresql://127.0.0.1:1/db/t: .*running there"),
    ],
)
def test_what_can_not_be_written_to_is_told_before_training(run, tmp_path, capsys, url, told):
    with pytest.raises(SystemExit):
        run("pgvector", url)
    said = capsys.readouterr().err
    assert re.search(told, said)
    assert "Traceback" not in said
    kept = [path for path in (tmp_path / "lightning_logs").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"s3cret" in path.read_bytes() or path.suffix == ".ckpt"]
