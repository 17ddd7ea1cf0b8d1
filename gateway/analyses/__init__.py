"""What the note shows, recomputed: tables in, one table out."""

from gateway.analyses.comparison import COMPARISON_SCHEMA, Row, compare
from gateway.analyses.curves import probability_curves
from gateway.analyses.entities import entity_model
from gateway.analyses.event_study import event_study
from gateway.analyses.explanation import (
    Explanation,
    explain_group,
    explain_top,
)
from gateway.analyses.exposure import exposure_contrast
from gateway.analyses.friend_products import pymi_holdout, pymk_arms
from gateway.analyses.information import (
    Information,
    detectable_ratio,
    information_of,
    nothing_ranked,
)
from gateway.analyses.invited_members import invited_members
from gateway.analyses.join_sources import join_sources, recent_join_sources
from gateway.analyses.labelled import label_times, labelled_gateways
from gateway.analyses.look_alike import OddsRatio, common_odds_ratio
from gateway.analyses.note import analyse_note
from gateway.analyses.pathways import PATHWAYS_SCHEMA, pathways
from gateway.analyses.record import Invitations, Record, Requests, record_of, top_groups, until
from gateway.analyses.signals import group_signals, signal_correlations
from gateway.analyses.verdict import MEANING, Verdict, verdict_of

__all__ = [
    "COMPARISON_SCHEMA",
    "MEANING",
    "PATHWAYS_SCHEMA",
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
    "invited_members",
    "join_sources",
    "label_times",
    "labelled_gateways",
    "nothing_ranked",
    "pathways",
    "probability_curves",
    "pymi_holdout",
    "pymk_arms",
    "recent_join_sources",
    "record_of",
    "signal_correlations",
    "top_groups",
    "until",
    "verdict_of",
]
