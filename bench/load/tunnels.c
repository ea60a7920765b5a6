/* Tunnels that stay: opened a few at a time, then either used for bulk or held idle. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Blocking, one after another: opening is not what is measured here. -1 when it was refused. */
static int open_tunnel(const struct options *options, struct result *result) {
  int fd = connect_to(&options->proxy);
  if (fd < 0) return -1;
  struct pollfd wait = {.fd = fd, .events = POLLOUT};
  if (poll(&wait, 1, 10000) != 1 || (wait.revents & (POLLERR | POLLHUP)) != 0) goto failed;
  if (!options->direct) {
    char request[1024];
    int length = snprintf(request, sizeof request, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", options->target, options->target);
    if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) goto failed;
    struct head head = {.length = 0};
    for (int status = 0; status == 0;) {
      char byte;
      size_t used;
      uint64_t content_length;
      wait.events = POLLIN;
      if (poll(&wait, 1, 10000) != 1 || recv(fd, &byte, 1, 0) != 1) goto failed;
      status = head_add(&head, &byte, 1, &used, &content_length);
      if (status == 0 || status == 200) continue;
      if (status > 0 && result->first_status == 0) result->first_status = status;
      if (status < 0) goto failed;
      result->refused++;
      reset_close(fd);
      return -1;
    }
  }
  if (options->hello) {
    uint8_t hello[1024];
    size_t length = write_hello(hello, sizeof hello, options->target);
    if (send(fd, hello, length, MSG_NOSIGNAL) != (ssize_t)length) goto failed;
  } else if (!options->up && send(fd, "hello", 5, MSG_NOSIGNAL) != 5) {
    goto failed;
  }
  return fd;
failed:
  result->failed++;
  reset_close(fd);
  return -1;
}

struct transfer {
  int fd;
  uint64_t left;
  bool ended; /* up: has said so, waits for the sink */
};

/* True: there is more to do. */
static bool move_up(struct transfer *transfer, uint8_t *block, const struct options *options, struct result *result) {
  if (transfer->ended) {
    ssize_t n = recv(transfer->fd, block, 4096, 0);
    if (n < 0 && errno == EAGAIN) return true;
    if (n > 0) result->ok++;
    else result->failed++;
    return false;
  }
  for (uint64_t turn = 0; transfer->left > 0 && turn < 1u << 20;) {
    size_t size = transfer->left < options->message_bytes ? (size_t)transfer->left : options->message_bytes;
    ssize_t n = send(transfer->fd, block, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) {
      result->failed++;
      return false;
    }
    transfer->left -= (uint64_t)n;
    result->bytes += (uint64_t)n;
    turn += (uint64_t)n;
  }
  if (transfer->left == 0) {
    shutdown(transfer->fd, SHUT_WR);
    transfer->ended = true;
  }
  return true;
}

static bool move_down(struct transfer *transfer, uint8_t *block, struct result *result) {
  for (int turn = 0; turn < 8; turn++) {
    ssize_t n = recv(transfer->fd, block, 1 << 18, 0);
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) {
      result->failed++;
      return false;
    }
    result->bytes += (uint64_t)n;
    transfer->left -= (uint64_t)n < transfer->left ? (uint64_t)n : transfer->left;
    if (transfer->left == 0) {
      result->ok++;
      return false;
    }
  }
  return true;
}

static void run_bulk(const struct options *options, struct result *result, const int *fds, uint32_t open) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  uint8_t *block = calloc(1, options->message_bytes > 1 << 18 ? options->message_bytes : 1 << 18);
  struct transfer *transfers = calloc(open + 1, sizeof *transfers);
  if (block == NULL || transfers == NULL) die("memory");
  uint64_t began = now_us();
  for (uint32_t i = 0; i < open; i++) {
    transfers[i] = (struct transfer){.fd = fds[i], .left = options->bytes};
    struct epoll_event event = {.events = options->up ? EPOLLOUT : EPOLLIN, .data.ptr = &transfers[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) != 0) die("epoll_ctl");
  }
  struct epoll_event events[256];
  for (uint32_t left = open; left > 0;) {
    int count = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; i++) {
      struct transfer *transfer = events[i].data.ptr;
      bool ended = transfer->ended;
      if (options->up ? move_up(transfer, block, options, result) : move_down(transfer, block, result)) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = transfer};
        if (transfer->ended && !ended) epoll_ctl(epoll, EPOLL_CTL_MOD, transfer->fd, &event);
        continue;
      }
      reset_close(transfer->fd);
      left--;
    }
  }
  result->wall_ms = (double)(now_us() - began) / 1000;
  close(epoll);
  free(transfers);
  free(block);
}

/* How many are still there: neither ended nor broken. */
static void hold(const struct options *options, struct result *result, const int *fds, uint32_t open) {
  result->ok = open;
  print_result(options, result);
  char bytes[4096];
  while (read(STDIN_FILENO, bytes, sizeof bytes) > 0) {
  }
  result->ok = 0;
  for (uint32_t i = 0; i < open; i++) {
    ssize_t n;
    while ((n = recv(fds[i], bytes, sizeof bytes, 0)) > 0) result->bytes += (uint64_t)n;
    if (n < 0 && errno == EAGAIN) result->ok++;
    else result->failed++;
    reset_close(fds[i]);
  }
}

void run_tunnels(const struct options *options, struct result *result) {
  int *fds = calloc(options->tunnels + 1, sizeof *fds);
  if (fds == NULL) die("memory");
  uint32_t open = 0;
  for (uint32_t i = 0; i < options->tunnels; i++) {
    int fd = open_tunnel(options, result);
    if (fd >= 0) fds[open++] = fd;
  }
  if (strcmp(options->mode, "bulk") == 0) run_bulk(options, result, fds, open);
  else hold(options, result, fds, open);
  free(fds);
}
