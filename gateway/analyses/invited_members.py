"""R4, R5: invitations to target groups that reach members of gateway groups."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from gateway.analyses.comparison import Row, compare
from gateway.analyses.proportions import clustered_share
from gateway.analyses.published import GATEWAY_INVITATION_SHARE, SUPER_INVITER_SHARE
from gateway.analyses.record import Record

__all__ = ["invited_members"]

TOLERANCE = 0.05


def invited_members(record: Record) -> pa.Table:
    """Return R4 and R5.

    R4: of the invitations to target groups, the share that went to somebody who had joined
    a top gateway group on an earlier day. R5: of *those*, the share that super-inviters
    sent (``InvitationLog.super_inviters``: the top 1 % of users by invitations sent).

    Invitations come in bulk, so intervals are clustered by sender. The two shares of all
    users beside them say what they would be if gateways and super-inviters meant nothing.
    """
    sent, member_since = record.invitations, record.first_join(record.is_top)
    to_target = record.is_target[sent.group]
    to_member = sent.time > member_since[sent.receiver]
    by_super = sent.super_inviter[sent.sender]
    reached, reached_interval = clustered_share(to_member[to_target], sent.sender[to_target])
    both = to_target & to_member
    supers, supers_interval = clustered_share(by_super[both], sent.sender[both])
    elsewhere, elsewhere_interval = clustered_share(to_member[~to_target], sent.sender[~to_target])
    overall, overall_interval = clustered_share(by_super, sent.sender)
    r4, r5 = GATEWAY_INVITATION_SHARE, SUPER_INVITER_SHARE
    return compare(
        [
            Row("R4", "share of invitations to targets that went to gateway members",
                reached, reached_interval, r4, TOLERANCE),
            Row("R4", "invitations to targets that went to gateway members",
                float(np.count_nonzero(both)), published=730_000.0),
            Row("R4", "share of invitations to other groups that went to gateway members",
                elsewhere, elsewhere_interval),
            Row("R5", "share of those that super-inviters sent",
                supers, supers_interval, r5, TOLERANCE),
            Row("R5", "share of all invitations that super-inviters sent",
                overall, overall_interval),
        ]
    )  # fmt: skip
