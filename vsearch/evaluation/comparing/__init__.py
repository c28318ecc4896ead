"""Two runs side by side, with the uncertainty of their difference."""
