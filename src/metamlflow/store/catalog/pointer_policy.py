"""Which places a client opens because a store's manifests name them.

Everyone who can write to the store can write manifests. Without a policy, their pointers would make every reader open
files of the reader's machine, and addresses that only that machine can reach. So the default is an allow-list of
schemes: an unexpected scheme is refused.
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
"""Schemes whose server is set by the reader's own options: a manifest can choose a bucket there, but not a server."""
HOSTS = WEB | {"ftp", "sftp", "ssh", "smb", "webhdfs", "hdfs", "dav", "webdav", "jupyter", "jlab"}
"""Schemes whose URIs name the server to connect to."""
_ANYTHING = "*"
_ANY_PORT = ":*"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_VERDICTS = ("allow", "refuse")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class PointerPolicy:
    """The places that may be opened for a pointer. Picklable.

    Args:
        store: the URL of the store that has the pointers.
        rules: pairs of a place and ``allow`` or ``refuse``, the longest place first. A place is ``*``, a scheme, or the
            beginning of a URI up to the end of one of its parts; ``https://host:*/`` means any port. The first rule
            that covers a URI decides; without one, the default applies.
    """

    store: str = ""
    rules: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, store: str, rules: Mapping[Any, Any] | None) -> PointerPolicy:
        """Parse the rules that a user gave.

        Raises:
            InvalidInputError: the rules are not a mapping of places to ``allow`` or ``refuse``.
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
        """Return if the policy allows a URI, otherwise raise an error.

        For a web address with a host name, this method does not know the address that it resolves to: see
        :meth:`names_host`.

        Raises:
            PointerPolicyError: the URI must not be opened.
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
        """Whether a rule allows this web address by its host, public or not; otherwise it must be public."""
        rule = self._rule(uri)
        return rule is not None and rule[1] == "allow" and "://" in rule[0]

    def refusal(self, uri: str, why: str) -> PointerPolicyError:
        """Return the error for a URI that must not be opened; its hint shows the setting that would allow it."""
        where = shown(uri)
        return PointerPolicyError(
            f"{where} is not opened for a pointer: {why}",
            hint="Everyone who can write to the store can add pointers. If you trust this one, "
            f"allow it: {_allowing(uri)}",
            key=where,
        )

    def check_carried(self, destination: PointerPolicy, uri: str) -> None:
        """Refuse to carry a pointer to another store where it would be opened, if it is not opened here.

        Otherwise a stranger's pointer to a local file would become readable by a migration to a local store.

        Raises:
            PointerPolicyError: only the destination's policy allows the URI.
        """
        is_web = plain_scheme(uri.partition("://")[0]) in WEB
        if self._opens(uri) and not (is_web and destination.names_host(uri) and not self.names_host(uri)):
            return
        if destination._opens(uri):
            where = shown(uri)
            raise PointerPolicyError(
                f"{where} is not opened for pointers of {self.store}, but would be for those of {destination.store}; "
                f"so it is not copied there. To copy it, allow it in the source's client: {_allowing(uri)}",
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
                # A path with an unknown target matches every rule that refuses, and no rule that allows.
                if path.lies_below(_path_of(place)) if path.is_known else verdict == "refuse":
                    return place, verdict
                continue
            canonical = canonical or _canonical(uri)
            if covers(place, canonical) or (scheme in WEB and covers(place, _at_any_port(canonical))):
                return place, verdict
        return None


@dataclass(frozen=True)
class ExternalBounds:
    """The limits of one external store, as :class:`metamlflow.backend.external.Bounds` promises.

    Args:
        policy: the policy that is checked before each connection.
        place: the scheme or URI beginning that its options were given for; empty if it has no options.
    """

    policy: PointerPolicy
    place: str

    def check(self, uri: str) -> None:
        """Return if the policy allows a URI, otherwise raise an error."""
        self.policy.check(uri)

    def names_host(self, uri: str) -> bool:
        """Whether a rule of the policy allows the URI by its host."""
        return self.policy.names_host(uri)

    def is_at_home(self, uri: str) -> bool:
        """Whether the options were given for this URI; options for a whole scheme hold no credentials."""
        return "://" not in self.place or web_place_covers(self.place, uri)

    def refusal(self, uri: str, why: str) -> PointerPolicyError:
        """Return the policy's error."""
        return self.policy.refusal(uri, why)


class CopyBounds(ExternalBounds):
    """The limits for data that the user names as a source to store: any address, but options only for their place."""

    def check(self, uri: str) -> None:
        """Allow every URI: the user named it, not a store."""

    def names_host(self, uri: str) -> bool:  # noqa: ARG002 (True for every URI)
        """Return True."""
        return True


def covers(place: str, uri: str) -> bool:
    """Whether a URI equals a place or is inside it; ``s3://lake`` does not cover ``s3://lake-of-others``."""
    return uri == place or uri.startswith(place if place.endswith("/") else f"{place}/")


def web_place_covers(place: str, uri: str) -> bool:
    """Whether one web address is inside another, regardless of their spelling."""
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
    """Return the canonical spelling of a URI, so that another spelling cannot evade a rule for its beginning."""
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
    root = f"{scheme}://{rest[:1]}"  # the third slash of hdfs:///data does not end a name
    return root + rest[1:].rstrip("/")


def _path_of(uri: str) -> str:
    return "/" + uri.partition("://")[2].lstrip("/")


def _at_any_port(web: str) -> str:
    root, name = split_uri(web)
    host = root if root.endswith("]") or root.count(":") == 1 else root.rpartition(":")[0]
    return f"{host}{_ANY_PORT}/{name}".rstrip("/")


def _host(uri: str) -> str:
    """Return the host of a web address in the form sent to a resolver; empty if it has none."""
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
    return f"{scheme}:// is not among the schemes that are opened by default"


def _allowing(uri: str) -> str:
    """Return the setting that allows a URI: as Python, and for a shell."""
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
    """Return why a rule for a place could never match, or None."""
    scheme, separator, rest = place.partition("://")
    authority = rest.partition("/")[0]
    if place != _ANYTHING and not _SCHEME.fullmatch(scheme):
        return "is neither '*' nor a scheme nor the beginning of a URI"
    if scheme in WEB and separator and not _is_address(place.replace(_ANY_PORT, "", 1)):
        return "names no host, or a port that is not a number"
    if "*" in authority.removesuffix(_ANY_PORT if scheme in WEB else ""):
        return "holds a wildcard: write the place in full; it covers everything inside it"
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
