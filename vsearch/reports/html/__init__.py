"""The report that a run writes about itself, and that of a checked catalog, as HTML."""
