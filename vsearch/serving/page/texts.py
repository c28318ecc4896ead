from vsearch.serving.client.failures import Busy, Refused, ServiceError, TooSlow, Unexpected

REFUSED = {
    401: ("The service wants a key.", "Start the page with the key in VSEARCH_API_KEY."),
    404: (
        "That is not there.",
        "The link may be old: start over, or take an item out of the search.",
    ),
    413: ("The photo is too large.", "Send a smaller one, or a JPEG of it."),
    415: (
        "This file is not a photo.",
        "JPEG, PNG, WebP, GIF and BMP can be read, whatever the file is called.",
    ),
    422: ("The service can't use this.", "Try another photo, or a simpler search."),
    501: ("This network can't explain its matches.", "Its report says which one it is."),
}


def words(error: ServiceError, url: str) -> tuple[str, str]:
    """Return what went wrong, in one calm sentence, and what the reader can do about it; both in
    Markdown.

    Args:
        error: what the client raised.
        url: where the service is.
    """
    match error:
        case Busy():
            wait = (
                f" in {error.retry_after_s:.0f} seconds" if error.retry_after_s else " in a moment"
            )
            return "The service is busy or starting.", f"Try again{wait}. {plain(str(error))}"
        case Unexpected():
            return _foreign(url)
        case Refused() if (
            error.problem.status == 404 and not error.problem.request_id
        ):  # the service gives each one
            return _foreign(url)
        case Refused():
            said, advice = REFUSED.get(
                error.problem.status, ("The service could not answer.", "Try again later.")
            )
            number = f" (request {error.problem.request_id})" if error.problem.request_id else ""
            return said, f"{advice} It says: {plain(str(error))}{number}"
        case TooSlow():
            return (
                "The service is slow: it did not answer in time.",
                "Try again, perhaps with a smaller photo.",
            )
        case _:
            return (
                "The service can't be reached.",
                f"Is it running at {url}? `python -m vsearch serve BUNDLE` starts it.",
            )


def _foreign(url: str) -> tuple[str, str]:
    return (
        "What answers is not the service.",
        f"Something else is at {url}, or a vsearch of another version: start the page with "
        "`--service URL`.",
    )


def plain(text: str) -> str:
    """Return text in which Markdown has no meaning."""
    return "".join(
        f"\\{mark}" if mark in "\\`*_{}[]()<>#+!|~$:-" else mark for mark in text.replace("\n", " ")
    )


def likely(probability: float | None) -> str:
    """Return a further line that says how probable a hit is to be right; empty where that is not
    known.
    """
    if probability is None:
        return ""
    percent = min(99, max(1, round(100 * probability)))  # nothing is certain
    return f"  \n{'over ' if probability > 0.99 else ''}{percent} % likely right"
