#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "load origin   --echo PORT --source PORT --sink PORT --http PORT [--bind IP] [--message BYTES] [--body BYTES]\n"
    "load setup    --proxy IP:PORT --target HOST:PORT --count N [--concurrency C] [--rate R] [--hello] [--direct]\n"
    "              connect, CONNECT, 200, first bytes echoed; then a reset. Target: an echo port\n"
    "load bulk     --proxy IP:PORT --target HOST:PORT --tunnels T --bytes B --up|--down [--message BYTES] [--hello] [--direct]\n"
    "              target: a sink port for --up, a source port for --down\n"
    "load idle     --proxy IP:PORT --target HOST:PORT --tunnels N [--hello] [--direct]\n"
    "              prints a line when all are open, holds them until its stdin ends, prints another\n"
    "load request  --proxy IP:PORT --target HOST:PORT --count N [--concurrency C] [--rate R] [--keep-alive] [--direct]\n"
    "Each prints one JSON line. Exit 1: nothing succeeded and nothing was refused.\n";

uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(2);
}

int connect_to(const struct sockaddr_in *address) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  int yes = 1;
  setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &yes, sizeof yes);
  if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno != EINPROGRESS) {
    close(fd);
    return -1;
  }
  return fd;
}

void reset_close(int fd) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

void latency_init(struct result *result, uint64_t count) {
  result->latency_us = calloc(count == 0 ? 1 : count, sizeof *result->latency_us);
  if (result->latency_us == NULL) die("memory for latencies");
}

void latency_add(struct result *result, uint64_t us) {
  result->latency_us[result->latencies++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

void print_result(const struct options *options, struct result *result) {
  printf("{\"mode\":\"%s\",\"ok\":%llu,\"refused\":%llu,\"failed\":%llu,\"firstStatus\":%d,\"bytes\":%llu,\"wallMs\":%.3f", options->mode,
         (unsigned long long)result->ok, (unsigned long long)result->refused, (unsigned long long)result->failed,
         result->first_status, (unsigned long long)result->bytes, result->wall_ms);
  size_t n = result->latencies;
  if (n > 0) {
    qsort(result->latency_us, n, sizeof *result->latency_us, by_value);
    printf(",\"p50Us\":%u,\"p90Us\":%u,\"p99Us\":%u,\"maxUs\":%u", result->latency_us[n / 2], result->latency_us[n * 9 / 10],
           result->latency_us[n * 99 / 100], result->latency_us[n - 1]);
  }
  printf("}\n");
  fflush(stdout);
}

int head_add(struct head *head, const char *bytes, size_t count, size_t *used, uint64_t *content_length) {
  for (*used = 0; *used < count;) {
    if (head->length + 1 >= sizeof head->text) return -1;
    head->text[head->length++] = bytes[(*used)++];
    if (head->length < 4 || memcmp(head->text + head->length - 4, "\r\n\r\n", 4) != 0) continue;
    head->text[head->length] = 0;
    int status;
    if (sscanf(head->text, "HTTP/1.%*1d %3d", &status) != 1) return -1;
    const char *field = strcasestr(head->text, "\r\ncontent-length:");
    *content_length = field == NULL ? 0 : strtoull(field + 17, NULL, 10);
    return status;
  }
  return 0;
}

static void read_address(struct sockaddr_in *address, char *text) {
  char *colon = strrchr(text, ':');
  if (colon == NULL) goto bad;
  *colon = 0;
  address->sin_family = AF_INET;
  address->sin_port = htons((uint16_t)atoi(colon + 1));
  if (inet_pton(AF_INET, text, &address->sin_addr) == 1) return;
bad:
  fprintf(stderr, "load: `%s` is not IP:PORT\n", text);
  exit(2);
}

static void read_options(struct options *options, int argc, char **argv) {
  for (int i = 2; i < argc; i++) {
    const char *name = argv[i];
    if (strcmp(name, "--hello") == 0) options->hello = true;
    else if (strcmp(name, "--direct") == 0) options->direct = true;
    else if (strcmp(name, "--keep-alive") == 0) options->keep_alive = true;
    else if (strcmp(name, "--up") == 0) options->up = true;
    else if (strcmp(name, "--down") == 0) options->up = false;
    else if (i + 1 >= argc) goto bad;
    else {
      char *value = argv[++i];
      uint64_t number = strtoull(value, NULL, 10);
      if (strcmp(name, "--proxy") == 0) read_address(&options->proxy, value);
      else if (strcmp(name, "--bind") == 0) {
        if (inet_pton(AF_INET, value, &options->bind) != 1) goto bad;
      } else if (strcmp(name, "--target") == 0) options->target = value;
      else if (strcmp(name, "--concurrency") == 0) options->concurrency = (uint32_t)number;
      else if (strcmp(name, "--count") == 0) options->count = number;
      else if (strcmp(name, "--rate") == 0) options->rate = (uint32_t)number;
      else if (strcmp(name, "--tunnels") == 0) options->tunnels = (uint32_t)number;
      else if (strcmp(name, "--bytes") == 0) options->bytes = number;
      else if (strcmp(name, "--message") == 0) options->message_bytes = (uint32_t)number;
      else if (strcmp(name, "--body") == 0) options->body_bytes = (uint32_t)number;
      else if (strcmp(name, "--echo") == 0) options->echo_port = (uint16_t)number;
      else if (strcmp(name, "--source") == 0) options->source_port = (uint16_t)number;
      else if (strcmp(name, "--sink") == 0) options->sink_port = (uint16_t)number;
      else if (strcmp(name, "--http") == 0) options->http_port = (uint16_t)number;
      else goto bad;
    }
    continue;
  bad:
    fprintf(stderr, "load: `%s`?\n%s", name, usage);
    exit(2);
  }
}

int main(int argc, char **argv) {
  struct options options = {.mode = argc > 1 ? argv[1] : "", .concurrency = 16, .tunnels = 1, .count = 1, .bytes = 1 << 20,
                            .message_bytes = 65536, .body_bytes = 1024, .target = "", .bind.s_addr = htonl(INADDR_LOOPBACK)};
  struct result result = {0};
  read_options(&options, argc, argv);
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  if (strcmp(options.mode, "origin") == 0) run_origin(&options);
  else if (options.proxy.sin_family != AF_INET) {
    fputs(usage, stderr);
    return 2;
  } else if (strcmp(options.mode, "setup") == 0) run_setup(&options, &result);
  else if (strcmp(options.mode, "bulk") == 0 || strcmp(options.mode, "idle") == 0) run_tunnels(&options, &result);
  else if (strcmp(options.mode, "request") == 0) run_requests(&options, &result);
  else {
    fputs(usage, stderr);
    return 2;
  }
  print_result(&options, &result);
  free(result.latency_us);
  return result.ok + result.refused == 0;
}
