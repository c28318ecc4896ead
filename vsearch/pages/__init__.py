"""HTML pages that need no network: a run's report, and the base that other pages share."""
