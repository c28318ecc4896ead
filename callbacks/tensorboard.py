from collections.abc import Iterable

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from torchvision.transforms.v2.functional import to_pil_image

from vsearch.data.items import boxes
from vsearch.data.photos import open_photo
from vsearch.evaluation.run_report import RunReport
from vsearch.reports.frontier import frontier
from vsearch.reports.grid import CELL
from vsearch.reports.tables import markdown
from vsearch.training.datamodule import CatalogDataModule
from vsearch.training.dataset import Batch


def writers(loggers: Iterable[Logger]) -> list[SummaryWriter]:
    """Return the TensorBoard writers; none on ranks other than zero."""
    found = [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]
    return [writer for writer in found if isinstance(writer, SummaryWriter)]


def show_picture(loggers: Iterable[Logger], name: str, picture: Image.Image, step: int) -> None:
    """Show a picture in TensorBoard, if the run has it."""
    for writer in writers(loggers):
        writer.add_image(name, np.asarray(picture), step, dataformats="HWC")


def show_report(loggers: Iterable[Logger], report: RunReport, picture: Image.Image | None) -> None:
    """Show the test metrics, the report's tables and a picture of searches in TensorBoard."""
    candidates = report.index.frontier
    for writer in writers(loggers):
        for name, value in _test_metrics(report).items():
            writer.add_scalar(f"test/{name}", value)
        writer.add_text("report", markdown(report))
        if picture is not None:
            writer.add_image("test/results", np.asarray(picture), dataformats="HWC")
        if candidates:
            drawn = np.asarray(frontier(candidates, report.index.prefer))
            writer.add_image("test/frontier", drawn, dataformats="HWC")
        writer.flush()


def _test_metrics(report: RunReport) -> dict[str, float]:
    values = {}
    for name, found in report.metrics.trained.items():
        values[name] = found.micro.value
        values[f"{name}_macro"] = found.macro.value
    for column, axis in report.axes.items():
        for name, one in axis.metrics.items():
            values[f"axis/{column}/{name}"] = one.trained.value
    if report.graded is not None and report.graded.ndcg_at_10 is not None:
        values["graded/ndcg_at_10"] = report.graded.ndcg_at_10.trained.value
    return values


def batch_photos(batch: Batch, positions: list[int], data: CatalogDataModule) -> list[Image.Image]:
    """Return photos of a training batch as the network sees them; for maps, read their files."""
    inputs, _, rows = batch
    if inputs.dtype.is_floating_point:
        return [catalog_photo(data, int(rows[position])) for position in positions]
    return [to_pil_image(inputs[position].cpu()) for position in positions]


def catalog_photo(data: CatalogDataModule, row: int) -> Image.Image:
    """Return the photo of a catalog row, if possible at least as large as a cell of the grid."""
    item = data.items.loc[[row]]
    return open_photo(item["path"].iloc[0], boxes(item)[0], side=CELL)
