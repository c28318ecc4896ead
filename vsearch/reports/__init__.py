"""What an evaluation looks like: tables, pictures, pages. Nothing is measured here."""
