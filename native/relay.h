/*
 * The relay proper: two connected stream sockets go in, bytes flow both ways in a thread of
 * its own, one completion comes out. Plain C11 and Linux, no Node-API, so that a C harness
 * runs exactly this code under the sanitizers.
 *
 * It knows nothing of policy, names or protocols. What is relayed was decided before.
 *
 * Threads: every function here may be called from any thread, except that create and
 * destroy belong to one owner. The engine's thread touches sockets; nobody else does after
 * `relay_add` took them. Times are milliseconds, sizes are bytes. Functions that can fail
 * return a negative errno.
 */
#ifndef SALLYPORT_RELAY_H
#define SALLYPORT_RELAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct relay_engine;

/* Called in the engine's thread, never with a lock held, when the list of completions (or of
 * door events) stops being empty; once until it has been drained. Must not block. */
typedef void (*relay_notify)(void *user);

struct relay_options {
  /* Pipes (two descriptors each) for bulk transfer, 0 for the default of 128. At most a
   * sixteenth of RLIMIT_NOFILE whatever is asked. Past it bulk goes by recv and send. */
  uint32_t max_pipes;
  /* True: no pipes at all (for tests and measurements of the fallback). */
  bool no_splice;
  /* Tunnels at once, ended but not yet drained ones included; 0 for the default of 65,536. */
  uint32_t max_tunnels;
  relay_notify notify;
  void *user;
};

enum relay_ended_by {
  /* This side closed first, or its connection failed (then `error` is set). */
  RELAY_ENDED_CLIENT = 0,
  RELAY_ENDED_ORIGIN = 1,
  RELAY_ENDED_IDLE_TIMEOUT = 2,
  RELAY_ENDED_LIFETIME = 3,
  /* `relay_kill`; its reason is passed through. */
  RELAY_ENDED_KILLED = 4,
  /* The gateway's own trouble: memory, epoll. */
  RELAY_ENDED_ERROR = 5,
  /* `relay_dial` reached no address; `error` is the last errno other than ETIMEDOUT, or that. */
  RELAY_ENDED_DIAL_FAILED = 6,
  /* `relay_dial` has a connection; it is in `fd`, and the caller's from then on. */
  RELAY_ENDED_DIALLED = 7,
};

struct relay_completion {
  uint64_t id;
  /* Bytes accepted by the origin's socket (up) and by the client's (down), initial bytes included. */
  uint64_t bytes_up;
  uint64_t bytes_down;
  uint64_t duration_ms;
  enum relay_ended_by ended_by;
  int error;
  uint32_t kill_reason;
  /* Of a dial that succeeded: the index of the address, and the connected socket. Else -1. */
  int address;
  int fd;
};

struct relay_stats {
  uint64_t bytes_up;
  uint64_t bytes_down;
  uint64_t idle_ms;
};

struct relay_totals {
  uint64_t tunnels_open; /* and dials under way */
  uint64_t bytes_up; /* of all tunnels, ended ones included; never falls */
  uint64_t bytes_down;
  uint64_t pipes; /* that exist now */
};

struct relay_tunnel_options {
  uint32_t idle_ms;     /* without a byte either way; 0: no such deadline */
  uint32_t lifetime_ms; /* 0: no such deadline */
  /* Copied, counted, and sent before anything read from a socket. */
  const void *to_origin;
  uint32_t to_origin_bytes;
  const void *to_client;
  uint32_t to_client_bytes;
};

int relay_engine_create(const struct relay_options *options, struct relay_engine **engine);

/* Stops the thread, waits for it, and ends every tunnel with a reset, as killed for this reason. Only
 * draining and destroying are of use then; nothing is notified. */
void relay_engine_stop(struct relay_engine *engine, uint32_t reason);

/* Stops where that was not done, and frees. */
void relay_engine_destroy(struct relay_engine *engine);

/*
 * Takes two connected stream sockets. On success returns an id in 1..2^53 that is not used
 * again for a long time, and both descriptors belong to the engine; on failure they still
 * belong to the caller. Errors: -ENOMEM, -ENOSPC (max_tunnels), -ESHUTDOWN, fcntl's.
 */
int64_t relay_add(struct relay_engine *engine, int client_fd, int origin_fd, const struct relay_tunnel_options *options);

union relay_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

#define RELAY_DIAL_ADDRESSES 8

struct relay_dial_options {
  /* To be tried in this order, all of them vetted: these and no others are connected to. */
  const union relay_address *addresses;
  uint32_t count;      /* 1 to RELAY_DIAL_ADDRESSES */
  uint32_t dial_ms;    /* for the whole; not 0 */
  uint32_t stagger_ms; /* head start of an address before the next is tried beside it (RFC 8305 section 5) */
};

/*
 * Connects without relaying: the completion says RELAY_ENDED_DIALLED or how it failed. The first
 * connection that comes up wins and the others are closed. `relay_kill` with the id gives up; a
 * connection that came up just before is still handed over, and then is the caller's to close.
 * The socket has TCP_NODELAY and keep-alive probes. Errors: -EINVAL, and those of `relay_add`.
 */
int64_t relay_dial(struct relay_engine *engine, const struct relay_dial_options *options);

/* Asks for an end with a reset on both sides. 1: asked, 0: no such tunnel (any more), -ENOMEM. */
int relay_kill(struct relay_engine *engine, uint64_t id, uint32_t reason);
/* All that exist at the time of the call, and none that is added after it. Returns how many, or -ENOMEM. */
int64_t relay_kill_all(struct relay_engine *engine, uint32_t reason);

/* Live figures; false: no such tunnel. Works until the completion has been drained. */
bool relay_tunnel_stats(struct relay_engine *engine, uint64_t id, struct relay_stats *stats);
void relay_engine_totals(struct relay_engine *engine, struct relay_totals *totals);

/* Moves up to `capacity` completions out; returns how many: none before every RELAY_DOOR_CARRIED has been drained, so that no end comes first. */
size_t relay_drain_completions(struct relay_engine *engine, struct relay_completion *batch, size_t capacity);

/*
 * The door: the engine accepts client connections itself and reads the first bytes of each, so that one whose whole life is a tunnel
 * never becomes a socket of the host's. It parses nothing: what looks like the first words its listener is for is handed up as it is,
 * everything else is handed over with its descriptor. What happens to the connection is said by the functions below, each of
 * which takes up one event: between an event and its answer the engine leaves the connection alone.
 */
enum relay_door_event_kind {
  /* A first read that its listener asks about. To be answered by reply, connect or take. */
  RELAY_DOOR_HEAD = 1,
  /* The connection is the caller's: `fd`, and what was read of it. */
  RELAY_DOOR_HANDED = 2,
  /* The origin is connected, and the client told so where it is to be told; bytes that came since. To be answered by carry, more, reply. `ended`: no more will come. */
  RELAY_DOOR_OPENING = 3,
  /* No origin; `error` as in RELAY_ENDED_DIAL_FAILED. To be answered by reply. */
  RELAY_DOOR_DIAL_FAILED = 4,
  /* The client has gone, or the engine is ending; nothing is to be answered. */
  RELAY_DOOR_GONE = 5,
  /* The opening took too long. To be answered by reply. */
  RELAY_DOOR_OPENING_TIMEOUT = 6,
  /* It is relayed; nothing is to be answered, and its end is a completion of the same id, which comes later. */
  RELAY_DOOR_CARRIED = 7,
};

struct relay_door_event {
  uint64_t id; /* 0 in RELAY_DOOR_HANDED of one that was never asked about */
  enum relay_door_event_kind kind;
  uint32_t listener; /* as `relay_listen` numbered it */
  union relay_address peer;
  union relay_address original; /* RELAY_READS_TLS: where it was going before it was redirected, unless there is an error */
  int original_error;
  const void *bytes; /* the engine's, until `relay_door_event_done` */
  uint32_t byte_count;
  int fd;      /* of RELAY_DOOR_HANDED, else -1 */
  int error;
  int address; /* index of the one that was connected to, -1 before */
  uint64_t dial_us;
  bool ended;
  void *owner;
};

struct relay_door_connect {
  uint32_t head_bytes; /* so many of the first read are the head; what follows goes to the origin */
  /* The opening is known: it is relayed as soon as the origin is connected. Else RELAY_DOOR_OPENING comes with more of it. */
  bool judged;
  uint32_t opening_ms;
  uint32_t held_bytes; /* what an opening may have */
  uint32_t idle_ms;    /* of the tunnel, where it is judged; so is the next */
  uint32_t lifetime_ms;
};

/* What a listener asks about. */
enum relay_listener_kind {
  /* A first read that begins with `CONNECT ` and holds an empty line. */
  RELAY_READS_CONNECT = 0,
  /* One whole TLS handshake record, in as many reads as it takes. */
  RELAY_READS_TLS = 1,
};

#define RELAY_LISTENERS 4

/*
 * Takes a listening socket, and `established` (copied), which is what a client is told once its origin is connected (count 0: nothing).
 * Returns its number, which comes with its events, or a negative errno: -ENOSPC past RELAY_LISTENERS, -ENOMEM, -ESHUTDOWN.
 */
int relay_listen(struct relay_engine *engine, int fd, enum relay_listener_kind kind, const void *established, uint32_t count);
/* Closes them, and the connections that have said nothing yet. */
void relay_stop_listening(struct relay_engine *engine);
/* Clients' connections at once, those that are relayed among them. One above is accepted, closed and counted. */
void relay_limit_clients(struct relay_engine *engine, uint32_t limit);
uint32_t relay_clients(const struct relay_engine *engine);
/* How many were closed for that since the last call. */
uint64_t relay_take_dropped(struct relay_engine *engine);

size_t relay_drain_door(struct relay_engine *engine, struct relay_door_event *batch, size_t capacity);
/* To be called once with each, after its bytes were copied and before it is answered. */
void relay_door_event_done(struct relay_engine *engine, const struct relay_door_event *event);

/* 0, or -ENOENT (none of that name waits for an answer), -ESHUTDOWN, -ENOMEM, -EINVAL; then the event can still be answered. */
/* Says the last there is to say (count 0: nothing), ends this side, reads on a little and closes. */
int relay_door_reply(struct relay_engine *engine, uint64_t id, const void *bytes, uint32_t count);
int relay_door_connect(struct relay_engine *engine, uint64_t id, const struct relay_dial_options *dial,
                       const struct relay_door_connect *options);
/* Relays from here on, what came with the opening first; the end is a completion of the same id. */
int relay_door_carry(struct relay_engine *engine, uint64_t id, uint32_t idle_ms, uint32_t lifetime_ms);
int relay_door_more(struct relay_engine *engine, uint64_t id);
/* RELAY_DOOR_HANDED follows. */
int relay_door_take(struct relay_engine *engine, uint64_t id);
/* True: nothing is left to drain, and the next of either kind notifies. To be asked after draining both: what comes to one list while
 * the other is drained is not told of again. */
bool relay_is_drained(struct relay_engine *engine);

/* original_dst.c: where a connection redirected by netfilter was going. */
int relay_original_dst(int fd, struct sockaddr_storage *address);

#endif
