import json
import re
from pathlib import Path

import pytest
from drawn import drawn
from project import Project

from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    with drawn():
        return Project(tmp_path_factory.mktemp("project")).run("fit")


def refused(capsys, *words: str | Path) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["report", *map(str, words)])
    assert ended.value.code == 2
    return capsys.readouterr().err


def said(page: str) -> str:
    """A report without its charts: the index gives vectors back with other last digits."""
    return re.sub(
        r'<script type="application/json" id="figures">.*?</script>', "", page, flags=re.DOTALL
    )


def test_a_report_is_written_again_and_the_bundle_stays(run, tmp_path, capsys):
    bundle = run / "bundle"
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    main(["report", str(run)])
    assert "report.html (" in capsys.readouterr().out
    page = (run / "report.html").read_text()
    assert said(page) == said(before["report.html"].decode())
    assert "seed_everything" in page
    assert "could not be drawn" not in page
    main(["report", str(bundle), "--out", str(tmp_path / "new" / "page.html")])
    assert (tmp_path / "new" / "page.html").read_text() == page
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_photos_that_were_moved_are_found_in_their_new_folder(run, tmp_path):
    old = Path(open_bundle(run / "bundle").manifest["photos_root"])
    new = old.rename(tmp_path / "moved")
    page = tmp_path / "page.html"
    try:
        main(["report", str(run), "--out", str(page)])
        without = page.read_text()
        main(["report", str(run), "--out", str(page), "--photos-root", str(new)])
    finally:
        new.rename(old)
    assert said(page.read_text()) == said((run / "bundle" / "report.html").read_text())
    assert len(without) < len(page.read_text())


def test_items_that_were_added_later_are_not_in_it(run, tmp_path):
    items = open_bundle(run / "bundle").items.to_pandas()
    table = items.head(2).assign(id=["new-1", "new-2"])
    new = run.parents[1] / "new.csv"  # the photos lie there too
    table.drop(columns="split").to_csv(new, index=False)
    main(["index", "add", str(run / "bundle"), "--table", str(new)])
    main(["report", str(run), "--out", str(tmp_path / "page.html")])
    assert said((tmp_path / "page.html").read_text()) == said(
        (run / "bundle" / "report.html").read_text()
    )


def test_what_is_no_bundle_is_refused(run, tmp_path, capsys):
    assert "isn't a bundle" in refused(capsys, tmp_path)
    copy = tmp_path / "bundle"
    copy.mkdir()
    for path in (run / "bundle").iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    (copy / "report.json").write_text(json.dumps({}))
    assert "report.json" in refused(capsys, copy)
    assert not (tmp_path / "report.html").exists()
