"""Two slots a GPU: the exact optimum of a flat layer, by bisection over load levels.

For given replica counts the best pairing is known (`counts.pair_up`), so only the counts are
searched. `bisection` asks of one level after the other whether some counts stay at or below it.
A level is refuted by a branch and bound whose relaxation is solved by dual ascent (`tree`, the loop
is in the core), or decided by dynamic programming there, or in the last place by CP-SAT (`cpsat`);
moves of replicas find better counts. `fixed_point` has loads as integers that decide exactly,
`work_limit` what a turn may spend, `params` the settings, `model` the `LayerModel`, and `solver`
the solver of the schedule. What a tree proves is a certificate of kind "pairs".
"""
