"""Two kinds of users, told apart by what they join, each with a calendar of its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from gateway.arrays import Float64, Mask
from gateway.detect.self_controlled.slots import Slots

# How clearly the second singular value must stand out: where users are of one kind the second
# and the third differ by chance, and the split would be of noise.
_GAP = 1.25
# Cases that the split is found with; all are then assigned.
_SAMPLE = 1 << 17
# With fewer cases two calendars are noise.
_FEWEST = 500


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
    if slots.n_cases < _FEWEST:
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
