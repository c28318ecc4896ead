from pathlib import Path

import pytest
from refusals import refusal

from vsearch.cli.main import main
from vsearch.serving.api import server

FLAGS = ["--port", "8107", "--log-level=ERROR"]


@pytest.fixture
def served(monkeypatch):
    calls = []
    monkeypatch.setattr(server, "serve", lambda *given: calls.append(given))
    return calls


@pytest.mark.parametrize(
    "words",
    [
        ["BUNDLE", *FLAGS, "--settings", "F"],
        [*FLAGS, "BUNDLE", "--settings", "F"],
        ["--settings", "F", *FLAGS, "BUNDLE"],
        ["--port", "8107", "BUNDLE", "--settings=F", "--log-level=ERROR"],
    ],
)
def test_the_bundle_may_stand_anywhere_among_the_flags(served, words):
    main(["serve", *words])
    assert served == [(Path("BUNDLE"), FLAGS, Path("F"))]


def test_the_settings_may_name_the_bundle(served):
    main(["serve", "--settings", "F", *FLAGS])
    assert served == [(None, FLAGS, Path("F"))]


def test_two_bundles_are_refused(served, capsys):
    said = refusal(capsys, "serve", "a", "--port", "8107", "b")
    assert "name one BUNDLE, not a, b" in said
    assert not served


def test_a_flag_without_its_value_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["serve", str(tmp_path), "--port"])
    assert "--port: expected one argument" in capsys.readouterr().err
