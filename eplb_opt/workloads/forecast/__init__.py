"""What a serving step sees of a plan: a step has a few hundred tokens, not the mean of a recording.

`forecast` estimates the balancedness of such a step. `draws` says how a step's tokens fall on the
experts, `hosts` which GPU serves which part of them, `gpu_loads` what mean, scatter and skewness
the GPU loads get by that, and `largest` what the largest of them is expected to be. Optimal
dispatch, which reacts to every step, is estimated in `split`. `bursts` reads from recorded steps
how far traffic varies beyond chance, `simulate` draws whole steps, token by token in law, and
checks all of it; `step_time` adds up what simulated steps cost.
"""

from eplb_opt.workloads.forecast.call import Forecast, forecast
from eplb_opt.workloads.forecast.hosts import DISPATCHES

__all__ = ["DISPATCHES", "Forecast", "forecast"]
