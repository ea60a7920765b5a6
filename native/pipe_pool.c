/*
 * Pipes for splice. A direction has one only while bytes are in it, so the pool needs as many
 * as there are directions blocked in bulk, and an idle tunnel has none.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Slots times 4 KiB. The default of 16 slots holds as little as 16 network fragments (about
 * 23 KB at an MTU of 1,500); 64 slots hold a socket's worth. An unprivileged user has 64 MiB
 * of these (/proc/sys/fs/pipe-user-pages-soft): 256 pipes. Past it the kernel says EPERM and
 * the pipe stays as it is, which is slower but right.
 */
#define PIPE_BYTES (256 * 1024)
/* Kept for reuse; more than this are in use at once only while that many peers are blocked. */
#define IDLE_PIPES_KEPT 32

void pipe_pool_init(struct pipe_pool *pool, uint32_t max) {
  pool->idle = NULL;
  pool->idle_count = 0;
  pool->max = max;
  atomic_init(&pool->count, 0);
}

static void pipe_close(struct pipe_pool *pool, struct pipe_pair *pipe) {
  close(pipe->read_fd);
  close(pipe->write_fd);
  free(pipe);
  atomic_fetch_sub_explicit(&pool->count, 1, memory_order_relaxed);
}

struct pipe_pair *pipe_acquire(struct pipe_pool *pool) {
  struct pipe_pair *pipe = pool->idle;
  if (pipe != NULL) {
    pool->idle = pipe->next;
    pool->idle_count--;
    return pipe;
  }
  if (atomic_load_explicit(&pool->count, memory_order_relaxed) >= pool->max) return NULL;
  pipe = malloc(sizeof *pipe);
  if (pipe == NULL) return NULL;
  int fds[2];
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) { /* EMFILE, ENFILE: the caller goes on with recv and send */
    free(pipe);
    return NULL;
  }
  pipe->read_fd = fds[0];
  pipe->write_fd = fds[1];
  pipe->next = NULL;
  (void)fcntl(pipe->write_fd, F_SETPIPE_SZ, PIPE_BYTES);
  atomic_fetch_add_explicit(&pool->count, 1, memory_order_relaxed);
  return pipe;
}

void pipe_release(struct pipe_pool *pool, struct pipe_pair *pipe, bool empty) {
  if (!empty || pool->idle_count >= IDLE_PIPES_KEPT) {
    pipe_close(pool, pipe);
    return;
  }
  pipe->next = pool->idle;
  pool->idle = pipe;
  pool->idle_count++;
}

void pipe_pool_destroy(struct pipe_pool *pool) {
  while (pool->idle != NULL) {
    struct pipe_pair *pipe = pool->idle;
    pool->idle = pipe->next;
    pipe_close(pool, pipe);
  }
  pool->idle_count = 0;
}
