import subprocess
import sys

import pyarrow as pa
from small_service import encoded, picture, upload

from vsearch.serving.api.facets import facets
from vsearch.serving.api.metrics import Metrics


def test_info(client, made):
    info = client.get("/v1/info").json()
    assert (info["items"], info["labels"], info["generation"], info["calibration"]) == (
        30,
        3,
        0,
        None,
    )
    assert info["index"]["spec"] == "Flat"
    assert info["model"]["dim"] == 8
    price, colour = (
        next(one for one in info["facets"] if one["column"] == name) for name in ("price", "colour")
    )
    assert (price["kind"], price["low"], price["high"], price["missing"]) == ("number", 0, 29, 0)
    assert (colour["kind"], colour["values"], colour["missing"]) == (
        "text",
        [["red", 13], ["blue", 13]],
        4,
    )
    assert {one["column"] for one in info["facets"]} == {"label", "price", "colour"}


def test_facets_leave_out_what_tells_all_items_apart(client):
    items = client.app.state.service.now.searcher.items
    items = items.append_column("name", pa.array([f"name {i}" for i in range(30)]))
    assert "name" in {one.column for one in facets(items)}
    many = pa.concat_tables([items] * 4)
    names = pa.array([f"name {i}" for i in range(120)])
    many = many.set_column(many.column_names.index("name"), "name", names)
    assert "name" not in {one.column for one in facets(many)}


def test_metrics_count(client):
    upload(client, encoded(picture(1)))
    upload(client, b"none")
    client.get("/v1/items/secret-id")
    text = client.get("/metrics").text
    assert (
        'vsearch_requests_total{method="POST",route="/v1/search/upload",status="200"} 1.0' in text
    )
    assert (
        'vsearch_requests_total{method="POST",route="/v1/search/upload",status="415"} 1.0' in text
    )
    assert 'vsearch_step_seconds_count{step="embed"} 1.0' in text
    assert "vsearch_batch_photos_count 1.0" in text
    assert "vsearch_items 30.0" in text
    assert "secret-id" not in text
    assert Metrics().registry is not Metrics().registry


def test_ready_until_it_is_to_stop(client):
    assert client.get("/readyz").status_code == 200
    client.app.state.service.stopping = True
    assert (client.get("/readyz").status_code, client.get("/healthz").status_code) == (503, 200)


def test_the_service_never_imports_lightning():
    code = (
        "import sys, vsearch.serving.api.server; "
        "print([m for m in sys.modules if m.split('.')[0] in BAD])"
    )
    bad = "BAD = ('lightning', 'pytorch_lightning', 'pytorch_metric_learning', 'torchmetrics')\n"
    done = subprocess.run(
        [sys.executable, "-c", bad + code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
