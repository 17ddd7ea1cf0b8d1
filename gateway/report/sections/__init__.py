"""The report's sections between figures and config, in the order of the page.

A section is a function of the stored tables that returns None where the result lacks what
it needs. Whoever adds an analysis adds its function to ``SECTIONS``; page, contents,
sorting and filters follow from the ``Section`` that it returns.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.report.content import Section
from gateway.report.sections.check import check
from gateway.report.sections.evaluation import benchmark, evaluation, interventions, scorer
from gateway.report.sections.explanations import explained, explanations
from gateway.report.sections.note_claims import claims
from gateway.report.sections.top_groups import ranking, reading, target_set, verdict
from gateway.report.summary import Result

__all__ = ["BEFORE_FIGURES", "ON_SCREEN", "SECTIONS", "SectionFunction"]

SectionFunction = Callable[[Result], Section | None]

BEFORE_FIGURES: tuple[SectionFunction, ...] = (check, verdict, claims)
"""What a reader sees first after the summary."""

SECTIONS: tuple[SectionFunction, ...] = (
    ranking,
    explanations,
    explained,
    evaluation,
    benchmark,
    interventions,
    scorer,
    target_set,
    reading,
)

ON_SCREEN: tuple[SectionFunction, ...] = (explained,)
"""What a reader picks from, and no paper would print."""
