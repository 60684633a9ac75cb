"""Where work runs: in this process, in local worker processes, or on a Ray cluster.

An engine knows functions and tasks, nothing of models or data.

>>> from foretoll.engine import open_engine
>>> with open_engine("local") as engine:
...     sorted(result.value for result in engine.run(abs, [-3, 2]))
[2, 3]
"""

from foretoll.engine.agreement import Shared, check_nodes
from foretoll.engine.base import Engine, Result
from foretoll.engine.cache import WorkerCache, worker_cache
from foretoll.engine.in_process import InProcess
from foretoll.engine.local_processes import LocalProcesses
from foretoll.engine.opening import check_engine, check_workers, open_engine
from foretoll.engine.ray_engine import RayEngine
from foretoll.engine.sharding import merge_tree, shards

__all__ = [
    "Engine",
    "InProcess",
    "LocalProcesses",
    "RayEngine",
    "Result",
    "Shared",
    "WorkerCache",
    "check_engine",
    "check_nodes",
    "check_workers",
    "merge_tree",
    "open_engine",
    "shards",
    "worker_cache",
]
