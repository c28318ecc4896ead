import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from planted import HUES, Catalog, picture

from vsearch.cli.main import main
from vsearch.data.io import atomic as files
from vsearch.evaluation.catalog_check.findings import KINDS, Limits


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = Catalog(tmp_path / "catalog", per_label=10)
    made.copy("red-3", "red-copy")
    made.copy("red-4", "red-conflict", "blue")
    made.add("bad", "red", b"no photo")
    return made


def ending(*words: object) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["data", "check", *map(str, words)])
    return ended.value.code


def refused(capsys: pytest.CaptureFixture, *words: object) -> str:
    assert ending(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_a_table_and_files(catalog, capsys, tmp_path):
    main(
        [
            "data",
            "check",
            str(catalog.csv()),
            "--json",
            f"{tmp_path}/a.json",
            "--html",
            f"{tmp_path}/a.html",
        ]
    )
    captured = capsys.readouterr()
    assert "red-4, red-conflict: 2 identical photos: blue, red" in captured.out
    assert f"Written: {tmp_path}/a.json" in captured.out
    assert "Looking at photos" not in captured.out  # progress goes to the other stream
    found = json.loads((tmp_path / "a.json").read_text())
    assert {name for name, kind in found["kinds"].items() if kind["findings"]} == {
        "broken",
        "conflict",
        "copies",
    }
    (conflict,) = (one for one in found["findings"] if one["kind"] == "conflict")
    assert [item["id"] for item in conflict["items"]] == ["red-4", "red-conflict"]
    assert [item["label"] for item in conflict["items"]] == ["red", "blue"]
    assert all(Path(item["path"]).is_file() for item in conflict["items"])
    assert (found["items"], found["labels"], found["readable"], found["schema"]) == (33, 3, 32, 1)
    assert found["limits"]["min_images"] == 10
    assert not found["kinds"]["leak"]["checked"]
    assert "red-conflict" in (tmp_path / "a.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json", "catalog"]


def test_json_alone_on_the_output_and_the_same_every_time(catalog, capsys):
    printed = []
    bundle = Catalog(catalog.folder / "other", per_label=4).bundle()
    for _ in range(2):
        main(["data", "check", str(catalog.csv()), "--json", "-", "--bundle", str(bundle)])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert json.loads(printed[0])["kinds"]["conflict"]["findings"] == 1


def test_the_exit_status_is_for_ci(catalog, capsys):
    table = catalog.csv()
    main(["data", "check", str(table), "--fail-on", "leak,few"])
    assert ending(table, "--fail-on", "leak,conflict,broken") == 1
    assert "found conflict, broken" in capsys.readouterr().err
    assert ending(table, "--fail-on", "all") == 1


def test_limits_are_taken(catalog, capsys):
    catalog.add("near", "red", picture(3, HUES["red"]).resize((95, 96)))
    words = (
        "--min-side",
        "97",
        "--min-images",
        "30",
        "--max-aspect",
        "1",
        "--near",
        "0",
        "--min-spread",
        "127",
    )
    main(["data", "check", str(catalog.csv()), "--json", "-", *words])
    kinds = json.loads(capsys.readouterr().out)["kinds"]
    assert {
        name: kind["findings"]
        for name, kind in kinds.items()
        if name in ("tiny", "few", "odd-aspect", "blank")
    } == {
        "tiny": 33,
        "few": 3,
        "odd-aspect": 1,
        "blank": 33,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fail-on", "leek"], "'leek' isn't a kind"),
        (["--min-side", "-1"], "not a whole number"),
        (["--score", "nan"], "not a number"),
        (["--near", "1.5"], "not a whole number"),
        (["--json"], "expected one argument"),
        (["--html", "nowhere/a.html"], "nowhere isn't a folder"),
        (["--json", "."], "is a folder"),
        (["--split", "nowhere.csv"], "No split file nowhere.csv"),
        (["--bundle", "nowhere"], "nowhere"),
    ],
)
def test_what_cant_be_done_is_told(catalog, capsys, words, said):
    assert said in refused(capsys, catalog.csv(), *words)


def test_no_catalog(tmp_path, capsys):
    assert "no .jpg" in refused(capsys, tmp_path)
    (tmp_path / "own.yaml").write_text("model: {}")
    assert "data.catalog" in refused(capsys, tmp_path / "own.yaml")
    assert "no such file" in refused(capsys, tmp_path / "gone.csv")


def test_all_broken_and_a_single_photo(tmp_path, capsys):
    broken = Catalog(tmp_path / "broken", per_label=0)
    broken.add("a", "red", b"no photo")
    broken.add("b", "red", b"no photo")
    main(["data", "check", str(broken.csv())])
    assert "None of the photos can be read." in capsys.readouterr().out
    one = Catalog(tmp_path / "one", per_label=0)
    one.add("a", "red", picture(0, HUES["red"]))
    main(["data", "check", str(one.csv()), "--html", f"{tmp_path}/a.html"])
    assert "'red' has 1, but needs 10" in capsys.readouterr().out


def test_a_full_disk_leaves_the_old_file(catalog, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.json").write_text("old")

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "sync", full)
    assert "No space left" in refused(capsys, catalog.csv(), "--json", tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "catalog"]


def test_ctrl_c_leaves_nothing(catalog, tmp_path, monkeypatch, capsys):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vsearch.evaluation.catalog_check.check.alike_by_hash", stop)
    assert ending(catalog.csv(), "--json", tmp_path / "a.json") == 130
    assert "stopped" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["catalog"]


def test_the_manual_has_every_kind_and_default():
    text = (Path(__file__).parents[3] / "docs" / "check-your-data.md").read_text()
    assert not [kind for kind in KINDS if f"`{kind}`" not in text]
    flags = [f"--{field.name.replace('_', '-')} {field.default:g}`" for field in fields(Limits)]
    assert not [flag for flag in flags if flag not in text]


def test_other_commands_stay_quick_to_start():
    """The command's own modules are imported when it runs, not when the parser is made."""
    code = (
        "import sys, vsearch.cli.commands.data; "
        "print(*{'torch', 'pandas', 'faiss', 'jinja2'} & {*sys.modules})"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "\n"
    )
