"""`parquet:PATH`: a table of encoded images, texts, or columns of values; see `foretoll.data.tabular`."""

from __future__ import annotations

from foretoll.data.source import Source
from foretoll.data.tabular import check_names, source_of_table
from foretoll.data.uri import DataUri
from foretoll.errors import DataError, check_refused
from foretoll.records import TableLayout


def open_parquet(uri: DataUri, layout: TableLayout | None = None) -> Source:
    """Read a Parquet file. Images are decoded after rows are chosen, so a `limit` saves the work."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = uri.file
    if not path.is_file():
        raise DataError(f"{uri.shown_path} is no file: give the path of a .parquet file")
    try:
        check_names(pq.read_schema(path).names, uri.shown_path)  # reading would fail without a word of why
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        check_refused(error, uri.shown_path, DataError)
        raise DataError(
            f"{uri.shown_path} cannot be read as Parquet: it is truncated or of another format; make or copy it again"
        ) from error
    return source_of_table(table, uri, name=path.stem, where=uri.shown_path, layout=layout)
