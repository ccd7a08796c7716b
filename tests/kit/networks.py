"""Networks drawn by chance, to simulate."""

from __future__ import annotations

import random

from cluster.simulation import network
from cluster.simulation.network import Network


def drawn(seed: int) -> Network:
    """One to four sites of up to six terminals; their links, machines and parts are as slow as they may be in life."""
    chance = random.Random(seed)
    lines = [f'part = "{chance.choice([0.3, 1, 4])} MB"', f'view = "{chance.choice([0.3, 1, 4])} MB"']
    for site in range(chance.randint(1, 4)):
        lines += [
            "[[edge]]",
            f'name = "site{site}-"',
            f'up = "{chance.choice([5, 10, 50, 100, 1000])} Mb/s"',
            f'down = "{chance.choice([20, 50, 200, 1000])} Mb/s"',
            f'latency = "{chance.choice([1, 10, 40])} ms"',
            f"aggregates = {chance.choice(['true', 'true', 'false'])}",
            "[[terminal]]",
            f'name = "node{site}-"',
            f'of = "site{site}-"',
            f"count = {chance.randint(1, 6)}",
            f'up = "{chance.choice([50, 100, 1000])} Mb/s"',
            f'latency = "{chance.choice([0.2, 1, 5])} ms"',
            f'compute = ["{chance.choice([5, 20, 50])} ms/step", "{chance.choice([10, 80])} ms/step * .3"]',
        ]
    return network.parse("\n".join(lines))
