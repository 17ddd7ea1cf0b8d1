"""Which groups an intervention acts on, and whose total effect is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gateway.analyses import judge_groups
from gateway.arrays import Float64, Mask
from gateway.config.interventions import OnGroupsSection
from gateway.counterfactual.pinning import earlier_findings
from gateway.world.model import groups_in_roles


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the groups after the factual run."""

    names: pa.StringArray  # shape (n_groups,)
    role: npt.NDArray[np.uint8]  # shape (n_groups,): a ``Role``
    n_joins: npt.NDArray[np.int64]  # shape (n_groups,): members by the end
    gateways: pa.Table  # table of the detectors' findings
    truth: pa.Table  # table of the direct effects, a row for each group in order


def choose_groups(section: OnGroupsSection, known: Known) -> Mask:
    """Return the groups of an intervention, bool, shape (n_groups,).

    Where ``top`` cuts through equals they all come in: to take some would be to choose by
    name. A truth of zero or less is never among the top.
    """
    if section.roles is not None:
        chosen = groups_in_roles(known.role, section.roles)
        return chosen if section.top is None else largest(known.n_joins, chosen, section.top)
    if section.names is not None:
        return _named(known, section.names)
    if section.verdict is not None:
        judged = judge_groups(known.gateways)
        says = [] if judged is None else judged.filter(judged[section.verdict])["group"].to_pylist()
        return _named(known, says)
    if section.oracle is not None:
        value = _truth(known, section.oracle)
        return largest(value, value > 0, section.top or 0)
    return _named(known, _found(section, known)["group"].to_pylist())


def largest(value: npt.ArrayLike, among: Mask, count: int) -> Mask:
    """Return the ``count`` largest values of a mask, with all that equal the last of them."""
    values = np.asarray(value, np.float64)
    ordered = np.sort(values[among])[::-1]
    if count <= 0 or len(ordered) == 0:
        return np.zeros_like(among)
    return np.asarray(among & (values >= ordered[min(count, len(ordered)) - 1]))


def _named(known: Known, names: Sequence[str]) -> Mask:
    return np.asarray(pc.is_in(known.names, value_set=pa.array(names, pa.string())))


def _truth(known: Known, oracle: str) -> Float64:
    """Direct effect of each group, zero where there is none: per join, or of all its joins."""
    direct = known.truth["direct_effect"].to_numpy(zero_copy_only=False).astype(np.float64)
    effect: Float64 = np.nan_to_num(direct)
    joins = known.truth["n_joins"].to_numpy().astype(np.float64)
    return effect * joins if oracle == "caused" else effect


def _found(section: OnGroupsSection, known: Known) -> pa.Table:
    """Rows of the detector that the intervention trusts: flagged, or of the first ranks."""
    if section.from_result is not None:
        rows = earlier_findings(section)
    else:
        of_this_run = pc.equal(known.gateways["detector"], section.from_detector)
        rows = known.gateways.filter(of_this_run)
    if section.flagged:
        return rows.filter(rows["flagged"])
    return rows.filter(pc.fill_null(pc.less_equal(rows["rank"], section.top), False))
