from vsearch.data.io.atomic import replace_file


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "study.md"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
