"""Tokenizers of open_clip and transformers as a `Tokenizer`, which needs neither of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vsearch.models.text.tokenizer import Cleaning, Tokenizer
from vsearch.optional_packages import require

# open_clip's pattern: it ignores case
WORDS = r"(?i)'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
CLEANINGS: dict[str, Cleaning] = {
    "_clean_whitespace": "whitespace",
    "_clean_lower": "lower",
    "_clean_canonicalize": "canonicalize",
}


@contextmanager
def reading_tokenizer(name: str) -> Iterator[None]:
    """Turn a library's errors into a ValueError that names the model."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(
            f"text: the tokenizer of {name} can't be read: {str(error).splitlines()[0]}"
        ) from error


def of_open_clip(tokenizer: Any) -> Tokenizer:
    """Return what `open_clip.get_tokenizer` gave.

    Raises:
        ValueError: its tokens can't be made without open_clip.
    """
    cleaning = CLEANINGS[tokenizer.clean_fn.__name__]
    if hasattr(tokenizer, "bpe_ranks"):
        return Tokenizer(_byte_pairs(tokenizer), cleaning)
    if tokenizer.strip_sep_token or tokenizer.tokenizer_mode:
        raise ValueError("text: this model's tokenizer changes tokens in open_clip's own code.")
    return of_transformers(tokenizer.tokenizer, tokenizer.context_length, cleaning)


def of_transformers(tokenizer: Any, length: int, cleaning: Cleaning = "") -> Tokenizer:
    """Return a tokenizer of transformers that cuts and pads to `length` tokens.

    Raises:
        ValueError: it isn't made with the tokenizers library.
    """
    made = getattr(tokenizer, "backend_tokenizer", None)
    if made is None:
        raise ValueError(
            f"text: the tokenizer {type(tokenizer).__name__} isn't made with the tokenizers "
            "library, which searching needs. Take this model from open_clip (OpenCLIPBackbone)."
        )
    made.enable_truncation(length, direction=tokenizer.truncation_side)
    made.enable_padding(
        length=length,
        pad_id=tokenizer.pad_token_id,
        pad_token=tokenizer.pad_token,
        direction=tokenizer.padding_side,
    )
    return Tokenizer(made.to_str(), cleaning)


def _byte_pairs(tokenizer: Any) -> str:
    """Return open_clip's SimpleTokenizer as a file of the tokenizers library."""
    library = require("tokenizers", "text")
    model = library.models.BPE(
        vocab=tokenizer.encoder,
        merges=[*tokenizer.bpe_ranks],
        continuing_subword_prefix="",
        end_of_word_suffix="</w>",
    )
    made = library.Tokenizer(model)
    words = library.pre_tokenizers.Split(library.Regex(WORDS), behavior="removed", invert=True)
    in_bytes = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = library.pre_tokenizers.Sequence([words, in_bytes])

    ids = {tokenizer.decoder[id]: id for id in tokenizer.all_special_ids}
    begin, end = [*ids][:2]
    made.post_processor = library.processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[*ids.items()]
    )
    made.enable_truncation(tokenizer.context_length)
    made.enable_padding(length=tokenizer.context_length, pad_id=0)
    return str(made.to_str())
