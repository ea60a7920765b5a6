/* Bytes arrive: all, in order, counted, whichever way they are moved. */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void small_messages_go_both_ways(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  for (int i = 0; i < 100; i++) {
    send_all(ends.client, "ping", 4);
    expect_text(ends.origin, "ping");
    send_all(ends.origin, "pong!", 5);
    expect_text(ends.client, "pong!");
  }
  expect_counts(&rig, ends.id, 400, 500);
  struct relay_totals totals;
  relay_engine_totals(rig.engine, &totals);
  CHECK_EQUAL(totals.bytes_up, 400);
  CHECK_EQUAL(totals.tunnels_open, 1);
  CHECK_EQUAL(totals.pipes, 0);
  ends_close(&ends);
  rig_wait(&rig);
  struct relay_stats stats;
  CHECK(!relay_tunnel_stats(rig.engine, ends.id, &stats));
  rig_close(&rig);
}

static void initial_bytes_come_first_and_count(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct relay_tunnel_options options = {.to_origin = "hello ", .to_origin_bytes = 6, .to_client = "banner ", .to_client_bytes = 7};
  struct ends ends;
  int client_near, origin_near;
  tcp_pair(&client_near, &ends.client);
  tcp_pair(&origin_near, &ends.origin);
  send_all(ends.client, "later", 5); /* already in the kernel when the tunnel begins */
  send_all(ends.origin, "next", 4);
  CHECK(relay_add(rig.engine, client_near, origin_near, &options) > 0);
  expect_text(ends.origin, "hello later");
  expect_text(ends.client, "banner next");
  ends_close(&ends);
  struct relay_completion end = rig_wait(&rig);
  CHECK_EQUAL(end.bytes_up, 11);
  CHECK_EQUAL(end.bytes_down, 11);
  rig_close(&rig);
}

struct stream {
  int fd;
  uint32_t seed;
  uint64_t count;
  bool sends;
  pthread_t thread;
};

static void *run_stream(void *argument) {
  struct stream *stream = argument;
  if (stream->sends) {
    send_stream(stream->fd, stream->seed, stream->count, stream->seed);
    shutdown(stream->fd, SHUT_WR);
  } else {
    receive_stream(stream->fd, stream->seed, stream->count, stream->seed);
    expect_eof(stream->fd);
  }
  return NULL;
}

/* Four threads: a stream up and a stream down at the same time, each with a half-close behind it. */
static void start_streams(struct stream streams[4], const struct ends *ends, uint32_t seed, uint64_t up, uint64_t down) {
  streams[0] = (struct stream){.fd = ends->client, .seed = seed, .count = up, .sends = true};
  streams[1] = (struct stream){.fd = ends->origin, .seed = seed, .count = up};
  streams[2] = (struct stream){.fd = ends->origin, .seed = seed + 1, .count = down, .sends = true};
  streams[3] = (struct stream){.fd = ends->client, .seed = seed + 1, .count = down};
  for (int i = 0; i < 4; i++) CHECK_EQUAL(pthread_create(&streams[i].thread, NULL, run_stream, &streams[i]), 0);
}

static void transfer(const struct relay_options *options, int tunnels, uint64_t up, uint64_t down) {
  struct rig rig;
  rig_open(&rig, options);
  struct ends ends[32];
  struct stream streams[32][4];
  for (int i = 0; i < tunnels; i++) {
    ends[i] = tunnel_open(&rig, NULL);
    start_streams(streams[i], &ends[i], (uint32_t)i * 2 + 1, up, down);
  }
  for (int i = 0; i < tunnels; i++)
    for (int j = 0; j < 4; j++) pthread_join(streams[i][j].thread, NULL);
  for (int i = 0; i < tunnels; i++) {
    struct relay_completion end = rig_wait(&rig);
    CHECK_EQUAL(end.bytes_up, up);
    CHECK_EQUAL(end.bytes_down, down);
    CHECK_EQUAL(end.error, 0);
    CHECK(end.ended_by == RELAY_ENDED_CLIENT || end.ended_by == RELAY_ENDED_ORIGIN);
  }
  for (int i = 0; i < tunnels; i++) ends_close(&ends[i]);
  rig_close(&rig);
}

static void bulk_arrives_whole_through_pipes(void) { transfer(NULL, 1, 32u << 20, 24u << 20); }

static void bulk_arrives_whole_without_pipes(void) {
  transfer(&(struct relay_options){.no_splice = true}, 1, 24u << 20, 16u << 20);
}

static void many_tunnels_share_few_pipes(void) { transfer(&(struct relay_options){.max_pipes = 3}, 24, 2u << 20, 1u << 20); }

static void bulk_goes_on_when_descriptors_run_out(void) {
  struct rlimit before, low;
  CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  int next = dup(0);
  close(next);
  low = before;
  low.rlim_cur = (rlim_t)next; /* the next descriptor does not fit */
  CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &low), 0);
  struct stream streams[4];
  start_streams(streams, &ends, 77, 8u << 20, 4u << 20);
  for (int i = 0; i < 4; i++) pthread_join(streams[i].thread, NULL);
  struct relay_totals totals;
  relay_engine_totals(rig.engine, &totals);
  CHECK_EQUAL(totals.pipes, 0);
  CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
  CHECK_EQUAL(rig_wait(&rig).bytes_up, 8u << 20);
  ends_close(&ends);
  rig_close(&rig);
}

static void a_reader_that_stops_stops_the_sender(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  size_t taken = send_until_blocked(ends.client);
  struct relay_stats stats;
  CHECK(relay_tunnel_stats(rig.engine, ends.id, &stats));
  CHECK(stats.bytes_up < taken); /* the rest waits in the sender's kernel, a pipe's worth in the relay */
  /* The other direction is not held up by it. */
  send_all(ends.origin, "still here", 10);
  expect_text(ends.client, "still here");
  char *bytes = malloc(taken);
  receive_all(ends.origin, bytes, taken);
  free(bytes);
  expect_counts(&rig, ends.id, taken, 10);
  ends_close(&ends);
  rig_wait(&rig);
  rig_close(&rig);
}

static void an_idle_tunnel_holds_no_pipe_after_bulk(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  struct stream in = {.fd = ends.client, .seed = 5, .count = 4u << 20, .sends = true};
  pthread_create(&in.thread, NULL, run_stream, &in);
  receive_stream(ends.origin, 5, 4u << 20, 0);
  pthread_join(in.thread, NULL);
  expect_eof(ends.origin); /* so the engine is done with that direction */
  struct relay_totals totals;
  relay_engine_totals(rig.engine, &totals);
  CHECK(totals.pipes >= 1); /* it went by pipe */
  /* Every pipe that exists is in the pool. Once killed the thread touches it no more. */
  relay_kill(rig.engine, ends.id, 0);
  rig_wait(&rig);
  relay_engine_totals(rig.engine, &totals);
  CHECK_EQUAL(rig.engine->pipes.idle_count, totals.pipes);
  rig_close(&rig);
  ends_close(&ends);
}

/* What one tunnel leaves in a pipe must never reach another. */
static void a_pipe_with_bytes_left_is_not_used_again(void) {
  struct rig rig;
  rig_open(&rig, &(struct relay_options){.max_pipes = 1});
  struct ends blocked = tunnel_open(&rig, NULL);
  send_until_blocked(blocked.client);
  struct relay_totals totals;
  relay_engine_totals(rig.engine, &totals);
  CHECK_EQUAL(totals.pipes, 1);
  CHECK_EQUAL(relay_kill(rig.engine, blocked.id, 1), 1);
  CHECK_EQUAL(rig_wait(&rig).ended_by, RELAY_ENDED_KILLED);
  relay_engine_totals(rig.engine, &totals);
  CHECK_EQUAL(totals.pipes, 0);
  struct ends next = tunnel_open(&rig, NULL);
  struct stream in = {.fd = next.client, .seed = 9, .count = 8u << 20, .sends = true};
  pthread_create(&in.thread, NULL, run_stream, &in);
  receive_stream(next.origin, 9, 8u << 20, 0);
  pthread_join(in.thread, NULL);
  ends_close(&next);
  ends_close(&blocked);
  rig_wait(&rig);
  rig_close(&rig);
}

/* In front of urgent data splice(2) returns 0 or EAGAIN: an end that is none, or a stall. */
static void urgent_data_is_neither_an_end_nor_a_stall(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends ends = tunnel_open(&rig, NULL);
  char *bytes = calloc(1, 1u << 20);
  for (int i = 0; i < 20; i++) {
    send_all(ends.client, bytes, 100000);
    CHECK_EQUAL(send(ends.client, "!", 1, MSG_OOB), 1); /* not part of the stream: it is dropped */
    send_all(ends.client, bytes, 50000);
    receive_all(ends.origin, bytes, 150000);
  }
  shutdown(ends.client, SHUT_WR);
  ssize_t got;
  size_t rest = 0;
  while ((got = recv(ends.origin, bytes, 4096, 0)) > 0) rest += (size_t)got;
  CHECK_EQUAL(got, 0);
  CHECK(rest <= 20); /* Linux puts an urgent byte back in line when a newer one follows */
  free(bytes);
  ends_close(&ends);
  rig_wait(&rig);
  rig_close(&rig);
}

static void *flood(void *argument) {
  static const uint8_t block[65536] = {1};
  int fd = *(int *)argument;
  while (send(fd, block, sizeof block, MSG_NOSIGNAL) > 0) {
  }
  return NULL;
}

static void *swallow(void *argument) {
  uint8_t *block = malloc(1u << 20);
  int fd = *(int *)argument;
  while (recv(fd, block, 1u << 20, 0) > 0) {
  }
  free(block);
  return NULL;
}

static void a_bulk_tunnel_does_not_starve_a_small_one(void) {
  struct rig rig;
  rig_open(&rig, NULL);
  struct ends bulk = tunnel_open(&rig, NULL), small = tunnel_open(&rig, NULL);
  pthread_t sender, receiver;
  pthread_create(&sender, NULL, flood, &bulk.client);
  pthread_create(&receiver, NULL, swallow, &bulk.origin);
  int yes = 1;
  setsockopt(small.client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  uint64_t worst = 0;
  for (int i = 0; i < 200; i++) {
    uint64_t started = clock_ms();
    send_all(small.client, "tick", 4);
    expect_text(small.origin, "tick");
    uint64_t took = clock_ms() - started;
    if (took > worst) worst = took;
  }
  CHECK(worst < 2000); /* a bound for sanitizers on a busy machine; a starved one never answers */
  CHECK_EQUAL(relay_kill(rig.engine, bulk.id, 3), 1);
  pthread_join(sender, NULL);
  pthread_join(receiver, NULL);
  CHECK_EQUAL(rig_wait(&rig).kill_reason, 3);
  ends_close(&bulk);
  ends_close(&small);
  rig_wait(&rig);
  rig_close(&rig);
}

const struct test_case flow_cases[] = {
    {"small messages go both ways and are counted live", small_messages_go_both_ways},
    {"initial bytes come first and count", initial_bytes_come_first_and_count},
    {"bulk arrives whole through pipes", bulk_arrives_whole_through_pipes},
    {"bulk arrives whole without pipes", bulk_arrives_whole_without_pipes},
    {"many tunnels share few pipes", many_tunnels_share_few_pipes},
    {"bulk goes on when descriptors run out", bulk_goes_on_when_descriptors_run_out},
    {"a reader that stops stops the sender, and not the other direction", a_reader_that_stops_stops_the_sender},
    {"an idle tunnel holds no pipe after bulk", an_idle_tunnel_holds_no_pipe_after_bulk},
    {"a pipe with bytes left is not used again", a_pipe_with_bytes_left_is_not_used_again},
    {"urgent data is neither an end nor a stall", urgent_data_is_neither_an_end_nor_a_stall},
    {"a bulk tunnel does not starve a small one", a_bulk_tunnel_does_not_starve_a_small_one},
    {NULL, NULL},
};
