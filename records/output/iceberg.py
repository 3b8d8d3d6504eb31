"""Commit the files of a run to an Apache Iceberg table: all of them appear in one commit, or none do.

Data files are first copied into the table's location, under names that no snapshot refers to. The commit, one transaction
of the catalog, creates the table if necessary and adds all files as one snapshot. A run that ends before the commit leaves
the table as it was, and overwrites these files when it is repeated. The snapshot carries the digest of the run, so the same
run is never added twice, as long as the table keeps that snapshot.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.errors import DataError
from linesmith.records.output.iceberg_target import CATALOG, ELSEWHERE, TableTarget

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table, Transaction

DIGEST_PROPERTY = "linesmith.run-digest"


@dataclass(frozen=True)
class TableCommit:
    """Result of a commit.

    Attributes:
        table: namespace.name.
        snapshot_id: id of the snapshot that holds the run.
        appended: False if an earlier, equal run had already added it.
        location: address of the table.
        files: number of data files.
    """

    table: str
    snapshot_id: int
    appended: bool
    location: str
    files: int


def check_table(target: TableTarget, schema: pa.Schema, partition_by: str | None) -> None:
    """Refuse a table to which the run could not be committed, before anything is sampled.

    Args:
        target: the table, which need not exist.
        schema: what the run writes.
        partition_by: the column by which the run is partitioned, or None.

    Raises:
        DataError: LS211, the catalog cannot be reached, or the table has another schema or other partitions.
    """
    table = _load_table(_load_catalog(target), target)
    if table is None:
        return
    fields = {field.name: field for field in table.schema().as_arrow()}
    for field in schema:
        existing = fields.get(field.name)
        if existing is None or _plain(existing.type) != field.type or (field.nullable and not existing.nullable):
            found = (
                "no such column"
                if existing is None
                else f"{_plain(existing.type)}{'' if existing.nullable else ' required'}"
            )
            raise _unusable(
                target, f"its column '{field.name}' is {found}, and the run writes {field.type}", "Use another table."
            )
    required = [name for name, field in fields.items() if not field.nullable and name not in schema.names]
    if required:
        raise _unusable(target, f"it requires a column '{required[0]}', which the run has not", "Use another table.")
    by = [(table.schema().find_column_name(part.source_id), str(part.transform)) for part in table.spec().fields]
    if by != ([] if partition_by is None else [(partition_by, "identity")]):
        raise _unusable(
            target, "it is partitioned in another way", f"Its partitions are {by}; give --partition-by accordingly."
        )


def commit_files(
    target: TableTarget,
    files: Sequence[Path],
    schema: pa.Schema,
    partition_by: str | None,
    digest: str,
    summary: Mapping[str, str],
) -> TableCommit:
    """Add files to the table in one commit, which also creates the table if it does not exist.

    Args:
        target: the table.
        files: Parquet files of `schema`, each of one partition.
        schema: columns of the files.
        partition_by: the column by which the run is partitioned, or None.
        digest: digest of the run. If a snapshot carries it, nothing is done.
        summary: further properties of the snapshot.

    Raises:
        DataError: LS211, the catalog or the warehouse cannot be written, or another writer committed first.
    """
    catalog = _load_catalog(target)
    table = _load_table(catalog, target)
    snapshot_id = None if table is None else _find_snapshot(table, digest)
    if table is not None and snapshot_id is not None:
        return TableCommit(target.table, snapshot_id, False, table.location(), len(files))
    try:
        return _commit(catalog, table, target, files, schema, partition_by, digest, summary)
    except OSError as error:
        raise _unusable(
            target,
            f"its warehouse cannot be written ({error.strerror or type(error).__name__})",
            "Make room there and run again; the table is as it was.",
        ) from None
    except Exception as error:
        # pyiceberg and the catalog's driver raise many classes of errors. Their messages quote settings, not records.
        raise _unusable(
            target, f"the commit failed ({type(error).__name__}: {error})", "Run again; the table is as it was."
        ) from error


def _commit(
    catalog: Catalog,
    table: Table | None,
    target: TableTarget,
    files: Sequence[Path],
    schema: pa.Schema,
    partition_by: str | None,
    digest: str,
    summary: Mapping[str, str],
) -> TableCommit:
    from pyiceberg.io import load_file_io

    transaction: Transaction
    if table is None:
        catalog.create_namespace_if_not_exists(target.table.rpartition(".")[0])
        transaction = catalog.create_table_transaction(target.table, schema=schema)
        if partition_by is not None:
            with transaction.update_spec() as spec:
                spec.add_identity(partition_by)
    else:
        transaction = table.transaction()
    location = transaction.table_metadata.location
    store = load_file_io(dict(catalog.properties), location)
    addresses = []
    for number, file in enumerate(files):
        # Named by the digest, so a repeated run overwrites the files of one that ended before its commit.
        address = f"{location}/data/{digest[:16]}-{number:05d}.parquet"
        with open(file, "rb") as content, store.new_output(address).create(overwrite=True) as out:
            shutil.copyfileobj(content, out, 1 << 20)
        addresses.append(address)
    transaction.add_files(
        addresses, snapshot_properties={DIGEST_PROPERTY: digest, **summary}, check_duplicate_files=False
    )
    committed = transaction.commit_transaction()
    snapshot = committed.current_snapshot()
    return TableCommit(target.table, 0 if snapshot is None else snapshot.snapshot_id, True, location, len(files))


def _load_catalog(target: TableTarget) -> Catalog:
    from pyiceberg.catalog import load_catalog

    try:
        if target.warehouse is not None:
            target.warehouse.mkdir(parents=True, exist_ok=True)
        return load_catalog(CATALOG, **target.properties)
    except Exception as error:
        raise _unusable(
            target, f"its catalog cannot be opened ({type(error).__name__})", "Check --iceberg-catalog. " + ELSEWHERE
        ) from None


def _load_table(catalog: Catalog, target: TableTarget) -> Table | None:
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    try:
        return catalog.load_table(target.table)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None
    except Exception as error:
        raise _unusable(
            target, f"it cannot be loaded ({type(error).__name__})", "Check --iceberg-catalog. " + ELSEWHERE
        ) from None


def _find_snapshot(table: Table, digest: str) -> int | None:
    """Return the id of the snapshot that carries the digest of a run, or None."""
    for snapshot in table.snapshots():
        if snapshot.summary is not None and snapshot.summary.additional_properties.get(DIGEST_PROPERTY) == digest:
            return snapshot.snapshot_id
    return None


def _plain(arrow: Any) -> Any:
    """Return the type with `string` in place of `large_string`, which pyiceberg reports for the same column."""
    import pyarrow as pa

    return pa.string() if pa.types.is_large_string(arrow) else arrow


def _unusable(target: TableTarget, found: str, remedy: str) -> DataError:
    return DataError("LS211", f"--iceberg-table (iceberg_table) '{target.table}'", found, remedy)
