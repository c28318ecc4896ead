"""Build the images, start the services of compose.yaml, use them as a user would, break them, and
take them down.

    python -m benchmarks.containers [BUNDLE PHOTOS]

BUNDLE and PHOTOS come from a demo fit; by default the smallest one is made. Needs a Docker engine
on this machine (DOCKER_HOST) with compose, and ports 8080, 9090 and 5432 of 127.0.0.1. Missing
images that Dockerfile and compose.yaml name are pulled; any images with these names will do.
Without PostgreSQL's image, the rest is tested. Exit status: 1 if something failed, 77 if the images
aren't available.
"""

import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

ROOT = Path(__file__).parents[1]
PROXY = "http://127.0.0.1:8080"
PROMETHEUS = "http://127.0.0.1:9090"
SERVICES = ("service", "page", "proxy", "prometheus")
NOT_TRIED = 77
SMALLEST_FIT = """fit --config configs/triplet.yaml --model.backbone.init_args.name resnet18
    --model.backbone.init_args.weights null --model.backbone.init_args.freeze []
    --model.backbone.init_args.image_size 32 --trainer.max_epochs 1 --trainer.limit_train_batches 2
    --data.classes_per_batch 2 --data.photos_per_class 2 --data.axes [] --data.num_workers 0
    --trainer.accelerator cpu --trainer.enable_progress_bar false"""


@dataclass(frozen=True)
class Stack:
    """The containers of compose.yaml, as a project of their own; `folder` holds their bundle."""

    folder: Path
    photos: Path

    @property
    def bundle(self) -> Path:
        """The bundle that is served, which may be damaged."""
        return self.folder / "bundle"

    def compose(self, *words: str) -> str:
        """Run `docker compose` and return what it prints."""
        environment = {**os.environ, "BUNDLE": str(self.bundle), "PHOTOS": str(self.photos)}
        environment["COMPOSE_PROJECT_NAME"] = "vsearch-check"
        files = ["-f", "compose.yaml", "-f", str(self.folder / "override.yaml")]
        return ran(["docker", "compose", *files, *words], environment)

    def container(self, service: str) -> str:
        """Return a service's container."""
        return self.compose("ps", "-a", "-q", service).strip()

    def inspect(self, service: str, template: str) -> str:
        """Return what docker knows of a service's container."""
        return ran(["docker", "inspect", "-f", template, self.container(service)]).strip()

    def healthy(self) -> list[str]:
        """Return the services whose health check says so."""
        status = "{{.State.Health.Status}}"
        return [name for name in SERVICES if self.inspect(name, status) == "healthy"]

    def log(self) -> str:
        """Return what the service's present container has written."""
        done = subprocess.run(
            ["docker", "logs", self.container("service")], capture_output=True, text=True
        )
        return done.stdout + done.stderr

    def start_anew(self) -> None:
        """Start the service in a new container."""
        self.compose("up", "-d", "--force-recreate", "--no-deps", "service")


def ran(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Return what a command prints; end, with its errors, where it fails."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


def until(there: Callable[[], object], seconds: float = 60) -> bool:
    """Wait until something is so; tell whether it is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if there():
            return True
        time.sleep(0.2)
    return False


def code(path: str, **request: object) -> int:
    """Return the status of the proxy's answer; 0: none."""
    try:
        return httpx.request(url=PROXY + path, timeout=60, **request).status_code  # type: ignore[arg-type]
    except httpx.TransportError:
        return 0


def get(path: str, headers: dict[str, str] | None = None) -> int:
    """Return the status of a GET."""
    return code(path, method="GET", headers=headers or {})


def upload(photo: bytes, url: str = PROXY) -> httpx.Response:
    """Search with a photo."""
    return httpx.post(f"{url}/v1/search/upload", files={"photo": photo}, timeout=60)


def ready() -> bool:
    """Wait for the service, as it is seen through the proxy."""
    return until(lambda: get("/readyz") == 200)


def websocket(host: str, origin: str) -> int:
    """Return the status with which the page answers a browser that asks for its WebSocket."""
    key = base64.b64encode(bytes(16)).decode()
    headers = {"Host": host, "Origin": origin, "Upgrade": "websocket", "Connection": "Upgrade"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    with httpx.stream("GET", f"{PROXY}/page/_stcore/stream", headers=headers) as reply:
        return reply.status_code


def starts(stack: Stack, photo: bytes) -> Iterator[tuple[str, bool]]:
    """All start, and none can do more than it must."""
    healthy = until(lambda: len(stack.healthy()) == len(SERVICES), 120)
    yield "all get healthy", healthy
    if not healthy:
        raise SystemExit(f"healthy: {stack.healthy()}; the service's log:\n{stack.log()}")
    for name in SERVICES:
        told = "id -u; grep -E 'CapBnd|NoNewPrivs' /proc/1/status; touch /new 2>&1; true"
        user, *rest = ran(["docker", "exec", stack.container(name), "sh", "-c", told]).split("\n")
        locked = "CapBnd:\t0000000000000000" in rest and "NoNewPrivs:\t1" in rest
        yield f"{name}: unprivileged", user != "0" and locked
        yield f"{name}: read-only", "Read-only" in rest[-2]
    image = ran(["docker", "exec", stack.container("service"), "du", "-sm", "/opt/venv"])
    yield f"the service's environment takes {image.split()[0]} MB", int(image.split()[0]) < 450


def answers(stack: Stack, photo: bytes) -> Iterator[tuple[str, bool]]:
    """What users ask is answered."""
    for path in ("/healthz", "/readyz", "/v1/info", "/docs", "/page/"):
        yield path, get(path) == 200
    for path in ("/metrics", "/v1/admin/reload"):
        yield f"{path} is hidden", get(path) == 404
    found = upload(photo)
    yield "an upload", found.status_code == 200
    yield "a thumbnail", get(found.json()["hits"][0]["thumbnail_url"]) == 200
    large = bytes(10_100_000)
    yield "too large a photo, 40 times", {upload(large).status_code for _ in range(40)} == {413}
    targets = f"{PROMETHEUS}/api/v1/targets"
    yield "Prometheus' target", until(lambda: '"health":"up"' in httpx.get(targets).text)


def page_works(stack: Stack, photo: bytes) -> Iterator[tuple[str, bool]]:
    """The page is alive under any name, and for its own site alone."""
    yield "the page's WebSocket", websocket("127.0.0.1:8080", PROXY) == 101
    yield "... under a name", websocket("shop.example", "https://shop.example") == 101
    yield "... for another site", websocket("shop.example", "https://elsewhere.example") == 403
    chromium = shutil.which("chromium")
    if chromium is None:
        print("not tried: the page in a browser (there is no chromium)")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP shop.example 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page()
        page.goto("http://shop.example:8080/page/")
        page.get_by_text("items can be searched").wait_for(timeout=60_000)
        page.locator("input[type=file]").first.set_input_files(
            {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo}
        )
        page.get_by_text("% similar").first.wait_for(timeout=60_000)
        yield "the page in a browser, under a name: upload and results", True
        browser.close()


def ends_well(stack: Stack, photo: bytes) -> Iterator[tuple[str, bool]]:
    """`docker stop` loses nothing that was taken in."""
    file = stack.folder / "large.png"
    Image.linear_gradient("L").resize((5000, 4000)).save(file)
    large = file.read_bytes()
    address = stack.inspect(
        "service", '{{(index .NetworkSettings.Networks "vsearch-check_default").IPAddress}}'
    )
    with ThreadPoolExecutor(10) as threads:
        asked = [threads.submit(upload, large, f"http://{address}:8000") for _ in range(10)]
        time.sleep(0.5)
        still = sum(not one.done() for one in asked)
        stack.compose("stop", "service")
        answered = [one.exception() is None and one.result().status_code for one in asked]
    yield f"docker stop with {still} of 10 requests in flight: all answered", answered == [200] * 10
    yield "... and ends with 0", stack.inspect("service", "{{.State.ExitCode}}") == "0"
    reply = httpx.get(f"{PROXY}/v1/info")
    away = (reply.status_code, reply.headers.get("retry-after"))
    yield "... then the proxy says when to come again", away == (503, "5")
    stack.compose("start", "service")
    yield "... and it starts again", ready()


def comes_back(stack: Stack, photo: bytes) -> Iterator[tuple[str, bool]]:
    """A reload by signal works, and a killed service comes back after it."""
    stack.compose("exec", "-T", "service", "sh", "-c", "kill -HUP 1")
    yield "HUP opens the bundle again", until(lambda: '"message": "reload"' in stack.log())
    os.kill(int(stack.inspect("service", "{{.State.Pid}}")), 9)
    yield "a killed service comes back", until(lambda: get("/readyz") != 200, 10) and ready()


def says_what_is_wrong(stack: Stack, photo: bytes) -> Iterator[tuple[str, bool]]:
    """A bundle that can't be served is named once, and served once it can be."""
    index = stack.bundle / "index.faiss"
    kept = index.read_bytes()
    index.write_bytes(kept[:-100])
    stack.start_anew()
    told = until(lambda: "index.faiss" in stack.log())
    time.sleep(10)
    yield "a damaged bundle is named once", told and stack.log().count("index.faiss") == 1
    yield "... without a restart", stack.inspect("service", "{{.RestartCount}}") == "0"
    yield "... and the proxy says 503", get("/v1/info") == 503
    index.write_bytes(kept)
    yield "... and once mended it is served", ready()

    stack.bundle.chmod(0o700)
    stack.start_anew()
    yield "an unreadable bundle: the user is named", until(lambda: "uid 10001" in stack.log())
    stack.bundle.chmod(0o755)
    yield "... and once readable it is served", ready()


def searches_in_postgres(stack: Stack, photo: bytes) -> Iterator[tuple[str, bool]]:
    """A bundle whose vectors were copied to PostgreSQL is served from there."""
    os.environ["COMPOSE_PROFILES"] = "postgres"
    os.environ["EXTRAS"] = "serve,pgvector"
    os.environ["PGPASSWORD"] = "of-this-check"
    stack.compose("build", "service")
    stack.compose("up", "-d", "--wait", "postgres")
    # under the name that the service uses, by the port that this machine sees
    store = ["postgresql://postgres:5432/vsearch/products", "--store-hosts", "postgres/plain"]
    reached = {**os.environ, "PGUSER": "vsearch", "PGHOSTADDR": "127.0.0.1"}
    copy = [sys.executable, "-m", "vsearch", "index", "copy", str(stack.bundle), *store]
    yield "PostgreSQL: a bundle is copied there", "pgvector" in ran(copy, reached)
    ran(["chmod", "-R", "a+rX", str(stack.bundle)])
    stack.start_anew()
    yield "... and searched", ready() and upload(photo).status_code == 200
    stack.compose("stop", "postgres")
    yield "... 503 while PostgreSQL is down", upload(photo).status_code == 503
    stack.compose("up", "-d", "--wait", "postgres")
    yield "... and searched again", upload(photo).status_code == 200


def images(named: str) -> list[str]:
    """Return the images that compose.yaml names so, a regular expression."""
    return re.findall(f"image: ({named})", (ROOT / "compose.yaml").read_text())


def base_image() -> str:
    """Return the image that both of ours are built on."""
    default = re.search(r"^ARG PYTHON=(\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    assert default is not None
    return f"python:{default[1]}"


def can_be_had(image: str) -> bool:
    """Look for an image here, and else pull it."""
    commands = (["docker", "image", "inspect", image], ["docker", "pull", "-q", image])
    return any(not subprocess.run(command, capture_output=True).returncode for command in commands)


@contextmanager
def running(folder: Path, bundle: Path, photos: Path) -> Iterator[Stack]:
    """Build and start all with a copy of a bundle; take all down at the end."""
    folder.chmod(0o755)
    shutil.copytree(bundle, folder / "bundle")
    ran(["chmod", "-R", "a+rX", str(folder / "bundle")])
    # names of package registries resolve as they do on this machine
    built = {"build": {"network": "host"}}
    override = json.dumps({"services": {"service": built, "page": built}})
    (folder / "override.yaml").write_text(override)
    stack = Stack(folder, photos.resolve())
    try:
        start = time.monotonic()
        stack.compose("build")
        print(f"built in {time.monotonic() - start:.0f} s")
        stack.compose("up", "-d")
        yield stack
    finally:
        stack.compose("down", "-v")


def main() -> None:
    """Run all checks; print a line for each and how many failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("photos", type=Path, nargs="?", default=ROOT / "demo_catalog/photos")
    given = parser.parse_args()
    needed = [base_image(), *images(r"nginx\S+|prom/\S+")]
    missing = [image for image in needed if not can_be_had(image)]
    if missing:
        print(f"not tried: {', '.join(missing)} can't be had")
        sys.exit(NOT_TRIED)

    parts = [starts, answers, page_works, ends_well, comes_back, says_what_is_wrong]
    if all(map(can_be_had, images(r"pgvector\S+"))):
        parts.append(searches_in_postgres)
    else:
        print("not tried: the profile postgres (its image can't be had)")

    failed = []
    with tempfile.TemporaryDirectory() as name:
        bundle = given.bundle
        if bundle is None:
            runs = Path(name) / "runs"
            words = [*SMALLEST_FIT.split(), "--trainer.logger.init_args.save_dir", str(runs)]
            ran([sys.executable, "-m", "vsearch", *words])
            (bundle,) = runs.rglob("bundle")
        photo = min(given.photos.rglob("*.jpg")).read_bytes()
        with running(Path(name), bundle, given.photos) as stack:
            for part in parts:
                for what, holds in part(stack, photo):
                    print(f"{'ok    ' if holds else 'FAILED'} {what}", flush=True)
                    failed += [what] if not holds else []
    print(f"{len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
