/* Plain forward requests, `GET http://target/`, over kept or over new connections. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct worker {
  int fd; /* -1: has none */
  bool connecting;
  bool busy;
  uint64_t due_us;
  uint64_t body_left;
  int status; /* 0: still in the head */
  struct head head;
};

struct run {
  const struct options *options;
  struct result *result;
  int epoll;
  char request[1024];
  size_t request_length;
  uint64_t started, finished;
};

static void drop(struct worker *worker) {
  if (worker->fd >= 0) reset_close(worker->fd);
  worker->fd = -1;
}

static void finish(struct run *run, struct worker *worker, int status) {
  if (status == 200) run->result->ok++;
  else if (status > 0) run->result->refused++;
  else run->result->failed++;
  if (status > 0) latency_add(run->result, now_us() - worker->due_us);
  if (status > 0 && status != 200 && run->result->first_status == 0) run->result->first_status = status;
  run->finished++;
  worker->busy = false;
  bool closes = strcasestr(worker->head.text, "\r\nconnection: close") != NULL;
  if (status <= 0 || closes || !run->options->keep_alive) drop(worker);
}

static void ask(struct run *run, struct worker *worker) {
  worker->head.length = 0;
  worker->head.text[0] = 0;
  worker->status = 0;
  if (send(worker->fd, run->request, run->request_length, MSG_NOSIGNAL) != (ssize_t)run->request_length) finish(run, worker, -1);
}

static void start(struct run *run, struct worker *worker, uint64_t due_us) {
  worker->busy = true;
  worker->due_us = due_us;
  run->started++;
  if (worker->fd >= 0) return ask(run, worker);
  worker->fd = connect_to(&run->options->proxy);
  worker->connecting = true;
  worker->head.text[0] = 0;
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = worker};
  if (worker->fd < 0) finish(run, worker, -1);
  else if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, worker->fd, &event) != 0) die("epoll_ctl");
}

static void on_event(struct run *run, struct worker *worker, uint32_t events) {
  if (worker->connecting) {
    worker->connecting = false;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) return finish(run, worker, -1);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = worker};
    epoll_ctl(run->epoll, EPOLL_CTL_MOD, worker->fd, &event);
    return ask(run, worker);
  }
  char bytes[65536];
  ssize_t n = recv(worker->fd, bytes, sizeof bytes, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (!worker->busy) return drop(worker); /* the proxy closed a connection that nobody uses */
  if (n <= 0) return finish(run, worker, -1);
  size_t used = 0;
  if (worker->status == 0) {
    worker->status = head_add(&worker->head, bytes, (size_t)n, &used, &worker->body_left);
    if (worker->status < 0) return finish(run, worker, -1);
    if (worker->status == 0) return;
  }
  uint64_t body = (uint64_t)n - used;
  run->result->bytes += body;
  worker->body_left -= body < worker->body_left ? body : worker->body_left;
  if (worker->body_left == 0) finish(run, worker, worker->status);
}

void run_requests(const struct options *options, struct result *result) {
  struct run run = {.options = options, .result = result, .epoll = epoll_create1(EPOLL_CLOEXEC)};
  const char *scheme = options->direct ? "" : "http://", *authority = options->direct ? "" : options->target;
  run.request_length = (size_t)snprintf(run.request, sizeof run.request, "GET %s%s/ HTTP/1.1\r\nHost: %s\r\n%s\r\n", scheme, authority,
                                        options->target, options->keep_alive ? "" : "Connection: close\r\n");
  latency_init(result, options->count);
  struct worker *workers = calloc(options->concurrency + 1, sizeof *workers);
  if (workers == NULL) die("memory");
  for (uint32_t i = 0; i < options->concurrency; i++) workers[i].fd = -1;
  struct epoll_event events[256];
  uint64_t began = now_us();
  while (run.finished < options->count) {
    int timeout = -1;
    for (uint32_t i = 0; i < options->concurrency && run.started < options->count; i++) {
      if (workers[i].busy) continue;
      uint64_t due = options->rate > 0 ? began + run.started * 1000000 / options->rate : 0;
      uint64_t now = now_us();
      if (due > now) {
        timeout = (int)((due - now) / 1000);
        break;
      }
      start(&run, &workers[i], due == 0 ? now : due);
    }
    if (run.finished >= options->count) break;
    int count = epoll_wait(run.epoll, events, 256, timeout);
    for (int i = 0; i < count; i++) {
      struct worker *worker = events[i].data.ptr;
      if (worker->fd >= 0) on_event(&run, worker, events[i].events);
    }
  }
  result->wall_ms = (double)(now_us() - began) / 1000;
  for (uint32_t i = 0; i < options->concurrency; i++) drop(&workers[i]);
  free(workers);
  close(run.epoll);
}
