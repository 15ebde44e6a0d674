"""An open store and its records: marker, names, versions, aliases, manifests, lists of files, relocations."""
