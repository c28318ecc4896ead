"""Files: whole or not there at all, one writer at a time, local or in an object store."""
