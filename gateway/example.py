"""A small simulated log of which the truth is known, in the package: for a first look."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import NamedTuple

from gateway.log import read_names
from gateway.log.join_log import JoinLog
from gateway.targets import TargetSet, named_targets


class ExampleLog(NamedTuple):
    """The bundled log and what is known of it.

    Parameters
    ----------
    joins
        The log: user, group, day, source and, of a recommended join, the group that seeded it.
    targets
        The target set.
    truth
        Names of the planted gateways: a join raises the member's taste for the targets.
    look_alikes
        Names of groups that attract users who go to targets anyway, or are merely large.
    """

    joins: JoinLog
    targets: TargetSet
    truth: tuple[str, ...]
    look_alikes: tuple[str, ...]

    def __repr__(self) -> str:
        known = f"{len(self.truth)} gateways, {len(self.look_alikes)} look-alikes"
        return f"<ExampleLog: {self.joins!r}, {self.targets!r}, {known}>"


def example_log() -> ExampleLog:
    """Return a small simulated log in which the gateways are known.

    A platform of 8,000 users and 400 groups over 540 days: 24 target groups, eight gateways,
    eight groups that attract users who are inclined anyway, six that are merely large.
    ``configs/example.toml`` made it, with seed 1; its targets were widened after a first look
    at seeds 1 and 2. It illustrates, and is no evidence of how well a detector works.

    Returns
    -------
    ExampleLog
        ``joins``, ``targets``, ``truth`` and ``look_alikes``, which can be unpacked.

    Examples
    --------
    >>> joins, targets, truth, look_alikes = example_log()
    >>> joins
    <JoinLog: 72,228 joins of 400 groups by 8,000 users, by the day>
    >>> targets.count, len(truth), len(look_alikes)
    (24, 8, 14)
    """
    with as_file(files("gateway") / "data") as folder:
        joins = JoinLog.read(folder / "example_log.parquet")
        groups = folder / "example_groups.csv"
        targets, truth, inclined, large = (
            read_names(groups, where={"role": role})
            for role in ("target", "influence", "homophily", "hub")
        )
    return ExampleLog(joins, named_targets(joins, targets), truth, (*inclined, *large))
