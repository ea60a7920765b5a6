/*
 * A tunnel from its first event to its completion.
 *
 * Both sockets are registered once, edge triggered, for everything, and never modified: a
 * message costs epoll_wait, recv and send, and no epoll_ctl. Level triggering would need an
 * epoll_ctl at every stop and start of reading (backpressure), and would spin on the
 * EPOLLRDHUP or EPOLLHUP of a half-closed side while the other is idle. The price is that
 * readiness must be remembered (`readable`, `writable`) until a call says EAGAIN, and that a
 * tunnel whose turn is over must be queued by us.
 *
 * A tunnel that ends because neither peer wanted it to (killed, a deadline, our own trouble)
 * or because one side failed resets what is left: a plain end would make a cut answer look
 * like a whole one.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A tunnel is given keep-alive probes only when it has lived for so long: most end before, and four system calls each count. */
#define UNPROBED_MS 30000u

static uint64_t deadline_of(const struct tunnel *tunnel) {
  if (tunnel->state == TUNNEL_DIALLING) return dial_deadline(tunnel);
  if (tunnel->door != NULL) return tunnel->door->until_ms;
  uint64_t deadline = tunnel->through_door && !tunnel->probed ? tunnel->started_ms + UNPROBED_MS : UINT64_MAX;
  if (tunnel->idle_ms != 0 &&
      atomic_load_explicit(&tunnel->active_ms, memory_order_relaxed) + tunnel->idle_ms < deadline)
    deadline = atomic_load_explicit(&tunnel->active_ms, memory_order_relaxed) + tunnel->idle_ms;
  if (tunnel->lifetime_ms != 0 && tunnel->started_ms + tunnel->lifetime_ms < deadline)
    deadline = tunnel->started_ms + tunnel->lifetime_ms;
  return deadline;
}

static int watch(struct relay_engine *engine, struct tunnel *tunnel, int side, int operation) {
  /* The low bits are the tag (engine.h); the allocator aligns tunnels to sixteen. */
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                              .data.u64 = (uint64_t)(uintptr_t)tunnel | (uint64_t)side};
  return epoll_ctl(engine->epoll_fd, operation, tunnel->side[side].fd, &event) == 0 ? 0 : errno;
}

int tunnel_watch(struct relay_engine *engine, struct tunnel *tunnel, int side) {
  return watch(engine, tunnel, side, EPOLL_CTL_ADD);
}

int tunnel_watch_dialled(struct relay_engine *engine, struct tunnel *tunnel) {
  int failed = watch(engine, tunnel, ORIGIN, EPOLL_CTL_MOD);
  /* One that was connected at once was never waited for. */
  return failed == ENOENT ? watch(engine, tunnel, ORIGIN, EPOLL_CTL_ADD) : failed;
}

void tunnel_start(struct relay_engine *engine, struct tunnel *tunnel) {
  tunnel->started_ms = engine->now_ms;
  if (tunnel->dial != NULL) {
    tunnel->state = TUNNEL_DIALLING;
    dial_start(engine, tunnel);
    if (tunnel->state != TUNNEL_ENDED) wheel_schedule(&engine->wheel, tunnel, deadline_of(tunnel));
    return;
  }
  tunnel_relay(engine, tunnel);
}

void tunnel_relay(struct relay_engine *engine, struct tunnel *tunnel) {
  tunnel->state = TUNNEL_RELAYING;
  atomic_store_explicit(&tunnel->active_ms, engine->now_ms, memory_order_relaxed);
  for (int side = 0; side < 2; side++) {
    /* A connected socket nearly always takes bytes; where it does not, send says so. */
    tunnel->side[side].writable = true;
    if (tunnel->through_door) continue; /* watched since the door */
    int failed = tunnel_watch(engine, tunnel, side);
    if (failed != 0) {
      tunnel_end(engine, tunnel, RELAY_ENDED_ERROR, failed, true);
      return;
    }
  }
  uint64_t deadline = deadline_of(tunnel);
  if (deadline != UINT64_MAX) wheel_schedule(&engine->wheel, tunnel, deadline);
  bool readable = tunnel->side[CLIENT].readable || tunnel->side[ORIGIN].readable;
  if (tunnel->direction[CLIENT].pending > 0 || tunnel->direction[ORIGIN].pending > 0 || readable)
    tunnel_service(engine, tunnel);
}

void tunnel_end(struct relay_engine *engine, struct tunnel *tunnel, enum relay_ended_by by, int error, bool reset) {
  if (tunnel->state == TUNNEL_ENDED) return;
  if (tunnel->state == TUNNEL_RELAYING) queue_remove(&engine->ready, tunnel);
  if (tunnel->side[CLIENT].fd >= 0) atomic_fetch_sub_explicit(&engine->clients, 1, memory_order_relaxed);
  wheel_cancel(&engine->wheel, tunnel);
  tunnel->state = TUNNEL_ENDED;
  tunnel->ended_by = (uint8_t)by;
  tunnel->error = error;
  if (tunnel->dial != NULL) dial_close(engine, tunnel->dial);
  for (int side = 0; side < 2; side++) {
    direction_discard(engine, &tunnel->direction[side]);
    int fd = tunnel->side[side].fd;
    if (fd < 0) continue;
    /* Explicit: epoll watches the open file description, and the owner in JavaScript, or a child that is just
     * being started, may hold another descriptor of it. Its events would come with a pointer to freed memory. */
    (void)epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    if (reset && tunnel->side[side].error != ECONNRESET) {
      struct linger now = {.l_onoff = 1, .l_linger = 0};
      (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(fd);
    tunnel->side[side].fd = -1;
  }
  queue_push(&engine->ended, tunnel);
}

/* Ends the tunnel when a side has failed and what it sent before is through, or cannot go through.
 * `again` is set when there is more of that. */
static bool ended_by_failure(struct relay_engine *engine, struct tunnel *tunnel, bool *again) {
  for (int side = 0; side < 2; side++) {
    if (tunnel->side[side].error == 0) continue;
    struct direction *onward = &tunnel->direction[side];
    bool can_go_on = !onward->done && onward->pending == 0 && tunnel->side[side].readable && tunnel->side[1 - side].writable;
    if (can_go_on) {
      *again = true;
      continue;
    }
    tunnel_end(engine, tunnel, side == CLIENT ? RELAY_ENDED_CLIENT : RELAY_ENDED_ORIGIN, tunnel->side[side].error, true);
    return true;
  }
  return false;
}

void tunnel_service(struct relay_engine *engine, struct tunnel *tunnel) {
  bool again = false;
  for (int round = 0; round < 2; round++) {
    bool failed_before = tunnel->side[CLIENT].error != 0 || tunnel->side[ORIGIN].error != 0;
    again = false;
    for (int from = 0; from < 2; from++) {
      enum pump_result result = direction_pump(engine, tunnel, from);
      if (result == PUMP_ENDED) return;
      if (result == PUMP_AGAIN) again = true;
    }
    /* A write that failed makes the other direction worth one more look. */
    bool failed_now = tunnel->side[CLIENT].error != 0 || tunnel->side[ORIGIN].error != 0;
    if (failed_before || !failed_now) break;
  }
  if (ended_by_failure(engine, tunnel, &again)) return;
  if (tunnel->direction[CLIENT].done && tunnel->direction[ORIGIN].done) {
    tunnel_end(engine, tunnel, tunnel->first_eof == ORIGIN ? RELAY_ENDED_ORIGIN : RELAY_ENDED_CLIENT, 0, false);
    return;
  }
  if (again && tunnel->queue_link == NULL) queue_push(&engine->ready, tunnel);
}

/* EPOLLERR: takes the socket's error, unless the pump will meet it behind bytes that still go through. */
static void note_error(struct tunnel *tunnel, int side) {
  struct direction *onward = &tunnel->direction[side];
  bool pump_will_meet_it = !onward->done && !onward->eof && onward->pending == 0 && tunnel->side[1 - side].writable;
  if (pump_will_meet_it) return;
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(tunnel->side[side].fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0) return;
  tunnel->side[side].error = error;
  tunnel->side[side].readable = false; /* blocked ahead: what it sent before has nowhere to go */
}

/* The origin, before its tunnel is relayed: nothing is read of it, but an edge is told of once. */
static void note_ahead(struct tunnel *tunnel, uint32_t events) {
  struct side *origin = &tunnel->side[ORIGIN];
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0) origin->short_reads_lie = true;
  if ((events & ~(uint32_t)EPOLLOUT) != 0) origin->readable = true;
  if ((events & EPOLLPRI) != 0) tunnel->direction[ORIGIN].no_splice = true;
}

void tunnel_on_event(struct relay_engine *engine, struct tunnel *tunnel, int side, uint32_t events) {
  struct side *ready = &tunnel->side[side];
  if (tunnel->door != NULL) {
    if (side == CLIENT) door_on_event(engine, tunnel, events);
    else note_ahead(tunnel, events);
    return;
  }
  if (tunnel->state != TUNNEL_RELAYING) return; /* ended earlier in this same round of events */
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0) ready->short_reads_lie = true;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0) ready->readable = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) ready->writable = true;
  /* In front of urgent data splice(2) says EAGAIN though there is more; recv goes past it. */
  if ((events & EPOLLPRI) != 0) tunnel->direction[side].no_splice = true;
  if ((events & EPOLLERR) != 0) note_error(tunnel, side);
  tunnel_service(engine, tunnel);
}

void tunnel_on_deadline(struct relay_engine *engine, struct tunnel *tunnel) {
  uint64_t deadline = deadline_of(tunnel);
  if (deadline > engine->now_ms) {
    if (deadline != UINT64_MAX) wheel_schedule(&engine->wheel, tunnel, deadline);
    return;
  }
  if (tunnel->state == TUNNEL_DIALLING) {
    if (dial_on_deadline(engine, tunnel)) {
      if (tunnel->state != TUNNEL_ENDED) wheel_schedule(&engine->wheel, tunnel, deadline_of(tunnel));
    } else {
      dial_lost(engine, tunnel, ETIMEDOUT);
    }
    return;
  }
  if (tunnel->door != NULL) {
    door_on_deadline(engine, tunnel);
    return;
  }
  if (tunnel->through_door && !tunnel->probed && tunnel->started_ms + UNPROBED_MS <= engine->now_ms) {
    probe(tunnel->side[ORIGIN].fd); /* the client's come with the listening socket's */
    tunnel->probed = true;
    deadline = deadline_of(tunnel);
    if (deadline > engine->now_ms) {
      if (deadline != UINT64_MAX) wheel_schedule(&engine->wheel, tunnel, deadline);
      return;
    }
  }
  bool lifetime = tunnel->lifetime_ms != 0 && tunnel->started_ms + tunnel->lifetime_ms <= engine->now_ms;
  tunnel_end(engine, tunnel, lifetime ? RELAY_ENDED_LIFETIME : RELAY_ENDED_IDLE_TIMEOUT, 0, true);
}
