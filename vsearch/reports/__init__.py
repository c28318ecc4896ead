"""Tables, pictures and pages of an evaluation. Nothing is measured here."""
