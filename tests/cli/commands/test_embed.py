import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from object_store import store
from refusals import refusal
from small_bundle import fitted, photo

from vsearch.bundle.new_items import embed_photos
from vsearch.bundle.opening import open_bundle
from vsearch.cli.main import main
from vsearch.data.embedding_parts import open_parts, read
from vsearch.data.photos import open_photo, pixel_hash

SMALL = ("--part-size", "8", "--batch-size", "3")


@pytest.fixture
def made(tmp_path) -> Path:
    return fitted(tmp_path / "bundle")


def catalog(made: Path, n: int = 30, broken: tuple[int, ...] = (), name: str = "all.csv") -> Path:
    folder = made.parent / "photos"
    for number in range(n):
        photo(folder, number)
    for number in broken:
        (folder / f"{number}.png").write_text("no photo")
    rows = [
        {"id": f"p{number}", "path": f"photos/{number}.png", "label": f"l{number % 3}"}
        for number in range(n)
    ]
    pd.DataFrame(rows).to_csv(made.parent / name, index=False)
    return made.parent / name


def embed(capsys, made: Path, table: Path | str, *words: str) -> str:
    capsys.readouterr()
    main(
        [
            "embed",
            str(made),
            "--table",
            str(table),
            "--out",
            str(made.parent / "out"),
            *SMALL,
            *words,
        ]
    )
    return capsys.readouterr().out


def ending(capsys, *words: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        embed(capsys, *words)
    assert ended.value.code == 2
    return capsys.readouterr().err


def contents(made: Path) -> pd.DataFrame:
    rows = [
        part.assign(vector=[*vectors])
        for part, vectors in open_parts(made.parent / "out").whole().each()
    ]
    return pd.concat(rows, ignore_index=True)


def test_the_parts_have_what_search_would_embed(made, capsys):
    text = embed(capsys, made, catalog(made))
    assert "Embedded 30 photos; 0 can't be read." in text
    assert "All 4 parts are complete" in text
    found, live = contents(made), open_bundle(made)
    assert found["id"].tolist() == [f"p{number}" for number in range(30)]
    assert found["label"].tolist()[:4] == ["l0", "l1", "l2", "l0"]
    np.testing.assert_allclose(
        np.stack(found["vector"]), embed_photos(live.runtime, live.items).embeddings, atol=1e-6
    )
    assert found["content_hash"].tolist() == [
        pixel_hash(open_photo(path)) for path in live.items["path"].to_pylist()
    ]
    sizes = [len(part) for part, _ in open_parts(made.parent / "out").each()]
    assert sizes == [8, 8, 8, 6]


def test_broken_photos_are_listed_and_stop_nothing(made, capsys):
    table = catalog(made, broken=(3, *range(8, 16)))  # a whole part of them
    (made.parent / "photos" / "20.png").unlink()
    text = embed(capsys, made, table)
    assert "Embedded 20 photos; 10 can't be read." in text
    assert "unreadable photos: " in text
    errors = pd.read_csv(made.parent / "out" / "errors.csv")
    assert errors["id"].tolist() == [f"p{number}" for number in (3, *range(8, 16), 20)]
    assert errors["path"][0].endswith("photos/3.png")
    assert "not one of JPEG" in errors["error"][0]
    assert "no such file" in errors["error"].iloc[-1]
    assert sorted([*contents(made)["id"], *errors["id"]]) == sorted(
        f"p{number}" for number in range(30)
    )
    for number in (3, *range(8, 16), 20):
        photo(made.parent / "photos", number)
    assert "3 parts with broken photos will be made again." in embed(
        capsys, made, table, "--retry-errors"
    )
    assert len(contents(made)) == 30
    assert not (made.parent / "out" / "errors.csv").exists()


def test_a_share_retries_its_own_parts_alone(made, capsys):
    table = catalog(made, broken=(3, 20))  # of parts 0 and 2
    embed(capsys, made, table)
    parts = made.parent / "out" / "parts"
    before = {path.name: path.stat().st_mtime_ns for path in parts.iterdir()}
    assert "0 parts with broken photos will be made again." in embed(
        capsys, made, table, "--retry-errors", "--share", "1/2"
    )
    assert "1 parts with broken photos will be made again." in embed(
        capsys, made, table, "--retry-errors", "--share", "2/3"
    )
    after = {path.name: path.stat().st_mtime_ns for path in parts.iterdir()}
    assert [name for name in sorted(before) if before[name] != after[name]] == ["000002.parquet"]


def test_ctrl_c_says_how_to_go_on(made, capsys, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vsearch.training.distributed.embed_on_lightning.embed", interrupted)
    with pytest.raises(SystemExit) as ended:
        embed(capsys, made, catalog(made))
    assert ended.value.code == 130
    assert "Run the same command again to continue." in capsys.readouterr().err


def test_what_is_there_is_not_made_again(made, capsys):
    table, out = catalog(made), made.parent / "out"
    embed(capsys, made, table)
    before = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    (out / "parts" / "000002.parquet").unlink()
    (out / "parts" / ".making-other-1-000003.parquet").write_text("half")
    text = embed(capsys, made, table)
    assert "4 parts, 1 of them to make here" in text
    assert "Embedded 8 photos" in text
    after = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    assert {path for path in before if before[path] != after[path]} == {
        out / "parts" / "000002.parquet"
    }
    assert set(before) == set(after)
    assert "0 of them to make here" in embed(capsys, made, table)


def test_shares_make_each_photo_once(made, capsys):
    table = catalog(made, broken=(5,))
    text = embed(capsys, made, table, "--share", "1/3")
    assert "Embedded 8 photos" in text
    assert "3 of 4 parts are still missing: they are in other shares." in text
    with pytest.raises(SystemExit):  # incomplete: nothing may be built of it
        main(["index", "add", str(made), "--embeddings", str(made.parent / "out")])
    for share in ("0/3", "2/3"):
        text = embed(capsys, made, table, "--share", share)
    assert "All 4 parts are complete" in text
    assert sorted(contents(made)["id"]) == sorted(
        f"p{number}" for number in range(30) if number != 5
    )


def test_a_folder_of_something_else_is_refused(made, capsys, tmp_path):
    table, out = catalog(made), made.parent / "out"
    embed(capsys, made, table)
    other = fitted(tmp_path / "another" / "bundle", seed=1)
    assert "of another model: fingerprint" in ending(capsys, other, table, "--out", str(out))
    catalog(made, 29, name="fewer.csv")
    message = ending(capsys, made, made.parent / "fewer.csv")
    assert "began with another catalog" in message
    assert "Differences: items, id, path, label" in message
    assert "--part-size 8, not 9" in ending(capsys, made, table, "--part-size", "9")
    assert "began with --runtime torch, not onnx" in ending(
        capsys, made, table, "--runtime", "onnx"
    )
    message = ending(capsys, made, table, "--out", str(made.parent / "photos"))
    assert "holds something else" in message
    pd.read_csv(table).assign(id="same").to_csv(table, index=False)
    assert "share an id" in ending(capsys, made, table)
    (out / "manifest.json").write_text("{}")
    assert "isn't a manifest from `embed`" in ending(capsys, made, catalog(made))


def test_a_share_is_of_so_many(made, capsys):
    for text in ("4/4", "1", "-1/2"):
        with pytest.raises(SystemExit):
            embed(capsys, made, catalog(made, 1), f"--share={text}")
        assert "isn't a share" in capsys.readouterr().err


def test_index_add_takes_the_folder_or_a_part(made, capsys):
    embed(capsys, made, catalog(made, 40))
    out = str(made.parent / "out")
    main(["index", "add", str(made), "--embeddings", out, "--table", str(made.parent / "all.csv")])
    assert "Added 10 items, replaced 30" in capsys.readouterr().out
    items = open_bundle(made).items.to_pandas().set_index("id")
    assert items.loc["p35", "path"].endswith("photos/35.png")
    (hits,) = open_bundle(made).search([made.parent / "photos" / "39.png"], 1)
    assert hits["id"][0].as_py() == "p39"
    part = f"{out}/parts/000004.parquet"
    main(["index", "add", str(made), "--embeddings", part, "--fingerprint", str(made)])
    assert "Added 0 items, replaced 8" in capsys.readouterr().out


def test_index_add_refuses_a_folder_of_another_model(made, capsys, tmp_path):
    embed(capsys, made, catalog(made))
    other = fitted(tmp_path / "another" / "bundle", seed=1)
    said = refusal(capsys, "index", "add", other, "--embeddings", made.parent / "out")
    assert "of another model" in said


def test_a_catalog_in_a_bucket(made, capsys):
    table = catalog(made)
    with store() as client:
        client.upload_file(str(table), "shop", "items.csv")
        for path in (made.parent / "photos").iterdir():
            if path.name not in ("4.png", "9.png"):
                client.upload_file(str(path), "shop", f"photos/{path.name}")
        client.put_object(Bucket="shop", Key="photos/9.png", Body=b"no photo")
        embed(capsys, made, "s3://shop/items.csv")
    errors = pd.read_csv(made.parent / "out" / "errors.csv").set_index("id")
    assert errors.index.tolist() == ["p4", "p9"]
    assert "no such bucket or key" in errors.loc["p4", "error"]
    assert "not one of JPEG" in errors.loc["p9", "error"]
    live, found = open_bundle(made), contents(made)
    good = live.items.filter(~pc.field("id").isin(errors.index.tolist()))
    wanted = embed_photos(live.runtime, good).embeddings
    np.testing.assert_allclose(np.stack(found["vector"]), wanted, atol=1e-6)
    manifest = json.loads((made.parent / "out" / "manifest.json").read_text())
    assert manifest["catalog"]["source"] == "s3://shop/items.csv"


def test_a_folder_and_a_yaml(made, capsys, tmp_path):
    photo(tmp_path / "shop" / "boots", 50)
    photo(tmp_path / "shop" / "hats", 51)
    (tmp_path / "shop.yaml").write_text(
        "data:\n  catalog:\n    class_path: vsearch.data.catalogs.folder.FolderCatalog\n    "
        "init_args:\n"
        f"      root: {tmp_path / 'shop'}\n      min_images_per_label: 1\n"
    )
    for number, words in enumerate(
        (("--folder", tmp_path / "shop"), ("--catalog", tmp_path / "shop.yaml"))
    ):
        main(["embed", str(made), *map(str, words), "--out", str(tmp_path / f"out{number}")])
    for number in (0, 1):
        rows, _ = read(tmp_path / f"out{number}" / "parts" / "000000.parquet")
        assert rows["id"].tolist() == ["boots/50.png", "hats/51.png"]


class Killed(BaseException):
    """Ends the command as a kill does: nothing is cleared up."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", range(1, 6))
def test_a_kill_at_any_rename_loses_no_part_and_leaves_none_half_written(
    made, capsys, monkeypatch, nth, after
):
    """The renames: the manifest, then a part, or a file of errors and its part."""
    table, rename, count = catalog(made, 18, broken=(3, 17)), os.rename, 0

    def killing(*paths: object) -> None:
        nonlocal count
        count += 1
        if count == nth and not after:
            raise Killed
        rename(*paths)
        if count == nth:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killing)
        with pytest.raises(Killed):
            embed(capsys, made, table)
    there = {path.name for path in (made.parent / "out").glob("parts/0*")}
    for path in (made.parent / "out").glob("parts/0*"):
        read(path)
    text = embed(capsys, made, table)
    assert f"3 parts, {3 - len(there)} of them to make here" in text
    assert "All 3 parts are complete" in text
    assert sorted(contents(made)["id"]) == sorted(
        f"p{number}" for number in range(18) if number not in (3, 17)
    )
    assert pd.read_csv(made.parent / "out" / "errors.csv")["id"].tolist() == ["p3", "p17"]
    assert not [*(made.parent / "out").rglob(".*")]
