"""The count-and-assignment model: how many replicas an expert has, and on which GPUs they stand.

Tokens are split evenly over an expert's replicas, so a replica's load depends on the count alone:
for each expert the model chooses one count and places that many replicas of one size.
`formulation` has the mathematics and the columns, `ranges` the counts that an optimal plan can
have, `rules` the linear constraints (one function a rule of the problem), and `values` turns a plan
into values of the columns and back. `formulations.FORMULATIONS` gives all of it to the backends.
"""
