/* Set-ups: connect, CONNECT, 200, a first message there and back, reset. With `rate` they start on
 * a clock whatever the proxy does, and the time a start was late counts: no coordinated omission. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum step { CONNECTING, AWAITING_ANSWER, AWAITING_ECHO };

struct attempt {
  int fd;
  enum step step;
  uint64_t due_us;
  size_t echoed;
  struct head head;
};

struct run {
  const struct options *options;
  struct result *result;
  int epoll;
  char request[1024];
  uint8_t message[1024];
  size_t request_length, message_length;
  uint64_t started, finished;
};

static void finish(struct run *run, struct attempt *attempt, int status) {
  if (status == 200) {
    run->result->ok++;
    run->result->bytes += run->message_length;
    latency_add(run->result, now_us() - attempt->due_us);
  } else if (status > 0) {
    run->result->refused++;
    if (run->result->first_status == 0) run->result->first_status = status;
    latency_add(run->result, now_us() - attempt->due_us);
  } else {
    run->result->failed++;
  }
  if (attempt->fd >= 0) reset_close(attempt->fd);
  free(attempt);
  run->finished++;
}

static bool say(struct run *run, struct attempt *attempt, const void *bytes, size_t count) {
  (void)run;
  return send(attempt->fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count;
}

static void start(struct run *run, uint64_t due_us) {
  struct attempt *attempt = calloc(1, sizeof *attempt);
  if (attempt == NULL) die("memory");
  attempt->due_us = due_us;
  attempt->fd = connect_to(&run->options->proxy);
  run->started++;
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = attempt};
  if (attempt->fd < 0) finish(run, attempt, -1);
  else if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, attempt->fd, &event) != 0) die("epoll_ctl");
}

static void on_connected(struct run *run, struct attempt *attempt) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = attempt};
  epoll_ctl(run->epoll, EPOLL_CTL_MOD, attempt->fd, &event);
  bool direct = run->options->direct;
  attempt->step = direct ? AWAITING_ECHO : AWAITING_ANSWER;
  bool said = direct ? say(run, attempt, run->message, run->message_length) : say(run, attempt, run->request, run->request_length);
  if (!said) finish(run, attempt, -1);
}

static void on_readable(struct run *run, struct attempt *attempt) {
  char bytes[4096];
  ssize_t n = recv(attempt->fd, bytes, sizeof bytes, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return finish(run, attempt, -1);
  size_t used = 0;
  if (attempt->step == AWAITING_ANSWER) {
    uint64_t length;
    int status = head_add(&attempt->head, bytes, (size_t)n, &used, &length);
    if (status == 0) return;
    if (status != 200) return finish(run, attempt, status);
    attempt->step = AWAITING_ECHO;
    if (!say(run, attempt, run->message, run->message_length)) return finish(run, attempt, -1);
  }
  attempt->echoed += (size_t)n - used;
  if (attempt->echoed >= run->message_length) finish(run, attempt, 200);
}

void run_setup(const struct options *options, struct result *result) {
  struct run run = {.options = options, .result = result, .epoll = epoll_create1(EPOLL_CLOEXEC)};
  run.request_length = (size_t)snprintf(run.request, sizeof run.request, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", options->target, options->target);
  run.message_length = options->hello ? write_hello(run.message, sizeof run.message, options->target) : 5;
  if (!options->hello) memcpy(run.message, "hello", 5);
  latency_init(result, options->count);
  struct epoll_event events[256];
  uint64_t began = now_us();
  while (run.finished < options->count) {
    int timeout = -1;
    if (options->rate > 0) {
      while (run.started < options->count) {
        uint64_t due = began + run.started * 1000000 / options->rate;
        uint64_t now = now_us();
        if (due > now) {
          timeout = (int)((due - now) / 1000);
          break;
        }
        start(&run, due);
      }
    } else {
      while (run.started < options->count && run.started - run.finished < options->concurrency) start(&run, now_us());
    }
    int count = epoll_wait(run.epoll, events, 256, timeout);
    for (int i = 0; i < count; i++) {
      struct attempt *attempt = events[i].data.ptr;
      if (attempt->step != CONNECTING) on_readable(&run, attempt);
      else if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0) finish(&run, attempt, -1);
      else on_connected(&run, attempt);
    }
  }
  result->wall_ms = (double)(now_us() - began) / 1000;
  close(run.epoll);
}
