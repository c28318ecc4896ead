import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from vsearch.serving.client import failures
from vsearch.serving.client.client import AsyncClient, Client
from vsearch.serving.messages import Region, SearchRequest

TOOK = {"decode": 1.0, "embed": 2.0, "search": 3.0}
HIT = {
    "rank": 1,
    "id": "a",
    "label": "shirt",
    "score": 0.9,
    "similarity_percent": 90.0,
    "probability": None,
    "metadata": {"colour": "red"},
    "thumbnail_url": "/v1/items/a/image",
}
FOUND = {"hits": [HIT], "good_match": None, "message": None, "took_ms": TOOK}
BUSY = {"title": "Busy", "status": 503, "detail": "64 requests are waiting", "request_id": "r1"}


class Service:
    """Answers in turn what it is given, the last for ever, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked, self.slept = [*answers], [], []

    def __call__(self, request):
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def client(self, **settings):
        client = Client("http://shop", transport=httpx.MockTransport(self), **settings)
        client._retrying = client._retrying.copy(sleep=self.slept.append)
        return client


def busy(seconds="7"):
    return httpx.Response(503, json=BUSY, headers={"Retry-After": seconds})


@pytest.mark.parametrize("base", ["http://shop", "http://shop/root"])
@pytest.mark.parametrize("given", ["/v1/items/a%2Fb/image", "/root/v1/items/a%2Fb/image"])
def test_a_picture_is_asked_for_below_the_clients_own_address(base, given):
    service = Service(httpx.Response(200, content=b"jpeg"))
    with Client(base, transport=httpx.MockTransport(service)) as client:
        assert client.image(given) == b"jpeg"
    assert str(service.asked[0].url) == f"{base}/v1/items/a%2Fb/image"


def test_a_photo_is_sent_with_its_box_and_wishes():
    service = Service(FOUND)
    found = service.client().search_photo(b"photo", Region(1, 2, 30, 40), k=5, where="colour = red")
    (asked,) = service.asked
    assert asked.url.path == "/v1/search/upload"
    form = asked.read()
    for name, value in {"x": 1, "y": 2, "w": 30, "h": 40, "k": 5, "where": "colour = red"}.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in form
    assert b'name="photo"' in form
    assert b"\r\n\r\nphoto\r\n" in form
    assert found.hits[0].label == "shirt"
    assert found.took_ms.embed == 2.0


def test_examples_may_have_weights():
    service = Service(FOUND)
    service.client().search({"a": 2.0}, ["b"], k=3, min_score=0.5)
    asked = json.loads(service.asked[0].read())
    assert asked == {
        "positive": [{"id": "a", "weight": 2.0}],
        "negative": [{"id": "b"}],
        "k": 3,
        "min_score": 0.5,
    }
    assert SearchRequest(**asked).negative[0].weight == 1.0


@pytest.mark.parametrize("item", ["../../admin/reload", "a b", "å/\x00?k=1#", "%2e%2e"])
def test_an_id_stays_one_part_of_the_path(item):
    service = Service({"id": item, "label": "x", "metadata": {}, "image_url": None})
    assert service.client().item(item).id == item
    raw = service.asked[0].url.raw_path
    assert raw.startswith(b"/v1/items/")
    assert raw.count(b"/") == 3
    assert b"?" not in raw


def test_the_key_goes_to_the_service_and_to_no_other_host():
    service = Service(httpx.Response(200, content=b"jpeg"))
    assert service.client(api_key="secret").image("/v1/items/a/image") == b"jpeg"
    assert service.asked[0].headers["X-API-Key"] == "secret"
    for elsewhere in ("http://other/x", "//other/x"):
        with pytest.raises(ValueError, match="isn't a path of the service"):
            service.client(api_key="secret").image(elsewhere)
    assert len(service.asked) == 1


def test_it_waits_as_long_as_the_service_asks():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    service = Service(busy("7"), busy(later), FOUND)
    assert service.client().search(["a"]).hits
    assert service.slept[0] == 7.0
    assert 17 < service.slept[1] <= 20


def test_without_a_word_it_waits_a_random_time_that_may_double():
    silent = httpx.Response(502, text="Bad Gateway")
    service = Service(*[silent] * 5, FOUND)
    assert service.client(attempts=6).search(["a"]).hits
    assert len(service.slept) == 5
    assert all(0 <= wait <= 0.25 * 2**number for number, wait in enumerate(service.slept))


def test_a_wait_that_is_too_long_is_not_shortened_but_reported():
    service = Service(busy("3600"), FOUND)
    with pytest.raises(failures.Busy, match="64 requests are waiting") as caught:
        service.client(max_wait_s=30).search(["a"])
    assert caught.value.retry_after_s == 3600
    assert caught.value.problem.request_id == "r1"
    assert not service.slept


def test_it_gives_up_after_its_attempts():
    service = Service(busy("1"))
    with pytest.raises(failures.Busy):
        service.client(attempts=3).search(["a"])
    assert len(service.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 413, 415, 422, 500])
def test_a_refusal_carries_the_problem_and_is_not_repeated(status):
    problem = {
        "title": "No",
        "status": status,
        "detail": "cut off after 512 bytes",
        "type": "about:blank",
    }
    service = Service(
        httpx.Response(status, json=problem, headers={"content-type": "application/problem+json"})
    )
    with pytest.raises(failures.Refused, match=r"^cut off after 512 bytes$") as caught:
        service.client().search_photo(b"photo")
    assert caught.value.problem.status == status
    assert len(service.asked) == 1


def test_a_proxys_own_page_is_an_error_too():
    service = Service(httpx.Response(413, text="<html>nginx</html>"))
    with pytest.raises(failures.Refused, match="413 Request Entity Too Large"):
        service.client().search_photo(b"photo")


@pytest.mark.parametrize(
    "answer", [{"hello": "world"}, httpx.Response(200, text="<html>a page</html>")]
)
def test_another_servers_answer_is_an_error_too(answer):
    with pytest.raises(
        failures.Unexpected, match="What answers at http://shop is no vsearch service"
    ):
        Service(answer).client().info()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda shop: shop.search(["x" * 513]), "^id: .*512"),
        (lambda shop: shop.search(["a"], where="x" * 2001), "^where: .*2000"),
        (lambda shop: shop.batch([]), "^searches: "),
    ],
)
def test_what_the_service_would_refuse_is_refused_without_asking(ask, said):
    service = Service(FOUND)
    with pytest.raises(failures.Refused, match=said) as caught:
        ask(service.client())
    assert caught.value.problem.status == 422
    assert not service.asked


def test_a_connection_that_fails_is_tried_again():
    service = Service(httpx.ConnectError("refused"), FOUND)
    assert service.client().search(["a"]).hits
    with pytest.raises(failures.Unreachable, match="http://shop can't be reached: refused"):
        Service(httpx.ConnectError("refused")).client(attempts=2).info()


def test_what_is_too_slow_is_not_asked_twice():
    service = Service(httpx.ReadTimeout("slow"))
    with pytest.raises(failures.TooSlow, match="did not answer in time"):
        service.client().search(["a"])
    assert len(service.asked) == 1


def test_the_asynchronous_client_does_the_same():
    service = Service(busy("0"), FOUND, httpx.Response(200, content=b"jpeg"))

    async def ask():
        async with AsyncClient(
            "http://shop", api_key="k", transport=httpx.MockTransport(service)
        ) as client:
            found = await client.search_photo(b"photo", Region(0, 0, 5, 5), k=2)
            return found, await client.image(found.hits[0].thumbnail_url)

    found, picture = asyncio.run(ask())
    assert found.hits[0].id == "a"
    assert picture == b"jpeg"
    assert [request.url.path for request in service.asked[:2]] == ["/v1/search/upload"] * 2
    assert service.asked[0].headers["X-API-Key"] == "k"


def test_both_clients_offer_the_same():
    def public(client):
        return {name for name in vars(client) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
