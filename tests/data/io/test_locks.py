import os
import time

from vsearch.data.io.locks import one_at_a_time


def test_processes_that_name_the_same_wait_for_one_another(tmp_path):
    notes = tmp_path / "notes"
    notes.touch()
    children = []
    for _ in range(3):
        if not (pid := os.fork()):
            with one_at_a_time(str(tmp_path)), notes.open("a", buffering=1) as file:
                file.write("in\n")
                time.sleep(0.05)
                file.write("out\n")
            os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    assert notes.read_text().split() == ["in", "out"] * 3


def test_others_are_not_waited_for(tmp_path):
    with one_at_a_time(f"{tmp_path} one"), one_at_a_time(f"{tmp_path} other"):
        pass
