"""Many fits over one question, and which of them is best."""
