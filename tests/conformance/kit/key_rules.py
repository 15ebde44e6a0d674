"""Keys: what each is of, which ones nobody reads, and at which ones a collector stops. Names and their spelling."""

from __future__ import annotations

from typing import Any

from reader.keys import extension_of, is_alias, is_name, record_of, spelled, stops_a_collector

H, ID = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", "fedcba9876543210fedcba9876543210"
V1, S1 = "9999999998_v1", "state-9999999998.json"

KNOWN = [
    "metamlflow.json",
    "names/a.json",
    "names/!fraud/features.json",
    "names/a!.json/b.json",
    "names/a.json.json",
    "names/!a!b.json",
    f"artifacts/a/_versions/{V1}.json",
    "artifacts/a/_versions/9999999987_v12.json",
    "artifacts/a/_versions/0000000001_v9999999998.json",
    f"artifacts/!fraud/features/_versions/{V1}.{S1}",
    f"artifacts/a/_versions/{V1}.state-0000000001.json",
    "artifacts/!fraud/features/_aliases/!best/9999999997.json",
    "artifacts/a!.json/b/_aliases/x.json/9999999998.json",
    f"artifacts/a/_idempotency/{H}/9999999998.json",
    f"blobs/sha256/58/{H}",
    f"blobs/sha256/58/{H}.csv",
    f"blobs/sha256/58/{H}-{ID}.csv.gz",
    "edges/raw/_v12/!model/x@3",
    "edges/a!.json/b/_v1/c!.json/d@9999999998",
    f"runs/{ID}/start.json",
    f"runs/{ID}/end.json",
    f"runs/{ID}/inputs/{ID}.json",
    f"runs/distributions/{H}.txt",
    f"signatures/!a/b/_v1/{H}.json",
    "relocations/9999999998.json",
]
"""Each is the key of a record."""

OTHERS = [
    "metamlflow.json/",
    "Metamlflow.json",
    "metamlflow.json.bak",
    "README",
    "readme/x",
    ".tmp/12-ab",
    "cache/x",
    "features/9999999998.json",
    "policies/x",
    "protections/x",
    "packs/x",
    "catalog/x",
    "staging/x",
    "attachments/x",
    "names/",
    "names/a",
    "names/Fraud.json",
    "names/a.json/b.json",
    "names/!1.json",
    "names/a!.b.json",
    "names/con.json",
    "names/_a.json",
    "names/a/_b.json",
    "names/a..json",
    "names/lost+found",
    "artifacts/",
    "artifacts/a/",
    "artifacts/a/_versions/",
    "artifacts/a",
    "artifacts/a/x",
    "artifacts/A/_versions/9999999998_v1.json",
    "artifacts/a.json/b/_versions/9999999998_v1.json",
    "artifacts/con/_versions/9999999998_v1.json",
    "artifacts/a/_versions/9999999998_v2.json",
    "artifacts/a/_versions/9999999998_v01.json",
    "artifacts/a/_versions/9999999999_v0.json",
    "artifacts/a/_versions/0000000000_v9999999999.json",
    "artifacts/a/_versions/999999998_v1.json",
    "artifacts/a/_versions/09999999998_v1.json",
    f"artifacts/a/_versions/{V1}",
    f"artifacts/a/_versions/{V1}.json/x",
    f"artifacts/a/_versions/{V1}.jsonx",
    f"artifacts/a/_versions/{V1}.JSON",
    f"artifacts/a/_versions/{V1}.json\n",
    f"artifacts/a/_versions/x/{V1}.json",
    f"artifacts/a/_versions/{V1}.state-9999999999.json",
    f"artifacts/a/_versions/{V1}.state-0000000000.json",
    f"artifacts/a/_versions/{V1}.state-.json",
    f"artifacts/a/_versions/{V1}.state-0.json",
    f"artifacts/a/_versions/{V1}.state-1.json",
    f"artifacts/a/_versions/{V1}.state-123456789.json",
    f"artifacts/a/_versions/{V1}.state-12345678901.json",
    f"artifacts/a/_versions/{V1}.tomb.json",
    f"artifacts/a/_versions/{V1}.later.json",
    "artifacts/a/_versions/.DS_Store",
    "artifacts/a/_aliases/best/9999999999.json",
    "artifacts/a/_aliases/best/1.json",
    "artifacts/a/_aliases/Best/9999999998.json",
    "artifacts/a/_aliases/a/b/9999999998.json",
    "artifacts/a/_aliases/latest/9999999998.json",
    "artifacts/a/_aliases/!latest/9999999998.json",
    "artifacts/a/_aliases/12/9999999998.json",
    "artifacts/a/_aliases/v12/9999999998.json",
    "artifacts/a/_aliases/!v12/9999999998.json",
    "artifacts/a/_aliases/nul/9999999998.json",
    "artifacts/a/_aliases/a./9999999998.json",
    f"artifacts/a/_aliases/{'a' * 101}/9999999998.json",
    f"artifacts/a/_idempotency/{H[1:]}/9999999998.json",
    f"artifacts/a/_idempotency/{H.upper()}/9999999998.json",
    f"artifacts/a/_idempotency/{H}/1.json",
    f"artifacts/a/_idempotency/{H}",
    "artifacts/a/_notes/9999999998.json",
    "artifacts/a/_notes/v1/9999999998.json",
    "artifacts/a/_hidden/9999999998.json",
    "artifacts/a/_later/x",
    f"blobs/sha256/59/{H}",
    f"blobs/sha256/58/{H[1:]}",
    f"blobs/sha256/58/{H}.CSV",
    f"blobs/sha256/58/{H}.a.b.c",
    f"blobs/sha256/58/{H}.abcdefghi",
    f"blobs/sha256/58/{H}-{ID[1:]}",
    f"blobs/md5/58/{H}",
    "edges/raw/_v0/model@3",
    "edges/raw/_v01/model@3",
    "edges/raw/_v1/model",
    "edges/raw/_v1/model@",
    "edges/raw/_v1/model@03",
    "edges/raw/_v1/Model@3",
    "edges/Raw/_v1/model@3",
    "edges/raw/v1/model@3",
    f"runs/{ID}/other.json",
    f"runs/{ID}/inputs/x.json",
    f"runs/{ID}/inputs/{ID}",
    "runs/distributions/x.txt",
    "relocations/1.json",
    "relocations/9999999999.json",
    "relocations/9999999998.json/x",
]
"""Keys of nothing, of what must be refused, and of what is reserved."""

NAMES = [
    *("a", "9", "Fraud/features", "a.json/b", "a.json/b.json/c", "a.json", "A.JSON/b", "x" * 200, "A" * 120, "a..b"),
    *("a-", "a_", "con-1", "console", "com0", "com10", "aux1", "a/b/c/d", "latest", "v1", "12"),
    *("", "a/", "/a", "a//b", "_a", "-a", ".a", "!a", "a b", "a@1", "a\\b", "\u00e9", "\u0661", "a\n", "a.", "a./b"),
    *("con", "CON", "Con.txt", "b/nul", "b/aux.json/c", "prn", "com1", "LPT9.x", "x" * 201, "A" * 121),
]
ALIASES = [
    *("a", "Best", "prod-1", "x.json", "v", "V12", "v1a", "1a", "a" * 100, "latest-1"),
    *(
        "",
        "latest",
        "Latest",
        "LATEST",
        "12",
        "v12",
        "0",
        "a/b",
        "a.",
        "nul",
        "Con.x",
        "a" * 101,
        "-a",
        "\u0661",
        "a b",
    ),
]
PATHS = [
    *("a.csv", "a.CSV.GZ", "x/y.tar.gz", "README", ".bashrc", "..a.b", "a.b.c.d", "a.jsonlines", "a.verylongone.gz"),
    *("a.b c.gz", "a.", "a..gz", "v1.2/file", "a.\u00e9.gz", "a.12345678", "a.123456789", "x.tar.", "archive.TAR.bz2"),
]


def lines() -> list[dict[str, Any]]:
    """Of each key the record, and whether a collector goes on."""
    keys = [*KNOWN, *OTHERS, f"names/{'a/' * 440}b.json"]
    return [{"key": key, "is": record_of(key), "collector_stops": stops_a_collector(key)} for key in keys]


def names() -> list[dict[str, Any]]:
    """Of each text whether it is a name, and how that stands in keys."""
    return [
        *(
            {"name": text, "good": is_name(text)} | ({"spelled": spelled(text)} if is_name(text) else {})
            for text in NAMES
        ),
        *({"alias": text, "good": is_alias(text)} for text in ALIASES),
        *({"file": path, "extension": extension_of(path)} for path in PATHS),
    ]
