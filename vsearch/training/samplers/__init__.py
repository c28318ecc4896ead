"""Which training photos meet in a batch."""
