"""The pages that a run writes about itself."""
