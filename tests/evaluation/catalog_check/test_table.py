import io
from pathlib import Path

import pytest
from adversarial.tables import ON_TERMINALS
from planted import Catalog
from rich.console import Console

from vsearch.cli.catalog_argument import read_source
from vsearch.evaluation.catalog_check.check import check
from vsearch.evaluation.catalog_check.findings import Limits
from vsearch.reports.catalog_check import report
from vsearch.reports.catalog_check_table import closing, example, show


def shown(catalog: Catalog, **options: Path) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(report(check(read_source(catalog.csv()), Limits(), **options)), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_kinds_counts_and_examples(tmp_path):
    catalog = Catalog(tmp_path / "catalog")
    catalog.copy("red-3", "red-conflict", "blue")
    text = shown(catalog)
    assert "43 items, 3 labels" in text
    assert "red-3, red-conflict: 2 identical photos: blue, red" in text
    assert "Nothing found: missing, broken, repeated-id, tiny" in text
    assert "--split lightning_logs" in text
    assert "--bundle lightning_logs" in text


def test_what_a_terminal_would_obey_is_written_out(tmp_path):
    catalog = Catalog(tmp_path / "catalog")
    catalog.copy("red-3", ON_TERMINALS, ON_TERMINALS)
    text = shown(catalog)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"[bold red]x[/] \x1b[2J" in text


def test_many_ids_are_cut():
    finding = {"items": [{"id": f"{number}"} for number in range(7)], "text": "7 copies"}
    assert example(finding) == "0, 1, 2, 3, and 3 more: 7 copies"


def test_next_commands_fit_what_was_found(tmp_path):
    catalog = Catalog(tmp_path / "a folder")
    catalog.copy("red-3", "red-copy")
    catalog.add("bad", "red", b"no photo")
    split = catalog.split(red_copy="test")
    lines = closing(report(check(read_source(catalog.csv()), Limits(), split=split)))
    text = "\n".join(lines)
    assert f"data check '{catalog.folder / 'items.csv'}' --html check.html" in text
    assert "StratifiedSplit" in text
    assert "--split" not in text


@pytest.mark.parametrize(
    ("catalog", "words"),
    [
        ("photos", "fit photos"),
        ("my items.CSV", "fit 'my items.CSV'"),
        ("own.yaml", "fit --config configs/triplet.yaml --config own.yaml"),
    ],
)
def test_a_fit_is_proposed_where_nothing_stops_it(tmp_path, catalog, words):
    made = Catalog(tmp_path / "catalog")
    found = {**report(check(read_source(made.csv()), Limits())), "catalog": catalog}
    assert closing(found)[-2:] == ["  train:", f"    python -m vsearch {words}"]
    found["kinds"]["missing"]["findings"] = 1
    assert not any(" fit " in line for line in closing(found))


def test_a_run_is_fitted_again_as_its_config_says(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    made = Catalog(tmp_path / "catalog")
    found = {**report(check(read_source(made.csv()), Limits())), "catalog": str(tmp_path)}
    assert closing(found)[-1].endswith(f"fit --config {tmp_path}/config.yaml")
