/* The gradient of a convolution by its kernel.

   For one tap, a few channels and a few vectors of features, sums over the pixels of some images stay
   in registers. Then they are added to what is in memory: sums of sums lose less to rounding. */
#include <stdlib.h>
#include <string.h>

#include "passes.h"

typedef struct {
  const float *x, *y;
  const float *last; /* the last image of y, with memory behind it; null where none is needed */
  float *sums;       /* tap, channel, feature; features padded to whole vectors */
  Shape x_shape, y_shape;
  const Pass *pass;
  int64_t group, padded, blocks;
} Gradient;

/* Channels of a task: y is read from memory once for all of them. */
enum { TASK_CHANNELS = 24 };

/* Adds one tap's products over images that `y` begins with. */
INLINE void add_products(int channels, int vectors, const Gradient *gradient, const Tap *tap,
                         int64_t image, int64_t stop, const float *x, const float *y, float *to) {
  Vector kept[2 * PIXELS][WIDEST];
  const Pass *pass = gradient->pass;
  int64_t height = gradient->x_shape.height, width = gradient->x_shape.width;
  int64_t x_pixel = gradient->x_shape.channels, y_pixel = gradient->y_shape.channels;
  for (int c = 0; c < channels; c++)
    for (int v = 0; v < vectors; v++) kept[c][v] = (Vector){0};
  int64_t from = tap->right < 0 ? ceil_div(-tap->right, pass->stride) : 0;
  int64_t until = at_most(floor_div(width - 1 - tap->right, pass->stride) + 1, pass->columns);
  for (; image < stop; image++, y += pass->rows * pass->columns * y_pixel)
    for (int64_t i = 0; i < pass->rows; i++) {
      int64_t row = i * pass->stride + tap->down;
      if (row < 0 || row >= height) continue;
      const float *a =
          x + ((image * height + row) * width + from * pass->stride + tap->right) * x_pixel;
      const float *b = y + (i * pass->columns + from) * y_pixel;
      for (int64_t j = from; j < until; j++, a += pass->stride * x_pixel, b += y_pixel) {
        Vector factor[WIDEST];
        for (int v = 0; v < vectors; v++) factor[v] = *(const Vector *)(b + v * LANES);
        for (int c = 0; c < channels; c++)
          for (int v = 0; v < vectors; v++) kept[c][v] += a[c] * factor[v];
      }
    }
  for (int c = 0; c < channels; c++)
    for (int v = 0; v < vectors; v++)
      *(Vector *)(to + c * gradient->padded + v * LANES) += kept[c][v];
}

/* Channels whose sums with so many vectors of features fill the registers. */
static int64_t most_channels(int vectors) {
  return vectors == 1 ? 2 * PIXELS : vectors == 2 && WIDEST == 4 ? 8 : PIXELS;
}

#define CASE(channels, vectors)                                            \
  case channels * 8 + vectors:                                             \
    add_products(channels, vectors, gradient, tap, image, stop, x, y, to); \
    break;
#define CASES(vectors)                                      \
  CASE(1, vectors) CASE(2, vectors) CASE(3, vectors)        \
  CASE(4, vectors) CASE(5, vectors) CASE(6, vectors)
static void products(int channels, int vectors, const Gradient *gradient, const Tap *tap,
                     int64_t image, int64_t stop, const float *x, const float *y, float *to) {
  switch (channels * 8 + vectors) {
    CASES(1)
    CASE(7, 1) CASE(8, 1) CASE(9, 1) CASE(10, 1) CASE(11, 1) CASE(12, 1)
    CASES(2)
#if WIDEST == 4
    CASE(7, 2) CASE(8, 2)
    CASES(3)
    CASES(4)
#endif
  }
}

/* Some channels of one tap. */
static void gradient_task(void *data, int64_t task) {
  const Gradient *gradient = data;
  const Tap *tap = gradient->pass->tap + task / gradient->blocks;
  int64_t channels = gradient->x_shape.channels, features = gradient->y_shape.channels;
  int64_t first = task % gradient->blocks * TASK_CHANNELS;
  int64_t stop = at_most(first + TASK_CHANNELS, channels);
  int64_t area = gradient->pass->rows * gradient->pass->columns, batch = gradient->x_shape.batch;
  float *to = gradient->sums + tap->number * channels * gradient->padded;
  memset(to + first * gradient->padded, 0, (stop - first) * gradient->padded * sizeof(float));
  for (int64_t image = 0, next; image < batch; image = next) {
    const float *y = gradient->y + image * area * features;
    next = at_most(image + gradient->group, batch);
    if (gradient->last && image == batch - 1)
      y = gradient->last;
    else if (gradient->last)
      next = at_most(next, batch - 1);
    for (int64_t f = 0, vectors; f < features; f += vectors * LANES) {
      vectors = block_vectors(features - f);
      int64_t most = most_channels((int)vectors);
      for (int64_t c = first; c < stop; c += most)
        products((int)at_most(stop - c, most), (int)vectors, gradient, tap, image, next,
                 gradient->x + c, y + f, to + c * gradient->padded + f);
    }
  }
}

int kernel_gradient(Threads *threads, Geometry geometry, const float *x, Shape x_shape,
                    const float *y, Shape y_shape, float *kernel) {
  Tap tap[geometry.side * geometry.side];
  Pass pass = whole_map(geometry, y_shape, tap);
  int64_t area = pass.rows * pass.columns, features = y_shape.channels;
  int64_t padded = ceil_div(features, LANES) * LANES, rows = pass.taps * x_shape.channels;
  int64_t blocks = ceil_div(x_shape.channels, TASK_CHANNELS);
  float *sums = kernel, *last = 0;
  int done = 1;
  if (padded != features) {
    /* The last vector of a pixel reaches into the next one, whose sums nobody reads. */
    sums = malloc(rows * padded * sizeof(float));
    last = calloc(area * features + LANES, sizeof(float));
    done = sums && last;
    if (done)
      memcpy(last, y + (y_shape.batch - 1) * area * features, area * features * sizeof(float));
  }
  int64_t group = area < 256 ? ceil_div(256, area) : 1;
  Gradient gradient = {x, y, last, sums, x_shape, y_shape, &pass, group, padded, blocks};
  done = done && in_parallel(threads, pass.taps * blocks, gradient_task, &gradient);
  if (sums != kernel) {
    for (int64_t row = 0; done && row < rows; row++)
      memcpy(kernel + row * features, sums + row * padded, features * sizeof(float));
    free(last);
    free(sums);
  }
  return done;
}
