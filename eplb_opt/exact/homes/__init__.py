"""The exact model of one layer whose replicas off home have a price, solved by CP-SAT.

`columns` has the mathematics and the sizes in integers, `model` the constraints, and `solver` the
calls of the schedule. Layers of some hundred columns are solved to the optimum; larger ones are the
annealing's, with the bound of `eplb_opt.bounds.topology`.
"""
