"""Target sets: the groups that gateways are sought for.

A set is a mask over the groups of a log and a phrase that says how it was chosen: by
name, or by a rule on what else is known of the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.arrays import Mask
from gateway.errors import LogError, NobodyToCompareError, Problem, did_you_mean, either, shown
from gateway.log import ReadReport, Remark
from gateway.log.join_log import JoinLog
from gateway.log.messages import listed
from gateway.log.work import over_parts

_MOST_UNKNOWN = 20
# To look for what a name may have meant takes a while in a log of many groups.
_MOST_GUESSES = 5
_MOST_LISTED = 3
# Share of tied target joins above which it is said.
_MANY_TIES = 0.1
# Cross-fitting learns from some users and predicts for the others: it needs one of each
# kind on both sides.
_FEWEST_USERS = 2


@dataclass(frozen=True, eq=False, repr=False)
class TargetSet:
    """The target groups of a log.

    Parameters
    ----------
    mask
        bool, shape (n_groups,): whether the group is a target; kept as a view that cannot
        be written to.
    description
        How the set was chosen, in one phrase. It may hold names from the log as they
        are: escape it where it is shown.
    skipped
        Names that were asked for and that the log lacks.

    Raises
    ------
    ValueError
        If the mask is not a bool array in one dimension.
    """

    mask: Mask
    description: str
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mask.ndim != 1 or self.mask.dtype != np.bool_:
            raise ValueError("mask must be a bool array in one dimension")
        view = self.mask.view()
        view.flags.writeable = False
        object.__setattr__(self, "mask", view)

    def __repr__(self) -> str:
        return (
            f"<TargetSet: {self.count:,} of {len(self.mask):,} groups, {shown(self.description)}>"
        )

    @property
    def count(self) -> int:
        """Number of target groups."""
        return int(np.count_nonzero(self.mask))

    def names(self, joins: JoinLog) -> list[str]:
        """Return the names of the target groups, sorted.

        Raises
        ------
        LogError
            If the target set is that of another log.
        """
        as_targets(joins, self)
        names: list[str] = joins.groups.filter(pa.array(self.mask)).to_pylist()
        return names


def named_targets(
    joins: JoinLog, names: str | Sequence[str], *, skip_unknown: bool = False
) -> TargetSet:
    """Return the target set of the groups with the given names.

    Parameters
    ----------
    joins
        The join log.
    names
        Names of groups of the log, or one name; a name given twice counts once. Those in
        a file are read by ``read_names``.
    skip_unknown
        Whether names that the log lacks are left out; the target set says which.

    Raises
    ------
    LogError
        If no name is given, a name is not that of a group (the message lists up to twenty
        and what may have been meant), none is where they may be skipped, or every group of
        the log is a target.
    """
    wanted = list(dict.fromkeys([names] if isinstance(names, str) else names))
    if not wanted:
        raise LogError("the target groups must be named; got no name")
    index = pc.index_in(pa.array(wanted, pa.string()), value_set=joins.groups)
    unknown = [name for name, at in zip(wanted, index.to_pylist(), strict=True) if at is None]
    known = sorted(set(wanted) - set(unknown))
    if unknown and not (skip_unknown and known):
        raise _unknown(unknown, len(wanted), joins)
    mask = np.zeros(joins.n_groups, np.bool_)
    mask[index.drop_null().to_numpy()] = True
    _check_rest(mask)
    skipped = f" ({len(unknown)} more that the log lacks are skipped)" if unknown else ""
    return TargetSet(mask, _described(known) + skipped, tuple(unknown))


def as_targets(joins: JoinLog, targets: TargetSet | str | Sequence[str]) -> TargetSet:
    """Return a target set, or that of the groups with the given names; as ``named_targets``."""
    if isinstance(targets, TargetSet):
        if len(targets.mask) != joins.n_groups:
            got = f"one of a log with {len(targets.mask):,} groups"
            rule = f"must be a target set of this log, which has {joins.n_groups:,} groups"
            raise LogError(str(Problem("targets", rule, got)))
        return targets
    names = [targets] if isinstance(targets, str) else list(targets)
    if not all(isinstance(name, str) for name in names):
        rule = "must be a target set or names of groups"
        raise LogError(str(Problem("targets", rule, shown(targets))))
    return named_targets(joins, names)


def targets_by_rule(joins: JoinLog, meets: Mask, description: str) -> TargetSet:
    """Return the target set of the groups that meet a rule.

    Parameters
    ----------
    joins
        The join log.
    meets
        bool, shape (n_groups,): whether the group meets the rule.
    description
        The rule, in one phrase.

    Raises
    ------
    LogError
        If no group of the log meets the rule, or every group does.
    ValueError
        If there is not one value for each group.
    """
    if len(meets) != joins.n_groups:
        raise ValueError(f"meets must have {joins.n_groups} values; got {len(meets)}")
    if not meets.any():
        raise LogError(f"some group must meet the rule for targets ({description}); none does")
    _check_rest(meets)
    return TargetSet(mask=meets.copy(), description=description)


def check_learnable(joins: JoinLog, targets: TargetSet, *, compares: bool = True) -> None:
    """Check that a log can teach what leads to the targets.

    Parameters
    ----------
    joins
        The join log.
    targets
        Its target set.
    compares
        Whether users who join a target are to be compared with others, who never do.

    Raises
    ------
    LogError
        If the log has fewer than two users, fewer than two join a target, or no user who
        joins a target had joined another group in an earlier tick.
    NobodyToCompareError
        If fewer than two users join no target where these are needed.
    ValueError
        If the target set is that of another log.
    """
    if len(targets.mask) != joins.n_groups:
        raise ValueError(f"mask must have {joins.n_groups} values; got {len(targets.mask)}")
    if joins.n_users < _FEWEST_USERS:
        raise LogError(
            f"the log must hold at least {_FEWEST_USERS} users, as those of some are compared "
            f"with those of others; got {joins.n_users}"
        )
    found = list(over_parts(joins, _converts, targets))
    converts, prepared = (sum(counts) for counts in zip(*found, strict=True))
    _check_cases(joins, targets, converts, prepared)
    if compares:
        _check_others(joins, targets, converts)


def reading_with(joins: JoinLog, targets: TargetSet) -> ReadReport:
    """Return what was done to the data, with what is known once the targets are.

    Parameters
    ----------
    joins, targets
        The log and its target set.
    """
    found = list(over_parts(joins, _target_ties, targets))
    hits, tied = (sum(counts) for counts in zip(*found, strict=True))
    unit = "tick" if joins.tick == "integer" else joins.tick
    said = (
        f"{tied:,} of {hits:,} target joins are in the same {unit} as a join of another "
        "group by the same user: which came first is not known"
    )
    more = [Remark("target_joins_tied", tied, said if tied > _MANY_TIES * hits else None)]
    if targets.skipped:
        names = listed(targets.skipped)
        text = f"{len(targets.skipped):,} targets that the log lacks are skipped: {names}"
        more.append(Remark("targets_skipped", len(targets.skipped), text))
    return joins.reading.with_remarks(*more)


def _target_ties(joins: JoinLog, targets: TargetSet) -> tuple[int, int]:
    """Return how many target joins there are, and how many tie with a join of another group."""
    row = np.flatnonzero(targets.mask[joins.group])
    user = np.searchsorted(joins.offsets, row, side="right") - 1
    tied = np.zeros(len(row), np.bool_)
    for step in (-1, 1):
        at, open_ = row + step, np.arange(len(row))
        while len(open_):
            inside = (at >= joins.offsets[user[open_]]) & (at < joins.offsets[user[open_] + 1])
            at, open_ = at[inside], open_[inside]
            same = joins.time[at] == joins.time[row[open_]]
            at, open_ = at[same], open_[same]
            other = ~targets.mask[joins.group[at]]
            tied[open_[other]] = True
            at, open_ = at[~other] + step, open_[~other]
    return len(row), int(np.count_nonzero(tied))


def _converts(joins: JoinLog, targets: TargetSet) -> tuple[int, int]:
    """Return how many users join a target, and how many of them something else before."""
    row = np.flatnonzero(targets.mask[joins.group])
    user = np.searchsorted(joins.offsets, row, side="right") - 1
    converts, first = np.unique(user, return_index=True)
    before = joins.time[joins.offsets[converts]] < joins.time[row[first]]
    return len(converts), int(np.count_nonzero(before))


def _check_cases(joins: JoinLog, targets: TargetSet, converts: int, prepared: int) -> None:
    which = f"a target group ({targets.description})"
    if converts < _FEWEST_USERS:
        got = "no user does" if converts == 0 else "one user does"
        raise LogError(f"at least {_FEWEST_USERS} users must join {which}; {got}")
    if not prepared:
        raise LogError(
            f"some user must join another group before {which}; for all {converts} users who "
            f"join a target it is the first thing they join, or in the same {joins.tick} as the "
            "first, so that nothing can be tested"
        )


def _check_others(joins: JoinLog, targets: TargetSet, converts: int) -> None:
    others = joins.n_users - converts
    if others < _FEWEST_USERS:
        got = "every user does" if others == 0 else "all but one do"
        raise NobodyToCompareError(
            f"at least {_FEWEST_USERS} users must never join a target group "
            f"({targets.description}), for comparison; {got} "
            f"({either('detector=', '--detector ')}self_controlled needs no others)"
        )


def _check_rest(mask: Mask) -> None:
    if mask.all():
        raise LogError(
            f"the target groups must not be all groups of the log; got all {len(mask)}, "
            "which leaves none that could be a gateway"
        )


def _described(names: Sequence[str]) -> str:
    which = f": {', '.join(names)}" if len(names) <= _MOST_LISTED else ""
    return f"{len(names)} group{'s' if len(names) != 1 else ''} by name{which}"


def _unknown(unknown: Sequence[str], count: int, joins: JoinLog) -> LogError:
    known = joins.groups.to_pylist()
    shown_ = [_with_guess(name, known) for name in unknown[:_MOST_GUESSES]]
    shown_ += [shown(name) for name in unknown[_MOST_GUESSES:_MOST_UNKNOWN]]
    more = len(unknown) - _MOST_UNKNOWN
    rest = f" and {more} more" if more > 0 else ""
    return LogError(
        f"every target must be a group of the log; {len(unknown)} of {count} "
        f"{'is' if len(unknown) == 1 else 'are'} not: {', '.join(shown_)}{rest}"
    )


def _with_guess(name: str, known: Sequence[str]) -> str:
    guess = did_you_mean(name, known)
    return f"{shown(name)} ({guess})" if guess else shown(name)
