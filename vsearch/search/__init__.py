"""From a query to its best items: embedding, filter, index, examples."""
