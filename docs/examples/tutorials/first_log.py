"""
From a join log to what may be claimed
======================================
"""

# %%
# text
print(1)
