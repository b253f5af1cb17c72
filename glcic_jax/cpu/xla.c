/* The convolutions as calls that XLA's programs make: see the "foreign function interface" of JAX. */
#define _DEFAULT_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "convolutions.h"
#include "xla/ffi/api/c_api.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

struct Threads {
  const XLA_FFI_Api *api;
  void *context;
};

/* Tasks that several threads take one after another. Freed by the last that knows of it, which may
   be one that comes when all are done. */
typedef struct {
  atomic_llong next, done, holders;
  int64_t tasks;
  void (*run)(void *data, int64_t task);
  void *data;
} Queue;

static void let_go(Queue *queue) {
  if (atomic_fetch_sub(&queue->holders, 1) == 1) free(queue);
}

static void take_tasks(Queue *queue) {
#if defined(__SSE__) /* Values below 1e-38 are zero, on every thread alike and without delay. */
  unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);
#endif
  int64_t task;
  while ((task = atomic_fetch_add(&queue->next, 1)) < queue->tasks) {
    queue->run(queue->data, task);
    atomic_fetch_add(&queue->done, 1);
  }
#if defined(__SSE__)
  _mm_setcsr(before);
#endif
}

static void help(void *queue) {
  take_tasks(queue);
  let_go(queue);
}

/* Whether a call of XLA's went well. */
static int succeeded(Threads *threads, XLA_FFI_Error *error) {
  if (!error) return 1;
  XLA_FFI_Error_Destroy_Args arguments = {XLA_FFI_Error_Destroy_Args_STRUCT_SIZE, 0, error};
  threads->api->XLA_FFI_Error_Destroy(&arguments);
  return 0;
}

static int64_t count(Threads *threads) {
  int64_t number = 1;
  XLA_FFI_ThreadPool_NumThreads_Args arguments = {
      XLA_FFI_ThreadPool_NumThreads_Args_STRUCT_SIZE, 0, threads->context, &number};
  return succeeded(threads, threads->api->XLA_FFI_ThreadPool_NumThreads(&arguments)) ? number : 1;
}

int in_parallel(Threads *threads, int64_t tasks, void (*run)(void *data, int64_t task),
                void *data) {
  Queue *queue = malloc(sizeof *queue);
  if (!queue) return 0;
  *queue = (Queue){0, 0, 1, tasks, run, data};
  int64_t helpers = count(threads);
  for (int64_t n = 1; n < helpers && n < tasks; n++) {
    XLA_FFI_ThreadPool_Schedule_Args arguments = {
        XLA_FFI_ThreadPool_Schedule_Args_STRUCT_SIZE, 0, threads->context, help, queue};
    atomic_fetch_add(&queue->holders, 1);
    if (!succeeded(threads, threads->api->XLA_FFI_ThreadPool_Schedule(&arguments))) {
      let_go(queue);
      break;
    }
  }
  /* This thread does what the others have not begun, so it never waits for one that can't start. */
  take_tasks(queue);
  while (atomic_load(&queue->done) < tasks) sched_yield();
  let_go(queue);
  return 1;
}

/* XLA asks every function for its version of the interface before it calls it in earnest. (What all
   extensions begin with has had two names, so it is called by none.) */
static int asks_for_version(XLA_FFI_CallFrame *frame) {
  XLA_FFI_Metadata_Extension *next = (void *)frame->extension_start;
  for (; next; next = (void *)next->extension_base.next)
    if (next->extension_base.type == XLA_FFI_Extension_Metadata) {
      XLA_FFI_Metadata *answer = next->metadata;
      answer->api_version.major_version = XLA_FFI_API_MAJOR;
      answer->api_version.minor_version = XLA_FFI_API_MINOR;
      answer->traits = 0;
      return 1;
    }
  return 0;
}

/* XLA gets the memory of a program's arrays anew for every call, as one block, and the system clears
   it page by page when it is first written: 33,000 times in a training step at 32 px. Pages of 2 MB
   are quicker, so they are asked for, for the whole block that a large result lies in. */
static void want_large_pages(const XLA_FFI_Buffer *result) {
#if defined(MADV_HUGEPAGE)
  enum { LARGE = 2 << 20, BLOCKS = 8, LINE = 512 };
  static _Thread_local struct { uintptr_t start, stop; } block[BLOCKS];
  static _Thread_local int newest;
  uintptr_t data = (uintptr_t)result->data, size = sizeof(float);
  for (int64_t n = 0; n < result->rank; n++) size *= result->dims[n];
  if (size < LARGE) return;
  int known = 0;
  while (known < BLOCKS && (data < block[known].start || data >= block[known].stop)) known++;
  if (known == BLOCKS) {
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps) return;
    char line[LINE];
    unsigned long start, stop;
    known = newest = (newest + 1) % BLOCKS;
    block[known].start = data, block[known].stop = data + size;
    while (fgets(line, sizeof line, maps))
      if (sscanf(line, "%lx-%lx", &start, &stop) == 2 && start <= data && data < stop) {
        block[known].start = start, block[known].stop = stop;
        break;
      }
    fclose(maps);
  }
  /* The block may be another one by now at the same place: then this asks for that, and if there is
     none any more, for nothing. */
  uintptr_t start = block[known].start / LARGE * LARGE;
  madvise((void *)start, block[known].stop - start, MADV_HUGEPAGE);
#endif
}

static XLA_FFI_Error *out_of_memory(XLA_FFI_CallFrame *frame) {
  XLA_FFI_Error_Create_Args arguments = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, 0,
                                         "not enough memory for a convolution",
                                         XLA_FFI_Error_Code_RESOURCE_EXHAUSTED};
  return frame->api->XLA_FFI_Error_Create(&arguments);
}

static Shape shape(const XLA_FFI_Buffer *map) {
  return (Shape){map->dims[0], map->dims[1], map->dims[2], map->dims[3]};
}

/* The attribute `geometry`: stride, dilation, pad. */
static Geometry geometry(XLA_FFI_CallFrame *frame, const XLA_FFI_Buffer *kernel) {
  const int64_t *values = ((XLA_FFI_Array *)frame->attrs.attrs[0])->data;
  return (Geometry){values[0], values[1], values[2], kernel->dims[0]};
}

#define FUNCTION(name, call)                                                             \
  __attribute__((visibility("default"))) XLA_FFI_Error *name(XLA_FFI_CallFrame *frame) { \
    if (asks_for_version(frame)) return 0;                                               \
    const XLA_FFI_Buffer *first = frame->args.args[0];                                   \
    const XLA_FFI_Buffer *second = frame->args.args[1];                                  \
    const XLA_FFI_Buffer *result = frame->rets.rets[0];                                  \
    Threads threads = {frame->api, frame->ctx};                                          \
    want_large_pages(result);                                                            \
    return call ? 0 : out_of_memory(frame);                                              \
  }

FUNCTION(glcic_jax_convolve, convolve(&threads, geometry(frame, second), first->data, shape(first),
                                      second->data, result->data, shape(result)))
FUNCTION(glcic_jax_convolve_transposed,
         convolve_transposed(&threads, geometry(frame, second), first->data, shape(first),
                             second->data, result->data, shape(result)))
FUNCTION(glcic_jax_kernel_gradient,
         kernel_gradient(&threads, geometry(frame, result), first->data, shape(first),
                         second->data, shape(second), result->data))
