"""What the frozen stages make of each photo, computed once and kept on the disk."""
