/* Four ports: echo sends back, source sends without end once it was spoken to, sink reads and says
 * one byte at the end, http answers every request head alike. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { ECHO, SOURCE, SINK, HTTP };

struct peer {
  int fd;
  enum kind kind;
  bool listens;
  bool sends; /* source: has been spoken to */
  uint32_t pending, offset;
  uint8_t held[8192];
  uint32_t matched; /* http: how much of CR LF CR LF */
};

static uint8_t *block;
static char *answer;
static size_t answer_length;

static void watch(int epoll, struct peer *peer, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = peer};
  if (epoll_ctl(epoll, operation, peer->fd, &event) != 0) die("epoll_ctl");
}

static void listen_on(int epoll, struct in_addr bind_to, uint16_t port, enum kind kind) {
  if (port == 0) return;
  struct peer *peer = calloc(1, sizeof *peer);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = bind_to};
  int yes = 1;
  peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  peer->kind = kind;
  peer->listens = true;
  setsockopt(peer->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(peer->fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(peer->fd, 4096) != 0) die("listen");
  watch(epoll, peer, EPOLLIN, EPOLL_CTL_ADD);
}

static void accept_all(int epoll, const struct peer *listener) {
  for (;;) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &yes, sizeof yes);
    struct peer *peer = calloc(1, sizeof *peer);
    peer->fd = fd;
    peer->kind = listener->kind;
    watch(epoll, peer, EPOLLIN, EPOLL_CTL_ADD);
  }
}

/* True: go on; false: the connection is over. */
static bool flush_held(int epoll, struct peer *peer) {
  while (peer->pending > 0) {
    ssize_t n = send(peer->fd, peer->held + peer->offset, peer->pending, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      watch(epoll, peer, EPOLLOUT, EPOLL_CTL_MOD);
      return true;
    }
    if (n < 0) return false;
    peer->pending -= (uint32_t)n;
    peer->offset += (uint32_t)n;
  }
  peer->offset = 0;
  watch(epoll, peer, EPOLLIN, EPOLL_CTL_MOD);
  return true;
}

static bool on_http(struct peer *peer, const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    peer->matched = bytes[i] == (peer->matched % 2 == 0 ? '\r' : '\n') ? peer->matched + 1 : bytes[i] == '\r';
    if (peer->matched < 4) continue;
    peer->matched = 0;
    if (send(peer->fd, answer, answer_length, MSG_NOSIGNAL) != (ssize_t)answer_length) return false;
  }
  return true;
}

static bool on_readable(int epoll, struct peer *peer) {
  if (peer->kind == ECHO) {
    ssize_t n = recv(peer->fd, peer->held, sizeof peer->held, 0);
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    peer->pending = (uint32_t)n;
    /* The usual case without epoll_ctl. */
    ssize_t sent = send(peer->fd, peer->held, (size_t)n, MSG_NOSIGNAL);
    if (sent == n) peer->pending = 0;
    else if (sent > 0) { peer->pending -= (uint32_t)sent; peer->offset = (uint32_t)sent; }
    return peer->pending == 0 || flush_held(epoll, peer);
  }
  for (int i = 0; i < 4; i++) {
    ssize_t n = recv(peer->fd, block, 1 << 18, 0);
    if (n < 0) return errno == EAGAIN;
    if (n == 0) {
      if (peer->kind == SINK) (void)!send(peer->fd, "!", 1, MSG_NOSIGNAL);
      return false;
    }
    if (peer->kind == HTTP && !on_http(peer, block, (size_t)n)) return false;
    if (peer->kind == SOURCE && !peer->sends) {
      peer->sends = true;
      watch(epoll, peer, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
      return true;
    }
  }
  return true;
}

static bool on_writable(int epoll, struct peer *peer, const struct options *options) {
  if (peer->kind != SOURCE) return flush_held(epoll, peer);
  for (uint32_t moved = 0; moved < 1u << 20;) {
    ssize_t n = send(peer->fd, block, options->message_bytes, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    moved += (uint32_t)n;
  }
  return true;
}

void run_origin(const struct options *options) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  block = calloc(1, options->message_bytes > 1 << 18 ? options->message_bytes : 1 << 18);
  answer = calloc(1, options->body_bytes + 256);
  if (block == NULL || answer == NULL) die("memory");
  answer_length = (size_t)sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %u\r\n\r\n",
                                  options->body_bytes);
  memset(answer + answer_length, 'x', options->body_bytes);
  answer_length += options->body_bytes;
  listen_on(epoll, options->bind, options->echo_port, ECHO);
  listen_on(epoll, options->bind, options->source_port, SOURCE);
  listen_on(epoll, options->bind, options->sink_port, SINK);
  listen_on(epoll, options->bind, options->http_port, HTTP);
  puts("{\"mode\":\"origin\",\"ready\":true}");
  fflush(stdout);
  struct epoll_event events[256];
  for (;;) {
    int count = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; i++) {
      struct peer *peer = events[i].data.ptr;
      if (peer->listens) {
        accept_all(epoll, peer);
        continue;
      }
      bool open = true;
      if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) open = on_readable(epoll, peer);
      if (open && (events[i].events & EPOLLOUT) != 0) open = on_writable(epoll, peer, options);
      if (open) continue;
      close(peer->fd);
      free(peer);
    }
  }
}
