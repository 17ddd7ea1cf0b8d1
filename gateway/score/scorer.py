"""What a scorer is: something that learns from prefixes and gives logits."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from gateway.score.prefixes import Prefixes


class Logits(NamedTuple):
    """Log-odds for each row, shape (n_rows,) each; rows of users not asked for are zero.

    Parameters
    ----------
    before
        After the user's joins before the row's block.
    after
        After those and the row's own join; other joins of the same tick do not count,
        since nobody knows whether they came before it.
    at_end
        After the whole block.
    """

    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    at_end: npt.NDArray[np.float64]


class Model(Protocol):
    """A fitted scorer."""

    def logits(self, prefixes: Prefixes, users: npt.NDArray[np.bool_]) -> Logits:
        """Return the logits of the rows of ``users``, a mask of shape (n_users,)."""
        ...


class Scorer(Protocol):
    """A way to learn P(target within the horizon | joins so far)."""

    @property
    def name(self) -> str:
        """Short name, as it stands in the tables."""
        ...

    def tune(self, prefixes: Prefixes, users: npt.NDArray[np.bool_]) -> Scorer:
        """Return the scorer with its open settings chosen on ``users`` alone."""
        ...

    def fit(self, prefixes: Prefixes, users: npt.NDArray[np.bool_]) -> Model:
        """Learn from the training rows of ``users`` alone, a mask of shape (n_users,)."""
        ...
