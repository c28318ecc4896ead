"""The language of `--where`: which items a search may return."""
