"""Files: written whole or not at all, by one writer at a time, local or in an object store."""
