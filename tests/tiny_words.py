"""Tiny image-text networks with random weights, in folders as transformers writes them."""

import json
from pathlib import Path

import pandas as pd
import torch
from small_service import picture

from vsearch.bundle.new_items import embed_photos
from vsearch.bundle.writing import write_bundle
from vsearch.indexes.faiss import FaissIndex
from vsearch.models.backbones.transformers import TransformersBackbone
from vsearch.models.embedder import Embedder
from vsearch.models.runtimes.torch import TorchRuntime

LENGTH = 12  # tokens
VISION = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": LENGTH,
}
RECIPE = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3, "size": 16}
SPOKEN = ["a photo of a red summer dress", "blue shoes, not red", "don't show l1 or l0 twice!"]


def clip_folder(folder: Path) -> Path:
    """A CLIP whose photos and texts have 24 values."""
    import transformers

    marks = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    trained = _trained("</w>", [*marks])
    tokenizer = transformers.CLIPTokenizer(*trained)
    ids = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1}
    config = transformers.CLIPConfig(
        text_config={**TEXT, **ids}, vision_config=VISION, projection_dim=24
    )
    return _saved(folder, transformers.CLIPModel(config), tokenizer)


def siglip_folder(folder: Path) -> Path:
    """A SigLIP whose photos and texts have 48 values."""
    import transformers

    trained = _trained("", ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"])
    tokenizer = transformers.Siglip2Tokenizer(*trained, padding_side="right")
    text = {**TEXT, "vocab_size": len(tokenizer), "projection_size": 48}
    config = transformers.SiglipConfig(text_config=text, vision_config=VISION)
    return _saved(folder, transformers.SiglipModel(config), tokenizer)


def text_bundle(folder: Path, n: int = 12, of_products: bool = False) -> Path:
    """A bundle of n pictures, labels l0, l1, l2, whose network is a CLIP with its text tower.

    `of_products`: a hit is a product, s0, s1 ..., of two pictures.
    """
    torch.manual_seed(0)
    backbone = TransformersBackbone(str(clip_folder(folder.parent / "clip")), text=True)
    photos = folder.parent / "photos"
    photos.mkdir(parents=True)
    for number in range(n):
        picture(number).save(photos / f"{number}.png")
    paths = [str(photos / f"{number}.png") for number in range(n)]
    labels = [f"l{number % 3}" for number in range(n)]
    items = pd.DataFrame({"id": [f"p{i}" for i in range(n)], "path": paths, "label": labels})
    embedder = Embedder(backbone).eval()
    index = FaissIndex("Flat")
    index.build(embed_photos(TorchRuntime(embedder), items).embeddings)
    manifest = {}
    if of_products:
        items["product"] = [f"s{number // 2}" for number in range(n)]
        manifest = {"products": {"group": "product", "fuse": "best"}}
    write_bundle(folder, embedder, index, items, manifest, {})
    return folder


def _trained(suffix: str, marks: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of byte pairs, from a few sentences."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    ends = {"end_of_word_suffix": suffix} if suffix else {}
    tokenizer = Tokenizer(models.BPE(**ends))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        **ends,
    )
    tokenizer.train_from_iterator([text.lower() for text in SPOKEN * 3], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _saved(folder: Path, model, tokenizer) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(RECIPE))
    return folder
