"""Changes to a bundle's index while others read it: add, remove, rebuild, roll back."""
