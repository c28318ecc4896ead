from pathlib import Path

import vsearch

CONFIGS = "configs"


def shipped_configs() -> Path:
    """Return the configs that came with vsearch: in its wheel, or beside it in a clone."""
    package = Path(vsearch.__file__).parent
    in_wheel = package / CONFIGS
    return in_wheel if in_wheel.is_dir() else package.with_name(CONFIGS)
