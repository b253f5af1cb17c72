"""Real jobs of two processes, two virtual devices each: train, stop, resume and score as one."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from support import ROOT, free_port, start_python

from glcic_jax.errors import UserError
from glcic_jax.runtime import jobs
from glcic_jax.runtime.checkpoints import Checkpoints
from glcic_jax.runtime.devices import batch_mesh, replicated
from glcic_jax.runtime.rendezvous import Member
from glcic_jax.runtime.workdir import load_config
from glcic_jax.training.state import abstract_train_state

# The schedule is constant, so that runs of any length share their compiled programs. Joint steps
# update the discriminators too; leaving out the phase between saves a compilation in each process.
TINY = (
    "--image-size 16 --data.batch-size 8 --model.width 4 "
    "--model.dilations 2 --model.discriminator-width 4 --model.discriminator-halvings 1 "
    "--model.dense-features 8 --optimizer.schedule constant "
    "--optimizer.learning-rate 0.0001 --optimizer.discriminator-learning-rate 0.0001 "
    "--phases.completion-steps 15 --phases.discriminator-steps 0 --phases.joint-steps 15 "
    "--loop.log-every 1 --loop.save-every 5 --loop.validate-every 10 --loop.validation-images 19"
).split()
EVALUATION = "--limit 21 --batch-size 4 --methods telea harmonic model".split()


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.getbasetemp() / "compiled"


def start(cache: Path, program: str, *options: str, devices: int, cwd: Path = ROOT):
    """A process of a program, given a time limit by whoever waits for it."""
    return start_python(cache, str(ROOT / program), *options, devices=devices, cwd=cwd)


def start_job(cache: Path, program: str, *options: str, each=((), ())) -> list[subprocess.Popen]:
    """Two processes with two devices each; `each` has further options of the one and the other."""
    address = f"localhost:{free_port()}"
    job = ["--coordinator", address, "--start-timeout", "60", "--process-count", "2"]
    return [
        start(cache, program, *options, *job, "--process-index", str(i), *each[i], devices=2)
        for i in range(2)
    ]


def finish(*processes: subprocess.Popen, seconds: float = 400) -> list[tuple[int, str, str]]:
    """(exit status, stdout, stderr) of each; none is left running."""
    deadline = time.monotonic() + seconds
    try:
        results = []
        for process in processes:
            output, errors = process.communicate(timeout=max(1, deadline - time.monotonic()))
            results.append((process.returncode, output, errors))
        return results
    finally:
        for process in processes:
            process.kill()


def train_in_job(cache: Path, workdir: Path, *options: str) -> None:
    processes = start_job(cache, "train.py", "--workdir", str(workdir), *TINY, *options)
    for status, _, errors in finish(*processes):
        assert status == 0, errors[-2000:]


def lines(workdir: Path) -> list[dict]:
    path = workdir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def until_step(workdir: Path, step: int, processes: list[subprocess.Popen]) -> None:
    """Return when the job has reported `step`."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        with contextlib.suppress(ValueError, IndexError):  # half a line, or none
            if lines(workdir)[-1]["step"] >= step:
                return
        time.sleep(0.002)
    raise AssertionError(f"never at step {step}: {finish(*processes, seconds=5)}")


def final_state(workdir: Path):
    abstract = abstract_train_state(load_config(workdir), replicated(batch_mesh(jax.devices()[:1])))
    with Checkpoints(workdir, keep=2) as checkpoints:
        restored = checkpoints.restore_latest(abstract)
    assert restored is not None
    return restored


@pytest.fixture(scope="module")
def alone(tmp_path_factory, cache) -> Path:
    """The run of one process with four devices."""
    workdir = tmp_path_factory.mktemp("alone") / "x"
    process = start(cache, "train.py", "--workdir", str(workdir), *TINY, devices=4)
    ((status, _, errors),) = finish(process)
    assert status == 0, errors[-2000:]
    return workdir


@pytest.fixture(scope="module")
def shared(tmp_path_factory, cache, alone) -> Path:  # noqa: ARG001
    """The same run, of two processes with two devices each."""
    workdir = tmp_path_factory.mktemp("shared") / "x"
    train_in_job(cache, workdir)
    return workdir


def test_two_processes_get_the_losses_of_one(alone, shared):
    """To rounding: XLA within a process and Gloo between them add the devices' shares in their own
    orders. That was 1.3e-6 of the value at most, and Adam can make it grow from step to step."""
    one, two = lines(alone), lines(shared)
    assert [(line["step"], line["phase"]) for line in one] == [
        (line["step"], line["phase"]) for line in two
    ]
    assert len(one) == 30 + 3
    for a, b in zip(one, two, strict=True):
        names = a.keys() - {"step", "phase", "images_per_second", "data_wait"}
        assert names
        for name in names:
            np.testing.assert_allclose(b[name], a[name], rtol=1e-4, err_msg=f"{name}, {a}")


def test_only_the_first_process_writes(alone, shared):
    def names(workdir: Path) -> set[str]:
        paths = {str(path.relative_to(workdir)) for path in workdir.rglob("*") if path.is_file()}
        # What a checkpoint's arrays are called on disk is Orbax's affair.
        return {path for path in paths if not path.startswith(("tensorboard", "checkpoints"))}

    assert names(alone) == names(shared)
    assert len(list((shared / "tensorboard").iterdir())) == 1
    assert (alone / "config.json").read_bytes() == (shared / "config.json").read_bytes()


def test_a_job_that_lost_a_process_resumes_bit_for_bit(tmp_path, cache, shared):
    workdir = tmp_path / "x"
    processes = start_job(cache, "train.py", "--workdir", str(workdir), *TINY)
    until_step(workdir, 8, processes)
    processes[1].kill()
    killed = time.monotonic()
    (status, _, errors), (killed_status, _, _) = finish(*processes)
    assert time.monotonic() - killed < 30
    assert (status, killed_status) == (1, -signal.SIGKILL)
    assert "error: process 1 has ended; its own output may say why\n" in errors
    assert "Traceback" not in errors
    assert 8 <= lines(workdir)[-1]["step"] < 30
    train_in_job(cache, workdir)

    (step, want), (other_step, got) = final_state(shared), final_state(workdir)
    assert step == other_step == 30
    chex.assert_trees_all_equal(got, want, strict=True)
    timeless = [
        [{**line, "images_per_second": 0, "data_wait": 0} for line in lines(path)]
        for path in (shared, workdir)
    ]
    assert timeless[0] == timeless[1]


def test_a_signal_to_one_process_stops_all_at_the_same_step(tmp_path, cache, shared):  # noqa: ARG001
    """Ctrl-C, which the process passes to itself as SIGTERM."""
    workdir = tmp_path / "x"
    endless = ("--phases.completion-steps", "1000000", "--loop.save-every", "1000000")
    processes = start_job(
        cache,
        "train.py",
        "--workdir",
        str(workdir),
        *TINY,
        *endless,
        "--loop.validate-every",
        "900000",
    )
    until_step(workdir, 3, processes)
    processes[1].send_signal(signal.SIGINT)
    results = finish(*processes)
    assert [status for status, _, _ in results] == [0, 0], results
    assert "a stop signal: saved step" in results[0][1]
    assert final_state(workdir)[0] == lines(workdir)[-1]["step"]


def test_evaluation_by_two_processes_is_that_of_one(cache, shared):
    path = shared / "results.json"
    (result,) = finish(
        start(cache, "evaluate.py", "--workdir", str(shared), *EVALUATION, devices=4)
    )
    assert result[0] == 0, result[2][-2000:]
    one = path.read_bytes()
    path.unlink()
    first, second = finish(*start_job(cache, "evaluate.py", "--workdir", str(shared), *EVALUATION))
    assert first[0] == second[0] == 0, first[2][-2000:] + second[2][-2000:]
    assert path.read_bytes() == one
    assert "telea" in first[1]
    assert "telea" not in second[1]


BAD = {
    "counts": ((), ("--process-count", "3"), "process 1 was given process-count 3, process 0 2"),
    "batch": (
        ("--data.batch-size", "6"),
        ("--data.batch-size", "6"),
        "data.batch-size 6 does not divide by the 4 devices",
    ),
}


@pytest.mark.parametrize(("first", "second", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_explained_by_all_and_writes_nothing(first, second, message, tmp_path, cache):
    workdir = tmp_path / "x"
    processes = start_job(cache, "train.py", "--workdir", str(workdir), *TINY, each=(first, second))
    for status, _, errors in finish(*processes, seconds=100):
        said = [line for line in errors.splitlines() if not line.startswith("[Gloo]")]
        assert status == 1
        assert said[0].startswith("error: "), errors
        assert message in said[0]
        assert len(said) <= 2, errors
    assert list(tmp_path.iterdir()) == []


def test_a_workdir_that_is_not_shared(tmp_path, cache):
    here, there = tmp_path / "here", tmp_path / "there"
    address = f"localhost:{free_port()}"
    processes = []
    for index, cwd in enumerate((here, there)):
        cwd.mkdir()
        job = ["--coordinator", address, "--process-count", "2", "--process-index", str(index)]
        processes.append(
            start(cache, "train.py", "--workdir", "x", *TINY, *job, devices=2, cwd=cwd)
        )
    for status, _, errors in finish(*processes, seconds=100):
        assert status == 1
        assert "process 1 does not see what process 0 writes to x; --workdir must be" in errors
    assert list(here.iterdir()) == list(there.iterdir()) == []


def test_an_unreachable_coordinator(tmp_path, cache):
    options = f"--coordinator localhost:{free_port()} --process-count 2 --process-index 1".split()
    workdir = ["--workdir", str(tmp_path / "x"), "--start-timeout", "0.5"]
    for program in ("train.py", "evaluate.py"):
        ((status, _, errors),) = finish(
            start(cache, program, *workdir, *options, devices=2), seconds=60
        )
        assert status == 1
        assert errors.startswith("error: process 1 can't reach process 0 at localhost:")
        assert len(errors.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


# --- Which process this is ----------------------------------------------------------------------


def test_members():
    find = jobs.find_member
    assert find("10.0.0.2:8476", 4, 3) == Member("10.0.0.2", 8476, 4, 3)
    assert find("[::1]:8476", 2, 0) == Member("::1", 8476, 2, 0)
    assert find("[::1]:8476", 2, 0).address == "[::1]:8476"
    assert find(None, None, None) is None
    assert find(None, 1, None) is None
    assert find("a:1", 1, 0) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, 2, 0), "give all three"),
        (("a:1", None, 0), "give all three"),
        (("a:1", 2, None), "give all three"),
        (("localhost", 2, 0), "expected HOST:PORT"),
        (("a:port", 2, 0), "expected HOST:PORT"),
        (("a:70000", 2, 0), "expected HOST:PORT"),
        (("a:1", 2, 2), "--process-index is 2 of --process-count 2"),
        (("a:1", 2, -1), "--process-index is -1"),
        (("a:1", 0, 0), "--process-count 0"),
    ],
)
def test_members_that_cannot_be(arguments, message):
    with pytest.raises(UserError, match=message):
        jobs.find_member(*arguments)


@contextlib.contextmanager
def metadata_server(attributes: dict[str, str]) -> Iterator[str]:
    """Answers as the metadata server of a TPU machine does; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.removeprefix("/computeMetadata/v1/instance/attributes/")
            known = name in attributes and self.headers["Metadata-Flavor"] == "Google"
            self.send_response(200 if known else 404)
            self.end_headers()
            if known:
                self.wfile.write(attributes[name].encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("localhost", 0), Handler) as server:
        threading.Thread(target=functools.partial(server.serve_forever, 0.02), daemon=True).start()
        yield f"localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture
def on_tpu(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    for name in ("JAX_PLATFORMS", "TPU_SKIP_MDS_QUERY", "TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("workers", "index", "member"),
    [
        ("host-0,host-1,host-2,host-3", "2", Member("host-0", 8482, 4, 2)),
        ("unknown:0:10.1.0.2,unknown:1:10.1.0.3", "1", Member("10.1.0.2", 8482, 2, 1)),
        ("unknown:0:10.1.0.2", "0", None),
    ],
)
def test_the_member_of_a_tpu_pod(workers, index, member, on_tpu):
    attributes = {"worker-network-endpoints": workers, "agent-worker-number": index}
    with metadata_server(attributes) as address:
        on_tpu.setenv("GCE_METADATA_IP", address)
        assert jobs.find_member(None, None, None) == member
        assert jobs.find_member("a:1", 2, 1) == Member("a", 1, 2, 1)
        on_tpu.setenv("JAX_PLATFORMS", "cpu")
        assert jobs.find_member(None, None, None) is None


def test_the_member_of_a_pod_on_kubernetes(on_tpu):
    on_tpu.setenv("TPU_WORKER_HOSTNAMES", "job-0.svc,job-1.svc")
    on_tpu.setenv("TPU_WORKER_ID", "1")
    assert jobs.find_member(None, None, None) == Member("job-0.svc", 8482, 2, 1)


def test_a_tpu_outside_of_the_cloud(on_tpu):
    with metadata_server({}) as address:
        on_tpu.setenv("GCE_METADATA_IP", address)
        assert jobs.find_member(None, None, None) is None
    on_tpu.setenv("GCE_METADATA_IP", f"localhost:{free_port()}")
    assert jobs.find_member(None, None, None) is None
