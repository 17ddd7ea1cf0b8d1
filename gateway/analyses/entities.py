"""R10: do gateway groups help a model that predicts which groups will be labelled?

The note claims it of labels non-rec and non-amp and gives no number. Here: entities are
groups, the outcome is a first such label within a span of days, and the model is a logistic
regression on what is known at the span's start. *Without*: members, growth, strikes, severe
strikes, the demotion score, the other label. *With*: also, for each top gateway group, the
share of the members who had joined it before (sparse: most are zero). Gateways can add
something only as far as labels are no function of these: moderation that misses nothing
leaves nothing to gain.

Split by time: features when the workflow ran and labels in the first half of the rest
train; features at that half and labels in the second half test. So nothing that is
learnt, and no gateway, is younger than what is predicted. Groups labelled before are not
asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
from scipy import sparse
from threadpoolctl import threadpool_limits

from gateway.analyses.published import Row, compare
from gateway.analyses.record import Record, until
from gateway.arrays import Float64, Int64, Mask
from gateway.randomness import Purpose, generator

# Inverse strengths of the L2 penalty that cross-validation on the training span chooses from.
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
FOLDS = 4
DRAWS = 500
# With fewer of either kind on either side nothing is learnt or measured.
FEWEST = 8
# A group of fewer members has no shares to speak of.
FEWEST_MEMBERS = 5
Label = Literal["non_rec", "non_amp"]


class Examples(NamedTuple):
    """Groups as the model sees them on a day, and what came of them."""

    group: Int64  # dense ids, shape (n,)
    plain: Float64  # shape (n, n_features)
    # Sparse, shape (n, n_top): share of members who joined the gateway before the group.
    gateways: sparse.csr_matrix
    label: Mask  # shape (n,)


def entity_model(record: Record, *, precision: float, seed: int) -> pa.Table:
    """Return R10: average precision, and recall where precision is at least ``precision``.

    Intervals: percentiles of a bootstrap over the tested groups (Efron 1979), the same
    draws with and without, so that the difference is paired. They leave out the training.
    NaN where a span holds fewer than eight labels.
    """
    half = (record.workflow_day + record.days) // 2
    rows: list[Row] = []
    labels: tuple[Label, ...] = get_args(Label)
    for name in labels:
        train = examples(record, record.workflow_day, half, label=name)
        test = examples(record, half, record.days, label=name)
        counts = [int(part.label.sum()) for part in (train, test)]
        sides = [(k, len(part.label) - k) for k, part in zip(counts, (train, test), strict=True)]
        what = name.replace("_", "-")
        rows += [
            Row("R10", f"{what}: groups tested", float(len(test.label))),
            Row("R10", f"{what}: of them labelled in the tested span", float(counts[1])),
            Row("R10", f"{what}: labelled in the training span", float(counts[0])),
        ]
        p = _predict(train, test) if min(map(min, sides)) >= FEWEST else None
        rows += _measures(what, p, test.label, precision, seed)
    return compare(rows)


def examples(record: Record, day: int, end: int, *, label: Label = "non_rec") -> Examples:
    """Lay out the groups that do not have a label before ``day``, as known on that day.

    Parameters
    ----------
    record
        What happened; of joins, strikes and labels only what came before ``day`` enters
        the features.
    day
        When the model is asked.
    end
        The label counts if it is given from ``day`` on and before this day.
    label
        Which one is predicted; the other is a feature.
    """
    given, other = record.non_rec, record.non_amp
    if label == "non_amp":
        given, other = other, given
    seen = until(record.joins, day)
    size = seen.sizes()
    group = np.flatnonzero((given >= day) & (size >= FEWEST_MEMBERS))
    earlier = until(record.joins, max(1, day - 30)).sizes()
    months = np.append(record.month_start[1:], record.days) <= day
    columns = (
        np.log1p(size),
        np.log1p(size - earlier),
        np.log1p(record.strikes[:, months].sum(axis=1)),
        np.log1p(record.severe[:, months].sum(axis=1)),
        record.demotion_by(day),
        other < day,
    )
    plain = np.column_stack([np.asarray(c, np.float64)[group] for c in columns])
    return Examples(group, plain, _gateway_shares(record, day, size)[group], (given < end)[group])


def _gateway_shares(record: Record, day: int, size: Int64) -> sparse.csr_matrix:
    """Share of each group's members who joined each top gateway earlier, (n_groups, n_top)."""
    seen = until(record.joins, day)
    user, n_users = seen.user(), seen.n_users
    late, members = np.iinfo(np.int64).max, np.maximum(size, 1)
    rows, columns = [], []
    for place, gateway in enumerate(record.top):
        joined = np.full(n_users, late)
        own = seen.group == gateway
        joined[user[own]] = seen.time[own]
        after = seen.group[seen.time > joined[user]]
        rows.append(after)
        columns.append(np.full(len(after), place))
    row = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int64)
    column = np.concatenate([*columns, np.empty(0, np.int64)]).astype(np.int64)
    shape = (len(size), len(record.top))
    counts = sparse.coo_matrix((np.ones(len(row)), (row, column)), shape=shape).tocsr()
    return sparse.csr_matrix(sparse.diags(1 / members) @ counts)


def _predict(train: Examples, test: Examples) -> dict[str, Float64]:
    """Probability of the label for the tested groups, without and with gateway features."""
    # Late, here and below: half a second to load, and most runs do without.
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler  # noqa: PLC0415

    scaler = StandardScaler().fit(train.plain)
    plain = [sparse.csr_matrix(scaler.transform(part.plain)) for part in (train, test)]
    shares = MaxAbsScaler().fit(train.gateways)
    both = [
        sparse.hstack([x, shares.transform(part.gateways)]).tocsr()
        for x, part in zip(plain, (train, test), strict=True)
    ]
    return {
        "without": _fit_and_predict(plain[0], train.label, plain[1]),
        "with": _fit_and_predict(both[0], train.label, both[1]),
    }


def _fit_and_predict(x: sparse.csr_matrix, y: Mask, new: sparse.csr_matrix) -> Float64:
    """Logistic regression; the penalty of the best cross-validated average precision."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.metrics import average_precision_score  # noqa: PLC0415

    fold = np.zeros(len(y), np.int64)
    for outcome in (True, False):
        fold[y == outcome] = np.arange(np.count_nonzero(y == outcome)) % FOLDS

    def fit(strength: float, rows: Mask) -> Any:
        return LogisticRegression(C=strength, max_iter=1_000).fit(x[rows], y[rows])

    def quality(strength: float) -> float:
        p = np.empty(len(y))
        for k in range(FOLDS):
            p[fold == k] = fit(strength, fold != k).predict_proba(x[fold == k])[:, 1]
        return float(average_precision_score(y, p))

    # One BLAS thread: a threaded dot product adds in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        best = max(STRENGTHS, key=quality)
        return np.asarray(fit(best, np.ones(len(y), bool)).predict_proba(new)[:, 1])


def recall_at_precision(label: Mask, p: Float64, *, precision: float) -> float:
    """Return the largest recall at which precision is at least ``precision``; 0 for none.

    Examples
    --------
    >>> label, p = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])
    >>> recall_at_precision(label, p, precision=0.6)
    1.0
    >>> recall_at_precision(label, p, precision=0.9)
    0.5
    """
    from sklearn.metrics import precision_recall_curve  # noqa: PLC0415

    found, recall, _ = precision_recall_curve(label, p)
    return float(recall[found >= precision].max(initial=0.0))


def _measures(
    what: str, p: dict[str, Float64] | None, label: Mask, precision: float, seed: int
) -> Iterator[Row]:
    from sklearn.metrics import average_precision_score  # noqa: PLC0415

    measures: dict[str, Callable[[Mask, Float64], float]] = {
        "average precision": lambda y, q: float(average_precision_score(y, q)),
        f"recall at precision {precision:g}": lambda y, q: recall_at_precision(
            y, q, precision=precision
        ),
    }
    for number, (name, measure) in enumerate(measures.items()):
        if p is None:
            yield from (Row("R10", f"{what}: {name}: {how}", float("nan")) for how in _HOWS)
            continue
        values = _three(measure, label, p)
        rng = generator(seed, Purpose.BOOTSTRAP, 10, number)
        draws = np.array([_three(measure, *_draw(rng, label, p)) for _ in range(DRAWS)])
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        for place, how in enumerate(_HOWS):
            interval = float(low[place]), float(high[place])
            yield Row("R10", f"{what}: {name}: {how}", values[place], interval)


_HOWS = ("without gateway features", "with gateway features", "gain")


def _three(
    measure: Callable[[Mask, Float64], float], label: Mask, p: dict[str, Float64]
) -> tuple[float, float, float]:
    without, with_ = measure(label, p["without"]), measure(label, p["with"])
    return without, with_, with_ - without


def _draw(
    rng: np.random.Generator, label: Mask, p: dict[str, Float64]
) -> tuple[Mask, dict[str, Float64]]:
    """Resample labelled and unlabelled groups apart, so that every draw has some of each."""
    parts = [np.flatnonzero(label == outcome) for outcome in (True, False)]
    i = np.concatenate([rng.choice(part, len(part)) for part in parts])
    return label[i], {how: q[i] for how, q in p.items()}
