"""write a bundle's network for ONNX Runtime or OpenVINO, proven against PyTorch

The export takes square photos, uint8 (B, 3, S, S), of any number B, normalises them itself, and
returns unit vectors, float32 (B, dim). The command embeds up to 500 of the run's test photos, or of
the items' photos without these, and the photos in the bundle, with PyTorch in float32 and with the
export. If a cosine is too low, or if the ten best items in the bundle's index differ too much, it
ends with status 1 and leaves nothing behind. Commands that embed photos use the exports in
BUNDLE/exports; a fit writes the one for ONNX Runtime. OpenVINO is an extra: uv sync --extra
openvino
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vsearch.cli.arguments import add_bundle

if TYPE_CHECKING:
    from vsearch.bundle.exports.manifest import Export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_bundle(parser)
    parser.add_argument("--format", choices=["onnx", "openvino"], required=True, help="the library")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="the folder to make (default: in the bundle)"
    )
    parser.add_argument(
        "--photos",
        type=Path,
        nargs="+",
        default=[],
        metavar="PHOTO",
        help="photos to prove it with",
    )
    parser.add_argument(
        "--min-cosine",
        type=float,
        default=0.9999,
        metavar="COSINE",
        help="least cosine of each photo (default: 0.9999)",
    )
    parser.add_argument(
        "--min-overlap",
        type=float,
        default=0.99,
        metavar="SHARE",
        help="least overlap of the ten best (default: 0.99)",
    )


def run(args: argparse.Namespace) -> None:
    """Export, and print the proof."""
    from vsearch.bundle.exports.export import Wanted, export
    from vsearch.bundle.exports.proof import Bounds

    bounds = Bounds(args.min_cosine, args.min_overlap)
    _show(export(args.bundle, Wanted(args.format, bounds, args.photos, args.out)))


def _show(made: "Export") -> None:
    proof = made.lineage["proof"]
    bounds = proof["bounds"]
    right = proof["precision_at_1"]
    print(f"Tried with {proof['of']}, against PyTorch in float32:")
    print(f"  lowest cosine   {proof['lowest_cosine']:.6f} (at least {bounds['lowest_cosine']:g})")
    print(f"  median cosine   {proof['median_cosine']:.6f}")
    print(f"  top-10 overlap  {proof['top10_overlap']:.4f} (at least {bounds['top10_overlap']:g})")
    if right:
        print(f"  precision@1     {right['export']:.4f}, PyTorch {right['torch']:.4f}")
    print(f"{made.folder}: {sum(made.lineage['bytes'].values()) / 1e6:.1f} MB")
