from types import SimpleNamespace

import pytest
from conftest import TinyBackbone

from callbacks.run_summary import ShowRun
from vsearch.memory import expected_bytes


def shown(capsys, backbone: TinyBackbone, rank_zero: bool = True) -> str:
    trainer = SimpleNamespace(is_global_zero=rank_zero, datamodule=SimpleNamespace(p=4, k=2))
    ShowRun().on_fit_start(trainer, SimpleNamespace(backbone=backbone))
    return capsys.readouterr().out


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]


def test_blocks_their_shares_and_what_is_frozen(capsys):
    # stem: 8*3*9 + 8 + 2*8 = 240; head: 32*8 + 8 + 2*8 = 280
    assert rows(shown(capsys, TinyBackbone(frozen=True))) == [
        ["stem", "240", "46.2%", "frozen"],
        ["head", "280", "53.8%", "yes"],
        ["all", "520", "100.0%", "280 (53.8%)"],
    ]


def test_a_block_that_is_trained_in_part(capsys):
    backbone = TinyBackbone()
    backbone.head[2].requires_grad_(False)
    assert rows(shown(capsys, backbone)) == [
        ["stem", "240", "46.2%", "yes"],
        ["head", "280", "53.8%", "in part"],
        ["all", "520", "100.0%", "256 (49.2%)"],
    ]


@pytest.mark.parametrize("size", [16, 1024])
def test_origin_and_the_memory_of_one_batch(capsys, size):
    backbone = TinyBackbone(size=size)
    backbone.origin = "file mine.pth"
    needed = expected_bytes(backbone, 8) / 2**30
    assert f"Weights from: file mine.pth. Training expects about {needed:.1f} GiB of memory." in shown(capsys, backbone)
    assert (needed > 0.1) == (size == 1024)


def test_only_the_first_process_prints(capsys):
    assert shown(capsys, TinyBackbone(), rank_zero=False) == ""
