import pytest

from vsearch.cli.arguments import ids_in


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ids_are_read_as_excel_and_notepad_save_them(tmp_path, encoding, end):
    (tmp_path / "ids.txt").write_bytes(
        end.join(["007", "t\u00e4\u2028x", "", "NA"]).encode(encoding)
    )
    assert ids_in(tmp_path / "ids.txt") == ["007", "t\u00e4\u2028x", "NA"]
