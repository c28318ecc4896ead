import contextlib
import io
import re
from pathlib import Path

from small_service import encoded, picture

SERVING = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()


def test_the_examples_run(url, tmp_path, monkeypatch):
    (tmp_path / "photo.jpg").write_bytes(encoded(picture(3)))
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", SERVING, re.S)).replace("http://127.0.0.1:8000", url)
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "docs/serving.md", "exec"), names)
    assert printed.getvalue().startswith("1 p3 l0 100.0 {'price': 3.0, 'colour': 'blue'}\n")
    assert "415 This is no photo" in printed.getvalue()
    assert names["picture"].startswith(b"\xff\xd8")
    assert [reply.hits[0].id for reply in names["replies"]] == ["p3"] * 8
