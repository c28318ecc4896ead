import torch

from vsearch.models.processor import cpu_has_bfloat16


def quickest(accelerator: str) -> str:
    """Return the precision that trains quickest: bfloat16 autocast if the hardware has it.

    Precision and accelerator (`cpu`, `gpu`, `cuda`, `auto`, ...) have Lightning's names.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = (
            accelerator in ("auto", "cpu")
            and not torch.backends.mps.is_available()
            and cpu_has_bfloat16()
        )
    return "bf16-mixed" if has else "32-true"
