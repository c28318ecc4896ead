from vsearch.serving.client.failures import Busy, Refused, ServiceError, TooSlow, Unexpected

REFUSED = {
    401: ("The service needs a key.", "Start the page with the key in VSEARCH_API_KEY."),
    404: (
        "This item no longer exists.",
        "The link may be old: start over, or remove an item from the search.",
    ),
    413: ("The photo is too large.", "Use a smaller one, or a JPEG of it."),
    415: (
        "This file is not a photo.",
        "The service reads JPEG, PNG, WebP, GIF and BMP, whatever the file's name.",
    ),
    422: ("The service can't use this.", "Try another photo, or a simpler search."),
    501: ("This network can't explain its matches.", "Its report says which one it is."),
}
OTHER_REFUSAL = ("The service couldn't answer.", "Try again later.")
MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]()<>#+!|~$:-"} | {"\n": " "})


def failure_text(error: ServiceError, url: str) -> tuple[str, str]:
    """Return what went wrong with the service at a URL, and what to do, in Markdown."""
    match error:
        case Busy(retry_after_s=seconds):
            wait = f"in {seconds:.0f} seconds" if seconds else "in a moment"
            return "The service is busy or starting.", f"Try again {wait}. {plain(str(error))}"
        case Refused(problem=problem) if problem.status != 404 or problem.request_id:
            said, advice = REFUSED.get(problem.status, OTHER_REFUSAL)
            number = f" (request {problem.request_id})" if problem.request_id else ""
            return said, f"{advice} It says: {plain(str(error))}{number}"
        case Unexpected() | Refused():  # each 404 of the service itself has an id
            other = f"Something else answers at {url}, or another version of vsearch"
            advice = f"{other}: start the page with `--service URL`."
            return "The answer is not from the service.", advice
        case TooSlow():
            advice = "Try again, perhaps with a smaller photo."
            return "The service didn't answer in time.", advice
        case _:
            advice = f"Is it running at {url}? `python -m vsearch serve BUNDLE` starts it."
            return "The service can't be reached.", advice


def plain(text: str) -> str:
    """Return text in which Markdown has no meaning."""
    return text.translate(MARKDOWN)


def likely(probability: float | None) -> str:
    """Return the probability that a hit's label is right, in words; empty if unknown."""
    if probability is None:
        return ""
    percent = min(99, max(1, round(100 * probability)))  # never claim certainty
    return f"label right with {'over ' if probability > 0.99 else ''}{percent} %"
