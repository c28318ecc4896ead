from pathlib import Path

import pytest
import yaml
from refusals import refusal
from tiny import ColourCatalog

from vsearch.cli.first_fit import expanded
from vsearch.cli.main import main
from vsearch.cli.shipped_configs import shipped_configs

TINY = {
    "model": {"backbone": {"class_path": "tiny.TinyBackbone", "init_args": {"dim": 8}}},
    "data": {
        "num_workers": 0,
        "photos_per_class": 2,
        # the catalog that `fit` names wins
        "catalog": {"class_path": "vsearch.data.catalogs.demo.DemoCatalog"},
    },
    "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
}


def names(words: list[str]) -> list[str]:
    """Return the configs, by their names, that words stand for."""
    return [Path(word).stem for word in words if word.endswith(".yaml")]


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    drawn = tmp_path / "drawn"
    ColourCatalog(str(drawn)).prepare()
    for photo in drawn.iterdir():
        folder = tmp_path / "photos" / photo.name.partition("-")[0]
        folder.mkdir(parents=True, exist_ok=True)
        photo.rename(folder / photo.name)
    return tmp_path / "photos"


def test_a_folder_stands_for_the_recommended_recipe_on_it(photos):
    words = expanded(["fit", "photos", "--trainer.max_epochs", "3"])
    assert names(words) == ["triplet", "finetune", "recommended", "folder"]
    assert words[-6:-4] == ["--trainer.max_epochs", "3"]
    assert words[-2:] == ["--data.catalog.init_args.root", "photos"]
    assert words[2] == str(shipped_configs() / "triplet.yaml")


@pytest.mark.parametrize("table", ["items.csv", "s3://shop/items.tsv.gz", "items.PARQUET"])
def test_a_table_is_read_as_one_and_quick_comes_last(photos, table):
    words = expanded(["fit", table, "--quick"])
    assert names(words) == ["triplet", "finetune", "recommended", "table", "quick"]
    assert words[-2:] == ["--data.catalog.init_args.table", table]


def test_the_working_folders_own_configs_come_first(photos):
    own = photos.parent / "configs" / "triplet.yaml"
    own.parent.mkdir()
    own.write_text("")
    assert expanded(["fit", "photos"])[2] == "configs/triplet.yaml"


@pytest.mark.parametrize(
    "words", [["fit", "--config", "a.yaml"], ["fit"], ["test", "photos"], ["fit", "--help"]]
)
def test_other_words_stay_as_they_are(words):
    assert expanded(words) == words


def test_what_is_no_catalog_is_refused(photos, capsys):
    assert "nowhere isn't a catalog: name a folder" in refusal(capsys, "fit", "nowhere")


def test_quick_without_a_catalog_is_the_recipe_or_what_is_named():
    assert names(expanded(["fit", "--quick"])) == ["triplet", "quick"]
    assert names(expanded(["fit", "--config", "a.yaml", "--quick"])) == ["a", "quick"]


def test_help_has_them(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    help = capsys.readouterr().out
    assert help.startswith("usage: vsearch fit [PHOTOS] [--quick]")
    assert "PHOTOS is a folder with a folder of photos for each label" in help


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_four_labels_is_fitted_quickly(photos, capsys):
    overlay = photos.parent / "tiny.yaml"
    overlay.write_text(yaml.safe_dump(TINY))
    main(["fit", "photos", "--quick", "--config", str(overlay)])
    assert (photos.parent / "lightning_logs" / "version_0" / "bundle" / "report.json").exists()
    printed = capsys.readouterr().out
    assert "FolderCatalog: 80 items" in printed
    assert "its figures measure nothing" in printed
    assert "(untrained" not in printed


def test_init_writes_no_configs_to_a_file(photos, capsys):
    (photos.parent / "file").write_text("")
    assert "file is a file: name a FOLDER" in refusal(capsys, "init", "file")
