"""The output of the frozen stages for each photo, computed once and kept on disk."""
