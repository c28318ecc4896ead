import importlib
import sys
from types import ModuleType
from typing import Any

DYNAMO = ("torch._dynamo", "torch._dynamo.utils")  # PyTorch's compiler


def import_torchvision() -> None:
    """Import torchvision without PyTorch's compiler, which takes longer than everything else that a
    search imports.

    torchvision 0.29 imports it for one function, that it calls when a detector is compiled. While
    torchvision is imported something else stands in for the compiler; whoever needs it later gets
    the real one.
    """
    if "torchvision" in sys.modules or DYNAMO[0] in sys.modules:
        return
    package, part = map(ModuleType, DYNAMO)
    package.__path__ = []
    package.utils = part  # type: ignore[attr-defined]
    part.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules.update(zip(DYNAMO, (package, part), strict=True))
    try:
        importlib.import_module("torchvision")
    except (
        ImportError
    ):  # another version wants more of it; imported in the common way, it gets that
        pass
    finally:
        for name in DYNAMO:
            del sys.modules[name]


def _is_compile_supported(*given: Any) -> Any:
    return importlib.import_module(DYNAMO[1]).is_compile_supported(*given)
