"""Problems in a catalog, found before training."""
