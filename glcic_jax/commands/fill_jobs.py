"""Which photographs `glcic-jax fill` repairs: each with its mask and the file to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from glcic_jax.errors import UserError
from glcic_jax.files.photograph_files import FORMATS, output_format

STREAM = "-"
"""Standard input or standard output."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One photograph to repair."""

    photograph: Path | None
    """None: standard input."""
    mask: Path | str | None
    output: Path | None
    """None: standard output."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that one command does."""

    jobs: tuple[Job, ...]
    skipped: int
    """Photographs whose output is there already."""
    notes: tuple[str, ...]
    """What was found to have no partner."""


def comparison_of(output: Path) -> Path:
    """Where photograph, hole and result are written side by side."""
    return output.with_name(f"{output.name}.compare.jpg")


def plan_one(
    photograph: str, mask: str | None, output: str, *, overwrite: bool, compare: bool = False
) -> Plan:
    """The plan for a single file, or standard input.

    Raises:
        UserError: an output that exists or is the mask, or a format that can't be written.
    """
    source = None if photograph == STREAM else Path(photograph)
    if mask == STREAM:
        raise UserError("--mask -: standard input is for the photograph; give a file")
    if output == STREAM:
        return Plan((Job(source, mask, None),), 0, ())
    target = Path(output)
    if target.is_dir():
        if source is None:
            raise UserError(f"--output {output} is a directory; name a file for standard input")
        target = target / source.name
    output_format(target)
    if not target.absolute().parent.is_dir():
        raise UserError(f"--output {output}: the directory {target.parent} does not exist")
    for path in (target, *([comparison_of(target)] if compare else [])):
        if path.exists() and not overwrite:
            raise UserError(f"--output {path} exists already; give --overwrite, or another name")
    if mask is not None and _is_same(target, Path(mask)):
        raise UserError(f"--output {target} is the mask, and would replace it; give another name")
    return Plan((Job(source, mask, target),), 0, ())


def plan_folder(
    photographs: Sequence[str],
    mask: str | None,
    masks: Path | None,
    output: Path,
    *,
    overwrite: bool,
) -> Plan:
    """The plan for a directory, or for several files.

    Args:
        photographs: one directory, or files.
        mask: one for all.
        masks: a directory of masks; each belongs to the photograph of the same stem.
        output: a directory, which is made if need be.
        overwrite: repair again what is there.

    Raises:
        UserError: nothing to repair, masks that fit nothing or twice, an output that is a file or
            where the photographs are.
    """
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output} is a file; give a directory for several photographs")
    found = _photographs(photographs, output, masks)
    if mask is not None:
        found = [(path, name) for path, name in found if not _is_same(path, Path(mask))]
    partners, notes = _partners([name for _, name in found], mask, masks)
    jobs, skipped = [], 0
    for path, name in found:
        if name not in partners:
            continue
        target = output / name
        if target.resolve() == path.resolve():
            raise UserError(
                f"--output {output} is where the photographs are, and they would be replaced; give "
                "another directory"
            )
        if target.exists() and not overwrite:
            skipped += 1
        else:
            jobs.append(Job(path, partners[name], target))
    return Plan(tuple(jobs), skipped, tuple(notes))


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _photographs(
    photographs: Sequence[str], output: Path, masks: Path | None
) -> list[tuple[Path, Path]]:
    """Each photograph with its path inside the output."""
    if len(photographs) > 1:
        folders = [name for name in photographs if Path(name).is_dir() or name == STREAM]
        if folders:
            raise UserError(f"give one directory, or only files; got {folders[0]} among others")
        names = [Path(name) for name in photographs]
        twice = {path.name for path in names if sum(path.name == n.name for n in names) > 1}
        if twice:
            raise UserError(
                f"several photographs are called {min(twice)}, and one would replace the other; "
                "repair them one by one"
            )
        return [(path, Path(path.name)) for path in names]
    root = Path(photographs[0])
    apart = [folder.resolve() for folder in (output, masks) if folder is not None]
    apart = [folder for folder in apart if folder != root.resolve()]
    found = []
    for path in _images_below(root):
        if not any(path.resolve().is_relative_to(folder) for folder in apart):
            found.append((path, path.relative_to(root)))
    if not found:
        raise UserError(f"{root} has no photographs ({', '.join(FORMATS)})")
    return found


def _images_below(root: Path) -> list[Path]:
    try:
        paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in FORMATS)
    except OSError as error:
        raise UserError(f"{root} can't be listed: {error.strerror or error}") from error
    # Files that begin with a dot are other programs' own: previews, our temporary ones.
    return [path for path in paths if path.is_file() and not path.name.startswith(".")]


def _partners(
    names: Sequence[Path], mask: str | None, masks: Path | None
) -> tuple[dict[Path, Path | str | None], list[str]]:
    """The mask of each photograph that has one, and what has none."""
    if masks is None:
        return dict.fromkeys(names, mask), []
    if not masks.is_dir():
        raise UserError(f"--masks {masks} is not a directory; give --mask for one file")
    by_name: dict[str, list[Path]] = {}
    for path in _images_below(masks):
        by_name.setdefault(path.relative_to(masks).with_suffix("").as_posix(), []).append(path)
    twice = next((paths for paths in by_name.values() if len(paths) > 1), None)
    if twice:
        raise UserError(f"{twice[0]} and {twice[1]} are masks of the same photograph; remove one")
    partners: dict[Path, Path | str | None] = {}
    for name in names:
        stem = name.with_suffix("").as_posix()
        if stem in by_name:
            partners[name] = by_name[stem][0]
    notes = _without_partner(
        "photographs have no mask", [str(name) for name in names if name not in partners]
    )
    used = {name.with_suffix("").as_posix() for name in partners}
    notes += _without_partner("masks have no photograph", sorted(set(by_name) - used))
    if not partners:
        raise UserError(
            f"no mask in {masks} has the name of a photograph; photo.jpg needs photo.png or the "
            "like"
        )
    return partners, notes


def _without_partner(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return [f"{len(names)} {what}: {shown}"]
