from vsearch.reports.html.base import Findings, Section
from vsearch.reports.html.photos import Photos

MOST = 200_000  # letters of a configuration


def section(findings: Findings, photos: Photos) -> Section:
    """Return how to make the run again: configuration, versions, seeds, fingerprint."""
    model, config = findings.report["model"], findings.config
    values = {
        "model": model,
        "seeds": findings.report["protocol"]["seeds"],
        "libraries": model.get("libraries") or {},
        "fingerprint": findings.fingerprint,
        "config": None if config is None else config[:MOST],
        "cut": config is not None and len(config) > MOST,
        "cost": findings.report.get("cost") or {},
    }
    return Section(values)
