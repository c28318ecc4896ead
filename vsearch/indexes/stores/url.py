import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

# Options that are secret; `sslkey` names a file
SECRET = re.compile(r"user|.*(password|secret|token).*|.*_key", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?")


@dataclass(frozen=True)
class CollectionUrl:
    """The parts of a collection's URL; user, password and token apart from what may be shown.

    Attributes:
        shown: the URL without secrets.
        host: with its port, as it was written; empty: a file or a socket.
        place: what comes before the collection's name: a database, a local file.
        name: of the collection or table.
        options: of the query, secrets too.
        user: None where the URL has none.
        password: None where the URL has none.
        secret: whether there is more in the URL than is shown.
    """

    shown: str
    host: str
    place: str
    name: str
    options: dict[str, str]
    user: str | None = None
    password: str | None = None
    secret: bool = False


def read_url(url: str, scheme: str, form: str) -> CollectionUrl:
    """Take `scheme://[user[:password]@]host[:port]/[place/]collection[?options]` apart.

    Args:
        url: what is to be read.
        scheme: that it must have.
        form: how it should look, for the error.

    Raises:
        ValueError: it doesn't look so. The message leaves the URL out: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        raise ValueError(f"url: this is no URL ({error}). It should look like {form}") from None
    place, _, name = parts.path.rpartition("/")
    if parts.scheme != scheme or parts.fragment or not NAME.fullmatch(name):
        raise ValueError(
            f"url: it should look like {form}; the last part, {name!r} here, names the collection: "
            "letters, digits and _, not beginning with a digit."
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
