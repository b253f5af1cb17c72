"""Train the small CIFAR-100 classifier that a comparison report can use.

glcic-jax train-classifier --output runs/classifier.npz
glcic-jax evaluate --workdir runs/a runs/b --report report --classifier runs/classifier.npz
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glcic_jax.commands.command_line import parse
from glcic_jax.errors import UserError

if TYPE_CHECKING:
    import jax


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train a small CIFAR-100 classifier and write it to a file."""

    output: Path
    """File to write, such as runs/classifier.npz."""
    width: int = 32
    """Channels of the first convolution."""
    epochs: int = 8
    """Passes over the 50,000 training images."""
    batch_size: int = 128
    """Images a step."""
    learning_rate: float = 0.004
    """Peak of the one-cycle schedule of AdamW."""
    seed: int = 0
    """Start of the initial weights and of the order of the images."""


def main() -> None:
    """Train, report the accuracy, write the file."""
    arguments = parse(Arguments, description=Arguments.__doc__)
    for name in ("width", "epochs", "batch_size"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1")
    if not 0 <= arguments.seed < 2**31:
        raise UserError(f"--seed is {arguments.seed}; it must lie between 0 and {2**31 - 1}")
    if arguments.output.is_dir() or not arguments.output.absolute().parent.is_dir():
        raise UserError(f"--output {arguments.output}: give a file in a directory that exists")
    import numpy as np

    from glcic_jax.data.cifar100 import Cifar100, read_labels
    from glcic_jax.evaluation.classifier import save

    splits: Any = ("train", "test")
    images, labels = {}, {}
    for split in splits:
        image_set = Cifar100(split)
        images[split] = np.stack([image_set[i] for i in range(len(image_set))])
        labels[split] = read_labels(split)
    if arguments.batch_size > len(labels["train"]):
        raise UserError(
            f"--batch-size is {arguments.batch_size}; there are {len(labels['train'])} images"
        )
    trained = _train(arguments, images["train"], labels["train"])
    accuracy = float(np.mean(trained.look(images["test"]).classes == labels["test"]))
    try:
        save(arguments.output, trained._replace(accuracy=accuracy))
    except OSError as error:
        raise UserError(f"can't write {arguments.output}: {error.strerror or error}") from error
    print(f"accuracy on {len(labels['test'])} test images: {accuracy:.1%}; {arguments.output}")


def _train(arguments: Arguments, images: Any, labels: Any) -> Any:
    """Trains with flips and shifts of up to 4 pixels; its accuracy is not known yet."""
    import jax
    import numpy as np
    import optax

    from glcic_jax.evaluation.classifier import Classifier, TrainedClassifier
    from glcic_jax.runtime import devices

    classifier = Classifier(arguments.width)
    steps = len(images) // arguments.batch_size
    optimizer = optax.adamw(
        optax.cosine_onecycle_schedule(arguments.epochs * steps, arguments.learning_rate),
        weight_decay=0.01,
    )
    key = jax.random.key(arguments.seed)
    variables = classifier.init(key, np.zeros((1, 32, 32, 3), np.float32), train=False)
    state = (variables, optimizer.init(variables["params"]))
    step = devices.jit(functools.partial(_step, classifier, optimizer), donate_argnums=0)
    rng = np.random.default_rng(arguments.seed)
    started = time.perf_counter()
    for epoch in range(arguments.epochs):
        order = rng.permutation(len(images))
        losses = []
        for number in range(steps):
            rows = order[number * arguments.batch_size :][: arguments.batch_size]
            step_key = jax.random.fold_in(key, epoch * steps + number)
            state, loss = step(state, step_key, images[rows], labels[rows])
            losses.append(loss)
        rate = (epoch + 1) * steps * arguments.batch_size / (time.perf_counter() - started)
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, {rate:.0f} images/s", flush=True)
    return TrainedClassifier(classifier, state[0], accuracy=math.nan)


def _step(
    classifier: Any,
    optimizer: Any,
    state: Any,
    key: jax.Array,
    image_u8: jax.Array,
    label_B: jax.Array,
) -> Any:
    """One update; returns the next state and the cross entropy."""
    import jax
    import jax.numpy as jnp
    import optax

    from glcic_jax.imaging.values import to_float

    variables, opt_state = state
    flip_key, shift_key = jax.random.split(key)
    image = to_float(image_u8)
    flips = jax.random.bernoulli(flip_key, 0.5, (len(image), 1, 1, 1))
    image = jnp.where(flips, image[:, :, ::-1], image)
    padded = jnp.pad(image, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    shift_Bx2 = jax.random.randint(shift_key, (len(image), 2), 0, 9)
    image = jax.vmap(
        lambda one, shift: jax.lax.dynamic_slice(one, (shift[0], shift[1], 0), (32, 32, 3))
    )(padded, shift_Bx2)

    def loss(params: Any) -> Any:
        (logits, _), updates = classifier.apply(
            variables | {"params": params}, image, train=True, mutable=["batch_stats"]
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, label_B)
        return losses.mean(), updates

    (value, updates), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    change, opt_state = optimizer.update(gradient, opt_state, variables["params"])
    params = optax.apply_updates(variables["params"], change)
    return ({"params": params, **updates}, opt_state), value
