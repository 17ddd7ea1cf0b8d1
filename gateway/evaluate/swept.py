"""The evaluations of a sweep: which keys it varies, and means over its replicates.

A sweep's ``evaluation`` has one row per point and metric: ``point``, ``replicate``,
``seed``, one column per swept key (``section.key``), then the columns of a run's own
evaluation.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gateway.evaluate.planted import EVALUATION_SCHEMA
from gateway.evaluate.replicates import summarise_replicates

__all__ = ["compare_detectors", "is_sweep", "swept_keys"]

_POINT = ("point", "replicate", "seed")
_SCORER = "scorer:"


def is_sweep(evaluation: pa.Table) -> bool:
    """Tell whether the evaluations are those of several points."""
    return set(_POINT) <= set(evaluation.column_names)


def swept_keys(evaluation: pa.Table) -> list[str]:
    """Return the config keys that take more than one value, in their order."""
    names = [name for name in evaluation.column_names if "." in name]
    return [name for name in names if len(set(evaluation[name].to_pylist())) > 1]


def compare_detectors(evaluation: pa.Table) -> pa.Table | None:
    """Return every metric of every detector, over replicates where there are some.

    Parameters
    ----------
    evaluation
        Of one run, or of a sweep over seeds.

    Returns
    -------
    pyarrow.Table or None
        Columns of ``EVALUATION_SCHEMA`` and ``n_worlds``, scorers left out. The interval of
        one run is its own, that of several worlds the one of their mean. None for fewer
        than two detectors, and for a sweep that varies more than the seed: means over
        different worlds would mean nothing.
    """
    if not is_sweep(evaluation):
        table = evaluation.select(EVALUATION_SCHEMA.names)
        table = table.append_column("n_worlds", pa.array(np.ones(table.num_rows, np.int64)))
    elif swept_keys(evaluation):
        return None
    else:
        table = summarise_replicates(evaluation, by=("detector", "truth", "metric"))
    table = table.filter(pc.invert(pc.starts_with(table["detector"], _SCORER)))
    return table if len(set(table["detector"].to_pylist())) > 1 else None
