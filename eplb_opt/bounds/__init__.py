"""What no plan can beat: lower bounds on the largest GPU load that need no solver.

`bounds` has the bounds, each a function of a problem whose docstring says why it holds, and
`fast_bounds`, which returns the best of them for every layer; a `Bound` is a value in the problem's
integer units with the name of its source. `water_level` is the bound from single replicas that most
others build on, `sender_water` the same where every GPU sends to one replica, and `partitions` the
bound of hierarchical layers: the least, over all partitions of expert groups over nodes, of the
largest node bound. `costs` has the bounds of problems with costs of replicas. All arithmetic is
exact. Stronger bounds come from the exact solvers (`eplb_opt.exact`), with certificates
(`eplb_opt.certificates`).
"""
