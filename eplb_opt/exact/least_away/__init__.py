"""How little a layer can have off home, whatever its load: for tight limits on it.

`call.least_off_home` gives a plan and what no plan is below; the models are in `homes` and
`crossing`, and what they share in `places`.
"""
