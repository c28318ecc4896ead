"""Many fits for one question, and which of them is best."""
