/* What must stay small, quiet or bounded, and threads that come at the wrong moment. */
#define _GNU_SOURCE
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* One direction ended, the other blocked or idle: level-triggered relays spin here. */
static void half_closed_and_blocked_tunnels_use_no_cpu(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct relay_tunnel_options options = {.idle_ms = 100000, .lifetime_ms = 200000};
  struct ends half = tunnel_open(&rig, &options), blocked = tunnel_open(&rig, &options), both = tunnel_open(&rig, &options);
  shutdown(half.client, SHUT_WR);
  expect_eof(half.origin);
  send_until_blocked(blocked.client);
  shutdown(blocked.client, SHUT_WR);
  send_until_blocked(both.client);
  send_until_blocked(both.origin);
  shutdown(both.origin, SHUT_WR);
  sleep_ms(50);
  uint64_t before = cpu_ms();
  sleep_ms(500);
  uint64_t used = cpu_ms() - before;
  CHECK(used < 50); /* a spinning thread would use 500 */
  ends_close(&half);
  ends_close(&blocked);
  ends_close(&both);
  for (int i = 0; i < 3; i++) rig_wait(&rig);
  rig_close(&rig);
}

static void more_than_max_tunnels_are_refused(void) {
  struct rig rig;
  rig_open(&rig, &(struct relay_options){.max_tunnels = 2});
  struct ends one = tunnel_open(&rig, NULL), two = tunnel_open(&rig, NULL);
  int near, far;
  tcp_pair(&near, &far);
  struct relay_tunnel_options options = {.to_origin = "x", .to_origin_bytes = 1};
  CHECK_EQUAL(relay_add(rig.engine, near, far, &options), -ENOSPC);
  CHECK_EQUAL(relay_add(rig.engine, -1, far, &options), -EBADF);
  close(near); /* both still ours */
  close(far);
  ends_close(&one);
  CHECK_EQUAL(rig_wait(&rig).id, one.id);
  struct ends three = tunnel_open(&rig, NULL);
  CHECK(three.id != one.id);
  CHECK_EQUAL(relay_kill(rig.engine, one.id, 1), 0); /* same slot, another generation */
  ends_close(&two);
  ends_close(&three);
  rig_wait(&rig);
  rig_wait(&rig);
  rig_close(&rig);
}

static void the_wheel_is_never_early_and_a_tick_late_at_most(void) {
  struct wheel wheel;
  struct tunnel *tunnels = calloc(500, sizeof *tunnels);
  uint64_t now = 1000003;
  wheel_init(&wheel, now);
  CHECK_EQUAL(wheel_timeout(&wheel, now), -1);
  uint32_t state = 12345;
  for (int i = 0; i < 500; i++) {
    state = state * 1664525u + 1013904223u;
    tunnels[i].started_ms = now + (state >> 8) % 200000; /* past the horizon too */
    wheel_schedule(&wheel, &tunnels[i], tunnels[i].started_ms);
    if (i % 5 == 0) wheel_cancel(&wheel, &tunnels[i]);
  }
  int expired = 0;
  int timeout;
  while ((timeout = wheel_timeout(&wheel, now)) >= 0) {
    CHECK(timeout <= (int)(WHEEL_SLOTS * WHEEL_TICK_MS));
    state = state * 1664525u + 1013904223u;
    now += (uint64_t)timeout + (state >> 8) % 3;
    struct tunnel *due;
    while ((due = wheel_due(&wheel, now)) != NULL) {
      if (due->started_ms > now) {
        wheel_schedule(&wheel, due, due->started_ms);
        continue;
      }
      CHECK(now - due->started_ms <= WHEEL_TICK_MS + 3);
      expired++;
    }
  }
  CHECK_EQUAL(expired, 400);
  free(tunnels);
}

struct storm {
  struct rig *rig;
  uint32_t seed;
  pthread_t thread;
};

/* Opens, uses and ends tunnels in every way at once, from several threads. */
static void *run_storm(void *argument) {
  struct storm *storm = argument;
  uint32_t state = storm->seed;
  for (int i = 0; i < 60; i++) {
    struct relay_tunnel_options options = {.idle_ms = 1 + storm->seed % 3, .lifetime_ms = 1000};
    if (i % 3 != 0) options = (struct relay_tunnel_options){0};
    struct ends ends = tunnel_open(storm->rig, &options);
    state = state * 1664525u + 1013904223u;
    static const uint8_t block[200000] = {3};
    (void)!send(ends.client, block, (state >> 8) % sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT);
    struct relay_stats stats;
    relay_tunnel_stats(storm->rig->engine, ends.id, &stats);
    struct relay_totals totals;
    relay_engine_totals(storm->rig->engine, &totals);
    if (i % 4 == 1) relay_kill(storm->rig->engine, ends.id, 9);
    if (i % 16 == 2) relay_kill_all(storm->rig->engine, 8);
    if (i % 4 == 2) reset_close(ends.client); else close(ends.client);
    if (i % 8 == 3) reset_close(ends.origin); else close(ends.origin);
  }
  return NULL;
}

static void threads_may_come_at_any_moment(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct storm storms[4];
  for (uint32_t i = 0; i < 4; i++) {
    storms[i] = (struct storm){.rig = &rig, .seed = i + 1};
    pthread_create(&storms[i].thread, NULL, run_storm, &storms[i]);
  }
  uint64_t up = 0;
  for (int i = 0; i < 240; i++) up += rig_wait(&rig).bytes_up;
  for (int i = 0; i < 4; i++) pthread_join(storms[i].thread, NULL);
  struct relay_totals totals;
  relay_engine_totals(rig.engine, &totals);
  CHECK_EQUAL(totals.tunnels_open, 0);
  CHECK_EQUAL(totals.bytes_up, up);
  rig_close(&rig);
}

static void an_unredirected_connection_has_no_original_destination(void) {
  int near, far;
  tcp_pair(&near, &far);
  struct sockaddr_storage address;
  int result = relay_original_dst(near, &address);
  /* Without connection tracking an error; with it, the listener's own address. */
  CHECK(result == -ENOENT || result == -ENOPROTOOPT || (result == 0 && address.ss_family == AF_INET));
  CHECK_EQUAL(relay_original_dst(-1, &address), -EBADF);
  close(near);
  close(far);
  int pair[2];
  CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  CHECK_EQUAL(relay_original_dst(pair[0], &address), -EAFNOSUPPORT);
  close(pair[0]);
  close(pair[1]);
}

static union relay_address loopback(const char *text, uint16_t port) {
  union relay_address address;
  memset(&address, 0, sizeof address);
  if (strchr(text, ':') != NULL) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    CHECK_EQUAL(inet_pton(AF_INET6, text, &address.v6.sin6_addr), 1);
  } else {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    CHECK_EQUAL(inet_pton(AF_INET, text, &address.v4.sin_addr), 1);
  }
  return address;
}

/* A listener whose queue of one is full: a connection to it hangs. With `backlog` 16 one that works. */
static int listen_loopback(int backlog, uint16_t *port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  union relay_address address = loopback("127.0.0.1", 0);
  socklen_t size = sizeof address.v4;
  CHECK_EQUAL(bind(listener, &address.any, size), 0);
  CHECK_EQUAL(listen(listener, backlog), 0);
  CHECK_EQUAL(getsockname(listener, &address.any, &size), 0);
  *port = ntohs(address.v4.sin_port);
  return listener;
}

static int fill_queue(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  union relay_address address = loopback("127.0.0.1", port);
  CHECK_EQUAL(connect(fd, &address.any, sizeof address.v4), 0);
  return fd;
}

static struct relay_completion dial_and_wait(struct rig *rig, const union relay_address *addresses, uint32_t count, uint32_t dial_ms) {
  struct relay_dial_options options = {.addresses = addresses, .count = count, .dial_ms = dial_ms, .stagger_ms = 100};
  int64_t id = relay_dial(rig->engine, &options);
  CHECK(id > 0);
  struct relay_completion end = rig_wait(rig);
  CHECK_EQUAL(end.id, (uint64_t)id);
  return end;
}

static void a_dial_finds_the_address_that_answers(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  uint16_t good_port, full_port, closed_port;
  int good = listen_loopback(16, &good_port), full = listen_loopback(0, &full_port), filler = fill_queue(full_port);
  close(listen_loopback(1, &closed_port));
  /* One that hangs, one that refuses, the good one; the hanging one costs a head start only. */
  union relay_address addresses[3] = {loopback("127.0.0.1", full_port), loopback("127.0.0.1", closed_port), loopback("127.0.0.1", good_port)};
  uint64_t started = clock_ms();
  struct relay_completion end = dial_and_wait(&rig, addresses, 3, 5000);
  CHECK(clock_ms() - started >= 100 && clock_ms() - started < 1000);
  CHECK_EQUAL(end.ended_by, RELAY_ENDED_DIALLED);
  CHECK_EQUAL(end.address, 2);
  int accepted = accept(good, NULL, NULL);
  send_all(accepted, "hi", 2);
  CHECK_EQUAL(recv(end.fd, (char[2]){0}, 2, MSG_WAITALL) == 2 || errno == EAGAIN, true);
  close(end.fd);
  close(accepted);
  /* Refused by all: at once, and the refusal is what is told. */
  union relay_address refused[2] = {loopback("127.0.0.1", closed_port), loopback("::1", closed_port)};
  end = dial_and_wait(&rig, refused, 2, 5000);
  CHECK_EQUAL(end.ended_by, RELAY_ENDED_DIAL_FAILED);
  CHECK(end.error == ECONNREFUSED || end.error == EADDRNOTAVAIL); /* a machine without IPv6 */
  CHECK_EQUAL(end.fd, -1);
  /* Nobody answers: the deadline. */
  started = clock_ms();
  end = dial_and_wait(&rig, addresses, 1, 150);
  CHECK_EQUAL(end.ended_by, RELAY_ENDED_DIAL_FAILED);
  CHECK_EQUAL(end.error, ETIMEDOUT);
  CHECK(clock_ms() - started >= 148);
  /* Nobody waits any more. */
  struct relay_dial_options options = {.addresses = addresses, .count = 1, .dial_ms = 5000};
  int64_t id = relay_dial(rig.engine, &options);
  CHECK_EQUAL(relay_kill(rig.engine, (uint64_t)id, 4), 1);
  end = rig_wait(&rig);
  CHECK_EQUAL(end.ended_by, RELAY_ENDED_KILLED);
  CHECK_EQUAL(end.fd, -1);
  options.count = 0;
  CHECK_EQUAL(relay_dial(rig.engine, &options), -EINVAL);
  /* One under way and one that nobody fetched, at the end of the engine. */
  options.count = 1;
  CHECK(relay_dial(rig.engine, &options) > 0);
  options.addresses = &addresses[2];
  CHECK(relay_dial(rig.engine, &options) > 0);
  accepted = accept(good, NULL, NULL);
  rig_close(&rig);
  expect_eof(accepted);
  close(accepted);
  close(filler);
  close(full);
  close(good);
}

const struct test_case limit_cases[] = {
    {"half-closed and blocked tunnels use no CPU", half_closed_and_blocked_tunnels_use_no_cpu},
    {"more than max_tunnels are refused, and an old id finds nothing", more_than_max_tunnels_are_refused},
    {"the wheel is never early and a tick late at most", the_wheel_is_never_early_and_a_tick_late_at_most},
    {"threads may come at any moment", threads_may_come_at_any_moment},
    {"an unredirected connection has no original destination", an_unredirected_connection_has_no_original_destination},
    {"a dial finds the address that answers, and gives up in time", a_dial_finds_the_address_that_answers},
    {NULL, NULL},
};
