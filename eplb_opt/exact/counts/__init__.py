"""The count-and-assignment model: how many replicas an expert has, and on which GPUs they are.

Tokens are split evenly over an expert's replicas, so a replica's load depends on the count alone.
"""
