import codecs


def encoding_of(start: bytes) -> str:
    """Return a text's encoding: UTF-16 if its first bytes say so, else UTF-8."""
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
