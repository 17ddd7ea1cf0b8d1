"""The ways by which a join can come about."""

from __future__ import annotations

__all__ = ["SOURCES"]

SOURCES: tuple[str, ...] = (
    "unknown",
    "gysj",
    "mobile_group_join",
    "mobile_add_members",
    "search",
    "group_mall",
    "newsfeed_story_header",
    "newsfeed_reshared_story",
    "messenger_group_attachment",
    "groups_discover_tab",
    "permalink",
)
"""Those of the note, after 0 for one that is not known."""
