import os

import pytest
import torch

from vsearch.models import processor

X86 = "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t\t: fpu avx2 {}\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\nCPU part\t: 0xd40\n"


@pytest.fixture(autouse=True)
def asked_anew():
    processor.cpu_has_bfloat16.cache_clear()
    yield
    processor.cpu_has_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("text", "name"),
    [(X86, "amx_bf16"), (X86, "avx512_bf16"), (ARM, "bf16"), (ARM, "svebf16 bf16")],
)
def test_instructions_for_bfloat16_are_known_by_name(text, name, tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(text.format("avx512f amx_tile"))
    assert not processor.cpu_has_bfloat16()
    processor.cpu_has_bfloat16.cache_clear()
    (tmp_path / "cpuinfo").write_text(text.format(name))
    assert processor.cpu_has_bfloat16()


def test_a_system_that_does_not_tell_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    assert not processor.cpu_has_bfloat16()


def test_this_processor_has_what_pytorch_says():
    capabilities = getattr(torch.cpu, "get_capabilities", lambda: None)()
    if capabilities is None or not processor.CPUINFO.is_file():
        pytest.skip("nobody to ask")
    has = any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    assert processor.cpu_has_bfloat16() == has


def test_threads_are_one_a_core_unless_the_environment_says_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "SIBLINGS", str(tmp_path / "{}"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 5}, raising=False)
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2"]):
        (tmp_path / str(cpu)).write_text(siblings)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert processor.usual_threads() == 3  # of 5 nothing is known
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert processor.usual_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    assert processor.usual_threads() == 3
