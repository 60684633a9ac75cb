"""A survey's sweeps in shards on an engine: local processes, or a Ray cluster.

A part of the data is cut into ranges of whole batches, so that every batch holds the same samples as in a sweep of
one process. Each worker loads the model and opens the data once, sweeps its ranges into fresh accumulators and
returns these; they are merged in the order of the ranges. A worker that dies is replaced by the engine, and its
range swept again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from foretoll.data import Split, TaskData, open_data
from foretoll.data.fitting import seen_by
from foretoll.data.uri import file_of
from foretoll.engine import Engine, Shared, merge_tree, shards, worker_cache
from foretoll.errors import DataError, ForetollError
from foretoll.indices.collect import BATCH, Part, PartCollection, PartRequest, collect
from foretoll.models import Loading, Model
from foretoll.models.outputs import Outputs
from foretoll.records import Preprocessing, TableLayout
from foretoll.tasks import TargetScale
from foretoll.workflows.context import Update, unshifted_uri

SHARDS_PER_WORKER = 2  # a lost or late shard costs half of what a worker does


@dataclass(frozen=True)
class DataRef:
    """Data that a worker opens by itself: the training part of a URI. plan: of the model that will see them."""

    uri: str
    seed: int
    layout: TableLayout | None = None
    plan: Preprocessing | None = None

    def rows(self, ids: Tensor, labels: Tensor | None) -> Split:
        """The samples of these ids, with these labels; the data are opened once in a process.

        Raises:
            DataError: the data that the worker sees lack a sample.

        """
        whole = worker_cache().once(("split", self), lambda: self._opened().train)
        order = torch.argsort(whole.ids)
        place = torch.searchsorted(whole.ids[order], ids).clamp(max=len(order) - 1)
        positions = order[place]
        if not torch.equal(whole.ids[positions], ids):
            raise DataError(
                f"{self.uri} holds other samples for a worker than for its parent: make the same data available "
                "on all machines"
            )
        part = whole.take(positions)
        part.labels = labels  # the parent may have brought the classes into the model's order
        return part

    def _opened(self) -> TaskData:
        data = open_data(self.uri, seed=self.seed, layout=self.layout)
        return data if self.plan is None else seen_by(self.plan, data)


@dataclass(frozen=True)
class ModelRef:
    """A model that a worker loads by itself, `data` being its source's URI."""

    spec: str
    data: str
    seed: int
    loading: Loading = Loading()  # noqa: RUF009  (it is frozen)
    outputs: Outputs = "logits"
    task: str = "classification"
    targets: TargetScale | None = None
    layout: TableLayout | None = None

    def load(self) -> Model:
        """The model, loaded once in a process."""

        def model() -> Model:
            data = open_data(self.data, seed=self.seed, layout=self.layout)
            loaded = self.loading.load(self.spec, data=data, seed=self.seed)
            loaded.card = loaded.card.model_copy(
                update={"outputs": self.outputs, "task": self.task, "targets": self.targets}
            )
            return loaded

        return worker_cache().once(("model", self), model)


@dataclass(frozen=True)
class Shard:
    """One range of one part of the data. What has no name that a worker could open by travels itself."""

    model: ModelRef | Model
    norms: Mapping[str, Tensor]  # normalisation statistics in place of the model's own
    data: DataRef | Split  # a Split is the range itself
    ids: Tensor
    labels: Tensor | None
    rows: range
    wanted: PartRequest
    device: str

    def __str__(self) -> str:
        return f"samples {self.rows.start} to {self.rows.stop - 1} of the {self.wanted.part}"


def sweep_shard(shard: Shard) -> PartCollection:
    """What an engine calls in a worker."""
    model = shard.model if isinstance(shard.model, Model) else shard.model.load()
    if shard.norms:
        model = model.clone()
        model.network.load_state_dict(dict(shard.norms), strict=False)
    part = shard.data.rows(shard.ids, shard.labels) if isinstance(shard.data, DataRef) else shard.data
    return collect(model.to(shard.device), part, shard.wanted, device=shard.device)


class ShardedCollector:
    """A `Collector` that sweeps on an engine.

    base: the model that the survey looks at; a copy with other normalisation statistics is known by them
    model: where workers load it from; None: it is sent to them
    data: where workers open the parts; a part that is not named is sent to them
    """

    def __init__(
        self,
        engine: Engine,
        base: Model,
        *,
        model: ModelRef | None = None,
        data: Mapping[Part, DataRef] | None = None,
    ) -> None:
        self.engine, self.base, self.model, self.data = engine, base, model, dict(data or {})

    def __call__(
        self, model: Model, split: Split, wanted: PartRequest, *, device: torch.device | str = "cpu"
    ) -> PartCollection:
        """Sweep `split` with `model` in shards.

        Raises:
            ForetollError: a shard failed, in the words of its worker.

        """
        if len(split) == 0:
            raise DataError("there is no sample to use: the split is empty; raise limit= or give more data")
        ranges = shards(-(-len(split) // BATCH), SHARDS_PER_WORKER * getattr(self.engine, "workers", 1))
        place = str(device)
        tasks = (self._shard(model, split, wanted, r.start, r.stop, place) for r in ranges)
        results = sorted(self.engine.run(sweep_shard, tasks), key=lambda result: result.index)
        found: list[PartCollection] = []
        for result in results:
            if result.value is None:
                raise ForetollError(f"{result.task} could not be swept: {result.error}")
            found.append(result.value)
        return merge_tree(found, lambda first, second: first.merge(second))

    def _shard(
        self, model: Model, split: Split, wanted: PartRequest, first: int, last: int, device: str
    ) -> Shard:
        rows = range(first * BATCH, min(last * BATCH, len(split)))
        by_name = self.model is not None
        return Shard(
            model=self.model if self.model is not None else model,
            norms=_norms(model) if by_name and model is not self.base else {},
            data=self.data.get(wanted.part) or split.take(torch.arange(rows.start, rows.stop)).portable(),
            ids=split.ids[rows.start : rows.stop].clone(),  # a view would be pickled whole
            labels=None if split.labels is None else split.labels[rows.start : rows.stop].clone(),
            rows=rows,
            wanted=wanted,
            device=device,
        )


def shared_by(*named: object) -> Shared:
    """The files among a model and data that workers open by their names; what is in memory travels itself."""
    files = [file for name in named if isinstance(name, str | Path) and (file := file_of(str(name)))]
    return Shared(files=tuple(dict.fromkeys(files)))


def sharded_collector(
    engine: Engine,
    update: Update,
    *,
    model: object,
    source: object,
    target: object,
    loading: Loading,
    seed: int,
) -> ShardedCollector:
    """The collector of an update: by name what the user named (specs, folders and URIs), by value what is in memory."""
    base, layout = update.model, update.target.card.layout
    clean = unshifted_uri(target) if isinstance(target, str) else None
    named: dict[Part, object] = {"source": source, "target": target, "clean": clean}
    plan = base.card.preprocessing
    data = {part: DataRef(uri, seed, layout, plan) for part, uri in named.items() if isinstance(uri, str)}
    reference = None
    if isinstance(model, str | Path) and isinstance(source, str):
        folder = Path(model).expanduser()
        reference = ModelRef(
            spec=str(folder.resolve() if folder.is_dir() else model),
            data=source,
            seed=seed,
            loading=loading,
            outputs=base.card.outputs,
            task=base.card.task,
            targets=base.card.targets,
            layout=layout,
        )
    return ShardedCollector(engine, base, model=reference, data=data)


def _norms(model: Model) -> dict[str, Tensor]:
    """Names and values of the buffers of batch-norm modules, on the CPU."""
    return {
        f"{name}.{buffer}": value.cpu()
        for name, module in model.network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for buffer, value in module.named_buffers(recurse=False)
    }
