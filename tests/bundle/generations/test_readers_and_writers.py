import threading
from pathlib import Path

import numpy as np
import pytest
from kill_server import fold_now, optimize
from small import content, fitted, put_in, take_out, unit

from vsearch.bundle.generations.live import open_live
from vsearch.bundle.generations.rebuild import rebuild
from vsearch.bundle.generations.writer_lock import writing
from vsearch.errors import BundleError
from vsearch.indexes.faiss import FaissIndex


@pytest.fixture
def made(tmp_path) -> Path:
    return fitted(tmp_path / "bundle")


def test_a_second_writer_is_told(made):
    with writing(made):
        for change in (
            lambda: put_in(made, 40, 1),
            lambda: take_out(made, "p0"),
            lambda: optimize(made),
        ):
            with pytest.raises(BundleError, match=f"another command is changing {made}"):
                change()
        assert len(open_live(made).items) == 40  # readers need no lock
    put_in(made, 40, 1)
    assert len(open_live(made).items) == 41


def test_a_reader_keeps_what_it_opened_while_ten_indexes_are_swapped(made):
    put_in(made, 40, 2)
    reader, asked = open_live(made), unit(20, 9)
    before, held = reader.index.search(asked, 5), content(reader)
    for number in range(10):
        take_out(made, f"p{number}")
        with writing(made):
            rebuild(open_live(made), FaissIndex(("HNSW8", "SQ8", "Flat")[number % 3]), "swap")
        assert all(
            np.array_equal(a, b) for a, b in zip(before, reader.index.search(asked, 5), strict=True)
        )
        assert content(reader) == held
        now = open_live(made)
        assert (len(now.items), now.state.generation) == (41 - number, number + 1)


def test_readers_that_open_while_writers_write_find_a_whole_bundle(made):
    ended, errors, opened = threading.Event(), [], []

    def read() -> None:
        while not ended.is_set():
            try:
                live = open_live(made)
                assert len(live.items) == len(live.index) == 41
                opened.append(live.state.generation)
            except Exception as error:
                errors.append(error)
                return

    put_in(made, 40, 1)
    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(12):
        put_in(made, 30, 3, seed=turn)  # replaces
        (optimize, fold_now)[turn % 2](made)
    ended.set()
    reader.join()
    assert not errors
    assert len(set(opened)) > 3
