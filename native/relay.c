/* What other threads ask of the engine. Nothing here touches a socket that the engine has taken. */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

static int set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  if ((flags & O_NONBLOCK) != 0) return 0;
  return fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : -errno;
}

static int hold(struct direction *direction, const void *bytes, uint32_t count) {
  if (count == 0) return 0;
  direction->held = malloc(count);
  if (direction->held == NULL) return -ENOMEM;
  memcpy(direction->held, bytes, count);
  direction->pending = count;
  return 0;
}

void tunnel_free(struct tunnel *tunnel) {
  free(tunnel->direction[CLIENT].held);
  free(tunnel->direction[ORIGIN].held);
  free(tunnel->dial);
  if (tunnel->door != NULL) free(tunnel->door->reply);
  free(tunnel->door);
  free(tunnel);
}

struct tunnel *tunnel_new(int client_fd, int origin_fd) {
  struct tunnel *tunnel = calloc(1, sizeof *tunnel);
  if (tunnel == NULL) return NULL;
  tunnel->side[CLIENT].fd = client_fd;
  tunnel->side[ORIGIN].fd = origin_fd;
  tunnel->dialled_fd = -1;
  tunnel->first_eof = -1;
  tunnel->address = -1;
  tunnel->started_ms = clock_ms();
  atomic_init(&tunnel->active_ms, tunnel->started_ms);
  return tunnel;
}

/* Gives it to the engine's thread, or frees it. */
static int64_t tunnel_publish(struct relay_engine *engine, struct tunnel *tunnel) {
  pthread_mutex_lock(&engine->lock);
  int64_t id = engine->stopping ? -ESHUTDOWN : table_insert(engine, tunnel);
  bool must = false;
  if (id > 0) {
    queue_push(&engine->added, tunnel);
    must = engine_must_wake(engine);
  }
  pthread_mutex_unlock(&engine->lock);
  if (id < 0) tunnel_free(tunnel);
  if (must) engine_wake(engine);
  return id;
}

int64_t relay_add(struct relay_engine *engine, int client_fd, int origin_fd, const struct relay_tunnel_options *options) {
  int failed = set_nonblocking(client_fd);
  if (failed == 0) failed = set_nonblocking(origin_fd);
  if (failed != 0) return failed;
  struct tunnel *tunnel = tunnel_new(client_fd, origin_fd);
  if (tunnel == NULL) return -ENOMEM;
  tunnel->idle_ms = options->idle_ms;
  tunnel->lifetime_ms = options->lifetime_ms;
  failed = hold(&tunnel->direction[CLIENT], options->to_origin, options->to_origin_bytes);
  if (failed == 0) failed = hold(&tunnel->direction[ORIGIN], options->to_client, options->to_client_bytes);
  if (failed != 0) {
    tunnel_free(tunnel);
    return failed;
  }
  /* Nagle's algorithm against delayed acknowledgements costs 40 ms a small message, and whoever wrote it
   * has already decided that it should go. Not TCP: no matter. */
  int yes = 1;
  (void)setsockopt(client_fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  (void)setsockopt(origin_fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);

  atomic_fetch_add_explicit(&engine->clients, 1, memory_order_relaxed);
  int64_t id = tunnel_publish(engine, tunnel);
  if (id < 0) atomic_fetch_sub_explicit(&engine->clients, 1, memory_order_relaxed);
  return id;
}

int64_t relay_dial(struct relay_engine *engine, const struct relay_dial_options *options) {
  struct tunnel *tunnel = tunnel_new(-1, -1);
  if (tunnel == NULL) return -ENOMEM;
  int failed = dial_new(tunnel, options);
  if (failed != 0) {
    tunnel_free(tunnel);
    return failed;
  }
  return tunnel_publish(engine, tunnel);
}

/* With the lock held. */
static int request_kill(struct relay_engine *engine, uint64_t id, uint32_t reason) {
  if (engine->kill_count == engine->kill_capacity) {
    size_t capacity = engine->kill_capacity == 0 ? 16 : engine->kill_capacity * 2;
    struct kill_request *kills = realloc(engine->kills, capacity * sizeof *kills);
    if (kills == NULL) return -ENOMEM;
    engine->kills = kills;
    engine->kill_capacity = capacity;
  }
  engine->kills[engine->kill_count++] = (struct kill_request){.id = id, .reason = reason};
  return 1;
}

int relay_kill(struct relay_engine *engine, uint64_t id, uint32_t reason) {
  pthread_mutex_lock(&engine->lock);
  int asked = table_find(engine, id) == NULL ? 0 : request_kill(engine, id, reason);
  bool must = asked > 0 && engine_must_wake(engine);
  pthread_mutex_unlock(&engine->lock);
  if (must) engine_wake(engine);
  return asked;
}

int64_t relay_kill_all(struct relay_engine *engine, uint32_t reason) {
  int64_t asked = 0;
  pthread_mutex_lock(&engine->lock);
  for (uint32_t i = 0; i < engine->slot_count && asked >= 0; i++) {
    if (engine->slots[i].tunnel == NULL) continue;
    asked = request_kill(engine, engine->slots[i].tunnel->id, reason) < 0 ? -ENOMEM : asked + 1;
  }
  bool must = engine->kill_count > 0 && engine_must_wake(engine);
  pthread_mutex_unlock(&engine->lock);
  if (must) engine_wake(engine);
  return asked;
}

static uint64_t delivered(const struct tunnel *tunnel, int from) {
  return atomic_load_explicit(&tunnel->direction[from].delivered, memory_order_relaxed);
}

bool relay_tunnel_stats(struct relay_engine *engine, uint64_t id, struct relay_stats *stats) {
  uint64_t now = clock_ms();
  pthread_mutex_lock(&engine->lock);
  const struct tunnel *tunnel = table_find(engine, id);
  if (tunnel != NULL) {
    uint64_t active = atomic_load_explicit(&tunnel->active_ms, memory_order_relaxed);
    *stats = (struct relay_stats){.bytes_up = delivered(tunnel, CLIENT),
                                  .bytes_down = delivered(tunnel, ORIGIN),
                                  .idle_ms = now > active ? now - active : 0};
  }
  pthread_mutex_unlock(&engine->lock);
  return tunnel != NULL;
}

void relay_engine_totals(struct relay_engine *engine, struct relay_totals *totals) {
  pthread_mutex_lock(&engine->lock);
  totals->tunnels_open = engine->open;
  pthread_mutex_unlock(&engine->lock);
  totals->bytes_up = atomic_load_explicit(&engine->bytes[CLIENT], memory_order_relaxed);
  totals->bytes_down = atomic_load_explicit(&engine->bytes[ORIGIN], memory_order_relaxed);
  totals->pipes = atomic_load_explicit(&engine->pipes.count, memory_order_relaxed);
}

size_t relay_drain_completions(struct relay_engine *engine, struct relay_completion *batch, size_t capacity) {
  size_t count = 0;
  pthread_mutex_lock(&engine->lock);
  while (count < capacity && engine->carried.first == NULL) {
    struct tunnel *tunnel = queue_shift(&engine->completed);
    if (tunnel == NULL) break;
    batch[count++] = (struct relay_completion){.id = tunnel->id,
                                               .bytes_up = delivered(tunnel, CLIENT),
                                               .bytes_down = delivered(tunnel, ORIGIN),
                                               .duration_ms = tunnel->started_ms,
                                               .ended_by = tunnel->ended_by,
                                               .error = tunnel->error,
                                               .kill_reason = tunnel->kill_reason,
                                               .address = tunnel->address,
                                               .fd = tunnel->dialled_fd};
    table_remove(engine, tunnel);
    tunnel_free(tunnel);
  }
  if (engine->completed.first == NULL && !door_has_news(engine)) engine->notified = false;
  pthread_mutex_unlock(&engine->lock);
  return count;
}
