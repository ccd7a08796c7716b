"""torch's DistributedDataParallel over gloo, one thread a rank: ``torchrun ... training_ddp.py SETTINGS``.

Each rank has its part of the rows; gradients are averaged after each batch.
"""

from __future__ import annotations

import os
import sys

import torch
import training
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


def main() -> None:
    """One rank."""
    given = training.settings(sys.argv[1])
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    distributed.init_process_group("gloo")
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    rows = training.part(training.read(given), rank, ranks)
    net = DistributedDataParallel(training.build(rows, given))
    moves = training.optimizer(net, given)
    steps = given.samples // given.batch_size // ranks
    training.tell(worker=os.getpid(), rank=rank)
    distributed.barrier()
    clock = training.Clock()
    for at, (x, y) in enumerate(training.batches(rows, given.batch_size, given.seed + rank), 1):
        training.step(net, moves, x, y)
        if at % max(1, steps // training.LOOKS) == 0 or at == steps:
            if rank == 0:
                clock.look(net, rows, at / steps)
            distributed.barrier()  # the others' looking does not count either
        if at == steps:
            break
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
