from pathlib import Path

import pytest
import yaml
from PIL import Image
from planted import Catalog

from vsearch.cli.catalog_argument import read_source
from vsearch.data.catalogs.base import CatalogError
from vsearch.errors import ConfigError

TABLE = "vsearch.data.catalogs.table.TableCatalog"


def config(place: Path, **arguments: object) -> Path:
    entry = {"class_path": arguments.pop("class_path", TABLE), "init_args": arguments}
    (place / "own.yaml").write_text(
        yaml.safe_dump({"model": {"any": 1}, "data": {"catalog": entry, "axes": []}})
    )
    return place / "own.yaml"


def test_a_folder_is_read_whole(tmp_path):
    for place in ("hats/a.png", "caps/b.png", "caps/c.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / place)
    source = read_source(tmp_path)
    assert source.items["label"].tolist() == ["caps", "caps", "hats"]  # a label of one photo too
    assert (source.name, source.left_out) == (str(tmp_path), {})


def test_a_table_is_read_whole_missing_photos_and_repeated_ids_too(tmp_path):
    catalog = Catalog(tmp_path / "catalog", per_label=1)
    catalog.add("gone", "rare", None)
    catalog.add("gone", "rare", None)
    source = read_source(catalog.csv())
    assert source.items["id"].tolist() == ["red-0", "green-0", "blue-0", "gone", "gone"]
    assert source.left_out == {}


def test_a_configs_catalog_is_read_as_a_fit_reads_it(tmp_path):
    catalog = Catalog(tmp_path / "catalog", per_label=3)
    catalog.add("alone", "rare", Image.new("RGB", (4, 4)))
    catalog.add("gone", "red", None)
    table = str(catalog.csv())
    source = read_source(config(tmp_path, table=table, filters=["label != 'blue'"]))
    assert source.items["id"].tolist() == [
        "red-0",
        "red-1",
        "red-2",
        "green-0",
        "green-1",
        "green-2",
        "gone",
    ]
    assert source.left_out == {"filtered": 3, "small_label_items": 1}
    assert (
        read_source(config(tmp_path, table=table, missing_photos="drop")).left_out["missing_photos"]
        == 1
    )


def test_a_catalog_of_another_class_makes_its_photos(tmp_path):
    path = config(
        tmp_path, class_path="tiny.ColourCatalog", folder=str(tmp_path / "drawn"), per_label=2
    )
    assert len(read_source(path).items) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {}", "data.catalog: .*names no catalog"),
        ("a, b", "data.catalog: .*names no catalog"),
        ("data: [1]", "data.catalog: .*names no catalog"),
        ("data: {catalog: {class_path: nothing.Here}}", "data.catalog"),
        (
            "data: {catalog: {class_path: vsearch.data.splits.StratifiedSplit}}",
            "data.catalog.*Catalog",
        ),
        (f"data: {{catalog: {{class_path: {TABLE}}}}}", "table"),
        (f"data: {{catalog: {{class_path: {TABLE}, init_args: {{tabel: a}}}}}}", "tabel"),
        ("data: {", "it isn.t readable YAML"),
        ("\x00", "it isn.t readable YAML"),
    ],
)
def test_what_is_no_catalog_is_told(tmp_path, text, said):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_source(tmp_path / "own.yaml")


def test_what_has_no_items_is_told(tmp_path):
    (tmp_path / "items.csv").write_text("id,path,label\n")
    (tmp_path / "blank.csv").write_text("id,path,label\n1,a.png,\n")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    wrong = {
        "": "no .jpg",
        "gone.csv": "no such file",
        "gone.yaml": "gone.yaml",
        "items.csv": "no items",
    }
    wrong |= {"blank.csv": "have no label", "other.csv": r"no column\(s\)"}
    for name, said in wrong.items():
        with pytest.raises((CatalogError, ConfigError), match=said):
            read_source(tmp_path / name)


def test_a_folder_without_labels_folders_is_refused(tmp_path):
    (tmp_path / "catalog" / "photos").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "catalog" / "photos" / "a.png")
    with pytest.raises(
        CatalogError, match=r"all photos are in one folder, 'photos'.*labels' folders"
    ):
        read_source(tmp_path / "catalog")


def test_a_runs_folder_is_read_as_its_catalog(tmp_path):
    catalog, run = Catalog(tmp_path / "catalog", per_label=1), tmp_path / "run"
    (run / "bundle").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(run / "bundle" / "results.png")  # of the run, and no item
    config(run, table=str(catalog.csv()), min_images_per_label=1).rename(run / "config.yaml")
    assert read_source(run).items["id"].tolist() == ["red-0", "green-0", "blue-0"]
