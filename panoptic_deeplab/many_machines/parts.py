"""A folder of Parquet files with one row for each image, added to by later predictions.

A file is written at once or not at all, so the rows of a killed prediction are whole, and no list
of them is needed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from panoptic_deeplab.errors import DataError, UsageError
from panoptic_deeplab.files import clear_remains, replacing
from panoptic_deeplab.many_machines.rows import SCHEMA, described_by, read_description
from panoptic_deeplab.results.journal import FileVersion
from panoptic_deeplab.structures import DatasetInfo

FOLDER = "parquet"
"""Below the folder of results."""

_PART = re.compile(r"part-[0-9a-f]{16}\.parquet")
_DIGITS = 16


class Parts:
    """Reads and writes `parquet/part-*.parquet`.

    Args:
        folder: the folder of all results.
        info: the model's classes.
        model: fingerprint of the model and its settings.
    """

    images_per_block = 64

    def __init__(self, folder: Path, info: DatasetInfo, model: str) -> None:
        self.folder = folder / FOLDER
        self._schema = described_by(SCHEMA, model, info)
        self._model = model

    def done(self, images: Mapping[str, FileVersion | None]) -> set[str]:
        """Find the images that have a row, made from the same file.

        Args:
            images: version of the file of each image, by name.

        Raises:
            UsageError: another model, or one with other settings, made such a row.
        """
        found = set()
        for path in self._paths():
            table = _read(path, ["name", "image_version"])
            model, _ = read_description(table.schema, str(path))
            rows = zip(table["name"].to_pylist(), table["image_version"].to_pylist(), strict=True)
            mine = {name: version for name, version in rows if name in images}
            if mine and model != self._model:
                raise UsageError(
                    f"--skip_done: another model, or one with other settings, predicted "
                    f"{next(iter(mine))} into {self.folder}; choose another --save_dir, or predict "
                    "all anew without --skip_done"
                )
            found |= {n for n, v in mine.items() if v and tuple(v) == images[n]}
        return found

    @contextmanager
    def prepared(self, names: Collection[str], images: Collection[Path]) -> Iterator[None]:
        """Take the rows of the images to come out of earlier files.

        Raises:
            DataError: a file is none that a prediction wrote; nothing has changed then.
        """
        to_come = pa.array(sorted(names), pa.string())
        paths = self._paths()
        for path in paths:
            read_description(_read(path, ["name"]).schema, str(path))
        clear_remains(self.folder)
        for path in paths:
            _drop_rows(path, to_come)
        yield

    def take(self, block: pa.Table) -> dict[str, str]:
        """Write the rows of a block as a file that is named by its images.

        Returns:
            what prevented the other images, by name.
        """
        table = pa.Table.from_batches(block.to_batches(), block.schema).select(SCHEMA.names)
        whole = table.filter(pc.is_null(table["failure"])).cast(SCHEMA)
        if whole.num_rows:
            names = "\0".join(whole["name"].to_pylist())
            digest = hashlib.sha256(names.encode()).hexdigest()[:_DIGITS]
            self._write(self.folder / f"part-{digest}.parquet", whole)
        failed = table.filter(pc.is_valid(table["failure"]))
        return dict(zip(failed["name"].to_pylist(), failed["failure"].to_pylist(), strict=True))

    def _write(self, path: Path, table: pa.Table) -> None:
        with replacing(path) as temporary:
            pq.write_table(table.replace_schema_metadata(self._schema.metadata), temporary)

    def _paths(self) -> list[Path]:
        return sorted(p for p in self.folder.glob("part-*") if _PART.fullmatch(p.name))


def _drop_rows(path: Path, names: pa.Array) -> None:
    """Take the rows of these images out of a file, which goes where none is left."""
    if not pc.any(pc.is_in(_read(path, ["name"])["name"], names)).as_py():
        return
    table = _read(path)
    rest = table.filter(pc.invert(pc.is_in(table["name"], names)))
    if not rest.num_rows:
        path.unlink()
        return
    with replacing(path) as temporary:
        pq.write_table(rest, temporary)


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    try:
        return pq.ParquetFile(path).read(columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error})") from error
