import pandas as pd
from lightning.pytorch.utilities import rank_zero_warn

from vsearch.data.splits import Split, SplitError, StratifiedSplit


def require_at_least(least: int, **settings: int) -> None:
    """Refuse settings of the datamodule that are too small."""
    for name, value in settings.items():
        if value < least:
            raise SplitError(f"`data.{name}` is {value}: set it to {least} or more.")


def check_labels(items: pd.DataFrame) -> None:
    """Refuse a catalog with a single label."""
    labels = items["label"].unique()
    if len(labels) == 1:
        raise SplitError(
            f"All {len(items)} items have one label, {labels[0]!r}: there is nothing to learn. If "
            "folders are the labels, name the folder that holds these folders; for a table, name "
            "another column as the label."
        )


def check_pairs(name: str, items: pd.DataFrame, split: Split) -> None:
    """Refuse a part, `train` or `val`, if no label in its `items` has two photos."""
    part = items[items["split"] == name]
    if part["label_code"].duplicated().any():
        return
    advice = "Move photos of one label into it, or add photos."
    if isinstance(split, StratifiedSplit):
        most = items["label_code"].value_counts().iloc[0]
        advice = f"A StratifiedSplit divides each label, and none has more than {most} photos. "
        advice += (
            "Keep labels whole with `--data.split vsearch.data.splits.LabelDisjointSplit`, or add "
            "photos."
        )
    raise SplitError(f"No label has 2 photos in the {name} part. {advice}")


def classes_that_fit(train: pd.DataFrame, classes_per_batch: int, world_size: int) -> int:
    """Return how many classes a device's batch can have: the setting, or, with a warning, the
    device's share of the train part's classes.
    """
    classes = train["label_code"].nunique()
    share = classes // world_size
    if classes_per_batch <= share:
        return classes_per_batch
    devices = f" for {world_size} devices" if world_size > 1 else ""
    if share < 2:
        raise SplitError(
            f"The train part has {classes} classes{devices}, but each needs two: add labels, or "
            "train on fewer devices."
        )
    rank_zero_warn(
        f"The train part has {classes} classes{devices}: batches have {share}, not the "
        f"{classes_per_batch} of `data.classes_per_batch`."
    )
    return share


def check_answers(queries: pd.DataFrame, gallery: pd.DataFrame) -> None:
    """Refuse test queries if the gallery has none of their labels."""
    if not queries["label_code"].isin(gallery["label_code"]).any():
        raise SplitError(
            "No test query has its label in the gallery that it searches. If no label is in two "
            "parts, set `--data.split.init_args.gallery self`."
        )
