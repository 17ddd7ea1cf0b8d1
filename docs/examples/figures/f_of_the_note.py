"""
The note's analyses
===================

What a run with ``[note]`` has: the note's numbers, published beside simulated. This world is small
and not fitted to them, so they differ; ``configs/note.toml`` is.
"""

import matplotlib.pyplot as plt
from _runs import tables as run

from gateway.figures import figure

tables = run("note")


def show(name, size):
    """Draw a figure of the result in subplots of our own, and print its caption."""
    shown = figure(name)
    data = shown.plotted(tables)
    _, ax = plt.subplots(figsize=size)
    shown.draw(data, ax=ax)
    print(shown.caption(data))


# %%
# ``join_sources``

show("join_sources", (4.5, 4.5))

# %%
# ``pathways``

show("pathways", (7.5, 4))

# %%
# ``exposure_contrast``

show("exposure_contrast", (4.5, 3.4))

# %%
# ``label_times``

show("label_times", (4.5, 3))

# %%
# ``signal_correlations``

show("signal_correlations", (7.5, 4))
