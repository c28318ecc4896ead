import pytest

from vsearch.cli.main import main


def refusal(capsys: pytest.CaptureFixture, *words: object, status: int = 2) -> str:
    """What a command says as it ends with this status."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == status
    said = capsys.readouterr().err
    start = f"vsearch {words[0]}: "
    assert start in said
    return said[said.rindex(start) + len(start) :].removesuffix("\n")
