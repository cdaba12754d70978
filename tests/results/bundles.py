"""Bundles of runs, and such that somebody changed."""

import hashlib
import json
import zipfile

RUN = ["adding", "gru", "task.length=12", "architecture.hidden=6", "budget.steps=4", "-q"]


def only(store):
    (record,) = store.records()
    return record


def contents(bundle):
    with zipfile.ZipFile(bundle) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def repacked(bundle, to, change, *, consistent=True):
    """A bundle whose files went through `change`; the manifest follows where `consistent`."""
    files = contents(bundle)
    manifest = json.loads(files.pop("bundle.json"))
    change(files)
    if consistent:
        manifest["files"] = {
            name: {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
            for name, text in files.items()
        }
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", json.dumps(manifest))
        for name, text in files.items():
            archive.writestr(name, text)
    return to


def path_of(files, name):
    return next(f for f in files if f.endswith(name))
