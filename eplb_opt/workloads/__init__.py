"""Loads over time: recordings condensed, replayed, and swept over sizes."""
