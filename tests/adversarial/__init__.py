"""Makers of inputs that mean no good: photos, tables, damaged files, requests. All by code."""
