"""Which logs a check makes: quick, or thorough."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.swept import CheckedLog, CheckSection


@dataclass(frozen=True)
class Design:
    """How many logs of each kind.

    Parameters
    ----------
    nulls
        Permutations of each of the two nulls.
    placebos
        Placebo target sets.
    ratios
        Rate ratios that are planted.
    plantings
        Logs of each ratio with gateways anywhere.
    aligned
        Logs of each ratio with gateways among the groups whose members join targets most.
    by_size
        Logs of each ratio with gateways among large, and among small groups.
    """

    nulls: int
    placebos: int
    ratios: tuple[float, ...]
    plantings: int
    aligned: int
    by_size: int


QUICK = Design(nulls=10, placebos=2, ratios=(2.0, 4.0, 8.0), plantings=1, aligned=1, by_size=0)
THOROUGH = Design(
    nulls=100, placebos=10, ratios=(1.5, 2.0, 3.0, 5.0, 8.0), plantings=6, aligned=6, by_size=3
)


@dataclass(frozen=True)
class LogOfCheck:
    """One log: its kind, the seed of what is drawn for it, and what is planted where."""

    log: CheckedLog
    seed: int
    where: str = "anywhere"
    ratio: float = 1.0

    def section(self) -> CheckSection:
        """Return the section of a config that makes it."""
        return CheckSection.model_validate(
            {"log": self.log, "where": self.where, "ratio": self.ratio}
        )


def logs_of(design: Design, *, seed: int) -> list[LogOfCheck]:
    """Return every log of a design; those of one kind have seeds from ``seed`` upwards."""
    found = [LogOfCheck("time_reversed", seed)]
    for log in ("labels_permuted", "permuted_within_users"):
        found += [LogOfCheck(log, seed + i) for i in range(design.nulls)]
    found += [LogOfCheck("placebo_targets", seed + i) for i in range(design.placebos)]
    counts = {"anywhere": design.plantings, "aligned": design.aligned,
              "large": design.by_size, "small": design.by_size}  # fmt: skip
    found += [
        LogOfCheck("planted", seed + i, where, ratio)
        for where, count in counts.items()
        for ratio in design.ratios
        for i in range(count)
    ]
    return found
