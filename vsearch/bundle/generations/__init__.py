"""How a bundle's index changes while others read it: adding, removing, rebuilding, rolling back."""
