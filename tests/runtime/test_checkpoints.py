"""Checkpoints and the working directory: what is restored is what was saved, or nothing is."""

import json
import logging
import random
import shutil
import textwrap
import time
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glcic_jax.errors import UserError
from glcic_jax.runtime import checkpoints
from glcic_jax.runtime.checkpoints import Checkpoints


def make_state(seed):
    """Arrays of several dtypes and kinds of nodes, large, small and scalar."""
    key = jax.random.key(seed)
    return {
        "step": jnp.int32(seed),
        "key_data": jax.random.key_data(key),
        "params": {
            "kernel": jax.random.normal(key, (120, 200)),
            "half": jax.random.normal(key, (33,)).astype(jnp.bfloat16),
            "odd": jnp.asarray([-0.0, jnp.nan, jnp.inf, 1e-42]),
        },
        "moments": (jnp.zeros((50, 60)), [jnp.ones((1, 3)), None]),
    }


def make_generator(seed):
    """Variables as a generator has them."""
    key = jax.random.key(100 + seed)
    return {
        "params": {"conv": {"kernel": jax.random.normal(key, (3, 3, 4, 8)), "bias": jnp.ones(8)}},
        "constants": {"mean_pixel": jnp.full(3, seed / 10)},
    }


def abstract(state):
    sharding = jax.sharding.NamedSharding(jax.make_mesh((1,), ("batch",)), jax.P())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state)


def bits(state):
    """Structure, dtypes, shapes and bytes."""
    leaves = [(str(x.dtype), x.shape, np.asarray(x).tobytes()) for x in jax.tree.leaves(state)]
    return jax.tree.structure(state), leaves


def files_below(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def saved_steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, logger="glcic_jax")
    return caplog


@pytest.fixture
def two_saved(tmp_path):
    """A run with steps 1 and 2; 2 is the newest and the best."""
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        for step in (1, 2):
            assert checkpoints.save(
                step,
                make_state(step),
                score=float(step),
                generator=make_generator(step),
                config=f"run é {step}",
            )
    return tmp_path


# --- Saving and restoring -----------------------------------------------------------------------


def test_restores_every_bit_dtype_and_node(two_saved):
    with Checkpoints(two_saved, keep=3) as checkpoints:
        step, state = checkpoints.restore_latest(abstract(make_state(0)))
    assert step == 2
    assert bits(state) == bits(make_state(2))
    assert all(leaf.sharding.mesh.axis_names == ("batch",) for leaf in jax.tree.leaves(state))


def test_without_checkpoints(tmp_path):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.restore_latest(abstract(make_state(0))) is None
        with pytest.raises(UserError, match="no checkpoint in"):
            checkpoints.restore_for_use(abstract(make_state(0)))
    assert list(tmp_path.iterdir()) == []


def test_buffers_may_be_donated_right_after_save(tmp_path):
    update = jax.jit(lambda x: jax.tree.map(lambda leaf: leaf + 1, x), donate_argnums=0)
    state = {"a": jnp.zeros((1_000_000,)), "b": jnp.zeros((300, 1000), jnp.int32)}
    want = abstract(state)
    with Checkpoints(tmp_path, keep=9) as checkpoints:
        for step in range(6):
            if step % 2 == 0:
                checkpoints.save(step, state, score=-float(step))
            state = update(state)
        assert int(state["b"][0, 0]) == 6
        for step in (4, 2, 0):
            latest, restored = checkpoints.restore_latest(want)
            assert latest == step
            assert all(bool((leaf == step).all()) for leaf in jax.tree.leaves(restored))
            (tmp_path / "checkpoints" / str(step)).rename(tmp_path / f"seen{step}")


def test_the_copy_shares_no_memory_with_the_device():
    array = jnp.arange(1000.0)
    assert not np.shares_memory(np.asarray(array), checkpoints.host_copy(array))


def test_keeps_the_newest_and_the_best_also_after_a_restart(tmp_path):
    state = {"x": jnp.ones(3)}
    scores = [None, 5.0, float("nan"), 3.0, None, 5.0, 4.0, float("inf")]
    for start in (0, 4):
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            for step in range(start, start + 4):
                checkpoints.save(step, state, score=scores[step])
        # Of equal scores the newer one is the best; a score that isn't finite is none.
        assert saved_steps(tmp_path) == {0: [1, 2, 3], 4: [5, 6, 7]}[start]
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.restore_for_use(abstract(state))[0] == 5
        assert checkpoints.restore_latest(abstract(state))[0] == 7
        checkpoints.save(8, state, score=1.0)
        checkpoints.save(9, state, score=1.0)
    assert saved_steps(tmp_path) == [5, 8, 9]


def test_the_latest_can_be_used_instead_of_the_best(tmp_path):
    with Checkpoints(tmp_path, keep=3) as checkpoints:
        for step, score in ((1, 2.0), (2, 9.0), (3, 4.0)):
            checkpoints.save(step, {"x": jnp.full(2, step)}, score=score)
        checkpoints.wait()
        state = abstract({"x": jnp.zeros(2, jnp.int32)})
        assert checkpoints.restore_for_use(state)[0] == 2
        step, restored = checkpoints.restore_for_use(state, "latest")
    assert step == 3
    np.testing.assert_array_equal(restored["x"], [3, 3])


def test_best_is_the_newest_where_there_are_no_scores(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (8, 9, 10):
            checkpoints.save(step, {"x": jnp.full(3, step)}, score=None)
        step, state = checkpoints.restore_for_use(abstract({"x": jnp.ones(3, jnp.int32)}))
    assert step == int(state["x"][0]) == 10


def test_saving_a_step_twice_does_nothing(two_saved):
    before = files_below(two_saved)
    with Checkpoints(two_saved, keep=3) as checkpoints:
        assert checkpoints.save(2, make_state(7), score=9.0) is False
        assert checkpoints.save(3, make_state(7), score=0.0) is True
        assert checkpoints.save(3, make_state(8), score=0.0) is False
        checkpoints.wait()
        assert bits(checkpoints.restore_latest(abstract(make_state(0)))[1]) == bits(make_state(7))
    after = files_below(two_saved)
    assert {path: after[path] for path in before} == before


def test_restores_on_another_number_of_devices_and_prints_nothing(two_saved, start_program):
    program = """
        import sys, jax, jax.numpy as jnp, numpy as np
        from pathlib import Path
        from glcic_jax.runtime.checkpoints import Checkpoints
        mesh = jax.make_mesh((8,), ("batch",))
        names = {"kernel": jax.P("batch"), "half": jax.P(), "odd": jax.P()}
        sharding = {n: jax.sharding.NamedSharding(mesh, spec) for n, spec in names.items()}
        shapes = {"kernel": ((120, 200), "float32"), "half": ((33,), "bfloat16"),
                  "odd": ((4,), "float32")}
        want = {"params": {n: jax.ShapeDtypeStruct(s, jnp.dtype(d), sharding=sharding[n])
                           for n, (s, d) in shapes.items()}}
        def sds(shape, dtype):
            return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding["odd"])
        want |= {"step": sds((), jnp.int32), "key_data": sds((2,), jnp.uint32),
                 "moments": (sds((50, 60), jnp.float32), [sds((1, 3), jnp.float32), None])}
        with Checkpoints(Path(sys.argv[1]), keep=3) as checkpoints:
            step, state = checkpoints.restore_latest(want)
            assert len(state["params"]["kernel"].sharding.device_set) == 8
            checkpoints.save(step + 1, state, score=None)
    """
    process = start_program("-c", textwrap.dedent(program), str(two_saved), devices=8)
    assert process.communicate(timeout=100) == ("", "")
    assert process.returncode == 0
    with Checkpoints(two_saved, keep=3) as checkpoints:
        step, state = checkpoints.restore_latest(abstract(make_state(0)))
    assert step == 3
    assert bits(state) == bits(make_state(2))


# --- The generator alone ------------------------------------------------------------------------


def test_the_generator_is_restored_alone(two_saved):
    with Checkpoints(two_saved, keep=3) as checkpoints:
        checkpoints.save(3, make_state(3), score=0.0, generator=make_generator(3), config="{}")
        checkpoints.wait()
        shutil.rmtree(two_saved / "checkpoints/2/state")
        step, variables, config = checkpoints.restore_generator()
        assert (step, config) == (2, "run é 2")
        assert bits(variables) == bits(make_generator(2))
        assert checkpoints.restore_generator("latest")[0] == 3


@pytest.mark.parametrize("average", [True, False])
def test_a_checkpoint_without_the_item_gives_the_generator_of_its_state(tmp_path, average):
    """As those of the first versions: the moving average where there is one."""
    networks = {
        name: {"params": {"conv": {"kernel": jnp.full((2, 3), value)}}, "batch_stats": {"mean": m}}
        for name, value, m in (
            ("generator", 1.0, jnp.ones(2)),
            ("discriminator", 2.0, jnp.ones(2)),
            ("average", 3.0, jnp.full(2, 9.0)),
        )
    }
    if not average:
        del networks["average"]
    networks["generator"]["opt_state"] = {"params": {"conv": {"kernel": jnp.zeros((2, 3))}}}
    state = networks | {"step": jnp.int32(4), "mean_pixel": jnp.full(3, 0.25)}
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(4, state, score=None)
        checkpoints.wait()
        assert [path.name for path in (tmp_path / "checkpoints/4").glob("generator*")] == []
        _seal_as_the_first_versions(tmp_path / "checkpoints/4/summary/metadata")
        step, variables, config = checkpoints.restore_generator()
    source = networks["average" if average else "generator"]
    want = {
        "params": source["params"],
        "batch_stats": source["batch_stats"],
        "constants": {"mean_pixel": state["mean_pixel"]},
    }
    assert (step, config) == (4, None)
    assert bits(variables) == bits(want)


def _seal_as_the_first_versions(path):
    """Their summaries do not mention the item."""
    values = json.loads(path.read_bytes())
    content = {name: values[name] for name in ("step", "score", "arrays")}
    crc = zlib.crc32(json.dumps(content, sort_keys=True).encode())
    path.write_text(json.dumps(content | {"crc32": crc}))


def test_a_checkpoint_of_another_program_holds_no_generator(tmp_path):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(1, {"x": jnp.ones(3)}, score=None)
        checkpoints.wait()
        with pytest.raises(UserError, match="holds no generator"):
            checkpoints.restore_generator()


# --- Damage -------------------------------------------------------------------------------------


def damaged_bytes(raw, how):
    if how == "half":
        return raw[: len(raw) // 2]
    if how == "empty":
        return b""
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 16]) + raw[middle + 1 :]


def test_no_damage_to_any_file_changes_what_is_restored(two_saved, warnings, capfd):
    folder = two_saved / "checkpoints" / "2"
    want = {step: bits(make_state(step)) for step in (1, 2)}
    originals = files_below(folder)
    # The arrays are in the one large file; Orbax alone does not notice a flipped bit in it.
    (data,) = [path for path, raw in originals.items() if len(raw) > 80_000]
    noticed = set()
    with Checkpoints(two_saved, keep=3) as checkpoints:
        for path, raw in originals.items():
            for how in ("half", "empty", "flip", "deleted"):
                if how == "deleted":
                    (folder / path).unlink()
                else:
                    (folder / path).write_bytes(damaged_bytes(raw, how))
                warnings.clear()
                step, state = checkpoints.restore_for_use(abstract(make_state(0)))
                (folder / path).write_bytes(raw)
                assert bits(state) == want[step], (path, how)
                assert len(warnings.records) == (1 if step == 1 else 0)
                if step == 1:
                    assert f"{folder} is damaged" in warnings.text
                    assert warnings.text.count("\n") == 1
                    noticed.add((str(path), how))
    for path in (data, "state/manifest.ocdbt", "state/_METADATA", "summary/metadata"):
        for how in ("half", "empty", "deleted"):
            # Where the names of the arrays are given, Orbax can do without that file.
            assert (str(path), how) in noticed or (path, how) == ("state/_METADATA", "deleted")
    assert {(str(data), "flip"), ("summary/metadata", "flip")} <= noticed
    output = capfd.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err


def test_no_damage_to_any_file_changes_the_generator_that_is_used(two_saved):
    """Nor does damage to the rest of the checkpoint matter to who only uses the generator."""
    folder = two_saved / "checkpoints" / "2"
    want = {step: bits(make_generator(step)) for step in (1, 2)}
    noticed = set()
    with Checkpoints(two_saved, keep=3) as checkpoints:
        for path, raw in files_below(folder).items():
            for how in ("half", "empty", "flip", "deleted"):
                if how == "deleted":
                    (folder / path).unlink()
                else:
                    (folder / path).write_bytes(damaged_bytes(raw, how))
                step, variables, config = checkpoints.restore_generator()
                (folder / path).write_bytes(raw)
                assert bits(variables) == want[step], (path, how)
                assert config == f"run é {step}"
                if step == 1:
                    noticed.add(path.parts[0])
    assert noticed == {"generator", "summary"}


def test_a_changed_score_is_noticed(two_saved, warnings):
    path = two_saved / "checkpoints/1/summary/metadata"
    text = path.read_text()
    assert '"score": 1.0' in text
    path.write_text(text.replace('"score": 1.0', '"score": 9.0'))
    with Checkpoints(two_saved, keep=3) as checkpoints:
        assert checkpoints.restore_for_use(abstract(make_state(0)))[0] == 2
    assert len(warnings.records) == 1


def test_damage_prints_one_line_and_no_traceback(tmp_path, start_program):
    program = """
        import sys, jax, jax.numpy as jnp
        from pathlib import Path
        from glcic_jax.runtime.checkpoints import Checkpoints
        state = {f"a{i}": jnp.full((300, 300), i) for i in range(40)}
        want = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
        with Checkpoints(Path(sys.argv[1]), keep=2) as checkpoints:
            checkpoints.save(1, state, score=None)
            checkpoints.save(2, state, score=None)
            checkpoints.wait()
            for path in (Path(sys.argv[1]) / "checkpoints/2/state").rglob("d/*"):
                path.write_bytes(b"")
            assert checkpoints.restore_latest(want)[0] == 1
    """
    process = start_program("-c", textwrap.dedent(program), str(tmp_path))
    output, errors = process.communicate(timeout=60)
    assert output == ""
    assert errors.count("\n") == 1, errors
    assert "is damaged" in errors


@pytest.mark.parametrize("part", ["state", "summary"])
def test_a_damaged_newest_is_moved_aside_and_can_be_saved_again(two_saved, warnings, part):
    newest = two_saved / "checkpoints" / "2"
    for count in (1, 2):
        warnings.clear()
        (newest / part).rename(two_saved / f"lost{count}")
        rest = files_below(newest)
        with Checkpoints(two_saved, keep=3) as checkpoints:
            step, state = checkpoints.restore_latest(abstract(make_state(0)))
            assert step == 1
            assert bits(state) == bits(make_state(1))
            assert len(warnings.records) == 1
            aside = two_saved / "damaged" / {1: "2", 2: "2-2"}[count]
            assert files_below(aside) == rest
            assert checkpoints.save(2, make_state(2), score=2.0)
            checkpoints.wait()
            assert checkpoints.restore_latest(abstract(make_state(0)))[0] == 2


def test_moving_aside_while_saving_is_possible(two_saved, warnings):
    with Checkpoints(two_saved, keep=3) as checkpoints:
        checkpoints.save(3, make_state(3), score=3.0)
        checkpoints.wait()
        (two_saved / "checkpoints/3/summary/metadata").write_text("{}")
        assert checkpoints.restore_latest(abstract(make_state(0)))[0] == 2
        assert checkpoints.save(3, make_state(3), score=3.0)
        assert checkpoints.restore_latest(abstract(make_state(0)))[0] == 3
    assert len(warnings.records) == 1


def test_none_whole_is_an_error_and_nothing_is_moved(two_saved):
    for step in (1, 2):
        (two_saved / f"checkpoints/{step}/state/manifest.ocdbt").write_bytes(b"")
    before = files_below(two_saved)
    with Checkpoints(two_saved, keep=3) as checkpoints:
        for restore in (checkpoints.restore_latest, checkpoints.restore_for_use):
            with pytest.raises(UserError, match="none of the 2 checkpoints"):
                restore(abstract(make_state(0)))
    assert files_below(two_saved) == before


def test_a_checkpoint_under_the_name_of_another_step_is_passed_over(two_saved):
    (two_saved / "checkpoints/2").rename(two_saved / "checkpoints/5")
    with Checkpoints(two_saved, keep=3) as checkpoints:
        assert checkpoints.restore_latest(abstract(make_state(0)))[0] == 1


def test_restoring_for_use_only_reads(two_saved):
    (two_saved / "checkpoints/2/state/manifest.ocdbt").write_bytes(b"")
    before = {path: path.stat().st_mtime_ns for path in two_saved.rglob("*")}
    with Checkpoints(two_saved, keep=1) as checkpoints:
        assert checkpoints.restore_for_use(abstract(make_state(0)))[0] == 1
    assert {path: path.stat().st_mtime_ns for path in two_saved.rglob("*")} == before


def test_other_arrays_are_an_error_not_damage(two_saved):
    before = files_below(two_saved)
    want = make_state(0)
    want["params"]["kernel"] = jnp.zeros((120, 201))
    with Checkpoints(two_saved, keep=3) as checkpoints:
        with pytest.raises(UserError, match=r"params\.kernel.*120, 200.*120, 201"):
            checkpoints.restore_latest(abstract(want))
        with pytest.raises(UserError, match=r"holds extra as nothing"):
            checkpoints.restore_for_use(abstract(make_state(0) | {"extra": jnp.ones(2)}))
    assert files_below(two_saved) == before


def test_killed_at_any_moment_leaves_whole_checkpoints(tmp_path, warnings, start_program):
    program = """
        import sys, jax, jax.numpy as jnp
        from pathlib import Path
        from glcic_jax.runtime.checkpoints import Checkpoints
        def state(step):
            arrays = [jnp.full((200, 300), step + i) for i in range(9)]
            return {"step": jnp.int32(step), "a": arrays}
        want = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state(0))
        checkpoints = Checkpoints(Path(sys.argv[1]), keep=1)
        latest = checkpoints.restore_latest(want)
        step = latest[0] if latest else 0
        while True:
            step += 1
            checkpoints.save(step, state(step), score=None)
            print(step, flush=True)
    """
    want = {"step": jnp.int32(0), "a": [jnp.zeros((200, 300), jnp.int32)] * 9}
    moments = random.Random(0)
    kills, left_over, last = 0, 0, 0
    # Until one came in the middle of a save, which a slow machine may be in less often.
    while kills < 3 or (left_over == 0 and kills < 20):
        kills += 1
        process = start_program("-c", textwrap.dedent(program), str(tmp_path))
        for _ in range(3):
            printed = int(process.stdout.readline())
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.communicate()
        left_over += any("tmp" in path.name for path in (tmp_path / "checkpoints").iterdir())
        with Checkpoints(tmp_path, keep=1) as checkpoints:
            step, state = checkpoints.restore_latest(abstract(want))
        # The save after the one that is being written has to wait for it.
        assert step >= max(printed - 1, last)
        assert int(state["step"]) == step
        assert [int(array.min()) for array in state["a"]] == [step + i for i in range(9)]
        assert [int(array.max()) for array in state["a"]] == [step + i for i in range(9)]
        last = step
    assert left_over > 0, "no kill came in the middle of a save"
    assert warnings.records == []
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(last + 9, state, score=None)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [str(last + 9)]


def test_a_disk_that_is_full_is_an_error_and_leaves_the_checkpoints_before(tmp_path, start_program):
    program = """
        import resource, sys, jax, jax.numpy as jnp
        from pathlib import Path
        from glcic_jax.runtime.checkpoints import Checkpoints
        from glcic_jax.errors import UserError
        try:
            with Checkpoints(Path(sys.argv[1]), keep=1) as checkpoints:
                checkpoints.save(1, {"x": jnp.ones(3)}, score=None)
                checkpoints.wait()
                resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
                large = jax.random.normal(jax.random.key(0), (90_000,))
                # Several writes fail, of which none may be left to end on its own.
                checkpoints.save(2, {f"x{i}": large + i for i in range(20)}, score=None)
        except UserError as error:
            print(error)
    """
    process = start_program("-c", textwrap.dedent(program), str(tmp_path))
    output, errors = process.communicate(timeout=60)
    assert output.startswith(f"writing a checkpoint to {tmp_path / 'checkpoints'} failed: ")
    assert "Make room" in output
    assert "Traceback" not in errors
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        assert checkpoints.restore_latest(abstract({"x": jnp.ones(3)}))[0] == 1
