"""The C code of this room as a library: compiled once for each kind of machine, then loaded."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import jax
import jaxlib

from glcic_jax.cpu.caches import instruction_sets, user_cache
from glcic_jax.errors import UserError

FUNCTIONS = ("glcic_jax_convolve", "glcic_jax_convolve_transposed", "glcic_jax_kernel_gradient")

_SETTING = "GLCIC_JAX_COMPILER"
_COMPILERS = ("cc", "gcc", "clang")
_OPTIONS = ("-std=gnu11", "-O3", "-ffp-contract=fast", "-fPIC", "-shared", "-fvisibility=hidden")
# Compilers differ in how they are told to use everything that this machine has.
_FOR_THIS_MACHINE = (("-march=native",), ("-mcpu=native",), ())
_SECONDS = 120

_one_at_a_time = threading.Lock()
_log = logging.getLogger("glcic_jax")


def is_loaded() -> bool:
    """Compile the library if need be, load it and make its functions known to XLA.

    It is kept in the user's cache directory. `GLCIC_JAX_COMPILER` names the C compiler (by default
    cc, gcc or clang, whichever is there); if it is empty, nothing is compiled or loaded.

    Returns:
        Whether `FUNCTIONS` can be called on CPUs. No compiler is no error: XLA has convolutions
        of its own. Nor is one that fails, of which the log has a warning.

    Raises:
        UserError: `GLCIC_JAX_COMPILER` names a program that is not there.
    """
    with _one_at_a_time:
        return _is_registered()


@functools.cache
def _is_registered() -> bool:
    library = open_library()
    for name in FUNCTIONS if library else ():
        function = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(name, function, platform="cpu")
    return library is not None


def open_library() -> ctypes.CDLL | None:
    """As `is_loaded`, but XLA is told nothing. None: there is no library."""
    compiler = _find_compiler()
    if compiler is None:
        return None
    directory = user_cache(f"cpu-{instruction_sets()}")
    try:
        if directory is not None:
            return _load(compiler, directory)
        with tempfile.TemporaryDirectory() as temporary:  # it stays loaded when its file is gone
            return _load(compiler, Path(temporary))
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning(
            "convolutions are left to XLA, which is slower, because %s did not compile ours: %s "
            "(%s= to do without it and without this message)",
            compiler,
            _reason(error),
            _SETTING,
        )
    return None


def _find_compiler() -> str | None:
    chosen = os.environ.get(_SETTING)
    if chosen == "":
        return None
    if chosen is None:
        return next(filter(None, map(shutil.which, _COMPILERS)), None)
    found = shutil.which(chosen)
    if found is None:
        raise UserError(
            f"{_SETTING} is {chosen!r}, which is no program on this machine; name a C compiler, or "
            "leave it empty to do without"
        )
    return found


def _load(compiler: str, directory: Path) -> ctypes.CDLL:
    """The library out of `directory`, compiled into it first where it is missing or broken."""
    sources = sorted(Path(__file__).parent.glob("*.[ch]"))
    content = b"\0".join(source.read_bytes() for source in sources)
    digest = hashlib.sha256(content + f"{jaxlib.__version__} {compiler}".encode()).hexdigest()
    path = directory / f"convolutions-{digest[:16]}.so"
    if path.exists():
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            path.unlink(missing_ok=True)
    _compile(compiler, [source for source in sources if source.suffix == ".c"], path)
    return ctypes.CDLL(str(path))


def _compile(compiler: str, sources: list[Path], path: Path) -> None:
    """Compile to `path`, which is there at once and whole: other processes may look for it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".so")
    os.close(handle)
    try:
        for number, machine in enumerate(_FOR_THIS_MACHINE, start=1):
            command = [compiler, *_OPTIONS, *machine, "-I", jax.ffi.include_dir()]
            done = subprocess.run(
                [*command, *map(str, sources), "-o", temporary],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=number == len(_FOR_THIS_MACHINE),
            )
            if done.returncode == 0:
                break
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """One line: the compiler's first word on what is wrong, if it had one."""
    said = getattr(error, "stderr", None) or str(error)
    lines = [line for line in str(said).splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "")
