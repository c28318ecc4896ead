"""Calls the API from Python, with retries."""
