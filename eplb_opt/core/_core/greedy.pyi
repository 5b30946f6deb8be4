"""Replicate and place by decreasing load."""
