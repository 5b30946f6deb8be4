"""Who works when: `planner.plan` spends one budget on heuristics, bounds, search and solvers.

The other calls that plan live here too: a plan's evaluation, the frontier of moves against load,
and plans for the loss of a GPU or a node.
"""
