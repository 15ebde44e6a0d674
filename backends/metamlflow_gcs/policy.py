"""The least that a role needs in a bucket of Google Cloud Storage, as commands of gcloud.

Taken from the provider's documentation, and not run against its policy engine:
https://cloud.google.com/storage/docs/access-control/iam-json for which permission a request needs, and
https://cloud.google.com/iam/docs/conditions-attribute-reference for conditions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from shlex import quote

from metamlflow.backend.diagnosis import AccessPolicy, Role, StoreKeys

_READ = ("storage.objects.get", "storage.objects.list")
_PERMISSIONS: Mapping[Role, tuple[str, ...]] = {
    "reader": _READ,
    "writer": (*_READ, "storage.objects.create"),
    "pruner": _READ,
    "collector": _READ,
}
_SUBSTITUTES = (
    "Put in PROJECT, and for MEMBER whom to grant it, such as serviceAccount:trainer@PROJECT.iam.gserviceaccount.com."
)
_UNIFORM = "Conditions need uniform bucket-level access."
_WRITER = (
    "In GCS, overwriting takes storage.objects.delete: without it a writer can overwrite and delete nothing.",
    (
        "The provider does not document whether a conditional creation of an object that exists is then answered with "
        "412, as it has to be, or with 403. Run `metamlflow doctor` as the writer: its check of conditional writes "
        "tells. If it says that access is denied, grant roles/storage.objectUser instead, under the same condition."
    ),
    "An object that was damaged on its way cannot be removed by the writer either; it is reported, and never named.",
)


_PRUNER = ("A pruner may create records of versions, manifests among them, and no content; it deletes nothing.",)


def access_policy(url: str, kms_key: str | None, role: Role, keys: StoreKeys) -> AccessPolicy:
    """Return commands that make a custom role and grant it for the store's prefix.

    Args:
        url: of the store.
        kms_key: the resource name of the key that it is encrypted with, where it is not the bucket's default.
        role: what is to be done with the store.
        keys: where its things lie.
    """
    bucket, _, path = url.removeprefix("gs://").partition("/")
    prefix = f"{path}/" if path else ""
    lines = _granted(bucket, f"metamlflow{role.title()}", _PERMISSIONS[role], _condition(bucket, prefix))
    if role == "collector":
        erased = (_condition(bucket, prefix + each, listing=False) for each in (keys.blobs, *keys.erasable))
        lines += _granted(bucket, "metamlflowDeleter", ("storage.objects.delete",), " || ".join(erased))
        made = (_condition(bucket, prefix + each, listing=False) for each in (keys.marker, keys.collections))
        lines += _granted(bucket, "metamlflowRecorder", ("storage.objects.create",), " || ".join(made))
    elif role == "pruner":
        # A condition knows how a name begins, and not what is in the middle of it: so all records of versions.
        records = keys.states.partition("*")[0]
        made = (_condition(bucket, prefix + each, listing=False) for each in (keys.marker, records, *keys.retention))
        lines += _granted(bucket, "metamlflowRecorder", ("storage.objects.create",), " || ".join(made))
    notes = [_SUBSTITUTES, _UNIFORM, *(_WRITER if role == "writer" else _PRUNER if role == "pruner" else ())]
    if kms_key:
        notes.append(
            f"Encryption with {kms_key} needs no right of the member's: Cloud Storage's service agent of the project "
            "needs roles/cloudkms.cryptoKeyEncrypterDecrypter on the key."
        )
    return AccessPolicy("\n".join(lines), tuple(notes))


def _granted(bucket: str, role: str, permissions: tuple[str, ...], expression: str) -> list[str]:
    file = f"{role}.json"
    return [
        f"gcloud iam roles create {role} --project=PROJECT --permissions={','.join(permissions)}",
        # In a file: on the command line, the commas of a condition would end it.
        f"cat > {file} <<'END'",
        json.dumps({"title": role, "expression": expression}),
        "END",
        f"gcloud storage buckets add-iam-policy-binding {quote(f'gs://{bucket}')} --member=MEMBER \\",
        f"  --role=projects/PROJECT/roles/{role} --condition-from-file={file}",
    ]


def _condition(bucket: str, prefix: str, *, listing: bool = True) -> str:
    # Strings in conditions (CEL) are escaped as in JSON.
    objects = f"resource.name.startsWith({json.dumps(f'projects/_/buckets/{bucket}/objects/{prefix}')})"
    if not listing:
        return objects
    # A listing is a request to the bucket, not to an object; this attribute holds the prefix that it asks for.
    asked = 'api.getAttribute("storage.googleapis.com/objectListPrefix", "")'
    return f"{objects} || {asked}.startsWith({json.dumps(prefix)})"
