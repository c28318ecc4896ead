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
    secret: bool  # whether an option isn't shown
    host: str  # with its port; empty: a file or a socket
    place: str  # before the name: a database, a local file
    name: str
    options: dict[str, str]  # also user and password; none is empty


def read_url(url: str, scheme: str, form: str) -> CollectionUrl:
    """Parse `scheme://[user[:password]@][host[:port]]/[place/]collection[?options]`.

    Raises:
        ValueError: the URL has another form; the message has `form` but not the URL, which may hold
            a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # an error if it isn't a number
        if parts.netloc and "@" in parts.path:
            raise ValueError("a password with a slash")
    except ValueError:
        raise ValueError(f"url: this isn't a URL. It should look like {form}") from None
    beginning = f"{scheme}://"
    place, _, name = parts.path.rpartition("/")
    if not url.lower().startswith(beginning) or parts.fragment or not NAME.fullmatch(name):
        raise ValueError(
            f"url: it should look like {form}; the last part, {name!r} here, names the collection: "
            "letters, digits and _, not starting with a digit."
        )

    host = parts.netloc.rpartition("@")[2]
    options = dict(parse_qsl(parts.query))
    for key, value in (("user", parts.username), ("password", parts.password)):
        if value:
            options[key] = unquote(value)

    public = {key: value for key, value in options.items() if not SECRET.fullmatch(key)}
    shown = f"{beginning}{host}{parts.path}"
    if public:
        shown += f"?{urlencode(public, safe='/:,')}"
    secret = len(public) < len(options)
    return CollectionUrl(shown, secret, host, unquote(place), name, options)
