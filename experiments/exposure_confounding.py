"""Why does the corrected contrast of R3 go further from the truth than the note's own?

The analysis of R3 aligns time zero, lets exposure to GYSJ begin when it begins, and finds
exposed users at *lower* risk, where the randomised holdout finds no effect. Here the
simulator's truth is looked at: what users who were exposed before their first gateway join
like, beside those who were not, and what is left of the contrast among users alike in it.

Two questions:

1. Is the inclination (the latent interest in harm) of the two groups alike at time zero?
2. Does the contrast vanish among users of like inclination, of like numbers of occasions,
   or of both? Risks are standardised: the same strata weights for exposed and not (direct
   standardisation), with the Kaplan-Meier curves of R3 within strata. And does it vanish
   where exposure is decided by lot alone: users who were held out against all others?

Run: python experiments/exposure_confounding.py [CONFIG] [--seed N]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from note_worlds import found_record

from gateway.analyses import exposure
from gateway.analyses.record import Record
from gateway.results import load_config
from gateway.world import World
from gateway.world.model import NEVER

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
# Strata with fewer users at risk at time zero on either side tell nothing.
FEWEST = 50


def inclination(world: World) -> Float64:
    """Share of harm topics in each user's interests, shape (n_users,)."""
    interest = world.users.interest[:, : len(world.kinds)]
    return np.asarray(interest.sum(axis=1), np.float64)


def take(follow: exposure.Follow, rows: Mask) -> exposure.Follow:
    """Follow-up of some users."""
    return exposure.Follow(*(column[rows] for column in follow))


def risks(follow: exposure.Follow, days: int) -> tuple[float, float]:
    """Corrected risks by a day: exposed, not exposed."""
    ends = [exposure.risk_curve(follow, exposed=x, days=days).risk[days] for x in (True, False)]
    return float(ends[0]), float(ends[1])


def standardised(follow: exposure.Follow, stratum: Int64, days: int) -> tuple[float, float, float]:
    """Corrected risks with the same weights of strata, and the share of users in them."""
    parts, weights = [], []
    for number in np.unique(stratum):
        part = take(follow, stratum == number)
        sides = [exposure.risk_curve(part, exposed=x, days=days) for x in (True, False)]
        if min(int(side.at_risk[1:].max(initial=0)) for side in sides) < FEWEST:
            continue
        parts.append([float(side.risk[days]) for side in sides])
        weights.append(len(part.user))
    if not parts:
        return np.nan, np.nan, 0.0
    exposed, without = np.average(parts, axis=0, weights=weights)
    return float(exposed), float(without), sum(weights) / len(follow.user)


def strata(values: Float64, cuts: tuple[float, ...]) -> Int64:
    """Number of the bin of each value."""
    return np.searchsorted(cuts, values, side="right").astype(np.int64)


def lines(record: Record, world: World, days: int) -> Iterator[str]:
    """What is found, as text."""
    follow = exposure.follow_up(record)
    like = inclination(world)[follow.user]
    n = world.users.occasions[follow.user].astype(np.float64)
    held = record.arms.gysj[follow.user]
    before = follow.exposed_at == 0
    yield "inclination = share of harm topics in a user's interests; at the first gateway join"
    for name, rows in (
        ("exposed before", before & ~held),
        ("not exposed yet, not held out", ~before & ~held),
        ("held out", held),
    ):
        drawn = (like[rows] > 0.5).mean()
        yield (
            f"  {name:30} {rows.sum():7} users, mean inclination {like[rows].mean():.3f}, "
            f"above one half {drawn:.3f}, risk in the end {follow.event[rows].mean():.3f}, "
            f"occasions {n[rows].mean():.1f}"
        )
    yield f"corrected risk by day {days}: exposed, not exposed, difference (share of users used)"
    by_like = strata(like, (1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.6, 0.9))
    by_number = strata(n, (5, 10, 15, 20, 30, 45, 70))
    alone = np.zeros(len(like), np.int64)
    for name, stratum in (
        ("as in R3", alone),
        ("alike in occasions", by_number),
        ("alike in inclination", by_like),
        ("alike in both", by_like * 10 + by_number),
    ):
        exposed, without, used = standardised(follow, stratum, days)
        yield f"  {name:30} {exposed:.4f} {without:.4f} {exposed - without:+.4f} ({used:.2f})"
    lot = [follow.event[held == side].mean() for side in (False, True)]
    yield "by lot, among gateway members: risk in the end without holdout, held out, difference"
    yield f"  {lot[0]:.4f} {lot[1]:.4f} {lot[0] - lot[1]:+.4f}"
    everybody = record.first_join(record.is_non_rec) < NEVER
    arm = record.arms.gysj
    gap = everybody[~arm].mean() - everybody[arm].mean()
    yield f"by lot, among all users: difference {gap:+.4f}"


def main() -> None:
    """Print what is found in the world of a config."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", default="configs/note.toml")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    seed = [] if options.seed is None else [f"experiment.seed={options.seed}"]
    config = load_config(options.config, overrides=seed)
    record, world = found_record(config)
    days = config.note.follow_days if config.note is not None else 180
    print("\n".join(lines(record, world, days)))


if __name__ == "__main__":
    main()
