"""An Apache Iceberg table as the target of a run: all files of the run appear in it with one commit, or none do.

Data files are written beside the table first, under names that nothing refers to; the commit, one transaction of the
catalog, creates the table if need be and adds them all as one snapshot. A run that ends before it leaves the table as it
was, and its files are written over when it is repeated. The snapshot carries the run's digest, so that the same run is
never added twice, as long as the table keeps that snapshot.
"""

from __future__ import annotations

import re
import shutil
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.core.errors import DataError, ParameterError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table, Transaction

CATALOG = "linesmith"
DIGEST_PROPERTY = "linesmith.run-digest"
_PROPERTY = re.compile(r"([\w.-]+)=(.*)", re.DOTALL)
_SECRET = re.compile(r"secret|passw|token|credential|access-key|sas|private", re.IGNORECASE)
_ELSEWHERE = "Set it in the environment, as PYICEBERG_CATALOG__LINESMITH__…, or in pyiceberg's own configuration."


@dataclass(frozen=True)
class TableTarget:
    """A table and where to find it.

    Attributes:
        table: namespace.name.
        properties: of the catalog; no secrets.
        warehouse: the local directory of the default warehouse, if that is used, or None.
    """

    table: str
    properties: Mapping[str, str]
    warehouse: Path | None


@dataclass(frozen=True)
class TableCommit:
    """What became of a run.

    Attributes:
        table: namespace.name.
        snapshot_id: of the snapshot that holds the run.
        appended: False where an earlier, equal run had added it already.
        location: of the table.
        files: data files.
    """

    table: str
    snapshot_id: int
    appended: bool
    location: str
    files: int


def resolve_table_target(table: str, given: Sequence[str] | None, run_root: Path) -> TableTarget:
    """The target that settings mean. The catalog is an SQLite file in the run directory where nothing else is said, here or in
    pyiceberg's configuration of a catalog named `linesmith`; so is the warehouse of another SQL catalog.

    Raises:
        ParameterError: LS106, pyiceberg is missing; LS114, a property is none, or a secret.
    """
    properties = _properties(given or [])
    try:
        from pyiceberg.utils.config import Config
    except ImportError:
        raise ParameterError(
            "LS106: --iceberg-table needs pyiceberg: pip install 'linesmith[lake]'.", code="LS106"
        ) from None
    known = {**(Config().get_catalog_config(CATALOG) or {}), **properties}
    warehouse = run_root.absolute() / "warehouse"
    if not known:
        properties = {"type": "sql", "uri": f"sqlite:///{warehouse}/catalog.db", "warehouse": f"file://{warehouse}"}
        return TableTarget(table, properties, warehouse)
    sql = known.get("type") == "sql" or str(known.get("uri", "")).split(":")[0].split("+")[0] in (
        "sqlite",
        "postgresql",
    )
    if sql and "warehouse" not in known:
        return TableTarget(table, {**properties, "warehouse": f"file://{warehouse}"}, warehouse)
    return TableTarget(table, properties, None)


def _properties(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in given:
        match = _PROPERTY.fullmatch(one)
        name, value = (match[1], match[2]) if match is not None else ("uri", one)
        if match is None and "://" not in one:
            raise ParameterError(
                f"LS114: --iceberg-catalog (iceberg_catalog) '{one}' is neither key=value nor a URI such as "
                "sqlite:///catalog.db or https://catalog.example.com.",
                code="LS114",
            )
        if _SECRET.search(name) or urllib.parse.urlsplit(value).password is not None:
            raise ParameterError(
                f"LS114: --iceberg-catalog (iceberg_catalog) '{name}' holds a secret, and settings are written to manifests. "
                + _ELSEWHERE,
                code="LS114",
            )
        found[name] = value
    return found


def check_table(target: TableTarget, schema: pa.Schema, partition_by: str | None) -> None:
    """Refuse, before anything is sampled, what could not be committed.

    Raises:
        DataError: LS211, the catalog cannot be reached, or the table has another schema or other partitions.
    """
    table = _existing(_catalog(target), target)
    if table is None:
        return
    fields = {field.name: field for field in table.schema().as_arrow()}
    for field in schema:
        there = fields.get(field.name)
        if there is None or _plain(there.type) != field.type or (field.nullable and not there.nullable):
            found = (
                "no such column" if there is None else f"{_plain(there.type)}{'' if there.nullable else ' required'}"
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
    """Add files to the table in one commit; create it in the same one where it does not exist.

    Args:
        files: Parquet files of `schema`, of one partition each.
        digest: of the run; a snapshot that carries it means that there is nothing to do.
        summary: further properties of the snapshot.

    Raises:
        DataError: LS211, the catalog or the warehouse cannot be written, or another writer was faster.
    """
    catalog = _catalog(target)
    table = _existing(catalog, target)
    done = None if table is None else _snapshot_of(table, digest)
    if table is not None and done is not None:
        return TableCommit(target.table, done, False, table.location(), len(files))
    try:
        return _commit(catalog, table, target, files, schema, partition_by, digest, summary)
    except OSError as error:
        raise _unusable(
            target,
            f"its warehouse cannot be written ({error.strerror or type(error).__name__})",
            "Make room there and run again; the table is as it was.",
        ) from None
    except Exception as error:
        # pyiceberg and the catalog's driver raise many kinds; their messages quote settings, not records.
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
    placed = []
    for number, file in enumerate(files):
        place = f"{location}/data/{digest[:16]}-{number:05d}.parquet"
        with open(file, "rb") as content, store.new_output(place).create(overwrite=True) as out:
            shutil.copyfileobj(content, out, 1 << 20)
        placed.append(place)
    transaction.add_files(placed, snapshot_properties={DIGEST_PROPERTY: digest, **summary}, check_duplicate_files=False)
    committed = transaction.commit_transaction()
    snapshot = committed.current_snapshot()
    return TableCommit(target.table, 0 if snapshot is None else snapshot.snapshot_id, True, location, len(files))


def _catalog(target: TableTarget) -> Catalog:
    from pyiceberg.catalog import load_catalog

    try:
        if target.warehouse is not None:
            target.warehouse.mkdir(parents=True, exist_ok=True)
        return load_catalog(CATALOG, **target.properties)
    except Exception as error:
        raise _unusable(
            target, f"its catalog cannot be opened ({type(error).__name__})", "Check --iceberg-catalog. " + _ELSEWHERE
        ) from None


def _existing(catalog: Catalog, target: TableTarget) -> Table | None:
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    try:
        return catalog.load_table(target.table)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None
    except Exception as error:
        raise _unusable(
            target, f"it cannot be loaded ({type(error).__name__})", "Check --iceberg-catalog. " + _ELSEWHERE
        ) from None


def _snapshot_of(table: Table, digest: str) -> int | None:
    for snapshot in table.snapshots():
        if snapshot.summary is not None and snapshot.summary.additional_properties.get(DIGEST_PROPERTY) == digest:
            return snapshot.snapshot_id
    return None


def _plain(kind: Any) -> Any:
    import pyarrow as pa

    return pa.string() if pa.types.is_large_string(kind) else kind


def _unusable(target: TableTarget, found: str, remedy: str) -> DataError:
    return DataError(f"LS211: --iceberg-table (iceberg_table) '{target.table}': {found}. {remedy}", code="LS211")
