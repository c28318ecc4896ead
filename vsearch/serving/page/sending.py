from vsearch.data.photos import PhotoError, open_photo, small_jpeg

LARGEST = 9_000_000  # bytes of a photo that is sent unchanged; the service takes 10 MB by default
SIDE, QUALITY = 2048, 92  # of the JPEG that is sent instead
MOST_DECODED = 400_000_000  # bytes of memory, as in the service


def made_sendable(data: bytes) -> bytes:
    """Return a photo that the service accepts: one above LARGEST becomes a smaller, upright JPEG.

    A photo that can't be made smaller is returned unchanged: the service says what is wrong.
    """
    if len(data) <= LARGEST:
        return data
    try:
        photo = open_photo(data, side=SIDE, reserve=_limit)
    except PhotoError:
        return data
    return small_jpeg(photo, SIDE, QUALITY)


def _limit(decoded_bytes: int) -> None:
    if decoded_bytes > MOST_DECODED:
        raise PhotoError(f"decoding takes {decoded_bytes:,} bytes")
