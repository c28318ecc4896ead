import pandas as pd

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
            f"All {len(items)} items have one label, {labels[0]!r}: nothing is to be told apart. "
            "Where folders are the labels, name the folder that holds these folders; in a table, "
            "name another column as the label."
        )


def check_pairs(name: str, items: pd.DataFrame, split: Split) -> None:
    """Refuse a part, `train` or `val`, of `items` in which no label has two photos."""
    part = items[items["split"] == name]
    if part["label_code"].duplicated().any():
        return
    advice = "Move photos of one label into it, or add photos."
    if isinstance(split, StratifiedSplit):
        most = items["label_code"].value_counts().iloc[0]
        advice = f"A StratifiedSplit divides each label, and none has more than {most} photos. "
        advice += (
            "Keep labels whole by `--data.split vsearch.data.splits.LabelDisjointSplit`, or add "
            "photos."
        )
    raise SplitError(f"No label has 2 photos in the {name} part. {advice}")


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
