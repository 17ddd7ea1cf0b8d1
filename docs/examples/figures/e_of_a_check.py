"""
A check
=======

How strong a gateway must be to be found on this log: gateways of known strength are planted among
the joins of the bundled log, and counted where they are flagged.
"""

import matplotlib.pyplot as plt

import gateway
from gateway.check import Design
from gateway.figures import figure

joins, targets, _, _ = gateway.example_log()
few = Design(nulls=1, placebos=0, ratios=(2.0, 4.0, 8.0), plantings=2, aligned=0, by_size=0)
checked = gateway.check(joins, targets, detectors=["self_controlled"], design=few)

shown = figure("check_power")
data = shown.plotted({"check": checked.to_arrow()})
fig, ax = plt.subplots(figsize=(7.5, 2.8))
shown.draw(data, ax=ax)
print(shown.caption(data))
