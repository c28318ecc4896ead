import contextlib
import io
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from demo_service import write_demo_bundle
from small_service import listening

from vsearch.serving.api.search_routes import search_by_photo

DOCS = Path(__file__).parents[2] / "docs"
SERVING = (DOCS / "serving.md").read_text()
CURLS = re.findall(r"^curl .*", (DOCS / "service-settings.md").read_text() + SERVING, re.M)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A folder with a bundle like the demo's, and the photo that the docs search with."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo_bundle(folder / "bundle")
    (folder / "demo_catalog" / "photos").mkdir(parents=True)
    shutil.copy(folder / "photos" / "3.png", folder / "demo_catalog" / "photos" / "demo-00062.jpg")
    return folder


def test_the_python_examples_run(demo, monkeypatch):
    monkeypatch.chdir(demo)
    names: dict[str, object] = {}
    with listening(demo / "bundle") as url, contextlib.redirect_stdout(io.StringIO()) as printed:
        code = "\n".join(re.findall(r"```python\n(.*?)```", SERVING, re.S)).replace(
            "http://127.0.0.1:8000", url
        )
        exec(compile(code, "docs/serving.md", "exec"), names)
    assert printed.getvalue().startswith(
        "1 demo-00000 backpack 100.0 {'category': 'accessories', 'colour': 'blue'"
    )
    assert "415 This isn't a photo" in printed.getvalue()
    assert names["picture"].startswith(b"\xff\xd8")
    assert [reply.hits[0].id for reply in names["replies"]] == ["demo-00000"] * 8


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_curl_examples_find_something(demo, monkeypatch):
    monkeypatch.chdir(demo)
    shutil.copy(demo / "photos" / "3.png", "shoe.jpg")
    told = re.findall(r"`(curl .*?)`", search_by_photo.__doc__, re.DOTALL)
    assert len(CURLS) == 3
    assert len(told) == 1
    with listening(demo / "bundle") as url:
        for line in CURLS + told:
            words = shlex.split(line.replace("http://127.0.0.1:8000", url))
            done = subprocess.run(
                [*words, "--silent", "--fail-with-body"], capture_output=True, text=True
            )
            assert '"rank":1' in done.stdout, (line, done.stdout)
