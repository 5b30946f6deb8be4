"""The errors a caller can meet; each message holds the numbers and the mend."""


class ProblemError(ValueError):
    """The problem, or an argument of a call, is not one that can be planned."""


class PlanError(ValueError):
    """A plan breaks a rule of its problem."""


class FormatError(ValueError):
    """A file does not hold what it should."""


class EngineRefusal(FormatError, PlanError):
    """A placement is well-formed, but the serving process would refuse or misread it."""


class EngineError(RuntimeError):
    """The serving engine at hand lacks what a drop-in replaces."""


class RebalanceError(RuntimeError):
    """The ranks did not all get the new map: the old one stays in force on each of them."""


class MissingDependency(ImportError):
    """An optional package is absent.

    Parameters
    ----------
    package
        The package that could not be imported.
    extra
        The extra of `eplb-opt` that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; try: pip install 'eplb-opt[{extra}]'")
        self.package = package
        self.extra = extra
