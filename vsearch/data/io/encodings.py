import codecs


def encoding_of(start: bytes) -> str:
    """Return a text's encoding by its first bytes: UTF-16 if they mark it, else UTF-8."""
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
