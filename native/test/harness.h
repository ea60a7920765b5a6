/* What the cases share: tunnels over loopback TCP, and checks that say where they failed. */
#ifndef SALLYPORT_HARNESS_H
#define SALLYPORT_HARNESS_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../engine.h"

#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(actual, expected) check_equal((long long)(actual), (long long)(expected), #actual, __FILE__, __LINE__)

void check(bool ok, const char *what, const char *file, int line);
void check_equal(long long actual, long long expected, const char *what, const char *file, int line);

/* An engine whose completions a test can wait for. */
struct rig {
  struct relay_engine *engine;
  pthread_mutex_t lock;
  pthread_cond_t ended;
  uint64_t notifications;
};

/* The two far ends (blocking, 10 s at most) of a tunnel. */
struct ends {
  uint64_t id;
  int client;
  int origin;
};

void rig_open(struct rig *rig, const struct relay_options *options);
void rig_close(struct rig *rig);
/* Bytes are counted just after they were delivered: waits until the tunnel's figures are these. */
void expect_counts(struct rig *rig, uint64_t id, uint64_t up, uint64_t down);
/* The next completion, at most 10 s from now. */
struct relay_completion rig_wait(struct rig *rig);

/* Two ends of one TCP connection over 127.0.0.1. */
void tcp_pair(int *near, int *far);
struct ends tunnel_open(struct rig *rig, const struct relay_tunnel_options *options);
void ends_close(struct ends *ends);

void send_all(int fd, const void *bytes, size_t count);
/* Reads exactly so much, or fails the test. */
void receive_all(int fd, void *bytes, size_t count);
void expect_text(int fd, const char *text);
void expect_eof(int fd);
void expect_reset(int fd);
void reset_close(int fd);
/* Sends without waiting until the socket takes no more; returns how much it took. */
size_t send_until_blocked(int fd);

/* A reproducible stream: byte i of stream `seed`. */
uint8_t stream_byte(uint32_t seed, uint64_t i);
void send_stream(int fd, uint32_t seed, uint64_t count, uint32_t pieces_seed);
void receive_stream(int fd, uint32_t seed, uint64_t count, uint32_t pieces_seed);
void receive_stream_from(int fd, uint32_t seed, uint64_t from, uint64_t count);

int open_descriptors(void);
void sleep_ms(unsigned ms);
/* CPU the whole process used, milliseconds. */
uint64_t cpu_ms(void);

struct test_case {
  const char *name;
  void (*run)(void);
};
extern const struct test_case flow_cases[];
extern const struct test_case end_cases[];
extern const struct test_case limit_cases[];
extern const struct test_case door_cases[];

#endif
