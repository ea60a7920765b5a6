/* Every way a tunnel ends: who is said to have ended it, and what the other side sees. */
#define _GNU_SOURCE
#include "harness.h"

#include <sys/socket.h>
#include <unistd.h>

static void half_close(bool client_first) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  int first = client_first ? ends.client : ends.origin, second = client_first ? ends.origin : ends.client;
  send_all(first, "last words", 10);
  shutdown(first, SHUT_WR);
  expect_text(second, "last words");
  expect_eof(second);
  for (int i = 0; i < 50; i++) {
    send_all(second, "answer", 6);
    expect_text(first, "answer");
  }
  shutdown(second, SHUT_WR);
  expect_eof(first);
  struct relay_completion end = rig_wait(&rig);
  CHECK_EQUAL(end.ended_by, client_first ? RELAY_ENDED_CLIENT : RELAY_ENDED_ORIGIN);
  CHECK_EQUAL(end.error, 0);
  CHECK_EQUAL(client_first ? end.bytes_down : end.bytes_up, 300);
  ends_close(&ends);
  rig_close(&rig);
}
static void half_close_by_the_client(void) { half_close(true); }
static void half_close_by_the_origin(void) { half_close(false); }

static void a_half_close_waits_for_what_is_pending(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  size_t sent = send_until_blocked(ends.client);
  shutdown(ends.client, SHUT_WR);
  char *bytes = malloc(sent);
  receive_all(ends.origin, bytes, sent);
  expect_eof(ends.origin);
  free(bytes);
  ends_close(&ends);
  CHECK_EQUAL(rig_wait(&rig).bytes_up, sent);
  rig_close(&rig);
}

static void reset_is_passed_on(bool by_client, bool blocked) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  int resets = by_client ? ends.client : ends.origin, other = by_client ? ends.origin : ends.client;
  if (blocked) send_until_blocked(resets);
  reset_close(resets);
  expect_reset(other);
  struct relay_completion end = rig_wait(&rig);
  CHECK_EQUAL(end.ended_by, by_client ? RELAY_ENDED_CLIENT : RELAY_ENDED_ORIGIN);
  CHECK_EQUAL(end.error, ECONNRESET);
  close(other);
  rig_close(&rig);
}
static void a_reset_by_the_client(void) { reset_is_passed_on(true, false); }
static void a_reset_by_the_origin(void) { reset_is_passed_on(false, false); }
static void a_reset_while_its_bytes_are_blocked(void) { reset_is_passed_on(true, true); }

/* The receiver goes away in the middle of a transfer: the sender must learn it. */
static void a_reset_by_the_receiver_of_bulk(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  send_until_blocked(ends.client);
  reset_close(ends.origin);
  expect_reset(ends.client);
  struct relay_completion end = rig_wait(&rig);
  CHECK_EQUAL(end.ended_by, RELAY_ENDED_ORIGIN);
  CHECK(end.error == ECONNRESET || end.error == EPIPE);
  close(ends.client);
  rig_close(&rig);
}

static void bytes_before_a_reset_are_delivered(void) {
  for (int i = 0; i < 50; i++) {
    struct rig rig;
    rig_open(&rig, NULL);
    struct ends ends;
    int client_near, origin_near;
    tcp_pair(&client_near, &ends.client);
    tcp_pair(&origin_near, &ends.origin);
    /* An origin that refuses an upload: it answers and closes with our bytes unread, which resets. */
    send_all(ends.origin, "413 too large", 13);
    reset_close(ends.origin);
    struct relay_tunnel_options options = {.to_origin = "upload", .to_origin_bytes = i % 2 == 0 ? 6 : 0};
    CHECK(relay_add(rig.engine, client_near, origin_near, &options) > 0);
    expect_text(ends.client, "413 too large");
    expect_reset(ends.client);
    CHECK_EQUAL(rig_wait(&rig).ended_by, RELAY_ENDED_ORIGIN);
    close(ends.client);
    rig_close(&rig);
  }
}

/* A client that closes for good while the origin still sends: its kernel resets, the origin must stop. */
static void a_full_close_stops_the_sender(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  close(ends.client);
  expect_eof(ends.origin);
  char bytes[1000] = {0};
  int sent = 0;
  while (send(ends.origin, bytes, sizeof bytes, MSG_NOSIGNAL) > 0 && sent < 1000000) sent++;
  CHECK(sent < 1000000);
  CHECK_EQUAL(rig_wait(&rig).ended_by, RELAY_ENDED_CLIENT);
  close(ends.origin);
  rig_close(&rig);
}

static void idle_timeout(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct relay_tunnel_options options = {.idle_ms = 200};
  struct ends ends = tunnel_open(&rig, &options);
  uint64_t started = clock_ms();
  for (int i = 0; i < 6; i++) { /* one way only: it counts */
    sleep_ms(60);
    send_all(ends.origin, "x", 1);
    expect_text(ends.client, "x");
  }
  uint64_t quiet = clock_ms();
  struct relay_completion end = rig_wait(&rig);
  CHECK_EQUAL(end.ended_by, RELAY_ENDED_IDLE_TIMEOUT);
  CHECK(clock_ms() - started >= 360 + 200 - 5);
  CHECK(clock_ms() - quiet >= 195);
  expect_reset(ends.client);
  expect_reset(ends.origin);
  ends_close(&ends);
  rig_close(&rig);
}

static void lifetime(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct relay_tunnel_options options = {.idle_ms = 100000, .lifetime_ms = 200};
  struct ends ends = tunnel_open(&rig, &options);
  uint64_t started = clock_ms();
  while (clock_ms() - started < 150) {
    send_all(ends.client, "x", 1);
    expect_text(ends.origin, "x");
  }
  struct relay_completion end = rig_wait(&rig);
  CHECK_EQUAL(end.ended_by, RELAY_ENDED_LIFETIME);
  CHECK(clock_ms() - started >= 198);
  CHECK(end.duration_ms >= 198);
  ends_close(&ends);
  rig_close(&rig);
}

static void kill_takes_one(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends one = tunnel_open(&rig, NULL), two = tunnel_open(&rig, NULL);
  CHECK_EQUAL(relay_kill(rig.engine, one.id, 42), 1);
  struct relay_completion end = rig_wait(&rig);
  CHECK_EQUAL(end.id, one.id);
  CHECK_EQUAL(end.ended_by, RELAY_ENDED_KILLED);
  CHECK_EQUAL(end.kill_reason, 42);
  expect_reset(one.client);
  expect_reset(one.origin);
  CHECK_EQUAL(relay_kill(rig.engine, one.id, 42), 0);
  send_all(two.client, "alive", 5);
  expect_text(two.origin, "alive");
  ends_close(&one);
  ends_close(&two);
  rig_wait(&rig);
  rig_close(&rig);
}

static void kill_all_spares_later_ones(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends[50];
  for (int i = 0; i < 50; i++) ends[i] = tunnel_open(&rig, NULL);
  CHECK_EQUAL(relay_kill_all(rig.engine, 7), 50);
  struct ends later = tunnel_open(&rig, NULL);
  for (int i = 0; i < 50; i++) CHECK_EQUAL(rig_wait(&rig).kill_reason, 7);
  send_all(later.client, "alive", 5);
  expect_text(later.origin, "alive");
  for (int i = 0; i < 50; i++) ends_close(&ends[i]);
  ends_close(&later);
  rig_wait(&rig);
  rig_close(&rig);
}

static void destroy_ends_everything(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends[20];
  for (int i = 0; i < 20; i++) ends[i] = tunnel_open(&rig, NULL);
  send_until_blocked(ends[0].client);
  relay_kill(rig.engine, ends[1].id, 0);
  rig_wait(&rig);
  relay_kill(rig.engine, ends[2].id, 0); /* its completion is never drained */
  rig_close(&rig);
  for (int i = 0; i < 20; i++) {
    expect_reset(ends[i].origin);
    ends_close(&ends[i]);
  }
}

static uint64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void stop_leaves_the_completions(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends[5];
  for (int i = 0; i < 5; i++) ends[i] = tunnel_open(&rig, NULL);
  send_all(ends[0].client, "up", 2);
  expect_text(ends[0].origin, "up");
  relay_engine_stop(rig.engine, 77);
  for (int i = 0; i < 5; i++) {
    struct relay_completion end = rig_wait(&rig);
    CHECK_EQUAL(end.ended_by, RELAY_ENDED_KILLED);
    CHECK_EQUAL(end.kill_reason, 77);
    CHECK_EQUAL(end.bytes_up, end.id == ends[0].id ? 2 : 0);
    ends_close(&ends[i]);
  }
  int near, far;
  tcp_pair(&near, &far);
  struct relay_tunnel_options options = {0};
  CHECK_EQUAL(relay_add(rig.engine, near, far, &options), -ESHUTDOWN);
  close(near);
  close(far);
  rig_close(&rig);
}

/* The thread reads the wake of the command at about the time that the stop is said: that wake must not be taken for both. */
static void a_stop_behind_a_command_is_heard(void) {
  for (int i = 0; i < 3000; i++) {
    struct rig rig;
    rig_open(&rig, NULL);
    relay_stop_listening(rig.engine);
    uint64_t pause_ns = (uint64_t)(i % 100) * 500, from = clock_ns();
    while (clock_ns() - from < pause_ns) {
    }
    rig_close(&rig);
  }
}

const struct test_case end_cases[] = {
    {"a stop right behind a command is heard", a_stop_behind_a_command_is_heard},
    {"a half-close by the client leaves the way back open", half_close_by_the_client},
    {"a half-close by the origin leaves the way there open", half_close_by_the_origin},
    {"a half-close waits for what is pending", a_half_close_waits_for_what_is_pending},
    {"a reset by the client is passed on", a_reset_by_the_client},
    {"a reset by the origin is passed on", a_reset_by_the_origin},
    {"a reset is passed on though its bytes are blocked", a_reset_while_its_bytes_are_blocked},
    {"a reset by the receiver of bulk is passed on", a_reset_by_the_receiver_of_bulk},
    {"bytes before a reset are delivered", bytes_before_a_reset_are_delivered},
    {"a full close stops the sender", a_full_close_stops_the_sender},
    {"idle timeout: not before, and one direction counts", idle_timeout},
    {"lifetime: ends a busy tunnel", lifetime},
    {"kill takes one, with its reason, and says when there is none", kill_takes_one},
    {"kill all spares what is added later", kill_all_spares_later_ones},
    {"destroy ends everything", destroy_ends_everything},
    {"stop leaves the completions to be drained", stop_leaves_the_completions},
    {NULL, NULL},
};
