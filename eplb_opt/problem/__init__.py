"""What is asked: the loads, the machine and the rules, checked once and then trusted.

`problem.Problem` is what every other room takes: loads of experts, slots, GPUs, nodes, and rules
such as co-location, GPU speeds, pinned experts or dispatch. Start with its docstring; it defines
the objective; its fields and what follows from them are in `terms`. `checks` and `gpu_rules`
refuse what cannot be planned, with the numbers; `arrays` reads the caller's arrays and numbers.
`units` turns loads into integers of a small unit, so that everything else computes exactly, and
`rounding` turns exact figures back into floats that err on a known side. `parts` makes problems
of some layers or scenarios, or under other rules; `scenarios` blends several loads into one.
`step_cost.StepCost` says what an expert takes for its tokens (`presets` have public figures,
`poisson` the tails of the law that tokens follow), and `costs` makes the costs of replicas of it.
`machine.Machine` is the same without the loads, for callers that plan many loads on one machine.
"""
