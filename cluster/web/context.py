"""What the page's handlers work with, open as long as the process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cluster.client import submission
from cluster.web.channels import Channels
from cluster.web.downloading import Downloading
from cluster.web.failures import Failures
from cluster.web.fresh import Fresh
from cluster.web.node_history import History
from cluster.web.nodes_seen import NodesSeen
from cluster.web.once import once
from cluster.web.spool import Spool

if TYPE_CHECKING:
    from cluster.client import Client
    from cluster.client.accounts import Accounts
    from cluster.web.corrections import Corrections
    from cluster.web.decisions import Decisions
    from cluster.web.laid_over import Followers
    from cluster.web.pictures import Pictures
    from cluster.web.results_index import Indexes
    from cluster.web.training import Trainings

LOOK_S = 1.0


class TopLine(NamedTuple):
    """What stands at the top of each page."""

    nodes: int
    slots: int


@dataclass
class Web:
    """The client of the cluster, the folder of this page, and who listens to what."""

    client: Client
    accounts: Accounts
    folder: Path
    """Uploads, indexed results and pictures of this page; its owner's alone (mode 0700)."""
    hosts: frozenset[str]
    """The names by which browsers may address it, without a port: others are refused (DNS rebinding)."""
    is_tls: bool = False
    channels: Channels = field(default_factory=Channels)
    downloading: Downloading = field(default_factory=Downloading)
    failures: Failures = field(default_factory=Failures)
    """Wrong links and tokens of late."""
    history: History = field(default_factory=History)
    """How busy the nodes were lately."""
    reasons: Fresh = field(default_factory=lambda: Fresh(5.0))
    """Why items of runs are missing: that is counted over all of them."""
    timelines: Fresh = field(default_factory=Fresh)
    """Spans of timelines that somebody looks at: they are made of thousands of lines."""
    swept_at: float = 0.0
    """When results of runs that are gone were looked for, by the monotonic clock."""
    _top: tuple[float, TopLine] = (0.0, TopLine(0, 0))

    @once
    def spool(self) -> Spool:
        """The uploads."""
        return Spool(
            self.folder / "uploads", on_drop=lambda contents: self.pictures.forget(contents),
            on_drop_run=lambda run: submission.drop_log(self.client.config, run),
        )  # fmt: skip

    @once
    def nodes_seen(self) -> NodesSeen:
        """The nodes, for those who watch them or what they do."""
        return NodesSeen(self.client)

    def top_line(self) -> TopLine:
        """The figures of the top line, at most a second old."""
        self.history.follow(self.client)  # from the first page that anybody opens on
        at, found = self._top
        if time.monotonic() - at > LOOK_S:
            online = [node for node in self.client.nodes() if node.state == "online"]
            found = TopLine(len(online), sum(node.slots for node in online))
            self._top = time.monotonic(), found
        return found

    @once
    def pictures(self) -> Pictures:
        """What makes and keeps pictures of ours."""
        from cluster.web.pictures import Pictures

        return Pictures(self.folder / "pictures")

    @once
    def decisions(self) -> Decisions:
        """What people said of faces."""
        from cluster.web.decisions import Decisions

        return Decisions(self.folder)

    @once
    def followers(self) -> Followers:
        """Which runs do again what was missing from others."""
        from cluster.web.laid_over import Followers

        return Followers(self.client)

    @once
    def trainings(self) -> Trainings:
        """How runs in rounds learn."""
        from cluster.web.training import Trainings

        return Trainings()

    @once
    def corrections(self) -> Corrections:
        """The corrections of texts."""
        from cluster.web.corrections import Corrections

        return Corrections(self.folder / "corrections.sqlite")

    @once
    def results(self) -> Indexes:
        """The results of runs, indexed."""
        from cluster.web.results_index import Indexes

        return Indexes(self.folder / "results", self.corrections, self.followers)

    def close(self) -> None:
        """End the programs that this page has started."""
        if "pictures" in self.__dict__:
            self.pictures.close()
