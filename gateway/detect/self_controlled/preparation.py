"""Which users are cases, and how their slots are made, alike for every fit of a detection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds
from scipy.stats import norm

from gateway.arrays import Float64, Int64, Mask
from gateway.config.detectors import SelfControlledOptions
from gateway.detect.self_controlled.rows import Clock, RiskWindow
from gateway.detect.self_controlled.slots import Slots, build_slots
from gateway.log.join_log import JoinLog

# So many users of a log would lie beyond the bound if the distribution went on as it began.
_EXPECTED_BEYOND = 0.05
_MIDDLE, _UPPER = 0.5, 0.9
_FEWEST = 100


def most_usual_joins(sizes: Int64) -> float:
    r"""Return the largest number of joins that a user of this log may be expected to have.

    The upper half of the logarithms is taken as that of a normal distribution, with the
    median m and the spread s = (q_90 - m) / 1.2816 of the users with a join. Beyond the bound
    exp(m + s z), z = Phi^-1(1 - .05 / n), fewer than .05 of n users are expected. Medians and
    the ninth decile stay where they are while fewer than a twentieth of the users are bots. In a
    log of short histories the bound is low, in one of long ones high: it is the log's own.

    *When it misleads.* Numbers of joins with a heavier tail than the lognormal have users beyond
    it who are no bots.

    Parameters
    ----------
    sizes
        Number of joins of each user, shape (n_users,).

    Returns
    -------
    float
        Infinite for fewer than 100 users with a join, or where more than half of those are
        alike: then there is no distribution to speak of.
    """
    some = np.log(sizes[sizes > 0])
    if len(some) < _FEWEST:
        return float("inf")
    middle, upper = np.quantile(some, [_MIDDLE, _UPPER])
    spread = (upper - middle) / norm.ppf(_UPPER)
    if spread <= 0:
        return float("inf")
    return float(np.exp(middle + spread * norm.isf(_EXPECTED_BEYOND / len(some))))


@dataclass(frozen=True)
class Preparation:
    """How slots are made.

    Parameters
    ----------
    clock
        What a slot is.
    most_joins
        Users with more joins than that are set aside.
    strata
        Whether two kinds of users, where there are two, have calendars of their own.
    depletion
        Whether a case that has joined some outcome groups has fewer of them left.
    """

    clock: Clock = "joins"
    most_joins: float = np.inf
    strata: bool = True
    depletion: bool = True

    @classmethod
    def of(cls, options: SelfControlledOptions, joins: JoinLog) -> Preparation:
        """Return what some options ask for on a log."""
        aside = options.unusual_users == "auto"
        return cls(
            clock=options.clock,
            most_joins=most_usual_joins(np.diff(joins.offsets)) if aside else np.inf,
            strata=options.user_strata == "auto",
            depletion=options.depletion == "auto" and options.clock == "joins",
        )

    def slots(
        self,
        joins: JoinLog,
        outcome: Mask,
        candidate: Mask,
        *,
        window: RiskWindow | None = None,
        sample: tuple[int, float] | None = None,
    ) -> tuple[Slots, Mask | None]:
        """Return the slots, and which cases are of the second kind where there are two.

        Parameters are those of ``build_slots``.
        """
        slots = build_slots(
            joins, outcome, candidate, clock=self.clock, window=window,
            sample=sample, most_joins=self.most_joins, depletion=self.depletion,
        )  # fmt: skip
        kinds = two_kinds(slots) if self.strata else None
        return (slots, None) if kinds is None else (split_calendar(slots, kinds), kinds)


# How clearly the second singular value must stand out: where users are of one kind the second
# and the third differ by chance, and the split would be of noise.
_GAP = 1.25
# Cases that the split is found with; all are then assigned.
_SAMPLE = 1 << 17
# With fewer cases two calendars are noise.
_FEWEST_OF_KIND = 500


def two_kinds(slots: Slots) -> Mask | None:
    r"""Return which cases are of the second kind, or None where there are no two.

    Spectral bipartite partitioning: with B the matrix of cases by the candidates that they
    join, and R, C its row and column sums, the second singular vectors of R^-1/2 B C^-1/2 cut
    users and groups so that few joins cross the cut; a case is on the side of the sum of its
    groups' entries. Taken only where the second singular value is 1.25 times the third at
    least: two countries are such kinds, a few interests are not. No event enters.

    *When it misleads.* Three countries have two large singular values, and are not found.

    Parameters
    ----------
    slots
        The data.

    Returns
    -------
    numpy.ndarray or None
        bool, shape (n_cases,).

    References
    ----------
    Dhillon (2001), "Co-clustering documents and words using bipartite spectral graph
    partitioning", KDD '01, section 4.
    """
    if slots.n_cases < _FEWEST_OF_KIND:
        return None
    case = np.repeat(np.arange(slots.n_cases), np.diff(slots.offsets))
    joined = slots.group < slots.n_groups
    case, group = case[joined], slots.group[joined]
    step = -(-slots.n_cases // _SAMPLE)
    some = case % step == 0
    entry = _second_vector(case[some] // step, group[some])
    if entry is None:
        return None
    side = np.bincount(case, np.append(entry, np.zeros(slots.n_groups - len(entry)))[group],
                       minlength=slots.n_cases)  # fmt: skip
    # A vector has no sign: the first case with a side is of the first kind.
    clear = np.abs(side) > 1e-9 * np.abs(side).max()
    return np.asarray(clear & (np.sign(side) != np.sign(side[np.argmax(clear)])))


def _second_vector(case: npt.NDArray[np.int64], group: npt.NDArray[np.int32]) -> Float64 | None:
    """Return the groups' second singular vector by C^-1/2; None if it does not stand out."""
    rows, columns = np.bincount(case), np.bincount(group)
    if min(np.count_nonzero(rows), np.count_nonzero(columns)) < 4:
        return None
    value = 1.0 / np.sqrt(rows[case] * columns[group])
    matrix = csr_array((value, (case, group)), shape=(len(rows), len(columns)))
    begin = np.ones(min(matrix.shape))
    _, size, vectors = svds(matrix, k=3, v0=begin, tol=1e-10)
    third, second, _ = np.argsort(size)
    if size[second] < _GAP * size[third]:
        return None
    return np.asarray(vectors[second] / np.sqrt(np.maximum(columns, 1)))


def split_calendar(slots: Slots, second: Mask) -> Slots:
    """Give the cases of the second kind pieces of the calendar of their own."""
    position, piece = np.divmod(slots.stratum.astype(np.int64), slots.n_pieces)
    own = np.repeat(second, np.diff(slots.offsets)) * slots.n_pieces
    stratum = position * (2 * slots.n_pieces) + own + piece
    return slots.changed(
        split_calendar, second, by_case=True, stratum=stratum.astype(np.uint16),
        n_pieces=2 * slots.n_pieces,
    )  # fmt: skip
