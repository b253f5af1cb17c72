"""What several tests need: changed configurations, and the environment of child processes."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import os
import socket
import subprocess
import sys
from pathlib import Path

import flax.linen as nn
import jax

from glcic_jax.config.settings import Config

ROOT = Path(__file__).resolve().parent.parent

# Tests compile many programs and run each of them briefly, so the backend's optimizer costs more
# than it saves. JAX reads this when it first compiles, which is after this file is imported.
QUICK_COMPILES = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if importlib.metadata.version("jaxlib").startswith("0.10."):
    # XLA's older emitters, which later ones no longer have, need half the time of the newer ones.
    QUICK_COMPILES += " --xla_cpu_use_fusion_emitters=false"
    # Code in one piece: 32 pieces, the default, need half again as much CPU time in all, and there
    # are as many tests at once as cores.
    QUICK_COMPILES += " --xla_cpu_parallel_codegen_split_count=1"
os.environ["XLA_FLAGS"] = f"{QUICK_COMPILES} {os.environ.get('XLA_FLAGS', '')}"
os.environ.setdefault("JAX_PLATFORMS", "cpu")


def python_environment(cache: Path, devices: int = 1) -> dict[str, str]:
    """Environment of a child process: some virtual devices, compiled programs kept in `cache`."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{QUICK_COMPILES} --xla_force_host_platform_device_count={devices}",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def start_python(
    cache: Path, *arguments: str, devices: int = 1, cwd: Path = ROOT, **environment: str
) -> subprocess.Popen:
    """Start a Python program of the project in a new process; its output and errors are pipes.

    `environment` goes before what `python_environment` says. Whoever starts one ends it.
    """
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env=python_environment(cache, devices) | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen, timeout: float = 300) -> subprocess.CompletedProcess:
    """The process when it has ended; it is killed after `timeout` seconds."""
    try:
        output, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def replace(config: Config, **parts) -> Config:
    """`replace(config, model={"width": 8}, seed=1)`: a changed copy, tables by their fields."""
    changed = {
        name: dataclasses.replace(getattr(config, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in parts.items()
    }
    return dataclasses.replace(config, **changed)


# Without `jit` every operation of a network is compiled for itself: several times as long.


@functools.partial(jax.jit, static_argnums=0)
def initialise(module: nn.Module, key: jax.Array, *inputs: jax.Array):
    """`module.init` as one program."""
    return module.init(key, *inputs, train=False)


@functools.partial(jax.jit, static_argnums=0)
def apply(module: nn.Module, variables, *inputs: jax.Array):
    """`module.apply` with running statistics as one program."""
    return module.apply(variables, *inputs, train=False)


def free_port() -> int:
    """A port that nothing uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
