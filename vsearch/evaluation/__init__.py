"""How well the model and the index find: measured, compared, calibrated."""
