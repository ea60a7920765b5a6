#define _GNU_SOURCE
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char *running = "";

void check(bool ok, const char *what, const char *file, int line) {
  if (ok) return;
  fprintf(stderr, "%s:%d: %s: not so: %s (errno %d)\n", file, line, running, what, errno);
  abort();
}

void check_equal(long long actual, long long expected, const char *what, const char *file, int line) {
  if (actual == expected) return;
  fprintf(stderr, "%s:%d: %s: %s is %lld, expected %lld\n", file, line, running, what, actual, expected);
  abort();
}

static void on_notify(void *user) {
  struct rig *rig = user;
  pthread_mutex_lock(&rig->lock);
  rig->notifications++;
  pthread_cond_signal(&rig->ended);
  pthread_mutex_unlock(&rig->lock);
}

void rig_open(struct rig *rig, const struct relay_options *given) {
  struct relay_options options = given == NULL ? (struct relay_options){0} : *given;
  memset(rig, 0, sizeof *rig);
  pthread_mutex_init(&rig->lock, NULL);
  pthread_cond_init(&rig->ended, NULL);
  options.notify = on_notify;
  options.user = rig;
  CHECK_EQUAL(relay_engine_create(&options, &rig->engine), 0);
}

void rig_close(struct rig *rig) {
  relay_engine_destroy(rig->engine);
  pthread_mutex_destroy(&rig->lock);
  pthread_cond_destroy(&rig->ended);
}

struct relay_completion rig_wait(struct rig *rig) {
  struct relay_completion completion;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 10;
  pthread_mutex_lock(&rig->lock);
  while (relay_drain_completions(rig->engine, &completion, 1) == 0)
    CHECK_EQUAL(pthread_cond_timedwait(&rig->ended, &rig->lock, &until), 0);
  pthread_mutex_unlock(&rig->lock);
  return completion;
}

void expect_counts(struct rig *rig, uint64_t id, uint64_t up, uint64_t down) {
  struct relay_stats stats = {0};
  for (int i = 0; i < 2000; i++) {
    CHECK(relay_tunnel_stats(rig->engine, id, &stats));
    if (stats.bytes_up == up && stats.bytes_down == down) return;
    sleep_ms(1);
  }
  CHECK_EQUAL(stats.bytes_up, up);
  CHECK_EQUAL(stats.bytes_down, down);
}

void tcp_pair(int *near, int *far) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  CHECK_EQUAL(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
  CHECK_EQUAL(listen(listener, 1), 0);
  CHECK_EQUAL(getsockname(listener, (struct sockaddr *)&address, &size), 0);
  *far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_EQUAL(connect(*far, (struct sockaddr *)&address, size), 0);
  *near = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  CHECK(*near >= 0);
  close(listener);
  struct timeval patience = {.tv_sec = 10};
  setsockopt(*far, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(*far, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

struct ends tunnel_open(struct rig *rig, const struct relay_tunnel_options *options) {
  struct relay_tunnel_options none = {0};
  struct ends ends;
  int client_near, origin_near;
  tcp_pair(&client_near, &ends.client);
  tcp_pair(&origin_near, &ends.origin);
  int64_t id = relay_add(rig->engine, client_near, origin_near, options == NULL ? &none : options);
  CHECK(id > 0);
  ends.id = (uint64_t)id;
  return ends;
}

void ends_close(struct ends *ends) {
  close(ends->client);
  close(ends->origin);
}

void send_all(int fd, const void *bytes, size_t count) {
  const uint8_t *at = bytes;
  while (count > 0) {
    ssize_t sent = send(fd, at, count, MSG_NOSIGNAL);
    CHECK(sent > 0);
    at += sent;
    count -= (size_t)sent;
  }
}

void receive_all(int fd, void *bytes, size_t count) {
  uint8_t *at = bytes;
  while (count > 0) {
    ssize_t got = recv(fd, at, count, 0);
    CHECK(got > 0);
    at += got;
    count -= (size_t)got;
  }
}

void expect_text(int fd, const char *text) {
  char got[512] = {0};
  CHECK(strlen(text) < sizeof got);
  receive_all(fd, got, strlen(text));
  CHECK(strcmp(got, text) == 0);
}

void expect_eof(int fd) {
  char byte;
  CHECK_EQUAL(recv(fd, &byte, 1, 0), 0);
}

void expect_reset(int fd) {
  char bytes[4096];
  ssize_t got;
  while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0) {
  }
  CHECK_EQUAL(got, -1);
  CHECK_EQUAL(errno, ECONNRESET);
}

void reset_close(int fd) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

size_t send_until_blocked(int fd) {
  static const uint8_t block[65536] = {7};
  size_t total = 0;
  for (;;) {
    ssize_t sent = send(fd, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      total += (size_t)sent;
      continue;
    }
    CHECK(errno == EAGAIN);
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    if (poll(&poll_fd, 1, 200) == 0) return total; /* nobody took anything for that long */
  }
}

uint8_t stream_byte(uint32_t seed, uint64_t i) {
  uint64_t x = (i / 8 + 1) * 0x9e3779b97f4a7c15ull ^ ((uint64_t)seed << 32 | seed);
  x ^= x >> 29;
  return (uint8_t)(x >> (8 * (i % 8)));
}

static uint32_t next_random(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

/* Mostly large pieces, now and then a tiny one: both ways of relaying, and the change between. */
static size_t next_piece(uint32_t *state, size_t limit) {
  uint32_t choice = next_random(state) % 8;
  size_t piece = choice == 0 ? 1 + next_random(state) % 64 : choice < 3 ? 1 + next_random(state) % 20000 : limit;
  return piece < limit ? piece : limit;
}

void send_stream(int fd, uint32_t seed, uint64_t count, uint32_t pieces_seed) {
  uint8_t *block = malloc(131072);
  uint32_t state = pieces_seed;
  for (uint64_t at = 0; at < count;) {
    size_t piece = next_piece(&state, 131072);
    if (piece > count - at) piece = (size_t)(count - at);
    for (size_t i = 0; i < piece; i++) block[i] = stream_byte(seed, at + i);
    send_all(fd, block, piece);
    at += piece;
  }
  free(block);
}

void receive_stream_from(int fd, uint32_t seed, uint64_t from, uint64_t count) {
  uint8_t *block = malloc(131072);
  for (uint64_t at = from; at < from + count;) {
    size_t want = count + from - at < 131072 ? (size_t)(count + from - at) : 131072;
    ssize_t got = recv(fd, block, want, 0);
    CHECK(got > 0);
    for (ssize_t i = 0; i < got; i++)
      if (block[i] != stream_byte(seed, at + (uint64_t)i)) CHECK_EQUAL(at + (uint64_t)i, -1);
    at += (uint64_t)got;
  }
  free(block);
}

void receive_stream(int fd, uint32_t seed, uint64_t count, uint32_t pieces_seed) {
  (void)pieces_seed;
  receive_stream_from(fd, seed, 0, count);
}

int open_descriptors(void) {
  DIR *dir = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

void sleep_ms(unsigned ms) {
  struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
  nanosleep(&time, NULL);
}

uint64_t cpu_ms(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
         (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static int run_all(const struct test_case *cases, const char *filter) {
  int count = 0;
  for (; cases->name != NULL; cases++) {
    if (filter != NULL && strstr(cases->name, filter) == NULL) continue;
    running = cases->name;
    int before = open_descriptors();
    uint64_t started = clock_ms();
    cases->run();
    CHECK_EQUAL(open_descriptors(), before);
    printf("ok %s (%llu ms)\n", cases->name, (unsigned long long)(clock_ms() - started));
    count++;
  }
  return count;
}

int main(int argc, char **argv) {
  const char *filter = argc > 1 ? argv[1] : NULL;
  alarm(120);
  setvbuf(stdout, NULL, _IOLBF, 0);
  int count = run_all(flow_cases, filter) + run_all(end_cases, filter) + run_all(limit_cases, filter) +
              run_all(door_cases, filter);
  printf("%d cases\n", count);
  return count == 0;
}
