"""
A world whose truth is known
============================

On a real log nobody knows which groups send people. On a simulated platform we decide it, and can
measure how well it is found. This page plants gateways and look-alikes, finds them, and asks what
acting on them would change.
"""

# %%
# Draw a world
# ------------
#
# A world is drawn from a config, which says how many users and groups there are and which roles
# are planted. Every key has a default (:doc:`all of them </reference/config>`).

import gateway

config = gateway.load_config(
    {
        "experiment": {"name": "tutorial", "seed": 3},
        "world": {
            "users": 6_000, "groups": 400, "days": 360, "harm_interest": 0.02,
            "roles": {"targets": 24, "influence": 8, "influence_strength": 1.6, "homophily": 8,
                      "role_size": 6},
        },
        "targets": {"country": "US", "kind": "nudity", "month": "2020-10", "min_strikes": 1},
        "score": {"horizon": "120d"},
        "detect": {"detectors": ["spike", "self_controlled", "coefficient"]},
        "interventions": [
            {"arm": "act on gateways", "kind": "demotion", "start": 120, "share": 0.8,
             "roles": ["planted"]},
            {"arm": "act on look-alikes", "kind": "demotion", "start": 120, "share": 0.8,
             "roles": ["homophily"]},
        ],
    }
)  # fmt: skip
world = gateway.draw_world(config)
world

# %%
# ``influence`` groups are gateways: a join raises the member's taste for what the targets are
# about, by a factor of about *e* to the 1.6. ``homophily`` groups hold the same topic, so they
# attract people who like it, and change nobody.
#
# Run it
# ------
#
# One call simulates the platform, trains the classifier, runs the detectors, replays every join
# without its group to learn the true effect, runs each intervention beside the factual platform,
# and stores tables, figures and a report.

import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp()) / "tutorial"
result = gateway.run(config, folder=folder)
result.table_names

# %%
# Who finds the gateways?
# -----------------------

table = result.table("evaluation").to_pandas()
wanted = ["average_precision", "share_homophily_at_50", "precision_flagged"]
table[(table.truth == "planted") & table.metric.isin(wanted)].pivot(
    index="detector", columns="metric", values="value"
).round(2)

# %%
# One world of this size says little: eight gateways are eight coins. Intervals stand beside each
# value (``ci_low``, ``ci_high``), and :doc:`a sweep </how-to/sweeps>` repeats the run over seeds.
#
# What the joins did
# ------------------
#
# The replay knows what each join caused. Target joins per hundred joins, by role:

groups = result.table("truth").to_pandas().merge(result.table("groups").to_pandas(), on="group")
groups = groups[groups.role.isin(["influence", "homophily", "ordinary"])]
caused = (groups.direct_effect * groups.n_joins).groupby(groups.role).sum()
(100 * caused / groups.n_joins.groupby(groups.role).sum()).round(2)

# %%
# What acting would change
# ------------------------
#
# Both arms demote the same number of groups from day 120 on. Everything else is shared with the
# factual run, draw by draw, so that the difference is the intervention's.

arms = result.table("interventions").to_pandas().set_index("arm")
arms[["n_groups", "averted", "averted_low", "averted_high", "benign_lost"]].round(0)

# %%
# ``averted`` are target joins that did not happen, with a 95 % interval from users' paired
# differences. A negative number is no mistake: an occasion that an intervention takes away goes to
# something else, and that can be a target.
#
# ``result.text("report.html")`` is the report of all this; in a terminal, ``gateway view FOLDER``
# opens the result for looking around.
