"""Local search on one layer."""
