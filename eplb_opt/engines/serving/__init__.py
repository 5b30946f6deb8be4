"""Plans in milliseconds on one core, in counted steps or within a time limit.

`call.rebalance` is the whole call: `arguments` reads and checks loads and sizes, the compiled core
makes the greedy's plan and refines it, and `in_force` keeps the map in force where it is as good.
`near` starts from the map in force instead and moves as few experts as the tolerance allows.
"""
