"""Measurements: our plans and calls beside others, on stored and generated loads.

The stored instances: `generator` makes loads, `load_files` has the recipe of every file and
`instance_rows` the table of instances (`instance`), which `library` writes and reads. `best_known`
has the best objectives and bounds, `proofs` the plans and certificates that prove them, `verify`
proves them again, `improve` plans, and `importing` takes in loads from elsewhere. `families` makes
loads for comparisons over a range of skews.
`ledger` keeps dated rows of measurements and `ledger_tables` sums them up; `suites` has every
method (`methods`) plan stored instances, and `ledger_rows` takes in what the other measurements
find. Each of these is a module with its table beside it: `plans` (gaps of plans), `hot` (the
serving call), `rivals` (the engines' own programs), `dispatch` (splits of tokens), `moves`
(re-planning), `anytime`, `overshoot` and `deadlines` (time), `gpu`. `attack` and `soak` look for
wrong answers; `attack` tries everything on tiny problems (`brute_force`). `routing` makes single
tokens by chance, by which `token_homes` compares homes. The commands are those of `eplb-opt
bench`.
"""
