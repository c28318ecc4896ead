import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from small_service import served_bundle

from vsearch.serving.api.app import create_app
from vsearch.serving.api.settings import Settings

CALM = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck]
)


def test_each_route_tells_its_errors_and_has_words(client):
    description = client.get("/openapi.json").json()
    for path, methods in description["paths"].items():
        for method, route in methods.items():
            assert route["description"] if path.startswith("/v1") else route["summary"], (
                path,
                method,
            )
            for status, reply in route["responses"].items():
                if int(status) >= 400:
                    assert [*reply["content"]] == ["application/problem+json"], (
                        path,
                        method,
                        status,
                    )
    assert "HTTPValidationError" not in json.dumps(description)
    examples = description["paths"]["/v1/search"]["post"]["requestBody"]["content"][
        "application/json"
    ]["examples"]
    assert "more like this" in examples
    assert "501" in description["paths"]["/v1/explain"]["post"]["responses"]


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    app = create_app(
        served_bundle(tmp_path_factory.mktemp("fuzzed") / "bundle"), Settings(api_key="key")
    )
    yield schemathesis.openapi.from_asgi("/openapi.json", app, headers={"X-API-Key": "key"})
    app.state.service.close()


def test_no_case_of_the_description_breaks_the_service(schema):
    statuses = []
    for operation in schema.get_all_operations():

        @settings(CALM, max_examples=15)
        @given(case=operation.ok().as_strategy())
        def check(case):
            reply = case.call(headers={"X-API-Key": "key"})
            statuses.append(reply.status_code)
            case.validate_response(reply, checks=[not_a_server_error])

        check()
    assert len(statuses) > 100
    assert {200, 422} <= {*statuses}
