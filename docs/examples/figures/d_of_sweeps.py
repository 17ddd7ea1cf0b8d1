"""
Sweeps
======

Detectors over swept keys, means over worlds with their intervals, of any stored measure. The sweep
is that of ``configs/phase_diagram.toml``, from ``results/reference`` (model version 2); of your own
it is ``gateway.open_sweep(folder)``.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import pyarrow.compute as pc
import pyarrow.parquet as pq

import gateway
from gateway.figures import figure

reference = Path(gateway.__file__).parents[1] / "results" / "reference"
evaluation = pq.read_table(reference / "phase_diagram" / "evaluation.parquet")

# %%
# ``phase_diagram``: two swept keys span a map. A cell holds the mean and half of its interval.

shown = figure("phase_diagram")
data = shown.plotted({"evaluation": evaluation})
fig, ax = plt.subplots(figsize=(10, 3.4))
shown.draw(data, ax=ax)
print(shown.caption(data))

# %%
# Another measure: the share of look-alikes in the top 50.

data = shown.plotted({"evaluation": evaluation}, metric="share_homophily_at_50")
fig, ax = plt.subplots(figsize=(10, 3.4))
shown.draw(data, ax=ax)

# %%
# ``sweep_lines``: one swept key, here the other one held at its largest value.

key = data["y_key"][0].as_py()
strongest = pc.equal(evaluation[key], pc.max(evaluation[key]))
shown = figure("sweep_lines")
data = shown.plotted({"evaluation": evaluation.filter(strongest)})
fig, ax = plt.subplots(figsize=(5, 3.6))
shown.draw(data, ax=ax)
print(shown.caption(data))
