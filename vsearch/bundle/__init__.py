"""What a run leaves to be served: written whole, opened only when every part is checked."""
