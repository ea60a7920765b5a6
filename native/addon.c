/*
 * The one Node-API boundary. It converts and forwards; it decides nothing. The types and what
 * they promise are in index.d.ts.
 *
 * Teardown: the environment's cleanup hook stops and joins the engine's thread. It is added
 * after the thread-safe function was made, so it runs before that one goes away, and nothing
 * calls into a dead environment. Node turns the loop once more around that, when JavaScript can
 * no longer be called: so every status is checked before its result is used, and the context
 * outlives both hook and function; the last of them frees it. At `process.exit` no hook runs in the main thread; the engine then
 * runs until the process is gone, touching only its own memory.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>

#include "values.h"

/* Raised when index.d.ts changes in a way that a caller must know. */
#define ABI 3
#define BATCH 256
#define RECORD_FIELDS 9
#define DOOR_FIELDS 23
#define DOOR_BATCH 64
/* So much is handed over before the event loop has its turn with other things: about ten milliseconds of work. */
#define DOOR_BATCHES_PER_TURN 8

struct context {
  struct relay_engine *engine; /* NULL: closed */
  napi_threadsafe_function ended;
  napi_ref on_ended;
  napi_ref on_door; /* NULL: nothing comes through the door, and then nor is there the next */
  napi_ref on_more;
  uint64_t open; /* tunnels whose end was not handed to JavaScript yet */
  bool environment_gone;
  bool function_gone;
};

/* In the engine's thread. One call is under way at most: the engine notifies once until drained. */
static void on_notify(void *user) {
  struct context *context = user;
  (void)napi_call_threadsafe_function(context->ended, NULL, napi_tsfn_nonblocking);
}

/* As open sockets would, open tunnels keep the process alive. */
static void count_open(napi_env env, struct context *context) {
  if (context->open++ == 0) napi_ref_threadsafe_function(env, context->ended);
}

/* False: the callback threw, and the exception is pending; or the environment is ending. */
static bool hand_over(napi_env env, struct context *context, const struct relay_completion *batch, size_t count) {
  void *memory;
  napi_value buffer, records, callback, global;
  if (napi_create_arraybuffer(env, count * RECORD_FIELDS * sizeof(double), &memory, &buffer) != napi_ok) return false;
  double *record = memory;
  for (size_t i = 0; i < count; i++, record += RECORD_FIELDS) {
    record[0] = (double)batch[i].id;
    record[1] = (double)batch[i].bytes_up;
    record[2] = (double)batch[i].bytes_down;
    record[3] = batch[i].ended_by;
    record[4] = batch[i].error;
    record[5] = batch[i].kill_reason;
    record[6] = (double)batch[i].duration_ms;
    record[7] = batch[i].address;
    record[8] = batch[i].fd;
  }
  return napi_create_typedarray(env, napi_float64_array, count * RECORD_FIELDS, buffer, 0, &records) == napi_ok &&
         napi_get_reference_value(env, context->on_ended, &callback) == napi_ok && napi_get_global(env, &global) == napi_ok &&
         napi_call_function(env, global, callback, 1, &records, NULL) == napi_ok;
}

static bool drain(napi_env env, struct context *context) {
  struct relay_completion batch[BATCH];
  /* The callback may close the engine under us. */
  while (context->engine != NULL) {
    size_t count = relay_drain_completions(context->engine, batch, BATCH);
    if (count == 0) return true;
    context->open -= count;
    if (context->open == 0 && context->ended != NULL) napi_unref_threadsafe_function(env, context->ended);
    if (!hand_over(env, context, batch, count)) {
      bool threw = false;
      napi_is_exception_pending(env, &threw);
      /* Nobody has seen these connections. (A callback that threw has: they are its own.) */
      for (size_t i = 0; !threw && i < count; i++)
        if (batch[i].fd >= 0) close(batch[i].fd);
      /* What is left must not wait for an end that may never come. */
      if (context->engine != NULL && context->ended != NULL) on_notify(context);
      return false;
    }
  }
  return true;
}

/* Family, four words, port. */
static void fill_address(double record[6], const union relay_address *address) {
  bool v6 = address->any.sa_family == AF_INET6;
  uint32_t words[4] = {v6 ? 0 : ntohl(address->v4.sin_addr.s_addr), 0, 0, 0};
  for (int i = 0; v6 && i < 4; i++) {
    uint32_t word;
    memcpy(&word, address->v6.sin6_addr.s6_addr + 4 * i, sizeof word);
    words[i] = ntohl(word);
  }
  record[0] = v6 ? 6 : 4;
  for (int i = 0; i < 4; i++) record[1 + i] = words[i];
  record[5] = ntohs(v6 ? address->v6.sin6_port : address->v4.sin_port);
}

static void fill_door_record(double *record, const struct relay_door_event *event, size_t offset) {
  record[0] = (double)event->id;
  record[1] = event->kind;
  fill_address(record + 2, &event->peer);
  record[8] = event->fd;
  record[9] = event->error;
  record[10] = event->address;
  record[11] = (double)event->dial_us;
  record[12] = event->ended;
  record[13] = (double)offset;
  record[14] = event->byte_count;
  record[15] = event->listener;
  fill_address(record + 16, &event->original);
  record[22] = event->original_error;
}

/* False: the callback threw, and the exception is pending; or the environment is ending. */
static bool hand_door_over(napi_env env, struct context *context, const struct relay_door_event *batch, size_t count) {
  size_t total = 0, offset = 0;
  void *memory, *bytes;
  napi_value buffer, records, data, all, callback, global;
  for (size_t i = 0; i < count; i++) total += batch[i].byte_count;
  bool ok = napi_create_arraybuffer(env, count * DOOR_FIELDS * sizeof(double), &memory, &buffer) == napi_ok &&
            napi_create_arraybuffer(env, total, &bytes, &data) == napi_ok;
  for (size_t i = 0; i < count; i++) {
    if (ok) {
      fill_door_record((double *)memory + i * DOOR_FIELDS, &batch[i], offset);
      if (batch[i].byte_count > 0) memcpy((uint8_t *)bytes + offset, batch[i].bytes, batch[i].byte_count);
      offset += batch[i].byte_count;
    }
    relay_door_event_done(context->engine, &batch[i]);
    if (batch[i].kind == RELAY_DOOR_CARRIED) count_open(env, context);
  }
  return ok && napi_create_typedarray(env, napi_float64_array, count * DOOR_FIELDS, buffer, 0, &records) == napi_ok &&
         napi_create_typedarray(env, napi_uint8_array, total, data, 0, &all) == napi_ok &&
         napi_get_reference_value(env, context->on_door, &callback) == napi_ok && napi_get_global(env, &global) == napi_ok &&
         napi_call_function(env, global, callback, 2, (napi_value[]){records, all}, NULL) == napi_ok;
}

/* False: an exception is pending, or the environment is ending. */
static bool drain_door(napi_env env, struct context *context, int *turns) {
  struct relay_door_event batch[DOOR_BATCH];
  for (; context->engine != NULL && *turns > 0; --*turns) {
    size_t count = relay_drain_door(context->engine, batch, DOOR_BATCH);
    if (count == 0) return true;
    if (hand_door_over(env, context, batch, count)) continue;
    bool threw = false;
    napi_is_exception_pending(env, &threw);
    for (size_t i = 0; !threw && i < count; i++)
      if (batch[i].fd >= 0) close(batch[i].fd);
    if (context->engine != NULL && context->ended != NULL) on_notify(context);
    return false;
  }
  return true;
}

/* Nothing is notified until both lists are drained; so whoever stops before that has to come back by itself. */
static void drain_later(napi_env env, struct context *context) {
  napi_value callback, global;
  (void)(napi_get_reference_value(env, context->on_more, &callback) == napi_ok && napi_get_global(env, &global) == napi_ok &&
         napi_call_function(env, global, callback, 0, NULL, NULL) == napi_ok);
}

/* Both lists, until neither has anything, or until others have waited long enough: a flood at the door could go on for ever. */
static void drain_all(napi_env env, struct context *context, int turns) {
  while (drain_door(env, context, &turns) && drain(env, context)) {
    if (context->engine == NULL || relay_is_drained(context->engine)) return;
    if (turns == 0) {
      drain_later(env, context);
      return;
    }
  }
}

static void on_ended(napi_env env, napi_value callback, void *user, void *data) {
  (void)callback;
  (void)data;
  if (env == NULL) return; /* the environment is going away */
  drain_all(env, user, DOOR_BATCHES_PER_TURN);
  /* Node drops an exception from here with a mere warning, for modules of this Node-API version. */
  napi_value exception;
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending && napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
}

static void on_cleanup(void *user) {
  struct context *context = user;
  if (context->engine != NULL) relay_engine_destroy(context->engine);
  context->engine = NULL;
  context->environment_gone = true;
  if (context->function_gone) free(context);
}

static void on_finalize(napi_env env, void *user, void *hint) {
  (void)env;
  (void)hint;
  struct context *context = user;
  context->function_gone = true;
  /* Else it was `close`: the methods are still there to be called, and say that it is closed. */
  if (context->environment_gone) free(context);
}

static struct context *context_of(napi_env env, napi_callback_info info, size_t *count, napi_value *arguments) {
  void *data = NULL;
  napi_get_cb_info(env, info, count, arguments, NULL, &data);
  return data;
}

/* Descriptors of our own: the caller goes on owning, and must close, what it has. Not duplicated: an
 * origin that came from `dial`, which is nobody else's. */
static int duplicate(const int from[2], int to[2], bool origin_too) {
  to[0] = fcntl(from[0], F_DUPFD_CLOEXEC, 3);
  if (to[0] < 0) return -errno;
  to[1] = origin_too ? fcntl(from[1], F_DUPFD_CLOEXEC, 3) : from[1];
  if (to[1] >= 0) return 0;
  int failed = origin_too ? -errno : -EBADF;
  close(to[0]);
  return failed;
}

/* relay(clientFd, originFd, toOrigin, toClient, idleMs, lifetimeMs, ownsOrigin): id, or a negative errno */
static napi_value relay_method(napi_env env, napi_callback_info info) {
  size_t count = 7;
  napi_value arguments[7];
  struct context *context = context_of(env, info, &count, arguments);
  int32_t fds[2];
  struct relay_tunnel_options options = {0};
  bool owns_origin;
  if (count < 7 || napi_get_value_int32(env, arguments[0], &fds[0]) != napi_ok ||
      napi_get_value_int32(env, arguments[1], &fds[1]) != napi_ok ||
      !read_bytes(env, arguments[2], &options.to_origin, &options.to_origin_bytes) ||
      !read_bytes(env, arguments[3], &options.to_client, &options.to_client_bytes) ||
      napi_get_value_uint32(env, arguments[4], &options.idle_ms) != napi_ok ||
      napi_get_value_uint32(env, arguments[5], &options.lifetime_ms) != napi_ok ||
      napi_get_value_bool(env, arguments[6], &owns_origin) != napi_ok)
    return throw_type_error(env, "relay(clientFd, originFd, toOrigin, toClient, idleMs, lifetimeMs, ownsOrigin)");
  if (context->engine == NULL) return number(env, -ESHUTDOWN);
  int own[2] = {-1, -1};
  int failed = duplicate(fds, own, !owns_origin);
  if (failed != 0) return number(env, failed);
  int64_t id = relay_add(context->engine, own[0], own[1], &options);
  if (id < 0) {
    close(own[0]);
    if (!owns_origin) close(own[1]);
  } else {
    count_open(env, context);
  }
  return number(env, (double)id);
}

/* dial(addresses, port, dialMs, staggerMs): id, or a negative errno */
static napi_value dial_method(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value arguments[4];
  struct context *context = context_of(env, info, &count, arguments);
  uint32_t port = 0;
  union relay_address addresses[RELAY_DIAL_ADDRESSES];
  struct relay_dial_options options = {.addresses = addresses};
  if (count < 4 || napi_get_value_uint32(env, arguments[1], &port) != napi_ok || port == 0 || port > UINT16_MAX ||
      napi_get_value_uint32(env, arguments[2], &options.dial_ms) != napi_ok || options.dial_ms == 0 ||
      napi_get_value_uint32(env, arguments[3], &options.stagger_ms) != napi_ok ||
      (options.count = read_addresses(env, arguments[0], (uint16_t)port, addresses)) == 0)
    return throw_type_error(env, "dial(addresses, port, dialMs, staggerMs): 1 to 8 IP addresses, with commas between");
  if (context->engine == NULL) return number(env, -ESHUTDOWN);
  int64_t id = relay_dial(context->engine, &options);
  if (id > 0) count_open(env, context);
  return number(env, (double)id);
}

static napi_value kill_method(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  struct context *context = context_of(env, info, &count, arguments);
  int64_t id;
  uint32_t reason;
  if (count < 2 || napi_get_value_int64(env, arguments[0], &id) != napi_ok ||
      napi_get_value_uint32(env, arguments[1], &reason) != napi_ok)
    return throw_type_error(env, "kill(id, reason)");
  return boolean(env, context->engine != NULL && relay_kill(context->engine, (uint64_t)id, reason) > 0);
}

static napi_value kill_all_method(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value arguments[1];
  struct context *context = context_of(env, info, &count, arguments);
  uint32_t reason;
  if (count < 1 || napi_get_value_uint32(env, arguments[0], &reason) != napi_ok)
    return throw_type_error(env, "killAll(reason)");
  return number(env, context->engine == NULL ? 0 : (double)relay_kill_all(context->engine, reason));
}

static napi_value stats_method(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  struct context *context = context_of(env, info, &count, arguments);
  int64_t id;
  double *out = count < 2 ? NULL : read_doubles(env, arguments[1], 3);
  if (out == NULL || napi_get_value_int64(env, arguments[0], &id) != napi_ok)
    return throw_type_error(env, "stats(id, out: Float64Array(3))");
  struct relay_stats stats;
  if (context->engine == NULL || !relay_tunnel_stats(context->engine, (uint64_t)id, &stats)) return boolean(env, false);
  out[0] = (double)stats.bytes_up;
  out[1] = (double)stats.bytes_down;
  out[2] = (double)stats.idle_ms;
  return boolean(env, true);
}

static napi_value totals_method(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value arguments[1];
  struct context *context = context_of(env, info, &count, arguments);
  double *out = count < 1 ? NULL : read_doubles(env, arguments[0], 4);
  if (out == NULL) return throw_type_error(env, "totals(out: Float64Array(4))");
  if (context->engine == NULL) return boolean(env, false);
  struct relay_totals totals;
  relay_engine_totals(context->engine, &totals);
  out[0] = (double)totals.tunnels_open;
  out[1] = (double)totals.bytes_up;
  out[2] = (double)totals.bytes_down;
  out[3] = (double)totals.pipes;
  return boolean(env, true);
}

static napi_value close_method(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value arguments[1];
  struct context *context = context_of(env, info, &count, arguments);
  uint32_t reason;
  if (count < 1 || napi_get_value_uint32(env, arguments[0], &reason) != napi_ok)
    return throw_type_error(env, "close(reason)");
  struct relay_engine *engine = context->engine;
  if (engine == NULL) return NULL;
  relay_engine_stop(engine, reason);
  drain_all(env, context, INT_MAX);
  if (context->engine == NULL) return NULL; /* the callback called close as well */
  context->engine = NULL;
  relay_engine_destroy(engine);
  napi_threadsafe_function ended = context->ended;
  context->ended = NULL;
  napi_release_threadsafe_function(ended, napi_tsfn_release);
  return NULL;
}

/* drain(): what was left when `onMore` was called */
static napi_value drain_method(napi_env env, napi_callback_info info) {
  size_t count = 0;
  struct context *context = context_of(env, info, &count, NULL);
  if (context->engine != NULL) drain_all(env, context, DOOR_BATCHES_PER_TURN);
  return NULL;
}

/* listen(fd, readsTls, established): the listener's number, or a negative errno. The descriptor is duplicated. */
static napi_value listen_method(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  struct context *context = context_of(env, info, &count, arguments);
  int32_t fd;
  bool reads_tls;
  char text[256];
  size_t length;
  if (count < 3 || napi_get_value_int32(env, arguments[0], &fd) != napi_ok ||
      napi_get_value_bool(env, arguments[1], &reads_tls) != napi_ok ||
      napi_get_value_string_latin1(env, arguments[2], text, sizeof text, &length) != napi_ok || length + 1 == sizeof text)
    return throw_type_error(env, "listen(fd, readsTls, established)");
  if (context->engine == NULL || context->on_door == NULL) return number(env, -ESHUTDOWN);
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0) return number(env, -errno);
  int listener =
      relay_listen(context->engine, own, reads_tls ? RELAY_READS_TLS : RELAY_READS_CONNECT, text, (uint32_t)length);
  if (listener < 0) close(own);
  return number(env, listener);
}

static napi_value stop_listening_method(napi_env env, napi_callback_info info) {
  size_t count = 0;
  struct context *context = context_of(env, info, &count, NULL);
  if (context->engine != NULL) relay_stop_listening(context->engine);
  return NULL;
}

/* limitClients(clients): how many were closed for it since the last call */
static napi_value limit_clients_method(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value arguments[1];
  struct context *context = context_of(env, info, &count, arguments);
  uint32_t limit;
  if (count < 1 || napi_get_value_uint32(env, arguments[0], &limit) != napi_ok)
    return throw_type_error(env, "limitClients(clients)");
  if (context->engine == NULL) return number(env, 0);
  relay_limit_clients(context->engine, limit);
  return number(env, (double)relay_take_dropped(context->engine));
}

/* clients() */
static napi_value clients_method(napi_env env, napi_callback_info info) {
  size_t count = 0;
  struct context *context = context_of(env, info, &count, NULL);
  return number(env, context->engine == NULL ? 0 : relay_clients(context->engine));
}

/* An answer is short: what does not fit is a bug of the caller's. */
#define REPLY_BYTES (16u * 1024)

/* reply(id, text): 0, or a negative errno */
static napi_value reply_method(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  struct context *context = context_of(env, info, &count, arguments);
  int64_t id;
  char text[REPLY_BYTES];
  size_t length;
  if (count < 2 || napi_get_value_int64(env, arguments[0], &id) != napi_ok ||
      napi_get_value_string_latin1(env, arguments[1], text, sizeof text, &length) != napi_ok || length + 1 == sizeof text)
    return throw_type_error(env, "reply(id, text)");
  if (context->engine == NULL) return number(env, -ESHUTDOWN);
  return number(env, relay_door_reply(context->engine, (uint64_t)id, text, (uint32_t)length));
}

/* connect(id, addresses, port, dialMs, staggerMs, headBytes, judged, openingMs, heldBytes, idleMs, lifetimeMs): 0, or a negative errno */
static napi_value connect_method(napi_env env, napi_callback_info info) {
  size_t count = 11;
  napi_value arguments[11];
  struct context *context = context_of(env, info, &count, arguments);
  int64_t id;
  uint32_t port = 0;
  union relay_address addresses[RELAY_DIAL_ADDRESSES];
  struct relay_dial_options dial = {.addresses = addresses};
  struct relay_door_connect options = {0};
  if (count < 11 || napi_get_value_int64(env, arguments[0], &id) != napi_ok ||
      napi_get_value_uint32(env, arguments[2], &port) != napi_ok || port == 0 || port > UINT16_MAX ||
      napi_get_value_uint32(env, arguments[3], &dial.dial_ms) != napi_ok || dial.dial_ms == 0 ||
      napi_get_value_uint32(env, arguments[4], &dial.stagger_ms) != napi_ok ||
      napi_get_value_uint32(env, arguments[5], &options.head_bytes) != napi_ok ||
      napi_get_value_bool(env, arguments[6], &options.judged) != napi_ok ||
      napi_get_value_uint32(env, arguments[7], &options.opening_ms) != napi_ok ||
      napi_get_value_uint32(env, arguments[8], &options.held_bytes) != napi_ok ||
      napi_get_value_uint32(env, arguments[9], &options.idle_ms) != napi_ok ||
      napi_get_value_uint32(env, arguments[10], &options.lifetime_ms) != napi_ok ||
      (dial.count = read_addresses(env, arguments[1], (uint16_t)port, addresses)) == 0)
    return throw_type_error(env, "connect(id, addresses, port, dialMs, staggerMs, headBytes, judged, openingMs, heldBytes, idleMs, lifetimeMs)");
  if (context->engine == NULL) return number(env, -ESHUTDOWN);
  return number(env, relay_door_connect(context->engine, (uint64_t)id, &dial, &options));
}

/* carry(id, idleMs, lifetimeMs): 0, or a negative errno */
static napi_value carry_method(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  struct context *context = context_of(env, info, &count, arguments);
  int64_t id;
  uint32_t idle_ms, lifetime_ms;
  if (count < 3 || napi_get_value_int64(env, arguments[0], &id) != napi_ok ||
      napi_get_value_uint32(env, arguments[1], &idle_ms) != napi_ok ||
      napi_get_value_uint32(env, arguments[2], &lifetime_ms) != napi_ok)
    return throw_type_error(env, "carry(id, idleMs, lifetimeMs)");
  if (context->engine == NULL) return number(env, -ESHUTDOWN);
  int failed = relay_door_carry(context->engine, (uint64_t)id, idle_ms, lifetime_ms);
  if (failed == 0) count_open(env, context);
  return number(env, failed);
}

static napi_value ask_method(napi_env env, napi_callback_info info, int (*ask)(struct relay_engine *, uint64_t)) {
  size_t count = 1;
  napi_value arguments[1];
  struct context *context = context_of(env, info, &count, arguments);
  int64_t id;
  if (count < 1 || napi_get_value_int64(env, arguments[0], &id) != napi_ok) return throw_type_error(env, "(id)");
  return number(env, context->engine == NULL ? -ESHUTDOWN : ask(context->engine, (uint64_t)id));
}

static napi_value more_method(napi_env env, napi_callback_info info) { return ask_method(env, info, relay_door_more); }

static napi_value take_method(napi_env env, napi_callback_info info) { return ask_method(env, info, relay_door_take); }

/* originalDestination(fd): { address, port, family } or a negative errno */
static napi_value original_destination(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, result, text;
  int32_t fd;
  context_of(env, info, &count, &argument);
  if (count < 1 || napi_get_value_int32(env, argument, &fd) != napi_ok)
    return throw_type_error(env, "originalDestination(fd)");
  struct sockaddr_storage address;
  int failed = relay_original_dst(fd, &address);
  if (failed != 0) return number(env, failed);
  char name[INET6_ADDRSTRLEN];
  bool v4 = address.ss_family == AF_INET;
  const struct sockaddr_in *in4 = (const struct sockaddr_in *)&address;
  const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
  inet_ntop(address.ss_family, v4 ? (const void *)&in4->sin_addr : (const void *)&in6->sin6_addr, name, sizeof name);
  napi_create_object(env, &result);
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &text);
  napi_set_named_property(env, result, "address", text);
  napi_set_named_property(env, result, "port", number(env, ntohs(v4 ? in4->sin_port : in6->sin6_port)));
  napi_set_named_property(env, result, "family", number(env, v4 ? 4 : 6));
  return result;
}

static bool add_method(napi_env env, napi_value object, const char *name, napi_callback method, void *data) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, method, data, &function) == napi_ok &&
         napi_set_named_property(env, object, name, function) == napi_ok;
}

static bool add_door_methods(napi_env env, napi_value object, struct context *context) {
  return add_method(env, object, "listen", listen_method, context) &&
         add_method(env, object, "stopListening", stop_listening_method, context) &&
         add_method(env, object, "limitClients", limit_clients_method, context) &&
         add_method(env, object, "clients", clients_method, context) &&
         add_method(env, object, "reply", reply_method, context) && add_method(env, object, "connect", connect_method, context) &&
         add_method(env, object, "carry", carry_method, context) && add_method(env, object, "more", more_method, context) &&
         add_method(env, object, "take", take_method, context) && add_method(env, object, "drain", drain_method, context);
}

/* createRelay(options, onEnded, onDoor, onMore) */
static napi_value create_relay(napi_env env, napi_callback_info info) {
  size_t count = 4;
  napi_value arguments[4], name, object;
  napi_valuetype type, more;
  struct relay_options options = {0};
  context_of(env, info, &count, arguments);
  if (count < 2 || napi_typeof(env, arguments[1], &type) != napi_ok || type != napi_function ||
      !read_options(env, arguments[0], &options))
    return throw_type_error(env, "createRelay({ maxPipes?, maxTunnels?, splice? }, onEnded, onDoor?, onMore?)");
  struct context *context = calloc(1, sizeof *context);
  if (context == NULL) {
    napi_throw_error(env, "ENOMEM", "out of memory");
    return NULL;
  }
  napi_create_string_utf8(env, "sallyport-relay", NAPI_AUTO_LENGTH, &name);
  napi_create_reference(env, arguments[1], 1, &context->on_ended);
  if (count > 3 && napi_typeof(env, arguments[2], &type) == napi_ok && napi_typeof(env, arguments[3], &more) == napi_ok &&
      type == napi_function && more == napi_function) {
    napi_create_reference(env, arguments[2], 1, &context->on_door);
    napi_create_reference(env, arguments[3], 1, &context->on_more);
  }
  napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, context, on_finalize, context, on_ended, &context->ended);
  napi_unref_threadsafe_function(env, context->ended);
  options.notify = on_notify;
  options.user = context;
  int failed = relay_engine_create(&options, &context->engine);
  if (failed != 0) {
    context->environment_gone = true; /* no hook was added: the finalizer frees */
    napi_release_threadsafe_function(context->ended, napi_tsfn_abort);
    napi_delete_reference(env, context->on_ended);
    napi_throw_error(env, "ERR_RELAY", "the relay thread could not be started: too few descriptors or threads");
    return NULL;
  }
  napi_add_env_cleanup_hook(env, on_cleanup, context);
  napi_create_object(env, &object);
  bool ok = add_method(env, object, "relay", relay_method, context) && add_method(env, object, "dial", dial_method, context) &&
            add_method(env, object, "kill", kill_method, context) &&
            add_method(env, object, "killAll", kill_all_method, context) &&
            add_method(env, object, "stats", stats_method, context) &&
            add_method(env, object, "totals", totals_method, context) && add_method(env, object, "close", close_method, context) &&
            add_door_methods(env, object, context);
  return ok ? object : NULL;
}

/*
 * forbidCoreDumps(): 0 or a negative errno. Core dumps hold keys, tokens and what clients sent. The kernel takes a limit of 1 for none,
 * also where dumps go to a pipe, which a limit of 0 does not keep it from (fs/coredump.c). Nobody can raise it again.
 */
static napi_value forbid_core_dumps(napi_env env, napi_callback_info info) {
  (void)info;
  struct rlimit limit;
  if (getrlimit(RLIMIT_CORE, &limit) != 0) return number(env, -errno);
  if (limit.rlim_max > 1) limit.rlim_max = 1;
  limit.rlim_cur = limit.rlim_max;
  return number(env, setrlimit(RLIMIT_CORE, &limit) == 0 ? 0 : -errno);
}

NAPI_MODULE_INIT() {
  add_method(env, exports, "createRelay", create_relay, NULL);
  add_method(env, exports, "originalDestination", original_destination, NULL);
  add_method(env, exports, "forbidCoreDumps", forbid_core_dumps, NULL);
  napi_set_named_property(env, exports, "abi", number(env, ABI));
  return exports;
}
