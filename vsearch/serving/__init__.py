"""A bundle as a service: the API, its client, and the page for people."""
