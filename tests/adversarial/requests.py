"""HTTP requests as bytes, for no client would send them: what lies, what is too much, what is of
another kind than it should be, what reaches for files.
"""

import json
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from . import photos, tables

KEY = "key"  # of the service that they are sent to
FORM = b"Content-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
UPLOAD = "/v1/search/upload"
PHOTO = photos.encode(photos.PICTURE)

# fmt: off
IDS = [
    "..", "../..", "../../etc/passwd", "/etc/passwd", "//etc/passwd", "p1/..", "p1/../p2", "./p1",
    "~", "~root", "..\\..\\windows", "C:\\", "\\\\server\\share", "file:///etc/passwd",
    "http://127.0.0.1/", "data:,x", "\x00", "p1\x00", "p1\x00.png", "\r\n", "p1\r\nX-Evil: 1",
    "\x1b[31m", "\x7f", " ", "p1 ", "\t", "\ufeff", "\u202e1p", "\u2215etc", "\u2044etc",
    "\uff0fetc", "\u29f8", "\uff0e\uff0e\uff0f", "p1\u0301", "\ud7ff", "\U0001f600", "%2e%2e%2f",
    "photos/../photos/1.png", "p1\\", "p1:", "p1::$DATA", "p1|", "p1>", "p1<", "p1\"", "p1*",
    "p1?", "p1'", "@p1", "+p1", "-p1", "=1+1", "p1+p2", "P1", "p01", "p1.", "p1.png", "p1.PNG",
    "%00", "%252e%252e", "%", "%zz", "%c0%af", "%u2215", "?", "#", "?k=1", "p1?size=1", "p1#x",
    ";", "&", "'", '"', "' or 1=1 --", "${7*7}", "{{7*7}}", "`id`", "$(id)", "|id", "<script>",
    "*", "p*", "[a-z]", "p1,p2", "None", "null", "nan", "0", "-1", "True", "1e999", "p" * 513,
    "p" * 5000, "p1/image/image", "photos/1.png", "image", "similar", "x/image", "x/similar",
    "admin/reload", "manifest.json", "CURRENT", "model.safetensors", "%2e", "..%2f..%2f", "..%5c",
    "..;/", "....//", "p1%00", "p1%2f", "p1/", "/p1", "//p1", "p1//", "///", ".", "/", "con",
    "nul", "lpt1", ".git/config", ".env", "~/.ssh/id", "proc/self/environ", "\u2025/",
    "\u3002\u3002", "\x00/",
]
# fmt: on

# A header that says how long the body is, the body, and what may be answered where bodies of
# 200,000 bytes are taken for one second.
LYING_LENGTHS = [
    (b"Content-Length: 100\r\n", PART + bytes(5000), (400, 401, 422)),  # more comes than it says
    (b"Content-Length: 100000\r\n", PART, (408,)),  # less
    (b"Content-Length: 99999999999999999999\r\n", PART, (400, 413)),
    (b"Content-Length: 1000000\r\n", b"", (413,)),
    (b"Content-Length: -1\r\n", PART, (400,)),
    (b"Content-Length: 1e3\r\n", PART, (400,)),
    (b"Content-Length: 10\r\nContent-Length: 20\r\n", PART, (400,)),
    (b"", b"", (401, 422)),  # none: no body
    (b"Transfer-Encoding: chunked\r\n", b"FFFFFFF\r\n" + PART + bytes(300_000), (413,)),
    (b"Transfer-Encoding: chunked\r\n", b"zz\r\n", (400,)),
    (b"Transfer-Encoding: chunked\r\n", b"10\r\n" + PART[:16], (408,)),
]
WISHES: dict[str, list[str]] = {
    "k": ["0", "-1", "1e9", "99999999999999999999999", "", "ten", "NaN", "1.5", "0x10", "[]"],
    "expand": ["-1", "101", "1e9", "ten", "NaN", "1.5"],
    "min_score": ["nan", "inf", "-2", "1e999", "x", ""],
    "group_by": ["path", "shelf", "", "a" * 300, "id; drop table", "\ud7ff"],
    "where": [
        "prise < 3",
        "label",
        "label =",
        "path = x",
        "label < 3",
        "(" * 1000,
        "not " * 490 + "label = a",
        "label = 'a" + "\x00" + "'",
        "label in (" + ",".join(["a"] * 900) + ")",
        "label = a or " * 150 + "label = b",
        "x" * 5000,
        "' or 1=1 --",
        "__class__ = a",
    ],
    "x": ["1"],
    "nothing": ["1"],
}
BODIES: dict[str, object] = {
    "a list": [],
    "a text": "positive",
    "null": None,
    "nothing": {},
    "unknown fields": {f"a{number}": 1 for number in range(30_000)},
    "an unknown field": {"positive": [{"id": "a"}], "frobnicate": 1},
    "a proto": {"__proto__": {"k": 1}, "constructor": {"prototype": 1}},
    "wrong types": {"positive": "a", "k": {}, "where": 1},
    "k as text": {"positive": [{"id": "a"}], "k": "9" * 5000},
    "huge k": {"positive": [{"id": "a"}], "k": 10**30},
    "a long embedding": {"embedding": [1] * 100_000},
    "an embedding of texts": {"embedding": ["x"] * 16_000},
    "huge numbers": {"embedding": [1e308] * 8},
    "zeros": {"embedding": [0.0] * 8},
    "many examples": {"positive": [{"id": "a"}] * 50_000},
    "a surrogate": {"positive": [{"id": "\ud800"}]},
    "searches of another kind": {"searches": 1},
    "too many searches": {"searches": [{"embedding": [1.0] * 8, "k": 1000}] * 256},
}


def request(
    method: str, path: str, headers: bytes = b"", body: bytes = b"", key: str = KEY
) -> bytes:
    """A request after which the connection ends."""
    known = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-Key: {key}\r\n"
    length = b"" if b"Length" in headers or b"Encoding" in headers else _length(body)
    return known.encode() + headers + length + b"\r\n" + body


def _length(body: bytes) -> bytes:
    return f"Content-Length: {len(body)}\r\n".encode()


def upload(photo: bytes, path: str = UPLOAD, **wishes: str) -> bytes:
    """A photo in a form, with some wishes."""
    fields = b""
    for name, value in wishes.items():
        said = f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        fields += said.encode() + value.encode("utf-8", "surrogatepass") + b"\r\n"
    return request("POST", path, FORM, fields + PART + photo + b"\r\n--x--\r\n")


def as_json(body: bytes, path: str = "/v1/search") -> bytes:
    return request("POST", path, b"Content-Type: application/json\r\n", body)


def with_header(header: bytes) -> bytes:
    return request("GET", "/v1/info", header + b"\r\n")


HEADERS = {
    "a request id with a line break": b"X-Request-ID: a\rX-Evil: 1",
    "a folded request id": b"X-Request-ID: a\r\n X-Evil: 1",
    "a request id that goes on": b"X-Request-ID: a%0d%0aX-Evil: 1",
    "a zero": b"X-Request-ID: a\0b",
    "no colon": b"X-Evil",
    "no name": b": 1",
    "bytes that are no text": b"X-Request-ID: \xff\xfe",
    "a long header": b"X-Long: " + b"a" * 1_000_000,
    "many headers": b"\r\n".join([b"X-Many: 1"] * 20_000),
    "another key": b"X-API-Key: \xff",
    "an address that is none": b"X-Forwarded-For: ';--, \xff",
    "another origin": b"Origin: null\r\nAccess-Control-Request-Method: POST",
    "a range": b"Range: bytes=-1,0-99999999999",
    "two hosts": b"Host: evil.example",
    "an upgrade": b"Upgrade: websocket\r\nSec-WebSocket-Key: x",
}
NO_HTTP = {
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "HTTP 0.9": b"GET /\r\n\r\n",
    "HTTP 9": b"GET / HTTP/9.9\r\n\r\n",
    "lines of nothing": b"\r\n" * 5000,
    "a method of no name": request("\x7f", "/v1/info"),
    "a method that is long": request("A" * 100_000, "/v1/info"),
    "a path that is long": request("GET", "/" + "a" * 200_000),
    "a path that is an address": request("GET", "http://169.254.169.254/latest"),
    "a tunnel": request("CONNECT", "169.254.169.254:80"),
    "smuggling": request(
        "POST", UPLOAD, b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\nGET /"
    ),
}
LARGE: dict[str, Callable[[], bytes]] = {
    "a photo of 12 MB": lambda: upload(bytes(12_000_000)),
    "JSON of 2 MB": lambda: as_json(b"[" + b"[]," * 700_000 + b"[]]"),
    "deep JSON": lambda: as_json(b"[" * 200_000),
    "deep JSON that ends": lambda: as_json(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "a number of many digits": lambda: as_json(b'{"k": ' + b"9" * 500_000 + b"}"),
    "no text": lambda: as_json(b'{"where": "\xff\xfe"}'),
    "no JSON": lambda: as_json(b"{"),
    "NaN": lambda: as_json(b'{"embedding": [NaN, Infinity]}'),
    "many parts": lambda: request("POST", UPLOAD, FORM, PART * 20_000 + b"\r\n--x--\r\n"),
    "a form without an end": lambda: request("POST", UPLOAD, FORM, PART + PHOTO),
    "a form of nothing": lambda: request("POST", UPLOAD, FORM),
    "two photos": lambda: request(
        "POST", UPLOAD, FORM, PART + PHOTO + b"\r\n" + PART + PHOTO + b"\r\n--x--\r\n"
    ),
}


def hostile() -> dict[str, Callable[[], bytes]]:
    """All of them by name; each is made when it is asked for."""
    made: dict[str, Callable[[], bytes]] = {**LARGE}
    for number, (length, body, _) in enumerate(LYING_LENGTHS):
        made[f"length {number}"] = partial(request, "POST", UPLOAD, FORM + length, body)
    for name, header in HEADERS.items():
        made[f"header: {name}"] = partial(with_header, header)
    for name, sent in NO_HTTP.items():
        made[f"no HTTP: {name}"] = partial(bytes, sent)
    for name, values in WISHES.items():
        for number, value in enumerate(values):
            made[f"{name} {number} of a photo"] = partial(upload, PHOTO, **{name: value})
            asked = f"/v1/items/p1/similar?{name}={quote(value, errors='replace')}"
            made[f"{name} {number} of an item"] = partial(request, "GET", asked)
    for name, content in BODIES.items():
        for path in ("/v1/search", "/v1/search/batch"):
            made[f"{name} to {path}"] = partial(as_json, json.dumps(content).encode(), path)
    for number, id in enumerate([*IDS, *tables.texts()]):
        path = f"/v1/items/{quote(id, safe='')}"
        for end in ("", "/image", "/similar"):
            made[f"id {number}{end}"] = partial(request, "GET", path + end)
        example = json.dumps({"positive": [{"id": id}]}).encode()
        made[f"id {number} as an example"] = partial(as_json, example)
    return made


def hostile_uploads() -> dict[str, Callable[[], bytes]]:
    """Uploads of hostile photos."""
    made: dict[str, Callable[[], bytes]] = {}
    for name, photo in photos.hostile().items():
        made[f"photo: {name}"] = partial(_upload_of, photo)
    return made


def _upload_of(photo: Callable[[], bytes]) -> bytes:
    return upload(photo())
