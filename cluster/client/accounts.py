"""The accounts of a cluster's page, for those who manage them."""

from cluster.accounts.invitations import VALID_S as INVITED_S
from cluster.accounts.run_links import MOST_LINK_S, RunLink
from cluster.accounts.store import IDLE_S, LINK_S, MOST_S, Accounts, Seen, User

__all__ = ["IDLE_S", "INVITED_S", "LINK_S", "MOST_LINK_S", "MOST_S", "Accounts", "RunLink", "Seen", "User"]
