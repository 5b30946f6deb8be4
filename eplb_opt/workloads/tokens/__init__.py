"""Recordings of single tokens: what crosses nodes, where tokens start, what fires together.

`counts` adds a recording up: by the rank that tokens start on, and by pairs of experts that a token
goes to both. `visits` says how many nodes and GPUs a token visits under a plan. `homes` gives
experts that fire together a home on one node. `price` turns what plans save into the price of a
topology, and `traffic` compares the plans of a `TopologyReport`.
"""
