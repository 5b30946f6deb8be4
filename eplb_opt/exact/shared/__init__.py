"""What several exact models need: what they are asked, what they answer, and how loads are scaled.

`answer` is the contract of a model (`LayerModel`, `ModelAnswer`), `start` what every model checks
first, `model_calls` the way from a turn of the schedule to a model and back. `loads` lists the
loads that a model looks at, `scaling` makes integers of them, and `objective_units` converts values
of plans into the model's integer objective and back. `formulation` is what the two general models
have in common, `change` a limit on moves, `constraints` the linear constraints for any backend,
`order` the one order of GPUs that are alike. `backend_imports`, `ortools_backend` and `backend_log`
import CP-SAT, SciPy and PuLP safely, set CP-SAT up, and read what a backend's log proves.
"""
