"""Slow, obvious twins of the conditional likelihood: every way in which events can fall."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def ways(eta: np.ndarray, n: int) -> list[tuple[tuple[int, ...], float]]:
    """Every choice of n events among the slots, with its probability."""
    choices = list(combinations(range(len(eta)), n))
    weight = np.array([np.exp(sum(eta[s] for s in chosen)) for chosen in choices])
    return list(zip(choices, (weight / weight.sum()).tolist(), strict=True))


def log_total(eta: np.ndarray, n: int) -> float:
    """log e_n(w)."""
    return float(
        np.log(sum(np.exp(sum(eta[s] for s in c)) for c in combinations(range(len(eta)), n)))
    )


def chances(eta: np.ndarray, n: int) -> np.ndarray:
    """P(slot s is one of the n events)."""
    found = np.zeros(len(eta))
    for chosen, p in ways(eta, n):
        found[list(chosen)] += p
    return found


def masses(eta: np.ndarray, n: int, slots: list[int], beta: float) -> np.ndarray:
    """P(k of the n events are among some slots), without their beta."""
    without = eta.copy()
    without[slots] -= beta
    found = np.zeros(min(len(slots), n) + 1)
    for chosen, p in ways(without, n):
        found[len(set(chosen) & set(slots))] += p
    return found
