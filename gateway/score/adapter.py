"""Any scorer by its name, and any scikit-learn classifier on the expanded prefix matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gateway.arrays import Int64, Mask
from gateway.errors import GatewayError, Problem, unknown
from gateway.plugins import Plugin, find_plugin, plugin_names, speaking_of
from gateway.score.boosted import BoostedScorer
from gateway.score.logistic import LogisticScorer
from gateway.score.prefixes import Prefixes, block_bounds
from gateway.score.scorer import Logits, MarkovScorer, Scorer, log_odds

SCORERS: Mapping[str, Callable[[], Scorer]] = {
    "logistic": LogisticScorer, "boosted": BoostedScorer, "markov": MarkovScorer,
}  # fmt: skip
"""The scorers of this package by name."""


def as_scorer(given: Any) -> Scorer:
    """Return the scorer of a name or a classifier; the logistic one for None.

    Raises
    ------
    GatewayError
        If it is none of these: the name of a scorer, here or of an installed package's entry
        point, a scorer, or a classifier of scikit-learn with ``predict_proba``.
    """
    if given is None or (isinstance(given, str) and given in SCORERS):
        return SCORERS[given or "logistic"]()
    plugin = None
    if isinstance(given, str):
        plugin = find_plugin("scorer", given)
        if plugin is None:
            known = (*SCORERS, *plugin_names("scorer"))
            rule = f"must be a scorer, a classifier, or one of {', '.join(known)}"
            raise unknown("scorer", rule, given, known)
        given = plugin.load()
        if isinstance(given, type) or not (_is_classifier(given) or _is_scorer(given)):
            with speaking_of(plugin.what):
                given = given()
    scorer = SklearnScorer(given, _is_dense(given)) if _is_classifier(given) else given
    if not _is_scorer(scorer):
        rule = "must be the name of a scorer, a Scorer, or a classifier with predict_proba"
        what = "scorer" if plugin is None else plugin.what
        raise GatewayError(str(Problem(what, rule, type(given).__name__)))
    if isinstance(scorer, LogisticScorer | BoostedScorer | MarkovScorer):
        return scorer
    name = scorer.name if plugin is None else plugin.entry.name
    return OutsideScorer(scorer, name, plugin)


def _is_classifier(given: Any) -> bool:
    return hasattr(given, "predict_proba") and hasattr(given, "get_params")


def _is_scorer(given: Any) -> bool:
    return all(hasattr(given, name) for name in ("name", "tune", "fit"))


def _is_dense(classifier: Any) -> bool:
    # Late, here and below: half a second to load, and it is not asked for otherwise.
    from sklearn.utils import get_tags  # noqa: PLC0415

    return not get_tags(classifier).input_tags.sparse


@dataclass(frozen=True, eq=False)
class OutsideScorer:
    """A scorer that is not of this package, or what it learnt: what it gives is looked at."""

    inner: Any  # the scorer, or its model
    name: str  # of the scorer, as it stands in the tables
    plugin: Plugin | None  # who brings it, to be named where it fails; None: the caller

    @property
    def what(self) -> str:
        """How messages call it."""
        return f"scorer {self.name}" if self.plugin is None else self.plugin.what

    def tune(self, prefixes: Prefixes, users: Mask) -> OutsideScorer:
        """Return the scorer with its open settings chosen."""
        return self._with("tune", prefixes, users)

    def fit(self, prefixes: Prefixes, users: Mask) -> OutsideScorer:
        """Return what it learns."""
        return self._with("fit", prefixes, users)

    def logits(self, prefixes: Prefixes, users: Mask) -> Logits:
        """Return the log-odds of the rows of ``users``: finite numbers, or a GatewayError."""
        found, n = self._call("logits", prefixes, users), len(prefixes.group)
        try:
            columns = [np.asarray(column, np.float64) for column in found]
            got = f"shapes {[column.shape for column in columns]}"
            mine = users[prefixes.user()]
            if all(column.shape == (n,) for column in columns) and len(columns) == 3:
                wrong = np.concatenate([c[mine][~np.isfinite(c[mine])] for c in columns])
                if not len(wrong):
                    return Logits(*columns)
                got = str(wrong[0])
        except (TypeError, ValueError):
            got = type(found).__name__
        rule = f"must be three arrays of {n:,} finite numbers, one for each join"
        raise GatewayError(str(Problem(f"logits of {self.what}", rule, got)))

    def _with(self, step: str, prefixes: Prefixes, users: Mask) -> OutsideScorer:
        return replace(self, inner=self._call(step, prefixes, users))

    def _call(self, step: str, prefixes: Prefixes, users: Mask) -> Any:
        with speaking_of(self.what) if self.plugin else nullcontext():
            return getattr(self.inner, step)(prefixes, users)


@dataclass(frozen=True, eq=False)
class SklearnModel:
    """A fitted classifier."""

    classifier: Any
    dense: bool

    def logits(self, prefixes: Prefixes, users: Mask) -> Logits:
        """Return the log-odds that the classifier predicts around each row of ``users``."""
        rows = np.flatnonzero(users[prefixes.user()])
        first, end = (bound[rows] for bound in block_bounds(prefixes))
        logits = Logits(*(np.zeros(len(prefixes.group)) for _ in range(3)))
        logits.before[rows] = self._log_odds(expand_prefixes(prefixes, rows, first))
        with_own = expand_prefixes(prefixes, rows, first, with_own=True)
        logits.after[rows] = self._log_odds(with_own)
        logits.at_end[rows] = self._log_odds(expand_prefixes(prefixes, rows, end))
        return logits

    def _log_odds(self, x: sparse.csr_array) -> npt.NDArray[np.float64]:
        p = self.classifier.predict_proba(x.toarray() if self.dense else x)
        if np.shape(p) != (x.shape[0], 2):
            rule = f"must give two probabilities for each of {x.shape[0]:,} rows"
            got = f"shape {np.shape(p)}"
            raise GatewayError(str(Problem(type(self.classifier).__name__, rule, got)))
        return log_odds(p[:, 1])


@dataclass(frozen=True, eq=False)
class SklearnScorer:
    """Adapter for a scikit-learn classifier with ``predict_proba``.

    It writes out one row for each prefix, with a one for each group joined so far: memory
    and time grow with joins times history, unlike ``LogisticScorer``'s. ``dense`` is for
    classifiers that take no sparse matrix and multiplies memory by the number of groups.

    Parameters
    ----------
    classifier
        Unfitted; each fit works on a clone. Its own randomness is the caller's to seed.
    dense
        Whether to pass dense matrices.
    """

    classifier: Any
    dense: bool = False

    @property
    def name(self) -> str:
        """Class name of the classifier."""
        return type(self.classifier).__name__

    def tune(self, prefixes: Prefixes, users: Mask) -> SklearnScorer:  # noqa: ARG002
        """Return the scorer as it is: a classifier that tunes itself does so in ``fit``."""
        return self

    def fit(self, prefixes: Prefixes, users: Mask) -> SklearnModel:
        """Fit a clone on the training rows of ``users``."""
        from sklearn.base import clone  # noqa: PLC0415

        rows = np.flatnonzero(prefixes.trains & users[prefixes.user()])
        _, end = block_bounds(prefixes)
        x = expand_prefixes(prefixes, rows, end[rows])
        fitted = clone(self.classifier).fit(x.toarray() if self.dense else x, prefixes.label[rows])
        return SklearnModel(fitted, self.dense)


def expand_prefixes(
    prefixes: Prefixes, rows: Int64, upto: Int64, *, with_own: bool = False
) -> sparse.csr_array:
    """Write out the bag of groups of some rows, shape (len(rows), n_groups).

    It holds the user's rows before ``upto``, shape (len(rows),), and the row itself where asked.
    """
    start = prefixes.offsets[prefixes.user()[rows]]
    length = upto - start + with_own
    offsets = np.concatenate([[0], np.cumsum(length)])
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], length) + np.repeat(start, length)
    if with_own:
        place[offsets[1:] - 1] = rows
    return sparse.csr_array(
        (np.ones(len(place)), prefixes.group[place], offsets),
        shape=(len(rows), prefixes.n_groups),
    )
