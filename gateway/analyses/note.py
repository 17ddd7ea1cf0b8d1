"""Every analysis of the note, R1 to R10, over one record."""

from __future__ import annotations

import pyarrow as pa

from gateway.analyses.actors import inviting
from gateway.analyses.entities import entity_model
from gateway.analyses.exposure import exposure_contrast, pymi_holdout, pymk_arms
from gateway.analyses.group_labels import label_times, labelled_gateways, signal_correlations
from gateway.analyses.join_sources import invited_members, join_sources, pathways, second_table
from gateway.analyses.record import Record
from gateway.config.schema import NoteSection


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
