"""How an expert's tokens are split over its replicas so that the largest GPU load is least.

`call` has `eplb_opt.dispatch` and the `Dispatcher`, which traces a placement once (`routes`) and
splits the loads of one batch after the other (`split`: fast in float64, or exact with its proof).
`weights` writes the split as engines take it, and `device` does the same on a GPU, in Triton.
"""
