import re
import sys

from PIL import Image

from benchmarks import decoding


def test_each_side_has_a_row_and_only_large_photos_are_decoded_otherwise(
    tmp_path, monkeypatch, capsys
):
    Image.new("RGB", (30, 40), "red").save(tmp_path / "a.jpg")
    monkeypatch.setattr(decoding, "SIDES", (40, 400))
    monkeypatch.setattr(
        sys, "argv", ["decoding", str(tmp_path), "--photos", "1", "--rounds", "1", "--size", "32"]
    )
    decoding.main()
    rows = re.findall(r"^\| (\d+) \|.*\| ([\d.]+) \|$", capsys.readouterr().out, re.M)
    assert [side for side, _ in rows] == ["40", "400"]
    assert float(rows[0][1]) == 0 < float(rows[1][1]) < 8
