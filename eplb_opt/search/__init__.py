"""Who finds: valid plans to start from, and searches that improve the plan of one layer.

`starts` makes first plans in milliseconds: the compiled greedy, the published heuristics, a greedy
for colocation="forbid"; `fill` makes one where GPUs differ or experts are tied to GPUs. `local` is
the local search of one load on GPUs that are alike. `annealing/` is simulated annealing for all
else: several loads, GPUs that differ, optimal dispatch, few moves from the plan in force, copies
with unequal parts or costs. `by_senders` makes plans in milliseconds where GPUs send to one copy.
`cost_counts` chooses counts for problems with costs of replicas, and levels their replicas.
`after_loss` is annealing of the largest load after a GPU or node is lost. `LocalSolver`,
`AnnealingSolver` and `DesignSolver` are the solvers of the schedule. The loops run in the core
(`eplb_opt.core`); here is what they start from, how they cool and when they end. A search proves
nothing: bounds come from `eplb_opt.bounds` and `eplb_opt.exact`.
"""
