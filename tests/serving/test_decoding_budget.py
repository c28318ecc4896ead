import platform
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from small_service import encoded, picture, upload

from vsearch.data.photos import PhotoError, open_photo
from vsearch.serving.api.decoding_budget import DecodingBudget
from vsearch.serving.api.problems import Busy


def soon() -> float:
    return time.monotonic() + 0.2


def later() -> float:
    return time.monotonic() + 20


def test_photos_wait_until_their_bytes_fit():
    budget = DecodingBudget(100)
    shares = [budget.acquire(60, later()), budget.acquire(40, later())]
    with pytest.raises(Busy):
        budget.acquire(1, soon())
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(budget.acquire, 50, later())
        budget.release(shares[1])
        time.sleep(0.1)
        assert not waiting.done()
        budget.release(shares[0])
        assert waiting.result(10) == 50
    assert budget.taken == 50


def test_one_that_exceeds_all_is_decoded_alone():
    budget = DecodingBudget(100)
    small = budget.acquire(1, later())
    with pytest.raises(Busy):
        budget.acquire(1000, soon())
    budget.release(small)
    large = budget.acquire(1000, soon())
    with pytest.raises(Busy):
        budget.acquire(1, soon())
    budget.release(large)
    assert budget.taken == 0


def test_small_ones_do_not_pass_a_large_one_that_waits():
    budget = DecodingBudget(100)
    first = budget.acquire(50, later())
    with ThreadPoolExecutor(2) as threads:
        large = threads.submit(budget.acquire, 80, later())
        time.sleep(0.1)
        small = threads.submit(budget.acquire, 50, later())
        time.sleep(0.1)
        assert not large.done()
        assert not small.done()
        budget.release(first)
        budget.release(large.result(10))
        assert small.result(10) == 50


def test_a_photos_bytes_are_given_back_whatever_comes_of_it():
    budget = DecodingBudget(1000)
    data = encoded(picture(1))
    with budget.shared(later()) as reserve:
        open_photo(data, reserve=reserve)
        assert budget.taken == 1000
    with pytest.raises(PhotoError), budget.shared(later()) as reserve:
        open_photo(data[: len(data) // 2], reserve=reserve)
    assert budget.taken == 0
    held = budget.acquire(1000, later())
    with pytest.raises(Busy), budget.shared(soon()) as reserve:
        open_photo(data, reserve=reserve)
    budget.release(held)
    assert budget.taken == 0


@pytest.mark.parametrize(
    ("mode", "kind", "of_a_pixel"),
    [
        ("RGB", "PNG", 8),
        ("L", "PNG", 5),
        ("I;16", "PNG", 6),
        ("P", "GIF", 5),
        ("RGB", "WEBP", 16),
        ("RGB", "JPEG", 8),
    ],
)
def test_how_many_bytes_a_photo_takes(mode, kind, of_a_pixel):
    told = []
    open_photo(encoded(Image.new(mode, (100, 50)), kind), reserve=told.append)
    assert told == [of_a_pixel * 100 * 50]


def test_a_jpeg_that_comes_out_smaller_takes_less():
    told = []
    open_photo(encoded(picture(1, 800, 800), "JPEG"), side=50, reserve=told.append)
    assert told == [8 * 100 * 100]


def test_the_services_photos_share_one_budget(served, monkeypatch):
    """A photo takes 14 * 20 * 8 bytes, so that two don't fit."""
    client = served(max_decoded_bytes=4000, decode_threads=4, thumbnail_threads=4)
    counting = threading.Lock()
    now, seen = [0], []
    load = Image.Image.convert

    def counted(self, *args):
        with counting:
            now[0] += 1
            seen.append(now[0])
        time.sleep(0.01)
        with counting:
            now[0] -= 1
        return load(self, *args)

    monkeypatch.setattr(Image.Image, "convert", counted)

    def ask(number: int) -> int:
        if number % 2:
            return client.get("/v1/items/p1/image").status_code
        return upload(client, encoded(picture(3))).status_code

    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(ask, range(16)))
    assert codes == [200] * 16
    assert len(seen) >= 16
    assert max(seen) == 1


def test_a_photo_that_does_not_fit_in_time_is_503(served):
    client = served(decode_threads=1, thumbnail_threads=1, request_s=1)
    budget = client.app.state.service.budget
    share = budget.acquire(budget.most, later())
    replies = [upload(client, encoded(picture(3))), client.get("/v1/items/p1/image")]
    for reply in replies:
        assert reply.status_code == 503
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.headers["retry-after"] == "1"
    budget.release(share)
    assert upload(client, encoded(picture(3))).status_code == 200
    assert client.get("/v1/items/p1/image").status_code == 200


def resident() -> int:
    (line,) = re.findall(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) * 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to")
def test_a_large_photos_memory_is_the_next_ones():
    data = encoded(Image.new("RGB", (6000, 6000)))
    budget = DecodingBudget(400_000_000)

    def decode() -> None:
        with budget.shared(later()) as reserve:
            open_photo(data, side=32, reserve=reserve).resize((32, 32))

    decode()
    before = resident()
    for _ in range(3):
        thread = threading.Thread(target=decode)
        thread.start()
        thread.join()
    assert resident() < before + 64_000_000  # a photo takes 288,000,000
