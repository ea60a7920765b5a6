/*
 * The door: connections from accept until they are relayed, refused or handed over.
 *
 * A connection that sends its whole CONNECT in the first read, as every client does, or on a listener for redirected TLS its whole
 * ClientHello, never leaves this thread: what was read goes up for judgement, and what was decided comes down. Anything else (another
 * method, a head in pieces, silence) goes to the host's own server with what was read, so there is no second parser here and nothing
 * here can be slow on purpose.
 *
 * Between an event and its answer (TUNNEL_ASKED) the connection belongs to whoever answers: the engine's thread only remembers what
 * epoll says of it.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* Accepted in one round, so that those that are there already have their turn. */
#define ACCEPTS_PER_ROUND 64
/* Who says nothing for so long is handed over: the host has deadlines of its own for that. */
#define SILENT_MS 192u
/* The most that a first read with a head in it may be; one that is longer is handed over. */
#define HEAD_BYTES (8u * 1024)
/* After the last answer, so that it is not lost to a reset. */
#define LINGER_BYTES (64u * 1024)
#define LINGER_MS 1000u
/* As Node sets it for its own listener. */
#define PROBE_AFTER_S 60
/* RFC 8446 section 5.1 */
#define TLS_HANDSHAKE 22
#define TLS_HEADER_BYTES 5u

static uint64_t clock_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void forget_client(struct relay_engine *engine, struct tunnel *tunnel) {
  tunnel->side[CLIENT].fd = -1;
  atomic_fetch_sub_explicit(&engine->clients, 1, memory_order_relaxed);
}

static void close_side(struct relay_engine *engine, struct tunnel *tunnel, int side, bool reset) {
  int fd = tunnel->side[side].fd;
  if (fd < 0) return;
  if (reset) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  /* Explicit, for the reason that tunnel_end has. */
  if (side == ORIGIN || tunnel->door->watched) (void)epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  close(fd);
  if (side == CLIENT) forget_client(engine, tunnel);
  else tunnel->side[side].fd = -1;
}

static void close_all(struct relay_engine *engine, struct tunnel *tunnel, bool reset) {
  wheel_cancel(&engine->wheel, tunnel);
  if (tunnel->dial != NULL) dial_close(engine, tunnel->dial);
  close_side(engine, tunnel, CLIENT, reset);
  close_side(engine, tunnel, ORIGIN, reset);
}

/* Nobody waits for anything more of it. */
static void discard(struct relay_engine *engine, struct tunnel *tunnel, bool reset) {
  if (tunnel->state == TUNNEL_SILENT) queue_remove(&engine->silent, tunnel);
  close_all(engine, tunnel, reset);
  tunnel->state = TUNNEL_ENDED;
  queue_push(&engine->discarded, tunnel);
}

static void ask(struct relay_engine *engine, struct tunnel *tunnel, enum relay_door_event_kind event) {
  if (tunnel->state == TUNNEL_SILENT) queue_remove(&engine->silent, tunnel);
  wheel_cancel(&engine->wheel, tunnel);
  tunnel->state = TUNNEL_ASKED;
  tunnel->door->event = (uint8_t)event;
  queue_push(&engine->asking, tunnel);
}

static void hand_over(struct relay_engine *engine, struct tunnel *tunnel) {
  if (tunnel->door->watched) (void)epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, tunnel->side[CLIENT].fd, NULL);
  tunnel->dialled_fd = tunnel->side[CLIENT].fd;
  forget_client(engine, tunnel);
  ask(engine, tunnel, RELAY_DOOR_HANDED);
}

static void gone(struct relay_engine *engine, struct tunnel *tunnel) {
  close_all(engine, tunnel, true);
  ask(engine, tunnel, RELAY_DOOR_GONE);
}

/* More room for what is held; the bytes were read into the engine's buffer. */
static bool keep(struct tunnel *tunnel, const uint8_t *bytes, uint32_t count) {
  if (count == 0) return true;
  struct direction *up = &tunnel->direction[CLIENT];
  uint8_t *held = realloc(up->held, up->pending + count);
  if (held == NULL) return false;
  memcpy(held + up->pending, bytes, count);
  up->held = held;
  up->pending += count;
  return true;
}

static void listen_closely(struct relay_engine *engine, struct tunnel *tunnel) {
  if (tunnel->door->watched) return;
  tunnel->door->watched = tunnel_watch(engine, tunnel, CLIENT) == 0;
}

/* The bytes received, 0 at the end, or a negative errno. */
static ssize_t read_client(struct relay_engine *engine, struct tunnel *tunnel, size_t capacity) {
  struct side *client = &tunnel->side[CLIENT];
  ssize_t got;
  do {
    got = recv(client->fd, engine->scratch, capacity, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) got = -errno;
  if (got == -EAGAIN || (got > 0 && (size_t)got < capacity && !client->short_reads_lie)) client->readable = false;
  return got;
}

enum first { FIRST_ASK, FIRST_WAIT, FIRST_HAND };

static enum first may_be_connect(const uint8_t *bytes, size_t count) {
  bool may = count < HEAD_BYTES && count > 8 && memcmp(bytes, "CONNECT ", 8) == 0 && memmem(bytes, count, "\r\n\r\n", 4) != NULL;
  return may ? FIRST_ASK : FIRST_HAND;
}

/* RFC 8446 section 5.1: a type, a version, and a length of 2^14 at most. */
static enum first may_be_hello(const uint8_t *bytes, size_t count) {
  if (bytes[0] != TLS_HANDSHAKE) return FIRST_HAND;
  if (count < TLS_HEADER_BYTES) return FIRST_WAIT;
  size_t record = TLS_HEADER_BYTES + ((size_t)bytes[3] << 8 | bytes[4]);
  if (record > SMALL_READ_BYTES) return FIRST_HAND;
  return count < record ? FIRST_WAIT : FIRST_ASK;
}

static void find_original(struct tunnel *tunnel) {
  struct door *door = tunnel->door;
  const union relay_address *peer = &door->peer;
  bool v4 = peer->any.sa_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&peer->v6.sin6_addr);
  door->original_error = original_dst_of(tunnel->side[CLIENT].fd, v4, &door->original, sizeof door->original);
}

static void look_at_first(struct relay_engine *engine, struct tunnel *tunnel) {
  const struct direction *up = &tunnel->direction[CLIENT];
  bool is_tls = engine->listener[tunnel->door->listener].kind == RELAY_READS_TLS;
  switch (is_tls ? may_be_hello(up->held, up->pending) : may_be_connect(up->held, up->pending)) {
    case FIRST_ASK:
      if (is_tls) find_original(tunnel);
      ask(engine, tunnel, RELAY_DOOR_HEAD);
      return;
    case FIRST_WAIT:
      return; /* for no longer than who says nothing */
    default:
      hand_over(engine, tunnel);
  }
}

static void read_first(struct relay_engine *engine, struct tunnel *tunnel) {
  /* As much as the host's server reads at once, for what is handed over to be the same to it. */
  ssize_t got = read_client(engine, tunnel, SCRATCH_BYTES);
  if (got == -EAGAIN) return;
  if (got <= 0) {
    discard(engine, tunnel, false);
    return;
  }
  if (!keep(tunnel, engine->scratch, (uint32_t)got)) discard(engine, tunnel, true);
  else look_at_first(engine, tunnel);
}

static void admit(struct relay_engine *engine, int fd, uint32_t listener, const union relay_address *peer) {
  struct tunnel *tunnel = tunnel_new(fd, -1);
  struct door *door = tunnel == NULL ? NULL : calloc(1, sizeof *door);
  if (door == NULL) {
    free(tunnel);
    close(fd);
    return;
  }
  atomic_fetch_add_explicit(&engine->clients, 1, memory_order_relaxed);
  tunnel->door = door;
  tunnel->state = TUNNEL_SILENT;
  tunnel->side[CLIENT].readable = true;
  door->listener = (uint8_t)listener;
  door->peer = *peer;
  queue_push(&engine->silent, tunnel);
  read_first(engine, tunnel);
  if (tunnel->state != TUNNEL_SILENT) return;
  door->until_ms = engine->now_ms + SILENT_MS;
  listen_closely(engine, tunnel);
  if (door->watched) wheel_schedule(&engine->wheel, tunnel, door->until_ms);
  else discard(engine, tunnel, true);
}

/* Out of descriptors: the one in reserve lets the connection be closed, instead of it being reported forever. */
static bool refuse_one(struct relay_engine *engine, int listen_fd) {
  if (engine->reserve_fd < 0) return false;
  close(engine->reserve_fd);
  int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) close(fd);
  engine->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) atomic_fetch_add_explicit(&engine->dropped, 1, memory_order_relaxed);
  return fd >= 0;
}

/*
 * Several processes may wait at one socket. Each connection wakes one of them, and not all for one to find something: the first in line,
 * so who has had some goes to the end of it, or the others would have none while there is little to do.
 */
static bool wait_in_line(struct relay_engine *engine, uint32_t index, int fd) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = (uint64_t)index << EVENT_TAG_BITS | EVENT_LISTENER};
  return epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* The old place is given up only for a new one: without memory for that it is kept. */
static void go_to_the_end(struct relay_engine *engine, uint32_t index) {
  struct listener *listener = &engine->listener[index];
  if (listener->twin < 0 || !wait_in_line(engine, index, listener->twin)) return;
  int left = listener->fd;
  (void)epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, left, NULL);
  listener->fd = listener->twin;
  listener->twin = left;
}

/* False where there was nobody. */
static bool accept_one(struct relay_engine *engine, uint32_t index) {
  int listen_fd = engine->listener[index].fd;
  union relay_address peer = {.v6 = {0}};
  socklen_t size = sizeof peer;
  int fd = accept4(listen_fd, &peer.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return (errno == EMFILE || errno == ENFILE) && refuse_one(engine, listen_fd);
  uint32_t clients = atomic_load_explicit(&engine->clients, memory_order_relaxed);
  if (clients >= atomic_load_explicit(&engine->client_limit, memory_order_relaxed)) {
    atomic_fetch_add_explicit(&engine->dropped, 1, memory_order_relaxed);
    close(fd);
    return true;
  }
  admit(engine, fd, index, &peer);
  return true;
}

void door_on_listener(struct relay_engine *engine, uint32_t index) {
  if (engine->listener[index].fd < 0) return;
  int accepted = 0;
  while (accepted < ACCEPTS_PER_ROUND && accept_one(engine, index)) accepted++;
  if (accepted > 0) go_to_the_end(engine, index);
}

static void read_opening(struct relay_engine *engine, struct tunnel *tunnel) {
  struct door *door = tunnel->door;
  uint32_t room = door->left < SMALL_READ_BYTES ? door->left : SMALL_READ_BYTES;
  ssize_t got = room == 0 ? 0 : read_client(engine, tunnel, room);
  if (got == -EAGAIN) return;
  if (got < 0 || !keep(tunnel, engine->scratch, (uint32_t)got)) {
    gone(engine, tunnel);
    return;
  }
  door->left -= (uint32_t)got;
  door->ended = got == 0;
  ask(engine, tunnel, RELAY_DOOR_OPENING);
}

static void await_opening(struct relay_engine *engine, struct tunnel *tunnel) {
  tunnel->state = TUNNEL_OPENING;
  if (tunnel->side[CLIENT].readable) read_opening(engine, tunnel);
  if (tunnel->state == TUNNEL_OPENING) wheel_schedule(&engine->wheel, tunnel, tunnel->door->until_ms);
}

static bool tell_established(const struct relay_engine *engine, const struct tunnel *tunnel) {
  const struct listener *listener = &engine->listener[tunnel->door->listener];
  if (listener->established_bytes == 0) return true;
  ssize_t sent = send(tunnel->side[CLIENT].fd, listener->established, listener->established_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent == (ssize_t)listener->established_bytes;
}

void door_list_init(struct door_list *list) {
  list->first = NULL;
  list->last = &list->first;
}

static void door_list_push(struct door_list *list, struct door *door) {
  door->next = NULL;
  *list->last = door;
  list->last = &door->next;
}

static struct door *door_list_shift(struct door_list *list) {
  struct door *door = list->first;
  if (door == NULL) return NULL;
  list->first = door->next;
  if (list->first == NULL) list->last = &list->first;
  return door;
}

bool door_has_news(const struct relay_engine *engine) { return engine->events.first != NULL || engine->carried.first != NULL; }

/* From here on it is a tunnel like any other. */
static void relay_on(struct relay_engine *engine, struct tunnel *tunnel) {
  tunnel->through_door = true;
  if (tunnel->door->ended) tunnel->side[CLIENT].readable = tunnel->side[CLIENT].short_reads_lie = true;
  free(tunnel->door->reply);
  free(tunnel->dial);
  tunnel->door = NULL;
  tunnel->dial = NULL;
  tunnel->address = -1;
  tunnel->started_ms = engine->now_ms;
  tunnel_relay(engine, tunnel);
}

static void carry_judged(struct relay_engine *engine, struct tunnel *tunnel) {
  struct door *door = tunnel->door;
  tunnel->idle_ms = door->connect.idle_ms;
  tunnel->lifetime_ms = door->connect.lifetime_ms;
  door->id = tunnel->id;
  door->address = tunnel->address;
  door_list_push(&engine->carrying, door);
  relay_on(engine, tunnel);
}

void door_on_dialled(struct relay_engine *engine, struct tunnel *tunnel, int fd) {
  struct door *door = tunnel->door;
  wheel_cancel(&engine->wheel, tunnel);
  tunnel->side[ORIGIN].fd = fd;
  if (tunnel_watch_dialled(engine, tunnel) != 0) {
    gone(engine, tunnel);
    return;
  }
  door->dial_us = clock_us() - door->dial_us;
  if (!tell_established(engine, tunnel)) {
    gone(engine, tunnel);
    return;
  }
  door->until_ms = engine->now_ms + door->connect.opening_ms;
  if (door->connect.judged) carry_judged(engine, tunnel);
  else await_opening(engine, tunnel);
}

void door_on_dial_failed(struct relay_engine *engine, struct tunnel *tunnel, int error) {
  tunnel->door->error = error;
  tunnel->door->dial_us = clock_us() - tunnel->door->dial_us;
  ask(engine, tunnel, RELAY_DOOR_DIAL_FAILED);
}

static void linger_on(struct relay_engine *engine, struct tunnel *tunnel) {
  struct door *door = tunnel->door;
  while (tunnel->side[CLIENT].readable) {
    ssize_t got = read_client(engine, tunnel, SMALL_READ_BYTES);
    if (got == -EAGAIN) return;
    if (got <= 0 || (uint32_t)got >= door->left) {
      discard(engine, tunnel, false);
      return;
    }
    door->left -= (uint32_t)got;
  }
}

static void reply(struct relay_engine *engine, struct tunnel *tunnel) {
  struct door *door = tunnel->door;
  int fd = tunnel->side[CLIENT].fd;
  close_side(engine, tunnel, ORIGIN, true);
  direction_discard(engine, &tunnel->direction[CLIENT]);
  ssize_t sent = door->reply_bytes == 0 ? 0 : send(fd, door->reply, door->reply_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != (ssize_t)door->reply_bytes) {
    discard(engine, tunnel, true);
    return;
  }
  (void)shutdown(fd, SHUT_WR);
  tunnel->state = TUNNEL_LINGERING;
  door->left = LINGER_BYTES;
  door->until_ms = engine->now_ms + LINGER_MS;
  listen_closely(engine, tunnel);
  linger_on(engine, tunnel);
  if (tunnel->state == TUNNEL_LINGERING) wheel_schedule(&engine->wheel, tunnel, door->until_ms);
}

void door_on_event(struct relay_engine *engine, struct tunnel *tunnel, uint32_t events) {
  struct side *client = &tunnel->side[CLIENT];
  bool broken = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0) client->short_reads_lie = true;
  if ((events & ~(uint32_t)EPOLLOUT) != 0) client->readable = true;
  if ((events & EPOLLPRI) != 0) tunnel->direction[CLIENT].no_splice = true;
  switch (tunnel->state) {
    case TUNNEL_SILENT:
      if (client->readable) read_first(engine, tunnel);
      return;
    case TUNNEL_DIALLING:
      if (broken) gone(engine, tunnel);
      return;
    case TUNNEL_OPENING:
      if (client->readable) read_opening(engine, tunnel);
      return;
    case TUNNEL_LINGERING:
      linger_on(engine, tunnel);
      return;
    default:
      return; /* asked, or over: what is remembered counts when the answer comes */
  }
}

void door_on_deadline(struct relay_engine *engine, struct tunnel *tunnel) {
  if (tunnel->state == TUNNEL_SILENT) hand_over(engine, tunnel);
  else if (tunnel->state == TUNNEL_OPENING) ask(engine, tunnel, RELAY_DOOR_OPENING_TIMEOUT);
  else if (tunnel->state == TUNNEL_LINGERING) discard(engine, tunnel, false);
}

static void connect_origin(struct relay_engine *engine, struct tunnel *tunnel) {
  struct door *door = tunnel->door;
  struct direction *up = &tunnel->direction[CLIENT];
  uint32_t rest = up->pending - door->connect.head_bytes;
  memmove(up->held, up->held + door->connect.head_bytes, rest);
  up->pending = rest;
  door->left = door->connect.held_bytes > rest ? door->connect.held_bytes - rest : 0;
  door->reported = rest;
  tunnel->state = TUNNEL_DIALLING;
  tunnel->started_ms = engine->now_ms;
  door->dial_us = clock_us();
  listen_closely(engine, tunnel);
  if (!door->watched) {
    gone(engine, tunnel);
    return;
  }
  dial_start(engine, tunnel);
  if (tunnel->state == TUNNEL_DIALLING) wheel_schedule(&engine->wheel, tunnel, dial_deadline(tunnel));
}

static void carry(struct relay_engine *engine, struct tunnel *tunnel) {
  struct door *door = tunnel->door;
  relay_on(engine, tunnel);
  free(door);
}

static void obey(struct relay_engine *engine, struct tunnel *tunnel) {
  switch (tunnel->door->command) {
    case DOOR_REPLY:
      reply(engine, tunnel);
      return;
    case DOOR_CONNECT:
      connect_origin(engine, tunnel);
      return;
    case DOOR_CARRY:
      carry(engine, tunnel);
      return;
    case DOOR_MORE:
      await_opening(engine, tunnel);
      return;
    default:
      hand_over(engine, tunnel);
  }
}

static void stop_listening(struct relay_engine *engine) {
  for (uint32_t i = 0; i < engine->listening; i++) {
    struct listener *listener = &engine->listener[i];
    if (listener->fd < 0) continue;
    (void)epoll_ctl(engine->epoll_fd, EPOLL_CTL_DEL, listener->fd, NULL);
    close(listener->fd);
    if (listener->twin >= 0) close(listener->twin);
    listener->fd = listener->twin = -1;
  }
  if (engine->reserve_fd >= 0) close(engine->reserve_fd);
  engine->reserve_fd = -1;
  while (engine->silent.first != NULL) discard(engine, engine->silent.first, false);
}

static void begin_listening(struct relay_engine *engine, uint32_t index) {
  int yes = 1, after = PROBE_AFTER_S;
  int fd = engine->listener[index].fd;
  /* Linux gives these on to every connection that is accepted. */
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &after, sizeof after);
  (void)wait_in_line(engine, index, fd);
}

void door_take_commands(struct relay_engine *engine, struct queue *commanded, uint32_t listeners, bool stop) {
  struct tunnel *tunnel;
  while ((tunnel = queue_shift(commanded)) != NULL) {
    tunnel->door->commanded = false;
    obey(engine, tunnel);
  }
  while (engine->listening < listeners) begin_listening(engine, engine->listening++);
  if (stop) stop_listening(engine);
}

void door_publish(struct relay_engine *engine) {
  struct tunnel *tunnel;
  struct door *door;
  while ((tunnel = queue_shift(&engine->discarded)) != NULL) {
    if (tunnel->id != 0) table_remove(engine, tunnel);
    tunnel_free(tunnel);
  }
  while ((door = door_list_shift(&engine->carrying)) != NULL) door_list_push(&engine->carried, door);
  while ((tunnel = queue_shift(&engine->asking)) != NULL) {
    if (tunnel->id == 0 && tunnel->door->event == RELAY_DOOR_HEAD && table_insert(engine, tunnel) < 0) {
      /* No place in the table: as if it had never been accepted. */
      tunnel->id = 0;
      close(tunnel->side[CLIENT].fd);
      forget_client(engine, tunnel);
      atomic_fetch_add_explicit(&engine->dropped, 1, memory_order_relaxed);
      tunnel_free(tunnel);
      continue;
    }
    tunnel->door->queued = true;
    queue_push(&engine->events, tunnel);
  }
}

void door_stop(struct relay_engine *engine) {
  struct tunnel *tunnel;
  engine->listening = engine->listeners;
  stop_listening(engine);
  while ((tunnel = queue_shift(&engine->commanded)) != NULL) tunnel->door->commanded = false;
  for (uint32_t i = 0; i < engine->slot_count; i++) {
    tunnel = engine->slots[i].tunnel;
    if (tunnel == NULL || tunnel->door == NULL || tunnel->state == TUNNEL_ENDED) continue;
    if (tunnel->state == TUNNEL_LINGERING) {
      discard(engine, tunnel, false);
      continue;
    }
    bool is_queued = tunnel->door->queued || tunnel->queue_link != NULL;
    close_all(engine, tunnel, true);
    if (is_queued) tunnel->door->event = tunnel->door->event == RELAY_DOOR_HANDED ? RELAY_DOOR_HANDED : RELAY_DOOR_GONE;
    else ask(engine, tunnel, RELAY_DOOR_GONE);
  }
}

void door_free(struct relay_engine *engine) {
  struct queue *queues[] = {&engine->events, &engine->asking, &engine->discarded};
  for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
    struct tunnel *tunnel;
    while ((tunnel = queue_shift(queues[i])) != NULL) {
      if (tunnel->id == 0 && tunnel->dialled_fd >= 0) close(tunnel->dialled_fd);
      tunnel_free(tunnel);
    }
  }
  struct door *door;
  while ((door = door_list_shift(&engine->carrying)) != NULL) free(door);
  while ((door = door_list_shift(&engine->carried)) != NULL) free(door);
}

/* From here on: what other threads ask. */

int relay_listen(struct relay_engine *engine, int fd, enum relay_listener_kind kind, const void *established, uint32_t count) {
  uint8_t *copy = malloc(count == 0 ? 1 : count);
  if (copy == NULL) return -ENOMEM;
  memcpy(copy, established, count);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    free(copy);
    return -errno;
  }
  pthread_mutex_lock(&engine->lock);
  int number = engine->stopping ? -ESHUTDOWN : engine->listeners == RELAY_LISTENERS ? -ENOSPC : (int)engine->listeners;
  /* Before the thread knows of a listener, it does not look at this. */
  if (number == 0) engine->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (number >= 0)
    engine->listener[engine->listeners++] =
        (struct listener){.fd = fd, .twin = fcntl(fd, F_DUPFD_CLOEXEC, 0), .kind = kind, .established = copy, .established_bytes = count};
  bool must = number >= 0 && engine_must_wake(engine);
  pthread_mutex_unlock(&engine->lock);
  if (number < 0) free(copy);
  if (must) engine_wake(engine);
  return number;
}

void relay_stop_listening(struct relay_engine *engine) {
  pthread_mutex_lock(&engine->lock);
  engine->stop_listening = true;
  bool must = engine_must_wake(engine);
  pthread_mutex_unlock(&engine->lock);
  if (must) engine_wake(engine);
}

void relay_limit_clients(struct relay_engine *engine, uint32_t limit) {
  atomic_store_explicit(&engine->client_limit, limit, memory_order_relaxed);
}

uint32_t relay_clients(const struct relay_engine *engine) {
  return atomic_load_explicit(&engine->clients, memory_order_relaxed);
}

uint64_t relay_take_dropped(struct relay_engine *engine) {
  return atomic_exchange_explicit(&engine->dropped, 0, memory_order_relaxed);
}

size_t relay_drain_door(struct relay_engine *engine, struct relay_door_event *batch, size_t capacity) {
  size_t count = 0;
  pthread_mutex_lock(&engine->lock);
  for (struct door *door; count < capacity && (door = door_list_shift(&engine->carried)) != NULL; free(door))
    batch[count++] = (struct relay_door_event){.id = door->id,
                                               .kind = RELAY_DOOR_CARRIED,
                                               .listener = door->listener,
                                               .peer = door->peer,
                                               .original = door->original,
                                               .fd = -1,
                                               .address = door->address,
                                               .dial_us = door->dial_us};
  while (count < capacity) {
    struct tunnel *tunnel = queue_shift(&engine->events);
    if (tunnel == NULL) break;
    struct door *door = tunnel->door;
    const struct direction *up = &tunnel->direction[CLIENT];
    door->queued = false;
    bool has_bytes = door->event == RELAY_DOOR_HEAD || door->event == RELAY_DOOR_HANDED || door->event == RELAY_DOOR_OPENING;
    uint32_t from = has_bytes && door->event == RELAY_DOOR_OPENING ? door->reported : 0;
    batch[count++] = (struct relay_door_event){.id = tunnel->id,
                                               .kind = door->event,
                                               .listener = door->listener,
                                               .peer = door->peer,
                                               .original = door->original,
                                               .original_error = door->original_error,
                                               .bytes = up->held == NULL ? NULL : up->held + from,
                                               .byte_count = has_bytes ? up->pending - from : 0,
                                               .fd = door->event == RELAY_DOOR_HANDED ? tunnel->dialled_fd : -1,
                                               .error = door->error,
                                               .address = tunnel->address,
                                               .dial_us = door->dial_us,
                                               .ended = door->ended,
                                               .owner = tunnel};
    if (door->event == RELAY_DOOR_OPENING) door->reported = up->pending;
    if (door->event == RELAY_DOOR_HANDED) tunnel->dialled_fd = -1;
  }
  if (engine->completed.first == NULL && !door_has_news(engine)) engine->notified = false;
  pthread_mutex_unlock(&engine->lock);
  return count;
}

bool relay_is_drained(struct relay_engine *engine) {
  pthread_mutex_lock(&engine->lock);
  bool drained = engine->completed.first == NULL && !door_has_news(engine);
  if (drained) engine->notified = false;
  pthread_mutex_unlock(&engine->lock);
  return drained;
}

void relay_door_event_done(struct relay_engine *engine, const struct relay_door_event *event) {
  if (event->kind != RELAY_DOOR_HANDED && event->kind != RELAY_DOOR_GONE) return;
  struct tunnel *tunnel = event->owner;
  if (tunnel->id != 0) {
    pthread_mutex_lock(&engine->lock);
    table_remove(engine, tunnel);
    pthread_mutex_unlock(&engine->lock);
  }
  tunnel_free(tunnel);
}

/* With the lock held: the tunnel, where it waits for an answer. */
static struct tunnel *find_asking(const struct relay_engine *engine, uint64_t id) {
  struct tunnel *tunnel = table_find(engine, id);
  if (tunnel == NULL || tunnel->state != TUNNEL_ASKED || tunnel->door == NULL) return NULL;
  return tunnel->door->queued || tunnel->door->commanded || tunnel->door->event == RELAY_DOOR_GONE ? NULL : tunnel;
}

struct order {
  enum door_command command;
  uint8_t *reply;
  uint32_t reply_bytes;
  const struct relay_dial_options *dial;
  const struct relay_door_connect *connect;
  uint32_t idle_ms;
  uint32_t lifetime_ms;
};

static int fill_in(struct tunnel *tunnel, const struct order *order) {
  struct door *door = tunnel->door;
  bool in_head = door->event == RELAY_DOOR_HEAD, in_opening = door->event == RELAY_DOOR_OPENING;
  switch (order->command) {
    case DOOR_REPLY:
      free(door->reply);
      door->reply = order->reply;
      door->reply_bytes = order->reply_bytes;
      return 0;
    case DOOR_CONNECT:
      if (!in_head || order->connect->head_bytes > tunnel->direction[CLIENT].pending) return -EINVAL;
      door->connect = *order->connect;
      return dial_new(tunnel, order->dial);
    case DOOR_CARRY:
      tunnel->idle_ms = order->idle_ms;
      tunnel->lifetime_ms = order->lifetime_ms;
      return in_opening ? 0 : -EINVAL;
    case DOOR_MORE:
      return in_opening && !door->ended ? 0 : -EINVAL;
    default:
      return in_head ? 0 : -EINVAL;
  }
}

static int command(struct relay_engine *engine, uint64_t id, const struct order *order) {
  pthread_mutex_lock(&engine->lock);
  struct tunnel *tunnel = engine->stopping ? NULL : find_asking(engine, id);
  int failed = tunnel == NULL ? (engine->stopping ? -ESHUTDOWN : -ENOENT) : fill_in(tunnel, order);
  bool must = false;
  if (failed == 0) {
    tunnel->door->command = (uint8_t)order->command;
    tunnel->door->commanded = true;
    queue_push(&engine->commanded, tunnel);
    must = engine_must_wake(engine);
  }
  pthread_mutex_unlock(&engine->lock);
  if (must) engine_wake(engine);
  return failed;
}

int relay_door_reply(struct relay_engine *engine, uint64_t id, const void *bytes, uint32_t count) {
  uint8_t *copy = malloc(count == 0 ? 1 : count);
  if (copy == NULL) return -ENOMEM;
  memcpy(copy, bytes, count);
  int failed = command(engine, id, &(struct order){.command = DOOR_REPLY, .reply = copy, .reply_bytes = count});
  if (failed != 0) free(copy);
  return failed;
}

int relay_door_connect(struct relay_engine *engine, uint64_t id, const struct relay_dial_options *dial,
                       const struct relay_door_connect *options) {
  return command(engine, id, &(struct order){.command = DOOR_CONNECT, .dial = dial, .connect = options});
}

int relay_door_carry(struct relay_engine *engine, uint64_t id, uint32_t idle_ms, uint32_t lifetime_ms) {
  return command(engine, id, &(struct order){.command = DOOR_CARRY, .idle_ms = idle_ms, .lifetime_ms = lifetime_ms});
}

int relay_door_more(struct relay_engine *engine, uint64_t id) {
  return command(engine, id, &(struct order){.command = DOOR_MORE});
}

int relay_door_take(struct relay_engine *engine, uint64_t id) {
  return command(engine, id, &(struct order){.command = DOOR_TAKE});
}
