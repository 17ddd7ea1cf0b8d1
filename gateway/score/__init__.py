"""Score users: P(join a target within a horizon | joins so far).

The package can be called: ``gateway.score(joins, targets)``.
"""

from gateway._callable import make_callable
from gateway.score.adapter import SklearnScorer
from gateway.score.boosted import BoostedScorer
from gateway.score.crossfit import assign_folds, score_joins
from gateway.score.logistic import LogisticModel, LogisticScorer
from gateway.score.prefix_loss import PrefixLoss
from gateway.score.prefixes import UNRESOLVED, Prefixes, build_prefixes
from gateway.score.quality import Quality, measure_quality, reliability_table
from gateway.score.scorer import Logits, MarkovScorer, Model, Scorer
from gateway.score.scores import Scores

__all__ = [
    "UNRESOLVED",
    "BoostedScorer",
    "LogisticModel",
    "LogisticScorer",
    "Logits",
    "MarkovScorer",
    "Model",
    "PrefixLoss",
    "Prefixes",
    "Quality",
    "Scorer",
    "Scores",
    "SklearnScorer",
    "assign_folds",
    "build_prefixes",
    "measure_quality",
    "reliability_table",
    "score_joins",
]

make_callable(__name__, score_joins)
