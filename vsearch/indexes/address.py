import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

SECRET = re.compile(
    r"user|.*(password|secret|token).*|.*_key", re.IGNORECASE
)  # options; `sslkey` names a file
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?")


@dataclass(frozen=True)
class Address:
    """Where a collection is, taken apart; user, password and token apart from what may be shown.

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


def address(url: str, scheme: str, form: str) -> Address:
    """Take `scheme://[user[:password]@]host[:port]/[place/]collection[?options]` apart.

    Args:
        url: what is to be read.
        scheme: that it must have.
        form: how it should look, for the error.

    Raises:
        ValueError: it doesn't look so. What it looks like isn't told, since it may hold a password.
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        _ = parts.port  # a port that is no number
    except ValueError as error:
        raise ValueError(f"url: this is no URL ({error}). It should look like {form}") from None
    place, _, name = parts.path.rpartition("/")
    if parts.scheme != scheme or parts.fragment or not NAME.fullmatch(name):
        raise ValueError(
            f"url: it should look like {form}; the last part, {name!r} here, names the collection: "
            "letters, digits and _, not beginning with a digit."
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    plain = urlencode(
        {key: value for key, value in options.items() if not SECRET.fullmatch(key)}, safe="/:,"
    )
    shown = f"{scheme}:{'//' if url.startswith(f'{scheme}://') else ''}{host}{parts.path}{'?' if plain else ''}{plain}"
    user, password = (
        None if one is None else unquote(one) for one in (parts.username, parts.password)
    )
    secret = "@" in parts.netloc or any(SECRET.fullmatch(key) for key in options)
    return Address(shown, host, unquote(place), name, options, user, password, secret)
