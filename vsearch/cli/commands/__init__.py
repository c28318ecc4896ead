"""One verb a file: parse, call, print."""
