import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_bundle import fitted, photo

from vsearch.bundle.bulk.on_ray import _blocks, _Embedding
from vsearch.bundle.bulk.plan import Network
from vsearch.bundle.new_items import embed_photos
from vsearch.bundle.opening import open_bundle
from vsearch.cli.catalog_argument import read_source
from vsearch.cli.main import main
from vsearch.data.embedding_parts import open_parts

HERE = Path(__file__).parent
LIMIT_S = 300


def namespace() -> list[str]:
    """The words before a command that give it a network with nothing but a loopback."""
    words = ["unshare", "-n"] if os.getuid() == 0 else ["unshare", "-rn"]
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("needs unshare and ip, of util-linux and iproute2")
    if subprocess.run([*words, "ip", "link", "set", "lo", "up"], capture_output=True).returncode:
        pytest.skip("this machine allows no network namespace")
    return words


@pytest.fixture
def catalog(tmp_path) -> Path:
    rows = []
    for number in range(30):
        path = photo(tmp_path / "photos", number)
        rows.append(
            {"id": f"p{number}", "path": str(path.relative_to(tmp_path)), "label": f"l{number % 3}"}
        )
    table = pd.DataFrame(rows).assign(x_1=0, y_1=0, x_2=9, y_2=9)
    table.loc[::2, ["x_1", "y_1", "x_2", "y_2"]] = np.nan
    for number in (3, *range(8, 16)):
        (tmp_path / "photos" / f"{number}.png").write_text("no photo")
    (tmp_path / "photos" / "20.png").unlink()
    table.to_csv(tmp_path / "items.csv", index=False)
    return tmp_path / "items.csv"


def contents(out: Path) -> tuple[pd.DataFrame, np.ndarray, list[int]]:
    rows, vectors = zip(*open_parts(out).whole().each(), strict=True)
    return pd.concat(rows, ignore_index=True), np.concatenate(vectors), [len(part) for part in rows]


@pytest.mark.skipif(
    not os.environ.get("VSEARCH_RAY"), reason="starts Ray, which takes long: set VSEARCH_RAY=1"
)
def test_ray_goes_on_with_parts_and_makes_the_same_as_lightning(catalog, tmp_path):
    pytest.importorskip("ray.data")
    before = namespace()
    bundle = fitted(tmp_path / "fit" / "bundle")
    words = [
        "embed",
        str(bundle),
        "--table",
        str(catalog),
        "--part-size",
        "8",
        "--batch-size",
        "3",
        "--out",
    ]
    main([*words, str(tmp_path / "lightning")])
    shutil.copytree(tmp_path / "lightning", tmp_path / "ray")
    kept = tmp_path / "ray" / "parts" / "000002.parquet"
    for number in (0, 1, 3):
        kept.with_name(f"00000{number}.parquet").unlink()
    stamp = kept.stat().st_mtime_ns
    settings = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)]),
    }
    command = [*before, sys.executable, str(HERE / "ray_run.py"), *words, str(tmp_path / "ray")]
    ended = subprocess.run(
        [*command, "--executor", "ray", "--actors", "1"],
        env=settings,
        timeout=LIMIT_S,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Embedded 13 photos; 9 can't be read" in ended.stdout
    (rows, vectors, sizes), (theirs, own, counts) = (
        contents(tmp_path / "lightning"),
        contents(tmp_path / "ray"),
    )
    pd.testing.assert_frame_equal(rows, theirs)
    assert sizes == counts == [7, 0, 7, 6]
    np.testing.assert_allclose(vectors, own, atol=1e-6)
    assert (tmp_path / "lightning" / "errors.csv").read_text() == (
        tmp_path / "ray" / "errors.csv"
    ).read_text()
    assert kept.stat().st_mtime_ns == stamp


def test_an_actor_embeds_a_block_as_search_would_and_survives_broken_photos(catalog, tmp_path):
    bundle = fitted(tmp_path / "fit" / "bundle")
    items = read_source(catalog).items
    blocks = _blocks(items.iloc[2:30], 8)
    assert [block["row"].to_pylist() for block in blocks] == [
        [*range(n, min(n + 8, 30))] for n in (2, 10, 18, 26)
    ]
    batch = {
        name: blocks[0][name].to_numpy(zero_copy_only=False) for name in blocks[0].column_names
    }
    made = _Embedding(str(bundle), Network("torch", "float32"))(batch)
    assert made["row"].tolist() == [*range(2, 10)]
    assert [bool(error) for error in made["error"]] == [
        number in (3, *range(8, 10)) for number in range(2, 10)
    ]
    good = items.iloc[[number for number in range(2, 10) if number not in (3, 8, 9)]]
    wanted = embed_photos(open_bundle(bundle).runtime, good).embeddings
    np.testing.assert_allclose(made["vector"][[0, 2, 3, 4, 5]], wanted, atol=1e-6)
    assert not made["vector"][[1, 6, 7]].any()
    alone = {name: column[1:2] for name, column in batch.items()}
    assert _Embedding(str(bundle), Network("torch", "float32"))(alone)["vector"].shape == (1, 8)
