"""Which training photos form a batch."""
