"""The file system ``metamlflow`` of fsspec: pandas, pyarrow, dask, duckdb and others read versions by their address.

``metamlflow://fraud/features@2/train/part-0.parquet`` is a file of version 2; without ``@2`` it is one of the latest
version. A version of one file is a file, and a version of a folder is a folder. Importing this module is not needed:
fsspec finds it by its scheme.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, Self

import fsspec
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import glob_translate, isfilelike, tokenize

from metamlflow._addressed import AddressedStore
from metamlflow._opened_file import OpenedFile
from metamlflow._session import opened_store
from metamlflow.artifacts import Artifact
from metamlflow.errors import FolderAddressError, InvalidInputError, MetaMLFlowError, ReadOnlyError
from metamlflow.model.addresses import SCHEME, without_scheme
from metamlflow.store.read.ranged import Verify
from metamlflow.store.transfer.scheduler import in_parallel

__all__ = ["MetaMLFlowFileSystem"]

_OF_FSSPEC = frozenset(
    {
        "asynchronous",
        "batch_size",
        "listings_expiry_time",
        "loop",
        "max_paths",
        "skip_instance_cache",
        "use_listings_cache",
    }
)
_MAGIC = frozenset("*?[")


class MetaMLFlowFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The versions of one store as read-only files and folders. Thread-safe and picklable.

    An instance resolves ``latest`` and aliases once, so all its reads, and those of its copies in other processes, are
    of the same versions; :meth:`invalidate_cache` forgets them. Each call with a URL (``fsspec.open``,
    ``pandas.read_parquet``) has an instance of its own.

    Args:
        store: the URL of the store, as for :class:`~metamlflow.client.MetaMLFlowClient`. Default: the store that is
            chained to the address (``metamlflow://features@2::s3://bucket/ml``), else ``METAMLFLOW_STORAGE_URI``.
        store_options: options of the store's storage. Default: those chained, else ``METAMLFLOW_STORAGE_OPTIONS``.
        source_options: options for pointed data, as for the client.
        pointer_policy: which places pointers may lead to, as for the client.
        verify: ``auto``, ``whole`` or ``ranges``: what is verified of a file that is not read from start to end. See
            ``docs/howto/addresses.md``.

    Raises:
        InvalidInputError: no store is named, or an option is invalid or unknown.
    """

    protocol = SCHEME
    root_marker = ""
    cachable = False  # a copy that fsspec kept would read an old `latest`; what costs requests is shared below

    def __init__(
        self,
        store: str | os.PathLike[str] | None = None,
        *,
        store_options: Mapping[str, Any] | None = None,
        source_options: Mapping[str, Mapping[str, Any]] | None = None,
        pointer_policy: Mapping[str, str] | None = None,
        verify: Verify = "auto",
        fo: str | None = None,
        target_protocol: str | None = None,
        target_options: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if unknown := sorted(others.keys() - _OF_FSSPEC):
            raise InvalidInputError(
                f"unknown options of a metamlflow address: {', '.join(map(repr, unknown))}",
                hint="Options of the store's storage go into store_options={…}.",
            )
        if verify not in {"auto", "whole", "ranges"}:
            raise InvalidInputError(f"verify is 'auto', 'whole' or 'ranges', not {verify!r:.80}")
        if store is None and fo is not None:
            store, chained = _chained(fo, target_protocol, target_options)
            store_options = chained if store_options is None else store_options
        self._store = AddressedStore.opened(opened_store(store, store_options, source_options, pointer_policy))
        self._verify: Verify = verify

    @classmethod
    def of(cls, artifact: Artifact, *, verify: Verify = "auto") -> Self:
        """Return a file system of an artifact's store, with the options of the client that returned the artifact."""
        session = artifact._session  # noqa: SLF001 (a friend)
        fs: Self = _rebuilt(cls, (), {"store": session.store.url}, AddressedStore(session), verify)
        return fs

    @property
    def storage_uri(self) -> str:
        """The URL of the store."""
        return self._store.session.store.url

    @property
    def _fs_token(self) -> str:
        """What fsspec compares file systems by: those of one store are equal in all threads and processes."""
        return str(tokenize(self.storage_uri, self._verify, self.storage_options))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), self.storage_args, self.storage_options, self._store, self._verify)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget which versions ``latest`` and aliases stand for, and what was listed."""
        super().invalidate_cache(path)
        self._store = self._store.forgetting()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list | tuple):
            return [cls._strip_protocol(one) for one in path]
        return without_scheme(os.fspath(path))

    # --- what there is ------------------------------------------------------------------------------------------------

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, size and type; of a file or a version also its digest, and name, number and time of the version.

        Raises:
            AddressNotFoundError: nothing exists at the address; also a FileNotFoundError.
        """
        return self._store.info(self._strip_protocol(path))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002 (fsspec's signature)
        """List a folder of names, or one inside of a version; reads only the pages of a long list that it needs.

        A name is listed as a directory, whatever its versions are: :meth:`info` looks. ``glob("features@*")`` lists
        versions.
        """
        listed = self._store.listed(self._strip_protocol(path))
        return [listed[name] for name in sorted(listed)] if detail else sorted(listed)

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002 (fsspec's signature)
        detail: bool = False,  # noqa: FBT001, FBT002
        **options: Any,
    ) -> Any:
        """List all files below a folder, in one pass over a version's list of files."""
        if maxdepth is not None and maxdepth < 1:
            raise InvalidInputError("maxdepth is at least 1")
        path = self._strip_protocol(path)
        infos = self._store.listed_below(path, maxdepth, folders=withdirs)
        if infos is None:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **options)
        return {name: infos[name] for name in sorted(infos)} if detail else sorted(infos)

    def glob(self, path: str, maxdepth: int | None = None, **options: Any) -> Any:
        """Find by a pattern, as in other file systems; ``features@*`` finds the numbered versions of a name."""
        stripped = self._strip_protocol(path)
        name, _, rest = stripped.partition("@")
        version, _, inner = rest.partition("/")
        if not rest or not (_MAGIC & {*name, *version}):
            return super().glob(path, maxdepth=maxdepth, **options)
        detail = options.pop("detail", False)
        infos: dict[str, Any] = {}
        for head in self._heads(name, version):
            if not inner:
                infos[head] = self.info(head)
            else:
                slash = "/" if path.endswith("/") else ""
                infos |= super().glob(f"{head}/{inner}{slash}", maxdepth=maxdepth, detail=True, **options)
        return infos if detail else list(infos)

    def _heads(self, name: str, version: str) -> Iterator[str]:
        """Yield the versions that patterns of a name and of a version match."""
        matches = _matcher(name)
        names = sorted(filter(matches, self._store.names())) if _MAGIC & {*name} else [name]
        for one in names:
            if _MAGIC & {*version}:
                numbers = map(str, self._store.versions(one))
                yield from (f"{one}@{number}" for number in filter(_matcher(version), numbers))
            elif self.exists(f"{one}@{version}"):
                yield f"{one}@{version}"

    def checksum(self, path: str) -> int:
        """Return a number that is the same for the same content at the same path of any version."""
        return int(self.ukey(path), 16)

    def ukey(self, path: str) -> str:
        """Return a text that is the same for the same content at the same path of any version."""
        return self._store.identity(self._strip_protocol(path))

    def created(self, path: str) -> datetime:
        """Return when the version was registered, in UTC; files of a version have no times of their own."""
        info = self.info(path)
        if "created" not in info:
            raise FolderAddressError(f"{path!r} is a folder of names, which has no time")
        created: datetime = info["created"]
        return created

    modified = created

    # --- content ------------------------------------------------------------------------------------------------------

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return the content of a file, verified; or a range of it, which is verified as of :meth:`open`.

        Raises:
            IntegrityError: the content is damaged or missing.
            PointerDriftError: the pointed data changed, or is gone.
        """
        content = self._store.content(self._strip_protocol(path))
        size = content.entry.size
        first, last, _step = slice(start, end).indices(size)
        if (first, last) == (0, size):
            return bytes(content.read())
        if first >= last:
            return b""
        with closing(content.ranged(self._verify)) as ranges:
            return ranges.read_at(first, last - first)

    def cat_ranges(
        self, paths: list[str], starts: Any, ends: Any, max_gap: int | None = None, on_error: str = "return", **_: Any
    ) -> list[Any]:
        """Return ranges of files, several at a time; with ``on_error="return"`` an error in the place of its range."""
        if max_gap is not None:
            raise NotImplementedError  # as fsspec's own
        count = len(paths)
        starts = starts if isinstance(starts, list) else [starts] * count
        ends = ends if isinstance(ends, list) else [ends] * count
        asked = list(zip(paths, starts, ends, strict=True))
        return list(in_parallel(_caught(lambda one: self.cat_file(*one), on_error), asked))

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **_: Any) -> Any:  # noqa: FBT001, FBT002
        """Return the content of a file, or of several by path, which are read several at a time; verified."""
        paths = self.expand_path(path, recursive=recursive)
        if (
            not isinstance(path, list)
            and paths == [self._strip_protocol(path)]
            and not (recursive and self.isdir(path))
        ):
            return self.cat_file(path)
        files = [one for one in paths if not (recursive and self.isdir(one))]
        contents = in_parallel(_caught(self.cat_file, "raise" if on_error == "raise" else "return"), files)
        both = zip(files, contents, strict=True)
        return {one: data for one, data in both if on_error != "omit" or not isinstance(data, Exception)}

    def get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **options: Any
    ) -> None:
        """Copy a file to this machine: it appears under its name when all of it is there and verified."""
        outfile = lpath if outfile is None and isfilelike(lpath) else outfile
        if outfile is not None:
            super().get_file(rpath, lpath, callback=callback, outfile=outfile, **options)
            return
        if self.isdir(rpath):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        content = self._store.content(self._strip_protocol(rpath))
        callback.set_size(content.entry.size)
        target = Path(lpath)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{uuid.uuid4().hex}.part")
        try:
            with part.open("xb", buffering=0) as file:
                content.copy(file, callback.relative_update)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def _open(self, path: str, mode: str = "rb", **_: Any) -> OpenedFile:
        if mode not in {"r", "rb"}:
            raise _read_only(path)
        content = self._store.content(path)
        return OpenedFile(self, path, content.ranged(self._verify), content.entry.size)

    # --- writing, which is refused ------------------------------------------------------------------------------------

    def _refuse(self, *paths: Any, **_: Any) -> NoReturn:
        """Raise ReadOnlyError, which is also an OSError: versions never change, and the client registers new ones."""
        raise _read_only(str(paths[0]) if paths else "")

    mkdir = makedir = makedirs = mkdirs = rmdir = rm = rm_file = _rm = delete = touch = _refuse
    cp_file = copy = cp = mv = move = rename = _refuse
    pipe = pipe_file = put = put_file = upload = write_text = write_bytes = _refuse


def _rebuilt(
    cls: type[Any], args: tuple[Any, ...], options: dict[str, Any], store: AddressedStore, verify: Verify
) -> Any:
    """Return a file system as it was pickled; its constructor would resolve the store and the versions again."""
    fs: Any = object.__new__(cls)
    fsspec.AbstractFileSystem.__init__(fs)
    fs.storage_args, fs.storage_options = args, options
    fs._store, fs._verify = store, verify  # noqa: SLF001 (its own)
    return fs


def _chained(
    place: str, protocol: str | None, options: Mapping[str, Any] | None
) -> tuple[str, Mapping[str, Any] | None]:
    """Return the store's URL and options of a chain, as fsspec takes it apart."""
    if options and "target_protocol" in options:
        raise InvalidInputError(
            "a store is the last part of a chain of file systems",
            hint="Put other file systems before metamlflow://, as in simplecache::metamlflow://features@2::s3://bucket/ml.",
        )
    return f"{protocol or 'file'}://{place}", options or None


def _caught(work: Callable[[Any], Any], on_error: str) -> Callable[[Any], Any]:
    if on_error != "return":
        return work

    def caught(item: Any) -> Any:
        try:
            return work(item)
        except (MetaMLFlowError, OSError) as error:
            return error

    return caught


def _matcher(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(glob_translate(pattern))
    return lambda text: compiled.match(text) is not None


def _read_only(path: str) -> ReadOnlyError:
    return ReadOnlyError(
        f"{SCHEME}://{without_scheme(path)} cannot be written: versions never change",
        hint="client.register_artifact() registers the next version.",
    )
