import os
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

STORE_HOSTS = "VSEARCH_STORE_HOSTS"  # in the environment, so that started processes have it too
PLAIN = "/plain"  # after a host: without TLS
# The only options a bundle may set for libpq and Milvus; others read files or name a server.
OPTIONS = {
    "application_name",
    "channel_binding",
    "connect_timeout",
    "db",
    "gssencmode",
    "host",
    "hostaddr",
    "options",
    "port",
    "require_auth",
    "secure",
    "sslmode",
    "target_session_attrs",
}
WITHOUT_TLS = {"sslmode": ("disable", "allow", "prefer"), "secure": ("false",)}


def name_hosts(hosts: Iterable[str]) -> None:
    """Let bundles use the vector stores at the user's hosts: `host[:port][/plain]`."""
    new = [*_named(), *hosts]
    if new:
        os.environ[STORE_HOSTS] = ",".join(dict.fromkeys(new))


def check_stored_url(url: str) -> None:
    """Check a URL that a bundle names: the user must have named its host too.

    The server gets a password, if only to check it, and its owner may have forged the bundle.

    Raises:
        ValueError: another host, or no TLS; the message names the option to add.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if others := sorted(options.keys() - OPTIONS):
        raise ValueError(f"{url}: a bundle can't set {', '.join(others)}.")
    hosts = {*options.get("host", "").split(","), *options.get("hostaddr", "").split(",")}
    hosts = {host for host in {parts.netloc.rpartition("@")[2], *hosts} if host}
    if parts.scheme == "postgresql" and not hosts and _has_password():
        hosts = {"localhost"}  # libpq's own socket
    plain = any(options.get(name, "").lower() in weak for name, weak in WITHOUT_TLS.items())
    for host in sorted(hosts):
        if host.startswith("/") and not _has_password():  # a socket, without a password
            continue
        known = _named() | {os.environ.get("PGHOST", "")} if parts.scheme != "milvus" else _named()
        asked = f"{host}{PLAIN}" if plain and not is_local(host) else host
        if not known & _ways_to_name(asked):
            raise ValueError(
                f"{url}: vsearch doesn't connect to a server, and send it a password, only because "
                f"a bundle names it. If you know and trust it, add `--store-hosts {asked}` to the "
                f"command (also to `serve`), or set {STORE_HOSTS}."
            )


def needs_tls(host: str) -> bool:
    """Tell whether connections to a host, maybe with its port, must be encrypted."""
    return not is_local(host) and not _named() & _ways_to_name(f"{host}{PLAIN}")


def is_local(host: str) -> bool:
    """Tell whether a host, maybe with its port, is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if host.startswith("/") or name in ("", "localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _named() -> set[str]:
    told = os.environ.get(STORE_HOSTS, "").split(",")
    return {host.strip().lower() for host in told if host.strip()}


def _ways_to_name(host: str) -> set[str]:
    """Return a host with and without its port; a host allowed without TLS may also use TLS."""
    plain = PLAIN if host.endswith(PLAIN) else ""
    whole = host.removesuffix(plain).lower()
    name = whole if whole.startswith("/") else (urlsplit(f"//{whole}").hostname or whole)
    names = {whole, name}
    return {f"{one}{PLAIN}" for one in names} | (set() if plain else names)


def _has_password() -> bool:
    kept = Path.home() / ".pgpass"
    return bool(os.environ.keys() & {"PGPASSWORD", "PGPASSFILE"}) or kept.is_file()
