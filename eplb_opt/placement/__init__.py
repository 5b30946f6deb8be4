"""What is answered: which expert stands in which slot, whether that is allowed, what it is worth.

`plan.Plan` is one array, the expert in every slot; counts and maps follow from it. Start there.
`checker` says whether a plan obeys the rules of a problem, one function for each rule. `scoring`
gives its largest GPU load in exact rationals, and `level_flow` the least one where tokens may be
split freely (optimal dispatch), `step_time` what GPUs take where replicas have costs. None shares
code with the solvers, whose plans they judge.

`dispatch_rules` scores a plan under other ways of splitting tokens, and `after_loss` after the
loss of a GPU or node; `survivors` keeps an expert that stays on its GPU in its slot. `moves` counts
what a change of plan moves, `relabel` renames GPUs so that less moves, and `transfers` carries the
change out, batch by batch. `caller_units` gives exact figures in the caller's unit.
"""
