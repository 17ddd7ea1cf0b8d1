"""
Figures of a run
================

What any result with a scorer and a ranking has. ``tables`` are the stored tables of a result, here
of a small simulated world (how it is run stands at the end of the page); of your own it is
``gateway.open_result(folder).tables()``.
"""

# sphinx_gallery_thumbnail_number = 1
import matplotlib.pyplot as plt
from _runs import tables as run

from gateway.figures import figure

tables = run("run")


def show(name, size):
    """Draw a figure of the result in subplots of our own, and print its caption."""
    shown = figure(name)
    data = shown.plotted(tables)
    _, ax = plt.subplots(figsize=size)
    shown.draw(data, ax=ax)
    print(shown.caption(data))


# %%
# ``probability_curves``: the probability of a target, join by join, of a few users.

show("probability_curves", (7.2, 4.2))

# %%
# ``event_study``: the same around the join of flagged groups.

show("event_study", (4.5, 3.4))

# %%
# ``top_gateways``: the first groups of the ranking, with their intervals.

show("top_gateways", (4.5, 5))

# %%
# ``funnel``: score against size, to see whether small groups fill the top by chance.

show("funnel", (4.5, 3.6))

# %%
# ``reliability``: do users with a predicted 10 % go on in one of ten cases?

show("reliability", (4.5, 4))

# %%
# All pages of the gallery take their tables from ``_runs.py``:
#
# .. literalinclude:: /examples/figures/_runs.py
#    :language: python
#    :start-at: WORLD
