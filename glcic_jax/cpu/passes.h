/* What both kinds of convolution share: how wide vectors are, which outputs belong together, and which
   taps they read. Both are direct: a few sums times a few vectors of features stay in registers while
   products are added up (after Georganas et al., "Anatomy of high-performance deep learning
   convolutions on SIMD architectures", SC 2018, arXiv:1808.05567). */
#ifndef GLCIC_JAX_PASSES_H
#define GLCIC_JAX_PASSES_H

#include "convolutions.h"

/* A tile of PIXELS x WIDEST vectors of sums, one row of factors and one broadcast value fill the
   registers: 32 of them with AVX-512 and on ARM, else 16. */
#if defined(__AVX512F__)
#define LANES 16
#define WIDEST 4
#elif defined(__AVX__)
#define LANES 8
#define WIDEST 2
#elif defined(__aarch64__)
#define LANES 4
#define WIDEST 4
#else
#define LANES 4
#define WIDEST 2
#endif
#define PIXELS 6

typedef float Vector __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* A tap adds x[i*stride + down, j*stride + right] * kernel[number] to the output (i, j). */
typedef struct {
  int64_t down, right, number;
} Tap;

/* Which outputs of a map are computed together, and from which taps. Of a transposed convolution of
   stride 2 the outputs of equal parity read the same taps, so it takes four passes. */
typedef struct {
  int64_t rows, columns;                 /* the grid of outputs ... */
  int64_t step, first_row, first_column; /* ... and where its points lie on the map */
  int64_t stride;
  int64_t taps;
  Tap *tap;
  Tap least, most; /* over all taps; their numbers mean nothing */
} Pass;

static inline int64_t at_most(int64_t value, int64_t limit) { return value < limit ? value : limit; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -ceil_div(-a, b); }

/* Vectors of the next block of features, where `rest` are left. */
static inline int block_vectors(int64_t rest) { return (int)at_most(ceil_div(rest, LANES), WIDEST); }

static inline void add_tap(Pass *pass, Tap tap) {
  if (!pass->taps) pass->least = pass->most = tap;
  if (tap.down < pass->least.down) pass->least.down = tap.down;
  if (tap.down > pass->most.down) pass->most.down = tap.down;
  if (tap.right < pass->least.right) pass->least.right = tap.right;
  if (tap.right > pass->most.right) pass->most.right = tap.right;
  pass->tap[pass->taps++] = tap;
}

/* All outputs of `convolve`, each of which reads all taps; `tap` has room for them. */
static inline Pass whole_map(Geometry geometry, Shape y_shape, Tap *tap) {
  Pass pass = {y_shape.height, y_shape.width, 1, 0, 0, geometry.stride, .tap = tap};
  for (int64_t u = 0; u < geometry.side; u++)
    for (int64_t v = 0; v < geometry.side; v++)
      add_tap(&pass, (Tap){u * geometry.dilation - geometry.pad,
                           v * geometry.dilation - geometry.pad, u * geometry.side + v});
  return pass;
}

#endif
