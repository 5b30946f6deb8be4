"""Measurements: our plans and calls beside others, on stored and generated loads.

`library` and `best_known` keep the stored instances and the best objectives and bounds known of
them, `generator` and `families` make loads, and `verify` compares the stored files with the tables.
Each measurement is a module with its table beside it: `plans` (gaps of plans), `hot` (the serving
call), `rivals` (the engines' own programs), `dispatch` (splits of tokens), `moves` (re-planning),
`anytime` and `overshoot` (time), `gpu`. `attack` and `soak` look for wrong answers; `attack` tries
everything on tiny problems (`brute_force`). The commands are those of `eplb-opt bench`.
"""
