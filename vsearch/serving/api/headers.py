"""The headers of every reply."""

from starlette.datastructures import MutableHeaders

FINGERPRINT_HEADER = "X-Vsearch-Fingerprint"  # of the model that answered
REQUEST_ID_HEADER = "X-Request-ID"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
CLOSED = "default-src 'none'; frame-ancestors 'none'"
MANUAL = "default-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; frame-ancestors 'none'"
MANUAL_PATHS = ("/docs", "/docs/oauth2-redirect")


def complete(
    headers: MutableHeaders, path: str, fingerprint: str, request_id: str, cross_origin: bool
) -> None:
    """Add the headers of every reply; `cross_origin`: pages of other origins may show pictures."""
    headers[FINGERPRINT_HEADER] = fingerprint
    headers[REQUEST_ID_HEADER] = request_id
    headers.setdefault("Cache-Control", "no-store")
    headers.update(SECURITY)
    headers["Cross-Origin-Resource-Policy"] = "cross-origin" if cross_origin else "same-origin"
    headers["Content-Security-Policy"] = MANUAL if path in MANUAL_PATHS else CLOSED
