from collections.abc import Iterable

import numpy as np
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.transforms.v2.functional import to_pil_image

from vsearch.data.catalogs.base import boxes
from vsearch.data.photos import open_photo
from vsearch.reports.grid import CELL
from vsearch.training.datamodule import CatalogDataModule


def boards(loggers: Iterable[Logger]) -> list[SummaryWriter]:
    """Return what writes to TensorBoard, of a trainer's loggers: on rank zero alone."""
    found = [logger.experiment for logger in loggers if isinstance(logger, TensorBoardLogger)]
    return [writer for writer in found if isinstance(writer, SummaryWriter)]


def show_picture(loggers: Iterable[Logger], name: str, picture: Image.Image, step: int) -> None:
    """Show a picture in TensorBoard, if the run has it."""
    for board in boards(loggers):
        board.add_image(name, np.asarray(picture), step, dataformats="HWC")


def photos_of(
    batch: tuple[Tensor, Tensor, Tensor], positions: list[int], data: CatalogDataModule
) -> list[Image.Image]:
    """Return photos of a training batch as the network sees them, or their files where it was given
    maps of them.
    """
    inputs, _, rows = batch
    if inputs.dtype.is_floating_point:
        return [photo_of(data, int(rows[position])) for position in positions]
    return [to_pil_image(inputs[position].cpu()) for position in positions]


def photo_of(data: CatalogDataModule, row: int) -> Image.Image:
    """Return the photo of a row of the catalog, no smaller than a cell of the grid where its file
    is not.
    """
    item = data.items.loc[[row]]
    return open_photo(item["path"].iloc[0], boxes(item)[0], side=CELL)
