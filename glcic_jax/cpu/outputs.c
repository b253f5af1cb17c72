/* A convolution and its transpose: the sums of a tile of pixels stay in registers while all taps and
   channels are added up. */
#include <stdlib.h>
#include <string.h>

#include "passes.h"

/* A segment is a stretch of channels that every pixel of a tile reads: those of one tap, or of
   several that lie side by side in memory. */
typedef struct {
  const float *x[PIXELS];
  const float *kernel;
  int64_t length;
} Segment;

typedef struct {
  const float *x;
  float *y;
  const float *kernel; /* packed, see `pack_task` */
  const float *zeros;  /* as many as x has channels: what lies beyond the border */
  Shape x_shape, y_shape;
  const Pass *pass;
  int64_t task_pixels;
  int thin; /* see `add_thin` */
} Outputs;

/* The pixels of a tile: where they are in x (before any tap) and in y. A tile that is not full ends
   with copies of its last pixel. */
typedef struct {
  int64_t row[PIXELS], column[PIXELS];
  const float *image[PIXELS];
  float *y[PIXELS];
  int is_inner; /* every tap of every pixel lies on the map */
} Tile;

static void locate(const Outputs *outputs, int64_t pixel, int64_t count, Tile *tile) {
  const Pass *pass = outputs->pass;
  const Shape *from = &outputs->x_shape, *to = &outputs->y_shape;
  int64_t j = pixel % pass->columns, i = pixel / pass->columns % pass->rows;
  int64_t b = pixel / pass->columns / pass->rows;
  tile->is_inner = 1;
  for (int n = 0; n < PIXELS; n++) {
    int64_t row = pass->first_row + i * pass->step, column = pass->first_column + j * pass->step;
    tile->row[n] = i * pass->stride;
    tile->column[n] = j * pass->stride;
    tile->is_inner &= tile->row[n] + pass->least.down >= 0 &&
                      tile->row[n] + pass->most.down < from->height &&
                      tile->column[n] + pass->least.right >= 0 &&
                      tile->column[n] + pass->most.right < from->width;
    tile->image[n] = outputs->x + b * from->height * from->width * from->channels;
    tile->y[n] = outputs->y + ((b * to->height + row) * to->width + column) * to->channels;
    if (n + 1 < count && ++j == pass->columns) {
      j = 0;
      if (++i == pass->rows) i = 0, b++;
    }
  }
}

/* The segments of a tile where every tap lies on the map: taps that lie side by side on a row of x
   are one. */
static int64_t inner_segments(const Outputs *outputs, const Tile *tile, const float *kernel,
                              int64_t per_tap, Segment *segments) {
  const Pass *pass = outputs->pass;
  int64_t width = outputs->x_shape.width, channels = outputs->x_shape.channels, count = 0;
  const float *origin[PIXELS];
  for (int n = 0; n < PIXELS; n++)
    origin[n] = tile->image[n] + (tile->row[n] * width + tile->column[n]) * channels;
  for (int64_t t = 0; t < pass->taps; t++, kernel += per_tap) {
    const Tap *tap = pass->tap + t;
    if (t && tap->down == tap[-1].down && tap->right == tap[-1].right + 1) {
      segments[count - 1].length += channels;
      continue;
    }
    for (int n = 0; n < PIXELS; n++)
      segments[count].x[n] = origin[n] + (tap->down * width + tap->right) * channels;
    segments[count].kernel = kernel;
    segments[count++].length = channels;
  }
  return count;
}

/* The segments of any tile; a tap that reads nothing but what lies beyond the border has none. */
static int64_t border_segments(const Outputs *outputs, const Tile *tile, const float *kernel,
                               int64_t per_tap, Segment *segments) {
  const Pass *pass = outputs->pass;
  int64_t height = outputs->x_shape.height, width = outputs->x_shape.width;
  int64_t channels = outputs->x_shape.channels, count = 0;
  for (int64_t t = 0; t < pass->taps; t++, kernel += per_tap) {
    int reads = 0;
    for (int n = 0; n < PIXELS; n++) {
      int64_t row = tile->row[n] + pass->tap[t].down, column = tile->column[n] + pass->tap[t].right;
      int inside = (uint64_t)row < (uint64_t)height && (uint64_t)column < (uint64_t)width;
      segments[count].x[n] =
          inside ? tile->image[n] + (row * width + column) * channels : outputs->zeros;
      reads |= inside;
    }
    segments[count].kernel = kernel;
    segments[count].length = channels;
    count += reads;
  }
  return count;
}

/* Sums of PIXELS pixels by `vectors` vectors of features. */
INLINE void add_tile(int vectors, const Segment *segment, int64_t count, Vector (*sum)[WIDEST]) {
  Vector kept[PIXELS][WIDEST]; /* in registers, which what `sum` points to might not be */
  for (int n = 0; n < PIXELS; n++)
    for (int v = 0; v < vectors; v++) kept[n][v] = (Vector){0};
  for (; count--; segment++) {
    const float *kernel = segment->kernel, *x0 = segment->x[0], *x1 = segment->x[1];
    const float *x2 = segment->x[2], *x3 = segment->x[3], *x4 = segment->x[4], *x5 = segment->x[5];
    for (int64_t c = 0; c < segment->length; c++, kernel += vectors * LANES) {
      Vector factor[WIDEST];
      for (int v = 0; v < vectors; v++) factor[v] = *(const Vector *)(kernel + v * LANES);
      for (int v = 0; v < vectors; v++) kept[0][v] += x0[c] * factor[v];
      for (int v = 0; v < vectors; v++) kept[1][v] += x1[c] * factor[v];
      for (int v = 0; v < vectors; v++) kept[2][v] += x2[c] * factor[v];
      for (int v = 0; v < vectors; v++) kept[3][v] += x3[c] * factor[v];
      for (int v = 0; v < vectors; v++) kept[4][v] += x4[c] * factor[v];
      for (int v = 0; v < vectors; v++) kept[5][v] += x5[c] * factor[v];
    }
  }
  for (int n = 0; n < PIXELS; n++)
    for (int v = 0; v < vectors; v++) sum[n][v] = kept[n][v];
}

/* The same for so few features that most lanes of a vector would add zeros: here the lanes are
   channels, and `sum[n]` holds the features of pixel n. */
enum { THIN = 4 };
INLINE void add_thin(int features, const Segment *segment, int64_t count, float (*sum)[THIN]) {
  Vector kept[PIXELS][THIN];
  for (int n = 0; n < PIXELS; n++)
    for (int f = 0; f < features; f++) kept[n][f] = (Vector){0};
  for (; count--; segment++) {
    const float *kernel = segment->kernel;
    for (int64_t c = 0; c < segment->length; c += LANES, kernel += features * LANES)
      for (int n = 0; n < PIXELS; n++) {
        Vector x = *(const Vector *)(segment->x[n] + c);
        for (int f = 0; f < features; f++) kept[n][f] += x * *(const Vector *)(kernel + f * LANES);
      }
  }
  for (int n = 0; n < PIXELS; n++)
    for (int f = 0; f < features; f++) {
      float halves[LANES];
      memcpy(halves, &kept[n][f], sizeof halves);
      for (int half = LANES / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++) halves[lane] += halves[lane + half];
      sum[n][f] = halves[0];
    }
}

static void thin_tile(int64_t features, const Segment *segment, int64_t count, float (*sum)[THIN]) {
  switch (features) {
    case 1: add_thin(1, segment, count, sum); break;
    case 2: add_thin(2, segment, count, sum); break;
    case 3: add_thin(3, segment, count, sum); break;
    default: add_thin(4, segment, count, sum);
  }
}

static void wide_tile(int vectors, const Segment *segment, int64_t count, Vector (*sum)[WIDEST]) {
  switch (vectors) {
    case 1: add_tile(1, segment, count, sum); break;
    case 2: add_tile(2, segment, count, sum); break;
#if WIDEST == 4
    case 3: add_tile(3, segment, count, sum); break;
    case 4: add_tile(4, segment, count, sum); break;
#endif
  }
}

static void outputs_task(void *data, int64_t task) {
  const Outputs *outputs = data;
  const Pass *pass = outputs->pass;
  int64_t channels = outputs->x_shape.channels, features = outputs->y_shape.channels;
  int64_t first = task * outputs->task_pixels;
  int64_t stop =
      at_most(first + outputs->task_pixels, outputs->y_shape.batch * pass->rows * pass->columns);
  const float *kernel = outputs->kernel;
  Segment segments[pass->taps + 1];
  Tile tile;
  Vector sum[PIXELS][WIDEST];
  float thin[PIXELS][THIN];
  for (int64_t f = 0, block; f < features; f += block) {
    int vectors = block_vectors(features - f);
    int64_t per_tap = channels * (outputs->thin ? features : vectors * LANES);
    block = at_most(vectors * LANES, features - f);
    for (int64_t pixel = first; pixel < stop; pixel += PIXELS) {
      int64_t count = at_most(stop - pixel, PIXELS);
      locate(outputs, pixel, count, &tile);
      int64_t found = (tile.is_inner ? inner_segments : border_segments)(outputs, &tile, kernel,
                                                                         per_tap, segments);
      if (outputs->thin)
        thin_tile(features, segments, found, thin);
      else
        wide_tile(vectors, segments, found, sum);
      for (int64_t n = 0; n < count; n++)
        memcpy(tile.y[n] + f, outputs->thin ? thin[n] : (float *)sum[n], block * sizeof(float));
    }
    kernel += pass->taps * per_tap;
  }
}

typedef struct {
  const float *kernel;
  float *packed;
  const Pass *pass;
  int64_t channels, features;
  int thin, transposed;
} Packing;

/* One tap of the kernel in the order in which it is read: block of features, tap, channel, feature;
   for thin outputs tap, LANES channels, feature, channel. */
static void pack_task(void *data, int64_t t) {
  const Packing *packing = data;
  int64_t channels = packing->channels, features = packing->features;
  int64_t across = packing->transposed ? 1 : features, along = packing->transposed ? channels : 1;
  const float *from = packing->kernel + packing->pass->tap[t].number * channels * features;
  if (packing->thin) {
    float *to = packing->packed + t * channels * features;
    for (int64_t c = 0; c < channels; c++)
      for (int64_t f = 0; f < features; f++)
        to[(c / LANES * features + f) * LANES + c % LANES] = from[c * across + f * along];
    return;
  }
  for (int64_t f = 0, block; f < features; f += block) {
    block = block_vectors(features - f) * LANES;
    int64_t known = at_most(block, features - f);
    float *to = packing->packed + (packing->pass->taps * f + t * block) * channels;
    for (int64_t c = 0; c < channels; c++, to += block) {
      const float *row = from + c * across + f * along;
      if (along == 1)
        memcpy(to, row, known * sizeof(float));
      else
        for (int64_t n = 0; n < known; n++) to[n] = row[n * along];
      for (int64_t n = known; n < block; n++) to[n] = 0;
    }
  }
}

static int run_pass(Threads *threads, const Pass *pass, const float *x, Shape x_shape,
                    const float *kernel, int transposed, float *y, Shape y_shape) {
  int64_t channels = x_shape.channels, features = y_shape.channels;
  int64_t pixels = y_shape.batch * pass->rows * pass->columns;
  if (!pixels) return 1;
  int thin = features <= THIN && channels % LANES == 0;
  int64_t padded = thin ? features : ceil_div(features, LANES) * LANES;
  float *packed = malloc((pass->taps * channels * padded + 1) * sizeof(float));
  float *zeros = calloc(channels, sizeof(float));
  Packing packing = {kernel, packed, pass, channels, features, thin, transposed};
  /* What a task reads should stay in a core's own cache while it goes through the features. */
  int64_t task_pixels = 48 * 1024 / (channels * pass->stride * pass->stride) / PIXELS * PIXELS;
  task_pixels = at_most(task_pixels, ceil_div(pixels, 32 * PIXELS) * PIXELS);
  task_pixels = task_pixels < 8 * PIXELS ? 8 * PIXELS : task_pixels;
  Outputs outputs = {x, y, packed, zeros, x_shape, y_shape, pass, task_pixels, thin};
  int done = packed && zeros && in_parallel(threads, pass->taps, pack_task, &packing) &&
             in_parallel(threads, ceil_div(pixels, task_pixels), outputs_task, &outputs);
  free(zeros);
  free(packed);
  return done;
}

int convolve(Threads *threads, Geometry geometry, const float *x, Shape x_shape,
             const float *kernel, float *y, Shape y_shape) {
  Tap tap[geometry.side * geometry.side];
  Pass pass = whole_map(geometry, y_shape, tap);
  return run_pass(threads, &pass, x, x_shape, kernel, 0, y, y_shape);
}

int convolve_transposed(Threads *threads, Geometry geometry, const float *y, Shape y_shape,
                        const float *kernel, float *x, Shape x_shape) {
  int64_t stride = geometry.stride, side = geometry.side;
  Tap tap[side * side];
  for (int64_t a = 0; a < stride; a++)
    for (int64_t b = 0; b < stride; b++) {
      Pass pass = {ceil_div(x_shape.height - a, stride), ceil_div(x_shape.width - b, stride),
                   stride, a, b, 1, .tap = tap};
      /* Backwards, so that taps which lie side by side in y follow each other. */
      for (int64_t u = side; u--;)
        for (int64_t v = side; v--;) {
          int64_t down = a + geometry.pad - u * geometry.dilation;
          int64_t right = b + geometry.pad - v * geometry.dilation;
          if (down % stride == 0 && right % stride == 0)
            add_tap(&pass,
                    (Tap){floor_div(down, stride), floor_div(right, stride), u * side + v});
        }
      if (!run_pass(threads, &pass, y, y_shape, kernel, 1, x, x_shape)) return 0;
    }
  return 1;
}
