import pytest

from vsearch.training.checks.config_errors import parse_error
from vsearch.training.checks.config_files import unreadable


@pytest.fixture
def good(tmp_path) -> str:
    (tmp_path / "good.yaml").write_text("model: {}")
    return str(tmp_path / "good.yaml")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("model:\n  loss: ]\n", ", line 2", "not valid YAML: "),
        ("a: \x00", "", "not valid YAML: "),
        ("", "", "expected settings (`key: value`), found nothing"),
        ("- 1\n", "", "expected settings (`key: value`), found [1]"),
    ],
)
def test_an_unreadable_file_is_named(text, line, reason, good, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    for words in (["-c", str(bad)], ["--config", str(bad)], [f"--config={bad}"]):
        told = str(unreadable(["fit", "-c", good, *words]))
        assert told.startswith(f"{bad}{line}: {reason}")
    message = 'Problems parsing config: while parsing\n  in "<unicode string>", line 2'
    assert str(parse_error(message, ("fit", "-c", str(bad)), [])).startswith(
        f"{bad}{line}: {reason}"
    )


def test_readable_files_and_settings_in_the_command_line_itself_are_not_to_blame(good):
    assert unreadable(["fit", "--config", good, "--config", "{model: {loss: ["]) is None
    message = "Problems parsing config: while\n parsing"
    assert (
        str(parse_error(message, ("-c", good), []))
        == "command line: Problems parsing config: while parsing"
    )
