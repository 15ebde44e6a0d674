"""The external stores that a store's artifacts point to, each opened with the credentials for its location."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from metamlflow.backend.external import ExternalStore, ObjectMeta
from metamlflow.backend.fsspec_external import FsspecExternalStore
from metamlflow.backend.per_process import PerProcess
from metamlflow.backend.registry import open_external
from metamlflow.errors import InvalidInputError
from metamlflow.format.pointers import digits_problem
from metamlflow.model.pointers import Evidence, PointerEntry
from metamlflow.model.uris import WEB, plain_scheme, split_uri
from metamlflow.store.catalog.pointer_policy import (
    HOSTS,
    CopyBounds,
    ExternalBounds,
    PointerPolicy,
    covers,
    web_place_covers,
)
from metamlflow.store.catalog.source_options import check_source_options


class _Opened:
    """The external stores that a process has opened, by root and place."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stores: dict[tuple[str, str], ExternalStore] = {}


class ExternalStores:
    """Opens external stores when they are first needed. Thread-safe and picklable, including its options.

    Args:
        store_url: the URL of the store. Its options also apply to external stores of its scheme without options of
            their own.
        store_options: the options of the store.
        by_place: options by scheme (``s3``) or by the beginning of a URI (``s3://partner-``); only the longest match
            applies, and options are not merged.
        policy: the places that may be opened, in the form that :class:`PointerPolicy` takes.
    """

    def __init__(
        self,
        store_url: str,
        store_options: Mapping[str, Any],
        by_place: Mapping[str, Mapping[str, Any]],
        policy: Mapping[str, str] | None = None,
    ) -> None:
        check_source_options(by_place)
        scheme = plain_scheme(store_url.partition("://")[0])
        own: dict[str, Mapping[str, Any]] = {}
        if store_options:
            # Where a URI names the server, the options for the store's server must not reach other servers.
            own[f"{split_uri(store_url)[0]}/" if scheme in HOSTS else scheme] = store_options
        if scheme != "file":
            own[f"{store_url}/"] = store_options  # for any scheme, so that an artifact's own path opens
        self._by_place = {_plain(place): options for place, options in {**own, **by_place}.items()}
        self.policy = PointerPolicy.parse(store_url, policy)
        self._opened = PerProcess(_Opened)

    def __getstate__(self) -> tuple[Mapping[str, Mapping[str, Any]], PointerPolicy]:
        return self._by_place, self.policy

    def __setstate__(self, state: tuple[Mapping[str, Mapping[str, Any]], PointerPolicy] | Mapping[str, Any]) -> None:
        if isinstance(state, Mapping):  # pickled by a release without policies: only options by place
            check_source_options(state)
            state = {_plain(place): options for place, options in state.items()}, PointerPolicy.parse("", None)
        self._by_place, self.policy = dict(state[0]), state[1]
        self._opened = PerProcess(_Opened)

    def guarded_for(self, store_url: str) -> None:
        """Apply the default policy for a store to an object that was pickled without a policy."""
        self.policy = self.policy if self.policy.store else PointerPolicy.parse(store_url, None)

    def external_of(self, uri: str) -> tuple[ExternalStore, str]:
        """Return the external store that contains an object, and the object's name there. No request.

        Every pointer is opened through this method.

        Raises:
            PointerPolicyError: the client's policy does not allow the URI.
        """
        uri = _plain(uri)
        self.policy.check(uri)
        root, name = split_uri(uri)
        place = self._place(uri)
        opened = self._opened.get()
        with opened.lock:
            if (root, place) not in opened.stores:
                bounds = ExternalBounds(self.policy, place)
                opened.stores[root, place] = open_external(root, self._by_place.get(place, {}), bounds)
            return opened.stores[root, place], name

    def filesystem_of(self, uri: str) -> tuple[Any, str]:
        """Return the fsspec file system for writing an object, and the object's path there.

        Raises:
            PointerPolicyError: the client's policy does not allow the URI to be read.
        """
        import fsspec

        uri = _plain(uri)
        self.policy.check(uri)
        options = {**self.options_of(uri), "use_listings_cache": False}
        scheme = uri.partition("://")[0]
        try:
            filesystem = fsspec.filesystem(scheme, **options)
        except (ImportError, ValueError, TypeError) as error:
            raise InvalidInputError(f"data cannot be written to {scheme}://: {error}") from error
        return filesystem, filesystem._strip_protocol(uri)  # noqa: SLF001 (fsspec's name for it)

    def options_of(self, uri: str) -> Mapping[str, Any]:
        """Return the options that apply to a URI."""
        return self._by_place.get(self._place(_plain(uri)), {})

    def copy_options(self, url: str) -> Mapping[str, Any]:
        """Return the fsspec options for a URL that the user gave as a source to store.

        The URL may lead anywhere, because the user named it, not a manifest. Credentials are sent only to their own
        host.
        """
        options = self.options_of(url)
        scheme = url.partition("://")[0].lower()
        if scheme not in WEB:
            return options
        external = open_external(split_uri(url)[0], options, CopyBounds(self.policy, self._place(url)))
        return external.filesystem_options() if isinstance(external, FsspecExternalStore) else options

    def _place(self, uri: str) -> str:
        scheme = uri.partition("://")[0]
        fitting = [place for place in self._by_place if _fits(place, scheme, uri)]
        return max(fitting, key=lambda place: ("://" in place, len(place)), default="")


def _fits(place: str, scheme: str, uri: str) -> bool:
    if "://" not in place:
        return place == scheme
    if scheme in HOSTS:  # https://data.example must not match https://data.example.net
        return place.startswith(f"{scheme}://") and (web_place_covers if scheme in WEB else covers)(place, uri)
    return uri.startswith(place)


def _plain(place: str) -> str:
    """Return a place with its scheme in the spelling that pointers' URIs use."""
    scheme, separator, rest = place.partition("://")
    if separator and not rest:
        separator = ""
    return plain_scheme(scheme) + separator + rest


def seen_as(entry: PointerEntry) -> ObjectMeta:
    """Return an entry's description of its object as object metadata; reads and later looks are compared with it."""
    evidence = entry.evidence
    return ObjectMeta(
        name=split_uri(entry.uri)[1],
        size=entry.size,
        version=entry.version,
        etag=evidence.etag,
        modified_ns=evidence.modified_ns,
        held=evidence.held,
    )


def entry_of(path: str, root: str, seen: ObjectMeta, computed: Mapping[str, str] | None = None) -> PointerEntry:
    """Return the entry for an object from its observed state. A time that no document can hold is left out."""
    known = seen.modified_ns is not None and digits_problem(str(seen.modified_ns)) is None
    evidence = Evidence(
        etag=seen.etag,
        modified_ns=seen.modified_ns if known else None,
        held=dict(seen.held),
        computed=dict(computed or {}),
    )
    return PointerEntry(path, seen.size, f"{root}/{seen.name}", seen.version, evidence)
