"""The result of a run, to be served: written whole, and checked in every part before opening."""
