"""Simulated annealing of one layer: several loads, GPUs that differ, optimal dispatch, few moves.

`layer` anneals plans whose tokens are split evenly (`AnnealSearch`), under any number of loads.
`design` anneals plans for optimal dispatch (`DesignSearch`), with noisy copies of the loads from
`noise` where a plan is to withstand noise. `topology` anneals for a priced topology, and `shares`
where copies carry unequal parts or have costs; both cool as `cooling` has it. `starts` has the
plans that annealing begins with, `machine` describes GPUs and rules to the core, `priced_moves`
finds the best plans with few moved slots, and `solvers` has the solvers of the schedule. The loop
runs in the core; how it cools and when it ends is in `layer` and `design`.

References
----------
S. Kirkpatrick, C. D. Gelatt and M. P. Vecchi, "Optimization by simulated annealing", Science 220,
1983.
"""
