import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

# Options that are secret; `sslkey` names a file
SECRET = re.compile(r"user|.*(password|secret|token).*|.*_key", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?")


@dataclass(frozen=True)
class CollectionUrl:
    """A collection's URL, in parts."""

    shown: str  # without secrets
    host: str  # with its port; empty: a file or a socket
    place: str  # before the name: a database, a local file
    name: str
    options: dict[str, str]  # with secrets
    user: str | None
    password: str | None
    secret: bool  # whether the URL has more than is shown


def read_url(url: str, scheme: str, form: str) -> CollectionUrl:
    """Parse `scheme://[user[:password]@]host[:port]/[place/]collection[?options]`.

    Raises:
        ValueError: the URL has another form; the message has `form` but not the URL, which may hold
            a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it isn't a number
    except ValueError as error:
        raise ValueError(f"url: this isn't a URL ({error}). It should look like {form}") from None
    place, _, name = parts.path.rpartition("/")
    if parts.scheme != scheme or parts.fragment or not NAME.fullmatch(name):
        raise ValueError(
            f"url: it should look like {form}; the last part, {name!r} here, names the collection: "
            "letters, digits and _, not starting with a digit."
        )

    host = parts.netloc.rpartition("@")[2]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    public = {key: value for key, value in options.items() if not SECRET.fullmatch(key)}
    slashes = "//" if url.startswith(f"{scheme}://") else ""
    shown = f"{scheme}:{slashes}{host}{parts.path}"
    if public:
        shown += f"?{urlencode(public, safe='/:,')}"
    return CollectionUrl(
        shown,
        host,
        unquote(place),
        name,
        options,
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        secret="@" in parts.netloc or len(public) < len(options),
    )
