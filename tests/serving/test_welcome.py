from dataclasses import replace
from pathlib import Path

from vsearch.serving.api.settings import Settings
from vsearch.serving.api.welcome import welcome


def test_it_says_what_is_served_where_and_what_to_type_next(client, made):
    bundle = client.app.state.service.now
    lines = welcome(bundle, Settings(port=8123)).splitlines()
    assert lines[0] == f"Serving {made.resolve()}: 30 items, generation 0, torch float32"
    assert lines[1].startswith("Address: http://127.0.0.1:8123 (")
    assert "python -m vsearch ui --service http://127.0.0.1:8123" in lines[3]


def test_it_says_whether_photos_were_found(client):
    bundle = client.app.state.service.now
    found = replace(bundle, photo_folders=(bundle.photo(0).parent,))
    missing = replace(bundle, photo_folders=(Path("/nowhere"),))
    photos = [welcome(one, Settings()).splitlines()[2] for one in (found, missing)]
    assert photos[0] == f"Photos:  found, below {bundle.photo(0).parent}"
    assert "--photos-root" in photos[1]
