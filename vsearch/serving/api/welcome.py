from vsearch.serving.api.served_bundle import ServedBundle
from vsearch.serving.api.settings import Settings


def welcome(bundle: ServedBundle, settings: Settings) -> str:
    """Return a welcome for a person who has just started the service."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}"
    where = f"found, below {bundle.photo_folders[0]}"
    return (
        f"Serving {bundle.folder}: {len(bundle.searcher.items):,} items, "
        f"generation {bundle.generation}, {bundle.runtime.says}\n"
        f"Address: {address} (manual: {address}/docs)\n"
        f"Photos:  {bundle.missing_photos() or where}\n"
        f"Page:    type `python -m vsearch ui --service {address}` in another terminal\n"
        "Stop:    Ctrl-C"
    )
