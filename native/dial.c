/*
 * Connecting to addresses that were vetted elsewhere, staggered as in RFC 8305: each is given a
 * head start, then the next is tried beside it, and one that fails makes the next go at once.
 * The first connection wins. No name is looked up here.
 *
 * A dial is a tunnel in a state before relaying, so that ids, kills, deadlines and completions
 * are the same ones.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Azure's load balancers and NAT forget a flow after 4 idle minutes; a peer that answers no probe for a
 * minute after that is gone. */
#define PROBE_AFTER_S 60
#define PROBE_EVERY_S 10
#define PROBES 6

int dial_new(struct tunnel *tunnel, const struct relay_dial_options *options) {
  if (options->count == 0 || options->count > RELAY_DIAL_ADDRESSES || options->dial_ms == 0) return -EINVAL;
  struct dial *dial = calloc(1, sizeof *dial);
  if (dial == NULL) return -ENOMEM;
  dial->tunnel = tunnel;
  dial->dial_ms = options->dial_ms;
  dial->stagger_ms = options->stagger_ms;
  dial->count = options->count;
  for (uint32_t i = 0; i < RELAY_DIAL_ADDRESSES; i++) dial->attempt[i] = (struct attempt){.dial = dial, .fd = -1};
  memcpy(dial->address, options->addresses, options->count * sizeof *options->addresses);
  tunnel->dial = dial;
  return 0;
}

void probe(int fd) {
  int yes = 1, after = PROBE_AFTER_S, every = PROBE_EVERY_S, probes = PROBES;
  (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &after, sizeof after);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static void attempt_close(struct relay_engine *engine, struct attempt *attempt) {
  if (attempt->fd < 0) return;
  (void)epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, attempt->fd, NULL);
  close(attempt->fd);
  attempt->fd = -1;
}

void dial_close(struct relay_engine *engine, struct dial *dial) {
  for (uint32_t i = 0; i < dial->count; i++) attempt_close(engine, &dial->attempt[i]);
}

static void dial_won(struct relay_engine *engine, struct dial *dial, uint32_t index) {
  struct attempt *attempt = &dial->attempt[index];
  int fd = attempt->fd;
  attempt->fd = -1;
  dial->tunnel->address = (int16_t)index;
  if (dial->tunnel->door != NULL) {
    dial_close(engine, dial);
    door_on_dialled(engine, dial->tunnel, fd);
    return;
  }
  (void)epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  probe(fd);
  dial->tunnel->dialled_fd = fd;
  tunnel_end(engine, dial->tunnel, RELAY_ENDED_DIALLED, 0, false);
}

void dial_lost(struct relay_engine *engine, struct tunnel *tunnel, int error) {
  if (tunnel->door == NULL) {
    tunnel_end(engine, tunnel, RELAY_ENDED_DIAL_FAILED, error, true);
    return;
  }
  dial_close(engine, tunnel->dial);
  door_on_dial_failed(engine, tunnel, error);
}

/* 0: connected, EINPROGRESS: will be told, else why not. */
static int attempt_begin(struct relay_engine *engine, struct attempt *attempt, const union relay_address *address) {
  int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return errno;
  attempt->fd = fd;
  int yes = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  socklen_t size = address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
  if (connect(fd, &address->any, size) == 0) return 0;
  int error = errno;
  /* Interrupted is under way all the same (POSIX). */
  if (error == EINPROGRESS || error == EINTR) {
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.u64 = (uint64_t)(uintptr_t)attempt | EVENT_ATTEMPT};
    if (epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) return EINPROGRESS;
    error = errno;
  }
  attempt_close(engine, attempt);
  return error;
}

static bool under_way(const struct dial *dial) {
  for (uint32_t i = 0; i < dial->next; i++)
    if (dial->attempt[i].fd >= 0) return true;
  return false;
}

static void note_failure(struct dial *dial, int error) {
  /* That one of several hung says less than that another refused. */
  if (dial->error == 0 || error != ETIMEDOUT) dial->error = error;
}

/* Goes on to the next address, past those that fail at once; ends the tunnel when none is left. */
static void try_next(struct relay_engine *engine, struct dial *dial) {
  while (dial->next < dial->count) {
    uint32_t index = dial->next++;
    int error = attempt_begin(engine, &dial->attempt[index], &dial->address[index]);
    if (error == 0) {
      dial_won(engine, dial, index);
      return;
    }
    if (error == EINPROGRESS) break;
    note_failure(dial, error);
  }
  dial->next_at_ms = dial->next < dial->count ? engine->now_ms + dial->stagger_ms : UINT64_MAX;
  if (!under_way(dial)) dial_lost(engine, dial->tunnel, dial->error);
}

void dial_start(struct relay_engine *engine, struct tunnel *tunnel) { try_next(engine, tunnel->dial); }

void dial_on_event(struct relay_engine *engine, struct attempt *attempt, uint32_t events) {
  struct dial *dial = attempt->dial;
  if (dial->tunnel->state != TUNNEL_DIALLING || attempt->fd < 0) return; /* over earlier in this same round of events */
  int error = 0;
  socklen_t size = sizeof error;
  bool failed = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (failed && getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error == 0 && (events & EPOLLHUP) != 0) error = ECONNRESET; /* up and gone again */
  if (error == 0) {
    dial_won(engine, dial, (uint32_t)(attempt - dial->attempt));
    return;
  }
  attempt_close(engine, attempt);
  note_failure(dial, error);
  try_next(engine, dial);
  /* An earlier time to try the next one than the wheel knows of. */
  if (dial->tunnel->state == TUNNEL_DIALLING) wheel_schedule(&engine->wheel, dial->tunnel, dial_deadline(dial->tunnel));
}

uint64_t dial_deadline(const struct tunnel *tunnel) {
  uint64_t end = tunnel->started_ms + tunnel->dial->dial_ms;
  return tunnel->dial->next_at_ms < end ? tunnel->dial->next_at_ms : end;
}

bool dial_on_deadline(struct relay_engine *engine, struct tunnel *tunnel) {
  if (tunnel->started_ms + tunnel->dial->dial_ms <= engine->now_ms) return false;
  try_next(engine, tunnel->dial);
  return true;
}
