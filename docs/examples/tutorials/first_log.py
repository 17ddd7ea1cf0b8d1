"""
From a join log to what may be claimed
======================================

You have a log of who joined which group when, and a list of groups that you call targets. This
page goes from the first line to what you may write about it.

The log here is bundled with the package: 72,000 joins of 400 groups. It is simulated, so at the
end, and only then, we can look up who was right.

Tables are shown with pandas, which is not installed with the package: ``pip install pandas``.
"""

# %%
# Read a log
# ----------
#
# :func:`gateway.example_log` gives a log and its target groups. Of your own file you would write
# ``joins = gateway.JoinLog.read("joins.csv")`` and ``targets = ["first group", "second group"]``.

import gateway

joins, targets, truth, look_alikes = gateway.example_log()
joins

# %%
# A log is a table with a row for each join, and looks like one where you ask for it. A join has a
# user, a group and a time; this log also says by what way it came about.

joins.to_arrow().to_pandas().head()

# %%
# What the note does
# ------------------
#
# The note trains a classifier: from the groups that a user has joined so far it predicts whether
# the user will join a target. It asks again after every join, and where the prediction jumps for
# many users at the same group, that group is a gateway. This is the detector ``spike``.

note = gateway.detect(joins, targets, detector="spike")
print(note.summary(top=8))

# %%
# What the classifier thought of one user, join by join. Each point is the probability that a
# target follows, given the joins so far.

import matplotlib.pyplot as plt

scores = gateway.score(joins, targets)
fig, ax = plt.subplots(figsize=(8, 3.5), layout="constrained")
_ = scores.plot_user("u0005078", ax=ax)

# %%
# The first two joins move the probability by eight points each. The groups joined there are among
# those that the note flags. Remember their names.

# %%
# Compare users with themselves
# -----------------------------
#
# The note's list answers: *whose members go on to targets more often than others?* That is true
# of a group that sends people there, and of a group that attracts people who are on their way. To
# tell them apart one has to ask what the same user did before the join. This is what
# ``self_controlled`` does: it has no classifier and no horizon, and whatever is constant in a
# user, such as a taste, cancels.

change = gateway.detect(joins, targets, detector="self_controlled")
print(change.summary(top=8))

# %%
# The last lines are not small print. A check of the assumptions fails here: users have trends of
# their own. What drifts in a user raises whatever is joined on the way, so look at the ``grade``:
# ``robust`` calls hold against the slots just before the join too, which a drift would have
# raised.

change.to_pandas().query("flagged")[["group", "estimate", "ci_low", "ci_high", "grade"]].round(2)

# %%
# The same as a picture. A bar is a 95 % interval; at 1 the group changes nothing.

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
_ = change.plot(ax=ax, top=15)

# %%
# Where the two disagree
# ----------------------

both = note.to_pandas().merge(change.to_pandas(), on="group", suffixes=("_note", "_change"))
both["note"], both["change"] = both["flagged_note"], both["flagged_change"]
both.groupby(["note", "change"]).size().unstack(fill_value=0)

# %%
# *Note, no change*: members go on to targets, and went there as much before they joined. *Change,
# no note*: the group raises what its members do, and does not stand out among all groups. These
# are the groups that either flags:

shown = ["group", "rank_note", "note", "rank_change", "change"]
both.query("note or change")[shown].set_index("group")

# %%
# Can this log answer at all?
# ---------------------------
#
# Before you believe any of it, ask how the detectors behave on *this* log when nothing is true.
# Permute the order of each user's joins: who joined what stays, what came first is chance. A
# detector of change may then flag nobody.

from gateway.check import Design

few = Design(nulls=4, placebos=0, ratios=(4.0,), plantings=1, aligned=0, by_size=0)
checked = gateway.check(joins, targets, detectors=["self_controlled"], design=few)
print(checked.paragraph)

# %%
# Four logs of each kind are a first look; ``gateway check`` on the command line makes ten, and a
# hundred with ``--thorough``. It also plants gateways of known strength among the joins and counts
# how many are found. Below the strength at which few are found, silence means nothing.
#
# What you may claim
# ------------------
#
# Of a group that ``self_controlled`` flags with the grade ``robust``, on a log where it keeps its
# level, you may write:
#
#     The same users joined targets more often after they joined this group than before it; the
#     joins just before it do not show a rise that had already begun.
#
# Of a group that only the note flags you may write that its members go on to targets more often
# than comparable users, and no more.
#
# You may not write that the group *caused* it: a taste that began to drift before the join looks
# the same. Nor that closing it would avert these joins, nor that its members are to blame. A list
# like this one says where to look, and what an experiment should be about.
#
# And what was true?
# ------------------
#
# This log is simulated, so we can look. ``truth`` names the planted gateways and ``look_alikes``
# the groups that merely attract, or are merely large.

for name, found in (("note", note), ("self-controlled", change)):
    top = set(found.top[:8])
    gateways, others = len(top & set(truth)), len(top & set(look_alikes))
    print(f"{name}: of its first 8 groups, gateways {gateways}, look-alikes {others}")

# %%
# The two groups that moved the user above by as much: one sends people, the other does not.

[("gateway" if name in truth else "look-alike") for name in ("g0000356", "g0000014")]

# %%
# With intervals, by a bootstrap over the groups of this log:

gateway.evaluate(change, truth=truth).to_pandas().round(2)

# %%
# One log is one draw. :doc:`known_truth` makes others, and
# :doc:`the results </results/index>` have many.
