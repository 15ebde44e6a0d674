"""The types of public signatures that no other public module exports, for annotations.

Callers do not make these values; the methods that return or take them explain them.
"""

from __future__ import annotations

from metamlflow.backend.diagnosis import AccessPolicy, Role, Verdict
from metamlflow.data import ArtifactClient
from metamlflow.given_versions import HoldsArtifact, Inputs, Version
from metamlflow.migration import Place
from metamlflow.model.aliases import AliasChange
from metamlflow.model.findings import Level, Status
from metamlflow.model.manifests import EmptyFolder, FileEntry, Item
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.model.notes import Notes
from metamlflow.model.patterns import NamePattern
from metamlflow.model.pointers import PointedKind, Strength
from metamlflow.model.retention import Policy, Protection, Rules
from metamlflow.model.run_lists import RunComparison, RunList
from metamlflow.model.runs import Outcome, RunEnd, RunRecord, RunStart
from metamlflow.objects.serializer import Serializer, Trusted
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.history import History, HistoryEntry
from metamlflow.store.diff.files import ChangedFile, FileList, FilesDiff
from metamlflow.store.diff.lines import DiffChange, Line
from metamlflow.store.diff.metadata import ValuesDiff
from metamlflow.store.diff.parts import ChangedColumn, ChangedValue, DiffColumn, DiffValue, Parts
from metamlflow.store.diff.report import ArtifactDiff
from metamlflow.store.diff.rows import RowsDiff
from metamlflow.store.diff.schema import SchemaDiff
from metamlflow.store.doctor import Check, Diagnosis
from metamlflow.store.lineage.stale_metadata import OnStale
from metamlflow.store.lineage.walk import Direction
from metamlflow.store.migrate.blobs import Proof
from metamlflow.store.migrate.selection import Versions
from metamlflow.store.publish.blobs import Reliance
from metamlflow.store.publish.rollback import RollbackPlan
from metamlflow.store.publish.version_plan import VersionPlan
from metamlflow.store.read.ranged import Verify
from metamlflow.store.retain.collecting.plan import CollectionPlan
from metamlflow.store.retain.collecting.report import (
    CollectionReport,
    FailedDeletion,
    GarbageObject,
    GarbageOf,
    KeptVersion,
)
from metamlflow.store.retain.erasure_report import ErasedObject, ErasureReport, Remaining
from metamlflow.store.retain.fsck.kinds import Severity
from metamlflow.store.retain.fsck.report import FsckFinding, FsckReport
from metamlflow.store.retain.prune_report import PruneDecision, PruneReport
from metamlflow.store.retain.space.figures import Growth, NameUsage, VersionUsage
from metamlflow.store.retain.space.report import UsageReport

__all__ = [
    "AccessPolicy",
    "AliasChange",
    "ArtifactClient",
    "ArtifactDiff",
    "ArtifactName",
    "ChangedColumn",
    "ChangedFile",
    "ChangedValue",
    "Check",
    "CollectionPlan",
    "CollectionReport",
    "Diagnosis",
    "DiffChange",
    "DiffColumn",
    "DiffValue",
    "Direction",
    "EmptyFolder",
    "Entries",
    "ErasedObject",
    "ErasureReport",
    "FailedDeletion",
    "FileEntry",
    "FileList",
    "FilesDiff",
    "FsckFinding",
    "FsckReport",
    "GarbageObject",
    "GarbageOf",
    "Growth",
    "History",
    "HistoryEntry",
    "HoldsArtifact",
    "Inputs",
    "Item",
    "KeptVersion",
    "Level",
    "Line",
    "NamePattern",
    "NameUsage",
    "Notes",
    "OnStale",
    "Outcome",
    "Parts",
    "Place",
    "PointedKind",
    "Policy",
    "Proof",
    "Protection",
    "PruneDecision",
    "PruneReport",
    "Reference",
    "Reliance",
    "Remaining",
    "Role",
    "RollbackPlan",
    "RowsDiff",
    "Rules",
    "RunComparison",
    "RunEnd",
    "RunList",
    "RunRecord",
    "RunStart",
    "SchemaDiff",
    "Serializer",
    "Severity",
    "Status",
    "Strength",
    "Trusted",
    "UsageReport",
    "ValuesDiff",
    "Verdict",
    "Verify",
    "Version",
    "VersionPlan",
    "VersionUsage",
    "Versions",
]
