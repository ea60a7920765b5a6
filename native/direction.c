/*
 * One direction of a tunnel: read from one side, write to the other, pass the end on.
 *
 * Nothing is read unless the other side is believed writable and nothing is pending, so what
 * is held per direction is bounded by one read, and backpressure reaches the sender through
 * its own TCP window. Small reads go through the engine's one buffer; a direction that fills
 * it goes bulk and is spliced through a pipe until a splice moves little again.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum step { STEP_MOVED, STEP_BLOCKED, STEP_FAILED };

static bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

/* The only writer is the engine's thread: a load and a store, no locked instruction. */
static void add_relaxed(_Atomic uint64_t *counter, uint64_t amount) {
  uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
  atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

static void count_delivered(struct relay_engine *engine, struct tunnel *tunnel, int from, uint32_t bytes) {
  struct direction *direction = &tunnel->direction[from];
  atomic_store_explicit(&tunnel->active_ms, engine->now_ms, memory_order_relaxed);
  add_relaxed(&direction->delivered, bytes);
  add_relaxed(&engine->bytes[from], bytes);
}

static enum step write_failed(struct side *to, int error) {
  if (would_block(error)) {
    to->writable = false;
    return STEP_BLOCKED;
  }
  to->error = error;
  /* Whatever it sent before it failed is still in our receive queue. */
  to->readable = true;
  to->short_reads_lie = true;
  return STEP_FAILED;
}

static void release_held(struct direction *direction) {
  free(direction->held);
  direction->held = NULL;
  direction->offset = 0;
}

void direction_discard(struct relay_engine *engine, struct direction *direction) {
  if (direction->pipe != NULL) pipe_release(&engine->pipes, direction->pipe, direction->pending == 0);
  direction->pipe = NULL;
  release_held(direction);
  direction->pending = 0;
}

static enum step flush_pending(struct relay_engine *engine, struct tunnel *tunnel, int from) {
  struct direction *direction = &tunnel->direction[from];
  struct side *to = &tunnel->side[1 - from];
  while (direction->pending > 0) {
    ssize_t sent;
    if (direction->pipe != NULL)
      /* No SPLICE_F_MORE: it corks, and a stream that pauses would wait 200 ms for its tail. */
      sent = splice(direction->pipe->read_fd, NULL, to->fd, NULL, direction->pending, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    else
      sent = send(to->fd, direction->held + direction->offset, direction->pending, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return write_failed(to, errno);
    }
    if (sent == 0) return write_failed(to, EPIPE);
    direction->pending -= (uint32_t)sent;
    direction->offset += direction->pipe == NULL ? (uint32_t)sent : 0;
    count_delivered(engine, tunnel, from, (uint32_t)sent);
  }
  if (direction->pipe == NULL) release_held(direction);
  return STEP_MOVED;
}

static enum step read_failed(struct direction *direction, struct side *side, int error) {
  side->readable = false;
  if (would_block(error)) return STEP_BLOCKED;
  side->error = error;
  direction->done = true;
  return STEP_FAILED;
}

/* Through the engine's buffer straight to the other side; only what it does not take is kept. */
static enum step read_small(struct relay_engine *engine, struct tunnel *tunnel, int from, uint32_t *moved) {
  struct direction *direction = &tunnel->direction[from];
  struct side *side = &tunnel->side[from];
  struct side *to = &tunnel->side[1 - from];
  size_t capacity = direction->bulk ? SCRATCH_BYTES : SMALL_READ_BYTES;
  ssize_t got;
  do {
    got = recv(side->fd, engine->scratch, capacity, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return read_failed(direction, side, errno);
  if (got == 0) {
    side->readable = false;
    direction->eof = true;
    if (tunnel->first_eof < 0) tunnel->first_eof = (int8_t)from;
    return STEP_MOVED;
  }
  *moved = (uint32_t)got;
  direction->bulk = (size_t)got == capacity;
  /* epoll(7), edge triggered: a short read from a stream means that it was emptied. */
  if ((size_t)got < capacity && !side->short_reads_lie) side->readable = false;

  uint32_t sent = 0;
  while (sent < (uint32_t)got) {
    ssize_t n = send(to->fd, engine->scratch + sent, (size_t)got - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      enum step step = write_failed(to, errno);
      if (step == STEP_FAILED) return step;
      break;
    }
    sent += (uint32_t)n;
    count_delivered(engine, tunnel, from, (uint32_t)n);
  }
  uint32_t rest = (uint32_t)got - sent;
  if (rest == 0) return STEP_MOVED;
  direction->held = malloc(rest);
  if (direction->held == NULL) {
    tunnel_end(engine, tunnel, RELAY_ENDED_ERROR, ENOMEM, true);
    return STEP_FAILED;
  }
  memcpy(direction->held, engine->scratch + sent, rest);
  direction->pending = rest;
  return STEP_MOVED;
}

/* Fills the pipe; false: there is no pipe to be had, or this socket cannot be spliced. */
static bool read_bulk(struct relay_engine *engine, struct tunnel *tunnel, int from, uint32_t *moved, enum step *step) {
  struct direction *direction = &tunnel->direction[from];
  struct side *side = &tunnel->side[from];
  if (direction->no_splice) return false;
  if (direction->pipe == NULL) direction->pipe = pipe_acquire(&engine->pipes);
  if (direction->pipe == NULL) return false;
  ssize_t got;
  do {
    got = splice(side->fd, NULL, direction->pipe->write_fd, NULL, BYTES_PER_TURN, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EINVAL) {
    direction->no_splice = true;
    return false;
  }
  if (got < 0) {
    *step = read_failed(direction, side, errno); /* the pipe is empty, so EAGAIN speaks of the socket */
    return true;
  }
  if (got == 0) {
    /* The end, or (older kernels) urgent data in front: recv knows which. */
    direction->bulk = false;
    return false;
  }
  direction->pending = (uint32_t)got;
  direction->bulk = (uint32_t)got >= QUIET_BYTES;
  *moved = (uint32_t)got;
  *step = STEP_MOVED;
  return true;
}

static enum step read_more(struct relay_engine *engine, struct tunnel *tunnel, int from, uint32_t *moved) {
  struct direction *direction = &tunnel->direction[from];
  enum step step = STEP_BLOCKED;
  if (direction->bulk && read_bulk(engine, tunnel, from, moved, &step)) return step;
  if (direction->pipe != NULL) { /* `held` takes over, and pending bytes are in one of the two */
    pipe_release(&engine->pipes, direction->pipe, true);
    direction->pipe = NULL;
  }
  return read_small(engine, tunnel, from, moved);
}

static void pass_end_on(struct tunnel *tunnel, int from) {
  /* After a failure the other side gets a reset instead (tunnel_service): an end would say
   * that everything arrived. */
  if (tunnel->side[from].error == 0) (void)shutdown(tunnel->side[1 - from].fd, SHUT_WR);
  tunnel->direction[from].done = true;
}

enum pump_result direction_pump(struct relay_engine *engine, struct tunnel *tunnel, int from) {
  struct direction *direction = &tunnel->direction[from];
  struct side *side = &tunnel->side[from];
  struct side *to = &tunnel->side[1 - from];
  enum pump_result result = PUMP_WAIT;
  uint32_t turn = 0;
  while (!direction->done) {
    if (to->error != 0) {
      direction->done = true;
    } else if (direction->pending > 0) {
      if (!to->writable || flush_pending(engine, tunnel, from) == STEP_BLOCKED) break;
    } else if (direction->eof) {
      pass_end_on(tunnel, from);
    } else {
      if (!side->readable || !to->writable) break;
      if (turn >= BYTES_PER_TURN) {
        result = PUMP_AGAIN;
        break;
      }
      uint32_t moved = 0;
      (void)read_more(engine, tunnel, from, &moved);
      if (tunnel->state == TUNNEL_ENDED) return PUMP_ENDED;
      turn += moved;
    }
  }
  if (direction->done) {
    direction_discard(engine, direction);
  } else if (direction->pipe != NULL && direction->pending == 0) {
    pipe_release(&engine->pipes, direction->pipe, true);
    direction->pipe = NULL;
  }
  return result;
}
