/* Convolutions on a CPU: float32, zeros beyond the border. Maps are NHWC, kernels HWIO.

   Every value of a result is one chain of fused additions in an order that depends on the geometry
   alone. So it does not depend on the number of threads, the rest of the batch, or what else of the
   map is computed. */
#ifndef GLCIC_JAX_CONVOLUTIONS_H
#define GLCIC_JAX_CONVOLUTIONS_H

#include <stdint.h>

typedef struct {
  int64_t batch, height, width, channels;
} Shape;

typedef struct {
  int64_t stride, dilation, pad; /* pad: zeros before the first row and column */
  int64_t side;                  /* of the square kernel */
} Geometry;

/* Whatever runs tasks side by side: calls run(data, 0), ..., run(data, tasks - 1), each once, in
   any order and on any threads, and returns when all have returned. Null where out of memory. */
typedef struct Threads Threads;
int in_parallel(Threads *threads, int64_t tasks, void (*run)(void *data, int64_t task), void *data);

/* y[b, i, j, f] = sum of x[b, i*stride + u*dilation - pad, j*stride + v*dilation - pad, c]
   * kernel[u, v, c, f]. All three return 0 where there is not enough memory, else 1. */
int convolve(Threads *threads, Geometry geometry, const float *x, Shape x_shape,
             const float *kernel, float *y, Shape y_shape);

/* The transposed map, which is also the gradient of `convolve` by its input: every y[b, i, j, f]
   adds to each x that it is a sum of. */
int convolve_transposed(Threads *threads, Geometry geometry, const float *y, Shape y_shape,
                        const float *kernel, float *x, Shape x_shape);

/* The gradient of `convolve` by its kernel: kernel[u, v, c, f] is the sum over all b, i and j of
   the x that it is multiplied with there times y[b, i, j, f]. */
int kernel_gradient(Threads *threads, Geometry geometry, const float *x, Shape x_shape,
                    const float *y, Shape y_shape, float *kernel);

#endif
