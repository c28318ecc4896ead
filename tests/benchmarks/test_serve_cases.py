import re
import sys

import pytest
from small_service import served_bundle

pytest.importorskip("schemathesis")
from benchmarks import serve_cases


def test_as_many_cases_are_sent_as_were_asked_for_and_photos_are_among_them(
    tmp_path, monkeypatch, capsys
):
    bundle = served_bundle(tmp_path / "bundle")
    monkeypatch.setattr(sys, "argv", ["serve_cases", str(bundle), "--cases", "120"])
    serve_cases.main()
    printed = capsys.readouterr().out
    (sent,) = re.findall(r"^(\d+) cases: .*\d+ x 200", printed, re.M)
    assert int(sent) >= 120
    ((given, answered),) = re.findall(
        r"^(\d+) with a photo that can be read, (\d+) of them answered", printed, re.M
    )
    assert int(given) >= int(answered) > 0


def test_what_one_can_not_make_is_made_by_the_others_or_missing():
    assert serve_cases.share(10, [lambda n: min(n, 2), lambda n: n]) == 0
    assert serve_cases.share(10, [lambda n: min(n, 2), lambda n: min(n, 1)]) == 7
