"""The kinds of findings: how bad each is, what it means, what to do, and how it can be mended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Severity = Literal["fault", "note"]
Mending = Literal["derived", "source", "none"]


@dataclass(frozen=True, slots=True)
class KindOfFinding:
    """One kind of finding.

    Attributes:
        severity: ``fault``, or ``note`` for what an interruption leaves and harms nobody.
        means: what it means to whoever uses the store.
        remedy: what to do.
        mending: ``derived`` if the store itself has what it takes, ``source`` if a copy has it, else ``none``.
    """

    severity: Severity
    means: str
    remedy: str
    mending: Mending = "none"


_FROM_COPY = "Bring it back from a copy: --repair --from COPY."
_BY_HAND = "Restore this object from a copy of the store by hand, if there is one."
_NOTHING = "Nothing to do."

KINDS: Mapping[str, KindOfFinding] = MappingProxyType(
    {
        # --- content
        "blob-missing": KindOfFinding("fault", "A live version names content that is not there.", _FROM_COPY, "source"),
        "blob-size": KindOfFinding("fault", "Content has another size than was registered.", _FROM_COPY, "source"),
        "blob-altered": KindOfFinding("fault", "Content has other bytes than were registered.", _FROM_COPY, "source"),
        "blob-unreadable": KindOfFinding(
            "fault", "The storage does not give the content out.", "Remove the cause, and run again."
        ),
        "blob-unverifiable": KindOfFinding(
            "note", "The storage holds no digest of the content.", "Use level full, which reads it."
        ),
        "list-damaged": KindOfFinding(
            "fault", "A part of a version's list of files is not as registered: its files are unknown.", _FROM_COPY,
            "source",
        ),
        # --- versions
        "manifest-unreadable": KindOfFinding(
            "fault", "A version's record cannot be read: the version is lost to readers.", _FROM_COPY, "source"
        ),
        "manifest-altered": KindOfFinding(
            "fault", "A manifest is not the one that the next version was registered after.", _FROM_COPY, "source"
        ),
        "manifest-contradicted": KindOfFinding(
            "fault", "A manifest is not the one that was used or signed: one of the two records was changed.",
            "Compare both with a copy of the store, and restore the one that differs.",
        ),
        "version-missing": KindOfFinding(
            "fault", "A version below the newest one is missing: its manifest was deleted.", _FROM_COPY, "source"
        ),
        "manifest-under-tomb": KindOfFinding(
            "fault", "A manifest lies where a version was erased. It is no version, but can be read in the storage.",
            "Erase the version again, or collect garbage.",
        ),
        "tomb-unreadable": KindOfFinding(
            "fault", "The record that a version was erased is damaged: the version can neither be read nor erased.",
            _BY_HAND,
        ),
        "state-unreadable": KindOfFinding(
            "fault", "A state record is damaged: whether the version is live cannot be told.", _BY_HAND
        ),
        "state-without-version": KindOfFinding(
            "fault", "A state record has no manifest: the number stays blocked until a migration brings it.",
            "Run the migration again that was interrupted.",
        ),
        "state-of-another": KindOfFinding(
            "note", "A state record speaks of another manifest than lies there: it holds for nobody.", _NOTHING
        ),
        "series-gap": KindOfFinding(
            "note", "A series of records lacks one below its newest, which alone holds.", _NOTHING
        ),
        # --- names
        "name-record-missing": KindOfFinding(
            "fault", "A name has versions and no record: lists of names leave it out.", "--repair writes it.", "derived"
        ),
        "name-record-wrong": KindOfFinding(
            "fault", "A name's record is damaged, or speaks of another name.", "--repair writes it anew.", "derived"
        ),
        "name-without-version": KindOfFinding(
            "fault", "A name has a record and no version: lists show a name that cannot be read.",
            "Register its first version, or ignore it: a registration was interrupted.",
        ),
        "hiding-unreadable": KindOfFinding("fault", "A record that hides or shows a name is damaged.", _BY_HAND),
        # --- aliases, claims, notes
        "alias-unreadable": KindOfFinding("fault", "An alias record is damaged: the alias cannot be read.", _BY_HAND),
        "alias-not-live": KindOfFinding(
            "fault", "An alias stands for a version that is pruned, absent or erased.",
            "Restore the version, or set the alias to a live one.",
        ),
        "alias-to-nothing": KindOfFinding(
            "fault", "An alias stands for a version that does not exist.", "Set the alias to a version that exists."
        ),
        "claim-unreadable": KindOfFinding(
            "fault", "An idempotency claim is damaged: registrations under its key fail.", _BY_HAND
        ),
        "claim-without-version": KindOfFinding(
            "fault", "An idempotency claim names a version that is missing.", "Restore the missing version."
        ),
        "claim-open": KindOfFinding(
            "note", "A registration under an idempotency key was begun and not finished.", "Run it again, or ignore it."
        ),
        "note-unreadable": KindOfFinding("fault", "A note record is damaged.", _BY_HAND),
        "note-without-version": KindOfFinding("note", "Notes on a version that does not exist mean nothing.", _NOTHING),
        # --- protections, policies, collections
        "protection-unreadable": KindOfFinding(
            "fault", "A protection, or what ends one, is damaged. It holds all the same, but who made it is lost.",
            "End the protections of the version, and protect it again.",
        ),
        "protection-missing": KindOfFinding(
            "fault", "A protection is missing: the version may be unprotected by that.",
            "Protect the version again, if it should be.",
        ),
        "protection-not-live": KindOfFinding(
            "fault", "A version is protected, and pruned all the same.", "Restore the version, or end its protections."
        ),
        "protection-of-nothing": KindOfFinding(
            "note", "A protection of a version that does not exist means nothing.", _NOTHING
        ),
        "policies-unreadable": KindOfFinding(
            "fault", "The list of retention policies is damaged: they can neither be applied nor changed.", _BY_HAND
        ),
        "collection-unreadable": KindOfFinding(
            "fault", "The newest record of a collection is damaged: nothing can be collected.",
            "If no collection is under way, remove it; else restore it from a copy of the store by hand.",
        ),
        # --- edges, runs, signatures
        "edge-missing": KindOfFinding(
            "fault", "The hint from an input to a version made from it is missing: downstream queries miss it.",
            "--repair writes it.", "derived",
        ),
        "edge-damaged": KindOfFinding(
            "fault", "The hint from an input to a version made from it has other bytes.", "--repair writes it anew.",
            "derived",
        ),
        "edge-to-nothing": KindOfFinding(
            "note", "A hint leads to a version that does not exist, or was made from something else.", _NOTHING
        ),
        "run-unreadable": KindOfFinding("fault", "A record of a run is damaged.", _BY_HAND),
        "run-without-start": KindOfFinding(
            "fault", "A run has records and no first one: it cannot be shown.", _BY_HAND
        ),
        "distributions-missing": KindOfFinding(
            "fault", "A run names a list of installed packages that is not there.", _FROM_COPY, "source"
        ),
        "distributions-altered": KindOfFinding(
            "fault", "A list of installed packages has other bytes than its key says.", _FROM_COPY, "source"
        ),
        "signature-unreadable": KindOfFinding(
            "fault", "A signature is damaged, or its key is not the one that it names.", "Sign the version again."
        ),
        "signature-invalid": KindOfFinding(
            "fault", "A signature is not one over the manifest that it names.", "Find out who wrote it, and sign again."
        ),
        "signature-of-another": KindOfFinding(
            "fault", "A signature is over another manifest than the version has.",
            "One of the two was changed: compare both with a copy of the store.",
        ),
        "signature-of-nothing": KindOfFinding("note", "A signature is over a version that does not exist.", _NOTHING),
        # --- the store
        "relocation-unreadable": KindOfFinding(
            "fault", "A relocation is damaged: relocated data cannot be read.", _BY_HAND
        ),
        "relocation-missing": KindOfFinding(
            "fault", "A relocation is missing: data that is only pointed to may be looked for at a former place.",
            _BY_HAND,
        ),
        "features-unreadable": KindOfFinding(
            "fault", "A list of the store's features is damaged: nothing can be deleted from the store.", _BY_HAND
        ),
        "feature-unknown": KindOfFinding(
            "note", "This library does not know a feature of the store: it neither writes nor repairs here.",
            "Update metamlflow.",
        ),
        "unknown-key": KindOfFinding(
            "fault", "An object lies where only records may: nothing can be deleted from the store.",
            "If a newer metamlflow wrote it, update; else remove it.",
        ),
        "foreign-object": KindOfFinding("note", "An object is no part of the store.", "Remove it if it is not needed."),
        "look-refused": KindOfFinding(
            "fault", "The storage did not show an object at a second look: whether something is wrong is not known.",
            "Remove the cause, and run again.",
        ),
        "upload-abandoned": KindOfFinding(
            "note", "Uploads or temporary files were left by killed processes.", "See the finding."
        ),
        "cache-object": KindOfFinding(
            "note", "Objects lie below the store's cache that this library does not write.",
            "They may be deleted: nothing depends on them.",
        ),
        "local-cache-damaged": KindOfFinding(
            "note", "An entry of the local cache is not as it was stored.", "Clear the cache: client.clear_cache()."
        ),
    }
)  # fmt: skip
"""All kinds of findings, by name."""
