"""Who works when: a call to plan, from its arguments to the checked result.

Start with `planner.plan`, the main call, a recipe of one screen: `arguments` checks what is asked,
`call.Call` holds the state of the call and takes each step of it. `incumbents` keeps the best
checked plan and the best bound of every layer. `portfolio` gives turns to solvers on the layers
with the largest gaps, `schedule` has the tables that say which solver suits which problem, in
which order and at what pace, and `executor` runs the turns in threads. `workers` finds out where
else they are to run: `remote` sends them to any `concurrent.futures.Executor`, `ray_executor` makes
a Ray cluster one, and `worker` is what runs at the other end. `job` keeps what they bring in a
directory. `tasks` runs whole calls on an executor.

The other calls are here too: `evaluate` (how good a given plan is), `frontier` (what moves buy),
`plan_for_loss` (plans for the loss of a GPU or node) and `warmup`. `noise` chooses how much
change of the loads a plan for optimal dispatch is to withstand; `lost_gpus` maps plans between
all GPUs and those that are left.
"""
