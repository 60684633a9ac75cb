"""`hf:NAME_OR_PATH`: data sets through the Hugging Face `datasets` library (extra `hf`).

A local path comes first: a folder written by `save_to_disk`, or a folder of data files. The network is used
only when nothing lies at that path. Scripts of data sets are never run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foretoll.data.address import DataUri
from foretoll.data.grouped import LAZY_BYTES, MappedTable
from foretoll.data.raw import RawData, role_of
from foretoll.data.tabular import source_of_table
from foretoll.errors import DataError, MissingExtraError, shown
from foretoll.records import TableLayout

OLDEST = 4  # of the `datasets` library: earlier ones run the script of a data set after a y, or without one


def open_hf(uri: DataUri, layout: TableLayout | None = None) -> RawData:
    """All splits of the set as one table; `config=` chooses among its configurations."""
    parts, path = load_parts(uri), Path(uri.path).expanduser()
    return source_of_parts(parts, uri, name=path.name, where=f"hf:{uri.path}", layout=layout)


def load_parts(uri: DataUri) -> dict[str, Any]:
    """The data sets of the `datasets` library behind a URI, by split; one without a name is the whole."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(f"hf:{uri.path}", "hf") from error
    version: str = datasets.__version__
    if int(version.partition(".")[0]) < OLDEST:
        raise DataError(
            f"hf:{shown(uri.path, 100)} needs datasets {OLDEST} or newer and {shown(version, 20)} is installed, which "
            "may run a data set's script: pip install 'foretoll[hf]'"
        )
    path = Path(uri.path).expanduser()
    try:
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            loaded: Any = datasets.load_from_disk(str(path))
        else:
            loaded = datasets.load_dataset(str(path) if path.exists() else uri.path, uri.config)
    except MissingExtraError:
        raise
    except Exception as error:  # the library raises what its many back ends raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"hf:{uri.path} cannot be opened: {reason}; give a local folder or a name on the hub"
        ) from error
    return dict(loaded) if isinstance(loaded, dict) else {"": loaded}


def source_of_parts(
    parts: dict[str, Any], uri: DataUri, *, name: str, where: str, layout: TableLayout | None
) -> RawData:
    """A source from data sets of the `datasets` library, by split; one without a name is the whole."""
    import datasets
    import pyarrow as pa

    label = uri.label or next(
        (
            c
            for c in ("label", "labels", "fine_label", "target")
            if c in next(iter(parts.values())).column_names
        ),
        "label",
    )
    class_names: list[str] | None = None
    tables = []
    for role, part in parts.items():
        feature = part.features.get(label)
        if isinstance(feature, datasets.ClassLabel):
            class_names = list(feature.names)
        decoded = part
        for column, kind in part.features.items():
            if isinstance(kind, datasets.Image):
                # the bytes, also of images that lie in files of their own
                decoded = decoded.cast_column(column, datasets.Image(decode=False))
        table = _plain(decoded.with_format("arrow")[:])
        if len(parts) > 1 and isinstance(feature, datasets.ClassLabel) and _hidden(table, label):
            continue  # a test split whose labels are kept secret (all −1)
        if len(parts) > 1:
            if "split" in table.column_names:
                table = table.drop_columns(["split"])
            table = table.append_column("split", pa.array([role_of(role)] * table.num_rows))
        tables.append(table)
    try:
        whole = pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        raise DataError(
            f"{where} has splits with different columns: choose a configuration with config="
        ) from error
    chosen = (
        uri if uri.label or label not in whole.column_names else DataUri(**{**uri.__dict__, "label": label})
    )
    table = MappedTable(whole, where) if whole.nbytes > LAZY_BYTES else whole
    return source_of_table(table, chosen, name=name, where=where, class_names=class_names, layout=layout)


def _plain(table: Any) -> Any:
    """Read images that are kept as paths, so that every image is bytes."""
    import pyarrow as pa

    for i, name in enumerate(table.column_names):
        kind = table.column(name).type
        if pa.types.is_struct(kind) and {kind.field(j).name for j in range(kind.num_fields)} == {
            "bytes",
            "path",
        }:
            values = table.column(name).to_pylist()
            if any(v is not None and v["bytes"] is None for v in values):
                content = [None if v is None else v["bytes"] or _file(v["path"]) for v in values]
                table = table.set_column(i, name, pa.array(content, type=pa.large_binary()))
    return table


def _file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: restore the file") from error


def _hidden(table: Any, label: str) -> bool:
    values = table.column(label).to_pylist()
    return bool(values) and all(value == -1 for value in values)
