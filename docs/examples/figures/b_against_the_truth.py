"""
Against the truth
=================

What a simulated world has beside: planted roles, and the effect of each join by replay.
"""

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
# ``precision_recall``: one curve for each detector.

show("precision_recall", (4.5, 3.8))

# %%
# ``benchmark``: all detectors, several measures.

show("benchmark", (7.5, 2.4))

# %%
# ``direct_effects``: what a join did to its joiner, against what the detector says.

show("direct_effects", (4.5, 3.8))
