"""Draw simulated runs as a PNG. Needs matplotlib, which the extra ``[plots]`` installs."""

from __future__ import annotations

import io
from collections.abc import Sequence

from cluster.client.simulated import Simulated, report

INCHES = (11.0, 4.5)
DPI = 120
MIB = 2**20


def png(runs: Sequence[Simulated]) -> bytes:
    """Draw the score of each run by virtual seconds, and by bytes sent up and down."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    by_time, by_bytes = figure.subplots(1, 2, sharey=True)
    for run in runs:
        score = report.score_of(run.rows)
        found = report.points(run.rows, score) if score else []
        label = run.policy if run.topology == "star" else f"{run.policy}, {run.topology}"
        by_time.plot([at for at, _ in found], [value for _, value in found], ".-", label=label.replace("$", r"\$"))
        sent, sums = 0.0, []
        for row in run.rows:
            if score in row:
                sums.append(sent / MIB)
            sent += row["up_bytes"] + row["down_bytes"]
        by_bytes.plot(sums, [row[score] for row in run.rows if score in row], ".-", label=label.replace("$", r"\$"))
        by_time.set(ylabel=score)
    by_time.set(xlabel="virtual seconds", xlim=(0, None))
    by_bytes.set(xlabel="MiB up and down, all terminals", xlim=(0, None))
    by_time.legend()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()
