"""`parquet:PATH`: a table of encoded images, texts, or columns of values; see `foretoll.data.tabular`."""

from __future__ import annotations

from pathlib import Path

from foretoll.data.source import Source
from foretoll.data.tabular import source_of_table
from foretoll.data.uri import DataUri
from foretoll.errors import DataError


def open_parquet(uri: DataUri) -> Source:
    """Read a Parquet file. Images are decoded after rows are chosen, so a `limit` saves the work."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(uri.path).expanduser()
    if not path.is_file():
        raise DataError(f"{path} is no file: give the path of a .parquet file")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet: it is truncated or of another format; make or copy it again"
        ) from error
    return source_of_table(table, uri, name=path.stem, where=str(path))
