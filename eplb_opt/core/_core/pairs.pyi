"""Exact search with two slots a GPU."""
