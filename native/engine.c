/*
 * The engine: one thread that waits for events. It meets the functions of relay.c at one
 * mutex, which it takes only when it was woken or a tunnel ended.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_MAX_PIPES 128u
#define DEFAULT_MAX_TUNNELS 65536u
#define EVENTS_PER_ROUND 128
/* No recursion, no large locals: the default of 8 MiB would only be address space, but say what is needed. */
#define THREAD_STACK_BYTES (256u * 1024)

uint64_t clock_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool engine_must_wake(struct relay_engine *engine) {
  bool must = !engine->woken;
  engine->woken = true;
  return must;
}

void engine_wake(struct relay_engine *engine) {
  uint64_t one = 1;
  /* EAGAIN would mean a counter of 2^64: it is readable anyway. */
  while (write(engine->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

/* False: it is to stop. That is looked at after the wake has been read: what is said later wakes again. */
static bool take_commands(struct relay_engine *engine) {
  uint64_t count;
  while (read(engine->wake_fd, &count, sizeof count) < 0 && errno == EINTR) {
  }
  struct queue added;
  queue_init(&added);
  pthread_mutex_lock(&engine->lock);
  if (engine->stopping) {
    pthread_mutex_unlock(&engine->lock);
    return false;
  }
  engine->woken = false;
  struct tunnel *tunnel;
  while ((tunnel = queue_shift(&engine->added)) != NULL) queue_push(&added, tunnel);
  struct kill_request *kills = engine->kills;
  size_t kill_count = engine->kill_count;
  engine->kills = NULL;
  engine->kill_count = 0;
  engine->kill_capacity = 0;
  struct queue commanded;
  queue_init(&commanded);
  while ((tunnel = queue_shift(&engine->commanded)) != NULL) queue_push(&commanded, tunnel);
  uint32_t listeners = engine->listeners;
  bool stop_listening = engine->stop_listening;
  engine->stop_listening = false;
  pthread_mutex_unlock(&engine->lock);

  door_take_commands(engine, &commanded, listeners, stop_listening);
  while ((tunnel = queue_shift(&added)) != NULL) tunnel_start(engine, tunnel);
  for (size_t i = 0; i < kill_count; i++) {
    pthread_mutex_lock(&engine->lock);
    tunnel = table_find(engine, kills[i].id);
    /* Once ended it belongs to whoever drains, and may be freed as soon as the lock is free. */
    if (tunnel != NULL && (tunnel->state == TUNNEL_ENDED || tunnel->door != NULL)) tunnel = NULL;
    pthread_mutex_unlock(&engine->lock);
    if (tunnel == NULL) continue;
    tunnel->kill_reason = kills[i].reason;
    tunnel_end(engine, tunnel, RELAY_ENDED_KILLED, 0, true);
  }
  free(kills);
  return true;
}

/* At the end of a round: only now can no event of this round point at the ended ones. */
static void complete_ended(struct relay_engine *engine) {
  if (engine->ended.first == NULL && engine->asking.first == NULL && engine->discarded.first == NULL &&
      engine->carrying.first == NULL)
    return;
  bool notify;
  struct tunnel *tunnel;
  pthread_mutex_lock(&engine->lock);
  while ((tunnel = queue_shift(&engine->ended)) != NULL) {
    tunnel->started_ms = engine->now_ms - tunnel->started_ms; /* from here on: the duration */
    queue_push(&engine->completed, tunnel);
  }
  door_publish(engine);
  bool something = engine->completed.first != NULL || door_has_news(engine);
  notify = something && !engine->notified;
  if (something) engine->notified = true;
  pthread_mutex_unlock(&engine->lock);
  if (notify && engine->notify != NULL) engine->notify(engine->user);
}

static void serve_ready(struct relay_engine *engine) {
  /* Those that are queued now, once each: who is queued again has its turn after new events. */
  struct queue turn = engine->ready;
  if (turn.first == NULL) return;
  turn.first->queue_link = &turn.first;
  queue_init(&engine->ready);
  struct tunnel *tunnel;
  while ((tunnel = queue_shift(&turn)) != NULL) tunnel_service(engine, tunnel);
}

/*
 * Woken by the event loop's thread many times while that goes through its own events. As SCHED_BATCH
 * this thread does not push it aside each time (sched(7)) but runs when the loop waits or its slice is
 * over, and then finds all of it in one round. With a core of its own it runs at once either way.
 */
static void let_wakers_finish(void) {
  struct sched_param none = {0};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
}

static void *engine_run(void *argument) {
  struct relay_engine *engine = argument;
  let_wakers_finish();
  struct epoll_event events[EVENTS_PER_ROUND];
  for (;;) {
    int timeout = engine->ready.first != NULL ? 0 : wheel_timeout(&engine->wheel, engine->now_ms);
    int count = epoll_wait(engine->epoll_fd, events, EVENTS_PER_ROUND, timeout);
    engine->now_ms = clock_ms();
    bool woken = false;
    for (int i = 0; i < count; i++) {
      uint64_t data = events[i].data.u64;
      if (data == 0)
        woken = true;
      else if ((data & EVENT_TAGS) == EVENT_LISTENER)
        door_on_listener(engine, (uint32_t)(data >> EVENT_TAG_BITS));
      else if ((data & EVENT_TAGS) == EVENT_ATTEMPT)
        dial_on_event(engine, (struct attempt *)(uintptr_t)(data & ~(uint64_t)EVENT_TAGS), events[i].events);
      else
        tunnel_on_event(engine, (struct tunnel *)(uintptr_t)(data & ~(uint64_t)EVENT_TAGS), (int)(data & EVENT_TAGS), events[i].events);
    }
    serve_ready(engine);
    if (woken && !take_commands(engine)) return NULL;
    struct tunnel *due;
    while ((due = wheel_due(&engine->wheel, engine->now_ms)) != NULL) tunnel_on_deadline(engine, due);
    complete_ended(engine);
  }
}

static uint32_t pipe_limit(const struct relay_options *options) {
  if (options->no_splice) return 0;
  uint32_t limit = options->max_pipes == 0 ? DEFAULT_MAX_PIPES : options->max_pipes;
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur / 16 < limit) limit = (uint32_t)(files.rlim_cur / 16);
  return limit;
}

/* The host's signals are its own: a SIGTERM handled here would reach no event loop, and splice
 * raises SIGPIPE where send has MSG_NOSIGNAL. */
static int start_thread(struct relay_engine *engine) {
  sigset_t all, before;
  pthread_attr_t attributes;
  int failed = pthread_attr_init(&attributes);
  if (failed != 0) return failed;
  (void)pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  failed = pthread_create(&engine->thread, &attributes, engine_run, engine);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (failed == 0) (void)pthread_setname_np(engine->thread, "sallyport-relay");
  return failed;
}

static void engine_free(struct relay_engine *engine) {
  if (engine->epoll_fd >= 0) close(engine->epoll_fd);
  if (engine->wake_fd >= 0) close(engine->wake_fd);
  pipe_pool_destroy(&engine->pipes);
  pthread_mutex_destroy(&engine->lock);
  free(engine->scratch);
  free(engine->kills);
  free(engine->slots);
  for (uint32_t i = 0; i < engine->listeners; i++) free(engine->listener[i].established);
  free(engine);
}

int relay_engine_create(const struct relay_options *options, struct relay_engine **result) {
  struct relay_engine *engine = calloc(1, sizeof *engine);
  if (engine == NULL) return -ENOMEM;
  engine->max_tunnels = options->max_tunnels == 0 ? DEFAULT_MAX_TUNNELS : options->max_tunnels;
  if (engine->max_tunnels > 1u << SLOT_BITS) engine->max_tunnels = 1u << SLOT_BITS;
  engine->first_free = NO_SLOT;
  engine->notify = options->notify;
  engine->user = options->user;
  engine->now_ms = clock_ms();
  wheel_init(&engine->wheel, engine->now_ms);
  pipe_pool_init(&engine->pipes, pipe_limit(options));
  queue_init(&engine->ready);
  queue_init(&engine->ended);
  queue_init(&engine->added);
  queue_init(&engine->completed);
  queue_init(&engine->silent);
  queue_init(&engine->asking);
  queue_init(&engine->discarded);
  queue_init(&engine->events);
  queue_init(&engine->commanded);
  door_list_init(&engine->carrying);
  door_list_init(&engine->carried);
  engine->reserve_fd = -1;
  atomic_init(&engine->client_limit, UINT32_MAX);
  pthread_mutex_init(&engine->lock, NULL);
  engine->scratch = malloc(SCRATCH_BYTES);
  engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int failed = 0;
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
  if (engine->scratch == NULL)
    failed = ENOMEM;
  else if (engine->epoll_fd < 0 || engine->wake_fd < 0 ||
           epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, engine->wake_fd, &event) != 0)
    failed = errno;
  else
    failed = start_thread(engine);
  if (failed != 0) {
    engine_free(engine);
    return -failed;
  }
  *result = engine;
  return 0;
}

void relay_engine_stop(struct relay_engine *engine, uint32_t reason) {
  pthread_mutex_lock(&engine->lock);
  bool first = !engine->stopping;
  engine->stopping = true;
  pthread_mutex_unlock(&engine->lock);
  if (!first) return;
  engine_wake(engine);
  pthread_join(engine->thread, NULL);
  /* From here on this thread is the engine's. */
  engine->now_ms = clock_ms();
  for (uint32_t i = 0; i < engine->slot_count; i++) {
    struct tunnel *tunnel = engine->slots[i].tunnel;
    if (tunnel == NULL || tunnel->state == TUNNEL_ENDED || tunnel->door != NULL) continue;
    if (tunnel->state == TUNNEL_NEW) queue_remove(&engine->added, tunnel);
    tunnel->kill_reason = reason;
    tunnel_end(engine, tunnel, RELAY_ENDED_KILLED, 0, true);
  }
  engine->notify = NULL;
  door_stop(engine);
  complete_ended(engine);
}

void relay_engine_destroy(struct relay_engine *engine) {
  relay_engine_stop(engine, 0);
  for (uint32_t i = 0; i < engine->slot_count; i++) {
    struct tunnel *tunnel = engine->slots[i].tunnel;
    if (tunnel == NULL) continue;
    if (tunnel->dialled_fd >= 0) close(tunnel->dialled_fd); /* nobody came for it */
    engine->slots[i].tunnel = NULL;
    if (tunnel->door != NULL) continue; /* in one of the door's lists */
    tunnel_free(tunnel);
  }
  door_free(engine);
  engine_free(engine);
}
