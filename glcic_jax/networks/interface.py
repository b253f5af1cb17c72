"""What the program needs to know of a generator, whichever it is."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from glcic_jax.config.model import Contrast, Fill


class Layer(NamedTuple):
    """One convolution with the batch normalisation and ReLU that follow it."""

    name: str
    features: int
    size: int = 3
    stride: int = 1
    dilation: int = 1
    doubles: Literal["", "transposed", "interpolated"] = ""
    """Doubles the map: a transposed 4x4 convolution of stride 2, or every pixel repeated twice
    along both axes and then the convolution."""
    residual: bool = False
    """Its input is added to its result."""
    opens: bool = False
    """The first layer of a residual block: its input is kept for the layer that closes it."""
    closes: bool = False
    """The last layer of a residual block: a convolution with a bias, neither normalised nor
    rectified, to which the input of the block is added."""
    adds: str = ""
    """Name of an earlier layer of the same size and features whose result is added to its own."""
    rectifies_first: bool = False
    """Its batch normalisation follows the ReLU instead of preceding it."""


class Generator(Protocol):
    """A network that completes images: a Flax Linen module, hashable, so static under `jit`.

    Its variables are `params`; `constants/mean_pixel`, float32 of shape (3,), the mean pixel of the
    training set; and, if it normalises by batches, `batch_stats`. Any other collection is lost
    between two steps of training.

    To add one: a module like this, and its entry in `registry.py`.
    """

    @property
    def image_size(self) -> int | None:
        """The only side in pixels that it completes, height and width alike; None: any size."""

    @property
    def multiple(self) -> int:
        """Height and width of an image must divide by this."""

    @property
    def fill(self) -> Fill:
        """What it puts into the hole first, and how its last layer becomes an image; see
        `completion.to_image`."""

    @property
    def contrast(self) -> Contrast:
        """What its first layer sees of the filled image, see `completion.seen_by_network`."""

    @property
    def deepest(self) -> float:
        """Depth in pixels of the deepest hole that it completes in one pass; 0: any. See
        `inpainting/coarse_to_fine.py`."""

    @property
    def refines(self) -> bool:
        """Whether it goes on from the doubled completion of a deeper hole; not read where `deepest`
        is 0."""

    @property
    def views(self) -> int:
        """How many mirrored views of an image it averages outside training, see
        `networks/views.py`; 1: the image alone."""

    @property
    def mirror_margin(self) -> int:
        """By how many pixels an image is continued by its mirror image on every side before it is
        completed, see `values.continue_mirrored`; even."""

    @property
    def dtype(self) -> jnp.dtype:
        """Type of its convolutions; parameters and statistics are float32."""

    def layers(self) -> tuple[Layer, ...] | None:
        """All convolutions but the last, the 3x3 `output` with a bias, in order.

        What it answers must be all there is: these layers, then `completion.to_image`. The
        parameters are named after the layers, `{name}_norm/norm` the normalisation behind one. A
        convolution that is normalised may have a `bias` or none.
        Then the holes' surroundings alone can be computed, with the normalisation folded in. None:
        it is no such chain, and only ever computed whole.
        """

    def __call__(
        self,
        image_BxHxWx3: jax.Array,
        mask_BxHxWx1: jax.Array,
        /,
        *,
        train: bool,
        start_BxHxWx3: jax.Array | None = None,
    ) -> jax.Array:
        """Complete `image` where `mask` is 1.

        Args:
            image_BxHxWx3: float32 in [0, 1]; values in the hole must not be read. H and W divide
                by `multiple`, and are `image_size` if it is a number.
            mask_BxHxWx1: float32, 1 is the hole.
            train: use (and update) the batch's statistics instead of the running ones.
            start_BxHxWx3: float32 in [0, 1], read in the hole: what stands there first, such as a
                completion at half the size. None: `fill`.

        Returns:
            float32 image_BxHxWx3, the raw output over the whole image; in [0, 1] unless `train`.
        """

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Fresh variables, see `flax.linen.Module.init`."""

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        """`__call__` with variables, see `flax.linen.Module.apply`."""
