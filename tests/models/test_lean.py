import subprocess
import sys

SCRIPT = """
import sys
import torch
import vsearch.models.backbones.torchvision
import torchvision
assert "torch._dynamo" not in sys.modules, "the compiler was imported"
boxes = [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
assert torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 2).shape == (1, 1, 2, 2)
from torchvision.ops.roi_align import is_compile_supported
supported = is_compile_supported("cpu")
import torch._dynamo.utils
assert supported == torch._dynamo.utils.is_compile_supported("cpu")
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2
"""


def test_torchvision_comes_without_the_compiler_and_the_compiler_can_still_be_had():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_torchvision_that_wants_more_of_the_compiler_is_imported_in_the_common_way(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("from torch._dynamo.utils import counters\n")
    script = (
        "from vsearch.models.lean import import_torchvision; import_torchvision(); import "
        "sys;assert 'torchvision' not in sys.modules and 'torch._dynamo' not in sys.modules;import "
        "torchvision; print(type(torchvision.counters).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.strip() == "defaultdict", done.stderr
