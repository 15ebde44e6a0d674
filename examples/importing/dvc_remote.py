"""Import what a DVC repository tracks from its remote, under its own paths, every file compared with its MD5.

    python dvc_remote.py ./repository s3://bucket/dvc-remote --store ./store
    python dvc_remote.py ./repository /mnt/dvc-remote --pointers

Reads the ``*.dvc`` files and ``dvc.lock`` of a checkout; each output, a file or a folder, becomes the artifact
``dvc/<its path>``. DVC itself is not needed, PyYAML is. Check another commit out and run it again for the next version;
what was imported is not imported twice. With ``--pointers`` the files stay in the remote, under their digests.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from importing import clean_name, open_place, parser, told, uri_of

from metamlflow import MetaMLFlowClient, Pointer

PIECE = 1024 * 1024


class RemoteError(ValueError):
    """The remote lacks something, or has it damaged; the message says what."""


def main() -> int:
    """Do it; return the exit code."""
    options = parser(__doc__)
    options.add_argument("repository", type=Path, help="a checkout with *.dvc files or dvc.lock")
    options.add_argument("remote", help="a path, or a URI such as s3://bucket/dvc-remote")
    options.add_argument("--prefix", default="dvc", help="of the artifacts' names (default dvc)")
    given = options.parse_args()
    remote = Remote(given.remote)
    client = MetaMLFlowClient(given.store)
    done = 0
    for path, output in outputs(given.repository):
        if "md5" not in output:
            print(f"{path} has no MD5, so that it is in no remote: left out", file=sys.stderr)
            continue
        content: dict[str, Any] = {}
        for name, md5 in remote.files_of(path, output).items():
            place = remote.place_of(md5, output)
            if given.pointers:
                content[name] = Pointer(place, "full", f"md5:{md5}")
            else:
                content[name] = remote.checked(place, md5, output)
        key = f"dvc {'pointers ' if given.pointers else ''}{path} {output['md5']}"
        metadata = {"dvc_md5": output["md5"], "dvc_path": path}
        name = clean_name(f"{given.prefix}/{path}")
        artifact = client.register_artifact(name, content, "dataset", metadata, idempotency_key=key)
        print(f"{artifact.name}@{artifact.version}\t{path}")
        done += 1
    if not done:
        print(f"no *.dvc file and no dvc.lock in {given.repository} tracks anything", file=sys.stderr)
    return int(not done)


def outputs(repository: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tracked outputs of a checkout: path in the repository, and what DVC says of it."""
    for file in sorted(repository.rglob("*.dvc")):
        if file.is_file():
            for output in _read_yaml(file).get("outs", ()):
                yield (file.parent / output["path"]).relative_to(repository).as_posix(), output
    for file in sorted(repository.rglob("dvc.lock")):
        for stage in _read_yaml(file).get("stages", {}).values():
            for output in stage.get("outs", ()):
                yield (file.parent / output["path"]).relative_to(repository).as_posix(), output


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(file.read_text("utf-8")) or {})
    except (yaml.YAMLError, ValueError) as error:
        raise RemoteError(f"{file} cannot be read: {error}") from error


class Remote:
    """A DVC remote: objects named by their MD5."""

    def __init__(self, place: str) -> None:
        self._filesystem, self._root = open_place(place)

    def place_of(self, md5: str, output: dict[str, Any]) -> str:
        """Return where an object lies. Since DVC 3 that is below ``files/md5``, and its outputs say which hash."""
        folder = f"{self._root}/files/md5" if output.get("hash") == "md5" else self._root
        return uri_of(self._filesystem, f"{folder}/{md5[:2]}/{md5[2:]}")

    def files_of(self, path: str, output: dict[str, Any]) -> dict[str, str]:
        """Return the MD5 of each file of an output by its path: of a folder they stand in a list of its own."""
        if not output["md5"].endswith(".dir"):
            return {path.rpartition("/")[2]: output["md5"]}
        data = self._read(self.place_of(output["md5"], output))
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != output["md5"].removesuffix(".dir"):
            raise RemoteError(f"the list of files of {path} is damaged in the remote")
        return {entry["relpath"]: entry["md5"] for entry in json.loads(data)}

    def checked(self, place: str, md5: str, output: dict[str, Any]) -> str:
        """Return where an object lies, once its content was compared with its name."""
        digest = hashlib.md5(usedforsecurity=False)
        try:
            with self._filesystem.open(place, "rb") as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
        except FileNotFoundError:
            raise RemoteError(f"the remote lacks {place}, of {output['path']}: `dvc push` it") from None
        if digest.hexdigest() != md5:
            raise RemoteError(f"{place}, of {output['path']}, is damaged in the remote")
        return place

    def _read(self, place: str) -> bytes:
        try:
            return bytes(self._filesystem.cat_file(place))
        except FileNotFoundError:
            raise RemoteError(f"the remote lacks {place}: `dvc push` it") from None


if __name__ == "__main__":
    sys.exit(told(main))
