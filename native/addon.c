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
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/resource.h>

#include "values.h"

/* Raised when index.d.ts changes in a way that a caller must know. */
#define ABI 1
#define BATCH 256
#define RECORD_FIELDS 9

struct context {
  struct relay_engine *engine; /* NULL: closed */
  napi_threadsafe_function ended;
  napi_ref on_ended;
  uint64_t open; /* tunnels whose end was not handed to JavaScript yet */
  bool environment_gone;
  bool function_gone;
};

/* In the engine's thread. One call is under way at most: the engine notifies once until drained. */
static void on_notify(void *user) {
  struct context *context = user;
  (void)napi_call_threadsafe_function(context->ended, NULL, napi_tsfn_nonblocking);
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

static void drain(napi_env env, struct context *context) {
  struct relay_completion batch[BATCH];
  /* The callback may close the engine under us. */
  while (context->engine != NULL) {
    size_t count = relay_drain_completions(context->engine, batch, BATCH);
    if (count == 0) return;
    context->open -= count;
    if (context->open == 0 && context->ended != NULL) napi_unref_threadsafe_function(env, context->ended);
    if (!hand_over(env, context, batch, count)) {
      bool threw = false;
      napi_is_exception_pending(env, &threw);
      /* Nobody has seen these connections. (A callback that threw has: they are its own.) */
      for (size_t i = 0; !threw && i < count; i++)
        if (batch[i].fd >= 0) close(batch[i].fd);
      /* What is left must not wait for an end that may never come. */
      if (context->engine != NULL && count == BATCH) on_notify(context);
      return;
    }
  }
}

static void on_ended(napi_env env, napi_value callback, void *user, void *data) {
  (void)callback;
  (void)data;
  if (env == NULL) return; /* the environment is going away */
  drain(env, user);
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

/* As open sockets would, open tunnels keep the process alive. */
static void count_open(napi_env env, struct context *context) {
  if (context->open++ == 0) napi_ref_threadsafe_function(env, context->ended);
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
  drain(env, context);
  if (context->engine == NULL) return NULL; /* the callback called close as well */
  context->engine = NULL;
  relay_engine_destroy(engine);
  napi_threadsafe_function ended = context->ended;
  context->ended = NULL;
  napi_release_threadsafe_function(ended, napi_tsfn_release);
  return NULL;
}

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

/* createRelay(options, onEnded) */
static napi_value create_relay(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], name, object;
  napi_valuetype type;
  struct relay_options options = {0};
  context_of(env, info, &count, arguments);
  if (count < 2 || napi_typeof(env, arguments[1], &type) != napi_ok || type != napi_function ||
      !read_options(env, arguments[0], &options))
    return throw_type_error(env, "createRelay({ maxPipes?, maxTunnels?, splice? }, onEnded)");
  struct context *context = calloc(1, sizeof *context);
  if (context == NULL) {
    napi_throw_error(env, "ENOMEM", "out of memory");
    return NULL;
  }
  napi_create_string_utf8(env, "sallyport-relay", NAPI_AUTO_LENGTH, &name);
  napi_create_reference(env, arguments[1], 1, &context->on_ended);
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
            add_method(env, object, "totals", totals_method, context) && add_method(env, object, "close", close_method, context);
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
