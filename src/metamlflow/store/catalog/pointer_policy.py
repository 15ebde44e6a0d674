"""Which places a client opens because a store names them.

A manifest is written by whoever may write to the store. Without a policy its pointers would make every reader open
files of their own machine, and addresses that only that machine can reach. So schemes are allowed, not refused: what
nobody thought of is refused.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from metamlflow.backend.addresses import address_of, is_public
from metamlflow.backend.external import shown
from metamlflow.errors import InvalidInputError, PointerPolicyError
from metamlflow.model.uris import WEB, plain_scheme, split_uri
from metamlflow.store.catalog.local_places import LocalPath

VARIABLE = "METAMLFLOW_POINTER_POLICY"
BUCKETS = frozenset({"s3", "gs", "az", "abfs", "abfss"})
"""Schemes whose server the reader's own options name: a manifest can choose a bucket there, and no server."""
HOSTS = WEB | {"ftp", "sftp", "ssh", "smb", "webhdfs", "hdfs", "dav", "webdav", "jupyter", "jlab"}
"""Schemes whose URIs name the server that is connected to."""
_ANYTHING = "*"
_ANY_PORT = ":*"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_VERDICTS = ("allow", "refuse")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class PointerPolicy:
    """What may be opened for a pointer. Picklable.

    Args:
        store: the URL of the store that the pointers come from.
        rules: places with ``allow`` or ``refuse``, the longest first: ``*``, a scheme, or the beginning of a URI up to
            the end of a part of it; ``https://host:*/`` means any port. The first that covers a URI decides; where none
            does, the default.
    """

    store: str = ""
    rules: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, store: str, rules: Mapping[Any, Any] | None) -> PointerPolicy:
        """Read what a user gave.

        Raises:
            InvalidInputError: it is not a mapping of places to ``allow`` or ``refuse``.
        """
        rules = {} if rules is None else rules
        if not isinstance(rules, Mapping):
            raise _misgiven(f"not {type(rules).__name__}")
        found: dict[str, str] = {}
        for place, verdict in rules.items():
            if not isinstance(place, str) or not place:
                raise _misgiven("and a place is a text")
            if verdict not in _VERDICTS:
                told = repr(verdict)[:40] if isinstance(verdict, str) else f"a {type(verdict).__name__}"
                raise _misgiven(f"and {told} is neither")
            if "@" in place.partition("://")[2].partition("/")[0]:
                raise _misgiven("and a place holds no user info")
            known = _canonical_place(place)
            if problem := _place_problem(known):
                raise _misgiven(f"and {place!r:.100} {problem}")
            if found.setdefault(known, verdict) != verdict:
                raise _misgiven(f"and {place!r:.100} stands for a place that is given twice, once with each")
        return cls(store, tuple(sorted(found.items(), key=lambda rule: (-len(rule[0]), rule[0]))))

    def check(self, uri: str) -> None:
        """Let a URI pass.

        Of a web address whose host is a name this does not tell where it leads: see :meth:`names_host`.

        Raises:
            PointerPolicyError: it may not be opened.
        """
        scheme = plain_scheme(uri.partition("://")[0])
        rule = self._rule(uri) if self.rules else None
        if rule is not None and rule[1] == "refuse":
            raise self.refusal(uri, f"the pointer policy refuses {rule[0]!r}")
        if rule is not None and (scheme not in WEB or "://" in rule[0]):
            return
        if scheme in WEB:
            host = _host(uri)
            if not host:
                raise self.refusal(uri, "it names no host")
            address = address_of(host)
            if address is not None and not is_public(address):
                raise self.refusal(uri, f"{address} is not an address of the public network")
        elif scheme not in BUCKETS and not self._is_of_store(scheme, uri):
            raise self.refusal(uri, _reason(scheme))

    def names_host(self, uri: str) -> bool:
        """Whether a rule allows this web address by its host: then it may lead anywhere, else only to public ones."""
        rule = self._rule(uri)
        return rule is not None and rule[1] == "allow" and "://" in rule[0]

    def refusal(self, uri: str, why: str) -> PointerPolicyError:
        """Return the error for a URI that may not be opened; it says what would allow it."""
        where = shown(uri)
        return PointerPolicyError(
            f"{where} is not opened for a pointer: {why}",
            hint=f"A pointer is the wish of whoever writes to the store. If you want it to be opened: {_allowing(uri)}",
            key=where,
        )

    def check_carried(self, destination: PointerPolicy, uri: str) -> None:
        """Refuse a pointer that is only carried to another store if only there it would be opened.

        Else a stranger's pointer to a local file would gain by a migration to a local store what it did not have.

        Raises:
            PointerPolicyError: so it is.
        """
        is_web = plain_scheme(uri.partition("://")[0]) in WEB
        if self._opens(uri) and not (is_web and destination.names_host(uri) and not self.names_host(uri)):
            return
        if destination._opens(uri):
            where = shown(uri)
            raise PointerPolicyError(
                f"{where} is not opened for pointers of {self.store}, and would be for those of {destination.store}; "
                f"so it is not brought there. If it may be, let the source's client open it: {_allowing(uri)}",
                key=where,
            )

    def _opens(self, uri: str) -> bool:
        try:
            self.check(uri)
        except PointerPolicyError:
            return False
        return True

    def _is_of_store(self, scheme: str, uri: str) -> bool:
        own = plain_scheme(self.store.partition("://")[0])
        return scheme == own and (scheme not in HOSTS or split_uri(uri)[0] == split_uri(self.store)[0])

    def _rule(self, uri: str) -> tuple[str, str] | None:
        scheme = plain_scheme(uri.partition("://")[0])
        canonical, path = "", LocalPath(_path_of(uri))
        for place, verdict in self.rules:
            if place in (_ANYTHING, scheme):
                return place, verdict
            if not place.startswith(f"{scheme}://"):
                continue
            if scheme == "file":
                # What leads nobody knows where is refused by each rule that refuses, and allowed by none.
                if path.lies_below(_path_of(place)) if path.is_known else verdict == "refuse":
                    return place, verdict
                continue
            canonical = canonical or _canonical(uri)
            if covers(place, canonical) or (scheme in WEB and covers(place, _at_any_port(canonical))):
                return place, verdict
        return None


@dataclass(frozen=True)
class ExternalBounds:
    """How far one external store goes, as :class:`metamlflow.backend.external.Bounds` promises.

    Args:
        policy: what is asked before each connection.
        place: the scheme, or the beginning of a URI, that its options were given for; empty if it has none.
    """

    policy: PointerPolicy
    place: str

    def check(self, uri: str) -> None:
        """Let a URI pass."""
        self.policy.check(uri)

    def names_host(self, uri: str) -> bool:
        """Whether a rule of the policy allows it by its host."""
        return self.policy.names_host(uri)

    def is_at_home(self, uri: str) -> bool:
        """Whether the options were given for it; those of a whole scheme hold no credentials."""
        return "://" not in self.place or web_place_covers(self.place, uri)

    def refusal(self, uri: str, why: str) -> PointerPolicyError:
        """Return the policy's error."""
        return self.policy.refusal(uri, why)


class CopyBounds(ExternalBounds):
    """Those of data that the user names in order to store it: any address, and options for their place alone."""

    def check(self, uri: str) -> None:
        """Let everything pass: no store asked for it."""

    def names_host(self, uri: str) -> bool:  # noqa: ARG002 (whatever it is)
        """Return True."""
        return True


def covers(place: str, uri: str) -> bool:
    """Whether a URI is a place, or lies below it; ``s3://lake`` does not cover ``s3://lake-of-others``."""
    return uri == place or uri.startswith(place if place.endswith("/") else f"{place}/")


def web_place_covers(place: str, uri: str) -> bool:
    """Whether a web address lies below another, however both are written."""
    return covers(_canonical(place), _canonical(uri))


def _canonical_place(place: str) -> str:
    scheme, separator, rest = place.partition("://")
    if place == _ANYTHING:
        return place
    if not separator or not rest:
        return plain_scheme(scheme.removesuffix(":"))
    plain = f"{plain_scheme(scheme)}://{rest}"
    return plain if plain.startswith("file://") else _canonical(plain)


def _canonical(uri: str) -> str:
    """Return a URI as one that leads to the same is written, too: so that rules by its beginning cannot be evaded."""
    scheme, _, rest = uri.partition("://")
    scheme = plain_scheme(scheme)
    if scheme in WEB:
        authority, slash, name = rest.partition("/")
        if authority.endswith(_ANY_PORT):
            return _at_any_port(_canonical(f"{scheme}://{authority.removesuffix(_ANY_PORT)}{slash}{name}"))
        try:
            parts = urlsplit(f"{scheme}://{rest}")
            host, port = _host(uri), parts.port
        except ValueError:
            return uri
        host = f"[{host}]" if ":" in host else host
        shown_port = "" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}"
        path = posixpath.normpath(f"/{unquote(parts.path).lstrip('/')}")
        return f"{scheme}://{host}{shown_port}{path.rstrip('/')}"
    root = f"{scheme}://{rest[:1]}"  # of hdfs:///data the third slash is no end of a name
    return root + rest[1:].rstrip("/")


def _path_of(uri: str) -> str:
    return "/" + uri.partition("://")[2].lstrip("/")


def _at_any_port(web: str) -> str:
    root, name = split_uri(web)
    host = root if root.endswith("]") or root.count(":") == 1 else root.rpartition(":")[0]
    return f"{host}{_ANY_PORT}/{name}".rstrip("/")


def _host(uri: str) -> str:
    """Return the host of a web address as a resolver is asked for it; empty if there is none."""
    try:
        host = unquote(urlsplit(uri).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _reason(scheme: str) -> str:
    if scheme == "file":
        return "files of this machine are opened only for pointers of a local store"
    return f"{scheme}:// is none of the schemes that are opened without being allowed"


def _allowing(uri: str) -> str:
    """Return what a user writes to have a URI opened: as Python, and for a shell."""
    rules = {_suggested(uri): "allow"}
    variable = shlex.quote(json.dumps(rules, ensure_ascii=False))
    return f"MetaMLFlowClient(…, pointer_policy={rules!r}), or {VARIABLE}={variable} in the environment."


def _suggested(uri: str) -> str:
    scheme = plain_scheme(uri.partition("://")[0])
    root, name = split_uri(uri)
    if scheme == "file":
        return f"{root}/{name[: name.rfind('/') + 1]}"
    return scheme if "@" in root else f"{shown(root)}/"  # github://owner:repository@branch


def _place_problem(place: str) -> str | None:
    """Return why a rule for a place would never decide anything, or None."""
    scheme, separator, rest = place.partition("://")
    authority = rest.partition("/")[0]
    if place != _ANYTHING and not _SCHEME.fullmatch(scheme):
        return "is neither '*' nor a scheme nor the beginning of a URI"
    if scheme in WEB and separator and not _is_address(place.replace(_ANY_PORT, "", 1)):
        return "names no host, or a port that is not a number"
    if "*" in authority.removesuffix(_ANY_PORT if scheme in WEB else ""):
        return "holds a wildcard: a place is written out, and covers what lies below it"
    return None


def _is_address(place: str) -> bool:
    try:
        return bool(_host(place)) and urlsplit(place).port != 0
    except ValueError:
        return False


def _misgiven(why: str) -> InvalidInputError:
    return InvalidInputError(
        f"pointer_policy maps places to 'allow' or 'refuse', {why}",
        hint="Write {'file:///data/lake/': 'allow', 'https://data.example.com/': 'allow', 's3': 'refuse'}; the "
        f"longest place that covers a URI decides. {VARIABLE} holds the same as a JSON object.",
    )
