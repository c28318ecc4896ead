import asyncio
import threading
import time

import numpy as np
import pytest

from vsearch.models.runtimes.base import Runtime
from vsearch.serving.api.batching import Batcher
from vsearch.serving.api.problems import Busy


class Mean(Runtime):
    """Embeds a photo as its mean, once it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()

    def embed(self, photos: np.ndarray) -> np.ndarray:
        self.may.wait(10)
        return self.embed_squares(photos)

    def embed_squares(self, squares: np.ndarray) -> np.ndarray:
        return squares.mean(axis=(2, 3), dtype=np.float32)

    def embed_positions(self, photos: np.ndarray) -> np.ndarray:
        return photos.astype(np.float32)


@pytest.fixture
def batches():
    """Make a batcher; in the list are the sizes of its batches."""
    made, sizes = [], []

    def make(**settings) -> tuple[Batcher, list[int]]:
        made.append(
            Batcher(**{"max_batch": 8, "max_waiting": 50, **settings}, on_batch=sizes.append)
        )
        return made[-1], sizes

    yield make
    for batcher in made:
        batcher.close()


def photo(number: int) -> np.ndarray:
    return np.full((3, 2, 2), number, dtype=np.uint8)


async def embedded(
    batcher: Batcher, network: Mean, numbers: range, pause_s: float = 0.0
) -> list[np.ndarray]:
    async def one(place: int, number: int) -> np.ndarray:
        await asyncio.sleep(place * pause_s)
        return await batcher.embed(network, photo(number))

    return await asyncio.gather(*[one(place, number) for place, number in enumerate(numbers)])


async def after_five(batcher: Batcher, network: Mean) -> None:
    """Five photos that come while the network is busy, so that a batch of several was the last."""
    network.may.clear()
    sent = asyncio.create_task(embedded(batcher, network, range(5)))
    await asyncio.sleep(0.3)
    network.may.set()
    await sent


def test_each_photo_gets_its_own_embedding_in_batches_up_to_the_largest(batches):
    batcher, sizes = batches()
    found = asyncio.run(embedded(batcher, Mean(), range(30)))
    assert [vector.tolist() for vector in found] == [[float(n)] * 3 for n in range(30)]
    assert sum(sizes) == 30
    assert max(sizes) <= 8


def test_a_photo_that_comes_alone_waits_for_nobody(batches):
    batcher, sizes = batches(gather_s=5)
    start = time.monotonic()
    for number in range(3):
        asyncio.run(embedded(batcher, Mean(), range(number, number + 1)))
    assert sizes == [1, 1, 1]
    assert time.monotonic() - start < 4


def test_after_a_batch_as_many_are_waited_for(batches):
    batcher, sizes = batches(gather_s=2)
    network = Mean()

    async def rounds() -> None:
        await after_five(batcher, network)
        await embedded(batcher, network, range(4), pause_s=0.1)  # each would be embedded alone

    asyncio.run(rounds())
    assert sum(sizes) == 9
    assert sizes[-1] == 4
    assert sizes[:2] in ([1, 4], [5, 4])


def test_those_that_do_not_come_are_not_waited_for_longer_than_said(batches):
    batcher, sizes = batches(gather_s=0.2)
    network = Mean()

    async def rounds() -> float:
        await after_five(batcher, network)
        start = time.monotonic()
        await embedded(batcher, network, range(1))
        return time.monotonic() - start

    assert 0.15 < asyncio.run(rounds()) < 2
    assert sizes[-1] == 1


def test_more_than_may_wait_are_refused(batches):
    batcher, _ = batches(max_waiting=2)
    network = Mean()
    network.may.clear()

    async def many() -> list[object]:
        tasks = [asyncio.create_task(batcher.embed(network, photo(0))) for _ in range(9)]
        await asyncio.sleep(0.3)
        network.may.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    refused = [one for one in asyncio.run(many()) if isinstance(one, Busy)]
    assert 6 <= len(refused) <= 7
    assert "2 photos are waiting" in str(refused[0])


def test_closing_embeds_what_waits():
    batcher, network = Batcher(8, 50, gather_s=5), Mean()
    assert len(asyncio.run(embedded(batcher, network, range(4)))) == 4
    batcher.close()


def test_closing_does_not_wait_for_a_network_that_goes_on_and_on():
    batcher, network = Batcher(1, 2), Mean()
    network.may.clear()

    async def some() -> None:
        waiting = [asyncio.create_task(batcher.embed(network, photo(0))) for _ in range(2)]
        await asyncio.sleep(0.2)
        waiting.append(asyncio.create_task(batcher.embed(network, photo(0))))
        await asyncio.sleep(0.1)
        start = time.monotonic()
        batcher.close()  # all places are taken
        assert time.monotonic() - start < 1.5
        network.may.set()
        await asyncio.gather(*waiting)

    asyncio.run(some())
    batcher.close()
