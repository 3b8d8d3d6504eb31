"""Croissant description of an output, `RUN/synthetic/croissant.json`: its files and columns for programs.

The format is Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html), a JSON-LD vocabulary for data sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linesmith.core.artifacts.shard_list import shard_totals
from linesmith.pipelines.cards.columns import Column, columns_of
from linesmith.pipelines.cards.dataset_card import pattern_of

# As the specification gives it; terms that are not used here are part of it.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_MEDIA_TYPES = {"txt": "text/plain", "csv": "text/csv", "jsonl": "application/jsonlines", "parquet": "application/x-parquet",
                "avro": "application/avro"}  # fmt: skip


def croissant(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of an output as JSON-LD. It depends on the manifest only.

    Every file is named with its size and SHA-256, or the list of files where there are very many. Each format is a set of files
    with a record set of its own: text is described as lines, the others by column.

    Args:
        manifest: that of the output.
    """
    private = bool(manifest.get("private"))
    suffixes = list(shard_totals(manifest))
    claim = "with differential privacy" if private else "without differential privacy"
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "synthetic-records",
        "description": f"{manifest['counts']['records']:,} synthetic records, written by a model that was trained on real ones "
        f"{claim}. README.md beside this file says more.",
        "distribution": [
            *_shard_list(manifest),
            *(part for suffix in suffixes for part in (*_files(suffix, manifest), _set(suffix, manifest))),
        ],
        "recordSet": [_records(suffix, manifest) for suffix in suffixes],
    }


def _files(suffix: str, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    files = [(name, shard) for name, shard in manifest["outputs"].items() if name.rpartition(".")[2] == suffix]
    return [_file(name, suffix, shard["sha256"], {"contentSize": f"{shard['bytes']} B"}) for name, shard in files]


def _shard_list(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = manifest.get("shard_list")
    return [] if listed is None else [_file(listed["file"], "jsonl", listed["sha256"], {})]


def _file(name: str, suffix: str, sha256: str, size: dict[str, str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        **size,
        "encodingFormat": _media_type(suffix),
        "sha256": sha256,
    }


def _set(suffix: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"files-{suffix}",
        "name": f"files-{suffix}",
        "encodingFormat": _media_type(suffix),
        "includes": pattern_of(suffix, manifest),
    }


def _media_type(suffix: str) -> str:
    return _MEDIA_TYPES.get(suffix, "application/octet-stream")


def _records(suffix: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    key = f"records-{suffix}"
    return {"@type": "cr:RecordSet", "@id": key, "name": key, "field": _fields(suffix, key, manifest)}


def _fields(suffix: str, key: str, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = columns_of(manifest)
    if suffix == "txt":
        names = ", ".join(one.name for one in columns)
        header = " The first line of each file is a header." if manifest.get("header") else ""
        described = f"A record. Its fields: {names}.{header}" if len(columns) > 1 else f"A record.{header}"
        line = Column("line", "string", nullable=False)
        return [_field(f"{key}/line", line, suffix, {"fileProperty": "lines"}, described)]
    return [
        _field(f"{key}/{number}", one, suffix, {"column": one.name}, one.described)
        for number, one in enumerate(columns)
        if one.name != manifest.get("partition_by")  # its value is in the name of the directory, not in the file
    ]


def _field(key: str, column: Column, suffix: str, extract: dict[str, str], described: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": key,
        "name": column.name,
        "description": described,
        "dataType": column.croissant_type,
        "source": {"fileSet": {"@id": f"files-{suffix}"}, "extract": extract},
    }
