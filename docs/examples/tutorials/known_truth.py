"""
A world whose truth is known
============================
"""

# %%
# text
print(1)
