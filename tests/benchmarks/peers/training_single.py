"""One process with one thread: ``training_single.py SETTINGS``."""

from __future__ import annotations

import os
import sys

import torch
import training


def main() -> None:
    """Train on all samples, one batch after another."""
    given = training.settings(sys.argv[1])
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    rows = training.read(given)
    net = training.build(rows, given)
    moves = training.optimizer(net, given)
    steps = given.samples // given.batch_size
    training.tell(worker=os.getpid())
    clock = training.Clock()
    for at, (x, y) in enumerate(training.batches(rows, given.batch_size, given.seed), 1):
        training.step(net, moves, x, y)
        if at % max(1, steps // training.LOOKS) == 0 or at == steps:
            clock.look(net, rows, at / steps)
        if at == steps:
            break


if __name__ == "__main__":
    main()
