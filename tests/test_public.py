"""The public names, pinned: a change here is a change for users and belongs in CHANGELOG.md."""

from __future__ import annotations

import importlib

import pytest

PUBLIC = {
    "gateway": [
        "AssumptionWarning", "Detection", "GatewayError", "JoinLog", "TargetSet", "__version__",
        "check", "detect", "draw_world", "evaluate", "example_log", "load_config",
        "named_targets", "open_result", "open_sweep", "read_names", "run", "score", "simulate",
    ],
    "gateway.analyses": [
        "ATTRACTS", "COMPARISON_SCHEMA", "Explanation", "Information", "Invitations", "JUDGED",
        "MEANING", "OddsRatio", "PATHWAYS_SCHEMA", "Record", "Requests", "Row", "UNTOLD",
        "VERDICTS", "Verdict", "analyse_note", "common_odds_ratio", "compare", "detectable_ratio",
        "entity_model", "event_study", "explain_group", "explain_top", "exposure_contrast",
        "group_signals", "information_of", "invitations_in", "invited_members", "inviting",
        "join_sources", "judge_groups", "label_times", "labelled_gateways", "matched_excess",
        "nothing_ranked", "pathways", "probability_curves", "pymi_holdout", "pymk_arms",
        "rank_inviters", "record_of", "second_table", "signal_correlations", "top_groups", "until",
        "verdict_of",
    ],
    "gateway.check": [
        "CHECK_SCHEMA", "Check", "Design", "LOGS", "MECHANISMS", "Measured", "PERMUTED", "PLACES",
        "Permuted", "Planted", "Planting", "QUICK", "Rearranged", "THOROUGH", "check", "fails",
        "is_of_check", "limits_of", "logs_of",
        "measure_log", "paragraph_of", "permute_few", "permute_labels", "permute_within_users",
        "placebo_targets", "plant", "reverse_time", "sample_users", "summarise_check",
        "verdict_of_check",
    ],
    "gateway.detect": [
        "Claim", "CoefficientOptions", "DETECTORS", "Detection", "EdgesOptions", "Entry",
        "FrequentistOptions", "HittingOptions", "MarkovRemovalOptions", "MatchingOptions",
        "Measure", "OrderOptions", "Quantity", "REGISTRY", "measure_of",
        "SelfControlledOptions", "detect_self_controlled", "SpikeOptions", "SurvivalOptions",
        "UNRANKED", "compare_users", "detect", "detectors_for", "detect_by_hitting",
        "detect_by_matching", "detect_coefficient", "detect_edges", "detect_frequentist",
        "detect_markov_removal", "detect_order", "detect_spikes", "detect_survival",
        "find_spikes", "rank_groups", "run_detector",
    ],
    "gateway.evaluate": [
        "EVALUATION_SCHEMA", "PREDICTION_SCHEMA", "auc_with_interval", "predict_later",
        "split_by_time", "average_precision", "clear_effects", "evaluate_effects",
        "evaluate_planted", "evaluation_table", "mean_interval", "precision_at",
        "spearman_among", "table_of", "evaluate",
        "recall_at", "share_at", "summarise_replicates",
    ],
    "gateway.reproduce": [
        "CLAIMS_SCHEMA", "Claim", "Reproduction", "claims_as_markdown", "read_claims",
        "reproduce_claims",
    ],
    "gateway.score": [
        "BoostedScorer", "LogisticModel", "LogisticScorer", "Logits", "MarkovScorer", "Model",
        "PrefixLoss", "Prefixes", "Quality",
        "Scorer", "Scores", "SklearnScorer", "UNRESOLVED",
        "assign_folds", "build_prefixes",
        "measure_quality", "reliability_table", "score_joins",
    ],
    "gateway.simulate": [
        "Comparison", "Demotion", "DirectEffects", "EdgeFilter", "GysjSeedFilter", "History",
        "Intervention", "InviteCap", "InviteFriction", "Leads", "Strikes", "TotalEffects",
        "compare_runs", "joins_by_user", "live_through", "measure_direct_effects", "measure_leads",
        "measure_total_effects", "paired_total", "simulate",
    ],
    "gateway.sweep": [
        "ENGINES", "EngineOptions", "FolderComparison", "Outcome", "Plan", "Point", "Status",
        "check_plan",
        "SweepStoppedError", "compare_folders", "folder_status", "read_plan", "resume_sweep",
        "run_sweep", "stored_plan",
    ],
    "gateway.world": [
        "Arms", "Friendships", "GATEWAYS", "Groups", "LOOK_ALIKES", "Role", "Users", "check_fits",
        "World", "draw_world",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names__are_the_pinned_ones_and_exist(name):
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name])
    for public in module.__all__:
        assert getattr(module, public) is not None


def test_dir__lists_the_public_names():
    import gateway

    assert dir(gateway) == sorted(gateway.__all__)


def test_unknown_name__is_an_attribute_error():
    import gateway

    with pytest.raises(AttributeError, match="no attribute 'dettect'"):
        _ = gateway.dettect
