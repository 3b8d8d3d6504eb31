"""Which Iceberg table the settings name, where its catalog and its warehouse are, and what pyiceberg cannot partition."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from linesmith.core.errors import ParameterError

CATALOG = "linesmith"
ELSEWHERE = "Set it in the environment, as PYICEBERG_CATALOG__LINESMITH__…, or in pyiceberg's own configuration."
_PROPERTY = re.compile(r"([\w.-]+)=(.*)", re.DOTALL)
_SECRET = re.compile(r"secret|passw|token|credential|access-key|sas|private", re.IGNORECASE)


@dataclass(frozen=True)
class TableTarget:
    """A table and where to find it.

    Attributes:
        table: namespace.name.
        properties: properties of the catalog; no secrets.
        warehouse: directory of the default warehouse on this machine; None if that is not used.
        is_default: nothing says which catalog it is in.
    """

    table: str
    properties: Mapping[str, str]
    warehouse: Path | None
    is_default: bool = False


def resolve_table_target(
    table: str, catalog_settings: Sequence[str] | None, run_root: Path, option: str = "--iceberg-table"
) -> TableTarget:
    """Return the target that the settings describe.

    Without a catalog in the settings or in pyiceberg's configuration (of a catalog named `linesmith`), the catalog is an
    SQLite file in the run directory. The warehouse is there too, unless a SQL catalog of the user names another.

    Args:
        table: namespace.name.
        catalog_settings: `key=value` properties of the catalog, or its URI.
        run_root: the run directory.
        option: what names the table, for messages.

    Raises:
        ParameterError: LS106, pyiceberg is missing; LS114, a property is malformed or holds a secret, or pyiceberg's own
            configuration cannot be read.
    """
    catalog_option = "--input-catalog" if option == "--input" else "--iceberg-catalog (iceberg_catalog)"
    properties = _parse_properties(catalog_settings or [], catalog_option)
    try:
        from pyiceberg.utils.config import Config
    except ImportError:
        raise ParameterError(
            "LS106", option, "pyiceberg is not installed", "Install it: pip install 'linesmith[lake]'."
        ) from None
    try:
        configured = Config().get_catalog_config(CATALOG) or {}
    except Exception as error:
        # The parser of its file and the checks of its content raise a dozen classes of errors.
        raise ParameterError(
            "LS114",
            option,
            f"pyiceberg's own configuration cannot be read ({type(error).__name__})",
            "Mend its file, .pyiceberg.yaml, or the variables PYICEBERG_….",
        ) from None
    known = {**configured, **properties}
    warehouse = run_root.absolute() / "warehouse"
    if not known:
        from sqlalchemy import URL

        address = _local_address(warehouse)
        uri = URL.create("sqlite", database=f"{warehouse}/catalog.db").render_as_string()  # escapes what it must
        return TableTarget(table, {"type": "sql", "uri": uri, "warehouse": address}, warehouse, is_default=True)
    sql = known.get("type") == "sql" or str(known.get("uri", "")).split(":")[0].split("+")[0] in (
        "sqlite",
        "postgresql",
    )
    if sql and "warehouse" not in known:
        return TableTarget(table, {**properties, "warehouse": _local_address(warehouse)}, warehouse)
    return TableTarget(table, properties, None)


def _local_address(warehouse: Path) -> str:
    """Return the address of a local directory, as pyiceberg takes it apart again: it does not decode escapes.

    Raises:
        ParameterError: LS114, the path is not UTF-8, which Arrow needs.
    """
    path = str(warehouse)
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise ParameterError(
            "LS114",
            "--iceberg-table",
            f"its default warehouse would be '{warehouse}', whose name is not UTF-8",
            "Name a warehouse with --iceberg-catalog, or give an --output whose name is UTF-8.",
        ) from None
    address = f"file://{path}"
    return address if urllib.parse.urlparse(address).path == path else path


def check_partition_column(table: str, column: str) -> None:
    """Refuse a column by which pyiceberg cannot partition a table.

    It finds the statistics of no column with a point in its name, which stands for a nested one, so that it would commit files
    with a wrong partition value or none.

    Raises:
        ParameterError: LS134.
    """
    if "." in column or not column:
        raise ParameterError(
            "LS134",
            f"--partition-by (partition_by) '{column}'",
            f"--iceberg-table '{table}' cannot be partitioned by a column "
            + ("with a point in its name" if column else "without a name"),
            "Give the columns other names with --columns, or choose another one.",
        )


def _parse_properties(catalog_settings: Sequence[str], option: str) -> dict[str, str]:
    properties = {}
    for setting in catalog_settings:
        match = _PROPERTY.fullmatch(setting)
        name, value = (match[1], match[2]) if match is not None else ("uri", setting)
        if match is None and "://" not in setting:
            raise ParameterError(
                "LS114",
                f"{option} '{setting}'",
                "neither key=value nor a URI",
                "Give a URI such as sqlite:///catalog.db or https://catalog.example.com, or properties.",
            )
        try:
            parts = urllib.parse.urlsplit(value)
        except ValueError:
            raise ParameterError("LS114", f"{option} '{name}'", "its address is malformed", "Correct it.") from None
        if _SECRET.search(name) or parts.password is not None or _SECRET.search(parts.query):
            raise ParameterError(
                "LS114",
                f"{option} '{name}'",
                "holds a secret, and settings are written to manifests",
                ELSEWHERE,
            )
        properties[name] = value
    return properties
