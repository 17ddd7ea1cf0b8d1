"""What the note shows, recomputed: tables in, one table out."""

from __future__ import annotations

import pyarrow as pa

from gateway.analyses.actors import invitations_in, inviting, rank_inviters
from gateway.analyses.curves import event_study, probability_curves
from gateway.analyses.entities import entity_model
from gateway.analyses.explanation import Explanation, explain_group, explain_top
from gateway.analyses.exposure import exposure_contrast, pymi_holdout, pymk_arms
from gateway.analyses.group_labels import (
    group_signals,
    label_times,
    labelled_gateways,
    matched_excess,
    signal_correlations,
)
from gateway.analyses.information import (
    Information,
    detectable_ratio,
    information_of,
    nothing_ranked,
)
from gateway.analyses.join_sources import (
    PATHWAYS_SCHEMA,
    invited_members,
    join_sources,
    pathways,
    second_table,
)
from gateway.analyses.judgement import (
    ATTRACTS,
    JUDGED,
    MEANING,
    UNTOLD,
    VERDICTS,
    Verdict,
    judge_groups,
    verdict_of,
)
from gateway.analyses.look_alike import OddsRatio, common_odds_ratio
from gateway.analyses.published import COMPARISON_SCHEMA, Row, compare
from gateway.analyses.record import Invitations, Record, Requests, record_of, top_groups, until
from gateway.config.schema import NoteSection

__all__ = [
    "ATTRACTS",
    "COMPARISON_SCHEMA",
    "JUDGED",
    "MEANING",
    "PATHWAYS_SCHEMA",
    "UNTOLD",
    "VERDICTS",
    "Explanation",
    "Information",
    "Invitations",
    "OddsRatio",
    "Record",
    "Requests",
    "Row",
    "Verdict",
    "analyse_note",
    "common_odds_ratio",
    "compare",
    "detectable_ratio",
    "entity_model",
    "event_study",
    "explain_group",
    "explain_top",
    "exposure_contrast",
    "group_signals",
    "information_of",
    "invitations_in",
    "invited_members",
    "inviting",
    "join_sources",
    "judge_groups",
    "label_times",
    "labelled_gateways",
    "matched_excess",
    "nothing_ranked",
    "pathways",
    "probability_curves",
    "pymi_holdout",
    "pymk_arms",
    "rank_inviters",
    "record_of",
    "second_table",
    "signal_correlations",
    "top_groups",
    "until",
    "verdict_of",
]


def analyse_note(record: Record, options: NoteSection, *, seed: int) -> dict[str, pa.Table]:
    """Return the note's analyses by name.

    ``comparison`` holds every row of R1 to R10, published beside simulated;
    ``actors`` the note's questions on gateway groups and invitations (``inviting``);
    ``label_times`` what the figure of labels over time draws, ``pathways`` the requests of R1
    by gateway group and source. Where the simulator's
    parameters were fitted to the published numbers, agreement is not evidence about the
    real platform.

    Parameters
    ----------
    record
        What happened, and the gateways found when the workflow ran.
    """
    margin = options.equivalence_margin
    return {
        "comparison": pa.concat_tables(
            [
                join_sources(record),
                second_table(record),
                exposure_contrast(record, horizon=options.follow_days),
                invited_members(record),
                pymi_holdout(record, margin=margin),
                pymk_arms(record, margin=margin),
                labelled_gateways(record),
                signal_correlations(record),
                entity_model(record, precision=options.precision, seed=seed),
            ]
        ),
        "actors": inviting(
            record.joins, record.invitations, gateways=record.is_top, targets=record.is_target
        ),
        "label_times": label_times(record),
        "pathways": pathways(record),
    }
