"""The evaluations of a sweep: which keys it varies, and one cell per pair of their values.

A sweep's ``evaluation`` has one row per point and metric: ``point``, ``replicate``,
``seed``, one column per swept key (``section.key``), then the columns of a run's own
evaluation.
"""

from __future__ import annotations

import pyarrow as pa

__all__ = ["is_sweep", "swept_keys"]

_POINT = ("point", "replicate", "seed")


def is_sweep(evaluation: pa.Table) -> bool:
    """Whether the evaluations are those of several points."""
    return set(_POINT) <= set(evaluation.column_names)


def swept_keys(evaluation: pa.Table) -> list[str]:
    """Return the config keys that take more than one value, in their order."""
    names = [name for name in evaluation.column_names if "." in name]
    return [name for name in names if len(set(evaluation[name].to_pylist())) > 1]
