"""Functions run in several processes that are the ranks of one group."""

import os
import pickle
import signal
import traceback

import torch.distributed as dist

from rnnbench.training.devices.data_parallel import Ranks

SECONDS = 60


def in_ranks(world, function, *arguments, folder):
    """Return what `function(ranks, *arguments)` gives in each of `world` forked processes."""
    children = []
    for rank in range(world):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)
            try:
                store = dist.FileStore(str(folder / "ranks"), world)
                told = function(Ranks(rank, world, 0, store, False), *arguments)
            except BaseException:
                told = "failed", traceback.format_exc()
            with os.fdopen(theirs, "wb") as pipe:
                pickle.dump(told, pipe)
            os._exit(0)
        os.close(theirs)
        children.append((child, ours))
    found = []
    for child, ours in children:
        with os.fdopen(ours, "rb") as pipe:
            content = pipe.read()
        os.waitpid(child, 0)
        assert content, "a rank ended without a word"
        found.append(pickle.loads(content))
        assert not (isinstance(found[-1], tuple) and found[-1][0] == "failed"), found[-1][1]
    return found
