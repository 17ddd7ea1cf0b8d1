"""What the note's numbers say of gateways, and whether the inference can be trusted.

Log10 Bayes factors of hypotheses, of all numbers, of a claim alone and of a number or claim given
the others, with their Monte Carlo error; the 90 % bands of each number; how much it could tell;
coverage in worlds held out. ``calibrate_note`` says how they are defined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from note_numbers import CLAIMS, FITTED, back, observed, transform
from note_surrogate import Normal, Posterior, Surface, fit_surfaces, infer, predict, predict_given
from note_worlds import HYPOTHESES, N_PARAMETERS, NAMES, Store, as_arrays
from scipy.special import logsumexp
from scipy.stats import beta, norm

__all__ = ["BAND", "PAIRS", "PRIOR", "Study", "bands", "bayes_factors", "calibration",
           "could_tell", "events", "posteriors"]  # fmt: skip

Float64 = npt.NDArray[np.float64]
PRIOR = Normal(np.zeros(N_PARAMETERS), np.eye(N_PARAMETERS))
BAND = (0.05, 0.5, 0.95)
THERE = {"all": (True, True), "no gateways": (False, True),
         "no look-alikes": (True, False), "neither": (False, False)}  # fmt: skip
# Pairs whose Bayes factors are shown: is it there, against is it not.
PAIRS = (("all", "no gateways"), ("all", "no look-alikes"), ("no look-alikes", "neither"))
LOG10 = float(np.log(10))


@dataclass
class Study:
    """Worlds so far, the proposals that they were drawn from, and a few full-size worlds.

    A full-size world's numbers differ from a small one's at the same parameters. The difference is
    taken to be the same at all parameters near (the simplest of the two-level models of Kennedy,
    O'Hagan 2000, Biometrika 87, 1), and the surrogate is shifted by it.
    """

    store: Store
    entries: list[dict[str, Any]]
    proposals: dict[tuple[int, str], Normal]
    full: list[dict[str, Any]] = field(default_factory=list)

    def arrays(self) -> tuple[Float64, npt.NDArray[np.bool_], Float64]:
        """Return points, presence and fitted numbers (transformed) of the usable worlds."""
        x, there, values = as_arrays(self.entries, [n.name for n in FITTED])
        return x, there, transform(values)

    def usable(self) -> list[dict[str, Any]]:
        """Return the entries that ``arrays`` has."""
        return [entry for entry in self.entries if entry["values"]]

    def clusters(self) -> npt.NDArray[np.int64]:
        """Return the seed of each usable world, which worlds of all hypotheses share."""
        return np.array([entry["seed"] for entry in self.usable()], np.int64)

    def near(self) -> npt.NDArray[np.bool_]:
        """Return which usable worlds are of the last round, or of all where it has too few."""
        rounds = np.array([entry["round"] for entry in self.usable()])
        last = rounds == rounds.max()
        return last if last.sum() >= 2 * len(FITTED) else np.ones(len(rounds), bool)

    def surfaces(
        self, chosen: npt.NDArray[np.int64] | None = None, *, small: bool = False
    ) -> dict[str, Surface]:
        """Return the surrogate of each hypothesis from all worlds, or some of them.

        It is of full-size worlds where there are any, unless it is to be of ``small`` ones.
        """
        x, there, y = self.arrays()
        near, cluster = self.near(), self.clusters()
        if chosen is not None:
            x, there, y, near = x[chosen], there[chosen], y[chosen], near[chosen]
            cluster = cluster[chosen]
        found = fit_surfaces(x, there, y, cluster, near=near)
        surfaces = {name: found[presence] for name, presence in THERE.items()}
        return surfaces if small else self._shifted(surfaces)

    def _shifted(self, surfaces: dict[str, Surface]) -> dict[str, Surface]:
        """Add the mean difference of the full-size worlds; of no such world that of the others."""
        x, _, values = as_arrays(self.full, [n.name for n in FITTED])
        names = np.array([entry["hypothesis"] for entry in self.full if entry["values"]])
        away = transform(values) - np.array(
            [surfaces[name].mean(at) for name, at in zip(names, x, strict=True)]
        ).reshape(values.shape)
        shift = {name: np.nan_to_num(np.nanmean(away[names == name], axis=0))
                 for name in dict.fromkeys(names.tolist())}  # fmt: skip
        if not shift:
            return surfaces
        others = np.mean(list(shift.values()), axis=0)
        return {name: s._replace(a=s.a + shift.get(name, others)) for name, s in surfaces.items()}


def posteriors(surfaces: Mapping[str, Surface], seed: int) -> dict[str, Posterior]:
    """Return the posterior of each hypothesis given all fitted numbers."""
    y, discrepancy = observed()
    return {
        name: infer(s, y, prior=PRIOR, rng=np.random.default_rng(seed), discrepancy=discrepancy)
        for name, s in surfaces.items()
    }


def subsets() -> dict[tuple[str, str], npt.NDArray[np.bool_]]:
    """Return masks of the numbers whose Z is wanted, by what they are of and a name."""
    claim = np.array([n.id for n in FITTED])
    everything = np.ones(len(FITTED), bool)
    masks = {("everything", ""): everything}
    for place, number in enumerate(FITTED):
        masks["without", number.name] = np.arange(len(FITTED)) != place
    for name in CLAIMS:
        masks["without", name] = claim != name
        masks["alone", name] = claim == name
    return masks


def log_evidences(surfaces: Mapping[str, Surface], *, seed: int, n: int) -> dict[Any, float]:
    """Return log Z by (hypothesis, kind, name)."""
    y, discrepancy = observed()
    found = {}
    for name, surface in surfaces.items():
        for key, mask in subsets().items():
            rng = np.random.default_rng(seed)
            part = infer(surface.of(mask), y[mask], prior=PRIOR, rng=rng,
                         discrepancy=discrepancy[mask], n=n)  # fmt: skip
            found[name, *key] = part.log_evidence
    return found


def factor(z: Mapping[Any, float], one: str, other: str, kind: str, name: str) -> float:
    """Return a log10 Bayes factor: of everything, of a claim alone, or given the others."""

    def score(hypothesis: str) -> float:
        if kind == "given the others":
            whole = z[hypothesis, "everything", ""]
            return whole - z[hypothesis, "without", name]
        return z[hypothesis, kind, name]

    return (score(one) - score(other)) / LOG10


def bayes_factors(study: Study, *, bootstraps: int, seed: int) -> list[dict[str, Any]]:
    """Return log10 Bayes factors with their Monte Carlo errors, one row per pair and number."""
    exact = log_evidences(study.surfaces(), seed=seed, n=4000)
    cluster = study.clusters()
    seeds = np.unique(cluster)
    copies = []
    for number in range(bootstraps):
        rng = np.random.default_rng([seed, number])
        drawn = rng.choice(seeds, len(seeds))
        chosen = np.concatenate([np.flatnonzero(cluster == one) for one in drawn])
        copy = replace(study, full=_resampled(study.full, rng))
        copies.append(log_evidences(copy.surfaces(chosen), seed=seed + 1 + number, n=1000))
    asked = [("everything", "")]
    asked += [(kind, name) for name in CLAIMS for kind in ("given the others", "alone")]
    asked += [("given the others", number.name) for number in FITTED]
    rows = []
    for one, other in PAIRS:
        for kind, name in asked:
            drawn = [factor(z, one, other, kind, name) for z in copies]
            rows.append(
                {"one": one, "other": other, "kind": kind, "of": name,
                 "log10_bayes_factor": factor(exact, one, other, kind, name),
                 "mc_error": float(np.std(drawn, ddof=1)) if len(drawn) > 1 else float("nan")}
            )  # fmt: skip
    return rows


def _resampled(full: list[dict[str, Any]], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return full-size worlds drawn again, as many of each hypothesis."""
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(entry["hypothesis"] for entry in full):
        own = [entry for entry in full if entry["hypothesis"] == name]
        found += [own[i] for i in rng.integers(0, len(own), len(own))]
    return found


def could_tell(surfaces: Mapping[str, Surface], *, seed: int, n: int = 600) -> dict[str, float]:
    """Return each number's expected log10 Bayes factor given the others, if gateways are there.

    Mean over draws of the number from its predictive distribution under ``all``.
    """
    y, discrepancy = observed()
    found = {}
    for place, number in enumerate(FITTED):
        given = np.arange(len(FITTED)) != place
        mixtures = []
        for name in ("all", "no gateways"):
            rng = np.random.default_rng([seed, place])
            part = infer(surfaces[name].of(given), y[given], prior=PRIOR, rng=rng,
                         discrepancy=discrepancy[given], n=2000)  # fmt: skip
            mean, cov = predict_given(surfaces[name], y, given, part.draws[:n], discrepancy)
            mixtures.append((mean[:, 0], float(np.sqrt(cov[0, 0]))))
        (mean, sd), _ = mixtures
        drawn = mean + sd * np.random.default_rng([seed, place, 1]).standard_normal(n)
        density = [logsumexp(norm.logpdf(drawn[:, None], m, s), axis=1) for m, s in mixtures]
        found[number.name] = float((density[0] - density[1]).mean() / LOG10)
    return found


def bands(surfaces: Mapping[str, Surface], *, seed: int) -> dict[Any, Float64]:
    """Return the 90 % band and median of each number, by (hypothesis, kind, number).

    ``fitted``: of new worlds of the posterior given all numbers, without discrepancy.
    ``others``: of the published number as predicted from all others, with it.
    """
    y, discrepancy = observed()
    found = {}
    for name, posterior in posteriors(surfaces, seed).items():
        rng = np.random.default_rng(seed + 1)
        drawn = back(predict(surfaces[name], posterior.draws, rng))
        for place, number in enumerate(FITTED):
            found[name, "fitted", number.name] = np.quantile(drawn[:, place], BAND)
            given = np.arange(len(FITTED)) != place
            part = infer(surfaces[name].of(given), y[given], prior=PRIOR, rng=rng,
                         discrepancy=discrepancy[given], n=2000)  # fmt: skip
            mean, cov = predict_given(surfaces[name], y, given, part.draws, discrepancy)
            values = mean[:, 0] + np.sqrt(cov[0, 0]) * rng.standard_normal(len(mean))
            spread = np.quantile(back(values[:, None], (number,))[:, 0], BAND)
            found[name, "others", number.name] = spread
    return found


def events(study: Study) -> list[dict[str, Any]]:
    """Return how often claims without a number hold in the worlds of the last round.

    "Not enough evidence": p > .05. The interval of a share of worlds is Jeffreys'; the factor of
    two hypotheses is the ratio of the posterior means (k + .5) / (n + 1).
    """
    last = max(entry["round"] for entry in study.usable())
    claims = {
        "R6 PYMI: no evidence": "R6 PYMI: p-value of no difference",
        "R7 PYMK shown: no evidence": "R7 PYMK shown: p-value of no difference",
        "R7 PYMK featured: no evidence": "R7 PYMK featured: p-value of no difference",
    }
    rows = []
    for label, name in claims.items():
        for hypothesis in HYPOTHESES:
            worlds = [e["values"] for e in study.usable()
                      if e["round"] == last and e["hypothesis"] == hypothesis]  # fmt: skip
            p = np.array([values[name] for values in worlds], np.float64)
            p = p[~np.isnan(p)]
            k, n = int((p > 0.05).sum()), len(p)
            low, high = beta.ppf([0.05, 0.95], k + 0.5, n - k + 0.5)
            rows.append({"event": label, "hypothesis": hypothesis, "worlds": n, "holds": k,
                         "share": (k + 0.5) / (n + 1), "low": low, "high": high})  # fmt: skip
    return rows


# Is the inference right? -----------------------------------------------------------------


def calibration(
    study: Study, *, seed: int, folds: int = 5, most: int = 240
) -> list[dict[str, Any]]:
    """Return coverage of credible intervals and of the surrogate's bands in worlds held out.

    Each world's parameters are inferred from its own numbers, with the normal distribution that it
    was drawn from as the prior and a surrogate of the other folds. Ranks should be uniform.
    """
    x, _, y = study.arrays()
    entries = study.usable()
    cluster = study.clusters()
    seeds = np.random.default_rng(seed).permutation(np.unique(cluster))
    ranks, inside = [], []
    for fold in range(folds):
        held = np.flatnonzero(np.isin(cluster, seeds[fold::folds]))
        surfaces = study.surfaces(np.setdiff1d(np.arange(len(entries)), held), small=True)
        for place in held[: most // folds]:
            entry = entries[place]
            if np.isnan(y[place]).any():
                continue
            surface = surfaces[entry["hypothesis"]]
            prior = study.proposals[entry["round"], entry["hypothesis"]]
            found = infer(surface, y[place], prior=prior, n=1000,
                          rng=np.random.default_rng([seed, int(place)]))  # fmt: skip
            ranks.append((found.draws < x[place]).mean(axis=0))
            z = (y[place] - surface.mean(x[place])) / np.sqrt(np.diag(surface.cov))
            inside.append(np.abs(z) < norm.ppf(BAND[2]))
    rank, covered = np.array(ranks), np.array(inside)
    rows: list[dict[str, Any]] = []
    for name, column in zip(NAMES, rank.T, strict=True):
        counts = np.histogram(column, bins=5, range=(0, 1))[0]
        expected = len(column) / 5
        away = np.abs(column - 0.5)
        rows.append(
            {"of": name, "worlds": len(column), "coverage_50": float((away < 0.25).mean()),
             "coverage_90": float((away < 0.45).mean()),
             "chi_squared_4": float(((counts - expected) ** 2 / expected).sum())}
        )  # fmt: skip
    nothing = float("nan")
    for number, column in zip(FITTED, covered.T, strict=True):
        rows.append(
            {"of": number.name, "worlds": len(column), "coverage_50": nothing,
             "coverage_90": float(column.mean()), "chi_squared_4": nothing}
        )  # fmt: skip
    return rows
