"""
Figures of a run
================
"""

# %%
# text
print(1)
