"""The HTML reports of a run and of a checked catalog."""
