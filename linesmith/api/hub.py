"""Models on the Hugging Face Hub: the archive that `export` makes, a page, and the privacy statement; never a pickle."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linesmith.api.progress import messages
from linesmith.api.saving import ARGUMENTS
from linesmith.core.config.setting_field import shortened
from linesmith.core.errors import DataError, LinesmithError, ParameterError

if TYPE_CHECKING:
    from linesmith.api.model import Model

ARCHIVE = "model.tar.gz"
_PAGE = "README.md"
_NO_STATEMENT = "It was trained without differential privacy: whoever has it may find records that it has learned."

_STATUSES = {
    401: "the token is missing or wrong, or there is no such repository (401)",
    403: "access is denied (403)",
    404: "there is no such repository, or the token may not see it (404)",
}


def push_model(
    model: Model,
    repo_id: str,
    private: bool,
    revision: str | None,
    token: str | bool | None,
    commit_message: str | None,
) -> str:
    """Upload a model; arguments and errors as for `Model.push_to_hub`."""
    hub = _library()
    from linesmith.pipelines.export import export

    with tempfile.TemporaryDirectory() as scratch, messages(False, ARGUMENTS), _explained(repo_id):
        archive = Path(scratch) / ARCHIVE
        export(str(model.directory), str(archive))  # refuses a statement of other weights
        statement = model.privacy
        files: dict[str, Any] = {ARCHIVE: str(archive), _PAGE: _page(repo_id, statement).encode()}
        if statement is not None:
            files |= {name: str(model.directory / "model" / name) for name in _statement_files(model.directory)}
        api = hub.HfApi(token=token, library_name="linesmith")
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        commit = api.create_commit(
            repo_id,
            [hub.CommitOperationAdd(name, content) for name, content in files.items()],
            commit_message=commit_message or "Upload a model of Linesmith",
            revision=revision,
        )
    return str(commit.commit_url)


def pull_model(target: str, repo_id: str, revision: str | None, token: str | bool | None) -> None:
    """Put a model into an empty directory; the other arguments and errors as for `Model.from_hub`."""
    hub = _library()
    from linesmith.pipelines.export import import_archive

    with messages(False, ARGUMENTS), _explained(repo_id):
        api = hub.HfApi(token=token, library_name="linesmith")
        import_archive(api.hf_hub_download(repo_id, ARCHIVE, revision=revision), target)


def _library() -> Any:
    if find_spec("huggingface_hub") is None:
        raise ParameterError(
            "LS106", None, "the Hugging Face Hub needs huggingface_hub", "Install it: pip install 'linesmith[hub]'."
        )
    import huggingface_hub

    return huggingface_hub


def _statement_files(directory: Path) -> list[str]:
    from linesmith.core.artifacts.privacy_statement import STATEMENT_FILE, STATEMENT_TEXT_FILE

    return [name for name in (STATEMENT_FILE, STATEMENT_TEXT_FILE) if (directory / "model" / name).is_file()]


def _page(repo_id: str, statement: dict[str, Any] | None) -> str:
    """Return the page of a repository, with the metadata that the Hub reads."""
    from linesmith.pipelines.cards.claims import round_up

    privacy = _NO_STATEMENT
    if statement is not None:
        privacy = (
            f"It was trained with differential privacy, epsilon {round_up(statement['epsilon'])} at delta "
            f"{statement['delta']:g}. "
            "`privacy.json` is the statement: what is protected, against whom, and what is not covered."
        )
    return f"""---
library_name: linesmith
tags:
- synthetic-data
- linesmith
---

# {repo_id.rpartition("/")[2]}

A model that writes synthetic records. {privacy}

```python
import linesmith

model = linesmith.Model.from_hub("{repo_id}")
model.sample(10)
```
"""


@contextmanager
def _explained(repo_id: object) -> Iterator[None]:
    """Turn errors of the Hub's library into errors of Linesmith, without their texts, which may hold an address with a key.

    Raises:
        ParameterError: LS101, no name of a repository.
        DataError: LS201, the repository holds no model. LS213, the Hub refuses access or cannot be reached.
    """
    try:
        yield
    except LinesmithError:
        raise
    except Exception as error:
        explained = _explanation(error, f"repo_id {shortened(repr(repo_id))}")
        if explained is None:
            raise
        raise explained from None


def _explanation(error: Exception, option: str) -> LinesmithError | None:
    """Return what an error of the Hub's library means; None if it is not about the Hub."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        remedy = "Give OWNER/NAME of letters, digits, '-', '_' and '.'."
        return ParameterError("LS101", option, "no name of a repository", remedy)
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return DataError("LS201", option, f"holds no {ARCHIVE}", "Name a repository that push_to_hub made.")
    found = None
    if isinstance(error, errors.LocalTokenNotFoundError):
        found = "no token is found"
    elif isinstance(error, errors.RevisionNotFoundError):
        found = "there is no such revision"
    elif (status := _status(error) or _status(error.__cause__)) is not None:
        found = _STATUSES.get(status, f"the Hub answers with status {status}")
    elif isinstance(error, errors.LocalEntryNotFoundError | ConnectionError | TimeoutError) or _is_of_transport(error):
        found = "the Hub cannot be reached"
    remedy = "Check the name, the network, and the token (hf auth login, or HF_TOKEN)."
    return None if found is None else DataError("LS213", option, found, remedy)


def _status(error: BaseException | None) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_of_transport(error: Exception) -> bool:
    return type(error).__module__.startswith(("httpx", "httpcore", "requests"))
