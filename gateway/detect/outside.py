"""Detectors that are not of this package: functions, and what installed packages bring."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Set
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gateway.config.detectors import OPTIONS, OutsideOptions
from gateway.detect.detection import Detection
from gateway.errors import GatewayError, Problem, unknown
from gateway.log.join_log import JoinLog
from gateway.plugins import find_plugin, plugin_names, speaking_of
from gateway.targets import TargetSet

OFFERED = frozenset({"scores", "horizon", "seed"})
"""What a detector may ask for by the names of its arguments, beside log and target set."""

# Kinds of numpy's of which the columns of a detection are, and those of one detector alone.
_KINDS = {
    **dict.fromkeys(("candidate", "flagged"), "b"),
    **dict.fromkeys(("n_joiners", "n_events", "rank"), "iu"),
    **dict.fromkeys(("score", "estimate", "ci_low", "ci_high", "p_value", "q_value"), "f"),
}
_EXTRA_KINDS = "biufUO"
# What ``Detection.from_scores`` takes, unless the function itself does.
_OF_SCORES = ("min_joiners", "alpha")


@dataclass(frozen=True)
class OutsideDetector:
    """A function of log and target set that is used as a detector.

    Parameters
    ----------
    name
        By which tables know it.
    function
        It gives a number for each group, a mapping from names of groups, or a ``Detection``.
    package
        Who is to be named where it fails; None for the caller's own function, whose exceptions
        are left as they are.
    """

    name: str
    function: Callable[..., Any]
    package: str | None = None

    @property
    def what(self) -> str:
        """How messages call it."""
        return f"detector {self.name}" + (f" ({self.package})" if self.package else "")

    @property
    def takes(self) -> frozenset[str]:
        """What it asks for of scores, horizon and seed."""
        return OFFERED & self._named

    @property
    def _signature(self) -> inspect.Signature | None:
        try:
            return inspect.signature(self.function)
        except (TypeError, ValueError):
            # Some functions written in C do not tell.
            return None

    @property
    def _named(self) -> Set[str]:
        return frozenset() if self._signature is None else self._signature.parameters.keys()

    def find(
        self, joins: JoinLog, targets: TargetSet, *, options: OutsideOptions, **offered: Any
    ) -> Detection:
        """Run it, and make a detection of what it gives.

        Raises
        ------
        GatewayError
            If it takes no such option, or gives what is no detection of this log; and, of an
            installed package, if it fails.
        """
        written, named = options.model_dump(exclude_none=True), self._named
        ranking = {key: written.pop(key) for key in _OF_SCORES if key in written.keys() - named}
        own = {key: offered[key] for key in sorted(self.takes)} | written
        self._check_options(joins, targets, own)
        with speaking_of(self.what) if self.package else nullcontext():
            found = self.function(joins, targets, **own)
            if isinstance(found, Detection):
                return self._checked(found, joins, targets)
        try:
            return Detection.from_scores(joins, targets, found, name=self.name, **ranking)
        except GatewayError as error:
            raise GatewayError(f"{self.what} gives no scores: {error}") from None

    def _check_options(self, joins: JoinLog, targets: TargetSet, given: dict[str, Any]) -> None:
        signature = self._signature
        if signature is None:
            return
        try:
            signature.bind(joins, targets, **given)
        except TypeError as error:
            rule = "must take a log, a target set and what it is given"
            hint = f"its arguments are {signature}"
            raise GatewayError(str(Problem(self.what, rule, str(error), hint=hint))) from None

    def _checked(self, found: Detection, joins: JoinLog, targets: TargetSet) -> Detection:
        """Return a detection whose columns are those of the log's groups."""

        def refuse(column: str, rule: str, got: object) -> GatewayError:
            return GatewayError(str(Problem(f"{column} of {self.what}", rule, str(got))))

        n = joins.n_groups
        if not found.groups.equals(joins.groups):
            rule = f"must be the log's {n:,} groups in their order"
            raise refuse("groups", rule, f"{len(found.groups):,}, or others")
        for name, values in {**{key: getattr(found, key) for key in _KINDS}, **found.extra}.items():
            if np.shape(values) != (n,):
                rule = f"must be one value for each of the log's {n:,} groups"
                raise refuse(name, rule, f"shape {np.shape(values)}")
            if np.asarray(values).dtype.kind not in _KINDS.get(name, _EXTRA_KINDS):
                raise refuse(name, "must be of another type", np.asarray(values).dtype)
        for name in ("p_value", "q_value"):
            values = getattr(found, name)
            if not (np.isnan(values) | ((values >= 0) & (values <= 1))).all():
                raise refuse(name, "must be in [0, 1], or NaN where not tested", np.nanmax(values))
        if found.candidate[targets.mask].any():
            raise refuse("candidate", "must be False of target groups", "True")
        if self.package is None:
            return found
        return replace(found, measure=replace(found.measure, detector=self.name))


def outside_detector(detector: Any) -> OutsideDetector | None:
    """Return a detector that is not of this package; None for the name of one that is.

    Raises
    ------
    GatewayError
        If there is no such detector.
    """
    if isinstance(detector, str) and detector in OPTIONS:
        return None
    if callable(detector):
        name = getattr(detector, "__name__", type(detector).__name__).strip("<>")
        return OutsideDetector(name, detector)
    plugin = find_plugin("detector", detector) if isinstance(detector, str) else None
    if plugin is None:
        known = (*OPTIONS, *plugin_names("detector"))
        rule = f"must be a function or one of {', '.join(known)}"
        raise unknown("detector", rule, detector, known)
    function = plugin.load()
    if not callable(function):
        rule = "must be a function of a log and a target set"
        raise GatewayError(str(Problem(plugin.what, rule, type(function).__name__)))
    return OutsideDetector(detector, function, plugin.package)
