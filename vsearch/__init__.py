"""vsearch: from a folder of labelled product photos to a measured, served visual search engine."""
