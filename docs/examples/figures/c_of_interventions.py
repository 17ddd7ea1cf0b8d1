"""
Interventions
=============

What acting on groups changes, each arm beside the factual run with all other draws shared.
"""

import matplotlib.pyplot as plt
from _runs import tables as run

from gateway.figures import figure

tables = run("arms")


def show(name, size):
    """Draw a figure of the result in subplots of our own, and print its caption."""
    shown = figure(name)
    data = shown.plotted(tables)
    _, ax = plt.subplots(figsize=size)
    shown.draw(data, ax=ax)
    print(shown.caption(data))


# %%
# ``interventions``: target joins averted, and where they went.

show("interventions", (7.5, 3.6))

# %%
# ``dose_response``: the same against the number of groups acted on.

show("dose_response", (7.5, 3.2))
