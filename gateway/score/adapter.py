"""Any scorer by its name, and any scikit-learn classifier on the expanded prefix matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import logit
from sklearn.base import clone
from sklearn.utils import get_tags

from gateway._callable import plugin, plugin_names
from gateway.arrays import Int64, Mask
from gateway.errors import GatewayError, Problem
from gateway.log.messages import did_you_mean, shown
from gateway.score.boosted import BoostedScorer
from gateway.score.logistic import LogisticScorer
from gateway.score.markov import MarkovScorer
from gateway.score.prefixes import Prefixes
from gateway.score.scorer import Logits, Scorer
from gateway.score.states import block_bounds

__all__ = ["SklearnModel", "SklearnScorer", "as_scorer", "expand_prefixes"]

_CLIP = 1e-12
_PLUGINS = "gateway.scorers"
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
    if isinstance(given, str) and given not in SCORERS:
        brought = plugin(_PLUGINS, given)
        if brought is None:
            known = (*SCORERS, *plugin_names(_PLUGINS))
            rule = f"must be a scorer, a classifier, or one of {', '.join(known)}"
            hint = did_you_mean(given, known)
            raise GatewayError(str(Problem("scorer", rule, shown(given), hint=hint)))
        given = brought() if isinstance(brought, type) else brought
    if given is None or isinstance(given, str):
        return SCORERS[given or "logistic"]()
    if hasattr(given, "predict_proba") and hasattr(given, "get_params"):
        return SklearnScorer(given, dense=not get_tags(given).input_tags.sparse)
    if all(hasattr(given, name) for name in ("name", "tune", "fit")):
        return given  # type: ignore[no-any-return]
    rule = "must be the name of a scorer, a Scorer, or a classifier with predict_proba"
    raise GatewayError(str(Problem("scorer", rule, type(given).__name__)))


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
        p = self.classifier.predict_proba(x.toarray() if self.dense else x)[:, 1]
        return np.asarray(logit(np.clip(p, _CLIP, 1 - _CLIP)))


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
        rows = np.flatnonzero(prefixes.trains & users[prefixes.user()])
        _, end = block_bounds(prefixes)
        x = expand_prefixes(prefixes, rows, end[rows])
        fitted = clone(self.classifier).fit(x.toarray() if self.dense else x, prefixes.label[rows])
        return SklearnModel(fitted, self.dense)


def expand_prefixes(
    prefixes: Prefixes, rows: Int64, upto: Int64, *, with_own: bool = False
) -> sparse.csr_array:
    """Write out the bag of groups of some rows, shape (len(rows), n_groups).

    Parameters
    ----------
    prefixes
        The rows.
    rows
        Which of them.
    upto
        Past the last row that the bag holds, shape (len(rows),).
    with_own
        Whether the row's own join is put into the bag too.
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
