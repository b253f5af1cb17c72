"""The one evaluation loop, for validation during training and for the final table alike.

A completer maps 8-bit images and masks to 8-bit completed images. `evaluate` shows every completer
the same images and masks and scores what comes back, per image and in index order. The masks follow
from (protocol, seed, index) alone and every compiled call has a fixed shape on each device, so the
scores are bit for bit the same for any batch size and any number of devices of a machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from PIL import Image, ImageDraw
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from glcic_jax import baselines, data, images, inpaint, masks, metrics
from glcic_jax.baselines import Completer
from glcic_jax.errors import UserError

MODEL = "model"
"""Name of the trained model among the methods."""

_ROWS_PER_DEVICE = 16
_ROWS_OF_MASKS = 64
_ROWS_OF_SCORES = 64


class Images(Protocol):
    """A deterministic collection of uint8 image_SxSx3, all of one size."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> np.ndarray: ...


# --- Results ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Results:
    """Scores of every image.

    `scores[method][region][metric]` and `hole_fraction` are float64 arrays of one value per image,
    in index order; regions and metrics are those of `glcic_jax.metrics`.
    """

    protocol: str
    seed: int
    hole_fraction: np.ndarray
    scores: Mapping[str, Mapping[metrics.Region, Mapping[str, np.ndarray]]]

    def __len__(self) -> int:
        return len(self.hole_fraction)

    def mean(self, method: str, region: metrics.Region, metric: str) -> float:
        """Mean over images, such as `mean("model", "hole", "psnr")`."""
        return float(np.mean(self.scores[method][region][metric]))

    def summary(
        self, method: str, region: metrics.Region, chosen: np.ndarray | None = None
    ) -> dict[str, float]:
        """Means of every metric, and `psnr_of_mean_mse`.

        Args:
            method: a key of `scores`.
            region: hole or whole.
            chosen: bool or index array that selects images; all by default. Not empty.
        """
        select = slice(None) if chosen is None else chosen
        scores = self.scores[method][region]
        means = {name: float(np.mean(value[select])) for name, value in scores.items()}
        error = max(means["mse"], metrics.MSE_FLOOR)
        return {**means, "psnr_of_mean_mse": float(-10.0 * np.log10(error))}

    def bins(self, method: str) -> list[dict[str, Any]]:
        """Summaries by hole area: one entry for each tenth (above, up to] that has images."""
        # A twelfth decimal makes 0.3 of the area, whatever its last bit, the end of a tenth.
        tenth = np.ceil(np.round(self.hole_fraction * 10, 12)).astype(int)
        return [
            {
                "above": (end - 1) / 10,
                "up_to": end / 10,
                "count": int(np.sum(tenth == end)),
                **{
                    region: self.summary(method, region, tenth == end) for region in metrics.REGIONS
                },
            }
            for end in sorted(set(tenth.tolist()))
        ]

    def to_dict(self) -> dict[str, Any]:
        """What `results.json` holds of them: plain numbers, text, lists and dictionaries."""
        return {
            "protocol": self.protocol,
            "seed": self.seed,
            "count": len(self),
            "methods": {
                method: {
                    **{region: self.summary(method, region) for region in metrics.REGIONS},
                    "bins": self.bins(method),
                }
                for method in self.scores
            },
        }


# --- The loop -----------------------------------------------------------------------------------


def evaluate(
    completers: Mapping[str, Completer],
    image_set: Images,
    *,
    protocol: masks.Protocol,
    seed: int,
    batch_size: int,
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Results:
    """Score every completer on the same images and masks; every image counts exactly once.

    Completers get the images with the hole blanked to 0, so none can read what it has to restore.

    Args:
        completers: by name.
        image_set: uint8 images; index i always takes the same mask.
        protocol: one of `masks.PROTOCOLS`.
        seed: another seed gives other masks.
        batch_size: images in memory at once. It does not change any score.
        limit: use only the first `limit` images.
        progress: called with the number of images done after each batch.

    Raises:
        UserError: no images, or a batch size or limit below 1.
        ValueError: a completer changed a known pixel, or a mask has no hole.
    """
    count = len(image_set) if limit is None else min(limit, len(image_set))
    if count < 1 or batch_size < 1:
        raise UserError(
            f"nothing to evaluate: {len(image_set)} images, limit {limit}, batch size {batch_size}"
        )
    parts: dict[str, list[Any]] = {name: [] for name in completers}
    fractions = []
    for start in range(0, count, batch_size):
        indices = np.arange(start, min(start + batch_size, count))
        truth, mask = _examples(image_set, indices, protocol, seed)
        blanked = np.where(mask > 0.5, np.uint8(0), truth)
        for name, completer in completers.items():
            completed = np.asarray(completer(blanked, mask))
            if not np.array_equal(np.where(mask > 0.5, np.uint8(0), completed), blanked):
                raise ValueError(f"the method {name} changed known pixels")
            rows = baselines.in_fixed_batches(_scores, _ROWS_OF_SCORES, truth, completed, mask)
            parts[name].append(rows)
        fractions.append(mask.mean(axis=(1, 2, 3), dtype=np.float64))
        if progress:
            progress(start + len(indices))
    scores = {
        name: jax.tree.map(lambda *rows: np.concatenate(rows).astype(np.float64), *batches)
        for name, batches in parts.items()
    }
    return Results(protocol, seed, np.concatenate(fractions), scores)


def _examples(
    image_set: Images, indices_B: np.ndarray, protocol: masks.Protocol, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 image_BxSxSx3 and float32 mask_BxSxSx1 of these indices."""
    truth = np.stack([image_set[int(index)] for index in indices_B])
    draw = functools.partial(_masks, protocol, seed, image_size=truth.shape[1])
    mask = baselines.in_fixed_batches(draw, _ROWS_OF_MASKS, indices_B)
    empty = indices_B[~mask.any(axis=(1, 2, 3))]
    if len(empty):
        raise ValueError(f"protocol {protocol}, seed {seed}: no hole in image {empty[0]}")
    return truth, mask


_masks = jax.jit(masks.protocol_masks, static_argnames=("protocol", "image_size"))


@jax.jit
def _scores(truth_u8: jax.Array, completed_u8: jax.Array, mask: jax.Array) -> Any:
    return metrics.per_image(images.to_float(truth_u8), images.to_float(completed_u8), mask)


# --- The model as a completer -----------------------------------------------------------------


def model_completer(generator: Any, variables: Any, mesh: Mesh | None = None) -> Completer:
    """A trained generator as a completer on all devices.

    The batch is shared out over the mesh; each device computes 16 images a call, whatever the
    batch. An 8-bit result is therefore the same for any batch size and number of devices. Calls
    with another model of the same definition don't compile again.

    Args:
        generator: a Flax module, see `inpaint.complete`.
        variables: its variables, on any device.
        mesh: of one axis; by default all local devices.

    Returns:
        The completer. It raises a UserError where the model's output is not finite.
    """
    if mesh is None:
        devices = jax.local_devices()
        mesh = jax.make_mesh(
            (len(devices),), ("batch",), axis_types=(AxisType.Auto,), devices=devices
        )
    (axis,) = mesh.axis_names
    variables = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
    sharding = NamedSharding(mesh, PartitionSpec(axis))

    def complete_rows(image_u8: np.ndarray, mask: np.ndarray) -> tuple[jax.Array, jax.Array]:
        shared = jax.device_put((image_u8, mask), sharding)
        return _complete_on_mesh(generator, mesh, variables, *shared)

    def completer(image_u8: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows = _ROWS_PER_DEVICE * mesh.size
        completed, finite = baselines.in_fixed_batches(complete_rows, rows, image_u8, mask)
        if not finite.all():
            raise UserError(
                "the model's output is not finite (NaN or infinity), so the training has "
                "diverged; take an earlier checkpoint or a lower learning rate"
            )
        return completed

    return completer


@functools.partial(jax.jit, static_argnames=("generator", "mesh"))
def _complete_on_mesh(
    generator: Any, mesh: Mesh, variables: Any, image_u8: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """uint8 completed image, and whether each image's values were finite, bool[B]."""

    def on_one_device(variables: Any, image_u8: jax.Array, mask: jax.Array) -> Any:
        _, completed = inpaint.complete(generator, variables, images.to_float(image_u8), mask)
        finite = jnp.all(jnp.isfinite(completed), axis=(1, 2, 3))
        return images.composite(images.to_uint8(completed), image_u8, mask), finite

    batch = PartitionSpec(*mesh.axis_names)
    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), batch, batch),
        out_specs=batch,
        check_vma=False,  # nothing is communicated, so there is nothing to check
    )(variables, image_u8, mask)


# --- Reports ------------------------------------------------------------------------------------


_COLUMNS = (
    ("PSNR dB", "psnr", 2),
    ("of mean MSE", "psnr_of_mean_mse", 2),
    ("SSIM", "ssim", 3),
    ("L1", "l1", 4),
    ("MSE", "mse", 5),
    ("L2 millions", "l2_millions", 3),
    ("Dice", "dice", 4),
    ("Keras Dice", "keras_dice", 3),
    ("IoU", "iou", 4),
    ("cross entropy", "cross_entropy", 3),
)


def score_table(results: Results, region: metrics.Region) -> Table:
    """A table for the terminal: methods as rows, at most 120 columns wide."""
    summaries = {name: results.summary(name, region) for name in results.scores}
    first = next(iter(summaries.values()))
    place = "inside the hole" if region == "hole" else "over the whole image"
    table = Table(
        title=f"{results.protocol}: {len(results)} images, {place}",
        caption=f"A perfect copy scores PSNR {metrics.PSNR_CAP:.2f} dB, "
        f"Keras Dice {first['keras_dice_ceiling']:.3f}, "
        f"cross entropy {first['cross_entropy_floor']:.3f}; SSIM, Dice and IoU 1.",
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    table.add_column("method", no_wrap=True)
    for title, _, _ in _COLUMNS:
        table.add_column(title, justify="right", min_width=6)
    for name, summary in summaries.items():
        values = [f"{summary[metric]:.{digits}f}" for _, metric, digits in _COLUMNS]
        table.add_row(name, *values, style="bold" if name == MODEL else None)
    return table


def picture_grid(
    completers: Mapping[str, Completer],
    image_set: Images,
    *,
    protocol: masks.Protocol,
    seed: int,
    count: int = 8,
) -> np.ndarray:
    """The first images as a labelled sheet: input with its hole in grey, each method, original.

    Small images are enlarged by a whole factor without smoothing. The masks are `evaluate`'s.

    Returns:
        uint8 image_HxWx3.
    """
    indices = np.arange(min(count, len(image_set)))
    truth, mask = _examples(image_set, indices, protocol, seed)
    blanked = np.where(mask > 0.5, np.uint8(0), truth)
    rows = {
        "input": np.where(mask > 0.5, np.uint8(128), truth),
        **{name: completer(blanked, mask) for name, completer in completers.items()},
        "original": truth,
    }
    factor = max(1, 96 // truth.shape[1])
    enlarged = [row.repeat(factor, axis=1).repeat(factor, axis=2) for row in rows.values()]
    gap, margin = 4, 96
    sheet = Image.fromarray(images.grid(enlarged, gap))
    page = Image.new("RGB", (sheet.width + margin, sheet.height), "white")
    page.paste(sheet, (margin, 0))
    draw = ImageDraw.Draw(page)
    side = truth.shape[1] * factor
    for number, name in enumerate(rows):
        middle = number * (side + gap) + side // 2
        draw.text((margin - 6, middle), name, fill="black", anchor="rm")
    return np.asarray(page)


# --- Evaluation of a run ------------------------------------------------------------------------


def evaluate_run(
    workdir: Path,
    *,
    protocol: masks.Protocol,
    split: data.Split,
    seed: int,
    batch_size: int,
    limit: int | None,
    methods: Sequence[str],
) -> None:
    """Score a trained model and the classical fills; print tables, write results and pictures.

    Writes `<workdir>/results-<protocol>-<split>.png`, and puts the scores into
    `<workdir>/results.json` under the key `<protocol>-<split>`; other keys stay as they are.

    Raises:
        UserError: no checkpoint, a setting out of range, unreadable data, a `results.json` that is
            something else, or a file that can't be written. Nothing is written then.
    """
    _check_settings(seed, batch_size, limit, methods)
    run = inpaint.load_run(workdir)
    results_path = workdir / "results.json"
    _read_results(results_path)
    image_set = data.open_evaluation(run.config, split)
    completers: dict[str, Completer] = {
        **baselines.classical_fills(run.variables["constants"]["mean_pixel"]),
        MODEL: model_completer(run.generator, run.variables),
    }
    completers = {name: completers[name] for name in completers if name in methods}
    with _progress(min(len(image_set), limit or len(image_set))) as progress:
        results = evaluate(
            completers,
            image_set,
            protocol=protocol,
            seed=seed,
            batch_size=batch_size,
            limit=limit,
            progress=progress,
        )
    sheet = picture_grid(completers, image_set, protocol=protocol, seed=seed)
    key = f"{protocol}-{split}"
    entry = {
        "split": split,
        "step": run.step,
        "image_size": run.config.image_size,
        "sources": list(run.config.data.sources),
        "fill": run.config.model.fill,
        "width": run.config.model.width,
        **results.to_dict(),
    }
    # Read again: another evaluation may have finished in the meantime.
    document = {**_read_results(results_path), key: entry}
    grid_path = workdir / f"results-{key}.png"
    _replace(grid_path, lambda temporary: Image.fromarray(sheet).save(temporary, format="PNG"))
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    _replace(results_path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    console = Console()
    if not console.is_terminal:
        console.width = 120
    for region in metrics.REGIONS:
        console.print(score_table(results, region))
    console.print(f"step {run.step}, seed {seed}; {results_path} {grid_path}", soft_wrap=True)


def _check_settings(seed: int, batch_size: int, limit: int | None, methods: Sequence[str]) -> None:
    if not 0 <= seed < 2**31:
        raise UserError(f"seed is {seed}; it must lie between 0 and {2**31 - 1}")
    if batch_size < 1:
        raise UserError(f"batch-size is {batch_size}; it must be at least 1")
    if limit is not None and limit < 1:
        raise UserError(f"limit is {limit}; it must be at least 1, or left out for all images")
    if not methods:
        raise UserError("no method was named; leave --methods out to score all of them")


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("images", total=total)
        yield lambda done: bar.update(task, completed=done)


def _read_results(path: Path) -> dict[str, Any]:
    """The entries of an existing `results.json`; none where there is no file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}); move it away and try again") from error
    if not isinstance(document, dict):
        raise UserError(f"{path} holds no results of an evaluation; move it away and try again")
    return document


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file whole or not at all."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        os.close(descriptor)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from error
