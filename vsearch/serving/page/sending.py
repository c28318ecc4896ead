from vsearch.data.photos import PhotoError, open_photo, small_jpeg

LARGEST = 9_000_000  # bytes of a photo that is sent as it is; the service takes 10 MB by default
SIDE, QUALITY = 2048, 92  # of what is sent instead
MOST_DECODED = 400_000_000  # bytes of memory, as in the service


def made_sendable(data: bytes) -> bytes:
    """Return a photo that the service takes: one above LARGEST as a smaller JPEG, upright.

    What can't be made smaller comes back as it is: the service says what is wrong with it.
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
