"""Packs the archive that `rnnbench submit` sends: the working tree and plugins.

It is made here and not by Ray, so that it is known before anything is sent: it holds what git would
hold, its size is printed, it is refused where it holds a secret of this environment, and the same
tree gives the same bytes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rnnbench.errors import UserError

LEFT_OUT = {  # folders that are never sent, whatever .gitignore says
    "rnnbench-results", ".git", "__pycache__", ".venv", ".mypy_cache", ".ruff_cache",
    ".pytest_cache", "wandb", "lightning_logs",
}  # fmt: skip
SECRET_NAME = re.compile(r"(?i)(token|secret|passw|api_?key|access_?key|private_?key|credential)")
SECRET_LENGTH = 12  # shorter values of such variables are words that may stand anywhere
KEYS = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"
)
KEY_FILES = {".env", ".netrc", ".pgpass", "id_rsa", "id_ed25519", "auth_token", "credentials.json"}


class PackageError(UserError, ValueError):
    """The working tree or a plugin cannot be sent; the message says why, and what to do."""


@dataclass(frozen=True)
class Package:
    """An archive that is ready to be sent.

    Attributes:
        files: names of the files in it.
        requirements: requirements of the plugins without rnnbench; nodes must have them.
    """

    path: Path
    files: tuple[str, ...]
    requirements: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return its size in bytes, compressed."""
        return self.path.stat().st_size


def pack(
    tree: Path, plugins: Iterable[Path], to: Path, secrets: Mapping[str, str], limit: int
) -> Package:
    """Write the archive of a working tree and of plugin distributions.

    Args:
        plugins: folders or wheels; each is built and lies in the archive's root, importable with
            its entry points.
        to: folder for the archive.
        secrets: values that must not be in it, by the names that a person knows.
        limit: bytes that it may have.

    Raises:
        PackageError: it would hold a secret, is too large, or a plugin cannot be built.
    """
    members = {name: tree / name for name in tree_files(tree)}
    built, requirements = to / "plugins", []
    for plugin in plugins:
        requirements += _build(plugin, built)
    for file in sorted(built.rglob("*")) if built.is_dir() else ():
        name = file.relative_to(built).as_posix()
        if not file.is_file() or "__pycache__" in file.parts or name.startswith("bin/"):
            continue
        if name in members and members[name].read_bytes() != file.read_bytes():
            raise PackageError(
                f"{name} is in the working tree and in a plugin, and differs: give --working-dir "
                "a folder without it"
            )
        members[name] = file
    for name, file in members.items():
        _refuse_secret(name, file, secrets)
    path = to / "working-tree.zip"
    _write(path, members)
    size = path.stat().st_size
    if size > limit:
        largest = sorted(members, key=lambda n: -members[n].stat().st_size)[:5]
        listed = "".join(
            f"\n    {members[n].stat().st_size / 2**20:8.1f} MiB  {n}" for n in largest
        )
        raise PackageError(
            f"the working tree is {size / 2**20:.1f} MiB compressed, and Ray's job server takes "
            f"{limit / 2**20:.0f} MiB: put data on the shared storage, or add it to .gitignore. "
            f"The largest files:{listed}"
        )
    return Package(path, tuple(sorted(members)), tuple(requirements))


def tree_files(tree: Path) -> list[str]:
    """Return the files of a tree that git would hold: tracked or new, and not ignored.

    A tree outside of any repository is read by the same rules.
    """
    with tempfile.TemporaryDirectory() as empty:
        if _git(tree, "rev-parse", "--is-inside-work-tree").returncode == 0:
            listed = _git(tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard", ".")
        else:
            _git(Path(empty), "init", "--quiet", "--bare", ".")
            where = (f"--git-dir={empty}", f"--work-tree={tree.absolute()}")
            listed = _git(tree, *where, "ls-files", "-z", "--others", "--exclude-standard", ".")
    if listed.returncode:
        raise PackageError(f"git cannot list {tree}: {listed.stderr.decode().strip()}")
    names = (os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
    return sorted(
        name
        for name in set(names)
        if not LEFT_OUT & set(Path(name).parts) and (tree / name).is_file()
    )


def secrets_here(token_file: Path | None) -> dict[str, str]:
    """Return the secrets of this environment, by the names that a person knows."""
    secrets = {
        name: value
        for name, value in os.environ.items()
        if SECRET_NAME.search(name)
        and len(value) >= SECRET_LENGTH
        and not value.startswith(("/", "~"))  # the path of a file
    }
    if token_file is not None and token_file.is_file():
        token = token_file.read_text("utf-8").strip()
        if len(token) >= SECRET_LENGTH:
            secrets[str(token_file)] = token
    return secrets


def refuse_secret_text(text: str, what: str, secrets: Mapping[str, str]) -> None:
    """Raise PackageError where a text holds one of the secrets, or the login of an address."""
    for name, value in secrets.items():
        if value in text:
            raise PackageError(f"{what} holds the value of {name}, which the cluster would show")
    if re.search(r"://[^/\s:@]*:[^/\s@]+@", text):
        raise PackageError(
            f"{what} holds a password in an address, which the cluster would show; name it in the "
            "environment of the nodes instead (for databases: PGPASSFILE)"
        )


def _git(where: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=where, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise PackageError(
            "git is not installed, and says which files belong to the tree: install it"
        ) from error


def _build(plugin: Path, to: Path) -> list[str]:
    """Install one distribution into a folder, and return its requirements.

    Its build backend is the one installed here where there is one, so that nothing is fetched.
    """
    if not plugin.exists():
        raise PackageError(f"--plugin {plugin}: there is no such folder or wheel")
    before = set(to.glob("*.dist-info"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
               "--disable-pip-version-check", "--target", str(to)]  # fmt: skip
    if plugin.is_dir() and _backend_is_here(plugin):
        command.append("--no-build-isolation")
    done = subprocess.run([*command, str(plugin)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackageError(f"--plugin {plugin} cannot be built:\n{done.stderr.strip()[-2000:]}")
    needs = []
    for info in set(to.glob("*.dist-info")) - before:
        for line in (info / "METADATA").read_text("utf-8").splitlines():
            if not line:
                break
            name, _, value = line.partition(": ")
            if name == "Requires-Dist" and not re.match(r"rnnbench\b(?!-)", value):
                needs.append(value)
        # They say where it was built and when, so that the same plugin gives other bytes.
        for file in ("direct_url.json", "RECORD", "INSTALLER", "REQUESTED"):
            (info / file).unlink(missing_ok=True)
    return [n for n in needs if "extra ==" not in n]


def _backend_is_here(plugin: Path) -> bool:
    """Tell whether the build backend of a distribution is installed here."""
    import importlib.util
    import tomllib

    try:
        project = tomllib.loads((plugin / "pyproject.toml").read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return False
    backend = project.get("build-system", {}).get("build-backend", "setuptools.build_meta")
    return importlib.util.find_spec(backend.split(".")[0]) is not None


def _refuse_secret(name: str, file: Path, secrets: Mapping[str, str]) -> None:
    """Raise PackageError where a file holds a secret."""
    content = file.read_bytes()
    what = ""
    if Path(name).name in KEY_FILES:
        what = "is a file of secrets by its name"
    elif KEYS.search(content):
        what = "holds a key"
    for secret_name, value in secrets.items():
        if value.encode() in content:
            what = f"holds the value of {secret_name}"
    if what:
        raise PackageError(
            f"{name} {what}, and all who use the cluster could read it: keep it out of the "
            "working tree, or add it to .gitignore. Secrets belong into the nodes' environment "
            "(cluster/README.md)."
        )


def _write(path: Path, members: Mapping[str, Path]) -> None:
    """Write a zip without times and owners."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            mode = 0o755 if os.access(members[name], os.X_OK) else 0o644
            entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, members[name].read_bytes())
