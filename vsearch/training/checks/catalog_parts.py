import pandas as pd

from vsearch.data.splits import SplitError


def require_at_least(least: int, **settings: int) -> None:
    """Refuse settings of the datamodule that are too small."""
    for name, value in settings.items():
        if value < least:
            raise SplitError(f"`data.{name}` is {value}: set it to {least} or more.")


def check_pairs(name: str, items: pd.DataFrame) -> None:
    """Refuse a part, `train` or `val`, in which no label has two photos."""
    if not items["label_code"].duplicated().any():
        raise SplitError(f"No label has 2 photos in the {name} part: enlarge it, or add photos.")


def check_classes(train: pd.DataFrame, classes_per_batch: int, world_size: int) -> None:
    """Refuse more classes in a batch of all devices than the train part has."""
    classes = train["label_code"].nunique()
    if classes_per_batch * world_size <= classes:
        return
    devices = f", on each of {world_size} devices" if world_size > 1 else ""
    advice = "train on fewer devices"
    if classes >= 2 * world_size:
        advice = f"set it to {classes // world_size} or less"
    raise SplitError(
        f"`data.classes_per_batch` is {classes_per_batch}{devices}, but the train part has "
        f"{classes} classes: {advice}."
    )


def check_answers(queries: pd.DataFrame, gallery: pd.DataFrame) -> None:
    """Refuse test queries of which none has its label in the gallery."""
    if not queries["label_code"].isin(gallery["label_code"]).any():
        raise SplitError(
            "No test query's label is in the gallery that it searches. If no label is in two "
            "parts, set `--data.split.init_args.gallery self`."
        )
